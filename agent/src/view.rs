//! What a front end shows, and what a person can do with it.
//!
//! Both front ends (the consent page and the terminal) are given the same [`View`] and answer with the same
//! [`UserAct`]s; neither decides anything. All text in a view has been made safe to show.

use serde::Serialize;
use wire::ids::{Digest, GrantId, RunId};
use wire::session::{Ability, Absence};

/// Everything that the person sees at one moment. Durations count from the moment at which the view was made.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct View {
    /// Where things stand.
    pub phase: Phase,
    /// Host and port of the relay.
    pub relay: String,
    /// Who is attached or attaching.
    pub technician: Option<TechnicianView>,
    /// What is allowed now.
    pub grants: Vec<GrantView>,
    /// The question that is open, the oldest of them.
    pub prompt: Option<PromptView>,
    /// Questions waiting behind it.
    pub prompts_waiting: usize,
    /// Runs that are going on.
    pub runs: Vec<RunView>,
    /// What happened, oldest first, at most [`ACTIVITY_LINES`].
    pub activity: Vec<ActivityLine>,
    /// How the two machines are connected, in words; empty without a session.
    pub connection: String,
    /// Something that the person should know now, such as a failed attempt with a wrong code.
    pub notice: Option<String>,
}

/// Most lines in [`View::activity`].
pub const ACTIVITY_LINES: usize = 50;

/// Where things stand.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum Phase {
    /// Reaching the relay; `detail` says how that goes.
    Connecting {
        /// Such as "The relay does not answer; trying again in 4 s".
        detail: String,
    },
    /// Showing a code and waiting for a technician.
    Waiting {
        /// Grouped for reading out, such as `4821 936 0423`.
        code: String,
        /// Until the code is void.
        expires_in_ms: u64,
    },
    /// The code is void; only the person can ask for a new one.
    CodeVoid {
        /// Why.
        reason: String,
    },
    /// A technician proved the code; the first question is open.
    Asking,
    /// The session is on.
    Live,
    /// The person was away; everything stands still.
    Paused {
        /// Until the session ends.
        ends_in_ms: u64,
    },
    /// The session is over. The program ends once the front end had time to show it.
    Ended {
        /// Why, and what it means.
        reason: String,
        /// Where the audit log of the session lies.
        receipt: Option<String>,
    },
}

/// Who the technician is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TechnicianView {
    /// Proved or claimed name.
    pub name: String,
    /// Organisation that vouches for it.
    pub organisation: Option<String>,
    /// Whether the name is proved.
    pub verified: bool,
    /// Whether the person confirmed the two words of an unverified technician.
    pub words_confirmed: bool,
}

/// One live grant.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GrantView {
    /// Its name.
    pub grant: GrantId,
    /// What it covers.
    pub abilities: Vec<AbilityView>,
    /// Until it lapses.
    pub remaining_ms: u64,
}

/// One ability in words.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AbilityView {
    /// The ability's name, such as `diag.basic`.
    pub ability: String,
    /// What it means, such as "See how this computer is doing".
    pub words: String,
    /// Whether the box is ticked when a question opens.
    pub ticked: bool,
}

/// One question.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PromptView {
    /// Its number.
    pub prompt: u32,
    /// Digest of everything that it shows; the answer carries it.
    #[serde(serialize_with = "as_text")]
    pub digest: Digest,
    /// What it is about.
    pub kind: PromptKind,
    /// The technician's reason; empty if none was given, absent where none is asked for.
    pub reason: Option<String>,
    /// Abilities that are asked for, each with a box to tick; empty for what is done once.
    pub abilities: Vec<AbilityView>,
    /// The run that is asked for.
    pub run: Option<RunPromptView>,
    /// What is asked to be read.
    pub inspection: Option<InspectionPromptView>,
    /// How long a yes lasts, in words.
    pub lasts: String,
    /// Who sees whose network address after a yes, in words; empty where a yes changes nothing about that.
    pub addresses: String,
    /// Silence counts as no after this.
    pub answer_within_ms: u64,
    /// A yes is refused before this has passed.
    pub unlocks_in_ms: u64,
    /// The word that a person at a terminal types to say yes.
    pub word: String,
    /// Whether a yes needs the two words that the technician reads out.
    pub needs_spoken_words: bool,
}

impl PromptView {
    /// Whether it is about one thing that is allowed as it is shown, without boxes to tick.
    pub fn is_once(&self) -> bool {
        self.run.is_some() || self.inspection.is_some()
    }
}

/// What a question is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PromptKind {
    /// The first question of a session.
    Session,
    /// More abilities.
    Abilities,
    /// One run.
    Run,
    /// One reading.
    Inspection,
}

/// A run, ready to be read and decided.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunPromptView {
    /// Absolute path.
    pub program: String,
    /// The file that is executed, where `program` leads to another one.
    pub target: Option<String>,
    /// What runs the file, if it is a script.
    pub interpreter: Option<String>,
    /// One line each.
    pub arguments: Vec<String>,
    /// Working directory.
    pub directory: String,
    /// User that it runs as.
    pub user: String,
    /// Additions to the environment that the technician asked for, `NAME=value`.
    pub environment: Vec<String>,
    /// Bounds in words.
    pub limits: String,
}

/// Something to be read once, ready to be decided.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InspectionPromptView {
    /// What it is, behind the name of who asks, such as "to see what one program was started with".
    pub asks: String,
    /// Of what, as this computer itself found it.
    pub facts: Vec<FactView>,
    /// What to know before answering, a sentence or two each.
    pub notes: Vec<String>,
}

/// One thing that this computer found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FactView {
    /// What it is, such as "Program".
    pub name: String,
    /// Such as the program's name.
    pub text: String,
}

/// A run that is going on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunView {
    /// Which.
    pub run: RunId,
    /// Program and arguments on one line.
    pub command: String,
    /// Since it started.
    pub running_ms: u64,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ActivityLine {
    /// Local time of day, `HH:MM:SS`.
    pub time: String,
    /// What, in words.
    pub text: String,
}

/// What a person did, or what became of their front end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserAct {
    /// Answered the open question.
    Answer(consent::Answer),
    /// Stop everything now.
    Stop,
    /// Asked for a new code after one became void.
    NewCode,
    /// Took a grant back.
    Revoke(GrantId),
    /// Took part of a grant back: only these abilities stay.
    Narrow(GrantId, Vec<Ability>),
    /// Stopped one run.
    StopRun(RunId),
    /// The front end sees the person again.
    Present,
    /// The front end lost the person.
    Away(Absence),
    /// The front end is gone for good, as when a terminal is closed.
    FrontEndGone,
}

fn as_text<S: serde::Serializer>(value: &Digest, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

//! One question to the person, and the digest of everything that it shows.

use std::{fmt, time::Duration};

use trust::Hasher;
use wire::{
    diagnostics::inspect::ApprovedInspection,
    ids::{Digest, InspectionId, RequestId, RunId, SessionId},
    run::{ApprovedRun, Variable},
    session::{Ability, Subject, TechnicianIdentity},
    text::Sentence,
    time::Moment,
};

/// One question of one session, numbered from 1, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PromptId(pub u32);

impl fmt::Display for PromptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "prompt-{}", self.0)
    }
}

/// What a question is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromptKind {
    /// Whether the session may begin, and with what. A no ends it.
    Session,
    /// More abilities.
    Abilities,
    /// One run.
    Run,
    /// One reading that asks first.
    Inspection,
}

/// What a yes lets be done, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Once {
    /// A run, exactly as it would be executed.
    Run(ApprovedRun),
    /// A reading, of exactly this.
    Inspection(ApprovedInspection),
}

impl Once {
    /// What the grant covers.
    pub fn digest(&self) -> Digest {
        match self {
            Self::Run(run) => run.digest,
            Self::Inspection(inspection) => inspection.digest,
        }
    }
}

/// One question that is before the person.
///
/// Questions are put one at a time. A prompt exists from the moment at which it is shown; what waits behind it has no deadline yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// Its number.
    pub id: PromptId,
    /// What it is about.
    pub kind: PromptKind,
    /// Which request, run or inspection of the technician asks.
    pub subject: Subject,
    /// What can be allowed: what was asked for without what the device or the organisation never allow. For a run always
    /// [`Ability::AdhocArgv`] alone, for an inspection what it [asks for](wire::diagnostics::inspect::Inspect::asks_for). Sorted, each
    /// once, never empty.
    pub abilities: Vec<Ability>,
    /// What would be done, if a yes is for one use.
    pub once: Option<Once>,
    /// Which part of the run's environment the technician added.
    pub environment_additions: Vec<Variable>,
    /// The technician's reason; blank for an inspection, which speaks for itself.
    pub reason: Sentence,
    /// How long a yes lasts at most. The end of the session cuts it short.
    pub stay: Duration,
    /// The word that a person at a terminal types to say yes.
    pub word: &'static str,
    /// Whether a yes to everything needs the two words that the technician reads out.
    pub needs_spoken_words: bool,
    /// When it came before the person.
    pub shown_at: Moment,
    /// No yes is taken before this.
    pub unlocks_at: Moment,
    /// Silence is a no from this moment on.
    pub deadline: Moment,
    /// Digest of everything that it shows. An answer carries it, so a stale or altered page cannot answer another question.
    pub digest: Digest,
}

impl Prompt {
    /// The run that it is about.
    pub fn run(&self) -> Option<&ApprovedRun> {
        match self.once.as_ref()? {
            Once::Run(run) => Some(run),
            Once::Inspection(_) => None,
        }
    }

    /// Time until silence is a no.
    pub fn remaining(&self, now: Moment) -> Duration {
        self.deadline - now
    }

    /// Time until a yes is taken.
    pub fn locked_for(&self, now: Moment) -> Duration {
        self.unlocks_at - now
    }
}

/// What is to be asked.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) kind: PromptKind,
    pub(crate) subject: Subject,
    pub(crate) abilities: Vec<Ability>,
    pub(crate) once: Option<Once>,
    pub(crate) environment_additions: Vec<Variable>,
    pub(crate) reason: Sentence,
    pub(crate) stay: Duration,
}

/// A question that waits until the person dealt with those before it.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) id: PromptId,
    pub(crate) question: Question,
    pub(crate) word: &'static str,
    pub(crate) nonce: [u8; 16],
}

/// The circumstances in which a question is shown.
pub(crate) struct Showing<'a> {
    pub(crate) session: SessionId,
    pub(crate) technician: &'a TechnicianIdentity,
    pub(crate) needs_spoken_words: bool,
    pub(crate) now: Moment,
    pub(crate) unlock_delay: Duration,
    pub(crate) answer_within: Duration,
}

impl Waiting {
    /// Puts the question before the person.
    pub(crate) fn show(self, showing: &Showing<'_>) -> Prompt {
        let digest = self.digest(showing);
        let Question { kind, subject, abilities, once, environment_additions, reason, stay } = self.question;
        Prompt {
            id: self.id,
            kind,
            subject,
            abilities,
            once,
            environment_additions,
            reason,
            stay,
            word: self.word,
            needs_spoken_words: showing.needs_spoken_words,
            shown_at: showing.now,
            unlocks_at: showing.now + showing.unlock_delay,
            deadline: showing.now + showing.answer_within,
            digest,
        }
    }

    /// SHA-256 over everything that the person sees and a nonce, each part behind its length so that no two questions have one digest.
    fn digest(&self, showing: &Showing<'_>) -> Digest {
        let question = &self.question;
        let (kind, number) = match (question.kind, question.subject) {
            (PromptKind::Session, Subject::Request(request)) => ("session", request.0),
            (PromptKind::Abilities, Subject::Request(request)) => ("abilities", request.0),
            (PromptKind::Run, Subject::Run(run)) => ("run", run.0),
            (PromptKind::Inspection, Subject::Inspection(inspection)) => ("inspection", inspection.0),
            (
                PromptKind::Session | PromptKind::Abilities | PromptKind::Run | PromptKind::Inspection,
                Subject::Request(RequestId(number))
                | Subject::Run(RunId(number))
                | Subject::Inspection(InspectionId(number)),
            ) => ("no question of this kind", number),
        };
        let (standing, name, organisation) = match showing.technician {
            TechnicianIdentity::Verified { name, organisation } => ("verified", name.raw(), organisation.raw()),
            TechnicianIdentity::Unverified { claimed_name } => ("claimed", claimed_name.raw(), ""),
        };
        let mut hasher = Hasher::new()
            .field(b"assent-prompt-v1")
            .field(&showing.session.0)
            .field(&self.nonce)
            .field(&self.id.0.to_be_bytes())
            .field(kind.as_bytes())
            .field(&number.to_be_bytes())
            .field(standing.as_bytes())
            .field(name.as_bytes())
            .field(organisation.as_bytes())
            .field(&count(question.abilities.len()));
        for ability in &question.abilities {
            hasher = hasher.field(ability.name().as_bytes());
        }
        hasher = hasher
            .field(question.once.as_ref().map(Once::digest).as_ref().map_or(&[][..], |digest| &digest.0))
            .field(&count(question.environment_additions.len()));
        for variable in &question.environment_additions {
            hasher = hasher.field(&variable.name).field(&variable.value);
        }
        hasher
            .field(question.reason.raw().as_bytes())
            .field(&question.stay.as_millis().to_be_bytes())
            .field(self.word.as_bytes())
            .field(&[u8::from(showing.needs_spoken_words)])
            .field(&showing.unlock_delay.as_millis().to_be_bytes())
            .field(&showing.answer_within.as_millis().to_be_bytes())
            .finish()
    }
}

fn count(parts: usize) -> [u8; 8] {
    u64::try_from(parts).expect("no list is longer than 2^64").to_be_bytes()
}

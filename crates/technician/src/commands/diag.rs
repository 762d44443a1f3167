//! `assent diag`.

use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, sleep_until, timeout};
use wire::diagnostics::{IdentityCard, Snapshot, View, findings::Finding};

use self::layout::lay_out;
use crate::{
    cli::{DiagArgs, DiagCommand, SessionArg},
    exit::Exit,
    local::{
        client::{ClientError, Conversation},
        protocol::{Ask, Flow, Reply},
    },
    output,
    place::Places,
    problem::Problem,
    signals::{Signals, Stop},
};

mod layout;
mod logs;
mod once;
mod probe;
mod watch;

const NOT_DONE: &str = "no reading was shown";

/// How long the first reading may take where readings are allowed; they come once a second.
const FIRST_READING: Duration = Duration::from_secs(10);

/// A session that ends takes back first what was allowed. For so long it is waited for that end before it is told that readings are not
/// allowed any more.
const LAST_WORD: Duration = Duration::from_secs(3);

/// One reading, for scripts.
#[derive(Serialize)]
struct Printed<'a> {
    /// The identity card; only with the first reading, and when it has changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    card: Option<&'a IdentityCard>,
    /// What all checks answered; only with the first reading, and when it has changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    findings: Option<&'a [Finding]>,
    /// How old the reading is.
    age_ms: u64,
    sample: &'a Snapshot,
}

/// Whether errors are told in JSON as well.
pub(super) fn wants_json(args: &DiagArgs) -> bool {
    match &args.what {
        None => args.json,
        Some(DiagCommand::Report(args)) => args.json,
        Some(DiagCommand::Section(args)) => args.json,
        Some(DiagCommand::Process(args)) => args.json,
        Some(DiagCommand::Logs(args)) => args.json,
        Some(DiagCommand::History(args)) => args.json,
        Some(DiagCommand::Probe(args)) => args.json,
        Some(DiagCommand::Diff(args)) => args.json,
        Some(DiagCommand::Watch(_) | DiagCommand::Export(_)) => false,
    }
}

/// Shows one reading, goes on, or has something read once.
pub(super) async fn diag(args: DiagArgs, places: &Places) -> Result<Exit, Problem> {
    match args.what {
        None => live(&args, places).await,
        Some(what) => once::read(what, places).await,
    }
}

async fn live(args: &DiagArgs, places: &Places) -> Result<Exit, Problem> {
    let mut readings = Readings::begin(&args.session, View::default(), places).await?;
    let mut left = match args.follow {
        None => Some(1),
        Some(0) => None,
        Some(number) => Some(number),
    };
    let mut printed = 0;
    while left != Some(0) {
        let next = if printed == 0 { readings.first().await? } else { readings.next().await? };
        let reading = match next {
            Next::Reading(reading) => reading,
            // Following goes on until Ctrl-C, so that is no failure.
            Next::Stopped(_) if printed > 0 && args.follow.is_some() => return Ok(Exit::Ok),
            Next::Stopped(stop) => return Ok(Exit::Signal(stop.number())),
        };
        let text = if args.json {
            output::json_line(&Printed::from(&reading))
        } else {
            let gap = if printed > 0 { "\n" } else { "" };
            format!("{gap}{}", lay_out(reading.card, reading.findings, reading.age_ms, &reading.sample))
        };
        output::to_stdout(&text).map_err(|error| super::output_problem(&error))?;
        printed += 1;
        left = left.map(|left| left - 1);
    }
    Ok(Exit::Ok)
}

/// The live readings of a session.
struct Readings {
    conversation: Conversation,
    signals: Signals,
    card: Option<IdentityCard>,
    findings: Vec<Finding>,
    /// Whether they came, or came anew, since the last reading.
    card_is_news: bool,
    findings_are_news: bool,
    /// Whether there was a reading.
    begun: bool,
    /// When to say that readings are not allowed any more, if nothing else comes.
    gives_up_at: Option<Instant>,
}

/// A reading and what is known beside it.
struct Reading<'r> {
    card: Option<&'r IdentityCard>,
    card_is_news: bool,
    findings: &'r [Finding],
    findings_are_news: bool,
    /// How old it is.
    age_ms: u64,
    sample: Box<Snapshot>,
}

enum Next<'r> {
    Reading(Reading<'r>),
    /// The person wants no more.
    Stopped(Stop),
}

/// What comes of a session whose readings somebody wants.
enum News {
    Flow(Flow),
    Sample {
        age_ms: u64,
        sample: Box<Snapshot>,
    },
    /// The person wants no more.
    Stopped(Stop),
}

impl Readings {
    async fn begin(session: &SessionArg, view: View, places: &Places) -> Result<Self, Problem> {
        let signals = Signals::new().map_err(|error| super::output_problem(&error))?;
        let begun = Conversation::begin(&places.runtime, super::wanted(session), Ask::Diagnostics(view)).await;
        let conversation = begun.map_err(|error| super::client_problem(&error, NOT_DONE))?;
        Ok(Self {
            conversation,
            signals,
            card: None,
            findings: Vec::new(),
            card_is_news: false,
            findings_are_news: false,
            begun: false,
            gives_up_at: None,
        })
    }

    /// The first reading, which comes within [`FIRST_READING`] or not at all.
    async fn first(&mut self) -> Result<Next<'_>, Problem> {
        timeout(FIRST_READING, self.next()).await.unwrap_or_else(|_elapsed| {
            let next = "See how the session stands: assent status.";
            Err(Problem::new(Exit::TimedOut, "no reading came in time", NOT_DONE, next))
        })
    }

    async fn next(&mut self) -> Result<Next<'_>, Problem> {
        loop {
            match self.news().await? {
                News::Flow(flow) => {
                    if let Some(text) = self::flow(flow, self.not_done())? {
                        output::to_stderr(&format!("assent: {text}\n"));
                    }
                }
                News::Sample { age_ms, sample } => return Ok(Next::Reading(self.reading(age_ms, sample))),
                News::Stopped(stop) => return Ok(Next::Stopped(stop)),
            }
        }
    }

    /// Waits for a reading, or for a word on why there is none. Cancel safe.
    async fn news(&mut self) -> Result<News, Problem> {
        let not_done = self.not_done();
        let problem = |error| super::client_problem(&error, not_done);
        loop {
            let reply = tokio::select! {
                reply = self.conversation.next() => reply.map_err(problem)?,
                stop = self.signals.next() => return Ok(News::Stopped(stop)),
                () = reached(self.gives_up_at) => return Ok(News::Flow(Flow::NotAllowed)),
            };
            #[expect(clippy::wildcard_enum_match_arm, reason = "every other reply belongs to another question")]
            match reply {
                Reply::Flow(Flow::NotAllowed) if self.begun => self.gives_up_at = Some(Instant::now() + LAST_WORD),
                Reply::Flow(flow) => {
                    self.gives_up_at = None;
                    return Ok(News::Flow(flow));
                }
                Reply::Card(card) => {
                    self.card = Some(*card);
                    self.card_is_news = true;
                }
                Reply::Findings(findings) => {
                    self.findings = findings;
                    self.findings_are_news = true;
                }
                Reply::Sample { age_ms, sample } => {
                    self.begun = true;
                    return Ok(News::Sample { age_ms, sample });
                }
                Reply::Ended { reason } => {
                    let next = "Ask the end user for a new code and attach again.";
                    return Err(Problem::new(Exit::of_end(reason), reason.to_string(), not_done, next));
                }
                _ => return Err(problem(ClientError::Unexpected)),
            }
        }
    }

    fn reading(&mut self, age_ms: u64, sample: Box<Snapshot>) -> Reading<'_> {
        Reading {
            card: self.card.as_ref(),
            card_is_news: std::mem::take(&mut self.card_is_news),
            findings: &self.findings,
            findings_are_news: std::mem::take(&mut self.findings_are_news),
            age_ms,
            sample,
        }
    }

    fn not_done(&self) -> &'static str {
        if self.begun { "no further reading was shown" } else { NOT_DONE }
    }
}

impl<'p> From<&'p Reading<'_>> for Printed<'p> {
    fn from(reading: &'p Reading<'_>) -> Self {
        Self {
            card: reading.card.filter(|_| reading.card_is_news),
            findings: reading.findings_are_news.then_some(reading.findings),
            age_ms: reading.age_ms,
            sample: &reading.sample,
        }
    }
}

/// Returns at `at`, or never. Cancel safe.
async fn reached(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Why nothing comes for now, if so.
///
/// # Errors
///
/// If nothing will.
fn flow(flow: Flow, not_done: &str) -> Result<Option<&'static str>, Problem> {
    match flow {
        Flow::Flowing => Ok(None),
        Flow::Paused => Ok(Some("the end user is away; readings go on when they are back")),
        Flow::Reconnecting => Ok(Some("the connection is being restored")),
        Flow::NotAnswered => Err(Problem::new(
            Exit::Denied,
            "the end user has not answered the first question yet",
            not_done,
            "Wait for the answer: assent status says when it is there.",
        )),
        Flow::NotAllowed => Err(Problem::new(
            Exit::Denied,
            "the end user does not allow diagnostics at the moment",
            not_done,
            "Ask them: assent request diag.basic.",
        )),
    }
}

//! `assent-share` from start to end: one code, one session, nothing left behind.
//!
//! ```text
//! start ─> reach the relay ─> show a code ─> pair ─> session ─> end
//!                                 ▲   wrong code │
//!                                 └──────────────┘   two wrong tries: the person asks for a new code
//! ```
//!
//! | module | what |
//! |---|---|
//! | here | settings, front end, relay, code |
//! | [`pair`] | a technician's proof of the code |
//! | [`live`] | the session: one actor around `session::agent` |
//! | [`runs`], [`samples`], [`inspections`], [`record`] | what the actor sets in motion |
//! | [`present`], [`wording`] | what the person sees and reads |

mod events;
mod front_end;
mod inspections;
mod live;
mod load;
mod pair;
mod present;
mod record;
mod runs;
mod samples;
mod wording;

use std::{collections::VecDeque, io, path::PathBuf, sync::Arc};

use audit::files::FileError;
use diagnostics::Reach;
use futures_util::FutureExt as _;
use rand_core::OsRng;
use tokio::sync::mpsc;
use transport::clock;
use transport::node::{ConnectError, Control, ControlEvent, Node, NodeOptions};
use trust::certificate::TrustedOrganisation;
use trust::code::SessionCode;
use trust::keys::SigningKey;
use trust::tries::{CodeTries, CodeVoid};
use wire::channel::ChannelId;
use wire::control::{ChannelOrigin, FromRelay, ToRelay};
use wire::time::Moment;

use crate::executor::{self, Executor};
use crate::front::FrontError;
use crate::options::{Arguments, ConfigError, ShareConfig};
use crate::view::{Phase, UserAct};
use crate::watch::Watch;

use events::Events;
use front_end::FrontEnd;
use pair::Attached;
use present::Stage;
pub use record::RecordError;

/// What a person does in a second; a front end that is faster waits.
const ACTS: usize = 16;

/// Why `assent-share` could not go on.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum ShareError {
    /// The settings are wrong.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Config(#[from] ConfigError),
    /// An organisation's certificate cannot be used.
    #[error("the certificate of an organisation, {path}, cannot be used: {reason}")]
    #[diagnostic(help(
        "nothing was started; get the file from the organisation again, or take it out of the configuration file"
    ))]
    Organisation {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// There is no way to ask the person.
    #[error("there is no way to ask you, so nobody was let in")]
    #[diagnostic(help("start assent-share on a desktop, or in a terminal with: assent-share --consent terminal"))]
    NoFrontEnd(#[from] FrontError),
    /// The folder for the logs cannot be used.
    #[error("the folder {path} cannot be used for the record of the session, so nobody was let in")]
    #[diagnostic(help("make it writable for you, or choose another one with --state-dir"))]
    StateDir {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: FileError,
    },
    /// The relay cannot be reached.
    #[error("the relay could not be reached, so no code can be shown")]
    #[diagnostic(help("nothing was started; the line above says what to check"))]
    Relay(#[from] ConnectError),
    /// The log could not be started.
    #[error("the record of the session could not be started, so nobody was let in")]
    #[diagnostic(help("make room on the disk or choose another folder with --state-dir, then start again"))]
    Record(#[from] RecordError),
    /// The log was started and could not be written to its end.
    #[error("the record of the session could not be written any more, so the session was stopped")]
    #[diagnostic(help(
        "nothing of it is running any more; make room on the disk or choose another folder with --state-dir, then start again"
    ))]
    RecordStopped(#[source] RecordError),
    /// The system refused something that always works.
    #[error("the system refused to {what}")]
    #[diagnostic(help("close some programs, then start again"))]
    System {
        /// What.
        what: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl ShareError {
    /// Exit code of the program: 2 for wrong usage, 5 for the network, 1 for everything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Organisation { .. } => 2,
            Self::Relay(_) => 5,
            Self::NoFrontEnd(_)
            | Self::StateDir { .. }
            | Self::Record(_)
            | Self::RecordStopped(_)
            | Self::System { .. } => 1,
        }
    }
}

/// Runs `assent-share` until its one session is over or the person stops it.
///
/// # Errors
///
/// Why nobody was let in, or why it could not go on.
pub async fn run(arguments: &Arguments) -> Result<(), ShareError> {
    executor::shield().map_err(|source| ShareError::System { what: "keep other programs out", source })?;
    let config = arguments.resolve()?;
    let organisations = config.organisations.iter().map(load_organisation).collect::<Result<Vec<_>, _>>()?;
    audit::files::private_dir(&config.state_dir)
        .map_err(|source| ShareError::StateDir { path: config.state_dir.clone(), source })?;
    let signals = Signals::install().map_err(|source| ShareError::System { what: "take signals", source })?;
    let events = Events::new(arguments.json);
    let relay = format!("{}:{}", config.relay.host(), config.relay.port());
    let (stage, views) = Stage::new(relay);
    let options = NodeOptions { carrier: config.carrier, ..NodeOptions::default() };
    let (node, control) = Node::start(config.relay.clone(), options).await?;
    let reach =
        Reach { hosts: config.probe_hosts.clone(), portal_host: config.portal_check_host.clone(), ..Reach::default() };
    let watch =
        Watch::start(config.relay.clone(), reach, config.history.clone().map(|folder| (folder, config.history_every)))
            .map_err(|source| ShareError::System { what: "start a thread", source })?;
    let (acts, inbox) = mpsc::channel(ACTS);
    let front_end = FrontEnd::start(arguments, &config.state_dir, views, acts, &events).await?;
    let mut share = Share {
        config,
        organisations,
        node,
        control,
        unread: VecDeque::new(),
        acts: inbox,
        signals,
        stage,
        events: events.clone(),
        key: Arc::new(SigningKey::generate(&mut OsRng)),
        present: front_end.sees_the_person_from_the_start(),
        executor: Executor::this_program(),
        watch,
    };
    let outcome = tokio::select! {
        biased;
        outcome = share.serve() => outcome,
        never = front_end.keep_reachable(&events) => match never {},
    };
    front_end.shutdown().await;
    share.node.close().await;
    share.watch.end().await;
    outcome
}

fn load_organisation(path: &PathBuf) -> Result<TrustedOrganisation, ShareError> {
    let refuse = |reason: String| ShareError::Organisation { path: path.clone(), reason };
    let text = std::fs::read_to_string(path).map_err(|error| refuse(error.to_string()))?;
    TrustedOrganisation::from_pem(&text).map_err(|error| refuse(error.to_string()))
}

/// Everything that lives as long as the program.
#[derive(Debug)]
struct Share {
    config: ShareConfig,
    organisations: Vec<TrustedOrganisation>,
    node: Node,
    control: Control,
    /// What the relay said while a technician was being looked at.
    unread: VecDeque<ControlEvent>,
    acts: mpsc::Receiver<UserAct>,
    signals: Signals,
    stage: Stage,
    events: Events,
    key: Arc<SigningKey>,
    /// Whether the front end sees the person now.
    present: bool,
    executor: Executor,
    /// Measures from the start, so that a technician sees the minutes before.
    watch: Watch,
}

/// The code that is shown.
#[derive(Debug)]
struct Shown {
    code: SessionCode,
    tries: CodeTries,
}

/// What can happen while no session is on.
#[derive(Debug)]
enum Happened {
    Act(UserAct),
    Relay(ControlEvent),
    Signal,
    CodeLapsed,
}

impl Share {
    async fn serve(&mut self) -> Result<(), ShareError> {
        match self.wait_for_technician().await? {
            Some(attached) => {
                self.watch.attend();
                live::serve(self, attached).await
            }
            None => {
                let reason = "You stopped before anybody was let in.".to_owned();
                self.events.ended(&reason);
                self.stage.phase(Phase::Ended { reason, receipt: None });
                Ok(())
            }
        }
    }

    /// Shows codes until a technician proved one. `None`: the person does not want to go on.
    async fn wait_for_technician(&mut self) -> Result<Option<Attached>, ShareError> {
        let mut shown: Option<Shown> = None;
        // Somebody may be reading one out that leads nowhere.
        let mut code_lost = false;
        loop {
            let lapses_at = shown.as_ref().map(|shown| shown.tries.lapses_at());
            match self.next(lapses_at).await {
                Happened::Signal => return Ok(None),
                Happened::Act(act) => match act {
                    UserAct::Stop | UserAct::FrontEndGone => return Ok(None),
                    UserAct::NewCode if shown.is_none() => self.ask_for_code(),
                    UserAct::Present => self.present = true,
                    UserAct::Away(_) => self.present = false,
                    UserAct::NewCode
                    | UserAct::Answer(_)
                    | UserAct::Revoke(_)
                    | UserAct::Narrow(..)
                    | UserAct::StopRun(_) => {}
                },
                Happened::CodeLapsed => self.void(shown.take(), CodeVoid::Lapsed),
                Happened::Relay(ControlEvent::Up) => {
                    // A relay that was away has forgotten the code.
                    shown = None;
                    code_lost = false;
                    self.ask_for_code();
                }
                Happened::Relay(ControlEvent::Down { why, retry_in }) => {
                    let mut detail = format!("{why}; trying again in {}", wording::duration(retry_in));
                    if shown.take().is_some() {
                        code_lost = true;
                        self.events.code_void(&format!("The code does not work any more: {why}."));
                    }
                    if code_lost {
                        detail.push_str(". The code that was shown does not work any more; there will be a new one");
                    }
                    self.stage.phase(Phase::Connecting { detail });
                }
                Happened::Relay(ControlEvent::Message(message)) => {
                    if let Some(channel) = self.handle_relay(message, &mut shown)
                        && let Some(waiting) = &mut shown
                    {
                        match self.pair(channel, waiting).await {
                            pair::Outcome::Attached(attached) => {
                                self.release(waiting);
                                return Ok(Some(*attached));
                            }
                            pair::Outcome::Failed => match waiting.tries.check(clock::now()) {
                                Ok(()) => self.show(waiting),
                                Err(void) => self.void(shown.take(), void),
                            },
                            pair::Outcome::StoppedByUser => return Ok(None),
                        }
                    }
                }
                Happened::Relay(_) => {}
            }
        }
    }

    async fn next(&mut self, lapses_at: Option<Moment>) -> Happened {
        let lapse = async {
            match lapses_at {
                Some(moment) => clock::sleep_until(moment).await,
                None => std::future::pending().await,
            }
        };
        let relay = async {
            match self.unread.pop_front() {
                Some(event) => Some(event),
                None => self.control.recv().await,
            }
        };
        tokio::select! {
            biased;
            act = self.acts.recv() => Happened::Act(act.unwrap_or(UserAct::FrontEndGone)),
            () = self.signals.received() => Happened::Signal,
            event = relay => event.map_or(Happened::Signal, Happened::Relay),
            () = lapse => Happened::CodeLapsed,
        }
    }

    /// Takes a message of the relay. Returns the channel if a technician came by the code that is shown.
    fn handle_relay(&mut self, message: FromRelay, shown: &mut Option<Shown>) -> Option<ChannelId> {
        match message {
            FromRelay::LocatorAllocated { locator, .. } if shown.is_none() && locator.is_valid() => {
                let code = SessionCode::draw(locator, &mut OsRng);
                let waiting = Shown { code, tries: CodeTries::new(clock::now()) };
                self.show(&waiting);
                *shown = Some(waiting);
                None
            }
            FromRelay::LocatorAllocated { .. } => None,
            FromRelay::Refused { reason } if shown.is_none() => {
                self.stage.phase(Phase::CodeVoid { reason: wording::refused(reason) });
                None
            }
            FromRelay::LocatorLapsed { locator } => {
                if shown.as_ref().is_some_and(|shown| shown.code.locator() == locator) {
                    self.void(shown.take(), CodeVoid::TriesUsedUp);
                }
                None
            }
            FromRelay::ChannelOpen { channel, origin: ChannelOrigin::Attach, .. } if shown.is_some() => Some(channel),
            FromRelay::ChannelOpen { channel, .. } => {
                self.tell(ToRelay::CloseChannel { channel });
                None
            }
            FromRelay::Refused { .. } | FromRelay::ChannelClosed { .. } | FromRelay::Draining { .. } | _ => None,
        }
    }

    /// Tells the relay something, if there is a connection. It is never waited for: a relay that is away comes back with
    /// [`ControlEvent::Up`], and everything that still matters is said again then.
    fn tell(&self, message: ToRelay) {
        let _ = self.control.send(message).now_or_never();
    }

    fn ask_for_code(&mut self) {
        let detail = "Asking the relay for a code".to_owned();
        self.stage.phase(Phase::Connecting { detail });
        self.tell(ToRelay::AllocateLocator);
    }

    fn show(&mut self, shown: &Shown) {
        let expires_in = shown.tries.lapses_at() - clock::now();
        let code = shown.code.to_string();
        self.events.code(&code, expires_in);
        let expires_in_ms = u64::try_from(expires_in.as_millis()).unwrap_or(0);
        self.stage.phase(Phase::Waiting { code, expires_in_ms });
    }

    /// Tells the relay that nobody may attach by this code any more.
    fn release(&mut self, shown: &Shown) {
        self.tell(ToRelay::ReleaseLocator { locator: shown.code.locator() });
    }

    fn void(&mut self, shown: Option<Shown>, why: CodeVoid) {
        if let Some(shown) = &shown {
            self.release(shown);
        }
        let reason = match why {
            CodeVoid::Lapsed => "The code was not used in time.",
            CodeVoid::TriesUsedUp => {
                "The code was tried too often, so it is void. If somebody read it from you, they may have mistyped it; \
                 or somebody guessed."
            }
            CodeVoid::Used | _ => "The code has been used.",
        };
        self.events.code_void(reason);
        self.stage.phase(Phase::CodeVoid { reason: reason.to_owned() });
    }
}

/// Signals that end the program. A terminal that is closed is the terminal front end's to notice.
#[derive(Debug)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    /// Only taken so that a log over the size limit of the process is a write error and not the end of the process.
    _file_size: tokio::signal::unix::Signal,
}

impl Signals {
    fn install() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let file_size = rustix::process::Signal::XFSZ.as_raw();
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            _file_size: signal(SignalKind::from_raw(file_size))?,
        })
    }

    /// Waits for a signal that asks the program to end.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: no signal is lost.
    async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

//! The terminal: takes keys and the session's news, draws, and puts the terminal back in order whatever happens.

use std::{future::pending, io, panic, pin::pin, sync::Arc, sync::Once, time::Duration};

use crossterm::{
    event::{DisableBracketedPaste, EnableBracketedPaste, Event, EventStream},
    execute,
    terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode},
};
use futures_util::StreamExt as _;
use ratatui::{Terminal, backend::CrosstermBackend};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use transport::clock;
use wire::{ids::RunId, run::RunLimits, text::Sentence};

use super::{
    draw,
    keys::{self, KeyAct},
    model::Model,
};
use crate::{
    local::protocol::{Bytes, RefusedReason, RequestAsk, RunAsk},
    output,
    owner::{AttachError, Command, Handle, Outcome, Viewer},
    signals::Signals,
};

/// Shortest time between two pictures: a burst of keys or news is drawn once.
const FRAME: Duration = Duration::from_millis(16);

/// How long abilities are asked for from the screen; the end user and the device may give less.
const STAY_SECS: u32 = 3600;

/// Why the screen cannot go on.
#[derive(Debug, thiserror::Error)]
#[error("the terminal cannot be used")]
pub(crate) struct ScreenError(#[from] io::Error);

/// Shows a session until it is over and the person has seen that, or until they leave.
///
/// # Errors
///
/// If the terminal fails; the session is ended then.
pub(crate) async fn run(
    handle: Handle,
    session: impl Future<Output = Result<Outcome, AttachError>>,
) -> Result<Result<Outcome, AttachError>, ScreenError> {
    let mut session = pin!(session);
    let mut screen = Screen::enter(handle)?;
    loop {
        tokio::select! {
            biased;
            result = &mut session => return match result {
                // An attach that failed is told below the shell's prompt, where it stays.
                Err(error) => Ok(Err(error)),
                Ok(outcome) => {
                    screen.show_end().await?;
                    Ok(Ok(outcome))
                }
            },
            shown = screen.step() => if let Err(error) = shown {
                // Without a terminal nobody sees what goes on, so nothing goes on.
                screen.leave();
                let _ = session.await;
                return Err(error);
            },
        }
    }
}

struct Screen {
    terminal: Terminal<CrosstermBackend<io::Stdout>>,
    /// Puts the terminal back in order.
    _guard: Guard,
    events: EventStream,
    signals: Signals,
    handle: Handle,
    /// Tells the machine what is on the screen.
    viewer: Viewer,
    model: Model,
    /// What the session said to the newest thing that was asked from here.
    answer: Option<Answer>,
    leaving: bool,
    /// When the next picture is due; none while nothing has changed.
    due: Option<Instant>,
    drawn_at: Option<Instant>,
}

enum Answer {
    Run(oneshot::Receiver<Result<RunId, RefusedReason>>),
    Request(oneshot::Receiver<Result<(), RefusedReason>>),
}

impl Screen {
    fn enter(handle: Handle) -> Result<Self, ScreenError> {
        let guard = Guard::enter()?;
        let terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
        let status = handle.status.borrow().as_ref().clone();
        let model = Model::new(status, output::colour());
        let viewer = handle.viewers.open(draw::view(&model, terminal.size()?));
        Ok(Self {
            terminal,
            _guard: guard,
            events: EventStream::new(),
            signals: Signals::new()?,
            handle,
            viewer,
            model,
            answer: None,
            leaving: false,
            due: Some(Instant::now()),
            drawn_at: None,
        })
    }

    /// Takes the next thing that happens, or draws what came of those before. Cancel safe: nothing that was taken is lost.
    async fn step(&mut self) -> Result<(), ScreenError> {
        tokio::select! {
            biased;
            () = until(self.due) => return self.draw(),
            event = self.events.next() => match event {
                Some(Ok(Event::Key(key))) => {
                    let act = keys::press(&mut self.model, key);
                    self.act(act);
                }
                Some(Ok(Event::Paste(text))) => keys::paste(&mut self.model, &text),
                Some(Ok(Event::Resize(..) | Event::FocusGained | Event::FocusLost | Event::Mouse(_))) => {}
                Some(Err(error)) => return Err(error.into()),
                None => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            },
            () = self.signals.any() => self.leave(),
            changed = self.handle.status.changed() => if changed.is_ok() {
                self.model.status = self.handle.status.borrow_and_update().as_ref().clone();
                self.model.sample_age = clock::now() - self.handle.readings.borrow().at;
            } else {
                pending::<()>().await;
            },
            changed = self.handle.readings.changed() => if changed.is_ok() {
                let readings = self.handle.readings.borrow_and_update().clone();
                self.model.card = readings.card;
                self.model.findings = readings.findings;
                if let Some(sample) = readings.sample {
                    self.model.take_sample(sample);
                }
            } else {
                pending::<()>().await;
            },
            refused = refused(&mut self.answer) => {
                self.answer = None;
                if let Some(reason) = refused {
                    self.model.notice = Some(format!("Not asked: {reason}"));
                }
            }
        }
        self.draw_soon();
        Ok(())
    }

    /// Lets a picture be drawn, at most one in a [`FRAME`]: a burst of keys or news is drawn once and handled at once.
    fn draw_soon(&mut self) {
        let now = Instant::now();
        self.due.get_or_insert(self.drawn_at.map_or(now, |drawn_at| (drawn_at + FRAME).max(now)));
    }

    fn draw(&mut self) -> Result<(), ScreenError> {
        let Self { terminal, model, .. } = self;
        let drawn = terminal.draw(|frame| draw::draw(frame, model))?;
        self.viewer.look(draw::view(model, drawn.area.as_size()));
        self.due = None;
        self.drawn_at = Some(Instant::now());
        Ok(())
    }

    fn act(&mut self, act: Option<KeyAct>) {
        match act {
            Some(KeyAct::Leave) => self.leave(),
            Some(KeyAct::Run(words)) => self.ask_run(words),
            Some(KeyAct::Request(abilities)) => {
                let (replies, _nobody) = mpsc::channel(1);
                let (accepted, answer) = oneshot::channel();
                let ask = RequestAsk { abilities, reason: Sentence::default(), stay_secs: STAY_SECS };
                self.send(Command::Request { ask, replies, accepted });
                self.answer = Some(Answer::Request(answer));
            }
            Some(KeyAct::CancelRun(run)) => self.send(Command::CancelRun { run: RunId(run) }),
            None => {}
        }
    }

    fn ask_run(&mut self, words: Vec<String>) {
        let limits = RunLimits::DEFAULT;
        let ask = RunAsk {
            reason: Sentence::default(),
            command: words.into_iter().map(|word| Bytes(word.into_bytes())).collect(),
            directory: None,
            environment: Vec::new(),
            time_secs: limits.time_secs,
            output_bytes: limits.output_bytes,
            memory_mib: limits.memory_mib,
        };
        // The end of the output is shown from what the session keeps of it.
        let (replies, _nobody) = mpsc::channel(1);
        let (accepted, answer) = oneshot::channel();
        self.send(Command::Run { ask, replies, accepted });
        self.answer = Some(Answer::Run(answer));
    }

    fn send(&mut self, command: Command) {
        if self.handle.commands.try_send(command).is_err() {
            self.model.notice = Some("The session takes nothing more at the moment".to_owned());
        }
    }

    /// Ends the session; asked twice, it changes nothing.
    fn leave(&mut self) {
        self.leaving = true;
        self.send(Command::End);
        self.model.notice = Some("Leaving…".to_owned());
    }

    /// Shows the end until the person has seen it. One who left has.
    async fn show_end(&mut self) -> Result<(), ScreenError> {
        self.model.status = Arc::clone(&self.handle.status.borrow()).as_ref().clone();
        self.model.overlay = super::model::Overlay::None;
        self.model.notice = None;
        self.draw_soon();
        while !self.leaving {
            tokio::select! {
                biased;
                () = until(self.due) => self.draw()?,
                event = self.events.next() => match event {
                    Some(Ok(Event::Key(key))) => {
                        if keys::press(&mut self.model, key) == Some(KeyAct::Leave) {
                            self.leaving = true;
                        }
                        self.draw_soon();
                    }
                    Some(Ok(Event::Resize(..) | Event::FocusGained | Event::FocusLost | Event::Mouse(_) | Event::Paste(_))) => self.draw_soon(),
                    Some(Err(_)) | None => self.leaving = true,
                },
                () = self.signals.any() => self.leaving = true,
            }
        }
        Ok(())
    }
}

/// Returns when a picture is due. Cancel safe.
async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => pending().await,
    }
}

/// What the session said, if it refused; never returns without a question.
async fn refused(answer: &mut Option<Answer>) -> Option<RefusedReason> {
    let answered = match answer {
        Some(Answer::Run(answer)) => answer.await.map(|answer| answer.err()),
        Some(Answer::Request(answer)) => answer.await.map(|answer| answer.err()),
        None => pending().await,
    };
    // A session that is over says so by itself.
    answered.unwrap_or(None)
}

/// Holds the terminal in raw mode on its other screen, and puts it back when dropped or when something panics.
pub(crate) struct Guard;

impl Guard {
    /// Takes the terminal over.
    ///
    /// # Errors
    ///
    /// If the terminal fails; it is as before then.
    pub(crate) fn enter() -> io::Result<Self> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let before = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                restore();
                before(info);
            }));
        });
        enable_raw_mode()?;
        // From here on whatever fails puts the terminal back.
        let guard = Self;
        execute!(io::stdout(), EnterAlternateScreen, EnableBracketedPaste)?;
        Ok(guard)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        restore();
    }
}

/// Nobody can be told if this fails: the terminal is gone then.
fn restore() {
    let _ = execute!(io::stdout(), DisableBracketedPaste, LeaveAlternateScreen, crossterm::cursor::Show);
    let _ = disable_raw_mode();
}

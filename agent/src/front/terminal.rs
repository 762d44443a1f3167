//! The person's terminal: what happens is written, questions are answered by typing the word that they show.
//!
//! | module | |
//! |---|---|
//! | `dialogue` | what is written and what a key means, without a terminal |
//! | `render` | a view as lines of text |
//! | `text` | lines, their width, their colours |
//! | `keys` | bytes to keys |
//! | `tty` | the terminal: raw mode, reading, writing, giving it back |
//!
//! Questions and what happened are written once and stay in the terminal's history. Below them a few lines change in place: the
//! session code, who can do what for how long, or the line that is being typed.

mod dialogue;
mod keys;
mod render;
mod text;
mod tty;

use std::{io, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use transport::clock;

use self::{
    dialogue::{Dialogue, Output},
    text::{Colour, Line},
    tty::{Size, Tty},
};
use super::FrontError;
use crate::view::{UserAct, View};

/// How often running times, which are in seconds, are written anew.
const TICK: Duration = Duration::from_secs(1);

/// How long the rest of an escape sequence may take before an ESC counts as the key.
const ESCAPE_WAIT: Duration = Duration::from_millis(100);

/// How long the last lines may take to reach the terminal at the end.
const LAST_WRITE: Duration = Duration::from_millis(500);

/// Bytes that wait for a terminal that does not take them (a hung connection). Beyond it the changing lines are left out
/// until there is room; lines that stay are kept: few acts write any, and each needs a person or ends a session.
const BACKLOG_BYTES: usize = 64 * 1024;

/// Most that is read at once. A person does not type more.
const READ_BYTES: usize = 4096;

/// Narrower than this, lines are broken as if it were this wide.
const NARROWEST: usize = 24;

/// The person's terminal, in raw mode. Dropping it gives the terminal back.
#[derive(Debug)]
pub struct TerminalFrontEnd {
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl TerminalFrontEnd {
    /// Takes the terminal that the program was started at.
    ///
    /// Sends [`UserAct::FrontEndGone`] when the terminal is closed; the person counts as there until then. From here on SIGHUP
    /// no longer ends the process: the session ends in order instead.
    ///
    /// # Errors
    ///
    /// [`FrontError::NoTerminal`], [`FrontError::DumbTerminal`], [`FrontError::Background`], [`FrontError::Terminal`].
    #[expect(clippy::unused_async, reason = "it registers with the runtime, and so needs to run in one")]
    pub async fn start(view: watch::Receiver<View>, acts: mpsc::Sender<UserAct>) -> Result<Self, FrontError> {
        let hangup = signal(SignalKind::hangup()).map_err(FrontError::Terminal)?;
        Ok(Self::on(Tty::open()?, hangup, view, acts))
    }

    fn on(tty: Tty, hangup: Signal, view: watch::Receiver<View>, acts: mpsc::Sender<UserAct>) -> Self {
        let stop = CancellationToken::new();
        let now = clock::now();
        let size = tty.size();
        let first = view.borrow().clone();
        let actor = Actor {
            dialogue: Dialogue::new(first, width(size), now),
            screen: Screen { colour: colour(), live: Vec::new(), pending: Vec::new() },
            size,
            tty,
            hangup,
            view,
            acts,
            stop: stop.clone(),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(actor.run());
        Self { stop, tasks }
    }

    /// Writes the last view, then gives the terminal back.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Whether colours are wanted: <https://no-color.org>.
fn colour() -> Colour {
    if std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) { Colour::Off } else { Colour::On }
}

/// One cell is left free, because terminals differ in what they do after the last one.
fn width(size: Size) -> usize {
    size.columns.saturating_sub(1).max(NARROWEST)
}

struct Actor {
    tty: Tty,
    size: Size,
    hangup: Signal,
    view: watch::Receiver<View>,
    acts: mpsc::Sender<UserAct>,
    stop: CancellationToken,
    dialogue: Dialogue,
    screen: Screen,
}

/// Why the conversation is over.
enum Over {
    /// The program ends it.
    Stopped,
    /// The terminal is gone.
    Gone,
}

impl Actor {
    async fn run(mut self) {
        match self.converse().await {
            Over::Stopped => self.say_goodbye().await,
            Over::Gone => {
                tracing::info!("the terminal was closed");
                self.send(UserAct::FrontEndGone).await;
            }
        }
    }

    async fn converse(&mut self) -> Over {
        let mut buffer = [0; READ_BYTES];
        loop {
            self.carry_out().await;
            let patience = if self.dialogue.is_waiting() { ESCAPE_WAIT } else { clock::until_beat(TICK) };
            // Every branch is cancel-safe: reads and writes happen only when their branch is taken.
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Over::Stopped,
                _ = self.hangup.recv() => return Over::Gone,
                written = self.tty.write(&self.screen.pending), if !self.screen.pending.is_empty() => match written {
                    Ok(count) => self.screen.written(count),
                    Err(error) if is_passing(&error) => {}
                    Err(_) => return Over::Gone,
                },
                read = self.tty.read(&mut buffer) => match read {
                    Ok(0) => return Over::Gone,
                    Ok(count) => {
                        let bytes = buffer.get(..count).unwrap_or_default();
                        self.dialogue.handle_input(bytes, clock::now());
                    }
                    Err(error) if is_passing(&error) => {}
                    Err(_) => return Over::Gone,
                },
                changed = self.view.changed() => {
                    if changed.is_err() {
                        return Over::Stopped;
                    }
                    self.take_view();
                }
                () = sleep(patience) => self.dialogue.give_up_waiting(),
            }
        }
    }

    fn take_view(&mut self) {
        let view = self.view.borrow_and_update().clone();
        self.dialogue.handle_view(view, clock::now());
    }

    /// Does what the dialogue wants, then brings the changing lines up to date.
    async fn carry_out(&mut self) {
        let size = self.tty.size();
        if size != self.size {
            self.size = size;
            self.dialogue.handle_width(width(size));
        }
        let frame = self.screen.pending.len();
        while let Some(output) = self.dialogue.poll_output() {
            match output {
                Output::Write(lines) => self.screen.write(&lines),
                Output::DiscardInput => self.tty.discard_input(),
                Output::Act(act) => self.send(act).await,
            }
        }
        if self.screen.pending.len() < BACKLOG_BYTES {
            // One row is left for what the terminal itself may put there.
            let height = self.size.rows.saturating_sub(1).max(3);
            self.screen.draw(self.dialogue.live_lines(height, clock::now()));
        }
        self.screen.end_frame(frame);
        if self.screen.pending.is_empty() {
            self.dialogue.all_written();
        }
    }

    /// Hands an act to the session, unless it is no longer there.
    async fn send(&mut self, act: UserAct) {
        tokio::select! {
            biased;
            // An error means that there is no session any more that the act could be for.
            _ = self.acts.send(act) => {}
            // Whoever stops this no longer takes acts.
            () = self.stop.cancelled() => {}
        }
    }

    async fn say_goodbye(&mut self) {
        self.take_view();
        self.carry_out().await;
        self.screen.draw(Vec::new());
        let write = async {
            while !self.screen.pending.is_empty() {
                match self.tty.write(&self.screen.pending).await {
                    Ok(count) => self.screen.written(count),
                    Err(error) if is_passing(&error) => {}
                    Err(_) => return,
                }
            }
        };
        // A terminal that takes nothing any more must not keep the program from ending.
        let _ = timeout(LAST_WRITE, write).await;
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock)
}

/// What stands on the terminal, and the bytes that bring it there.
#[derive(Debug)]
struct Screen {
    colour: Colour,
    /// The changing lines as they were drawn last; the cursor stands at the end of the last one.
    live: Vec<Line>,
    pending: Vec<u8>,
}

impl Screen {
    /// Writes lines that stay. The changing ones below them have to be drawn again.
    fn write(&mut self, lines: &[Line]) {
        self.erase();
        for line in lines {
            line.paint(self.colour, &mut self.pending);
            self.pending.extend_from_slice(b"\r\n");
        }
    }

    /// Draws the changing lines, if they changed.
    fn draw(&mut self, lines: Vec<Line>) {
        if lines == self.live {
            return;
        }
        self.erase();
        for (index, line) in lines.iter().enumerate() {
            if index > 0 {
                self.pending.extend_from_slice(b"\r\n");
            }
            line.paint(self.colour, &mut self.pending);
        }
        self.live = lines;
    }

    /// Takes the changing lines away: up to the first one, to its left edge, and everything below.
    fn erase(&mut self) {
        if self.live.is_empty() {
            return;
        }
        let up = self.live.len() - 1;
        if up > 0 {
            self.pending.extend_from_slice(format!("\x1b[{up}A").as_bytes());
        }
        self.pending.extend_from_slice(b"\r\x1b[J");
        self.live.clear();
    }

    /// Has the terminal show all that was written since `pending` had `start` bytes at once, if it knows how
    /// (<https://github.com/contour-terminal/vt-extensions/blob/master/synchronized-output.md>): a question must not vanish for a moment
    /// while it is drawn again.
    fn end_frame(&mut self, start: usize) {
        if self.pending.len() > start {
            self.pending.splice(start..start, *b"\x1b[?2026h");
            self.pending.extend_from_slice(b"\x1b[?2026l");
        }
    }

    fn written(&mut self, count: usize) {
        self.pending.drain(..count.min(self.pending.len()));
    }
}

#[cfg(test)]
mod tests;

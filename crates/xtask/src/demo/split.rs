//! Two people at one terminal: the agent's screen and the technician's, drawn side by side or one above the other.
//!
//! Keys go to one of the two at a time; Ctrl-N goes over to the other. Nothing goes over by itself: a key meant for one person
//! must never answer for the other.

use std::{fmt::Write as _, time::Duration};

use anyhow::{Context as _, bail};
use pty::{Changed, Console, Size, Terminal};
use rustix::process::Signal;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant, sleep_until},
};

use super::{ConsentAt, Stage, explanation};

/// Goes over to the other person.
const OTHER: u8 = 0x0e;

/// Leaves the demo.
const QUIT: u8 = 0x11;

/// Ctrl-C goes to the person in front; the second one leaves the demo.
const INTERRUPT: u8 = 0x03;

/// Lines of explanation at the top.
const HEADER_ROWS: u16 = 3;

/// What one screen needs to be readable.
const PANE: Size = Size { rows: 14, columns: 78 };

/// Between two drawings.
const FRAME: Duration = Duration::from_millis(30);

/// How long a program may take to end when it is asked to.
const FAREWELL: Duration = Duration::from_secs(5);

const PERSON: usize = 0;
const TECHNICIAN: usize = 1;
const TITLES: [&str; 2] = ["the person at the machine", "the technician"];

/// Shows both until they have ended or somebody leaves.
pub(super) async fn show(stage: &Stage, link: &str) -> anyhow::Result<()> {
    let console = Console::take_over().context("there is no terminal to show the demo in")?;
    let size = console.size()?;
    let layout = Layout::of(size)?;
    let mut share = stage.share(link);
    share.args(["--consent", "terminal"]);
    let agent = Terminal::start(share, layout.pane(PERSON)).context("assent-share does not start")?;
    let mut split = Split {
        console,
        layout,
        header: explanation(ConsentAt::Terminal),
        panes: [Some(agent), None],
        closed: [false; 2],
        front: PERSON,
        interrupts: 0,
        drawn: Vec::new(),
    };
    let shown = split.run(stage, link).await;
    let [agent, technician] = split.panes;
    for terminal in [technician, agent].into_iter().flatten() {
        leave(terminal).await;
    }
    shown
}

async fn leave(mut terminal: Terminal) {
    // Whatever goes wrong here, dropping kills what is left.
    if terminal.signal(Signal::TERM).is_ok() {
        let _ = terminal.wait_exit(FAREWELL).await;
    }
}

struct Split {
    console: Console,
    layout: Layout,
    header: [&'static str; 3],
    panes: [Option<Terminal>; 2],
    closed: [bool; 2],
    front: usize,
    interrupts: u32,
    /// Rows as they are on the screen, to draw only what changed.
    drawn: Vec<String>,
}

/// What a key did to the demo.
#[derive(Debug, PartialEq, Eq)]
enum Going {
    On,
    Out,
}

impl Split {
    async fn run(&mut self, stage: &Stage, link: &str) -> anyhow::Result<()> {
        let mut resized = signal(SignalKind::window_change())?;
        let mut draw_at = Some(Instant::now());
        loop {
            let [agent, technician] = &mut self.panes;
            let [agent_closed, technician_closed] = self.closed;
            tokio::select! {
                biased;
                keys = self.console.read() => {
                    let keys = keys?;
                    if keys.is_empty() || self.press(&keys).await? == Going::Out {
                        return Ok(());
                    }
                }
                _ = resized.recv() => {
                    self.resize()?;
                }
                () = async { sleep_until(draw_at.unwrap_or_else(Instant::now)).await }, if draw_at.is_some() => {
                    draw_at = None;
                    self.draw().await?;
                    continue;
                }
                changed = changed(agent), if !agent_closed => {
                    self.closed[PERSON] = changed == Changed::Closed;
                    self.bring_technician(stage, link)?;
                }
                changed = changed(technician), if !technician_closed => {
                    self.closed[TECHNICIAN] = changed == Changed::Closed;
                }
            }
            draw_at.get_or_insert_with(|| Instant::now() + FRAME);
        }
    }

    /// Starts the technician as soon as the person's screen shows a code.
    fn bring_technician(&mut self, stage: &Stage, link: &str) -> anyhow::Result<()> {
        let code = self.panes[PERSON].as_ref().and_then(|agent| code_on(&agent.text()));
        if let (Some(code), None) = (code, &self.panes[TECHNICIAN]) {
            let technician = Terminal::start(stage.technician(link, &code), self.layout.pane(TECHNICIAN));
            self.panes[TECHNICIAN] = Some(technician.context("assent does not start")?);
        }
        Ok(())
    }

    async fn press(&mut self, keys: &[u8]) -> anyhow::Result<Going> {
        if self.is_over() {
            return Ok(Going::Out);
        }
        let mut passed = Vec::new();
        for key in keys {
            match *key {
                QUIT => return Ok(Going::Out),
                OTHER => {
                    self.pass(&passed).await;
                    passed.clear();
                    self.front = 1 - self.front;
                }
                INTERRUPT if self.interrupts > 0 => return Ok(Going::Out),
                key => {
                    self.interrupts += u32::from(key == INTERRUPT);
                    passed.push(key);
                }
            }
        }
        self.pass(&passed).await;
        Ok(Going::On)
    }

    /// Keys for a program that has ended go nowhere.
    async fn pass(&self, keys: &[u8]) {
        if let Some(terminal) = &self.panes[self.front] {
            let _ = terminal.send(keys).await;
        }
    }

    fn is_over(&self) -> bool {
        self.closed[PERSON] && (self.closed[TECHNICIAN] || self.panes[TECHNICIAN].is_none())
    }

    fn resize(&mut self) -> anyhow::Result<()> {
        // A screen that became too small keeps its old layout and is cut off by the terminal.
        if let Ok(layout) = Layout::of(self.console.size()?) {
            self.layout = layout;
            self.drawn.clear();
            for (which, terminal) in self.panes.iter().enumerate() {
                if let Some(terminal) = terminal {
                    terminal.resize(layout.pane(which))?;
                }
            }
        }
        Ok(())
    }

    async fn draw(&mut self) -> anyhow::Result<()> {
        let rows = self.compose();
        // Synchronized output, where the terminal has it, shows the frame at once.
        let mut out = String::from("\x1b[?2026h\x1b[?25l");
        if self.drawn.len() != rows.len() {
            out.push_str("\x1b[0m\x1b[2J");
            self.drawn = vec![String::new(); rows.len()];
        }
        for (number, (row, drawn)) in rows.iter().zip(&self.drawn).enumerate() {
            if row != drawn {
                write!(out, "\x1b[{};1H{row}", number + 1)?;
            }
        }
        if let Some((row, column)) = self.cursor() {
            write!(out, "\x1b[{};{}H\x1b[?25h", row + 1, column + 1)?;
        }
        out.push_str("\x1b[?2026l");
        self.drawn = rows;
        Ok(self.console.write(out.as_bytes()).await?)
    }

    /// Every row of the terminal.
    fn compose(&self) -> Vec<String> {
        let columns = self.layout.size.columns;
        let mut rows = self.header.iter().map(|line| fit(line, columns)).collect::<Vec<_>>();
        let panes = [PERSON, TECHNICIAN].map(|which| self.compose_pane(which));
        let [person, technician] = panes;
        match self.layout.kind {
            Kind::SideBySide => {
                rows.extend(person.into_iter().zip(technician).map(|(left, right)| format!("{left} {right}")));
            }
            Kind::Stacked => rows.extend(person.into_iter().chain(technician)),
            Kind::OneAtATime => rows.extend(if self.front == PERSON { person } else { technician }),
        }
        rows
    }

    /// A title bar and the screen below it.
    fn compose_pane(&self, which: usize) -> Vec<String> {
        let size = self.layout.pane(which);
        let state = match (self.is_over(), which == self.front) {
            (true, _) => "ended; any key leaves the demo",
            (false, true) => "your keys go here; Ctrl-N: to the other one; Ctrl-Q: leave the demo",
            (false, false) => "Ctrl-N brings your keys here",
        };
        let style = if which == self.front { "\x1b[7m" } else { "\x1b[2;7m" };
        let mut rows = vec![format!("{style}{}\x1b[0m", fit(&format!(" {} · {state}", TITLES[which]), size.columns))];
        match &self.panes[which] {
            Some(terminal) => rows.extend(terminal.screen().styled_rows(size.columns)),
            None => rows.push(fit(" waiting for a session code", size.columns)),
        }
        rows.resize_with(usize::from(size.rows) + 1, || fit("", size.columns));
        rows
    }

    /// Where the cursor of the person in front stands on the whole terminal.
    fn cursor(&self) -> Option<(u16, u16)> {
        let (row, column) = self.panes[self.front].as_ref()?.screen().cursor()?;
        let (top, left) = self.layout.corner(self.front);
        Some((top + row, left + column))
    }
}

async fn changed(terminal: &mut Option<Terminal>) -> Changed {
    match terminal {
        Some(terminal) => terminal.changed().await,
        None => std::future::pending().await,
    }
}

/// How the terminal is shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Layout {
    kind: Kind,
    size: Size,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    SideBySide,
    Stacked,
    OneAtATime,
}

impl Layout {
    fn of(size: Size) -> anyhow::Result<Self> {
        let below = size.rows.saturating_sub(HEADER_ROWS);
        let kind = if size.columns > 2 * PANE.columns && below > PANE.rows {
            Kind::SideBySide
        } else if size.columns >= PANE.columns && below >= 2 * (PANE.rows + 1) {
            Kind::Stacked
        } else if size.columns >= PANE.columns && below > PANE.rows {
            Kind::OneAtATime
        } else {
            bail!(
                "the terminal has {} columns and {} rows; the demo needs {} and {}",
                size.columns,
                size.rows,
                PANE.columns,
                PANE.rows + HEADER_ROWS + 1
            );
        };
        Ok(Self { kind, size })
    }

    /// Size of one screen, without its title bar.
    fn pane(self, which: usize) -> Size {
        let below = self.size.rows - HEADER_ROWS;
        match self.kind {
            Kind::SideBySide => Size { rows: below - 1, columns: (self.size.columns - 1) / 2 },
            Kind::Stacked => {
                let upper = below / 2;
                let rows = if which == PERSON { upper } else { below - upper };
                Size { rows: rows - 1, columns: self.size.columns }
            }
            Kind::OneAtATime => Size { rows: below - 1, columns: self.size.columns },
        }
    }

    /// Row and column of a screen's first cell.
    fn corner(self, which: usize) -> (u16, u16) {
        let top = HEADER_ROWS + 1;
        match self.kind {
            Kind::SideBySide if which == TECHNICIAN => (top, self.pane(PERSON).columns + 1),
            Kind::Stacked if which == TECHNICIAN => (top + self.pane(PERSON).rows + 1, 0),
            Kind::SideBySide | Kind::Stacked | Kind::OneAtATime => (top, 0),
        }
    }
}

/// `text` cut or filled with blanks to exactly so many columns. The texts here have no wide characters.
fn fit(text: &str, columns: u16) -> String {
    format!("{text:<width$.width$}", width = usize::from(columns))
}

/// The session code in `text`, in the groups in which it is read out.
fn code_on(text: &str) -> Option<String> {
    let words = text.split_whitespace().collect::<Vec<_>>();
    let is_code = |group: &&[&str]| {
        let lengths = group.iter().map(|word| word.len()).collect::<Vec<_>>();
        let digits = group.iter().all(|word| word.bytes().all(|byte| byte.is_ascii_digit()));
        digits && matches!(lengths[..], [4, 3, 4] | [5, 4, 3] | [6, 4, 3])
    };
    words.windows(3).find(is_code).map(|group| group.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_layout_fills_the_terminal_exactly() {
        for (rows, columns) in [(24, 80), (18, 78), (40, 100), (60, 200), (33, 157), (24, 160)] {
            let layout = Layout::of(Size { rows, columns }).unwrap();
            let (person, technician) = (layout.pane(PERSON), layout.pane(TECHNICIAN));
            let used = match layout.kind {
                Kind::SideBySide => {
                    assert!(person.columns + 1 + technician.columns <= columns);
                    person.rows + 1
                }
                Kind::Stacked => person.rows + technician.rows + 2,
                Kind::OneAtATime => person.rows + 1,
            };
            assert_eq!(used + HEADER_ROWS, rows, "{layout:?}");
            let (top, left) = layout.corner(TECHNICIAN);
            assert!(top + technician.rows <= rows && left + technician.columns <= columns, "{layout:?}");
            assert!(person.rows >= PANE.rows && person.columns >= PANE.columns, "{layout:?}");
        }
        assert!(Layout::of(Size { rows: 17, columns: 80 }).is_err());
        assert!(Layout::of(Size { rows: 60, columns: 77 }).is_err());
    }

    #[test]
    fn the_explanation_fits_into_the_narrowest_terminal() {
        for consent in [ConsentAt::Browser, ConsentAt::Terminal] {
            assert!(explanation(consent).iter().all(|line| line.chars().count() <= usize::from(PANE.columns)));
        }
    }

    #[test]
    fn a_line_fills_its_row() {
        assert_eq!(fit("ab", 4), "ab  ");
        assert_eq!(fit("abcdef", 4), "abcd");
    }

    #[test]
    fn a_code_is_read_as_it_is_shown() {
        assert_eq!(code_on("Read this out:\n\n   4821 936 0427  \n").as_deref(), Some("4821 936 0427"));
        assert_eq!(code_on("48215 9360 429").as_deref(), Some("48215 9360 429"));
        assert_eq!(code_on("valid for 10 minutes, 1234 56 7890"), None);
    }
}

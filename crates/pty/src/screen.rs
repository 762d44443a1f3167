//! What a person at the terminal would see.

use std::{fmt::Write as _, num::NonZeroU16};

/// Rows above the visible ones that [`Screen`] remembers.
const HISTORY_ROWS: usize = 2000;

/// Most bytes of raw output that are kept; older ones are forgotten first.
const RAW_BYTES: usize = 1 << 20;

/// The emulated screen, and everything that the program wrote to it.
pub struct Screen {
    parser: vt100::Parser<Extras>,
    raw: Vec<u8>,
    forgotten: usize,
}

impl Screen {
    pub(crate) fn new(rows: NonZeroU16, columns: NonZeroU16) -> Self {
        let parser = vt100::Parser::new_with_callbacks(rows, columns, HISTORY_ROWS, Extras::default());
        Self { parser, raw: Vec::new(), forgotten: 0 }
    }

    /// Takes output of the program; returns what the terminal answers to queries in it.
    pub(crate) fn process(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.parser.process(bytes);
        self.raw.extend_from_slice(bytes);
        if self.raw.len() > RAW_BYTES {
            let surplus = self.raw.len() - RAW_BYTES;
            self.raw.drain(..surplus);
            self.forgotten += surplus;
        }
        std::mem::take(&mut self.parser.callbacks_mut().replies).into_bytes()
    }

    /// Whether the program is in the middle of drawing and wants nobody to look until it is done
    /// (<https://github.com/contour-terminal/vt-extensions/blob/master/synchronized-output.md>).
    pub fn is_updating(&self) -> bool {
        self.parser.callbacks().is_updating
    }

    pub(crate) fn resize(&mut self, rows: NonZeroU16, columns: NonZeroU16) {
        self.parser.set_size(rows, columns);
    }

    /// The visible rows as plain text, one line each, without the cells behind the last written one.
    pub fn text(&self) -> String {
        self.parser.screen().contents()
    }

    /// The visible rows, each as text with the escape sequences of its colours, `columns` cells wide.
    ///
    /// A row begins and ends without any style and moves the cursor only by what it writes.
    pub fn styled_rows(&self, columns: u16) -> Vec<String> {
        let (rows, _) = self.parser.screen().size();
        (0..rows.get()).map(|row| self.styled_row(row, columns)).collect()
    }

    fn styled_row(&self, row: u16, columns: u16) -> String {
        let mut out = String::new();
        let mut style = String::new();
        let mut column = 0;
        while column < columns {
            let cell = self.parser.screen().cell(row, column);
            let wanted = cell.map(style_of).unwrap_or_default();
            if wanted != style {
                write!(out, "\x1b[0{wanted}m").expect("a String takes everything");
                style = wanted;
            }
            let fits = |cell: &&vt100::Cell| cell.has_contents() && !(cell.is_wide() && column + 1 == columns);
            match cell.filter(fits) {
                Some(cell) => {
                    out.push_str(cell.contents());
                    column += if cell.is_wide() { 2 } else { 1 };
                }
                None => {
                    out.push(' ');
                    column += 1;
                }
            }
        }
        out.push_str("\x1b[0m");
        out
    }

    /// Row and column of the cursor from zero, or `None` while the program hides it.
    pub fn cursor(&self) -> Option<(u16, u16)> {
        let screen = self.parser.screen();
        (!screen.hide_cursor()).then(|| screen.cursor_position())
    }

    /// Every byte that the program wrote, but at most the last MiB.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// Bytes that [`Screen::raw`] no longer holds.
    pub fn forgotten_bytes(&self) -> usize {
        self.forgotten
    }
}

impl std::fmt::Debug for Screen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Screen").field("text", &self.text()).finish_non_exhaustive()
    }
}

/// The parameters of "select graphic rendition" (ECMA-48 8.3.117) behind the leading zero.
fn style_of(cell: &vt100::Cell) -> String {
    let mut style = String::new();
    let switches = [(cell.bold(), 1), (cell.dim(), 2), (cell.italic(), 3), (cell.underline(), 4), (cell.inverse(), 7)];
    for (_, number) in switches.iter().filter(|(on, _)| *on) {
        write!(style, ";{number}").expect("a String takes everything");
    }
    for (colour, base) in [(cell.fgcolor(), 38), (cell.bgcolor(), 48)] {
        match colour {
            vt100::Color::Default => {}
            vt100::Color::Idx(index) => write!(style, ";{base};5;{index}").expect("a String takes everything"),
            vt100::Color::Rgb(r, g, b) => write!(style, ";{base};2;{r};{g};{b}").expect("a String takes everything"),
        }
    }
    style
}

/// What the emulator leaves to others.
#[derive(Default)]
struct Extras {
    /// Answers to what programs ask of a terminal; without them some wait for seconds before they draw anything.
    replies: String,
    is_updating: bool,
}

impl vt100::Callbacks for Extras {
    fn unhandled_csi(
        &mut self,
        screen: &mut vt100::Screen,
        i1: Option<u8>,
        _i2: Option<u8>,
        params: &[&[u16]],
        c: char,
    ) {
        let first = params.first().and_then(|group| group.first()).copied().unwrap_or(0);
        match (i1, c, first) {
            // Device status report: where is the cursor? (ECMA-48 8.3.35)
            (None, 'n', 6) => {
                let (row, column) = screen.cursor_position();
                write!(self.replies, "\x1b[{};{}R", row + 1, column + 1).expect("a String takes everything");
            }
            // Primary device attributes: a VT100 with advanced video.
            (None, 'c', 0) => self.replies.push_str("\x1b[?1;2c"),
            (Some(b'?'), 'h', 2026) => self.is_updating = true,
            (Some(b'?'), 'l', 2026) => self.is_updating = false,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screen() -> Screen {
        Screen::new(NonZeroU16::new(3).unwrap(), NonZeroU16::new(10).unwrap())
    }

    #[test]
    fn the_text_is_what_stands_on_the_screen_and_not_what_was_written() {
        let mut screen = screen();
        screen.process(b"first\r\nsecond\x1b[1;1Hlast");
        assert_eq!(screen.text(), "lastt\nsecond");
        assert!(screen.raw().starts_with(b"first"));
    }

    #[test]
    fn a_styled_row_is_as_wide_as_asked_and_ends_without_style() {
        let mut screen = screen();
        screen.process("\x1b[1;31mab\x1b[0mc\r\n\u{7530}\u{4e2d}x".as_bytes());
        let rows = screen.styled_rows(4);
        assert_eq!(rows[0], "\x1b[0;1;38;5;1mab\x1b[0mc \x1b[0m");
        assert_eq!(rows[1], "\u{7530}\u{4e2d}\x1b[0m");
        assert_eq!(screen.styled_rows(3)[1], "\u{7530} \x1b[0m", "half of a wide character is not drawn");
    }

    #[test]
    fn a_program_that_asks_for_the_cursor_is_told() {
        let mut screen = screen();
        assert_eq!(screen.process(b"ab\x1b[6n"), b"\x1b[1;3R");
        assert_eq!(screen.process(b"\x1b[c"), b"\x1b[?1;2c");
        assert_eq!(screen.process(b"plain"), b"");
    }

    #[test]
    fn a_program_says_when_it_is_in_the_middle_of_drawing() {
        let mut screen = screen();
        screen.process(b"\x1b[?2026hab\x1b[1;1H");
        assert!(screen.is_updating());
        screen.process(b"cd\x1b[?2026l");
        assert!(!screen.is_updating());
        assert_eq!(screen.text(), "cd");
    }

    #[test]
    fn raw_output_is_bounded_and_what_is_forgotten_is_counted() {
        let mut screen = screen();
        for _ in 0..3 {
            screen.process(&vec![b'x'; RAW_BYTES / 2]);
        }
        assert_eq!(screen.raw().len(), RAW_BYTES);
        assert_eq!(screen.forgotten_bytes(), RAW_BYTES / 2);
    }
}

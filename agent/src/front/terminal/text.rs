//! Lines of text for a terminal, before they become bytes.

use unicode_width::UnicodeWidthChar as _;

/// How a piece of text looks. Meaning never depends on it alone: colours may be off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    Plain,
    Bold,
    Dim,
    Good,
    Caution,
    Danger,
}

impl Look {
    /// The parameters of "select graphic rendition" (ECMA-48 8.3.117); bold is kept where colours are unwanted.
    fn parameters(self, colour: Colour) -> &'static str {
        match (self, colour) {
            (Self::Plain, _) | (Self::Dim | Self::Good, Colour::Off) => "",
            (Self::Bold, _) | (Self::Caution | Self::Danger, Colour::Off) => "1",
            (Self::Dim, Colour::On) => "2",
            (Self::Good, Colour::On) => "32",
            (Self::Caution, Colour::On) => "1;33",
            (Self::Danger, Colour::On) => "1;31",
        }
    }
}

/// Whether colours are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colour {
    On,
    Off,
}

/// One line, no wider than whoever made it was told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Line(Vec<(Look, String)>);

impl Line {
    pub(super) fn new(look: Look, text: impl Into<String>) -> Self {
        Self(vec![(look, text.into())])
    }

    /// This line with more text behind it.
    pub(super) fn and(mut self, look: Look, text: impl Into<String>) -> Self {
        self.0.push((look, text.into()));
        self
    }

    /// This line with another one behind it.
    pub(super) fn append(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// The text without its looks.
    #[cfg(test)]
    pub(super) fn text(&self) -> String {
        self.0.iter().map(|(_, text)| text.as_str()).collect()
    }

    /// Cells that the line takes.
    pub(super) fn width(&self) -> usize {
        self.0.iter().map(|(_, text)| width_of(text)).sum()
    }

    /// The line cut to `width` cells; what was cut is marked.
    pub(super) fn fitted(self, width: usize) -> Self {
        if self.width() <= width {
            return self;
        }
        let mut left = width.saturating_sub(1);
        let mut parts = Vec::new();
        for (look, text) in self.0 {
            let mut end = 0;
            for (at, character) in text.char_indices() {
                let cells = cells(character);
                if cells > left {
                    parts.push((look, format!("{}…", text.get(..at).unwrap_or_default())));
                    return Self(parts);
                }
                left -= cells;
                end = at + character.len_utf8();
            }
            parts.push((look, text.get(..end).unwrap_or_default().to_owned()));
        }
        Self(parts)
    }

    /// Appends the line's bytes. Views hold no control characters; should one get here, it is replaced.
    pub(super) fn paint(&self, colour: Colour, out: &mut Vec<u8>) {
        for (look, text) in &self.0 {
            let parameters = look.parameters(colour);
            let safe = text.replace(|c: char| c.is_control(), "\u{fffd}");
            if parameters.is_empty() {
                out.extend_from_slice(safe.as_bytes());
            } else {
                out.extend_from_slice(format!("\x1b[{parameters}m{safe}\x1b[0m").as_bytes());
            }
        }
    }
}

/// Breaks `text` into lines of at most `width` cells, at spaces where there are any. The first line begins with `first`, every
/// further one with `next`; both count.
pub(super) fn wrap(look: Look, text: &str, first: &str, next: &str, width: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut used = 0;
    let room = |lines: &Vec<Line>| width.saturating_sub(width_of(if lines.is_empty() { first } else { next })).max(8);
    let end_line = |line: &mut String, used: &mut usize, lines: &mut Vec<Line>| {
        let lead = if lines.is_empty() { first } else { next };
        line.truncate(line.trim_end_matches(' ').len());
        lines.push(Line::new(Look::Plain, lead).and(look, std::mem::take(line)));
        *used = 0;
    };
    for word in text.split_inclusive(' ') {
        let cells_of_word = width_of(word.trim_end_matches(' '));
        if used > 0 && used + cells_of_word > room(&lines) {
            end_line(&mut line, &mut used, &mut lines);
        }
        for character in word.chars() {
            let cells = cells(character);
            if used + cells > room(&lines) {
                end_line(&mut line, &mut used, &mut lines);
            }
            line.push(character);
            used += cells;
        }
    }
    end_line(&mut line, &mut used, &mut lines);
    lines
}

/// Breaks `text` anywhere, and keeps every space: for text of which each character counts.
pub(super) fn wrap_exactly(look: Look, text: &str, first: &str, next: &str, width: usize) -> Vec<Line> {
    let room = width.saturating_sub(width_of(first).max(width_of(next))).max(8);
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut used = 0;
    let lead = |lines: &Vec<Line>| if lines.is_empty() { first.to_owned() } else { next.to_owned() };
    for character in text.chars() {
        let cells = cells(character);
        if used + cells > room {
            let lead = lead(&lines);
            lines.push(Line::new(Look::Dim, lead).and(look, std::mem::take(&mut line)));
            used = 0;
        }
        line.push(character);
        used += cells;
    }
    let lead = lead(&lines);
    lines.push(Line::new(Look::Dim, lead).and(look, line));
    lines
}

pub(super) fn width_of(text: &str) -> usize {
    text.chars().map(cells).sum()
}

fn cells(character: char) -> usize {
    // What is no printable character is painted as one that is.
    character.width().unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(lines: &[Line]) -> Vec<String> {
        lines.iter().map(Line::text).collect()
    }

    #[test]
    fn text_is_broken_at_spaces_and_long_words_anywhere() {
        assert_eq!(texts(&wrap(Look::Plain, "one two three four", "- ", "  ", 11)), ["- one two", "  three", "  four"]);
        assert_eq!(texts(&wrap(Look::Plain, "abcdefghijklmno", "", "", 10)), ["abcdefghij", "klmno"]);
        assert_eq!(texts(&wrap(Look::Plain, "", "- ", "  ", 10)), ["- "]);
    }

    #[test]
    fn wide_characters_count_twice() {
        for line in wrap(Look::Plain, "田中さんの会社のサポート", "", "", 10) {
            assert!(line.width() <= 10, "{line:?}");
        }
        assert_eq!(Line::new(Look::Plain, "田中さん").fitted(5).text(), "田中…");
    }

    #[test]
    fn an_exact_text_loses_no_space() {
        let lines = wrap_exactly(Look::Plain, "a  b   c ", "", "", 8);
        assert_eq!(texts(&lines).concat(), "a  b   c ");
    }

    #[test]
    fn colours_can_be_off_and_control_characters_never_get_through() {
        let line = Line::new(Look::Danger, "stop\u{1b}[2J").and(Look::Dim, "dim");
        let painted = |colour| {
            let mut out = Vec::new();
            line.paint(colour, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(painted(Colour::On), "\x1b[1;31mstop\u{fffd}[2J\x1b[0m\x1b[2mdim\x1b[0m");
        assert_eq!(painted(Colour::Off), "\x1b[1mstop\u{fffd}[2J\x1b[0mdim");
    }
}

//! Text that a peer sent and that a person will read.
//!
//! A peer's text is bounded when it is decoded, and it can be shown only through [`PeerText::shown`], which makes
//! control characters, terminal escapes, bidirectional controls and invisible characters visible instead of
//! obeying them.

use std::fmt::{self, Write as _};

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

/// Text of at most `MAX` bytes from a peer. Its `Display` and `Debug` are [`PeerText::shown`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Default)]
#[serde(transparent)]
pub struct PeerText<const MAX: usize>(String);

/// A name or a label: a technician, an organisation, a program, a disk.
pub type Label = PeerText<128>;
/// A sentence or two: a reason, an explanation.
pub type Sentence = PeerText<512>;

impl<const MAX: usize> PeerText<MAX> {
    /// Takes `text`, cut at a character boundary so that at most `MAX` bytes remain.
    pub fn cut(text: &str) -> Self {
        let mut end = text.len().min(MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        Self(text.get(..end).unwrap_or_default().to_owned())
    }

    /// The text as the peer wrote it. For comparing and recording, never for showing.
    pub fn raw(&self) -> &str {
        &self.0
    }

    /// Whether nothing but white space was written.
    pub fn is_blank(&self) -> bool {
        self.0.trim().is_empty()
    }

    /// The text with everything made visible that would act instead of being read.
    pub fn shown(&self) -> String {
        shown(&self.0)
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for PeerText<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.len() > MAX {
            return Err(D::Error::custom(format_args!("text of {} bytes is over its limit of {MAX}", text.len())));
        }
        Ok(Self(text))
    }
}

impl<const MAX: usize> fmt::Display for PeerText<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

impl<const MAX: usize> fmt::Debug for PeerText<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.shown())
    }
}

/// Makes every character visible that would act on the reader's screen instead of being read.
///
/// Control characters (C0, C1), bidirectional controls, zero-width and other default-ignorable characters, tags, private-use
/// characters and line separators become `\u{…}`; a backslash becomes two, so that nothing shown can pose as an escape.
pub fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if character == '\\' {
            out.push_str("\\\\");
        } else if acts_on_the_screen(character) {
            write!(out, "\\u{{{:x}}}", u32::from(character)).expect("a String takes everything");
        } else {
            out.push(character);
        }
    }
    out
}

/// Makes bytes readable: valid UTF-8 as [`shown`] has it, every other byte as `\xNN`.
pub fn shown_bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(&shown(chunk.valid()));
        for byte in chunk.invalid() {
            write!(out, "\\x{byte:02x}").expect("a String takes everything");
        }
    }
    out
}

fn acts_on_the_screen(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{00ad}' | '\u{034f}' | '\u{061c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{2800}' | '\u{3164}'
            | '\u{e000}'..='\u{f8ff}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
            | '\u{f0000}'..='\u{10ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_on_a_screen_is_shown_as_an_escape() {
        assert_eq!(shown("rm -rf\u{1b}[2K"), "rm -rf\\u{1b}[2K");
        assert_eq!(shown("exe\u{202e}gpj.txt"), "exe\\u{202e}gpj.txt");
        assert_eq!(shown("a\nb\0c\u{9b}"), "a\\u{a}b\\u{0}c\\u{9b}");
        assert_eq!(shown("zero\u{200b}width \u{e0041}tag"), "zero\\u{200b}width \\u{e0041}tag");
    }

    #[test]
    fn an_escape_cannot_be_forged_with_a_backslash() {
        assert_ne!(shown("\\u{202e}"), shown("\u{202e}"));
        assert_ne!(shown_bytes(b"\\xff"), shown_bytes(b"\xff"));
    }

    #[test]
    fn ordinary_text_of_any_script_is_left_alone() {
        for text in ["Müller & Söhne", "Ана Руиз", "田中さん", "مرحبا", "e\u{301}"] {
            assert_eq!(shown(text), text);
        }
    }

    #[test]
    fn a_cut_keeps_whole_characters() {
        assert_eq!(PeerText::<5>::cut("ééé").raw(), "éé");
        assert_eq!(PeerText::<5>::cut("abc").raw(), "abc");
    }
}

//! From bytes that a terminal sends to keys that a person pressed.

/// What came from the keyboard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// A printable character.
    Char(char),
    /// Return or enter.
    Enter,
    /// Deletes one character.
    Backspace,
    /// Deletes the line (Ctrl-U) or a word of it (Ctrl-W).
    ClearLine,
    /// Ctrl-C.
    Interrupt,
    /// Text was pasted. What it was is thrown away.
    Paste,
    /// A key that means nothing here, such as an arrow.
    Other,
}

/// Longest escape sequence that is waited for; a longer one is given up.
const SEQUENCE_BYTES: usize = 32;

/// Takes bytes as they come, in pieces of any size.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Ground,
    /// The first bytes of a character in UTF-8.
    Character { bytes: [u8; 4], have: usize, need: usize },
    /// After ESC.
    Escape,
    /// After ESC O: one more byte.
    SingleShift,
    /// After ESC [: parameters until a final byte (ECMA-48 5.4).
    Sequence(Vec<u8>),
    /// Within a bracketed paste: everything until ESC [ 201 ~.
    Paste { matched: usize },
}

const PASTE_END: &[u8] = b"\x1b[201~";

impl Decoder {
    /// Decodes what came. Whatever is incomplete waits for more.
    pub(super) fn decode(&mut self, bytes: &[u8]) -> Vec<Key> {
        bytes.iter().filter_map(|byte| self.take(*byte)).collect()
    }

    /// Whether an ESC waits for the rest of its sequence.
    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.state, State::Escape)
    }

    /// Nothing came for a while: an ESC that waits was the key itself.
    pub(super) fn give_up_waiting(&mut self) {
        if self.is_waiting() {
            self.state = State::Ground;
        }
    }

    fn take(&mut self, byte: u8) -> Option<Key> {
        match std::mem::take(&mut self.state) {
            State::Ground => self.ground(byte),
            State::Character { mut bytes, have, need } => {
                if byte & 0xc0 != 0x80 {
                    return self.ground(byte);
                }
                if let Some(place) = bytes.get_mut(have) {
                    *place = byte;
                }
                if have + 1 < need {
                    self.state = State::Character { bytes, have: have + 1, need };
                    return None;
                }
                let text = std::str::from_utf8(bytes.get(..need)?).ok()?;
                text.chars().next().filter(|character| !character.is_control()).map(Key::Char)
            }
            State::Escape => match byte {
                b'[' => self.next(State::Sequence(Vec::new())),
                b'O' => self.next(State::SingleShift),
                0x1b => self.next(State::Escape),
                0x03 => Some(Key::Interrupt),
                _ => Some(Key::Other),
            },
            State::SingleShift => Some(Key::Other),
            State::Sequence(mut parameters) => match byte {
                b'~' if parameters == b"200" => self.next(State::Paste { matched: 0 }),
                0x40..=0x7e => Some(Key::Other),
                0x20..=0x3f if parameters.len() < SEQUENCE_BYTES => {
                    parameters.push(byte);
                    self.next(State::Sequence(parameters))
                }
                // No byte of a sequence: the sequence was broken off.
                _ => self.ground(byte),
            },
            State::Paste { matched } => {
                let matched =
                    if PASTE_END.get(matched) == Some(&byte) { matched + 1 } else { usize::from(byte == 0x1b) };
                if matched == PASTE_END.len() {
                    return Some(Key::Paste);
                }
                self.state = State::Paste { matched };
                // The way out is never pasted over, not even by a paste whose end is lost.
                (byte == 0x03).then_some(Key::Interrupt)
            }
        }
    }

    fn next(&mut self, state: State) -> Option<Key> {
        self.state = state;
        None
    }

    fn ground(&mut self, byte: u8) -> Option<Key> {
        let first = |need| State::Character { bytes: [byte, 0, 0, 0], have: 1, need };
        match byte {
            0x03 => Some(Key::Interrupt),
            b'\r' | b'\n' => Some(Key::Enter),
            0x08 | 0x7f => Some(Key::Backspace),
            0x15 | 0x17 => Some(Key::ClearLine),
            0x1b => self.next(State::Escape),
            0x20..=0x7e => Some(Key::Char(char::from(byte))),
            0xc2..=0xdf => self.next(first(2)),
            0xe0..=0xef => self.next(first(3)),
            0xf0..=0xf4 => self.next(first(4)),
            _ => Some(Key::Other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(bytes: &[u8]) -> Vec<Key> {
        let together = Decoder::default().decode(bytes);
        let mut decoder = Decoder::default();
        let one_by_one = bytes.iter().flat_map(|byte| decoder.decode(&[*byte])).collect::<Vec<_>>();
        assert_eq!(together, one_by_one, "the pieces in which bytes come make no difference");
        together
    }

    #[test]
    fn ordinary_keys() {
        assert_eq!(keys(b"n\r"), [Key::Char('n'), Key::Enter]);
        assert_eq!(keys("é田".as_bytes()), [Key::Char('é'), Key::Char('田')]);
        assert_eq!(keys(b"\x7f\x08\x15\x03"), [Key::Backspace, Key::Backspace, Key::ClearLine, Key::Interrupt]);
    }

    #[test]
    fn sequences_are_one_key_and_never_text() {
        assert_eq!(keys(b"\x1b[A\x1b[1;5C\x1bOP\x1b[200;1u"), [Key::Other; 4]);
        assert_eq!(keys(b"\x1bs"), [Key::Other], "Alt-s is not s");
        assert_eq!(keys(b"\x1b[1\x03"), [Key::Interrupt], "Ctrl-C gets through a broken sequence");
    }

    #[test]
    fn pasted_text_is_thrown_away_whatever_is_in_it() {
        assert_eq!(keys(b"\x1b[200~river\r\x1b[A\x1b\x1b[201~n"), [Key::Paste, Key::Char('n')]);
        assert_eq!(keys(b"\x1b[200~river\rs\x03"), [Key::Interrupt], "only Ctrl-C gets through");
    }

    #[test]
    fn bytes_that_are_no_text_are_no_characters() {
        assert_eq!(keys(b"\xff\xc0\x80"), [Key::Other; 3]);
        assert_eq!(keys(b"\xc3n"), [Key::Char('n')]);
        assert_eq!(keys(b"\xc2\x9b"), [], "C1 controls are no text");
    }

    #[test]
    fn a_lone_escape_does_not_swallow_the_next_key_for_ever() {
        let mut decoder = Decoder::default();
        assert_eq!(decoder.decode(b"\x1b"), []);
        assert!(decoder.is_waiting());
        decoder.give_up_waiting();
        assert_eq!(decoder.decode(b"n"), [Key::Char('n')]);
    }
}

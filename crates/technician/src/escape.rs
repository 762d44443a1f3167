//! Makes the output of a remote program safe to read on the technician's terminal.

use std::fmt::Write as _;

/// Whether a terminal or a reader's eye would obey this character instead of showing it.
///
/// The same characters as in [`wire::text::shown`], which is asked, so that there is one list.
pub(crate) fn acts_on_screen(character: char) -> bool {
    if character.is_ascii() {
        return character.is_ascii_control();
    }
    let mut buffer = [0; 4];
    let text: &str = character.encode_utf8(&mut buffer);
    wire::text::shown(text) != text
}

/// Bytes as text that acts on no screen and has no line ends. For what a person typed themselves: a backslash stays one.
pub(crate) fn on_one_line(bytes: &[u8]) -> String {
    show(bytes).replace('\n', "\\u{a}").replace('\t', "\\u{9}")
}

/// Turns a stream of bytes into text that acts on no screen. Lines and tabs stay.
///
/// Characters split over two pieces are put together again; bytes that are no UTF-8 become `\xNN`, other characters that act
/// become `\u{NN}`. A carriage return before a line end is dropped, alone it is made visible: it could overwrite what was shown before.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    /// The beginning of a character or a lone carriage return, at most three bytes.
    held: Vec<u8>,
}

impl Filter {
    /// Takes the next piece and returns what can be shown now.
    pub(crate) fn push(&mut self, piece: &[u8]) -> String {
        let mut bytes = std::mem::take(&mut self.held);
        bytes.extend_from_slice(piece);
        let keep = held_back(&bytes);
        self.held = bytes.split_off(bytes.len() - keep);
        show(&bytes)
    }

    /// What was held back when the stream ended.
    pub(crate) fn finish(&mut self) -> String {
        show(&std::mem::take(&mut self.held))
    }
}

/// How many bytes at the end cannot be judged yet.
fn held_back(bytes: &[u8]) -> usize {
    if bytes.ends_with(b"\r") {
        return 1;
    }
    let Some(last) = bytes.utf8_chunks().last() else { return 0 };
    let tail = last.invalid();
    // Only an unfinished character at the very end is shorter than what its first byte announces.
    let wanted = match tail.first() {
        Some(0xc2..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        Some(0xf0..=0xf4) => 4,
        Some(_) | None => 0,
    };
    if tail.len() < wanted { tail.len() } else { 0 }
}

fn show(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        let mut characters = chunk.valid().chars().peekable();
        while let Some(character) = characters.next() {
            match character {
                '\n' | '\t' => out.push(character),
                '\r' if characters.peek() == Some(&'\n') => {}
                _ if acts_on_screen(character) => {
                    write!(out, "\\u{{{:x}}}", u32::from(character)).expect("a String takes everything");
                }
                _ => out.push(character),
            }
        }
        for byte in chunk.invalid() {
            write!(out, "\\x{byte:02x}").expect("a String takes everything");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_pieces(bytes: &[u8], size: usize) -> String {
        let mut filter = Filter::default();
        let mut text = bytes.chunks(size).map(|piece| filter.push(piece)).collect::<String>();
        text.push_str(&filter.finish());
        text
    }

    #[test]
    fn the_pieces_in_which_output_arrives_make_no_difference() {
        let output = "Grüße\r\n\t日本 🎉\n\u{1b}]0;title\u{7}over\rwritten \u{202e}txt.exe\n".as_bytes();
        let mut output = output.to_vec();
        output.extend_from_slice(b"\xff\xf0\x9f\xc3(\xe2\x82");
        let whole = in_pieces(&output, output.len());
        for size in 1..output.len() {
            assert_eq!(in_pieces(&output, size), whole, "pieces of {size}");
        }
        assert_eq!(
            whole,
            "Grüße\n\t日本 🎉\n\\u{1b}]0;title\\u{7}over\\u{d}written \\u{202e}txt.exe\n\\xff\\xf0\\x9f\\xc3(\\xe2\\x82"
        );
    }

    #[test]
    fn nothing_that_acts_comes_through_but_lines_and_tabs() {
        let every = (0..=0x10_ffff).filter_map(char::from_u32).collect::<String>();
        let text = in_pieces(every.as_bytes(), 4096);
        assert!(text.chars().all(|c| matches!(c, '\n' | '\t') || !acts_on_screen(c)));
    }
}

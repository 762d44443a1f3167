//! Standard output and standard error.
//!
//! A reader that went away (`assent status | head -0`) is no error worth a message; nothing here panics on it.

use std::io::{self, Write as _};

use serde::Serialize;

/// Whether colours are wanted: not if `NO_COLOR` is set and not empty (<https://no-color.org>) or the terminal is dumb.
pub(crate) fn colour() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Writes text to standard output.
///
/// # Errors
///
/// When nobody reads it any more, or the disk behind it is full.
pub(crate) fn to_stdout(text: &str) -> io::Result<()> {
    bytes_to_stdout(text.as_bytes())
}

/// Writes bytes to standard output, at once.
///
/// # Errors
///
/// As [`to_stdout`].
pub(crate) fn bytes_to_stdout(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}

/// Writes text to standard error. There is nobody to tell if that fails.
pub(crate) fn to_stderr(text: &str) {
    let _ = bytes_to_stderr(text.as_bytes());
}

/// Writes bytes to standard error, at once.
///
/// # Errors
///
/// When nobody reads it any more.
pub(crate) fn bytes_to_stderr(bytes: &[u8]) -> io::Result<()> {
    io::stderr().lock().write_all(bytes)
}

/// One JSON value on one line, with the line end.
///
/// Texts of a peer keep their value, but characters that would act on a screen are written as escapes of JSON, so that the line is
/// safe on a terminal too.
pub(crate) fn json_line<T: Serialize + ?Sized>(value: &T) -> String {
    let json = match serde_json::to_string(value) {
        Ok(json) => json,
        Err(error) => serde_json::json!({ "error": error.to_string() }).to_string(),
    };
    let mut line = String::with_capacity(json.len() + 1);
    for character in json.chars() {
        if crate::escape::acts_on_screen(character) {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                line.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            line.push(character);
        }
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_json_line_keeps_its_value_and_acts_on_no_screen() {
        let hostile = "a\u{1b}[2J\u{9b}2J\u{202e}\u{e0041}\n\"\\é";
        let line = json_line(&hostile);
        assert!(line.ends_with('\n') && line.is_char_boundary(line.len()));
        assert!(!line.trim_end().chars().any(crate::escape::acts_on_screen), "{line:?}");
        assert_eq!(serde_json::from_str::<String>(&line).unwrap(), hostile);
    }
}

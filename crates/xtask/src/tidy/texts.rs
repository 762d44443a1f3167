//! Rules about files as a person sees them.

use super::{Breach, files::SourceFile};

const LONGEST: usize = 800;

const TOO_LONG: &str = "a file is read from top to bottom in one sitting; split it where its subject changes";

const NO_DOC: &str = "whoever opens a file learns from its first line what it is for";

const NO_MARKS: &str = "work that is left goes into an issue, where somebody sees it; a mark in the code only gets old";

const NO_WORKPLACE: &str = "the tree works wherever it is cloned to";

/// Marks that are refused, in pieces so that this file may name them.
const MARKS: [&str; 2] = [concat!("TO", "DO"), concat!("FIX", "ME")];

const WORKPLACE: &str = concat!("/wo", "rk/");

/// Files that a person writes line by line.
const WRITTEN: [&str; 9] = ["rs", "js", "mjs", "ts", "svelte", "css", "html", "sh", "py"];

pub(super) fn check(files: &[SourceFile]) -> Vec<Breach> {
    files.iter().filter(|file| !file.path.ends_with(".lock")).flat_map(check_file).collect()
}

fn check_file(file: &SourceFile) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let lines = file.text.lines().count();
    if WRITTEN.contains(&file.extension()) && lines > LONGEST {
        breaches.push(Breach::new(&file.path, 0, format!("{lines} lines, more than {LONGEST}"), TOO_LONG));
    }
    // `foo/tests.rs` holds the tests of `foo.rs`, and says so by its name.
    let says_what_it_is = file.text.starts_with("//!") || file.path.ends_with("/tests.rs");
    if file.is_rust() && !says_what_it_is {
        breaches.push(Breach::new(&file.path, 1, "the file does not begin with //!", NO_DOC));
    }
    for (index, line) in file.text.lines().enumerate() {
        for mark in MARKS.iter().filter(|mark| has_word(line, mark)) {
            breaches.push(Breach::new(&file.path, index + 1, format!("a mark: {mark}"), NO_MARKS));
        }
        if starts_path(line, WORKPLACE) {
            breaches.push(Breach::new(&file.path, index + 1, format!("a path below {WORKPLACE}"), NO_WORKPLACE));
        }
    }
    breaches
}

fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word)
        .any(|(at, _)| !line[..at].ends_with(is_part) && !line[at + word.len()..].starts_with(is_part))
}

/// Whether an absolute path that begins with `prefix` stands in the line; `frame/work/x` is not one.
fn starts_path(line: &str, prefix: &str) -> bool {
    line.match_indices(prefix).any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-}".contains(c)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaches(path: &str, text: &str) -> Vec<(usize, String)> {
        check(&[SourceFile::new(path, text)]).into_iter().map(|breach| (breach.line, breach.what)).collect()
    }

    #[test]
    fn an_ordinary_file_is_fine() {
        assert_eq!(breaches("crates/x/src/lib.rs", "//! What it is.\n\nfn f() {} // see crates/x/work/y\n"), []);
    }

    #[test]
    fn long_undocumented_and_marked_files_are_told() {
        assert_eq!(breaches("a.rs", "fn f() {}\n"), [(1, "the file does not begin with //!".to_owned())]);
        let long = format!("//! x\n{}", "fn f() {}\n".repeat(LONGEST));
        assert_eq!(breaches("a.rs", &long), [(0, "801 lines, more than 800".to_owned())]);
        assert_eq!(breaches("words.txt", &long), []);
        let mark = MARKS[0];
        assert_eq!(breaches("a.md", &format!("x\n{mark}: y, {mark}S\n")), [(2, format!("a mark: {mark}"))]);
        assert_eq!(breaches("a.md", &format!("in {WORKPLACE}x\n")), [(1, format!("a path below {WORKPLACE}"))]);
    }
}

//! The paths that masked Rust source names: each `use` spread out, and each path in an expression or a type.

/// One path and the line where it ends, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) line: usize,
    pub(super) path: String,
}

impl Named {
    /// The part before the first `::`.
    pub(super) fn root(&self) -> &str {
        self.path.split("::").next().unwrap_or_default()
    }

    /// Whether `part` stands in the path as a whole number of its segments.
    pub(super) fn contains(&self, part: &str) -> bool {
        format!("::{}::", self.path).contains(&format!("::{part}::"))
    }
}

/// All of them, in order. A single word outside of a `use` is no path.
pub(super) fn paths(masked: &str) -> Vec<Named> {
    let tokens = tokens(masked);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let (line, token) = tokens[at];
        if token == "use" {
            at = spread(&tokens, at + 1, "", &mut found);
        } else if is_word(token) {
            let mut path = token.to_owned();
            let mut last = line;
            while let (Some((_, "::")), Some((line, word))) = (tokens.get(at + 1), tokens.get(at + 2))
                && is_word(word)
            {
                path = format!("{path}::{word}");
                last = *line;
                at += 2;
            }
            if path.contains("::") {
                found.push(Named { line: last, path });
            }
            at += 1;
        } else {
            at += 1;
        }
    }
    found
}

/// Spreads one tree of a `use` from `at` on; returns the place behind it.
fn spread(tokens: &[(usize, &str)], mut at: usize, prefix: &str, found: &mut Vec<Named>) -> usize {
    let mut path = prefix.to_owned();
    let mut line = 0;
    while let Some((here, token)) = tokens.get(at).copied() {
        match token {
            "{" => {
                at += 1;
                while tokens.get(at).is_some_and(|(_, token)| *token != "}") {
                    at = spread(tokens, at, &path, found);
                    if tokens.get(at).is_some_and(|(_, token)| *token == ",") {
                        at += 1;
                    }
                }
                return at + 1;
            }
            "::" => {}
            "as" => at += 1,
            "self" if !path.is_empty() => line = here,
            word if is_word(word) || word == "*" => {
                path = if path.is_empty() { word.to_owned() } else { format!("{path}::{word}") };
                line = here;
            }
            _ => break,
        }
        at += 1;
    }
    if line > 0 {
        found.push(Named { line, path });
    }
    // A token that fits nowhere must not be read twice.
    let stuck = tokens.get(at).is_some_and(|(_, token)| !matches!(*token, "," | "}" | ";"));
    if stuck { at + 1 } else { at }
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Words, `::`, and every other character for itself, each with its line.
fn tokens(masked: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (index, line) in masked.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = if is_word(rest) {
                rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            found.push((index + 1, &rest[..length]));
            rest = rest[length..].trim_start();
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(source: &str) -> Vec<(usize, String)> {
        paths(source).into_iter().map(|named| (named.line, named.path)).collect()
    }

    fn expected(paths: &[(usize, &str)]) -> Vec<(usize, String)> {
        paths.iter().map(|(line, path)| (*line, (*path).to_owned())).collect()
    }

    #[test]
    fn a_use_is_spread_out() {
        let source =
            "use std::{\n    fs,\n    io::{self, Read as _},\n    process::Command,\n};\npub(crate) use a::*;\nuse b;";
        let paths =
            [(2, "std::fs"), (3, "std::io"), (3, "std::io::Read"), (4, "std::process::Command"), (6, "a::*"), (7, "b")];
        assert_eq!(named(source), expected(&paths));
    }

    #[test]
    fn paths_in_code_are_found_over_line_ends_and_single_words_are_not() {
        let source = "fn f(x: &str) { let y = std::fs::read(x)?;\n  tokio\n    ::time::sleep(y); g(z) }";
        assert_eq!(named(source), expected(&[(1, "std::fs::read"), (3, "tokio::time::sleep")]));
    }

    #[test]
    fn a_path_contains_whole_segments_only() {
        let path = |path: &str| Named { line: 1, path: path.to_owned() };
        assert!(path("tokio::process::Command::new").contains("process::Command"));
        assert!(!path("subprocess::Command").contains("process::Command"));
        assert!(!path("std::process::CommandExt").contains("process::Command"));
        assert_eq!(path("std::fs").root(), "std");
    }

    #[test]
    fn broken_source_ends() {
        for source in ["use", "use a::{", "use {{{", "use a as", "use a::b }", "use #", "::::"] {
            let _ = paths(source);
        }
    }
}

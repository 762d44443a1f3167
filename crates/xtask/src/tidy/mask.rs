//! Takes comments and the insides of literals out of Rust source, so that a word in a text is not taken for code.

/// `source` with every comment and every character within a string or character literal replaced by a blank. Line ends stay.
pub(super) fn mask(source: &str) -> String {
    let mut masker = Masker { rest: source, out: String::with_capacity(source.len()) };
    while let Some(next) = masker.rest.chars().next() {
        masker.step(next);
    }
    masker.out
}

struct Masker<'a> {
    rest: &'a str,
    out: String,
}

impl Masker<'_> {
    fn step(&mut self, next: char) {
        if self.rest.starts_with("//") {
            let end = self.rest.find('\n').unwrap_or(self.rest.len());
            self.blank(end);
        } else if self.rest.starts_with("/*") {
            let end = block_comment_end(self.rest);
            self.blank(end);
        } else if next == '"' {
            let end = string_end(self.rest);
            self.literal(end);
        } else if next == '\'' {
            match char_literal_end(self.rest) {
                Some(end) => self.literal(end),
                None => self.keep(1),
            }
        } else if next.is_alphabetic() || next == '_' {
            let end = self.rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(self.rest.len());
            let is_raw = matches!(&self.rest[..end], "r" | "br" | "cr");
            self.keep(end);
            if is_raw && let Some(end) = raw_string_end(self.rest) {
                self.literal(end);
            }
        } else {
            self.keep(next.len_utf8());
        }
    }

    fn keep(&mut self, bytes: usize) {
        let (kept, rest) = self.rest.split_at(bytes);
        self.out.push_str(kept);
        self.rest = rest;
    }

    fn blank(&mut self, bytes: usize) {
        let (blanked, rest) = self.rest.split_at(bytes);
        self.out.extend(blanked.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        self.rest = rest;
    }

    /// Keeps the quotes, so that the code still looks like code.
    fn literal(&mut self, bytes: usize) {
        self.keep(1);
        self.blank(bytes.saturating_sub(2));
        self.keep(self.rest.len().min(1));
    }
}

fn block_comment_end(rest: &str) -> usize {
    let (mut depth, mut at) = (0usize, 0);
    while at < rest.len() {
        let here = &rest[at..];
        if here.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += here.chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

fn string_end(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// Where a raw string ends whose `r` was just read; `None` if it is a raw identifier or no literal.
fn raw_string_end(rest: &str) -> Option<usize> {
    let hashes = rest.bytes().take_while(|byte| *byte == b'#').count();
    let inside = rest[hashes..].strip_prefix('"')?;
    let closing = format!("\"{}", "#".repeat(hashes));
    let end = inside.find(&closing).map_or(rest.len(), |at| hashes + 1 + at + closing.len());
    Some(end)
}

/// Where a character literal ends; `None` for a lifetime.
fn char_literal_end(rest: &str) -> Option<usize> {
    let inside = &rest[1..];
    let first = inside.chars().next()?;
    if first == '\\' {
        // The quote behind the escaped character, which may itself be a quote.
        return inside.get(2..)?.find('\'').map(|at| at + 4);
    }
    inside[first.len_utf8()..].starts_with('\'').then(|| 1 + first.len_utf8() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_stays_and_what_is_only_said_goes() {
        let cases = [
            ("let x = 1; // tokio", "let x = 1;         "),
            ("/* a /* b */ tokio */ x", "                      x"),
            (r#"f("tok\"io", y)"#, r#"f("       ", y)"#),
            ("r#\"tokio \" x\"# + b", "r#           # + b"),
            (r"'\'' 'x' '\u{1b}' &'a str", r"'  ' ' ' '      ' &'a str"),
            ("let r#type = r;", "let r#type = r;"),
            ("\"a\nb\" c", "\" \n \" c"),
        ];
        for (source, expected) in cases {
            assert_eq!(mask(source), expected, "{source}");
        }
    }

    #[test]
    fn unfinished_source_of_any_kind_keeps_its_lines() {
        for source in ["\"abc\n", "/* x\n", "'", "'\\", "r#\"x\n", "b'", "é'é", "\"\\"] {
            assert_eq!(mask(source).lines().count(), source.lines().count(), "{source}");
        }
    }
}

//! What messages of the same kind have in common: everything but numbers, paths and names in quotes.

/// Bytes of a message that are looked at.
const MAX_BYTES: usize = 1024;

/// The message with placeholders where messages of its kind differ. White space becomes single spaces.
pub(crate) fn template(message: &str) -> String {
    let message = &message[..message.floor_char_boundary(MAX_BYTES)];
    let mut words = Vec::new();
    let mut rest = message.trim_start();
    while let Some(first) = rest.chars().next() {
        if let Some(after) = quoted(rest, first) {
            words.push("<quoted>".to_owned());
            rest = after.trim_start();
            continue;
        }
        let (word, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        words.push(word_template(word));
        rest = after.trim_start();
    }
    words.join(" ")
}

/// What stands behind the quotation that `text` begins with, and behind the punctuation that is stuck to it; `None` if it begins
/// with none. An apostrophe inside a word does not end it.
fn quoted(text: &str, first: char) -> Option<&str> {
    let closing = match first {
        '"' | '\'' | '`' => first,
        '“' => '”',
        '‘' => '’',
        '«' => '»',
        _ => return None,
    };
    let inner = &text[first.len_utf8()..];
    let ends = |index: &usize| {
        let after = inner[index + closing.len_utf8()..].chars().next();
        after.is_none_or(|character| !character.is_alphanumeric())
    };
    let end = inner.match_indices(closing).map(|(index, _)| index).find(ends)?;
    let after = &inner[end + closing.len_utf8()..];
    Some(after.trim_start_matches(|character: char| character.is_ascii_punctuation() && !"\"'`/".contains(character)))
}

fn word_template(word: &str) -> String {
    let opening = word.len() - word.trim_start_matches(['(', '[', '{', '<']).len();
    let (opening, core) = word.split_at(opening);
    let trimmed = core.trim_end_matches([',', '.', ';', ':', ')', ']', '}', '>', '!', '?']);
    let closing = &core[trimmed.len()..];
    // `key=value`: the key says what it is.
    let (key, value) = match trimmed.split_once('=') {
        Some((key, value)) if key.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-') => (key, value),
        _ => ("", trimmed),
    };
    let equals = if key.is_empty() { "" } else { "=" };
    format!("{opening}{key}{equals}{}{closing}", core_template(value))
}

fn core_template(word: &str) -> String {
    if is_path(word) {
        "<path>".to_owned()
    } else if ["\"", "'", "`"].iter().any(|quote| word.len() > 1 && word.starts_with(quote)) {
        "<quoted>".to_owned()
    } else if is_hex(word) {
        "<hex>".to_owned()
    } else {
        numbers_replaced(word)
    }
}

fn is_path(word: &str) -> bool {
    let rooted = word.strip_prefix('/').is_some_and(|rest| rest.starts_with(|c: char| c.is_alphanumeric() || c == '.'));
    rooted || word.contains("://") || word.starts_with("~/") || word.starts_with("./")
}

/// An address, a checksum, an id: eight hexadecimal digits or more with a digit among them, or `0x` before them.
fn is_hex(word: &str) -> bool {
    let digits = word.strip_prefix("0x").unwrap_or(word);
    let all = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-' || b == b':');
    match digits.len() == word.len() {
        false => all(digits),
        true => {
            let letters = digits.bytes().any(|b| b.is_ascii_alphabetic());
            let numbers = digits.bytes().any(|b| b.is_ascii_digit());
            digits.len() >= 8 && letters && numbers && all(digits)
        }
    }
}

/// Every run of digits becomes `<n>`.
fn numbers_replaced(word: &str) -> String {
    let mut text = String::with_capacity(word.len());
    let mut in_number = false;
    for character in word.chars() {
        let digit = character.is_ascii_digit();
        match digit {
            true if !in_number => text.push_str("<n>"),
            true => {}
            false => text.push(character),
        }
        in_number = digit;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_a_kind_have_one_template() {
        let kinds = [
            ("Failed to start job 4711.", "Failed to start job <n>."),
            ("sd 2:0:0:0: [sda] tag#12 FAILED", "sd <n>:<n>:<n>:<n>: [sda] tag#<n> FAILED"),
            ("cannot open /home/ana/x.txt: denied", "cannot open <path>: denied"),
            ("GET https://example.org/?token=s3cret failed", "GET <path> failed"),
            ("user 'ana ruiz' not found", "user <quoted> not found"),
            ("can't open \"a b\", giving up", "can't open <quoted> giving up"),
            ("segfault at 0xdeadbeef ip 00007f2c1a2b3c4d", "segfault at <hex> ip <hex>"),
            ("job 0d5e388a-f0aa-4136-aa23-251f88f26ba6 died", "job <hex> died"),
            ("pid=12 exe=/usr/bin/x res='no'", "pid=<n> exe=<path> res=<quoted>"),
            ("link 02:42:ac:11:00:02 down", "link <hex> down"),
            ("  two\n lines\t1 ", "two lines <n>"),
        ];
        for (message, expected) in kinds {
            assert_eq!(template(message), expected, "{message:?}");
        }
    }

    #[test]
    fn words_stay_words() {
        for message in ["added deadbeef face", "and / or", "it's the dog's bed", "Überlauf, ошибка", "a=b=c"] {
            assert_eq!(template(message), message);
        }
    }

    #[test]
    fn hostile_messages_are_cut_and_nothing_falls_over() {
        let long = "é1".repeat(1 << 16);
        assert!(template(&long).len() <= 4 * MAX_BYTES);
        for message in ["", "'", "\"\"", "“", "(", ")))", "=", "0x", "'''''", "/", "~/", "\u{0}1"] {
            let _ = template(message);
        }
        let quotes = "'a".repeat(1 << 16);
        assert!(template(&quotes).len() <= 4 * MAX_BYTES);
    }
}

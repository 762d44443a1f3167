//! Secrets in free text: what they look like, and the words in front of them.

use std::{borrow::Cow, sync::LazyLock};

use aho_corasick::AhoCorasick;
use regex::{Captures, Regex};

/// What stands where a secret stood.
pub(super) const SECRET: &str = "[secret]";

/// Parts of a key, without what separates its words, whose value is a secret.
const SECRET_WORDS: [&str; 36] = [
    "password",
    "passwd",
    "passphrase",
    "passwort",
    "passcode",
    "kennwort",
    "contrasena",
    "motdepasse",
    "mysqlpwd",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "privatekey",
    "secretkey",
    "encryptionkey",
    "sharedkey",
    "licensekey",
    "licencekey",
    "productkey",
    "masterkey",
    "signingkey",
    "sessionkey",
    "sshkey",
    "accountkey",
    "authkey",
    "storagekey",
    "wepkey",
    "keypassphrase",
    "credential",
    "authorization",
    "authentication",
    "cookie",
    "sessionid",
    "signature",
    "community",
];

/// Words of a key whose value is a secret where they stand alone.
const SECRET_PARTS: [&str; 19] = [
    "pwd", "pass", "pw", "auth", "private", "psk", "pin", "otp", "totp", "sid", "sess", "sig", "jwt", "cred", "creds",
    "nonce", "key", "bearer", "sessid",
];

/// One kind of secret.
struct Shape {
    /// One of these, in any case, stands in every text that has such a secret.
    hints: &'static [&'static str],
    pattern: &'static str,
    /// In the syntax of [`Regex::replace_all`].
    replacement: &'static str,
}

const SHAPES: &[Shape] = &[
    // Blocks of PEM (RFC 7468), whole or without their end.
    Shape {
        hints: &["-----begin"],
        pattern: r"(?is)-----BEGIN[^-]{0,64}-----.*?(?:-----END[^-]{0,64}-----|$)",
        replacement: SECRET,
    },
    // Without their beginning.
    Shape { hints: &["-----end"], pattern: r"(?is)^.*-----END[^-]{0,64}-----", replacement: SECRET },
    Shape {
        hints: &["authorization", "cookie"],
        pattern: r#"(?i)((?:authorization|cookie2?)["'\\]*\s*[:=]\s*)(?:\\*"[^"\r\n]*|\\*'[^'\r\n]*|[^'\r\n]+)"#,
        replacement: "${1}[secret]",
    },
    Shape {
        hints: &["bearer", "basic", "negotiate", "apikey", "sso-key"],
        pattern: r"(?i)\b(bearer|apikey|sso-key|negotiate)(\s+)[^\s\x22',;<>]+",
        replacement: "${1}${2}[secret]",
    },
    Shape { hints: &["basic"], pattern: r"(?i)\b(basic\s+)[a-z0-9+/]{6,}={0,2}", replacement: "${1}[secret]" },
    // JSON web tokens (RFC 7519), also torn.
    Shape { hints: &["eyj"], pattern: r"(?i)eyJ[a-z0-9_-]{5,}(?:\.[a-z0-9_-]*){0,4}", replacement: SECRET },
    Shape {
        hints: &["akia", "asia", "aida", "aroa", "aipa", "anpa", "anva", "abia", "acca"],
        pattern: r"(?i)(?:AKIA|ASIA|AIDA|AROA|AIPA|ANPA|ANVA|ABIA|ACCA)[A-Z0-9]{12,}",
        replacement: SECRET,
    },
    Shape {
        hints: &["gh", "github_pat_"],
        pattern: r"(?i)(?:gh[pousr]_|github_pat_)[a-z0-9_]{6,}",
        replacement: SECRET,
    },
    Shape {
        hints: &["gl"],
        pattern: r"(?i)\bgl(?:pat|dt|rt|cbt|ptt|ft|soat|agent|oas|imt|ffct)-[a-z0-9_.-]{6,}",
        replacement: SECRET,
    },
    Shape {
        hints: &["xox", "xapp-"],
        pattern: r"(?i)(?:xox[a-z](?:\.xox[a-z])?|xapp)-[a-z0-9-]{6,}",
        replacement: SECRET,
    },
    Shape { hints: &["hooks."], pattern: r"(?i)(hooks\.[a-z0-9.-]+/)[^\s\x22'<>]+", replacement: "${1}[secret]" },
    Shape {
        hints: &["aiza", "ya29.", "gocspx-", "1//0"],
        pattern: r"(?i)(?:AIza|ya29\.|GOCSPX-|1//0)[a-z0-9_.-]{10,}",
        replacement: SECRET,
    },
    Shape {
        hints: &["sk_", "pk_", "rk_", "sk-", "whsec_"],
        pattern: r"(?i)\b(?:[spr]k_(?:live|test)_|whsec_|sk-(?:proj-|ant-|svcacct-|admin-)?)[a-z0-9_-]{8,}",
        replacement: SECRET,
    },
    Shape {
        hints: &[
            "npm_",
            "pypi-",
            "hf_",
            "dop_v1_",
            "sg.",
            "glsa_",
            "glc_",
            "shpat_",
            "shpss_",
            "hvs.",
            "age-secret-key-",
            "tskey-",
            "dckr_pat_",
            "sbp_",
            "lin_api_",
            "key-",
        ],
        pattern: r"(?i)\b(?:npm_|pypi-|hf_|dop_v1_|sg\.|glsa_|glc_|shpat_|shpss_|hvs\.|age-secret-key-|tskey-|dckr_pat_|sbp_|lin_api_|key-)[a-z0-9_.-]{12,}",
        replacement: SECRET,
    },
    // Telegram: the number of a bot and its key.
    Shape { hints: &[":"], pattern: r"\b\d{8,10}:[A-Za-z0-9_-]{30,}", replacement: SECRET },
    // Options of programs that are known to take secrets.
    Shape {
        hints: &["-u", "-user"],
        pattern: r#"(?i)((?:^|\s)(?:-u|--(?:proxy-)?user)(?:\s+|=)["']?)[^\s:"']+:[^\s"']+"#,
        replacement: "${1}[secret]",
    },
    Shape {
        hints: &["mysql", "mariadb", "sshpass"],
        pattern: r#"(?i)(\b(?:mysql|mariadb|sshpass)[^\n]{0,256}?\s-p\s*)[^\s-][^\s]*"#,
        replacement: "${1}[secret]",
    },
    Shape { hints: &["login"], pattern: r"(?i)(\blogin\s+\S{1,128}\s+password\s+)\S+", replacement: "${1}[secret]" },
    Shape {
        hints: &["identified"],
        pattern: r#"(?i)(\bidentified\s+(?:with\s+\S+\s+)?(?:by|as)\s+)(?:'[^']*'?|"[^"]*"?|\S+)"#,
        replacement: "${1}[secret]",
    },
    Shape {
        hints: &["pass", "pin", "secret", "token", "pwd"],
        pattern: r#"(?i)(\b(?:password|passwd|passphrase|passcode|pwd|pin|secret|token)\s+(?:is|was|are|set to|changed to|for \S{1,64}?:)\s+["'\\]*)[^\s"'\\]+"#,
        replacement: "${1}[secret]",
    },
    // A name and a password in front of a machine, without a scheme.
    Shape { hints: &["@"], pattern: r"([\w.+-]{1,64}:)[^\s:@/\x22'<>\[\]]{1,128}@", replacement: "${1}[secret]@" },
    // Keys and digests in hexadecimal.
    Shape { hints: &[], pattern: r"(?i)\b(?:0x)?[0-9a-f]{32,}\b", replacement: SECRET },
];

struct Compiled {
    prefilter: AhoCorasick,
    /// For each pattern of the prefilter, which shape it is a hint of.
    shape_of_hint: Vec<usize>,
    shapes: Vec<Regex>,
    assignment: Regex,
    option: Regex,
}

static COMPILED: LazyLock<Compiled> = LazyLock::new(|| {
    let hints = SHAPES.iter().enumerate().flat_map(|(at, shape)| shape.hints.iter().map(move |hint| (at, *hint)));
    let (shape_of_hint, literals): (Vec<_>, Vec<_>) = hints.unzip();
    let regex = |pattern: &str| Regex::new(pattern).expect("the pattern is a constant");
    Compiled {
        prefilter: AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .build(literals)
            .expect("the hints are constants"),
        shape_of_hint,
        shapes: SHAPES.iter().map(|shape| regex(shape.pattern)).collect(),
        // A key; its closing quotes or brackets; what makes it one.
        assignment: regex(r#"(?i)([a-z][\w.\-]{0,127})(?:%22|%27|["'\\\])])*\s*(?:=>|:=|==|=|:|%3d|%3a|>)"#),
        option: regex(r"(?i)(?:^|[^\w-])(--?[a-z][\w.\-]{0,127})"),
    }
});

/// Replaces what looks like a secret, and what stands where secrets do.
pub(super) fn without_secrets(text: &str) -> String {
    let compiled = &*COMPILED;
    let mut wanted = SHAPES.iter().map(|shape| shape.hints.is_empty()).collect::<Vec<_>>();
    for found in compiled.prefilter.find_overlapping_iter(text) {
        wanted[compiled.shape_of_hint[found.pattern().as_usize()]] = true;
    }
    let mut text = Cow::Borrowed(text);
    for (at, shape) in SHAPES.iter().enumerate().filter(|(at, _)| wanted[*at]) {
        if let Cow::Owned(replaced) = compiled.shapes[at].replace_all(&text, shape.replacement) {
            text = Cow::Owned(replaced);
        }
    }
    let text = without_values(&text, &compiled.assignment, value);
    without_values(&text, &compiled.option, argument)
}

/// Replaces the value behind each match whose first group is the key of a secret. `value` says how many bytes stand before it, and how
/// many it has.
fn without_values(text: &str, keys: &Regex, value: fn(&str) -> Option<(usize, usize)>) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(found) = keys.captures_at(text, at) {
        let key_end = end(&found);
        shown.push_str(&text[at..key_end]);
        at = key_end;
        // A value may reach to the end of the text: to look for one behind every key would take the square of its length.
        if is_secret_key(&found[1])
            && let Some((before, length)) = value(&text[at..])
        {
            shown.push_str(&text[at..at + before]);
            shown.push_str(SECRET);
            at += before + length;
        }
    }
    shown.push_str(&text[at..]);
    shown
}

fn end(found: &Captures<'_>) -> usize {
    found.get(0).map_or(0, |whole| whole.end())
}

/// Whether what stands behind `key` is a secret.
pub(super) fn is_secret_key(key: &str) -> bool {
    let mut plain = String::with_capacity(key.len());
    let mut parts = vec![String::new()];
    let mut before = ' ';
    for c in key.chars() {
        let separates = !c.is_ascii_alphanumeric();
        if (separates || (c.is_ascii_uppercase() && before.is_ascii_lowercase()))
            && parts.last().is_some_and(|part| !part.is_empty())
        {
            parts.push(String::new());
        }
        if !separates {
            plain.push(c.to_ascii_lowercase());
            parts.last_mut().expect("there is always a last part").push(c.to_ascii_lowercase());
        }
        before = c;
    }
    SECRET_WORDS.iter().any(|word| plain.contains(word))
        || parts.iter().any(|part| SECRET_PARTS.contains(&part.as_str()))
        || ["pass", "pwd"].iter().any(|end| plain.ends_with(end))
}

/// The argument behind an option: one word, or what is quoted.
fn argument(text: &str) -> Option<(usize, usize)> {
    let blanks = text.len() - text.trim_start().len();
    let (before, length) = value(&text[blanks..]).filter(|_| blanks > 0)?;
    Some((blanks + before, length))
}

/// What stands behind the key of an assignment. A quoted value ends with its quote, whatever is escaped in it; one
/// behind a colon and a space may have several words. `None` if there is none.
fn value(text: &str) -> Option<(usize, usize)> {
    let blanks = text.len() - text.trim_start_matches([' ', '\t']).len();
    let text = &text[blanks..];
    let escapes = text.len() - text.trim_start_matches('\\').len();
    let quote = text[escapes..].chars().next().filter(|c| matches!(c, '"' | '\'' | '`'));
    let Some(quote) = quote else {
        let bare = text.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>')).unwrap_or(text.len());
        let word = text[..bare].trim_end_matches([',', ';']).len();
        if word < bare {
            return (word > 0).then_some((blanks, word));
        }
        // A sentence, or a passphrase.
        let length = if blanks > 0 && bare > 0 { bare + more_words(&text[bare..]) } else { bare };
        return (length > 0).then_some((blanks, length));
    };
    let mut backslashes = 0;
    let inner = escapes + quote.len_utf8();
    for (at, c) in text[inner..].char_indices() {
        if c == '\\' {
            backslashes += 1;
            continue;
        }
        // As deep as it was opened: deeper ones are in the text.
        if c == quote && backslashes <= escapes {
            let length = at - backslashes;
            return (length > 0).then_some((blanks + inner, length));
        }
        if c == '\n' {
            return Some((blanks + inner, at));
        }
        backslashes = 0;
    }
    (text.len() > inner).then_some((blanks + inner, text.len() - inner))
}

/// Words behind the first one, up to where something else begins.
fn more_words(text: &str) -> usize {
    let stop = text.find(['\n', ',', ';', '|', '"', '\'', '<', '>', '=', ':', '(']).unwrap_or(text.len());
    // A word in front of `=` or `:` is the next key.
    if text[stop..].starts_with(['=', ':']) { text[..stop].rfind(char::is_whitespace).unwrap_or(0) } else { stop }
}

/// Longest stretch within which changes from letters to digits are counted.
const WINDOW: usize = 20;

/// As many changes in it as chance would make, and words and numbers do not.
const CHANGES: usize = 5;

/// Replaces runs of letters and digits that are too much of a jumble to be words.
pub(super) fn without_jumbles(text: &str) -> String {
    let in_run = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'_' | b'-');
    let bytes = text.as_bytes();
    let mut shown = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let is_run = in_run(bytes[at]);
        let end = bytes[at..].iter().position(|byte| in_run(*byte) != is_run).map_or(bytes.len(), |length| at + length);
        let part = &text[at..end];
        match jumble(part).filter(|_| is_run) {
            Some((from, to)) => {
                shown.push_str(&part[..from]);
                shown.push_str(SECRET);
                shown.push_str(&part[to..]);
            }
            None => shown.push_str(part),
        }
        at = end;
    }
    shown
}

/// Where the jumble in a run begins and ends; whole parts between slashes.
fn jumble(run: &str) -> Option<(usize, usize)> {
    let bytes = run.as_bytes();
    if bytes.len() < WINDOW {
        return None;
    }
    let changes = |at: usize| {
        let (a, b) = (bytes[at], bytes[at + 1]);
        usize::from(
            (a.is_ascii_digit() && b.is_ascii_alphabetic())
                || (a.is_ascii_alphabetic() && b.is_ascii_digit())
                || (a.is_ascii_lowercase() && b.is_ascii_uppercase()),
        )
    };
    let mut count = (0..WINDOW - 1).map(changes).sum::<usize>();
    let mut found: Option<(usize, usize)> = None;
    for start in 0..=bytes.len() - WINDOW {
        if start > 0 {
            count = count + changes(start + WINDOW - 2) - changes(start - 1);
        }
        if count >= CHANGES {
            found = Some((found.map_or(start, |(from, _)| from), start + WINDOW));
        }
    }
    let (from, to) = found?;
    let from = run[..from].rfind('/').map_or(0, |slash| slash + 1);
    let to = run[to..].find('/').map_or(run.len(), |slash| to + slash);
    Some((from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_secrets_are_told_from_others() {
        for key in [
            "password",
            "DB_PASSWORD",
            "api-key",
            "X-Api-Key",
            "mysql_pwd",
            "stripetoken",
            "dbPass",
            "PGPASS",
            "auth",
            "--secret",
        ] {
            assert!(is_secret_key(key), "{key}");
        }
        for key in ["path", "author", "keyboard", "passed", "pinned", "user", "uid", "monkey", "state"] {
            assert!(!is_secret_key(key), "{key}");
        }
    }

    #[test]
    fn values_end_where_their_quotes_do() {
        let cases = [
            (r#"password="a \" b" next=1"#, r#"password="[secret]" next=1"#),
            (r#"{\"password\":\"a\\\"b\",\"n\":1}"#, r#"{\"password\":\"[secret]\",\"n\":1}"#),
            (r#"{"pwd": "x", "a": "b"}"#, r#"{"pwd": "[secret]", "a": "b"}"#),
            ("password='torn and on", "password='[secret]"),
            ("password: correct horse battery, uid=0", "password: [secret], uid=0"),
            ("--password hunter2 --verbose", "--password [secret] --verbose"),
            ("<password>hunter2</password>", "<password>[secret]</password>"),
            ("password=", "password="),
            ("PASSWORD=[secret]", "PASSWORD=[secret]"),
        ];
        for (text, expected) in cases {
            assert_eq!(without_secrets(text), expected);
            assert_eq!(without_secrets(expected), expected);
        }
    }

    #[test]
    fn jumbles_are_told_from_words_and_numbers() {
        for text in [
            "nvme-Samsung_SSD_970_EVO",
            "2024-01-02T03-04-05-678901",
            "x86_64-linux-gnu/NetworkManager/dispatcher",
            "aaaaaaaaaaaaaaaaaaaaaaaaa",
        ] {
            assert_eq!(without_jumbles(text), text);
        }
        assert_eq!(without_jumbles("at wJalrXUtnFEMI/K7MDENG/bPxRfiCY7Q9tXkA1 end"), "at [secret] end");
    }
}

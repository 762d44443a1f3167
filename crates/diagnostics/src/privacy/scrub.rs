//! Free text: made plain, then rid of secrets, addresses, ids and names. Best effort: what looks like nothing known stays.

use std::{
    borrow::Cow,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::LazyLock,
};

use regex::{Captures, Regex};

use super::{
    Scopes,
    aliases::{Aliases, Kind, Search},
    identifier, network,
    place::{self, Homes},
    secrets, words,
};

/// Longest text; the rest is cut off before anything is looked for, so that the time it takes is bounded.
pub(super) const MAX_TEXT_BYTES: usize = 8 * 1024;

/// How often a text may have been quoted: a line of JSON in a line of JSON, in an address.
const MAX_QUOTING: usize = 4;

/// What free text is compared with.
pub(super) struct Scrubber<'a> {
    pub(super) aliases: &'a mut Aliases,
    pub(super) homes: &'a Homes,
    pub(super) is_system_account: &'a dyn Fn(&str) -> bool,
    pub(super) scopes: Scopes,
}

impl Scrubber<'_> {
    /// What may leave of `text`.
    ///
    /// Percent signs and escapes can hide anything. Where something is found behind them, the text leaves without them.
    pub(super) fn scrub(&mut self, text: &str) -> String {
        let mut shown = self.scrub_plain(&plain(text));
        let mut unquoted = shown.clone();
        for _ in 0..MAX_QUOTING {
            let next = plain(&decoded(&unquoted)).into_owned();
            if next == unquoted {
                break;
            }
            let scrubbed = self.scrub_plain(&next);
            if scrubbed != next {
                shown.clone_from(&scrubbed);
            }
            unquoted = scrubbed;
        }
        // A name of several words is one only where nothing hides what parts them.
        let named = self.names(&unquoted);
        if named == unquoted { self.names(&shown) } else { named }
    }

    fn scrub_plain(&mut self, text: &str) -> String {
        let text = self.urls(text);
        let text = secrets::without_secrets(&text);
        let text = self.mail(&text);
        let text = cards(&text);
        let text = accounts(&text);
        let text = if self.scopes.identifiers { text } else { self.ids(&text) };
        let text = if self.scopes.network { text } else { self.addresses(&text) };
        let text = if self.scopes.names { text } else { self.people(&text) };
        secrets::without_jumbles(&text)
    }

    /// Addresses of pages and services: no user, no password, no query; an alias of the machine.
    fn urls(&mut self, text: &str) -> String {
        static URL: LazyLock<Regex> =
            LazyLock::new(|| pattern(r#"(?i)\b([a-z][a-z0-9+.-]{0,31}:(?:\\*/){2})([^\s"'<>]+)"#));
        if !text.contains(':') {
            return text.to_owned();
        }
        replace(&URL, text, |found| {
            let (scheme, rest) = (&found[1], &found[2]);
            let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
            let port = rest[..end].rsplit_once(':').filter(|_| !rest.starts_with('['));
            let strange_port = port.is_some_and(|(_, port)| !port.bytes().all(|byte| byte.is_ascii_digit()));
            // A password may have a slash or a hash in it, though it should not.
            let user_end = match rest[..end].rfind('@') {
                Some(at) => Some(at),
                None if strange_port => rest.rfind('@'),
                None => None,
            };
            let user = if user_end.is_some() { "[secret]@" } else { "" };
            let rest = &rest[user_end.map_or(0, |at| at + 1)..];
            let end = rest.find(['/', '?', '#', '\\', ',', ';', ')']).unwrap_or(rest.len());
            let (place, path) = rest.split_at(end);
            let (path, query) = path.split_at(path.find(['?', '#']).unwrap_or(path.len()));
            let query = if query.is_empty() { "" } else { "?[query]" };
            let place = match place {
                "" => String::new(),
                place
                    if self.scopes.network
                        || place.starts_with('[') && !place.ends_with(']') && !place.contains("]:") =>
                {
                    place.to_owned()
                }
                place => network::network(self.aliases, place),
            };
            Some(format!("{scheme}{user}{place}{path}{query}"))
        })
    }

    /// Addresses of people; but units have instances.
    fn mail(&mut self, text: &str) -> String {
        static MAIL: LazyLock<Regex> = LazyLock::new(|| pattern(r"([\w.+-]+)@([\w-]+(?:\.[\w-]+)*)"));
        if !text.contains('@') {
            return text.to_owned();
        }
        replace(&MAIL, text, |found| {
            if place::is_unit(&found[0]) {
                return (!self.scopes.names).then(|| place::unit(self.aliases, self.homes, &found[0]));
            }
            if found[2].contains('.') {
                return Some("[email]".to_owned());
            }
            // Somebody at a machine, unless it is a unit without its suffix.
            let is_instance = words::is_system_component(&found[2]);
            (!self.scopes.names && !is_instance).then(|| {
                let user = match (self.is_system_account)(&found[1]) {
                    true => found[1].to_owned(),
                    false => self.aliases.of(Kind::User, &found[1], Search::Person),
                };
                format!("{user}@{}", network::host(self.aliases, &found[2]))
            })
        })
    }

    fn ids(&mut self, text: &str) -> String {
        static UUID: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"));
        static MAC: LazyLock<Regex> = LazyLock::new(|| {
            pattern(r"(?i)[0-9a-f]{2}(?:(?:[:-][0-9a-f]{2}){5,31})\b|\b[0-9a-f]{4}\.[0-9a-f]{4}\.[0-9a-f]{4}\b")
        });
        static LINK: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i)\b(?:en|wl|ww|ib|sl)x[0-9a-f]{12}\b"));
        let text = replace(&UUID, text, |found| Some(identifier::identifier(self.aliases, &found[0])));
        let text = replace(&LINK, &text, |found| network::link_of_address(self.aliases, &found[0]));
        replace(&MAC, &text, |found| match identifier::hardware_address(&found[0]) {
            Some(address) => Some(identifier::mac(self.aliases, address)),
            // As in a frame's header: that of the receiver, that of the sender, and the type.
            None => Some(self.aliases.of(Kind::Id, &found[0], Search::Identifier)),
        })
    }

    fn addresses(&mut self, text: &str) -> String {
        static V6: LazyLock<Regex> =
            LazyLock::new(|| pattern(r"[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,8}(?:(?:\.\d{1,3}){3})?"));
        static V4: LazyLock<Regex> = LazyLock::new(|| pattern(r"\d{1,3}(?:[.]\d{1,3}){3}|\d{1,3}(?:[-_]\d{1,3}){3}"));
        let text = if text.contains("::") || text.matches(':').count() >= 7 {
            replace(&V6, text, |found| {
                let all = &found[0];
                // What stands in front, as in `from:2001:…`, may look like a part of it; so may a colon behind.
                let glued = found.get(0).is_some_and(|found| text[..found.start()].ends_with(char::is_alphanumeric));
                let starts =
                    std::iter::once(0).filter(|_| !glued).chain(all.match_indices(':').map(|(at, _)| at + 1)).take(4);
                let ends = [all.len(), all.trim_end_matches(':').len()];
                let mut readings = starts.flat_map(|start| ends.map(|end| (start, end.max(start))));
                let found =
                    readings.find_map(|(start, end)| Some((start, end, all[start..end].parse::<Ipv6Addr>().ok()?)));
                let (start, end, ip) = found.filter(|(start, end, _)| end - start > 2)?;
                Some(format!("{}{}{}", &all[..start], network::address(self.aliases, IpAddr::V6(ip)), &all[end..]))
            })
        } else {
            text.to_owned()
        };
        let mut shown = String::with_capacity(text.len());
        let mut at = 0;
        for found in V4.find_iter(&text) {
            let octets = found.as_str().replace(['-', '_'], ".");
            let Ok(ip) = octets.parse::<Ipv4Addr>() else { continue };
            if is_version(&text[..found.start()], found.as_str(), &text[found.end()..]) {
                continue;
            }
            let alias = network::address(self.aliases, IpAddr::V4(ip));
            if alias != octets {
                shown.push_str(&text[at..found.start()]);
                shown.push_str(&alias);
                at = found.end();
            }
        }
        shown.push_str(&text[at..]);
        shown
    }

    /// Homes, and who stands where the system's own messages name users.
    fn people(&mut self, text: &str) -> String {
        static HOME: LazyLock<Regex> = LazyLock::new(|| {
            pattern(r#"(?i)(?:/home|/Users|[A-Za-z]:\\+Users|/run/media|/media)[/\\]+[^\s"':;,<>|)\]]+"#)
        });
        static USER: LazyLock<Regex> = LazyLock::new(|| {
            pattern(
                r#"(?i)(\b(?:for invalid user|invalid user|for user|of user|user name|(?:[ar]?user(?:name)?|logname|acct|login|owner)=|for(?: user)?)[ "']*)([a-z_][\w.\\-]*)(["']?(?:\s+from\b|\(|$|[\s,;."']))"#,
            )
        });
        let text = if text.contains('/') || text.contains('\\') {
            let aliases = &mut *self.aliases;
            let text =
                replace(&HOME, text, |found| Some(place::path(aliases, self.homes, &found[0].replace("\\\\", "\\"))));
            self.known_homes(&text)
        } else {
            text.to_owned()
        };
        replace(&USER, &text, |found| {
            let (before, user, behind) = (&found[1], &found[2], &found[3]);
            let is_for = before.trim_end().eq_ignore_ascii_case("for");
            if (is_for && !behind.trim_start().starts_with("from")) || (self.is_system_account)(user) {
                return None;
            }
            Some(format!("{before}{}{behind}", self.aliases.of(Kind::User, user, Search::Person)))
        })
    }

    /// Homes in other places, such as `/srv/people/ana`.
    fn known_homes(&mut self, text: &str) -> String {
        let mut text = text.to_owned();
        for folder in self.homes.folders() {
            if !text.contains(folder) {
                continue;
            }
            let home = pattern(&format!(r#"{}(?:/[^\s"':;,<>|)\]]*)?(?P<end>\b|$)"#, regex::escape(folder)));
            text = replace(&home, &text, |found| Some(place::path(self.aliases, self.homes, &found[0])));
        }
        text
    }

    /// Whatever has an alias already, as whole words.
    fn names(&mut self, text: &str) -> String {
        let scopes = self.scopes;
        let hidden = |search: Search| match search {
            Search::Never => false,
            Search::Person | Search::Personal => !scopes.names,
            Search::Network => !scopes.network,
            Search::Identifier => !scopes.identifiers,
        };
        let mut shown = String::with_capacity(text.len());
        let mut rest = text;
        while !rest.is_empty() {
            let word = rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len());
            if let Some((length, alias)) = self.aliases.at_start(rest, hidden) {
                shown.push_str(alias);
                rest = &rest[length..];
                continue;
            }
            let next = rest[word..].find(char::is_alphanumeric).map_or(rest.len(), |at| word + at);
            shown.push_str(&rest[..next]);
            rest = &rest[next..];
        }
        shown
    }
}

/// Text without what acts on a screen instead of being read, which could part a secret in two; at most [`MAX_TEXT_BYTES`].
fn plain(text: &str) -> Cow<'_, str> {
    static ESCAPES: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~]?)"));
    let end = (0..=MAX_TEXT_BYTES.min(text.len())).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    let text = &text[..end];
    let text = if text.contains('\x1b') { ESCAPES.replace_all(text, "") } else { Cow::Borrowed(text) };
    let acts = |c: char| (c.is_control() && c != '\n' && c != '\t') || is_invisible(c);
    if !text.contains(acts) {
        return text;
    }
    // Arguments are parted by NUL.
    Cow::Owned(text.chars().filter(|&c| c == '\0' || !acts(c)).map(|c| if c == '\0' { ' ' } else { c }).collect())
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fffd}')
}

/// Undoes percent signs (RFC 3986) and the escapes of JSON (RFC 8259) once.
fn decoded(text: &str) -> String {
    if !text.contains(['%', '\\']) {
        return text.to_owned();
    }
    let hex = |digits: Option<&[u8]>| u32::from_str_radix(std::str::from_utf8(digits?).ok()?, 16).ok();
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = match (bytes[at], bytes.get(at + 1)) {
            (b'%', _) => hex(bytes.get(at + 1..at + 3)).and_then(|byte| Some((vec![u8::try_from(byte).ok()?], 3))),
            (b'\\', Some(b'x')) => {
                hex(bytes.get(at + 2..at + 4)).and_then(|byte| Some((vec![u8::try_from(byte).ok()?], 4)))
            }
            (b'\\', Some(b'u')) => {
                hex(bytes.get(at + 2..at + 6)).and_then(char::from_u32).map(|c| (c.to_string().into_bytes(), 6))
            }
            (b'\\', Some(b'n' | b'r')) => Some((vec![b'\n'], 2)),
            (b'\\', Some(b't')) => Some((vec![b'\t'], 2)),
            (b'\\', Some(quote @ (b'"' | b'\'' | b'/' | b'\\'))) => Some((vec![*quote], 2)),
            _ => None,
        };
        let (piece, length) = escaped.unwrap_or_else(|| (vec![bytes[at]], 1));
        out.extend(piece);
        at += length;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Whether what looks like an address is a version, an object id, or part of a longer number.
fn is_version(before: &str, number: &str, behind: &str) -> bool {
    if number.contains(['-', '_']) {
        // In a name, as in `ec2-192-0-2-1`; dates and ranges have no four such numbers.
        return before.ends_with(|c: char| c.is_ascii_digit()) || behind.starts_with(|c: char| c.is_ascii_digit());
    }
    let digit = |c: char| c.is_ascii_digit();
    let goes_on = behind.strip_prefix('.').is_some_and(|rest| rest.starts_with(digit)) || behind.starts_with(digit);
    let began = before.strip_suffix('.').is_some_and(|rest| rest.ends_with(digit)) || before.ends_with(digit);
    if goes_on || began {
        return true;
    }
    let package = behind.starts_with(['~', '+'])
        || behind.strip_prefix('-').is_some_and(|rest| rest.starts_with(digit))
        || [".deb", ".rpm", ".tar", ".so", ".jar", ".whl"].iter().any(|suffix| behind.starts_with(suffix));
    if package {
        return true;
    }
    if before.ends_with(['v', 'V']) {
        return !before[..before.len() - 1].ends_with(char::is_alphanumeric);
    }
    let word =
        before.trim_end_matches([' ', ':', '=', '"']).rsplit(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    ["version", "ver", "release", "revision", "rev", "firmware", "build"]
        .iter()
        .any(|name| word.eq_ignore_ascii_case(name))
}

/// Numbers of payment cards: 13 to 19 digits that pass Luhn's check (ISO/IEC 7812), whatever digits stand beside them.
fn cards(text: &str) -> String {
    static DIGITS: LazyLock<Regex> = LazyLock::new(|| pattern(r"\d(?:[ -]?\d){12,}"));
    replace(&DIGITS, text, |found| {
        let run = &found[0];
        let (mut shown, mut at) = (String::new(), 0);
        while at < run.len() {
            let is_start = at == 0 || !run.as_bytes()[at - 1].is_ascii_digit();
            match is_start.then(|| card_length(&run[at..])).flatten() {
                Some(length) => {
                    shown.push_str("[card]");
                    at += length;
                }
                None => {
                    shown.push_str(&run[at..=at]);
                    at += 1;
                }
            }
        }
        Some(shown)
    })
}

/// How many bytes of `run`, which is of digits and what parts them, are the number of a card.
fn card_length(run: &str) -> Option<usize> {
    if !run.starts_with(['2', '3', '4', '5', '6']) {
        return None;
    }
    let places = run.bytes().enumerate().filter(|(_, byte)| byte.is_ascii_digit()).take(20).collect::<Vec<_>>();
    (13..=places.len().min(19)).rev().find_map(|count| {
        let end = places[count - 1].0 + 1;
        let sum = places[..count].iter().rev().enumerate().map(|(at, (_, digit))| match (at % 2, digit - b'0') {
            (0, digit) => u32::from(digit),
            (_, digit) => u32::from(digit * 2 / 10 + digit * 2 % 10),
        });
        let is_end = !run[end..].starts_with(|c: char| c.is_ascii_digit());
        (is_end && sum.sum::<u32>() % 10 == 0).then_some(end)
    })
}

/// International bank account numbers (ISO 13616), with or without spaces.
fn accounts(text: &str) -> String {
    static IBAN: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"(?i)\b[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]{4}){2,7}(?:[ -]?[A-Z0-9]{1,3})?\b"));
    replace(&IBAN, text, |found| {
        let all = &found[0];
        // A word behind it may look like its next group.
        let ends = (15..=all.len()).rev().filter(|&end| !all[end..].starts_with(|c: char| c.is_ascii_alphanumeric()));
        let end = ends
            .filter(|&end| all[..end].ends_with(|c: char| c.is_ascii_alphanumeric()))
            .find(|&end| is_iban(&all[..end]))?;
        Some(format!("[account]{}", &all[end..]))
    })
}

/// The check of ISO 7064: the number, its first four characters behind it, letters counted from 10, leaves 1 of 97.
fn is_iban(text: &str) -> bool {
    let signs = text.bytes().filter(u8::is_ascii_alphanumeric).collect::<Vec<_>>();
    let rest = signs.iter().skip(4).chain(signs.iter().take(4)).fold(0_u32, |rest, sign| match sign {
        b'0'..=b'9' => (rest * 10 + u32::from(sign - b'0')) % 97,
        letter => (rest * 100 + u32::from(letter.to_ascii_uppercase() - b'A') + 10) % 97,
    });
    rest == 1
}

fn replace(pattern: &Regex, text: &str, mut with: impl FnMut(&Captures<'_>) -> Option<String>) -> String {
    let replaced = pattern.replace_all(text, |found: &Captures<'_>| with(found).unwrap_or_else(|| found[0].to_owned()));
    replaced.into_owned()
}

fn pattern(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is a constant, or of an escaped text")
}

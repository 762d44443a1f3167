//! One line of the file: how it is written and how it is taken apart.

use serde::{Deserialize, Serialize};
use trust::{
    Hasher,
    keys::{PublicKey, SIGNATURE_BYTES, SigningKey},
};
use wire::{evidence::Event, ids::Digest, text::shown, time::WallTime};

use crate::chain::Fault;

/// Context of the signature on the last line.
pub const CLOSING_CONTEXT: &str = "assent-audit-close-v1";

/// What the first entry is chained to.
const GENESIS: &[u8] = b"assent-audit-v1";

const HASH_FIELD: &[u8] = b",\"hash\":\"";
const SIGNATURE_FIELD: &[u8] = b",\"signature\":\"";
const END: &[u8] = b"\"}";

/// One line exactly as it stands in the file, without the line feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line(Vec<u8>);

impl Line {
    /// The bytes that travel as [`wire::session::ToTechnician::Audit`].
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes that travel as [`wire::session::ToTechnician::Audit`].
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// One line, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number, from 1.
    pub n: u64,
    /// When, by the agent's clock.
    pub at: WallTime,
    /// What.
    pub content: Content,
}

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Something happened.
    Event(Event),
    /// The log is complete: the last line.
    Closed {
        /// Hash of the entry before.
        head: Digest,
        /// Key that signed it.
        key: PublicKey,
    },
}

/// Body of `closed`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Closed {
    head: Digest,
    key: String,
}

/// A line taken apart; whether it fits its place is not decided yet.
pub(crate) struct Parsed {
    pub(crate) at: WallTime,
    pub(crate) kind: Kind,
}

pub(crate) enum Kind {
    /// The hash that the line claims, the one that it should have, and the event's text.
    Entry { claimed: Digest, computed: Digest, event: Vec<u8> },
    /// The closing line. Its signature is right for `key`.
    Closed { head: Digest, key: PublicKey },
}

/// `h(0)`.
pub(crate) fn genesis() -> Digest {
    trust::digest(GENESIS)
}

/// `h(n)` from `h(n-1)` and the body.
fn chained(head: Digest, body: &[u8]) -> Digest {
    Hasher::new().with(&[1]).with(&head.0).field(body).finish()
}

/// How line `n` begins.
pub(crate) fn opening(n: u64) -> String {
    format!("{{\"n\":{n},\"at\":\"")
}

fn number_and_time(n: u64, at: WallTime) -> String {
    format!("{}{at}\",\"ms\":{}", opening(n), at.0)
}

/// Writes entry `n` behind `head`, and returns the new head with it.
pub(crate) fn entry(n: u64, at: WallTime, event: &Event, head: Digest) -> Result<(Line, Digest), serde_json::Error> {
    let event = quiet(&serde_json::to_string(event)?);
    let mut line = format!("{},\"event\":{event}", number_and_time(n, at)).into_bytes();
    let head = chained(head, &line);
    line.extend_from_slice(HASH_FIELD);
    line.extend_from_slice(head.to_string().as_bytes());
    line.extend_from_slice(END);
    Ok((Line(line), head))
}

/// Escapes every character of `json` that would act on the screen of somebody who looks at the file with `cat` or `less`.
///
/// JSON itself escapes the oldest control characters only. Characters beyond ASCII stand in its strings and nowhere else, and there
/// `\uNNNN` means the same.
fn quiet(json: &str) -> String {
    let mut quiet = String::with_capacity(json.len());
    for character in json.chars() {
        let text = character.encode_utf8(&mut [0; 4]).to_owned();
        if (character.is_ascii() && !character.is_ascii_control()) || shown(&text) == text {
            quiet.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                quiet.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    quiet
}

/// Writes the closing line, numbered `n`, over `head`.
pub(crate) fn closing(n: u64, at: WallTime, head: Digest, key: &SigningKey) -> Result<Line, serde_json::Error> {
    let closed = Closed { head, key: to_hex(key.public().spki_der()) };
    let mut line = format!("{},\"closed\":{}", number_and_time(n, at), serde_json::to_string(&closed)?).into_bytes();
    let signature = key.sign(CLOSING_CONTEXT, &line);
    line.extend_from_slice(SIGNATURE_FIELD);
    line.extend_from_slice(to_hex(&signature).as_bytes());
    line.extend_from_slice(END);
    Ok(Line(line))
}

/// Takes apart the line that has to be number `n` and to follow `head`.
pub(crate) fn parse(line: &[u8], n: u64, head: Digest) -> Result<Parsed, Fault> {
    let rest = line.strip_prefix(b"{\"n\":").ok_or(Fault::Malformed)?;
    let (number, rest) = digits(rest)?;
    if number != n {
        return Err(Fault::Number { found: number });
    }
    let rest = rest.strip_prefix(b",\"at\":\"").ok_or(Fault::Malformed)?;
    let quote = rest.iter().position(|byte| *byte == b'"').ok_or(Fault::Malformed)?;
    let (written, rest) = rest.split_at(quote);
    let (ms, rest) = digits(rest.strip_prefix(b"\",\"ms\":").ok_or(Fault::Malformed)?)?;
    let at = WallTime(ms);
    if at.to_string().as_bytes() != written {
        return Err(Fault::Time);
    }
    if let Some(rest) = rest.strip_prefix(b",\"event\":") {
        let (event, claimed) = split_tail(rest, HASH_FIELD, 64)?;
        let claimed = str::from_utf8(claimed).ok().and_then(|hex| hex.parse().ok()).ok_or(Fault::Malformed)?;
        let body = line.len() - HASH_FIELD.len() - 64 - END.len();
        let computed = chained(head, line.get(..body).ok_or(Fault::Malformed)?);
        return Ok(Parsed { at, kind: Kind::Entry { claimed, computed, event: event.to_vec() } });
    }
    let rest = rest.strip_prefix(b",\"closed\":").ok_or(Fault::Malformed)?;
    let (closed, signature) = split_tail(rest, SIGNATURE_FIELD, 2 * SIGNATURE_BYTES)?;
    let Closed { head, key } = serde_json::from_slice(closed).map_err(|_| Fault::Malformed)?;
    let key = PublicKey::from_spki_der(&from_hex(key.as_bytes())?).map_err(|_| Fault::Malformed)?;
    let signed = line.len() - SIGNATURE_FIELD.len() - 2 * SIGNATURE_BYTES - END.len();
    let signed = line.get(..signed).ok_or(Fault::Malformed)?;
    key.verify(CLOSING_CONTEXT, signed, &from_hex(signature)?).map_err(|_| Fault::Signature)?;
    Ok(Parsed { at, kind: Kind::Closed { head, key } })
}

/// Reads an event whose bytes are already known to be the ones that were hashed.
pub(crate) fn event(text: &[u8]) -> Result<Event, Fault> {
    // The reader quotes what it does not know, and whoever wrote the line chose that.
    serde_json::from_slice(text).map_err(|error| Fault::UnknownEvent { reason: shown(&error.to_string()) })
}

/// A number as it is written: no sign, no leading zero, no more than 64 bits.
fn digits(text: &[u8]) -> Result<(u64, &[u8]), Fault> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).ok_or(Fault::Malformed)?;
    let (number, rest) = text.split_at(end);
    if number.len() > 1 && number.starts_with(b"0") {
        return Err(Fault::Malformed);
    }
    let number = str::from_utf8(number).ok().and_then(|digits| digits.parse().ok()).ok_or(Fault::Malformed)?;
    Ok((number, rest))
}

/// Splits `text FIELD hex "}` into text and hex.
fn split_tail<'a>(text: &'a [u8], field: &[u8], hex: usize) -> Result<(&'a [u8], &'a [u8]), Fault> {
    let rest = text.strip_suffix(END).ok_or(Fault::Malformed)?;
    let (rest, hex) = rest.split_at_checked(rest.len().saturating_sub(hex)).ok_or(Fault::Malformed)?;
    Ok((rest.strip_suffix(field).ok_or(Fault::Malformed)?, hex))
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Lower case only: one value has one spelling.
fn from_hex(text: &[u8]) -> Result<Vec<u8>, Fault> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        0..=u8::MAX => Err(Fault::Malformed),
    };
    let (pairs, rest) = text.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(Fault::Malformed);
    }
    pairs.iter().map(|[high, low]| Ok(digit(*high)? << 4 | digit(*low)?)).collect()
}

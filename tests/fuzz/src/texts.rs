//! Texts: what people type, what files say, and what peers want to have shown.

use relay::config::{Http, Overrides, RelayConfig};
use trust::code::SessionCode;
use wire::{
    ids::{Digest, SessionId},
    link::RelayLink,
    session::Ability,
    text::{Label, shown, shown_bytes},
};

use super::{Verdict, readable::assert_readable};

pub(super) fn relay_link(bytes: &[u8]) -> Verdict {
    let Ok(text) = str::from_utf8(bytes) else { return Verdict::Refused };
    match text.parse::<RelayLink>() {
        Ok(link) => {
            let written = link.to_string();
            assert_readable(&written);
            assert_ne!(link.port(), 0);
            assert_eq!(RelayLink::new(link.host(), link.port(), link.pin()).as_ref(), Ok(&link));
            assert_eq!(written.parse(), Ok(link));
            Verdict::Accepted
        }
        Err(error) => {
            assert_readable(&error.to_string());
            Verdict::Refused
        }
    }
}

pub(super) fn session_code(bytes: &[u8]) -> Verdict {
    let Ok(text) = str::from_utf8(bytes) else { return Verdict::Refused };
    match text.parse::<SessionCode>() {
        Ok(code) => {
            let written = code.to_string();
            let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
            assert_eq!(digits(&written), digits(text));
            assert!(written.starts_with(&code.locator().to_string()));
            assert!(!format!("{code:?}").contains(&written), "the secret part stands in a debug text");
            assert_eq!(written.parse(), Ok(code));
            Verdict::Accepted
        }
        Err(error) => {
            assert_readable(&error.to_string());
            Verdict::Refused
        }
    }
}

/// Names with one spelling each.
pub(super) fn names(bytes: &[u8]) -> Verdict {
    let Ok(text) = str::from_utf8(bytes) else { return Verdict::Refused };
    let digest = text.parse::<Digest>().map(|digest| digest.to_string());
    let session = text.parse::<SessionId>().map(|session| session.to_string());
    let ability = text.parse::<Ability>().map(|ability| ability.to_string());
    if let Err(error) = &ability {
        assert_readable(&error.to_string());
    }
    let read = [digest.ok(), session.ok(), ability.ok()].into_iter().flatten().collect::<Vec<_>>();
    assert!(read.len() <= 1 && read.iter().all(|name| name == text), "{text:?} reads as {read:?}");
    Verdict::accepted_if(!read.is_empty())
}

/// Whatever is shown can be read, and says exactly what was there.
pub(super) fn peer_text(bytes: &[u8]) -> Verdict {
    let all = shown_bytes(bytes);
    assert_readable(&all);
    assert_eq!(unshown(&all).as_deref(), Some(bytes));
    let Ok(text) = str::from_utf8(bytes) else { return Verdict::Refused };
    assert_eq!(shown(text), all);
    let label = Label::cut(text);
    assert!(label.raw().len() <= 128 && text.starts_with(label.raw()));
    assert!(text.len() - label.raw().len() < 4 || label.raw().len() > 124);
    assert_eq!(label.shown(), label.to_string());
    assert_readable(&format!("{label} {label:?}"));
    Verdict::Accepted
}

/// Takes the escapes of `wire::text` back.
fn unshown(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((before, escape)) = rest.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        rest = if let Some(rest) = escape.strip_prefix('\\') {
            bytes.push(b'\\');
            rest
        } else if let Some(hex) = escape.strip_prefix('x') {
            bytes.push(u8::from_str_radix(hex.get(..2)?, 16).ok()?);
            hex.get(2..)?
        } else {
            let (hex, rest) = escape.strip_prefix("u{")?.split_once('}')?;
            let character = char::from_u32(u32::from_str_radix(hex, 16).ok()?)?;
            bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            rest
        };
    }
    bytes.extend_from_slice(rest.as_bytes());
    Some(bytes)
}

pub(super) fn relay_config(bytes: &[u8]) -> Verdict {
    let Ok(text) = str::from_utf8(bytes) else { return Verdict::Refused };
    // Named here, so that nothing depends on whose machine this is.
    let overrides = Overrides { state_dir: Some("/nowhere".into()), ..Overrides::default() };
    let Ok(config) = RelayConfig::parse(text, &overrides) else { return Verdict::Refused };
    if let Http::At(address) = config.http {
        let allowed = address.ip().to_canonical().is_loopback() || text.contains("danger_http_for_everyone");
        assert!(allowed, "metrics for everybody at {address}");
    }
    if let Some(host) = &config.public_host {
        let link = RelayLink::new(host, config.public_port.unwrap_or(1), [7; 32]).expect("the relay prints this link");
        assert_eq!(link.to_string().parse(), Ok(link));
    }
    assert!(config.drain.as_secs() <= 600);
    Verdict::Accepted
}

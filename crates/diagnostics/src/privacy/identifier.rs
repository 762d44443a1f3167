//! Serial numbers, hardware addresses and machine ids: what tells the vendor stays, what tells the device does not.

use super::aliases::{Aliases, Kind, Search};

/// What firmware says that was never told a serial number.
const FILLERS: [&str; 14] = [
    "0",
    "1",
    "123456789",
    "default string",
    "empty",
    "n/a",
    "na",
    "no asset tag",
    "none",
    "not applicable",
    "not specified",
    "system serial number",
    "to be filled by o.e.m.",
    "unknown",
];

/// Vendor part of the addresses that QEMU gives, though they claim to be local.
const QEMU: &str = "52:54:00";

/// An identifier that keeps its vendor's part.
pub(super) fn identifier(aliases: &mut Aliases, text: &str) -> String {
    let text = text.trim();
    if FILLERS.contains(&text.to_ascii_lowercase().as_str()) || is_all(text, b'0') || is_all(text, b'f') {
        return text.to_owned();
    }
    if let Some(address) = hardware_address(text) {
        return mac(aliases, address);
    }
    aliases.with_prefix(Kind::Id, &vendor_part(text), text, Search::Identifier)
}

/// The alias of a hardware address. One that names no device, such as that of a broadcast, stays.
pub(super) fn mac(aliases: &mut Aliases, address: [u8; 6]) -> String {
    let text = address.map(|byte| format!("{byte:02x}")).join(":");
    // A group's address; or none.
    if address[0] & 1 == 1 || address == [0; 6] {
        return text;
    }
    // Of an address that the machine made up itself, the first half is as good as its name.
    let is_local = address[0] & 2 == 2 && !text.starts_with(QEMU);
    let prefix = if is_local { "local:" } else { text.split_at(9).0 };
    aliases.with_prefix(Kind::Id, prefix, &text, Search::Identifier)
}

/// Six bytes in hexadecimal, separated by colons or hyphens, or in three groups by dots.
pub(super) fn hardware_address(text: &str) -> Option<[u8; 6]> {
    let bytes = text.as_bytes();
    let separated = bytes.len() == 17 && bytes.iter().skip(2).step_by(3).all(|byte| matches!(byte, b':' | b'-'));
    let dotted = bytes.len() == 14 && bytes.iter().skip(4).step_by(5).all(|byte| *byte == b'.');
    let digits = text.chars().filter(char::is_ascii_hexdigit).collect::<String>();
    if !(separated || dotted) || digits.len() != 12 {
        return None;
    }
    let mut address = [0; 6];
    for (byte, at) in address.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()?;
    }
    Some(address)
}

/// Up to where an identifier tells the vendor: the OUI of world-wide names, at most three letters of a serial number that also has
/// digits. Others may be names that somebody gave.
fn vendor_part(text: &str) -> String {
    let hex = |text: &str, length: usize| {
        text.get(..length).filter(|part| part.bytes().all(|byte| byte.is_ascii_hexdigit())).map(str::to_owned)
    };
    // IEEE: an NAA of type 5 or 6 has the vendor in its next six digits, an EUI-64 in its first six.
    for (prefix, digits) in [("0x5", 6), ("0x6", 6), ("naa.5", 6), ("naa.6", 6), ("wwn-0x5", 6), ("eui.", 6)] {
        if let Some(part) = text.strip_prefix(prefix).and_then(|rest| hex(rest, digits)) {
            return format!("{prefix}{part}-");
        }
    }
    let is_uuid = text.len() >= 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    let is_serial = text.bytes().filter(u8::is_ascii_digit).count() >= 3 && !text.contains(char::is_whitespace);
    let letters = text.bytes().take_while(u8::is_ascii_uppercase).count();
    if is_uuid || !is_serial || letters == 0 {
        return String::new();
    }
    format!("{}-", &text[..letters.min(3)])
}

fn is_all(text: &str, digit: u8) -> bool {
    text.bytes().all(|byte| byte.to_ascii_lowercase() == digit || matches!(byte, b':' | b'-' | b'.'))
}

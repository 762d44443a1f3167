//! The relay link: all that a program needs to know of a relay.

use std::{fmt, str::FromStr};

/// `assent://HOST:PORT#PIN`: where a relay listens and which key it must prove.
///
/// The pin is the SHA-256 digest of the relay's public key (SubjectPublicKeyInfo, DER) as 64 hexadecimal digits. There is no link
/// without a pin and no way to go on when it does not match.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RelayLink {
    host: String,
    port: u16,
    pin: [u8; 32],
}

/// Why a text is not a relay link.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// It starts with something else.
    #[error("a relay link starts with assent://")]
    Scheme,
    /// There is no `#` with 64 hexadecimal digits behind it.
    #[error(
        "a relay link ends with # and the 64 hexadecimal digits of the relay's key; part of it is missing or mistyped"
    )]
    Pin,
    /// There is no host.
    #[error("the relay link names no host")]
    Host,
    /// There is no port, or it is not 1..=65535.
    #[error("the relay link names no port between 1 and 65535")]
    Port,
}

impl RelayLink {
    /// Makes a link. `host` is a name or an address; an IPv6 address comes without brackets.
    ///
    /// # Errors
    ///
    /// [`LinkError::Host`] or [`LinkError::Port`] if the link could not be read back.
    pub fn new(host: &str, port: u16, pin: [u8; 32]) -> Result<Self, LinkError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
        if host.is_empty() || host.len() > 255 || !host.chars().all(plain) {
            return Err(LinkError::Host);
        }
        if port == 0 {
            return Err(LinkError::Port);
        }
        Ok(Self { host: host.to_owned(), port, pin })
    }

    /// Host name or address, IPv6 without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Port, for UDP and for TCP.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// SHA-256 of the relay's public key.
    pub fn pin(&self) -> [u8; 32] {
        self.pin
    }
}

impl FromStr for RelayLink {
    type Err = LinkError;

    fn from_str(text: &str) -> Result<Self, LinkError> {
        let rest = text.trim().strip_prefix("assent://").ok_or(LinkError::Scheme)?;
        let (place, digits) = rest.split_once('#').ok_or(LinkError::Pin)?;
        let pin = parse_pin(digits).ok_or(LinkError::Pin)?;
        let place = place.strip_suffix('/').unwrap_or(place);
        let (host, port) = place.rsplit_once(':').ok_or(LinkError::Port)?;
        let port = port.parse().map_err(|_| LinkError::Port)?;
        let host = match host.strip_prefix('[') {
            Some(bracketed) => bracketed.strip_suffix(']').ok_or(LinkError::Host)?,
            None if host.contains(':') => return Err(LinkError::Host),
            None => host,
        };
        Self::new(host, port, pin)
    }
}

fn parse_pin(digits: &str) -> Option<[u8; 32]> {
    if digits.len() != 64 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut pin = [0; 32];
    for (index, byte) in pin.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(index * 2..index * 2 + 2)?, 16).ok()?;
    }
    Some(pin)
}

impl fmt::Display for RelayLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        write!(f, "assent://{open}{}{close}:{}#", self.host, self.port)?;
        self.pin.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for RelayLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_reads_back_as_it_was_printed() {
        for host in ["relay.example.org", "192.0.2.7", "2001:db8::1"] {
            let link = RelayLink::new(host, 4433, [0xa5; 32]).unwrap();
            assert_eq!(link.to_string().parse(), Ok(link));
        }
    }

    #[test]
    fn a_damaged_link_is_refused_with_what_is_wrong() {
        let pin = "ab".repeat(32);
        let cases = [
            (format!("https://h:1#{pin}"), LinkError::Scheme),
            ("assent://h:1".to_owned(), LinkError::Pin),
            (format!("assent://h:1#{}", &pin[1..]), LinkError::Pin),
            (format!("assent://h:1#{}é", &pin[2..]), LinkError::Pin),
            (format!("assent://h#{pin}"), LinkError::Port),
            (format!("assent://h:0#{pin}"), LinkError::Port),
            (format!("assent://:1#{pin}"), LinkError::Host),
            (format!("assent://2001:db8::1:1#{pin}"), LinkError::Host),
            (format!("assent://a b:1#{pin}"), LinkError::Host),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<RelayLink>(), Err(error), "{text}");
        }
    }
}

//! Proof that a probe of a direct path was made by the other end of a session.
//!
//! Direct paths lead over addresses that neither end has proved, so what arrives from one is believed only with a tag that nobody but
//! the two ends can make. Its keys come from the exporter of the session's own TLS, one for each direction, so that nothing can be sent
//! back to who made it. What keeps an old probe from being used again, a number that only grows, is part of what is tagged.

use std::fmt;

use aws_lc_rs::hmac;
use wire::{control::Side, path::TAG_BYTES};

use crate::kdf::Secret;

/// Label of the TLS exporter that the keys come from. Its context is empty.
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-assent-direct-v1";

/// Keys of one session's probes.
pub struct ProbeKeys {
    ours: hmac::Key,
    theirs: hmac::Key,
    channel: [u8; 4],
}

impl ProbeKeys {
    /// The keys of the end `side`; `exporter` is what TLS exports under [`EXPORTER_LABEL`].
    pub fn new(exporter: &[u8; 32], side: Side) -> Self {
        let secret = Secret::extract(b"", exporter);
        let key = |label: &[u8]| hmac::Key::new(hmac::HMAC_SHA256, secret.expand::<32>(label, b"").as_slice());
        let (agent, technician) = (key(b"probes of the agent"), key(b"probes of the technician"));
        let (ours, theirs) = match side {
            Side::Agent => (agent, technician),
            Side::Technician => (technician, agent),
        };
        Self { ours, theirs, channel: *secret.expand::<4>(b"direct channel", b"") }
    }

    /// A number that both ends know of their session, and that says nothing of the keys.
    pub fn channel(&self) -> u32 {
        u32::from_be_bytes(self.channel)
    }

    /// The tag of a probe of this end.
    pub fn tag(&self, probe: &[u8]) -> [u8; TAG_BYTES] {
        let mut tag = [0; TAG_BYTES];
        tag.copy_from_slice(hmac::sign(&self.ours, probe).as_ref());
        tag
    }

    /// Whether the other end made this probe. Takes the same time whatever the tag is.
    pub fn is_theirs(&self, probe: &[u8], tag: &[u8; TAG_BYTES]) -> bool {
        hmac::verify(&self.theirs, probe, tag).is_ok()
    }
}

impl fmt::Debug for ProbeKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProbeKeys(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (ProbeKeys, ProbeKeys) {
        (ProbeKeys::new(&[7; 32], Side::Agent), ProbeKeys::new(&[7; 32], Side::Technician))
    }

    #[test]
    fn a_probe_is_taken_by_the_other_end_and_by_nobody_else() {
        let (agent, technician) = pair();
        let tag = agent.tag(b"probe");
        assert!(technician.is_theirs(b"probe", &tag));
        assert!(!agent.is_theirs(b"probe", &tag), "sent back to who made it");
        let other = ProbeKeys::new(&[8; 32], Side::Technician);
        assert!(!other.is_theirs(b"probe", &tag), "another session");
        assert_eq!(agent.channel(), technician.channel());
        assert_ne!(agent.channel(), other.channel());
    }

    #[test]
    fn a_changed_probe_or_tag_is_refused() {
        let (agent, technician) = pair();
        let tag = agent.tag(b"probe");
        assert!(!technician.is_theirs(b"prove", &tag));
        for index in 0..TAG_BYTES {
            let mut changed = tag;
            changed[index] ^= 1;
            assert!(!technician.is_theirs(b"probe", &changed));
        }
    }
}

//! HKDF-SHA256 and HMAC-SHA256 as [`pairing`](crate::pairing) uses them.

use aws_lc_rs::{
    hkdf::{HKDF_SHA256, KeyType, Prk, Salt},
    hmac,
};
use wire::ids::Digest;
use zeroize::Zeroizing;

/// Derives keys from one secret, each under its own label.
pub(crate) struct Secret(Prk);

struct Bytes(usize);

impl KeyType for Bytes {
    fn len(&self) -> usize {
        self.0
    }
}

impl Secret {
    /// HKDF-Extract (RFC 5869 section 2.2).
    pub(crate) fn extract(salt: &[u8], key: &[u8]) -> Self {
        Self(Salt::new(HKDF_SHA256, salt).extract(key))
    }

    /// HKDF-Expand (RFC 5869 section 2.3) under `label` and a `context` of fixed length.
    ///
    /// No label is a prefix of another, so label and context cannot run into each other.
    pub(crate) fn expand<const N: usize>(&self, label: &[u8], context: &[u8]) -> Zeroizing<[u8; N]> {
        let mut out = Zeroizing::new([0; N]);
        let info = [label, context];
        let okm = self.0.expand(&info, Bytes(N)).expect("fewer bytes than 255 digests");
        okm.fill(out.as_mut_slice()).expect("the length is the one asked for");
        out
    }
}

/// HMAC-SHA256 of a transcript.
pub(crate) fn mac(key: &[u8; 32], transcript: Digest) -> [u8; 32] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), &transcript.0);
    let mut bytes = [0; 32];
    bytes.copy_from_slice(tag.as_ref());
    bytes
}

/// Whether `tag` is [`mac`] of `transcript`, found out in constant time.
pub(crate) fn mac_is(key: &[u8; 32], transcript: Digest, tag: &[u8; 32]) -> bool {
    hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, key), &transcript.0, tag).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_derived_as_rfc_5869_says() {
        // RFC 5869 appendix A.1, the first 32 of its 42 bytes; info is split to show that label and context are just joined.
        let salt = (0..=0x0c).collect::<Vec<u8>>();
        let secret = Secret::extract(&salt, &[0x0b; 22]);
        let out = secret.expand::<32>(&[0xf0, 0xf1, 0xf2], &[0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9]);
        assert_eq!(Digest(*out).to_string(), "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf");
    }

    #[test]
    fn a_changed_tag_is_no_tag() {
        let transcript = crate::digest(b"what both sides saw");
        let tag = mac(&[7; 32], transcript);
        assert!(mac_is(&[7; 32], transcript, &tag));
        assert!(!mac_is(&[8; 32], transcript, &tag));
        for position in 0..32 {
            let mut changed = tag;
            changed[position] ^= 1;
            assert!(!mac_is(&[7; 32], transcript, &changed));
        }
    }
}

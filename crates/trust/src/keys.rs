//! Ed25519 keys (RFC 8032): a session's raw public keys, the relay's pinned key, an organisation's root.

use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use curve25519_dalek::edwards::CompressedEdwardsY;
use rand_core::CryptoRngCore;
use wire::ids::{AgentId, Digest};
use zeroize::Zeroizing;

use crate::digest;

/// Bytes of a signature.
pub const SIGNATURE_BYTES: usize = 64;

/// `SubjectPublicKeyInfo` of an Ed25519 key up to the key itself (RFC 8410 section 4): there is exactly one encoding.
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
const SPKI_BYTES: usize = SPKI_PREFIX.len() + 32;

/// Stands before everything that is signed here, so that no signature fits a certificate (which begins with 0x30), a TLS
/// handshake (which begins with spaces) or another use of the same key.
const SIGNATURE_LABEL: &[u8] = b"assent-signature-v1\0";

/// Why bytes are no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Not the one encoding of an Ed25519 public key.
    #[error("not an Ed25519 public key")]
    NotEd25519,
    /// A key under which forged signatures verify.
    #[error("the public key is one of the weak ones that vouch for nothing")]
    Weak,
    /// Not an Ed25519 private key in PKCS #8.
    #[error("not an Ed25519 private key")]
    NotPrivateKey,
}

/// A signature that does not fit the key, the context or the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature is wrong")]
pub struct BadSignature;

/// An Ed25519 private key. Wiped from memory when it is dropped; its `Debug` shows the public key's digest.
#[derive(Clone)]
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl SigningKey {
    /// Draws a new key.
    pub fn generate(rng: &mut dyn CryptoRngCore) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(seed.as_mut_slice());
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_slice()).expect("any 32 bytes are a seed");
        Self::from_pair(pair)
    }

    /// Reads a key that [`SigningKey::to_pkcs8`] or `openssl genpkey -algorithm ed25519` wrote, in DER.
    ///
    /// # Errors
    ///
    /// [`KeyError::NotPrivateKey`] for everything else.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        Ed25519KeyPair::from_pkcs8(der).map(Self::from_pair).map_err(|_| KeyError::NotPrivateKey)
    }

    fn from_pair(pair: Ed25519KeyPair) -> Self {
        let mut raw = [0; 32];
        raw.copy_from_slice(pair.public_key().as_ref());
        Self { pair, public: PublicKey::from_raw_unchecked(raw) }
    }

    /// The key in PKCS #8 version 1, DER: what TLS and `openssl` read.
    pub fn to_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        let document = self.pair.to_pkcs8v1().expect("a complete key is encodable");
        Zeroizing::new(document.as_ref().to_vec())
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs `bytes` for one purpose, named by `context`: a constant of at most 255 bytes.
    ///
    /// # Panics
    ///
    /// If `context` is longer than that.
    pub fn sign(&self, context: &'static str, bytes: &[u8]) -> [u8; SIGNATURE_BYTES] {
        self.sign_raw(&with_context(context, bytes))
    }

    /// Signs without a context: for certificates, whose form X.509 prescribes.
    pub(crate) fn sign_raw(&self, bytes: &[u8]) -> [u8; SIGNATURE_BYTES] {
        let mut signature = [0; SIGNATURE_BYTES];
        signature.copy_from_slice(self.pair.sign(bytes).as_ref());
        signature
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public.digest())
    }
}

/// An Ed25519 public key. Its `Debug` shows its digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey {
    spki: [u8; SPKI_BYTES],
}

impl PublicKey {
    /// Reads a `SubjectPublicKeyInfo` in DER, as raw public keys in TLS carry it (RFC 7250).
    ///
    /// # Errors
    ///
    /// [`KeyError::NotEd25519`] for every other key and every other encoding; [`KeyError::Weak`] for a point of small order, for
    /// which anybody can sign.
    pub fn from_spki_der(der: &[u8]) -> Result<Self, KeyError> {
        let raw = der.strip_prefix(&SPKI_PREFIX).ok_or(KeyError::NotEd25519)?;
        let raw = <[u8; 32]>::try_from(raw).map_err(|_| KeyError::NotEd25519)?;
        let point = CompressedEdwardsY(raw).decompress().ok_or(KeyError::NotEd25519)?;
        if point.compress().0 != raw {
            return Err(KeyError::NotEd25519);
        }
        if point.is_small_order() {
            return Err(KeyError::Weak);
        }
        Ok(Self::from_raw_unchecked(raw))
    }

    fn from_raw_unchecked(raw: [u8; 32]) -> Self {
        let mut spki = [0; SPKI_BYTES];
        let (prefix, key) = spki.split_at_mut(SPKI_PREFIX.len());
        prefix.copy_from_slice(&SPKI_PREFIX);
        key.copy_from_slice(&raw);
        Self { spki }
    }

    /// The key as `SubjectPublicKeyInfo` in DER, 44 bytes.
    pub fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    /// How a relay names the agent that has shown this key.
    pub fn agent_id(&self) -> AgentId {
        let mut id = AgentId([0; 16]);
        id.0.copy_from_slice(&self.digest().0[..16]);
        id
    }

    /// SHA-256 of [`PublicKey::spki_der`]: how the key is named in a relay link, an audit log and a pairing.
    pub fn digest(&self) -> Digest {
        digest(&self.spki)
    }

    /// The 32 bytes of the point.
    pub(crate) fn raw(&self) -> &[u8] {
        &self.spki[SPKI_PREFIX.len()..]
    }

    /// Checks what [`SigningKey::sign`] made of the same context and bytes.
    ///
    /// # Errors
    ///
    /// [`BadSignature`] for everything else, whatever its length.
    pub fn verify(&self, context: &'static str, bytes: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        self.verify_raw(&with_context(context, bytes), signature)
    }

    /// Checks a signature without a context: for certificates.
    pub(crate) fn verify_raw(&self, bytes: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        UnparsedPublicKey::new(&ED25519, self.raw()).verify(bytes, signature).map_err(|_| BadSignature)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.digest())
    }
}

/// What is really signed: label, length of the context, context, bytes.
fn with_context(context: &'static str, bytes: &[u8]) -> Vec<u8> {
    let length = u8::try_from(context.len()).expect("a context is a short constant");
    [SIGNATURE_LABEL, &[length], context.as_bytes(), bytes].concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::TestRng;

    fn key(seed: &str) -> SigningKey {
        SigningKey::generate(&mut TestRng::new(seed))
    }

    fn hex<const N: usize>(text: &str) -> [u8; N] {
        std::array::from_fn(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap())
    }

    #[test]
    fn signatures_are_those_of_rfc_8032() {
        // RFC 8032 section 7.1, test 2.
        let seed = hex::<32>("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
        let key = SigningKey::from_pair(Ed25519KeyPair::from_seed_unchecked(&seed).unwrap());
        let public = hex::<32>("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
        assert_eq!(key.public().raw(), public);
        let signature = hex::<64>(
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
             085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        );
        assert_eq!(key.sign_raw(&[0x72]), signature);
        assert_eq!(key.public().verify_raw(&[0x72], &signature), Ok(()));
    }

    #[test]
    fn a_signature_fits_one_context_one_key_and_one_text() {
        let (key, other) = (key("signer"), key("other"));
        let signature = key.sign("a", b"bc");
        assert_eq!(key.public().verify("a", b"bc", &signature), Ok(()));
        assert_eq!(key.public().verify("ab", b"c", &signature), Err(BadSignature));
        assert_eq!(key.public().verify("a", b"bd", &signature), Err(BadSignature));
        assert_eq!(other.public().verify("a", b"bc", &signature), Err(BadSignature));
        assert_eq!(key.public().verify("a", b"bc", &signature[..63]), Err(BadSignature));
        assert_eq!(key.public().verify("a", b"bc", &[]), Err(BadSignature));
    }

    #[test]
    fn keys_survive_being_stored() {
        let key = key("stored");
        let again = SigningKey::from_pkcs8(&key.to_pkcs8()).unwrap();
        assert_eq!(again.public(), key.public());
        assert_eq!(PublicKey::from_spki_der(key.public().spki_der()), Ok(*key.public()));
        assert!(matches!(SigningKey::from_pkcs8(b"no key"), Err(KeyError::NotPrivateKey)));
    }

    #[test]
    fn a_private_key_is_never_shown() {
        let key = key("secret");
        assert_eq!(format!("{key:?}"), format!("SigningKey({})", key.public().digest()));
    }

    #[test]
    fn keys_for_which_anybody_can_sign_are_refused() {
        // The identity, the point of order 2 and one of order 4; then y = p, an encoding of 0 that is not the canonical one.
        let mut identity = [0; 32];
        identity[0] = 1;
        let mut order_two = [0xff; 32];
        (order_two[0], order_two[31]) = (0xec, 0x7f);
        for (raw, error) in [
            (identity, KeyError::Weak),
            (order_two, KeyError::Weak),
            ([0; 32], KeyError::Weak),
            (hex("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"), KeyError::NotEd25519),
            ([2; 32], KeyError::NotEd25519),
        ] {
            let der = [SPKI_PREFIX.as_slice(), &raw].concat();
            assert_eq!(PublicKey::from_spki_der(&der), Err(error), "{raw:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in any::<Vec<u8>>(), raw in any::<[u8; 32]>()) {
            let _ = PublicKey::from_spki_der(&bytes);
            let _ = PublicKey::from_spki_der(&[SPKI_PREFIX.as_slice(), &raw].concat());
            let _ = SigningKey::from_pkcs8(&bytes);
        }

        #[test]
        fn a_longer_or_shorter_key_is_no_key(extra in 1usize..8) {
            let der = key("length").public().spki_der().to_vec();
            prop_assert_eq!(PublicKey::from_spki_der(&der[..der.len() - extra]), Err(KeyError::NotEd25519));
            let longer = [der, vec![0; extra]].concat();
            prop_assert_eq!(PublicKey::from_spki_der(&longer), Err(KeyError::NotEd25519));
        }
    }
}

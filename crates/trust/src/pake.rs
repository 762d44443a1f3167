//! Password-authenticated key exchange: two ends that know the same six digits get the same key, and everybody else gets one
//! guess an exchange.
//!
//! SPAKE2 as the `spake2` crate has it (its bytes are those of python-spake2, not of RFC 9382). No audit of that crate is known;
//! therefore it stands behind [`Pake`] and a suite byte, every element is checked here before the crate sees it, and a code alone
//! gives no authority. The crate does not wipe its own copies of the password and its scalar; what is kept here is wiped.

use curve25519_dalek::{edwards::CompressedEdwardsY, traits::IsIdentity as _};
use rand_core::CryptoRngCore;
use spake2::{Ed25519Group, Identity, Password, Spake2};
use wire::{control::Side, pairing::PakeSuite};
use zeroize::Zeroizing;

/// Bytes of the exchange's result.
pub(crate) const KEY_BYTES: usize = 32;

/// Both ends as both must see them; different identities on the two sides give different keys.
pub(crate) struct Identities {
    pub(crate) technician: Vec<u8>,
    pub(crate) agent: Vec<u8>,
}

/// The peer's message cannot be one of an honest peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadMessage;

/// One end of an exchange that sent its message and waits for the peer's.
pub(crate) trait Pake: Send {
    /// Takes the peer's message. Both ends get the same key exactly if passwords and identities are the same.
    fn finish(self: Box<Self>, peer: &[u8]) -> Result<Zeroizing<[u8; KEY_BYTES]>, BadMessage>;
}

/// The byte that names `suite` in everything that is hashed; none if this program does not know it.
pub(crate) fn suite_byte(suite: PakeSuite) -> Option<u8> {
    match suite {
        PakeSuite::Spake2Ed25519 => Some(1),
        _ => None,
    }
}

/// Starts an exchange; none if this program does not know `suite`.
pub(crate) fn start(
    suite: PakeSuite,
    side: Side,
    password: &[u8],
    identities: &Identities,
    rng: &mut dyn CryptoRngCore,
) -> Option<(Box<dyn Pake>, Vec<u8>)> {
    match suite {
        PakeSuite::Spake2Ed25519 => Some(Spake2Ed25519::start(side, password, identities, rng)),
        _ => None,
    }
}

struct Spake2Ed25519 {
    exchange: Spake2<Ed25519Group>,
    sent: Vec<u8>,
}

impl Spake2Ed25519 {
    /// Bytes of a message: the side's letter and a compressed point.
    const MESSAGE_BYTES: usize = 33;

    /// The technician is SPAKE2's side A, the agent its side B.
    fn start(
        side: Side,
        password: &[u8],
        identities: &Identities,
        rng: &mut dyn CryptoRngCore,
    ) -> (Box<dyn Pake>, Vec<u8>) {
        let password = Password::new(password);
        let technician = Identity::new(&identities.technician);
        let agent = Identity::new(&identities.agent);
        let (exchange, sent) = match side {
            Side::Technician => Spake2::start_a_with_rng(&password, &technician, &agent, rng),
            Side::Agent => Spake2::start_b_with_rng(&password, &technician, &agent, rng),
        };
        (Box::new(Self { exchange, sent: sent.clone() }), sent)
    }

    /// Whether `point` is the one encoding of a point of the prime-order subgroup other than the identity.
    ///
    /// SPAKE2 needs neither check if its scalars are random, but points outside the subgroup have broken so many protocols
    /// that an honest peer's are the only ones worth taking.
    fn is_honest(point: &[u8]) -> bool {
        let Ok(bytes) = <[u8; 32]>::try_from(point) else { return false };
        let Some(point) = CompressedEdwardsY(bytes).decompress() else { return false };
        point.compress().0 == bytes && !point.is_identity() && point.is_torsion_free()
    }
}

impl Pake for Spake2Ed25519 {
    fn finish(self: Box<Self>, peer: &[u8]) -> Result<Zeroizing<[u8; KEY_BYTES]>, BadMessage> {
        // The crate checks the side's letter. The same point sent back under the other letter is still a reflection.
        let reflected = peer.get(1..) == self.sent.get(1..);
        if peer.len() != Self::MESSAGE_BYTES || reflected || !Self::is_honest(&peer[1..]) {
            return Err(BadMessage);
        }
        let shared = Zeroizing::new(self.exchange.finish(peer).map_err(|_| BadMessage)?);
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        if shared.len() != key.len() {
            return Err(BadMessage);
        }
        key.copy_from_slice(&shared);
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use rand_core::{CryptoRng, RngCore};

    use super::*;
    use crate::testing::TestRng;

    fn identities() -> Identities {
        Identities { technician: b"idA".to_vec(), agent: b"idB".to_vec() }
    }

    fn begin(side: Side, password: &[u8], rng: &mut dyn CryptoRngCore) -> (Box<dyn Pake>, Vec<u8>) {
        start(PakeSuite::Spake2Ed25519, side, password, &identities(), rng).unwrap()
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Draws one scalar, given in decimal as the Python tests have it: 32 little-endian bytes and zeros above them.
    struct OneScalar([u8; 64]);

    impl OneScalar {
        fn new(decimal: &str) -> Self {
            let mut bytes = [0; 64];
            for digit in decimal.bytes() {
                let mut carry = u32::from(digit - b'0');
                for byte in &mut bytes {
                    carry += u32::from(*byte) * 10;
                    *byte = (carry & 0xff).try_into().unwrap();
                    carry >>= 8;
                }
            }
            Self(bytes)
        }
    }

    impl RngCore for OneScalar {
        fn next_u32(&mut self) -> u32 {
            unreachable!("a scalar is drawn as 64 bytes")
        }
        fn next_u64(&mut self) -> u64 {
            unreachable!("a scalar is drawn as 64 bytes")
        }
        fn fill_bytes(&mut self, out: &mut [u8]) {
            out.copy_from_slice(&self.0);
        }
        fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), rand_core::Error> {
            self.fill_bytes(out);
            Ok(())
        }
    }

    impl CryptoRng for OneScalar {}

    #[test]
    fn the_exchange_is_the_one_of_python_spake2() {
        // python-spake2, `test_compat.py`, SPAKE2.test_asymmetric.
        let mut technician_rng =
            OneScalar::new("2611694063369306139794446498317402240796898290761098242657700742213257926693");
        let mut agent_rng =
            OneScalar::new("7002393159576182977806091886122272758628412261510164356026361256515836884383");
        let (technician, open) = begin(Side::Technician, b"password", &mut technician_rng);
        let (agent, answer) = begin(Side::Agent, b"password", &mut agent_rng);
        assert_eq!(hex(&open), "416fc960df73c9cf8ed7198b0c9534e2e96a5984bfc5edc023fd24dacf371f2af9");
        assert_eq!(hex(&answer), "42354e97b88406922b1df4bea1d7870f17aed3dba7c720b313edae315b00959309");
        let key = "712295de7219c675ddd31942184aa26e0a957cf216bc230d165b215047b520c1";
        assert_eq!(hex(&*technician.finish(&answer).unwrap()), key);
        assert_eq!(hex(&*agent.finish(&open).unwrap()), key);
    }

    #[test]
    fn a_message_sent_back_is_refused_under_either_letter() {
        for side in [Side::Agent, Side::Technician] {
            let mut rng = TestRng::new("reflected");
            let (_, sent) = begin(side, b"936042", &mut rng);
            for letter in *b"ABS" {
                let (exchange, _) = begin(side, b"936042", &mut TestRng::new("reflected"));
                let mut reflected = sent.clone();
                reflected[0] = letter;
                assert_eq!(exchange.finish(&reflected).err(), Some(BadMessage));
            }
        }
    }

    #[test]
    fn points_that_no_honest_peer_sends_are_refused() {
        let identity = CompressedEdwardsY([&[1][..], &[0; 31]].concat().try_into().unwrap());
        let low = curve25519_dalek::constants::EIGHT_TORSION.map(|point| point.compress());
        let mixed =
            curve25519_dalek::constants::ED25519_BASEPOINT_POINT + curve25519_dalek::constants::EIGHT_TORSION[1];
        let not_canonical = CompressedEdwardsY([&[0xee][..], &[0xff; 30], &[0x7f]].concat().try_into().unwrap());
        assert!(not_canonical.decompress().is_some_and(|point| point.is_identity()), "the encoding is lenient");
        for point in [identity, mixed.compress(), not_canonical, CompressedEdwardsY([2; 32])].iter().chain(&low) {
            let (exchange, _) = begin(Side::Agent, b"936042", &mut TestRng::new("hostile"));
            assert_eq!(exchange.finish(&[b"A", point.0.as_slice()].concat()).err(), Some(BadMessage));
        }
    }

    #[test]
    fn a_message_of_another_length_is_refused() {
        let (_, open) = begin(Side::Technician, b"936042", &mut TestRng::new("technician"));
        for length in [0, 1, 32, 34, 4096] {
            let (exchange, _) = begin(Side::Agent, b"936042", &mut TestRng::new("agent"));
            let mut message = open.clone();
            message.resize(length, 0);
            assert_eq!(exchange.finish(&message).err(), Some(BadMessage), "{length} bytes");
        }
    }
}

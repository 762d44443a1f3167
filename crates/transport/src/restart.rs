//! What a relay must still know after a restart, derived from its key instead of kept.
//!
//! With the same reset key a restarted relay tells the peers of its former connections at once that these are gone
//! (stateless reset, RFC 9000 section 10.3), and with the same token key it still recognises addresses that it has validated.
//! HKDF-SHA256 and ChaCha20-Poly1305 are those of the TLS library, so that nothing else here touches ciphers.

use std::{sync::Arc, time::Duration};

use quinn::{
    ConnectionId, ConnectionIdGenerator, EndpointConfig,
    crypto::{AeadKey, CryptoError, HandshakeTokenKey, HmacKey},
};
use quinn_proto::InvalidCid;
use rand_core::{OsRng, RngCore};
use rustls::{
    crypto::{
        aws_lc_rs::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        cipher::{self, Iv},
        tls13::{HkdfExpander, expand},
    },
    quic::PacketKey,
};
use trust::keys::SigningKey;

use crate::tls::QUIC_VERSION;

const SALT: &[u8] = b"assent-relay-restart-v1";

/// quinn's 20 ms would take half an hour to tell 100,000 agents of a restart. Stateless resets are answered only to packets with
/// an id of this relay's making, and are smaller than those.
const RESET_INTERVAL: Duration = Duration::from_micros(50);

/// Keys derived from the relay's own.
#[derive(Clone)]
pub(crate) struct RestartKeys(Arc<dyn HkdfExpander>);

impl RestartKeys {
    pub(crate) fn of(key: &SigningKey) -> Self {
        let suite = TLS13_CHACHA20_POLY1305_SHA256.tls13().expect("the suite is one of TLS 1.3");
        Self(Arc::from(suite.hkdf_provider.extract_from_secret(Some(SALT), &key.to_pkcs8())))
    }

    /// How a shard's endpoint names and disowns connections.
    pub(crate) fn endpoint_config(&self, shard: u8) -> EndpointConfig {
        let (keys, shards) = (self.clone(), self.shard_mask());
        let mut config = EndpointConfig::new(Arc::new(ResetKey(self.clone())));
        config
            .cid_generator(move || -> Box<dyn ConnectionIdGenerator> {
                Box::new(Ids { keys: keys.clone(), shards: shards.clone(), shard })
            })
            .min_reset_interval(RESET_INTERVAL)
            .supported_versions(vec![QUIC_VERSION])
            .grease_quic_bit(false);
        config
    }

    /// Reads the shards in connection ids.
    pub(crate) fn shard_mask(&self) -> ShardMask {
        ShardMask(Arc::new(expand(&*self.0, &[b"shard mask"])))
    }

    /// Seals what the relay gives to clients to bring back.
    pub(crate) fn token_key(&self) -> Arc<dyn HandshakeTokenKey> {
        Arc::new(TokenKey(self.clone()))
    }
}

/// Makes connection ids that this relay recognises after a restart, and that tell the shard which has the connection.
///
/// quinn's own generator keeps its key to itself, so after a restart a relay would drop what it should answer with a reset.
///
/// ```text
/// 0..4 random   4 shard, masked   5..8 keyed check of both
/// ```
struct Ids {
    keys: RestartKeys,
    shards: ShardMask,
    shard: u8,
}

const ID_RANDOM_BYTES: usize = 4;
const ID_BYTES: usize = 8;

impl Ids {
    fn id(&self, random: [u8; ID_RANDOM_BYTES], shard: u8) -> [u8; ID_BYTES] {
        let [r0, r1, r2, r3] = random;
        let [c0, c1, c2]: [u8; ID_BYTES - ID_RANDOM_BYTES - 1] =
            expand(&*self.keys.0, &[b"connection id", &random, &[shard]]);
        [r0, r1, r2, r3, shard ^ self.shards.mask(random), c0, c1, c2]
    }
}

impl ConnectionIdGenerator for Ids {
    fn generate_cid(&mut self) -> ConnectionId {
        ConnectionId::new(&self.id(OsRng.next_u32().to_le_bytes(), self.shard))
    }

    /// Whichever shard made it, in this run or an earlier one.
    fn validate(&self, cid: &ConnectionId) -> Result<(), InvalidCid> {
        let &[r0, r1, r2, r3, masked, ..] = cid.first_chunk::<ID_BYTES>().ok_or(InvalidCid)?;
        let random = [r0, r1, r2, r3];
        if **cid == self.id(random, masked ^ self.shards.mask(random)) { Ok(()) } else { Err(InvalidCid) }
    }

    fn cid_len(&self) -> usize {
        ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// Reads the shard in a connection id. Looked up for every control packet, so it is two bytes of a keyed table: enough to keep
/// others from reading it, and whoever could would learn next to nothing.
#[derive(Clone)]
pub(crate) struct ShardMask(Arc<[u8; 512]>);

impl ShardMask {
    fn mask(&self, [first, second, ..]: [u8; ID_RANDOM_BYTES]) -> u8 {
        let (low, high) = self.0.split_at(256);
        low[usize::from(first)] ^ high[usize::from(second)]
    }

    /// The shard that the connection of a QUIC packet belongs to, if the packet names a connection by an id of the relay's making.
    ///
    /// Packets that begin a handshake carry an id of the client's making (RFC 9000 section 7.2) and belong to whoever gets them; so
    /// do the few that follow until the client uses the relay's, as they come from the same address.
    pub(crate) fn shard_of(&self, packet: &[u8]) -> Option<u8> {
        const LONG: u8 = 0x80;
        const TYPE: u8 = 0x30;
        const HANDSHAKE: u8 = 0x20;
        let (&first, rest) = packet.split_first()?;
        let id = match first {
            // RFC 9000 section 17.2: four bytes of version and the id's length come first.
            _ if first & LONG != 0 && first & TYPE == HANDSHAKE => {
                let (length, rest) = rest.get(4..)?.split_first()?;
                rest.first_chunk::<ID_BYTES>().filter(|_| usize::from(*length) == ID_BYTES)?
            }
            _ if first & LONG != 0 => return None,
            _ => rest.first_chunk::<ID_BYTES>()?,
        };
        let &[r0, r1, r2, r3, masked, ..] = id;
        Some(masked ^ self.mask([r0, r1, r2, r3]))
    }
}

struct ResetKey(RestartKeys);

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature_out: &mut [u8]) {
        let token: [u8; 32] = expand(&*self.0.0, &[b"stateless reset", data]);
        signature_out.copy_from_slice(&token);
    }

    fn signature_len(&self) -> usize {
        32
    }

    fn verify(&self, _data: &[u8], _signature: &[u8]) -> Result<(), CryptoError> {
        // quinn only makes reset tokens by this key; the peer compares them.
        Err(CryptoError)
    }
}

struct TokenKey(RestartKeys);

impl HandshakeTokenKey for TokenKey {
    fn aead_from_hkdf(&self, random_bytes: &[u8]) -> Box<dyn AeadKey> {
        let key: [u8; 32] = expand(&*self.0.0, &[b"address token", random_bytes]);
        let suite = TLS13_CHACHA20_POLY1305_SHA256.tls13().expect("the suite is one of TLS 1.3");
        let quic = suite.quic.expect("the provider has QUIC");
        // One key seals one token, so the nonce may be constant.
        Box::new(TokenSeal(quic.packet_key(cipher::AeadKey::from(key), Iv::from([0; 12]))))
    }
}

struct TokenSeal(Box<dyn PacketKey>);

impl AeadKey for TokenSeal {
    fn seal(&self, data: &mut Vec<u8>, additional_data: &[u8]) -> Result<(), CryptoError> {
        let tag = self.0.encrypt_in_place(0, additional_data, data).map_err(|_| CryptoError)?;
        data.extend_from_slice(tag.as_ref());
        Ok(())
    }

    fn open<'a>(&self, data: &'a mut [u8], additional_data: &[u8]) -> Result<&'a mut [u8], CryptoError> {
        let length = self.0.decrypt_in_place(0, additional_data, data).map_err(|_| CryptoError)?.len();
        data.get_mut(..length).ok_or(CryptoError)
    }
}

#[cfg(test)]
mod tests {
    use rand_core::OsRng;

    use super::*;

    fn reset_token(keys: &RestartKeys, id: &[u8]) -> [u8; 32] {
        let mut token = [0; 32];
        ResetKey(keys.clone()).sign(id, &mut token);
        token
    }

    #[test]
    fn a_restarted_relay_has_the_same_keys_and_another_relay_does_not() {
        let key = SigningKey::generate(&mut OsRng);
        let again = SigningKey::from_pkcs8(&key.to_pkcs8()).unwrap();
        let token = reset_token(&RestartKeys::of(&key), b"id");
        assert_eq!(reset_token(&RestartKeys::of(&again), b"id"), token);
        assert_ne!(reset_token(&RestartKeys::of(&key), b"other"), token);
        assert_ne!(reset_token(&RestartKeys::of(&SigningKey::generate(&mut OsRng)), b"id"), token);
    }

    fn ids(key: &SigningKey, shard: u8) -> Ids {
        let keys = RestartKeys::of(key);
        Ids { shards: keys.shard_mask(), keys, shard }
    }

    #[test]
    fn a_relay_knows_its_own_connection_ids_again() {
        let key = SigningKey::generate(&mut OsRng);
        let id = ids(&key, 7).generate_cid();
        assert!(ids(&key, 7).validate(&id).is_ok());
        assert!(ids(&key, 0).validate(&id).is_ok(), "with fewer shards than before as well");
        assert!(ids(&SigningKey::generate(&mut OsRng), 7).validate(&id).is_err());
        for bad in [&[0; 3][..], &[0; 8], &[0; 9]] {
            assert!(ids(&key, 7).validate(&ConnectionId::new(bad)).is_err());
        }
        let mut changed = id.to_vec();
        changed[4] ^= 1;
        assert!(ids(&key, 7).validate(&ConnectionId::new(&changed)).is_err(), "of another shard");
    }

    #[test]
    fn a_packet_tells_the_shard_of_its_connection_and_no_other_byte_does() {
        let key = SigningKey::generate(&mut OsRng);
        let mask = RestartKeys::of(&key).shard_mask();
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..100 {
            let id = ids(&key, 42).generate_cid();
            seen.insert(id[4]);
            let short = [&[0x40][..], &id, &[9; 20]].concat();
            let handshake = [&[0xe0, 0, 0, 0, 1, 8][..], &id, &[9; 20]].concat();
            assert_eq!(mask.shard_of(&short), Some(42));
            assert_eq!(mask.shard_of(&handshake), Some(42));
            let initial = [&[0xc0, 0, 0, 0, 1, 8][..], &id, &[9; 20]].concat();
            assert_eq!(mask.shard_of(&initial), None, "the client chose its id, or soon will have");
        }
        assert!(seen.len() > 50, "what is seen on the wire says nothing about the shard");
        for cut in 0..9 {
            assert_eq!(mask.shard_of(&[0x40; 9][..cut]), None);
            assert_eq!(mask.shard_of(&[0xe0, 0, 0, 0, 1, 8, 0, 0, 0][..cut]), None);
        }
        assert_eq!(mask.shard_of(&[0xe0, 0, 0, 0, 1, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0]), None);
    }

    #[test]
    fn a_token_opens_as_it_was_sealed_and_not_when_it_was_changed() {
        let keys = RestartKeys::of(&SigningKey::generate(&mut OsRng));
        let mut sealed = b"192.0.2.7 was here".to_vec();
        keys.token_key().aead_from_hkdf(b"nonce").seal(&mut sealed, b"more").unwrap();

        let open = |nonce: &[u8], mut bytes: Vec<u8>, more: &[u8]| {
            keys.token_key().aead_from_hkdf(nonce).open(&mut bytes, more).map(|opened| opened.to_vec()).ok()
        };
        assert_eq!(open(b"nonce", sealed.clone(), b"more").unwrap(), b"192.0.2.7 was here");
        assert_eq!(open(b"other", sealed.clone(), b"more"), None);
        assert_eq!(open(b"nonce", sealed.clone(), b"less"), None);
        assert_eq!(open(b"nonce", Vec::new(), b"more"), None);
        for position in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[position] ^= 1;
            assert_eq!(open(b"nonce", changed, b"more"), None);
        }
    }
}

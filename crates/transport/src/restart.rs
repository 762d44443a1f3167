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

    /// How the relay's endpoint names and disowns connections.
    pub(crate) fn endpoint_config(&self) -> EndpointConfig {
        let keys = self.clone();
        let mut config = EndpointConfig::new(Arc::new(ResetKey(self.clone())));
        config
            .cid_generator(move || -> Box<dyn ConnectionIdGenerator> { Box::new(Ids(keys.clone())) })
            .min_reset_interval(RESET_INTERVAL)
            .grease_quic_bit(false);
        config
    }

    /// Seals what the relay gives to clients to bring back.
    pub(crate) fn token_key(&self) -> Arc<dyn HandshakeTokenKey> {
        Arc::new(TokenKey(self.clone()))
    }
}

/// Makes connection ids that this relay recognises after a restart: half random, half a keyed check of that.
///
/// quinn's own keeps its key to itself, so after a restart a relay would drop what it should answer with a reset.
struct Ids(RestartKeys);

const ID_RANDOM_BYTES: usize = 4;
const ID_BYTES: usize = 8;

impl Ids {
    fn id(&self, random: [u8; ID_RANDOM_BYTES]) -> [u8; ID_BYTES] {
        let [c0, c1, c2, c3]: [u8; ID_BYTES - ID_RANDOM_BYTES] = expand(&*self.0.0, &[b"connection id", &random]);
        let [r0, r1, r2, r3] = random;
        [r0, r1, r2, r3, c0, c1, c2, c3]
    }
}

impl ConnectionIdGenerator for Ids {
    fn generate_cid(&mut self) -> ConnectionId {
        ConnectionId::new(&self.id(OsRng.next_u32().to_le_bytes()))
    }

    fn validate(&self, cid: &ConnectionId) -> Result<(), InvalidCid> {
        let random = cid.first_chunk().ok_or(InvalidCid)?;
        if **cid == self.id(*random) { Ok(()) } else { Err(InvalidCid) }
    }

    fn cid_len(&self) -> usize {
        ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
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

    #[test]
    fn a_relay_knows_its_own_connection_ids_again() {
        let key = SigningKey::generate(&mut OsRng);
        let id = Ids(RestartKeys::of(&key)).generate_cid();
        assert!(Ids(RestartKeys::of(&key)).validate(&id).is_ok());
        assert!(Ids(RestartKeys::of(&SigningKey::generate(&mut OsRng))).validate(&id).is_err());
        assert!(Ids(RestartKeys::of(&key)).validate(&ConnectionId::new(&[0; 3])).is_err());
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

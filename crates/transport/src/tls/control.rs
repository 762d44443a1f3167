//! The relay's end of TLS on control connections, which lets go of the handshake once it is done.
//!
//! quinn's own keeps the whole TLS connection for as long as QUIC's: buffers with the ClientHello, which a post-quantum key makes 1.6 KiB long,
//! ciphers for records that QUIC does not have, states. That is a quarter of what a relay pays for an agent that waits. What QUIC still
//! needs of it are the secrets of later keys (RFC 9001 section 6) and who the client is.

use std::{any::Any, fmt, io::Cursor, sync::Arc};

use quinn::crypto::rustls::QuicServerConfig;
use quinn_proto::{
    ConnectionId, Side, TransportError, TransportErrorCode,
    crypto::{
        self, ExportKeyingMaterialError, HeaderKey, KeyPair, Keys, PacketKey, ServerConfig as _, UnsupportedVersion,
    },
    transport_parameters::TransportParameters,
};
use rustls::{
    AlertDescription, ServerConfig,
    pki_types::CertificateDer,
    quic::{KeyChange, Secrets, ServerConnection, Version},
};

use super::KeyError;

/// The one version of QUIC that the relay speaks on control connections (RFC 9000).
pub(crate) const QUIC_VERSION: u32 = 1;

/// Begins sessions with clients.
pub(crate) struct ControlServer {
    tls: Arc<ServerConfig>,
    /// Knows initial keys and Retry, for which there is no session yet.
    quinn: QuicServerConfig,
}

impl ControlServer {
    /// Takes a configuration without tickets for resuming: nothing may be left to say after the handshake.
    pub(super) fn new(tls: ServerConfig) -> Result<Self, KeyError> {
        let tls = Arc::new(tls);
        let refused = |error: &dyn fmt::Display| KeyError(error.to_string());
        let quinn = QuicServerConfig::try_from(Arc::clone(&tls)).map_err(|error| refused(&error))?;
        // So that a session can always be begun.
        ServerConnection::new(Arc::clone(&tls), Version::V1, Vec::new())?;
        Ok(Self { tls, quinn })
    }
}

impl crypto::ServerConfig for ControlServer {
    fn initial_keys(&self, version: u32, dst_cid: &ConnectionId) -> Result<Keys, UnsupportedVersion> {
        if version != QUIC_VERSION {
            return Err(UnsupportedVersion);
        }
        self.quinn.initial_keys(version, dst_cid)
    }

    fn retry_tag(&self, version: u32, orig_dst_cid: &ConnectionId, packet: &[u8]) -> [u8; 16] {
        self.quinn.retry_tag(version, orig_dst_cid, packet)
    }

    fn start_session(self: Arc<Self>, _: u32, params: &TransportParameters) -> Box<dyn crypto::Session> {
        let mut written = Vec::new();
        params.write(&mut written);
        let tls = ServerConnection::new(Arc::clone(&self.tls), Version::V1, written)
            .expect("the configuration was tried when it was made");
        Box::new(ControlSession { server: self, tls: Some(Box::new(tls)), later: None, client: None })
    }
}

/// One client's.
struct ControlSession {
    server: Arc<ControlServer>,
    /// Until the handshake is done.
    tls: Option<Box<ServerConnection>>,
    /// From our Finished on.
    later: Option<Secrets>,
    /// What the client has proved to be, if anything; once the handshake is done.
    client: Option<Vec<CertificateDer<'static>>>,
}

impl ControlSession {
    /// Forgets what only a handshake needs, if that is done and all was said.
    fn settle(&mut self) {
        if let Some(tls) = self.tls.take_if(|tls| !tls.is_handshaking())
            && let Some(shown) = tls.peer_certificates()
        {
            self.client = Some(shown.iter().map(|key| key.clone().into_owned()).collect());
        }
    }
}

impl crypto::Session for ControlSession {
    /// Asked by clients that were told to retry, and by nobody else.
    fn initial_keys(&self, dst_cid: &ConnectionId, _: Side) -> Keys {
        self.server.initial_keys(QUIC_VERSION, dst_cid).unwrap_or_else(|_| unreachable!("the version is ours"))
    }

    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        None
    }

    /// As quinn's own: `Vec<CertificateDer>`.
    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        self.client.clone().map(|client| -> Box<dyn Any> { Box::new(client) })
    }

    fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
        None
    }

    fn early_data_accepted(&self) -> Option<bool> {
        None
    }

    fn is_handshaking(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_handshaking())
    }

    fn read_handshake(&mut self, bytes: &[u8]) -> Result<bool, TransportError> {
        let Some(tls) = &mut self.tls else {
            // A client has nothing to say any more (RFC 9001 sections 4.4 and 6).
            return Err(alert(AlertDescription::UnexpectedMessage, "a TLS message after the handshake".into()));
        };
        tls.read_hs(bytes).map_err(|error| match tls.alert() {
            Some(description) => alert(description, error.to_string()),
            None => TransportError {
                code: TransportErrorCode::PROTOCOL_VIOLATION,
                frame: None,
                reason: format!("TLS error: {error}"),
            },
        })?;
        Ok(false)
    }

    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        let written = self.tls.as_ref().and_then(|tls| tls.quic_transport_parameters());
        let read = written.map(|written| TransportParameters::read(Side::Server, &mut Cursor::new(written)));
        Ok(read.transpose()?)
    }

    fn write_handshake(&mut self, buffer: &mut Vec<u8>) -> Option<Keys> {
        let keys = match self.tls.as_mut()?.write_hs(buffer) {
            Some(KeyChange::Handshake { keys }) => keys,
            Some(KeyChange::OneRtt { keys, next }) => {
                self.later = Some(next);
                keys
            }
            None => {
                if buffer.is_empty() {
                    self.settle();
                }
                return None;
            }
        };
        Some(Keys {
            header: KeyPair { local: Box::new(keys.local.header), remote: Box::new(keys.remote.header) },
            packet: KeyPair { local: Box::new(keys.local.packet), remote: Box::new(keys.remote.packet) },
        })
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        let keys = self.later.as_mut()?.next_packet_keys();
        Some(KeyPair { local: Box::new(keys.local), remote: Box::new(keys.remote) })
    }

    /// Only clients are told to retry.
    fn is_valid_retry(&self, _: &ConnectionId, _: &[u8], _: &[u8]) -> bool {
        false
    }

    /// Nothing is derived from control connections.
    fn export_keying_material(&self, _: &mut [u8], _: &[u8], _: &[u8]) -> Result<(), ExportKeyingMaterialError> {
        Err(ExportKeyingMaterialError)
    }
}

fn alert(description: AlertDescription, reason: String) -> TransportError {
    TransportError { code: TransportErrorCode::crypto(description.into()), frame: None, reason }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use quinn_proto::crypto::{ClientConfig as _, Session};
    use rand_core::OsRng;
    use trust::keys::SigningKey;

    use super::{
        super::{Pin, SERVER_NAME, control_client, control_server, read_identity},
        *,
    };

    const PACKET: u64 = 7;
    const HEADER: &[u8] = b"header";

    /// Both ends of a finished handshake, and the last keys that each was given.
    fn shaken(identity: Option<&SigningKey>) -> ((Box<dyn Session>, Keys), (ControlSession, Keys)) {
        let relay = SigningKey::generate(&mut OsRng);
        let pin = Arc::new(Pin::new(relay.public().digest().0));
        let params = TransportParameters::read(Side::Server, &mut [].as_slice()).unwrap();
        let client = Arc::new(control_client(pin, identity).unwrap());
        let mut client = client.start_session(QUIC_VERSION, SERVER_NAME, &params).unwrap();
        let server = Arc::new(control_server(&relay).unwrap());
        let mut written = Vec::new();
        params.write(&mut written);
        let tls = ServerConnection::new(Arc::clone(&server.tls), Version::V1, written).unwrap();
        let mut server = ControlSession { server, tls: Some(Box::new(tls)), later: None, client: None };
        let (mut client_keys, mut server_keys) = (None, None);
        for _ in 0..2 {
            client_keys = tell(&mut *client, &mut server).or(client_keys);
            server_keys = tell(&mut server, &mut *client).or(server_keys);
        }
        ((client, client_keys.unwrap()), (server, server_keys.unwrap()))
    }

    /// Hands on all that one end has to say, one level of keys at a time as QUIC does, and returns the last keys that it was given.
    fn tell(from: &mut dyn Session, to: &mut dyn Session) -> Option<Keys> {
        let mut last = None;
        loop {
            let mut said = Vec::new();
            let keys = from.write_handshake(&mut said);
            if keys.is_none() && said.is_empty() {
                return last;
            }
            last = keys.or(last);
            if !said.is_empty() {
                to.read_handshake(&said).unwrap();
            }
        }
    }

    fn passes(from: &dyn PacketKey, to: &dyn PacketKey) -> bool {
        let mut packet = [HEADER, b"payload", &vec![0; from.tag_len()]].concat();
        from.encrypt(PACKET, &mut packet, HEADER.len());
        let mut payload = BytesMut::from(&packet[HEADER.len()..]);
        to.decrypt(PACKET, HEADER, &mut payload).is_ok_and(|()| *payload == *b"payload")
    }

    #[test]
    fn a_session_knows_its_client_when_all_else_is_forgotten() {
        let key = SigningKey::generate(&mut OsRng);
        let (_, (server, _)) = shaken(Some(&key));
        assert!(server.tls.is_none() && !server.is_handshaking());
        let identity = server.peer_identity().and_then(read_identity).unwrap();
        assert_eq!(identity.agent_id(), key.public().agent_id());

        let (_, (nobody, _)) = shaken(None);
        assert!(nobody.peer_identity().is_none());
    }

    #[test]
    fn keys_can_be_changed_again_and_again_after_the_handshake() {
        let ((mut client, client_keys), (mut server, server_keys)) = shaken(None);
        assert!(passes(&*client_keys.packet.local, &*server_keys.packet.remote));
        assert!(passes(&*server_keys.packet.local, &*client_keys.packet.remote));
        let mut before = server_keys.packet.local;
        for _ in 0..3 {
            let (at_client, at_server) = (client.next_1rtt_keys().unwrap(), server.next_1rtt_keys().unwrap());
            assert!(passes(&*at_client.local, &*at_server.remote));
            assert!(passes(&*at_server.local, &*at_client.remote));
            assert!(!passes(&*before, &*at_client.remote), "they are other keys");
            before = at_server.local;
        }
    }

    #[test]
    fn a_client_that_goes_on_with_tls_is_refused() {
        let (_, (mut server, _)) = shaken(None);
        let error = server.read_handshake(&[24, 0, 0, 1, 0]).unwrap_err();
        assert_eq!(error.code, TransportErrorCode::crypto(AlertDescription::UnexpectedMessage.into()));
        assert!(server.write_handshake(&mut Vec::new()).is_none());
    }

    #[test]
    fn no_other_version_of_quic_is_spoken() {
        let server = control_server(&SigningKey::generate(&mut OsRng)).unwrap();
        let id = ConnectionId::new(&[7; 8]);
        assert!(server.initial_keys(QUIC_VERSION, &id).is_ok());
        assert!(server.initial_keys(0xff00_001d, &id).is_err());
    }
}

//! TLS 1.3 with raw public keys (RFC 7250) and nothing else.
//!
//! The key exchange is X25519MLKEM768 alone, on the control connection and inside: a finished handshake proves the group, and
//! a peer without it is refused. There is no resumption and no early data, so every session has fresh secrets and both keys are
//! proved in its own handshake.
//!
//! | connection | client proves | server proves |
//! |---|---|---|
//! | control | nothing, or the key by which the relay knows an agent | the key whose digest stands in the relay link |
//! | session | the technician's key, any | the agent's key, any |
//!
//! "Any" means: whoever it is has the key. Who that is, pairing decides.

mod control;

use std::{
    any::Any,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible, ServerConfig,
    SignatureScheme,
    client::{
        AlwaysResolvesClientRawPublicKeys, ResolvesClientCert, Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature_with_raw_key},
    pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime},
    server::{
        AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
    version::TLS13,
};
use trust::keys::{PublicKey, SigningKey};
use wire::limits::{CONTROL_ALPN, SESSION_ALPN};

pub(crate) use self::control::{ControlServer, QUIC_VERSION};

/// TLS wants a name. With raw keys it is not sent and not compared.
pub(crate) const SERVER_NAME: &str = "assent.invalid";

/// A key could not be put to use for TLS: the file behind it is damaged.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the key cannot be used for TLS: {0}")]
pub struct KeyError(String);

impl From<Error> for KeyError {
    fn from(error: Error) -> Self {
        Self(error.to_string())
    }
}

/// The relay's end of control connections.
pub(crate) fn control_server(key: &SigningKey) -> Result<ControlServer, KeyError> {
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(Arc::new(AnyKey { mandatory: false }))
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(raw_key(key)?)));
    ControlServer::new(server(config, CONTROL_ALPN))
}

/// An agent's or technician's end of the control connection, for one relay alone. Without an identity it stays nobody to the relay.
pub(crate) fn control_client(pin: Arc<Pin>, identity: Option<&SigningKey>) -> Result<QuicClientConfig, KeyError> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(pin);
    let config = match identity {
        Some(key) => config.with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(raw_key(key)?))),
        None => config.with_client_cert_resolver(Arc::new(Nobody)),
    };
    client(config, CONTROL_ALPN)
}

/// The agent's end of a session.
pub(crate) fn session_server(key: &SigningKey) -> Result<QuicServerConfig, KeyError> {
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(Arc::new(AnyKey { mandatory: true }))
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(raw_key(key)?)));
    QuicServerConfig::try_from(server(config, SESSION_ALPN)).map_err(|error| KeyError(error.to_string()))
}

/// The technician's end of a session.
pub(crate) fn session_client(key: &SigningKey) -> Result<QuicClientConfig, KeyError> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyKey { mandatory: true }))
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(raw_key(key)?)));
    client(config, SESSION_ALPN)
}

/// The key that the peer of a finished handshake proved.
pub(crate) fn peer_key(connection: &quinn::Connection) -> Option<PublicKey> {
    read_identity(connection.peer_identity()?)
}

/// What QUIC says of who the peer is, as a key.
pub(crate) fn read_identity(identity: Box<dyn Any>) -> Option<PublicKey> {
    let identity = identity.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    PublicKey::from_spki_der(identity.first()?).ok()
}

fn provider() -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![aws_lc_rs::kx_group::X25519MLKEM768];
    Arc::new(provider)
}

fn server(mut config: ServerConfig, alpn: &[u8]) -> ServerConfig {
    config.alpn_protocols = vec![alpn.to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config
}

fn client(mut config: ClientConfig, alpn: &[u8]) -> Result<QuicClientConfig, KeyError> {
    config.alpn_protocols = vec![alpn.to_vec()];
    config.enable_sni = false;
    config.resumption = Resumption::disabled();
    QuicClientConfig::try_from(config).map_err(|error| KeyError(error.to_string()))
}

fn raw_key(key: &SigningKey) -> Result<Arc<CertifiedKey>, KeyError> {
    let private = key.to_pkcs8();
    let signing = aws_lc_rs::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(private.as_slice()))?;
    let spki = CertificateDer::from(key.public().spki_der().to_vec());
    Ok(Arc::new(CertifiedKey::new(vec![spki], signing)))
}

/// Reads a peer's raw public key.
fn read_key(der: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>]) -> Result<PublicKey, Error> {
    if !intermediates.is_empty() {
        return Err(Error::InvalidCertificate(CertificateError::BadEncoding));
    }
    PublicKey::from_spki_der(der).map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))
}

/// What all verifiers have in common, whichever keys they accept and of whom: TLS 1.3, a raw key, Ed25519.
macro_rules! verifies_raw_ed25519_keys {
    () => {
        fn verify_tls12_signature(
            &self,
            _message: &[u8],
            _cert: &CertificateDer<'_>,
            _dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Err(PeerIncompatible::Tls12NotOffered.into())
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            let spki = SubjectPublicKeyInfoDer::from(cert.as_ref());
            let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
            verify_tls13_signature_with_raw_key(message, &spki, dss, &algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            vec![SignatureScheme::ED25519]
        }

        fn requires_raw_public_keys(&self) -> bool {
            true
        }
    };
}

/// The rest of a verifier that takes certificates: what the other end signed is checked with `self.algorithms` ([`rustls::crypto::WebPkiSupportedAlgorithms`]).
macro_rules! verifies_signatures_of_certificates {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &rustls::pki_types::CertificateDer<'_>,
            dss: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            rustls::crypto::verify_tls12_signature(message, cert, dss, &self.algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &rustls::pki_types::CertificateDer<'_>,
            dss: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            rustls::crypto::verify_tls13_signature(message, cert, dss, &self.algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
            self.algorithms.supported_schemes()
        }
    };
}

pub(crate) use verifies_signatures_of_certificates;

/// Accepts the one key with this digest.
pub(crate) struct Pin {
    digest: [u8; 32],
    mismatch: AtomicBool,
}

impl Pin {
    pub(crate) fn new(digest: [u8; 32]) -> Self {
        Self { digest, mismatch: AtomicBool::new(false) }
    }

    /// Whether another key was offered since the last call. A refused handshake does not say so by itself.
    pub(crate) fn take_mismatch(&self) -> bool {
        self.mismatch.swap(false, Ordering::Relaxed)
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(..)")
    }
}

impl ServerCertVerifier for Pin {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if read_key(end_entity, intermediates)?.digest().0 != self.digest {
            self.mismatch.store(true, Ordering::Relaxed);
            return Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure));
        }
        Ok(ServerCertVerified::assertion())
    }

    verifies_raw_ed25519_keys!();
}

/// Accepts any key that the peer proves to have.
#[derive(Debug)]
struct AnyKey {
    /// A client that shows none is turned away.
    mandatory: bool,
}

impl ServerCertVerifier for AnyKey {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        read_key(end_entity, intermediates).map(|_| ServerCertVerified::assertion())
    }

    verifies_raw_ed25519_keys!();
}

impl ClientCertVerifier for AnyKey {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        read_key(end_entity, intermediates).map(|_| ClientCertVerified::assertion())
    }

    verifies_raw_ed25519_keys!();
}

/// A client that shows no key, and would show none but a raw one.
#[derive(Debug)]
struct Nobody;

impl ResolvesClientCert for Nobody {
    fn resolve(&self, _issuers: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        None
    }

    fn only_raw_public_keys(&self) -> bool {
        true
    }

    fn has_certs(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests;

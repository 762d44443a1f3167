//! TLS of pipes: what proxies and firewalls take for any other HTTPS.
//!
//! A program goes on when the certificate has the key of the relay link, or when the system trusts it for the relay's name: so that an
//! operator may use a certificate of a public authority, and an organisation may inspect what leaves its network. Neither
//! decides about anything but whether to speak at all. In the pipe runs QUIC, whose own TLS takes the key of the link and no other.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use rustls::{
    CertificateError, ClientConfig, Error, ServerConfig,
    client::{
        Resumption,
        danger::{ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime, pem::PemObject as _},
    server::{NoServerSessionStorage, ParsedCertificate},
};
use rustls_platform_verifier::Verifier;
use trust::{digest, keys::SigningKey, tls_certificate::self_signed};

use crate::tls::{KeyError, verifies_signatures_of_certificates};

/// What both ends speak inside of TLS.
const ALPN: &[u8] = b"http/1.1";

/// A program's end of pipes to the relay whose key has this digest.
pub(crate) fn client(pin: [u8; 32]) -> Result<Arc<ClientConfig>, KeyError> {
    client_with(pin, OnceLock::new())
}

/// As [`client`], on a system that trusts `root` besides.
#[cfg(test)]
pub(crate) fn client_trusting(pin: [u8; 32], root: CertificateDer<'static>) -> Result<Arc<ClientConfig>, KeyError> {
    client_with(pin, OnceLock::from(Verifier::new_with_extra_roots([root], provider())))
}

fn client_with(pin: [u8; 32], system: OnceLock<Result<Verifier, Error>>) -> Result<Arc<ClientConfig>, KeyError> {
    let provider = provider();
    let verifier = PinOrSystem {
        pin,
        algorithms: provider.signature_verification_algorithms,
        provider: Arc::clone(&provider),
        system,
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// A certificate with its key, for pipes at the relay.
pub(crate) struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    /// The relay's own key, in a certificate that it has signed itself.
    pub(crate) fn of(key: &SigningKey) -> Result<Self, KeyError> {
        let certificate = self_signed(key).map_err(|error| Error::General(error.to_string()))?;
        let key = PrivatePkcs8KeyDer::from(key.to_pkcs8().to_vec());
        Ok(Self { chain: vec![CertificateDer::from(certificate)], key: key.into() })
    }

    /// From the PEM texts of a certificate chain and its key.
    pub(crate) fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, KeyError> {
        let unreadable = |what: &str| Error::General(format!("there is no {what} in the file"));
        let chain = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<Vec<_>, _>>()
            .ok()
            .filter(|chain| !chain.is_empty())
            .ok_or_else(|| unreadable("certificate"))?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| unreadable("private key"))?;
        Ok(Self { chain, key })
    }
}

/// The relay's end.
pub(crate) fn server(Identity { chain, key }: Identity) -> Result<Arc<ServerConfig>, KeyError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}

/// Everything that the library offers, in its order: what is between may be choosy.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Whether a certificate is for the key with this digest.
pub(crate) fn has_key(certificate: &CertificateDer<'_>, pin: [u8; 32]) -> bool {
    ParsedCertificate::try_from(certificate)
        .is_ok_and(|certificate| digest(&certificate.subject_public_key_info()).0 == pin)
}

/// Accepts the key with this digest, and what the system accepts.
struct PinOrSystem {
    pin: [u8; 32],
    algorithms: WebPkiSupportedAlgorithms,
    provider: Arc<CryptoProvider>,
    /// Read when it is first needed: most programs never meet another certificate than the relay's own.
    system: OnceLock<Result<Verifier, Error>>,
}

impl fmt::Debug for PinOrSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PinOrSystem(..)")
    }
}

impl ServerCertVerifier for PinOrSystem {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        ParsedCertificate::try_from(end_entity)?;
        if has_key(end_entity, self.pin) {
            return Ok(ServerCertVerified::assertion());
        }
        let system = self.system.get_or_init(|| Verifier::new(Arc::clone(&self.provider)));
        match system {
            Ok(system) => system.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now),
            // There is nothing that the system trusts.
            Err(_) => Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)),
        }
    }

    verifies_signatures_of_certificates!();
}

//! Greets another machine by TLS to see what it shows, and goes away again.
//!
//! Whatever the other end shows is taken, looked at, and told: who is at the other end is the question here and no condition. Therefore
//! nothing but the handshake is ever sent over such a connection, no part of it leaves this file, and nothing that comes out of here
//! decides whom anybody talks to.

use std::{
    fmt, io,
    net::TcpStream,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, Error, ProtocolVersion,
    client::{
        Resumption,
        danger::{ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use rustls_platform_verifier::Verifier;
use trust::described::describe;
use wire::{diagnostics::sections::probes::ChainTrust, time::Moment};

use crate::{clock, pipe::tls::has_key, tls::verifies_signatures_of_certificates};

/// What is offered beside, as a browser would (RFC 7301).
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// How often it is asked whether somebody still wants to know.
const LOOK: Duration = Duration::from_millis(50);

/// What the other end showed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Greeting {
    /// How long the handshake took; none if it did not end well.
    pub took: Option<Duration>,
    /// Certificates that the other end showed, its own first, as DER.
    pub chain: Vec<Vec<u8>>,
    /// What this machine thinks of them; none if there are none, or the other end did not prove that they are its own.
    pub trust: Option<ChainTrust>,
    /// The protocol that was agreed on; empty if none was.
    pub alpn: String,
    /// Version of TLS; empty if none was agreed on.
    pub version: &'static str,
    /// What the other end broke it off with (RFC 8446, 6), such as `handshake_failure`; empty if it did not.
    pub alert: String,
    /// Why it did not end well, in words; empty if it did.
    pub reason: String,
}

/// Greets whoever is at the other end of `stream` as `host`, and closes the connection. Blocks.
///
/// It takes at most `limit`, and no longer than `wanted` says, which is asked twenty times a second. A certificate with the key whose
/// digest is `pin` counts as the relay's.
pub fn greet(
    host: &str,
    stream: TcpStream,
    pin: Option<[u8; 32]>,
    limit: Duration,
    wanted: &dyn Fn() -> bool,
) -> Greeting {
    greet_trusting(host, stream, Observer::new(pin, OnceLock::new()), limit, wanted)
}

fn greet_trusting(
    host: &str,
    mut stream: TcpStream,
    observer: Observer,
    limit: Duration,
    wanted: &dyn Fn() -> bool,
) -> Greeting {
    let observer = Arc::new(observer);
    let began = clock::now();
    let ended = connection(host, &observer).and_then(|mut connection| {
        let ended = shake_hands(&mut connection, &mut stream, began, limit, wanted);
        ended.map(|()| connection)
    });
    let Seen { chain, trust } = observer.seen();
    match ended {
        Ok(connection) => Greeting {
            took: Some(clock::now() - began),
            chain,
            trust,
            alpn: connection.alpn_protocol().map(|alpn| String::from_utf8_lossy(alpn).into_owned()).unwrap_or_default(),
            version: connection.protocol_version().map(version).unwrap_or_default(),
            ..Greeting::default()
        },
        Err(Failed::Alert(alert)) => Greeting {
            chain,
            alert: in_snake_case(alert),
            reason: "the other end broke it off".to_owned(),
            ..Greeting::default()
        },
        Err(Failed::Because(reason)) => Greeting { chain, reason: reason.to_owned(), ..Greeting::default() },
    }
}

/// Why a handshake did not end well.
#[derive(Debug)]
enum Failed {
    Alert(AlertDescription),
    Because(&'static str),
}

impl From<Error> for Failed {
    #[expect(clippy::wildcard_enum_match_arm, reason = "whatever else goes wrong is said in one way")]
    fn from(error: Error) -> Self {
        match error {
            Error::AlertReceived(alert) => Self::Alert(alert),
            Error::InvalidMessage(_) => Self::Because("it does not speak TLS"),
            Error::PeerIncompatible(_) => Self::Because("it has no version or cipher of TLS that this machine accepts"),
            Error::InvalidCertificate(_) => Self::Because("it did not prove that its certificate is its own"),
            Error::NoCertificatesPresented => Self::Because("it shows no certificate"),
            _ => Self::Because("the handshake went wrong"),
        }
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        let closed = [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe, io::ErrorKind::UnexpectedEof];
        let is_closed = closed.contains(&error.kind());
        Self::Because(if is_closed { "it closed the connection" } else { "the connection broke off" })
    }
}

fn connection(host: &str, observer: &Arc<Observer>) -> Result<ClientConnection, Failed> {
    let name = ServerName::try_from(host.to_owned()).map_err(|_| Failed::Because("TLS knows no such name"))?;
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&observer.provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(observer) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    config.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
    config.resumption = Resumption::disabled();
    Ok(ClientConnection::new(Arc::new(config), name)?)
}

fn shake_hands(
    connection: &mut ClientConnection,
    stream: &mut TcpStream,
    began: Moment,
    limit: Duration,
    wanted: &dyn Fn() -> bool,
) -> Result<(), Failed> {
    stream.set_read_timeout(Some(LOOK))?;
    // A handshake fits into the kernel's buffer.
    stream.set_write_timeout(Some(LOOK))?;
    while connection.is_handshaking() || connection.wants_write() {
        if !wanted() || clock::now() - began >= limit {
            return Err(Failed::Because("no answer in time"));
        }
        if connection.wants_write() {
            connection.write_tls(stream)?;
            continue;
        }
        match connection.read_tls(stream) {
            Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            // What TLS would answer to a breach of its rules is not sent: the connection is over.
            Ok(_) => {
                let _state = connection.process_new_packets()?;
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn version(version: ProtocolVersion) -> &'static str {
    let known = [(ProtocolVersion::TLSv1_2, "TLS 1.2"), (ProtocolVersion::TLSv1_3, "TLS 1.3")];
    known.into_iter().find(|(known, _)| *known == version).map_or("", |(_, name)| name)
}

/// As RFC 8446 writes it.
fn in_snake_case(alert: AlertDescription) -> String {
    let Some(name) = alert.as_str() else { return format!("alert_{}", u8::from(alert)) };
    let mut snake = String::new();
    for (place, letter) in name.char_indices() {
        if letter.is_ascii_uppercase() && place > 0 {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

/// What was shown, and what the system thinks of it.
#[derive(Debug, Clone, Default)]
struct Seen {
    chain: Vec<Vec<u8>>,
    trust: Option<ChainTrust>,
}

/// Takes every certificate, if only the other end has its key, and remembers it with the verdict of whoever does decide.
struct Observer {
    pin: Option<[u8; 32]>,
    algorithms: WebPkiSupportedAlgorithms,
    provider: Arc<CryptoProvider>,
    system: OnceLock<Result<Verifier, Error>>,
    seen: Mutex<Seen>,
}

impl Observer {
    fn new(pin: Option<[u8; 32]>, system: OnceLock<Result<Verifier, Error>>) -> Self {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let algorithms = provider.signature_verification_algorithms;
        Self { pin, algorithms, provider, system, seen: Mutex::default() }
    }

    fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn judge(
        &self,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> ChainTrust {
        let Some((own, rest)) = chain.split_first() else { return ChainTrust::Invalid };
        if self.pin.is_some_and(|pin| has_key(own, pin)) {
            return ChainTrust::Relay;
        }
        let system = self.system.get_or_init(|| Verifier::new(Arc::clone(&self.provider)));
        let Ok(system) = system else { return ChainTrust::Unknown };
        match system.verify_server_cert(own, rest, name, ocsp_response, now) {
            Ok(_) => ChainTrust::System,
            Err(Error::InvalidCertificate(error)) => distrust(&error, own),
            Err(_) => ChainTrust::Invalid,
        }
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "whatever else is wrong with a certificate has one name")]
fn distrust(error: &CertificateError, own: &CertificateDer<'_>) -> ChainTrust {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => ChainTrust::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => ChainTrust::NotYetValid,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => ChainTrust::WrongName,
        CertificateError::Revoked => ChainTrust::Revoked,
        CertificateError::UnknownIssuer => ChainTrust::UnknownIssuer,
        // An authority's certificate that a server shows as its own, for example.
        _ if describe(own).is_some_and(|own| own.self_signed) => ChainTrust::UnknownIssuer,
        _ => ChainTrust::Invalid,
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer(..)")
    }
}

impl ServerCertVerifier for Observer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = std::iter::once(end_entity).chain(intermediates).cloned().collect::<Vec<_>>();
        let trust = self.judge(&chain, server_name, ocsp_response, now);
        let chain = chain.iter().map(|certificate| certificate.to_vec()).collect();
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Seen { chain, trust: Some(trust) };
        // Nothing is entrusted to the connection: see the head of this file.
        Ok(ServerCertVerified::assertion())
    }

    verifies_signatures_of_certificates!();
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::TcpListener,
        thread,
    };

    use rustls::{
        ServerConfig, ServerConnection, SupportedProtocolVersion,
        pki_types::{PrivateKeyDer, pem::PemObject as _},
        version::{TLS12, TLS13},
    };

    use super::*;

    /// For as long as a test may take.
    const PATIENCE: Duration = Duration::from_secs(60);

    macro_rules! pem {
        ($file:literal) => {
            include_bytes!(concat!("../tests/fixtures/tls/", $file))
        };
    }

    /// What came after the handshake, until the other end was gone.
    type After = thread::JoinHandle<Vec<u8>>;

    /// A server that shakes one hand, and the way to it.
    fn serving(
        certificate: &[u8],
        versions: &[&'static SupportedProtocolVersion],
        alpn: &[&[u8]],
    ) -> (TcpStream, After) {
        let chain = CertificateDer::pem_slice_iter(certificate).map(Result::unwrap).collect();
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, PrivateKeyDer::from_pem_slice(pem!("server.key")).unwrap())
            .unwrap();
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        let mut connection = ServerConnection::new(Arc::new(config)).unwrap();
        talking(move |mut stream| {
            while connection.is_handshaking() && connection.complete_io(&mut stream).is_ok() {}
            let mut after = Vec::new();
            let _whatever = stream.read_to_end(&mut after);
            after
        })
    }

    fn talking(talk: impl FnOnce(TcpStream) -> Vec<u8> + Send + 'static) -> (TcpStream, After) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (stream, thread::spawn(move || talk(listener.accept().unwrap().0)))
    }

    /// On a system that trusts the tests' root.
    fn greeted(host: &str, stream: TcpStream) -> Greeting {
        let observer = Observer::new(None, OnceLock::new());
        let root = CertificateDer::from_pem_slice(pem!("root.pem")).unwrap();
        let system = Verifier::new_with_extra_roots([root], Arc::clone(&observer.provider));
        greet_trusting(host, stream, Observer { system: OnceLock::from(system), ..observer }, PATIENCE, &|| true)
    }

    fn trust_in(certificate: &[u8], host: &str) -> Option<ChainTrust> {
        let (stream, after) = serving(certificate, &[&TLS13], &[]);
        let greeting = greeted(host, stream);
        assert!(greeting.took.is_some() && greeting.chain.len() == 1, "{greeting:?}");
        assert!(after.join().unwrap().is_empty(), "something was sent after the handshake");
        greeting.trust
    }

    #[test]
    fn a_chain_is_judged_as_the_system_would_and_shown_whatever_it_is() {
        let host = "intranet.example";
        assert_eq!(trust_in(pem!("good.pem"), host), Some(ChainTrust::System));
        assert_eq!(trust_in(pem!("good.pem"), "other.example"), Some(ChainTrust::WrongName));
        assert_eq!(trust_in(pem!("good.pem"), "127.0.0.1"), Some(ChainTrust::WrongName));
        assert_eq!(trust_in(pem!("expired.pem"), host), Some(ChainTrust::Expired));
        assert_eq!(trust_in(pem!("not-yet.pem"), host), Some(ChainTrust::NotYetValid));
        assert_eq!(trust_in(pem!("self-signed.pem"), host), Some(ChainTrust::UnknownIssuer));
    }

    #[test]
    fn the_key_of_the_relay_is_known_whatever_its_certificate_says() {
        let (stream, _after) = serving(pem!("self-signed.pem"), &[&TLS13], &[]);
        let der = CertificateDer::from_pem_slice(pem!("self-signed.pem")).unwrap();
        let pin = rustls::server::ParsedCertificate::try_from(&der)
            .map(|certificate| trust::digest(&certificate.subject_public_key_info()).0)
            .unwrap();
        assert_eq!(greet("relay.example", stream, Some(pin), PATIENCE, &|| true).trust, Some(ChainTrust::Relay));
        let (stream, _after) = serving(pem!("self-signed.pem"), &[&TLS13], &[]);
        let greeting = greet("relay.example", stream, Some([7; 32]), PATIENCE, &|| true);
        assert!(!matches!(greeting.trust, None | Some(ChainTrust::Relay | ChainTrust::System)), "{greeting:?}");
    }

    #[test]
    fn version_and_protocol_are_what_was_agreed_on() {
        let (stream, _after) = serving(pem!("good.pem"), &[&TLS12], &[b"http/1.1"]);
        let greeting = greeted("intranet.example", stream);
        assert_eq!((greeting.version, greeting.alpn.as_str()), ("TLS 1.2", "http/1.1"));
        let (stream, _after) = serving(pem!("good.pem"), &[&TLS13], &[]);
        let greeting = greeted("intranet.example", stream);
        assert_eq!((greeting.version, greeting.alpn.as_str(), greeting.reason.as_str()), ("TLS 1.3", "", ""));
    }

    #[test]
    fn a_server_that_breaks_it_off_says_why() {
        let (stream, _after) = serving(pem!("good.pem"), &[&TLS13], &[b"acme-tls/1"]);
        let greeting = greeted("intranet.example", stream);
        assert_eq!((greeting.alert.as_str(), greeting.took), ("no_application_protocol", None), "{greeting:?}");
        assert_eq!((greeting.trust, greeting.reason.as_str()), (None, "the other end broke it off"));
    }

    #[test]
    fn what_is_no_tls_is_told() {
        let (stream, _after) = talking(|mut stream| {
            stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").unwrap();
            Vec::new()
        });
        assert_eq!(greeted("intranet.example", stream).reason, "it does not speak TLS");
        let (stream, _after) = talking(|_| Vec::new());
        assert_eq!(greeted("intranet.example", stream).reason, "it closed the connection");
        let (stream, _after) = talking(|_| Vec::new());
        assert_eq!(greeted("not a name", stream).reason, "TLS knows no such name");
    }

    #[test]
    fn a_server_that_says_nothing_is_left_as_soon_as_nobody_wants_to_know() {
        let silent = |limit, wanted: &dyn Fn() -> bool| {
            let (stream, after) = talking(|mut stream| {
                let mut all = Vec::new();
                let _whatever = stream.read_to_end(&mut all);
                all
            });
            let began = clock::now();
            let greeting = greet("intranet.example", stream, None, limit, wanted);
            assert_eq!((greeting.reason.as_str(), greeting.took), ("no answer in time", None));
            assert!(clock::now() - began < PATIENCE);
            after.join().unwrap()
        };
        assert!(silent(PATIENCE, &|| false).is_empty(), "nothing is sent for nobody");
        assert!(!silent(Duration::from_millis(1), &|| true).is_empty());
    }
}

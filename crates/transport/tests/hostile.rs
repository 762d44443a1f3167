//! Peers that do what no honest peer does. The receiver's checks are tested, never the sender's manners.

#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]

mod common;

use std::{net::SocketAddr, sync::Arc};

use common::{Pair, Relay, V4, channel, greeting, message, node, seen_at, until};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rand_core::OsRng;
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::{
        ResolvesClientCert,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs},
    pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime},
    server::{
        AlwaysResolvesServerRawPublicKeys,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
};
use tokio::{net::UdpSocket, task::JoinSet};
use transport::{
    listener::PeerEnd,
    node::{ConnectError, ControlEvent, Loss, Node, NodeOptions},
    streams::{Priority, StreamError},
};
use trust::keys::SigningKey;
use wire::{
    channel::DataHeader,
    codec::CodecError,
    control::{FromRelay, Refusal, ToRelay},
    limits::{CONTROL_ALPN, SESSION_ALPN},
    link::RelayLink,
    session::{StreamHeader, ToAgent, ToTechnician},
};

const ALLOCATED: FromRelay = FromRelay::Refused { reason: Refusal::Full };

/// The part that rustls asks of those who look at servers and of those who look at clients.
macro_rules! believes_signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            _message: &[u8],
            _cert: &CertificateDer<'_>,
            _dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn verify_tls13_signature(
            &self,
            _message: &[u8],
            _cert: &CertificateDer<'_>,
            _dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            vec![SignatureScheme::ED25519]
        }

        fn requires_raw_public_keys(&self) -> bool {
            true
        }
    };
}

/// Believes everything: the tests need a client that gets as far as the relay lets it.
#[derive(Debug)]
struct Gullible;

impl ServerCertVerifier for Gullible {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    believes_signatures!();
}

fn provider(group: &'static dyn SupportedKxGroup) -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider { kx_groups: vec![group], ..aws_lc_rs::default_provider() })
}

/// As a server it wants to know nobody.
impl ClientCertVerifier for Gullible {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    believes_signatures!();
}

/// As a client it stays nobody.
impl ResolvesClientCert for Gullible {
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

/// A client that asks for whatever it is told to.
fn raw_endpoint(group: &'static dyn SupportedKxGroup, alpn: &[u8]) -> (quinn::Endpoint, quinn::ClientConfig) {
    let mut tls = rustls::ClientConfig::builder_with_provider(provider(group))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Gullible))
        .with_client_cert_resolver(Arc::new(Gullible));
    tls.alpn_protocols = vec![alpn.to_vec()];
    let mut transport = quinn::TransportConfig::default();
    transport.stream_receive_window(1000u32.into());
    let mut config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    config.transport_config(Arc::new(transport));
    let mut endpoint_config = quinn::EndpointConfig::default();
    endpoint_config.grease_quic_bit(false);
    let socket = std::net::UdpSocket::bind((V4, 0)).unwrap();
    let endpoint = quinn::Endpoint::new(endpoint_config, None, socket, Arc::new(quinn::TokioRuntime)).unwrap();
    (endpoint, config)
}

/// Connects to a relay with whatever is asked for.
async fn raw_client(
    relay: SocketAddr,
    group: &'static dyn SupportedKxGroup,
    alpn: &[u8],
) -> Result<(quinn::Endpoint, quinn::Connection), quinn::ConnectionError> {
    let (endpoint, config) = raw_endpoint(group, alpn);
    let connection = endpoint.connect_with(config, relay, "x").unwrap().await?;
    Ok((endpoint, connection))
}

/// Something that answers like a relay in as much as is asked for.
fn raw_server(group: &'static dyn SupportedKxGroup, alpn: &[u8]) -> (quinn::Endpoint, RelayLink) {
    let key = SigningKey::generate(&mut OsRng);
    let signing = aws_lc_rs::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(key.to_pkcs8().as_slice())).unwrap();
    let spki = CertificateDer::from(key.public().spki_der().to_vec());
    let certified = Arc::new(CertifiedKey::new(vec![spki], signing));
    let mut tls = rustls::ServerConfig::builder_with_provider(provider(group))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_client_cert_verifier(Arc::new(Gullible))
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(certified)));
    tls.alpn_protocols = vec![alpn.to_vec()];
    let config = quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()));
    let mut endpoint_config = quinn::EndpointConfig::default();
    endpoint_config.grease_quic_bit(false);
    let socket = std::net::UdpSocket::bind((V4, 0)).unwrap();
    let endpoint = quinn::Endpoint::new(endpoint_config, Some(config), socket, Arc::new(quinn::TokioRuntime)).unwrap();
    let port = endpoint.local_addr().unwrap().port();
    (endpoint, RelayLink::new("127.0.0.1", port, key.public().digest().0).unwrap())
}

/// Lets a raw server finish handshakes and do as it is told with each connection.
fn serve<F: Future<Output = ()> + Send + 'static>(
    endpoint: quinn::Endpoint,
    each: impl Fn(quinn::Connection) -> F + Send + 'static,
) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            if let Ok(connection) = incoming.await {
                each(connection).await;
            }
        }
    });
    tasks
}

async fn relay_still_works(relay: &mut Relay) {
    let (_node, mut control) = node(&relay.link()).await;
    let mut peer = relay.peer().await;
    control.send(ToRelay::AllocateLocator).await.unwrap();
    assert_eq!(peer.recv().await.unwrap(), ToRelay::AllocateLocator);
    peer.send(ALLOCATED);
    assert_eq!(message(&mut control).await, ALLOCATED);
}

#[tokio::test]
async fn a_client_without_the_post_quantum_group_is_refused_by_the_relay() {
    let mut relay = Relay::start(V4);
    let error = raw_client(relay.address, aws_lc_rs::kx_group::X25519, CONTROL_ALPN).await.unwrap_err();
    assert!(matches!(error, quinn::ConnectionError::ConnectionClosed(_)), "{error}");
    raw_client(relay.address, aws_lc_rs::kx_group::X25519MLKEM768, CONTROL_ALPN).await.unwrap();
    relay.peer().await;
    relay_still_works(&mut relay).await;
}

/// As if many addresses had been forged: their owners never answer what the relay says to them.
#[tokio::test]
async fn a_flood_of_half_open_handshakes_keeps_nobody_out_and_slows_no_session() {
    const HANDSHAKES: u64 = 400;
    let mut pair = Pair::start().await;
    let before = pair.relay.counters();
    let post = UdpSocket::bind((V4, 0)).await.unwrap();
    let mut forged = Vec::new();
    for last in 2..34 {
        forged.push(UdpSocket::bind(SocketAddr::from(([127, 0, 0, last], 0))).await.unwrap());
    }
    let (endpoint, config) = raw_endpoint(aws_lc_rs::kx_group::X25519MLKEM768, CONTROL_ALPN);
    let (mut knocking, mut buffer) = (Vec::new(), [0; 2048]);
    for number in 0..HANDSHAKES {
        knocking.push(endpoint.connect_with(config.clone(), post.local_addr().unwrap(), "x").unwrap());
        let from = &forged[usize::try_from(number).unwrap() % forged.len()];
        // A ClientHello with a post-quantum share is two packets.
        for _ in 0..2 {
            let (bytes, _) = post.recv_from(&mut buffer).await.unwrap();
            from.send_to(&buffer[..bytes], pair.relay.address).await.unwrap();
        }
    }

    let flooded = || pair.relay.counters().retried - before.retried;
    until(|| flooded() >= HANDSHAKES / 2).await;
    pair.carries(1 << 20).await;
    relay_still_works(&mut pair.relay).await;
    let half_open = pair.relay.counters().connections - before.connections;
    assert!(half_open <= 80, "{half_open} handshakes of {HANDSHAKES} take memory until they are given up");
}

#[tokio::test]
async fn a_relay_without_the_post_quantum_group_is_left_alone() {
    let (endpoint, link) = raw_server(aws_lc_rs::kx_group::X25519, CONTROL_ALPN);
    let _serving = serve(endpoint, |_| async {});
    let error = Node::start(link, NodeOptions::default()).await.unwrap_err();
    assert!(matches!(error, ConnectError::Broken { .. }), "{error}");
}

#[tokio::test]
async fn another_protocol_version_is_named_as_such() {
    let (endpoint, link) = raw_server(aws_lc_rs::kx_group::X25519MLKEM768, b"assent-control/2");
    let _serving = serve(endpoint, |_| async {});
    assert_eq!(Node::start(link, NodeOptions::default()).await.unwrap_err(), ConnectError::Version);

    let relay = Relay::start(V4);
    let refused = raw_client(relay.address, aws_lc_rs::kx_group::X25519MLKEM768, SESSION_ALPN).await;
    assert!(refused.is_err(), "a relay is no end of a session");
}

#[tokio::test]
async fn malformed_requests_are_named_and_disturb_nobody_else() {
    let too_long = u32::MAX.to_le_bytes().to_vec();
    let garbage = [&5u32.to_le_bytes()[..], &[0xff; 5]].concat();
    let trailing = [&2u32.to_le_bytes()[..], &[0, 0]].concat();
    let cut = [&10u32.to_le_bytes()[..], &[0; 3]].concat();
    let mut relay = Relay::start(V4);
    for bytes in [too_long, garbage, trailing, cut] {
        let (_endpoint, connection) =
            raw_client(relay.address, aws_lc_rs::kx_group::X25519MLKEM768, CONTROL_ALPN).await.unwrap();
        let (mut send, _receive) = connection.open_bi().await.unwrap();
        send.write_all(&bytes).await.unwrap();
        send.finish().unwrap();
        let error = relay.peer().await.recv().await.unwrap_err();
        assert!(error.peer_broke_the_rules(), "{bytes:?}: {error}");
    }
    relay_still_works(&mut relay).await;
}

#[tokio::test]
async fn a_client_has_one_stream_and_no_more() {
    let mut relay = Relay::start(V4);
    let (_endpoint, connection) =
        raw_client(relay.address, aws_lc_rs::kx_group::X25519MLKEM768, CONTROL_ALPN).await.unwrap();
    let mut first = connection.open_bi().await.unwrap();
    first.0.write_all(&wire::codec::frame(&ToRelay::AllocateLocator).unwrap()).await.unwrap();
    let mut peer = relay.peer().await;
    assert_eq!(peer.recv().await.unwrap(), ToRelay::AllocateLocator);
    peer.send(ALLOCATED);
    let mut answer = [0; 4];
    tokio::select! {
        biased;
        _ = connection.open_bi() => panic!("a second stream"),
        _ = connection.open_uni() => panic!("a one-way stream"),
        read = first.1.read_exact(&mut answer) => read.unwrap(),
    }
    assert!(connection.max_datagram_size().is_none());
}

#[tokio::test]
async fn a_relay_that_talks_garbage_is_left_and_tried_again() {
    let (endpoint, link) = raw_server(aws_lc_rs::kx_group::X25519MLKEM768, CONTROL_ALPN);
    let _serving = serve(endpoint, |connection| async move {
        let (mut send, _receive) = connection.accept_bi().await.unwrap();
        send.write_all(&u32::MAX.to_le_bytes()).await.unwrap();
        connection.closed().await;
    });
    let (_node, mut control) = node(&link).await;
    control.send(ToRelay::AllocateLocator).await.unwrap();
    let Some(ControlEvent::Down { why, .. }) = control.recv().await else { panic!("garbage was believed") };
    assert!(matches!(why, Loss::Protocol { .. }), "{why}");
    assert!(matches!(control.recv().await, Some(ControlEvent::Up)));
}

#[tokio::test]
async fn packets_of_every_kind_but_the_right_one_are_dropped_and_counted() {
    let mut relay = Relay::start(V4);
    let stranger = UdpSocket::bind((V4, 0)).await.unwrap();
    let data = [&DataHeader { channel: channel(1) }.to_bytes()[..], &[0x40; 30]].concat();
    let mut other_type = data.clone();
    other_type[0] = 0x09;
    let mut other_version = data.clone();
    other_version[1] = 0x10;
    for packet in [&data[..], &data[..8], &other_type, &other_version, &[], &[0], &[0x3f; 1500], &[0x40], &[0xc0; 1400]]
    {
        stranger.send_to(packet, relay.address).await.unwrap();
    }
    until(|| {
        let counters = relay.counters();
        (counters.no_route, counters.unknown_kind) == (1, 5)
    })
    .await;
    relay_still_works(&mut relay).await;

    let (node, _control) = node(&relay.link()).await;
    let before = node.counters();
    let at = seen_at(&node, V4);
    for packet in [&data[..], &[0x41; 60], &[0x07; 60]] {
        stranger.send_to(packet, at).await.unwrap();
    }
    until(|| {
        let counters = node.counters();
        (counters.stranger, counters.unknown_kind) == (before.stranger + 2, before.unknown_kind + 1)
    })
    .await;
}

#[tokio::test]
async fn a_technician_that_wants_a_hundred_streams_gets_none_and_the_session_goes_on() {
    let mut pair = Pair::start().await;
    let technician = Arc::new(pair.at_technician.sealed);
    let mut wanting = JoinSet::new();
    for _ in 0..100 {
        let technician = Arc::clone(&technician);
        wanting.spawn(async move {
            let opened = technician.open_uni(Priority::Bulk).await;
            panic!("a technician opened a stream: {opened:?}");
        });
    }
    for period_ms in 0..50 {
        pair.at_technician.sender.send(&ToAgent::Subscribe { period_ms }).await.unwrap();
        let received = pair.at_agent.receiver.recv::<ToAgent>().await.unwrap();
        assert_eq!(received, Some(ToAgent::Subscribe { period_ms }));
        assert!(wanting.try_join_next().is_none());
    }
}

#[tokio::test]
async fn an_agent_gets_no_more_than_its_streams() {
    let pair = Pair::start().await;
    let mut open = Vec::new();
    for _ in 0..64 {
        open.push(pair.at_agent.sealed.open_uni(Priority::Live).await.unwrap());
    }
    let one_more = pair.at_agent.sealed.open_uni(Priority::Live);
    tokio::select! {
        biased;
        _ = one_more => panic!("a stream too many"),
        () = tokio::task::yield_now() => {}
    }
    // Those that end make room for others, a few at a time.
    let received = async {
        for _ in 0..16 {
            let mut stream = pair.at_technician.sealed.accept_uni().await.unwrap();
            assert_eq!(stream.read(1).await.unwrap(), None);
        }
    };
    let finished = async {
        for stream in open.drain(..16) {
            stream.finish().await.unwrap();
        }
    };
    tokio::join!(finished, received);
    pair.at_agent.sealed.open_uni(Priority::Live).await.unwrap();
}

#[tokio::test]
async fn what_is_no_message_is_refused_by_name() {
    // Larger than anything that an agent accepts, though a technician would.
    let mut pair = Pair::start().await;
    let long = ToTechnician::Audit { line: vec![b'x'; 100_000] };
    let (sent, received) =
        tokio::join!(pair.at_technician.sender.send(&long), pair.at_agent.receiver.recv::<ToAgent>());
    sent.unwrap();
    let error = received.unwrap_err();
    assert!(matches!(error, StreamError::Message(CodecError::TooLarge { .. })), "{error}");
    assert!(error.peer_broke_the_rules() && !error.session_goes_on());
    // It stays refused, whatever it is read as next.
    assert!(pair.at_agent.receiver.recv::<ToAgent>().await.is_err());
    // The own side refuses to send what nobody accepts, and goes on.
    let too_long = ToTechnician::Audit { line: vec![b'x'; 200_000] };
    let error = pair.at_agent.sender.send(&too_long).await.unwrap_err();
    assert!(matches!(error, StreamError::Message(CodecError::TooLarge { .. })), "{error}");
    pair.at_agent.sender.send(&ToTechnician::Resumed).await.unwrap();
    assert_eq!(pair.at_technician.receiver.recv::<ToTechnician>().await.unwrap(), Some(ToTechnician::Resumed));

    let streams: [(&[u8], bool); 4] =
        [(&[1, 0, 0, 0, 0xff], true), (&[2, 0, 0, 0, 0, 0], true), (&[20, 0, 0, 0, 1], false), (&[1, 0], false)];
    for (bytes, is_malformed) in streams {
        let mut stream = pair.at_agent.sealed.open_uni(Priority::Live).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let (finished, error) = tokio::join!(stream.finish(), async {
            let mut stream = pair.at_technician.sealed.accept_uni().await.unwrap();
            stream.recv::<StreamHeader>().await.unwrap_err()
        });
        // The reader left before everything was read, or not: both are an end.
        let _ = finished;
        assert_eq!(matches!(error, StreamError::Message(_)), is_malformed, "{bytes:?}: {error}");
        assert!(error.peer_broke_the_rules());
    }
}

#[tokio::test]
async fn a_relay_that_lets_somebody_else_knock_first_gains_nothing() {
    let relay = Relay::start(V4);
    let (agent, _agent_control) = node(&relay.link()).await;
    let (technician, _technician_control) = node(&relay.link()).await;
    let (agent_key, technician_key) = (SigningKey::generate(&mut OsRng), SigningKey::generate(&mut OsRng));
    // A client of the wrong protocol, brought to the agent by a relay that plays foul.
    let proxy = Arc::new(UdpSocket::bind((V4, 0)).await.unwrap());
    let proxy_at = proxy.local_addr().unwrap();
    let intruder = raw_client(proxy_at, aws_lc_rs::kx_group::X25519MLKEM768, b"h3");
    let foul_relay = async {
        let mut buffer = [0; 2000];
        let header = DataHeader { channel: channel(1) }.to_bytes();
        let from_relay = UdpSocket::bind((V4, 0)).await.unwrap();
        relay.routes.join(channel(1), from_relay.local_addr().unwrap(), seen_at(&agent, V4));
        let mut client = None;
        loop {
            let (length, from) = proxy.recv_from(&mut buffer).await.unwrap();
            client.get_or_insert(from);
            from_relay.send_to(&[&header[..], &buffer[..length]].concat(), relay.address).await.unwrap();
        }
    };
    let honest = async {
        // The intruder has knocked; now the technician comes.
        until(|| relay.counters().forwarded_packets >= 2).await;
        relay.routes.join(channel(1), seen_at(&technician, V4), seen_at(&agent, V4));
        technician.dial_session(channel(1), &technician_key).await
    };
    let serving = agent.serve_session(channel(1), &agent_key, greeting);
    let both = async { tokio::join!(serving, honest) };
    let (served, dialled) = tokio::select! {
        done = both => done,
        refused = intruder => panic!("the intruder got an answer through a socket that passes none back: {refused:?}"),
        () = foul_relay => unreachable!("it goes on for ever"),
    };
    assert_eq!(served.unwrap().peer_key(), technician_key.public());
    assert_eq!(dialled.unwrap().peer_key(), agent_key.public());
}

#[tokio::test]
async fn a_peer_that_reads_nothing_does_not_hold_the_relay() {
    let mut relay = Relay::start(V4);
    let (_endpoint, connection) =
        raw_client(relay.address, aws_lc_rs::kx_group::X25519MLKEM768, CONTROL_ALPN).await.unwrap();
    let (mut send, _receive) = connection.open_bi().await.unwrap();
    send.write_all(&wire::codec::frame(&ToRelay::AllocateLocator).unwrap()).await.unwrap();
    let mut peer = relay.peer().await;
    peer.recv().await.unwrap();
    for _ in 0..20_000 {
        peer.send(ALLOCATED);
    }
    assert_eq!(peer.recv().await, Err(PeerEnd::TooSlow));
    relay_still_works(&mut relay).await;
}

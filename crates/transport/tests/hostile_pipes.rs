//! Clients that do with TCP, TLS, HTTP and WebSocket what no program of ours does. The relay lets go of them; others notice nothing.

#![expect(clippy::unwrap_used, reason = "what fails here fails a test")]

mod common;

use std::{sync::Arc, time::Duration};

use common::{Pair, Relay, V4, channel, until};
use futures_util::{SinkExt as _, StreamExt as _};
use pem::Pem;
use rand_core::OsRng;
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest as _, protocol::CloseFrame},
};
use transport::{
    listener::pipes::{BindPipesError, PipeCertificate, PipesConfig},
    node::{CarrierChoice, NodeOptions, Proxies},
};
use trust::{keys::SigningKey, tls_certificate::self_signed};
use wire::{
    channel::DataHeader,
    pipe::{PIPE_MESSAGE_BYTES, PIPE_PROTOCOL, PipePacket},
};

/// More than anything here takes, and less than a test may.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a session beside the attack carries.
const OTHERS_BYTES: usize = 1 << 20;

/// Takes any certificate: the relay is what is tested.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

async fn tls(relay: &Relay) -> TlsStream<TcpStream> {
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    let stream = TcpStream::connect(relay.address).await.unwrap();
    let name = ServerName::try_from("relay.invalid").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

async fn websocket(relay: &Relay) -> WebSocketStream<TlsStream<TcpStream>> {
    let mut request = "wss://relay.invalid/pipe".into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", PIPE_PROTOCOL.parse().unwrap());
    client_async(request, tls(relay).await).await.unwrap().0
}

/// What an HTTP client that asks for something gets, up to the end of the connection.
async fn asked(relay: &Relay, request: &str) -> String {
    let mut stream = tls(relay).await;
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A connection that is cut off without a word of TLS is an end as well.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("the relay answers or closes");
    String::from_utf8(answer).unwrap()
}

fn by(carrier: CarrierChoice) -> NodeOptions {
    NodeOptions { carrier, proxies: Some(Proxies::none()), ..NodeOptions::default() }
}

async fn pair_beside() -> Pair {
    let relay = Relay::start_with_pipes(PipesConfig::default());
    Pair::start_at(relay, V4, by(CarrierChoice::Tcp), by(CarrierChoice::Udp)).await
}

#[tokio::test]
async fn what_is_no_request_for_a_pipe_gets_a_few_words() {
    let pair = pair_beside().await;
    let request = |first: &str, more: &str| format!("{first} HTTP/1.1\r\nHost: relay.invalid\r\n{more}\r\n");
    let upgrade = "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let huge = format!("X: {}\r\n", "x".repeat(64 * 1024));
    for (request, status) in [
        (request("GET /pipe", ""), "426"),
        (request("GET /", ""), "404"),
        (request("POST /pipe", "Content-Length: 0\r\n"), "404"),
        (request("GET /pipe", upgrade), "400"),
        (request("GET /pipe", &format!("{upgrade}Sec-WebSocket-Protocol: assent-pipe-99\r\n")), "400"),
        ("no http at all\r\n\r\n".to_owned(), "400"),
        (request("GET /pipe", &huge), "431"),
    ] {
        let answer = asked(&pair.relay, &request).await;
        let first = answer.lines().next().unwrap_or_default();
        assert!(first.starts_with(&format!("HTTP/1.1 {status} ")), "{first:?} instead of {status}");
        assert!(answer.len() < 1024, "{answer}");
    }
    let counters = pair.relay.pipes.as_ref().unwrap().counters();
    assert_eq!((counters.not_a_pipe, counters.open), (7, 1));
    pair.carries(OTHERS_BYTES).await;
}

fn certificate() -> (PipeCertificate, CertificateDer<'static>) {
    let key = SigningKey::generate(&mut OsRng);
    let der = self_signed(&key).unwrap();
    let pem = |what: &str, der: &[u8]| pem::encode(&Pem::new(what, der)).into_bytes();
    let certificate = PipeCertificate { chain: pem("CERTIFICATE", &der), key: pem("PRIVATE KEY", &key.to_pkcs8()) };
    (certificate, der.into())
}

fn shown(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_to_whoever_comes_next_and_one_that_is_none_to_nobody() {
    let ((first, first_der), (second, second_der)) = (certificate(), certificate());
    let relay = Relay::start_with_pipes(PipesConfig { certificate: Some(first.clone()), ..PipesConfig::default() });
    let pipes = relay.pipes.as_ref().unwrap();
    let mut before = websocket(&relay).await;
    assert_eq!(shown(before.get_ref()), first_der);

    let mixed = PipeCertificate { chain: first.chain, key: second.key.clone() };
    for unusable in [PipeCertificate { chain: b"no PEM".to_vec(), key: second.key.clone() }, mixed] {
        assert!(matches!(pipes.renew(&unusable), Err(BindPipesError::Certificate(_))));
        assert_eq!(shown(&tls(&relay).await), first_der);
    }
    pipes.renew(&second).unwrap();
    assert_eq!(shown(&tls(&relay).await), second_der);
    before.send(Message::Ping("still there".into())).await.unwrap();
    assert!(matches!(before.next().await, Some(Ok(Message::Pong(_)))));
}

#[tokio::test]
async fn messages_that_are_none_end_the_pipe_and_no_packet_of_them_is_used() {
    let pair = pair_beside().await;
    let packet = [&DataHeader { channel: channel(7) }.to_bytes()[..], &[0x40; 50]].concat();
    let mut good = Vec::new();
    assert!(PipePacket { ecn: 0, bytes: &packet }.put(&mut good));
    let cut = [&good[..], &[9, 0]].concat();
    let large = vec![0; PIPE_MESSAGE_BYTES + 1];
    let before = pair.relay.counters().no_route;
    for (count, message) in (1..).zip([
        Message::Binary(cut.into()),
        Message::Binary(Vec::new().into()),
        Message::Binary(vec![0xff; 400].into()),
        Message::Binary(large.into()),
        Message::text("hello"),
    ]) {
        let mut socket = websocket(&pair.relay).await;
        socket.send(message).await.unwrap();
        let end = timeout(PATIENCE, async { while let Some(Ok(_)) = socket.next().await {} }).await;
        assert!(end.is_ok(), "the relay ends it");
        until(|| pair.relay.pipes.as_ref().unwrap().counters().malformed == count).await;
    }
    assert_eq!(pair.relay.counters().no_route, before);
    // The same packet in a good message is looked at, and only has no way.
    let mut socket = websocket(&pair.relay).await;
    socket.send(Message::Binary(good.into())).await.unwrap();
    until(|| pair.relay.counters().no_route == before + 1).await;
    socket.close(None::<CloseFrame>).await.unwrap();
    until(|| pair.relay.pipes.as_ref().unwrap().counters().open == 1).await;
    pair.carries(OTHERS_BYTES).await;
}

#[tokio::test]
async fn whoever_takes_too_long_to_ask_is_let_go() {
    let pair = pair_beside().await;
    // One says nothing at all, one begins a request and does not end it.
    let mut silent = TcpStream::connect(pair.relay.address).await.unwrap();
    let mut slow = tls(&pair.relay).await;
    slow.write_all(b"GET /pipe HTTP/1.1\r\nHost: rel").await.unwrap();
    for end in [silent.read(&mut [0; 64]).await, slow.read(&mut [0; 64]).await] {
        assert!(end.is_err() || end.is_ok_and(|length| length == 0));
    }
    assert_eq!(pair.relay.pipes.as_ref().unwrap().counters().unfinished, 2);
    pair.carries(OTHERS_BYTES).await;
}

#[tokio::test]
async fn a_client_that_does_not_read_costs_nobody_else_anything() {
    let pair = pair_beside().await;
    let mut socket = websocket(&pair.relay).await;
    let header = DataHeader { channel: channel(7) }.to_bytes();
    let mut message = Vec::new();
    assert!(PipePacket { ecn: 0, bytes: &[&header[..], &[0x40; 50]].concat() }.put(&mut message));
    socket.send(Message::Binary(message.into())).await.unwrap();
    until(|| pair.relay.routes.last_from(channel(7)).is_some()).await;
    let pipe = pair.relay.routes.last_from(channel(7)).unwrap();

    // Somebody sends to it without end.
    let sender = UdpSocket::bind((V4, 0)).await.unwrap();
    pair.relay.routes.join(channel(7), pipe, sender.local_addr().unwrap());
    let packet = [&header[..], &[0x41; 1400]].concat();
    let pipes = pair.relay.pipes.as_ref().unwrap();
    let flood = async {
        let mut pace = tokio::time::interval(Duration::from_millis(1));
        while pipes.counters().stuck == 0 {
            pace.tick().await;
            for _ in 0..32 {
                // What the socket does not take is not sent.
                let _ = sender.try_send_to(&packet, pair.relay.address);
            }
        }
    };
    let others = async {
        until(|| pipes.counters().dropped_packets > 0).await;
        pair.carries(OTHERS_BYTES).await;
    };
    timeout(Duration::from_secs(60), async { tokio::join!(flood, others) }).await.expect("it is cut off");
    assert_eq!(pipes.counters().open, 1, "the pipe that nobody reads is gone");

    // Whatever is still sent to it is sent to nobody: the next pipe has another address.
    let late = pipes.counters().late_packets;
    let _other = websocket(&pair.relay).await;
    until(|| {
        let _ = sender.try_send_to(&packet, pair.relay.address);
        pipes.counters().late_packets > late
    })
    .await;
}

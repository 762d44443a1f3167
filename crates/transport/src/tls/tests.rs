use std::net::{Ipv4Addr, SocketAddr};

use quinn::{ConnectionError, Endpoint};
use rand_core::OsRng;
use rustls::crypto::SupportedKxGroup;

use super::*;

fn endpoint(server: Option<Arc<dyn quinn::crypto::ServerConfig>>) -> Endpoint {
    let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let server = server.map(quinn::ServerConfig::with_crypto);
    Endpoint::new(quinn::EndpointConfig::default(), server, socket, Arc::new(quinn::TokioRuntime)).unwrap()
}

type Shaken = (Result<quinn::Connection, ConnectionError>, Result<quinn::Connection, ConnectionError>);

/// Both ends' view of one handshake, client first.
async fn shake_hands(client: QuicClientConfig, server: impl quinn::crypto::ServerConfig + 'static) -> Shaken {
    let server = endpoint(Some(Arc::new(server)));
    let address: SocketAddr = server.local_addr().unwrap();
    let client_endpoint = endpoint(None);
    let connecting =
        client_endpoint.connect_with(quinn::ClientConfig::new(Arc::new(client)), address, SERVER_NAME).unwrap();
    let accepting = async { server.accept().await.unwrap().await };
    tokio::join!(connecting, accepting)
}

fn with_group(group: &'static dyn SupportedKxGroup) -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider { kx_groups: vec![group], ..aws_lc_rs::default_provider() })
}

fn technician_with(provider: Arc<CryptoProvider>, key: &SigningKey) -> QuicClientConfig {
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyKey { mandatory: true }))
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(raw_key(key).unwrap())));
    client(config, SESSION_ALPN).unwrap()
}

#[tokio::test]
async fn both_ends_of_a_session_learn_the_key_that_the_other_proved() {
    let (agent, technician) = (SigningKey::generate(&mut OsRng), SigningKey::generate(&mut OsRng));
    let (at_technician, at_agent) =
        shake_hands(session_client(&technician).unwrap(), session_server(&agent).unwrap()).await;
    assert_eq!(peer_key(&at_technician.unwrap()).as_ref(), Some(agent.public()));
    assert_eq!(peer_key(&at_agent.unwrap()).as_ref(), Some(technician.public()));
}

#[tokio::test]
async fn a_session_without_the_post_quantum_group_does_not_come_to_stand() {
    let (agent, technician) = (SigningKey::generate(&mut OsRng), SigningKey::generate(&mut OsRng));
    let old = technician_with(with_group(aws_lc_rs::kx_group::X25519), &technician);
    let (at_technician, at_agent) = shake_hands(old, session_server(&agent).unwrap()).await;
    assert!(at_technician.is_err());
    assert!(at_agent.unwrap_err().to_string().contains("KxGroups"), "the group is the reason");

    let new = technician_with(with_group(aws_lc_rs::kx_group::X25519MLKEM768), &technician);
    let (at_technician, at_agent) = shake_hands(new, session_server(&agent).unwrap()).await;
    assert!(at_technician.is_ok() && at_agent.is_ok());
}

#[tokio::test]
async fn a_technician_has_to_prove_a_key() {
    let agent = SigningKey::generate(&mut OsRng);
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyKey { mandatory: true }))
        .with_no_client_auth();
    let nobody = client(config, SESSION_ALPN).unwrap();
    let (_, at_agent) = shake_hands(nobody, session_server(&agent).unwrap()).await;
    assert!(at_agent.is_err());
}

#[tokio::test]
async fn a_key_that_belongs_to_somebody_else_is_not_proved() {
    let (agent, technician) = (SigningKey::generate(&mut OsRng), SigningKey::generate(&mut OsRng));
    // The public key of one, signatures of the other.
    let signing = raw_key(&technician).unwrap().key.clone();
    let stolen = CertificateDer::from(agent.public().spki_der().to_vec());
    let certified = Arc::new(CertifiedKey::new(vec![stolen], signing));
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyKey { mandatory: true }))
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(Arc::clone(&certified))));
    let (_, at_agent) = shake_hands(client(config, SESSION_ALPN).unwrap(), session_server(&agent).unwrap()).await;
    assert!(at_agent.is_err());

    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(certified)));
    let pin = Arc::new(Pin::new(agent.public().digest().0));
    let (at_client, _) = shake_hands(
        control_client(Arc::clone(&pin), None).unwrap(),
        ControlServer::new(server(config, CONTROL_ALPN)).unwrap(),
    )
    .await;
    assert!(at_client.is_err());
    assert!(!pin.take_mismatch(), "the key is the right one; only the signature is not");
}

#[tokio::test]
async fn the_relay_is_the_one_with_the_pinned_key() {
    let (relay, other) = (SigningKey::generate(&mut OsRng), SigningKey::generate(&mut OsRng));
    let pin = Arc::new(Pin::new(relay.public().digest().0));
    let (at_client, at_relay) =
        shake_hands(control_client(Arc::clone(&pin), None).unwrap(), control_server(&relay).unwrap()).await;
    assert!(at_client.is_ok() && at_relay.is_ok() && !pin.take_mismatch());

    let (at_client, _) =
        shake_hands(control_client(Arc::clone(&pin), None).unwrap(), control_server(&other).unwrap()).await;
    assert!(at_client.is_err() && pin.take_mismatch());
}

#[tokio::test]
async fn control_and_session_do_not_mix() {
    let key = SigningKey::generate(&mut OsRng);
    let pin = Arc::new(Pin::new(key.public().digest().0));
    let (at_client, _) = shake_hands(control_client(pin, None).unwrap(), session_server(&key).unwrap()).await;
    assert!(at_client.is_err());
    let (at_client, _) = shake_hands(session_client(&key).unwrap(), control_server(&key).unwrap()).await;
    assert!(at_client.is_err());
}

#[tokio::test]
async fn nothing_is_kept_for_resuming_a_session() {
    let (agent, technician) = (SigningKey::generate(&mut OsRng), SigningKey::generate(&mut OsRng));
    let server = endpoint(Some(Arc::new(session_server(&agent).unwrap())));
    let client = endpoint(None);
    let config = quinn::ClientConfig::new(Arc::new(session_client(&technician).unwrap()));
    let mut secrets = Vec::new();
    for _ in 0..2 {
        let connecting = client.connect_with(config.clone(), server.local_addr().unwrap(), SERVER_NAME).unwrap();
        let connecting = connecting.into_0rtt().map(|_| ()).expect_err("there is no ticket to be early with");
        let (at_technician, at_agent) = tokio::join!(connecting, async { server.accept().await.unwrap().await });
        let (at_technician, at_agent) = (at_technician.unwrap(), at_agent.unwrap());
        // A ticket would come after the handshake; a stream that comes back shows that it is past.
        let mut stream = at_agent.open_uni().await.unwrap();
        stream.write_all(b"x").await.unwrap();
        at_technician.accept_uni().await.unwrap();
        let mut secret = [0; 32];
        at_technician.export_keying_material(&mut secret, b"l", b"c").unwrap();
        secrets.push(secret);
    }
    assert_ne!(secrets[0], secrets[1]);
}

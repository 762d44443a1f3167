//! A relay on loopback that answers what the test says.

use rand_core::OsRng;
use tokio::task::JoinSet;
use trust::keys::SigningKey;
use wire::{channel::DataHeader, time::Moment};

use super::*;
use crate::listener::{
    Forward, Listener, ListenerConfig, PeerEvent, PeerEvents, Route,
    pipes::{Pipes, PipesConfig},
    reflector::Reflector,
};

struct Nowhere;

impl Forward for Nowhere {
    fn route(&self, _: SocketAddr, _: DataHeader, _: usize, _: usize, _: Moment) -> Route {
        Route::Nowhere
    }
}

/// What a relay says of its reflector.
#[derive(Clone, Copy)]
enum Says {
    /// It knows no such question.
    Nothing,
    Port(Option<NonZeroU16>),
}

struct Relay {
    link: RelayLink,
    _pipes: Pipes,
    _tasks: JoinSet<()>,
}

fn relay(says: Says) -> Relay {
    let key = SigningKey::generate(&mut OsRng);
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let (listener, events, pipes) = loop {
        let (listener, events) = Listener::bind(loopback, &key, Arc::new(Nowhere), ListenerConfig::default()).unwrap();
        // Another program may have the port of TCP.
        if let Ok(pipes) = Pipes::bind(listener.local_addr(), &key, &listener, PipesConfig::default()) {
            break (listener, events, pipes);
        }
    };
    let address = listener.local_addr();
    let link = RelayLink::new(&address.ip().to_string(), address.port(), key.public().digest().0).unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(answer(listener, events, says));
    Relay { link, _pipes: pipes, _tasks: tasks }
}

async fn answer(listener: Listener, mut events: PeerEvents, says: Says) {
    let mut addresses = std::collections::BTreeMap::new();
    while let Some(event) = events.recv().await {
        match event {
            PeerEvent::Connected { peer, address, .. } => drop(addresses.insert(peer.number(), address)),
            PeerEvent::Message { peer, message: ToRelay::Observe } => {
                listener.tell(peer, FromRelay::Observed { address: addresses[&peer.number()] });
            }
            PeerEvent::Message { peer, .. } => match says {
                Says::Nothing => listener.close(peer, crate::listener::Farewell::because("malformed message")),
                Says::Port(port) => listener.tell(peer, FromRelay::Reflector { port }),
            },
            PeerEvent::Moved { .. } | PeerEvent::Ended { .. } => {}
        }
    }
}

async fn observed(says: Says) -> Observations {
    let relay = relay(says);
    observe(&relay.link, &Proxies::none(), |_, _| {}).await
}

#[tokio::test]
async fn on_one_machine_everything_is_reached_and_nothing_translates() {
    let reflector = Reflector::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let port = reflector.port().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(reflector.run());
    let found = observed(Says::Port(Some(port))).await;
    let answer = found.v4.by_udp().expect("it answers");
    let seen_as = answer.seen_as.expect("it says");
    assert!(seen_as.ip().is_loopback());
    assert_eq!(answer.reflector, ReflectorAnswer::Answers { seen_as, largest: 1472 });
    assert_eq!((found.v4.nat(), found.direct()), (Nat::None, Direct::Untranslated(Family::V4)));
    let tcp = found.v4.tcp.as_ref().and_then(|answer| answer.as_ref().ok()).expect("it answers");
    assert_eq!(tcp.certificate, CertificateCheck::Pinned);
    assert!(found.v6.udp.is_none() && found.v6.tcp.is_none() && found.proxy.is_none(), "there is no such way");
    assert_eq!(found.mappings, None, "the router has nothing to do with this machine");
}

#[tokio::test]
async fn a_relay_without_a_reflector_tells_less_and_the_rest_all_the_same() {
    for says in [Says::Nothing, Says::Port(None)] {
        let found = observed(says).await;
        assert_eq!(found.v4.by_udp().expect("it answers").reflector, ReflectorAnswer::NotOffered);
        assert_eq!(found.v4.nat(), Nat::None);
        assert_eq!(found.v4.largest_payload(), Err(Unclear::NotOffered));
    }
}

#[tokio::test]
async fn a_reflector_that_nobody_reaches_is_named_by_its_port() {
    let silent = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = silent.local_addr().unwrap().port();
    let found = observed(Says::Port(NonZeroU16::new(port))).await;
    assert_eq!(found.v4.largest_payload(), Err(Unclear::Silent { port }));
}

#[tokio::test]
async fn whoever_has_another_key_is_no_relay_and_every_question_is_begun_and_done() {
    let relay = relay(Says::Nothing);
    let link = RelayLink::new(relay.link.host(), relay.link.port(), [7; 32]).unwrap();
    let told = std::sync::Mutex::new(Vec::new());
    let found = observe(&link, &Proxies::none(), |question, done| told.lock().unwrap().push((question, done))).await;
    assert_eq!(found.v4.udp, Some(Err(ConnectError::WrongKey)));
    assert!(matches!(found.v4.tcp, Some(Err(ConnectError::NoTcp { .. }))), "{:?}", found.v4.tcp);
    let mut told = told.into_inner().unwrap();
    told.sort();
    let questions = [Question::Names, Question::Udp(Family::V4), Question::Tcp(Family::V4)];
    assert_eq!(told, questions.map(|question| [(question, false), (question, true)]).concat());
}

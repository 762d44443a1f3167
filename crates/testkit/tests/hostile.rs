//! The peers speak the real protocol when they are told to, and the plots come to nothing.

use testkit::hostile::{
    agent::AgentPeer,
    relay::{AgentsWord, EvilRelay, Plot, TechniciansStep},
    session::{PeerSession, forged_proof, introduction},
    technician::{Pairing, TechnicianPeer},
};
use testkit::{
    delay_link::{Conditions, DelayLink, Direction, Tamper},
    hostile::packets,
};
use trust::{code::SessionCode, pairing::PairingError};
use wire::{
    control::Refusal,
    link::RelayLink,
    pairing::{FromUnpairedAgent, Introduction, PairingRefusal},
    session::{Ability, ToAgent, ToTechnician},
};

fn hello() -> Introduction {
    introduction("Ana Ruiz", &[Ability::DiagBasic], "to see how it is")
}

/// An agent with a code at one end and a technician at the other.
struct Ends {
    agent: AgentPeer,
    technician: TechnicianPeer,
    code: SessionCode,
}

impl Ends {
    async fn at(link: &RelayLink) -> Self {
        Self::at_links(link, link).await
    }

    async fn at_links(agent: &RelayLink, technician: &RelayLink) -> Self {
        let mut agent = AgentPeer::connect(agent).await.expect("an agent connects");
        let code = agent.code().await.expect("the relay gives a locator");
        let technician = TechnicianPeer::connect(technician).await.expect("a technician connects");
        Self { agent, technician, code }
    }

    /// Both sides' views of a pairing with the right code.
    async fn pair(&mut self) -> (Result<(PeerSession, Introduction), PairingError>, Pairing) {
        let hello = hello();
        let (agent, technician) = tokio::join!(self.agent.pair(&self.code), self.technician.pair(&self.code, &hello));
        (agent.expect("both meet"), technician.expect("both meet"))
    }
}

#[tokio::test]
async fn honest_peers_pair_over_an_honest_relay_and_speak() {
    let relay = EvilRelay::start(Plot::Honest).await.unwrap();
    let (agent, technician) = Ends::at(relay.link()).await.pair().await;
    let ((mut agent, heard), mut technician) = (agent.unwrap(), technician.expect_paired());
    assert_eq!(heard, hello());
    assert_eq!(agent.paired.words, technician.paired.words);

    technician.sender.send(&ToAgent::Unsubscribe).await.unwrap();
    assert_eq!(agent.receiver.recv::<ToAgent>().await.unwrap(), Some(ToAgent::Unsubscribe));
    agent.sender.send(&ToTechnician::Resumed).await.unwrap();
    assert_eq!(technician.receiver.recv::<ToTechnician>().await.unwrap(), Some(ToTechnician::Resumed));
}

#[tokio::test]
async fn a_relay_that_swaps_keys_comes_to_a_wrong_code_and_nothing_more() {
    let mut relay = EvilRelay::start(Plot::SwapKeys).await.unwrap();
    let (agent, technician) = Ends::at(relay.link()).await.pair().await;
    assert_eq!(agent.unwrap_err(), PairingError::WrongCode);
    assert!(matches!(technician, Pairing::Refused(PairingRefusal::WrongCode)), "{technician:?}");
    let outcome = relay.outcome().await.unwrap();
    assert_eq!(outcome.agent, Some(AgentsWord::Refused(PairingRefusal::WrongCode)));
    assert_eq!(outcome.technician, TechniciansStep::Proved);
}

#[tokio::test]
async fn a_relay_that_guesses_the_secret_is_refused_by_both() {
    let mut relay = EvilRelay::start(Plot::GuessSecret).await.unwrap();
    let mut ends = Ends::at(relay.link()).await;
    let hello = hello();
    let (agent, technician) = tokio::join!(ends.agent.pair(&ends.code), ends.technician.pair(&ends.code, &hello));
    assert_eq!(agent.unwrap().unwrap_err(), PairingError::WrongCode);
    let error = technician.unwrap_err().downcast::<PairingError>().unwrap();
    assert_eq!(error, PairingError::NotTheAgent);
    let outcome = relay.outcome().await.unwrap();
    assert_eq!(outcome.agent, Some(AgentsWord::Refused(PairingRefusal::WrongCode)));
    assert_eq!(outcome.technician, TechniciansStep::Proved);
}

#[tokio::test]
async fn a_relay_that_swaps_locators_brings_a_technician_to_a_wrong_code() {
    let relay = EvilRelay::start(Plot::SwapLocators).await.unwrap();
    let mut other = AgentPeer::connect(relay.link()).await.unwrap();
    let others_code = other.code().await.unwrap();
    let mut ends = Ends::at(relay.link()).await;
    let hello = hello();
    let (agent, technician) = tokio::join!(other.pair(&others_code), ends.technician.pair(&ends.code, &hello));
    assert_eq!(agent.unwrap().unwrap_err(), PairingError::WrongCode);
    assert!(matches!(technician.unwrap(), Pairing::Refused(PairingRefusal::WrongCode)));
}

#[tokio::test]
async fn nobody_waits_under_a_code_that_was_never_given_out() {
    let relay = EvilRelay::start(Plot::Honest).await.unwrap();
    let mut technician = TechnicianPeer::connect(relay.link()).await.unwrap();
    let locator = wire::ids::Locator::new(7, 4).unwrap();
    assert_eq!(technician.attach(locator).await.unwrap(), Err(Refusal::NobodyWaiting));
}

#[tokio::test]
async fn a_technician_can_pose_as_paired_and_say_anything() {
    let relay = EvilRelay::start(Plot::Honest).await.unwrap();
    let mut ends = Ends::at(relay.link()).await;
    let technician = async {
        let channel = ends.technician.attach(ends.code.locator()).await.unwrap().unwrap();
        let mut unpaired = ends.technician.node.dial_session(channel, &ends.technician.key).await.unwrap();
        assert!(matches!(unpaired.recv().await.unwrap(), Some(FromUnpairedAgent::Offer { .. })));
        let mut posing = PeerSession::pose(unpaired, forged_proof()).unwrap();
        posing.sender.send(&testkit::hostile::frames::RawFrame(vec![0xff; 9000])).await.unwrap();
        posing.sealed.closed().await
    };
    let (agent, _) = tokio::join!(ends.agent.pair(&ends.code), technician);
    assert!(agent.is_err(), "what it said was no message");
}

#[tokio::test]
async fn sealed_sessions_pass_every_tamperer_unharmed() {
    let tamperers: [fn() -> Tamper; 5] =
        [packets::replay, || packets::truncate(7), || packets::corrupt(7), || packets::misroute(3), packets::reorder];
    for tamper in tamperers {
        let relay = EvilRelay::start(Plot::Honest).await.unwrap();
        let address = ([127, 0, 0, 1], relay.link().port()).into();
        let wire = DelayLink::with_tamper(address, Conditions::default(), tamper()).await.unwrap();
        let tapped = RelayLink::new("127.0.0.1", wire.address().port(), relay.link().pin()).unwrap();
        let (agent, technician) = Ends::at_links(relay.link(), &tapped).await.pair().await;
        let ((mut agent, _), mut technician) = (agent.unwrap(), technician.expect_paired());
        for _ in 0..50 {
            technician.sender.send(&ToAgent::Unsubscribe).await.unwrap();
            assert_eq!(agent.receiver.recv::<ToAgent>().await.unwrap(), Some(ToAgent::Unsubscribe));
            agent.sender.send(&ToTechnician::Resumed).await.unwrap();
            assert_eq!(technician.receiver.recv::<ToTechnician>().await.unwrap(), Some(ToTechnician::Resumed));
        }
        assert!(wire.traffic(Direction::ToTarget).datagrams > 50);
    }
}

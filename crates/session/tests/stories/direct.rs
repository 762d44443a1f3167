//! Direct paths: no address is told before a yes, and none after the last one is over.

use std::net::SocketAddr;

use consent::Ceiling;
use session::{
    agent::{AgentSetup, DirectWish, Effect},
    technician::{CommandError, TechnicianEvent, TechnicianProtocolError},
};
use wire::{
    evidence::Event,
    ids::GrantId,
    path::{CANDIDATES, DirectOffer},
    session::{Ability, Absence, EndReason, ToAgent, ToTechnician},
};

use crate::{
    desk::{Desk, records, sent, setup},
    scene::{START, request, secs, verified},
    technician::{live, refused, waiting},
};

fn addresses(count: usize) -> Vec<SocketAddr> {
    (1..).map(|last| SocketAddr::from(([192, 0, 2, last], 7))).take(count).collect()
}

fn offer(count: usize) -> ToAgent {
    ToAgent::Direct(DirectOffer::Candidates(addresses(count)))
}

/// The person allowed something, and direct paths are open.
fn open() -> Desk {
    let mut desk = Desk::live();
    desk.tell(offer(2));
    desk.drain();
    desk
}

#[test]
fn addresses_are_told_after_a_yes_and_behind_their_record() {
    let mut desk = Desk::live();
    desk.session.offer_direct(addresses(1), desk.now);
    assert_eq!(desk.done(), Vec::<String>::new(), "nobody asked for them");
    desk.tell(offer(2));
    let effects = desk.drain();
    assert_eq!(effects, [Effect::Record(Event::DirectAllowed), Effect::OpenDirect { addresses: addresses(2) }]);
    desk.session.offer_direct(addresses(CANDIDATES + 3), desk.now);
    let told = ToTechnician::Direct(DirectOffer::Candidates(addresses(CANDIDATES)));
    assert_eq!(sent(&desk.drain()), [&told]);

    desk.tell(offer(1));
    assert_eq!(desk.drain(), [Effect::OpenDirect { addresses: addresses(1) }], "recorded once");
    desk.session.direct_is_used();
    desk.session.direct_is_used();
    assert_eq!(desk.drain(), [Effect::Record(Event::DirectUsed)]);
}

#[test]
fn a_person_who_does_not_want_it_tells_nothing_but_that() {
    let first = request(1, &[Ability::DiagBasic], 3600);
    let mut desk =
        Desk::with(AgentSetup { direct: DirectWish::NotWanted, ..setup(verified(), Ceiling::attended(), first) });
    desk.allow();
    desk.drain();
    desk.tell(offer(2));
    desk.session.offer_direct(addresses(1), desk.now);
    assert_eq!(desk.drain(), [Effect::Send(ToTechnician::Direct(DirectOffer::NotWanted))]);
}

#[test]
fn a_technician_who_speaks_of_addresses_before_a_yes_ends_the_session() {
    for said in [offer(1), ToAgent::Direct(DirectOffer::NotWanted)] {
        let mut desk = Desk::new();
        desk.drain();
        desk.tell(said);
        assert_eq!(desk.session.end_reason(), Some(EndReason::Protocol));
        assert!(!desk.drain().iter().any(|effect| matches!(effect, Effect::OpenDirect { .. })));
    }
}

#[test]
fn more_addresses_than_a_machine_is_reached_by_end_the_session() {
    let mut desk = Desk::live();
    desk.tell(offer(CANDIDATES + 1));
    let what = Event::Violation { what: "named more network addresses than a machine is reached by".to_owned() };
    assert!(records(&desk.drain()).contains(&&what));
}

#[test]
fn the_end_of_the_last_grant_closes_before_anything_else_is_done() {
    let mut desk = open();
    desk.session.revoke(GrantId(1), desk.now);
    assert_eq!(desk.done(), ["CloseDirect", "record GrantEnded", "send GrantEnded"]);
    desk.session.offer_direct(addresses(1), desk.now);
    desk.tell(offer(1));
    assert_eq!(desk.done(), Vec::<String>::new(), "the messages crossed, and nothing is allowed");

    let mut desk = open();
    desk.now = desk.session.poll_timeout().unwrap();
    desk.session.handle_timeout(desk.now);
    assert_eq!(desk.done().first().map(String::as_str), Some("CloseDirect"), "it lapsed");
}

#[test]
fn a_person_who_goes_away_closes_and_the_technician_may_ask_again_when_they_are_back() {
    let mut desk = open();
    desk.session.absent(Absence::ScreenLocked, desk.now);
    assert_eq!(desk.done(), ["CloseDirect", "record Paused", "send Paused"]);
    desk.pass(secs(10));
    desk.session.present(desk.now);
    assert_eq!(desk.done(), ["record Resumed", "send Resumed"]);
    desk.tell(offer(1));
    assert_eq!(desk.done(), ["record DirectAllowed", "OpenDirect"]);
}

#[test]
fn what_was_not_handed_out_when_it_closed_never_is() {
    let mut desk = Desk::live();
    desk.tell(offer(1));
    desk.session.revoke(GrantId(1), desk.now);
    assert_eq!(desk.done(), ["record DirectAllowed", "record GrantEnded", "send GrantEnded"]);

    let mut desk = open();
    desk.session.offer_direct(addresses(1), desk.now);
    desk.session.stop_by_user(desk.now);
    let effects = desk.drain();
    assert_eq!(effects.first(), Some(&Effect::CloseDirect));
    assert!(!sent(&effects).iter().any(|message| matches!(message, ToTechnician::Direct(_))));
}

#[test]
fn a_technician_tells_nothing_before_a_grant_and_is_told_nothing_unasked() {
    let mut session = waiting();
    let own = DirectOffer::Candidates(addresses(1));
    assert_eq!(session.offer_direct(own.clone()), Err(CommandError::NothingGranted));
    assert_eq!(session.poll_transmit(), None);
    for said in [own.clone(), DirectOffer::NotWanted] {
        refused(&mut waiting(), ToTechnician::Direct(said.clone()), TechnicianProtocolError::AddressesNotAsked);
        refused(&mut live(), ToTechnician::Direct(said), TechnicianProtocolError::AddressesNotAsked);
    }
    let mut session = live();
    session.offer_direct(DirectOffer::NotWanted).unwrap();
    refused(&mut session, ToTechnician::Direct(own), TechnicianProtocolError::AddressesNotAsked);
}

#[test]
fn a_technician_takes_the_answer_and_no_flood() {
    let mut session = live();
    session.offer_direct(DirectOffer::Candidates(addresses(1))).unwrap();
    assert_eq!(session.poll_transmit(), Some(offer(1)));
    let answer = DirectOffer::Candidates(addresses(CANDIDATES));
    session.handle_message(ToTechnician::Direct(answer.clone()), START).unwrap();
    assert_eq!(session.poll_event(), Some(TechnicianEvent::Direct(answer)));
    let flood = ToTechnician::Direct(DirectOffer::Candidates(addresses(CANDIDATES + 1)));
    refused(&mut session, flood, TechnicianProtocolError::TooManyAddresses { count: CANDIDATES + 1 });
}

//! A technician that breaks the rules: what can be innocent is denied, what cannot be ends the session with its name.

use wire::{
    evidence::Event,
    ids::RunId,
    limits,
    session::{Ability, DenyReason, EndReason, ToAgent, ToTechnician},
};

use crate::{
    desk::{Desk, proposal, records, sent},
    scene::{request, secs},
};

fn violation(desk: &mut Desk) -> Option<String> {
    let effects = desk.drain();
    let what = |event: &&Event| if let Event::Violation { what } = event { Some(what.clone()) } else { None };
    records(&effects).iter().find_map(what)
}

fn assert_ended(desk: &mut Desk, what: &str) {
    assert_eq!(violation(desk).as_deref(), Some(what));
    assert_eq!(desk.session.end_reason(), Some(EndReason::Protocol));
    assert!(desk.grant_ids().is_empty());
}

#[test]
fn a_request_with_a_used_number_ends_the_session() {
    let mut desk = Desk::live();
    desk.ask(1);
    assert_ended(&mut desk, "used the number of a request again");
}

#[test]
fn a_run_with_a_used_number_ends_the_session_and_kills_what_runs() {
    let (mut desk, _) = Desk::running();
    desk.tell(ToAgent::ProposeRun(proposal(1)));
    assert_eq!(violation(&mut desk).as_deref(), Some("used the number of a run again"));
    desk.finish(1, wire::run::RunOutcome::Revoked);
    assert_eq!(desk.session.end_reason(), Some(EndReason::Protocol));
}

#[test]
fn cancelling_a_run_that_was_never_proposed_ends_the_session() {
    let mut desk = Desk::live();
    desk.tell(ToAgent::CancelRun { run: RunId(5) });
    assert_ended(&mut desk, "cancelled a run that it never proposed");
}

#[test]
fn a_flood_of_messages_ends_the_session() {
    let mut desk = Desk::live();
    for _ in 0..128 {
        desk.tell(ToAgent::Unsubscribe);
    }
    assert_eq!(desk.session.end_reason(), None);
    desk.tell(ToAgent::Unsubscribe);
    assert_ended(&mut desk, "sent messages faster than any person could cause them");
}

#[test]
fn messages_at_a_human_pace_go_on_for_hours() {
    let mut desk = Desk::live();
    for _ in 0..3600 {
        desk.pass(secs(1));
        desk.tell(ToAgent::Unsubscribe);
    }
    assert_eq!(desk.session.end_reason(), None);
}

#[test]
fn what_the_shell_could_not_decode_is_a_violation() {
    let mut desk = Desk::live();
    desk.session.violation("sent a frame that is no message", desk.now);
    assert_ended(&mut desk, "sent a frame that is no message");
}

#[test]
fn asking_for_what_is_not_there_is_denied_and_the_session_goes_on() {
    let mut desk = Desk::live();
    let asks = [
        (request(2, &[], 60), DenyReason::Malformed),
        (request(3, &[Ability::AdhocArgv], 60), DenyReason::Malformed),
        (request(4, &[Ability::Elevate], 60), DenyReason::Malformed),
        (request(5, &[Ability::ScreenControl], 60), DenyReason::Ceiling),
    ];
    for (request, expected) in asks {
        let subject = wire::session::Subject::Request(request.request);
        desk.tell(ToAgent::Request(request));
        let effects = desk.drain();
        assert_eq!(sent(&effects), [&ToTechnician::Denied { subject, reason: expected }]);
        assert_eq!(records(&effects), [&Event::Denied { subject, reason: expected }]);
    }
    assert_eq!(desk.session.end_reason(), None);
}

#[test]
fn more_questions_than_a_person_can_stand_are_denied() {
    let mut desk = Desk::live();
    let most = u32::try_from(limits::REQUESTS_AT_ONCE).unwrap();
    for number in 2..=most + 1 {
        desk.ask(number);
    }
    desk.drain();
    desk.ask(most + 2);
    let effects = desk.drain();
    assert!(matches!(sent(&effects)[..], [ToTechnician::Denied { reason: DenyReason::TooMany, .. }]));
}

//! From the pairing to the answer to the first question.

use consent::{Ceiling, PromptKind};
use session::agent::{Effect, Phase};
use wire::{
    evidence::{AnsweredBy, Event},
    ids::{Digest, GrantId, RequestId},
    session::{Ability, AccessRequest, DenyReason, EndReason, GrantNotice, Subject, ToTechnician},
};

use crate::{
    desk::{Desk, records, sent, setup},
    scene::{SESSION, request, secs, unverified, verified},
};

const FIRST: Subject = Subject::Request(RequestId(1));

#[test]
fn the_pairing_is_recorded_first_and_then_the_person_is_asked() {
    let mut desk = Desk::new();
    assert_eq!(desk.session.phase(), Phase::Asking);
    let effects = desk.drain();
    let paired = Event::Paired {
        session: SESSION,
        agent_version: "0.1.0".to_owned(),
        agent_key: Digest([1; 32]),
        technician_key: Digest([2; 32]),
        technician: "Ana Ruiz".to_owned(),
        organisation: Some("Example Help".to_owned()),
    };
    let prompt = desk.session.prompt().unwrap();
    assert_eq!(prompt.kind, PromptKind::Session);
    let asked = Event::AskedForAbilities {
        subject: FIRST,
        abilities: vec![Ability::DiagBasic],
        reason: "the fan is loud".to_owned(),
        prompt: prompt.digest,
    };
    let asking = ToTechnician::Asking { subject: FIRST, answer_within_secs: 120 };
    assert_eq!(effects, [Effect::Record(paired), Effect::Record(asked), Effect::Send(asking)]);
}

#[test]
fn a_claimed_name_is_recorded_without_an_organisation() {
    let first = request(1, &[Ability::DiagBasic], 60);
    let mut desk = Desk::with(setup(unverified(), Ceiling::attended(), first));
    let effects = desk.drain();
    assert!(matches!(records(&effects).first(), Some(Event::Paired { organisation: None, .. })));
}

#[test]
fn a_yes_is_recorded_before_the_technician_learns_of_it() {
    let mut desk = Desk::new();
    desk.drain();
    let prompt = desk.allow();
    let (grant, subject, abilities, stay_secs) = (GrantId(1), FIRST, vec![Ability::DiagBasic], 3600);
    let granted = Event::Granted {
        grant,
        subject,
        abilities: abilities.clone(),
        stay_secs,
        prompt: prompt.digest,
        answered_by: AnsweredBy::TypedWord,
    };
    let notice = GrantNotice { grant, subject, abilities, stay_secs };
    assert_eq!(desk.drain(), [Effect::Record(granted), Effect::Send(ToTechnician::Granted(notice))]);
    assert_eq!(desk.session.phase(), Phase::Live);
    assert_eq!(desk.session.end_reason(), None);
}

#[test]
fn a_no_to_the_first_question_ends_the_session() {
    let mut desk = Desk::new();
    desk.drain();
    desk.deny();
    let expected = ["record Denied", "send Denied", "record Ended", "send Ended", "Ended"];
    assert_eq!(desk.done(), expected);
    assert_eq!(desk.session.end_reason(), Some(EndReason::DeniedByUser));
    assert_eq!(desk.session.poll_timeout(), None);
}

#[test]
fn silence_to_the_first_question_ends_the_session() {
    let mut desk = Desk::new();
    desk.drain();
    let deadline = desk.session.poll_timeout().unwrap();
    assert_eq!(deadline - desk.now, secs(120));
    desk.session.handle_timeout(deadline);
    assert_eq!(desk.session.end_reason(), Some(EndReason::NoAnswer));
    let effects = desk.drain();
    let denied = ToTechnician::Denied { subject: FIRST, reason: DenyReason::NoAnswer };
    assert_eq!(sent(&effects).first(), Some(&&denied));
}

fn ended_at_once(first: AccessRequest) -> (DenyReason, EndReason) {
    let mut desk = Desk::with(setup(verified(), Ceiling::attended(), first));
    let effects = desk.drain();
    assert_eq!(effects.last(), desk.session.end_reason().map(Effect::Ended).as_ref());
    assert!(desk.session.prompt().is_none());
    let messages = sent(&effects);
    let [ToTechnician::Denied { reason: denied, .. }, ToTechnician::Ended { reason }] = messages[..] else {
        panic!("{messages:?}");
    };
    (*denied, *reason)
}

#[test]
fn a_session_for_nothing_that_the_device_allows_ends_before_anybody_is_asked() {
    let ended = ended_at_once(request(1, &[Ability::ScreenControl], 60));
    assert_eq!(ended, (DenyReason::Ceiling, EndReason::NotAllowed));
}

#[test]
fn a_malformed_first_request_is_a_breach_of_the_protocol() {
    for abilities in [&[][..], &[Ability::AdhocArgv], &[Ability::DiagBasic, Ability::DiagBasic]] {
        let ended = ended_at_once(request(1, abilities, 60));
        assert_eq!(ended, (DenyReason::Malformed, EndReason::Protocol));
    }
}

#[test]
fn a_terminal_that_closes_while_the_first_question_is_open_ends_the_session() {
    let mut desk = Desk::new();
    desk.drain();
    desk.session.end(EndReason::TerminalClosed, desk.now);
    assert_eq!(desk.done(), ["record Ended", "send Ended", "Ended"]);
    assert!(desk.session.prompt().is_none());
}

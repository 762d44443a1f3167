//! The diagnostics stream.

use std::time::Duration;

use consent::Ceiling;
use session::agent::Effect;
use wire::{
    diagnostics::{Panels, View},
    evidence::Event,
    ids::{GrantId, RequestId},
    session::{Ability, Absence, ToAgent},
    time::Moment,
};

use crate::{
    desk::{Desk, records, setup},
    scene::{request, secs, verified},
};

fn subscribe(desk: &mut Desk, period_ms: u32) {
    desk.tell(ToAgent::Subscribe { period_ms });
}

fn streaming() -> Desk {
    let mut desk = Desk::live();
    subscribe(&mut desk, 1000);
    desk.drain();
    assert!(desk.session.may_send_sample(desk.now));
    desk
}

#[test]
fn a_subscription_before_the_answer_starts_with_it_and_not_before() {
    let mut desk = Desk::new();
    subscribe(&mut desk, 1000);
    desk.drain();
    assert!(!desk.session.may_send_sample(desk.now));
    desk.allow();
    assert_eq!(desk.done(), ["record Granted", "send Granted", "record DiagnosticsStarted", "StartDiagnostics"]);
}

#[test]
fn nothing_streams_without_a_subscription() {
    let mut desk = Desk::live();
    desk.session.handle_timeout(desk.now + secs(1));
    assert_eq!(desk.done(), Vec::<String>::new());
    assert!(!desk.session.is_streaming());
}

#[test]
fn no_sample_may_be_sent_before_its_record_was_handed_out() {
    let mut desk = Desk::live();
    subscribe(&mut desk, 1000);
    assert!(!desk.session.may_send_sample(desk.now));
    assert!(matches!(desk.session.poll_effect(), Some(Effect::Record(Event::DiagnosticsStarted { .. }))));
    assert!(!desk.session.may_send_sample(desk.now));
    assert_eq!(desk.session.poll_effect(), Some(Effect::StartDiagnostics { period: secs(1), view: View::default() }));
    assert!(desk.session.may_send_sample(desk.now));
}

#[test]
fn a_sample_from_the_deadline_on_is_refused_though_nobody_told_the_session_the_time() {
    let desk = streaming();
    let deadline = desk.session.grants(desk.now).next().unwrap().stay_until;
    let just_before = Moment::from_origin(deadline.since_origin() - Duration::from_nanos(1));
    assert!(desk.session.may_send_sample(just_before));
    assert!(!desk.session.may_send_sample(deadline));
}

#[test]
fn a_revoke_stops_the_stream_before_anything_else_is_done() {
    let mut desk = streaming();
    desk.ask(2);
    desk.session.revoke(GrantId(1), desk.now);
    let expected = [
        "StopDiagnostics",
        "record AskedForAbilities",
        "send Asking",
        "record GrantEnded",
        "send GrantEnded",
        "record DiagnosticsStopped",
    ];
    assert_eq!(desk.done(), expected);
    assert!(!desk.session.may_send_sample(desk.now));
}

#[test]
fn the_stream_stops_when_its_grant_lapses() {
    let mut desk = streaming();
    desk.now = desk.session.poll_timeout().unwrap();
    desk.session.handle_timeout(desk.now);
    let expected = ["StopDiagnostics", "record GrantEnded", "send GrantEnded", "record DiagnosticsStopped"];
    assert_eq!(desk.done(), expected);
}

#[test]
fn the_stream_stands_still_while_the_person_is_away_and_goes_on_when_they_are_back() {
    let mut desk = streaming();
    desk.session.absent(Absence::ScreenLocked, desk.now);
    assert_eq!(desk.done(), ["StopDiagnostics", "record Paused", "send Paused", "record DiagnosticsStopped"]);
    assert!(!desk.session.may_send_sample(desk.now));
    desk.pass(secs(30));
    desk.session.present(desk.now);
    assert_eq!(desk.done(), ["record Resumed", "send Resumed", "record DiagnosticsStarted", "StartDiagnostics"]);
    assert!(desk.session.may_send_sample(desk.now));
}

#[test]
fn an_unsubscribed_stream_stops_and_does_not_come_back() {
    let mut desk = streaming();
    desk.tell(ToAgent::Unsubscribe);
    assert_eq!(desk.done(), ["StopDiagnostics", "record DiagnosticsStopped"]);
    desk.session.absent(Absence::ScreenLocked, desk.now);
    desk.session.present(desk.now);
    assert_eq!(desk.done(), ["record Paused", "send Paused", "record Resumed", "send Resumed"]);
}

#[test]
fn another_period_starts_the_stream_anew_and_the_same_one_changes_nothing() {
    let mut desk = streaming();
    subscribe(&mut desk, 1000);
    assert_eq!(desk.done(), Vec::<String>::new());
    subscribe(&mut desk, 0);
    let effects = desk.drain();
    assert!(records(&effects).contains(&&Event::DiagnosticsStarted { grant: GrantId(1), period_ms: 250 }));
    assert_eq!(effects.first(), Some(&Effect::StopDiagnostics));
    subscribe(&mut desk, u32::MAX);
    assert_eq!(desk.drain().last(), Some(&Effect::StartDiagnostics { period: secs(60), view: View::default() }));
}

#[test]
fn a_stream_that_was_not_handed_out_yet_never_starts_after_a_revoke() {
    let mut desk = Desk::live();
    subscribe(&mut desk, 1000);
    desk.session.revoke(GrantId(1), desk.now);
    let expected = ["record DiagnosticsStarted", "record GrantEnded", "send GrantEnded", "record DiagnosticsStopped"];
    assert_eq!(desk.done(), expected);
}

#[test]
fn another_grant_takes_over_with_a_record_of_its_own() {
    let mut desk = streaming();
    desk.ask(2);
    desk.allow();
    desk.drain();
    desk.session.revoke(GrantId(1), desk.now);
    let effects = desk.drain();
    assert_eq!(effects.first(), Some(&Effect::StopDiagnostics));
    assert_eq!(effects.last(), Some(&Effect::StartDiagnostics { period: secs(1), view: View::default() }));
    assert!(records(&effects).contains(&&Event::DiagnosticsStarted { grant: GrantId(2), period_ms: 1000 }));
}

#[test]
fn a_grant_narrowed_to_something_else_stops_the_stream() {
    let ceiling = Ceiling::attended().allow(Ability::DiagLogs);
    let first = request(1, &[Ability::DiagBasic, Ability::DiagLogs], 600);
    let mut desk = Desk::with(setup(verified(), ceiling, first));
    subscribe(&mut desk, 1000);
    desk.allow();
    desk.drain();
    desk.session.narrow(GrantId(1), &[Ability::DiagLogs], desk.now);
    let expected = ["StopDiagnostics", "record Narrowed", "send Narrowed", "record DiagnosticsStopped"];
    assert_eq!(desk.done(), expected);
    let first = wire::session::Subject::Request(RequestId(1));
    assert!(desk.session.grants(desk.now).all(|grant| grant.subject == first));
}

#[test]
fn what_is_looked_at_is_remembered_until_the_stream_starts_and_changes_without_a_new_one() {
    let view = View::from(Panels::OVERVIEW);
    let mut desk = Desk::new();
    desk.tell(ToAgent::Look { view });
    subscribe(&mut desk, 1000);
    desk.allow();
    assert_eq!(desk.drain().last(), Some(&Effect::StartDiagnostics { period: secs(1), view }));
    desk.tell(ToAgent::Look { view: View::default() });
    assert_eq!(desk.drain(), [Effect::Look { view: View::default() }]);
    desk.session.revoke(GrantId(1), desk.now);
    desk.drain();
    desk.tell(ToAgent::Look { view });
    assert_eq!(desk.drain(), []);
}

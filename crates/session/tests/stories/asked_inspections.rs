//! Inspections that ask first: the arguments of one process.

use session::{
    agent::Effect,
    technician::{TechnicianEvent, TechnicianProtocolError, TechnicianSession},
};
use wire::{
    diagnostics::inspect::{About, Inspect},
    evidence::Event,
    ids::{GrantId, InspectionId},
    limits,
    session::{Ability, Absence, DenyReason, GrantEnd, GrantNotice, Subject, ToAgent, ToTechnician},
    text::Label,
};

use crate::{
    desk::{Desk, records, sent},
    scene::{START, request, secs},
    technician::{live, refused},
};

const FIRST: InspectionId = InspectionId(1);
const SUBJECT: Subject = Subject::Inspection(FIRST);
/// The grant of single processes.
const PROCESSES: GrantId = GrantId(2);
/// The yes to one reading.
const ONCE: GrantId = GrantId(3);

fn arguments() -> Inspect {
    Inspect::Arguments { pid: 4711, start_ticks: 7 }
}

fn mysqld() -> About {
    About::Process { name: Label::cut("mysqld") }
}

fn ask(desk: &mut Desk, number: u32) {
    desk.tell(ToAgent::Inspect { inspection: InspectionId(number), what: arguments() });
}

fn describe(desk: &mut Desk, number: u32) {
    desk.session.handle_described(InspectionId(number), Ok(mysqld()), desk.now, &mut desk.dice);
}

fn not_inspected(number: u32, reason: DenyReason) -> ToTechnician {
    ToTechnician::NotInspected { inspection: InspectionId(number), reason }
}

/// Single processes may be seen.
fn desk() -> Desk {
    let mut desk = Desk::live();
    desk.tell(ToAgent::Request(request(2, &[Ability::DiagProcess], 600)));
    desk.allow();
    desk.drain();
    desk
}

/// The question is before the person.
fn asked() -> Desk {
    let mut desk = desk();
    ask(&mut desk, 1);
    desk.drain();
    describe(&mut desk, 1);
    desk.drain();
    desk
}

/// The person said yes; nothing was carried out yet.
fn allowed() -> Desk {
    let mut desk = asked();
    desk.allow();
    desk
}

#[test]
fn the_person_is_asked_about_what_the_machine_found_and_reading_is_recorded_before_it_begins() {
    let mut desk = desk();
    ask(&mut desk, 1);
    assert_eq!(desk.drain(), [Effect::Describe { inspection: FIRST, what: arguments() }]);
    describe(&mut desk, 1);
    let effects = desk.drain();
    assert!(matches!(
        records(&effects)[..],
        [Event::AskedForInspection { inspection: FIRST, what, about, .. }]
            if what == "arguments of process 4711" && about == "mysqld"
    ));
    assert_eq!(sent(&effects), [&ToTechnician::Asking { subject: SUBJECT, answer_within_secs: 120 }]);
    assert!(!desk.session.may_inspect(FIRST, desk.now) && !desk.session.begin_inspection(FIRST, desk.now));

    desk.allow();
    let effects = desk.drain();
    let read = Effect::Inspect { inspection: FIRST, what: arguments(), about: Some(mysqld()) };
    assert_eq!(effects.last(), Some(&read));
    assert!(matches!(records(&effects)[..], [Event::Granted { .. }, Event::Inspecting { grant: ONCE, .. }]));

    assert!(desk.session.begin_inspection(FIRST, desk.now));
    assert!(!desk.session.begin_inspection(FIRST, desk.now), "once");
    assert!(desk.session.may_inspect(FIRST, desk.now), "what was read may be sent");
    desk.session.handle_inspected(FIRST, desk.now);
    assert_eq!(desk.done(), ["record GrantEnded", "send GrantEnded"]);
    assert!(!desk.session.may_inspect(FIRST, desk.now));
    assert_eq!(desk.grant_ids(), [GrantId(1), PROCESSES]);
}

#[test]
fn nobody_is_asked_without_the_ability_beside_it() {
    let mut desk = Desk::new();
    desk.drain();
    ask(&mut desk, 1);
    assert_eq!(sent(&desk.drain()), [&not_inspected(1, DenyReason::NotYet)]);
    desk.allow();
    desk.drain();
    ask(&mut desk, 2);
    let effects = desk.drain();
    assert_eq!(sent(&effects), [&not_inspected(2, DenyReason::NotGranted)]);
    assert!(desk.session.prompt().is_none());
}

#[test]
fn what_the_machine_cannot_find_is_not_asked_about() {
    let mut desk = desk();
    ask(&mut desk, 1);
    desk.drain();
    desk.session.handle_described(FIRST, Err(DenyReason::ProcessEnded), desk.now, &mut desk.dice);
    let effects = desk.drain();
    assert_eq!(sent(&effects), [&not_inspected(1, DenyReason::ProcessEnded)]);
    assert!(desk.session.prompt().is_none());
    describe(&mut desk, 1);
    assert!(desk.drain().is_empty(), "it is over");
}

#[test]
fn a_no_and_silence_are_told_and_recorded_and_nothing_is_read() {
    for (silent, reason) in [(false, DenyReason::ByUser), (true, DenyReason::NoAnswer)] {
        let mut desk = asked();
        if silent {
            desk.pass(secs(120));
            desk.session.handle_timeout(desk.now);
        } else {
            desk.deny();
        }
        let effects = desk.drain();
        assert_eq!(sent(&effects), [&not_inspected(1, reason)]);
        assert_eq!(records(&effects), [&Event::Denied { subject: SUBJECT, reason }]);
        ask(&mut desk, 2);
        assert_eq!(sent(&desk.drain()), [&not_inspected(2, DenyReason::TooSoon)], "asking in a loop is in vain");
    }
}

#[test]
fn asking_in_a_loop_ends_in_a_long_pause() {
    let mut desk = asked();
    desk.deny();
    for number in 2..=3 {
        desk.pass(secs(30));
        ask(&mut desk, number);
        describe(&mut desk, number);
        desk.deny();
    }
    desk.drain();
    desk.pass(secs(60));
    ask(&mut desk, 4);
    assert_eq!(sent(&desk.drain()), [&not_inspected(4, DenyReason::TooSoon)]);
    desk.ask(3);
    assert!(matches!(sent(&desk.drain())[..], [ToTechnician::Denied { reason: DenyReason::TooSoon, .. }]));
}

#[test]
fn a_question_that_is_cancelled_goes_away_and_counts_as_a_no() {
    let mut desk = asked();
    desk.tell(ToAgent::CancelInspection { inspection: FIRST });
    assert_eq!(sent(&desk.drain()), [&not_inspected(1, DenyReason::Withdrawn)]);
    assert!(desk.session.prompt().is_none());
    ask(&mut desk, 2);
    assert_eq!(sent(&desk.drain()), [&not_inspected(2, DenyReason::TooSoon)]);
    desk.tell(ToAgent::CancelInspection { inspection: FIRST });
    assert_eq!(desk.done(), Vec::<String>::new(), "the messages crossed");
}

#[test]
fn one_that_is_cancelled_before_it_was_asked_is_never_asked() {
    let mut desk = desk();
    ask(&mut desk, 1);
    desk.drain();
    desk.tell(ToAgent::CancelInspection { inspection: FIRST });
    describe(&mut desk, 1);
    assert_eq!(sent(&desk.drain()), [&not_inspected(1, DenyReason::Withdrawn)]);
    assert!(desk.session.prompt().is_none());
}

#[test]
fn a_revoke_takes_the_question_back() {
    for described in [false, true] {
        let mut desk = desk();
        ask(&mut desk, 1);
        if described {
            describe(&mut desk, 1);
        }
        desk.drain();
        desk.session.revoke(PROCESSES, desk.now);
        assert!(desk.session.prompt().is_none());
        let effects = desk.drain();
        assert!(sent(&effects).contains(&&not_inspected(1, DenyReason::NotGranted)), "{effects:?}");
        assert!(records(&effects).contains(&&Event::Denied { subject: SUBJECT, reason: DenyReason::NotGranted }));
        describe(&mut desk, 1);
        assert!(desk.session.prompt().is_none(), "it is over");
    }
}

#[test]
fn a_question_stays_while_the_person_is_away_and_can_be_answered_when_they_are_back() {
    let mut desk = asked();
    desk.session.absent(Absence::PageClosed, desk.now);
    desk.pass(secs(5));
    desk.session.present(desk.now);
    desk.drain();
    desk.allow();
    assert!(desk.done().contains(&"Inspect".to_owned()));
}

#[test]
fn either_grant_that_is_taken_back_stops_the_reading() {
    for grant in [PROCESSES, ONCE] {
        for begun in [false, true] {
            let mut desk = allowed();
            desk.drain();
            assert!(!begun || desk.session.begin_inspection(FIRST, desk.now));
            desk.session.revoke(grant, desk.now);
            assert!(!desk.session.may_inspect(FIRST, desk.now), "{grant} {begun}");
            assert!(!desk.session.begin_inspection(FIRST, desk.now), "{grant} {begun}");
            let effects = desk.drain();
            assert_eq!(effects.first(), Some(&Effect::StopInspection { inspection: FIRST }));
            assert!(sent(&effects).contains(&&not_inspected(1, DenyReason::NotGranted)));
            assert!(!desk.grant_ids().contains(&ONCE), "the yes is not saved for later");
        }
    }
}

#[test]
fn a_revoke_before_it_was_handed_out_means_that_it_never_is() {
    let mut desk = allowed();
    desk.session.revoke(ONCE, desk.now);
    let effects = desk.drain();
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Inspect { .. } | Effect::StopInspection { .. })));
}

#[test]
fn a_yes_to_one_process_reads_no_other() {
    let mut desk = allowed();
    desk.drain();
    desk.tell(ToAgent::Inspect { inspection: InspectionId(2), what: Inspect::Arguments { pid: 4711, start_ticks: 8 } });
    desk.tell(ToAgent::Inspect { inspection: InspectionId(3), what: Inspect::Arguments { pid: 1, start_ticks: 7 } });
    let described = |effect: &Effect| matches!(effect, Effect::Describe { .. });
    let effects = desk.drain();
    assert!(effects.iter().filter(|effect| described(effect)).count() == 2, "{effects:?}");
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Inspect { .. })), "each is a question of its own");
    for number in [2, 3] {
        assert!(!desk.session.begin_inspection(InspectionId(number), desk.now));
    }
    assert!(desk.session.begin_inspection(FIRST, desk.now));
}

#[test]
fn a_yes_that_comes_to_nothing_is_used_up() {
    let mut desk = allowed();
    desk.drain();
    assert!(desk.session.begin_inspection(FIRST, desk.now));
    desk.session.handle_not_inspected(FIRST, DenyReason::ProcessChanged, desk.now);
    let effects = desk.drain();
    let used = ToTechnician::GrantEnded { grant: ONCE, reason: GrantEnd::Used };
    assert_eq!(sent(&effects), [&not_inspected(1, DenyReason::ProcessChanged), &used]);
    ask(&mut desk, 2);
    assert!(matches!(desk.drain()[..], [Effect::Describe { .. }]), "the person is asked anew");
}

#[test]
fn a_reading_that_nobody_begins_lapses() {
    let mut desk = allowed();
    desk.drain();
    desk.pass(secs(30));
    assert!(!desk.session.begin_inspection(FIRST, desk.now));
    desk.session.handle_timeout(desk.now);
    assert!(desk.done().contains(&"StopInspection".to_owned()));
}

#[test]
fn the_end_takes_the_question_and_the_reading_with_it() {
    let mut desk = asked();
    desk.session.stop_by_user(desk.now);
    assert!(desk.session.prompt().is_none());
    assert!(!desk.done().iter().any(|done| done.contains("Inspect")), "nobody is told twice");

    let mut desk = allowed();
    desk.drain();
    desk.session.stop_by_user(desk.now);
    assert_eq!(desk.done().first().map(String::as_str), Some("StopInspection"));
    assert!(!desk.session.begin_inspection(FIRST, desk.now));
}

#[test]
fn questions_count_among_the_inspections_that_are_under_way() {
    let mut desk = desk();
    let most = u32::try_from(limits::INSPECTIONS_AT_ONCE).unwrap();
    for number in 1..=most + 1 {
        ask(&mut desk, number);
    }
    assert_eq!(sent(&desk.drain()), [&not_inspected(most + 1, DenyReason::TooMany)]);
}

fn notice(subject: Subject, abilities: &[Ability], stay_secs: u32) -> ToTechnician {
    ToTechnician::Granted(GrantNotice { grant: GrantId(2), subject, abilities: abilities.to_vec(), stay_secs })
}

fn asking_technician() -> TechnicianSession {
    let mut session = live();
    assert_eq!(session.inspect(arguments(), START), Ok(FIRST));
    session
}

#[test]
fn a_technician_follows_the_question() {
    let mut session = asking_technician();
    assert_eq!(session.pending().map(|pending| pending.subject).collect::<Vec<_>>(), [SUBJECT]);
    let asking = ToTechnician::Asking { subject: SUBJECT, answer_within_secs: 60 };
    session.handle_message(asking.clone(), START).unwrap();
    assert_eq!(session.pending().next().and_then(|pending| pending.answer_by), Some(START + secs(60)));
    session.handle_message(notice(SUBJECT, &[Ability::DiagArguments], 90), START).unwrap();
    assert_eq!(session.pending().count(), 0);
    session.open_inspection(FIRST).unwrap();
    session.finish_inspection(FIRST);
    refused(&mut session, asking, TechnicianProtocolError::NotAsked { subject: SUBJECT });
}

#[test]
fn an_answer_may_overtake_the_message_that_it_was_allowed() {
    let mut session = asking_technician();
    session.open_inspection(FIRST).unwrap();
    session.finish_inspection(FIRST);
    assert_eq!(session.pending().count(), 0);
    session.handle_message(ToTechnician::Asking { subject: SUBJECT, answer_within_secs: 60 }, START).unwrap();
    session.handle_message(notice(SUBJECT, &[Ability::DiagArguments], 90), START).unwrap();
    let again = notice(SUBJECT, &[Ability::DiagArguments], 90);
    assert!(session.handle_message(again, START).is_err(), "it is over");
}

#[test]
fn an_agent_that_answers_a_question_otherwise_is_refused() {
    let not_asked = TechnicianProtocolError::NotAsked { subject: SUBJECT };
    let beyond = TechnicianProtocolError::BeyondRequest { grant: GrantId(2) };
    let denied = ToTechnician::Denied { subject: SUBJECT, reason: DenyReason::ByUser };
    refused(&mut asking_technician(), denied, not_asked);
    refused(&mut live(), notice(SUBJECT, &[Ability::DiagArguments], 60), not_asked);
    refused(&mut asking_technician(), notice(SUBJECT, &[Ability::DiagProcess], 60), beyond);
    refused(&mut asking_technician(), notice(SUBJECT, &[Ability::DiagArguments], 121), beyond);
    let mut freely = live();
    freely.inspect(Inspect::Report, START).unwrap();
    let asking = ToTechnician::Asking { subject: SUBJECT, answer_within_secs: 60 };
    refused(&mut freely, asking, not_asked);

    let mut session = asking_technician();
    session.handle_message(not_inspected(1, DenyReason::ByUser), START).unwrap();
    let told = TechnicianEvent::NotInspected { inspection: FIRST, reason: DenyReason::ByUser };
    assert_eq!(session.poll_event(), Some(told));
    refused(&mut session, notice(SUBJECT, &[Ability::DiagArguments], 60), not_asked);
}

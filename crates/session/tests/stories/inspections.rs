//! Inspections: what is read once, under which grant, and when no longer.

use std::time::Duration;

use session::{
    agent::Effect,
    technician::{CommandError, TechnicianEvent, TechnicianProtocolError},
};
use wire::{
    diagnostics::{
        inspect::{HistoryQuery, Inspect, MAX_PATTERNS},
        report::SectionId,
        sections::probes::{ProbeRequest, Target},
    },
    ids::{GrantId, InspectionId},
    limits,
    session::{Ability, Absence, DenyReason, EndReason, GrantEnd, ToAgent, ToTechnician},
    text::Label,
    time::WallTime,
};

use crate::{
    desk::{Desk, sent},
    scene::{START, request, secs},
    technician::{live, refused},
};

const FIRST: InspectionId = InspectionId(1);

fn inspect(desk: &mut Desk, number: u32, what: Inspect) {
    desk.tell(ToAgent::Inspect { inspection: InspectionId(number), what });
}

fn storage() -> Inspect {
    Inspect::Section(SectionId::Storage)
}

fn not_inspected(number: u32, reason: DenyReason) -> ToTechnician {
    ToTechnician::NotInspected { inspection: InspectionId(number), reason }
}

/// Under way, everything carried out.
fn inspecting() -> Desk {
    let mut desk = Desk::live();
    inspect(&mut desk, 1, storage());
    desk.drain();
    desk
}

#[test]
fn an_inspection_is_recorded_before_anything_is_read() {
    let mut desk = Desk::live();
    inspect(&mut desk, 1, storage());
    assert_eq!(desk.done(), ["record Inspecting", "Inspect"]);
    assert!(desk.session.may_inspect(FIRST, desk.now));
    desk.session.handle_inspected(FIRST, desk.now);
    assert!(!desk.session.may_inspect(FIRST, desk.now), "it is over");
    assert_eq!(desk.done(), Vec::<String>::new());
}

#[test]
fn each_kind_needs_its_own_ability() {
    for (what, ability) in [
        (Inspect::Section(SectionId::Logs), Ability::DiagLogs),
        (Inspect::Section(SectionId::Network), Ability::DiagNetwork),
        (Inspect::Process { pid: 1, start_ticks: None }, Ability::DiagProcess),
    ] {
        let mut desk = Desk::live();
        inspect(&mut desk, 1, what.clone());
        assert_eq!(sent(&desk.drain()), [&not_inspected(1, DenyReason::NotGranted)], "{what:?}");
        desk.tell(ToAgent::Request(request(2, &[ability], 600)));
        desk.allow();
        desk.drain();
        inspect(&mut desk, 2, what);
        assert_eq!(desk.done(), ["record Inspecting", "Inspect"]);
    }
}

fn ping() -> Inspect {
    Inspect::Probe(ProbeRequest::Echo(Target::Gateway))
}

/// With that ability granted besides, by a grant of its own.
fn granted(ability: Ability) -> Desk {
    let mut desk = Desk::live();
    desk.tell(ToAgent::Request(request(2, &[ability], 600)));
    desk.allow();
    desk.drain();
    desk
}

#[test]
fn probes_are_allowed_with_the_network_and_load_by_itself() {
    let mut desk = granted(Ability::DiagNetwork);
    inspect(&mut desk, 1, ping());
    assert_eq!(desk.done(), ["record Inspecting", "Inspect"]);
    inspect(&mut desk, 2, Inspect::Probe(ProbeRequest::Load));
    assert_eq!(sent(&desk.drain()), [&not_inspected(2, DenyReason::NotGranted)]);
    let mut desk = granted(Ability::DiagLoad);
    inspect(&mut desk, 1, ping());
    assert_eq!(sent(&desk.drain()), [&not_inspected(1, DenyReason::NotGranted)]);
    inspect(&mut desk, 2, Inspect::Probe(ProbeRequest::Load));
    assert_eq!(desk.done(), ["record Inspecting", "Inspect"]);
}

#[test]
fn probes_come_a_few_at_a_time_and_then_slowly() {
    let mut desk = granted(Ability::DiagNetwork);
    let mut refused = None;
    for number in 1..=100 {
        inspect(&mut desk, number, ping());
        match sent(&desk.drain()).first() {
            None => desk.session.handle_inspected(InspectionId(number), desk.now),
            Some(message) => {
                refused = Some((number, (*message).clone()));
                break;
            }
        }
        desk.drain();
        // Not so fast that it is a breach of the protocol.
        desk.pass(Duration::from_millis(125));
    }
    assert_eq!(refused, Some((17, not_inspected(17, DenyReason::TooOften))));
    inspect(&mut desk, 18, storage());
    assert_eq!(desk.done(), ["record Inspecting", "Inspect"], "what asks nobody else goes on");
    desk.pass(secs(10));
    inspect(&mut desk, 19, ping());
    assert_eq!(desk.done(), ["record Inspecting", "Inspect"]);
}

#[test]
fn a_probe_of_nothing_is_malformed() {
    let mut desk = granted(Ability::DiagNetwork);
    inspect(&mut desk, 1, Inspect::Probe(ProbeRequest::Handshake(Target::Host(Label::default()))));
    assert_eq!(sent(&desk.drain()), [&not_inspected(1, DenyReason::Malformed)]);
}

#[test]
fn a_yes_to_load_is_for_one_use() {
    let load = || Inspect::Probe(ProbeRequest::Load);
    for ends in [
        |desk: &mut Desk| desk.session.handle_inspected(FIRST, desk.now),
        |desk: &mut Desk| desk.session.handle_not_inspected(FIRST, DenyReason::InspectionFailed, desk.now),
        |desk: &mut Desk| desk.tell(ToAgent::CancelInspection { inspection: FIRST }),
    ] {
        let mut desk = granted(Ability::DiagLoad);
        inspect(&mut desk, 1, load());
        desk.drain();
        inspect(&mut desk, 2, load());
        assert_eq!(sent(&desk.drain()), [&not_inspected(2, DenyReason::TooMany)], "one at a time");
        ends(&mut desk);
        let ended = ToTechnician::GrantEnded { grant: GrantId(2), reason: GrantEnd::Used };
        assert!(sent(&desk.drain()).contains(&&ended));
        inspect(&mut desk, 3, load());
        assert_eq!(sent(&desk.drain()), [&not_inspected(3, DenyReason::NotGranted)]);
        assert!(desk.session.allows(Ability::DiagBasic, desk.now));
    }
    let mut desk = Desk::live();
    desk.tell(ToAgent::Request(request(2, &[Ability::DiagLoad, Ability::DiagNetwork], 600)));
    desk.allow();
    desk.drain();
    inspect(&mut desk, 1, load());
    desk.drain();
    desk.session.handle_inspected(FIRST, desk.now);
    assert_eq!(desk.done(), ["record Narrowed", "send Narrowed"], "what else was allowed stays");
    assert!(desk.session.allows(Ability::DiagNetwork, desk.now) && !desk.session.allows(Ability::DiagLoad, desk.now));
}

#[test]
fn a_technician_takes_load_that_it_asked_for_and_takes_it_once() {
    let unknown = |inspection| TechnicianProtocolError::UnknownLoad { inspection };
    let mut session = live();
    let inspection = session.inspect(Inspect::Probe(ProbeRequest::Load), START).unwrap();
    assert_eq!(session.open_load(inspection), Ok(true));
    assert_eq!(session.open_load(inspection), Err(unknown(inspection)));
    assert_eq!(session.end_reason(), Some(EndReason::Protocol));

    let mut session = live();
    let inspection = session.inspect(ping(), START).unwrap();
    assert_eq!(session.open_load(inspection), Err(unknown(inspection)));

    let mut session = live();
    let inspection = session.inspect(Inspect::Probe(ProbeRequest::Load), START).unwrap();
    session.finish_inspection(inspection);
    assert_eq!(session.open_load(inspection), Ok(false), "it comes after the refusal that broke it off");
    assert_eq!(session.open_load(InspectionId(2)), Err(unknown(InspectionId(2))));
}

#[test]
fn nothing_is_read_before_the_first_answer_nor_while_the_person_is_away() {
    let mut desk = Desk::new();
    desk.drain();
    inspect(&mut desk, 1, storage());
    assert_eq!(sent(&desk.drain()), [&not_inspected(1, DenyReason::NotYet)]);
    desk.allow();
    desk.session.absent(Absence::PageClosed, desk.now);
    desk.drain();
    inspect(&mut desk, 2, storage());
    assert_eq!(sent(&desk.drain()), [&not_inspected(2, DenyReason::Away)]);
}

#[test]
fn a_revoke_stops_what_is_being_read_before_its_record() {
    let mut desk = inspecting();
    desk.session.revoke(GrantId(1), desk.now);
    assert!(!desk.session.may_inspect(FIRST, desk.now));
    let done = desk.done();
    assert_eq!(done.first().map(String::as_str), Some("StopInspection"));
    assert!(done.contains(&"record InspectionStopped".to_owned()) && done.contains(&"send NotInspected".to_owned()));
}

#[test]
fn one_that_was_not_handed_out_yet_is_never_handed_out_after_a_revoke() {
    let mut desk = Desk::live();
    inspect(&mut desk, 1, storage());
    desk.session.revoke(GrantId(1), desk.now);
    assert!(
        !desk.drain().iter().any(|effect| matches!(effect, Effect::Inspect { .. } | Effect::StopInspection { .. }))
    );
}

#[test]
fn an_answer_may_not_be_sent_from_the_deadline_on() {
    let desk = inspecting();
    let deadline = desk.session.grants(desk.now).next().unwrap().stay_until;
    assert!(!desk.session.may_inspect(FIRST, deadline));
    assert!(!desk.session.allows(Ability::DiagBasic, deadline));
}

#[test]
fn the_end_stops_every_inspection() {
    let mut desk = inspecting();
    desk.session.stop_by_user(desk.now);
    assert_eq!(desk.done().first().map(String::as_str), Some("StopInspection"));
    assert!(!desk.session.may_inspect(FIRST, desk.now));
}

#[test]
fn only_so_many_are_under_way_at_once() {
    let mut desk = Desk::live();
    let most = u32::try_from(limits::INSPECTIONS_AT_ONCE).unwrap();
    for number in 1..=most + 1 {
        inspect(&mut desk, number, storage());
    }
    assert_eq!(sent(&desk.drain()), [&not_inspected(most + 1, DenyReason::TooMany)]);
    desk.session.handle_not_inspected(FIRST, DenyReason::InspectionFailed, desk.now);
    assert_eq!(sent(&desk.drain()), [&not_inspected(1, DenyReason::InspectionFailed)]);
    inspect(&mut desk, most + 2, storage());
    assert_eq!(desk.done(), ["record Inspecting", "Inspect"]);
}

#[test]
fn a_cancelled_inspection_is_stopped_once() {
    let mut desk = inspecting();
    desk.tell(ToAgent::CancelInspection { inspection: FIRST });
    assert_eq!(desk.done(), ["StopInspection", "record InspectionStopped", "send NotInspected"]);
    desk.tell(ToAgent::CancelInspection { inspection: FIRST });
    assert_eq!(desk.done(), Vec::<String>::new(), "the messages crossed");
}

#[test]
fn numbers_are_used_once_and_bounds_are_kept() {
    let query = |figures: usize, from, to, step_secs| {
        let figures = vec![Label::cut("cpu.*"); figures];
        Inspect::History(HistoryQuery { from: WallTime(from), to: WallTime(to), step_secs, figures })
    };
    for unsound in [query(MAX_PATTERNS + 1, 0, 1, 1), query(0, 2, 1, 1), query(0, 0, 1, 0)] {
        let mut desk = Desk::live();
        inspect(&mut desk, 1, unsound);
        assert_eq!(sent(&desk.drain()), [&not_inspected(1, DenyReason::Malformed)]);
    }
    let mut desk = inspecting();
    inspect(&mut desk, 1, storage());
    assert!(desk.done().contains(&"record Violation".to_owned()));

    let mut desk = inspecting();
    desk.tell(ToAgent::CancelInspection { inspection: InspectionId(2) });
    assert!(desk.done().contains(&"record Violation".to_owned()));
}

#[test]
fn a_technician_follows_what_it_asked_for() {
    let mut session = live();
    let inspection = session.inspect(storage(), START).unwrap();
    assert_eq!(session.poll_transmit(), Some(ToAgent::Inspect { inspection, what: storage() }));
    session.open_inspection(inspection).unwrap();
    session.handle_message(not_inspected(1, DenyReason::NotGranted), START).unwrap();
    let told = TechnicianEvent::NotInspected { inspection, reason: DenyReason::NotGranted };
    assert_eq!(session.poll_event(), Some(told));
    // Streams and messages are not ordered: the stream that was broken off may come later.
    session.open_inspection(inspection).unwrap();
    session.cancel_inspection(inspection);
    assert_eq!(session.poll_transmit(), None, "it is over");

    for _ in 0..limits::INSPECTIONS_AT_ONCE {
        session.inspect(storage(), START).unwrap();
    }
    assert_eq!(session.inspect(storage(), START), Err(CommandError::TooMany));
    session.finish_inspection(InspectionId(2));
    assert!(session.inspect(storage(), START).is_ok());
    session.close(EndReason::ConnectionLost);
    assert_eq!(session.inspect(storage(), START), Err(CommandError::Over));
}

#[test]
fn commands_that_ask_without_a_pause_are_slowed_down_before_the_agent_takes_it_for_a_flood() {
    let mut desk = Desk::live();
    let mut session = live();
    let (mut asked, mut slowed) = (0_u32, 0_u32);
    // Many commands that follow the log, all at once, for five minutes.
    for _ in 0..3000 {
        desk.pass(Duration::from_millis(100));
        match session.inspect(storage(), desk.now) {
            Ok(inspection) => {
                asked += 1;
                while let Some(message) = session.poll_transmit() {
                    desk.tell(message);
                }
                desk.drain();
                desk.session.handle_inspected(inspection, desk.now);
                session.finish_inspection(inspection);
            }
            Err(error) => {
                assert_eq!(error, CommandError::TooFast);
                slowed += 1;
            }
        }
    }
    assert!(slowed > 0 && asked > 300 * 4, "{asked} asked, {slowed} slowed down");
    assert_eq!(desk.session.end_reason(), None, "the agent goes on");
}

#[test]
fn an_agent_that_answers_what_nobody_asked_is_refused() {
    let unknown = |number| TechnicianProtocolError::UnknownInspection { inspection: InspectionId(number) };
    refused(&mut live(), not_inspected(1, DenyReason::NotGranted), unknown(1));
    refused(&mut live(), not_inspected(0, DenyReason::NotGranted), unknown(0));
    let mut session = live();
    assert_eq!(session.open_inspection(InspectionId(1)), Err(unknown(1)));
    assert_eq!(session.end_reason(), Some(EndReason::Protocol));

    let mut session = live();
    let inspection = session.inspect(storage(), START).unwrap();
    session.open_inspection(inspection).unwrap();
    assert_eq!(session.open_inspection(inspection), Err(TechnicianProtocolError::InspectionTwice { inspection }));
}

#[test]
fn a_grant_that_lapses_ends_what_it_covered() {
    let mut desk = inspecting();
    desk.pass(secs(3600));
    desk.session.handle_timeout(desk.now);
    assert!(desk.done().contains(&"StopInspection".to_owned()));
}

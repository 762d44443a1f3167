//! How a session ends.

use session::agent::{END_GRACE, Effect, Phase};
use wire::{
    evidence::Event,
    ids::{GrantId, RunId},
    run::RunOutcome,
    session::{Absence, EndReason, GrantEnd, ToAgent, ToTechnician},
};

use crate::{
    desk::{Desk, proposal, records},
    scene::{START, exact_run, no, secs, yes},
};

fn streaming_and_running() -> Desk {
    let (mut desk, _) = Desk::running();
    desk.tell(ToAgent::Subscribe { period_ms: 1000 });
    desk.drain();
    desk
}

#[test]
fn stop_kills_everything_first_and_says_so_last() {
    let mut desk = streaming_and_running();
    desk.ask(2);
    desk.session.stop_by_user(desk.now);
    let expected = [
        "KillRun",
        "StopDiagnostics",
        "record AskedForAbilities",
        "send Asking",
        "record GrantEnded",
        "send GrantEnded",
        "record GrantEnded",
        "send GrantEnded",
        "record RunStopping",
        "record DiagnosticsStopped",
    ];
    assert_eq!(desk.done(), expected);
    assert_eq!(desk.session.phase(), Phase::Ending(EndReason::ByUser));
    assert_eq!(desk.session.end_reason(), None, "the killed program is waited for");

    desk.finish(1, RunOutcome::Revoked);
    let expected = ["record RunFinished", "send RunFinished", "record Ended", "send Ended", "Ended"];
    assert_eq!(desk.done(), expected);
    assert_eq!(desk.session.end_reason(), Some(EndReason::ByUser));
    assert_eq!(desk.session.phase(), Phase::Ended(EndReason::ByUser));
}

#[test]
fn a_stop_revokes_and_any_other_end_ends_the_grants() {
    for (reason, grant_end) in [
        (EndReason::ByUser, GrantEnd::Revoked),
        (EndReason::ConnectionLost, GrantEnd::SessionEnded),
        (EndReason::Shutdown, GrantEnd::SessionEnded),
    ] {
        let mut desk = Desk::live();
        desk.session.end(reason, desk.now);
        let effects = desk.drain();
        let ended = Event::GrantEnded { grant: GrantId(1), reason: grant_end };
        assert_eq!(records(&effects), [&ended, &Event::Ended { reason }]);
        assert_eq!(effects.last(), Some(&Effect::Ended(reason)));
    }
}

#[test]
fn a_program_that_nobody_reports_is_recorded_as_lost_after_the_grace() {
    let mut desk = streaming_and_running();
    desk.session.stop_by_user(desk.now);
    desk.drain();
    assert_eq!(desk.session.poll_timeout(), Some(desk.now + END_GRACE));
    desk.pass(END_GRACE);
    desk.session.handle_timeout(desk.now);
    let effects = desk.drain();
    let [Event::RunFinished { outcome: RunOutcome::Lost, .. }, Event::Ended { .. }] = records(&effects)[..] else {
        panic!("{effects:?}");
    };
    assert_eq!(effects.last(), Some(&Effect::Ended(EndReason::ByUser)));
    assert_eq!(desk.session.poll_timeout(), None);
}

#[test]
fn nothing_comes_after_the_end() {
    let mut desk = streaming_and_running();
    desk.session.stop_by_user(desk.now);
    desk.finish(1, RunOutcome::Revoked);
    assert_eq!(desk.drain().last(), Some(&Effect::Ended(EndReason::ByUser)));

    desk.tell(ToAgent::Subscribe { period_ms: 500 });
    desk.ask(9);
    desk.tell(ToAgent::CancelRun { run: RunId(77) });
    desk.finish(1, RunOutcome::Lost);
    desk.session.handle_run_started(RunId(1), desk.now);
    desk.resolve(exact_run(1));
    desk.session.absent(Absence::PageClosed, desk.now);
    desk.session.present(desk.now);
    desk.session.revoke(GrantId(1), desk.now);
    desk.session.stop_by_user(desk.now);
    desk.session.violation("late", desk.now);
    desk.session.end(EndReason::AuditFailed, desk.now);
    desk.pass(secs(100_000));
    desk.session.handle_timeout(desk.now);
    assert_eq!(desk.session.poll_effect(), None);
    assert_eq!(desk.session.end_reason(), Some(EndReason::ByUser));
}

#[test]
fn nothing_can_be_allowed_while_the_session_ends() {
    let mut desk = streaming_and_running();
    desk.ask(2);
    let prompt = desk.unlock();
    desk.session.stop_by_user(desk.now);
    assert!(desk.session.handle_answer(&yes(&prompt), desk.now).is_err());
    assert!(desk.session.handle_answer(&no(prompt.id, prompt.digest), desk.now).is_err());
    assert!(!desk.session.may_send_sample(desk.now));
    assert_eq!(desk.grant_ids(), []);
}

#[test]
fn an_approved_run_that_was_not_handed_out_never_starts_after_a_stop() {
    let mut desk = Desk::live();
    desk.approve(1);
    desk.session.stop_by_user(desk.now);
    let effects = desk.drain();
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::StartRun { .. })));
    assert_eq!(effects.last(), Some(&Effect::Ended(EndReason::ByUser)), "there is nothing to wait for");
}

#[test]
fn nothing_is_looked_up_any_more_after_a_stop() {
    let mut desk = Desk::live();
    desk.tell(ToAgent::ProposeRun(proposal(1)));
    desk.session.stop_by_user(desk.now);
    assert!(!desk.drain().iter().any(|effect| matches!(effect, Effect::Resolve(_))));
}

#[test]
fn without_a_log_everything_is_killed_and_nothing_is_recorded_or_told() {
    let mut desk = streaming_and_running();
    desk.ask(2);
    desk.propose(2);
    desk.session.end(EndReason::AuditFailed, desk.now);
    let reason = EndReason::AuditFailed;
    let killed = Effect::KillRun { run: RunId(1), why: RunOutcome::Revoked };
    let ended = Effect::Send(ToTechnician::Ended { reason });
    assert_eq!(desk.drain(), [killed, Effect::StopDiagnostics, ended, Effect::Ended(reason)]);
}

#[test]
fn a_log_that_fails_while_the_session_ends_ends_it_at_once() {
    let mut desk = streaming_and_running();
    desk.session.stop_by_user(desk.now);
    assert!(matches!(desk.session.poll_effect(), Some(Effect::KillRun { .. })));
    desk.session.end(EndReason::AuditFailed, desk.now);
    let reason = EndReason::AuditFailed;
    let ended = Effect::Send(ToTechnician::Ended { reason });
    assert_eq!(desk.drain(), [Effect::StopDiagnostics, ended, Effect::Ended(reason)]);
}

#[test]
fn the_technician_can_leave() {
    let mut desk = Desk::live();
    desk.tell(ToAgent::End);
    assert_eq!(desk.session.end_reason(), Some(EndReason::ByTechnician));
    assert_eq!(desk.done(), ["record GrantEnded", "send GrantEnded", "record Ended", "send Ended", "Ended"]);
}

#[test]
fn a_person_who_stays_away_ends_the_session() {
    let mut desk = streaming_and_running();
    desk.session.absent(Absence::PageClosed, desk.now);
    desk.finish(1, RunOutcome::Revoked);
    desk.drain();
    let until = desk.now + secs(60);
    assert_eq!(desk.session.phase(), Phase::Paused { until });
    assert_eq!(desk.session.poll_timeout(), Some(until));
    desk.session.handle_timeout(until);
    assert_eq!(desk.session.end_reason(), Some(EndReason::UserAway));
    assert_eq!(desk.done(), ["record GrantEnded", "send GrantEnded", "record Ended", "send Ended", "Ended"]);
}

#[test]
fn the_longest_session_is_over_after_four_hours() {
    let (mut desk, _) = Desk::running();
    desk.now = START + secs(4 * 3600);
    desk.tell(ToAgent::Subscribe { period_ms: 1000 });
    assert_eq!(desk.session.phase(), Phase::Ending(EndReason::TimeOver));
    assert_eq!(desk.drain().first(), Some(&Effect::KillRun { run: RunId(1), why: RunOutcome::Revoked }));
    desk.pass(END_GRACE);
    desk.session.handle_timeout(desk.now);
    assert_eq!(desk.drain().last(), Some(&Effect::Ended(EndReason::TimeOver)));
}

#[test]
fn a_stop_is_there_for_a_shell_that_still_waits_for_a_record() {
    let mut desk = streaming_and_running();
    desk.ask(2);
    assert!(matches!(desk.session.poll_effect(), Some(Effect::Record(_))), "the shell writes this now");
    desk.session.stop_by_user(desk.now);
    assert!(matches!(desk.session.poll_stop(), Some(Effect::KillRun { .. })));
    assert_eq!(desk.session.poll_stop(), Some(Effect::StopDiagnostics));
    assert_eq!(desk.session.poll_stop(), None);
    assert_eq!(desk.done().first().map(String::as_str), Some("send Asking"));
}

#[test]
fn regression_a_log_that_fails_on_the_last_records_takes_back_what_was_queued_behind_them() {
    let mut desk = Desk::live();
    desk.session.stop_by_user(desk.now);
    assert_eq!(desk.session.end_reason(), Some(EndReason::ByUser));
    assert!(matches!(desk.session.poll_effect(), Some(Effect::Record(_))), "this cannot be written");
    desk.session.end(EndReason::AuditFailed, desk.now);
    let reason = EndReason::AuditFailed;
    assert_eq!(desk.drain(), [Effect::Send(ToTechnician::Ended { reason }), Effect::Ended(reason)]);
    assert_eq!(desk.session.end_reason(), Some(reason));
}

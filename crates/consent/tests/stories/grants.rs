//! What a grant covers, and for how long.

use std::time::Duration;

use consent::{Act, Ceiling, ConsentEvent, Policy};
use wire::{
    ids::{Digest, GrantId},
    session::{Ability, EndReason, GrantEnd},
};

use crate::scene::{START, Scene, secs, verified};

fn digest_of_shown_run(scene: &Scene) -> Digest {
    scene.prompt().run().expect("the open question is about a run").digest
}

#[test]
fn a_grant_covers_nothing_from_its_deadline_on_though_nobody_told_it_the_time() {
    let mut scene = Scene::usual();
    scene.try_ask(&[Ability::DiagBasic], 60).unwrap();
    let grant = scene.allow();
    let given = scene.now;
    let just_before = given + (secs(60) - Duration::from_nanos(1));
    assert_eq!(scene.consent.covering(&Act::Diagnostics, just_before), Some(grant));
    assert!(scene.consent.is_live(grant, just_before));
    assert_eq!(scene.consent.covering(&Act::Diagnostics, given + secs(60)), None);
    assert!(!scene.consent.is_live(grant, given + secs(60)));
    assert_eq!(scene.consent.grants(given + secs(60)).count(), 0);

    scene.events();
    assert_eq!(scene.consent.poll_timeout(), Some(given + secs(60)));
    scene.consent.handle_timeout(given + secs(60));
    assert_eq!(scene.events(), [ConsentEvent::GrantEnded { grant, reason: GrantEnd::Lapsed }]);
}

#[test]
fn a_machine_that_slept_wakes_up_with_what_lapsed_meanwhile_gone() {
    let mut scene = Scene::usual();
    scene.try_ask(&[Ability::DiagBasic], 600).unwrap();
    scene.allow();
    scene.ask_run();
    scene.events();

    scene.pass(secs(3 * 3600));
    assert_eq!(scene.consent.covering(&Act::Diagnostics, scene.now), None);
    scene.consent.handle_timeout(scene.now);
    assert_eq!(scene.happened(), ["grant ended", "denied"]);
}

#[test]
fn a_clock_that_steps_back_brings_nothing_to_life() {
    let mut scene = Scene::usual();
    scene.try_ask(&[Ability::DiagBasic], 60).unwrap();
    let grant = scene.allow();
    let given = scene.now;
    scene.consent.handle_timeout(given + secs(59));
    assert_eq!(scene.consent.covering(&Act::Diagnostics, given), Some(grant));
    scene.consent.handle_timeout(given + secs(119));
    scene.consent.handle_timeout(given);
    assert_eq!(scene.consent.covering(&Act::Diagnostics, given), None);
    assert_eq!(scene.consent.grants(given).count(), 0);
}

#[test]
fn a_grant_lasts_no_longer_than_asked_allowed_or_the_session() {
    let mut scene = Scene::everything(verified());
    scene.try_ask(&[Ability::DiagBasic, Ability::DiagLogs], 7200).unwrap();
    scene.allow();
    let stay = scene.consent.grants(scene.now).next().unwrap().remaining(scene.now);
    assert_eq!(stay, secs(30 * 60), "log lines are granted for half an hour at most");

    let mut scene = Scene::usual();
    scene.try_ask(&[Ability::DiagBasic], u32::MAX).unwrap();
    scene.allow();
    let grant = scene.consent.grants(scene.now).next().unwrap();
    assert_eq!(grant.stay_until, START + secs(4 * 3600));
}

#[test]
fn nothing_outlives_the_longest_session() {
    let ceiling = Ceiling::attended().with_longest_session(secs(300)).unwrap();
    let mut scene = Scene::with(verified(), ceiling, Policy::ask()).live();
    scene.pass(secs(280));
    scene.ask_run();
    let digest = digest_of_shown_run(&scene);
    scene.allow();
    assert!(scene.consent.covering(&Act::Run(digest), scene.now).is_some());
    scene.events();

    let end = START + secs(300);
    assert_eq!(scene.consent.covering(&Act::Diagnostics, end), None);
    assert_eq!(scene.consent.covering(&Act::Run(digest), end), None);
    assert_eq!(scene.consent.poll_timeout(), Some(end));
    scene.consent.handle_timeout(end);
    assert_eq!(scene.events().last(), Some(&ConsentEvent::Over(EndReason::TimeOver)));
    assert_eq!(scene.consent.poll_timeout(), None);
    assert!(scene.try_ask_run().is_err());
}

#[test]
fn a_grant_for_a_run_covers_exactly_that_run() {
    let mut scene = Scene::usual().live();
    scene.ask_run();
    let digest = digest_of_shown_run(&scene);
    let grant = scene.allow();
    assert_eq!(scene.consent.covering(&Act::Run(digest), scene.now), Some(grant));
    for byte in 0..32 {
        let mut other = digest;
        other.0[byte] ^= 1;
        assert_eq!(scene.consent.covering(&Act::Run(other), scene.now), None);
        assert!(!scene.consent.begin(grant, &Act::Run(other), scene.now));
    }
    assert!(
        !scene.consent.begin(GrantId(1), &Act::Run(digest), scene.now),
        "the grant for diagnostics is no grant for a run"
    );
}

#[test]
fn a_grant_for_a_run_is_for_one_use() {
    let mut scene = Scene::usual().live();
    scene.ask_run();
    let digest = digest_of_shown_run(&scene);
    let grant = scene.allow();
    scene.events();
    assert!(scene.consent.begin(grant, &Act::Run(digest), scene.now));
    assert!(!scene.consent.begin(grant, &Act::Run(digest), scene.now));
    assert_eq!(scene.consent.covering(&Act::Run(digest), scene.now), None);
    assert!(scene.consent.is_live(grant, scene.now));

    scene.consent.finish(grant, scene.now);
    assert!(!scene.consent.is_live(grant, scene.now));
    assert_eq!(scene.events(), [ConsentEvent::GrantEnded { grant, reason: GrantEnd::Used }]);
}

#[test]
fn an_approved_run_must_begin_within_thirty_seconds() {
    let mut scene = Scene::usual().live();
    scene.ask_run();
    let digest = digest_of_shown_run(&scene);
    let grant = scene.allow();
    scene.events();
    scene.pass(secs(30));
    assert_eq!(scene.consent.covering(&Act::Run(digest), scene.now), None);
    assert!(!scene.consent.begin(grant, &Act::Run(digest), scene.now));
    assert_eq!(scene.events(), [ConsentEvent::GrantEnded { grant, reason: GrantEnd::Lapsed }]);
}

#[test]
fn a_run_that_began_is_covered_a_little_longer_than_its_own_limit() {
    let mut scene = Scene::usual().live();
    scene.ask_run();
    let digest = digest_of_shown_run(&scene);
    let grant = scene.allow();
    scene.pass(secs(29));
    assert!(scene.consent.begin(grant, &Act::Run(digest), scene.now));
    let limit = scene.now + secs(60);
    assert!(scene.consent.is_live(grant, limit), "the time limit ends the run, and not the grant");
    assert!(!scene.consent.is_live(grant, limit + secs(11)));
}

#[test]
fn a_revoked_grant_covers_nothing_at_once() {
    let mut scene = Scene::usual().live();
    assert!(scene.consent.revoke(GrantId(1), scene.now));
    assert_eq!(scene.consent.covering(&Act::Diagnostics, scene.now), None);
    assert_eq!(scene.events(), [ConsentEvent::GrantEnded { grant: GrantId(1), reason: GrantEnd::Revoked }]);
    assert!(!scene.consent.revoke(GrantId(1), scene.now));
}

#[test]
fn revoking_everything_leaves_nothing() {
    let mut scene = Scene::usual().live();
    scene.ask_run();
    let digest = digest_of_shown_run(&scene);
    scene.allow();
    scene.consent.revoke_all(scene.now);
    assert_eq!(scene.consent.covering(&Act::Diagnostics, scene.now), None);
    assert_eq!(scene.consent.covering(&Act::Run(digest), scene.now), None);
    assert_eq!(scene.consent.grants(scene.now).count(), 0);
}

#[test]
fn a_narrowed_grant_keeps_only_what_was_granted_and_is_to_be_kept() {
    let mut scene = Scene::everything(verified());
    scene.ask(&[Ability::DiagBasic, Ability::DiagLogs]);
    let grant = scene.allow();
    scene.events();

    assert!(!scene.consent.narrow(grant, Ability::ALL, scene.now));
    assert_eq!(scene.events(), []);
    let keep = [Ability::DiagLogs, Ability::ScreenControl];
    assert!(scene.consent.narrow(grant, &keep, scene.now));
    let abilities = vec![Ability::DiagLogs];
    assert_eq!(scene.events(), [ConsentEvent::Narrowed { grant, abilities }]);
    assert_eq!(scene.consent.covering(&Act::Diagnostics, scene.now), None);

    assert!(scene.consent.narrow(grant, &[Ability::DiagBasic], scene.now));
    assert_eq!(scene.events(), [ConsentEvent::GrantEnded { grant, reason: GrantEnd::Revoked }]);
}

#[test]
fn of_several_grants_the_one_that_lasts_longest_covers() {
    let mut scene = Scene::usual().live();
    scene.try_ask(&[Ability::DiagBasic], 7200).unwrap();
    let longer = scene.allow();
    scene.try_ask(&[Ability::DiagBasic], 60).unwrap();
    scene.allow();
    assert_eq!(scene.consent.covering(&Act::Diagnostics, scene.now), Some(longer));
}

#[test]
fn the_end_of_the_session_ends_every_grant_and_every_question() {
    let mut scene = Scene::usual().live();
    scene.ask(&[Ability::DiagBasic]);
    scene.events();
    scene.consent.end(GrantEnd::SessionEnded, scene.now);
    assert_eq!(scene.events(), [ConsentEvent::GrantEnded { grant: GrantId(1), reason: GrantEnd::SessionEnded }]);
    assert!(scene.consent.prompt().is_none());
    assert_eq!(scene.consent.covering(&Act::Diagnostics, scene.now), None);
    assert_eq!(scene.consent.poll_timeout(), None);
    assert!(scene.try_ask(&[Ability::DiagBasic], 60).is_err());
}

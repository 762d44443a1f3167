//! Device, organisation, grant: each can only take away.

use consent::{Act, Ceiling, Policy, Rule, Stay, asked_with_each_use, usual_stay, view_only};
use wire::session::{Ability, DenyReason};

use crate::scene::{Scene, requestable, secs, verified};

#[test]
fn attended_help_can_grant_diagnostics_single_commands_and_arguments_and_nothing_else() {
    let ceiling = Ceiling::attended();
    let half_an_hour = Stay::AtMost(secs(1800));
    for ability in Ability::ALL {
        let allowed = [
            (Ability::DiagBasic, Stay::Session),
            (Ability::DiagLogs, half_an_hour),
            (Ability::DiagNetwork, half_an_hour),
            (Ability::DiagProcess, half_an_hour),
            (Ability::DiagNames, half_an_hour),
            (Ability::DiagIdentifiers, half_an_hour),
            (Ability::DiagLoad, Stay::AtMost(secs(900))),
            (Ability::AdhocArgv, Stay::OneUse),
            (Ability::DiagArguments, Stay::OneUse),
        ];
        let expected = allowed.into_iter().find_map(|(allowed, stay)| (allowed == *ability).then_some(stay));
        assert_eq!(ceiling.longest_stay(*ability), expected, "{ability}");
        assert_eq!(ceiling.allows(*ability), expected.is_some(), "{ability}");
    }
    assert_eq!(ceiling.longest_session(), secs(4 * 3600));
    assert_eq!(ceiling.run_unlock_delay(), secs(10));
    assert_eq!(ceiling.unlock_delay(), secs(1));
    assert_eq!((ceiling.first_answer_within(), ceiling.answer_within()), (secs(120), secs(120)));
    assert_eq!(ceiling.absence_grace(), secs(60));
}

#[test]
fn every_ability_that_the_device_never_allows_is_denied_for_that_reason() {
    for ability in requestable().into_iter().filter(|ability| !Ceiling::attended().allows(*ability)) {
        let mut scene = Scene::usual().live();
        assert_eq!(scene.try_ask(&[ability], 60), Err(DenyReason::Ceiling), "{ability}");
        assert!(scene.consent.prompt().is_none());
    }
}

#[test]
fn a_device_without_commands_asks_nobody_about_one() {
    let ceiling = Ceiling::closed().allow(Ability::DiagBasic);
    let mut scene = Scene::with(verified(), ceiling, Policy::ask()).live();
    assert_eq!(scene.try_ask_run(), Err(DenyReason::Ceiling));
}

#[test]
fn an_organisation_can_forbid_what_the_device_allows() {
    let policy = Policy::ask().rule(Ability::AdhocArgv, Rule::Never);
    let mut scene = Scene::with(verified(), Ceiling::attended(), policy).live();
    assert_eq!(scene.try_ask_run(), Err(DenyReason::Policy));

    let policy = Policy::ask().rule(Ability::DiagBasic, Rule::Never);
    let mut scene = Scene::with(verified(), Ceiling::attended(), policy);
    assert_eq!(scene.try_ask(&[Ability::DiagBasic], 60), Err(DenyReason::Policy));
}

#[test]
fn an_organisation_cannot_allow_what_the_device_forbids() {
    let policy = Policy::ask().rule(Ability::ScreenView, Rule::Ask);
    let mut scene = Scene::with(verified(), Ceiling::attended(), policy).live();
    assert_eq!(scene.try_ask(&[Ability::ScreenView], 60), Err(DenyReason::Ceiling));
}

#[test]
fn a_never_of_a_policy_is_not_lifted_by_a_later_rule() {
    let policy = Policy::ask().rule(Ability::DiagLogs, Rule::Never).rule(Ability::DiagLogs, Rule::Ask);
    assert_eq!(policy.of(Ability::DiagLogs), Rule::Never);
    assert_eq!(policy.of(Ability::DiagBasic), Rule::Ask);
}

#[test]
fn what_a_layer_forbids_is_left_out_of_the_question() {
    let mut scene = Scene::usual();
    scene.ask(&[Ability::ScreenView, Ability::DiagBasic, Ability::TermControl]);
    assert_eq!(scene.prompt().abilities, [Ability::DiagBasic]);
}

#[test]
fn a_request_with_nothing_left_names_the_policy_if_it_took_anything() {
    let ceiling = Ceiling::attended().allow(Ability::DiagLogs);
    let mut scene = Scene::with(verified(), ceiling, Policy::ask().rule(Ability::DiagLogs, Rule::Never)).live();
    assert_eq!(scene.try_ask(&[Ability::ScreenView, Ability::DiagLogs], 60), Err(DenyReason::Policy));
    assert_eq!(scene.try_ask(&[Ability::ScreenView], 60), Err(DenyReason::Ceiling));
}

#[test]
fn times_out_of_range_are_refused_with_the_range() {
    assert!(Ceiling::attended().with_run_unlock_delay(secs(1)).is_ok());
    assert!(Ceiling::attended().with_run_unlock_delay(secs(60)).is_ok());
    let error = Ceiling::attended().with_run_unlock_delay(secs(0)).unwrap_err();
    assert_eq!(error.to_string(), "the unlock delay of runs is 0ns; it must be 1s to 60s");
    assert!(Ceiling::attended().with_run_unlock_delay(secs(61)).is_err());
    assert!(Ceiling::attended().with_longest_session(secs(59)).is_err());
    assert!(Ceiling::attended().with_longest_session(secs(86_401)).is_err());
    assert!(Ceiling::attended().with_answer_time(secs(9), secs(120)).is_err());
    assert!(Ceiling::attended().with_answer_time(secs(120), secs(601)).is_err());
}

#[test]
fn a_run_is_asked_for_each_time_whatever_the_device_says() {
    let ceiling = Ceiling::closed().allow_for(Ability::AdhocArgv, Stay::Session);
    assert_eq!(ceiling.longest_stay(Ability::AdhocArgv), Some(Stay::OneUse));
}

#[test]
fn every_ability_is_looking_or_acting_and_has_a_stay() {
    let looking = Ability::ALL.iter().copied().filter(|ability| view_only(*ability)).collect::<Vec<_>>();
    let expected = [
        Ability::DiagBasic,
        Ability::DiagLogs,
        Ability::DiagNetwork,
        Ability::DiagProcess,
        Ability::ScreenView,
        Ability::TermView,
        Ability::RunR0,
        Ability::DiagNames,
        Ability::DiagIdentifiers,
        Ability::DiagLoad,
    ];
    assert_eq!(looking, expected);
    for ability in looking {
        assert!(!asked_with_each_use(ability), "{ability}");
    }
    let once = [Ability::RunR1, Ability::RunR2, Ability::RunR3, Ability::AdhocArgv, Ability::Elevate];
    for ability in once.into_iter().chain([Ability::DiagArguments]) {
        assert_eq!(usual_stay(ability), Stay::OneUse, "{ability}");
    }
}

#[test]
fn no_single_ability_covers_an_act_that_is_not_its_own() {
    for ability in requestable() {
        let mut scene = Scene::everything(verified());
        scene.ask(&[ability]);
        scene.allow();
        let covers = scene.consent.covering(&Act::Diagnostics, scene.now).is_some();
        assert_eq!(covers, ability == Ability::DiagBasic, "{ability}");
    }
}

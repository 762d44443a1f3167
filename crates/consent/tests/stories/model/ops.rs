//! What can happen, and on which devices.

use std::{collections::BTreeSet, time::Duration};

use consent::{Ceiling, Policy, Rule, Stay};
use proptest::{collection::vec, prelude::*, sample::Index};
use wire::session::Ability;

#[derive(Debug, Clone)]
pub(crate) enum Op {
    Request {
        abilities: BTreeSet<Ability>,
        stay_secs: u32,
    },
    Run {
        time_secs: u32,
    },
    /// The arguments of a process.
    Inspect,
    Answer(Reply),
    Withdraw(Index),
    Revoke(Index),
    RevokeAll,
    Narrow(Index, BTreeSet<Ability>),
    Begin(Index),
    Finish(Index),
    Away,
    Back,
    Pass {
        millis: u64,
        tell: bool,
    },
}

/// A person's answer, right in everything unless one part says otherwise.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) deny: bool,
    /// Waits for the unlock moment first.
    pub(crate) patient: bool,
    pub(crate) other_prompt: bool,
    pub(crate) other_text: bool,
    pub(crate) wrong_word: bool,
    pub(crate) page: bool,
    pub(crate) spoken: Spoken,
    /// What of the asked abilities, by position; `None` allows all of them.
    pub(crate) chosen: Option<Vec<Index>>,
    pub(crate) beyond: Option<Ability>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Spoken {
    Nothing,
    Right,
    Wrong,
}

pub(crate) fn ability() -> impl Strategy<Value = Ability> {
    // What acts exist for comes up more often.
    let likely = [Ability::DiagBasic, Ability::AdhocArgv, Ability::DiagProcess, Ability::DiagArguments];
    prop_oneof![2 => proptest::sample::select(likely.to_vec()), 1 => proptest::sample::select(Ability::ALL)]
}

pub(crate) fn abilities() -> impl Strategy<Value = BTreeSet<Ability>> {
    vec(ability(), 0..5).prop_map(|abilities| abilities.into_iter().collect())
}

pub(crate) fn seldom() -> impl Strategy<Value = bool> {
    proptest::bool::weighted(0.1)
}

pub(crate) fn often() -> impl Strategy<Value = bool> {
    proptest::bool::weighted(0.9)
}

pub(crate) fn reply() -> impl Strategy<Value = Reply> {
    let spoken = prop_oneof![Just(Spoken::Nothing), Just(Spoken::Right), Just(Spoken::Wrong)];
    let chosen = proptest::option::weighted(0.3, vec(any::<Index>(), 0..4));
    let beyond = proptest::option::weighted(0.1, ability());
    let wrong = (seldom(), seldom(), seldom());
    (proptest::bool::weighted(0.15), often(), wrong, any::<bool>(), spoken, chosen, beyond).prop_map(
        |(deny, patient, (other_prompt, other_text, wrong_word), page, spoken, chosen, beyond)| Reply {
            deny,
            patient,
            other_prompt,
            other_text,
            wrong_word,
            page,
            spoken,
            chosen,
            beyond,
        },
    )
}

pub(crate) fn op() -> impl Strategy<Value = Op> {
    let stay_secs = prop_oneof![Just(0), 1..100u32, Just(3600), Just(u32::MAX)];
    let millis = prop_oneof![0..2000u64, 5000..40_000u64, 60_000..400_000u64, Just(4 * 3_600_000)];
    prop_oneof![
        4 => (abilities(), stay_secs).prop_map(|(abilities, stay_secs)| Op::Request { abilities, stay_secs }),
        4 => (1..600u32).prop_map(|time_secs| Op::Run { time_secs }),
        4 => Just(Op::Inspect),
        10 => reply().prop_map(Op::Answer),
        1 => any::<Index>().prop_map(Op::Withdraw),
        1 => any::<Index>().prop_map(Op::Revoke),
        1 => Just(Op::RevokeAll),
        2 => (any::<Index>(), abilities()).prop_map(|(grant, keep)| Op::Narrow(grant, keep)),
        3 => any::<Index>().prop_map(Op::Begin),
        1 => any::<Index>().prop_map(Op::Finish),
        1 => Just(Op::Away),
        2 => Just(Op::Back),
        6 => (millis, any::<bool>()).prop_map(|(millis, tell)| Op::Pass { millis, tell }),
    ]
}

pub(crate) fn ceiling() -> impl Strategy<Value = Ceiling> {
    let all = Ability::ALL.iter().fold(Ceiling::closed(), |ceiling, ability| ceiling.allow(*ability));
    let some = abilities().prop_map(|abilities| {
        let allow = |ceiling: Ceiling, ability| ceiling.allow_for(ability, Stay::AtMost(Duration::from_secs(90)));
        abilities.into_iter().fold(Ceiling::closed(), allow)
    });
    let short = Ceiling::attended().with_longest_session(Duration::from_secs(900)).expect("in range");
    prop_oneof![2 => Just(Ceiling::attended()), 2 => Just(all), 1 => Just(short), 2 => some]
}

pub(crate) fn policy() -> impl Strategy<Value = Policy> {
    let forbid = |policy: Policy, ability| policy.rule(ability, Rule::Never);
    let some = abilities().prop_map(move |abilities| abilities.into_iter().fold(Policy::ask(), forbid));
    prop_oneof![3 => Just(Policy::ask()), 1 => some]
}

//! What can happen.

use proptest::{collection::vec, prelude::*, sample::Index};
use wire::{
    diagnostics::{Panels, View, inspect::Inspect},
    ids::{InspectionId, RunId},
    path::DirectOffer,
    session::{Ability, TechnicianIdentity, ToAgent},
};

use crate::scene::{request, unverified, verified};

/// Whether the technician's program keeps to the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    Honest,
    Hostile,
}

#[derive(Debug, Clone)]
pub(crate) enum Op {
    /// Time passes; with `late`, the agent's timers do not fire meanwhile.
    Pass {
        millis: u64,
        late: bool,
    },
    /// Everything that is on its way arrives.
    Settle,
    Request {
        abilities: Vec<Ability>,
        stay_secs: u32,
    },
    Propose {
        time_secs: u32,
    },
    /// A run goes all the way from its proposal to its start, if nothing stands against it.
    Run {
        time_secs: u32,
    },
    Cancel(Index),
    Subscribe(u32),
    Unsubscribe,
    /// Something to be read once; of logs or not.
    Inspect {
        logs: bool,
    },
    /// The technician asks for the arguments of a process, and the shell finds the process or not.
    InspectArguments {
        described: bool,
        found: bool,
    },
    /// A process is found that the person is to be asked about.
    Describe {
        found: bool,
    },
    /// The arguments of a process, from the question to the answer, if nothing stands against it.
    Arguments,
    /// What is being read was read.
    Inspected,
    /// The technician tells its addresses.
    Direct,
    Leave,
    /// A message that the technician's own state machine would never send.
    Raw(ToAgent),
    Allow {
        patient: bool,
        right_word: bool,
        spoken: bool,
        part: Option<Index>,
    },
    Deny,
    Revoke(Index),
    /// Only this stays.
    Narrow(Index, Ability),
    StopRun(Index),
    Stop,
    Away,
    Back,
    /// The shell found out what a proposal would run.
    Resolve {
        which: Index,
        found: bool,
    },
    /// The shell gets around to starting a program that was handed out.
    Spawn(Index),
    /// A program ends, by itself or because it was killed.
    Exit(Index),
    /// The shell wants to send a sample.
    Sample,
    DiskSlow,
    DiskDone,
    DiskBroken,
    ConnectionLost,
    Shutdown,
}

pub(crate) fn identity() -> impl Strategy<Value = TechnicianIdentity> {
    prop_oneof![2 => Just(verified()), 1 => Just(unverified())]
}

/// What happens in one session. Most of them are about one that the person allowed.
pub(crate) fn history(peer: Peer) -> impl Strategy<Value = Vec<Op>> {
    let begin = Op::Allow { patient: true, right_word: true, spoken: false, part: None };
    let begin = prop_oneof![9 => Just(vec![begin]), 1 => Just(vec![])];
    (begin, vec(op(peer), 1..80)).prop_map(|(begin, rest)| [begin, rest].concat())
}

fn raw() -> impl Strategy<Value = ToAgent> {
    let number = 0..6u32;
    prop_oneof![
        number.clone().prop_map(|number| ToAgent::Request(request(number, &[Ability::DiagBasic], 60))),
        number.clone().prop_map(|number| ToAgent::ProposeRun(crate::world::proposal(number, 60))),
        number.prop_map(|number| ToAgent::CancelRun { run: RunId(number) }),
        any::<u32>().prop_map(|period_ms| ToAgent::Subscribe { period_ms }),
        any::<bool>()
            .prop_map(|all| ToAgent::Look { view: if all { View::default() } else { Panels::OVERVIEW.into() } }),
        (0..4u32, any::<bool>(), any::<bool>()).prop_map(|(number, cancel, arguments)| {
            let inspection = InspectionId(number);
            match (cancel, arguments) {
                (true, _) => ToAgent::CancelInspection { inspection },
                (false, true) => {
                    ToAgent::Inspect { inspection, what: Inspect::Arguments { pid: number, start_ticks: 7 } }
                }
                (false, false) => ToAgent::Inspect { inspection, what: Inspect::Report },
            }
        }),
        (0..10usize)
            .prop_map(|count| ToAgent::Direct(DirectOffer::Candidates(vec![([192, 0, 2, 9], 9).into(); count]))),
    ]
}

fn op(peer: Peer) -> impl Strategy<Value = Op> {
    let index = any::<Index>;
    let millis = prop_oneof![4 => 0..1500u64, 4 => 5000..20_000u64, 1 => 30_000..200_000u64, 1 => 200_000..400_000u64];
    let abilities = prop_oneof![
        4 => Just(vec![Ability::DiagBasic]),
        2 => Just(vec![Ability::DiagBasic, Ability::DiagLogs]),
        2 => Just(vec![Ability::DiagProcess]),
        1 => Just(vec![Ability::TermControl]),
        1 => Just(vec![Ability::ScreenView]),
    ];
    let allow = (proptest::bool::weighted(0.95), proptest::bool::weighted(0.95), any::<bool>());
    let part = proptest::option::weighted(0.2, index());
    let common = prop_oneof![
        18 => (millis, proptest::bool::weighted(0.2)).prop_map(|(millis, late)| Op::Pass { millis, late }),
        4 => Just(Op::Settle),
        6 => (abilities, prop_oneof![1..100u32, Just(3600)])
            .prop_map(|(abilities, stay_secs)| Op::Request { abilities, stay_secs }),
        10 => (1..200u32).prop_map(|time_secs| Op::Propose { time_secs }),
        8 => (1..200u32).prop_map(|time_secs| Op::Run { time_secs }),
        3 => index().prop_map(Op::Cancel),
        4 => prop_oneof![Just(1000), any::<u32>()].prop_map(Op::Subscribe),
        1 => Just(Op::Unsubscribe),
        4 => any::<bool>().prop_map(|logs| Op::Inspect { logs }),
        3 => any::<(bool, bool)>().prop_map(|(described, found)| Op::InspectArguments { described, found }),
        2 => proptest::bool::weighted(0.8).prop_map(|found| Op::Describe { found }),
        5 => Just(Op::Arguments),
        3 => Just(Op::Inspected),
        4 => Just(Op::Direct),
        26 => (allow, part).prop_map(|((patient, right_word, spoken), part)| {
            Op::Allow { patient, right_word, spoken, part }
        }),
        2 => Just(Op::Deny),
        2 => index().prop_map(Op::Revoke),
        3 => (index(), any::<bool>()).prop_map(|(grant, basic)| {
            Op::Narrow(grant, if basic { Ability::DiagBasic } else { Ability::DiagProcess })
        }),
        1 => index().prop_map(Op::StopRun),
        2 => Just(Op::Away),
        5 => Just(Op::Back),
        10 => (index(), proptest::bool::weighted(0.7)).prop_map(|(which, found)| Op::Resolve { which, found }),
        10 => index().prop_map(Op::Spawn),
        6 => index().prop_map(Op::Exit),
        6 => Just(Op::Sample),
        2 => Just(Op::DiskSlow),
        6 => Just(Op::DiskDone),
    ];
    let ending = prop_oneof![
        Just(Op::Pass { millis: 4 * 3_600_000, late: false }),
        Just(Op::Leave),
        Just(Op::Stop),
        Just(Op::DiskBroken),
        Just(Op::ConnectionLost),
        Just(Op::Shutdown),
    ];
    let hostile = if peer == Peer::Hostile { 20 } else { 0 };
    prop_oneof![97 => common, 2 => ending, hostile => raw().prop_map(Op::Raw)]
}

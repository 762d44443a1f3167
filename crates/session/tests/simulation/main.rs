//! An agent and a technician over a wire that takes its time, with a person, a disk and programs that do what they want.
//!
//! After every step the invariants of the design hold: nothing runs without a live covering grant, everything that starts was recorded
//! before, a revoke stops everything at once, nothing follows the end, the technician is shown no more than was granted, and no number is used
//! twice. The log of every session is replayed by itself at the end.

mod hostile_agent;
mod ledger;
mod ops;
#[path = "../../../consent/tests/stories/scene.rs"]
#[expect(dead_code, reason = "the consent core's stories need more of it than the simulation")]
mod scene;
mod shell;
mod world;

use std::collections::BTreeMap;

use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use wire::evidence::Event;

use crate::{ops::Peer, world::World};

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn an_honest_technician_and_whatever_happens(
        seed in any::<u64>(),
        identity in ops::identity(),
        ops in ops::history(Peer::Honest),
    ) {
        let mut world = World::new(seed, identity, Peer::Honest);
        for op in ops {
            world.apply(op);
            world.check();
        }
        world.finish();
    }

    #[test]
    fn a_technician_that_sends_what_it_wants(
        seed in any::<u64>(),
        identity in ops::identity(),
        ops in ops::history(Peer::Hostile),
    ) {
        let mut world = World::new(seed, identity, Peer::Hostile);
        for op in ops {
            world.apply(op);
            world.check();
        }
        world.finish();
    }
}

/// A simulation that never gets anywhere proves nothing.
#[test]
fn the_simulation_gets_to_everything_that_it_is_about() {
    let mut runner = TestRunner::deterministic();
    let history = (any::<u64>(), ops::identity(), ops::history(Peer::Honest));
    let mut seen = BTreeMap::<String, u32>::new();
    for _ in 0..200 {
        let (seed, identity, ops) = history.new_tree(&mut runner).expect("a history").current();
        let mut world = World::new(seed, identity, Peer::Honest);
        ops.into_iter().for_each(|op| world.apply(op));
        for event in world.finish() {
            *seen.entry(kind(&event)).or_default() += 1;
        }
    }
    let rare = [
        "WordsConfirmed",
        "Narrowed",
        "Paused",
        "Resumed",
        "GrantEnded Lapsed",
        "GrantEnded Revoked",
        "GrantEnded Used",
        "GrantEnded SessionEnded",
        "DiagnosticsStarted",
        "DiagnosticsStopped",
        "Inspecting",
        "InspectionStopped",
        "AskedForInspection",
        "RunStarting",
        "RunStopping",
        "RunFinished",
        "Denied ByUser",
        "Denied NoAnswer",
        "Denied Withdrawn",
        "Denied ProgramNotFound",
        "Denied ProcessEnded",
        "Denied TooSoon",
        "Ended ByUser",
        "Ended ByTechnician",
        "Ended UserAway",
        "Ended TimeOver",
    ];
    for what in rare {
        assert!(seen.get(what).is_some_and(|count| *count >= 3), "too little of {what}: {seen:?}");
    }
}

fn kind(event: &Event) -> String {
    let first_word = |text: String| text.split([' ', '{', '(']).next().unwrap_or_default().to_owned();
    if let Event::Denied { reason, .. } = event {
        format!("Denied {}", first_word(format!("{reason:?}")))
    } else if let Event::GrantEnded { reason, .. } = event {
        format!("GrantEnded {reason:?}")
    } else if let Event::Ended { reason } = event {
        format!("Ended {reason:?}")
    } else {
        first_word(format!("{event:?}"))
    }
}

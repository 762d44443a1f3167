//! A machine that sleeps while the other does not.
//!
//! Seen from the end that is awake: everything that it sends is lost, for as long as the other machine sleeps, and it hears nothing. The end that
//! sleeps does not stand still here as it does in truth, since both share one clock; its own waits grow meanwhile, which is harder on it.

use std::time::Duration;

use tokio::time::Instant;

use super::world::{MS, World, direct_channel, relay_channel};
use crate::{sealed::SealedEnd, silence::PATIENCE_MOST, table::End};

/// Sleeps: a little above what a session once survived, two minutes, and five.
const SLEEPS: [u64; 3] = [31, 120, 300];

const BOTH: [End; 2] = [End::Agent, End::Technician];

impl World {
    /// One machine falls asleep for a while.
    async fn sleep(&mut self, who: End, time: Duration) {
        for lines in [&self.relay, &self.direct, &self.straight] {
            lines.cut();
        }
        self.pass(time).await;
        for lines in [&self.relay, &self.direct, &self.straight] {
            lines.heal();
        }
        match who {
            End::Agent => self.agent.wakes_up(),
            End::Technician => self.technician.wakes_up(),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_quiet_session_goes_on_as_soon_as_either_machine_wakes_up() {
    for (who, seconds) in BOTH.into_iter().flat_map(|who| SLEEPS.map(|seconds| (who, seconds))) {
        let mut world = World::start().await;
        world.pass(3000 * MS).await;
        world.sleep(who, Duration::from_secs(seconds)).await;
        let word = world.a_word().await;
        assert!(word <= 600 * MS, "{who:?} {seconds} s: {word:?}");
        world.pass(2000 * MS).await;
        assert_eq!(world.counts(), (1, 1), "{who:?} {seconds} s: both began afresh, once");
        assert_eq!(world.channels(), (relay_channel(), relay_channel()));
    }
}

#[tokio::test(start_paused = true)]
async fn bulk_goes_on_as_soon_as_either_machine_wakes_up_and_not_when_quic_would_try_again() {
    for (who, seconds) in BOTH.into_iter().flat_map(|who| SLEEPS.map(|seconds| (who, seconds))) {
        for up in [false, true] {
            let mut world = World::start().await;
            let meter = if up { world.bulk_up().await } else { world.bulk_down().await };
            world.pass(2000 * MS).await;
            world.sleep(who, Duration::from_secs(seconds)).await;

            let woken = Instant::now();
            world.pass(4000 * MS).await;
            let (now, meter) = (Instant::now(), meter.lock().unwrap());
            let gap = meter.gap(woken, now);
            assert!(gap <= 1000 * MS, "{who:?} {seconds} s up {up}: {gap:?}");
            let rate = meter.rate(now - 1000 * MS, now);
            assert!(rate >= 15_000_000.0, "{who:?} {seconds} s up {up}: {rate}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_went_directly_finds_a_way_again() {
    for (who, seconds) in BOTH.into_iter().flat_map(|who| SLEEPS.map(|seconds| (who, seconds))) {
        let mut world = World::start().await;
        world.move_to(direct_channel());
        world.pass(8000 * MS).await;
        let sent_before = world.relay.to_agent.traffic().bytes + world.direct.to_agent.traffic().bytes;
        world.sleep(who, Duration::from_secs(seconds)).await;
        let sent = world.relay.to_agent.traffic().bytes + world.direct.to_agent.traffic().bytes - sent_before;
        let word = world.a_word().await;
        assert!(word <= 800 * MS, "{who:?} {seconds} s: {word:?}");
        // Two a second of full size for half a minute, then one in five seconds, for each of the paths.
        assert!(
            sent <= 200_000 + 600 * seconds,
            "{who:?}: {sent} bytes went out in {seconds} s in which nobody was there"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_nobody_gives_up_ends_by_itself() {
    let mut world = World::start().await;
    world.sleep(End::Technician, PATIENCE_MOST + Duration::from_secs(90)).await;
    assert_eq!(world.at_agent.closed().await, SealedEnd::TimedOut);
    assert_eq!(world.at_technician.closed().await, SealedEnd::TimedOut);
}

//! The controller on a simulated path, in virtual time: what it delivers, how long it lets the queue become, and how it shares.

mod path;

use std::time::Duration;

use self::path::{Flow, Kind, Outcome, Path};

const MBIT: f64 = 1e6;

/// The path of the published figures: 20 Mbit/s, 80 ms, a queue of 100 ms.
const LONG: Path = Path { bits_s: 20.0 * MBIT, rtt: Duration::from_millis(80), queue_bytes: 250_000, loss: 0.0 };

fn alone(path: Path, secs: u64) -> Outcome {
    path.run(&[Flow::whole(Kind::Ours, secs)], secs).remove(0)
}

fn used(path: &Path, outcome: &Outcome) -> f64 {
    outcome.bits_s / path.bits_s
}

#[test]
fn a_path_is_filled_and_its_queue_stays_short() {
    let outcome = alone(LONG, 30);
    assert!(used(&LONG, &outcome) > 0.95, "{outcome:?}");
    assert!(outcome.queued_p95 < Duration::from_millis(30), "{outcome:?}");
}

#[test]
fn random_loss_costs_little_more_than_what_is_lost() {
    for (loss, least) in [(0.001, 0.95), (0.01, 0.93), (0.05, 0.87)] {
        let path = Path { loss, ..LONG };
        let outcome = alone(path, 30);
        assert!(used(&path, &outcome) > least, "{loss}: {outcome:?}");
    }
}

#[test]
fn the_simulation_is_no_flattery_for_cubic_does_as_badly_as_on_a_real_path() {
    let lossy = Path { loss: 0.01, ..LONG };
    let cubic = lossy.run(&[Flow::whole(Kind::Cubic, 30)], 30).remove(0);
    assert!(used(&lossy, &cubic) < 0.2, "{cubic:?}");
    let full = LONG.run(&[Flow::whole(Kind::Cubic, 30)], 30).remove(0);
    assert!(used(&LONG, &full) > 0.95 && full.queued_p95 > Duration::from_millis(90), "{full:?}");
}

/// Our part of the long path beside one flow of CUBIC: both start together, we are there first, it is there first.
pub(crate) fn shares_beside_cubic() -> [f64; 3] {
    [((0, 60), (0, 60)), ((0, 60), (10, 60)), ((10, 60), (0, 60))].map(|(ours, cubic)| {
        let flows = [Flow::new(Kind::Ours, ours.0, ours.1), Flow::new(Kind::Cubic, cubic.0, cubic.1)];
        LONG.run(&flows, 60).remove(0).share_while_all
    })
}

#[test]
fn next_to_cubic_it_gets_a_fair_share_whoever_was_there_first() {
    let shares = shares_beside_cubic();
    assert!(shares.iter().all(|share| (0.3..0.7).contains(share)), "{shares:?}");
}

#[test]
fn next_to_cubic_it_neither_starves_nor_takes_all_however_long_the_queue() {
    for queue_bytes in [100_000, 500_000] {
        let path = Path { queue_bytes, ..LONG };
        let share =
            path.run(&[Flow::whole(Kind::Ours, 60), Flow::whole(Kind::Cubic, 60)], 60).remove(0).share_while_all;
        assert!((0.2..0.8).contains(&share), "{queue_bytes} bytes: {share}");
    }
}

#[test]
fn the_queue_is_short_again_once_cubic_is_gone() {
    let outcomes = LONG.run(&[Flow::whole(Kind::Ours, 60), Flow::new(Kind::Cubic, 0, 20)], 60);
    assert!(outcomes[0].queued_p50 < Duration::from_millis(30), "{outcomes:?}");
}

#[test]
fn two_of_them_share_evenly_and_keep_the_queue_short() {
    let outcomes = LONG.run(&[Flow::whole(Kind::Ours, 60), Flow::new(Kind::Ours, 5, 60)], 60);
    assert!((0.35..0.65).contains(&outcomes[0].share_while_all), "{outcomes:?}");
    assert!(outcomes[0].queued_p50 < Duration::from_millis(40), "{outcomes:?}");
}

#[test]
fn paths_of_all_sizes_are_filled() {
    let of = |mbit_s, rtt_ms, queue_bytes| Path {
        bits_s: mbit_s * MBIT,
        rtt: Duration::from_millis(rtt_ms),
        queue_bytes,
        loss: 0.0,
    };
    for (path, secs) in [(of(1.0, 40, 60_000), 30), (of(100.0, 20, 500_000), 15), (of(1000.0, 5, 1_000_000), 5)] {
        let outcome = alone(path, secs);
        assert!(used(&path, &outcome) > 0.93, "{path:?}: {outcome:?}");
        assert!(outcome.queued_p95 < Duration::from_millis(40), "{path:?}: {outcome:?}");
    }
}

#[test]
fn a_queue_of_a_few_packets_is_not_fought_for() {
    let shallow = Path { queue_bytes: 20_000, ..LONG };
    let outcome = alone(shallow, 30);
    assert!(used(&shallow, &outcome) > 0.9, "{outcome:?}");
    assert!(outcome.lost < 0.05, "{outcome:?}");
}

#[test]
fn a_path_that_changes_its_speed_is_followed() {
    let slower = LONG.run_with(&[Flow::whole(Kind::Ours, 30)], 30, &[(10, 5_000)]).remove(0);
    let whole = (10.0 * 20.0 + 20.0 * 5.0) / 30.0 * MBIT;
    assert!(slower.bits_s > 0.93 * whole && slower.queued_p95 < Duration::from_millis(150), "{slower:?}");
    let faster = LONG.run_with(&[Flow::whole(Kind::Ours, 30)], 30, &[(10, 60_000)]).remove(0);
    let whole = (10.0 * 20.0 + 20.0 * 60.0) / 30.0 * MBIT;
    assert!(faster.bits_s > 0.9 * whole, "{faster:?}");
}

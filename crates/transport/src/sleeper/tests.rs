use proptest::prelude::*;
use rand_core::OsRng;
use wire::beat::SlotKey;

use super::*;

const KEY: SlotKey = SlotKey([7; 32]);
const BED: Bed = Bed { slot: 5, generation: 2, epoch: 1, key: KEY, counter: 1 << 32 };
const SLOT: SleepSlot = SleepSlot { slot: 5, generation: 2 };

fn at(millis: u64) -> Moment {
    Moment::from_origin(Duration::from_millis(millis))
}

fn from_relay(kind: BeatKind, counter: u64) -> [u8; BEAT_BYTES] {
    seal(&KEY, &Beat { kind, epoch: KeyEpoch::of(1), slot: SLOT, counter }, None)
}

/// What was sent, after its tag was checked.
fn sent(turn: Turn) -> Beat {
    let Turn::Send(packet) = turn else { panic!("{turn:?}") };
    let (beat, tag) = Beat::parse(&packet).unwrap();
    assert!(is_genuine(&KEY, &beat, &tag, None), "{beat:?}");
    beat
}

/// An agent whose first beat was answered.
fn asleep() -> Sleeper {
    let mut sleeper = Sleeper::new(BED, at(0));
    let first = sent(sleeper.handle_timeout(at(0), &mut OsRng));
    assert_eq!(first.kind, BeatKind::Beat { ack_requested: true });
    assert_eq!(sleeper.handle_packet(&from_relay(BeatKind::Ack, first.counter), at(1), &mut OsRng), Turn::Rest);
    sleeper
}

#[test]
fn it_beats_every_25_seconds_and_asks_for_an_answer_each_fourth_time() {
    let mut sleeper = asleep();
    let (mut asked, mut last) = (Vec::new(), at(0));
    for _ in 0..12 {
        let due = sleeper.poll_timeout();
        let since = (due - last).as_millis();
        assert!((22_500..=27_500).contains(&since), "{since}");
        assert_eq!(sleeper.handle_timeout(last, &mut OsRng), Turn::Rest, "too early");
        let beat = sent(sleeper.handle_timeout(due, &mut OsRng));
        if beat.kind == (BeatKind::Beat { ack_requested: true }) {
            sleeper.handle_packet(&from_relay(BeatKind::Ack, beat.counter), due, &mut OsRng);
        }
        asked.push(beat.kind == BeatKind::Beat { ack_requested: true });
        last = due;
    }
    let fourth = [false, false, false, true];
    assert_eq!(asked, [fourth, fourth, fourth].concat());
}

#[test]
fn without_an_answer_it_asks_again_and_then_wakes() {
    let mut sleeper = Sleeper::new(BED, at(0));
    let mut asked_at = Vec::new();
    loop {
        let due = sleeper.poll_timeout();
        match sleeper.handle_timeout(due, &mut OsRng) {
            Turn::Send(_) => asked_at.push(due),
            Turn::Wake(cause) => {
                assert_eq!((cause, due), (Cause::Silence, at(14_000)));
                break;
            }
            Turn::Rest => panic!("something was due"),
        }
    }
    assert_eq!(asked_at, [at(0), at(2_000), at(6_000)]);
}

#[test]
fn an_answer_to_an_earlier_question_is_none() {
    let mut sleeper = asleep();
    let old = from_relay(BeatKind::Ack, BED.counter + 1);
    for _ in 0..4 {
        let due = sleeper.poll_timeout();
        sent(sleeper.handle_timeout(due, &mut OsRng));
    }
    let waiting_until = sleeper.poll_timeout();
    sleeper.handle_packet(&old, waiting_until, &mut OsRng);
    assert_eq!(sleeper.poll_timeout(), waiting_until, "a replayed answer ends no waiting");
    let counter = sleeper.counter;
    sleeper.handle_packet(&from_relay(BeatKind::Ack, counter), waiting_until, &mut OsRng);
    assert!(sleeper.poll_timeout() > waiting_until);
}

#[test]
fn after_suspend_it_beats_at_once_and_waits_anew() {
    let mut sleeper = asleep();
    let morning = at(8 * 60 * 60 * 1000);
    let beat = sent(sleeper.handle_timeout(morning, &mut OsRng));
    assert_eq!(beat.kind, BeatKind::Beat { ack_requested: true });
    assert_eq!(sleeper.poll_timeout(), morning + ANSWER_WITHIN[0]);

    // Suspended again while the answer was missing: nobody was there to miss it.
    let evening = morning + Duration::from_secs(10 * 60 * 60);
    sent(sleeper.handle_timeout(evening, &mut OsRng));
    assert_eq!(sleeper.poll_timeout(), evening + ANSWER_WITHIN[0]);
}

#[test]
fn a_wake_works_once() {
    let wake = from_relay(BeatKind::Wake, BED.counter + 1);
    let mut sleeper = asleep();
    assert_eq!(sleeper.handle_packet(&wake, at(5), &mut OsRng), Turn::Wake(Cause::Called));
    assert_eq!(sleeper.handle_packet(&wake, at(5), &mut OsRng), Turn::Rest, "replayed");
    assert_eq!(sleeper.handle_packet(&from_relay(BeatKind::Wake, BED.counter), at(5), &mut OsRng), Turn::Rest);
}

#[test]
fn with_a_key_that_is_too_old_it_connects_within_ten_minutes_and_can_be_woken_until_then() {
    let mut sleeper = asleep();
    let revoked = from_relay(BeatKind::Revoked, BED.counter + 1);
    assert_eq!(sleeper.handle_packet(&revoked, at(5), &mut OsRng), Turn::Rest);
    let woken_at = loop {
        let now = sleeper.poll_timeout();
        match sleeper.handle_timeout(now, &mut OsRng) {
            Turn::Send(packet) => {
                let (beat, _) = Beat::parse(&packet).unwrap();
                sleeper.handle_packet(&from_relay(BeatKind::Ack, beat.counter), now, &mut OsRng);
            }
            Turn::Wake(cause) => {
                assert_eq!(cause, Cause::Revoked);
                break now;
            }
            Turn::Rest => {}
        }
    };
    assert!(woken_at <= at(5) + RETIRE_WITHIN, "{woken_at:?}");
    let mut sleeper = asleep();
    sleeper.handle_packet(&revoked, at(5), &mut OsRng);
    let wake = from_relay(BeatKind::Wake, BED.counter + 2);
    assert_eq!(sleeper.handle_packet(&wake, at(6), &mut OsRng), Turn::Wake(Cause::Called));
}

#[test]
fn a_challenge_is_answered_once_and_only_after_a_beat() {
    let challenge = from_relay(BeatKind::Challenge, 0xfeed);
    let mut sleeper = asleep();
    let Turn::Send(packet) = sleeper.handle_packet(&challenge, at(10), &mut OsRng) else { panic!("no answer") };
    let (beat, tag) = Beat::parse(&packet).unwrap();
    assert_eq!((beat.kind, beat.counter), (BeatKind::Response, BED.counter + 2));
    assert!(is_genuine(&KEY, &beat, &tag, Some(0xfeed)) && !is_genuine(&KEY, &beat, &tag, None));
    assert_eq!(sleeper.handle_packet(&challenge, at(10), &mut OsRng), Turn::Rest, "replayed");
    let late = from_relay(BeatKind::Challenge, 0xbeef);
    assert_eq!(sleeper.handle_packet(&late, at(10_011), &mut OsRng), Turn::Rest, "nothing was sent that asked for it");
}

#[test]
fn what_it_sent_itself_does_nothing_when_it_comes_back() {
    let mut sleeper = Sleeper::new(BED, at(0));
    let Turn::Send(own) = sleeper.handle_timeout(at(0), &mut OsRng) else { panic!("a beat is due") };
    assert_eq!(sleeper.handle_packet(&own, at(1), &mut OsRng), Turn::Rest);
    assert!(sleeper.waits.is_some());
}

proptest! {
    #[test]
    fn nothing_without_the_key_wakes_it_or_makes_it_speak(
        kind in 0x20u8..=0x25,
        head in any::<[u8; 8]>(),
        tag in any::<[u8; 16]>(),
        flip in 0usize..BEAT_BYTES,
    ) {
        let mut sleeper = asleep();
        let before = format!("{sleeper:?}");
        let mut forged = [0; BEAT_BYTES];
        forged[..8].copy_from_slice(&[kind, 0x04, 5, 0, 0, 0, 2, 0]);
        forged[8..16].copy_from_slice(&head);
        forged[16..].copy_from_slice(&tag);
        prop_assert_eq!(sleeper.handle_packet(&forged, at(5), &mut OsRng), Turn::Rest);
        let mut changed = from_relay(BeatKind::Wake, u64::MAX);
        changed[flip] ^= 0x11;
        prop_assert_eq!(sleeper.handle_packet(&changed, at(5), &mut OsRng), Turn::Rest);
        prop_assert_eq!(format!("{sleeper:?}"), before, "nothing has changed");
    }

    #[test]
    fn counters_only_grow_and_no_two_packets_are_alike(steps in prop::collection::vec((0u64..60_000, any::<bool>()), 1..60)) {
        let (mut sleeper, mut now, mut last) = (Sleeper::new(BED, at(0)), at(0), BED.counter);
        for (millis, answered) in steps {
            now = now + Duration::from_millis(millis);
            if let Turn::Send(packet) = sleeper.handle_timeout(now, &mut OsRng) {
                let (beat, _) = Beat::parse(&packet).unwrap();
                prop_assert!(beat.counter > last);
                last = beat.counter;
                if answered {
                    sleeper.handle_packet(&from_relay(BeatKind::Ack, last), now, &mut OsRng);
                }
            }
        }
    }
}

use std::time::Duration;

use proptest::prelude::*;
use rand_core::OsRng;
use trust::beat::{is_genuine, seal};
use wire::beat::{BeatKind, KeyEpoch, SleepSlot};

use super::{stripe::LOST_AFTER, *};

const ANA: AgentId = AgentId([1; 16]);
const BEN: AgentId = AgentId([2; 16]);

fn at(secs: u64) -> Moment {
    Moment::from_origin(Duration::from_secs(1_000_000 + secs))
}

fn address(number: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 1000 + number))
}

const HOME: u16 = 0;
const ELSEWHERE: u16 = 7;

/// An agent's half, as far as it concerns the table: a key and a counter.
#[derive(Clone)]
struct Asleep {
    bed: Bed,
    counter: u64,
}

impl Asleep {
    fn in_bed(bed: Bed) -> Self {
        Self { bed, counter: bed.counter }
    }

    fn slot(&self) -> SleepSlot {
        SleepSlot { slot: self.bed.slot, generation: self.bed.generation }
    }

    fn packet(&mut self, kind: BeatKind, answers: Option<u64>) -> [u8; BEAT_BYTES] {
        self.counter += 1;
        let epoch = KeyEpoch::of(self.bed.epoch);
        seal(&self.bed.key, &Beat { kind, epoch, slot: self.slot(), counter: self.counter }, answers)
    }

    fn beat(&mut self) -> [u8; BEAT_BYTES] {
        self.packet(BeatKind::Beat { ack_requested: true }, None)
    }

    /// Reads what the relay said, after checking that it did.
    fn read(&self, packet: &[u8]) -> Beat {
        let (beat, tag) = Beat::parse(packet).unwrap();
        assert!(is_genuine(&self.bed.key, &beat, &tag, None), "{beat:?}");
        beat
    }
}

fn table() -> Sleepers {
    Sleepers::new(1000, &mut OsRng)
}

fn laid_down(table: &Sleepers, agent: AgentId) -> Asleep {
    Asleep::in_bed(table.lay_down(agent, address(HOME), 0, at(0)).unwrap())
}

/// Hands one packet over and returns what it is answered with, and to whom.
fn hear(table: &Sleepers, packet: [u8; BEAT_BYTES], from: u16, secs: u64) -> Option<[u8; BEAT_BYTES]> {
    let beat = BeatFrom { from: address(from), to: None, packet };
    let mut answers = Vec::new();
    table.beats(&[beat], at(secs), &mut |to, answer| {
        assert_eq!(to.from, beat.from, "an answer goes to who was heard");
        answers.push(answer);
    });
    assert!(answers.len() <= 1);
    answers.pop()
}

fn outcome(table: &Sleepers, name: &str) -> u64 {
    table.counts().packets.iter().find(|(is, _)| *is == name).unwrap().1
}

/// Where a wake would go.
fn reachable_at(table: &Sleepers, agent: AgentId, secs: u64) -> Option<SocketAddr> {
    table.wake(agent, at(secs)).map(|(_, to, _)| to)
}

/// Answers a challenge from where it was sent to.
fn answers_challenge(table: &Sleepers, agent: &mut Asleep, challenge: [u8; BEAT_BYTES], from: u16, secs: u64) {
    let challenge = agent.read(&challenge);
    assert_eq!(challenge.kind, BeatKind::Challenge);
    let response = agent.packet(BeatKind::Response, Some(challenge.counter));
    let ack = agent.read(&hear(table, response, from, secs).unwrap());
    assert_eq!((ack.kind, ack.counter), (BeatKind::Ack, agent.counter));
}

#[test]
fn a_beat_is_acknowledged_if_it_asks_for_that_and_a_wake_goes_where_it_came_from() {
    let table = table();
    let mut ana = laid_down(&table, ANA);
    let beat = ana.beat();
    let ack = ana.read(&hear(&table, beat, HOME, 1).unwrap());
    assert_eq!((ack.kind, ack.counter), (BeatKind::Ack, ana.counter));
    let quiet = ana.packet(BeatKind::Beat { ack_requested: false }, None);
    assert_eq!(hear(&table, quiet, HOME, 2), None);

    let (_, to, first) = table.wake(ANA, at(3)).unwrap();
    let (_, _, second) = table.wake(ANA, at(3)).unwrap();
    let (first, second) = (ana.read(&first), ana.read(&second));
    assert_eq!((to, first.kind), (address(HOME), BeatKind::Wake));
    assert!(second.counter > first.counter && first.counter > ana.bed.counter);
    assert_eq!(table.wake(BEN, at(3)), None);
}

#[test]
fn a_beat_from_elsewhere_moves_nothing_until_the_challenge_is_answered_there() {
    let table = table();
    let mut ana = laid_down(&table, ANA);
    let beat = ana.beat();
    let challenge = hear(&table, beat, ELSEWHERE, 1).unwrap();
    assert_eq!(reachable_at(&table, ANA, 1), Some(address(HOME)), "not moved by a beat");

    // Answered from another place than where it was sent to: whoever is there has not shown to be.
    let nonce = ana.read(&challenge).counter;
    let response = ana.packet(BeatKind::Response, Some(nonce));
    assert_eq!(hear(&table, response, 8, 1), None);
    assert_eq!(reachable_at(&table, ANA, 1), Some(address(HOME)));

    answers_challenge(&table, &mut ana, challenge, ELSEWHERE, 2);
    assert_eq!(reachable_at(&table, ANA, 2), Some(address(ELSEWHERE)));
    assert_eq!((outcome(&table, "challenged"), outcome(&table, "moved"), outcome(&table, "forged")), (1, 1, 1));
}

#[test]
fn an_answer_to_an_old_challenge_is_none() {
    let table = table();
    let mut ana = laid_down(&table, ANA);
    let beat = ana.beat();
    let nonce = ana.read(&hear(&table, beat, ELSEWHERE, 0).unwrap()).counter;
    let response = ana.packet(BeatKind::Response, Some(nonce));
    assert_eq!(hear(&table, response, ELSEWHERE, 16), None, "after two periods");
    assert_eq!(reachable_at(&table, ANA, 16), Some(address(HOME)));
}

#[test]
fn what_was_heard_once_is_not_heard_again() {
    let table = table();
    let mut ana = laid_down(&table, ANA);
    let beat = ana.beat();
    assert!(hear(&table, beat, HOME, 1).is_some());
    assert_eq!(hear(&table, beat, HOME, 1), None);
    assert_eq!(hear(&table, beat, ELSEWHERE, 1), None, "replayed from elsewhere it draws no challenge either");
    assert_eq!(outcome(&table, "replayed"), 2);
    let moving = ana.beat();
    let challenge = hear(&table, moving, ELSEWHERE, 2).unwrap();
    let nonce = ana.read(&challenge).counter;
    let response = ana.packet(BeatKind::Response, Some(nonce));
    assert!(hear(&table, response, ELSEWHERE, 2).is_some());
    assert_eq!(hear(&table, response, ELSEWHERE, 2), None);
}

#[test]
fn what_the_relay_sent_does_nothing_when_it_comes_back() {
    let table = table();
    let mut ana = laid_down(&table, ANA);
    let beat = ana.beat();
    let ack = hear(&table, beat, HOME, 1).unwrap();
    let (_, _, wake) = table.wake(ANA, at(1)).unwrap();
    let moving = ana.beat();
    let challenge = hear(&table, moving, ELSEWHERE, 1).unwrap();
    for reflected in [ack, wake, challenge] {
        for from in [HOME, ELSEWHERE] {
            assert_eq!(hear(&table, reflected, from, 2), None);
        }
    }
    assert_eq!(outcome(&table, "reflected"), 6);
    assert_eq!(reachable_at(&table, ANA, 2), Some(address(HOME)));
}

#[test]
fn an_earlier_use_of_the_slot_and_one_that_is_over_are_not_known() {
    let table = table();
    let mut before = laid_down(&table, ANA);
    let mut now = laid_down(&table, ANA);
    assert_eq!((before.bed.slot, before.bed.generation + 1), (now.bed.slot, now.bed.generation));
    assert_ne!(before.bed.key, now.bed.key);
    let (old, new) = (before.beat(), now.beat());
    assert_eq!(hear(&table, old, HOME, 1), None);
    assert!(hear(&table, new, HOME, 1).is_some());
    table.get_up(ANA);
    let late = now.beat();
    assert_eq!(hear(&table, late, HOME, 2), None);
    assert_eq!((outcome(&table, "unknown"), table.counts().asleep), (2, 0));
}

#[test]
fn a_place_is_used_again_by_another_agent_with_another_key() {
    let table = table();
    let ana = laid_down(&table, ANA);
    table.get_up(ANA);
    let ben = laid_down(&table, BEN);
    assert_eq!(ana.bed.slot, ben.bed.slot);
    assert_ne!((ana.bed.generation, ana.bed.key), (ben.bed.generation, ben.bed.key));
    table.get_up(ANA);
    assert_eq!(table.counts().asleep, 1, "whoever had the place before gives up nothing of another's");
}

#[test]
fn no_more_sleep_than_may() {
    let table = Sleepers::new(1, &mut OsRng);
    assert!(table.lay_down(ANA, address(0), 0, at(0)).is_some());
    assert!(table.lay_down(BEN, address(1), 0, at(0)).is_none());
    assert!(table.lay_down(ANA, address(2), 0, at(0)).is_some(), "in place of its own");
}

#[test]
fn who_is_silent_is_lost_and_forgotten_after_a_day() {
    let table = table();
    let mut ana = laid_down(&table, ANA);
    laid_down(&table, BEN);
    let lost = LOST_AFTER.as_secs() + 1;
    let beat = ana.beat();
    hear(&table, beat, HOME, lost);
    assert_eq!(reachable_at(&table, BEN, lost), None, "nobody knows whether it is there");
    assert_eq!(reachable_at(&table, ANA, lost), Some(address(HOME)));
    table.sweep(10, at(lost));
    assert_eq!((table.counts().asleep, table.counts().lost), (2, 1));

    let day = 24 * 60 * 60;
    let beat = ana.beat();
    hear(&table, beat, HOME, day);
    table.sweep(10, at(day));
    assert_eq!((table.counts().asleep, table.counts().lost), (1, 0));
    assert!(table.wake(ANA, at(day)).is_some());
}

#[test]
fn an_agent_with_a_key_of_three_periods_ago_is_told_to_connect() {
    let table = table();
    let mut ana = laid_down(&table, ANA);
    for period in 0..4 {
        let beat = ana.beat();
        let answer = ana.read(&hear(&table, beat, HOME, period).unwrap());
        let told = if period < 3 { BeatKind::Ack } else { BeatKind::Revoked };
        assert_eq!(answer.kind, told, "{period}");
        table.rotate(&mut OsRng).unwrap();
    }
    let late = laid_down(&table, BEN);
    assert_eq!(late.bed.epoch, ana.bed.epoch + 4);
}

/// The same table after the relay was started again.
fn restarted(dir: &Path, secs: u64) -> Sleepers {
    Sleepers::open(dir, 1000, at(secs), &mut OsRng).unwrap()
}

#[test]
fn a_restarted_relay_takes_its_agents_in_again_after_one_challenge() {
    let dir = tempfile::tempdir().unwrap();
    let table = restarted(dir.path(), 0);
    let (mut ana, mut ben) = (laid_down(&table, ANA), laid_down(&table, BEN));
    let captured = ana.beat();
    assert!(hear(&table, captured, HOME, 1).is_some());
    table.keep(&BTreeSet::from([BEN])).unwrap();
    drop(table);

    let table = restarted(dir.path(), 100);
    assert_eq!((table.counts().asleep, table.counts().recovered), (1, 1));
    assert_eq!(reachable_at(&table, ANA, 100), None, "an address of before is not believed");

    // Somebody who has seen that beat sends it again: it plants no address, whatever comes of it.
    assert!(
        hear(&table, captured, ELSEWHERE, 100).is_some_and(|answer| { ana.read(&answer).kind == BeatKind::Challenge })
    );
    assert_eq!(reachable_at(&table, ANA, 100), None);

    let beat = ana.beat();
    let challenge = hear(&table, beat, HOME, 101).unwrap();
    answers_challenge(&table, &mut ana, challenge, HOME, 101);
    let (_, to, wake) = table.wake(ANA, at(101)).unwrap();
    assert_eq!(to, address(HOME));
    assert!(ana.read(&wake).counter > ana.bed.counter + u64::from(u32::MAX), "above all of the earlier run");

    let unkept = ben.beat();
    assert_eq!(hear(&table, unkept, HOME, 102), None, "it finds out by silence");
}

#[test]
fn a_place_of_an_earlier_run_is_not_given_to_two() {
    let dir = tempfile::tempdir().unwrap();
    let table = restarted(dir.path(), 0);
    let agents = (0..5u8).map(|number| AgentId([number; 16])).collect::<Vec<_>>();
    let slots = agents.iter().map(|agent| laid_down(&table, *agent).bed.slot).collect::<Vec<_>>();
    // Leaves gaps.
    table.get_up(agents[0]);
    table.get_up(agents[3]);
    table.keep(&BTreeSet::new()).unwrap();
    let table = restarted(dir.path(), 10);
    assert_eq!(table.counts().asleep, 3);
    let (ana, ben) = (AgentId([0xa; 16]), AgentId([0xb; 16]));
    let mut new = [laid_down(&table, ana).bed.slot, laid_down(&table, ben).bed.slot];
    new.sort_unstable();
    assert_eq!(new, [slots[0], slots[3]]);
}

#[test]
fn what_was_heard_in_an_earlier_run_is_too_old_for_a_new_use_of_the_place() {
    let dir = tempfile::tempdir().unwrap();
    let table = restarted(dir.path(), 0);
    let mut ana = laid_down(&table, ANA);
    let captured = ana.beat();
    // The relay dies before it keeps anything, and gives the same place to the same agent.
    drop(table);
    let table = restarted(dir.path(), 10);
    let mut again = laid_down(&table, ANA);
    assert_eq!((again.bed.slot, again.bed.generation), (ana.bed.slot, ana.bed.generation));
    assert_eq!(hear(&table, captured, HOME, 11), None);
    let beat = again.beat();
    assert!(hear(&table, beat, HOME, 12).is_some(), "what comes now is heard");
}

#[test]
fn damaged_files_are_as_good_as_none_and_the_roots_are_private() {
    use std::os::unix::fs::PermissionsExt as _;

    let dir = tempfile::tempdir().unwrap();
    let table = restarted(dir.path(), 0);
    laid_down(&table, ANA);
    table.keep(&BTreeSet::new()).unwrap();
    let roots = dir.path().join("sleep-roots");
    assert_eq!(std::fs::metadata(&roots).unwrap().permissions().mode() & 0o777, 0o600);
    let whole = std::fs::read(&roots).unwrap();
    for damaged in [&whole[..whole.len() - 1], b"nonsense", b""] {
        audit::files::write_atomic(&roots, damaged, 0o600).unwrap();
        assert_eq!(restarted(dir.path(), 1).counts().asleep, 0, "no root, no key");
    }
    audit::files::write_atomic(&dir.path().join("sleep-table"), b"nonsense", 0o600).unwrap();
    assert_eq!(restarted(dir.path(), 1).counts().asleep, 0);
}

#[test]
fn a_record_takes_no_more_than_it_may() {
    let table = Sleepers::new(200_000, &mut OsRng);
    for number in 0..200_000u32 {
        let mut agent = AgentId([0; 16]);
        agent.0[..4].copy_from_slice(&number.to_le_bytes());
        table.lay_down(agent, address(0), u8::try_from(number % 2).unwrap(), at(0)).unwrap();
    }
    let each = table.bytes() / 200_000;
    assert!(each <= 160, "{each} bytes");
}

proptest! {
    #[test]
    fn whatever_is_forged_gets_no_answer_and_changes_nothing(
        packets in prop::collection::vec((0x20u8..=0x25, 0u8..16, 0u32..3, 0u16..2, any::<u64>(), any::<[u8; 16]>(), 0u16..9), 1..50),
    ) {
        let table = table();
        let mut ana = laid_down(&table, ANA);
        for (kind, flags, slot, generation, counter, tag, from) in packets {
            let mut packet = [0; BEAT_BYTES];
            packet[..2].copy_from_slice(&[kind, flags]);
            packet[2..6].copy_from_slice(&(ana.bed.slot + slot).to_le_bytes());
            packet[6..8].copy_from_slice(&generation.to_le_bytes());
            packet[8..16].copy_from_slice(&counter.to_le_bytes());
            packet[16..].copy_from_slice(&tag);
            prop_assert_eq!(hear(&table, packet, from, 1), None);
        }
        prop_assert_eq!(reachable_at(&table, ANA, 1), Some(address(HOME)));
        let beat = ana.beat();
        prop_assert!(hear(&table, beat, HOME, 1).is_some(), "good beats go on");
    }

    #[test]
    fn an_answer_is_never_longer_and_its_address_never_moves_without_a_challenge(
        steps in prop::collection::vec((0u16..4, 0usize..4), 1..60),
    ) {
        let table = table();
        let mut ana = laid_down(&table, ANA);
        let mut sent = Vec::new();
        let mut home = address(HOME);
        for (secs, (from, what)) in (1u64..).zip(steps) {
            let packet = match what {
                // A fresh beat, by way of whoever stands between.
                0 | 1 => ana.beat(),
                // Something that was sent before.
                2 => match sent.last() { Some(packet) => *packet, None => continue },
                _ => {
                    // The agent moves in earnest.
                    let beat = ana.beat();
                    if let Some(challenge) = hear(&table, beat, from, secs).filter(|_| address(from) != home) {
                        answers_challenge(&table, &mut ana, challenge, from, secs);
                        home = address(from);
                    }
                    continue;
                }
            };
            hear(&table, packet, from, secs);
            sent.push(packet);
            prop_assert_eq!(reachable_at(&table, ANA, secs), Some(home));
        }
    }
}

use std::sync::atomic::Ordering;

use super::{agent::FOLLOW_EVERY, path::OPEN_QUESTIONS, technician::TRUSTED_FOR, *};

const MS: Duration = Duration::from_millis(1);

/// The session began a while ago.
const START: Uptime = Uptime::from_secs(100);

fn channel(slot: u32) -> ChannelId {
    ChannelId::new(slot, 7).unwrap()
}

/// One end, and the time there.
struct Side {
    paths: Paths,
    now: Uptime,
    observed: Observed,
}

impl Side {
    /// An end whose session stands on channel 1, path 0.
    fn new(end: End) -> Self {
        let mut paths = Paths::new(end);
        paths.add(Carrier::Relayed, channel(1), START, 1000);
        paths.established();
        Self { paths, now: START, observed: Observed { rtt: 20 * MS, path_responses: 0 } }
    }

    /// An end that has answered by its second path, channel 2, path 1.
    fn with_spare(end: End) -> Self {
        let mut side = Self::new(end);
        side.paths.add(Carrier::Relayed, channel(2), START, 2000);
        side.answer_all();
        side
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    fn tick(&mut self) -> (Vec<Act>, Option<Uptime>) {
        let mut acts = Vec::new();
        let next = self.paths.tick(self.now, self.observed, &mut acts);
        (acts, next)
    }

    /// Does what is due until `until`, and returns what was done, each with its time.
    fn run(&mut self, until: Uptime) -> Vec<(Uptime, Act)> {
        let mut done = Vec::new();
        loop {
            let (acts, next) = self.tick();
            done.extend(acts.into_iter().map(|act| (self.now, act)));
            match next {
                Some(at) if at < until => {
                    assert!(at > self.now, "time goes on");
                    self.now = at;
                }
                Some(_) | None => {
                    self.now = until;
                    return done;
                }
            }
        }
    }

    /// Lets every question that is due be answered 1 ms later.
    fn answer_all(&mut self) {
        let (acts, _) = self.tick();
        self.pass(MS);
        for act in acts {
            if let Act::Probe { probe: Probe::Ping(number), by, .. } = act {
                let id = self.paths.find(by.channel).unwrap();
                self.paths.answered(id, number, self.now);
            }
        }
    }

    fn hear(&mut self, id: PathId, count: u32, hears_nothing: bool) {
        self.paths.heard(id, PathFlags { epoch: Epoch::of(count), hears_nothing }, true, self.now);
    }

    fn send(&mut self) -> Option<Outward> {
        self.paths.route(self.paths.label(), self.now)
    }
}

fn questions(acts: &[(Uptime, Act)], by: ChannelId) -> usize {
    let asks = |act: &Act| matches!(act, Act::Probe { by: outward, .. } if outward.channel == by);
    acts.iter().filter(|(_, act)| asks(act)).count()
}

#[test]
fn labels_stand_still_during_the_handshake() {
    let mut agent = Side::new(End::Agent);
    agent.paths.handshaking = true;
    agent.paths.add(Carrier::Relayed, channel(2), START, 2000);
    agent.hear(1, 1, false);
    assert_eq!(agent.paths.label(), Label::FIRST);
    assert_eq!(agent.send().unwrap().channel, channel(2), "packets go where the technician is all the same");
    agent.paths.established();
    assert_eq!(agent.paths.label(), Label { epoch: 1, path: 1 });
}

#[test]
fn a_technicians_label_never_changes() {
    let mut technician = Side::new(End::Technician);
    technician.paths.move_to(Carrier::Relayed, channel(2), START, 2000);
    technician.answer_all();
    technician.tick();
    assert_eq!(technician.paths.label(), Label::FIRST);
    assert_eq!(
        technician.send().unwrap(),
        Outward {
            carrier: Carrier::Relayed,
            channel: channel(2),
            flags: PathFlags { epoch: Epoch::of(1), hears_nothing: false },
            to: None,
        }
    );
    assert_eq!(technician.paths.changes().load(Ordering::Relaxed), 1);
}

#[test]
fn an_agent_follows_the_newest_epoch_and_takes_late_packets_for_what_they_are() {
    let mut agent = Side::with_spare(End::Agent);
    agent.hear(1, 1, false);
    assert_eq!((agent.paths.label(), agent.paths.current), (Label { epoch: 1, path: 1 }, 1));
    agent.pass(FOLLOW_EVERY);
    agent.hear(0, 0, false);
    assert_eq!(agent.paths.label(), Label { epoch: 1, path: 1 });
    agent.hear(1, 2, false);
    assert_eq!(agent.paths.label(), Label { epoch: 2, path: 1 }, "the same path starts afresh");
}

#[test]
fn a_challenge_to_the_previous_path_goes_by_that_path() {
    let mut agent = Side::with_spare(End::Agent);
    agent.hear(1, 1, false);
    let mut by = |label| agent.paths.route(label, START).unwrap().channel;
    assert_eq!(by(Label::FIRST), channel(1));
    assert_eq!(by(Label { epoch: 1, path: 1 }), channel(2));
    agent.paths.forget(channel(1));
    let by = agent.paths.route(Label::FIRST, START).unwrap().channel;
    assert_eq!(by, channel(2), "that path is gone");
}

#[test]
fn probes_move_no_agent() {
    let mut agent = Side::with_spare(End::Agent);
    let flags = PathFlags { epoch: Epoch::of(1), hears_nothing: false };
    agent.paths.heard(1, flags, false, agent.now);
    assert_eq!(agent.paths.count(), 0);
}

#[test]
fn a_path_is_taken_only_when_it_answered_what_was_asked_since_it_was_wanted() {
    let mut technician = Side::with_spare(End::Technician);
    technician.pass(1000 * MS);
    technician.paths.move_to(Carrier::Relayed, channel(2), technician.now, 2000);
    technician.paths.answered(1, 2000, technician.now);
    let asked = technician.run(technician.now + 5000 * MS);
    assert_eq!(technician.paths.count(), 0, "an answer of earlier proves nothing");
    assert!((10..14).contains(&questions(&asked, channel(2))), "{asked:?}");

    technician.pass(ASK_MOST);
    technician.answer_all();
    technician.tick();
    assert_eq!((technician.paths.count(), technician.paths.channel()), (1, Some(channel(2))));
}

#[test]
fn answers_that_nobody_asked_for_prove_nothing() {
    let mut technician = Side::new(End::Technician);
    technician.paths.move_to(Carrier::Relayed, channel(2), START, u64::MAX);
    technician.run(START + 3000 * MS);
    for number in [0, 1, 100, 1000, u64::MAX - 1] {
        let asked = technician.paths.path(1).unwrap().asked;
        let open = (asked - u64::from(OPEN_QUESTIONS)..asked).map(|index| u64::MAX.wrapping_add(index));
        if !open.collect::<Vec<_>>().contains(&number) {
            technician.paths.answered(1, number, technician.now);
        }
    }
    technician.tick();
    assert_eq!(technician.paths.count(), 0);
    assert_eq!(technician.paths.path(1).unwrap().proven_at, None);
}

#[test]
fn flips_are_a_second_apart() {
    let mut technician = Side::with_spare(End::Technician);
    let mut flips = 0;
    for turn in 0..50 {
        let channel = channel(1 + (turn + 1) % 2);
        technician.paths.move_to(Carrier::Relayed, channel, technician.now, 0);
        technician.answer_all();
        technician.tick();
        flips = technician.paths.count();
        technician.pass(100 * MS);
    }
    assert!((4..=6).contains(&flips), "{flips}");
}

#[test]
fn a_flip_is_announced_until_the_agent_has_followed_and_looked() {
    let mut technician = Side::with_spare(End::Technician);
    technician.paths.move_to(Carrier::Relayed, channel(2), technician.now, 0);
    technician.answer_all();
    let flip = Flip { count: 1, channel: channel(2) };
    let announced = |acts: &[(Uptime, Act)]| acts.iter().filter(|(_, act)| *act == Act::Announce(flip)).count();
    let acts = technician.run(technician.now + 100 * MS);
    assert_eq!(announced(&acts), 3, "after 0, 30 and 90 ms");

    technician.hear(1, 1, false);
    let acts = technician.run(technician.now + 400 * MS);
    assert_eq!(announced(&acts), 2, "the agent has followed, but nobody saw it validate the path");
    technician.observed.path_responses = 1;
    assert_eq!(announced(&technician.run(technician.now + 10_000 * MS)), 0);
}

#[test]
fn forged_epochs_move_an_agent_seldom_and_the_truth_brings_it_back() {
    let mut agent = Side::with_spare(End::Agent);
    for forged in 1..100 {
        agent.hear(0, forged, false);
        agent.pass(5 * MS);
    }
    assert!((2..=3).contains(&agent.paths.label().epoch), "{:?}", agent.paths.label());

    agent.pass(FOLLOW_EVERY);
    agent.paths.confirm(Flip { count: 1, channel: channel(2) }, agent.now);
    assert_eq!((agent.paths.count(), agent.paths.channel()), (1, Some(channel(2))));
    agent.pass(FOLLOW_EVERY);
    agent.paths.confirm(Flip { count: 0, channel: channel(1) }, agent.now);
    agent.paths.confirm(Flip { count: 5, channel: channel(9) }, agent.now);
    assert_eq!(agent.paths.count(), 1, "an earlier truth, and one about a channel that is not known here");
}

#[test]
fn an_agent_has_nothing_to_say_about_the_path() {
    let mut technician = Side::with_spare(End::Technician);
    technician.paths.confirm(Flip { count: 1, channel: channel(2) }, technician.now);
    technician.hear(1, 1, false);
    technician.run(technician.now + 2000 * MS);
    assert_eq!((technician.paths.count(), technician.paths.channel()), (0, Some(channel(1))));
}

#[test]
fn a_technician_that_sees_a_forged_epoch_says_the_truth() {
    let mut technician = Side::with_spare(End::Technician);
    technician.run(technician.now + 100 * MS);
    technician.hear(1, 2, false);
    let (acts, _) = technician.tick();
    assert_eq!(acts, [Act::Announce(Flip { count: 0, channel: channel(1) })]);
    technician.hear(0, 0, false);
    assert!(technician.run(technician.now + 3000 * MS).iter().all(|(_, act)| !matches!(act, Act::Announce(_))));
}

#[test]
fn forged_epochs_make_a_technician_no_chatterbox() {
    let mut technician = Side::with_spare(End::Technician);
    let mut announced = 0;
    for turn in 0..400 {
        technician.hear(0, turn % 2, false);
        technician.hear(0, 0, false);
        announced += technician.tick().0.iter().filter(|act| matches!(act, Act::Announce(_))).count();
        technician.pass(5 * MS);
    }
    assert!((8..=11).contains(&announced), "{announced} in 2 s");
}

#[test]
fn an_escape_does_not_forget_which_path_is_wanted() {
    let mut technician = Side::with_spare(End::Technician);
    technician.paths.move_to(Carrier::Relayed, channel(3), technician.now, 0);
    technician.paths.forget(channel(1));
    technician.run(technician.now + 2000 * MS);
    assert_eq!(technician.paths.channel(), Some(channel(2)));
    technician.pass(ASK_MOST);
    technician.answer_all();
    technician.tick();
    assert_eq!(technician.paths.channel(), Some(channel(3)));
}

#[test]
fn an_agent_that_hears_nothing_says_so_on_all_paths() {
    let mut agent = Side::with_spare(End::Agent);
    agent.send();
    let acts = agent.run(agent.now + 75 * MS);
    assert_eq!(questions(&acts, channel(2)), 0, "too early");
    assert!(questions(&acts, channel(1)) >= 2, "but it asked");
    let acts = agent.run(agent.now + 100 * MS);
    assert!(questions(&acts, channel(2)) >= 2);
    assert!(agent.send().unwrap().flags.hears_nothing);

    agent.hear(0, 0, false);
    assert!(!agent.send().unwrap().flags.hears_nothing);
}

#[test]
fn what_a_deaf_agent_says_counts_for_the_present_path_alone() {
    for (count, obeyed) in [(0, true), (7, false)] {
        let mut technician = Side::with_spare(End::Technician);
        technician.hear(1, count, true);
        technician.tick();
        assert_eq!(technician.paths.channel() == Some(channel(2)), obeyed, "{count}");
    }
}

#[test]
fn a_technician_escapes_to_a_path_that_answered_lately_and_to_no_other() {
    let mut technician = Side::with_spare(End::Technician);
    technician.send();
    technician.run(technician.now + 300 * MS);
    assert_eq!(technician.paths.channel(), Some(channel(2)));

    let mut technician = Side::with_spare(End::Technician);
    technician.run(technician.now + TRUSTED_FOR);
    technician.send();
    let acts = technician.run(technician.now + 600 * MS);
    assert_eq!(technician.paths.channel(), Some(channel(1)));
    assert!(questions(&acts, channel(2)) >= 3, "it is asked again and again");
    technician.pass(ASK_MOST);
    technician.answer_all();
    technician.tick();
    assert_eq!(technician.paths.channel(), Some(channel(2)));
}

#[test]
fn one_answer_in_time_ends_the_doubt() {
    for end in [End::Agent, End::Technician] {
        let mut side = Side::with_spare(end);
        for _ in 0..20 {
            side.send();
            side.run(side.now + 50 * MS);
            side.hear(0, 0, false);
            side.run(side.now + 200 * MS);
        }
        assert_eq!((side.paths.count(), side.paths.flags().hears_nothing), (0, false));
    }
}

#[test]
fn a_session_with_one_path_asks_nothing_before_a_long_silence() {
    for end in [End::Agent, End::Technician] {
        let mut side = Side::new(end);
        side.pass(60_000 * MS);
        assert_eq!(side.tick(), (Vec::new(), None), "nothing was sent, so nothing is due");
        side.send();
        let sent = side.now;
        side.pass(LONG_SILENCE - MS);
        assert_eq!(side.tick(), (Vec::new(), Some(sent + LONG_SILENCE)));
        side.pass(MS);
        let (acts, next) = side.tick();
        assert!(matches!(acts[..], [Act::Probe { probe: Probe::Ping(_), .. }]), "{acts:?}");
        assert_eq!(next, Some(sent + LONG_SILENCE + ASK_SPARE), "now and then from here on");
        side.hear(0, 0, false);
        assert!(side.tick().0.is_empty() || end == End::Technician, "a technician asks again, to begin afresh");
    }
}

#[test]
fn no_path_is_given_up_in_a_silence_nor_at_its_end() {
    for end in [End::Agent, End::Technician] {
        let mut side = Side::with_spare(end);
        side.pass(300_000 * MS);
        side.tick();
        side.hear(0, 0, false);
        side.tick();
        assert_eq!((side.paths.find(channel(1)), side.paths.find(channel(2))), (Some(0), Some(1)));
    }
}

#[test]
fn what_an_agent_sent_before_a_silence_ended_is_not_for_quinn() {
    let mut side = Side::new(End::Technician);
    let flags = |count| PathFlags { epoch: Epoch::of(count), hears_nothing: false };
    side.send();
    side.hear(0, 0, false);
    assert!(side.paths.takes(flags(0), side.now));
    side.send();
    side.pass(300_000 * MS);
    side.hear(0, 0, false);
    assert!(!side.paths.takes(flags(0), side.now));
    assert!(!side.paths.takes(flags(1), side.now), "nobody has flipped yet");
    side.answer_all();
    side.tick();
    assert_eq!(side.paths.count(), 1, "it began afresh");
    assert!(!side.paths.takes(flags(0), side.now));
    assert!(side.paths.takes(flags(1), side.now));
    assert!(side.paths.takes(flags(0), side.now), "late ones of before do no harm any more");

    side.send();
    side.pass(300_000 * MS);
    side.hear(0, 1, false);
    side.pass(3000 * MS);
    assert!(side.paths.takes(flags(1), side.now), "an agent that never follows is heard all the same");
}

#[test]
fn paths_that_lead_nowhere_are_given_up() {
    for end in [End::Agent, End::Technician] {
        let mut side = Side::with_spare(end);
        for _ in 0..7 {
            side.run(side.now + ASK_SPARE);
            side.hear(0, 0, false);
        }
        side.tick();
        assert_eq!((side.paths.find(channel(1)), side.paths.find(channel(2))), (Some(0), None));
    }
}

#[test]
fn a_full_list_gives_way_where_it_hurts_least() {
    let mut agent = Side::with_spare(End::Agent);
    for slot in 3..=8 {
        agent.pass(MS);
        agent.paths.add(Carrier::Relayed, channel(slot), agent.now, 0);
        assert!(agent.paths.paths.len() <= PATHS);
    }
    assert!(agent.paths.uses(channel(1)), "the present one stays");
    assert!(!agent.paths.uses(channel(2)) && !agent.paths.uses(channel(3)));
}

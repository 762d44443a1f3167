use proptest::prelude::*;
use trust::probe::ProbeKeys;
use wire::{
    channel::PathFlags,
    control::Side,
    path::{FULL_PROBE_BYTES, PROBE_BYTES},
};

use super::*;

const MS: Duration = Duration::from_millis(1);
const STEP: Duration = Duration::from_millis(5);
const START: Uptime = Uptime::from_secs(100);
const RELAY_RTT: Duration = Duration::from_millis(80);

fn agent_address() -> SocketAddr {
    ([198, 51, 100, 1], 1).into()
}

fn technician_address() -> SocketAddr {
    ([198, 51, 100, 2], 2).into()
}

/// Where the agent can be reached as well, if there is such an address.
fn second_address() -> SocketAddr {
    ([198, 51, 100, 3], 3).into()
}

fn keys(end: End) -> ProbeKeys {
    let side = if end == End::Agent { Side::Agent } else { Side::Technician };
    ProbeKeys::new(&[7; 32], side)
}

/// What arrives at an end.
enum Arriving {
    Letter {
        from: SocketAddr,
        at: SocketAddr,
        packet: Vec<u8>,
    },
    Relayed(PathFlags),
    RelayedPong(u64),
    /// A packet of QUIC by the direct path.
    Data(ChannelId, PathFlags),
}

/// Both ends' paths and a network between them, without QUIC, sockets or a clock.
struct Ends {
    agent: Paths,
    technician: Paths,
    now: Uptime,
    under_way: Vec<(Uptime, End, Arriving)>,
    direct_works: bool,
    one_way: Duration,
    /// The same to the agent's second address.
    second: Option<Duration>,
    letters: usize,
    largest_to_strangers: usize,
    announced: Vec<Act>,
}

impl Ends {
    fn new() -> Self {
        let channel = ChannelId::new(1, 7).unwrap();
        let paths = |end| {
            let mut paths = Paths::new(end);
            paths.add(Carrier::Relayed, channel, START, 1000);
            paths.established();
            paths
        };
        Self {
            agent: paths(End::Agent),
            technician: paths(End::Technician),
            now: START,
            under_way: Vec::new(),
            direct_works: true,
            one_way: 5 * MS,
            second: None,
            letters: 0,
            largest_to_strangers: 0,
            announced: Vec::new(),
        }
    }

    fn open(&mut self) {
        self.agent.open_direct(keys, self.now);
        self.technician.open_direct(keys, self.now);
    }

    fn introduce(&mut self) {
        self.agent.punch(&[technician_address()], None, self.now);
        self.technician.punch(&[agent_address()], None, self.now);
    }

    fn carriers(&self) -> (Carrier, Carrier) {
        (self.agent.carrier(), self.technician.carrier())
    }

    fn paths(&mut self, end: End) -> &mut Paths {
        match end {
            End::Agent => &mut self.agent,
            End::Technician => &mut self.technician,
        }
    }

    fn send_letter(&mut self, from: End, own: SocketAddr, to: SocketAddr, packet: Vec<u8>) {
        self.letters += 1;
        let receiver = if from == End::Agent { End::Technician } else { End::Agent };
        let known = self.paths(from).paths.iter().any(|path| path.peer == Some(to));
        if !known {
            self.largest_to_strangers = self.largest_to_strangers.max(packet.len());
        }
        let by_second = [own, to].contains(&second_address());
        let one_way = if by_second { self.second } else { Some(self.one_way) };
        let reaches = match receiver {
            End::Agent => to == agent_address() || to == second_address(),
            End::Technician => to == technician_address(),
        };
        if let Some(one_way) = one_way.filter(|_| self.direct_works && reaches) {
            self.under_way.push((self.now + one_way, receiver, Arriving::Letter { from: own, at: to, packet }));
        }
    }

    /// One packet of QUIC from an end to the other, and one back.
    fn speak(&mut self, from: End) {
        let now = self.now;
        let label = self.paths(from).label();
        let Some(by) = self.paths(from).route(label, now) else { return };
        let to = if from == End::Agent { End::Technician } else { End::Agent };
        match by.carrier {
            Carrier::Direct if self.direct_works => {
                self.under_way.push((now + self.one_way, to, Arriving::Data(by.channel, by.flags)));
            }
            Carrier::Direct => {}
            Carrier::Relayed => self.under_way.push((now + RELAY_RTT / 2, to, Arriving::Relayed(by.flags))),
        }
    }

    fn arrive(&mut self, at: End, what: Arriving) {
        let now = self.now;
        match what {
            Arriving::Letter { from, at: own, packet } => {
                let reply = self.paths(at).direct_probe(from, &packet, now).flatten();
                if let Some((to, letter)) = reply {
                    assert!(letter.len() <= packet.len(), "an answer is never larger than its question");
                    self.send_letter(at, own, to, letter);
                }
            }
            Arriving::Relayed(flags) => self.paths(at).heard(0, flags, true, now),
            Arriving::RelayedPong(number) => {
                self.paths(at).heard(0, PathFlags::default(), false, now);
                self.paths(at).answered(0, number, now);
            }
            Arriving::Data(channel, flags) => {
                let path = self.technician.paths.iter().find(|path| path.channel == Some(channel));
                let agents = path.and_then(|path| path.peer).unwrap_or(agent_address());
                let from = if at == End::Agent { technician_address() } else { agents };
                if let Some(id) = self.paths(at).find_direct(channel, from) {
                    self.paths(at).heard(id, flags, true, now);
                }
            }
        }
    }

    fn step(&mut self) {
        self.now += STEP;
        let now = self.now;
        let mut later = Vec::new();
        for (at, end, what) in std::mem::take(&mut self.under_way) {
            if at <= now {
                self.arrive(end, what);
            } else {
                later.push((at, end, what));
            }
        }
        self.under_way.extend(later);
        for end in [End::Agent, End::Technician] {
            let mut acts = Vec::new();
            let observed = Observed { rtt: RELAY_RTT, path_responses: u64::from(self.technician.count()) };
            self.paths(end).tick(now, observed, &mut acts);
            for act in acts {
                match act {
                    Act::Letter(to, packet) => {
                        let own = if end == End::Agent { agent_address() } else { technician_address() };
                        self.send_letter(end, own, to, packet);
                    }
                    Act::Probe { probe: Probe::Ping(number), .. } => {
                        self.under_way.push((now + RELAY_RTT, end, Arriving::RelayedPong(number)));
                    }
                    Act::Probe { .. } => {}
                    Act::Announce(flip) => {
                        // Inside the session, so it takes the present path.
                        self.announced.push(Act::Announce(flip));
                        if self.technician.carrier() == Carrier::Relayed || self.direct_works {
                            self.agent.confirm(flip, now);
                        }
                    }
                }
            }
        }
    }

    /// Both ends speak now and then.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        let mut turn = 0u32;
        while self.now < until {
            self.step();
            turn += 1;
            if turn.is_multiple_of(10) {
                self.speak(End::Technician);
                self.speak(End::Agent);
            }
        }
    }
}

#[test]
fn a_path_is_found_proven_and_taken_in_a_few_round_trips() {
    let mut ends = Ends::new();
    ends.open();
    ends.introduce();
    ends.pass(100 * MS);
    assert_eq!(ends.carriers(), (Carrier::Direct, Carrier::Direct));
    assert!(ends.largest_to_strangers <= DIRECT_PROBE_BYTES, "only small packets go where nobody has answered");
    assert!(matches!(ends.technician.direct_state(ends.now), DirectState::Used { sooner_us: 50_000.. }));
}

#[test]
fn without_leave_nothing_is_sent_and_nothing_answered() {
    let mut ends = Ends::new();
    ends.introduce();
    ends.pass(1000 * MS);
    assert_eq!((ends.letters, ends.carriers()), (0, (Carrier::Relayed, Carrier::Relayed)));

    ends.technician.open_direct(keys, ends.now);
    ends.introduce();
    ends.pass(5000 * MS);
    assert_eq!(ends.letters, TRIES.len(), "the technician tries, the agent is silent");
    assert_eq!(ends.technician.direct_state(ends.now), DirectState::NoAnswer);
}

#[test]
fn tries_end_and_begin_again_after_a_minute() {
    let mut ends = Ends::new();
    ends.open();
    ends.direct_works = false;
    assert!(ends.technician.wants_round(ends.now) && !ends.agent.wants_round(ends.now));
    ends.introduce();
    ends.pass(10_000 * MS);
    assert_eq!(ends.letters, 2 * TRIES.len());
    assert!(!ends.technician.wants_round(ends.now));
    ends.pass(ROUND_EVERY);
    assert!(ends.technician.wants_round(ends.now));
}

#[test]
fn an_address_that_is_told_a_moment_later_does_not_stop_the_others() {
    let mut ends = Ends::new();
    ends.open();
    ends.agent.punch(&[technician_address()], None, ends.now);
    ends.technician.punch(&[], None, ends.now);
    ends.direct_works = false;
    ends.pass(300 * MS);
    let before = ends.letters;
    for more in 1..20 {
        let mapped = SocketAddr::from(([203, 0, 113, 9], 9 + more));
        ends.agent.punch(&[technician_address(), mapped], None, ends.now);
        ends.pass(100 * MS);
    }
    ends.direct_works = true;
    assert!(ends.letters >= before + 3, "the first address goes on being tried");
    ends.technician.punch(&[agent_address()], None, ends.now);
    ends.pass(8000 * MS);
    assert_eq!(ends.carriers(), (Carrier::Direct, Carrier::Direct));
}

#[test]
fn who_repeats_or_forges_probes_gets_no_answer() {
    let mut agent = Ends::new().agent;
    agent.open_direct(keys, START);
    let mut technician = Ends::new().technician;
    technician.open_direct(keys, START);
    technician.punch(&[agent_address()], None, START);
    let mut acts = Vec::new();
    technician.try_addresses(START, &mut acts, &mut None);
    let [Act::Letter(_, packet)] = acts.as_slice() else { panic!("{acts:?}") };

    let forged = |at: usize| {
        let mut forged = packet.clone();
        forged[at] ^= 1;
        forged
    };
    for at in 0..packet.len() {
        assert_eq!(agent.direct_probe(technician_address(), &forged(at), START), None, "byte {at}");
    }
    assert_eq!(technician.direct_probe(agent_address(), packet, START), None, "sent back to who made it");
    assert!(matches!(agent.direct_probe(technician_address(), packet, START), Some(Some(_))));
    for from in [technician_address(), agent_address()] {
        assert_eq!(agent.direct_probe(from, packet, START), None, "a second time");
    }
    assert_eq!(agent.paths.len(), 1, "one question makes no path");

    agent.close_direct();
    agent.open_direct(keys, START);
    assert_eq!(agent.direct_probe(technician_address(), packet, START), None, "nor after a pause");
}

#[test]
fn an_answer_from_elsewhere_than_was_asked_proves_nothing() {
    let (mut agent, mut technician) = (Ends::new().agent, Ends::new().technician);
    agent.open_direct(keys, START);
    technician.open_direct(keys, START);
    technician.punch(&[agent_address()], None, START);
    let mut acts = Vec::new();
    technician.try_addresses(START, &mut acts, &mut None);
    let Some(Act::Letter(_, packet)) = acts.pop() else { panic!() };
    let Some(Some((_, answer))) = agent.direct_probe(technician_address(), &packet, START) else { panic!() };
    let elsewhere = SocketAddr::from(([203, 0, 113, 5], 5));
    assert_eq!(technician.direct_probe(elsewhere, &answer, START + MS), Some(None));
    assert_eq!(technician.paths.len(), 1);
}

#[test]
fn not_even_a_technician_can_say_that_it_receives_where_it_does_not() {
    let (mut agent, mut technician) = (Ends::new().agent, Ends::new().technician);
    agent.open_direct(keys, START);
    technician.open_direct(keys, START);
    let forger = technician.direct.as_deref_mut().unwrap();
    let (own, victim) = (technician_address(), SocketAddr::from(([203, 0, 113, 5], 5)));
    let mut ask = |from: SocketAddr, heard: u64| {
        let bytes = u16::try_from(DIRECT_PROBE_BYTES).unwrap();
        let (channel, flags) = (forger.channel(0), PathFlags::default());
        let question = DirectProbe { channel, flags, probe: Probe::Ping(1), sequence: 0, heard, bytes };
        let packet = forger.letter(question);
        let Some(Some((to, answer))) = agent.direct_probe(from, &packet, START) else { panic!("it is well tagged") };
        assert_eq!(to, from);
        let token = forger.read(&answer).unwrap().heard;
        let peers = agent.paths.iter().filter_map(|path| path.peer).collect::<Vec<_>>();
        (token, peers)
    };
    let (first, none) = ask(own, 0);
    assert_eq!(none, []);
    assert_eq!(ask(own, first).1, [own], "a return trip");

    // What goes to the victim is not seen; what is repeated was told to its own address, or is guessed.
    let (_unseen, _) = ask(victim, 0);
    let (second, _) = ask(own, first);
    for heard in [first, second].into_iter().chain(1..100) {
        assert_eq!(ask(victim, heard).1, [own], "{heard}");
        ask(own, heard);
    }
}

#[test]
fn the_faster_of_two_direct_paths_is_taken_and_a_little_faster_is_not_enough() {
    let path = |id: PathId, ms: u64, v6: bool| {
        let mut path = Path::new(id, Carrier::Direct, ChannelId::direct(0, 1), START, 0);
        let address = if v6 { "[2001:db8::1]:1" } else { "192.0.2.1:1" };
        (path.peer, path.smooth) = (address.parse().ok(), Duration::from_millis(ms));
        path
    };
    let better = |a: &Path, b: &Path| score(a) + FASTER_BY <= score(b);
    assert!(better(&path(1, 10, false), &path(2, 15, false)));
    assert!(!better(&path(1, 11, false), &path(2, 15, false)));
    assert!(better(&path(1, 13, true), &path(2, 15, false)));
    assert!(!better(&path(1, 10, false), &path(2, 15, true)));
}

#[test]
fn a_session_changes_to_a_direct_path_that_is_clearly_faster_and_to_no_other() {
    for (second, moves) in [(2 * MS, true), (18 * MS, false), (40 * MS, false)] {
        let mut ends = Ends::new();
        ends.one_way = 20 * MS;
        ends.open();
        ends.introduce();
        ends.pass(1500 * MS);
        assert_eq!(ends.carriers(), (Carrier::Direct, Carrier::Direct));
        let first = ends.technician.path(ends.technician.current).unwrap().peer;
        assert_eq!(first, Some(agent_address()));

        // Another address of the agent is found while the session goes directly already.
        ends.second = Some(second);
        let channel = ends.technician.direct.as_mut().unwrap().channel(100);
        let now = ends.now;
        let id = ends.technician.add(Carrier::Direct, channel, now, 77);
        ends.technician.path_mut(id).unwrap().peer = Some(second_address());
        ends.pass(20_000 * MS);
        assert_eq!(ends.carriers(), (Carrier::Direct, Carrier::Direct));
        let present = ends.technician.path(ends.technician.current).unwrap().peer;
        assert_eq!(present == Some(second_address()), moves, "{second:?}");
        assert_eq!(ends.technician.count(), if moves { 2 } else { 1 }, "{second:?}: no to and fro");
        assert_eq!(ends.agent.count(), ends.technician.count());
    }
}

#[test]
fn a_direct_path_that_dies_again_and_again_is_left_alone_for_longer() {
    let mut ends = Ends::new();
    ends.open();
    let mut waits = Vec::new();
    for _ in 0..5 {
        ends.direct_works = true;
        let from = ends.now;
        while ends.carriers() != (Carrier::Direct, Carrier::Direct) {
            if ends.technician.wants_round(ends.now) {
                ends.introduce();
            }
            ends.pass(200 * MS);
            assert!(ends.now < from + Duration::from_secs(600));
        }
        waits.push((ends.now - from).as_secs());
        ends.pass(1200 * MS);
        ends.direct_works = false;
        ends.pass(2000 * MS);
        assert_eq!(ends.technician.carrier(), Carrier::Relayed);
    }
    assert!(waits.windows(2).skip(1).all(|pair| pair[0] < pair[1]), "{waits:?}");
}

#[test]
fn the_relay_is_never_given_up_for_direct_paths() {
    let mut ends = Ends::new();
    ends.open();
    ends.introduce();
    ends.pass(120_000 * MS);
    assert_eq!(ends.carriers(), (Carrier::Direct, Carrier::Direct));
    for paths in [&ends.agent, &ends.technician] {
        assert!(paths.lifeline().is_some());
    }
}

#[derive(Debug, Clone)]
enum Op {
    Pass(u64),
    Direct(bool),
    Delay(u64),
    Introduce,
    Close,
    Open,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (10..4000u64).prop_map(Op::Pass),
        3 => any::<bool>().prop_map(Op::Direct),
        2 => (1..150u64).prop_map(Op::Delay),
        3 => Just(Op::Introduce),
        1 => Just(Op::Close),
        1 => Just(Op::Open),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_the_network_does_the_ends_come_together_again(ops in prop::collection::vec(op(), 1..30)) {
        let mut ends = Ends::new();
        ends.open();
        for op in ops {
            match op {
                Op::Pass(ms) => ends.pass(Duration::from_millis(ms)),
                Op::Direct(works) => ends.direct_works = works,
                Op::Delay(ms) => ends.one_way = Duration::from_millis(ms),
                Op::Introduce => ends.introduce(),
                Op::Close => {
                    ends.agent.close_direct();
                    ends.technician.close_direct();
                }
                Op::Open => ends.open(),
            }
            // The relay is there to come back to, and no list grows.
            prop_assert!(ends.agent.lifeline().is_some() && ends.technician.lifeline().is_some());
            prop_assert!(ends.agent.paths.len() <= 6 && ends.technician.paths.len() <= 6);
            prop_assert!(ends.largest_to_strangers <= FULL_PROBE_BYTES.min(PROBE_BYTES + 100));
            let closed = ends.technician.direct.is_none();
            prop_assert!(!closed || ends.agent.direct.is_none());
            let elapsed = (ends.now - START).as_secs();
            prop_assert!(u64::from(ends.technician.count()) <= elapsed + 1, "flips are a second apart");
        }
        // The direct path is dead for good: everything goes by the relay, on both sides.
        ends.direct_works = false;
        ends.pass(5000 * MS);
        prop_assert_eq!(ends.carriers(), (Carrier::Relayed, Carrier::Relayed));
        prop_assert_eq!(ends.agent.count(), ends.technician.count());
        // It lives for good: sooner or later it is taken.
        ends.direct_works = true;
        ends.one_way = 5 * MS;
        ends.open();
        for _ in 0..800 {
            if ends.carriers() == (Carrier::Direct, Carrier::Direct) {
                break;
            }
            if ends.technician.wants_round(ends.now) {
                ends.introduce();
            }
            ends.pass(1000 * MS);
        }
        prop_assert_eq!(ends.carriers(), (Carrier::Direct, Carrier::Direct));
    }

    #[test]
    fn every_number_is_taken_once(numbers in prop::collection::vec(0..200u64, 1..300)) {
        let mut window = Window::default();
        let mut taken = std::collections::BTreeSet::new();
        let mut newest = 0;
        for number in numbers {
            let took = window.take(number);
            prop_assert!(!took || taken.insert(number), "{number} twice");
            prop_assert!(took || number <= newest, "{number} is newer than all");
            newest = newest.max(number);
        }
    }
}

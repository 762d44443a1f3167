//! Arbitrary peers doing arbitrary things in arbitrary order. What must hold is checked by [`World`] after every step.

use std::{collections::BTreeMap, time::Duration};

use crate::world::World;
use broker::{BrokerConfig, ConnectionId, Rate};
use proptest::{prelude::*, sample::Index, test_runner::FileFailurePersistence};
use wire::{
    channel::ChannelId,
    control::{FirstFlight, FromRelay, Refusal, Rendezvous, Side, ToRelay},
    ids::{AgentId, Locator},
};

/// One thing that happens. Whom it concerns is chosen among those who are there.
#[derive(Debug, Clone)]
enum Op {
    Connect { address: u8 },
    ConnectAs { address: u8, agent: u8 },
    Sleep { who: Index },
    Awake { who: Index },
    Beds { count: usize },
    Disconnect { who: Index },
    Allocate { who: Index },
    Release { who: Index, locator: Index },
    Attach { who: Index, locator: Index },
    AttachAtRandom { who: Index, digits: u16 },
    Rejoin { who: Index, meeting: u8, side: Side },
    Close { who: Index, channel: Index },
    Talk { channel: Index },
    Advance { millis: u32 },
    Suspend { secs: u32 },
}

fn op() -> impl Strategy<Value = Op> {
    let side = prop_oneof![Just(Side::Agent), Just(Side::Technician)];
    prop_oneof![
        4 => (0..6u8).prop_map(|address| Op::Connect { address }),
        4 => (0..6u8, 0..3u8).prop_map(|(address, agent)| Op::ConnectAs { address, agent }),
        4 => any::<Index>().prop_map(|who| Op::Sleep { who }),
        3 => any::<Index>().prop_map(|who| Op::Awake { who }),
        1 => (0..2usize).prop_map(|count| Op::Beds { count }),
        2 => any::<Index>().prop_map(|who| Op::Disconnect { who }),
        4 => any::<Index>().prop_map(|who| Op::Allocate { who }),
        1 => any::<(Index, Index)>().prop_map(|(who, locator)| Op::Release { who, locator }),
        6 => any::<(Index, Index)>().prop_map(|(who, locator)| Op::Attach { who, locator }),
        1 => (any::<Index>(), 0..10_000u16).prop_map(|(who, digits)| Op::AttachAtRandom { who, digits }),
        4 => (any::<Index>(), 0..4u8, side).prop_map(|(who, meeting, side)| Op::Rejoin { who, meeting, side }),
        2 => any::<(Index, Index)>().prop_map(|(who, channel)| Op::Close { who, channel }),
        3 => any::<Index>().prop_map(|channel| Op::Talk { channel }),
        4 => (0..40_000u32).prop_map(|millis| Op::Advance { millis }),
        1 => (0..2_000u32).prop_map(|secs| Op::Suspend { secs }),
    ]
}

/// Bounds that a few dozen steps reach.
fn tight() -> BrokerConfig {
    BrokerConfig {
        max_connections: 12,
        max_connections_per_address: 4,
        max_channels_per_address: 5,
        max_channels_per_connection: 3,
        max_slots: 4,
        max_locators: 5,
        max_rejoins: 4,
        max_rejoins_per_connection: 2,
        allocate_rate: Rate::new(4, Duration::from_secs(6)),
        max_remembered_addresses: 2,
        ..BrokerConfig::default()
    }
}

/// The test's own idea of where each locator leads.
#[derive(Default)]
struct Told {
    leads_to: BTreeMap<Locator, ConnectionId>,
    /// Who has shown which key.
    agents: BTreeMap<ConnectionId, AgentId>,
    /// Where locators led when their agents went to sleep. Nobody is told when they lapse.
    slept: BTreeMap<Locator, AgentId>,
    /// Everything ever given out, so that used ones are tried as well.
    ever: Vec<Locator>,
}

impl Told {
    /// Reads what everybody was sent.
    fn learn(&mut self, world: &mut World) {
        let ids = world.peers.keys().copied().collect::<Vec<_>>();
        for id in ids {
            for message in world.take_inbox(id) {
                match message {
                    FromRelay::LocatorAllocated { locator, .. } => {
                        self.leads_to.retain(|_, agent| *agent != id);
                        let before = self.leads_to.insert(locator, id);
                        assert_eq!(before, None, "{locator} leads to two agents");
                        assert!(!self.ever.contains(&locator), "{locator} came back within a day");
                        self.ever.push(locator);
                    }
                    FromRelay::Resumed { locator: Some(locator) } => {
                        assert_eq!(self.slept.remove(&locator), self.agents.get(&id).copied(), "somebody else's");
                        assert_eq!(self.leads_to.insert(locator, id), None);
                    }
                    FromRelay::LocatorLapsed { locator } => {
                        assert_eq!(self.leads_to.remove(&locator), Some(id));
                    }
                    _ => {}
                }
            }
        }
        self.leads_to.retain(|_, agent| world.peers.contains_key(agent));
        let counts = world.broker.counts();
        assert_eq!(counts.locators, self.leads_to.len() + counts.sleepers);
        assert!(counts.sleepers <= self.slept.len());
    }
}

fn pick<T: Copy>(index: &Index, from: &[T]) -> Option<T> {
    (!from.is_empty()).then(|| *index.get(from))
}

fn apply(world: &mut World, told: &mut Told, op: &Op) {
    let peers = world.peers.keys().copied().collect::<Vec<_>>();
    let channels = world.slots.0.keys().copied().collect::<Vec<ChannelId>>();
    match op {
        Op::Connect { address } => {
            let _refused_when_full = world.try_connect(&format!("192.0.2.{address}"));
        }
        Op::ConnectAs { address, agent } => {
            let agent = AgentId([*agent; 16]);
            if let Ok(id) = world.try_connect_as(&format!("192.0.2.{address}"), Some(agent)) {
                let same = |of: &ConnectionId| told.agents.get(of) == Some(&agent);
                assert!(!world.peers.keys().any(|other| *other != id && same(other)), "two with one key");
                told.agents.insert(id, agent);
            }
        }
        Op::Sleep { who } => {
            let Some(id) = pick(who, &peers) else { return };
            let answer = world.send(id, ToRelay::Sleep);
            let agent = told.agents.get(&id).copied().filter(|agent| world.asleep.contains(agent));
            if let Some(agent) = agent.filter(|_| !world.peers.contains_key(&id)) {
                told.slept.extend(told.leads_to.iter().filter(|(_, of)| **of == id).map(|(own, _)| (*own, agent)));
            }
            restore(world, id, answer);
        }
        Op::Awake { who } => {
            let Some(id) = pick(who, &peers) else { return };
            let answer = world.send(id, ToRelay::Awake);
            restore(world, id, answer);
        }
        Op::Beds { count } => world.beds = *count,
        Op::Disconnect { who } => {
            if let Some(id) = pick(who, &peers) {
                world.disconnect(id);
            }
        }
        Op::Allocate { who } => {
            let Some(id) = pick(who, &peers) else { return };
            let before = told.leads_to.values().any(|agent| *agent == id);
            let answer = world.send(id, ToRelay::AllocateLocator);
            let refused = matches!(answer.as_slice(), [FromRelay::Refused { reason: Refusal::Full }]);
            assert!(!(refused && before), "the earlier locator made room");
            restore(world, id, answer);
        }
        Op::Release { who, locator } => {
            let (Some(id), Some(locator)) = (pick(who, &peers), pick(locator, &told.ever)) else { return };
            let answer = world.send(id, ToRelay::ReleaseLocator { locator });
            if told.leads_to.get(&locator) == Some(&id) {
                told.leads_to.remove(&locator);
            }
            restore(world, id, answer);
        }
        Op::Attach { who, locator } => {
            let (Some(id), Some(locator)) = (pick(who, &peers), pick(locator, &told.ever)) else { return };
            attach(world, told, id, locator);
        }
        Op::AttachAtRandom { who, digits } => {
            let Some(id) = pick(who, &peers) else { return };
            attach(world, told, id, Locator::new(u32::from(*digits), 4).expect("four digits"));
        }
        Op::Rejoin { who, meeting, side } => {
            let Some(id) = pick(who, &peers) else { return };
            let answer = world.send(id, ToRelay::Rejoin { rendezvous: Rendezvous([*meeting; 16]), side: *side });
            restore(world, id, answer);
        }
        Op::Close { who, channel } => {
            let (Some(id), Some(channel)) = (pick(who, &peers), pick(channel, &channels)) else { return };
            let own = world.peers.get(&id).is_some_and(|peer| peer.channels.contains(&channel));
            let answer = world.send(id, ToRelay::CloseChannel { channel });
            assert_eq!(world.slots.0.contains_key(&channel), !own);
            restore(world, id, answer);
        }
        Op::Talk { channel } => {
            if let Some(channel) = pick(channel, &channels) {
                world.talk(channel);
            }
        }
        Op::Advance { millis } => world.advance(Duration::from_millis(u64::from(*millis))),
        Op::Suspend { secs } => world.suspend(Duration::from_secs(u64::from(*secs))),
    }
}

/// An attach leads to the agent that holds the locator, or nowhere.
fn attach(world: &mut World, told: &Told, id: ConnectionId, locator: Locator) {
    let before = world.slots.0.len();
    let answer = world.send(id, ToRelay::Attach { locator, first: FirstFlight::default() });
    match answer.as_slice() {
        [FromRelay::ChannelOpen { channel, .. }, ..] => {
            let slot = &world.slots.0[channel];
            assert_eq!((Some(&slot.agent), slot.technician), (told.leads_to.get(&locator), id));
        }
        // Cut off for flooding, which closes what it had; or the agent sleeps.
        [] => assert!(!world.peers.contains_key(&id) || told.slept.contains_key(&locator)),
        _ => assert_eq!(world.slots.0.len(), before),
    }
    restore(world, id, answer);
}

/// Puts back what was taken, for [`Told::learn`].
fn restore(world: &mut World, id: ConnectionId, answer: Vec<FromRelay>) {
    if let Some(peer) = world.peers.get_mut(&id) {
        peer.inbox.splice(0..0, answer);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_the_peers_do_the_relays_books_are_right(ops in prop::collection::vec(op(), 1..120)) {
        let (mut world, mut told) = (World::new(tight()), Told::default());
        for op in &ops {
            apply(&mut world, &mut told, op);
            told.learn(&mut world);
        }

        for id in world.peers.keys().copied().collect::<Vec<_>>() {
            world.disconnect(id);
        }
        let counts = world.broker.counts();
        // Whoever sleeps keeps its locator until that lapses.
        let locators = counts.locators - counts.sleepers;
        prop_assert_eq!((counts.connections, counts.channels, locators, counts.rejoins, counts.waking), (0, 0, 0, 0, 0));

        world.advance(Duration::from_secs(25 * 60 * 60));
        prop_assert_eq!(world.broker.counts(), broker::Counts::default(), "everything is forgotten in the end");
        prop_assert_eq!(world.broker.poll_timeout(), None);
    }

    #[test]
    fn a_drain_always_ends_with_nothing_left(ops in prop::collection::vec(op(), 1..60), late in op()) {
        let (mut world, mut told) = (World::new(tight()), Told::default());
        for op in &ops {
            apply(&mut world, &mut told, op);
            told.learn(&mut world);
        }
        let channels = world.broker.counts().channels;
        world.drain(Duration::from_secs(5));
        apply(&mut world, &mut told, &late);
        prop_assert!(world.broker.counts().channels <= channels, "nothing new starts");

        world.finish();
        let counts = world.broker.counts();
        // Whoever sleeps keeps its locator until that lapses.
        let locators = counts.locators - counts.sleepers;
        prop_assert_eq!((counts.connections, counts.channels, locators, counts.rejoins, counts.waking), (0, 0, 0, 0, 0));
        prop_assert!(world.peers.is_empty());
    }
}

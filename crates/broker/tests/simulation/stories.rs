//! What agents, technicians and troublemakers live through at a relay.

use std::time::Duration;

use crate::world::World;
use broker::{BrokerConfig, Event, LocatorEnd, Rate};
use wire::{
    channel::ChannelId,
    control::{ChannelEnd, ChannelOrigin, FirstFlight, FromRelay, Refusal, Rendezvous, Side, ToRelay},
    ids::{AgentId, Locator},
};

const SECOND: Duration = Duration::from_secs(1);

fn world() -> World {
    World::new(BrokerConfig::default())
}

fn refused(reason: Refusal) -> Vec<FromRelay> {
    vec![FromRelay::Refused { reason }]
}

#[test]
fn a_technician_reaches_the_agent_whose_locator_was_read_out() {
    let mut world = world();
    let (agent, technician) = (world.connect(), world.connect());
    let locator = world.allocate(agent);
    assert_eq!(locator.digits(), 4);

    let first = FirstFlight::of([vec![0xc0; 1200], vec![0xc1; 1200]]);
    let answer = world.send(technician, ToRelay::Attach { locator, first: first.clone() });

    let [FromRelay::ChannelOpen { channel, first: none, origin: ChannelOrigin::Attach }] = answer.as_slice() else {
        panic!("{answer:?}")
    };
    let channel = *channel;
    assert_eq!(*none, FirstFlight::default(), "a technician gets nothing back of what it sent");
    let told = world.take_inbox(agent);
    assert_eq!(told, [FromRelay::ChannelOpen { channel, first, origin: ChannelOrigin::Attach }]);
    let slot = &world.slots.0[&channel];
    assert_eq!((slot.agent, slot.technician), (agent, technician));
}

#[test]
fn the_agent_is_told_how_long_its_locator_lasts_and_when_it_lapsed() {
    let mut world = world();
    let agent = world.connect();
    let answer = world.send(agent, ToRelay::AllocateLocator);
    let [FromRelay::LocatorAllocated { locator, lifetime_secs: 600 }] = answer.as_slice() else {
        panic!("{answer:?}");
    };
    world.advance(599 * SECOND);
    assert_eq!(world.take_inbox(agent), []);
    world.advance(SECOND);
    assert_eq!(world.take_inbox(agent), [FromRelay::LocatorLapsed { locator: *locator }]);
}

#[test]
fn unknown_lapsed_used_and_foreign_locators_are_refused_alike() {
    let mut world = World::new(BrokerConfig { failed_attach_rate: Rate::new(9, SECOND), ..BrokerConfig::default() });
    let (first, second, technician) = (world.connect(), world.connect(), world.connect());
    let used = world.allocate(first);
    world.send(first, ToRelay::ReleaseLocator { locator: used });
    let replaced = world.allocate(first);
    let gone = world.allocate(second);
    world.disconnect(second);
    let lapsed = world.allocate(first);
    world.advance(601 * SECOND);

    for locator in [used, replaced, gone, lapsed, Locator::new(1, 6).unwrap()] {
        assert_eq!(world.attach(technician, locator), Err(Refusal::NobodyWaiting), "{locator}");
    }
}

#[test]
fn a_locator_that_lapsed_while_the_relay_slept_leads_nowhere_even_before_timers_run() {
    let mut world = world();
    let (agent, technician) = (world.connect(), world.connect());
    let locator = world.allocate(agent);
    world.now = world.now + 700 * SECOND;
    assert_eq!(world.attach(technician, locator), Err(Refusal::NobodyWaiting));
}

#[test]
fn a_second_technician_waits_until_the_first_attach_is_over() {
    let mut world = world();
    let (agent, ana, eve) = (world.connect(), world.connect(), world.connect());
    let locator = world.allocate(agent);
    let channel = world.attach(ana, locator).unwrap();
    assert_eq!(world.attach(eve, locator), Err(Refusal::Busy));

    world.send(agent, ToRelay::CloseChannel { channel });
    assert_eq!(world.take_inbox(ana), [FromRelay::ChannelClosed { channel, reason: ChannelEnd::Closed }]);
    assert!(world.attach(eve, locator).is_ok());
}

#[test]
fn a_used_code_lets_nobody_in_while_its_session_goes_on() {
    let mut world = world();
    let (agent, ana, eve) = (world.connect(), world.connect(), world.connect());
    let locator = world.allocate(agent);
    let channel = world.attach(ana, locator).unwrap();
    assert_eq!(world.send(agent, ToRelay::ReleaseLocator { locator }), []);

    assert_eq!(world.attach(eve, locator), Err(Refusal::NobodyWaiting));
    assert!(world.slots.0.contains_key(&channel));
}

#[test]
fn after_four_attaches_the_locator_is_gone_and_the_agent_knows() {
    let mut world = world();
    let agent = world.connect();
    let locator = world.allocate(agent);
    for turn in 1..=4 {
        let technician = world.connect();
        let channel = world.attach(technician, locator).unwrap_or_else(|reason| panic!("attach {turn}: {reason}"));
        world.take_inbox(agent);
        world.disconnect(technician);
        let told = world.take_inbox(agent);
        assert_eq!(told.first(), Some(&FromRelay::ChannelClosed { channel, reason: ChannelEnd::PeerGone }));
        assert_eq!(told.get(1), (turn == 4).then_some(&FromRelay::LocatorLapsed { locator }));
    }
    let late = world.connect();
    assert_eq!(world.attach(late, locator), Err(Refusal::NobodyWaiting));
    assert!(world.events.contains(&Event::LocatorEnded { connection: Some(agent), why: LocatorEnd::Exhausted }));
}

#[test]
fn a_locator_dies_with_its_agents_connection() {
    let mut world = world();
    let (agent, technician) = (world.connect(), world.connect());
    let locator = world.allocate(agent);
    world.disconnect(agent);
    assert_eq!(world.attach(technician, locator), Err(Refusal::NobodyWaiting));
}

#[test]
fn a_second_locator_replaces_the_first() {
    let mut world = world();
    let (agent, technician) = (world.connect(), world.connect());
    let first = world.allocate(agent);
    let second = world.allocate(agent);
    assert_eq!(world.broker.counts().locators, 1);
    assert_eq!(world.attach(technician, first), Err(Refusal::NobodyWaiting));
    assert!(world.attach(technician, second).is_ok());
}

#[test]
fn nobody_releases_the_locator_of_another() {
    let mut world = world();
    let (agent, other, stranger) = (world.connect(), world.connect(), world.connect());
    let locator = world.allocate(agent);
    world.allocate(other);

    assert_eq!(world.send(other, ToRelay::ReleaseLocator { locator }), refused(Refusal::Unexpected));
    // Silence, as for a locator of one's own that has just lapsed: no way to find out which are in use.
    assert_eq!(world.send(stranger, ToRelay::ReleaseLocator { locator }), []);
    assert!(world.attach(stranger, locator).is_ok());
}

#[test]
fn one_connection_is_an_agent_or_a_technician_and_never_both() {
    let mut world = world();
    let (agent, technician) = (world.connect(), world.connect());
    let locator = world.allocate(agent);
    assert_eq!(world.attach(agent, locator), Err(Refusal::Unexpected));
    assert_eq!(world.rejoin(agent, 1, Side::Technician), Err(Refusal::Unexpected));
    assert!(world.attach(technician, locator).is_ok());
    assert_eq!(world.send(technician, ToRelay::AllocateLocator), refused(Refusal::Unexpected));
}

#[test]
fn when_one_side_goes_the_other_is_told_at_once() {
    for agent_goes in [true, false] {
        let mut world = world();
        let (agent, technician) = (world.connect(), world.connect());
        let locator = world.allocate(agent);
        let channel = world.attach(technician, locator).unwrap();
        world.take_inbox(agent);
        let (goes, stays) = if agent_goes { (agent, technician) } else { (technician, agent) };

        world.disconnect(goes);

        assert_eq!(world.take_inbox(stays), [FromRelay::ChannelClosed { channel, reason: ChannelEnd::PeerGone }]);
        assert!(world.slots.0.is_empty());
    }
}

#[test]
fn a_channel_that_nobody_uses_is_closed_after_half_a_minute() {
    let mut world = world();
    let (agent, technician) = (world.connect(), world.connect());
    let locator = world.allocate(agent);
    let channel = world.attach(technician, locator).unwrap();
    // The technician talks to a silent agent all the time.
    for _ in 0..29 {
        world.advance(SECOND);
        world.slots.0.get_mut(&channel).unwrap().seen.technician = Some(world.now);
    }
    assert!(world.slots.0.contains_key(&channel));
    world.advance(SECOND);
    assert!(!world.slots.0.contains_key(&channel));
    assert_eq!(world.take_inbox(technician), [FromRelay::ChannelClosed { channel, reason: ChannelEnd::Idle }]);
}

#[test]
fn a_session_that_talks_keeps_its_channel_and_a_silent_one_loses_it() {
    let mut world = world();
    let (agent, technician) = (world.connect(), world.connect());
    let locator = world.allocate(agent);
    let channel = world.attach(technician, locator).unwrap();
    for _ in 0..100 {
        world.talk(channel);
        world.advance(100 * SECOND);
    }
    assert!(world.slots.0.contains_key(&channel));
    world.advance(20 * SECOND);
    assert!(!world.slots.0.contains_key(&channel), "120 s after the last packet");
    assert_eq!(world.broker.counts().timers, 0);
}

#[test]
fn a_relay_that_slept_ends_what_lapsed_meanwhile_and_nothing_else() {
    let mut world = world();
    let (agent, technician) = (world.connect(), world.connect());
    let locator = world.allocate(agent);
    let channel = world.attach(technician, locator).unwrap();
    world.take_inbox(agent);
    world.talk(channel);
    world.suspend(60 * SECOND);
    assert_eq!(world.take_inbox(agent), [], "one minute of sleep harms nobody");

    world.suspend(7 * 24 * 3600 * SECOND);
    let idle = FromRelay::ChannelClosed { channel, reason: ChannelEnd::Idle };
    assert_eq!(world.take_inbox(agent), [idle, FromRelay::LocatorLapsed { locator }]);
    assert_eq!(world.broker.counts().connections, 2);
}

#[test]
fn closing_twice_and_closing_what_belongs_to_others_does_nothing() {
    let mut world = world();
    let (agent, technician, eve) = (world.connect(), world.connect(), world.connect());
    let locator = world.allocate(agent);
    let channel = world.attach(technician, locator).unwrap();

    assert_eq!(world.send(eve, ToRelay::CloseChannel { channel }), []);
    assert!(world.slots.0.contains_key(&channel));
    let never = ChannelId::new(0x00ff_ffff, 1).unwrap();
    assert_eq!(world.send(eve, ToRelay::CloseChannel { channel: never }), []);

    world.send(technician, ToRelay::CloseChannel { channel });
    world.take_inbox(agent);
    for side in [agent, technician] {
        assert_eq!(world.send(side, ToRelay::CloseChannel { channel }), []);
    }
    // The slot may have new tenants by now; an old id must not reach them.
    let again = world.attach(technician, locator).unwrap();
    assert_eq!(again.slot(), channel.slot());
    world.send(technician, ToRelay::CloseChannel { channel });
    assert!(world.slots.0.contains_key(&again));
}

#[test]
fn both_sides_of_a_session_find_each_other_again() {
    for agent_first in [true, false] {
        let mut world = world();
        let (agent, technician) = (world.connect(), world.connect());
        let order = if agent_first {
            [(agent, Side::Agent), (technician, Side::Technician)]
        } else {
            [(technician, Side::Technician), (agent, Side::Agent)]
        };
        let [(first, first_side), (second, second_side)] = order;
        assert_eq!(world.rejoin(first, 7, first_side), Ok(None));
        world.advance(59 * SECOND);
        let channel = world.rejoin(second, 7, second_side).unwrap().unwrap();

        assert_eq!(
            world.take_inbox(first),
            [FromRelay::ChannelOpen { channel, first: FirstFlight::default(), origin: ChannelOrigin::Rejoin }]
        );
        let slot = &world.slots.0[&channel];
        assert_eq!((slot.agent, slot.technician), (agent, technician));
        assert_eq!(world.broker.counts().rejoins, 0);
    }
}

#[test]
fn a_side_that_waits_in_vain_is_told_after_a_minute() {
    let mut world = world();
    let agent = world.connect();
    assert_eq!(world.rejoin(agent, 7, Side::Agent), Ok(None));
    world.advance(60 * SECOND);
    assert_eq!(world.take_inbox(agent), refused(Refusal::NobodyWaiting));
    assert_eq!(world.broker.counts().rejoins, 0);
}

#[test]
fn two_strangers_with_different_rendezvous_are_not_joined() {
    let mut world = world();
    let (agent, technician) = (world.connect(), world.connect());
    assert_eq!(world.rejoin(agent, 7, Side::Agent), Ok(None));
    assert_eq!(world.rejoin(technician, 8, Side::Technician), Ok(None));
    assert!(world.slots.0.is_empty());
}

#[test]
fn the_same_side_twice_leaves_the_newest_waiting() {
    let mut world = world();
    let (old, new, technician) = (world.connect(), world.connect(), world.connect());
    assert_eq!(world.rejoin(old, 7, Side::Agent), Ok(None));
    assert_eq!(world.rejoin(new, 7, Side::Agent), Ok(None));
    assert_eq!(world.take_inbox(old), refused(Refusal::NobodyWaiting));

    let channel = world.rejoin(technician, 7, Side::Technician).unwrap().unwrap();
    assert_eq!(world.slots.0[&channel].agent, new);
}

#[test]
fn a_rejoin_that_is_asked_for_again_waits_anew() {
    let mut world = world();
    let agent = world.connect();
    for _ in 0..3 {
        assert_eq!(world.rejoin(agent, 7, Side::Agent), Ok(None));
        world.advance(40 * SECOND);
    }
    assert_eq!(world.broker.counts().rejoins, 1);
}

#[test]
fn the_rejoins_of_one_connection_are_bounded() {
    let mut world = world();
    let agent = world.connect();
    let waiting = (0..20).filter(|meeting| world.rejoin(agent, *meeting, Side::Agent) == Ok(None)).count();
    assert_eq!(waiting, 4);
    world.disconnect(agent);
    assert_eq!(world.broker.counts().rejoins, 0);
}

#[test]
fn somebody_who_tries_locators_is_stopped_before_they_get_far() {
    let mut world = world();
    let (agent, guesser) = (world.connect(), world.try_connect("198.51.100.7").unwrap());
    let locator = world.allocate(agent);
    let wrong = Locator::new(0, 5).unwrap();
    let tried = (0..100).take_while(|_| world.attach(guesser, wrong) == Err(Refusal::NobodyWaiting)).count();
    assert_eq!(tried, 5);

    // Not even the right one, not from another connection, and not by way of the answer to a busy one.
    assert_eq!(world.attach(guesser, locator), Err(Refusal::TooManyAttempts));
    let again = world.try_connect("198.51.100.7").unwrap();
    world.disconnect(guesser);
    assert_eq!(world.attach(again, locator), Err(Refusal::TooManyAttempts));
    world.disconnect(again);
    let back = world.try_connect("198.51.100.7").unwrap();
    assert_eq!(world.attach(back, locator), Err(Refusal::TooManyAttempts));

    world.advance(60 * SECOND);
    assert_eq!(world.attach(back, wrong), Err(Refusal::NobodyWaiting));
    assert_eq!(world.attach(back, wrong), Err(Refusal::TooManyAttempts), "one a minute");
}

#[test]
fn a_guesser_in_an_ipv6_network_is_one_guesser() {
    let mut world = world();
    let wrong = Locator::new(0, 5).unwrap();
    let mut refusals = Vec::new();
    for number in 1..=6 {
        let id = world.try_connect(&format!("2001:db8:0:1:{number}::{number}")).unwrap();
        refusals.push(world.attach(id, wrong).unwrap_err());
    }
    assert_eq!(refusals.pop(), Some(Refusal::TooManyAttempts));
    assert_eq!(refusals, [Refusal::NobodyWaiting; 5]);
    let neighbour = world.try_connect("2001:db8:0:2::1").unwrap();
    assert_eq!(world.attach(neighbour, wrong), Err(Refusal::NobodyWaiting));
}

#[test]
fn an_address_gets_locators_only_so_fast() {
    let mut world = world();
    let agents = (0..11).map(|_| world.try_connect("198.51.100.7").unwrap()).collect::<Vec<_>>();
    let mut refused_at = Vec::new();
    for (place, agent) in agents.iter().enumerate() {
        if world.send(*agent, ToRelay::AllocateLocator) == refused(Refusal::TooManyAttempts) {
            refused_at.push(place);
        }
    }
    assert_eq!(refused_at, [10]);
    world.advance(6 * SECOND);
    world.allocate(agents[10]);
}

#[test]
fn an_address_that_opens_connections_without_end_is_turned_away() {
    let mut world = world();
    let connected = (0..200).filter(|_| world.try_connect("198.51.100.7").is_ok()).count();
    assert_eq!(connected, 100);
    assert_eq!(world.try_connect("198.51.100.7"), Err(Refusal::TooManyAttempts));
    assert!(world.try_connect("198.51.100.8").is_ok());
}

#[test]
fn an_address_cannot_take_all_channels() {
    let config =
        BrokerConfig { max_channels_per_address: 6, rejoin_rate: Rate::new(100, SECOND), ..BrokerConfig::default() };
    let mut world = World::new(config);
    let (agent, technician) = (world.try_connect("198.51.100.7").unwrap(), world.try_connect("198.51.100.7").unwrap());
    for meeting in 0..5 {
        let _waits = world.rejoin(agent, meeting, Side::Agent);
        let _opens_or_not = world.rejoin(technician, meeting, Side::Technician);
    }
    assert_eq!(world.slots.0.len(), 3, "a channel has two ends");
}

#[test]
fn a_full_relay_says_so_and_has_room_again_later() {
    let mut world = World::new(BrokerConfig { max_slots: 1, max_connections: 4, ..BrokerConfig::default() });
    let (one, two, ana, ben) = (world.connect(), world.connect(), world.connect(), world.connect());
    assert_eq!(world.try_connect("198.51.100.9"), Err(Refusal::Full));
    let (first, second) = (world.allocate(one), world.allocate(two));
    let channel = world.attach(ana, first).unwrap();
    assert_eq!(world.attach(ben, second), Err(Refusal::Full));

    world.send(ana, ToRelay::CloseChannel { channel });
    assert!(world.attach(ben, second).is_ok());
}

#[test]
fn somebody_who_floods_the_relay_is_cut_off_and_leaves_nothing_behind() {
    let mut world = world();
    let (agent, technician) = (world.connect(), world.connect());
    let locator = world.allocate(agent);
    let channel = world.attach(technician, locator).unwrap();
    let never = ChannelId::new(1, 1).unwrap();
    let sent = (0..1000).take_while(|_| {
        world.send(technician, ToRelay::CloseChannel { channel: never });
        world.peers.contains_key(&technician)
    });
    assert_eq!(sent.count(), 63, "64 messages at once, one of them the attach");
    assert_eq!(
        world.take_inbox(agent).last(),
        Some(&FromRelay::ChannelClosed { channel, reason: ChannelEnd::PeerGone })
    );
    world.disconnect(technician);
    assert_eq!(world.events.iter().filter(|event| matches!(event, Event::Disconnected { .. })).count(), 1);
}

#[test]
fn messages_of_a_connection_that_is_gone_do_nothing() {
    let mut world = world();
    let agent = world.connect();
    world.disconnect(agent);
    assert_eq!(world.send(agent, ToRelay::AllocateLocator), []);
    assert_eq!(world.broker.counts().locators, 0);
}

#[test]
fn a_drain_tells_everybody_when_to_come_back_and_starts_nothing_new() {
    let mut world = world();
    let (agent, technician, waiting) = (world.connect(), world.connect(), world.connect());
    let locator = world.allocate(agent);
    let channel = world.attach(technician, locator).unwrap();
    assert_eq!(world.rejoin(waiting, 7, Side::Agent), Ok(None));
    world.take_inbox(agent);

    world.drain(5 * SECOND);

    let mut times = Vec::new();
    for id in [agent, technician] {
        match world.take_inbox(id).as_slice() {
            [FromRelay::Draining { reconnect_in_ms }] => times.push(*reconnect_in_ms),
            other => panic!("{other:?}"),
        }
    }
    assert!(times.iter().all(|ms| (5_000..6_000).contains(ms)) && times[0] != times[1], "{times:?}");
    assert_eq!(world.take_inbox(waiting).first(), refused(Refusal::Draining).first());
    assert_eq!(world.try_connect("198.51.100.9"), Err(Refusal::Draining));
    assert_eq!(world.attach(technician, locator), Err(Refusal::Draining));
    assert_eq!(world.rejoin(waiting, 7, Side::Agent), Err(Refusal::Draining));
    assert_eq!(world.send(agent, ToRelay::AllocateLocator), refused(Refusal::Draining));
    assert!(world.slots.0.contains_key(&channel), "the session goes on for now");

    world.finish();
    assert_eq!(world.broker.counts().connections, 0);
    assert!(world.events.contains(&Event::ChannelClosed { channel, reason: ChannelEnd::Draining }));
}

#[test]
fn a_drain_without_sessions_asks_people_back_soon() {
    let mut world = world();
    let agent = world.connect();
    world.drain(300 * SECOND);
    assert_eq!(world.take_inbox(agent), [FromRelay::Draining { reconnect_in_ms: 500 }]);
}

#[test]
fn no_event_and_no_debug_output_of_one_shows_a_locator() {
    let mut world = world();
    let (agent, technician) = (world.connect(), world.connect());
    let locator = loop {
        let locator = world.allocate(agent);
        // One that cannot be taken for a number of something else.
        if locator.to_string().starts_with(['7', '8', '9']) {
            break locator;
        }
        world.advance(6 * SECOND);
    };
    world.attach(technician, locator).unwrap();
    world.send(agent, ToRelay::ReleaseLocator { locator });
    assert!(!world.events.is_empty());
    let shown =
        format!("{:?}", world.events.iter().filter(|e| !matches!(e, Event::ChannelOpened { .. })).collect::<Vec<_>>());
    assert!(!shown.contains(&locator.to_string()), "{shown}");
}

#[test]
fn a_rendezvous_is_not_shown_either() {
    let message = ToRelay::Rejoin { rendezvous: Rendezvous([0x41; 16]), side: Side::Agent };
    assert!(!format!("{message:?}").contains("65"));
}

const ANA: AgentId = AgentId([0xa; 16]);

/// An agent that sleeps, and the locator that leads to it.
fn asleep(world: &mut World) -> Locator {
    let agent = world.connect_as(ANA);
    let locator = world.allocate(agent);
    assert_eq!(world.send(agent, ToRelay::Sleep), []);
    assert!(!world.peers.contains_key(&agent) && world.asleep.contains(&ANA));
    locator
}

fn attach(locator: Locator) -> ToRelay {
    ToRelay::Attach { locator, first: FirstFlight::of([vec![0xc0; 1200]]) }
}

#[test]
fn a_sleeping_agent_is_woken_for_a_technician_who_waits() {
    let mut world = world();
    let locator = asleep(&mut world);
    let technician = world.connect();
    let asked_at = world.now;
    assert_eq!(world.send(technician, attach(locator)), [], "it waits");
    world.advance(4 * SECOND);
    let said = world.woken.iter().map(|(agent, at)| (*agent, (*at - asked_at).as_millis())).collect::<Vec<_>>();
    assert_eq!(said, [0, 250, 1000, 3000].map(|millis| (ANA, millis)));

    let agent = world.connect_as(ANA);
    assert!(!world.asleep.contains(&ANA), "its record is free");
    let told = world.send(agent, ToRelay::Awake);
    let [FromRelay::Resumed { locator: Some(kept) }, FromRelay::ChannelOpen { channel, first, origin }] =
        told.as_slice()
    else {
        panic!("{told:?}")
    };
    assert_eq!((*kept, *origin), (locator, ChannelOrigin::Attach));
    assert_eq!(first.packets().count(), 1, "what came along was kept");
    let answer = world.take_inbox(technician);
    assert!(matches!(answer.as_slice(), [FromRelay::ChannelOpen { channel: same, .. }] if same == channel));
    assert_eq!(world.broker.counts().waking, 0);
    world.advance(5 * SECOND);
    assert_eq!(world.woken.len(), 4, "nobody is woken any more");
}

#[test]
fn who_does_not_wake_within_eight_seconds_is_not_there() {
    let mut world = world();
    let locator = asleep(&mut world);
    let (technician, other) = (world.connect(), world.connect());
    assert_eq!(world.send(technician, attach(locator)), []);
    assert_eq!(world.send(other, attach(locator)), refused(Refusal::Busy));
    world.advance(8 * SECOND - Duration::from_millis(1));
    assert_eq!(world.take_inbox(technician), []);
    world.advance(Duration::from_millis(1));
    assert_eq!(world.take_inbox(technician), refused(Refusal::NobodyWaiting));
    // The locator is good as long as it ever was, and the next one may try.
    assert_eq!(world.send(other, attach(locator)), []);
    world.advance(600 * SECOND);
    assert_eq!(world.take_inbox(other), refused(Refusal::NobodyWaiting));
    assert_eq!(world.broker.counts().locators, 0);
    let agent = world.connect_as(ANA);
    assert_eq!(world.send(agent, ToRelay::Awake), [FromRelay::Resumed { locator: None }]);
}

#[test]
fn a_technician_who_leaves_is_not_waited_for() {
    let mut world = world();
    let locator = asleep(&mut world);
    let technician = world.connect();
    world.send(technician, attach(locator));
    world.disconnect(technician);
    world.advance(SECOND);
    assert_eq!(world.woken.len(), 1);
    let agent = world.connect_as(ANA);
    assert_eq!(world.send(agent, ToRelay::Awake), [FromRelay::Resumed { locator: Some(locator) }]);
    let other = world.connect();
    assert!(world.attach(other, locator).is_ok());
}

#[test]
fn the_locator_of_an_agent_that_does_not_remember_is_gone() {
    let mut world = world();
    let locator = asleep(&mut world);
    let technician = world.connect();
    world.send(technician, attach(locator));
    // Its program was started anew.
    let agent = world.connect_as(ANA);
    let new = world.allocate(agent);
    assert_ne!(new, locator);
    assert_eq!(world.take_inbox(technician), refused(Refusal::NobodyWaiting));
    assert_eq!(world.send(technician, attach(locator)), refused(Refusal::NobodyWaiting));
    assert!(world.attach(technician, new).is_ok());
}

#[test]
fn nobody_sleeps_without_a_key_in_a_session_or_without_a_bed() {
    let mut world = world();
    let nobody = world.connect();
    assert_eq!(world.send(nobody, ToRelay::Sleep), refused(Refusal::Unexpected));
    let nobody = world.connect();
    assert_eq!(world.send(nobody, ToRelay::Awake), refused(Refusal::Unexpected));

    let (agent, technician) = (world.connect_as(ANA), world.connect());
    let locator = world.allocate(agent);
    let channel = world.attach(technician, locator).unwrap();
    assert_eq!(world.send(agent, ToRelay::Sleep), refused(Refusal::Busy));
    world.send(agent, ToRelay::CloseChannel { channel });
    world.beds = 0;
    assert_eq!(world.send(agent, ToRelay::Sleep), refused(Refusal::Full));
    assert!(world.attach(technician, locator).is_ok(), "it stays as it was");
    world.drain(SECOND);
    let other = world.try_connect_as("192.0.2.99", Some(ANA));
    assert_eq!(other, Err(Refusal::Draining));
    assert!(world.peers.contains_key(&agent), "nobody is superseded by who is turned away");
}

#[test]
fn of_two_connections_with_one_key_the_newest_stays() {
    let mut world = world();
    let (agent, technician) = (world.connect_as(ANA), world.connect());
    let locator = world.allocate(agent);
    let channel = world.attach(technician, locator).unwrap();

    let copy = world.connect_as(ANA);
    assert!(!world.peers.contains_key(&agent), "closed");
    assert!(world.events.contains(&Event::Superseded { connection: agent }));
    let told = world.take_inbox(technician);
    assert_eq!(told, [FromRelay::ChannelClosed { channel, reason: ChannelEnd::PeerGone }]);
    assert_eq!(world.send(technician, attach(locator)), refused(Refusal::NobodyWaiting), "a copy inherits nothing");
    world.allocate(copy);
    assert!(world.peers.contains_key(&copy));
}

#[test]
fn a_relay_that_stops_wakes_nobody() {
    let mut world = world();
    let locator = asleep(&mut world);
    let technician = world.connect();
    world.send(technician, attach(locator));
    world.drain(SECOND);
    assert!(world.take_inbox(technician).contains(&FromRelay::Refused { reason: Refusal::Draining }));
    world.advance(5 * SECOND);
    assert_eq!(world.woken.len(), 1);
}

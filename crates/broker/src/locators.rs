//! Locators: which are in use, which are at rest, and how a new one is drawn.

use std::collections::{BTreeMap, VecDeque};

use rand_core::CryptoRngCore;
use wire::{
    channel::ChannelId,
    control::{FromRelay, Refusal, Side},
    ids::{AgentId, Locator},
    time::Moment,
};

use crate::{
    Broker, BrokerConfig, ConnectionId,
    command::{Event, LocatorEnd},
    timers::Timer,
};

/// Draws before a free locator is looked for one by one. At most nine in ten are taken and a draw misses the range at most every second
/// time, so a working source of randomness never gets there.
const DRAWS: u32 = 512;

/// Where an agent is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holder {
    /// At the end of this connection.
    Connected(ConnectionId),
    /// It sleeps, and has to be woken.
    Asleep(AgentId),
}

/// A locator that leads to an agent.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) agent: Holder,
    pub(crate) lapses_at: Moment,
    /// Attaches so far.
    pub(crate) attaches: u32,
    /// The channel of the attach that goes on.
    pub(crate) attached: Option<ChannelId>,
}

/// All locators that are in use or at rest.
#[derive(Debug, Default)]
pub(crate) struct Locators {
    live: BTreeMap<Locator, Waiting>,
    /// Until when a used locator rests.
    resting: BTreeMap<Locator, Moment>,
    /// The same, the first to be free in front.
    rest_order: VecDeque<(Moment, Locator)>,
    /// How many of each length are in use or at rest, shortest first.
    taken: [u32; LENGTHS],
}

const LENGTHS: usize = (Locator::MAX_DIGITS - Locator::MIN_DIGITS + 1) as usize;

impl Locators {
    /// Gives `agent` a locator that nobody could have guessed, or `None` if too many are in use.
    pub(crate) fn allocate(
        &mut self,
        agent: ConnectionId,
        config: &BrokerConfig,
        now: Moment,
        rng: &mut dyn CryptoRngCore,
    ) -> Option<Locator> {
        self.tidy(now);
        if self.live.len() >= config.max_locators {
            return None;
        }
        let digits = self.roomy_length(config).or_else(|| {
            self.wake_first();
            self.roomy_length(config)
        })?;
        let locator = self.draw(digits, rng)?;
        let lapses_at = now + config.locator_lifetime;
        let agent = Holder::Connected(agent);
        self.live.insert(locator, Waiting { agent, lapses_at, attaches: 0, attached: None });
        *self.taken_of(digits)? += 1;
        Some(locator)
    }

    /// The agent behind a locator. Time is the caller's to check.
    pub(crate) fn waiting(&mut self, locator: Locator) -> Option<&mut Waiting> {
        self.live.get_mut(&locator)
    }

    /// Puts a locator to rest.
    pub(crate) fn end(&mut self, locator: Locator, config: &BrokerConfig, now: Moment) -> Option<Waiting> {
        let waiting = self.live.remove(&locator)?;
        // The order stays right if the clock should ever go back.
        let until = (now + config.locator_rest).max(self.rest_order.back().map_or(now, |(until, _)| *until));
        self.resting.insert(locator, until);
        self.rest_order.push_back((until, locator));
        Some(waiting)
    }

    /// Frees the locators that have rested.
    pub(crate) fn tidy(&mut self, now: Moment) {
        while self.next_rested().is_some_and(|until| until <= now) {
            self.wake_first();
        }
    }

    pub(crate) fn next_rested(&self) -> Option<Moment> {
        self.rest_order.front().map(|(until, _)| *until)
    }

    pub(crate) fn live_len(&self) -> usize {
        self.live.len()
    }

    pub(crate) fn resting_len(&self) -> usize {
        self.resting.len()
    }

    /// The shortest length with room.
    fn roomy_length(&self, config: &BrokerConfig) -> Option<u8> {
        let share = u64::from(config.crowded_percent.clamp(1, 90));
        let lengths = Locator::MIN_DIGITS..=Locator::MAX_DIGITS;
        lengths.zip(self.taken).find_map(|(digits, taken)| {
            let room = u64::from(10u32.pow(u32::from(digits))) * share / 100;
            (u64::from(taken) < room).then_some(digits)
        })
    }

    fn wake_first(&mut self) {
        if let Some((_, locator)) = self.rest_order.pop_front() {
            self.resting.remove(&locator);
            if let Some(taken) = self.taken_of(locator.digits()) {
                *taken -= 1;
            }
        }
    }

    fn taken_of(&mut self, digits: u8) -> Option<&mut u32> {
        self.taken.get_mut(usize::from(digits.checked_sub(Locator::MIN_DIGITS)?))
    }

    fn draw(&self, digits: u8, rng: &mut dyn CryptoRngCore) -> Option<Locator> {
        let space = 10u32.pow(u32::from(digits));
        let mask = space.next_power_of_two() - 1;
        let free = |value: u32| {
            Locator::new(value, digits)
                .filter(|locator| !self.live.contains_key(locator) && !self.resting.contains_key(locator))
        };
        let drawn = (0..DRAWS).find_map(|_| free(rng.next_u32() & mask));
        drawn.or_else(|| (0..space).find_map(free))
    }
}

/// Who gets a locator, and how it ends.
impl Broker {
    pub(crate) fn allocate(
        &mut self,
        id: ConnectionId,
        now: Moment,
        rng: &mut dyn CryptoRngCore,
    ) -> Result<(), Refusal> {
        self.accept_as(id, Side::Agent)?;
        let Self { connections, addresses, config, .. } = self;
        let connection = connections.get_mut(&id).ok_or(Refusal::Unexpected)?;
        let address = addresses.connected(connection.address).ok_or(Refusal::Unexpected)?;
        if !address.allocate.take(config.allocate_rate, now) {
            return Err(Refusal::TooManyAttempts);
        }
        if let Some(earlier) = connection.locator.take() {
            self.end_locator(earlier, LocatorEnd::Replaced, now);
        }
        let locator = self.locators.allocate(id, &self.config, now, rng).ok_or(Refusal::Full)?;
        self.timers.set(now + self.config.locator_lifetime, Timer::Locator(locator));
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.locator = Some(locator);
        }
        let lifetime_secs = u32::try_from(self.config.locator_lifetime.as_secs()).unwrap_or(u32::MAX);
        self.send(id, FromRelay::LocatorAllocated { locator, lifetime_secs });
        self.events.push_back(Event::LocatorAllocated { connection: id, digits: locator.digits() });
        Ok(())
    }

    pub(crate) fn release(&mut self, id: ConnectionId, locator: Locator, now: Moment) -> Result<(), Refusal> {
        let connection = self.connections.get_mut(&id).ok_or(Refusal::Unexpected)?;
        match connection.locator {
            Some(own) if own == locator => {
                connection.locator = None;
                self.end_locator(locator, LocatorEnd::Released, now);
                Ok(())
            }
            Some(_) => Err(Refusal::Unexpected),
            // It lapsed while the message was on its way; nothing is said of anybody else's locator.
            None => Ok(()),
        }
    }

    pub(crate) fn lapse_locator(&mut self, locator: Locator, now: Moment) {
        if let Some(Holder::Connected(agent)) = self.end_locator(locator, LocatorEnd::Lapsed, now) {
            self.send(agent, FromRelay::LocatorLapsed { locator });
        }
    }

    /// Makes a locator lead nowhere. A channel that was attached by it stays.
    pub(crate) fn end_locator(&mut self, locator: Locator, why: LocatorEnd, now: Moment) -> Option<Holder> {
        let waiting = self.locators.end(locator, &self.config, now)?;
        self.timers.clear(waiting.lapses_at, Timer::Locator(locator));
        if let Some(slot) = waiting.attached.and_then(|channel| self.slots.channel(channel)) {
            slot.locator = None;
        }
        let connection = match waiting.agent {
            Holder::Connected(id) => {
                if let Some(connection) = self.connections.get_mut(&id) {
                    connection.locator = None;
                }
                Some(id)
            }
            Holder::Asleep(agent) => {
                self.give_up_waking(agent, Refusal::NobodyWaiting);
                self.sleepers.remove(agent);
                None
            }
        };
        self.events.push_back(Event::LocatorEnded { connection, why });
        Some(waiting.agent)
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, time::Duration};

    use super::*;
    use crate::testing::{StuckRng, TestRng};

    const AGENT: ConnectionId = ConnectionId(1);

    fn at(secs: u64) -> Moment {
        Moment::from_origin(Duration::from_secs(secs))
    }

    #[test]
    fn a_crowd_gets_longer_locators_and_no_two_the_same() {
        let config = BrokerConfig { max_locators: 10_000, ..BrokerConfig::default() };
        let (mut locators, mut rng) = (Locators::default(), TestRng::new(1));
        let drawn = (0..6_000).map(|_| locators.allocate(AGENT, &config, at(0), &mut rng).unwrap()).collect::<Vec<_>>();

        assert!(drawn.iter().take(5_000).all(|locator| locator.digits() == 4));
        assert!(drawn.iter().skip(5_000).all(|locator| locator.digits() == 5));
        assert_eq!(drawn.iter().collect::<BTreeSet<_>>().len(), drawn.len());
    }

    #[test]
    fn a_used_locator_is_not_given_out_again_for_a_day() {
        let config = BrokerConfig::default();
        let (mut locators, mut rng) = (Locators::default(), TestRng::new(2));
        let mut used = BTreeSet::new();
        for turn in 0..8_000 {
            let locator = locators.allocate(AGENT, &config, at(turn), &mut rng).unwrap();
            assert!(used.insert(locator), "{locator} came twice");
            locators.end(locator, &config, at(turn));
        }
        locators.tidy(at(8_000 + 24 * 60 * 60));
        assert_eq!(locators.resting_len(), 0);
        assert_eq!(locators.allocate(AGENT, &config, at(200_000), &mut rng).unwrap().digits(), 4);
    }

    #[test]
    fn when_every_length_is_crowded_the_longest_rested_is_used_again() {
        // One per cent of a million is the most that is ever taken of the longest length.
        let config = BrokerConfig { crowded_percent: 1, ..BrokerConfig::default() };
        let (mut locators, mut rng) = (Locators::default(), TestRng::new(3));
        let room = (10_000 + 100_000 + 1_000_000) / 100;
        for turn in 0..room + 500 {
            let locator = locators.allocate(AGENT, &config, at(0), &mut rng);
            locators.end(locator.unwrap_or_else(|| panic!("none left at {turn}")), &config, at(0));
        }
        assert_eq!(locators.resting_len(), room);
    }

    #[test]
    fn the_number_in_use_is_bounded() {
        let config = BrokerConfig { max_locators: 2, ..BrokerConfig::default() };
        let (mut locators, mut rng) = (Locators::default(), TestRng::new(4));
        let drawn = (0..3).map(|_| locators.allocate(AGENT, &config, at(0), &mut rng)).collect::<Vec<_>>();
        assert_eq!(drawn.iter().flatten().count(), 2);
    }

    #[test]
    fn a_stuck_source_of_randomness_does_not_hang_the_relay() {
        let config = BrokerConfig::default();
        let mut locators = Locators::default();
        let drawn = (0..20).map(|_| locators.allocate(AGENT, &config, at(0), &mut StuckRng).unwrap());
        assert_eq!(drawn.collect::<BTreeSet<_>>().len(), 20);
    }
}

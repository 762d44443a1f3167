//! Slots of the data path, and the channel ids that name their present use.

use std::collections::{BTreeSet, VecDeque};

use rand_core::CryptoRngCore;
use wire::{channel::ChannelId, ids::Locator, time::Moment};

use crate::{BrokerConfig, ConnectionId};

/// Closed ids that are kept for each slot, on average, so that none comes back too early. More churn than this is refused.
const RESTING_PER_SLOT: usize = 4;

/// Draws of a generation before a channel is refused. All but a handful of 2^24 are free.
const DRAWS: u32 = 32;

/// An open channel.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) channel: ChannelId,
    pub(crate) agent: ConnectionId,
    pub(crate) technician: ConnectionId,
    /// The locator that it was attached by, if that still leads to the agent.
    pub(crate) locator: Option<Locator>,
    pub(crate) opened_at: Moment,
    /// When its traffic is looked at.
    pub(crate) check_at: Moment,
}

impl Slot {
    pub(crate) fn sides(&self) -> [ConnectionId; 2] {
        [self.agent, self.technician]
    }
}

/// All slots.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    /// Grows to the largest number that was ever needed.
    table: Vec<Option<Slot>>,
    /// Free places in `table`, the longest free first.
    free: VecDeque<u32>,
    open: usize,
    resting: BTreeSet<ChannelId>,
    /// The same, the first to be free in front.
    rest_order: VecDeque<(Moment, ChannelId)>,
}

impl Slots {
    /// Opens a slot with an id that nobody could have guessed, or `None` if there is none.
    pub(crate) fn open(
        &mut self,
        (agent, technician): (ConnectionId, ConnectionId),
        locator: Option<Locator>,
        config: &BrokerConfig,
        now: Moment,
        rng: &mut dyn CryptoRngCore,
    ) -> Option<&Slot> {
        self.tidy(now);
        let max_slots = config.max_slots.min(ChannelId::DIRECT_FROM);
        if self.resting.len() >= RESTING_PER_SLOT.saturating_mul(max_slots as usize) {
            return None;
        }
        let fresh = u32::try_from(self.table.len()).ok().filter(|fresh| *fresh < max_slots);
        let index = self.free.front().copied().or(fresh)?;
        let channel = (0..DRAWS).find_map(|_| {
            let channel = ChannelId::new(index, rng.next_u32() % ChannelId::LIMIT)?;
            (!self.resting.contains(&channel)).then_some(channel)
        })?;
        if self.free.pop_front().is_none() {
            self.table.push(None);
        }
        self.open += 1;
        let check_at = now + config.channel_start;
        let place = self.table.get_mut(index as usize)?;
        Some(place.insert(Slot { channel, agent, technician, locator, opened_at: now, check_at }))
    }

    /// The slot of an open channel.
    pub(crate) fn channel(&mut self, channel: ChannelId) -> Option<&mut Slot> {
        self.table.get_mut(channel.slot() as usize)?.as_mut().filter(|slot| slot.channel == channel)
    }

    /// Closes a channel.
    pub(crate) fn close(&mut self, channel: ChannelId, config: &BrokerConfig, now: Moment) -> Option<Slot> {
        self.channel(channel)?;
        let slot = self.table.get_mut(channel.slot() as usize)?.take()?;
        self.open -= 1;
        self.free.push_back(channel.slot());
        let until = (now + config.channel_rest).max(self.rest_order.back().map_or(now, |(until, _)| *until));
        self.resting.insert(channel);
        self.rest_order.push_back((until, channel));
        Some(slot)
    }

    /// All open channels.
    pub(crate) fn channels(&self) -> impl Iterator<Item = ChannelId> + '_ {
        self.table.iter().flatten().map(|slot| slot.channel)
    }

    /// Frees the ids that have rested.
    pub(crate) fn tidy(&mut self, now: Moment) {
        while let Some((_, channel)) = self.rest_order.pop_front_if(|(until, _)| *until <= now) {
            self.resting.remove(&channel);
        }
    }

    pub(crate) fn next_rested(&self) -> Option<Moment> {
        self.rest_order.front().map(|(until, _)| *until)
    }

    pub(crate) fn open_len(&self) -> usize {
        self.open
    }

    pub(crate) fn resting_len(&self) -> usize {
        self.resting.len()
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use super::*;
    use crate::testing::TestRng;

    const SIDES: (ConnectionId, ConnectionId) = (ConnectionId(1), ConnectionId(2));

    fn at(millis: u64) -> Moment {
        Moment::from_origin(Duration::from_millis(millis))
    }

    #[test]
    fn a_channel_id_does_not_come_back_within_two_minutes() {
        let config = BrokerConfig { max_slots: 3, ..BrokerConfig::default() };
        // Draws few generations, so that the same ones come up all the time.
        let (mut slots, mut rng) = (Slots::default(), TestRng::narrow(5, 3));
        let mut closed = BTreeMap::<ChannelId, u64>::new();
        let mut opened = 0;
        for millis in (0..2_000_000).step_by(5_000) {
            let Some(channel) = slots.open(SIDES, None, &config, at(millis), &mut rng).map(|slot| slot.channel) else {
                continue;
            };
            opened += 1;
            assert!(channel.slot() < 3);
            if let Some(before) = closed.insert(channel, millis) {
                assert!(millis - before >= 120_000, "{channel} came back after {} ms", millis - before);
            }
            slots.close(channel, &config, at(millis));
        }
        assert!(opened > 100, "{opened}");
    }

    #[test]
    fn there_are_as_many_slots_as_set_and_each_can_be_used_again() {
        let config = BrokerConfig { max_slots: 4, ..BrokerConfig::default() };
        let (mut slots, mut rng) = (Slots::default(), TestRng::new(6));
        let open =
            (0..4).map(|_| slots.open(SIDES, None, &config, at(0), &mut rng).unwrap().channel).collect::<Vec<_>>();
        assert!(slots.open(SIDES, None, &config, at(0), &mut rng).is_none());

        let first = *open.first().unwrap();
        assert!(slots.close(first, &config, at(1)).is_some());
        assert!(slots.close(first, &config, at(1)).is_none(), "closed twice");
        let again = slots.open(SIDES, None, &config, at(2), &mut rng).unwrap().channel;
        assert_eq!(again.slot(), first.slot());
        assert_ne!(again, first);
        assert!(slots.channel(first).is_none());
    }

    #[test]
    fn channels_that_come_and_go_in_a_rush_take_bounded_room() {
        let config = BrokerConfig { max_slots: 10, ..BrokerConfig::default() };
        let (mut slots, mut rng) = (Slots::default(), TestRng::new(7));
        let mut opened = 0;
        while let Some(channel) = slots.open(SIDES, None, &config, at(0), &mut rng).map(|slot| slot.channel) {
            slots.close(channel, &config, at(0));
            opened += 1;
        }
        assert_eq!((opened, slots.resting_len()), (40, 40));
        assert!(slots.open(SIDES, None, &config, at(120_000), &mut rng).is_some());
    }
}

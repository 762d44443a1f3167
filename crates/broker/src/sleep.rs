//! Agents that went to sleep: whom a locator leads to meanwhile, and who waits for them to wake.
//!
//! ```text
//! connected ── Sleep ──▶ LayDown ── laid_down ──▶ asleep ◀──────── Attach: waits, Wake after 0, 250 ms, 1 s, 3 s
//!     ▲                                             │ the agent connects and says Awake            │ 8 s
//!     └──────────── locator, and who waited ────────┘                                   NobodyWaiting
//! ```
//!
//! Only agents that a locator leads to are known here: nobody can ask for another. The shell has the whole table.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use rand_core::CryptoRngCore;
use wire::{
    control::{FirstFlight, FromRelay, Refusal, Side},
    ids::{AgentId, Locator},
    time::Moment,
};

use crate::{
    Broker, ConnectionId,
    command::{Command, Event, LocatorEnd, Request},
    locators::Holder,
    timers::Timer,
};

/// When a wake is said again, after the first: packets get lost.
const WAKE_AGAIN: [Duration; 3] =
    [Duration::from_millis(250), Duration::from_millis(1000), Duration::from_millis(3000)];

/// When it is given up, and whoever waits is told that nobody is there.
const WAKE_WITHIN: Duration = Duration::from_secs(8);

/// Sleeping agents that a locator leads to.
#[derive(Debug, Default)]
pub(crate) struct Sleepers {
    asleep: BTreeMap<AgentId, Sleeper>,
    /// Those that somebody waits for.
    wanted: BTreeSet<AgentId>,
}

#[derive(Debug)]
struct Sleeper {
    locator: Locator,
    waking: Option<Waking>,
}

/// Somebody waits.
#[derive(Debug)]
struct Waking {
    technician: ConnectionId,
    first: FirstFlight,
    since: Moment,
    /// How often it was said.
    said: usize,
    /// What the timer is set for.
    again_at: Moment,
}

impl Sleepers {
    pub(crate) fn len(&self) -> usize {
        self.asleep.len()
    }

    pub(crate) fn waking_len(&self) -> usize {
        self.wanted.len()
    }

    pub(crate) fn being_woken(&self) -> Vec<AgentId> {
        self.wanted.iter().copied().collect()
    }

    /// Forgets one for whom nobody waits any more.
    pub(crate) fn remove(&mut self, agent: AgentId) {
        self.asleep.remove(&agent);
    }

    fn take_waking(&mut self, agent: AgentId) -> Option<Waking> {
        self.wanted.remove(&agent);
        self.asleep.get_mut(&agent)?.waking.take()
    }
}

impl Broker {
    pub(crate) fn wants_to_sleep(&mut self, id: ConnectionId) -> Result<(), Refusal> {
        self.accept_as(id, Side::Agent)?;
        let connection = self.connections.get(&id).ok_or(Refusal::Unexpected)?;
        let agent = connection.agent.ok_or(Refusal::Unexpected)?;
        if !connection.channels.is_empty() || !connection.meetings.is_empty() {
            return Err(Refusal::Busy);
        }
        self.commands.push_back(Command::LayDown(id, agent));
        Ok(())
    }

    /// Sleeping agents that a locator leads to. When the relay ends, what is kept for them is gone.
    pub fn sleepers(&self) -> BTreeSet<AgentId> {
        self.sleepers.asleep.keys().copied().collect()
    }

    /// Says what came of [`Command::LayDown`]. If it was done the connection is known no more, and only its locator is kept: the shell tells
    /// the agent and closes the connection.
    pub fn laid_down(&mut self, id: ConnectionId, result: Result<(), Refusal>, now: Moment) {
        if let Err(reason) = result {
            self.send(id, FromRelay::Refused { reason });
            self.events.push_back(Event::Refused { connection: id, request: Request::Sleep, reason });
            return;
        }
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let (locator, agent) = (connection.locator.take(), connection.agent);
        if let (Some(locator), Some(agent)) = (locator, agent)
            && let Some(waiting) = self.locators.waiting(locator)
        {
            waiting.agent = Holder::Asleep(agent);
            // What hangs on the connection goes with it, this does not.
            self.agents.remove(&agent);
            self.sleepers.asleep.insert(agent, Sleeper { locator, waking: None });
        }
        self.events.push_back(Event::FellAsleep { connection: id });
        self.disconnected(id, now);
    }

    /// The agent behind a locator sleeps: it is woken, and whoever asked waits.
    pub(crate) fn attach_to_sleeper(
        &mut self,
        id: ConnectionId,
        agent: AgentId,
        first: FirstFlight,
        now: Moment,
    ) -> Result<(), Refusal> {
        self.room_for_channel(id, None)?;
        let connection = self.connections.get_mut(&id).ok_or(Refusal::Unexpected)?;
        let sleeper = self.sleepers.asleep.get_mut(&agent).ok_or(Refusal::NobodyWaiting)?;
        if sleeper.waking.is_some() || connection.waits_for.is_some() {
            return Err(Refusal::Busy);
        }
        connection.waits_for = Some(agent);
        sleeper.waking = Some(Waking { technician: id, first, since: now, said: 0, again_at: now });
        self.sleepers.wanted.insert(agent);
        self.events.push_back(Event::Waking { connection: id });
        self.wake_again(agent, now);
        Ok(())
    }

    /// Says it once more, or gives up.
    pub(crate) fn wake_again(&mut self, agent: AgentId, now: Moment) {
        let Some(waking) = self.sleepers.asleep.get_mut(&agent).and_then(|sleeper| sleeper.waking.as_mut()) else {
            return;
        };
        if now >= waking.since + WAKE_WITHIN {
            self.give_up_waking(agent, Refusal::NobodyWaiting);
            return;
        }
        let again = WAKE_AGAIN.get(waking.said).copied();
        // After the last, the timer is for giving up alone.
        if waking.said <= WAKE_AGAIN.len() {
            waking.said += 1;
            self.commands.push_back(Command::Wake(agent));
        }
        waking.again_at = waking.since + again.unwrap_or(WAKE_WITHIN);
        self.timers.set(waking.again_at, Timer::Wake(agent));
    }

    /// Tells whoever waits for this agent that it will not be.
    pub(crate) fn give_up_waking(&mut self, agent: AgentId, reason: Refusal) {
        if let Some(waking) = self.take_waking(agent) {
            self.send(waking.technician, FromRelay::Refused { reason });
            self.events.push_back(Event::Refused { connection: waking.technician, request: Request::Attach, reason });
        }
    }

    /// Whoever waited for this agent is gone.
    pub(crate) fn stop_waking(&mut self, agent: AgentId) {
        self.take_waking(agent);
    }

    fn take_waking(&mut self, agent: AgentId) -> Option<Waking> {
        let waking = self.sleepers.take_waking(agent)?;
        self.timers.clear(waking.again_at, Timer::Wake(agent));
        if let Some(technician) = self.connections.get_mut(&waking.technician) {
            technician.waits_for = None;
        }
        Some(waking)
    }

    /// An agent is back from sleep and gets what was kept.
    pub(crate) fn awake(&mut self, id: ConnectionId, now: Moment, rng: &mut dyn CryptoRngCore) -> Result<(), Refusal> {
        self.accept_as(id, Side::Agent)?;
        let connection = self.connections.get_mut(&id).ok_or(Refusal::Unexpected)?;
        let agent = connection.agent.ok_or(Refusal::Unexpected)?;
        let waking = self.take_waking(agent);
        let kept = self.sleepers.asleep.remove(&agent).map(|sleeper| sleeper.locator);
        let kept = kept.and_then(|locator| self.locators.waiting(locator).map(|waiting| (locator, waiting)));
        let locator = kept.map(|(locator, waiting)| {
            waiting.agent = Holder::Connected(id);
            locator
        });
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.locator = locator.or(connection.locator);
        }
        self.send(id, FromRelay::Resumed { locator });
        self.events.push_back(Event::Awake { connection: id, wanted: waking.is_some() });
        if let Some((waking, locator)) = waking.zip(locator) {
            let technician = waking.technician;
            if let Err(reason) = self.attach_to((id, technician), locator, waking.first, now, rng) {
                self.send(technician, FromRelay::Refused { reason });
                self.events.push_back(Event::Refused { connection: technician, request: Request::Attach, reason });
            }
        }
        Ok(())
    }

    /// What was kept for a sleeping agent is given up.
    pub(crate) fn end_sleep(&mut self, agent: AgentId, now: Moment) {
        if let Some(locator) = self.sleepers.asleep.get(&agent).map(|sleeper| sleeper.locator) {
            self.end_locator(locator, LocatorEnd::AgentGone, now);
        }
    }
}

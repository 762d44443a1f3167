//! A sleeping agent, without a socket or a clock: when it says that it is there, and what makes it wake.
//!
//! | when | it |
//! |---|---|
//! | it falls asleep, and every 25 s +- 10 % | sends a beat; asks for an answer to the first and every fourth |
//! | an answer is missing | asks again after 2 and 6 s; after 14 s it wakes, because the relay does not know it any more |
//! | the machine was suspended | beats at once and asks for an answer: the network may have forgotten the way back |
//! | a challenge comes | answers it, so that the relay learns its new address |
//! | it is woken | wakes |
//! | it is told that its key is too old | wakes within ten minutes, and can be woken until then |
//!
//! Whatever comes is believed only with a tag of the relay's, and leads nowhere but to the relay of the link: nothing is ever sent to, or
//! learnt from, the address that a packet came from.

use std::time::Duration;

use rand_core::RngCore;
use trust::beat::{is_genuine, seal};
use wire::{
    beat::{BEAT_BYTES, Beat, BeatKind, KeyEpoch, SleepSlot},
    control::Bed,
    time::Moment,
};

/// Between two beats: most middleboxes forget a UDP flow after 30 s (RFC 4787 section 4.3 asks for two minutes, many give less).
const EVERY: Duration = Duration::from_secs(25);

/// Share of [`EVERY`] by which beats come earlier or later, so that a fleet spreads out.
const SPREAD: f64 = 0.1;

/// After a longer silence of our own, the machine was suspended.
const SUSPENDED: Duration = Duration::from_secs(30);

/// One in so many beats is to be answered.
const ASK_EACH: u32 = 4;

/// How long an answer is waited for, each time that it was asked for.
const ANSWER_WITHIN: [Duration; 3] = [Duration::from_secs(2), Duration::from_secs(4), Duration::from_secs(8)];

/// A relay that changes its keys says so to a whole fleet within a minute; its agents come within this.
const RETIRE_WITHIN: Duration = Duration::from_secs(10 * 60);

/// A challenge answers something that was sent shortly before.
const CHALLENGED_WITHIN: Duration = Duration::from_secs(10);

/// An agent that sleeps. See the module's introduction.
#[derive(Debug)]
pub(crate) struct Sleeper {
    bed: Bed,
    /// Of the last packet sent.
    counter: u64,
    /// Of the last packet that the relay sent by itself.
    heard: u64,
    sent_at: Option<Moment>,
    next_at: Moment,
    /// Beats since one was to be answered.
    unasked: u32,
    waits: Option<Waits>,
    answered_challenge: Option<u64>,
    /// The relay asked for a connection, which is made then.
    retires_at: Option<Moment>,
}

/// An answer is missing.
#[derive(Debug)]
struct Waits {
    /// The first packet that it may answer.
    from: u64,
    asked: usize,
}

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Nothing.
    Rest,
    /// Send this to the relay.
    Send([u8; BEAT_BYTES]),
    /// Connect.
    Wake(Cause),
}

/// Why an agent wakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The relay said so: somebody is waiting.
    Called,
    /// Its key is too old.
    Revoked,
    /// The relay does not answer.
    Silence,
}

impl Sleeper {
    pub(crate) fn new(bed: Bed, now: Moment) -> Self {
        Self {
            counter: bed.counter,
            heard: bed.counter,
            bed,
            sent_at: None,
            next_at: now,
            unasked: 0,
            waits: None,
            answered_challenge: None,
            retires_at: None,
        }
    }

    /// When [`Sleeper::handle_timeout`] has something to do.
    pub(crate) fn poll_timeout(&self) -> Moment {
        self.retires_at.map_or(self.next_at, |at| at.min(self.next_at))
    }

    /// Does what is due at `now`. Calling it early does no harm.
    pub(crate) fn handle_timeout(&mut self, now: Moment, rng: &mut dyn RngCore) -> Turn {
        if self.retires_at.is_some_and(|at| at <= now) {
            return Turn::Wake(Cause::Revoked);
        }
        if now < self.next_at {
            return Turn::Rest;
        }
        let suspended = self.sent_at.is_some_and(|at| now - at > SUSPENDED);
        let ask = self.waits.is_some() || self.sent_at.is_none() || suspended || self.unasked + 1 >= ASK_EACH;
        if !ask {
            self.unasked += 1;
            self.next_at = now + interval(rng);
            return Turn::Send(self.packet(BeatKind::Beat { ack_requested: false }, None, now));
        }
        if suspended {
            // Nobody was there to miss an answer.
            self.waits = None;
        }
        let waited = self.waits.take();
        let asked = waited.as_ref().map_or(0, |waits| waits.asked);
        let Some(within) = ANSWER_WITHIN.get(asked) else { return Turn::Wake(Cause::Silence) };
        let packet = self.packet(BeatKind::Beat { ack_requested: true }, None, now);
        let from = waited.map_or(self.counter, |waits| waits.from);
        self.waits = Some(Waits { from, asked: asked + 1 });
        self.next_at = now + *within;
        Turn::Send(packet)
    }

    /// Takes a packet that came from the relay's address, or says that it did.
    pub(crate) fn handle_packet(&mut self, packet: &[u8], now: Moment, rng: &mut dyn RngCore) -> Turn {
        let Some((beat, tag)) = Beat::parse(packet) else { return Turn::Rest };
        let of_relay = match beat.kind {
            BeatKind::Ack | BeatKind::Wake | BeatKind::Challenge | BeatKind::Revoked => true,
            // Our own, sent back to us.
            BeatKind::Beat { .. } | BeatKind::Response => false,
        };
        if !of_relay || beat.slot != self.slot() || !is_genuine(&self.bed.key, &beat, &tag, None) {
            return Turn::Rest;
        }
        match beat.kind {
            BeatKind::Ack => {
                if self.waits.as_ref().is_some_and(|waits| (waits.from..=self.counter).contains(&beat.counter)) {
                    self.answered(now, rng);
                }
                Turn::Rest
            }
            BeatKind::Wake | BeatKind::Revoked => {
                if beat.counter <= self.heard {
                    return Turn::Rest;
                }
                self.heard = beat.counter;
                if beat.kind == BeatKind::Wake {
                    return Turn::Wake(Cause::Called);
                }
                // It says so instead of an answer, and can still wake us.
                self.answered(now, rng);
                let share = f64::from(rng.next_u32()) / f64::from(u32::MAX);
                self.retires_at.get_or_insert(now + RETIRE_WITHIN.mul_f64(share));
                Turn::Rest
            }
            BeatKind::Challenge => {
                let asked_for = self.sent_at.is_some_and(|at| now - at <= CHALLENGED_WITHIN);
                if !asked_for || self.answered_challenge == Some(beat.counter) {
                    return Turn::Rest;
                }
                self.answered_challenge = Some(beat.counter);
                let packet = self.packet(BeatKind::Response, Some(beat.counter), now);
                if self.waits.is_none() {
                    self.waits = Some(Waits { from: self.counter, asked: 1 });
                    self.next_at = now + ANSWER_WITHIN[0];
                }
                Turn::Send(packet)
            }
            BeatKind::Beat { .. } | BeatKind::Response => Turn::Rest,
        }
    }

    fn answered(&mut self, now: Moment, rng: &mut dyn RngCore) {
        self.waits = None;
        self.unasked = 0;
        self.next_at = self.sent_at.unwrap_or(now) + interval(rng);
    }

    fn packet(&mut self, kind: BeatKind, answers: Option<u64>, now: Moment) -> [u8; BEAT_BYTES] {
        // 2^64 of them are never sent.
        self.counter = self.counter.saturating_add(1);
        self.sent_at = Some(now);
        let epoch = KeyEpoch::of(self.bed.epoch);
        seal(&self.bed.key, &Beat { kind, epoch, slot: self.slot(), counter: self.counter }, answers)
    }

    fn slot(&self) -> SleepSlot {
        SleepSlot { slot: self.bed.slot, generation: self.bed.generation }
    }
}

fn interval(rng: &mut dyn RngCore) -> Duration {
    let share = f64::from(rng.next_u32()) / f64::from(u32::MAX);
    EVERY.mul_f64(1.0 - SPREAD + 2.0 * SPREAD * share)
}

#[cfg(test)]
mod tests;

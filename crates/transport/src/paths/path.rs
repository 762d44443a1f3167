//! One path: what is known of it, and the questions that it was asked.

use std::{net::SocketAddr, time::Duration};

use wire::{channel::ChannelId, path::Probe};

use super::{ASK_FIRST, ASK_MOST, PathId};
use crate::{sealed::Carrier, table::Uptime};

/// Questions whose answers are still taken.
pub(super) const OPEN_QUESTIONS: u8 = 8;

/// One way to the other end.
#[derive(Debug)]
pub(super) struct Path {
    pub(super) id: PathId,
    pub(super) carrier: Carrier,
    /// `None` once the relay has forgotten it.
    pub(super) channel: Option<ChannelId>,
    /// Technician: when it was added or answered last. Agent: when it was added or something came by it.
    pub(super) sign_at: Uptime,
    /// When the last answer came to a question of ours: it works in both directions.
    pub(super) proven_at: Option<Uptime>,
    /// How long that answer took.
    pub(super) rtt: Duration,
    /// The same, smoothed over the last few answers.
    pub(super) smooth: Duration,
    /// Direct path: the one address whose packets are the other end's, and to which this end's go.
    pub(super) peer: Option<SocketAddr>,
    /// Direct path: what the last answer that came by it said is to be repeated.
    pub(super) heard_token: u64,
    /// When the first packet was sent by it after the last that came by it.
    pub(super) unanswered_since: Option<Uptime>,
    /// The same, but only a packet of QUIC counts as an answer.
    pub(super) no_data_since: Option<Uptime>,
    pub(super) ask_at: Uptime,
    pub(super) ask_wait: Duration,
    /// Number of the first question, drawn at random, and how many were asked.
    pub(super) first_question: u64,
    pub(super) asked: u64,
    pub(super) asked_at: [Uptime; OPEN_QUESTIONS as usize],
}

impl Path {
    /// A path that nothing is known of. `draw` is the number of its first question.
    pub(super) fn new(id: PathId, carrier: Carrier, channel: ChannelId, now: Uptime, draw: u64) -> Self {
        Self {
            id,
            carrier,
            channel: Some(channel),
            sign_at: now,
            proven_at: None,
            rtt: Duration::ZERO,
            smooth: Duration::ZERO,
            peer: None,
            heard_token: 0,
            unanswered_since: None,
            no_data_since: None,
            ask_at: now,
            ask_wait: ASK_FIRST,
            first_question: draw,
            asked: 0,
            asked_at: [Uptime::ZERO; OPEN_QUESTIONS as usize],
        }
    }

    pub(super) fn question(&mut self, now: Uptime) -> Probe {
        let number = self.first_question.wrapping_add(self.asked);
        if let Some(slot) = self.asked_at.get_mut(slot_of(self.asked)) {
            *slot = now;
        }
        self.asked += 1;
        Probe::Ping(number)
    }

    /// When the question with this number was asked, if it is one of the last.
    pub(super) fn was_asked(&self, number: u64) -> Option<Uptime> {
        let index = number.wrapping_sub(self.first_question);
        let open = index < self.asked && self.asked - index <= u64::from(OPEN_QUESTIONS);
        self.asked_at.get(slot_of(index)).copied().filter(|_| open)
    }

    pub(super) fn ask_at_once(&mut self, now: Uptime) {
        (self.ask_at, self.ask_wait) = (now, ASK_FIRST);
    }

    /// Something came by it: it is worth a question, but no more than [`ASK_MOST`] allows.
    pub(super) fn ask_soon(&mut self) {
        let last = self.asked.checked_sub(1).and_then(|last| self.asked_at.get(slot_of(last))).copied();
        self.ask_wait = self.ask_wait.min(ASK_MOST);
        self.ask_at = self.ask_at.min(last.unwrap_or_default() + ASK_MOST);
    }

    /// An answer took so long.
    pub(super) fn measured(&mut self, rtt: Duration) {
        self.smooth = if self.proven_at.is_some() { (self.smooth * 3 + rtt) / 4 } else { rtt };
        self.rtt = rtt;
    }

    /// Whether it has answered what was asked within `age`.
    pub(super) fn is_fresh(&self, now: Uptime, age: Duration) -> bool {
        self.proven_since(now.saturating_sub(age))
    }

    pub(super) fn proven_since(&self, since: Uptime) -> bool {
        self.channel.is_some() && self.proven_at.is_some_and(|at| at >= since)
    }
}

fn slot_of(question: u64) -> usize {
    usize::from(question.to_le_bytes()[0] % OPEN_QUESTIONS)
}

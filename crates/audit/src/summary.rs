//! What a whole log comes to.

use std::{collections::BTreeSet, fmt};

use serde::Serialize;
use wire::{
    evidence::Event,
    ids::{Digest, SessionId},
    run::RunOutcome,
    session::{Ability, EndReason},
    time::WallTime,
};

use crate::{
    line::{Content, Entry},
    render::who,
};

/// What a whole log comes to. `Display` is for people, with every text made safe to show; `Serialize` for programs, with texts as
/// they were recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Summary {
    /// The session.
    pub session: SessionId,
    /// Version of the agent.
    pub agent_version: String,
    /// SHA-256 of the agent's public key.
    pub agent_key: Digest,
    /// SHA-256 of the technician's public key.
    pub technician_key: Digest,
    /// Name that was proved or claimed.
    pub technician: String,
    /// Organisation that vouched for the name; none if it was only a claim.
    pub organisation: Option<String>,
    /// Time of the first entry, milliseconds since the Unix epoch.
    pub first_at: WallTime,
    /// Time of the last entry, milliseconds since the Unix epoch.
    pub last_at: WallTime,
    /// How many entries there are, the closing line not counted.
    pub entries: u64,
    /// Hash of the last entry.
    pub head: Digest,
    /// Every ability that was granted at some time.
    pub granted: BTreeSet<Ability>,
    /// Questions that were answered with no, or could not be asked.
    pub denied: u64,
    /// Runs that were started.
    pub runs_started: u64,
    /// Runs that were approved and did not end with exit code 0.
    pub runs_failed: u64,
    /// Times at which the technician's program broke the protocol.
    pub violations: u64,
    /// Why the session ended; none if the log does not say.
    pub end: Option<EndReason>,
    /// Whether the log is complete.
    pub state: State,
    /// Whether the agent's clock went back during the session; times are then no order.
    pub clock_went_back: Option<ClockWentBack>,
}

/// Whether a log is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// Closed and signed by the agent.
    Closed,
    /// Without its closing line: the session is still going on, or was cut off. Not tampering by itself.
    NotClosed {
        /// Bytes of an unfinished line at the end, which say nothing.
        torn_bytes: u64,
    },
}

/// The agent's clock was set back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ClockWentBack {
    /// How often.
    pub times: u64,
    /// The first entry that is earlier than the one before it.
    pub first_entry: u64,
}

impl Summary {
    /// None unless `entry` is a pairing.
    pub(crate) fn begin(entry: &Entry, head: Digest) -> Option<Self> {
        let Content::Event(Event::Paired {
            session,
            agent_version,
            agent_key,
            technician_key,
            technician,
            organisation,
        }) = &entry.content
        else {
            return None;
        };
        Some(Self {
            session: *session,
            agent_version: agent_version.clone(),
            agent_key: *agent_key,
            technician_key: *technician_key,
            technician: technician.clone(),
            organisation: organisation.clone(),
            first_at: entry.at,
            last_at: entry.at,
            entries: 1,
            head,
            granted: BTreeSet::new(),
            denied: 0,
            runs_started: 0,
            runs_failed: 0,
            violations: 0,
            end: None,
            state: State::NotClosed { torn_bytes: 0 },
            clock_went_back: None,
        })
    }

    pub(crate) fn note(&mut self, entry: &Entry, head: Digest) {
        if entry.at < self.last_at {
            let first = ClockWentBack { times: 0, first_entry: entry.n };
            self.clock_went_back.get_or_insert(first).times += 1;
        }
        self.last_at = entry.at;
        let event = match &entry.content {
            Content::Event(event) => event,
            Content::Closed { .. } => {
                self.state = State::Closed;
                return;
            }
        };
        self.entries += 1;
        self.head = head;
        #[expect(clippy::wildcard_enum_match_arm, reason = "events that are not counted, now and later")]
        match event {
            Event::Granted { abilities, .. } => self.granted.extend(abilities),
            Event::Denied { .. } => self.denied += 1,
            Event::RunStarting { .. } => self.runs_started += 1,
            Event::RunFinished { outcome: RunOutcome::Exited { code: 0 }, .. } => {}
            Event::RunFinished { .. } => self.runs_failed += 1,
            Event::Violation { .. } => self.violations += 1,
            Event::Ended { reason } => self.end = Some(*reason),
            _ => {}
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "session     {}", self.session)?;
        writeln!(f, "with        {}", who(&self.technician, self.organisation.as_deref()))?;
        writeln!(f, "from        {}", self.first_at)?;
        writeln!(f, "to          {}", self.last_at)?;
        let granted = self.granted.iter().map(|ability| ability.name()).collect::<Vec<_>>().join(", ");
        writeln!(f, "allowed     {}", if granted.is_empty() { "nothing" } else { &granted })?;
        writeln!(f, "denied      {}", self.denied)?;
        writeln!(f, "runs        {} started, {} without success", self.runs_started, self.runs_failed)?;
        if self.violations > 0 {
            writeln!(f, "violations  {}: the technician's program broke the protocol", self.violations)?;
        }
        if let Some(reason) = self.end {
            writeln!(f, "end         {reason}")?;
        }
        if let Some(back) = self.clock_went_back {
            let ClockWentBack { times, first_entry } = back;
            writeln!(f, "clock       went back {times} times, first at entry {first_entry}: times are no order here")?;
        }
        writeln!(f, "entries     {}, last hash {}", self.entries, self.head)?;
        writeln!(f, "agent key   {}", self.agent_key)?;
        match self.state {
            State::Closed => write!(f, "state       complete and signed by the agent"),
            State::NotClosed { torn_bytes } => {
                write!(f, "state       not closed: the session is still going on or was cut off")?;
                if torn_bytes > 0 {
                    write!(f, "; {torn_bytes} bytes of an unfinished entry at the end were left out")?;
                }
                Ok(())
            }
        }
    }
}

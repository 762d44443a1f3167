//! The diagnostics stream: wanted by the technician, on only under a live grant.

use std::time::Duration;

use consent::Act;
use wire::{diagnostics::View, evidence::Event, ids::GrantId, time::Moment};

use super::{AgentSession, Effect};

/// Shortest time between samples.
pub const SHORTEST_PERIOD_MS: u32 = 250;

/// Longest time between samples.
pub const LONGEST_PERIOD_MS: u32 = 60_000;

#[derive(Debug, Default)]
pub(super) struct Stream {
    /// What the technician subscribed to. It is remembered while no grant covers it, so that a stream goes on after a pause.
    wanted_ms: Option<u32>,
    on: Option<On>,
    view: View,
}

#[derive(Debug, Clone, Copy)]
struct On {
    grant: GrantId,
    period_ms: u32,
    handed_over: bool,
}

impl Stream {
    /// The grant under which the shell was told to stream.
    pub(super) fn started_under(&self) -> Option<GrantId> {
        self.on.filter(|on| on.handed_over).map(|on| on.grant)
    }

    pub(super) fn handed_over(&mut self) {
        if let Some(on) = &mut self.on {
            on.handed_over = true;
        }
    }

    /// What the technician looks at.
    pub(super) fn view(&self) -> View {
        self.view
    }

    pub(super) fn want(&mut self, period_ms: Option<u32>) {
        self.wanted_ms = period_ms.map(|period_ms| period_ms.clamp(SHORTEST_PERIOD_MS, LONGEST_PERIOD_MS));
    }
}

impl AgentSession {
    pub(super) fn handle_look(&mut self, view: View) {
        self.stream.view = view;
        if self.stream.started_under().is_some() {
            self.effects.push(Effect::Look { view });
        }
    }

    /// Stops the stream if it may not or should not go on. Returns the record of that, which follows later.
    pub(super) fn stop_stream_unless_covered(&mut self, now: Moment) -> Option<Event> {
        let on = self.stream.on?;
        let wanted = self.stream.wanted_ms == Some(on.period_ms);
        if wanted && self.end.is_none() && self.consent.covers(on.grant, &Act::Diagnostics, now) {
            return None;
        }
        self.stream.on = None;
        self.effects.forget_start_of_stream();
        if on.handed_over {
            self.effects.stop(Effect::StopDiagnostics);
        }
        Some(Event::DiagnosticsStopped)
    }

    /// Starts the stream if it is wanted and covered.
    pub(super) fn start_stream_if_covered(&mut self, now: Moment) {
        let (Some(period_ms), None, None) = (self.stream.wanted_ms, self.stream.on, self.end) else { return };
        let Some(grant) = self.consent.covering(&Act::Diagnostics, now) else { return };
        self.effects.record(Event::DiagnosticsStarted { grant, period_ms });
        let (period, view) = (Duration::from_millis(period_ms.into()), self.stream.view());
        self.effects.push(Effect::StartDiagnostics { period, view });
        self.stream.on = Some(On { grant, period_ms, handed_over: false });
        self.effects.changed();
    }
}

//! What happens, for programs: one JSON object a line on standard output with `--json`, nothing without.

use std::{io::Write as _, path::Path, time::Duration};

use serde::Serialize;
use wire::ids::SessionId;

/// Prints events if they were asked for.
#[derive(Debug, Clone)]
pub(super) struct Events {
    enabled: bool,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line<'a> {
    /// The page on which the person is asked.
    Page { url: &'a str },
    /// A code is shown.
    Code { code: &'a str, expires_in_secs: u64 },
    /// The code is void.
    CodeVoid { reason: &'a str },
    /// A technician proved the code.
    Session { session: String, log: &'a Path },
    /// The program is about to end.
    Ended { reason: &'a str },
}

impl Events {
    pub(super) fn new(enabled: bool) -> Self {
        Self { enabled }
    }

    /// Whether programs read what happens, so that nothing need be written for people.
    pub(super) fn enabled(&self) -> bool {
        self.enabled
    }

    pub(super) fn page(&self, url: &str) {
        self.print(&Line::Page { url });
    }

    pub(super) fn code(&self, code: &str, expires_in: Duration) {
        self.print(&Line::Code { code, expires_in_secs: expires_in.as_secs() });
    }

    pub(super) fn code_void(&self, reason: &str) {
        self.print(&Line::CodeVoid { reason });
    }

    pub(super) fn session(&self, session: SessionId, log: &Path) {
        self.print(&Line::Session { session: session.to_string(), log });
    }

    pub(super) fn ended(&self, reason: &str) {
        self.print(&Line::Ended { reason });
    }

    fn print(&self, line: &Line<'_>) {
        if !self.enabled {
            return;
        }
        let Ok(mut text) = serde_json::to_vec(line) else { return };
        text.push(b'\n');
        // Nobody reads any more: that is no reason to stop helping.
        let _ = std::io::stdout().lock().write_all(&text);
        let _ = std::io::stdout().lock().flush();
    }
}

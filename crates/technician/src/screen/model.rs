//! What the screen shows. Changed by the session's process and by keys, never by drawing.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use wire::{
    diagnostics::{IdentityCard, ProcessOrder, Snapshot, findings::Finding},
    session::Ability,
};

use crate::status::{Phase, Status};

/// Everything that is on the screen.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    /// How the session stands.
    pub(crate) status: Status,
    /// What the machine is.
    pub(crate) card: Option<Arc<IdentityCard>>,
    /// What all checks answered, the worst first.
    pub(crate) findings: Arc<Vec<Finding>>,
    /// The newest reading.
    pub(crate) sample: Option<Arc<Snapshot>>,
    /// How old the newest reading is; a stale one is marked.
    pub(crate) sample_age: Duration,
    /// Busy share of all processors together, in thousandths, oldest first.
    pub(crate) busy_history: VecDeque<u16>,
    /// The panel in the lower part that keys act on.
    pub(crate) panel: Panel,
    /// What the busiest processes have most of.
    pub(crate) processes_by: ProcessOrder,
    /// First line shown of each panel's list.
    pub(crate) scroll: [usize; Panel::ALL.len()],
    /// What lies over the panels.
    pub(crate) overlay: Overlay,
    /// A line for the person, such as why a key did nothing.
    pub(crate) notice: Option<String>,
    /// Whether colours are used. Nothing is told by colour alone.
    pub(crate) colour: bool,
}

/// Readings kept in [`Model::busy_history`]: two minutes.
pub(crate) const HISTORY: usize = 120;

/// A reading older than this is marked as stale: three missed in a row.
pub(crate) const STALE_AFTER: Duration = Duration::from_secs(4);

/// The panels in the lower part, in the order of the Tab key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Panel {
    /// What is wrong with the machine, and what was looked at.
    Findings,
    /// Busiest processes.
    Processes,
    /// Runs with the end of their output.
    Runs,
    /// File systems, disks, networks and temperatures in full.
    Devices,
    /// What happened.
    Activity,
}

impl Panel {
    /// Every panel.
    pub(crate) const ALL: [Self; 5] = [Self::Findings, Self::Processes, Self::Runs, Self::Devices, Self::Activity];

    /// Its title.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Findings => "Findings",
            Self::Processes => "Processes",
            Self::Runs => "Runs",
            Self::Devices => "Devices",
            Self::Activity => "Activity",
        }
    }

    fn index(self) -> usize {
        match self {
            Self::Findings => 0,
            Self::Processes => 1,
            Self::Runs => 2,
            Self::Devices => 3,
            Self::Activity => 4,
        }
    }

    /// The panel `step` further on, round the end.
    pub(crate) fn after(self, step: usize) -> Self {
        let index = (self.index() + step) % Self::ALL.len();
        Self::ALL.get(index).copied().unwrap_or(Self::Findings)
    }
}

/// What lies over the panels and takes the keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Overlay {
    /// Nothing.
    None,
    /// The keys.
    Help,
    /// "End the session?"
    Leave,
    /// A command to ask for.
    Run(InputLine),
    /// Abilities to ask for.
    Request(AbilityChoice),
}

/// A line that is being typed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct InputLine {
    /// What was typed.
    pub(crate) text: String,
    /// Byte at which the next character goes in; always on a character's boundary.
    pub(crate) cursor: usize,
}

/// Longest line that can be typed.
const INPUT_BYTES: usize = 4096;

impl InputLine {
    /// Puts a character in. Control characters are not taken.
    pub(crate) fn insert(&mut self, character: char) {
        if !character.is_control() && self.text.len() + character.len_utf8() <= INPUT_BYTES {
            self.text.insert(self.cursor, character);
            self.cursor += character.len_utf8();
        }
    }

    /// Takes the character before the cursor out.
    pub(crate) fn backspace(&mut self) {
        if let Some(previous) = self.before().chars().next_back() {
            self.cursor -= previous.len_utf8();
            self.text.remove(self.cursor);
        }
    }

    /// Takes the character under the cursor out.
    pub(crate) fn delete(&mut self) {
        if self.cursor < self.text.len() {
            self.text.remove(self.cursor);
        }
    }

    /// Moves one character to the left.
    pub(crate) fn left(&mut self) {
        self.cursor -= self.before().chars().next_back().map_or(0, char::len_utf8);
    }

    /// Moves one character to the right.
    pub(crate) fn right(&mut self) {
        let after = self.text.get(self.cursor..).unwrap_or_default();
        self.cursor += after.chars().next().map_or(0, char::len_utf8);
    }

    /// Moves to the beginning.
    pub(crate) fn home(&mut self) {
        self.cursor = 0;
    }

    /// Moves to the end.
    pub(crate) fn end(&mut self) {
        self.cursor = self.text.len();
    }

    /// Takes everything before the cursor out.
    pub(crate) fn clear_before(&mut self) {
        self.text.drain(..self.cursor);
        self.cursor = 0;
    }

    /// The text before the cursor.
    pub(crate) fn before(&self) -> &str {
        self.text.get(..self.cursor).unwrap_or_default()
    }

    /// The line split as a POSIX shell would split it into words. Nothing is expanded, because no shell is involved.
    ///
    /// # Errors
    ///
    /// What is wrong with the quoting, for the person who types.
    pub(crate) fn words(&self) -> Result<Vec<String>, &'static str> {
        shlex::split(&self.text).ok_or("a quotation mark or a backslash is not finished")
    }
}

/// Abilities to tick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AbilityChoice {
    /// Which line the cursor is on.
    pub(crate) line: usize,
    /// What is ticked.
    pub(crate) ticked: Vec<Ability>,
}

/// What this version can make use of, in the order of the list. Commands are not among them: each is asked for by itself.
pub(crate) const OFFERED: [Ability; 6] = [
    Ability::DiagBasic,
    Ability::DiagLogs,
    Ability::DiagNetwork,
    Ability::DiagProcess,
    Ability::DiagNames,
    Ability::DiagIdentifiers,
];

impl Model {
    /// The screen before anything is known.
    pub(crate) fn new(status: Status, colour: bool) -> Self {
        Self {
            status,
            card: None,
            findings: Arc::default(),
            sample: None,
            sample_age: Duration::ZERO,
            busy_history: VecDeque::new(),
            panel: Panel::Findings,
            processes_by: ProcessOrder::default(),
            scroll: [0; Panel::ALL.len()],
            overlay: Overlay::None,
            notice: None,
            colour,
        }
    }

    /// Takes a new reading.
    pub(crate) fn take_sample(&mut self, sample: Arc<Snapshot>) {
        self.busy_history.push_back(sample.processor.busy_permille.min(1000));
        while self.busy_history.len() > HISTORY {
            self.busy_history.pop_front();
        }
        self.sample = Some(sample);
        self.sample_age = Duration::ZERO;
    }

    /// Scroll position of the current panel.
    pub(crate) fn scroll_mut(&mut self) -> &mut usize {
        let index = self.panel.index();
        self.scroll.get_mut(index).expect("every panel has a scroll position")
    }

    /// Scroll position of a panel.
    pub(crate) fn scroll_of(&self, panel: Panel) -> usize {
        self.scroll.get(panel.index()).copied().unwrap_or_default()
    }

    /// Whether the session is over.
    pub(crate) fn is_ended(&self) -> bool {
        match self.status.phase {
            Phase::Ended { .. } => true,
            Phase::Connecting { .. }
            | Phase::WaitingForAnswer { .. }
            | Phase::Live
            | Phase::Paused { .. }
            | Phase::Reconnecting { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_edited_character_by_character() {
        let mut line = InputLine::default();
        for character in "lß\u{1b} 🎉".chars() {
            line.insert(character);
        }
        assert_eq!(line.text, "lß 🎉", "an escape is no text");
        line.left();
        line.backspace();
        line.backspace();
        line.insert('s');
        line.delete();
        assert_eq!((line.text.as_str(), line.before()), ("ls", "ls"));
        line.home();
        line.left();
        line.delete();
        line.end();
        line.right();
        line.clear_before();
        assert_eq!(line, InputLine::default());
    }

    #[test]
    fn a_line_is_split_into_words_and_nothing_is_expanded() {
        let line = InputLine { text: "grep -e 'two words' $HOME/*".to_owned(), cursor: 0 };
        assert_eq!(line.words().unwrap(), ["grep", "-e", "two words", "$HOME/*"]);
        assert!(InputLine { text: "echo 'open".to_owned(), cursor: 0 }.words().is_err());
    }

    #[test]
    fn tab_goes_round_all_panels() {
        let mut panel = Panel::Findings;
        for _ in 0..Panel::ALL.len() {
            panel = panel.after(1);
        }
        assert_eq!(panel, Panel::Findings);
        assert_eq!(panel.after(Panel::ALL.len() - 1), Panel::Activity);
    }
}

//! Colours and emphasis. Without colours the same things are told apart by bold, reverse and dim.

use ratatui::style::{Color, Modifier, Style};

/// Styles for everything on the screen: near monochrome, one accent, three for how bad something is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    colour: bool,
}

impl Look {
    pub(super) fn new(colour: bool) -> Self {
        Self { colour }
    }

    fn coloured(self, colour: Color, otherwise: Modifier) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new().add_modifier(otherwise) }
    }

    /// Ordinary text.
    pub(super) fn plain(self) -> Style {
        Style::new()
    }

    /// Names and figures that the eye looks for.
    pub(super) fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// What surrounds them.
    pub(super) fn dim(self) -> Style {
        self.coloured(Color::DarkGray, Modifier::DIM)
    }

    /// Focus and bars.
    pub(super) fn accent(self) -> Style {
        self.coloured(Color::Cyan, Modifier::BOLD)
    }

    /// All is well, or allowed.
    pub(super) fn good(self) -> Style {
        self.coloured(Color::Green, Modifier::empty())
    }

    /// Worth a look.
    pub(super) fn warn(self) -> Style {
        self.coloured(Color::Yellow, Modifier::BOLD)
    }

    /// Bad.
    pub(super) fn bad(self) -> Style {
        self.coloured(Color::Red, Modifier::BOLD).add_modifier(Modifier::BOLD)
    }

    /// A key in the help line.
    pub(super) fn key(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// A line that stands over everything else.
    pub(super) fn banner(self, style: Style) -> Style {
        style.add_modifier(Modifier::REVERSED | Modifier::BOLD)
    }

    /// The line that the cursor is on.
    pub(super) fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// By how full or busy something is, in thousandths.
    pub(super) fn level(self, permille: u16) -> Style {
        match permille {
            0..=799 => self.plain(),
            800..=899 => self.warn(),
            900.. => self.bad(),
        }
    }
}

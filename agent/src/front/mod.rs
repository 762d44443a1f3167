//! Front ends: the consent page and the terminal.

//! What a disk gives back: the history of a machine, and settings that any program of the person's may have written.

use diagnostics::{check_dconf, history};

use super::Verdict;

/// The first byte says what the rest is: a file of one of the two tiers, or what a block of it unpacks to, which hardly any mutant of a
/// whole file reaches.
pub(super) fn history(bytes: &[u8]) -> Verdict {
    Verdict::accepted_if(history::check_any(bytes))
}

/// A database of dconf, in which the desktop keeps its proxies.
pub(super) fn dconf(bytes: &[u8]) -> Verdict {
    Verdict::accepted_if(check_dconf(bytes))
}

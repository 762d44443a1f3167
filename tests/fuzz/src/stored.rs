//! The history of a machine, as a disk gives it back.

use diagnostics::history;

use super::Verdict;

/// The first byte says what the rest is: a file of one of the two tiers, or what a block of it unpacks to, which hardly any mutant of a
/// whole file reaches.
pub(super) fn history(bytes: &[u8]) -> Verdict {
    Verdict::accepted_if(history::check_any(bytes))
}

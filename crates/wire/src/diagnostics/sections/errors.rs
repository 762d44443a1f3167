//! Errors in the log since the machine started, by kind.

use super::logs::Priority;
use crate::{
    schema,
    text::{Label, Sentence},
    time::WallTime,
};

/// Most groups that are listed: the biggest.
pub const MAX_GROUPS: usize = 40;

schema! {
    /// Errors in the log since the machine started, by kind.
    #[derive(Default)]
    pub struct Errors {
        /// The biggest groups, the biggest first; at most [`MAX_GROUPS`].
        nested groups: Vec<ErrorGroup>,
        /// Lines in all, those of groups that are not listed included.
        technical lines: u64,
    }

    /// Lines of one unit that differ in numbers, names and addresses alone.
    pub struct ErrorGroup {
        /// Unit that wrote them; absent if none did, such as the kernel.
        unit unit: Option<Label>,
        /// What the writer calls itself: anything.
        text identifier: Label,
        /// What they have in common; `<n>`, `<hex>`, `<path>`, `<quoted>` stand for what differs.
        text template: Sentence,
        /// The gravest of them.
        technical gravest: Priority,
        /// How many.
        technical count: u64,
        /// When the first was written.
        technical first: WallTime,
        /// When the last was written.
        technical last: WallTime,
    }
}

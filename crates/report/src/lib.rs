//! What findings say to people: to the person at the machine without jargon, to the technician with every figure.
//!
//! A finding carries no words, only which check answered what (`wire::diagnostics::findings`). The words stand here once, so that the
//! agent's page, the technician's screen and a saved report say the same. What an agent sent is shown only through the text types of
//! `wire`, which make visible whatever would act on a screen.
//!
//! | module | what is in it |
//! |---|---|
//! | [`wording`] | for each check: title, question, plain and technical text, what it rules out |
//! | [`runbooks`] | what to look at next, without changing anything |
//! | [`units`] | amounts as people write them |
//! | [`html`], [`markdown`], [`text`] | a report as a page, as a document, as lines of a terminal |
//! | [`processes`] | every process as a tree |
//! | [`diff`] | what is different between two reports |
//! | [`export`] | samples and findings for the programs that collect them, and series as CSV |
//! | [`spark`], [`watch`] | series as a line of blocks, and a machine on one screen |
//! | [`tree`] | any value of the schema as an ordered tree |

#![deny(missing_docs)]

pub mod diff;
pub mod export;
pub mod html;
pub mod markdown;
mod naming;
mod outline;
pub mod processes;
pub mod runbooks;
pub mod spark;
mod template;
#[cfg(test)]
mod testing;
pub mod text;
mod told;
pub mod tree;
pub mod units;
pub mod watch;
pub mod wording;

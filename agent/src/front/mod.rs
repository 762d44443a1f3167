//! Front ends: how the person is told and asked.
//!
//! [`browser`] serves a page on the loopback address, [`terminal`] talks on the person's terminal (and so over SSH). Both show
//! the same [`View`](crate::view::View) and bring back the same [`UserAct`](crate::view::UserAct)s. They decide nothing: what
//! an answer is worth is for the consent state machine to say. What they do guarantee is that an answer comes from a person who
//! had the question in front of them: from the one page that was let in, or typed at a terminal after the whole question
//! was written to it.

pub(crate) mod aged;
pub mod browser;
#[cfg(test)]
mod samples;
pub mod terminal;

use std::io;

/// Why there is no front end. Without one the person cannot be asked, so everything is denied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrontError {
    /// No socket on the loopback address.
    #[error("cannot serve the consent page on 127.0.0.1")]
    Loopback(#[source] io::Error),
    /// Neither standard input and output nor the process's session have a terminal.
    #[error("there is no terminal to ask at")]
    NoTerminal,
    /// The terminal cannot move its cursor, so nothing can be kept up to date in it.
    #[error("the terminal is too simple for a conversation (TERM is not set, or \"dumb\")")]
    DumbTerminal,
    /// The program was put in the background of its terminal, where it can neither ask nor read an answer.
    #[error("the program does not run in the foreground of its terminal")]
    Background,
    /// The terminal cannot be set up.
    #[error("the terminal cannot be used")]
    Terminal(#[source] io::Error),
}

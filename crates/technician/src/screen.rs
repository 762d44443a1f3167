//! The full-screen view of a session: state in [`model`], drawing in [`draw`], keys in [`keys`], the terminal in [`terminal`].

pub(crate) mod draw;
pub(crate) mod keys;
pub(crate) mod model;
pub(crate) mod terminal;

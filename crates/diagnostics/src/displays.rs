//! What the machine shows, plays and sees.

pub(crate) mod linux;

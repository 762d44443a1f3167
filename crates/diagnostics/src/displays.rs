//! What the machine shows, plays and sees.

mod bluetooth;
mod edid;
mod graphics;
pub(crate) mod linux;
mod sound;

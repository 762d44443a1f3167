//! What feeds the machine, and what keeps it cool.

mod batteries;
mod frequencies;
pub(crate) mod linux;
mod sensors;

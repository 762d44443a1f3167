//! What a technician sees of a machine: the identity card and the live samples.
//!
//! [`Collector`] measures, [`Sampler`] says when and turns samples into frames; the agent's shell drives both. Nothing here
//! sends anything, asks for consent, or reads a clock. Arguments and environments of processes are never read: there is no
//! code for it.
//!
//! Each subject has a folder with one file for each system that it is read on; `linux.rs` puts them together. Elsewhere
//! `portable.rs` has what sysinfo knows, until a system gets files of its own.

mod collector;
mod gaps;
mod patience;
mod rates;
mod roots;
mod sampler;

#[cfg(target_os = "linux")]
mod bus;
#[cfg(target_os = "linux")]
mod journal;
#[cfg(target_os = "linux")]
mod manifest;
#[cfg(target_os = "linux")]
mod sources;
#[cfg(target_os = "linux")]
mod survey;
mod tools;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(any(not(target_os = "linux"), test))]
mod portable;
#[cfg(target_os = "linux")]
mod text;

#[cfg(target_os = "linux")]
mod disks {
    pub(crate) mod linux;
}
#[cfg(target_os = "linux")]
mod filesystems {
    pub(crate) mod linux;
    pub(crate) mod mounts;
}
#[cfg(target_os = "linux")]
mod identity {
    pub(crate) mod linux;
    mod virtualisation;
}
#[cfg(target_os = "linux")]
mod memory {
    pub(crate) mod linux;
}
#[cfg(target_os = "linux")]
mod networks {
    pub(crate) mod linux;
}
#[cfg(target_os = "linux")]
mod pressure {
    pub(crate) mod linux;
}
mod processes {
    #[cfg(target_os = "linux")]
    pub(crate) mod linux;
    pub(crate) mod ranking;
    #[cfg(target_os = "linux")]
    mod stat;
}
#[cfg(target_os = "linux")]
mod processor {
    pub(crate) mod linux;
}
#[cfg(target_os = "linux")]
mod temperatures {
    pub(crate) mod linux;
}

mod system {
    #[cfg(target_os = "linux")]
    pub(crate) mod linux;
}
mod hardware {
    #[cfg(target_os = "linux")]
    pub(crate) mod linux;
}
mod storage {
    #[cfg(target_os = "linux")]
    pub(crate) mod linux;
}
mod network {
    #[cfg(target_os = "linux")]
    pub(crate) mod linux;
}
mod groups {
    #[cfg(target_os = "linux")]
    pub(crate) mod linux;
}
mod power {
    #[cfg(target_os = "linux")]
    pub(crate) mod linux;
}
mod services {
    #[cfg(target_os = "linux")]
    pub(crate) mod linux;
    #[cfg(target_os = "linux")]
    mod systemd;
}
mod clock {
    #[cfg(target_os = "linux")]
    pub(crate) mod linux;
}
mod logs {
    #[cfg(target_os = "linux")]
    pub(crate) mod linux;
}
mod updates {
    #[cfg(target_os = "linux")]
    pub(crate) mod linux;
}
mod crashes {
    #[cfg(target_os = "linux")]
    pub(crate) mod linux;
}
mod users {
    #[cfg(target_os = "linux")]
    pub(crate) mod linux;
}
mod security {
    #[cfg(target_os = "linux")]
    pub(crate) mod linux;
}
mod printers {
    #[cfg(target_os = "linux")]
    pub(crate) mod linux;
}
mod displays {
    #[cfg(target_os = "linux")]
    pub(crate) mod linux;
}
mod certificates {
    #[cfg(target_os = "linux")]
    pub(crate) mod linux;
}
mod changes {
    #[cfg(target_os = "linux")]
    pub(crate) mod linux;
    #[cfg(target_os = "linux")]
    mod packages;
}
mod ladder {
    #[cfg(target_os = "linux")]
    pub(crate) mod linux;
}
mod errors {
    #[cfg(target_os = "linux")]
    pub(crate) mod linux;
    #[cfg(target_os = "linux")]
    mod template;
}

#[cfg(target_os = "linux")]
use linux::Machine;
#[cfg(not(target_os = "linux"))]
use portable::Machine;

#[cfg(target_os = "linux")]
pub use bus::Bus;
pub use collector::{Collector, MIN_INTERVAL};
pub use roots::Roots;
pub use sampler::{Due, MAX_PERIOD, MIN_PERIOD, Sampler};
#[cfg(target_os = "linux")]
pub use sources::{NoTools, RunTools, Sources};
#[cfg(target_os = "linux")]
pub use survey::{Asked, SECTION_DEADLINE, Survey};
pub use tools::{JournalCursor, JournalFields, JournalSelection, MessageId, Tool, UnitName};

//! What a technician sees of a machine: the identity card and the live samples.
//!
//! [`Collector`] measures, [`Sampler`] says when and turns samples into frames; the agent's shell drives both. Nothing here
//! sends anything, asks for consent, or reads a clock. Environments of processes are never read: there is no code for it.
//! Arguments are read by [`arguments`] alone, of one process that the person said yes to.
//!
//! Each subject has a folder with one file for each system that it is read on; `linux.rs` puts them together. Elsewhere
//! `portable.rs` has what sysinfo knows, until a system gets files of its own.

mod collector;
pub mod findings;
pub mod forecast;
mod gaps;
mod governor;
pub mod history;
mod patience;
mod privacy;
mod rates;
mod roots;
mod sampler;

#[cfg(target_os = "linux")]
mod bus;
#[cfg(target_os = "linux")]
mod folders;
#[cfg(target_os = "linux")]
mod journal;
#[cfg(target_os = "linux")]
#[cfg(test)]
mod lab;
#[cfg(target_os = "linux")]
mod manifest;
#[cfg(target_os = "linux")]
mod monitor;
#[cfg(target_os = "linux")]
mod netlink;
#[cfg(target_os = "linux")]
mod sources;
#[cfg(target_os = "linux")]
mod stopwatch;
#[cfg(target_os = "linux")]
mod survey;
#[cfg(target_os = "linux")]
mod sysfs;
#[cfg(target_os = "linux")]
#[cfg(test)]
mod testing;
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
    mod errors;
    pub(crate) mod linux;
    pub(crate) mod mounts;
}
#[cfg(target_os = "linux")]
mod identity {
    pub(crate) mod linux;
    mod virtualisation;
}
#[cfg(target_os = "linux")]
mod limits {
    pub(crate) mod linux;
}
#[cfg(target_os = "linux")]
mod memory {
    pub(crate) mod linux;
}
#[cfg(target_os = "linux")]
mod networks {
    pub(crate) mod linux;
    pub(crate) mod traffic;
}
#[cfg(target_os = "linux")]
mod own {
    pub(crate) mod linux;
}
#[cfg(target_os = "linux")]
mod pressure {
    pub(crate) mod linux;
}
mod processes {
    #[cfg(target_os = "linux")]
    pub(crate) mod all;
    #[cfg(target_os = "linux")]
    pub(crate) mod arguments;
    #[cfg(target_os = "linux")]
    pub(crate) mod detail;
    #[cfg(target_os = "linux")]
    mod files;
    #[cfg(target_os = "linux")]
    pub(crate) mod hidden;
    #[cfg(target_os = "linux")]
    pub(crate) mod linux;
    #[cfg(target_os = "linux")]
    pub(crate) mod owners;
    pub(crate) mod ranking;
    #[cfg(target_os = "linux")]
    mod stat;
}
#[cfg(target_os = "linux")]
mod processor {
    pub(crate) mod linux;
    pub(crate) mod throttles;
}
#[cfg(target_os = "linux")]
mod temperatures {
    mod fans;
    pub(crate) mod linux;
    mod power;
}

mod system {
    #[cfg(target_os = "linux")]
    pub(crate) mod linux;
}
#[cfg(target_os = "linux")]
mod hardware;
#[cfg(target_os = "linux")]
mod storage {
    mod block;
    pub(crate) mod linux;
    mod mdstat;
    mod pools;
    mod smartctl;
    mod udisks;
}
#[cfg(target_os = "linux")]
mod network {
    pub(crate) mod desktop;
    mod gvdb;
    pub(crate) mod links;
    pub(crate) mod linux;
    pub(crate) mod manager;
    mod proxies;
    pub(crate) mod resolver;
    mod wireless;
}
#[cfg(target_os = "linux")]
mod groups {
    mod files;
    pub(crate) mod linux;
    pub(crate) mod own;
    mod tree;
}
#[cfg(target_os = "linux")]
mod power;
mod services {
    #[cfg(target_os = "linux")]
    mod autostart;
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
#[cfg(target_os = "linux")]
mod updates {
    mod kernel;
    pub(crate) mod linux;
    mod listings;
    mod packagekit;
    mod records;
}
mod crashes {
    #[cfg(target_os = "linux")]
    pub(crate) mod linux;
    #[cfg(target_os = "linux")]
    mod stack;
}
#[cfg(target_os = "linux")]
mod users {
    pub(crate) mod linux;
    mod utmp;
}
#[cfg(target_os = "linux")]
mod security {
    mod disk;
    mod firewall;
    mod kernel;
    pub(crate) mod linux;
    mod ports;
    mod ssh;
}
#[cfg(target_os = "linux")]
mod printers {
    mod http;
    mod ipp;
    pub(crate) mod linux;
}
#[cfg(target_os = "linux")]
mod displays;
#[cfg(target_os = "linux")]
mod certificates {
    pub(crate) mod linux;
    mod pem;
}
mod changes {
    #[cfg(target_os = "linux")]
    pub(crate) mod linux;
    #[cfg(target_os = "linux")]
    mod packages;
}
#[cfg(target_os = "linux")]
mod ladder {
    pub(crate) mod linux;
}
#[cfg(target_os = "linux")]
mod probes {
    pub(crate) mod datagram;
    mod echo;
    pub(crate) mod limit;
    pub(crate) mod linux;
    pub(crate) mod load;
    mod mtu;
    mod names;
    mod portal;
    mod route;
    pub(crate) mod targets;
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
pub use collector::{Collector, MIN_INTERVAL, Wanted};
pub use governor::{Governor, Intervals, Observed};
#[cfg(target_os = "linux")]
pub use monitor::{IDLE_PERIOD, Monitor, OPENING_SECTIONS};
#[cfg(target_os = "linux")]
#[doc(hidden)]
pub use network::desktop::check_dconf;
pub use privacy::{Cleared, Privacy, Scopes, WITHHELD};
#[cfg(target_os = "linux")]
pub use probes::{
    linux::{PROBE_DEADLINE, RunningProbe, section_of},
    load::{Load, grade},
    targets::{MAX_PROBE_HOSTS, NoHost, ProbeHost, Reach},
};
#[cfg(target_os = "linux")]
pub use processes::arguments::{ArgumentsError, arguments, process_name};
pub use roots::{Person, Roots};
pub use sampler::{Due, MAX_PERIOD, MIN_PERIOD, Sampler};
#[cfg(target_os = "linux")]
pub use sources::{
    CertificateFacts, Handshake, NoCertificates, NoHandshakes, NoTools, ReadCertificates, RunTools, ShakeHands, Sources,
};
#[cfg(target_os = "linux")]
pub use survey::{Question, SECTION_DEADLINE, Survey};
pub use tools::{DiskName, JournalCursor, JournalFields, JournalSelection, MessageId, Tool, UnitName};

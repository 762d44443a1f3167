//! What differs between operating systems.

#[cfg(unix)]
mod unix;

#[cfg(unix)]
pub(crate) use unix::{ReloadSignals, StopSignals, allow_open_files, is_private, is_root, lock};

#[cfg(target_os = "linux")]
mod linux;

#[cfg(target_os = "linux")]
pub(crate) use linux::udp_drops;

/// Packets that the system dropped before a program read them. Not known here.
#[cfg(not(target_os = "linux"))]
pub(crate) fn udp_drops(_port: u16) -> Option<u64> {
    None
}

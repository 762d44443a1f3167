//! The router of this network.

#[cfg(target_os = "linux")]
mod linux;

use std::net::Ipv4Addr;

/// Where packets to everywhere go; `None` if there is no such router or the system does not say.
#[cfg(target_os = "linux")]
pub(super) fn of_default_route() -> Option<Ipv4Addr> {
    linux::of_default_route()
}

/// Where packets to everywhere go; `None` if there is no such router or the system does not say.
#[cfg(not(target_os = "linux"))]
pub(super) fn of_default_route() -> Option<Ipv4Addr> {
    None
}

//! The relay link that others are given.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use trust::keys::SigningKey;
use wire::link::RelayLink;

use crate::{config::RelayConfig, error::RelayError};

/// The link of a relay that listens on `udp`.
///
/// # Errors
///
/// [`RelayError::NoPort`] if the port is not known.
pub(crate) fn of(config: &RelayConfig, key: &SigningKey, udp: SocketAddr) -> Result<RelayLink, RelayError> {
    let host = config.public_host.clone().unwrap_or_else(|| {
        let ip = udp.ip().to_canonical();
        if ip.is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST).to_string() } else { ip.to_string() }
    });
    let port = config.public_port.unwrap_or(udp.port());
    RelayLink::new(&host, port, key.public().digest().0).map_err(|_| RelayError::NoPort)
}

/// Whether the link leads to this machine only, although the relay listens for others.
pub(crate) fn is_local_only(config: &RelayConfig, udp: SocketAddr) -> bool {
    config.public_host.is_none() && udp.ip().to_canonical().is_unspecified()
}

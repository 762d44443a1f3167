//! NetworkManager, where it runs (its D-Bus API, `org.freedesktop.NetworkManager`). Its secrets are never asked for.

use std::{io, time::Duration};

use wire::{
    diagnostics::sections::network::{Connectivity, ManagerState, NetworkManager},
    text::Label,
};

use crate::{bus::Talk, manifest::Manifest, sources::Sources};

const SERVICE: &str = "org.freedesktop.NetworkManager";
const PATH: &str = "/org/freedesktop/NetworkManager";

/// Longest that it is waited for.
const DEADLINE: Duration = Duration::from_secs(3);

/// What it says; `None` where it does not run.
pub(crate) fn read(sources: &Sources, manifest: &mut Manifest) -> Option<NetworkManager> {
    match sources.bus.ask(DEADLINE, ask) {
        Ok(manager) => {
            manifest.read("NetworkManager");
            Some(manager)
        }
        // Most machines without it have something else.
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            manifest.failed("NetworkManager", &error);
            None
        }
    }
}

async fn ask(talk: &Talk) -> io::Result<NetworkManager> {
    let number = async |name| talk.property::<u32>(SERVICE, PATH, (SERVICE, name)).await;
    let flag = async |name| talk.property::<bool>(SERVICE, PATH, (SERVICE, name)).await.unwrap_or(false);
    let primary = talk.property::<String>(SERVICE, PATH, (SERVICE, "PrimaryConnectionType")).await;
    Ok(NetworkManager {
        state: state(number("State").await?),
        connectivity: connectivity(number("Connectivity").await.unwrap_or(0)),
        checks_connectivity: flag("ConnectivityCheckAvailable").await && flag("ConnectivityCheckEnabled").await,
        primary_kind: Label::cut(&primary.unwrap_or_default()),
        // `NM_METERED_YES` and `NM_METERED_GUESS_YES`.
        metered: matches!(number("Metered").await, Ok(1 | 3)),
        wireless_enabled: flag("WirelessEnabled").await && flag("WirelessHardwareEnabled").await,
    })
}

/// `NMState`.
fn state(number: u32) -> ManagerState {
    match number {
        10 => ManagerState::Asleep,
        20 => ManagerState::Disconnected,
        30 | 40 => ManagerState::Changing,
        50 => ManagerState::LocalOnly,
        60 => ManagerState::SiteOnly,
        70 => ManagerState::Connected,
        _ => ManagerState::Unknown,
    }
}

/// `NMConnectivityState`.
fn connectivity(number: u32) -> Connectivity {
    match number {
        1 => Connectivity::None,
        2 => Connectivity::Portal,
        3 => Connectivity::Limited,
        4 => Connectivity::Full,
        _ => Connectivity::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_not_known_are_no_state() {
        assert_eq!((state(70), connectivity(2)), (ManagerState::Connected, Connectivity::Portal));
        assert_eq!((state(7), connectivity(99)), (ManagerState::Unknown, Connectivity::Unknown));
    }
}

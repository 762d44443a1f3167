//! NetworkManager, where it runs (its D-Bus API, `org.freedesktop.NetworkManager`). Its secrets are never asked for.

use std::{collections::BTreeMap, io, time::Duration};

use wire::{
    diagnostics::sections::network::{Connectivity, ManagerState, NetworkManager, Proxy, ProxySource},
    text::Label,
};
use zbus::{OwnedObjectPath, OwnedVariant, Variant};

use super::proxies::automatic;
use crate::{bus::Talk, manifest::Manifest, sources::Sources};

const SERVICE: &str = "org.freedesktop.NetworkManager";
const PATH: &str = "/org/freedesktop/NetworkManager";

/// Longest that it is waited for.
const DEADLINE: Duration = Duration::from_secs(3);

/// Most connections that are asked about their proxies.
const MAX_CONNECTIONS: usize = 16;

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

/// The proxies of the connections that are up.
pub(crate) fn read_proxies(sources: &Sources, manifest: &mut Manifest) -> Vec<Proxy> {
    const CONNECTIONS: &str = "connections of NetworkManager";
    match sources.bus.ask(DEADLINE, ask_proxies) {
        Ok((proxies, untold)) => {
            manifest.read(CONNECTIONS);
            if untold > 0 {
                manifest.partial(CONNECTIONS, &format!("{untold} do not tell about themselves"));
            }
            proxies
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            manifest.failed(CONNECTIONS, &error);
            Vec::new()
        }
    }
}

/// A connection's settings, by group and name. Secrets are not among them.
type Settings = BTreeMap<String, BTreeMap<String, OwnedVariant>>;

/// Proxies, and how many connections did not tell.
async fn ask_proxies(talk: &Talk) -> io::Result<(Vec<Proxy>, usize)> {
    let active = talk.property::<Vec<OwnedObjectPath>>(SERVICE, PATH, (SERVICE, "ActiveConnections")).await?;
    let (mut proxies, mut untold) = (Vec::new(), active.len().saturating_sub(MAX_CONNECTIONS));
    for path in active.iter().take(MAX_CONNECTIONS) {
        match settings(talk, path.as_str()).await {
            Ok(settings) => proxies.extend(settings.get("proxy").and_then(proxy_of)),
            // It has ended meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(_) => untold += 1,
        }
    }
    Ok((proxies, untold))
}

async fn settings(talk: &Talk, path: &str) -> io::Result<Settings> {
    let connection = ("org.freedesktop.NetworkManager.Connection.Active", "Connection");
    let connection = talk.property::<OwnedObjectPath>(SERVICE, path, connection).await?;
    let settings = ("org.freedesktop.NetworkManager.Settings.Connection", "GetSettings");
    talk.call(SERVICE, connection.as_str(), settings, &()).await
}

/// The group `proxy` (nm-settings-dbus(5)): it names a script, or leaves it to the network, or says nothing.
fn proxy_of(group: &BTreeMap<String, OwnedVariant>) -> Option<Proxy> {
    // `NM_SETTING_PROXY_METHOD_AUTO`.
    let is_on = matches!(group.get("method").map(|value| &**value), Some(Variant::I32(1)));
    let url = match group.get("pac-url").map(|value| &**value) {
        Some(Variant::Str(url)) => url.as_str(),
        _ => "",
    };
    is_on.then(|| automatic(ProxySource::NetworkManager, url))
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

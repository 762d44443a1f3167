//! `config.toml`: settings that a technician keeps.

use std::{io, path::Path, time::Duration};

use serde::Deserialize;
use transport::{
    node::CarrierChoice,
    silence::{PATIENCE_LEAST, PATIENCE_MOST},
};
use wire::link::{LinkError, RelayLink};

/// Settings, resolved from the file. Every key is optional; an unknown one is an error, so that a misspelt one is noticed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TechnicianConfig {
    /// `relay`: link of the relay to use, `assent://HOST:PORT#PIN`, as the relay prints it. No default; `--relay` and
    /// `ASSENT_RELAY` come first.
    pub(crate) relay: Option<RelayLink>,
    /// `carrier`: `auto`, `udp` or `tcp`, how to reach the relay. Default: `auto`; `--carrier` and `ASSENT_CARRIER` come first.
    pub(crate) carrier: Option<CarrierChoice>,
    /// `name`: how end users are told who you are, at most 128 bytes. Default: the name of the user account. Without a
    /// certificate it is shown as a claim. `--name` comes first.
    pub(crate) name: Option<String>,
    /// `direct`: whether to connect directly once the end user has allowed something, on which each side sees the other's network
    /// address. Default true. `--no-direct` comes first.
    pub(crate) direct: Option<bool>,
    /// `reconnect_within_secs`: how long the end user's machine may be silent, asleep for example, before the session is given up, 30..=1,800.
    /// Default 600. The end user's machine has a patience of its own.
    pub(crate) reconnect_within: Option<Duration>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TechnicianFile {
    relay: Option<String>,
    carrier: Option<String>,
    name: Option<String>,
    direct: Option<bool>,
    reconnect_within_secs: Option<u64>,
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ConfigError {
    /// The file is there and cannot be read.
    #[error("the file cannot be read")]
    Read(#[source] io::Error),
    /// It is no TOML, or has keys or types that do not belong there.
    #[error("the file is malformed")]
    Malformed(#[source] Box<toml::de::Error>),
    /// `relay` is no relay link.
    #[error("the setting `relay` is no relay link")]
    Relay(#[source] LinkError),
    /// `carrier` is none that there is.
    #[error("the setting `carrier` is not one of auto, udp, tcp")]
    Carrier,
    /// `name` is empty or too long.
    #[error("the setting `name` is empty or longer than 128 bytes")]
    Name,
    /// `reconnect_within_secs` is out of range.
    #[error("the setting `reconnect_within_secs` is not between 30 and 1800")]
    ReconnectWithin,
}

/// Largest file that is read.
const FILE_BYTES: u64 = 64 * 1024;

impl TechnicianConfig {
    /// Reads the file; one that does not exist sets nothing.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for every file that exists and cannot be used as a whole.
    pub(crate) fn load(path: &Path) -> Result<Self, ConfigError> {
        use io::Read as _;
        let mut text = String::new();
        match std::fs::File::open(path) {
            Ok(file) => file.take(FILE_BYTES).read_to_string(&mut text).map_err(ConfigError::Read)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(ConfigError::Read(error)),
        };
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self, ConfigError> {
        let file = toml::from_str::<TechnicianFile>(text).map_err(|error| ConfigError::Malformed(Box::new(error)))?;
        let relay = file.relay.map(|link| link.parse::<RelayLink>()).transpose().map_err(ConfigError::Relay)?;
        let carrier = file.carrier.map(|word| word.parse()).transpose().map_err(|_| ConfigError::Carrier)?;
        let name = file.name.map(|name| name.trim().to_owned());
        if name.as_ref().is_some_and(|name| name.is_empty() || name.len() > 128) {
            return Err(ConfigError::Name);
        }
        let reconnect_within = file.reconnect_within_secs.map(Duration::from_secs);
        if reconnect_within.is_some_and(|within| !(PATIENCE_LEAST..=PATIENCE_MOST).contains(&within)) {
            return Err(ConfigError::ReconnectWithin);
        }
        Ok(Self { relay, carrier, name, direct: file.direct, reconnect_within })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_or_empty_file_sets_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let config = TechnicianConfig::load(&dir.path().join("config.toml")).unwrap();
        assert_eq!(config, TechnicianConfig::default());
        assert_eq!(TechnicianConfig::parse("").unwrap(), config);
    }

    #[test]
    fn all_settings_are_read() {
        let link = format!("assent://relay.example.org:4433#{}", "ab".repeat(32));
        let text = format!(
            "relay = \"{link}\"\ncarrier = \"tcp\"\nname = \" Ana Ruiz \"\ndirect = false\n\
                            reconnect_within_secs = 90"
        );
        let config = TechnicianConfig::parse(&text).unwrap();
        assert_eq!(config.relay, link.parse().ok());
        assert_eq!(config.carrier, Some(CarrierChoice::Tcp));
        assert_eq!(config.name.as_deref(), Some("Ana Ruiz"));
        assert_eq!(config.direct, Some(false));
        assert_eq!(config.reconnect_within, Some(Duration::from_secs(90)));
    }

    #[test]
    fn unknown_and_wrong_settings_are_refused() {
        let wrong = |text: &str| TechnicianConfig::parse(text).unwrap_err();
        assert!(matches!(wrong("relais = \"x\""), ConfigError::Malformed(_)));
        assert!(matches!(wrong("relay = 7"), ConfigError::Malformed(_)));
        assert!(matches!(wrong("relay = \"https://x\""), ConfigError::Relay(LinkError::Scheme)));
        assert!(matches!(wrong("carrier = \"pigeon\""), ConfigError::Carrier));
        assert!(matches!(wrong("name = \" \""), ConfigError::Name));
        for seconds in [0, 29, 1801] {
            assert!(matches!(wrong(&format!("reconnect_within_secs = {seconds}")), ConfigError::ReconnectWithin));
        }
    }
}

//! Command line and configuration file of `assent-share`.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{
    Parser, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser},
};
use diagnostics::{MAX_PROBE_HOSTS, Person, ProbeHost};
use serde::Deserialize;
use session::agent::DirectWish;
use transport::{
    node::CarrierChoice,
    silence::{PATIENCE, PATIENCE_LEAST, PATIENCE_MOST},
};
use wire::link::RelayLink;

use crate::{doctor::DoctorArguments, sent::SentArguments};

/// Get help on this computer, and stay in charge of it.
///
/// Shows a code. Read it out to the person who helps you. Nothing happens before you have said yes, and everything stops
/// when you press Stop.
#[derive(Debug, Parser)]
#[command(name = "assent-share", version, after_help = EXAMPLES)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Arguments {
    /// What to do instead
    #[command(subcommand)]
    pub command: Option<ShareCommand>,

    /// Relay to meet the technician at: assent://HOST:PORT#PIN
    #[arg(long, env = "ASSENT_RELAY", value_name = "LINK")]
    pub relay: Option<String>,

    /// How to reach the relay: udp, tcp, or auto for UDP where it passes and TCP where it does not. TCP goes through the proxy that
    /// HTTPS_PROXY names, except for what NO_PROXY lists. Default: auto
    #[arg(long, env = "ASSENT_CARRIER", value_name = "CARRIER", value_parser = carrier())]
    pub carrier: Option<CarrierChoice>,

    /// Where you are asked. Default: browser on a desktop, terminal elsewhere
    #[arg(long, value_name = "WHERE")]
    pub consent: Option<ConsentAt>,

    /// Do not open the browser; print the page's address instead
    #[arg(long)]
    pub no_open: bool,

    /// Configuration file. Default: assent/share.toml in the configuration folder, if it is there
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Folder for the audit logs. Default: assent in the state folder
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,

    /// Do not connect to the technician directly: everything goes through the relay, and neither side sees the other's network
    /// address
    #[arg(long)]
    pub no_direct: bool,

    /// Print what happens as JSON, one object a line, on standard output
    #[arg(long)]
    pub json: bool,
}

const EXAMPLES: &str = "\
Examples:
  assent-share --relay assent://relay.example.org:4433#9f2c…   show a code and wait
  assent-share --consent terminal                              ask in this terminal, as over SSH
  assent-share doctor                                          what is wrong with this computer, for yourself
  assent-share doctor --as-sent                                what a technician would see of it, before you let one in
  assent-share sent                                            what was sent in the last session

Files:
  ~/.config/assent/share.toml     settings (relay, carrier, direct, unlock_delay_secs, longest_session_secs,
                                  reconnect_within_secs, organisations, history_dir, history_every_secs,
                                  probe_hosts, portal_check_host)
  ~/.local/state/assent/sessions  what happened in each session (.audit.jsonl; check with: assent verify FILE)
                                  and what was sent in it (.sent; look with: assent-share sent FILE)

Exit codes: 0 the session is over, 1 there was no way to ask or to keep the record, 2 wrong usage, 5 the relay cannot be reached";

/// What `assent-share` does without meeting anybody.
#[derive(Debug, clap::Subcommand)]
pub enum ShareCommand {
    /// Look at this computer yourself: the checks that a technician would see, without a technician or a relay. Changes nothing
    Doctor(DoctorArguments),
    /// Look at what left this computer in a session, frame by frame. Changes nothing
    Sent(SentArguments),
}

/// A place where the person is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ConsentAt {
    /// A page in the browser of this computer.
    Browser,
    /// This terminal.
    Terminal,
}

/// Settings, resolved once at start.
#[derive(Debug, Clone)]
pub struct ShareConfig {
    /// Relay to meet at.
    pub relay: RelayLink,
    /// How to reach it. `carrier`, auto, udp or tcp, default auto.
    pub carrier: CarrierChoice,
    /// Folder for the audit logs.
    pub state_dir: PathBuf,
    /// Before a yes to a command is taken. `unlock_delay_secs`, 1..=60, default 10.
    pub unlock_delay: Duration,
    /// Longest session. `longest_session_secs`, 60..=43,200, default 14,400.
    pub longest_session: Duration,
    /// How long the technician's machine may be silent, asleep for example, before the session is ended. `reconnect_within_secs`, 30..=1,800,
    /// default 600.
    pub reconnect_within: Duration,
    /// Certificates (PEM) of the organisations whose technicians are shown as verified. `organisations`, default none.
    pub organisations: Vec<PathBuf>,
    /// Whether the two machines may connect directly once something is allowed. `direct`, default true; `--no-direct` comes first.
    pub direct: DirectWish,
    /// Hosts that a technician whom you allow `diag.network` may have this computer test connections to: names or addresses, each with a port of
    /// TLS if it is not 443. `probe_hosts`, at most 16, default none: then only the relay, the router and the name servers are tested.
    pub probe_hosts: Vec<ProbeHost>,
    /// Host that answers `http://HOST/generate_204` with nothing (status 204), by which it is seen whether a portal stands before the
    /// internet. `portal_check_host`, default none: then NetworkManager is asked, where there is one.
    pub portal_check_host: Option<ProbeHost>,
    /// Folder in which the figures of this computer are kept, at most 32 MiB, so that a technician sees what was before this program
    /// was started. `history_dir`, default none: nothing is kept.
    pub history: Option<PathBuf>,
    /// How often they are measured and kept. `history_every_secs`, 1..=5, default 5. Each second shows short troubles better, and takes
    /// several times the processor time: some thousandths of a processor.
    pub history_every: Duration,
}

/// The file as it is written. Every key may be left out.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ShareFile {
    relay: Option<String>,
    carrier: Option<String>,
    direct: Option<bool>,
    unlock_delay_secs: Option<u64>,
    longest_session_secs: Option<u64>,
    reconnect_within_secs: Option<u64>,
    history_dir: Option<PathBuf>,
    history_every_secs: Option<u64>,
    #[serde(default)]
    probe_hosts: Vec<String>,
    portal_check_host: Option<String>,
    #[serde(default)]
    organisations: Vec<PathBuf>,
}

/// Why the settings cannot be used. Nothing has been started.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum ConfigError {
    /// No relay is named anywhere.
    #[error("no relay is named, so nobody can be met")]
    #[diagnostic(help("give the link that your support sent you: assent-share --relay assent://HOST:PORT#PIN"))]
    NoRelay,
    /// The relay link is damaged.
    #[error("the relay link cannot be used")]
    #[diagnostic(help("copy the whole link again, from assent:// to the end of the digits"))]
    Relay(#[from] wire::link::LinkError),
    /// The file cannot be read.
    #[error("the configuration file {path} cannot be read")]
    #[diagnostic(help("check the name and the permissions, or leave --config out"))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is no TOML, or has an unknown key or a wrong type.
    #[error("the configuration file {path} is not valid: {reason}")]
    #[diagnostic(help(
        "known keys: relay, carrier, direct, unlock_delay_secs, longest_session_secs, reconnect_within_secs, organisations, history_dir, \
         history_every_secs, probe_hosts, portal_check_host"
    ))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        reason: String,
    },
    /// There is no such carrier.
    #[error("carrier = {value:?} is not known")]
    #[diagnostic(help("allowed: auto, udp, tcp"))]
    Carrier {
        /// What it says.
        value: String,
    },
    /// A host is none, or is more than one.
    #[error("{key} has {value:?}, which is no host")]
    #[diagnostic(help(
        "write a name or an address, with one port if it is not 443: intranet.example, intranet.example:8443, [2001:db8::7]:8443"
    ))]
    Host {
        /// Key in the file.
        key: &'static str,
        /// What it says.
        value: String,
    },
    /// More hosts than there may be.
    #[error("probe_hosts has {count} hosts; at most {MAX_PROBE_HOSTS} are allowed")]
    #[diagnostic(help("list those that matter"))]
    TooManyHosts {
        /// How many.
        count: usize,
    },
    /// A number is out of its range.
    #[error("{key} = {value} is out of range")]
    #[diagnostic(help("allowed: {lowest} to {highest}"))]
    OutOfRange {
        /// Key in the file.
        key: &'static str,
        /// What it says.
        value: u64,
        /// Least.
        lowest: u64,
        /// Most.
        highest: u64,
    },
}

impl Arguments {
    /// Reads the configuration file and puts the command line over it.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong; nothing is guessed.
    pub fn resolve(&self) -> Result<ShareConfig, ConfigError> {
        let file = settings(self.config.as_deref())?;
        let relay = self.relay.as_ref().or(file.relay.as_ref()).ok_or(ConfigError::NoRelay)?.parse()?;
        let in_file =
            file.carrier.map(|value| value.parse().map_err(|_| ConfigError::Carrier { value })).transpose()?;
        Ok(ShareConfig {
            relay,
            carrier: self.carrier.or(in_file).unwrap_or_default(),
            state_dir: self.state_dir.clone().unwrap_or_else(default_state_dir),
            unlock_delay: seconds("unlock_delay_secs", file.unlock_delay_secs, 10, 1, 60)?,
            longest_session: seconds("longest_session_secs", file.longest_session_secs, 14_400, 60, 43_200)?,
            reconnect_within: {
                let [least, most, usual] = [PATIENCE_LEAST, PATIENCE_MOST, PATIENCE].map(|time| time.as_secs());
                seconds("reconnect_within_secs", file.reconnect_within_secs, usual, least, most)?
            },
            organisations: file.organisations,
            history: file.history_dir,
            history_every: {
                let longest = diagnostics::IDLE_PERIOD.as_secs();
                seconds("history_every_secs", file.history_every_secs, longest, 1, longest)?
            },
            probe_hosts: match file.probe_hosts.len() {
                0..=MAX_PROBE_HOSTS => {
                    file.probe_hosts.into_iter().map(|value| host("probe_hosts", value)).collect::<Result<_, _>>()?
                }
                count => return Err(ConfigError::TooManyHosts { count }),
            },
            // It is asked on the one port that portals stand before.
            portal_check_host: match file.portal_check_host.map(|value| host("portal_check_host", value)).transpose()? {
                Some(found) if found.port().is_some() => {
                    return Err(ConfigError::Host { key: "portal_check_host", value: found.to_string() });
                }
                found => found,
            },
            direct: match file.direct {
                Some(true) | None if !self.no_direct => DirectWish::Wanted,
                Some(_) | None => DirectWish::NotWanted,
            },
        })
    }
}

/// Where figures of this computer are kept according to `config`, or to the configuration file that is there without it; `None` if they
/// are not.
///
/// # Errors
///
/// If the file cannot be read or is not valid.
pub fn history_dir(config: Option<&Path>) -> Result<Option<PathBuf>, ConfigError> {
    Ok(settings(config)?.history_dir)
}

fn settings(config: Option<&Path>) -> Result<ShareFile, ConfigError> {
    match config.map(Path::to_owned).or_else(|| default_file().filter(|path| path.exists())) {
        Some(path) => read(&path),
        None => Ok(ShareFile::default()),
    }
}

fn carrier() -> impl TypedValueParser<Value = CarrierChoice> {
    PossibleValuesParser::new(CarrierChoice::WORDS).try_map(|word| word.parse())
}

fn host(key: &'static str, value: String) -> Result<ProbeHost, ConfigError> {
    value.parse().map_err(|_| ConfigError::Host { key, value })
}

fn read(path: &Path) -> Result<ShareFile, ConfigError> {
    let text = fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    let invalid =
        |error: toml::de::Error| ConfigError::Invalid { path: path.to_owned(), reason: error.message().to_owned() };
    toml::from_str(&text).map_err(invalid)
}

fn seconds(
    key: &'static str,
    given: Option<u64>,
    default: u64,
    lowest: u64,
    highest: u64,
) -> Result<Duration, ConfigError> {
    let value = given.unwrap_or(default);
    if (lowest..=highest).contains(&value) {
        Ok(Duration::from_secs(value))
    } else {
        Err(ConfigError::OutOfRange { key, value, lowest, highest })
    }
}

/// The XDG base directory specification: an absolute path in the variable, else the default below the home directory.
fn base_folder(variable: &str, below_home: &str) -> Option<PathBuf> {
    let set = std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    set.or_else(|| std::env::home_dir().map(|home| home.join(below_home)))
}

/// Most names of a desktop that are taken.
const MAX_DESKTOPS: usize = 16;

/// Whose program this is: where their own settings and sockets are, and which desktop they have, as the environment tells.
pub(crate) fn person() -> Person {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    let desktop = std::env::var("XDG_CURRENT_DESKTOP").unwrap_or_default();
    let desktops = desktop.split(':').filter(|name| !name.is_empty()).take(MAX_DESKTOPS);
    let desktops = desktops.map(str::to_owned).collect();
    Person { config: base_folder("XDG_CONFIG_HOME", ".config"), runtime, desktops }
}

fn default_file() -> Option<PathBuf> {
    Some(base_folder("XDG_CONFIG_HOME", ".config")?.join("assent/share.toml"))
}

/// Where the logs of sessions lie in a state folder.
pub(crate) fn sessions_in(state_dir: &Path) -> PathBuf {
    state_dir.join("sessions")
}

/// Where the logs of sessions lie if nothing else is said.
pub fn default_sessions() -> PathBuf {
    sessions_in(&default_state_dir())
}

fn default_state_dir() -> PathBuf {
    base_folder("XDG_STATE_HOME", ".local/state").unwrap_or_else(std::env::temp_dir).join("assent")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: &str =
        "assent://relay.example.org:4433#abababababababababababababababababababababababababababababababab";

    #[expect(clippy::unwrap_in_result, reason = "only the error under test is returned")]
    fn resolve(file: &str, line: &[&str]) -> Result<ShareConfig, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("share.toml");
        io::Write::write_all(&mut fs::File::create(&path).unwrap(), file.as_bytes()).unwrap();
        let all = ["assent-share", "--config", path.to_str().unwrap()].into_iter().chain(line.iter().copied());
        Arguments::try_parse_from(all).unwrap().resolve()
    }

    #[test]
    fn the_command_line_wins_over_the_file_and_defaults_fill_the_rest() {
        let config =
            resolve(&format!("relay = \"{LINK}\"\nunlock_delay_secs = 3\n"), &["--state-dir", "/tmp/x"]).unwrap();
        assert_eq!(config.relay.to_string(), LINK);
        assert_eq!(config.unlock_delay, Duration::from_secs(3));
        assert_eq!(config.longest_session, Duration::from_secs(14_400));
        assert_eq!(config.reconnect_within, Duration::from_secs(600));
        assert_eq!(config.state_dir, Path::new("/tmp/x"));
        let other = LINK.replace("relay.example.org", "192.0.2.1");
        let config = resolve(&format!("relay = \"{LINK}\"\n"), &["--relay", &other]).unwrap();
        assert_eq!(config.relay.host(), "192.0.2.1");
    }

    #[test]
    fn direct_connections_are_off_if_the_file_or_the_line_says_so() {
        let wish = |file: &str, line: &[&str]| resolve(&format!("relay = \"{LINK}\"\n{file}"), line).unwrap().direct;
        assert_eq!(wish("", &[]), DirectWish::Wanted);
        assert_eq!(wish("direct = true\n", &[]), DirectWish::Wanted);
        assert_eq!(wish("direct = false\n", &[]), DirectWish::NotWanted);
        assert_eq!(wish("direct = true\n", &["--no-direct"]), DirectWish::NotWanted);
    }

    #[test]
    fn what_is_wrong_in_the_settings_is_named() {
        let says = |file: &str, part: &str| {
            let error = resolve(file, &[]).unwrap_err();
            let text =
                format!("{error}: {}", std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default());
            assert_eq!(text.matches(part).count(), 1, "{text}");
        };
        says("", "no relay is named");
        says("relay = \"https://x\"", "assent://");
        says("relai = \"x\"", "relai");
        says("relay = 7", "invalid type");
        says(&format!("relay = \"{LINK}\"\nunlock_delay_secs = 0"), "unlock_delay_secs = 0");
        says(&format!("relay = \"{LINK}\"\nlongest_session_secs = 90000"), "longest_session_secs = 90000");
        says(&format!("relay = \"{LINK}\"\nreconnect_within_secs = 5"), "reconnect_within_secs = 5");
        says(&format!("relay = \"{LINK}\"\nhistory_every_secs = 6"), "history_every_secs = 6");
        for ranges in ["10.0.0.0/8", "intranet:1-1024", "*.example", "https://intranet"] {
            says(&format!("relay = \"{LINK}\"\nprobe_hosts = [\"{ranges}\"]"), ranges);
        }
        says(&format!("relay = \"{LINK}\"\nprobe_hosts = {:?}", ["host"; 17]), "17 hosts");
        says(&format!("relay = \"{LINK}\"\nportal_check_host = \"portal.example:8080\""), "portal_check_host");
    }

    #[test]
    fn hosts_are_tested_if_their_owner_has_listed_them() {
        let config = resolve(&format!("relay = \"{LINK}\"\n"), &[]).unwrap();
        assert_eq!((config.probe_hosts.len(), config.portal_check_host), (0, None));
        let hosts =
            "probe_hosts = [\"intranet.example:8443\", \"192.0.2.7\"]\nportal_check_host = \"portal.example\"\n";
        let config = resolve(&format!("relay = \"{LINK}\"\n{hosts}"), &[]).unwrap();
        let listed = config.probe_hosts.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(listed, ["intranet.example:8443", "192.0.2.7"]);
        assert_eq!(config.portal_check_host.unwrap().name(), "portal.example");
    }
}

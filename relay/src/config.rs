//! Settings: from the file and the command line to values that the relay runs with.

mod settings;

use std::{
    fs, io,
    io::Read as _,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    num::{NonZeroU8, NonZeroU64},
    path::{Path, PathBuf},
    time::Duration,
};

use broker::{BrokerConfig, Rate};

use self::settings::{Numbers, RelayFile};
use crate::os;

pub(crate) use self::settings::sample;

/// Largest configuration file that is read.
const FILE_BYTES: u64 = 256 * 1024;

/// UDP port if none is set.
const DEFAULT_PORT: u16 = 4433;

/// Relay settings, resolved once at start. The keys and their ranges: `assent-relay config`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayConfig {
    /// Where to listen for agents and technicians.
    pub listen: Listen,
    /// Host in the relay link.
    pub public_host: Option<String>,
    /// Port in the relay link, if it differs from the one listened on.
    pub public_port: Option<u16>,
    /// Whether and how to take connections over TCP.
    pub tcp: Option<TcpConfig>,
    /// UDP port of the reflector, any free one if zero. `None`: there is no reflector.
    pub reflector: Option<u16>,
    /// Directory of the relay's key.
    pub state_dir: PathBuf,
    /// Where to serve metrics and health.
    pub http: Http,
    /// Threads that receive and forward packets. `None`: one for each processor.
    pub shards: Option<NonZeroU8>,
    /// How long sessions may take to end when the relay is told to stop.
    pub drain: Duration,
    /// Bytes that each side of a session may send in a second.
    pub leg_bytes_per_sec: NonZeroU64,
    /// Sleeping agents at once.
    pub max_sleepers: usize,
    /// Bounds of the broker.
    pub broker: BrokerConfig,
}

/// How to take connections over TCP, on the same port as UDP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpConfig {
    /// Certificate chain and private key, in PEM. `None`: from the relay's own key.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Connections at once.
    pub max: usize,
    /// The same of one address.
    pub max_per_address: usize,
}

/// UDP address to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listen {
    /// Somebody asked for this one.
    At(SocketAddr),
    /// Nobody asked: all addresses on this port, IPv4 alone where there is no IPv6.
    Everywhere(u16),
}

impl Listen {
    /// The address to try first.
    pub fn address(self) -> SocketAddr {
        match self {
            Self::At(address) => address,
            Self::Everywhere(port) => (Ipv6Addr::UNSPECIFIED, port).into(),
        }
    }
}

/// TCP address of metrics and health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Http {
    /// Not served.
    Off,
    /// Somebody asked for this one; without it the relay does not start.
    At(SocketAddr),
    /// Nobody asked: without it the relay runs all the same.
    IfFree(SocketAddr),
}

/// What the command line says; it comes before the file.
#[derive(Debug, Default, Clone, clap::Args)]
pub struct Overrides {
    /// Settings in TOML, as `assent-relay config` shows them
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// UDP address to listen on, and TCP on the same port, such as `[::]:4433`
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// Name or address by which agents and technicians reach this relay
    #[arg(long, value_name = "HOST")]
    pub public_host: Option<String>,
    /// Directory of the relay's key
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub state_dir: Option<PathBuf>,
    /// Take no connections over TCP: agents and technicians whose network lets no UDP through do not get in
    #[arg(long)]
    pub no_tcp: bool,
    /// Threads that receive and forward packets; 0: one for each processor
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u8).range(0..=64))]
    pub shards: Option<u8>,
    /// TCP address of /metrics and /healthz, or `off`
    #[arg(long, value_name = "ADDR")]
    pub http: Option<String>,
}

/// Why the settings cannot be used. Nothing was started.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration file {} cannot be read, so nothing was started", path.display())]
    #[diagnostic(help("check its name and permissions, or leave --config out to run with the defaults"))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is no TOML, or has an unknown key or a wrong type.
    #[error("the configuration file {} is not valid, so nothing was started:\n{reason}", path.display())]
    #[diagnostic(help("`assent-relay config` shows every key with its meaning"))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What the parser says, with the place.
        reason: String,
    },
    /// A number is out of its range.
    #[error("{key} = {value} is out of range, so nothing was started")]
    #[diagnostic(help("{key} may be {lowest} to {highest}; `assent-relay config` shows what it does"))]
    OutOfRange {
        /// Key in the file.
        key: &'static str,
        /// What it says.
        value: i64,
        /// Least.
        lowest: i64,
        /// Most.
        highest: i64,
    },
    /// An address cannot be understood.
    #[error("{key} = {value:?} is not an address and port, so nothing was started")]
    #[diagnostic(help("write an IP address and a port, such as {example}"))]
    Address {
        /// Key in the file, and name of the option.
        key: &'static str,
        /// What it says.
        value: String,
        /// A good one.
        example: &'static str,
    },
    /// A host cannot stand in a relay link.
    #[error("public_host = {value:?} is not a host name or address, so nothing was started")]
    #[diagnostic(help("write a name such as relay.example.org, or an IP address; no port, no brackets"))]
    Host {
        /// What it says.
        value: String,
    },
    /// A certificate without its key, or a key without a certificate.
    #[error("tls_certificate and tls_key belong together and only one is set, so nothing was started")]
    #[diagnostic(help("set both, or neither: the relay then makes a certificate of its own key"))]
    HalfCertificate,
    /// Port zero in a link.
    #[error("public_port = 0 cannot be reached, so nothing was started")]
    #[diagnostic(help("write the port that others see, or leave the key out"))]
    PublicPort,
    /// Metrics for other machines.
    #[error("http = \"{address}\" can be reached from other machines, so nothing was started")]
    #[diagnostic(help(
        "use a loopback address such as 127.0.0.1:9464, or set danger_http_for_everyone = true if anybody there may read the metrics"
    ))]
    HttpForEveryone {
        /// What it says.
        address: SocketAddr,
    },
    /// No state directory.
    #[error("there is no home directory, so nobody knows where to keep the relay's key; nothing was started")]
    #[diagnostic(help("name a directory with --state-dir"))]
    NoStateDir,
}

impl RelayConfig {
    /// Reads the file, if one is named, and puts the command line over it.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong; nothing is guessed.
    pub fn load(overrides: &Overrides) -> Result<Self, ConfigError> {
        let file = match &overrides.config {
            Some(path) => read(path)?,
            None => RelayFile::default(),
        };
        resolve(file, overrides)
    }

    /// The same from the text of a file.
    ///
    /// # Errors
    ///
    /// As [`RelayConfig::load`].
    pub fn parse(text: &str, overrides: &Overrides) -> Result<Self, ConfigError> {
        resolve(parse(text, Path::new("(text)"))?, overrides)
    }
}

fn read(path: &Path) -> Result<RelayFile, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
    let mut text = String::new();
    fs::File::open(path).map_err(unreadable)?.take(FILE_BYTES).read_to_string(&mut text).map_err(unreadable)?;
    parse(&text, path)
}

fn parse(text: &str, path: &Path) -> Result<RelayFile, ConfigError> {
    toml::from_str(text).map_err(|error| ConfigError::Invalid {
        path: path.to_owned(),
        reason: error.to_string().trim_end().to_owned(),
    })
}

fn resolve(file: RelayFile, overrides: &Overrides) -> Result<RelayConfig, ConfigError> {
    let numbers = file.numbers()?;
    let listen = match overrides.listen.as_ref().or(file.listen.as_ref()) {
        Some(text) => Listen::At(address("listen", text, "[::]:4433")?),
        None => Listen::Everywhere(DEFAULT_PORT),
    };
    let public_host =
        overrides.public_host.as_ref().or(file.public_host.as_ref()).map(|text| host(text)).transpose()?;
    if file.public_port == Some(0) {
        return Err(ConfigError::PublicPort);
    }
    let certificate = match (file.tls_certificate, file.tls_key) {
        (Some(chain), Some(key)) => Some((PathBuf::from(chain), PathBuf::from(key))),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => return Err(ConfigError::HalfCertificate),
    };
    let tcp = (file.tcp.unwrap_or(true) && !overrides.no_tcp).then_some(TcpConfig {
        certificate,
        max: numbers.max_tcp as usize,
        max_per_address: numbers.max_tcp_per_address as usize,
    });
    let for_everyone = file.danger_http_for_everyone.unwrap_or(false);
    let http = http(overrides.http.as_ref().or(file.http.as_ref()), for_everyone)?;
    let state_dir = overrides.state_dir.clone().or(file.state_dir.map(PathBuf::from)).or_else(default_state_dir);
    Ok(RelayConfig {
        listen,
        public_host,
        public_port: file.public_port,
        tcp,
        reflector: file.reflector.unwrap_or(true).then_some(file.reflector_port.unwrap_or_default()),
        state_dir: state_dir.ok_or(ConfigError::NoStateDir)?,
        http,
        shards: overrides.shards.map_or_else(|| u8::try_from(numbers.shards).ok(), Some).and_then(NonZeroU8::new),
        drain: Duration::from_secs(numbers.drain_secs.into()),
        leg_bytes_per_sec: NonZeroU64::new(u64::from(numbers.leg_megabits_per_sec) * 1_000_000 / 8)
            .unwrap_or(NonZeroU64::MIN),
        max_sleepers: numbers.max_sleepers as usize,
        broker: broker(&numbers),
    })
}

fn broker(numbers: &Numbers) -> BrokerConfig {
    let secs = |secs: u32| Duration::from_secs(secs.into());
    let rate = |burst, every_millis: u32| Rate::new(burst, Duration::from_millis(every_millis.into()));
    BrokerConfig {
        max_connections: numbers.max_connections as usize,
        max_connections_per_address: numbers.max_connections_per_address as usize,
        max_channels_per_address: numbers.max_channel_ends_per_address as usize,
        max_channels_per_connection: numbers.max_channels_per_connection as usize,
        max_slots: numbers.max_channels,
        max_locators: numbers.max_locators as usize,
        max_rejoins: numbers.max_rejoins as usize,
        max_rejoins_per_connection: numbers.max_rejoins_per_connection as usize,
        locator_lifetime: secs(numbers.locator_lifetime_secs),
        locator_rest: secs(numbers.locator_rest_secs),
        crowded_percent: numbers.locator_crowded_percent,
        attaches_per_locator: numbers.attaches_per_locator,
        channel_start: secs(numbers.channel_start_secs),
        channel_idle: secs(numbers.channel_idle_secs),
        rejoin_wait: secs(numbers.rejoin_wait_secs),
        allocate_rate: rate(numbers.allocate_burst, numbers.allocate_every_millis),
        attach_rate: rate(numbers.attach_burst, numbers.attach_every_millis),
        failed_attach_rate: rate(numbers.failed_attach_burst, numbers.failed_attach_every_millis),
        rejoin_rate: rate(numbers.rejoin_burst, numbers.rejoin_every_millis),
        message_rate: rate(numbers.message_burst, numbers.message_every_millis),
        max_remembered_addresses: numbers.max_remembered_addresses as usize,
        ..BrokerConfig::default()
    }
}

fn address(key: &'static str, text: &str, example: &'static str) -> Result<SocketAddr, ConfigError> {
    text.parse().map_err(|_| ConfigError::Address { key, value: text.to_owned(), example })
}

fn host(text: &str) -> Result<String, ConfigError> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    // A name with a colon is an address, or a name with a port that belongs elsewhere.
    let colon = bare.contains(':') && bare.parse::<Ipv6Addr>().is_err();
    if colon || wire::link::RelayLink::new(bare, 1, [0; 32]).is_err() {
        return Err(ConfigError::Host { value: text.to_owned() });
    }
    Ok(bare.to_owned())
}

fn http(text: Option<&String>, for_everyone: bool) -> Result<Http, ConfigError> {
    const DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9464);
    match text.map(String::as_str) {
        None => Ok(Http::IfFree(DEFAULT)),
        Some("off") => Ok(Http::Off),
        Some(text) => {
            let address = address("http", text, "127.0.0.1:9464")?;
            if !for_everyone && !address.ip().to_canonical().is_loopback() {
                return Err(ConfigError::HttpForEveryone { address });
            }
            Ok(Http::At(address))
        }
    }
}

/// `/var/lib` for root, else the state directory of the XDG base directory specification.
fn default_state_dir() -> Option<PathBuf> {
    if os::is_root() {
        return Some(PathBuf::from("/var/lib/assent-relay"));
    }
    let set = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let state = set.or_else(|| std::env::home_dir().map(|home| home.join(".local/state")))?;
    Some(state.join("assent-relay"))
}

#[cfg(test)]
mod tests;

//! Every key of the configuration file, described once: the file's type, the range checks and the sample come from here.

use serde::Deserialize;

use super::ConfigError;

/// One key, for the sample.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) key: &'static str,
    /// Lines of its description.
    pub(crate) docs: &'static [&'static str],
    pub(crate) value: Value,
}

/// What the sample shows as a key's value.
#[derive(Debug)]
pub(crate) enum Value {
    /// The default, in TOML.
    Default(&'static str),
    /// There is no default; this is how it could look, in TOML.
    Example(&'static str),
    /// A number with its default and the range that is allowed.
    Number { default: i64, lowest: i64, highest: i64 },
}

macro_rules! settings {
    (
        $( $(#[doc = $doc:literal])+ $key:ident: $kind:ty = $shown:ident $text:literal; )+
        numbers:
        $( $(#[doc = $number_doc:literal])+ $number:ident = $default:literal, $lowest:literal ..= $highest:literal; )+
    ) => {
        /// The file as it is written. Every key may be left out; one that is not known is refused.
        #[derive(Debug, Default, Clone, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct RelayFile {
            $( $(#[doc = $doc])+ pub(crate) $key: Option<$kind>, )+
            $( $(#[doc = $number_doc])+ pub(crate) $number: Option<i64>, )+
        }

        /// The numbers of a file, each within its range.
        #[derive(Debug)]
        pub(crate) struct Numbers {
            $( pub(crate) $number: u32, )+
        }

        impl RelayFile {
            pub(crate) fn numbers(&self) -> Result<Numbers, ConfigError> {
                Ok(Numbers { $( $number: number(stringify!($number), self.$number, $default, $lowest, $highest)?, )+ })
            }
        }

        pub(crate) const SETTINGS: &[Setting] = &[
            $( Setting { key: stringify!($key), docs: &[$($doc),+], value: Value::$shown($text) }, )+
            $( Setting {
                key: stringify!($number),
                docs: &[$($number_doc),+],
                value: Value::Number { default: $default, lowest: $lowest, highest: $highest },
            }, )+
        ];
    };
}

settings! {
    /// UDP address to listen on, and TCP on the same port. `[::]` takes IPv4 as well. `--listen` comes first.
    listen: String = Default "\"[::]:4433\"";
    /// Name or address by which agents and technicians reach this relay, for the relay link. Default: the address of `listen`, or
    /// 127.0.0.1 if that is unspecified. `--public-host` comes first.
    public_host: String = Example "\"relay.example.org\"";
    /// Port by which they reach it, UDP and TCP, where something in between changes it. Default: the port of `listen`.
    public_port: u16 = Example "443";
    /// Takes agents and technicians over TCP as well, for networks that let no UDP through. `--no-tcp` turns it off.
    tcp: bool = Default "true";
    /// Certificate for TCP, with those that vouch for it, in PEM; read at start, and again at SIGHUP. Default: one with the relay's own key, which agents and
    /// technicians know by the relay link. Networks that look into TLS often let through only what a public authority has signed.
    tls_certificate: String = Example "\"/etc/assent-relay/fullchain.pem\"";
    /// Its private key, in PEM.
    tls_key: String = Example "\"/etc/assent-relay/privkey.pem\"";
    /// Answers, at a second UDP port, those who find out what their network allows with `assent netcheck`. Answers are as long as questions,
    /// and few for each address.
    reflector: bool = Default "true";
    /// That UDP port. 0: any that is free. Behind a firewall, set one and open it.
    reflector_port: u16 = Default "0";
    /// Directory of the relay's key, and of what it keeps of sleeping agents. Default: /var/lib/assent-relay for root, else $XDG_STATE_HOME/assent-relay
    /// or ~/.local/state/assent-relay. `--state-dir` comes first.
    state_dir: String = Example "\"/var/lib/assent-relay\"";
    /// TCP address of /metrics and /healthz, or "off". If the default is in use, the relay warns and runs without.
    /// `--http` comes first.
    http: String = Default "\"127.0.0.1:9464\"";
    /// Allows an `http` address that other machines can reach. Anybody there can read the metrics; there is no password.
    danger_http_for_everyone: bool = Default "false";

    numbers:
    /// Threads that receive and forward packets, each with a socket of its own; the system shares senders among them. 0: as many as
    /// there are processors. `--shards` comes first.
    shards = 0, 0..=64;
    /// Seconds that sessions may take to end on their own when the relay is told to stop.
    drain_secs = 5, 0..=600;
    /// Connections at once; an agent or a technician has one.
    max_connections = 10_000, 1..=1_000_000;
    /// Connections at once from one address (IPv4) or /64 network (IPv6).
    max_connections_per_address = 100, 1..=1_000_000;
    /// Agents that sleep at once: without a connection, reachable by a packet every 25 s. Each takes 100 to 150 bytes of memory. 0: none may.
    max_sleepers = 1_000_000, 0..=50_000_000;
    /// Connections over TCP at once; each agent or technician that UDP does not reach has one.
    max_tcp = 10_000, 1..=1_000_000;
    /// Connections over TCP at once from one address (IPv4) or /64 network (IPv6).
    max_tcp_per_address = 100, 1..=1_000_000;
    /// Channels at once; a session uses one. Their table is allocated at start.
    max_channels = 5_000, 1..=1_000_000;
    /// Channel ends at once of one address or /64 network; a channel has two.
    max_channel_ends_per_address = 200, 1..=1_000_000;
    /// Channels at once of one connection, leftovers of earlier ones included.
    max_channels_per_connection = 8, 1..=64;
    /// Megabits that each side of a session may send in a second, IP and UDP headers included; what is above is dropped.
    leg_megabits_per_sec = 128, 1..=100_000;
    /// Locators (first digits of a session code) in use at once.
    max_locators = 10_000, 1..=500_000;
    /// Seconds that a locator leads to its agent. Agents let their code lapse after 600 s in any case.
    locator_lifetime_secs = 600, 30..=600;
    /// Seconds that a used locator is not given out again while others are free.
    locator_rest_secs = 86_400, 0..=604_800;
    /// Share of the locators of one length that may be in use or at rest, in percent, before codes get a digit longer.
    locator_crowded_percent = 50, 1..=90;
    /// Attaches by one locator without a pairing after which it is gone.
    attaches_per_locator = 4, 1..=100;
    /// Seconds after which a channel is closed that one side has not used at all.
    channel_start_secs = 30, 5..=600;
    /// Seconds of silence of one side after which a channel is closed.
    channel_idle_secs = 120, 30..=3_600;
    /// Seconds that one side of an interrupted session waits for the other.
    rejoin_wait_secs = 60, 5..=600;
    /// Sides of interrupted sessions that wait at once.
    max_rejoins = 5_000, 1..=1_000_000;
    /// The same of one connection.
    max_rejoins_per_connection = 4, 1..=64;
    /// Locators that one address may ask for at once.
    allocate_burst = 10, 1..=1_000_000;
    /// Milliseconds until it may ask for one more. 0: no limit.
    allocate_every_millis = 6_000, 0..=3_600_000;
    /// Attaches that one address may try at once.
    attach_burst = 10, 1..=1_000_000;
    /// Milliseconds until it may try one more. 0: no limit.
    attach_every_millis = 6_000, 0..=3_600_000;
    /// Attaches of one address that may find nobody before all its attaches are refused. This is what slows down somebody who
    /// tries codes.
    failed_attach_burst = 5, 1..=1_000_000;
    /// Milliseconds until one more may find nobody. 0: no limit.
    failed_attach_every_millis = 60_000, 0..=3_600_000;
    /// Interrupted sessions that one address may ask to join again at once.
    rejoin_burst = 64, 1..=1_000_000;
    /// Milliseconds until it may ask once more. 0: no limit.
    rejoin_every_millis = 1_000, 0..=3_600_000;
    /// Messages that one connection may send at once before it is cut off.
    message_burst = 64, 8..=1_000_000;
    /// Milliseconds until it may send one more. 0: no limit.
    message_every_millis = 250, 0..=60_000;
    /// Addresses without a connection that are remembered until their limits are full again.
    max_remembered_addresses = 20_000, 0..=1_000_000;
}

fn number(key: &'static str, given: Option<i64>, default: i64, lowest: i64, highest: i64) -> Result<u32, ConfigError> {
    let value = given.unwrap_or(default);
    let in_range = Some(value).filter(|value| (lowest..=highest).contains(value));
    in_range.and_then(|value| u32::try_from(value).ok()).ok_or(ConfigError::OutOfRange { key, value, lowest, highest })
}

/// The documented sample file: every key with its default, commented out.
pub(crate) fn sample() -> String {
    let mut text = String::from(
        "# Settings of assent-relay. Every key may be left out; what is shown is the default, or an example where there is none.\n\
         # Remove the # before a key to set it. Read with: assent-relay serve --config FILE\n",
    );
    for Setting { key, docs, value } in SETTINGS {
        text.push('\n');
        for line in *docs {
            text.push_str(&format!("#{line}\n"));
        }
        text.push_str(&match value {
            Value::Default(shown) => format!("#{key} = {shown}\n"),
            Value::Example(shown) => format!("# Such as:\n#{key} = {shown}\n"),
            Value::Number { default, lowest, highest } => {
                format!("# Allowed: {lowest} to {highest}.\n#{key} = {default}\n")
            }
        });
    }
    text
}

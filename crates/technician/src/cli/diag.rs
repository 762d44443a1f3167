//! `assent diag` and what is below it.

use std::{path::PathBuf, time::Duration};

use clap::{
    Args, Subcommand, ValueHint,
    builder::{PossibleValuesParser, TypedValueParser},
};
use wire::{
    diagnostics::{
        report::SectionId,
        sections::{
            logs::{MAX_LINES, Priority},
            probes::{ProbeRequest, Target},
        },
    },
    text::Label,
};

use super::SessionArg;
use crate::units::{self, When};

/// Show how the end user's machine is doing.
///
/// Without a subcommand, one reading of the live figures. The subcommands read something once; what the end user has not allowed is
/// refused, and `assent request` asks for it.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_long_help = "\
Examples:
  assent diag                      one reading, laid out for people
  assent diag report --html a.html everything that is allowed, as a page
  assent diag section storage      disks and their health
  assent diag logs --unit cups     what a service wrote (needs diag.logs)
  assent diag history --from 15m   what was measured before
  assent diag watch                follow it on one screen
  assent diag --json               one reading as a JSON object
  assent diag --json --follow      one JSON object a second until Ctrl-C
  assent diag --json --follow 10   ten of them"
)]
pub(crate) struct DiagArgs {
    #[command(subcommand)]
    pub(crate) what: Option<DiagCommand>,
    #[command(flatten)]
    pub(crate) session: SessionArg,
    /// Go on with every new reading: N of them, or until Ctrl-C
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "0", value_parser = clap::value_parser!(u64))]
    pub(crate) follow: Option<u64>,
    /// Print JSON, one object a reading
    #[arg(long)]
    pub(crate) json: bool,
}

/// Something that is read once.
#[derive(Debug, Subcommand)]
pub(crate) enum DiagCommand {
    Report(DiagReportArgs),
    Section(DiagSectionArgs),
    Process(DiagProcessArgs),
    Logs(DiagLogsArgs),
    History(DiagHistoryArgs),
    Probe(DiagProbeArgs),
    Watch(DiagWatchArgs),
    Diff(DiagDiffArgs),
    Export(DiagExportArgs),
}

/// Have the machine try the network: names, TLS, sizes of packets, the way, round trips. Needs diag.network, or diag.load for the speed.
///
/// Only the relay, the gateway, the name servers and what the owner of the machine has listed as probe_hosts in its settings are
/// tried. Nothing else can be named: no other host, no port, no range.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  assent diag probe dns                       do all name servers know the relay, and agree?
  assent diag probe tls                       is the certificate of the relay the right one?
  assent diag probe tls intranet.example      that of a host on the owner's list, and when does it end?
  assent diag probe ping gateway              round trips to the router
  assent diag probe ping resolver:2           round trips to the second name server
  assent diag probe mtu                       largest packet that reaches the relay
  assent diag probe route relay               the routers on the way
  assent diag probe portal                    does a portal stand before the internet?
  assent diag probe load                      round trips of this session idle and under load: up to 25 MB are sent

Exit codes: 0 as on a network that works, 1 a fault was found or nothing can be said, 3 not allowed, or not on the owner's list")]
pub(crate) struct DiagProbeArgs {
    #[command(flatten)]
    pub(crate) session: SessionArg,
    /// What to try
    #[arg(value_name = "KIND", value_enum)]
    pub(crate) kind: ProbeWord,
    /// What to try it with: relay, gateway, resolver, resolver:N, or a host on the owner's list
    #[arg(value_name = "TARGET", value_parser = probe_target)]
    pub(crate) target: Option<Target>,
    /// Print the result as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl DiagProbeArgs {
    /// The probe; the relay is its target unless another is named.
    ///
    /// # Errors
    ///
    /// If it has a target and takes none.
    pub(crate) fn request(&self) -> Result<ProbeRequest, &'static str> {
        let target = || self.target.clone().unwrap_or(Target::Relay);
        match (self.kind, &self.target) {
            (ProbeWord::Portal | ProbeWord::Load, Some(_)) => Err("this probe takes no target"),
            (ProbeWord::Portal, None) => Ok(ProbeRequest::Portal),
            (ProbeWord::Load, None) => Ok(ProbeRequest::Load),
            (ProbeWord::Dns, _) => Ok(ProbeRequest::Names(target())),
            (ProbeWord::Tls, _) => Ok(ProbeRequest::Handshake(target())),
            (ProbeWord::Mtu, _) => Ok(ProbeRequest::PathMtu(target())),
            (ProbeWord::Route, _) => Ok(ProbeRequest::Route(target())),
            (ProbeWord::Ping, _) => Ok(ProbeRequest::Echo(target())),
        }
    }
}

/// A probe by the name that is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ProbeWord {
    /// Addresses of a name: what the system and each name server say
    Dns,
    /// A TLS handshake: its times, and what the certificate is worth
    Tls,
    /// Whether a portal answers in place of the internet
    Portal,
    /// The largest packet that fits through
    Mtu,
    /// The routers on the way
    Route,
    /// Round trips by ICMP
    Ping,
    /// Round trips of the session, idle and under load
    Load,
}

/// Follow the machine on one screen: what is wrong, the figures that matter with their last minute, and who is busy. The keys q and Esc
/// leave it.
#[derive(Debug, Args)]
pub(crate) struct DiagWatchArgs {
    #[command(flatten)]
    pub(crate) session: SessionArg,
}

/// What is different between two reports that were saved as JSON.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  assent diag report --json > before.json
  assent diag report --json > after.json
  assent diag diff before.json after.json")]
pub(crate) struct DiagDiffArgs {
    /// The earlier report
    #[arg(value_name = "A", value_hint = ValueHint::FilePath)]
    pub(crate) a: PathBuf,
    /// The later report
    #[arg(value_name = "B", value_hint = ValueHint::FilePath)]
    pub(crate) b: PathBuf,
    /// Print it as Markdown
    #[arg(long, conflicts_with = "json")]
    pub(crate) md: bool,
    /// Print it as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// The newest reading for the programs that collect figures.
#[derive(Debug, Args)]
pub(crate) struct DiagExportArgs {
    #[command(flatten)]
    pub(crate) session: SessionArg,
    /// In which form
    #[arg(value_name = "FORM", value_enum)]
    pub(crate) form: ExportForm,
}

/// Forms that other programs read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ExportForm {
    /// Text for Prometheus
    Prometheus,
    /// One JSON object on a line
    Jsonl,
    /// JSON of the OpenTelemetry protocol
    #[cfg(feature = "otlp")]
    Otlp,
}

/// Everything that is allowed at the moment: findings first, then figures, the last minutes, and every section.
#[derive(Debug, Args)]
pub(crate) struct DiagReportArgs {
    #[command(flatten)]
    pub(crate) session: SessionArg,
    /// Write a page that needs nothing else, to read, print or keep
    #[arg(long, value_name = "FILE", conflicts_with_all = ["json", "md"])]
    pub(crate) html: Option<PathBuf>,
    /// Print it as Markdown, for a ticket
    #[arg(long, conflicts_with = "json")]
    pub(crate) md: bool,
    /// Print it as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// One part of the catalogue. All of them need diag.basic but logs (diag.logs), network (diag.network) and processes (diag.process).
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  assent diag section storage
  assent diag section processes            every process below the one that started it
  assent diag section processes --json     the same as rows")]
pub(crate) struct DiagSectionArgs {
    #[command(flatten)]
    pub(crate) session: SessionArg,
    /// Which
    #[arg(value_name = "SECTION", value_parser = section())]
    pub(crate) section: SectionId,
    /// Print it as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// One process in full, or its arguments. Needs diag.process.
///
/// Passwords are given in arguments. So they are shown only with --arguments, and only after the end user has said yes to exactly this
/// process: they are asked each time, and what looks like a secret is taken out first. Nothing of them is kept in the receipt.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  assent diag process 4711
  assent diag process 4711 --arguments
  assent diag process 4711 --arguments --json")]
pub(crate) struct DiagProcessArgs {
    #[command(flatten)]
    pub(crate) session: SessionArg,
    /// Its number
    #[arg(value_name = "PID")]
    pub(crate) pid: u32,
    /// Its arguments instead; the end user is asked about exactly this process, each time
    #[arg(long)]
    pub(crate) arguments: bool,
    /// Print it as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Log lines, scrubbed of what looks like a secret. Needs diag.logs.
///
/// With --follow new lines are printed as well. The machine is asked for them two seconds after the last came, and every eight seconds where
/// none do; each time is in its record.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  assent diag logs --unit cups --since 2h
  assent diag logs --priority warning --since 2026-11-23T10:00
  assent diag logs --unit cups --follow               and what it writes from now on, until Ctrl-C
  assent diag logs --follow --json | jq .message      one object a line")]
pub(crate) struct DiagLogsArgs {
    #[command(flatten)]
    pub(crate) session: SessionArg,
    /// Only of this service; may be given several times
    #[arg(long, value_name = "UNIT")]
    pub(crate) unit: Vec<String>,
    /// Nothing less grave than this
    #[arg(long, value_name = "PRIORITY", default_value = "info", value_parser = priority())]
    pub(crate) priority: Priority,
    /// Nothing older than this, such as 90s, 15m, 2h or 3d, or a date and a time, such as 2026-11-23T10:00
    #[arg(long, value_name = "TIME", value_parser = units::parse_when)]
    pub(crate) since: Option<When>,
    /// Go on with every new line until Ctrl-C or the end of the session
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// At most so many lines; with --follow so many of those that are there
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_LINES)))]
    pub(crate) lines: u32,
    /// Print them as JSON; with --follow one object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// What was measured before.
///
/// A date and a time without an offset is one of your own time zone, not of the machine's.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  assent diag history                                                  the last 15 minutes
  assent diag history --from 6h --to 5h --series 'disk.*' --step 1m
  assent diag history --from 2026-11-23T10:00 --to 2026-11-23T10:30    what was in that half hour
  assent diag history --from 2026-11-23T09:00Z --series cpu.busy --csv > busy.csv")]
pub(crate) struct DiagHistoryArgs {
    #[command(flatten)]
    pub(crate) session: SessionArg,
    /// From when: how long ago, such as 15m, 6h or 7d, or a date and a time, such as 2026-11-23T10:00
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = units::parse_when)]
    pub(crate) from: When,
    /// Up to when, likewise
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = units::parse_when)]
    pub(crate) to: When,
    /// Time from value to value
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = units::parse_duration)]
    pub(crate) step: Duration,
    /// Only this figure, such as cpu.busy or disk.*; process.cpu is which programs were busiest in each minute. May be given several times
    #[arg(long, value_name = "FIGURE")]
    pub(crate) series: Vec<String>,
    /// Print it as CSV
    #[arg(long, conflicts_with = "json")]
    pub(crate) csv: bool,
    /// Print it as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

fn probe_target(text: &str) -> Result<Target, String> {
    if let Some(number) = text.strip_prefix("resolver:") {
        let place = number.parse::<u8>().ok().and_then(|number| number.checked_sub(1));
        return place.map(Target::Resolver).ok_or_else(|| "name servers are counted from 1".to_owned());
    }
    match text {
        "relay" => Ok(Target::Relay),
        "gateway" => Ok(Target::Gateway),
        "resolver" => Ok(Target::Resolver(0)),
        host if !host.is_empty() && Label::cut(host).raw() == host => Ok(Target::Host(Label::cut(host))),
        _ => Err("a host has 1 to 128 bytes".to_owned()),
    }
}

fn section() -> impl TypedValueParser<Value = SectionId> {
    one_of(SectionId::ALL, SectionId::name)
}

fn priority() -> impl TypedValueParser<Value = Priority> {
    one_of(Priority::ALL, Priority::name)
}

/// The members of a closed list, by name.
fn one_of<T: Copy + Send + Sync + 'static>(
    all: &'static [T],
    name: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(all.iter().map(move |member| name(*member)))
        .try_map(move |word| all.iter().copied().find(|member| name(*member) == word).ok_or("there is no such name"))
}

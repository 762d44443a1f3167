//! The command line of `assent`, as clap sees it.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{
    Args, CommandFactory, Parser, Subcommand, ValueHint,
    builder::{PossibleValuesParser, Styles, TypedValueParser},
};
use transport::node::CarrierChoice;
use wire::{link::RelayLink, run::RunLimits, session::Ability, text::Sentence};

use crate::units;

mod diag;

pub(crate) use self::diag::{
    DiagArgs, DiagCommand, DiagDiffArgs, DiagExportArgs, DiagHistoryArgs, DiagLogsArgs, DiagProbeArgs, DiagProcessArgs,
    DiagReportArgs, DiagWatchArgs, ExportForm,
};

macro_rules! exit_codes {
    () => {
        "\
Exit codes:
  0        done
  1        something else went wrong; for `verify`: the file is not a sound log
  2        the command line, the configuration or the session code is wrong
  3        denied, revoked, or the end user ended it
  4        timed out: nobody answered, or a run reached its time limit
  5        the network, the relay or the other side could not be reached
  125      a run failed on the side of the agent
  126      the program cannot be executed
  127      the program was not found
  128+n    the program was ended by signal n
A run that ends by itself passes its own exit code on."
    };
}

/// Remote support that asks first: the technician's side.
#[derive(Debug, Parser)]
#[command(
    name = "assent",
    bin_name = "assent",
    version,
    propagate_version = true,
    disable_help_subcommand = true,
    max_term_width = 100,
    styles = Styles::styled(),
    after_help = exit_codes!(),
    after_long_help = AFTER_HELP
)]
pub struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Examples, files, environment and exit codes, for the long help and the manual page.
const AFTER_HELP: &str = concat!(
    "\
Examples:
  assent attach                        ask for the code that a user read out, and attach to the machine
  assent diag                          show how the machine is doing, from another terminal
  assent run -- systemctl status cups  ask the end user for one command and run it
  assent netcheck                      what this network allows, if no session comes up

Files:
  $XDG_CONFIG_HOME/assent/config.toml  settings; see `assent attach --help`
  $XDG_STATE_HOME/assent/              the technician's key, certificate and receipts
  $XDG_RUNTIME_DIR/assent/             sockets of live sessions

Environment:
  ASSENT_RELAY   relay link, if --relay is not given
  ASSENT_CARRIER how to reach the relay, if --carrier is not given
  HTTPS_PROXY    HTTP proxy for TCP, such as http://NAME:PASSWORD@proxy.example.org:3128
  NO_PROXY       hosts and networks that are reached without it
  ASSENT_LOG     what to write to $XDG_STATE_HOME/assent/assent.log, such as `debug`
  NO_COLOR       if set and not empty, no colours

",
    exit_codes!()
);

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Attach(AttachArgs),
    Status(StatusArgs),
    Netcheck(NetcheckArgs),
    Diag(DiagArgs),
    Run(RunArgs),
    Request(RequestArgs),
    End(EndArgs),
    Verify(VerifyArgs),
    Identity(IdentityArgs),
    Org(OrgArgs),
    Completions(CompletionsArgs),
    Man(ManArgs),
    #[command(hide = true, name = "session-process")]
    SessionProcess,
}

/// Attach to the machine of an end user by the code that they read out.
///
/// The end user is asked before anything is shown. This process owns the session: it ends when this process ends. Other `assent`
/// commands of the same user, in other terminals, use it.
///
/// Everybody on this machine can read the arguments of a program, so leave CODE out if you share it with others: it is then asked
/// for, or with `-` read from standard input.
///
/// A code with a typing mistake is found here and never tried. After two failed proofs of one code it is refused here for
/// ten minutes, because somebody between you and the end user may be guessing.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  assent attach                                          ask for the code
  assent attach 4821 936 0423 --reason 'the printer does not answer'
  assent attach - --detach < code && assent diag --json  take the code from a file

Settings in $XDG_CONFIG_HOME/assent/config.toml, all optional, unknown ones refused:
  relay = \"assent://relay.example.org:4433#…\"   relay link, as `assent-relay` prints it
  carrier = \"tcp\"                               how to reach it, as with --carrier
  name = \"Ana Ruiz\"                             how you are introduced to end users
  direct = false                                as `--no-direct`")]
pub(crate) struct AttachArgs {
    /// Session code as the end user reads it out; spaces and hyphens do not matter. Asked for if absent; `-` takes the first line of
    /// standard input
    #[arg(num_args = 0.., value_name = "CODE")]
    pub(crate) code: Vec<String>,
    /// Relay link, `assent://HOST:PORT#PIN`
    #[arg(long, env = "ASSENT_RELAY", value_name = "LINK", hide_env_values = true)]
    pub(crate) relay: Option<RelayLink>,
    /// How to reach the relay: udp, tcp, or auto for UDP where it passes and TCP where it does not. TCP goes through the proxy that
    /// HTTPS_PROXY names, except for what NO_PROXY lists. Default: auto
    #[arg(long, env = "ASSENT_CARRIER", value_name = "CARRIER", value_parser = carrier())]
    pub(crate) carrier: Option<CarrierChoice>,
    /// Name that the end user is shown; without a certificate it is shown as a claim
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub(crate) name: Option<String>,
    /// Why you are attaching; the end user reads it
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub(crate) reason: Option<String>,
    /// Do not connect directly: everything goes through the relay, and neither side sees the other's network address
    #[arg(long)]
    pub(crate) no_direct: bool,
    /// Return as soon as the end user has answered; the session goes on in the background until `assent end`
    #[arg(long)]
    pub(crate) detach: bool,
    /// Print plain lines instead of the screen
    #[arg(long)]
    pub(crate) no_screen: bool,
    /// Print JSON, one object a line, instead of the screen
    #[arg(long)]
    pub(crate) json: bool,
}

/// Say how the session stands.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) session: SessionArg,
    /// Every live session of this user instead of one
    #[arg(long, conflicts_with = "session")]
    pub(crate) all: bool,
    /// Print one JSON object (with --all: an array)
    #[arg(long)]
    pub(crate) json: bool,
}

/// Say what this machine's network allows on the way to a relay.
///
/// Asks the relay by UDP and over TCP, by IPv4 and IPv6 and through the proxy of this environment, and the router of this network whether it
/// forwards ports; nobody else. Says whether sessions will come up and by what, whether two machines are likely to reach each other
/// directly, how large packets may be, and what to ask of whoever runs the network if something is blocked. An end user's machine in
/// another network is not looked at. Takes a few seconds, twenty at most.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  assent netcheck                                      the relay of the settings, or of ASSENT_RELAY
  assent netcheck 'assent://relay.example.org:4433#…'  this one
  HTTPS_PROXY=http://proxy:3128 assent netcheck        as a program would that uses this proxy
  assent netcheck --json | jq .carrier                 \"udp\", \"tcp\" or null

Ends with 0 if a session could come up, and with 5 if the relay cannot be reached.")]
pub(crate) struct NetcheckArgs {
    /// Relay link, `assent://HOST:PORT#PIN`
    #[arg(env = "ASSENT_RELAY", value_name = "RELAY", hide_env_values = true)]
    pub(crate) relay: Option<RelayLink>,
    /// Say what becomes of sessions that have to use udp, or tcp. Everything is tried all the same. Default: auto
    #[arg(long, env = "ASSENT_CARRIER", value_name = "CARRIER", value_parser = carrier())]
    pub(crate) carrier: Option<CarrierChoice>,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Ask the end user for one command and run it on their machine.
///
/// The end user sees the program and each argument on a line of its own, and approves exactly that. There is no shell: `*`, `|`
/// and `$HOME` are passed on as they are.
///
/// Standard output and standard error stay apart. On a terminal, characters of the output that would act on your screen are
/// made visible; everywhere else the bytes are passed on unchanged. Ctrl-C cancels the run; a second Ctrl-C leaves without waiting for its end.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  assent run -- systemctl status cups
  assent run --reason 'why the disk is full' --timeout 300 -- du -x -d 2 /var
  assent run -- tar -c /var/log > logs.tar")]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) session: SessionArg,
    /// Why; the end user reads it
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub(crate) reason: Option<String>,
    /// Directory to run in; the end user's home if absent
    #[arg(long, value_name = "DIR")]
    pub(crate) cwd: Option<OsString>,
    /// Time limit, such as 90, 90s or 5m; at most one hour
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = run_time)]
    pub(crate) timeout: Duration,
    /// Memory limit of the whole process tree in MiB
    #[arg(long, value_name = "MIB", default_value_t = RunLimits::DEFAULT.memory_mib,
          value_parser = clap::value_parser!(u32).range(16..=65_536))]
    pub(crate) memory: u32,
    /// Bytes kept of each output, such as 65536 or 4MiB, at most 64MiB; what is beyond is counted and not sent
    #[arg(long, value_name = "BYTES", default_value = "1MiB", value_parser = output_limit)]
    pub(crate) output_limit: u64,
    /// Set an environment variable of the program; can be given several times
    #[arg(long = "env", value_name = "NAME=VALUE")]
    pub(crate) environment: Vec<OsString>,
    /// Pass the output on unchanged, even to a terminal
    #[arg(long, conflicts_with = "json")]
    pub(crate) raw: bool,
    /// Do not say on standard error how far it is
    #[arg(long, short)]
    pub(crate) quiet: bool,
    /// Print what happens as JSON, one object a line
    #[arg(long)]
    pub(crate) json: bool,
    /// Program to run and its arguments
    #[arg(last = true, required = true, value_name = "PROGRAM", value_hint = ValueHint::CommandWithArguments)]
    pub(crate) command: Vec<OsString>,
}

/// Ask the end user for more abilities.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Example:
  assent request diag.process --reason 'to see which program fills the memory' --for 15m

Abilities: diag.basic diag.logs diag.network diag.process diag.names diag.identifiers diag.load screen.view screen.control term.view term.control file.read
file.write tunnel run.r0 run.r1 run.r2 run.r3 adhoc.argv elevate reboot_reconnect. A single command needs no ability:
`assent run` asks for it.")]
pub(crate) struct RequestArgs {
    #[command(flatten)]
    pub(crate) session: SessionArg,
    /// What to ask for, such as diag.process
    #[arg(required = true, value_name = "ABILITY", value_parser = ability)]
    pub(crate) abilities: Vec<Ability>,
    /// Why; the end user reads it
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub(crate) reason: Option<String>,
    /// How long you would like to have them, such as 15m or 2h; the end user and the device may give less
    #[arg(long = "for", value_name = "TIME", default_value = "30m", value_parser = stay)]
    pub(crate) stay: Duration,
    /// Print the answer as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// End the session.
#[derive(Debug, Args)]
pub(crate) struct EndArgs {
    #[command(flatten)]
    pub(crate) session: SessionArg,
}

/// Check an audit log or a receipt, without any network.
///
/// Names the first entry that is not as it was written. A file that ends before the session did is told apart from one that was
/// changed.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  assent verify receipt.jsonl
  assent verify receipt.jsonl --against log-from-the-end-user.jsonl")]
pub(crate) struct VerifyArgs {
    /// Audit log or receipt
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// The other side's copy: both must tell the same story
    #[arg(long, value_name = "OTHER", value_hint = ValueHint::FilePath)]
    pub(crate) against: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Show the technician's own key and certificate, or take a certificate in.
#[derive(Debug, Args)]
pub(crate) struct IdentityArgs {
    /// Keep this certificate of an organisation, PEM, for the sessions to come
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) import: Option<PathBuf>,
    /// Check the certificate against this organisation's own one, PEM, before it is kept
    #[arg(long, value_name = "FILE", requires = "import", value_hint = ValueHint::FilePath)]
    pub(crate) organisation: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Keep an organisation that vouches for technicians.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Example, once for the organisation and once for each technician:
  assent org create 'Example Ltd'                    prints the certificate that agents are given to trust
  assent identity                                    on the technician's machine: prints the key
  assent org issue --name 'Ana Ruiz' --key KEY > ana.pem
  assent identity --import ana.pem                   on the technician's machine")]
pub(crate) struct OrgArgs {
    #[command(subcommand)]
    pub(crate) command: OrgCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum OrgCommand {
    /// Make an organisation's key and print its certificate, PEM
    Create {
        /// The organisation's name, as end users will read it
        #[arg(value_name = "NAME", value_parser = name)]
        name: String,
    },
    /// Vouch for a technician and print the certificate, PEM
    Issue {
        /// The technician's name, as end users will read it
        #[arg(long, value_name = "NAME", value_parser = name)]
        name: String,
        /// The technician's key, as `assent identity` prints it
        #[arg(long, value_name = "KEY")]
        key: String,
        /// Which organisation, if there are several
        #[arg(long, value_name = "NAME")]
        org: Option<String>,
        /// How long the certificate is good for, such as 12h or 90d
        #[arg(long = "for", value_name = "TIME", default_value = "90d", value_parser = validity)]
        validity: Duration,
    },
}

/// Print a completion script for a shell.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Example:
  assent completions bash > ~/.local/share/bash-completion/completions/assent")]
pub(crate) struct CompletionsArgs {
    /// Which shell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: clap_complete::Shell,
}

/// Print the manual page, or write the pages of all commands.
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Directory to write one page a command to; without it the main page is printed
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) directory: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct SessionArg {
    /// Which session, by its id or the beginning of it; the newest live one if absent
    #[arg(long, value_name = "ID", value_parser = session_prefix)]
    pub(crate) session: Option<String>,
}

/// The command line as a value, for completions, manual pages and tests.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Longest wish for a grant's life.
const MAX_STAY: Duration = Duration::from_secs(24 * 3600);

fn carrier() -> impl TypedValueParser<Value = CarrierChoice> {
    PossibleValuesParser::new(CarrierChoice::WORDS).try_map(|word| word.parse())
}

fn name(text: &str) -> Result<String, String> {
    let text = text.trim();
    match text.len() {
        0 => Err("a name cannot be empty".to_owned()),
        1..=128 => Ok(text.to_owned()),
        bytes => Err(format!("a name has at most 128 bytes, this one {bytes}")),
    }
}

fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    if Sentence::cut(text).raw() != text {
        return Err(format!("a reason has at most 512 bytes, this one {}", text.len()));
    }
    Ok(text.to_owned())
}

fn ability(text: &str) -> Result<Ability, String> {
    text.parse::<Ability>().map_err(|unknown| {
        let near = Ability::ALL.iter().filter(|ability| ability.name().contains(text) || text.contains(ability.name()));
        let near = near.map(|ability| ability.name()).collect::<Vec<_>>();
        if near.is_empty() { unknown.to_string() } else { format!("{unknown}; did you mean {}?", near.join(" or ")) }
    })
}

fn run_time(text: &str) -> Result<Duration, String> {
    units::duration_between(text, Duration::from_secs(1), Duration::from_secs(RunLimits::MAX.time_secs.into()))
}

fn stay(text: &str) -> Result<Duration, String> {
    units::duration_between(text, Duration::from_secs(1), MAX_STAY)
}

fn validity(text: &str) -> Result<Duration, String> {
    units::duration_between(text, Duration::from_secs(60), Duration::from_secs(825 * 24 * 3600))
}

fn output_limit(text: &str) -> Result<u64, String> {
    let bytes = units::parse_bytes(text)?;
    if bytes > RunLimits::MAX.output_bytes {
        return Err(format!("at most {}", units::bytes(RunLimits::MAX.output_bytes)));
    }
    Ok(bytes)
}

fn session_prefix(text: &str) -> Result<String, String> {
    let good = (1..=16).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if good { Ok(text.to_ascii_lowercase()) } else { Err("a session id has up to 16 hexadecimal digits".to_owned()) }
}

#[cfg(test)]
mod tests {
    use wire::{
        diagnostics::sections::probes::{ProbeRequest, Target},
        text::Label,
    };

    use super::*;

    fn parse(line: &str) -> Result<Command, clap::Error> {
        Cli::try_parse_from(line.split_whitespace()).map(|cli| cli.command)
    }

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        command().debug_assert();
    }

    #[test]
    fn a_code_may_come_in_several_words() {
        let Command::Attach(args) = parse("assent attach 4821 936 0427 --detach").unwrap() else { panic!() };
        assert_eq!(args.code.join(" "), "4821 936 0427");
        assert!(args.detach);
    }

    #[test]
    fn a_code_need_not_stand_in_the_arguments() {
        for (line, code) in [("assent attach", &[][..]), ("assent attach - --json", &["-"])] {
            let Command::Attach(args) = parse(line).unwrap() else { panic!("{line}") };
            assert_eq!(args.code, code);
        }
    }

    #[test]
    fn everything_behind_the_dashes_belongs_to_the_program() {
        let Command::Run(args) = parse("assent run --timeout 5m -- ls --json -la").unwrap() else { panic!() };
        assert_eq!(args.command, ["ls", "--json", "-la"]);
        assert_eq!(args.timeout, Duration::from_secs(300));
        assert!(!args.json);
        assert!(parse("assent run ls").is_err(), "without dashes it is not clear where the program begins");
    }

    #[test]
    fn follow_takes_a_number_or_none() {
        let follow = |line| {
            let Command::Diag(args) = parse(line).unwrap() else { panic!("{line}") };
            args.follow
        };
        assert_eq!(follow("assent diag"), None);
        assert_eq!(follow("assent diag --follow"), Some(0));
        assert_eq!(follow("assent diag --follow 10 --json"), Some(10));
    }

    #[test]
    fn a_probe_is_aimed_at_the_relay_unless_something_else_is_named() {
        let request = |line| {
            let Command::Diag(args) = parse(line).unwrap() else { panic!("{line}") };
            let Some(DiagCommand::Probe(args)) = args.what else { panic!("{line}") };
            args.request()
        };
        assert_eq!(request("assent diag probe tls"), Ok(ProbeRequest::Handshake(Target::Relay)));
        assert_eq!(request("assent diag probe ping gateway"), Ok(ProbeRequest::Echo(Target::Gateway)));
        assert_eq!(request("assent diag probe ping resolver"), Ok(ProbeRequest::Echo(Target::Resolver(0))));
        assert_eq!(request("assent diag probe ping resolver:2"), Ok(ProbeRequest::Echo(Target::Resolver(1))));
        let host = Target::Host(Label::cut("intranet.example:8443"));
        assert_eq!(request("assent diag probe tls intranet.example:8443"), Ok(ProbeRequest::Handshake(host)));
        assert_eq!(request("assent diag probe load"), Ok(ProbeRequest::Load));
        assert!(request("assent diag probe portal gateway").is_err());
        let long = format!("assent diag probe tls {}", "a".repeat(129));
        for line in
            ["assent diag probe ping resolver:0", "assent diag probe tls a b", "assent diag probe", long.as_str()]
        {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn an_unknown_ability_is_refused_with_the_likely_one() {
        let error = parse("assent request process").unwrap_err().to_string();
        assert!(error.contains("did you mean diag.process?"), "{error}");
    }

    #[test]
    fn out_of_range_limits_are_usage_errors() {
        for line in [
            "assent run --timeout 2h -- ls",
            "assent run --timeout 0 -- ls",
            "assent run --output-limit 65MiB -- ls",
            "assent run --memory 1 -- ls",
            "assent status --session nothex",
        ] {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }
}

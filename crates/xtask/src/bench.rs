//! `cargo xtask bench`: how fast, how small, how soon. Benchmarks, not timed tests: nothing fails because a machine is slow.
//!
//! The benches drive the real programs, built in release, by way of the test kit. So that `cargo xtask test` and
//! `cargo xtask demo` do not have to compile all of that, the benches exist only with the feature `bench`: this command builds
//! the programs and a second xtask with that feature, once, and hands over to it.

#[cfg(feature = "bench")]
pub(crate) mod here;

use clap::ValueEnum;

use crate::process::{cargo, command, run as run_shown, target_dir, typed};

/// What `cargo xtask bench` takes.
#[derive(Debug, Clone, clap::Args)]
pub struct Arguments {
    /// Which benches; all without a name
    #[arg(value_name = "NAME")]
    names: Vec<Bench>,
    /// After the table, print one JSON object a bench on the last lines
    #[arg(long)]
    json: bool,
}

/// One bench.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Bench {
    /// From the typed code to the first diagnostics, and the round trips that it takes
    Attach,
    /// What the agent uses while a session is on
    Agent,
    /// Diagnostics: what watching takes, idle and in a session, beside other programs where they are installed; bytes of the stream and
    /// of the history; how soon the first report is there; how good predictions are. About twelve minutes
    Diag,
    /// The part of diag that is over in a minute: one look at all processes, beside sysinfo
    Scan,
    /// Bytes of the diagnostics stream
    Stream,
    /// From Stop to the last byte and the death of the process tree
    Revoke,
    /// Memory of the relay for each connected agent
    Idle,
    /// Handshakes, and a relay that comes back to thousands of agents
    Storm,
    /// A million sleeping agents: memory, processor for their beats, and how soon one of them is there
    Sleep,
    /// From a key press to its echo in a session, beside a datagram that nobody looks at
    Echo,
    /// What changes of path cost, what lossy paths carry, and a direct path beside plain QUIC
    Path,
    /// Pipes over TCP beside UDP: memory of the relay for each agent that waits, bulk, and the relay's processor for it
    Pipes,
    /// What one shard of the relay forwards, and what that costs, beside a forwarder that knows nothing
    Relay,
    /// What forwarding costs beside coturn (`turnserver`), which must be installed; only when it is named
    Coturn,
}

/// Builds everything in release and runs the chosen benches.
///
/// # Errors
///
/// When something does not build, or a bench cannot be carried out.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let build = cargo(
        "build --release --locked --bins --package relay --package agent --package technician \
         --package xtask --features xtask/bench",
    );
    println!("$ {}", typed(&build));
    run_shown(build)?;
    let mut benches = command(target_dir()?.join("release/xtask"));
    benches.arg("bench-here").args(arguments.names.iter().filter_map(|bench| {
        let value = bench.to_possible_value()?;
        Some(value.get_name().to_owned())
    }));
    if arguments.json {
        benches.arg("--json");
    }
    run_shown(benches)
}

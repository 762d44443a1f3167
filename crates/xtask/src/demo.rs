//! `cargo xtask demo`: relay, agent and technician on this machine, each as the real program, ending in the live screen.
//!
//! On a desktop the person is asked on a page in the browser, and this terminal becomes the technician's. Without a browser both
//! people share this terminal, side by side or one above the other. Nothing is approved by the demo: whoever started it answers.

mod background;
mod split;

use std::{
    env,
    io::{IsTerminal as _, stdout},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    process::Command,
    signal::unix::{SignalKind, signal},
};

use self::background::Background;
use crate::process::{cargo, command, find, run as run_shown, target_dir, typed};

/// How long a program may take to say where it is.
const START: Duration = Duration::from_secs(20);

/// How long a person may take to open the page.
const PAGE: Duration = Duration::from_secs(600);

/// What `cargo xtask demo` takes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Where the person is asked. Default: browser on a desktop, terminal elsewhere
    #[arg(long, value_name = "WHERE")]
    consent: Option<ConsentAt>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ConsentAt {
    /// On a page in the browser
    Browser,
    /// In this terminal
    Terminal,
}

/// Builds, then shows one session until somebody ends it.
///
/// # Errors
///
/// When something does not build or start. Whatever was started has ended by then.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    if !stdout().is_terminal() {
        bail!("the demo ends in a screen and needs a terminal; nothing was started");
    }
    let consent = arguments.consent.unwrap_or(if has_browser() { ConsentAt::Browser } else { ConsentAt::Terminal });
    println!("Building in release; the first time takes some minutes.");
    let build = cargo("build --release --locked --bins --package relay --package agent --package technician");
    println!("$ {}", typed(&build));
    run_shown(build)?;
    let stage = Stage::set()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(perform(&stage, consent));
    println!("The demo is over. Everything that it started has ended.");
    done
}

async fn perform(stage: &Stage, consent: ConsentAt) -> anyhow::Result<()> {
    let mut relay = Background::start("relay", stage.relay(), stage.dir())?;
    let done = tokio::select! {
        done = with_relay(stage, consent, &mut relay) => done,
        () = interrupted() => Ok(()),
    };
    relay.leave().await;
    done
}

async fn with_relay(stage: &Stage, consent: ConsentAt, relay: &mut Background) -> anyhow::Result<()> {
    let link = relay.wait_for(START, "the relay's link", |event| text(event, "link")).await?;
    match consent {
        ConsentAt::Browser => on_a_page(stage, &link).await,
        ConsentAt::Terminal => split::show(stage, &link).await,
    }
}

/// The person at a page, the technician in this terminal.
async fn on_a_page(stage: &Stage, link: &str) -> anyhow::Result<()> {
    let mut share = stage.share(link);
    share.args(["--consent", "browser", "--json"]);
    let mut agent = Background::start("agent", share, stage.dir())?;
    let done = async {
        let page = agent.wait_for(START, "the consent page", |event| text(event, "url")).await?;
        println!("\n{}", explanation(ConsentAt::Browser).join("\n"));
        println!("\nIf no page opens, open this address in a browser on this machine: {page}\n");
        let code = agent.wait_for(PAGE, "a session code", |event| text(event, "code")).await?;
        let mut technician =
            stage.technician(link, &code).kill_on_drop(true).spawn().context("assent does not start")?;
        technician.wait().await.context("assent cannot be waited for")?;
        anyhow::Ok(())
    };
    let done = tokio::select! {
        done = done => done,
        () = interrupted() => Ok(()),
    };
    agent.leave().await;
    done
}

/// Where the demo lives: the built programs and a folder that is gone afterwards.
#[derive(Debug)]
struct Stage {
    programs: PathBuf,
    dir: TempDir,
}

impl Stage {
    fn set() -> anyhow::Result<Self> {
        // A short name: the path of a Unix socket within may have 107 bytes.
        let dir = tempfile::Builder::new().prefix("assent-demo-").tempdir()?;
        for name in ["run", "state", "config", "relay", "share"] {
            std::fs::DirBuilder::new().mode(0o700).create(dir.path().join(name))?;
        }
        Ok(Self { programs: target_dir()?.join("release"), dir })
    }

    fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn program(&self, name: &str) -> Command {
        Command::from(command(self.programs.join(name)))
    }

    fn relay(&self) -> Command {
        let mut command = self.program("assent-relay");
        command.args(["serve", "--json", "--listen", "127.0.0.1:0", "--state-dir"]).arg(self.dir().join("relay"));
        command
    }

    /// The agent keeps the person's environment, because the browser that it opens needs it.
    fn share(&self, link: &str) -> Command {
        let mut command = self.program("assent-share");
        command.args(["--relay", link, "--state-dir"]).arg(self.dir().join("share"));
        command
    }

    fn technician(&self, link: &str, code: &str) -> Command {
        let mut command = self.program("assent");
        command.args(["attach", code, "--relay", link, "--reason", "a look at the demo"]);
        for (variable, folder) in
            [("XDG_RUNTIME_DIR", "run"), ("XDG_STATE_HOME", "state"), ("XDG_CONFIG_HOME", "config")]
        {
            command.env(variable, self.dir().join(folder));
        }
        command
    }
}

/// What the person in front of this terminal is seeing, in lines that fit into the narrowest terminal that is enough.
fn explanation(consent: ConsentAt) -> [&'static str; 3] {
    let whose = match consent {
        ConsentAt::Browser => "The page in the browser is the person's, this terminal the technician's.",
        ConsentAt::Terminal => "One screen is the person's: say yes there. The other is the technician's.",
    };
    [
        "A person and a technician meet here, over a relay that reads nothing of it.",
        whose,
        "The technician's key r asks for a command. It runs if the person allows it.",
    ]
}

/// Whether the agent would find a desktop and something to open a page with.
fn has_browser() -> bool {
    let is_set = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
    let desktop = ["DISPLAY", "WAYLAND_DISPLAY", "BROWSER"].into_iter().find_map(is_set);
    let chosen = is_set("BROWSER").and_then(|program| find(program.to_str()?));
    desktop.is_some() && (chosen.is_some() || find("xdg-open").is_some())
}

/// Resolves when this program is asked to end.
async fn interrupted() {
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    let [Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)] = kinds.map(signal) else {
        // Without handlers the signals end the program, and what it started with it.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
}

fn text(event: &Value, key: &str) -> Option<String> {
    event.get(key)?.as_str().map(str::to_owned)
}

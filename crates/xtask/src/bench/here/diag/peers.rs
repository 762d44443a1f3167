//! The agent in a session beside other programs that watch a machine, each once a second and all over the same time.

use std::{
    env,
    fs::File,
    io::Write as _,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    time::Duration,
};

use anyhow::Context as _;
use pty::{Size, Terminal};
use tempfile::TempDir;
use testkit::tree::Tree;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    process::Command,
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep},
};

use super::super::load;
use crate::{bench::here::figures::Figure, process::command};

/// They start slowly and look at everything then.
const SETTLE: Duration = Duration::from_secs(30);
const WINDOW: Duration = Duration::from_secs(30);
const WINDOWS: usize = 2;

const NAMES: [&str; 3] = ["prometheus-node-exporter", "netdata", "glances"];

/// Measures `agent` beside those of the others that are installed, and says which are not.
pub(super) async fn measure(agent: u32) -> anyhow::Result<Vec<Figure>> {
    let mut peers = Vec::new();
    for name in NAMES {
        if is_installed(name) {
            peers.push(Peer::start(name)?);
        } else {
            println!("not installed, and so not compared with: {name}");
        }
    }
    if peers.is_empty() {
        return Ok(Vec::new());
    }
    sleep(SETTLE).await;
    let roots = std::iter::once(agent).chain(peers.iter().map(|peer| peer.terminal.pid())).collect::<Vec<_>>();
    let mut windows = Vec::new();
    for _ in 0..WINDOWS {
        windows.push(load::taken(&roots, WINDOW).await?);
    }
    let mut figures = Vec::new();
    for (place, name) in std::iter::once("assent-share").chain(peers.iter().map(|peer| peer.name)).enumerate() {
        let part = |of: fn(&load::Taken) -> f64| windows.iter().map(|taken| of(&taken[place])).collect::<Vec<_>>();
        let processor =
            Figure::median(format!("side by side, {name}: processor"), "%", &part(|taken| taken.processor_percent))?;
        let resident = part(|taken| taken.resident_bytes / 1e6);
        let memory = Figure::median(format!("side by side, {name}: resident memory"), "MB", &resident)?;
        let bar = if place == 0 { "below each of the others" } else { "" };
        figures.extend([processor.with_bar(bar), memory.with_bar(bar)]);
    }
    Ok(figures)
}

fn is_installed(program: &str) -> bool {
    env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

/// One that runs, in a terminal of its own, until it is dropped.
struct Peer {
    name: &'static str,
    terminal: Terminal,
    _folder: TempDir,
    /// Asks it once a second, as its server does.
    _asking: JoinSet<()>,
}

impl Peer {
    fn start(name: &'static str) -> anyhow::Result<Self> {
        // Free now, and with luck in a moment: these programs do not say which port they got.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let folder = tempfile::tempdir()?;
        let mut program = Command::from(command(name));
        let mut asking = JoinSet::new();
        match name {
            "prometheus-node-exporter" => {
                program.arg(format!("--web.listen-address=127.0.0.1:{port}"));
                asking.spawn(ask_each_second(SocketAddr::from((Ipv4Addr::LOCALHOST, port))));
            }
            "netdata" => {
                program.args(netdata(folder.path(), port)?).env("DO_NOT_TRACK", "1");
            }
            _ => {
                program.args(["-t", "1", "--disable-check-update"]);
            }
        }
        program.env("TERM", "xterm-256color");
        let terminal = Terminal::start(program, Size::ROOMY).with_context(|| format!("{name} does not start"))?;
        Ok(Self { name, terminal, _folder: folder, _asking: asking })
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Some have helpers that would outlive them.
        if let Ok(tree) = Tree::of(self.terminal.pid()) {
            tree.kill();
        }
    }
}

/// As it is installed, but in the foreground, with its data in `folder` and its page on `port`.
fn netdata(folder: &Path, port: u16) -> anyhow::Result<[String; 5]> {
    let settings = folder.join("netdata.conf");
    let folder = folder.display();
    let user = rustix::process::getuid().as_raw();
    let user = if user == 0 { "root".to_owned() } else { env::var("USER").unwrap_or_default() };
    write!(
        File::create_new(&settings)?,
        "[global]\nrun as user = {user}\n[directories]\ncache = {folder}\nlib = {folder}\nlog = {folder}\n\
         [web]\nbind to = 127.0.0.1\n"
    )?;
    Ok(["-D", "-p", &port.to_string(), "-c", &settings.display().to_string()].map(str::to_owned))
}

async fn ask_each_second(address: SocketAddr) {
    let mut second = interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        second.tick().await;
        // It may still be starting. That it answers at all shows in what it uses.
        let _answered = ask(address).await;
    }
}

async fn ask(address: SocketAddr) -> std::io::Result<usize> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
    stream.read_to_end(&mut Vec::new()).await
}

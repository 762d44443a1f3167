//! A real relay, which can be killed and come back.

use std::{
    fs,
    io::{self, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use serde_json::Value;
use tokio::{
    sync::oneshot,
    time::{Instant, interval},
};
use wire::link::RelayLink;

use crate::{
    PATIENCE,
    programs::{Home, Host, Program},
    running::{Finished, Running},
};

/// Between two looks at a number; each takes a connection.
const LOOK: Duration = Duration::from_millis(50);

/// Where a relay listens.
#[derive(Debug, Clone)]
pub struct Place {
    /// The machine.
    pub host: Host,
    /// Its address there.
    pub ip: IpAddr,
    /// Its port; any that is free if zero.
    pub port: u16,
}

impl Default for Place {
    fn default() -> Self {
        Self { host: Host::default(), ip: Ipv4Addr::LOCALHOST.into(), port: 0 }
    }
}

/// `assent-relay serve --json` on a loopback port of its own, with its own state directory.
#[derive(Debug)]
pub struct RelayProcess {
    place: Place,
    home: Home,
    program: PathBuf,
    running: Running,
    link: RelayLink,
    http: Option<SocketAddr>,
    settings: String,
}

impl RelayProcess {
    /// Starts a relay with its default settings and waits until it says where it listens.
    ///
    /// # Errors
    ///
    /// When it does not build or start.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with("").await
    }

    /// As [`RelayProcess::start`], with `settings` as further lines of its TOML configuration.
    ///
    /// # Errors
    ///
    /// When it does not build or start.
    pub async fn start_with(settings: &str) -> anyhow::Result<Self> {
        Self::start_program(Program::Relay.path()?, settings).await
    }

    /// As [`RelayProcess::start_with`], with a program built elsewhere.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub async fn start_program(program: PathBuf, settings: &str) -> anyhow::Result<Self> {
        Self::start_at(Place::default(), program, settings).await
    }

    /// As [`RelayProcess::start_program`], somewhere else.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub async fn start_at(mut place: Place, program: PathBuf, settings: &str) -> anyhow::Result<Self> {
        let home = Home::new()?;
        let (running, Listening { link, http }) = spawn(&place, &program, &home, settings).await?;
        place.port = link.port();
        Ok(Self { place, home, program, running, link, http, settings: settings.to_owned() })
    }

    /// What the other programs need to know of it.
    pub fn link(&self) -> &RelayLink {
        &self.link
    }

    /// Its UDP address.
    pub fn address(&self) -> SocketAddr {
        (self.place.ip, self.link.port()).into()
    }

    /// The same relay as it is reached by way of another address, such as a [`DelayLink`](crate::delay_link::DelayLink).
    ///
    /// # Errors
    ///
    /// When the address makes no link.
    pub fn link_by_way_of(&self, address: SocketAddr) -> anyhow::Result<RelayLink> {
        Ok(RelayLink::new(&address.ip().to_string(), address.port(), self.link.pin())?)
    }

    /// Where it tells its metrics and its health.
    pub fn http(&self) -> Option<SocketAddr> {
        self.http
    }

    /// A number that it tells of itself, by the name of its series without `assent_relay_`. Zero for labels that have not been counted yet.
    ///
    /// # Errors
    ///
    /// When it tells nothing, or knows no series of that name.
    pub async fn metric(&self, series: &str) -> anyhow::Result<u64> {
        let (host, address) = (self.place.host.clone(), self.http.context("the relay tells nothing of itself")?);
        let read = move || {
            host.enter()?;
            let mut stream = TcpStream::connect(address)?;
            write!(stream, "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
            io::read_to_string(stream)
        };
        let (tell, told) = oneshot::channel();
        // A thread that entered a namespace stays there, so it is none of the runtime's.
        thread::Builder::new().name("metrics".to_owned()).spawn(move || tell.send(read()))?;
        let text = told.await.context("the reader has ended")??;
        read_metric(&text, series).with_context(|| format!("there is no {series} in {text}"))
    }

    /// Waits until a number has come to a value.
    ///
    /// # Errors
    ///
    /// When that takes longer than `within`, and as for [`RelayProcess::metric`].
    pub async fn metric_becomes(&self, series: &str, value: u64, within: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + within;
        let mut looks = interval(LOOK);
        loop {
            looks.tick().await;
            let is = self.metric(series).await?;
            if is == value {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "after {within:?} {series} is {is} instead of {value}");
        }
    }

    /// Its state directory.
    pub fn state_dir(&self) -> PathBuf {
        state_dir(&self.home)
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// The process, for its output.
    pub fn running(&self) -> &Running {
        &self.running
    }

    /// Ends it without any warning.
    ///
    /// # Errors
    ///
    /// When the system does not let it be waited for.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.running.kill().await
    }

    /// Starts it again on the same port with the same state, after [`RelayProcess::kill`] or [`RelayProcess::stop`].
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        let (running, Listening { link, http }) = spawn(&self.place, &self.program, &self.home, &self.settings).await?;
        anyhow::ensure!(link == self.link, "the relay came back as {link} instead of {}", self.link);
        (self.running, self.http) = (running, http);
        Ok(())
    }

    /// Asks it to stop with SIGTERM and waits for its end.
    ///
    /// # Errors
    ///
    /// When it does not end in time.
    pub async fn stop(&mut self) -> anyhow::Result<Finished> {
        self.running.signal(Signal::TERM)?;
        self.running.wait_exit(PATIENCE).await
    }
}

fn state_dir(home: &Home) -> PathBuf {
    home.state().join("relay")
}

/// What a relay tells when it begins.
#[derive(Debug, PartialEq, Eq)]
struct Listening {
    link: RelayLink,
    http: Option<SocketAddr>,
}

async fn spawn(place: &Place, program: &Path, home: &Home, settings: &str) -> anyhow::Result<(Running, Listening)> {
    let mut command = place.host.command(program);
    home.apply(&mut command);
    let config = home.config().join("relay.toml");
    writeln!(fs::File::create(&config)?, "{settings}")?;
    command
        .args(["serve", "--json", "--http", "127.0.0.1:0", "--listen"])
        .arg(SocketAddr::new(place.ip, place.port).to_string());
    command.arg("--state-dir").arg(state_dir(home)).arg("--config").arg(config);
    let running = Running::start(command)?;
    let listening = running.wait_for_line("the relay's link", PATIENCE, listening_in).await?;
    Ok((running, listening))
}

fn listening_in(line: &str) -> Option<Listening> {
    let event = serde_json::from_str::<Value>(line).ok().filter(|event| event["event"] == "listening")?;
    let link = event["link"].as_str()?.parse().ok()?;
    Some(Listening { link, http: event["http"].as_str().and_then(|address| address.parse().ok()) })
}

fn read_metric(text: &str, series: &str) -> Option<u64> {
    let name = series.split('{').next()?;
    // So that a name with a slip in it is not zero for ever.
    text.contains(&format!("# TYPE assent_relay_{name} ")).then_some(())?;
    let mut lines = text.lines();
    let value = lines.find_map(|line| line.strip_prefix("assent_relay_")?.strip_prefix(series)?.strip_prefix(' '));
    value.map_or(Some(0), |value| value.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_found_by_its_whole_name_and_unknown_labels_are_zero() {
        let text = "# HELP assent_relay_beats_total Beats.\n# TYPE assent_relay_beats_total counter\n\
                    assent_relay_beats_total{of=\"a\"} 7\n# TYPE assent_relay_beat gauge\nassent_relay_beat 3\n";
        assert_eq!(read_metric(text, "beats_total{of=\"a\"}"), Some(7));
        assert_eq!(read_metric(text, "beats_total{of=\"b\"}"), Some(0));
        assert_eq!((read_metric(text, "beat"), read_metric(text, "bea")), (Some(3), None));
    }

    #[test]
    fn a_relay_tells_where_it_listens() {
        let link = format!("assent://127.0.0.1:4433#{}", "ab".repeat(32));
        let event = serde_json::json!({"event": "listening", "link": link, "http": "127.0.0.1:7"}).to_string();
        let listening = listening_in(&event).unwrap();
        assert_eq!(listening.link.to_string(), link);
        assert_eq!(listening.http, Some(([127, 0, 0, 1], 7).into()));
        assert_eq!(listening_in(&event.replace("listening", "stopped")), None);
        assert_eq!(listening_in(&link), None);
    }
}

//! Networks as people have them: a session comes up, and fifty megabytes arrive whole whatever happens on the way.
//!
//! Machines are network namespaces, so this needs root; without it every story here says loudly that it was skipped.

use std::{fs, io::Write as _, path::PathBuf, time::Duration};

use anyhow::Context as _;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::Value;
use testkit::{
    attach::Technician,
    connect_proxy::{Asked, ConnectProxy},
    delay_link::{Conditions, DelayLink},
    lab::{Access, Lab, Nat, Posted, RELAY_NAME, Side},
    programs::Program,
    relay::{Place, RelayProcess},
    running::Running,
    share::{ShareOptions, ShareProcess},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::watch,
    task::JoinSet,
    time::timeout,
};
use wire::link::RelayLink;

use crate::{
    probes::{allow, probe},
    world::World,
};

const FILE_BYTES: usize = 50_000_000;

/// For fifty megabytes by a debug build on a busy machine, through a network that loses every fifth packet.
const TRANSFER: Duration = Duration::from_secs(240);

/// The port that proxies let through.
const HTTPS: u16 = 443;

/// The variable that names a proxy.
const PROXY: &str = "HTTPS_PROXY";

/// A world on a network, with a file at the agent.
struct Networked {
    // Ended before the network is.
    world: World,
    attached: Option<Running>,
    file: PathBuf,
    gate: PathBuf,
    received: PathBuf,
    /// Of the agent and of the technician, where nothing else leads out.
    proxies: [Option<Posted<ConnectProxy>>; 2],
    line: Option<Posted<DelayLink>>,
    lab: Lab,
}

impl Networked {
    /// Everybody at their machines and in a session. `None` where there can be no lab.
    async fn start(agent: Access, technician: Access, options: ShareOptions) -> anyhow::Result<Option<Self>> {
        let Some(lab) = Lab::start(agent, technician)? else { return Ok(None) };
        let ip = if agent.v4.is_some() && technician.v4.is_some() {
            Lab::RELAY_V4.into()
        } else if agent.v4.is_some() || technician.v4.is_some() {
            std::net::Ipv6Addr::UNSPECIFIED.into()
        } else {
            Lab::RELAY_V6.into()
        };
        let port = if agent.closed || technician.closed { HTTPS } else { 0 };
        let place = Place { host: lab.relay(), ip, port };
        let settings = format!("public_host = {RELAY_NAME:?}");
        let relay = RelayProcess::start_at(place, Program::Relay.path()?, &settings).await?;
        let link = relay.link().clone();
        let mut networked = Self::begin(lab, relay, &link, options, [agent, technician])?;
        networked.world.attach().await.map(|attached| networked.attached = Some(attached))?;
        Ok(Some(networked))
    }

    /// Everybody in a session by a line to the relay that takes so long there and back. `None` where there can be no lab.
    async fn on_slow_lines(round_trip: Duration) -> anyhow::Result<Option<Self>> {
        let homes = [Access::HOME; 2];
        let Some(lab) = Lab::start(homes[0], homes[1])? else { return Ok(None) };
        let place = Place { host: lab.relay(), ..Place::default() };
        let relay = RelayProcess::start_at(place, Program::Relay.path()?, "").await?;
        let line = lab.slow_line(relay.address(), Conditions::delay(round_trip / 2))?;
        let link = relay.link_by_way_of(line.address())?;
        let mut networked = Self::begin(lab, relay, &link, ShareOptions::behind_the_relay(), homes)?;
        networked.line = Some(line);
        networked.world.attach().await.map(|attached| networked.attached = Some(attached))?;
        Ok(Some(networked))
    }

    /// A relay that runs, a person who looks at a code, a technician who has not attached.
    fn begin(
        lab: Lab,
        relay: RelayProcess,
        link: &RelayLink,
        options: ShareOptions,
        accesses: [Access; 2],
    ) -> anyhow::Result<Self> {
        let proxy = |side, access: Access| access.closed.then(|| lab.proxy(side, link.port())).transpose();
        let proxies = [proxy(Side::Agent, accesses[0])?, proxy(Side::Technician, accesses[1])?];
        let [for_agent, for_technician] = proxies.each_ref().map(|proxy| proxy.as_ref().map(proxy_url));
        let mut options = ShareOptions { host: lab.host(Side::Agent), ..options };
        options.environment.extend(for_agent.map(|url| (PROXY.to_owned(), url)));
        let share = ShareProcess::start_with(link, &options)?;
        let mut technician = Technician::new(link)?.at(lab.host(Side::Technician));
        if let Some(url) = for_technician {
            technician.set(PROXY, &url);
        }
        let world = World { relay, share, technician };
        let [file, gate] = ["big", "gate"].map(|name| world.share.home().path().join(name));
        let received = world.technician.home().path().join("received");
        fs::File::create(&file)?.write_all(&noise())?;
        mknodat(CWD, &gate, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        Ok(Self { world, attached: None, file, gate, received, proxies, line: None, lab })
    }

    fn attached(&self) -> anyhow::Result<&Running> {
        self.attached.as_ref().context("nobody has attached")
    }

    /// Waits until packets go this way.
    async fn goes(&self, way: &str) -> anyhow::Result<()> {
        let what = format!("a path that is {way}");
        let fits = |status: &Value| status["path"]["kind"] == way;
        self.world.technician.wait_status(self.attached()?, &what, fits).await?;
        Ok(())
    }

    /// Brings the file to the technician; `meanwhile` happens when half of it was sent.
    async fn transfer(&mut self, meanwhile: impl AsyncFnOnce(&mut Self) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let half = FILE_BYTES / 2;
        let script = format!("head -c {half} \"$0\"; : < \"$1\"; tail -c +{} \"$0\"", half + 1);
        let path = |path: &PathBuf| path.to_str().map(str::to_owned).context("a temporary path is UTF-8");
        let (file, gate) = (path(&self.file)?, path(&self.gate)?);
        let arguments = ["--output-limit", "64MiB", "--timeout", "10m", "--", "sh", "-c", &script, &file, &gate];
        let mut running = self.world.run_allowed_into(&self.received, &arguments).await?;
        let opening = {
            let gate = self.gate.clone();
            // Opening a FIFO waits for whoever reads it: the first half has been handed over then.
            tokio::task::spawn_blocking(move || fs::File::options().write(true).open(gate))
        };
        let gate = timeout(TRANSFER, opening).await.context("the first half is not sent")???;
        meanwhile(self).await?;
        drop(gate);
        let done = running.wait_exit(TRANSFER).await?;
        anyhow::ensure!(done.code() == 0, "the run ended with {}: {}", done.code(), done.stderr);
        let received = fs::read(&self.received)?;
        assert_eq!(received.len(), FILE_BYTES);
        assert_eq!(trust::digest(&received), trust::digest(&noise()), "something else arrived");
        Ok(())
    }
}

fn proxy_url(proxy: &Posted<ConnectProxy>) -> String {
    format!("http://{}", proxy.address())
}

/// The same on every machine, and nothing that could be made smaller on the way.
fn noise() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(FILE_BYTES);
    while bytes.len() < FILE_BYTES {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(FILE_BYTES);
    bytes
}

/// A transfer on a network in which nothing happens.
async fn whole(agent: Access, technician: Access) -> anyhow::Result<()> {
    let options = ShareOptions::behind_the_relay();
    let Some(mut networked) = Networked::start(agent, technician, options).await? else { return Ok(()) };
    networked.transfer(async |_| Ok(())).await
}

/// A transfer during which something happens.
async fn whole_although(what: impl AsyncFnOnce(&mut Networked) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let options = ShareOptions::behind_the_relay();
    let Some(mut networked) = Networked::start(Access::HOME, Access::HOME, options).await? else { return Ok(()) };
    networked.transfer(what).await
}

/// A transfer between two machines that may reach each other as they can.
async fn whole_by(way: &str, agent: Access, technician: Access) -> anyhow::Result<()> {
    let Some(mut networked) = Networked::start(agent, technician, ShareOptions::default()).await? else {
        return Ok(());
    };
    networked.goes(way).await?;
    networked.transfer(async |_| Ok(())).await?;
    // A machine that is too busy to answer in time falls back on the way, and returns.
    networked.goes(way).await
}

fn behind(nat: Nat) -> Access {
    Access { v4: Some(nat), ..Access::HOME }
}

/// What `assent netcheck` says at a machine with this access, and how it ended. `None` where there can be no lab.
async fn netcheck(access: Access) -> anyhow::Result<Option<(Value, u8)>> {
    let Some(lab) = Lab::start(Access::HOME, access)? else { return Ok(None) };
    let ip = if access.v4.is_some() { Lab::RELAY_V4.into() } else { Lab::RELAY_V6.into() };
    let place = Place { host: lab.relay(), ip, port: if access.closed { HTTPS } else { 0 } };
    let relay = RelayProcess::start_at(place, Program::Relay.path()?, &format!("public_host = {RELAY_NAME:?}")).await?;
    let mut technician = Technician::new(relay.link())?.at(lab.host(Side::Technician));
    let proxy = access.closed.then(|| lab.proxy(Side::Technician, relay.link().port())).transpose()?;
    if let Some(proxy) = &proxy {
        technician.set(PROXY, &proxy_url(proxy));
    }
    let done = technician.run(["netcheck", "--json"]).await?;
    let told = serde_json::from_str(&done.stdout).with_context(|| format!("{}{}", done.stdout, done.stderr))?;
    Ok(Some((told, u8::try_from(done.code())?)))
}

const V6_ONLY: Access = Access { v4: None, v6: true, ..Access::HOME };

/// Answers whoever asks for a page on port 80: as the internet does, or as a portal that leads elsewhere.
async fn serve_pages(listener: TcpListener, is_portal: watch::Receiver<bool>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") && matches!(stream.read_buf(&mut request).await, Ok(1..)) {}
        let answer = match *is_portal.borrow() {
            true => "HTTP/1.1 302 Found\r\nLocation: http://login.example/?from=here\r\n\r\n",
            false => "HTTP/1.1 204 No Content\r\n\r\n",
        };
        // Whoever asked may be gone.
        let _ = stream.write_all(answer.as_bytes()).await;
    }
}

#[tokio::test]
async fn the_way_to_the_relay_is_looked_at_router_by_router_and_a_portal_is_found() -> anyhow::Result<()> {
    let settings = format!("portal_check_host = \"{}\"\n", Lab::RELAY_V4);
    let options = ShareOptions { settings, ..ShareOptions::behind_the_relay() };
    let small = Access { mtu: 1400, ..Access::HOME };
    let Some(networked) = Networked::start(small, Access::HOME, options).await? else { return Ok(()) };
    let (portal_opens, is_portal) = watch::channel(false);
    let _pages = networked.lab.post_at_relay(async move || {
        let listener = TcpListener::bind((Lab::RELAY_V4, 80)).await?;
        let mut pages = JoinSet::new();
        pages.spawn(serve_pages(listener, is_portal));
        Ok(pages)
    })?;
    let world = &networked.world;
    allow(world, "diag.network").await?;

    let (echo, code) = probe(world, &["ping", "gateway"]).await?;
    let found = &echo["found"]["echo"];
    assert_eq!((echo["outcome"].as_str(), code), (Some("pass"), 0), "{echo}");
    assert!(found["received"].as_u64() > Some(0) && found["received"] == found["sent"], "{echo}");

    let (route, code) = probe(world, &["route", "relay"]).await?;
    let hops = route["found"]["route"]["hops"].as_array().context("no hops")?;
    let answered = hops.iter().map(|hop| hop["answered"].as_u64() > Some(0)).collect::<Vec<_>>();
    assert_eq!((route["found"]["route"]["reached"].as_bool(), code), (Some(true), 0), "{route}");
    assert_eq!(answered, [true, true], "the router at home, then the relay: {route}");

    let (sizes, _) = probe(world, &["mtu"]).await?;
    let largest = sizes["found"]["path_mtu"]["path_mtu"].as_u64();
    assert_eq!(largest, Some(1380), "the largest of those that are tried that fits: {sizes}");

    let (free, code) = probe(world, &["portal"]).await?;
    assert_eq!((free["found"]["portal"]["state"].as_str(), code), (Some("full"), 0), "{free}");
    portal_opens.send_replace(true);
    let (caught, code) = probe(world, &["portal"]).await?;
    assert_eq!((caught["outcome"].as_str(), code), (Some("fail"), 1), "{caught}");
    assert_eq!(caught["found"]["portal"]["leads_to"].as_str(), Some("login.example"), "{caught}");
    Ok(())
}

#[tokio::test]
async fn behind_full_cones() -> anyhow::Result<()> {
    whole(behind(Nat::FullCone), behind(Nat::FullCone)).await
}

#[tokio::test]
async fn behind_restricted_cones() -> anyhow::Result<()> {
    whole(behind(Nat::Restricted), behind(Nat::Restricted)).await
}

#[tokio::test]
async fn behind_symmetric_translators_on_both_sides() -> anyhow::Result<()> {
    whole(behind(Nat::Symmetric), behind(Nat::Symmetric)).await
}

#[tokio::test]
async fn directly_between_two_cones() -> anyhow::Result<()> {
    whole_by("direct", behind(Nat::FullCone), behind(Nat::Restricted)).await
}

#[tokio::test]
async fn directly_over_ipv6() -> anyhow::Result<()> {
    whole_by("direct", V6_ONLY, V6_ONLY).await
}

#[tokio::test]
async fn by_the_relay_where_neither_side_can_be_reached() -> anyhow::Result<()> {
    whole_by("relayed", behind(Nat::Symmetric), behind(Nat::Symmetric)).await
}

#[tokio::test]
async fn over_tcp_where_a_network_lets_no_udp_pass() -> anyhow::Result<()> {
    let blocked = Access { udp_blocked: true, ..Access::HOME };
    whole(blocked, Access::HOME).await?;
    whole_by("relayed over TCP", Access::HOME, blocked).await
}

#[tokio::test]
async fn through_proxies_to_port_443_where_nothing_else_passes() -> anyhow::Result<()> {
    let closed = Access { closed: true, ..Access::HOME };
    let Some(mut networked) = Networked::start(closed, closed, ShareOptions::default()).await? else { return Ok(()) };
    networked.goes("relayed over TCP").await?;
    networked.transfer(async |_| Ok(())).await?;
    networked.goes("relayed over TCP").await?;
    for proxy in networked.proxies.iter().flatten() {
        assert_eq!(proxy.asked(), [Asked { place: format!("{RELAY_NAME}:{HTTPS}"), status: 200 }]);
    }
    Ok(())
}

#[tokio::test]
async fn over_lines_of_150_milliseconds() -> anyhow::Result<()> {
    let Some(mut networked) = Networked::on_slow_lines(Duration::from_millis(150)).await? else { return Ok(()) };
    networked.transfer(async |_| Ok(())).await?;
    let rtt = networked.world.json(&["status", "--json"]).await?["path"]["rtt_us"].as_u64();
    assert!(rtt.is_some_and(|rtt| rtt >= 300_000), "by both lines it takes {rtt:?}");
    Ok(())
}

#[tokio::test]
async fn with_every_twentieth_packet_lost() -> anyhow::Result<()> {
    whole(Access { loss_percent: 5, ..Access::HOME }, Access::HOME).await
}

#[tokio::test]
async fn with_every_fifth_packet_lost() -> anyhow::Result<()> {
    whole(Access { loss_percent: 20, ..Access::HOME }, Access::HOME).await
}

#[tokio::test]
async fn over_the_smallest_packets_that_ipv6_allows() -> anyhow::Result<()> {
    let small = Access { mtu: 1280, ..Access::HOME };
    whole(small, Access::HOME).await?;
    whole(Access::HOME, small).await
}

#[tokio::test]
async fn where_there_is_nothing_but_ipv6() -> anyhow::Result<()> {
    whole(V6_ONLY, V6_ONLY).await
}

#[tokio::test]
async fn from_ipv4_to_ipv6_and_back() -> anyhow::Result<()> {
    whole(Access::HOME, V6_ONLY).await?;
    whole(V6_ONLY, Access::HOME).await
}

#[tokio::test]
async fn although_the_translators_forget_their_ports() -> anyhow::Result<()> {
    let (nat, options) = (behind(Nat::Symmetric), ShareOptions::behind_the_relay());
    let Some(mut networked) = Networked::start(nat, nat, options).await? else { return Ok(()) };
    let flips = async |networked: &mut Networked| {
        networked.lab.forget_translations(Side::Agent)?;
        networked.lab.forget_translations(Side::Technician)
    };
    networked.transfer(flips).await
}

#[tokio::test]
async fn although_the_provider_gives_the_agent_another_address() -> anyhow::Result<()> {
    whole_although(async |networked| networked.lab.change_wan_address(Side::Agent)).await
}

#[tokio::test]
async fn although_the_agents_machine_gets_another_address() -> anyhow::Result<()> {
    whole_although(async |networked| networked.lab.change_host_address(Side::Agent)).await
}

#[tokio::test]
async fn although_the_technicians_machine_gets_another_address() -> anyhow::Result<()> {
    whole_although(async |networked| networked.lab.change_host_address(Side::Technician)).await
}

#[tokio::test]
async fn although_the_relay_is_killed_and_restarted() -> anyhow::Result<()> {
    whole_although(async |networked| {
        networked.world.relay.kill().await?;
        networked.world.relay.restart().await
    })
    .await
}

#[tokio::test]
async fn netcheck_behind_a_cone_says_that_the_way_is_easy() -> anyhow::Result<()> {
    for nat in [Nat::FullCone, Nat::Restricted] {
        let Some((told, code)) = netcheck(behind(nat)).await? else { return Ok(()) };
        let v4 = &told["ipv4"];
        assert_eq!((code, &told["carrier"]), (0, &"udp".into()), "{told}");
        assert_eq!(v4["nat"]["kind"], "endpoint_independent", "{told}");
        assert_eq!(v4["own_addresses"], serde_json::json!([Side::Technician.lan_v4()]), "{told}");
        let seen_as = v4["seen_as"].as_str().context("the relay says")?;
        assert!(seen_as.starts_with(&format!("{}:", Side::Technician.wan_v4())), "{told}");
        assert_eq!((&v4["udp"]["reached"], &v4["tcp"]["reached"]), (&true.into(), &true.into()), "{told}");
        assert_eq!(v4["largest_udp_payload"], 1472, "{told}");
        assert_eq!(told["direct"]["likelihood"], "likely", "{told}");
        assert_eq!(told["ipv6"]["udp"], Value::Null, "{told}");
        assert_eq!(told["port_mapping"], serde_json::json!({"asked": true, "found": []}), "{told}");
    }
    Ok(())
}

#[tokio::test]
async fn netcheck_behind_a_symmetric_translator_says_that_the_way_is_hard() -> anyhow::Result<()> {
    let Some((told, code)) = netcheck(behind(Nat::Symmetric)).await? else { return Ok(()) };
    assert_eq!((code, &told["carrier"]), (0, &"udp".into()), "{told}");
    assert_eq!(told["ipv4"]["nat"]["kind"], "endpoint_dependent", "{told}");
    assert_eq!(told["direct"]["likelihood"], "unlikely", "{told}");
    let advice = told["advice"][0].as_str().context("there is something to do about it")?;
    assert!(advice.contains("RFC 4787"), "{told}");
    Ok(())
}

#[tokio::test]
async fn netcheck_where_no_udp_passes_says_what_to_ask_for() -> anyhow::Result<()> {
    let Some((told, code)) = netcheck(Access { udp_blocked: true, ..Access::HOME }).await? else { return Ok(()) };
    assert_eq!((code, &told["carrier"]), (0, &"tcp".into()), "{told}");
    assert_eq!(told["ipv4"]["udp"]["reached"], false, "{told}");
    assert_eq!(told["ipv4"]["tcp"]["certificate"], "pinned", "{told}");
    assert_eq!(told["ipv4"]["nat"]["kind"], "unknown", "{told}");
    assert_eq!(told["direct"]["likelihood"], "unlikely", "{told}");
    let port = told["relay"]["port"].as_u64().context("the relay has a port")?;
    let advice = told["advice"][0].as_str().context("there is something to do about it")?;
    assert!(advice.contains(&format!("let UDP out to {RELAY_NAME} port {port}")), "{told}");
    Ok(())
}

#[tokio::test]
async fn netcheck_behind_a_proxy_says_that_sessions_go_through_it() -> anyhow::Result<()> {
    let Some((told, code)) = netcheck(Access { closed: true, ..Access::HOME }).await? else { return Ok(()) };
    assert_eq!((code, &told["carrier"]), (0, &"tcp".into()), "{told}");
    assert_eq!((&told["ipv4"]["udp"]["reached"], &told["ipv4"]["tcp"]), (&false.into(), &Value::Null), "{told}");
    let proxy = &told["proxy"];
    let address = proxy["address"].as_str().context("it names the proxy")?;
    assert!(address.starts_with(&format!("{}:", Side::Technician.router_v4())), "{told}");
    assert_eq!((&proxy["reached"], &proxy["certificate"]), (&true.into(), &"pinned".into()), "{told}");
    assert!(told["verdict"].as_str().is_some_and(|verdict| verdict.contains(address)), "{told}");
    Ok(())
}

#[tokio::test]
async fn netcheck_over_small_packets_says_how_large_they_may_be() -> anyhow::Result<()> {
    let Some((told, code)) = netcheck(Access { mtu: 1280, ..Access::HOME }).await? else { return Ok(()) };
    assert_eq!(code, 0, "{told}");
    // 1280 less the headers of IPv4 and UDP.
    assert_eq!(told["ipv4"]["largest_udp_payload"], 1252, "{told}");
    Ok(())
}

#[tokio::test]
async fn netcheck_where_there_is_nothing_but_ipv6_says_so() -> anyhow::Result<()> {
    let Some((told, code)) = netcheck(V6_ONLY).await? else { return Ok(()) };
    assert_eq!((code, &told["carrier"]), (0, &"udp".into()), "{told}");
    assert_eq!(
        (&told["ipv4"]["udp"], &told["ipv4"]["own_addresses"]),
        (&Value::Null, &serde_json::json!([])),
        "{told}"
    );
    let v6 = &told["ipv6"];
    assert_eq!((&v6["udp"]["reached"], &v6["tcp"]["reached"]), (&true.into(), &true.into()), "{told}");
    // 1500 less the headers of IPv6 and UDP.
    assert_eq!((&v6["nat"]["kind"], &v6["largest_udp_payload"]), (&"none".into(), &1452.into()), "{told}");
    assert_eq!(told["direct"]["likelihood"], "likely", "{told}");
    Ok(())
}

//! A network in one machine: hosts and routers are network namespaces, cables are veth pairs. Needs root, `ip` and `nft`.
//!
//! ```text
//!   agent ── router ──┐                ┌── router ── technician
//!   10.1.0.2    203.0.113.10      203.0.113.20     10.2.0.2
//!   2001:db8:1::2     └─── internet ───┘           2001:db8:2::2
//!                            │
//!                       203.0.113.1  relay  2001:db8::1
//! ```
//!
//! IPv4 passes the routers by translation of addresses, IPv6 as it is. Everything is gone when the [`Lab`] is dropped.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::Write as _,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    ops::{Deref, DerefMut},
    path::PathBuf,
    process::Output,
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
};

use anyhow::{Context as _, ensure};
use tokio::sync::oneshot;

use crate::{
    connect_proxy::ConnectProxy,
    delay_link::{Conditions, DelayLink},
    programs::{Host, command},
};

/// The name of the relay, which every host knows.
pub const RELAY_NAME: &str = "relay.test";

/// Which hosts there are behind a router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The end user's machine.
    Agent,
    /// The technician's machine.
    Technician,
}

impl Side {
    const BOTH: [Self; 2] = [Self::Agent, Self::Technician];

    fn number(self) -> u8 {
        match self {
            Self::Agent => 1,
            Self::Technician => 2,
        }
    }

    fn host(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Technician => "tech",
        }
    }

    fn router(self) -> &'static str {
        match self {
            Self::Agent => "agent-nat",
            Self::Technician => "tech-nat",
        }
    }

    /// The address of its host.
    pub fn lan_v4(self) -> Ipv4Addr {
        Ipv4Addr::new(10, self.number(), 0, 2)
    }

    /// The address of its router towards its host.
    pub fn router_v4(self) -> Ipv4Addr {
        Ipv4Addr::new(10, self.number(), 0, 1)
    }

    /// The address of its router towards the internet.
    pub fn wan_v4(self) -> Ipv4Addr {
        Ipv4Addr::new(203, 0, 113, 10 * self.number())
    }

    /// The address of its host.
    pub fn v6(self) -> Ipv6Addr {
        Ipv6Addr::new(0x2001, 0xdb8, self.number().into(), 0, 0, 0, 0, 2)
    }

    fn wan_v6(self) -> Ipv6Addr {
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10 * u16::from(self.number()))
    }
}

/// How a router translates (RFC 4787 words in brackets).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nat {
    /// One port outside for one inside, open to everybody (endpoint-independent mapping and filtering).
    FullCone,
    /// One port outside for one inside, open to who was sent to (endpoint-independent mapping, address and port-dependent filtering).
    Restricted,
    /// Another port outside for everybody who is sent to (address and port-dependent mapping and filtering).
    Symmetric,
}

/// What a host's network is like.
#[derive(Debug, Clone, Copy)]
pub struct Access {
    /// Has IPv4, so translated. `None`: has none.
    pub v4: Option<Nat>,
    /// Has IPv6.
    pub v6: bool,
    /// Largest packet that fits between host and router, in bytes.
    pub mtu: u16,
    /// Packets of a hundred that the router loses, of UDP, in each direction.
    pub loss_percent: u8,
    /// The router lets no UDP pass.
    pub udp_blocked: bool,
    /// The router lets nothing pass at all; what leads out is a proxy on it ([`Lab::proxy`]).
    pub closed: bool,
}

impl Access {
    /// What a house has.
    pub const HOME: Self =
        Self { v4: Some(Nat::Restricted), v6: false, mtu: 1500, loss_percent: 0, udp_blocked: false, closed: false };
}

/// Something that runs on a machine of the lab, inside of this process. Dropping it ends it.
#[derive(Debug)]
pub struct Posted<T> {
    thing: T,
    _stop: oneshot::Sender<()>,
}

impl<T> Deref for Posted<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.thing
    }
}

impl<T> DerefMut for Posted<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.thing
    }
}

/// The network.
#[derive(Debug)]
pub struct Lab {
    id: String,
    namespaces: BTreeSet<String>,
}

impl Lab {
    /// The relay's IPv4 address.
    pub const RELAY_V4: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);

    /// The relay's IPv6 address.
    pub const RELAY_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

    /// Lays the cables. `None` where this is not permitted, after saying so loudly.
    ///
    /// # Errors
    ///
    /// When something else than the permission is missing.
    #[expect(clippy::print_stderr, reason = "a test that tests nothing says so where its output is read")]
    pub fn start(agent: Access, technician: Access) -> anyhow::Result<Option<Self>> {
        static LABS: AtomicU32 = AtomicU32::new(0);
        let number = LABS.fetch_add(1, Ordering::Relaxed);
        let mut lab = Self { id: format!("as{}-{number}", std::process::id()), namespaces: BTreeSet::new() };
        let first = output(&["ip", "netns", "add", &lab.name("internet")])?;
        if !first.status.success() {
            let why = String::from_utf8_lossy(&first.stderr).trim().to_owned();
            ensure!(why.contains("not permitted") || why.contains("denied"), "ip netns add: {why}");
            eprintln!("SKIPPED, NOTHING WAS TESTED: this user may not make network namespaces ({why}); run as root");
            return Ok(None);
        }
        lab.namespaces.insert("internet".to_owned());
        lab.in_("internet", "ip link set lo up")?;
        lab.in_("internet", "ip link add cloud type bridge")?;
        lab.in_("internet", "ip link set cloud up")?;
        lab.add("relay")?;
        lab.join_internet("relay", Self::RELAY_V4, Self::RELAY_V6)?;
        for (side, access) in Side::BOTH.into_iter().zip([agent, technician]) {
            lab.add(side.host())?;
            lab.add(side.router())?;
            lab.build(side, access)?;
        }
        lab.tell_routes([agent, technician])?;
        Ok(Some(lab))
    }

    /// The relay's machine.
    pub fn relay(&self) -> Host {
        Host::in_namespace(&self.name("relay"))
    }

    /// A side's machine.
    pub fn host(&self, side: Side) -> Host {
        Host::in_namespace(&self.name(side.host()))
    }

    /// Starts a proxy on a side's router, at [`Side::router_v4`], that leads to `port` of the relay by its name and to nothing else.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub fn proxy(&self, side: Side, port: u16) -> anyhow::Result<Posted<ConnectProxy>> {
        let place = (format!("{RELAY_NAME}:{port}"), (Self::RELAY_V4, port).into());
        self.post(side.router(), async move || Ok(ConnectProxy::start_on(side.router_v4(), [place])?))
    }

    /// Starts a slow line in front of the relay, whose UDP address on its own machine is `target`. It is reached at [`Lab::RELAY_V4`].
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub fn slow_line(&self, target: SocketAddr, conditions: Conditions) -> anyhow::Result<Posted<DelayLink>> {
        self.post("relay", async move || Ok(DelayLink::start_on(Self::RELAY_V4, target, conditions).await?))
    }

    /// Starts something on a side's machine, inside of this process: on a thread of its own, whose sockets and tasks are that machine's.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub fn post_at<T: Send + 'static>(
        &self,
        side: Side,
        start: impl AsyncFnOnce() -> anyhow::Result<T> + Send + 'static,
    ) -> anyhow::Result<Posted<T>> {
        self.post(side.host(), start)
    }

    /// As [`Lab::post_at`], on the relay's machine.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub fn post_at_relay<T: Send + 'static>(
        &self,
        start: impl AsyncFnOnce() -> anyhow::Result<T> + Send + 'static,
    ) -> anyhow::Result<Posted<T>> {
        self.post("relay", start)
    }

    fn post<T: Send + 'static>(
        &self,
        host: &str,
        start: impl AsyncFnOnce() -> anyhow::Result<T> + Send + 'static,
    ) -> anyhow::Result<Posted<T>> {
        let machine = Host::in_namespace(&self.name(host));
        let (ready, started) = mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let begin = move || {
            machine.enter()?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let thing = runtime.block_on(start())?;
            anyhow::Ok((runtime, thing))
        };
        std::thread::Builder::new().name(host.to_owned()).spawn(move || match begin() {
            Ok((runtime, thing)) => {
                if ready.send(Ok(thing)).is_ok() {
                    // Nothing is ever sent: an error is the end.
                    let _ = runtime.block_on(stopped);
                }
            }
            Err(error) => drop(ready.send(Err(error))),
        })?;
        let thing = started.recv().context("the thread has ended")??;
        Ok(Posted { thing, _stop: stop })
    }

    /// The provider gives a router another address; translations that were there are forgotten.
    ///
    /// # Errors
    ///
    /// When a command fails.
    pub fn change_wan_address(&self, side: Side) -> anyhow::Result<()> {
        let old = side.wan_v4();
        let [a, b, c, d] = old.octets();
        self.in_(side.router(), &format!("ip addr del {old}/24 dev wan"))?;
        self.in_(side.router(), &format!("ip addr add {a}.{b}.{c}.{}/24 dev wan", d + 5))
    }

    /// A router forgets its translations, as when it was restarted: the same host gets other ports.
    ///
    /// # Errors
    ///
    /// When a command fails.
    pub fn forget_translations(&self, side: Side) -> anyhow::Result<()> {
        self.in_(side.router(), "ip link set wan down")?;
        self.in_(side.router(), "ip link set wan up")
    }

    /// The host itself gets another address, as when it changes from cable to radio.
    ///
    /// # Errors
    ///
    /// When a command fails.
    pub fn change_host_address(&self, side: Side) -> anyhow::Result<()> {
        let number = side.number();
        self.in_(side.host(), &format!("ip addr del 10.{number}.0.2/24 dev lan"))?;
        self.in_(side.host(), &format!("ip addr add 10.{number}.0.3/24 dev lan"))?;
        self.in_(side.host(), &format!("ip route add default via 10.{number}.0.1"))
    }

    fn build(&self, side: Side, access: Access) -> anyhow::Result<()> {
        let (host, router, number) = (side.host(), side.router(), side.number());
        self.join_internet(router, side.wan_v4(), side.wan_v6())?;
        let peer = self.name(host);
        self.in_(router, &format!("ip link add lan mtu {} type veth peer name lan netns {peer}", access.mtu))?;
        self.in_(host, &format!("ip link set lan mtu {} up", access.mtu))?;
        // As most distributions set it up: everybody may send echo requests.
        self.set(host, "net/ipv4/ping_group_range", "0 2147483647")?;
        self.in_(router, "ip link set lan up")?;
        // Packets are cut to size by the sender's own card otherwise, and a router never sees one that is too large.
        for (place, card) in [(router, "lan"), (router, "wan"), (host, "lan")] {
            self.in_(place, &format!("ip link set {card} gso_max_segs 1"))?;
        }
        let mut rules = String::from("table inet pass {\n chain forward { type filter hook forward priority 0;\n");
        if access.closed {
            rules.push_str("  drop;\n");
        }
        if access.udp_blocked {
            rules.push_str("  meta l4proto udp drop;\n");
        }
        if access.loss_percent > 0 {
            rules.push_str(&format!("  meta l4proto udp numgen random mod 100 < {} drop;\n", access.loss_percent));
        }
        rules.push_str(" }\n");
        // As routers at home do. Without it a packet from outside that nobody here wants takes the port that its translation would get.
        rules.push_str(
            " chain input { type filter hook input priority 0; iifname \"wan\" meta l4proto udp drop; }\n}\n",
        );
        if let Some(nat) = access.v4 {
            self.in_(router, &format!("ip addr add 10.{number}.0.1/24 dev lan"))?;
            self.in_(host, &format!("ip addr add 10.{number}.0.2/24 dev lan"))?;
            self.in_(host, &format!("ip route add default via 10.{number}.0.1"))?;
            let how = if nat == Nat::Symmetric { "masquerade fully-random" } else { "masquerade" };
            rules.push_str(&format!(
                "table ip translate {{\n chain out {{ type nat hook postrouting priority 100; oifname \"wan\" {how}; }}\n"
            ));
            if nat == Nat::FullCone {
                rules.push_str(&format!(
                    " chain in {{ type nat hook prerouting priority -100; iifname \"wan\" meta l4proto udp dnat to {}; }}\n",
                    side.lan_v4()
                ));
            }
            rules.push_str("}\n");
        }
        if access.v6 {
            self.in_(router, &format!("ip addr add 2001:db8:{number}::1/64 dev lan nodad"))?;
            self.in_(host, &format!("ip addr add {}/64 dev lan nodad", side.v6()))?;
            self.in_(host, &format!("ip -6 route add default via 2001:db8:{number}::1"))?;
        }
        self.load_rules(router, &rules)?;
        self.forwards(router)
    }

    /// IPv6 is not translated, so everybody outside has to know the way to the hosts.
    fn tell_routes(&self, accesses: [Access; 2]) -> anyhow::Result<()> {
        let addresses = |access: Access| {
            let v4 = access.v4.map(|_| Self::RELAY_V4.to_string());
            v4.into_iter().chain(access.v6.then(|| Self::RELAY_V6.to_string()))
        };
        for (side, access) in Side::BOTH.into_iter().zip(accesses) {
            let lines = addresses(access).map(|address| format!("{address} {RELAY_NAME}\n")).collect::<String>();
            fs::create_dir_all(self.etc(side.host())).context("/etc/netns cannot be written")?;
            File::create(self.etc(side.host()).join("hosts"))?.write_all(lines.as_bytes())?;
            if !access.v6 {
                continue;
            }
            let route = format!("ip -6 route add 2001:db8:{}::/64 via {}", side.number(), side.wan_v6());
            self.in_("relay", &route)?;
            for other in Side::BOTH.into_iter().filter(|other| *other != side) {
                self.in_(other.router(), &route)?;
            }
        }
        Ok(())
    }

    fn forwards(&self, router: &str) -> anyhow::Result<()> {
        self.set(router, "net/ipv4/ip_forward", "1")?;
        self.set(router, "net/ipv6/conf/all/forwarding", "1")
    }

    /// Changes a setting of the kernel's for one machine.
    fn set(&self, host: &str, setting: &str, value: &str) -> anyhow::Result<()> {
        let script = format!("echo '{value}' > /proc/sys/{setting}");
        run(&["ip", "netns", "exec", &self.name(host), "sh", "-c", &script])
    }

    fn add(&mut self, host: &str) -> anyhow::Result<()> {
        run(&["ip", "netns", "add", &self.name(host)])?;
        self.namespaces.insert(host.to_owned());
        self.in_(host, "ip link set lo up")
    }

    fn join_internet(&self, host: &str, v4: Ipv4Addr, v6: Ipv6Addr) -> anyhow::Result<()> {
        let internet = self.name("internet");
        self.in_(host, &format!("ip link add wan type veth peer name {host} netns {internet}"))?;
        self.in_("internet", &format!("ip link set {host} master cloud up"))?;
        self.in_(host, &format!("ip addr add {v4}/24 dev wan"))?;
        self.in_(host, &format!("ip addr add {v6}/64 dev wan nodad"))?;
        self.in_(host, "ip link set wan up")
    }

    fn load_rules(&self, router: &str, rules: &str) -> anyhow::Result<()> {
        run(&["ip", "netns", "exec", &self.name(router), "nft", rules])
    }

    /// Runs an `ip` command, given with its first word, in a namespace.
    fn in_(&self, host: &str, line: &str) -> anyhow::Result<()> {
        let name = self.name(host);
        let words = line.split_whitespace().skip(1);
        run(&["ip", "-n", &name].into_iter().chain(words).collect::<Vec<_>>())
    }

    fn name(&self, host: &str) -> String {
        format!("{}-{host}", self.id)
    }

    /// What a namespace sees in place of `/etc` (ip-netns(8)).
    fn etc(&self, host: &str) -> PathBuf {
        PathBuf::from("/etc/netns").join(self.name(host))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for host in &self.namespaces {
            // What is left behind is only untidy.
            let _ = output(&["ip", "netns", "del", &self.name(host)]);
            let _ = fs::remove_dir_all(self.etc(host));
        }
    }
}

fn run(words: &[&str]) -> anyhow::Result<()> {
    let done = output(words)?;
    ensure!(done.status.success(), "{}: {}", words.join(" "), String::from_utf8_lossy(&done.stderr));
    Ok(())
}

fn output(words: &[&str]) -> anyhow::Result<Output> {
    let (program, arguments) = words.split_first().context("a command has a name")?;
    let mut command = command(program);
    command.as_std_mut().args(arguments).output().with_context(|| format!("{program} is missing"))
}

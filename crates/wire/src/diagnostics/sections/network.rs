//! Links, addresses, routes, neighbours, name servers, proxies, wireless.

use crate::{closed, schema, text::Label};

schema! {
    /// Links, addresses, routes, neighbours, name servers, proxies, wireless.
    #[derive(Default)]
    pub struct Network {
        /// Links, loopback included; at most [`MAX_LINKS`].
        nested links: Vec<Link>,
        /// Addresses of the links; at most [`MAX_ADDRESSES`].
        nested addresses: Vec<Address>,
        /// Ways to everywhere; at most [`MAX_DEFAULT_ROUTES`].
        nested default_routes: Vec<DefaultRoute>,
        /// Other routes of IPv4 to somewhere, those that the kernel makes for itself left out.
        technical other_routes_v4: u32,
        /// The same of IPv6.
        technical other_routes_v6: u32,
        /// Machines on the same links, by how they are known.
        nested neighbours: Neighbours,
        /// Who translates names.
        nested resolver: Resolver,
        /// NetworkManager, where it runs.
        nested manager: Option<NetworkManager>,
        /// Proxies that the system, or the person at the machine, is set to use; at most [`MAX_PROXIES`].
        nested proxies: Vec<Proxy>,
        /// Wireless links; at most [`MAX_WIRELESS`].
        nested wireless: Vec<Wireless>,
    }

    /// One link.
    pub struct Link {
        /// Its name: `wlan0`, but also one that an administrator gave, or one made of its hardware address.
        network name: Label,
        /// What it is.
        technical kind: LinkKind,
        /// The kernel's word for a link without hardware, such as `veth` or `wireguard`; blank for hardware.
        technical driver: Label,
        /// Whether an administrator has switched it on.
        technical enabled: bool,
        /// Whether it carries traffic (RFC 2863).
        technical state: LinkState,
        /// Whether something is at the other end; absent where the link cannot tell.
        technical carrier: Option<bool>,
        /// How often that has changed since the link was made.
        technical carrier_changes: u32,
        /// Largest packet in bytes.
        technical mtu: u32,
        /// Speed in Mbit/s; absent where the link does not tell, as wireless ones do not.
        technical speed_mbit_s: Option<u32>,
        /// Whether both ends may send at once; absent where the link does not tell.
        technical full_duplex: Option<bool>,
        /// Hardware address; blank if it has none.
        identifier hardware_address: Label,
        /// Received since the link was made.
        technical rx_bytes: u64,
        /// Sent since the link was made.
        technical tx_bytes: u64,
        /// Packets received since the link was made.
        technical rx_packets: u64,
        /// Packets sent since the link was made.
        technical tx_packets: u64,
        /// Packets received with an error since the link was made.
        technical rx_errors: u64,
        /// Packets that could not be sent since the link was made.
        technical tx_errors: u64,
        /// Packets received and thrown away since the link was made.
        technical rx_drops: u64,
        /// Packets thrown away instead of being sent since the link was made.
        technical tx_drops: u64,
    }

    /// One address of a link.
    pub struct Address {
        /// The link.
        network link: Label,
        /// Address and length of its network, such as `192.168.1.20/24`.
        network address: Label,
        /// IPv4 or IPv6.
        technical family: Family,
        /// How far it reaches.
        technical scope: Scope,
        /// Whether it can be used.
        technical state: AddressState,
        /// Whether it was given for a time only, as by DHCP or a router.
        technical leased: bool,
        /// Seconds that it is valid for; absent if for ever.
        technical valid_secs: Option<u32>,
    }

    /// One way to everywhere.
    pub struct DefaultRoute {
        /// IPv4 or IPv6.
        technical family: Family,
        /// The link that it leads through.
        network link: Label,
        /// The gateway; blank if the link leads there without one.
        network gateway: Label,
        /// How the gateway is known on the link.
        technical gateway_state: GatewayState,
        /// The smaller, the rather it is taken.
        technical metric: u32,
        /// Table of routes that it stands in; 254 is the main one.
        technical table: u32,
        /// Who made it.
        technical origin: RouteOrigin,
    }

    /// Machines on the same links, by state (`NUD_*` of `linux/neighbour.h`).
    #[derive(Copy, Default)]
    pub struct Neighbours {
        /// Heard of a moment ago.
        technical reachable: u32,
        /// Not heard of for a while.
        technical stale: u32,
        /// Being asked for.
        technical probing: u32,
        /// They do not answer.
        technical failed: u32,
        /// Entered by hand.
        technical permanent: u32,
    }

    /// Who translates names.
    #[derive(Default)]
    pub struct Resolver {
        /// Servers, those of `resolv.conf` first; at most [`MAX_NAME_SERVERS`].
        nested servers: Vec<NameServer>,
        /// Domains that short names are looked for in; at most [`MAX_SEARCH`].
        network search: Vec<Label>,
        /// How systemd-resolved says that `resolv.conf` is made, such as `stub` or `foreign`; blank where it does not run.
        technical resolv_conf_mode: Label,
        /// Whether answers are checked, in the words of systemd-resolved; blank where it does not run.
        technical dnssec: Label,
        /// Whether questions are encrypted, in the words of systemd-resolved; blank where it does not run.
        technical dns_over_tls: Label,
    }

    /// One name server.
    pub struct NameServer {
        /// Its address.
        network address: Label,
        /// Who names it.
        technical source: ServerSource,
        /// The link that it is asked through; blank if any.
        network link: Label,
        /// Whether it is on this machine, as a cache that asks others.
        technical local: bool,
        /// Whether systemd-resolved asks it now.
        technical current: bool,
    }

    /// What NetworkManager says.
    pub struct NetworkManager {
        /// What it has come to.
        technical state: ManagerState,
        /// What it found of the way to the internet.
        technical connectivity: Connectivity,
        /// Whether it looks for that at all.
        technical checks_connectivity: bool,
        /// Kind of the connection that leads out, such as `802-11-wireless`; blank if none does.
        technical primary_kind: Label,
        /// Whether that connection costs by volume.
        technical metered: bool,
        /// Whether wireless is switched on, in software and in hardware.
        technical wireless_enabled: bool,
    }

    /// One proxy. What it asks as a name and a password is never read.
    pub struct Proxy {
        /// Who is set to use it.
        technical source: ProxySource,
        /// What for, such as `http` or `https`; `automatic` where a script or the network names the proxy.
        technical purpose: Label,
        /// The proxy, or where the script is; blank where the network is asked, or the script is a file.
        network host: Label,
        /// Its port; 0 if none is said.
        technical port: u16,
        /// Whether a name or a password stands in the setting.
        technical has_credentials: bool,
    }

    /// One wireless link.
    pub struct Wireless {
        /// Its name.
        network link: Label,
        /// Name of the network; blank if there is none.
        network ssid: Label,
        /// Hardware address of the access point; blank if there is none.
        network bssid: Label,
        /// Strength of its signal.
        technical signal_dbm: Option<i32>,
        /// Frequency in MHz.
        technical frequency_mhz: Option<u32>,
        /// Channel (IEEE 802.11, annex E); absent outside of the bands that are known.
        technical channel: Option<u16>,
        /// Rate of the last frame received, in kbit/s.
        technical rx_kbit_s: Option<u32>,
        /// Rate of the last frame sent, in kbit/s.
        technical tx_kbit_s: Option<u32>,
        /// Seconds since it joined this access point: a short time on a machine that has not moved is a sign of roaming.
        technical connected_secs: Option<u32>,
        /// Frames sent again.
        technical tx_retries: Option<u32>,
        /// Frames given up.
        technical tx_failed: Option<u32>,
        /// Beacons of the access point that were not heard.
        technical beacon_losses: Option<u32>,
    }
}

/// Most links: a host of containers has more, and nobody reads them.
pub const MAX_LINKS: usize = 64;

/// Most addresses.
pub const MAX_ADDRESSES: usize = 128;

/// Most ways to everywhere.
pub const MAX_DEFAULT_ROUTES: usize = 16;

/// Most name servers; the C library reads three.
pub const MAX_NAME_SERVERS: usize = 16;

/// Most domains that are searched; the C library reads six, newer ones all.
pub const MAX_SEARCH: usize = 16;

/// Most proxies.
pub const MAX_PROXIES: usize = 32;

/// Most wireless links.
pub const MAX_WIRELESS: usize = 8;

closed! {
    /// What a link is.
    pub enum LinkKind {
        /// This machine itself.
        Loopback = "loopback",
        /// A cable.
        Ethernet = "ethernet",
        /// Radio to an access point.
        Wireless = "wireless",
        /// Radio to a mobile network.
        Mobile = "mobile",
        /// Several links switched together.
        Bridge = "bridge",
        /// Several links used as one.
        Bond = "bond",
        /// A part of another link.
        Vlan = "vlan",
        /// A way through another network: WireGuard, tun, GRE and the like.
        Tunnel = "tunnel",
        /// Something without hardware, as containers have.
        Virtual = "virtual",
        /// Anything else.
        Other = "other",
    }

    /// Whether a link carries traffic (RFC 2863, `ifOperStatus`).
    pub enum LinkState {
        /// It does.
        Up = "up",
        /// It does not.
        Down = "down",
        /// It waits for something outside, such as an access point's consent.
        Dormant = "dormant",
        /// What it rests on is down.
        LowerDown = "lower_down",
        /// It does not tell, as tunnels do not.
        Unknown = "unknown",
    }

    /// The version of the internet protocol.
    pub enum Family {
        /// IPv4.
        V4 = "v4",
        /// IPv6.
        V6 = "v6",
    }

    /// How far an address reaches.
    pub enum Scope {
        /// Everywhere, as far as the routers on the way know it.
        Global = "global",
        /// One site.
        Site = "site",
        /// One link.
        Link = "link",
        /// This machine.
        Host = "host",
    }

    /// Whether an address can be used.
    pub enum AddressState {
        /// It can.
        Usable = "usable",
        /// It is being looked whether another machine has it.
        Tentative = "tentative",
        /// Another machine has it.
        Duplicate = "duplicate",
        /// It is not taken for new connections.
        Deprecated = "deprecated",
    }

    /// How a gateway is known on its link.
    pub enum GatewayState {
        /// There is no gateway: the link itself leads there.
        None = "none",
        /// Heard of a moment ago.
        Reachable = "reachable",
        /// Not heard of for a while; that is no fault.
        Stale = "stale",
        /// Being asked for.
        Probing = "probing",
        /// It does not answer.
        Failed = "failed",
        /// Entered by hand.
        Permanent = "permanent",
        /// Nobody has asked for it.
        Unknown = "unknown",
    }

    /// Who made a route (`RTPROT_*` of `linux/rtnetlink.h`).
    pub enum RouteOrigin {
        /// The kernel.
        Kernel = "kernel",
        /// An administrator, as the system starts.
        Boot = "boot",
        /// An administrator, by hand.
        Static = "static",
        /// A DHCP server.
        Dhcp = "dhcp",
        /// A router's advertisement.
        Router = "router",
        /// A routing daemon, or somebody else.
        Other = "other",
    }

    /// Who names a name server.
    pub enum ServerSource {
        /// `/etc/resolv.conf`.
        ResolvConf = "resolv_conf",
        /// systemd-resolved.
        Resolved = "resolved",
    }

    /// What NetworkManager has come to (`NMState`).
    pub enum ManagerState {
        /// It does not know.
        Unknown = "unknown",
        /// Networking is switched off.
        Asleep = "asleep",
        /// Nothing is connected.
        Disconnected = "disconnected",
        /// On the way to or from a connection.
        Changing = "changing",
        /// The link alone is connected.
        LocalOnly = "local_only",
        /// The site is connected.
        SiteOnly = "site_only",
        /// The internet is connected.
        Connected = "connected",
    }

    /// What was found of the way to the internet (`NMConnectivityState`).
    pub enum Connectivity {
        /// It was not looked for.
        Unknown = "unknown",
        /// There is none.
        None = "none",
        /// A portal wants something first.
        Portal = "portal",
        /// A network, without the internet.
        Limited = "limited",
        /// The internet.
        Full = "full",
    }

    /// Where a proxy is set.
    pub enum ProxySource {
        /// `/etc/environment`.
        Environment = "environment",
        /// `/etc/environment.d`.
        EnvironmentFolder = "environment_d",
        /// `/etc/sysconfig/proxy`.
        Sysconfig = "sysconfig",
        /// apt's settings.
        Apt = "apt",
        /// dnf's settings.
        Dnf = "dnf",
        /// The settings of GNOME, or of a desktop that came from it, of the person at the machine.
        Gnome = "gnome",
        /// The settings of KDE of the person at the machine.
        Kde = "kde",
        /// A connection of NetworkManager.
        NetworkManager = "network_manager",
    }
}

//! Routers that are made up, on loopback addresses.

use std::sync::Mutex;

use rand_core::{OsRng, RngCore};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UdpSocket as Socket},
    task::JoinSet,
};

use super::*;

const PORT: NonZeroU16 = NonZeroU16::new(40_001).unwrap();
const EXTERNAL: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 77);
const PATIENT: Duration = Duration::from_secs(30);

/// What a router was asked, in order.
type Asked = Arc<Mutex<Vec<String>>>;

fn nowhere() -> SocketAddr {
    // Bound and never read: a search that nobody answers.
    SocketAddr::from(([127, 0, 0, 1], 9))
}

/// A network in which nothing changes.
fn the_same_network() -> NetworkChanges {
    NetworkChanges::of(&NodeSocket::bind(None, crate::udp::Offloading::Never).unwrap())
}

/// Keeps a mapping until the test has seen the address, then lets it be removed.
async fn keep_and_let_go(ways: Ways) -> Option<SocketAddr> {
    let observation = Observation::default();
    let wanted = CancellationToken::new();
    let look = async {
        let mapped = loop {
            observation.mapping_changed().await;
            if let Some(mapped) = observation.mapped() {
                break mapped;
            }
        };
        wanted.cancel();
        mapped
    };
    let mut network = the_same_network();
    let keep = keep(&observation, PORT, || ways, &mut network, &wanted);
    let kept = async { tokio::join!(keep, look).1 };
    let mapped = timeout(PATIENT, kept).await.expect("the router answers");
    assert_eq!(observation.mapped(), None, "not a candidate any more");
    Some(mapped)
}

/// A router that speaks NAT-PMP alone (RFC 6886).
async fn nat_pmp(socket: Socket, asked: Asked) {
    let mut packet = [0; 1100];
    loop {
        let Ok((len, from)) = socket.recv_from(&mut packet).await else { return };
        let packet = &packet[..len];
        let epoch = [0, 0, 1, 0];
        let answer = match (packet[0], packet[1]) {
            (0, 0) => [&[0, 128, 0, 0][..], &epoch, &EXTERNAL.octets()].concat(),
            (0, 1) => {
                let lifetime = u32::from_be_bytes(packet[8..12].try_into().unwrap());
                asked.lock().unwrap().push(if lifetime == 0 { "remove" } else { "map" }.to_owned());
                [&[0, 129, 0, 0][..], &epoch, &packet[4..6], &packet[6..8], &packet[8..12]].concat()
            }
            // Another version: this one is spoken here.
            (_, operation) => [&[0, operation | 128, 0, 1][..], &epoch].concat(),
        };
        socket.send_to(&answer, from).await.unwrap();
    }
}

async fn start_nat_pmp(asked: &Asked) -> (Ipv4Addr, JoinSet<()>) {
    // The port is the protocol's; of the loopback addresses any will do.
    let (gateway, socket) = loop {
        let [_, b, c, d] = OsRng.next_u32().to_be_bytes();
        let gateway = Ipv4Addr::new(127, b | 1, c, d | 1);
        if let Ok(socket) = Socket::bind((gateway, crab_nat::GATEWAY_PORT)).await {
            break (gateway, socket);
        }
    };
    let mut tasks = JoinSet::new();
    tasks.spawn(nat_pmp(socket, Arc::clone(asked)));
    (gateway, tasks)
}

#[tokio::test]
async fn a_router_that_speaks_nat_pmp_forwards_a_port_until_it_is_not_wanted() {
    let asked = Asked::default();
    let (gateway, _tasks) = start_nat_pmp(&asked).await;
    let mapped = keep_and_let_go(Ways { gateway: Some(gateway), search: nowhere() }).await;
    assert_eq!(mapped, Some(SocketAddr::from((EXTERNAL, PORT.get()))));
    assert_eq!(*asked.lock().unwrap(), ["map", "remove"]);
}

const DESCRIPTION: &str = r#"<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0"><device>
<deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType><deviceList><device>
<deviceType>urn:schemas-upnp-org:device:WANDevice:1</deviceType><deviceList><device>
<deviceType>urn:schemas-upnp-org:device:WANConnectionDevice:1</deviceType><serviceList><service>
<serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType><controlURL>/control</controlURL><SCPDURL>/scpd</SCPDURL>
</service></serviceList></device></deviceList></device></deviceList></device></root>"#;

const ACTIONS: &str = r#"<?xml version="1.0"?><scpd xmlns="urn:schemas-upnp-org:service-1-0"><actionList>
<action><name>AddPortMapping</name><argumentList>
<argument><name>NewRemoteHost</name><direction>in</direction></argument><argument><name>NewExternalPort</name><direction>in</direction></argument>
<argument><name>NewProtocol</name><direction>in</direction></argument><argument><name>NewInternalPort</name><direction>in</direction></argument>
<argument><name>NewInternalClient</name><direction>in</direction></argument><argument><name>NewEnabled</name><direction>in</direction></argument>
<argument><name>NewPortMappingDescription</name><direction>in</direction></argument><argument><name>NewLeaseDuration</name><direction>in</direction></argument>
</argumentList></action>
<action><name>DeletePortMapping</name><argumentList>
<argument><name>NewRemoteHost</name><direction>in</direction></argument><argument><name>NewExternalPort</name><direction>in</direction></argument>
<argument><name>NewProtocol</name><direction>in</direction></argument></argumentList></action>
<action><name>GetExternalIPAddress</name><argumentList>
<argument><name>NewExternalIPAddress</name><direction>out</direction></argument></argumentList></action></actionList></scpd>"#;

/// One request to a router that speaks UPnP, and its answer.
async fn serve_upnp(mut stream: TcpStream, asked: Asked) {
    let mut request = Vec::new();
    let whole = loop {
        let mut piece = [0; 4096];
        let Ok(read) = stream.read(&mut piece).await else { return };
        request.extend_from_slice(&piece[..read]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { if read == 0 { return } else { continue } };
        let length = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
        if read == 0 || body.len() >= length.unwrap_or(0) {
            break text;
        }
    };
    let envelope = |inner: &str| {
        format!(
            "<?xml version=\"1.0\"?><s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body>{inner}</s:Body></s:Envelope>"
        )
    };
    let service = "xmlns:u=\"urn:schemas-upnp-org:service:WANIPConnection:1\"";
    let said = |action: &str, inner: &str| {
        asked.lock().unwrap().push(action.to_owned());
        envelope(&format!("<u:{action}Response {service}>{inner}</u:{action}Response>"))
    };
    let body = if whole.starts_with("GET /scpd") {
        ACTIONS.to_owned()
    } else if whole.starts_with("GET ") {
        DESCRIPTION.to_owned()
    } else if whole.contains("#AddPortMapping") {
        said("AddPortMapping", "")
    } else if whole.contains("#DeletePortMapping") {
        said("DeletePortMapping", "")
    } else {
        said("GetExternalIPAddress", &format!("<NewExternalIPAddress>{EXTERNAL}</NewExternalIPAddress>"))
    };
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let _ = stream.write_all(answer.as_bytes()).await;
}

/// A router that speaks UPnP, and where it is searched for.
async fn start_upnp(asked: &Asked) -> (SocketAddr, JoinSet<()>) {
    let search = Socket::bind("127.0.0.1:0").await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (searched_at, at) = (search.local_addr().unwrap(), listener.local_addr().unwrap());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut packet = [0; 2048];
        while let Ok((_, from)) = search.recv_from(&mut packet).await {
            let answer = format!(
                "HTTP/1.1 200 OK\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\nLOCATION: http://{at}/root.xml\r\n\r\n"
            );
            search.send_to(answer.as_bytes(), from).await.unwrap();
        }
    });
    let log = Arc::clone(asked);
    tasks.spawn(async move {
        let mut requests = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            requests.spawn(serve_upnp(stream, Arc::clone(&log)));
        }
    });
    (searched_at, tasks)
}

#[tokio::test]
async fn a_router_that_speaks_upnp_forwards_a_port_until_it_is_not_wanted() {
    let asked = Asked::default();
    let (searched_at, _tasks) = start_upnp(&asked).await;
    let mapped = keep_and_let_go(Ways { gateway: None, search: searched_at }).await;
    assert_eq!(mapped, Some(SocketAddr::from((EXTERNAL, PORT.get()))));
    assert_eq!(*asked.lock().unwrap(), ["AddPortMapping", "GetExternalIPAddress", "DeletePortMapping"]);
}

#[tokio::test]
async fn what_a_router_speaks_is_found_out_and_nothing_stays_mapped() {
    let (by_nat, by_upnp) = (Asked::default(), Asked::default());
    let (gateway, _nat) = start_nat_pmp(&by_nat).await;
    let (search, _upnp) = start_upnp(&by_upnp).await;
    let found = found_by(Ways { gateway: Some(gateway), search }).await;
    let protocols = found.iter().map(|mapping| mapping.protocol).collect::<Vec<_>>();
    assert_eq!(protocols, [MappingProtocol::NatPmp, MappingProtocol::Upnp]);
    assert!(found.iter().all(|mapping| mapping.external.ip() == EXTERNAL && mapping.leads_in()), "{found:?}");
    assert_ne!(found[0].external, found[1].external, "one port is not asked for by both");
    assert_eq!(*by_nat.lock().unwrap(), ["map", "remove"]);
    assert_eq!(by_upnp.lock().unwrap().last().map(String::as_str), Some("DeletePortMapping"));
}

#[tokio::test]
async fn nobody_waits_for_a_router_that_is_not_there() {
    let observation = Observation::default();
    let wanted = CancellationToken::new();
    wanted.cancel();
    let ways = || Ways { gateway: None, search: nowhere() };
    timeout(Duration::from_secs(5), keep(&observation, PORT, ways, &mut the_same_network(), &wanted))
        .await
        .expect("it is not wanted");
    assert_eq!(observation.mapped(), None);
}

#[test]
fn an_address_behind_another_router_is_no_candidate() {
    for ip in ["192.168.1.1", "10.0.0.1", "100.64.0.1", "127.0.0.1", "0.0.0.0", "fd00::1"] {
        assert!(!is_of_the_internet(ip.parse().unwrap()), "{ip}");
    }
    assert!(is_of_the_internet("198.51.100.77".parse().unwrap()));
}

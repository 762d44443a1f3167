//! A network between two programs: slow, lossy, or in the hands of somebody hostile.
//!
//! A proxy for UDP on loopback. Every client that sends to [`DelayLink::address`] gets a socket of its own towards the target,
//! as behind a NAT, so that the target tells clients apart and answers find their way back.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    net::UdpSocket,
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep_until},
};

/// Packets that may wait in the link; more are dropped as by a full router. Enough for 1 Gbit/s at 50 ms.
const QUEUE_PACKETS: usize = 4096;

/// Larger than any UDP datagram on loopback.
const DATAGRAM_BYTES: usize = 65_536;

/// What the network does to a datagram. Shares are in thousandths of all datagrams, each drawn for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Conditions {
    /// Time from one end to the other; a round trip takes twice as long.
    pub one_way: Duration,
    /// Share that never arrives.
    pub loss: u16,
    /// Share that is held back for another [`Conditions::one_way`] and at least 5 ms, so that later ones overtake it.
    pub reorder: u16,
    /// Share that arrives twice.
    pub duplicate: u16,
    /// Share that arrives without its second half.
    pub truncate: u16,
    /// Share that arrives with one bit turned over.
    pub corrupt: u16,
    /// Two links with the same seed and the same datagrams draw the same lots.
    pub seed: u64,
}

impl Conditions {
    /// A perfect network with a delay.
    pub fn delay(one_way: Duration) -> Self {
        Self { one_way, ..Self::default() }
    }
}

/// Which way a datagram goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// From a client of the link to the target.
    ToTarget,
    /// From the target to a client.
    ToClient,
}

/// What passed the link in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Datagrams that the sender sent.
    pub datagrams: u64,
    /// Their payload in bytes.
    pub bytes: u64,
    /// Datagrams of these that were never delivered, for whatever reason.
    pub lost: u64,
}

/// Sees every datagram and says what arrives in its place: nothing, the same, something else, or several.
pub type Tamper = Box<dyn FnMut(Direction, Vec<u8>) -> Vec<Vec<u8>> + Send>;

/// The link. Dropping it closes its sockets: both sides meet silence.
pub struct DelayLink {
    address: SocketAddr,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

impl DelayLink {
    /// Opens a link on a free loopback port.
    ///
    /// # Errors
    ///
    /// When no socket can be had.
    pub async fn start(target: SocketAddr, conditions: Conditions) -> io::Result<Self> {
        Self::with_tamper(target, conditions, Box::new(|_, datagram| vec![datagram])).await
    }

    /// As [`DelayLink::start`], with somebody hostile in it who acts before the network does.
    ///
    /// # Errors
    ///
    /// When no socket can be had.
    pub async fn with_tamper(target: SocketAddr, conditions: Conditions, tamper: Tamper) -> io::Result<Self> {
        Self::bind(Ipv4Addr::LOCALHOST, target, conditions, tamper).await
    }

    /// As [`DelayLink::start`], for clients at other machines, who send to `front`. The target is on this one.
    ///
    /// # Errors
    ///
    /// When no socket can be had.
    pub async fn start_on(front: Ipv4Addr, target: SocketAddr, conditions: Conditions) -> io::Result<Self> {
        Self::bind(front, target, conditions, Box::new(|_, datagram| vec![datagram])).await
    }

    async fn bind(front: Ipv4Addr, target: SocketAddr, conditions: Conditions, tamper: Tamper) -> io::Result<Self> {
        let front = Arc::new(UdpSocket::bind((front, 0)).await?);
        let address = front.local_addr()?;
        let lots = Lots(conditions.seed);
        let state =
            State { conditions, cut: false, to_target: Traffic::default(), to_client: Traffic::default(), lots };
        let shared = Arc::new(Shared { state: Mutex::new(state), tamper: Mutex::new(tamper) });
        let (enter, queue) = mpsc::channel(QUEUE_PACKETS);
        let mut tasks = JoinSet::new();
        tasks.spawn(deliver(queue));
        tasks.spawn(accept(front, target, Arc::clone(&shared), enter));
        Ok(Self { address, shared, _tasks: tasks })
    }

    /// Where clients send to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the network from the next datagram on. The seed starts anew.
    pub fn set(&self, conditions: Conditions) {
        let mut state = self.shared.state();
        state.conditions = conditions;
        state.lots = Lots(conditions.seed);
    }

    /// Lets nothing through until [`DelayLink::heal`]. What is under way still arrives.
    pub fn cut(&self) {
        self.shared.state().cut = true;
    }

    /// Lets datagrams through again.
    pub fn heal(&self) {
        self.shared.state().cut = false;
    }

    /// What passed in one direction since the start.
    pub fn traffic(&self, direction: Direction) -> Traffic {
        *self.shared.state().traffic(direction)
    }
}

impl fmt::Debug for DelayLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DelayLink").field("address", &self.address).finish_non_exhaustive()
    }
}

struct Shared {
    state: Mutex<State>,
    tamper: Mutex<Tamper>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What leaves the link for one datagram that entered it, each with its extra delay.
    fn pass(&self, direction: Direction, datagram: Vec<u8>) -> Vec<(Duration, Vec<u8>)> {
        {
            let mut state = self.state();
            let cut = state.cut;
            let traffic = state.traffic(direction);
            traffic.datagrams += 1;
            traffic.bytes += datagram.len() as u64;
            if cut {
                traffic.lost += 1;
                return Vec::new();
            }
        }
        // The tamperer may be slow or look at the link itself, so the state is not locked here.
        let sent = (self.tamper.lock().unwrap_or_else(PoisonError::into_inner))(direction, datagram);
        let mut state = self.state();
        let delivered = sent.into_iter().flat_map(|datagram| state.endure(datagram)).collect::<Vec<_>>();
        if delivered.is_empty() {
            state.traffic(direction).lost += 1;
        }
        delivered
    }
}

struct State {
    conditions: Conditions,
    cut: bool,
    to_target: Traffic,
    to_client: Traffic,
    lots: Lots,
}

impl State {
    fn traffic(&mut self, direction: Direction) -> &mut Traffic {
        match direction {
            Direction::ToTarget => &mut self.to_target,
            Direction::ToClient => &mut self.to_client,
        }
    }

    fn endure(&mut self, mut datagram: Vec<u8>) -> Vec<(Duration, Vec<u8>)> {
        let Self { conditions, lots, .. } = self;
        if lots.drawn(conditions.loss) {
            return Vec::new();
        }
        if lots.drawn(conditions.truncate) {
            datagram.truncate(datagram.len() / 2);
        }
        if lots.drawn(conditions.corrupt) && !datagram.is_empty() {
            let bit = lots.next();
            let at = usize::try_from(bit / 8 % datagram.len() as u64).unwrap_or(0);
            datagram[at] ^= 1 << (bit % 8);
        }
        let mut delay = conditions.one_way;
        if lots.drawn(conditions.reorder) {
            delay += conditions.one_way.max(Duration::from_millis(5));
        }
        if lots.drawn(conditions.duplicate) {
            return vec![(delay, datagram.clone()), (delay, datagram)];
        }
        vec![(delay, datagram)]
    }
}

/// `SplitMix64` (Steele, Lea, Flood 2014): small, and the same on every machine.
#[derive(Debug)]
pub(crate) struct Lots(pub(crate) u64);

impl Lots {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// True for `share` thousandths of all calls.
    pub(crate) fn drawn(&mut self, share: u16) -> bool {
        share > 0 && self.next() % 1000 < u64::from(share)
    }
}

/// A datagram on its way.
struct Packet {
    due: Instant,
    order: u64,
    bytes: Vec<u8>,
    from: Arc<UdpSocket>,
    to: SocketAddr,
}

impl PartialEq for Packet {
    fn eq(&self, other: &Self) -> bool {
        (self.due, self.order) == (other.due, other.order)
    }
}

impl Eq for Packet {}

impl PartialOrd for Packet {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Packet {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.order).cmp(&(other.due, other.order))
    }
}

/// Takes datagrams from clients and opens a way back for each new one.
async fn accept(front: Arc<UdpSocket>, target: SocketAddr, shared: Arc<Shared>, enter: mpsc::Sender<Packet>) {
    let mut clients = BTreeMap::<SocketAddr, Arc<UdpSocket>>::new();
    let mut returns = JoinSet::new();
    let mut buffer = vec![0; DATAGRAM_BYTES];
    loop {
        // A client that is gone makes the next read fail with ECONNREFUSED; the others go on.
        let Ok((count, client)) = front.recv_from(&mut buffer).await else { continue };
        let upstream = match clients.get(&client) {
            Some(upstream) => Arc::clone(upstream),
            None => {
                let Ok(socket) = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await else { continue };
                let socket = Arc::new(socket);
                clients.insert(client, Arc::clone(&socket));
                returns.spawn(carry_back(
                    Arc::clone(&socket),
                    Arc::clone(&front),
                    client,
                    Arc::clone(&shared),
                    enter.clone(),
                ));
                socket
            }
        };
        forward(&shared, Direction::ToTarget, &buffer[..count], &upstream, target, &enter);
    }
}

async fn carry_back(
    upstream: Arc<UdpSocket>,
    front: Arc<UdpSocket>,
    client: SocketAddr,
    shared: Arc<Shared>,
    enter: mpsc::Sender<Packet>,
) {
    let mut buffer = vec![0; DATAGRAM_BYTES];
    loop {
        let Ok((count, _)) = upstream.recv_from(&mut buffer).await else { continue };
        forward(&shared, Direction::ToClient, &buffer[..count], &front, client, &enter);
    }
}

fn forward(
    shared: &Shared,
    direction: Direction,
    datagram: &[u8],
    from: &Arc<UdpSocket>,
    to: SocketAddr,
    enter: &mpsc::Sender<Packet>,
) {
    let now = Instant::now();
    for (delay, bytes) in shared.pass(direction, datagram.to_vec()) {
        let packet = Packet { due: now + delay, order: 0, bytes, from: Arc::clone(from), to };
        if enter.try_send(packet).is_err() {
            shared.state().traffic(direction).lost += 1;
        }
    }
}

/// Lets datagrams out when their time has come, those of the same time in the order in which they entered.
async fn deliver(mut queue: mpsc::Receiver<Packet>) {
    let mut waiting = BinaryHeap::<Reverse<Packet>>::new();
    let mut order = 0;
    loop {
        let due = waiting.peek().map(|Reverse(packet)| packet.due);
        tokio::select! {
            biased;
            () = async { sleep_until(due.unwrap_or_else(Instant::now)).await }, if due.is_some() => {
                while let Some(Reverse(packet)) = waiting.pop() {
                    if packet.due > Instant::now() {
                        waiting.push(Reverse(packet));
                        break;
                    }
                    // Whoever is gone gets nothing, as on any network.
                    let _ = packet.from.try_send_to(&packet.bytes, packet.to);
                }
            }
            packet = queue.recv() => {
                let Some(mut packet) = packet else { return };
                packet.order = order;
                order += 1;
                waiting.push(Reverse(packet));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;
    use crate::PATIENCE;

    /// What became of one datagram.
    type Delivered = Vec<(Duration, Vec<u8>)>;

    struct Ends {
        link: DelayLink,
        client: UdpSocket,
        target: UdpSocket,
    }

    async fn ends(conditions: Conditions, tamper: Tamper) -> Ends {
        let target = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let link = DelayLink::with_tamper(target.local_addr().unwrap(), conditions, tamper).await.unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        client.connect(link.address()).await.unwrap();
        Ends { link, client, target }
    }

    async fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
        let mut buffer = [0; 2048];
        let (count, from) = timeout(PATIENCE, socket.recv_from(&mut buffer)).await.expect("it arrives").unwrap();
        (buffer[..count].to_vec(), from)
    }

    fn honest() -> Tamper {
        Box::new(|_, datagram| vec![datagram])
    }

    #[tokio::test]
    async fn a_round_trip_takes_twice_the_one_way_delay_and_is_counted() {
        let ends = ends(Conditions::delay(Duration::from_millis(40)), honest()).await;
        let start = Instant::now();
        ends.client.send(b"ping").await.unwrap();
        let (ping, from) = receive(&ends.target).await;
        assert_eq!(ping, b"ping");
        ends.target.send_to(b"longer pong", from).await.unwrap();
        assert_eq!(receive(&ends.client).await.0, b"longer pong");
        assert!(start.elapsed() >= Duration::from_millis(80));
        assert_eq!(ends.link.traffic(Direction::ToTarget), Traffic { datagrams: 1, bytes: 4, lost: 0 });
        assert_eq!(ends.link.traffic(Direction::ToClient), Traffic { datagrams: 1, bytes: 11, lost: 0 });
    }

    #[tokio::test]
    async fn datagrams_keep_their_order_and_clients_stay_apart() {
        let ends = ends(Conditions::delay(Duration::from_millis(5)), honest()).await;
        let other = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        other.connect(ends.link.address()).await.unwrap();
        for number in 0..50u8 {
            ends.client.send(&[number]).await.unwrap();
        }
        let mut from = None;
        for number in 0..50u8 {
            let (bytes, sender) = receive(&ends.target).await;
            assert_eq!(bytes, [number]);
            from = Some(sender);
        }
        other.send(b"other").await.unwrap();
        assert_ne!(receive(&ends.target).await.1, from.unwrap());
    }

    #[tokio::test]
    async fn a_cut_link_loses_everything_until_it_is_healed() {
        let ends = ends(Conditions::default(), honest()).await;
        ends.link.cut();
        ends.client.send(b"lost").await.unwrap();
        while ends.link.traffic(Direction::ToTarget).datagrams == 0 {
            tokio::task::yield_now().await;
        }
        ends.link.heal();
        ends.client.send(b"found").await.unwrap();
        assert_eq!(receive(&ends.target).await.0, b"found");
        assert_eq!(ends.link.traffic(Direction::ToTarget).lost, 1);
    }

    #[tokio::test]
    async fn somebody_in_the_middle_can_replay_and_replace() {
        let tamper: Tamper = Box::new(|direction, datagram| match direction {
            Direction::ToTarget => vec![datagram.clone(), b"forged".to_vec(), datagram],
            Direction::ToClient => Vec::new(),
        });
        let ends = ends(Conditions::default(), tamper).await;
        ends.client.send(b"real").await.unwrap();
        for expected in [&b"real"[..], b"forged", b"real"] {
            assert_eq!(receive(&ends.target).await.0, expected);
        }
    }

    #[test]
    fn lots_fall_in_their_shares_and_the_same_way_for_the_same_seed() {
        let fate = |conditions: Conditions| {
            let traffic = Traffic::default();
            let lots = Lots(conditions.seed);
            let mut state = State { conditions, cut: false, to_target: traffic, to_client: traffic, lots };
            (0..10_000u32).map(|_| state.endure(vec![0xaa; 100])).collect::<Vec<_>>()
        };
        let bad = Conditions { loss: 100, duplicate: 50, truncate: 20, corrupt: 10, seed: 7, ..Conditions::default() };
        let fates = fate(bad);
        assert_eq!(fates, fate(bad));
        assert_ne!(fates, fate(Conditions { seed: 8, ..bad }));
        let count = |matches: fn(&Delivered) -> bool| fates.iter().filter(|fate| matches(fate)).count();
        assert!((900..1100).contains(&count(Vec::is_empty)));
        assert!((350..550).contains(&count(|fate| fate.len() == 2)));
        assert!((120..240).contains(&count(|fate| fate.first().is_some_and(|(_, bytes)| bytes.len() == 50))));
        assert!(
            (50..130).contains(&count(|fate| fate.first().is_some_and(|(_, bytes)| bytes.iter().any(|b| *b != 0xaa))))
        );
    }
}

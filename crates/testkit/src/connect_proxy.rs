//! An HTTP proxy as organisations have them: it makes connections for those who say CONNECT (RFC 9110 section 9.3.6).

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinSet,
    time::{Instant, sleep_until},
};

/// What a slow line's receiving end keeps; the system may double it.
const SLOW_BUFFER_BYTES: u32 = 32 * 1024;

/// Largest head of a request.
const HEAD_BYTES: usize = 8 * 1024;

/// What somebody said to a proxy, and what it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Host and port, as they were asked for.
    pub place: String,
    /// What it answered.
    pub status: u16,
}

/// A proxy. Dropping it cuts every connection through it.
#[derive(Debug)]
pub struct ConnectProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    /// Where names lead. The proxy knows names that nobody else knows.
    places: BTreeMap<String, SocketAddr>,
    /// Value of the header by which one is let in.
    credentials: Option<String>,
    /// Bytes a second in each direction of each connection.
    rate: Option<u32>,
    asked: Mutex<Vec<Asked>>,
}

impl Shared {
    fn asked(&self) -> MutexGuard<'_, Vec<Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectProxy {
    /// Starts one that leads from `places`, host and port, to addresses, for all who say `credentials` in the header Proxy-Authorization.
    ///
    /// # Errors
    ///
    /// When no socket can be had.
    pub fn start(
        places: impl IntoIterator<Item = (String, SocketAddr)>,
        credentials: Option<&str>,
    ) -> io::Result<Self> {
        Self::start_at_rate(places, credentials, None)
    }

    /// As [`ConnectProxy::start`], for clients at other machines, who find it at `ip`, and without credentials.
    ///
    /// # Errors
    ///
    /// When no socket can be had.
    pub fn start_on(ip: Ipv4Addr, places: impl IntoIterator<Item = (String, SocketAddr)>) -> io::Result<Self> {
        Self::bind(ip, places, None, None)
    }

    /// As [`ConnectProxy::start`], on a line that carries only so many bytes a second each way.
    ///
    /// # Errors
    ///
    /// When no socket can be had.
    pub fn start_at_rate(
        places: impl IntoIterator<Item = (String, SocketAddr)>,
        credentials: Option<&str>,
        rate: Option<u32>,
    ) -> io::Result<Self> {
        Self::bind(Ipv4Addr::LOCALHOST, places, credentials, rate)
    }

    fn bind(
        ip: Ipv4Addr,
        places: impl IntoIterator<Item = (String, SocketAddr)>,
        credentials: Option<&str>,
        rate: Option<u32>,
    ) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        if rate.is_some() {
            // What waits in front of a slow line is bounded there as well.
            socket.set_recv_buffer_size(SLOW_BUFFER_BYTES)?;
        }
        socket.bind((ip, 0).into())?;
        let listener = socket.listen(64)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            places: places.into_iter().collect(),
            credentials: credentials.map(str::to_owned),
            rate,
            asked: Mutex::default(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, _tasks: tasks })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it was asked for, in order.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked().clone()
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_ended) = connections.join_next() => {}
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                let shared = Arc::clone(&shared);
                // Whoever is cut off notices.
                connections.spawn(async move { drop(serve(stream, &shared).await) });
            },
        }
    }
}

async fn serve(mut client: TcpStream, shared: &Shared) -> io::Result<()> {
    let head = read_head(&mut client).await?;
    let mut lines = head.lines();
    let place = lines.next().and_then(|line| line.strip_prefix("CONNECT ")?.strip_suffix(" HTTP/1.1"));
    let place = place.unwrap_or_default().to_owned();
    let credentials = lines.find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("proxy-authorization").then_some(value)
    });
    let (status, further) = if shared.credentials.as_deref().is_some_and(|wanted| credentials != Some(wanted)) {
        (407, "Proxy-Authenticate: Basic realm=\"inside\"\r\n")
    } else if shared.places.contains_key(&place) {
        (200, "")
    } else {
        (403, "")
    };
    shared.asked().push(Asked { place: place.clone(), status });
    let Some(target) = shared.places.get(&place).filter(|_| status == 200) else {
        let refusal = format!("HTTP/1.1 {status} No\r\n{further}Content-Length: 3\r\nConnection: close\r\n\r\nno\n");
        return client.write_all(refusal.as_bytes()).await;
    };
    let mut server = TcpStream::connect(target).await?;
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    match shared.rate {
        None => drop(copy_bidirectional(&mut client, &mut server).await?),
        Some(rate) => {
            let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
            tokio::try_join!(trickle(from_client, to_server, rate), trickle(from_server, to_client, rate))?;
        }
    }
    Ok(())
}

/// Copies at a rate.
async fn trickle(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    bytes_per_second: u32,
) -> io::Result<()> {
    let mut buffer = [0; 2048];
    let mut free_at = Instant::now();
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..length]).await?;
        let takes = Duration::from_secs(1).mul_f64(length as f64 / f64::from(bytes_per_second));
        free_at = free_at.max(Instant::now()) + takes;
        sleep_until(free_at).await;
    }
}

/// Reads a head byte by byte, so that nothing behind it is taken.
async fn read_head(client: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < HEAD_BYTES {
        head.push(client.read_u8().await?);
    }
    String::from_utf8(head).map_err(io::Error::other)
}

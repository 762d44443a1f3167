//! An HTTP proxy as organisations have them: it makes connections for those who say CONNECT (RFC 9110 section 9.3.6).

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

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

/// A proxy on loopback. Dropping it cuts every connection through it.
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
    pub async fn start(
        places: impl IntoIterator<Item = (String, SocketAddr)>,
        credentials: Option<&str>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            places: places.into_iter().collect(),
            credentials: credentials.map(str::to_owned),
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
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

/// Reads a head byte by byte, so that nothing behind it is taken.
async fn read_head(client: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < HEAD_BYTES {
        head.push(client.read_u8().await?);
    }
    String::from_utf8(head).map_err(io::Error::other)
}

//! A pipe from a program to its relay: TCP or an HTTP proxy, TLS, and the request that makes a WebSocket of it.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use hyper::{Method, Request, StatusCode, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, Error as TlsError, pki_types::ServerName};
use tokio::{
    net::{TcpStream, lookup_host},
    task::JoinSet,
    time::{Instant, sleep, timeout_at},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Error as WsError, client::IntoClientRequest as _},
};
use wire::{
    link::RelayLink,
    pipe::{PIPE_PATH, PIPE_PROTOCOL},
    text::Label,
};

use super::{
    proxy::{Proxies, Proxy, authority},
    tls, tune, websocket,
};
use crate::{address::canonical, tls::KeyError};

/// The next address joins in when the one before has not answered for so long (RFC 8305 section 5).
const STAGGER: Duration = Duration::from_millis(250);

/// Why there is no way to the relay over TCP.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TcpFailure {
    /// Nothing came back.
    #[error("nothing answers at TCP port {port}")]
    NoAnswer {
        /// The port in the link.
        port: u16,
    },
    /// The host answers that nobody listens.
    #[error("nobody listens at TCP port {port}")]
    Refused {
        /// The port in the link.
        port: u16,
    },
    /// The system knows no way there.
    #[error("the network does not lead there: {reason}")]
    Network {
        /// What the operating system said.
        reason: String,
    },
    /// The proxy of this network does not answer.
    #[error("the proxy {proxy} of this network cannot be reached: {reason}")]
    ProxyGone {
        /// Where it should be.
        proxy: String,
        /// What the operating system said.
        reason: String,
    },
    /// The proxy wants a name and a password, or others (HTTP status 407).
    #[error("the proxy {proxy} of this network said 407: it wants a user name and a password, or other ones")]
    ProxyPassword {
        /// Which.
        proxy: String,
    },
    /// The proxy does not let this through.
    #[error("the proxy {proxy} of this network refused with HTTP status {status}")]
    ProxyRefused {
        /// Which.
        proxy: String,
        /// What it said.
        status: u16,
    },
    /// The proxy is not one that HTTP is spoken with.
    #[error("the proxy {proxy} is of a kind that this program does not speak with")]
    ProxyKind {
        /// Which.
        proxy: String,
    },
    /// Whoever answers has neither the relay's key nor a certificate that this machine trusts.
    #[error("what answers has neither the relay's key nor a certificate that this machine trusts: {reason}")]
    Certificate {
        /// What is wrong with it.
        reason: Label,
    },
    /// There is an HTTP server, and it gives no pipe.
    #[error("what answers is no relay that takes TCP: HTTP status {status}")]
    NotAPipe {
        /// What it said.
        status: u16,
    },
    /// The relay takes no more connections over TCP, or none of this address.
    #[error("the relay has too many connections over TCP at the moment, or too many of this network")]
    Full,
    /// The connection broke while it was made.
    #[error("the connection broke while it was made: {reason}")]
    Broken {
        /// What went wrong, made safe to show.
        reason: Label,
    },
    /// A way over TCP stood, and the relay did not answer by it.
    #[error("the relay took the connection and then said nothing")]
    Silent,
}

impl TcpFailure {
    /// What a person can do about it.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::NoAnswer { .. } | Self::Refused { .. } | Self::Silent => {
                "check that the relay is running and takes TCP, and that no firewall blocks both"
            }
            Self::Network { .. } => "check whether this machine is online",
            Self::ProxyGone { .. } => "check HTTPS_PROXY, or take it out if this network has no proxy",
            Self::ProxyPassword { .. } => "put them into HTTPS_PROXY, as in http://NAME:PASSWORD@HOST:PORT",
            Self::ProxyRefused { .. } => "ask whoever runs the proxy to let CONNECT to the relay's port through",
            Self::ProxyKind { .. } => "name an HTTP proxy in HTTPS_PROXY, as in http://HOST:PORT",
            Self::Certificate { .. } => {
                "if this network inspects what leaves it, its certificate has to be installed on this machine; a page that asks \
                 for a login may be in the way, too"
            }
            Self::NotAPipe { .. } => "ask whoever runs the relay for its present link, and whether it takes TCP",
            Self::Full => "try again in a minute",
            Self::Broken { .. } => "something on the way may not let WebSockets through; ask whoever runs this network",
        }
    }

    fn broken(error: &impl ToString) -> Self {
        Self::Broken { reason: Label::cut(&error.to_string()) }
    }
}

/// Why the certificate of TLS was good enough. The relay proves its key once more inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateCheck {
    /// It has the key of the relay link: nobody looks into TLS on the way.
    Pinned,
    /// The system trusts it: the relay has a certificate of an authority, or somebody on the way looks into TLS.
    TrustedBySystem,
}

/// What a pipe runs on at this end.
pub(crate) type ClientSocket = WebSocketStream<TlsStream<TcpStream>>;

/// Makes pipes to one relay.
#[derive(Clone)]
pub(crate) struct Dialer {
    host: String,
    port: u16,
    pin: [u8; 32],
    tls: Arc<ClientConfig>,
    name: ServerName<'static>,
    proxy: Option<Arc<Proxy>>,
}

impl Dialer {
    pub(crate) fn new(link: &RelayLink, proxies: &Proxies) -> Result<Self, KeyError> {
        let (host, port) = (link.host().to_owned(), link.port());
        // What is no name is told to nobody, and the key decides.
        let name = ServerName::try_from(host.clone()).or_else(|_| ServerName::try_from(crate::tls::SERVER_NAME));
        let name = name.map_err(|error| KeyError::from(TlsError::General(error.to_string())))?;
        let proxy = proxies.to(&host, port).map(Arc::new);
        Ok(Self { host, port, pin: link.pin(), tls: tls::client(link.pin())?, name, proxy })
    }

    /// Trusts what the system trusts, and this.
    #[cfg(test)]
    pub(crate) fn trust(&mut self, pin: [u8; 32], root: rustls::pki_types::CertificateDer<'static>) {
        self.tls = tls::client_trusting(pin, root).expect("the root is a certificate");
    }

    /// Whether the relay's own addresses are needed.
    pub(crate) fn is_direct(&self) -> bool {
        self.proxy.is_none()
    }

    /// Makes a pipe, by the relay's `addresses` unless there is a proxy, which is told the relay's name.
    pub(crate) async fn dial(
        &self,
        addresses: &[SocketAddr],
        deadline: Instant,
    ) -> Result<(ClientSocket, CertificateCheck), TcpFailure> {
        let connecting = async {
            match &self.proxy {
                Some(proxy) => self.by_proxy(proxy).await,
                None => connect(addresses).await.map_err(|error| self.network(&error)),
            }
        };
        // Where a proxy is in the way it is the one that does not answer.
        let stream = timeout_at(deadline, connecting).await.unwrap_or_else(|_| Err(self.no_answer()))?;
        let speaking = async {
            let stream = TlsConnector::from(Arc::clone(&self.tls))
                .connect(self.name.clone(), stream)
                .await
                .map_err(|error| secured(&error))?;
            let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
            let pinned = certificates.first().is_some_and(|first| tls::has_key(first, self.pin));
            let check = if pinned { CertificateCheck::Pinned } else { CertificateCheck::TrustedBySystem };
            Ok((self.ask(stream).await?, check))
        };
        timeout_at(deadline, speaking).await.unwrap_or(Err(TcpFailure::Silent))
    }

    fn no_answer(&self) -> TcpFailure {
        match &self.proxy {
            Some(proxy) => TcpFailure::ProxyGone { proxy: proxy.shown(), reason: "it does not answer".to_owned() },
            None => TcpFailure::NoAnswer { port: self.port },
        }
    }

    fn network(&self, error: &io::Error) -> TcpFailure {
        let kind = error.kind();
        if kind == io::ErrorKind::ConnectionRefused {
            TcpFailure::Refused { port: self.port }
        } else if kind == io::ErrorKind::TimedOut {
            TcpFailure::NoAnswer { port: self.port }
        } else {
            TcpFailure::Network { reason: error.to_string() }
        }
    }

    /// Asks a proxy for a connection (RFC 9110 section 9.3.6).
    async fn by_proxy(&self, proxy: &Proxy) -> Result<TcpStream, TcpFailure> {
        let shown = proxy.shown();
        if !proxy.is_http() {
            return Err(TcpFailure::ProxyKind { proxy: shown });
        }
        let gone = |error: io::Error| TcpFailure::ProxyGone { proxy: shown.clone(), reason: error.to_string() };
        let found = lookup_host((proxy.host(), proxy.port())).await.map_err(gone)?.map(canonical).collect::<Vec<_>>();
        let stream = connect(&found).await.map_err(gone)?;

        let place = authority(&self.host, self.port);
        let mut request = Request::builder().method(Method::CONNECT).uri(&place).header(header::HOST, &place);
        if let Some(credentials) = proxy.credentials() {
            request = request.header(header::PROXY_AUTHORIZATION, credentials);
        }
        let request = request.body(String::new()).map_err(|error| TcpFailure::broken(&error))?;
        let (mut sender, connection) =
            http1::Builder::new().handshake(TokioIo::new(stream)).await.map_err(|error| TcpFailure::broken(&error))?;
        let asking = async {
            let response = sender.send_request(request).await.map_err(|error| TcpFailure::broken(&error))?;
            match response.status() {
                status if status.is_success() => {}
                StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                    return Err(TcpFailure::ProxyPassword { proxy: shown.clone() });
                }
                status => return Err(TcpFailure::ProxyRefused { proxy: shown.clone(), status: status.as_u16() }),
            }
            hyper::upgrade::on(response).await.map_err(|error| TcpFailure::broken(&error))
        };
        let mut connection = std::pin::pin!(connection.with_upgrades());
        let mut asking = std::pin::pin!(asking);
        let mut running = true;
        let upgraded = loop {
            tokio::select! {
                upgraded = &mut asking => break upgraded?,
                // It ends with the answer; the answer says how.
                _ended = &mut connection, if running => running = false,
            }
        };
        let parts = upgraded
            .downcast::<TokioIo<TcpStream>>()
            .map_err(|_| TcpFailure::broken(&"the proxy's connection is not the one that was made"))?;
        if !parts.read_buf.is_empty() {
            return Err(TcpFailure::broken(&"the proxy said something that nobody had asked for"));
        }
        Ok(parts.io.into_inner())
    }

    /// Makes a WebSocket of the connection.
    async fn ask(&self, stream: TlsStream<TcpStream>) -> Result<ClientSocket, TcpFailure> {
        let mut request = format!("wss://{}{PIPE_PATH}", authority(&self.host, self.port))
            .into_client_request()
            .map_err(|error| TcpFailure::broken(&error))?;
        let protocol = header::HeaderValue::from_static(PIPE_PROTOCOL);
        request.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
        match client_async_with_config(request, stream, Some(websocket())).await {
            Ok((socket, _response)) => Ok(socket),
            Err(WsError::Http(response)) => Err(match response.status() {
                StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => TcpFailure::Full,
                status => TcpFailure::NotAPipe { status: status.as_u16() },
            }),
            Err(error) => Err(TcpFailure::broken(&error)),
        }
    }
}

/// Connects to the first address that answers.
async fn connect(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut left = addresses.iter().copied();
    let mut attempts = JoinSet::new();
    let mut failed = io::Error::from(io::ErrorKind::AddrNotAvailable);
    loop {
        let next = left.next();
        if let Some(address) = next {
            attempts.spawn(TcpStream::connect(address));
        } else if attempts.is_empty() {
            return Err(failed);
        }
        tokio::select! {
            biased;
            Some(done) = attempts.join_next() => match done {
                Ok(Ok(stream)) => {
                    tune(&stream);
                    return Ok(stream);
                }
                Ok(Err(error)) => failed = error,
                // The task neither panics nor is aborted while this set lives.
                Err(_) => {}
            },
            () = sleep(STAGGER), if next.is_some() => {}
        }
    }
}

/// What a failed TLS handshake says.
fn secured(error: &io::Error) -> TcpFailure {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>());
    match tls {
        Some(TlsError::InvalidCertificate(reason)) => {
            TcpFailure::Certificate { reason: Label::cut(&reason.to_string()) }
        }
        Some(other) => TcpFailure::broken(other),
        None => TcpFailure::broken(error),
    }
}

//! Where sections are read from: the kernel's files, the system's message bus, and a closed list of programs.

use std::{
    fmt,
    io::{self, Read},
    net::TcpStream,
    sync::Arc,
    time::Duration,
};

use wire::diagnostics::sections::{clock::KernelClock, probes::ChainTrust};

use crate::{bus::Bus, clock, probes::targets::Reach, roots::Roots, tools::Tool};

/// Everything that a section can be read from. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sources {
    /// The kernel's and the system's files.
    pub roots: Roots,
    /// The message bus of the system.
    pub bus: Bus,
    /// Starts the programs that are asked.
    pub tools: Arc<dyn RunTools>,
    /// Reads certificates.
    pub certificates: Arc<dyn ReadCertificates>,
    /// Greets by TLS.
    pub handshakes: Arc<dyn ShakeHands>,
    /// What probes may reach.
    pub reach: Reach,
    /// Asks the kernel how well its clock is kept.
    pub kernel_clock: fn() -> io::Result<KernelClock>,
}

/// Greets another machine by TLS. Implemented where TLS may be spoken, which is not here.
pub trait ShakeHands: fmt::Debug + Send + Sync {
    /// Greets whoever is at the other end of `stream` as `host`, and closes the connection; nothing else is sent. It takes at most
    /// `limit`, and no longer than `wanted` says that somebody wants it: that is asked many times a second. The chain is checked as for
    /// any connection, and shown even where it is not trusted.
    fn shake_hands(&self, host: &str, stream: TcpStream, limit: Duration, wanted: &dyn Fn() -> bool) -> Handshake;
}

/// How far a greeting got.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Handshake {
    /// How long it took; none if it did not end well.
    pub tls: Option<Duration>,
    /// Certificates that the other end showed, its own first, as DER.
    pub chain: Vec<Vec<u8>>,
    /// What this machine thinks of them; none if there are none, or the other end did not prove that they are its own.
    pub trust: Option<ChainTrust>,
    /// The protocol that was agreed on; empty if none was.
    pub alpn: String,
    /// Version of TLS; empty if none was agreed on.
    pub version: String,
    /// What the other end broke it off with (RFC 8446, 6); empty if it did not.
    pub alert: String,
    /// Why it did not end well, in words; empty if it did.
    pub reason: String,
}

/// No greetings at all.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoHandshakes;

impl ShakeHands for NoHandshakes {
    fn shake_hands(&self, _: &str, _: TcpStream, _: Duration, _: &dyn Fn() -> bool) -> Handshake {
        Handshake { reason: NO_TLS.to_owned(), ..Handshake::default() }
    }
}

/// What [`NoHandshakes`] says.
pub(crate) const NO_TLS: &str = "no TLS is spoken here";

/// Reads X.509 certificates. Implemented where they may be handled, which is not here.
pub trait ReadCertificates: fmt::Debug + Send + Sync {
    /// What the certificate in `der` says of itself; `None` if that is none. Nothing has to be verified.
    fn describe(&self, der: &[u8]) -> Option<CertificateFacts>;
}

/// What a certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// Common name of whom it is for; empty if it has none.
    pub subject: String,
    /// Organisation of its issuer, or the issuer's common name; empty if it has neither.
    pub issuer: String,
    /// From when on it is valid, in seconds since the Unix epoch.
    pub not_before_secs: i64,
    /// Until when it is valid, in seconds since the Unix epoch.
    pub not_after_secs: i64,
    /// Whether it names its subject as its issuer.
    pub self_signed: bool,
    /// Whether it is an authority's.
    pub authority: bool,
}

/// Reads no certificate: those of the machine are reported as unreadable.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoCertificates;

impl ReadCertificates for NoCertificates {
    fn describe(&self, _: &[u8]) -> Option<CertificateFacts> {
        None
    }
}

impl Default for Sources {
    /// This machine's own, without programs.
    fn default() -> Self {
        Self {
            roots: Roots::default(),
            bus: Bus::default(),
            tools: Arc::new(NoTools),
            certificates: Arc::new(NoCertificates),
            handshakes: Arc::new(NoHandshakes),
            reach: Reach::default(),
            kernel_clock: clock::linux::ask_kernel,
        }
    }
}

/// Starts programs of the closed list [`Tool`]. Implemented where programs may be started, which is not here.
pub trait RunTools: fmt::Debug + Send + Sync {
    /// Starts `tool` with nothing on its standard input, a cleared environment with `LC_ALL=C.UTF-8`, and its standard error
    /// thrown away, and returns its standard output. It is killed when the output is dropped, or when `limit` is over: then the
    /// output ends with [`io::ErrorKind::TimedOut`].
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] if the machine does not have it.
    fn start(&self, tool: &Tool, limit: Duration) -> io::Result<Box<dyn Read + Send>>;
}

/// No programs at all: what is not in files or on the bus is reported as missing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoTools;

impl RunTools for NoTools {
    fn start(&self, _: &Tool, _: Duration) -> io::Result<Box<dyn Read + Send>> {
        Err(io::Error::new(io::ErrorKind::NotFound, "no programs are started here"))
    }
}

impl Sources {
    /// Reads at most `limit_bytes` of what `tool` prints within `limit`.
    ///
    /// # Errors
    ///
    /// As [`RunTools::start`]; [`io::ErrorKind::FileTooLarge`] if it prints more.
    pub(crate) fn output_of(&self, tool: &Tool, limit: Duration, limit_bytes: usize) -> io::Result<Vec<u8>> {
        let mut output = self.tools.start(tool, limit)?;
        let mut bytes = Vec::new();
        let most = u64::try_from(limit_bytes).unwrap_or(u64::MAX);
        output.by_ref().take(most.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() > limit_bytes {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it printed more than expected"));
        }
        Ok(bytes)
    }
}

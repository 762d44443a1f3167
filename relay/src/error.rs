//! Why the relay does not run, for the person who started it.

use std::{io, net::SocketAddr, path::PathBuf};

use miette::Diagnostic;
use transport::listener::pipes::BindPipesError;

use crate::{config::ConfigError, key::KeyFileError};

/// Why the relay did not start, or stopped.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[non_exhaustive]
pub enum RelayError {
    /// The settings cannot be used.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Config(#[from] ConfigError),
    /// There is no key to run with.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Key(#[from] KeyFileError),
    /// What is kept of sleeping agents cannot be read or written.
    #[error("the files of sleeping agents in {} cannot be used, so the relay was not started", path.display())]
    #[diagnostic(help(
        "check that the relay's user may read and write sleep-roots and sleep-table there, and that the disk is not full"
    ))]
    SleepState {
        /// The state directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The UDP address cannot be listened on.
    #[error("the relay cannot listen on UDP {address}, so it was not started")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What to do.
        #[help]
        help: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The TCP address cannot be listened on.
    #[error("the relay cannot listen on TCP {address}, so it was not started")]
    ListenTcp {
        /// The address.
        address: SocketAddr,
        /// What to do.
        #[help]
        help: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file of the certificate for TCP cannot be read.
    #[error("the file {} of the certificate for TCP cannot be read, so the relay does not use it", path.display())]
    #[diagnostic(help("check tls_certificate and tls_key, and that the relay's user may read both files"))]
    CertificateFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The certificate for TCP cannot be used.
    #[error("the certificate for TCP cannot be used, so the relay does not use it")]
    #[diagnostic(help(
        "tls_certificate has to name a file in PEM with the relay's certificate first, and tls_key one with the key that belongs to it"
    ))]
    Certificate(#[source] BindPipesError),
    /// The address of metrics and health cannot be listened on.
    #[error("metrics cannot be served on TCP {address}, so the relay was not started")]
    Http {
        /// The address.
        address: SocketAddr,
        /// What to do.
        #[help]
        help: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The link would have no port.
    #[error("the relay listens on any free port, so its link is known only while it runs")]
    #[diagnostic(help(
        "set a port with --listen, such as --listen '[::]:4433', or read the link that `assent-relay serve` prints"
    ))]
    NoPort,
    /// The system gives no signals or threads.
    #[error("the system does not let the relay run")]
    System(#[source] io::Error),
    /// Something was to be printed or written.
    #[error("the output could not be written")]
    Output(#[source] io::Error),
    /// The network side ended by itself.
    #[error("the relay's network side ended by itself; all sessions were cut")]
    #[diagnostic(help("start the relay again; the log before this line says what happened"))]
    ListenerGone,
}

impl RelayError {
    pub(crate) fn listen(address: SocketAddr, source: io::Error) -> Self {
        Self::Listen { address, help: address_help("--listen", address, &source), source }
    }

    pub(crate) fn reflector(address: SocketAddr, source: io::Error) -> Self {
        Self::Listen { address, help: address_help("reflector_port", address, &source), source }
    }

    pub(crate) fn listen_tcp(address: SocketAddr, source: io::Error) -> Self {
        let help = address_help("--listen", address, &source);
        Self::ListenTcp { address, help: format!("{help}; --no-tcp runs the relay on UDP alone"), source }
    }

    pub(crate) fn http(address: SocketAddr, source: io::Error) -> Self {
        Self::Http { address, help: address_help("--http", address, &source), source }
    }

    /// How the program ends: 2 for wrong settings, 1 for everything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::NoPort => 2,
            Self::Key(_)
            | Self::SleepState { .. }
            | Self::Listen { .. }
            | Self::ListenTcp { .. }
            | Self::CertificateFile { .. }
            | Self::Certificate(_)
            | Self::Http { .. }
            | Self::System(_)
            | Self::Output(_)
            | Self::ListenerGone => 1,
        }
    }
}

/// What to do when an address cannot be listened on.
fn address_help(option: &str, address: SocketAddr, error: &io::Error) -> String {
    let port = address.port();
    let kind = error.kind();
    if kind == io::ErrorKind::AddrInUse {
        format!("another program, perhaps another relay, has port {port}: stop it, or use another port with {option}")
    } else if kind == io::ErrorKind::PermissionDenied {
        format!("ports below 1024 need rights: use another port with {option}, or grant CAP_NET_BIND_SERVICE")
    } else if kind == io::ErrorKind::AddrNotAvailable {
        let ip = address.ip();
        format!("this machine does not have the address {ip}: use one that it has, or [::] for all, with {option}")
    } else {
        format!("use another address with {option}")
    }
}

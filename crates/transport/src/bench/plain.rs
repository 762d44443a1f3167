//! What a session is measured against: quinn as it comes, on a socket that does nothing else.

use std::{
    io,
    net::{Ipv4Addr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use quinn::{ClientConfig, Connection, Endpoint, EndpointConfig, ServerConfig, TokioRuntime};
use rand_core::OsRng;
use socket2::SockRef;
use trust::keys::SigningKey;

use crate::{
    knobs,
    socket::{RECEIVE_BUFFER_BYTES, SEND_BUFFER_BYTES},
    tls,
};

/// What a connection at the relay's distance assumes of its round trip before it has seen one.
const FIRST_RTT: Duration = Duration::ZERO;

/// Read at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// Two of quinn's own endpoints on loopback with the TLS and the settings of a session, and one connection between them.
#[derive(Debug)]
pub struct PlainPair {
    agent: Connection,
    technician: Connection,
    /// The connections live as long as these.
    _endpoints: [Endpoint; 2],
}

impl PlainPair {
    /// Connects.
    ///
    /// # Errors
    ///
    /// The operating system refuses a socket, or the handshake fails.
    pub async fn connect() -> io::Result<Self> {
        let (agent_key, technician_key) = (SigningKey::generate(&mut OsRng), SigningKey::generate(&mut OsRng));
        let server_tls = tls::session_server(&agent_key).map_err(io::Error::other)?;
        let mut server = ServerConfig::with_crypto(Arc::new(server_tls));
        server.transport_config(knobs::session_agent(FIRST_RTT));
        let agents = endpoint(Some(server))?;

        let client_tls = tls::session_client(&technician_key).map_err(io::Error::other)?;
        let mut client = ClientConfig::new(Arc::new(client_tls));
        client.transport_config(knobs::session_technician(FIRST_RTT, Arc::default()));
        let technicians = endpoint(None)?;
        let connecting = technicians.connect_with(client, agents.local_addr()?, tls::SERVER_NAME);
        let connecting = connecting.map_err(io::Error::other)?;
        let incoming = agents.accept();
        let (technician, agent) = tokio::join!(connecting, async {
            let incoming = incoming.await.ok_or(io::ErrorKind::NotConnected)?;
            Ok::<_, io::Error>(incoming.await?)
        });
        Ok(Self { agent: agent?, technician: technician?, _endpoints: [agents, technicians] })
    }

    /// Sends `bytes` of content from the agent's end to the technician's, on one stream, and waits until the last of them was read.
    ///
    /// # Errors
    ///
    /// The connection ends, or not all of them arrive.
    pub async fn transfer(&self, bytes: &[u8]) -> io::Result<()> {
        let send = async {
            let mut stream = self.agent.open_uni().await?;
            stream.write_all(bytes).await?;
            stream.finish().map_err(io::Error::other)
        };
        let receive = async {
            let mut stream = self.technician.accept_uni().await?;
            let mut received = 0;
            while let Some(chunk) = stream.read_chunk(CHUNK_BYTES, true).await? {
                received += chunk.bytes.len();
            }
            Ok::<_, io::Error>(received)
        };
        let ((), received) = tokio::try_join!(send, receive)?;
        if received == bytes.len() { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

/// One of quinn's, whose socket has the buffers that ours have.
fn endpoint(server: Option<ServerConfig>) -> io::Result<Endpoint> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
    SockRef::from(&socket).set_send_buffer_size(SEND_BUFFER_BYTES)?;
    Endpoint::new(EndpointConfig::default(), server, socket, Arc::new(TokioRuntime))
}

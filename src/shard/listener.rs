//! The listening socket of a shard: SO_REUSEPORT, so that the kernel spreads connections.
//!
//! Out of file descriptors, it backs off instead of spinning: the connection stays in the
//! kernel's queue and is accepted when descriptors are free again.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use monoio::net::{ListenerOpts, TcpListener};

use super::stream::Connection;
use super::timer;

/// Connections the kernel queues for one shard before it drops SYNs.
const BACKLOG: i32 = 4096;

/// Pause after an accept failed for want of descriptors or memory.
const BACK_OFF: Duration = Duration::from_millis(50);

/// A bound socket.
pub struct Listener {
    inner: TcpListener,
    address: SocketAddr,
}

/// Accepting failed; the caller counts it and asks again.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// Descriptors or memory are used up; the listener has paused for a moment.
    #[error("out of file descriptors or memory: {0}")]
    Exhausted(#[source] io::Error),
    /// The connection was gone before it was accepted, or could not be set up.
    #[error("connection lost while accepting: {0}")]
    Lost(#[source] io::Error),
}

impl Listener {
    /// Binds on the calling shard.
    ///
    /// # Errors
    /// The system's, for instance when the address is in use by another user's process.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let options = ListenerOpts::new().reuse_port(true).reuse_addr(true).backlog(BACKLOG);
        let inner = TcpListener::bind_with_config(address, &options)?;
        let address = inner.local_addr()?;
        Ok(Self { inner, address })
    }

    /// The address it is bound to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for the next client.
    ///
    /// # Errors
    /// See [`AcceptError`]; the listener stays usable.
    pub async fn accept(&self) -> Result<(Connection, SocketAddr), AcceptError> {
        match self.inner.accept().await {
            Ok((stream, peer)) => {
                Connection::new(stream).map(|it| (it, peer)).map_err(AcceptError::Lost)
            }
            Err(error) => match error.raw_os_error() {
                Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => {
                    timer::sleep(BACK_OFF).await;
                    Err(AcceptError::Exhausted(error))
                }
                _ => Err(AcceptError::Lost(error)),
            },
        }
    }
}

/// Finds the port that all shards will share when the settings ask for port 0: binds once with
/// SO_REUSEPORT and keeps that socket, not listening, so that nobody else takes the port.
///
/// # Errors
/// The system's.
pub fn bind_free(address: SocketAddr) -> io::Result<(socket2::Socket, SocketAddr)> {
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(address),
        socket2::Type::STREAM,
        Some(socket2::Protocol::TCP),
    )?;
    // Not where the system picks the port: among sockets that do not listen yet, address reuse
    // would let it pick the same one for two processes.
    socket.set_reuse_address(address.port() != 0)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    let bound = socket
        .local_addr()?
        .as_socket()
        .ok_or_else(|| io::Error::other("the bound socket has no internet address"))?;
    Ok((socket, bound))
}

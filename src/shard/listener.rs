//! The listening socket of a shard: SO_REUSEPORT, so that the kernel spreads connections.
//!
//! Out of file descriptors, it backs off instead of spinning: the connection stays in the
//! kernel's queue and is accepted when descriptors are free again. Clients may not have the last
//! quarter of the descriptors, which is for providers, the admin listener and files.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use monoio::net::{ListenerOpts, TcpListener, TcpStream};

use super::stream::Connection;
use super::timer;

/// Connections the kernel queues for one shard before it drops SYNs.
const BACKLOG: i32 = 4096;

/// Pause after an accept failed for want of descriptors or memory.
const BACK_OFF: Duration = Duration::from_millis(50);

/// Descriptors that clients may not have, at most, and of how many they are one. A gateway with so
/// many connections has its limits elsewhere.
const RESERVE_MAX: RawFd = 4096;
const RESERVE_DIVISOR: RawFd = 4;

/// Descriptors that clients may have where the reserve would leave none: for a gateway that serves
/// a few clients badly rather than nobody.
const CLIENTS_MIN: RawFd = 4;

/// Descriptors from this number on are kept back.
static RESERVE_START: AtomicI32 = AtomicI32::new(RawFd::MAX);

/// Raises the soft limit of open files to the hard one and returns it. Listeners that are bound
/// afterwards keep a part of them back.
///
/// # Errors
/// The system's.
pub fn raise_file_limit() -> io::Result<u64> {
    let (_, hard) = rlimit::Resource::NOFILE.get()?;
    rlimit::Resource::NOFILE.set(hard, hard)?;
    limit_descriptors(hard);
    Ok(hard)
}

/// Keeps a part of the process's descriptors back from clients. The kernel gives the lowest free
/// number, so that a high number tells that those below are in use; asking costs nothing.
fn limit_descriptors(files: u64) {
    let files = RawFd::try_from(files).unwrap_or(RawFd::MAX);
    let reserve = (files / RESERVE_DIVISOR).min(RESERVE_MAX);
    RESERVE_START.store(files.saturating_sub(reserve), Ordering::Relaxed);
}

/// A bound socket.
pub struct Listener {
    inner: TcpListener,
    address: SocketAddr,
    /// A client whose descriptor is one of those kept back, until it can have another.
    waiting: Cell<Option<(TcpStream, SocketAddr)>>,
    /// Descriptors from this number on are kept back.
    reserve_start: RawFd,
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
        let reserve_start = RESERVE_START
            .load(Ordering::Relaxed)
            .max(inner.as_raw_fd().saturating_add(CLIENTS_MIN));
        Ok(Self { inner, address, waiting: Cell::new(None), reserve_start })
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
        let accepted = match self.waiting.take() {
            Some((stream, peer)) => renumber(stream).map(|stream| (stream, peer)),
            None => self.inner.accept().await,
        };
        let exhausted = match accepted {
            Ok((stream, peer)) if stream.as_raw_fd() < self.reserve_start => {
                return Connection::new(stream).map(|it| (it, peer)).map_err(AcceptError::Lost);
            }
            Ok(client) => {
                // One client waits here, those behind it in the kernel's queue.
                self.waiting.set(Some(client));
                io::Error::from_raw_os_error(libc::EMFILE)
            }
            Err(error) => match error.raw_os_error() {
                Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => error,
                _ => return Err(AcceptError::Lost(error)),
            },
        };
        timer::sleep(BACK_OFF).await;
        Err(AcceptError::Exhausted(exhausted))
    }
}

/// The same socket under the lowest number that is free now, or as it is if there is none.
#[expect(unsafe_code, reason = "the runtime shows its descriptors as numbers only")]
fn renumber(stream: TcpStream) -> io::Result<TcpStream> {
    // SAFETY: `stream` keeps the descriptor open until this function ends.
    let descriptor = unsafe { BorrowedFd::borrow_raw(stream.as_raw_fd()) };
    match descriptor.try_clone_to_owned() {
        Ok(lowest) if lowest.as_raw_fd() < stream.as_raw_fd() => TcpStream::from_std(lowest.into()),
        Ok(_) | Err(_) => Ok(stream),
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

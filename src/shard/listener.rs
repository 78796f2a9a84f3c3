//! A shard's listening socket: SO_REUSEPORT, so that the kernel distributes connections.
//!
//! Out of file descriptors, it pauses instead of spinning: the connection stays in the kernel's
//! queue and is accepted when descriptors are free again. The last quarter of the descriptors is
//! reserved for providers, the admin listener and files.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use monoio::net::{ListenerOpts, TcpListener, TcpStream};

use super::stream::Connection;
use super::timer;

/// Kernel backlog of one shard; when it is full, SYNs are dropped.
const BACKLOG: i32 = 4096;

/// Pause after an accept failed for lack of descriptors or memory.
const BACK_OFF: Duration = Duration::from_millis(50);

/// Largest reserve of descriptors, and the divisor of the limit that gives the reserve. A gateway
/// with more connections than that has its limits elsewhere.
const RESERVE_MAX: RawFd = 4096;
const RESERVE_DIVISOR: RawFd = 4;

/// Descriptors that clients may use even if the reserve would leave none.
const CLIENTS_MIN: RawFd = 4;

/// First reserved descriptor.
static RESERVE_START: AtomicI32 = AtomicI32::new(RawFd::MAX);

/// Raises the soft limit of open files to the hard one and returns it. Listeners bound afterwards
/// keep the reserve.
///
/// # Errors
/// The system's.
pub fn raise_file_limit() -> io::Result<u64> {
    let (_, hard) = rlimit::Resource::NOFILE.get()?;
    rlimit::Resource::NOFILE.set(hard, hard)?;
    limit_descriptors(hard);
    Ok(hard)
}

/// Reserves a part of the process's descriptors. The kernel assigns the lowest free number, so a
/// high number means that those below are in use; checking it costs nothing.
fn limit_descriptors(files: u64) {
    let files = RawFd::try_from(files).unwrap_or(RawFd::MAX);
    let reserve = (files / RESERVE_DIVISOR).min(RESERVE_MAX);
    RESERVE_START.store(files.saturating_sub(reserve), Ordering::Relaxed);
}

/// A bound socket.
pub struct Listener {
    inner: TcpListener,
    address: SocketAddr,
    /// A client on a reserved descriptor, until a lower one is free.
    waiting: Cell<Option<(TcpStream, SocketAddr)>>,
    /// First reserved descriptor.
    reserve_start: RawFd,
}

/// Accepting failed; the caller counts it and tries again.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// Out of descriptors or memory; the listener has paused.
    #[error("out of file descriptors or memory: {0}")]
    Exhausted(#[source] io::Error),
    /// The connection was closed before it was accepted, or could not be set up.
    #[error("connection lost while accepting: {0}")]
    Lost(#[source] io::Error),
}

impl Listener {
    /// Binds on the calling shard.
    ///
    /// # Errors
    /// The system's, for example if the address is in use by another user's process.
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
                // One client waits here, later ones in the kernel's queue.
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

/// The same socket under the lowest free number, or unchanged if none is lower.
#[expect(unsafe_code, reason = "the runtime shows its descriptors as numbers only")]
fn renumber(stream: TcpStream) -> io::Result<TcpStream> {
    // SAFETY: `stream` keeps the descriptor open until this function ends.
    let descriptor = unsafe { BorrowedFd::borrow_raw(stream.as_raw_fd()) };
    match descriptor.try_clone_to_owned() {
        Ok(lowest) if lowest.as_raw_fd() < stream.as_raw_fd() => TcpStream::from_std(lowest.into()),
        Ok(_) | Err(_) => Ok(stream),
    }
}

/// Selects the port that all shards share if the settings ask for port 0: binds once with
/// SO_REUSEPORT and keeps that socket, not listening, so that the port stays reserved.
///
/// # Errors
/// The system's.
pub fn bind_free(address: SocketAddr) -> io::Result<(socket2::Socket, SocketAddr)> {
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(address),
        socket2::Type::STREAM,
        Some(socket2::Protocol::TCP),
    )?;
    // Not if the system picks the port: among sockets that do not listen yet, address reuse would
    // allow it to pick the same one for two processes.
    socket.set_reuse_address(address.port() != 0)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    let bound = socket
        .local_addr()?
        .as_socket()
        .ok_or_else(|| io::Error::other("the bound socket has no internet address"))?;
    Ok((socket, bound))
}

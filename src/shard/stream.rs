//! A connection: a reader that loses nothing when its future is dropped, and a writer.
//!
//! Shape: the reader owns at most one read operation. It lives in the reader, not in the future of
//! [`Reader::fill`], so a caller may race `fill` against anything, drop it, and call it again. That
//! is also how a departed client and a dying idle upstream are noticed: the one read in flight
//! ends. Plain and TLS connections look alike from outside.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use monoio::buf::IoBufMut;
use monoio::io::{AsyncReadRent, Splitable};
use monoio::net::TcpStream;
use monoio::net::tcp::TcpOwnedReadHalf;

use super::busy_poll;
use super::memory::{Script, Tape};
use super::runtime::{self, Driver};
use super::socket::{self, PeekResult};
use super::tls::{TlsAcceptor, TlsSession};
use super::writer::{WriteSink, Writer};

/// Below this round-trip time, timing cannot distinguish a response from earlier bytes.
const ROUND_TRIP_MIN: Duration = Duration::from_micros(200);

/// Smallest read: a usual request with its head. An idle connection holds this much memory.
const READ_BYTES_MIN: usize = 4 * 1024;
/// Largest read: beyond this, bigger reads save no measurable time.
const READ_BYTES_MAX: usize = 64 * 1024;

type ReadOperation = Pin<Box<dyn Future<Output = (io::Result<usize>, TcpOwnedReadHalf, Vec<u8>)>>>;

/// Where the read half of the socket is.
enum ReadState {
    /// Nobody: no read is in flight.
    Idle(TcpOwnedReadHalf),
    /// The operation in flight.
    Reading(ReadOperation),
    /// No socket: what comes is written down beforehand.
    Scripted(Script),
    /// Nobody any more: the peer closed or the socket failed.
    Closed,
}

/// The receiving side. Bytes received and not yet consumed are in [`Reader::bytes`].
pub struct Reader {
    state: ReadState,
    session: Option<Rc<RefCell<TlsSession>>>,
    /// ReadOutcome bytes; those before `start` are consumed.
    buffer: Vec<u8>,
    start: usize,
    /// An empty allocation kept for the next read.
    spare: Vec<u8>,
    read_bytes: usize,
}

/// Both sides of a connected socket. Dropping it shuts the socket down at once, also while
/// operations are in flight.
pub struct Connection {
    /// Receiving side.
    pub reader: Reader,
    /// Sending side.
    pub writer: Writer,
    handle: ShutdownHandle,
    round_trip: Duration,
}

/// Ends a connection from outside of whoever uses it. Harmless once the connection is gone.
#[derive(Clone, Debug)]
pub struct ShutdownHandle {
    /// None for a connection that is only in memory, or gone.
    descriptor: Rc<Cell<Option<RawFd>>>,
}

impl ShutdownHandle {
    fn new(descriptor: Option<RawFd>) -> Self {
        Self { descriptor: Rc::new(Cell::new(descriptor)) }
    }

    /// Shuts both directions down: reads and writes under way end.
    pub fn shutdown(&self) {
        self.shutdown_how(libc::SHUT_RDWR);
    }

    fn shutdown_how(&self, how: libc::c_int) {
        // The halves in the `Connection` keep the descriptor open while it lives, and its `Drop`
        // clears the cell first, so the number cannot have been reused.
        if let Some(descriptor) = self.descriptor.get() {
            socket::shutdown(descriptor, how);
        }
    }
}

impl Connection {
    /// Takes a connected socket over and turns Nagle's algorithm off: together with delayed
    /// acknowledgements it costs 40 ms per small event.
    pub(super) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let descriptor = stream.as_raw_fd();
        let (read, write) = stream.into_split();
        let reader = Reader::new(ReadState::Idle(read), Vec::new());
        let writer = Writer::new(WriteSink::Socket(write));
        let handle = ShutdownHandle::new(Some(descriptor));
        Ok(Self { reader, writer, handle, round_trip: Duration::ZERO })
    }

    /// A connection without a socket, for simulations and for counting instructions: it receives
    /// what `script` says and writes onto `tape`.
    #[must_use]
    pub fn in_memory(script: Script, tape: Tape) -> Self {
        let reader = Reader::new(ReadState::Scripted(script.answering(&tape)), Vec::new());
        let writer = Writer::new(WriteSink::Tape(tape));
        Self { reader, writer, handle: ShutdownHandle::new(None), round_trip: Duration::MAX }
    }

    /// Runs the server's side of a TLS handshake over this connection.
    ///
    /// # Errors
    /// The socket's, or `InvalidData` with rustls' reason.
    pub async fn accept_tls(&mut self, tls: &TlsAcceptor) -> io::Result<()> {
        self.handshake(tls.session()?).await
    }

    /// Runs the TLS handshake of `session` over this connection.
    ///
    /// # Errors
    /// The socket's, or `InvalidData` with rustls' reason.
    pub(super) async fn handshake(&mut self, session: TlsSession) -> io::Result<()> {
        let session = Rc::new(RefCell::new(session));
        self.reader.session = Some(Rc::clone(&session));
        self.writer.enable_tls(&session);
        loop {
            self.writer.flush().await?;
            if !session.borrow().is_handshaking() {
                return Ok(());
            }
            let outcome = poll_fn(|context| self.reader.poll_receive(context)).await;
            if outcome.is_err() {
                // The alert that says why is worth sending; whether it arrives is not ours.
                let _ = self.writer.flush().await;
            }
            if let ReadOutcome::End = outcome? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// True after a TLS handshake.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.reader.session.is_some()
    }

    /// Says that nothing more will be sent (`close_notify` and FIN), so that the peer can still
    /// read what is on its way.
    pub async fn finish(&mut self) {
        if let Some(session) = &self.reader.session {
            session.borrow_mut().close_notify();
            // A peer that is gone does not need the farewell.
            let _ = self.writer.flush().await;
        }
        self.handle.shutdown_how(libc::SHUT_WR);
    }

    /// What comes sooner after a request than this cannot be its answer: the time that the peer's
    /// system took to accept the connection. Zero where that is not known; without a socket any
    /// time is.
    #[must_use]
    pub fn round_trip(&self) -> Duration {
        self.round_trip
    }

    /// Asks the system for the [`Connection::round_trip`] of a connection that we have made.
    pub(super) fn measure_round_trip(&mut self) {
        let measured = self.handle.descriptor.get().and_then(socket::round_trip);
        let measured = measured.filter(|it| *it >= ROUND_TRIP_MIN);
        self.round_trip = measured.unwrap_or_default();
    }

    /// Begins to listen, once an answer is complete: puts a read in flight, without a system call of
    /// its own. What comes from then on is not lost: it is in [`Reader::bytes`] of the next use.
    pub fn listen(&mut self) {
        // Also when bytes were found, they are kept: whoever takes the connection back sees them.
        let _ = self.arm();
    }

    /// The same, and what has come so far. With epoll there is nothing to begin.
    pub(super) fn arm(&mut self) -> IdleState {
        self.reader.shrink();
        if runtime::driver() == Driver::Epoll && self.reader.bytes().is_empty() {
            return IdleState::Silent;
        }
        self.reader.poll_idle()
    }

    /// What has come since [`Connection::arm`]. On io_uring the read in flight tells, as of the
    /// last time the shard looked at its completions. With epoll the socket itself is asked, since
    /// readiness is known only as of the last wait.
    pub(super) fn idleness(&mut self) -> IdleState {
        let socket = self.handle.descriptor.get().filter(|_| runtime::driver() == Driver::Epoll);
        match socket.map(socket::peek) {
            Some(PeekResult::Nothing) if self.reader.bytes().is_empty() => IdleState::Silent,
            Some(PeekResult::End) => IdleState::Ended,
            Some(PeekResult::Bytes) => match self.reader.poll_idle() {
                // The runtime does not know of them yet. TLS records may be a session ticket.
                IdleState::Silent if self.is_tls() => IdleState::Ended,
                IdleState::Silent => IdleState::Surplus,
                seen => seen,
            },
            Some(PeekResult::Nothing) | None => self.reader.poll_idle(),
        }
    }

    /// Whether the peer's system has acknowledged any of the bytes that were written after `mark`
    /// (see [`Writer::written`]). What cannot be known counts as acknowledged.
    #[must_use]
    pub fn has_acknowledged(&self, mark: u64) -> bool {
        if let Some(tape) = self.writer.tape() {
            return tape.acknowledged() > mark;
        }
        if self.writer.written() == mark {
            return false;
        }
        let acknowledged = self.handle.descriptor.get().and_then(socket::bytes_acknowledged);
        acknowledged.is_none_or(|count| count > mark)
    }

    /// A handle that ends this connection from outside.
    #[must_use]
    pub fn handle(&self) -> ShutdownHandle {
        self.handle.clone()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // A read in flight keeps the descriptor open until its cancellation is reaped; the peer
        // must see the end now.
        self.handle.shutdown();
        self.handle.descriptor.set(None);
    }
}

/// What an idle connection has received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IdleState {
    /// Neither bytes nor the end: it may be used.
    Silent,
    /// The peer has closed, or the connection broke.
    Ended,
    /// Bytes that no request asked for.
    Surplus,
}

/// What one completed read brought.
enum ReadOutcome {
    /// So many bytes for the application (0: only TLS records without data).
    Bytes(usize),
    /// The end of the stream.
    End,
}

impl Reader {
    /// A reader that has already received all of `bytes`, and the end of the stream after them:
    /// for answers that are made in this process.
    #[must_use]
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self::new(ReadState::Closed, bytes)
    }

    fn new(state: ReadState, buffer: Vec<u8>) -> Self {
        let read_bytes = READ_BYTES_MIN;
        Self { state, session: None, buffer, start: 0, spare: Vec::new(), read_bytes }
    }

    /// Bytes received and not consumed.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    /// Drops the first `count` bytes of [`Reader::bytes`].
    pub fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.buffer.len());
        if self.start == self.buffer.len() {
            self.buffer.clear();
            self.start = 0;
        }
    }

    /// Waits for more bytes; says how many came, 0 at the end of the stream. Cancel-safe.
    ///
    /// # Errors
    /// The socket's; a TLS stream cut without `close_notify` is `UnexpectedEof`.
    pub async fn fill(&mut self) -> io::Result<usize> {
        poll_fn(|context| self.poll_fill(context)).await
    }

    /// [`Reader::fill`] for hand-written futures.
    ///
    /// # Errors
    /// As [`Reader::fill`].
    pub fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        loop {
            match ready!(self.poll_receive(context))? {
                ReadOutcome::Bytes(0) => {}
                ReadOutcome::Bytes(count) => return Poll::Ready(Ok(count)),
                ReadOutcome::End => return Poll::Ready(Ok(0)),
            }
        }
    }

    /// What has come while nobody waited. The read that this leaves in flight is the next one's.
    fn poll_idle(&mut self) -> IdleState {
        if !self.bytes().is_empty() {
            return IdleState::Surplus;
        }
        match self.poll_fill(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => IdleState::Silent,
            Poll::Ready(Ok(count)) if count > 0 => IdleState::Surplus,
            Poll::Ready(_) => IdleState::Ended,
        }
    }

    /// Gives back what a large message made the buffers grow to.
    pub fn shrink(&mut self) {
        self.read_bytes = READ_BYTES_MIN;
        if self.buffer.is_empty() && self.buffer.capacity() > READ_BYTES_MIN {
            self.buffer = Vec::new();
        }
        if self.spare.capacity() > READ_BYTES_MIN {
            self.spare = Vec::new();
        }
    }

    fn start_read(&mut self) {
        // Only called when it is idle.
        let ReadState::Idle(mut half) = std::mem::replace(&mut self.state, ReadState::Closed)
        else {
            return;
        };
        let mut target = std::mem::take(&mut self.spare);
        if target.capacity() == 0 && self.buffer.is_empty() {
            target = std::mem::take(&mut self.buffer);
            self.start = 0;
        }
        // Neither smaller nor much larger than wanted: a buffer that has grown by appending must
        // not make the next read larger still.
        if !(self.read_bytes..=READ_BYTES_MAX * 2).contains(&target.capacity()) {
            target = Vec::with_capacity(self.read_bytes);
        }
        let end = self.read_bytes;
        self.state = ReadState::Reading(Box::pin(async move {
            let (outcome, slice) = half.read(target.slice_mut(0..end)).await;
            (outcome, half, slice.into_inner())
        }));
    }

    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<io::Result<ReadOutcome>> {
        if self.has_close_notify() {
            // The peer may keep TCP open for as long as it likes (RFC 8446, section 6.1).
            return Poll::Ready(Ok(ReadOutcome::End));
        }
        if let ReadState::Idle(_) = self.state {
            self.start_read();
        }
        let operation = match &mut self.state {
            ReadState::Reading(operation) => operation,
            ReadState::Scripted(script) => {
                let bytes = ready!(script.poll_next(context))?;
                let count = self.absorb(bytes)?;
                return Poll::Ready(Ok(if count == 0 {
                    ReadOutcome::End
                } else {
                    ReadOutcome::Bytes(count)
                }));
            }
            ReadState::Idle(_) | ReadState::Closed => return Poll::Ready(Ok(ReadOutcome::End)),
        };
        let (outcome, half, bytes) = ready!(operation.as_mut().poll(context));
        busy_poll::mark_activity();
        self.state = ReadState::Closed;
        let count = outcome?;
        if count == 0 {
            let is_cut = self.session.is_some();
            return Poll::Ready(if is_cut {
                Err(io::ErrorKind::UnexpectedEof.into())
            } else {
                Ok(ReadOutcome::End)
            });
        }
        self.state = ReadState::Idle(half);
        self.size_next_read(count);
        Poll::Ready(self.absorb(bytes).map(|count| match count {
            0 if self.has_close_notify() => ReadOutcome::End,
            count => ReadOutcome::Bytes(count),
        }))
    }

    /// True once the peer has sent `close_notify`: what came before it is in the buffer.
    fn has_close_notify(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.borrow().has_ended())
    }

    /// Doubles the reads of a stream that fills them, so that a large body takes few.
    fn size_next_read(&mut self, count: usize) {
        if count >= self.read_bytes {
            self.read_bytes = (self.read_bytes * 2).min(READ_BYTES_MAX);
        }
    }

    fn absorb(&mut self, mut bytes: Vec<u8>) -> io::Result<usize> {
        let count = bytes.len();
        if let Some(session) = &self.session {
            let before = self.buffer.len();
            session.borrow_mut().decrypt(&bytes, &mut self.buffer)?;
            bytes.clear();
            self.spare = bytes;
            return Ok(self.buffer.len() - before);
        }
        if self.buffer.is_empty() {
            std::mem::swap(&mut self.buffer, &mut bytes);
        } else {
            if self.start > 0 {
                self.buffer.drain(..self.start);
                self.start = 0;
            }
            self.buffer.extend_from_slice(&bytes);
        }
        bytes.clear();
        self.spare = bytes;
        Ok(count)
    }
}

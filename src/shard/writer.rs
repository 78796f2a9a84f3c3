//! The sending side of a connection: whole messages, encrypted if TLS is used.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use bytes::Bytes;
use monoio::buf::IoBuf;
use monoio::io::AsyncWriteRentExt;
use monoio::net::tcp::TcpOwnedWriteHalf;

use super::memory::Tape;
use super::tls::TlsSession;

/// Plaintext encrypted at a time for a shared message, so that a large message sent on several
/// connections needs no copy for each.
const SHARED_BYTES_ENCRYPTED: usize = 64 * 1024;

/// The sending side.
pub struct Writer {
    sink: WriteSink,
    session: Option<Rc<RefCell<TlsSession>>>,
    records: Vec<u8>,
    /// Bytes whose sending has begun, as on the wire.
    begun: u64,
    /// True while a write is in flight: if its future is dropped, no further write is allowed,
    /// since it is unknown how many bytes were sent.
    broken: bool,
}

/// Destination of the bytes.
pub(super) enum WriteSink {
    Socket(TcpOwnedWriteHalf),
    Tape(Tape),
}

impl Writer {
    pub(super) fn new(sink: WriteSink) -> Self {
        Self { sink, session: None, records: Vec::new(), begun: 0, broken: false }
    }

    /// Bytes passed to the system so far, including TLS records; the mark for
    /// `Connection::has_acknowledged`.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.begun
    }

    /// Encrypts everything written from now on.
    pub(super) fn enable_tls(&mut self, session: &Rc<RefCell<TlsSession>>) {
        self.session = Some(Rc::clone(session));
    }

    /// The tape, if it does not write to a socket.
    pub(super) fn tape(&self) -> Option<&Tape> {
        match &self.sink {
            WriteSink::Socket(_) => None,
            WriteSink::Tape(tape) => Some(tape),
        }
    }

    /// Sends all of `data` and returns its allocation, emptied, for reuse.
    ///
    /// If the future is dropped, the connection is unusable and rejects further writes.
    ///
    /// # Errors
    /// The socket's.
    pub async fn write_all(&mut self, data: Vec<u8>) -> io::Result<Vec<u8>> {
        let mut data = data;
        if let Some(session) = &self.session {
            session.borrow_mut().encrypt(&data, &mut self.records)?;
            self.send_records().await?;
        } else {
            data = self.send(data).await?;
        }
        data.clear();
        Ok(data)
    }

    /// Sends all of `data`, which may be shared: it is not copied as a whole.
    ///
    /// If the future is dropped, the connection is unusable and rejects further writes.
    ///
    /// # Errors
    /// The socket's.
    pub async fn write_shared(&mut self, data: Bytes) -> io::Result<()> {
        let Some(session) = self.session.clone() else {
            return self.send(data).await.map(drop);
        };
        for part in data.chunks(SHARED_BYTES_ENCRYPTED) {
            session.borrow_mut().encrypt(part, &mut self.records)?;
            self.send_records().await?;
        }
        Ok(())
    }

    async fn send_records(&mut self) -> io::Result<()> {
        let records = std::mem::take(&mut self.records);
        self.records = self.send(records).await?;
        self.records.clear();
        Ok(())
    }

    /// Sends pending TLS records; nothing on a plain connection.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        if let Some(session) = &self.session {
            session.borrow_mut().encrypt(&[], &mut self.records)?;
            if !self.records.is_empty() {
                self.send_records().await?;
            }
        }
        Ok(())
    }

    async fn send<T: IoBuf + AsRef<[u8]>>(&mut self, data: T) -> io::Result<T> {
        if self.broken {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if data.as_ref().is_empty() {
            return Ok(data);
        }
        self.broken = true;
        self.begun = self.begun.saturating_add(data.as_ref().len() as u64);
        let (outcome, data) = match &mut self.sink {
            WriteSink::Socket(half) => half.write_all(data).await,
            WriteSink::Tape(tape) => {
                let length = data.as_ref().len();
                (tape.write(data.as_ref()).map(|()| length), data)
            }
        };
        outcome?;
        self.broken = false;
        Ok(data)
    }
}

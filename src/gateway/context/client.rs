//! The client's connection and what is remembered of it.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use super::error::GatewayError;
use super::message_framing::MessageFraming;
use crate::base::Instant;
use crate::shard::Connection;

/// A write of at most this size must finish within `client_write_timeout_ms`, so that a slow but
/// living reader of a large answer is not cut off.
const WRITE_BYTES_MAX: usize = 256 * 1024;

/// The client's connection and what is remembered of it.
pub(crate) struct Client {
    pub connection: Connection,
    /// An empty allocation that goes from hand to hand: request, answer.
    pub out: Vec<u8>,
    write_timeout: Duration,
    pub deadline: SharedDeadline,
    /// Why it is gone, if its request goes on for others: nothing is sent to it any more.
    pub lost: Option<GatewayError>,
    /// It is a WebSocket: what is sent of the response at hand goes out as its messages.
    pub framing: Option<Box<MessageFraming>>,
}

/// How long a client may be idle, or leave its response unread. The shard looks once a second and
/// cuts the connections whose time is over: limits of a minute need no timer on each request.
#[derive(Clone, Default)]
pub(crate) struct SharedDeadline(Rc<Cell<Option<Instant>>>);

impl SharedDeadline {
    pub(crate) fn set(&self, deadline: Instant) {
        self.0.set(Some(deadline));
    }

    pub(crate) fn clear(&self) {
        self.0.set(None);
    }

    /// True if there was a deadline, and it has passed.
    pub(crate) fn has_passed(&self, now: Instant) -> bool {
        self.0.get().is_some_and(|deadline| deadline <= now)
    }
}

impl Client {
    pub(crate) fn new(
        connection: Connection,
        write_timeout: Duration,
        deadline: SharedDeadline,
    ) -> Self {
        Self { connection, out: Vec::new(), write_timeout, deadline, lost: None, framing: None }
    }

    /// Sends `bytes`; returns the emptied allocation.
    pub(crate) async fn send(&mut self, mut bytes: Vec<u8>) -> Result<Vec<u8>, GatewayError> {
        if let Some(mut framing) = self.framing.take() {
            let mut frames = Vec::new();
            framing.push(&bytes, &mut frames);
            self.framing = Some(framing);
            self.answer_pings(&mut frames);
            bytes = frames;
            if bytes.is_empty() {
                return Ok(bytes);
            }
        }
        if bytes.len() <= WRITE_BYTES_MAX {
            return self.send_piece(bytes).await;
        }
        for piece in bytes.chunks(WRITE_BYTES_MAX) {
            self.send_piece(piece.to_vec()).await?;
        }
        Ok(Vec::new())
    }

    async fn send_piece(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>, GatewayError> {
        self.deadline.set(Instant::now().after(self.write_timeout));
        let written = self.connection.writer.write_all(bytes).await;
        let stalled = written.is_err() && self.deadline.has_passed(Instant::now());
        self.deadline.clear();
        written.map_err(|_| {
            if stalled { GatewayError::ClientStalled } else { GatewayError::ClientLeft }
        })
    }
}

//! The two directions of one client connection: heads and bodies in, answers out.
//!
//! While it waits it also reads, so that a client that leaves is noticed and counted at once.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::answer::write_json;
use super::request::Head;
use super::service::{Service, add};
use super::shape;
use crate::framing::{BodyDecoder, Framing};
use crate::wire::Wire;

/// Room kept free for each read; also the buffer a quiet connection holds.
const READ_BYTES: usize = 16 << 10;
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Largest JSON body that is kept to look into.
const BODY_BYTES_MAX: usize = 64 << 20;

/// The client has left, or the connection broke.
pub struct Disconnect;

impl From<std::io::Error> for Disconnect {
    fn from(_: std::io::Error) -> Self {
        Self
    }
}

#[derive(PartialEq)]
pub enum ConnectionReuse {
    KeepAlive,
    Close,
}

pub struct Connection {
    pub wire: Wire,
    pub service: Arc<Service>,
    /// What has been read and not dealt with; at most one body of a kept kind and 64 KiB beyond.
    pub input: Vec<u8>,
    /// The answer as far as it is not sent.
    pub output: Vec<u8>,
    /// The body of a chunked request that must be looked into.
    pub decoded: Vec<u8>,
}

impl Connection {
    pub fn new(wire: Wire, service: Arc<Service>) -> Self {
        Self {
            wire,
            service,
            input: Vec::with_capacity(READ_BYTES),
            output: Vec::new(),
            decoded: Vec::new(),
        }
    }

    /// Reads until a head is whole. `None`: the client is done, or sent no HTTP.
    pub async fn head(&mut self) -> Result<Option<Head>, Disconnect> {
        loop {
            if !self.input.is_empty() {
                match Head::parse(&self.input) {
                    Ok(Some(head)) => return Ok(Some(head)),
                    Ok(None) if self.input.len() < HEAD_BYTES_MAX => {}
                    refused => {
                        let message = refused.err().unwrap_or("the head is too large");
                        let body = shape::error("invalid_request_error", "bad_request", message);
                        self.output.clear();
                        write_json(
                            &mut self.output,
                            "400 Bad Request",
                            "connection: close\r\n",
                            &body,
                        );
                        self.flush().await?;
                        return Ok(None);
                    }
                }
            }
            if self.fill().await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Reads a body whole: into `decoded` if chunked, else it stays in `input`. The range is what to consume up to,
    /// and for a body with a length also where it is.
    pub async fn keep_body(&mut self, head: &Head) -> Result<Option<Range<usize>>, Disconnect> {
        let Framing::Length(length) = head.framing else {
            return self.decode_body(head).await;
        };
        let Some(length) = usize::try_from(length).ok().filter(|length| *length <= BODY_BYTES_MAX)
        else {
            return Ok(None);
        };
        let end = head.bytes + length;
        self.input.reserve(end.saturating_sub(self.input.len()));
        while self.input.len() < end {
            if self.fill().await? == 0 {
                return Err(Disconnect);
            }
        }
        Ok(Some(head.bytes..end))
    }

    async fn decode_body(&mut self, head: &Head) -> Result<Option<Range<usize>>, Disconnect> {
        let mut decoder = BodyDecoder::new(head.framing);
        self.decoded.clear();
        self.consume(head.bytes);
        loop {
            let mut at = 0;
            while at < self.input.len() && !decoder.is_done() {
                let Ok(step) = decoder.next(&self.input[at..]) else {
                    return Ok(None);
                };
                self.decoded.extend_from_slice(step.payload);
                at += step.consumed;
            }
            if decoder.is_done() {
                return Ok(Some(at..at));
            }
            self.input.clear();
            if self.decoded.len() > BODY_BYTES_MAX {
                return Ok(None);
            }
            if self.fill().await? == 0 {
                return Err(Disconnect);
            }
        }
    }

    /// Reads a body of any size without keeping it; its length.
    pub async fn skip_body(&mut self, head: &Head) -> Result<Option<u64>, Disconnect> {
        let mut decoder = BodyDecoder::new(head.framing);
        let mut body_bytes = 0;
        self.consume(head.bytes);
        while !decoder.is_done() {
            let mut at = 0;
            while at < self.input.len() && !decoder.is_done() {
                let Ok(step) = decoder.next(&self.input[at..]) else {
                    return Ok(None);
                };
                body_bytes += step.payload.len() as u64;
                at += step.consumed;
            }
            self.consume(at);
            if !decoder.is_done() && self.fill().await? == 0 {
                return Err(Disconnect);
            }
        }
        Ok(Some(body_bytes))
    }

    /// Sleeps until then, or ends at once if the client leaves.
    pub async fn wait_until(&mut self, deadline: Instant) -> Result<(), Disconnect> {
        let timer = Arc::clone(&self.service.timer);
        while self.input.len() < HEAD_BYTES_MAX {
            tokio::select! {
                biased;
                () = timer.sleep_until(deadline) => return Ok(()),
                read = self.fill() => if read? == 0 {
                    return Err(Disconnect);
                },
            }
        }
        timer.sleep_until(deadline).await;
        Ok(())
    }

    /// Reads once; 0 is the end of the connection.
    pub async fn fill(&mut self) -> Result<usize, Disconnect> {
        if self.input.capacity() - self.input.len() < READ_BYTES / 4 {
            self.input.reserve(READ_BYTES);
        }
        let read = self.wire.read_buf(&mut self.input).await?;
        add(&self.service.counters.bytes_in, read as u64);
        Ok(read)
    }

    /// Sends `output`.
    pub async fn flush(&mut self) -> Result<(), Disconnect> {
        self.wire.write_all(&self.output).await?;
        self.wire.flush().await?;
        self.output.clear();
        Ok(())
    }

    /// Drops what the client has sent on.
    pub fn forget_input(&mut self) {
        self.input.clear();
    }

    /// Takes the first bytes off the input and gives back what a large body left of memory.
    pub fn consume(&mut self, bytes: usize) {
        if bytes == self.input.len() {
            self.input.clear();
            self.input.shrink_to(READ_BYTES * 4);
            self.decoded.shrink_to(READ_BYTES * 4);
        } else {
            self.input.drain(..bytes);
        }
    }
}

//! Sending of a vendor's reply: framed, paced, cut in the middle, or framed wrongly.

use std::time::{Duration, Instant};

use super::connection::{Connection, ConnectionReuse, Disconnect};
use super::dialects::{Body, Reply};
use super::fault::Fault;
use super::request::{Head, Route};

/// How much of a body goes out, and in which frame.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    Whole,
    /// All of it, ended by the close that follows.
    UntilClose,
    /// The first half, without an end.
    Half,
}

impl Connection {
    /// Sends the reply as it is meant, which may be to break off.
    pub async fn send_reply(
        &mut self,
        reply: &Reply,
        head: &Head,
    ) -> Result<ConnectionReuse, Disconnect> {
        let extent = if reply.cut { Extent::Half } else { Extent::Whole };
        self.write_reply(reply, head, extent).await?;
        self.flush().await?;
        Ok(if reply.cut { ConnectionReuse::Close } else { ConnectionReuse::KeepAlive })
    }

    /// Fills `output` with a reply whose end is cut, broken or only marked by the close that follows.
    pub async fn misframe_reply(
        &mut self,
        reply: &Reply,
        head: &Head,
        fault: Fault,
    ) -> Result<(), Disconnect> {
        let extent = if fault == Fault::CloseDelimited { Extent::UntilClose } else { Extent::Half };
        // A broken chunk needs chunks to stand in.
        let chunked;
        let reply = match &reply.body {
            Body::Whole(body) if fault == Fault::BadChunk => {
                chunked = Reply {
                    body: Body::Events(vec![body.clone()]),
                    fields: reply.fields.clone(),
                    ..*reply
                };
                &chunked
            }
            _ => reply,
        };
        self.write_reply(reply, head, extent).await
    }

    async fn write_reply(
        &mut self,
        reply: &Reply,
        head: &Head,
        extent: Extent,
    ) -> Result<(), Disconnect> {
        match &reply.body {
            Body::Whole(body) => {
                let framing = match extent {
                    Extent::UntilClose => "connection: close".to_owned(),
                    _ => format!("content-length: {}", body.len()),
                };
                self.write_reply_head(reply, &framing);
                let sent = if extent == Extent::Half { body.len() / 2 } else { body.len() };
                self.output.extend_from_slice(&body[..sent]);
                Ok(())
            }
            Body::Events(events) => {
                let chunked = extent != Extent::UntilClose;
                let framing =
                    if chunked { "transfer-encoding: chunked" } else { "connection: close" };
                self.write_reply_head(reply, framing);
                self.write_events(events, head, extent).await
            }
        }
    }

    fn write_reply_head(&mut self, reply: &Reply, framing: &str) {
        let Reply { status, content_type, fields, .. } = reply;
        let reason = reason(*status);
        let head = format!(
            "HTTP/1.1 {status} {reason}\r\ncontent-type: {content_type}\r\n{fields}{framing}\r\n\r\n"
        );
        self.output.extend_from_slice(head.as_bytes());
    }

    /// Events at their pace, each a chunk; half of them end within an event.
    async fn write_events(
        &mut self,
        events: &[Vec<u8>],
        head: &Head,
        extent: Extent,
    ) -> Result<(), Disconnect> {
        let per_second =
            head.overrides.tokens_per_second.unwrap_or(self.service.options.tokens_per_second);
        let start = Instant::now();
        let sent = if extent == Extent::Half { events.len() / 2 } else { events.len() };
        for (index, event) in events.iter().take(sent).enumerate() {
            if per_second > 0.0 && index > 0 {
                self.flush().await?;
                let due = start + Duration::from_secs_f64(index as f64 / per_second);
                self.wait_until(due).await?;
            }
            self.write_chunk(event, extent);
        }
        match (extent, events.get(sent)) {
            (Extent::Half, Some(event)) => self.write_chunk(&event[..event.len() / 2], extent),
            (Extent::Whole, _) => self.output.extend_from_slice(b"0\r\n\r\n"),
            _ => {}
        }
        Ok(())
    }

    fn write_chunk(&mut self, payload: &[u8], extent: Extent) {
        if extent == Extent::UntilClose {
            return self.output.extend_from_slice(payload);
        }
        self.output.extend_from_slice(format!("{:x}\r\n", payload.len()).as_bytes());
        self.output.extend_from_slice(payload);
        self.output.extend_from_slice(b"\r\n");
    }
}

/// The reply that a vendor gives to the request of this head when it fails with a status.
pub fn failure(head: &Head, status: u16) -> Option<Reply> {
    match &head.route {
        Route::Vendor(endpoint) => Some(super::dialects::failure(endpoint, status)),
        _ => None,
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        408 => "Request Timeout",
        409 => "Conflict",
        413 => "Content Too Large",
        422 => "Unprocessable Content",
        424 => "Failed Dependency",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        529 => "Overloaded",
        _ => "Unknown",
    }
}

//! One client connection: heads in, exchanges one after another, and its end.
//!
//! The small state here is all that an idle keep-alive connection costs, besides its 4 KiB read;
//! the state of an exchange is allocated for its duration only.

use std::rc::Rc;
use std::time::Duration;

use crate::base::Instant;
use crate::gateway::context::{
    Client, ConnectionReuse, Exchange, GatewayError, RequestContext, SharedDeadline,
    dialect_of_path,
};
use crate::gateway::respond::error;
use crate::gateway::worker::Worker;
use crate::gateway::{pipeline, settle};
use crate::http::{HeadLimits, RequestHead};
use crate::llm::Dialect;
use crate::shard::{Connection, within};
use crate::telemetry::Counter;

/// After the last response on a connection, a client gets so long and so many bytes to read it:
/// closing with unread bytes makes the kernel reset the connection and take the response with it.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES_MAX: usize = 1024 * 1024;

/// Serves a connection from its first byte to its end.
pub(crate) async fn serve(worker: Rc<Worker>, connection: Connection, deadline: SharedDeadline) {
    let server = &worker.snapshot().settings.server;
    let write_timeout = server.client_write_timeout;
    let mut client = Client::new(connection, write_timeout, deadline);
    // On the heap, as all that is not the waiting for a request: thousands of idle connections pay
    // for what stands here.
    if Box::pin(tls_handshake(&worker, &mut client.connection)).await {
        serve_requests(&worker, &mut client).await;
    }
}

async fn tls_handshake(worker: &Worker, connection: &mut Connection) -> bool {
    let snapshot = worker.snapshot();
    let Some(tls) = snapshot.server_tls() else { return true };
    let deadline = Instant::now().after(snapshot.settings.server.head_timeout);
    let done = matches!(within(deadline, connection.accept_tls(tls)).await, Ok(Ok(())));
    if !done {
        worker.recorder().count(Counter::TlsHandshakeErrors);
    }
    done
}

async fn serve_requests(worker: &Rc<Worker>, client: &mut Client) {
    let mut head = RequestHead::default();
    let mut first = true;
    loop {
        head.clear();
        let started = match next_head(worker, client, &mut head, first).await {
            Ok(Some(started)) => started,
            Ok(None) => return,
            Err(failure) => {
                Box::pin(refuse(worker, client, &failure)).await;
                Box::pin(linger(client)).await;
                return;
            }
        };
        first = false;
        let reuse = if worker.is_overloaded() {
            worker.recorder().count(Counter::RequestsOverloaded);
            let failure = GatewayError::Overloaded("requests in flight");
            let context = RequestContext::new(worker, &head);
            Box::pin(fail(Exchange::new(&context, client, started), &failure)).await;
            ConnectionReuse::Close
        } else {
            Box::pin(serve_request(worker, client, &head, started)).await
        };
        if reuse == ConnectionReuse::Close {
            Box::pin(linger(client)).await;
            return;
        }
        if client.connection.reader.bytes().is_empty() {
            client.connection.reader.shrink();
            // An idle connection keeps nothing but its read: the allocations for the next request
            // cost it a tenth of a microsecond.
            client.out = Vec::new();
            head = RequestHead::default();
        }
    }
}

async fn serve_request(
    worker: &Rc<Worker>,
    client: &mut Client,
    head: &RequestHead,
    started: Instant,
) -> ConnectionReuse {
    let context = RequestContext::new(worker, head);
    pipeline::run(Exchange::new(&context, client, started)).await
}

/// Reads the next head; `None` when the client closed between requests or was idle for too long.
async fn next_head(
    worker: &Worker,
    client: &mut Client,
    head: &mut RequestHead,
    first: bool,
) -> Result<Option<Instant>, GatewayError> {
    let snapshot = worker.snapshot();
    let server = &snapshot.settings.server;
    let limits = HeadLimits::default();
    let mut deadline = None;
    let mut started = Instant::now();
    loop {
        let reader = &mut client.connection.reader;
        if !reader.bytes().is_empty() {
            if deadline.is_none() {
                started = Instant::now();
                deadline = Some(started.after(server.head_timeout));
            }
            match head.parse(reader.bytes(), &limits) {
                Ok(Some(taken)) => {
                    reader.consume(taken);
                    return Ok(Some(started));
                }
                Ok(None) => {}
                Err(error) => return Err(GatewayError::Head(error)),
            }
        }
        let filled = match deadline {
            // On the heap: a timer is as large as all else that an idle connection keeps.
            Some(deadline) => Box::pin(within(deadline, reader.fill()))
                .await
                .map_err(|_| GatewayError::RequestTimeout("the headers arrived too slowly"))?,
            None => {
                // A connection without its first byte is held to the deadline of a head.
                let idle = if first { server.head_timeout } else { server.keep_alive_timeout };
                client.deadline.set(started.after(idle));
                let filled = reader.fill().await;
                client.deadline.clear();
                filled
            }
        };
        if !matches!(filled, Ok(count) if count > 0) {
            return Ok(None);
        }
    }
}

/// Answers bytes that are no request. There is no head to answer to, so an empty one stands in.
async fn refuse(worker: &Rc<Worker>, client: &mut Client, failure: &GatewayError) {
    let head = RequestHead::default();
    // What was understood of the request line is enough to answer in the client's dialect.
    let dialect = dialect_of_line(client.connection.reader.bytes());
    let context = RequestContext::new(worker, &head);
    let mut exchange = Exchange::new(&context, client, Instant::now());
    exchange.record.client_format.dialect = dialect;
    fail(exchange, failure).await;
}

/// Ends an exchange that never came into the pipeline.
async fn fail(mut exchange: Exchange<'_>, failure: &GatewayError) {
    exchange.record.client.close = true;
    error::send_error(&mut exchange, failure).await;
    settle::settle(&mut exchange, Some(failure));
}

fn dialect_of_line(bytes: &[u8]) -> Dialect {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let target = line.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
    dialect_of_path(std::str::from_utf8(path).unwrap_or_default())
}

async fn linger(client: &mut Client) {
    client.connection.finish().await;
    let deadline = Instant::now().after(LINGER);
    let mut dropped = 0;
    while dropped < LINGER_BYTES_MAX {
        let reader = &mut client.connection.reader;
        let held = reader.bytes().len();
        reader.consume(held);
        match within(deadline, reader.fill()).await {
            Ok(Ok(count)) if count > 0 => dropped += count,
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of the future that `function` makes.
    fn future_bytes<'a, F: Future>(
        _function: impl Fn(&'a Rc<Worker>, &'a mut Client, &'a RequestHead, Instant) -> F,
    ) -> usize {
        size_of::<F>()
    }

    #[test]
    fn request_future_stays_small() {
        let bytes = future_bytes(serve_request);
        assert!(bytes <= 3_480, "{bytes} bytes are allocated for each request");
    }
}

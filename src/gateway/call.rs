//! One call to one provider: the request goes out, the head of the answer comes back.
//!
//! Nothing is repeated here but one thing: a call on a reused idle connection that died before
//! any byte of an answer is made once more on a new connection, since the provider had closed it
//! before it could see the request.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use super::answer::{Answer, Link};
use super::asker::Asker;
use super::body::Pace;
use super::encode::{encode, whole_body};
use super::endpoint::{Endpoint, behind_version};
use super::failure::Failure;
use super::prepare::Attempt;
use super::recall;
use super::receive::{Body, Request};
use super::record::Exchange;
use super::token;
use crate::base::{Instant, unix_now};
use crate::http::{Framing, HeadLimits, LAST_CHUNK, ResponseHead, write_chunk};
use crate::llm::Usage;
use crate::providers::echo_answer;
use crate::shard::{Connection, DialError, Pool, Pooled, Reader, within};
use crate::telemetry::Counter;

/// Bounds of an answer's head: vendors send more fields than clients do.
const ANSWER_HEAD: HeadLimits =
    HeadLimits { head_bytes_max: 64 * 1024, target_bytes_max: 0, fields_max: 200 };

/// Interim answers (1xx) taken for one request, at most.
const INTERIM_MAX: usize = 8;

/// What is noted of a call, also of one that is cut off.
#[derive(Default)]
pub(super) struct Notes {
    /// An empty allocation for the request.
    pub out: Vec<u8>,
    /// Connections that were tried.
    pub connections: u32,
    /// The last one had served before.
    pub reused: bool,
    /// The whole request has gone out: tokens may have been spent.
    pub sent: bool,
    /// What earlier parts of the request used.
    pub used: Option<Usage>,
}

/// Why a call failed, with what decides whether it may be repeated.
struct Broken {
    failure: Failure,
    /// No byte of an answer had come, and the connection had ended.
    died_silently: bool,
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        Self { failure, died_silently: false }
    }
}

/// Calls the provider with a request whose body is kept.
pub(super) async fn call(
    asker: &Asker<'_>,
    attempt: &Attempt,
    request: &Request,
    notes: &mut Notes,
) -> Result<Answer, Failure> {
    let deadline = Instant::now().after(attempt.timeouts.total);
    let Some(pool) = &attempt.upstream.pool else {
        return echo(asker, attempt, request, (notes, deadline));
    };
    token::ready(attempt).await?;
    let mut may_reuse = request.endpoint != Endpoint::Realtime;
    loop {
        let mut pooled = connect(asker, attempt, pool, (may_reuse, deadline)).await?;
        let reused = pooled.reused;
        notes.connections += 1;
        notes.reused = reused;
        let call = Call { asker, attempt, endpoint: request.endpoint, deadline };
        match call.make(&mut pooled.connection, request, notes).await {
            Ok(head) => {
                let reusable = head.keep_alive();
                return Ok(Answer::new(Link::Pooled { pooled, reusable }, head, deadline));
            }
            Err(broken) => {
                if !(reused && broken.died_silently) {
                    return Err(broken.failure);
                }
                may_reuse = false;
                asker.worker.recorder().count(Counter::UpstreamRetriedStale);
            }
        }
    }
}

/// Calls the provider with a request whose body is still on the client's connection. It can be sent only
/// once: `notes.sent` is also true where a part of it was.
pub(super) async fn call_streamed(
    exchange: &mut Exchange<'_>,
    attempt: &Attempt,
    request: &mut Request,
    notes: &mut Notes,
) -> Result<Answer, Failure> {
    let asker = exchange.asker;
    let deadline = Instant::now().after(attempt.timeouts.total);
    let Some(pool) = &attempt.upstream.pool else {
        return echo(asker, attempt, request, (notes, deadline));
    };
    let ready = async {
        token::ready(attempt).await?;
        connect(asker, attempt, pool, (false, deadline)).await
    };
    let mut pooled = recall::while_needed(exchange, ready).await??;
    notes.connections += 1;
    let message = encode(std::mem::take(&mut notes.out), asker, attempt, request)?;
    let call = Call { asker, attempt, endpoint: request.endpoint, deadline };
    notes.sent = true;
    let connection = &mut pooled.connection;
    let sent_whole = Box::pin(call.pump(exchange, connection, message, &mut request.body)).await?;
    let limit = Instant::now().after(attempt.timeouts.first_byte).min(deadline);
    let head = within(limit, call.head(&mut pooled.connection));
    let head = match recall::while_needed(exchange, head).await? {
        Ok(head) => head.map_err(|broken| broken.failure)?,
        Err(_) => return Err(call.timed_out("first byte")),
    };
    let reusable = sent_whole && head.keep_alive();
    Ok(Answer::new(Link::Pooled { pooled, reusable }, head, deadline))
}

/// An idle connection, or a new one: always new after a failed attempt, for a body that can be
/// sent only once, and for what becomes a WebSocket.
async fn connect(
    asker: &Asker<'_>,
    attempt: &Attempt,
    pool: &Pool,
    (may_reuse, deadline): (bool, Instant),
) -> Result<Pooled, Failure> {
    let worker = asker.worker;
    if may_reuse && let Some(pooled) = pool.take(|event| worker.note_pool(event)) {
        return Ok(pooled);
    }
    worker.recorder().count(Counter::UpstreamConnectsStarted);
    let limit = deadline.min(Instant::now().after(attempt.timeouts.connect));
    let provider = || attempt.upstream.provider.name.clone();
    // On the heap, like everything rare: the future of each request has room for the usual only.
    let failure = match Box::pin(within(limit, pool.connect(worker.dialer()))).await {
        Ok(Ok(pooled)) => return Ok(pooled),
        Err(_) => {
            let is_all = deadline.since(Instant::now()) == Duration::ZERO;
            let phase = if is_all { "total" } else { "connect" };
            Failure::UpstreamTimeout { provider: provider(), phase }
        }
        Ok(Err(error)) => {
            let reason = match error {
                DialError::Name(_) => {
                    worker.recorder().count(Counter::DnsErrors);
                    "its name has no address"
                }
                DialError::Connect(_) => "connection refused or lost",
                DialError::Tls(_) => {
                    worker.recorder().count(Counter::TlsHandshakeErrors);
                    "TLS handshake failed"
                }
            };
            Failure::Unreachable { provider: provider(), reason }
        }
    };
    worker.recorder().count(Counter::UpstreamConnectErrors);
    Err(failure)
}

/// One request on one connection.
struct Call<'c> {
    asker: &'c Asker<'c>,
    attempt: &'c Attempt,
    endpoint: Endpoint,
    deadline: Instant,
}

impl Call<'_> {
    /// Sends the request and reads the head of the answer.
    async fn make(
        &self,
        connection: &mut Connection,
        request: &Request,
        notes: &mut Notes,
    ) -> Result<ResponseHead, Broken> {
        let message = encode(std::mem::take(&mut notes.out), self.asker, self.attempt, request)?;
        // One timer for the sending and the wait for the answer.
        let limit = Instant::now().after(self.attempt.timeouts.first_byte).min(self.deadline);
        let answering = async {
            notes.out = send(connection, message).await;
            notes.sent = true;
            self.head(connection).await
        };
        match within(limit, answering).await {
            Ok(head) => head,
            Err(_) => Err(self.timed_out("first byte").into()),
        }
    }

    async fn send_in_time(
        &self,
        exchange: &mut Exchange<'_>,
        connection: &mut Connection,
        message: Vec<u8>,
    ) -> Result<(), Failure> {
        let limit = self.deadline.min(Instant::now().after(self.attempt.timeouts.idle));
        match recall::while_needed(exchange, within(limit, send(connection, message))).await? {
            Ok(out) => exchange.client.out = out,
            Err(_) => return Err(self.timed_out("sending")),
        }
        Ok(())
    }

    /// Moves the client's body to the provider, keeping none of it. False if the provider answered
    /// before the body was through.
    async fn pump(
        &self,
        exchange: &mut Exchange<'_>,
        connection: &mut Connection,
        message: Vec<u8>,
        body: &mut Body,
    ) -> Result<bool, Failure> {
        self.send_in_time(exchange, connection, message).await?;
        let Body::Streamed { framing, incoming } = body else { return Ok(true) };
        exchange.invite_body().await?;
        let server = &exchange.snapshot.settings.server;
        let limit = server.stream_body_bytes_max;
        let pace = Pace::new(server.body_bytes_per_second_min);
        loop {
            let mut out = std::mem::take(&mut exchange.client.out);
            let before = exchange.record.request_bytes;
            let received = &mut exchange.record.request_bytes;
            let reader = &mut exchange.client.connection.reader;
            let done = incoming
                .drain(reader, |run| {
                    *received += run.len() as u64;
                    match *framing {
                        Framing::Chunked => write_chunk(&mut out, run),
                        _ => out.extend_from_slice(run),
                    }
                })
                .map_err(Failure::Body)?;
            if exchange.record.request_bytes > limit {
                return Err(Failure::BodyTooLarge { limit });
            }
            if done && *framing == Framing::Chunked {
                out.extend_from_slice(LAST_CHUNK);
            }
            let left = exchange.client.connection.reader.bytes().len();
            if done || exchange.record.request_bytes > before {
                self.send_in_time(exchange, connection, out).await?;
            }
            if done {
                exchange.record.body_unread = false;
                return Ok(true);
            }
            if exchange.client.connection.reader.bytes().len() > left {
                // More has come while we were sending, perhaps the end.
                continue;
            }
            let patience = pace.deadline(exchange.record.request_bytes).min(self.deadline);
            let client = &mut exchange.client.connection.reader;
            let upstream = &mut connection.reader;
            let either = poll_fn(|context| {
                if let Poll::Ready(outcome) = client.poll_fill(context) {
                    return Poll::Ready(Some(outcome));
                }
                upstream.poll_fill(context).map(|_| None)
            });
            match within(patience, either).await {
                Err(_) => {
                    return Err(Failure::RequestTimeout("its body came too slowly"));
                }
                Ok(Some(Ok(0) | Err(_))) => return Err(Failure::ClientLeft),
                Ok(Some(Ok(_))) => {}
                Ok(None) => return Ok(false),
            }
        }
    }

    async fn head(&self, connection: &mut Connection) -> Result<ResponseHead, Broken> {
        let mut head = ResponseHead::default();
        let method = self.asker.head.method();
        let upgrades = self.endpoint == Endpoint::Realtime;
        let mut interim = 0;
        loop {
            let reader = &mut connection.reader;
            if !reader.bytes().is_empty() {
                let parsed = head.parse(reader.bytes(), method, &ANSWER_HEAD);
                let taken = parsed.map_err(|_| self.invalid("its head is malformed"))?;
                if let Some(taken) = taken {
                    reader.consume(taken);
                    if !head.is_informational() || upgrades && head.status() == 101 {
                        return Ok(head);
                    }
                    interim += 1;
                    if head.status() == 101 || interim > INTERIM_MAX {
                        return Err(self.invalid("an unasked interim answer").into());
                    }
                    head.clear();
                    continue;
                }
            }
            let silent = reader.bytes().is_empty() && interim == 0;
            match reader.fill().await {
                Ok(count) if count > 0 => {}
                _ => {
                    let failure = self.invalid("it closed the connection without an answer");
                    return Err(Broken { failure, died_silently: silent });
                }
            }
        }
    }

    fn invalid(&self, reason: &'static str) -> Failure {
        Failure::InvalidAnswer { provider: self.attempt.upstream.provider.name.clone(), reason }
    }

    fn timed_out(&self, phase: &'static str) -> Failure {
        let is_all = self.deadline.since(Instant::now()) == Duration::ZERO;
        let phase = if is_all { "total" } else { phase };
        Failure::UpstreamTimeout { provider: self.attempt.upstream.provider.name.clone(), phase }
    }
}

/// Sends, and gives the emptied allocation back. The answer may have come and the connection closed
/// before all was sent; a refusal of a large body looks like this. The head tells.
async fn send(connection: &mut Connection, message: Vec<u8>) -> Vec<u8> {
    connection.writer.write_all(message).await.unwrap_or_default()
}

/// Lets the built-in provider answer; its bytes take the way of any provider's.
fn echo(
    asker: &Asker<'_>,
    attempt: &Attempt,
    request: &Request,
    (notes, deadline): (&mut Notes, Instant),
) -> Result<Answer, Failure> {
    notes.connections = 1;
    notes.sent = true;
    let body = whole_body(attempt, request).unwrap_or_default();
    let head = asker.head;
    let own = behind_version(head.path()).unwrap_or(head.path());
    let path = attempt.path.as_deref().unwrap_or(own);
    let now = unix_now().as_secs();
    let mut reader = Reader::from_bytes(echo_answer(head.method().as_str(), path, &body, now));
    let mut head = ResponseHead::default();
    let parsed = head.parse(reader.bytes(), asker.head.method(), &ANSWER_HEAD);
    let Ok(Some(taken)) = parsed else {
        let provider = attempt.upstream.provider.name.clone();
        return Err(Failure::InvalidAnswer { provider, reason: "its head is malformed" });
    };
    reader.consume(taken);
    Ok(Answer::new(Link::Memory(reader), head, deadline))
}

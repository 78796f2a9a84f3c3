//! Stage `forward`: the request goes to the provider, the head of its answer comes back.
//!
//! Nothing is repeated here but one thing: a call on a reused idle connection that died before
//! any byte of an answer is made once more on a new connection, since the provider had closed it
//! before it could see the request.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use super::body::{Incoming, Pace};
use super::encode::{encode, whole_body};
use super::endpoint::{Endpoint, behind_version};
use super::failure::Failure;
use super::recall;
use super::receive::{Body, Request};
use super::record::Exchange;
use super::route::Plan;
use super::token;
use crate::base::Instant;
use crate::http::{Framing, HeadLimits, LAST_CHUNK, ResponseHead, write_chunk};
use crate::providers::echo_answer;
use crate::shard::{Connection, DialError, Pool, Pooled, Reader, Watchdog, within};
use crate::telemetry::Counter;

/// Bounds of an answer's head: vendors send more fields than clients do.
const ANSWER_HEAD: HeadLimits =
    HeadLimits { head_bytes_max: 64 * 1024, target_bytes_max: 0, fields_max: 200 };

/// Interim answers (1xx) taken for one request, at most.
const INTERIM_MAX: usize = 8;

/// Gateways a request may have passed; more is a loop.
const HOPS_MAX: u32 = 8;

/// A provider's answer whose head has come.
pub(super) struct Answer {
    pub link: Link,
    pub head: ResponseHead,
    pub incoming: Incoming,
    /// When the whole call must be over.
    pub deadline: Instant,
    /// Made when the answer is first waited for: most answers come whole with their head.
    pub watchdog: Option<Watchdog>,
}

/// Where an answer comes from.
pub(super) enum Link {
    /// A provider's connection; dropped and so closed unless [`Answer::done`] says that all is well.
    Pooled { pooled: Pooled, reusable: bool },
    /// The built-in echo.
    Memory(Reader),
}

impl Link {
    /// The receiving side.
    pub(super) fn reader(&mut self) -> &mut Reader {
        match self {
            Self::Pooled { pooled, .. } => &mut pooled.connection.reader,
            Self::Memory(reader) => reader,
        }
    }
}

/// Why an attempt failed, with what decides whether it may be repeated.
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

/// Calls the provider.
pub(super) async fn forward(
    exchange: &mut Exchange<'_>,
    plan: &Plan,
    request: &mut Request,
) -> Result<Answer, Failure> {
    let begun = Instant::now();
    let deadline = begun.after(plan.timeouts.total);
    let Some(pool) = &plan.upstream.pool else {
        return echo(exchange, plan, request, deadline);
    };
    let hops = count_hops(exchange)?;
    token::ready(exchange, plan).await?;
    let waited = exchange.record.upstream;
    let mut may_reuse =
        !matches!(request.body, Body::Streamed { .. }) && request.endpoint != Endpoint::Realtime;
    loop {
        exchange.record.attempts += 1;
        let mut pooled = connect(exchange, plan, pool, may_reuse, deadline).await?;
        let reused = pooled.reused;
        exchange.record.reused_connection = reused;
        let call = Call { plan, hops, deadline };
        let outcome = call.make(exchange, &mut pooled.connection, request).await;
        exchange.record.upstream = waited + begun.elapsed();
        match outcome {
            Ok((head, reusable)) => {
                let incoming = Incoming::new(head.framing());
                let reusable = reusable && head.keep_alive();
                let link = Link::Pooled { pooled, reusable };
                return Ok(Answer { link, head, incoming, deadline, watchdog: None });
            }
            Err(broken) => {
                if !(reused && broken.died_silently) {
                    return Err(broken.failure);
                }
                may_reuse = false;
                exchange.worker.recorder().count(Counter::UpstreamRetriedStale);
            }
        }
    }
}

/// An idle connection, or a new one: always new after a failed attempt, for a body that can be
/// sent only once, and for what becomes a WebSocket.
async fn connect(
    exchange: &mut Exchange<'_>,
    plan: &Plan,
    pool: &Pool,
    may_reuse: bool,
    deadline: Instant,
) -> Result<Pooled, Failure> {
    let worker = exchange.worker;
    if may_reuse && let Some(pooled) = pool.take(|event| worker.note_pool(event)) {
        return Ok(pooled);
    }
    worker.recorder().count(Counter::UpstreamConnectsStarted);
    let limit = deadline.min(Instant::now().after(plan.timeouts.connect));
    let provider = || plan.upstream.provider.name.clone();
    // On the heap, like everything rare: the future of each request has room for the usual only.
    let connecting = Box::pin(within(limit, pool.connect(worker.dialer())));
    let outcome = recall::while_needed(exchange, connecting).await?;
    let failure = match outcome {
        Ok(Ok(pooled)) => return Ok(pooled),
        Err(_) => Failure::UpstreamTimeout { provider: provider(), phase: "connect" },
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
struct Call<'p> {
    plan: &'p Plan,
    hops: u32,
    deadline: Instant,
}

impl Call<'_> {
    /// Sends the request and reads the head of the answer; also says whether the connection may
    /// serve again once the body has been read.
    async fn make(
        &self,
        exchange: &mut Exchange<'_>,
        connection: &mut Connection,
        request: &mut Request,
    ) -> Result<(ResponseHead, bool), Broken> {
        let message = encode(exchange, self.plan, self.hops, request)?;
        let mut sent_whole = true;
        let mut unsent = Some(message);
        if let Body::Streamed { framing, incoming } = &mut request.body {
            let message = unsent.take().unwrap_or_default();
            self.send_in_time(exchange, connection, message).await?;
            sent_whole = Box::pin(self.pump(exchange, connection, *framing, incoming)).await?;
        }
        // One timer for the sending of what is small and the wait for its answer.
        let limit = Instant::now().after(self.plan.timeouts.first_byte).min(self.deadline);
        let answering = async {
            if let Some(message) = unsent {
                self.send(exchange, connection, message).await?;
            }
            exchange.record.sent_upstream = true;
            self.head(exchange, connection).await
        };
        match within(limit, answering).await {
            Ok(head) => Ok((head?, sent_whole)),
            Err(_) => Err(self.timed_out("first byte").into()),
        }
    }

    async fn send_in_time(
        &self,
        exchange: &mut Exchange<'_>,
        connection: &mut Connection,
        message: Vec<u8>,
    ) -> Result<(), Broken> {
        let limit = self.deadline.min(Instant::now().after(self.plan.timeouts.idle));
        match within(limit, self.send(exchange, connection, message)).await {
            Ok(sent) => sent,
            Err(_) => Err(self.timed_out("sending").into()),
        }
    }

    async fn send(
        &self,
        exchange: &mut Exchange<'_>,
        connection: &mut Connection,
        message: Vec<u8>,
    ) -> Result<(), Broken> {
        let writing = connection.writer.write_all(message);
        let written = recall::while_needed(exchange, writing).await?;
        // The answer may have come and the connection closed before all was sent; a refusal of a
        // large body looks like this. The head tells.
        if let Ok(out) = written {
            exchange.client.out = out;
        }
        Ok(())
    }

    /// Moves the client's body to the provider, keeping none of it. False if the provider answered
    /// before the body was through.
    async fn pump(
        &self,
        exchange: &mut Exchange<'_>,
        connection: &mut Connection,
        framing: Framing,
        incoming: &mut Incoming,
    ) -> Result<bool, Broken> {
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
                    match framing {
                        Framing::Chunked => write_chunk(&mut out, run),
                        _ => out.extend_from_slice(run),
                    }
                })
                .map_err(Failure::Body)?;
            if exchange.record.request_bytes > limit {
                return Err(Failure::BodyTooLarge { limit }.into());
            }
            if done && framing == Framing::Chunked {
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
                    return Err(Failure::RequestTimeout("its body came too slowly").into());
                }
                Ok(Some(Ok(0) | Err(_))) => return Err(Failure::ClientLeft.into()),
                Ok(Some(Ok(_))) => {}
                Ok(None) => return Ok(false),
            }
        }
    }

    async fn head(
        &self,
        exchange: &mut Exchange<'_>,
        connection: &mut Connection,
    ) -> Result<ResponseHead, Broken> {
        let mut head = ResponseHead::default();
        let method = exchange.head.method();
        let upgrades = exchange.record.endpoint == Some(Endpoint::Realtime);
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
            let filling = reader.fill();
            match recall::while_needed(exchange, filling).await? {
                Ok(count) if count > 0 => {}
                _ => {
                    let failure = self.invalid("it closed the connection without an answer");
                    return Err(Broken { failure, died_silently: silent });
                }
            }
        }
    }

    fn invalid(&self, reason: &'static str) -> Failure {
        Failure::InvalidAnswer { provider: self.plan.upstream.provider.name.clone(), reason }
    }

    fn timed_out(&self, phase: &'static str) -> Failure {
        Failure::UpstreamTimeout { provider: self.plan.upstream.provider.name.clone(), phase }
    }
}

/// How many gateways the request will have passed.
fn count_hops(exchange: &Exchange<'_>) -> Result<u32, Failure> {
    let hops = exchange.head.get("x-ringgate-hops").and_then(|value| {
        std::str::from_utf8(value).ok().and_then(|text| text.parse::<u32>().ok())
    });
    match hops.unwrap_or(0).saturating_add(1) {
        hops if hops <= HOPS_MAX => Ok(hops),
        _ => Err(Failure::Invalid(
            "the request has passed too many gateways: a provider's base_url leads back here"
                .into(),
        )),
    }
}

/// Lets the built-in provider answer; its bytes take the way of any provider's.
fn echo(
    exchange: &mut Exchange<'_>,
    plan: &Plan,
    request: &Request,
    deadline: Instant,
) -> Result<Answer, Failure> {
    exchange.record.attempts = 1;
    let body = whole_body(plan, request).unwrap_or_default();
    let head = exchange.head;
    let own = behind_version(head.path()).unwrap_or(head.path());
    let path = plan.path.as_deref().unwrap_or(own);
    let now = exchange.record.at_unix.as_secs();
    let mut reader = Reader::from_bytes(echo_answer(head.method().as_str(), path, &body, now));
    exchange.record.sent_upstream = true;
    let mut head = ResponseHead::default();
    let parsed = head.parse(reader.bytes(), exchange.head.method(), &ANSWER_HEAD);
    let Ok(Some(taken)) = parsed else {
        let provider = plan.upstream.provider.name.clone();
        return Err(Failure::InvalidAnswer { provider, reason: "its head is malformed" });
    };
    reader.consume(taken);
    let incoming = Incoming::new(head.framing());
    Ok(Answer { link: Link::Memory(reader), head, incoming, deadline, watchdog: None })
}

impl Answer {
    /// Waits for more of the answer, for as long as the client is there and the provider keeps its
    /// time. 0 at the end of its stream.
    pub(super) async fn fill(
        &mut self,
        exchange: &mut Exchange<'_>,
        plan: &Plan,
    ) -> Result<usize, Failure> {
        let provider = || plan.upstream.provider.name.clone();
        let reader = self.link.reader();
        let begun = Instant::now();
        let limit = self.deadline.min(begun.after(plan.timeouts.idle));
        let watchdog = self.watchdog.get_or_insert_with(|| Watchdog::new(limit));
        let filling = watchdog.within(limit, reader.fill());
        let outcome = recall::while_needed(exchange, filling).await;
        exchange.record.upstream += begun.elapsed();
        match outcome? {
            Ok(Ok(count)) => Ok(count),
            Ok(Err(_)) => Err(Failure::InvalidAnswer {
                provider: provider(),
                reason: "its connection broke in the middle of the answer",
            }),
            Err(_) => {
                let whole = self.deadline.since(Instant::now()) == Duration::ZERO;
                let phase = if whole { "total" } else { "idle" };
                Err(Failure::UpstreamTimeout { provider: provider(), phase })
            }
        }
    }

    /// The answer has been read to its end: its connection may serve again.
    pub(super) fn done(self, plan: &Plan) {
        if let Link::Pooled { pooled, reusable: true } = self.link
            && let Some(pool) = &plan.upstream.pool
        {
            pool.put_back(pooled);
        }
    }
}

//! One call to one provider: the request goes out, the head of the response comes back.
//!
//! Nothing is repeated here but one thing: a call on a reused idle connection is made once more on a
//! new one if the connection died, or something else than a response was waiting on it, and the
//! provider's system had acknowledged no byte of the request. Had it acknowledged any, the provider
//! may have read the request, and whether to repeat it is up to the route's retries.
//!
//! A response is taken only if it can be one: not if it was there before the provider had any of the
//! request, and not if it reports success before the request was sent whole.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;

use super::auth;
use super::encode::{encode, whole_body};
use super::form_edits::OutgoingBody;
use super::request::UpstreamRequest;
use super::response::{Link, UpstreamResponse};
use crate::base::{Instant, unix_now};
use crate::gateway::context::{
    Body, CallStats, Endpoint, Exchange, GatewayError, MinimumRate, Request, RequestContext,
    behind_version,
};
use crate::gateway::downstream::disconnect;
use crate::http::{HeadLimits, ResponseHead};
use crate::providers::echo_answer;
use crate::shard::{Connection, DialError, Pool, Pooled, Reader, within};
use crate::telemetry::Counter;

/// Bounds of a response's head: vendors send more fields than clients do.
const ANSWER_HEAD: HeadLimits =
    HeadLimits { head_bytes_max: 64 * 1024, target_bytes_max: 0, fields_max: 200 };

/// Interim responses (1xx) taken for one request, at most.
const INTERIM_MAX: usize = 8;

/// Of an error response to a larger request the provider may have left a part unread, which it would
/// take for the next request. Servers read up to here at once.
const READ_AT_ONCE_BYTES: usize = 16 * 1024;

/// Why a call failed, with what decides whether it may be repeated.
struct CallError {
    failure: GatewayError,
    cause: CallErrorCause,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CallErrorCause {
    /// The connection ended before any byte of a response, and before the provider's system had
    /// acknowledged any byte of the request.
    Closed,
    /// Something was waiting on the connection that cannot be the response: likewise nothing of the
    /// request had been acknowledged.
    Surplus,
    /// All else.
    Other,
}

impl From<GatewayError> for CallError {
    fn from(failure: GatewayError) -> Self {
        Self { failure, cause: CallErrorCause::Other }
    }
}

/// How far the sending of a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    /// All of it has been given to the system.
    Whole,
    /// The provider answered or closed first, or the connection broke.
    Partly,
}

/// Calls the provider with a request whose body is kept.
pub(crate) async fn call(
    context: &RequestContext<'_>,
    upstream_request: &UpstreamRequest,
    request: &Request,
    stats: &mut CallStats,
) -> Result<Box<UpstreamResponse>, GatewayError> {
    let deadline = Instant::now().after(upstream_request.timeouts.total);
    let Some(pool) = &upstream_request.upstream.pool else {
        return echo(context, upstream_request, request, (stats, deadline));
    };
    auth::ready(upstream_request).await?;
    let mut source = match request.endpoint {
        Endpoint::Realtime => ConnectionSource::New,
        _ => ConnectionSource::Pool,
    };
    loop {
        let mut response = connect(context, upstream_request, pool, source, deadline).await?;
        let UpstreamResponse { link: Link::Pooled { pooled, .. }, head, .. } = &mut *response
        else {
            return Err(GatewayError::NoTarget);
        };
        let reused = pooled.reused;
        stats.reused = reused;
        let is_proven = pooled.is_proven;
        let call = UpstreamCall {
            context,
            upstream_request,
            endpoint: request.endpoint,
            is_proven,
            deadline,
        };
        match call.make((pooled, head), request, stats).await {
            Ok(reusable) => {
                response.begin(reusable);
                return Ok(response);
            }
            Err(CallError { failure, cause }) => {
                if cause == CallErrorCause::Surplus
                    && let Link::Pooled { pooled, .. } = response.link
                {
                    pooled.discard_for_surplus(pool);
                }
                if !reused || cause == CallErrorCause::Other {
                    return Err(failure);
                }
                source = ConnectionSource::New;
                context.worker.recorder().count(Counter::UpstreamRetriedStale);
            }
        }
    }
}

/// Calls the provider with a request whose body is still on the client's connection. It can be sent only
/// once: `stats.sent` is also true where a part of it was.
pub(crate) async fn call_streamed(
    exchange: &mut Exchange<'_>,
    upstream_request: &UpstreamRequest,
    request: &mut Request,
    stats: &mut CallStats,
) -> Result<Box<UpstreamResponse>, GatewayError> {
    let context = exchange.context;
    let deadline = Instant::now().after(upstream_request.timeouts.total);
    let Some(pool) = &upstream_request.upstream.pool else {
        return echo(context, upstream_request, request, (stats, deadline));
    };
    let ready = pin!(async {
        auth::ready(upstream_request).await?;
        connect(context, upstream_request, pool, ConnectionSource::New, deadline).await
    });
    let mut response = disconnect::or_abandoned(exchange, ready).await??;
    let UpstreamResponse { link: Link::Pooled { pooled, .. }, head, .. } = &mut *response else {
        return Err(GatewayError::NoTarget);
    };
    let message = encode(context.spare.take(), context, upstream_request, request)?;
    let (message, ..) = message.into_parts();
    let is_proven = pooled.is_proven;
    let call =
        UpstreamCall { context, upstream_request, endpoint: request.endpoint, is_proven, deadline };
    stats.sent = true;
    let connection = &mut pooled.connection;
    let (mark, begun) = (connection.writer.written(), Instant::now());
    let sent = Box::pin(call.pump(exchange, connection, message, &mut request.body)).await?;
    let limit = Instant::now().after(upstream_request.timeouts.first_byte).min(deadline);
    let answered = {
        let coming = call.head((&mut pooled.connection, head), (sent, mark, begun));
        let coming = pin!(pooled.watchdog.within(limit, coming));
        disconnect::or_abandoned(exchange, coming).await?
    };
    let reusable = match answered {
        Ok(answered) => answered.map_err(|error| error.failure)?,
        Err(_) => return Err(call.timed_out("first byte")),
    };
    response.begin(reusable);
    Ok(response)
}

/// Where the connection of a call comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ConnectionSource {
    /// An idle one, if there is one.
    Pool,
    New,
}

/// An idle connection, or a new one: always new after a failed attempt, for a body that can be
/// sent only once, and for what becomes a WebSocket. Gives the response that is to come over it.
async fn connect(
    context: &RequestContext<'_>,
    upstream_request: &UpstreamRequest,
    pool: &Pool,
    source: ConnectionSource,
    deadline: Instant,
) -> Result<Box<UpstreamResponse>, GatewayError> {
    let worker = context.worker;
    let awaited = |pooled| {
        let link = Link::Pooled { pooled, reusable: false };
        UpstreamResponse::awaited(link, deadline)
    };
    if source == ConnectionSource::Pool
        && let Some(pooled) = pool.take(|event| worker.count_pool_event(event))
    {
        return Ok(awaited(pooled));
    }
    worker.recorder().count(Counter::UpstreamConnectsStarted);
    let limit = deadline.min(Instant::now().after(upstream_request.timeouts.connect));
    let provider = || upstream_request.upstream.provider.name.clone();
    // On the heap, like everything rare: the future of each request has room for the usual only.
    let failure = match Box::pin(within(limit, pool.connect(worker.dialer()))).await {
        Ok(Ok(pooled)) => return Ok(awaited(pooled)),
        Err(_) => {
            let is_all = deadline.since(Instant::now()) == Duration::ZERO;
            let phase = if is_all { "total" } else { "connect" };
            GatewayError::UpstreamTimeout { provider: provider(), phase }
        }
        Ok(Err(error)) => {
            let (reason, source) = match error {
                DialError::Name(text) => {
                    worker.recorder().count(Counter::DnsErrors);
                    ("its name has no address", io::Error::other(&*text))
                }
                DialError::Connect(error) => ("connection refused or lost", error),
                DialError::Tls(error) => {
                    worker.recorder().count(Counter::TlsHandshakeErrors);
                    ("TLS handshake failed", error)
                }
            };
            GatewayError::Unreachable { provider: provider(), reason, source }
        }
    };
    worker.recorder().count(Counter::UpstreamConnectErrors);
    Err(failure)
}

/// One request on one connection.
struct UpstreamCall<'c> {
    context: &'c RequestContext<'c>,
    upstream_request: &'c UpstreamRequest,
    endpoint: Endpoint,
    /// See [`Pooled::is_proven`].
    is_proven: bool,
    deadline: Instant,
}

impl UpstreamCall<'_> {
    /// Sends the request and reads the head of the response; also whether the connection may serve
    /// again.
    async fn make(
        &self,
        (pooled, head): (&mut Pooled, &mut ResponseHead),
        request: &Request,
        stats: &mut CallStats,
    ) -> Result<bool, CallError> {
        let Pooled { connection, watchdog, .. } = pooled;
        let message =
            encode(self.context.spare.take(), self.context, self.upstream_request, request)?;
        // One timer for the sending and the wait for the response.
        let begun = Instant::now();
        let limit = begun.after(self.upstream_request.timeouts.first_byte).min(self.deadline);
        let mark = connection.writer.written();
        let answering = async {
            let (start, body, _held) = message.into_parts();
            let (out, sent) = send(connection, start, body).await;
            self.context.spare.set(out);
            stats.sent = true;
            self.head((connection, head), (sent, mark, begun)).await
        };
        match watchdog.within(limit, answering).await {
            Ok(answered) => answered,
            Err(_) => Err(self.timed_out("first byte").into()),
        }
    }

    async fn send_in_time(
        &self,
        exchange: &mut Exchange<'_>,
        connection: &mut Connection,
        message: Vec<u8>,
    ) -> Result<Sent, GatewayError> {
        let limit = self.deadline.min(Instant::now().after(self.upstream_request.timeouts.idle));
        let sending = pin!(within(limit, send(connection, message, Bytes::new())));
        match disconnect::or_abandoned(exchange, sending).await? {
            Ok((out, sent)) => {
                exchange.client.out = out;
                Ok(sent)
            }
            Err(_) => Err(self.timed_out("sending")),
        }
    }

    /// Moves the client's body to the provider, keeping none of it.
    async fn pump(
        &self,
        exchange: &mut Exchange<'_>,
        connection: &mut Connection,
        message: Vec<u8>,
        body: &mut Body,
    ) -> Result<Sent, GatewayError> {
        let mut sent = self.send_in_time(exchange, connection, message).await?;
        let Body::Streamed { framing, body_reader, held, form } = body else { return Ok(sent) };
        let mut outgoing =
            OutgoingBody::new(*framing, form.as_deref(), &self.upstream_request.edits);
        let mut held = std::mem::take(held);
        if held.is_empty() {
            exchange.invite_body().await?;
        }
        let server = &exchange.snapshot.settings.server;
        let limit = server.stream_body_bytes_max;
        let rate = MinimumRate::new(server.body_bytes_per_second_min);
        while sent == Sent::Whole {
            let mut out = std::mem::take(&mut exchange.client.out);
            let received = &mut exchange.record.client.request_bytes;
            let reader = &mut exchange.client.connection.reader;
            let mut pushed = Ok(());
            let mut push = |run: &[u8]| {
                *received += run.len() as u64;
                if pushed.is_ok() {
                    pushed = outgoing.push(run, &mut out);
                }
            };
            push(&std::mem::take(&mut held));
            let done = body_reader.drain(reader, &mut push).map_err(GatewayError::Body)?;
            pushed?;
            if exchange.record.client.request_bytes > limit {
                return Err(GatewayError::BodyTooLarge { limit });
            }
            if done {
                outgoing.finish(&mut out)?;
            }
            let left = exchange.client.connection.reader.bytes().len();
            if !out.is_empty() {
                sent = self.send_in_time(exchange, connection, out).await?;
            }
            if done {
                exchange.record.client.body_unread = false;
                return Ok(sent);
            }
            if exchange.client.connection.reader.bytes().len() > left {
                // More has come while we were sending, perhaps the end.
                continue;
            }
            let until = rate.deadline(exchange.record.client.request_bytes).min(self.deadline);
            let client = &mut exchange.client.connection.reader;
            let upstream = &mut connection.reader;
            let either = poll_fn(|task| {
                if let Poll::Ready(outcome) = client.poll_fill(task) {
                    return Poll::Ready(Some(outcome));
                }
                upstream.poll_fill(task).map(|_| None)
            });
            match within(until, either).await {
                Err(_) => {
                    return Err(GatewayError::RequestTimeout("the body arrived too slowly"));
                }
                Ok(Some(Ok(0) | Err(_))) => return Err(GatewayError::ClientLeft),
                Ok(Some(Ok(_))) => {}
                Ok(None) => return Ok(Sent::Partly),
            }
        }
        Ok(sent)
    }

    /// Reads the head of the response to what was sent since `mark` and `begun`; also whether the
    /// connection may serve again.
    async fn head(
        &self,
        (connection, head): (&mut Connection, &mut ResponseHead),
        (sent, mark, begun): (Sent, u64, Instant),
    ) -> Result<bool, CallError> {
        let method = self.context.head.method();
        let upgrades = self.endpoint == Endpoint::Realtime;
        let mut interim = 0;
        // Nothing was waited for yet; nothing has come yet.
        let (mut at_once, mut is_first) = (true, true);
        loop {
            if !connection.reader.bytes().is_empty() {
                // The kernel is queried only about what comes sooner than a response can.
                let is_too_soon = std::mem::take(&mut is_first)
                    && (at_once && !self.is_proven || begun.elapsed() < connection.round_trip());
                if is_too_soon && !connection.has_acknowledged(mark) {
                    let failure = self.invalid("it answered before it had the request");
                    return Err(CallError { failure, cause: CallErrorCause::Surplus });
                }
                let parsed = head.parse(connection.reader.bytes(), method, &ANSWER_HEAD);
                let upstream_request = self.upstream_request;
                let malformed =
                    |error| upstream_request.invalid_because("its head is malformed", error);
                let taken = parsed.map_err(malformed)?;
                if let Some(taken) = taken {
                    connection.reader.consume(taken);
                    if !head.is_informational() || upgrades && head.status() == 101 {
                        if sent == Sent::Partly && head.status() < 300 {
                            let reason = "it answered before it had the whole request";
                            return Err(self.invalid(reason).into());
                        }
                        let reusable = sent == Sent::Whole
                            && interim == 0
                            && head.keep_alive()
                            && self.has_read_all(head, connection.writer.written() - mark);
                        return Ok(reusable);
                    }
                    interim += 1;
                    if head.status() == 101 || interim > INTERIM_MAX {
                        return Err(self.invalid("an unasked interim answer").into());
                    }
                    head.clear();
                    continue;
                }
            }
            let is_silent = connection.reader.bytes().is_empty() && interim == 0;
            let reader = &mut connection.reader;
            let filled = poll_fn(|task| {
                let filled = reader.poll_fill(task);
                at_once &= filled.is_ready();
                filled
            });
            match filled.await {
                Ok(count) if count > 0 => {}
                ended => {
                    let reason = "it closed the connection without an answer";
                    let failure = match ended {
                        Ok(_) => self.invalid(reason),
                        Err(error) => self.upstream_request.invalid_because(reason, error),
                    };
                    let is_unseen = is_silent && !connection.has_acknowledged(mark);
                    let cause =
                        if is_unseen { CallErrorCause::Closed } else { CallErrorCause::Other };
                    return Err(CallError { failure, cause });
                }
            }
        }
    }

    /// False if the provider may have left a part of the request unread. `bytes` were sent.
    fn has_read_all(&self, head: &ResponseHead, bytes: u64) -> bool {
        let is_large = usize::try_from(bytes).is_ok_and(|bytes| bytes > READ_AT_ONCE_BYTES);
        match head.status() {
            408 | 413 => false,
            400.. => !is_large,
            _ => true,
        }
    }

    fn invalid(&self, reason: &'static str) -> GatewayError {
        self.upstream_request.invalid(reason)
    }

    fn timed_out(&self, phase: &'static str) -> GatewayError {
        let is_all = self.deadline.since(Instant::now()) == Duration::ZERO;
        let phase = if is_all { "total" } else { phase };
        GatewayError::UpstreamTimeout {
            provider: self.upstream_request.upstream.provider.name.clone(),
            phase,
        }
    }
}

/// Sends a message and what follows it, until all is sent, the provider answers, or the connection breaks;
/// see the result. Returns the emptied allocation of the message.
async fn send(connection: &mut Connection, message: Vec<u8>, more: Bytes) -> (Vec<u8>, Sent) {
    let Connection { reader, writer, .. } = connection;
    let mut writing = pin!(async {
        let out = writer.write_all(message).await?;
        if !more.is_empty() {
            writer.write_shared(more).await?;
        }
        Ok::<_, std::io::Error>(out)
    });
    poll_fn(|task| match writing.as_mut().poll(task) {
        Poll::Ready(Ok(out)) => Poll::Ready((out, Sent::Whole)),
        Poll::Ready(Err(_)) => Poll::Ready((Vec::new(), Sent::Partly)),
        // A provider that refuses a large body may never read the rest of it.
        Poll::Pending => reader.poll_fill(task).map(|_| (Vec::new(), Sent::Partly)),
    })
    .await
}

/// Lets the built-in provider answer; its bytes take the way of any provider's.
fn echo(
    context: &RequestContext<'_>,
    upstream_request: &UpstreamRequest,
    request: &Request,
    (stats, deadline): (&mut CallStats, Instant),
) -> Result<Box<UpstreamResponse>, GatewayError> {
    stats.sent = true;
    let body = whole_body(upstream_request, request).unwrap_or_default();
    let head = context.head;
    let own = behind_version(head.path()).unwrap_or(head.path());
    let path = upstream_request.path.as_deref().unwrap_or(own);
    let now = unix_now().as_secs();
    let reader = Reader::from_bytes(echo_answer(head.method().as_str(), path, &body, now));
    let mut response = UpstreamResponse::awaited(Link::Memory(reader), deadline);
    let UpstreamResponse { link, head, .. } = &mut *response;
    let reader = link.reader();
    let parsed = head.parse(reader.bytes(), context.head.method(), &ANSWER_HEAD);
    let Ok(Some(taken)) = parsed else {
        return Err(upstream_request.invalid("its head is malformed"));
    };
    reader.consume(taken);
    response.begin(false);
    Ok(response)
}

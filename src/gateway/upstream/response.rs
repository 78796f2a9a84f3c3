//! A provider's response whose head has come, and how more of it is received.

use std::pin::pin;
use std::time::Duration;

use super::request::UpstreamRequest;
use crate::base::Instant;
use crate::gateway::context::{BodyReader, Exchange, GatewayError, RequestContext, media_type_is};
use crate::gateway::downstream::disconnect;
use crate::http::{BodyError, Framing, ResponseHead};
use crate::llm::AnswerOutline;
use crate::shard::{Pooled, Reader};

/// A provider's response whose head has come.
pub(crate) struct UpstreamResponse {
    pub link: Link,
    pub head: ResponseHead,
    pub body_reader: BodyReader,
    /// What has been taken in of the body already, to see whether the response is good.
    pub peeked: Vec<u8>,
    /// What the opening has shown of a whole response.
    pub outline: Option<Box<AnswerOutline>>,
    /// It has shown that it is good, or may go to the client all the same.
    pub is_good: bool,
    /// When the whole call must be over.
    pub deadline: Instant,
}

/// Where a response comes from.
pub(crate) enum Link {
    /// A provider's connection; dropped and so closed unless [`UpstreamResponse::done`] says that all is well.
    Pooled { pooled: Pooled, reusable: bool },
    /// The built-in echo.
    Memory(Reader),
}

impl Link {
    /// The response is complete. From now on, while the client is still being written to, it is
    /// noticed if more comes.
    fn watch_for_surplus(&mut self) {
        if let Self::Pooled { pooled, reusable: true } = self {
            pooled.connection.listen();
        }
    }

    /// The receiving side.
    pub(crate) fn reader(&mut self) -> &mut Reader {
        match self {
            Self::Pooled { pooled, .. } => &mut pooled.connection.reader,
            Self::Memory(reader) => reader,
        }
    }
}

/// The largest event of a stream that is taken apart.
pub(crate) const EVENT_BYTES_MAX: usize = 16 * 1024 * 1024;

impl UpstreamResponse {
    /// True for a stream of events of any kind.
    pub(crate) fn is_stream(&self) -> bool {
        const KINDS: [&[u8]; 2] = [b"text/event-stream", b"application/vnd.amazon.eventstream"];
        let content_type = self.head.get("content-type").unwrap_or_default();
        KINDS.iter().any(|kind| media_type_is(content_type, kind))
    }

    /// The response that is to come over `link`; see [`UpstreamResponse::begin`]. In a box, since it goes through
    /// many hands and is large.
    pub(crate) fn awaited(link: Link, deadline: Instant) -> Box<Self> {
        Box::new(Self {
            body_reader: BodyReader::new(Framing::None),
            link,
            head: ResponseHead::default(),
            peeked: Vec::new(),
            outline: None,
            is_good: false,
            deadline,
        })
    }

    /// Its head has come. `reusable`: its connection may serve again.
    pub(crate) fn begin(&mut self, reusable: bool) {
        self.body_reader = BodyReader::new(self.head.framing());
        if let Link::Pooled { reusable: may_serve_again, .. } = &mut self.link {
            *may_serve_again = reusable;
        }
    }

    /// Hands all body bytes that are here to `sink`; true once the body is complete.
    pub(crate) fn drain(&mut self, mut sink: impl FnMut(&[u8])) -> Result<bool, BodyError> {
        if !self.peeked.is_empty() {
            sink(&self.peeked);
            self.peeked = Vec::new();
        }
        let is_complete = self.body_reader.drain(self.link.reader(), sink)?;
        if is_complete {
            self.link.watch_for_surplus();
        }
        Ok(is_complete)
    }

    /// Waits for more of the response, for as long as the client is there and the provider keeps its
    /// time. 0 at the end of its stream.
    pub(crate) async fn fill(
        &mut self,
        exchange: &mut Exchange<'_>,
        upstream_request: &UpstreamRequest,
    ) -> Result<usize, GatewayError> {
        Ok(self.fill_until(exchange, upstream_request, None).await?.unwrap_or(0))
    }

    /// The same, but for no longer than `until`: none if nothing has come by then.
    pub(crate) async fn fill_until(
        &mut self,
        exchange: &mut Exchange<'_>,
        upstream_request: &UpstreamRequest,
        until: Option<Instant>,
    ) -> Result<Option<usize>, GatewayError> {
        let begun = Instant::now();
        let filled = pin!(self.fill_unwatched(upstream_request, until));
        let outcome = disconnect::or_abandoned(exchange, filled).await;
        exchange.record.routing.upstream_time += begun.elapsed();
        outcome?
    }

    /// The same, whether the client is there or not.
    pub(crate) async fn fill_unwatched(
        &mut self,
        upstream_request: &UpstreamRequest,
        until: Option<Instant>,
    ) -> Result<Option<usize>, GatewayError> {
        let provider = || upstream_request.upstream.provider.name.clone();
        let limit = self.deadline.min(Instant::now().after(upstream_request.timeouts.idle));
        let wait = until.map_or(limit, |until| until.min(limit));
        // What is in memory is there.
        let Link::Pooled { pooled, .. } = &mut self.link else { return Ok(Some(0)) };
        match pooled.watchdog.within(wait, pooled.connection.reader.fill()).await {
            Ok(Ok(count)) => Ok(Some(count)),
            Err(_) if wait < limit => Ok(None),
            Ok(Err(error)) => {
                let reason = "its connection broke in the middle of the response";
                Err(upstream_request.invalid_because(reason, error))
            }
            Err(_) => {
                let whole = self.deadline.since(Instant::now()) == Duration::ZERO;
                let phase = if whole { "total" } else { "idle" };
                Err(GatewayError::UpstreamTimeout { provider: provider(), phase })
            }
        }
    }

    /// Reads the body to its end, whether the client is there or not.
    pub(crate) async fn keep_whole(
        &mut self,
        context: &RequestContext<'_>,
        upstream_request: &UpstreamRequest,
    ) -> Result<Vec<u8>, GatewayError> {
        let limit = context.snapshot.settings.server.answer_bytes_max;
        let invalid = |reason| upstream_request.invalid(reason);
        let too_large = "its body is over server.answer_bytes_max";
        let mut body = std::mem::take(&mut self.peeked);
        if let Framing::Length(length) = self.head.framing() {
            let length = usize::try_from(length).ok().filter(|length| *length <= limit);
            let length = length.ok_or_else(|| invalid(too_large))?.saturating_sub(body.len());
            context.reserve_memory(length)?;
            body.reserve_exact(length);
        }
        loop {
            let before = body.len();
            let done = self
                .body_reader
                .drain(self.link.reader(), |run| {
                    if body.len() <= limit {
                        body.extend_from_slice(run);
                    }
                })
                .map_err(|error| {
                    upstream_request.invalid_because("its body is malformed", error)
                })?;
            if body.len() > limit {
                return Err(invalid(too_large));
            }
            if !matches!(self.head.framing(), Framing::Length(_)) {
                context.reserve_memory(body.len() - before)?;
            }
            if done {
                self.link.watch_for_surplus();
                return Ok(body);
            }
            if self.fill_unwatched(upstream_request, None).await? == Some(0) {
                self.body_reader.finish().map_err(|_| invalid("its body is cut off"))?;
                return Ok(body);
            }
        }
    }

    /// The response has been read to its end: its connection may serve again.
    pub(crate) fn done(self: Box<Self>, upstream_request: &UpstreamRequest) {
        if let Link::Pooled { pooled, reusable: true } = self.link
            && let Some(pool) = &upstream_request.upstream.pool
        {
            pool.put_back(pooled);
        }
    }

    /// It is none, for that reason. The connection of a complete error response may serve
    /// again; that of a stream is closed, since more may come.
    pub(crate) fn end_with(
        self: Box<Self>,
        failure: &GatewayError,
        upstream_request: &UpstreamRequest,
    ) {
        if matches!(failure, GatewayError::ProviderError { .. }) && !self.is_stream() {
            self.dismiss(upstream_request);
        }
    }

    /// The response is not wanted. Its connection may serve again if all of it is here already.
    pub(crate) fn dismiss(mut self: Box<Self>, upstream_request: &UpstreamRequest) {
        if matches!(self.drain(|_| {}), Ok(true)) {
            self.done(upstream_request);
        }
    }
}

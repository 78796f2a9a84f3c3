//! Who sees a response on its way to the client, besides the client: one place for all of them.
//!
//! A consumer looks at each event, or at the whole answer, and decides what happens to it. Today the opening of a
//! stream is checked here, classes of service are rewritten, and the cache takes what it stores.

use super::service_tiers::TierRewriter;
use crate::base::Instant;
use crate::dialects::{opening_chunk, opening_event};
use crate::gateway::cache::chat_events::ChatEvents;
use crate::gateway::cache::write::CacheWriter;
use crate::gateway::context::{Exchange, GatewayError};
use crate::gateway::downstream::events::DONE;
use crate::gateway::upstream::peek::{HOLD_BYTES_MAX, HOLD_MAX, has_content};
use crate::gateway::upstream::request::UpstreamRequest;
use crate::gateway::upstream::response::UpstreamResponse;
use crate::gateway::worker::Scrutiny;
use crate::http::{ResponseHead, SseEvent};
use crate::llm::{Chunk, Dialect};

/// What a consumer decides about a piece of a response.
pub(crate) enum Verdict {
    /// It goes on as it is.
    Pass,
    /// It goes on with this data instead.
    Replace(Vec<u8>),
    /// It is held back, and all that follows, until this consumer passes a later piece.
    Hold,
    /// The response ends here.
    Stop(GatewayError),
}

/// A piece of a stream.
#[derive(Clone, Copy)]
pub(crate) enum StreamPiece<'e> {
    /// An event of the provider, in the client's dialect; `ends_choice` is true for one that ends a choice or
    /// reports usage.
    Event { event: SseEvent<'e>, dialect: Dialect, ends_choice: bool },
    /// A piece of a translated stream.
    Chunk(&'e Chunk),
}

/// Where a piece comes from.
#[derive(Clone, Copy)]
pub(crate) struct PieceSource<'s> {
    pub upstream_request: &'s UpstreamRequest,
    pub head: &'s ResponseHead,
}

/// The consumers of one response.
#[derive(Default)]
pub(crate) struct ResponseTap {
    /// Those who change what others see come first, and before them [`Consumer::Opening`].
    consumers: Vec<Consumer>,
}

enum Consumer {
    /// The opening of a stream is held back until it shows that the stream is good, or until then; set
    /// when it is first waited for more.
    Opening(Option<Instant>),
    ServiceTier(TierRewriter),
    Cache(Box<CacheWriter>),
}

impl Consumer {
    fn wants(&self, ends_choice: bool) -> bool {
        match self {
            Self::Opening(_) | Self::Cache(_) => true,
            Self::ServiceTier(tiers) => tiers.looks_at(ends_choice),
        }
    }

    fn inspect(
        &mut self,
        exchange: &Exchange<'_>,
        source: PieceSource<'_>,
        piece: StreamPiece<'_>,
    ) -> Verdict {
        match self {
            Self::Opening(_) => check_opening(exchange, source, piece),
            Self::ServiceTier(tiers) => match piece {
                StreamPiece::Event { event, ends_choice, .. } if tiers.looks_at(ends_choice) => {
                    tiers.replace(event.data).map_or(Verdict::Pass, Verdict::Replace)
                }
                _ => Verdict::Pass,
            },
            Self::Cache(writer) => {
                match piece {
                    StreamPiece::Event { event, .. } if event.data == DONE => {}
                    StreamPiece::Event { event, .. } => {
                        let scrutiny = Scrutiny::of_decoded_event(event.name, event.data);
                        let data = source.upstream_request.masked(event.data, scrutiny);
                        writer.event(exchange, event.name, &data);
                    }
                    StreamPiece::Chunk(chunk) => writer.chunk(exchange, chunk),
                }
                Verdict::Pass
            }
        }
    }
}

/// Holds the opening back until there is content, and refuses a stream that begins with an error.
fn check_opening(
    exchange: &Exchange<'_>,
    source: PieceSource<'_>,
    piece: StreamPiece<'_>,
) -> Verdict {
    let opening = match piece {
        StreamPiece::Event { event, .. } if event.data.is_empty() => return Verdict::Hold,
        StreamPiece::Event { event, dialect, .. } => {
            opening_event(dialect, event.name, event.data, &mut exchange.worker.scanner())
        }
        StreamPiece::Chunk(chunk) => opening_chunk(chunk),
    };
    match has_content(source.upstream_request, source.head, opening) {
        Ok(true) => Verdict::Pass,
        Ok(false) => Verdict::Hold,
        Err(failure) => Verdict::Stop(failure),
    }
}

impl ResponseTap {
    /// For a response that `cache_writer` stores.
    pub(crate) fn new(cache_writer: Option<Box<CacheWriter>>) -> Self {
        let consumers = cache_writer.into_iter().map(Consumer::Cache).collect();
        Self { consumers }
    }

    /// A stream follows that comes as events in the client's dialect.
    pub(crate) fn expect_events(
        &mut self,
        exchange: &Exchange<'_>,
        upstream_request: &UpstreamRequest,
        response: &UpstreamResponse,
    ) {
        let tiers = TierRewriter::new(exchange, upstream_request).map(Consumer::ServiceTier);
        self.expect_stream(response, tiers);
        if let Some(writer) = self.cache_writer() {
            writer.expect_stream(ChatEvents::of_events(exchange));
        }
        self.begin_unless_held(exchange);
    }

    /// A stream follows that comes as chunks.
    pub(crate) fn expect_chunks(&mut self, exchange: &Exchange<'_>, response: &UpstreamResponse) {
        self.expect_stream(response, None);
        if let Some(writer) = self.cache_writer() {
            writer.expect_stream(Some(ChatEvents::of_chunks(exchange)));
        }
        self.begin_unless_held(exchange);
    }

    /// Forgets a stream before, and puts those who change what others see before them.
    fn expect_stream(&mut self, response: &UpstreamResponse, tiers: Option<Consumer>) {
        self.consumers.retain(|it| matches!(it, Consumer::Cache(_)));
        let opening = (!response.is_good).then_some(Consumer::Opening(None));
        self.consumers.splice(0..0, opening.into_iter().chain(tiers));
    }

    fn begin_unless_held(&mut self, exchange: &Exchange<'_>) {
        if !self.is_holding()
            && let Some(writer) = self.cache_writer()
        {
            writer.begin(exchange);
        }
    }

    fn cache_writer(&mut self) -> Option<&mut CacheWriter> {
        self.consumers.iter_mut().find_map(|it| match it {
            Consumer::Cache(writer) => Some(&mut **writer),
            _ => None,
        })
    }

    fn take_cache_writer(&mut self) -> Option<Box<CacheWriter>> {
        let place = self.consumers.iter().position(|it| matches!(it, Consumer::Cache(_)))?;
        match self.consumers.remove(place) {
            Consumer::Cache(writer) => Some(writer),
            _ => None,
        }
    }

    /// True if an event has to be shown to a consumer; see [`StreamPiece::Event`].
    pub(crate) fn wants(&self, ends_choice: bool) -> bool {
        self.consumers.iter().any(|it| it.wants(ends_choice))
    }

    /// Shows a piece to the consumers; gives the data that takes its place, if it was replaced.
    ///
    /// # Errors
    /// If the response ends here.
    pub(crate) fn inspect(
        &mut self,
        exchange: &Exchange<'_>,
        source: PieceSource<'_>,
        piece: StreamPiece<'_>,
    ) -> Result<Option<Vec<u8>>, GatewayError> {
        let (mut replaced, mut is_held): (Option<Vec<u8>>, bool) = (None, false);
        for consumer in &mut self.consumers {
            let shown = match (&replaced, piece) {
                (Some(data), StreamPiece::Event { event, dialect, ends_choice }) => {
                    let event = SseEvent { data, ..event };
                    StreamPiece::Event { event, dialect, ends_choice }
                }
                _ => piece,
            };
            match consumer.inspect(exchange, source, shown) {
                Verdict::Pass => {}
                Verdict::Replace(data) => replaced = Some(data),
                Verdict::Hold => is_held = true,
                Verdict::Stop(failure) => return Err(failure),
            }
        }
        if !is_held {
            self.release(exchange);
        }
        Ok(replaced)
    }

    /// True while nothing may be sent.
    pub(crate) fn is_holding(&self) -> bool {
        matches!(self.consumers.first(), Some(Consumer::Opening(_)))
    }

    /// What is held back goes to the client: the stream begins.
    pub(crate) fn release(&mut self, exchange: &Exchange<'_>) {
        if self.is_holding() {
            self.consumers.remove(0);
            self.begin_unless_held(exchange);
        }
    }

    /// Releases what has become too large to be held back.
    pub(crate) fn bound_hold(&mut self, exchange: &Exchange<'_>, bytes: usize) {
        if bytes > HOLD_BYTES_MAX {
            self.release(exchange);
        }
    }

    /// Waits for more of the response, 0 at its end. None once it has been held back for too long, which
    /// releases it.
    pub(crate) async fn fill(
        &mut self,
        exchange: &mut Exchange<'_>,
        upstream_request: &UpstreamRequest,
        response: &mut UpstreamResponse,
    ) -> Result<Option<usize>, GatewayError> {
        let until = match self.consumers.first_mut() {
            Some(Consumer::Opening(until)) => {
                Some(*until.get_or_insert_with(|| Instant::now().after(HOLD_MAX)))
            }
            _ => None,
        };
        let filled = response.fill_until(exchange, upstream_request, until).await?;
        if filled.is_none() {
            self.release(exchange);
        }
        Ok(filled)
    }

    /// The stream is complete.
    pub(crate) fn complete(&mut self, exchange: &mut Exchange<'_>) {
        if let Some(writer) = self.take_cache_writer() {
            writer.complete(exchange);
        }
    }

    /// A whole answer is complete, and goes to the client as `body`. Called before it is sent, so that
    /// followers do not wait for a client that reads slowly.
    pub(crate) fn complete_whole(&mut self, exchange: &mut Exchange<'_>, body: Vec<u8>) {
        if let Some(writer) = self.take_cache_writer() {
            writer.store_whole(exchange, body);
        }
    }
}

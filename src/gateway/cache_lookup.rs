//! Stage `cache_lookup`: the cache is looked up before a provider is called; on a miss the write of the
//! response is prepared.
//!
//! The same request first, also one that is still under way; then, where the route allows
//! it, a question of the same meaning.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{Either, select};

use super::admit::{Grant, bounded};
use super::attributes::RequestAttributes;
use super::cache_format;
use super::cache_key::{self, CacheKeys};
use super::connection::or_disconnect;
use super::deliver::{BodyFraming, begin_head, body_framing, finish_head};
use super::deliver_stream;
use super::endpoint::Endpoint;
use super::error::GatewayError;
use super::receive::Request;
use super::record::{CacheStatus, Exchange};
use super::semantic::{self, AnswerCheck, SemanticDecision};
use super::shared_stream;
use crate::base::{Instant, unix_now};
use crate::cache::{
    AnswerOrigin, Entry, EntryLabels, Follower, Key, Leader, Neighbor, Question, SemanticMatch,
};
use crate::dialects::{Codec, Frame};
use crate::http::{Framing, write_data, write_field};
use crate::llm::{StreamAccumulator, is_replayable, replay};
use crate::routing::{CacheRule, Route};
use crate::shard::sleep;
use crate::telemetry::Counter;

/// The write to the cache that is due when the response is complete.
pub(super) struct CacheWrite {
    key: Key,
    wording: u64,
    question: Option<Box<Question>>,
    /// What the answer is compared with.
    comparison: Option<AnswerCheck>,
    time_to_live: Duration,
    labels: EntryLabels,
    fold: StreamAccumulator,
    /// Identical requests share its answer.
    leader: Option<Leader>,
}

/// A lookup in the cache.
struct CacheLookup<'r> {
    rule: &'r CacheRule,
    keys: CacheKeys,
    control: CacheControl,
    /// True once it has waited for another request; nobody waits twice.
    has_waited: bool,
}

/// The client's wishes.
#[derive(Debug, Default, PartialEq, Eq)]
struct CacheControl {
    /// Neither look nor store.
    off: bool,
    /// Do not look, but store.
    refresh: bool,
    /// Oldest answer that is good enough.
    age_max: Option<Duration>,
}

impl CacheControl {
    fn of(exchange: &Exchange<'_>) -> Self {
        let has_value = |name, word: &str| {
            exchange
                .gateway_header(name)
                .is_some_and(|value| value.trim().eq_ignore_ascii_case(word))
        };
        let header = exchange.head.get("cache-control").unwrap_or_default();
        let mut control = Self::read(std::str::from_utf8(header).unwrap_or_default());
        control.off |= has_value("debug", "false");
        control.refresh |= has_value("cache-force-refresh", "true");
        control
    }

    /// Reads a `cache-control` of a request (RFC 9111 section 5.2.1).
    fn read(header: &str) -> Self {
        let mut control = Self::default();
        for directive in header.split(',').map(str::trim) {
            let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
            match name.to_ascii_lowercase().as_str() {
                "no-store" => control.off = true,
                "no-cache" => control.refresh = true,
                "max-age" => {
                    let seconds = value.trim_matches('"').parse().ok();
                    control.age_max = seconds.map(Duration::from_secs);
                }
                _ => {}
            }
        }
        control
    }
}

/// An answer that needs no provider.
pub(super) enum Hit {
    /// It is stored.
    Stored(Arc<Entry>),
    /// It is the stream of another request.
    Shared(Follower, AnswerOrigin),
}

/// The answer that the cache has, if it has one. Where it has none and the answer may be stored, its
/// write is prepared.
pub(super) async fn look_up(
    exchange: &mut Exchange<'_>,
    grant: &Grant,
    request: &Request,
) -> Result<Option<Hit>, GatewayError> {
    let Some(route) = grant.route() else { return Ok(None) };
    let Some(mut lookup) = read_lookup(exchange, grant, request) else { return Ok(None) };
    let (mut nearest, mut comparison) = (None, None);
    let key = lookup.keys.key;
    let leader;
    if lookup.control.refresh {
        leader = start_flight(exchange, &lookup);
        count(exchange, CacheStatus::Refresh, Counter::CacheRefreshes);
        let cache = exchange.worker.cache();
        cache.remove(&lookup.keys.key, exchange.record.at_unix);
        if let Some(query) = lookup.keys.query.take() {
            nearest = Box::pin(semantic::find(exchange, query)).await?;
            comparison =
                nearest.as_ref().and_then(|it| semantic::shadow(exchange, lookup.rule, it));
            // What would have answered it is as stale.
            let neighbor = nearest.as_ref().and_then(SemanticMatch::served);
            if let Some(stale) = neighbor {
                exchange.worker.cache().remove(&stale.key, exchange.record.at_unix);
            }
        }
    } else {
        if let Some(found) = find_same(exchange, grant, &mut lookup).await? {
            return Ok(Some(found));
        }
        if let Some(query) = lookup.keys.query.take() {
            nearest = Box::pin(semantic::find(exchange, query)).await?;
            // The same request may have come meanwhile.
            if let Some(found) = find_same(exchange, grant, &mut lookup).await? {
                return Ok(Some(found));
            }
            let is_good = |it: &Neighbor| lookup.accepts(exchange, grant, &it.entry);
            let decide = |it| semantic::decide(exchange, (key, lookup.rule), it, is_good);
            match nearest.as_ref().map(decide) {
                Some(SemanticDecision::Serve(found)) => {
                    count(exchange, CacheStatus::SemanticHit, Counter::CacheSemanticHits);
                    semantic::remember_served(exchange, key, found.key);
                    return Ok(Some(Hit::Stored(found.entry)));
                }
                Some(SemanticDecision::Miss(against)) => comparison = against,
                None => {}
            }
        }
        leader = start_flight(exchange, &lookup);
        // Another shard may have been a moment faster, and may even have landed.
        let found = match leader {
            Some(_) => find(exchange, grant, &lookup).map(|it| hit(exchange, &lookup, it)),
            None => find_same(exchange, grant, &mut lookup).await?,
        };
        if found.is_some() {
            return Ok(found);
        }
        match nearest {
            None => count(exchange, CacheStatus::Miss, Counter::CacheMisses),
            Some(_) => count(exchange, CacheStatus::SemanticMiss, Counter::CacheSemanticMisses),
        }
    }
    let cache_write =
        CacheWrite { comparison, leader, ..prepare_write(exchange, route, &lookup, nearest) };
    exchange.cache_write = Some(Box::new(cache_write));
    Ok(None)
}

fn hit(exchange: &mut Exchange<'_>, lookup: &CacheLookup<'_>, entry: Arc<Entry>) -> Hit {
    let is_same = entry.wording == lookup.keys.wording;
    let counter = if is_same { Counter::CacheHits } else { Counter::CacheNormalisedHits };
    count(exchange, CacheStatus::Hit, counter);
    Hit::Stored(entry)
}

fn count(exchange: &mut Exchange<'_>, status: CacheStatus, counter: Counter) {
    exchange.record.cache = status;
    exchange.worker.recorder().count(counter);
}

/// The lookup of a request; none if the cache has nothing to do with it.
fn read_lookup<'r>(
    exchange: &Exchange<'_>,
    grant: &'r Grant,
    request: &Request,
) -> Option<CacheLookup<'r>> {
    let route = grant.route()?;
    let rule = route.cache.as_ref()?;
    let control = CacheControl::of(exchange);
    if !request.endpoint.is_metered() || control.off {
        return None;
    }
    let stored = cache_format::to_stored_request(exchange, request)?;
    let attributes = RequestAttributes::new(exchange.context, grant, request);
    let keys = cache_key::cache_keys(exchange, route, rule, (&stored, &attributes))?;
    Some(CacheLookup { rule, keys, control, has_waited: false })
}

/// Starts a flight that identical requests follow. A request with a limit of its own starts none.
fn start_flight(exchange: &Exchange<'_>, lookup: &CacheLookup<'_>) -> Option<Leader> {
    let record = &exchange.record;
    let has_limit = exchange.gateway_header("request-timeout").is_some();
    let flights = exchange.worker.flights();
    if has_limit { None } else { flights.start(lookup.keys.key, record.stream, record.at_unix) }
}

/// The answer to the same request: stored, or of one under way.
async fn find_same(
    exchange: &mut Exchange<'_>,
    grant: &Grant,
    lookup: &mut CacheLookup<'_>,
) -> Result<Option<Hit>, GatewayError> {
    if let Some(entry) = find(exchange, grant, lookup) {
        return Ok(Some(hit(exchange, lookup, entry)));
    }
    // Nor does a request with a limit of its own wait for others. A stream shares another, or goes on: its
    // first word would come later by waiting for an end.
    if lookup.has_waited || exchange.gateway_header("request-timeout").is_some() {
        return Ok(None);
    }
    let flights = exchange.worker.flights();
    let joined = flights.join(&lookup.keys.key, exchange.record.stream);
    let age = |it: &Follower| exchange.record.at_unix.saturating_sub(it.begun_at());
    let young = joined.filter(|it| lookup.control.age_max.is_none_or(|max| age(it) <= max));
    let Some(mut follower) = young else { return Ok(None) };
    lookup.has_waited = true;
    exchange.worker.recorder().count(Counter::CacheJoins);
    let begun = Instant::now();
    let reader = &mut exchange.client.connection.reader;
    if exchange.record.stream {
        let origin = or_disconnect(reader, pin!(follower.origin())).await?;
        if let Some(origin) = origin.filter(|it| may_use(grant, it.model.as_deref())) {
            exchange.record.upstream += begun.elapsed();
            count(exchange, CacheStatus::Hit, Counter::CacheHits);
            return Ok(Some(Hit::Shared(follower, origin)));
        }
    } else {
        or_disconnect(reader, pin!(follower.finished())).await?;
    }
    exchange.record.upstream += begun.elapsed();
    let entry = find(exchange, grant, lookup);
    Ok(entry.map(|entry| hit(exchange, lookup, entry)))
}

/// A key that shares answers does not share the others' models.
fn may_use(grant: &Grant, model: Option<&str>) -> bool {
    model.is_none_or(|model| grant.check_model(model).is_ok())
}

fn find(exchange: &Exchange<'_>, grant: &Grant, lookup: &CacheLookup<'_>) -> Option<Arc<Entry>> {
    let entry = exchange.worker.cache().get(&lookup.keys.key, exchange.record.at_unix, None)?;
    lookup.accepts(exchange, grant, &entry).then_some(entry)
}

impl CacheLookup<'_> {
    /// True if the answer is young enough, and of a model that the key may use.
    fn accepts(&self, exchange: &Exchange<'_>, grant: &Grant, entry: &Entry) -> bool {
        let age = entry.age(exchange.record.at_unix);
        self.control.age_max.is_none_or(|max| age <= max)
            && may_use(grant, entry.labels.model.as_deref())
    }
}

fn prepare_write(
    exchange: &Exchange<'_>,
    route: &Route,
    lookup: &CacheLookup<'_>,
    nearest: Option<SemanticMatch>,
) -> CacheWrite {
    let wanted = lookup.control.age_max.and_then(|age| CacheRule::bounded(age.as_secs()));
    let longest = lookup.rule.max_age.or(wanted).unwrap_or(CacheRule::MAX_AGE);
    let bound = exchange.snapshot.settings.semantic_cache.time_bound_max_age;
    let key = lookup.keys.key;
    CacheWrite {
        key,
        wording: lookup.keys.wording,
        comparison: None,
        question: nearest.map(|found| found.question),
        time_to_live: if lookup.keys.is_time_bound { longest.min(bound) } else { longest },
        labels: EntryLabels {
            route: Some(Arc::from(route.name.as_str())),
            key: exchange.record.key.clone(),
            namespace: exchange.gateway_header("cache-namespace").map(bounded),
            ..EntryLabels::default()
        },
        fold: StreamAccumulator::default(),
        leader: None,
    }
}

/// Stores an answer that came whole, if a write is due. Before it is sent: nobody waits for a
/// client that reads slowly.
pub(super) fn store_whole(exchange: &mut Exchange<'_>, body: Vec<u8>) {
    let Some(cache_write) = exchange.cache_write.take() else { return };
    // Looked at only if it would fit: a large answer is not parsed for nothing.
    if !exchange.worker.cache().fits(body.len()) {
        return;
    }
    let Some(body) = cache_format::to_stored_response(exchange, body) else { return };
    let is_text = exchange.record.endpoint.is_none_or(Endpoint::is_text);
    if !is_text || is_replayable(&body) {
        store(exchange, *cache_write, body);
    }
}

/// A stream begins.
pub(super) fn begin_stream(exchange: &Exchange<'_>) {
    if let Some(leader) = leader(exchange) {
        let (provider, model) = (exchange.record.provider.clone(), exchange.record.model.clone());
        leader.set_origin(AnswerOrigin { provider, model });
    }
}

/// True if events are of use: the answer may be stored, or others share it.
pub(super) fn takes_events(exchange: &Exchange<'_>) -> bool {
    exchange.cache_write.is_some()
}

/// Takes in the data of one event of a stream.
pub(super) fn take_event(exchange: &mut Exchange<'_>, data: &[u8]) {
    let leads = leader(exchange).is_some();
    let has_room = !leads || exchange.reserve_memory(data.len()).is_ok();
    let Some(cache_write) = &mut exchange.cache_write else { return };
    cache_write.fold.push(data);
    match &cache_write.leader {
        Some(leader) if has_room => leader.share(data),
        Some(leader) => leader.stop_sharing(),
        None => {}
    }
}

fn leader<'e>(exchange: &'e Exchange<'_>) -> Option<&'e Leader> {
    exchange.cache_write.as_ref()?.leader.as_ref()
}

/// True if others share the stream of this exchange.
pub(super) fn is_shared(exchange: &Exchange<'_>) -> bool {
    leader(exchange).is_some_and(Leader::has_followers)
}

/// Waits for `work` for as long as this client is there, or others share the answer. A client that is
/// gone then is taken note of. Pinned by the caller, see [`while_client_stays`].
pub(super) async fn or_abandoned<T>(
    exchange: &mut Exchange<'_>,
    mut work: impl Future<Output = T> + Unpin,
) -> Result<T, GatewayError> {
    if exchange.client.lost.is_none() {
        let reader = &mut exchange.client.connection.reader;
        match or_disconnect(reader, &mut work).await {
            Err(failure) if is_shared(exchange) => exchange.client.lost = Some(failure),
            outcome => return outcome,
        }
    }
    let Some(leader) = leader(exchange) else { return work.map(Ok).await };
    match select(work, pin!(leader.abandoned())).await {
        Either::Left((done, _)) => Ok(done),
        Either::Right(_) => Err(GatewayError::ClientLeft),
    }
}

/// Ends a while after somebody has begun to share this stream: so long its own client may take for a
/// part of it. None where nobody can.
pub(super) fn followers_wait(exchange: &Exchange<'_>) -> Option<impl Future<Output = ()> + use<>> {
    const FOLLOWERS_WAIT: Duration = Duration::from_secs(1);
    let followed = leader(exchange)?.followed();
    Some(followed.then(|()| sleep(FOLLOWERS_WAIT)))
}

/// Stores the answer of a stream that has come to its end, if a write is due.
pub(super) fn store_stream(exchange: &mut Exchange<'_>) {
    let Some(mut cache_write) = exchange.cache_write.take() else { return };
    let leader = cache_write.leader.take();
    let body = std::mem::take(&mut cache_write.fold).finish();
    if let Some(body) = body.filter(|_| !exchange.record.stream_error) {
        store(exchange, *cache_write, body);
    }
    // Last, so that a request that waits for the end finds the answer stored. A stream of which nothing can be
    // stored is complete all the same.
    if let Some(leader) = leader {
        leader.complete();
    }
}

fn store(exchange: &Exchange<'_>, cache_write: CacheWrite, body: Vec<u8>) {
    let CacheWrite { key, wording, question, comparison, time_to_live, mut labels, .. } =
        cache_write;
    if let Some(comparison) = comparison {
        semantic::compare(exchange, comparison, &body);
    }
    labels.provider = exchange.record.provider.clone();
    labels.model = exchange.record.model.clone();
    let stored_at = unix_now();
    let outline = exchange.worker.scanner().request(&body);
    let entry = Entry {
        id: exchange.record.id,
        id_at: outline.ok().and_then(|outline| outline.span(&body, "id")),
        body,
        labels,
        stored_at,
        expires_at: Entry::expiry(&key, stored_at, time_to_live),
        wording,
        partition: question.as_ref().map(|question| question.partition),
    };
    if exchange.worker.cache().put(key, entry, question) {
        exchange.worker.recorder().count(Counter::CacheStores);
    }
}

/// Answers with what was found, in the client's format and under a new id.
pub(super) async fn deliver(
    exchange: &mut Exchange<'_>,
    request: &Request,
    hit: Hit,
) -> Result<(), GatewayError> {
    let entry = match hit {
        Hit::Stored(entry) => entry,
        Hit::Shared(follower, origin) => {
            return shared_stream::relay(exchange, request, (follower, origin)).await;
        }
    };
    exchange.record.provider.clone_from(&entry.labels.provider);
    exchange.record.model.clone_from(&entry.labels.model);
    let id = format!("{}-{}", request.endpoint.answer_prefix(), exchange.record.id);
    let is_stream = exchange.record.stream && request.endpoint.is_text();
    let client_codec = cache_format::client_codec(request.endpoint);
    let written = client_codec
        .and_then(|it| cache_format::from_stored(exchange, request, it, (&entry.body, &id)));
    let out = match written {
        Some(events) if is_stream => {
            let frame = client_codec.map_or(Frame::Events, Codec::frame);
            as_events(exchange, &entry, (frame, &events))
        }
        Some(body) => as_json(exchange, &entry, [&body, b"", b""]),
        None if is_stream => stream(exchange, request, &entry, &id),
        None => whole(exchange, &entry, &id),
    };
    exchange.client.out = exchange.send(out).await?;
    Ok(())
}

fn whole(exchange: &mut Exchange<'_>, entry: &Entry, id: &str) -> Vec<u8> {
    let id = format!("\"{id}\"");
    let span = entry.id_at.clone().unwrap_or_default();
    let id = if span.is_empty() { "" } else { &id };
    let before = entry.body.get(..span.start).unwrap_or_default();
    let after = entry.body.get(span.end..).unwrap_or_default();
    as_json(exchange, entry, [before, id.as_bytes(), after])
}

fn as_json(exchange: &mut Exchange<'_>, entry: &Entry, body: [&[u8]; 3]) -> Vec<u8> {
    let length: usize = body.iter().map(|piece| piece.len()).sum();
    let mut out = begin_response(exchange, entry, "application/json");
    finish_head(exchange, &mut out, BodyFraming::Length(length as u64));
    out.reserve(length);
    body.iter().for_each(|piece| out.extend_from_slice(piece));
    out
}

fn stream(exchange: &mut Exchange<'_>, request: &Request, entry: &Entry, id: &str) -> Vec<u8> {
    let mut events = Vec::with_capacity(entry.body.len() * 2);
    replay(&entry.body, id, request.include_usage(), |data| write_data(&mut events, data));
    write_data(&mut events, b"[DONE]");
    as_events(exchange, entry, (Frame::Events, &events))
}

/// Events with their terminator, so that all goes in one chunk.
fn as_events(
    exchange: &mut Exchange<'_>,
    entry: &Entry,
    (frame, events): (Frame, &[u8]),
) -> Vec<u8> {
    let mut out = begin_response(exchange, entry, frame.media_type());
    let framing = body_framing(exchange, Framing::Chunked);
    finish_head(exchange, &mut out, framing);
    deliver_stream::append(&mut out, events, framing);
    deliver_stream::end(&mut out, false, framing);
    out
}

fn begin_response(exchange: &mut Exchange<'_>, entry: &Entry, content_type: &str) -> Vec<u8> {
    let age = entry.age(exchange.record.at_unix).as_secs();
    let mut out = begin_head(exchange, 200);
    write_field(&mut out, "content-type", content_type.as_bytes());
    write_field(&mut out, "age", itoa::Buffer::new().format(age).as_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cache_control() {
        let age = |seconds| Some(Duration::from_secs(seconds));
        for (header, off, refresh, age_max) in [
            ("", false, false, None),
            ("no-store", true, false, None),
            ("No-Cache", false, true, None),
            ("max-age=60", false, false, age(60)),
            ("no-cache, max-age=\"5\"", false, true, age(5)),
            ("max-age=x", false, false, None),
            ("max-age", false, false, None),
            ("private,,=", false, false, None),
        ] {
            assert_eq!(
                CacheControl::read(header),
                CacheControl { off, refresh, age_max },
                "{header}"
            );
        }
    }
}

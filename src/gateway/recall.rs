//! Stage `recall`: the cache is asked before a provider is, and a ticket is drawn for the answer
//! of one who has to be asked.
//!
//! The same request first, of this shard also one that is still under way; then, where the route says
//! so, a question of the same meaning.

use std::sync::Arc;
use std::time::Duration;

use super::admit::{Grant, bounded};
use super::cache_key::{self, Name};
use super::connection::while_client_stays;
use super::deliver::{Outgoing, begin_head, finish_head, outgoing_of};
use super::endpoint::Endpoint;
use super::failure::Failure;
use super::flights::Leader;
use super::receive::{Body, Request};
use super::record::{CacheStatus, Exchange};
use super::semantic;
use crate::base::{Instant, unix_now};
use crate::cache::{Entry, Found, Key, Labels, Question};
use crate::http::{Framing, LAST_CHUNK, write_chunk, write_data, write_field};
use crate::llm::{Fold, is_replayable, replay};
use crate::routing::{CacheRule, Route};
use crate::telemetry::Counter;

/// Leave to store the answer of an exchange.
pub(super) struct Ticket {
    key: Key,
    wording: u64,
    question: Option<Box<Question>>,
    /// What shadow mode has found, to be held against the answer.
    shadow: Option<semantic::Shadow>,
    time_to_live: Duration,
    labels: Labels,
    fold: Fold,
    /// Identical requests wait for this one.
    _leader: Option<Leader>,
}

/// What a request asks of the cache.
struct Lookup<'r> {
    rule: &'r CacheRule,
    name: Name,
    control: Control,
}

/// The client's wishes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Control {
    /// Neither look nor store.
    off: bool,
    /// Do not look, but store.
    refresh: bool,
    /// Oldest answer that is good enough.
    age_max: Option<Duration>,
}

impl Control {
    fn of(exchange: &Exchange<'_>) -> Self {
        let says = |name, word: &str| {
            exchange.ours(name).is_some_and(|value| value.trim().eq_ignore_ascii_case(word))
        };
        let header = exchange.head.get("cache-control").unwrap_or_default();
        let mut control = Self::read(std::str::from_utf8(header).unwrap_or_default());
        control.off |= says("debug", "false");
        control.refresh |= says("cache-force-refresh", "true");
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

/// The stored answer, if there is one. Where there is none and the answer may be stored, a ticket
/// is drawn.
pub(super) async fn recall(
    exchange: &mut Exchange<'_>,
    grant: &Grant,
    request: &Request,
) -> Result<Option<Arc<Entry>>, Failure> {
    let Some(route) = grant.route.as_deref() else { return Ok(None) };
    let Some(mut lookup) = look_up(exchange, route, request) else { return Ok(None) };
    let mut meant = None;
    if lookup.control.refresh {
        count(exchange, CacheStatus::Refresh, Counter::CacheRefreshes);
        let cache = exchange.worker.cache();
        cache.remove(&lookup.name.key, exchange.record.at_unix);
        if let Some(asked) = lookup.name.asked.take() {
            meant = Box::pin(semantic::look_up(exchange, asked)).await?;
            // What would have answered it is as stale.
            let neighbour = meant.as_ref().and_then(Found::served);
            if let Some(stale) = neighbour {
                exchange.worker.cache().remove(&stale.key, exchange.record.at_unix);
            }
        }
    } else {
        if let Some(found) = find_same(exchange, grant, &lookup).await? {
            return Ok(Some(hit(exchange, &lookup, found)));
        }
        if let Some(asked) = lookup.name.asked.take() {
            meant = Box::pin(semantic::look_up(exchange, asked)).await?;
            // The same request may have come meanwhile.
            if let Some(found) = find_same(exchange, grant, &lookup).await? {
                return Ok(Some(hit(exchange, &lookup, found)));
            }
            let neighbour = meant.as_ref().and_then(Found::served);
            let accepted = neighbour.filter(|it| lookup.accepts(exchange, grant, &it.entry));
            if let Some(found) = accepted.filter(|_| !semantic::is_shadowed(exchange, lookup.rule))
            {
                count(exchange, CacheStatus::SemanticHit, Counter::CacheSemanticHits);
                semantic::note(exchange, lookup.name.key, found.key);
                return Ok(Some(Arc::clone(&found.entry)));
            }
        }
        match meant {
            None => count(exchange, CacheStatus::Miss, Counter::CacheMisses),
            Some(_) => count(exchange, CacheStatus::SemanticMiss, Counter::CacheSemanticMisses),
        }
    }
    exchange.ticket = Some(Box::new(draw(exchange, route, &lookup, meant)));
    Ok(None)
}

fn hit(exchange: &mut Exchange<'_>, lookup: &Lookup<'_>, entry: Arc<Entry>) -> Arc<Entry> {
    let is_same = entry.wording == lookup.name.wording;
    let counter = if is_same { Counter::CacheHits } else { Counter::CacheNormalisedHits };
    count(exchange, CacheStatus::Hit, counter);
    entry
}

fn count(exchange: &mut Exchange<'_>, status: CacheStatus, counter: Counter) {
    exchange.record.cache = status;
    exchange.worker.recorder().count(counter);
}

/// What a request asks of the cache; none if it has nothing to do with it.
fn look_up<'r>(exchange: &Exchange<'r>, route: &'r Route, request: &Request) -> Option<Lookup<'r>> {
    let rule = route.cache.as_ref()?;
    let control = Control::of(exchange);
    if !request.endpoint.is_metered() || control.off {
        return None;
    }
    Some(Lookup { rule, name: cache_key::name(exchange, route, rule, request)?, control })
}

/// The answer to the same request: stored, or of one under way on this shard.
async fn find_same(
    exchange: &mut Exchange<'_>,
    grant: &Grant,
    lookup: &Lookup<'_>,
) -> Result<Option<Arc<Entry>>, Failure> {
    let found = find(exchange, grant, lookup);
    // A stream does not wait for another's end: its first word would come later than by itself. Nor
    // does who has a limit of its own.
    let waits = !exchange.record.stream && exchange.ours("request-timeout").is_none();
    if found.is_some() || !waits {
        return Ok(found);
    }
    let Some(landing) = exchange.worker.flights().landing(&lookup.name.key) else {
        return Ok(None);
    };
    let begun = Instant::now();
    while_client_stays(&mut exchange.client.connection.reader, landing).await?;
    exchange.record.upstream += begun.elapsed();
    exchange.worker.recorder().count(Counter::CacheJoins);
    Ok(find(exchange, grant, lookup))
}

fn find(exchange: &Exchange<'_>, grant: &Grant, lookup: &Lookup<'_>) -> Option<Arc<Entry>> {
    let entry = exchange.worker.cache().get(&lookup.name.key, exchange.record.at_unix, None)?;
    lookup.accepts(exchange, grant, &entry).then_some(entry)
}

impl Lookup<'_> {
    /// True if the answer is young enough, and of a model that the key may use: one that shares
    /// answers does not share the others' models.
    fn accepts(&self, exchange: &Exchange<'_>, grant: &Grant, entry: &Entry) -> bool {
        let age = entry.age(exchange.record.at_unix);
        self.control.age_max.is_none_or(|max| age <= max)
            && entry.labels.model.as_deref().is_none_or(|it| grant.check_model(it).is_ok())
    }
}

fn draw(
    exchange: &Exchange<'_>,
    route: &Route,
    lookup: &Lookup<'_>,
    meant: Option<Found>,
) -> Ticket {
    let asked = lookup.control.age_max.and_then(|age| CacheRule::bounded(age.as_secs()));
    let longest = lookup.rule.max_age.or(asked).unwrap_or(CacheRule::MAX_AGE);
    let bound = exchange.snapshot.settings.semantic_cache.time_bound_max_age;
    let key = lookup.name.key;
    Ticket {
        key,
        wording: lookup.name.wording,
        shadow: meant.as_ref().and_then(|it| semantic::shadow(exchange, lookup.rule, it)),
        question: meant.map(|found| found.question),
        time_to_live: if lookup.name.is_time_bound { longest.min(bound) } else { longest },
        labels: Labels {
            route: Some(Arc::from(route.name.as_str())),
            key: exchange.record.key.clone(),
            namespace: exchange.ours("cache-namespace").map(bounded),
            ..Labels::default()
        },
        fold: Fold::default(),
        // A stream takes as long as its client takes to read it: nobody shall wait for that.
        _leader: if exchange.record.stream { None } else { exchange.worker.flights().lead(key) },
    }
}

/// Stores an answer that came whole, if there is leave to. Before it is sent: nobody waits for a
/// client that reads slowly.
pub(super) fn store_whole(exchange: &mut Exchange<'_>, body: Vec<u8>) {
    let Some(ticket) = exchange.ticket.take() else { return };
    // Looked at only if it would fit: a large answer is not parsed for nothing.
    let fits = exchange.worker.cache().fits(body.len());
    let is_embedding = exchange.record.endpoint == Some(Endpoint::Embeddings);
    if fits && (is_embedding || is_replayable(&body)) {
        store(exchange, *ticket, body);
    }
}

/// Takes in the data of one event of a stream.
pub(super) fn take_event(exchange: &mut Exchange<'_>, data: &[u8]) {
    if let Some(ticket) = &mut exchange.ticket {
        ticket.fold.push(data);
    }
}

/// Stores the answer of a stream that has come to its end, if there is leave to.
pub(super) fn store_stream(exchange: &mut Exchange<'_>) {
    let Some(mut ticket) = exchange.ticket.take() else { return };
    if let Some(body) = std::mem::take(&mut ticket.fold).finish() {
        store(exchange, *ticket, body);
    }
}

fn store(exchange: &Exchange<'_>, ticket: Ticket, body: Vec<u8>) {
    let Ticket { key, wording, question, shadow, time_to_live, mut labels, .. } = ticket;
    if let Some(shadow) = shadow {
        semantic::observe(exchange, shadow, &body);
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
        expires_at: stored_at + time_to_live,
        wording,
        partition: question.as_ref().map(|question| question.partition),
    };
    if exchange.worker.cache().put(key, entry, question) {
        exchange.worker.recorder().count(Counter::CacheStores);
    }
}

/// Answers with what is stored, in the form the client asked for and under a new id.
pub(super) async fn deliver(
    exchange: &mut Exchange<'_>,
    request: &Request,
    entry: &Entry,
) -> Result<(), Failure> {
    exchange.record.provider.clone_from(&entry.labels.provider);
    exchange.record.model.clone_from(&entry.labels.model);
    let prefix = match request.endpoint {
        Endpoint::Completions => "cmpl",
        _ => "chatcmpl",
    };
    let id = format!("{prefix}-{}", exchange.record.id);
    let out = if exchange.record.stream && request.endpoint != Endpoint::Embeddings {
        stream(exchange, request, entry, &id)
    } else {
        whole(exchange, entry, &id)
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
    let length = before.len() + id.len() + after.len();
    let mut out = begin(exchange, entry, "application/json");
    finish_head(exchange, &mut out, Outgoing::Length(length as u64));
    out.reserve(length);
    out.extend_from_slice(before);
    out.extend_from_slice(id.as_bytes());
    out.extend_from_slice(after);
    out
}

fn stream(exchange: &mut Exchange<'_>, request: &Request, entry: &Entry, id: &str) -> Vec<u8> {
    let include_usage = match &request.body {
        Body::Json { outline, .. } => outline.include_usage,
        _ => false,
    };
    let mut events = Vec::with_capacity(entry.body.len() * 2);
    replay(&entry.body, id, include_usage, |data| write_data(&mut events, data));
    write_data(&mut events, b"[DONE]");
    let mut out = begin(exchange, entry, "text/event-stream; charset=utf-8");
    let outgoing = outgoing_of(exchange, Framing::Chunked);
    finish_head(exchange, &mut out, outgoing);
    if outgoing == Outgoing::Chunked {
        write_chunk(&mut out, &events);
        out.extend_from_slice(LAST_CHUNK);
    } else {
        out.extend_from_slice(&events);
    }
    out
}

fn begin(exchange: &mut Exchange<'_>, entry: &Entry, content_type: &str) -> Vec<u8> {
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
            assert_eq!(Control::read(header), Control { off, refresh, age_max }, "{header}");
        }
    }
}

//! Stage `recall`: the cache is asked before a provider is, and a ticket is drawn for the answer
//! of one who has to be asked.
//!
//! Everything that could make the answer another one is in the key: who asks, the route and what it
//! edits, the providers there are, the headers that travel on, every member of the body but those
//! that only choose the form of the answer.

use std::sync::Arc;
use std::time::Duration;

use super::admit::{Grant, bounded};
use super::connection::while_client_stays;
use super::deliver::{Outgoing, begin_head, finish_head, outgoing_of};
use super::endpoint::Endpoint;
use super::failure::Failure;
use super::fields::{goes_upstream, presented_keys};
use super::flights::Leader;
use super::receive::{Body, Request};
use super::record::{CacheStatus, Exchange};
use crate::base::{Instant, unix_now};
use crate::cache::{Entry, Key, KeyBuilder, Labels};
use crate::http::{Framing, LAST_CHUNK, write_chunk, write_data, write_field};
use crate::llm::{Fold, Outline, is_replayable, replay};
use crate::routing::{CacheRule, CacheScope, Route};
use crate::telemetry::Counter;

/// Members of a body that change the form of an answer or name the end user, not what it says.
const FORM_MEMBERS: [&[u8]; 3] = [b"stream", b"stream_options", b"user"];

/// Headers that travel on and say nothing about the answer.
const NEUTRAL_HEADERS: [&str; 6] =
    ["accept", "content-type", "idempotency-key", "traceparent", "tracestate", "user-agent"];

/// Leave to store the answer of an exchange.
pub(super) struct Ticket {
    key: Key,
    time_to_live: Duration,
    labels: Labels,
    fold: Fold,
    /// Identical requests wait for this one.
    _leader: Option<Leader>,
}

/// What a request asks of the cache.
struct Lookup<'r> {
    rule: &'r CacheRule,
    key: Key,
    control: Control,
    namespace: Option<&'r str>,
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
    let Some(route) = grant.route.as_deref().filter(|route| route.cache.is_some()) else {
        return Ok(None);
    };
    let Some(lookup) = look_up(exchange, route, request) else { return Ok(None) };
    if lookup.control.refresh {
        exchange.record.cache = CacheStatus::Refresh;
        exchange.worker.recorder().count(Counter::CacheRefreshes);
        exchange.worker.cache().remove(&lookup.key, exchange.record.at_unix);
    } else {
        let mut found = find(exchange, grant, &lookup);
        // A stream does not wait for another's end: its first word would come later than by itself.
        // Nor does who has a limit of its own.
        let waits = !exchange.record.stream && exchange.ours("request-timeout").is_none();
        let joins = found.is_none() && waits;
        if joins && let Some(landing) = exchange.worker.flights().landing(&lookup.key) {
            let begun = Instant::now();
            while_client_stays(&mut exchange.client.connection.reader, landing).await?;
            exchange.record.upstream += begun.elapsed();
            found = find(exchange, grant, &lookup);
            exchange.worker.recorder().count(Counter::CacheJoins);
        }
        let hit = found.is_some();
        exchange.record.cache = if hit { CacheStatus::Hit } else { CacheStatus::Miss };
        let counter = if hit { Counter::CacheHits } else { Counter::CacheMisses };
        exchange.worker.recorder().count(counter);
        if hit {
            return Ok(found);
        }
    }
    exchange.ticket = Some(Box::new(draw(exchange, route, &lookup)));
    Ok(None)
}

fn find(exchange: &Exchange<'_>, grant: &Grant, lookup: &Lookup<'_>) -> Option<Arc<Entry>> {
    let (now, age_max) = (exchange.record.at_unix, lookup.control.age_max);
    let entry = exchange.worker.cache().get(&lookup.key, now, age_max)?;
    // A key that shares answers does not share the others' models.
    let allowed = entry.labels.model.as_deref().is_none_or(|it| grant.check_model(it).is_ok());
    allowed.then_some(entry)
}

fn draw(exchange: &Exchange<'_>, route: &Route, lookup: &Lookup<'_>) -> Ticket {
    let asked = lookup.control.age_max.and_then(|age| CacheRule::bounded(age.as_secs()));
    Ticket {
        key: lookup.key,
        time_to_live: lookup.rule.max_age.or(asked).unwrap_or(CacheRule::MAX_AGE),
        labels: Labels {
            route: Some(Arc::from(route.name.as_str())),
            key: exchange.record.key.clone(),
            namespace: lookup.namespace.map(bounded),
            ..Labels::default()
        },
        fold: Fold::default(),
        // A stream takes as long as its client takes to read it: nobody shall wait for that.
        _leader: if exchange.record.stream {
            None
        } else {
            exchange.worker.flights().lead(lookup.key)
        },
    }
}

/// The key and the client's wishes; none if this request has nothing to do with the cache.
fn look_up<'r>(exchange: &Exchange<'r>, route: &'r Route, request: &Request) -> Option<Lookup<'r>> {
    let rule = route.cache.as_ref()?;
    let Body::Json { bytes, outline } = &request.body else { return None };
    let control = Control::of(exchange);
    if !request.endpoint.is_metered() || control.off {
        return None;
    }
    let namespace = exchange.ours("cache-namespace");
    let mut key = exchange.worker.cache().key();
    key.part(request.endpoint.name().as_bytes());
    key.part(route.name.as_bytes())
        .part(&rule.fingerprint)
        .part(exchange.snapshot.providers_fingerprint());
    key.optional(namespace.map(str::as_bytes));
    add_scope(&mut key, exchange, rule.scope, outline)?;
    add_headers(&mut key, exchange, route);
    add_body(&mut key, outline, bytes);
    Some(Lookup { rule, key: key.finish(), control, namespace })
}

/// Who shares the answer. None where the route wants a user and the request names none.
fn add_scope(
    key: &mut KeyBuilder,
    exchange: &Exchange<'_>,
    scope: CacheScope,
    outline: &Outline,
) -> Option<()> {
    if scope == CacheScope::Shared {
        key.part(b"shared");
        return Some(());
    }
    key.part(b"key").optional(exchange.record.key.as_deref().map(str::as_bytes));
    if exchange.record.key.is_none() {
        // Without virtual keys the secrets that are presented tell clients apart.
        presented_keys(exchange.head).for_each(|secret| {
            key.part(secret);
        });
    }
    if scope == CacheScope::User {
        let named = outline.user.clone().or_else(|| user_of_metadata(exchange));
        key.part(b"user").part(named.filter(|user| !user.is_empty())?.as_bytes());
    }
    Some(())
}

/// `_user` of the metadata header, Portkey's place for it.
fn user_of_metadata(exchange: &Exchange<'_>) -> Option<String> {
    let metadata: serde_json::Value = serde_json::from_str(exchange.ours("metadata")?).ok()?;
    metadata.get("_user")?.as_str().map(str::to_owned)
}

/// Headers that choose the provider or travel on to it.
fn add_headers(key: &mut KeyBuilder, exchange: &Exchange<'_>, route: &Route) {
    for name in ["provider", "virtual-key", "custom-host", "forward-headers"] {
        key.optional(exchange.ours(name).map(str::as_bytes));
    }
    let asked = exchange.ours("forward-headers").unwrap_or_default();
    let is_forwarded = |name: &str| {
        route.target.forward_headers.iter().any(|it| it == name)
            || asked.split(',').any(|it| it.trim().eq_ignore_ascii_case(name))
    };
    for (name, value) in exchange.head.fields() {
        let travels = goes_upstream(name) && !NEUTRAL_HEADERS.contains(&name);
        if travels || is_forwarded(name) {
            key.part(name.as_bytes()).part(value);
        }
    }
}

/// Every member of the body as it is written, whatever their order.
fn add_body(key: &mut KeyBuilder, outline: &Outline, body: &[u8]) {
    let mut members: Vec<_> =
        outline.members(body).filter(|(name, _)| !FORM_MEMBERS.contains(&name.as_ref())).collect();
    members.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    for (name, value) in members {
        key.part(&name).part(value);
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
    let Ticket { key, time_to_live, mut labels, .. } = ticket;
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
    };
    if exchange.worker.cache().put(key, entry) {
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

//! Stage `cache_lookup`: the cache is looked up before a provider is called; on a miss the write of the
//! response is prepared.
//!
//! The same request first, also one that is still under way; then, where the route allows
//! it, a question of the same meaning.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use super::key::CacheKeys;
use super::semantic::SemanticDecision;
use super::write::{CacheWrite, CacheWriter};
use super::{format, key, semantic};
use crate::base::Instant;
use crate::cache::{AnswerOrigin, Entry, EntryLabels, Follower, Leader, Neighbor, SemanticMatch};
use crate::gateway::context::{Exchange, GatewayError, Grant, Request, RequestAttributes, bounded};
use crate::gateway::downstream::disconnect::or_disconnect;
use crate::routing::{CacheRule, Route};
use crate::telemetry::{CacheStatus, Counter};

/// A lookup in the cache.
struct CacheLookup<'r> {
    rule: &'r CacheRule,
    keys: CacheKeys,
    control: CacheControl,
    /// True once it has waited for another request; a request waits once.
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

/// What the lookup found.
pub(crate) enum LookupOutcome {
    Hit(Hit),
    /// No answer; with the write that is due once there is one.
    Miss(Option<Box<CacheWriter>>),
}

/// An answer that needs no provider.
pub(crate) enum Hit {
    /// It is stored.
    Stored(Arc<Entry>),
    /// It is the stream of another request.
    Shared(Follower, AnswerOrigin),
}

/// Looks for the answer to the request, and to one of the same meaning. Where there is none, an identical
/// request that comes meanwhile may follow this one.
pub(crate) async fn look_up(
    exchange: &mut Exchange<'_>,
    grant: &Grant,
    request: &Request,
) -> Result<LookupOutcome, GatewayError> {
    let Some(route) = grant.route() else { return Ok(LookupOutcome::Miss(None)) };
    let Some(mut lookup) = read_lookup(exchange, grant, request) else {
        return Ok(LookupOutcome::Miss(None));
    };
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
            return Ok(LookupOutcome::Hit(found));
        }
        if let Some(query) = lookup.keys.query.take() {
            nearest = Box::pin(semantic::find(exchange, query)).await?;
            // The same request may have come meanwhile.
            if let Some(found) = find_same(exchange, grant, &mut lookup).await? {
                return Ok(LookupOutcome::Hit(found));
            }
            let is_good = |it: &Neighbor| lookup.accepts(exchange, grant, &it.entry);
            let decide = |it| semantic::decide(exchange, (key, lookup.rule), it, is_good);
            match nearest.as_ref().map(decide) {
                Some(SemanticDecision::Serve(found)) => {
                    count(exchange, CacheStatus::SemanticHit, Counter::CacheSemanticHits);
                    semantic::remember_served(exchange, key, found.key);
                    return Ok(LookupOutcome::Hit(Hit::Stored(found.entry)));
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
        if let Some(found) = found {
            return Ok(LookupOutcome::Hit(found));
        }
        match nearest {
            None => count(exchange, CacheStatus::Miss, Counter::CacheMisses),
            Some(_) => count(exchange, CacheStatus::SemanticMiss, Counter::CacheSemanticMisses),
        }
    }
    exchange.flight = leader;
    let plan = CacheWrite { comparison, ..plan_write(exchange, route, &lookup, nearest) };
    Ok(LookupOutcome::Miss(Some(Box::new(CacheWriter::new(plan)))))
}

fn hit(exchange: &mut Exchange<'_>, lookup: &CacheLookup<'_>, entry: Arc<Entry>) -> Hit {
    let is_same = entry.wording == lookup.keys.wording;
    let counter = if is_same { Counter::CacheHits } else { Counter::CacheNormalisedHits };
    count(exchange, CacheStatus::Hit, counter);
    Hit::Stored(entry)
}

fn count(exchange: &mut Exchange<'_>, status: CacheStatus, counter: Counter) {
    exchange.record.cache.status = status;
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
    let stored = format::to_stored_request(exchange, request)?;
    let attributes = RequestAttributes::new(exchange.context, grant, request);
    let keys = key::cache_keys(exchange, route, rule, (&stored, &attributes))?;
    Some(CacheLookup { rule, keys, control, has_waited: false })
}

/// Starts a flight that identical requests follow. A request with a limit of its own starts none.
fn start_flight(exchange: &Exchange<'_>, lookup: &CacheLookup<'_>) -> Option<Leader> {
    let record = &exchange.record;
    let has_limit = exchange.gateway_header("request-timeout").is_some();
    let flights = exchange.worker.flights();
    if has_limit {
        None
    } else {
        flights.start(lookup.keys.key, record.client.stream, record.at_unix)
    }
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
    let joined = flights.join(&lookup.keys.key, exchange.record.client.stream);
    let age = |it: &Follower| exchange.record.at_unix.saturating_sub(it.begun_at());
    let young = joined.filter(|it| lookup.control.age_max.is_none_or(|max| age(it) <= max));
    let Some(mut follower) = young else { return Ok(None) };
    lookup.has_waited = true;
    exchange.worker.recorder().count(Counter::CacheJoins);
    let begun = Instant::now();
    let reader = &mut exchange.client.connection.reader;
    if exchange.record.client.stream {
        let origin = or_disconnect(reader, pin!(follower.origin())).await?;
        if let Some(origin) = origin.filter(|it| may_use(grant, it.model.as_deref())) {
            exchange.record.routing.upstream_time += begun.elapsed();
            count(exchange, CacheStatus::Hit, Counter::CacheHits);
            return Ok(Some(Hit::Shared(follower, origin)));
        }
    } else {
        or_disconnect(reader, pin!(follower.finished())).await?;
    }
    exchange.record.routing.upstream_time += begun.elapsed();
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

fn plan_write(
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cache_control_directives_are_read() {
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

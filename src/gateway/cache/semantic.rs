//! The second half of `cache_lookup`: a stored question of the same meaning.
//!
//! The text goes to an embedder thread and the shard goes on with others; if nothing has come back in
//! time, the request goes on without.

use std::pin::pin;
use std::time::Duration;

use futures_channel::oneshot;

use crate::base::Instant;
use crate::cache::{
    ComparisonReport, Decision, ErrorLimit, Key, MatchPolicy, Neighbor, Observation, SampledCheck,
    SemanticMatch, SemanticMode, SemanticQuery, Served, Verdict,
};
use crate::gateway::context::{Exchange, GatewayError};
use crate::gateway::downstream::disconnect::or_disconnect;
use crate::inference::Cancel;
use crate::llm::answer_text;
use crate::routing::{CacheMode, CacheRule};
use crate::shard::within;
use crate::telemetry::Counter;

/// The reply of a thread that had begun before the deadline may come so much later.
const GRACE: Duration = Duration::from_millis(5);

/// Cancels a lookup when its request ends.
struct CancelOnDrop(Cancel);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// What is known of the question and the stored one next to it. None where the tier is off, busy or
/// late, or has no use for the text.
pub(crate) async fn find(
    exchange: &mut Exchange<'_>,
    query: SemanticQuery,
) -> Result<Option<SemanticMatch>, GatewayError> {
    let Some(semantic) = exchange.worker.semantic() else { return Ok(None) };
    let limits = &exchange.snapshot.settings.semantic_cache;
    let policy = policy(exchange);
    let cancel = Cancel::default();
    let (reply, answer) = oneshot::channel();
    let deadline = Instant::now().after(limits.timeout);
    let times = (exchange.record.at_unix, deadline);
    // The request may be gone by then.
    let reply = Box::new(move |found| drop(reply.send(found)));
    if !semantic.lookup(query, policy, times, cancel.clone(), reply) {
        exchange.worker.recorder().count(Counter::CacheSemanticSkips);
        return Ok(None);
    }
    let _cancel_on_drop = CancelOnDrop(cancel);
    let reader = &mut exchange.client.connection.reader;
    let found = or_disconnect(reader, pin!(within(deadline.after(GRACE), answer))).await?;
    let found = found.ok().and_then(|reply| reply.ok().flatten());
    match &found {
        Some(found) => {
            exchange.record.cache.similarity =
                found.neighbor.as_ref().map(|it| it.assessment.cosine);
        }
        None => exchange.worker.recorder().count(Counter::CacheSemanticSkips),
    }
    Ok(found)
}

fn policy(exchange: &Exchange<'_>) -> MatchPolicy {
    MatchPolicy { threshold: exchange.snapshot.settings.semantic_cache.threshold }
}

/// True if what is found by meaning is not served.
fn is_shadowed(exchange: &Exchange<'_>, rule: &CacheRule) -> bool {
    let shadow = match rule.mode {
        CacheMode::Simple => None,
        CacheMode::Semantic { shadow, .. } => shadow,
    };
    let mode = exchange.snapshot.settings.semantic_cache.mode;
    shadow.unwrap_or(mode == SemanticMode::Shadow)
}

/// Remembers an answer that is about to be served, for its client's feedback.
pub(crate) fn remember_served(exchange: &Exchange<'_>, question: Key, entry: Key) {
    let record = &exchange.record;
    let id = record.id.to_string();
    let trace_id = record.trace_id.as_deref().unwrap_or(&id);
    let served = Served { question, entry };
    exchange.worker.cache().note_served(record.key.as_deref(), trace_id, served);
}

/// Whether what was found is served.
pub(crate) enum SemanticDecision {
    /// Its answer is served.
    Serve(Neighbor),
    /// The provider is called, and its answer may be compared with something.
    Miss(Option<AnswerCheck>),
}

/// What the provider's answer is compared with.
pub(crate) struct AnswerCheck {
    neighbor: Option<Neighbor>,
    /// True if what shadow mode has found is written down.
    is_shadow: bool,
    trial: Option<Box<SampledCheck>>,
}

/// Decides on what was found for the question `asked`. Of the stored questions whose answers may
/// be served, those count for which `is_good`.
pub(crate) fn decide(
    exchange: &Exchange<'_>,
    (question, rule): (Key, &CacheRule),
    found: &SemanticMatch,
    is_good: impl Fn(&Neighbor) -> bool,
) -> SemanticDecision {
    let is_shadow = is_shadowed(exchange, rule);
    let candidate = found.served().filter(|it| is_good(it));
    let trial = match verdict(exchange, candidate) {
        Verdict::Verify { weight } => candidate.map(|it| {
            let route = exchange.record.route.as_deref().unwrap_or_default().to_owned();
            let cosine = it.assessment.nearness(policy(exchange));
            Box::new(SampledCheck { route, question, stored: it.key, cosine, weight })
        }),
        Verdict::Serve => None,
    };
    match candidate {
        Some(candidate) if trial.is_none() && !is_shadow => {
            SemanticDecision::Serve(candidate.clone())
        }
        _ => {
            let is_compared = is_shadow || trial.is_some();
            let neighbor = found.neighbor.clone();
            SemanticDecision::Miss(is_compared.then_some(AnswerCheck {
                neighbor,
                is_shadow,
                trial,
            }))
        }
    }
}

/// What shadow mode compares with the answer to a request that goes to the provider whatever is found.
pub(crate) fn shadow(
    exchange: &Exchange<'_>,
    rule: &CacheRule,
    found: &SemanticMatch,
) -> Option<AnswerCheck> {
    let is_shadow = is_shadowed(exchange, rule);
    is_shadow.then(|| AnswerCheck { neighbor: found.neighbor.clone(), is_shadow, trial: None })
}

/// Whether a stored answer that could be served is, by the route's record. The look-up is counted.
fn verdict(exchange: &Exchange<'_>, candidate: Option<&Neighbor>) -> Verdict {
    let limits = &exchange.snapshot.settings.semantic_cache;
    let Some(max_error_rate) = limits.max_error_rate else { return Verdict::Serve };
    let limit = ErrorLimit { threshold: limits.threshold, max_error_rate };
    let route = exchange.record.route.as_deref().unwrap_or_default();
    let error_controller = exchange.worker.cache().error_controller();
    match candidate {
        Some(candidate) => {
            error_controller.decide(route, limit, candidate.assessment.nearness(policy(exchange)))
        }
        None => {
            error_controller.count(route, limit);
            Verdict::Serve
        }
    }
}

/// Compares the provider's answer with what was found.
pub(crate) fn compare(exchange: &Exchange<'_>, comparison: AnswerCheck, body: &[u8]) {
    let Some(semantic) = exchange.worker.semantic() else { return };
    let AnswerCheck { neighbor, is_shadow, trial } = comparison;
    let observation = is_shadow.then(|| observation(exchange, neighbor.as_ref()));
    let stored = neighbor.and_then(|it| answer_text(&it.entry.body));
    semantic.compare(ComparisonReport { observation, check: trial }, stored.zip(answer_text(body)));
}

fn observation(exchange: &Exchange<'_>, neighbor: Option<&Neighbor>) -> Box<Observation> {
    let record = &exchange.record;
    let usage = record.metering.usage.unwrap_or_default();
    let assessment = neighbor.map(|it| it.assessment);
    let decision = neighbor.map(|it| it.decision);
    let refusal = match decision {
        Some(Decision::Refuse(refusal)) => Some(refusal.as_str().to_owned()),
        _ => None,
    };
    Box::new(Observation {
        at: record.at_unix.as_secs(),
        route: record.route.as_deref().unwrap_or_default().to_owned(),
        similarity: assessment.map(|it| it.cosine),
        guard: assessment.and_then(|it| it.guard),
        probability: assessment.map(|it| it.probability),
        misspelled: assessment.is_some_and(|it| it.is_misspelled),
        would_hit: decision == Some(Decision::Serve),
        refusal,
        agreed: None,
        input_tokens: usage.input_tokens,
        output_tokens: usage.output_tokens,
        upstream_ms: u64::try_from(record.routing.upstream_time.as_millis()).unwrap_or(u64::MAX),
    })
}

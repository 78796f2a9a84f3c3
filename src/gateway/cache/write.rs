//! The write of a response into the cache, and the stream that identical requests share meanwhile.

use std::time::Duration;

use super::semantic::AnswerCheck;
use super::{format, semantic};
use crate::base::unix_now;
use crate::cache::{AnswerOrigin, Entry, EntryLabels, Key, Leader, Question};
use crate::gateway::context::{Endpoint, Exchange};
use crate::gateway::downstream::disconnect::leader;
use crate::llm::{StreamAccumulator, is_replayable};
use crate::telemetry::Counter;

/// The write to the cache that is due when the response is complete.
pub(crate) struct CacheWrite {
    pub key: Key,
    pub wording: u64,
    pub question: Option<Box<Question>>,
    /// What the answer is compared with.
    pub comparison: Option<AnswerCheck>,
    pub time_to_live: Duration,
    pub labels: EntryLabels,
    pub fold: StreamAccumulator,
    /// Identical requests share its answer.
    pub leader: Option<Leader>,
}

/// Stores an answer that came whole, if a write is due. Before it is sent: nobody waits for a
/// client that reads slowly.
pub(crate) fn store_whole(exchange: &mut Exchange<'_>, body: Vec<u8>) {
    let Some(cache_write) = exchange.cache_write.take() else { return };
    // Looked at only if it would fit: a large answer is not parsed for nothing.
    if !exchange.worker.cache().fits(body.len()) {
        return;
    }
    let Some(body) = format::to_stored_response(exchange, body) else { return };
    let is_text = exchange.record.endpoint.is_none_or(Endpoint::is_text);
    if !is_text || is_replayable(&body) {
        store(exchange, *cache_write, body);
    }
}

/// A stream begins.
pub(crate) fn begin_stream(exchange: &Exchange<'_>) {
    if let Some(leader) = leader(exchange) {
        let (provider, model) = (exchange.record.provider.clone(), exchange.record.model.clone());
        leader.set_origin(AnswerOrigin { provider, model });
    }
}

/// True if events are of use: the answer may be stored, or others share it.
pub(crate) fn takes_events(exchange: &Exchange<'_>) -> bool {
    exchange.cache_write.is_some()
}

/// Takes in the data of one event of a stream.
pub(crate) fn take_event(exchange: &mut Exchange<'_>, data: &[u8]) {
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

/// Stores the answer of a stream that has come to its end, if a write is due.
pub(crate) fn store_stream(exchange: &mut Exchange<'_>) {
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

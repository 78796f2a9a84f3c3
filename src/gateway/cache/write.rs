//! The write of a response into the cache, and the stream that identical requests share meanwhile.

use std::time::Duration;

use super::chat_events::ChatEvents;
use super::semantic::AnswerCheck;
use super::{format, semantic};
use crate::base::unix_now;
use crate::cache::{AnswerOrigin, Entry, EntryLabels, Key, Question};
use crate::gateway::context::{Endpoint, Exchange};
use crate::llm::{Chunk, Outline, StreamAccumulator, is_replayable};
use crate::telemetry::Counter;

/// Writes the response of one exchange into the cache once it is complete, and hands the events of a
/// stream to the requests that share it.
pub(crate) struct CacheWriter {
    plan: CacheWrite,
    accumulator: StreamAccumulator,
    /// Of a stream in another dialect than the stored form.
    chat_events: Option<ChatEvents>,
    /// True once the stream has begun for its client.
    has_begun: bool,
    /// The events before; none of them is shared if another provider is called instead.
    held: Vec<Vec<u8>>,
}

/// What is stored, and for how long.
pub(crate) struct CacheWrite {
    pub key: Key,
    pub wording: u64,
    pub question: Option<Box<Question>>,
    /// What the answer is compared with.
    pub comparison: Option<AnswerCheck>,
    pub time_to_live: Duration,
    pub labels: EntryLabels,
}

impl CacheWriter {
    pub(crate) fn new(plan: CacheWrite) -> Self {
        Self {
            plan,
            accumulator: StreamAccumulator::default(),
            chat_events: None,
            has_begun: false,
            held: Vec::new(),
        }
    }

    /// A provider's stream follows, whose events or chunks will come. Those of a stream that could not be
    /// delivered are forgotten.
    pub(crate) fn expect_stream(&mut self, chat_events: Option<ChatEvents>) {
        self.accumulator = StreamAccumulator::default();
        self.chat_events = chat_events;
        self.has_begun = false;
        self.held = Vec::new();
    }

    /// The stream begins for its client, and for those who share it.
    pub(crate) fn begin(&mut self, exchange: &Exchange<'_>) {
        self.has_begun = true;
        if let Some(flight) = &exchange.flight {
            let (provider, model) =
                (exchange.record.routing.provider.clone(), exchange.record.routing.model.clone());
            flight.set_origin(AnswerOrigin { provider, model });
        }
        self.held.drain(..).for_each(|data| share(exchange, &data));
    }

    /// Takes the data of an event of the provider.
    pub(crate) fn event(&mut self, exchange: &Exchange<'_>, name: Option<&str>, data: &[u8]) {
        match self.chat_events.take() {
            Some(mut chat_events) => {
                let scanner = &mut exchange.worker.scanner();
                chat_events.push_event(name, data, scanner, |data| self.add(exchange, data));
                self.chat_events = Some(chat_events);
            }
            None => self.add(exchange, data),
        }
    }

    /// Takes a piece of a stream.
    pub(crate) fn chunk(&mut self, exchange: &Exchange<'_>, chunk: &Chunk) {
        if let Some(mut chat_events) = self.chat_events.take() {
            chat_events.push_chunk(chunk, |data| self.add(exchange, data));
            self.chat_events = Some(chat_events);
        }
    }

    /// Takes an event in the stored form.
    fn add(&mut self, exchange: &Exchange<'_>, data: &[u8]) {
        self.accumulator.push(data);
        if exchange.flight.is_none() {
            return;
        }
        if self.has_begun {
            share(exchange, data);
        } else {
            self.held.push(data.to_vec());
        }
    }

    /// The stream is complete: stores its answer.
    pub(crate) fn complete(self, exchange: &mut Exchange<'_>) {
        let body = self.accumulator.finish();
        if let Some(body) = body.filter(|_| !exchange.record.metering.stream_error) {
            store(exchange, self.plan, body);
        }
        // Last, so that a request that waits for the end finds the answer stored. A stream of which nothing
        // can be stored is complete all the same.
        if let Some(flight) = exchange.flight.take() {
            flight.complete();
        }
    }

    /// Stores a whole answer, as the client gets it.
    pub(crate) fn store_whole(self, exchange: &mut Exchange<'_>, body: Vec<u8>) {
        // Looked at only if it would fit: a large answer is not parsed for nothing.
        let fits = exchange.worker.cache().fits(body.len());
        let body = if fits { format::to_stored_response(exchange, body) } else { None };
        let is_text = exchange.record.endpoint.is_none_or(Endpoint::is_text);
        if let Some(body) = body.filter(|body| !is_text || is_replayable(body)) {
            store(exchange, self.plan, body);
        }
        // Those who wait for it look it up now.
        exchange.flight = None;
    }
}

/// Hands an event to the requests that share the stream, while there is memory for it.
fn share(exchange: &Exchange<'_>, data: &[u8]) {
    let Some(flight) = &exchange.flight else { return };
    if exchange.reserve_memory(data.len()).is_ok() {
        flight.share(data);
    } else {
        flight.stop_sharing();
    }
}

fn store(exchange: &Exchange<'_>, plan: CacheWrite, body: Vec<u8>) {
    let CacheWrite { key, wording, question, comparison, time_to_live, mut labels } = plan;
    if let Some(comparison) = comparison {
        semantic::compare(exchange, comparison, &body);
    }
    labels.provider = exchange.record.routing.provider.clone();
    labels.model = exchange.record.routing.model.clone();
    let stored_at = unix_now();
    let outline = Outline::read(&body);
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

#[cfg(test)]
mod tests {

    use serde_json::json;

    use super::*;
    use crate::base::Instant;
    use crate::cache::SharedChunk;
    use crate::config::Settings;
    use crate::control::prepare_settings;
    use crate::gateway::context::{Client, RequestContext, SharedDeadline};
    use crate::gateway::{ENDPOINT_NAMES, Simulation};
    use crate::http::RequestHead;
    use crate::routing::TargetRegistry;
    use crate::shard::{Connection, Script, Tape, run_in_virtual_time};
    use crate::telemetry::MetricsRegistry;

    fn event(delta: &serde_json::Value, finish_reason: Option<&str>) -> String {
        let choice = json!({ "index": 0, "delta": delta, "finish_reason": finish_reason });
        json!({ "id": "c", "object": "chat.completion.chunk", "model": "m", "created": 1,
            "choices": [choice] })
        .to_string()
    }

    fn delta(text: &str) -> String {
        event(&json!({ "content": text }), None)
    }

    #[test]
    fn stream_that_was_not_delivered_is_neither_stored_nor_shared() {
        let settings = Settings::load(None, &|_| None).expect("settings");
        let targets = TargetRegistry::new(Instant::now());
        let prepared = prepare_settings(settings, &targets).expect("settings");
        let metrics = MetricsRegistry::new(1, ENDPOINT_NAMES);
        let simulation = Simulation::new(&prepared, &metrics).expect("a worker");
        let worker = simulation.worker();
        let head = RequestHead::default();
        let context = RequestContext::new(worker, &head);
        let connection = Connection::in_memory(Script::default(), Tape::default());
        let mut client = Client::new(connection, Duration::ZERO, SharedDeadline::default());
        let mut exchange = Exchange::new(&context, &mut client, Instant::now());
        let key = worker.cache().key().finish();
        let now = exchange.record.at_unix;
        exchange.flight = worker.flights().start(key, true, now);
        let mut follower = worker.flights().join(&key, true).expect("the flight");
        let mut writer = CacheWriter::new(CacheWrite {
            key,
            wording: 0,
            question: None,
            comparison: None,
            time_to_live: Duration::from_secs(60),
            labels: EntryLabels::default(),
        });
        writer.expect_stream(None);
        writer.event(&exchange, None, delta("first").as_bytes());
        writer.expect_stream(None);
        writer.begin(&exchange);
        for data in [delta("second"), event(&json!({}), Some("stop"))] {
            writer.event(&exchange, None, data.as_bytes());
        }
        writer.complete(&mut exchange);
        let entry = worker.cache().get(&key, now, None).expect("an entry");
        let body: serde_json::Value = serde_json::from_slice(&entry.body).expect("JSON");
        assert_eq!(body["choices"][0]["message"]["content"], "second");
        let shared = run_in_virtual_time(follower.recv()).expect("a chunk");
        let SharedChunk::Events(events) = shared else { panic!("an end") };
        assert_eq!(events.len(), 2);
        assert_eq!(&*events[0], delta("second").as_bytes());
    }
}

//! The steps of the pipeline one by one, each warmed up and ready to be measured again and again.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use ringgate::base::IdSource;
use ringgate::gateway::ENDPOINT_NAMES;
use ringgate::http::{EventReader, HeadLimits, Method, RequestHead, ResponseHead, write_event};
use ringgate::llm::{Edit, Outline, PicoUsd, Usage};
use ringgate::telemetry::{Cost, MetricsRegistry, ModelOrigin, Recorder, RequestEvent};

use crate::sample::{ConnectionReuse, burst, chat_request, request_head, response_head};

/// Reads one request head of 17 fields.
pub struct RequestHeadStep {
    head: RequestHead,
    bytes: Vec<u8>,
}

impl Default for RequestHeadStep {
    fn default() -> Self {
        Self { head: RequestHead::default(), bytes: request_head(600) }
    }
}

impl RequestHeadStep {
    /// Bytes taken; none if the head was refused.
    pub fn run(&mut self) -> Option<usize> {
        self.head.clear();
        self.head.parse(black_box(&self.bytes), &HeadLimits::default()).ok().flatten()
    }
}

/// Reads one answer's head of 18 fields.
pub struct ResponseHeadStep {
    head: ResponseHead,
    bytes: Vec<u8>,
}

impl Default for ResponseHeadStep {
    fn default() -> Self {
        let bytes =
            response_head("application/json", "Content-Length: 1024", ConnectionReuse::KeepAlive);
        Self { head: ResponseHead::default(), bytes }
    }
}

impl ResponseHeadStep {
    /// Bytes taken; none if the head was refused.
    pub fn run(&mut self) -> Option<usize> {
        self.head.clear();
        let limits = HeadLimits::default();
        self.head.parse(black_box(&self.bytes), Method::Post, &limits).ok().flatten()
    }
}

/// Scans a chat request.
pub struct ScanStep {
    body: Vec<u8>,
}

impl ScanStep {
    /// For a body of about that size.
    #[must_use]
    pub fn new(body_bytes: usize) -> Self {
        Self { body: chat_request(body_bytes, false) }
    }

    /// What was found; none if the body was refused.
    pub fn run(&mut self) -> Option<Outline> {
        Outline::read(black_box(&self.body)).ok()
    }
}

/// Splices two edits into a chat request of 2 KB: one replaces a value, one adds a member.
pub struct SpliceStep {
    outline: Outline,
    body: Vec<u8>,
    out: Vec<u8>,
}

impl Default for SpliceStep {
    fn default() -> Self {
        let body = chat_request(2_000, true);
        let outline = Outline::read(&body).unwrap_or_default();
        Self { outline, out: Vec::with_capacity(body.len() + 128), body }
    }
}

impl SpliceStep {
    /// Length of the edited body.
    pub fn run(&mut self) -> usize {
        let edits = [
            Edit::Set { key: "model", json: br#""gpt-4o-mini""# },
            Edit::Set { key: "stream_options", json: br#"{"include_usage":true}"# },
        ];
        self.out.clear();
        self.outline.splice(black_box(&self.body), &edits, &mut self.out);
        self.out.len()
    }
}

/// Decodes a burst of events and encodes each again, as a relay does.
pub struct EventsStep {
    reader: EventReader,
    burst: Vec<u8>,
    out: Vec<u8>,
}

impl EventsStep {
    /// For a burst of so many events.
    #[must_use]
    pub fn new(events: usize) -> Self {
        let burst = burst(events);
        let out = Vec::with_capacity(burst.len() + 64);
        Self { reader: EventReader::new(4 * 1024 * 1024), burst, out }
    }

    /// Bytes written.
    pub fn run(&mut self) -> usize {
        self.out.clear();
        self.reader.push(black_box(&self.burst));
        while let Ok(Some(event)) = self.reader.next() {
            write_event(&mut self.out, &event);
        }
        self.out.len()
    }
}

/// Counts a finished exchange.
pub struct FinishStep {
    recorder: Recorder,
    event: RequestEvent,
}

impl Default for FinishStep {
    fn default() -> Self {
        let event = RequestEvent {
            id: IdSource::from_seed(1).next_id(),
            at_unix: Duration::from_secs(1_795_240_800),
            endpoint: 2,
            key: Some(Arc::from("team-a")),
            provider_name: Some(Arc::from("openai-prod")),
            request_model: Some("gpt-4o-mini".to_owned()),
            route: Some(Arc::from("support")),
            response_status_code: 200,
            usage: Some(Usage { input_tokens: 31, output_tokens: 118, ..Usage::default() }),
            cost: Some(Cost::Known(PicoUsd::new(12_500_000))),
            latency: Duration::from_micros(412_345),
            first_byte: Some(Duration::from_micros(412_300)),
            upstream: Duration::from_micros(412_200),
            request_body_size: 600,
            response_size: 1_600,
            calls: 1,
            reused_connection: true,
            ..RequestEvent::default()
        };
        Self { recorder: Recorder::new(&MetricsRegistry::new(1, ENDPOINT_NAMES), 0, None), event }
    }
}

impl FinishStep {
    /// An event of its own for [`FinishStep::run`].
    #[must_use]
    pub fn event(&self) -> RequestEvent {
        self.event.clone()
    }

    /// Counts `event`.
    pub fn run(&self, event: RequestEvent) {
        self.recorder.finish(black_box(event), |_, _| ModelOrigin::Settings);
    }
}

//! One client connection of the mock: read a request, wait as told, answer rightly or wrongly, again.
//!
//! While it waits it also reads, so that a client that leaves is noticed and counted at once.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::answer::{JsonAnswer, Key, StreamAnswer, write_json};
use super::dialects::{self, Endpoint, Headers};
use super::fault::{Fault, FaultRates};
use super::reply::Plan;
use super::request::{Head, Route, Wish, inputs};
use super::shape::{self, Shape};
use super::{Counters, MockOptions};
use crate::framing::{BodyDecoder, Framing};
use crate::timer::Timer;
use crate::wire::Wire;

/// Room kept free for each read; also the buffer a quiet connection holds.
const READ_BYTES: usize = 16 << 10;
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Largest JSON body that is kept to look into.
const BODY_BYTES_MAX: usize = 64 << 20;

/// What all connections of one thread share. The locks are never contended: the thread is their only user.
pub struct Service {
    pub options: MockOptions,
    rates: FaultRates,
    random: Mutex<fastrand::Rng>,
    timer: Arc<Timer>,
    counters: Arc<Counters>,
    /// The answers last built: one kind of request is the rule, so that one of each is enough.
    json: Mutex<Option<(Key<'static>, Arc<JsonAnswer>)>>,
    stream: Mutex<Option<(Key<'static>, Arc<StreamAnswer>)>>,
}

impl Service {
    pub fn new(
        options: MockOptions,
        seed: u64,
        timer: Arc<Timer>,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            rates: options.fault_rates(),
            options,
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
            timer,
            counters,
            json: Mutex::default(),
            stream: Mutex::default(),
        }
    }
}

/// Counts a connection as open for as long as it lives.
pub struct Open(Arc<Service>);

impl Open {
    pub fn count(service: &Arc<Service>) -> Self {
        add(&service.counters.connections_open, 1);
        Self(Arc::clone(service))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.counters.connections_open.fetch_sub(1, Ordering::Relaxed);
    }
}

fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

/// Returns what `slot` holds for `key`, building it if it holds another.
fn recent<T>(
    slot: &Mutex<Option<(Key<'static>, Arc<T>)>>,
    key: &Key<'_>,
    build: impl FnOnce(&Key<'_>) -> T,
) -> Arc<T> {
    let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
    match &*slot {
        Some((held, answer)) if held == key => Arc::clone(answer),
        _ => {
            let answer = Arc::new(build(key));
            let owned = Key { model: Cow::Owned(key.model.clone().into_owned()), ..*key };
            *slot = Some((owned, Arc::clone(&answer)));
            answer
        }
    }
}

/// The client has left, or the connection broke.
pub struct Gone;

impl From<std::io::Error> for Gone {
    fn from(_: std::io::Error) -> Self {
        Self
    }
}

#[derive(PartialEq)]
pub enum Next {
    KeepAlive,
    Close,
}

/// Serves requests until either side closes.
pub async fn serve(wire: Wire, open: Open) {
    let mut connection = Connection {
        wire,
        service: Arc::clone(&open.0),
        input: Vec::with_capacity(READ_BYTES),
        output: Vec::new(),
        decoded: Vec::new(),
    };
    while let Ok(Next::KeepAlive) = connection.request().await {}
    // The peer may be gone already; then there is nothing to end.
    let _ = connection.wire.shutdown().await;
}

pub struct Connection {
    pub wire: Wire,
    pub service: Arc<Service>,
    /// What has been read and not dealt with; at most one body of a kept kind and 64 KiB beyond.
    input: Vec<u8>,
    /// The answer as far as it is not sent.
    pub output: Vec<u8>,
    /// The body of a chunked request that must be looked into.
    decoded: Vec<u8>,
}

impl Connection {
    async fn request(&mut self) -> Result<Next, Gone> {
        let Some(head) = self.head().await? else {
            return Ok(Next::Close);
        };
        add(&self.service.counters.requests_started, 1);
        let answered = self.answer(&head).await;
        let counters = &self.service.counters;
        match answered {
            Ok(_) => add(&counters.requests_finished, 1),
            Err(Gone) => add(&counters.requests_aborted, 1),
        }
        if head.closes { answered.map(|_| Next::Close) } else { answered }
    }

    async fn answer(&mut self, head: &Head) -> Result<Next, Gone> {
        if head.waits_for_continue {
            self.wire.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let plan = match self.plan(head).await? {
            Some(plan) => plan,
            None => {
                self.output.clear();
                let body =
                    shape::error("invalid_request_error", "bad_body", "the body cannot be read");
                write_json(&mut self.output, "400 Bad Request", "connection: close\r\n", &body);
                self.flush().await?;
                return Ok(Next::Close);
            }
        };
        let fault = if head.route == Route::Stats { None } else { self.delay(head).await? };
        self.output.clear();
        match fault {
            None => self.send(plan, head).await,
            Some(fault) => self.send_wrong(plan, head, fault).await,
        }
    }

    /// Waits the latency of this request and says how it shall fail, if at all.
    async fn delay(&mut self, head: &Head) -> Result<Option<Fault>, Gone> {
        let service = &self.service;
        let (latency, drawn) = {
            let mut random = service.random.lock().unwrap_or_else(PoisonError::into_inner);
            (service.options.latency.sample(&mut random), service.rates.draw(&mut random))
        };
        let latency = head.overrides.latency.unwrap_or(latency);
        if !latency.is_zero() {
            self.wait_until(Instant::now() + latency).await?;
        }
        Ok(head.overrides.fault.or(drawn))
    }

    /// Reads until a head is whole. `None`: the client is done, or sent no HTTP.
    async fn head(&mut self) -> Result<Option<Head>, Gone> {
        loop {
            if !self.input.is_empty() {
                match Head::parse(&self.input) {
                    Ok(Some(head)) => return Ok(Some(head)),
                    Ok(None) if self.input.len() < HEAD_BYTES_MAX => {}
                    refused => {
                        let message = refused.err().unwrap_or("the head is too large");
                        let body = shape::error("invalid_request_error", "bad_request", message);
                        self.output.clear();
                        write_json(
                            &mut self.output,
                            "400 Bad Request",
                            "connection: close\r\n",
                            &body,
                        );
                        self.flush().await?;
                        return Ok(None);
                    }
                }
            }
            if self.fill().await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Reads the body and decides the answer; takes both off the input. `None`: the body is broken or too large.
    async fn plan(&mut self, head: &Head) -> Result<Option<Plan>, Gone> {
        let looks_inside =
            matches!(head.route, Route::Chat | Route::Completions | Route::Embeddings);
        if let Route::Vendor(endpoint) = &head.route {
            // In a box, so that the task of a fast request does not grow.
            return Box::pin(self.plan_for_vendor(head, endpoint)).await;
        }
        if !looks_inside {
            let Some(body_bytes) = self.skip_body(head).await? else {
                return Ok(None);
            };
            return Ok(Some(self.plan_without_body(&head.route, body_bytes)));
        }
        let Some(range) = self.keep_body(head).await? else {
            return Ok(None);
        };
        let body = match head.framing {
            Framing::Chunked => self.decoded.as_slice(),
            _ => &self.input[range.clone()],
        };
        let plan = self.plan_for_body(head, body);
        self.consume(range.end);
        Ok(Some(plan))
    }

    async fn plan_for_vendor(
        &mut self,
        head: &Head,
        endpoint: &Endpoint,
    ) -> Result<Option<Plan>, Gone> {
        let headers = Headers::read(&self.input[..head.bytes]);
        let Some(range) = self.keep_body(head).await? else {
            return Ok(None);
        };
        let body = match head.framing {
            Framing::Chunked => self.decoded.as_slice(),
            _ => &self.input[range.clone()],
        };
        let require_auth = self.service.options.require_auth;
        let request = dialects::Request { endpoint, headers: &headers, body, require_auth };
        let reply = dialects::answer(&request);
        self.consume(range.end);
        Ok(Some(Plan::Reply(Box::new(reply))))
    }

    fn plan_for_body(&self, head: &Head, body: &[u8]) -> Plan {
        let (service, options) = (&self.service, &self.service.options);
        let wish = Wish::of(body);
        let prompt_tokens = body.len() as u64 / 4;
        let answer_bytes = head.overrides.answer_bytes.or(options.answer_bytes);
        let shape = match head.route {
            Route::Chat => Shape::Chat,
            Route::Completions => Shape::Text,
            _ => {
                Shape::Embeddings { inputs: inputs(body), dimensions: options.embedding_dimensions }
            }
        };
        let tokens = head.overrides.tokens.unwrap_or(options.tokens);
        let key = |bytes| Key { shape, model: Cow::Borrowed(wish.model), tokens, bytes };
        if wish.stream && head.route != Route::Embeddings {
            let answer = recent(&service.stream, &key(options.event_bytes), StreamAnswer::build);
            Plan::Stream { answer, prompt_tokens, include_usage: wish.include_usage }
        } else {
            let answer = recent(&service.json, &key(answer_bytes), JsonAnswer::build);
            Plan::Json { answer, prompt_tokens }
        }
    }

    fn plan_without_body(&self, route: &Route, body_bytes: u64) -> Plan {
        let (status, body) = match route {
            Route::Bytes(count) => return Plan::Bytes(*count),
            Route::Models => ("200 OK", shape::models()),
            Route::Model(id) => ("200 OK", shape::model(id).to_string().into_bytes()),
            Route::Stats => {
                let stats = serde_json::to_vec(&self.service.counters.read());
                ("200 OK", stats.expect("numbers are JSON"))
            }
            Route::Echo { method, path, content_type } => {
                let seen = serde_json::json!({
                    "method": method, "path": path, "content_type": content_type, "body_bytes": body_bytes,
                });
                ("200 OK", seen.to_string().into_bytes())
            }
            _ => (
                "404 Not Found",
                shape::error("invalid_request_error", "not_found", "no such path"),
            ),
        };
        Plan::Built { status, body }
    }

    /// Reads a body whole: into `decoded` if chunked, else it stays in `input`. The range is what to consume up to,
    /// and for a body with a length also where it is.
    async fn keep_body(&mut self, head: &Head) -> Result<Option<Range<usize>>, Gone> {
        let Framing::Length(length) = head.framing else {
            return self.decode_body(head).await;
        };
        let Some(length) = usize::try_from(length).ok().filter(|length| *length <= BODY_BYTES_MAX)
        else {
            return Ok(None);
        };
        let end = head.bytes + length;
        self.input.reserve(end.saturating_sub(self.input.len()));
        while self.input.len() < end {
            if self.fill().await? == 0 {
                return Err(Gone);
            }
        }
        Ok(Some(head.bytes..end))
    }

    async fn decode_body(&mut self, head: &Head) -> Result<Option<Range<usize>>, Gone> {
        let mut decoder = BodyDecoder::new(head.framing);
        self.decoded.clear();
        self.consume(head.bytes);
        loop {
            let mut at = 0;
            while at < self.input.len() && !decoder.is_done() {
                let Ok(step) = decoder.next(&self.input[at..]) else {
                    return Ok(None);
                };
                self.decoded.extend_from_slice(step.payload);
                at += step.consumed;
            }
            if decoder.is_done() {
                return Ok(Some(at..at));
            }
            self.input.clear();
            if self.decoded.len() > BODY_BYTES_MAX {
                return Ok(None);
            }
            if self.fill().await? == 0 {
                return Err(Gone);
            }
        }
    }

    /// Reads a body of any size without keeping it; its length.
    async fn skip_body(&mut self, head: &Head) -> Result<Option<u64>, Gone> {
        let mut decoder = BodyDecoder::new(head.framing);
        let mut body_bytes = 0;
        self.consume(head.bytes);
        while !decoder.is_done() {
            let mut at = 0;
            while at < self.input.len() && !decoder.is_done() {
                let Ok(step) = decoder.next(&self.input[at..]) else {
                    return Ok(None);
                };
                body_bytes += step.payload.len() as u64;
                at += step.consumed;
            }
            self.consume(at);
            if !decoder.is_done() && self.fill().await? == 0 {
                return Err(Gone);
            }
        }
        Ok(Some(body_bytes))
    }

    /// Sleeps until then, or ends at once if the client leaves.
    pub async fn wait_until(&mut self, deadline: Instant) -> Result<(), Gone> {
        let timer = Arc::clone(&self.service.timer);
        while self.input.len() < HEAD_BYTES_MAX {
            tokio::select! {
                biased;
                () = timer.sleep_until(deadline) => return Ok(()),
                read = self.fill() => if read? == 0 {
                    return Err(Gone);
                },
            }
        }
        timer.sleep_until(deadline).await;
        Ok(())
    }

    /// Reads once; 0 is the end of the connection.
    pub async fn fill(&mut self) -> Result<usize, Gone> {
        if self.input.capacity() - self.input.len() < READ_BYTES / 4 {
            self.input.reserve(READ_BYTES);
        }
        let read = self.wire.read_buf(&mut self.input).await?;
        add(&self.service.counters.bytes_in, read as u64);
        Ok(read)
    }

    /// Sends `output`.
    pub async fn flush(&mut self) -> Result<(), Gone> {
        self.wire.write_all(&self.output).await?;
        self.wire.flush().await?;
        self.output.clear();
        Ok(())
    }

    /// Drops what the client has sent on.
    pub fn forget_input(&mut self) {
        self.input.clear();
    }

    /// Takes the first bytes off the input and gives back what a large body left of memory.
    fn consume(&mut self, bytes: usize) {
        if bytes == self.input.len() {
            self.input.clear();
            self.input.shrink_to(READ_BYTES * 4);
            self.decoded.shrink_to(READ_BYTES * 4);
        } else {
            self.input.drain(..bytes);
        }
    }
}

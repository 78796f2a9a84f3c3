//! Which answer a request gets, decided when its body has been read.

use std::borrow::Cow;
use std::sync::Arc;

use super::answer::{JsonAnswer, Key, StreamAnswer};
use super::connection::{Connection, Disconnect};
use super::dialects::{self, Endpoint, Headers, Reply};
use super::request::{BodyOptions, Head, Route, inputs};
use super::service::recent;
use super::shape::{self, Shape};
use crate::framing::Framing;

/// The answer to give, known once the body has been read.
pub enum Plan {
    Json { answer: Arc<JsonAnswer>, prompt_tokens: u64 },
    Stream { answer: Arc<StreamAnswer>, prompt_tokens: u64, include_usage: bool },
    Built { status: &'static str, body: Vec<u8> },
    Bytes(u64),
    Reply(Box<Reply>),
}

impl Connection {
    /// Reads the body and decides the answer; takes both off the input. `None`: the body is broken or too large.
    pub async fn plan(&mut self, head: &Head) -> Result<Option<Plan>, Disconnect> {
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
    ) -> Result<Option<Plan>, Disconnect> {
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
        let body_options = BodyOptions::of(body);
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
        let key = |bytes| Key { shape, model: Cow::Borrowed(body_options.model), tokens, bytes };
        if body_options.stream && head.route != Route::Embeddings {
            let answer = recent(&service.stream, &key(options.event_bytes), StreamAnswer::build);
            Plan::Stream { answer, prompt_tokens, include_usage: body_options.include_usage }
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
}

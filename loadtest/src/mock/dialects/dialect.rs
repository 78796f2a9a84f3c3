//! The trait of all dialects.

use serde_json::Value;

use super::chat_request::ChatRequest;
use super::frames::EventFrames;
use super::message::{Headers, Reply, Request};
use super::reading::Refusal;
use super::script::Script;

/// One vendor's requests and answers. Implementors hold what the path holds.
pub trait Dialect {
    /// Reads and checks a request.
    fn read(&self, request: &Request, body: &Value) -> Result<ChatRequest, Refusal>;
    /// Puts a refusal into the vendor's words, shape and status.
    fn refuse(&self, refusal: &Refusal) -> Reply;
    /// The answer as one JSON value.
    fn whole(&self, chat: &ChatRequest, script: &Script) -> Value;
    /// The answer as a stream.
    fn events(&self, chat: &ChatRequest, script: &Script) -> EventFrames;
    /// The event of an error in a stream that has had `sent` events.
    fn error_event(&self, chat: &ChatRequest, sent: usize) -> Vec<u8>;
    fn stream_type(&self) -> &'static str {
        "text/event-stream"
    }
    /// Lines that every good answer carries.
    fn fields(&self) -> String {
        String::new()
    }
    /// Refuses a request without the vendor's credential.
    fn authenticate(&self, headers: &Headers) -> Result<(), Refusal>;
    /// Calls that are no conversation: embeddings, counts.
    fn aside(&self, _request: &Request, _body: &Value) -> Option<Result<Value, Refusal>> {
        None
    }
}

//! What every dialect can do.

use std::time::Duration;

use super::warnings::Warnings;
use crate::llm::{
    Answer, ApiError, ChatRequest, Chunk, Malformed, Media, ModelRules, Node, Scanner,
};

/// Both directions of one dialect. Synchronous and without state; streams have their own.
pub trait Codec: Sync {
    /// The path of a chat request behind the provider's base URL, query included.
    fn path(&self, target: &TargetModel<'_>, stream: bool) -> String;

    /// Reads a client's request. `path` tells what this dialect says there.
    ///
    /// # Errors
    /// Where a member that is understood has the wrong type or a required one is missing.
    fn read_request(
        &self,
        root: Node<'_>,
        path: &RequestPath<'_>,
    ) -> Result<ChatRequest, Malformed>;

    /// True for a picture that the provider takes as bytes only, though it is an address.
    fn needs_bytes_of(&self, picture: &Media) -> bool {
        let _ = picture;
        false
    }

    /// Appends the request as `target` takes it.
    ///
    /// # Errors
    /// If the target cannot say what the request means.
    fn write_request(
        &self,
        request: &ChatRequest,
        target: &TargetModel<'_>,
        warnings: &mut Warnings,
        out: &mut Vec<u8>,
    ) -> Result<(), Unsupported>;

    /// Reads a provider's whole answer. None if it is no answer at all.
    fn read_answer(&self, root: Node<'_>) -> Option<Answer>;

    /// As [`Codec::read_answer`]. Calls that the provider gives no id get one made of `id`, the
    /// answer's own, where the provider gives that none either.
    fn read_answer_named(&self, root: Node<'_>, id: &str) -> Option<Answer> {
        let _ = id;
        self.read_answer(root)
    }

    /// Appends the answer to `request` as a client expects it. `now_unix`, in seconds, stands in where
    /// the provider told no time.
    fn write_answer(
        &self,
        answer: &Answer,
        request: &ChatRequest,
        now_unix: u64,
        out: &mut Vec<u8>,
    );

    /// Reads a provider's error; `body` is none where it is no JSON object.
    fn read_error(&self, status: u16, body: Option<Node<'_>>) -> ApiError;

    /// How long the provider wants to be left alone, where the body of its error says so.
    fn retry_delay(&self, body: Node<'_>) -> Option<Duration> {
        let _ = body;
        None
    }

    /// Appends an error as a client expects it.
    fn write_error(&self, error: &ApiError, out: &mut Vec<u8>);

    /// How the provider's stream is cut into events.
    fn frame(&self) -> Frame {
        Frame::Events
    }

    /// A reader of one provider's stream.
    fn stream_decoder(&self) -> Box<dyn StreamDecoder>;

    /// A writer of one client's stream, the answer to `request`.
    fn stream_encoder(&self, request: &ChatRequest, now_unix: u64) -> Box<dyn StreamEncoder>;
}

/// How a stream is cut into events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// An event stream (WHATWG HTML).
    Events,
    /// Amazon's binary event stream.
    Amazon,
}

impl Frame {
    /// The media type of a body of such events.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Events => "text/event-stream; charset=utf-8",
            Self::Amazon => "application/vnd.amazon.eventstream",
        }
    }
}

/// Whom a request is written for.
#[derive(Clone, Copy, Debug)]
pub struct TargetModel<'a> {
    /// The model, as the provider names it.
    pub model: &'a str,
    /// It is the vendor whose dialect this is, which knows its newest members, and no other that
    /// imitates it.
    pub is_original: bool,
    /// What is known of the model beyond its dialect.
    pub rules: &'a ModelRules,
}

impl<'a> TargetModel<'a> {
    /// A model of which nothing more is known; `is_original` as in [`TargetModel::is_original`].
    #[must_use]
    pub const fn new(model: &'a str, is_original: bool) -> Self {
        Self { model, is_original, rules: ModelRules::NONE }
    }

    /// The same, and what is known of it.
    #[must_use]
    pub const fn with_rules(self, rules: &'a ModelRules) -> Self {
        Self { rules, ..self }
    }
}

/// What the path of a client's request tells, in dialects that say something there.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestPath<'a> {
    /// The model.
    pub model: Option<&'a str>,
    /// It asks for a stream.
    pub stream: bool,
}

/// The target's API does not support what the request asks for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} cannot be sent to this model: {why}")]
pub struct Unsupported {
    /// What, in words for people, such as `an image`.
    pub what: String,
    /// Why not.
    pub why: &'static str,
}

impl Unsupported {
    /// `what` cannot be said because of `why`.
    #[must_use]
    pub fn new(what: &str, why: &'static str) -> Self {
        Self { what: what.to_owned(), why }
    }
}

/// A provider's stream makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid event in the provider's stream")]
pub struct StreamDecodeError;

/// Reads a provider's stream, event by event.
pub trait StreamDecoder {
    /// Takes in one event and appends what it says. `name` is the event's type, where it has one.
    ///
    /// # Errors
    /// If the data is not JSON; events of unknown kinds say nothing.
    fn event(
        &mut self,
        name: Option<&str>,
        data: &[u8],
        scanner: &mut Scanner,
        out: &mut Vec<Chunk>,
    ) -> Result<(), StreamDecodeError>;

    /// Names the answer, for a provider that may give it no id: calls without an id get one made of
    /// it. Before the first event.
    fn name_answer(&mut self, id: &str) {
        let _ = id;
    }

    /// The stream's body has ended: appends what is still owed, with [`Chunk::Done`] if the answer is
    /// complete and has not ended yet.
    fn finish(&mut self, out: &mut Vec<Chunk>);
}

/// Writes a client's stream. What is appended to `out` are whole events in their framing.
pub trait StreamEncoder {
    /// Appends the events that tell `chunk`. [`Chunk::Error`] ends the stream with an error event and
    /// without its terminator.
    fn push(&mut self, chunk: &Chunk, out: &mut Vec<u8>);

    /// Says when the answer is complete, in seconds of Unix time, before its end is pushed.
    fn complete_at(&mut self, _: u64) {}
}

//! What every dialect can do, in two halves: one for clients that send it, one for providers that
//! accept it.

use std::time::Duration;

use super::warnings::Warnings;
use crate::llm::{
    Answer, ApiError, ChatRequest, Chunk, Malformed, Media, ModelRules, Node, Scanner,
};

/// The half of a dialect that faces clients: reads what they send, writes what they receive.
/// Without state; a stream has a [`StreamEncoder`] of its own.
pub trait ClientCodec: Sync {
    /// Reads a request. `path` is what the URL contains in dialects that have the model there.
    ///
    /// # Errors
    /// If a known member has the wrong type or a required one is missing.
    fn read_request(
        &self,
        root: Node<'_>,
        path: &RequestPath<'_>,
    ) -> Result<ChatRequest, Malformed>;

    /// Appends the response to `request`. `now_unix`, in seconds, is its creation time if the provider
    /// sent none.
    fn write_answer(
        &self,
        answer: &Answer,
        request: &ChatRequest,
        now_unix: u64,
        out: &mut Vec<u8>,
    );

    /// Appends the body of an error response.
    fn write_error(&self, error: &ApiError, out: &mut Vec<u8>);

    /// The framing that the stream encoder writes.
    fn frame(&self) -> Frame {
        Frame::Events
    }

    /// An encoder for the streamed response to `request`.
    fn stream_encoder(&self, request: &ChatRequest, now_unix: u64) -> Box<dyn StreamEncoder>;
}

/// The half of a dialect that faces providers: writes what they receive, reads what they send.
/// Without state; a stream has a [`StreamDecoder`] of its own.
pub trait ProviderCodec: Sync {
    /// The path of a chat request, relative to the provider's base URL, with the query.
    fn path(&self, target: &TargetModel<'_>, stream: bool) -> String;

    /// True for an image that the provider accepts as bytes only, but that is given as a URL.
    fn needs_bytes_of(&self, image: &Media) -> bool {
        let _ = image;
        false
    }

    /// Appends the request as `target` accepts it, with a warning for what it drops.
    ///
    /// # Errors
    /// If the target does not support what the request asks for, and dropping it would change the
    /// meaning.
    fn write_request(
        &self,
        request: &ChatRequest,
        target: &TargetModel<'_>,
        warnings: &mut Warnings,
        out: &mut Vec<u8>,
    ) -> Result<(), Unsupported>;

    /// Reads a complete response. None if it is not a response of this dialect.
    fn read_answer(&self, root: Node<'_>) -> Option<Answer>;

    /// Like [`ProviderCodec::read_answer`]. If the provider gives neither its tool calls nor the
    /// response an id, the ids of the calls derive from `id`.
    fn read_answer_named(&self, root: Node<'_>, id: &str) -> Option<Answer> {
        let _ = id;
        self.read_answer(root)
    }

    /// Reads an error response; `body` is none if it is not a JSON object.
    fn read_error(&self, status: u16, body: Option<Node<'_>>) -> ApiError;

    /// How long to wait before a retry, if the body of an error says so.
    fn retry_delay(&self, body: Node<'_>) -> Option<Duration> {
        let _ = body;
        None
    }

    /// The framing of the provider's stream.
    fn frame(&self) -> Frame {
        Frame::Events
    }

    /// A decoder for one stream.
    fn stream_decoder(&self) -> Box<dyn StreamDecoder>;
}

/// The framing of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// An event stream (WHATWG HTML).
    Events,
    /// Amazon's binary event stream.
    Amazon,
}

impl Frame {
    /// The media type of a stream in this framing.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Events => "text/event-stream; charset=utf-8",
            Self::Amazon => "application/vnd.amazon.eventstream",
        }
    }
}

/// The receiver of a request.
#[derive(Clone, Copy, Debug)]
pub struct TargetModel<'a> {
    /// The model, as the provider names it.
    pub model: &'a str,
    /// True if the provider is the vendor of the dialect, which supports its newest members, rather
    /// than an imitator.
    pub is_original: bool,
    /// The known rules of the model.
    pub rules: &'a ModelRules,
}

impl<'a> TargetModel<'a> {
    /// A model without rules; see [`TargetModel::is_original`].
    #[must_use]
    pub const fn new(model: &'a str, is_original: bool) -> Self {
        Self { model, is_original, rules: ModelRules::NONE }
    }

    /// The same target with `rules`.
    #[must_use]
    pub const fn with_rules(self, rules: &'a ModelRules) -> Self {
        Self { rules, ..self }
    }
}

/// What the URL of a request contains, in dialects that have it there.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestPath<'a> {
    /// The model.
    pub model: Option<&'a str>,
    /// True if the response is streamed.
    pub stream: bool,
}

/// The request uses a feature that the target's API does not support.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} cannot be sent to this model: {why}")]
pub struct Unsupported {
    /// The feature, for people, such as `an image`.
    pub what: String,
    /// The reason, for people.
    pub why: &'static str,
}

impl Unsupported {
    /// `what` is not supported, for the reason `why`.
    #[must_use]
    pub fn new(what: &str, why: &'static str) -> Self {
        Self { what: what.to_owned(), why }
    }
}

/// An event of the provider's stream is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid event in the provider's stream")]
pub struct StreamDecodeError;

/// Decodes a provider's stream, event by event.
pub trait StreamDecoder {
    /// Decodes one event and appends its chunks. `name` is the event's type, if it has one.
    ///
    /// # Errors
    /// If the data is not JSON. Events of unknown types are skipped.
    fn event(
        &mut self,
        name: Option<&str>,
        data: &[u8],
        scanner: &mut Scanner,
        out: &mut Vec<Chunk>,
    ) -> Result<(), StreamDecodeError>;

    /// Sets the id of the response, if its provider may send none: tool calls without an id derive
    /// theirs from it. To be called before the first event.
    fn name_answer(&mut self, id: &str) {
        let _ = id;
    }

    /// Ends the stream: appends the remaining chunks, with [`Chunk::Done`] if the response is complete
    /// and has not ended yet.
    fn finish(&mut self, out: &mut Vec<Chunk>);
}

/// Encodes a client's stream. Each call appends complete events in the dialect's framing.
pub trait StreamEncoder {
    /// Appends the events of `chunk`. [`Chunk::Error`] ends the stream with an error event and without
    /// its terminator.
    fn push(&mut self, chunk: &Chunk, out: &mut Vec<u8>);

    /// Sets the time at which the response is complete, in seconds of Unix time, before its end is
    /// pushed.
    fn complete_at(&mut self, _: u64) {}
}

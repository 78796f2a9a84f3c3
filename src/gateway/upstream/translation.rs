//! What the translation of a response needs, kept from that of its request.

use std::sync::Arc;

use bytes::Bytes;

use super::vectors::VectorTranslation;
use crate::dialects::{
    ClientCodec, ProviderCodec, StreamEncoder, ToolNames, completions_encoder,
    gemini_array_encoder, write_completions_answer,
};
use crate::gateway::context::RequestContext;
use crate::http::ResponseHead;
use crate::llm::{Answer, ChatRequest, Usage};

/// A request as its provider takes it, and what the translation of the response needs.
pub(crate) struct Translation {
    /// Behind the provider's base URL, query included.
    pub path: String,
    /// As the provider takes it.
    pub body: Bytes,
    /// What was lost, for the response's head.
    pub warnings: Option<Arc<str>>,
    pub response: ResponseTranslation,
}

/// What the translation of a response needs.
#[expect(clippy::large_enum_variant, reason = "there is one for a request, in a box of its own")]
pub(crate) enum ResponseTranslation {
    /// Of a conversation.
    Chat(ChatTranslation),
    /// Of embeddings or ranks.
    Vectors(VectorTranslation),
}

/// A conversation that is translated.
pub(crate) struct ChatTranslation {
    /// Of the client.
    pub client: &'static dyn ClientCodec,
    /// Of the provider.
    pub provider: &'static dyn ProviderCodec,
    /// The request, in no dialect.
    pub request: ChatRequest,
    /// How the client gets the answer.
    pub format: ResponseFormat,
    /// Tools that the provider knows by another name.
    pub tool_names: ToolNames,
    /// What is kept with the answer, where it is.
    pub stored_input: Option<StoredInput>,
}

/// The form in which a client gets an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResponseFormat {
    /// That of its dialect.
    Own,
    /// See `Request::as_array`.
    Array,
    /// OpenAI's older completion.
    Completion,
}

impl Translation {
    /// True if other calls follow the one at hand.
    pub(crate) fn has_more_batches(&self) -> bool {
        matches!(&self.response, ResponseTranslation::Vectors(vectors) if vectors.has_more_batches())
    }

    /// Takes the answer to the call at hand, prepares the next, and gives the usage so far. None if it is
    /// no answer.
    pub(crate) fn next_batch(
        &mut self,
        context: &RequestContext<'_>,
        answer: (&ResponseHead, &[u8]),
    ) -> Option<Option<Usage>> {
        let ResponseTranslation::Vectors(vectors) = &mut self.response else { return None };
        let (body, used) = vectors.next_batch(context, answer)?;
        self.body = body.into();
        Some(used)
    }
}

impl ChatTranslation {
    /// A writer of the client's stream.
    pub(crate) fn stream_encoder(&self, now_unix: u64) -> Box<dyn StreamEncoder> {
        match self.format {
            ResponseFormat::Own => self.client.stream_encoder(&self.request, now_unix),
            ResponseFormat::Array => gemini_array_encoder(&self.request),
            ResponseFormat::Completion => completions_encoder(&self.request, now_unix),
        }
    }

    /// Appends a whole answer as the client expects it.
    pub(crate) fn write_answer(&self, answer: &Answer, now_unix: u64, out: &mut Vec<u8>) {
        match self.format {
            ResponseFormat::Completion => write_completions_answer(answer, now_unix, out),
            _ => self.client.write_answer(answer, &self.request, now_unix, out),
        }
    }
}

/// What of a request is kept with its answer.
pub(crate) struct StoredInput {
    pub input: Bytes,
    pub previous: Option<String>,
}

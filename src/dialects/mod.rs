//! The wire formats of LLM APIs, one file each: bytes to the canonical form of `llm/`, and back.
//!
//! A codec, of either half ([`ClientCodec`], [`ProviderCodec`]), does no I/O and reads no clock. An
//! invalid client request is an error with the path of the member. A provider's response is read as far
//! as possible; what is not a response is an error. What the target does not support is dropped with a
//! warning, or rejected if dropping it would change the meaning. A stream, decoded and assembled,
//! equals the response that the provider would send without streaming, however its bytes are split.
//!
//! Absent: base URLs and credentials (`providers/`), the framing of event streams (`http/`) except
//! Amazon's, and traffic within one dialect, which is not decoded.

mod adapt;
mod amazon_stream;
mod answer_failure;
mod answer_id;
mod anthropic_messages;
mod bedrock_converse;
#[cfg(test)]
mod both_roles;
mod codec;
mod cohere_chat;
mod completions;
mod context_overflow;
mod cutter;
mod digest;
mod embedded_error;
mod embeddings;
mod error_text;
mod extra_fields;
mod foreign_reasoning;
mod gemini;
#[cfg(test)]
mod grid;
mod imitator_overflow;
mod json_schema;
#[cfg(test)]
mod mapping;
mod media_link;
mod openai_chat;
mod openai_responses;
mod openai_tools;
mod opening;
mod part_order;
mod rerank;
mod sendable_turns;
mod service_tier;
mod sse;
mod warnings;

pub use adapt::{AdaptedRequest, ToolNames, adapt, set_cache_points};
pub use amazon_stream::{
    AmazonError, AmazonEvent, AmazonReader, write_amazon_event, write_amazon_exception,
};
pub use answer_failure::{error_in_answer, failure_of_answer, failure_of_event};
pub use anthropic_messages::write_token_count;
#[cfg(test)]
use both_roles::{Codec, DIALECTS, codec};
pub use codec::{
    ClientCodec, Frame, ProviderCodec, RequestPath, StreamDecodeError, StreamDecoder,
    StreamEncoder, TargetModel, Unsupported,
};
pub use completions::{
    CompletionsError, completions_encoder, read_completions_request, write_completions_answer,
};
pub use cutter::Cutter;
pub use embeddings::{
    ClientEmbeddings, ProviderEmbeddings, embeddings_on_vertex, gemini_embeddings,
    openai_embeddings, provider_embeddings,
};
pub use foreign_reasoning::{
    ReasoningRules, conversation_member, may_have_foreign_reasoning, without_billing_header,
    without_foreign_reasoning,
};
pub use gemini::{
    MODEL_MEMBERS as GEMINI_MODEL_MEMBERS, array_encoder as gemini_array_encoder,
    method_path as gemini_method_path, with_model as gemini_with_model,
    write_token_count as write_gemini_token_count,
};
pub use imitator_overflow::{overflow_in_event, overflow_of_imitator, with_overflow};
pub use openai_responses::{
    response_name, response_name_of_item, write_input_tokens, write_last_error,
};
pub use opening::{OpeningEvent, opening_chunk, opening_event};
pub use rerank::{
    ProviderRerank, provider_rerank, read_rerank_request, rerank_on_tei, write_rerank_answer,
};
pub use service_tier::with_openais_tier;
pub use warnings::Warnings;

use crate::llm::Dialect;

/// The half of `dialect` that faces clients. Clients of paths that no dialect claims get OpenAI's.
#[must_use]
pub fn client_codec(dialect: Dialect) -> &'static dyn ClientCodec {
    match dialect {
        Dialect::OpenaiChat | Dialect::Passthrough => &openai_chat::OpenaiChat,
        Dialect::OpenaiResponses => &openai_responses::OpenaiResponses,
        Dialect::AnthropicMessages => &anthropic_messages::AnthropicMessages,
        Dialect::Gemini => &gemini::Gemini,
        Dialect::BedrockConverse => &bedrock_converse::BedrockConverse,
        Dialect::CohereChat => &cohere_chat::CohereChat,
    }
}

/// The half of `dialect` that faces providers. None for the pass-through: nothing is translated for
/// such a provider.
#[must_use]
pub fn provider_codec(dialect: Dialect) -> Option<&'static dyn ProviderCodec> {
    let codec: &'static dyn ProviderCodec = match dialect {
        Dialect::OpenaiChat => &openai_chat::OpenaiChat,
        Dialect::OpenaiResponses => &openai_responses::OpenaiResponses,
        Dialect::AnthropicMessages => &anthropic_messages::AnthropicMessages,
        Dialect::Gemini => &gemini::Gemini,
        Dialect::BedrockConverse => &bedrock_converse::BedrockConverse,
        Dialect::CohereChat => &cohere_chat::CohereChat,
        Dialect::Passthrough => return None,
    };
    Some(codec)
}

//! Each dialect in both of its roles, for tests that play a client and a provider with it.

use super::codec::{ClientCodec, ProviderCodec};
use super::openai_responses;
use super::{anthropic_messages, bedrock_converse, cohere_chat, gemini, openai_chat};
use crate::llm::Dialect;

/// Both halves of one dialect.
pub(super) trait Codec: ClientCodec + ProviderCodec {}

impl<T: ClientCodec + ProviderCodec> Codec for T {}

/// Every dialect that has a format.
pub(super) const DIALECTS: [(Dialect, &dyn Codec); 6] = [
    (Dialect::OpenaiChat, &openai_chat::OpenaiChat),
    (Dialect::OpenaiResponses, &openai_responses::OpenaiResponses),
    (Dialect::AnthropicMessages, &anthropic_messages::AnthropicMessages),
    (Dialect::Gemini, &gemini::Gemini),
    (Dialect::BedrockConverse, &bedrock_converse::BedrockConverse),
    (Dialect::CohereChat, &cohere_chat::CohereChat),
];

/// Both halves of `dialect`; none for the pass-through.
pub(super) fn codec(dialect: Dialect) -> Option<&'static dyn Codec> {
    DIALECTS.iter().find(|(known, _)| *known == dialect).map(|(_, codec)| *codec)
}

//! The formats that vendors have for embeddings: bytes to the canonical request and answer of `llm/`,
//! and back.
//!
//! They keep the promises of the chat codecs: no I/O, nothing dropped without a warning, nothing that
//! changes the meaning. Clients send OpenAI's format or Google's; tests play the other vendors with
//! the halves in `vendors.rs`.

mod bedrock;
mod cohere;
mod format;
mod gemini;
mod inputs;
mod openai;
mod purpose;
#[cfg(test)]
mod tests;
mod vector;
#[cfg(test)]
mod vendors;
mod vertex;
mod voyage;

pub use format::{ClientEmbeddings, ProviderEmbeddings};

use crate::llm::Dialect;

/// Which models of a dialect have which format: the first row whose text is part of the model's name.
const FORMATS: [(Dialect, &str, &dyn ProviderEmbeddings); 9] = [
    (Dialect::OpenaiChat, "voyage-", &voyage::Voyage),
    (Dialect::OpenaiChat, "", &openai::Openai),
    (Dialect::OpenaiResponses, "", &openai::Openai),
    (Dialect::Gemini, "", &gemini::Gemini),
    (Dialect::BedrockConverse, "cohere.embed", &bedrock::CohereOnBedrock),
    (Dialect::BedrockConverse, "amazon.titan-embed-text-v2", &bedrock::TITAN_2),
    (Dialect::BedrockConverse, "amazon.titan-embed-text-v1", &bedrock::TITAN_1),
    (Dialect::BedrockConverse, "amazon.titan-embed-g1-text", &bedrock::TITAN_1),
    (Dialect::CohereChat, "", &cohere::Cohere),
];

/// The format of `model` at a provider of `dialect`. None if there are no embeddings.
#[must_use]
pub fn provider_embeddings(
    dialect: Dialect,
    model: &str,
) -> Option<&'static dyn ProviderEmbeddings> {
    let fits = |row: &&(Dialect, &str, _)| row.0 == dialect && model.contains(row.1);
    FORMATS.iter().find(fits).map(|(_, _, format)| *format)
}

/// The format of Vertex AI, which has Gemini's dialect but other embeddings.
#[must_use]
pub fn embeddings_on_vertex() -> &'static dyn ProviderEmbeddings {
    &vertex::Vertex
}

/// The format of clients of `/v1/embeddings`, which is OpenAI's.
#[must_use]
pub fn openai_embeddings() -> &'static dyn ClientEmbeddings {
    &openai::Openai
}

/// The format of clients of Google's `embedContent`, or of `batchEmbedContents`.
#[must_use]
pub fn gemini_embeddings(is_batch: bool) -> &'static dyn ClientEmbeddings {
    if is_batch { &gemini::Gemini } else { &gemini::EmbedContent }
}

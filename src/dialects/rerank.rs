//! The formats that vendors have for reranking: bytes to the canonical request and response of `llm/`,
//! and back.
//!
//! Clients send Cohere's format, of version 1 or 2; tests play the other vendors with the halves in
//! `vendors.rs`. Providers are not asked to return the documents: the gateway has them in the request.

mod cohere;
mod documents;
mod format;
mod jina;
mod results;
mod tei;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod vendors;
mod voyage;

pub use cohere::{read_rerank_request, write_rerank_answer};
pub use format::ProviderRerank;

use crate::llm::Dialect;

/// Which models of a dialect have which format: the first row whose text begins the model's name.
/// Voyage's models are called `rerank-2.5`, `rerank-lite-1` and the like, Cohere's `rerank-v3.5`.
const FORMATS: [(Dialect, &str, &dyn ProviderRerank); 5] = [
    (Dialect::CohereChat, "", &cohere::Cohere),
    (Dialect::OpenaiChat, "rerank-1", &voyage::Voyage),
    (Dialect::OpenaiChat, "rerank-2", &voyage::Voyage),
    (Dialect::OpenaiChat, "rerank-lite-", &voyage::Voyage),
    (Dialect::OpenaiChat, "", &jina::Jina),
];

/// The format of `model` at a provider of `dialect`. None if nothing is reranked there.
#[must_use]
pub fn provider_rerank(dialect: Dialect, model: &str) -> Option<&'static dyn ProviderRerank> {
    let fits = |row: &&(Dialect, &str, _)| row.0 == dialect && model.starts_with(row.1);
    FORMATS.iter().find(fits).map(|(_, _, format)| *format)
}

/// The format of Hugging Face's text-embeddings-inference, whose servers have one model each.
#[must_use]
pub fn rerank_on_tei() -> &'static dyn ProviderRerank {
    &tei::Tei
}

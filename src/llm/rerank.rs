//! A request to rank documents by how well they answer a query, and its answer, in no dialect.

use super::content::DialectJson;
use super::json::Json;
use super::usage::Usage;

/// A request to rank documents.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RerankRequest {
    /// The model, as the provider names it.
    pub model: String,
    /// What is looked for.
    pub query: String,
    /// Where it is looked for.
    pub documents: Vec<RerankDocument>,
    /// Only so many of the best are wanted.
    pub top_n: Option<u64>,
    /// The client wants the documents back beside their ranks.
    pub with_documents: bool,
    /// Longer documents are cut to so many tokens.
    pub tokens_per_document_max: Option<u64>,
    /// Members of the request that its dialect alone knows, by name.
    pub extra_fields: Vec<(String, DialectJson)>,
}

/// A document to rank.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RerankDocument {
    /// What is ranked.
    pub text: String,
    /// The object that it came in, where it was no plain text, and goes back in.
    pub object: Option<Json>,
}

/// The ranks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RerankAnswer {
    /// The provider's id for it; empty where it sends none.
    pub id: String,
    /// The model that ranked, as the provider names it; empty where it sends none.
    pub model: String,
    /// Best first.
    pub results: Vec<RerankResult>,
    /// Tokens used, where the provider counts those.
    pub usage: Option<Usage>,
    /// Searches billed, where the provider counts those.
    pub search_units: Option<u64>,
}

/// The rank of one document.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RerankResult {
    /// Its place among the documents of the request, from 0.
    pub index: u64,
    /// The higher, the better; scales are the models' own.
    pub score: f64,
    /// Members of the result that its dialect alone knows, by name.
    pub extra_fields: Vec<(String, DialectJson)>,
}

impl RerankDocument {
    /// A plain text.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self { text: text.to_owned(), object: None }
    }
}

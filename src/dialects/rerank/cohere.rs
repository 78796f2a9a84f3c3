//! Cohere's reranking (API reference, "Rerank", versions 1 and 2, read November 2026).
//!
//! The gateway calls version 2, which accepts texts only and returns no documents; members of version 1
//! are read from clients.

use super::documents::{check, documents, texts};
use super::format::ProviderRerank;
use super::results::{results, wanted, write_result};
use crate::dialects::codec::{TargetModel, Unsupported};
use crate::dialects::extra_fields;
use crate::dialects::warnings::Warnings;
use crate::llm::{
    Dialect, Malformed, Node, RerankAnswer, RerankRequest, Scanner, Usage, write_object,
};

const DIALECT: Dialect = Dialect::CohereChat;

pub(super) struct Cohere;

impl ProviderRerank for Cohere {
    fn path(&self) -> &'static str {
        "/v2/rerank"
    }

    fn write_request(
        &self,
        request: &RerankRequest,
        target: &TargetModel<'_>,
        warnings: &mut Warnings,
        out: &mut Vec<u8>,
    ) -> Result<(), Unsupported> {
        for gone in ["rank_fields", "max_chunks_per_doc"] {
            if request.extra_fields.iter().any(|(key, _)| key == gone) {
                return Err(Unsupported::new(
                    gone,
                    "version 2 of cohere's ranking has no such member",
                ));
            }
        }
        write_object(out, |root| {
            root.text("model", target.model);
            root.text("query", &request.query);
            root.texts("documents", texts(request));
            root.optional_number("top_n", request.top_n);
            root.optional_number("max_tokens_per_doc", request.tokens_per_document_max);
            extra_fields::write_flat(root, &request.extra_fields, DIALECT, warnings);
        });
        Ok(())
    }

    fn read_answer(&self, body: &[u8], scanner: &mut Scanner) -> Option<RerankAnswer> {
        scanner.read(body, read_answer).ok()?
    }
}

/// Reads a client's request.
///
/// # Errors
/// If a known member has the wrong type or a required one is missing.
pub fn read_rerank_request(root: Node<'_>) -> Result<RerankRequest, Malformed> {
    let mut request = RerankRequest::default();
    root.read_members(|key, value| member(&mut request, key, value))?;
    check(request, "documents", root)
}

fn member(request: &mut RerankRequest, key: &str, value: Node<'_>) -> Result<(), Malformed> {
    match key {
        "model" => request.model = value.expect_text()?.to_owned(),
        "query" => request.query = value.expect_text()?.to_owned(),
        "documents" => request.documents = documents(value)?,
        "top_n" => request.top_n = Some(value.expect_u64()?),
        "return_documents" => request.with_documents = value.expect_flag()?,
        "max_tokens_per_doc" => request.tokens_per_document_max = Some(value.expect_u64()?),
        _ => extra_fields::keep(&mut request.extra_fields, DIALECT, key, value),
    }
    Ok(())
}

/// Appends the response to `request`: at most as many results as it wants, with the documents if it
/// wants them.
pub fn write_rerank_answer(answer: &RerankAnswer, request: &RerankRequest, out: &mut Vec<u8>) {
    write_object(out, |root| {
        root.text("id", &answer.id);
        root.array("results", |array| {
            for (result, document) in wanted(answer, request) {
                write_result(array, result, document, DIALECT);
            }
        });
        root.object("meta", |meta| {
            meta.object("api_version", |version| version.text("version", "2"));
            if let Some(units) = answer.search_units {
                meta.object("billed_units", |billed| billed.number("search_units", units));
            }
            if let Some(usage) = &answer.usage {
                meta.object("tokens", |tokens| {
                    tokens.number("input_tokens", usage.input_tokens);
                    tokens.number("output_tokens", usage.output_tokens);
                });
            }
        });
    });
}

fn read_answer(root: Node<'_>) -> Option<RerankAnswer> {
    let meta = |key: &str| root.get("meta").and_then(|meta| meta.get(key));
    let tokens = meta("tokens").and_then(|tokens| {
        let count = |key: &str| tokens.get(key).and_then(Node::u64);
        let input_tokens = count("input_tokens")?;
        let output_tokens = count("output_tokens").unwrap_or(0);
        Some(Usage { input_tokens, output_tokens, ..Usage::default() })
    });
    Some(RerankAnswer {
        id: root.text_of("id").to_owned(),
        model: String::new(),
        results: results(root.get("results")?, "relevance_score", Some(DIALECT))?,
        usage: tokens,
        search_units: meta("billed_units").and_then(|units| units.get("search_units")?.u64()),
    })
}

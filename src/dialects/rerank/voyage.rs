//! Voyage's reranking (API reference, "Rerankers", and its own client 0.5, read November 2026).

use super::documents::{texts, warn_of_bound};
use super::format::ProviderRerank;
use super::results::{results, usage};
use crate::dialects::codec::{TargetModel, Unsupported};
use crate::dialects::extra_fields;
use crate::dialects::warnings::Warnings;
use crate::llm::{Dialect, Node, RerankAnswer, RerankRequest, Scanner, write_object};

/// Voyage has OpenAI's dialect, and so do its own members.
const DIALECT: Dialect = Dialect::OpenaiChat;

pub(super) struct Voyage;

impl ProviderRerank for Voyage {
    fn path(&self) -> &'static str {
        "/rerank"
    }

    fn write_request(
        &self,
        request: &RerankRequest,
        target: &TargetModel<'_>,
        warnings: &mut Warnings,
        out: &mut Vec<u8>,
    ) -> Result<(), Unsupported> {
        warn_of_bound(request, warnings);
        write_object(out, |root| {
            root.text("model", target.model);
            root.text("query", &request.query);
            root.texts("documents", texts(request));
            root.optional_number("top_k", request.top_n);
            extra_fields::write_flat(root, &request.extra_fields, DIALECT, warnings);
        });
        Ok(())
    }

    fn read_answer(&self, body: &[u8], scanner: &mut Scanner) -> Option<RerankAnswer> {
        let read = |root: Node<'_>| {
            Some(RerankAnswer {
                model: root.text_of("model").to_owned(),
                results: results(root.get("data")?, "relevance_score", None)?,
                usage: usage(root),
                ..RerankAnswer::default()
            })
        };
        scanner.read(body, read).ok()?
    }
}

//! Jina's reranking (API reference, "Reranker", read November 2026), which vLLM and other servers with
//! OpenAI's dialect have too. Some of these send an `id`.

use super::documents::{texts, warn_of_bound};
use super::format::ProviderRerank;
use super::results::{results, usage};
use crate::dialects::codec::{TargetModel, Unsupported};
use crate::dialects::extra_fields;
use crate::dialects::warnings::Warnings;
use crate::llm::{Dialect, Node, RerankAnswer, RerankRequest, Scanner, write_object};

const DIALECT: Dialect = Dialect::OpenaiChat;

pub(super) struct Jina;

impl ProviderRerank for Jina {
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
            root.optional_number("top_n", request.top_n);
            root.flag("return_documents", false);
            extra_fields::write_flat(root, &request.extra_fields, DIALECT, warnings);
        });
        Ok(())
    }

    fn read_answer(&self, body: &[u8], scanner: &mut Scanner) -> Option<RerankAnswer> {
        let read = |root: Node<'_>| {
            Some(RerankAnswer {
                id: root.text_of("id").to_owned(),
                model: root.text_of("model").to_owned(),
                results: results(root.get("results")?, "relevance_score", None)?,
                usage: usage(root),
                search_units: None,
            })
        };
        scanner.read(body, read).ok()?
    }
}

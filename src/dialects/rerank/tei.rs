//! The reranking of Hugging Face's text-embeddings-inference (its OpenAPI document, `/rerank`, read
//! November 2026): one model, no limit of results, an array as the response, no usage.

use super::documents::{texts, warn_of_bound};
use super::format::ProviderRerank;
use super::results::results;
use crate::dialects::codec::{TargetModel, Unsupported};
use crate::dialects::extra_fields;
use crate::dialects::warnings::Warnings;
use crate::llm::{Dialect, Node, RerankAnswer, RerankRequest, Scanner, write_object};

/// Its servers have OpenAI's dialect, and so do its own members.
const DIALECT: Dialect = Dialect::OpenaiChat;

pub(super) struct Tei;

impl ProviderRerank for Tei {
    fn path(&self) -> &'static str {
        "/rerank"
    }

    /// The number of results is limited when the response is written.
    fn write_request(
        &self,
        request: &RerankRequest,
        _: &TargetModel<'_>,
        warnings: &mut Warnings,
        out: &mut Vec<u8>,
    ) -> Result<(), Unsupported> {
        warn_of_bound(request, warnings);
        write_object(out, |root| {
            root.text("query", &request.query);
            root.texts("texts", texts(request));
            extra_fields::write_flat(root, &request.extra_fields, DIALECT, warnings);
        });
        Ok(())
    }

    fn read_answer(&self, body: &[u8], scanner: &mut Scanner) -> Option<RerankAnswer> {
        // The scanner reads objects only.
        let mut object = Vec::with_capacity(body.len() + 16);
        object.extend_from_slice(b"{\"results\":");
        object.extend_from_slice(body);
        object.push(b'}');
        let read = |root: Node<'_>| results(root.get("results")?, "score", None);
        let results = scanner.read(&object, read).ok()??;
        Some(RerankAnswer { results, ..RerankAnswer::default() })
    }
}

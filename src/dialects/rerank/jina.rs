//! Jina's ranking (API reference, "Reranker", read November 2026), which vLLM and other servers with
//! OpenAI's dialect have too. Some of these have an `id`.

use super::{
    RerankCodec, check, documents, results, texts, usage, wanted, warn_of_bound, write_result,
};
use crate::dialects::codec::{TargetModel, Unsupported};
use crate::dialects::extra_fields;
use crate::dialects::warnings::Warnings;
use crate::llm::{
    Dialect, Malformed, Node, RerankAnswer, RerankRequest, Scanner, Within, write_object,
};

const DIALECT: Dialect = Dialect::OpenaiChat;

/// The shape.
pub(super) struct Jina;

impl RerankCodec for Jina {
    fn path(&self) -> &'static str {
        "/rerank"
    }

    fn read_request(&self, root: Node<'_>) -> Result<RerankRequest, Malformed> {
        // Documents come back there unless that is declined.
        let mut request = RerankRequest { with_documents: true, ..RerankRequest::default() };
        for (key, value) in root.members() {
            if !value.is_null() {
                member(&mut request, key, value).within(key)?;
            }
        }
        check(request, "documents", root)
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

    fn write_answer(&self, answer: &RerankAnswer, request: &RerankRequest, out: &mut Vec<u8>) {
        write_object(out, |root| {
            if !answer.id.is_empty() {
                root.text("id", &answer.id);
            }
            root.text("model", &answer.model);
            root.text("object", "list");
            if let Some(usage) = &answer.usage {
                root.object("usage", |object| {
                    object.number("total_tokens", usage.input_tokens);
                    object.number("prompt_tokens", usage.input_tokens);
                });
            }
            root.array("results", |array| {
                for (result, document) in wanted(answer, request) {
                    write_result(array, result, document, DIALECT);
                }
            });
        });
    }
}

fn member(request: &mut RerankRequest, key: &str, value: Node<'_>) -> Result<(), Malformed> {
    match key {
        "model" => request.model = value.expect_text()?.to_owned(),
        "query" => request.query = value.expect_text()?.to_owned(),
        "documents" => request.documents = documents(value)?,
        "top_n" => request.top_n = Some(value.expect_u64()?),
        "return_documents" => request.with_documents = value.expect_flag()?,
        _ => extra_fields::keep(&mut request.extra_fields, DIALECT, key, value),
    }
    Ok(())
}

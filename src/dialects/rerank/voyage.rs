//! Voyage's ranking (API reference, "Rerankers", and its own client 0.5, read November 2026).

use super::{RerankCodec, check, documents, results, texts, usage, wanted, warn_of_bound};
use crate::dialects::codec::{TargetModel, Unsupported};
use crate::dialects::extra_fields;
use crate::dialects::warnings::Warnings;
use crate::llm::{
    Dialect, Malformed, Node, RerankAnswer, RerankRequest, Scanner, Within, write_object,
};

/// Voyage is reached through OpenAI's dialect, and so are members that it alone knows.
const DIALECT: Dialect = Dialect::OpenaiChat;

/// The shape.
pub(super) struct Voyage;

impl RerankCodec for Voyage {
    fn path(&self) -> &'static str {
        "/rerank"
    }

    fn read_request(&self, root: Node<'_>) -> Result<RerankRequest, Malformed> {
        let mut request = RerankRequest::default();
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

    fn write_answer(&self, answer: &RerankAnswer, request: &RerankRequest, out: &mut Vec<u8>) {
        write_object(out, |root| {
            root.text("object", "list");
            root.array("data", |array| {
                for (result, document) in wanted(answer, request) {
                    array.object(|object| {
                        object.float("relevance_score", result.score);
                        object.number("index", result.index);
                        object.optional_text("document", document.map(|it| it.text.as_str()));
                    });
                }
            });
            root.text("model", &answer.model);
            if let Some(usage) = &answer.usage {
                root.object("usage", |object| object.number("total_tokens", usage.input_tokens));
            }
        });
    }
}

fn member(request: &mut RerankRequest, key: &str, value: Node<'_>) -> Result<(), Malformed> {
    match key {
        "model" => request.model = value.expect_text()?.to_owned(),
        "query" => request.query = value.expect_text()?.to_owned(),
        "documents" => request.documents = documents(value)?,
        "top_k" => request.top_n = Some(value.expect_u64()?),
        "return_documents" => request.with_documents = value.expect_flag()?,
        _ => extra_fields::keep(&mut request.extra_fields, DIALECT, key, value),
    }
    Ok(())
}

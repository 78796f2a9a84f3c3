//! The ranking of Hugging Face's text-embeddings-inference (its OpenAPI document, `/rerank`, read
//! November 2026): one model, no bound of results, an array as the answer, no counts.

use super::{RerankCodec, check, documents, results, texts, wanted, warn_of_bound};
use crate::dialects::codec::{TargetModel, Unsupported};
use crate::dialects::extra_fields;
use crate::dialects::warnings::Warnings;
use crate::llm::{
    Dialect, Malformed, Node, RerankAnswer, RerankRequest, Scanner, Within, write_array,
    write_object,
};

/// Its servers are reached through OpenAI's dialect, and so are members that they alone know.
const DIALECT: Dialect = Dialect::OpenaiChat;

/// The shape.
pub(super) struct Tei;

impl RerankCodec for Tei {
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
        check(request, "texts", root)
    }

    /// The number of results is bounded when the answer is written.
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
        // The scanner reads objects.
        let mut object = Vec::with_capacity(body.len() + 16);
        object.extend_from_slice(b"{\"results\":");
        object.extend_from_slice(body);
        object.push(b'}');
        let read = |root: Node<'_>| results(root.get("results")?, "score", None);
        let results = scanner.read(&object, read).ok()??;
        Some(RerankAnswer { results, ..RerankAnswer::default() })
    }

    fn write_answer(&self, answer: &RerankAnswer, request: &RerankRequest, out: &mut Vec<u8>) {
        write_array(out, |array| {
            for (result, document) in wanted(answer, request) {
                array.object(|object| {
                    object.number("index", result.index);
                    object.float("score", result.score);
                    object.optional_text("text", document.map(|it| it.text.as_str()));
                });
            }
        });
    }
}

fn member(request: &mut RerankRequest, key: &str, value: Node<'_>) -> Result<(), Malformed> {
    match key {
        "query" => request.query = value.expect_text()?.to_owned(),
        "texts" => request.documents = documents(value)?,
        "return_text" => request.with_documents = value.expect_flag()?,
        _ => extra_fields::keep(&mut request.extra_fields, DIALECT, key, value),
    }
    Ok(())
}

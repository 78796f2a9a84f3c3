//! The documents of a request, as several formats read and write them.

use crate::dialects::warnings::Warnings;
use crate::llm::{Malformed, Node, RerankDocument, RerankRequest, Within};

/// Reads texts, and objects with a `text`. The text of other objects is their JSON, which is the YAML
/// that Cohere's reference asks for.
pub(super) fn documents(value: Node<'_>) -> Result<Vec<RerankDocument>, Malformed> {
    value.read_items(|item| {
        if let Some(text) = item.text() {
            return Ok(RerankDocument::text(text));
        }
        if !item.is_object() {
            return Err(Malformed::new("a string or an object"));
        }
        let json = item.json();
        let text = item.text_at("text")?.unwrap_or(json.text()).to_owned();
        Ok(RerankDocument { text, object: Some(json) })
    })
}

/// The texts of all documents.
pub(super) fn texts(request: &RerankRequest) -> impl Iterator<Item = &str> {
    request.documents.iter().map(|document| document.text.as_str())
}

/// Checks that `query` is set, and at least one document; `key` is the member that has them.
pub(super) fn check(
    request: RerankRequest,
    key: &str,
    root: Node<'_>,
) -> Result<RerankRequest, Malformed> {
    root.expect_text_at("query")?;
    match request.documents.as_slice() {
        [] => Err(Malformed::new("an array of at least one document")).within(key),
        _ => Ok(request),
    }
}

/// Warns that the limit of a document's length is not sent.
pub(super) fn warn_of_bound(request: &RerankRequest, warnings: &mut Warnings) {
    if request.tokens_per_document_max.is_some() {
        warnings.dropped("max_tokens_per_doc", "the provider's format has no such member");
    }
}

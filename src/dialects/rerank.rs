//! The shapes in which vendors rank documents, in both directions: bytes to the canonical request and
//! answer of `llm/`, and back.
//!
//! Cohere's shape, of versions 1 and 2, is the one expected of clients. Providers are not asked to send
//! the documents back: whoever wants them has them from the request.

mod cohere;
mod jina;
mod tei;
#[cfg(test)]
mod tests;
mod voyage;

use super::codec::{TargetModel, Unsupported};
use super::warnings::Warnings;
use crate::llm::{
    ArrayWriter, Dialect, DialectJson, Malformed, Node, RerankAnswer, RerankDocument,
    RerankRequest, RerankResult, Scanner, Usage, Within,
};

/// Both directions of one shape. Synchronous and without state.
pub trait RerankCodec: Sync {
    /// The path behind the provider's base URL.
    fn path(&self) -> &'static str;

    /// Reads a client's request.
    ///
    /// # Errors
    /// Where a member that is understood has the wrong type or a required one is missing.
    fn read_request(&self, root: Node<'_>) -> Result<RerankRequest, Malformed>;

    /// Appends the request as `target` takes it.
    ///
    /// # Errors
    /// If the target cannot say what the request means.
    fn write_request(
        &self,
        request: &RerankRequest,
        target: &TargetModel<'_>,
        warnings: &mut Warnings,
        out: &mut Vec<u8>,
    ) -> Result<(), Unsupported>;

    /// Reads a provider's answer, which is an array at one of them. None if it is none.
    fn read_answer(&self, body: &[u8], scanner: &mut Scanner) -> Option<RerankAnswer>;

    /// Appends the answer to `request` as a client expects it: no more results than it wants, with the
    /// documents if it wants those.
    fn write_answer(&self, answer: &RerankAnswer, request: &RerankRequest, out: &mut Vec<u8>);
}

/// Which models of a dialect have which shape: the first row with which the model's name begins.
/// Voyage's models are called `rerank-2.5`, `rerank-lite-1` and the like, Cohere's `rerank-v3.5`.
const SHAPES: [(Dialect, &str, &dyn RerankCodec); 5] = [
    (Dialect::CohereChat, "", &cohere::Cohere),
    (Dialect::OpenaiChat, "rerank-1", &voyage::Voyage),
    (Dialect::OpenaiChat, "rerank-2", &voyage::Voyage),
    (Dialect::OpenaiChat, "rerank-lite-", &voyage::Voyage),
    (Dialect::OpenaiChat, "", &jina::Jina),
];

/// The shape that `model` has at a provider of `dialect`; none where nothing is ranked.
#[must_use]
pub fn rerank(dialect: Dialect, model: &str) -> Option<&'static dyn RerankCodec> {
    let fits = |row: &&(Dialect, &str, _)| row.0 == dialect && model.starts_with(row.1);
    SHAPES.iter().find(fits).map(|(_, _, codec)| *codec)
}

/// The shape that clients speak.
#[must_use]
pub fn rerank_of_clients() -> &'static dyn RerankCodec {
    &cohere::Cohere
}

/// The shape of Hugging Face's text-embeddings-inference, whose servers have one model and no dialect.
#[must_use]
pub fn rerank_on_tei() -> &'static dyn RerankCodec {
    &tei::Tei
}

/// Texts, and objects with a `text`. What has none is ranked by the whole of the object, whose JSON is
/// the YAML that Cohere's reference wants of such.
fn documents(value: Node<'_>) -> Result<Vec<RerankDocument>, Malformed> {
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
fn texts(request: &RerankRequest) -> impl Iterator<Item = &str> {
    request.documents.iter().map(|document| document.text.as_str())
}

/// `query` and `documents`, of which there must be one, are required.
fn check(request: RerankRequest, key: &str, root: Node<'_>) -> Result<RerankRequest, Malformed> {
    root.expect_text_at("query")?;
    match request.documents.as_slice() {
        [] => Err(Malformed::new("an array of at least one document")).within(key),
        _ => Ok(request),
    }
}

/// Tells that a bound of the documents' length is not passed on.
fn warn_of_bound(request: &RerankRequest, warnings: &mut Warnings) {
    if request.tokens_per_document_max.is_some() {
        warnings.dropped("max_tokens_per_doc", "the provider's format has no such member");
    }
}

/// Reads the results of an array, whose scores are called `score`. None if one has no place or score.
fn results(value: Node<'_>, score: &str, foreign_to: Option<Dialect>) -> Option<Vec<RerankResult>> {
    let one = |item: Node<'_>| {
        let mut result = RerankResult {
            index: item.get("index")?.u64()?,
            score: item.get(score)?.f64()?,
            extra_fields: Vec::new(),
        };
        if let Some(dialect) = foreign_to {
            let own = item.members().filter(|(key, value)| {
                !["index", "document", score].contains(key) && !value.is_null()
            });
            let keep = |(key, value): (&str, Node<'_>)| {
                (key.to_owned(), DialectJson { dialect, json: value.json() })
            };
            result.extra_fields = own.map(keep).collect();
        }
        Some(result)
    };
    if value.is_array() { value.items().map(one).collect() } else { None }
}

/// The results that the client wants, each with its document where it wants that too.
fn wanted<'a>(
    answer: &'a RerankAnswer,
    request: &'a RerankRequest,
) -> impl Iterator<Item = (&'a RerankResult, Option<&'a RerankDocument>)> {
    let most = request.top_n.and_then(|top_n| usize::try_from(top_n).ok());
    answer.results.iter().take(most.unwrap_or(usize::MAX)).map(|result| {
        let place = usize::try_from(result.index).ok().filter(|_| request.with_documents);
        (result, place.and_then(|place| request.documents.get(place)))
    })
}

/// Writes a result as most have it.
fn write_result(
    array: &mut ArrayWriter<'_>,
    result: &RerankResult,
    document: Option<&RerankDocument>,
    dialect: Dialect,
) {
    array.object(|object| {
        object.number("index", result.index);
        object.float("relevance_score", result.score);
        match document {
            None => {}
            Some(RerankDocument { object: Some(given), .. }) => object.raw("document", given),
            Some(RerankDocument { text, object: None }) => {
                object.object("document", |inner| inner.text("text", text));
            }
        }
        for (key, foreign) in &result.extra_fields {
            if foreign.dialect == dialect {
                object.raw(key, &foreign.json);
            }
        }
    });
}

/// Tokens in the shape of OpenAI and its imitators.
fn usage(root: Node<'_>) -> Option<Usage> {
    root.get("usage").and_then(|usage| Usage::read(usage.value()))
}

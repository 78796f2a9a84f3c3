//! The results of a response, as several formats read and write them.

use crate::llm::{
    ArrayWriter, Dialect, DialectJson, Node, RerankAnswer, RerankDocument, RerankRequest,
    RerankResult, Usage,
};

/// Reads an array of results, whose scores are called `score`. None if one lacks its index or its
/// score.
pub(super) fn results(
    value: Node<'_>,
    score: &str,
    foreign_to: Option<Dialect>,
) -> Option<Vec<RerankResult>> {
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

/// The results that the client requested, with their documents if it requested those.
pub(super) fn wanted<'a>(
    answer: &'a RerankAnswer,
    request: &'a RerankRequest,
) -> impl Iterator<Item = (&'a RerankResult, Option<&'a RerankDocument>)> {
    let most = request.top_n.and_then(|top_n| usize::try_from(top_n).ok());
    answer.results.iter().take(most.unwrap_or(usize::MAX)).map(|result| {
        let place = usize::try_from(result.index).ok().filter(|_| request.with_documents);
        (result, place.and_then(|place| request.documents.get(place)))
    })
}

/// Writes a result in the format that most vendors share.
pub(super) fn write_result(
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

/// The usage in the format of OpenAI and its imitators.
pub(super) fn usage(root: Node<'_>) -> Option<Usage> {
    root.get("usage").and_then(Usage::read)
}

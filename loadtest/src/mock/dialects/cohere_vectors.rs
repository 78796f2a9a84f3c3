//! Cohere's embeddings and reranking.

use serde_json::{Map, Value, json};

use super::embeddings::{base64, tokens, vector};
use super::reading::{Node, Refusal};

const ID: &str = "00000000-0000-4000-8000-000000000003";
const TEXTS_MAX: usize = 96;
const DIMENSIONS: &[i64] = &[256, 384, 512, 1024, 1536];

/// `embed`.
pub fn embed(body: &Value) -> Result<Value, Refusal> {
    let root = Node::root(body);
    root.only(&[
        "model",
        "input_type",
        "texts",
        "images",
        "inputs",
        "max_tokens",
        "output_dimension",
        "embedding_types",
        "truncate",
        "priority",
    ])?;
    root.need("model")?.text()?;
    let kinds = &["search_document", "search_query", "classification", "clustering", "image"];
    root.need("input_type")?.one_of(kinds)?;
    if let Some(truncate) = root.get("truncate") {
        truncate.one_of(&["NONE", "START", "END"])?;
    }
    let texts = inputs(&root)?;
    if texts.is_empty() || texts.len() > TEXTS_MAX {
        return Err(Refusal::rule(format!("from 1 to {TEXTS_MAX} texts are allowed")));
    }
    let size = match root.get("output_dimension") {
        Some(size) if !DIMENSIONS.contains(&size.integer()?) => {
            return Err(size.broken("expected 256, 384, 512, 1024 or 1536"));
        }
        Some(size) => size.integer()? as usize,
        None => 256,
    };
    let mut wanted = Vec::new();
    for kind in root.list("embedding_types")? {
        wanted.push(kind.one_of(&["float", "int8", "uint8", "binary", "ubinary", "base64"])?);
    }
    if wanted.is_empty() {
        wanted.push("float");
    }
    let mut embeddings = Map::new();
    for kind in wanted {
        let vectors = texts.iter().map(|text| encoded(&vector(text, size), kind)).collect();
        embeddings.insert(kind.to_owned(), vectors);
    }
    let counted: u64 = texts.iter().map(|text| tokens(text)).sum();
    Ok(json!({
        "id": ID,
        "embeddings": embeddings,
        "texts": texts,
        "response_type": "embeddings_by_type",
        "meta": {"api_version": {"version": "2"}, "billed_units": {"input_tokens": counted}},
    }))
}

/// Exactly one of the three ways to say what to embed.
fn inputs(root: &Node) -> Result<Vec<String>, Refusal> {
    let ways = [root.get("texts"), root.get("images"), root.get("inputs")];
    let mut ways = ways.into_iter().flatten();
    let (Some(way), None) = (ways.next(), ways.next()) else {
        return Err(Refusal::rule("exactly one of texts, images and inputs is required"));
    };
    let text = |item: Node| match item.value {
        Value::Object(_) => {
            let contents = item.need("content")?.items()?;
            Ok(contents.iter().map(|content| content.value.to_string()).collect())
        }
        _ => Ok(item.text()?.to_owned()),
    };
    way.items()?.into_iter().map(text).collect()
}

/// A vector as one of the types of numbers.
pub fn encoded(vector: &[f64], kind: &str) -> Value {
    let bytes = || vector.iter().map(|number| (number * 127.0) as i64);
    let bits = || {
        vector.chunks(8).map(|eight| {
            eight.iter().fold(0_i64, |byte, number| byte << 1 | i64::from(*number > 0.0))
        })
    };
    match kind {
        "int8" => bytes().collect(),
        "uint8" => bytes().map(|byte| byte + 128).collect(),
        "ubinary" => bits().collect(),
        "binary" => bits().map(|byte| byte - 128).collect(),
        "base64" => json!(base64(vector)),
        _ => json!(vector),
    }
}

/// `rerank`: a document's relevance is the share of the query's words that it holds.
pub fn rerank(body: &Value) -> Result<Value, Refusal> {
    let root = Node::root(body);
    root.only(&[
        "model",
        "query",
        "documents",
        "top_n",
        "max_tokens_per_doc",
        "relevant_spans",
        "priority",
    ])?;
    root.need("model")?.text()?;
    let query = root.need("query")?;
    let words: Vec<_> = query.text()?.split_whitespace().collect();
    if words.is_empty() {
        return Err(query.broken("query must not be empty"));
    }
    let documents = root.need("documents")?;
    let mut scored = Vec::new();
    for (index, document) in documents.items()?.iter().enumerate() {
        let text = document.text()?;
        let held = words.iter().filter(|word| text.contains(**word)).count();
        scored.push((index, held as f64 / words.len() as f64));
    }
    if scored.is_empty() {
        return Err(documents.broken("at least one document is required"));
    }
    root.range("top_n", 1.0, f64::MAX)?;
    let most = root.get("top_n").map(|most| most.integer()).transpose()?;
    // Stable, so that equals keep their order.
    scored.sort_by(|one, other| other.1.total_cmp(&one.1));
    scored.truncate(most.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX));
    let result = |(index, score): &(usize, f64)| json!({"index": index, "relevance_score": score});
    Ok(json!({
        "id": ID,
        "results": scored.iter().map(result).collect::<Vec<_>>(),
        "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}},
    }))
}

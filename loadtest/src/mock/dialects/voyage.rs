//! Voyage's embeddings: OpenAI's shape with other members and other errors (docs.voyageai.com/reference).

use serde_json::{Value, json};

use super::Reply;
use super::embeddings::{base64, tokens, vector};
use super::reading::{Flaw, Node, Refusal};

const TEXTS_MAX: usize = 1000;
const DIMENSIONS: &[i64] = &[256, 512, 1024, 2048];

/// Embeds what the body holds.
pub fn answer(body: &Value) -> Result<Value, Refusal> {
    let root = Node::root(body);
    root.only(&[
        "input",
        "model",
        "input_type",
        "truncation",
        "output_dimension",
        "output_dtype",
        "encoding_format",
    ])?;
    let model = root.need("model")?.text()?;
    if let Some(kind) = root.get("input_type") {
        kind.one_of(&["query", "document"])?;
    }
    if let Some(kind) = root.get("output_dtype") {
        kind.one_of(&["float", "int8", "uint8", "binary", "ubinary"])?;
    }
    let packed = root.get("encoding_format").map(|name| name.one_of(&["base64"])).transpose()?;
    let size = match root.get("output_dimension") {
        Some(size) if !DIMENSIONS.contains(&size.integer()?) => {
            return Err(size.broken("expected 256, 512, 1024 or 2048"));
        }
        Some(size) => size.integer()? as usize,
        None => 1024,
    };
    let input = root.need("input")?;
    let texts = match input.value {
        Value::String(text) => vec![text.as_str()],
        _ => input.items()?.iter().map(|text| text.text()).collect::<Result<_, _>>()?,
    };
    if texts.is_empty() || texts.len() > TEXTS_MAX {
        return Err(input.broken(format!("from 1 to {TEXTS_MAX} texts are allowed")));
    }
    let entry = |(index, text): (usize, &&str)| {
        let numbers = vector(text, size);
        let embedding = if packed.is_some() { json!(base64(&numbers)) } else { json!(numbers) };
        json!({"object": "embedding", "embedding": embedding, "index": index})
    };
    let counted: u64 = texts.iter().map(|text| tokens(text)).sum();
    let data: Vec<_> = texts.iter().enumerate().map(entry).collect();
    Ok(json!({"object": "list", "data": data, "model": model, "usage": {"total_tokens": counted}}))
}

/// The reply to a request that is refused.
pub fn refuse(refusal: &Refusal) -> Reply {
    let path = &refusal.path;
    let detail = match &refusal.flaw {
        Flaw::Missing => format!("The request body misses the required argument '{path}'."),
        Flaw::Unknown => format!("Argument '{path}' is not supported by our API."),
        Flaw::Type(expected) => format!("The argument '{path}' must be {expected}."),
        Flaw::Rule(rule) => format!("{path}: {rule}"),
        Flaw::Unauthenticated => "Provided API key is invalid.".to_owned(),
        Flaw::InvalidJson(_) => "The request body is not valid JSON.".to_owned(),
        Flaw::Scripted => format!("The mock was told to answer {}.", refusal.status),
    };
    Reply::json(refusal.status, &json!({"detail": detail})).with_retry_after()
}

//! OpenAI's embeddings, as OpenAI itself, Azure and compatible servers hold them.

use serde_json::{Value, json};

use super::embeddings;
use super::openai_messages::model;
use super::path::OpenAiPlace;
use super::reading::{Node, Refusal};

/// Embeds what the body holds.
pub fn answer(place: &OpenAiPlace, body: &Value) -> Result<Value, Refusal> {
    let root = Node::root(body);
    if *place != OpenAiPlace::Compatible {
        root.only(&["input", "model", "dimensions", "encoding_format", "user"])?;
    }
    let model = model(place, &root)?;
    let input = root.need("input")?;
    let texts: Vec<String> = match input.value {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) if items.first().is_some_and(Value::is_number) => {
            vec![input.value.to_string()]
        }
        _ => input.items()?.iter().map(|item| text_or_tokens(item)).collect::<Result<_, _>>()?,
    };
    if texts.is_empty() || texts.iter().any(String::is_empty) {
        return Err(input.broken("'input' cannot be empty"));
    }
    root.range("dimensions", 1.0, 4096.0)?;
    let dimensions = root.get("dimensions").map_or(Ok(16), |size| size.integer())? as usize;
    let encoding = root.get("encoding_format");
    let encoding = encoding.map_or(Ok("float"), |name| name.one_of(&["float", "base64"]))?;
    let entry = |(index, text): (usize, &String)| {
        let vector = embeddings::vector(text, dimensions);
        let vector =
            if encoding == "float" { json!(vector) } else { json!(embeddings::base64(&vector)) };
        json!({"object": "embedding", "index": index, "embedding": vector})
    };
    let tokens: u64 = texts.iter().map(|text| embeddings::tokens(text)).sum();
    Ok(json!({
        "object": "list",
        "data": texts.iter().enumerate().map(entry).collect::<Vec<_>>(),
        "model": model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }))
}

fn text_or_tokens(item: &Node) -> Result<String, Refusal> {
    if item.value.is_array() { Ok(item.value.to_string()) } else { Ok(item.text()?.to_owned()) }
}

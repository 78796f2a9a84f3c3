//! Embeddings by Bedrock's InvokeModel: the bodies are those of each model's maker, here Amazon's Titan and Cohere
//! (docs.aws.amazon.com/bedrock/latest/userguide/model-parameters). What a body must not hold is refused.

use serde_json::{Map, Value, json};

use super::cohere_vectors::encoded;
use super::embeddings::{tokens, vector};
use super::reading::{Node, Refusal};

const ID: &str = "00000000-0000-4000-8000-000000000004";
const COHERE_DIMENSIONS: usize = 256;

/// Embeds what the body holds, in the shape of the model's maker.
pub fn answer(model: &str, body: &Value) -> Result<Value, Refusal> {
    let root = Node::root(body);
    if model.contains("titan-embed") {
        titan(&root)
    } else if model.contains("cohere.embed") {
        cohere(&root)
    } else {
        let message = format!("The mock invokes Titan's and Cohere's embeddings, not {model}.");
        Err(Refusal { status: 404, ..Refusal::rule(message) })
    }
}

fn titan(root: &Node) -> Result<Value, Refusal> {
    root.only(&["inputText", "dimensions", "normalize", "embeddingTypes"])?;
    let text = root.need("inputText")?;
    if text.text()?.is_empty() {
        return Err(text.broken("Member must have length greater than or equal to 1"));
    }
    let size = match root.get("dimensions") {
        Some(size) if ![256, 512, 1024].contains(&size.integer()?) => {
            return Err(size.broken("Member must be 256, 512 or 1024"));
        }
        Some(size) => size.integer()? as usize,
        None => 1024,
    };
    let text = text.text()?;
    let embedding = vector(text, size);
    let mut by_type = Map::new();
    for kind in kinds(root, "embeddingTypes", &["float", "binary"])? {
        let bits = embedding.iter().map(|number| i32::from(*number > 0.0));
        let embedding = if kind == "float" { json!(embedding) } else { bits.collect() };
        by_type.insert(kind, embedding);
    }
    let count = tokens(text);
    Ok(json!({"embedding": embedding, "inputTextTokenCount": count, "embeddingsByType": by_type}))
}

fn kinds(root: &Node, name: &str, known: &[&str]) -> Result<Vec<String>, Refusal> {
    let list = root.list(name)?;
    let kinds = list.iter().map(|kind| kind.one_of(known).map(str::to_owned));
    let kinds = kinds.collect::<Result<Vec<_>, _>>()?;
    Ok(if kinds.is_empty() { vec!["float".to_owned()] } else { kinds })
}

fn cohere(root: &Node) -> Result<Value, Refusal> {
    root.only(&["texts", "images", "input_type", "truncate", "embedding_types"])?;
    let known = &["search_document", "search_query", "classification", "clustering", "image"];
    root.need("input_type")?.one_of(known)?;
    let texts = root.need("texts")?.items()?;
    let texts = texts.iter().map(|text| text.text()).collect::<Result<Vec<_>, _>>()?;
    let known = &["float", "int8", "uint8", "binary", "ubinary"];
    let vectors = |kind: &str| {
        let all = texts.iter().map(|text| encoded(&vector(text, COHERE_DIMENSIONS), kind));
        Value::Array(all.collect())
    };
    // Without types the vectors stand alone.
    let (embeddings, shape) = match root.get("embedding_types") {
        None => (vectors("float"), "embeddings_floats"),
        Some(_) => {
            let kinds = kinds(root, "embedding_types", known)?.into_iter();
            let by_type = kinds.map(|kind| (kind.clone(), vectors(&kind)));
            (Value::Object(by_type.collect()), "embeddings_by_type")
        }
    };
    Ok(json!({"id": ID, "embeddings": embeddings, "response_type": shape, "texts": texts}))
}

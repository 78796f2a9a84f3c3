//! Gemini's embeddings: one content, many at once, and Vertex AI's predictions.

use serde_json::{Value, json};

use super::embeddings::{tokens, vector};
use super::gemini_rules::{known, member, system_texts};
use super::path::{GeminiMethod, GeminiPlace};
use super::reading::{Node, Refusal};

const DIMENSIONS: i64 = 16;

/// Embeds what the body holds.
pub fn answer(place: &GeminiPlace, body: &Value) -> Result<Value, Refusal> {
    let root = Node::root(body);
    match place.method {
        GeminiMethod::BatchEmbed => {
            known(&root, &["requests", "model"])?;
            let requests = root.need("requests")?;
            if requests.items()?.is_empty() {
                return Err(requests.broken("at least one request is required"));
            }
            let one = |request: Node| {
                let model = request.need("model")?;
                if model.text()? != format!("models/{}", place.model) {
                    return Err(model.broken("model must match the model of the path"));
                }
                embed(&request)
            };
            let embeddings =
                requests.items()?.into_iter().map(one).collect::<Result<Vec<_>, _>>()?;
            Ok(json!({"embeddings": embeddings}))
        }
        GeminiMethod::Predict => predict(&root),
        _ => Ok(json!({"embedding": embed(&root)?})),
    }
}

fn embed(request: &Node) -> Result<Value, Refusal> {
    known(
        request,
        &[
            "model",
            "content",
            "taskType",
            "title",
            "outputDimensionality",
            "autoTruncate",
            "embedContentConfig",
        ],
    )?;
    let text = system_texts(&request.need("content")?)?.join("");
    Ok(json!({"values": vector(&text, dimensions(request)?)}))
}

fn predict(root: &Node) -> Result<Value, Refusal> {
    root.only(&["instances", "parameters"])?;
    let size = root.get("parameters").map_or(Ok(DIMENSIONS as usize), |node| dimensions(&node))?;
    let one = |instance: Node| {
        let text = instance.need("content")?.text()?;
        let statistics = json!({"truncated": false, "token_count": tokens(text)});
        Ok(json!({"embeddings": {"values": vector(text, size), "statistics": statistics}}))
    };
    let predictions = root.need("instances")?.items()?.into_iter().map(one);
    Ok(json!({"predictions": predictions.collect::<Result<Vec<_>, _>>()?}))
}

fn dimensions(node: &Node) -> Result<usize, Refusal> {
    let Some(size) = member(node, "outputDimensionality") else { return Ok(DIMENSIONS as usize) };
    match size.integer()? {
        size @ 1..=4096 => Ok(size as usize),
        _ => Err(size.broken("output_dimensionality must be from 1 to 4096")),
    }
}

//! `GET /v1/models` where several providers are configured: the models the settings name.

use serde_json::{Value, json};

use super::admit::{Grant, bounded};
use super::deliver::Whole;
use super::failure::Failure;
use super::record::Exchange;

/// The list, or one entry of it. Only models that the key may use are shown.
pub(super) fn answer(exchange: &Exchange<'_>, grant: &Grant) -> Result<Whole, Failure> {
    let upstreams = exchange.snapshot.upstreams.iter();
    let known = upstreams.flat_map(|upstream| {
        let models = upstream.provider.models.iter();
        models.map(move |model| (model.as_str(), &*upstream.name))
    });
    let mut allowed = known.filter(|(model, _)| grant.check_model(model).is_ok());
    let body = match exchange.head.path().strip_prefix("/v1/models/") {
        Some(id) => {
            let found = allowed.find(|(model, provider)| {
                *model == id || id.strip_prefix(provider) == Some(&format!("/{model}"))
            });
            let (model, provider) = found.ok_or_else(|| Failure::ModelNotFound(bounded(id)))?;
            entry(model, provider)
        }
        None => {
            let data: Vec<Value> =
                allowed.map(|(model, provider)| entry(model, provider)).collect();
            json!({ "object": "list", "data": data })
        }
    };
    Ok(Whole::json(200, body.to_string().into_bytes()))
}

fn entry(model: &str, provider: &str) -> Value {
    json!({ "id": model, "object": "model", "created": 0, "owned_by": provider })
}

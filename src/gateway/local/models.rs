//! `GET /v1/models` and `GET /v1beta/models`: which models can be requested here, in the shape of
//! OpenAI, Anthropic or Google.
//!
//! A provider's models are those that its settings list, or else those that the catalogue knows of its
//! preset. Each has the name under which it can be requested as it is: bare where that reaches the
//! provider, with the provider's name before it elsewhere. Where one provider is meant and its own list
//! has the client's format, the request is forwarded to it.

use serde_json::Value;

use crate::control::ListedModel;
use crate::gateway::context::{Exchange, GatewayError, Grant, bounded, percent_decoded};
use crate::gateway::downstream::local::LocalResponse;
use crate::llm::Dialect;
use crate::providers::only_provider;

/// True if the answer is to be that of a provider: the one that is named, or the only one. It has to
/// have the client's dialect, and the key to be free to use all that it lists.
pub(crate) fn is_forwarded(exchange: &Exchange<'_>, grant: &Grant, named: Option<&str>) -> bool {
    let providers = &exchange.snapshot.settings.providers;
    if provider_in_query(exchange).is_some() {
        return false;
    }
    let provider = match named {
        Some(name) => providers.find(name),
        None => only_provider(providers).and_then(|place| providers.get(place)),
    };
    let Some(provider) = provider else {
        // A preset that the client names and brings the key for, or no provider.
        return named.is_some();
    };
    // Vertex has Google's dialect, but lists its models elsewhere.
    let has_list = provider.preset != Some("vertex-ai");
    let is_limited = grant.key.as_ref().is_some_and(|key| key.is_limited());
    has_list && !is_limited && provider.dialect == exchange.record.client_format.dialect
}

/// The list, or one entry of it. Only models that the key may use are shown.
pub(crate) fn answer(
    exchange: &Exchange<'_>,
    grant: &Grant,
    named: Option<&str>,
) -> Result<LocalResponse, GatewayError> {
    let queried = provider_in_query(exchange);
    let wanted = queried.as_deref().or(named);
    if let Some(name) = wanted.filter(|name| exchange.snapshot.upstream(name).is_none()) {
        return Err(GatewayError::UnknownProvider(bounded(name)));
    }
    let dialect = exchange.record.client_format.dialect;
    let is_shown = |listed: &&ListedModel| {
        wanted.is_none_or(|name| listed.provider == name)
            && (dialect == Dialect::OpenaiChat || listed.is_conversation())
            && grant.check_model(&listed.model).is_ok()
    };
    let mut shown = exchange.snapshot.listing().0.iter().filter(is_shown);
    let body = match requested_id(exchange.head.path()) {
        Some(id) => {
            let found = shown.find(|listed| listed.has_id(&id));
            let found = found.ok_or_else(|| GatewayError::ModelNotFound(bounded(&id)))?;
            found.in_shape_of(dialect)
        }
        None => list(shown, dialect),
    };
    Ok(LocalResponse::json(200, body.into_bytes()))
}

fn list<'l>(shown: impl Iterator<Item = &'l ListedModel>, dialect: Dialect) -> String {
    let (mut entries, mut ids) = (String::new(), None);
    for listed in shown {
        if !entries.is_empty() {
            entries.push(',');
        }
        entries.push_str(&listed.in_shape_of(dialect));
        let (first, _) = ids.unwrap_or((&listed.id, &listed.id));
        ids = Some((first, &listed.id));
    }
    match dialect {
        Dialect::AnthropicMessages => {
            let (first, last): (Value, Value) = ids
                .map_or((Value::Null, Value::Null), |(first, last)| {
                    (first.as_str().into(), last.as_str().into())
                });
            format!(
                r#"{{"data":[{entries}],"has_more":false,"first_id":{first},"last_id":{last}}}"#
            )
        }
        Dialect::Gemini => format!(r#"{{"models":[{entries}]}}"#),
        _ => format!(r#"{{"object":"list","data":[{entries}]}}"#),
    }
}

/// The model in the path, unescaped.
fn requested_id(path: &str) -> Option<String> {
    let id = path.strip_prefix("/v1beta/models/").or_else(|| path.strip_prefix("/v1/models/"));
    id.map(percent_decoded)
}

/// The provider that the query names, as `?provider=NAME`.
fn provider_in_query(exchange: &Exchange<'_>) -> Option<String> {
    let mut members = exchange.head.query()?.split('&');
    members.find_map(|member| member.strip_prefix("provider=")).map(percent_decoded)
}

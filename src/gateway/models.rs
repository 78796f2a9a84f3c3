//! `GET /v1/models` and `GET /v1beta/models`: which models can be requested here, in the shape of
//! OpenAI, Anthropic or Google.
//!
//! A provider's models are those that its settings list, or else those that the catalogue knows of its
//! preset. Each has the name under which it can be requested as it is: bare where that reaches the
//! provider, with the provider's name before it elsewhere. Where one provider is meant and its own list
//! has the client's format, the request is forwarded to it.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;
use serde_json::{Value, json};

use super::admit::{Grant, bounded};
use super::deliver::LocalResponse;
use super::endpoint::percent_decoded;
use super::error::GatewayError;
use super::record::Exchange;
use super::resolve::{ModelResolution, only_provider, providers_with_model, resolve_model, sole};
use crate::config::Settings;
use crate::llm::{Dialect, Mode, ModelCard};
use crate::providers::{Auth, Provider, preset};

/// When a model was made, which is not known; Anthropic's reference has this for dates it does not
/// know ("List Models", `created_at`).
const CREATED_AT: &str = "1970-01-01T00:00:00Z";

/// The models of all providers, in the order of the settings and then of their lists.
pub(super) struct Listing(Vec<ListedModel>);

/// One model at one provider.
struct ListedModel {
    provider: String,
    /// As the provider calls it.
    model: String,
    /// As it can be requested here.
    id: String,
    mode: Option<Mode>,
    context_tokens: Option<u64>,
    output_tokens_max: Option<u64>,
    /// The day its vendor takes it away, as `2026-11-30`.
    retires: Option<&'static str>,
    /// The entry in OpenAI's shape, which most clients request.
    json: String,
}

/// The entry in OpenAI's shape, and what is known besides. Prices are dollars for one token, or for
/// one of what their names tell.
#[derive(Serialize)]
struct ModelEntry<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    owned_by: &'a str,
    #[serde(flatten)]
    details: Option<ModelDetails<'a>>,
}

#[derive(Serialize)]
struct ModelDetails<'a> {
    mode: Mode,
    #[serde(skip_serializing_if = "Option::is_none")]
    context_window: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u64>,
    abilities: Vec<&'static str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pricing: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retires: Option<&'a str>,
}

impl Listing {
    /// The models under these settings. Looks at every card of every preset that is in use: not for a
    /// shard.
    pub(super) fn of(settings: &Settings) -> Self {
        let mut known: HashMap<String, Option<usize>> = HashMap::new();
        let mut listed = Vec::new();
        for (place, provider) in settings.providers.iter().enumerate() {
            let mut seen = HashSet::new();
            for (model, card) in models_of(settings, provider) {
                if !seen.insert(model.clone()) {
                    continue;
                }
                let picked = resolve_model(settings, &model, || {
                    let fresh = || sole(&providers_with_model(settings, &model));
                    *known.entry(model.clone()).or_insert_with(fresh)
                });
                let is_reached = picked == ModelResolution::Provider(place, &model);
                let id =
                    if is_reached { model.clone() } else { format!("{}/{model}", provider.name) };
                listed.push(ListedModel::new(provider, model, id, card));
            }
        }
        Self(listed)
    }
}

fn models_of<'s>(
    settings: &'s Settings,
    provider: &'s Provider,
) -> Vec<(String, Option<&'s ModelCard>)> {
    let catalog = &settings.catalog;
    // A server of one's own has what was put there, whatever else could be.
    let is_own_server =
        provider.preset.and_then(preset).is_some_and(|preset| preset.auth == Auth::None);
    if provider.models.is_empty() && is_own_server {
        return Vec::new();
    }
    if provider.models.is_empty() {
        let cards = catalog.models_at(&provider.name, provider.preset);
        return cards.map(|card| (card.name().to_owned(), Some(card))).collect();
    }
    let card = |model| catalog.find_at(&provider.name, provider.preset, model);
    provider.models.iter().map(|model| (model.clone(), card(model))).collect()
}

impl ListedModel {
    fn new(provider: &Provider, model: String, id: String, card: Option<&ModelCard>) -> Self {
        let details = card.map(|card| ModelDetails {
            mode: card.mode(),
            context_window: card.context_tokens(),
            max_output_tokens: card.output_tokens_max(),
            abilities: card.abilities().names().collect(),
            pricing: pricing(card),
            retires: card.retires(),
        });
        let owned_by = &provider.name;
        let entry = ModelEntry { id: &id, object: "model", created: 0, owned_by, details };
        // Texts and numbers have a form in JSON.
        let json = serde_json::to_string(&entry).unwrap_or_default();
        Self {
            json,
            provider: provider.name.clone(),
            mode: card.map(ModelCard::mode),
            context_tokens: card.and_then(ModelCard::context_tokens),
            output_tokens_max: card.and_then(ModelCard::output_tokens_max),
            retires: card.and_then(ModelCard::retires),
            model,
            id,
        }
    }

    /// True for what the chat of any dialect reaches, as far as is known.
    fn is_conversation(&self) -> bool {
        self.mode.is_none_or(|mode| matches!(mode, Mode::Chat | Mode::Responses))
    }

    /// True if `id` is a name of it, with or without its provider's.
    fn has_id(&self, id: &str) -> bool {
        let bare = id.strip_prefix(&self.provider).and_then(|rest| rest.strip_prefix('/'));
        self.id == id || bare == Some(&self.model)
    }

    fn in_shape_of(&self, dialect: Dialect) -> String {
        match dialect {
            Dialect::AnthropicMessages => {
                let retires = self.retires.map(|day| format!("{day}T00:00:00Z"));
                json!({
                    "type": "model",
                    "id": self.id,
                    "display_name": self.model,
                    "created_at": CREATED_AT,
                    "lifecycle": if retires.is_some() { "deprecated" } else { "active" },
                    "deprecated_at": null,
                    "retires_at": retires,
                    "line": null,
                    "capabilities": null,
                    "max_input_tokens": self.context_tokens,
                    "max_tokens": self.output_tokens_max,
                })
                .to_string()
            }
            Dialect::Gemini => {
                let mut entry = json!({
                    "name": format!("models/{}", self.id),
                    "displayName": self.model,
                    "supportedGenerationMethods": ["generateContent", "streamGenerateContent"],
                });
                let limits = [
                    ("inputTokenLimit", self.context_tokens),
                    ("outputTokenLimit", self.output_tokens_max),
                ];
                if let Some(members) = entry.as_object_mut() {
                    let known = limits.iter().filter_map(|(name, limit)| Some((*name, (*limit)?)));
                    members.extend(known.map(|(name, limit)| (name.to_owned(), limit.into())));
                }
                entry.to_string()
            }
            _ => self.json.clone(),
        }
    }
}

fn pricing(card: &ModelCard) -> BTreeMap<String, String> {
    card.prices().rates().iter().map(|rate| (rate.name(), rate.price.to_string())).collect()
}

/// True if the answer is to be that of a provider: the one that is named, or the only one. It has to
/// speak the client's dialect, and the key to be free to use all that it lists.
pub(super) fn is_forwarded(exchange: &Exchange<'_>, grant: &Grant, named: Option<&str>) -> bool {
    let settings = &exchange.snapshot.settings;
    if provider_in_query(exchange).is_some() {
        return false;
    }
    let provider = match named {
        Some(name) => settings.provider(name),
        None => only_provider(settings).and_then(|place| settings.providers.get(place)),
    };
    let Some(provider) = provider else {
        // A preset that the client names and brings the key for, or nobody.
        return named.is_some();
    };
    // Vertex speaks Google's dialect, and has another list of its models elsewhere.
    let has_list = provider.preset != Some("vertex-ai");
    let is_limited = grant.key.as_ref().is_some_and(|key| key.is_limited());
    has_list && !is_limited && provider.dialect == exchange.record.client_format.dialect
}

/// The list, or one entry of it. Only models that the key may use are shown.
pub(super) fn answer(
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
    let mut shown = exchange.snapshot.listing.0.iter().filter(is_shown);
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

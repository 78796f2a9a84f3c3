//! The models that `GET /v1/models` lists.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;
use serde_json::json;

use crate::llm::{Dialect, Mode, ModelCard};
use crate::providers::{
    Auth, ModelResolution, Provider, ProviderSet, preset, providers_with_model, resolve_model, sole,
};

/// When a model was made, which is not known; Anthropic's reference has this for dates it does not
/// know ("List Models", `created_at`).
const CREATED_AT: &str = "1970-01-01T00:00:00Z";

/// The models of all providers, in the order of the settings and then of their lists.
pub struct Listing(pub Vec<ListedModel>);

/// One model at one provider.
pub struct ListedModel {
    pub provider: String,
    /// As the provider calls it.
    pub model: String,
    /// As it can be requested here.
    pub id: String,
    mode: Option<Mode>,
    context_tokens: Option<u64>,
    output_tokens_max: Option<u64>,
    /// The day its vendor takes it away, as `2026-11-30`.
    retires: Option<&'static str>,
    /// The entry in OpenAI's shape, which most clients request.
    json: String,
}

/// The entry in OpenAI's shape, and what is known besides. Prices are dollars for one token, or for
/// one by their names.
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
    pub(crate) fn of(providers: &ProviderSet) -> Self {
        let mut known: HashMap<String, Option<usize>> = HashMap::new();
        let mut listed = Vec::new();
        for (place, provider) in providers.iter().enumerate() {
            let mut seen = HashSet::new();
            for (model, card) in models_of(providers, provider) {
                if !seen.insert(model.clone()) {
                    continue;
                }
                let picked = resolve_model(providers, &model, || {
                    let fresh = || sole(&providers_with_model(providers, &model));
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
    providers: &'s ProviderSet,
    provider: &'s Provider,
) -> Vec<(String, Option<&'s ModelCard>)> {
    let catalog = providers.catalog();
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
    pub(crate) fn is_conversation(&self) -> bool {
        self.mode.is_none_or(|mode| matches!(mode, Mode::Chat | Mode::Responses))
    }

    /// True if `id` is a name of it, with or without its provider's.
    pub(crate) fn has_id(&self, id: &str) -> bool {
        let bare = id.strip_prefix(&self.provider).and_then(|rest| rest.strip_prefix('/'));
        self.id == id || bare == Some(&self.model)
    }

    pub(crate) fn in_shape_of(&self, dialect: Dialect) -> String {
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

//! What is known of the models that are requested, looked up in the catalogue once for each name.
//!
//! A look-up in the catalogue takes up to some microseconds where a name is not written as the vendor
//! writes it, and each request makes several. Here one takes a tenth of a microsecond.

use std::cell::RefCell;
use std::rc::Rc;

use foldhash::HashMap;

use crate::llm::{Dialect, Mode, ModelCard, ModelRules, ResponsesUse, find_rules};
use crate::providers::{Provider, ProviderSet, providers_with_model};

/// Names that are remembered; clients may send any, so all are forgotten when there are more.
const MODELS_MAX: usize = 1024;

/// Longest name that is remembered, in bytes; the catalogue knows none that is longer.
const NAME_BYTES_MAX: usize = 256;

/// What is known of models under one shard's settings.
#[derive(Default)]
pub(crate) struct ModelInfoCache {
    models: RefCell<HashMap<String, ModelInfo>>,
}

#[derive(Default)]
struct ModelInfo {
    /// By provider, those that were requested: at most one for each provider and preset.
    cards: Vec<(String, Option<Rc<ModelCard>>)>,
    providers_with_model: Option<Rc<[usize]>>,
    /// By provider and dialect, those that were requested.
    rules: Vec<(String, Dialect, Rc<ModelRules>)>,
}

impl ModelInfoCache {
    /// The card of a model at a provider; at one that the settings do not name it is a preset's.
    pub(crate) fn find(
        &self,
        providers: &ProviderSet,
        provider: &str,
        model: &str,
    ) -> Option<Rc<ModelCard>> {
        self.with_entry(model, |known| {
            let at = known.cards.iter().position(|(name, _)| name == provider);
            if let Some((_, card)) = at.and_then(|at| known.cards.get(at)) {
                return card.clone();
            }
            let preset = providers.find(provider).map_or(Some(provider), |it| it.preset);
            let card = providers.catalog().find_at(provider, preset, model);
            let card = card.cloned().map(Rc::new);
            known.cards.push((provider.to_owned(), card.clone()));
            card
        })?
    }

    /// See [`providers_with_model`].
    pub(crate) fn providers_with_model(&self, providers: &ProviderSet, model: &str) -> Rc<[usize]> {
        let found = self.with_entry(model, |known| {
            let made = || Rc::from(providers_with_model(providers, model));
            Rc::clone(known.providers_with_model.get_or_insert_with(made))
        });
        found.unwrap_or_default()
    }

    /// What the model accepts at a provider that is called in `dialect`.
    pub(crate) fn rules(
        &self,
        providers: &ProviderSet,
        provider: &Provider,
        dialect: Dialect,
        model: &str,
    ) -> Rc<ModelRules> {
        let found = self.with_entry(model, |known| {
            let is_it = |(name, of, _): &&(String, Dialect, Rc<ModelRules>)| {
                *name == provider.name && *of == dialect
            };
            known.rules.iter().find(is_it).map(|(.., rules)| Rc::clone(rules))
        });
        if let Some(Some(rules)) = found {
            return rules;
        }
        let mut rules = find_rules(provider.preset, dialect, model, &provider.model_rules);
        if let Some(card) = self.find(providers, &provider.name, model) {
            rules.max_tokens_most = card.output_tokens_max();
            if card.mode() == Mode::Responses {
                rules.responses = Some(ResponsesUse::Always);
            }
        }
        let rules = Rc::new(rules);
        let kept = Rc::clone(&rules);
        self.with_entry(model, |known| known.rules.push((provider.name.clone(), dialect, kept)));
        rules
    }

    /// None for a name that is too long to be known.
    fn with_entry<T>(&self, model: &str, read: impl FnOnce(&mut ModelInfo) -> T) -> Option<T> {
        if model.len() > NAME_BYTES_MAX {
            return None;
        }
        let mut models = self.models.borrow_mut();
        if let Some(known) = models.get_mut(model) {
            return Some(read(known));
        }
        if models.len() >= MODELS_MAX {
            models.clear();
        }
        Some(read(models.entry(model.to_owned()).or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    fn settings() -> Settings {
        let is_set = |name: &str| matches!(name, "GROQ_API_KEY" | "OPENAI_API_KEY");
        let environment = |name: &str| is_set(name).then(|| "test-credential".to_owned());
        Settings::load(None, &environment).expect("sound")
    }

    #[test]
    fn remembered_cards_are_those_of_the_catalog() {
        let (settings, cards) = (settings(), ModelInfoCache::default());
        for _ in 0..2 {
            for (provider, model, expected) in [
                ("openai", "gpt-4o", Some("gpt-4o")),
                ("groq", "gpt-4o", None),
                // A preset that a client names and brings the key for.
                ("deepseek", "deepseek-chat", Some("deepseek-chat")),
                ("echo", "gpt-4o", None),
                ("nobody", "gpt-4o", None),
            ] {
                let card = cards.find(&settings.providers, provider, model);
                let name = card.as_ref().map(|card| card.name());
                assert_eq!(name, expected, "{provider}/{model}");
            }
            assert_eq!(cards.providers_with_model(&settings.providers, "gpt-4o").len(), 1);
            assert!(cards.providers_with_model(&settings.providers, "unheard-of").is_empty());
        }
    }

    #[test]
    fn a_client_that_asks_for_many_names_costs_bounded_memory() {
        let (settings, cards) = (settings(), ModelInfoCache::default());
        for number in 0..3 * MODELS_MAX {
            assert!(
                cards.find(&settings.providers, "openai", &format!("model-{number}")).is_none()
            );
            assert!(cards.models.borrow().len() <= MODELS_MAX);
        }
        assert!(
            cards.find(&settings.providers, "openai", &"x".repeat(NAME_BYTES_MAX + 1)).is_none()
        );
        assert!(cards.find(&settings.providers, "openai", "gpt-4o").is_some());
        assert!(cards.models.borrow().keys().all(|name| name.len() <= NAME_BYTES_MAX));
    }
}

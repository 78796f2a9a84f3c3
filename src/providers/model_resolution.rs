//! Which provider a model name means, by the settings alone.

use super::{Origin, Provider, ProviderSet};

/// Prefixes of model names that begin with `@` and name no provider.
const MODEL_PREFIXES: [&str; 2] = ["@cf/", "@hf/"];

/// The provider that a model's name resolves to, by its place in the settings.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ModelResolution<'m> {
    /// The provider, and what it calls the model.
    Provider(usize, &'m str),
    /// There is no provider of the name after the `@`.
    UnknownProvider(&'m str),
    /// No provider, or more than one.
    None,
}

/// Resolves a model's name. `only_with_model` gives the only one of [`providers_with_model`], from memory where that is at hand.
pub(crate) fn resolve_model<'m>(
    providers: &ProviderSet,
    model: &'m str,
    only_with_model: impl FnOnce() -> Option<usize>,
) -> ModelResolution<'m> {
    if let Some(resolution) = by_prefix(providers, model) {
        return resolution;
    }
    let lists = |it: &Provider| it.models.iter().any(|name| name == model);
    let listed = providers.iter().position(|provider| lists(provider));
    let only = || {
        let place = only_provider(providers)?;
        providers.get(place).filter(|it| serves_any(it)).map(|_| place)
    };
    // Where there is one provider only, it is also the only one that can know the model.
    let found = listed.or_else(only).or_else(only_with_model);
    found.map_or(ModelResolution::None, |place| ModelResolution::Provider(place, model))
}

fn by_prefix<'m>(providers: &ProviderSet, model: &'m str) -> Option<ModelResolution<'m>> {
    if MODEL_PREFIXES.iter().any(|prefix| model.starts_with(prefix)) {
        return None;
    }
    let (prefix, rest) = model.split_once('/')?;
    let bare = prefix.strip_prefix('@');
    let name = bare.unwrap_or(prefix);
    match providers.iter().position(|provider| provider.name == name) {
        Some(place) => Some(ModelResolution::Provider(place, rest)),
        // Without `@` it may as well be a part of the model's name, as in `org/model`.
        None => bare.map(ModelResolution::UnknownProvider),
    }
}

/// The only provider there is. The echo counts only where there is no other: it stands in for a
/// provider that is not set up yet.
pub(crate) fn only_provider(providers: &ProviderSet) -> Option<usize> {
    let places = || providers.iter().enumerate();
    let mut real = places().filter(|(_, it)| !is_echo(it)).map(|(place, _)| place);
    match (real.next(), real.next()) {
        (Some(only), None) => Some(only),
        (None, _) if providers.len() == 1 => Some(0),
        _ => None,
    }
}

/// The providers without a list of their own whose preset knows the model. A name in a folder counts
/// only as it is written: `org/model` may as well be meant for a provider that is not set up.
pub(crate) fn providers_with_model(providers: &ProviderSet, model: &str) -> Vec<usize> {
    let knows = |provider: &Provider| {
        let Some(preset) = provider.preset.filter(|_| provider.models.is_empty()) else {
            return false;
        };
        let card = providers.catalog().find_at(&provider.name, Some(preset), model);
        card.is_some_and(|card| !model.contains('/') || card.name().eq_ignore_ascii_case(model))
    };
    let places = providers.iter().enumerate();
    places.filter(|(_, provider)| knows(provider)).map(|(place, _)| place).collect()
}

/// The one of them, if it is one.
pub(crate) fn sole(providers_with_model: &[usize]) -> Option<usize> {
    match providers_with_model {
        [only] => Some(*only),
        _ => None,
    }
}

fn serves_any(provider: &Provider) -> bool {
    provider.models.is_empty() || is_echo(provider)
}

fn is_echo(provider: &Provider) -> bool {
    matches!(provider.origin, Origin::Echo)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::{Diagnostics, Secret};
    use crate::llm::Catalog;
    use crate::providers::{ConfigSources, ProviderSettings};

    /// Providers of these presets, and the echo.
    fn providers(presets: &[&str]) -> ProviderSet {
        let sources = ConfigSources { read_file: &|_| Err(String::new()), environment: &|_| None };
        let provider = |preset: &&str| {
            let api_key = (*preset != "echo").then(|| Secret::new("test-credential".to_owned()));
            let written = Some((*preset).to_owned());
            let written = ProviderSettings { preset: written, api_key, ..Default::default() };
            let provider = written.check(preset, preset, &sources, &mut Diagnostics::default());
            Arc::new(provider.expect("legal settings"))
        };
        let all = presets.iter().chain(&["echo"]).map(provider).collect();
        ProviderSet::new(all, Catalog::default())
    }

    fn resolved_name<'m>(providers: &ProviderSet, model: &'m str) -> Option<(String, &'m str)> {
        match resolve_model(providers, model, || sole(&providers_with_model(providers, model))) {
            ModelResolution::Provider(place, model) => {
                providers.get(place).map(|it| (it.name.clone(), model))
            }
            ModelResolution::UnknownProvider(_) | ModelResolution::None => None,
        }
    }

    #[test]
    fn several_providers() {
        let providers = providers(&["deepseek", "groq", "openai"]);
        for (model, expected) in [
            ("openai/gpt-4o", Some(("openai", "gpt-4o"))),
            ("@groq/openai/gpt-oss-20b", Some(("groq", "openai/gpt-oss-20b"))),
            // The name of a provider comes before that of a model.
            ("openai/gpt-oss-20b", Some(("openai", "gpt-oss-20b"))),
            ("gpt-4o", Some(("openai", "gpt-4o"))),
            ("GPT-4o", Some(("openai", "GPT-4o"))),
            ("gpt-4o-2024-11-20", Some(("openai", "gpt-4o-2024-11-20"))),
            ("deepseek-chat", Some(("deepseek", "deepseek-chat"))),
            ("echo", Some(("echo", "echo"))),
            ("@nobody/gpt-4o", None),
            ("nobody/gpt-4o", None),
            ("@cf/meta/llama", None),
            ("unheard-of", None),
            ("", None),
        ] {
            let expected = expected.map(|(name, model)| (name.to_owned(), model));
            assert_eq!(resolved_name(&providers, model), expected, "{model}");
        }
    }

    #[test]
    fn the_only_provider_serves_any_model() {
        for (presets, name) in [(&["groq"][..], "groq"), (&[], "echo")] {
            let providers = providers(presets);
            for model in ["unheard-of", "nobody/gpt-4o", "gpt-4o"] {
                assert_eq!(resolved_name(&providers, model), Some((name.to_owned(), model)));
            }
            assert_eq!(only_provider(&providers), Some(0));
        }
        assert_eq!(only_provider(&providers(&["groq", "openai"])), None);
    }
}

//! All providers of the settings, with what is known of their models.

use std::sync::Arc;

use foldhash::{HashMap, HashSet};

use super::Provider;
use crate::llm::Catalog;

/// Providers in the order of the settings.
#[derive(Debug)]
pub struct ProviderSet {
    providers: Vec<Arc<Provider>>,
    places: HashMap<String, usize>,
    /// The models that they list.
    models: HashSet<String>,
    catalog: Catalog,
    fingerprint: [u8; 32],
}

impl ProviderSet {
    /// The set of these providers, whose names differ.
    #[must_use]
    pub fn new(providers: Vec<Arc<Provider>>, catalog: Catalog) -> Self {
        let names = providers.iter().enumerate();
        let places = names.map(|(place, it)| (it.name.clone(), place)).collect();
        let models = providers.iter().flat_map(|it| it.models.iter().cloned()).collect();
        let fingerprint = fingerprint(&providers);
        Self { providers, places, models, catalog, fingerprint }
    }

    /// All of them, in the order of the settings.
    pub fn iter(&self) -> std::slice::Iter<'_, Arc<Provider>> {
        self.providers.iter()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.providers.len()
    }

    /// True if there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.providers.is_empty()
    }

    /// The provider at a place in the order of the settings.
    #[must_use]
    pub fn get(&self, place: usize) -> Option<&Arc<Provider>> {
        self.providers.get(place)
    }

    /// The place of the provider of that name, given without `@`.
    #[must_use]
    pub fn place(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }

    /// The provider of that name, given without `@`.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Arc<Provider>> {
        self.get(self.place(name)?)
    }

    /// What is known of models and their prices, with what the operator knows better.
    #[must_use]
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// True if a provider lists that model.
    #[must_use]
    pub fn names_model(&self, model: &str) -> bool {
        self.models.contains(model)
    }

    /// A hash over who may answer and what each is sent besides the request: with another one, stored answers
    /// mean nothing. Credentials are left out: a new one for the same account changes nothing.
    #[must_use]
    pub fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }

    /// This set with the provider of `running` in place of each one that equals it, so that those who compare
    /// by address find it unchanged.
    #[must_use]
    pub fn with_unchanged_of(&self, running: &Self) -> Self {
        let kept = self.iter().map(|provider| {
            let old = running.find(&provider.name).filter(|old| *old == provider);
            Arc::clone(old.unwrap_or(provider))
        });
        Self {
            providers: kept.collect(),
            places: self.places.clone(),
            models: self.models.clone(),
            catalog: self.catalog.clone(),
            fingerprint: self.fingerprint,
        }
    }
}

impl<'a> IntoIterator for &'a ProviderSet {
    type Item = &'a Arc<Provider>;
    type IntoIter = std::slice::Iter<'a, Arc<Provider>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Equal sets have equal providers in the same order, credentials included.
impl PartialEq for ProviderSet {
    fn eq(&self, other: &Self) -> bool {
        self.providers == other.providers && self.catalog == other.catalog
    }
}

fn fingerprint(providers: &[Arc<Provider>]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for provider in providers {
        // Debug hides the values of all fields.
        hasher.update(format!("{provider:?}\n").as_bytes());
        for field in provider.fields.iter().filter(|field| !field.is_credential()) {
            hasher.update(format!("{}: {}\n", field.name, field.value.reveal()).as_bytes());
        }
    }
    *hasher.finalize().as_bytes()
}

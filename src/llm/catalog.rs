//! The catalog: what is known of the models of each vendor, built in and as the operator has it.
//!
//! The built-in part is `models/catalogue.json`, which `scripts/make-catalogue` makes. It is read
//! once, when first needed: names and texts stay slices of the program's own image, so a card
//! costs its prices and little more. Vendors go by the slugs of their presets. No name is trusted:
//! one that nobody has written down is looked for under the names that it may stand for, and what
//! is not found is unknown, not free.

mod abilities;
mod card;
mod hours;
mod names;
mod read;
mod settings;

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, LazyLock};

pub use abilities::{Abilities, Ability};
#[cfg(test)]
pub(in crate::llm) use card::Factors;
pub use card::{CatalogSource, Factor, Mode, ModelCard};
pub use settings::{ModelSettings, PriceSettings, PricedTier};

use names::Lookup;
use read::{BuiltIn, Vendor};

/// Longest name of a model that is looked for, in bytes.
const NAME_BYTES_MAX: usize = 256;

/// Read when first needed: 7 ms and 5 MiB (Zen 4, one core), so not by a request.
static BUILT_IN: LazyLock<BuiltIn> = LazyLock::new(|| {
    read::built_in(include_str!("../../models/catalogue.json"))
        .expect("a test reads the built-in file")
});

/// The names of the built-in part as they are written, of all vendors.
static NAMES: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    let cards = BUILT_IN.vendors.iter().flat_map(|vendor| &vendor.cards);
    cards.map(ModelCard::name).collect()
});

/// What is known of models.
#[derive(Clone, Default, Debug, PartialEq, Eq)]
pub struct Catalog {
    /// The operator's, by the name of a provider or the slug of a preset; sorted by name.
    own: Arc<[Vendor]>,
}

impl Catalog {
    /// The built-in one with the operator's cards before it, each list by the name of a provider or
    /// the slug of a preset.
    #[must_use]
    pub fn with_own(own: BTreeMap<String, Vec<ModelCard>>) -> Self {
        let sorted = own.into_iter().map(|(name, mut cards)| {
            cards.sort_by(|left, right| names::compare(left.name(), right.name()));
            Vendor { name, cards }
        });
        Self { own: sorted.collect() }
    }

    /// The card of a model at a vendor, or at a provider that the operator's part names.
    #[must_use]
    pub fn find(&self, vendor: &str, model: &str) -> Option<&ModelCard> {
        self.find_in([cards(&self.own, vendor), cards(&BUILT_IN.vendors, vendor)], model)
    }

    /// The card of a model at an operator's provider, whose own prices stand before those of its
    /// preset. Without a preset only the operator's own are known, whatever vendor the name recalls.
    #[must_use]
    pub fn find_at(&self, provider: &str, preset: Option<&str>, model: &str) -> Option<&ModelCard> {
        self.find_in(self.lists_at(provider, preset), model)
    }

    /// The models of an operator's provider: its own, those that the operator wrote for its preset,
    /// and the preset's.
    pub fn models_at(
        &self,
        provider: &str,
        preset: Option<&str>,
    ) -> impl Iterator<Item = &ModelCard> {
        let mut seen = HashSet::new();
        let all = self.lists_at(provider, preset).into_iter().flatten();
        all.filter(move |card| seen.insert(card.name().to_ascii_lowercase()))
    }

    fn lists_at(&self, provider: &str, preset: Option<&str>) -> [&[ModelCard]; 3] {
        // Who has no preset is not in the built-in part, which is then not read either.
        match preset {
            Some(slug) => {
                [cards(&self.own, provider), cards(&self.own, slug), cards(&BUILT_IN.vendors, slug)]
            }
            None => [cards(&self.own, provider), &[], &[]],
        }
    }

    /// The name as it is in any of the lists, then what it may stand for.
    fn find_in<'a, const N: usize>(
        &'a self,
        lists: [&'a [ModelCard]; N],
        model: &str,
    ) -> Option<&'a ModelCard> {
        if model.len() > NAME_BYTES_MAX {
            return None;
        }
        let lists = lists.map(Lookup::new);
        let exact = lists.iter().find_map(|list| list.exact(model));
        exact.or_else(|| lists.iter().find_map(|list| list.find(model)))
    }

    /// The models of a vendor, the operator's first.
    pub fn models_of(&self, vendor: &str) -> impl Iterator<Item = &ModelCard> {
        let own = cards(&self.own, vendor);
        let built_in = cards(&BUILT_IN.vendors, vendor);
        let is_own = |name: &str| own.iter().any(|card| card.name().eq_ignore_ascii_case(name));
        own.iter().chain(built_in.iter().filter(move |card| !is_own(card.name())))
    }

    /// The slugs of the vendors of the built-in part, in the order of the alphabet.
    #[must_use]
    pub fn vendors() -> Vec<&'static str> {
        BUILT_IN.vendors.iter().map(|vendor| vendor.name.as_str()).collect()
    }

    /// Where the built-in part comes from.
    #[must_use]
    pub fn sources() -> &'static [CatalogSource] {
        &BUILT_IN.sources
    }

    /// True if a vendor of the built-in part has a model of exactly that name.
    #[must_use]
    pub fn has_name(model: &str) -> bool {
        NAMES.contains(model)
    }

    /// Reads the built-in part now, so that no request has to wait for it.
    pub fn warm() {
        LazyLock::force(&NAMES);
    }
}

/// The cards under a name; none if nobody has that name.
fn cards<'a>(vendors: &'a [Vendor], name: &str) -> &'a [ModelCard] {
    let found = vendors.binary_search_by(|vendor| vendor.name.as_str().cmp(name));
    found.ok().and_then(|index| vendors.get(index)).map_or(&[], |vendor| &vendor.cards)
}

#[cfg(test)]
mod tests;

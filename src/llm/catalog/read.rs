//! Reads the built-in file: one row a line, sorted, without escapes, so that texts are borrowed.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

use super::card::Factors;
use super::hours::Hours;
use super::{Abilities, Ability, CatalogSource, Mode, ModelCard};
use crate::llm::price::{PicoUsd, Prices, Rate};

/// Vendors whose rows leave out no ability to read more than text, so that what is missing cannot be
/// done. Elsewhere the sources have gaps: they know of no Claude at Databricks that sees, and of no
/// Llama 4 at half of its vendors.
const TELL_ALL: [&str; 11] = [
    "anthropic",
    "cerebras",
    "cohere",
    "deepseek",
    "google",
    "groq",
    "minimax",
    "moonshot",
    "openai",
    "x-ai",
    "z-ai",
];

/// The models of one vendor, sorted by name without regard to case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Vendor {
    pub name: String,
    pub cards: Vec<ModelCard>,
}

/// What the program brings.
#[derive(Debug)]
pub(super) struct BuiltIn {
    pub sources: Vec<CatalogSource>,
    /// Sorted by name.
    pub vendors: Vec<Vendor>,
}

/// The built-in part of the catalog from its file.
pub(super) fn built_in(text: &'static str) -> Result<BuiltIn, serde_json::Error> {
    let file: File<'static> = serde_json::from_str(text)?;
    let sources: Vec<CatalogSource> = file
        .sources
        .0
        .into_iter()
        .map(|(name, row)| CatalogSource { name, version: row.version, date: row.date })
        .collect();
    let mut vendors = Vec::new();
    for (name, rows) in file.providers.0 {
        let cards = rows.0.into_iter().map(|(model, row)| row.card(model, &sources));
        let mut cards: Vec<ModelCard> = cards.collect::<Result<_, _>>()?;
        if TELL_ALL.contains(&name) {
            cards.iter_mut().for_each(|card| card.lists_all_abilities = has_a_full_list(card));
        }
        vendors.push(Vendor { name: name.to_owned(), cards });
    }
    Ok(BuiltIn { sources, vendors })
}

/// False for rows that are too thin to conclude from, and for fine-tuned models, whose rows tell their
/// prices and little more.
fn has_a_full_list(card: &ModelCard) -> bool {
    let is_conversation = matches!(card.mode, Mode::Chat | Mode::Responses);
    is_conversation && card.abilities.has(Ability::Tools) && !card.name.starts_with("ft:")
}

#[derive(serde::Deserialize)]
struct File<'a> {
    #[serde(borrow)]
    sources: Entries<'a, SourceRow<'a>>,
    #[serde(borrow)]
    providers: Entries<'a, Entries<'a, Row<'a>>>,
}

#[derive(serde::Deserialize)]
struct SourceRow<'a> {
    version: &'a str,
    date: &'a str,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Row<'a> {
    #[serde(default)]
    mode: Mode,
    context: Option<u32>,
    output: Option<u32>,
    #[serde(default)]
    can: &'a str,
    retires: Option<&'a str>,
    off_peak: Option<&'a str>,
    #[serde(default)]
    factors: Factors,
    from: Option<&'a str>,
    date: Option<&'a str>,
    #[serde(default)]
    prices: Rates,
}

impl Row<'static> {
    fn card(
        self,
        name: &'static str,
        sources: &[CatalogSource],
    ) -> Result<ModelCard, serde_json::Error> {
        let refuse = |what: &str| serde_json::Error::custom(format!("{name}: {what}"));
        let mut abilities = Abilities::default();
        for name in self.can.split(' ').filter(|name| !name.is_empty()) {
            abilities = abilities.with(Ability::named(name).ok_or_else(|| refuse("ability"))?);
        }
        let hours = self.off_peak.map(|text| Hours::parse(text).ok_or_else(|| refuse("hours")));
        // The first source is that of all rows that name none.
        let mut source = match self.from {
            None => sources.first(),
            Some(name) => sources.iter().find(|source| source.name == name),
        }
        .copied()
        .ok_or_else(|| refuse("source"))?;
        source.date = self.date.unwrap_or(source.date);
        Ok(ModelCard {
            name: Cow::Borrowed(name),
            mode: self.mode,
            context_tokens: self.context,
            output_tokens_max: self.output,
            abilities,
            lists_all_abilities: false,
            retires: self.retires,
            off_peak: hours.transpose()?.map(Box::new),
            factors: self.factors,
            source: Some(source),
            prices: Prices::new(self.prices.0),
        })
    }
}

/// The members of an object in the order of the file.
struct Entries<'a, V>(Vec<(&'a str, V)>);

impl<'de: 'a, 'a, V: Deserialize<'de>> Deserialize<'de> for Entries<'a, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members(PhantomData))
    }
}

struct Members<'a, V>(PhantomData<(&'a str, V)>);

impl<'de: 'a, 'a, V: Deserialize<'de>> Visitor<'de> for Members<'a, V> {
    type Value = Entries<'a, V>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Entries(members))
    }
}

/// The prices of a row.
#[derive(Default)]
struct Rates(Vec<Rate>);

impl<'de> Deserialize<'de> for Rates {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let named = Entries::<u64>::deserialize(deserializer)?.0;
        let rates = named.into_iter().map(|(name, pico)| {
            Rate::named(name, PicoUsd::new(pico))
                .ok_or_else(|| Error::custom(format!("`{name}` is no price")))
        });
        rates.collect::<Result<_, _>>().map(Rates)
    }
}

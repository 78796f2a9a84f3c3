//! `[catalogue.PROVIDER."MODEL"]` as written, and its check.
//!
//! Prices are decimals of dollars for a million tokens, held to six places. A float that a file
//! writes with at most fifteen digits is printed back as it was written, so the way over its
//! shortest decimal text is exact.

use std::borrow::Cow;

use super::card::Factors;
use super::{Abilities, Ability, Mode, ModelCard, NAME_BYTES_MAX};
use crate::base::{Diagnostics, did_you_mean, member_path};
use crate::llm::price::{PicoUsd, Prices, Rate, RateKind, Tier};

/// The tiers that a price can be written for.
#[derive(
    Clone, Copy, Default, Debug, serde::Deserialize, serde::Serialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum PricedTier {
    /// At once, as everybody is served.
    #[default]
    Standard,
    /// As part of a batch.
    Batch,
    /// When there is room.
    Flex,
    /// Before others.
    Priority,
}

impl PricedTier {
    fn tier(self) -> Tier {
        match self {
            Self::Standard => Tier::Standard,
            Self::Batch => Tier::Batch,
            Self::Flex => Tier::Flex,
            Self::Priority => Tier::Priority,
        }
    }
}

/// Prices in dollars for a million tokens, with at most 6 decimals. What has no price of its own is
/// billed as what it is a part of: a cache, sound and pictures as input, reasoning as output.
#[derive(Clone, Copy, Default, Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PriceSettings {
    /// Service tier that they hold for, as the answer names it, or a batch.
    pub tier: PricedTier,
    /// They hold for all tokens of a request whose input has more tokens than this. Of several rows
    /// the highest that a request exceeds counts.
    pub above_tokens: u32,
    /// Of the prompt.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub input: Option<f64>,
    /// Of the answer.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub output: Option<f64>,
    /// Read from the vendor's cache.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub cache_read: Option<f64>,
    /// Written to the vendor's cache.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub cache_write: Option<f64>,
    /// Written to the vendor's cache to live an hour.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub cache_write_1h: Option<f64>,
    /// Of sound in the prompt.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub input_audio: Option<f64>,
    /// Of sound in the answer.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub output_audio: Option<f64>,
    /// Of pictures in the prompt.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub input_image: Option<f64>,
    /// Of pictures in the answer.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub output_image: Option<f64>,
    /// Of reasoning, where it is not billed as the rest of the answer.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub reasoning: Option<f64>,
}

impl PriceSettings {
    fn check(&self, path: &str, diagnostics: &mut Diagnostics) -> Vec<Rate> {
        let mut rates = Vec::new();
        for (kind, dollars) in [
            (RateKind::Input, self.input),
            (RateKind::Output, self.output),
            (RateKind::CacheRead, self.cache_read),
            (RateKind::CacheWrite, self.cache_write),
            (RateKind::CacheWrite1h, self.cache_write_1h),
            (RateKind::InputAudio, self.input_audio),
            (RateKind::OutputAudio, self.output_audio),
            (RateKind::InputImage, self.input_image),
            (RateKind::OutputImage, self.output_image),
            (RateKind::Reasoning, self.reasoning),
        ] {
            let Some(dollars) = dollars else { continue };
            let (tier, above_tokens) = (self.tier.tier(), self.above_tokens);
            match PicoUsd::from_dollars_per_million(&dollars.to_string()) {
                Some(price) => rates.push(Rate { tier, above_tokens, kind, price }),
                None => diagnostics.add(
                    &member_path(path, kind.name()),
                    format!("expected dollars with at most 6 decimals, got {dollars}"),
                    "the unit is a million tokens",
                ),
            }
        }
        rates
    }
}

/// What the operator knows better of one model: a negotiated price, a model that is new or their
/// own. PROVIDER is a provider of this file, or a preset for all providers that have it; MODEL is
/// the vendor's name for it. What is left out stays as the built-in catalog has it. Prices are
/// replaced all together, so that no bill is half a list price. The section may be spelled
/// `[catalog.…]` too; a model that is in both is an error.
#[derive(Clone, Default, Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ModelSettings {
    /// Tokens that the model reads at most.
    #[schemars(range(min = 1, max = 4_294_967_295_u64))]
    pub context_tokens: Option<u32>,
    /// Tokens of its longest answer.
    #[schemars(range(min = 1, max = 4_294_967_295_u64))]
    pub output_tokens_max: Option<u32>,
    /// All that it can do: `tools`, `parallel_tools`, `tool_choice`, `vision`, `audio_in`,
    /// `audio_out`, `video_in`, `pdf`, `reasoning`, `json_schema`, `caching`, `web_search`,
    /// `computer_use`, `prefill`, `image_out`, `video_out`.
    pub abilities: Option<Vec<String>>,
    /// What it costs, a row for each tier and bracket, in dollars for a million tokens.
    #[schemars(extend("examples" = [[
        {"input": 2.25, "cache_read": 1.125, "output": 9.0},
        {"tier": "batch", "input": 1.125, "output": 4.5},
    ]]))]
    pub prices: Vec<PriceSettings>,
}

impl ModelSettings {
    /// The checked card, on the ground of the built-in one if there is one.
    #[must_use]
    pub fn check(
        &self,
        model: &str,
        built_in: Option<&ModelCard>,
        path: &str,
        diagnostics: &mut Diagnostics,
    ) -> Option<ModelCard> {
        let before = diagnostics.len();
        if model.is_empty() || model.len() > NAME_BYTES_MAX || model.chars().any(char::is_control) {
            let message = format!("expected a model name of 1 to {NAME_BYTES_MAX} bytes");
            diagnostics.add(path, message, "");
        }
        let abilities =
            self.abilities.as_ref().map(|names| check_abilities(names, path, diagnostics));
        let rates = self.check_prices(path, diagnostics);
        let mut card = built_in.cloned().unwrap_or(ModelCard {
            name: Cow::Borrowed(""),
            mode: Mode::Chat,
            context_tokens: None,
            output_tokens_max: None,
            abilities: Abilities::default(),
            lists_all_abilities: false,
            retires: None,
            off_peak: None,
            factors: Factors::default(),
            source: None,
            prices: Prices::default(),
        });
        card.name = Cow::Owned(model.to_owned());
        card.context_tokens = self.context_tokens.or(card.context_tokens);
        card.output_tokens_max = self.output_tokens_max.or(card.output_tokens_max);
        if let Some(abilities) = abilities {
            (card.abilities, card.lists_all_abilities) = (abilities, true);
        }
        if !rates.is_empty() {
            (card.prices, card.source, card.off_peak) = (Prices::new(rates), None, None);
        }
        (diagnostics.len() == before).then_some(card)
    }

    fn check_prices(&self, path: &str, diagnostics: &mut Diagnostics) -> Vec<Rate> {
        let mut rates: Vec<Rate> = Vec::new();
        let path = member_path(path, "prices");
        for (index, row) in self.prices.iter().enumerate() {
            let path = format!("{path}[{index}]");
            let found = row.check(&path, diagnostics);
            let is_double = |rate: &Rate| {
                let known = |other: &Rate| {
                    (other.tier, other.above_tokens, other.kind)
                        == (rate.tier, rate.above_tokens, rate.kind)
                };
                rates.iter().any(known)
            };
            if let Some(double) = found.iter().find(|rate| is_double(rate)) {
                let message = format!("the price `{}` is given twice", double.name());
                diagnostics.add(&path, message, "two rows need two tiers or two bounds");
            }
            rates.extend(found);
        }
        rates
    }
}

fn check_abilities(names: &[String], path: &str, diagnostics: &mut Diagnostics) -> Abilities {
    let mut abilities = Abilities::default();
    for (index, name) in names.iter().enumerate() {
        match Ability::named(name) {
            Some(ability) => abilities = abilities.with(ability),
            None => {
                let path = format!("{}[{index}]", member_path(path, "abilities"));
                let known = Ability::ALL.iter().map(|(_, name)| *name);
                let message = format!("no ability has the name {}", diagnostics.quote(&path, name));
                diagnostics.add(&path, message, did_you_mean(name, known));
            }
        }
    }
    abilities
}

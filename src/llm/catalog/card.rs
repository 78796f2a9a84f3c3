//! What is known of one model at one vendor.

use std::borrow::Cow;

use super::hours::Hours;
use super::{Abilities, Ability};
use crate::llm::price::Prices;

/// What a model is for.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Conversations.
    #[default]
    Chat,
    /// Conversations, by OpenAI's responses only.
    Responses,
    /// Texts that go on.
    Completion,
    /// Texts to vectors.
    Embedding,
    /// The order of documents by a query.
    Rerank,
    /// Pictures made.
    Image,
    /// Speech to text.
    Transcription,
    /// Text to speech.
    Speech,
    /// Film made.
    Video,
    /// Conversations by voice over one connection.
    Realtime,
    /// Texts judged.
    Moderation,
    /// Pictures of documents to text.
    Ocr,
    /// Searches of the web.
    Search,
}

/// A package that rows of the built-in part come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CatalogSource {
    /// Its name.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// As of when, `YYYY-MM-DD`.
    pub date: &'static str,
}

/// What is known of one model at one vendor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelCard {
    pub(super) name: Cow<'static, str>,
    pub(super) mode: Mode,
    pub(super) context_tokens: Option<u32>,
    pub(super) output_tokens_max: Option<u32>,
    pub(super) abilities: Abilities,
    /// What is not among `abilities` it cannot do.
    pub(super) lists_all_abilities: bool,
    pub(super) retires: Option<&'static str>,
    pub(super) off_peak: Option<Box<Hours>>,
    pub(super) factors: Factors,
    pub(super) source: Option<CatalogSource>,
    pub(super) prices: Prices,
}

/// What multiplies the prices of a model's tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Factor {
    /// Anthropic's fast mode.
    Fast,
    /// Inference in the United States only.
    Us,
}

/// The factors of a model in percent; 0 where it has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::llm) struct Factors {
    #[serde(default)]
    fast: u16,
    #[serde(default)]
    us: u16,
}

impl ModelCard {
    /// The vendor's name for it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is for.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Tokens that it reads at most, if known; vendors differ in whether the answer counts.
    #[must_use]
    pub fn context_tokens(&self) -> Option<u64> {
        self.context_tokens.map(u64::from)
    }

    /// Tokens of its longest answer, if known.
    #[must_use]
    pub fn output_tokens_max(&self) -> Option<u64> {
        self.output_tokens_max.map(u64::from)
    }

    /// What it can do.
    #[must_use]
    pub fn abilities(&self) -> Abilities {
        self.abilities
    }

    /// True if it is known to read nothing but text: no pictures, sound, film or PDF files. Few lists
    /// of abilities are complete, so that false means unknown.
    #[must_use]
    pub fn reads_text_only(&self) -> bool {
        const OTHERS: [Ability; 4] =
            [Ability::Vision, Ability::AudioIn, Ability::VideoIn, Ability::Pdf];
        self.lists_all_abilities && !OTHERS.iter().any(|other| self.abilities.has(*other))
    }

    /// The day its vendor will end it or has ended it, `YYYY-MM-DD`, if known.
    #[must_use]
    pub fn retires(&self) -> Option<&'static str> {
        self.retires
    }

    /// Where the card comes from and as of when; none if the operator wrote its prices.
    #[must_use]
    pub fn source(&self) -> Option<CatalogSource> {
        self.source
    }

    /// What it costs; empty if nobody knows.
    #[must_use]
    pub fn prices(&self) -> &Prices {
        &self.prices
    }

    /// What the prices of its tokens are multiplied by, in percent; 100 where the card knows no factor.
    #[must_use]
    pub fn percent(&self, factor: Factor) -> u64 {
        let percent = match factor {
            Factor::Fast => self.factors.fast,
            Factor::Us => self.factors.us,
        };
        if percent == 0 { 100 } else { u64::from(percent) }
    }

    /// True if the vendor's quiet hours hold at that time, in seconds since 1970.
    #[must_use]
    pub fn is_off_peak(&self, unix_s: u64) -> bool {
        self.off_peak.as_ref().is_some_and(|hours| hours.contain(unix_s))
    }

    /// A card with nothing but prices, and the quiet hours and factors if there are any.
    #[cfg(test)]
    pub(in crate::llm) fn for_tests(prices: Prices, off_peak: &str, factors: Factors) -> Self {
        Self {
            factors,
            name: Cow::Borrowed("a-model"),
            mode: Mode::Chat,
            context_tokens: None,
            output_tokens_max: None,
            abilities: Abilities::default(),
            lists_all_abilities: false,
            retires: None,
            off_peak: Hours::parse(off_peak).map(Box::new),
            source: None,
            prices,
        }
    }
}

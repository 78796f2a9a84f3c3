//! What a call costs: the tokens that were counted, at the prices of the model that answered.
//!
//! Exact: whole numbers only, nothing is rounded. What is not known stays unknown: a part without a
//! price makes the whole cost `None`, never less. Vendors bill a whole request at the prices of the
//! bracket that its input reaches (OpenAI, Anthropic, Google, xAI and Alibaba alike, November 2026),
//! so the bracket is chosen once, by all of the input, cached tokens included.
//!
//! Anthropic multiplies the prices of all tokens for its fast mode and for inference in the United
//! States only; the card has the factors, and a sum that they break rounds up to a pico-dollar.

use super::catalog::{Factor, ModelCard};
use super::price::{PicoUsd, RateKind, Tier};
use super::usage::Usage;

/// On what terms a call was served.
#[derive(Clone, Copy, Default, Debug)]
pub struct PricingTerms {
    /// The tier that the vendor reports, or the requested one where it reports none.
    pub tier: Tier,
    /// When the call was made, in seconds since 1970, for vendors whose prices follow the hour.
    pub at_unix_s: u64,
}

/// What the tokens of one call cost. `None` if a price is missing or the sum is absurd (above 18
/// million dollars).
///
/// A part that the model has no price of its own for is billed as what it is a part of: tokens of a
/// cache, of sound or of pictures as input, reasoning as output. Only writes that live an hour are
/// not billed as shorter ones, since both together have a different price.
#[must_use]
pub fn cost(usage: &Usage, card: &ModelCard, terms: PricingTerms) -> Option<PicoUsd> {
    if usage.has_other_models {
        return None;
    }
    let bill = Bill { card, tier: tier_at(card, terms), input_tokens: usage.input_tokens };
    let input = bill.input(usage)?;
    let output = bill.output(usage)?;
    let mut sum = input.checked_add(output)?;
    for (applies, factor) in [(usage.fast, Factor::Fast), (usage.in_us, Factor::Us)] {
        if applies {
            sum = sum.checked_mul(u128::from(card.percent(factor)))?.div_ceil(100);
        }
    }
    u64::try_from(sum).ok().map(PicoUsd::new)
}

/// What `count` units other than tokens cost: pictures, pages, queries.
#[must_use]
pub fn cost_of_units(
    kind: RateKind,
    count: u64,
    card: &ModelCard,
    terms: PricingTerms,
) -> Option<PicoUsd> {
    if count == 0 {
        return Some(PicoUsd::ZERO);
    }
    card.prices().price(kind, tier_at(card, terms), 0)?.checked_mul(count)
}

/// The tier whose prices hold: the quiet hours are the vendor's to give, not the caller's to ask for.
fn tier_at(card: &ModelCard, terms: PricingTerms) -> Tier {
    match terms.tier {
        Tier::Standard if card.is_off_peak(terms.at_unix_s) => Tier::OffPeak,
        Tier::OffPeak => Tier::Standard,
        tier => tier,
    }
}

/// One call under one list of prices.
struct Bill<'a> {
    card: &'a ModelCard,
    tier: Tier,
    /// All of them, which choose the bracket.
    input_tokens: u64,
}

impl Bill<'_> {
    /// The parts of the input are taken off it one after the other, so that none is billed twice
    /// however they overlap: what was cached may also have been sound.
    fn input(&self, usage: &Usage) -> Option<u128> {
        let write_1h = match self.price(RateKind::CacheWrite) {
            Some(_) => self.price(RateKind::CacheWrite1h),
            None => self.price_or(RateKind::CacheWrite1h, RateKind::Input),
        };
        let parts = [
            (usage.cached_tokens, self.price_or(RateKind::CacheRead, RateKind::Input)),
            (usage.cache_write_tokens, self.price_or(RateKind::CacheWrite, RateKind::Input)),
            (usage.cache_write_1h_tokens, write_1h),
            (usage.input_audio_tokens, self.price_or(RateKind::InputAudio, RateKind::Input)),
            (usage.input_image_tokens, self.price_or(RateKind::InputImage, RateKind::Input)),
        ];
        sum(usage.input_tokens, &parts, self.price(RateKind::Input))
    }

    fn output(&self, usage: &Usage) -> Option<u128> {
        let reasoned = (usage.reasoning_tokens > 0).then(|| self.price(RateKind::OutputReasoned));
        let text = reasoned.flatten().or_else(|| self.price(RateKind::Output));
        let parts = [
            (usage.output_audio_tokens, self.price(RateKind::OutputAudio).or(text)),
            (usage.output_image_tokens, self.price(RateKind::OutputImage).or(text)),
            (usage.reasoning_tokens, self.price(RateKind::Reasoning).or(text)),
        ];
        sum(usage.output_tokens, &parts, text)
    }

    fn price(&self, kind: RateKind) -> Option<PicoUsd> {
        self.card.prices().price(kind, self.tier, self.input_tokens)
    }

    fn price_or(&self, kind: RateKind, whole: RateKind) -> Option<PicoUsd> {
        self.price(kind).or_else(|| self.price(whole))
    }
}

/// The cost of `tokens`, of which the parts have prices of their own; what is none has no price to
/// lack. A price and a count have 64 bits each, and there are six parts, so nothing overflows but a
/// sum that no vendor has ever sent a bill of, which is `None`.
fn sum(tokens: u64, parts: &[(u64, Option<PicoUsd>)], rest: Option<PicoUsd>) -> Option<u128> {
    let mut left = tokens;
    let mut total: u128 = 0;
    let mut add = |count: u64, price: Option<PicoUsd>| {
        if count > 0 {
            let amount = u128::from(count).checked_mul(u128::from(price?.get()))?;
            total = total.checked_add(amount)?;
        }
        Some(())
    };
    for (count, price) in parts {
        let count = (*count).min(left);
        left -= count;
        add(count, *price)?;
    }
    add(left, rest)?;
    Some(total)
}

#[cfg(test)]
mod tests;

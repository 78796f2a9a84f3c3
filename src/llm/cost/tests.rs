//! Bills that were worked by hand, what is unknown, and that every token is billed once.

use super::*;
use crate::llm::catalog::{Catalog, Factors};
use crate::llm::{AnswerOutline, Prices, Rate};
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(serde::Deserialize)]
struct Bills {
    bill: Vec<BillRow>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct BillRow {
    name: String,
    prices: BTreeMap<String, String>,
    reported: Option<String>,
    #[serde(default)]
    counts: BTreeMap<String, u64>,
    #[serde(default)]
    tier: String,
    #[serde(default)]
    at_unix_s: u64,
    #[serde(default)]
    off_peak: String,
    #[serde(default)]
    factors: Factors,
    working: Vec<String>,
    dollars: String,
}

impl BillRow {
    fn usage(&self) -> Usage {
        if let Some(reported) = &self.reported {
            let body = format!(r#"{{"usage":{reported}}}"#);
            let answer = AnswerOutline::read(body.as_bytes()).expect("JSON");
            return answer.usage.expect("counts");
        }
        let count = |name: &str| self.counts.get(name).copied().unwrap_or(0);
        Usage {
            input_tokens: count("input_tokens"),
            output_tokens: count("output_tokens"),
            cached_tokens: count("cached_tokens"),
            cache_write_tokens: count("cache_write_tokens"),
            cache_write_1h_tokens: count("cache_write_1h_tokens"),
            input_audio_tokens: count("input_audio_tokens"),
            input_image_tokens: count("input_image_tokens"),
            reasoning_tokens: count("reasoning_tokens"),
            ..Usage::default()
        }
    }

    /// What the lines of the working add up to, each checked by itself.
    fn worked(&self) -> PicoUsd {
        let mut sum = PicoUsd::ZERO;
        for line in &self.working {
            let (product, micro) = line.split_once(" = ").expect("a product");
            let (tokens, price) = product.split_once(" × ").expect("two factors");
            let price = PicoUsd::from_dollars_per_million(price).expect("a price");
            let amount = price.checked_mul(tokens.parse().expect("a count"));
            // A millionth of a dollar is a million pico-dollars.
            assert_eq!(amount, PicoUsd::from_dollars_per_million(micro), "{}: {line}", self.name);
            sum = amount.and_then(|amount| sum.checked_add(amount)).expect("small");
        }
        sum
    }
}

fn card(prices: &[(&str, PicoUsd)], off_peak: &str) -> ModelCard {
    card_with(prices, off_peak, Factors::default())
}

fn card_with(prices: &[(&str, PicoUsd)], off_peak: &str, factors: Factors) -> ModelCard {
    let rate = |(name, price): &(&str, PicoUsd)| Rate::named(name, *price).expect("a name");
    ModelCard::for_tests(Prices::new(prices.iter().map(rate).collect()), off_peak, factors)
}

#[test]
fn bills_match_manual_calculation() {
    let bills: Bills = toml::from_str(include_str!("bills.toml")).expect("TOML");
    assert!(bills.bill.len() > 20);
    for bill in &bills.bill {
        let price = |text: &str| PicoUsd::from_dollars_per_million(text).expect("a price");
        let prices: Vec<(&str, PicoUsd)> =
            bill.prices.iter().map(|(name, text)| (name.as_str(), price(text))).collect();
        let card = card_with(&prices, &bill.off_peak, bill.factors);
        let terms = PricingTerms { tier: Tier::of_answer(&bill.tier), at_unix_s: bill.at_unix_s };
        let expected = PicoUsd::from_dollars(&bill.dollars);
        assert_eq!(Some(bill.worked()), expected, "{}: the working", bill.name);
        assert_eq!(cost(&bill.usage(), &card, terms), expected, "{}", bill.name);
    }
}

#[test]
fn missing_price_gives_unknown_cost() {
    let one = PicoUsd::new(1);
    let usage =
        |input, output| Usage { input_tokens: input, output_tokens: output, ..Usage::default() };
    let both = [("input", one), ("output", one)];
    let write = [("input", one), ("cache_write", one)];
    let written = Usage { input_tokens: 5, cache_write_1h_tokens: 5, ..Usage::default() };
    for (prices, usage, tier, expected) in [
        (&[][..], usage(1, 0), "", None),
        (&[], usage(0, 0), "", Some(0)),
        (&both[..1], usage(1, 0), "", Some(1)),
        (&both[..1], usage(1, 1), "", None),
        (&both[1..], usage(1, 1), "", None),
        (&both, usage(1, 1), "", Some(2)),
        (&both, usage(1, 1), "priority", None),
        (&both, usage(1, 1), "default", Some(2)),
        (&both, usage(u64::MAX, u64::MAX), "", None),
        (&both, usage(u64::MAX, 0), "", Some(u64::MAX)),
        // An hour's write costs more than a short one; how much, is not known.
        (&write, written, "", None),
        (&write[..1], written, "", Some(5)),
    ] {
        let terms = PricingTerms { tier: Tier::of_answer(tier), at_unix_s: 0 };
        let found = cost(&usage, &card(prices, ""), terms).map(PicoUsd::get);
        assert_eq!(found, expected, "{prices:?} {usage:?} {tier}");
    }
    let most = card(&[("input", PicoUsd::new(u64::MAX)), ("output", PicoUsd::new(u64::MAX))], "");
    assert_eq!(cost(&usage(u64::MAX, u64::MAX), &most, PricingTerms::default()), None);
}

#[test]
fn non_token_units_are_priced() {
    let card = card(&[("per_query", PicoUsd::new(2_000_000_000))], "");
    let cost =
        |kind, count| cost_of_units(kind, count, &card, PricingTerms::default()).map(PicoUsd::get);
    assert_eq!(cost(RateKind::PerQuery, 3), Some(6_000_000_000));
    assert_eq!(cost(RateKind::PerImage, 3), None);
    assert_eq!(cost(RateKind::PerImage, 0), Some(0));
    assert_eq!(cost(RateKind::PerQuery, u64::MAX), None);
}

#[test]
fn catalog_price_factors_apply() {
    let catalog = Catalog::default();
    let percent =
        |model: &str, factor| catalog.find("anthropic", model).expect("a card").percent(factor);
    assert_eq!(percent("claude-opus-4-8", Factor::Fast), 200);
    assert_eq!(percent("claude-opus-5", Factor::Fast), 200);
    assert_eq!(percent("claude-opus-4-8", Factor::Us), 110);
    assert_eq!(percent("claude-sonnet-4-5", Factor::Fast), 100);
    assert_eq!(percent("claude-sonnet-4-5", Factor::Us), 100);
}

#[test]
fn catalog_prices_popular_models() {
    let catalog = Catalog::default();
    let usage =
        Usage { input_tokens: 1_000, cached_tokens: 100, output_tokens: 50, ..Usage::default() };
    for (vendor, model) in [
        ("openai", "gpt-4o"),
        ("anthropic", "claude-sonnet-4-5"),
        ("google", "gemini-2.5-pro"),
        ("bedrock", "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("deepseek", "deepseek-flash"),
        ("groq", "openai/gpt-oss-120b"),
        ("x-ai", "grok-4.7"),
        ("mistral-ai", "mistral-large-latest"),
        ("azure-openai", "gpt-4o"),
        ("openrouter", "openai/gpt-4o"),
    ] {
        let card = catalog.find(vendor, model).unwrap_or_else(|| panic!("{vendor} {model}"));
        let cost = cost(&usage, card, PricingTerms::default()).unwrap_or_else(|| panic!("{model}"));
        // Between a hundredth of a cent for a million tokens and a hundred dollars.
        assert!((105_000..105_000_000_000).contains(&cost.get()), "{model}: {cost}");
    }
}

proptest! {
    /// Where everything costs the same, the parts do not matter, whatever they claim to be: no token
    /// is billed twice and none is forgotten.
    #[test]
    fn every_token_is_billed_once(
        parts in proptest::array::uniform10(0_u64..2_000_000_000_000),
        price in 0_u64..1_000_000,
    ) {
        let [input, output, cached, write, hour, audio, image, out_audio, out_image, reasoning] = parts;
        let usage = Usage {
            input_tokens: input,
            output_tokens: output,
            cached_tokens: cached,
            cache_write_tokens: write,
            cache_write_1h_tokens: hour,
            input_audio_tokens: audio,
            input_image_tokens: image,
            output_audio_tokens: out_audio,
            output_image_tokens: out_image,
            reasoning_tokens: reasoning,
            ..Usage::default()
        };
        let names = [
            "input", "output", "cache_read", "cache_write", "cache_write_1h", "input_audio",
            "output_audio", "input_image", "output_image", "reasoning",
        ];
        let card = card(&names.map(|name| (name, PicoUsd::new(price))), "");
        let expected = PicoUsd::new(price).checked_mul(input + output);
        prop_assert_eq!(cost(&usage, &card, PricingTerms::default()), expected);
    }
}

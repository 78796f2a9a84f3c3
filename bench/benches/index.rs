//! The index by size: µs of a search, recall, bytes and build time of the scan and of the graph.
//!
//! `cargo bench -p bench --bench index -- TEXTS.jsonl... [--sizes N,N] [--graph-max N]`: members `text`, `text_a`,
//! `text_b`, `a` and `b` are embedded by the model that serves. Real texts are few, so the rest of a
//! size is made of them: real vectors with noise that leaves a cosine of about 0.85, each size reported
//! with its share of real ones. Queries are real texts that are not in the index. Needs the model.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use flate2::read::MultiGzDecoder;
use ringgate::cache::index::{Index, Segment, StoredVector, stored};
use ringgate::inference::{DIMENSIONS, Kernels, LocalModel, MODEL_NAME};

/// The product's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SIZES: [usize; 5] = [1_000, 10_000, 100_000, 250_000, 1_000_000];

/// Searches of each size.
const QUERIES: usize = 400;

/// Length of the noise that is added to a vector of length 1: a cosine of 1 / √(1 + 0.62²) = 0.85.
const NOISE: f32 = 0.62;

type Vector = [f32; DIMENSIONS];

fn main() -> Result<()> {
    let (mut files, mut graph_max) = (Vec::new(), 100_000);
    let mut sizes = SIZES.to_vec();
    // Cargo itself adds `--bench`.
    let mut arguments = std::env::args().skip(1).filter(|it| it != "--bench");
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--graph-max" => graph_max = arguments.next().context("expected a number")?.parse()?,
            "--sizes" => {
                let list = arguments.next().context("expected numbers")?;
                sizes = list.split(',').map(str::parse).collect::<Result<_, _>>()?;
            }
            _ => files.push(argument),
        }
    }
    if files.is_empty() {
        bail!("expected files of texts");
    }
    let mut real = embed(&files)?;
    let queries = real.split_off(real.len().saturating_sub(QUERIES));
    let kernels = Kernels::detect();
    println!("{} real vectors, {} queries, kernels {}", real.len(), queries.len(), kernels.name());
    println!("| vectors | real | kind | p50 µs | p99 µs | recall@1 | bytes each | built in |");
    println!("| ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: |");
    let mut vectors: Vec<Vector> = Vec::new();
    let mut noise = SampleRng(0x5eed);
    for size in sizes {
        while vectors.len() < size {
            let at = vectors.len();
            let vector = real[at % real.len()];
            vectors.push(if at < real.len() { vector } else { noise.around(&vector) });
        }
        let nearest = nearest(&vectors, &queries, kernels);
        let share = format!("{:.0} %", 100.0 * real.len().min(size) as f64 / size as f64);
        measure_scan(&vectors, &queries, &nearest, &share, kernels);
        if size <= graph_max {
            measure_graph(&vectors, &queries, &nearest, &share, kernels)?;
        }
    }
    Ok(())
}

/// Every text of the files, once, in an order that mixes the files.
fn embed(files: &[String]) -> Result<Vec<Vector>> {
    let mut texts = BTreeSet::new();
    for file in files {
        let opened = File::open(file).with_context(|| format!("reading {file}"))?;
        let bytes: Box<dyn Read> = if file.ends_with(".gz") {
            Box::new(MultiGzDecoder::new(opened))
        } else {
            Box::new(opened)
        };
        for line in BufReader::new(bytes).lines() {
            let row: serde_json::Value = serde_json::from_str(&line?)?;
            let members = ["text", "text_a", "text_b", "a", "b"];
            let found = members.iter().filter_map(|name| row.get(name)?.as_str());
            texts.extend(found.map(|text| (mixed(text), text.to_owned())));
        }
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models").join(MODEL_NAME);
    let mut model = LocalModel::open(&folder).context("opening the model")?;
    texts.into_iter().map(|(_, text)| Ok(*model.embed(&text)?.as_array())).collect()
}

/// FNV-1a, which is enough to shuffle by.
fn mixed(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// Numbers that look random and are the same in every run.
struct SampleRng(u64);

impl SampleRng {
    /// About normal, of mean 0 and variance 1: the sum of twelve even ones.
    fn number(&mut self) -> f32 {
        let mut sum = -6.0;
        for _ in 0..12 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            sum += (self.0 >> 40) as f32 / 16_777_216.0;
        }
        sum
    }

    fn around(&mut self, vector: &Vector) -> Vector {
        let scale = NOISE / (DIMENSIONS as f32).sqrt();
        let moved = vector.map(|number| number + scale * self.number());
        let length = moved.iter().map(|number| number * number).sum::<f32>().sqrt();
        moved.map(|number| number / length)
    }
}

/// The nearest of each query by the dot products of all.
fn nearest(vectors: &[Vector], queries: &[Vector], kernels: Kernels) -> Vec<u32> {
    let kept: Vec<StoredVector> = vectors.iter().map(stored).collect();
    let best = |query: &Vector| {
        // The nearest by int8 is that by f32 but for ties within rounding, so f32 decides among the
        // best hundred.
        let query_stored = stored(query);
        let mut near: Vec<(i32, u32)> = (0u32..)
            .zip(&kept)
            .map(|(at, other)| (kernels.dot(other, &query_stored), at))
            .collect();
        let top = near.len().min(100);
        near.select_nth_unstable_by(top - 1, |a, b| b.0.cmp(&a.0));
        let exact = |at: u32| dot(&vectors[at as usize], query);
        near[..top]
            .iter()
            .map(|(_, at)| *at)
            .max_by(|a, b| exact(*a).total_cmp(&exact(*b)))
            .unwrap_or(0)
    };
    queries.iter().map(best).collect()
}

fn dot(a: &Vector, b: &Vector) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn measure_scan(
    vectors: &[Vector],
    queries: &[Vector],
    expected: &[u32],
    share: &str,
    kernels: Kernels,
) {
    let (started, mut segment) = (Instant::now(), Segment::new(kernels));
    for (item, vector) in (0u32..).zip(vectors) {
        segment.insert(item, vector);
    }
    let (built, bytes) = (started.elapsed(), segment.bytes());
    let search = |query: &Vector| segment.nearest(query, 4).first().map(|near| near.entry);
    let row = Row { count: vectors.len(), share, kind: "scan", bytes, built };
    row.print(vectors, queries, expected, search);
}

fn measure_graph(
    vectors: &[Vector],
    queries: &[Vector],
    expected: &[u32],
    share: &str,
    kernels: Kernels,
) -> Result<()> {
    let mut index = Index::with_scan_max(kernels, vectors.len());
    for (item, vector) in (0u32..).zip(vectors) {
        index.insert(item, vector);
    }
    let build = index.due().context("expected a build to be due")?;
    let (started, before) = (Instant::now(), resident_bytes()?);
    let sealed = build.run();
    let (built, after) = (started.elapsed(), resident_bytes()?);
    drop(index.install(sealed));
    let search = |query: &Vector| index.nearest(query, 4).first().map(|near| near.entry);
    let bytes = after.saturating_sub(before);
    let row = Row { count: vectors.len(), share, kind: "graph", bytes, built };
    row.print(vectors, queries, expected, search);
    Ok(())
}

/// The results of one kind at one size.
struct Row<'a> {
    count: usize,
    share: &'a str,
    kind: &'a str,
    bytes: usize,
    built: Duration,
}

impl Row<'_> {
    fn print(
        &self,
        vectors: &[Vector],
        queries: &[Vector],
        expected: &[u32],
        mut search: impl FnMut(&Vector) -> Option<u32>,
    ) {
        for query in queries.iter().take(50) {
            search(query);
        }
        let (mut times, mut right) = (Vec::with_capacity(queries.len()), 0);
        for (query, expected) in queries.iter().zip(expected) {
            let started = Instant::now();
            let found = search(query);
            times.push(started.elapsed().as_nanos() as f64 / 1e3);
            // Another one that is as near is as good.
            let near = |item: u32| dot(&vectors[item as usize], query);
            right += usize::from(found.is_some_and(|found| near(found) >= near(*expected) - 1e-4));
        }
        times.sort_by(f64::total_cmp);
        let Self { count, share, kind, bytes, built } = self;
        println!(
            "| {count} | {share} | {kind} | {:.1} | {:.1} | {:.4} | {} | {:.1} s |",
            times[times.len() / 2],
            times[times.len() * 99 / 100],
            right as f64 / queries.len() as f64,
            bytes / count,
            built.as_secs_f64()
        );
    }
}

/// Memory of this process, from Linux.
fn resident_bytes() -> Result<usize> {
    let pages: usize = std::fs::read_to_string("/proc/self/statm")?
        .split(' ')
        .nth(1)
        .context("expected a second number")?
        .parse()?;
    Ok(pages * 4_096)
}

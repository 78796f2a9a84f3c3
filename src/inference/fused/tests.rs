//! The fused pass against plain arithmetic, other instruction sets, and candle.
#![allow(clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::path::Path;

use super::linear::{Activation, Activations, Linear, PackedLinear, Quantize};
use super::simd::{Simd, Stage, power_of_two, row_groups};
use super::{avx2::Avx2, avx512::Avx512, instruction_sets};
use crate::inference::samples::{SampleFolder, SampleRng, VOCABULARY};
use crate::inference::{
    Checkpoint, EmbedError, Embedder, Embedding, LocalModel, TOKENS_MAX, TokenIds, candle,
};

/// Runs a check on each instruction set of this machine.
macro_rules! on_each_set {
    ($check:ident) => {
        if let Some(simd) = Avx512::detect() {
            $check(simd);
        }
        if let Some(simd) = Avx2::detect() {
            $check(simd);
        }
    };
}

/// Any row count, tile rest included, is the exact sum of the rounded numbers.
fn check_linear<S: Simd>(simd: S) {
    let (inputs, outputs) = (64, 96);
    let mut noise = SampleRng::new(7);
    let weights = noise.numbers(inputs * outputs, 1.0);
    let bias = noise.numbers(outputs, 1.0);
    let layer = PackedLinear::pack::<S>(&weights, bias.clone());
    for rows in 1..=19 {
        // Rows of very different size, and the extremes that could saturate.
        let mut input = noise.numbers(rows * inputs, 1000.0 / rows as f32);
        input[..inputs].iter_mut().for_each(|number| *number = number.signum());
        let mut int8 = Activations::with_room(rows, inputs);
        let mut output = vec![f32::NAN; rows * outputs];
        simd.launch(Quantize { inputs, rows: &input, into: &mut int8 });
        let activation = Activation::Identity;
        simd.launch(Linear { layer: &layer, input: &int8, activation, output: &mut output });
        for (row, outputs_found) in input.chunks(inputs).zip(output.chunks(outputs)) {
            for (output, found) in outputs_found.iter().enumerate() {
                let weights = &weights[output * inputs..][..inputs];
                let expected = rounded_product(row, weights) + bias[output];
                let close = 1e-4 * expected.abs().max(1.0);
                assert!((found - expected).abs() <= close, "{rows} rows: {found} {expected}");
            }
        }
    }
}

/// An outlier costs the other numbers of its row no precision, at any position.
fn check_peak<S: Simd>(simd: S) {
    let (inputs, outputs) = (64, 96);
    let mut noise = SampleRng::new(11);
    let weights = noise.numbers(inputs * outputs, 1.0);
    let layer = PackedLinear::pack::<S>(&weights, vec![0.0; outputs]);
    for (place, peak) in [(0, 15.0), (37, -15.0), (63, 9.3)] {
        let mut row = noise.numbers(inputs, 1.0);
        row[place] = peak;
        let mut int8 = Activations::with_room(1, inputs);
        let mut output = vec![f32::NAN; outputs];
        simd.launch(Quantize { inputs, rows: &row, into: &mut int8 });
        let activation = Activation::Identity;
        simd.launch(Linear { layer: &layer, input: &int8, activation, output: &mut output });
        for (weights, found) in weights.chunks(inputs).zip(output) {
            let expected: f32 = row.iter().zip(weights).map(|(a, b)| a * b).sum();
            // Half a step of each number times the other, at most: 64 × (1 ÷ 254) for the row, and
            // for the weights the row's whole magnitude over 254.
            let size: f32 = row.iter().map(|it| it.abs()).sum();
            let close = (inputs as f32 + size) / 254.0;
            assert!((found - expected).abs() <= close, "peak {peak}: {found} {expected}");
        }
    }
}

#[test]
fn row_overflow_is_exact() {
    on_each_set!(check_peak);
}

/// The product of two vectors, each rounded to int8 by its own scale.
fn rounded_product(a: &[f32], b: &[f32]) -> f32 {
    let scale = |it: &[f32]| it.iter().fold(0_f32, |largest, it| largest.max(it.abs())) / 127.0;
    let (a_scale, b_scale) = (scale(a), scale(b));
    // The rows are multiplied by the scale's reciprocal, the weights are divided by it.
    let a_steps = a.iter().map(|it| f64::from((it * (1.0 / a_scale)).round_ties_even()));
    let sum: f64 = a_steps.zip(b).map(|(a, b)| a * f64::from((b / b_scale).round())).sum();
    (sum * f64::from(a_scale) * f64::from(b_scale)) as f32
}

#[test]
fn linear_layers_are_exact_in_their_int8() {
    on_each_set!(check_linear);
}

/// Writes 2^x over its input.
struct Powers<'a>(&'a mut [f32]);

impl Stage for Powers<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for lanes in self.0.chunks_exact_mut(S::LANES) {
            simd.store(power_of_two(simd, simd.load(lanes)), lanes);
        }
    }
}

fn check_powers<S: Simd>(simd: S) {
    let inputs: Vec<f32> = (0..4096).map(|step| step as f32 / 17.0 - 120.0).collect();
    let mut powers = inputs.clone();
    simd.launch(Powers(&mut powers));
    for (x, found) in inputs.iter().zip(powers) {
        let expected = f64::from(*x).exp2();
        let error = (f64::from(found) / expected - 1.0).abs();
        assert!(error < 3e-7, "2^{x}: {found}, expected {expected}");
    }
}

#[test]
fn exp_is_within_its_error() {
    on_each_set!(check_powers);
}

/// A layer of one weight, to see the activation alone.
fn check_gelu<S: Simd>(simd: S) {
    let outputs = 96;
    let bias: Vec<f32> = (0..outputs).map(|step| step as f32 / 6.0 - 8.0).collect();
    let layer = PackedLinear::pack::<S>(&vec![0.0; outputs * 32], bias.clone());
    let int8 = Activations::with_room(1, 32);
    let mut output = vec![f32::NAN; outputs];
    let activation = Activation::Gelu;
    simd.launch(Linear { layer: &layer, input: &int8, activation, output: &mut output });
    for (x, found) in bias.iter().zip(output) {
        let expected = x * normal_distribution(f64::from(*x)) as f32;
        let tolerance = 4e-5 + 1e-4 * expected.abs();
        assert!((found - expected).abs() < tolerance, "{x}: {found}, expected {expected}");
    }
}

/// Φ, by the midpoint rule.
fn normal_distribution(x: f64) -> f64 {
    let steps = 20_000;
    let width = x / f64::from(steps);
    let density = |at: f64| (-at * at / 2.0).exp() / std::f64::consts::TAU.sqrt();
    0.5 + (0..steps).map(|step| density((f64::from(step) + 0.5) * width) * width).sum::<f64>()
}

#[test]
fn gelu_matches_the_normal_distribution() {
    on_each_set!(check_gelu);
}

#[test]
fn row_groups_cover_all_rows_once() {
    for count in 1..100 {
        let groups: Vec<_> = row_groups(count, 8).collect();
        assert!(groups.iter().all(|group| (1..=8).contains(&group.len())), "{count}: {groups:?}");
        assert!(groups.into_iter().flatten().eq(0..count), "{count}");
    }
}

fn ids(count: usize) -> TokenIds {
    TokenIds((0..count).map(|index| ((index * 7 + count) % VOCABULARY) as u32).collect())
}

fn embed(embedder: &mut dyn Embedder, ids: TokenIds) -> Embedding {
    embedder.embed(&[ids]).expect("good ids").pop().expect("one vector")
}

#[test]
fn output_matches_reference_at_every_length() {
    let folder = SampleFolder::new();
    let checkpoint = Checkpoint::open(folder.path()).expect("the small model");
    let mut reference = candle::open(&checkpoint).expect("candle");
    for set in instruction_sets() {
        let mut fused = (set.open)(&checkpoint).expect("fused");
        // A long one first, so that the short ones reuse dirty memory.
        for count in [TOKENS_MAX, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65, 129] {
            let found = embed(&mut *fused, ids(count));
            let cosine = found.cosine(&embed(&mut *reference, ids(count)));
            assert!(cosine > 0.995, "{}, {count} tokens: {cosine}", set.name);
            assert!((found.cosine(&found) - 1.0).abs() < 1e-5, "{}: length 1", set.name);
            let again = embed(&mut *fused.share(), ids(count));
            assert_eq!(again, found, "{}, {count} tokens: another thread's", set.name);
        }
    }
}

#[test]
fn invalid_input_is_rejected() {
    let folder = SampleFolder::new();
    let checkpoint = Checkpoint::open(folder.path()).expect("the small model");
    let unknown = TokenIds(vec![2, VOCABULARY as u32, 3]);
    let cases = [
        (TokenIds::default(), EmbedError::TokenCount { count: 0 }),
        (ids(TOKENS_MAX + 1), EmbedError::TokenCount { count: TOKENS_MAX + 1 }),
        (unknown, EmbedError::TokenId { id: VOCABULARY as u32, vocabulary: VOCABULARY }),
    ];
    let mut embedders = vec![candle::open(&checkpoint).expect("candle")];
    embedders.extend(instruction_sets().iter().map(|it| (it.open)(&checkpoint).expect("fused")));
    for embedder in &mut embedders {
        for (sequence, error) in &cases {
            assert_eq!(embedder.embed(std::slice::from_ref(sequence)).as_ref(), Err(error));
        }
        assert_eq!(embedder.embed(&[]), Ok(Vec::new()));
    }
}

#[test]
fn real_model_matches_reference() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/all-minilm-l6-v2");
    if !directory.join("model.safetensors").exists() {
        println!("skipped: no model; `ringgate models fetch` brings it");
        return;
    }
    let checkpoint = Checkpoint::open(&directory).expect("the model");
    let mut reference = candle::open(&checkpoint).expect("candle");
    let model = LocalModel::open(&directory).expect("the model");
    for set in instruction_sets() {
        let mut fused = (set.open)(&checkpoint).expect("fused");
        for sentence in SENTENCES {
            let ids = model.tokenizer.encode(sentence).expect("ids");
            let found = embed(&mut *fused, ids.clone());
            let cosine = found.cosine(&embed(&mut *reference, ids));
            assert!(cosine >= 0.99, "{}, {sentence:?}: {cosine}", set.name);
        }
    }
}

const SENTENCES: &[&str] = &[
    "How do I reset my password?",
    "What is the capital of Australia, and how many people live there?",
    "hi",
    "Write a function in Rust that merges two sorted lists without allocating.",
    "Can I return a pair of shoes after 30 days if I have lost the receipt?",
    "Why does the moon look larger near the horizon",
    "Summarise: the committee met on Tuesday, agreed on nothing, and will meet again.",
    "SELECT name FROM users WHERE age > 21 ORDER BY name;",
    "¿Dónde está la biblioteca? 图书馆在哪里?",
    "",
];

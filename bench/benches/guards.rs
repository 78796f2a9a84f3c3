//! What the guards of the semantic cache cost: the profile of a text, and the check of a pair.
//!
//! `cargo bench -p bench --bench guards`: over the texts and pairs of `bench/pairs`. Times are for one
//! text or one pair, the mean over all of them.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringgate::cache::guards::check;
use ringgate::cache::profile::Profile;

/// The product's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The two texts of each pair.
fn pairs() -> Vec<(String, String)> {
    let lines = include_str!("../pairs/near_questions.jsonl").lines();
    let text = |pair: &serde_json::Value, key: &str| {
        pair[key].as_str().expect("each pair has two texts").to_owned()
    };
    lines
        .map(|line| {
            let pair = serde_json::from_str(line).expect("a pair a line");
            (text(&pair, "a"), text(&pair, "b"))
        })
        .collect()
}

fn guards(criterion: &mut Criterion) {
    let pairs = pairs();
    let profiles: Vec<(Profile, Profile)> =
        pairs.iter().map(|(a, b)| (Profile::of(a), Profile::of(b))).collect();
    let mut group = criterion.benchmark_group("guards");
    group.throughput(Throughput::Elements(2 * pairs.len() as u64));
    group.bench_function("profile", |bencher| {
        bencher.iter(|| {
            for (a, b) in &pairs {
                black_box((Profile::of(a), Profile::of(b)));
            }
        });
    });
    group.throughput(Throughput::Elements(pairs.len() as u64));
    group.bench_function("pair", |bencher| {
        bencher.iter(|| {
            for (a, b) in &profiles {
                black_box(check(a, b));
            }
        });
    });
    group.finish();
}

criterion_group!(benches, guards);
criterion_main!(benches);

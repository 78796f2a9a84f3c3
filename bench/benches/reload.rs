//! What new settings with 100,000 virtual keys cost: the control thread, which reads and prepares them,
//! and a shard, which takes them over between two requests; once with all of them new, and once with one key
//! changed.
//!
//! `cargo bench -p bench --bench reload`

use std::fmt::Write;
use std::hint::black_box;
use std::sync::Arc;

use anyhow::Result;
use criterion::{Criterion, criterion_group, criterion_main};
use ringgate::base::Instant;
use ringgate::config::Settings;
use ringgate::control::{PreparedSettings, prepare_settings};
use ringgate::gateway::{ENDPOINT_NAMES, Simulation};
use ringgate::keys::{KeyChange, KeyHash, VirtualKey};
use ringgate::routing::TargetRegistry;
use ringgate::telemetry::MetricsRegistry;

/// The product's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const KEYS: usize = 100_000;

/// Ten providers, and a key for each number; all keys have that team.
fn load(team: &str) -> Result<Settings> {
    let mut text = String::new();
    for number in 0..10 {
        writeln!(text, "[providers.p{number}]\npreset = \"echo\"")?;
    }
    for number in 0..KEYS {
        let hash = KeyHash::of(secret(number).as_bytes()).to_text();
        writeln!(text, "[keys.k{number}]\nhash = \"{hash}\"\nmetadata = {{ team = \"{team}\" }}")?;
    }
    let file = std::env::temp_dir().join(format!("ringgate-bench-{}.toml", std::process::id()));
    std::fs::write(&file, text)?;
    let settings = Settings::load(Some(&file), &|_| None);
    std::fs::remove_file(&file)?;
    Ok(settings?)
}

fn secret(number: usize) -> String {
    format!("key {number}")
}

fn prepare(settings: Settings) -> PreparedSettings {
    prepare_settings(settings, &TargetRegistry::new(Instant::now())).expect("settings without TLS")
}

/// These settings with another name for one key.
fn with_key_renamed(prepared: &PreparedSettings, name: &str) -> PreparedSettings {
    let keys = &prepared.settings().keys;
    let key = keys.find(secret(5).as_bytes()).expect("a key of that secret");
    let renamed = VirtualKey { name: Arc::from(name), ..VirtualKey::clone(key) };
    prepared.with_keys(keys.with_changes([KeyChange::Set(Arc::new(renamed))]))
}

fn reload(criterion: &mut Criterion) {
    let loaded = ["a", "b"].map(|team| load(team).expect("legal settings"));
    let [first, other] = loaded.clone().map(prepare);
    let renamed = ["x", "y"].map(|name| Arc::new(with_key_renamed(&first, name)));
    let with_one_changed = renamed[0].settings().clone();
    let all_new = [first, other].map(Arc::new);
    let simulation = Simulation::new(&all_new[0], &MetricsRegistry::new(1, ENDPOINT_NAMES))
        .expect("settings without TLS");
    let take = |settings: &Arc<PreparedSettings>| simulation.take_settings(settings);
    let mut group = criterion.benchmark_group("reload of 100,000 keys");
    group.sample_size(10);
    group.bench_function("control thread: read, prepare", |bencher| {
        bencher.iter(|| black_box(load("a").map(prepare)));
    });
    let update = |settings: &Settings| all_new[0].updated(settings.clone());
    group.bench_function("control thread: compare, all keys changed", |bencher| {
        bencher.iter(|| black_box(update(&loaded[1])));
    });
    group.bench_function("control thread: compare, one key changed", |bencher| {
        bencher.iter(|| black_box(update(&with_one_changed)));
    });
    group.bench_function("control thread: publish one key", |bencher| {
        bencher.iter(|| black_box(with_key_renamed(&renamed[1], "z")));
    });
    group.bench_function("shard: all new", |bencher| {
        let mut newest = all_new.iter().cycle();
        bencher.iter(|| newest.next().map(take));
    });
    group.bench_function("shard: one key changed", |bencher| {
        let mut newest = renamed.iter().cycle();
        bencher.iter(|| newest.next().map(take));
    });
    group.finish();
}

criterion_group!(benches, reload);
criterion_main!(benches);

//! What new settings with 100,000 virtual keys cost: the control thread, which reads and prepares them,
//! and a shard, which takes them over between two requests.
//!
//! `cargo bench -p bench --bench reload`

use std::fmt::Write;
use std::hint::black_box;
use std::sync::Arc;

use anyhow::Result;
use criterion::{Criterion, criterion_group, criterion_main};
use ringgate::base::Instant;
use ringgate::config::Settings;
use ringgate::gateway::{ENDPOINT_NAMES, PreparedSettings, Simulation, prepare_settings};
use ringgate::keys::KeyHash;
use ringgate::routing::TargetRegistry;
use ringgate::telemetry::MetricsRegistry;

/// The product's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const KEYS: usize = 100_000;

/// Ten providers, and a key for each number.
fn prepare() -> Result<Arc<PreparedSettings>> {
    let mut text = String::new();
    for number in 0..10 {
        writeln!(text, "[providers.p{number}]\npreset = \"echo\"")?;
    }
    for number in 0..KEYS {
        let hash = KeyHash::of(format!("key {number}").as_bytes()).to_text();
        writeln!(text, "[keys.k{number}]\nhash = \"{hash}\"\nmetadata = {{ team = \"a\" }}")?;
    }
    let file = std::env::temp_dir().join(format!("ringgate-bench-{}.toml", std::process::id()));
    std::fs::write(&file, text)?;
    let settings = Settings::load(Some(&file), &|_| None);
    std::fs::remove_file(&file)?;
    Ok(Arc::new(prepare_settings(Arc::new(settings?), &TargetRegistry::new(Instant::now()))?))
}

fn reload(criterion: &mut Criterion) {
    let both = [(); 2].map(|()| prepare().expect("legal settings"));
    let simulation = Simulation::new(&both[0], &MetricsRegistry::new(1, ENDPOINT_NAMES))
        .expect("settings without TLS");
    let mut group = criterion.benchmark_group("reload of 100,000 keys");
    group.sample_size(10);
    group.bench_function("control thread", |bencher| bencher.iter(|| black_box(prepare())));
    group.bench_function("shard", |bencher| {
        let mut newest = both.iter().cycle();
        bencher.iter(|| newest.next().map(|settings| simulation.take_settings(settings)));
    });
    group.finish();
}

criterion_group!(benches, reload);
criterion_main!(benches);

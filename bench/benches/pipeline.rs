//! Wall-clock time of each step of the request pipeline and of the whole, for a person to read.
//!
//! On a machine that others use, only large differences mean something; `instructions.rs` counts
//! the same work exactly.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bench::{
    EventsStep, FinishStep, Job, KEY_SECRET, Pipeline, RequestHeadStep, ResponseHeadStep, ScanStep,
    SpliceStep, on_shard, publish_settings,
};
use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use ringgate::control::PreparedSettings;

/// The product's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Events of a burst that the relay is measured with.
const BURST: usize = 32;

criterion_group!(benches, steps, pipeline);
criterion_main!(benches);

fn steps(criterion: &mut Criterion) {
    let mut request = RequestHeadStep::default();
    criterion.bench_function("request head", |bencher| bencher.iter(|| request.run()));
    let mut response = ResponseHeadStep::default();
    criterion.bench_function("response head", |bencher| bencher.iter(|| response.run()));
    for body_bytes in [600, 2_000, 20_000, 100_000] {
        let mut scan = ScanStep::new(body_bytes);
        let name = BenchmarkId::new("JSON scan", body_bytes);
        criterion.bench_with_input(name, &(), |bencher, ()| bencher.iter(|| scan.run()));
    }
    let mut splice = SpliceStep::default();
    criterion.bench_function("splice of 2 edits", |bencher| bencher.iter(|| splice.run()));
    let mut events = EventsStep::new(BURST);
    criterion.bench_function("relay of 32 events", |bencher| bencher.iter(|| events.run()));
    let settings = settings();
    let keys = &settings.settings().keys;
    criterion.bench_function("key look-up", |bencher| {
        bencher.iter(|| black_box(keys.find(black_box(KEY_SECRET.as_bytes()))).is_some());
    });
    let finish = FinishStep::default();
    criterion.bench_function("telemetry finish", |bencher| {
        bencher.iter_batched(|| finish.event(), |event| finish.run(event), BatchSize::SmallInput);
    });
}

fn pipeline(criterion: &mut Criterion) {
    let settings = settings();
    for (name, job) in [
        ("pipeline, 1 JSON request", Job::Json(1)),
        ("pipeline, 10 pipelined JSON requests", Job::Json(10)),
        ("pipeline, a stream of 100 events", Job::Events(100)),
    ] {
        criterion.bench_function(name, |bencher| {
            bencher.iter_custom(|rounds| serve(&settings, job, rounds));
        });
    }
}

/// Time spent serving `job` so many times; making its messages is not counted.
fn serve(settings: &Arc<PreparedSettings>, job: Job, rounds: u64) -> Duration {
    let settings = Arc::clone(settings);
    let served = on_shard(move || async move {
        let pipeline = Pipeline::warmed(&settings).await.expect("the pipeline serves its jobs");
        let mut total = Duration::ZERO;
        for _ in 0..rounds {
            let (script, tape) = pipeline.prepare(job);
            let begun = Instant::now();
            pipeline.serve(script, tape).await;
            total += begun.elapsed();
        }
        total
    });
    served.expect("a shard")
}

fn settings() -> Arc<PreparedSettings> {
    publish_settings().expect("legal settings")
}

//! Instructions of each step of the request pipeline and of the whole, counted under callgrind.
//!
//! The counts do not depend on what else the machine does, so they can be compared from commit to
//! commit. Every step is warmed up before it is counted. Of the pipeline, only what runs inside
//! [`poll_counted`] is counted: not the runtime around it, and not the making of its messages.

#![expect(missing_docs, reason = "the macros make public items without a word")]
#![expect(
    clippy::disallowed_methods,
    reason = "the main function made by a macro ends with `exit`"
)]

use std::future::poll_fn;
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bench::{
    EventsStep, FinishStep, Job, KEY_SECRET, Pipeline, RequestHeadStep, ResponseHeadStep, ScanStep,
    SpliceStep, on_shard, publish_settings,
};
use gungraun::{
    Callgrind, EntryPoint, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main,
};
use ringgate::control::PreparedSettings;
use ringgate::telemetry::RequestEvent;

/// The product's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

main!(library_benchmark_groups = steps, whole);

library_benchmark_group!(
    name = steps,
    benchmarks = [request_head, response_head, json_scan, splice, events, key, finish]
);

library_benchmark_group!(name = whole, benchmarks = pipeline);

fn warm_request_head() -> RequestHeadStep {
    let mut step = RequestHeadStep::default();
    assert!(step.run().is_some());
    step
}

#[library_benchmark]
#[bench::one(warm_request_head())]
fn request_head(mut step: RequestHeadStep) -> (Option<usize>, RequestHeadStep) {
    (step.run(), step)
}

fn warm_response_head() -> ResponseHeadStep {
    let mut step = ResponseHeadStep::default();
    assert!(step.run().is_some());
    step
}

#[library_benchmark]
#[bench::one(warm_response_head())]
fn response_head(mut step: ResponseHeadStep) -> (Option<usize>, ResponseHeadStep) {
    (step.run(), step)
}

fn warm_scan(body_bytes: usize) -> ScanStep {
    let mut step = ScanStep::new(body_bytes);
    assert!(step.run().is_some());
    step
}

#[library_benchmark]
#[bench::kb_0_6(warm_scan(600))]
#[bench::kb_2(warm_scan(2_000))]
#[bench::kb_20(warm_scan(20_000))]
#[bench::kb_100(warm_scan(100_000))]
fn json_scan(mut step: ScanStep) -> impl Sized {
    (step.run(), step)
}

fn warm_splice() -> SpliceStep {
    let mut step = SpliceStep::default();
    assert!(step.run() > 2_000);
    step
}

#[library_benchmark]
#[bench::two_edits(warm_splice())]
fn splice(mut step: SpliceStep) -> (usize, SpliceStep) {
    (step.run(), step)
}

fn warm_events(events: usize) -> EventsStep {
    let mut step = EventsStep::new(events);
    assert!(step.run() > 0);
    step
}

#[library_benchmark]
#[bench::burst_32(warm_events(32))]
fn events(mut step: EventsStep) -> (usize, EventsStep) {
    (step.run(), step)
}

fn warm_keys() -> Arc<PreparedSettings> {
    let published = publish_settings().expect("legal settings");
    assert!(published.settings().keys.find(KEY_SECRET.as_bytes()).is_some());
    published
}

#[library_benchmark]
#[bench::one(warm_keys())]
fn key(published: Arc<PreparedSettings>) -> (bool, Arc<PreparedSettings>) {
    let found = published.settings().keys.find(black_box(KEY_SECRET.as_bytes())).is_some();
    (found, published)
}

fn warm_finish() -> (FinishStep, RequestEvent) {
    let step = FinishStep::default();
    step.run(step.event());
    let event = step.event();
    (step, event)
}

#[library_benchmark]
#[bench::one(warm_finish())]
fn finish((step, event): (FinishStep, RequestEvent)) -> FinishStep {
    step.run(event);
    step
}

#[library_benchmark(
    config = LibraryBenchmarkConfig::default().tool(
        Callgrind::default().entry_point(EntryPoint::Custom("*poll_counted*".to_owned()))
    )
)]
#[bench::json_1(Job::Json(1))]
#[bench::json_10(Job::Json(10))]
#[bench::events_1(Job::Events(1))]
#[bench::events_100(Job::Events(100))]
fn pipeline(job: Job) {
    let published = publish_settings().expect("legal settings");
    let served = on_shard(move || async move {
        let pipeline = Pipeline::warmed(&published).await.expect("the pipeline serves its jobs");
        let (script, tape) = pipeline.prepare(job);
        let mut serving = pin!(pipeline.serve(script, tape));
        poll_fn(|context| poll_counted(serving.as_mut(), context)).await;
    });
    served.expect("a shard");
}

/// Named for callgrind, which counts while it is on the stack.
#[inline(never)]
fn poll_counted<F: Future>(future: Pin<&mut F>, context: &mut Context<'_>) -> Poll<F::Output> {
    // Kept from becoming a jump, after which it would not be on the stack.
    black_box(future.poll(context))
}

//! What a choice costs: from the plan of a request to its first target and the permit to ask it, for each
//! strategy over ten targets and for a tree three groups deep; and what an inline config costs, read for
//! the first time and remembered. Microseconds of one thread, the median of 31 rounds.

use std::hint::black_box;
use std::sync::Arc;

use ringgate::base::{IdSource, Instant};
use ringgate::routing::{
    ActiveRoute, Attributes, Field, NextStep, Plan, Route, Target, TargetRegistry,
};

/// The product's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 31;
const REPEATS: u32 = 2_000;

/// A request that says who sends it.
struct BenchRequest;

impl Attributes for BenchRequest {
    fn value(&self, field: &Field) -> Option<serde_json::Value> {
        (*field == Field::Metadata("user".to_owned())).then(|| "user-7".into())
    }

    fn is_able(&self, _: &Target) -> bool {
        true
    }

    fn price(&self, target: &Target) -> Option<u64> {
        Some(target.path.len() as u64)
    }
}

fn main() {
    // `cargo test --benches` only wants to see it start.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    println!("| choice | µs |\n| --- | ---: |");
    let flat = targets(10);
    for strategy in [
        r#"{"mode":"fallback"}"#,
        r#"{"mode":"loadbalance"}"#,
        r#"{"mode":"loadbalance","sticky":{"hash_fields":["metadata.user"]}}"#,
        r#"{"mode":"conditional","conditions":[{"query":{"metadata.user":"user-7"},"then":"t7"}]}"#,
        r#"{"mode":"round_robin"}"#,
        r#"{"mode":"least_latency"}"#,
        r#"{"mode":"least_busy"}"#,
        r#"{"mode":"cheapest"}"#,
        r#"{"mode":"fastest"}"#,
        r#"{"mode":"race"}"#,
    ] {
        let config = format!(r#"{{"strategy":{strategy},"targets":[{flat}]}}"#);
        println!("| ten targets, `{strategy}` | {:.2} |", choice(&config));
    }
    let group = |mode: &str, inner: &str| {
        format!(r#"{{"strategy":{{"mode":"{mode}"}},"targets":[{inner},{inner},{inner}]}}"#)
    };
    let tree = group("fallback", &group("loadbalance", &group("least_latency", &targets(3))));
    println!("| a tree three groups deep, 27 targets | {:.2} |", choice(&tree));
    let config = format!(r#"{{"strategy":{{"mode":"fallback"}},"targets":[{flat}]}}"#);
    println!("| an inline config of {} bytes, first | {:.2} |", config.len(), first(&config));
    println!("| the same, remembered | {:.2} |", remembered(&config));
}

fn targets(count: usize) -> String {
    let one = |place: usize| {
        format!(
            r#"{{"name":"t{place}","provider":"p{place}","override_params":{{"model":"gpt-4o-mini"}}}}"#
        )
    };
    (0..count).map(one).collect::<Vec<_>>().join(",")
}

fn choice(config: &str) -> f64 {
    let table = TargetRegistry::new(Instant::now());
    let active: Arc<ActiveRoute> = table.inline(config, "").expect("a good config");
    let mut rng = IdSource::from_seed(1);
    microseconds(|| {
        let now = Instant::now();
        let mut plan = Plan::new(Arc::clone(&active), None, now);
        match plan.next(&BenchRequest, &mut rng, now) {
            NextStep::Attempt(step) => drop(black_box(plan.begin(&step, now))),
            other => drop(black_box(other)),
        }
    })
}

fn first(config: &str) -> f64 {
    microseconds(|| drop(black_box(Route::from_json(config))))
}

fn remembered(config: &str) -> f64 {
    let table = TargetRegistry::new(Instant::now());
    microseconds(|| drop(black_box(table.inline(config, "team-a"))))
}

fn microseconds(mut run: impl FnMut()) -> f64 {
    run();
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let begun = std::time::Instant::now();
            (0..REPEATS).for_each(|_| run());
            begun.elapsed().as_secs_f64() * 1e6 / f64::from(REPEATS)
        })
        .collect();
    rounds.sort_unstable_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}

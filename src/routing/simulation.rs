//! Many requests against targets with scripted failures, in virtual time and on several shards that
//! share state. A seed determines arrivals, latencies and draws; it is printed when a check fails.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::*;
use crate::base::{IdSource, Instant};

const SHARDS: usize = 4;
const REQUESTS: usize = 10_000;

/// The attributes of a request: its number is the user id.
struct ScriptedRequest {
    user: String,
}

impl Attributes for ScriptedRequest {
    fn value(&self, field: &Field) -> Option<Value> {
        let is_user = *field == Field::Metadata("user".to_owned());
        is_user.then(|| Value::String(self.user.clone()))
    }

    fn is_able(&self, _: &Target) -> bool {
        true
    }

    fn price(&self, target: &Target) -> Option<u64> {
        target.override_model.as_deref()?.strip_prefix("price-")?.parse().ok()
    }
}

/// Behavior of a target over time: status, `retry-after`, latency in milliseconds.
type TargetScript = fn(place: usize, ms: u64, rng: &mut IdSource) -> (u16, Option<u64>, u64);

fn well(_: usize, _: u64, rng: &mut IdSource) -> (u16, Option<u64>, u64) {
    (200, None, 5 + rng.below(20) as u64)
}

/// One request in progress.
struct Trip {
    plan: Plan,
    request: ScriptedRequest,
    shard: usize,
    begun_ms: u64,
    permit: Option<Permit>,
    under_way: Option<(usize, AttemptOutcome)>,
    tried: Vec<usize>,
}

/// Outcome of a request.
struct TripEnd {
    status: u16,
    tried: Vec<usize>,
    begun_ms: u64,
    ended_ms: u64,
    user: String,
}

struct SimulatedTargets {
    epoch: Instant,
    active_routes: Vec<Arc<ActiveRoute>>,
    rng: Vec<IdSource>,
    script: TargetScript,
    /// By target: first attempts, and retries.
    calls: BTreeMap<usize, (u64, u64)>,
    /// Targets and times of attempts.
    log: Vec<(u64, usize)>,
}

impl SimulatedTargets {
    fn new(config: &str, script: TargetScript, seed: u64) -> Self {
        let epoch = Instant::now();
        let targets = TargetRegistry::new(epoch);
        let route = Arc::new(Route::from_json(config).expect("a good config"));
        Self {
            epoch,
            active_routes: (0..SHARDS).map(|_| Arc::new(targets.activate(&route))).collect(),
            rng: (0..=SHARDS as u64).map(|shard| IdSource::from_seed(seed * 64 + shard)).collect(),
            script,
            calls: BTreeMap::new(),
            log: Vec::new(),
        }
    }

    fn at(&self, ms: u64) -> Instant {
        self.epoch.after(Duration::from_millis(ms + 1))
    }

    /// Starts `count` requests, one every `every_ms`, and runs all to completion.
    fn run(&mut self, count: usize, every_ms: u64, users: usize) -> Vec<TripEnd> {
        let mut events = BinaryHeap::new();
        for number in 0..count {
            events.push(Reverse((number as u64 * every_ms, number)));
        }
        let mut trips: HashMap<usize, Trip> = HashMap::new();
        let mut ends = Vec::new();
        while let Some(Reverse((ms, number))) = events.pop() {
            let now = self.at(ms);
            let mut trip = trips.remove(&number).unwrap_or_else(|| {
                let shard = self.rng[SHARDS].below(SHARDS);
                let user = format!("user-{}", self.rng[SHARDS].below(users));
                let plan = Plan::new(Arc::clone(&self.active_routes[shard]), None, now);
                let (permit, under_way, tried) = (None, None, Vec::new());
                Trip {
                    plan,
                    request: ScriptedRequest { user },
                    shard,
                    begun_ms: ms,
                    permit,
                    under_way,
                    tried,
                }
            });
            match self.step(&mut trip, ms) {
                Some(next_ms) => {
                    events.push(Reverse((next_ms, number)));
                    trips.insert(number, trip);
                }
                None => ends.push(TripEnd {
                    status: trip.plan.last().map_or(0, |last| last.status),
                    tried: trip.tried,
                    begun_ms: trip.begun_ms,
                    ended_ms: ms,
                    user: trip.request.user,
                }),
            }
        }
        ends
    }

    /// Ends the attempt in flight and starts the next; `None` if the plan has finished.
    fn step(&mut self, trip: &mut Trip, ms: u64) -> Option<u64> {
        let now = self.at(ms);
        if let Some((_, outcome)) = trip.under_way.take() {
            trip.permit.take().expect("a named target").record(&outcome, now);
            trip.plan.record_outcome(&outcome, now);
        }
        let step = match trip.plan.next(&trip.request, &mut self.rng[trip.shard], now) {
            NextStep::Finish => return None,
            NextStep::Race { .. } => panic!("no races here"),
            NextStep::Attempt(step) => step,
        };
        let begins_ms = ms + step.wait.as_millis() as u64;
        let begins = self.at(begins_ms);
        trip.permit = trip.plan.begin(&step, begins);
        let is_retry = trip.tried.last() == Some(&step.target);
        trip.tried.push(step.target);
        let calls = self.calls.entry(step.target).or_default();
        if is_retry {
            calls.1 += 1;
        } else {
            calls.0 += 1;
        }
        self.log.push((begins_ms, step.target));
        let (status, retry_after, latency) =
            (self.script)(step.target, begins_ms, &mut self.rng[trip.shard]);
        let left = step.deadline.map(|deadline| deadline.since(begins).as_millis() as u64);
        let is_cut = left.is_some_and(|left| latency > left);
        let took = if is_cut { left.unwrap_or(latency) } else { latency };
        let status = if is_cut { 504 } else { status };
        let outcome = AttemptOutcome {
            status,
            fault: Fault::of_status(status, false),
            is_transport: is_cut,
            retry_after: retry_after.map(Duration::from_millis),
            latency: Duration::from_millis(took),
        };
        trip.under_way = Some((step.target, outcome));
        Some(begins_ms + took)
    }
}

fn targets(count: usize) -> String {
    let one = |place: usize| format!(r#"{{"provider":"p{place}"}}"#);
    (0..count).map(one).collect::<Vec<_>>().join(",")
}

#[test]
fn every_available_target_is_tried() {
    // The last one never fails; the others fail in all ways, together and in turn.
    fn script(place: usize, ms: u64, rng: &mut IdSource) -> (u16, Option<u64>, u64) {
        let is_down = !(ms / 700 + place as u64).is_multiple_of(3);
        match place {
            3 => (200, None, 8),
            _ if !is_down => well(place, ms, rng),
            0 => (503, Some(20), 4),
            1 => (429, Some(2_000), 2),
            _ => ([500, 401, 404, 529][rng.below(4)], None, 30),
        }
    }
    for mode in ["fallback", "round_robin", "least_latency", "least_busy", "cheapest", "fastest"] {
        for retry in ["", r#","retry":{"attempts":2}"#] {
            let strategy = format!(r#""strategy":{{"mode":"{mode}"}}"#);
            let config = format!(r#"{{{strategy}{retry},"targets":[{}]}}"#, targets(4));
            let mut world = SimulatedTargets::new(&config, script, 3);
            for end in world.run(REQUESTS, 1, 50) {
                assert_eq!(end.status, 200, "{mode}{retry}: {:?}", end.tried);
            }
            for (target, (first, retries)) in &world.calls {
                let seconds = REQUESTS as u64 / 1_000 + 20;
                let most = first / 5 + 10 + seconds;
                assert!(*retries <= most, "{mode}: {target}: {retries} retries of {first}");
            }
        }
    }
}

#[test]
fn nested_group_tries_all_its_targets() {
    fn script(place: usize, _: u64, _: &mut IdSource) -> (u16, Option<u64>, u64) {
        if place == 4 { (200, None, 5) } else { (500, None, 5) }
    }
    let inner = format!(r#"{{"strategy":{{"mode":"round_robin"}},"targets":[{}]}}"#, targets(2));
    let deep =
        format!(r#"{{"strategy":{{"mode":"least_busy"}},"targets":[{inner},{}]}}"#, targets(1));
    let config = format!(
        r#"{{"strategy":{{"mode":"fallback"}},"targets":[{{"provider":"a"}},{deep},{{"provider":"z"}}]}}"#
    );
    let mut world = SimulatedTargets::new(&config, script, 4);
    for end in world.run(2_000, 1, 1) {
        assert_eq!((end.status, end.tried.last()), (200, Some(&4)), "{:?}", end.tried);
        let mut seen = end.tried.clone();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), end.tried.len(), "no target twice: {:?}", end.tried);
    }
}

#[test]
fn plan_respects_its_timeout() {
    fn script(_: usize, _: u64, _: &mut IdSource) -> (u16, Option<u64>, u64) {
        (500, None, 40)
    }
    let config = format!(
        r#"{{"strategy":{{"mode":"fallback"}},"request_timeout":100,"retry":{{"attempts":5}},
            "targets":[{}]}}"#,
        targets(4)
    );
    let mut world = SimulatedTargets::new(&config, script, 5);
    let ends = world.run(2_000, 3, 1);
    for end in &ends {
        assert!(end.ended_ms - end.begun_ms <= 100, "{} ms", end.ended_ms - end.begun_ms);
        assert!(!end.tried.is_empty());
    }
}

#[test]
fn weights_are_met_across_shards() {
    let weighted = r#"{"provider":"a","weight":5},{"provider":"b","weight":3},
        {"provider":"c","weight":0},{"provider":"d","weight":2}"#;
    for (mode, tolerance) in [("loadbalance", 0.02), ("round_robin", 0.002)] {
        let config = format!(r#"{{"strategy":{{"mode":"{mode}"}},"targets":[{weighted}]}}"#);
        let mut world = SimulatedTargets::new(&config, well, 6);
        world.run(REQUESTS, 1, 1);
        for (place, expected) in [(0, 0.5), (1, 0.3), (2, 0.0), (3, 0.2)] {
            let calls = world.calls.get(&place).map_or(0, |calls| calls.0);
            let share = calls as f64 / REQUESTS as f64;
            assert!((share - expected).abs() <= tolerance, "{mode} {place}: {share}");
        }
    }
    let config =
        format!(r#"{{"strategy":{{"mode":"canary","percent":12.5}},"targets":[{}]}}"#, targets(2));
    let mut world = SimulatedTargets::new(&config, well, 7);
    world.run(REQUESTS, 1, 1);
    let share = world.calls[&1].0 as f64 / REQUESTS as f64;
    assert!((share - 0.125).abs() < 0.015, "{share}");
}

#[test]
fn breakers_open_and_close_as_documented() {
    /// The second of two is down from 2 s to 6 s.
    fn script(place: usize, ms: u64, rng: &mut IdSource) -> (u16, Option<u64>, u64) {
        let is_down = place == 1 && (2_000..6_000).contains(&ms);
        if is_down { (502, None, 3) } else { well(place, ms, rng) }
    }
    for (strategy, opening, cooldown) in [
        (r#"{"mode":"loadbalance"}"#, 5, 1_000),
        (
            r#"{"mode":"loadbalance","cb_config":{"failure_threshold":10,"cooldown_interval":500}}"#,
            10,
            500,
        ),
        (r#"{"mode":"round_robin"}"#, 5, 1_000),
        (r#"{"mode":"fallback"}"#, 5, 1_000),
    ] {
        let config = format!(r#"{{"strategy":{strategy},"targets":[{}]}}"#, targets(2));
        let mut world = SimulatedTargets::new(&config, script, 8);
        let ends = world.run(REQUESTS, 1, 1);
        let during = |from: u64, to: u64| {
            let is_match = |(ms, target): &&(u64, usize)| *target == 1 && (from..to).contains(ms);
            world.log.iter().filter(is_match).count()
        };
        // Those in flight when it opens fail as well: 3 ms of one per millisecond.
        let while_down = during(2_000, 6_000);
        let probes = 4_000 / cooldown + 1;
        assert!(while_down <= opening + 8 + probes, "{strategy}: {while_down}");
        let noticed =
            ends.iter().filter(|end| end.status != 200 && end.begun_ms >= 2_000 + 60).count();
        assert_eq!(noticed, 0, "{strategy}: none after it has opened, probes included");
        if !strategy.contains("fallback") {
            let last = world.log.iter().filter(|(ms, _)| *ms >= 9_500).count();
            let to_second = during(9_500, 20_000);
            assert!(to_second * 3 > last, "{strategy}: {to_second} of {last} after its recovery");
        }
    }
}

#[test]
fn slow_target_is_ejected() {
    fn script(place: usize, ms: u64, rng: &mut IdSource) -> (u16, Option<u64>, u64) {
        if place == 2 { (200, None, 2_000) } else { well(place, ms, rng) }
    }
    let config = format!(r#"{{"strategy":{{"mode":"round_robin"}},"targets":[{}]}}"#, targets(3));
    let mut world = SimulatedTargets::new(&config, script, 9);
    world.run(REQUESTS, 1, 1);
    let slow = world.calls[&2].0;
    // Until its first responses, 2 s of the 10 s, it gets its third; then it is ejected.
    assert!(slow < REQUESTS as u64 / 3 * 4 / 10, "{slow}");
}

#[test]
fn sticky_session_moves_only_if_target_is_unavailable() {
    /// The first is down from 3 s to 5 s.
    fn script(place: usize, ms: u64, rng: &mut IdSource) -> (u16, Option<u64>, u64) {
        let is_down = place == 0 && (3_000..5_000).contains(&ms);
        if is_down { (500, None, 3) } else { well(place, ms, rng) }
    }
    for mode in ["loadbalance", "round_robin", "least_busy"] {
        let sticky = r#""sticky":{"hash_fields":["metadata.user"]}"#;
        let config =
            format!(r#"{{"strategy":{{"mode":"{mode}",{sticky}}},"targets":[{}]}}"#, targets(4));
        let mut world = SimulatedTargets::new(&config, script, 10);
        let mut homes: HashMap<String, usize> = HashMap::new();
        let mut moved = 0;
        for end in world.run(REQUESTS, 1, 400) {
            let home = *homes.entry(end.user.clone()).or_insert(end.tried[0]);
            if end.tried[0] != home {
                moved += 1;
                let is_cause = home == 0 && (3_000..9_000).contains(&end.begun_ms);
                assert!(is_cause, "{mode}: {} moved from {home} at {}", end.user, end.begun_ms);
            }
        }
        assert!(moved > 0, "{mode}: the outage was noticed");
        let at_home = |place: usize| homes.values().filter(|home| **home == place).count();
        for place in 0..4 {
            assert!((60..140).contains(&at_home(place)), "{mode}: {place}: {}", at_home(place));
        }
    }
}

#[test]
fn raising_canary_percentage_moves_sessions_one_way() {
    let mut sides: HashMap<String, usize> = HashMap::new();
    for percent in [10, 30, 31] {
        let config = format!(
            r#"{{"strategy":{{"mode":"canary","percent":{percent},
                "sticky":{{"hash_fields":["metadata.user"]}}}},"targets":[{}]}}"#,
            targets(2)
        );
        let mut world = SimulatedTargets::new(&config, well, 11);
        for end in world.run(4_000, 1, 500) {
            let before = sides.insert(end.user.clone(), end.tried[0]).unwrap_or(0);
            assert!(end.tried[0] >= before, "{} went back", end.user);
        }
        let share = sides.values().filter(|side| **side == 1).count() as f64 / 500.0;
        assert!((share - f64::from(percent) / 100.0).abs() < 0.06, "{percent}: {share}");
    }
}

#[test]
fn measured_strategies_prefer_better_targets() {
    fn script(place: usize, _: u64, rng: &mut IdSource) -> (u16, Option<u64>, u64) {
        (200, None, if place == 1 { 5 } else { 60 } + rng.below(10) as u64)
    }
    let priced =
        |price: u64| format!(r#"{{"provider":"p","override_params":{{"model":"price-{price}"}}}}"#);
    let by_price = format!("{},{},{}", priced(7), priced(3), r#"{"provider":"free"}"#);
    for (mode, targets) in
        [("least_latency", targets(3)), ("least_busy", targets(3)), ("cheapest", by_price)]
    {
        let config = format!(r#"{{"strategy":{{"mode":"{mode}"}},"targets":[{targets}]}}"#);
        let mut world = SimulatedTargets::new(&config, script, 12);
        world.run(REQUESTS, 2, 1);
        let calls = |place: usize| world.calls.get(&place).map_or(0, |calls| calls.0);
        let others = calls(0).max(calls(2));
        assert!(calls(1) > 2 * others, "{mode}: {} against {others}", calls(1));
    }
}

//! The target selection for one request: which target is next, given the outcomes so far.
//!
//! A state machine without I/O. It returns the next step and takes the outcomes of attempts; time
//! is an argument. Guarantees: every available target is tried before the plan finishes, as long as
//! the strategies fail over and time remains; and every plan ends.

use std::sync::Arc;
use std::time::Duration;

use super::field::Attributes;
use super::health::Permit;
use super::node::RouteNode;
use super::outcome::AttemptOutcome;
use super::retry::Retry;
use super::route::{FailoverOn, Group};
use super::strategy::{Execution, Selection};
use super::targets::ActiveRoute;
use crate::base::{IdSource, Instant};

/// A target is slow if a neighbor is faster by this factor, and the target is slower than this
/// latency.
const SLOW_TIMES: f64 = 5.0;
const SLOW_NS_MIN: f64 = 500e6;

/// The next step of a plan.
#[derive(Debug)]
pub enum NextStep {
    /// Call a target.
    Attempt(AttemptPlan),
    /// Run several plans concurrently; the next one starts after `hedge`, or when one has failed.
    /// The first successful response wins. [`Plan::record_outcome`] takes that outcome, or the last
    /// one.
    Race {
        /// In order.
        lanes: Vec<Plan>,
        /// Delay between their starts.
        hedge: Duration,
    },
    /// Deliver the last response, or the error that no target was left.
    Finish,
}

/// An attempt to make.
#[derive(Debug)]
pub struct AttemptPlan {
    /// Index of the target in the route.
    pub target: usize,
    /// Delay before the attempt.
    pub wait: Duration,
    /// When it must be over.
    pub deadline: Option<Instant>,
    /// False if the remaining time is set by the client or used up by earlier attempts; a timeout
    /// then does not count against the target.
    pub timeout_is_targets_fault: bool,
    /// True if another attempt may follow.
    pub has_next: bool,
    /// Targets that get a copy of the request.
    pub mirrors: Vec<usize>,
    is_first: bool,
}

/// The selection in progress.
#[derive(Debug)]
pub struct Plan {
    active: Arc<ActiveRoute>,
    /// From the root to the current node.
    frames: Vec<PlanFrame>,
    last: Option<AttemptOutcome>,
    /// The last attempt was a probe whose failure is not delivered to the client.
    was_probe: bool,
    /// Retries at the last target; `None` if they were used up without success, or its provider
    /// requested too long a wait.
    retries: Option<u32>,
    mirrors: Vec<usize>,
    /// True if the client set the limit of all attempts.
    is_clients_limit: bool,
    begun: Instant,
}

#[derive(Debug)]
struct PlanFrame {
    node: usize,
    /// Children that were tried, one bit each.
    tried: u64,
    /// Attempts made in this group.
    attempts: u32,
    deadline: Option<Instant>,
    /// All children were excluded, so the exclusions are ignored.
    ignores_health: bool,
}

impl PlanFrame {
    fn new(node: usize, deadline: Option<Instant>) -> Self {
        Self { node, tried: 0, attempts: 0, deadline, ignores_health: false }
    }
}

impl Plan {
    /// A plan for a request that arrives now; `limit` is the client's timeout for all attempts
    /// together.
    #[must_use]
    pub fn new(active: Arc<ActiveRoute>, limit: Option<Duration>, now: Instant) -> Self {
        let own = active.route().request_timeout;
        let is_clients_limit = limit.is_some_and(|limit| own.is_none_or(|own| limit < own));
        let deadline = own.into_iter().chain(limit).min().map(|limit| now.after(limit));
        Self { is_clients_limit, ..Self::at(active, 0, deadline, now) }
    }

    /// A plan that calls only one target.
    #[must_use]
    pub fn of_target(active: Arc<ActiveRoute>, target: usize, now: Instant) -> Self {
        let is_match = |node: &RouteNode| node.target() == Some(target);
        let node = active.route().nodes.iter().position(is_match).unwrap_or(0);
        Self::at(active, node, None, now)
    }

    fn at(active: Arc<ActiveRoute>, node: usize, deadline: Option<Instant>, now: Instant) -> Self {
        let frames = vec![PlanFrame::new(node, deadline)];
        Self {
            active,
            frames,
            last: None,
            was_probe: false,
            retries: Some(0),
            mirrors: Vec::new(),
            is_clients_limit: false,
            begun: now,
        }
    }

    /// The route with the state of its targets.
    #[must_use]
    pub fn active_route(&self) -> &Arc<ActiveRoute> {
        &self.active
    }

    /// Outcome of the last attempt or race.
    #[must_use]
    pub fn last(&self) -> Option<AttemptOutcome> {
        self.last
    }

    /// Retries at the last target; `None` if they were used up without success, or its provider
    /// requested too long a wait.
    #[must_use]
    pub fn retries(&self) -> Option<u32> {
        self.retries
    }

    /// Records the start of an attempt.
    #[must_use]
    pub fn begin(&mut self, attempt: &AttemptPlan, now: Instant) -> Option<Permit> {
        let permit = self.active.health(attempt.target)?.begin(attempt.is_first, now);
        self.was_probe = permit.is_probe();
        Some(permit)
    }

    /// Records the outcome of an attempt or a race.
    pub fn record_outcome(&mut self, outcome: &AttemptOutcome, now: Instant) {
        self.last = Some(*outcome);
        if outcome.is_success() {
            self.eject_slow(now);
        }
    }

    /// The next step. None follows [`NextStep::Finish`].
    pub fn next(
        &mut self,
        attributes: &dyn Attributes,
        rng: &mut IdSource,
        now: Instant,
    ) -> NextStep {
        let active = Arc::clone(&self.active);
        loop {
            let Some(frame) = self.frames.last() else { return NextStep::Finish };
            let is_over = frame.deadline.is_some_and(|deadline| deadline <= now);
            let place = frame.node;
            let node = active.route().nodes.get(place);
            let Some(node) = node.filter(|_| !is_over || self.last.is_none()) else {
                self.frames.pop();
                continue;
            };
            let step = match active.route().group(place) {
                Some(group) => self.at_group(&active, group, (attributes, rng), now),
                None => self.at_target(&active, node.targets.start, rng, now),
            };
            match step {
                Transition::Descend(child) => self.frames.push(child),
                Transition::Ascend => {
                    self.frames.pop();
                }
                Transition::Emit(step) => return step,
            }
        }
    }

    fn at_target(
        &mut self,
        active: &ActiveRoute,
        target: usize,
        rng: &mut IdSource,
        now: Instant,
    ) -> Transition {
        let (Some(frame), Some(entry)) = (self.frames.last(), active.route().targets.get(target))
        else {
            return Transition::Ascend;
        };
        let (attempts, deadline) = (frame.attempts + 1, frame.deadline);
        let mut wait = Duration::ZERO;
        if let Some(last) = self.last.filter(|_| frame.attempts > 0) {
            let has_others = self.has_others(active, &last, now);
            wait = match entry.retry.after(&last, frame.attempts, has_others, rng) {
                Retry::After(wait) => wait,
                Retry::TooLong | Retry::UsedUp => {
                    self.retries = None;
                    return Transition::Ascend;
                }
                Retry::No => return Transition::Ascend,
            };
            let is_late = deadline.is_some_and(|deadline| now.after(wait) >= deadline);
            let health = active.health(target);
            let is_out = has_others && health.is_some_and(|health| health.is_open(now));
            if is_late || is_out || !health.is_none_or(|health| health.withdraw_retry(now)) {
                return Transition::Ascend;
            }
        }
        if let Some(frame) = self.frames.last_mut() {
            frame.attempts = attempts;
        }
        self.retries = Some(attempts - 1);
        let begins = now.after(wait);
        let own = entry.request_timeout.map(|limit| begins.after(limit));
        let has_half = deadline.is_none_or(|it| it.since(begins) * 2 >= it.since(self.begun));
        let is_own = own.is_some_and(|own| deadline.is_none_or(|deadline| own <= deadline));
        let has_next = attempts <= entry.retry.attempts || self.can_fail_over(active);
        Transition::Emit(NextStep::Attempt(AttemptPlan {
            target,
            wait,
            deadline: [own, deadline].into_iter().flatten().min(),
            timeout_is_targets_fault: is_own || has_half && !self.is_clients_limit,
            has_next,
            mirrors: std::mem::take(&mut self.mirrors),
            is_first: attempts == 1,
        }))
    }

    fn at_group(
        &mut self,
        active: &Arc<ActiveRoute>,
        group: &Group,
        (attributes, rng): (&dyn Attributes, &mut IdSource),
        now: Instant,
    ) -> Transition {
        let Some(frame) = self.frames.last_mut() else { return Transition::Ascend };
        let is_back = frame.tried != 0;
        if let Some(last) = self.last.filter(|_| is_back) {
            let is_spared = self.was_probe && !last.is_success();
            if !group.failover_on.matches(&last) && !is_spared {
                return Transition::Ascend;
            }
        }
        let mut open = untried(active, group, frame, now);
        if open.is_empty() && !is_back {
            frame.ignores_health = true;
            open = untried(active, group, frame, now);
        }
        if open.is_empty() {
            return Transition::Ascend;
        }
        let deadline = frame.deadline;
        if let Execution::Race(hedge) = group.strategy.execution() {
            frame.tried = u64::MAX;
            let lanes = open.iter().filter_map(|place| {
                let node = *group.children.get(*place)?;
                let deadline = self.limit(active, node, deadline, now);
                let lane = Self::at(Arc::clone(active), node, deadline, now);
                Some(Self { is_clients_limit: self.is_clients_limit, ..lane })
            });
            let lanes = lanes.collect();
            return Transition::Emit(NextStep::Race { lanes, hedge });
        }
        let session = group.sticky.as_ref().and_then(|sticky| sticky.session(attributes));
        let mut selection = Selection {
            nodes: &active.route().nodes,
            targets: &active.route().targets,
            health: active.all_health(),
            children: &group.children,
            turns: &group.turns,
            open: &open,
            session,
            attributes,
            rng,
            now,
        };
        let sticky_session = session.filter(|_| group.strategy.allows_sticky());
        let place = match sticky_session.and_then(|session| selection.sticky_target(session)) {
            Some(place) => Some(place),
            None => group.strategy.select(&mut selection),
        };
        let chosen = place.and_then(|place| Some((place, *group.children.get(place)?)));
        let Some((place, node)) = chosen.filter(|(place, _)| frame.tried & bit(*place) == 0) else {
            return Transition::Ascend;
        };
        frame.tried |= bit(place);
        if group.strategy.execution() == Execution::Mirror {
            let others = group.children.iter().filter(|child| **child != node);
            let below = others.filter_map(|child| active.route().nodes.get(*child));
            // The first target of a group represents it.
            self.mirrors.extend(below.filter_map(|node| node.targets.clone().next()));
            frame.tried = u64::MAX;
        }
        let deadline = self.limit(active, node, deadline, now);
        Transition::Descend(PlanFrame::new(node, deadline))
    }

    /// Deadline of everything below a node.
    fn limit(
        &self,
        active: &ActiveRoute,
        node: usize,
        around: Option<Instant>,
        now: Instant,
    ) -> Option<Instant> {
        let own = active.route().group(node).and_then(|group| group.request_timeout);
        [own.map(|limit| now.after(limit)), around].into_iter().flatten().min()
    }

    /// True if `outcome` would fail over to a target that has not been tried.
    fn has_others(&self, active: &ActiveRoute, outcome: &AttemptOutcome, now: Instant) -> bool {
        self.groups(active).any(|(group, frame)| {
            group.failover_on.matches(outcome) && !untried(active, group, frame, now).is_empty()
        })
    }

    /// True if some outcome may fail over to another target.
    fn can_fail_over(&self, active: &ActiveRoute) -> bool {
        self.groups(active).any(|(group, frame)| {
            let is_left = |place: usize| frame.tried & bit(place) == 0;
            group.failover_on != FailoverOn::Never && (0..group.children.len()).any(is_left)
        })
    }

    fn groups<'p>(
        &'p self,
        active: &'p ActiveRoute,
    ) -> impl Iterator<Item = (&'p Group, &'p PlanFrame)> {
        self.frames.iter().filter_map(|frame| Some((active.route().group(frame.node)?, frame)))
    }

    /// Ejects the target that has just responded if its neighbors are much faster; in groups that
    /// distribute load over similar targets.
    fn eject_slow(&self, now: Instant) {
        let [.., around, own] = self.frames.as_slice() else { return };
        let route = self.active.route();
        let Some(group) = route.group(around.node) else { return };
        if !group.strategy.balances_load() {
            return;
        }
        let health = |node: usize| self.active.health(route.nodes.get(node)?.target()?);
        let Some(own) = health(own.node) else { return };
        let Some(latency) = own.settled_latency().filter(|latency| *latency > SLOW_NS_MIN) else {
            return;
        };
        let neighbors = group.children.iter().filter_map(|child| health(*child));
        let others = neighbors.filter(|it| !Arc::ptr_eq(it, own) && it.is_available(now));
        let mut latencies: Vec<f64> = others.filter_map(|it| it.settled_latency()).collect();
        latencies.sort_unstable_by(f64::total_cmp);
        // The higher median, so that of two neighbors the slower one counts.
        let median = latencies.get(latencies.len() / 2);
        if median.is_some_and(|median| latency > SLOW_TIMES * median) {
            own.eject_as_slow(now);
        }
    }
}

/// The plan's next position in the tree.
enum Transition {
    Descend(PlanFrame),
    Ascend,
    Emit(NextStep),
}

fn bit(place: usize) -> u64 {
    u32::try_from(place).ok().and_then(|place| 1_u64.checked_shl(place)).unwrap_or(0)
}

/// Available children that were not tried.
fn untried(active: &ActiveRoute, group: &Group, frame: &PlanFrame, now: Instant) -> Vec<usize> {
    let node = |place: &usize| active.route().nodes.get(*group.children.get(*place)?);
    let is_available = |place: &usize| {
        let mut below = node(place).map(|node| node.targets.clone()).unwrap_or_default();
        below.any(|target| active.health(target).is_none_or(|it| it.is_available(now)))
    };
    let respects_health = group.strategy.respects_health() && !frame.ignores_health;
    let uses_weights = group.strategy.uses_weights();
    (0..group.children.len())
        .filter(|place| frame.tried & bit(*place) == 0)
        .filter(|place| !uses_weights || node(place).is_some_and(|node| node.weight > 0.0))
        .filter(|place| !respects_health || is_available(place))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::field::Field;
    use super::super::{Fault, Route, Target, TargetRegistry};
    use super::*;

    /// A request of one user.
    struct PaidRequest;

    impl Attributes for PaidRequest {
        fn value(&self, field: &Field) -> Option<serde_json::Value> {
            (*field == Field::Metadata("plan".to_owned())).then(|| "paid".into())
        }

        fn is_able(&self, target: &Target) -> bool {
            target.override_model.as_deref() != Some("unable")
        }

        fn price(&self, target: &Target) -> Option<u64> {
            target.override_model.as_deref()?.strip_prefix("price-")?.parse().ok()
        }
    }

    /// The steps of a plan whose attempts end with `statuses`, the last one repeated: `2`: the
    /// target is called, `2+1`: with a copy to another, `[0 1]`: they race, `.`: the response is
    /// delivered.
    fn steps(config: &str, statuses: &[u16]) -> String {
        let epoch = Instant::now();
        let route = Arc::new(Route::from_json(config).expect(config));
        let active = Arc::new(TargetRegistry::new(epoch).activate(&route));
        let (mut now, mut rng) = (epoch, IdSource::from_seed(1));
        let mut plan = Plan::new(active, None, now);
        let mut seen = Vec::new();
        for place in 0..20 {
            let status = statuses.get(place).or(statuses.last()).copied().unwrap_or(200);
            let outcome = AttemptOutcome {
                status,
                fault: Fault::of_status(status, false),
                is_transport: status == 502,
                retry_after: None,
                latency: Duration::ZERO,
            };
            match plan.next(&PaidRequest, &mut rng, now) {
                NextStep::Finish => {
                    seen.push(".".to_owned());
                    break;
                }
                NextStep::Attempt(step) => {
                    now = now.after(step.wait);
                    let mut permit = plan.begin(&step, now).expect("a named target");
                    permit.record(&outcome, now);
                    let mirrors: String = step.mirrors.iter().map(|it| format!("+{it}")).collect();
                    seen.push(format!("{}{mirrors}", step.target));
                }
                NextStep::Race { lanes, .. } => {
                    let first = |mut lane: Plan| match lane.next(&PaidRequest, &mut rng, now) {
                        NextStep::Attempt(step) => step.target.to_string(),
                        _ => "?".to_owned(),
                    };
                    let lanes: Vec<String> = lanes.into_iter().map(first).collect();
                    seen.push(format!("[{}]", lanes.join(" ")));
                }
            }
            plan.record_outcome(&outcome, now);
        }
        seen.join(" ")
    }

    #[test]
    fn each_strategy_has_expected_steps() {
        let three = r#"{"provider":"a"},{"provider":"b"},{"provider":"c"}"#;
        let priced = r#"{"provider":"a","override_params":{"model":"price-9"}},
            {"provider":"b","override_params":{"model":"price-2"}},
            {"provider":"c","override_params":{"model":"unable"}}"#;
        let named = r#"{"name":"x","provider":"a"},{"name":"y","provider":"b"}"#;
        let two = r#"{"provider":"a"},{"provider":"b"}"#;
        let one = r#"{"provider":"a"}"#;
        for (strategy, targets, statuses, expected) in [
            (r#""mode":"single""#, one, &[500][..], "0 ."),
            (r#""mode":"fallback""#, three, &[200], "0 ."),
            (r#""mode":"fallback""#, three, &[500, 429, 200], "0 1 2 ."),
            (r#""mode":"fallback""#, three, &[500], "0 1 2 ."),
            (r#""mode":"fallback","on_status_codes":[429]"#, three, &[429, 500], "0 1 ."),
            (r#""mode":"fallback","on_status_codes":[429]"#, three, &[502, 200], "0 1 ."),
            (r#""mode":"round_robin""#, three, &[500, 200], "0 1 ."),
            (r#""mode":"cheapest""#, priced, &[500], "1 0 2 ."),
            (r#""mode":"race""#, three, &[200], "[0 1 2] ."),
            (r#""mode":"race","hedge_ms":5"#, three, &[500], "[0 1 2] ."),
            (r#""mode":"mirror""#, three, &[500], "0+1+2 ."),
            (r#""mode":"canary","percent":0"#, two, &[500], "0 ."),
            (r#""mode":"canary","percent":100"#, two, &[500], "1 ."),
            (r#""mode":"canary","percent":99.99,"on_status_codes":[500]"#, two, &[500], "1 0 ."),
            (
                r#""mode":"conditional","conditions":[{"query":{"metadata.plan":"paid"},"then":"y"}]"#,
                named,
                &[500],
                "1 .",
            ),
            (
                r#""mode":"conditional","conditions":[{"query":{"metadata.plan":"free"},"then":"y"}],"default":"x""#,
                named,
                &[200],
                "0 .",
            ),
            (
                r#""mode":"conditional","conditions":[{"query":{"metadata.plan":"free"},"then":"y"}]"#,
                named,
                &[200],
                ".",
            ),
        ] {
            let config = format!(r#"{{"strategy":{{{strategy}}},"targets":[{targets}]}}"#);
            assert_eq!(steps(&config, statuses), expected, "{config} {statuses:?}");
        }
        let drawn = format!(r#"{{"strategy":{{"mode":"loadbalance"}},"targets":[{two}]}}"#);
        assert!(["0 .", "1 ."].contains(&steps(&drawn, &[500]).as_str()), "one draw");
        for mode in ["least_latency", "least_busy", "fastest"] {
            let config = format!(r#"{{"strategy":{{"mode":"{mode}"}},"targets":[{three}]}}"#);
            let mut all: Vec<String> =
                steps(&config, &[500]).split(' ').map(str::to_owned).collect();
            all.sort();
            assert_eq!(all, [".", "0", "1", "2"], "{mode}");
        }
    }

    #[test]
    fn retries_and_groups_have_expected_steps() {
        let inner =
            r#"{"strategy":{"mode":"round_robin"},"targets":[{"provider":"b"},{"provider":"c"}]}"#;
        for (config, statuses, expected) in [
            (
                r#"{"provider":"a","retry":{"attempts":2}}"#.to_owned(),
                &[500, 503, 200][..],
                "0 0 0 .",
            ),
            (r#"{"provider":"a","retry":{"attempts":2}}"#.to_owned(), &[400], "0 ."),
            (
                format!(
                    r#"{{"strategy":{{"mode":"fallback"}},"retry":{{"attempts":1}},"targets":[{{"provider":"a"}},{inner}]}}"#
                ),
                &[500],
                "0 0 1 1 2 2 .",
            ),
            (
                format!(
                    r#"{{"strategy":{{"mode":"fallback"}},"targets":[{inner},{{"provider":"z"}}]}}"#
                ),
                &[500, 500, 200],
                "0 1 2 .",
            ),
        ] {
            assert_eq!(steps(&config, statuses), expected, "{config}");
        }
    }
}

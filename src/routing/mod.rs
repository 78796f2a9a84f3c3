//! Routes: named rules that select a target. The keys are those of a Portkey config.
//!
//! A [`Route`] is a tree of groups and targets. [`TargetRegistry`] turns it into an [`ActiveRoute`]
//! with the state of each target: its breaker, latency and load. A [`Plan`] is the selection in
//! progress for one request: it returns the next attempt, records its outcome, and continues.
//!
//! The part is synchronous, does no I/O and reads no clock: time, randomness and the attributes of
//! a request ([`Attributes`]) are arguments. A strategy is one file and one row of `STRATEGIES`.

mod bounds;
mod breaker;
mod cache_rule;
mod canary;
mod cheapest;
mod condition;
mod conditional;
mod drop_path;
mod fallback;
mod fastest;
mod field;
mod fingerprint;
mod forward_headers;
mod health;
mod inheritance;
mod inline;
mod least_busy;
mod least_latency;
mod limits;
mod loadbalance;
mod mirror;
mod node;
mod outcome;
mod params;
mod path_set;
mod plan;
mod race;
mod retry;
mod retry_budget;
mod round_robin;
mod route;
mod route_set;
mod settings;
#[cfg(test)]
mod simulation;
mod single;
mod sticky;
mod strategy;
mod target;
mod targets;
mod tree;

use canary::Canary;
use cheapest::Cheapest;
use conditional::Conditional;
use fallback::Fallback;
use fastest::Fastest;
use least_busy::LeastBusy;
use least_latency::LeastLatency;
use loadbalance::Loadbalance;
use mirror::Mirror;
use race::Race;
use round_robin::RoundRobin;
use single::Single;
use strategy::{StrategyRow, row};

pub use breaker::BreakerState;
pub use cache_rule::{CacheMode, CacheRule, CacheScope};
pub use drop_path::{DropMember, DropParams};
pub use field::{Attributes, BodyFields, Field};
pub use health::{Ejection, Health, HealthReport, Permit};
pub use inline::RouteError;
pub use outcome::{AttemptOutcome, Fault};
pub use params::Params;
pub use plan::{AttemptPlan, NextStep, Plan};
pub use retry::retry_hint;
pub use route::Route;
pub use route_set::RouteSet;
pub use settings::RouteSettings;
pub use target::Target;
pub use targets::{ActiveRoute, TargetRegistry, TargetReport};

/// All strategies, by their names in `strategy.mode`.
const STRATEGIES: &[StrategyRow] = &[
    row("single", Single::make, &[]),
    row("fallback", Fallback::make, &[]),
    row("loadbalance", Loadbalance::make, &["sticky"]),
    row("conditional", Conditional::make, &["conditions", "default"]),
    row("round_robin", RoundRobin::make, &["sticky"]),
    row("least_latency", LeastLatency::make, &["sticky"]),
    row("least_busy", LeastBusy::make, &["sticky"]),
    row("cheapest", Cheapest::make, &["sticky"]),
    row("fastest", Fastest::make, &["sticky"]),
    row("race", Race::make, &["hedge_ms"]),
    row("canary", Canary::make, &["percent", "sticky"]),
    row("mirror", Mirror::make, &[]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documentation_lists_every_strategy() {
        let page = include_str!("../../docs/routing.md");
        for row in STRATEGIES {
            assert!(page.contains(&format!("\n| `{}` |", row.mode)), "{}", row.mode);
        }
        // And the header of the table.
        assert_eq!(page.matches("\n| `").count(), STRATEGIES.len() + 1);
    }
}

//! Routes: named rule sets that choose who answers. The keys are those of a Portkey config.
//!
//! A [`Route`] is a tree of groups and targets. [`TargetRegistry`] makes it an [`ActiveRoute`], with what
//! is known of each target: its breaker, its latency, its load. A [`Plan`] is the choice in progress for
//! one request: it gives the next attempt, takes its outcome, and gives what follows.
//!
//! The part is synchronous, does no I/O and reads no clock: time, randomness and the attributes of a
//! request ([`Attributes`]) are handed in. A way to choose is one file and one row of the table in
//! `strategy.rs`.

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
mod health;
mod inline;
mod least_busy;
mod least_latency;
mod limits;
mod loadbalance;
mod mirror;
mod outcome;
mod params;
mod path_set;
mod plan;
mod race;
mod retry;
mod retry_budget;
mod round_robin;
mod route;
mod settings;
#[cfg(test)]
mod simulation;
mod single;
mod sticky;
mod strategy;
mod targets;
mod tree;

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
pub use route::{Route, Target};
pub use settings::RouteSettings;
pub use targets::{ActiveRoute, TargetRegistry, TargetReport};

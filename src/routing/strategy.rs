//! How a group selects a child: the trait, and a strategy's view of a route and a request.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use super::field::{Attributes, Field};
use super::health::Health;
use super::limits::LimitUsage;
use super::node::RouteNode;
use super::settings::StrategySettings;
use super::sticky::{mix, point};
use super::target::Target;
use crate::base::{Diagnostics, IdSource, Instant};

/// A selection strategy.
pub trait Strategy: fmt::Debug + Send + Sync {
    /// The position of the child to try next, if any.
    fn select(&self, selection: &mut Selection<'_>) -> Option<usize>;

    /// How the selected children are called.
    fn execution(&self) -> Execution {
        Execution::Sequential
    }

    /// True if [`Self::select`] may return `None` although a child is left.
    fn may_select_none(&self) -> bool {
        false
    }

    /// True if a failure fails over to another child by default, without `on_status_codes`.
    fn fails_over(&self) -> bool {
        true
    }

    /// True if an unavailable child is skipped.
    fn respects_health(&self) -> bool {
        true
    }

    /// True if a child of weight 0 is never selected.
    fn uses_weights(&self) -> bool {
        false
    }

    /// True if it distributes load over similar children, so that a slow one is ejected.
    fn balances_load(&self) -> bool {
        false
    }

    /// Request attributes that it reads.
    fn fields(&self) -> Vec<&Field> {
        Vec::new()
    }

    /// True if the hash of a sticky session may select instead.
    fn allows_sticky(&self) -> bool {
        true
    }
}

/// How a strategy calls the children of its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Execution {
    /// One after the other.
    Sequential,
    /// Several at once; the first successful response wins. The next one starts after this delay,
    /// or when one has failed.
    Race(Duration),
    /// One responds; the others get copies.
    Mirror,
}

/// Input for creating a strategy.
pub(super) struct StrategyInput<'d> {
    pub settings: &'d StrategySettings,
    /// The children in order.
    pub children: Vec<Child<'d>>,
    /// Members of `strategy`.
    pub path: &'d str,
    /// Use of the limits by the conditions of the route so far.
    pub usage: &'d LimitUsage,
}

/// A child of a group that is being created.
pub(super) struct Child<'d> {
    pub name: Option<&'d str>,
    pub weight: f64,
}

type Make = fn(&StrategyInput<'_>, &mut Diagnostics) -> Option<Box<dyn Strategy>>;

/// A strategy, by its name in `strategy.mode`.
pub(super) struct StrategyRow {
    pub mode: &'static str,
    pub make: Make,
    /// Members of `strategy` that only it has.
    pub members: &'static [&'static str],
}

pub(super) const fn row(
    mode: &'static str,
    make: Make,
    members: &'static [&'static str],
) -> StrategyRow {
    StrategyRow { mode, make, members }
}

/// Input of a selection.
pub struct Selection<'c> {
    /// Of the whole route.
    pub(super) nodes: &'c [RouteNode],
    /// Of the whole route.
    pub(super) targets: &'c [Target],
    /// By target; `None` if the request names its provider.
    pub(super) health: &'c [Option<Arc<Health>>],
    /// Nodes of the group.
    pub(super) children: &'c [usize],
    /// Turn counter of the group, shared by all shards.
    pub(super) turns: &'c AtomicUsize,
    /// Positions of available children that are left; never empty.
    pub(super) open: &'c [usize],
    /// Hash of the session, if it is sticky.
    pub(super) session: Option<u64>,
    pub(super) attributes: &'c dyn Attributes,
    pub(super) rng: &'c mut IdSource,
    pub(super) now: Instant,
}

impl<'c> Selection<'c> {
    fn node(&self, place: usize) -> Option<&'c RouteNode> {
        self.nodes.get(*self.children.get(place)?)
    }

    /// The weight of a child.
    pub(super) fn weight(&self, place: usize) -> f64 {
        self.node(place).map_or(0.0, |node| node.weight)
    }

    /// The targets below a child, with their state.
    pub(super) fn below(&self, place: usize) -> impl Iterator<Item = (&'c Target, &'c Health)> {
        let range = self.node(place).map(|node| node.targets.clone()).unwrap_or_default();
        let (targets, health) = (self.targets, self.health);
        range.filter_map(move |at| Some((targets.get(at)?, &**health.get(at)?.as_ref()?)))
    }

    /// The available children with a suitable target below; all if there is none.
    pub(super) fn capable(&self) -> Vec<usize> {
        let is_able = |place: &usize| self.below(*place).any(|(it, _)| self.attributes.is_able(it));
        let capable: Vec<usize> = self.open.iter().copied().filter(is_able).collect();
        if capable.is_empty() { self.open.to_vec() } else { capable }
    }

    /// The child with the smallest measure; the first of equals.
    pub(super) fn least(
        &self,
        places: &[usize],
        mut measure: impl FnMut(&Self, usize) -> f64,
    ) -> Option<usize> {
        let measured = places.iter().map(|place| (*place, measure(self, *place)));
        let least = measured.min_by(|(_, one), (_, other)| one.total_cmp(other));
        least.map(|(place, _)| place)
    }

    /// The available child to which a session belongs.
    pub(super) fn sticky_target(&self, session: u64) -> Option<usize> {
        self.least(self.open, |it, place| {
            let drawn = point(mix(session ^ mix(place as u64 + 1)));
            // The smallest of exponential draws falls to each in proportion to its rate.
            -(1.0 - drawn).ln() / it.weight(place).max(f64::MIN_POSITIVE)
        })
    }
}

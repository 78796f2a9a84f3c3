//! How a group selects a child: the trait, and what a strategy sees of a route and a request.

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

/// A way to choose.
pub trait Strategy: fmt::Debug + Send + Sync {
    /// The place in the group of the child to try next, if there is one.
    fn select(&self, selection: &mut Selection<'_>) -> Option<usize>;

    /// What is done with the children.
    fn execution(&self) -> Execution {
        Execution::Sequential
    }

    /// True if [`Self::select`] may give none although a child is left.
    fn may_select_none(&self) -> bool {
        false
    }

    /// True if a failure fails over to another child also where `on_status_codes` is not given.
    fn fails_over(&self) -> bool {
        true
    }

    /// True if a child is passed over that is not available.
    fn respects_health(&self) -> bool {
        true
    }

    /// True if a child without weight gets nothing.
    fn uses_weights(&self) -> bool {
        false
    }

    /// True if it spreads work over children that are alike, so that a slow one is left out.
    fn balances_load(&self) -> bool {
        false
    }

    /// What of a request it looks at.
    fn fields(&self) -> Vec<&Field> {
        Vec::new()
    }

    /// True if the hash of a sticky session may choose instead.
    fn allows_sticky(&self) -> bool {
        true
    }
}

/// What a strategy does with the children of its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Execution {
    /// One is called after the other.
    Sequential,
    /// Several are called at once; the first good response wins. The next one begins after so long, or
    /// when one has failed.
    Race(Duration),
    /// One answers; the others get copies.
    Mirror,
}

/// What a strategy is made of.
pub(super) struct StrategyInput<'d> {
    pub settings: &'d StrategySettings,
    /// The children in their order.
    pub children: Vec<Child<'d>>,
    /// Of `strategy`.
    pub path: &'d str,
    /// What the conditions of the route have used so far.
    pub usage: &'d LimitUsage,
}

/// A child of a group that is being made.
pub(super) struct Child<'d> {
    pub name: Option<&'d str>,
    pub weight: f64,
}

type Make = fn(&StrategyInput<'_>, &mut Diagnostics) -> Option<Box<dyn Strategy>>;

/// One way to choose, by its name in `strategy.mode`.
pub(super) struct StrategyRow {
    pub mode: &'static str,
    pub make: Make,
    /// Members of `strategy` that are its own.
    pub members: &'static [&'static str],
}

pub(super) const fn row(
    mode: &'static str,
    make: Make,
    members: &'static [&'static str],
) -> StrategyRow {
    StrategyRow { mode, make, members }
}

/// What there is to choose from, and by what.
pub struct Selection<'c> {
    /// Of the whole route.
    pub(super) nodes: &'c [RouteNode],
    /// Of the whole route.
    pub(super) targets: &'c [Target],
    /// Of each target; none where a request names its provider.
    pub(super) health: &'c [Option<Arc<Health>>],
    /// Nodes of the group.
    pub(super) children: &'c [usize],
    /// Turns that the group has taken, of all shards.
    pub(super) turns: &'c AtomicUsize,
    /// Places in the group that are left and available; never empty.
    pub(super) open: &'c [usize],
    /// Hash of the session, where one is sticky.
    pub(super) session: Option<u64>,
    pub(super) attributes: &'c dyn Attributes,
    pub(super) rng: &'c mut IdSource,
    pub(super) now: Instant,
}

impl<'c> Selection<'c> {
    fn node(&self, place: usize) -> Option<&'c RouteNode> {
        self.nodes.get(*self.children.get(place)?)
    }

    /// The share of a child.
    pub(super) fn weight(&self, place: usize) -> f64 {
        self.node(place).map_or(0.0, |node| node.weight)
    }

    /// The targets below a child, with what is known of them.
    pub(super) fn below(&self, place: usize) -> impl Iterator<Item = (&'c Target, &'c Health)> {
        let range = self.node(place).map(|node| node.targets.clone()).unwrap_or_default();
        let (targets, health) = (self.targets, self.health);
        range.filter_map(move |at| Some((targets.get(at)?, &**health.get(at)?.as_ref()?)))
    }

    /// The open children with a target below that is able; all where none is.
    pub(super) fn capable(&self) -> Vec<usize> {
        let is_able = |place: &usize| self.below(*place).any(|(it, _)| self.attributes.is_able(it));
        let capable: Vec<usize> = self.open.iter().copied().filter(is_able).collect();
        if capable.is_empty() { self.open.to_vec() } else { capable }
    }

    /// The child of the least measure, of those measured alike the first.
    pub(super) fn least(
        &self,
        places: &[usize],
        mut measure: impl FnMut(&Self, usize) -> f64,
    ) -> Option<usize> {
        let measured = places.iter().map(|place| (*place, measure(self, *place)));
        let least = measured.min_by(|(_, one), (_, other)| one.total_cmp(other));
        least.map(|(place, _)| place)
    }

    /// The open child to which a session belongs.
    pub(super) fn sticky_target(&self, session: u64) -> Option<usize> {
        self.least(self.open, |it, place| {
            let drawn = point(mix(session ^ mix(place as u64 + 1)));
            // The smallest of exponential draws falls to each in the share of its rate.
            -(1.0 - drawn).ln() / it.weight(place).max(f64::MIN_POSITIVE)
        })
    }
}

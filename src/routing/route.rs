//! A checked route: a tree of groups, whose strategies select, and targets, which respond.
//!
//! The tree is stored flat: node 0 is the root, children follow their parent, and the targets below
//! a node are adjacent. All inherited settings are already applied to the targets.

use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use super::cache_rule::CacheRule;
use super::field::{BodyFields, Field};
use super::health::Health;
use super::node::RouteNode;
use super::outcome::AttemptOutcome;
use super::sticky::Sticky;
use super::strategy::Strategy;
use super::target::Target;

/// A checked route.
#[derive(Debug)]
pub struct Route {
    /// Its name; `inline` for one that came in a header.
    pub name: String,
    /// Never empty; the first is the root.
    pub(super) nodes: Vec<RouteNode>,
    /// The groups; nodes refer to them by index.
    pub(super) groups: Vec<Group>,
    /// In tree order; never empty.
    pub targets: Vec<Target>,
    /// Response caching, if enabled.
    pub cache: Option<CacheRule>,
    /// Timeout of the whole call, all attempts together.
    pub request_timeout: Option<Duration>,
    /// The request attributes, except body members, that select a target: responses are cached
    /// separately for each.
    pub fields: Vec<Field>,
    /// The body members that select a target, including those of sticky sessions.
    pub body_fields: BodyFields,
    /// Size of the compiled patterns of its conditions, in bytes.
    pub(super) pattern_bytes: usize,
    /// Unknown names in a request header's config.
    pub warnings: Vec<String>,
}

/// Several nodes from which a strategy selects.
#[derive(Debug)]
pub(super) struct Group {
    pub strategy: Box<dyn Strategy>,
    /// Node indexes, at most [`Group::CHILDREN_MAX`].
    pub children: Vec<usize>,
    /// Which outcomes fail over to the next child.
    pub failover_on: FailoverOn,
    pub sticky: Option<Sticky>,
    /// Timeout of all attempts below, together.
    pub request_timeout: Option<Duration>,
    /// Turn counter, shared by all shards.
    pub turns: AtomicUsize,
}

impl Group {
    /// Children of a group, at most: the bits of a word.
    pub(super) const CHILDREN_MAX: usize = 64;
}

/// Which outcomes of a child fail over to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FailoverOn {
    /// None.
    Never,
    /// All but success.
    Failure,
    /// These statuses, and connection failures.
    Statuses(Vec<u16>),
}

impl FailoverOn {
    /// True if `outcome` fails over.
    pub(super) fn matches(&self, outcome: &AttemptOutcome) -> bool {
        match self {
            Self::Never => false,
            Self::Failure => !outcome.is_success(),
            Self::Statuses(statuses) => outcome.is_transport || statuses.contains(&outcome.status),
        }
    }
}

impl Route {
    /// The group of a node; none for a target.
    pub(super) fn group(&self, node: usize) -> Option<&Group> {
        self.groups.get(self.nodes.get(node)?.group?)
    }

    /// Memory of a config of `config_bytes`, in bytes; an upper estimate.
    pub(super) fn bytes(&self, config_bytes: usize) -> usize {
        // Each value of the config is stored once, even if inherited: values of `$in`, the smallest
        // ones, take 40 bytes for two bytes of text.
        let config = config_bytes.saturating_mul(24);
        let targets = self.targets.len() * (size_of::<Target>() + size_of::<Health>() + 256);
        config
            + targets
            + self.nodes.len() * (size_of::<RouteNode>() + 128)
            + self.groups.len() * size_of::<Group>()
            + 2 * self.pattern_bytes
    }

    /// True if there is nothing to select and nothing to retry.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        let is_plain =
            |target: &Target| target.retry.attempts == 0 && target.first_token_timeout.is_none();
        self.only_target().is_some_and(is_plain) && !self.has_group_rules()
    }

    /// True if a group may select no child, or has a timeout of its own: then it matters even with
    /// one target.
    fn has_group_rules(&self) -> bool {
        let mut groups = (0..self.nodes.len()).filter_map(|node| Some((node, self.group(node)?)));
        // The outermost timeout is the route's.
        groups.any(|(node, it)| {
            it.strategy.may_select_none() || node > 0 && it.request_timeout.is_some()
        })
    }

    /// The target, if there is only one.
    #[must_use]
    pub fn only_target(&self) -> Option<&Target> {
        match self.targets.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }
}

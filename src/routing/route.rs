//! A route as it is used: a tree of groups, whose strategies choose, and targets, which answer.
//!
//! The tree is stored flat: node 0 is the root, children come after their parent, and the targets below
//! a node are neighbors. All that is inherited has been handed down already.

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
    /// The groups of those nodes that are one.
    pub(super) groups: Vec<Group>,
    /// In the order of the tree; never empty.
    pub targets: Vec<Target>,
    /// Whether and how answers are cached.
    pub cache: Option<CacheRule>,
    /// Limit of the whole call, all attempts together.
    pub request_timeout: Option<Duration>,
    /// What of a request decides where it goes, its body apart: others get other answers.
    pub fields: Vec<Field>,
    /// The members of a request's body that decide where it goes, sticky sessions included.
    pub body_fields: BodyFields,
    /// Compiled patterns of its conditions, in bytes.
    pub(super) pattern_bytes: usize,
    /// Names in a request header that mean nothing here.
    pub warnings: Vec<String>,
}

/// Several places of which a strategy chooses.
#[derive(Debug)]
pub(super) struct Group {
    pub strategy: Box<dyn Strategy>,
    /// Nodes, at most [`Group::CHILDREN_MAX`].
    pub children: Vec<usize>,
    /// Which outcomes fail over to the next child.
    pub failover_on: FailoverOn,
    pub sticky: Option<Sticky>,
    /// Limit of all attempts below, together.
    pub request_timeout: Option<Duration>,
    /// Turns that were taken, of all shards.
    pub turns: AtomicUsize,
}

impl Group {
    /// Children a group may have: as many as a word has bits.
    pub(super) const CHILDREN_MAX: usize = 64;
}

/// Which outcomes of one child fail over to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FailoverOn {
    /// None.
    Never,
    /// All but success.
    Failure,
    /// These statuses, and providers that cannot be reached.
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

    /// Memory that a config of `config_bytes` takes, in bytes, rather too much than too little.
    pub(super) fn bytes(&self, config_bytes: usize) -> usize {
        // Each value of the config is kept once, whatever inherits it: values of `$in`, the smallest there
        // are, take 40 bytes for two.
        let config = config_bytes.saturating_mul(24);
        let targets = self.targets.len() * (size_of::<Target>() + size_of::<Health>() + 256);
        config
            + targets
            + self.nodes.len() * (size_of::<RouteNode>() + 128)
            + self.groups.len() * size_of::<Group>()
            + 2 * self.pattern_bytes
    }

    /// True if there is nothing to choose and nothing to repeat.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        let is_plain =
            |target: &Target| target.retry.attempts == 0 && target.first_token_timeout.is_none();
        self.only_target().is_some_and(is_plain) && !self.has_group_rules()
    }

    /// True if a group may select no child, or has a limit of its own: then it counts also around one
    /// target.
    fn has_group_rules(&self) -> bool {
        let mut groups = (0..self.nodes.len()).filter_map(|node| Some((node, self.group(node)?)));
        // The outermost limit is the route's.
        groups.any(|(node, it)| {
            it.strategy.may_select_none() || node > 0 && it.request_timeout.is_some()
        })
    }

    /// The one target, if there is no other.
    #[must_use]
    pub fn only_target(&self) -> Option<&Target> {
        match self.targets.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }
}

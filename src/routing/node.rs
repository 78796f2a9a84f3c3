//! One node of a route's tree, as a strategy sees it.

use std::ops::Range;

/// A target, or a group of nodes.
#[derive(Debug)]
pub(super) struct RouteNode {
    pub name: Option<String>,
    /// Its weight in a draw; finite, not negative.
    pub weight: f64,
    /// The targets below it, or the target itself.
    pub targets: Range<usize>,
    /// The index of its group; `None` for a target.
    pub group: Option<usize>,
}

impl RouteNode {
    /// The index of its target, if it is one.
    pub(super) fn target(&self) -> Option<usize> {
        self.group.is_none().then_some(self.targets.start)
    }
}

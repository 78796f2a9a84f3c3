//! One place in the tree of a route, as a strategy sees it.

use std::ops::Range;

/// A target, or a group of nodes.
#[derive(Debug)]
pub(super) struct RouteNode {
    pub name: Option<String>,
    /// Its share where shares are drawn; finite, not negative.
    pub weight: f64,
    /// The targets below it, or itself.
    pub targets: Range<usize>,
    /// The place of its group; none: it is the one target.
    pub group: Option<usize>,
}

impl RouteNode {
    /// The place of its target, if it is one.
    pub(super) fn target(&self) -> Option<usize> {
        self.group.is_none().then_some(self.targets.start)
    }
}

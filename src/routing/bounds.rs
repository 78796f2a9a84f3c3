//! Limits of a whole route, checked once its tree is known: concurrent provider calls, and request
//! fields that it reads.

use std::collections::HashSet;

use super::field::{BodyFields, Field};
use super::limits::{LANES_MAX, Limits};
use super::node::RouteNode;
use super::route::{Group, Route};
use super::strategy::Execution;
use crate::base::{Diagnostics, member_path};

/// Reports a tree that may have too many calls in flight.
pub(super) fn check_lanes(
    nodes: &[RouteNode],
    groups: &[Group],
    path: &str,
    diagnostics: &mut Diagnostics,
) {
    let lanes = nodes.first().map_or(0, |root| lanes(nodes, groups, root));
    if lanes > LANES_MAX {
        let message = format!(
            "expected at most {LANES_MAX} provider calls at a time, races and mirrors inside one \
             another multiplied out, got {lanes}"
        );
        diagnostics.add(&member_path(path, "strategy"), message, "let fewer targets race");
    }
}

/// Concurrent provider calls at and below `node`, mirrored copies included.
fn lanes(nodes: &[RouteNode], groups: &[Group], node: &RouteNode) -> usize {
    let Some(group) = node.group.and_then(|group| groups.get(group)) else { return 1 };
    let below = group.children.iter().filter_map(|child| nodes.get(*child));
    let mut below = below.map(|child| lanes(nodes, groups, child));
    match group.strategy.execution() {
        Execution::Race(_) => below.sum(),
        // Only one target of a group gets a copy.
        Execution::Mirror => below.next().unwrap_or(0) + below.count(),
        Execution::Sequential => below.max().unwrap_or(0),
    }
}

/// Collects the fields that the strategies of `route` read, and reports too many of them.
pub(super) fn collect_fields(
    route: &mut Route,
    limits: &Limits,
    path: &str,
    diagnostics: &mut Diagnostics,
) {
    let fields = distinct(route.groups.iter().flat_map(|group| group.strategy.fields()));
    let sticky =
        route.groups.iter().flat_map(|group| &group.sticky).flat_map(|sticky| &sticky.fields);
    let all = distinct(fields.iter().chain(sticky));
    if all.len() > limits.fields {
        let message = format!(
            "expected conditions and sticky sessions to look at {} different fields at most, got {}",
            limits.fields,
            all.len()
        );
        diagnostics.add(&member_path(path, "strategy"), message, "");
    }
    route.body_fields = BodyFields::of(&all);
    route.fields = fields;
}

/// Each field once, in order of first use.
fn distinct<'f>(fields: impl Iterator<Item = &'f Field>) -> Vec<Field> {
    let mut seen = HashSet::new();
    fields.filter(|field| seen.insert(*field)).cloned().collect()
}

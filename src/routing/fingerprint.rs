//! A hash of the parts of a route that affect its responses; cached responses are shared by it.

use super::node::RouteNode;
use super::route::Group;
use super::target::Target;
use crate::base::Secret;

/// A hash of the providers and edits of `targets`, and of the conditions that select among them.
/// Weights are not included: a response is valid from any target of a draw.
pub(super) fn fingerprint(targets: &[Target], nodes: &[RouteNode], groups: &[Group]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for node in nodes {
        let group = node.group.and_then(|group| groups.get(group));
        if let Some(group) = group.filter(|group| !group.strategy.fields().is_empty()) {
            hasher.update(format!("{node:?} {group:?}\n").as_bytes());
        }
    }
    for it in targets {
        let key = it.api_key.as_ref().map_or("", Secret::reveal);
        hasher.update(blake3::hash(key.as_bytes()).as_bytes());
        let identity = (&it.provider, &it.override_model, &it.custom_host, &it.forward_headers);
        let drops = it.drop_params.chosen;
        hasher.update(format!("{identity:?} {drops}\n").as_bytes());
        for params in [&it.override_params, &it.default_params] {
            let members = params.iter().flat_map(|params| params.members());
            for text in members.flat_map(|(name, json)| [name.as_bytes(), json]) {
                hasher.update(&(text.len() as u64).to_le_bytes()).update(text);
            }
            hasher.update(b"\n");
        }
    }
    // The paths that the bits of the targets represent.
    if let Some(first) = targets.first() {
        hasher.update(format!("{:?}", first.drop_params.paths).as_bytes());
    }
    *hasher.finalize().as_bytes()
}

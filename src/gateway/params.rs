//! The edits that a target makes of a request's body: defaults, overrides, the model, and last what is
//! dropped.

use std::borrow::Cow;

use super::endpoint::Endpoint;
use super::prepare::Change;
use super::receive::{Body, Request};
use crate::llm::{Outline, quote};
use crate::routing::{DropPath, Target};

/// The edits for `target`, and the model that was chosen.
pub(super) fn changes(
    request: &Request,
    target: Option<&Target>,
    model: Option<&str>,
) -> Vec<Change> {
    let mut changes = Vec::new();
    let Body::Json { bytes, outline } = &request.body else { return changes };
    if let Some(target) = target {
        let defaults = target.default_params.iter();
        changes.extend(
            defaults.map(|(key, json)| Change::Default { key: key.clone(), json: json.clone() }),
        );
        let overrides = target.override_params.iter();
        changes.extend(
            overrides.map(|(key, json)| Change::Set { key: key.clone(), json: json.clone() }),
        );
    }
    let is_in_path = request.endpoint == Endpoint::GenerateContent || request.path_model.is_some();
    if let Some(model) = model.filter(|it| outline.model.as_deref() != Some(it))
        && !is_in_path
    {
        changes.push(Change::Set { key: "model".to_owned(), json: quote(model) });
    }
    for drop in target.into_iter().flat_map(|target| &target.drop_params) {
        take_out(&mut changes, drop, (outline, bytes));
    }
    changes
}

/// Takes out what `drop` names, of the body as the changes so far leave it.
fn take_out(changes: &mut Vec<Change>, drop: &DropPath, (outline, body): (&Outline, &[u8])) {
    let key = drop.member();
    let is_meant = |change: &Change| match change {
        Change::Set { key: it, .. }
        | Change::Default { key: it, .. }
        | Change::Remove { key: it } => it == key,
    };
    let value = match changes.iter().rev().find(|change| is_meant(change)) {
        Some(Change::Remove { .. }) => return,
        Some(Change::Set { json, .. }) => Some(Cow::Borrowed(&**json)),
        Some(Change::Default { json, .. }) => {
            Some(outline.value(body, key).map_or(Cow::Borrowed(&**json), Cow::Borrowed))
        }
        None => outline.value(body, key).map(Cow::Borrowed),
    };
    let Some(value) = value else { return };
    let change = if drop.is_whole_member() {
        Change::Remove { key: key.to_owned() }
    } else {
        match drop.remove_from(&value) {
            Some(json) => Change::Set { key: key.to_owned(), json },
            None => return,
        }
    };
    changes.retain(|change| !is_meant(change));
    changes.push(change);
}

//! The edits that a target makes of a request's body: defaults, overrides, the model, and last what is
//! dropped.

use std::sync::Arc;

use super::form;
use super::prepare::Change;
use super::receive::{Body, Request};
use crate::dialects::{GEMINI_MODEL_MEMBERS, gemini_with_model};
use crate::llm::{Outline, quote};
use crate::routing::{DropMember, Target};

/// The edits for `target`, and the model that was chosen. Takes one pass over the body, however many they
/// are.
pub(super) fn changes(
    request: &Request,
    target: Option<&Target>,
    model: Option<&str>,
) -> Vec<Change> {
    if let Some(form) = request.form() {
        return form::changes(form, target, model);
    }
    let mut changes = Vec::new();
    let Body::Json { bytes, outline } = &request.body else { return changes };
    if let Some(target) = target {
        changes.extend(target.default_params.as_ref().map(|it| Change::Defaults(Arc::clone(it))));
        changes.extend(target.override_params.as_ref().map(|it| Change::Overrides(Arc::clone(it))));
    }
    let is_in_path = request.endpoint.has_model_in_path();
    let sets_model = || {
        let params = target.into_iter().flat_map(|it| [&it.default_params, &it.override_params]);
        params.flatten().any(|params| params.get("model").is_some())
    };
    if is_in_path && outline.value(bytes, "model").is_none() && sets_model() {
        // Not all of Google's bodies have this member, and where they have it means the path's.
        changes.push(Change::Remove { key: "model".to_owned() });
    }
    // An override is written as the target has it, with a provider's name before it if it has one.
    let is_set = target.is_some_and(|target| target.override_model.is_some());
    if let Some(model) = model.filter(|it| is_set || outline.model.as_deref() != Some(it)) {
        if is_in_path {
            changes.extend(renamed(model, (outline, bytes)));
        } else {
            changes.push(Change::Set { key: "model".to_owned(), json: quote(model) });
        }
    }
    if let Some(target) = target.filter(|target| !target.drop_params.is_empty()) {
        let dropped = target.drop_params.members();
        let dropped: Vec<Change> =
            dropped.filter_map(|drop| take_out(&changes, drop, (outline, bytes))).collect();
        changes.extend(dropped);
    }
    changes
}

/// The JSON text of the member `key`, as the changes leave it.
pub(super) fn value_after<'v>(
    changes: &'v [Change],
    key: &str,
    (outline, body): (&Outline, &'v [u8]),
) -> Option<&'v [u8]> {
    let of_body = || outline.value(body, key);
    for change in changes.iter().rev() {
        let value = match change {
            Change::Set { key: it, json } if it == key => Some(json.as_slice()),
            Change::Remove { key: it } if it == key => return None,
            Change::Overrides(params) => params.get(key),
            Change::Defaults(params) => params.get(key).map(|json| of_body().unwrap_or(json)),
            Change::Set { .. } | Change::Remove { .. } => None,
        };
        if value.is_some() {
            return value;
        }
    }
    of_body()
}

/// The edits of a body of Google's that repeats the model of its path, where the path gets another.
fn renamed(model: &str, (outline, body): (&Outline, &[u8])) -> Vec<Change> {
    let members = GEMINI_MODEL_MEMBERS.into_iter();
    let change = |key: &str| {
        let json = gemini_with_model(key, outline.value(body, key)?, model)?;
        Some(Change::Set { key: key.to_owned(), json })
    };
    members.filter_map(change).collect()
}

/// Takes out what `drop` names, of the body as the changes so far leave it.
fn take_out(
    changes: &[Change],
    drop: DropMember<'_>,
    (outline, body): (&Outline, &[u8]),
) -> Option<Change> {
    let key = drop.name;
    let value = value_after(changes, key, (outline, body))?;
    if drop.is_whole() {
        return Some(Change::Remove { key: key.to_owned() });
    }
    let json = drop.remove_from(value)?;
    Some(Change::Set { key: key.to_owned(), json })
}

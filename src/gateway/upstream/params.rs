//! The edits that a target makes of a request's body: defaults, overrides, the model, and last what is
//! dropped.

use std::sync::Arc;

use super::edits::BodyEdit;
use super::form_edits;
use crate::dialects::{GEMINI_MODEL_MEMBERS, gemini_with_model};
use crate::gateway::context::{Body, Request};
use crate::llm::{Outline, quote};
use crate::routing::{DropMember, Target};

/// The edits for `target`, and the model that was chosen. Takes one pass over the body, however many they
/// are.
pub(crate) fn body_edits(
    request: &Request,
    target: Option<&Target>,
    model: Option<&str>,
) -> Vec<BodyEdit> {
    if let Some(form) = request.form() {
        return form_edits::body_edits(form, target, model);
    }
    let mut edits = Vec::new();
    let Body::Json { bytes, outline } = &request.body else { return edits };
    if let Some(target) = target {
        edits.extend(target.default_params.as_ref().map(|it| BodyEdit::Defaults(Arc::clone(it))));
        edits.extend(target.override_params.as_ref().map(|it| BodyEdit::Overrides(Arc::clone(it))));
    }
    let is_in_path = request.endpoint.has_model_in_path();
    let sets_model = || {
        let params = target.into_iter().flat_map(|it| [&it.default_params, &it.override_params]);
        params.flatten().any(|params| params.get("model").is_some())
    };
    if is_in_path && outline.value(bytes, "model").is_none() && sets_model() {
        // Not all of Google's bodies have this member, and where they have it means the path's.
        edits.push(BodyEdit::Remove { key: "model".to_owned() });
    }
    // An override is written as the target has it, with a provider's name before it if it has one.
    let is_set = target.is_some_and(|target| target.override_model.is_some());
    if let Some(model) = model.filter(|it| is_set || outline.model.as_deref() != Some(it)) {
        if is_in_path {
            edits.extend(renamed(model, (outline, bytes)));
        } else {
            edits.push(BodyEdit::Set { key: "model".to_owned(), json: quote(model) });
        }
    }
    if let Some(target) = target.filter(|target| !target.drop_params.is_empty()) {
        let dropped = target.drop_params.members();
        let dropped: Vec<BodyEdit> =
            dropped.filter_map(|drop| apply_drop(&edits, drop, (outline, bytes))).collect();
        edits.extend(dropped);
    }
    edits
}

/// The JSON text of the member `key`, as the edits leave it.
pub(crate) fn value_after<'v>(
    edits: &'v [BodyEdit],
    key: &str,
    (outline, body): (&Outline, &'v [u8]),
) -> Option<&'v [u8]> {
    let of_body = || outline.value(body, key);
    for edit in edits.iter().rev() {
        let value = match edit {
            BodyEdit::Set { key: it, json } if it == key => Some(json.as_slice()),
            BodyEdit::Remove { key: it } if it == key => return None,
            BodyEdit::Overrides(params) => params.get(key),
            BodyEdit::Defaults(params) => params.get(key).map(|json| of_body().unwrap_or(json)),
            BodyEdit::Set { .. } | BodyEdit::Remove { .. } => None,
        };
        if value.is_some() {
            return value;
        }
    }
    of_body()
}

/// The edits of a body of Google's that repeats the model of its path, where the path gets another.
fn renamed(model: &str, (outline, body): (&Outline, &[u8])) -> Vec<BodyEdit> {
    let members = GEMINI_MODEL_MEMBERS.into_iter();
    let edit = |key: &str| {
        let json = gemini_with_model(key, outline.value(body, key)?, model)?;
        Some(BodyEdit::Set { key: key.to_owned(), json })
    };
    members.filter_map(edit).collect()
}

/// Takes out what `drop` names, of the body as the edits so far leave it.
fn apply_drop(
    edits: &[BodyEdit],
    drop: DropMember<'_>,
    (outline, body): (&Outline, &[u8]),
) -> Option<BodyEdit> {
    let key = drop.name;
    let value = value_after(edits, key, (outline, body))?;
    if drop.is_whole() {
        return Some(BodyEdit::Remove { key: key.to_owned() });
    }
    let json = drop.remove_from(value)?;
    Some(BodyEdit::Set { key: key.to_owned(), json })
}

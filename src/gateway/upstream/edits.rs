//! Edits of top-level members of a request body.

use std::sync::Arc;

use super::resolve::ResolvedProvider;
use crate::gateway::context::{GatewayError, Request};
use crate::llm::{Edit, Outline, quote};
use crate::routing::Params;

impl BodyEdit {
    /// The same as the JSON scanner takes them.
    pub(crate) fn json_edits(edits: &[Self]) -> Vec<Edit<'_>> {
        let mut json_edits = Vec::with_capacity(edits.len());
        for edit in edits {
            match edit {
                Self::Defaults(params) => {
                    json_edits
                        .extend(params.members().map(|(key, json)| Edit::Default { key, json }));
                }
                Self::Overrides(params) => {
                    json_edits.extend(params.members().map(|(key, json)| Edit::Set { key, json }));
                }
                Self::Set { key, json } => json_edits.push(Edit::Set { key, json }),
                Self::Remove { key } => json_edits.push(Edit::Remove { key }),
            }
        }
        json_edits
    }

    /// Bytes that it keeps of its own.
    pub(crate) fn own_bytes(&self) -> usize {
        match self {
            Self::Set { json, .. } => json.len(),
            Self::Defaults(_) | Self::Overrides(_) | Self::Remove { .. } => 0,
        }
    }
}

/// An edit of top-level members of the body.
#[derive(Clone, Debug)]
pub(crate) enum BodyEdit {
    /// Members that are set where the client gives none.
    Defaults(Arc<Params>),
    /// Members that replace the client's.
    Overrides(Arc<Params>),
    Set {
        key: String,
        json: Vec<u8>,
    },
    Remove {
        key: String,
    },
}

/// The members that the vendor wants elsewhere than its dialect has them.
pub(crate) fn vendor_edits(request: &Request, resolved: &ResolvedProvider) -> Vec<BodyEdit> {
    if !request.endpoint.is_metered() {
        return Vec::new();
    }
    let model = resolved.model.as_deref();
    let members = resolved.upstream.provider.members(model).into_iter();
    let edit = |(key, text): (&str, Option<&str>)| match text {
        Some(text) => BodyEdit::Set { key: key.to_owned(), json: quote(text) },
        None => BodyEdit::Remove { key: key.to_owned() },
    };
    members.map(edit).collect()
}

/// The body with the edits of its vendor.
pub(crate) fn edited(body: Vec<u8>, edits: &[BodyEdit]) -> Result<Vec<u8>, GatewayError> {
    if edits.is_empty() {
        return Ok(body);
    }
    let outline = Outline::read(&body).map_err(GatewayError::Json)?;
    let mut edited = Vec::with_capacity(body.len() + 128);
    outline.splice(&body, &BodyEdit::json_edits(edits), &mut edited);
    Ok(edited)
}

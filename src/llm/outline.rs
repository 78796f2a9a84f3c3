//! What the line needs to know of a request, read in one pass.

use std::borrow::Cow;
use std::ops::Range;

use simd_json::prelude::*;
use simd_json::tape::Value;

use super::document::Document;
use super::edit::{Edit, splice};
use super::error::JsonError;
use super::members::Members;

/// A request in brief: owned and small, with no reference into the body but byte offsets, so that it
/// can outlive the parse. The methods that take `body` want the bytes it was read from.
#[derive(Clone, Debug, Default)]
pub struct Outline {
    /// `model`, unescaped.
    pub model: Option<String>,
    /// `stream` is true.
    pub stream: bool,
    /// `stream_options.include_usage` is true: the client wants the usage chunk.
    pub include_usage: bool,
    /// `user`, if it is a string.
    pub user: Option<String>,
    /// `max_completion_tokens`, else `max_tokens`, if it is a whole number.
    pub max_tokens: Option<u64>,
    pub(super) members: Members,
}

impl Outline {
    /// Reads a request whose root is an object.
    pub(super) fn read(document: &Document<'_, '_, '_>) -> Result<Self, JsonError> {
        let mut outline = Self { members: document.members()?, ..Self::default() };
        let mut completion_tokens_max = None;
        for (key, value) in document.root.iter() {
            match key {
                "model" => outline.model = Some(string(&value, "model")?),
                "stream" => outline.stream = flag(&value, "stream")?,
                "stream_options" => outline.include_usage = include_usage(&value)?,
                "user" => outline.user = value.as_str().map(str::to_owned),
                "max_tokens" => outline.max_tokens = value.as_u64(),
                "max_completion_tokens" => completion_tokens_max = value.as_u64(),
                _ => {}
            }
        }
        outline.max_tokens = completion_tokens_max.or(outline.max_tokens);
        Ok(outline)
    }

    /// True if the top level has a member `key`, null or not.
    #[must_use]
    pub fn has(&self, body: &[u8], key: &str) -> bool {
        self.members.find(body, key).is_some()
    }

    /// The JSON text of the top-level member `key`, as written.
    #[must_use]
    pub fn value<'body>(&self, body: &'body [u8], key: &str) -> Option<&'body [u8]> {
        self.members.find(body, key).map(|index| self.members.value(body, index))
    }

    /// Where in `body` the JSON text of the top-level member `key` stands.
    #[must_use]
    pub fn span(&self, body: &[u8], key: &str) -> Option<Range<usize>> {
        let index = self.members.find(body, key)?;
        Some(self.members.value_start(body, index)..self.members.value_end(body, index))
    }

    /// The top-level members in the order they were written: unescaped name and JSON text.
    pub fn members<'body>(
        &self,
        body: &'body [u8],
    ) -> impl Iterator<Item = (Cow<'body, [u8]>, &'body [u8])> {
        let members = &self.members;
        (0..members.count())
            .map(move |index| (members.key(body, index), members.value(body, index)))
    }

    /// Appends `body` to `out` with `edits` made; all else is copied byte for byte. Costs one copy of
    /// the body and nothing else that grows with it.
    pub fn splice(&self, body: &[u8], edits: &[Edit<'_>], out: &mut Vec<u8>) {
        splice(&self.members, body, edits, out);
    }
}

fn string(value: &Value<'_, '_>, key: &'static str) -> Result<String, JsonError> {
    value.as_str().map(str::to_owned).ok_or(JsonError::WrongType { key, expected: "a string" })
}

/// Null counts as false: clients with optional fields send it.
fn flag(value: &Value<'_, '_>, key: &'static str) -> Result<bool, JsonError> {
    if value.is_null() {
        return Ok(false);
    }
    value.as_bool().ok_or(JsonError::WrongType { key, expected: "true, false or null" })
}

fn include_usage(value: &Value<'_, '_>) -> Result<bool, JsonError> {
    if value.is_null() {
        return Ok(false);
    }
    let options = value
        .as_object()
        .ok_or(JsonError::WrongType { key: "stream_options", expected: "an object or null" })?;
    Ok(options.get("include_usage").and_then(|value| value.as_bool()) == Some(true))
}

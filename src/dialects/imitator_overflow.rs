//! A context overflow that a provider reports in other words than the vendor whose dialect it imitates.

use super::context_overflow::{CONTEXT_LENGTH_EXCEEDED, has_wording_of, is_overflow};
use super::provider_codec;
use crate::llm::{
    ApiError, Chunk, Dialect, Edit, Node, Scanner, edit_members, member_text, write_object,
};

/// The error in an error response of `dialect`, if it is a context overflow that the vendor's own
/// clients would not recognize. None if the response can stay as it is.
#[must_use]
pub fn overflow_of_imitator(dialect: Dialect, status: u16, root: Node<'_>) -> Option<ApiError> {
    let error = provider_codec(dialect)?.read_error(status, Some(root));
    if !is_overflow(&error) {
        return None;
    }
    let inner = root.get("error");
    let code = inner.and_then(|inner| inner.get("code")).and_then(Node::text);
    let is_known = match dialect {
        Dialect::OpenaiChat | Dialect::OpenaiResponses => code == Some(CONTEXT_LENGTH_EXCEEDED),
        _ => inner.is_some_and(|inner| has_wording_of(inner.text_of("message"), dialect)),
    };
    (!is_known || status != 400).then_some(error)
}

/// Like [`overflow_of_imitator`], for an event of a stream.
pub fn overflow_in_event(
    dialect: Dialect,
    name: Option<&str>,
    data: &[u8],
    scanner: &mut Scanner,
) -> Option<ApiError> {
    let codec = provider_codec(dialect)?;
    let mut chunks = Vec::new();
    codec.stream_decoder().event(name, data, scanner, &mut chunks).ok()?;
    let error = chunks.into_iter().find_map(|chunk| match chunk {
        Chunk::Error(error) if is_overflow(&error) => Some(error),
        _ => None,
    })?;
    let has_code = |root: Node<'_>| {
        let holder = root.get("response").unwrap_or(root);
        holder.get("error").unwrap_or(holder).text_of("code") == CONTEXT_LENGTH_EXCEEDED
    };
    let is_known = match dialect {
        Dialect::OpenaiChat | Dialect::OpenaiResponses => scanner.read(data, has_code) == Ok(true),
        _ => has_wording_of(&error.message, dialect),
    };
    (!is_known).then_some(error)
}

/// `data` of an event of OpenAI's responses, with `error` as the error of the response in it. None if
/// the event has no response.
#[must_use]
pub fn with_overflow(data: &[u8], error: &ApiError) -> Option<Vec<u8>> {
    let response = member_text(data, "response").filter(|text| text.starts_with(b"{"))?;
    let mut json = Vec::new();
    write_object(&mut json, |object| {
        object.text("code", CONTEXT_LENGTH_EXCEEDED);
        object.text("message", &error.message);
    });
    let response = edit_members(response, &[Edit::Set { key: "error", json: &json }]);
    Some(edit_members(data, &[Edit::Set { key: "response", json: &response }]))
}

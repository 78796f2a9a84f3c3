//! Responses whose status is success, and which are errors all the same: of any dialect, complete or as
//! the first event of a stream.

use super::codec::ProviderCodec;
use super::embedded_error::read_embedded;
use super::{bedrock_converse, gemini, openai_chat, provider_codec};
use crate::llm::{ApiError, Chunk, Dialect, Node, Scanner, is_error_answer};

/// The error of a complete chat response that holds an error, a stop reason that reports a failure, or
/// nothing at all. None for a usable response.
#[must_use]
pub fn failure_of_answer(dialect: Dialect, root: Node<'_>) -> Option<ApiError> {
    if is_error_answer(root) {
        return Some(error_in_answer(dialect, root));
    }
    match dialect {
        Dialect::OpenaiChat => openai_chat::failure(root),
        Dialect::Gemini => gemini::failure(root),
        Dialect::BedrockConverse => bedrock_converse::failure(root),
        _ => None,
    }
}

/// The error that the first event with content reports by its stop reason alone. None for content.
pub fn failure_of_event(
    dialect: Dialect,
    name: Option<&str>,
    data: &[u8],
    scanner: &mut Scanner,
) -> Option<ApiError> {
    if !matches!(dialect, Dialect::Gemini | Dialect::BedrockConverse) {
        return None;
    }
    let mut chunks = Vec::new();
    provider_codec(dialect)?.stream_decoder().event(name, data, scanner, &mut chunks).ok()?;
    chunks.into_iter().find_map(|chunk| match chunk {
        Chunk::Error(error) => Some(error),
        _ => None,
    })
}

/// The error that a complete response holds, if [`is_error_answer`] is true for it, with the status
/// that it would have had.
#[must_use]
pub fn error_in_answer(dialect: Dialect, root: Node<'_>) -> ApiError {
    let codec = provider_codec(dialect).unwrap_or(&openai_chat::OpenaiChat as &dyn ProviderCodec);
    read_embedded(root, |status, holder| {
        // Amazon and Cohere have no member `error`; proxies in front of them do.
        let inner = holder.get("error").filter(|error| error.is_object());
        let is_bare = matches!(dialect, Dialect::BedrockConverse | Dialect::CohereChat);
        codec.read_error(status, inner.filter(|_| is_bare).or(Some(holder)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(dialect: Dialect, body: &str) -> ApiError {
        let read = |root: Node<'_>| error_in_answer(dialect, root);
        Scanner::default().read(body.as_bytes(), read).expect("JSON")
    }

    #[test]
    fn embedded_message_is_read_in_every_dialect() {
        for dialect in Dialect::ALL {
            for body in [
                r#"{"error":{"message":"why","code":429}}"#,
                r#"{"error":{"message":"why","type":"rate_limit_error"},"choices":null}"#,
                r#"{"choices":[{"finish_reason":"error","error":{"message":"why","code":429}}]}"#,
                r#"{"Output":{"__type":"ThrottlingException","message":"why"}}"#,
            ] {
                let error = read(dialect, body);
                let found = (error.status, error.message.as_str());
                assert_eq!(found, (429, "why"), "{dialect:?}: {body}");
            }
            let silent = read(dialect, r#"{"choices":[{"finish_reason":"error"}]}"#);
            let expected = (502, "the provider could not finish its answer");
            assert_eq!((silent.status, silent.message.as_str()), expected, "{dialect:?}");
        }
    }
}

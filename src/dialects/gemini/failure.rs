//! Responses that report a failure: a blocked prompt, a call that Google could not parse, no candidate
//! at all.

use crate::dialects::embedded_error::UNKNOWN_STATUS;
use crate::llm::{ApiError, Node};

/// Finish reasons without a response: the model's output could not be parsed as a call, or called what
/// it must not (reference of `FinishReason`, read November 2026).
const FAILURES: [&str; 5] = [
    "MALFORMED_FUNCTION_CALL",
    "MALFORMED_RESPONSE",
    "UNEXPECTED_TOOL_CALL",
    "TOO_MANY_TOOL_CALLS",
    "MISSING_THOUGHT_SIGNATURE",
];

/// The failure in a complete response.
pub(in crate::dialects) fn failure(root: Node<'_>) -> Option<ApiError> {
    failure_of(root, true).or_else(|| {
        let has_none = match root.get("candidates") {
            Some(candidates) => candidates.is_array() && candidates.count() == 0,
            None => root.get("usageMetadata").is_some(),
        };
        has_none.then(|| ApiError {
            status: UNKNOWN_STATUS,
            message: "the provider's answer has no candidates".to_owned(),
            kind: String::new(),
            code: None,
            param: None,
        })
    })
}

/// The failure in a response or in one event. A prompt is blocked before the first candidate only.
pub(super) fn failure_of(root: Node<'_>, is_first: bool) -> Option<ApiError> {
    let candidates = root.get("candidates");
    let mut failed = candidates.into_iter().flat_map(Node::items).filter_map(failed_candidate);
    if let Some(error) = failed.next() {
        return Some(error);
    }
    let has_candidates = candidates.is_some_and(|it| it.count() > 0);
    let feedback = root.get("promptFeedback").filter(|_| is_first && !has_candidates)?;
    let reason = feedback.get("blockReason")?.text().unwrap_or_default();
    let message = match feedback.text_of("blockReasonMessage") {
        "" => format!("the provider blocked the prompt ({reason})"),
        message => message.to_owned(),
    };
    Some(ApiError {
        status: 400,
        message,
        kind: "invalid_request_error".to_owned(),
        code: Some("content_filter".to_owned()),
        param: None,
    })
}

fn failed_candidate(candidate: Node<'_>) -> Option<ApiError> {
    let reason = candidate.text_of("finishReason");
    if !FAILURES.contains(&reason) {
        return None;
    }
    let message = match candidate.text_of("finishMessage") {
        "" => format!("the model's answer could not be used ({reason})"),
        message => message.to_owned(),
    };
    Some(ApiError {
        status: UNKNOWN_STATUS,
        message,
        kind: String::new(),
        code: Some(reason.to_ascii_lowercase()),
        param: None,
    })
}

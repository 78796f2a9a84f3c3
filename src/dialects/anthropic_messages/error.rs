//! Errors of Anthropic, whose imitators often send OpenAI's format.

use crate::dialects::context_overflow::{is_overflow, message};
use crate::dialects::openai_chat;
use crate::llm::{ApiError, Dialect, Node, write_object};

/// Anthropic's types of errors and their statuses (its page "Errors").
const ERROR_TYPES: [(u16, &str); 11] = [
    (400, "invalid_request_error"),
    (401, "authentication_error"),
    (402, "billing_error"),
    (403, "permission_error"),
    (404, "not_found_error"),
    (409, "conflict_error"),
    (413, "request_too_large"),
    (429, "rate_limit_error"),
    (500, "api_error"),
    (504, "timeout_error"),
    (529, "overloaded_error"),
];

/// Reads an error of Anthropic or of an imitator, many of which use OpenAI's format.
pub(super) fn read(status: u16, body: Option<Node<'_>>) -> ApiError {
    let details = body.and_then(|body| body.get("error")?.get("details")?.get("error_code"));
    let code = details.and_then(Node::text).map(str::to_owned);
    let error = openai_chat::read_error(status, body);
    if is_overflow(&error) {
        return error;
    }
    ApiError { code: code.or(error.code), ..error }
}

/// Appends an error for a client. Its type depends on the status only, since the types of other vendors
/// have other meanings.
pub(super) fn write(error: &ApiError, out: &mut Vec<u8>) {
    let known = ERROR_TYPES.iter().find(|(status, _)| *status == error.status);
    let kind = match (known, error.status) {
        (Some((_, name)), _) => name,
        (None, 503) => "overloaded_error",
        // Bedrock's statuses for a model timeout and for a model error.
        (None, 408) => "timeout_error",
        (None, 424 | 500..) => "api_error",
        (None, _) => "invalid_request_error",
    };
    write_object(out, |root| {
        root.text("type", "error");
        root.object("error", |inner| {
            inner.text("type", kind);
            inner.text("message", &message(error, Dialect::AnthropicMessages));
            inner.optional_text("code", error.code.as_deref());
        });
        root.null("request_id");
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialects::embedded_error::error_status;
    use crate::llm::Scanner;

    fn parsed(status: u16, body: &str) -> ApiError {
        Scanner::default().read(body.as_bytes(), |root| read(status, Some(root))).expect("JSON")
    }

    #[test]
    fn error_types_translate_both_ways() {
        for (status, kind) in ERROR_TYPES {
            let body = format!(
                r#"{{"type":"error","error":{{"type":"{kind}","message":"no"}},"request_id":"r"}}"#
            );
            let error = parsed(status, &body);
            assert_eq!((error.status, error.kind.as_str()), (status, kind));
            let mut out = Vec::new();
            write(&error, &mut out);
            let expected = body.replace(r#""r""#, "null");
            assert_eq!(String::from_utf8(out).expect("UTF-8"), expected);
            let of_event = Scanner::default().read(body.as_bytes(), error_status);
            assert_eq!(of_event, Ok(status), "{kind}");
        }
        for (status, kind, expected) in [
            (401, "invalid_request_error", "authentication_error"),
            (429, "insufficient_quota", "rate_limit_error"),
            (422, "", "invalid_request_error"),
            (503, "server_error", "overloaded_error"),
            (502, "", "api_error"),
            (408, "", "timeout_error"),
            (424, "", "api_error"),
        ] {
            let error = ApiError {
                status,
                message: "no".to_owned(),
                kind: kind.to_owned(),
                code: None,
                param: None,
            };
            let mut out = Vec::new();
            write(&error, &mut out);
            let written = parsed(status, &String::from_utf8(out).expect("UTF-8"));
            assert_eq!(written.kind, expected, "{status}");
        }
    }

    #[test]
    fn errors_of_compatible_servers_are_read() {
        let detailed = r#"{"type":"error","error":{"type":"invalid_request_error","message":"old",
            "details":{"error_code":"file_expired"}}}"#;
        assert_eq!(parsed(400, detailed).code.as_deref(), Some("file_expired"));
        assert_eq!(parsed(400, r#"{"error":{"message":"m","code":7}}"#).message, "m");
        assert_eq!(parsed(400, r#"{"message":"m"}"#).message, "m");
        assert_eq!(parsed(404, r#"{"error":"m"}"#).message, "m");
        let nothing = read(502, None);
        assert_eq!(nothing.message, "the provider answered with status 502");
    }
}

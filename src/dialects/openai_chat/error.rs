//! Errors of OpenAI and its many imitators.

use crate::dialects::context_overflow::recognize;
use crate::dialects::error_text::message_of;
use crate::llm::{ApiError, Node, write_object};

/// Reads an error. Some imitators omit the inner object, some the message.
pub(in crate::dialects) fn read(status: u16, body: Option<Node<'_>>) -> ApiError {
    let error = body.and_then(|body| body.get("error")).or(body);
    let part = |key: &str| error.and_then(|error| error.get(key));
    let text = |key: &str| part(key).and_then(Node::text).map(str::to_owned);
    let code = part("code").and_then(|code| {
        code.text().map(str::to_owned).or_else(|| code.u64().map(|code| code.to_string()))
    });
    let message = error.and_then(message_of).or_else(|| body.and_then(message_of));
    recognize(ApiError {
        status,
        message: message.unwrap_or_else(|| format!("the provider answered with status {status}")),
        kind: text("type").unwrap_or_default(),
        code,
        param: text("param"),
    })
}

/// Appends an error for a client.
pub(in crate::dialects) fn write(error: &ApiError, out: &mut Vec<u8>) {
    write_object(out, |root| {
        root.object("error", |inner| {
            inner.text("message", &error.message);
            let kind = if error.kind.is_empty() { kind_of(error.status) } else { &error.kind };
            inner.text("type", kind);
            match &error.param {
                Some(param) => inner.text("param", param),
                None => inner.null("param"),
            }
            match &error.code {
                Some(code) => inner.text("code", code),
                None => inner.null("code"),
            }
        });
    });
}

/// OpenAI's error type for that status.
fn kind_of(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        429 => "rate_limit_error",
        // 424 is Amazon's status for a failed model.
        424 | 500.. => "server_error",
        _ => "invalid_request_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_types_are_translated() {
        for (status, expected) in [
            (400, "invalid_request_error"),
            (408, "invalid_request_error"),
            (424, "server_error"),
            (429, "rate_limit_error"),
            (529, "server_error"),
        ] {
            assert_eq!(kind_of(status), expected, "{status}");
        }
    }
}

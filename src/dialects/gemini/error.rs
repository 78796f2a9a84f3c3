//! Errors, with the names of google.rpc. Google sends some inside an array of one; readers here get
//! objects only, so that the status of such an error decides.

use std::time::Duration;

use crate::dialects::context_overflow::{message, recognize};
use crate::dialects::error_text::message_of;
use crate::llm::{ApiError, Dialect, Node, ObjectWriter, write_object};

/// HTTP statuses and the names for them (google.rpc.Code; the first of a status is its default).
const NAMES: [(u16, &str); 17] = [
    (400, "INVALID_ARGUMENT"),
    (400, "FAILED_PRECONDITION"),
    (400, "OUT_OF_RANGE"),
    (401, "UNAUTHENTICATED"),
    (402, "RESOURCE_EXHAUSTED"),
    (403, "PERMISSION_DENIED"),
    (404, "NOT_FOUND"),
    (409, "ABORTED"),
    (409, "ALREADY_EXISTS"),
    (429, "RESOURCE_EXHAUSTED"),
    (499, "CANCELLED"),
    (500, "INTERNAL"),
    (500, "UNKNOWN"),
    (500, "DATA_LOSS"),
    (501, "UNIMPLEMENTED"),
    (503, "UNAVAILABLE"),
    (504, "DEADLINE_EXCEEDED"),
];

/// Reads a provider's error.
pub(super) fn read(status: u16, body: Option<Node<'_>>) -> ApiError {
    let error = body.and_then(|body| body.get("error")).or(body);
    let text = |key: &str| error.and_then(|error| error.get(key)).and_then(Node::text);
    let message = error.and_then(message_of).or_else(|| body.and_then(message_of));
    let details = || error.and_then(|it| it.get("details")).into_iter().flat_map(Node::items);
    let code = details().find_map(|detail| detail.get("reason").and_then(Node::text));
    let fields = details().filter_map(|detail| detail.get("fieldViolations")).flat_map(Node::items);
    let mut params = fields.filter_map(|violation| violation.get("field").and_then(Node::text));
    recognize(ApiError {
        status,
        message: message.unwrap_or_else(|| format!("the provider answered with status {status}")),
        kind: text("status").unwrap_or_default().to_owned(),
        code: code.map(str::to_owned),
        param: params.next().map(str::to_owned),
    })
}

/// The delay in `google.rpc.RetryInfo`: seconds, with the suffix `s`.
pub(super) fn retry_delay(body: Node<'_>) -> Option<Duration> {
    let details = body.get("error")?.get("details")?;
    let delay = details.items().find_map(|detail| detail.get("retryDelay")?.text())?;
    Duration::try_from_secs_f64(delay.strip_suffix('s')?.parse().ok()?).ok()
}

/// Appends an error for a client.
pub(super) fn write(error: &ApiError, out: &mut Vec<u8>) {
    write_object(out, |root| {
        root.object("error", |inner| {
            inner.number("code", u64::from(error.status));
            inner.text("message", &message(error, Dialect::Gemini));
            inner.text("status", name(error));
            if error.code.is_some() || error.param.is_some() {
                inner.array("details", |details| {
                    if let Some(code) = &error.code {
                        details.object(|info| write_reason(info, code));
                    }
                    if let Some(param) = &error.param {
                        details.object(|request| write_field(request, param, &error.message));
                    }
                });
            }
        });
    });
}

fn write_reason(info: &mut ObjectWriter<'_>, code: &str) {
    info.text("@type", "type.googleapis.com/google.rpc.ErrorInfo");
    info.text("reason", code);
}

fn write_field(request: &mut ObjectWriter<'_>, param: &str, message: &str) {
    request.text("@type", "type.googleapis.com/google.rpc.BadRequest");
    request.array("fieldViolations", |violations| {
        violations.object(|violation| {
            violation.text("field", param);
            violation.text("description", message);
        });
    });
}

/// Google's name: the error's own if it is one, else that of the status.
fn name(error: &ApiError) -> &'static str {
    let own = NAMES.iter().find(|(_, name)| *name == error.kind);
    let of_status = NAMES.iter().find(|(status, _)| *status == error.status);
    match (own.or(of_status), error.status) {
        (Some((_, name)), _) => name,
        (None, 405) => "NOT_FOUND",
        (None, 408) => "DEADLINE_EXCEEDED",
        // Anthropic uses 529 for an overload.
        (None, 502 | 529) => "UNAVAILABLE",
        (None, 500..) => "INTERNAL",
        (None, _) => "INVALID_ARGUMENT",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::Scanner;

    fn found(status: u16, body: &str) -> ApiError {
        Scanner::default().read(body.as_bytes(), |root| read(status, Some(root))).expect("JSON")
    }

    #[test]
    fn error_classes_have_names() {
        for (status, kind, expected) in [
            (400, "", "INVALID_ARGUMENT"),
            (400, "FAILED_PRECONDITION", "FAILED_PRECONDITION"),
            (400, "invalid_request_error", "INVALID_ARGUMENT"),
            (401, "authentication_error", "UNAUTHENTICATED"),
            (402, "", "RESOURCE_EXHAUSTED"),
            (403, "", "PERMISSION_DENIED"),
            (404, "", "NOT_FOUND"),
            (405, "", "NOT_FOUND"),
            (408, "", "DEADLINE_EXCEEDED"),
            (413, "", "INVALID_ARGUMENT"),
            (422, "", "INVALID_ARGUMENT"),
            (429, "requests", "RESOURCE_EXHAUSTED"),
            (446, "", "INVALID_ARGUMENT"),
            (500, "server_error", "INTERNAL"),
            (502, "", "UNAVAILABLE"),
            (503, "", "UNAVAILABLE"),
            (504, "", "DEADLINE_EXCEEDED"),
            (529, "overloaded_error", "UNAVAILABLE"),
            (599, "", "INTERNAL"),
        ] {
            let error = ApiError {
                status,
                message: "m".to_owned(),
                kind: kind.to_owned(),
                code: Some("c".to_owned()),
                param: Some("p".to_owned()),
            };
            let mut out = Vec::new();
            write(&error, &mut out);
            let text = String::from_utf8(out).expect("UTF-8");
            let again = found(status, &text);
            assert_eq!(again, ApiError { kind: expected.to_owned(), ..error }, "{text}");
        }
    }

    #[test]
    fn retry_delays_are_read() {
        let info = |delay: &str| {
            format!(
                r#"{{"error":{{"code":429,"details":[{{"@type":"x"}},{{"@type":
                "type.googleapis.com/google.rpc.RetryInfo","retryDelay":"{delay}"}}]}}}}"#
            )
        };
        let read = |body: &str| Scanner::default().read(body.as_bytes(), retry_delay);
        for (body, expected) in [
            (info("34.5s"), Some(Duration::from_millis(34_500))),
            (info("0s"), Some(Duration::ZERO)),
            (info("-1s"), None),
            (info("soon"), None),
            (r#"{"error":{"code":429}}"#.to_owned(), None),
        ] {
            assert_eq!(read(&body), Ok(expected), "{body}");
        }
    }

    #[test]
    fn odd_errors_are_read_leniently() {
        assert_eq!(found(500, r#"{"error":"boom"}"#).message, "boom");
        assert_eq!(found(500, r#"{"message":"boom"}"#).message, "boom");
        assert_eq!(found(503, "{}").message, "the provider answered with status 503");
        assert_eq!(read(500, None).message, "the provider answered with status 500");
    }
}

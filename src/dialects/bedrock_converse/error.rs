//! Errors of Bedrock. A stream names them in the type of an event, a response in a header or a member.

use crate::dialects::context_overflow::{message, recognize};
use crate::dialects::error_text::message_of;
use crate::llm::{ApiError, Dialect, Node, write_object};

/// The service's errors (API reference, `Converse`, "Errors"): name in a stream, name elsewhere, and
/// status. The first of several with one status is its default.
pub(super) const EXCEPTIONS: [(&str, &str, u16); 10] = [
    ("validationException", "ValidationException", 400),
    ("accessDeniedException", "AccessDeniedException", 403),
    ("resourceNotFoundException", "ResourceNotFoundException", 404),
    ("modelTimeoutException", "ModelTimeoutException", 408),
    ("modelStreamErrorException", "ModelStreamErrorException", 424),
    ("modelErrorException", "ModelErrorException", 424),
    ("throttlingException", "ThrottlingException", 429),
    ("modelNotReadyException", "ModelNotReadyException", 429),
    ("internalServerException", "InternalServerException", 500),
    ("serviceUnavailableException", "ServiceUnavailableException", 503),
];

/// The name of an error with that status in a stream, which has five of them only.
pub(super) fn exception_name(status: u16) -> &'static str {
    match status {
        424 => "modelStreamErrorException",
        429 => "throttlingException",
        503 | 529 => "serviceUnavailableException",
        400..500 => "validationException",
        _ => "internalServerException",
    }
}

/// Reads an error. Its type is `name` in a stream, else `__type`, or the header `x-amzn-ErrorType`,
/// which is not available here: without either, the status decides.
pub(super) fn read(status: u16, name: Option<&str>, body: Option<Node<'_>>) -> ApiError {
    let text = |keys: &[&str]| {
        let found = keys.iter().filter_map(|key| body?.get(key)?.text());
        found.map(str::to_owned).next()
    };
    // `com.amazon.coral.service#AccessDeniedException` and `AccessDeniedException:http://…` are the
    // same type.
    let plain = |kind: String| {
        let kind = kind.rsplit('#').next().unwrap_or_default();
        kind.split(':').next().unwrap_or_default().to_owned()
    };
    let of_stream = EXCEPTIONS.iter().find(|(streamed, ..)| Some(*streamed) == name);
    let of_status = EXCEPTIONS.iter().find(|(_, _, known)| *known == status);
    let by_table = of_stream.or(of_status).map(|(_, kind, _)| (*kind).to_owned());
    let kind = text(&["__type", "code"]).map(plain).or(by_table);
    let inner = || body.and_then(|body| body.get("error")).and_then(message_of);
    let message = body.and_then(message_of).or_else(|| text(&["originalMessage"])).or_else(inner);
    recognize(ApiError {
        status,
        message: message
            .filter(|message| !message.is_empty())
            .unwrap_or_else(|| format!("the provider answered with status {status}")),
        kind: kind.unwrap_or_default(),
        code: None,
        param: None,
    })
}

/// Appends an error with its type in the body, since no header has it.
pub(super) fn write(error: &ApiError, out: &mut Vec<u8>) {
    let of_status = EXCEPTIONS.iter().find(|(_, _, known)| *known == error.status);
    let kind = match error.kind.as_str() {
        kind if kind.ends_with("Exception") => kind,
        _ => match (of_status, error.status) {
            (Some((_, kind, _)), _) => kind,
            (None, 401) => "AccessDeniedException",
            (None, 400..500) => "ValidationException",
            (None, 529) => "ServiceUnavailableException",
            _ => "InternalServerException",
        },
    };
    write_object(out, |root| {
        root.text("__type", kind);
        root.text("message", &message(error, Dialect::BedrockConverse));
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::Scanner;

    #[test]
    fn errors_are_read_from_body_or_status() {
        let check = |status, body: &str, kind: &str, message: &str| {
            let error = Scanner::default()
                .read(body.as_bytes(), |root| read(status, None, Some(root)))
                .expect("JSON");
            assert_eq!((error.kind.as_str(), error.message.as_str()), (kind, message), "{body}");
        };
        check(400, r#"{"message":"m"}"#, "ValidationException", "m");
        check(403, r#"{"Message":"m"}"#, "AccessDeniedException", "m");
        check(
            429,
            r#"{"message":"m","__type":"a.b#ModelNotReadyException"}"#,
            "ModelNotReadyException",
            "m",
        );
        check(
            403,
            r#"{"__type":"ExpiredTokenException:http://x","message":"m"}"#,
            "ExpiredTokenException",
            "m",
        );
        check(424, r#"{"originalMessage":"m"}"#, "ModelStreamErrorException", "m");
        check(500, "{}", "InternalServerException", "the provider answered with status 500");
        check(502, r#"{"message":null}"#, "", "the provider answered with status 502");
        let none = read(503, None, None);
        assert_eq!(none.kind, "ServiceUnavailableException");
    }

    #[test]
    fn errors_have_service_names() {
        let error = |status, kind: &str| ApiError {
            status,
            message: "m".to_owned(),
            kind: kind.to_owned(),
            code: None,
            param: None,
        };
        for (status, kind, expected) in [
            (400, "invalid_request_error", "ValidationException"),
            (401, "authentication_error", "AccessDeniedException"),
            (403, "ExpiredTokenException", "ExpiredTokenException"),
            (429, "", "ThrottlingException"),
            (413, "", "ValidationException"),
            (502, "", "InternalServerException"),
            (529, "overloaded_error", "ServiceUnavailableException"),
        ] {
            let mut out = Vec::new();
            write(&error(status, kind), &mut out);
            let expected = format!(r#"{{"__type":"{expected}","message":"m"}}"#);
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
    }
}

//! Anthropic's Messages (API reference "Messages" and the types of its SDK for Python 2.12, read
//! November 2026).
//!
//! What it has that others have not, and how it is carried: signed and sealed thoughts, also those of
//! other vendors, in its own places for them (`proof.rs`); ids and names in letters, digits, `_` and
//! `-` (`name.rs`); rules that differ from model to model (`model.rs`).
//!
//! Absent: headers such as `anthropic-version` and `anthropic-beta`, which are `providers/`' and the
//! gateway's. Pictures and sound in an answer, for which this dialect has no place, become links in
//! the text (`media_link.rs`).

mod answer;
mod count_tokens;
mod decoder;
mod encoder;
mod name;
mod proof;
mod read_block;
mod read_request;
#[cfg(test)]
mod round_trip;
mod thinking;
mod tools;
mod turns;
mod usage;
mod write_block;
mod write_request;

pub use count_tokens::write_token_count;

pub(super) use proof::{is_foreign_data, is_foreign_signature};

use super::codec::{
    ClientCodec, ProviderCodec, RequestPath, StreamDecoder, StreamEncoder, TargetModel, Unsupported,
};
use super::context_overflow::{is_overflow, message};
use super::openai_chat;
use super::part_order::PartOrder;
use super::sendable_turns;
use super::warnings::Warnings;
use crate::llm::{Answer, ApiError, ChatRequest, Dialect, Malformed, Node, write_object};

const DIALECT: Dialect = Dialect::AnthropicMessages;

/// The dialect.
pub(super) struct AnthropicMessages;

impl ClientCodec for AnthropicMessages {
    fn read_request(&self, root: Node<'_>, _: &RequestPath<'_>) -> Result<ChatRequest, Malformed> {
        read_request::read(root)
    }

    fn write_answer(&self, answer: &Answer, _: &ChatRequest, now_unix: u64, out: &mut Vec<u8>) {
        answer::write(answer, now_unix, out);
    }

    fn write_error(&self, error: &ApiError, out: &mut Vec<u8>) {
        write_error(error, out);
    }

    fn stream_encoder(&self, request: &ChatRequest, now_unix: u64) -> Box<dyn StreamEncoder> {
        Box::new(PartOrder::new(encoder::Encoder::new(request, now_unix)))
    }
}

impl ProviderCodec for AnthropicMessages {
    fn path(&self, _: &TargetModel<'_>, _: bool) -> String {
        "/messages".to_owned()
    }

    fn write_request(
        &self,
        request: &ChatRequest,
        target: &TargetModel<'_>,
        warnings: &mut Warnings,
        out: &mut Vec<u8>,
    ) -> Result<(), Unsupported> {
        let request = sendable_turns::for_provider(request, DIALECT, |_, _| false, warnings);
        write_request::write(&request, target, warnings, out)
    }

    fn read_answer(&self, root: Node<'_>) -> Option<Answer> {
        answer::read(root)
    }

    fn read_error(&self, status: u16, body: Option<Node<'_>>) -> ApiError {
        read_error(status, body)
    }

    fn stream_decoder(&self) -> Box<dyn StreamDecoder> {
        Box::new(decoder::Decoder::default())
    }
}

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

/// Reads the error of Anthropic and of those that imitate it, who often answer in OpenAI's shape.
fn read_error(status: u16, body: Option<Node<'_>>) -> ApiError {
    let details = body.and_then(|body| body.get("error")?.get("details")?.get("error_code"));
    let code = details.and_then(Node::text).map(str::to_owned);
    let error = openai_chat::read_error(status, body);
    if is_overflow(&error) {
        return error;
    }
    ApiError { code: code.or(error.code), ..error }
}

/// Appends an error as Anthropic's clients expect it. Its type goes by the status: other vendors' kinds
/// mean nothing to them, or another thing.
fn write_error(error: &ApiError, out: &mut Vec<u8>) {
    let known = ERROR_TYPES.iter().find(|(status, _)| *status == error.status);
    let kind = match (known, error.status) {
        (Some((_, name)), _) => name,
        (None, 503) => "overloaded_error",
        // Amazon's words for a model that took too long, and for one that failed.
        (None, 408) => "timeout_error",
        (None, 424 | 500..) => "api_error",
        (None, _) => "invalid_request_error",
    };
    write_object(out, |root| {
        root.text("type", "error");
        root.object("error", |inner| {
            inner.text("type", kind);
            inner.text("message", &message(error, DIALECT));
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

    fn read(status: u16, body: &str) -> ApiError {
        Scanner::default()
            .read(body.as_bytes(), |root| read_error(status, Some(root)))
            .expect("JSON")
    }

    #[test]
    fn error_types_translate_both_ways() {
        for (status, kind) in ERROR_TYPES {
            let body = format!(
                r#"{{"type":"error","error":{{"type":"{kind}","message":"no"}},"request_id":"r"}}"#
            );
            let error = read(status, &body);
            assert_eq!((error.status, error.kind.as_str()), (status, kind));
            let mut out = Vec::new();
            write_error(&error, &mut out);
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
            write_error(&error, &mut out);
            let told = read(status, &String::from_utf8(out).expect("UTF-8"));
            assert_eq!(told.kind, expected, "{status}");
        }
    }

    #[test]
    fn errors_of_compatible_servers_are_read() {
        let detailed = r#"{"type":"error","error":{"type":"invalid_request_error","message":"old",
            "details":{"error_code":"file_expired"}}}"#;
        assert_eq!(read(400, detailed).code.as_deref(), Some("file_expired"));
        assert_eq!(read(400, r#"{"error":{"message":"m","code":7}}"#).message, "m");
        assert_eq!(read(400, r#"{"message":"m"}"#).message, "m");
        assert_eq!(read(404, r#"{"error":"m"}"#).message, "m");
        let nothing = read_error(502, None);
        assert_eq!(nothing.message, "the provider answered with status 502");
    }
}

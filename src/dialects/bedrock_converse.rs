//! Amazon Bedrock's Converse and ConverseStream (API reference and the SDKs' service model of
//! `bedrock-runtime` 2023-09-30, read November 2026).
//!
//! The model stands in the path, and so does the wish for a stream; an answer tells neither its model
//! nor an id. What only one family of models knows goes into a member of its own, by the model's id.
//! Clients are Amazon's SDKs with another endpoint, whose key is a bearer token.

mod answer;
mod decoder;
mod encoder;
mod formats;
mod model_fields;
mod names;
mod read_content;
mod read_request;
mod thinking;
mod write_content;
mod write_messages;
mod write_request;
mod write_tools;

pub(super) use answer::failure;

use std::fmt::Write as _;

use super::codec::{
    ClientCodec, Frame, ProviderCodec, RequestPath, StreamDecoder, StreamEncoder, TargetModel,
    Unsupported,
};
use super::context_overflow::{message, recognize};
use super::error_text::message_of;
use super::part_order::PartOrder;
use super::sendable_turns;
use super::warnings::Warnings;
use crate::llm::{
    Answer, ApiError, ChatRequest, Dialect, Malformed, Media, MediaSource, Node, write_object,
};

const DIALECT: Dialect = Dialect::BedrockConverse;

/// The dialect.
pub(super) struct BedrockConverse;

impl ClientCodec for BedrockConverse {
    fn read_request(
        &self,
        root: Node<'_>,
        path: &RequestPath<'_>,
    ) -> Result<ChatRequest, Malformed> {
        read_request::read(root, path)
    }

    fn write_answer(&self, answer: &Answer, _: &ChatRequest, _: u64, out: &mut Vec<u8>) {
        answer::write(answer, out);
    }

    fn write_error(&self, error: &ApiError, out: &mut Vec<u8>) {
        write_error(error, out);
    }

    fn frame(&self) -> Frame {
        Frame::Amazon
    }

    fn stream_encoder(&self, _: &ChatRequest, _: u64) -> Box<dyn StreamEncoder> {
        Box::new(PartOrder::new(encoder::Encoder::default()))
    }
}

impl ProviderCodec for BedrockConverse {
    fn path(&self, target: &TargetModel<'_>, stream: bool) -> String {
        let operation = if stream { "converse-stream" } else { "converse" };
        let mut path = "/model/".to_owned();
        for byte in target.model.bytes() {
            // As Amazon's SDKs encode a label, and its signatures expect (RFC 3986, section 2.3).
            if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
                path.push(char::from(byte));
            } else {
                // Writing to memory does not fail.
                let _ = write!(path, "%{byte:02X}");
            }
        }
        path + "/" + operation
    }

    fn needs_bytes_of(&self, picture: &Media) -> bool {
        matches!(&picture.source, MediaSource::Url(url) if !url.starts_with("s3://"))
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
        read_error(status, None, body)
    }

    fn frame(&self) -> Frame {
        Frame::Amazon
    }

    fn stream_decoder(&self) -> Box<dyn StreamDecoder> {
        Box::new(decoder::Decoder::default())
    }
}

/// The service's errors (API reference, `Converse`, "Errors"): name in a stream, name elsewhere, and
/// status. Of several with one status the first stands for it.
const EXCEPTIONS: [(&str, &str, u16); 10] = [
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

/// The name, in a stream, of an error of that status. A stream has five of them only.
fn exception_name(status: u16) -> &'static str {
    match status {
        424 => "modelStreamErrorException",
        429 => "throttlingException",
        503 | 529 => "serviceUnavailableException",
        400..500 => "validationException",
        _ => "internalServerException",
    }
}

/// Reads an error. Its type is told by `name` in a stream, else by `__type` or by a header field that is
/// not seen here, so that the status stands for it where the body has none.
fn read_error(status: u16, name: Option<&str>, body: Option<Node<'_>>) -> ApiError {
    let text = |keys: &[&str]| {
        let found = keys.iter().filter_map(|key| body?.get(key)?.text());
        found.map(str::to_owned).next()
    };
    // `com.amazon.coral.service#AccessDeniedException` and `AccessDeniedException:http://…` are one.
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

/// Appends an error as clients of the service read it where no header field tells its type.
fn write_error(error: &ApiError, out: &mut Vec<u8>) {
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
        root.text("message", &message(error, DIALECT));
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::Scanner;

    #[test]
    fn paths_are_recognized() {
        for (model, stream, expected) in [
            ("anthropic.claude-sonnet-5", false, "/model/anthropic.claude-sonnet-5/converse"),
            (
                "us.amazon.nova-2-lite-v1:0",
                true,
                "/model/us.amazon.nova-2-lite-v1%3A0/converse-stream",
            ),
            (
                "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/a_b~c d",
                false,
                "/model/arn%3Aaws%3Abedrock%3Aeu-west-1%3A123456789012%3Ainference-profile%2Fa_b~c%20d/converse",
            ),
        ] {
            let target = TargetModel::new(model, true);
            assert_eq!(BedrockConverse.path(&target, stream), expected);
        }
    }

    #[test]
    fn errors_are_read_from_body_or_status() {
        let check = |status, body: &str, kind: &str, message: &str| {
            let error = Scanner::default()
                .read(body.as_bytes(), |root| read_error(status, None, Some(root)))
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
        let none = read_error(503, None, None);
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
            write_error(&error(status, kind), &mut out);
            let expected = format!(r#"{{"__type":"{expected}","message":"m"}}"#);
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
    }
}

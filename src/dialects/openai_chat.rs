//! OpenAI's chat completions (API reference, "Chat Completions", read November 2026), which most
//! vendors imitate.
//!
//! Beyond the reference it reads and writes what has become usual among its imitators: thoughts in
//! `reasoning_content` (DeepSeek, vLLM) or `reasoning` (OpenRouter), their signatures in
//! `thinking_blocks` or in OpenRouter's `reasoning_details`, pictures of an answer in its `images`,
//! content as a list of parts (Mistral), and `cache_control` on parts and tools.

mod answer;
mod content_list;
mod decoder;
mod encoder;
mod read_request;
mod reasoning_details;
#[cfg(test)]
mod rich_tests;
mod write_messages;
mod write_request;

pub(super) use answer::{failure, tokens, write_tokens};
pub(super) use read_request::{arguments, cache_point, function, json_schema, labels, texts};

use super::codec::{
    ClientCodec, ProviderCodec, RequestPath, StreamDecoder, StreamEncoder, TargetModel, Unsupported,
};
use super::context_overflow::recognize;
use super::error_text::message_of;
use super::openai_tools::CallForms;
use super::sendable_turns;
use super::warnings::Warnings;
use crate::llm::{Answer, ApiError, ChatRequest, Dialect, Malformed, Node, write_object};

const DIALECT: Dialect = Dialect::OpenaiChat;

/// The dialect.
pub(super) struct OpenaiChat;

impl ClientCodec for OpenaiChat {
    fn read_request(&self, root: Node<'_>, _: &RequestPath<'_>) -> Result<ChatRequest, Malformed> {
        read_request::read(root)
    }

    fn write_answer(
        &self,
        answer: &Answer,
        request: &ChatRequest,
        now_unix: u64,
        out: &mut Vec<u8>,
    ) {
        answer::write(answer, &CallForms::of(request), now_unix, out);
    }

    fn write_error(&self, error: &ApiError, out: &mut Vec<u8>) {
        write_error(error, out);
    }

    fn stream_encoder(&self, request: &ChatRequest, now_unix: u64) -> Box<dyn StreamEncoder> {
        Box::new(encoder::Encoder::new(request, now_unix))
    }
}

impl ProviderCodec for OpenaiChat {
    fn path(&self, _: &TargetModel<'_>, _: bool) -> String {
        "/chat/completions".to_owned()
    }

    fn write_request(
        &self,
        request: &ChatRequest,
        target: &TargetModel<'_>,
        warnings: &mut Warnings,
        out: &mut Vec<u8>,
    ) -> Result<(), Unsupported> {
        let request =
            sendable_turns::for_provider(request, DIALECT, write_messages::is_lost, warnings);
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

/// Reads the error of OpenAI and of those that imitate it: some leave out the inner object, some the
/// message.
pub(super) fn read_error(status: u16, body: Option<Node<'_>>) -> ApiError {
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

/// Appends an error as OpenAI's clients expect it.
pub(super) fn write_error(error: &ApiError, out: &mut Vec<u8>) {
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

/// OpenAI's type for errors of that status.
fn kind_of(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        429 => "rate_limit_error",
        // 424 is Amazon's word for a model that failed.
        424 | 500.. => "server_error",
        _ => "invalid_request_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::{StopReason, Usage, write_object};
    use serde_json::Value;

    #[test]
    fn members_of_compatible_servers_are_read() {
        for (word, expected) in [
            ("stop", StopReason::Stop),
            ("length", StopReason::Length),
            ("model_length", StopReason::Length),
            ("insufficient_system_resource", StopReason::Length),
            ("tool_calls", StopReason::ToolCalls),
            ("eos", StopReason::Stop),
        ] {
            assert_eq!(answer::stop_reason(word), expected, "{word}");
        }
    }

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

    #[test]
    fn cache_write_tokens_use_openai_field_name() {
        let usage = Usage {
            input_tokens: 100,
            cache_write_tokens: 30,
            cache_write_1h_tokens: 10,
            ..Usage::default()
        };
        let mut out = Vec::new();
        write_object(&mut out, |object| answer::write_usage(object, &usage));
        let told: Value = serde_json::from_slice(&out).expect("JSON");
        assert_eq!(told["prompt_tokens_details"]["cache_write_tokens"], 40);
        assert_eq!(told["cache_creation_input_tokens"], 40);
    }
}

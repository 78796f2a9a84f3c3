//! OpenAI's chat completions (API reference, "Chat Completions", read November 2026), which most
//! vendors imitate.
//!
//! Beyond the reference it reads and writes common extensions of imitators: reasoning in
//! `reasoning_content` (DeepSeek, vLLM) or `reasoning` (OpenRouter), its signatures in
//! `thinking_blocks` or in OpenRouter's `reasoning_details`, `images` in responses, content as a list
//! of parts (Mistral), and `cache_control` on parts and tools.

mod answer;
mod content_list;
mod decoder;
mod encoder;
mod error;
mod read_request;
mod reasoning_details;
#[cfg(test)]
mod rich_tests;
mod write_messages;
mod write_request;

pub(super) use answer::{failure, tokens, write_tokens};
pub(super) use error::{read as read_error, write as write_error};
pub(super) use read_request::{arguments, cache_point, function, json_schema, labels, texts};

use super::codec::{
    ClientCodec, ProviderCodec, RequestPath, StreamDecoder, StreamEncoder, TargetModel, Unsupported,
};
use super::openai_tools::CallForms;
use super::sendable_turns;
use super::warnings::Warnings;
use crate::llm::{Answer, ApiError, ChatRequest, Dialect, Malformed, Node};

/// Both halves of the dialect.
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
        error::write(error, out);
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
        let request = sendable_turns::for_provider(
            request,
            Dialect::OpenaiChat,
            write_messages::is_lost,
            warnings,
        );
        write_request::write(&request, target, warnings, out)
    }

    fn read_answer(&self, root: Node<'_>) -> Option<Answer> {
        answer::read(root)
    }

    fn read_error(&self, status: u16, body: Option<Node<'_>>) -> ApiError {
        error::read(status, body)
    }

    fn stream_decoder(&self) -> Box<dyn StreamDecoder> {
        Box::new(decoder::Decoder::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::{StopReason, Usage, write_object};
    use serde_json::Value;

    #[test]
    fn members_of_compatible_servers_are_read() {
        for (reason, expected) in [
            ("stop", StopReason::Stop),
            ("length", StopReason::Length),
            ("model_length", StopReason::Length),
            ("insufficient_system_resource", StopReason::Length),
            ("tool_calls", StopReason::ToolCalls),
            ("eos", StopReason::Stop),
        ] {
            assert_eq!(answer::stop_reason(reason), expected, "{reason}");
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
        let written: Value = serde_json::from_slice(&out).expect("JSON");
        assert_eq!(written["prompt_tokens_details"]["cache_write_tokens"], 40);
        assert_eq!(written["cache_creation_input_tokens"], 40);
    }
}

//! Anthropic's Messages (API reference "Messages" and the types of its SDK for Python 2.12, read
//! November 2026).
//!
//! Beyond the other dialects: signed and encrypted reasoning, whose members also carry that of other
//! vendors (`signature.rs`); call ids and tool names of letters, digits, `_` and `-` only (`name.rs`).
//!
//! Absent: headers such as `anthropic-version` and `anthropic-beta`, which belong to `providers/` and
//! the gateway. The dialect has no images or audio in a response; they become links in the text
//! (`media_link.rs`).

mod answer;
mod count_tokens;
mod decoder;
mod encoder;
mod error;
mod name;
mod read_block;
mod read_request;
#[cfg(test)]
mod round_trip;
mod signature;
mod thinking;
mod tools;
mod turns;
mod usage;
mod write_block;
mod write_request;

pub use count_tokens::write_token_count;

pub(super) use read_request::BILLING_HEADER;
pub(super) use signature::{is_foreign_data, is_foreign_signature};

use super::codec::{
    ClientCodec, ProviderCodec, RequestPath, StreamDecoder, StreamEncoder, TargetModel, Unsupported,
};
use super::part_order::PartOrder;
use super::sendable_turns;
use super::warnings::Warnings;
use crate::llm::{Answer, ApiError, ChatRequest, Dialect, Malformed, Node};

/// Both halves of the dialect.
pub(super) struct AnthropicMessages;

impl ClientCodec for AnthropicMessages {
    fn read_request(&self, root: Node<'_>, _: &RequestPath<'_>) -> Result<ChatRequest, Malformed> {
        read_request::read(root)
    }

    fn write_answer(&self, answer: &Answer, _: &ChatRequest, now_unix: u64, out: &mut Vec<u8>) {
        answer::write(answer, now_unix, out);
    }

    fn write_error(&self, error: &ApiError, out: &mut Vec<u8>) {
        error::write(error, out);
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
        let request = sendable_turns::for_provider(
            request,
            Dialect::AnthropicMessages,
            |_, _| false,
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

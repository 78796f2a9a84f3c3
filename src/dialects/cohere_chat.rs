//! Cohere's chat, version 2 (API reference, "Chat", and the types of Cohere's own client 7.3, read
//! November 2026).
//!
//! Reasoning is a `thinking` block of a reasoning model, or the `tool_plan` of other models, the text
//! before their tool calls. Reasoning directly before the calls of its turn is written as the plan.
//! Usage follows `billed_units`, which excludes Cohere's own preambles; `tokens` is used if nothing was
//! billed.

mod answer;
mod citation;
mod decoder;
mod encoder;
mod error;
mod read_request;
#[cfg(test)]
mod tests;
mod write_message;
mod write_request;

use super::codec::{
    ClientCodec, ProviderCodec, RequestPath, StreamDecoder, StreamEncoder, TargetModel, Unsupported,
};
use super::part_order::PartOrder;
use super::sendable_turns;
use super::warnings::Warnings;
use crate::llm::{Answer, ApiError, ChatRequest, Dialect, Malformed, Node};

/// Both halves of the dialect.
pub(super) struct CohereChat;

impl ClientCodec for CohereChat {
    fn read_request(&self, root: Node<'_>, _: &RequestPath<'_>) -> Result<ChatRequest, Malformed> {
        read_request::read(root)
    }

    fn write_answer(&self, answer: &Answer, _: &ChatRequest, _: u64, out: &mut Vec<u8>) {
        answer::write(answer, out);
    }

    fn write_error(&self, error: &ApiError, out: &mut Vec<u8>) {
        error::write(error, out);
    }

    fn stream_encoder(&self, _: &ChatRequest, _: u64) -> Box<dyn StreamEncoder> {
        Box::new(PartOrder::new(encoder::Encoder::default()))
    }
}

impl ProviderCodec for CohereChat {
    fn path(&self, _: &TargetModel<'_>, _: bool) -> String {
        "/v2/chat".to_owned()
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
            Dialect::CohereChat,
            write_message::is_lost,
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

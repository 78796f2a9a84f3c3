//! OpenAI's responses (API reference, "Responses", and the types of its Python library 3.54, read
//! November 2026).
//!
//! A conversation is a flat list of items. Adjacent items of the model are one turn, and so are
//! adjacent tool results; a turn is split into items again. An item that no other dialect has is kept
//! in [`Content::Raw`](crate::llm::Content::Raw): in the tool's turn if it is an output or a response,
//! else in the model's. Inside a model's turn, a message part that no other dialect has differs from an
//! item by its type, which begins with `output_`.
//!
//! References to state at the provider (`previous_response_id`, `conversation`, `prompt`, `background`,
//! item references) are sent to providers of this dialect only.
//!
//! Beyond the reference it reads, and writes for imitators, settings of chat completions that some of
//! them support (vLLM, OpenRouter): seed, stop, penalties, `top_k`, `min_p`.
//!
//! Dropped: ids and phases of messages, which no other dialect has.

mod answer;
mod decoder;
mod encoder;
mod encrypted_content;
mod identity;
mod item_buffer;
#[cfg(test)]
mod open_responses;
mod output;
mod read_input;
mod read_request;
mod read_tools;
mod write_input;
mod write_request;

pub(super) use encrypted_content::is_foreign_encrypted_content;
pub(super) use identity::is_ours as is_own_item_id;
pub use identity::{response_name, response_name_of_item};

use super::codec::{
    ClientCodec, ProviderCodec, RequestPath, StreamDecoder, StreamEncoder, TargetModel, Unsupported,
};
use super::openai_chat;
use super::part_order::PartOrder;
use super::sendable_turns;
use super::warnings::Warnings;
use crate::llm::{Answer, ApiError, ChatRequest, Chunk, Dialect, Malformed, Node, write_object};

/// Appends the event that ends a stream with an error; `sequence` is its number.
pub fn write_last_error(error: &ApiError, sequence: u64, out: &mut Vec<u8>) {
    encoder::Encoder::of_error(sequence).push(&Chunk::Error(error.clone()), out);
}

/// Appends the response of the endpoint that counts the tokens of a request.
pub fn write_input_tokens(tokens: u64, out: &mut Vec<u8>) {
    write_object(out, |root| {
        root.text("object", "response.input_tokens");
        root.number("input_tokens", tokens);
    });
}

/// Both halves of the dialect.
pub(super) struct OpenaiResponses;

impl ClientCodec for OpenaiResponses {
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
        answer::write(answer, request, now_unix, out);
    }

    fn write_error(&self, error: &ApiError, out: &mut Vec<u8>) {
        openai_chat::write_error(error, out);
    }

    fn stream_encoder(&self, request: &ChatRequest, now_unix: u64) -> Box<dyn StreamEncoder> {
        Box::new(PartOrder::new(encoder::Encoder::new(request, now_unix)))
    }
}

impl ProviderCodec for OpenaiResponses {
    fn path(&self, _: &TargetModel<'_>, _: bool) -> String {
        "/responses".to_owned()
    }

    fn write_request(
        &self,
        request: &ChatRequest,
        target: &TargetModel<'_>,
        warnings: &mut Warnings,
        out: &mut Vec<u8>,
    ) -> Result<(), Unsupported> {
        let request =
            sendable_turns::for_provider(request, Dialect::OpenaiResponses, |_, _| false, warnings);
        write_request::write(&request, target, warnings, out)
    }

    fn read_answer(&self, root: Node<'_>) -> Option<Answer> {
        answer::read(root)
    }

    fn read_error(&self, status: u16, body: Option<Node<'_>>) -> ApiError {
        openai_chat::read_error(status, body)
    }

    fn stream_decoder(&self) -> Box<dyn StreamDecoder> {
        Box::new(decoder::Decoder::default())
    }
}

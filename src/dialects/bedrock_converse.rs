//! Amazon Bedrock's Converse and ConverseStream (API reference and the SDKs' service model of
//! `bedrock-runtime` 2023-09-30, read November 2026).
//!
//! The path has the model and whether the response is streamed; a response has neither a model nor an
//! id. Members that only one model family supports are nested in a member of their own, and the model
//! id decides. Clients are Amazon's SDKs with another endpoint, and a bearer token as key.

mod answer;
mod decoder;
mod encoder;
mod error;
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
use super::part_order::PartOrder;
use super::sendable_turns;
use super::warnings::Warnings;
use crate::llm::{Answer, ApiError, ChatRequest, Dialect, Malformed, Media, MediaSource, Node};

/// Both halves of the dialect.
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
        error::write(error, out);
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
            // As Amazon's SDKs encode a label, and as its signatures require (RFC 3986, section
            // 2.3).
            if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
                path.push(char::from(byte));
            } else {
                // Writing to memory does not fail.
                let _ = write!(path, "%{byte:02X}");
            }
        }
        path + "/" + operation
    }

    fn needs_bytes_of(&self, image: &Media) -> bool {
        matches!(&image.source, MediaSource::Url(url) if !url.starts_with("s3://"))
    }

    fn write_request(
        &self,
        request: &ChatRequest,
        target: &TargetModel<'_>,
        warnings: &mut Warnings,
        out: &mut Vec<u8>,
    ) -> Result<(), Unsupported> {
        let request =
            sendable_turns::for_provider(request, Dialect::BedrockConverse, |_, _| false, warnings);
        write_request::write(&request, target, warnings, out)
    }

    fn read_answer(&self, root: Node<'_>) -> Option<Answer> {
        answer::read(root)
    }

    fn read_error(&self, status: u16, body: Option<Node<'_>>) -> ApiError {
        error::read(status, None, body)
    }

    fn frame(&self) -> Frame {
        Frame::Amazon
    }

    fn stream_decoder(&self) -> Box<dyn StreamDecoder> {
        Box::new(decoder::Decoder::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}

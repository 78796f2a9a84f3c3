//! Google's generateContent, of AI Studio (v1beta and v1) and of Vertex AI (v1), which share their
//! format (references of both read November 2026; types of google-genai 3.4).
//!
//! The path has the model and whether the response is streamed. Clients may send `snake_case`; output
//! is `camelCase`. Not read: the creation time, which only Vertex sends, and partial arguments
//! (`partialArgs`), which only a request of this dialect can enable.

mod answer;
mod array_framing;
mod base64;
mod citation;
mod decoder;
mod encoder;
mod error;
mod failure;
mod hidden;
mod part;
mod read_contents;
mod read_request;
mod schema;
mod signature;
mod usage;
mod write_contents;
mod write_request;

pub(super) use failure::failure;

use std::time::Duration;

use array_framing::ArrayFraming;
#[cfg(test)]
pub(super) use signature::for_client;
pub(super) use signature::is_foreign_signature;
pub(super) use write_contents::UNCHECKED;

use super::codec::{
    ClientCodec, ProviderCodec, RequestPath, StreamDecoder, StreamEncoder, TargetModel, Unsupported,
};
use super::sendable_turns;
use super::warnings::Warnings;
use crate::llm::{
    Answer, ApiError, ChatRequest, Dialect, Malformed, Media, Node, Scanner, write_array,
    write_object,
};

/// Both halves of the dialect.
pub(super) struct Gemini;

impl ClientCodec for Gemini {
    fn read_request(
        &self,
        root: Node<'_>,
        path: &RequestPath<'_>,
    ) -> Result<ChatRequest, Malformed> {
        read_request::read(root, path)
    }

    fn write_answer(&self, answer: &Answer, request: &ChatRequest, _: u64, out: &mut Vec<u8>) {
        answer::write(answer, hidden::requests_reasoning(request), out);
    }

    fn write_error(&self, error: &ApiError, out: &mut Vec<u8>) {
        error::write(error, out);
    }

    fn stream_encoder(&self, request: &ChatRequest, _: u64) -> Box<dyn StreamEncoder> {
        Box::new(encoder::Encoder::new(encoder::Framing::Events, request))
    }
}

impl ProviderCodec for Gemini {
    fn path(&self, target: &TargetModel<'_>, stream: bool) -> String {
        let method = if stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
        format!("{}:{method}", model_path(target.model))
    }

    fn needs_bytes_of(&self, image: &Media) -> bool {
        write_contents::has_unknown_type(image)
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
            Dialect::Gemini,
            write_contents::is_lost,
            warnings,
        );
        write_request::write(&request, target, warnings, out)
    }

    fn read_answer(&self, root: Node<'_>) -> Option<Answer> {
        answer::read(root)
    }

    fn read_answer_named(&self, root: Node<'_>, id: &str) -> Option<Answer> {
        answer::read_named(root, id)
    }

    fn read_error(&self, status: u16, body: Option<Node<'_>>) -> ApiError {
        error::read(status, body)
    }

    fn retry_delay(&self, body: Node<'_>) -> Option<Duration> {
        error::retry_delay(body)
    }

    fn stream_decoder(&self) -> Box<dyn StreamDecoder> {
        Box::new(decoder::Decoder::default())
    }
}

/// An encoder for clients that expect one JSON array instead of events.
#[must_use]
pub fn array_encoder(request: &ChatRequest) -> Box<dyn StreamEncoder> {
    let framing = encoder::Framing::Array(ArrayFraming::default());
    Box::new(encoder::Encoder::new(framing, request))
}

/// The path of another method of a model, relative to the provider's base URL.
#[must_use]
pub fn method_path(model: &str, method: &str) -> String {
    format!("{}:{method}", model_path(model))
}

/// Members of a body that repeat the model of the path: as a name, in each of several requests, and in
/// a nested request.
pub const MODEL_MEMBERS: [&str; 3] = ["model", "requests", "generateContentRequest"];

/// The member `key` of [`MODEL_MEMBERS`] with its model replaced. None if it has none.
#[must_use]
pub fn with_model(key: &str, json: &[u8], model: &str) -> Option<Vec<u8>> {
    let path = model_path(model);
    let name = path.trim_start_matches('/');
    let rename = |out: &mut Vec<u8>, request: Node<'_>| {
        write_object(out, |object| {
            for (member, value) in request.members() {
                match member {
                    "model" => object.text(member, name),
                    _ => object.raw(member, &value.json()),
                }
            }
        });
    };
    // The scanner reads objects only.
    let body = [b"{\"value\":", json, b"}"].concat();
    let renamed = Scanner::default().read(&body, |root| {
        let value = root.get("value")?;
        let mut out = Vec::with_capacity(json.len() + name.len());
        match key {
            "model" => crate::llm::write_text(&mut out, value.text().map(|_| name)?),
            _ if value.is_object() => rename(&mut out, value),
            _ if value.is_array() => write_array(&mut out, |array| {
                value.items().for_each(|request| rename(array.item(), request));
            }),
            _ => return None,
        }
        Some(out)
    });
    renamed.ok().flatten()
}

/// Appends the response of `countTokens`.
pub fn write_token_count(tokens: u64, out: &mut Vec<u8>) {
    write_object(out, |root| root.number("totalTokens", tokens));
}

/// The path of a model: below `models/`, unless its name has another prefix.
fn model_path(model: &str) -> String {
    let folders = ["models/", "tunedModels/"];
    let named = folders.iter().find_map(|folder| Some((*folder, model.strip_prefix(folder)?)));
    let (folder, name) = named.unwrap_or(("models/", model));
    let mut path = format!("/{folder}");
    for byte in name.bytes() {
        // Characters allowed in a path segment (RFC 3986), except `:`, which precedes the method.
        if byte.is_ascii_alphanumeric() || b"-._~@".contains(&byte) {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("%{byte:02X}"));
        }
    }
    path
}

#[cfg(test)]
mod tests;

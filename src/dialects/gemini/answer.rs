//! A complete response, read and written.

use std::borrow::Cow;

use super::citation::{self, TextOffsets};
use super::decoder::Decoder;
use super::hidden::without_reasoning;
use super::signature::{PartSignature, SignedPart, signed};
use super::usage;
use super::write_contents::{UNCHECKED_IN_BASE64, write_call, write_media};
use crate::dialects::codec::StreamDecoder;
use crate::llm::{
    Answer, ArrayWriter, Choice, ChunkAssembler, Content, Dialect, Node, ObjectWriter, Part,
    StopReason, TokenLogprob, write_object,
};

/// Reads a provider's response like a stream with one event. None if it is not a response.
pub(super) fn read(root: Node<'_>) -> Option<Answer> {
    read_named(root, "")
}

/// Like [`read`]; `id` is used if the provider sends none.
pub(super) fn read_named(root: Node<'_>, id: &str) -> Option<Answer> {
    let (mut decoder, mut chunks) = (Decoder::default(), Vec::with_capacity(16));
    decoder.name_answer(id);
    if !decoder.whole(root, &mut chunks) {
        return None;
    }
    let mut assembler = ChunkAssembler::default();
    chunks.into_iter().for_each(|chunk| assembler.push(chunk));
    assembler.finish().ok().flatten()
}

/// The `finishReason` of a stop reason.
pub(super) fn finish_reason(stop: &StopReason) -> &'static str {
    match stop {
        StopReason::Stop
        | StopReason::StopSequence(_)
        | StopReason::ToolCalls
        | StopReason::Pause => "STOP",
        StopReason::Length => "MAX_TOKENS",
        StopReason::ContentFilter | StopReason::Refusal => "SAFETY",
    }
}

/// Appends the response for a client, with the reasoning if it was requested.
pub(super) fn write(answer: &Answer, with_reasoning: bool, out: &mut Vec<u8>) {
    write_object(out, |root| {
        root.array("candidates", |array| {
            for (index, choice) in (0_u64..).zip(&answer.choices) {
                let parts = match with_reasoning {
                    true => Cow::Borrowed(&choice.parts),
                    false => Cow::Owned(without_reasoning(&choice.parts)),
                };
                array.object(|candidate| write_candidate(candidate, index, (choice, &parts)));
            }
        });
        if let Some(usage) = &answer.usage {
            root.object("usageMetadata", |object| usage::write(object, usage));
        }
        root.text("modelVersion", &answer.model);
        root.text("responseId", &answer.id);
    });
}

fn write_candidate(
    candidate: &mut ObjectWriter<'_>,
    index: u64,
    (choice, parts): (&Choice, &[Part]),
) {
    let (mut offsets, mut citations, mut refusal) =
        (TextOffsets::default(), Vec::new(), String::new());
    candidate.object("content", |content| {
        content.array("parts", |array| {
            for SignedPart { part, signature } in
                signed(parts, |held| Some(PartSignature::for_client(held)))
            {
                match &part.content {
                    Content::Text(text) => {
                        offsets.push(&text.text);
                        citations.extend(text.citations.iter().cloned());
                    }
                    Content::Refusal(text) => refusal.push_str(text),
                    _ => {}
                }
                write_part(array, &part.content, signature.as_deref());
            }
        });
        content.text("role", "model");
    });
    candidate.text("finishReason", finish_reason(&choice.stop));
    if !refusal.is_empty() {
        candidate.text("finishMessage", &refusal);
    }
    candidate.number("index", index);
    citation::write(candidate, &citations, &offsets);
    if !choice.logprobs.is_empty() {
        candidate.object("logprobsResult", |result| write_logprobs(result, &choice.logprobs));
    }
}

/// Appends one part; nothing if the dialect has it elsewhere or not at all.
pub(super) fn write_part(array: &mut ArrayWriter<'_>, content: &Content, signature: Option<&str>) {
    let mut part = Vec::new();
    let is_written = write_object(&mut part, |object| {
        let media = match content {
            Content::Text(text) => {
                object.text("text", &text.text);
                None
            }
            Content::Reasoning(reasoning) => {
                object.text("text", &reasoning.text);
                // Google's own signature without text does not belong to reasoning.
                let is_own =
                    reasoning.signature.as_ref().is_some_and(|it| it.dialect == Dialect::Gemini);
                if !(reasoning.text.is_empty() && is_own) {
                    object.flag("thought", true);
                }
                None
            }
            Content::ToolCall(call) => {
                write_call(object, call);
                None
            }
            Content::Image(image) => Some(&image.media),
            Content::Audio(media) | Content::Video(media) => Some(media),
            Content::File(file) => Some(&file.media),
            Content::Refusal(_) | Content::ToolResult(_) | Content::Raw(_) => return false,
        };
        // The client may continue with a model of Google, which rejects calls without a signature.
        let is_call = matches!(content, Content::ToolCall(_));
        let signature = signature.or(is_call.then_some(UNCHECKED_IN_BASE64));
        object.optional_text("thoughtSignature", signature);
        media.is_none_or(|media| write_media(object, media, "").is_ok())
    });
    match content {
        Content::Raw(foreign) if foreign.dialect == Dialect::Gemini => array.raw(&foreign.json),
        _ if is_written => array.item().extend_from_slice(&part),
        _ => {}
    }
}

/// Writes the members of `logprobsResult`.
pub(super) fn write_logprobs(result: &mut ObjectWriter<'_>, tokens: &[TokenLogprob]) {
    let fill = |object: &mut ObjectWriter<'_>, token: &str, logprob: f64| {
        object.text("token", token);
        object.float("logProbability", logprob);
    };
    result.array("topCandidates", |array| {
        for token in tokens {
            array.object(|place| {
                place.array("candidates", |candidates| {
                    for (text, logprob) in &token.top {
                        candidates.object(|object| fill(object, text, *logprob));
                    }
                });
            });
        }
    });
    result.array("chosenCandidates", |array| {
        for token in tokens {
            array.object(|object| fill(object, &token.token, token.logprob));
        }
    });
}

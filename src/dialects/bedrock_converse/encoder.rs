//! A client's stream, in Amazon's framing. The dialect has one choice: others are dropped.

use std::collections::BTreeMap;

use super::answer::{write_stop, write_usage};
use super::error::{self, exception_name};
use super::formats::{IMAGES, format_of};
use super::write_content::write_citation;
use crate::dialects::amazon_stream::{write_amazon_event, write_amazon_exception};
use crate::dialects::codec::StreamEncoder;
use crate::llm::{
    Chunk, Citation, Content, Delta, Dialect, Image, MediaSource, ObjectWriter, StopReason, Usage,
    write_object,
};

/// The state of one stream.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    /// Sent at the end, so that a truncated stream has none.
    stop: Option<StopReason>,
    usage: Option<Usage>,
    /// Open parts.
    open: BTreeMap<u32, Open>,
    /// Scratch buffer for the data of one event.
    data: Vec<u8>,
}

/// An open part.
#[derive(Clone, Copy, Debug)]
struct Open {
    is_reasoning: bool,
    /// True once something was written: text has no start event, so that empty text is nothing.
    is_written: bool,
}

impl StreamEncoder for Encoder {
    fn push(&mut self, chunk: &Chunk, out: &mut Vec<u8>) {
        match chunk {
            Chunk::Start(_) => {
                self.event(out, "messageStart", |data| data.text("role", "assistant"));
            }
            Chunk::BlockStart { choice: 0, part, content } => {
                let is_reasoning = matches!(content, Content::Reasoning(_));
                self.open.insert(*part, Open { is_reasoning, is_written: false });
                self.open(*part, content, out);
            }
            Chunk::BlockDelta { choice: 0, part, delta } => self.grow(*part, delta, out),
            Chunk::BlockStop { choice: 0, part } => {
                if self.open.remove(part).is_some_and(|open| open.is_written) {
                    self.event(out, "contentBlockStop", |data| {
                        data.number("contentBlockIndex", u64::from(*part));
                    });
                }
            }
            Chunk::Finish { choice: 0, reason } => self.stop = Some(reason.clone()),
            Chunk::Usage(usage) => {
                self.usage = Some(self.usage.unwrap_or_default().then(*usage));
            }
            Chunk::Error(error) => {
                self.data.clear();
                error::write(error, &mut self.data);
                write_amazon_exception(out, exception_name(error.status), &self.data);
            }
            Chunk::Done => self.end(out),
            Chunk::BlockStart { .. }
            | Chunk::BlockDelta { .. }
            | Chunk::BlockStop { .. }
            | Chunk::Finish { .. }
            | Chunk::Logprobs { .. }
            | Chunk::Ping => {}
        }
    }
}

impl Encoder {
    fn event(&mut self, out: &mut Vec<u8>, name: &str, fill: impl FnOnce(&mut ObjectWriter<'_>)) {
        self.data.clear();
        write_object(&mut self.data, fill);
        write_amazon_event(out, name, &self.data);
    }

    /// Appends an event of one block: its start or its delta, according to `key`.
    fn block(
        &mut self,
        out: &mut Vec<u8>,
        key: &'static str,
        part: u32,
        fill: impl FnOnce(&mut ObjectWriter<'_>),
    ) {
        if let Some(open) = self.open.get_mut(&part) {
            open.is_written = true;
        }
        let name = if key == "start" { "contentBlockStart" } else { "contentBlockDelta" };
        self.event(out, name, |data| {
            data.number("contentBlockIndex", u64::from(part));
            data.object(key, fill);
        });
    }

    fn open(&mut self, part: u32, content: &Content, out: &mut Vec<u8>) {
        match content {
            Content::Text(text) => {
                self.text_delta(part, &text.text, out);
                text.citations.iter().for_each(|citation| self.citation(part, citation, out));
            }
            Content::Refusal(text) => self.text_delta(part, text, out),
            Content::Reasoning(reasoning) => {
                if let Some(sealed) = &reasoning.sealed {
                    self.reasoning_part(
                        part,
                        "redactedContent",
                        &sealed.write(Dialect::BedrockConverse),
                        out,
                    );
                }
                self.text_delta(part, &reasoning.text, out);
                if let Some(signature) = &reasoning.signature {
                    self.reasoning_part(
                        part,
                        "signature",
                        &signature.write(Dialect::BedrockConverse),
                        out,
                    );
                }
            }
            Content::ToolCall(call) => {
                self.block(out, "start", part, |start| {
                    start.object("toolUse", |object| {
                        object.text("toolUseId", &call.id);
                        object.text("name", &call.name);
                    });
                });
                self.arguments(part, &call.arguments, out);
            }
            Content::Image(image) => self.image(part, image, out),
            _ => {}
        }
    }

    fn grow(&mut self, part: u32, delta: &Delta, out: &mut Vec<u8>) {
        let Some(open) = self.open.get(&part) else { return };
        match delta {
            Delta::Text(text) => self.text_delta(part, text, out),
            Delta::Arguments(piece) => self.arguments(part, piece, out),
            Delta::Citation(citation) => self.citation(part, citation, out),
            Delta::Signature(signature) if open.is_reasoning => {
                self.reasoning_part(
                    part,
                    "signature",
                    &signature.write(Dialect::BedrockConverse),
                    out,
                );
            }
            // Calls have no signature here.
            Delta::Signature(_) => {}
        }
    }

    /// Appends text of a text or reasoning part.
    fn text_delta(&mut self, part: u32, text: &str, out: &mut Vec<u8>) {
        if text.is_empty() {
            return;
        }
        if self.open.get(&part).is_some_and(|open| open.is_reasoning) {
            self.reasoning_part(part, "text", text, out);
        } else {
            self.block(out, "delta", part, |delta| delta.text("text", text));
        }
    }

    fn reasoning_part(&mut self, part: u32, key: &str, text: &str, out: &mut Vec<u8>) {
        self.block(out, "delta", part, |delta| {
            delta.object("reasoningContent", |content| content.text(key, text));
        });
    }

    fn arguments(&mut self, part: u32, piece: &str, out: &mut Vec<u8>) {
        if !piece.is_empty() {
            self.block(out, "delta", part, |delta| {
                delta.object("toolUse", |call| call.text("input", piece));
            });
        }
    }

    fn citation(&mut self, part: u32, citation: &Citation, out: &mut Vec<u8>) {
        let own = citation
            .original
            .as_ref()
            .filter(|original| original.dialect == Dialect::BedrockConverse);
        self.block(out, "delta", part, |delta| match own {
            Some(own) => delta.raw("citation", &own.json),
            None => delta.object("citation", |object| write_citation(object, citation)),
        });
    }

    fn image(&mut self, part: u32, image: &Image, out: &mut Vec<u8>) {
        let MediaSource::Base64(bytes) = &image.media.source else { return };
        let format = format_of(IMAGES, &image.media, None).unwrap_or("png");
        self.block(out, "start", part, |start| {
            start.object("image", |object| object.text("format", format));
        });
        self.block(out, "delta", part, |delta| {
            delta.object("image", |object| {
                object.object("source", |source| source.text("bytes", bytes));
            });
        });
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        let stop = self.stop.take().unwrap_or_default();
        self.event(out, "messageStop", |data| write_stop(data, &stop));
        let usage = self.usage.unwrap_or_default();
        self.event(out, "metadata", |data| {
            data.object("usage", |object| write_usage(object, &usage));
            data.object("metrics", |object| object.number("latencyMs", 0));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::BedrockConverse;
    use crate::dialects::DIALECTS;
    use crate::dialects::amazon_stream::AmazonReader;
    use crate::dialects::codec::ClientCodec;
    use crate::dialects::grid::{
        assemble, cases, core, decode, encode, on_the_wire, read_answer, request_with_usage,
    };
    use crate::llm::{
        Answer, ApiError, Choice, Chunk, Content, Dialect, Part, Reasoning, Signature, Start,
        StopReason, Text, chunks_of,
    };

    /// The events of `chunks`: name and payload.
    fn events(chunks: &[Chunk]) -> Vec<(String, String)> {
        let bytes = encode(&BedrockConverse, &request_with_usage(), chunks);
        let mut reader = AmazonReader::new(1 << 20);
        reader.push(&bytes);
        let mut events = Vec::new();
        while let Some(event) = reader.next().expect("messages") {
            let data = String::from_utf8(event.data.to_vec()).expect("UTF-8");
            events.push((event.name.to_owned(), data));
        }
        events
    }

    #[test]
    fn responses_of_every_dialect_can_be_encoded() {
        for (from, provider) in DIALECTS {
            for (case, body) in cases(from, ".answer.json") {
                let mut answer = read_answer(provider, &body);
                answer.choices.truncate(1);
                for part in answer.choices.iter_mut().flat_map(|choice| &mut choice.parts) {
                    match &mut part.content {
                        // A refusal is text here.
                        Content::Refusal(text) => {
                            let text = Text { text: text.clone(), citations: Vec::new() };
                            part.content = Content::Text(text);
                        }
                        Content::ToolCall(call) => call.signature = None,
                        _ => {}
                    }
                }
                let name = format!("{case} from {}", from.name());
                let stream = encode(&BedrockConverse, &request_with_usage(), &chunks_of(&answer));
                let assembled = assemble(decode(&BedrockConverse, &stream, 9));
                assert_eq!(core(&assembled), core(&answer), "{name}, streamed");
                let mut out = Vec::new();
                BedrockConverse.write_answer(&answer, &request_with_usage(), 0, &mut out);
                let whole = read_answer(&BedrockConverse, &out);
                assert_eq!(core(&whole), core(&answer), "{name}");
                assert_eq!(whole.choices, assembled.choices, "{name}");
            }
        }
    }

    #[test]
    fn visible_and_redacted_reasoning_is_encoded() {
        let signature = |text: &str| {
            let dialect = Dialect::OpenaiResponses;
            Some(Signature { dialect, text: text.to_owned() })
        };
        let reasoning = Reasoning {
            text: "t".to_owned(),
            signature: signature("s"),
            sealed: signature("z"),
            ..Reasoning::default()
        };
        let choice =
            Choice { parts: vec![Part::new(Content::Reasoning(reasoning))], ..Choice::default() };
        let answer = Answer { choices: vec![choice], ..Answer::default() };
        let stream = encode(&BedrockConverse, &request_with_usage(), &chunks_of(&answer));
        let assembled = assemble(decode(&BedrockConverse, &stream, 9));
        let mut out = Vec::new();
        BedrockConverse.write_answer(&answer, &request_with_usage(), 0, &mut out);
        assert_eq!(read_answer(&BedrockConverse, &out).choices, assembled.choices);
        let found = core(&Answer { usage: None, ..assembled });
        let sealed = [signature("z"), signature("s")].map(|it| it.expect("one").text);
        assert!(format!("{found:?}").contains(&format!("{sealed:?}")), "{found:?}");
    }

    #[test]
    fn golden_streams_round_trip() {
        for (case, text) in cases(Dialect::BedrockConverse, ".stream") {
            let text = String::from_utf8(text).expect("UTF-8");
            let stream = on_the_wire(&BedrockConverse, text.as_bytes());
            let names = |events: Vec<(String, String)>| -> Vec<String> {
                events.into_iter().map(|(name, _)| name).collect()
            };
            let written = names(events(&decode(&BedrockConverse, &stream, 64)));
            // The service begins the arguments of a call with an empty fragment.
            let is_empty = |line: &&str| line.contains(r#""input":"""#);
            let mut expected: Vec<&str> = text
                .lines()
                .filter(|line| !is_empty(line))
                .filter_map(|line| line.split('\t').next())
                .collect();
            if case == "call-empty" {
                expected.insert(2, "contentBlockDelta");
            }
            assert_eq!(written, expected, "{case}");
        }
    }

    #[test]
    fn truncated_stream_has_no_message_stop() {
        let stop = Chunk::Finish { choice: 0, reason: StopReason::Stop };
        let open =
            Chunk::BlockStart { choice: 0, part: 0, content: Content::Text(Text::default()) };
        let cut = [Chunk::Start(Start::default()), open, stop];
        let found = events(&cut);
        assert_eq!(found, [("messageStart".to_owned(), r#"{"role":"assistant"}"#.to_owned())]);
    }

    #[test]
    fn error_is_the_last_event() {
        for (status, name) in [
            (400, "validationException"),
            (401, "validationException"),
            (424, "modelStreamErrorException"),
            (429, "throttlingException"),
            (500, "internalServerException"),
            (502, "internalServerException"),
            (503, "serviceUnavailableException"),
            (529, "serviceUnavailableException"),
        ] {
            let error = ApiError {
                status,
                message: "m".to_owned(),
                kind: String::new(),
                code: None,
                param: None,
            };
            let found = events(&[Chunk::Ping, Chunk::Error(error)]);
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].0, name);
            assert!(found[0].1.contains(r#""message":"m""#), "{found:?}");
        }
    }
}

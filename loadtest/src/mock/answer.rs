//! Answers as the bytes that go on the wire, built once and sent many times.

use std::io::Write as _;
use std::ops::Range;

use super::shape::{self, Shape, UsageFields};

/// What decides the bytes of an answer, apart from the token counts of the request.
#[derive(Clone, Debug, PartialEq)]
pub struct Key<'a> {
    pub shape: Shape,
    pub model: std::borrow::Cow<'a, str>,
    pub tokens: u32,
    /// Body bytes of a JSON answer, bytes of a content event of a stream.
    pub bytes: Option<usize>,
}

/// A whole JSON response, head included.
pub struct JsonAnswer {
    bytes: Vec<u8>,
    body_at: usize,
    usage: UsageFields,
}

impl JsonAnswer {
    pub fn build(key: &Key<'_>) -> Self {
        let (body, usage) = shape::answer(key.shape, &key.model, key.tokens, key.bytes);
        let mut bytes = Vec::with_capacity(body.len() + 128);
        write_head(&mut bytes, "200 OK", "", body.len());
        let body_at = bytes.len();
        bytes.extend_from_slice(&body);
        Self { bytes, body_at, usage: usage.shifted(body_at) }
    }

    /// Appends the response with the counts of one request.
    pub fn write(&self, output: &mut Vec<u8>, prompt_tokens: u64) {
        let start = output.len();
        output.extend_from_slice(&self.bytes);
        self.usage.patch(&mut output[start..], prompt_tokens);
    }

    /// Only the body, for the faults that frame it in other ways.
    pub fn body(&self, prompt_tokens: u64) -> Vec<u8> {
        let mut whole = Vec::with_capacity(self.bytes.len());
        self.write(&mut whole, prompt_tokens);
        whole.split_off(self.body_at)
    }
}

/// One event of a stream as a chunk of its own.
pub struct Event {
    framed: Vec<u8>,
    data: Range<usize>,
}

impl Event {
    fn new(data: &[u8]) -> Self {
        let mut framed = format!("{:x}\r\n", data.len()).into_bytes();
        let start = framed.len();
        framed.extend_from_slice(data);
        framed.extend_from_slice(b"\r\n");
        Self { framed, data: start..start + data.len() }
    }

    fn bytes(&self, framed: bool) -> &[u8] {
        if framed { &self.framed } else { &self.framed[self.data.clone()] }
    }
}

/// All parts of a stream.
pub struct StreamAnswer {
    first: Event,
    token: Event,
    finish: Event,
    usage: Event,
    usage_fields: UsageFields,
    done: Event,
}

impl StreamAnswer {
    pub fn build(key: &Key<'_>) -> Self {
        let events = shape::events(key.shape, &key.model, key.tokens, key.bytes);
        let usage = Event::new(&events.usage);
        Self {
            first: Event::new(&events.first),
            token: Event::new(&events.token),
            finish: Event::new(&events.finish),
            usage_fields: events.usage_fields.shifted(usage.data.start),
            usage,
            done: Event::new(shape::DONE),
        }
    }

    /// Appends the head; `framed` announces chunks, else the connection's end is the stream's.
    pub fn write_head(output: &mut Vec<u8>, framed: bool) {
        let framing = if framed { "transfer-encoding: chunked" } else { "connection: close" };
        write_checked(
            output,
            format_args!(
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n{framing}\r\n\r\n"
            ),
        );
    }

    /// Appends content event `index`, counted from 0.
    pub fn write_token(&self, output: &mut Vec<u8>, index: u32, framed: bool) {
        let event = if index == 0 { &self.first } else { &self.token };
        output.extend_from_slice(event.bytes(framed));
    }

    /// Appends everything after the last content event.
    pub fn write_end(&self, output: &mut Vec<u8>, usage_for: Option<u64>, framed: bool) {
        output.extend_from_slice(self.finish.bytes(framed));
        if let Some(prompt_tokens) = usage_for {
            let start = output.len();
            output.extend_from_slice(&self.usage.framed);
            self.usage_fields.patch(&mut output[start..], prompt_tokens);
            if !framed {
                output.truncate(start + self.usage.data.end);
                output.drain(start..start + self.usage.data.start);
            }
        }
        output.extend_from_slice(self.done.bytes(framed));
        if framed {
            output.extend_from_slice(b"0\r\n\r\n");
        }
    }
}

/// Appends the head of a JSON response; `extra` is empty or whole lines.
pub fn write_head(output: &mut Vec<u8>, status: &str, extra: &str, body_bytes: usize) {
    write_checked(
        output,
        format_args!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{extra}content-length: {body_bytes}\r\n\r\n"
        ),
    );
}

/// Appends a JSON response.
pub fn write_json(output: &mut Vec<u8>, status: &str, extra: &str, body: &[u8]) {
    write_head(output, status, extra, body.len());
    output.extend_from_slice(body);
}

fn write_checked(output: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    output.write_fmt(text).expect("writing to memory cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framing::{BodyDecoder, Framing};

    fn key() -> Key<'static> {
        Key { shape: Shape::Chat, model: "m".into(), tokens: 3, bytes: None }
    }

    #[test]
    fn both_framings_carry_the_same_events() {
        let stream = StreamAnswer::build(&key());
        let write = |framed| {
            let mut output = Vec::new();
            for index in 0..3 {
                stream.write_token(&mut output, index, framed);
            }
            stream.write_end(&mut output, Some(12), framed);
            output
        };
        let (framed, plain) = (write(true), write(false));
        let (mut decoder, mut payload, mut rest) =
            (BodyDecoder::new(Framing::Chunked), Vec::new(), framed.as_slice());
        while !rest.is_empty() {
            let step = decoder.next(rest).unwrap();
            payload.extend_from_slice(step.payload);
            rest = &rest[step.consumed..];
        }
        assert!(decoder.is_done());
        assert_eq!(payload, plain);
        let text = String::from_utf8(plain).unwrap();
        assert_eq!(text.matches("data: ").count(), 6);
        assert!(
            text.contains("\"total_tokens\":        15}") && text.ends_with("data: [DONE]\n\n")
        );
    }

    #[test]
    fn json_length_is_announced_right() {
        let answer = JsonAnswer::build(&key());
        let mut output = Vec::new();
        answer.write(&mut output, 9);
        let text = String::from_utf8(output).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())));
        assert_eq!(answer.body(9), body.as_bytes());
    }
}

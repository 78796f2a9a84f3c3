//! Puts the parts of a stream in order, for clients whose dialect has one block at a time.
//!
//! OpenAI's chat streams interleave calls, and end all of them with the choice. [`PartOrder`] gives its
//! encoder one part after another: the chunks of a later part wait until the part before it is
//! complete. A call is complete once its arguments are a complete JSON value, so that calls that are
//! not interleaved do not wait. Waiting chunks are limited by [`WAITING_BYTES_MAX`]; beyond it the
//! stream ends with an error.

use std::collections::VecDeque;

use super::codec::StreamEncoder;
use crate::llm::{ApiError, Chunk, Content, Delta};

/// Maximum size of waiting arguments and text. Responses have a few kilobytes.
const WAITING_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The assumed size of a waiting chunk besides its text.
const PIECE_BYTES: usize = 64;

/// An encoder that receives the parts of the first choice in order. Other choices pass unchanged.
pub(super) struct PartOrder<E> {
    encoder: E,
    /// The part that is open in the encoder.
    current: Option<OpenPart>,
    /// Parts that began while another was open, in that order.
    waiting: VecDeque<QueuedPart>,
    waiting_bytes: usize,
    has_failed: bool,
}

struct OpenPart {
    part: u32,
    /// The progress of its arguments, if it is a call.
    arguments: Option<JsonProgress>,
}

struct QueuedPart {
    part: u32,
    /// The start of the part comes first.
    chunks: Vec<Chunk>,
}

impl<E> PartOrder<E> {
    pub(super) fn new(encoder: E) -> Self {
        Self {
            encoder,
            current: None,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            has_failed: false,
        }
    }
}

impl<E: StreamEncoder> PartOrder<E> {
    fn open(&mut self, part: u32, chunk: &Chunk, content: &Content, out: &mut Vec<u8>) {
        self.end_complete_call(out);
        if self.current.is_some() {
            self.waiting.push_back(QueuedPart { part, chunks: Vec::new() });
            self.keep(part, chunk, out);
            return;
        }
        let arguments = match content {
            Content::ToolCall(call) => Some(JsonProgress::of(&call.arguments)),
            _ => None,
        };
        self.current = Some(OpenPart { part, arguments });
        self.encoder.push(chunk, out);
    }

    fn grow(&mut self, part: u32, chunk: &Chunk, delta: &Delta, out: &mut Vec<u8>) {
        match &mut self.current {
            Some(current) if current.part == part => {
                if let (Some(arguments), Delta::Arguments(piece)) = (&mut current.arguments, delta)
                {
                    arguments.push(piece);
                }
                self.encoder.push(chunk, out);
            }
            _ => {
                self.keep(part, chunk, out);
                self.end_complete_call(out);
            }
        }
    }

    fn close(&mut self, part: u32, chunk: &Chunk, out: &mut Vec<u8>) {
        if self.current.as_ref().is_some_and(|current| current.part == part) {
            self.current = None;
            self.encoder.push(chunk, out);
            self.advance(out);
        } else {
            self.keep(part, chunk, out);
        }
    }

    /// Queues a chunk of a waiting part. A chunk of an ended part is dropped.
    fn keep(&mut self, part: u32, chunk: &Chunk, out: &mut Vec<u8>) {
        let Some(waiting) = self.waiting.iter_mut().find(|it| it.part == part) else { return };
        waiting.chunks.push(chunk.clone());
        self.waiting_bytes += PIECE_BYTES + text_bytes(chunk);
        if self.waiting_bytes > WAITING_BYTES_MAX {
            let error = ApiError {
                status: 502,
                message: "the calls of the answer interleave for too long".to_owned(),
                kind: "server_error".to_owned(),
                code: None,
                param: None,
            };
            self.has_failed = true;
            self.encoder.push(&Chunk::Error(error), out);
        }
    }

    /// Ends the open call, if its arguments are complete and another part waits or begins.
    fn end_complete_call(&mut self, out: &mut Vec<u8>) {
        let complete = self
            .current
            .as_ref()
            .filter(|current| current.arguments.as_ref().is_some_and(JsonProgress::is_complete));
        if let Some(part) = complete.map(|current| current.part) {
            self.close(part, &Chunk::BlockStop { choice: 0, part }, out);
        }
    }

    /// Emits the waiting parts, up to one that is not closed.
    fn advance(&mut self, out: &mut Vec<u8>) {
        while self.current.is_none()
            && let Some(next) = self.waiting.pop_front()
        {
            for chunk in next.chunks {
                self.waiting_bytes =
                    self.waiting_bytes.saturating_sub(PIECE_BYTES + text_bytes(&chunk));
                match &chunk {
                    Chunk::BlockStart { content, .. } => self.open(next.part, &chunk, content, out),
                    Chunk::BlockDelta { delta, .. } => self.grow(next.part, &chunk, delta, out),
                    // The loop continues with the next one.
                    Chunk::BlockStop { .. } => {
                        self.current = None;
                        self.encoder.push(&chunk, out);
                    }
                    _ => self.encoder.push(&chunk, out),
                }
            }
            if !self.waiting.is_empty() {
                self.end_complete_call(out);
            }
        }
    }

    /// Ends the open part and all that wait.
    fn finish(&mut self, out: &mut Vec<u8>) {
        while let Some(part) = self.current.as_ref().map(|current| current.part) {
            self.close(part, &Chunk::BlockStop { choice: 0, part }, out);
        }
    }
}

impl<E: StreamEncoder> StreamEncoder for PartOrder<E> {
    fn complete_at(&mut self, unix: u64) {
        self.encoder.complete_at(unix);
    }

    fn push(&mut self, chunk: &Chunk, out: &mut Vec<u8>) {
        if self.has_failed {
            return;
        }
        match chunk {
            Chunk::BlockStart { choice: 0, part, content } => self.open(*part, chunk, content, out),
            Chunk::BlockDelta { choice: 0, part, delta } => self.grow(*part, chunk, delta, out),
            Chunk::BlockStop { choice: 0, part } => self.close(*part, chunk, out),
            // They belong to the latest text.
            Chunk::Logprobs { choice: 0, .. } if !self.waiting.is_empty() => {
                let latest = self.waiting.back().map_or(0, |waiting| waiting.part);
                self.keep(latest, chunk, out);
            }
            Chunk::Finish { choice: 0, .. } | Chunk::Done => {
                if !self.waiting.is_empty() {
                    self.finish(out);
                }
                self.encoder.push(chunk, out);
            }
            _ => self.encoder.push(chunk, out),
        }
    }
}

/// Size of the text in a chunk.
fn text_bytes(chunk: &Chunk) -> usize {
    match chunk {
        Chunk::BlockDelta { delta: Delta::Text(text) | Delta::Arguments(text), .. } => text.len(),
        Chunk::BlockDelta { delta: Delta::Signature(signature), .. } => signature.text.len(),
        Chunk::BlockStart { content: Content::ToolCall(call), .. } => call.arguments.len(),
        Chunk::BlockStart { content: Content::Raw(foreign), .. } => foreign.json.text().len(),
        _ => 0,
    }
}

/// The progress of a JSON object or array, by its brackets.
#[derive(Default)]
struct JsonProgress {
    depth: usize,
    is_begun: bool,
    is_in_string: bool,
    is_escaped: bool,
}

impl JsonProgress {
    fn of(text: &str) -> Self {
        let mut progress = Self::default();
        progress.push(text);
        progress
    }

    fn push(&mut self, piece: &str) {
        for byte in piece.bytes() {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' if self.is_in_string => self.is_escaped = true,
                b'"' => self.is_in_string = !self.is_in_string,
                _ if self.is_in_string => {}
                b'{' | b'[' => {
                    self.is_begun = true;
                    self.depth += 1;
                }
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
    }

    fn is_complete(&self) -> bool {
        self.is_begun && self.depth == 0 && !self.is_in_string
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::{Start, StopReason, Text, ToolCall};

    /// Records its input.
    struct Recorder(std::rc::Rc<std::cell::RefCell<Vec<Chunk>>>);

    impl StreamEncoder for Recorder {
        fn push(&mut self, chunk: &Chunk, _: &mut Vec<u8>) {
            self.0.borrow_mut().push(chunk.clone());
        }
    }

    /// The input of the encoder after each chunk, in short.
    fn run(chunks: &[Chunk]) -> Vec<String> {
        let seen = std::rc::Rc::<std::cell::RefCell<Vec<Chunk>>>::default();
        let mut order = PartOrder::new(Recorder(std::rc::Rc::clone(&seen)));
        chunks.iter().for_each(|chunk| order.push(chunk, &mut Vec::new()));
        let short = |chunk: &Chunk| match chunk {
            Chunk::BlockStart { part, .. } => format!("open {part}"),
            Chunk::BlockDelta {
                part, delta: Delta::Arguments(text) | Delta::Text(text), ..
            } => {
                format!("grow {part} {text}")
            }
            Chunk::BlockStop { part, .. } => format!("close {part}"),
            Chunk::Finish { .. } => "stop".to_owned(),
            Chunk::Error(_) => "error".to_owned(),
            _ => "other".to_owned(),
        };
        let seen = seen.take();
        seen.iter().map(short).collect()
    }

    fn call(part: u32) -> Chunk {
        let content = Content::ToolCall(ToolCall::default());
        Chunk::BlockStart { choice: 0, part, content }
    }

    fn text(part: u32) -> Chunk {
        Chunk::BlockStart { choice: 0, part, content: Content::Text(Text::default()) }
    }

    fn grow(part: u32, piece: &str) -> Chunk {
        Chunk::BlockDelta { choice: 0, part, delta: Delta::Arguments(piece.to_owned()) }
    }

    fn close(part: u32) -> Chunk {
        Chunk::BlockStop { choice: 0, part }
    }

    fn stop() -> Chunk {
        Chunk::Finish { choice: 0, reason: StopReason::ToolCalls }
    }

    #[test]
    fn interleaved_calls_are_serialized() {
        let chunks = [
            Chunk::Start(Start::default()),
            call(0),
            call(1),
            grow(0, "{\"a\":\"}"),
            grow(1, "{\"b\":"),
            call(2),
            grow(0, "\\\"\"}"),
            grow(1, "1}"),
            close(0),
            close(1),
            close(2),
            stop(),
        ];
        let expected = [
            "other",
            "open 0",
            "grow 0 {\"a\":\"}",
            "grow 0 \\\"\"}",
            "close 0",
            "open 1",
            "grow 1 {\"b\":",
            "grow 1 1}",
            "close 1",
            "open 2",
            "close 2",
            "stop",
        ];
        assert_eq!(run(&chunks), expected);
    }

    #[test]
    fn ordered_parts_are_not_delayed() {
        let chunks = [call(0), grow(0, "{}"), call(1), grow(1, "{\"b\":")];
        assert_eq!(run(&chunks), ["open 0", "grow 0 {}", "close 0", "open 1", "grow 1 {\"b\":"]);
        let chunks = [text(0), close(0), text(1), close(1)];
        assert_eq!(run(&chunks), ["open 0", "close 0", "open 1", "close 1"]);
    }

    #[test]
    fn finished_choice_ends_all_parts() {
        let chunks = [call(0), text(1), grow(1, "w"), call(2), stop(), close(0)];
        let expected =
            ["open 0", "close 0", "open 1", "grow 1 w", "close 1", "open 2", "close 2", "stop"];
        assert_eq!(run(&chunks), expected);
    }

    #[test]
    fn deltas_of_ended_part_are_dropped() {
        let chunks = [call(0), grow(0, "{}"), call(1), grow(0, "x"), close(0), close(1)];
        assert_eq!(run(&chunks), ["open 0", "grow 0 {}", "close 0", "open 1", "close 1"]);
    }

    #[test]
    fn queued_parts_are_bounded() {
        let piece = "x".repeat(1 << 20);
        let mut chunks = vec![call(0), call(1)];
        chunks.extend((0..20).map(|_| grow(1, &piece)));
        chunks.push(stop());
        assert_eq!(run(&chunks), ["open 0", "error"]);
    }
}

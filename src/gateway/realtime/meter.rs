//! What a realtime session used, read off the provider's events.
//!
//! Each answer of the model ends with one event `response.done`, whose usage counts that answer alone,
//! with all that it was given to read; the sum of them is the session's. At most
//! [`MESSAGE_BYTES_MAX`] are kept, of the message that is just coming. What a session transcribes
//! besides is reported in other events, for another model, and is not counted.

use memchr::memmem;

use super::frames::{FrameKind, FramePart};
use crate::llm::{Scanner, Usage, may_carry_usage};

/// A longer message is not looked at: it is the sound of an answer, whose last event is much smaller.
const MESSAGE_BYTES_MAX: usize = 256 * 1024;

/// So much is kept for the next message.
const KEPT_BYTES: usize = 16 * 1024;

/// The reader of one session.
#[derive(Default)]
pub(super) struct Meter {
    message: Vec<u8>,
    state: MeterState,
    /// The frame at hand belongs to the message: control frames may come between its frames.
    is_data: bool,
    /// It is the last one of its message.
    is_final: bool,
    usage: Option<Usage>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum MeterState {
    /// The message is no text, or too long.
    #[default]
    Skipped,
    /// Its text is being kept.
    Kept,
}

impl Meter {
    /// The sum so far; none if no answer has ended.
    pub(super) fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// Takes the next part of what the provider sends.
    pub(super) fn take(&mut self, part: FramePart<'_>, scanner: &mut Scanner) {
        match part {
            FramePart::Begin { kind, is_final, .. } => {
                self.is_data = !matches!(kind, FrameKind::Close | FrameKind::Other);
                if self.is_data {
                    self.is_final = is_final;
                }
                match kind {
                    FrameKind::Text => self.state = MeterState::Kept,
                    FrameKind::Binary => self.state = MeterState::Skipped,
                    FrameKind::Continuation | FrameKind::Close | FrameKind::Other => {}
                }
            }
            FramePart::Payload(piece) if self.is_data && self.state == MeterState::Kept => {
                if self.message.len() + piece.len() > MESSAGE_BYTES_MAX {
                    self.state = MeterState::Skipped;
                    self.forget();
                } else {
                    self.message.extend_from_slice(piece);
                }
            }
            FramePart::Payload(_) => {}
            FramePart::End if self.is_data && self.is_final => {
                if self.state == MeterState::Kept {
                    let report = usage_of(&self.message, scanner);
                    let sum = self.usage.zip(report).map(|(sum, report)| sum.plus(report));
                    self.usage = sum.or(report).or(self.usage);
                }
                self.state = MeterState::Skipped;
                self.forget();
            }
            FramePart::End => {}
        }
    }

    fn forget(&mut self) {
        self.message.clear();
        self.message.shrink_to(KEPT_BYTES);
    }
}

/// The usage of an event that ends an answer.
fn usage_of(message: &[u8], scanner: &mut Scanner) -> Option<Usage> {
    const TYPE: &str = "response.done";
    // Most messages are pieces of sound: they are not parsed.
    if memmem::find(message, TYPE.as_bytes()).is_none() || !may_carry_usage(message) {
        return None;
    }
    let read = scanner.read(message, |event| {
        let usage = event.get("response").and_then(|response| response.get("usage"));
        let usage = usage.filter(|_| event.text_of("type") == TYPE);
        usage.and_then(Usage::read)
    });
    read.ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::super::frames::Frames;
    use super::*;

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).expect("small");
        let mut out = vec![first, 127, 0, 0, 0, 0];
        out.extend(length.to_be_bytes());
        out.extend_from_slice(payload);
        out
    }

    fn done(input: u64, output: u64) -> String {
        format!(
            r#"{{"type":"response.done","event_id":"e","response":{{"object":"realtime.response",
            "status":"completed","usage":{{"total_tokens":{},"input_tokens":{input},
            "output_tokens":{output},"input_token_details":{{"text_tokens":3,"audio_tokens":4,
            "cached_tokens":2}},"output_token_details":{{"text_tokens":1,"audio_tokens":5}}}}}}}}"#,
            input + output
        )
    }

    /// Input, output, cached and audio tokens, the same for any split of the bytes.
    fn check(bytes: &[u8], expected: Option<(u64, u64, u64, u64)>) {
        for size in [1, 2, 5, 1024, bytes.len()] {
            let (mut frames, mut meter) = (Frames::default(), Meter::default());
            let mut scanner = Scanner::default();
            for piece in bytes.chunks(size) {
                frames.read(piece, |part| meter.take(part, &mut scanner));
            }
            let found = meter.usage().map(|it| {
                (it.input_tokens, it.output_tokens, it.cached_tokens, it.input_audio_tokens)
            });
            assert_eq!(found, expected, "by {size}");
            assert!(meter.message.is_empty() && meter.message.capacity() <= KEPT_BYTES);
        }
    }

    #[test]
    fn response_usage_is_summed() {
        let [one, two] = [done(10, 6), done(20, 7)];
        let delta = br#"{"type":"response.output_audio.delta","delta":"AAAA"}"#;
        let bytes = [
            frame(0x81, br#"{"type":"session.created","session":{}}"#),
            frame(0x81, delta),
            frame(0x81, one.as_bytes()),
            frame(0x82, two.as_bytes()),
            frame(0x81, two.as_bytes()),
            frame(0x81, br#"{"type":"response.done","response":{"usage":null}}"#),
            frame(0x88, b""),
        ];
        check(&bytes.concat(), Some((30, 13, 4, 8)));
    }

    #[test]
    fn fragmented_message_may_contain_a_ping() {
        let text = done(10, 6);
        let (first, rest) = text.as_bytes().split_at(30);
        let (second, third) = rest.split_at(40);
        let bytes = [
            frame(0x01, first),
            frame(0x89, b"response.done"),
            frame(0x00, second),
            frame(0x8a, b""),
            frame(0x80, third),
        ];
        check(&bytes.concat(), Some((10, 6, 2, 4)));
    }

    #[test]
    fn only_final_event_of_a_response_counts() {
        let usage = r#""response":{"usage":{"input_tokens":1,"output_tokens":1}}"#;
        for text in [
            format!(r#"{{"type":"response.created",{usage}}}"#),
            format!(r#"{{"type":"x","item":"response.done",{usage}}}"#),
            format!(r#"{{"type":"response.done","item":{{{usage}}}}}"#),
            r#"{"type":"response.done","usage":"none"}"#.to_owned(),
            r#"{"type":"response.done","usage":{"#.to_owned(),
            String::new(),
        ] {
            check(&frame(0x81, text.as_bytes()), None);
        }
    }

    #[test]
    fn oversized_event_is_skipped() {
        let long = format!("{}{}", done(10, 6), " ".repeat(MESSAGE_BYTES_MAX));
        let fits = done(10, 6);
        let fits = format!("{fits}{}", " ".repeat(MESSAGE_BYTES_MAX - fits.len()));
        let bytes = [frame(0x81, long.as_bytes()), frame(0x81, done(5, 1).as_bytes())];
        for size in [65_536, usize::MAX] {
            let (mut frames, mut meter) = (Frames::default(), Meter::default());
            for piece in bytes.concat().chunks(size.min(bytes.concat().len())) {
                frames.read(piece, |part| meter.take(part, &mut Scanner::default()));
            }
            assert_eq!(meter.usage().map(|it| it.input_tokens), Some(5));
        }
        let mut meter = Meter::default();
        let bytes = frame(0x81, fits.as_bytes());
        Frames::default().read(&bytes, |part| meter.take(part, &mut Scanner::default()));
        assert_eq!(meter.usage().map(|it| it.input_tokens), Some(10));
    }
}

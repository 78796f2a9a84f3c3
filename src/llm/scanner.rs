//! The parser a shard keeps for what is read whole, to be translated or looked into: scratch copy, buffers
//! and tape are reused by all its requests. Of what is forwarded as it is, an outline is enough.
//!
//! simd-json unescapes in place, so it gets a copy (2 to 4 % of the parse, `thread-per-core.md` 5) and
//! the original stays whole for forwarding. The copy is padded, which saves simd-json one of its own.
//! Idle memory is bounded: what a big document made grow is given back after it.

use simd_json::{Buffers, INPUT_PADDING, Tape};

use super::error::{JsonError, utf8};
use super::members::each_member;
use super::node::Node;
use super::walk::DEPTH_MAX;

/// Scratch kept between documents, in bytes; simd-json's string buffer is as large. Giving back more
/// eagerly costs a page fault for every 4 KiB of the next document: with 256 KiB here, a body of
/// 400 KB, a long chat, took 428 µs instead of 203 µs (same machine).
const SCRATCH_BYTES_KEPT_MAX: usize = 1024 * 1024;

/// Tape kept between documents, in nodes of 24 bytes; also the bound of structural positions kept
/// (4 bytes each). Chats have one node for 20 bytes or more, brackets one for each byte.
const NODES_KEPT_MAX: usize = 64 * 1024;

/// Reads bodies. One per shard, used by all its requests in turn.
pub struct Scanner {
    scratch: Vec<u8>,
    buffers: Buffers,
    /// Empty between documents.
    tape: Tape<'static>,
}

impl Default for Scanner {
    fn default() -> Self {
        Self {
            scratch: Vec::new(),
            buffers: Buffers::with_max_depth(0, DEPTH_MAX),
            tape: Tape(Vec::new()),
        }
    }
}

impl Scanner {
    /// Reads any document whose root is an object, by `read`.
    ///
    /// # Errors
    /// [`JsonError::Invalid`], [`JsonError::NotAnObject`] or [`JsonError::TooDeep`].
    pub fn read<T>(
        &mut self,
        body: &[u8],
        read: impl FnOnce(Node<'_>) -> T,
    ) -> Result<T, JsonError> {
        self.scratch.clear();
        self.scratch.reserve(body.len() + INPUT_PADDING);
        self.scratch.extend_from_slice(body);
        self.scratch.extend_from_slice(&[b' '; INPUT_PADDING]);
        let mut tape = std::mem::replace(&mut self.tape, Tape(Vec::new())).reset();
        let parsed = simd_json::fill_tape_padded(
            &mut self.scratch,
            body.len(),
            &mut self.buffers,
            &mut tape,
        );
        let result = match parsed {
            Err(refusal) => Err(explain(body, &refusal)),
            Ok(()) if tape.as_value().is_object() => Ok(read(Node::new(tape.as_value()))),
            Ok(()) => Err(JsonError::NotAnObject),
        };
        self.tape = tape.reset();
        self.give_back();
        result
    }

    /// Drops what the last document made grow past the bounds.
    fn give_back(&mut self) {
        if self.tape.0.capacity() > NODES_KEPT_MAX {
            self.tape = Tape(Vec::new());
        }
        let structurals = self.buffers.structural_indexes().len();
        if self.scratch.capacity() > SCRATCH_BYTES_KEPT_MAX || structurals > NODES_KEPT_MAX {
            self.scratch = Vec::new();
            self.buffers = Buffers::with_max_depth(0, DEPTH_MAX);
        }
    }
}

impl std::fmt::Debug for Scanner {
    /// Sizes only: the scratch holds the last prompt.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Scanner")
            .field("scratch_bytes", &self.scratch.capacity())
            .finish_non_exhaustive()
    }
}

/// The error for a body that simd-json refused: it gives no position for errors of its first stage, and one
/// relative to the string for escapes, so the text is walked over again, on this path only.
fn explain(body: &[u8], refusal: &simd_json::Error) -> JsonError {
    let walked = utf8(body).and_then(|_| {
        each_member(body, |_, _| Ok(())).map_err(|refusal| JsonError::explain(body, refusal))
    });
    walked.err().unwrap_or_else(|| JsonError::Invalid {
        at: refusal.index().min(body.len()),
        reason: "syntax error".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Usage;
    use super::*;

    fn model(scanner: &mut Scanner, body: &[u8]) -> Result<String, JsonError> {
        scanner.read(body, |root| root.text_of("model").to_owned())
    }

    #[test]
    fn large_buffer_is_released() {
        let mut scanner = Scanner::default();
        let small = br#"{"model":"m","messages":[]}"#;
        assert!(scanner.read(small, |_| ()).is_ok());
        let kept = (scanner.scratch.capacity(), scanner.tape.0.capacity());
        let brackets = format!(r#"{{"a":[{}0]}}"#, "[],".repeat(100_000));
        let prose = format!(r#"{{"a":"{}"}}"#, "x".repeat(2_000_000));
        let broken = format!(r#"{{"a":"{}"#, "x".repeat(2_000_000));
        for big in [brackets, prose, broken] {
            let _ = scanner.read(big.as_bytes(), |_| ());
            assert!(scanner.scratch.capacity() <= SCRATCH_BYTES_KEPT_MAX);
            assert!(scanner.tape.0.capacity() <= NODES_KEPT_MAX);
            assert!(scanner.buffers.structural_indexes().len() <= NODES_KEPT_MAX);
            assert_eq!(model(&mut scanner, small), Ok("m".to_owned()));
        }
        assert!(scanner.read(small, |_| ()).is_ok());
        let kept_again = (scanner.scratch.capacity(), scanner.tape.0.capacity());
        assert_eq!(kept, kept_again);
    }

    #[test]
    fn scanner_is_usable_after_failure() {
        let mut scanner = Scanner::default();
        for _ in 0..3 {
            assert!(model(&mut scanner, br#"{"model":"one","a":[1,{"b""#).is_err());
            assert_eq!(model(&mut scanner, b"[1]"), Err(JsonError::NotAnObject));
            assert_eq!(model(&mut scanner, br#"{"model":"two"}"#), Ok("two".to_owned()));
            let usage = scanner.read(br#"{"prompt_tokens":1}"#, |root| Usage::read(root)).unwrap();
            assert_eq!(usage, Some(Usage { input_tokens: 1, ..Usage::default() }));
        }
        assert!(!format!("{scanner:?}").contains("two"));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Scanner::default().read(&bytes, |_| ());
        }
    }
}

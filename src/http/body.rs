//! Decoding of a message body, one run of bytes at a time, without a copy.
//!
//! Chunk framing is read strictly (RFC 9112 section 7.1, no blanks, CRLF only). Extensions and
//! trailers are checked, counted and dropped. Bounds over the whole body: `EXTENSION_BYTES_MAX`,
//! `TRAILER_BYTES_MAX`; the size of the body itself is the caller's to bound.

use super::head::Framing;
use super::syntax::{is_text_byte, is_token_byte};

/// All chunk extensions of one body together, so that a body cannot be mostly extensions.
const EXTENSION_BYTES_MAX: u32 = 4 * 1024;

/// All trailer lines of one body together.
const TRAILER_BYTES_MAX: u32 = 8 * 1024;

/// 15 hex digits always fit in 60 bits.
const SIZE_DIGITS_MAX: u32 = 15;

/// The decoder of one body.
#[derive(Debug)]
pub struct BodyDecoder {
    state: State,
    extension_bytes: u32,
    trailer_bytes: u32,
}

/// What one call of `BodyDecoder::next` found. The caller drops `skip + len` bytes of its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Framing bytes before the run of body bytes.
    pub skip: usize,
    /// The run: body bytes are `input[skip..skip + len]`. If 0 and not `done`, more input is
    /// needed.
    pub len: usize,
    /// The body ends behind this run; what follows belongs to the next message.
    pub done: bool,
}

/// Why a body cannot be read to its end. The connection must be closed after either.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The chunk framing broke a rule; the text names what was looked for.
    #[error("malformed chunked body: expected a valid {0}")]
    BadChunk(&'static str),
    /// The peer closed before the body ended.
    #[error("truncated body: expected more bytes before the close")]
    Truncated,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// This many bytes of a body of known length are to come; at least 1.
    Length(u64),
    UntilClose,
    /// Reading a chunk size.
    Size {
        digits: u32,
        value: u64,
    },
    Extension {
        size: u64,
    },
    SizeLineFeed {
        size: u64,
    },
    /// This many bytes of a chunk are to come; at least 1.
    Chunk(u64),
    ChunkReturn,
    ChunkLineFeed,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLineFeed,
    LastLineFeed,
    Done,
    Failed(&'static str),
}

impl BodyDecoder {
    /// A decoder for a body with this framing.
    pub fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Size { digits: 0, value: 0 },
            Framing::UntilClose => State::UntilClose,
        };
        Self { state, extension_bytes: 0, trailer_bytes: 0 }
    }

    /// Finds the next run of body bytes in `input`, which begins where the last piece ended.
    pub fn next(&mut self, input: &[u8]) -> Result<Piece, BodyError> {
        let mut skip = 0_usize;
        loop {
            let rest = input.get(skip..).unwrap_or_default();
            match self.state {
                State::Done => return Ok(Piece { skip, len: 0, done: true }),
                State::Failed(rule) => return Err(BodyError::BadChunk(rule)),
                State::UntilClose => return Ok(Piece { skip, len: rest.len(), done: false }),
                State::Length(left) => {
                    let (len, left) = take(rest, left);
                    self.state = if left == 0 { State::Done } else { State::Length(left) };
                    return Ok(Piece { skip, len, done: left == 0 });
                }
                State::Chunk(left) => {
                    let (len, left) = take(rest, left);
                    self.state = if left == 0 { State::ChunkReturn } else { State::Chunk(left) };
                    return Ok(Piece { skip, len, done: false });
                }
                framing => match rest.first() {
                    Some(byte) => self.state = self.read_framing(framing, *byte),
                    None => return Ok(Piece { skip, len: 0, done: false }),
                },
            }
            skip = skip.saturating_add(1);
        }
    }

    /// Whether the whole body was read.
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// To be asked when the peer has closed: an error unless the body may end here.
    pub fn finish(&self) -> Result<(), BodyError> {
        match self.state {
            State::Done | State::UntilClose => Ok(()),
            State::Failed(rule) => Err(BodyError::BadChunk(rule)),
            _ => Err(BodyError::Truncated),
        }
    }

    /// The state after one byte of chunk framing.
    fn read_framing(&mut self, state: State, byte: u8) -> State {
        const SIZE: State = State::Failed("chunk size (1 to 15 hex digits, then CRLF or ;)");
        const LINE_END: State = State::Failed("chunk line end (CRLF)");
        const TRAILER: State = State::Failed("trailer (name, colon, value and CRLF)");
        match (state, byte) {
            (State::Size { digits: 1.., value: size }, b'\r') => State::SizeLineFeed { size },
            (State::Size { digits: 1.., value: size }, b';') => self.count_extension(size),
            (State::Size { digits, value }, byte)
                if digits < SIZE_DIGITS_MAX && byte.is_ascii_hexdigit() =>
            {
                State::Size {
                    digits: digits.saturating_add(1),
                    value: value << 4 | hex_value(byte),
                }
            }
            (State::Size { .. }, _) => SIZE,
            (State::Extension { size }, b'\r') => State::SizeLineFeed { size },
            (State::Extension { size }, byte) if is_text_byte(byte) => self.count_extension(size),
            (State::Extension { .. }, _) => {
                State::Failed("chunk extension (no control characters)")
            }
            (State::SizeLineFeed { size: 0 }, b'\n') => State::TrailerStart,
            (State::SizeLineFeed { size }, b'\n') => State::Chunk(size),
            (State::ChunkReturn, b'\r') => State::ChunkLineFeed,
            (State::ChunkLineFeed, b'\n') => State::Size { digits: 0, value: 0 },
            (State::SizeLineFeed { .. } | State::ChunkReturn | State::ChunkLineFeed, _) => LINE_END,
            (State::TrailerStart, b'\r') => State::LastLineFeed,
            (State::TrailerStart | State::TrailerName, byte) if is_token_byte(byte) => {
                self.count_trailer(State::TrailerName)
            }
            (State::TrailerName, b':') => self.count_trailer(State::TrailerValue),
            (State::TrailerValue, b'\r') => State::TrailerLineFeed,
            (State::TrailerValue, byte) if is_text_byte(byte) => {
                self.count_trailer(State::TrailerValue)
            }
            (State::TrailerLineFeed, b'\n') => State::TrailerStart,
            (State::LastLineFeed, b'\n') => State::Done,
            _ => TRAILER,
        }
    }

    fn count_extension(&mut self, size: u64) -> State {
        self.extension_bytes = self.extension_bytes.saturating_add(1);
        match self.extension_bytes {
            ..=EXTENSION_BYTES_MAX => State::Extension { size },
            _ => State::Failed("length of all chunk extensions (at most 4 KiB)"),
        }
    }

    fn count_trailer(&mut self, next: State) -> State {
        self.trailer_bytes = self.trailer_bytes.saturating_add(1);
        match self.trailer_bytes {
            ..=TRAILER_BYTES_MAX => next,
            _ => State::Failed("length of all trailers (at most 8 KiB)"),
        }
    }
}

/// How much of `rest` belongs to the run, and how much of the run is then left.
fn take(rest: &[u8], left: u64) -> (usize, u64) {
    let len = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
    (len, left.saturating_sub(u64::try_from(len).unwrap_or(u64::MAX)))
}

fn hex_value(digit: u8) -> u64 {
    char::from(digit).to_digit(16).map_or(0, u64::from)
}

#[cfg(test)]
mod tests {
    use super::super::write::{LAST_CHUNK, write_chunk};
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    /// The body that `pieces` hold, and the bytes left behind its end; none if it is unfinished.
    fn decode<'a>(
        framing: Framing,
        pieces: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<(Vec<u8>, Option<Vec<u8>>), BodyError> {
        let mut decoder = BodyDecoder::new(framing);
        let (mut body, mut held) = (Vec::new(), Vec::new());
        for piece in pieces {
            held.extend_from_slice(piece);
            loop {
                let Piece { skip, len, done } = decoder.next(&held)?;
                body.extend_from_slice(&held[skip..skip + len]);
                held.drain(..skip + len);
                assert_eq!(done, decoder.is_done());
                if done || len == 0 {
                    break;
                }
            }
        }
        Ok((body, decoder.is_done().then_some(held)))
    }

    /// `expected`: the body and what is left behind it, or a word of the error.
    fn check(input: &[u8], expected: Result<(&str, &str), &str>) {
        for size in [input.len().max(1), 1] {
            let decoded = decode(Framing::Chunked, input.chunks(size));
            let label = String::from_utf8_lossy(input);
            match (decoded, expected) {
                (Ok((body, Some(rest))), Ok((expected_body, expected_rest))) => {
                    assert_eq!(body, expected_body.as_bytes(), "{label:?}");
                    assert_eq!(rest, expected_rest.as_bytes(), "{label:?}");
                }
                (Err(error), Err(word)) => {
                    assert!(error.to_string().contains(word), "{label:?}: {error}");
                }
                (decoded, _) => panic!("{label:?}: {decoded:?}, expected {expected:?}"),
            }
        }
    }

    #[test]
    fn valid_chunks_are_joined() {
        check(b"0\r\n\r\n", Ok(("", "")));
        check(b"3\r\nabc\r\n0\r\n\r\nGET", Ok(("abc", "GET")));
        check(b"3\r\nabc\r\n002\r\nde\r\n000\r\n\r\n", Ok(("abcde", "")));
        check(b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", Ok(("01234567890123456789", "")));
        check(b"2\r\n\r\n\r\n0\r\n\r\n", Ok(("\r\n", "")));
        check(b"1;a=b;c=\"d\"\r\nx\r\n0;z\r\n\r\n", Ok(("x", "")));
        check(b"1;\r\nx\r\n0\r\n\r\n", Ok(("x", "")));
        check(b"1\r\nx\r\n0\r\nx-a: b\r\nx-c:\r\n\r\n\r\n", Ok(("x", "\r\n")));
        check(b"000000000000001\r\nx\r\n0\r\n\r\n", Ok(("x", "")));
    }

    #[test]
    fn invalid_chunks_are_rejected() {
        for bad in [
            "\r\n",
            "\n",
            " 1\r\n",
            "1 \r\n",
            "1\t\r\n",
            "0x1\r\n",
            "-1\r\n",
            "+1\r\n",
            "g\r\n",
            ";a\r\n",
            "1,\r\n",
            "1_0\r\n",
            "0000000000000001\r\n",
            "ffffffffffffffffff\r\n",
            "1\n",
            "1.0\r\n",
        ] {
            check(bad.as_bytes(), Err("chunk size"));
        }
        for bad in
            ["1\rx", "1\r\r\n", "1;a\rb", "1\r\nxy", "1\r\nx\n", "1\r\nx\rx", "1\r\nx0\r\n\r\n"]
        {
            check(bad.as_bytes(), Err("line end"));
        }
        for bad in ["1;a\n", "1;a\0", "1;\x7f", "0;\x01"] {
            check(bad.as_bytes(), Err("chunk extension"));
        }
        for bad in [
            "0\r\n\n",
            "0\r\n:\r\n",
            "0\r\na\r\n",
            "0\r\na :b\r\n",
            "0\r\n a: b\r\n",
            "0\r\na: b\n",
            "0\r\na: \0\r\n",
            "0\r\na: b\rc",
            "0\r\n\rx",
            "0\r\na: b\r\n c\r\n",
        ] {
            check(bad.as_bytes(), Err("trailer"));
        }
    }

    #[test]
    fn extensions_and_trailers_are_bounded_per_body() {
        let chunk = format!("1;{}\r\nx\r\n", "e".repeat(1023));
        check(format!("{}0\r\n\r\n", chunk.repeat(4)).as_bytes(), Ok(("xxxx", "")));
        check(chunk.repeat(5).as_bytes(), Err("all chunk extensions"));
        let line = format!("a: {}\r\n", "t".repeat(1021));
        check(format!("0\r\n{}\r\n", line.repeat(8)).as_bytes(), Ok(("", "")));
        check(format!("0\r\n{}", line.repeat(9)).as_bytes(), Err("all trailers"));
    }

    #[test]
    fn other_framings_end_correctly() {
        let decoded = |framing| decode(framing, [&b"abc"[..], b"de"]);
        let behind = |text: &str| Some(text.as_bytes().to_vec());
        assert_eq!(decoded(Framing::None), Ok((vec![], behind("abcde"))));
        assert_eq!(decoded(Framing::Length(0)), Ok((vec![], behind("abcde"))));
        assert_eq!(decoded(Framing::Length(4)), Ok((b"abcd".to_vec(), behind("e"))));
        assert_eq!(decoded(Framing::Length(6)), Ok((b"abcde".to_vec(), None)));
        assert_eq!(decoded(Framing::Length(u64::MAX)), Ok((b"abcde".to_vec(), None)));
        assert_eq!(decoded(Framing::UntilClose), Ok((b"abcde".to_vec(), None)));
    }

    #[test]
    fn premature_close_is_detected() {
        for (framing, input, expected) in [
            (Framing::None, "", Ok(())),
            (Framing::Length(2), "ab", Ok(())),
            (Framing::Length(2), "a", Err(BodyError::Truncated)),
            (Framing::UntilClose, "", Ok(())),
            (Framing::Chunked, "", Err(BodyError::Truncated)),
            (Framing::Chunked, "2\r\na", Err(BodyError::Truncated)),
            (Framing::Chunked, "0\r\n", Err(BodyError::Truncated)),
            (Framing::Chunked, "0\r\n\r", Err(BodyError::Truncated)),
            (Framing::Chunked, "0\r\n\r\n", Ok(())),
        ] {
            let mut decoder = BodyDecoder::new(framing);
            let mut rest = input.as_bytes();
            while let Ok(Piece { skip, len, .. }) = decoder.next(rest)
                && skip + len > 0
            {
                rest = &rest[skip + len..];
            }
            assert_eq!(decoder.finish(), expected, "{framing:?} {input:?}");
        }
    }

    #[test]
    fn errors_are_sticky() {
        let mut decoder = BodyDecoder::new(Framing::Chunked);
        let first = decoder.next(b"x");
        assert!(first.is_err());
        assert_eq!(decoder.next(b"0\r\n\r\n"), first);
        assert_eq!(decoder.finish().err(), first.err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn any_split_decodes_the_same(
            input in "([0-3a]|\r\n|[\r\n;: ]|0\r\n\r\n|1\r\nx\r\n){0,20}",
            size in 1_usize..6,
        ) {
            let whole = decode(Framing::Chunked, [input.as_bytes()]);
            prop_assert_eq!(whole, decode(Framing::Chunked, input.as_bytes().chunks(size)));
        }

        #[test]
        fn arbitrary_bytes_never_panic(input in vec(any::<u8>(), 0..200)) {
            let _ = decode(Framing::Chunked, input.chunks(3));
        }

        #[test]
        fn bodies_round_trip(
            chunks in vec(vec(any::<u8>(), 0..40), 0..6),
            size in 1_usize..50,
        ) {
            let mut bytes = Vec::new();
            for chunk in &chunks {
                write_chunk(&mut bytes, chunk);
            }
            bytes.extend_from_slice(LAST_CHUNK);
            let decoded = decode(Framing::Chunked, bytes.chunks(size));
            prop_assert_eq!(decoded, Ok((chunks.concat(), Some(vec![]))));
        }
    }
}

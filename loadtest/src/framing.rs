//! Where an HTTP/1.1 body ends: by length, by chunks, or by the end of the connection.
//!
//! A decoder takes the bytes in any pieces and hands back the payload without copying. It never panics on input.

use std::fmt;

/// How a body is framed, read from the head of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Exactly so many bytes.
    Length(u64),
    /// `transfer-encoding: chunked`.
    Chunked,
    /// Everything until the peer closes.
    UntilClose,
}

/// The chunk framing broke the grammar of RFC 9112, section 7.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadChunk;

impl fmt::Display for BadChunk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("bad chunk framing")
    }
}

impl std::error::Error for BadChunk {}

/// What one call of [`BodyDecoder::next`] took from its input.
#[derive(Debug, PartialEq, Eq)]
pub struct Step<'a> {
    /// Bytes of the input that are dealt with, framing included.
    pub consumed: usize,
    /// The payload among them; may be empty.
    pub payload: &'a [u8],
}

/// Fifteen hexadecimal digits stay below 2^60, so that no sum can overflow.
const SIZE_DIGITS_MAX: u8 = 15;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Length(u64),
    UntilClose,
    Size { value: u64, digits: u8 },
    Extension { value: u64 },
    SizeLf { value: u64 },
    Data { left: u64 },
    DataCr,
    DataLf,
    TrailerStart,
    Trailer,
    TrailerLf,
    Done,
}

/// Finds the payload and the end of one body.
#[derive(Clone, Debug)]
pub struct BodyDecoder {
    state: State,
}

impl BodyDecoder {
    /// A decoder at the first byte of a body.
    pub fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Size { value: 0, digits: 0 },
            Framing::UntilClose => State::UntilClose,
        };
        Self { state }
    }

    /// True when the whole body has been seen. A body that ends by closing never is.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// True when the end of the connection is the proper end of this body.
    pub fn may_end_by_close(&self) -> bool {
        matches!(self.state, State::UntilClose | State::Done)
    }

    /// Takes framing and at most one run of payload from the front of `input`.
    ///
    /// Call again with the rest until the input is empty or the body is done; bytes after the end are not consumed.
    pub fn next<'a>(&mut self, input: &'a [u8]) -> Result<Step<'a>, BadChunk> {
        let mut at = 0;
        while at < input.len() {
            match self.state {
                State::Done => break,
                State::UntilClose => {
                    return Ok(Step { consumed: input.len(), payload: &input[at..] });
                }
                State::Length(left) | State::Data { left } => {
                    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(input.len() - at);
                    let left = left - taken as u64;
                    self.state = match (self.state, left) {
                        (State::Length(_), 0) => State::Done,
                        (State::Length(_), left) => State::Length(left),
                        (_, 0) => State::DataCr,
                        (_, left) => State::Data { left },
                    };
                    return Ok(Step { consumed: at + taken, payload: &input[at..at + taken] });
                }
                _ => {
                    self.framing_byte(input[at])?;
                    at += 1;
                }
            }
        }
        Ok(Step { consumed: at, payload: &[] })
    }

    fn framing_byte(&mut self, byte: u8) -> Result<(), BadChunk> {
        self.state = match (self.state, byte) {
            (State::Size { digits: 1.., value }, b'\r') => State::SizeLf { value },
            (State::Size { digits: 1.., value }, b';' | b' ' | b'\t') => State::Extension { value },
            (State::Size { value, digits }, _) => {
                let digit = char::from(byte).to_digit(16).ok_or(BadChunk)?;
                if digits == SIZE_DIGITS_MAX {
                    return Err(BadChunk);
                }
                State::Size { value: value << 4 | u64::from(digit), digits: digits + 1 }
            }
            (State::Extension { value }, b'\r') => State::SizeLf { value },
            (State::Extension { .. }, b'\n') => return Err(BadChunk),
            (State::Extension { value }, _) => State::Extension { value },
            (State::SizeLf { value: 0 }, b'\n') => State::TrailerStart,
            (State::SizeLf { value }, b'\n') => State::Data { left: value },
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size { value: 0, digits: 0 },
            (State::TrailerStart, b'\r') => State::TrailerLf,
            (State::TrailerStart, _) => State::Trailer,
            (State::Trailer, b'\n') => State::TrailerStart,
            (State::Trailer, _) => State::Trailer,
            (State::TrailerLf, b'\n') => State::Done,
            _ => return Err(BadChunk),
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes `pieces` one after another; the payload, what was left over, and whether the body ended.
    fn decode(framing: Framing, pieces: &[&[u8]]) -> Result<(Vec<u8>, usize, bool), BadChunk> {
        let mut decoder = BodyDecoder::new(framing);
        let (mut payload, mut left) = (Vec::new(), 0);
        for piece in pieces {
            let mut rest = *piece;
            while !rest.is_empty() && !decoder.is_done() {
                let step = decoder.next(rest)?;
                payload.extend_from_slice(step.payload);
                rest = &rest[step.consumed..];
            }
            left += rest.len();
        }
        Ok((payload, left, decoder.is_done()))
    }

    #[test]
    fn any_split_gives_the_same_body() {
        let chunked: &[u8] =
            b"5;a=b\r\nhello\r\nB \r\n, big world\r\n0\r\nx: y\r\nz: w\r\n\r\nNEXT";
        let cases: [(Framing, &[u8], &[u8], usize); 3] = [
            (Framing::Chunked, chunked, b"hello, big world", 4),
            (Framing::Length(5), b"helloNEXT", b"hello", 4),
            (Framing::Length(0), b"NEXT", b"", 4),
        ];
        for (framing, bytes, payload, left) in cases {
            let expected = Ok((payload.to_vec(), left, true));
            for first in 0..=bytes.len() {
                for second in first..=bytes.len() {
                    let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                    assert_eq!(
                        decode(framing, &pieces),
                        expected,
                        "{framing:?} cut at {first} and {second}"
                    );
                }
            }
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(decode(framing, &single), expected);
        }
    }

    #[test]
    fn broken_chunks_are_rejected() {
        let cases: [&[u8]; 7] = [
            b"zz\r\n",
            b"\r\n",
            b"5\nhello",
            b"5\r\nhelloX",
            b"5\r\nhello\rX",
            b"1000000000000000\r\n",
            b"0\r\n\rX",
        ];
        for bytes in cases {
            assert_eq!(
                decode(Framing::Chunked, &[bytes]),
                Err(BadChunk),
                "{:?}",
                String::from_utf8_lossy(bytes)
            );
        }
    }

    #[test]
    fn truncated_body_is_not_done() {
        assert_eq!(decode(Framing::Chunked, &[b"5\r\nhel"]), Ok((b"hel".to_vec(), 0, false)));
        assert_eq!(decode(Framing::Length(9), &[b"hel"]), Ok((b"hel".to_vec(), 0, false)));
        assert_eq!(
            decode(Framing::UntilClose, &[b"hel", b"lo"]),
            Ok((b"hello".to_vec(), 0, false))
        );
        assert!(BodyDecoder::new(Framing::UntilClose).may_end_by_close());
        assert!(!BodyDecoder::new(Framing::Chunked).may_end_by_close());
    }

    #[test]
    fn random_bytes_never_panic() {
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..5_000 {
            let bytes: Vec<u8> =
                (0..40).map(|_| *random.choice(b"05aF;\r\n x".as_slice()).unwrap()).collect();
            let _ = decode(Framing::Chunked, &[&bytes]);
        }
    }
}

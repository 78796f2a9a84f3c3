//! The fields of one head: an own copy, names in lower case, and what they say about framing and
//! connection.
//!
//! Names are ASCII tokens, values have no control character but tab and no blank at either end. The
//! vectors are kept from one head to the next, so that a warm head allocates nothing.

use super::head::{HeadError, Version};
use super::syntax::{is_token, trim_blanks};
use std::ops::Range;

/// Fields that one head can hold at most, whatever `fields_max` says; 4 KiB of stack while parsing.
const FIELDS_CEILING: usize = 128;

/// Fields that nearly every head stays within: room for more is prepared only when it is needed.
const FIELDS_USUAL: usize = 32;

/// Options in all `Connection` fields together. More would make `is_hop_by_hop` costly; real ones
/// have one.
const CONNECTION_OPTIONS_MAX: usize = 32;

/// RFC 9110 sets no bound to the digits of a length; 18 always fit in 63 bits.
const LENGTH_DIGITS_MAX: usize = 18;

/// The fields of the head last read. Without `Debug`, since values are credentials.
#[derive(Clone, Default)]
pub(super) struct Fields {
    names: String,
    values: Vec<u8>,
    spans: Vec<Span>,
    /// Connection options other than `close` and `keep-alive`, in lower case, one behind the other.
    nominated: String,
    nominated_spans: Vec<Range<usize>>,
    close: bool,
    keep_alive: bool,
    content_length: Option<u64>,
    chunked: bool,
}

/// Where one field stands: `name` in `names`, `value` in `values`.
#[derive(Clone)]
struct Span {
    name: Range<usize>,
    value: Range<usize>,
}

impl Fields {
    /// Forgets all fields and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.names.clear();
        self.values.clear();
        self.spans.clear();
        self.nominated.clear();
        self.nominated_spans.clear();
        self.close = false;
        self.keep_alive = false;
        self.content_length = None;
        self.chunked = false;
    }

    /// Reads the field lines with their closing empty line. `block` has CRLF line ends only
    /// (`HeadScan`).
    pub(super) fn read(
        &mut self,
        block: &[u8],
        fields_max: usize,
        version: Version,
    ) -> Result<(), HeadError> {
        self.clear();
        match self.read_lines::<FIELDS_USUAL>(block, fields_max) {
            Err(HeadError::HeadTooLarge) if fields_max > FIELDS_USUAL => {
                self.read_lines::<FIELDS_CEILING>(block, fields_max)?;
            }
            read => read?,
        }
        self.names.make_ascii_lowercase();
        self.read_meaning(version)
    }

    /// Copies the field lines of `block`, at most `fields_max` and at most `ROOM`. Copies none if it
    /// refuses the block.
    fn read_lines<const ROOM: usize>(
        &mut self,
        block: &[u8],
        fields_max: usize,
    ) -> Result<(), HeadError> {
        let mut room = [httparse::EMPTY_HEADER; ROOM];
        let room = room.get_mut(..fields_max.min(ROOM)).unwrap_or_default();
        let parsed = match httparse::parse_headers(block, room) {
            Ok(httparse::Status::Complete((used, parsed))) if used == block.len() => parsed,
            Ok(_) => return Err(HeadError::Malformed("field line")),
            Err(httparse::Error::TooManyHeaders) => return Err(HeadError::HeadTooLarge),
            Err(httparse::Error::HeaderName) => {
                return Err(HeadError::Malformed("field name (a token, then a colon)"));
            }
            Err(_) => return Err(HeadError::Malformed("field value (no control characters)")),
        };
        // Enough for all of it: growing step by step is a third of the work on a cold head.
        self.names.reserve(block.len());
        self.values.reserve(block.len());
        self.spans.reserve(parsed.len());
        for field in parsed {
            self.push(field.name, trim_blanks(field.value));
        }
        Ok(())
    }

    /// All fields in the order they came.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.spans.iter().map(|span| {
            let name = self.names.get(span.name.clone()).unwrap_or_default();
            (name, self.values.get(span.value.clone()).unwrap_or_default())
        })
    }

    /// The value of the first field with this lower-case name.
    pub(super) fn get(&self, name: &str) -> Option<&[u8]> {
        // Lengths first, and bytes: looking for what is not there is the usual case.
        let is_it = |span: &&Span| {
            span.name.len() == name.len()
                && self.names.as_bytes().get(span.name.clone()) == Some(name.as_bytes())
        };
        let span = self.spans.iter().find(is_it)?;
        self.values.get(span.value.clone())
    }

    /// Whether the field with this lower-case name ends at this hop and must not be passed on.
    pub(super) fn is_hop_by_hop(&self, name: &str) -> bool {
        let always = matches!(
            name,
            "connection" | "keep-alive" | "te" | "trailer" | "transfer-encoding" | "upgrade"
        );
        always
            || name.starts_with("proxy-")
            || self
                .nominated_spans
                .iter()
                .any(|span| self.nominated.get(span.clone()) == Some(name))
    }

    /// Whether the peer means to keep the connection: 1.1 unless it says `close`, 1.0 only if it
    /// asks.
    pub(super) fn keep_alive(&self, version: Version) -> bool {
        let wanted = match version {
            Version::Http11 => true,
            Version::Http10 => self.keep_alive,
        };
        wanted && !self.close
    }

    /// The one `Content-Length`, if there was one.
    pub(super) fn content_length(&self) -> Option<u64> {
        self.content_length
    }

    /// Whether the one transfer coding is `chunked`. Never together with a length.
    pub(super) fn is_chunked(&self) -> bool {
        self.chunked
    }

    fn push(&mut self, name: &str, value: &[u8]) {
        let (name_start, value_start) = (self.names.len(), self.values.len());
        self.names.push_str(name);
        self.values.extend_from_slice(value);
        self.spans.push(Span {
            name: name_start..self.names.len(),
            value: value_start..self.values.len(),
        });
    }

    /// Finds what the fields say about framing and connection, and refuses all that can be read in
    /// two ways.
    fn read_meaning(&mut self, version: Version) -> Result<(), HeadError> {
        for index in 0..self.spans.len() {
            let Some(span) = self.spans.get(index) else { continue };
            let value = span.value.clone();
            match self.names.get(span.name.clone()) {
                Some("content-length") => {
                    let value = self.values.get(value).unwrap_or_default();
                    let length = self.content_length.replace(read_length(value)?);
                    if length.is_some() {
                        return Err(HeadError::Malformed("content-length (at most one)"));
                    }
                }
                Some("transfer-encoding") => {
                    let value = self.values.get(value).unwrap_or_default();
                    let repeated = std::mem::replace(&mut self.chunked, true);
                    if repeated || !value.eq_ignore_ascii_case(b"chunked") {
                        return Err(HeadError::Malformed("transfer-encoding (one chunked)"));
                    }
                }
                Some("connection") => self.read_connection(value)?,
                _ => {}
            }
        }
        if self.chunked && version == Version::Http10 {
            return Err(HeadError::Malformed("transfer-encoding (none on HTTP/1.0)"));
        }
        if self.chunked && self.content_length.is_some() {
            return Err(HeadError::Malformed("framing (content-length or transfer-encoding)"));
        }
        Ok(())
    }

    /// Reads the options of one `Connection` field, whose value stands at `value`.
    fn read_connection(&mut self, value: Range<usize>) -> Result<(), HeadError> {
        let options = self.values.get(value).unwrap_or_default();
        for option in options.split(|byte| *byte == b',').map(trim_blanks) {
            if option.is_empty() {
                continue;
            }
            if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
                continue;
            }
            if option.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
                continue;
            }
            if !is_token(option) || self.nominated_spans.len() >= CONNECTION_OPTIONS_MAX {
                return Err(HeadError::Malformed("connection (a list of at most 32 tokens)"));
            }
            let start = self.nominated.len();
            let lower = option.iter().map(|byte| char::from(byte.to_ascii_lowercase()));
            self.nominated.extend(lower);
            self.nominated_spans.push(start..self.nominated.len());
        }
        Ok(())
    }
}

/// A length of 1 to 18 decimal digits and nothing else.
fn read_length(value: &[u8]) -> Result<u64, HeadError> {
    let digits_only = value.iter().all(u8::is_ascii_digit);
    if value.is_empty() || value.len() > LENGTH_DIGITS_MAX || !digits_only {
        return Err(HeadError::Malformed("content-length (1 to 18 digits)"));
    }
    Ok(value.iter().fold(0, |length, digit| length * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::super::syntax::{is_text_byte, is_token_byte};
    use super::*;

    /// Name and value of a block of one field line; none if it is refused.
    fn read(line: &[u8]) -> Option<(String, Vec<u8>)> {
        let mut fields = Fields::default();
        fields.read(&[line, b"\r\n\r\n"].concat(), 10, Version::Http11).ok()?;
        fields.iter().next().map(|(name, value)| (name.to_owned(), value.to_vec()))
    }

    /// `httparse` works on many bytes at once: each byte must be judged alike wherever it stands.
    #[test]
    fn every_byte_is_validated_at_every_position() {
        // CR and LF never come this far: `HeadScan` lets only whole line ends through.
        for byte in (0..=255_u8).filter(|byte| !b"\r\n".contains(byte)) {
            for before in [1, 7, 8, 15, 16, 31, 32, 33, 70] {
                let pad = vec![b'x'; before];
                let value = [&pad[..], &[byte], &pad[..]].concat();
                let expected = is_text_byte(byte).then(|| ("x".to_owned(), value.clone()));
                assert_eq!(read(&[b"x: ", &value[..]].concat()), expected, "{byte} at {before}");
                if byte != b':' {
                    let name = value.to_ascii_lowercase();
                    let expected = is_token_byte(byte)
                        .then(|| (String::from_utf8_lossy(&name).into_owned(), b"v".to_vec()));
                    let line = [&value[..], b": v"].concat();
                    assert_eq!(read(&line), expected, "{byte} at {before}");
                }
            }
        }
    }

    #[test]
    fn whitespace_around_values_is_trimmed() {
        for (line, value) in
            [("a:b", "b"), ("a: b", "b"), ("a:\t \tb c\t ", "b c"), ("a:", ""), ("a: ", "")]
        {
            assert_eq!(read(line.as_bytes()), Some(("a".to_owned(), value.into())), "{line:?}");
        }
    }

    #[test]
    fn field_count_is_bounded() {
        for (count, fields_max, fits) in [
            (0, 0, true),
            (3, 3, true),
            (4, 3, false),
            (32, 32, true),
            (33, 32, false),
            (33, 33, true),
            (34, 33, false),
            (128, 1000, true),
            (129, 1000, false),
        ] {
            let block = format!("{}\r\n", "a: b\r\n".repeat(count));
            let mut fields = Fields::default();
            let read = fields.read(block.as_bytes(), fields_max, Version::Http11);
            assert_eq!(read, if fits { Ok(()) } else { Err(HeadError::HeadTooLarge) });
            assert_eq!(fields.iter().count(), if fits { count } else { 0 });
        }
    }
}

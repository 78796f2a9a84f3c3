//! The fields of one head: an own copy, names in lower case, and what they say about framing and
//! connection.
//!
//! Names are ASCII tokens, values have no control character but tab and no blank at either end. The
//! vectors are kept from one head to the next, so that a warm head allocates nothing.

use super::head::{FIELDS_CEILING, FIELDS_USUAL, HeadError, Version};
use super::scan::HeadScan;
use super::syntax::{is_text_byte, is_token, token_length, trim_blanks};
use std::ops::Range;

/// Options in all `Connection` fields together. More would make `is_hop_by_hop` costly; real ones
/// have one.
const CONNECTION_OPTIONS_MAX: usize = 32;

/// What ends a line.
const CRLF_BYTES: usize = 2;

/// RFC 9110 sets no bound to the digits of a length; 18 always fit in 63 bits.
const LENGTH_DIGITS_MAX: usize = 18;

/// The fields of the head last read. Without `Debug`, since values are credentials.
#[derive(Clone, Default)]
pub(super) struct Fields {
    /// All names in lower case, one behind the other.
    names: String,
    /// The lines as they came.
    block: Vec<u8>,
    spans: Vec<Span>,
    /// The [`name_bit`]s of all names.
    name_bits: u64,
    /// Connection options other than `close` and `keep-alive`, in lower case, one behind the other.
    nominated: String,
    nominated_spans: Vec<Range<usize>>,
    close: bool,
    keep_alive: bool,
    content_length: Option<u64>,
    chunked: bool,
}

/// Where one field stands: `name` in `names`, `value` in `block`.
#[derive(Clone)]
struct Span {
    name: Range<usize>,
    value: Range<usize>,
}

impl Fields {
    /// Forgets all fields and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.names.clear();
        self.block.clear();
        self.spans.clear();
        self.name_bits = 0;
        self.nominated.clear();
        self.nominated_spans.clear();
        self.close = false;
        self.keep_alive = false;
        self.content_length = None;
        self.chunked = false;
    }

    /// Reads the field lines that `scan` has found in `window`, and what they say about framing and
    /// connection. Keeps none if it refuses one.
    ///
    /// # Errors
    /// At the first line that is not a field, at more than `fields_max` of them, and at what can be read
    /// in two ways.
    pub(super) fn read(
        &mut self,
        window: &[u8],
        scan: &HeadScan,
        fields_max: usize,
        version: Version,
    ) -> Result<(), HeadError> {
        self.clear();
        let read = self.read_lines(window, scan, fields_max);
        if read.is_err() {
            self.clear();
        }
        read?;
        self.read_meaning(version)
    }

    /// Copies the block of field lines once, and the names again, in lower case.
    fn read_lines(
        &mut self,
        window: &[u8],
        scan: &HeadScan,
        fields_max: usize,
    ) -> Result<(), HeadError> {
        let start = scan.fields_start().unwrap_or_default();
        let ends = scan.field_ends();
        let block = window.get(start..ends.last().copied().unwrap_or(start)).unwrap_or_default();
        self.block.extend_from_slice(block);
        let mut names = std::mem::take(&mut self.names).into_bytes();
        // At once: growing step by step is a third of the work on a cold head.
        names.reserve(block.len());
        self.spans.reserve(ends.len().max(FIELDS_USUAL));
        let fields_max = fields_max.min(FIELDS_CEILING);
        let mut line_start = start;
        for line_end in ends.iter().copied() {
            if self.spans.len() >= fields_max {
                return Err(HeadError::HeadTooLarge);
            }
            // With what follows the line, since many bytes at a time are looked at.
            let rest = window.get(line_start..).unwrap_or_default();
            let name_bytes = token_length(rest);
            let line = rest.get(..line_end - line_start).unwrap_or_default();
            let (name, value) = match line.split_at_checked(name_bytes) {
                Some((name, [b':', value @ ..])) if !name.is_empty() => (name, value),
                _ => return Err(HeadError::Malformed("field name (a token, then a colon)")),
            };
            if scan.has_controls() && !value.iter().all(|byte| is_text_byte(*byte)) {
                return Err(HeadError::Malformed("field value (no control characters)"));
            }
            self.name_bits |= name_bit(name);
            let name_start = names.len();
            names.extend_from_slice(name);
            // Of the ASCII whitespace that this trims, only blanks and tabs are left.
            let value = value.trim_ascii_start();
            let value_start = line_end - start - value.len();
            let value_end = value_start + value.trim_ascii_end().len();
            self.spans.push(Span { name: name_start..names.len(), value: value_start..value_end });
            line_start = line_end + CRLF_BYTES;
        }
        names.make_ascii_lowercase();
        self.names = String::from_utf8(names).unwrap_or_default();
        Ok(())
    }

    /// All fields in the order they came.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.spans.iter().map(|span| {
            let name = self.names.get(span.name.clone()).unwrap_or_default();
            (name, self.block.get(span.value.clone()).unwrap_or_default())
        })
    }

    /// The value of the first field with this lower-case name.
    #[inline]
    pub(super) fn get(&self, name: &str) -> Option<&[u8]> {
        // Looking for what is not there is the usual case.
        if self.name_bits & name_bit(name.as_bytes()) == 0 {
            return None;
        }
        self.values(name).next()
    }

    /// The values of all fields with this lower-case name.
    pub(super) fn values<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        // Lengths first, and bytes.
        let is_it = move |span: &&Span| {
            span.name.len() == name.len()
                && self.names.as_bytes().get(span.name.clone()) == Some(name.as_bytes())
        };
        let spans = self.spans.iter().filter(is_it);
        spans.map(|span| self.block.get(span.value.clone()).unwrap_or_default())
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

    /// Finds what the fields say about framing and connection, and refuses all that can be read in
    /// two ways.
    fn read_meaning(&mut self, version: Version) -> Result<(), HeadError> {
        for index in 0..self.spans.len() {
            let Some(span) = self.spans.get(index) else { continue };
            // Lengths first: nearly all fields mean nothing here.
            if !matches!(span.name.len(), 10 | 14 | 17) {
                continue;
            }
            let value = span.value.clone();
            match self.names.get(span.name.clone()) {
                Some("content-length") => {
                    let value = self.block.get(value).unwrap_or_default();
                    let length = self.content_length.replace(read_length(value)?);
                    if length.is_some() {
                        return Err(HeadError::Malformed("content-length (at most one)"));
                    }
                }
                Some("transfer-encoding") => {
                    let value = self.block.get(value).unwrap_or_default();
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
        let options = self.block.get(value).unwrap_or_default();
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

/// One of 64 bits for a name: none of these means that no field has this name. From the length and the
/// first letter, in either case.
#[inline]
fn name_bit(name: &[u8]) -> u64 {
    let letter = name.first().map_or(0, |byte| u64::from(*byte | 0x20));
    1 << ((letter.wrapping_mul(5) ^ name.len() as u64) & 63)
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
    use super::super::syntax::is_token_byte;
    use super::*;
    use proptest::prelude::*;

    /// Reads the field lines of a head; `block` ends with an empty line.
    fn read_block(block: &[u8], fields_max: usize) -> Result<Fields, HeadError> {
        let head = [b"S\r\n", block].concat();
        let mut scan = HeadScan::default();
        assert_eq!(scan.start_line(&head, 10)?, Some(0..1));
        assert_eq!(scan.head_end(&head)?, Some(head.len()));
        let mut fields = Fields::default();
        fields.read(&head, &scan, fields_max, Version::Http11).map(|()| fields)
    }

    /// Name and value of a block of one field line; none if it is refused.
    fn read(line: &[u8]) -> Option<(String, Vec<u8>)> {
        let fields = read_block(&[line, b"\r\n\r\n"].concat(), 10).ok()?;
        fields.iter().next().map(|(name, value)| (name.to_owned(), value.to_vec()))
    }

    /// Many bytes are looked at at once: each must be judged alike wherever it stands.
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
            let read = read_block(block.as_bytes(), fields_max).map(|fields| fields.iter().count());
            assert_eq!(read, if fits { Ok(count) } else { Err(HeadError::HeadTooLarge) });
        }
    }

    #[test]
    fn refused_block_leaves_no_fields() {
        let mut scan = HeadScan::default();
        let head = b"S\r\na: b\r\nc d\r\n\r\n";
        let _ = (scan.start_line(head, 10), scan.head_end(head));
        let mut fields = Fields::default();
        assert!(fields.read(head, &scan, 10, Version::Http11).is_err());
        assert_eq!(fields.iter().count(), 0);
        assert_eq!(fields.get("a"), None);
    }

    /// What `httparse` makes of a block of field lines; none if it refuses it.
    fn judged_by_httparse(block: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
        let mut room = [httparse::EMPTY_HEADER; 16];
        match httparse::parse_headers(block, &mut room) {
            Ok(httparse::Status::Complete((used, fields))) if used == block.len() => Some(
                fields
                    .iter()
                    .map(|it| (it.name.to_ascii_lowercase(), trim_blanks(it.value).to_vec()))
                    .collect(),
            ),
            _ => None,
        }
    }

    fn a_line() -> impl Strategy<Value = Vec<u8>> {
        let name = prop::collection::vec(prop::sample::select(b"aZ-_9~ \"(:\x00".as_slice()), 0..9);
        let value =
            prop::collection::vec(prop::sample::select(b"x ,\t:\x7f\x01\xe9".as_slice()), 0..40);
        (name, prop::bool::weighted(0.9), value).prop_map(|(name, has_colon, value)| {
            let separator: &[u8] = if has_colon { b":" } else { b"" };
            [b"n", &name[..], separator, &value[..]].concat()
        })
    }

    proptest! {
        #[test]
        fn lines_are_read_as_httparse_reads_them(lines in prop::collection::vec(a_line(), 0..4)) {
            let mut block = lines.join(&b"\r\n"[..]);
            block.extend_from_slice(if block.is_empty() { b"\r\n" } else { b"\r\n\r\n" });
            let read = read_block(&block, 16).ok().map(|fields| {
                fields.iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect::<Vec<_>>()
            });
            prop_assert_eq!(read, judged_by_httparse(&block), "{:?}", block);
        }
    }
}

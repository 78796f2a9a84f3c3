//! `multipart/form-data` (RFC 7578, RFC 2046 section 5.1) read as it comes: where parts begin and end,
//! and what their heads say.
//!
//! The pieces of framing and data that are handed on are, one behind the other, the bytes that came in.
//! At most one head of a part, or a boundary with its line, is kept. What two servers could read in two
//! ways is refused: a boundary whose line does not begin and end with CR LF, folded heads, a name that is
//! given twice. A line that begins with the boundary and goes on with other text is data.

use std::borrow::Cow;

use memchr::memmem::Finder;

use super::syntax::{is_token, trim_blanks};

/// RFC 2046 section 5.1.1.
const BOUNDARY_BYTES_MAX: usize = 70;

/// Real heads have 200 bytes.
const PART_HEAD_BYTES_MAX: usize = 8 * 1024;

/// Blanks that may follow a boundary in its line.
const PADDING_BYTES_MAX: usize = 64;

/// Parts of one form.
const PARTS_MAX: usize = 1024;

/// Why a form cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// The content type has none, or two.
    #[error("its content type has no boundary of 1 to 70 characters")]
    Boundary,
    /// Text says what.
    #[error("the head of a part is malformed: {0}")]
    PartHead(&'static str),
    /// Over 8 KiB.
    #[error("the head of a part is over 8192 bytes")]
    PartHeadTooLong,
    /// Over 1024.
    #[error("it has over 1024 parts")]
    TooManyParts,
    /// Readers differ about it.
    #[error("a line with the boundary does not begin and end with CR LF")]
    AmbiguousBoundary,
    /// The last boundary comes first.
    #[error("it has no part")]
    NoParts,
    /// The last boundary is missing.
    #[error("it ends before its last boundary")]
    Truncated,
}

/// What the head of a part says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartHead {
    /// `name`, unescaped.
    pub name: String,
    /// The name has no escapes, which some readers leave as they are.
    pub is_literal: bool,
    /// It has a `filename`.
    pub is_file: bool,
    /// Its data are UTF-8 text as it stands: no other content type, no transfer encoding.
    pub is_text: bool,
}

/// What was found next.
#[derive(Debug)]
pub enum FormEvent<'b> {
    /// Boundaries, heads, and what stands before the first part and behind the last.
    Framing(&'b [u8]),
    /// A part begins, whose head has been handed on as framing.
    Begin(PartHead),
    /// Some of its data; never empty.
    Data(&'b [u8]),
    /// It has ended.
    End,
    /// The last boundary follows: what is added goes before it.
    Last,
}

/// The reader of one form.
#[derive(Debug)]
pub struct FormReader {
    /// Two dashes and the boundary.
    boundary: Finder<'static>,
    buffer: Vec<u8>,
    state: State,
    parts: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first boundary; nothing has been read yet, or something has.
    Preamble { is_fresh: bool },
    /// Behind a boundary.
    Head,
    /// Behind a head; no data have been read yet, or some have.
    Data { is_fresh: bool },
    /// Behind the last boundary.
    Epilogue,
}

/// Where the next boundary is.
enum Search {
    /// Not in so many bytes; the rest may be the beginning of one.
    Absent(usize),
    Found {
        /// Where its line begins, with the line end before it.
        start: usize,
        /// Behind its line.
        end: usize,
        is_last: bool,
    },
}

/// What comes after a boundary.
enum AfterBoundary {
    /// So many bytes, and a part.
    Part(usize),
    /// So many bytes, and the end.
    Last(usize),
    /// What makes it no boundary.
    Text,
    /// What makes it one for some readers.
    Odd,
    /// More has to come.
    Unknown,
}

/// The boundary of a form of that content type; none for another content type.
///
/// # Errors
/// When it has none that is legal.
pub fn form_boundary(content_type: &[u8]) -> Result<Option<Vec<u8>>, FormError> {
    let kind_end = content_type.iter().position(|it| *it == b';').unwrap_or(content_type.len());
    let (kind, rest) = content_type.split_at(kind_end);
    if !trim_blanks(kind).eq_ignore_ascii_case(b"multipart/form-data") {
        return Ok(None);
    }
    let mut boundary = None;
    for parameter in parameters(rest) {
        let (name, value, has_escapes) = parameter.ok_or(FormError::Boundary)?;
        if name == "boundary" && (has_escapes || boundary.replace(value.into_owned()).is_some()) {
            return Err(FormError::Boundary);
        }
    }
    let is_legal = |it: &Vec<u8>| {
        let legal = |byte: &u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(byte);
        (1..=BOUNDARY_BYTES_MAX).contains(&it.len()) && it.iter().all(legal) && !it.ends_with(b" ")
    };
    boundary.filter(is_legal).map(Some).ok_or(FormError::Boundary)
}

impl FormReader {
    /// A reader of a form with that boundary.
    #[must_use]
    pub fn new(boundary: &[u8]) -> Self {
        let boundary = Finder::new(&[b"--", boundary].concat()).into_owned();
        let state = State::Preamble { is_fresh: true };
        Self { boundary, buffer: Vec::new(), state, parts: 0 }
    }

    /// Reads on.
    ///
    /// # Errors
    /// When what came is no form; nothing is to be read after it.
    pub fn push(
        &mut self,
        bytes: &[u8],
        visit: &mut dyn FnMut(FormEvent<'_>),
    ) -> Result<(), FormError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.extend_from_slice(bytes);
        let mut rest: &[u8] = &buffer;
        while let Some(taken) = self.step(rest, false, visit)? {
            rest = rest.get(taken..).unwrap_or_default();
        }
        let taken = buffer.len() - rest.len();
        buffer.drain(..taken);
        self.buffer = buffer;
        Ok(())
    }

    /// The body has ended.
    ///
    /// # Errors
    /// When the form has not.
    pub fn finish(&mut self, visit: &mut dyn FnMut(FormEvent<'_>)) -> Result<(), FormError> {
        let buffer = std::mem::take(&mut self.buffer);
        let mut rest: &[u8] = &buffer;
        while let Some(taken) = self.step(rest, true, visit)? {
            rest = rest.get(taken..).unwrap_or_default();
        }
        if self.state == State::Epilogue { Ok(()) } else { Err(FormError::Truncated) }
    }

    /// Takes the next piece of `rest` and tells its length; none where more has to come.
    fn step(
        &mut self,
        rest: &[u8],
        is_end: bool,
        visit: &mut dyn FnMut(FormEvent<'_>),
    ) -> Result<Option<usize>, FormError> {
        let taken = match self.state {
            State::Epilogue => {
                visit_bytes(rest, &mut |bytes| visit(FormEvent::Framing(bytes)));
                rest.len()
            }
            State::Head => return self.head(rest, visit),
            State::Preamble { .. } | State::Data { .. } => match self.search(rest, is_end)? {
                Search::Absent(count) => {
                    let (before, _) = rest.split_at_checked(count).unwrap_or_default();
                    self.pass(before, visit);
                    count
                }
                Search::Found { start, end, is_last } => {
                    let (before, line) = rest.split_at_checked(start).unwrap_or_default();
                    self.pass(before, visit);
                    let is_data = matches!(self.state, State::Data { .. });
                    if is_data {
                        visit(FormEvent::End);
                    }
                    if is_last && !is_data {
                        return Err(FormError::NoParts);
                    }
                    if is_last {
                        visit(FormEvent::Last);
                    }
                    visit(FormEvent::Framing(line.get(..end - start).unwrap_or_default()));
                    self.state = if is_last { State::Epilogue } else { State::Head };
                    end
                }
            },
        };
        Ok((taken > 0).then_some(taken))
    }

    /// Hands on bytes before a boundary.
    fn pass(&mut self, bytes: &[u8], visit: &mut dyn FnMut(FormEvent<'_>)) {
        match &mut self.state {
            State::Data { is_fresh } => {
                *is_fresh &= bytes.is_empty();
                visit_bytes(bytes, &mut |bytes| visit(FormEvent::Data(bytes)));
            }
            State::Preamble { is_fresh } => {
                *is_fresh &= bytes.is_empty();
                visit_bytes(bytes, &mut |bytes| visit(FormEvent::Framing(bytes)));
            }
            State::Head | State::Epilogue => {}
        }
    }

    fn search(&self, rest: &[u8], is_end: bool) -> Result<Search, FormError> {
        let length = self.boundary.needle().len();
        let mut from = 0;
        while let Some(found) = self.boundary.find(rest.get(from..).unwrap_or_default()) {
            let at = from + found;
            let (before, line) = rest.split_at_checked(at).unwrap_or_default();
            // The body may begin with a boundary.
            let is_first = at == 0 && self.state == State::Preamble { is_fresh: true };
            let is_line = is_first || before.ends_with(b"\r\n");
            // Some take a bare CR or LF for the end of a line, and the end of a head for one.
            let may_be_line = is_line
                || matches!(before.last(), Some(b'\r' | b'\n'))
                || at == 0 && self.state == State::Data { is_fresh: true };
            let start = if is_first { 0 } else { at.saturating_sub(2) };
            match behind(line.get(length..).unwrap_or_default(), is_end) {
                AfterBoundary::Unknown if may_be_line => return Ok(Search::Absent(start)),
                AfterBoundary::Part(count) if is_line => {
                    return Ok(Search::Found { start, end: at + length + count, is_last: false });
                }
                AfterBoundary::Last(count) if is_line => {
                    return Ok(Search::Found { start, end: at + length + count, is_last: true });
                }
                AfterBoundary::Part(_) | AfterBoundary::Last(_) | AfterBoundary::Odd
                    if may_be_line =>
                {
                    return Err(FormError::AmbiguousBoundary);
                }
                _ => from = at + 1,
            }
        }
        // All but the boundary's last byte may be there, behind a line end.
        let kept = if is_end { 0 } else { length + 1 };
        Ok(Search::Absent(rest.len().saturating_sub(kept)))
    }

    fn head(
        &mut self,
        rest: &[u8],
        visit: &mut dyn FnMut(FormEvent<'_>),
    ) -> Result<Option<usize>, FormError> {
        let looked_at = rest.get(..PART_HEAD_BYTES_MAX).unwrap_or(rest);
        let Some(end) = memchr::memmem::find(looked_at, b"\r\n\r\n") else {
            let is_long = rest.len() >= PART_HEAD_BYTES_MAX;
            return if is_long { Err(FormError::PartHeadTooLong) } else { Ok(None) };
        };
        let (head, _) = rest.split_at_checked(end + 4).unwrap_or_default();
        let part = part_head(head.get(..end).unwrap_or_default())?;
        self.parts += 1;
        if self.parts > PARTS_MAX {
            return Err(FormError::TooManyParts);
        }
        self.state = State::Data { is_fresh: true };
        visit(FormEvent::Framing(head));
        visit(FormEvent::Begin(part));
        Ok(Some(head.len()))
    }
}

fn visit_bytes(bytes: &[u8], visit: &mut dyn FnMut(&[u8])) {
    if !bytes.is_empty() {
        visit(bytes);
    }
}

/// What the bytes behind a boundary make of it.
fn behind(bytes: &[u8], is_end: bool) -> AfterBoundary {
    let (dashes, rest) = match bytes {
        [b'-', b'-', rest @ ..] => (2, rest),
        [b'-'] => return if is_end { AfterBoundary::Text } else { AfterBoundary::Unknown },
        [b'-', ..] => return AfterBoundary::Text,
        rest => (0, rest),
    };
    let blanks = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    if blanks > PADDING_BYTES_MAX {
        return AfterBoundary::Odd;
    }
    match rest.get(blanks..).unwrap_or_default() {
        [b'\r', b'\n', ..] if dashes == 0 => AfterBoundary::Part(blanks + 2),
        [b'\r', b'\n', ..] => AfterBoundary::Last(dashes + blanks),
        [] | [b'\r'] if !is_end => AfterBoundary::Unknown,
        [] if dashes > 0 => AfterBoundary::Last(dashes + blanks),
        [] => AfterBoundary::Text,
        [b'\r' | b'\n', ..] => AfterBoundary::Odd,
        _ if dashes > 0 => AfterBoundary::Odd,
        _ => AfterBoundary::Text,
    }
}

/// Reads the lines of a head.
fn part_head(head: &[u8]) -> Result<PartHead, FormError> {
    let malformed = |what| Err(FormError::PartHead(what));
    let mut disposition = None;
    let mut is_text = true;
    let mut rest = head;
    while !rest.is_empty() {
        let end = memchr::memmem::find(rest, b"\r\n").unwrap_or(rest.len());
        let (line, behind) = rest.split_at(end);
        rest = behind.get(2..).unwrap_or_default();
        let colon = memchr::memchr(b':', line);
        let Some((name, value)) = colon.and_then(|at| line.split_at_checked(at)) else {
            return malformed("a line without a colon");
        };
        let has_control = |byte: &u8| matches!(byte, 0..=0x08 | 0x0a..=0x1f | 0x7f);
        if !is_token(name) || line.iter().any(has_control) {
            return malformed("a line that is no field");
        }
        let value = trim_blanks(value.get(1..).unwrap_or_default());
        if name.eq_ignore_ascii_case(b"content-disposition") {
            if disposition.replace(value).is_some() {
                return malformed("two fields `content-disposition`");
            }
        } else if name.eq_ignore_ascii_case(b"content-type") {
            is_text &= is_utf8_text(value);
        } else if name.eq_ignore_ascii_case(b"content-transfer-encoding") {
            let plain: [&[u8]; 3] = [b"7bit", b"8bit", b"binary"];
            is_text &= plain.iter().any(|it| value.eq_ignore_ascii_case(it));
        }
    }
    match disposition {
        Some(value) => disposition_head(value, is_text),
        None => malformed("no field `content-disposition`"),
    }
}

fn disposition_head(value: &[u8], is_text: bool) -> Result<PartHead, FormError> {
    let malformed = FormError::PartHead("expected `form-data` with one `name`");
    let kind_end = value.iter().position(|it| *it == b';').ok_or(malformed)?;
    let (kind, rest) = value.split_at(kind_end);
    if !trim_blanks(kind).eq_ignore_ascii_case(b"form-data") {
        return Err(malformed);
    }
    let (mut found, mut is_file) = (None, false);
    for parameter in parameters(rest) {
        let (parameter, value, has_escapes) = parameter.ok_or(malformed)?;
        match parameter.as_str() {
            "name" => {
                let name = String::from_utf8(value.into_owned()).map_err(|_| malformed)?;
                if found.replace((name, has_escapes)).is_some() {
                    return Err(malformed);
                }
            }
            // RFC 7578 section 4.2: not in forms; some read it, and it would win.
            "name*" => return Err(malformed),
            "filename" | "filename*" => is_file = true,
            _ => {}
        }
    }
    let (name, has_escapes) = found.ok_or(malformed)?;
    let is_literal = !has_escapes && !name.contains('%');
    Ok(PartHead { name, is_literal, is_file, is_text })
}

fn is_utf8_text(content_type: &[u8]) -> bool {
    let lower = content_type.to_ascii_lowercase();
    let mut parts = lower.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    parts.next() == Some(b"text/plain")
        && parts.all(|it| matches!(it, b"charset=utf-8" | b"charset=\"utf-8\""))
}

/// A parameter: its name in lower case, its value unescaped, and whether it had escapes.
type Parameter<'b> = (String, Cow<'b, [u8]>, bool);

/// The parameters of a field, each after a semicolon; none for what is no parameter, which is the last.
fn parameters(mut rest: &[u8]) -> impl Iterator<Item = Option<Parameter<'_>>> {
    std::iter::from_fn(move || {
        rest = trim_blanks(rest);
        let behind = match rest {
            [] | [b';'] => return None,
            [b';', behind @ ..] => trim_blanks(behind),
            _ => {
                rest = &[];
                return Some(None);
            }
        };
        let read = parameter(behind);
        rest = read.as_ref().map_or(&[][..], |(_, rest)| rest);
        Some(read.map(|(parameter, _)| parameter))
    })
}

fn parameter(bytes: &[u8]) -> Option<(Parameter<'_>, &[u8])> {
    let equals = memchr::memchr(b'=', bytes)?;
    let (name, value) = bytes.split_at_checked(equals)?;
    if !is_token(name) {
        return None;
    }
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    let value = value.get(1..)?;
    let Some(quoted) = value.strip_prefix(b"\"") else {
        let ends = |byte: &u8| matches!(byte, b';' | b' ' | b'\t');
        let (value, rest) = value.split_at(value.iter().position(ends).unwrap_or(value.len()));
        let is_legal = !value.is_empty() && !value.contains(&b'"');
        return is_legal.then_some(((name, Cow::Borrowed(value), value.contains(&b'\\')), rest));
    };
    let mut value = Vec::new();
    let mut has_escapes = false;
    let mut at = 0;
    loop {
        match quoted.get(at)? {
            b'"' => break,
            b'\\' => {
                has_escapes = true;
                value.push(*quoted.get(at + 1)?);
                at += 2;
            }
            byte => {
                value.push(*byte);
                at += 1;
            }
        }
    }
    Some(((name, Cow::Owned(value), has_escapes), quoted.get(at + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The parts with their data, and the bytes that were handed on.
    #[derive(Debug, Default, PartialEq)]
    struct ReadParts {
        parts: Vec<(String, bool, Vec<u8>)>,
        bytes: Vec<u8>,
        error: Option<FormError>,
    }

    fn read_by(boundary: &[u8], pieces: &[&[u8]]) -> ReadParts {
        let mut read = ReadParts::default();
        let mut reader = FormReader::new(boundary);
        let mut is_open = false;
        let (parts, bytes) = (&mut read.parts, &mut read.bytes);
        let mut visit = |event: FormEvent<'_>| match event {
            FormEvent::Framing(piece) => bytes.extend_from_slice(piece),
            FormEvent::Begin(head) => {
                assert!(!std::mem::replace(&mut is_open, true));
                parts.push((head.name, head.is_file, Vec::new()));
            }
            FormEvent::Data(piece) => {
                assert!(is_open && !piece.is_empty());
                bytes.extend_from_slice(piece);
                parts.last_mut().expect("a part").2.extend_from_slice(piece);
            }
            FormEvent::End => assert!(std::mem::replace(&mut is_open, false)),
            FormEvent::Last => assert!(!is_open),
        };
        let mut result = Ok(());
        for piece in pieces {
            result = result.and_then(|()| reader.push(piece, &mut visit));
            assert!(reader.buffer.len() <= PART_HEAD_BYTES_MAX + piece.len());
        }
        result = result.and_then(|()| reader.finish(&mut visit));
        read.error = result.err();
        read
    }

    fn read(body: &[u8]) -> ReadParts {
        let whole = read_by(b"X", &[body]);
        for size in [1, 2, 3, 7] {
            let pieces: Vec<&[u8]> = body.chunks(size).collect();
            let found = read_by(b"X", &pieces);
            assert_eq!(found.error, whole.error, "by {size}");
            if whole.error.is_none() {
                assert_eq!(found, whole, "by {size}");
            }
        }
        if whole.error.is_none() {
            assert_eq!(whole.bytes, body);
        }
        whole
    }

    const NAMED_A: &str = "--X\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n";

    fn data_of(body: &str) -> Result<Vec<String>, FormError> {
        let read = read(body.as_bytes());
        let text = |data: Vec<u8>| String::from_utf8(data).expect("text");
        read.error.map_or(Ok(()), Err)?;
        Ok(read.parts.into_iter().map(|(_, _, data)| text(data)).collect())
    }

    #[test]
    fn data_ends_at_boundaries_only() {
        for (body, expected) in [
            ("1\r\n--X--\r\n", Ok(&["1"][..])),
            ("1\r\n--X--", Ok(&["1"])),
            ("1\r\n--X-- \t", Ok(&["1"])),
            ("1\r\n--X--\r\nepilogue\r\n--X\r\n", Ok(&["1"])),
            ("\r\n--X--", Ok(&[""])),
            ("\r\n\r\n--X--", Ok(&["\r\n"])),
            (
                "1\r\n--X \t\r\nContent-Disposition: form-data; name=b\r\n\r\n2\r\n--X--",
                Ok(&["1", "2"]),
            ),
            // What is longer, or stands elsewhere, is no boundary.
            ("1\r\n--Xy\r\n--X--", Ok(&["1\r\n--Xy"])),
            ("1\r\n--X-y\r\n--X--", Ok(&["1\r\n--X-y"])),
            ("1\r\n--\r\n-\r\n--X--", Ok(&["1\r\n--\r\n-"])),
            ("1--X\r\n\r\n--X--", Ok(&["1--X\r\n"])),
            ("1--X--\r\n--X--", Ok(&["1--X--"])),
            ("1\r\r\n--X--", Ok(&["1\r"])),
            // Readers differ.
            ("1\n--X\r\n\r\n--X--", Err(FormError::AmbiguousBoundary)),
            ("1\r--X\r\n\r\n--X--", Err(FormError::AmbiguousBoundary)),
            ("1\r\n--X\n\r\n--X--", Err(FormError::AmbiguousBoundary)),
            ("1\r\n--X\ry\r\n--X--", Err(FormError::AmbiguousBoundary)),
            ("1\r\n--X--y\r\n--X--", Err(FormError::AmbiguousBoundary)),
            ("--X--", Err(FormError::AmbiguousBoundary)),
            ("1", Err(FormError::Truncated)),
            ("1\r\n--X", Err(FormError::Truncated)),
            ("1\r\n--X-", Err(FormError::Truncated)),
            ("1\r\n--X\r\n", Err(FormError::Truncated)),
            ("1\r\n--X\r\nContent-", Err(FormError::Truncated)),
        ] {
            let found = data_of(&format!("{NAMED_A}{body}"));
            let expected = expected.map(|it| it.iter().map(|it| (*it).to_owned()).collect());
            assert_eq!(found, expected, "{body:?}");
        }
        assert_eq!(data_of(&format!("preamble\r\n{NAMED_A}1\r\n--X--")), Ok(vec!["1".to_owned()]));
        assert_eq!(data_of("--X--"), Err(FormError::NoParts));
        assert_eq!(data_of("\r\n--X--\r\n"), Err(FormError::NoParts));
        assert_eq!(data_of(""), Err(FormError::Truncated));
        assert_eq!(data_of("anything"), Err(FormError::Truncated));
    }

    #[test]
    fn part_heads_are_parsed() {
        let named = |name: &str, is_literal, is_file, is_text| {
            Some(PartHead { name: name.to_owned(), is_literal, is_file, is_text })
        };
        for (head, expected) in [
            ("Content-Disposition: form-data; name=\"a\"", named("a", true, false, true)),
            ("content-disposition:form-data;name=a", named("a", true, false, true)),
            ("Content-Disposition: FORM-DATA ; NAME = \"a\"", None),
            ("Content-Disposition: Form-Data; Name=\"a\";", named("a", true, false, true)),
            (
                "Content-Disposition: form-data; name=\"a;b\"; x=\"y\"",
                named("a;b", true, false, true),
            ),
            (
                "Content-Disposition: form-data; name=\"a\"; filename=\"\"",
                named("a", true, true, true),
            ),
            (
                "Content-Disposition: form-data; filename*=UTF-8''x; name=\"a\"",
                named("a", true, true, true),
            ),
            ("Content-Disposition: form-data; name=\"a\\b\"", named("ab", false, false, true)),
            ("Content-Disposition: form-data; name=\"a%62\"", named("a%62", false, false, true)),
            (
                "Content-Disposition: form-data; name=\"a\"\r\nContent-Type: text/plain; charset=UTF-8",
                named("a", true, false, true),
            ),
            (
                "Content-Disposition: form-data; name=\"a\"\r\nContent-Type: text/plain; charset=utf-16",
                named("a", true, false, false),
            ),
            (
                "Content-Disposition: form-data; name=\"a\"\r\nContent-Transfer-Encoding: base64",
                named("a", true, false, false),
            ),
            ("Content-Disposition: form-data; name=\"a\"; name=\"b\"", None),
            ("Content-Disposition: form-data; name=\"a\"; name*=utf-8''b", None),
            ("Content-Disposition: form-data; name=\"a", None),
            ("Content-Disposition: form-data; name=\"a\\\"", None),
            ("Content-Disposition: form-data; name=\"a\"b", None),
            ("Content-Disposition: form-data", None),
            ("Content-Disposition: form-data; filename=\"a\"", None),
            ("Content-Disposition: attachment; name=\"a\"", None),
            (
                "Content-Disposition: form-data; name=\"a\"\r\nContent-Disposition: form-data; name=b",
                None,
            ),
            ("Content-Disposition: form-data;\r\n name=\"a\"", None),
            ("Content-Disposition : form-data; name=\"a\"", None),
            ("Content-Disposition: form-data; name=\"a\"\r\nx", None),
            ("Content-Disposition: form-data; name=\"a\nb\"", None),
            ("X: y", None),
            ("", None),
        ] {
            assert_eq!(part_head(head.as_bytes()).ok(), expected, "{head:?}");
        }
    }

    #[test]
    fn boundary_is_read_from_content_type() {
        let long = format!("multipart/form-data; boundary={}", "x".repeat(71));
        for (content_type, expected) in [
            ("multipart/form-data; boundary=X", Ok(Some("X"))),
            ("Multipart/Form-Data;BOUNDARY=\"a b:c\"", Ok(Some("a b:c"))),
            ("multipart/form-data; charset=utf-8; boundary=X ; x=y", Ok(Some("X"))),
            ("multipart/form-data; boundary=\"X\\Y\"", Err(FormError::Boundary)),
            ("multipart/mixed; boundary=X", Ok(None)),
            ("application/json", Ok(None)),
            ("multipart/form-data", Err(FormError::Boundary)),
            ("multipart/form-data; boundary=", Err(FormError::Boundary)),
            ("multipart/form-data; boundary=\"\"", Err(FormError::Boundary)),
            ("multipart/form-data; boundary=X; boundary=Y", Err(FormError::Boundary)),
            ("multipart/form-data; boundary=\"X", Err(FormError::Boundary)),
            ("multipart/form-data; boundary=\"X \"", Err(FormError::Boundary)),
            ("multipart/form-data; boundary=a*b", Err(FormError::Boundary)),
            (&long, Err(FormError::Boundary)),
        ] {
            let expected = expected.map(|it| it.map(|it| it.as_bytes().to_vec()));
            assert_eq!(form_boundary(content_type.as_bytes()), expected, "{content_type}");
        }
    }

    #[test]
    fn form_limits_are_enforced() {
        let long = format!("--X\r\nX: {}\r\n\r\n", "y".repeat(PART_HEAD_BYTES_MAX));
        assert_eq!(read(long.as_bytes()).error, Some(FormError::PartHeadTooLong));
        let many = |count: usize| format!("{}--X--", format!("{NAMED_A}1\r\n").repeat(count));
        assert_eq!(read_by(b"X", &[many(PARTS_MAX).as_bytes()]).error, None);
        let error = read_by(b"X", &[many(PARTS_MAX + 1).as_bytes()]).error;
        assert_eq!(error, Some(FormError::TooManyParts));
    }

    proptest! {
        /// Any data that hold no boundary come out as they went in, however the bytes are cut.
        #[test]
        fn any_split_reads_the_same(
            data in prop::collection::vec(prop::collection::vec(
                prop::sample::select(b"\r\n-bBx\0".to_vec()), 0..40), 1..4),
            cuts in prop::collection::vec(0..400_usize, 0..12),
        ) {
            let mut body = Vec::new();
            for (index, data) in data.iter().enumerate() {
                let head = format!("--bB\r\ncontent-disposition: form-data; name=n{index}\r\n\r\n");
                body.extend_from_slice(head.as_bytes());
                body.extend_from_slice(data);
                body.extend_from_slice(b"\r\n");
            }
            body.extend_from_slice(b"--bB--\r\n");
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(body.len())).collect();
            cuts.extend([0, body.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> =
                cuts.windows(2).map(|pair| &body[pair[0]..pair[1]]).collect();
            let (found, whole) = (read_by(b"bB", &pieces), read_by(b"bB", &[&body]));
            prop_assert_eq!(found.error, whole.error);
            if whole.error.is_none() {
                prop_assert_eq!(&found, &whole);
                prop_assert_eq!(&whole.bytes, &body);
                let has_boundary = data.iter().any(|it| memchr::memmem::find(it, b"--bB").is_some());
                if !has_boundary {
                    let expected: Vec<_> = data.iter().enumerate()
                        .map(|(index, it)| (format!("n{index}"), false, it.clone())).collect();
                    prop_assert_eq!(&whole.parts, &expected);
                }
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), size in 1..20_usize) {
            let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
            let (found, whole) = (read_by(b"-", &pieces), read_by(b"-", &[&bytes]));
            prop_assert_eq!(found.error, whole.error);
        }
    }
}

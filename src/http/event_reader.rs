//! Reading of an event stream (WHATWG HTML, section 9.2) as its bytes come.
//!
//! An event is delivered with the byte that ends it, also if that is a lone CR which might turn out
//! to be half a CRLF. Data of one line, the common case, is a slice of the buffer; data of several
//! is joined once. An event holds at most `event_bytes_max` bytes as it came, line ends included
//! and its closing empty line not; the buffer holds that much and one push.

use super::event::SseEvent;
use super::event_block::Block;
use std::fmt;
use std::ops::Range;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A reader of one event stream.
pub struct EventReader {
    buffer: Vec<u8>,
    event_bytes_max: usize,
    /// First byte of the current block in `buffer`; all before it is consumed.
    start: usize,
    /// First byte of the current line.
    line: usize,
    /// All from `line` to here was searched and holds no line end.
    searched: usize,
    /// The last line ended with a CR at the end of the buffer: an LF at `line` belongs to it.
    half_line_end: bool,
    at_stream_start: bool,
    /// The block was handed out and must be cleared before the next.
    delivered: bool,
    failed: bool,
    block: Block,
}

/// An event passed `event_bytes_max`. The stream cannot be read further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event too large: expected at most {event_bytes_max} bytes")]
pub struct EventTooLarge {
    /// The limit that was passed.
    pub event_bytes_max: usize,
}

/// Without the bytes, which are what a model answered.
impl fmt::Debug for EventReader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("EventReader");
        shown.field("buffered_bytes", &self.buffered_bytes()).finish_non_exhaustive()
    }
}

impl EventReader {
    /// A reader at the start of a stream.
    pub fn new(event_bytes_max: usize) -> Self {
        Self {
            buffer: Vec::new(),
            event_bytes_max,
            start: 0,
            line: 0,
            searched: 0,
            half_line_end: false,
            at_stream_start: true,
            delivered: false,
            failed: false,
            block: Block::default(),
        }
    }

    /// Takes in the next bytes of the stream. Call `next` until it gives none before the next push,
    /// else the buffer grows with each. After an error they are dropped.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.failed {
            return;
        }
        // Moving at most as many bytes as were consumed keeps the cost of a byte constant.
        if self.start > 0 && self.start >= self.buffer.len().saturating_sub(self.start) {
            self.buffer.drain(..self.start.min(self.buffer.len()));
            self.line = self.line.saturating_sub(self.start);
            self.searched = self.searched.saturating_sub(self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next event that is complete; none if more bytes are needed. An error stays.
    #[expect(clippy::should_implement_trait, reason = "an event borrows the reader")]
    pub fn next(&mut self) -> Result<Option<SseEvent<'_>>, EventTooLarge> {
        if std::mem::take(&mut self.delivered) {
            self.block.clear();
        }
        if !self.skip_byte_order_mark() {
            return Ok(None);
        }
        while !self.failed
            && let Some((line, next_line)) = self.line()
        {
            // Also asked at the empty line: the LF of a cut CRLF is counted only after its line.
            let line_bytes = next_line.saturating_sub(self.start);
            let block_bytes = if line.is_empty() { line.start } else { line_bytes };
            if block_bytes > self.event_bytes_max {
                self.failed = true;
                break;
            }
            self.line = next_line;
            self.searched = next_line;
            if !line.is_empty() {
                self.block.read_line(self.buffer.get(self.start..).unwrap_or_default(), line);
                continue;
            }
            let block_start = std::mem::replace(&mut self.start, next_line);
            if self.block.is_worth_telling() {
                self.delivered = true;
                let bytes = self.buffer.get(block_start..).unwrap_or_default();
                return Ok(Some(self.block.event(bytes)));
            }
            self.block.clear();
        }
        self.failed |= self.buffered_bytes() > self.event_bytes_max;
        match self.failed {
            true => Err(EventTooLarge { event_bytes_max: self.event_bytes_max }),
            false => Ok(None),
        }
    }

    /// Whether bytes of an unfinished event are held; if the peer closes now, the stream was cut.
    pub fn has_partial(&self) -> bool {
        let held = self.buffer.get(self.start..).unwrap_or_default();
        !(held.is_empty() || self.half_line_end && held == b"\n")
    }

    /// Bytes held and not yet consumed.
    pub fn buffered_bytes(&self) -> usize {
        self.buffer.len().saturating_sub(self.start)
    }

    /// Skips the mark that may open the stream; false while it is open whether the mark is there.
    fn skip_byte_order_mark(&mut self) -> bool {
        if !self.at_stream_start {
            return true;
        }
        if self.buffer.len() < BYTE_ORDER_MARK.len() && BYTE_ORDER_MARK.starts_with(&self.buffer) {
            return false;
        }
        self.at_stream_start = false;
        if self.buffer.starts_with(BYTE_ORDER_MARK) {
            self.start = BYTE_ORDER_MARK.len();
            self.line = self.start;
            self.searched = self.start;
        }
        true
    }

    /// The current line, relative to `start` and without its end, and where the next begins.
    fn line(&mut self) -> Option<(Range<usize>, usize)> {
        if self.half_line_end {
            let next = *self.buffer.get(self.line)?;
            self.half_line_end = false;
            if next == b'\n' {
                // Behind a finished block the LF is nobody's; inside one it counts as a byte of it.
                if self.start == self.line {
                    self.start = self.start.saturating_add(1);
                }
                self.line = self.line.saturating_add(1);
                self.searched = self.line;
            }
        }
        let rest = self.buffer.get(self.searched..)?;
        let Some(offset) = memchr::memchr2(b'\r', b'\n', rest) else {
            self.searched = self.buffer.len();
            return None;
        };
        let end = self.searched.saturating_add(offset);
        let line_end_bytes = match rest.get(offset..) {
            Some([b'\r', b'\n', ..]) => 2,
            Some([b'\r']) => {
                self.half_line_end = true;
                1
            }
            _ => 1,
        };
        let line = self.line.saturating_sub(self.start)..end.saturating_sub(self.start);
        Some((line, end.saturating_add(line_end_bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::write_event;
    use super::*;
    use proptest::prelude::*;

    /// An event or comment with its own memory: name, id, data, comment, retry.
    type OwnedEvent = (Option<String>, Option<String>, Vec<u8>, Option<Vec<u8>>, Option<u64>);

    fn own(event: &SseEvent<'_>) -> OwnedEvent {
        (
            event.name.map(str::to_owned),
            event.id.map(str::to_owned),
            event.data.to_vec(),
            event.comment.map(<[u8]>::to_vec),
            event.retry,
        )
    }

    /// All events of `pieces`, whether the stream broke a limit, and whether something is left
    /// over.
    fn read<'a>(
        pieces: impl IntoIterator<Item = &'a [u8]>,
        event_bytes_max: usize,
    ) -> (Vec<OwnedEvent>, bool, bool) {
        let mut reader = EventReader::new(event_bytes_max);
        let mut events = Vec::new();
        for piece in pieces {
            reader.push(piece);
            loop {
                match reader.next() {
                    Ok(Some(event)) => events.push(own(&event)),
                    Ok(None) => break,
                    Err(_) => return (events, true, true),
                }
            }
        }
        (events, false, reader.has_partial())
    }

    /// `expected` holds one text an event: `name|id|data|comment|retry`, absent parts as `-`.
    fn check(input: &[u8], expected: &[&str], expected_partial: bool) {
        let (events, too_large, partial) = read([input], 1024);
        let show = |text: Option<&[u8]>| {
            text.map_or("-".to_owned(), |text| String::from_utf8_lossy(text).into_owned())
        };
        let shown: Vec<String> = events
            .iter()
            .map(|(name, id, data, comment, retry)| {
                let name = show(name.as_deref().map(str::as_bytes));
                let id = show(id.as_deref().map(str::as_bytes));
                let retry = retry.map_or("-".to_owned(), |retry| retry.to_string());
                let comment = show(comment.as_deref());
                format!("{name}|{id}|{}|{comment}|{retry}", show(Some(data.as_slice())))
            })
            .collect();
        let label = String::from_utf8_lossy(input);
        assert_eq!(shown, expected, "{label:?}");
        assert_eq!((too_large, partial), (false, expected_partial), "{label:?}");
        assert_eq!(read(input.chunks(1), 1024), (events, too_large, partial), "{label:?} by byte");
    }

    #[test]
    fn events_follow_the_standard() {
        check(b"", &[], false);
        check(b"data: x\n\n", &["-|-|x|-|-"], false);
        check(b"data:x\n\n", &["-|-|x|-|-"], false);
        check(b"data:  x \n\n", &["-|-| x |-|-"], false);
        check(b"data: x\r\n\r\n", &["-|-|x|-|-"], false);
        check(b"data: x\r\r", &["-|-|x|-|-"], false);
        check(b"data: x\r\r\n", &["-|-|x|-|-"], false);
        check(b"data: x\r\n\ndata: y\n\r\n", &["-|-|x|-|-", "-|-|y|-|-"], false);
        check(b"data: x\n\ndata: y\n\n", &["-|-|x|-|-", "-|-|y|-|-"], false);
        check(b"data: a\ndata: b\r\ndata:\rdata: c\n\n", &["-|-|a\nb\n\nc|-|-"], false);
        check(b"data\n\n", &["-|-||-|-"], false);
        check(b"data:\n\n", &["-|-||-|-"], false);
        check(b"data\ndata\n\n", &["-|-|\n|-|-"], false);
        check(b"event: ping\ndata: {}\n\n", &["ping|-|{}|-|-"], false);
        check(b"event: a\nevent: b\ndata: x\n\n", &["b|-|x|-|-"], false);
        check(b"event:\ndata: x\n\n", &["-|-|x|-|-"], false);
        check(b"event: \xff\ndata: x\n\n", &["-|-|x|-|-"], false);
        check(b"event: lost\n\ndata: x\n\n", &["-|-|x|-|-"], false);
        check(b"id: 7\ndata: x\n\ndata: y\n\n", &["-|7|x|-|-", "-|-|y|-|-"], false);
        check(b"id: a\0b\ndata: x\n\n", &["-|-|x|-|-"], false);
        check(b"id\ndata: x\n\n", &["-||x|-|-"], false);
        check(b"retry: 250\ndata: x\n\n", &["-|-|x|-|250"], false);
        check(b"retry: 2x\ndata: x\n\n", &["-|-|x|-|-"], false);
        check(b"retry: 99999999999999999999\ndata: x\n\n", &["-|-|x|-|-"], false);
        check(b"retry: 250\n\n", &[], false);
        check(b"foo: bar\nfoo\ndata: x\n\n", &["-|-|x|-|-"], false);
        check(b" data: y\nDATA: z\ndata : q\n\n", &[], false);
        check(b"\n\n\r\n\rdata: x\n\n\n\n", &["-|-|x|-|-"], false);
        check(b": hello\n\n", &["-|-||hello|-"], false);
        check(b":\n\n", &["-|-|||-"], false);
        check(b":a\n: b\n\n", &["-|-||a\nb|-"], false);
        check(b": a\ndata: x\n\n", &["-|-|x|-|-"], false);
        check(b"\xef\xbb\xbfdata: x\n\n", &["-|-|x|-|-"], false);
        check(b"data: x\n\n\xef\xbb\xbfdata: y\n\n", &["-|-|x|-|-"], false);
        check(b"\xef\xbb\xbf\xef\xbb\xbfdata: y\n\n", &[], false);
        check(b"data: [DONE]", &[], true);
        check(b"data: [DONE]\n", &[], true);
        check(b"data: x\n\ndata", &["-|-|x|-|-"], true);
        check(b"data: x\r\n\r", &["-|-|x|-|-"], false);
        check(b"data: \xff\0\n\n", &["-|-|\u{fffd}\0|-|-"], false);
    }

    #[test]
    fn event_is_emitted_at_its_last_byte() {
        let mut reader = EventReader::new(100);
        reader.push(b"data: x\r\r");
        assert_eq!(
            reader.next().map(|event| event.map(|event| event.data.to_vec())),
            Ok(Some(b"x".to_vec()))
        );
        assert_eq!(reader.next(), Ok(None));
        assert!(!reader.has_partial());
        reader.push(b"\n");
        assert!(!reader.has_partial());
        assert_eq!(reader.next(), Ok(None));
        assert_eq!(reader.buffered_bytes(), 0);
        reader.push(b"data: y\r");
        assert_eq!(reader.next(), Ok(None));
        reader.push(b"\n\n");
        assert_eq!(
            reader.next().map(|event| event.map(|event| event.data.to_vec())),
            Ok(Some(b"y".to_vec()))
        );
    }

    #[test]
    fn oversized_event_ends_the_stream() {
        // `data: 12\n` is 9 bytes; the closing empty line does not count.
        assert_eq!(read([&b"data: 12\n\n"[..]], 9).0.len(), 1);
        let bad_inputs = [
            &b"data: 123\n\n"[..],
            b"data: 12345",
            b"a\nb\nc\nd\ne\n",
            b": 12345678\n\n",
            b"data: 12\r\n\r\n",
        ];
        for input in bad_inputs {
            // 9 cuts the CRLF of the last input, whose LF is one byte too many.
            for pieces in [input.len(), 1, 3, 9] {
                let (events, too_large, _) = read(input.chunks(pieces), 9);
                assert_eq!((events.len(), too_large), (0, true), "{input:?}");
            }
        }
        let mut reader = EventReader::new(4);
        reader.push(b"data: x\n\n");
        assert_eq!(reader.next(), Err(EventTooLarge { event_bytes_max: 4 }));
        let held = reader.buffered_bytes();
        reader.push(b"more");
        assert_eq!(reader.next(), Err(EventTooLarge { event_bytes_max: 4 }));
        assert_eq!(reader.buffered_bytes(), held);
    }

    #[test]
    fn long_stream_uses_a_small_buffer() {
        let mut reader = EventReader::new(100);
        let mut events = 0;
        for _ in 0..10_000 {
            reader.push(b"data: 0123456789\n\ndata: 01");
            while let Ok(Some(_)) = reader.next() {
                events += 1;
            }
            reader.push(b"23456789\n\n");
            while let Ok(Some(_)) = reader.next() {
                events += 1;
            }
        }
        assert_eq!((events, reader.buffered_bytes()), (20_000, 0));
        assert!(reader.buffer.capacity() < 1024);
    }

    /// Bytes that look like a stream: mostly the parts that mean something.
    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let part = proptest::sample::select(vec![
            &b"\n"[..],
            b"\r",
            b"\r\n",
            b"\n\n",
            b"data: ",
            b"data",
            b"event: a",
            b"id: 1",
            b"retry: 5",
            b": c",
            b"x",
            b":",
            b"\xef\xbb\xbf",
            b"\0",
            b"\xff",
            b" ",
        ]);
        proptest::collection::vec(part, 0..40).prop_map(|parts| parts.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn any_split_reads_the_same(stream in stream(), size in 1_usize..9, max in 3_usize..60) {
            prop_assert_eq!(read([stream.as_slice()], max), read(stream.chunks(size), max));
            prop_assert_eq!(read([stream.as_slice()], max), read(stream.chunks(1), max));
        }

        #[test]
        fn arbitrary_bytes_never_panic(stream in proptest::collection::vec(any::<u8>(), 0..300)) {
            read(stream.chunks(7), 50);
        }

        #[test]
        fn events_round_trip(
            name in proptest::option::of("[a-z._]{1,9}"),
            id in proptest::option::of("[ -~]{0,9}"),
            data in "[ -~\n\u{e9}]{0,60}",
            retry in proptest::option::of(any::<u64>()),
            comment in proptest::option::of("[ -~\n]{0,20}"),
        ) {
            let (name, id, data) = (name.as_deref(), id.as_deref(), data.as_bytes());
            let event = SseEvent { name, id, data, comment: None, retry };
            let comment = comment.as_deref().map(str::as_bytes);
            let comment = comment.map(|text| SseEvent { comment: Some(text), ..SseEvent::default() });
            let (mut bytes, mut expected) = (Vec::new(), Vec::new());
            for event in [event].into_iter().chain(comment) {
                write_event(&mut bytes, &event);
                expected.push(own(&event));
            }
            prop_assert_eq!(read(bytes.chunks(5), 4096), (expected, false, false));
        }
    }
}

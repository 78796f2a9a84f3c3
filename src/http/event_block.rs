//! What the lines of one block of an event stream say, up to the empty line that ends it.
//!
//! Lines are kept as ranges into the block; only data or comments of several lines are copied.
//! Memory is bounded by the size of the block, which the reader bounds.

use super::event::SseEvent;
use std::ops::Range;

/// The fields of one event block. Ranges count from the start of the block.
#[derive(Default)]
pub(super) struct Block {
    name: Option<Range<usize>>,
    id: Option<Range<usize>>,
    retry: Option<u64>,
    data: Lines,
    comments: Lines,
}

impl Block {
    /// Forgets all lines and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.name = None;
        self.id = None;
        self.retry = None;
        self.data.count = 0;
        self.comments.count = 0;
    }

    /// A block without data is no event; one with comments still shows that the peer lives.
    pub(super) fn is_worth_telling(&self) -> bool {
        self.data.count > 0 || self.comments.count > 0
    }

    /// Reads the line at `line` of the block `bytes`.
    pub(super) fn read_line(&mut self, bytes: &[u8], line: Range<usize>) {
        let text = bytes.get(line.clone()).unwrap_or_default();
        let colon = memchr::memchr(b':', text);
        let (label, tail) = text.split_at_checked(colon.unwrap_or(text.len())).unwrap_or_default();
        let value = match tail {
            [b':', b' ', value @ ..] | [b':', value @ ..] => value,
            _ => &[],
        };
        let range = line.end.saturating_sub(value.len())..line.end;
        match label {
            b"data" => self.data.push(bytes, range),
            b"" => self.comments.push(bytes, range),
            b"event" => self.name = Some(range),
            b"id" if memchr::memchr(0, value).is_none() => self.id = Some(range),
            b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                // A number of digits only fails to parse if it is too large to be meant.
                self.retry = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
            }
            _ => {}
        }
    }

    /// The event of the finished block `bytes`.
    pub(super) fn event<'a>(&'a self, bytes: &'a [u8]) -> SseEvent<'a> {
        let Some(data) = self.data.joined(bytes) else {
            return SseEvent { comment: self.comments.joined(bytes), ..SseEvent::default() };
        };
        let text = |range: &Option<Range<usize>>| {
            range.clone().and_then(|range| std::str::from_utf8(bytes.get(range)?).ok())
        };
        SseEvent {
            name: text(&self.name).filter(|name| !name.is_empty()),
            id: text(&self.id),
            data,
            comment: None,
            retry: self.retry,
        }
    }
}

/// The lines of one kind in a block, joined by LF once there are two.
#[derive(Default)]
struct Lines {
    count: usize,
    first: Range<usize>,
    several: Vec<u8>,
}

impl Lines {
    fn push(&mut self, bytes: &[u8], line: Range<usize>) {
        self.count = self.count.saturating_add(1);
        if self.count == 1 {
            self.first = line;
            return;
        }
        if self.count == 2 {
            self.several.clear();
            self.several.extend_from_slice(bytes.get(self.first.clone()).unwrap_or_default());
        }
        self.several.push(b'\n');
        self.several.extend_from_slice(bytes.get(line).unwrap_or_default());
    }

    fn joined<'a>(&'a self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        match self.count {
            0 => None,
            1 => bytes.get(self.first.clone()),
            _ => Some(&self.several),
        }
    }
}

//! Server-sent events, only as far as counting needs: how many, whether the stream ended well, whether it failed.
//!
//! A line is judged by its first bytes, which are kept across pieces, so that any split gives the same counts.

use memchr::memchr;

/// Enough to tell `data: [DONE]`, `data: {"error"` and `event: error` apart.
const PREFIX_BYTES: usize = 24;

/// Follows one stream.
#[derive(Default)]
pub struct EventScanner {
    prefix: [u8; PREFIX_BYTES],
    prefix_len: usize,
    event: Event,
    /// `data: [DONE]` was seen.
    pub is_done: bool,
    /// An event carried an error.
    pub has_error: bool,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Event {
    #[default]
    None,
    Data,
    Terminator,
}

impl EventScanner {
    /// Takes the next piece; returns how many data events ended in it, the terminator not counted.
    pub fn push(&mut self, mut piece: &[u8]) -> u64 {
        let mut events = 0;
        while let Some(end) = memchr(b'\n', piece) {
            self.extend(&piece[..end]);
            piece = &piece[end + 1..];
            events += u64::from(self.end_line());
        }
        self.extend(piece);
        events
    }

    fn extend(&mut self, bytes: &[u8]) {
        let taken = bytes.len().min(PREFIX_BYTES - self.prefix_len);
        self.prefix[self.prefix_len..self.prefix_len + taken].copy_from_slice(&bytes[..taken]);
        self.prefix_len += taken;
    }

    /// Judges the line that has just ended; true if it ended a data event.
    fn end_line(&mut self) -> bool {
        let line = self.prefix[..self.prefix_len].trim_ascii_end();
        let mut ended = false;
        if line.is_empty() {
            ended = self.event == Event::Data;
            self.event = Event::None;
        } else if let Some(data) = line.strip_prefix(b"data:") {
            let data = data.trim_ascii_start();
            if data == b"[DONE]" {
                self.is_done = true;
                self.event = Event::Terminator;
            } else {
                self.event = Event::Data;
                self.has_error |= is_error_object(data);
            }
        } else if let Some(name) = line.strip_prefix(b"event:") {
            self.has_error |= name.trim_ascii() == b"error";
        }
        self.prefix_len = 0;
        ended
    }
}

/// True for `{"error"` with any blanks: the first member of the object is an error.
fn is_error_object(data: &[u8]) -> bool {
    data.strip_prefix(b"{").is_some_and(|rest| rest.trim_ascii_start().starts_with(b"\"error\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_split_gives_the_same_counts() {
        let cases: [(&str, u64, bool, bool); 7] = [
            ("data: {\"a\":1}\n\ndata: {\"b\":2}\n\ndata: [DONE]\n\n", 2, true, false),
            ("data:{\"a\":1}\r\n\r\ndata:[DONE]\r\n\r\n", 1, true, false),
            (": comment\n\nevent: delta\ndata: {\n\n", 1, false, false),
            ("data: {\"a\":1}\n\ndata: { \"error\": {}}\n\n", 2, false, true),
            ("event: error\ndata: {}\n\n", 1, false, true),
            ("data: first\ndata: second\n\ndata: cut", 1, false, false),
            ("data: {\"message\":\"error\",\"error\":1}\n\n", 1, false, false),
        ];
        for (text, events, done, error) in cases {
            let bytes = text.as_bytes();
            for cut in 0..=bytes.len() {
                let mut scanner = EventScanner::default();
                let seen = scanner.push(&bytes[..cut]) + scanner.push(&bytes[cut..]);
                assert_eq!(
                    (seen, scanner.is_done, scanner.has_error),
                    (events, done, error),
                    "{text:?} at {cut}"
                );
            }
        }
    }
}

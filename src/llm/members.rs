//! Where the top-level members of a JSON object lie in its text.
//!
//! Only the offsets of the keys are kept. A value begins after its key's closing quote and colon, and
//! ends before the comma in front of the next key, so no bracket is matched and no value is walked.
//! The text has been accepted by a parser before; if it is another text than the one scanned, the
//! result is wrong but nothing panics.

use std::borrow::Cow;
use std::ops::Range;

/// Offsets of the first byte of each top-level key, behind its opening quote, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Members {
    keys: Vec<u32>,
}

impl Members {
    /// Takes offsets found elsewhere.
    pub(super) fn new(keys: Vec<u32>) -> Self {
        Self { keys }
    }

    /// Finds the members by walking the whole text. For small texts that have no tape.
    pub(super) fn scan(text: &[u8]) -> Self {
        let mut keys = Vec::new();
        let (mut depth, mut key_next, mut at) = (0_usize, false, 0);
        while let Some(byte) = text.get(at) {
            at += 1;
            match byte {
                b'"' => {
                    if key_next && let Ok(offset) = u32::try_from(at) {
                        keys.push(offset);
                        key_next = false;
                    }
                    at = string_end(text, at);
                }
                b'{' | b'[' => {
                    depth += 1;
                    key_next = depth == 1 && *byte == b'{';
                }
                b'}' | b']' => depth = depth.saturating_sub(1),
                b',' => key_next = depth == 1,
                _ => {}
            }
        }
        Self { keys }
    }

    /// Number of members.
    pub(super) fn count(&self) -> usize {
        self.keys.len()
    }

    /// Name of member `index`, unescaped.
    pub(super) fn key<'text>(&self, text: &'text [u8], index: usize) -> Cow<'text, [u8]> {
        let start = self.keys.get(index).map_or(text.len(), |start| *start as usize);
        let end = string_end(text, start);
        let raw = slice(text, start..end.saturating_sub(1));
        if memchr::memchr(b'\\', raw).is_none() {
            return Cow::Borrowed(raw);
        }
        let quoted = slice(text, start.saturating_sub(1)..end);
        let unescaped = serde_json::from_slice::<String>(quoted);
        unescaped.map_or(Cow::Borrowed(raw), |key| Cow::Owned(key.into_bytes()))
    }

    /// Index of the member named `key`.
    pub(super) fn find(&self, text: &[u8], key: &str) -> Option<usize> {
        (0..self.count()).find(|index| self.key(text, *index).as_ref() == key.as_bytes())
    }

    /// JSON text of the value of member `index`.
    pub(super) fn value<'text>(&self, text: &'text [u8], index: usize) -> &'text [u8] {
        slice(text, self.value_start(text, index)..self.value_end(text, index))
    }

    /// Offset of the opening quote of the key of member `index`.
    pub(super) fn start(&self, index: usize) -> usize {
        self.keys.get(index).map_or(0, |start| (*start as usize).saturating_sub(1))
    }

    /// Offset of the value of member `index`.
    pub(super) fn value_start(&self, text: &[u8], index: usize) -> usize {
        let key_end = string_end(text, self.start(index) + 1);
        let behind = slice(text, key_end..text.len()).trim_ascii_start();
        let value = behind.strip_prefix(b":").unwrap_or(behind).trim_ascii_start();
        text.len() - value.len()
    }

    /// Offset behind the value of member `index`: steps back from the next key, or from the end of
    /// the text, over white space around one comma or brace.
    pub(super) fn value_end(&self, text: &[u8], index: usize) -> usize {
        let next = if index + 1 < self.count() { self.start(index + 1) } else { text.len() };
        let with_delimiter = slice(text, 0..next).trim_ascii_end();
        let without = with_delimiter.split_last().map_or(with_delimiter, |(_, rest)| rest);
        without.trim_ascii_end().len()
    }

    /// Where a further member goes: behind the last value, or behind the opening brace.
    pub(super) fn end(&self, text: &[u8]) -> usize {
        match self.count().checked_sub(1) {
            Some(last) => self.value_end(text, last),
            None => memchr::memchr(b'{', text).map_or(text.len(), |brace| brace + 1),
        }
    }
}

/// Offset just behind the closing quote of the string whose first byte is at `at`.
fn string_end(text: &[u8], mut at: usize) -> usize {
    while let Some(found) = memchr::memchr2(b'"', b'\\', slice(text, at..text.len())) {
        at += found;
        if text.get(at) == Some(&b'"') {
            return at + 1;
        }
        at += 2;
    }
    text.len()
}

/// The bytes of `range`, or none where it reaches past the text.
pub(super) fn slice(text: &[u8], range: Range<usize>) -> &[u8] {
    text.get(range).unwrap_or_default()
}

//! A value in the text of a JSON document, read where it stands.

use std::borrow::Cow;
use std::cell::Cell;

use super::json_value::JsonValue;
use super::walk::{Key, Walk};

/// A document whose values are read while a [`Walk`] passes over it.
pub(super) struct RawDocument<'text> {
    text: &'text str,
    /// Start and end of the array or object that was last read to its end, so that no other has to pass over
    /// it again.
    passed: Cell<(usize, usize)>,
}

impl<'text> RawDocument<'text> {
    /// The document that is all of `text`.
    pub(super) fn new(text: &'text str) -> Self {
        Self { text, passed: Cell::new((usize::MAX, 0)) }
    }

    /// The value of the top level that begins at `start`.
    pub(super) fn value(&self, start: usize) -> RawValue<'_> {
        RawValue { document: self, start, levels: 1 }
    }

    /// Where the value that begins at `start` ends, if it was just read to its end.
    pub(super) fn end_of(&self, start: usize) -> Option<usize> {
        let (last, end) = self.passed.get();
        (last == start).then_some(end)
    }
}

/// The value that begins at a byte of a text. Where it ends is found when it is read, and that it is JSON at
/// all is for a [`Walk`] to say: of a broken value anything may be read, and nothing panics.
#[derive(Clone, Copy)]
pub(super) struct RawValue<'a> {
    document: &'a RawDocument<'a>,
    start: usize,
    /// Arrays and objects around it.
    levels: usize,
}

impl<'a> RawValue<'a> {
    fn first(self) -> Option<u8> {
        self.document.text.as_bytes().get(self.start).copied()
    }

    fn rest(self) -> &'a [u8] {
        self.document.text.as_bytes().get(self.start..).unwrap_or_default()
    }

    fn walk(self) -> Walk<'a> {
        Walk::new(self.document.text.as_bytes(), self.start)
    }

    /// The values between the brackets of this array or object, each behind its key if it has one.
    fn parts(self, opening: u8, closing: u8) -> Parts<'a> {
        let mut walk = self.walk();
        let is_open = walk.peek() == Some(opening) && walk.take(opening);
        Parts { whole: self, walk, closing, is_open, is_first: true }
    }
}

/// Passes over the elements of an array or the members of an object.
struct Parts<'a> {
    whole: RawValue<'a>,
    /// At the start of the value that was given last.
    walk: Walk<'a>,
    closing: u8,
    is_open: bool,
    is_first: bool,
}

impl<'a> Parts<'a> {
    /// Moves to the next value, and gives its key; none behind the last one, and where the text is broken.
    fn step(&mut self) -> Option<Cow<'a, str>> {
        let document = self.whole.document;
        if std::mem::replace(&mut self.is_first, false) {
            if self.walk.take(self.closing) {
                return self.end();
            }
        } else {
            match document.end_of(self.walk.position()) {
                Some(end) => self.walk.jump(end),
                None => self.walk.value(self.whole.levels + 1).ok()?,
            }
            if !self.walk.take(b',') {
                return if self.walk.take(self.closing) { self.end() } else { None };
            }
        }
        self.walk.space();
        if self.closing == b']' {
            return Some(Cow::default());
        }
        let start = self.walk.position() + 1;
        let has_escapes = self.walk.string().ok()?;
        let key = Key { start, end: self.walk.position() - 1, has_escapes };
        self.walk.colon().ok()?;
        Some(key_text(document.text, key))
    }

    fn end(&self) -> Option<Cow<'a, str>> {
        self.whole.document.passed.set((self.whole.start, self.walk.position()));
        None
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = (Cow<'a, str>, RawValue<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let key = if self.is_open { self.step() } else { None };
        self.is_open = key.is_some();
        let start = self.walk.position();
        key.map(|key| (key, RawValue { start, levels: self.whole.levels + 1, ..self.whole }))
    }
}

/// A key, unescaped.
pub(super) fn key_text(text: &str, key: Key) -> Cow<'_, str> {
    if key.has_escapes {
        unescape(text.get(key.start - 1..=key.end).unwrap_or_default())
    } else {
        text.get(key.start..key.end).unwrap_or_default().into()
    }
}

/// The text of a string literal that has escapes.
fn unescape(literal: &str) -> Cow<'_, str> {
    serde_json::from_str::<String>(literal).map_or_else(|_| literal.into(), Cow::Owned)
}

impl<'a> JsonValue<'a> for RawValue<'a> {
    fn is_null(self) -> bool {
        self.first() == Some(b'n')
    }

    fn is_object(self) -> bool {
        self.first() == Some(b'{')
    }

    fn is_array(self) -> bool {
        self.first() == Some(b'[')
    }

    fn text(self) -> Option<Cow<'a, str>> {
        let mut walk = self.walk();
        let has_escapes = walk.string().ok()?;
        let end = walk.position() - 1;
        Some(key_text(self.document.text, Key { start: self.start + 1, end, has_escapes }))
    }

    fn flag(self) -> Option<bool> {
        match self.rest() {
            [b't', ..] => Some(true),
            [b'f', ..] => Some(false),
            _ => None,
        }
    }

    fn integer(self) -> Option<u64> {
        let rest = self.rest();
        let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let digits = self.document.text.get(self.start..self.start + length)?;
        let is_whole = !matches!(rest.get(length), Some(b'.' | b'e' | b'E'));
        if is_whole { digits.parse().ok() } else { None }
    }

    fn float(self) -> Option<f64> {
        let is_part = |byte: &&u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let length = self.rest().iter().take_while(is_part).count();
        self.document.text.get(self.start..self.start + length)?.parse().ok()
    }

    fn members(self) -> impl Iterator<Item = (Cow<'a, str>, Self)> {
        self.parts(b'{', b'}')
    }

    fn items(self) -> impl Iterator<Item = Self> {
        self.parts(b'[', b']').map(|(_, value)| value)
    }

    fn is_filled(self) -> bool {
        let mut walk = self.walk();
        match self.first() {
            Some(b'"') => self.rest().get(1) != Some(&b'"'),
            Some(b'[') => walk.take(b'[') && !walk.take(b']'),
            Some(b'{') => walk.take(b'{') && !walk.take(b'}'),
            _ => false,
        }
    }
}

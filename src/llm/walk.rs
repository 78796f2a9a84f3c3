//! One pass over the text of a JSON document (RFC 8259), which checks it and finds where its values
//! begin and end.
//!
//! Nothing is unescaped and no number is converted: of a request or an answer that is forwarded as it is,
//! the gateway reads a few members only. Strings, most of the text, are passed over sixteen bytes at a
//! time. Whether the text is UTF-8 is for the caller to check.
//!
//! It accepts what `serde_json` reads into a `Value`: no surrogate without its other half, and no number
//! beyond a float of 64 bits.

use wide::u8x16;

/// Most levels of arrays and objects, the top-level object included.
pub(super) const DEPTH_MAX: usize = 128;

/// Digits of a whole number that always fit into a float of 64 bits.
const SAFE_DIGITS: usize = 300;

/// Why a text was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// It is not JSON.
    Syntax,
    /// It has more than `DEPTH_MAX` levels.
    TooDeep,
    /// A number is beyond the range of a float.
    NumberOutOfRange,
    /// An escape is one half of a pair of surrogates.
    LoneSurrogate,
    /// It is longer than 4 GiB.
    TooLarge,
    /// It is JSON, but no object.
    NotAnObject,
}

/// A position in the text of a document.
#[derive(Clone)]
pub(super) struct Walk<'text> {
    text: &'text [u8],
    at: usize,
}

/// A key of an object.
#[derive(Clone, Copy)]
pub(super) struct Key {
    /// Behind its opening quote.
    pub start: usize,
    /// Where its closing quote stands.
    pub end: usize,
    /// It has escapes.
    pub has_escapes: bool,
}

/// The arrays and objects around a position: a bit for each, set for an object, the innermost lowest.
#[derive(Clone, Copy, Default)]
struct Levels {
    are_objects: u128,
    count: u32,
}

/// What comes next behind a value.
enum Next {
    /// Another value.
    Value,
    /// Nothing: all levels are closed.
    End,
}

impl Levels {
    fn is_in_object(self) -> bool {
        self.are_objects & 1 == 1
    }

    fn open(&mut self, is_object: bool) {
        self.are_objects = self.are_objects << 1 | u128::from(is_object);
        self.count += 1;
    }

    fn close(&mut self) {
        self.are_objects >>= 1;
        self.count -= 1;
    }
}

impl<'text> Walk<'text> {
    /// At the byte `at` of a text.
    pub(super) fn new(text: &'text [u8], at: usize) -> Self {
        Self { text, at }
    }

    /// The position in the text.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// Goes on at `position`, which another walk has come to.
    pub(super) fn jump(&mut self, position: usize) {
        self.at = position;
    }

    /// The byte at the position, if there is one.
    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// Passes `byte`, if it comes next; white space before it is passed either way.
    pub(super) fn take(&mut self, byte: u8) -> bool {
        self.space();
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    /// Passes white space.
    #[inline]
    pub(super) fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    /// Passes white space up to the end of the text.
    pub(super) fn end(&mut self) -> Result<(), Flaw> {
        self.space();
        if self.at < self.text.len() { Err(Flaw::Syntax) } else { Ok(()) }
    }

    /// Passes the key of a member and its colon, and the white space around them.
    #[inline]
    fn key(&mut self) -> Result<(), Flaw> {
        self.string()?;
        self.colon()
    }

    /// Passes the colon behind a key, and the white space around it.
    #[inline]
    pub(super) fn colon(&mut self) -> Result<(), Flaw> {
        if !self.take(b':') {
            return Err(Flaw::Syntax);
        }
        self.space();
        Ok(())
    }

    /// Passes a string. True if it has escapes.
    #[inline]
    pub(super) fn string(&mut self) -> Result<bool, Flaw> {
        if self.peek() != Some(b'"') {
            return Err(Flaw::Syntax);
        }
        self.at += 1;
        // Nearly all keys and most other strings are short and plain.
        if let Some(block) = self.block() {
            let stop = stops(u8x16::new(*block)).trailing_zeros() as usize;
            if block.get(stop) == Some(&b'"') {
                self.at += stop + 1;
                return Ok(false);
            }
        }
        self.rest_of_string()
    }

    /// Passes what is left of a string.
    #[inline(never)]
    fn rest_of_string(&mut self) -> Result<bool, Flaw> {
        let mut has_escapes = false;
        loop {
            match self.block() {
                Some(block) => match stops(u8x16::new(*block)) {
                    0 => {
                        self.at += block.len();
                        continue;
                    }
                    stops => self.at += stops.trailing_zeros() as usize,
                },
                // Fewer than a block are left.
                None => {
                    while let Some(b' '..=b'!' | b'#'..=b'[' | b']'..) = self.peek() {
                        self.at += 1;
                    }
                }
            }
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(has_escapes);
                }
                Some(b'\\') => self.escape()?,
                _ => return Err(Flaw::Syntax),
            }
            has_escapes = true;
        }
    }

    /// The next sixteen bytes, if there are so many.
    #[inline]
    fn block(&self) -> Option<&'text [u8; 16]> {
        self.text.get(self.at..).and_then(<[u8]>::first_chunk)
    }

    /// Passes one escape, of a pair of surrogates both.
    fn escape(&mut self) -> Result<(), Flaw> {
        match self.text.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 2;
                Ok(())
            }
            Some(b'u') => {
                let is_low = |unit: u16| (0xdc00..0xe000).contains(&unit);
                let unit = self.code_unit()?;
                let is_lone = if (0xd800..0xdc00).contains(&unit) {
                    let has_second =
                        self.text.get(self.at..).unwrap_or_default().starts_with(b"\\u");
                    !has_second || !is_low(self.code_unit()?)
                } else {
                    is_low(unit)
                };
                if is_lone { Err(Flaw::LoneSurrogate) } else { Ok(()) }
            }
            _ => Err(Flaw::Syntax),
        }
    }

    /// Passes `\u` and four hexadecimal digits, and gives their value.
    fn code_unit(&mut self) -> Result<u16, Flaw> {
        let digits = self.text.get(self.at + 2..self.at + 6).unwrap_or_default();
        let value = digits
            .iter()
            .try_fold(0_u32, |value, digit| Some(value * 16 + char::from(*digit).to_digit(16)?));
        match value.and_then(|value| u16::try_from(value).ok()) {
            Some(value) if digits.len() == 4 => {
                self.at += 6;
                Ok(value)
            }
            _ => Err(Flaw::Syntax),
        }
    }

    /// Passes the object of the top level, and shows each member where its value begins. A value that `visit`
    /// has not passed is passed then.
    pub(super) fn each_member(
        &mut self,
        mut visit: impl FnMut(&mut Self, Key) -> Result<(), Flaw>,
    ) -> Result<(), Flaw> {
        if !self.take(b'{') {
            return Err(Flaw::Syntax);
        }
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            self.space();
            let start = self.at + 1;
            let has_escapes = self.string()?;
            let key = Key { start, end: self.at - 1, has_escapes };
            self.colon()?;
            let value_start = self.at;
            visit(self, key)?;
            if self.at == value_start {
                self.value(1)?;
            }
            if !self.take(b',') {
                return if self.take(b'}') { Ok(()) } else { Err(Flaw::Syntax) };
            }
        }
    }

    /// Passes one value, which stands within `levels` others.
    pub(super) fn value(&mut self, levels: usize) -> Result<(), Flaw> {
        let mut open = Levels::default();
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.string()?;
                }
                Some(opening @ (b'{' | b'[')) => {
                    if open.count as usize + levels >= DEPTH_MAX {
                        return Err(Flaw::TooDeep);
                    }
                    self.at += 1;
                    open.open(opening == b'{');
                    if self.first_of_level(open)? {
                        continue;
                    }
                    open.close();
                }
                Some(b'-' | b'0'..=b'9') => self.number()?,
                Some(b't') => self.literal(b"true")?,
                Some(b'f') => self.literal(b"false")?,
                _ => self.literal(b"null")?,
            }
            if let Next::End = self.behind_value(&mut open)? {
                return Ok(());
            }
        }
    }

    /// At the start of a level: true in front of its first value, false behind its end.
    fn first_of_level(&mut self, open: Levels) -> Result<bool, Flaw> {
        self.space();
        let end = if open.is_in_object() { b'}' } else { b']' };
        if self.peek() == Some(end) {
            self.at += 1;
            return Ok(false);
        }
        if open.is_in_object() {
            self.key()?;
        }
        Ok(true)
    }

    /// Passes what stands between a value and the next one, and closes the levels that end there.
    fn behind_value(&mut self, open: &mut Levels) -> Result<Next, Flaw> {
        while open.count > 0 {
            self.space();
            match self.peek() {
                Some(b',') => {
                    self.at += 1;
                    self.space();
                    if open.is_in_object() {
                        self.key()?;
                    }
                    return Ok(Next::Value);
                }
                Some(b'}') if open.is_in_object() => open.close(),
                Some(b']') if !open.is_in_object() => open.close(),
                _ => return Err(Flaw::Syntax),
            }
            self.at += 1;
        }
        Ok(Next::End)
    }

    fn literal(&mut self, literal: &[u8]) -> Result<(), Flaw> {
        if !self.text.get(self.at..).unwrap_or_default().starts_with(literal) {
            return Err(Flaw::Syntax);
        }
        self.at += literal.len();
        Ok(())
    }

    /// Passes a number.
    fn number(&mut self) -> Result<(), Flaw> {
        let start = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        let mut may_overflow = self.at - start > SAFE_DIGITS;
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits()?;
            may_overflow = true;
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        let float = || std::str::from_utf8(text).ok()?.parse::<f64>().ok();
        if may_overflow && !float().is_some_and(f64::is_finite) {
            self.at = start;
            return Err(Flaw::NumberOutOfRange);
        }
        Ok(())
    }

    /// Passes one digit or more.
    fn digits(&mut self) -> Result<(), Flaw> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(Flaw::Syntax) }
    }
}

/// A bit for each byte that ends the plain part of a string: its closing quote, an escape, or a control
/// character, which may not stand there.
#[inline]
fn stops(lanes: u8x16) -> u32 {
    let stops = lanes.simd_eq(u8x16::splat(b'"'))
        | lanes.simd_eq(u8x16::splat(b'\\'))
        | lanes.min(u8x16::splat(0x1f)).simd_eq(lanes);
    stops.to_bitmask()
}

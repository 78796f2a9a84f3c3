//! Where the top-level members of a JSON object lie in its text.

use std::borrow::Cow;
use std::ops::Range;

use super::walk::{Flaw, Key, Walk};

/// What was refused, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// Offset of the byte that cannot be, or close to it.
    pub at: usize,
    /// What is wrong there.
    pub flaw: Flaw,
}

/// One member: where its key and its value stand, the key without its quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member {
    key_start: u32,
    key_end: u32,
    key_has_escapes: bool,
    value_start: u32,
    value_end: u32,
}

/// All members in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Members(Vec<Member>);

impl Member {
    /// Passes the value of a member of the top level.
    pub(super) fn pass(walk: &mut Walk<'_>, key: Key) -> Result<Self, Flaw> {
        let value_start = walk.position();
        walk.value(1)?;
        // They fit: the whole text is not larger.
        let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Ok(Self {
            key_start: offset(key.start),
            key_end: offset(key.end),
            key_has_escapes: key.has_escapes,
            value_start: offset(value_start),
            value_end: offset(walk.position()),
        })
    }

    /// The key, unescaped.
    pub(super) fn key<'text>(&self, text: &'text [u8]) -> Cow<'text, [u8]> {
        let (start, end) = (self.key_start as usize, self.key_end as usize);
        let raw = slice(text, start..end);
        if !self.key_has_escapes {
            return Cow::Borrowed(raw);
        }
        let quoted = slice(text, start.saturating_sub(1)..end + 1);
        let unescaped = serde_json::from_slice::<String>(quoted);
        unescaped.map_or(Cow::Borrowed(raw), |key| Cow::Owned(key.into_bytes()))
    }

    /// True if both have the same key, which duplicates have.
    pub(super) fn has_key_of(&self, other: &Self, text: &[u8]) -> bool {
        if self.key_has_escapes || other.key_has_escapes {
            return self.key(text) == other.key(text);
        }
        // Lengths first: keys that differ mostly differ there.
        self.key_end - self.key_start == other.key_end - other.key_start
            && self.key(text) == other.key(text)
    }

    /// Where the opening quote of the key stands.
    pub(super) fn start(&self) -> usize {
        (self.key_start as usize).saturating_sub(1)
    }

    /// Where the value stands.
    pub(super) fn value(&self) -> Range<usize> {
        self.value_start as usize..self.value_end as usize
    }
}

/// Passes over a whole document, which has to be an object, and shows each of its members where the value
/// begins. A value that `visit` has not passed is passed then.
///
/// # Errors
/// Where the text is no JSON object.
pub(super) fn each_member(
    text: &[u8],
    visit: impl FnMut(&mut Walk<'_>, Key) -> Result<(), Flaw>,
) -> Result<(), Refusal> {
    let mut walk = Walk::new(text, 0);
    let walked = walk_document(&mut walk, text, visit);
    walked.map_err(|flaw| Refusal { at: walk.position(), flaw })
}

fn walk_document(
    walk: &mut Walk<'_>,
    text: &[u8],
    visit: impl FnMut(&mut Walk<'_>, Key) -> Result<(), Flaw>,
) -> Result<(), Flaw> {
    if u32::try_from(text.len()).is_err() {
        return Err(Flaw::TooLarge);
    }
    walk.space();
    if walk.peek() == Some(b'{') {
        walk.each_member(visit)?;
        return walk.end();
    }
    walk.value(0)?;
    walk.end()?;
    Err(Flaw::NotAnObject)
}

impl Members {
    /// Those in `list`, which are in their order.
    pub(super) fn new(list: Vec<Member>) -> Self {
        Self(list)
    }

    /// Finds the members in `text`, which a parser has accepted before; in another text, those in front of
    /// its first flaw.
    pub(super) fn scan(text: &[u8]) -> Self {
        let mut members = Vec::new();
        let _ = each_member(text, |walk, key| {
            members.push(Member::pass(walk, key)?);
            Ok(())
        });
        Self(members)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Member> {
        self.0.iter()
    }

    /// The member with this unescaped name.
    pub(super) fn find(&self, text: &[u8], key: &str) -> Option<&Member> {
        self.0.iter().find(|member| member.key(text).as_ref() == key.as_bytes())
    }

    /// Where the last value ends, or the opening brace if there is none: further members go there.
    pub(super) fn end(&self, text: &[u8]) -> usize {
        match self.0.last() {
            Some(last) => last.value_end as usize,
            None => memchr::memchr(b'{', text).map_or(text.len(), |brace| brace + 1),
        }
    }
}

/// `text[range]`, or nothing where that is not all there.
pub(super) fn slice(text: &[u8], range: Range<usize>) -> &[u8] {
    text.get(range).unwrap_or_default()
}

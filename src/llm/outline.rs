//! What the line needs to know of a request, read in one pass.

use std::borrow::Cow;
use std::ops::Range;

use super::edit::{Edit, splice};
use super::error::{JsonError, KEYS_MAX, utf8};
use super::json_value::JsonValue;
use super::members::{Member, Members, each_member};
use super::raw_value::{RawDocument, RawValue};

/// Room for the members of most requests.
const MEMBERS_USUAL: usize = 16;

/// Members up to which duplicates are looked for in pairs: 32 keys are 496 comparisons, mostly of lengths.
const KEYS_FEW: usize = 32;

/// A request in brief: owned and small, with no reference into the body but byte offsets, so that it
/// can outlive the parse. The methods that take `body` want the bytes it was read from.
#[derive(Clone, Debug, Default)]
pub struct Outline {
    /// `model`, unescaped.
    pub model: Option<String>,
    /// `stream` is true.
    pub stream: bool,
    /// `stream_options.include_usage` is true: the client wants the usage chunk.
    pub include_usage: bool,
    /// `user`, if it is a string.
    pub user: Option<String>,
    /// `max_completion_tokens`, else `max_tokens`, if it is a whole number.
    pub max_tokens: Option<u64>,
    pub(super) members: Members,
}

impl Outline {
    /// Reads the body of a request: any JSON object whose top-level keys differ.
    ///
    /// # Errors
    /// Every variant of [`JsonError`].
    pub fn read(body: &[u8]) -> Result<Self, JsonError> {
        let text = utf8(body)?;
        let mut members = Vec::with_capacity(MEMBERS_USUAL);
        each_member(body, |walk, key| {
            members.push(Member::pass(walk, key)?);
            Ok(())
        })
        .map_err(|refusal| JsonError::explain(body, refusal))?;
        refuse_duplicates(&members, body)?;
        let document = RawDocument::new(text);
        let mut outline = Self::default();
        let mut completion_tokens_max = None;
        for member in &members {
            let value = document.value(member.value().start);
            match member.key(body).as_ref() {
                b"model" => outline.model = Some(string(value, "model")?),
                b"stream" => outline.stream = flag(value, "stream")?,
                b"stream_options" => outline.include_usage = include_usage(value)?,
                b"user" => outline.user = value.text().map(Cow::into_owned),
                b"max_tokens" => outline.max_tokens = value.integer(),
                b"max_completion_tokens" => completion_tokens_max = value.integer(),
                _ => {}
            }
        }
        outline.max_tokens = completion_tokens_max.or(outline.max_tokens);
        outline.members = Members::new(members);
        Ok(outline)
    }

    /// True if the top level has a member `key`, null or not.
    #[must_use]
    pub fn has(&self, body: &[u8], key: &str) -> bool {
        self.members.find(body, key).is_some()
    }

    /// The JSON text of the top-level member `key`, as written.
    #[must_use]
    pub fn value<'body>(&self, body: &'body [u8], key: &str) -> Option<&'body [u8]> {
        self.members.find(body, key).and_then(|member| body.get(member.value()))
    }

    /// Where in `body` the JSON text of the top-level member `key` stands.
    #[must_use]
    pub fn span(&self, body: &[u8], key: &str) -> Option<Range<usize>> {
        self.members.find(body, key).map(Member::value)
    }

    /// The top-level members in the order they were written: unescaped name and JSON text.
    pub fn members<'body>(
        &self,
        body: &'body [u8],
    ) -> impl Iterator<Item = (Cow<'body, [u8]>, &'body [u8])> {
        self.members
            .iter()
            .map(|member| (member.key(body), body.get(member.value()).unwrap_or_default()))
    }

    /// Appends `body` to `out` with `edits` made; all else is copied byte for byte. Costs one copy of
    /// the body and nothing else that grows with it.
    pub fn splice(&self, body: &[u8], edits: &[Edit<'_>], out: &mut Vec<u8>) {
        splice(&self.members, body, edits, out);
    }
}

fn string(value: RawValue<'_>, key: &'static str) -> Result<String, JsonError> {
    let text = value.text().map(Cow::into_owned);
    text.ok_or(JsonError::WrongType { key, expected: "a string" })
}

fn flag(value: RawValue<'_>, key: &'static str) -> Result<bool, JsonError> {
    if value.is_null() {
        return Ok(false);
    }
    value.flag().ok_or(JsonError::WrongType { key, expected: "true, false or null" })
}

fn include_usage(value: RawValue<'_>) -> Result<bool, JsonError> {
    if !value.is_null() && !value.is_object() {
        let expected = "an object or null";
        return Err(JsonError::WrongType { key: "stream_options", expected });
    }
    Ok(value.member("include_usage").and_then(JsonValue::flag) == Some(true))
}

/// Refuses too many members, and a key that comes twice.
fn refuse_duplicates(members: &[Member], body: &[u8]) -> Result<(), JsonError> {
    let key = |member: &Member| String::from_utf8_lossy(&member.key(body)).into_owned();
    if members.len() > KEYS_MAX {
        return Err(JsonError::TooManyKeys);
    }
    if members.len() > KEYS_FEW {
        let mut keys: Vec<_> = members.iter().map(|member| member.key(body)).collect();
        keys.sort_unstable();
        let twice = keys.iter().zip(keys.iter().skip(1)).find(|(left, right)| left == right);
        return twice.map_or(Ok(()), |(key, _)| {
            Err(JsonError::duplicate_key(&String::from_utf8_lossy(key)))
        });
    }
    for (index, member) in members.iter().enumerate() {
        let before = members.get(..index).unwrap_or_default();
        if before.iter().any(|other| other.has_key_of(member, body)) {
            return Err(JsonError::duplicate_key(&key(member)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::answer_outline::{AnswerOutline, ChunkOutline};
    use super::super::walk::DEPTH_MAX;
    use super::*;

    fn request(body: &str) -> Result<Outline, JsonError> {
        Outline::read(body.as_bytes())
    }

    fn nested(levels: usize) -> String {
        let arrays = levels - 1;
        format!(r#"{{"a":{}{}}}"#, "[".repeat(arrays), "]".repeat(arrays))
    }

    #[test]
    fn requests_are_scanned() {
        let body = r#" {"mod\u0065l":"m\n1","stream":true,"user":"u","max_tokens":5,
            "stream_options":{"include_usage":true},"messages":[{"model":"inner"}]} "#;
        let outline = request(body).unwrap();
        assert_eq!(outline.model.as_deref(), Some("m\n1"));
        assert_eq!(outline.user.as_deref(), Some("u"));
        assert_eq!((outline.stream, outline.include_usage), (true, true));
        assert_eq!(outline.max_tokens, Some(5));
        assert!(outline.has(body.as_bytes(), "model") && !outline.has(body.as_bytes(), "n"));
        assert_eq!(outline.value(body.as_bytes(), "model"), Some(&br#""m\n1""#[..]));
        assert_eq!(
            outline.value(body.as_bytes(), "messages"),
            Some(&br#"[{"model":"inner"}]"#[..])
        );
        assert_eq!(outline.value(body.as_bytes(), "inner"), None);
    }

    #[test]
    fn members_of_any_type_are_skipped() {
        for (body, stream, include_usage, max_tokens) in [
            ("{}", false, false, None),
            (r#"{"stream":null,"stream_options":null,"max_tokens":null}"#, false, false, None),
            (r#"{"stream_options":{"include_usage":1}}"#, false, false, None),
            (r#"{"max_tokens":1,"max_completion_tokens":2}"#, false, false, Some(2)),
            (r#"{"max_completion_tokens":2,"max_tokens":1}"#, false, false, Some(2)),
            (r#"{"max_completion_tokens":null,"max_tokens":1}"#, false, false, Some(1)),
            (r#"{"max_tokens":-1,"user":7}"#, false, false, None),
            (r#"{"seed":123456789012345678901234567890,"stream":true}"#, true, false, None),
        ] {
            let found = request(body).unwrap();
            let found = (found.stream, found.include_usage, found.max_tokens);
            assert_eq!(found, (stream, include_usage, max_tokens), "{body}");
        }
    }

    #[test]
    fn invalid_requests_are_rejected() {
        let duplicate = |key: &str| JsonError::DuplicateKey(key.to_owned());
        let wrong = |key, expected| JsonError::WrongType { key, expected };
        let many = |last: &str| {
            let keys: Vec<String> =
                (0..KEYS_MAX - 1).map(|index| format!(r#""k{index}":0"#)).collect();
            format!(r#"{{{},"{last}":0}}"#, keys.join(","))
        };
        for (body, expected) in [
            ("[]".to_owned(), JsonError::NotAnObject),
            ("null".to_owned(), JsonError::NotAnObject),
            (r#""text""#.to_owned(), JsonError::NotAnObject),
            (r#"{"a":1,"a":1}"#.to_owned(), duplicate("a")),
            (r#"{"":1,"b":2,"":1}"#.to_owned(), duplicate("")),
            (r#"{"model":"x","mod\u0065l":"y"}"#.to_owned(), duplicate("model")),
            (many("k77"), duplicate("k77")),
            (many(r#"x":0,"y"#), JsonError::TooManyKeys),
            (nested(DEPTH_MAX + 1), JsonError::TooDeep),
            ("[".repeat(100_000), JsonError::TooDeep),
            (r#"{"model":null}"#.to_owned(), wrong("model", "a string")),
            (r#"{"model":1}"#.to_owned(), wrong("model", "a string")),
            (r#"{"stream":"true"}"#.to_owned(), wrong("stream", "true, false or null")),
            (r#"{"stream_options":[]}"#.to_owned(), wrong("stream_options", "an object or null")),
        ] {
            let found = request(&body).unwrap_err();
            assert_eq!(found, expected, "{}", body.get(..60).unwrap_or(&body));
        }
    }

    #[test]
    fn limits_are_inclusive() {
        request(&nested(DEPTH_MAX)).unwrap();
        let keys: Vec<String> = (0..KEYS_MAX).map(|index| format!(r#""k{index}":0"#)).collect();
        let body = format!("{{{}}}", keys.join(","));
        let outline = request(&body).unwrap();
        assert_eq!(outline.value(body.as_bytes(), "k511"), Some(&b"0"[..]));
        // Only the top level is held to differ.
        request(r#"{"a":{"b":1,"b":2}}"#).unwrap();
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = (Outline::read(&bytes), AnswerOutline::read(&bytes), ChunkOutline::read(&bytes));
            let _ = Members::scan(&bytes);
        }

        /// Text that looks like JSON: `serde_json` is the judge.
        #[test]
        fn valid_json_alone_is_accepted(text in r#"\{("[a\\"]{0,3}"?:?([0-9.eE+-]{1,4}|true|nul+|"\\?u?[0-9a-f]{0,4}"|\[|\]|\{|\}),?){0,4}\}?"#) {
            let accepted = serde_json::from_str::<serde_json::Map<_, serde_json::Value>>(&text).is_ok();
            prop_assert_eq!(AnswerOutline::read(text.as_bytes()).is_ok(), accepted, "{}", text);
        }

        /// One byte changed in an honest request, anywhere, at any alignment of the parser.
        #[test]
        fn single_byte_changes_agree_with_parser(at in 0..300_usize, byte: u8, pad in 0..130_usize) {
            let mut body = format!(
                r#"{{{}"model":"gpt-4o","messages":[{{"role":"user","content":"caf\u00e9 \"{}\" \\"}}],"n":-1.5e3,"stream":true}}"#,
                " ".repeat(pad), "é".repeat(pad)
            ).into_bytes();
            let at = at % body.len();
            body[at] = byte;
            let accepted = serde_json::from_slice::<serde_json::Value>(&body).is_ok();
            prop_assert_eq!(AnswerOutline::read(&body).is_ok(), accepted);
            if let Ok(outline) = Outline::read(&body) {
                let mut out = Vec::new();
                outline.splice(&body, &[], &mut out);
                prop_assert_eq!(out, body);
            }
        }
    }
}

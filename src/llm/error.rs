//! Why a body could not be read as JSON. Messages name positions and keys, never values.

use serde::de::IgnoredAny;

use super::members::Refusal;
use super::walk::{DEPTH_MAX, Flaw};

/// Most top-level members of a request. Published requests have fewer than 50.
pub(super) const KEYS_MAX: usize = 512;

/// Longest key name an error repeats, in characters.
const KEY_CHARACTERS_MAX: usize = 64;

/// A body that is not what the gateway can forward.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not JSON (RFC 8259), or not UTF-8.
    #[error("expected valid json: {reason} at byte {at}")]
    Invalid {
        /// Offset of the first byte that cannot be, or close to it.
        at: usize,
        /// What is wrong there, without the text itself.
        reason: String,
    },
    /// JSON, but an array, a string or another scalar.
    #[error("expected a json object at the top level, found another type")]
    NotAnObject,
    /// More levels of arrays and objects than any honest request has.
    #[error("expected at most {DEPTH_MAX} levels of nesting, found more")]
    TooDeep,
    /// A top-level key came twice. Parsers disagree on which one counts, so that a check made here
    /// could be evaded there. Holds the key, cut and escaped.
    #[error("expected each top-level key once, found \"{0}\" twice")]
    DuplicateKey(String),
    /// A member the gateway itself reads has another type.
    #[error("expected `{key}` to be {expected}, found another type")]
    WrongType {
        /// The member.
        key: &'static str,
        /// Its type, with article.
        expected: &'static str,
    },
    /// More top-level members than any honest request has.
    #[error("expected at most {KEYS_MAX} top-level keys, found more")]
    TooManyKeys,
}

impl JsonError {
    /// The error for a key that came twice: at most 64 characters of it, control characters escaped.
    pub(super) fn duplicate_key(key: &str) -> Self {
        let cut: String = key.chars().take(KEY_CHARACTERS_MAX).collect();
        Self::DuplicateKey(cut.escape_debug().collect())
    }

    /// The error for a body that a [`Walk`](super::walk::Walk) refused. The body is read a second time, on
    /// this path only, by a parser that says more about it.
    pub(super) fn explain(body: &[u8], refusal: Refusal) -> Self {
        let reason = match refusal.flaw {
            Flaw::TooDeep => return Self::TooDeep,
            Flaw::NotAnObject => return Self::NotAnObject,
            Flaw::NumberOutOfRange => "number out of range",
            Flaw::LoneSurrogate => "lone surrogate in a string",
            Flaw::TooLarge => "text of more than 4 gib",
            Flaw::Syntax => match serde_json::from_slice::<IgnoredAny>(body) {
                Err(error) => return Self::of_parser(body, &error),
                Ok(_) => "syntax error",
            },
        };
        Self::Invalid { at: refusal.at.min(body.len()), reason: reason.to_owned() }
    }

    fn of_parser(body: &[u8], error: &serde_json::Error) -> Self {
        let text = error.to_string();
        let reason = text.split(" at line ").next().unwrap_or_default();
        Self::Invalid {
            at: byte_offset(body, error.line(), error.column()),
            reason: reason.replace("EOF", "end of text"),
        }
    }
}

/// The text of a body.
///
/// # Errors
/// Where it is not UTF-8.
pub(super) fn utf8(body: &[u8]) -> Result<&str, JsonError> {
    simdutf8::basic::from_utf8(body).map_err(|_| {
        let at = std::str::from_utf8(body).map_or_else(|error| error.valid_up_to(), str::len);
        JsonError::Invalid { at, reason: "not utf-8".to_owned() }
    })
}

/// Turns a line and column, both counted from 1 and in bytes, into an offset.
fn byte_offset(body: &[u8], line: usize, column: usize) -> usize {
    let line_start: usize = body
        .split_inclusive(|byte| *byte == b'\n')
        .take(line.saturating_sub(1))
        .map(<[u8]>::len)
        .sum();
    (line_start + column.saturating_sub(1)).min(body.len())
}

#[cfg(test)]
mod tests {
    use super::super::Outline;
    use super::*;

    fn invalid(at: usize, reason: &str) -> JsonError {
        JsonError::Invalid { at, reason: reason.to_owned() }
    }

    #[test]
    fn errors_have_position_and_reason() {
        for (body, expected) in [
            (&b""[..], invalid(0, "end of text while parsing a value")),
            (b"{", invalid(0, "end of text while parsing an object")),
            (b"{\n\"a\": 1,\n\"b\" 2}", invalid(14, "expected `:`")),
            (b"{\"a\":1}x", invalid(7, "trailing characters")),
            (b"{\"a\":\"b", invalid(6, "end of text while parsing a string")),
            (
                b"{\"a\":\"\x01\"}",
                invalid(5, "control character (\\u0000-\\u001F) found while parsing a string"),
            ),
            (b"{\"a\":\"\xff\"}", invalid(6, "not utf-8")),
            (b"{\"a\":\"\\q\"}", invalid(7, "invalid escape")),
            (b"{\"a\":01}", invalid(6, "invalid number")),
            (b"\xef\xbb\xbf{}", invalid(0, "expected value")),
        ] {
            let found = Outline::read(body).unwrap_err();
            assert_eq!(found, expected, "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn lone_surrogates_are_rejected() {
        let found = Outline::read(br#"{"a":"\ud800 rest"}"#).unwrap_err();
        assert!(
            matches!(found, JsonError::Invalid { reason, .. } if reason == "lone surrogate in a string")
        );
    }

    #[test]
    fn messages_never_quote_values() {
        for body in [
            &br#"{"messages":"secret prompt" 1}"#[..],
            br#"{"model":["secret prompt"]}"#,
            br#"{"a":"secret prompt \q"}"#,
            br#"["secret prompt"]"#,
            b"{\"a\":\"secret prompt\xff\"}",
        ] {
            let message = Outline::read(body).unwrap_err().to_string();
            assert!(!message.contains("secret"), "{message}");
            assert!(message.starts_with("expected"), "{message}");
        }
    }

    #[test]
    fn duplicate_key_is_truncated_and_escaped() {
        let key = format!("\\u0007{}", "k".repeat(200));
        let body = format!(r#"{{"{key}":1,"{key}":2}}"#);
        let found = Outline::read(body.as_bytes()).unwrap_err();
        let expected = format!("\\u{{7}}{}", "k".repeat(63));
        assert_eq!(found, JsonError::DuplicateKey(expected));
    }
}

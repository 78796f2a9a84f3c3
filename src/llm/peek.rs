//! Looks at the data of a stream event without parsing it, to decide whether parsing is worth it.
//!
//! Both may say yes for nothing (a tool result may hold such a member), but say no wrongly only if a
//! provider escapes letters of the key, which none does. A quoted key inside a JSON string does not
//! match: its quotes are escaped there.

use std::sync::LazyLock;

use memchr::memmem::Finder;

/// An error event begins with its error: OpenAI sends nothing else, OpenRouter five short members
/// before it (its page on streaming errors).
const ERROR_WITHIN_BYTES: usize = 512;

/// Made once: to make one costs more than to look through an event (400 instructions against 200).
static USAGE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"usage\""));
static ERROR: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"error\""));

/// True if `data` has a member `usage` with a value other than null.
#[must_use]
pub fn may_carry_usage(data: &[u8]) -> bool {
    has(data, &USAGE, |_, end| is_member(data, end))
}

/// True if `data` has, near its start, a member `error` with a value other than null, or is one by its
/// own `object` or `type`.
#[must_use]
pub fn may_carry_error(data: &[u8]) -> bool {
    let data = data.get(..ERROR_WITHIN_BYTES).unwrap_or(data);
    has(data, &ERROR, |begin, end| is_member(data, end) || is_kind(data, begin))
}

/// True if the string `name` stands in `data` from a `begin` to an `end` that match. Most events
/// have none, and a first look costs less than an iterator over all.
fn has(data: &[u8], name: &Finder<'_>, accepts: impl Fn(usize, usize) -> bool) -> bool {
    let mut from = 0;
    while let Some(found) = data.get(from..).and_then(|rest| name.find(rest)) {
        let (begin, end) = (from + found, from + found + name.needle().len());
        if accepts(begin, end) {
            return true;
        }
        from = end;
    }
    false
}

/// True if the string that ends at `end` is a key, and its value is not null.
fn is_member(data: &[u8], end: usize) -> bool {
    let rest = data.get(end..).unwrap_or_default().trim_ascii_start();
    let value = rest.strip_prefix(b":").map(<[u8]>::trim_ascii_start);
    value.is_some_and(|value| !value.starts_with(b"null"))
}

/// True if the string that begins at `begin` is the value of a member `object` or `type`.
fn is_kind(data: &[u8], begin: usize) -> bool {
    let before = data.get(..begin).unwrap_or_default().trim_ascii_end();
    let key = before.strip_suffix(b":").unwrap_or_default().trim_ascii_end();
    key.ends_with(b"\"object\"") || key.ends_with(b"\"type\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_peeked() {
        for (data, expected) in [
            (&br#"{"choices":[],"usage":{"prompt_tokens":1}}"#[..], true),
            (b"{\"usage\" \n : \t{}}", true),
            (br#"{"usage":null}"#, false),
            (br#"{"usage" : null,"x":{"usage":{}}}"#, true),
            (br#"{"choices":[{"delta":{"content":"\"usage\":1"}}],"usage":null}"#, false),
            (br#"{"content":"usage"}"#, false),
            (br#"{"usage"#, false),
            (br#"{"usage""#, false),
            (br#"{"usage":"#, true),
            (b"", false),
        ] {
            assert_eq!(may_carry_usage(data), expected, "{}", String::from_utf8_lossy(data));
        }
    }

    #[test]
    fn error_is_peeked() {
        assert!(may_carry_error(br#"{"error":{"message":"overloaded"}}"#));
        assert!(may_carry_error(br#"{"id":"1","object":"x","error":"no"}"#));
        assert!(!may_carry_error(br#"{"error":null,"choices":[]}"#));
        assert!(!may_carry_error(br#"{"choices":[{"finish_reason":"error"}]}"#));
        assert!(may_carry_error(br#"{"object" : "error","message":"no"}"#));
        assert!(may_carry_error(br#"{"message":"no","type":"error"}"#));
        assert!(!may_carry_error(br#"{"choices":[{"delta":{"content":"error"}}]}"#));
        let late = format!(r#"{{"pad":"{}","error":1}}"#, "x".repeat(ERROR_WITHIN_BYTES));
        assert!(!may_carry_error(late.as_bytes()));
    }
}

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
    has_member(data, &USAGE)
}

/// True if `data` has, near its start, a member `error` with a value other than null.
#[must_use]
pub fn may_carry_error(data: &[u8]) -> bool {
    has_member(data.get(..ERROR_WITHIN_BYTES).unwrap_or(data), &ERROR)
}

/// Looks for a name, quotes included, followed by a colon and something other than null.
fn has_member(data: &[u8], name: &Finder<'_>) -> bool {
    let mut rest = data;
    while let Some(found) = name.find(rest) {
        rest = rest.get(found + name.needle().len()..).unwrap_or_default();
        let value = rest.trim_ascii_start().strip_prefix(b":").map(<[u8]>::trim_ascii_start);
        if value.is_some_and(|value| !value.starts_with(b"null")) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage() {
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
    fn error() {
        assert!(may_carry_error(br#"{"error":{"message":"overloaded"}}"#));
        assert!(may_carry_error(br#"{"id":"1","object":"x","error":"no"}"#));
        assert!(!may_carry_error(br#"{"error":null,"choices":[]}"#));
        assert!(!may_carry_error(br#"{"choices":[{"finish_reason":"error"}]}"#));
        let late = format!(r#"{{"pad":"{}","error":1}}"#, "x".repeat(ERROR_WITHIN_BYTES));
        assert!(!may_carry_error(late.as_bytes()));
    }
}

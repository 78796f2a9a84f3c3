//! Percent-encoding of text from operators and clients (RFC 3986, section 2).

/// The text with every byte escaped that is not a letter, a digit or one of `-._~`.
pub(in crate::providers) fn escape(text: &str) -> String {
    escape_but(text, b"")
}

/// The text as one path segment: its meaning is kept, and it cannot end or leave the segment. `@`
/// is not escaped, since vendors use it in model names.
pub(in crate::providers) fn escape_segment(text: &str) -> String {
    match text {
        // Path resolvers treat an escaped dot as a dot. A dot escaped twice has no meaning to them.
        "." => "%252E".to_owned(),
        ".." => "%252E%252E".to_owned(),
        _ => escape_but(text, b"@"),
    }
}

fn escape_but(text: &str, kept: &[u8]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    let digit = |value: u8| DIGITS.get(usize::from(value & 15)).copied().unwrap_or('0');
    let mut out = String::with_capacity(text.len() + 8);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || kept.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.extend(['%', digit(byte >> 4), digit(byte)]);
        }
    }
    out
}

/// `name=value&…` of a form (`application/x-www-form-urlencoded`).
pub(super) fn form(members: &[(&str, &str)]) -> String {
    let members: Vec<String> =
        members.iter().map(|(name, value)| format!("{name}={}", escape(value))).collect();
    members.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_percent_encoded() {
        for (text, expected) in [
            ("gpt-4o", "gpt-4o"),
            (
                "anthropic.claude-3-5-sonnet-20240620-v1:0",
                "anthropic.claude-3-5-sonnet-20240620-v1%3A0",
            ),
            (
                "arn:aws:bedrock:us-east-1:1:inference-profile/x",
                "arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fx",
            ),
            ("claude-opus-4@20250514", "claude-opus-4@20250514"),
            ("a?b#c d", "a%3Fb%23c%20d"),
            ("ü%", "%C3%BC%25"),
            ("..", "%252E%252E"),
            (".", "%252E"),
            ("...", "..."),
        ] {
            assert_eq!(escape_segment(text), expected);
        }
        assert_eq!(
            form(&[("a", "b c&d"), ("e", "https://f/.default")]),
            "a=b%20c%26d&e=https%3A%2F%2Ff%2F.default"
        );
    }
}

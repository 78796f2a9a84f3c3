//! The character classes of RFC 9110 that names and values are checked against.

/// Whether `text` is a token (RFC 9110 section 5.6.2): a legal field name, method or connection
/// option.
pub fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| is_token_byte(*byte))
}

/// Whether `text` may stand as a field value: no control character but tab, and no blank at either
/// end. Bytes from 0x80 up are legal and opaque. The empty value is legal.
pub fn is_field_value(text: &[u8]) -> bool {
    let blank_edge = |edge: Option<&u8>| matches!(edge, Some(b' ' | b'\t'));
    !blank_edge(text.first())
        && !blank_edge(text.last())
        && text.iter().all(|byte| is_text_byte(*byte))
}

/// `tchar` of RFC 9110 section 5.6.2.
pub(super) fn is_token_byte(byte: u8) -> bool {
    matches!(
        byte,
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*'
            | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
    )
}

/// What may stand inside a value, a reason phrase or a chunk extension: no control character but
/// tab.
pub(super) fn is_text_byte(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..=0xff)
}

/// `text` without the blanks around it (`OWS`).
pub(super) fn trim_blanks(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_names_without_separators() {
        for good in ["x", "x-api-key", "!#$%&'*+-.^_`|~09azAZ"] {
            assert!(is_token(good.as_bytes()), "{good}");
        }
        for bad in
            ["", "a b", "a:", "a\t", "a\r", "a\n", "a\0", "é", "a(b)", "a/b", "a\"", "a@b", "{a}"]
        {
            assert!(!is_token(bad.as_bytes()), "{bad:?}");
        }
    }

    #[test]
    fn values_have_no_controls_and_no_blank_edges() {
        for good in ["", "x", "a b\tc", "é", "Bearer sk-123", "\"quoted\", list;q=1"] {
            assert!(is_field_value(good.as_bytes()), "{good:?}");
        }
        for bad in
            [" x", "x ", "\tx", "x\t", " ", "a\rb", "a\nb", "a\0b", "a\x1fb", "a\x7fb", "\r\n"]
        {
            assert!(!is_field_value(bad.as_bytes()), "{bad:?}");
        }
    }

    #[test]
    fn blanks_are_trimmed_at_both_ends_only() {
        for (text, trimmed) in [("", ""), (" \t ", ""), (" a b\t", "a b"), ("a", "a")] {
            assert_eq!(trim_blanks(text.as_bytes()), trimmed.as_bytes());
        }
    }
}

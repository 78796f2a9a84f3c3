//! The character classes of RFC 9110 that names and values are checked against.

use wide::u8x16;

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

/// How many bytes at the start of `text` may stand in a token.
pub(super) fn token_length(text: &[u8]) -> usize {
    // Names are letters, digits and hyphens, but for very few.
    let length =
        first_hit(text, |lanes| !(is_alphanumeric(lanes) | lanes.simd_eq(u8x16::splat(b'-'))));
    let rest = text.get(length..).unwrap_or_default();
    if rest.first() == Some(&b':') {
        return length;
    }
    length + rest.iter().take_while(|byte| is_token_byte(**byte)).count()
}

/// How many bytes at the start of `text` may stand in the name of a host or in an IPv4 address.
pub(super) fn host_name_length(text: &[u8]) -> usize {
    first_hit(text, |lanes| {
        let marks = b"-._~".map(|mark| lanes.simd_eq(u8x16::splat(mark)));
        !marks.into_iter().fold(is_alphanumeric(lanes), |all, mark| all | mark)
    })
}

/// The position of the first control character of ASCII; the length of `text` if it has none.
pub(super) fn first_control(text: &[u8]) -> usize {
    first_hit(text, |lanes| {
        lanes.min(u8x16::splat(0x1f)).simd_eq(lanes) | lanes.simd_eq(u8x16::splat(0x7f))
    })
}

/// The position of the first byte whose lane `is_hit` fills; the length of `text` if there is none.
#[inline]
fn first_hit(text: &[u8], is_hit: impl Fn(u8x16) -> u8x16) -> usize {
    let (blocks, rest) = text.as_chunks::<16>();
    for (index, block) in blocks.iter().enumerate() {
        let hits = is_hit(u8x16::new(*block)).to_bitmask();
        if hits != 0 {
            return index * 16 + hits.trailing_zeros() as usize;
        }
    }
    let is_hit = |byte: &u8| is_hit(u8x16::splat(*byte)).to_bitmask() != 0;
    text.len() - rest.len() + rest.iter().take_while(|byte| !is_hit(byte)).count()
}

/// The lanes with a letter or a digit of ASCII.
#[inline]
fn is_alphanumeric(lanes: u8x16) -> u8x16 {
    let letter = (lanes | u8x16::splat(0x20)) - u8x16::splat(b'a');
    let digit = lanes - u8x16::splat(b'0');
    letter.min(u8x16::splat(25)).simd_eq(letter) | digit.min(u8x16::splat(9)).simd_eq(digit)
}

/// `tchar` of RFC 9110 section 5.6.2.
pub(super) const fn is_token_byte(byte: u8) -> bool {
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
    fn controls_are_found_at_every_position() {
        for byte in 0..=255_u8 {
            for before in 0..20 {
                let text =
                    [&vec![b'x'; before][..], &[byte, 0xff, b' '], b"0123456789\x7f"].concat();
                let expected = if byte.is_ascii_control() { before } else { before + 13 };
                assert_eq!(first_control(&text), expected, "{byte} at {before}");
            }
        }
        assert_eq!(first_control(b""), 0);
        assert_eq!(first_control(&[0x80; 17]), 17);
    }

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

//! Call ids and tool names. The dialect allows letters, digits, `_` and `-` only (error: "String should
//! match pattern '^[a-zA-Z0-9_-]+$'").
//!
//! Any other name is written with a marker and escapes. The encoding is deterministic, so that a call
//! and its result match, and is reversed when a client sends the name back.

use std::borrow::Cow;

/// Prefix of an encoded name; unlikely in a real one.
const MARK: &str = "rg0-";

/// Encodes a name for the dialect.
pub(super) fn write(name: &str) -> Cow<'_, str> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !name.is_empty() && name.bytes().all(fits) && decode(name).is_none() {
        return name.into();
    }
    encode(name).into()
}

/// Reverses [`write()`].
pub(super) fn read(name: &str) -> Cow<'_, str> {
    decode(name).map_or(name.into(), Cow::Owned)
}

/// Bytes other than letters and digits become `_` and two hexadecimal digits.
fn encode(name: &str) -> String {
    let mut out = String::with_capacity(MARK.len() + name.len() + 8);
    out.push_str(MARK);
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() {
            out.push(char::from(byte));
        } else {
            let digit = |half: u8| char::from_digit(half.into(), 16).unwrap_or('0');
            out.extend(['_', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    out
}

/// None if the name is not encoded.
fn decode(name: &str) -> Option<String> {
    let mut rest = name.strip_prefix(MARK)?.bytes();
    let mut bytes = Vec::with_capacity(rest.len());
    while let Some(byte) = rest.next() {
        if byte == b'_' {
            let mut half = || char::from(rest.next()?).to_digit(16);
            bytes.push(u8::try_from(half()? << 4 | half()?).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn valid_tool_names_are_unchanged() {
        for (name, written) in [
            ("toolu_01AbC-9", "toolu_01AbC-9"),
            ("get_weather", "get_weather"),
            ("functions.Bash:0", "rg0-functions_2eBash_3a0"),
            ("", "rg0-"),
            ("é", "rg0-_c3_a9"),
            ("rg0-a", "rg0-rg0_2da"),
            ("rg0-a_zz", "rg0-a_zz"),
        ] {
            assert_eq!(write(name), written);
            assert_eq!(read(&write(name)), name);
        }
    }

    proptest! {
        #[test]
        fn tool_names_round_trip(name in "(rg0-)?[a-z_.:\u{e9}-]{0,12}") {
            let written = write(&name).into_owned();
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
            prop_assert!(!written.is_empty() && written.bytes().all(fits));
            prop_assert_eq!(read(&written), name);
        }
    }
}

//! The input of a custom tool's call, as it is nested in JSON arguments: `{"input":"…"}`.
//!
//! A model streams the arguments, and a client with a custom tool expects the text streamed. If the
//! arguments begin as expected, each fragment of the text is emitted as it arrives, however the
//! arguments are split; otherwise the text is emitted at the end, as close to the intended input as
//! possible.

use crate::llm::write_text;

/// The JSON arguments of a call with that text.
pub(in crate::dialects) fn arguments_of(input: &str) -> String {
    format!("{OPENED}{}{CLOSED}", escaped(input))
}

/// The JSON before and after the text in the arguments.
pub(in crate::dialects) const OPENED: &str = "{\"input\":\"";
pub(in crate::dialects) const CLOSED: &str = "\"}";

/// A fragment of the text, escaped for JSON, without quotes.
pub(in crate::dialects) fn escaped(piece: &str) -> String {
    let mut out = Vec::with_capacity(piece.len() + 2);
    write_text(&mut out, piece);
    let quoted = String::from_utf8_lossy(&out);
    quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default().to_owned()
}

/// The text of a call with those JSON arguments.
pub(in crate::dialects) fn input_of(arguments: &str) -> String {
    let mut reader = InputReader::default();
    let mut input = reader.push(arguments);
    input.push_str(&reader.finish(arguments));
    input
}

/// Extracts the text from arguments that arrive in fragments.
#[derive(Debug, Default)]
pub(in crate::dialects) struct InputReader {
    place: InputPosition,
    /// Input that is not emitted yet: the start, or a partial escape.
    held: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum InputPosition {
    #[default]
    Before,
    Inside,
    Behind,
    /// The arguments have another form.
    Elsewhere,
}

impl InputReader {
    /// Reads the next fragment of the arguments, and returns the text in it.
    pub(in crate::dialects) fn push(&mut self, piece: &str) -> String {
        let mut text = String::new();
        match self.place {
            InputPosition::Before => {
                self.held.push_str(piece);
                match opening(&self.held) {
                    Opening::Begun => {}
                    Opening::Whole(length) => {
                        self.place = InputPosition::Inside;
                        self.held.drain(..length);
                        self.unescape(&mut text);
                    }
                    Opening::Other => {
                        self.place = InputPosition::Elsewhere;
                        self.held = String::new();
                    }
                }
            }
            InputPosition::Inside => {
                self.held.push_str(piece);
                self.unescape(&mut text);
            }
            InputPosition::Behind | InputPosition::Elsewhere => {}
        }
        text
    }

    /// The rest of the text, once all arguments have arrived.
    pub(in crate::dialects) fn finish(&mut self, arguments: &str) -> String {
        let place = std::mem::replace(&mut self.place, InputPosition::Behind);
        match place {
            InputPosition::Inside | InputPosition::Behind => String::new(),
            InputPosition::Before | InputPosition::Elsewhere => any_input_of(arguments),
        }
    }

    fn unescape(&mut self, text: &mut String) {
        let mut rest = self.held.as_str();
        while let Some(at) = rest.find(['"', '\\']) {
            text.push_str(rest.get(..at).unwrap_or_default());
            rest = rest.get(at..).unwrap_or_default();
            if rest.starts_with('"') {
                self.place = InputPosition::Behind;
                self.held = String::new();
                return;
            }
            let Some((character, length)) = escape(rest) else {
                self.held = rest.to_owned();
                return;
            };
            text.push(character);
            rest = rest.get(length..).unwrap_or_default();
        }
        text.push_str(rest);
        self.held.clear();
    }
}

enum Opening {
    Begun,
    /// With its length in bytes.
    Whole(usize),
    Other,
}

/// How much of `{"input":"` is at the start of `text`, ignoring white space between tokens.
fn opening(text: &str) -> Opening {
    let mut rest = text;
    for token in ["{", "\"input\"", ":", "\""] {
        rest = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        match rest.strip_prefix(token) {
            Some(behind) => rest = behind,
            None if token.starts_with(rest) => return Opening::Begun,
            None => return Opening::Other,
        }
    }
    Opening::Whole(text.len() - rest.len())
}

/// The character of the escape at the start of `text`, and its length in bytes. None if it is
/// incomplete. An invalid escape stands for itself.
fn escape(text: &str) -> Option<(char, usize)> {
    let bytes = text.as_bytes();
    let character = match bytes.get(1)? {
        b'n' => '\n',
        b't' => '\t',
        b'r' => '\r',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'u' => return unicode_escape(text),
        _ => {
            let character = text.get(1..)?.chars().next()?;
            return Some((character, 1 + character.len_utf8()));
        }
    };
    Some((character, 2))
}

/// Like [`escape`], for `\u` with four digits, or a surrogate pair (RFC 8259 section 7).
fn unicode_escape(text: &str) -> Option<(char, usize)> {
    const LENGTH: usize = 6;
    let unit = |text: &str| {
        let digits = text.strip_prefix("\\u")?.get(..4)?;
        u32::from_str_radix(digits, 16).ok()
    };
    let replaced = char::REPLACEMENT_CHARACTER;
    if text.len() < LENGTH {
        return None;
    }
    let Some(high) = unit(text) else { return Some((replaced, 2)) };
    if !(0xD800..0xDC00).contains(&high) {
        return Some((char::from_u32(high).unwrap_or(replaced), LENGTH));
    }
    let behind = text.get(LENGTH..).unwrap_or_default();
    let may_follow = "\\u".starts_with(behind) || behind.starts_with("\\u");
    if behind.len() < LENGTH && may_follow {
        return None;
    }
    match unit(behind).filter(|low| (0xDC00..0xE000).contains(low)) {
        Some(low) => {
            let point = 0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00);
            Some((char::from_u32(point).unwrap_or(replaced), 2 * LENGTH))
        }
        None => Some((replaced, LENGTH)),
    }
}

/// The text in arguments of another form: the member `input`, or the only text among them, or all of
/// them.
fn any_input_of(arguments: &str) -> String {
    use serde_json::Value;
    match serde_json::from_str(arguments) {
        Ok(Value::String(text)) => text,
        Ok(Value::Object(members)) => {
            let only = || members.values().next().filter(|_| members.len() == 1);
            match (members.get("input"), only()) {
                (Some(Value::String(text)), _) | (None, Some(Value::String(text))) => text.clone(),
                (Some(other), _) => other.to_string(),
                (None, _) if members.is_empty() => String::new(),
                (None, _) => arguments.to_owned(),
            }
        }
        _ => arguments.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn in_pieces(arguments: &str, size: usize) -> String {
        let mut reader = InputReader::default();
        let characters: Vec<char> = arguments.chars().collect();
        let mut text = String::new();
        for piece in characters.chunks(size) {
            text.push_str(&reader.push(&piece.iter().collect::<String>()));
        }
        text.push_str(&reader.finish(arguments));
        text
    }

    #[test]
    fn custom_input_is_extracted_from_any_arguments() {
        for (arguments, expected) in [
            (r#"{"input":"s/a/b/"}"#, "s/a/b/"),
            (" {\n \"input\" : \"a\\nb\" } ", "a\nb"),
            (r#"{"input":"a","reason":"b"}"#, "a"),
            (r#"{"reason":"b","input":"a"}"#, "a"),
            (r#"{"patch":"a"}"#, "a"),
            (r#"{"x":1,"y":2}"#, r#"{"x":1,"y":2}"#),
            (r#"{"input":{"x":1}}"#, r#"{"x":1}"#),
            (r#""a""#, "a"),
            ("*** Begin Patch", "*** Begin Patch"),
            ("", ""),
            ("{}", ""),
            (r#"{"input":"cut in the mid"#, "cut in the mid"),
            (r#"{"input":"\u00e9\ud83d\ude00\/\""}"#, "é😀/\""),
            (r#"{"input":"\ud83dx\udead"}"#, "\u{fffd}x\u{fffd}"),
            (r#"{"input":"cut \u00"#, "cut "),
        ] {
            assert_eq!(input_of(arguments), expected, "{arguments}");
            for size in [1, 2, 3, 7] {
                assert_eq!(in_pieces(arguments, size), expected, "{arguments} by {size}");
            }
        }
    }

    proptest! {
        #[test]
        fn custom_input_round_trips(text in any::<String>(), size in 1..9_usize) {
            let arguments = arguments_of(&text);
            prop_assert!(serde_json::from_str::<serde_json::Value>(&arguments).is_ok());
            prop_assert_eq!(input_of(&arguments), text.clone());
            prop_assert_eq!(in_pieces(&arguments, size), text.clone());
            let escaped_in_pieces: String =
                text.chars().map(|it| escaped(&it.to_string())).collect();
            prop_assert_eq!(escaped_in_pieces, escaped(&text));
        }

        #[test]
        fn any_split_reads_the_same(
            text in "[\\{\\}\":,\\\\ uinptd0-9a-f\\n]{0,40}",
            size in 1..9_usize,
        ) {
            prop_assert_eq!(in_pieces(&text, size), input_of(&text));
        }
    }
}

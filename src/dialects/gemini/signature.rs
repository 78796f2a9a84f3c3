//! Signatures and bytes: what this dialect holds in base64.
//!
//! A signature may lie on any part of the model's turn. On a thought it is the thought's and on a call
//! the call's; that of words or pictures becomes a thought without words behind them, which goes back to
//! where it was. Clients read signatures as base64 (google-genai refuses anything else), so that those
//! of other vendors, which bear their vendor's name, are wrapped in it.

use std::borrow::Cow;

use super::{DIALECT, hidden};
use crate::llm::{Content, Part, Reasoning, Signature};

/// Before a thought that its vendor has sealed, inside the wrapping.
const SEALED: &str = "sealed:";

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// A signature as it came, and whether it is in truth a sealed thought.
pub(super) enum Proof {
    Signature(Signature),
    Sealed(Signature),
}

impl Proof {
    /// Reads `thoughtSignature`.
    pub(super) fn read(text: &str) -> Self {
        let wrapped = unwrapped(text);
        let sealed = wrapped.as_deref().and_then(|inner| inner.strip_prefix(SEALED));
        if let Some(sealed) = sealed {
            return Self::Sealed(Signature::read(DIALECT, sealed));
        }
        let inner = wrapped.as_deref().map(|inner| Signature::read(DIALECT, inner));
        match inner {
            Some(inner) if inner.dialect != DIALECT => Self::Signature(inner),
            _ => Self::Signature(Signature::read(DIALECT, text)),
        }
    }

    /// The signature; a sealed thought is none.
    pub(super) fn signature(self) -> Option<Signature> {
        match self {
            Self::Signature(signature) => Some(signature),
            Self::Sealed(_) => None,
        }
    }

    /// A thought of these words, proven by this.
    pub(super) fn thought(self, text: String) -> Reasoning {
        let (signature, sealed) = match self {
            Self::Signature(signature) => (Some(signature), None),
            Self::Sealed(sealed) => (None, Some(sealed)),
        };
        Reasoning { id: None, text, signature, sealed }
    }
}

/// What a wrapping holds; none if the text is no wrapping of ours. Only what begins like one is taken
/// apart, since signatures may be long.
fn unwrapped(text: &str) -> Option<String> {
    let head = decoded(text.get(..24).unwrap_or(text))?;
    let head = String::from_utf8(head).ok()?;
    let name = head.strip_prefix(SEALED).unwrap_or(&head);
    if !name.starts_with(|first: char| first.is_ascii_lowercase()) {
        return None;
    }
    String::from_utf8(decoded(text)?).ok().filter(|inner| inner.contains('#'))
}

/// True for a signature that Google has not made.
pub(in crate::dialects) fn is_foreign_signature(text: &str) -> bool {
    match Proof::read(text) {
        _ if hidden::holds_reasoning(text) => true,
        Proof::Sealed(_) => true,
        Proof::Signature(signature) => signature.dialect != DIALECT,
    }
}

/// The signature for a client.
pub(in crate::dialects) fn for_client(signature: &Signature) -> Cow<'_, str> {
    if signature.dialect == DIALECT {
        return Cow::Borrowed(&signature.text);
    }
    Cow::Owned(encoded(signature.write(DIALECT).as_bytes()))
}

/// The sealed thought for a client.
pub(super) fn sealed_for_client(sealed: &Signature) -> String {
    encoded(format!("{SEALED}{}", sealed.write(DIALECT)).as_bytes())
}

/// A part and the signature that lies on it.
#[derive(Debug)]
pub(super) struct SignedPart<'a> {
    pub part: &'a Part,
    pub signature: Option<Cow<'a, str>>,
}

/// Brings the signatures of a turn to the parts they lie on. `text_of` writes the proof of a thought or
/// call, or says none.
pub(super) fn signed<'a>(
    parts: &'a [Part],
    mut text_of: impl FnMut(PartSignature<'a>) -> Option<Cow<'a, str>>,
) -> Vec<SignedPart<'a>> {
    let mut found: Vec<SignedPart<'a>> = Vec::with_capacity(parts.len());
    let mut waiting = None;
    let mut rest = parts.iter().peekable();
    while let Some(part) = rest.next() {
        let signature = match &part.content {
            Content::Reasoning(thought) => {
                let signature = held(thought).and_then(&mut text_of);
                if !thought.text.is_empty() {
                    signature
                } else if signature.is_none() {
                    continue;
                } else if is_own(thought) {
                    let before = found.last_mut().filter(|before| takes_back(before));
                    match (before, rest.peek().map(|next| &next.content)) {
                        // A signed call is the rule, signed words are the exception.
                        (_, Some(Content::ToolCall(call))) if call.signature.is_none() => {
                            waiting = signature;
                            continue;
                        }
                        (Some(before), _) => {
                            before.signature = signature;
                            continue;
                        }
                        (None, Some(Content::Text(_))) => {
                            waiting = signature;
                            continue;
                        }
                        _ => signature,
                    }
                } else {
                    signature
                }
            }
            Content::ToolCall(call) => {
                let own =
                    call.signature.as_ref().map(PartSignature::Signature).and_then(&mut text_of);
                own.or_else(|| waiting.take())
            }
            _ => waiting.take(),
        };
        found.push(SignedPart { part, signature });
    }
    found
}

/// A proof that a part holds.
#[derive(Clone, Copy)]
pub(super) enum PartSignature<'a> {
    Signature(&'a Signature),
    Sealed(&'a Signature),
}

impl<'a> PartSignature<'a> {
    /// The text for a client.
    pub(super) fn for_client(self) -> Cow<'a, str> {
        match self {
            Self::Signature(signature) => for_client(signature),
            Self::Sealed(sealed) => sealed_for_client(sealed).into(),
        }
    }
}

fn held(thought: &Reasoning) -> Option<PartSignature<'_>> {
    let sealed = thought.sealed.as_ref().map(PartSignature::Sealed);
    sealed.or_else(|| thought.signature.as_ref().map(PartSignature::Signature))
}

fn is_own(thought: &Reasoning) -> bool {
    let own = thought.signature.as_ref().is_some_and(|it| it.dialect == DIALECT);
    own && thought.sealed.is_none()
}

/// Words and pictures may have been signed themselves.
fn takes_back(before: &SignedPart<'_>) -> bool {
    let kind = matches!(
        before.part.content,
        Content::Text(_)
            | Content::Image(_)
            | Content::Audio(_)
            | Content::Video(_)
            | Content::File(_)
    );
    kind && before.signature.is_none()
}

/// Base64 of the standard alphabet with padding (RFC 4648, section 4), from either alphabet: Python's
/// client sends bytes in the one for URLs.
pub(super) fn standard_base64(data: &str) -> String {
    if memchr::memchr2(b'-', b'_', data.as_bytes()).is_none() && data.len().is_multiple_of(4) {
        return data.to_owned();
    }
    let mut text: String = data
        .chars()
        .map(|character| match character {
            '-' => '+',
            '_' => '/',
            other => other,
        })
        .collect();
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}

pub(super) fn encoded(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4_usize {
            let index = (bits >> (18 - 6 * place)) & 63;
            let letter = ALPHABET.get(index as usize).copied().unwrap_or(b'=');
            text.push(if place <= group.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

/// The bytes of base64 in either alphabet, padded or not.
pub(super) fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    let (mut bits, mut count) = (0_u32, 0_u32);
    for letter in text.trim_end_matches('=').bytes() {
        let letter = match letter {
            b'-' => b'+',
            b'_' => b'/',
            other => other,
        };
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(value)) & 0xFF_FFFF;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(((bits >> count) & 0xFF).try_into().ok()?);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::{Dialect, ToolCall};

    fn of(dialect: Dialect, text: &str) -> Signature {
        Signature { dialect, text: text.to_owned() }
    }

    #[test]
    fn base64_accepts_both_alphabets() {
        for (bytes, text) in [
            (&b""[..], ""),
            (b"f", "Zg=="),
            (b"fo", "Zm8="),
            (b"foo", "Zm9v"),
            (b"\xfb\xff\xfe", "+//+"),
        ] {
            assert_eq!(encoded(bytes), text);
            assert_eq!(decoded(text).as_deref(), Some(bytes), "{text}");
            let url = text.replace('+', "-").replace('/', "_");
            assert_eq!(decoded(url.trim_end_matches('=')).as_deref(), Some(bytes), "{url}");
            assert_eq!(standard_base64(url.trim_end_matches('=')), text);
        }
        assert_eq!(decoded("a b"), None);
    }

    #[test]
    fn signatures_of_all_vendors_round_trip() {
        for signature in [
            of(DIALECT, "c2lnbmF0dXJl"),
            of(DIALECT, "skip_thought_signature_validator"),
            of(DIALECT, "not base64 at all"),
            of(Dialect::AnthropicMessages, "ErcBCkgIBBABGAIiQL2+/="),
            of(Dialect::OpenaiResponses, "gAAAA#with a mark"),
        ] {
            let text = for_client(&signature).into_owned();
            assert_eq!(Proof::read(&text).signature().as_ref(), Some(&signature), "{text}");
            let url = text.replace('+', "-").replace('/', "_");
            if signature.dialect != DIALECT {
                assert!(decoded(&text).is_some(), "{text}");
                assert_eq!(Proof::read(&url).signature(), Some(signature));
            }
        }
    }

    #[test]
    fn redacted_thinking_of_all_vendors_round_trips() {
        for sealed in [of(DIALECT, "b3Bh#cXVl"), of(Dialect::AnthropicMessages, "b3BhcXVl")] {
            let text = sealed_for_client(&sealed);
            assert_eq!(
                Proof::read(&text).thought("t".to_owned()),
                Reasoning { text: "t".to_owned(), sealed: Some(sealed), ..Reasoning::default() }
            );
        }
    }

    /// Which parts remain, by kind, and what lies on them.
    fn placed(parts: &[Part]) -> Vec<(char, String)> {
        signed(parts, |held| Some(held.for_client()))
            .iter()
            .map(|it| {
                let kind = match it.part.content {
                    Content::Text(_) => 't',
                    Content::ToolCall(_) => 'c',
                    Content::Reasoning(_) => 'r',
                    _ => '?',
                };
                (kind, it.signature.as_deref().unwrap_or_default().to_owned())
            })
            .collect()
    }

    #[test]
    fn signatures_return_to_their_parts() {
        let text = || Part::text("x");
        let proof = |text: &str| {
            let signature = Some(of(DIALECT, text));
            Part::new(Content::Reasoning(Reasoning { signature, ..Reasoning::default() }))
        };
        let call = |signature: Option<&str>| {
            let signature = signature.map(|text| of(DIALECT, text));
            Part::new(Content::ToolCall(ToolCall { signature, ..ToolCall::default() }))
        };
        let on = |kind: char, text: &str| (kind, text.to_owned());
        assert_eq!(placed(&[text(), proof("s")]), [on('t', "s")]);
        assert_eq!(placed(&[proof("s"), text()]), [on('t', "s")]);
        assert_eq!(placed(&[proof("s"), call(None)]), [on('c', "s")]);
        assert_eq!(placed(&[text(), proof("s"), call(None)]), [on('t', ""), on('c', "s")]);
        let all = [text(), proof("s"), call(Some("u"))];
        assert_eq!(placed(&all), [on('t', "s"), on('c', "u")]);
        assert_eq!(placed(&[text(), proof("s"), proof("u")]), [on('t', "s"), on('r', "u")]);
        assert_eq!(placed(&[proof("s")]), [on('r', "s")]);
        let empty = Part::new(Content::Reasoning(Reasoning::default()));
        assert_eq!(placed(&[empty, text()]), [on('t', "")]);
    }
}

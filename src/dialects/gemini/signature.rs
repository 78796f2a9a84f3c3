//! Signatures, which this dialect has in base64.
//!
//! Any part of a model turn may have one. That of a reasoning part or a call belongs to it; that of a
//! text or an image becomes a reasoning part without text after it, and is written back to its place.
//! Clients decode signatures (google-genai rejects anything but base64), so those of other vendors,
//! which are prefixed with the vendor's name, are encoded too.

use std::borrow::Cow;

use super::base64::{decoded, encoded};
use super::hidden;
use crate::llm::{Content, Dialect, Part, Reasoning, Signature};

/// Prefix of encrypted reasoning, before encoding.
const SEALED: &str = "sealed:";

/// A signature, or encrypted reasoning in its place.
pub(super) enum ThoughtSignature {
    Signature(Signature),
    Sealed(Signature),
}

impl ThoughtSignature {
    /// Reads `thoughtSignature`.
    pub(super) fn read(text: &str) -> Self {
        let wrapped = unwrapped(text);
        let sealed = wrapped.as_deref().and_then(|inner| inner.strip_prefix(SEALED));
        if let Some(sealed) = sealed {
            return Self::Sealed(Signature::read(Dialect::Gemini, sealed));
        }
        let inner = wrapped.as_deref().map(|inner| Signature::read(Dialect::Gemini, inner));
        match inner {
            Some(inner) if inner.dialect != Dialect::Gemini => Self::Signature(inner),
            _ => Self::Signature(Signature::read(Dialect::Gemini, text)),
        }
    }

    /// The signature; none for encrypted reasoning.
    pub(super) fn signature(self) -> Option<Signature> {
        match self {
            Self::Signature(signature) => Some(signature),
            Self::Sealed(_) => None,
        }
    }

    /// A reasoning part with this text and signature.
    pub(super) fn reasoning_part(self, text: String) -> Reasoning {
        let (signature, sealed) = match self {
            Self::Signature(signature) => (Some(signature), None),
            Self::Sealed(sealed) => (None, Some(sealed)),
        };
        Reasoning { id: None, text, signature, sealed }
    }
}

/// Decodes a signature that the gateway encoded; none for any other. Only the prefix is checked first,
/// since signatures may be long.
fn unwrapped(text: &str) -> Option<String> {
    let head = decoded(text.get(..24).unwrap_or(text))?;
    let head = String::from_utf8(head).ok()?;
    let name = head.strip_prefix(SEALED).unwrap_or(&head);
    if !name.starts_with(|first: char| first.is_ascii_lowercase()) {
        return None;
    }
    String::from_utf8(decoded(text)?).ok().filter(|inner| inner.contains('#'))
}

/// True for a signature that Google did not make.
pub(in crate::dialects) fn is_foreign_signature(text: &str) -> bool {
    match ThoughtSignature::read(text) {
        _ if hidden::holds_reasoning(text) => true,
        ThoughtSignature::Sealed(_) => true,
        ThoughtSignature::Signature(signature) => signature.dialect != Dialect::Gemini,
    }
}

/// The signature for a client.
pub(in crate::dialects) fn for_client(signature: &Signature) -> Cow<'_, str> {
    if signature.dialect == Dialect::Gemini {
        return Cow::Borrowed(&signature.text);
    }
    Cow::Owned(encoded(signature.write(Dialect::Gemini).as_bytes()))
}

/// The encrypted reasoning for a client.
pub(super) fn sealed_for_client(sealed: &Signature) -> String {
    encoded(format!("{SEALED}{}", sealed.write(Dialect::Gemini)).as_bytes())
}

/// A part with its signature.
#[derive(Debug)]
pub(super) struct SignedPart<'a> {
    pub part: &'a Part,
    pub signature: Option<Cow<'a, str>>,
}

/// Assigns the signatures of a turn to their parts. `text_of` returns the text of a signature, or none
/// to drop it.
pub(super) fn signed<'a>(
    parts: &'a [Part],
    mut text_of: impl FnMut(PartSignature<'a>) -> Option<Cow<'a, str>>,
) -> Vec<SignedPart<'a>> {
    let mut found: Vec<SignedPart<'a>> = Vec::with_capacity(parts.len());
    let mut waiting = None;
    let mut rest = parts.iter().peekable();
    while let Some(part) = rest.next() {
        let signature = match &part.content {
            Content::Reasoning(reasoning) => {
                let signature = held(reasoning).and_then(&mut text_of);
                if !reasoning.text.is_empty() {
                    signature
                } else if signature.is_none() {
                    continue;
                } else if is_own(reasoning) {
                    let before = found.last_mut().filter(|before| takes_back(before));
                    match (before, rest.peek().map(|next| &next.content)) {
                        // Calls are usually signed, texts rarely.
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

/// A signature in a part.
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

fn held(reasoning: &Reasoning) -> Option<PartSignature<'_>> {
    let sealed = reasoning.sealed.as_ref().map(PartSignature::Sealed);
    sealed.or_else(|| reasoning.signature.as_ref().map(PartSignature::Signature))
}

fn is_own(reasoning: &Reasoning) -> bool {
    let own = reasoning.signature.as_ref().is_some_and(|it| it.dialect == Dialect::Gemini);
    own && reasoning.sealed.is_none()
}

/// True if the part may have had a signature of its own: a text or an image.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::{Dialect, ToolCall};

    fn of(dialect: Dialect, text: &str) -> Signature {
        Signature { dialect, text: text.to_owned() }
    }

    #[test]
    fn signatures_of_all_vendors_round_trip() {
        for signature in [
            of(Dialect::Gemini, "c2lnbmF0dXJl"),
            of(Dialect::Gemini, "skip_thought_signature_validator"),
            of(Dialect::Gemini, "not base64 at all"),
            of(Dialect::AnthropicMessages, "ErcBCkgIBBABGAIiQL2+/="),
            of(Dialect::OpenaiResponses, "gAAAA#with a mark"),
        ] {
            let text = for_client(&signature).into_owned();
            assert_eq!(
                ThoughtSignature::read(&text).signature().as_ref(),
                Some(&signature),
                "{text}"
            );
            let url = text.replace('+', "-").replace('/', "_");
            if signature.dialect != Dialect::Gemini {
                assert!(decoded(&text).is_some(), "{text}");
                assert_eq!(ThoughtSignature::read(&url).signature(), Some(signature));
            }
        }
    }

    #[test]
    fn redacted_thinking_of_all_vendors_round_trips() {
        for sealed in [of(Dialect::Gemini, "b3Bh#cXVl"), of(Dialect::AnthropicMessages, "b3BhcXVl")]
        {
            let text = sealed_for_client(&sealed);
            assert_eq!(
                ThoughtSignature::read(&text).reasoning_part("t".to_owned()),
                Reasoning { text: "t".to_owned(), sealed: Some(sealed), ..Reasoning::default() }
            );
        }
    }

    /// The remaining parts, by kind, with their signatures.
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
        let thought_signature = |text: &str| {
            let signature = Some(of(Dialect::Gemini, text));
            Part::new(Content::Reasoning(Reasoning { signature, ..Reasoning::default() }))
        };
        let call = |signature: Option<&str>| {
            let signature = signature.map(|text| of(Dialect::Gemini, text));
            Part::new(Content::ToolCall(ToolCall { signature, ..ToolCall::default() }))
        };
        let on = |kind: char, text: &str| (kind, text.to_owned());
        assert_eq!(placed(&[text(), thought_signature("s")]), [on('t', "s")]);
        assert_eq!(placed(&[thought_signature("s"), text()]), [on('t', "s")]);
        assert_eq!(placed(&[thought_signature("s"), call(None)]), [on('c', "s")]);
        assert_eq!(
            placed(&[text(), thought_signature("s"), call(None)]),
            [on('t', ""), on('c', "s")]
        );
        let all = [text(), thought_signature("s"), call(Some("u"))];
        assert_eq!(placed(&all), [on('t', "s"), on('c', "u")]);
        assert_eq!(
            placed(&[text(), thought_signature("s"), thought_signature("u")]),
            [on('t', "s"), on('r', "u")]
        );
        assert_eq!(placed(&[thought_signature("s")]), [on('r', "s")]);
        let empty = Part::new(Content::Reasoning(Reasoning::default()));
        assert_eq!(placed(&[empty, text()]), [on('t', "")]);
    }
}

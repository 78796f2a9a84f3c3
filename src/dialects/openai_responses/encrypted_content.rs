//! `encrypted_content` of reasoning items, which carries signatures that a client returns unread.
//!
//! OpenAI's own has no prefix: next to a summary it is the signature of the reasoning shown, without
//! one the encrypted reasoning itself. Other vendors' are prefixed with their name, as signatures are,
//! and may have one of two prefixes before that: `sealed#` for encrypted reasoning, and
//! `call#LENGTH#ID` for the signature of the call with that id, for which the dialect has no other
//! member.
//!
//! OpenAI verifies its own against the id of the item ("item_id did not match the target item id"),
//! which other dialects cannot carry: in canonical form the id precedes the signature, as in
//! `rs_1#TEXT`.

use std::borrow::Cow;

use crate::llm::{Content, Dialect, Part, Reasoning, Signature};

const SEALED: &str = "sealed#";
const OF_CALL: &str = "call#";

/// The content of an `encrypted_content`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum EncryptedContent {
    /// The signature of the reasoning next to it.
    Signature(Signature),
    /// Encrypted reasoning.
    Sealed(Signature),
    /// The signature of the call with this id.
    OfCall(String, Signature),
}

/// Prefix of the ids of OpenAI's reasoning items (API reference, "Responses").
const ITEM: &str = "rs_";

/// Reads the `encrypted_content` of item `id`. `is_shown`: the item has a summary or a text.
pub(super) fn read(text: &str, is_shown: bool, id: Option<&str>) -> EncryptedContent {
    let mut content = read_bare(text, is_shown);
    let (EncryptedContent::Signature(signature) | EncryptedContent::Sealed(signature)) =
        &mut content
    else {
        return content;
    };
    if let Some(id) =
        id.filter(|id| signature.dialect == Dialect::OpenaiResponses && id.starts_with(ITEM))
    {
        signature.text = format!("{id}#{text}");
    }
    content
}

/// Splits one of OpenAI's own signatures into the id of its item, if it is known, and the rest.
pub(super) fn split_item_id(text: &str) -> (Option<&str>, &str) {
    match text.split_once('#').filter(|(id, _)| id.starts_with(ITEM)) {
        Some((id, sealed)) => (Some(id), sealed),
        None => (None, text),
    }
}

/// True for an `encrypted_content` that another vendor made.
pub(in crate::dialects) fn is_foreign_encrypted_content(text: &str) -> bool {
    match read_bare(text, true) {
        EncryptedContent::Signature(signature) => signature.dialect != Dialect::OpenaiResponses,
        EncryptedContent::Sealed(_) | EncryptedContent::OfCall(..) => true,
    }
}

fn read_bare(text: &str, is_shown: bool) -> EncryptedContent {
    if let Some(sealed) = text.strip_prefix(SEALED) {
        return EncryptedContent::Sealed(Signature::read(Dialect::OpenaiResponses, sealed));
    }
    if let Some((id, signature)) = text.strip_prefix(OF_CALL).and_then(of_call) {
        return EncryptedContent::OfCall(
            id.to_owned(),
            Signature::read(Dialect::OpenaiResponses, signature),
        );
    }
    let signature = Signature::read(Dialect::OpenaiResponses, text);
    if is_shown || signature.dialect != Dialect::OpenaiResponses {
        EncryptedContent::Signature(signature)
    } else {
        EncryptedContent::Sealed(signature)
    }
}

fn of_call(rest: &str) -> Option<(&str, &str)> {
    let (length, rest) = rest.split_once('#')?;
    rest.split_at_checked(length.parse().ok()?)
}

/// The `encrypted_content` of a reasoning part, for clients.
pub(super) fn write(reasoning: &Reasoning) -> Option<Cow<'_, str>> {
    if let Some(own) = reasoning.signature.as_ref().or(reasoning.sealed.as_ref())
        && let Some(text) = own.for_provider(Dialect::OpenaiResponses)
    {
        return Some(split_item_id(text).1.into());
    }
    if let Some(signature) = &reasoning.signature {
        return Some(signature.write(Dialect::OpenaiResponses));
    }
    let sealed = reasoning.sealed.as_ref()?;
    Some(format!("{SEALED}{}", sealed.write(Dialect::OpenaiResponses)).into())
}

/// The `encrypted_content` with the signature of call `id`, for clients.
pub(super) fn write_of_call(id: &str, signature: &Signature) -> String {
    format!("{OF_CALL}{}#{id}{}", id.len(), signature.write(Dialect::OpenaiResponses))
}

/// Adds an `encrypted_content` to the parts of a turn, the last `shown` of which are the reasoning next
/// to it.
pub(super) fn attach(text: &str, shown: usize, id: Option<&str>, parts: &mut Vec<Part>) {
    let reasoning_part = |signature, sealed| {
        let id = id.map(str::to_owned);
        Part::new(Content::Reasoning(Reasoning { id, text: String::new(), signature, sealed }))
    };
    match read(text, shown > 0, id) {
        EncryptedContent::Sealed(sealed) => parts.push(reasoning_part(None, Some(sealed))),
        EncryptedContent::Signature(signature) => match parts.last_mut().filter(|_| shown > 0) {
            Some(Part { content: Content::Reasoning(last), .. }) => {
                last.signature = Some(signature);
            }
            _ => parts.push(reasoning_part(Some(signature), None)),
        },
        EncryptedContent::OfCall(call_id, signature) => {
            for part in parts {
                if let Content::ToolCall(call) = &mut part.content
                    && call.id == call_id
                {
                    call.signature = Some(signature.clone());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::Dialect;

    fn signature(dialect: Dialect) -> Signature {
        Signature { dialect, text: "c2ln+/=#".to_owned() }
    }

    #[test]
    fn signatures_round_trip() {
        for dialect in [Dialect::OpenaiResponses, Dialect::AnthropicMessages, Dialect::Gemini] {
            let shown = Reasoning {
                text: "hm".to_owned(),
                signature: Some(signature(dialect)),
                ..Reasoning::default()
            };
            let text = write(&shown).expect("a proof");
            assert_eq!(read(&text, true, None), EncryptedContent::Signature(signature(dialect)));
            let sealed = Reasoning { sealed: Some(signature(dialect)), ..Reasoning::default() };
            let text = write(&sealed).expect("a proof");
            assert_eq!(read(&text, false, None), EncryptedContent::Sealed(signature(dialect)));
            for id in ["call_1", "", "a#b", "é"] {
                let text = write_of_call(id, &signature(dialect));
                let expected = EncryptedContent::OfCall(id.to_owned(), signature(dialect));
                assert_eq!(read(&text, false, None), expected);
            }
        }
        // Some models of Anthropic sign reasoning that is not shown.
        let hidden = Reasoning {
            signature: Some(signature(Dialect::AnthropicMessages)),
            ..Reasoning::default()
        };
        let text = write(&hidden).expect("a proof");
        assert_eq!(
            read(&text, false, None),
            EncryptedContent::Signature(signature(Dialect::AnthropicMessages))
        );
    }

    #[test]
    fn signature_keeps_its_item_id() {
        let own = Signature { dialect: Dialect::OpenaiResponses, text: "rs_1#gAAA".to_owned() };
        assert_eq!(read("gAAA", false, Some("rs_1")), EncryptedContent::Sealed(own.clone()));
        assert_eq!(read("gAAA", true, Some("rs_1")), EncryptedContent::Signature(own.clone()));
        assert_eq!(split_item_id(&own.text), (Some("rs_1"), "gAAA"));
        assert_eq!(split_item_id("gA#A"), (None, "gA#A"));
        let reasoning = Reasoning { signature: Some(own), ..Reasoning::default() };
        assert_eq!(write(&reasoning).as_deref(), Some("gAAA"));
        let foreign = Signature { dialect: Dialect::Gemini, text: "s".to_owned() };
        assert_eq!(read("gemini#s", true, Some("rs_1")), EncryptedContent::Signature(foreign));
    }

    #[test]
    fn lookalike_marks_are_plain_text() {
        for text in ["call#", "call#x#y", "call#9#short", "call#1#é", "gAAA"] {
            let plain = Signature { dialect: Dialect::OpenaiResponses, text: text.to_owned() };
            assert_eq!(read(text, false, None), EncryptedContent::Sealed(plain), "{text}");
        }
    }
}

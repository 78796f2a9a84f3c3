//! Signatures and encrypted reasoning of other vendors, in the two members that this dialect has for
//! its own: a thinking block's `signature` and a redacted block's `data`. Clients send both back
//! unchanged.
//!
//! A prefix before a `#`, which Anthropic's signatures do not contain, carries what these members
//! cannot: that the signature of a thinking block is the encrypted reasoning itself; the id of a
//! reasoning item; and that a redacted block is the signature of a tool call, which has no member for
//! one.

use std::borrow::Cow;

use super::name;
use crate::llm::{Content, Dialect, Part, Reasoning, Signature};

const SEALED: &str = "sealed#";
const THOUGHT: &str = "thought#";
const CALL: &str = "call#";

/// The `signature` of a thinking block for a client; empty if there is none.
pub(super) fn signature(reasoning: &Reasoning) -> Cow<'_, str> {
    match (&reasoning.signature, &reasoning.sealed) {
        (Some(signature), _) => with_id(reasoning, signature.write(Dialect::AnthropicMessages)),
        (None, Some(sealed)) => with_id(
            reasoning,
            format!("{SEALED}{}", sealed.write(Dialect::AnthropicMessages)).into(),
        ),
        (None, None) => with_id(reasoning, "".into()),
    }
}

/// The `data` of a redacted block for a client.
pub(super) fn data<'t>(reasoning: &'t Reasoning, sealed: &'t Signature) -> Cow<'t, str> {
    with_id(reasoning, sealed.write(Dialect::AnthropicMessages))
}

/// The `data` of a redacted block that carries the signature of call `id`.
pub(super) fn data_of_call(id: &str, signature: &Signature) -> String {
    format!("{CALL}{}#{}", name::write(id), signature.write(Dialect::AnthropicMessages))
}

fn with_id<'t>(reasoning: &Reasoning, text: Cow<'t, str>) -> Cow<'t, str> {
    match &reasoning.id {
        Some(id) => format!("{THOUGHT}{}#{text}", name::write(id)).into(),
        None => text,
    }
}

/// True for Google's signature of the text before it, which would become a reasoning block of its own.
/// After the last text it is dropped: clients use the last block as the answer, and Google does not
/// require it.
pub(super) fn is_for_words_before(reasoning: &Reasoning) -> bool {
    let is_googles = reasoning.signature.as_ref().is_some_and(|it| it.dialect == Dialect::Gemini);
    is_googles && reasoning.text.is_empty() && reasoning.id.is_none() && reasoning.sealed.is_none()
}

/// The reasoning of a thinking block.
pub(super) fn read_thinking(thinking: &str, signature: &str) -> Reasoning {
    let (id, rest) = read_id(signature);
    let read = |text: &str| Some(Signature::read(Dialect::AnthropicMessages, text));
    let text = thinking.to_owned();
    match rest.strip_prefix(SEALED) {
        Some(sealed) => Reasoning { id, text, signature: None, sealed: read(sealed) },
        None if rest.is_empty() => Reasoning { id, text, signature: None, sealed: None },
        None => Reasoning { id, text, signature: read(rest), sealed: None },
    }
}

/// The content of a redacted block.
pub(super) enum Redacted {
    Thought(Reasoning),
    /// A call's id and its signature.
    Call(String, Signature),
}

/// Reads the `data` of a redacted block.
pub(super) fn read_data(data: &str) -> Redacted {
    if let Some((id, rest)) = data.strip_prefix(CALL).and_then(|rest| rest.split_once('#')) {
        return Redacted::Call(
            name::read(id).into_owned(),
            Signature::read(Dialect::AnthropicMessages, rest),
        );
    }
    let (id, rest) = read_id(data);
    let sealed = Some(Signature::read(Dialect::AnthropicMessages, rest));
    Redacted::Thought(Reasoning { id, text: String::new(), signature: None, sealed })
}

/// True for the signature of a thinking block that another vendor made.
pub(in crate::dialects) fn is_foreign_signature(text: &str) -> bool {
    let reasoning = read_thinking("", text);
    let is_marked = text.starts_with(SEALED) || text.starts_with(THOUGHT);
    is_marked
        || [reasoning.signature, reasoning.sealed]
            .into_iter()
            .flatten()
            .any(|it| it.dialect != Dialect::AnthropicMessages)
}

/// True for the data of a redacted block that another vendor made.
pub(in crate::dialects) fn is_foreign_data(text: &str) -> bool {
    match read_data(text) {
        Redacted::Call(..) => true,
        Redacted::Thought(reasoning) => {
            text.starts_with(THOUGHT)
                || reasoning.sealed.is_some_and(|it| it.dialect != Dialect::AnthropicMessages)
        }
    }
}

fn read_id(text: &str) -> (Option<String>, &str) {
    match text.strip_prefix(THOUGHT).and_then(|rest| rest.split_once('#')) {
        Some((id, rest)) => (Some(name::read(id).into_owned()), rest),
        None => (None, text),
    }
}

/// Attaches signatures to their calls.
pub(super) fn attach(parts: &mut [Part], proofs: Vec<(String, Signature)>) {
    for (id, proof) in proofs {
        for part in parts.iter_mut() {
            if let Content::ToolCall(call) = &mut part.content
                && call.id == id
            {
                call.signature = Some(proof.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(dialect: Dialect) -> Option<Signature> {
        Some(Signature { dialect, text: "c2ln".to_owned() })
    }

    #[test]
    fn thinking_blocks_round_trip() {
        for (id, proof, sealed, written) in [
            (None, of(Dialect::AnthropicMessages), None, "c2ln"),
            (None, of(Dialect::Gemini), None, "gemini#c2ln"),
            (None, None, of(Dialect::OpenaiResponses), "sealed#openai-responses#c2ln"),
            (Some("rs_1"), None, None, "thought#rs_1#"),
            (Some("r.1"), of(Dialect::AnthropicMessages), None, "thought#rg0-r_2e1#c2ln"),
            (None, None, None, ""),
        ] {
            let reasoning = Reasoning {
                id: id.map(str::to_owned),
                text: "hm".to_owned(),
                signature: proof,
                sealed,
            };
            assert_eq!(signature(&reasoning), written);
            assert_eq!(read_thinking("hm", written), reasoning);
        }
    }

    #[test]
    fn redacted_thinking_and_call_signatures_round_trip() {
        for (id, dialect, written) in [
            (None, Dialect::AnthropicMessages, "c2ln"),
            (Some("rs_1"), Dialect::OpenaiResponses, "thought#rs_1#openai-responses#c2ln"),
        ] {
            let sealed = of(dialect);
            let reasoning = Reasoning { id: id.map(str::to_owned), sealed, ..Reasoning::default() };
            let sealed = reasoning.sealed.as_ref().expect("sealed");
            assert_eq!(data(&reasoning, sealed), written);
            assert!(matches!(read_data(written), Redacted::Thought(it) if it == reasoning));
        }
        let proof = of(Dialect::Gemini).expect("a proof");
        let written = data_of_call("f.1", &proof);
        assert_eq!(written, "call#rg0-f_2e1#gemini#c2ln");
        assert!(
            matches!(read_data(&written), Redacted::Call(id, it) if id == "f.1" && it == proof)
        );
    }
}

//! Reasoning that a client did not request.
//!
//! Google then omits it, and signs the part that follows. The reasoning of other vendors, whose text
//! belongs to its signature, is nested in that signature, and restored from it in the next turn.
//! Reasoning without a signature is required with tool calls only.

use serde::Deserialize;

use super::base64::{decoded, encoded};
use crate::llm::{ChatRequest, Content, Dialect, Part, Reasoning, Signature, write_array};

/// Prefix of a signature that contains reasoning, inside its base64.
const MARK: &str = "thought#";

/// True if the client requested reasoning.
pub(super) fn requests_reasoning(request: &ChatRequest) -> bool {
    request.reasoning.as_ref().is_some_and(|reasoning| reasoning.is_shown == Some(true))
}

/// True for Google's own signature outside of reasoning.
pub(super) fn is_own_signature(reasoning: &Reasoning) -> bool {
    let is_own = reasoning.signature.as_ref().is_some_and(|it| it.dialect == Dialect::Gemini);
    is_own && reasoning.text.is_empty() && reasoning.sealed.is_none()
}

/// Reasoning that waits for the part that follows it.
#[derive(Debug, Default)]
pub(super) struct Hidden(Vec<Reasoning>);

impl Hidden {
    pub(super) fn push(&mut self, reasoning: Reasoning) {
        if !reasoning.text.is_empty() || reasoning.signature.is_some() || reasoning.sealed.is_some()
        {
            self.0.push(reasoning);
        }
    }

    /// The signature of a call; it contains all reasoning that waits.
    pub(super) fn for_call(&mut self) -> Option<String> {
        let reasoning = std::mem::take(&mut self.0);
        match reasoning.as_slice() {
            [] => None,
            // Google requires nothing else.
            [Reasoning { signature: Some(signature), sealed: None, .. }]
                if signature.dialect == Dialect::Gemini =>
            {
                Some(signature.text.clone())
            }
            reasoning => Some(write(reasoning)),
        }
    }

    /// The signature of another part; it contains the waiting reasoning, if any of it is signed.
    pub(super) fn for_part(&mut self) -> Option<String> {
        let is_proven = |it: &Reasoning| it.signature.is_some() || it.sealed.is_some();
        if self.0.iter().any(is_proven) { self.for_call() } else { None }
    }
}

/// The parts without reasoning; each becomes Google's signature before the part that follows.
pub(super) fn without_reasoning(parts: &[Part]) -> Vec<Part> {
    let (mut shown, mut hidden) = (Vec::with_capacity(parts.len()), Hidden::default());
    let thought_signature = |text: String| {
        let signature = Some(Signature { dialect: Dialect::Gemini, text });
        Part::new(Content::Reasoning(Reasoning { signature, ..Reasoning::default() }))
    };
    for part in parts {
        let signature = match &part.content {
            Content::Reasoning(reasoning) if !is_own_signature(reasoning) => {
                hidden.push(reasoning.clone());
                continue;
            }
            Content::ToolCall(_) => hidden.for_call(),
            Content::Reasoning(_) => None,
            _ => hidden.for_part(),
        };
        shown.extend(signature.map(thought_signature));
        shown.push(part.clone());
    }
    shown.extend(hidden.for_part().map(thought_signature));
    shown
}

fn write(reasoning: &[Reasoning]) -> String {
    let mut text = MARK.as_bytes().to_vec();
    write_array(&mut text, |array| {
        for reasoning in reasoning {
            array.object(|object| {
                object.text("text", &reasoning.text);
                let thought_signature = |thought_signature: &Option<Signature>| {
                    thought_signature.as_ref().map(|it| it.write(Dialect::Gemini).into_owned())
                };
                object
                    .optional_text("signature", thought_signature(&reasoning.signature).as_deref());
                object.optional_text("sealed", thought_signature(&reasoning.sealed).as_deref());
            });
        }
    });
    encoded(&text)
}

#[derive(Deserialize)]
struct Written {
    text: String,
    signature: Option<String>,
    sealed: Option<String>,
}

/// True for a signature that contains reasoning.
pub(super) fn holds_reasoning(signature: &str) -> bool {
    let head = decoded(signature.get(..12).unwrap_or_default());
    head.is_some_and(|head| head.starts_with(MARK.as_bytes()))
}

/// The reasoning in a signature. None if it has none.
pub(super) fn read(signature: &str) -> Option<Vec<Reasoning>> {
    if !holds_reasoning(signature) {
        return None;
    }
    let bytes = decoded(signature)?;
    let written: Vec<Written> = serde_json::from_slice(bytes.get(MARK.len()..)?).ok()?;
    let thought_signature =
        |text: Option<String>| text.map(|text| Signature::read(Dialect::Gemini, &text));
    let reasoning = |it: Written| Reasoning {
        id: None,
        text: it.text,
        signature: thought_signature(it.signature),
        sealed: thought_signature(it.sealed),
    };
    Some(written.into_iter().map(reasoning).collect())
}

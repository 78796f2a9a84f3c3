//! OpenRouter's `reasoning_details` (its page "Reasoning Tokens", read November 2026): reasoning,
//! summaries and encrypted reasoning, each with the signature of its vendor. They must be sent back
//! unchanged, so a signature keeps the members next to it.

use crate::llm::{
    ArrayWriter, Content, Dialect, Node, ObjectWriter, Part, Reasoning, Signature, write_object,
};

/// Prefix of a signature with its neighboring members; a JSON object follows.
const MARK: &str = "detail:";

/// One of the details, or a fragment of one.
pub(super) struct ReasoningDetail<'a> {
    /// Text of the reasoning, or of its summary.
    pub text: &'a str,
    pub signature: Option<Signature>,
    pub sealed: Option<Signature>,
}

impl<'a> ReasoningDetail<'a> {
    pub(super) fn read(value: Node<'a>) -> Self {
        let text = match value.text_of("text") {
            "" => value.text_of("summary"),
            text => text,
        };
        let (signature, sealed) = (proof(value, "signature"), proof(value, "data"));
        Self { text, signature, sealed }
    }
}

/// The details of a message.
pub(super) fn each(message: Node<'_>) -> impl Iterator<Item = ReasoningDetail<'_>> {
    let details = message.get("reasoning_details").into_iter().flat_map(Node::items);
    details.map(ReasoningDetail::read)
}

/// Appends the reasoning in the details of a message.
pub(super) fn read_reasoning(message: Node<'_>, parts: &mut Vec<Part>) {
    for detail in each(message) {
        let ReasoningDetail { text, signature, sealed } = detail;
        if text.is_empty() && signature.is_none() && sealed.is_none() {
            continue;
        }
        let text = text.to_owned();
        let reasoning = Reasoning { id: None, text, signature, sealed };
        parts.push(Part::new(Content::Reasoning(reasoning)));
    }
}

/// A signature with its neighboring members.
fn proof(value: Node<'_>, key: &str) -> Option<Signature> {
    let text = value.get(key)?.text().filter(|text| !text.is_empty())?;
    let own = Signature::read(Dialect::OpenaiChat, text);
    let around = ["format", "id"].map(|key| (key, value.text_of(key)));
    // A signature that the gateway wrote is prefixed with its vendor.
    if own.dialect != Dialect::OpenaiChat || around.iter().all(|(_, text)| text.is_empty()) {
        return Some(own);
    }
    let mut kept = Vec::from(MARK);
    write_object(&mut kept, |object| {
        object.text(key, text);
        for (key, text) in around.into_iter().filter(|(_, text)| !text.is_empty()) {
            object.text(key, text);
        }
    });
    let text = String::from_utf8(kept).ok()?;
    Some(Signature { dialect: Dialect::OpenaiChat, text })
}

/// The neighboring members in a signature. None if it was not part of details.
fn kept(proof: &Signature) -> Option<&[u8]> {
    let object = proof.for_provider(Dialect::OpenaiChat)?.strip_prefix(MARK)?.as_bytes();
    object.strip_prefix(b"{")?.strip_suffix(b"}")
}

/// True if the signature of the reasoning part was part of details.
pub(super) fn is_from_details(reasoning: &Reasoning) -> bool {
    reasoning.signature.iter().chain(&reasoning.sealed).any(|proof| kept(proof).is_some())
}

/// Writes the details of a reasoning part, the first with number `index`. Returns the next number.
pub(super) fn write(array: &mut ArrayWriter<'_>, reasoning: &Reasoning, mut index: u64) -> u64 {
    if !reasoning.text.is_empty() || reasoning.signature.is_some() {
        array.object(|detail| {
            detail.text("type", "reasoning.text");
            detail.text("text", &reasoning.text);
            write_proof(detail, "signature", reasoning.signature.as_ref());
            detail.number("index", index);
        });
        index += 1;
    }
    if let Some(sealed) = &reasoning.sealed {
        array.object(|detail| {
            detail.text("type", "reasoning.encrypted");
            write_proof(detail, "data", Some(sealed));
            detail.number("index", index);
        });
        index += 1;
    }
    index
}

fn write_proof(detail: &mut ObjectWriter<'_>, key: &str, proof: Option<&Signature>) {
    let Some(proof) = proof else { return detail.text("format", "unknown") };
    if let Some(members) = kept(proof) {
        return detail.raw_members(members);
    }
    detail.text(key, &proof.write(Dialect::OpenaiChat));
    // OpenRouter's names for the vendor of a signature.
    let format = match proof.dialect {
        Dialect::AnthropicMessages | Dialect::BedrockConverse => "anthropic-claude-v1",
        Dialect::Gemini => "google-gemini-v1",
        Dialect::OpenaiResponses => "openai-responses-v1",
        _ => "unknown",
    };
    detail.text("format", format);
}

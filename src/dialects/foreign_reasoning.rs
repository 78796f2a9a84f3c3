//! Reasoning of other vendors in a conversation that is forwarded unchanged.
//!
//! A client that switches models, or whose request falls back to another vendor, sends its history with
//! the signatures that this gateway returned: prefixed with the vendor's name, or empty if the vendor
//! signs nothing. Vendors reject foreign signatures, so such reasoning is removed. All other bytes
//! stay, and a conversation without it costs one substring search.

use std::borrow::Cow;
use std::sync::LazyLock;

use memchr::memchr;
use memchr::memmem::{self, Finder};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{anthropic_messages, gemini, openai_responses};
use crate::llm::{Dialect, remove_members};

/// Maximum length of a vendor's prefix.
const PREFIX_BYTES_MAX: usize = 96;

/// A conversation without this text has no reasoning. Quotes are included for complete member names.
static ASSISTANT: Needle = LazyLock::new(|| Finder::new("\"assistant\""));
static REASONING: Needle = LazyLock::new(|| Finder::new("\"reasoning"));
static THINKING: Needle = LazyLock::new(|| Finder::new("\"thinking_blocks\""));
static EXTRA: Needle = LazyLock::new(|| Finder::new("\"extra_content\""));
static REDACTED: Needle = LazyLock::new(|| Finder::new("\"redacted_thinking\""));
static SIGNATURE: Needle = LazyLock::new(|| Finder::new("\"signature\""));
static DATA: Needle = LazyLock::new(|| Finder::new("\"data\""));
static CALL_SIGNATURE: Needle = LazyLock::new(|| Finder::new("\"thought_signature\""));
static PART_SIGNATURE: Needle = LazyLock::new(|| Finder::new("\"thoughtSignature\""));

type Needle = LazyLock<Finder<'static>>;

/// Members with reasoning at imitators of OpenAI's chat.
const CHAT_REASONING_MEMBERS: [&str; 4] =
    ["reasoning_content", "reasoning", "reasoning_details", "thinking_blocks"];

/// How a provider treats reasoning of earlier turns.
#[derive(Clone, Copy, Debug)]
pub struct ReasoningRules {
    /// It rejects all of it.
    pub refuses_all: bool,
    /// It signs its reasoning, and rejects reasoning without a signature.
    pub signs: bool,
}

/// The request member that contains the conversation.
#[must_use]
pub fn conversation_member(dialect: Dialect) -> Option<&'static str> {
    match dialect {
        Dialect::OpenaiChat | Dialect::AnthropicMessages => Some("messages"),
        Dialect::OpenaiResponses => Some("input"),
        Dialect::Gemini => Some("contents"),
        Dialect::BedrockConverse | Dialect::CohereChat | Dialect::Passthrough => None,
    }
}

/// True if a request of `dialect` may contain reasoning that its provider rejects. Costs one or a few
/// substring searches.
#[must_use]
pub fn may_have_foreign_reasoning(dialect: Dialect, rules: ReasoningRules, request: &[u8]) -> bool {
    editor(dialect, rules, request).is_some()
}

/// The conversation, a JSON array, without the reasoning that a provider of `dialect` rejects. None if
/// it can stay.
#[must_use]
pub fn without_foreign_reasoning(
    dialect: Dialect,
    rules: ReasoningRules,
    conversation: &[u8],
) -> Option<Vec<u8>> {
    let element = editor(dialect, rules, conversation)?;
    edit_array(std::str::from_utf8(conversation).ok()?, |text| element(text, rules))
        .map(String::into_bytes)
}

/// Edits one element of a conversation.
type Editor = fn(&str, ReasoningRules) -> ElementEdit<'_>;

/// The editor for conversations of `dialect`; none if there is nothing to edit.
fn editor(dialect: Dialect, rules: ReasoningRules, conversation: &[u8]) -> Option<Editor> {
    let has = |needle: &Finder<'_>| needle.find(conversation).is_some();
    let has_prefixed = |member| has_foreign(conversation, member, false);
    match dialect {
        Dialect::AnthropicMessages
            if has_foreign(conversation, &SIGNATURE, rules.signs)
                || has(&REDACTED) && has_prefixed(&DATA) =>
        {
            Some(message)
        }
        Dialect::OpenaiChat if rules.refuses_all => {
            let has_reasoning_parts = || has(&REASONING) || has(&THINKING) || has(&EXTRA);
            (has(&ASSISTANT) && has_reasoning_parts()).then_some(chat_message)
        }
        Dialect::OpenaiChat
            if memchr(b'#', conversation).is_some()
                && (has_prefixed(&SIGNATURE)
                    || has_prefixed(&DATA)
                    || has_prefixed(&CALL_SIGNATURE)) =>
        {
            Some(chat_message)
        }
        Dialect::OpenaiResponses if has(&REASONING) => Some(item),
        Dialect::Gemini if has(&PART_SIGNATURE) || has(&CALL_SIGNATURE) => Some(content),
        _ => None,
    }
}

/// Claude Code's instructions without its billing header, for vendors other than Anthropic. `system` is
/// the JSON of the member. None if there is no such header.
#[must_use]
pub fn without_billing_header(system: &[u8]) -> Option<Vec<u8>> {
    memmem::find(system, anthropic_messages::BILLING_HEADER.as_bytes())?;
    edit_array(std::str::from_utf8(system).ok()?, |text| {
        let is_header = read::<Block<'_>>(text)
            .is_some_and(|block| block.text.starts_with(anthropic_messages::BILLING_HEADER));
        if is_header { ElementEdit::Removed } else { ElementEdit::Same }
    })
    .map(String::into_bytes)
}

/// The result of an edit.
enum ElementEdit<'t> {
    Same,
    Removed,
    Changed(Cow<'t, str>),
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Block<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    text: Cow<'a, str>,
    #[serde(borrow)]
    signature: Cow<'a, str>,
    #[serde(borrow)]
    data: Cow<'a, str>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Message<'a> {
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    parts: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_calls: Option<&'a RawValue>,
    #[serde(borrow)]
    thinking_blocks: Option<&'a RawValue>,
    #[serde(borrow)]
    reasoning_details: Option<&'a RawValue>,
    #[serde(borrow)]
    role: Cow<'a, str>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Item<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    encrypted_content: Option<Cow<'a, str>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct GeminiPart<'a> {
    #[serde(borrow, rename = "thoughtSignature", alias = "thought_signature")]
    signature: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "functionCall", alias = "function_call")]
    call: Option<&'a RawValue>,
}

fn read<'t, T: Deserialize<'t>>(text: &'t str) -> Option<T> {
    serde_json::from_str(text).ok()
}

/// True if a member of that name, quotes included, is a string with a vendor's prefix, or empty if
/// `empty_counts`.
fn has_foreign(bytes: &[u8], name: &Finder<'_>, empty_counts: bool) -> bool {
    name.find_iter(bytes).any(|at| {
        let rest = bytes.get(at + name.needle().len()..).unwrap_or_default().trim_ascii_start();
        let rest = rest.strip_prefix(b":").unwrap_or_default().trim_ascii_start();
        let Some(value) = rest.strip_prefix(b"\"") else { return false };
        let value = value.get(..PREFIX_BYTES_MAX).unwrap_or(value);
        let value = value.split(|byte| *byte == b'"').next().unwrap_or_default();
        value.contains(&b'#') || empty_counts && value.is_empty()
    })
}

/// The array with its elements edited. None if nothing changes, or it is not an array.
fn edit_array<'t>(
    array: &'t str,
    mut edit: impl FnMut(&'t str) -> ElementEdit<'t>,
) -> Option<String> {
    let elements: Vec<&'t RawValue> = read(array)?;
    let mut out = String::with_capacity(array.len());
    let mut is_changed = false;
    for element in elements {
        let text = element.get();
        let kept = match edit(text) {
            ElementEdit::Same => Cow::Borrowed(text),
            ElementEdit::Changed(other) => {
                is_changed = true;
                other
            }
            ElementEdit::Removed => {
                is_changed = true;
                continue;
            }
        };
        out.push(if out.is_empty() { '[' } else { ',' });
        out.push_str(&kept);
    }
    if out.is_empty() {
        out.push('[');
    }
    out.push(']');
    is_changed.then_some(out)
}

/// `whole` with its part `inner` edited as an array. Removed if nothing remains of either.
fn edit_inside<'t>(
    whole: &'t str,
    inner: Option<&'t RawValue>,
    edit: impl FnMut(&'t str) -> ElementEdit<'t>,
) -> ElementEdit<'t> {
    let Some(inner) = inner.map(RawValue::get) else { return ElementEdit::Same };
    let Some(edited) = edit_array(inner, edit) else { return ElementEdit::Same };
    if edited == "[]" {
        return ElementEdit::Removed;
    }
    let start = inner.as_ptr().addr().saturating_sub(whole.as_ptr().addr());
    let before = whole.get(..start).unwrap_or_default();
    let after = whole.get(start + inner.len()..).unwrap_or_default();
    ElementEdit::Changed([before, &edited, after].concat().into())
}

/// Edits a message of Anthropic's dialect.
fn message(text: &str, rules: ReasoningRules) -> ElementEdit<'_> {
    let Some(message) = read::<Message<'_>>(text) else { return ElementEdit::Same };
    edit_inside(text, message.content, |block| {
        let Some(block) = read::<Block<'_>>(block) else { return ElementEdit::Same };
        let is_foreign = match &*block.kind {
            "thinking" => {
                anthropic_messages::is_foreign_signature(&block.signature)
                    || rules.signs && block.signature.is_empty()
            }
            "redacted_thinking" => anthropic_messages::is_foreign_data(&block.data),
            _ => false,
        };
        if is_foreign { ElementEdit::Removed } else { ElementEdit::Same }
    })
}

/// Edits a message of OpenAI's chat: members are removed, the message stays.
fn chat_message(text: &str, rules: ReasoningRules) -> ElementEdit<'_> {
    let Some(message) = read::<Message<'_>>(text) else { return ElementEdit::Same };
    if message.role != "assistant" {
        return ElementEdit::Same;
    }
    let has_foreign_signature = |raw: &RawValue| {
        let bytes = raw.get().as_bytes();
        [&*SIGNATURE, &*DATA, &*CALL_SIGNATURE]
            .into_iter()
            .any(|name| has_foreign(bytes, name, false))
    };
    let mut edited = Cow::Borrowed(text);
    if let Some(calls) =
        message.tool_calls.filter(|it| rules.refuses_all || has_foreign_signature(it))
    {
        let without = edit_inside(text, Some(calls), |call| {
            if memmem::find(call.as_bytes(), b"\"extra_content\"").is_none() {
                return ElementEdit::Same;
            }
            ElementEdit::Changed(remove_members(call, &["extra_content"]).into())
        });
        if let ElementEdit::Changed(other) = without {
            edited = other;
        }
    }
    let if_foreign =
        |name, raw: Option<&RawValue>| raw.is_some_and(has_foreign_signature).then_some(name);
    let removed = match rules.refuses_all {
        true => CHAT_REASONING_MEMBERS.to_vec(),
        false => [
            if_foreign("thinking_blocks", message.thinking_blocks),
            if_foreign("reasoning_details", message.reasoning_details),
        ]
        .into_iter()
        .flatten()
        .collect(),
    };
    if removed.iter().any(|name| memmem::find(edited.as_bytes(), name.as_bytes()).is_some()) {
        edited = remove_members(&edited, &removed).into();
    }
    if edited == text {
        ElementEdit::Same
    } else {
        ElementEdit::Changed(edited.into_owned().into())
    }
}

/// Edits an item of OpenAI's responses.
fn item(text: &str, _: ReasoningRules) -> ElementEdit<'_> {
    let Some(item) = read::<Item<'_>>(text).filter(|item| item.kind == "reasoning") else {
        return ElementEdit::Same;
    };
    let id = item.id.as_deref();
    let is_foreign = match item.encrypted_content.as_deref() {
        Some(encrypted) => openai_responses::is_foreign_encrypted_content(encrypted),
        None => id.is_some_and(openai_responses::is_own_item_id),
    };
    if is_foreign { ElementEdit::Removed } else { ElementEdit::Same }
}

/// Edits a content of Google's dialect. A call that loses its signature gets Google's placeholder.
fn content(text: &str, _: ReasoningRules) -> ElementEdit<'_> {
    let Some(message) = read::<Message<'_>>(text) else { return ElementEdit::Same };
    edit_inside(text, message.parts, |text| {
        let part = read::<GeminiPart<'_>>(text).unwrap_or_default();
        let Some(signature) = part.signature.filter(|it| gemini::is_foreign_signature(it)) else {
            return ElementEdit::Same;
        };
        let quoted = crate::llm::quote(&signature);
        let quoted = std::str::from_utf8(&quoted).unwrap_or_default();
        if part.call.is_some() && text.contains(quoted) {
            let unchecked = format!("\"{}\"", gemini::UNCHECKED);
            return ElementEdit::Changed(text.replacen(quoted, &unchecked, 1).into());
        }
        let edited = remove_members(text, &["thoughtSignature", "thought_signature"]);
        let members = edited.trim_start_matches('{').trim_end_matches('}').trim();
        let is_empty = members.is_empty() || members.replace(' ', "") == "\"text\":\"\"";
        if is_empty { ElementEdit::Removed } else { ElementEdit::Changed(edited.into()) }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const SIGNING: ReasoningRules = ReasoningRules { refuses_all: false, signs: true };
    const REJECTING: ReasoningRules = ReasoningRules { refuses_all: true, signs: false };
    const COMPATIBLE: ReasoningRules = ReasoningRules { refuses_all: false, signs: false };

    fn check(dialect: Dialect, rules: ReasoningRules, before: Value, expected: Option<Value>) {
        let edited = without_foreign_reasoning(dialect, rules, before.to_string().as_bytes());
        let edited = edited.map(|json| serde_json::from_slice(&json).expect("JSON"));
        assert_eq!(edited, expected, "{before}");
    }

    #[test]
    fn foreign_thinking_is_removed_for_anthropic() {
        let user = json!({"role": "user", "content": "x # y"});
        let history = |blocks: Value| json!([user, {"role": "assistant", "content": blocks}, user]);
        let call = json!({"type": "tool_use", "id": "t", "name": "f", "input": {"data": "a#b"}});
        let own = json!({"type": "thinking", "thinking": "hm", "signature": "EqoBCk+/="});
        let empty = json!({"type": "thinking", "thinking": "hm", "signature": ""});
        let prefixed = json!({"type": "thinking", "thinking": "hm", "signature": "openai-chat#S"});
        let encrypted = json!({"type": "redacted_thinking", "data": "call#t#gemini#S2=="});
        let redacted = json!({"type": "redacted_thinking", "data": "EmwK"});
        for (rules, blocks, expected) in [
            (SIGNING, json!([own, redacted, call]), None),
            (SIGNING, json!([prefixed, encrypted, call]), Some(history(json!([call])))),
            (SIGNING, json!([empty, call]), Some(history(json!([call])))),
            (COMPATIBLE, json!([empty, call]), None),
            (COMPATIBLE, json!([prefixed, call]), Some(history(json!([call])))),
            (SIGNING, json!([prefixed]), Some(json!([user, user]))),
        ] {
            check(Dialect::AnthropicMessages, rules, history(blocks), expected);
        }
    }

    #[test]
    fn foreign_reasoning_is_removed_for_chat() {
        let history = |members: Value| json!([{"role": "user", "content": "x"}, members]);
        let with_thinking = json!({"role": "assistant", "content": "y", "reasoning_content": "hm",
            "thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": "gemini#S"}]});
        let mut detailed = with_thinking.clone();
        detailed["reasoning_details"] = json!([{"type": "reasoning.text", "text": "hm",
            "signature": "gemini#S", "format": "google-gemini-v1"}]);
        let openrouter = json!({"role": "assistant", "content": "y", "reasoning_details": [
            {"type": "reasoning.text", "text": "hm", "signature": "S", "format": "anthropic-claude-v1"}]});
        let plain = json!({"role": "assistant", "content": "y"});
        let reasoning_only =
            json!({"role": "assistant", "content": "y", "reasoning_content": "hm"});
        let call =
            json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}});
        let mut signed = call.clone();
        signed["extra_content"] = json!({"google": {"thought_signature": "anthropic-messages#S"}});
        let calls =
            |call: &Value| json!({"role": "assistant", "content": null, "tool_calls": [call]});
        for (rules, before, expected) in [
            (REJECTING, history(with_thinking.clone()), Some(history(plain.clone()))),
            (COMPATIBLE, history(with_thinking), Some(history(reasoning_only.clone()))),
            (COMPATIBLE, history(detailed), Some(history(reasoning_only.clone()))),
            (COMPATIBLE, history(openrouter.clone()), None),
            (REJECTING, history(openrouter), Some(history(plain.clone()))),
            (COMPATIBLE, history(reasoning_only), None),
            (REJECTING, history(plain), None),
            (COMPATIBLE, history(calls(&signed)), Some(history(calls(&call)))),
            (REJECTING, history(calls(&signed)), Some(history(calls(&call)))),
        ] {
            check(Dialect::OpenaiChat, rules, before, expected);
        }
    }

    #[test]
    fn foreign_reasoning_is_removed_for_responses() {
        let user = json!({"role": "user", "content": "x"});
        let reasoning_item = |id: &str, encrypted: Option<&str>| json!({"type": "reasoning", "id": id, "summary": [], "encrypted_content": encrypted});
        let own = reasoning_item("rs_1", Some("gAAAAB"));
        let kept = reasoning_item("rs_1", None);
        for foreign in [
            reasoning_item("rs_2", Some("sealed#anthropic-messages#S")),
            reasoning_item("rs_2", Some("call#2#c1#gemini#S")),
            reasoning_item("rs_rg0_msg_1", None),
        ] {
            let before = json!([user, own, kept, foreign]);
            check(Dialect::OpenaiResponses, COMPATIBLE, before, Some(json!([user, own, kept])));
        }
        check(Dialect::OpenaiResponses, COMPATIBLE, json!([user, own, kept]), None);
    }

    #[test]
    fn foreign_thoughts_are_removed_for_gemini() {
        let signature = gemini::for_client(&crate::llm::Signature {
            dialect: Dialect::AnthropicMessages,
            text: "S==".to_owned(),
        })
        .into_owned();
        for foreign in ["bedrock-converse#S==", &signature] {
            let history = |parts: Value| json!([{"role": "model", "parts": parts}]);
            let call = |signature: &str| json!({"functionCall": {"name": "g", "args": {}}, "thoughtSignature": signature});
            let before = history(json!([
                {"text": "hm", "thought": true, "thoughtSignature": foreign},
                {"text": "", "thoughtSignature": foreign},
                call(foreign),
                call("CsAB")]));
            let after = history(json!([
                {"text": "hm", "thought": true}, call(gemini::UNCHECKED), call("CsAB")]));
            check(Dialect::Gemini, COMPATIBLE, before, Some(after));
        }
        let own = json!([{"role": "model", "parts": [{"text": "x", "thoughtSignature": "CsAB"}]}]);
        check(Dialect::Gemini, COMPATIBLE, own, None);
    }

    #[test]
    fn claude_code_billing_header_is_removed() {
        let header = json!({"type": "text", "text": "x-anthropic-billing-header: cc_version=2"});
        let rest = json!({"type": "text", "text": "You are Claude Code."});
        let edited = without_billing_header(json!([header, rest]).to_string().as_bytes());
        assert_eq!(edited, Some(json!([rest]).to_string().into_bytes()));
        assert_eq!(without_billing_header(json!([rest]).to_string().as_bytes()), None);
    }
}

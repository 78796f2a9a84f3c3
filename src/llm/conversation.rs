//! The last question of a request, and all that came before it.

use std::borrow::Cow;
use std::ops::Range;

use serde::Deserialize;
use serde_json::value::RawValue;

/// The last user turn of a conversation: its text, and where that stands.
#[derive(Debug, PartialEq, Eq)]
pub struct LastTurn {
    /// The text, unescaped.
    pub text: String,
    /// Where its JSON string stands among the bytes that were read, quotes included. What is before
    /// it is the history and the form of the turn; what follows belongs to the form.
    pub span: Range<usize>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    role: Cow<'a, str>,
    #[serde(borrow)]
    content: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TextPart<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    text: &'a RawValue,
}

/// A turn before the last, as far as it shows whether tools were used.
#[derive(Deserialize)]
struct Turn<'a> {
    #[serde(borrow)]
    role: Cow<'a, str>,
    #[serde(borrow, default)]
    tool_calls: Option<&'a RawValue>,
    #[serde(borrow, default)]
    function_call: Option<&'a RawValue>,
}

/// Where the messages of a chat stand that are no history: the instructions of the system or developer,
/// and the last message. `messages` are the bytes of the chat's array. None where a turn is a tool's or
/// calls one.
#[must_use]
pub fn without_history(messages: &[u8]) -> Option<Vec<Range<usize>>> {
    let messages = std::str::from_utf8(messages).ok()?;
    let turns: Vec<&RawValue> = serde_json::from_str(messages).ok()?;
    let (last, before) = turns.split_last()?;
    let mut kept = Vec::new();
    for turn in before {
        let read: Turn<'_> = serde_json::from_str(turn.get()).ok()?;
        match read.role.as_ref() {
            "system" | "developer" => kept.push(place(messages, turn.get())?),
            "user" | "assistant" if read.tool_calls.is_none() && read.function_call.is_none() => {}
            _ => return None,
        }
    }
    kept.push(place(messages, last.get())?);
    Some(kept)
}

/// Where `part` stands within `whole`.
fn place(whole: &str, part: &str) -> Option<Range<usize>> {
    let start = part.as_ptr().addr().checked_sub(whole.as_ptr().addr())?;
    Some(start..start + part.len())
}

impl LastTurn {
    /// The last turn of `messages`, the bytes of a chat's array. None unless it is a user's, and all
    /// of it is one text.
    #[must_use]
    pub fn of_messages(messages: &[u8]) -> Option<Self> {
        let messages = std::str::from_utf8(messages).ok()?;
        let turns: Vec<&RawValue> = serde_json::from_str(messages).ok()?;
        let last: Message<'_> = serde_json::from_str(turns.last()?.get()).ok()?;
        if last.role != "user" {
            return None;
        }
        let content = last.content.get();
        if !content.starts_with('[') {
            return Self::new(messages, content);
        }
        let parts: Vec<TextPart<'_>> = serde_json::from_str(content).ok()?;
        match parts.as_slice() {
            [part] if part.kind == "text" => Self::new(messages, part.text.get()),
            _ => None,
        }
    }

    /// The prompt of a completion, the bytes of its member, as the only turn.
    #[must_use]
    pub fn of_prompt(prompt: &[u8]) -> Option<Self> {
        let prompt = std::str::from_utf8(prompt).ok()?;
        Self::new(prompt, prompt)
    }

    /// `text` is a JSON string within `whole`.
    fn new(whole: &str, text: &str) -> Option<Self> {
        let span = place(whole, text)?;
        Some(Self { text: serde_json::from_str(text).ok()?, span })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_turn_is_separated() {
        let chat = r#"[{"role":"system","content":"be \"kind\""}, {"content" : "W\u00e9?","role":"user","name":"x"} ]"#;
        let turn = LastTurn::of_messages(chat.as_bytes()).expect("a turn");
        assert_eq!(turn.text, "Wé?");
        assert_eq!(&chat[turn.span.clone()], r#""W\u00e9?""#);
        assert!(chat[turn.span.end..].contains("name"));
        let parts = r#"[{"role":"user","content":[{"type":"text","text":"hi"}]}]"#;
        assert_eq!(LastTurn::of_messages(parts.as_bytes()).expect("a turn").text, "hi");
        assert_eq!(LastTurn::of_prompt(br#""say it""#).expect("a turn").text, "say it");
    }

    #[test]
    fn instructions_and_last_message_are_not_history() {
        let system = r#"{"role":"system","content":"be kind"}"#;
        let hello = r#"{"role":"user","content":"hello"}"#;
        let answer = r#"{"role":"assistant","content":"hi"}"#;
        let call = r#"{"role":"assistant","content":null,"tool_calls":[]}"#;
        let tool = r#"{"role":"tool","content":"x"}"#;
        let kept = |turns: &[&str]| {
            let messages = format!("[{}]", turns.join(", "));
            let kept = without_history(messages.as_bytes())?;
            Some(kept.into_iter().map(|it| messages[it].to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(kept(&[system, hello, answer, hello]).expect("kept"), [system, hello]);
        assert_eq!(kept(&[hello]).expect("kept"), [hello]);
        for turns in [&[hello, call, tool, hello][..], &[tool, hello], &["5", hello], &[]] {
            assert_eq!(kept(turns), None, "{turns:?}");
        }
    }

    #[test]
    fn non_text_last_turns_are_rejected() {
        for messages in [
            "[]",
            "5",
            "[5]",
            r#"[{"role":"assistant","content":"x"}]"#,
            r#"[{"role":"tool","content":"x","tool_call_id":"1"}]"#,
            r#"[{"role":"user"}]"#,
            r#"[{"role":"user","content":null}]"#,
            r#"[{"role":"user","content":5}]"#,
            r#"[{"role":"user","role":"user","content":"x"}]"#,
            r#"[{"role":"user","content":"x","content":"y"}]"#,
            r#"[{"role":"user","content":[]}]"#,
            r#"[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}]"#,
            r#"[{"role":"user","content":[{"type":"image_url","image_url":{"url":"u"}}]}]"#,
            r#"[{"role":"user","content":[{"type":"text","text":"a","cache_control":{}}]}]"#,
            r#"[{"role":"user","content":"\ud800"}]"#,
            "[{\"role\":\"user\",\"content\":\"\u{0}\"}]",
        ] {
            assert_eq!(LastTurn::of_messages(messages.as_bytes()), None, "{messages}");
        }
        assert_eq!(LastTurn::of_messages(b"\xff"), None);
        assert_eq!(LastTurn::of_prompt(br#"["a","b"]"#), None);
        assert_eq!(LastTurn::of_prompt(b"[1,2]"), None);
    }
}

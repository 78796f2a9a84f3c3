//! What the line needs to know of an answer, whole or one event of a stream.

use simd_json::prelude::*;
use simd_json::tape::{Object, Value};

use super::price::Tier;
use super::usage::Usage;

/// Members under which the events of other dialects carry the message that has the usage: OpenAI's
/// responses (`response.completed`) and Anthropic's messages (`message_start`).
const USAGE_HOLDERS: [&str; 2] = ["response", "message"];

/// Members of a delta that a client shows or acts on. `role` alone is not content.
const CONTENT: [&str; 6] =
    ["content", "tool_calls", "reasoning_content", "reasoning", "refusal", "function_call"];

/// A whole answer in brief.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnswerOutline {
    /// Absent where the provider gave none.
    pub usage: Option<Usage>,
    /// The model that answered, as the provider names it.
    pub model: Option<String>,
    /// A top-level `error` that is not null, whatever the status said.
    pub is_error: bool,
    /// The tier that the vendor says it used.
    pub tier: Option<Tier>,
}

impl AnswerOutline {
    pub(super) fn read(root: &Object<'_, '_>) -> Self {
        let mut outline = Self::default();
        for (key, value) in root.iter() {
            match key {
                "usage" => {
                    outline.usage = Usage::read(&value);
                    outline.tier = tier_beside(&value).or(outline.tier);
                }
                "service_tier" => outline.tier = value.as_str().map(Tier::of_answer),
                "model" => outline.model = value.as_str().map(str::to_owned),
                "error" => outline.is_error = !value.is_null(),
                _ => {}
            }
        }
        outline
    }
}

/// The data of one event of a stream in brief.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChunkOutline {
    /// Counts so far; providers send them once, at the end, or running, so that the last one counts.
    pub usage: Option<Usage>,
    /// A choice carries text, reasoning, a refusal or part of a tool call.
    pub has_content: bool,
    /// No choice at all: `choices` is empty or absent.
    pub choices_empty: bool,
    /// A top-level `error` that is not null: the stream failed after its status was sent.
    pub is_error: bool,
    /// The tier that the vendor says it used.
    pub tier: Option<Tier>,
}

impl ChunkOutline {
    pub(super) fn read(root: &Object<'_, '_>) -> Self {
        let mut outline = Self { choices_empty: true, ..Self::default() };
        for (key, value) in root.iter() {
            match key {
                "usage" => {
                    outline.usage = Usage::read(&value).or(outline.usage);
                    outline.tier = tier_beside(&value).or(outline.tier);
                }
                "service_tier" => outline.tier = value.as_str().map(Tier::of_answer),
                "error" => outline.is_error = !value.is_null(),
                "choices" => {
                    outline.choices_empty = !is_filled(&value);
                    outline.has_content = value
                        .as_array()
                        .is_some_and(|choices| choices.iter().any(|choice| has_content(&choice)));
                }
                holder if USAGE_HOLDERS.contains(&holder) => {
                    let usage = value.get("usage");
                    let nested = usage.as_ref().and_then(Usage::read);
                    outline.usage = outline.usage.or(nested);
                    let tier = tier_beside(&value).or(usage.as_ref().and_then(tier_beside));
                    outline.tier = tier.or(outline.tier);
                }
                _ => {}
            }
        }
        outline
    }
}

/// The tier in an object: OpenAI tells it in the answer, Anthropic in the usage.
fn tier_beside(object: &Value<'_, '_>) -> Option<Tier> {
    object.get("service_tier")?.as_str().map(Tier::of_answer)
}

/// True if a choice has completions text or a delta with content.
fn has_content(choice: &Value<'_, '_>) -> bool {
    if choice.get("text").is_some_and(|text| is_filled(&text)) {
        return true;
    }
    let Some(delta) = choice.get("delta").and_then(|delta| delta.as_object().map(|_| delta)) else {
        return false;
    };
    CONTENT.iter().any(|key| delta.get(*key).is_some_and(|value| is_filled(&value)))
}

/// True for a string, array or object that is not empty.
fn is_filled(value: &Value<'_, '_>) -> bool {
    let text = value.as_str().is_some_and(|text| !text.is_empty());
    let array = value.as_array().is_some_and(|array| !array.is_empty());
    text || array || value.as_object().is_some_and(|object| !object.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::Scanner;
    use super::*;

    #[test]
    fn answers() {
        let body = br#"{"id":"x","model":"gpt-4o-2024","choices":[{"message":{"content":"hi"}}],
            "usage":{"prompt_tokens":2,"completion_tokens":1}}"#;
        let expected = Usage { input_tokens: 2, output_tokens: 1, ..Usage::default() };
        let found = Scanner::default().answer(body).unwrap();
        let model = Some("gpt-4o-2024".to_owned());
        assert_eq!(
            found,
            AnswerOutline { usage: Some(expected), model, ..AnswerOutline::default() }
        );
        for (body, is_error) in [
            (r#"{"error":{"message":"no"}}"#, true),
            (r#"{"error":"no"}"#, true),
            (r#"{"error":null}"#, false),
            (r#"{"choices":[{"error":1}]}"#, false),
        ] {
            let found = Scanner::default().answer(body.as_bytes()).unwrap();
            assert_eq!(found.is_error, is_error, "{body}");
        }
        assert_eq!(Scanner::default().answer(b"[]"), Err(super::super::JsonError::NotAnObject));
    }

    #[test]
    fn content_of_chunks() {
        for (choices, has_content, choices_empty) in [
            (r#"[{"delta":{"content":"hi"}}]"#, true, false),
            (r#"[{"delta":{"role":"assistant","content":""}}]"#, false, false),
            (r#"[{"delta":{"content":null}}]"#, false, false),
            (r#"[{"delta":{"reasoning_content":"hm"}}]"#, true, false),
            (r#"[{"delta":{"content":"","reasoning":"hm"}}]"#, true, false),
            (r#"[{"delta":{"tool_calls":[{"index":0}]}}]"#, true, false),
            (r#"[{"delta":{"tool_calls":[]}}]"#, false, false),
            (r#"[{"delta":{},"finish_reason":"stop"}]"#, false, false),
            (r#"[{"delta":{}},{"delta":{"refusal":"no"}}]"#, true, false),
            (r#"[{"text":"hi"}]"#, true, false),
            (r#"[{"text":""}]"#, false, false),
            (r#"["delta",1,null]"#, false, false),
            (r#"[{"delta":"content"}]"#, false, false),
            ("[]", false, true),
            ("null", false, true),
        ] {
            let data = format!(r#"{{"choices":{choices}}}"#);
            let found = Scanner::default().chunk(data.as_bytes()).unwrap();
            assert_eq!(
                (found.has_content, found.choices_empty),
                (has_content, choices_empty),
                "{data}"
            );
        }
    }

    #[test]
    fn tiers() {
        for (body, tier) in [
            (r#"{"service_tier":"flex","usage":{"prompt_tokens":3}}"#, Some(Tier::Flex)),
            (r#"{"usage":{"input_tokens":3,"service_tier":"priority"}}"#, Some(Tier::Priority)),
            (r#"{"service_tier":"default"}"#, Some(Tier::Standard)),
            (r#"{"service_tier":null,"usage":{"prompt_tokens":3}}"#, None),
            (r#"{"usage":null}"#, None),
        ] {
            let mut scanner = Scanner::default();
            assert_eq!(scanner.answer(body.as_bytes()).unwrap().tier, tier, "{body}");
            assert_eq!(scanner.chunk(body.as_bytes()).unwrap().tier, tier, "{body}");
            for holder in USAGE_HOLDERS {
                let data = format!(r#"{{"{holder}":{body}}}"#);
                assert_eq!(scanner.chunk(data.as_bytes()).unwrap().tier, tier, "{data}");
            }
        }
    }

    #[test]
    fn usage_and_errors_of_chunks() {
        for (data, input_tokens, is_error) in [
            (r#"{"choices":[],"usage":{"prompt_tokens":3}}"#, Some(3), false),
            (r#"{"choices":[],"usage":null}"#, None, false),
            (r#"{"type":"message_start","message":{"usage":{"input_tokens":4}}}"#, Some(4), false),
            (
                r#"{"type":"response.completed","response":{"usage":{"input_tokens":5}}}"#,
                Some(5),
                false,
            ),
            (
                r#"{"message":{"usage":{"input_tokens":4}},"usage":{"input_tokens":6}}"#,
                Some(6),
                false,
            ),
            (r#"{"message":"overloaded","error":{"code":503}}"#, None, true),
            (r#"{"error":null,"choices":[]}"#, None, false),
        ] {
            let found = Scanner::default().chunk(data.as_bytes()).unwrap();
            assert_eq!(found.usage.map(|usage| usage.input_tokens), input_tokens, "{data}");
            assert_eq!(found.is_error, is_error, "{data}");
        }
    }
}

//! What the line needs to know of an answer, whole or one event of a stream.

use std::borrow::Cow;

use super::error::{JsonError, utf8};
use super::json_value::JsonValue;
use super::members::each_member;
use super::node::Node;
use super::price::Tier;
use super::raw_value::{RawDocument, RawValue, key_text};
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
    /// It is an error and no answer, whatever the status was: see [`is_error_answer`].
    pub is_error: bool,
    /// The tier that the vendor reports.
    pub tier: Option<Tier>,
    /// Its `service_tier` is a word that OpenAI's answers do not have.
    pub has_foreign_tier: bool,
    /// It has `choices`, and none in it.
    pub has_no_choices: bool,
}

/// The words of OpenAI's answers for a class of service, which its clients take alone.
const OPENAI_TIERS: [&str; 5] = ["auto", "default", "flex", "scale", "priority"];

impl AnswerOutline {
    /// Reads a whole JSON answer of chat, completions or embeddings. Its keys need not differ: that is for a
    /// provider to answer for, and the last one counts.
    ///
    /// # Errors
    /// [`JsonError::Invalid`], [`JsonError::NotAnObject`] or [`JsonError::TooDeep`].
    pub fn read(body: &[u8]) -> Result<Self, JsonError> {
        let mut outline = Self::default();
        let mut signs = ErrorSigns::default();
        read_members(body, |key, value| {
            signs.look_at(key, value);
            match key {
                "usage" => {
                    outline.usage = Usage::read(value);
                    outline.tier = tier_beside(value).or(outline.tier);
                }
                "service_tier" => {
                    let word = value.text();
                    outline.tier = word.as_deref().map(Tier::of_answer);
                    outline.has_foreign_tier = word.is_some_and(|it| !OPENAI_TIERS.contains(&&*it));
                }
                "choices" => outline.has_no_choices = value.is_array() && !value.is_filled(),
                "model" => outline.model = value.text().map(Cow::into_owned),
                _ => {}
            }
        })?;
        outline.is_error = signs.is_error();
        Ok(outline)
    }
}

/// Passes over the members of a body that has to be an object.
fn read_members(body: &[u8], mut read: impl FnMut(&str, RawValue<'_>)) -> Result<(), JsonError> {
    let text = utf8(body)?;
    let document = RawDocument::new(text);
    each_member(body, |walk, key| {
        let start = walk.position();
        read(&key_text(text, key), document.value(start));
        walk.jump(document.end_of(start).unwrap_or(start));
        Ok(())
    })
    .map_err(|refusal| JsonError::explain(body, refusal))
}

/// True for a whole answer that is an error, in any dialect: an `error`, choices that are null or one
/// of which failed, a `status` of `failed` or `cancelled`, a `type` or `object` of `error`, Amazon's
/// `__type`, or a message alone.
#[must_use]
pub fn is_error_answer(root: Node<'_>) -> bool {
    let mut signs = ErrorSigns::default();
    root.members().for_each(|(key, value)| signs.look_at(key, value));
    signs.is_error()
}

/// True for the data of a stream's event that is an error, in any dialect. Choices may be null there:
/// some providers report usage so.
#[must_use]
pub fn is_error_event(root: Node<'_>) -> bool {
    root.members().any(|(key, value)| {
        if key == "choices" { has_failed_choice(value) } else { is_error_member(key, value) }
    })
}

/// What the members of a whole answer say of an error.
#[derive(Default)]
struct ErrorSigns {
    is_reported: bool,
    /// A message for people, or an `error` without content.
    has_message: bool,
    /// An array or object that holds something, as every answer has one.
    has_parts: bool,
}

impl ErrorSigns {
    fn look_at<'a>(&mut self, key: &str, value: impl JsonValue<'a>) {
        if key == "choices" {
            self.is_reported |= value.is_null() || has_failed_choice(value);
            self.has_parts = true;
            return;
        }
        let is_over = || matches!(value.text().as_deref(), Some("failed" | "cancelled"));
        self.is_reported |= is_error_member(key, value) || key == "status" && is_over();
        if value.is_array() || value.is_object() {
            // A list of violations is a message.
            self.has_parts |= key != "detail" && value.is_filled();
            self.has_message |= matches!(key, "error" | "detail");
        } else if matches!(key, "message" | "Message" | "detail" | "error") {
            self.has_message |= value.text().is_some();
        }
    }

    fn is_error(&self) -> bool {
        self.is_reported || self.has_message && !self.has_parts
    }
}

/// True for a member of an answer or event that reports an error.
fn is_error_member<'a>(key: &str, value: impl JsonValue<'a>) -> bool {
    match key {
        "error" => value.is_filled() || value.flag() == Some(true),
        "type" | "object" => value.is_text("error"),
        // Cohere's; those of OpenAI's dialect stand in the choices.
        "finish_reason" => matches!(value.text().as_deref(), Some("ERROR" | "TIMEOUT")),
        "__type" => value.text().is_some(),
        "Output" => value.member("__type").is_some(),
        _ => false,
    }
}

/// True if one of the choices ended with an error, which relays report there.
fn has_failed_choice<'a>(choices: impl JsonValue<'a>) -> bool {
    choices.items().any(|choice| choice.members().any(|(key, value)| tells_failure(&key, value)))
}

/// True for a member of a choice that ended with an error: a `finish_reason` of OpenRouter and Mistral,
/// GLM, or servers which aborted (vLLM, SGLang), or an `error`.
fn tells_failure<'a>(key: &str, value: impl JsonValue<'a>) -> bool {
    match key {
        "finish_reason" => {
            matches!(value.text().as_deref(), Some("error" | "network_error" | "abort"))
        }
        "error" => value.is_filled(),
        _ => false,
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
    /// A choice shows something: content of any kind, or a reason to end.
    pub is_begun: bool,
    /// The stream failed after its status was sent: see [`is_error_event`].
    pub is_error: bool,
    /// The tier that the vendor reports.
    pub tier: Option<Tier>,
}

impl ChunkOutline {
    /// Reads the data of one event of a stream; `[DONE]` is not for this.
    ///
    /// # Errors
    /// [`JsonError::Invalid`], [`JsonError::NotAnObject`] or [`JsonError::TooDeep`].
    pub fn read(data: &[u8]) -> Result<Self, JsonError> {
        let mut outline = Self { choices_empty: true, ..Self::default() };
        read_members(data, |key, value| outline.take(key, value))?;
        Ok(outline)
    }

    fn take(&mut self, key: &str, value: RawValue<'_>) {
        match key {
            "usage" => {
                self.usage = Usage::read(value).or(self.usage);
                self.tier = tier_beside(value).or(self.tier);
            }
            "service_tier" => self.tier = value.text().as_deref().map(Tier::of_answer),
            "error" | "type" | "object" => self.is_error |= is_error_member(key, value),
            "choices" => {
                self.choices_empty = !value.is_filled();
                for (key, value) in value.items().flat_map(JsonValue::members) {
                    self.take_of_choice(&key, value);
                }
            }
            holder if USAGE_HOLDERS.contains(&holder) => {
                let usage = value.member("usage");
                self.usage = self.usage.or(usage.and_then(Usage::read));
                let tier = tier_beside(value).or(usage.and_then(tier_beside));
                self.tier = tier.or(self.tier);
            }
            _ => {}
        }
    }

    /// A member of a choice. A choice has begun with text, a reason to end, or a delta with more than a role:
    /// vendors add kinds of content faster than they can be listed.
    fn take_of_choice(&mut self, key: &str, value: RawValue<'_>) {
        self.is_error |= tells_failure(key, value);
        match key {
            "text" => {
                let is_filled = value.is_filled();
                self.has_content |= is_filled;
                self.is_begun |= is_filled;
            }
            "finish_reason" => self.is_begun |= value.is_filled(),
            "delta" | "message" => {
                for (name, _) in value.members().filter(|(_, part)| part.is_filled()) {
                    self.has_content |= key == "delta" && CONTENT.contains(&&*name);
                    self.is_begun |= name != "role";
                }
            }
            _ => {}
        }
    }
}

/// The tier in an object: OpenAI reports it in the answer, Anthropic in the usage.
fn tier_beside<'a>(object: impl JsonValue<'a>) -> Option<Tier> {
    object.member("service_tier")?.text().as_deref().map(Tier::of_answer)
}

#[cfg(test)]
mod tests {
    use super::super::Scanner;
    use super::*;

    #[test]
    fn response_outline_is_read() {
        let body = br#"{"id":"x","model":"gpt-4o-2024","choices":[{"message":{"content":"hi"}}],
            "usage":{"prompt_tokens":2,"completion_tokens":1}}"#;
        let expected = Usage { input_tokens: 2, output_tokens: 1, ..Usage::default() };
        let found = AnswerOutline::read(body).unwrap();
        let model = Some("gpt-4o-2024".to_owned());
        assert_eq!(
            found,
            AnswerOutline { usage: Some(expected), model, ..AnswerOutline::default() }
        );
        for (body, is_error) in [
            (r#"{"error":{"message":"no"}}"#, true),
            (r#"{"error":"no"}"#, true),
            (r#"{"error":true}"#, true),
            (r#"{"error":{}}"#, true),
            (r#"{"error":null}"#, false),
            (r#"{"error":false}"#, false),
            (r#"{"error":null,"choices":[{"message":{"content":"hi"}}]}"#, false),
            (r#"{"error":"","data":[{"embedding":[1]}]}"#, false),
            (r#"{"choices":null}"#, true),
            (r#"{"choices":[]}"#, false),
            (r#"{"choices":[{"error":1}]}"#, false),
            (r#"{"choices":[{"error":{"code":429}}]}"#, true),
            (r#"{"choices":[{"message":{"content":"h"},"finish_reason":"error"}]}"#, true),
            (r#"{"choices":[{"finish_reason":"stop","error":null}]}"#, false),
            (r#"{"choices":[{"message":{"content":"h"},"finish_reason":"network_error"}]}"#, true),
            (r#"{"choices":[{"message":{"content":"h"},"finish_reason":"abort"}]}"#, true),
            (r#"{"detail":[{"loc":["body","n"],"msg":"no"}]}"#, true),
            (r#"{"status":"failed","output":[1]}"#, true),
            (r#"{"status":"incomplete","output":[1]}"#, false),
            (r#"{"type":"error"}"#, true),
            (r#"{"type":"message","content":[{"type":"error"}]}"#, false),
            (r#"{"object":"error","message":"no"}"#, true),
            (r#"{"message":{"content":[1]},"finish_reason":"ERROR"}"#, true),
            (r#"{"message":{"content":[1]},"finish_reason":"COMPLETE"}"#, false),
            (r#"{"__type":"ThrottlingException"}"#, true),
            (r#"{"Output":{"__type":"x#InternalFailure"},"Version":"1.0"}"#, true),
            (r#"{"output":{"message":{"content":[]}}}"#, false),
            (r#"{"message":"slow down"}"#, true),
            (r#"{"detail":"slow down","request_id":"1"}"#, true),
            (r#"{"message":"ok","results":[{"index":0}]}"#, false),
            (r#"{"request_id":"deferred"}"#, false),
        ] {
            let found = AnswerOutline::read(body.as_bytes()).unwrap();
            assert_eq!(found.is_error, is_error, "{body}");
            let read = Scanner::default().read(body.as_bytes(), is_error_answer);
            assert_eq!(read, Ok(is_error), "{body}");
        }
        assert_eq!(AnswerOutline::read(b"[]"), Err(super::super::JsonError::NotAnObject));
    }

    #[test]
    fn chunk_content_is_detected() {
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
            let found = ChunkOutline::read(data.as_bytes()).unwrap();
            assert_eq!(
                (found.has_content, found.choices_empty),
                (has_content, choices_empty),
                "{data}"
            );
        }
    }

    #[test]
    fn stream_starts_are_read() {
        for (choices, is_begun) in [
            (r#"[{"delta":{"role":"assistant","content":""},"finish_reason":null}]"#, false),
            (r#"[{"delta":{"role":"assistant","content":null,"tool_calls":[]}}]"#, false),
            (r#"[{"delta":{"content":"hi"}}]"#, true),
            (r#"[{"delta":{"audio":{"data":"x"}}}]"#, true),
            (r#"[{"delta":{}},{"delta":{"refusal":"no"}}]"#, true),
            (r#"[{"delta":{},"finish_reason":"stop"}]"#, true),
            (r#"[{"text":"hi"}]"#, true),
            (r#"[{"text":"","finish_reason":null}]"#, false),
            (r#"["delta",1,null]"#, false),
            ("[]", false),
            ("null", false),
        ] {
            let data = format!(r#"{{"choices":{choices}}}"#);
            let found = ChunkOutline::read(data.as_bytes()).unwrap();
            assert_eq!(found.is_begun, is_begun, "{data}");
        }
    }

    #[test]
    fn service_tiers_are_replaced() {
        for (body, tier) in [
            (r#"{"service_tier":"flex","usage":{"prompt_tokens":3}}"#, Some(Tier::Flex)),
            (r#"{"usage":{"input_tokens":3,"service_tier":"priority"}}"#, Some(Tier::Priority)),
            (r#"{"service_tier":"default"}"#, Some(Tier::Standard)),
            (r#"{"service_tier":null,"usage":{"prompt_tokens":3}}"#, None),
            (r#"{"usage":null}"#, None),
        ] {
            assert_eq!(AnswerOutline::read(body.as_bytes()).unwrap().tier, tier, "{body}");
            assert_eq!(ChunkOutline::read(body.as_bytes()).unwrap().tier, tier, "{body}");
            for holder in USAGE_HOLDERS {
                let data = format!(r#"{{"{holder}":{body}}}"#);
                assert_eq!(ChunkOutline::read(data.as_bytes()).unwrap().tier, tier, "{data}");
            }
        }
    }

    #[test]
    fn chunk_usage_and_errors_are_read() {
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
            (r#"{"choices":null}"#, None, false),
            (r#"{"choices":[{"delta":{},"finish_reason":"error"}]}"#, None, true),
            (r#"{"choices":[{"error":{"code":502},"finish_reason":null}]}"#, None, true),
            (r#"{"object":"error","message":"no"}"#, None, true),
        ] {
            let found = ChunkOutline::read(data.as_bytes()).unwrap();
            assert_eq!(found.usage.map(|usage| usage.input_tokens), input_tokens, "{data}");
            assert_eq!(found.is_error, is_error, "{data}");
            let read = Scanner::default().read(data.as_bytes(), is_error_event);
            assert_eq!(read, Ok(is_error), "{data}");
        }
    }
}

//! The events at the start of a stream: until its first content, another target can still be tried.
//!
//! A role, `message_start` or a ping shows nothing. Content of any kind, even an unknown one, shows
//! that the response is good, and so does a finish reason. Events are classified by as few bytes as
//! possible, since every stream passes here.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::answer_failure::error_in_answer;
use super::codec::ProviderCodec;
use super::embedded_error::UNKNOWN_STATUS;
use super::openai_chat::OpenaiChat;
use crate::llm::{ApiError, Chunk, Content, Dialect, Node, Scanner, is_error_event};

/// The classification of an event before the first content.
#[derive(Clone, Debug, PartialEq)]
pub enum OpeningEvent {
    /// No content yet.
    Preamble,
    /// Content, or a finish reason.
    Content,
    /// The terminator: nothing follows.
    End,
    /// The stream has failed.
    Error(ApiError),
}

/// Like [`OpeningEvent`] without the error, which costs more to read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sign {
    Preamble,
    Content,
    End,
    Error,
}

/// Classifies an event of a stream in `dialect` before its content. `data` is not empty.
pub fn opening_event(
    dialect: Dialect,
    name: Option<&str>,
    data: &[u8],
    scanner: &mut Scanner,
) -> OpeningEvent {
    let sign = match by_name(dialect, name).or_else(|| by_bytes(dialect, data)) {
        Some(sign) => sign,
        // Whether the client can use it is decided elsewhere.
        None => scanner.read(data, |root| sign(dialect, name, root)).unwrap_or(Sign::Content),
    };
    match sign {
        Sign::Preamble => OpeningEvent::Preamble,
        Sign::Content => OpeningEvent::Content,
        Sign::End => OpeningEvent::End,
        Sign::Error => OpeningEvent::Error(error(dialect, name, data, scanner)),
    }
}

/// Classifies a chunk of a decoded stream before its content.
#[must_use]
pub fn opening_chunk(chunk: &Chunk) -> OpeningEvent {
    match chunk {
        Chunk::Error(error) => OpeningEvent::Error(error.clone()),
        Chunk::BlockDelta { .. } | Chunk::Logprobs { .. } | Chunk::Finish { .. } => {
            OpeningEvent::Content
        }
        // Text and reasoning open empty; all else opens with content.
        Chunk::BlockStart { content: Content::Text(_) | Content::Reasoning(_), .. } => {
            OpeningEvent::Preamble
        }
        Chunk::BlockStart { .. } => OpeningEvent::Content,
        Chunk::Done => OpeningEvent::End,
        Chunk::Start(_) | Chunk::BlockStop { .. } | Chunk::Usage(_) | Chunk::Ping => {
            OpeningEvent::Preamble
        }
    }
}

/// Classifies an event by its name, if that is sufficient.
fn by_name(dialect: Dialect, name: Option<&str>) -> Option<Sign> {
    let name = name?;
    match dialect {
        Dialect::AnthropicMessages => match name {
            "message_start" | "ping" => Some(Sign::Preamble),
            "content_block_delta" => Some(Sign::Content),
            "message_stop" => Some(Sign::End),
            _ => None,
        },
        Dialect::OpenaiResponses => match name {
            "response.created" | "response.in_progress" | "response.queued" => Some(Sign::Preamble),
            "response.content_part.added" | "keepalive" => Some(Sign::Preamble),
            "response.output_text.delta" | "response.completed" => Some(Sign::Content),
            _ => None,
        },
        Dialect::BedrockConverse => match name {
            "messageStart" | "metadata" => Some(Sign::Preamble),
            "contentBlockDelta" | "contentBlockStop" | "messageStop" => Some(Sign::Content),
            _ => None,
        },
        _ => None,
    }
}

/// Classifies an event by its bytes, without parsing.
fn by_bytes(dialect: Dialect, data: &[u8]) -> Option<Sign> {
    const WORDS: &[u8] = b"\"content\":\"";
    static WORDS_FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(WORDS));
    if data.trim_ascii() == b"[DONE]" {
        return Some(Sign::End);
    }
    let at = WORDS_FINDER.find(data).filter(|_| dialect == Dialect::OpenaiChat)?;
    // Anything except the end of an empty text.
    let is_filled = data.get(at + WORDS.len()).is_some_and(|byte| *byte != b'"');
    (is_filled && !crate::llm::may_carry_error(data)).then_some(Sign::Content)
}

fn sign(dialect: Dialect, name: Option<&str>, root: Node<'_>) -> Sign {
    if name == Some("error") || is_error_event(root) {
        return Sign::Error;
    }
    let kind = Some(root.text_of("type")).filter(|kind| !kind.is_empty()).or(name);
    match dialect {
        Dialect::AnthropicMessages => sign_of_messages(kind.unwrap_or_default(), root),
        Dialect::OpenaiResponses => sign_of_responses(kind.unwrap_or_default(), root),
        Dialect::Gemini => sign_of_gemini(root),
        Dialect::BedrockConverse => sign_of_bedrock(name.unwrap_or_default(), root),
        Dialect::CohereChat => sign_of_cohere(kind.unwrap_or_default(), root),
        _ => sign_of_chat(root),
    }
}

fn sign_of_chat(root: Node<'_>) -> Sign {
    let is_filled =
        |value: Node<'_>| value.text().is_some_and(|text| !text.is_empty()) || value.count() > 0;
    let is_begun = |choice: Node<'_>| {
        let delta = choice.get("delta").into_iter().flat_map(Node::members);
        let mut beside_role = delta.filter(|(key, _)| *key != "role");
        beside_role.any(|(_, value)| is_filled(value))
            || ["text", "finish_reason"].iter().any(|key| choice.get(key).is_some_and(is_filled))
    };
    let mut choices = root.get("choices").into_iter().flat_map(Node::items);
    if choices.any(is_begun) { Sign::Content } else { Sign::Preamble }
}

fn sign_of_messages(kind: &str, root: Node<'_>) -> Sign {
    let block = || root.get("content_block").map(|block| block.text_of("type")).unwrap_or_default();
    match kind {
        "message_start" | "ping" | "content_block_stop" => Sign::Preamble,
        "content_block_start" if matches!(block(), "text" | "thinking") => Sign::Preamble,
        "message_stop" => Sign::End,
        // Without a stop reason it only has the usage.
        "message_delta" if root.get("delta").is_none_or(|it| it.get("stop_reason").is_none()) => {
            Sign::Preamble
        }
        _ => Sign::Content,
    }
}

fn sign_of_responses(kind: &str, root: Node<'_>) -> Sign {
    let item = || root.get("item").map(|item| item.text_of("type")).unwrap_or_default();
    match kind.strip_prefix("response.").unwrap_or(kind) {
        "failed" | "cancelled" => Sign::Error,
        "created" | "in_progress" | "queued" | "content_part.added" | "keepalive" => Sign::Preamble,
        "output_item.added" if matches!(item(), "message" | "reasoning") => Sign::Preamble,
        _ => Sign::Content,
    }
}

fn sign_of_gemini(root: Node<'_>) -> Sign {
    let has_parts = |candidate: Node<'_>| {
        let parts = candidate.get("content").and_then(|content| content.get("parts"));
        parts.is_some_and(|parts| parts.count() > 0) || candidate.get("finishReason").is_some()
    };
    let is_blocked = root.get("promptFeedback").is_some_and(|it| it.get("blockReason").is_some());
    let mut candidates = root.get("candidates").into_iter().flat_map(Node::items);
    if is_blocked || candidates.any(has_parts) { Sign::Content } else { Sign::Preamble }
}

fn sign_of_bedrock(name: &str, root: Node<'_>) -> Sign {
    match name {
        "contentBlockStart" if root.get("start").is_none_or(|start| start.count() == 0) => {
            Sign::Preamble
        }
        // Any other name is an exception, or unknown.
        "contentBlockStart" => Sign::Content,
        _ if name.ends_with("Exception") => Sign::Error,
        _ => Sign::Preamble,
    }
}

fn sign_of_cohere(kind: &str, root: Node<'_>) -> Sign {
    let delta = root.get("delta");
    match kind {
        "" => Sign::Error,
        "message-start" | "content-start" => Sign::Preamble,
        "message-end" if delta.is_none_or(is_error_event) => Sign::Error,
        _ => Sign::Content,
    }
}

/// The error of an event, as its dialect's decoder reads it.
fn error(dialect: Dialect, name: Option<&str>, data: &[u8], scanner: &mut Scanner) -> ApiError {
    let codec = super::provider_codec(dialect).unwrap_or(&OpenaiChat as &dyn ProviderCodec);
    let mut chunks = Vec::new();
    let read = codec.stream_decoder().event(name, data, scanner, &mut chunks);
    let error = chunks.into_iter().filter(|_| read.is_ok()).find_map(|chunk| match chunk {
        Chunk::Error(error) => Some(error),
        _ => None,
    });
    // The decoder of one dialect does not recognize errors of another.
    let by_any = || scanner.read(data, |root| error_in_answer(dialect, root)).ok();
    error.or_else(by_any).unwrap_or_else(|| codec.read_error(UNKNOWN_STATUS, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREAMBLE: u16 = 0;
    const CONTENT: u16 = 1;
    const END: u16 = 2;

    /// `expected` is one of the above, or the status of an error.
    fn check(dialect: Dialect, name: Option<&str>, data: &str, expected: u16) {
        let shown = match opening_event(dialect, name, data.as_bytes(), &mut Scanner::default()) {
            OpeningEvent::Preamble => PREAMBLE,
            OpeningEvent::Content => CONTENT,
            OpeningEvent::End => END,
            OpeningEvent::Error(error) => error.status,
        };
        assert_eq!(shown, expected, "{dialect:?} {name:?} {data}");
    }

    #[test]
    fn first_content_of_chats_and_completions() {
        for (data, expected) in [
            (
                r#"{"choices":[{"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#,
                PREAMBLE,
            ),
            (r#"{"choices":[],"prompt_filter_results":[{"index":0}]}"#, PREAMBLE),
            (r#"{"choices":null,"usage":{"prompt_tokens":3}}"#, PREAMBLE),
            (r#"{"choices":[{"text":"","index":0}]}"#, PREAMBLE),
            (r#"{"choices":[{"delta":{"content":"Hi"}}]}"#, CONTENT),
            (r#"{"choices":[{"delta":{"content": "Hi"}}]}"#, CONTENT),
            (r#"{"choices":[{"delta":{"content":"\\"}}]}"#, CONTENT),
            (r#"{"choices":[{"delta":{"reasoning_content":"Hm"}}]}"#, CONTENT),
            (r#"{"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}"#, CONTENT),
            (r#"{"choices":[{"delta":{"audio":{"id":"a"}}}]}"#, CONTENT),
            (r#"{"choices":[{"delta":{"content":""},"finish_reason":"stop"}]}"#, CONTENT),
            (r#"{"choices":[{"text":"Hi"}]}"#, CONTENT),
            ("what is this", CONTENT),
            ("[DONE]", END),
            (r#"{"error":{"message":"m","type":"insufficient_quota"}}"#, 429),
            (r#"{"error":{"message":"m","code":503},"choices":[{"delta":{"content":"x"}}]}"#, 503),
            (r#"{"choices":[{"delta":{"content":""},"finish_reason":"error"}]}"#, 502),
            (r#"{"choices":[{"error":{"code":429,"message":"m"}}]}"#, 429),
            (r#"{"object":"error","message":"m","code":400}"#, 400),
        ] {
            check(Dialect::OpenaiChat, None, data, expected);
        }
        check(Dialect::OpenaiChat, Some("error"), r#"{"message":"m","code":429}"#, 429);
    }

    #[test]
    fn first_content_of_other_dialects() {
        let messages = Dialect::AnthropicMessages;
        for (data, expected) in [
            (r#"{"type":"message_start","message":{"content":[]}}"#, PREAMBLE),
            (r#"{"type":"ping"}"#, PREAMBLE),
            (
                r#"{"type":"content_block_start","content_block":{"type":"text","text":""}}"#,
                PREAMBLE,
            ),
            (r#"{"type":"content_block_start","content_block":{"type":"tool_use"}}"#, CONTENT),
            (r#"{"type":"content_block_delta","delta":{"type":"text_delta"}}"#, CONTENT),
            (r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#, CONTENT),
            (r#"{"type":"message_delta","delta":{"stop_reason":null}}"#, PREAMBLE),
            (r#"{"type":"message_stop"}"#, END),
            (r#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#, 529),
            (r#"{"error":{"message":"m"}}"#, 502),
        ] {
            check(messages, None, data, expected);
            let name = data.split('"').nth(3).filter(|_| data.starts_with(r#"{"type""#));
            check(messages, name, data, expected);
        }
        for (data, expected) in [
            (
                r#"{"type":"response.created","response":{"status":"in_progress","error":null}}"#,
                PREAMBLE,
            ),
            (r#"{"type":"response.output_item.added","item":{"type":"message"}}"#, PREAMBLE),
            (r#"{"type":"response.output_item.added","item":{"type":"function_call"}}"#, CONTENT),
            (r#"{"type":"response.output_text.delta","delta":"x"}"#, CONTENT),
            (r#"{"type":"response.completed","response":{"output":[]}}"#, CONTENT),
            (
                r#"{"type":"response.failed","response":{"error":{"code":"rate_limit_exceeded"}}}"#,
                429,
            ),
            (r#"{"type":"error","code":"server_error","message":"m"}"#, 500),
        ] {
            check(Dialect::OpenaiResponses, None, data, expected);
            check(Dialect::OpenaiResponses, data.split('"').nth(3), data, expected);
        }
        for (data, expected) in [
            (r#"{"usageMetadata":{"promptTokenCount":3}}"#, PREAMBLE),
            (r#"{"candidates":[{"content":{"parts":[{"text":"x"}]}}]}"#, CONTENT),
            (r#"{"candidates":[{"finishReason":"STOP"}]}"#, CONTENT),
            (r#"{"promptFeedback":{"blockReason":"SAFETY"}}"#, CONTENT),
            (r#"{"error":{"code":503,"status":"UNAVAILABLE"}}"#, 503),
            (r#"{"error":{"status":"RESOURCE_EXHAUSTED"}}"#, 429),
        ] {
            check(Dialect::Gemini, None, data, expected);
        }
        for (name, data, expected) in [
            ("messageStart", r#"{"role":"assistant"}"#, PREAMBLE),
            ("contentBlockStart", r#"{"start":{"toolUse":{"name":"f"}}}"#, CONTENT),
            ("contentBlockDelta", r#"{"delta":{"text":"x"}}"#, CONTENT),
            ("throttlingException", r#"{"message":"m"}"#, 429),
        ] {
            check(Dialect::BedrockConverse, Some(name), data, expected);
        }
        for (data, expected) in [
            (r#"{"type":"message-start","id":"1"}"#, PREAMBLE),
            (r#"{"type":"content-delta","delta":{"message":{}}}"#, CONTENT),
            (r#"{"type":"message-end","delta":{"finish_reason":"COMPLETE"}}"#, CONTENT),
            (r#"{"type":"message-end","delta":{"finish_reason":"ERROR"}}"#, 502),
            (r#"{"message":"m"}"#, 502),
        ] {
            check(Dialect::CohereChat, None, data, expected);
        }
    }
}

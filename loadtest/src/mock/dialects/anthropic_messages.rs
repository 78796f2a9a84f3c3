//! The messages of Anthropic's dialect: who may say what, what must follow what, and proofs of earlier thoughts.

use serde_json::{Value, json};

use super::chat_request::{ChatRequest, Part, Role};
use super::reading::{Node, Refusal, is_name};
use super::script::{is_base64, signature};

/// What a redacted thought is sealed by.
pub const HIDDEN_THINKING: &str = "a thought that is not told";

const IMAGE_TYPES: &[&str] = &["image/jpeg", "image/png", "image/gif", "image/webp"];

/// Reads the messages into the conversation; `thinks` if thinking is enabled with a budget.
pub fn read_messages(messages: &Node, thinks: bool, chat: &mut ChatRequest) -> Result<(), Refusal> {
    let items = messages.items()?;
    if items.is_empty() {
        return Err(messages.broken("at least one message is required"));
    }
    let mut last_role = "";
    // Calls of the message before, which the next must answer.
    let mut open: Vec<String> = Vec::new();
    for (index, message) in items.iter().enumerate() {
        message.only(&["role", "content"])?;
        let role = message.need("role")?.one_of(&["user", "assistant", "system"])?;
        check_order(message, role, last_role)?;
        let is_last = index + 1 == items.len();
        match role {
            "system" => chat.system.extend(texts(&message.need("content")?)?),
            "user" => {
                let parts = parts(&message.need("content")?, role)?;
                check_results(index, message, &open, &parts)?;
                open.clear();
                chat.push(Role::User, parts);
            }
            _ => {
                if !open.is_empty() {
                    return Err(unanswered(index, &open));
                }
                let content = message.need("content")?;
                let parts = assistant_parts(&content, is_last)?;
                open.extend(parts.iter().filter_map(|part| match part {
                    Part::Call { id, .. } => Some(id.clone()),
                    _ => None,
                }));
                chat.push(Role::Assistant, parts);
            }
        }
        if role != "system" {
            last_role = role;
        }
    }
    if !open.is_empty() {
        return Err(unanswered(items.len(), &open));
    }
    if thinks { check_thoughts_first(&items) } else { Ok(()) }
}

fn check_order(message: &Node, role: &str, last_role: &str) -> Result<(), Refusal> {
    match (last_role, role) {
        ("", "assistant") => {
            Err(Refusal::rule("messages: first message must use the \"user\" role"))
        }
        ("" | "assistant", "system") => Err(message.broken(
            "Unexpected role \"system\": use the top-level `system` parameter, or say it after a user turn",
        )),
        (last, role) if last == role => Err(Refusal::rule(format!(
            "messages: roles must alternate between \"user\" and \"assistant\", but found multiple \
             \"{role}\" roles in a row"
        ))),
        _ => Ok(()),
    }
}

fn unanswered(index: usize, open: &[String]) -> Refusal {
    Refusal::rule(format!(
        "messages.{}: `tool_use` ids were found without `tool_result` blocks immediately after: {}. \
         Each `tool_use` block must have a corresponding `tool_result` block in the next message.",
        index.saturating_sub(1),
        open.join(", ")
    ))
}

/// Every call of the message before is answered once, before anything else follows.
fn check_results(
    index: usize,
    message: &Node,
    open: &[String],
    parts: &[Part],
) -> Result<(), Refusal> {
    let mut left = open.to_vec();
    let mut has_other_content = false;
    for (at, part) in parts.iter().enumerate() {
        let Part::Result { id, .. } = part else {
            has_other_content = true;
            continue;
        };
        match left.iter().position(|open| open == id) {
            Some(_) if has_other_content => break,
            Some(found) => {
                left.remove(found);
            }
            None => {
                return Err(Refusal::rule(format!(
                    "{}.content.{at}: unexpected `tool_use_id` found in `tool_result` blocks: {id}. \
                     Each `tool_result` block must have a corresponding `tool_use` block in the \
                     previous message.",
                    message.path
                )));
            }
        }
    }
    if left.is_empty() { Ok(()) } else { Err(unanswered(index, &left)) }
}

/// With thinking enabled, the assistant's turn that a tool has answered begins with its thought.
fn check_thoughts_first(items: &[Node]) -> Result<(), Refusal> {
    let blocks = |message: &Node| message.value["content"].as_array().cloned().unwrap_or_default();
    let holds = |message: &Node, kind: &str| {
        blocks(message).iter().any(|block| block["type"] == json!(kind))
    };
    let answers = items.last().is_some_and(|last| holds(last, "tool_result"));
    let before = items.iter().rfind(|message| message.value["role"] == json!("assistant"));
    let Some(before) = before.filter(|message| answers && holds(message, "tool_use")) else {
        return Ok(());
    };
    let first = blocks(before).first().map(|block| block["type"].clone()).unwrap_or_default();
    if first == json!("thinking") || first == json!("redacted_thinking") {
        return Ok(());
    }
    Err(Refusal::rule(format!(
        "{}.content.0.type: Expected `thinking` or `redacted_thinking`, but found `{}`. When \
         `thinking` is enabled, a final `assistant` message must start with a thinking block.",
        before.path,
        first.as_str().unwrap_or_default()
    )))
}

fn assistant_parts(content: &Node, is_last: bool) -> Result<Vec<Part>, Refusal> {
    let is_empty = match content.value {
        Value::Array(blocks) => blocks.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    };
    if is_last && is_empty {
        return Ok(Vec::new());
    }
    let parts = parts(content, "assistant")?;
    let trails =
        matches!(parts.last(), Some(Part::Text(text)) if text.ends_with(char::is_whitespace));
    if is_last && trails {
        return Err(Refusal::rule(
            "messages: final assistant content cannot end with trailing whitespace",
        ));
    }
    Ok(parts)
}

fn parts(content: &Node, role: &str) -> Result<Vec<Part>, Refusal> {
    if content.value.is_string() {
        return Ok(vec![Part::Text(filled(content)?)]);
    }
    let blocks = content.items()?;
    if blocks.is_empty() {
        return Err(Refusal::rule(format!(
            "{}: all messages must have non-empty content except for the optional final assistant message",
            content.path
        )));
    }
    blocks.iter().map(|block| part(block, role)).collect()
}

fn part(block: &Node, role: &str) -> Result<Part, Refusal> {
    let kinds: &[&str] = match role {
        "user" => {
            &["text", "image", "document", "search_result", "tool_result", "container_upload"]
        }
        _ => &[
            "text",
            "thinking",
            "redacted_thinking",
            "tool_use",
            "server_tool_use",
            "web_search_tool_result",
            "code_execution_tool_result",
        ],
    };
    match block.need("type")?.one_of(kinds)? {
        "text" => {
            block.only(&["type", "text", "cache_control", "citations"])?;
            Ok(Part::Text(filled(&block.need("text")?)?))
        }
        "image" => {
            block.only(&["type", "source", "cache_control", "transformations"])?;
            source(&block.need("source")?, IMAGE_TYPES)
        }
        "document" => {
            block.only(&["type", "source", "cache_control", "citations", "context", "title"])?;
            source(&block.need("source")?, &["application/pdf", "text/plain"])
        }
        "thinking" => thought(block),
        "redacted_thinking" => {
            block.only(&["type", "data"])?;
            let data = block.need("data")?;
            if data.text()? != signature(HIDDEN_THINKING) {
                return Err(block.broken("Invalid `data` in `redacted_thinking` block"));
            }
            Ok(Part::Thought(String::new()))
        }
        "tool_use" => call(block),
        "tool_result" => result(block),
        other => Ok(Part::Media { media_type: other.to_owned(), data: String::new() }),
    }
}

fn thought(block: &Node) -> Result<Part, Refusal> {
    block.only(&["type", "thinking", "signature"])?;
    let (text, sealed) = (block.need("thinking")?.text()?, block.need("signature")?.text()?);
    if sealed != signature(text) {
        return Err(block.broken("Invalid `signature` in `thinking` block"));
    }
    Ok(Part::Thought(text.to_owned()))
}

fn call(block: &Node) -> Result<Part, Refusal> {
    block.only(&["type", "id", "name", "input", "cache_control", "caller", "toolset_name"])?;
    let id = block.need("id")?;
    if !is_name(id.text()?, 256, "_-") {
        return Err(id.broken("String should match pattern '^[a-zA-Z0-9_-]+$'"));
    }
    let input = block.need("input")?;
    input.object()?;
    Ok(Part::Call {
        id: id.text()?.to_owned(),
        name: block.need("name")?.text()?.to_owned(),
        arguments: input.value.clone(),
    })
}

fn result(block: &Node) -> Result<Part, Refusal> {
    block.only(&["type", "tool_use_id", "content", "is_error", "cache_control", "toolset_name"])?;
    let id = block.need("tool_use_id")?;
    if !is_name(id.text()?, 256, "_-") {
        return Err(id.broken("String should match pattern '^[a-zA-Z0-9_-]+$'"));
    }
    let is_error = block.get("is_error").map_or(Ok(false), |flag| flag.flag())?;
    let mut text = String::new();
    if let Some(content) = block.get("content") {
        match content.value {
            Value::String(whole) => text.push_str(whole),
            _ => {
                for part in content.items()? {
                    let kinds = &["text", "image", "document", "search_result", "tool_reference"];
                    match part.need("type")?.one_of(kinds)? {
                        "text" => text.push_str(&filled(&part.need("text")?)?),
                        "image" => drop(source(&part.need("source")?, IMAGE_TYPES)?),
                        _ => {}
                    }
                }
            }
        }
    }
    Ok(Part::Result { id: id.text()?.to_owned(), text, is_error })
}

fn source(source: &Node, media_types: &[&str]) -> Result<Part, Refusal> {
    let (media_type, data) =
        match source.need("type")?.one_of(&["base64", "url", "file", "text", "content"])? {
            "base64" => {
                let data = source.need("data")?;
                let media_type = source.need("media_type")?.one_of(media_types)?;
                if !is_base64(data.text()?) {
                    return Err(data.broken("invalid base64 data"));
                }
                (media_type, data.text()?)
            }
            "text" => ("text/plain", source.need("data")?.text()?),
            "url" => ("*/*", source.need("url")?.text()?),
            "file" => ("file", source.need("file_id")?.text()?),
            _ => {
                source.need("content")?;
                ("content", "")
            }
        };
    Ok(Part::Media { media_type: media_type.to_owned(), data: data.to_owned() })
}

/// A string or blocks of text.
pub fn texts(content: &Node) -> Result<Vec<String>, Refusal> {
    if let Value::String(text) = content.value {
        return Ok(vec![text.clone()]);
    }
    let text = |block: Node| {
        block.only(&["type", "text", "cache_control", "citations"])?;
        block.need("type")?.one_of(&["text"])?;
        filled(&block.need("text")?)
    };
    content.items()?.into_iter().map(text).collect()
}

/// A text that is not blank.
fn filled(text: &Node) -> Result<String, Refusal> {
    match text.text()? {
        "" => Err(Refusal::rule("messages: text content blocks must be non-empty")),
        text if text.trim().is_empty() => {
            Err(Refusal::rule("messages: text content blocks must contain non-whitespace text"))
        }
        text => Ok(text.to_owned()),
    }
}

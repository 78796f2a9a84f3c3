//! The messages of a chat completion, held to OpenAI's order of calls and results.

use serde_json::{Value, json};

use super::chat_request::{ChatRequest, Part, Role};
use super::path::OpenAiPlace;
use super::reading::{Node, Refusal};
use super::script::is_base64;

const ROLES: &[&str] = &["system", "assistant", "user", "function", "tool", "developer"];

/// The model that the body names, or that stands in the path.
pub fn model(place: &OpenAiPlace, root: &Node) -> Result<String, Refusal> {
    match place {
        OpenAiPlace::Azure(deployment) => Ok(deployment.clone()),
        _ => Ok(root.need("model")?.text()?.to_owned()),
    }
}

/// Reads the messages and holds them to the order of calls and results.
pub fn read_messages(messages: &[Node], chat: &mut ChatRequest) -> Result<(), Refusal> {
    // Ids of the last message's calls that have no result yet.
    let mut open: Vec<String> = Vec::new();
    let mut may_answer_tools = false;
    for message in messages {
        let role_node = message.need("role")?;
        let role = role_node.one_of(ROLES)?;
        if role == "tool" {
            let id = message.need("tool_call_id")?.text()?;
            if !may_answer_tools {
                return Err(role_node
                    .broken("messages with role 'tool' must follow a message with 'tool_calls'."));
            }
            let Some(at) = open.iter().position(|open| open == id) else {
                return Err(message.broken(format!("no earlier call has the 'tool_call_id' {id}")));
            };
            open.remove(at);
            let text = texts(&message.need("content")?, &["text"])?.join("");
            let result = Part::Result { id: id.to_owned(), text, is_error: false };
            chat.push(Role::User, vec![result]);
            continue;
        }
        if !open.is_empty() {
            return Err(unanswered(message, &open));
        }
        may_answer_tools = false;
        match role {
            "system" | "developer" => {
                chat.system.extend(texts(&message.need("content")?, &["text"])?);
            }
            "user" => chat.push(Role::User, user_parts(&message.need("content")?)?),
            "assistant" => {
                let parts = assistant_parts(message)?;
                open = parts.iter().filter_map(call_of).collect();
                may_answer_tools = !open.is_empty();
                chat.push(Role::Assistant, parts);
            }
            _ => chat.push(Role::User, Vec::new()),
        }
    }
    match messages.last() {
        Some(last) if !open.is_empty() => Err(unanswered(last, &open)),
        _ => Ok(()),
    }
}

fn unanswered(message: &Node, open: &[String]) -> Refusal {
    message.broken(format!(
        "An assistant message with 'tool_calls' must be followed by tool messages for each 'tool_call_id'; \
         without one are: {}",
        open.join(", ")
    ))
}

fn call_of(part: &Part) -> Option<String> {
    match part {
        Part::Call { id, .. } => Some(id.clone()),
        _ => None,
    }
}

/// Content that is a string or blocks of text.
fn texts(content: &Node, kinds: &[&str]) -> Result<Vec<String>, Refusal> {
    if let Value::String(text) = content.value {
        return Ok(vec![text.clone()]);
    }
    let text = |block: Node| {
        let kind = block.need("type")?.one_of(kinds)?;
        Ok(block.need(kind)?.text()?.to_owned())
    };
    content.items()?.into_iter().map(text).collect()
}

fn user_parts(content: &Node) -> Result<Vec<Part>, Refusal> {
    if let Value::String(text) = content.value {
        return Ok(vec![Part::Text(text.clone())]);
    }
    let blocks = content.items()?;
    if blocks.is_empty() {
        return Err(content.broken("expected a string or a non-empty array of blocks"));
    }
    blocks.iter().map(user_part).collect()
}

fn user_part(block: &Node) -> Result<Part, Refusal> {
    let kind = block.need("type")?;
    Ok(match kind.one_of(&["text", "image_url", "input_audio", "file"])? {
        "text" => Part::Text(block.need("text")?.text()?.to_owned()),
        "image_url" => {
            let url = block.need("image_url")?.need("url")?;
            media(&url, "image")?
        }
        "input_audio" => {
            let audio = block.need("input_audio")?;
            let format = audio.need("format")?.one_of(&["wav", "mp3"])?;
            let data = audio.need("data")?.text()?.to_owned();
            Part::Media { media_type: format!("audio/{format}"), data }
        }
        _ => {
            let file = block.need("file")?;
            match file.get("file_data") {
                Some(data) => media(&data, "application")?,
                None => {
                    let data = file.need("file_id")?.text()?.to_owned();
                    Part::Media { media_type: "file".to_owned(), data }
                }
            }
        }
    })
}

/// What an address or a `data:` URL holds.
pub fn media(url: &Node, family: &str) -> Result<Part, Refusal> {
    let text = url.text()?;
    if let Some((media_type, data)) =
        text.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"))
    {
        if !is_base64(data) {
            return Err(url.broken("expected a base64-encoded data URL"));
        }
        return Ok(Part::Media { media_type: media_type.to_owned(), data: data.to_owned() });
    }
    if !text.starts_with("https://") && !text.starts_with("http://") {
        return Err(url.broken("expected a valid URL, a data URL or an address over HTTP"));
    }
    Ok(Part::Media { media_type: format!("{family}/*"), data: text.to_owned() })
}

fn assistant_parts(message: &Node) -> Result<Vec<Part>, Refusal> {
    let mut parts = Vec::new();
    if let Some(thought) = message.get("reasoning_content") {
        parts.push(Part::Thought(thought.text()?.to_owned()));
    }
    let content = message.get("content");
    if let Some(content) = &content {
        parts.extend(texts(content, &["text", "refusal"])?.into_iter().map(Part::Text));
    }
    if let Some(refusal) = message.get("refusal") {
        parts.push(Part::Text(refusal.text()?.to_owned()));
    }
    if let Some(calls) = message.get("tool_calls") {
        if calls.items()?.is_empty() {
            return Err(calls.broken("[] is too short - 'tool_calls'"));
        }
        for call in calls.items()? {
            call.need("type")?.one_of(&["function", "custom"])?;
            let id = call.need("id")?;
            if id.text()?.len() > 40 {
                return Err(id.broken("expected a string of at most 40 characters"));
            }
            let function = call.need("function")?;
            let written = function.need("arguments")?.text()?;
            let arguments = serde_json::from_str(written).unwrap_or_else(|_| json!(written));
            let name = function.need("name")?.text()?.to_owned();
            parts.push(Part::Call { id: id.text()?.to_owned(), name, arguments });
        }
    }
    if parts.is_empty() && message.get("function_call").is_none() && message.get("audio").is_none()
    {
        return Err(message.need("content").map_or_else(
            |missing| missing,
            |content| content.broken("expected a string, or 'tool_calls' beside null"),
        ));
    }
    Ok(parts)
}

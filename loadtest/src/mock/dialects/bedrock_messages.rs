//! The messages of Bedrock's Converse: alternation, blank texts, calls and their results.

use super::chat_request::{ChatRequest, Part, Role};
use super::reading::{Node, Refusal, is_name};
use super::script::{is_base64, signature};

/// What a redacted thought is sealed by.
pub const HIDDEN_THINKING: &str = "a thought that Bedrock does not tell";
const BLOCKS: &[&str] = &[
    "text",
    "image",
    "document",
    "video",
    "audio",
    "toolUse",
    "toolResult",
    "guardContent",
    "cachePoint",
    "reasoningContent",
    "citationsContent",
    "searchResult",
];

/// Reads the messages into the conversation.
pub fn read_messages(
    messages: &Node,
    has_tools: bool,
    chat: &mut ChatRequest,
) -> Result<(), Refusal> {
    let items = messages.items()?;
    let mut last_role = "";
    let mut open: Vec<String> = Vec::new();
    for (index, message) in items.iter().enumerate() {
        let role = role_of(message, index)?;
        match last_role {
            "" if role != "user" => {
                return Err(Refusal::rule(
                    "A conversation must start with a user message. Try again with a conversation that starts with a user message.",
                ));
            }
            last if last == role => {
                return Err(Refusal::rule(
                    "A conversation must alternate between user and assistant roles. Make sure the conversation \
                     alternates between user and assistant roles and try again.",
                ));
            }
            _ => last_role = role,
        }
        let blocks = message.need("content")?.items()?;
        if blocks.is_empty() {
            return Err(Refusal::rule(format!(
                "The content field in the Message object at {} is empty. Add a ContentBlock object to the content \
                 field and try again.",
                message.path
            )));
        }
        let parts = blocks.iter().map(|block| part(block, role)).collect::<Result<Vec<_>, _>>()?;
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        if !has_tools
            && parts.iter().any(|part| matches!(part, Part::Call { .. } | Part::Result { .. }))
        {
            return Err(Refusal::rule(
                "The toolConfig field must be defined when using toolUse and toolResult content blocks.",
            ));
        }
        check_results(message, &open, &parts)?;
        check_documents(message, &blocks)?;
        open = ids(&parts, |part| match part {
            Part::Call { id, .. } => Some(id),
            _ => None,
        });
        chat.push(if role == "user" { Role::User } else { Role::Assistant }, parts);
    }
    if items.is_empty() {
        return Err(Refusal::rule(
            "The messages field is empty. Add a message to the messages field and try again.",
        ));
    }
    if open.is_empty() { Ok(()) } else { Err(unanswered(messages, &open)) }
}

fn role_of<'a>(message: &Node<'a>, index: usize) -> Result<&'a str, Refusal> {
    let role = message.need("role")?.text()?;
    if ["user", "assistant"].contains(&role) {
        return Ok(role);
    }
    Err(Refusal::rule(format!(
        "1 validation error detected: Value '{role}' at 'messages.{}.member.role' failed to satisfy constraint: \
         Member must satisfy enum value set: [user, assistant]",
        index + 1
    )))
}

fn ids<'a>(parts: &'a [Part], id: impl Fn(&'a Part) -> Option<&'a String>) -> Vec<String> {
    parts.iter().filter_map(id).cloned().collect()
}

fn unanswered(place: &Node, open: &[String]) -> Refusal {
    Refusal::rule(format!(
        "Expected toolResult blocks at {}.content for the following Ids: {}",
        place.path,
        open.join(", ")
    ))
}

/// Each call of the message before is answered once, and nothing else is.
fn check_results(message: &Node, open: &[String], parts: &[Part]) -> Result<(), Refusal> {
    let results = ids(parts, |part| match part {
        Part::Result { id, .. } => Some(id),
        _ => None,
    });
    if results.len() > open.len() {
        return Err(Refusal::rule(format!(
            "The number of toolResult blocks at {}.content exceeds the number of toolUse blocks of previous turn.",
            message.path
        )));
    }
    let missing: Vec<_> = open.iter().filter(|id| !results.contains(id)).cloned().collect();
    if missing.is_empty() { Ok(()) } else { Err(unanswered(message, &missing)) }
}

/// A document needs a text beside it.
fn check_documents(message: &Node, blocks: &[Node]) -> Result<(), Refusal> {
    let has = |name: &str| blocks.iter().any(|block| block.get(name).is_some());
    if has("document") && !has("text") {
        return Err(Refusal::rule(format!(
            "{}.content holds a document but no text. Add a text block and try again.",
            message.path
        )));
    }
    Ok(())
}

/// A text that is not blank.
pub fn text_of(block: &Node, path: &str, kind: &str) -> Result<String, Refusal> {
    let text = block.need("text")?.text()?;
    if text.trim().is_empty() {
        return Err(Refusal::rule(format!(
            "The text field in the {kind} object at {path} is blank. Add text to the text field, and try again."
        )));
    }
    Ok(text.to_owned())
}

/// A content block; a cache point is none of the conversation.
fn part(block: &Node, role: &str) -> Result<Option<Part>, Refusal> {
    let kind = union(block, "ContentBlock", BLOCKS)?;
    let wrong_role = match kind {
        "toolUse" | "reasoningContent" => role == "user",
        "toolResult" | "image" | "document" | "video" => role == "assistant",
        _ => false,
    };
    if wrong_role {
        return Err(Refusal::rule(format!(
            "The {kind} block at {} is not allowed in a message of the role {role}.",
            block.path
        )));
    }
    let inner = block.need(kind)?;
    Ok(Some(match kind {
        "text" => Part::Text(text_of(block, &block.path, "ContentBlock")?),
        "toolUse" => call(&inner)?,
        "toolResult" => result(&inner)?,
        "reasoningContent" => thought(&inner)?,
        "image" => media(&inner, "image", &["png", "jpeg", "gif", "webp"])?,
        "document" => document(&inner)?,
        "audio" => {
            media(&inner, "audio", &["mp3", "wav", "flac", "ogg", "aac", "opus", "webm", "mp4"])?
        }
        "video" => media(&inner, "video", &["mkv", "mov", "mp4", "webm", "mpeg", "mpg", "wmv"])?,
        "citationsContent" => {
            let contents = inner.list("content")?;
            let texts = contents.iter().map(|content| content.need("text")?.text());
            Part::Text(texts.collect::<Result<Vec<_>, Refusal>>()?.concat())
        }
        _ => return Ok(None),
    }))
}

fn tool_use_id(node: &Node) -> Result<String, Refusal> {
    let id = node.need("toolUseId")?;
    if !is_name(id.text()?, 64, "_-.:") {
        return Err(id.broken(
            "Member must satisfy regular expression pattern: [a-zA-Z0-9_.:-]+ and have length less than or equal to 64",
        ));
    }
    Ok(id.text()?.to_owned())
}

fn call(node: &Node) -> Result<Part, Refusal> {
    let input = node.need("input")?;
    if !input.value.is_object() {
        return Err(Refusal::rule(format!(
            "The format of the value at {} is invalid. Provide a json object for the field and try again.",
            input.path
        )));
    }
    let name = node.need("name")?;
    if !is_name(name.text()?, 64, "_-") {
        return Err(name.broken("Member must satisfy regular expression pattern: [a-zA-Z0-9_-]+"));
    }
    let name = name.text()?.to_owned();
    Ok(Part::Call { id: tool_use_id(node)?, name, arguments: input.value.clone() })
}

fn result(node: &Node) -> Result<Part, Refusal> {
    let id = tool_use_id(node)?;
    let status = node.get("status");
    let status = status.map_or(Ok("success"), |status| status.one_of(&["success", "error"]))?;
    let mut text = String::new();
    let contents = node.need("content")?.items()?;
    if contents.is_empty() && status == "error" {
        return Err(Refusal::rule(format!(
            "The content field at {} cannot be empty when status value is error.",
            node.path
        )));
    }
    for content in contents {
        let known = &["json", "text", "image", "document", "video", "searchResult"];
        match union(&content, "ToolResultContentBlock", known)? {
            "text" => text.push_str(&text_of(&content, &content.path, "ToolResultContentBlock")?),
            "json" => {
                let value = content.need("json")?;
                value.object()?;
                text.push_str(&value.value.to_string());
            }
            _ => {}
        }
    }
    Ok(Part::Result { id, text, is_error: status == "error" })
}

fn thought(node: &Node) -> Result<Part, Refusal> {
    let invalid = || {
        Refusal::rule(format!(
            "The model returned the following errors: {}: Invalid `signature` in `thinking` block",
            node.path
        ))
    };
    if union(node, "ReasoningContentBlock", &["reasoningText", "redactedContent"])?
        == "redactedContent"
    {
        let sealed = node.need("redactedContent")?.text()? == signature(HIDDEN_THINKING);
        return if sealed { Ok(Part::Thought(String::new())) } else { Err(invalid()) };
    }
    let reasoning_text = node.need("reasoningText")?;
    let text = reasoning_text.need("text")?.text()?;
    match reasoning_text.get("signature").map(|sealed| sealed.text()).transpose()? {
        Some(sealed) if sealed == signature(text) => Ok(Part::Thought(text.to_owned())),
        _ => Err(invalid()),
    }
}

fn media(node: &Node, family: &str, formats: &[&str]) -> Result<Part, Refusal> {
    let format = node.need("format")?.one_of(formats)?;
    let source = node.need("source")?;
    let data = match union(&source, "Source", &["bytes", "s3Location"])? {
        "bytes" => {
            let bytes = source.need("bytes")?;
            if bytes.text()?.is_empty() || !is_base64(bytes.text()?) {
                return Err(bytes.wrong("base64"));
            }
            bytes.text()?
        }
        _ => source.need("s3Location")?.need("uri")?.text()?,
    };
    Ok(Part::Media { media_type: format!("{family}/{format}"), data: data.to_owned() })
}

fn document(node: &Node) -> Result<Part, Refusal> {
    let name = node.need("name")?;
    let text = name.text()?;
    let allowed = |character: char| character.is_alphanumeric() || " \t\n-()[]".contains(character);
    if text.is_empty() || text.len() > 200 || !text.chars().all(allowed) || text.contains("  ") {
        return Err(Refusal::rule(
            "The document file name can only contain alphanumeric characters, whitespace characters, hyphens, \
             parentheses, and square brackets. The name can't contain more than one consecutive whitespace character.",
        ));
    }
    let source = node.need("source")?;
    let known = &["bytes", "s3Location", "text", "content"];
    let data = match union(&source, "DocumentSource", known)? {
        "bytes" => {
            let bytes = source.need("bytes")?;
            if !is_base64(bytes.text()?) {
                return Err(bytes.wrong("base64"));
            }
            bytes.text()?.to_owned()
        }
        "text" => source.need("text")?.text()?.to_owned(),
        other => source.need(other)?.value.to_string(),
    };
    let formats = &["pdf", "csv", "doc", "docx", "xls", "xlsx", "html", "txt", "md"];
    let format = node.get("format").map_or(Ok("pdf"), |format| format.one_of(formats))?;
    Ok(Part::Media { media_type: format!("document/{format}"), data })
}

/// The one member that a union sets.
pub fn union<'a>(node: &Node, kind: &str, known: &[&'a str]) -> Result<&'a str, Refusal> {
    let members = node.object()?;
    let mut set =
        known.iter().filter(|name| members.get(**name).is_some_and(|value| !value.is_null()));
    match (set.next(), set.next()) {
        (Some(name), None) => Ok(name),
        (None, _) => Err(Refusal::rule(format!(
            "{kind} object at {} must set one of the following keys: {}.",
            node.path,
            known.join(", ")
        ))),
        (Some(_), Some(_)) => Err(Refusal::rule(format!(
            "{kind} object at {} must set only one of its keys.",
            node.path
        ))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn each_rule_has_its_own_message() {
        let user = |content: Value| json!([{"role": "user", "content": content}]);
        let image = |bytes: &str| json!([{"image": {"format": "png", "source": {"bytes": bytes}}}]);
        let cases = [
            (json!([]), "messages field is empty"),
            (user(json!([])), "content field in the Message object at messages.0 is empty"),
            (user(json!([{"text": " "}])), "messages.0.content.0 is blank"),
            (user(json!([{"texts": "a"}])), "must set one of the following keys"),
            (user(json!([{"text": "a", "cachePoint": {}}])), "must set only one"),
            (user(image("??")), ""),
            (
                user(json!([{"document": {"name": "a", "source": {"bytes": "AA=="}}}])),
                "holds a document but no text",
            ),
            (json!([{"role": "tool", "content": []}]), "'messages.1.member.role'"),
        ];
        let read = |messages: &Value| {
            let root = json!({"messages": messages});
            let node = Node::root(&root).need("messages").unwrap();
            read_messages(&node, true, &mut ChatRequest::new("m"))
        };
        for (messages, words) in cases {
            let refusal = read(&messages).unwrap_err();
            assert!(format!("{refusal:?}").contains(words), "{words}: {refusal:?}");
        }
        assert!(read(&user(image("AA=="))).is_ok());
    }
}

//! The input of a response: a text, or items whose calls, outputs and thoughts must fit together.

use serde_json::{Value, json};

use super::chat_request::{ChatRequest, Part, Role};
use super::openai_messages::media;
use super::reading::{Node, Refusal};
use super::script::signature;

const KINDS: &[&str] = &[
    "message",
    "function_call",
    "function_call_output",
    "reasoning",
    "item_reference",
    "custom_tool_call",
    "custom_tool_call_output",
    "web_search_call",
    "file_search_call",
    "computer_call",
    "computer_call_output",
    "image_generation_call",
    "code_interpreter_call",
    "mcp_call",
    "mcp_list_tools",
    "compaction",
];

/// Reads the input into the conversation.
pub fn read_input(input: &Node, chat: &mut ChatRequest) -> Result<(), Refusal> {
    if let Value::String(text) = input.value {
        chat.push(Role::User, vec![Part::Text(text.clone())]);
        return Ok(());
    }
    let items = input.items()?;
    if items.is_empty() {
        return Err(input.broken("expected a string or a non-empty array of items"));
    }
    let mut open: Vec<String> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        match kind_of(item)? {
            "message" => message(item, chat)?,
            "function_call" => {
                let call = call(item)?;
                if let Part::Call { id, .. } = &call {
                    open.push(id.clone());
                }
                chat.push(Role::Assistant, vec![call]);
            }
            "function_call_output" => {
                let id = item.need("call_id")?.text()?;
                let Some(at) = open.iter().position(|open| open == id) else {
                    return Err(Refusal::rule(format!(
                        "No tool call found for function call output with call_id {id}."
                    )));
                };
                open.remove(at);
                let text = output_text(&item.need("output")?)?;
                let result = Part::Result { id: id.to_owned(), text, is_error: false };
                chat.push(Role::User, vec![result]);
            }
            "reasoning" => {
                check_followed(item, items.get(index + 1))?;
                chat.push(Role::Assistant, vec![reasoning(item)?]);
            }
            _ => {}
        }
    }
    match open.first() {
        Some(id) => Err(Refusal::rule(format!("No tool output found for function call {id}."))),
        None => Ok(()),
    }
}

fn kind_of<'a>(item: &Node<'a>) -> Result<&'a str, Refusal> {
    match item.get("type") {
        Some(kind) => kind.one_of(KINDS),
        // A message may leave its type out.
        None if item.get("role").is_some() => Ok("message"),
        None => item.need("type")?.text(),
    }
}

fn message(item: &Node, chat: &mut ChatRequest) -> Result<(), Refusal> {
    let role = item.need("role")?.one_of(&["user", "assistant", "system", "developer"])?;
    let content = item.need("content")?;
    let parts = match content.value {
        Value::String(text) => vec![Part::Text(text.clone())],
        _ => content.items()?.iter().map(|block| part(block, role)).collect::<Result<_, _>>()?,
    };
    match role {
        "user" => chat.push(Role::User, parts),
        "assistant" => chat.push(Role::Assistant, parts),
        _ => chat.system.extend(parts.into_iter().filter_map(|part| match part {
            Part::Text(text) => Some(text),
            _ => None,
        })),
    }
    Ok(())
}

fn part(block: &Node, role: &str) -> Result<Part, Refusal> {
    let kinds: &[&str] = match role {
        "assistant" => &["output_text", "refusal"],
        _ => &["input_text", "input_image", "input_file", "input_audio"],
    };
    let kind = block.need("type")?.one_of(kinds)?;
    Ok(match kind {
        "refusal" => Part::Text(block.need("refusal")?.text()?.to_owned()),
        "input_image" => match block.get("image_url") {
            Some(url) => media(&url, "image")?,
            None => named_file(block)?,
        },
        "input_file" => match block.get("file_data").or_else(|| block.get("file_url")) {
            Some(url) => media(&url, "application")?,
            None => named_file(block)?,
        },
        "input_audio" => {
            let audio = block.need("input_audio")?;
            let media_type = format!("audio/{}", audio.need("format")?.text()?);
            Part::Media { media_type, data: audio.need("data")?.text()?.to_owned() }
        }
        _ => Part::Text(block.need("text")?.text()?.to_owned()),
    })
}

fn named_file(block: &Node) -> Result<Part, Refusal> {
    let data = block.need("file_id")?.text()?.to_owned();
    Ok(Part::Media { media_type: "file".to_owned(), data })
}

fn call(item: &Node) -> Result<Part, Refusal> {
    let id = item.need("call_id")?;
    if id.text()?.len() > 64 || id.text()?.is_empty() {
        return Err(id.broken("expected a string of 1 to 64 characters"));
    }
    if let Some(own) = item.get("id").filter(|own| !own.value.to_string().starts_with("\"fc_")) {
        return Err(own.broken("expected an ID that begins with 'fc'"));
    }
    let written = item.need("arguments")?.text()?;
    let arguments = serde_json::from_str(written).unwrap_or_else(|_| json!(written));
    let name = item.need("name")?.text()?.to_owned();
    Ok(Part::Call { id: id.text()?.to_owned(), name, arguments })
}

fn output_text(output: &Node) -> Result<String, Refusal> {
    if let Value::String(text) = output.value {
        return Ok(text.clone());
    }
    let mut texts = String::new();
    for block in output.items()? {
        if block.need("type")?.one_of(&["input_text", "input_image", "input_file"])? == "input_text"
        {
            texts.push_str(block.need("text")?.text()?);
        }
    }
    Ok(texts)
}

/// A thought that comes back must come back whole and sealed as it was.
fn reasoning(item: &Node) -> Result<Part, Refusal> {
    let id = item.need("id")?.text()?;
    let mut thought = String::new();
    for part in item.need("summary")?.items()? {
        part.need("type")?.one_of(&["summary_text"])?;
        thought.push_str(part.need("text")?.text()?);
    }
    match item.get("encrypted_content") {
        Some(sealed) if sealed.text()? != signature(id) => {
            Err(sealed
                .broken(format!("The encrypted content for item {id} could not be verified.")))
        }
        _ => Ok(Part::Thought(thought)),
    }
}

fn check_followed(item: &Node, next: Option<&Node>) -> Result<(), Refusal> {
    let follows = next.is_some_and(|next| match kind_of(next) {
        Ok("message") => next.value["role"] == json!("assistant"),
        Ok(kind) => kind.ends_with("_call") || kind == "reasoning",
        Err(_) => false,
    });
    if follows {
        return Ok(());
    }
    let id = item.need("id")?.text()?;
    Err(Refusal::rule(format!(
        "Item '{id}' of type 'reasoning' was provided without its required following item."
    )))
}

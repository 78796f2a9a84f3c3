//! The items of a request: the conversation so far.

use super::{encrypted_content, identity, output};
use crate::dialects::media_link;
use crate::dialects::openai_chat::{arguments, cache_point};
use crate::dialects::openai_tools::{TOOL_SEARCH, arguments_of, name_of_call};
use crate::llm::{
    CachePoint, ChatRequest, Content, Dialect, DialectJson, File, Image, Malformed, Media,
    MediaSource, Node, Part, Reasoning, Role, Text, ToolCall, ToolResult, Turn, Within,
};

/// Reads `input`, and appends to the turns that `request` has.
pub(super) fn read(request: &mut ChatRequest, value: Node<'_>) -> Result<(), Malformed> {
    if let Some(text) = value.text() {
        request.turns.push(Turn::new(Role::User, vec![Part::text(text)]));
        return Ok(());
    }
    if !value.is_array() {
        return Err(Malformed::new("a string or an array of items"));
    }
    value.read_items(|item| read_item(request, item)).map(|_| ())
}

fn read_item(request: &mut ChatRequest, item: Node<'_>) -> Result<(), Malformed> {
    let kind = match item.expect_object()?.text_at("type")? {
        Some(kind) => kind,
        None if item.get("role").is_some() => "message",
        None if item.get("id").is_some() => "item_reference",
        None => return Err(Malformed::new("a string")).within("type"),
    };
    match kind {
        "message" => message(request, item)?,
        "function_call" => call(request, item, arguments(item))?,
        "custom_tool_call" => {
            let input = item.expect_text_at("input")?;
            call(request, item, arguments_of(input))?;
        }
        "tool_search_call" if is_by_client(item) => {
            let call = ToolCall {
                id: item.expect_text_at("call_id")?.to_owned(),
                name: TOOL_SEARCH.to_owned(),
                arguments: arguments(item),
                signature: None,
            };
            parts_of_turn(request, Role::Assistant).push(Part::new(Content::ToolCall(call)));
        }
        "tool_search_output" if is_by_client(item) => found(request, item)?,
        "function_call_output" | "custom_tool_call_output" => {
            let output = item.expect("output", "a string or an array of parts")?;
            let result = ToolResult {
                id: item.expect_text_at("call_id")?.to_owned(),
                name: None,
                parts: contents(output).within("output")?,
                is_error: false,
            };
            parts_of_turn(request, Role::Tool).push(Part::new(Content::ToolResult(result)));
        }
        "reasoning" => reasoning_part(parts_of_turn(request, Role::Assistant), item),
        "image_generation_call" if identity::is_ours(item.text_of("id")) => {
            let parts = parts_of_turn(request, Role::Assistant);
            parts.extend(output::image_part(item).map(Part::new));
        }
        _ => {
            if kind == "item_reference" {
                request.needs_state.get_or_insert_with(|| kind.to_owned());
            }
            let is_given = kind.ends_with("_output") || kind.ends_with("_response");
            let role = if is_given { Role::Tool } else { Role::Assistant };
            let foreign = DialectJson { dialect: Dialect::OpenaiResponses, json: item.json() };
            parts_of_turn(request, role).push(Part::new(Content::Raw(foreign)));
        }
    }
    Ok(())
}

/// True for a tool search of the client rather than the vendor.
fn is_by_client(item: Node<'_>) -> bool {
    item.text_of("execution") == "client" && item.get("call_id").is_some()
}

/// Reads a call of a function or of a custom tool.
fn call(request: &mut ChatRequest, item: Node<'_>, arguments: String) -> Result<(), Malformed> {
    let (namespace, name) = (item.text_at("namespace")?, item.expect_text_at("name")?);
    let call = ToolCall {
        id: item.expect_text_at("call_id")?.to_owned(),
        name: name_of_call(&request.tools, namespace, name),
        arguments,
        signature: None,
    };
    parts_of_turn(request, Role::Assistant).push(Part::new(Content::ToolCall(call)));
    Ok(())
}

/// Reads the result of a tool search: the tools were already read, and are listed here by name.
fn found(request: &mut ChatRequest, item: Node<'_>) -> Result<(), Malformed> {
    let mut names = Vec::new();
    for tool in item.get("tools").into_iter().flat_map(Node::items) {
        let name = tool.text_of("name");
        match tool.get("tools") {
            Some(inner) => names.extend(
                inner
                    .items()
                    .map(|it| name_of_call(&request.tools, Some(name), it.text_of("name"))),
            ),
            None => names.push(name_of_call(&request.tools, None, name)),
        }
    }
    let text = if names.is_empty() {
        "No tools were found.".to_owned()
    } else {
        format!("These tools can be called now: {}", names.join(", "))
    };
    let result = ToolResult {
        id: item.expect_text_at("call_id")?.to_owned(),
        name: None,
        parts: vec![Part::text(&text)],
        is_error: false,
    };
    parts_of_turn(request, Role::Tool).push(Part::new(Content::ToolResult(result)));
    Ok(())
}

/// The parts of the last turn, if it has that `role`; else those of a new turn.
fn parts_of_turn(request: &mut ChatRequest, role: Role) -> &mut Vec<Part> {
    if request.turns.last().is_none_or(|last| last.role != role) {
        request.turns.push(Turn::new(role, Vec::new()));
    }
    let last = request.turns.last_mut().expect("one was pushed if there was none");
    &mut last.parts
}

fn message(request: &mut ChatRequest, item: Node<'_>) -> Result<(), Malformed> {
    let role = match item.expect_text_at("role")? {
        "system" => Role::System,
        "developer" => Role::Developer,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        _ => {
            let expected = "one of system, developer, user, assistant";
            return Err(Malformed::new(expected)).within("role");
        }
    };
    let content = item.expect("content", "a string or an array of parts")?;
    let mut parts = contents(content).within("content")?;
    if role == Role::Assistant {
        parts.iter_mut().for_each(media_link::restore);
        parts_of_turn(request, role).extend(parts);
    } else {
        request.turns.push(Turn::new(role, parts));
    }
    Ok(())
}

/// Reads a reasoning item that is sent back. An empty one refers to state at the provider.
fn reasoning_part(parts: &mut Vec<Part>, item: Node<'_>) {
    let before = parts.len();
    let sealed = item.get("encrypted_content").and_then(Node::text);
    output::read_reasoning(item, parts);
    if let Some(id) = output::vendor_id(item)
        && parts.len() == before
        && sealed.is_none_or(|text| {
            !matches!(
                encrypted_content::read(text, false, None),
                encrypted_content::EncryptedContent::OfCall(..)
            )
        })
    {
        let reasoning = Reasoning { id: Some(id.to_owned()), ..Reasoning::default() };
        parts.push(Part::new(Content::Reasoning(reasoning)));
    }
}

/// Reads a string, or an array of parts.
fn contents(value: Node<'_>) -> Result<Vec<Part>, Malformed> {
    if let Some(text) = value.text() {
        return Ok(vec![Part::text(text)]);
    }
    if !value.is_array() {
        return Err(Malformed::new("a string or an array of parts"));
    }
    value.read_items(part)
}

fn part(value: Node<'_>) -> Result<Part, Malformed> {
    let content = match value.expect_text_at("type")? {
        "input_text" | "output_text" | "text" => {
            let text = value.expect_text_at("text")?.to_owned();
            Content::Text(Text { text, citations: output::citations(value) })
        }
        "refusal" => Content::Refusal(value.expect_text_at("refusal")?.to_owned()),
        "input_image" => image(value)?,
        "input_file" => file(value)?,
        "input_audio" => {
            let audio = value.expect("input_audio", "an object")?;
            let format = audio.expect_text_at("format").within("input_audio")?;
            let data = audio.expect_text_at("data").within("input_audio")?;
            Content::Audio(Media::base64(&format!("audio/{format}"), data))
        }
        _ => Content::Raw(DialectJson { dialect: Dialect::OpenaiResponses, json: value.json() }),
    };
    Ok(Part { content, cache: breakpoint(value).or_else(|| cache_point(value)) })
}

/// Reads OpenAI's cache point: half an hour, or half a day, which is the longer lifetime.
fn breakpoint(value: Node<'_>) -> Option<CachePoint> {
    let ttl = value.get("prompt_cache_breakpoint")?.get("ttl").and_then(Node::text);
    Some(if ttl == Some("12h") { CachePoint::Hour } else { CachePoint::Default })
}

fn image(value: Node<'_>) -> Result<Content, Malformed> {
    let media = match value.text_at("file_id")? {
        Some(id) => Media { media_type: None, source: MediaSource::Id(id.to_owned()) },
        None => Media::of_url(value.expect_text_at("image_url")?),
    };
    // `auto` is the default, here and in chat completions.
    let detail = value.text_at("detail")?.filter(|detail| *detail != "auto");
    Ok(Content::Image(Image { media, detail: detail.map(str::to_owned) }))
}

fn file(value: Node<'_>) -> Result<Content, Malformed> {
    let text = |key| value.text_at(key);
    let media = match (text("file_id")?, text("file_data")?, text("file_url")?) {
        (Some(id), ..) => Media { media_type: None, source: MediaSource::Id(id.to_owned()) },
        (None, Some(data), _) if data.starts_with("data:") => Media::of_url(data),
        (None, Some(data), _) => {
            Media { media_type: None, source: MediaSource::Base64(data.to_owned()) }
        }
        (None, None, Some(url)) => Media::of_url(url),
        (None, None, None) => {
            return Err(Malformed::new("an object with file_id, file_data or file_url"));
        }
    };
    let name = text("filename")?.map(str::to_owned);
    Ok(Content::File(File { media, name, context: None, with_citations: false }))
}

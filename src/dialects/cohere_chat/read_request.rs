//! A client's request.

use super::citation;
use crate::dialects::extra_fields;
use crate::llm::{
    ChatRequest, Content, Dialect, DialectJson, Format, Function, Image, Malformed, Media, Node,
    Part, Reasoning, ReasoningSettings, Role, Text, Tool, ToolCall, ToolChoice, ToolResult, Turn,
    Within,
};

/// Reads the body.
pub(super) fn read(root: Node<'_>) -> Result<ChatRequest, Malformed> {
    // Streams of this dialect always end with the usage.
    let mut request = ChatRequest { include_usage: true, ..ChatRequest::default() };
    let mut strict = None;
    for (key, value) in root.members() {
        match key {
            _ if value.is_null() => {}
            "strict_tools" => strict = Some(value.expect_flag().within(key)?),
            _ => member(&mut request, key, value).within(key)?,
        }
    }
    for tool in &mut request.tools {
        if let Tool::Function(function) = tool {
            function.strict = strict;
        }
    }
    if request.turns.is_empty() {
        return Err(Malformed::new("an array of at least one message")).within("messages");
    }
    Ok(request)
}

/// Reads one top-level member that is not null.
fn member(request: &mut ChatRequest, key: &str, value: Node<'_>) -> Result<(), Malformed> {
    let sampling = &mut request.sampling;
    match key {
        "model" => request.model = value.expect_text()?.to_owned(),
        "messages" => request.turns = value.read_items(turn)?,
        "stream" => request.stream = value.expect_flag()?,
        "max_tokens" => request.max_tokens = Some(value.expect_u64()?),
        "stop_sequences" => {
            request.stop = value.read_items(|item| item.expect_text().map(str::to_owned))?;
        }
        "temperature" => sampling.temperature = Some(value.expect_f64()?),
        "p" => sampling.top_p = Some(value.expect_f64()?),
        "k" => sampling.top_k = Some(value.expect_u64()?),
        "frequency_penalty" => sampling.frequency_penalty = Some(value.expect_f64()?),
        "presence_penalty" => sampling.presence_penalty = Some(value.expect_f64()?),
        "seed" => sampling.seed = Some(value.expect_i64()?),
        "logprobs" => request.top_logprobs = value.expect_flag()?.then_some(0),
        "response_format" => request.format = Some(format(value)?),
        "tools" => request.tools = value.read_items(tool)?,
        "tool_choice" => request.tool_choice = Some(tool_choice(value)?),
        "thinking" => request.reasoning = Some(thinking(value)?),
        _ => extra_fields::keep(&mut request.extra_fields, Dialect::CohereChat, key, value),
    }
    Ok(())
}

fn format(value: Node<'_>) -> Result<Format, Malformed> {
    match value.expect_text_at("type")? {
        "text" => Ok(Format::Text),
        "json_object" => match value.get("json_schema") {
            None => Ok(Format::JsonObject),
            Some(schema) => Ok(Format::JsonSchema {
                name: None,
                description: None,
                schema: schema.expect_object().within("json_schema")?.json(),
                strict: None,
            }),
        },
        _ => Err(Malformed::new("one of text, json_object")).within("type"),
    }
}

fn tool(value: Node<'_>) -> Result<Tool, Malformed> {
    match value.text_at("type")? {
        None | Some("function") => {
            let inner = value.expect("function", "an object")?;
            function(inner).within("function").map(Tool::Function)
        }
        Some(_) => Ok(Tool::Raw(DialectJson { dialect: Dialect::CohereChat, json: value.json() })),
    }
}

fn function(value: Node<'_>) -> Result<Function, Malformed> {
    Ok(Function {
        name: value.expect_text_at("name")?.to_owned(),
        description: value.text_at("description")?.map(str::to_owned),
        parameters: value
            .get("parameters")
            .map(|schema| schema.expect_object().within("parameters").map(Node::json))
            .transpose()?,
        ..Function::default()
    })
}

fn tool_choice(value: Node<'_>) -> Result<ToolChoice, Malformed> {
    match value.text() {
        Some("REQUIRED") => Ok(ToolChoice::Required),
        Some("NONE") => Ok(ToolChoice::None),
        _ => Err(Malformed::new("REQUIRED or NONE")),
    }
}

fn thinking(value: Node<'_>) -> Result<ReasoningSettings, Malformed> {
    let is_off = match value.expect_text_at("type")? {
        "enabled" => false,
        "disabled" => true,
        _ => return Err(Malformed::new("enabled or disabled")).within("type"),
    };
    let budget = value.get("token_budget");
    let tokens_max = budget.map(|it| it.expect_u64().within("token_budget")).transpose()?;
    Ok(ReasoningSettings { is_off, tokens_max, ..ReasoningSettings::default() })
}

fn turn(value: Node<'_>) -> Result<Turn, Malformed> {
    let role = match value.expect_text_at("role")? {
        "system" => Role::System,
        "user" => Role::User,
        "assistant" => return assistant(value),
        "tool" => return tool_result(value),
        _ => return Err(Malformed::new("one of system, user, assistant, tool")).within("role"),
    };
    let content = value.expect("content", "a string or an array of parts")?;
    Ok(Turn::new(role, contents(content).within("content")?))
}

fn assistant(value: Node<'_>) -> Result<Turn, Malformed> {
    let mut parts = match value.get("content") {
        Some(content) => contents(content).within("content")?,
        None => Vec::new(),
    };
    if let Some(citations) = value.get("citations") {
        let citations = citations.expect_array().within("citations")?;
        citation::attach(citations, &mut parts);
    }
    parts.extend(value.text_at("tool_plan")?.and_then(plan));
    if let Some(calls) = value.get("tool_calls") {
        let calls = calls.read_items(tool_call).within("tool_calls")?;
        parts.extend(calls.into_iter().map(|call| Part::new(Content::ToolCall(call))));
    }
    Ok(Turn::new(Role::Assistant, parts))
}

/// The reasoning of a `tool_plan`. Providers send an empty one next to other reasoning.
pub(super) fn plan(text: &str) -> Option<Part> {
    let reasoning = Reasoning { text: text.to_owned(), ..Reasoning::default() };
    (!text.is_empty()).then(|| Part::new(Content::Reasoning(reasoning)))
}

fn tool_call(value: Node<'_>) -> Result<ToolCall, Malformed> {
    let function = value.expect("function", "an object")?;
    Ok(ToolCall {
        id: value.expect_text_at("id")?.to_owned(),
        name: function.expect_text_at("name").within("function")?.to_owned(),
        arguments: function.text_at("arguments").within("function")?.unwrap_or("").to_owned(),
        signature: None,
    })
}

fn tool_result(value: Node<'_>) -> Result<Turn, Malformed> {
    let content = value.expect("content", "a string or an array of parts")?;
    let result = ToolResult {
        id: value.expect_text_at("tool_call_id")?.to_owned(),
        name: None,
        parts: contents(content).within("content")?,
        is_error: false,
    };
    Ok(Turn::new(Role::Tool, vec![Part::new(Content::ToolResult(result))]))
}

/// A string, or an array of parts.
fn contents(value: Node<'_>) -> Result<Vec<Part>, Malformed> {
    if let Some(text) = value.text() {
        return Ok(vec![Part::text(text)]);
    }
    if !value.is_array() {
        return Err(Malformed::new("a string or an array of parts"));
    }
    value.read_items(|item| part(item).map(Part::new))
}

fn part(value: Node<'_>) -> Result<Content, Malformed> {
    Ok(match value.expect_text_at("type")? {
        "text" => {
            let text = value.expect_text_at("text")?.to_owned();
            Content::Text(Text { text, citations: Vec::new() })
        }
        "thinking" => {
            let text = value.expect_text_at("thinking")?.to_owned();
            Content::Reasoning(Reasoning { text, ..Reasoning::default() })
        }
        "image_url" => {
            let image = value.expect("image_url", "an object with a url")?;
            let media = Media::of_url(image.expect_text_at("url").within("image_url")?);
            let detail = image.text_at("detail").within("image_url")?.map(str::to_owned);
            Content::Image(Image { media, detail })
        }
        // The members of a document are free, and no other dialect has them.
        _ => Content::Raw(DialectJson { dialect: Dialect::CohereChat, json: value.json() }),
    })
}

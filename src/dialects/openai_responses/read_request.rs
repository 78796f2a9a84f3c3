//! A client's request.

use super::{DIALECT, read_input};
use crate::dialects::foreign;
use crate::dialects::openai_chat::{function, json_schema, labels, texts};
use crate::llm::{
    ChatRequest, Foreign, Format, Json, Malformed, Node, Part, ReasoningSettings, Role, Tool,
    ToolChoice, Turn, WebSearch, Within, write_array,
};

/// Reads the whole body.
pub(super) fn read(root: Node<'_>) -> Result<ChatRequest, Malformed> {
    let mut request = ChatRequest {
        origin: Some(DIALECT),
        // A stream's last event has the usage.
        include_usage: true,
        ..ChatRequest::default()
    };
    // Instructions come first, wherever they stand in the body.
    if let Some(instructions) = root.text_at("instructions")? {
        request.turns.push(Turn::new(Role::System, vec![Part::text(instructions)]));
    }
    for (key, value) in root.members() {
        if !value.is_null() && key != "instructions" {
            member(&mut request, key, value).within(key)?;
        }
    }
    let is_empty =
        root.get("input").is_none_or(|input| input.text().is_none() && input.count() == 0);
    if is_empty && request.needs_state.is_none() {
        return Err(Malformed::new("a string or an array of at least one item")).within("input");
    }
    Ok(request)
}

/// Reads one top-level member that is not null.
fn member(request: &mut ChatRequest, key: &str, value: Node<'_>) -> Result<(), Malformed> {
    let sampling = &mut request.sampling;
    match key {
        "model" => request.model = value.expect_text()?.to_owned(),
        "input" => read_input::read(request, value)?,
        "stream" => request.stream = value.expect_flag()?,
        "max_output_tokens" => request.max_tokens = Some(value.expect_u64()?),
        "temperature" => sampling.temperature = Some(value.expect_f64()?),
        "top_p" => sampling.top_p = Some(value.expect_f64()?),
        "top_k" => sampling.top_k = Some(value.expect_u64()?),
        "min_p" => sampling.min_p = Some(value.expect_f64()?),
        "frequency_penalty" => sampling.frequency_penalty = Some(value.expect_f64()?),
        "presence_penalty" => sampling.presence_penalty = Some(value.expect_f64()?),
        "seed" => sampling.seed = Some(value.expect_i64()?),
        "stop" => request.stop = texts(value)?,
        "top_logprobs" => request.top_logprobs = Some(value.expect_u64()?),
        "include" => include(request, value)?,
        "tools" => request.tools = value.read_items(tool)?,
        "tool_choice" => tool_choice(request, value)?,
        "parallel_tool_calls" => request.parallel_tool_calls = Some(value.expect_flag()?),
        "text" => text(request, value)?,
        "reasoning" => reasoning(request, value)?,
        "metadata" => request.metadata = labels(value)?,
        "user" => request.user = Some(value.expect_text()?.to_owned()),
        "service_tier" => request.service_tier = Some(value.expect_text()?.to_owned()),
        // Not to run in the background is the default.
        "background" if !value.expect_flag()? => {}
        "background" | "conversation" | "previous_response_id" | "prompt" => {
            request.needs_state = Some(key.to_owned());
            foreign::keep(request, DIALECT, key, value);
        }
        _ => foreign::keep(request, DIALECT, key, value),
    }
    Ok(())
}

/// What the answer shall have beside its usual parts.
fn include(request: &mut ChatRequest, value: Node<'_>) -> Result<(), Malformed> {
    let mut others = Vec::new();
    for name in value.read_items(Node::expect_text)? {
        match name {
            "message.output_text.logprobs" => {
                request.top_logprobs.get_or_insert(0);
            }
            "reasoning.encrypted_content" => request.seal_thoughts = true,
            _ => others.push(name),
        }
    }
    if !others.is_empty() {
        let mut json = Vec::new();
        write_array(&mut json, |array| others.iter().for_each(|name| array.text(name)));
        keep_inner(request, "include", &json);
    }
    Ok(())
}

fn keep_inner(request: &mut ChatRequest, key: &str, json: &[u8]) {
    let json = Json::of_written(String::from_utf8_lossy(json).into_owned());
    request.foreign.push((key.to_owned(), Foreign { dialect: DIALECT, json }));
}

fn text(request: &mut ChatRequest, value: Node<'_>) -> Result<(), Malformed> {
    for (key, inner) in value.expect_object()?.members() {
        match key {
            _ if inner.is_null() => {}
            "format" => request.format = Some(format(inner).within(key)?),
            "verbosity" => {
                request.verbosity = Some(inner.expect_text().within(key)?.to_owned());
            }
            _ => foreign::keep(request, DIALECT, &format!("text.{key}"), inner),
        }
    }
    Ok(())
}

fn format(value: Node<'_>) -> Result<Format, Malformed> {
    match value.expect_text_at("type")? {
        "text" => Ok(Format::Text),
        "json_object" => Ok(Format::JsonObject),
        "json_schema" => json_schema(value),
        _ => Err(Malformed::new("one of text, json_object, json_schema")).within("type"),
    }
}

fn reasoning(request: &mut ChatRequest, value: Node<'_>) -> Result<(), Malformed> {
    let mut settings = ReasoningSettings::default();
    for (key, inner) in value.expect_object()?.members() {
        match key {
            _ if inner.is_null() => {}
            "effort" => {
                let effort = inner.expect_text().within(key)?;
                settings.is_off = effort == "none";
                settings.effort = Some(effort.to_owned());
            }
            "summary" | "generate_summary" => {
                settings.summary = Some(inner.expect_text().within(key)?.to_owned());
                settings.is_shown = Some(true);
            }
            _ => foreign::keep(request, DIALECT, &format!("reasoning.{key}"), inner),
        }
    }
    if settings != ReasoningSettings::default() {
        request.reasoning = Some(settings);
    }
    Ok(())
}

fn tool(value: Node<'_>) -> Result<Tool, Malformed> {
    let foreign = || Tool::Foreign(Foreign { dialect: DIALECT, json: value.json() });
    Ok(match value.expect_text_at("type")? {
        "function" => Tool::Function(function(value)?),
        // Beside what is mapped it may say what others cannot: then it is kept whole.
        "web_search"
        | "web_search_2025_08_26"
        | "web_search_preview"
        | "web_search_preview_2025_03_11" => web_search(value)?.unwrap_or_else(foreign),
        "code_interpreter" if is_plain_container(value) => Tool::CodeExecution,
        _ => foreign(),
    })
}

fn web_search(value: Node<'_>) -> Result<Option<Tool>, Malformed> {
    let filters = value.get("filters");
    let known = ["type", "filters", "search_context_size", "user_location"];
    let is_known = has_only(value, &known)
        && filters.is_none_or(|filters| has_only(filters, &["allowed_domains"]));
    if !is_known {
        return Ok(None);
    }
    let domains = filters.and_then(|filters| filters.get("allowed_domains"));
    Ok(Some(Tool::WebSearch(WebSearch {
        allowed_domains: domains.map(texts).transpose().within("filters")?.unwrap_or_default(),
        user_location: value.get("user_location").map(Node::json),
        context_size: value.text_at("search_context_size")?.map(str::to_owned),
        ..WebSearch::default()
    })))
}

/// True for a new container without files, as other vendors have.
fn is_plain_container(value: Node<'_>) -> bool {
    let container = value.get("container");
    has_only(value, &["type", "container"])
        && container.is_none_or(|container| {
            container.text_of("type") == "auto" && has_only(container, &["type"])
        })
}

/// True if all members that say something are among `known`.
fn has_only(value: Node<'_>, known: &[&str]) -> bool {
    value.members().all(|(key, inner)| inner.is_null() || known.contains(&key))
}

fn tool_choice(request: &mut ChatRequest, value: Node<'_>) -> Result<(), Malformed> {
    let mode = |text: &str| match text {
        "auto" => Ok(ToolChoice::Auto),
        "none" => Ok(ToolChoice::None),
        "required" => Ok(ToolChoice::Required),
        _ => Err(Malformed::new("auto, none, required or an object with a type")),
    };
    if let Some(text) = value.text() {
        request.tool_choice = Some(mode(text)?);
        return Ok(());
    }
    match value.expect_text_at("type")? {
        "function" => {
            let name = value.expect_text_at("name")?.to_owned();
            request.tool_choice = Some(ToolChoice::Function(name));
        }
        "allowed_tools" => {
            request.tool_choice = Some(mode(value.expect_text_at("mode")?).within("mode")?);
            let tools = value.expect("tools", "an array")?;
            foreign::keep(request, DIALECT, "tool_choice.tools", tools);
        }
        _ => foreign::keep(request, DIALECT, "tool_choice", value),
    }
    Ok(())
}

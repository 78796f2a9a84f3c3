//! A client's request.

use super::DIALECT;
use super::model_fields;
use super::read_content::{cache_point, parts};
use super::write_request::STOP_SEQUENCE_PATHS;
use super::write_tools::{GROUNDING, INTERPRETER};
use crate::dialects::codec::RequestPath;
use crate::dialects::foreign;
use crate::llm::{
    ChatRequest, Content, Foreign, Format, Function, Json, Malformed, Node, Part,
    ReasoningSettings, Role, Tool, ToolChoice, Turn, WebSearch, Within, write_object,
};

/// Reads the whole body.
pub(super) fn read(root: Node<'_>, path: &RequestPath<'_>) -> Result<ChatRequest, Malformed> {
    let mut request = ChatRequest {
        model: path.model.unwrap_or_default().to_owned(),
        stream: path.stream,
        include_usage: true,
        ..ChatRequest::default()
    };
    if let Some(system) = root.expect_object()?.get("system") {
        let parts = parts(system).within("system")?;
        if !parts.is_empty() {
            request.turns.push(Turn::new(Role::System, parts));
        }
    }
    // A stored prompt brings messages of its own.
    if root.get("promptVariables").is_none() {
        root.expect("messages", "an array of messages")?;
    }
    for (key, value) in root.members() {
        if !value.is_null() {
            member(&mut request, key, value).within(key)?;
        }
    }
    Ok(request)
}

/// Reads one top-level member that is not null.
fn member(request: &mut ChatRequest, key: &str, value: Node<'_>) -> Result<(), Malformed> {
    match key {
        "system" => {}
        "messages" => {
            let turns = value.read_items(turns_of)?;
            request.turns.extend(turns.into_iter().flatten());
        }
        "inferenceConfig" => inference_config(request, value)?,
        "toolConfig" => tool_config(request, value)?,
        "outputConfig" => output_config(request, value)?,
        "requestMetadata" => {
            let label = |(key, value): (&str, Node<'_>)| {
                Ok((key.to_owned(), value.expect_text().within(key)?.to_owned()))
            };
            request.metadata =
                value.expect_object()?.members().map(label).collect::<Result<_, Malformed>>()?;
        }
        "serviceTier" => request.service_tier = Some(value.expect_text_at("type")?.to_owned()),
        model_fields::KEY => model_fields(request, value)?,
        "additionalModelResponseFieldPaths" => {
            let is_ours = value.items().map(Node::text).eq(STOP_SEQUENCE_PATHS.map(Some));
            if !is_ours {
                foreign::keep(request, DIALECT, key, value);
            }
        }
        _ => foreign::keep(request, DIALECT, key, value),
    }
    Ok(())
}

fn inference_config(request: &mut ChatRequest, value: Node<'_>) -> Result<(), Malformed> {
    for (key, value) in value.expect_object()?.members().filter(|(_, value)| !value.is_null()) {
        let sampling = &mut request.sampling;
        match key {
            "maxTokens" => request.max_tokens = Some(value.expect_u64().within(key)?),
            "temperature" => sampling.temperature = Some(value.expect_f64().within(key)?),
            "topP" => sampling.top_p = Some(value.expect_f64().within(key)?),
            "stopSequences" => {
                let texts = value.read_items(|item| item.expect_text().map(str::to_owned));
                request.stop = texts.within(key)?;
            }
            _ => return Err(Malformed::new("one of the service's settings")).within(key),
        }
    }
    Ok(())
}

fn output_config(request: &mut ChatRequest, value: Node<'_>) -> Result<(), Malformed> {
    if let Some(effort) = value.expect_object()?.text_at("effort")? {
        reasoning(request).effort = Some(effort.to_owned());
    }
    let Some(format) = value.get("textFormat") else { return Ok(()) };
    let place = format.get("structure").and_then(|structure| structure.get("jsonSchema"));
    let expected = "a text format with a structure.jsonSchema";
    let inner = place.ok_or_else(|| Malformed::new(expected)).within("textFormat")?;
    let schema = Json::parse_object(inner.expect_text_at("schema").within("textFormat")?);
    request.format = Some(Format::JsonSchema {
        name: inner.text_at("name")?.map(str::to_owned),
        description: inner.text_at("description")?.map(str::to_owned),
        schema: schema
            .ok_or_else(|| Malformed::new("a JSON schema as text"))
            .within("textFormat")?,
        strict: None,
    });
    Ok(())
}

fn reasoning(request: &mut ChatRequest) -> &mut ReasoningSettings {
    request.reasoning.get_or_insert_default()
}

/// Takes out of the model's own members what the canonical form has a place for, and keeps the rest.
fn model_fields(request: &mut ChatRequest, value: Node<'_>) -> Result<(), Malformed> {
    let mut rest = Vec::new();
    for (key, value) in value.expect_object()?.members().filter(|(_, value)| !value.is_null()) {
        if !model_field(request, key, value).within(key)? {
            rest.push((key, value.json()));
        }
    }
    if !rest.is_empty() {
        let mut text = Vec::new();
        write_object(&mut text, |object| {
            rest.iter().for_each(|(key, json)| object.raw(key, json));
        });
        let json = Json::of_written(String::from_utf8(text).unwrap_or_default());
        request.foreign.push((model_fields::KEY.to_owned(), Foreign { dialect: DIALECT, json }));
    }
    Ok(())
}

/// Whether the member could be taken in whole.
fn model_field(request: &mut ChatRequest, key: &str, value: Node<'_>) -> Result<bool, Malformed> {
    match key {
        "thinking" => {
            let settings = reasoning(request);
            match value.expect_object()?.text_at("type")? {
                Some("disabled") => settings.is_off = true,
                Some("enabled") => {
                    settings.tokens_max = value.get("budget_tokens").and_then(Node::u64);
                }
                _ => {
                    settings.is_shown = match value.text_at("display")? {
                        Some("summarized") => Some(true),
                        Some("omitted") => Some(false),
                        _ => None,
                    };
                }
            }
        }
        "reasoningConfig" => {
            let settings = reasoning(request);
            settings.is_off = value.expect_object()?.text_at("type")? == Some("disabled");
            settings.effort = value.text_at("maxReasoningEffort")?.map(str::to_owned);
        }
        "reasoning_effort" => reasoning(request).effort = Some(value.expect_text()?.to_owned()),
        "top_k" | "k" => request.sampling.top_k = Some(value.expect_u64()?),
        "inferenceConfig" if value.count() == 1 && value.get("topK").is_some() => {
            request.sampling.top_k = value.get("topK").and_then(Node::u64);
        }
        "seed" => request.sampling.seed = Some(value.expect_i64()?),
        "frequency_penalty" => request.sampling.frequency_penalty = Some(value.expect_f64()?),
        "presence_penalty" => request.sampling.presence_penalty = Some(value.expect_f64()?),
        "tool_choice"
            if value.get("disable_parallel_tool_use").and_then(Node::flag) == Some(true) =>
        {
            request.parallel_tool_calls = Some(false);
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn tool_config(request: &mut ChatRequest, value: Node<'_>) -> Result<(), Malformed> {
    let tools = value.expect_object()?.expect("tools", "an array of tools")?;
    for (index, item) in tools.expect_array().within("tools")?.items().enumerate() {
        match (cache_point(item), request.tools.last_mut()) {
            (Some(cache), Some(Tool::Function(function))) => function.cache = Some(cache),
            _ => {
                let tool = tool(item).within_item(index).within("tools")?;
                request.tools.push(tool);
            }
        }
    }
    let Some(choice) = value.get("toolChoice") else { return Ok(()) };
    request.tool_choice = Some(match (choice.get("any"), choice.get("tool")) {
        (Some(_), _) => ToolChoice::Required,
        (None, Some(tool)) => {
            let name = tool.expect_text_at("name").within("tool").within("toolChoice")?;
            ToolChoice::Function(name.to_owned())
        }
        (None, None) => ToolChoice::Auto,
    });
    Ok(())
}

fn tool(value: Node<'_>) -> Result<Tool, Malformed> {
    if let Some(spec) = value.expect_object()?.get("toolSpec") {
        return function(spec).within("toolSpec").map(Tool::Function);
    }
    let system_tool = value.get("systemTool").map(|tool| tool.text_of("name"));
    Ok(match system_tool {
        Some(GROUNDING) => Tool::WebSearch(WebSearch::default()),
        Some(INTERPRETER) => Tool::CodeExecution,
        _ => Tool::Foreign(Foreign { dialect: DIALECT, json: value.json() }),
    })
}

fn function(spec: Node<'_>) -> Result<Function, Malformed> {
    let schema = spec.expect_object()?.expect("inputSchema", "an object with json")?;
    let schema = schema.expect("json", "a JSON schema").within("inputSchema")?;
    Ok(Function {
        name: spec.expect_text_at("name")?.to_owned(),
        description: spec.text_at("description")?.map(str::to_owned),
        parameters: Some(schema.json()),
        strict: spec.get("strict").and_then(Node::flag),
        cache: None,
    })
}

/// The turns of one message: results of tools are a turn of their own, before the rest.
fn turns_of(value: Node<'_>) -> Result<Vec<Turn>, Malformed> {
    let role = match value.expect_object()?.expect_text_at("role")? {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => Role::System,
        _ => return Err(Malformed::new("one of user, assistant, system")).within("role"),
    };
    let content = value.expect("content", "an array of blocks")?;
    let parts = parts(content).within("content")?;
    let is_result = |part: &Part| matches!(part.content, Content::ToolResult(_));
    if role != Role::User || !parts.iter().any(is_result) {
        return Ok(vec![Turn::new(role, parts)]);
    }
    let (results, rest): (Vec<Part>, Vec<Part>) = parts.into_iter().partition(is_result);
    let mut turns = vec![Turn::new(Role::Tool, results)];
    if !rest.is_empty() {
        turns.push(Turn::new(Role::User, rest));
    }
    Ok(turns)
}

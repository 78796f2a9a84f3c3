//! A client's request.

use super::read_block::{Lost, cache_point, contents};
use super::{DIALECT, name};
use crate::dialects::foreign;
use crate::llm::{
    ChatRequest, Content, Foreign, Format, Function, Json, Malformed, Node, ReasoningSettings,
    Role, Tool, ToolChoice, Turn, WebSearch, Within,
};

/// Reads the whole body. `max_tokens`, which the vendor requires, may be absent: a request to count
/// tokens has none.
pub(super) fn read(root: Node<'_>) -> Result<ChatRequest, Malformed> {
    let mut request = ChatRequest { include_usage: true, ..ChatRequest::default() };
    let (mut system, mut lost) = (Vec::new(), Lost::new());
    for (key, value) in root.members() {
        if value.is_null() {
            continue;
        }
        match key {
            "system" => system = contents(value, &mut lost).within(key)?,
            "messages" => {
                let turns = value.read_items(|item| turns(item, &mut lost)).within(key)?;
                request.turns = turns.into_iter().flatten().collect();
            }
            _ => member(&mut request, key, value).within(key)?,
        }
    }
    if request.turns.is_empty() {
        return Err(Malformed::new("an array of at least one message")).within("messages");
    }
    if !system.is_empty() {
        request.turns.insert(0, Turn::new(Role::System, system));
    }
    lost.sort_unstable();
    lost.dedup();
    for path in lost {
        let json = Json::of_written("null".to_owned());
        request.foreign.push((path.to_owned(), Foreign { dialect: DIALECT, json }));
    }
    Ok(request)
}

/// Reads one top-level member that is not null.
fn member(request: &mut ChatRequest, key: &str, value: Node<'_>) -> Result<(), Malformed> {
    let sampling = &mut request.sampling;
    match key {
        "model" => request.model = value.expect_text()?.to_owned(),
        "stream" => request.stream = value.expect_flag()?,
        "max_tokens" => request.max_tokens = Some(value.expect_u64()?),
        "temperature" => sampling.temperature = Some(value.expect_f64()?),
        "top_p" => sampling.top_p = Some(value.expect_f64()?),
        "top_k" => sampling.top_k = Some(value.expect_u64()?),
        "stop_sequences" => {
            request.stop = value.read_items(|item| item.expect_text().map(str::to_owned))?;
        }
        "tools" => tools(request, value)?,
        "tool_choice" => tool_choice(request, value)?,
        "thinking" => thinking(request, value)?,
        "output_config" => output_config(request, value)?,
        // Its older place.
        "output_format" => request.format = Some(format(value)?),
        "metadata" => metadata(request, value)?,
        "service_tier" => {
            // OpenAI's name for it, which the others know.
            let tier = match value.expect_text()? {
                "standard_only" => "default",
                other => other,
            };
            request.service_tier = Some(tier.to_owned());
        }
        _ => foreign::keep(request, DIALECT, key, value),
    }
    Ok(())
}

/// The turns that one message stands for: a tool's and the user's, if it is the user's and has results.
fn turns(value: Node<'_>, lost: &mut Lost) -> Result<Vec<Turn>, Malformed> {
    let role = match value.expect_text_at("role")? {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => Role::System,
        _ => return Err(Malformed::new("one of user, assistant, system")).within("role"),
    };
    let content = value.expect("content", "a string or an array of content blocks")?;
    let parts = contents(content, lost).within("content")?;
    if role != Role::User {
        return Ok(vec![Turn::new(role, parts)]);
    }
    let is_result = |content: &Content| matches!(content, Content::ToolResult(_));
    let (results, rest): (Vec<_>, Vec<_>) =
        parts.into_iter().partition(|part| is_result(&part.content));
    let has_results = !results.is_empty();
    let turns = [Turn::new(Role::Tool, results), Turn::new(Role::User, rest)];
    let is_said = |turn: &Turn| !turn.parts.is_empty() || (turn.role == Role::User && !has_results);
    Ok(turns.into_iter().filter(is_said).collect())
}

fn tools(request: &mut ChatRequest, value: Node<'_>) -> Result<(), Malformed> {
    for (index, item) in value.expect_array()?.items().enumerate() {
        let tool = tool(item).within_item(index)?;
        if matches!(tool, Tool::Function(_)) {
            for (key, hint) in item.members().filter(|(key, _)| !FUNCTION_MEMBERS.contains(key)) {
                foreign::keep(request, DIALECT, &format!(".tools[{index}].{key}"), hint);
            }
        }
        request.tools.push(tool);
    }
    Ok(())
}

/// What a function of ours has a place for; what else a tool says are hints to this vendor.
const FUNCTION_MEMBERS: [&str; 6] =
    ["type", "name", "description", "input_schema", "strict", "cache_control"];

/// What a search of ours has a place for. The version is not kept.
const SEARCH_MEMBERS: [&str; 6] =
    ["type", "name", "max_uses", "allowed_domains", "blocked_domains", "user_location"];

fn tool(value: Node<'_>) -> Result<Tool, Malformed> {
    let has_only = |known: &[&str]| {
        value.members().all(|(key, member)| known.contains(&key) || member.is_null())
    };
    match value.text_at("type")? {
        None | Some("custom") => function(value).map(Tool::Function),
        Some(kind) if kind.starts_with("web_search_") && has_only(&SEARCH_MEMBERS) => {
            web_search(value).map(Tool::WebSearch)
        }
        Some(kind) if kind.starts_with("code_execution_") && has_only(&["type", "name"]) => {
            Ok(Tool::CodeExecution)
        }
        Some(_) => Ok(Tool::Foreign(Foreign { dialect: DIALECT, json: value.json() })),
    }
}

fn function(value: Node<'_>) -> Result<Function, Malformed> {
    Ok(Function {
        name: name::read(value.expect_text_at("name")?).into_owned(),
        description: value.text_at("description")?.map(str::to_owned),
        parameters: value
            .get("input_schema")
            .map(|schema| schema.expect_object().within("input_schema").map(Node::json))
            .transpose()?,
        strict: value.get("strict").and_then(Node::flag),
        cache: cache_point(value),
    })
}

fn web_search(value: Node<'_>) -> Result<WebSearch, Malformed> {
    let domains = |key: &str| match value.get(key) {
        Some(list) => list.read_items(|item| item.expect_text().map(str::to_owned)).within(key),
        None => Ok(Vec::new()),
    };
    Ok(WebSearch {
        allowed_domains: domains("allowed_domains")?,
        blocked_domains: domains("blocked_domains")?,
        uses_max: value.get("max_uses").and_then(Node::u64),
        user_location: value.get("user_location").map(Node::json),
        context_size: None,
    })
}

fn tool_choice(request: &mut ChatRequest, value: Node<'_>) -> Result<(), Malformed> {
    request.tool_choice = Some(match value.expect_text_at("type")? {
        "auto" => ToolChoice::Auto,
        "any" => ToolChoice::Required,
        "none" => ToolChoice::None,
        "tool" => ToolChoice::Function(name::read(value.expect_text_at("name")?).into_owned()),
        _ => return Err(Malformed::new("one of auto, any, tool, none")).within("type"),
    });
    let disabled = value.get("disable_parallel_tool_use").and_then(Node::flag);
    request.parallel_tool_calls = disabled.map(|disabled| !disabled);
    Ok(())
}

fn thinking(request: &mut ChatRequest, value: Node<'_>) -> Result<(), Malformed> {
    let mut settings = request.reasoning.take().unwrap_or_default();
    match value.expect_text_at("type")? {
        "enabled" => {
            let budget = value.expect("budget_tokens", "a whole number of 0 or more")?;
            settings.tokens_max = Some(budget.expect_u64().within("budget_tokens")?);
        }
        "adaptive" => {}
        // The latter writes notes between its calls, but does not think either.
        "disabled" | "between_tools" => settings.is_off = true,
        _ => {
            let expected = "one of enabled, adaptive, disabled, between_tools";
            return Err(Malformed::new(expected)).within("type");
        }
    }
    settings.is_shown = value.text_at("display")?.map(|display| display != "omitted");
    request.reasoning = Some(settings);
    for (key, member) in value.members() {
        if !["type", "budget_tokens", "display"].contains(&key) {
            foreign::keep(request, DIALECT, &format!(".thinking.{key}"), member);
        }
    }
    Ok(())
}

fn output_config(request: &mut ChatRequest, value: Node<'_>) -> Result<(), Malformed> {
    for (key, member) in value.expect_object()?.members().filter(|(_, member)| !member.is_null()) {
        match key {
            "effort" => {
                let effort = Some(member.expect_text().within(key)?.to_owned());
                let settings: &mut ReasoningSettings = request.reasoning.get_or_insert_default();
                settings.effort = effort;
            }
            "format" => request.format = Some(format(member).within(key)?),
            _ => foreign::keep(request, DIALECT, &format!(".output_config.{key}"), member),
        }
    }
    Ok(())
}

/// A format has neither name nor description here, and is always kept to.
fn format(value: Node<'_>) -> Result<Format, Malformed> {
    if value.expect_text_at("type")? != "json_schema" {
        return Err(Malformed::new("json_schema")).within("type");
    }
    let schema = value.expect("schema", "a JSON schema")?.expect_object().within("schema")?;
    Ok(Format::JsonSchema {
        name: None,
        description: None,
        schema: schema.json(),
        strict: Some(true),
    })
}

fn metadata(request: &mut ChatRequest, value: Node<'_>) -> Result<(), Malformed> {
    for (key, member) in value.expect_object()?.members().filter(|(_, member)| !member.is_null()) {
        if key == "user_id" {
            request.user = Some(member.expect_text().within(key)?.to_owned());
        } else {
            let text = member.text().map_or_else(|| member.json().text().to_owned(), str::to_owned);
            request.metadata.push((key.to_owned(), text));
        }
    }
    Ok(())
}

//! A client's request.
//!
//! Members of `generationConfig` and `toolConfig` that only this dialect has are kept under their path
//! (`generationConfig.speechConfig`), which warnings name, and written back there for Google's own API.

use super::part::{RawPart, each, either};
use super::read_contents::Contents;
use super::schema::json_schema;
use crate::dialects::codec::RequestPath;
use crate::dialects::extra_fields;
use crate::llm::{
    ChatRequest, Dialect, DialectJson, Format, Function, Json, Malformed, Node, Part,
    ReasoningSettings, Role, Tool, ToolChoice, Turn, WebSearch, Within,
};

/// Path of the tool choice's modes that only this dialect has.
pub(super) const CALLING: &str = "toolConfig.functionCallingConfig.";

/// Reads the body. The path has the model and whether the response is streamed.
pub(super) fn read(root: Node<'_>, path: &RequestPath<'_>) -> Result<ChatRequest, Malformed> {
    let mut request =
        ChatRequest { stream: path.stream, include_usage: true, ..ChatRequest::default() };
    let (mut contents, mut instructions) = (Contents::default(), None);
    for (key, value) in root.members() {
        if value.is_null() {
            continue;
        }
        match key {
            "contents" => {
                each(value, |content| contents.take(content)).within(key)?;
            }
            "systemInstruction" | "system_instruction" => {
                instructions = Some(system(value).within(key)?);
            }
            "generationConfig" | "generation_config" => {
                generation_config(&mut request, value.expect_object().within(key)?).within(key)?;
            }
            _ => member(&mut request, key, value).within(key)?,
        }
    }
    if let Some(model) = path.model {
        model.clone_into(&mut request.model);
    }
    if request.model.is_empty() {
        return Err(Malformed::new("the name of a model, in the path")).within("model");
    }
    if contents.turns.is_empty() {
        return Err(Malformed::new("an array of at least one content")).within("contents");
    }
    request.turns = instructions.into_iter().chain(contents.turns).collect();
    for (path, json) in contents.beside {
        request.extra_fields.push((path, DialectJson { dialect: Dialect::Gemini, json }));
    }
    Ok(request)
}

/// Reads one top-level member that is not null.
fn member(request: &mut ChatRequest, key: &str, value: Node<'_>) -> Result<(), Malformed> {
    match key {
        "model" => value.expect_text()?.clone_into(&mut request.model),
        "tools" => {
            let foreign = &mut request.extra_fields;
            let tools = each(value, |element| tools(element, foreign))?;
            request.tools = tools.into_iter().flatten().collect();
        }
        "toolConfig" | "tool_config" => tool_config(request, value.expect_object()?)?,
        "labels" => {
            let label = |(key, text): (&str, Node<'_>)| {
                Ok((key.to_owned(), text.expect_text().within(key)?.to_owned()))
            };
            request.metadata =
                value.expect_object()?.members().map(label).collect::<Result<_, _>>()?;
        }
        "serviceTier" | "service_tier" => {
            request.service_tier = Some(value.expect_text()?.to_ascii_lowercase());
        }
        _ => extra_fields::keep(&mut request.extra_fields, Dialect::Gemini, key, value),
    }
    Ok(())
}

/// Reads a content, whose role is ignored, or a string.
fn system(value: Node<'_>) -> Result<Turn, Malformed> {
    let parts = match value.text() {
        Some(text) => vec![Part::text(text)],
        None => {
            let parts = value.expect("parts", "an array of parts")?;
            each(parts, |node| RawPart::read(node)?.into_parts(node))
                .within("parts")?
                .into_iter()
                .flatten()
                .collect()
        }
    };
    Ok(Turn::new(Role::System, parts))
}

/// Reads the tools of one element. Its key names their kind; some clients put several into one.
fn tools(
    value: Node<'_>,
    foreign: &mut Vec<(String, DialectJson)>,
) -> Result<Vec<Tool>, Malformed> {
    let mut found = Vec::new();
    for (key, inner) in value.expect_object()?.members() {
        if inner.is_null() {
            continue;
        }
        let plain = inner.count() == 0;
        match key {
            "functionDeclarations" | "function_declarations" => {
                let functions = each(inner, |it| function(it, foreign)).within(key)?;
                found.extend(functions.into_iter().map(Tool::Function));
            }
            "codeExecution" | "code_execution" if plain => found.push(Tool::CodeExecution),
            "googleSearch" | "google_search" => found.push(search(key, inner)?),
            "googleSearchRetrieval" | "google_search_retrieval" if plain => {
                found.push(Tool::WebSearch(WebSearch::default()));
            }
            _ => found.push(alone(key, inner)),
        }
    }
    Ok(found)
}

/// A tool with a single key.
fn alone(key: &str, inner: Node<'_>) -> Tool {
    let mut out = Vec::new();
    crate::llm::write_object(&mut out, |object| object.raw(key, &inner.json()));
    let json = Json::of_written(String::from_utf8(out).unwrap_or_default());
    Tool::Raw(DialectJson { dialect: Dialect::Gemini, json })
}

fn search(key: &str, inner: Node<'_>) -> Result<Tool, Malformed> {
    let mut search = WebSearch::default();
    for (name, value) in inner.members() {
        match name {
            "excludeDomains" | "exclude_domains" => {
                search.blocked_domains = texts(value).within(name).within(key)?;
            }
            _ if value.is_null() => {}
            _ => return Ok(alone(key, inner)),
        }
    }
    Ok(Tool::WebSearch(search))
}

/// Reads a function. Members that other dialects lack, such as the schema of its result, are reported.
fn function(
    value: Node<'_>,
    foreign: &mut Vec<(String, DialectJson)>,
) -> Result<Function, Malformed> {
    for (key, inner) in value.members() {
        let known = ["name", "description", "parameters", "parametersJsonSchema"];
        let is_known = known.contains(&key) || key == "parameters_json_schema";
        if !is_known && !inner.is_null() {
            let path = format!("tools[].functionDeclarations[].{key}");
            foreign.push((path, DialectJson { dialect: Dialect::Gemini, json: inner.json() }));
        }
    }
    let schema = either(value, "parametersJsonSchema", "parameters_json_schema");
    let parameters = match (schema, value.get("parameters")) {
        (Some(schema), _) => Some(schema.expect_object().within("parametersJsonSchema")?.json()),
        (None, Some(schema)) => Some(json_schema(schema.expect_object().within("parameters")?)),
        (None, None) => None,
    };
    Ok(Function {
        name: value.expect_text_at("name")?.to_owned(),
        description: value.text_at("description")?.map(str::to_owned),
        parameters,
        strict: None,
        cache: None,
        openai: None,
    })
}

fn tool_config(request: &mut ChatRequest, value: Node<'_>) -> Result<(), Malformed> {
    for (key, inner) in value.members() {
        if inner.is_null() {
            continue;
        }
        match key {
            "functionCallingConfig" | "function_calling_config" => {
                calling(request, inner.expect_object().within(key)?).within(key)?;
            }
            _ => extra_fields::keep(
                &mut request.extra_fields,
                Dialect::Gemini,
                &format!("toolConfig.{key}"),
                inner,
            ),
        }
    }
    Ok(())
}

/// Reads which functions may be called. Partial arguments are not kept: a translated stream sends them
/// as they arrive.
fn calling(request: &mut ChatRequest, value: Node<'_>) -> Result<(), Malformed> {
    let mode = value.text_at("mode")?.unwrap_or_default().to_ascii_uppercase();
    let names = either(value, "allowedFunctionNames", "allowed_function_names");
    let allowed = names.map(|names| texts(names).within("allowedFunctionNames")).transpose()?;
    let allowed = allowed.unwrap_or_default();
    let keep = |request: &mut ChatRequest, key: &str, value: Node<'_>| {
        extra_fields::keep(
            &mut request.extra_fields,
            Dialect::Gemini,
            &format!("{CALLING}{key}"),
            value,
        );
    };
    request.tool_choice = match (mode.as_str(), allowed.as_slice()) {
        ("NONE", _) => Some(ToolChoice::None),
        ("ANY", [one]) => Some(ToolChoice::Function(one.clone())),
        ("ANY", _) => Some(ToolChoice::Required),
        ("AUTO", _) => Some(ToolChoice::Auto),
        ("" | "MODE_UNSPECIFIED", _) => None,
        ("VALIDATED", _) => {
            value.get("mode").into_iter().for_each(|mode| keep(request, "mode", mode));
            Some(ToolChoice::Auto)
        }
        _ => return Err(Malformed::new("one of AUTO, ANY, NONE, VALIDATED")).within("mode"),
    };
    let is_forced = matches!(request.tool_choice, Some(ToolChoice::Function(_)));
    if let Some(names) = names.filter(|_| !allowed.is_empty() && !is_forced) {
        keep(request, "allowedFunctionNames", names);
    }
    Ok(())
}

fn texts(value: Node<'_>) -> Result<Vec<String>, Malformed> {
    value.read_items(|item| item.expect_text().map(str::to_owned))
}

fn generation_config(request: &mut ChatRequest, config: Node<'_>) -> Result<(), Malformed> {
    let (mut media_type, mut schema) = (None, None);
    for (key, value) in config.members() {
        if value.is_null() {
            continue;
        }
        match key {
            "responseMimeType" | "response_mime_type" => {
                media_type = Some(value.expect_text().within(key)?);
            }
            "responseSchema" | "response_schema" => {
                schema = schema.or(Some(json_schema(value.expect_object().within(key)?)));
            }
            "responseJsonSchema" | "response_json_schema" | "_responseJsonSchema" => {
                schema = Some(value.expect_object().within(key)?.json());
            }
            _ => setting(request, key, value).within(key)?,
        }
    }
    request.format = match (media_type, schema) {
        (Some("text/x.enum"), schema) => {
            // One of several values of a mode that no other dialect has.
            let mut keep = |key: &str, json| {
                let foreign = DialectJson { dialect: Dialect::Gemini, json };
                request.extra_fields.push((format!("generationConfig.{key}"), foreign));
            };
            keep("responseMimeType", Json::of_text("text/x.enum"));
            schema.into_iter().for_each(|schema| keep("responseJsonSchema", schema));
            None
        }
        (_, Some(schema)) => {
            Some(Format::JsonSchema { name: None, description: None, schema, strict: None })
        }
        (Some("application/json"), None) => Some(Format::JsonObject),
        (Some("text/plain"), None) => Some(Format::Text),
        (Some(_), None) => {
            let expected = "one of text/plain, application/json, text/x.enum";
            return Err(Malformed::new(expected)).within("responseMimeType");
        }
        (None, None) => None,
    };
    Ok(())
}

/// Reads one member of `generationConfig` that is not null.
fn setting(request: &mut ChatRequest, key: &str, value: Node<'_>) -> Result<(), Malformed> {
    let sampling = &mut request.sampling;
    match key {
        "maxOutputTokens" | "max_output_tokens" => request.max_tokens = Some(value.expect_u64()?),
        "temperature" => sampling.temperature = Some(value.expect_f64()?),
        "topP" | "top_p" => sampling.top_p = Some(value.expect_f64()?),
        "topK" | "top_k" => sampling.top_k = Some(value.expect_u64()?),
        "candidateCount" | "candidate_count" => request.n = Some(value.expect_u64()?),
        "stopSequences" | "stop_sequences" => request.stop = texts(value)?,
        "seed" => sampling.seed = Some(value.expect_i64()?),
        "presencePenalty" | "presence_penalty" => {
            sampling.presence_penalty = Some(value.expect_f64()?);
        }
        "frequencyPenalty" | "frequency_penalty" => {
            sampling.frequency_penalty = Some(value.expect_f64()?);
        }
        "responseLogprobs" | "response_logprobs" => {
            if value.expect_flag()? {
                request.top_logprobs.get_or_insert(0);
            }
        }
        "logprobs" => request.top_logprobs = Some(value.expect_u64()?),
        "responseModalities" | "response_modalities" => {
            request.modalities =
                texts(value)?.iter().map(|name| name.to_ascii_lowercase()).collect();
        }
        "thinkingConfig" | "thinking_config" => thinking(request, value.expect_object()?)?,
        _ => {
            extra_fields::keep(
                &mut request.extra_fields,
                Dialect::Gemini,
                &format!("generationConfig.{key}"),
                value,
            );
        }
    }
    Ok(())
}

fn thinking(request: &mut ChatRequest, config: Node<'_>) -> Result<(), Malformed> {
    let mut settings = ReasoningSettings::default();
    for (key, value) in config.members() {
        if value.is_null() {
            continue;
        }
        match key {
            "includeThoughts" | "include_thoughts" => {
                settings.is_shown = Some(value.expect_flag().within(key)?);
            }
            "thinkingBudget" | "thinking_budget" => match value.expect_i64().within(key)? {
                0 => settings.is_off = true,
                // No limit, which only this dialect can request.
                ..0 => {
                    let path = "generationConfig.thinkingConfig.thinkingBudget";
                    extra_fields::keep(&mut request.extra_fields, Dialect::Gemini, path, value);
                }
                tokens => settings.tokens_max = u64::try_from(tokens).ok(),
            },
            "thinkingLevel" | "thinking_level" => {
                let level = value.expect_text().within(key)?.to_ascii_lowercase();
                settings.effort = Some(level).filter(|it| it != "thinking_level_unspecified");
            }
            _ => {
                let path = format!("generationConfig.thinkingConfig.{key}");
                extra_fields::keep(&mut request.extra_fields, Dialect::Gemini, &path, value);
            }
        }
    }
    request.reasoning = Some(settings);
    Ok(())
}

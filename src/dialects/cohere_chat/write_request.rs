//! A request for Cohere.
//!
//! The limits of settings are those of the API reference; a value beyond one becomes the limit, with a
//! warning.

use super::write_message;
use crate::dialects::codec::{TargetModel, Unsupported};
use crate::dialects::extra_fields;
use crate::dialects::json_schema::{COHERE, Parameters, fit};
use crate::dialects::warnings::Warnings;
use crate::llm::{
    ArrayWriter, ChatRequest, Content, Dialect, File, Format, Function, Json, ObjectWriter, Tool,
    ToolChoice, write_object,
};

/// The reason in warnings about members that the dialect lacks.
const NO_SUCH: &str = "cohere-chat has no such setting";

/// Maximum number of stop sequences.
const STOP_SEQUENCES_MAX: usize = 5;

/// Appends the body.
pub(super) fn write(
    request: &ChatRequest,
    target: &TargetModel<'_>,
    warnings: &mut Warnings,
    out: &mut Vec<u8>,
) -> Result<(), Unsupported> {
    refuse(request)?;
    warn(request, warnings);
    write_object(out, |root| {
        root.text("model", target.model);
        root.array("messages", |messages| {
            request.turns.iter().try_for_each(|turn| write_message::write(messages, turn, warnings))
        })?;
        documents(root, request, warnings)?;
        settings(root, request, warnings);
        sampling(root, request, warnings);
        tools(root, request, warnings)?;
        if request.stream {
            root.flag("stream", true);
        }
        Ok(())
    })
}

/// Rejects what cannot be dropped without changing the meaning.
fn refuse(request: &ChatRequest) -> Result<(), Unsupported> {
    extra_fields::refuse_state(request, Dialect::CohereChat)?;
    if request.n.is_some_and(|n| n > 1) {
        return Err(Unsupported::new("more than one answer", "cohere-chat gives one"));
    }
    if request.stop.len() > STOP_SEQUENCES_MAX {
        return Err(Unsupported::new("so many stop sequences", "cohere-chat takes five"));
    }
    if request.modalities.iter().any(|modality| modality != "text") {
        return Err(Unsupported::new(
            "a wish for sound or pictures",
            "cohere-chat answers in text",
        ));
    }
    Ok(())
}

/// Warns about dropped settings that no other function handles.
fn warn(request: &ChatRequest, warnings: &mut Warnings) {
    let sampling = &request.sampling;
    for (name, is_set) in [
        ("min_p", sampling.min_p.is_some()),
        ("logit_bias", sampling.logit_bias.is_some()),
        ("user", request.user.is_some()),
        ("metadata", !request.metadata.is_empty()),
        ("service_tier", request.service_tier.is_some()),
        ("prediction", request.prediction.is_some()),
        ("verbosity", request.verbosity.is_some()),
        ("audio", request.audio_output.is_some()),
        ("parallel_tool_calls", request.parallel_tool_calls == Some(false)),
        ("top_logprobs", request.top_logprobs.is_some_and(|top| top > 0)),
    ] {
        if is_set {
            warnings.dropped(name, NO_SUCH);
        }
    }
}

/// Writes `documents`: those of the request, and its text files. Then the other extra fields of this
/// dialect.
fn documents(
    root: &mut ObjectWriter<'_>,
    request: &ChatRequest,
    warnings: &mut Warnings,
) -> Result<(), Unsupported> {
    let parts = request.turns.iter().flat_map(|turn| &turn.parts);
    let files: Vec<(&File, String)> = parts
        .filter_map(|part| match &part.content {
            Content::File(file) => Some(write_message::text_of(file).map(|text| (file, text))),
            _ => None,
        })
        .collect::<Result<_, _>>()?;
    if !files.is_empty() {
        warnings.changed("a file", "sent as a document beside the messages");
    }
    extra_fields::warn_of_others(request, Dialect::CohereChat, warnings);
    for (key, own) in request.extra_fields.iter().filter(|(_, it)| is_own(it)) {
        if key != "documents" || files.is_empty() {
            root.raw(key, &own.json);
        }
    }
    if files.is_empty() {
        return Ok(());
    }
    root.array("documents", |array| {
        let own = |(key, foreign): &&(String, _)| key == "documents" && is_own(foreign);
        if let Some((_, given)) = request.extra_fields.iter().find(own) {
            write_items(array, &given.json);
        }
        for (file, text) in &files {
            array.object(|document| {
                document.object("data", |data| write_message::data(data, file, text));
            });
        }
    });
    Ok(())
}

fn is_own(foreign: &crate::llm::DialectJson) -> bool {
    foreign.dialect == Dialect::CohereChat
}

/// Writes the elements of an array that is given as text.
fn write_items(array: &mut ArrayWriter<'_>, given: &Json) {
    let inner = given.text().strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Some(inner) = inner.filter(|inner| !inner.trim().is_empty()) {
        array.item().extend_from_slice(inner.as_bytes());
    }
}

fn settings(root: &mut ObjectWriter<'_>, request: &ChatRequest, warnings: &mut Warnings) {
    root.optional_number("max_tokens", request.max_tokens);
    if !request.stop.is_empty() {
        root.texts("stop_sequences", request.stop.iter().map(String::as_str));
    }
    if request.top_logprobs.is_some() {
        root.flag("logprobs", true);
    }
    if let Some(format) = &request.format {
        root.object("response_format", |object| write_format(object, format, warnings));
    }
    if let Some(reasoning) = &request.reasoning {
        let is_off = reasoning.is_off || reasoning.effort.as_deref() == Some("none");
        root.object("thinking", |thinking| {
            thinking.text("type", if is_off { "disabled" } else { "enabled" });
            if !is_off {
                thinking.optional_number("token_budget", reasoning.budget_tokens());
            }
        });
        if reasoning.is_shown == Some(false) && !is_off {
            warnings.dropped("the wish for no thoughts", "cohere-chat always shows them");
        }
    }
}

/// The schema's name, a label for people, is dropped; the dialect always enforces the schema.
fn write_format(object: &mut ObjectWriter<'_>, format: &Format, warnings: &mut Warnings) {
    match format {
        Format::Text => object.text("type", "text"),
        Format::JsonObject => object.text("type", "json_object"),
        Format::JsonSchema { description, schema, .. } => {
            object.text("type", "json_object");
            match fit(schema, &COHERE, "response_format", warnings) {
                Ok(fitting) => object.raw("json_schema", &fitting),
                Err(why) => {
                    let why = format!("cohere-chat does not take {why}");
                    warnings.dropped("the schema of response_format", &why);
                }
            }
            if description.is_some() {
                warnings.dropped("the schema's description", NO_SUCH);
            }
        }
    }
}

fn sampling(root: &mut ObjectWriter<'_>, request: &ChatRequest, warnings: &mut Warnings) {
    let sampling = &request.sampling;
    let mut bounded = |key: &str, name: &str, value: Option<f64>, least: f64, most: f64| {
        let Some(value) = value else { return };
        let near = value.clamp(least, most);
        if near != value {
            warnings.changed(name, &format!("cohere-chat has it from {least} to {most}"));
        }
        root.float(key, near);
    };
    bounded("temperature", "temperature", sampling.temperature, 0.0, 1.0);
    bounded("p", "top_p", sampling.top_p, 0.01, 0.99);
    bounded("frequency_penalty", "frequency_penalty", sampling.frequency_penalty, 0.0, 1.0);
    bounded("presence_penalty", "presence_penalty", sampling.presence_penalty, 0.0, 1.0);
    if let Some(top_k) = sampling.top_k {
        if top_k > 500 {
            warnings.changed("top_k", "cohere-chat has it from 0 to 500");
        }
        root.number("k", top_k.min(500));
    }
    match sampling.seed.map(u64::try_from) {
        None => {}
        Some(Ok(seed)) => root.number("seed", seed),
        Some(Err(_)) => warnings.dropped("seed", "cohere-chat has it from 0"),
    }
}

fn tools(
    root: &mut ObjectWriter<'_>,
    request: &ChatRequest,
    warnings: &mut Warnings,
) -> Result<(), Unsupported> {
    let forced = match &request.tool_choice {
        Some(ToolChoice::Function(name)) => Some(name),
        _ => None,
    };
    let sent = sendable(request, forced, warnings);
    if sent.is_empty() {
        if matches!(request.tool_choice, Some(ToolChoice::Required | ToolChoice::Function(_))) {
            return Err(Unsupported::new("a forced tool", "it is none of the request's functions"));
        }
        return Ok(());
    }
    let mut is_fit = true;
    root.array("tools", |array| {
        for tool in &sent {
            match tool {
                Tool::Function(function) => is_fit &= write_function(array, function, warnings),
                Tool::Raw(foreign) => array.raw(&foreign.json),
                Tool::WebSearch(_) | Tool::CodeExecution => {}
            }
        }
    });
    if is_fit {
        strictness(root, request, warnings);
    }
    match &request.tool_choice {
        None | Some(ToolChoice::Auto) => {}
        Some(ToolChoice::None) => root.text("tool_choice", "NONE"),
        Some(ToolChoice::Required | ToolChoice::Function(_)) => {
            root.text("tool_choice", "REQUIRED");
        }
    }
    if forced.is_some() && request.tools.len() > 1 {
        let how = "cohere-chat cannot name a tool, so that one alone is sent";
        warnings.changed("tool_choice", how);
    }
    Ok(())
}

/// The tools that are sent: all, or only the one that is forced.
fn sendable<'r>(
    request: &'r ChatRequest,
    forced: Option<&String>,
    warnings: &mut Warnings,
) -> Vec<&'r Tool> {
    let mut sent = Vec::with_capacity(request.tools.len());
    for tool in &request.tools {
        match tool {
            Tool::Function(function) => {
                if function.cache.is_some() {
                    warnings.dropped("cache_control", write_message::NO_CACHE_POINTS);
                }
                if forced.is_none_or(|name| *name == function.name) {
                    sent.push(tool);
                }
            }
            Tool::Raw(foreign) if is_own(foreign) => {
                if forced.is_none() {
                    sent.push(tool);
                }
            }
            Tool::Raw(_) => extra_fields::warn_of_tool(tool, warnings),
            Tool::WebSearch(_) => {
                warnings.dropped("the web search tool", "cohere-chat has none");
            }
            Tool::CodeExecution => {
                warnings.dropped("the code execution tool", "cohere-chat has none");
            }
        }
    }
    sent
}

/// Writes `strict_tools`, which applies to all tools.
fn strictness(root: &mut ObjectWriter<'_>, request: &ChatRequest, warnings: &mut Warnings) {
    let mut functions = request.functions();
    let first = functions.next().and_then(|function| function.strict);
    if request.functions().all(|function| function.strict == first) {
        root.optional_flag("strict_tools", first);
    } else if request.functions().any(|function| function.strict == Some(true)) {
        warnings.dropped("strict", "cohere-chat says it of all tools at once");
    }
}

/// Returns whether the function is as strict as requested.
fn write_function(
    array: &mut ArrayWriter<'_>,
    function: &Function,
    warnings: &mut Warnings,
) -> bool {
    let parameters = Parameters::of(function, &COHERE, warnings);
    let is_fit = parameters.strict == function.strict;
    array.object(|tool| {
        tool.text("type", "function");
        tool.object("function", |inner| {
            inner.text("name", &function.name);
            inner.optional_text("description", function.description.as_deref());
            // Required; a function without arguments has an object schema without members.
            inner.raw("parameters", &parameters.schema_or_empty());
        });
    });
    is_fit
}

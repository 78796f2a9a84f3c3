//! A request for Google.
//!
//! Schemas are written as JSON Schema, in `parametersJsonSchema` and `responseJsonSchema`: AI Studio
//! has them in v1beta (google-ai-generativelanguage 0.12.1) and in v1 (where google-genai 3.4 sends
//! them), Vertex in v1 and v1beta1 (discovery documents of 2026-11-06).

use super::read_request::CALLING;
use super::write_contents::ContentsWriter;
use crate::dialects::codec::{TargetModel, Unsupported};
use crate::dialects::json_schema::{GEMINI, fit, fit_parameters};
use crate::dialects::warnings::Warnings;
use crate::dialects::{extra_fields, service_tier};
use crate::llm::{
    ArrayWriter, ChatRequest, Dialect, Format, Function, Json, ModelRules, ObjectWriter,
    ReasoningSettings, ThinkingForm, Tool, ToolChoice, WebSearch, write_object,
};

/// The reason in warnings about members that the dialect lacks.
const NO_SUCH: &str = "gemini has no such setting";

/// Maximum number of stop sequences (Gemini API, `GenerationConfig`).
const STOPS_MAX: usize = 5;

/// Maximum number of alternatives of a token (Gemini API, `GenerationConfig`).
const LOGPROBS_MAX: u64 = 20;

/// Appends the body.
pub(super) fn write(
    request: &ChatRequest,
    target: &TargetModel<'_>,
    warnings: &mut Warnings,
    out: &mut Vec<u8>,
) -> Result<(), Unsupported> {
    extra_fields::refuse_state(request, Dialect::Gemini)?;
    let rules = target.rules;
    write_object(out, |root| {
        ContentsWriter::new(request, rules).write(root, request, warnings)?;
        write_tools(root, request, warnings);
        tool_config(root, request, warnings);
        generation_config(root, request, rules, warnings);
        labels(root, request, warnings);
        write_tier(root, request, warnings);
        foreign_members(root, request, warnings);
        without_word(request, warnings);
        Ok(())
    })
}

/// Warns about settings that this dialect lacks.
fn without_word(request: &ChatRequest, warnings: &mut Warnings) {
    let sampling = &request.sampling;
    for (name, is_there) in [
        ("min_p", sampling.min_p.is_some()),
        ("logit_bias", sampling.logit_bias.is_some()),
        ("parallel_tool_calls", request.parallel_tool_calls == Some(false)),
        ("verbosity", request.verbosity.is_some()),
        ("user", request.user.is_some()),
        ("prediction", request.prediction.is_some()),
        ("audio", request.audio_output.is_some()),
    ] {
        if is_there {
            warnings.dropped(name, NO_SUCH);
        }
    }
}

/// Writes this dialect's extra fields at the top level, and warns about those of others and those that
/// cannot be put back.
fn foreign_members(root: &mut ObjectWriter<'_>, request: &ChatRequest, warnings: &mut Warnings) {
    extra_fields::warn_of_others(request, Dialect::Gemini, warnings);
    for (key, foreign) in
        request.extra_fields.iter().filter(|(_, it)| it.dialect == Dialect::Gemini)
    {
        let is_placed = key.starts_with("generationConfig.") || key.starts_with("toolConfig.");
        if key.starts_with("contents[") || key.starts_with("tools[") {
            warnings.dropped(key, "it lies beside what was translated");
        } else if !is_placed {
            root.raw(key, &foreign.json);
        }
    }
}

/// The extra fields of this dialect directly below `path`.
fn kept<'a>(request: &'a ChatRequest, path: &'a str) -> impl Iterator<Item = (&'a str, &'a Json)> {
    request.extra_fields.iter().filter_map(move |(key, foreign)| {
        let name = key.strip_prefix(path)?;
        (foreign.dialect == Dialect::Gemini && !name.contains('.')).then_some((name, &foreign.json))
    })
}

fn write_tools(root: &mut ObjectWriter<'_>, request: &ChatRequest, warnings: &mut Warnings) {
    let is_function = |tool: &Tool| matches!(tool, Tool::Function(_));
    let first_function = request.tools.iter().position(is_function);
    let mut elements = Vec::new();
    crate::llm::write_array(&mut elements, |array| {
        for (index, tool) in request.tools.iter().enumerate() {
            match tool {
                Tool::Function(_) if first_function == Some(index) => {
                    array.object(|tool| {
                        tool.array("functionDeclarations", |functions| {
                            request
                                .functions()
                                .for_each(|it| write_function(functions, it, warnings));
                        });
                    });
                }
                Tool::Function(_) => {}
                Tool::WebSearch(search) => write_search(array, search, warnings),
                Tool::CodeExecution => {
                    array.object(|tool| tool.object("codeExecution", |_| {}));
                }
                Tool::Raw(foreign) if foreign.dialect == Dialect::Gemini => {
                    array.raw(&foreign.json);
                }
                Tool::Raw(_) => extra_fields::warn_of_tool(tool, warnings),
            }
        }
    });
    if elements.len() > "[]".len() {
        root.key("tools").extend_from_slice(&elements);
    }
}

fn write_function(functions: &mut ArrayWriter<'_>, function: &Function, warnings: &mut Warnings) {
    functions.object(|object| {
        object.text("name", &function.name);
        object.optional_text("description", function.description.as_deref());
        let parameters = function.parameters.as_ref();
        let parameters = parameters.map(|schema| fit_parameters(schema, &function.name, warnings));
        object.optional_raw("parametersJsonSchema", parameters.as_deref());
    });
    if function.strict == Some(true) {
        warnings.dropped("strict", "gemini follows a function's schema without a promise");
    }
    if function.cache.is_some() {
        warnings.dropped("a cache point", "gemini caches by itself, or under a name of its own");
    }
}

/// Only Vertex can exclude sites. AI Studio rejects the request, which is better than an unwanted
/// search.
fn write_search(array: &mut ArrayWriter<'_>, search: &WebSearch, warnings: &mut Warnings) {
    array.object(|tool| {
        tool.object("googleSearch", |inner| {
            if !search.blocked_domains.is_empty() {
                inner.texts("excludeDomains", search.blocked_domains.iter().map(String::as_str));
            }
        });
    });
    for (name, is_there) in [
        ("allowed_domains of the web search", !search.allowed_domains.is_empty()),
        ("max_uses of the web search", search.uses_max.is_some()),
        ("user_location of the web search", search.user_location.is_some()),
    ] {
        if is_there {
            warnings.dropped(name, NO_SUCH);
        }
    }
}

fn tool_config(root: &mut ObjectWriter<'_>, request: &ChatRequest, warnings: &mut Warnings) {
    let has_functions = request.functions().next().is_some();
    let choice = request.tool_choice.as_ref();
    let is_forced = matches!(choice, Some(ToolChoice::Required | ToolChoice::Function(_)));
    if is_forced && !has_functions {
        warnings.dropped("tool_choice", "gemini can force functions only");
    }
    let choice = choice.filter(|_| has_functions);
    let mut config = Vec::new();
    write_object(&mut config, |object| {
        if let Some(choice) = choice {
            object.object("functionCallingConfig", |calling| {
                let keeps_mode = kept(request, CALLING).any(|(name, _)| name == "mode");
                match choice {
                    ToolChoice::Auto if keeps_mode => {}
                    ToolChoice::Auto => calling.text("mode", "AUTO"),
                    ToolChoice::None => calling.text("mode", "NONE"),
                    ToolChoice::Required => calling.text("mode", "ANY"),
                    ToolChoice::Function(name) => {
                        calling.text("mode", "ANY");
                        calling.texts("allowedFunctionNames", [name.as_str()]);
                    }
                }
                kept(request, CALLING).for_each(|(name, json)| calling.raw(name, json));
            });
        }
        kept(request, "toolConfig.").for_each(|(name, json)| object.raw(name, json));
    });
    if config.len() > "{}".len() {
        root.key("toolConfig").extend_from_slice(&config);
    }
}

fn generation_config(
    root: &mut ObjectWriter<'_>,
    request: &ChatRequest,
    rules: &ModelRules,
    warnings: &mut Warnings,
) {
    let mut config = Vec::new();
    write_object(&mut config, |object| {
        object.optional_number("maxOutputTokens", request.max_tokens);
        sampling(object, request, warnings);
        object.optional_number("candidateCount", request.n);
        if !request.stop.is_empty() {
            if request.stop.len() > STOPS_MAX {
                warnings.dropped("stop sequences beyond the fifth", "gemini takes no more");
            }
            let stops = request.stop.iter().take(STOPS_MAX);
            object.texts("stopSequences", stops.map(String::as_str));
        }
        if let Some(format) = &request.format {
            write_format(object, format, warnings);
        }
        if let Some(top) = request.top_logprobs {
            object.flag("responseLogprobs", true);
            if top > 0 {
                object.number("logprobs", top.min(LOGPROBS_MAX));
            }
        }
        if !request.modalities.is_empty() {
            let names = request.modalities.iter().map(|name| name.to_ascii_uppercase());
            let names: Vec<String> = names.collect();
            object.texts("responseModalities", names.iter().map(String::as_str));
        }
        if let Some(reasoning) = &request.reasoning {
            thinking(object, reasoning, request, rules, warnings);
        }
        kept(request, "generationConfig.").for_each(|(name, json)| object.raw(name, json));
    });
    if config.len() > "{}".len() {
        root.key("generationConfig").extend_from_slice(&config);
    }
}

fn sampling(object: &mut ObjectWriter<'_>, request: &ChatRequest, warnings: &mut Warnings) {
    let sampling = &request.sampling;
    object.optional_float("temperature", sampling.temperature);
    object.optional_float("topP", sampling.top_p);
    object.optional_number("topK", sampling.top_k);
    object.optional_float("presencePenalty", sampling.presence_penalty);
    object.optional_float("frequencyPenalty", sampling.frequency_penalty);
    if let Some(seed) = sampling.seed {
        // Google's seed has 32 bits.
        let short = i32::try_from(seed).unwrap_or_else(|_| {
            warnings.changed("seed", "its upper half was folded into 32 bits");
            folded(seed)
        });
        object.key("seed").extend_from_slice(short.to_string().as_bytes());
    }
}

/// Maps different seeds to different numbers, as far as 31 bits allow.
fn folded(seed: i64) -> i32 {
    let bits = seed.unsigned_abs();
    let short = (bits ^ (bits >> 32)) & 0x7FFF_FFFF;
    i32::try_from(short).unwrap_or(i32::MAX)
}

fn write_format(object: &mut ObjectWriter<'_>, format: &Format, warnings: &mut Warnings) {
    match format {
        Format::Text => object.text("responseMimeType", "text/plain"),
        Format::JsonObject => object.text("responseMimeType", "application/json"),
        // The name is for people, and Google always enforces the schema.
        Format::JsonSchema { description, schema, .. } => {
            if description.is_some() {
                warnings.dropped("description of the answer's schema", NO_SUCH);
            }
            object.text("responseMimeType", "application/json");
            match fit(schema, &GEMINI, "response_format", warnings) {
                Ok(fitting) => object.raw("responseJsonSchema", &fitting),
                Err(why) => {
                    let why = format!("gemini does not take {why}");
                    warnings.dropped("the schema of response_format", &why);
                }
            }
        }
    }
}

fn thinking(
    object: &mut ObjectWriter<'_>,
    reasoning: &ReasoningSettings,
    request: &ChatRequest,
    rules: &ModelRules,
    warnings: &mut Warnings,
) {
    let is_off = reasoning.is_off || reasoning.effort.as_deref() == Some("none");
    object.object("thinkingConfig", |config| {
        match (is_off, reasoning.tokens_max, &reasoning.effort) {
            (true, ..) => {
                let level = rules.least_effort().map(|least| level(least).0);
                let tokens = rules.thinking_tokens_min;
                if level.is_some() || tokens.is_some() {
                    let how = "set to the minimum, thinking cannot be disabled for this model";
                    warnings.changed("reasoning", how);
                }
                match level {
                    Some(level) => config.text("thinkingLevel", level),
                    None => config.number("thinkingBudget", tokens.unwrap_or(0)),
                }
            }
            (false, Some(tokens), _) => config.number("thinkingBudget", tokens),
            (false, None, Some(effort)) if rules.thinking_form != Some(ThinkingForm::Budget) => {
                let (nearest, is_other) = rules.nearest_effort(effort);
                let (level, is_less) = level(nearest);
                if is_other || is_less {
                    warnings.changed(
                        "reasoning effort",
                        "gemini has no such level, the nearest was set",
                    );
                }
                config.text("thinkingLevel", level);
            }
            (false, None, Some(_)) => {
                config.optional_number("thinkingBudget", reasoning.budget_tokens());
            }
            (false, None, None) => {}
        }
        let is_shown = reasoning.is_shown.or(reasoning.summary.is_some().then_some(true));
        config.optional_flag("includeThoughts", is_shown);
        let inner = kept(request, "generationConfig.thinkingConfig.");
        inner.for_each(|(name, json)| config.raw(name, json));
    });
}

/// The level for one of OpenAI's efforts, and whether it is lower than requested.
fn level(effort: &str) -> (&'static str, bool) {
    match effort {
        "minimal" => ("MINIMAL", false),
        "low" => ("LOW", false),
        "medium" => ("MEDIUM", false),
        "high" => ("HIGH", false),
        _ => ("HIGH", true),
    }
}

/// Labels for billing. Google rejects requests with other keys and values (Google Cloud, "Labels": at
/// most 63 lower-case letters, digits, `_` and `-`, a letter first in a key).
fn labels(root: &mut ObjectWriter<'_>, request: &ChatRequest, warnings: &mut Warnings) {
    let plain = |text: &str| {
        let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
        text.len() <= 63 && text.bytes().all(plain)
    };
    let fits = |(key, value): &&(String, String)| {
        plain(key) && key.starts_with(|first: char| first.is_ascii_lowercase()) && plain(value)
    };
    let fitting = || request.metadata.iter().filter(fits);
    if fitting().next().is_some() {
        root.object("labels", |labels| {
            fitting().for_each(|(key, value)| labels.text(key, value));
        });
    }
    for (key, _) in request.metadata.iter().filter(|label| !fits(label)) {
        warnings.dropped(&format!("metadata.{key}"), "it has not the form of a google label");
    }
}

/// AI Studio's tiers; OpenAI's default is omitted.
fn write_tier(root: &mut ObjectWriter<'_>, request: &ChatRequest, warnings: &mut Warnings) {
    let tier = request.service_tier.as_deref();
    match tier.map(|tier| service_tier::of_request(tier).unwrap_or(tier)) {
        Some("default") if tier == Some("standard") => root.text("serviceTier", "standard"),
        None | Some("auto" | "default") => {}
        Some(tier @ ("flex" | "priority")) => root.text("serviceTier", tier),
        Some(_) => warnings.dropped("service_tier", "gemini has flex, standard and priority"),
    }
}

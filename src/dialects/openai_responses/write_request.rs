//! A request as a provider takes it.

use super::{DIALECT, write_input};
use crate::dialects::codec::{Target, Unsayable};
use crate::dialects::foreign;
use crate::dialects::warnings::Warnings;
use crate::llm::{
    ArrayWriter, ChatRequest, Format, Function, ObjectWriter, Role, Tool, ToolChoice, WebSearch,
    write_object,
};

/// What this dialect has no word for.
const NO_SUCH: &str = "openai-responses has no such setting";

/// Least bound of an answer that OpenAI takes (its own error message; seen November 2026).
const TOKENS_MIN: u64 = 16;

/// Classes of service that OpenAI has; it refuses requests with others.
const SERVICE_TIERS: [&str; 7] =
    ["auto", "default", "flex", "scale", "priority", "fast", "ultrafast"];

/// Appends the whole body.
pub(super) fn write(
    request: &ChatRequest,
    target: &Target<'_>,
    warnings: &mut Warnings,
    out: &mut Vec<u8>,
) -> Result<(), Unsayable> {
    write_object(out, |root| {
        root.text("model", target.model);
        let instructions = instructions(request);
        root.optional_text("instructions", instructions);
        let turns = request.turns.get(usize::from(instructions.is_some())..).unwrap_or_default();
        if !turns.is_empty() {
            root.array("input", |items| {
                write_input::write(items, turns, request, target, warnings)
            })?;
        }
        settings(root, request, target, warnings);
        sampling(root, request, target, warnings);
        thoughts_and_text(root, request);
        let has_tools = request.tools.iter().any(is_sayable);
        if has_tools {
            root.array("tools", |array| write_tools(array, request, warnings));
        } else if !request.tools.is_empty() {
            warnings.dropped("a tool of the vendor", "another dialect's");
        }
        if has_tools || request.tools.is_empty() {
            write_tool_choice(root, request);
            root.optional_flag("parallel_tool_calls", request.parallel_tool_calls);
        }
        keeping(root, request);
        if request.stream {
            root.flag("stream", true);
        }
        foreign::write_of_openai(root, request, DIALECT, target, warnings)
    })
}

/// The text of the first turn, if it is the system's and others follow: what `instructions` says.
pub(super) fn instructions(request: &ChatRequest) -> Option<&str> {
    let [first, _, ..] = request.turns.as_slice() else {
        // What the provider keeps may stand for the rest of the conversation.
        let only = request.turns.first().filter(|_| request.needs_state.is_some())?;
        return plain_instructions(only);
    };
    plain_instructions(first)
}

fn plain_instructions(turn: &crate::llm::Turn) -> Option<&str> {
    match turn.parts.as_slice() {
        [part] if turn.role == Role::System && turn.name.is_none() && part.cache.is_none() => {
            part.as_text()
        }
        _ => None,
    }
}

fn settings(
    root: &mut ObjectWriter<'_>,
    request: &ChatRequest,
    target: &Target<'_>,
    warnings: &mut Warnings,
) {
    let is_own = request.origin == Some(DIALECT);
    match request.max_tokens {
        Some(bound) if bound < TOKENS_MIN && target.is_original && !is_own => {
            warnings.changed("max_tokens", "16, the least that openai-responses takes");
            root.number("max_output_tokens", TOKENS_MIN);
        }
        bound => root.optional_number("max_output_tokens", bound),
    }
    if request.n.is_some_and(|n| n > 1) {
        warnings.dropped("n", "openai-responses gives one answer");
    }
    root.optional_text("user", request.user.as_deref());
    if !request.metadata.is_empty() {
        root.object("metadata", |object| {
            request.metadata.iter().for_each(|(key, value)| object.text(key, value));
        });
    }
    match request.service_tier.as_deref() {
        Some(tier) if !is_own && !SERVICE_TIERS.contains(&tier) => {
            warnings.dropped("service_tier", "a class of service of another vendor");
        }
        tier => root.optional_text("service_tier", tier),
    }
    if request.prediction.is_some() {
        warnings.dropped("prediction", NO_SUCH);
    }
    if request.modalities.iter().any(|modality| modality != "text") {
        warnings.dropped("modalities", "openai-responses answers in words");
    }
    if request.audio_output.is_some() {
        warnings.dropped("audio", NO_SUCH);
    }
}

/// How the next token is drawn. OpenAI takes two of the settings here, its imitators some more.
fn sampling(
    root: &mut ObjectWriter<'_>,
    request: &ChatRequest,
    target: &Target<'_>,
    warnings: &mut Warnings,
) {
    let sampling = &request.sampling;
    root.optional_float("temperature", sampling.temperature);
    root.optional_float("top_p", sampling.top_p);
    if !target.is_original {
        root.optional_number("top_k", sampling.top_k);
        root.optional_float("min_p", sampling.min_p);
        root.optional_float("frequency_penalty", sampling.frequency_penalty);
        root.optional_float("presence_penalty", sampling.presence_penalty);
        if let Some(seed) = sampling.seed {
            root.key("seed").extend_from_slice(seed.to_string().as_bytes());
        }
        if !request.stop.is_empty() {
            root.texts("stop", request.stop.iter().map(String::as_str));
        }
    }
    for (name, is_set) in [
        ("top_k", sampling.top_k.is_some()),
        ("min_p", sampling.min_p.is_some()),
        ("frequency_penalty", sampling.frequency_penalty.is_some()),
        ("presence_penalty", sampling.presence_penalty.is_some()),
        ("seed", sampling.seed.is_some()),
        ("stop", !request.stop.is_empty()),
    ] {
        if is_set && target.is_original {
            warnings.dropped(name, NO_SUCH);
        }
    }
    if sampling.logit_bias.is_some() {
        warnings.dropped("logit_bias", NO_SUCH);
    }
}

fn thoughts_and_text(root: &mut ObjectWriter<'_>, request: &ChatRequest) {
    let has_inner = |outer: &str| {
        request.foreign.iter().any(|(key, it)| {
            it.dialect == DIALECT && key.strip_prefix(outer).is_some_and(|it| it.starts_with('.'))
        })
    };
    let reasoning = request.reasoning.as_ref();
    let effort = reasoning.and_then(|it| it.effort_name());
    let is_shown = |it: &&crate::llm::ReasoningSettings| it.is_shown == Some(true) && !it.is_off;
    let summary = reasoning.and_then(|it| it.summary.as_deref());
    let summary = summary.or_else(|| reasoning.filter(is_shown).map(|_| "auto"));
    if effort.is_some() || summary.is_some() || has_inner("reasoning") {
        root.object("reasoning", |object| {
            object.optional_text("effort", effort);
            object.optional_text("summary", summary);
            foreign::write_inner(object, request, DIALECT, "reasoning");
        });
    }
    if request.format.is_some() || request.verbosity.is_some() || has_inner("text") {
        root.object("text", |object| {
            if let Some(format) = &request.format {
                object.object("format", |object| write_format(object, format));
            }
            object.optional_text("verbosity", request.verbosity.as_deref());
            foreign::write_inner(object, request, DIALECT, "text");
        });
    }
}

/// Writes the members of `text.format`.
pub(super) fn write_format(object: &mut ObjectWriter<'_>, format: &Format) {
    match format {
        Format::Text => object.text("type", "text"),
        Format::JsonObject => object.text("type", "json_object"),
        Format::JsonSchema { name, description, schema, strict } => {
            object.text("type", "json_schema");
            object.text("name", name.as_deref().unwrap_or("answer"));
            object.optional_text("description", description.as_deref());
            object.raw("schema", schema);
            object.optional_flag("strict", *strict);
        }
    }
}

/// What the provider shall keep, and what the answer shall have beside its usual parts. In no other
/// dialect does a provider keep its answers, so it is told not to unless the request says otherwise,
/// and thoughts that are wanted must then come sealed to live on.
fn keeping(root: &mut ObjectWriter<'_>, request: &ChatRequest) {
    let is_own = request.origin == Some(DIALECT);
    let is_told = request.foreign.iter().any(|(key, _)| key == "store");
    if !is_own && !is_told {
        root.flag("store", false);
    }
    let thinks = request.reasoning.as_ref().is_some_and(|it| it.effort_name() != Some("none"));
    let others = foreign::find(request, DIALECT, "include");
    let is_sealed = request.seal_thoughts || (!is_own && thinks);
    if request.top_logprobs.is_some() || is_sealed || others.is_some() {
        root.array("include", |array| {
            if request.top_logprobs.is_some() {
                array.text("message.output_text.logprobs");
            }
            if is_sealed {
                array.text("reasoning.encrypted_content");
            }
            let inner = others.and_then(|it| it.json.text().strip_prefix('['));
            if let Some(inner) = inner.and_then(|it| it.strip_suffix(']')) {
                array.item().extend_from_slice(inner.as_bytes());
            }
        });
    }
    root.optional_number("top_logprobs", request.top_logprobs);
}

fn is_sayable(tool: &Tool) -> bool {
    !matches!(tool, Tool::Foreign(foreign) if foreign.dialect != DIALECT)
}

/// Writes the elements of `tools`.
pub(super) fn write_tools(
    array: &mut ArrayWriter<'_>,
    request: &ChatRequest,
    warnings: &mut Warnings,
) {
    let is_own = request.origin == Some(DIALECT);
    for tool in &request.tools {
        match tool {
            Tool::Function(function) => write_function(array, function, is_own, warnings),
            Tool::WebSearch(search) => write_web_search(array, search, warnings),
            Tool::CodeExecution => array.object(|tool| {
                tool.text("type", "code_interpreter");
                tool.object("container", |container| container.text("type", "auto"));
            }),
            Tool::Foreign(foreign) if foreign.dialect == DIALECT => array.raw(&foreign.json),
            Tool::Foreign(_) => warnings.dropped("a tool of the vendor", "another dialect's"),
        }
    }
}

fn write_function(
    array: &mut ArrayWriter<'_>,
    function: &Function,
    is_own: bool,
    warnings: &mut Warnings,
) {
    if function.cache.is_some() {
        warnings.dropped("a cache point of a tool", "openai-responses has them in messages only");
    }
    array.object(|tool| {
        tool.text("type", "function");
        tool.text("name", &function.name);
        tool.optional_text("description", function.description.as_deref());
        match &function.parameters {
            Some(parameters) => tool.raw("parameters", parameters),
            // The type of a function without any, which may not be left out here.
            None => tool.null("parameters"),
        }
        // Where nothing is said, this dialect bends the schema until it is strict, and all others
        // leave it as it is.
        let strict = function.strict.or((!is_own).then_some(false));
        match strict {
            Some(strict) => tool.flag("strict", strict),
            None => tool.null("strict"),
        }
    });
}

fn write_web_search(array: &mut ArrayWriter<'_>, search: &WebSearch, warnings: &mut Warnings) {
    if !search.blocked_domains.is_empty() {
        warnings.dropped("blocked_domains of the web search", NO_SUCH);
    }
    if search.uses_max.is_some() {
        warnings.dropped("max_uses of the web search", NO_SUCH);
    }
    array.object(|tool| {
        tool.text("type", "web_search");
        if !search.allowed_domains.is_empty() {
            tool.object("filters", |filters| {
                filters.texts("allowed_domains", search.allowed_domains.iter().map(String::as_str));
            });
        }
        tool.optional_text("search_context_size", search.context_size.as_deref());
        tool.optional_raw("user_location", search.user_location.as_ref());
    });
}

/// Writes `tool_choice`, if there is one. One of the dialect's own kinds travels as it came.
pub(super) fn write_tool_choice(root: &mut ObjectWriter<'_>, request: &ChatRequest) -> bool {
    let mode = match &request.tool_choice {
        None => return false,
        Some(ToolChoice::Function(name)) => {
            root.object("tool_choice", |choice| {
                choice.text("type", "function");
                choice.text("name", name);
            });
            return true;
        }
        Some(ToolChoice::Auto) => "auto",
        Some(ToolChoice::None) => "none",
        Some(ToolChoice::Required) => "required",
    };
    if foreign::find(request, DIALECT, "tool_choice.tools").is_some() {
        root.object("tool_choice", |choice| {
            choice.text("type", "allowed_tools");
            choice.text("mode", mode);
            foreign::write_inner(choice, request, DIALECT, "tool_choice");
        });
    } else {
        root.text("tool_choice", mode);
    }
    true
}

//! A request as a provider takes it.

use super::DIALECT;
use crate::dialects::codec::{Target, Unsayable};
use crate::dialects::foreign;
use crate::dialects::warnings::Warnings;
use crate::llm::{
    ArrayWriter, CachePoint, ChatRequest, Content, File, Format, Function, Image, Media,
    ObjectWriter, Part, Reasoning, Role, Source, Tool, ToolCall, ToolChoice, ToolResult, Turn,
    write_object,
};

/// What this dialect has no word for.
const NO_SUCH: &str = "openai-chat has no such setting";

/// Appends the whole body.
pub(super) fn write(
    request: &ChatRequest,
    target: &Target<'_>,
    warnings: &mut Warnings,
    out: &mut Vec<u8>,
) -> Result<(), Unsayable> {
    write_object(out, |root| {
        root.text("model", target.model);
        root.array("messages", |messages| {
            request.turns.iter().try_for_each(|turn| write_turn(messages, turn, target, warnings))
        })?;
        settings(root, request, target, warnings);
        sampling(root, request);
        tools(root, request, warnings);
        if request.stream {
            root.flag("stream", true);
            root.object("stream_options", |options| options.flag("include_usage", true));
        }
        foreign::write_of_openai(root, request, DIALECT, target, warnings)
    })
}

fn settings(
    root: &mut ObjectWriter<'_>,
    request: &ChatRequest,
    target: &Target<'_>,
    warnings: &mut Warnings,
) {
    // OpenAI's reasoning models refuse the older name; its imitators know only that one.
    let bound = if target.is_original { "max_completion_tokens" } else { "max_tokens" };
    root.optional_number(bound, request.max_tokens);
    match request.stop.as_slice() {
        [] => {}
        [one] => root.text("stop", one),
        several => root.texts("stop", several.iter().map(String::as_str)),
    }
    root.optional_number("n", request.n);
    if let Some(format) = &request.format {
        root.object("response_format", |object| write_format(object, format));
    }
    if let Some(reasoning) = &request.reasoning {
        root.optional_text("reasoning_effort", reasoning.effort_name());
    }
    root.optional_text("verbosity", request.verbosity.as_deref());
    if let Some(top) = request.top_logprobs {
        root.flag("logprobs", true);
        if top > 0 {
            root.number("top_logprobs", top);
        }
    }
    root.optional_text("user", request.user.as_deref());
    if !request.metadata.is_empty() {
        if target.is_original {
            root.object("metadata", |object| {
                request.metadata.iter().for_each(|(key, value)| object.text(key, value));
            });
        } else {
            warnings.dropped("metadata", NO_SUCH);
        }
    }
    root.optional_text("service_tier", request.service_tier.as_deref());
    if let Some(prediction) = &request.prediction {
        root.object("prediction", |object| {
            object.text("type", "content");
            object.text("content", prediction);
        });
    }
    if !request.modalities.is_empty() {
        root.texts("modalities", request.modalities.iter().map(String::as_str));
    }
    root.optional_raw("audio", request.audio_output.as_ref());
}

fn write_format(object: &mut ObjectWriter<'_>, format: &Format) {
    match format {
        Format::Text => object.text("type", "text"),
        Format::JsonObject => object.text("type", "json_object"),
        Format::JsonSchema { name, description, schema, strict } => {
            object.text("type", "json_schema");
            object.object("json_schema", |inner| {
                inner.text("name", name.as_deref().unwrap_or("answer"));
                inner.optional_text("description", description.as_deref());
                inner.raw("schema", schema);
                inner.optional_flag("strict", *strict);
            });
        }
    }
}

fn sampling(root: &mut ObjectWriter<'_>, request: &ChatRequest) {
    let sampling = &request.sampling;
    root.optional_float("temperature", sampling.temperature);
    root.optional_float("top_p", sampling.top_p);
    root.optional_number("top_k", sampling.top_k);
    root.optional_float("min_p", sampling.min_p);
    root.optional_float("frequency_penalty", sampling.frequency_penalty);
    root.optional_float("presence_penalty", sampling.presence_penalty);
    if let Some(seed) = sampling.seed {
        root.key("seed").extend_from_slice(seed.to_string().as_bytes());
    }
    root.optional_raw("logit_bias", sampling.logit_bias.as_ref());
}

fn tools(root: &mut ObjectWriter<'_>, request: &ChatRequest, warnings: &mut Warnings) {
    let sayable = |tool: &&Tool| match tool {
        Tool::Function(_) => true,
        Tool::Foreign(foreign) => foreign.dialect == DIALECT,
        Tool::WebSearch(_) | Tool::CodeExecution => false,
    };
    for tool in &request.tools {
        match tool {
            Tool::WebSearch(search) => root.object("web_search_options", |options| {
                options.optional_raw("user_location", search.user_location.as_ref());
                options.optional_text("search_context_size", search.context_size.as_deref());
            }),
            Tool::CodeExecution => {
                warnings.dropped("the code execution tool", "openai-chat has none");
            }
            Tool::Foreign(foreign) if foreign.dialect != DIALECT => {
                warnings.dropped("a tool of the vendor", "another dialect's");
            }
            _ => {}
        }
    }
    if !request.tools.iter().any(|tool| sayable(&tool)) {
        return;
    }
    root.array("tools", |array| {
        for tool in request.tools.iter().filter(sayable) {
            match tool {
                Tool::Function(function) => write_function(array, function),
                Tool::Foreign(foreign) => array.raw(&foreign.json),
                Tool::WebSearch(_) | Tool::CodeExecution => {}
            }
        }
    });
    match &request.tool_choice {
        None => {}
        Some(ToolChoice::Auto) => root.text("tool_choice", "auto"),
        Some(ToolChoice::None) => root.text("tool_choice", "none"),
        Some(ToolChoice::Required) => root.text("tool_choice", "required"),
        Some(ToolChoice::Function(name)) => root.object("tool_choice", |choice| {
            choice.text("type", "function");
            choice.object("function", |function| function.text("name", name));
        }),
    }
    root.optional_flag("parallel_tool_calls", request.parallel_tool_calls);
}

fn write_function(array: &mut ArrayWriter<'_>, function: &Function) {
    array.object(|tool| {
        tool.text("type", "function");
        tool.object("function", |inner| {
            inner.text("name", &function.name);
            inner.optional_text("description", function.description.as_deref());
            inner.optional_raw("parameters", function.parameters.as_ref());
            inner.optional_flag("strict", function.strict);
        });
        write_cache_point(tool, function.cache);
    });
}

/// Harmless where it is not known, and OpenRouter and others pass it on to Anthropic.
fn write_cache_point(object: &mut ObjectWriter<'_>, cache: Option<CachePoint>) {
    let Some(cache) = cache else { return };
    object.object("cache_control", |control| {
        control.text("type", "ephemeral");
        if cache == CachePoint::Hour {
            control.text("ttl", "1h");
        }
    });
}

fn write_turn(
    messages: &mut ArrayWriter<'_>,
    turn: &Turn,
    target: &Target<'_>,
    warnings: &mut Warnings,
) -> Result<(), Unsayable> {
    let is_abroad =
        |part: &Part| matches!(&part.content, Content::Foreign(it) if it.dialect != DIALECT);
    if turn.parts.iter().any(is_abroad) {
        warnings.dropped("a part of a message", "only another dialect has it");
        let parts: Vec<Part> = turn.parts.iter().filter(|part| !is_abroad(part)).cloned().collect();
        if parts.is_empty() {
            return Ok(());
        }
        return write_turn(messages, &Turn { parts, ..turn.clone() }, target, warnings);
    }
    for part in &turn.parts {
        if let Content::ToolResult(result) = &part.content {
            messages.object(|message| write_result(message, result, part.cache, warnings))?;
        }
    }
    if turn.role == Role::Tool {
        return Ok(());
    }
    let role = match turn.role {
        Role::System => "system",
        Role::Developer if target.is_original => "developer",
        Role::Developer => "system",
        Role::Assistant => "assistant",
        Role::User | Role::Tool => "user",
    };
    messages.object(|message| {
        message.text("role", role);
        message.optional_text("name", turn.name.as_deref());
        if turn.role == Role::Assistant {
            write_assistant(message, &turn.parts, warnings)
        } else {
            write_content(message, &turn.parts, warnings)
        }
    })
}

fn write_result(
    message: &mut ObjectWriter<'_>,
    result: &ToolResult,
    cache: Option<CachePoint>,
    warnings: &mut Warnings,
) -> Result<(), Unsayable> {
    message.text("role", "tool");
    message.text("tool_call_id", &result.id);
    if result.is_error {
        warnings.dropped("is_error of a tool result", "openai-chat tells it in words only");
    }
    write_content(message, &result.parts, warnings)?;
    write_cache_point(message, cache);
    Ok(())
}

/// Writes `content`: a string if there is nothing but one text, else an array of parts.
fn write_content(
    message: &mut ObjectWriter<'_>,
    parts: &[Part],
    warnings: &mut Warnings,
) -> Result<(), Unsayable> {
    match parts {
        [] => message.text("content", ""),
        [Part { content: Content::Text(text), cache: None }] => message.text("content", &text.text),
        _ => {
            message.array("content", |array| {
                parts.iter().try_for_each(|part| write_part(array, part, warnings))
            })?;
        }
    }
    Ok(())
}

fn write_assistant(
    message: &mut ObjectWriter<'_>,
    parts: &[Part],
    warnings: &mut Warnings,
) -> Result<(), Unsayable> {
    let said: Vec<Part> = parts
        .iter()
        .filter(|part| matches!(part.content, Content::Text(_) | Content::Foreign(_)))
        .cloned()
        .collect();
    if said.is_empty() {
        message.null("content");
    } else {
        write_content(message, &said, warnings)?;
    }
    let calls = || {
        parts.iter().filter_map(|part| match &part.content {
            Content::ToolCall(call) => Some(call),
            _ => None,
        })
    };
    for part in parts {
        match &part.content {
            Content::Refusal(refusal) => message.text("refusal", refusal),
            Content::Audio(Media { source: Source::Id(id), .. }) => {
                message.object("audio", |audio| audio.text("id", id));
            }
            Content::Image(_) | Content::Audio(_) | Content::Video(_) | Content::File(_) => {
                warnings
                    .dropped("what the assistant showed", "openai-chat takes it from users only");
            }
            _ => {}
        }
    }
    write_thoughts(message, parts);
    if calls().next().is_some() {
        message.array("tool_calls", |array| {
            calls().for_each(|call| array.object(|object| write_tool_call(object, call)));
        });
    }
    Ok(())
}

/// Writes the thoughts among `parts`: in plain, and whole where they are signed.
pub(super) fn write_thoughts(message: &mut ObjectWriter<'_>, parts: &[Part]) {
    let thoughts = || {
        parts.iter().filter_map(|part| match &part.content {
            Content::Reasoning(reasoning) => Some(reasoning),
            _ => None,
        })
    };
    let plain: String = thoughts().map(|thought| thought.text.as_str()).collect();
    if !plain.is_empty() {
        message.text("reasoning_content", &plain);
    }
    let is_signed = |it: &Reasoning| it.signature.is_some() || it.sealed.is_some();
    if thoughts().any(is_signed) {
        message.array("thinking_blocks", |array| {
            thoughts().for_each(|thought| array.object(|block| write_thinking(block, thought)));
        });
    }
}

/// Writes one of `thinking_blocks`.
pub(super) fn write_thinking(block: &mut ObjectWriter<'_>, thought: &Reasoning) {
    if let Some(sealed) = &thought.sealed {
        block.text("type", "redacted_thinking");
        block.text("data", &sealed.write(DIALECT));
        return;
    }
    block.text("type", "thinking");
    block.text("thinking", &thought.text);
    if let Some(signature) = &thought.signature {
        block.text("signature", &signature.write(DIALECT));
    }
}

/// Writes the members of one of `tool_calls`.
pub(super) fn write_tool_call(object: &mut ObjectWriter<'_>, call: &ToolCall) {
    object.text("id", &call.id);
    object.text("type", "function");
    object.object("function", |function| {
        function.text("name", &call.name);
        function.text("arguments", if call.arguments.is_empty() { "{}" } else { &call.arguments });
    });
    write_signature_of_call(object, call);
}

/// Where Google has it in this dialect.
pub(super) fn write_signature_of_call(object: &mut ObjectWriter<'_>, call: &ToolCall) {
    let Some(signature) = &call.signature else { return };
    object.object("extra_content", |extra| {
        extra.object("google", |google| {
            google.text("thought_signature", &signature.write(DIALECT));
        });
    });
}

fn write_part(
    array: &mut ArrayWriter<'_>,
    part: &Part,
    warnings: &mut Warnings,
) -> Result<(), Unsayable> {
    match &part.content {
        Content::Text(text) => array.object(|object| {
            object.text("type", "text");
            object.text("text", &text.text);
            write_cache_point(object, part.cache);
        }),
        Content::Image(image) => return write_image(array, image),
        Content::Audio(media) => return write_audio(array, media),
        Content::Video(media) => array.object(|object| {
            object.text("type", "video_url");
            object.object("video_url", |inner| {
                inner.text("url", &media.url().unwrap_or_default());
            });
        }),
        Content::File(file) => {
            if file.context.is_some() {
                warnings.dropped("the context of a file", "openai-chat has no place for it");
            }
            if file.with_citations {
                warnings.dropped("citations of a file", "openai-chat has none");
            }
            write_file(array, file);
        }
        Content::Refusal(refusal) => array.object(|object| {
            object.text("type", "refusal");
            object.text("refusal", refusal);
        }),
        Content::Foreign(foreign) if foreign.dialect == DIALECT => array.raw(&foreign.json),
        Content::Foreign(_) => {
            warnings.dropped("a part of a message", "only another dialect has it");
        }
        // Calls, results and thoughts are members of messages here, not parts of content.
        Content::ToolCall(_) | Content::ToolResult(_) | Content::Reasoning(_) => {}
    }
    Ok(())
}

fn write_image(array: &mut ArrayWriter<'_>, image: &Image) -> Result<(), Unsayable> {
    let url = image.media.url().ok_or_else(|| {
        Unsayable::new("an image by file id", "openai-chat takes a URL or the bytes")
    })?;
    array.object(|object| {
        object.text("type", "image_url");
        object.object("image_url", |inner| {
            inner.text("url", &url);
            inner.optional_text("detail", image.detail.as_deref());
        });
    });
    Ok(())
}

fn write_audio(array: &mut ArrayWriter<'_>, media: &Media) -> Result<(), Unsayable> {
    let Source::Base64(data) = &media.source else {
        return Err(Unsayable::new("audio by address", "openai-chat takes its bytes only"));
    };
    let media_type = media.media_type.as_deref().unwrap_or("audio/wav");
    let format = match media_type.strip_prefix("audio/").unwrap_or(media_type) {
        "mpeg" => "mp3",
        "x-wav" | "wave" => "wav",
        other => other,
    };
    array.object(|object| {
        object.text("type", "input_audio");
        object.object("input_audio", |inner| {
            inner.text("data", data);
            inner.text("format", format);
        });
    });
    Ok(())
}

fn write_file(array: &mut ArrayWriter<'_>, file: &File) {
    array.object(|object| {
        object.text("type", "file");
        object.object("file", |inner| {
            match &file.media.source {
                Source::Id(id) => inner.text("file_id", id),
                Source::Url(_) | Source::Base64(_) => {
                    inner.text("file_data", &file.media.url().unwrap_or_default());
                }
            }
            inner.optional_text("filename", file.name.as_deref());
        });
    });
}

//! A client's request.

use super::content_list::{list_text, read_image};
use super::reasoning_details;
use crate::dialects::extra_fields;
use crate::dialects::openai_tools::{arguments_of, custom};
use crate::llm::{
    CachePoint, ChatRequest, Content, Dialect, DialectJson, File, Format, Function, Grammar, Image,
    Malformed, Media, MediaSource, Node, Part, Reasoning, ReasoningSettings, Role, Signature, Tool,
    ToolCall, ToolChoice, ToolResult, Turn, WebSearch, Within,
};

/// Prefix of audio ids that the gateway made.
pub(super) const AUDIO_ID: &str = "audio_rg_";

/// Reads the body.
pub(super) fn read(root: Node<'_>) -> Result<ChatRequest, Malformed> {
    let mut request = ChatRequest::default();
    let mut completion_tokens_max = None;
    for (key, value) in root.members() {
        if value.is_null() {
            continue;
        }
        match key {
            "max_completion_tokens" => {
                completion_tokens_max = Some(value.expect_u64().within(key)?);
            }
            "messages" => {
                let turns = value.read_items(turns_of).within(key)?;
                request.turns = turns.into_iter().flatten().collect();
            }
            _ => member(&mut request, key, value).within(key)?,
        }
    }
    request.max_tokens = completion_tokens_max.or(request.max_tokens);
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
        "stream" => request.stream = value.expect_flag()?,
        "stream_options" => {
            request.include_usage = value.get("include_usage").and_then(Node::flag) == Some(true);
        }
        "max_tokens" => request.max_tokens = Some(value.expect_u64()?),
        "temperature" => sampling.temperature = Some(value.expect_f64()?),
        "top_p" => sampling.top_p = Some(value.expect_f64()?),
        "top_k" => sampling.top_k = Some(value.expect_u64()?),
        "min_p" => sampling.min_p = Some(value.expect_f64()?),
        "frequency_penalty" => sampling.frequency_penalty = Some(value.expect_f64()?),
        "presence_penalty" => sampling.presence_penalty = Some(value.expect_f64()?),
        "seed" => sampling.seed = Some(value.expect_i64()?),
        "logit_bias" => sampling.logit_bias = Some(value.expect_object()?.json()),
        "stop" => request.stop = texts(value)?,
        "n" => request.n = Some(value.expect_u64()?),
        "logprobs" => {
            if value.expect_flag()? {
                request.top_logprobs.get_or_insert(0);
            }
        }
        "top_logprobs" => request.top_logprobs = Some(value.expect_u64()?),
        "response_format" => request.format = Some(format(value)?),
        "tools" => request.tools.extend(value.read_items(tool)?),
        "functions" => {
            request.tools.extend(value.read_items(|item| function(item).map(Tool::Function))?);
        }
        "tool_choice" if value.text_of("type") == "allowed_tools" => {
            let allowed = value.expect("allowed_tools", "an object")?;
            let mode = allowed.expect("mode", "auto or required").within("allowed_tools")?;
            request.tool_choice = Some(tool_choice(mode).within("allowed_tools.mode")?);
            extra_fields::keep(
                &mut request.extra_fields,
                Dialect::OpenaiChat,
                "tool_choice.allowed_tools",
                allowed,
            );
        }
        "tool_choice" | "function_call" => request.tool_choice = Some(tool_choice(value)?),
        "parallel_tool_calls" => request.parallel_tool_calls = Some(value.expect_flag()?),
        "web_search_options" => request.tools.push(Tool::WebSearch(WebSearch {
            user_location: value.get("user_location").map(Node::json),
            context_size: value.text_at("search_context_size")?.map(str::to_owned),
            ..WebSearch::default()
        })),
        "reasoning_effort" => reasoning(request).effort = Some(value.expect_text()?.to_owned()),
        "reasoning" => reasoning_of_openrouter(reasoning(request), value)?,
        "thinking" => reasoning_of_anthropic(reasoning(request), value)?,
        "verbosity" => request.verbosity = Some(value.expect_text()?.to_owned()),
        "user" => request.user = Some(value.expect_text()?.to_owned()),
        "metadata" => request.metadata = labels(value)?,
        "service_tier" => request.service_tier = Some(value.expect_text()?.to_owned()),
        "prediction" => request.prediction = Some(content_text(value.expect("content", "text")?)?),
        "modalities" => request.modalities = texts(value)?,
        "audio" => request.audio_output = Some(value.expect_object()?.json()),
        _ => extra_fields::keep(&mut request.extra_fields, Dialect::OpenaiChat, key, value),
    }
    Ok(())
}

fn reasoning(request: &mut ChatRequest) -> &mut ReasoningSettings {
    request.reasoning.get_or_insert_default()
}

/// Reads OpenRouter's object with an effort or a token limit.
fn reasoning_of_openrouter(
    settings: &mut ReasoningSettings,
    value: Node<'_>,
) -> Result<(), Malformed> {
    settings.effort = value.text_at("effort")?.map(str::to_owned).or(settings.effort.take());
    settings.tokens_max = value.get("max_tokens").and_then(Node::u64).or(settings.tokens_max);
    settings.is_shown = value.get("exclude").and_then(Node::flag).map(|exclude| !exclude);
    settings.is_off = value.get("enabled").and_then(Node::flag) == Some(false);
    Ok(())
}

/// Reads Anthropic's object, which its clients send in this dialect too.
fn reasoning_of_anthropic(
    settings: &mut ReasoningSettings,
    value: Node<'_>,
) -> Result<(), Malformed> {
    settings.is_off = value.text_at("type")? == Some("disabled");
    settings.tokens_max = value.get("budget_tokens").and_then(Node::u64);
    Ok(())
}

/// Reads a string, or an array of strings.
pub(in crate::dialects) fn texts(value: Node<'_>) -> Result<Vec<String>, Malformed> {
    match value.text() {
        Some(text) => Ok(vec![text.to_owned()]),
        None => value.read_items(|item| item.expect_text().map(str::to_owned)),
    }
}

/// Reads an object of strings; numbers and booleans are converted.
pub(in crate::dialects) fn labels(value: Node<'_>) -> Result<Vec<(String, String)>, Malformed> {
    let label = |(key, value): (&str, Node<'_>)| {
        let text = value.text().map_or_else(|| value.json().text().to_owned(), str::to_owned);
        (key.to_owned(), text)
    };
    Ok(value.expect_object()?.members().map(label).collect())
}

fn format(value: Node<'_>) -> Result<Format, Malformed> {
    match value.expect_text_at("type")? {
        "text" => Ok(Format::Text),
        "json_object" => Ok(Format::JsonObject),
        "json_schema" => {
            let inner = value.expect("json_schema", "an object")?;
            json_schema(inner).within("json_schema")
        }
        _ => Err(Malformed::new("one of text, json_object, json_schema")).within("type"),
    }
}

/// Reads name, description, schema and strictness, which chat and responses nest differently.
pub(in crate::dialects) fn json_schema(value: Node<'_>) -> Result<Format, Malformed> {
    Ok(Format::JsonSchema {
        name: value.text_at("name")?.map(str::to_owned),
        description: value.text_at("description")?.map(str::to_owned),
        schema: value.expect("schema", "a JSON schema")?.expect_object().within("schema")?.json(),
        strict: value.get("strict").and_then(Node::flag),
    })
}

fn tool(value: Node<'_>) -> Result<Tool, Malformed> {
    match value.text_at("type")? {
        None | Some("function") => {
            let mut known = function(value.expect("function", "an object")?).within("function")?;
            known.cache = cache_point(value).or(known.cache);
            Ok(Tool::Function(known))
        }
        Some("custom") => {
            let inner = value.expect("custom", "an object")?;
            custom_tool(inner).within("custom").map(Tool::Function)
        }
        Some(_) => Ok(Tool::Raw(DialectJson { dialect: Dialect::OpenaiChat, json: value.json() })),
    }
}

fn custom_tool(value: Node<'_>) -> Result<Function, Malformed> {
    let grammar = value.get("format").map(grammar).transpose().within("format")?;
    let name = value.expect_text_at("name")?;
    Ok(custom(name, value.text_at("description")?, grammar.flatten()))
}

/// The grammar of a custom tool's input; none if any text is valid.
fn grammar(value: Node<'_>) -> Result<Option<Grammar>, Malformed> {
    match value.expect_text_at("type")? {
        "text" => Ok(None),
        "grammar" => {
            let inner = value.expect("grammar", "an object")?;
            Ok(Some(Grammar {
                syntax: inner.expect_text_at("syntax").within("grammar")?.to_owned(),
                definition: inner.expect_text_at("definition").within("grammar")?.to_owned(),
            }))
        }
        _ => Err(Malformed::new("one of text, grammar")).within("type"),
    }
}

/// Reads name, description and parameters of a function.
pub(in crate::dialects) fn function(value: Node<'_>) -> Result<Function, Malformed> {
    Ok(Function {
        name: value.expect_text_at("name")?.to_owned(),
        description: value.text_at("description")?.map(str::to_owned),
        parameters: value
            .get("parameters")
            .map(|schema| schema.expect_object().within("parameters").map(Node::json))
            .transpose()?,
        strict: value.get("strict").and_then(Node::flag),
        cache: cache_point(value),
        openai: None,
    })
}

fn tool_choice(value: Node<'_>) -> Result<ToolChoice, Malformed> {
    match value.text() {
        Some("auto") => Ok(ToolChoice::Auto),
        Some("none") => Ok(ToolChoice::None),
        Some("required" | "any") => Ok(ToolChoice::Required),
        Some(_) => Err(Malformed::new("auto, none, required or an object with a function")),
        None => {
            // The older `function_call` has the name at its top level.
            let named = value.get("function").or_else(|| value.get("custom")).unwrap_or(value);
            Ok(ToolChoice::Function(named.expect_text_at("name")?.to_owned()))
        }
    }
}

/// The turns of one message. Usually one; none for an older tool message.
fn turns_of(value: Node<'_>) -> Result<Option<Turn>, Malformed> {
    let role = match value.expect_text_at("role")? {
        "system" => Role::System,
        "developer" => Role::Developer,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" | "function" => return tool_result(value).map(Some),
        _ => {
            let expected = "one of system, developer, user, assistant, tool";
            return Err(Malformed::new(expected)).within("role");
        }
    };
    let mut parts = Vec::new();
    if role == Role::Assistant {
        read_reasoning(value, &mut parts);
    }
    if let Some(content) = value.get("content") {
        parts.extend(contents(content).within("content")?);
    }
    if role == Role::Assistant {
        assistant(value, &mut parts)?;
    }
    if let Some(cache) = cache_point(value)
        && let Some(last) = parts.last_mut()
    {
        last.cache = Some(cache);
    }
    Ok(Some(Turn { role, name: value.text_at("name")?.map(str::to_owned), parts }))
}

/// Reads the members of an assistant message other than its content.
fn assistant(value: Node<'_>, parts: &mut Vec<Part>) -> Result<(), Malformed> {
    if let Some(refusal) = value.text_at("refusal")? {
        parts.push(Part::new(Content::Refusal(refusal.to_owned())));
    }
    if let Some(calls) = value.get("tool_calls") {
        let calls = calls.read_items(tool_call).within("tool_calls")?;
        parts.extend(calls.into_iter().map(|call| Part::new(Content::ToolCall(call))));
    }
    if let Some(call) = value.get("function_call") {
        let name = call.expect_text_at("name").within("function_call")?.to_owned();
        let arguments = call.text_of("arguments").to_owned();
        let call = ToolCall { id: name.clone(), name, arguments, signature: None };
        parts.push(Part::new(Content::ToolCall(call)));
    }
    for image in value.get("images").into_iter().flat_map(Node::items) {
        parts.extend(read_image(image).map(|image| Part::new(Content::Image(image))));
    }
    let audio = value.get("audio").and_then(|audio| audio.text_at("id").ok().flatten());
    // The audio of another vendor is stored nowhere under the gateway's id; its transcript is in
    // the content.
    if let Some(audio) = audio.filter(|id| !id.starts_with(AUDIO_ID)) {
        let media = Media { media_type: None, source: MediaSource::Id(audio.to_owned()) };
        parts.push(Part::new(Content::Audio(media)));
    }
    Ok(())
}

/// Reads the reasoning of an assistant message, with its signatures.
pub(super) fn read_reasoning(value: Node<'_>, parts: &mut Vec<Part>) {
    let signature = |node: Node<'_>, key: &str| {
        node.get(key).and_then(Node::text).map(|text| Signature::read(Dialect::OpenaiChat, text))
    };
    let blocks = value.get("thinking_blocks");
    for block in blocks.into_iter().flat_map(Node::items) {
        parts.push(Part::new(Content::Reasoning(Reasoning {
            id: None,
            text: block.text_of("thinking").to_owned(),
            signature: signature(block, "signature"),
            sealed: signature(block, "data"),
        })));
    }
    if parts.is_empty() {
        reasoning_details::read_reasoning(value, parts);
    }
    let plain = value.get("reasoning_content").or_else(|| value.get("reasoning"));
    let plain = plain.and_then(Node::text).filter(|text| !text.is_empty());
    let Some(text) = plain else { return };
    lend_text(parts, text);
    if !parts.iter().any(has_words) {
        let reasoning = Reasoning { text: text.to_owned(), ..Reasoning::default() };
        parts.insert(0, Part::new(Content::Reasoning(reasoning)));
    }
}

/// Moves the text of `reasoning_content` to signed reasoning without text: clients that assemble a
/// stream separate the two.
fn lend_text(parts: &mut [Part], content_text: &str) {
    if parts.iter().any(has_words) {
        return;
    }
    let is_signed = |part: &&mut Part| matches!(&part.content, Content::Reasoning(reasoning) if reasoning.signature.is_some());
    if let Some(Part { content: Content::Reasoning(reasoning), .. }) =
        parts.iter_mut().find(is_signed)
    {
        content_text.clone_into(&mut reasoning.text);
    }
}

fn has_words(part: &Part) -> bool {
    matches!(&part.content, Content::Reasoning(reasoning) if !reasoning.text.is_empty())
}

/// Reads one of `tool_calls`.
pub(super) fn tool_call(value: Node<'_>) -> Result<ToolCall, Malformed> {
    if let Some(custom) = value.get("custom").filter(|_| value.get("function").is_none()) {
        return Ok(ToolCall {
            id: value.expect_text_at("id")?.to_owned(),
            name: custom.expect_text_at("name").within("custom")?.to_owned(),
            arguments: arguments_of(custom.expect_text_at("input").within("custom")?),
            signature: None,
        });
    }
    let function = value.expect("function", "an object")?;
    Ok(ToolCall {
        id: value.expect_text_at("id")?.to_owned(),
        name: function.expect_text_at("name").within("function")?.to_owned(),
        arguments: arguments(function),
        signature: signature_of_call(value),
    })
}

/// The arguments as text; some send an object.
pub(in crate::dialects) fn arguments(function: Node<'_>) -> String {
    let Some(arguments) = function.get("arguments") else { return String::new() };
    arguments.text().map_or_else(|| arguments.json().text().to_owned(), str::to_owned)
}

/// Where Google puts a call's signature in this dialect (Gemini API, "OpenAI compatibility").
pub(super) fn signature_of_call(value: Node<'_>) -> Option<Signature> {
    let google = value.get("extra_content")?.get("google")?;
    Some(Signature::read(Dialect::OpenaiChat, google.get("thought_signature")?.text()?))
}

fn tool_result(value: Node<'_>) -> Result<Turn, Malformed> {
    let id = match value.text_at("tool_call_id")? {
        Some(id) => id,
        None => value
            .expect_text_at("name")
            .map_err(|error| Malformed { path: "tool_call_id".to_owned(), ..error })?,
    };
    let parts = match value.get("content") {
        Some(content) => contents(content).within("content")?,
        None => Vec::new(),
    };
    let result = ToolResult {
        id: id.to_owned(),
        name: value.text_at("name")?.map(str::to_owned),
        parts,
        is_error: false,
    };
    let part = Part { content: Content::ToolResult(result), cache: cache_point(value) };
    Ok(Turn::new(Role::Tool, vec![part]))
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

/// The text of a string, or of an array of text parts.
fn content_text(value: Node<'_>) -> Result<String, Malformed> {
    let parts = contents(value).within("content")?;
    Ok(parts.iter().filter_map(Part::as_text).collect())
}

fn part(value: Node<'_>) -> Result<Part, Malformed> {
    let content = match value.expect_text_at("type")? {
        "text" => {
            return Ok(Part {
                cache: cache_point(value),
                ..Part::text(value.expect_text_at("text")?)
            });
        }
        "refusal" => Content::Refusal(value.expect_text_at("refusal")?.to_owned()),
        // Mistral's models send their reasoning like this, and its clients send it back.
        "thinking" => {
            let text = value.get("thinking").map(list_text).unwrap_or_default();
            Content::Reasoning(Reasoning { text, ..Reasoning::default() })
        }
        "image_url" => {
            let image = value.expect("image_url", "an object with a url")?;
            // Some clients send the URL without an object.
            let url = match image.text() {
                Some(url) => url,
                None => image.expect_text_at("url").within("image_url")?,
            };
            let detail = image.get("detail").and_then(Node::text).map(str::to_owned);
            Content::Image(Image { media: Media::of_url(url), detail })
        }
        "video_url" => {
            let video = value.expect("video_url", "an object with a url")?;
            Content::Video(Media::of_url(video.expect_text_at("url").within("video_url")?))
        }
        "input_audio" => {
            let audio = value.expect("input_audio", "an object")?;
            let format = audio.expect_text_at("format").within("input_audio")?;
            let data = audio.expect_text_at("data").within("input_audio")?;
            Content::Audio(Media::base64(&format!("audio/{format}"), data))
        }
        "file" => file(value.expect("file", "an object")?).within("file")?,
        _ => Content::Raw(DialectJson { dialect: Dialect::OpenaiChat, json: value.json() }),
    };
    Ok(Part { content, cache: cache_point(value) })
}

fn file(value: Node<'_>) -> Result<Content, Malformed> {
    let media = match (value.text_at("file_id")?, value.text_at("file_data")?) {
        (Some(id), _) => Media { media_type: None, source: MediaSource::Id(id.to_owned()) },
        (None, Some(data)) => Media::of_url(data),
        (None, None) => return Err(Malformed::new("an object with file_id or file_data")),
    };
    let name = value.text_at("filename")?.map(str::to_owned);
    Ok(Content::File(File { media, name, context: None, with_citations: false }))
}

/// Reads Anthropic's `cache_control` of a part or a tool.
pub(in crate::dialects) fn cache_point(value: Node<'_>) -> Option<CachePoint> {
    let control = value.get("cache_control")?;
    let is_hour = control.get("ttl").and_then(Node::text) == Some("1h");
    Some(if is_hour { CachePoint::Hour } else { CachePoint::Default })
}

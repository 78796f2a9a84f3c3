//! A request for a provider.

use super::write_messages::{write_cache_point, write_turns};
use crate::dialects::adapt::ends_with_answer;
use crate::dialects::codec::{TargetModel, Unsupported};
use crate::dialects::json_schema::{OPENAI_STRICT, Parameters, fit_format};
use crate::dialects::openai_tools::{CallForms, CallKind};
use crate::dialects::warnings::Warnings;
use crate::dialects::{extra_fields, service_tier};
use crate::llm::{
    ArrayWriter, ChatRequest, Dialect, DialectJson, Format, Function, MaxTokensName, ModelRules,
    ObjectWriter, OpenaiToolKind, Prefill, ReasoningSettings, RefusedSetting, Tool, ToolChoice,
    WebSearch, write_object,
};

/// The reason in warnings about members that the dialect lacks.
const NO_SUCH: &str = "openai-chat has no such setting";

/// Appends the body.
pub(super) fn write(
    request: &ChatRequest,
    target: &TargetModel<'_>,
    warnings: &mut Warnings,
    out: &mut Vec<u8>,
) -> Result<(), Unsupported> {
    // Imitators support plain functions only.
    let forms = if target.is_original { CallForms::of(request) } else { CallForms::default() };
    write_object(out, |root| {
        root.text("model", target.model);
        root.array("messages", |messages| {
            write_turns(messages, request, (target, &forms), warnings)
        })?;
        if target.rules.prefill == Some(Prefill::ContinueFinalMessage) && ends_with_answer(request)
        {
            root.flag("add_generation_prompt", false);
            root.flag("continue_final_message", true);
        }
        settings(root, request, target, warnings);
        sampling(root, request, target, warnings);
        tools(root, request, (target, &forms), warnings);
        if request.stream {
            root.flag("stream", true);
            if !target.rules.always_refuses(RefusedSetting::StreamOptions) {
                root.object("stream_options", |options| options.flag("include_usage", true));
            }
        }
        extra_fields::write_of_openai(root, request, Dialect::OpenaiChat, target, warnings)
    })
}

fn settings(
    root: &mut ObjectWriter<'_>,
    request: &ChatRequest,
    target: &TargetModel<'_>,
    warnings: &mut Warnings,
) {
    // OpenAI's reasoning models reject the older name; imitators only support that one.
    let usual = if target.is_original {
        MaxTokensName::MaxCompletionTokens
    } else {
        MaxTokensName::MaxTokens
    };
    root.optional_number(target.rules.max_tokens_name.unwrap_or(usual).name(), request.max_tokens);
    match request.stop.as_slice() {
        [] => {}
        [one] => root.text("stop", one),
        several => root.texts("stop", several.iter().map(String::as_str)),
    }
    root.optional_number("n", request.n);
    if let Some(format) = &request.format {
        let format = fit_format(format, warnings);
        root.object("response_format", |object| write_format(object, &format));
    }
    if let Some(reasoning) = &request.reasoning {
        write_reasoning(root, reasoning, target.rules, warnings);
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
        // OpenAI rejects metadata of requests that it does not store, and stores nothing here by
        // default.
        let is_kept =
            |(key, it): &(String, DialectJson)| key == "store" && it.json.text() == "true";
        if !target.is_original {
            warnings.dropped("metadata", NO_SUCH);
        } else if request.extra_fields.iter().any(is_kept) {
            root.object("metadata", |object| {
                request.metadata.iter().for_each(|(key, value)| object.text(key, value));
            });
        } else {
            warnings.dropped("metadata", "openai-chat takes it with store only");
        }
    }
    write_service_tier(root, request, target, warnings);
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

/// Writes the reasoning settings: an effort, or the vendor's members that turn it on and off.
fn write_reasoning(
    root: &mut ObjectWriter<'_>,
    reasoning: &ReasoningSettings,
    rules: &ModelRules,
    warnings: &mut Warnings,
) {
    let effort = reasoning.effort_name();
    let is_off = effort == Some("none");
    let members = if is_off { &rules.thinking_off } else { &rules.thinking_on };
    members.iter().for_each(|(key, json)| root.raw(key, json));
    if !rules.always_refuses(RefusedSetting::ReasoningEffort) {
        // Turning it off needs no effort.
        root.optional_text("reasoning_effort", effort.filter(|_| !is_off || members.is_empty()));
    } else if let Some(effort) = effort.filter(|_| !is_off) {
        let how = format!("thinking is on, since this model has no effort {effort}");
        if members.is_empty() {
            warnings.dropped("reasoning effort", "this model refuses it");
        } else {
            warnings.changed("reasoning effort", &how);
        }
    }
}

/// Writes the tier. Imitators have other names for the default, which is therefore omitted.
fn write_service_tier(
    root: &mut ObjectWriter<'_>,
    request: &ChatRequest,
    target: &TargetModel<'_>,
    warnings: &mut Warnings,
) {
    let Some(tier) = request.service_tier.as_deref() else { return };
    match service_tier::of_request(tier) {
        Some("default") if !target.is_original => {}
        Some("ultrafast") | None => {
            warnings.dropped("service_tier", "a class of service of another vendor or API");
        }
        Some(tier) => root.text("service_tier", tier),
    }
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

/// Writes the sampling parameters. OpenAI rejects two that imitators support.
fn sampling(
    root: &mut ObjectWriter<'_>,
    request: &ChatRequest,
    target: &TargetModel<'_>,
    warnings: &mut Warnings,
) {
    let sampling = &request.sampling;
    root.optional_float("temperature", sampling.temperature);
    root.optional_float("top_p", sampling.top_p);
    if target.is_original {
        for (name, is_set) in
            [("top_k", sampling.top_k.is_some()), ("min_p", sampling.min_p.is_some())]
        {
            if is_set {
                warnings.dropped(name, NO_SUCH);
            }
        }
    } else {
        root.optional_number("top_k", sampling.top_k);
        root.optional_float("min_p", sampling.min_p);
    }
    root.optional_float("frequency_penalty", sampling.frequency_penalty);
    root.optional_float("presence_penalty", sampling.presence_penalty);
    if let Some(seed) = sampling.seed {
        let name = target.rules.seed_name.as_deref().unwrap_or("seed");
        root.key(name).extend_from_slice(seed.to_string().as_bytes());
    }
    root.optional_raw("logit_bias", sampling.logit_bias.as_ref());
}

fn tools(
    root: &mut ObjectWriter<'_>,
    request: &ChatRequest,
    (target, forms): (&TargetModel<'_>, &CallForms),
    warnings: &mut Warnings,
) {
    let is_supported = |tool: &&Tool| match tool {
        Tool::Function(_) => true,
        Tool::Raw(foreign) => foreign.dialect == Dialect::OpenaiChat,
        Tool::WebSearch(_) | Tool::CodeExecution => false,
    };
    for tool in &request.tools {
        match tool {
            Tool::WebSearch(search) => write_web_search(root, search, warnings),
            Tool::CodeExecution => {
                warnings.dropped("the code execution tool", "openai-chat has none");
            }
            Tool::Raw(foreign) if foreign.dialect != Dialect::OpenaiChat => {
                extra_fields::warn_of_tool(tool, warnings);
            }
            _ => {}
        }
    }
    if !request.tools.iter().any(|tool| is_supported(&tool)) {
        return;
    }
    root.array("tools", |array| {
        for tool in request.tools.iter().filter(is_supported) {
            match tool {
                Tool::Function(function) if forms.kind(&function.name) == CallKind::Custom => {
                    write_custom(array, function);
                }
                Tool::Function(function) => write_function(array, function, target, warnings),
                Tool::Raw(foreign) => array.raw(&foreign.json),
                Tool::WebSearch(_) | Tool::CodeExecution => {}
            }
        }
    });
    write_tool_choice(root, request, forms);
    root.optional_flag("parallel_tool_calls", request.parallel_tool_calls);
}

fn write_tool_choice(root: &mut ObjectWriter<'_>, request: &ChatRequest, forms: &CallForms) {
    if let Some(allowed) =
        extra_fields::find(request, Dialect::OpenaiChat, "tool_choice.allowed_tools")
    {
        root.object("tool_choice", |choice| {
            choice.text("type", "allowed_tools");
            choice.raw("allowed_tools", &allowed.json);
        });
        return;
    }
    match &request.tool_choice {
        None => {}
        Some(ToolChoice::Auto) => root.text("tool_choice", "auto"),
        Some(ToolChoice::None) => root.text("tool_choice", "none"),
        Some(ToolChoice::Required) => root.text("tool_choice", "required"),
        Some(ToolChoice::Function(name)) => root.object("tool_choice", |choice| {
            let is_custom = forms.kind(name) == CallKind::Custom;
            let kind = if is_custom { "custom" } else { "function" };
            choice.text("type", kind);
            choice.object(kind, |function| function.text("name", name));
        }),
    }
}

/// Writes a custom tool, whose input is text.
fn write_custom(array: &mut ArrayWriter<'_>, function: &Function) {
    let Some(openai) = function.openai.as_deref() else { return };
    array.object(|tool| {
        tool.text("type", "custom");
        tool.object("custom", |inner| {
            inner.text("name", &function.name);
            inner.optional_text("description", openai.description.as_deref());
            if let OpenaiToolKind::Custom(Some(grammar)) = &openai.kind {
                inner.object("format", |format| {
                    format.text("type", "grammar");
                    format.object("grammar", |inner| {
                        inner.text("definition", &grammar.definition);
                        inner.text("syntax", &grammar.syntax);
                    });
                });
            }
        });
    });
}

fn write_web_search(root: &mut ObjectWriter<'_>, search: &WebSearch, warnings: &mut Warnings) {
    root.object("web_search_options", |options| {
        options.optional_raw("user_location", search.user_location.as_ref());
        options.optional_text("search_context_size", search.context_size.as_deref());
    });
    for (name, is_there) in [
        ("allowed_domains of the web search", !search.allowed_domains.is_empty()),
        ("blocked_domains of the web search", !search.blocked_domains.is_empty()),
        ("max_uses of the web search", search.uses_max.is_some()),
    ] {
        if is_there {
            warnings.dropped(name, NO_SUCH);
        }
    }
}

fn write_function(
    array: &mut ArrayWriter<'_>,
    function: &Function,
    target: &TargetModel<'_>,
    warnings: &mut Warnings,
) {
    let parameters = Parameters::of(function, &OPENAI_STRICT, warnings);
    array.object(|tool| {
        tool.text("type", "function");
        tool.object("function", |inner| {
            inner.text("name", &function.name);
            inner.optional_text("description", function.description.as_deref());
            inner.optional_raw("parameters", parameters.schema.as_deref());
            inner.optional_flag("strict", parameters.strict);
        });
        write_cache_point(tool, function.cache, target, warnings);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::{
        CachePoint, Content, Dialect, File, Image, Json, Media, Part, Reasoning, Role, Sampling,
        Signature, ToolCall, ToolResult, Turn,
    };
    use serde_json::{Value, json};

    fn written(request: &ChatRequest, is_original: bool) -> (Value, Vec<String>) {
        let (mut warnings, mut out) = (Warnings::default(), Vec::new());
        let target = TargetModel::new("m", is_original);
        write(request, &target, &mut warnings, &mut out).expect("sayable");
        let body = serde_json::from_slice(&out).expect("JSON");
        (body, warnings.iter().map(str::to_owned).collect())
    }

    fn request_with(parts: Vec<Part>) -> ChatRequest {
        ChatRequest { turns: vec![Turn::new(Role::User, parts)], ..ChatRequest::default() }
    }

    fn file(media: Media) -> ChatRequest {
        let file = File { media, name: None, context: None, with_citations: false };
        request_with(vec![Part::new(Content::File(file))])
    }

    #[test]
    fn openai_gets_only_supported_members() {
        let signature = Signature { dialect: Dialect::Gemini, text: "s".to_owned() };
        let reasoning = Reasoning { text: "hm".to_owned(), ..Reasoning::default() };
        let call = ToolCall {
            id: "1".to_owned(),
            name: "f".to_owned(),
            arguments: String::new(),
            signature: Some(signature),
        };
        let cached = Part { cache: Some(CachePoint::Hour), ..Part::text("Hello") };
        let parts =
            vec![Part::new(Content::Reasoning(reasoning)), Part::new(Content::ToolCall(call))];
        let function = Function {
            name: "f".to_owned(),
            cache: Some(CachePoint::Default),
            ..Function::default()
        };
        let search = WebSearch { uses_max: Some(1), ..WebSearch::default() };
        let request = ChatRequest {
            turns: vec![Turn::new(Role::User, vec![cached]), Turn::new(Role::Assistant, parts)],
            tools: vec![Tool::Function(function), Tool::WebSearch(search)],
            sampling: Sampling { top_k: Some(4), min_p: Some(0.1), ..Sampling::default() },
            ..ChatRequest::default()
        };
        let call =
            json!({"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}});
        let (body, warnings) = written(&request, true);
        let expected = json!({
            "model": "m",
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "Hello"}]},
                {"role": "assistant", "content": null, "tool_calls": [call]}],
            "web_search_options": {},
            "tools": [{"type": "function", "function": {"name": "f"}}]});
        assert_eq!(body, expected);
        assert_eq!(warnings.len(), 6, "{warnings:?}");
        let (body, warnings) = written(&request, false);
        assert_eq!((&body["top_k"], &body["min_p"]), (&json!(4), &json!(0.1)));
        assert_eq!(body["tools"][0]["cache_control"], json!({"type": "ephemeral"}));
        assert_eq!(body["messages"][0]["content"][0]["cache_control"]["ttl"], "1h");
        assert_eq!(body["messages"][1]["reasoning_content"], "hm");
        let google = &body["messages"][1]["tool_calls"][0]["extra_content"]["google"];
        assert_eq!(google["thought_signature"], "gemini#s");
        assert_eq!(warnings.len(), 1, "{warnings:?}");
    }

    #[test]
    fn tool_result_media_follow_in_a_user_turn() {
        let result = |id: &str, parts: Vec<Part>| {
            let result = ToolResult { id: id.to_owned(), name: None, parts, is_error: false };
            Turn::new(Role::Tool, vec![Part::new(Content::ToolResult(result))])
        };
        let media = Media::of_url("https://a.example/a.png");
        let image = || Part::new(Content::Image(Image { media: media.clone(), detail: None }));
        let request = ChatRequest {
            turns: vec![
                result("1", vec![Part::text("Look"), image()]),
                result("2", vec![Part::text("18")]),
                Turn::new(Role::User, vec![Part::text("And?")]),
            ],
            ..ChatRequest::default()
        };
        let shown = json!({"type": "image_url", "image_url": {"url": "https://a.example/a.png"}});
        let expected = json!([
            {"role": "tool", "tool_call_id": "1", "content": "Look"},
            {"role": "tool", "tool_call_id": "2", "content": "18"},
            {"role": "user", "content": [shown]},
            {"role": "user", "content": "And?"}]);
        // Imitators as well: most accept only text in results.
        for is_original in [true, false] {
            let (body, warnings) = written(&request, is_original);
            assert_eq!((&body["messages"], warnings.len()), (&expected, 1));
        }
    }

    #[test]
    fn metadata_requires_store() {
        let mut request = request_with(vec![Part::text("Hello")]);
        request.metadata = vec![("team".to_owned(), "a".to_owned())];
        let (body, warnings) = written(&request, true);
        assert_eq!((body.get("metadata"), warnings.len()), (None, 1));
        for (json, is_kept) in [("true", true), ("false", false)] {
            let json = Json::of_written(json.to_owned());
            let store = DialectJson { dialect: Dialect::OpenaiResponses, json };
            request.extra_fields = vec![("store".to_owned(), store)];
            let (body, warnings) = written(&request, true);
            assert_eq!((body.get("metadata").is_some(), warnings.is_empty()), (is_kept, is_kept));
        }
    }

    #[test]
    fn files_are_written_by_media_type() {
        let content = |media: Media, is_original| {
            written(&file(media), is_original).0["messages"][0]["content"][0].clone()
        };
        let text = json!({"type": "text", "text": "Gr\u{fc}\u{df}e"});
        assert_eq!(content(Media::plain_text("Gr\u{fc}\u{df}e"), true), text);
        assert_eq!(content(Media::plain_text("Gr\u{fc}\u{df}e"), false)["type"], "file");
        let far = || Media::of_url("https://a.example/a.pdf");
        assert_eq!(content(far(), false)["file"]["file_data"], "https://a.example/a.pdf");
        let target = TargetModel::new("m", true);
        let refused = write(&file(far()), &target, &mut Warnings::default(), &mut Vec::new());
        assert_eq!(refused.expect_err("refused").what, "a file by address");
    }
}

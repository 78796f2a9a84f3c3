//! A request for a provider.

use super::write_input;
use crate::dialects::codec::{TargetModel, Unsupported};
use crate::dialects::json_schema::{OPENAI_STRICT, Parameters, fit_format};
use crate::dialects::openai_tools::{CallForms, CallKind, TOOL_SEARCH};
use crate::dialects::warnings::Warnings;
use crate::dialects::{extra_fields, service_tier};
use crate::llm::{
    ArrayWriter, ChatRequest, Dialect, Format, Function, Namespace, ObjectWriter, OpenaiTool,
    OpenaiToolKind, Role, Tool, ToolChoice, WebSearch, write_object,
};

/// The reason in warnings about members that the dialect lacks.
const NO_SUCH: &str = "openai-responses has no such setting";

/// The smallest output limit that OpenAI accepts (its error message; seen November 2026).
const TOKENS_MIN: u64 = 16;

/// Appends the body.
pub(super) fn write(
    request: &ChatRequest,
    target: &TargetModel<'_>,
    warnings: &mut Warnings,
    out: &mut Vec<u8>,
) -> Result<(), Unsupported> {
    let tool_form = if target.is_original || request.origin == Some(Dialect::OpenaiResponses) {
        ToolForm::Native
    } else {
        ToolForm::Plain
    };
    let forms = match tool_form {
        ToolForm::Plain => CallForms::default(),
        _ => CallForms::of(request),
    };
    write_object(out, |root| {
        root.text("model", target.model);
        let instructions = instructions(request);
        root.optional_text("instructions", instructions);
        let turns = request.turns.get(usize::from(instructions.is_some())..).unwrap_or_default();
        if !turns.is_empty() {
            root.array("input", |items| {
                write_input::write(items, turns, request, (target, &forms), warnings)
            })?;
        }
        settings(root, request, target, warnings);
        sampling(root, request, target, warnings);
        reasoning_and_text(root, request, warnings);
        let has_tools = request.tools.iter().any(is_supported);
        if has_tools {
            root.array("tools", |array| write_tools(array, request, tool_form, warnings));
        } else {
            request.tools.iter().for_each(|tool| extra_fields::warn_of_tool(tool, warnings));
        }
        if has_tools || request.tools.is_empty() {
            write_tool_choice(root, request, &forms);
            root.optional_flag("parallel_tool_calls", request.parallel_tool_calls);
        }
        keeping(root, request);
        if request.stream {
            root.flag("stream", true);
        }
        extra_fields::write_of_openai(root, request, Dialect::OpenaiResponses, target, warnings)
    })
}

/// The text of `instructions`: the first turn, if it is a system turn and others follow.
pub(super) fn instructions(request: &ChatRequest) -> Option<&str> {
    let [first, _, ..] = request.turns.as_slice() else {
        // State at the provider may be the rest of the conversation.
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
    target: &TargetModel<'_>,
    warnings: &mut Warnings,
) {
    let is_own = request.origin == Some(Dialect::OpenaiResponses);
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
        Some(tier) if is_own => root.text("service_tier", tier),
        Some(tier) => match service_tier::of_request(tier) {
            Some(tier) => root.text("service_tier", tier),
            None => warnings.dropped("service_tier", "a class of service of another vendor"),
        },
        None => {}
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

/// Writes the sampling parameters. OpenAI accepts two here, imitators some more.
fn sampling(
    root: &mut ObjectWriter<'_>,
    request: &ChatRequest,
    target: &TargetModel<'_>,
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

fn reasoning_and_text(root: &mut ObjectWriter<'_>, request: &ChatRequest, warnings: &mut Warnings) {
    let has_inner = |outer: &str| {
        request.extra_fields.iter().any(|(key, it)| {
            it.dialect == Dialect::OpenaiResponses
                && key.strip_prefix(outer).is_some_and(|it| it.starts_with('.'))
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
            extra_fields::write_inner(object, request, Dialect::OpenaiResponses, "reasoning");
        });
    }
    if request.format.is_some() || request.verbosity.is_some() || has_inner("text") {
        root.object("text", |object| {
            if let Some(format) = &request.format {
                let format = fit_format(format, warnings);
                object.object("format", |object| write_format(object, &format));
            }
            object.optional_text("verbosity", request.verbosity.as_deref());
            extra_fields::write_inner(object, request, Dialect::OpenaiResponses, "text");
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

/// Writes `store` and `include`. Providers of other dialects store no responses, so `store` is off
/// unless the request sets it; reasoning must then be returned encrypted.
fn keeping(root: &mut ObjectWriter<'_>, request: &ChatRequest) {
    let is_own = request.origin == Some(Dialect::OpenaiResponses);
    let is_set = request.extra_fields.iter().any(|(key, _)| key == "store");
    if !is_own && !is_set {
        root.flag("store", false);
    }
    let thinks = request.reasoning.as_ref().is_some_and(|it| it.effort_name() != Some("none"));
    let others = extra_fields::find(request, Dialect::OpenaiResponses, "include");
    let is_sealed = request.seal_reasoning || (!is_own && thinks);
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

fn is_supported(tool: &Tool) -> bool {
    !matches!(tool, Tool::Raw(foreign) if foreign.dialect != Dialect::OpenaiResponses)
}

/// The receiver of tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ToolForm {
    /// An imitator of OpenAI, which supports plain functions only.
    Plain,
    /// OpenAI.
    Native,
    /// A client, whose tools a response repeats with all members.
    Repeated,
}

/// Writes the elements of `tools`.
pub(super) fn write_tools(
    array: &mut ArrayWriter<'_>,
    request: &ChatRequest,
    form: ToolForm,
    warnings: &mut Warnings,
) {
    let is_native = form != ToolForm::Plain;
    let form = (form, request.origin == Some(Dialect::OpenaiResponses));
    fn openai(tool: &Tool) -> Option<&OpenaiTool> {
        match tool {
            Tool::Function(function) => function.openai.as_deref(),
            _ => None,
        }
    }
    fn namespace(tool: &Tool) -> Option<&Namespace> {
        openai(tool).and_then(|it| it.namespace.as_ref())
    }
    // The functions of a namespace are adjacent.
    for group in request.tools.chunk_by(|before, next| {
        is_native && namespace(before).is_some() && namespace(before) == namespace(next)
    }) {
        let mut write = |array: &mut ArrayWriter<'_>| {
            for tool in group {
                let openai = openai(tool).filter(|_| is_native);
                write_tool(array, tool, openai, form, warnings);
            }
        };
        match group.first().and_then(namespace).filter(|_| is_native) {
            None => write(array),
            Some(namespace) => array.object(|object| {
                object.text("type", "namespace");
                object.text("name", &namespace.name);
                object.optional_text("description", namespace.description.as_deref());
                object.array("tools", write);
            }),
        }
    }
}

fn write_tool(
    array: &mut ArrayWriter<'_>,
    tool: &Tool,
    openai: Option<&OpenaiTool>,
    form: (ToolForm, bool),
    warnings: &mut Warnings,
) {
    match (tool, openai) {
        (Tool::Function(function), Some(openai)) => {
            write_openai_tool(array, function, openai, form, warnings);
        }
        (Tool::Function(function), None) => write_function(array, function, form, warnings),
        (Tool::WebSearch(search), _) => write_web_search(array, search, warnings),
        (Tool::CodeExecution, _) => array.object(|tool| {
            tool.text("type", "code_interpreter");
            tool.object("container", |container| container.text("type", "auto"));
        }),
        (Tool::Raw(foreign), _) if foreign.dialect == Dialect::OpenaiResponses => {
            array.raw(&foreign.json);
        }
        (Tool::Raw(_), _) => extra_fields::warn_of_tool(tool, warnings),
    }
}

/// Writes a tool in this dialect's own form.
fn write_openai_tool(
    array: &mut ArrayWriter<'_>,
    function: &Function,
    openai: &OpenaiTool,
    form: (ToolForm, bool),
    warnings: &mut Warnings,
) {
    match &openai.kind {
        OpenaiToolKind::Function => {
            let (name, description) = (openai.name.clone(), openai.description.clone());
            let inner = Function { name, description, ..function.clone() };
            write_function(array, &inner, form, warnings);
        }
        OpenaiToolKind::Custom(grammar) => array.object(|tool| {
            tool.text("type", "custom");
            tool.text("name", &openai.name);
            tool.optional_text("description", openai.description.as_deref());
            if let Some(grammar) = grammar {
                tool.object("format", |format| {
                    format.text("type", "grammar");
                    format.text("syntax", &grammar.syntax);
                    format.text("definition", &grammar.definition);
                });
            }
        }),
        OpenaiToolKind::ToolSearch => array.object(|tool| {
            tool.text("type", TOOL_SEARCH);
            tool.text("execution", "client");
            tool.optional_text("description", openai.description.as_deref());
            tool.optional_raw("parameters", function.parameters.as_ref());
        }),
    }
}

fn write_function(
    array: &mut ArrayWriter<'_>,
    function: &Function,
    (form, is_own): (ToolForm, bool),
    warnings: &mut Warnings,
) {
    if function.cache.is_some() {
        warnings.dropped("a cache point of a tool", "openai-responses has them in messages only");
    }
    let parameters = Parameters::of(function, &OPENAI_STRICT, warnings);
    array.object(|tool| {
        tool.text("type", "function");
        tool.text("name", &function.name);
        match function.description.as_deref() {
            Some(description) => tool.text("description", description),
            None if form == ToolForm::Repeated => tool.null("description"),
            None => {}
        }
        match &parameters.schema {
            Some(parameters) => tool.raw("parameters", parameters),
            // Required, even for a function without parameters.
            None => tool.null("parameters"),
        }
        // By default this dialect makes the schema strict, and all others leave it unchanged.
        let strict = parameters.strict.or((!is_own).then_some(false));
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

/// Writes `tool_choice`, if it is set. This dialect's own kinds are written unchanged.
pub(super) fn write_tool_choice(
    root: &mut ObjectWriter<'_>,
    request: &ChatRequest,
    forms: &CallForms,
) -> bool {
    let mode = match &request.tool_choice {
        None => return false,
        Some(ToolChoice::Function(name)) => {
            root.object("tool_choice", |choice| {
                let form = forms.find(name);
                let is_custom = form.is_some_and(|form| form.kind == CallKind::Custom);
                choice.text("type", if is_custom { "custom" } else { "function" });
                choice.text("name", form.map_or(name, |form| &form.name));
                choice.optional_text("namespace", form.and_then(|it| it.namespace.as_deref()));
            });
            return true;
        }
        Some(ToolChoice::Auto) => "auto",
        Some(ToolChoice::None) => "none",
        Some(ToolChoice::Required) => "required",
    };
    if extra_fields::find(request, Dialect::OpenaiResponses, "tool_choice.tools").is_some() {
        root.object("tool_choice", |choice| {
            choice.text("type", "allowed_tools");
            choice.text("mode", mode);
            extra_fields::write_inner(choice, request, Dialect::OpenaiResponses, "tool_choice");
        });
    } else {
        root.text("tool_choice", mode);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialects::openai_tools::{custom, in_namespace, tool_search};
    use crate::llm::{
        CachePoint, Content, Dialect, DialectJson, File, Grammar, Image, Json, Media, MediaSource,
        Part, Reasoning, ReasoningSettings, Sampling, Scanner, Signature, Text, ToolCall,
        ToolResult, Turn,
    };
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;
    use serde_json::Value;

    fn write_for(request: &ChatRequest, is_original: bool) -> Result<(Value, String), Unsupported> {
        let (mut out, mut warnings) = (Vec::new(), Warnings::default());
        let target = TargetModel::new(&request.model, is_original);
        write(request, &target, &mut warnings, &mut out)?;
        Ok((serde_json::from_slice(&out).expect("JSON"), warnings.header()))
    }

    fn request_with(parts: Vec<Part>) -> ChatRequest {
        ChatRequest { turns: vec![Turn::new(Role::User, parts)], ..ChatRequest::default() }
    }

    fn answering(parts: Vec<Part>) -> ChatRequest {
        let turns =
            vec![Turn::new(Role::User, vec![Part::text("q")]), Turn::new(Role::Assistant, parts)];
        ChatRequest { turns, ..ChatRequest::default() }
    }

    fn reasoning_part(dialect: Dialect) -> Part {
        let signature = Some(Signature { dialect, text: "s".to_owned() });
        let text = "hm".to_owned();
        Part::new(Content::Reasoning(Reasoning { id: None, text, signature, sealed: None }))
    }

    #[test]
    fn unsupported_input_is_rejected() {
        let far = |source| Media { media_type: None, source };
        for (content, what) in [
            (Content::Video(Media::base64("video/mp4", "AAAA")), "a video"),
            (
                Content::Audio(far(MediaSource::Url("https://a.example".to_owned()))),
                "audio by address",
            ),
        ] {
            let refused = write_for(&request_with(vec![Part::new(content.clone())]), true);
            assert_eq!(refused.expect_err("refused").what, what);
            let result = ToolResult {
                id: "c".to_owned(),
                name: None,
                parts: vec![Part::new(content)],
                is_error: false,
            };
            let part = Part::new(Content::ToolResult(result));
            let turns = vec![Turn::new(Role::Tool, vec![part])];
            let request = ChatRequest { turns, ..ChatRequest::default() };
            assert_eq!(write_for(&request, true).expect_err("refused").what, what);
        }
    }

    #[test]
    fn dropped_members_are_warned() {
        let sampling =
            Sampling { seed: Some(7), logit_bias: Json::parse_object("{}"), ..Sampling::default() };
        let json = Json::parse(r#"{"type":"x"}"#).expect("JSON");
        let foreign = || DialectJson { dialect: Dialect::Gemini, json: json.clone() };
        let function = Function { cache: Some(CachePoint::Default), ..Function::default() };
        let search = WebSearch { uses_max: Some(3), ..WebSearch::default() };
        let request = ChatRequest {
            n: Some(2),
            stop: vec!["END".to_owned()],
            sampling,
            max_tokens: Some(5),
            service_tier: Some("reserved".to_owned()),
            prediction: Some("x".to_owned()),
            modalities: vec!["text".to_owned(), "audio".to_owned()],
            tools: vec![Tool::Function(function), Tool::WebSearch(search), Tool::Raw(foreign())],
            ..request_with(vec![Part::text("q"), Part::new(Content::Raw(foreign()))])
        };
        let (body, warnings) = write_for(&request, true).expect("a request");
        for part in [
            "dropped n:",
            "dropped stop:",
            "dropped seed:",
            "dropped logit_bias:",
            "changed max_tokens: 16",
            "dropped service_tier:",
            "dropped prediction:",
            "dropped modalities:",
            "dropped a cache point of a tool:",
            "dropped max_uses of the web search:",
            "dropped the tool x:",
            "dropped a part of a message:",
        ] {
            assert!(warnings.contains(part), "{part} in {warnings}");
        }
        assert_eq!(body["input"][0]["content"], "q");
        assert_eq!(body["max_output_tokens"], 16);
        // Imitators accept some of it.
        let (body, warnings) = write_for(&request, false).expect("a request");
        assert_eq!((&body["seed"], &body["stop"][0]), (&7.into(), &"END".into()));
        assert_eq!(body["max_output_tokens"], 5);
        assert!(!warnings.contains("seed") && warnings.contains("logit_bias"), "{warnings}");
    }

    #[test]
    fn client_dialect_defaults_apply() {
        let function = Tool::Function(Function { name: "f".to_owned(), ..Function::default() });
        let thinking = ReasoningSettings { is_shown: Some(true), ..ReasoningSettings::default() };
        let request = ChatRequest {
            tools: vec![function],
            reasoning: Some(thinking),
            ..request_with(vec![Part::text("q")])
        };
        let (body, _) = write_for(&request, true).expect("a request");
        assert_eq!((&body["store"], &body["tools"][0]["strict"]), (&false.into(), &false.into()));
        assert_eq!(body["include"][0], "reasoning.encrypted_content");
        assert_eq!(body["reasoning"]["summary"], "auto");
        let own = ChatRequest { origin: Some(Dialect::OpenaiResponses), ..request.clone() };
        let (body, _) = write_for(&own, true).expect("a request");
        assert!(body.get("store").is_none() && body.get("include").is_none());
        assert_eq!(body["tools"][0]["strict"], Value::Null);
        let off = ReasoningSettings { is_off: true, ..ReasoningSettings::default() };
        let off = ChatRequest { reasoning: Some(off), ..request };
        let (body, _) = write_for(&off, true).expect("a request");
        assert!(body.get("include").is_none());
        assert_eq!(body["reasoning"]["effort"], "none");
    }

    #[test]
    fn provider_gets_only_its_own_reasoning() {
        for (dialect, is_original, expected) in [
            (Dialect::OpenaiResponses, true, Some("encrypted_content")),
            (Dialect::OpenaiResponses, false, Some("encrypted_content")),
            (Dialect::AnthropicMessages, true, None),
            (Dialect::AnthropicMessages, false, Some("content")),
        ] {
            let request = answering(vec![reasoning_part(dialect), Part::text("a")]);
            let (body, warnings) = write_for(&request, is_original).expect("a request");
            let items = body["input"].as_array().expect("items");
            let found = items.iter().find(|item| item["type"] == "reasoning");
            match expected {
                Some(key) => assert!(found.expect("a thought").get(key).is_some(), "{body}"),
                None => assert_eq!(found, None),
            }
            assert_eq!(
                warnings.contains("proof"),
                dialect != Dialect::OpenaiResponses,
                "{warnings}"
            );
        }
        let call = ToolCall {
            id: "c".repeat(65),
            name: "f".to_owned(),
            arguments: String::new(),
            signature: Some(Signature { dialect: Dialect::Gemini, text: "s".to_owned() }),
        };
        let result =
            ToolResult { id: call.id.clone(), name: None, parts: Vec::new(), is_error: true };
        let mut request = answering(vec![Part::new(Content::ToolCall(call))]);
        let results = vec![Part::new(Content::ToolResult(result))];
        request.turns.push(Turn::new(Role::Tool, results));
        let (body, warnings) = write_for(&request, true).expect("a request");
        let (call, result) = (&body["input"][1], &body["input"][2]);
        assert_eq!((&call["arguments"], &result["output"]), (&"{}".into(), &"".into()));
        assert_eq!(call["call_id"], result["call_id"]);
        assert!(call["call_id"].as_str().is_some_and(|id| id.len() <= 64));
        assert!(warnings.contains("proof of a tool call") && warnings.contains("is_error"));
    }

    #[test]
    fn instructions_alone_are_rejected() {
        let system = Turn::new(Role::System, vec![Part::text("s")]);
        let request = ChatRequest { turns: vec![system], ..ChatRequest::default() };
        let (body, _) = write_for(&request, true).expect("a request");
        assert!(body.get("instructions").is_none());
        assert_eq!(body["input"][0]["role"], "system");
    }

    fn any_text() -> impl Strategy<Value = String> {
        "[a-zé\"\\\\\n ]{1,12}"
    }

    fn text() -> impl Strategy<Value = Content> {
        any_text().prop_map(|text| Content::Text(Text { text, citations: Vec::new() }))
    }

    fn media(media_type: &'static str) -> impl Strategy<Value = Media> {
        prop_oneof![
            Just(Media::base64(media_type, "AAAA")),
            Just(Media::of_url("https://a.example/b")),
            Just(Media { media_type: None, source: MediaSource::Id("file-1".to_owned()) }),
        ]
    }

    fn given() -> impl Strategy<Value = Part> {
        let detail = option::of(Just("high".to_owned()));
        let image = (media("image/png"), detail)
            .prop_map(|(media, detail)| Content::Image(Image { media, detail }));
        let file = (media("application/pdf"), any_text()).prop_map(|(media, name)| {
            Content::File(File { media, name: Some(name), context: None, with_citations: false })
        });
        let audio = Just(Content::Audio(Media::base64("audio/wav", "AAAA")));
        let foreign = Just(Content::Raw(DialectJson {
            dialect: Dialect::OpenaiResponses,
            json: Json::of_written(r#"{"type":"input_video","x":[1]}"#.to_owned()),
        }));
        let points = prop_oneof![
            3 => Just(None),
            1 => Just(Some(CachePoint::Default)),
            1 => Just(Some(CachePoint::Hour)),
        ];
        let plain = prop_oneof![4 => text(), 1 => image, 1 => file, 1 => audio];
        prop_oneof![
            6 => (plain, points).prop_map(|(content, cache)| Part { content, cache }),
            1 => foreign.prop_map(Part::new),
        ]
    }

    fn output() -> impl Strategy<Value = Content> {
        let own = |text: &str| {
            Some(Signature { dialect: Dialect::OpenaiResponses, text: text.to_owned() })
        };
        let shown = any_text().prop_map(move |text| {
            let signature = own("s");
            Content::Reasoning(Reasoning { id: None, text, signature, sealed: None })
        });
        let sealed = any::<u32>().prop_map(move |id| {
            let sealed = own(&format!("rs_{id}#t"));
            let id = Some(format!("rs_{id}"));
            Content::Reasoning(Reasoning { id, text: String::new(), signature: None, sealed })
        });
        let call = (any::<u32>(), any_text()).prop_map(|(id, name)| {
            let arguments = r#"{"x":[1,"é"]}"#.to_owned();
            let id = format!("call_{id}");
            Content::ToolCall(ToolCall { id, name, arguments, signature: None })
        });
        let foreign = |json: &str| {
            let json = Json::of_written(json.to_owned());
            Just(Content::Raw(DialectJson { dialect: Dialect::OpenaiResponses, json }))
        };
        prop_oneof![
            4 => text(),
            1 => any_text().prop_map(Content::Refusal),
            2 => call,
            1 => shown,
            1 => sealed,
            1 => foreign(r#"{"type":"web_search_call","id":"ws_1"}"#),
            1 => foreign(r#"{"type":"output_audio","data":"AAAA"}"#),
        ]
    }

    fn turn() -> impl Strategy<Value = Turn> {
        let inputs = prop_oneof![Just(Role::User), Just(Role::System), Just(Role::Developer)];
        let inputs = (inputs, vec(given(), 1..4)).prop_map(|(role, parts)| Turn::new(role, parts));
        let answered = vec(output().prop_map(Part::new), 1..5)
            .prop_map(|parts| Turn::new(Role::Assistant, parts));
        let results = vec((any::<u32>(), vec(given(), 1..3)), 1..3).prop_map(|results| {
            let part = |(id, parts)| {
                let id = format!("call_{id}");
                let result = ToolResult { id, name: None, parts, is_error: false };
                Part::new(Content::ToolResult(result))
            };
            Turn::new(Role::Tool, results.into_iter().map(part).collect())
        });
        prop_oneof![2 => inputs, 2 => answered, 1 => results]
    }

    /// Turns that cannot be joined with their neighbors.
    fn turns() -> impl Strategy<Value = Vec<Turn>> {
        vec(turn(), 1..6).prop_map(|mut turns| {
            turns.dedup_by(|next, before| {
                next.role == before.role && matches!(next.role, Role::Assistant | Role::Tool)
            });
            turns
        })
    }

    fn tool() -> impl Strategy<Value = Tool> {
        let schema = r#"{"type":"object","properties":{"a":{}},"required":["a"],"additionalProperties":false}"#;
        let schema = move || Json::parse_object(schema);
        let function =
            (any_text(), option::of(any_text()), any::<bool>(), option::of(any::<bool>()))
                .prop_map(move |(name, description, has_schema, strict)| {
                    let parameters = schema().filter(|_| has_schema);
                    let function =
                        Function { name, description, parameters, ..Function::default() };
                    Tool::Function(Function { strict, ..function })
                });
        let search = (vec(any_text(), 0..3), option::of(any_text())).prop_map(|(domains, size)| {
            Tool::WebSearch(WebSearch {
                allowed_domains: domains,
                context_size: size,
                ..WebSearch::default()
            })
        });
        let json = Json::of_written(r#"{"type":"mcp","server_label":"s"}"#.to_owned());
        let foreign = Just(Tool::Raw(DialectJson { dialect: Dialect::OpenaiResponses, json }));
        let custom =
            (option::of(any_text()), any::<bool>()).prop_map(|(description, has_grammar)| {
                let (syntax, definition) = ("lark".to_owned(), "start: \"x\"".to_owned());
                let grammar = has_grammar.then_some(Grammar { syntax, definition });
                Tool::Function(custom("note", description.as_deref(), grammar))
            });
        let inside = option::of(any_text()).prop_map(|description| {
            let namespace = Namespace { name: "mcp__db".to_owned(), description };
            let inner = Function { name: "query".to_owned(), ..Function::default() };
            Tool::Function(in_namespace(inner, &namespace))
        });
        let search = prop_oneof![4 => search, 1 => Just(Tool::Function(tool_search(None, None)))];
        prop_oneof![
            4 => function, 1 => search, 1 => Just(Tool::CodeExecution), 1 => foreign, 2 => custom,
            1 => inside,
        ]
    }

    fn format() -> impl Strategy<Value = Format> {
        let schema = (any_text(), option::of(any_text()), option::of(any::<bool>()));
        let schema = schema.prop_map(|(name, description, strict)| {
            let schema = r#"{"type":"object","properties":{"a":{}},"required":["a"],"additionalProperties":false}"#;
            let schema = Json::of_written(schema.to_owned());
            Format::JsonSchema { name: Some(name), description, schema, strict }
        });
        prop_oneof![Just(Format::Text), Just(Format::JsonObject), schema]
    }

    fn reasoning() -> impl Strategy<Value = ReasoningSettings> {
        let effort = prop_oneof![Just("none"), Just("low"), Just("xhigh")];
        (effort, option::of(any_text())).prop_map(|(effort, summary)| ReasoningSettings {
            is_off: effort == "none",
            effort: Some(effort.to_owned()),
            is_shown: summary.as_ref().map(|_| true),
            summary,
            tokens_max: None,
        })
    }

    prop_compose! {
        fn request()(
            turns in turns(),
            (tools, choice, parallel) in
                (vec(tool(), 0..3), 0..5_u8, option::of(any::<bool>())),
            (format, reasoning) in (option::of(format()), option::of(reasoning())),
            (max_tokens, top_logprobs, halves) in
                (option::of(any::<u32>()), option::of(0..20_u64), option::of(0..4_u8)),
            (verbosity, user, label) in
                (option::of(any_text()), option::of(any_text()), option::of(any_text())),
            (stream, seal_reasoning, is_stored) in
                (any::<bool>(), any::<bool>(), option::of(any::<bool>())),
        ) -> ChatRequest {
            let mut tools = tools;
            // Of several functions with one name, all but one are renamed.
            let mut has_namespace = false;
            tools.retain(|tool| {
                let is_inside = matches!(tool, Tool::Function(Function { openai: Some(it), .. })
                    if it.namespace.is_some());
                !is_inside || !std::mem::replace(&mut has_namespace, true)
            });
            let foreign = is_stored.map(|stored| {
                let json = Json::of_written(stored.to_string());
                ("store".to_owned(), DialectJson { dialect: Dialect::OpenaiResponses, json })
            });
            let temperature = halves.map(|halves| f64::from(halves) / 2.0);
            ChatRequest {
                model: "model-1".to_owned(),
                turns,
                tools,
                tool_choice: match choice {
                    0 => Some(ToolChoice::Auto),
                    1 => Some(ToolChoice::None),
                    2 => Some(ToolChoice::Required),
                    3 => Some(ToolChoice::Function("f".to_owned())),
                    _ => None,
                },
                parallel_tool_calls: parallel,
                format,
                reasoning,
                max_tokens: max_tokens.map(u64::from),
                sampling: Sampling { temperature, top_p: temperature, ..Sampling::default() },
                top_logprobs,
                verbosity,
                user,
                metadata: label.map(|label| ("k".to_owned(), label)).into_iter().collect(),
                stream,
                include_usage: true,
                seal_reasoning,
                origin: Some(Dialect::OpenaiResponses),
                extra_fields: foreign.into_iter().collect(),
                ..ChatRequest::default()
            }
        }
    }

    proptest! {
        #[test]
        fn requests_round_trip(request in request()) {
            let mut out = Vec::new();
            let mut warnings = Warnings::default();
            let target = TargetModel::new(&request.model, true);
            write(&request, &target, &mut warnings, &mut out).expect("all of it can be said");
            prop_assert!(warnings.is_empty(), "{}", warnings.header());
            let read = crate::dialects::openai_responses::read_request::read;
            let again = Scanner::default().read(&out, read).expect("JSON").expect("a request");
            prop_assert_eq!(again, request);
        }
    }
}

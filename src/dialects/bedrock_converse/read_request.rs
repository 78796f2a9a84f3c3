//! A client's request.

use super::model_fields;
use super::read_content::{cache_point, parts};
use super::write_request::STOP_SEQUENCE_PATHS;
use super::write_tools::{GROUNDING, INTERPRETER};
use crate::dialects::codec::RequestPath;
use crate::dialects::extra_fields;
use crate::llm::{
    ChatRequest, Content, Dialect, DialectJson, Format, Function, Json, Malformed, Node, Part,
    ReasoningSettings, Role, Tool, ToolChoice, Turn, WebSearch, Within, write_object,
};

/// Reads the body.
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
    // A stored prompt has messages of its own.
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
                extra_fields::keep(&mut request.extra_fields, Dialect::BedrockConverse, key, value);
            }
        }
        _ => extra_fields::keep(&mut request.extra_fields, Dialect::BedrockConverse, key, value),
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

/// Moves what the canonical form has out of the model's own members, and keeps the rest.
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
        request.extra_fields.push((
            model_fields::KEY.to_owned(),
            DialectJson { dialect: Dialect::BedrockConverse, json },
        ));
    }
    Ok(())
}

/// True if all of the member was moved.
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
        _ => Tool::Raw(DialectJson { dialect: Dialect::BedrockConverse, json: value.json() }),
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
        openai: None,
    })
}

/// The turns of one message. Tool results are a turn of their own, before the rest.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::BedrockConverse;
    use super::*;
    use crate::dialects::codec::{ProviderCodec, TargetModel};
    use crate::dialects::grid::cases;
    use crate::dialects::warnings::Warnings;
    use crate::llm::{
        CachePoint, Dialect, File, Image, Media, MediaSource, Reasoning, Sampling, Scanner,
        Signature, ToolCall, ToolResult, find_rules,
    };

    /// A model that accepts everything except settings that exclude each other.
    const MODEL: &str = "anthropic.claude-sonnet-4-5-20250929-v1:0";

    fn read_text(body: &str) -> Result<ChatRequest, Malformed> {
        let path = RequestPath { model: Some(MODEL), stream: true };
        Scanner::default().read(body.as_bytes(), |root| read(root, &path)).expect("JSON")
    }

    fn written(request: &ChatRequest) -> (String, Warnings) {
        let (mut warnings, mut out) = (Warnings::default(), Vec::new());
        let rules = find_rules(None, Dialect::BedrockConverse, &request.model, &[]);
        let target = TargetModel::new(&request.model, true).with_rules(&rules);
        BedrockConverse.write_request(request, &target, &mut warnings, &mut out).expect("sayable");
        (String::from_utf8(out).expect("UTF-8"), warnings)
    }

    #[test]
    fn golden_requests_round_trip() {
        let cases = cases(Dialect::BedrockConverse, ".request.json");
        assert!(cases.len() >= 8, "{} requests", cases.len());
        for (case, body) in cases {
            let mut request = read_text(std::str::from_utf8(&body).expect("UTF-8")).expect("it");
            if case == "turns" {
                // Claude accepts either a temperature or `top_p`.
                request.model = "model-1".to_owned();
            }
            let (text, warnings) = written(&request);
            assert!(warnings.is_empty(), "{case}: {}", warnings.header());
            let mut again = read_text(&text).expect("what was written");
            again.model.clone_from(&request.model);
            if request.tool_choice == Some(ToolChoice::Auto) {
                request.tool_choice = None;
            }
            assert_eq!(again, request, "{case}");
        }
    }

    #[test]
    fn errors_name_the_path() {
        let message =
            |content: &str| format!(r#"{{"messages":[{{"role":"user","content":[{content}]}}]}}"#);
        let with = |member: &str| format!(r#"{{"messages":[],{member}}}"#);
        let at = "messages[0].content[0]";
        for (body, path) in [
            ("{}".to_owned(), "messages".to_owned()),
            (r#"{"messages":{}}"#.to_owned(), "messages".to_owned()),
            (r#"{"messages":[{"content":[]}]}"#.to_owned(), "messages[0].role".to_owned()),
            (
                r#"{"messages":[{"role":"tool","content":[]}]}"#.to_owned(),
                "messages[0].role".to_owned(),
            ),
            (
                r#"{"messages":[{"role":"user","content":"x"}]}"#.to_owned(),
                "messages[0].content".to_owned(),
            ),
            (message("7"), at.to_owned()),
            (message("{}"), at.to_owned()),
            (message(r#"{"text":7}"#), format!("{at}.text")),
            (message(r#"{"image":{"format":"png"}}"#), format!("{at}.image.source")),
            (
                message(r#"{"image":{"format":"png","source":{"bytes":7}}}"#),
                format!("{at}.image.source.bytes"),
            ),
            (message(r#"{"document":{"source":{}}}"#), format!("{at}.document.name")),
            (message(r#"{"toolUse":{"toolUseId":"1","input":{}}}"#), format!("{at}.toolUse.name")),
            (
                message(r#"{"toolResult":{"toolUseId":"1","content":[{"text":1}]}}"#),
                format!("{at}.toolResult.content[0].text"),
            ),
            (
                message(r#"{"reasoningContent":{"reasoningText":{}}}"#),
                format!("{at}.reasoningContent.reasoningText.text"),
            ),
            (with(r#""inferenceConfig":{"maxTokens":-1}"#), "inferenceConfig.maxTokens".to_owned()),
            (with(r#""inferenceConfig":{"topK":1}"#), "inferenceConfig.topK".to_owned()),
            (with(r#""toolConfig":{}"#), "toolConfig.tools".to_owned()),
            (
                with(r#""toolConfig":{"tools":[{"toolSpec":{"name":"f"}}]}"#),
                "toolConfig.tools[0].toolSpec.inputSchema".to_owned(),
            ),
            (with(r#""outputConfig":{"textFormat":{}}"#), "outputConfig.textFormat".to_owned()),
            (with(r#""requestMetadata":{"a":1}"#), "requestMetadata.a".to_owned()),
            (with(r#""system":"x""#), "system".to_owned()),
        ] {
            let fault = read_text(&body).expect_err("a fault");
            assert_eq!(fault.path, path, "{body}");
        }
    }

    #[test]
    fn service_specific_members_are_kept() {
        let body = r#"{
            "messages": [
                {"role": "user", "content": [
                    {"cachePoint": {"type": "default"}},
                    {"guardContent": {"text": {"text": "g"}}},
                    {"text": "t"},
                    {"document": {"name": "n", "format": "pdf", "source": {"text": "x"}}},
                    {"image": {"format": "png", "source": {"s3Location": {"uri": "s3://abc", "bucketOwner": "1"}}}},
                    {"toolResult": {"toolUseId": "1", "content": [{"json": {"a": [1]}}], "status": "error"}}
                ]},
                {"role": "assistant", "content": [
                    {"toolUse": {"toolUseId": "2", "name": "n", "input": {}, "type": "server_tool_use"}}
                ]}
            ],
            "toolConfig": {"tools": [
                {"systemTool": {"name": "nova_grounding"}},
                {"systemTool": {"name": "nova_code_interpreter"}},
                {"systemTool": {"name": "of_the_future"}}
            ]},
            "guardrailConfig": {"guardrailIdentifier": "g"},
            "additionalModelRequestFields": {"top_k": 3, "x": [1], "anthropic_beta": ["b"]},
            "additionalModelResponseFieldPaths": ["/x"],
            "performanceConfig": {"latency": "optimized"}
        }"#;
        let request = read_text(body).expect("a request");
        let foreign = |part: &Part| matches!(part.content, Content::Raw(_));
        let [tool, user, assistant] = request.turns.as_slice() else { panic!("{request:?}") };
        assert_eq!(tool.role, Role::Tool);
        let Content::ToolResult(result) = &tool.parts[0].content else { panic!("{tool:?}") };
        assert_eq!((result.parts[0].as_text(), result.is_error), (Some(r#"{"a":[1]}"#), true));
        assert_eq!(user.parts.iter().filter(|part| foreign(part)).count(), 4);
        assert!(foreign(&assistant.parts[0]));
        assert!(matches!(
            request.tools.as_slice(),
            [Tool::WebSearch(_), Tool::CodeExecution, Tool::Raw(_)]
        ));
        assert_eq!(request.sampling.top_k, Some(3));
        let keys: Vec<&str> = request.extra_fields.iter().map(|(key, _)| key.as_str()).collect();
        let expected = [
            "guardrailConfig",
            "additionalModelRequestFields",
            "additionalModelResponseFieldPaths",
            "performanceConfig",
        ];
        assert_eq!(keys, expected);
        assert_eq!(request.extra_fields[1].1.json.text(), r#"{"x":[1],"anthropic_beta":["b"]}"#);
    }

    fn any_text() -> impl Strategy<Value = String> {
        "[a-zA-Z\"\\\\é ]{0,8}[a-z]"
    }

    fn cache() -> impl Strategy<Value = Option<CachePoint>> {
        proptest::sample::select(vec![
            None,
            None,
            Some(CachePoint::Default),
            Some(CachePoint::Hour),
        ])
    }

    fn source() -> impl Strategy<Value = MediaSource> {
        prop_oneof![
            Just(MediaSource::Base64("QUJD".to_owned())),
            "[a-z]{3,5}".prop_map(|name| MediaSource::Url(format!("s3://{name}/x"))),
        ]
    }

    fn media(media_type: &'static str) -> impl Strategy<Value = Media> {
        source().prop_map(|source| Media { media_type: Some(media_type.to_owned()), source })
    }

    /// Content of a user or a tool. Results have no documents, whose names must differ.
    fn shown() -> impl Strategy<Value = Content> {
        prop_oneof![
            any_text().prop_map(|text| Part::text(&text).content),
            media("image/png").prop_map(|media| Content::Image(Image { media, detail: None })),
            media("video/quicktime").prop_map(Content::Video),
        ]
    }

    fn user_parts() -> impl Strategy<Value = Vec<Part>> {
        let document = (media("text/csv"), any::<bool>()).prop_map(|(media, with_citations)| {
            Content::File(File {
                media,
                name: Some("table".to_owned()),
                context: None,
                with_citations,
            })
        });
        let first = any_text().prop_map(|text| Part::text(&text).content);
        let rest = proptest::collection::vec(
            prop_oneof![shown(), media("audio/wav").prop_map(Content::Audio)],
            0..3,
        );
        let parts =
            (first, rest, proptest::option::of(document)).prop_map(|(first, rest, document)| {
                [first].into_iter().chain(rest).chain(document).collect::<Vec<_>>()
            });
        (parts, cache()).prop_map(|(contents, cache)| {
            let mut parts: Vec<Part> = contents.into_iter().map(Part::new).collect();
            parts.last_mut().expect("one at least").cache = cache;
            parts
        })
    }

    fn reasoning_part() -> impl Strategy<Value = Content> {
        let own = |text: String| Some(Signature { dialect: Dialect::BedrockConverse, text });
        prop_oneof![
            (any_text(), "[a-z]{4}").prop_map(move |(text, signature)| Reasoning {
                text,
                signature: own(signature),
                ..Reasoning::default()
            }),
            "[a-z]{4}"
                .prop_map(move |sealed| Reasoning { sealed: own(sealed), ..Reasoning::default() }),
        ]
        .prop_map(Content::Reasoning)
    }

    /// An assistant's turn and the results of its calls.
    fn exchange() -> impl Strategy<Value = Vec<Turn>> {
        let call = ("[a-zA-Z0-9_-]{1,64}", "[a-z]{1,5}", any_text(), any::<bool>());
        let result = proptest::collection::vec(shown().prop_map(Part::new), 0..3);
        let calls = proptest::collection::vec((call, result), 0..3);
        (proptest::option::of(reasoning_part()), any_text(), calls).prop_map(
            |(reasoning, text, calls)| {
                let mut parts: Vec<Part> = reasoning.into_iter().map(Part::new).collect();
                parts.push(Part::text(&text));
                let mut results = Vec::new();
                for ((id, name, argument, is_error), result_parts) in calls {
                    let arguments = serde_json::json!({ "a": argument }).to_string();
                    parts.push(Part::new(Content::ToolCall(ToolCall {
                        id: id.clone(),
                        name,
                        arguments,
                        signature: None,
                    })));
                    let result = ToolResult { id, name: None, parts: result_parts, is_error };
                    results.push(Part::new(Content::ToolResult(result)));
                }
                let mut turns = vec![Turn::new(Role::Assistant, parts)];
                if !results.is_empty() {
                    turns.push(Turn::new(Role::Tool, results));
                }
                turns
            },
        )
    }

    /// A schema that every writer keeps unchanged.
    const CLOSED: &str =
        r#"{"type":"object","properties":{"a":{}},"required":["a"],"additionalProperties":false}"#;

    fn tools() -> impl Strategy<Value = Vec<Tool>> {
        let function = ("[a-z_]{1,9}", proptest::option::of(any_text()), any::<bool>(), cache());
        let tool = function.prop_map(|(name, description, is_strict, cache)| {
            let parameters = Json::parse_object(CLOSED);
            let strict = is_strict.then_some(true);
            Tool::Function(Function { name, description, parameters, strict, cache, openai: None })
        });
        proptest::collection::vec(tool, 1..3)
    }

    prop_compose! {
        /// The settings that this dialect has.
        fn settings()(
            max_tokens in proptest::option::of(20_000_u64..90_000),
            temperature in proptest::option::of(proptest::sample::select(vec![0.0, 0.5, 1.0])),
            top_k in proptest::option::of(1_u64..500),
            stop in proptest::collection::vec("[A-Z]{1,4}", 0..3),
            schema in proptest::option::of((proptest::option::of("[a-z]{3}"), proptest::option::of(any_text()))),
            service_tier in proptest::option::of(proptest::sample::select(vec!["default", "flex", "reserved"])),
            metadata in proptest::collection::vec(("[a-z]{1,5}", "[a-z0-9:=. ]{0,9}"), 0..3),
            choice in proptest::sample::select(vec![None, Some(ToolChoice::Required), Some(ToolChoice::Function("f".to_owned()))]),
        ) -> ChatRequest {
            let mut metadata = metadata;
            metadata.sort();
            metadata.dedup_by(|one, other| one.0 == other.0);
            ChatRequest {
                max_tokens,
                sampling: Sampling { temperature, top_k, ..Sampling::default() },
                stop,
                format: schema.map(|(name, description)| Format::JsonSchema {
                    name,
                    description,
                    schema: Json::of_written(CLOSED.to_owned()),
                    strict: None,
                }),
                service_tier: service_tier.map(str::to_owned),
                metadata,
                tool_choice: choice,
                ..ChatRequest::default()
            }
        }
    }

    /// Claude rejects a call without the reasoning before it while it thinks.
    fn has_call_without_reasoning(exchange: &[Turn]) -> bool {
        let Some(Turn { parts, .. }) = exchange.first() else { return false };
        let is_reasoning = |part: &Part| matches!(part.content, Content::Reasoning(_));
        exchange.len() > 1 && !parts.first().is_some_and(is_reasoning)
    }

    /// Requests that this dialect can express in one way only.
    fn requests() -> impl Strategy<Value = ChatRequest> {
        let system = proptest::option::of((any_text(), cache()));
        let turns = proptest::collection::vec((user_parts(), exchange()), 0..3);
        let thinking = proptest::option::of(1024_u64..10_000);
        (settings(), tools(), system, turns, user_parts(), thinking).prop_map(
            |(settings, tools, system, turns, last, thinking)| {
                let mut request = ChatRequest {
                    model: MODEL.to_owned(),
                    stream: true,
                    include_usage: true,
                    tools,
                    ..settings
                };
                if let Some(tokens) = thinking {
                    // Claude thinks only without these.
                    request.tool_choice = None;
                    request.sampling = Sampling::default();
                    request.reasoning = Some(ReasoningSettings {
                        tokens_max: Some(tokens),
                        ..ReasoningSettings::default()
                    });
                }
                if let Some((text, cache)) = system {
                    let part = Part { cache, ..Part::text(&text) };
                    request.turns.push(Turn::new(Role::System, vec![part]));
                }
                if turns.last().is_some_and(|(_, exchange)| has_call_without_reasoning(exchange)) {
                    request.reasoning = None;
                }
                let mut documents = 0;
                for (mut user, exchange) in turns.into_iter().chain([(last, Vec::new())]) {
                    for part in &mut user {
                        if let Content::File(file) = &mut part.content {
                            documents += 1;
                            file.name = Some(format!("table {documents}"));
                        }
                    }
                    // Tool results and the user's text are one message.
                    request.turns.push(Turn::new(Role::User, user));
                    request.turns.extend(exchange);
                }
                request
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn request_round_trips(request in requests()) {
            let (text, warnings) = written(&request);
            prop_assert!(warnings.is_empty(), "{}", warnings.header());
            prop_assert_eq!(read_text(&text), Ok(request), "{}", text);
        }
    }
}

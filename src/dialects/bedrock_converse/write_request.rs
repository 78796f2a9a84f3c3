//! A request for the service.

use super::model_fields::{self, is_beta, is_own_member};
use super::thinking::{SamplingParameters, Thinking};
use super::write_messages::Conversation;
use super::write_tools;
use crate::dialects::codec::{TargetModel, Unsupported};
use crate::dialects::extra_fields::{refuse_state, warn_of_other};
use crate::dialects::json_schema::{BEDROCK, fit};
use crate::dialects::service_tier;
use crate::dialects::warnings::Warnings;
use crate::llm::{
    ChatRequest, Dialect, Format, ModelFields, ModelRules, ObjectWriter, RefusedSetting,
    write_object,
};

/// The reason in warnings about members that the dialect lacks.
const NO_SUCH: &str = "bedrock-converse has no such setting";

/// Where Claude reports the stop sequence, in a response and in a stream.
pub(super) const STOP_SEQUENCE_PATHS: [&str; 2] = ["/stop_sequence", "/delta/stop_sequence"];

/// Maximum number of labels (API reference, `Converse`).
const LABELS_MAX: usize = 16;

/// Maximum length of a label, in characters.
const LABEL_CHARACTERS_MAX: usize = 256;

/// Appends the body. The path has the model and whether the response is streamed.
pub(super) fn write(
    request: &ChatRequest,
    target: &TargetModel<'_>,
    warnings: &mut Warnings,
    out: &mut Vec<u8>,
) -> Result<(), Unsupported> {
    refuse_state(request, Dialect::BedrockConverse)?;
    let rules = target.rules;
    let family = rules.model_fields;
    let conversation = Conversation::of(request, rules, warnings)?;
    let thinking = Thinking::of(request, rules, &conversation, warnings);
    let drawing = SamplingParameters::of(request, rules, thinking, warnings);
    write_object(out, |root| {
        conversation.write(root, rules, warnings)?;
        inference_config(root, request, &drawing);
        let has_tools = write_tools::write(root, request, rules, &conversation, warnings);
        output_config(root, request, (rules, thinking), warnings);
        model_fields::write(root, request, family, thinking, &drawing, has_tools, warnings);
        write_tier(root, request, warnings);
        labels(root, request, warnings);
        foreign(root, request, family, warnings);
        unknown(request, warnings);
        Ok(())
    })
}

fn inference_config(
    root: &mut ObjectWriter<'_>,
    request: &ChatRequest,
    drawing: &SamplingParameters,
) {
    let mut stop =
        request.stop.iter().map(String::as_str).filter(|text| !text.is_empty()).peekable();
    let is_set = drawing.max_tokens.is_some()
        || drawing.temperature.is_some()
        || drawing.top_p.is_some()
        || stop.peek().is_some();
    if !is_set {
        return;
    }
    root.object("inferenceConfig", |config| {
        config.optional_number("maxTokens", drawing.max_tokens);
        config.optional_float("temperature", drawing.temperature);
        config.optional_float("topP", drawing.top_p);
        if stop.peek().is_some() {
            config.texts("stopSequences", stop);
        }
    });
}

fn output_config(
    root: &mut ObjectWriter<'_>,
    request: &ChatRequest,
    (rules, thinking): (&ModelRules, Thinking<'_>),
    warnings: &mut Warnings,
) {
    let effort = match thinking {
        Thinking::Adaptive { effort, .. } => effort,
        _ => None,
    };
    let schema = match &request.format {
        None | Some(Format::Text) => None,
        Some(Format::JsonObject) => {
            warnings.dropped("response_format json_object", "bedrock-converse wants a schema");
            None
        }
        Some(Format::JsonSchema { .. }) if rules.always_refuses(RefusedSetting::JsonSchema) => {
            warnings.dropped("the schema of response_format", "this model takes none");
            None
        }
        Some(Format::JsonSchema { name, description, schema, .. }) => {
            match fit(schema, &BEDROCK, "response_format", warnings) {
                Ok(fitting) => Some((name.as_deref(), description.as_deref(), fitting)),
                Err(why) => {
                    let why = format!("bedrock-converse does not take {why}");
                    warnings.dropped("the schema of response_format", &why);
                    None
                }
            }
        }
    };
    if effort.is_none() && schema.is_none() {
        return;
    }
    root.object("outputConfig", |config| {
        if let Some((name, description, schema)) = schema {
            config.object("textFormat", |format| {
                format.text("type", "json_schema");
                format.object("structure", |structure| {
                    structure.object("jsonSchema", |inner| {
                        // The schema is sent as a string.
                        inner.text("schema", schema.text());
                        inner.optional_text("name", name);
                        inner.optional_text("description", description);
                    });
                });
            });
        }
        config.optional_text("effort", effort);
    });
}

/// Some tiers have the same name as OpenAI's and Anthropic's.
fn write_tier(root: &mut ObjectWriter<'_>, request: &ChatRequest, warnings: &mut Warnings) {
    let tier = request.service_tier.as_deref();
    let tier = match tier.map(|tier| service_tier::of_request(tier).unwrap_or(tier)) {
        None | Some("auto") => return,
        Some(tier @ ("default" | "flex" | "priority" | "reserved")) => tier,
        Some(_) => {
            warnings.dropped("service_tier", "bedrock-converse has no such tier");
            return;
        }
    };
    root.object("serviceTier", |object| object.text("type", tier));
}

fn labels(root: &mut ObjectWriter<'_>, request: &ChatRequest, warnings: &mut Warnings) {
    let is_taken = |text: &str| {
        text.chars().count() <= LABEL_CHARACTERS_MAX
            && text.chars().all(|character| {
                character.is_ascii_alphanumeric()
                    || character.is_ascii_whitespace()
                    || ":_@$#=/+,-.".contains(character)
            })
    };
    let labels: Vec<&(String, String)> = request
        .metadata
        .iter()
        .filter(|(key, value)| !key.is_empty() && is_taken(key) && is_taken(value))
        .take(LABELS_MAX)
        .collect();
    if labels.len() < request.metadata.len() {
        let why = "bedrock-converse takes 16 short ones in plain letters";
        warnings.dropped("labels in metadata", why);
    }
    if !labels.is_empty() {
        root.object("requestMetadata", |object| {
            labels.iter().for_each(|(key, value)| object.text(key, value));
        });
    }
}

/// Writes extra fields of the service, and the path where Claude reports the stop sequence.
fn foreign(
    root: &mut ObjectWriter<'_>,
    request: &ChatRequest,
    family: Option<ModelFields>,
    warnings: &mut Warnings,
) {
    const PATHS: &str = "additionalModelResponseFieldPaths";
    let mut has_paths = false;
    for (key, foreign) in &request.extra_fields {
        if is_own_member(key, foreign) {
            has_paths |= key == PATHS;
            if key != model_fields::KEY {
                root.raw(key, &foreign.json);
            }
        } else if !is_beta(key, family) {
            warn_of_other(key, foreign, warnings);
        }
    }
    if !has_paths && !request.stop.is_empty() && family == Some(ModelFields::Anthropic) {
        root.texts(PATHS, STOP_SEQUENCE_PATHS);
    }
}

fn unknown(request: &ChatRequest, warnings: &mut Warnings) {
    if request.n.is_some_and(|n| n > 1) {
        warnings.dropped("n", "bedrock-converse gives one answer");
    }
    for (what, is_there) in [
        ("logprobs", request.top_logprobs.is_some()),
        ("prediction", request.prediction.is_some()),
        ("verbosity", request.verbosity.is_some()),
        ("audio", request.audio_output.is_some()),
        ("modalities", request.modalities.iter().any(|modality| modality != "text")),
    ] {
        if is_there {
            warnings.dropped(what, NO_SUCH);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::BedrockConverse;
    use super::*;
    use crate::dialects::codec::ProviderCodec;
    use crate::dialects::{adapt, codec, grid};
    use crate::llm::{
        CachePoint, Content, Dialect, DialectJson, File, Function, Json, Media, MediaSource, Part,
        Reasoning, Role, Sampling, Signature, Tool, ToolCall, ToolChoice, ToolResult, Turn,
        find_rules,
    };

    const CLAUDE: &str = "anthropic.claude-sonnet-4-5-20250929-v1:0";

    fn write_for(request: &ChatRequest, model: &str) -> Result<(Value, String), Unsupported> {
        let (mut warnings, mut out) = (Warnings::default(), Vec::new());
        let rules = find_rules(None, Dialect::BedrockConverse, model, &[]);
        let target = TargetModel::new(model, true).with_rules(&rules);
        let fit = adapt(request, Dialect::BedrockConverse, &target, &mut warnings).request;
        BedrockConverse.write_request(&fit, &target, &mut warnings, &mut out)?;
        Ok((serde_json::from_slice(&out).expect("JSON"), warnings.header()))
    }

    fn of_turns(turns: Vec<Turn>) -> ChatRequest {
        ChatRequest { turns, ..ChatRequest::default() }
    }

    fn user(text: &str) -> Turn {
        Turn::new(Role::User, vec![Part::text(text)])
    }

    fn call(id: &str, arguments: &str) -> Part {
        Part::new(Content::ToolCall(ToolCall {
            id: id.to_owned(),
            name: "f".to_owned(),
            arguments: arguments.to_owned(),
            signature: None,
        }))
    }

    fn result(id: &str, text: &str) -> Part {
        let parts = vec![Part::text(text)];
        let result = ToolResult { id: id.to_owned(), name: None, parts, is_error: false };
        Part::new(Content::ToolResult(result))
    }

    #[track_caller]
    fn messages(request: &ChatRequest, model: &str, expected: Value, warned: &[&str]) {
        let (body, warnings) = write_for(request, model).expect("sayable");
        assert_eq!(body["messages"], expected);
        let found: Vec<&str> = warnings.split("; ").filter(|it| !it.is_empty()).collect();
        assert_eq!(found.len(), warned.len(), "{found:?}");
        assert!(found.iter().zip(warned).all(|(found, part)| found.contains(part)), "{found:?}");
    }

    #[test]
    fn golden_cases_agree_across_dialects() {
        let openai = codec(Dialect::OpenaiChat).expect("known");
        let own = grid::cases(Dialect::BedrockConverse, ".request.json");
        let mut checked = 0;
        for (case, body) in grid::cases(Dialect::OpenaiChat, ".request.json") {
            let comparable = ["text", "turns", "image", "file", "tools", "structured", "cached"];
            if !comparable.contains(&case.as_str()) {
                continue;
            }
            let written = grid::write_request(&BedrockConverse, &grid::read_request(openai, &body));
            let (_, expected) = own.iter().find(|(known, _)| *known == case).expect("the case");
            let mut expected: Value = serde_json::from_slice(expected).expect("JSON");
            if case == "tools" {
                // The model's default is omitted.
                expected["toolConfig"].as_object_mut().expect("an object").remove("toolChoice");
            }
            assert_eq!(written["body"], expected, "{case}");
            checked += 1;
        }
        assert_eq!(checked, 7);
    }

    #[test]
    fn turns_alternate_and_blank_turns_are_dropped() {
        let request = of_turns(vec![
            Turn::new(Role::System, vec![Part::text("Be brief."), Part::text(" ")]),
            user("a"),
            user("b"),
            Turn::new(Role::Assistant, vec![Part::text(" \n")]),
            user("c"),
            Turn::new(Role::Assistant, vec![call("1", ""), call("2", "{\"x\": [1]}")]),
            user("d"),
            Turn::new(Role::Tool, vec![result("1", "r")]),
            Turn::new(Role::Tool, vec![result("2", "")]),
            Turn::new(Role::Developer, vec![Part::text("Now.")]),
        ]);
        let expected = json!([
            {"role": "user", "content": [{"text": "a"}, {"text": "b"}, {"text": "c"}]},
            {"role": "assistant", "content": [
                {"toolUse": {"toolUseId": "1", "name": "f", "input": {}}},
                {"toolUse": {"toolUseId": "2", "name": "f", "input": {"x": [1]}}},
            ]},
            {"role": "user", "content": [
                {"toolResult": {"toolUseId": "1", "content": [{"text": "r"}]}},
                {"toolResult": {"toolUseId": "2", "content": []}},
                {"text": "d"},
            ]},
        ]);
        messages(&request, "model-1", expected, &["a system turn", "changed tools"]);
        let (body, _) = write_for(&request, "model-1").expect("sayable");
        assert_eq!(body["system"], json!([{"text": "Be brief."}, {"text": "Now."}]));
    }

    #[test]
    fn tools_are_sent_whenever_history_has_calls() {
        let history = vec![
            user("a"),
            Turn::new(Role::Assistant, vec![call("1", "{}")]),
            Turn::new(Role::Tool, vec![result("1", "r")]),
        ];
        let tools = |request: &ChatRequest| {
            let (body, warnings) = write_for(request, CLAUDE).expect("sayable");
            (body["toolConfig"].clone(), warnings)
        };
        let schema = json!({"type": "object", "properties": {}});
        let spec = json!({"toolSpec": {"name": "f", "inputSchema": {"json": schema}}});
        let mut request = of_turns(history);
        let (config, warnings) = tools(&request);
        assert_eq!(config, json!({"tools": [spec]}));
        assert!(warnings.starts_with("changed tools"), "{warnings}");
        let function = Function { name: "g".to_owned(), ..Function::default() };
        request.tools = vec![Tool::Function(function)];
        request.tool_choice = Some(ToolChoice::None);
        let (config, warnings) = tools(&request);
        assert_eq!(config["tools"][0]["toolSpec"]["name"], "g");
        assert!(warnings.starts_with("changed tool_choice"), "{warnings}");
        request.turns.truncate(1);
        assert_eq!(tools(&request), (Value::Null, String::new()));
        request.tool_choice = Some(ToolChoice::Required);
        assert_eq!(tools(&request).0["toolChoice"], json!({"any": {}}));
    }

    #[test]
    fn reasoning_returns_only_to_its_vendor() {
        let reasoning_part = |dialect: Option<Dialect>| {
            let signature = dialect.map(|dialect| Signature { dialect, text: "s".to_owned() });
            let text = "t".to_owned();
            let reasoning = Reasoning { text, signature, ..Reasoning::default() };
            Turn::new(
                Role::Assistant,
                vec![Part::new(Content::Reasoning(reasoning)), Part::text("x")],
            )
        };
        let kept = |turn: Turn, model: &str| {
            let (body, warnings) = write_for(&of_turns(vec![user("a"), turn]), model).expect("it");
            let block = body["messages"][1]["content"][0]["reasoningContent"].clone();
            (block.get("reasoningText").cloned(), warnings.is_empty())
        };
        let signed = Some(json!({"text": "t", "signature": "s"}));
        let plain = Some(json!({"text": "t"}));
        let (own, anthropic) = (Some(Dialect::BedrockConverse), Some(Dialect::AnthropicMessages));
        let gemini = Some(Dialect::Gemini);
        for (dialect, model, expected) in [
            (own, CLAUDE, (signed.clone(), true)),
            (anthropic, CLAUDE, (signed.clone(), true)),
            (gemini, CLAUDE, (None, false)),
            (None, CLAUDE, (None, false)),
            (own, "model-1", (signed, true)),
            (anthropic, "model-1", (None, false)),
            (None, "openai.gpt-oss-120b-1:0", (plain.clone(), true)),
            (gemini, "openai.gpt-oss-120b-1:0", (plain, false)),
            (own, "us.deepseek.r1-v1:0", (None, false)),
        ] {
            assert_eq!(kept(reasoning_part(dialect), model), expected, "{dialect:?} {model}");
        }
        let sealed = Some(Signature { dialect: Dialect::BedrockConverse, text: "z".to_owned() });
        let sealed = Part::new(Content::Reasoning(Reasoning { sealed, ..Reasoning::default() }));
        let alone = of_turns(vec![
            user("a"),
            Turn::new(Role::Assistant, vec![sealed.clone()]),
            user("b"),
            Turn::new(Role::Assistant, vec![sealed, Part::text("x")]),
        ]);
        let expected = json!([
            {"role": "user", "content": [{"text": "a"}, {"text": "b"}]},
            {"role": "assistant", "content": [
                {"reasoningContent": {"redactedContent": "z"}}, {"text": "x"},
            ]},
        ]);
        messages(&alone, CLAUDE, expected, &["turn of thoughts alone"]);
    }

    #[test]
    fn cache_points_follow_model_support() {
        let hour = |mut part: Part| {
            part.cache = Some(CachePoint::Hour);
            part
        };
        let inner = hour(Part::text("r"));
        let result =
            ToolResult { id: "1".to_owned(), name: None, parts: vec![inner], is_error: true };
        let mut request = of_turns(vec![
            user("a"),
            Turn::new(Role::Assistant, vec![call("1", "{}")]),
            Turn::new(Role::Tool, vec![Part::new(Content::ToolResult(result))]),
            Turn::new(Role::User, vec![Part::text("b"), hour(Part::text(""))]),
        ]);
        request.tools = vec![Tool::Function(Function {
            name: "f".to_owned(),
            cache: Some(CachePoint::Default),
            ..Function::default()
        })];
        let of = |model: &str| {
            let (body, warnings) = write_for(&request, model).expect("sayable");
            (body["messages"][2]["content"].clone(), body["toolConfig"]["tools"].clone(), warnings)
        };
        let block = json!({"toolResult": {
            "toolUseId": "1", "content": [{"text": "r"}], "status": "error",
        }});
        let point = json!({"cachePoint": {"type": "default", "ttl": "1h"}});
        let short = json!({"cachePoint": {"type": "default"}});
        let (content, tools, warnings) = of(CLAUDE);
        assert_eq!(content, json!([block, point, {"text": "b"}, point]));
        assert_eq!((&tools[1], warnings.as_str()), (&short, ""));
        let (content, tools, warnings) = of("amazon.nova-pro-v1:0");
        assert_eq!(content, json!([block, short, {"text": "b"}, short]));
        assert_eq!(tools.as_array().map(Vec::len), Some(1));
        assert_eq!(warnings.split("; ").count(), 2, "{warnings}");
        let (content, _, warnings) = of("mistral.mistral-large-2407-v1:0");
        assert_eq!(content.as_array().map(Vec::len), Some(2));
        assert_eq!(warnings.matches("this model refuses it").count(), 1, "{warnings}");
    }

    #[test]
    fn invalid_ids_are_mapped_both_ways() {
        let request = of_turns(vec![
            user("a"),
            Turn::new(Role::Assistant, vec![call("functions.f:0", "[1]")]),
            Turn::new(Role::Tool, vec![result("functions.f:0", "r")]),
        ]);
        let (body, warnings) = write_for(&request, CLAUDE).expect("sayable");
        let called = &body["messages"][1]["content"][0]["toolUse"];
        let given = &body["messages"][2]["content"][0]["toolResult"]["toolUseId"];
        assert_eq!(called["toolUseId"], *given);
        assert!(given.as_str().is_some_and(|id| id.starts_with("functions_f_0-")), "{given}");
        assert_eq!(called["input"], json!({"arguments": "[1]"}));
        assert!(warnings.contains("arguments of a call that are no object"), "{warnings}");
    }

    #[test]
    fn strict_tools_follow_model_support() {
        let mut request = of_turns(vec![user("a")]);
        let (name, strict) = ("f".to_owned(), Some(true));
        request.tools = vec![Tool::Function(Function { name, strict, ..Function::default() })];
        for (model, is_kept) in [
            ("anthropic.claude-3-5-haiku-20241022-v1:0", false),
            (CLAUDE, true),
            ("anthropic.claude-opus-4-6-v1", true),
            ("anthropic.claude-sonnet-5", false),
            ("qwen.qwen3-32b-v1:0", true),
        ] {
            let (body, warnings) = write_for(&request, model).expect("sayable");
            let strict = body["toolConfig"]["tools"][0]["toolSpec"].get("strict");
            assert_eq!((strict.is_some(), warnings.is_empty()), (is_kept, is_kept), "{model}");
        }
    }

    #[test]
    fn media_are_written() {
        let file = |source: MediaSource, media_type: Option<&str>| {
            let media = Media { media_type: media_type.map(str::to_owned), source };
            let file =
                File { media, name: Some("a.pdf".to_owned()), context: None, with_citations: true };
            of_turns(vec![Turn::new(Role::User, vec![Part::new(Content::File(file))])])
        };
        let bytes = || MediaSource::Base64("QQ==".to_owned());
        let mut stored = file(MediaSource::Url("s3://papers/a.pdf".to_owned()), None);
        // Instructions do not count as text next to a document.
        stored.turns.insert(0, Turn::new(Role::System, vec![Part::text("Be brief.")]));
        let expected = json!([{"role": "user", "content": [
            {"document": {
                "format": "pdf",
                "name": "a-pdf",
                "source": {"s3Location": {"uri": "s3://papers/a.pdf"}},
                "citations": {"enabled": true},
            }},
            {"text": "a-pdf"},
        ]}]);
        messages(&stored, "model-1", expected, &["a document without words"]);
        let format = |media_type: &str| {
            let (body, _) = write_for(&file(bytes(), Some(media_type)), "model-1").expect("it");
            body["messages"][0]["content"][0]["document"]["format"].clone()
        };
        for (media_type, expected) in [
            ("text/x-rust", "txt"),
            ("text/csv; charset=utf-8", "csv"),
            ("application/octet-stream", "pdf"),
        ] {
            assert_eq!(format(media_type), expected, "{media_type}");
        }
        let sound = |source| {
            let media = Media { media_type: Some("audio/wav".to_owned()), source };
            of_turns(vec![Turn::new(Role::User, vec![Part::new(Content::Audio(media))])])
        };
        for (request, part) in [
            (file(MediaSource::Id("file-1".to_owned()), None), "a document by file id"),
            (file(bytes(), Some("application/zip")), "a document"),
            (sound(MediaSource::Url("https://a.example/a.wav".to_owned())), "sound by address"),
        ] {
            let refusal = write_for(&request, "model-1").expect_err("unsayable");
            assert!(refusal.to_string().contains(part), "{refusal}");
        }
    }

    #[test]
    fn service_settings_pass_from_any_client() {
        let foreign =
            |dialect, json: &str| DialectJson { dialect, json: Json::parse(json).expect("it") };
        let mut request = of_turns(vec![user("a")]);
        request.stop = vec!["END".to_owned(), String::new()];
        request.sampling = Sampling { top_k: Some(5), ..Sampling::default() };
        request.extra_fields = vec![
            (
                "guardrailConfig".to_owned(),
                foreign(Dialect::OpenaiChat, "{\"guardrailVersion\":\"1\"}"),
            ),
            (
                "additionalModelRequestFields".to_owned(),
                foreign(Dialect::OpenaiChat, "{\"top_k\":9,\"x\":[1]}"),
            ),
            ("anthropic_beta".to_owned(), foreign(Dialect::OpenaiChat, "[\"b\"]")),
            ("safety_identifier".to_owned(), foreign(Dialect::OpenaiChat, "\"s\"")),
        ];
        request.metadata =
            vec![("team".to_owned(), "a b".to_owned()), ("bad".to_owned(), "{}".to_owned())];
        request.service_tier = Some("flex".to_owned());
        let (body, warnings) = write_for(&request, CLAUDE).expect("sayable");
        let expected = json!({
            "messages": [{"role": "user", "content": [{"text": "a"}]}],
            "inferenceConfig": {"stopSequences": ["END"]},
            "additionalModelRequestFields": {"top_k": 9, "x": [1], "anthropic_beta": ["b"]},
            "serviceTier": {"type": "flex"},
            "requestMetadata": {"team": "a b"},
            "guardrailConfig": {"guardrailVersion": "1"},
            "additionalModelResponseFieldPaths": ["/stop_sequence", "/delta/stop_sequence"],
        });
        assert_eq!(body, expected);
        assert!(warnings.contains("dropped labels in metadata"), "{warnings}");
        assert!(warnings.contains("dropped safety_identifier"), "{warnings}");
        let (_, warnings) = write_for(&request, "model-1").expect("sayable");
        assert!(warnings.contains("dropped anthropic_beta"), "{warnings}");
    }
}

//! Tests of the whole dialect, beyond the grid.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Gemini, array_encoder};
use crate::dialects::codec::{
    ClientCodec, ProviderCodec, RequestPath, StreamDecoder, TargetModel, Unsupported,
};
use crate::dialects::warnings::Warnings;
use crate::llm::{
    Answer, ApiError, CachePoint, ChatRequest, Choice, Chunk, ChunkAssembler, Content, Delta,
    Dialect, File, Format, Function, Image, Json, Malformed, Media, MediaSource, Part, Reasoning,
    ReasoningSettings, Role, Scanner, Signature, Start, StopReason, Text, Tool, ToolCall,
    ToolChoice, ToolResult, Turn, Usage, WebSearch, chunks_of, find_rules,
};

fn read(body: &Value) -> Result<ChatRequest, Malformed> {
    let path = RequestPath { model: Some("model-1"), stream: true };
    let text = body.to_string();
    Scanner::default().read(text.as_bytes(), |root| Gemini.read_request(root, &path)).expect("JSON")
}

fn request(body: &Value) -> ChatRequest {
    read(body).expect("a request")
}

fn write(request: &ChatRequest, model: &str) -> Result<(Value, String), Unsupported> {
    let (mut warnings, mut out) = (Warnings::default(), Vec::new());
    let rules = find_rules(None, Dialect::Gemini, model, &[]);
    let target = TargetModel::new(model, true).with_rules(&rules);
    Gemini.write_request(request, &target, &mut warnings, &mut out)?;
    Ok((serde_json::from_slice(&out).expect("JSON is written"), warnings.header()))
}

fn answer(body: &Value) -> Answer {
    let text = body.to_string();
    let read = |root: crate::llm::Node<'_>| Gemini.read_answer(root);
    Scanner::default().read(text.as_bytes(), read).expect("JSON").expect("an answer")
}

fn decode(pieces: &[Value]) -> Vec<Chunk> {
    let (mut decoder, mut chunks) = (Gemini.stream_decoder(), Vec::new());
    feed(decoder.as_mut(), pieces, &mut chunks);
    decoder.finish(&mut chunks);
    chunks
}

fn feed(decoder: &mut dyn StreamDecoder, pieces: &[Value], chunks: &mut Vec<Chunk>) {
    let mut scanner = Scanner::default();
    for piece in pieces {
        let data = piece.to_string();
        decoder.event(None, data.as_bytes(), &mut scanner, chunks).expect("JSON");
    }
}

fn assemble(chunks: Vec<Chunk>) -> Option<Answer> {
    let mut assembler = ChunkAssembler::default();
    chunks.into_iter().for_each(|chunk| assembler.push(chunk));
    assembler.finish().expect("no error")
}

/// A candidate with these parts. With a reason it is complete.
fn piece(parts: Value, reason: Option<&str>) -> Value {
    let mut candidate = json!({"content": {"parts": parts, "role": "model"}});
    if let Some(reason) = reason {
        candidate["finishReason"] = reason.into();
    }
    json!({"candidates": [candidate], "responseId": "answer-1", "modelVersion": "model-1"})
}

fn of_user(parts: Value) -> Value {
    json!({"contents": [{"role": "user", "parts": parts}]})
}

fn own(text: &str) -> Option<Signature> {
    Some(Signature { dialect: Dialect::Gemini, text: text.to_owned() })
}

fn thought_signature(text: &str) -> Part {
    let reasoning = Reasoning { signature: own(text), ..Reasoning::default() };
    Part::new(Content::Reasoning(reasoning))
}

/// A request that asks for reasoning.
fn with_reasoning() -> ChatRequest {
    let reasoning = ReasoningSettings { is_shown: Some(true), ..ReasoningSettings::default() };
    ChatRequest { reasoning: Some(reasoning), ..ChatRequest::default() }
}

#[test]
fn paths_are_recognized() {
    for (model, expected) in [
        ("gemini-2.5-flash", "/models/gemini-2.5-flash:generateContent"),
        ("models/gemini-2.5-flash", "/models/gemini-2.5-flash:generateContent"),
        ("tunedModels/my_own~1", "/tunedModels/my_own~1:generateContent"),
        ("model@001", "/models/model@001:generateContent"),
        ("a/b:c?d é", "/models/a%2Fb%3Ac%3Fd%20%C3%A9:generateContent"),
    ] {
        let target = TargetModel::new(model, true);
        assert_eq!(Gemini.path(&target, false), expected);
        let streamed = expected.replace(":generate", ":streamGenerate") + "?alt=sse";
        assert_eq!(Gemini.path(&target, true), streamed);
    }
}

#[test]
fn camel_and_snake_case_are_equal() {
    let camel = json!({
        "contents": [
            {"role": "user", "parts": [
                {"inlineData": {"mimeType": "image/png", "data": "AAAA", "displayName": "a"}},
                {"fileData": {"mimeType": "video/mp4", "fileUri": "gs://films/a.mp4"}}]},
            {"role": "model", "parts": [
                {"functionCall": {"id": "1", "name": "f"}, "thoughtSignature": "c2ln"}]},
            {"role": "user", "parts": [
                {"functionResponse": {"id": "1", "name": "f", "response": {"output": "x"}}}]}],
        "systemInstruction": {"parts": [{"text": "s"}]},
        "tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": {}}]},
            {"googleSearch": {"excludeDomains": ["a.example"]}}, {"codeExecution": {}}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
        "generationConfig": {"maxOutputTokens": 1, "topP": 0.5, "topK": 2.0, "candidateCount": 2,
            "stopSequences": ["x"], "presencePenalty": 0.1, "frequencyPenalty": 0.2,
            "responseMimeType": "application/json", "responseJsonSchema": {"type": "string"},
            "responseLogprobs": true, "logprobs": 3, "responseModalities": ["TEXT"],
            "thinkingConfig": {"includeThoughts": true, "thinkingLevel": "LOW"}},
        "serviceTier": "flex",
    });
    let snake = camel.to_string();
    let names = [
        ("inlineData", "inline_data"),
        ("mimeType", "mime_type"),
        ("displayName", "display_name"),
        ("fileData", "file_data"),
        ("fileUri", "file_uri"),
        ("functionCall\"", "function_call\""),
        ("thoughtSignature", "thought_signature"),
        ("functionResponse", "function_response"),
        ("systemInstruction", "system_instruction"),
        ("functionDeclarations", "function_declarations"),
        ("parametersJsonSchema", "parameters_json_schema"),
        ("googleSearch", "google_search"),
        ("excludeDomains", "exclude_domains"),
        ("codeExecution", "code_execution"),
        ("toolConfig", "tool_config"),
        ("functionCallingConfig", "function_calling_config"),
        ("allowedFunctionNames", "allowed_function_names"),
        ("generationConfig", "generation_config"),
        ("maxOutputTokens", "max_output_tokens"),
        ("topP", "top_p"),
        ("topK", "top_k"),
        ("candidateCount", "candidate_count"),
        ("stopSequences", "stop_sequences"),
        ("presencePenalty", "presence_penalty"),
        ("frequencyPenalty", "frequency_penalty"),
        ("responseMimeType", "response_mime_type"),
        ("responseJsonSchema", "response_json_schema"),
        ("responseLogprobs", "response_logprobs"),
        ("responseModalities", "response_modalities"),
        ("thinkingConfig", "thinking_config"),
        ("includeThoughts", "include_thoughts"),
        ("thinkingLevel", "thinking_level"),
        ("serviceTier", "service_tier"),
    ];
    let snake = names.iter().fold(snake, |text, (camel, snake)| {
        assert!(text.contains(camel), "{camel}");
        text.replace(camel, snake)
    });
    let snake: Value = serde_json::from_str(&snake).expect("JSON");
    let found = request(&snake);
    assert_eq!(found, request(&camel));
    assert!(found.extra_fields.is_empty(), "{:?}", found.extra_fields);
    assert_eq!(found.sampling.top_k, Some(2));
    assert!(found.stream && found.include_usage);
}

#[test]
fn single_object_counts_as_array() {
    let body = json!({
        "contents": {"parts": {"text": "Hi"}},
        "systemInstruction": {"parts": {"text": "s"}},
        "tools": {"functionDeclarations": {"name": "f"}},
    });
    let found = request(&body);
    assert_eq!(found.turns.len(), 2);
    assert_eq!(found.functions().count(), 1);
}

#[test]
fn invalid_requests_name_the_path() {
    let with = |key: &str, value: Value| {
        let mut body = of_user(json!([{"text": "Hi"}]));
        body[key] = value;
        body
    };
    for (body, path) in [
        (json!({}), "contents"),
        (json!({"contents": []}), "contents"),
        (json!({"contents": "Hi"}), "contents"),
        (json!({"contents": [{"role": "user"}]}), "contents[0].parts"),
        (json!({"contents": [{"role": "system", "parts": []}]}), "contents[0].role"),
        (of_user(json!([{"text": 5}])), "contents[0].parts[0].text"),
        (of_user(json!(["Hi"])), "contents[0].parts[0]"),
        (
            of_user(json!([{"inlineData": {"data": "AAAA"}}])),
            "contents[0].parts[0].inlineData.mimeType",
        ),
        (
            of_user(json!([{"fileData": {"mimeType": "image/png"}}])),
            "contents[0].parts[0].fileData.fileUri",
        ),
        (
            of_user(json!([{"functionCall": {"args": {}}}])),
            "contents[0].parts[0].functionCall.name",
        ),
        (
            of_user(json!([{"functionCall": {"name": "f", "args": "{}"}}])),
            "contents[0].parts[0].functionCall.args",
        ),
        (
            of_user(json!([{"functionResponse": {"name": "f", "response": "x"}}])),
            "contents[0].parts[0].functionResponse.response",
        ),
        (with("tools", json!(5)), "tools"),
        (
            with("tools", json!([{"functionDeclarations": [{}]}])),
            "tools[0].functionDeclarations[0].name",
        ),
        (
            with("toolConfig", json!({"functionCallingConfig": {"mode": "SOME"}})),
            "toolConfig.functionCallingConfig.mode",
        ),
        (with("generationConfig", json!({"temperature": "hot"})), "generationConfig.temperature"),
        (
            with("generationConfig", json!({"maxOutputTokens": -1})),
            "generationConfig.maxOutputTokens",
        ),
        (
            with("generationConfig", json!({"responseMimeType": "text/html"})),
            "generationConfig.responseMimeType",
        ),
        (
            with("generationConfig", json!({"thinkingConfig": {"thinkingBudget": "x"}})),
            "generationConfig.thinkingConfig.thinkingBudget",
        ),
        (with("labels", json!({"team": 5})), "labels.team"),
    ] {
        assert_eq!(read(&body).expect_err("a fault").path, path, "{body}");
    }
    let nowhere = RequestPath::default();
    let body = of_user(json!([{"text": "Hi"}])).to_string();
    let found =
        Scanner::default().read(body.as_bytes(), |root| Gemini.read_request(root, &nowhere));
    assert_eq!(found.expect("JSON").expect_err("no model").path, "model");
}

#[test]
fn gemini_members_return_to_their_place() {
    let body = json!({
        "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
        "tools": [{"functionDeclarations": [{"name": "f"}, {"name": "g"}]}, {"urlContext": {}},
            {"googleSearch": {"timeRangeFilter": {"startTime": "2026-01-01T00:00:00Z"}}}],
        "toolConfig": {"functionCallingConfig": {"mode": "VALIDATED",
            "allowedFunctionNames": ["f", "g"]}, "retrievalConfig": {"languageCode": "de"}},
        "generationConfig": {"responseMimeType": "text/x.enum",
            "responseJsonSchema": {"type": "string", "enum": ["a", "b"]},
            "speechConfig": {"languageCode": "de-DE"},
            "thinkingConfig": {"thinkingBudget": -1}},
        "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
        "cachedContent": "cachedContents/1",
    });
    let (written, warnings) = write(&request(&body), "model-1").expect("sayable");
    assert_eq!(written, body);
    assert_eq!(warnings, "");
}

#[test]
fn extra_part_members_are_warned() {
    let body = of_user(json!([
        {"fileData": {"fileUri": "https://youtu.be/x"}, "videoMetadata": {"startOffset": "4s"}}
    ]));
    let found = request(&body);
    assert_eq!(found.extra_fields.len(), 1);
    assert_eq!(found.extra_fields[0].0, "contents[0].parts[].videoMetadata");
    let (written, warnings) = write(&found, "model-1").expect("sayable");
    let file = json!({"mimeType": "video/mp4", "fileUri": "https://youtu.be/x"});
    assert_eq!(written["contents"][0]["parts"], json!([{"fileData": file}]));
    assert!(warnings.starts_with("dropped contents[0].parts[].videoMetadata:"), "{warnings}");
    let mut body = of_user(json!([
        {"functionResponse": {"name": "f", "response": {}, "scheduling": "SILENT"}}
    ]));
    body["tools"] = json!([{"functionDeclarations": [
        {"name": "f", "parameters_json_schema": {}, "response_json_schema": {"type": "string"}}
    ]}]);
    let (_, warnings) = write(&request(&body), "model-1").expect("sayable");
    for path in
        ["contents[0].parts[].scheduling", "tools[].functionDeclarations[].response_json_schema"]
    {
        assert!(warnings.contains(&format!("dropped {path}")), "{warnings}");
    }
}

#[test]
fn calls_without_id_get_stable_ids() {
    let body = json!({"contents": [
        {"role": "user", "parts": [{"text": "Hi"}]},
        {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"a": 1}}},
            {"functionCall": {"name": "g"}}, {"functionCall": {"name": "f", "args": {"a": 2}}}]},
        {"role": "function", "parts": [
            {"functionResponse": {"name": "g", "response": {"result": "of g"}}},
            {"functionResponse": {"name": "f", "response": {"error": "of f"}}},
            {"functionResponse": {"name": "f", "response": {"b": [1.5]}}},
            {"functionResponse": {"name": "unasked", "response": {}}}, {"text": "Go on"}]}]});
    let found = request(&body);
    assert_eq!(found, request(&body), "not the same each time");
    let ids = |turn: &Turn| -> Vec<String> {
        let id = |part: &Part| match &part.content {
            Content::ToolCall(call) => Some(call.id.clone()),
            Content::ToolResult(result) => Some(result.id.clone()),
            _ => None,
        };
        turn.parts.iter().filter_map(id).collect()
    };
    let (calls, results) = (ids(&found.turns[1]), ids(&found.turns[2]));
    assert!(calls.iter().all(|id| id.starts_with("call_") && id.len() == 29), "{calls:?}");
    assert_eq!(results[..3], [calls[1].clone(), calls[0].clone(), calls[2].clone()]);
    assert!(!calls.contains(&results[3]));
    assert_eq!(found.turns[2].role, Role::Tool);
    assert_eq!(found.turns[3], Turn::new(Role::User, vec![Part::text("Go on")]));
    let reported: Vec<_> = found.turns[2]
        .parts
        .iter()
        .filter_map(|part| match &part.content {
            Content::ToolResult(result) => Some((result.parts[0].as_text()?, result.is_error)),
            _ => None,
        })
        .collect();
    let expected = [("of g", false), ("of f", true), (r#"{"b":[1.5]}"#, false), ("{}", false)];
    assert_eq!(reported, expected);
}

fn result(id: &str, text: &str) -> ToolResult {
    let parts = vec![Part::text(text)];
    ToolResult { id: id.to_owned(), name: None, parts, is_error: false }
}

/// A request in which the model called `get_weather` with this id, and the result.
fn answered(result: ToolResult) -> ChatRequest {
    let call = ToolCall {
        id: "call_1".to_owned(),
        name: "get_weather".to_owned(),
        arguments: String::new(),
        signature: None,
    };
    let turns = vec![
        Turn::new(Role::User, vec![Part::text("Hi")]),
        Turn::new(Role::Assistant, vec![Part::new(Content::ToolCall(call))]),
        Turn::new(Role::Tool, vec![Part::new(Content::ToolResult(result))]),
    ];
    ChatRequest { model: "model-1".to_owned(), turns, ..ChatRequest::default() }
}

#[test]
fn tool_results_are_objects_with_call_name() {
    for (text, response) in [
        ("18 degrees", json!({"result": "18 degrees"})),
        ("", json!({"result": ""})),
        ("[1,2]", json!({"result": "[1,2]"})),
        ("{\"a\":1}", json!({"a": 1})),
        ("{\"result\":5}", json!({"result": 5})),
        ("{\"result\":\"x\"}", json!({"result": "{\"result\":\"x\"}"})),
        ("{\"error\":{}}", json!({"result": "{\"error\":{}}"})),
        ("{\"result\":\"x\",\"a\":1}", json!({"result": "x", "a": 1})),
    ] {
        let (written, _) = write(&answered(result("call_1", text)), "model-1").expect("sayable");
        let found = &written["contents"][2]["parts"][0]["functionResponse"];
        assert_eq!(found["response"], response, "{text}");
        assert_eq!(found["name"], "get_weather");
        let again = request(&written);
        let Content::ToolResult(again) = &again.turns[2].parts[0].content else {
            panic!("{again:?}")
        };
        assert_eq!(again.parts, [Part::text(text)], "{text}");
        assert!(!again.is_error, "{text}");
    }
    let failed = ToolResult { is_error: true, ..result("call_1", "{\"a\":1}") };
    let (written, _) = write(&answered(failed), "model-1").expect("sayable");
    let found = &written["contents"][2]["parts"][0]["functionResponse"]["response"];
    assert_eq!(*found, json!({"error": "{\"a\":1}"}));
    let unknown = write(&answered(result("call_9", "x")), "model-1").expect_err("no name");
    assert_eq!(unknown.what, "a tool result");
    let named = ToolResult { name: Some("named".to_owned()), ..result("call_9", "x") };
    let (written, _) = write(&answered(named), "model-1").expect("sayable");
    assert_eq!(written["contents"][2]["parts"][0]["functionResponse"]["name"], "named");
}

#[test]
fn images_in_tool_results_follow_model_support() {
    let mut shown = result("call_1", "seen");
    let media = Media::base64("image/png", "AAAA");
    shown.parts.push(Part::new(Content::Image(Image { media, detail: None })));
    let image = json!({"inlineData": {"mimeType": "image/png", "data": "AAAA"}});
    let (written, warnings) = write(&answered(shown.clone()), "gemini-3-pro").expect("sayable");
    let found = &written["contents"][2]["parts"];
    assert_eq!(found[0]["functionResponse"]["parts"], json!([image]));
    assert!(!warnings.contains("pictures"), "{warnings}");
    let (written, warnings) = write(&answered(shown), "gemini-2.5-pro").expect("sayable");
    assert_eq!(written["contents"][2]["parts"][1], image);
    assert!(warnings.contains("changed pictures of a tool result"), "{warnings}");
}

#[test]
fn foreign_calls_pass_signature_validation() {
    let found = |model: &str| {
        let (written, warnings) = write(&answered(result("call_1", "x")), model).expect("sayable");
        (written["contents"][1]["parts"][0]["thoughtSignature"].clone(), warnings)
    };
    assert_eq!(found("gemini-2.5-pro"), (Value::Null, String::new()));
    assert_eq!(found("model-1"), (Value::Null, String::new()));
    let (signature, warnings) = found("gemini-3-pro-preview");
    assert_eq!(signature, "skip_thought_signature_validator");
    assert!(warnings.starts_with("changed a tool call:"), "{warnings}");
    // Of parallel calls only the first is signed.
    let call = |signature: Option<Signature>| {
        let call = ToolCall { id: "1".into(), name: "f".into(), signature, ..ToolCall::default() };
        Part::new(Content::ToolCall(call))
    };
    let turns = vec![Turn::new(Role::Assistant, vec![call(own("c2ln")), call(None)])];
    let both = ChatRequest { turns, ..ChatRequest::default() };
    let (written, warnings) = write(&both, "gemini-3-pro-preview").expect("sayable");
    let parts = &written["contents"][0]["parts"];
    assert_eq!(parts[0]["thoughtSignature"], "c2ln");
    assert_eq!(parts[1].get("thoughtSignature"), None);
    assert_eq!(warnings, "");
}

/// A client that got a response from another vendor may continue with Gemini, which rejects unsigned
/// calls.
#[test]
fn foreign_calls_are_marked_for_gemini() {
    let call = ToolCall { id: "1".into(), name: "f".into(), ..ToolCall::default() };
    let parts = vec![Part::new(Content::ToolCall(call))];
    let mut choice = crate::llm::Choice { parts, ..crate::llm::Choice::default() };
    choice.stop = StopReason::ToolCalls;
    let answer = Answer { choices: vec![choice], ..Answer::default() };
    let mark = super::write_contents::UNCHECKED_IN_BASE64;
    let mut out = Vec::new();
    Gemini.write_answer(&answer, &with_reasoning(), 0, &mut out);
    let whole: Value = serde_json::from_slice(&out).expect("JSON");
    let mut content = whole["candidates"][0]["content"].clone();
    assert_eq!(content["parts"][0]["thoughtSignature"], mark);
    let streamed = encoded(&chunks_of(&answer));
    assert!(streamed.iter().any(|it| it.to_string().contains(mark)), "{streamed:?}");
    // No other vendor uses it as a signature.
    for mark in [mark, super::UNCHECKED] {
        content["parts"][0]["thoughtSignature"] = mark.into();
        let found = request(&json!({ "contents": [content] }));
        let Content::ToolCall(call) = &found.turns[0].parts[0].content else { panic!("a call") };
        assert_eq!(call.signature, None);
    }
}

#[test]
fn text_signatures_return_to_their_text() {
    let parts =
        json!([{"text": "hm", "thought": true}, {"text": "Hi", "thoughtSignature": "c2ln"}]);
    let body = json!({"contents": [{"role": "model", "parts": parts}]});
    let found = request(&body);
    let reasoning = Reasoning { text: "hm".to_owned(), ..Reasoning::default() };
    let reasoning = Part::new(Content::Reasoning(reasoning));
    assert_eq!(found.turns[0].parts, [reasoning, Part::text("Hi"), thought_signature("c2ln")]);
    let (written, warnings) = write(&found, "gemini-3-pro").expect("sayable");
    assert_eq!(written["contents"], body["contents"]);
    assert_eq!(warnings, "");
}

/// A stream has the signature of reasoning after its text, and clients keep the fragments as they came.
#[test]
fn chunks_of_foreign_thinking_are_merged() {
    let signature = Signature { dialect: Dialect::AnthropicMessages, text: "sig".to_owned() };
    let thought_signature = super::signature::for_client(&signature);
    let reasoning_part = |text: &str| json!({"text": text, "thought": true});
    let thought_signature =
        json!({"text": "", "thought": true, "thoughtSignature": thought_signature});
    let call = json!({"functionCall": {"id": "1", "name": "f", "args": {}}});
    let turn = |parts: &[&Value]| json!({"role": "model", "parts": parts});
    let (one, two) = (reasoning_part("I th"), reasoning_part("ink"));
    let whole = Reasoning {
        text: "I think".to_owned(),
        signature: Some(signature),
        ..Reasoning::default()
    };
    let whole = Part::new(Content::Reasoning(whole));
    for turns in [
        vec![turn(&[&one, &two, &thought_signature, &call])],
        vec![turn(&[&one]), turn(&[&two]), turn(&[&thought_signature]), turn(&[&call])],
        vec![turn(&[&one, &two]), turn(&[&thought_signature, &call])],
    ] {
        let found = request(&json!({ "contents": turns }));
        let parts: Vec<&Part> = found.turns.iter().flat_map(|turn| &turn.parts).collect();
        assert_eq!(parts.len(), 2, "{turns:?}");
        assert_eq!(parts[0], &whole, "{turns:?}");
    }
    // Answer text separates the reasoning before it.
    let text = json!({"text": "Hi"});
    let found = request(&json!({"contents": [turn(&[&one, &text, &thought_signature])]}));
    assert_eq!(found.turns[0].parts.len(), 3);
}

#[test]
fn foreign_signatures_are_dropped() {
    let signature = Some(Signature { dialect: Dialect::AnthropicMessages, text: "s".to_owned() });
    let reasoning = Reasoning { text: "hm".to_owned(), signature, ..Reasoning::default() };
    let sealed = Reasoning { sealed: reasoning.signature.clone(), ..Reasoning::default() };
    let parts = [reasoning, sealed].map(|it| Part::new(Content::Reasoning(it)));
    let turns = vec![Turn::new(Role::Assistant, parts.to_vec())];
    let (written, warnings) =
        write(&ChatRequest { turns, ..ChatRequest::default() }, "model-1").expect("sayable");
    let parts = json!([{"text": "hm", "thought": true}]);
    assert_eq!(written["contents"], json!([{"role": "model", "parts": parts}]));
    assert_eq!(warnings, "dropped the signature of a thought: another vendor's");
}

#[test]
fn turns_alternate_and_instructions_lead() {
    let turn_of = |role: Role, text: &str| Turn::new(role, vec![Part::text(text)]);
    let turns = vec![
        turn_of(Role::Developer, "one"),
        turn_of(Role::User, "a"),
        Turn { name: Some("Ada".to_owned()), ..turn_of(Role::User, "b") },
        turn_of(Role::Assistant, ""),
        turn_of(Role::System, "two"),
        turn_of(Role::User, "c"),
    ];
    let request = ChatRequest { turns, ..ChatRequest::default() };
    let (written, warnings) = write(&request, "model-1").expect("sayable");
    let texts =
        |texts: &[&str]| -> Value { texts.iter().map(|text| json!({"text": text})).collect() };
    assert_eq!(written["systemInstruction"]["parts"], texts(&["one", "two"]));
    assert_eq!(written["contents"], json!([{"role": "user", "parts": texts(&["a", "b", "c"])}]));
    assert!(warnings.contains("changed a later system message"), "{warnings}");
    assert!(warnings.contains("dropped name of a message"), "{warnings}");
    let turns = vec![turn_of(Role::System, "alone")];
    let request = ChatRequest { turns, ..ChatRequest::default() };
    let (written, warnings) = write(&request, "model-1").expect("sayable");
    assert_eq!(written, json!({"contents": [{"role": "user", "parts": texts(&["alone"])}]}));
    assert!(warnings.contains("changed the system message"), "{warnings}");
}

fn shown(content: Content) -> ChatRequest {
    let turns = vec![Turn::new(Role::User, vec![Part::new(content)])];
    ChatRequest { turns, ..ChatRequest::default() }
}

fn image(source: MediaSource, media_type: Option<&str>) -> Content {
    let media = Media { media_type: media_type.map(str::to_owned), source };
    Content::Image(Image { media, detail: None })
}

#[test]
fn urls_need_a_known_media_type() {
    for (address, expected) in [
        ("https://a.example/cat.PNG?size=1#x", Some("image/png")),
        ("https://a.example/v1.2/cat", None),
        ("https://a.example", None),
        ("https://a.example/cat.xyz", None),
        ("https://www.youtube.com/watch?v=1.png", Some("video/mp4")),
        ("data:text/plain,Hi", None),
    ] {
        let written = write(&shown(image(MediaSource::Url(address.to_owned()), None)), "model-1");
        match (written, expected) {
            (Ok((written, _)), Some(expected)) => {
                let file = &written["contents"][0]["parts"][0]["fileData"];
                assert_eq!(*file, json!({"mimeType": expected, "fileUri": address}));
            }
            (Err(refused), None) => assert_eq!(refused.what, "an image", "{address}"),
            (found, _) => panic!("{address}: {found:?}"),
        }
    }
    let stored = image(MediaSource::Id("gs://b/a".to_owned()), Some("image/png"));
    assert!(write(&shown(stored), "model-1").is_ok());
    let elsewhere = image(MediaSource::Id("file-1".to_owned()), Some("image/png"));
    assert!(write(&shown(elsewhere), "model-1").is_err());
    let system = Turn::new(
        Role::System,
        shown(image(MediaSource::Id("gs://b/a.png".into()), None)).turns.remove(0).parts,
    );
    let request = ChatRequest { turns: vec![system], ..ChatRequest::default() };
    assert!(write(&request, "model-1").is_ok(), "alone it is sent as the user's");
}

#[test]
fn url_safe_base64_is_normalized() {
    let body = of_user(json!([{"inlineData": {"mimeType": "image/png", "data": "-_8"}}]));
    let found = request(&body);
    let Content::Image(image) = &found.turns[0].parts[0].content else { panic!("{found:?}") };
    assert_eq!(image.media, Media::base64("image/png", "+/8="));
}

#[test]
fn unsupported_members_are_warned() {
    let mut request = shown(Content::File(File {
        context: None,
        media: Media::base64("application/pdf", "AAAA"),
        name: None,
        with_citations: true,
    }));
    request.turns[0].parts[0].cache = Some(CachePoint::Hour);
    let media = Media::base64("image/png", "AAAA");
    let detail = Some("high".to_owned());
    request.turns[0].parts.push(Part::new(Content::Image(Image { media, detail })));
    request.parallel_tool_calls = Some(false);
    request.user = Some("user-1".to_owned());
    request.sampling.min_p = Some(0.1);
    request.sampling.seed = Some(1 << 40);
    request.stop = ["1", "2", "3", "4", "5", "6"].map(str::to_owned).to_vec();
    request.metadata = vec![("team".into(), "a-1".into()), ("Team Name".into(), "a".into())];
    request.service_tier = Some("scale".to_owned());
    request.tools = vec![Tool::Function(Function {
        name: "f".to_owned(),
        strict: Some(true),
        ..Function::default()
    })];
    request.tools.push(Tool::WebSearch(WebSearch {
        allowed_domains: vec!["a.example".to_owned()],
        ..WebSearch::default()
    }));
    let (written, warnings) = write(&request, "model-1").expect("sayable");
    for what in [
        "citations of a file",
        "a cache point",
        "detail of an image",
        "parallel_tool_calls",
        "user",
        "min_p",
        "seed",
        "stop sequences beyond the fifth",
        "metadata.Team Name",
        "service_tier",
        "strict",
        "allowed_domains of the web search",
    ] {
        assert!(warnings.contains(what), "{what}: {warnings}");
    }
    assert_eq!(written["labels"], json!({"team": "a-1"}));
    assert_eq!(written["generationConfig"]["seed"], 256);
}

#[test]
fn thinking_config_follows_the_model() {
    let effort = |name: &str| ReasoningSettings {
        effort: Some(name.to_owned()),
        ..ReasoningSettings::default()
    };
    let off = ReasoningSettings { is_off: true, ..ReasoningSettings::default() };
    let budget = ReasoningSettings { tokens_max: Some(512), ..effort("high") };
    let shown = ReasoningSettings { summary: Some("auto".to_owned()), ..effort("low") };
    for (model, settings, expected, is_changed) in [
        ("gemini-3-flash", &effort("low"), json!({"thinkingLevel": "LOW"}), false),
        ("gemini-3-pro", &effort("minimal"), json!({"thinkingLevel": "LOW"}), true),
        ("gemini-3-pro", &effort("xhigh"), json!({"thinkingLevel": "HIGH"}), true),
        ("gemini-2.5-flash", &effort("low"), json!({"thinkingBudget": 4000}), false),
        ("gemini-2.5-flash", &effort("none"), json!({"thinkingBudget": 0}), false),
        ("gemini-2.5-flash", &off, json!({"thinkingBudget": 0}), false),
        ("gemini-2.5-pro", &off, json!({"thinkingBudget": 128}), true),
        ("gemini-3-flash", &off, json!({"thinkingLevel": "MINIMAL"}), true),
        ("gemini-3-flash", &budget, json!({"thinkingBudget": 512}), false),
        ("gemini-3-flash", &shown, json!({"thinkingLevel": "LOW", "includeThoughts": true}), false),
    ] {
        let mut request = self::shown(Content::Text(Text { text: "Hi".into(), citations: vec![] }));
        request.reasoning = Some(settings.clone());
        let (written, warnings) = write(&request, model).expect("sayable");
        assert_eq!(written["generationConfig"]["thinkingConfig"], expected, "{model}");
        assert_eq!(!warnings.is_empty(), is_changed, "{model}: {warnings}");
    }
}

#[test]
fn finish_reasons_are_translated() {
    let call = json!([{"functionCall": {"name": "f"}}]);
    let text = json!([{"text": "x"}]);
    for (parts, reason, expected) in [
        (&text, "STOP", StopReason::Stop),
        (&call, "STOP", StopReason::ToolCalls),
        (&text, "MAX_TOKENS", StopReason::Length),
        (&call, "MAX_TOKENS", StopReason::Length),
        (&text, "CONTINUATION", StopReason::Length),
        (&text, "SAFETY", StopReason::ContentFilter),
        (&text, "RECITATION", StopReason::ContentFilter),
        (&text, "BLOCKLIST", StopReason::ContentFilter),
        (&text, "PROHIBITED_CONTENT", StopReason::ContentFilter),
        (&text, "SPII", StopReason::ContentFilter),
        (&text, "LANGUAGE", StopReason::ContentFilter),
        (&text, "OTHER", StopReason::ContentFilter),
        (&text, "SOMETHING_NEW", StopReason::ContentFilter),
    ] {
        let whole = answer(&piece(parts.clone(), Some(reason)));
        assert_eq!(whole.choices[0].stop, expected, "{reason}");
        let streamed = decode(&[piece(parts.clone(), None), piece(json!([]), Some(reason))]);
        assert_eq!(assemble(streamed), Some(whole), "{reason}");
    }
}

#[test]
fn finish_message_is_kept() {
    let mut body = piece(json!([]), Some("SAFETY"));
    body["candidates"][0]["finishMessage"] = "Not that.".into();
    let whole = answer(&body);
    let refusal = Content::Refusal("Not that.".to_owned());
    assert_eq!(whole.choices[0].parts, [Part::new(refusal)]);
    assert_eq!(assemble(decode(&[body])), Some(whole));
}

#[test]
fn malformed_responses_are_rejected() {
    let mut malformed = piece(json!([]), Some("MALFORMED_FUNCTION_CALL"));
    malformed["candidates"][0]["finishMessage"] = "Malformed function call: f(".into();
    let blocked = json!({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},
        "usageMetadata": {"promptTokenCount": 9, "totalTokenCount": 9}});
    let worded = json!({"promptFeedback": {"blockReason": "OTHER", "blockReasonMessage": "no"}});
    let silent = piece(json!([{"text": "x"}]), Some("UNEXPECTED_TOOL_CALL"));
    for (body, status, message, code) in [
        (&malformed, 502, "Malformed function call: f(", "malformed_function_call"),
        (
            &silent,
            502,
            "the model's answer could not be used (UNEXPECTED_TOOL_CALL)",
            "unexpected_tool_call",
        ),
        (&blocked, 400, "the provider blocked the prompt (PROHIBITED_CONTENT)", "content_filter"),
        (&worded, 400, "no", "content_filter"),
    ] {
        let chunks = decode(std::slice::from_ref(body));
        let reported = chunks.iter().find_map(|chunk| match chunk {
            Chunk::Error(error) => Some(error),
            _ => None,
        });
        let reported = reported.unwrap_or_else(|| panic!("no error: {body}"));
        let found = (reported.status, reported.message.as_str(), reported.code.as_deref());
        assert_eq!(found, (status, message, Some(code)), "{body}");
        assert!(!chunks.contains(&Chunk::Done), "{body}");
        let text = body.to_string();
        let whole = Scanner::default().read(text.as_bytes(), super::failure).expect("JSON");
        assert_eq!(whole.as_ref(), Some(reported), "{body}");
    }
    // The prompt was accepted, whatever a later event reports.
    let chunks = decode(&[piece(json!([{"text": "x"}]), Some("STOP")), blocked.clone()]);
    assert!(chunks.contains(&Chunk::Done));
    // No candidates, and no reason.
    let empty = json!({"usageMetadata": {"promptTokenCount": 9}, "candidates": []});
    let whole = Scanner::default().read(empty.to_string().as_bytes(), super::failure);
    let whole = whole.expect("JSON").expect("an error");
    assert_eq!(
        (whole.status, whole.message.as_str()),
        (502, "the provider's answer has no candidates")
    );
    for body in [json!({}), json!({"error": {"code": 400}, "candidates": []}), blocked, empty] {
        let text = body.to_string();
        let read = |root: crate::llm::Node<'_>| Gemini.read_answer(root);
        assert_eq!(Scanner::default().read(text.as_bytes(), read), Ok(None), "{body}");
    }
}

#[test]
fn odd_chunks_are_read_leniently() {
    let chunks = decode(&[
        json!({}),
        json!({"candidates": [{"content": {}}], "unknown": 1}),
        json!({"candidates": [{"content": {"parts": null, "role": "model"}, "index": null}]}),
        piece(json!([{"text": null}, {"text": 5}, {"text": "a"}, {"inlineData": {}}, {}]), None),
        piece(json!([{"executableCode": {"code": "1"}}]), Some("STOP")),
        // Some models send a finish reason with every fragment.
        piece(json!([{"text": "b"}]), Some("STOP")),
        json!({"usageMetadata": {"promptTokenCount": 1}}),
    ]);
    let found = assemble(chunks).expect("complete");
    let texts: Vec<_> = found.choices[0].parts.iter().map(Part::as_text).collect();
    assert_eq!(texts, [Some("a"), None, Some("b")]);
    assert!(matches!(found.choices[0].parts[1].content, Content::Raw(_)));
    assert_eq!(found.choices[0].stop, StopReason::Stop);
    let mut decoder = Gemini.stream_decoder();
    let bad = decoder.event(None, b"[DONE]", &mut Scanner::default(), &mut Vec::new());
    assert!(bad.is_err());
}

#[test]
fn signed_text_agrees_whole_and_streamed() {
    let whole = answer(&piece(
        json!([{"text": "hm", "thought": true}, {"text": "Hello", "thoughtSignature": "c2ln"},
            {"text": " you"}, {"inlineData": {"mimeType": "image/png", "data": "AAAA"},
            "thoughtSignature": "dHdv"}, {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "dHJl"}]),
        Some("STOP"),
    ));
    let streamed = decode(&[
        piece(json!([{"text": "h", "thought": true}]), None),
        piece(json!([{"text": "m", "thought": true}, {"text": "Hel"}]), None),
        piece(json!([{"text": "lo"}]), None),
        piece(json!([{"text": "", "thoughtSignature": "c2ln"}, {"text": " you"}]), None),
        piece(
            json!([{"inlineData": {"mimeType": "image/png", "data": "AAAA"},
            "thoughtSignature": "dHdv"}]),
            None,
        ),
        piece(
            json!([{"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "dHJl"}]),
            Some("STOP"),
        ),
    ]);
    assert_eq!(assemble(streamed), Some(whole.clone()));
    let kinds = &whole.choices[0].parts;
    assert_eq!(kinds.len(), 7);
    assert_eq!(kinds[2], thought_signature("c2ln"));
    // And a client gets them in place.
    let mut out = Vec::new();
    Gemini.write_answer(&whole, &with_reasoning(), 0, &mut out);
    let written: Value = serde_json::from_slice(&out).expect("JSON");
    let parts = &written["candidates"][0]["content"]["parts"];
    let signatures: Vec<_> =
        parts.as_array().expect("parts").iter().map(|it| it["thoughtSignature"].as_str()).collect();
    assert_eq!(signatures, [None, Some("c2ln"), None, Some("dHdv"), Some("dHJl")]);
    assert_eq!(answer(&written), whole);
}

#[test]
fn several_candidates_keep_their_calls() {
    let both = |reason: Option<&str>| {
        let mut body = piece(json!([{"functionCall": {"name": "f"}}]), reason);
        let mut second = body["candidates"][0].clone();
        second["index"] = 1.into();
        body["candidates"].as_array_mut().expect("an array").push(second);
        body
    };
    let whole = answer(&both(Some("STOP")));
    assert_eq!(whole.choices.len(), 2);
    assert_ne!(whole.choices[0], whole.choices[1], "two calls with one id");
    assert_eq!(assemble(decode(&[both(Some("STOP"))])), Some(whole));
    let mut half = both(Some("STOP"));
    half["candidates"][1].as_object_mut().expect("an object").remove("finishReason");
    assert_eq!(assemble(decode(&[half])), None, "one choice is missing its end");
}

#[test]
fn last_usage_wins_and_is_emitted_on_change() {
    let with = |prompt: u64, answer: u64| {
        let mut body = piece(json!([{"text": "x"}]), None);
        body["usageMetadata"] = json!({"promptTokenCount": prompt, "candidatesTokenCount": answer,
            "totalTokenCount": prompt + answer});
        body
    };
    let chunks = decode(&[with(5, 1), with(5, 1), with(5, 3)]);
    let reported: Vec<u64> = chunks
        .iter()
        .filter_map(|chunk| match chunk {
            Chunk::Usage(usage) => Some(usage.output_tokens),
            _ => None,
        })
        .collect();
    assert_eq!(reported, [1, 3]);
    assert!(!chunks.contains(&Chunk::Done));
}

#[test]
fn logprobs_and_citations_agree_whole_and_streamed() {
    let mut body = piece(json!([{"text": "né"}]), Some("STOP"));
    let candidate = &mut body["candidates"][0];
    candidate["logprobsResult"] = json!({
        "topCandidates": [{"candidates": [{"token": "né", "logProbability": -0.5},
            {"token": "na", "logProbability": -1.5}]}],
        "chosenCandidates": [{"token": "né", "tokenId": 7, "logProbability": -0.5}]});
    candidate["groundingMetadata"] = json!({
        "groundingChunks": [{"web": {"uri": "https://a.example", "title": "A"}}],
        "groundingSupports": [{"segment": {"startIndex": 0, "endIndex": 3},
            "groundingChunkIndices": [0]}]});
    let whole = answer(&body);
    let top = vec![("né".to_owned(), -0.5), ("na".to_owned(), -1.5)];
    assert_eq!(whole.choices[0].logprobs[0].top, top);
    let Content::Text(text) = &whole.choices[0].parts[0].content else { panic!("{whole:?}") };
    assert_eq!(text.citations[0].span, Some((0, 2)));
    assert_eq!(assemble(decode(std::slice::from_ref(&body))).as_ref(), Some(&whole));
    let mut out = Vec::new();
    Gemini.write_answer(&whole, &with_reasoning(), 0, &mut out);
    assert_eq!(answer(&serde_json::from_slice(&out).expect("JSON")), whole);
    assert_eq!(assemble(decode(&encoded(&chunks_of(&whole)))), Some(whole));
}

/// The chunks of a client's event stream.
fn encoded(chunks: &[Chunk]) -> Vec<Value> {
    let mut encoder = Gemini.stream_encoder(&with_reasoning(), 0);
    let mut out = Vec::new();
    chunks.iter().for_each(|chunk| encoder.push(chunk, &mut out));
    let text = String::from_utf8(out).expect("UTF-8");
    let pieces = text.split_terminator("\r\n\r\n");
    let data = pieces.map(|piece| piece.strip_prefix("data: ").expect("nothing but data"));
    data.map(|data| serde_json::from_str(data).expect("JSON")).collect()
}

fn call_in_pieces(pieces: &[&str]) -> Vec<Chunk> {
    let call = ToolCall { id: "call_1".into(), name: "f".into(), ..ToolCall::default() };
    let mut chunks = vec![
        Chunk::Start(Start { id: "a".to_owned(), model: "m".to_owned(), ..Start::default() }),
        Chunk::BlockStart { choice: 0, part: 0, content: Content::ToolCall(call) },
    ];
    let grow = |piece: &&str| {
        let delta = Delta::Arguments((*piece).to_owned());
        Chunk::BlockDelta { choice: 0, part: 0, delta }
    };
    chunks.extend(pieces.iter().map(grow));
    chunks
}

#[test]
fn partial_arguments_become_one_call() {
    let mut chunks = call_in_pieces(&["{\"a\"", ":", "1}"]);
    assert!(encoded(&chunks).is_empty(), "half a call was sent");
    // The end of the choice ends its calls too.
    chunks.push(Chunk::Finish { choice: 0, reason: StopReason::ToolCalls });
    chunks.push(Chunk::Usage(Usage { input_tokens: 3, ..Usage::default() }));
    let pieces = encoded(&chunks);
    let call = json!({"id": "call_1", "name": "f", "args": {"a": 1}});
    assert_eq!(pieces.len(), 1);
    assert_eq!(pieces[0]["candidates"][0]["content"]["parts"][0]["functionCall"], call);
    assert_eq!(pieces[0]["candidates"][0].get("finishReason"), None);
    chunks.push(Chunk::Ping);
    chunks.push(Chunk::Done);
    let pieces = encoded(&chunks);
    assert_eq!(pieces.len(), 2);
    assert_eq!(pieces[1]["candidates"][0]["finishReason"], "STOP");
    assert_eq!(pieces[1]["usageMetadata"]["promptTokenCount"], 3);
    for (arguments, args) in [("", json!({})), ("[1]", json!({"arguments": "[1]"}))] {
        let mut chunks = call_in_pieces(&[arguments]);
        chunks.push(Chunk::BlockStop { choice: 0, part: 0 });
        let found = &encoded(&chunks)[0]["candidates"][0]["content"]["parts"][0];
        assert_eq!(found["functionCall"]["args"], args);
    }
}

#[test]
fn oversized_call_ends_the_stream() {
    let long = "x".repeat(5 * 1024 * 1024);
    let mut chunks = call_in_pieces(&[&long, &long]);
    chunks.push(Chunk::Finish { choice: 0, reason: StopReason::ToolCalls });
    chunks.push(Chunk::Done);
    let pieces = encoded(&chunks);
    assert_eq!(pieces.len(), 1);
    assert_eq!(pieces[0]["error"]["status"], "INTERNAL");
}

fn failure() -> ApiError {
    let message = "The model is overloaded.".to_owned();
    let kind = "UNAVAILABLE".to_owned();
    ApiError { status: 503, message, kind, code: None, param: None }
}

#[test]
fn errors_inside_streams_are_decoded() {
    let mut chunks = call_in_pieces(&["{}"]);
    chunks.push(Chunk::Error(failure()));
    chunks.push(Chunk::Done);
    let pieces = encoded(&chunks);
    assert_eq!(pieces.len(), 1);
    let error =
        json!({"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"});
    assert_eq!(pieces[0], json!({"error": error}));
    let reported = decode(&[piece(json!([{"text": "x"}]), None), json!({"error": error})]);
    assert_eq!(reported.last(), Some(&Chunk::Error(failure())));
    let vague = decode(&[json!({"error": {"message": "?"}}), piece(json!([]), Some("STOP"))]);
    assert!(matches!(vague.as_slice(), [Chunk::Error(ApiError { status: 502, .. })]), "{vague:?}");
}

#[test]
fn array_framing_ends_only_if_complete() {
    let framed = |chunks: &[Chunk]| {
        let (mut encoder, mut out) = (array_encoder(&with_reasoning()), Vec::new());
        chunks.iter().for_each(|chunk| encoder.push(chunk, &mut out));
        String::from_utf8(out).expect("UTF-8")
    };
    let whole =
        answer(&piece(json!([{"text": "x"}, {"functionCall": {"name": "f"}}]), Some("STOP")));
    let chunks = chunks_of(&whole);
    let pieces: Vec<Value> = serde_json::from_str(&framed(&chunks)).expect("an array");
    assert_eq!(pieces, encoded(&chunks));
    let (_, cut) = chunks.split_last().expect("chunks");
    assert!(serde_json::from_str::<Value>(&framed(cut)).is_err());
    let mut failed = cut.to_vec();
    failed.push(Chunk::Error(failure()));
    failed.push(Chunk::Done);
    let text = framed(&failed);
    assert!(text.contains("UNAVAILABLE") && serde_json::from_str::<Value>(&text).is_err());
}

// Content that this dialect can express, in the form in which it is read.

fn any_text() -> impl Strategy<Value = String> {
    "[a-z\"\\\\\n é€😀{}]{1,12}"
}

fn signature() -> impl Strategy<Value = Option<Signature>> {
    let text = "[A-Za-z0-9+/]{8}";
    prop_oneof![Just(None), text.prop_map(|text: String| own(&text))]
}

fn object() -> impl Strategy<Value = String> {
    (any_text(), -40..40_i32).prop_map(|(text, quarters)| {
        // Exact in binary, since two parsers may round differently.
        let number = f64::from(quarters) / 4.0;
        json!({"text": text, "inner": {"number": number, "list": [null, true]}}).to_string()
    })
}

fn media() -> impl Strategy<Value = Content> {
    prop_oneof![
        Just(image(MediaSource::Base64("AAAA".into()), Some("image/png"))),
        Just(image(MediaSource::Url("https://a.example/x".into()), Some("image/webp"))),
        Just(Content::Audio(Media::base64("audio/wav", "AAAA"))),
        Just(Content::Video(Media {
            media_type: Some("video/mp4".into()),
            source: MediaSource::Id("gs://films/a".into()),
        })),
        Just(Content::File(File {
            context: None,
            media: Media::base64("application/pdf", "AAAA"),
            name: None,
            with_citations: false,
        })),
    ]
}

fn user_turn() -> impl Strategy<Value = Turn> {
    let part =
        prop_oneof![any_text().prop_map(|text| Part::text(&text)), media().prop_map(Part::new)];
    prop::collection::vec(part, 1..3).prop_map(|parts| Turn::new(Role::User, parts))
}

/// Reasoning, text and then calls, whose ids derive from their position.
fn model_turn() -> impl Strategy<Value = (Vec<Part>, Vec<(String, Option<Signature>)>)> {
    let reasoning = (any_text(), signature()).prop_map(|(text, signature)| {
        vec![Part::new(Content::Reasoning(Reasoning { text, signature, ..Reasoning::default() }))]
    });
    let text_part = (any_text(), signature()).prop_map(|(text, signature)| {
        let mut parts = vec![Part::text(&text)];
        let reasoning = Reasoning { signature, ..Reasoning::default() };
        let is_signed = reasoning.signature.is_some();
        parts.extend(is_signed.then(|| Part::new(Content::Reasoning(reasoning))));
        parts
    });
    let parts = prop::collection::vec(prop_oneof![reasoning, text_part], 1..4);
    let calls = prop::collection::vec((object(), signature()), 0..3);
    (parts.prop_map(|parts| parts.concat()), calls)
}

fn conversation() -> impl Strategy<Value = Vec<Turn>> {
    let exchange = (user_turn(), model_turn(), object(), any::<bool>());
    let system = prop_oneof![Just(None), any_text().prop_map(Some)];
    (system, prop::collection::vec(exchange, 1..4)).prop_map(|(system, exchanges)| {
        let mut turns = Vec::new();
        turns.extend(system.map(|text| Turn::new(Role::System, vec![Part::text(&text)])));
        for (round, (user, (mut parts, calls), given, is_error)) in
            exchanges.into_iter().enumerate()
        {
            // Neighbors are merged: after results the user adds nothing.
            if turns.last().is_none_or(|turn: &Turn| turn.role != Role::Tool) {
                turns.push(user);
            }
            let mut results = Vec::new();
            // An unsigned call takes the signature of the text before it.
            if calls.first().is_some_and(|(_, signature)| signature.is_none()) {
                parts.truncate(1);
            }
            for (index, (arguments, signature)) in calls.into_iter().enumerate() {
                let (id, name) = (format!("call_{round}_{index}"), format!("f{index}"));
                let result = ToolResult {
                    id: id.clone(),
                    name: Some(name.clone()),
                    parts: vec![Part::text(&given)],
                    is_error,
                };
                results.push(Part::new(Content::ToolResult(result)));
                let arguments =
                    serde_json::from_str::<Value>(&arguments).expect("JSON").to_string();
                let call = ToolCall { id, name, arguments, signature };
                parts.push(Part::new(Content::ToolCall(call)));
            }
            turns.push(Turn::new(Role::Assistant, parts));
            if !results.is_empty() {
                turns.push(Turn::new(Role::Tool, results));
            }
        }
        turns
    })
}

fn settings() -> impl Strategy<Value = ChatRequest> {
    let schema = || Json::of_written(r#"{"type":"object","properties":{"a":{}}}"#.to_owned());
    let format = prop_oneof![
        Just(None),
        Just(Some(Format::Text)),
        Just(Some(Format::JsonObject)),
        Just(Some(Format::JsonSchema {
            name: None,
            description: None,
            schema: schema(),
            strict: None,
        })),
    ];
    let choice = prop_oneof![
        Just(ToolChoice::Auto),
        Just(ToolChoice::None),
        Just(ToolChoice::Required),
        any_text().prop_map(ToolChoice::Function),
    ];
    let reasoning = prop_oneof![
        Just(None),
        Just(Some(ReasoningSettings { is_off: true, ..ReasoningSettings::default() })),
        (1..9999_u64).prop_map(|tokens| Some(ReasoningSettings {
            tokens_max: Some(tokens),
            is_shown: Some(true),
            ..ReasoningSettings::default()
        })),
        "minimal|low|medium|high".prop_map(|effort: String| Some(ReasoningSettings {
            effort: Some(effort),
            ..ReasoningSettings::default()
        })),
    ];
    let numbers = (any::<Option<u32>>(), any::<Option<i32>>(), prop::option::of(0..8_u32));
    let stop = prop::collection::vec(any_text(), 0..5);
    (format, choice, reasoning, numbers, stop, any::<Option<u8>>()).prop_map(
        move |(format, choice, reasoning, (tokens, seed, warmth), stop, top)| {
            let mut request = ChatRequest {
                model: "model-1".to_owned(),
                tools: vec![
                    Tool::Function(Function {
                        name: "f0".to_owned(),
                        description: Some("does".to_owned()),
                        parameters: Some(schema()),
                        ..Function::default()
                    }),
                    Tool::Function(Function { name: "f1".to_owned(), ..Function::default() }),
                    Tool::WebSearch(WebSearch::default()),
                    Tool::CodeExecution,
                ],
                tool_choice: Some(choice),
                format,
                reasoning,
                stop,
                max_tokens: tokens.map(u64::from),
                n: tokens.map(|tokens| u64::from(tokens % 8)),
                top_logprobs: top.map(|top| u64::from(top % 21)),
                metadata: vec![("team".to_owned(), "a_1-b".to_owned())],
                service_tier: Some("flex".to_owned()),
                modalities: vec!["text".to_owned(), "image".to_owned()],
                stream: true,
                include_usage: true,
                ..ChatRequest::default()
            };
            request.sampling.seed = seed.map(i64::from);
            let warmth = warmth.map(|quarters| f64::from(quarters) / 4.0);
            request.sampling.temperature = warmth;
            request.sampling.top_p = warmth;
            request.sampling.presence_penalty = warmth;
            request
        },
    )
}

proptest! {
    #[test]
    fn requests_round_trip(turns in conversation(), settings in settings()) {
        let request = ChatRequest { turns, ..settings };
        let (written, warnings) = write(&request, "model-1").expect("sayable");
        prop_assert_eq!(&warnings, "");
        prop_assert_eq!(self::request(&written), request);
    }

    #[test]
    fn responses_round_trip_whole_and_streamed(
        (parts, calls) in model_turn(),
        refusal in prop::option::of(any_text()),
        usage in (0..9999_u64, 0..9999_u64),
    ) {
        let mut choice = crate::llm::Choice { parts, ..crate::llm::Choice::default() };
        // Texts without a signature between them are one text.
        choice.parts.dedup_by(|later, before| {
            let kind = |part: &Part| matches!(part.content, Content::Reasoning(_));
            kind(later) == kind(before)
        });
        for (index, (arguments, signature)) in calls.into_iter().enumerate() {
            let id = format!("call_{index}");
            let arguments = serde_json::from_str::<Value>(&arguments).expect("JSON").to_string();
            let signature = signature.or_else(|| own("c2lnbmVk"));
            let call = ToolCall { id, name: "f".to_owned(), arguments, signature };
            choice.parts.push(Part::new(Content::ToolCall(call)));
            choice.stop = StopReason::ToolCalls;
        }
        choice.parts.extend(refusal.map(|text| Part::new(Content::Refusal(text))));
        let whole = Answer {
            id: "answer-1".to_owned(),
            model: "model-1".to_owned(),
            choices: vec![choice],
            usage: Some(Usage {
                input_tokens: usage.0,
                output_tokens: usage.1,
                reasoning_tokens: usage.1 / 2,
                ..Usage::default()
            }),
            ..Answer::default()
        };
        let mut out = Vec::new();
        Gemini.write_answer(&whole, &with_reasoning(), 0, &mut out);
        prop_assert_eq!(&answer(&serde_json::from_slice(&out).expect("JSON")), &whole);
        prop_assert_eq!(assemble(decode(&encoded(&chunks_of(&whole)))), Some(whole));
    }
}

/// The reasoning, text and calls of a response, and the kinds of their signatures.
fn hidden_answer(signature: Option<Signature>, sealed: Option<Signature>) -> Answer {
    let reasoning = Reasoning { id: None, text: "hm, x".to_owned(), signature, sealed };
    let call = ToolCall {
        id: "1".to_owned(),
        name: "f".to_owned(),
        arguments: "{}".to_owned(),
        signature: None,
    };
    let parts = vec![
        Part::new(Content::Reasoning(reasoning.clone())),
        Part::text("Hello"),
        Part::new(Content::Reasoning(reasoning)),
        Part::new(Content::ToolCall(call)),
    ];
    Answer { choices: vec![Choice { parts, ..Choice::default() }], ..Answer::default() }
}

/// The parts of a response for a client that did not request reasoning: complete, and streamed.
fn without_reasoning_of(answer: &Answer) -> [Vec<Value>; 2] {
    let mut out = Vec::new();
    Gemini.write_answer(answer, &ChatRequest::default(), 0, &mut out);
    let whole: Value = serde_json::from_slice(&out).expect("JSON");
    let whole = whole["candidates"][0]["content"]["parts"].as_array().expect("parts").clone();
    let mut out = Vec::new();
    let mut encoder = Gemini.stream_encoder(&ChatRequest::default(), 0);
    chunks_of(answer).iter().for_each(|chunk| encoder.push(chunk, &mut out));
    let text = String::from_utf8(out).expect("UTF-8");
    let events = text.lines().filter_map(|line| line.strip_prefix("data: "));
    let mut streamed = Vec::new();
    for data in events {
        let event: Value = serde_json::from_str(data).expect("JSON");
        let parts = &event["candidates"][0]["content"]["parts"];
        streamed.extend(parts.as_array().into_iter().flatten().cloned());
    }
    [whole, streamed]
}

/// The parts of the model's turn when the client sends these back.
fn read_back(parts: &[Value]) -> Vec<Part> {
    let contents =
        json!([{"role": "user", "parts": [{"text": "x"}]}, {"role": "model", "parts": parts}]);
    let body = json!({ "contents": contents }).to_string();
    let path = RequestPath { model: Some("m"), stream: false };
    let read = Scanner::default().read(body.as_bytes(), |root| Gemini.read_request(root, &path));
    read.expect("JSON").expect("a request").turns.remove(1).parts
}

#[test]
fn hidden_thoughts_are_restored_from_signatures() {
    let of = |dialect, text: &str| Some(Signature { dialect, text: text.to_owned() });
    let claude = of(Dialect::AnthropicMessages, "ErcB+/=");
    for (signature, sealed) in [(claude.clone(), None), (None, claude), (None, None)] {
        let answer = hidden_answer(signature.clone(), sealed.clone());
        for parts in without_reasoning_of(&answer) {
            assert!(parts.iter().all(|part| part.get("thought").is_none()), "{parts:?}");
            let text: String = parts.iter().filter_map(|it| it["text"].as_str()).collect();
            assert_eq!(text, "Hello");
            // Each belongs to the part that follows it; unsigned reasoning to a call only.
            let is_proven = signature.is_some() || sealed.is_some();
            let text_part = parts.iter().find(|part| part["text"] == "Hello").expect("words");
            assert_eq!(text_part.get("thoughtSignature").is_some(), is_proven, "{parts:?}");
            let call = parts.iter().find(|part| part.get("functionCall").is_some());
            let thought_signature =
                call.expect("a call")["thoughtSignature"].as_str().expect("a signature");
            assert!(super::is_foreign_signature(thought_signature));
            let url = thought_signature.replace('+', "-").replace('/', "_");
            assert!(super::is_foreign_signature(&url));
            let back = read_back(&parts);
            let back = back.into_iter().filter(|part| *part != Part::text("")).collect::<Vec<_>>();
            let expected = &answer.choices[0].parts;
            match is_proven {
                true => assert_eq!(&back, expected, "{parts:?}"),
                false => {
                    let rest: Vec<&Part> = back.iter().collect();
                    assert_eq!(rest.first().copied(), Some(&expected[1]), "{parts:?}");
                    assert_eq!(rest.last().copied(), Some(&expected[3]), "{parts:?}");
                    assert_eq!(rest.len(), 4, "{parts:?}");
                }
            }
        }
    }
}

#[test]
fn hidden_thoughts_without_following_part_are_kept() {
    let reasoning_part = |signature| {
        Part::new(Content::Reasoning(Reasoning {
            text: "hm".to_owned(),
            signature,
            ..Reasoning::default()
        }))
    };
    let answer = |parts| Answer {
        choices: vec![Choice { parts, ..Choice::default() }],
        ..Answer::default()
    };
    let claude = Some(Signature { dialect: Dialect::AnthropicMessages, text: "S==".to_owned() });
    // Unsigned reasoning is dropped.
    for parts in without_reasoning_of(&answer(vec![reasoning_part(None), Part::text("Hi")])) {
        assert!(parts.iter().all(|part| part.get("thoughtSignature").is_none()), "{parts:?}");
        assert!(!json!(parts).to_string().contains("hm"), "{parts:?}");
    }
    // Signed reasoning stays with the last part.
    for parts in without_reasoning_of(&answer(vec![reasoning_part(claude.clone())])) {
        let last = parts.last().expect("a part");
        assert!(last.get("thought").is_none() && last["text"] == "", "{parts:?}");
        let back = read_back(&parts);
        assert!(back.contains(&reasoning_part(claude.clone())), "{back:?}");
    }
    // Google's own signature needs no text.
    let own = Some(Signature { dialect: Dialect::Gemini, text: "c2ln".to_owned() });
    for parts in without_reasoning_of(&answer(vec![reasoning_part(own), Part::text("Hi")])) {
        assert_eq!(parts[0], json!({"text": "Hi", "thoughtSignature": "c2ln"}));
    }
}

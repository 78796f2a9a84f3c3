//! What the grid does not cover: Cohere as the client's dialect, and its special cases.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::CohereChat;
use crate::dialects::codec::{ClientCodec, ProviderCodec, RequestPath, StreamDecoder, TargetModel};
use crate::dialects::warnings::Warnings;
use crate::llm::{
    Answer, ApiError, ChatRequest, Chunk, ChunkAssembler, Citation, Content, Dialect, DialectJson,
    File, Format, Function, Image, Json, Media, Part, Reasoning, ReasoningSettings, Role, Sampling,
    Scanner, Signature, StopReason, Text, Tool, ToolCall, ToolChoice, ToolResult, Turn, Usage,
    chunks_of,
};

fn read_request(body: &Value) -> Result<ChatRequest, String> {
    let body = body.to_string();
    let read = |root: crate::llm::Node<'_>| CohereChat.read_request(root, &RequestPath::default());
    let read = Scanner::default().read(body.as_bytes(), read).expect("JSON");
    read.map_err(|malformed| malformed.to_string())
}

fn write_request(request: &ChatRequest) -> Result<(Value, String), String> {
    let target = TargetModel::new(&request.model, true);
    let (mut warnings, mut out) = (Warnings::default(), Vec::new());
    CohereChat
        .write_request(request, &target, &mut warnings, &mut out)
        .map_err(|unsupported| unsupported.to_string())?;
    Ok((serde_json::from_slice(&out).expect("JSON"), warnings.header()))
}

fn read_answer(body: &Value) -> Option<Answer> {
    let body = body.to_string();
    let read = |root: crate::llm::Node<'_>| CohereChat.read_answer(root);
    Scanner::default().read(body.as_bytes(), read).expect("JSON")
}

fn write_answer(answer: &Answer) -> Value {
    let mut out = Vec::new();
    CohereChat.write_answer(answer, &ChatRequest::default(), 0, &mut out);
    serde_json::from_slice(&out).expect("JSON")
}

fn take(decoder: &mut dyn StreamDecoder, event: &str) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    let taken = decoder.event(None, event.as_bytes(), &mut Scanner::default(), &mut chunks);
    taken.expect("JSON");
    chunks
}

/// The chunks of a stream whose events have that data.
fn decode(events: &[Value]) -> Vec<Chunk> {
    let mut decoder = CohereChat.stream_decoder();
    let mut chunks: Vec<Chunk> =
        events.iter().flat_map(|event| take(decoder.as_mut(), &event.to_string())).collect();
    decoder.finish(&mut chunks);
    chunks
}

fn assemble(chunks: Vec<Chunk>) -> Result<Option<Answer>, ApiError> {
    let mut assembler = ChunkAssembler::default();
    chunks.into_iter().for_each(|chunk| assembler.push(chunk));
    assembler.finish()
}

/// `answer` after it was written as a stream and read again.
fn through_a_stream(answer: &Answer) -> Answer {
    let mut encoder = CohereChat.stream_encoder(&ChatRequest::default(), 0);
    let mut out = Vec::new();
    chunks_of(answer).iter().for_each(|chunk| encoder.push(chunk, &mut out));
    let out = String::from_utf8(out).expect("UTF-8");
    let mut decoder = CohereChat.stream_decoder();
    let data = out.lines().filter_map(|line| line.strip_prefix("data: "));
    let chunks = data.flat_map(|data| take(decoder.as_mut(), data)).collect();
    assemble(chunks).expect("no error").expect("a whole stream")
}

fn golden(ending: &str) -> Vec<(String, Value)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/dialects/golden/cohere-chat");
    let files = std::fs::read_dir(folder).expect("golden cases").flatten();
    let cases = files.filter_map(|file| {
        let name = file.file_name().into_string().ok()?;
        let body = std::fs::read(file.path()).ok()?;
        Some((name.strip_suffix(ending)?.to_owned(), serde_json::from_slice(&body).ok()?))
    });
    cases.collect()
}

#[test]
fn golden_requests_round_trip() {
    let cases = golden(".request.json");
    assert!(cases.len() >= 10, "{} cases", cases.len());
    for (case, body) in cases {
        let request = read_request(&body).expect("a request");
        let (again, warnings) = write_request(&request).expect("sayable");
        assert_eq!(warnings, "", "{case}");
        assert_eq!(read_request(&again).as_ref(), Ok(&request), "{case}");
        // Every member of the request is written again.
        for key in body.as_object().expect("an object").keys() {
            assert!(again.get(key).is_some(), "{case}: {key} is lost");
        }
        assert_eq!(
            again["messages"].as_array().map(Vec::len),
            body["messages"].as_array().map(Vec::len)
        );
    }
}

#[test]
fn golden_responses_round_trip() {
    let cases = golden(".answer.json");
    assert!(cases.len() >= 8, "{} cases", cases.len());
    for (case, body) in cases {
        let answer = read_answer(&body).expect("an answer");
        assert_eq!(read_answer(&write_answer(&answer)).as_ref(), Some(&answer), "{case}");
        assert_eq!(through_a_stream(&answer), answer, "{case}, streamed");
    }
}

#[test]
fn invalid_requests_name_the_path() {
    let with = |message: Value| json!({"model": "m", "messages": [message]});
    for (body, expected) in [
        (json!({"messages": []}), "expected `messages` to be an array of at least one message"),
        (json!({"messages": "hi"}), "expected `messages` to be an array"),
        (
            with(json!({"role": "robot", "content": "x"})),
            "expected `messages[0].role` to be one of system, user, assistant, tool",
        ),
        (
            with(json!({"role": "user", "content": [{"type": "text"}]})),
            "expected `messages[0].content[0].text` to be a string",
        ),
        (
            with(json!({"role": "user"})),
            "expected `messages[0].content` to be a string or an array of parts",
        ),
        (
            with(json!({"role": "tool", "content": "x"})),
            "expected `messages[0].tool_call_id` to be a string",
        ),
        (
            with(json!({"role": "assistant", "tool_calls": [{"id": "1", "function": {}}]})),
            "expected `messages[0].tool_calls[0].function.name` to be a string",
        ),
        (
            with(json!({"role": "user", "content": [{"type": "image_url", "image_url": {}}]})),
            "expected `messages[0].content[0].image_url.url` to be a string",
        ),
        (json!({"tool_choice": "auto"}), "expected `tool_choice` to be REQUIRED or NONE"),
        (
            json!({"thinking": {"type": "enabled", "token_budget": -1}}),
            "expected `thinking.token_budget` to be a whole number of 0 or more",
        ),
        (
            json!({"response_format": {"type": "xml"}}),
            "expected `response_format.type` to be one of text, json_object",
        ),
        (json!({"strict_tools": 1}), "expected `strict_tools` to be true or false"),
    ] {
        assert_eq!(read_request(&body).expect_err("a fault"), expected);
    }
}

fn request_with(parts: Vec<Part>) -> ChatRequest {
    let turns = vec![Turn::new(Role::User, parts)];
    ChatRequest { model: "m".to_owned(), turns, ..ChatRequest::default() }
}

fn text_file(data: &str) -> Part {
    let media = Media::base64("text/plain; charset=utf-8", data);
    let name = Some("notes.txt".to_owned());
    Part::new(Content::File(File { media, name, context: None, with_citations: false }))
}

fn refusal_of(request: &ChatRequest) -> String {
    write_request(request).expect_err("a refusal")
}

#[test]
fn meaning_changing_members_are_rejected() {
    let media = |media_type| Media::base64(media_type, "AAAA");
    let result = |content| {
        let parts = vec![Part::text("x"), Part::new(content)];
        Content::ToolResult(ToolResult { id: "1".to_owned(), name: None, parts, is_error: false })
    };
    let image = || Content::Image(Image { media: media("image/png"), detail: None });
    for (content, expected) in [
        (Content::Audio(media("audio/wav")), "audio cannot be sent"),
        (Content::Video(media("video/mp4")), "a video cannot be sent"),
        (result(image()), "an image in a tool result cannot be sent"),
    ] {
        let found = refusal_of(&request_with(vec![Part::new(content)]));
        assert!(found.starts_with(expected), "{found}");
    }
    // "%%%" is not base64, 0xff not UTF-8.
    for data in ["%%%", "/w=="] {
        assert!(refusal_of(&request_with(vec![text_file(data)])).starts_with("a file cannot"));
    }
    let mut several = request_with(vec![Part::text("x")]);
    several.n = Some(2);
    assert!(refusal_of(&several).starts_with("more than one answer"));
    let mut forced = request_with(vec![Part::text("x")]);
    forced.tool_choice = Some(ToolChoice::Function("absent".to_owned()));
    assert!(refusal_of(&forced).starts_with("a forced tool"));
    let mut stops = request_with(vec![Part::text("x")]);
    stops.stop = vec!["s".to_owned(); 6];
    assert!(refusal_of(&stops).starts_with("so many stop sequences"));
    let mut with_audio = request_with(vec![Part::text("x")]);
    with_audio.modalities = vec!["text".to_owned(), "audio".to_owned()];
    assert!(refusal_of(&with_audio).contains("answers in text"));
    let mut system = request_with(vec![Part::new(image())]);
    system.turns[0].role = Role::System;
    assert!(refusal_of(&system).starts_with("an instruction that is no text"));
}

#[test]
fn out_of_range_settings_are_clamped() {
    let mut request = request_with(vec![Part::text("x")]);
    request.sampling = Sampling {
        temperature: Some(1.5),
        top_p: Some(1.0),
        top_k: Some(1000),
        frequency_penalty: Some(-1.0),
        presence_penalty: Some(0.25),
        seed: Some(-1),
        ..Sampling::default()
    };
    let (body, warnings) = write_request(&request).expect("sayable");
    for (key, expected) in [
        ("temperature", json!(1.0)),
        ("p", json!(0.99)),
        ("k", json!(500)),
        ("frequency_penalty", json!(0.0)),
        ("presence_penalty", json!(0.25)),
        ("seed", Value::Null),
    ] {
        assert_eq!(body[key], expected, "{key}");
    }
    for name in ["temperature", "top_p", "top_k", "frequency_penalty", "seed"] {
        assert!(warnings.contains(&format!(" {name}: ")), "{name} in {warnings}");
    }
    assert!(!warnings.contains("presence_penalty"), "{warnings}");
}

#[test]
fn unsupported_members_are_warned() {
    let foreign = |dialect| DialectJson { dialect, json: Json::of_written("{\"a\":1}".to_owned()) };
    let mut request = request_with(vec![
        Part { cache: Some(crate::llm::CachePoint::Hour), ..Part::text("x") },
        Part::new(Content::Raw(foreign(Dialect::Gemini))),
    ]);
    request.turns[0].name = Some("ada".to_owned());
    request.tools = vec![Tool::CodeExecution, Tool::Raw(foreign(Dialect::OpenaiChat))];
    request.extra_fields = vec![
        ("store".to_owned(), foreign(Dialect::OpenaiChat)),
        ("safety_mode".to_owned(), foreign(Dialect::CohereChat)),
    ];
    request.sampling.logit_bias = Some(Json::of_written("{}".to_owned()));
    request.user = Some("user-1".to_owned());
    request.service_tier = Some("flex".to_owned());
    request.metadata = vec![("a".to_owned(), "b".to_owned())];
    request.top_logprobs = Some(3);
    let (body, warnings) = write_request(&request).expect("sayable");
    for name in [
        "cache_control",
        "name",
        "a part of a message",
        "the code execution tool",
        "the tool a",
        "store",
        "logit_bias",
        "user",
        "service_tier",
        "metadata",
        "top_logprobs",
    ] {
        assert!(warnings.contains(&format!("dropped {name}: ")), "{name} in {warnings}");
    }
    assert_eq!(body["safety_mode"], json!({"a": 1}));
    assert_eq!(body["logprobs"], json!(true));
    for key in ["store", "user", "tools", "metadata", "service_tier", "logit_bias"] {
        assert!(body.get(key).is_none(), "{key}");
    }
}

#[test]
fn text_files_become_documents() {
    let mut request = request_with(vec![text_file("SGVsbG8="), Part::text("Summarise it.")]);
    let (body, warnings) = write_request(&request).expect("sayable");
    let document = json!({"data": {"title": "notes.txt", "text": "Hello"}});
    assert_eq!(body["documents"], json!([document]));
    assert_eq!(body["messages"][0]["content"], "Summarise it.");
    assert!(warnings.starts_with("changed a file: "), "{warnings}");
    // In addition to documents of the request.
    let given = Json::of_written(r#"["given"]"#.to_owned());
    let given = DialectJson { dialect: Dialect::CohereChat, json: given };
    request.extra_fields.push(("documents".to_owned(), given));
    let (body, _) = write_request(&request).expect("sayable");
    assert_eq!(body["documents"], json!(["given", document]));
    let parts = vec![text_file("SGVsbG8=")];
    let result = ToolResult { id: "1".to_owned(), name: None, parts, is_error: true };
    let (body, warnings) =
        write_request(&request_with(vec![Part::new(Content::ToolResult(result))]))
            .expect("sayable");
    let expected = json!([{"role": "tool", "tool_call_id": "1",
        "content": [{"type": "document", "document": document}]}]);
    assert_eq!(body["messages"], expected);
    assert!(warnings.contains("dropped is_error"), "{warnings}");
}

#[test]
fn strict_applies_to_all_tools_or_none() {
    let function = |strict| Tool::Function(Function { strict, ..Function::default() });
    for (strict, expected, is_warned) in [
        ([Some(true), Some(true)], json!(true), false),
        ([Some(false), Some(false)], json!(false), false),
        ([Some(true), None], Value::Null, true),
        ([Some(false), None], Value::Null, false),
    ] {
        let mut request = request_with(vec![Part::text("x")]);
        request.tools = strict.map(function).into();
        let (body, warnings) = write_request(&request).expect("sayable");
        assert_eq!(body["strict_tools"], expected, "{strict:?}");
        assert_eq!(!warnings.is_empty(), is_warned, "{strict:?}: {warnings}");
    }
}

#[test]
fn foreign_thinking_loses_signature_and_keeps_text() {
    let signature = Some(Signature { dialect: Dialect::Gemini, text: "s".to_owned() });
    let reasoning =
        Reasoning { text: "hm".to_owned(), signature: signature.clone(), ..Reasoning::default() };
    let sealed = Reasoning { sealed: signature.clone(), ..Reasoning::default() };
    let call =
        ToolCall { id: "1".to_owned(), name: "f".to_owned(), signature, ..ToolCall::default() };
    let mut request = request_with(vec![
        Part::new(Content::Reasoning(sealed)),
        Part::new(Content::Reasoning(reasoning)),
        Part::new(Content::ToolCall(call)),
    ]);
    request.turns[0].role = Role::Assistant;
    let (body, warnings) = write_request(&request).expect("sayable");
    let call = json!({"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let expected = json!([{"role": "assistant", "tool_plan": "hm", "tool_calls": [call]}]);
    assert_eq!(body["messages"], expected);
    assert!(warnings.contains("dropped signature"), "{warnings}");
    assert!(warnings.contains("dropped a sealed thought"), "{warnings}");
}

#[test]
fn stop_reasons_are_translated() {
    let answer = |reason: &str| {
        read_answer(&json!({"id": "a", "finish_reason": reason, "message": {"role": "assistant",
            "content": [{"type": "text", "text": "x"}]}}))
    };
    let end = |reason: &str| json!({"type": "message-end", "delta": {"finish_reason": reason}});
    for (reason, expected) in [
        ("COMPLETE", StopReason::Stop),
        ("STOP_SEQUENCE", StopReason::StopSequence(String::new())),
        ("MAX_TOKENS", StopReason::Length),
        ("TOOL_CALL", StopReason::ToolCalls),
        ("ERROR_TOXIC", StopReason::ContentFilter),
        ("SOMETHING_NEW", StopReason::Stop),
    ] {
        let found = answer(reason).expect("an answer");
        assert_eq!(found.choices[0].stop, expected, "{reason}");
        assert_eq!(read_answer(&write_answer(&found)), Some(found), "{reason}");
        let chunks = decode(&[end(reason)]);
        assert!(chunks.contains(&Chunk::Finish { choice: 0, reason: expected }), "{reason}");
        assert_eq!(chunks.last(), Some(&Chunk::Done), "{reason}");
    }
    for (reason, status) in [("ERROR", 502), ("TIMEOUT", 504)] {
        assert_eq!(answer(reason), None, "{reason}");
        let error = assemble(decode(&[end(reason)])).expect_err("an error");
        assert_eq!(error.status, status, "{reason}");
    }
}

#[test]
fn billed_units_are_counted() {
    let usage = |usage: Value| {
        let answer = read_answer(&json!({"message": {}, "usage": usage})).expect("an answer");
        answer.usage.map(|it| (it.input_tokens, it.output_tokens, it.cached_tokens, it.estimated))
    };
    let tokens = json!({"input_tokens": 913.0, "output_tokens": 83.0});
    let billed = json!({"input_tokens": 37.0, "output_tokens": 28.0, "search_units": 1});
    for (given, expected) in [
        (json!({"billed_units": billed, "tokens": tokens}), Some((37, 28, 0, false))),
        (json!({"billed_units": billed, "cached_tokens": 30}), Some((37, 28, 30, false))),
        // Most of the cached tokens are not billed.
        (json!({"billed_units": billed, "cached_tokens": 900}), Some((37, 28, 37, false))),
        (json!({"tokens": tokens, "cached_tokens": 900}), Some((913, 83, 900, false))),
        (json!({"billed_units": null, "tokens": tokens}), Some((913, 83, 0, false))),
        (json!({"billed_units": {"search_units": 1}, "tokens": tokens}), Some((913, 83, 0, false))),
        (json!({"billed_units": {"input_tokens": 1.5, "output_tokens": 2}}), Some((1, 2, 0, true))),
        (json!({}), None),
        (Value::Null, None),
    ] {
        assert_eq!(usage(given.clone()), expected, "{given}");
    }
}

#[test]
fn malformed_responses_are_rejected() {
    for body in [json!({}), json!({"message": null}), json!({"message": "x"})] {
        assert_eq!(read_answer(&body), None, "{body}");
    }
    let bare = read_answer(&json!({"message": {"content": null, "tool_calls": null}}));
    assert_eq!(bare.expect("an answer").choices[0].parts, []);
}

#[test]
fn citations_belong_to_their_text_block() {
    let source = |id: &str| json!({"type": "document", "id": id, "document": {"title": id}});
    let cited = |index: Value, kind: &str, sources: Value| {
        json!({"start": 0, "end": 2, "text": "ab", "sources": sources, "content_index": index,
            "type": kind})
    };
    let text = |text: &str| json!({"type": "text", "text": text});
    let body = json!({"message": {
        "content": [{"type": "thinking", "thinking": ""}, text("ab"), text("cd")],
        "citations": [
            cited(json!(2), "TEXT_CONTENT", json!([source("x"), source("y")])),
            cited(json!(0), "THINKING_CONTENT", json!([source("z")])),
            cited(json!(9), "TEXT_CONTENT", json!([source("z")])),
            cited(Value::Null, "TEXT_CONTENT", json!([])),
        ],
    }, "finish_reason": "COMPLETE"});
    let answer = read_answer(&body).expect("an answer");
    let titles = |part: &Part| match &part.content {
        Content::Text(text) => {
            text.citations.iter().map(|it| it.title.clone().unwrap_or_default()).collect()
        }
        _ => vec!["no text".to_owned()],
    };
    let found: Vec<Vec<String>> = answer.choices[0].parts.iter().map(titles).collect();
    assert_eq!(found, [vec![""], vec!["x", "y"]]);
    // The first block was empty and is dropped, so that the indexes shift.
    let written = write_answer(&answer);
    assert_eq!(written["message"]["citations"][1]["content_index"], json!(1));
    assert_eq!(read_answer(&written), Some(answer.clone()));
    assert_eq!(through_a_stream(&answer), answer);
}

#[test]
fn foreign_citations_reach_clients_only() {
    let citation = Citation {
        span: Some((1, 3)),
        url: Some("https://a.example".to_owned()),
        title: Some("A".to_owned()),
        quote: Some("q".to_owned()),
        original: None,
    };
    let text = Text { text: "äöü!".to_owned(), citations: vec![citation] };
    let part = Part::new(Content::Text(text));
    let choice = crate::llm::Choice { parts: vec![part.clone()], ..Default::default() };
    let written = write_answer(&Answer { choices: vec![choice], ..Answer::default() });
    let document = json!({"url": "https://a.example", "title": "A", "text": "q"});
    let expected = json!([{"content_index": 0, "start": 1, "end": 3, "text": "öü",
        "sources": [{"type": "document", "document": document}], "type": "TEXT_CONTENT"}]);
    assert_eq!(written["message"]["citations"], expected);
    let mut request = request_with(vec![part]);
    request.turns[0].role = Role::Assistant;
    let (body, warnings) = write_request(&request).expect("sayable");
    assert_eq!(body["messages"][0].get("citations"), None);
    assert!(warnings.contains("dropped citations"), "{warnings}");
}

#[test]
fn odd_streams_are_read_leniently() {
    let text_delta = |text: &str| json!({"type": "content-delta", "delta": {"message": {"content": {"text": text}}}});
    let call = |kind: &str, call: Value| json!({"type": kind, "index": 3, "delta": {"message": {"tool_calls": call}}});
    let end = json!({"type": "message-end", "delta": {"finish_reason": "TOOL_CALL"}});
    // No start events, a call in an array with all of its arguments, no end events, unknown events,
    // blank lines.
    let events = [
        text_delta(""),
        text_delta("Hi"),
        json!({"type": "debug", "prompt": "p"}),
        json!({"type": "content-delta", "delta": null}),
        call("tool-call-start", json!([{"id": "1", "function": {"name": "f", "arguments": "{"}}])),
        call("tool-call-delta", json!([{"function": {"arguments": "}"}}])),
        json!({"type": "tool-call-delta", "index": 9}),
        end.clone(),
        text_delta("late"),
    ];
    let answer = assemble(decode(&events)).expect("no error").expect("whole");
    let call = ToolCall {
        id: "1".to_owned(),
        name: "f".to_owned(),
        arguments: "{}".to_owned(),
        signature: None,
    };
    assert_eq!(answer.choices[0].parts, [Part::text("Hi"), Part::new(Content::ToolCall(call))]);
    let cut = decode(&events[..6]);
    assert!(!cut.contains(&Chunk::Done));
    // Two blocks of one kind remain two.
    let start = json!({"type": "content-start", "index": 1});
    let answer =
        assemble(decode(&[text_delta("a"), start, text_delta("b"), end])).expect("no error");
    assert_eq!(answer.expect("whole").choices[0].parts, [Part::text("a"), Part::text("b")]);
}

#[test]
fn errors_inside_streams_are_decoded() {
    for (event, status, message) in [
        (json!({"message": "overloaded"}), 502, "overloaded"),
        (json!({"type": "error", "error": {"message": "overloaded"}}), 502, "overloaded"),
        (
            json!({"type": "message-end", "delta": {"finish_reason": "ERROR", "error": "broken"}}),
            502,
            "broken",
        ),
        (
            json!({"type": "message-end", "delta": {"finish_reason": "TIMEOUT"}}),
            504,
            "the provider could not finish its answer",
        ),
    ] {
        let chunks = decode(&[json!({"type": "message-start", "id": "a"}), event.clone()]);
        let error = assemble(chunks.clone()).expect_err("an error");
        assert_eq!((error.status, error.message.as_str()), (status, message), "{event}");
        assert!(!chunks.contains(&Chunk::Done), "{event}");
        // As a client of this dialect receives it.
        let mut encoder = CohereChat.stream_encoder(&ChatRequest::default(), 0);
        let mut out = Vec::new();
        chunks.iter().for_each(|chunk| encoder.push(chunk, &mut out));
        let out = String::from_utf8(out).expect("UTF-8");
        assert!(!out.contains("[DONE]") && out.contains("message-end"), "{out}");
        let last = out.lines().filter_map(|line| line.strip_prefix("data: ")).next_back();
        let mut decoder = CohereChat.stream_decoder();
        let again = take(decoder.as_mut(), last.expect("an event"));
        assert_eq!(again, [Chunk::Error(error)], "{event}");
    }
}

#[test]
fn logprobs_of_multi_token_texts() {
    let item = json!({"text": "Hi you", "token_ids": [1, 2], "logprobs": [-0.5, -0.25]});
    let answer = read_answer(&json!({"message": {"content": [{"type": "text", "text": "Hi you"}]},
        "logprobs": [item]}));
    let answer = answer.expect("an answer");
    assert_eq!(answer.choices[0].logprobs[0].logprob, -0.75);
    let events = [
        json!({"type": "content-delta", "delta": {"message": {"content": {"text": "Hi you"}}},
            "logprobs": item}),
        json!({"type": "message-end", "delta": {"finish_reason": "COMPLETE"}}),
    ];
    assert_eq!(assemble(decode(&events)), Ok(Some(answer.clone())));
    assert_eq!(read_answer(&write_answer(&answer)), Some(answer.clone()));
    assert_eq!(through_a_stream(&answer), answer);
}

#[test]
fn error_messages_are_found() {
    let error = |body: &str| {
        let read = |root: crate::llm::Node<'_>| CohereChat.read_error(429, Some(root));
        Scanner::default().read(body.as_bytes(), read).expect("JSON").message
    };
    assert_eq!(error(r#"{"id":"1","message":"slow down"}"#), "slow down");
    assert_eq!(error(r#"{"message":null,"detail":"slow down"}"#), "slow down");
    assert_eq!(error(r#"{"message":[5]}"#), "the provider answered with status 429");
    assert_eq!(CohereChat.read_error(500, None).message, "the provider answered with status 500");
}

#[test]
fn pings_are_not_encoded() {
    let mut encoder = CohereChat.stream_encoder(&ChatRequest::default(), 0);
    let mut out = Vec::new();
    encoder.push(&Chunk::Ping, &mut out);
    encoder.push(&Chunk::Usage(Usage::default()), &mut out);
    assert_eq!(out, b": ping\n\n");
}

fn any_text() -> impl Strategy<Value = String> {
    "[a-zé\"\\\\\n ]{1,12}"
}

fn text() -> impl Strategy<Value = Part> {
    any_text().prop_map(|text| Part::text(&text))
}

fn reasoning_part() -> impl Strategy<Value = Part> {
    any_text()
        .prop_map(|text| Part::new(Content::Reasoning(Reasoning { text, ..Reasoning::default() })))
}

fn image() -> impl Strategy<Value = Part> {
    let media = prop_oneof![
        Just(Media::base64("image/png", "AAAA")),
        Just(Media::of_url("https://pictures.example/a.png")),
    ];
    (media, proptest::option::of(Just("low".to_owned())))
        .prop_map(|(media, detail)| Part::new(Content::Image(Image { media, detail })))
}

fn call() -> impl Strategy<Value = Part> {
    (any_text(), any_text()).prop_map(|(id, name)| {
        let arguments = json!({ "a": name }).to_string();
        Part::new(Content::ToolCall(ToolCall { id, name, arguments, signature: None }))
    })
}

/// Turns that this dialect can express: text first, then the plan, then the calls.
fn turn() -> impl Strategy<Value = Turn> {
    let many = |part| proptest::collection::vec(part, 1..4);
    let assistant = (
        proptest::collection::vec(prop_oneof![text(), reasoning_part()], 0..4),
        proptest::option::of((reasoning_part(), proptest::collection::vec(call(), 1..3))),
    )
        .prop_filter("it says something", |(text, calls)| !text.is_empty() || calls.is_some())
        .prop_map(|(mut parts, planned)| {
            if let Some((plan, calls)) = planned {
                parts.push(plan);
                parts.extend(calls);
            }
            Turn::new(Role::Assistant, parts)
        });
    let result = (any_text(), proptest::collection::vec(text(), 1..3)).prop_map(|(id, parts)| {
        let result = ToolResult { id, name: None, parts, is_error: false };
        Turn::new(Role::Tool, vec![Part::new(Content::ToolResult(result))])
    });
    prop_oneof![
        many(text().boxed()).prop_map(|parts| Turn::new(Role::System, parts)),
        many(prop_oneof![text(), image()].boxed()).prop_map(|it| Turn::new(Role::User, it)),
        assistant,
        result,
    ]
}

fn schema() -> Json {
    let schema = r#"{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]}"#;
    Json::of_written(schema.to_owned())
}

fn tools() -> impl Strategy<Value = (Vec<Tool>, Option<ToolChoice>)> {
    let function =
        (any_text(), proptest::option::of(any_text())).prop_map(|(name, description)| {
            let parameters = Some(schema());
            Function { name, description, parameters, ..Function::default() }
        });
    let choice =
        prop_oneof![Just(None), Just(Some(ToolChoice::Required)), Just(Some(ToolChoice::None)),];
    let tools = proptest::collection::vec(function, 1..3);
    let strict = proptest::option::of(any::<bool>());
    let some = (tools, strict, choice).prop_map(|(functions, strict, choice)| {
        let tool = |function| Tool::Function(Function { strict, ..function });
        (functions.into_iter().map(tool).collect(), choice)
    });
    prop_oneof![Just((Vec::new(), None)), some]
}

fn settings() -> impl Strategy<Value = ChatRequest> {
    let format = prop_oneof![
        Just(None),
        Just(Some(Format::Text)),
        Just(Some(Format::JsonObject)),
        Just(Some(Format::JsonSchema {
            name: None,
            description: None,
            schema: schema(),
            strict: None
        })),
    ];
    let reasoning = prop_oneof![
        Just(None),
        Just(Some(ReasoningSettings { is_off: true, ..ReasoningSettings::default() })),
        proptest::option::of(1_u64..9000).prop_map(|tokens_max| Some(ReasoningSettings {
            tokens_max,
            ..ReasoningSettings::default()
        })),
    ];
    // Fractions with an exact decimal form.
    let fraction = |least: u8, most: u8| {
        proptest::option::of((least..most).prop_map(|it| f64::from(it) / 64.0))
    };
    let sampling = (
        fraction(0, 65),
        fraction(1, 64),
        proptest::option::of(0_u64..=500),
        proptest::option::of(0_i64..),
    )
        .prop_map(|(temperature, top_p, top_k, seed)| Sampling {
            temperature,
            top_p,
            top_k,
            seed,
            frequency_penalty: temperature,
            presence_penalty: top_p,
            ..Sampling::default()
        });
    let stop = proptest::collection::vec(any_text(), 0..5);
    let others = (any::<bool>(), any::<bool>(), proptest::option::of(1_u64..99));
    (format, reasoning, sampling, stop, others).prop_map(
        |(format, reasoning, sampling, stop, (stream, logprobs, max_tokens))| ChatRequest {
            format,
            reasoning,
            sampling,
            stop,
            stream,
            max_tokens,
            top_logprobs: logprobs.then_some(0),
            include_usage: true,
            ..ChatRequest::default()
        },
    )
}

proptest! {
    #[test]
    fn requests_round_trip(
        settings in settings(),
        turns in proptest::collection::vec(turn(), 1..5),
        (tools, tool_choice) in tools(),
        model in any_text(),
    ) {
        let request = ChatRequest { model, turns, tools, tool_choice, ..settings };
        let (body, warnings) = write_request(&request).expect("sayable");
        prop_assert_eq!(warnings, "");
        prop_assert_eq!(read_request(&body), Ok(request));
    }
}

//! Checks responses and events of every vendor against the Open Responses specification (its schema of
//! November 2026): a table of required members and their types.

use serde_json::{Value, json};

use crate::dialects::DIALECTS;
use crate::dialects::codec;
use crate::dialects::grid::{cases, encode, read_answer, read_request};
use crate::llm::{ApiError, ChatRequest, Chunk, Dialect, chunks_of};

/// Required members, with letters for the types that each may have: string, number, true or false,
/// object, array, null.
type Members = &'static [(&'static str, &'static str)];

const RESPONSE: Members = &[
    ("id", "s"),
    ("object", "s"),
    ("created_at", "n"),
    ("completed_at", "n0"),
    ("status", "s"),
    ("incomplete_details", "o0"),
    ("model", "s"),
    ("previous_response_id", "s0"),
    ("instructions", "s0"),
    ("output", "a"),
    ("error", "o0"),
    ("tools", "a"),
    ("tool_choice", "so"),
    ("truncation", "s"),
    ("parallel_tool_calls", "b"),
    ("text", "o"),
    ("top_p", "n"),
    ("presence_penalty", "n"),
    ("frequency_penalty", "n"),
    ("top_logprobs", "n"),
    ("temperature", "n"),
    ("reasoning", "o0"),
    ("usage", "o0"),
    ("max_output_tokens", "n0"),
    ("max_tool_calls", "n0"),
    ("store", "b"),
    ("background", "b"),
    ("service_tier", "s"),
    ("metadata", "o"),
    ("safety_identifier", "s0"),
    ("prompt_cache_key", "s0"),
];

const FUNCTION: Members =
    &[("name", "s"), ("description", "s0"), ("parameters", "o0"), ("strict", "b0")];

const USAGE: Members = &[
    ("input_tokens", "n"),
    ("output_tokens", "n"),
    ("total_tokens", "n"),
    ("input_tokens_details", "o"),
    ("output_tokens_details", "o"),
];

const ERROR: Members = &[("type", "s"), ("code", "s0"), ("message", "s"), ("param", "s0")];

const PLACE: Members = &[("item_id", "s"), ("output_index", "n")];
const CONTENT: Members = &[("item_id", "s"), ("output_index", "n"), ("content_index", "n")];
const SUMMARY: Members = &[("item_id", "s"), ("output_index", "n"), ("summary_index", "n")];

/// Events: their path, and their members besides the common ones.
const EVENTS: &[(&str, Members, Members)] = &[
    ("response.created", &[], &[("response", "o")]),
    ("response.in_progress", &[], &[("response", "o")]),
    ("response.completed", &[], &[("response", "o")]),
    ("response.incomplete", &[], &[("response", "o")]),
    ("response.failed", &[], &[("response", "o")]),
    ("response.output_item.added", &[("output_index", "n")], &[("item", "o")]),
    ("response.output_item.done", &[("output_index", "n")], &[("item", "o")]),
    ("response.content_part.added", CONTENT, &[("part", "o")]),
    ("response.content_part.done", CONTENT, &[("part", "o")]),
    ("response.output_text.delta", CONTENT, &[("delta", "s"), ("logprobs", "a")]),
    ("response.output_text.done", CONTENT, &[("text", "s"), ("logprobs", "a")]),
    (
        "response.output_text.annotation.added",
        CONTENT,
        &[("annotation_index", "n"), ("annotation", "o")],
    ),
    ("response.refusal.delta", CONTENT, &[("delta", "s")]),
    ("response.refusal.done", CONTENT, &[("refusal", "s")]),
    ("response.reasoning_summary_part.added", SUMMARY, &[("part", "o")]),
    ("response.reasoning_summary_part.done", SUMMARY, &[("part", "o")]),
    ("response.reasoning_summary_text.delta", SUMMARY, &[("delta", "s")]),
    ("response.reasoning_summary_text.done", SUMMARY, &[("text", "s")]),
    ("response.function_call_arguments.delta", PLACE, &[("delta", "s")]),
    ("response.function_call_arguments.done", PLACE, &[("name", "s"), ("arguments", "s")]),
    ("response.custom_tool_call_input.delta", PLACE, &[("delta", "s")]),
    ("response.custom_tool_call_input.done", PLACE, &[("input", "s")]),
    ("error", &[], &[("error", "o"), ("message", "s")]),
];

fn check(value: &Value, members: Members, what: &str) {
    for (name, types) in members {
        let found = match value.get(name) {
            None => panic!("{what}: no {name} in {value}"),
            Some(Value::Null) => '0',
            Some(Value::String(_)) => 's',
            Some(Value::Number(_)) => 'n',
            Some(Value::Bool(_)) => 'b',
            Some(Value::Object(_)) => 'o',
            Some(Value::Array(_)) => 'a',
        };
        assert!(types.contains(found), "{what}: {name} of {value}");
    }
}

fn check_part(part: &Value, what: &str) {
    match part["type"].as_str() {
        Some("output_text") => {
            check(part, &[("text", "s"), ("annotations", "a"), ("logprobs", "a")], what);
        }
        Some("refusal") => check(part, &[("refusal", "s")], what),
        Some("summary_text") => check(part, &[("text", "s")], what),
        other => panic!("{what}: a part of type {other:?}"),
    }
}

fn check_item(item: &Value, what: &str) {
    check(item, &[("id", "s")], what);
    match item["type"].as_str() {
        Some("message") => {
            check(item, &[("status", "s"), ("role", "s"), ("content", "a")], what);
            let parts = item["content"].as_array().into_iter().flatten();
            parts.for_each(|part| check_part(part, what));
        }
        Some("function_call") => {
            let members = &[("call_id", "s"), ("name", "s"), ("arguments", "s"), ("status", "s")];
            check(item, members, what);
        }
        Some("custom_tool_call") => {
            check(item, &[("call_id", "s"), ("name", "s"), ("input", "s"), ("status", "s")], what);
        }
        Some("reasoning") => {
            check(item, &[("summary", "a")], what);
            let parts = item["summary"].as_array().into_iter().flatten();
            parts.for_each(|part| check_part(part, what));
        }
        other => panic!("{what}: an item of type {other:?}"),
    }
}

fn check_response(response: &Value, what: &str) {
    check(response, RESPONSE, what);
    let is_complete = response["status"] == "completed";
    assert_eq!(response["completed_at"].is_number(), is_complete, "{what}: {response}");
    let tiers = ["auto", "default", "flex", "scale", "priority", "fast", "ultrafast"];
    assert!(tiers.iter().any(|tier| response["service_tier"] == *tier), "{what}: {response}");
    check(&response["text"], &[("format", "o")], what);
    check(&response["reasoning"], &[("effort", "s0"), ("summary", "s0")], what);
    if response["usage"].is_object() {
        check(&response["usage"], USAGE, what);
        check(&response["usage"]["input_tokens_details"], &[("cached_tokens", "n")], what);
        check(&response["usage"]["output_tokens_details"], &[("reasoning_tokens", "n")], what);
    }
    if response["error"].is_object() {
        check(&response["error"], &[("code", "s"), ("message", "s")], what);
    }
    let tools = response["tools"].as_array().into_iter().flatten();
    tools.filter(|tool| tool["type"] == "function").for_each(|it| check(it, FUNCTION, what));
    response["output"].as_array().into_iter().flatten().for_each(|item| check_item(item, what));
}

fn check_events(stream: &[u8], what: &str) {
    let text = std::str::from_utf8(stream).expect("UTF-8");
    let events = text.lines().filter_map(|line| line.strip_prefix("data: "));
    for (number, event) in events.enumerate() {
        let event: Value = serde_json::from_str(event).expect("JSON");
        assert_eq!(event["sequence_number"], number, "{what}: {event}");
        let row = EVENTS.iter().find(|(kind, ..)| event["type"] == *kind);
        let (kind, place, members) = row.unwrap_or_else(|| panic!("{what}: {event}"));
        check(&event, place, what);
        check(&event, members, what);
        if let Some(response) = event.get("response") {
            check_response(response, &format!("{what}, {kind}"));
        }
        if let Some(item) = event.get("item") {
            check_item(item, what);
        }
        if let Some(part) = event.get("part") {
            check_part(part, what);
        }
        if *kind == "error" {
            check(&event["error"], ERROR, what);
        }
    }
}

/// Requests with few and with all members that a response repeats.
fn requests() -> Vec<ChatRequest> {
    let codec = codec(Dialect::OpenaiResponses).expect("a dialect with code");
    let bodies = [
        json!({"model": "m", "input": "x"}),
        json!({"model": "m", "input": "x", "instructions": "i", "temperature": 0, "top_p": 0.5,
            "presence_penalty": 1, "tools": [{"type": "function", "name": "f"},
            {"type": "function", "name": "g", "parameters": {"type": "object"}, "strict": true}],
            "tool_choice": {"type": "function", "name": "f"}, "max_output_tokens": 20,
            "reasoning": {"effort": "low"}, "text": {"format": {"type": "json_object"}}}),
    ];
    bodies.map(|body| read_request(codec, body.to_string().as_bytes())).into()
}

#[test]
fn responses_of_every_vendor_have_required_members() {
    let client = codec(Dialect::OpenaiResponses).expect("a dialect with code");
    let mut answers = 0;
    for (dialect, provider) in DIALECTS {
        for (case, body) in cases(dialect, ".answer.json") {
            let mut answer = read_answer(provider, &body);
            answer.service_tier = Some("on_demand".to_owned());
            for request in requests() {
                let what = format!("{case} from {}", dialect.name());
                let mut out = Vec::new();
                client.write_answer(&answer, &request, 1_795_000_000, &mut out);
                let whole: Value = serde_json::from_slice(&out).expect("JSON");
                check_response(&whole, &what);
                let mut chunks = chunks_of(&answer);
                check_events(&encode(client, &request, &chunks), &what);
                // One that fails halfway.
                chunks.truncate(chunks.len() / 2);
                chunks.push(Chunk::Error(ApiError {
                    status: 502,
                    message: "it broke".to_owned(),
                    kind: String::new(),
                    code: None,
                    param: None,
                }));
                check_events(&encode(client, &request, &chunks), &what);
                answers += 1;
            }
        }
    }
    assert!(answers >= 80, "{answers}");
}

//! Custom tools, namespaces and tool search, from the clients that have them to every provider and
//! back.

use serde_json::{Value, json};

use crate::dialects::Codec;
use crate::dialects::DIALECTS;
use crate::dialects::codec;
use crate::dialects::grid::{decode, encode, read_answer, read_request, write_request};
use crate::llm::{
    Answer, ChatRequest, Choice, Content, Dialect, Part, Role, StopReason, ToolCall, chunks_of,
};

const NOW: u64 = 1_795_000_000;

fn of(dialect: Dialect) -> &'static dyn Codec {
    codec(dialect).expect("a dialect with code")
}

fn codex_request() -> ChatRequest {
    let body = json!({
        "model": "model-1",
        "max_output_tokens": 100,
        "input": [
            {"role": "user", "content": "x"},
            {"type": "custom_tool_call", "call_id": "c7", "name": "edit", "input": "s/a/b/"},
            {"type": "custom_tool_call_output", "call_id": "c7", "output": "1 line"},
            {"type": "function_call", "call_id": "c8", "namespace": "mcp__db", "name": "query",
             "arguments": "{\"q\":\"x\"}"},
            {"type": "function_call_output", "call_id": "c8", "output": "7"},
            {"type": "tool_search_call", "call_id": "c9", "execution": "client",
             "arguments": {"query": "agents"}},
            {"type": "tool_search_output", "call_id": "c9", "execution": "client", "tools": [
                {"type": "namespace", "name": "agents", "description": "", "tools": [
                    {"type": "function", "name": "spawn", "parameters": {"type": "object"}}]}]},
            {"role": "user", "content": "y"}
        ],
        "tools": [
            {"type": "custom", "name": "edit", "description": "edits",
             "format": {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"}},
            {"type": "namespace", "name": "mcp__db", "tools": [
                {"type": "function", "name": "query", "parameters":
                    {"type": "object", "properties": {"q": {"type": "string"}}}}]},
            {"type": "tool_search", "execution": "client", "description": "finds tools",
             "parameters": {"type": "object", "properties": {"query": {"type": "string"}}}}
        ]
    });
    read_request(of(Dialect::OpenaiResponses), body.to_string().as_bytes())
}

/// The response of a model that has functions only.
fn answer() -> Answer {
    let call = |id: &str, name: &str, arguments: &str| {
        Part::new(Content::ToolCall(ToolCall {
            id: id.to_owned(),
            name: name.to_owned(),
            arguments: arguments.to_owned(),
            signature: None,
        }))
    };
    let parts = vec![
        call("c1", "edit", r#"{"input":"s/b/c/\n\"ü\""}"#),
        call("c2", "mcp__db__query", r#"{"q":"y"}"#),
        call("c3", "tool_search", r#"{"query":"z"}"#),
        call("c4", "agents__spawn", "{}"),
    ];
    let choice = Choice { parts, stop: StopReason::ToolCalls, logprobs: Vec::new() };
    Answer { id: "a".to_owned(), model: "m".to_owned(), choices: vec![choice], ..Answer::default() }
}

#[test]
fn every_provider_gets_functions_and_call_history() {
    let request = codex_request();
    for (dialect, codec) in DIALECTS {
        if matches!(dialect, Dialect::OpenaiResponses | Dialect::OpenaiChat) {
            continue;
        }
        let name = dialect.name();
        let body = write_request(codec, &request);
        assert!(body.get("warnings").is_none(), "{name}: {body}");
        let again = read_request(codec, body["body"].to_string().as_bytes());
        let names: Vec<&str> = again.functions().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["edit", "mcp__db__query", "tool_search", "agents__spawn"], "{name}");
        let edit = again.functions().next().expect("the first");
        let description = edit.description.as_deref().unwrap_or_default();
        assert!(description.contains("edits") && description.contains("start: /.+/"), "{name}");
        let parameters = edit.parameters.as_ref().map(|it| it.text().to_owned());
        assert!(parameters.is_some_and(|it| it.contains(r#""input":{"#)), "{name}");
        let parts = || again.turns.iter().flat_map(|turn| &turn.parts);
        let calls: Vec<(&str, Value)> = parts()
            .filter_map(|part| match &part.content {
                Content::ToolCall(call) => {
                    Some((call.name.as_str(), serde_json::from_str(&call.arguments).expect("JSON")))
                }
                _ => None,
            })
            .collect();
        let expected = [
            ("edit", json!({"input": "s/a/b/"})),
            ("mcp__db__query", json!({"q": "x"})),
            ("tool_search", json!({"query": "agents"})),
        ];
        assert_eq!(calls, expected, "{name}");
        let results = parts().filter(|part| matches!(part.content, Content::ToolResult(_)));
        assert_eq!(results.count(), 3, "{name}");
    }
}

#[test]
fn responses_client_gets_native_call_kinds() {
    let request = codex_request();
    let client = of(Dialect::OpenaiResponses);
    for (dialect, provider) in DIALECTS {
        let name = dialect.name();
        let mut body = Vec::new();
        provider.write_answer(&answer(), &ChatRequest::default(), NOW, &mut body);
        let answer = read_answer(provider, &body);
        let mut whole = Vec::new();
        client.write_answer(&answer, &request, NOW, &mut whole);
        let whole: Value = serde_json::from_slice(&whole).expect("JSON");
        let [edit, query, search, spawn] = whole["output"].as_array().expect("items").as_slice()
        else {
            panic!("{name}: {whole}")
        };
        assert_eq!(edit["type"], "custom_tool_call", "{name}");
        assert_eq!((&edit["name"], &edit["input"]), (&json!("edit"), &json!("s/b/c/\n\"ü\"")));
        assert_eq!(query["type"], "function_call");
        assert_eq!((&query["namespace"], &query["name"]), (&json!("mcp__db"), &json!("query")));
        assert_eq!(
            (&search["type"], &search["arguments"]),
            (&json!("tool_search_call"), &json!({"query": "z"}))
        );
        assert_eq!((&spawn["namespace"], &spawn["name"]), (&json!("agents"), &json!("spawn")));
        // A provider's stream in small fragments.
        let streamed = ChatRequest { stream: true, include_usage: true, ..ChatRequest::default() };
        let stream = encode(provider, &streamed, &chunks_of(&answer));
        let written = encode(client, &request, &decode(provider, &stream, 5));
        let events: Vec<Value> = String::from_utf8(written)
            .expect("UTF-8")
            .lines()
            .filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok())
            .collect();
        let of_kind = |kind: &str| {
            let kind = format!("response.{kind}");
            events.iter().filter(move |event| event["type"] == kind.as_str()).collect::<Vec<_>>()
        };
        let deltas: String = of_kind("custom_tool_call_input.delta")
            .iter()
            .filter_map(|event| event["delta"].as_str())
            .collect();
        assert_eq!(deltas, "s/b/c/\n\"ü\"", "{name}");
        let done = of_kind("custom_tool_call_input.done");
        assert_eq!((done.len(), &done[0]["input"]), (1, &edit["input"]), "{name}");
        assert_eq!(of_kind("function_call_arguments.done").len(), 2, "{name}");
        assert_eq!(of_kind("completed")[0]["response"]["output"], whole["output"], "{name}");
        for (added, item) in of_kind("output_item.added").iter().zip([edit, query, search, spawn]) {
            assert_eq!(added["item"]["type"], item["type"], "{name}");
            assert_eq!(added["item"]["namespace"], item["namespace"], "{name}");
        }
    }
}

#[test]
fn response_echoes_original_tools() {
    let mut body = Vec::new();
    of(Dialect::OpenaiResponses).write_answer(&answer(), &codex_request(), NOW, &mut body);
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    let kinds: Vec<&str> = body["tools"]
        .as_array()
        .expect("tools")
        .iter()
        .filter_map(|tool| tool["type"].as_str())
        .collect();
    assert_eq!(kinds, ["custom", "namespace", "tool_search", "namespace"]);
    assert_eq!(body["tools"][0]["description"], "edits");
    assert_eq!(body["tools"][0]["format"]["definition"], "start: /.+/");
    assert_eq!(body["tools"][1]["tools"][0]["name"], "query");
}

#[test]
fn forced_tool_keeps_its_own_name() {
    for (choice, expected) in [
        (json!({"type": "custom", "name": "edit"}), "edit"),
        (json!({"type": "function", "name": "query"}), "mcp__db__query"),
        (json!({"type": "function", "namespace": "mcp__db", "name": "query"}), "mcp__db__query"),
    ] {
        let body = json!({
            "model": "model-1", "input": "x", "tool_choice": choice,
            "tools": [
                {"type": "custom", "name": "edit"},
                {"type": "namespace", "name": "mcp__db", "tools": [
                    {"type": "function", "name": "query"}]}]
        });
        let request = read_request(of(Dialect::OpenaiResponses), body.to_string().as_bytes());
        let sent = write_request(of(Dialect::AnthropicMessages), &request);
        assert_eq!(sent["body"]["tool_choice"]["name"], expected);
        let mut written = Vec::new();
        of(Dialect::OpenaiResponses).write_answer(&answer(), &request, NOW, &mut written);
        let written: Value = serde_json::from_slice(&written).expect("JSON");
        assert_eq!(written["tool_choice"]["type"], choice["type"]);
        assert_eq!(written["tool_choice"]["name"], choice["name"]);
    }
}

fn chat_request() -> ChatRequest {
    let body = json!({
        "model": "model-1",
        "messages": [
            {"role": "user", "content": "x"},
            {"role": "assistant", "tool_calls": [
                {"id": "c7", "type": "custom", "custom": {"name": "edit", "input": "s/a/b/"}}]},
            {"role": "tool", "tool_call_id": "c7", "content": "1 line"}
        ],
        "tools": [{"type": "custom", "custom": {"name": "edit", "format": {
            "type": "grammar", "grammar": {"syntax": "regex", "definition": "s/.*"}}}}],
        "tool_choice": {"type": "custom", "custom": {"name": "edit"}}
    });
    read_request(of(Dialect::OpenaiChat), body.to_string().as_bytes())
}

#[test]
fn custom_chat_tools_round_trip_through_every_provider() {
    let request = chat_request();
    let client = of(Dialect::OpenaiChat);
    let mut answer = answer();
    answer.choices[0].parts.truncate(1);
    for (dialect, provider) in DIALECTS {
        let name = dialect.name();
        let sent = write_request(provider, &request);
        let again = read_request(provider, sent["body"].to_string().as_bytes());
        let calls = again.turns.iter().filter(|turn| turn.role == Role::Assistant);
        let parts: Vec<Part> = calls.flat_map(|turn| turn.parts.clone()).collect();
        let [Part { content: Content::ToolCall(call), .. }] = parts.as_slice() else {
            panic!("{name}: {sent}")
        };
        assert_eq!(
            (call.name.as_str(), call.arguments.as_str()),
            ("edit", r#"{"input":"s/a/b/"}"#)
        );
        let mut written = Vec::new();
        client.write_answer(&answer, &request, NOW, &mut written);
        let written: Value = serde_json::from_slice(&written).expect("JSON");
        let expected = json!([{"id": "c1", "type": "custom",
            "custom": {"name": "edit", "input": "s/b/c/\n\"ü\""}}]);
        assert_eq!(written["choices"][0]["message"]["tool_calls"], expected, "{name}");
        let streamed = ChatRequest { stream: true, include_usage: true, ..ChatRequest::default() };
        let stream = encode(provider, &streamed, &chunks_of(&answer));
        let written = encode(client, &request, &decode(provider, &stream, 5));
        let mut input = String::new();
        for line in String::from_utf8(written).expect("UTF-8").lines() {
            let Some(chunk) = line.strip_prefix("data: ") else { continue };
            let Ok(chunk) = serde_json::from_str::<Value>(chunk) else { continue };
            let call = &chunk["choices"][0]["delta"]["tool_calls"][0];
            assert!(call.get("function").is_none(), "{name}: {chunk}");
            input.push_str(call["custom"]["input"].as_str().unwrap_or_default());
        }
        assert_eq!(input, "s/b/c/\n\"ü\"", "{name}");
    }
}

#[test]
fn compatible_servers_get_functions() {
    for (dialect, request) in
        [(Dialect::OpenaiChat, codex_request()), (Dialect::OpenaiResponses, chat_request())]
    {
        let codec = of(dialect);
        for (is_original, kind) in [(true, "custom"), (false, "function")] {
            let target = crate::dialects::TargetModel::new("m", is_original);
            let (mut out, mut warnings) = (Vec::new(), crate::dialects::Warnings::default());
            codec.write_request(&request, &target, &mut warnings, &mut out).expect("sayable");
            let body: Value = serde_json::from_slice(&out).expect("JSON");
            assert_eq!(body["tools"][0]["type"], kind, "{} {body}", dialect.name());
        }
    }
}

#[test]
fn dropped_vendor_tools_are_named_in_warnings() {
    let body = json!({
        "model": "model-1", "input": "x",
        "tools": [{"type": "local_shell"}, {"type": "tool_search"}, {"type": "web_search",
            "external_web_access": false}, {"type": "function", "name": "f"}]
    });
    let request = read_request(of(Dialect::OpenaiResponses), body.to_string().as_bytes());
    for (dialect, codec) in DIALECTS {
        if dialect == Dialect::OpenaiResponses {
            continue;
        }
        let sent = write_request(codec, &request);
        let warnings = sent["warnings"].to_string();
        for kind in ["local_shell", "tool_search", "web_search"] {
            assert!(warnings.contains(&format!("the tool {kind}:")), "{warnings}");
        }
    }
}

#[test]
fn allowed_tools_of_chat_completions_are_read() {
    let body = json!({
        "model": "model-1", "messages": [{"role": "user", "content": "x"}],
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [
            {"type": "function", "function": {"name": "f"}}]}}
    });
    let request = read_request(of(Dialect::OpenaiChat), body.to_string().as_bytes());
    let own = write_request(of(Dialect::OpenaiChat), &request);
    assert_eq!(own["body"]["tool_choice"], body["tool_choice"]);
    let sent = write_request(of(Dialect::AnthropicMessages), &request);
    assert_eq!(sent["body"]["tool_choice"]["type"], "any");
}

//! Calls of tools on their way between dialects: arguments that are empty, calls that interleave, and
//! schemas in each vendor's subset.

use serde_json::{Value, json};

use crate::harness::{Gateway, Provider, Response, STREAM_HEAD, event, json_answer};

fn section(provider: &Provider, name: &str, dialect: &str, version: &str) -> String {
    format!(
        "[providers.{name}]\ndialect = \"{dialect}\"\nbase_url = \"http://{}{version}\"\n",
        provider.address
    )
}

fn streaming(events: &[String]) -> Provider {
    let events: String = events.iter().map(|data| event(data)).collect();
    Provider::always(format!("{STREAM_HEAD}{events}0\r\n\r\n"))
}

/// The data of each event.
fn events(response: &Response) -> Vec<Value> {
    let text = response.text();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.filter_map(|data| serde_json::from_str(data).ok()).collect()
}

/// The arguments of the first call of a chat stream, its pieces joined.
fn chat_arguments(response: &Response) -> String {
    let calls = events(response)
        .into_iter()
        .map(|event| event["choices"][0]["delta"]["tool_calls"][0]["function"].clone());
    calls.filter_map(|it| it["arguments"].as_str().map(str::to_owned)).collect()
}

#[test]
fn tool_calls_without_arguments_are_empty_objects() {
    let anthropic = [
        json!({"type": "message_start", "message": {"id": "m", "type": "message", "role": "assistant",
            "model": "m", "content": [], "usage": {"input_tokens": 1, "output_tokens": 1}}}),
        json!({"type": "content_block_start", "index": 0, "content_block":
            {"type": "tool_use", "id": "t", "name": "f", "input": {}}}),
        json!({"type": "content_block_delta", "index": 0, "delta":
            {"type": "input_json_delta", "partial_json": ""}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"},
            "usage": {"output_tokens": 1}}),
        json!({"type": "message_stop"}),
    ];
    let gemini = [json!({"candidates": [{"content": {"role": "model", "parts":
        [{"functionCall": {"name": "f"}}]}, "finishReason": "STOP"}]})];
    let responses = [
        json!({"type": "response.created", "response": {"id": "r", "model": "m", "output": []}}),
        json!({"type": "response.output_item.added", "output_index": 0, "item":
            {"type": "function_call", "id": "fc", "call_id": "t", "name": "f", "arguments": ""}}),
        json!({"type": "response.function_call_arguments.done", "output_index": 0, "item_id": "fc",
            "arguments": ""}),
        json!({"type": "response.output_item.done", "output_index": 0, "item":
            {"type": "function_call", "id": "fc", "call_id": "t", "name": "f", "arguments": ""}}),
        json!({"type": "response.completed", "response": {"id": "r", "model": "m", "status": "completed",
            "output": [{"type": "function_call", "call_id": "t", "name": "f", "arguments": ""}]}}),
    ];
    let cohere = [
        json!({"id": "i", "type": "message-start", "delta": {"message": {"role": "assistant"}}}),
        json!({"type": "tool-call-start", "index": 0, "delta": {"message": {"tool_calls":
            {"id": "t", "type": "function", "function": {"name": "f", "arguments": ""}}}}}),
        json!({"type": "tool-call-end", "index": 0}),
        json!({"type": "message-end", "delta": {"finish_reason": "TOOL_CALL"}}),
    ];
    for (dialect, version, stream) in [
        ("anthropic-messages", "/v1", &anthropic[..]),
        ("gemini", "/v1beta", &gemini),
        ("openai-responses", "/v1", &responses),
        ("cohere-chat", "", &cohere),
    ] {
        let stream: Vec<String> = stream.iter().map(Value::to_string).collect();
        let provider = streaming(&stream);
        let gateway = Gateway::start(&section(&provider, "p", dialect, version));
        let body = json!({"model": "m", "stream": true, "messages":
            [{"role": "user", "content": "x"}], "tools":
            [{"type": "function", "function": {"name": "f"}}]});
        let response = gateway.post("/v1/chat/completions", &body.to_string());
        assert_eq!(response.status, 200, "{dialect}: {}", response.text());
        assert_eq!(chat_arguments(&response), "{}", "{dialect}: {}", response.text());
    }
    let whole = json!({"id": "m", "type": "message", "role": "assistant", "model": "m", "content":
        [{"type": "tool_use", "id": "t", "name": "f", "input": {}}], "stop_reason": "tool_use",
        "usage": {"input_tokens": 1, "output_tokens": 1}});
    let provider = Provider::always(json_answer("200 OK", "", &whole.to_string()));
    let gateway = Gateway::start(&section(&provider, "p", "anthropic-messages", "/v1"));
    let body = r#"{"model":"m","messages":[{"role":"user","content":"x"}]}"#;
    let answer = gateway.post("/v1/chat/completions", body).json();
    let call = &answer["choices"][0]["message"]["tool_calls"][0];
    assert_eq!(call["function"]["arguments"], "{}");
}

/// A chat stream whose two calls come in turns.
fn interleaved() -> Vec<String> {
    let chunk = |calls: Value, finish: Value| {
        json!({"id": "c", "object": "chat.completion.chunk", "model": "m", "choices":
            [{"index": 0, "delta": {"tool_calls": calls}, "finish_reason": finish}]})
        .to_string()
    };
    let begun = |index: u64, id: &str| {
        json!({"index": index, "id": id, "type": "function",
            "function": {"name": "f", "arguments": ""}})
    };
    let piece = |index: u64, text: &str| json!({"index": index, "function": {"arguments": text}});
    let last = json!({"id": "c", "choices": [{"index": 0, "delta": {},
        "finish_reason": "tool_calls"}]});
    vec![
        chunk(json!([begun(0, "a"), begun(1, "b")]), Value::Null),
        chunk(json!([piece(0, "{\"x\":")]), Value::Null),
        chunk(json!([piece(1, "{\"y\":")]), Value::Null),
        chunk(json!([piece(0, "1}"), piece(1, "2}")]), Value::Null),
        last.to_string(),
        "[DONE]".to_owned(),
    ]
}

#[test]
fn interleaved_tool_calls_become_ordered_blocks() {
    let provider = streaming(&interleaved());
    let gateway = Gateway::start(&provider.section("p", ""));
    let body =
        r#"{"model":"m","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"x"}]}"#;
    let response = gateway.post("/v1/messages", body);
    let (mut open, mut blocks) = (None, Vec::new());
    for event in events(&response) {
        let index = event["index"].as_u64();
        match event["type"].as_str().expect("a type") {
            "content_block_start" => {
                assert_eq!(open, None, "{}", response.text());
                open = index;
                blocks.push((event["content_block"]["id"].clone(), String::new()));
            }
            "content_block_delta" => {
                assert_eq!(open, index, "{}", response.text());
                let piece = event["delta"]["partial_json"].as_str().expect("arguments");
                blocks.last_mut().expect("a block").1.push_str(piece);
            }
            "content_block_stop" => assert_eq!(open.take(), index),
            _ => {}
        }
    }
    let expected = [(json!("a"), r#"{"x":1}"#.to_owned()), (json!("b"), r#"{"y":2}"#.to_owned())];
    assert_eq!(blocks, expected);

    let body = r#"{"model":"m","stream":true,"input":"x"}"#;
    let response = gateway.post("/v1/responses", body);
    let items: Vec<String> = events(&response)
        .iter()
        .filter(|event| event.get("output_index").is_some())
        .map(|event| {
            let kind = event["type"].as_str().unwrap_or_default();
            format!("{} {}", kind.rsplit('.').next().unwrap_or_default(), event["output_index"])
        })
        .collect();
    let expected = [
        "added 0", "delta 0", "delta 0", "done 0", "done 0", "added 1", "delta 1", "delta 1",
        "done 1", "done 1",
    ];
    assert_eq!(items, expected, "{}", response.text());
}

/// The schema that a provider was sent, where it stands in its body.
fn sent_schema(provider: &Provider, pointer: &str) -> Value {
    let sent = provider.last_request();
    let body = sent.split_once("\r\n\r\n").expect("a head").1;
    let body: Value = serde_json::from_str(body).expect("JSON");
    body.pointer(pointer).cloned().unwrap_or_else(|| panic!("{pointer}: {body}"))
}

#[test]
fn claude_schemas_fit_its_subset() {
    let answer = json!({"id": "m", "type": "message", "role": "assistant", "model": "m",
        "content": [{"type": "text", "text": "{}"}], "stop_reason": "end_turn",
        "usage": {"input_tokens": 1, "output_tokens": 1}});
    let provider = Provider::always(json_answer("200 OK", "", &answer.to_string()));
    let gateway = Gateway::start(&section(&provider, "anthropic", "anthropic-messages", "/v1"));
    let schema = json!({"type": "object", "properties": {
        "score": {"type": "integer", "minimum": 1, "maximum": 10},
        "notes": {"type": "array", "items": {"type": "string", "maxLength": 80}, "minItems": 2}},
        "required": ["score"]});
    let fitting = json!({"type": "object", "properties": {
        "score": {"type": "integer", "description": "{minimum: 1, maximum: 10}"},
        "notes": {"type": "array", "items": {"type": "string", "description": "{maxLength: 80}"},
            "description": "{minItems: 2}"}},
        "required": ["score"], "additionalProperties": false});
    let chat = json!({"model": "anthropic/claude-opus-4-8", "messages":
        [{"role": "user", "content": "x"}], "response_format": {"type": "json_schema",
        "json_schema": {"name": "r", "schema": schema}}});
    let responses = json!({"model": "anthropic/claude-opus-4-8", "input": "x", "text":
        {"format": {"type": "json_schema", "name": "r", "schema": schema}}});
    let gemini = json!({"contents": [{"role": "user", "parts": [{"text": "x"}]}],
        "generationConfig": {"responseMimeType": "application/json", "responseJsonSchema": schema}});
    for (path, body) in [
        ("/v1/chat/completions", chat),
        ("/v1/responses", responses),
        ("/v1beta/anthropic/claude-opus-4-8:generateContent", gemini),
    ] {
        let response = gateway.post(path, &body.to_string());
        assert_eq!(response.status, 200, "{path}: {}", response.text());
        assert_eq!(sent_schema(&provider, "/output_config/format/schema"), fitting, "{path}");
        let warnings = response.field("x-ringgate-warnings").unwrap_or_default();
        for keyword in ["minimum", "maximum", "maxLength", "minItems"] {
            assert!(warnings.contains(&format!("dropped {keyword} in ")), "{path}: {warnings}");
        }
    }
    let tools = |parameters: &Value, strict: bool| {
        json!({"model": "anthropic/claude-opus-4-8", "messages": [{"role": "user", "content": "x"}],
            "tools": [{"type": "function", "function":
                {"name": "f", "parameters": parameters, "strict": strict}}]})
    };
    gateway.post("/v1/chat/completions", &tools(&schema, true).to_string());
    assert_eq!(sent_schema(&provider, "/tools/0/input_schema"), fitting);
    // A tool that is not strict may have bounds.
    gateway.post("/v1/chat/completions", &tools(&schema, false).to_string());
    assert_eq!(sent_schema(&provider, "/tools/0/input_schema"), schema);
    let untyped = json!({"properties": {"a": {"type": "string"}}});
    gateway.post("/v1/chat/completions", &tools(&untyped, false).to_string());
    assert_eq!(sent_schema(&provider, "/tools/0/input_schema/type"), "object");
}

#[test]
fn optional_members_are_not_strict_for_openai() {
    let answer = r#"{"id":"c","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"{}"},"finish_reason":"stop"}]}"#;
    let provider = Provider::always(json_answer("200 OK", "", answer));
    let gateway = Gateway::start(&provider.section("p", ""));
    let request = |required: Value| {
        json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}],
            "output_config": {"format": {"type": "json_schema", "schema":
                {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
                 "required": required, "additionalProperties": false}}},
            "tools": [{"name": "f", "strict": true, "input_schema": {"type": "object"}}]})
    };
    let response = gateway.post("/v1/messages", &request(json!(["a"])).to_string());
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(sent_schema(&provider, "/response_format/json_schema/strict"), false);
    assert_eq!(sent_schema(&provider, "/tools/0/function/strict"), false);
    let parameters = json!({"type": "object", "properties": {}});
    assert_eq!(sent_schema(&provider, "/tools/0/function/parameters"), parameters);
    let warnings = response.field("x-ringgate-warnings").unwrap_or_default();
    assert!(warnings.contains("dropped strict of response_format"), "{warnings}");
    assert!(warnings.contains("optional members"), "{warnings}");
    gateway.post("/v1/messages", &request(json!(["a", "b"])).to_string());
    assert_eq!(sent_schema(&provider, "/response_format/json_schema/strict"), true);
}

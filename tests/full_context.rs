//! Context overflow: each client gets the error that its vendor's agents recognize, however the
//! provider reports it.

use serde_json::{Value, json};

use crate::harness::{Gateway, Provider, Response, STREAM_HEAD, delta, event, json_answer, post};

const TOO_LONG: &str =
    "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens.";

/// As servers of one's own report it.
fn vllm() -> String {
    json!({ "object": "error", "message": TOO_LONG, "type": "BadRequestError", "code": 400 })
        .to_string()
}

/// The clients: path and body.
const CLIENTS: [(&str, &str); 4] = [
    ("/v1/chat/completions", r#"{"model":"p/m","messages":[{"role":"user","content":"x"}]}"#),
    ("/v1/responses", r#"{"model":"p/m","input":"x"}"#),
    (
        "/v1/messages",
        r#"{"model":"p/m","max_tokens":9,"messages":[{"role":"user","content":"x"}]}"#,
    ),
    ("/v1beta/models/p%2Fm:generateContent", r#"{"contents":[{"parts":[{"text":"x"}]}]}"#),
];

fn gateway(dialect: &str, provider: &Provider) -> Gateway {
    let address = provider.address;
    let key = "api_key = \"test-credential\"";
    Gateway::start(&format!(
        "[providers.p]\n{dialect}\nbase_url = \"http://{address}/v1\"\n{key}\n"
    ))
}

/// The client reads of a full context as its vendor's agents expect it.
fn is_full(path: &str, response: &Response, what: &str) {
    let what = format!("{what} at {path}: {}", response.text());
    assert_eq!(response.status, 400, "{what}");
    let error = &response.json()["error"];
    match path {
        "/v1/messages" => {
            assert_eq!(error["type"], "invalid_request_error", "{what}");
            let message = error["message"].as_str().expect("a text");
            assert_eq!(message, "prompt is too long: 5000 tokens > 4096 maximum", "{what}");
        }
        "/v1/chat/completions" | "/v1/responses" => {
            assert_eq!(error["code"], "context_length_exceeded", "{what}");
            assert_eq!(error["message"], TOO_LONG, "{what}");
        }
        _ => {
            assert_eq!(error["status"], "INVALID_ARGUMENT", "{what}");
            let expected =
                "The input token count (5000) exceeds the maximum number of tokens allowed (4096).";
            assert_eq!(error["message"], expected, "{what}");
        }
    }
}

#[test]
fn context_overflow_error_matches_client_dialect() {
    let body = vllm();
    for status in ["400 Bad Request", "413 Too Large", "422 No", "500 No", "200 OK"] {
        let provider = Provider::always(json_answer(status, "", &body));
        let gateway = gateway("dialect = \"openai-chat\"", &provider);
        for (path, request) in CLIENTS {
            is_full(path, &gateway.send(&post(path, "", request)), status);
        }
    }
}

#[test]
fn context_overflow_at_stream_start_is_the_same_error() {
    let first = [STREAM_HEAD, &event(&vllm()), "0\r\n\r\n"].concat();
    let provider = Provider::always(first);
    let gateway = gateway("dialect = \"openai-chat\"", &provider);
    for (path, request) in CLIENTS {
        let path = path.replace(":generateContent", ":streamGenerateContent?alt=sse");
        let request = request.replacen('{', r#"{"stream":true,"#, 1);
        let request = if path.contains("Content") {
            request.replace(r#""stream":true,"#, "")
        } else {
            request
        };
        let response = gateway.send(&post(&path, "", &request));
        is_full(path.split(':').next().expect("a path"), &response, "stream");
    }
}

#[test]
fn context_overflow_in_a_stream_ends_it() {
    let error = json!({ "error": { "message": TOO_LONG, "type": "BadRequestError", "code": 400 } });
    let error = event(&error.to_string());
    let begun = [STREAM_HEAD, &event(&delta("Hi")), &error, "0\r\n\r\n"].concat();
    let provider = Provider::always(begun);
    let gateway = gateway("dialect = \"openai-chat\"", &provider);
    expect_streams_end(&gateway, "");
}

/// Streams to clients of three dialects end with the full context in the words of each.
fn expect_streams_end(gateway: &Gateway, what: &str) {
    for (path, request, expected) in [
        (CLIENTS[0].0, CLIENTS[0].1, r#""code":"context_length_exceeded""#),
        (CLIENTS[1].0, CLIENTS[1].1, r#""code":"context_length_exceeded""#),
        (CLIENTS[2].0, CLIENTS[2].1, "prompt is too long: 5000 tokens > 4096 maximum"),
    ] {
        let request = request.replacen('{', r#"{"stream":true,"#, 1);
        let text = gateway.send(&post(path, "", &request)).text();
        assert!(text.contains("Hi") && text.contains(expected), "{path} {what}: {text}");
        let ends = ["[DONE]", "message_stop", "response.completed"];
        assert!(!ends.iter().any(|it| text.contains(it)), "{path} {what}: {text}");
    }
}

/// One event, with a name where it has one.
fn named_event(name: &str, data: &str) -> String {
    let name = if name.is_empty() { String::new() } else { format!("event: {name}\n") };
    let event = format!("{name}data: {data}\n\n");
    format!("{:x}\r\n{event}\r\n", event.len())
}

#[test]
fn context_overflow_ends_a_chat_stream() {
    let plain = json!({ "message": TOO_LONG, "code": 400 }).to_string();
    let in_choice = json!({ "id": "c", "choices": [{ "index": 0, "delta": {},
        "finish_reason": "error", "error": { "message": TOO_LONG, "code": 400 } }] });
    let in_words = json!({ "error": TOO_LONG });
    let numbered = json!({ "error": { "message": TOO_LONG, "code": 400 }, "status": 400 });
    for (name, data) in [
        ("", vllm()),
        ("", in_words.to_string()),
        ("", numbered.to_string()),
        ("", in_choice.to_string()),
        ("error", plain),
        ("error", vllm()),
    ] {
        let error = named_event(name, &data);
        let begun = [STREAM_HEAD, &event(&delta("Hi")), &error, "0\r\n\r\n"].concat();
        let provider = Provider::always(begun);
        let gateway = gateway("dialect = \"openai-chat\"", &provider);
        expect_streams_end(&gateway, &data);
    }
}

#[test]
fn context_overflow_fails_a_response_stream() {
    let response = |status: &str, error: Value| {
        json!({ "id": "resp_1", "object": "response", "created_at": 1, "model": "m",
            "status": status, "error": error, "output": [], "metadata": { "kept": "yes" } })
    };
    let why = || json!({ "code": "invalid_prompt", "message": TOO_LONG });
    let begin = [
        json!({ "type": "response.created", "sequence_number": 0, "response": response("in_progress", Value::Null) }),
        json!({ "type": "response.output_text.delta", "sequence_number": 1, "item_id": "i",
            "output_index": 0, "content_index": 0, "delta": "Hi", "logprobs": [] }),
    ];
    let failed = json!({ "type": "response.failed", "sequence_number": 2, "response": response("failed", why()) });
    let flat = json!({ "type": "error", "sequence_number": 2, "code": "400", "message": TOO_LONG, "param": null });
    let nested = json!({ "type": "error", "error": { "type": "BadRequestError", "message": TOO_LONG, "code": 400 } });
    for last in [failed, flat, nested] {
        let all = begin.iter().chain([&last]);
        let name = |it: &Value| it["type"].as_str().expect("a kind").to_owned();
        let events: String = all.map(|it| named_event(&name(it), &it.to_string())).collect();
        let provider = Provider::always([STREAM_HEAD, &events, "0\r\n\r\n"].concat());
        let gateway = gateway("dialect = \"openai-responses\"", &provider);
        let request = CLIENTS[1].1.replacen('{', r#"{"stream":true,"#, 1);
        let text = gateway.send(&post(CLIENTS[1].0, "", &request)).text();
        let events: Vec<Value> = text
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .map(|data| serde_json::from_str(data).expect("JSON"))
            .collect();
        let [created, delta, error] = events.as_slice() else { panic!("{text}") };
        assert_eq!((created, delta), (&begin[0], &begin[1]));
        assert_eq!(error["type"], last["type"], "{text}");
        assert_eq!(error["sequence_number"], 2, "{text}");
        let inner = error.get("response").map_or(error, |response| &response["error"]);
        assert_eq!(inner["code"], "context_length_exceeded", "{text}");
        assert_eq!(inner["message"], TOO_LONG, "{text}");
        if let Some(response) = error.get("response") {
            assert_eq!(response["metadata"]["kept"], "yes", "{text}");
            assert_eq!(response["status"], "failed", "{text}");
        }
        // A client of Anthropic's reads its own words.
        let request = CLIENTS[2].1.replacen('{', r#"{"stream":true,"#, 1);
        let text = gateway.send(&post(CLIENTS[2].0, "", &request)).text();
        let expected = "prompt is too long: 5000 tokens > 4096 maximum";
        assert!(text.contains(expected) && !text.contains("message_stop"), "{text}");
        // The vendor's own words stay.
        let known = last.to_string().replace("invalid_prompt", "context_length_exceeded");
        if known.contains("context_length_exceeded") {
            let all = begin.iter().map(Value::to_string).chain([known]);
            let names = begin.iter().chain([&last]).map(name);
            let data: Vec<String> = all.collect();
            let events: String =
                names.zip(&data).map(|(name, it)| named_event(&name, it)).collect();
            let provider = Provider::always([STREAM_HEAD, &events, "0\r\n\r\n"].concat());
            let gateway = self::gateway("dialect = \"openai-responses\"", &provider);
            let request = CLIENTS[1].1.replacen('{', r#"{"stream":true,"#, 1);
            let text = gateway.send(&post(CLIENTS[1].0, "", &request)).text();
            assert!(data.iter().all(|it| text.contains(it)), "{text}");
        }
    }
}

#[test]
fn context_overflow_ends_a_messages_stream() {
    let start = r#"{"type":"message_start","message":{"id":"m","type":"message","role":"assistant","model":"m","content":[],"usage":{"input_tokens":1,"output_tokens":0}}}"#;
    let block =
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#;
    let words =
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}}"#;
    let error =
        json!({ "type": "error", "error": { "type": "BadRequestError", "message": TOO_LONG } })
            .to_string();
    let events: String = [
        ("message_start", start),
        ("content_block_start", block),
        ("content_block_delta", words),
        ("error", &error),
    ]
    .into_iter()
    .map(|(name, data)| named_event(name, data))
    .collect();
    let provider = Provider::always([STREAM_HEAD, &events, "0\r\n\r\n"].concat());
    let gateway = gateway("dialect = \"anthropic-messages\"", &provider);
    let request = CLIENTS[2].1.replacen('{', r#"{"stream":true,"#, 1);
    let text = gateway.send(&post(CLIENTS[2].0, "", &request)).text();
    assert!(text.contains("prompt is too long: 5000 tokens > 4096 maximum"), "{text}");
    let request = CLIENTS[0].1.replacen('{', r#"{"stream":true,"#, 1);
    let text = gateway.send(&post(CLIENTS[0].0, "", &request)).text();
    assert!(text.contains(r#""code":"context_length_exceeded""#), "{text}");
}

#[test]
fn vendor_context_overflow_is_forwarded_unchanged() {
    let body = vllm();
    let provider = Provider::always(json_answer("413 Too Large", "", &body));
    let (path, request) = CLIENTS[0];
    let original = gateway("preset = \"openai\"", &provider);
    let response = original.send(&post(path, "", request));
    assert_eq!((response.status, response.text()), (413, body));
}

#[test]
fn other_errors_are_forwarded_unchanged() {
    let unknown =
        json!({ "error": { "message": "no such tool", "code": 400, "metadata": { "x": 1 } } });
    let known =
        json!({ "error": { "message": TOO_LONG, "code": "context_length_exceeded", "x": 1 } });
    let forwarded = |body: &Value| {
        let provider = Provider::always(json_answer("400 No", "", &body.to_string()));
        let gateway = gateway("dialect = \"openai-chat\"", &provider);
        let response = gateway.send(&post(CLIENTS[0].0, "", CLIENTS[0].1));
        assert_eq!((response.status, response.text()), (400, body.to_string()));
    };
    forwarded(&unknown);
    forwarded(&known);
}

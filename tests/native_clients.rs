//! Clients of Amazon Bedrock's Converse and of Cohere's chat, on any vendor.

use loadtest::mock::{MockOptions, RunningMock, start};
use ringgate::dialects::{Cutter, client_codec, provider_codec, write_amazon_event};
use ringgate::llm::{Answer, ChunkAssembler, Content, Dialect, Scanner, StopReason};
use serde_json::{Value, json};

use crate::harness::{Gateway, Provider, Response, STREAM_HEAD, event, json_answer, post};

/// Providers by name, which is what each speaks, and where the mock plays it.
const PROVIDERS: [(&str, &str); 6] = [
    ("openai-chat", "/compatible/v1"),
    ("openai-responses", "/openai/v1"),
    ("anthropic-messages", "/v1"),
    ("gemini", "/v1beta"),
    ("bedrock-converse", ""),
    ("cohere-chat", ""),
];

fn stand() -> (Gateway, RunningMock) {
    let mock = start(MockOptions::default()).expect("a mock");
    let root = mock.url().trim_end_matches("/v1").to_owned();
    let section = |(name, version): (&str, &str)| {
        format!(
            "[providers.{name}]\ndialect = \"{name}\"\nbase_url = \"{root}{version}\"\n\
             api_key = \"test-credential\"\n"
        )
    };
    let settings: String = PROVIDERS.into_iter().map(section).collect();
    (Gateway::start(&settings), mock)
}

/// The answer in a body of `dialect`, whole or as a stream.
fn answer(dialect: Dialect, response: &Response, is_stream: bool) -> Answer {
    assert_eq!(response.status, 200, "{}", response.text());
    assert!(response.complete);
    let codec = provider_codec(dialect).expect("a dialect");
    let mut scanner = Scanner::default();
    if !is_stream {
        let read = scanner.read(&response.body, |root| codec.read_answer(root));
        return read.ok().flatten().unwrap_or_else(|| panic!("no answer: {}", response.text()));
    }
    let content_type = response.field("content-type").expect("a content type");
    let bare = |text: &str| text.split(';').next().map(str::to_owned);
    assert_eq!(bare(content_type), bare(client_codec(dialect).frame().media_type()));
    let (mut decoder, mut chunks) = (codec.stream_decoder(), Vec::new());
    let mut cutter = Cutter::new(codec.frame(), 1 << 20);
    cutter.push(&response.body);
    let taken = cutter.each(|name, data| decoder.event(name, data, &mut scanner, &mut chunks));
    taken.expect("events");
    decoder.finish(&mut chunks);
    let mut assembler = ChunkAssembler::default();
    chunks.into_iter().for_each(|chunk| assembler.push(chunk));
    assembler.finish().expect("no error").expect("a complete stream")
}

/// Words, calls and the reason to end.
fn outline(answer: &Answer) -> (String, Vec<(String, String)>, StopReason) {
    let choice = &answer.choices[0];
    let (mut words, mut calls) = (String::new(), Vec::new());
    for part in &choice.parts {
        match &part.content {
            Content::Text(text) => words.push_str(&text.text),
            Content::ToolCall(call) => calls.push((call.name.clone(), call.arguments.clone())),
            _ => {}
        }
    }
    (words, calls, choice.stop.clone())
}

#[test]
fn bedrock_and_cohere_clients_work_with_every_vendor() {
    let (gateway, _mock) = stand();
    for (provider, _) in PROVIDERS {
        let text = |tools: bool| if tools { "call the tool" } else { "Hello there" };
        let converse = |tools: bool| {
            let mut body = json!({"messages": [{"role": "user", "content": [{"text": text(tools)}]}],
                "system": [{"text": "Be brief."}], "inferenceConfig": {"maxTokens": 50}});
            if tools {
                body["toolConfig"] = json!({"tools": [{"toolSpec": {"name": "f", "inputSchema":
                    {"json": {"type": "object", "properties": {"x": {"type": "integer"}}}}}}]});
            }
            body.to_string()
        };
        let cohere = |tools: bool, stream: bool| {
            let mut body = json!({"model": format!("{provider}/model-1"), "stream": stream,
                "messages": [{"role": "user", "content": text(tools)}]});
            if tools {
                body["tools"] = json!([{"type": "function", "function": {"name": "f", "parameters":
                    {"type": "object", "properties": {"x": {"type": "integer"}}}}}]);
            }
            body.to_string()
        };
        for tools in [false, true] {
            let path = format!("/model/{provider}%2Fmodel-1/converse");
            let whole = gateway.post(&path, &converse(tools));
            let streamed = gateway.post(&format!("{path}-stream"), &converse(tools));
            let whole = outline(&answer(Dialect::BedrockConverse, &whole, false));
            let streamed = outline(&answer(Dialect::BedrockConverse, &streamed, true));
            assert_eq!(whole, streamed, "{provider}");
            assert_eq!((whole.0.is_empty(), whole.1.is_empty()), (tools, !tools), "{provider}");

            let whole = gateway.post("/v2/chat", &cohere(tools, false));
            let streamed = gateway.post("/v2/chat", &cohere(tools, true));
            let whole = outline(&answer(Dialect::CohereChat, &whole, false));
            let streamed = outline(&answer(Dialect::CohereChat, &streamed, true));
            assert_eq!(whole, streamed, "{provider}");
        }
    }
    let amazon = gateway.metric("ringgate_requests_total", &["endpoint=\"converse\"", "200"]);
    let cohere = gateway.metric("ringgate_requests_total", &["endpoint=\"cohere_chat\"", "200"]);
    assert_eq!((amazon, cohere), (24.0, 24.0));
}

#[test]
fn native_requests_are_forwarded_unchanged() {
    let whole = r#"{"output":{"message":{"role":"assistant","content":[{"text":"Hi"}]}},"stopReason":"end_turn","usage":{"inputTokens":7,"outputTokens":3,"totalTokens":10},"unknown":1}"#;
    let mut frames = Vec::new();
    for (name, data) in [
        ("messageStart", r#"{"role":"assistant"}"#),
        ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"text":"Hi"}}"#),
        ("contentBlockStop", r#"{"contentBlockIndex":0}"#),
        ("messageStop", r#"{"stopReason":"end_turn"}"#),
        ("metadata", r#"{"usage":{"inputTokens":7,"outputTokens":3,"totalTokens":10}}"#),
    ] {
        write_amazon_event(&mut frames, name, data.as_bytes());
    }
    let mut streamed = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/vnd.amazon.eventstream\r\ncontent-length: \
         {}\r\n\r\n",
        frames.len()
    )
    .into_bytes();
    streamed.extend_from_slice(&frames);
    let amazon = Provider::start(move |visit| {
        while let Some(request) = visit.request() {
            let whole = json_answer("200 OK", "", whole);
            let is_stream = request.contains("/converse-stream");
            visit.send(if is_stream { &streamed } else { whole.as_bytes() });
        }
    });
    let end = r#"{"type":"message-end","delta":{"finish_reason":"COMPLETE","usage":{"billed_units":{"input_tokens":7,"output_tokens":3}}}}"#;
    let delta =
        r#"{"type":"content-delta","index":0,"delta":{"message":{"content":{"text":"Hi"}}}}"#;
    let events = [
        r#"{"type":"message-start","id":"i","delta":{"message":{"role":"assistant"}}}"#,
        r#"{"type":"content-start","index":0,"delta":{"message":{"content":{"type":"text","text":""}}}}"#,
        delta,
        r#"{"type":"content-end","index":0}"#,
        end,
    ];
    let events: String = events.iter().map(|data| event(data)).collect();
    let events = format!("{STREAM_HEAD}{events}0\r\n\r\n");
    let cohere = r#"{"id":"i","finish_reason":"COMPLETE","message":{"role":"assistant","content":[{"type":"text","text":"Hi"}]},"usage":{"billed_units":{"input_tokens":7,"output_tokens":3}},"unknown":1}"#;
    let cohere_provider = Provider::start(move |visit| {
        while let Some(request) = visit.request() {
            let whole = json_answer("200 OK", "", cohere);
            let is_stream = request.contains("\"stream\": true");
            visit.send(if is_stream { events.as_bytes() } else { whole.as_bytes() });
        }
    });
    let gateway = Gateway::start(&format!(
        "[providers.amazon]\ndialect = \"bedrock-converse\"\nbase_url = \"http://{}\"\n\
         [providers.cohere]\ndialect = \"cohere-chat\"\nbase_url = \"http://{}\"\n",
        amazon.address, cohere_provider.address
    ));
    let body = r#"{ "messages":[{"role":"user","content":[{"text":"x"}]}],"unknown":true}"#;
    let response = gateway.post("/model/amazon%2Fus.nova-lite-v1%3A0/converse", body);
    assert_eq!((response.status, response.text().as_str()), (200, whole));
    let response = gateway.post("/model/amazon%2Fus.nova-lite-v1%3A0/converse-stream", body);
    assert_eq!(outline(&answer(Dialect::BedrockConverse, &response, true)).0, "Hi");
    let sent = amazon.last_request();
    assert!(
        sent.starts_with("POST /model/us.nova-lite-v1%3A0/converse-stream HTTP/1.1\r\n"),
        "{sent}"
    );
    assert!(sent.ends_with(body), "{sent}");

    let chat = r#"{"model":"cohere/command-a","stream": false,"messages":[{"role":"user","content":"x"}],"unknown":true}"#;
    let response = gateway.post("/v2/chat", chat);
    assert_eq!((response.status, response.text().as_str()), (200, cohere));
    let sent = cohere_provider.last_request();
    assert!(sent.starts_with("POST /v2/chat HTTP/1.1\r\n"), "{sent}");
    assert!(sent.ends_with(&chat.replace("cohere/", "")), "{sent}");
    let response = gateway.post("/v2/chat", &chat.replace("false", "true"));
    assert_eq!(outline(&answer(Dialect::CohereChat, &response, true)).0, "Hi");
    gateway.expect_metric("ringgate_tokens_total", &["input"], 28.0);
    gateway.expect_metric("ringgate_tokens_total", &["output"], 12.0);
    gateway.expect_metric("ringgate_usage_estimated_total", &[], 0.0);
}

#[test]
fn bedrock_and_cohere_client_errors_and_keys() {
    let provider = Provider::always(json_answer(
        "429 Too Many Requests",
        "",
        r#"{"error":{"message":"slow down","type":"requests","code":"rate_limit_exceeded"}}"#,
    ));
    let settings = format!("{}[keys.k]\nsecret = \"${{SECRET}}\"\n", provider.section("p", ""));
    let gateway = Gateway::start_with(&settings, &[("SECRET", "secret-of-k")], &[]);
    let converse = r#"{"messages":[{"role":"user","content":[{"text":"x"}]}]}"#;
    let chat = r#"{"model":"m","messages":[{"role":"user","content":"x"}]}"#;
    for (path, body) in [
        ("/model/m/converse", converse),
        ("/model/m/converse-stream", converse),
        ("/v2/chat", chat),
    ] {
        let stranger = gateway.post(path, body);
        assert_eq!(stranger.status, 401, "{path}");
        let key = "authorization: Bearer secret-of-k\r\n";
        let signed = "authorization: AWS4-HMAC-SHA256 Credential=secret-of-k/20261130/us-east-1/\
                      bedrock/aws4_request, SignedHeaders=host, Signature=00\r\n";
        assert_eq!(gateway.send(&post(path, signed, body)).status, 429, "{path}");
        let response = gateway.send(&post(path, key, body));
        assert_eq!(response.status, 429, "{path}: {}", response.text());
        for (answer, kind) in
            [(&stranger, "AccessDeniedException"), (&response, "ThrottlingException")]
        {
            let body: Value = answer.json();
            assert!(body["message"].is_string(), "{path}: {body}");
            if path != "/v2/chat" {
                assert_eq!(body["__type"], kind, "{path}");
            }
        }
    }
    let response = gateway.send("GET /model/m/converse HTTP/1.1\r\nhost: g\r\n\r\n");
    assert_eq!(response.status, 405);
}

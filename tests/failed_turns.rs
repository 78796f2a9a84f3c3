//! Answers that say of themselves that they failed are errors for every client, and failed attempts.

use serde_json::{Value, json};

use crate::harness::{Gateway, Provider, Response, STREAM_HEAD, delta, event, json_answer, post};
use crate::routing::{fallback, option, story_is};

/// The clients: path and body.
const CLIENTS: [(&str, &str); 4] = [
    ("/v1/chat/completions", r#"{"model":"p0/m","messages":[{"role":"user","content":"x"}]}"#),
    ("/v1/responses", r#"{"model":"p0/m","input":"x"}"#),
    (
        "/v1/messages",
        r#"{"model":"p0/m","max_tokens":9,"messages":[{"role":"user","content":"x"}]}"#,
    ),
    ("/v1beta/models/p0%2Fm:generateContent", r#"{"contents":[{"parts":[{"text":"x"}]}]}"#),
];

/// The client's path that needs no translation.
fn own_path(dialect: &str) -> &'static str {
    match dialect {
        "openai-chat" => "/v1/chat/completions",
        "openai-responses" => "/v1/responses",
        "anthropic-messages" => "/v1/messages",
        "gemini" => CLIENTS[3].0,
        _ => "",
    }
}

fn gateway(dialect: &str, provider: &Provider) -> Gateway {
    let address = provider.address;
    Gateway::start(&format!(
        "[providers.p0]\ndialect = \"{dialect}\"\nbase_url = \"http://{address}/v1\"\napi_key = \"test-credential\"\n"
    ))
}

fn message(response: &Response) -> String {
    let body = response.json();
    body["error"]["message"].as_str().unwrap_or_default().to_owned()
}

/// Of which dialect, which answer under status 200, and the status and message of the error.
fn failures() -> Vec<(&'static str, Value, u16, &'static str)> {
    let choice = |finish: &str, error: Value| {
        json!({ "id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [{
            "index": 0, "finish_reason": finish, "error": error,
            "message": { "role": "assistant", "content": "half an ans" } }] })
    };
    let why = || json!({ "code": "server_error", "message": "Provider disconnected" });
    let unfinished = "the provider could not finish its answer";
    let google = |reason: &str| {
        json!({ "candidates": [{ "content": { "role": "model", "parts": [] },
            "finishReason": reason, "finishMessage": "no such call" }], "usageMetadata": {} })
    };
    vec![
        ("openai-chat", choice("error", why()), 500, "Provider disconnected"),
        ("openai-chat", choice("error", Value::Null), 502, unfinished),
        ("openai-chat", choice("network_error", Value::Null), 502, unfinished),
        ("openai-chat", choice("abort", Value::Null), 502, unfinished),
        ("openai-chat", json!({ "id": "x", "choices": null }), 502, unfinished),
        (
            "openai-chat",
            json!({ "id": "x", "choices": [] }),
            502,
            "the provider's answer has no choices",
        ),
        ("openai-chat", json!({ "error": { "message": "broke", "code": 503 } }), 503, "broke"),
        (
            "openai-chat",
            json!({ "choices": null, "base_resp": { "status_code": 1008, "status_msg": "no balance" } }),
            502,
            "no balance",
        ),
        (
            "openai-responses",
            json!({ "id": "r", "status": "failed", "error": { "code": "rate_limit_exceeded", "message": "slow" }, "output": [] }),
            429,
            "slow",
        ),
        (
            "openai-responses",
            json!({ "id": "r", "status": "failed", "error": null, "output": [] }),
            502,
            unfinished,
        ),
        (
            "anthropic-messages",
            json!({ "type": "error", "error": { "type": "overloaded_error", "message": "full" } }),
            529,
            "full",
        ),
        ("gemini", google("MALFORMED_FUNCTION_CALL"), 502, "no such call"),
        (
            "gemini",
            json!({ "promptFeedback": { "blockReason": "SAFETY" }, "usageMetadata": {} }),
            400,
            "the provider blocked the prompt (SAFETY)",
        ),
        (
            "gemini",
            json!({ "candidates": [], "usageMetadata": {} }),
            502,
            "the provider's answer has no candidates",
        ),
        (
            "cohere-chat",
            json!({ "id": "c", "finish_reason": "ERROR", "message": { "role": "assistant", "content": [] } }),
            502,
            unfinished,
        ),
        (
            "bedrock-converse",
            json!({ "output": { "message": { "role": "assistant", "content": [] } }, "stopReason": "malformed_tool_use", "usage": {} }),
            424,
            "the model's answer could not be used (malformed_tool_use)",
        ),
    ]
}

#[test]
fn failed_response_is_an_error_in_every_dialect() {
    for (dialect, body, status, expected) in failures() {
        let provider = Provider::always(json_answer("200 OK", "", &body.to_string()));
        let gateway = gateway(dialect, &provider);
        for (path, request) in CLIENTS.iter().filter(|(path, _)| *path != own_path(dialect)) {
            let response = gateway.send(&post(path, "", request));
            let what = format!("{path}: {body}: {}", response.text());
            assert_eq!(
                (response.status, message(&response).as_str()),
                (status, expected),
                "{what}"
            );
        }
    }
}

#[test]
fn compatible_servers_failed_response_is_an_error() {
    let (path, request) = CLIENTS[0];
    for (dialect, body, status, expected) in failures() {
        if own_path(dialect) != path {
            continue;
        }
        let provider = Provider::always(json_answer("200 OK", "", &body.to_string()));
        let good = Provider::always(json_answer("200 OK", "", crate::harness::CHAT_ANSWER));
        let stand = Gateway::start(&format!(
            "[providers.p0]\ndialect = \"{dialect}\"\nbase_url = \"http://{}/v1\"\n\
             [providers.p1]\ndialect = \"openai-chat\"\nbase_url = \"http://{}/v1\"\n",
            provider.address, good.address
        ));
        let response = stand.send(&post(path, "", request));
        let found = (response.status, message(&response));
        assert_eq!(found, (status, expected.to_owned()), "{body}: {}", response.text());
        let mut config = fallback(2);
        config["override_params"] = json!({ "model": "m" });
        let field = format!("x-ringgate-config: {config}\r\n");
        let response = stand.send(&post(path, &field, &request.replace("p0/", "")));
        story_is(
            &response,
            &[("config.targets[0]", status), ("config.targets[1]", 200)],
            &body.to_string(),
        );
    }
    // OpenAI's own is not judged.
    let body = r#"{"id":"x","choices":[]}"#;
    let provider = Provider::always(json_answer("200 OK", "", body));
    let address = provider.address;
    let original = Gateway::start(&format!(
        "[providers.p0]\npreset = \"openai\"\nbase_url = \"http://{address}/v1\"\napi_key = \"test-credential\"\n"
    ));
    let response = original.send(&post(path, "", request));
    assert_eq!((response.status, response.text().as_str()), (200, body));
}

#[test]
fn failed_response_fails_over() {
    for (dialect, body, status, _) in failures() {
        let provider = Provider::always(json_answer("200 OK", "", &body.to_string()));
        let good = Provider::always(json_answer("200 OK", "", crate::harness::CHAT_ANSWER));
        let stand = Gateway::start(&format!(
            "[providers.p0]\ndialect = \"{dialect}\"\nbase_url = \"http://{}/v1\"\napi_key = \"test-credential\"\n\
             [providers.p1]\ndialect = \"openai-chat\"\nbase_url = \"http://{}/v1\"\n",
            provider.address, good.address
        ));
        for (path, request) in CLIENTS.iter().filter(|(path, _)| *path != own_path(dialect)) {
            let mut config = fallback(2);
            config["override_params"] = json!({ "model": format!("m-{}", path.len()) });
            let field = format!("x-ringgate-config: {config}\r\n");
            let response = stand.send(&post(path, &field, &request.replace("p0/", "")));
            let what = format!("{dialect} {path}: {body}");
            story_is(
                &response,
                &[("config.targets[0]", status), ("config.targets[1]", 200)],
                &what,
            );
            assert_eq!((response.status, option(&response)), (200, "config.targets[1]"), "{what}");
        }
    }
}

fn streaming(path: &str, request: &str) -> (String, String) {
    if path.contains("generateContent") {
        let path = path.replace(":generateContent", ":streamGenerateContent?alt=sse");
        return (path, request.to_owned());
    }
    (path.to_owned(), request.replacen('{', r#"{"stream":true,"#, 1))
}

/// The ends of good streams.
const ENDS: [&str; 5] = [
    "[DONE]",
    "message_stop",
    "response.completed",
    "\"finishReason\"",
    "\"finish_reason\":\"stop\"",
];

#[test]
fn stream_that_fails_midway_ends_with_error() {
    let failed = r#"{"id":"c","choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}],"error":{"code":"server_error","message":"Provider disconnected"}}"#;
    let chat = [STREAM_HEAD, &event(&delta("half")), &event(failed), &event("[DONE]"), "0\r\n\r\n"]
        .concat();
    let bare = r#"{"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"error"}]}"#;
    let silent =
        [STREAM_HEAD, &event(&delta("half")), &event(bare), &event("[DONE]"), "0\r\n\r\n"].concat();
    let part = r#"{"candidates":[{"content":{"role":"model","parts":[{"text":"half"}]}}],"usageMetadata":{}}"#;
    let end = r#"{"candidates":[{"finishReason":"MALFORMED_FUNCTION_CALL","finishMessage":"no such call"}]}"#;
    let google = [STREAM_HEAD, &event(part), &event(end), "0\r\n\r\n"].concat();
    for (dialect, stream, expected) in [
        ("openai-chat", chat, "Provider disconnected"),
        ("openai-chat", silent, "the provider could not finish its answer"),
        ("gemini", google, "no such call"),
    ] {
        let provider = Provider::always(stream);
        let gateway = gateway(dialect, &provider);
        for (path, request) in CLIENTS.iter().filter(|(path, _)| *path != own_path(dialect)) {
            let (path, request) = streaming(path, request);
            let response = gateway.send(&post(&path, "", &request));
            let text = response.text();
            assert_eq!(response.status, 200, "{path}: {text}");
            assert!(text.contains("half") && text.contains(expected), "{path}: {text}");
            let end = ENDS.iter().find(|end| text.contains(**end));
            assert_eq!(end, None, "{path}: {text}");
        }
        gateway.expect_metric("ringgate_errors_total", &["\"upstream\""], 3.0);
    }
}

#[test]
fn stream_that_starts_with_failure_is_a_failed_attempt() {
    let blocked = r#"{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{}}"#;
    let stream = [STREAM_HEAD, &event(blocked), "0\r\n\r\n"].concat();
    let provider = Provider::always(stream);
    let alone = gateway("gemini", &provider);
    for (path, request) in &CLIENTS[..3] {
        let (path, request) = streaming(path, request);
        let response = alone.send(&post(&path, "", &request));
        let found = (response.status, message(&response));
        assert_eq!(found, (400, "the provider blocked the prompt (SAFETY)".to_owned()), "{path}");
    }
    let good = [
        STREAM_HEAD,
        &event(&delta("Hi")),
        &event(crate::harness::FINISH),
        &event("[DONE]"),
        "0\r\n\r\n",
    ];
    let good = Provider::always(good.concat());
    let both = Gateway::start(&format!(
        "[providers.p0]\ndialect = \"gemini\"\nbase_url = \"http://{}/v1\"\napi_key = \"test-credential\"\n\
         [providers.p1]\ndialect = \"openai-chat\"\nbase_url = \"http://{}/v1\"\n",
        provider.address, good.address
    ));
    for (path, request) in &CLIENTS[..3] {
        let (path, request) = streaming(path, request);
        let mut config = fallback(2);
        config["override_params"] = json!({ "model": "m" });
        let field = format!("x-ringgate-config: {config}\r\n");
        let response = both.send(&post(&path, &field, &request.replace("p0/", "")));
        let what = format!("{path}: {}", response.text());
        story_is(&response, &[("config.targets[0]", 400), ("config.targets[1]", 200)], &what);
        assert!(response.text().contains("Hi"), "{what}");
    }
}

#[test]
fn gemini_clients_get_response_without_candidates() {
    let body = r#"{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":3,"totalTokenCount":3}}"#;
    let provider = Provider::always(json_answer("200 OK", "", body));
    let gateway = gateway("gemini", &provider);
    let response = gateway.send(&post(CLIENTS[3].0, "", CLIENTS[3].1));
    assert_eq!((response.status, response.text().as_str()), (200, body));
}

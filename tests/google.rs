//! Google's surface for clients: models with a provider's name in their path, embeddings and counts of
//! any vendor, ids of calls that Google leaves without one, and the waits that its errors tell.

use serde_json::{Value, json};

use crate::harness::{CHAT_ANSWER, Gateway, Provider, STREAM_HEAD, event, json_answer, post};

const GEMINI_ANSWER: &str = r#"{"candidates":[{"content":{"parts":[{"text":"Hi"}],"role":"model"},"finishReason":"STOP"}]}"#;

fn section(provider: &Provider, name: &str, dialect: &str, version: &str) -> String {
    format!(
        "[providers.{name}]\ndialect = \"{dialect}\"\nbase_url = \"http://{}{version}\"\n",
        provider.address
    )
}

/// The request line and the body of what a provider was sent last.
fn last(provider: &Provider) -> (String, Value) {
    let sent = provider.last_request();
    let (head, body) = sent.split_once("\r\n\r\n").expect("a head");
    let line = head.lines().next().unwrap_or_default().to_owned();
    (line, serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {sent}")))
}

#[test]
fn gemini_model_path_selects_provider() {
    let google = Provider::always(json_answer("200 OK", "", GEMINI_ANSWER));
    let other = Provider::always(json_answer("200 OK", "", CHAT_ANSWER));
    let gateway = Gateway::start(&format!(
        "{}{}",
        section(&google, "google", "gemini", "/v1beta"),
        other.section("other", "")
    ));
    let body = r#"{"contents":[{"role":"user","parts":[{"text":"Hello"}]}]}"#;
    for path in [
        "/v1beta/google/g-2:generateContent",
        "/v1beta/google%2Fg-2:generateContent",
        "/v1beta/models/google/g-2:generateContent",
        "/v1beta/models/google%2Fg-2%3AgenerateContent",
    ] {
        let response = gateway.post(path, body);
        assert_eq!((response.status, response.text().as_str()), (200, GEMINI_ANSWER), "{path}");
        assert_eq!(last(&google).0, "POST /v1beta/models/g-2:generateContent HTTP/1.1", "{path}");
    }
    let response = gateway.post("/v1beta/other/org/m:generateContent", body);
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(last(&other).1["model"], "org/m");
    assert_eq!(response.json()["candidates"][0]["content"]["parts"][0]["text"], "Hi");
    let response = gateway.post("/v1beta/nobody/m:generateContent", body);
    assert_eq!(response.status, 400, "{}", response.text());
    assert_eq!(response.json()["error"]["status"], "INVALID_ARGUMENT");
}

/// Where the model stands in the path, a route's choice goes there, and not into the body.
#[test]
fn route_overrides_model_in_path() {
    let google = Provider::always(json_answer("200 OK", "", GEMINI_ANSWER));
    let gateway = Gateway::start(&format!(
        "{}[routes.r]\nprovider = \"google\"\noverride_params = {{ model = \"g-2\" }}\n",
        section(&google, "google", "gemini", "/v1beta")
    ));
    let contents = json!([{"role": "user", "parts": [{"text": "Hello"}]}]);
    for (method, body) in [
        ("generateContent", json!({"contents": contents, "generationConfig": {"seed": 1}})),
        ("countTokens", json!({"contents": contents})),
        ("embedContent", json!({"content": {"parts": [{"text": "a"}]}})),
    ] {
        let path = format!("/v1beta/models/other:{method}");
        let request = post(&path, "x-ringgate-config: r\r\n", &body.to_string());
        assert_eq!(gateway.send(&request).status, 200, "{method}");
        let line = format!("POST /v1beta/models/g-2:{method} HTTP/1.1");
        assert_eq!(last(&google), (line, body), "{method}");
    }
}

#[test]
fn model_in_body_matches_model_in_path() {
    let google = Provider::always(json_answer("200 OK", "", r#"{"totalTokens":3}"#));
    let gateway = Gateway::start(&section(&google, "google", "gemini", "/v1beta"));
    let content = json!({"parts": [{"text": "a"}]});
    for (method, body, expected) in [
        (
            "batchEmbedContents",
            json!({"requests": [
                {"model": "models/google/e-1", "content": content, "title": "t"},
                {"content": content, "model": "models/google/e-1"}]}),
            json!({"requests": [
                {"model": "models/e-1", "content": content, "title": "t"},
                {"content": content, "model": "models/e-1"}]}),
        ),
        (
            "embedContent",
            json!({"model": "models/google/e-1", "content": content}),
            json!({"model": "models/e-1", "content": content}),
        ),
        (
            "countTokens",
            json!({"generateContentRequest": {"model": "models/google/e-1", "contents": [content]}}),
            json!({"generateContentRequest": {"model": "models/e-1", "contents": [content]}}),
        ),
    ] {
        let path = format!("/v1beta/models/google/e-1:{method}");
        let response = gateway.post(&path, &body.to_string());
        assert_eq!(response.status, 200, "{method}: {}", response.text());
        let (line, sent) = last(&google);
        assert_eq!(line, format!("POST /v1beta/models/e-1:{method} HTTP/1.1"));
        assert_eq!(sent, expected, "{method}");
    }
}

#[test]
fn gemini_clients_embed_and_count_with_any_vendor() {
    let openai = r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5,0.25]}],"model":"e","usage":{"prompt_tokens":3,"total_tokens":3}}"#;
    let cohere = r#"{"embeddings":{"float":[[0.5,0.25]]},"id":"i","meta":{"billed_units":{"input_tokens":3}}}"#;
    let openai = Provider::always(json_answer("200 OK", "", openai));
    let cohere = Provider::always(json_answer("200 OK", "", cohere));
    let gateway = Gateway::start(&format!(
        "{}{}",
        openai.section("openai-like", ""),
        section(&cohere, "cohere-like", "cohere-chat", "")
    ));
    let one = json!({"content": {"parts": [{"text": "a"}]}, "taskType": "RETRIEVAL_DOCUMENT"});
    for (provider, name) in [(&openai, "openai-like"), (&cohere, "cohere-like")] {
        let path = format!("/v1beta/models/{name}/e:embedContent");
        let response = gateway.post(&path, &one.to_string());
        assert_eq!(response.status, 200, "{name}: {}", response.text());
        let expected =
            json!({"embedding": {"values": [0.5, 0.25]}, "usageMetadata": {"promptTokenCount": 3}});
        assert_eq!(response.json(), expected, "{name}");
        let sent = last(provider).1;
        assert_eq!(sent["model"], "e");
        let input = if name == "openai-like" { &sent["input"] } else { &sent["texts"] };
        assert_eq!(*input, json!(["a"]), "{sent}");

        let path = format!("/v1beta/{name}/e:batchEmbedContents");
        let batch =
            json!({"requests": [{"model": format!("models/{name}/e"), "content": one["content"]}]});
        let response = gateway.post(&path, &batch.to_string());
        assert_eq!(response.status, 200, "{name}: {}", response.text());
        assert_eq!(response.json()["embeddings"], json!([{"values": [0.5, 0.25]}]), "{name}");

        let before = provider.request_count();
        let contents = json!([{"role": "user", "parts": [{"text": "Hello, how are you today?"}]}]);
        let plain = json!({"contents": contents});
        let nested = json!({"generateContentRequest": {"model": "models/m", "contents": contents}});
        for body in [plain, nested] {
            let path = format!("/v1beta/models/{name}/m:countTokens");
            let response = gateway.post(&path, &body.to_string());
            assert_eq!(response.status, 200, "{name}: {}", response.text());
            let tokens = response.json()["totalTokens"].as_u64().expect("a count");
            assert!((5..20).contains(&tokens), "{tokens}");
            let warning = response.field("x-ringgate-warnings").unwrap_or_default();
            assert!(warning.contains("estimated"), "{warning}");
        }
        assert_eq!(provider.request_count(), before, "the gateway counts by itself");
    }
    gateway.expect_metric("ringgate_tokens_total", &["input"], 12.0);
}

#[test]
fn gemini_embeddings_are_metered() {
    let body = r#"{"embedding":{"values":[0.5]},"usageMetadata":{"promptTokenCount":4}}"#;
    let google = Provider::always(json_answer("200 OK", "", body));
    let gateway = Gateway::start(&section(&google, "google", "gemini", "/v1beta"));
    let request = r#"{"content":{"parts":[{"text":"a"}]}}"#;
    let response = gateway.post("/v1beta/models/e-1:embedContent", request);
    assert_eq!((response.status, response.text().as_str()), (200, body));
    assert!(google.last_request().ends_with(request), "its bytes travel as they are");
    gateway.expect_metric("ringgate_tokens_total", &["input"], 4.0);
}

#[test]
fn tool_calls_without_id_get_distinct_ids() {
    let call = r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{}}}],"role":"model"},"finishReason":"STOP"}]}"#;
    let whole = Provider::always(json_answer("200 OK", "", call));
    let stream = Provider::always(format!("{STREAM_HEAD}{}0\r\n\r\n", event(call)));
    let gateway = Gateway::start(&format!(
        "{}{}",
        section(&whole, "whole", "gemini", "/v1beta"),
        section(&stream, "stream", "gemini", "/v1beta")
    ));
    let mut ids = Vec::new();
    for (name, is_stream) in [("whole", false), ("stream", true)] {
        for _ in 0..2 {
            let body = json!({"model": format!("{name}/m"), "stream": is_stream,
                "messages": [{"role": "user", "content": "x"}],
                "tools": [{"type": "function", "function": {"name": "f"}}]});
            let response = gateway.post("/v1/chat/completions", &body.to_string());
            assert_eq!(response.status, 200, "{}", response.text());
            let text = response.text();
            let (_, id) = text.split_once(r#""id":"call_"#).expect("an id");
            ids.push(id.split('"').next().unwrap_or_default().to_owned());
        }
    }
    let mut distinct = ids.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), 4, "{ids:?}");
}

#[test]
fn gemini_retry_delay_reaches_other_clients() {
    let error = r#"{"error":{"code":429,"message":"Quota","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"33.2s"}]}}"#;
    let plain = Provider::always(json_answer("429 Too Many Requests", "", error));
    let listed = Provider::always(json_answer("429 Too Many Requests", "", &format!("[{error}]")));
    let own = json_answer("429 Too Many Requests", "retry-after: 7\r\n", error);
    let own = Provider::always(own);
    let gateway = Gateway::start(&format!(
        "{}{}{}",
        section(&plain, "plain", "gemini", "/v1beta"),
        section(&listed, "listed", "gemini", "/v1beta"),
        section(&own, "own", "gemini", "/v1beta")
    ));
    for (name, expected) in [("plain", "34"), ("listed", "34"), ("own", "7")] {
        for (path, more) in [
            ("/v1/chat/completions", json!({})),
            ("/v1/messages", json!({"max_tokens": 9})),
            ("/v1/responses", json!({"input": "x"})),
        ] {
            let mut body = json!({"model": format!("{name}/m")});
            if path != "/v1/responses" {
                body["messages"] = json!([{"role": "user", "content": "x"}]);
            }
            body.as_object_mut().expect("an object").extend(more.as_object().expect("one").clone());
            let response = gateway.post(path, &body.to_string());
            assert_eq!(response.status, 429, "{path}: {}", response.text());
            assert_eq!(response.field("retry-after"), Some(expected), "{name} {path}");
        }
    }
}

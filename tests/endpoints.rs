//! Each endpoint with a healthy provider: bytes in, bytes out, and what is spliced on the way.

use serde_json::{Value, json};

use crate::harness::{CHAT_ANSWER, Gateway, Provider, chat, find, json_answer, post};

fn body_of(request: &str) -> &str {
    request.split_once("\r\n\r\n").expect("a head").1
}

fn head_of(request: &str) -> String {
    request.split_once("\r\n\r\n").expect("a head").0.to_ascii_lowercase()
}

#[test]
fn echo_provider_responds_without_settings() {
    let gateway = Gateway::start("");
    let answer = gateway.post("/v1/chat/completions", &chat("anything"));
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["choices"][0]["message"]["content"], "Hello");
    let embedding = gateway.post("/v1/embeddings", r#"{"model":"e","input":["a","b"]}"#);
    assert_eq!(embedding.json()["data"].as_array().map(Vec::len), Some(2));
    let completion = gateway.post("/v1/completions", r#"{"model":"e","prompt":"Once"}"#);
    assert_eq!(completion.json()["choices"][0]["text"], "Once");
    let models = gateway.send("GET /v1/models HTTP/1.1\r\nhost: g\r\n\r\n");
    assert_eq!(models.json()["data"][0]["id"], "echo");
    let (status, text) = gateway.admin_page("/healthz");
    assert_eq!((status, text.as_str()), (200, "ok\n"));
    assert_eq!(gateway.admin_page("/readyz").0, 200);
}

#[test]
fn same_dialect_forwards_original_bytes() {
    let answer = json_answer("200 OK", "openai-version: 2020\r\nset-cookie: a=b\r\n", CHAT_ANSWER);
    let provider = Provider::always(answer);
    let settings = provider.section("p", "api_key = \"credential-of-p\"");
    let gateway = Gateway::start(&settings);
    // Odd spacing, unknown fields, escapes: all of it must arrive as it is.
    let body = "{ \"model\" :\"m\",\n\t\"x_unknown\": [1.50, 1e3, \"\\u00e9\"], \"messages\":[] }";
    let response = gateway.send(&post("/v1/chat/completions", "openai-beta: x\r\n", body));
    assert_eq!((response.status, response.text().as_str()), (200, CHAT_ANSWER));
    assert_eq!(response.field("openai-version"), Some("2020"));
    assert_eq!(response.field("x-ringgate-provider"), Some("p"));
    assert_eq!(response.field("x-ringgate-request-id").map(str::len), Some(32));
    assert_eq!(response.field("set-cookie"), None);
    let request = provider.last_request();
    assert_eq!(body_of(&request), body);
    let head = head_of(&request);
    assert!(head.starts_with("post /v1/chat/completions http/1.1"), "{head}");
    assert!(head.contains("authorization: bearer credential-of-p"), "{head}");
    assert!(head.contains("openai-beta: x") && !head.contains("x-portkey"), "{head}");
}

#[test]
fn edits_change_only_their_members() {
    let provider = Provider::always(json_answer("200 OK", "", CHAT_ANSWER));
    let settings = format!(
        "{}[routes.r]\ntargets = [{{ provider = \"p\", override_params = {{ temperature = 0.5, \
         model = \"real\" }}, default_params = {{ top_p = 0.9, user = \"nobody\" }} }}]\n",
        provider.section("p", "")
    );
    let gateway = Gateway::start(&settings);
    let body = r#"{"model":"asked", "temperature":1, "user":"me", "keep":[1.50,"\u00e9"]}"#;
    let fields = "x-portkey-config: r\r\n";
    let response = gateway.send(&post("/v1/chat/completions", fields, body));
    assert_eq!(response.status, 200);
    assert!(response.field("x-portkey-provider").is_some());
    let request = provider.last_request();
    let sent: Value = serde_json::from_str(body_of(&request)).expect("JSON");
    let expected = json!({
        "model": "real", "temperature": 0.5, "user": "me", "keep": [1.5, "é"], "top_p": 0.9,
    });
    assert_eq!(sent, expected);
    assert!(body_of(&request).contains(r#""keep":[1.50,"\u00e9"]"#), "{request}");
}

#[test]
fn model_name_selects_the_provider() {
    let first = Provider::always(json_answer("200 OK", "", CHAT_ANSWER));
    let second = Provider::always(json_answer("200 OK", "", CHAT_ANSWER));
    let gateway = Gateway::start(&format!(
        "{}{}",
        first.section("first", "models = [\"a\", \"both\"]"),
        second.section("second", "models = [\"b\", \"both\", \"org/c\"]"),
    ));
    for (model, provider, sent) in [
        ("a", "first", "a"),
        ("b", "second", "b"),
        ("both", "first", "both"),
        ("second/both", "second", "both"),
        ("@second/x", "second", "x"),
        ("org/c", "second", "org/c"),
        ("first/org/c", "first", "org/c"),
    ] {
        let response = gateway.post("/v1/chat/completions", &chat(model));
        assert_eq!(response.field("x-ringgate-provider"), Some(provider), "{model}");
        let last = if provider == "first" { &first } else { &second };
        let request = last.last_request();
        let body: Value = serde_json::from_str(body_of(&request)).expect("JSON");
        assert_eq!(body["model"], sent, "{model}");
    }
    let unknown = gateway.post("/v1/chat/completions", &chat("c"));
    assert_eq!((unknown.status, unknown.code().as_str()), (400, "unknown_model"));
    assert!(unknown.text().contains("first, second"), "{}", unknown.text());
    let unknown = gateway.post("/v1/chat/completions", &chat("@third/c"));
    assert_eq!((unknown.status, unknown.code().as_str()), (400, "unknown_provider"));
    let models = gateway.send("GET /v1/models HTTP/1.1\r\nhost: g\r\n\r\n").text();
    assert!(models.contains("\"org/c\"") && models.contains("\"a\""), "{models}");
    let one = gateway.send("GET /v1/models/org/c HTTP/1.1\r\nhost: g\r\n\r\n");
    assert_eq!(one.json()["owned_by"], "second");
    let none = gateway.send("GET /v1/models/nope HTTP/1.1\r\nhost: g\r\n\r\n");
    assert_eq!(none.status, 404);
}

#[test]
fn connections_are_reused_on_both_sides() {
    let provider = Provider::always(json_answer("200 OK", "", CHAT_ANSWER));
    let gateway = Gateway::start(&provider.section("p", ""));
    let mut client = gateway.connect();
    for _ in 0..20 {
        client.send(post("/v1/chat/completions", "", &chat("m")).as_bytes());
        assert_eq!(client.response().status, 200);
    }
    assert_eq!(provider.connections.load(std::sync::atomic::Ordering::SeqCst), 1);
    gateway.expect_metric("ringgate_connections_accepted_total", &[], 1.0);
    gateway.expect_metric("ringgate_upstream_reused_total", &[], 19.0);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let gateway = Gateway::start("");
    let mut client = gateway.connect();
    let bodies: Vec<String> = (0..5)
        .map(|number| {
            format!(r#"{{"model":"m","messages":[{{"role":"user","content":"number {number}"}}]}}"#)
        })
        .collect();
    let all: String = bodies.iter().map(|body| post("/v1/chat/completions", "", body)).collect();
    client.send(all.as_bytes());
    for number in 0..5 {
        let answer = client.response().json();
        let content = &answer["choices"][0]["message"]["content"];
        assert_eq!(content, &format!("number {number}"));
    }
}

#[test]
fn unknown_paths_pass_through_unchanged() {
    let provider = Provider::start(|visit| {
        while let Some(request) = visit.request() {
            let line = request.lines().next().unwrap_or_default().to_owned();
            visit.send(
                json_answer("201 Created", "x-ratelimit-limit-requests: 9\r\n", &line).as_bytes(),
            );
        }
    });
    let gateway = Gateway::start(&provider.section("p", "api_key = \"c\""));
    for (request, expected) in [
        ("GET /v1/files?limit=2 HTTP/1.1\r\nhost: g\r\n\r\n", "GET /v1/files?limit=2 HTTP/1.1"),
        ("DELETE /v1/files/f HTTP/1.1\r\nhost: g\r\n\r\n", "DELETE /v1/files/f HTTP/1.1"),
        (
            "POST /v1/audio/x HTTP/1.1\r\nhost: g\r\ntransfer-encoding: chunked\r\n\r\n\
             3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
            "POST /v1/audio/x HTTP/1.1",
        ),
    ] {
        let response = gateway.send(request);
        assert_eq!((response.status, response.text().as_str()), (201, expected));
        assert_eq!(response.field("x-ratelimit-limit-requests"), Some("9"));
        assert_eq!(response.field("x-ringgate-cache-status"), Some("DISABLED"));
    }
    assert!(body_of(&provider.last_request()).contains("abc"));
}

#[test]
fn large_bodies_stream_both_ways_without_buffering() {
    const BYTES: usize = 48 * 1024 * 1024;
    let mock = loadtest::mock::start(loadtest::mock::MockOptions::default()).expect("a mock");
    let gateway = Gateway::start(&format!(
        "[providers.p]\ndialect = \"openai-chat\"\nbase_url = \"http://{}/v1\"\n",
        mock.addr
    ));
    // Pages and pools that any first request brings in are not the body's doing.
    assert_eq!(gateway.send("GET /v1/bytes/1000000 HTTP/1.1\r\nhost: g\r\n\r\n").status, 200);
    let before = resident(gateway.pid());
    let mut client = gateway.connect();
    let head = format!(
        "POST /v1/files HTTP/1.1\r\nhost: g\r\ncontent-type: multipart/form-data; \
         boundary=x\r\ncontent-length: {BYTES}\r\n\r\n"
    );
    client.send(head.as_bytes());
    let piece = vec![b'x'; 1024 * 1024];
    for _ in 0..BYTES / piece.len() {
        client.send(&piece);
    }
    let response = client.response();
    assert_eq!(response.status, 200);
    assert!(find(&response.body, BYTES.to_string().as_bytes()).is_some(), "{}", response.text());
    let download = gateway.send(&format!("GET /v1/bytes/{BYTES} HTTP/1.1\r\nhost: g\r\n\r\n"));
    assert_eq!((download.body.len(), download.complete), (BYTES, true));
    let grown = peak(gateway.pid()).saturating_sub(before);
    assert!(grown < 8 * 1024, "the process grew by {grown} KiB for streamed bodies");
}

pub fn resident(pid: u32) -> u64 {
    status_kib(pid, "VmRSS:")
}

pub fn peak(pid: u32) -> u64 {
    status_kib(pid, "VmHWM:")
}

fn status_kib(pid: u32, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("a row");
    line.trim().trim_end_matches("kB").trim().parse().expect("a number")
}

#[test]
fn http_1_0_clients_are_served() {
    let gateway = Gateway::start("");
    let body = chat("m");
    let request = format!(
        "POST /v1/chat/completions HTTP/1.0\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let response = gateway.send(&request);
    assert_eq!(response.status, 200);
    assert_eq!(response.field("connection"), Some("close"));
    let body = crate::harness::stream("m");
    let request = format!(
        "POST /v1/chat/completions HTTP/1.0\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let streamed = gateway.send(&request);
    assert!(streamed.field("transfer-encoding").is_none());
    assert!(streamed.text().ends_with("data: [DONE]\n\n"), "{}", streamed.text());
}

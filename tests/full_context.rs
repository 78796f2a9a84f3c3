//! A full context is told in the words that the client's agent knows, whoever says it and how.

use serde_json::{Value, json};

use crate::stage::{Gateway, Provider, Response, STREAM_HEAD, delta, event, json_answer, post};

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

fn gateway(speaks: &str, provider: &Provider) -> Gateway {
    let address = provider.address;
    let key = "api_key = \"test-credential\"";
    Gateway::start(&format!("[providers.p]\n{speaks}\nbase_url = \"http://{address}/v1\"\n{key}\n"))
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
fn every_client_reads_its_own_words_whatever_the_status() {
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
fn a_stream_that_begins_with_it_is_the_same_error() {
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
fn a_stream_that_has_begun_ends_with_it() {
    let error = json!({ "error": { "message": TOO_LONG, "type": "BadRequestError", "code": 400 } });
    let error = event(&error.to_string());
    let begun = [STREAM_HEAD, &event(&delta("Hi")), &error, "0\r\n\r\n"].concat();
    let provider = Provider::always(begun);
    let gateway = gateway("dialect = \"openai-chat\"", &provider);
    for (path, request, expected) in [
        (CLIENTS[0].0, CLIENTS[0].1, r#""code":"context_length_exceeded""#),
        (CLIENTS[1].0, CLIENTS[1].1, r#""code":"context_length_exceeded""#),
        (CLIENTS[2].0, CLIENTS[2].1, "prompt is too long: 5000 tokens > 4096 maximum"),
    ] {
        let request = request.replacen('{', r#"{"stream":true,"#, 1);
        let text = gateway.send(&post(path, "", &request)).text();
        assert!(text.contains(expected), "{path}: {text}");
        let is_whole =
            ["[DONE]", "message_stop", "response.completed"].iter().any(|it| text.contains(it));
        assert!(!is_whole, "{path}: {text}");
    }
}

#[test]
fn the_vendor_itself_is_forwarded_byte_for_byte() {
    let body = vllm();
    let provider = Provider::always(json_answer("413 Too Large", "", &body));
    let (path, request) = CLIENTS[0];
    let original = gateway("preset = \"openai\"", &provider);
    let response = original.send(&post(path, "", request));
    assert_eq!((response.status, response.text()), (413, body));
}

#[test]
fn other_errors_of_imitators_are_forwarded_byte_for_byte() {
    let told =
        json!({ "error": { "message": "no such tool", "code": 400, "metadata": { "x": 1 } } });
    let known =
        json!({ "error": { "message": TOO_LONG, "code": "context_length_exceeded", "x": 1 } });
    let forwarded = |body: &Value| {
        let provider = Provider::always(json_answer("400 No", "", &body.to_string()));
        let gateway = gateway("dialect = \"openai-chat\"", &provider);
        let response = gateway.send(&post(CLIENTS[0].0, "", CLIENTS[0].1));
        assert_eq!((response.status, response.text()), (400, body.to_string()));
    };
    forwarded(&told);
    forwarded(&known);
}

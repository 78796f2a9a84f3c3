//! OpenAI's responses on providers of other vendors: the tools that agents bring, and what a client
//! refers to by id.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::harness::{
    Gateway, Provider, Response, STREAM_HEAD, event, eventually, json_answer, post,
};

const ANSWER: &str = r#"{"candidates":[{"content":{"role":"model","parts":[{"text":"Rome."}]},
    "finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":10,
    "candidatesTokenCount":5,"totalTokenCount":15},"modelVersion":"gemini-3.8-flash",
    "responseId":"NAME"}"#;

const KEYS: &str = "[keys.one]\nsecret = \"rg-key-one\"\n[keys.two]\nsecret = \"rg-key-two\"\n";

/// A gateway in front of one provider that speaks Google's dialect and numbers its answers.
struct Stand {
    gateway: Gateway,
    provider: Provider,
}

impl Stand {
    fn new(more: &str) -> Self {
        let provider = Provider::start(|visit| {
            while let Some(request) = visit.request() {
                let answer = ANSWER.replace("NAME", &format!("r{}", request.len()));
                if request.contains(":streamGenerateContent") {
                    let answer = answer.replace('\n', "");
                    visit.send(format!("{STREAM_HEAD}{}0\r\n\r\n", event(&answer)).as_bytes());
                } else {
                    visit.send(json_answer("200 OK", "", &answer).as_bytes());
                }
            }
        });
        let settings = format!(
            "[providers.google]\ndialect = \"gemini\"\nbase_url = \"http://{}/v1beta\"\n{more}",
            provider.address
        );
        Self { gateway: Gateway::start(&settings), provider }
    }

    fn send(&self, key: &str, body: &Value) -> Response {
        let fields = format!("authorization: Bearer {key}\r\n");
        self.gateway.send(&post("/v1/responses", &fields, &body.to_string()))
    }

    fn answer(&self, key: &str, body: &Value) -> Value {
        let response = self.send(key, body);
        assert_eq!(response.status, 200, "{}", response.text());
        response.json()
    }

    /// The body of the last request that the provider got.
    fn sent(&self) -> Value {
        let request = self.provider.last_request();
        let body = request.split_once("\r\n\r\n").expect("a body").1;
        serde_json::from_str(body).expect("JSON")
    }
}

fn refused(response: &Response, words: &[&str]) {
    assert_eq!(response.status, 400, "{}", response.text());
    let message = response.json()["error"]["message"].as_str().expect("a message").to_owned();
    for word in words {
        assert!(message.contains(word), "{word} in {message}");
    }
}

#[test]
fn codex_tools_reach_other_vendors() {
    let answer = r#"{"candidates":[{"content":{"role":"model","parts":[
        {"functionCall":{"name":"edit","args":{"input":"s/b/c/"}}},
        {"functionCall":{"name":"mcp__db__query","args":{"q":"x"}}}]},
        "finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":10,
        "candidatesTokenCount":5,"totalTokenCount":15},"responseId":"r1"}"#;
    let provider = Provider::always(json_answer("200 OK", "", answer));
    let gateway = Gateway::start(&format!(
        "[providers.google]\ndialect = \"gemini\"\nbase_url = \"http://{}/v1beta\"\n",
        provider.address
    ));
    let body = json!({
        "model": "google/gemini-3-pro-preview",
        "input": [
            {"role": "user", "content": "x"},
            {"type": "custom_tool_call", "call_id": "c7", "name": "edit", "input": "s/a/b/"},
            {"type": "custom_tool_call_output", "call_id": "c7", "output": "1 line"}
        ],
        "tools": [
            {"type": "custom", "name": "edit", "description": "edits"},
            {"type": "namespace", "name": "mcp__db", "tools": [{"type": "function",
                "name": "query", "parameters": {"type": "object",
                "properties": {"q": {"type": "string"}}}}]}
        ]
    });
    let response = gateway.post("/v1/responses", &body.to_string());
    assert_eq!(response.status, 200, "{}", response.text());
    let sent = provider.last_request();
    for part in ["\"name\":\"edit\"", "\"name\":\"mcp__db__query\"", "s/a/b/", "1 line"] {
        assert!(sent.contains(part), "{part} in {sent}");
    }
    let warnings = response.field("x-ringgate-warnings").unwrap_or_default();
    assert!(!warnings.contains("dropped"), "{warnings}");
    let answer = response.json();
    let [edit, query] = answer["output"].as_array().expect("items").as_slice() else {
        panic!("{answer}")
    };
    assert_eq!(
        (&edit["type"], &edit["name"], &edit["input"]),
        (&json!("custom_tool_call"), &json!("edit"), &json!("s/b/c/"))
    );
    assert_eq!(
        (&query["type"], &query["namespace"], &query["name"]),
        (&json!("function_call"), &json!("mcp__db"), &json!("query"))
    );
}

#[test]
fn referenced_items_are_expanded() {
    let stand = Stand::new(KEYS);
    for stream in [false, true] {
        let body = json!({"model": "google/m", "input": "What is the capital?", "stream": stream});
        let response = stand.send("rg-key-one", &body);
        assert_eq!(response.status, 200, "{}", response.text());
        let answer: Value = if stream {
            let text = response.text();
            let last = text.lines().rfind(|line| line.starts_with("data: ")).expect("an event");
            let last: Value = serde_json::from_str(&last["data: ".len()..]).expect("JSON");
            last["response"].clone()
        } else {
            response.json()
        };
        assert_eq!(answer["store"], true);
        let item = answer["output"][0]["id"].as_str().expect("an id");
        let body = json!({"model": "google/m", "input": [
            {"role": "user", "content": "What is the capital?"},
            {"type": "item_reference", "id": item},
            {"role": "user", "content": "And of France?"}
        ]});
        stand.answer("rg-key-one", &body);
        assert_eq!(stand.sent()["contents"][1]["parts"][0]["text"], "Rome.");
        assert_eq!(stand.sent()["contents"][1]["role"], "model");
        // Nobody else knows it.
        refused(&stand.send("rg-key-two", &body), &["item_reference", item, "store: false"]);
    }
}

#[test]
fn store_false_is_honored() {
    let stand = Stand::new(KEYS);
    let body = json!({"model": "google/m", "input": "x", "store": false});
    let answer = stand.answer("rg-key-one", &body);
    assert_eq!(answer["store"], false);
    let body = json!({"model": "google/m", "input": [
        {"type": "item_reference", "id": answer["output"][0]["id"]}]});
    refused(&stand.send("rg-key-one", &body), &["item_reference", "store: false"]);
    let body = json!({"model": "google/m", "input": "y", "previous_response_id": answer["id"]});
    refused(&stand.send("rg-key-one", &body), &["previous_response_id", "store: false"]);
    assert_eq!(stand.provider.request_count(), 1);
}

#[test]
fn previous_response_id_continues_conversation() {
    let stand = Stand::new(KEYS);
    let first = stand.answer("rg-key-one", &json!({"model": "google/m", "input": "one"}));
    let second = stand.answer(
        "rg-key-one",
        &json!({"model": "google/m", "previous_response_id": first["id"], "input": [
            {"type": "item_reference", "id": first["output"][0]["id"]},
            {"role": "user", "content": "two, and more words"}]}),
    );
    let third = stand.answer(
        "rg-key-one",
        &json!({"model": "google/m", "previous_response_id": second["id"], "input": "three"}),
    );
    assert_eq!(third["previous_response_id"], second["id"]);
    let contents = stand.sent()["contents"].clone();
    let texts: Vec<&str> = contents
        .as_array()
        .expect("turns")
        .iter()
        .flat_map(|turn| turn["parts"].as_array().expect("parts"))
        .filter_map(|part| part["text"].as_str())
        .collect();
    assert_eq!(texts, ["one", "Rome.", "Rome.", "two, and more words", "Rome.", "three"]);
    let other = json!({"model": "google/m", "previous_response_id": second["id"], "input": "x"});
    refused(&stand.send("rg-key-two", &other), &["previous_response_id"]);
    let state = json!({"model": "google/m", "conversation": "conv_1", "input": "x"});
    refused(&stand.send("rg-key-one", &state), &["conversation"]);
}

#[test]
fn stored_response_can_be_retrieved_and_deleted() {
    let stand = Stand::new("");
    let answer = stand.answer("k", &json!({"model": "google/m", "input": "one"}));
    let id = answer["id"].as_str().expect("an id");
    let call = |method: &str| {
        let head = format!("{method} /v1/responses/{id} HTTP/1.1\r\nhost: g\r\n");
        stand.gateway.send(&format!("{head}authorization: Bearer k\r\n\r\n"))
    };
    let found = call("GET");
    assert_eq!((found.status, found.json()), (200, answer.clone()));
    let gone = call("DELETE");
    assert_eq!(gone.json(), json!({"id": id, "object": "response", "deleted": true}));
    refused(&call("GET"), &["/v1/responses/"]);
}

#[test]
fn responses_subpaths_are_not_sent_to_other_vendors() {
    let stand = Stand::new("");
    for (method, path, body) in [
        ("POST", "/v1/responses/compact", r#"{"model":"google/m","input":"x"}"#),
        ("POST", "/v1/responses/resp_1/cancel", ""),
        ("GET", "/v1/responses/resp_1", ""),
        ("GET", "/v1/responses/resp_1/input_items", ""),
        ("DELETE", "/v1/responses/resp_1", ""),
    ] {
        let response = stand.gateway.send(&format!(
            "{method} {path} HTTP/1.1\r\nhost: g\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        ));
        refused(&response, &[path, "google", "gemini"]);
    }
    let body = r#"{"model":"google/m","instructions":"Be brief.","input":"Hello there"}"#;
    let response = stand.gateway.post("/v1/responses/input_tokens", body);
    assert_eq!(response.status, 200, "{}", response.text());
    let counted = response.json();
    assert_eq!(counted["object"], "response.input_tokens");
    assert!(counted["input_tokens"].as_u64().is_some_and(|count| count > 3), "{counted}");
    let warning = response.field("x-ringgate-warnings").expect("a warning");
    assert!(warning.contains("estimated"), "{warning}");
    assert_eq!(stand.provider.request_count(), 0);
}

#[test]
fn native_responses_subpaths_are_forwarded() {
    let provider = Provider::always(json_answer("200 OK", "", r#"{"input_tokens":3}"#));
    let gateway = Gateway::start(&format!(
        "[providers.own]\ndialect = \"openai-responses\"\nbase_url = \"http://{}/v1\"\n",
        provider.address
    ));
    for path in ["/v1/responses/input_tokens", "/v1/responses/compact"] {
        let response = gateway.post(path, r#"{"model":"own/m","input":"x"}"#);
        assert_eq!(response.status, 200, "{}", response.text());
        assert!(provider.last_request().starts_with(&format!("POST {path} ")), "{path}");
    }
}

#[test]
fn final_error_event_has_next_sequence_number() {
    let created = r#"{"type":"response.created","sequence_number":0,"response":{"id":"resp_1","status":"in_progress"}}"#;
    let delta = r#"{"type":"response.output_text.delta","sequence_number":41,"item_id":"m","output_index":0,"content_index":0,"delta":"\"sequence_number\":7"}"#;
    let google = ANSWER.replace('\n', "").replace("\"finishReason\":\"STOP\",", "");
    for (dialect, base, events) in [
        ("openai-responses", "/v1", vec![created.to_owned(), delta.to_owned()]),
        ("gemini", "/v1beta", vec![google]),
    ] {
        let sent: String = events.iter().map(|data| event(data)).collect();
        let provider = Provider::start(move |visit| {
            if visit.request().is_some() {
                visit.send(format!("{STREAM_HEAD}{sent}").as_bytes());
            }
        });
        let gateway = Gateway::start(&format!(
            "[providers.own]\ndialect = \"{dialect}\"\nbase_url = \"http://{}{base}\"\n",
            provider.address
        ));
        let body = r#"{"model":"own/m","input":"x","stream":true}"#;
        let text = gateway.post("/v1/responses", body).text();
        let events: Vec<Value> = text
            .lines()
            .filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok())
            .collect();
        let numbers: Vec<u64> =
            events.iter().filter_map(|event| event["sequence_number"].as_u64()).collect();
        assert_eq!(numbers.len(), events.len(), "{text}");
        let at = events.iter().position(|event| event["type"] == "error").expect("an error");
        assert_eq!(numbers[at], numbers[at - 1] + 1, "{dialect}: {text}");
    }
}

/// Seconds of Unix time.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("a time after 1970").as_secs()
}

#[test]
fn response_has_completion_time() {
    // The provider answers in the second after the one that it was asked in.
    let next_second = || {
        let begun = now();
        eventually("the next second", || now() > begun);
    };
    let provider = Provider::start(move |visit| {
        while let Some(request) = visit.request() {
            let answer = ANSWER.replace('\n', "");
            if request.contains(":streamGenerateContent") {
                let begin = r#"{"candidates":[{"content":{"role":"model","parts":[{"text":"In "}]},"index":0}]}"#;
                visit.send(format!("{STREAM_HEAD}{}", event(begin)).as_bytes());
                next_second();
                visit.send(format!("{}0\r\n\r\n", event(&answer)).as_bytes());
            } else {
                next_second();
                visit.send(json_answer("200 OK", "", &answer).as_bytes());
            }
        }
    });
    let gateway = Gateway::start(&format!(
        "[providers.google]\ndialect = \"gemini\"\nbase_url = \"http://{}/v1beta\"\n",
        provider.address
    ));
    for stream in [true, false] {
        let begun = now();
        let body = json!({"model": "google/m", "input": "x", "stream": stream});
        let sent = gateway.send(&post("/v1/responses", "", &body.to_string()));
        let last = if stream {
            let text = sent.text();
            let mut data = text.lines().filter_map(|line| line.strip_prefix("data: "));
            let last: Value =
                serde_json::from_str(data.next_back().expect("events")).expect("JSON");
            last["response"].clone()
        } else {
            sent.json()
        };
        let (created, completed) = (last["created_at"].as_u64(), last["completed_at"].as_u64());
        let (created, completed) = (created.expect("a time"), completed.expect("a time"));
        assert!(begun <= created && created < completed && completed <= now(), "{last}");
    }
}

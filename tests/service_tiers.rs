//! Classes of service reach OpenAI's clients in OpenAI's words, from those who imitate it too.

use serde_json::{Value, json};

use crate::harness::{Gateway, Provider, Response, STREAM_HEAD, event, json_answer, post};

const CHAT: (&str, &str) =
    ("/v1/chat/completions", r#"{"model":"p/m","messages":[{"role":"user","content":"x"}]}"#);
const RESPONSES: (&str, &str) = ("/v1/responses", r#"{"model":"p/m","input":"x"}"#);

/// Foreign words and what becomes of them.
const WORDS: [(&str, Option<&str>); 8] = [
    ("on_demand", Some("default")),
    ("standard", Some("default")),
    ("performance", Some("priority")),
    ("reserved", None),
    ("default", Some("default")),
    ("flex", Some("flex")),
    ("priority", Some("priority")),
    ("auto", Some("auto")),
];

fn gateway(dialect: &str, provider: &Provider) -> Gateway {
    let address = provider.address;
    let key = "api_key = \"test-credential\"";
    Gateway::start(&format!(
        "[providers.p]\n{dialect}\nbase_url = \"http://{address}/v1\"\n{key}\n"
    ))
}

fn chat(word: &str) -> Value {
    json!({ "id": "c", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{ "index": 0, "finish_reason": "stop", "logprobs": null,
            "message": { "role": "assistant", "content": "Hi", "service_tier": "kept" } }],
        "usage": { "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2 },
        "service_tier": word, "x_groq": { "id": "r" } })
}

fn response(word: &str, status: &str) -> Value {
    json!({ "id": "resp_1", "object": "response", "created_at": 1, "model": "m", "status": status,
        "metadata": { "service_tier": "kept" }, "service_tier": word, "output": [],
        "usage": { "input_tokens": 1, "output_tokens": 1, "total_tokens": 2 } })
}

/// The word of an answer or event, or none.
fn word_of(value: &Value) -> Option<String> {
    let response = value.get("response").unwrap_or(value);
    response.get("service_tier").map(|word| word.as_str().unwrap_or("null").to_owned())
}

fn data_of(response: &Response) -> Vec<Value> {
    let text = response.text();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.filter_map(|data| serde_json::from_str(data).ok()).collect()
}

/// The data of a chat's stream, whose events tell `word` from the first one on, or only with the end.
fn chunks(word: &str, from_begin: bool) -> Vec<Value> {
    let chunk = |choices: Value| json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices });
    let delta = |delta: Value, finish: Value| {
        chunk(json!([{ "index": 0, "delta": delta, "finish_reason": finish }]))
    };
    let mut all = vec![
        delta(json!({ "role": "assistant", "content": "" }), Value::Null),
        delta(json!({ "content": "Hi" }), Value::Null),
        delta(json!({}), json!("stop")),
        chunk(json!([])),
    ];
    all[3]["usage"] = json!({ "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2 });
    for chunk in all.iter_mut().skip(if from_begin { 0 } else { 2 }) {
        chunk["service_tier"] = json!(word);
    }
    all
}

fn stream(events: &[Value]) -> String {
    let events: String = events.iter().map(|it| event(&it.to_string())).collect();
    [STREAM_HEAD, &events, &event("[DONE]"), "0\r\n\r\n"].concat()
}

/// An event of responses, with its name.
fn named_event(data: &Value) -> String {
    let event = format!("event: {}\ndata: {data}\n\n", data["type"].as_str().expect("a kind"));
    format!("{:x}\r\n{event}\r\n", event.len())
}

#[test]
fn compatible_responses_use_openai_service_tiers() {
    for (word, expected) in WORDS {
        for ((path, request), dialect, answer) in [
            (CHAT, "openai-chat", chat(word)),
            (RESPONSES, "openai-responses", response(word, "completed")),
        ] {
            let provider = Provider::always(json_answer("200 OK", "", &answer.to_string()));
            let gateway = gateway(&format!("dialect = \"{dialect}\""), &provider);
            let sent = gateway.send(&post(path, "", request));
            let found = word_of(&sent.json());
            assert_eq!(found.as_deref(), expected, "{path} {word}: {}", sent.text());
            if expected == Some(word) {
                assert_eq!(sent.text(), answer.to_string(), "byte for byte");
            }
            // All else stays.
            let mut rest = (sent.json(), answer);
            for value in [&mut rest.0, &mut rest.1] {
                value.as_object_mut().expect("an object").remove("service_tier");
            }
            assert_eq!(rest.0, rest.1);
        }
    }
}

#[test]
fn compatible_streams_use_openai_service_tiers() {
    for (word, expected) in WORDS {
        for (from_begin, with_usage) in [(true, true), (false, true), (true, false), (false, false)]
        {
            let events = chunks(word, from_begin);
            let provider = Provider::always(stream(&events));
            let gateway = gateway("dialect = \"openai-chat\"", &provider);
            let options = if with_usage {
                r#"{"stream":true,"stream_options":{"include_usage":true},"#
            } else {
                r#"{"stream":true,"#
            };
            let sent = gateway.send(&post(CHAT.0, "", &CHAT.1.replacen('{', options, 1)));
            let received = data_of(&sent);
            assert_eq!(received.len(), if with_usage { 4 } else { 3 }, "{}", sent.text());
            for (event, original) in received.iter().zip(&events) {
                let expected = original.get("service_tier").and(expected);
                assert_eq!(word_of(event).as_deref(), expected, "{word}: {}", sent.text());
            }
            assert!(sent.text().trim_end().ends_with("[DONE]"), "{}", sent.text());
        }
        let named =
            |kind: &str, status: &str| json!({ "type": kind, "response": response(word, status) });
        let events = [
            named("response.created", "in_progress"),
            named("response.in_progress", "in_progress"),
            json!({ "type": "response.output_text.delta", "delta": "Hi", "item_id": "i" }),
            named("response.completed", "completed"),
        ];
        let framed: String = events.iter().map(named_event).collect();
        let provider = Provider::always([STREAM_HEAD, &framed, "0\r\n\r\n"].concat());
        let gateway = gateway("dialect = \"openai-responses\"", &provider);
        let request = RESPONSES.1.replacen('{', r#"{"stream":true,"#, 1);
        let sent = gateway.send(&post(RESPONSES.0, "", &request));
        let events = data_of(&sent);
        assert_eq!(events.len(), 4, "{}", sent.text());
        for event in events.iter().filter(|event| event.get("response").is_some()) {
            assert_eq!(word_of(event).as_deref(), expected, "{word}: {}", sent.text());
            assert_eq!(event["response"]["metadata"]["service_tier"], "kept");
        }
    }
}

#[test]
fn vendor_context_overflow_is_forwarded_unchanged() {
    let answer = chat("on_demand").to_string();
    let provider = Provider::always(json_answer("200 OK", "", &answer));
    let original = gateway("preset = \"openai\"", &provider);
    assert_eq!(original.send(&post(CHAT.0, "", CHAT.1)).text(), answer);
    let events = chunks("on_demand", true);
    let provider = Provider::always(stream(&events));
    let original = gateway("preset = \"openai\"", &provider);
    let request =
        CHAT.1.replacen('{', r#"{"stream":true,"stream_options":{"include_usage":true},"#, 1);
    assert_eq!(data_of(&original.send(&post(CHAT.0, "", &request))), events);
}

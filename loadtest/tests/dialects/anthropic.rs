//! Anthropic's messages, at Anthropic and at Vertex AI.

use serde_json::{Value, json};

use super::client::{Answer, post};
use super::{
    Call, MockRequest, ParsedAnswer, Spoken, check, check_refused, mock, schema, send, strict_mock,
};

pub(crate) struct Anthropic;

fn tool(name: &str) -> Value {
    json!({"name": name, "description": "d", "input_schema": schema()})
}

impl Spoken for Anthropic {
    fn chat_request(&self, words: &str, stream: bool) -> MockRequest {
        let body = json!({
            "model": "claude-x",
            "max_tokens": 100,
            "system": "s",
            "messages": [{"role": "user", "content": words}],
            "tools": [tool("weather"), tool("clock")],
            "stream": stream,
        });
        let headers = "anthropic-version: 2023-06-01\r\n";
        MockRequest { path: "/v1/messages".to_owned(), headers, body }
    }

    fn go_on(
        &self,
        mut request: MockRequest,
        answer: &Value,
        results: &[(Call, &str)],
    ) -> MockRequest {
        let messages = request.body["messages"].as_array_mut().unwrap();
        messages.push(json!({"role": "assistant", "content": answer["content"]}));
        let results = results.iter().map(
            |(call, text)| json!({"type": "tool_result", "tool_use_id": call.id, "content": text}),
        );
        messages.push(json!({"role": "user", "content": results.collect::<Vec<_>>()}));
        request
    }

    fn whole(&self, answer: &Value) -> ParsedAnswer {
        let mut parsed = ParsedAnswer { usage: answer["usage"].clone(), ..ParsedAnswer::default() };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        for block in answer["content"].as_array().unwrap() {
            match block["type"].as_str().unwrap() {
                "text" => parsed.text.push_str(&text(&block["text"])),
                "thinking" => {
                    parsed.thoughts.push_str(&text(&block["thinking"]));
                    parsed.signatures.push(text(&block["signature"]));
                }
                "redacted_thinking" => parsed.signatures.push(text(&block["data"])),
                _ => parsed.calls.push(Call {
                    id: text(&block["id"]),
                    name: text(&block["name"]),
                    arguments: block["input"].clone(),
                }),
            }
        }
        parsed.stop = text(&answer["stop_reason"]);
        parsed
    }

    fn folded(&self, answer: &Answer) -> ParsedAnswer {
        let events = answer.events();
        let kinds: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
        assert_eq!((kinds[0], kinds[kinds.len() - 1]), ("message_start", "message_stop"));
        assert!(kinds.contains(&"ping"));
        let mut message = events[0]["message"].clone();
        let mut blocks: Vec<Value> = Vec::new();
        let mut arguments = String::new();
        for event in &events {
            let (delta, index) = (&event["delta"], event["index"].as_u64().unwrap_or(0) as usize);
            match event["type"].as_str().unwrap() {
                "content_block_start" => {
                    assert_eq!(index, blocks.len());
                    blocks.push(event["content_block"].clone());
                }
                "content_block_delta" => {
                    let (name, piece) = match delta["type"].as_str().unwrap() {
                        "text_delta" => ("text", &delta["text"]),
                        "thinking_delta" => ("thinking", &delta["thinking"]),
                        "signature_delta" => ("signature", &delta["signature"]),
                        _ => {
                            arguments.push_str(delta["partial_json"].as_str().unwrap());
                            continue;
                        }
                    };
                    let whole = blocks[index][name].as_str().unwrap().to_owned();
                    blocks[index][name] = json!(whole + piece.as_str().unwrap());
                }
                "content_block_stop" if !arguments.is_empty() => {
                    blocks[index]["input"] = serde_json::from_str(&arguments).unwrap();
                    arguments.clear();
                }
                "message_delta" => {
                    message["stop_reason"] = delta["stop_reason"].clone();
                    for (name, count) in event["usage"].as_object().unwrap() {
                        message["usage"][name] = count.clone();
                    }
                }
                _ => {}
            }
        }
        message["content"] = json!(blocks);
        self.whole(&message)
    }

    fn stops(&self) -> [&'static str; 4] {
        ["end_turn", "tool_use", "max_tokens", "refusal"]
    }

    fn error(&self, answer: &Answer) -> Option<String> {
        let body = answer.json();
        (body["type"] == "error").then(|| body["error"]["type"].as_str()).flatten()?;
        Some(body["error"]["message"].as_str()?.to_owned())
    }

    fn ends_with_error(&self, answer: &Answer) -> bool {
        let events = answer.events();
        let deltas = events.iter().filter(|event| event["type"] == "content_block_delta").count();
        deltas == 2 && events.last().unwrap()["error"]["type"] == "overloaded_error"
    }
}

/// The same at Vertex AI, where path and body differ.
struct Vertex;

impl Spoken for Vertex {
    fn chat_request(&self, words: &str, stream: bool) -> MockRequest {
        let mut request = Anthropic.chat_request(words, stream);
        let call = if stream { "streamRawPredict" } else { "rawPredict" };
        let place = "/v1/projects/p/locations/global/publishers/anthropic/models";
        request.path = format!("{place}/claude-x@20260101:{call}");
        request.headers = "";
        request.body.as_object_mut().unwrap().remove("model");
        request.body["anthropic_version"] = json!("vertex-2023-10-16");
        request
    }

    fn go_on(&self, request: MockRequest, answer: &Value, results: &[(Call, &str)]) -> MockRequest {
        Anthropic.go_on(request, answer, results)
    }

    fn whole(&self, answer: &Value) -> ParsedAnswer {
        Anthropic.whole(answer)
    }

    fn folded(&self, answer: &Answer) -> ParsedAnswer {
        Anthropic.folded(answer)
    }

    fn stops(&self) -> [&'static str; 4] {
        Anthropic.stops()
    }

    fn error(&self, answer: &Answer) -> Option<String> {
        Anthropic.error(answer)
    }

    fn ends_with_error(&self, answer: &Answer) -> bool {
        Anthropic.ends_with_error(answer)
    }
}

#[test]
fn conversation_is_answered_at_both_paths() {
    check(&Anthropic);
    check(&Vertex);
}

#[test]
fn invalid_anthropic_requests_are_rejected() {
    let mock = mock();
    type Change = fn(&mut Value);
    let cases: [(Change, &str); 22] = [
        (
            |body| drop(body.as_object_mut().unwrap().remove("max_tokens")),
            "max_tokens: Field required",
        ),
        (|body| body["n"] = json!(1), "n: Extra inputs are not permitted"),
        (|body| body["messages"] = json!([]), "at least one message"),
        (|body| body["messages"][0]["role"] = json!("tool"), "messages.0.role"),
        (|body| body["messages"][0]["role"] = json!("system"), "top-level `system`"),
        (|body| body["messages"][0]["role"] = json!("assistant"), "first message must use"),
        (|body| body["messages"][0]["name"] = json!("x"), "messages.0.name: Extra inputs"),
        (
            |body| {
                body["messages"]
                    .as_array_mut()
                    .unwrap()
                    .push(json!({"role": "user", "content": "b"}))
            },
            "roles must alternate",
        ),
        (|body| body["messages"][0]["content"] = json!(""), "must be non-empty"),
        (
            |body| body["messages"][0]["content"] = json!([{"type": "text", "text": " "}]),
            "non-whitespace",
        ),
        (|body| body["messages"][0]["content"] = json!([]), "non-empty content"),
        (
            |body| {
                let thought = json!({"type": "thinking", "thinking": "hm"});
                body["messages"]
                    .as_array_mut()
                    .unwrap()
                    .push(json!({"role": "assistant", "content": [thought]}));
            },
            "messages.1.content.0.signature: Field required",
        ),
        (
            |body| {
                let thought = json!({"type": "thinking", "thinking": "hm", "signature": "AAAA"});
                body["messages"]
                    .as_array_mut()
                    .unwrap()
                    .push(json!({"role": "assistant", "content": [thought]}));
            },
            "Invalid `signature` in `thinking` block",
        ),
        (
            |body| {
                body["messages"]
                    .as_array_mut()
                    .unwrap()
                    .push(json!({"role": "assistant", "content": "so "}))
            },
            "trailing whitespace",
        ),
        (|body| body["temperature"] = json!(1.5), "from 0 to 1"),
        (
            |body| body["thinking"] = json!({"type": "enabled", "budget_tokens": 1024}),
            "must be greater",
        ),
        (
            |body| {
                body["max_tokens"] = json!(4000);
                body["temperature"] = json!(0.5);
                body["thinking"] = json!({"type": "enabled", "budget_tokens": 1024});
            },
            "may only be set to 1",
        ),
        (|body| body["tool_choice"] = json!({"type": "tool", "name": "z"}), "not found"),
        (|body| body["tools"][1]["name"] = json!("weather"), "must be unique"),
        (|body| body["tools"][0] = json!({"name": "a", "parameters": {}}), "Extra inputs"),
        (
            |body| {
                let source = json!({"type": "base64", "media_type": "image/png", "data": "?"});
                body["messages"][0]["content"] = json!([{"type": "image", "source": source}]);
            },
            "base64",
        ),
        (
            |body| {
                let mark =
                    json!({"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}});
                body["messages"][0]["content"] = json!(vec![mark; 5]);
            },
            "maximum of 4 blocks",
        ),
    ];
    for (change, words) in cases {
        check_refused(&mock, &Anthropic, 400, change, words);
    }
    check_refused(&mock, &Vertex, 400, |body| body["model"] = json!("m"), "model: Extra inputs");
    let request = Anthropic.chat_request("Hello", false);
    let without_version = post(mock.addr, &request.path, "", &request.body.to_string());
    assert!(without_version.status == 400 && without_version.text().contains("anthropic-version"));
    check_refused(&strict_mock(), &Anthropic, 401, |_| {}, "x-api-key");
}

#[test]
fn thinking_precedes_tool_calls() {
    let mock = mock();
    let words = "call the tool";
    let answer = send(&mock, &Anthropic.chat_request(words, false)).json();
    let call = Anthropic.whole(&answer).calls[0].clone();
    let mut request =
        Anthropic.go_on(Anthropic.chat_request(words, false), &answer, &[(call, "7")]);
    request.body["max_tokens"] = json!(4000);
    request.body["thinking"] = json!({"type": "enabled", "budget_tokens": 1024});
    let refused = send(&mock, &request);
    assert!(refused.status == 400 && refused.text().contains("Expected `thinking`"));
}

#[test]
fn tool_results_come_first() {
    let mock = mock();
    let answer = send(&mock, &Anthropic.chat_request("call the tool", false)).json();
    let call = Anthropic.whole(&answer).calls[0].clone();
    let mut request =
        Anthropic.go_on(Anthropic.chat_request("call the tool", false), &answer, &[(call, "7")]);
    let blocks = request.body["messages"][2]["content"].as_array_mut().unwrap();
    blocks.push(json!({"type": "text", "text": "thanks"}));
    let reply = Anthropic.whole(&send(&mock, &request).json()).text;
    assert_eq!(reply, "You said: thanks The tool said: 7");
    request.body["messages"][2]["content"].as_array_mut().unwrap().reverse();
    assert!(send(&mock, &request).text().contains("immediately after"));
}

#[test]
fn tokens_are_counted_as_they_are_used() {
    let mock = mock();
    let request = Anthropic.chat_request("Hello", false);
    let used = send(&mock, &request).json()["usage"]["input_tokens"].as_u64().unwrap();
    let mut body = request.body.clone();
    for name in ["stream", "max_tokens"] {
        body.as_object_mut().unwrap().remove(name);
    }
    let path = "/v1/messages/count_tokens".to_owned();
    let counted = send(&mock, &MockRequest { path, headers: request.headers, body }).json();
    let counted = counted["input_tokens"].as_u64().unwrap();
    assert!(counted.abs_diff(used) <= 2, "{counted} and {used}");
    let path = "/v1/messages/count_tokens".to_owned();
    let refused = send(&mock, &MockRequest { path, headers: request.headers, body: request.body });
    assert!(refused.status == 400 && refused.text().contains("Extra inputs"));
}

#[test]
fn cached_tokens_are_not_input_tokens() {
    let mock = mock();
    let usage = |words| send(&mock, &Anthropic.chat_request(words, false)).json()["usage"].clone();
    let (plain, cached) = (usage("errand"), usage("cached"));
    assert_eq!(plain["input_tokens"], cached["input_tokens"]);
    assert_eq!(cached["cache_read_input_tokens"], 40);
    assert_eq!(cached["cache_creation_input_tokens"], 20);
    assert_eq!(cached["cache_creation"]["ephemeral_1h_input_tokens"], 8);
}

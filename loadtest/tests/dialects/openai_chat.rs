//! Chat completions at OpenAI, at Azure and at a compatible server.

use serde_json::{Value, json};

use super::client::Answer;
use super::{
    Call, MockRequest, ParsedAnswer, Spoken, check, check_refused, mock, schema, send, strict_mock,
};

struct Chat {
    path: &'static str,
}

const OPENAI: Chat = Chat { path: "/openai/v1/chat/completions" };

impl Spoken for Chat {
    fn chat_request(&self, words: &str, stream: bool) -> MockRequest {
        let tool = |name: &str| {
            let function = json!({"name": name, "description": "d", "parameters": schema()});
            json!({"type": "function", "function": function})
        };
        let mut body = json!({
            "model": "gpt-x",
            "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": words}],
            "tools": [tool("weather"), tool("clock")],
        });
        if stream {
            body["stream"] = json!(true);
            body["stream_options"] = json!({"include_usage": true});
        }
        MockRequest { path: self.path.to_owned(), headers: "", body }
    }

    fn go_on(
        &self,
        mut request: MockRequest,
        answer: &Value,
        results: &[(Call, &str)],
    ) -> MockRequest {
        let messages = request.body["messages"].as_array_mut().unwrap();
        messages.push(answer["choices"][0]["message"].clone());
        for (call, text) in results {
            messages.push(json!({"role": "tool", "tool_call_id": call.id, "content": text}));
        }
        request
    }

    fn whole(&self, answer: &Value) -> ParsedAnswer {
        let choice = &answer["choices"][0];
        let message = &choice["message"];
        let text = |name: &str| message[name].as_str().unwrap_or_default().to_owned();
        let calls = message["tool_calls"].as_array().into_iter().flatten().map(|call| Call {
            id: call["id"].as_str().unwrap().to_owned(),
            name: call["function"]["name"].as_str().unwrap().to_owned(),
            arguments: serde_json::from_str(call["function"]["arguments"].as_str().unwrap())
                .unwrap(),
        });
        ParsedAnswer {
            thoughts: text("reasoning_content"),
            signatures: Vec::new(),
            text: text("content"),
            refusal: text("refusal"),
            calls: calls.collect(),
            stop: choice["finish_reason"].as_str().unwrap().to_owned(),
            usage: answer["usage"].clone(),
        }
    }

    fn folded(&self, answer: &Answer) -> ParsedAnswer {
        assert!(answer.text().ends_with("data: [DONE]\n\n"));
        let mut message = json!({});
        let mut calls: Vec<Value> = Vec::new();
        let (mut stop, mut usage) = (Value::Null, Value::Null);
        let join = |whole: &mut Value, piece: &Value| {
            if let Some(piece) = piece.as_str() {
                *whole = json!(whole.as_str().unwrap_or_default().to_owned() + piece);
            }
        };
        for (at, event) in answer.events().iter().enumerate() {
            assert_eq!(event["object"], "chat.completion.chunk");
            let delta = &event["choices"][0]["delta"];
            assert_eq!(delta["role"] == "assistant", at == 0);
            for name in ["content", "refusal", "reasoning_content"] {
                join(&mut message[name], &delta[name]);
            }
            for part in delta["tool_calls"].as_array().into_iter().flatten() {
                let index = part["index"].as_u64().unwrap() as usize;
                if index == calls.len() {
                    calls.push(part.clone());
                } else {
                    let piece = &part["function"]["arguments"];
                    join(&mut calls[index]["function"]["arguments"], piece);
                }
            }
            if event["choices"][0]["finish_reason"].is_string() {
                stop = event["choices"][0]["finish_reason"].clone();
            }
            if event["usage"].is_object() {
                usage = event["usage"].clone();
            }
        }
        message["tool_calls"] = json!(calls);
        self.whole(
            &json!({"choices": [{"message": message, "finish_reason": stop}], "usage": usage}),
        )
    }

    fn stops(&self) -> [&'static str; 4] {
        ["stop", "tool_calls", "length", "stop"]
    }

    fn error(&self, answer: &Answer) -> Option<String> {
        let error = answer.json()["error"].clone();
        error["type"].as_str()?;
        Some(error["message"].as_str()?.to_owned())
    }

    fn ends_with_error(&self, answer: &Answer) -> bool {
        answer.events().last().is_some_and(|event| event["error"]["type"] == "server_error")
    }
}

#[test]
fn all_three_paths_are_answered() {
    check(&OPENAI);
    check(&Chat { path: "/openai/deployments/gpt-x/chat/completions?api-version=2026-01-01" });
    check(&Chat { path: "/compatible/v1/chat/completions" });
}

#[test]
fn only_compatible_servers_return_reasoning() {
    let mock = mock();
    for (path, thinks) in [(OPENAI.path, false), ("/compatible/v1/chat/completions", true)] {
        let parsed = OPENAI.whole(&send(&mock, &Chat { path }.chat_request("think", false)).json());
        assert_eq!(!parsed.thoughts.is_empty(), thinks);
        let counted = &parsed.usage["completion_tokens_details"]["reasoning_tokens"];
        assert!(counted.as_u64() > Some(0));
    }
}

#[test]
fn invalid_openai_requests_are_rejected() {
    let mock = mock();
    type Change = fn(&mut Value);
    let cases: [(Change, &str); 16] = [
        (|body| body["top_k"] = json!(4), "Unknown parameter: 'top_k'"),
        (|body| drop(body.as_object_mut().unwrap().remove("model")), "'model'"),
        (|body| body["messages"] = json!([]), "too short"),
        (|body| body["messages"][1]["role"] = json!("robot"), "Invalid value: 'robot'"),
        (|body| body["messages"][1]["content"] = json!(5), "messages[1].content"),
        (|body| body["messages"][1]["content"] = json!([{"type": "image"}]), "'image'"),
        (|body| body["temperature"] = json!(3), "from 0 to 2"),
        (|body| body["stream_options"] = json!({}), "only allowed when 'stream'"),
        (|body| body["tools"] = json!([]), "too short - 'tools'"),
        (|body| body["tools"][0]["function"]["name"] = json!("a b"), "matches"),
        (|body| body["tools"][0]["function"]["strict"] = json!(true), "additionalProperties"),
        (
            |body| body["tool_choice"] = json!({"type": "function", "function": {"name": "z"}}),
            "not found",
        ),
        (|body| body["stop"] = json!(["a", "b", "c", "d", "e"]), "at most 4"),
        (|body| body["response_format"] = json!({"type": "json_object"}), "'json'"),
        (
            |body| {
                body["model"] = json!("o3");
                body["max_tokens"] = json!(5);
            },
            "max_completion_tokens",
        ),
        (
            |body| {
                body["messages"][1] = json!({"role": "tool", "tool_call_id": "a", "content": "b"})
            },
            "must follow",
        ),
    ];
    for (change, words) in cases {
        check_refused(&mock, &OPENAI, 400, change, words);
    }
    let mut request = Chat { path: "/compatible/v1/chat/completions" }.chat_request("Hello", false);
    request.body["top_k"] = json!(4);
    assert_eq!(send(&mock, &request).status, 200);
    assert_eq!(send(&strict_mock(), &OPENAI.chat_request("Hello", false)).status, 401);
}

#[test]
fn choices_formats_and_counts_are_respected() {
    let mock = mock();
    let send_body = |change: &dyn Fn(&mut Value)| {
        let mut request = OPENAI.chat_request("Hello", false);
        change(&mut request.body);
        send(&mock, &request).json()
    };
    let named = send_body(&|body| {
        body["tool_choice"] = json!({"type": "function", "function": {"name": "clock"}})
    });
    assert_eq!(OPENAI.whole(&named).calls[0].name, "clock");
    let schema = json!({"type": "json_schema", "json_schema": {"name": "n", "schema": schema()}});
    let formatted = send_body(&|body| body["response_format"] = schema.clone());
    let text = OPENAI.whole(&formatted).text;
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), super::arguments());
    assert_eq!(send_body(&|body| body["n"] = json!(3))["choices"].as_array().unwrap().len(), 3);
}

#[test]
fn embeddings_are_checked_and_stable() {
    let mock = mock();
    let send_body = |body: Value| {
        send(&mock, &MockRequest { path: "/openai/v1/embeddings".to_owned(), headers: "", body })
    };
    let plain = send_body(json!({"model": "m", "input": ["a", "b"], "dimensions": 4})).json();
    assert_eq!(plain["data"][1]["embedding"].as_array().unwrap().len(), 4);
    let packed = send_body(
        json!({"model": "m", "input": "a", "dimensions": 4, "encoding_format": "base64"}),
    );
    assert_eq!(packed.json()["data"][0]["embedding"].as_str().unwrap().len(), 24);
    for bad in [json!({"model": "m"}), json!({"model": "m", "input": "a", "input_type": "query"})] {
        assert_eq!(send_body(bad).status, 400);
    }
}

#[test]
fn voyage_embeddings_have_their_own_format() {
    let mock = mock();
    let send_body = |body: Value| {
        send(&mock, &MockRequest { path: "/voyage/v1/embeddings".to_owned(), headers: "", body })
    };
    let body =
        json!({"model": "v", "input": ["a"], "input_type": "query", "output_dimension": 256});
    let embedded = send_body(body).json();
    assert_eq!(embedded["data"][0]["embedding"].as_array().unwrap().len(), 256);
    assert!(embedded["usage"]["total_tokens"].is_u64());
    for name in ["dimensions", "user"] {
        let mut body = json!({"model": "v", "input": "a"});
        body[name] = json!(4);
        let answer = send_body(body);
        assert_eq!(answer.status, 400);
        assert!(answer.json()["detail"].as_str().unwrap().contains(name));
    }
}

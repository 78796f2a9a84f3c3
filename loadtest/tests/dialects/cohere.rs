//! Cohere's chat, embeddings and reranking.

use serde_json::{Value, json};

use super::client::Answer;
use super::{
    Call, MockRequest, ParsedAnswer, Spoken, check, check_refused, mock, schema, send, strict_mock,
};

struct Cohere;

impl Spoken for Cohere {
    fn chat_request(&self, words: &str, stream: bool) -> MockRequest {
        let tool = |name: &str| {
            let function = json!({"name": name, "description": "d", "parameters": schema()});
            json!({"type": "function", "function": function})
        };
        let body = json!({
            "model": "command-x",
            "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": words}],
            "tools": [tool("weather"), tool("clock")],
            "stream": stream,
        });
        MockRequest { path: "/v2/chat".to_owned(), headers: "", body }
    }

    fn go_on(
        &self,
        mut request: MockRequest,
        answer: &Value,
        results: &[(Call, &str)],
    ) -> MockRequest {
        let messages = request.body["messages"].as_array_mut().unwrap();
        messages.push(answer["message"].clone());
        for (call, text) in results {
            messages.push(json!({"role": "tool", "tool_call_id": call.id, "content": text}));
        }
        request
    }

    fn whole(&self, answer: &Value) -> ParsedAnswer {
        let message = &answer["message"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut parsed = ParsedAnswer {
            text: text(&message["tool_plan"]),
            stop: text(&answer["finish_reason"]),
            usage: answer["usage"].clone(),
            ..ParsedAnswer::default()
        };
        for block in message["content"].as_array().into_iter().flatten() {
            parsed.text.push_str(&text(&block["text"]));
            parsed.thoughts.push_str(&text(&block["thinking"]));
        }
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            parsed.calls.push(Call {
                id: text(&call["id"]),
                name: text(&call["function"]["name"]),
                arguments: serde_json::from_str(&text(&call["function"]["arguments"])).unwrap(),
            });
        }
        parsed
    }

    fn folded(&self, answer: &Answer) -> ParsedAnswer {
        assert!(answer.text().ends_with("data: [DONE]\n\n"));
        let mut message = json!({"content": [], "tool_calls": []});
        let mut end = Value::Null;
        let join = |whole: &mut Value, piece: &Value| {
            if let Some(piece) = piece.as_str() {
                *whole = json!(whole.as_str().unwrap_or_default().to_owned() + piece);
            }
        };
        for event in answer.events() {
            let index = event["index"].as_u64().unwrap_or(0) as usize;
            let delta = &event["delta"]["message"];
            match event["type"].as_str().unwrap() {
                "content-start" => {
                    message["content"].as_array_mut().unwrap().push(delta["content"].clone())
                }
                "content-delta" => {
                    for name in ["text", "thinking"] {
                        join(&mut message["content"][index][name], &delta["content"][name]);
                    }
                }
                "tool-plan-delta" => join(&mut message["tool_plan"], &delta["tool_plan"]),
                "tool-call-start" => {
                    message["tool_calls"].as_array_mut().unwrap().push(delta["tool_calls"].clone());
                }
                "tool-call-delta" => join(
                    &mut message["tool_calls"][index]["function"]["arguments"],
                    &delta["tool_calls"]["function"]["arguments"],
                ),
                "message-end" => end = event["delta"].clone(),
                _ => {}
            }
        }
        self.whole(&json!({"message": message, "finish_reason": end["finish_reason"], "usage": end["usage"]}))
    }

    fn stops(&self) -> [&'static str; 4] {
        ["COMPLETE", "TOOL_CALL", "MAX_TOKENS", "COMPLETE"]
    }

    fn error(&self, answer: &Answer) -> Option<String> {
        Some(answer.json()["message"].as_str()?.to_owned())
    }

    fn ends_with_error(&self, answer: &Answer) -> bool {
        answer.events().last().unwrap()["delta"]["finish_reason"] == "ERROR"
    }
}

#[test]
fn conversation_is_answered() {
    check(&Cohere);
}

#[test]
fn invalid_cohere_requests_are_rejected() {
    let mock = mock();
    type Change = fn(&mut Value);
    let cases: [(u16, Change, &str); 12] = [
        (422, |body| body["top_p"] = json!(0.5), "'top_p' is not a valid field"),
        (422, |body| body["tools"][0]["function"]["strict"] = json!(true), "'strict'"),
        (422, |body| body["messages"][1]["name"] = json!("x"), "'name'"),
        (400, |body| drop(body.as_object_mut().unwrap().remove("model")), "model is required"),
        (400, |body| body["messages"] = json!([]), "at least one message"),
        (400, |body| body["messages"][1]["role"] = json!("developer"), "'developer'"),
        (400, |body| body["p"] = json!(1), "0.99"),
        (400, |body| body["tool_choice"] = json!("auto"), "'auto'"),
        (400, |body| body["response_format"] = json!({"type": "json_object"}), "with tools"),
        (400, |body| body["stop_sequences"] = json!(["", "", "", "", "", ""]), "at most 5"),
        (
            400,
            |body| drop(body["tools"][0]["function"].as_object_mut().unwrap().remove("parameters")),
            "parameters",
        ),
        (
            400,
            |body| {
                body["messages"][1] = json!({"role": "tool", "tool_call_id": "a", "content": "b"})
            },
            "has the id a",
        ),
    ];
    for (status, change, words) in cases {
        check_refused(&mock, &Cohere, status, change, words);
    }
    check_refused(&strict_mock(), &Cohere, 401, |_| {}, "no api key");
}

#[test]
fn embeddings_and_rerank_are_answered() {
    let mock = mock();
    let send_body = |path: &str, body: Value| {
        send(&mock, &MockRequest { path: path.to_owned(), headers: "", body })
    };
    let body = json!({
        "model": "embed-x",
        "input_type": "search_query",
        "texts": ["a", "b"],
        "embedding_types": ["float", "int8", "ubinary"],
        "output_dimension": 256,
    });
    let embedded = send_body("/v2/embed", body.clone()).json();
    for (kind, length) in [("float", 256), ("int8", 256), ("ubinary", 32)] {
        assert_eq!(embedded["embeddings"][kind][1].as_array().unwrap().len(), length, "{kind}");
    }
    let mut bad = body;
    bad.as_object_mut().unwrap().remove("input_type");
    assert_eq!(send_body("/v2/embed", bad).status, 400);
    let documents = json!(["a cat", "a dog and a cat", "a dog"]);
    let body = json!({"model": "r", "query": "dog cat", "documents": documents, "top_n": 2});
    let ranked = send_body("/v2/rerank", body).json();
    assert_eq!(ranked["results"][0], json!({"index": 1, "relevance_score": 1.0}));
    assert_eq!(ranked["results"].as_array().unwrap().len(), 2);
    assert_eq!(send_body("/v2/rerank", json!({"model": "r", "query": "q"})).status, 400);
}

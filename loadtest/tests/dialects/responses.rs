//! OpenAI's responses.

use serde_json::{Value, json};

use super::client::Answer;
use super::{
    Call, MockRequest, ParsedAnswer, Spoken, check, check_refused, mock, schema, strict_mock,
};

struct Responses;

impl Spoken for Responses {
    fn chat_request(&self, words: &str, stream: bool) -> MockRequest {
        let tool = |name: &str| json!({"type": "function", "name": name, "description": "d", "parameters": schema()});
        let body = json!({
            "model": "gpt-x",
            "instructions": "s",
            "input": [{"role": "user", "content": [{"type": "input_text", "text": words}]}],
            "tools": [tool("weather"), tool("clock")],
            "stream": stream,
        });
        MockRequest { path: "/v1/responses".to_owned(), headers: "", body }
    }

    fn go_on(
        &self,
        mut request: MockRequest,
        answer: &Value,
        results: &[(Call, &str)],
    ) -> MockRequest {
        let input = request.body["input"].as_array_mut().unwrap();
        input.extend(answer["output"].as_array().unwrap().iter().cloned());
        for (call, text) in results {
            input.push(json!({"type": "function_call_output", "call_id": call.id, "output": text}));
        }
        request
    }

    fn whole(&self, answer: &Value) -> ParsedAnswer {
        let mut parsed = ParsedAnswer { usage: answer["usage"].clone(), ..ParsedAnswer::default() };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        for item in answer["output"].as_array().unwrap() {
            match item["type"].as_str().unwrap() {
                "reasoning" => {
                    parsed.thoughts.push_str(&text(&item["summary"][0]["text"]));
                    parsed.signatures.push(text(&item["encrypted_content"]));
                }
                "message" => {
                    parsed.text.push_str(&text(&item["content"][0]["text"]));
                    parsed.refusal.push_str(&text(&item["content"][0]["refusal"]));
                }
                _ => parsed.calls.push(Call {
                    id: text(&item["call_id"]),
                    name: text(&item["name"]),
                    arguments: serde_json::from_str(&text(&item["arguments"])).unwrap(),
                }),
            }
        }
        parsed.stop = match text(&answer["status"]).as_str() {
            "incomplete" => text(&answer["incomplete_details"]["reason"]),
            "completed" if !parsed.calls.is_empty() => "calls".to_owned(),
            "completed" if !parsed.refusal.is_empty() => "refusal".to_owned(),
            status => status.to_owned(),
        };
        parsed
    }

    /// The deltas are joined, and each `done` must hold what its deltas held.
    fn folded(&self, answer: &Answer) -> ParsedAnswer {
        let (mut joined, mut output) = (String::new(), Vec::new());
        let events = answer.events();
        for (number, event) in events.iter().enumerate() {
            assert_eq!(event["sequence_number"], number);
            let kind = event["type"].as_str().unwrap();
            if let Some(delta) = event["delta"].as_str() {
                joined.push_str(delta);
            } else if kind == "response.output_item.done" {
                output.push(event["item"].clone());
            } else {
                let parsed = match kind {
                    "response.output_text.done" | "response.reasoning_summary_text.done" => "text",
                    "response.refusal.done" => "refusal",
                    "response.function_call_arguments.done" => "arguments",
                    _ => continue,
                };
                assert_eq!(event[parsed], std::mem::take(&mut joined));
            }
        }
        assert_eq!(events[0]["type"], "response.created");
        let last = &events.last().unwrap()["response"];
        assert_eq!(last["output"], json!(output));
        self.whole(last)
    }

    fn stops(&self) -> [&'static str; 4] {
        ["completed", "calls", "max_output_tokens", "refusal"]
    }

    fn error(&self, answer: &Answer) -> Option<String> {
        let error = answer.json()["error"].clone();
        error["type"].as_str()?;
        Some(error["message"].as_str()?.to_owned())
    }

    fn ends_with_error(&self, answer: &Answer) -> bool {
        let events = answer.events();
        let last = events.last().unwrap();
        last["type"] == "error" && last["sequence_number"] == events.len() - 1
    }
}

#[test]
fn conversation_is_answered() {
    check(&Responses);
}

#[test]
fn invalid_openai_requests_are_rejected() {
    let mock = mock();
    type Change = fn(&mut Value);
    let cases: [(Change, &str); 12] = [
        (|body| body["messages"] = json!([]), "Unknown parameter: 'messages'"),
        (|body| drop(body.as_object_mut().unwrap().remove("input")), "'input'"),
        (|body| body["previous_response_id"] = json!("resp_1"), "not found"),
        (|body| body["max_output_tokens"] = json!(5), "at least 16"),
        (|body| body["input"][0]["content"][0]["type"] = json!("text"), "Invalid value: 'text'"),
        (|body| body["input"][0]["type"] = json!("talk"), "Invalid value: 'talk'"),
        (|body| body["input"][0]["role"] = json!("tool"), "Invalid value: 'tool'"),
        (
            |body| body["tools"][0] = json!({"type": "function", "function": {"name": "a"}}),
            "tools[0]",
        ),
        (
            |body| {
                body["input"] =
                    json!([{"type": "function_call_output", "call_id": "a", "output": "b"}])
            },
            "No tool call found",
        ),
        (
            |body| {
                let call = json!({"type": "function_call", "call_id": "a", "name": "n", "arguments": "{}"});
                body["input"] = json!([call]);
            },
            "No tool output found",
        ),
        (
            |body| body["input"] = json!([{"type": "reasoning", "id": "rs_1", "summary": []}]),
            "without its required following item",
        ),
        (|body| body["text"] = json!({"format": {"type": "json_schema"}}), "text.format.name"),
    ];
    for (change, words) in cases {
        check_refused(&mock, &Responses, 400, change, words);
    }
    check_refused(&strict_mock(), &Responses, 401, |_| {}, "No API key");
}

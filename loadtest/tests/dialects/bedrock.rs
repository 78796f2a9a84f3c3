//! Bedrock's Converse and its binary stream.

use serde_json::{Value, json};

use super::client::Answer;
use super::{
    Call, MockRequest, ParsedAnswer, Spoken, check, check_refused, mock, schema, send, strict_mock,
};

struct Bedrock;

impl Spoken for Bedrock {
    fn chat_request(&self, words: &str, stream: bool) -> MockRequest {
        let tool = |name: &str| {
            let spec = json!({"name": name, "description": "d", "inputSchema": {"json": schema()}});
            json!({"toolSpec": spec})
        };
        let body = json!({
            "system": [{"text": "s"}],
            "messages": [{"role": "user", "content": [{"text": words}]}],
            "toolConfig": {"tools": [tool("weather"), tool("clock")]},
        });
        let call = if stream { "converse-stream" } else { "converse" };
        let path = format!("/model/eu.anthropic.claude-x-v1%3A0/{call}");
        MockRequest { path, headers: "", body }
    }

    fn go_on(
        &self,
        mut request: MockRequest,
        answer: &Value,
        results: &[(Call, &str)],
    ) -> MockRequest {
        let messages = request.body["messages"].as_array_mut().unwrap();
        messages.push(answer["output"]["message"].clone());
        let results = results.iter().map(|(call, text)| {
            json!({"toolResult": {"toolUseId": call.id, "content": [{"text": text}], "status": "success"}})
        });
        messages.push(json!({"role": "user", "content": results.collect::<Vec<_>>()}));
        request
    }

    fn whole(&self, answer: &Value) -> ParsedAnswer {
        let mut parsed = ParsedAnswer { usage: answer["usage"].clone(), ..ParsedAnswer::default() };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        for block in answer["output"]["message"]["content"].as_array().unwrap() {
            let thought = &block["reasoningContent"];
            parsed.text.push_str(&text(&block["text"]));
            parsed.thoughts.push_str(&text(&thought["reasoningText"]["text"]));
            for signature in [&thought["reasoningText"]["signature"], &thought["redactedContent"]] {
                parsed.signatures.extend(signature.as_str().map(str::to_owned));
            }
            if let Some(call) = block.get("toolUse") {
                parsed.calls.push(Call {
                    id: text(&call["toolUseId"]),
                    name: text(&call["name"]),
                    arguments: call["input"].clone(),
                });
            }
        }
        parsed.stop = text(&answer["stopReason"]);
        parsed
    }

    fn folded(&self, answer: &Answer) -> ParsedAnswer {
        assert_eq!(answer.field("content-type"), Some("application/vnd.amazon.eventstream"));
        let mut parsed = ParsedAnswer::default();
        let mut arguments = String::new();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        for (headers, payload) in answer.frames() {
            let named = |name: &str| {
                headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
            };
            assert_eq!(named(":message-type"), Some("event"));
            match named(":event-type").unwrap() {
                "contentBlockStart" => {
                    let call = &payload["start"]["toolUse"];
                    let (id, name) = (text(&call["toolUseId"]), text(&call["name"]));
                    parsed.calls.push(Call { id, name, arguments: Value::Null });
                }
                "contentBlockDelta" => {
                    let delta = &payload["delta"];
                    parsed.text.push_str(&text(&delta["text"]));
                    arguments.push_str(&text(&delta["toolUse"]["input"]));
                    let thought = &delta["reasoningContent"];
                    parsed.thoughts.push_str(&text(&thought["text"]));
                    for signature in [&thought["signature"], &thought["redactedContent"]] {
                        parsed.signatures.extend(signature.as_str().map(str::to_owned));
                    }
                }
                "contentBlockStop" if !arguments.is_empty() => {
                    let call = parsed.calls.last_mut().unwrap();
                    call.arguments = serde_json::from_str(&arguments).unwrap();
                    arguments.clear();
                }
                "messageStop" => parsed.stop = text(&payload["stopReason"]),
                "metadata" => parsed.usage = payload["usage"].clone(),
                _ => {}
            }
        }
        parsed
    }

    fn stops(&self) -> [&'static str; 4] {
        ["end_turn", "tool_use", "max_tokens", "content_filtered"]
    }

    fn error(&self, answer: &Answer) -> Option<String> {
        answer.field("x-amzn-errortype")?;
        Some(answer.json()["message"].as_str()?.to_owned())
    }

    fn ends_with_error(&self, answer: &Answer) -> bool {
        let frames = answer.frames();
        let (headers, _) = frames.last().unwrap();
        let kind = (":exception-type".to_owned(), "modelStreamErrorException".to_owned());
        headers.contains(&kind)
    }
}

#[test]
fn conversation_is_answered() {
    check(&Bedrock);
}

#[test]
fn invalid_bedrock_requests_are_rejected() {
    let mock = mock();
    type Change = fn(&mut Value);
    let cases: [(Change, &str); 18] = [
        (|body| drop(body.as_object_mut().unwrap().remove("messages")), "'messages'"),
        (|body| body["messages"][0]["role"] = json!("tool"), "enum value set: [user, assistant]"),
        (|body| body["messages"][0]["role"] = json!("assistant"), "must start with a user message"),
        (
            |body| {
                let again = body["messages"][0].clone();
                body["messages"].as_array_mut().unwrap().push(again);
            },
            "must alternate",
        ),
        (|body| body["messages"][0]["content"] = json!([{"text": ""}]), "is blank"),
        (|body| body["messages"][0]["content"] = json!("Hello"), "expected an array"),
        (|body| body["messages"][0]["content"] = json!([{"type": "text"}]), "must set one of"),
        (
            |body| body["system"] = json!([{"text": ""}]),
            "SystemContentBlock object at system.0 is blank",
        ),
        (|body| body["toolConfig"]["tools"] = json!([]), "length greater than or equal to 1"),
        (
            |body| body["toolConfig"]["tools"][0]["toolSpec"]["name"] = json!("a.b"),
            "regular expression",
        ),
        (
            |body| body["toolConfig"]["tools"][0]["toolSpec"]["description"] = json!(""),
            "length greater",
        ),
        (
            |body| body["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"] = json!({}),
            "must be one of the following: object",
        ),
        (|body| body["toolConfig"]["toolChoice"] = json!({"none": {}}), "must set one of"),
        (|body| body["toolConfig"]["toolChoice"] = json!({"tool": {"name": "z"}}), "does not hold"),
        (|body| body["inferenceConfig"] = json!({"temperature": 2}), "from 0 to 1"),
        (|body| body["inferenceConfig"] = json!({"maxTokens": 0}), "inferenceConfig.maxTokens"),
        (
            |body| {
                let thought = json!({"reasoningContent": {"reasoningText": {"text": "hm"}}});
                body["messages"]
                    .as_array_mut()
                    .unwrap()
                    .push(json!({"role": "assistant", "content": [thought]}));
            },
            "Invalid `signature`",
        ),
        (
            |body| {
                body.as_object_mut().unwrap().remove("toolConfig");
                let call = json!({"toolUse": {"toolUseId": "a", "name": "weather", "input": {}}});
                body["messages"]
                    .as_array_mut()
                    .unwrap()
                    .push(json!({"role": "assistant", "content": [call]}));
            },
            "toolConfig field must be defined",
        ),
    ];
    for (change, words) in cases {
        check_refused(&mock, &Bedrock, 400, change, words);
    }
    check_refused(&strict_mock(), &Bedrock, 403, |_| {}, "Missing Authentication Token");
}

#[test]
fn invoke_returns_embeddings() {
    let mock = mock();
    let send_body = |model: &str, body: Value| {
        send(&mock, &MockRequest { path: format!("/model/{model}/invoke"), headers: "", body })
    };
    let titan = "amazon.titan-embed-text-v2%3A0";
    let body = json!({"inputText": "a", "dimensions": 256, "embeddingTypes": ["float", "binary"]});
    let embedded = send_body(titan, body).json();
    assert_eq!(embedded["embeddingsByType"]["float"], embedded["embedding"]);
    assert_eq!(embedded["embeddingsByType"]["binary"].as_array().unwrap().len(), 256);
    let cohere = "cohere.embed-x-v3";
    let body = json!({"texts": ["a", "b"], "input_type": "search_query"});
    let embedded = send_body(cohere, body).json();
    assert_eq!(embedded["embeddings"].as_array().unwrap().len(), 2);
    for (model, body) in [
        (titan, json!({"inputText": "a", "dimensions": 7})),
        (titan, json!({"input": "a"})),
        (cohere, json!({"texts": ["a"]})),
    ] {
        let answer = send_body(model, body);
        assert!(answer.status == 400 && Bedrock.error(&answer).is_some(), "{}", answer.text());
    }
    assert_eq!(send_body("other.model", json!({})).status, 404);
}

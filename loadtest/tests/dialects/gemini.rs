//! Gemini's generateContent, at the Gemini API and at Vertex AI.

use serde_json::{Value, json};

use super::client::Answer;
use super::{
    Call, MockRequest, ParsedAnswer, Spoken, check, check_refused, mock, schema, send, strict_mock,
};

struct Gemini {
    place: &'static str,
    sse: bool,
}

const GEMINI: Gemini = Gemini { place: "/v1beta/models/gemini-2.5-x", sse: true };
const GEMINI_3: Gemini = Gemini { place: "/v1beta/models/gemini-3-x", sse: true };

impl Spoken for Gemini {
    fn chat_request(&self, words: &str, stream: bool) -> MockRequest {
        let tool = |name: &str| json!({"name": name, "description": "d", "parameters": schema()});
        let body = json!({
            "systemInstruction": {"parts": [{"text": "s"}]},
            "contents": [{"role": "user", "parts": [{"text": words}]}],
            "tools": [{"functionDeclarations": [tool("weather"), tool("clock")]}],
        });
        let method = match (stream, self.sse) {
            (false, _) => ":generateContent",
            (true, true) => ":streamGenerateContent?alt=sse",
            (true, false) => ":streamGenerateContent",
        };
        MockRequest { path: format!("{}{method}", self.place), headers: "", body }
    }

    fn go_on(
        &self,
        mut request: MockRequest,
        answer: &Value,
        results: &[(Call, &str)],
    ) -> MockRequest {
        let contents = request.body["contents"].as_array_mut().unwrap();
        contents.push(answer["candidates"][0]["content"].clone());
        let results = results.iter().map(|(call, text)| {
            let mut response = json!({"name": call.name, "response": {"output": text}});
            if !call.id.is_empty() {
                response["id"] = json!(call.id);
            }
            json!({"functionResponse": response})
        });
        contents.push(json!({"role": "user", "parts": results.collect::<Vec<_>>()}));
        request
    }

    fn whole(&self, answer: &Value) -> ParsedAnswer {
        let candidate = &answer["candidates"][0];
        let mut parsed =
            ParsedAnswer { usage: answer["usageMetadata"].clone(), ..ParsedAnswer::default() };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        for part in candidate["content"]["parts"].as_array().into_iter().flatten() {
            if let Some(signature) = part["thoughtSignature"].as_str() {
                parsed.signatures.push(signature.to_owned());
            }
            if part["thought"] == true {
                parsed.thoughts.push_str(&text(&part["text"]));
            } else if part["text"].is_string() {
                parsed.text.push_str(&text(&part["text"]));
            } else {
                let call = &part["functionCall"];
                parsed.calls.push(Call {
                    id: text(&call["id"]),
                    name: text(&call["name"]),
                    arguments: call["args"].clone(),
                });
            }
        }
        parsed.stop = match text(&candidate["finishReason"]).as_str() {
            "STOP" if !parsed.calls.is_empty() => "calls".to_owned(),
            reason => reason.to_owned(),
        };
        parsed
    }

    fn folded(&self, answer: &Answer) -> ParsedAnswer {
        let events = if self.sse {
            assert!(answer.text().ends_with("\r\n\r\n"));
            answer.events()
        } else {
            answer.json().as_array().unwrap().clone()
        };
        let mut parts: Vec<Value> = Vec::new();
        for event in &events {
            let parsed = event["candidates"][0]["content"]["parts"].as_array();
            parts.extend(parsed.into_iter().flatten().cloned());
        }
        let last = events.last().unwrap();
        let end = &last["candidates"][0]["finishReason"];
        let candidate = json!({"content": {"parts": parts}, "finishReason": end});
        self.whole(&json!({"candidates": [candidate], "usageMetadata": last["usageMetadata"]}))
    }

    fn stops(&self) -> [&'static str; 4] {
        ["STOP", "calls", "MAX_TOKENS", "SAFETY"]
    }

    fn error(&self, answer: &Answer) -> Option<String> {
        let error = answer.json()["error"].clone();
        assert_eq!(error["code"], answer.status);
        error["status"].as_str()?;
        Some(error["message"].as_str()?.to_owned())
    }

    fn ends_with_error(&self, answer: &Answer) -> bool {
        let last = if self.sse {
            answer.events().last().cloned()
        } else {
            answer.json().as_array().and_then(|all| all.last().cloned())
        };
        last.unwrap()["error"]["status"] == "UNAVAILABLE"
    }
}

#[test]
fn conversation_is_answered_at_both_paths() {
    check(&GEMINI);
    check(&GEMINI_3);
    check(&Gemini { sse: false, ..GEMINI });
    let place = "/v1/projects/p/locations/global/publishers/google/models/gemini-2.5-x";
    check(&Gemini { place, sse: true });
}

#[test]
fn invalid_gemini_requests_are_rejected() {
    let mock = mock();
    type Change = fn(&mut Value);
    let cases: [(Change, &str); 20] = [
        (
            |body| drop(body.as_object_mut().unwrap().remove("contents")),
            "contents is not specified",
        ),
        (|body| body["model_name"] = json!("x"), "Unknown name \"model_name\""),
        (
            |body| body["generationConfig"] = json!({"max_tokens": 4}),
            "Unknown name \"max_tokens\" at 'generationConfig'",
        ),
        (|body| body["contents"][0]["role"] = json!("assistant"), "valid role: user, model"),
        (|body| body["contents"][0]["role"] = json!("system"), "valid role: user, model"),
        (|body| body["contents"][0]["parts"] = json!([]), "must not be empty"),
        (|body| body["contents"][0]["parts"] = json!([{}]), "required oneof field 'data'"),
        (|body| body["contents"][0]["parts"][0]["type"] = json!("text"), "Unknown name \"type\""),
        (
            |body| {
                body["contents"][0]["parts"][0]["inlineData"] =
                    json!({"mimeType": "image/png", "data": "AA=="})
            },
            "already set",
        ),
        (
            |body| {
                body["contents"][0]["parts"][0] =
                    json!({"inlineData": {"mimeType": "image/png", "data": "?"}})
            },
            "Base64",
        ),
        (
            |body| {
                let call = json!({"functionCall": {"name": "weather", "args": {}}});
                let answer = json!({"functionResponse": {"response": {"output": "7"}}});
                let contents = body["contents"].as_array_mut().unwrap();
                contents.push(json!({"role": "model", "parts": [call]}));
                contents.push(json!({"role": "user", "parts": [answer]}));
            },
            "Name cannot be empty",
        ),
        (
            |body| {
                let call = json!({"functionCall": {"name": "weather", "args": {}}});
                let contents = body["contents"].as_array_mut().unwrap();
                contents.push(json!({"role": "model", "parts": [call]}));
                contents.push(json!({"role": "user", "parts": [{"text": "and?"}]}));
            },
            "number of function response parts",
        ),
        (
            |body| {
                let answer = json!({"functionResponse": {"name": "weather", "response": {}}});
                body["contents"][0]["parts"] = json!([answer]);
            },
            "immediately after a function call turn",
        ),
        (
            |body| {
                body["tools"][0]["functionDeclarations"][0]["parameters"]["additionalProperties"] =
                    json!(false)
            },
            "additionalProperties",
        ),
        (
            |body| body["tools"][0]["functionDeclarations"][0]["name"] = json!("1a"),
            "Invalid function name",
        ),
        (|body| body["tools"][0]["functionDeclarations"][0]["strict"] = json!(true), "strict"),
        (
            |body| {
                body["tools"][0]["functionDeclarations"][0]["parameters"]["properties"]["place"] =
                    json!({"type": ["string", "null"]})
            },
            "expected a string",
        ),
        (
            |body| body["toolConfig"] = json!({"functionCallingConfig": {"mode": "REQUIRED"}}),
            "Invalid value: 'REQUIRED'",
        ),
        (
            |body| body["generationConfig"] = json!({"responseSchema": {"type": "OBJECT"}}),
            "response mime type",
        ),
        (
            |body| {
                body["generationConfig"] =
                    json!({"thinkingConfig": {"thinkingBudget": 1, "thinkingLevel": "low"}})
            },
            "only one of thinking budget",
        ),
    ];
    for (change, words) in cases {
        check_refused(&mock, &GEMINI, 400, change, words);
    }
    check_refused(&strict_mock(), &GEMINI, 403, |_| {}, "API key");
    let vertex = Gemini {
        place: "/v1/projects/p/locations/global/publishers/google/models/gemini-2.5-x",
        sse: true,
    };
    check_refused(&strict_mock(), &vertex, 401, |_| {}, "access token");
    let no_role =
        |body: &mut Value| drop(body["contents"][0].as_object_mut().unwrap().remove("role"));
    check_refused(&mock, &vertex, 400, no_role, "valid role");
}

#[test]
fn gemini_3_requires_thought_signatures() {
    let mock = mock();
    let answer = send(&mock, &GEMINI_3.chat_request("call the tool", false)).json();
    let call = GEMINI_3.whole(&answer).calls[0].clone();
    let request = || {
        GEMINI_3.go_on(
            GEMINI_3.chat_request("call the tool", false),
            &answer,
            &[(call.clone(), "7")],
        )
    };
    assert_eq!(send(&mock, &request()).status, 200);
    let mut without = request();
    let part = without.body["contents"][1]["parts"][0].as_object_mut().unwrap();
    let signature = part.remove("thoughtSignature").expect("a signature");
    let refused = send(&mock, &without);
    assert!(refused.status == 400 && refused.text().contains("missing a thought_signature"));
    let snake = &mut without.body["contents"][1]["parts"][0];
    snake["thought_signature"] = signature;
    assert_eq!(send(&mock, &without).status, 200, "snake case is the same");
    without.body["contents"][1]["parts"][0]["thought_signature"] =
        json!("skip_thought_signature_validator");
    assert_eq!(send(&mock, &without).status, 200, "the vendor lets it pass");
}

#[test]
fn embeddings_and_counts_are_answered() {
    let mock = mock();
    let send_body = |path: &str, body: Value| {
        send(&mock, &MockRequest { path: path.to_owned(), headers: "", body })
    };
    let one = |text: &str| json!({"model": "models/e", "content": {"parts": [{"text": text}]}, "outputDimensionality": 4});
    let batch =
        send_body("/v1beta/models/e:batchEmbedContents", json!({"requests": [one("a"), one("b")]}));
    let embeddings = batch.json()["embeddings"].clone();
    let single = send_body("/v1beta/models/e:embedContent", one("b")).json();
    assert_eq!(single["embedding"], embeddings[1]);
    assert_eq!(embeddings[0]["values"].as_array().unwrap().len(), 4);
    let place = "/v1/projects/p/locations/global/publishers/google/models/e:predict";
    let parameters = json!({"outputDimensionality": 4});
    let predicted =
        send_body(place, json!({"instances": [{"content": "b"}], "parameters": parameters}));
    assert_eq!(predicted.json()["predictions"][0]["embeddings"]["values"], embeddings[1]["values"]);
    let wrong = json!({"requests": [{"content": {"parts": [{"text": "a"}]}}]});
    assert_eq!(send_body("/v1beta/models/e:batchEmbedContents", wrong).status, 400);
    let contents = json!({"contents": [{"parts": [{"text": "a"}]}]});
    assert!(send_body("/v1beta/models/e:countTokens", contents).json()["totalTokens"].is_u64());
}

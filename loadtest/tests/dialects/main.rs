//! Each of the mock's dialects over real sockets: what is answered, whole and streamed, and what is refused.
//!
//! Every dialect is read back here by a reader of its own into [`ParsedAnswer`], so that a stream can be held against the
//! JSON answer, and an answer can be sent back as part of a conversation.

mod anthropic;
mod bedrock;
mod client;
mod cohere;
mod gemini;
mod openai_chat;
mod responses;

use loadtest::mock::{MockOptions, RunningMock, start};
use serde_json::{Value, json};

use client::{Answer, post};

/// How the mock's signatures begin.
const SIGNATURE: &str = "bG9hZHRlc3QtbW9jaz";

/// The content of an answer, in no dialect.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ParsedAnswer {
    pub(crate) thoughts: String,
    /// Proofs of thoughts, in order.
    pub(crate) signatures: Vec<String>,
    pub(crate) text: String,
    pub(crate) refusal: String,
    pub(crate) calls: Vec<Call>,
    pub(crate) stop: String,
    pub(crate) usage: Value,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Call {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) arguments: Value,
}

/// A request to send.
pub(crate) struct MockRequest {
    pub(crate) path: String,
    pub(crate) headers: &'static str,
    pub(crate) body: Value,
}

/// Requests and readers of a dialect.
pub(crate) trait Spoken {
    fn chat_request(&self, words: &str, stream: bool) -> MockRequest;
    /// The conversation with an answer and its results of tools added to it.
    fn go_on(&self, request: MockRequest, answer: &Value, results: &[(Call, &str)]) -> MockRequest;
    fn whole(&self, answer: &Value) -> ParsedAnswer;
    fn folded(&self, answer: &Answer) -> ParsedAnswer;
    /// The names of stops: done, calls, length, refused.
    fn stops(&self) -> [&'static str; 4];
    /// The message of an error, if it has the dialect's shape.
    fn error(&self, answer: &Answer) -> Option<String>;
    /// True if the stream ends with the dialect's error.
    fn ends_with_error(&self, answer: &Answer) -> bool;
}

/// The arguments that the mock makes for [`schema`].
pub(crate) fn arguments() -> Value {
    json!({"place": "x", "days": 1, "ratio": 1.5, "exact": true, "unit": "c", "tags": ["x"], "inner": {"deep": "x"}})
}

/// A schema with every type.
pub(crate) fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "place": {"type": "string"},
            "days": {"type": "integer"},
            "ratio": {"type": "number"},
            "exact": {"type": "boolean"},
            "unit": {"type": "string", "enum": ["c", "f"]},
            "tags": {"type": "array", "items": {"type": "string"}},
            "inner": {"type": "object", "properties": {"deep": {"type": "string"}}},
        },
        "required": ["place"],
    })
}

pub(crate) fn mock() -> RunningMock {
    start(MockOptions::default()).expect("a mock")
}

pub(crate) fn strict_mock() -> RunningMock {
    start(MockOptions { require_auth: true, ..MockOptions::default() }).expect("a mock")
}

pub(crate) fn send(mock: &RunningMock, request: &MockRequest) -> Answer {
    post(mock.addr, &request.path, request.headers, &request.body.to_string())
}

/// Everything that all dialects have in common.
pub(crate) fn check(dialect: &dyn Spoken) {
    let mock = mock();
    check_answers(&mock, dialect);
    check_conversation(&mock, dialect);
    check_failures(&mock, dialect);
}

/// A stream, folded, is the JSON answer; commands are obeyed.
fn check_answers(mock: &RunningMock, dialect: &dyn Spoken) {
    let [done, calls, length, refused] = dialect.stops();
    let cases = [
        ("Hello to you", done, 0),
        ("Größe: 10 €", done, 0),
        ("think", done, 0),
        ("think in secret", done, 0),
        ("cached", done, 0),
        ("long", length, 0),
        ("refuse", refused, 0),
        ("call the tool", calls, 1),
        ("call the tools", calls, 2),
        ("think, say why, then call the tools", calls, 2),
    ];
    for (words, stop, count) in cases {
        let answer = send(mock, &dialect.chat_request(words, false));
        assert_eq!(answer.status, 200, "{words}: {}", answer.text());
        let whole = dialect.whole(&answer.json());
        let stream = send(mock, &dialect.chat_request(words, true));
        assert!(stream.status == 200 && stream.complete, "{words}: {}", stream.text());
        assert_eq!(dialect.folded(&stream), whole, "{words}: {}", stream.text());
        assert_eq!((whole.stop.as_str(), whole.calls.len()), (stop, count), "{words}");
        if words == "refuse" {
            let refusal = format!("{}{}", whole.text, whole.refusal);
            assert!(refusal.is_empty() || refusal == "I cannot help with that.", "{refusal}");
        } else if stop == done {
            assert_eq!(whole.text, format!("You said: {words}"));
        }
        if let Some(first) = whole.calls.first() {
            assert_eq!((first.name.as_str(), &first.arguments), ("weather", &arguments()));
        }
        if let [first, second] = whole.calls.as_slice() {
            assert!(first.id != second.id || first.id.is_empty());
            assert_eq!(second.name, "clock");
        }
    }
}

/// Results are quoted; ids and counts of results must fit the calls.
fn check_conversation(mock: &RunningMock, dialect: &dyn Spoken) {
    let words = "think, call the tools";
    let first = send(mock, &dialect.chat_request(words, false)).json();
    let calls = dialect.whole(&first).calls;
    let results = [(calls[0].clone(), "warm"), (calls[1].clone(), "noon")];
    let answer = send(mock, &dialect.go_on(dialect.chat_request(words, false), &first, &results));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let parsed = dialect.whole(&answer.json());
    assert_eq!(parsed.text, "The tool said: warm The tool said: noon");
    let refused = [
        // One result is missing.
        vec![results[0].clone()],
        // One answers a call that nobody made.
        vec![
            results[0].clone(),
            (Call { id: "unheard-of".into(), name: "unheard".into(), ..calls[1].clone() }, "noon"),
        ],
    ];
    for results in refused {
        let answer =
            send(mock, &dialect.go_on(dialect.chat_request(words, false), &first, &results));
        assert_eq!(answer.status, 400, "{results:?}: {}", answer.text());
        assert!(dialect.error(&answer).is_some(), "{}", answer.text());
    }
    if !dialect.whole(&first).signatures.is_empty() {
        let forged = first.to_string().replace(SIGNATURE, "Zm9yZ2VkLWJ5LXRlc3");
        let forged = serde_json::from_str(&forged).expect("JSON");
        let answer =
            send(mock, &dialect.go_on(dialect.chat_request(words, false), &forged, &results));
        assert_eq!(answer.status, 400, "a forged signature passed: {}", answer.text());
    }
}

fn check_failures(mock: &RunningMock, dialect: &dyn Spoken) {
    for (words, status) in [("error 429", 429), ("error 500", 500), ("error 400", 400)] {
        for stream in [false, true] {
            let answer = send(mock, &dialect.chat_request(words, stream));
            assert_eq!(answer.status, status, "{}", answer.text());
            assert!(dialect.error(&answer).is_some(), "{}", answer.text());
            assert_eq!(answer.field("retry-after").is_some(), status != 400);
        }
    }
    for stream in [false, true] {
        let answer = send(mock, &dialect.chat_request("break", stream));
        assert!(answer.status == 200 && !answer.complete, "{}", answer.text());
    }
    let failed = send(mock, &dialect.chat_request("Hello to you all, error in stream", true));
    assert!(failed.complete && dialect.ends_with_error(&failed), "{}", failed.text());
    let request = dialect.chat_request("Hello", false);
    let garbled = post(mock.addr, &request.path, request.headers, "{\"a\":");
    assert!(garbled.status == 400 && dialect.error(&garbled).is_some(), "{}", garbled.text());
    for (fault, status) in [("error", 500), ("429", 429)] {
        let headers = format!("{}x-mock-fault: {fault}\r\n", request.headers);
        let answer = post(mock.addr, &request.path, &headers, &request.body.to_string());
        assert!(answer.status == status && dialect.error(&answer).is_some(), "{}", answer.text());
    }
}

/// A request with one thing changed is refused with a status and words.
pub(crate) fn check_refused(
    mock: &RunningMock,
    dialect: &dyn Spoken,
    status: u16,
    change: impl FnOnce(&mut Value),
    words: &str,
) {
    let mut request = dialect.chat_request("Hello", false);
    change(&mut request.body);
    let answer = send(mock, &request);
    let message = dialect.error(&answer).unwrap_or_default();
    assert!(answer.status == status && message.contains(words), "{words}: {}", answer.text());
}

#[test]
fn description_repeats_the_request() {
    let mock = mock();
    let image = json!([
        {"type": "text", "text": "describe"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAEC"}},
    ]);
    let body = json!({
        "model": "m",
        "temperature": 0.5,
        "stop": "end",
        "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": image}],
    });
    let request = MockRequest { path: "/openai/v1/chat/completions".to_owned(), headers: "", body };
    let answer = send(&mock, &request).json();
    let text = answer["choices"][0]["message"]["content"].as_str().expect("a text");
    let seen: Value = serde_json::from_str(text).expect("JSON");
    assert_eq!(seen["system"], json!(["be brief"]));
    let media = json!({"media": {"media_type": "image/png", "data": "AAEC"}});
    assert_eq!(seen["turns"][0]["parts"], json!([{"text": "describe"}, media]));
    assert_eq!((&seen["temperature"], &seen["stop"]), (&json!(0.5), &json!(["end"])));
}

#[test]
fn streams_keep_their_pace_and_faults_their_frames() {
    let mock = mock();
    let dialect = anthropic::Anthropic;
    let request = dialect.chat_request("one two three", true);
    let begun = std::time::Instant::now();
    let paced = format!("{}x-mock-tokens-per-second: 200\r\n", request.headers);
    let answer = post(mock.addr, &request.path, &paced, &request.body.to_string());
    let events = answer.events().len() as u32;
    assert!(begun.elapsed() >= std::time::Duration::from_millis(5) * (events - 1));
    for (fault, complete) in [("truncate", false), ("bad-chunk", false), ("close-delimited", true)]
    {
        for stream in [false, true] {
            let request = dialect.chat_request("one two three", stream);
            let headers = format!("{}x-mock-fault: {fault}\r\n", request.headers);
            let answer = post(mock.addr, &request.path, &headers, &request.body.to_string());
            assert_eq!(answer.complete, complete, "{fault}: {}", answer.text());
        }
    }
}

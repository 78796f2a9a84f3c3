//! Every client's dialect against every provider's, over sockets: the gateway between its own codecs,
//! which stand in for the clients here, and the load generator's mock, which has none of them.

use loadtest::mock::{MockOptions, RunningMock, start};
use ringgate::dialects::{ProviderCodec, TargetModel, Warnings, provider_codec};
use ringgate::http::EventReader;
use ringgate::llm::{
    Answer, ApiError, ChatRequest, Chunk, ChunkAssembler, Content, Dialect, Function, Json, Part,
    ReasoningSettings, Role, Scanner, StopReason, Tool, ToolResult, Turn,
};
use serde_json::{Value, json};

use crate::harness::{Gateway, Provider, Response, json_answer, post};

const CLIENTS: [Dialect; 4] =
    [Dialect::OpenaiChat, Dialect::OpenaiResponses, Dialect::AnthropicMessages, Dialect::Gemini];

/// Providers by name: what each speaks, and where the mock plays it. One who imitates OpenAI, and OpenAI
/// itself, which refuses what it does not know.
const PROVIDERS: [(&str, &str); 7] = [
    ("openai-chat", "/compatible/v1"),
    ("openai", "/openai/v1"),
    ("openai-responses", "/openai/v1"),
    ("anthropic-messages", "/v1"),
    ("gemini", "/v1beta"),
    ("bedrock-converse", ""),
    ("cohere-chat", ""),
];

/// A gateway in front of one mock, which it knows as a provider of each dialect.
struct Stand {
    gateway: Gateway,
    _mock: RunningMock,
}

impl Stand {
    fn new(more: &str) -> Self {
        let mock = start(MockOptions::default()).expect("a mock");
        let mut settings = more.to_owned();
        for (name, path) in PROVIDERS {
            let key = if name == "openai" { "preset" } else { "dialect" };
            let root = mock.url();
            let root = root.trim_end_matches("/v1");
            settings.push_str(&format!(
                "\n[providers.{name}]\n{key} = \"{name}\"\nbase_url = \"{root}{path}\"\n\
                 api_key = \"test-credential\"\n"
            ));
        }
        Self { gateway: Gateway::start(&settings), _mock: mock }
    }

    /// Asks as a client of `client`, of the provider of `provider`.
    fn send(&self, client: Dialect, provider: &str, request: &ChatRequest) -> Response {
        let codec = provider_codec(client).expect("a dialect");
        let model = format!("{provider}/model-1");
        let target = TargetModel::new(&model, true);
        let (mut warnings, mut body) = (Warnings::default(), Vec::new());
        codec.write_request(request, &target, &mut warnings, &mut body).expect("sayable");
        assert!(warnings.is_empty(), "{}: {}", client.name(), warnings.header());
        let body = String::from_utf8(body).expect("UTF-8");
        let path = match client {
            Dialect::Gemini => {
                let path = codec.path(&TargetModel::new("MODEL", true), request.stream);
                format!("/v1beta{}", path.replace("MODEL", &model.replace('/', "%2F")))
            }
            _ => format!("/v1{}", codec.path(&target, request.stream)),
        };
        self.gateway.send(&post(&path, "", &body))
    }

    /// Asks for a whole answer and for a stream, and expects the same of both.
    fn answer(&self, client: Dialect, provider: &str, request: &ChatRequest) -> Answer {
        let name = format!("{} to {}", client.name(), provider);
        let response = self.send(client, provider, request);
        assert_eq!(response.status, 200, "{name}: {}", response.text());
        let whole = read_answer(client, &response.body);
        let chat = ChatRequest { stream: true, include_usage: true, ..request.clone() };
        let response = self.send(client, provider, &chat);
        assert_eq!(response.status, 200, "{name}: {}", response.text());
        assert!(response.complete, "{name}");
        let streamed = assemble(client, &response.body)
            .unwrap_or_else(|error| panic!("{name}: {error:?}"))
            .unwrap_or_else(|| panic!("{name}: no end in {}", response.text()));
        // A stream is asked for in more words, which the mock counts.
        let but_input = |answer: &Answer| Outline { input_tokens: 0, ..outline(answer) };
        assert_eq!(but_input(&streamed), but_input(&whole), "{name}");
        whole
    }
}

fn read_answer(client: Dialect, body: &[u8]) -> Answer {
    let codec = provider_codec(client).expect("a dialect");
    let read = Scanner::default().read(body, |root| codec.read_answer(root));
    read.ok().flatten().unwrap_or_else(|| panic!("no answer: {}", String::from_utf8_lossy(body)))
}

fn read_error(client: Dialect, response: &Response) -> ApiError {
    let codec = provider_codec(client).expect("a dialect");
    let status = response.status;
    let read = Scanner::default().read(&response.body, |root| codec.read_error(status, Some(root)));
    read.expect("JSON")
}

fn decode(client: Dialect, body: &[u8]) -> Vec<Chunk> {
    let mut decoder = provider_codec(client).map(ProviderCodec::stream_decoder).expect("a dialect");
    let (mut scanner, mut chunks) = (Scanner::default(), Vec::new());
    let mut reader = EventReader::new(1 << 20);
    reader.push(body);
    while let Some(event) = reader.next().expect("events of modest size") {
        if !event.data.is_empty() {
            decoder.event(event.name, event.data, &mut scanner, &mut chunks).expect("JSON");
        }
    }
    decoder.finish(&mut chunks);
    chunks
}

fn assemble(client: Dialect, body: &[u8]) -> Result<Option<Answer>, ApiError> {
    let mut assembler = ChunkAssembler::default();
    decode(client, body).into_iter().for_each(|chunk| assembler.push(chunk));
    assembler.finish()
}

/// What an answer says: text, thoughts, calls, why it ended, and the tokens.
#[derive(Debug, Default, PartialEq)]
struct Outline {
    text: String,
    thoughts: String,
    signatures: Vec<String>,
    calls: Vec<(String, String, Value)>,
    stop: StopReason,
    input_tokens: u64,
    output_tokens: u64,
}

fn outline(answer: &Answer) -> Outline {
    let mut outline = Outline::default();
    let usage = answer.usage.expect("every answer tells its usage");
    (outline.input_tokens, outline.output_tokens) = (usage.input_tokens, usage.output_tokens);
    let choice = answer.choices.first().expect("a choice");
    outline.stop = choice.stop.clone();
    for part in &choice.parts {
        match &part.content {
            Content::Text(text) => outline.text.push_str(&text.text),
            Content::Reasoning(thought) => {
                outline.thoughts.push_str(&thought.text);
                let signed = thought.signature.iter().chain(&thought.sealed);
                outline.signatures.extend(signed.map(|it| it.text.clone()));
            }
            Content::ToolCall(call) => {
                let arguments = if call.arguments.is_empty() { "{}" } else { &call.arguments };
                let arguments = serde_json::from_str(arguments).expect("JSON");
                outline.calls.push((call.id.clone(), call.name.clone(), arguments));
            }
            _ => {}
        }
    }
    outline
}

/// The next request of a client that gives back what it got, as its SDK does.
fn going_on(client: Dialect, answer: &Value, model: &str) -> Value {
    let turn = |text: &str| json!({ "role": "user", "content": text });
    match client {
        Dialect::OpenaiChat => json!({ "model": model, "max_completion_tokens": 500,
            "messages": [turn("think"), answer["choices"][0]["message"], turn("Go on")] }),
        Dialect::OpenaiResponses => {
            let mut input = vec![turn("think")];
            input.extend(answer["output"].as_array().expect("items").iter().cloned());
            input.push(turn("Go on"));
            json!({ "model": model, "max_output_tokens": 500, "input": input, "store": false })
        }
        Dialect::AnthropicMessages => {
            let assistant = json!({ "role": "assistant", "content": answer["content"] });
            json!({ "model": model, "max_tokens": 500,
                "messages": [turn("think"), assistant, turn("Go on")] })
        }
        _ => {
            let turn = |text: &str| json!({ "role": "user", "parts": [{ "text": text }] });
            json!({ "contents": [turn("think"), answer["candidates"][0]["content"], turn("Go on")],
                "generationConfig": { "maxOutputTokens": 500 } })
        }
    }
}

fn user(text: &str) -> Turn {
    Turn::new(Role::User, vec![Part::text(text)])
}

fn request_with(text: &str) -> ChatRequest {
    ChatRequest { turns: vec![user(text)], max_tokens: Some(500), ..ChatRequest::default() }
}

fn with_tools(request: ChatRequest) -> ChatRequest {
    let schema = r#"{"type":"object","properties":{"city":{"type":"string"},"days":{"type":"integer"}},"required":["city","days"]}"#;
    let tool = |name: &str| {
        Tool::Function(Function {
            name: name.to_owned(),
            description: Some("Tells the weather".to_owned()),
            parameters: Json::parse(schema),
            ..Function::default()
        })
    };
    ChatRequest { tools: vec![tool("get_weather"), tool("get_forecast")], ..request }
}

fn each_pair(mut check: impl FnMut(Dialect, &str)) {
    for client in CLIENTS {
        for (provider, _) in PROVIDERS {
            check(client, provider);
        }
    }
}

#[test]
fn text_translates_between_all_dialects() {
    let stand = Stand::new("");
    each_pair(|client, provider| {
        let found = outline(&stand.answer(client, provider, &request_with("Say something")));
        assert!(found.text.len() > 3, "{} to {}: {found:?}", client.name(), provider);
        assert_eq!(found.stop, StopReason::Stop);
        assert!(found.input_tokens > 0 && found.output_tokens > 0, "{found:?}");
    });
}

#[test]
fn tool_calls_translate_between_all_dialects() {
    let stand = Stand::new("");
    each_pair(|client, provider| {
        let name = format!("{} to {}", client.name(), provider);
        let question = with_tools(request_with("call the tools"));
        let answer = stand.answer(client, provider, &question);
        let found = outline(&answer);
        assert_eq!(found.calls.len(), 2, "{name}: {found:?}");
        assert_eq!(found.stop, StopReason::ToolCalls, "{name}");
        assert_ne!(found.calls[0].0, found.calls[1].0, "{name}: ids");
        let arguments = json!({ "city": "x", "days": 1 });
        assert_eq!(found.calls[0].2, arguments, "{name}");

        let mut turns = question.turns.clone();
        turns.push(Turn::new(Role::Assistant, answer.choices[0].parts.clone()));
        let result = |(id, tool, _): &(String, String, Value)| {
            Part::new(Content::ToolResult(ToolResult {
                id: id.clone(),
                name: Some(tool.clone()),
                parts: vec![Part::text("18 degrees")],
                is_error: false,
            }))
        };
        turns.push(Turn::new(Role::Tool, found.calls.iter().map(result).collect()));
        let found = outline(&stand.answer(client, provider, &ChatRequest { turns, ..question }));
        assert!(found.text.contains("18 degrees"), "{name}: {found:?}");
    });
}

#[test]
fn signed_thinking_round_trips_through_every_client() {
    let stand = Stand::new("");
    each_pair(|client, provider| {
        let name = format!("{} to {}", client.name(), provider);
        if provider == "openai" && client != Dialect::OpenaiResponses {
            // Its chat tells no thoughts.
            return;
        }
        // Google's clients get no thoughts unless they ask for them.
        let mut chat = request_with("think");
        if client == Dialect::Gemini {
            let shown = ReasoningSettings { is_shown: Some(true), ..ReasoningSettings::default() };
            chat.reasoning = Some(shown);
        }
        let found = outline(&stand.answer(client, provider, &chat));
        assert!(!found.thoughts.is_empty() && !found.text.is_empty(), "{name}: {found:?}");
        let answer = stand.send(client, provider, &chat).json();
        let body = going_on(client, &answer, &format!("{provider}/model-1"));
        let path = match client {
            Dialect::OpenaiChat => "/v1/chat/completions".to_owned(),
            Dialect::OpenaiResponses => "/v1/responses".to_owned(),
            Dialect::AnthropicMessages => "/v1/messages".to_owned(),
            _ => format!("/v1beta/models/{provider}%2Fmodel-1:generateContent"),
        };
        // A provider that signs refuses a signature that is not its own.
        let response = stand.gateway.send(&post(&path, "", &body.to_string()));
        assert_eq!(response.status, 200, "{name}: {}", response.text());
        // And what was signed has reached it.
        let warnings = response.field("x-ringgate-warnings").unwrap_or_default();
        assert!(
            !warnings.contains("proof") && !warnings.contains("signature"),
            "{name}: {warnings}"
        );
    });
}

/// A client of Google's that asked for no thoughts sees none, and what they prove goes back to the
/// provider with the next turn.
#[test]
fn unrequested_thinking_is_hidden_and_comes_back() {
    let stand = Stand::new("");
    let client = Dialect::Gemini;
    for (provider, _) in PROVIDERS.iter().filter(|(name, _)| *name != "gemini") {
        let found = outline(&stand.answer(client, provider, &request_with("think")));
        assert_eq!(found.thoughts, "", "{provider}: {found:?}");
        assert_eq!(found.text, "You said: think", "{provider}");
        let answer = stand.send(client, provider, &request_with("think")).json();
        assert!(!answer.to_string().contains("\"thought\":true"), "{provider}: {answer}");
        let body = going_on(client, &answer, "");
        let path = format!("/v1beta/models/{provider}%2Fmodel-1:generateContent");
        let response = stand.gateway.send(&post(&path, "", &body.to_string()));
        assert_eq!(response.status, 200, "{provider}: {}", response.text());
        let warnings = response.field("x-ringgate-warnings").unwrap_or_default();
        let is_lost = warnings.contains("proof") || warnings.contains("signature");
        assert!(!is_lost, "{provider}: {warnings}");
    }
}

#[test]
fn errors_keep_status_in_every_dialect() {
    let stand = Stand::new("");
    each_pair(|client, provider| {
        for status in [400, 429, 500] {
            let name = format!("{status} from {} to {}", provider, client.name());
            let response = stand.send(client, provider, &request_with(&format!("error {status}")));
            assert_eq!(response.status, status, "{name}: {}", response.text());
            let error = read_error(client, &response);
            assert!(error.message.len() > 3 && !error.message.contains('{'), "{name}: {error:?}");
            let waits = response.field("retry-after").is_some();
            assert!(waits || status != 429, "{name}");
        }
    });
}

#[test]
fn broken_stream_never_looks_complete() {
    let stand = Stand::new("");
    each_pair(|client, provider| {
        for text in ["break", "error in stream"] {
            let name = format!("{text} from {} to {}", provider, client.name());
            let chat = ChatRequest { stream: true, ..request_with(text) };
            let response = stand.send(client, provider, &chat);
            assert_eq!(response.status, 200, "{name}: {}", response.text());
            let chunks = decode(client, &response.body);
            assert!(!chunks.contains(&Chunk::Done), "{name}: {}", response.text());
            let is_error = |chunk: &Chunk| matches!(chunk, Chunk::Error(_));
            // In pass-through, truncation alone marks a broken stream.
            assert!(
                chunks.iter().any(is_error) || !response.complete,
                "{name}: {}",
                response.text()
            );
        }
    });
}

#[test]
fn unsupported_features_are_reported_to_client() {
    let stand = Stand::new("");
    let body =
        r#"{"model":"gemini/m","logit_bias":{"1":2},"messages":[{"role":"user","content":"x"}]}"#;
    let response = stand.gateway.post("/v1/chat/completions", body);
    assert_eq!(response.status, 200, "{}", response.text());
    let warnings = response.field("x-ringgate-warnings").expect("a warning");
    assert!(warnings.contains("logit_bias"), "{warnings}");
    let image = r#"{"model":"bedrock-converse/m","max_tokens":9,"messages":[{"role":"user","content":[
        {"type":"image","source":{"type":"url","url":"https://pictures.example/a.png"}}]}]}"#;
    let response = stand.gateway.post("/v1/messages", image);
    assert_eq!(response.status, 400, "{}", response.text());
    assert_eq!(response.json()["type"], "error");
    let state = r#"{"model":"anthropic-messages/m","previous_response_id":"resp_1","input":"x"}"#;
    let response = stand.gateway.post("/v1/responses", state);
    assert_eq!((response.status, response.code().as_str()), (400, "invalid_request"));
    assert!(response.text().contains("previous_response_id"), "{}", response.text());
    let wrong = r#"{"model":"gemini/m","messages":[{"role":"user","content":[{"type":"text"}]}]}"#;
    let response = stand.gateway.post("/v1/chat/completions", wrong);
    assert_eq!(response.status, 400);
    assert!(response.text().contains("messages[0].content[0].text"), "{}", response.text());
}

#[test]
fn tokens_are_counted_in_every_dialect() {
    for (client, provider) in [
        (Dialect::AnthropicMessages, "anthropic-messages"),
        (Dialect::Gemini, "gemini"),
        (Dialect::OpenaiResponses, "openai-responses"),
        (Dialect::OpenaiResponses, "openai"),
        (Dialect::OpenaiChat, "bedrock-converse"),
        (Dialect::AnthropicMessages, "cohere-chat"),
    ] {
        for stream in [false, true] {
            let stand = Stand::new("");
            let chat = ChatRequest { stream, include_usage: true, ..request_with("Say something") };
            let response = stand.send(client, provider, &chat);
            let answer = if stream {
                assemble(client, &response.body).expect("no error").expect("an end")
            } else {
                read_answer(client, &response.body)
            };
            let Outline { input_tokens: input, output_tokens: output, .. } = outline(&answer);
            stand.gateway.expect_metric("ringgate_tokens_total", &["input"], input as f64);
            stand.gateway.expect_metric("ringgate_tokens_total", &["output"], output as f64);
        }
    }
}

#[test]
fn cached_response_serves_every_dialect() {
    const ROUTE: &str = "[routes.kept]\ntargets = [{ provider = \"anthropic-messages\" }]\ncache = { mode = \"simple\" }\n";
    for (first, first_streams) in [
        (Dialect::OpenaiChat, false),
        (Dialect::OpenaiChat, true),
        (Dialect::AnthropicMessages, true),
        (Dialect::AnthropicMessages, false),
        (Dialect::Gemini, true),
    ] {
        let stand = Stand::new(ROUTE);
        let respond = |client: Dialect, stream: bool| {
            let codec = provider_codec(client).expect("a dialect");
            let request =
                ChatRequest { stream, include_usage: true, ..request_with("Say something") };
            let target = TargetModel::new("model-1", true);
            let (mut warnings, mut body) = (Warnings::default(), Vec::new());
            codec.write_request(&request, &target, &mut warnings, &mut body).expect("sayable");
            let version = if client == Dialect::Gemini { "/v1beta" } else { "/v1" };
            let path = format!("{version}{}", codec.path(&target, stream));
            let body = String::from_utf8(body).expect("UTF-8");
            let response = stand.gateway.send(&post(&path, "x-ringgate-config: kept\r\n", &body));
            assert_eq!(response.status, 200, "{}", response.text());
            let answer = if stream {
                assemble(client, &response.body).expect("no error").expect("an end")
            } else {
                read_answer(client, &response.body)
            };
            let status = response.field("x-ringgate-cache-status").expect("there").to_owned();
            (status, answer)
        };
        let (status, stored) = respond(first, first_streams);
        assert_eq!(status, "MISS");
        let mut ids = vec![stored.id.clone()];
        for client in CLIENTS {
            for stream in [false, true] {
                let name = format!("{} then {}, {stream}", first.name(), client.name());
                let (status, answer) = respond(client, stream);
                assert_eq!(status, "HIT", "{name}");
                assert_eq!(outline(&answer), outline(&stored), "{name}");
                assert!(!ids.contains(&answer.id), "{name}: the id of another answer");
                ids.push(answer.id);
            }
        }
    }
}

#[test]
fn invalid_bodies_are_rejected_in_each_dialect() {
    let stand = Stand::new("");
    let deep = "[".repeat(200) + &"]".repeat(200);
    let model = "cohere-chat/model-1";
    for (client, path) in [
        (Dialect::OpenaiChat, "/v1/chat/completions"),
        (Dialect::OpenaiResponses, "/v1/responses"),
        (Dialect::AnthropicMessages, "/v1/messages"),
        (Dialect::Gemini, "/v1beta/models/cohere-chat%2Fmodel-1:generateContent"),
    ] {
        let list = match client {
            Dialect::OpenaiResponses => "input",
            Dialect::Gemini => "contents",
            _ => "messages",
        };
        let with =
            |value: &str| format!(r#"{{"model":"{model}","max_tokens":9,"{list}":{value}}}"#);
        for body in [
            with(&deep),
            with("7"),
            with("[7]"),
            with("[{}]"),
            with(r#"[{"role":7,"content":"x"}]"#),
            with(r#"[{"role":"user","content":"\ud800"}]"#),
            with(r#"[{"role":"user","content":[{"type":7}],"parts":[7]}]"#),
            with("[]").replace(":9", ":1e999"),
            with("[]").replace("\"max_tokens\"", "\"model\""),
            with("[]").replace('[', ""),
        ] {
            let response = stand.gateway.send(&post(path, "", &body));
            let name = format!("{} {}", client.name(), body.get(..120).unwrap_or(&body));
            assert_eq!(response.status, 400, "{name}: {}", response.text());
            let error = read_error(client, &response);
            assert!(error.message.len() > 10, "{name}: {error:?}");
        }
        let latin: &[u8] = b"{\"model\":\"\xe9\"}";
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n",
            latin.len()
        );
        let mut connection = stand.gateway.connect();
        connection.send(&[head.as_bytes(), latin].concat());
        assert_eq!(connection.response().status, 400, "{}", client.name());
    }
}

#[test]
fn invalid_upstream_response_returns_502() {
    const EVENT: &str = "event: content_block_delta\r\ndata: ";
    let huge = format!("{EVENT}{{\"x\":\"{}\"}}\n\n", "x".repeat(17 << 20));
    let events = |text: &str| {
        format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n{text}").into_bytes()
    };
    let binary = b"HTTP/1.1 200 OK\r\ncontent-type: application/vnd.amazon.eventstream\r\n\r\n";
    let broken_frame = [&binary[..], &[0, 0, 0, 16, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]].concat();
    for (dialect, stream, answer) in [
        ("anthropic-messages", false, json_answer("200 OK", "", "{}").into_bytes()),
        ("anthropic-messages", false, json_answer("200 OK", "", "[1]").into_bytes()),
        ("anthropic-messages", false, json_answer("200 OK", "", "<html>").into_bytes()),
        ("gemini", false, json_answer("200 OK", "", r#"{"candidates":7}"#).into_bytes()),
        ("anthropic-messages", true, events("event: message_start\ndata: nonsense\n\n")),
        ("anthropic-messages", true, events(&huge)),
        ("anthropic-messages", true, events("")),
        ("bedrock-converse", true, broken_frame),
    ] {
        let provider = Provider::start(move |visit| {
            while visit.request().is_some() {
                visit.send(&answer);
                if stream {
                    let _ = visit.stream.shutdown(std::net::Shutdown::Both);
                }
            }
        });
        let section = provider.section("p", "").replace("openai-chat", dialect);
        let gateway = Gateway::start(&section);
        let body = format!(
            r#"{{"model":"p/m","stream":{stream},"messages":[{{"role":"user","content":"x"}}]}}"#
        );
        let response = gateway.post("/v1/chat/completions", &body);
        // A stream of which nothing has reached the client can still be an honest error.
        if response.status == 200 {
            assert!(stream, "{dialect}: {}", response.text());
            let chunks = decode(Dialect::OpenaiChat, &response.body);
            let has_error = chunks.iter().any(|chunk| matches!(chunk, Chunk::Error(_)));
            assert!(has_error && !chunks.contains(&Chunk::Done), "{dialect}: {chunks:?}");
        } else {
            assert_eq!(response.status, 502, "{dialect}: {}", response.text());
            assert_eq!(response.code(), "upstream_invalid_response");
        }
    }
}

#[test]
fn message_start_has_estimated_usage_and_own_ids() {
    let stand = Stand::new("");
    for (provider, _) in PROVIDERS.iter().filter(|(name, _)| *name != "anthropic-messages") {
        let words = "Tell me of the sea. ".repeat(50);
        let request = ChatRequest { stream: true, ..request_with(&words) };
        let text = stand.send(Dialect::AnthropicMessages, provider, &request).text();
        let events = text.lines().filter_map(|line| line.strip_prefix("data: "));
        let events: Vec<Value> = events.filter_map(|it| serde_json::from_str(it).ok()).collect();
        let of = |kind: &str| {
            let found = events.iter().find(|event| event["type"] == kind);
            found.unwrap_or_else(|| panic!("{provider}: no {kind} in {text}"))
        };
        let message = &of("message_start")["message"];
        let begun = message["usage"]["input_tokens"].as_u64().expect("a count");
        assert!(begun > 0 && begun < 2_000, "{provider}: {begun}");
        assert!(message["id"].as_str().is_some_and(|id| id.starts_with("msg_")), "{message}");
        let usage = &of("message_delta")["usage"];
        let whole = stand.answer(Dialect::AnthropicMessages, provider, &request_with(&words));
        let output_tokens = whole.usage.expect("a usage").output_tokens;
        assert_eq!(usage["output_tokens"].as_u64(), Some(output_tokens), "{provider}");
        assert!(usage["input_tokens"].as_u64().is_some_and(|count| count > 0), "{provider}");
    }
    let kinds = [(Dialect::OpenaiChat, "chatcmpl-"), (Dialect::OpenaiResponses, "resp_")];
    for (client, prefix) in kinds {
        for (provider, _) in PROVIDERS {
            let id = stand.send(client, provider, &request_with("Hello")).json()["id"].clone();
            let is_own = provider.starts_with("openai") && client == Dialect::OpenaiChat;
            assert!(
                is_own || id.as_str().is_some_and(|id| id.starts_with(prefix)),
                "{provider} {id}"
            );
        }
    }
}

#[test]
fn replayed_stream_starts_with_exact_usage() {
    let body = json!({ "id": "c", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": "Hi" },
            "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 4321, "completion_tokens": 5, "total_tokens": 4326 } });
    let provider = Provider::always(json_answer("200 OK", "", &body.to_string()));
    let gateway = Gateway::start(&provider.section("p", ""));
    let request = r#"{"model":"p/m","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"x"}]}"#;
    let text = gateway.post("/v1/messages", request).text();
    let first = text.lines().find_map(|line| line.strip_prefix("data: ")).expect("an event");
    let first: Value = serde_json::from_str(first).expect("JSON");
    assert_eq!(first["message"]["usage"]["input_tokens"], 4321, "{text}");
}

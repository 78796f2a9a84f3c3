//! Embeddings, older completions and ranks of providers that have them in another shape than the
//! client, or as chats only; and the calls of Google's that pass as they are.

use loadtest::mock::{MockOptions, RunningMock, start};
use serde_json::{Value, json};

use crate::harness::{CHAT_ANSWER, Gateway, Provider, Response, json_answer, post};

/// A model of each provider that embeds, by the names of [`Stand`].
const EMBEDDERS: [&str; 8] = [
    "plain/m",
    "gemini/embedding-1",
    "vertex/text-embedding-005",
    "vertex/gemini-embedding-001",
    "cohere/embed-v4.0",
    "bedrock/amazon.titan-embed-text-v2:0",
    "bedrock/cohere.embed-english-v3",
    "voyage/voyage-3.5",
];

/// A model of each provider that has chats and no completions.
const CHATTERS: [&str; 6] =
    ["anthropic/m", "gemini/m", "cohere/m", "bedrock/m", "responses/m", "groq/m"];

/// A gateway in front of one mock, which plays all vendors.
struct Stand {
    gateway: Gateway,
    _mock: RunningMock,
}

impl Stand {
    fn new(more: &str) -> Self {
        let mock = start(MockOptions::default()).expect("a mock");
        let root = mock.url().trim_end_matches("/v1").to_owned();
        let mut settings = more.to_owned();
        for (name, kind, version) in [
            ("plain", "dialect = \"openai-chat\"", "/compatible/v1"),
            ("fast", "dialect = \"openai-chat\"", "/v1"),
            ("responses", "dialect = \"openai-responses\"", "/v1"),
            ("anthropic", "dialect = \"anthropic-messages\"", "/v1"),
            ("gemini", "dialect = \"gemini\"", "/v1beta"),
            ("cohere", "dialect = \"cohere-chat\"", ""),
            ("bedrock", "dialect = \"bedrock-converse\"", ""),
            ("groq", "preset = \"groq\"\napi_key = \"test-credential\"", "/compatible/v1"),
            ("tgi", "preset = \"tgi\"", "/v1"),
            ("voyage", "preset = \"voyage\"\napi_key = \"test-credential\"", "/voyage/v1"),
            (
                "vertex",
                "preset = \"vertex-ai\"\nvertex_auth_type = \"access-token\"\n\
                 vertex_project_id = \"p\"\nvertex_region = \"us-east1\"\n\
                 api_key = \"test-credential\"",
                "/v1",
            ),
        ] {
            let section = format!("\n[providers.{name}]\n{kind}\nbase_url = \"{root}{version}\"\n");
            settings.push_str(&section);
        }
        Self { gateway: Gateway::start(&settings), _mock: mock }
    }

    fn send(&self, path: &str, body: &Value) -> Response {
        self.gateway.post(path, &body.to_string())
    }

    fn embed(&self, body: &Value) -> Value {
        let response = self.send("/v1/embeddings", body);
        assert_eq!(response.status, 200, "{body}: {}", response.text());
        response.json()
    }
}

/// The first numbers of each vector: vendors' vectors differ in length.
fn beginnings(answer: &Value) -> Vec<Vec<f64>> {
    let data = answer["data"].as_array().expect("vectors");
    let vector = |(index, item): (usize, &Value)| {
        assert_eq!((&item["object"], &item["index"]), (&json!("embedding"), &json!(index)));
        let numbers = item["embedding"].as_array().expect("numbers");
        numbers.iter().take(8).map(|number| number.as_f64().expect("a number")).collect()
    };
    data.iter().enumerate().map(vector).collect()
}

/// A provider that answers each call with the next of `answers`, and then with the last.
fn scripted(answers: Vec<String>) -> Provider {
    let next = std::sync::atomic::AtomicUsize::new(0);
    Provider::start(move |visit| {
        while visit.request().is_some() {
            let at = next.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            visit.send(answers[at.min(answers.len() - 1)].as_bytes());
        }
    })
}

fn section(provider: &Provider, name: &str, kind: &str, version: &str) -> String {
    let address = provider.address;
    format!("[providers.{name}]\n{kind}\nbase_url = \"http://{address}{version}\"\n")
}

fn body_of(request: &str) -> Value {
    let body = request.split_once("\r\n\r\n").expect("a head").1;
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {request}"))
}

fn line_of(request: &str) -> &str {
    request.lines().next().unwrap_or_default()
}

#[test]
fn openai_embeddings_work_with_every_vendor() {
    let stand = Stand::new("");
    let expected = beginnings(&stand.embed(&json!({"model": "plain/m", "input": ["one", "two"]})));
    assert_ne!(expected[0], expected[1]);
    for model in EMBEDDERS {
        let answer = stand.embed(&json!({"model": model, "input": ["one", "two"], "user": "u"}));
        assert_eq!(beginnings(&answer), expected, "{model}");
        assert_eq!(answer["object"], "list", "{model}");
        let bare = model.split_once('/').expect("a provider").1;
        assert_eq!(answer["model"], bare, "{model}");
        assert!(answer["usage"]["prompt_tokens"].is_u64(), "{model}");
        let answer = stand.embed(&json!({"model": model, "input": "two"}));
        assert_eq!(beginnings(&answer), expected[1..], "{model}");
        // What OpenAI's own client asks for where nobody tells it otherwise.
        let packed = json!({"model": model, "input": "two", "encoding_format": "base64"});
        let text = stand.embed(&packed)["data"][0]["embedding"].as_str().map(str::len);
        assert!(text > Some(8 * 4), "{model}: {text:?}");
    }
    let sized = json!({"model": "voyage/voyage-3.5", "input": "x", "dimensions": 256});
    assert_eq!(stand.embed(&sized)["data"][0]["embedding"].as_array().map(Vec::len), Some(256));
}

#[test]
fn embedding_tokens_are_counted() {
    for (model, input) in [
        ("cohere/embed-v4.0", json!(["one", "two"])),
        ("bedrock/amazon.titan-embed-text-v2:0", json!(["one", "two", "a longer text"])),
        ("voyage/voyage-3.5", json!("one")),
    ] {
        let stand = Stand::new("");
        let answer = stand.embed(&json!({"model": model, "input": input}));
        let tokens = answer["usage"]["total_tokens"].as_f64().expect("a number");
        assert!(tokens > 0.0, "{model}");
        stand.gateway.expect_metric("ringgate_tokens_total", &["input"], tokens);
        stand.gateway.expect_metric("ringgate_usage_estimated_total", &[], 0.0);
    }
}

#[test]
fn single_input_providers_are_called_per_text() {
    let vector = |number: u32| {
        let body = format!(r#"{{"embedding":[{number}.5],"inputTextTokenCount":{number}}}"#);
        json_answer("200 OK", "", &body)
    };
    let refusal = json_answer("429 Too Many Requests", "", r#"{"message":"slow down"}"#);
    let kind = "dialect = \"bedrock-converse\"";
    let send_with = |answers: Vec<String>, inputs: usize, fields: &str| {
        let provider = scripted(answers);
        let gateway = Gateway::start(&section(&provider, "p", kind, ""));
        let inputs: Vec<String> = (0..inputs).map(|number| format!("text {number}")).collect();
        let body = json!({"model": "amazon.titan-embed-text-v1", "input": inputs}).to_string();
        let response = gateway.send(&post("/v1/embeddings", fields, &body));
        (provider, gateway, response)
    };
    let send = |answers: Vec<String>, inputs: usize| send_with(answers, inputs, "");
    let (provider, gateway, response) = send(vec![vector(1), vector(2), vector(3)], 3);
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(beginnings(&response.json()), [[1.5], [2.5], [3.5]]);
    let sent: Vec<Value> = provider
        .requests
        .lock()
        .expect("held")
        .iter()
        .map(|it| body_of(it)["inputText"].clone())
        .collect();
    assert_eq!(sent, ["text 0", "text 1", "text 2"]);
    assert_eq!(provider.connections.load(std::sync::atomic::Ordering::SeqCst), 1);
    gateway.expect_metric("ringgate_tokens_total", &["input"], 6.0);

    // Half of an answer is none, but what it took is counted.
    let (provider, gateway, response) = send(vec![vector(1), refusal.clone()], 3);
    assert_eq!(response.status, 429, "{}", response.text());
    assert!(response.json()["error"]["message"].is_string(), "{}", response.text());
    assert_eq!(provider.request_count(), 2);
    gateway.expect_metric("ringgate_tokens_total", &["input"], 1.0);

    // The same if further targets may follow.
    let config = json!({ "strategy": { "mode": "fallback" },
        "targets": [{ "provider": "p" }, { "provider": "p" }] });
    let fields = format!("x-ringgate-config: {config}\r\n");
    let answers = vec![vector(1), refusal.clone(), vector(2), refusal];
    let (provider, gateway, response) = send_with(answers, 3, &fields);
    assert_eq!(response.status, 429, "{}", response.text());
    assert_eq!(provider.request_count(), 4);
    gateway.expect_metric("ringgate_tokens_total", &["input"], 3.0);

    let (provider, _, response) = send(vec![vector(1)], 129);
    assert_eq!((response.status, response.code().as_str()), (400, "invalid_request"));
    assert!(response.text().contains("128"), "{}", response.text());
    assert_eq!(provider.request_count(), 0);
}

#[test]
fn missing_vector_is_an_invalid_response() {
    let body = r#"{"embeddings":[{"values":[0.5]}]}"#;
    let provider = Provider::always(json_answer("200 OK", "", body));
    let settings = section(&provider, "p", "dialect = \"gemini\"", "/v1beta");
    let gateway = Gateway::start(&settings);
    let send = |input: Value| {
        gateway.post("/v1/embeddings", &json!({"model": "m", "input": input}).to_string())
    };
    assert_eq!(send(json!(["a"])).status, 200);
    let response = send(json!(["a", "b"]));
    assert_eq!((response.status, response.code().as_str()), (502, "upstream_invalid_response"));
}

#[test]
fn unsupported_embeddings_requests_are_rejected() {
    let stand = Stand::new("");
    for (model, input, expected) in [
        ("gemini/m", json!([1, 2, 3]), "token ids"),
        ("anthropic/claude-x", json!("a"), "no embeddings"),
        ("bedrock/amazon.nova-lite-v1:0", json!("a"), "no embeddings"),
        ("groq/m", json!("a"), "no embeddings"),
        ("tgi/m", json!("a"), "no embeddings"),
        ("gemini/m", json!([]), "input"),
    ] {
        let response = stand.send("/v1/embeddings", &json!({"model": model, "input": input}));
        assert_eq!(
            (response.status, response.code().as_str()),
            (400, "invalid_request"),
            "{model}"
        );
        assert!(response.text().contains(expected), "{model}: {}", response.text());
    }
    let body = json!({"model": "gemini/m", "input": "a", "user": "u"});
    let response = stand.send("/v1/embeddings", &body);
    assert!(response.field("x-ringgate-warnings").is_some_and(|it| it.contains("user")));
}

#[test]
fn translated_embeddings_are_cached_in_openai_format() {
    let body = r#"{"embeddings":{"float":[[0.5,0.25]]},"id":"i","meta":{"billed_units":{"input_tokens":3}}}"#;
    let provider = Provider::always(json_answer("200 OK", "", body));
    let settings = section(&provider, "p", "dialect = \"cohere-chat\"", "");
    let gateway = Gateway::start(&settings);
    let fields = "x-ringgate-config: {\"cache\":{\"mode\":\"simple\"}}\r\n";
    let mut answers = Vec::new();
    for expected in ["MISS", "HIT"] {
        let request = post("/v1/embeddings", fields, r#"{"model":"m","input":"x"}"#);
        let response = gateway.send(&request);
        assert_eq!(response.field("x-ringgate-cache-status"), Some(expected));
        answers.push(response.json());
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(beginnings(&answers[1]), [[0.5, 0.25]]);
    assert_eq!(provider.request_count(), 1);
}

/// Text, reasons to end and usage of a completion's events.
fn folded(response: &Response) -> (String, Vec<String>, Vec<Value>) {
    let text = response.text();
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    let (mut words, mut reasons, mut usage) = (String::new(), Vec::new(), Vec::new());
    for data in text.lines().filter_map(|line| line.strip_prefix("data: ")) {
        let Ok(event) = serde_json::from_str::<Value>(data) else { continue };
        assert_eq!(event["object"], "text_completion", "{text}");
        let choice = &event["choices"][0];
        words.push_str(choice["text"].as_str().unwrap_or_default());
        reasons.extend(choice["finish_reason"].as_str().map(str::to_owned));
        usage.extend(Some(event["usage"].clone()).filter(Value::is_object));
    }
    (words, reasons, usage)
}

#[test]
fn completions_are_translated_to_chat() {
    let stand = Stand::new("");
    for model in CHATTERS {
        let body = json!({"model": model, "prompt": "Say something", "max_tokens": 500});
        let response = stand.send("/v1/completions", &body);
        assert_eq!(response.status, 200, "{model}: {}", response.text());
        let answer = response.json();
        assert_eq!(answer["object"], "text_completion", "{model}");
        let choice = &answer["choices"][0];
        assert_eq!(choice["finish_reason"], "stop", "{model}: {answer}");
        let words = choice["text"].as_str().expect("text").to_owned();
        assert!(words.len() > 3, "{model}: {answer}");
        assert!(answer["usage"]["completion_tokens"].as_u64() > Some(0), "{model}: {answer}");

        let mut body = body;
        body["stream"] = true.into();
        let (streamed, reasons, usage) = folded(&stand.send("/v1/completions", &body));
        assert_eq!(
            (streamed.as_str(), reasons),
            (words.as_str(), vec!["stop".to_owned()]),
            "{model}"
        );
        assert!(usage.is_empty(), "{model}: it was not asked for");
        body["stream_options"] = json!({"include_usage": true});
        let (_, _, usage) = folded(&stand.send("/v1/completions", &body));
        assert_eq!(usage.len(), 1, "{model}");

        let refused = json!({"model": model, "prompt": "error 429", "max_tokens": 500});
        let response = stand.send("/v1/completions", &refused);
        assert_eq!(response.status, 429, "{model}: {}", response.text());
        assert!(response.json()["error"]["message"].is_string(), "{model}");
        let broken = json!({"model": model, "prompt": "break", "max_tokens": 500, "stream": true});
        let response = stand.send("/v1/completions", &broken);
        assert!(!response.text().contains("[DONE]"), "{model}: {}", response.text());
    }
    for (member, value) in
        [("suffix", json!("x")), ("echo", json!(true)), ("prompt", json!(["a", "b"]))]
    {
        let mut body = json!({"model": "anthropic/m", "prompt": "x"});
        body[member] = value;
        let response = stand.send("/v1/completions", &body);
        assert_eq!(
            (response.status, response.code().as_str()),
            (400, "invalid_request"),
            "{member}"
        );
    }
    let neither = stand.send("/v1/completions", &json!({"model": "voyage/m", "prompt": "x"}));
    assert_eq!(neither.status, 400);
    assert!(neither.text().contains("no chats"), "{}", neither.text());
}

#[test]
fn native_completions_are_forwarded() {
    let answer = r#"{"id":"c","object":"text_completion","model":"m","choices":[{"index":0,"text":"Hi","finish_reason":"stop"}]}"#;
    let own = Provider::always(json_answer("200 OK", "", answer));
    let chats = Provider::always(json_answer("200 OK", "", CHAT_ANSWER));
    let groq = section(&chats, "groq", "preset = \"groq\"\napi_key = \"test-credential\"", "/v1");
    let gateway = Gateway::start(&format!("{}{groq}", own.section("own", "")));
    let body = r#"{ "model":"m","prompt":["a","b"],"echo":true, "unknown":1.50}"#;
    let request = post("/v1/completions", "x-ringgate-provider: own\r\n", body);
    assert_eq!(gateway.send(&request).text(), answer);
    let sent = own.last_request();
    assert_eq!(line_of(&sent), "POST /v1/completions HTTP/1.1");
    assert!(sent.ends_with(body), "{sent}");

    let completion = gateway.post("/v1/completions", r#"{"model":"groq/m","prompt":"a"}"#).json();
    assert_eq!(
        (&completion["choices"][0]["text"], &completion["id"]),
        (&"Hi".into(), &"cmpl-1".into())
    );
    let sent = chats.last_request();
    assert_eq!(line_of(&sent), "POST /v1/chat/completions HTTP/1.1");
    assert_eq!(body_of(&sent)["messages"], json!([{"role": "user", "content": "a"}]));
}

#[test]
fn translated_completion_is_cached() {
    const ROUTE: &str =
        "[routes.kept]\ntargets = [{ provider = \"anthropic\" }]\ncache = { mode = \"simple\" }\n";
    for first_streams in [false, true] {
        let stand = Stand::new(ROUTE);
        let send = |stream: bool| {
            let body = json!({"model": "m", "prompt": "Say something", "max_tokens": 500,
                "stream": stream});
            let fields = "x-ringgate-config: kept\r\n";
            let response = stand.gateway.send(&post("/v1/completions", fields, &body.to_string()));
            let status = response.field("x-ringgate-cache-status").expect("there").to_owned();
            let text = if stream {
                folded(&response).0
            } else {
                let answer = response.json();
                assert_eq!(answer["object"], "text_completion");
                answer["choices"][0]["text"].as_str().expect("text").to_owned()
            };
            (status, text)
        };
        let (status, text) = send(first_streams);
        assert_eq!(status, "MISS");
        for stream in [false, true] {
            assert_eq!(send(stream), ("HIT".to_owned(), text.clone()), "{first_streams}, {stream}");
        }
    }
}

const RANKS: &str = r#"{"results":[{"index":1,"relevance_score":0.9},{"index":0,"relevance_score":0.25}],"usage":{"total_tokens":7}}"#;

#[test]
fn cohere_rerank_works_with_every_vendor() {
    let voyage = RANKS.replace("results", "data");
    let tei = r#"[{"index":1,"score":0.9},{"index":0,"score":0.25}]"#;
    for (kind, version, model, answer, line, member) in [
        ("dialect = \"openai-chat\"", "/v1", "m", RANKS, "/v1/rerank", "documents"),
        (
            "preset = \"jina\"\napi_key = \"test-credential\"",
            "/v1",
            "jina-reranker-v2",
            RANKS,
            "/v1/rerank",
            "documents",
        ),
        (
            "preset = \"voyage\"\napi_key = \"test-credential\"",
            "/v1",
            "rerank-2.5",
            voyage.as_str(),
            "/v1/rerank",
            "documents",
        ),
        ("preset = \"tei\"", "", "m", tei, "/rerank", "texts"),
    ] {
        let provider = Provider::always(json_answer("200 OK", "", answer));
        let gateway = Gateway::start(&section(&provider, "p", kind, version));
        for path in ["/v1/rerank", "/v2/rerank"] {
            let body = json!({"model": model, "query": "q", "documents": ["a", "b"], "top_n": 1});
            let response = gateway.post(path, &body.to_string());
            assert_eq!(response.status, 200, "{kind}: {}", response.text());
            let ranks = response.json();
            assert_eq!(ranks["results"], json!([{"index": 1, "relevance_score": 0.9}]), "{kind}");
            assert!(ranks["id"].as_str().is_some_and(|id| id.len() > 8), "{kind}: {ranks}");
            let sent = provider.last_request();
            assert_eq!(line_of(&sent), format!("POST {line} HTTP/1.1"));
            assert_eq!(body_of(&sent)[member], json!(["a", "b"]), "{kind}");
        }
        let expected = if kind.contains("tei") { 2.0 } else { 0.0 };
        gateway.expect_metric("ringgate_usage_estimated_total", &[], expected);
        if expected == 0.0 {
            gateway.expect_metric("ringgate_tokens_total", &["input"], 14.0);
        }
    }
}

#[test]
fn cohere_rerank_is_forwarded_unchanged() {
    let stand = Stand::new("");
    let body = json!({"model": "cohere/rerank-v3.5", "query": "red fox",
        "documents": ["a cat", "a red fox", "a red hen"], "top_n": 2});
    let ranks = stand.send("/v2/rerank", &body).json();
    let order: Vec<&Value> =
        ranks["results"].as_array().expect("ranks").iter().map(|rank| &rank["index"]).collect();
    assert_eq!(order, [1, 2]);
    assert_eq!(ranks["meta"]["billed_units"]["search_units"], 1);
    // Searches are billed, no tokens.
    stand.gateway.expect_metric("ringgate_requests_total", &["rerank-v3.5"], 1.0);
    stand.gateway.expect_metric("ringgate_usage_estimated_total", &[], 0.0);

    let provider = Provider::always(json_answer("200 OK", "", r#"{"results":[]}"#));
    let gateway = Gateway::start(&section(&provider, "p", "dialect = \"cohere-chat\"", ""));
    let body =
        r#"{ "model":"m","query":"q","documents":[{"text":"a","own":1.50}],"rank_fields":["own"]}"#;
    for path in ["/v1/rerank", "/v2/rerank"] {
        assert_eq!(gateway.post(path, body).status, 200);
        let sent = provider.last_request();
        assert_eq!(line_of(&sent), format!("POST {path} HTTP/1.1"));
        assert!(sent.ends_with(body), "{sent}");
    }
}

#[test]
fn unsupported_rerank_requests_use_cohere_errors() {
    let stand = Stand::new("");
    for (model, documents) in
        [("anthropic/m", json!(["a"])), ("gemini/m", json!(["a"])), ("fast/m", json!([]))]
    {
        let body = json!({"model": model, "query": "q", "documents": documents});
        let response = stand.send("/v2/rerank", &body);
        assert_eq!(response.status, 400, "{model}: {}", response.text());
        let body = response.json();
        assert!(body["message"].is_string() && body.get("error").is_none(), "{model}: {body}");
    }
    let answer = r#"{"results":[{"index":2,"relevance_score":0.9}]}"#;
    let provider = scripted(vec![
        json_answer("200 OK", "", answer),
        json_answer("422 Unprocessable", "", r#"{"error":{"message":"no such model"}}"#),
    ]);
    let gateway = Gateway::start(&provider.section("p", ""));
    let body = r#"{"model":"m","query":"q","documents":["a","b"]}"#;
    let response = gateway.post("/v1/rerank", body);
    assert_eq!(response.status, 502, "a document that nobody sent: {}", response.text());
    let response = gateway.post("/v1/rerank", body);
    assert_eq!((response.status, response.json()), (422, json!({"message": "no such model"})));
}

#[test]
fn rerank_is_cached_and_unsupported_by_echo() {
    let provider = Provider::always(json_answer("200 OK", "", RANKS));
    let gateway = Gateway::start(&provider.section("p", ""));
    let fields = "x-ringgate-config: {\"cache\":{\"mode\":\"simple\"}}\r\n";
    let body = r#"{"model":"m","query":"q","documents":["a","b"]}"#;
    let first = gateway.send(&post("/v1/rerank", fields, body)).json();
    let again = gateway.send(&post("/v2/rerank", fields, body));
    assert_eq!(again.field("x-ringgate-cache-status"), Some("HIT"));
    assert_eq!(first["results"], again.json()["results"]);
    assert_eq!(provider.request_count(), 1);

    let response = Gateway::start("").post("/v1/rerank", body);
    assert_eq!(response.status, 404);
    assert!(response.json()["message"].is_string(), "{}", response.text());
}

#[test]
fn other_gemini_calls_pass_without_query_credential() {
    let provider = Provider::always(json_answer("200 OK", "", r#"{"totalTokens":3}"#));
    let own = section(
        &provider,
        "gemini",
        "dialect = \"gemini\"\napi_key = \"test-credential\"\nmodels = [\"g-1\"]",
        "/v1beta",
    );
    let gateway = Gateway::start(&format!("{own}{}", provider.section("other", "")));
    let body = r#"{ "content":{"parts":[{"text":"a"}]}}"#;
    for (path, expected) in [
        ("/v1beta/models/g-1:batchEmbedContents?key=mine", "g-1:batchEmbedContents"),
        ("/v1beta/models/gemini%2Fg-2:embedContent", "g-2:embedContent"),
        ("/v1/models/g-1:countTokens?%6Bey=mine", "g-1:countTokens"),
    ] {
        let response = gateway.post(path, body);
        assert_eq!((response.status, response.text().as_str()), (200, r#"{"totalTokens":3}"#));
        let sent = provider.last_request();
        assert_eq!(line_of(&sent), format!("POST /v1beta/models/{expected} HTTP/1.1"));
        assert!(sent.ends_with(body) && !sent.contains("mine"), "{sent}");
        assert!(sent.contains("test-credential"), "{sent}");
    }
    let list = "GET /v1beta/models?pageSize=2&key=mine HTTP/1.1\r\nhost: g\r\n\
                x-ringgate-provider: gemini\r\n\r\n";
    assert_eq!(gateway.send(list).status, 200);
    let sent = provider.last_request();
    assert_eq!(line_of(&sent), "GET /v1beta/models?pageSize=2 HTTP/1.1");

    let response = gateway.post("/v1beta/models/other%2Fm:countTokens", r#"{"contents":"x"}"#);
    assert_eq!(response.status, 400, "{}", response.text());
    assert_eq!(response.json()["error"]["status"], "INVALID_ARGUMENT", "{}", response.text());
}

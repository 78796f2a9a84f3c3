//! What never leaves the gateway: a provider's credential towards a client, and a client's account
//! towards a provider that the operator pays.

use std::sync::{Arc, Mutex};

use crate::harness::{
    CHAT_ANSWER, FINISH, Gateway, Provider, Response, STREAM_HEAD, chat, delta, event, json_answer,
    post, stream,
};

const CHAT_PATH: &str = "/v1/chat/completions";

/// The credentials of the providers, which look like nobody's.
const SECRETS: [(&str, &str); 4] = [
    ("openai", "test-credential-of-openai"),
    ("anthropic", "test-credential-of-anthropic"),
    ("google", "test-credential-of-google"),
    ("own", "test+credential/of/own=="),
];

fn secret(provider: &str) -> &'static str {
    SECRETS.iter().find(|(name, _)| *name == provider).expect("a provider of the stand").1
}

/// One server behind a provider of each dialect, with a scripted response.
struct Stand {
    gateway: Gateway,
    answer: Arc<Mutex<String>>,
}

impl Stand {
    fn new(more: &str) -> Self {
        let answer = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&answer);
        let provider = Provider::start(move |visit| {
            while visit.request().is_some() {
                let answer = kept.lock().expect("no panic while held").clone();
                visit.send(answer.as_bytes());
            }
        });
        let section = |name: &str, dialect: &str, more: &str| {
            format!(
                "[providers.{name}]\ndialect = \"{dialect}\"\nbase_url = \"http://{}\"\n{more}\n",
                provider.address
            )
        };
        let key = |name: &str| format!("api_key = \"{}\"", secret(name));
        let own = format!("headers = {{ x-team-secret = \"{}\" }}", secret("own"));
        let settings = [
            section("openai", "openai-chat", &key("openai")),
            section("anthropic", "anthropic-messages", &key("anthropic")),
            section("google", "gemini", &key("google")),
            section("own", "openai-chat", &own),
            more.to_owned(),
        ];
        Self { gateway: Gateway::start(&settings.concat()), answer }
    }

    fn answers(&self, answer: String) {
        *self.answer.lock().expect("no panic while held") = answer;
    }

    /// Sends a request and checks that the answer, also decoded, has no credential.
    fn check(&self, request: &str, context: &str) -> Response {
        let response = self.gateway.send(request);
        let text = response.text();
        let decoded: Vec<String> = text
            .lines()
            .map(|line| line.strip_prefix("data: ").unwrap_or(line))
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .map(|value| strings(&value))
            .collect();
        for (_, secret) in SECRETS {
            let is_in = |text: &str| text.contains(secret) || text.contains(&percent(secret));
            assert!(!is_in(&text) && !decoded.iter().any(|it| is_in(it)), "{context}: {text}");
            assert!(!response.fields.values().any(|it| is_in(it)), "{context}: {response:?}");
        }
        response
    }
}

/// All texts in a value, one after the other.
fn strings(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Array(items) => items.iter().map(strings).collect(),
        serde_json::Value::Object(members) => members.values().map(strings).collect(),
        _ => String::new(),
    }
}

fn percent(text: &str) -> String {
    let spell = |byte: u8| match byte {
        b'-' | b'.' | b'_' => char::from(byte).to_string(),
        _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(spell).collect()
}

/// The text as providers may write it into JSON.
fn spellings(text: &str) -> [String; 4] {
    let escaped = text.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
    [text.to_owned(), text.replace('/', "\\/"), escaped, percent(text)]
}

/// An answer in chunks of five bytes.
fn chunked(status: &str, content_type: &str, body: &str) -> String {
    let chunks = body.as_bytes().chunks(5).map(|chunk| {
        let text = std::str::from_utf8(chunk).expect("ASCII");
        format!("{:x}\r\n{text}\r\n", chunk.len())
    });
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ntransfer-encoding: \
         chunked\r\n\r\n{}0\r\n\r\n",
        chunks.collect::<String>()
    )
}

/// Requests of every dialect to a provider: path and body.
fn requests(provider: &str, is_stream: bool) -> [(String, String); 4] {
    let model = format!("{provider}/m");
    let messages = r#""max_tokens":5,"messages":[{"role":"user","content":"Hello"}]"#;
    let method = if is_stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
    [
        (CHAT_PATH.to_owned(), format!(r#"{{"model":"{model}","stream":{is_stream},{messages}}}"#)),
        (
            "/v1/messages".to_owned(),
            format!(r#"{{"model":"{model}","stream":{is_stream},{messages}}}"#),
        ),
        (
            "/v1/responses".to_owned(),
            format!(r#"{{"model":"{model}","stream":{is_stream},"input":"Hello"}}"#),
        ),
        (
            format!("/v1beta/models/{provider}%2Fm:{method}"),
            r#"{"contents":[{"role":"user","parts":[{"text":"Hello"}]}]}"#.to_owned(),
        ),
    ]
}

#[test]
fn credentials_are_redacted_in_errors() {
    let stand = Stand::new("");
    for (provider, secret) in SECRETS {
        for spelling in spellings(secret) {
            let message = format!("token {spelling} is disabled");
            for (status, body) in [
                ("401 Unauthorized", format!(r#"{{"error":{{"message":"{message}"}}}}"#)),
                (
                    "403 Forbidden",
                    format!(r#"{{"type":"error","error":{{"type":"x","message":"{message}"}}}}"#),
                ),
                ("500 Internal Server Error", format!("<p>{message}</p>")),
                (
                    "429 Too Many Requests",
                    format!(r#"[{{"error":{{"code":429,"status":"X","message":"{message}"}}}}]"#),
                ),
            ] {
                let is_json = body.starts_with(['{', '[']);
                let content_type = if is_json { "application/json" } else { "text/html" };
                for answer in [
                    format!(
                        "HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\nx-request-id: \
                         {secret}\r\nretry-after: 7\r\ncontent-length: {}\r\n\r\n{body}",
                        body.len()
                    ),
                    chunked(status, content_type, &body),
                ] {
                    stand.answers(answer);
                    for (path, body) in requests(provider, false) {
                        let context = format!("{provider} {spelling} {status} {path}");
                        let response = stand.check(&post(&path, "", &body), &context);
                        assert_eq!(response.status.to_string(), status[..3], "{context}");
                        if is_json {
                            assert!(response.text().contains("is disabled"), "{context}");
                            assert!(response.text().contains("**********"), "{context}");
                        }
                    }
                    let fields = format!("x-ringgate-provider: {provider}\r\n");
                    let request =
                        format!("GET /v1/files HTTP/1.1\r\nhost: gateway\r\n{fields}\r\n");
                    let context = format!("{provider} {spelling} {status} pass-through");
                    let response = stand.check(&request, &context);
                    assert!(
                        response.complete && response.text().contains("is disabled"),
                        "{context}"
                    );
                    assert_eq!(response.body.len(), body.len(), "{context}");
                }
            }
        }
    }
}

#[test]
fn credentials_are_redacted_in_embedded_errors() {
    let stand = Stand::new("");
    for (provider, secret) in SECRETS {
        for spelling in spellings(secret) {
            let message = format!("token {spelling} is disabled");
            let json = format!(r#"{{"error":{{"message":"{message}","code":403}}}}"#);
            let first = format!("{STREAM_HEAD}{}", event(&json));
            for (answer, is_stream) in [(json_answer("200 OK", "", &json), false), (first, true)] {
                stand.answers(answer);
                for (path, body) in requests(provider, is_stream) {
                    let context = format!("{provider} {spelling} {path}, stream {is_stream}");
                    let response = stand.check(&post(&path, "", &body), &context);
                    assert_ne!(response.status, 200, "{context}: {}", response.text());
                    assert!(!response.text().contains(&spelling), "{context}");
                }
            }
        }
    }
}

#[test]
fn credentials_are_redacted_in_error_events() {
    let stand = Stand::new("");
    for (provider, secret) in SECRETS {
        for spelling in spellings(secret) {
            let error = format!(r#"{{"message":"bad key {spelling}","code":"invalid_api_key"}}"#);
            let (first, event) = match provider {
                "anthropic" => (
                    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"i\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\",\"content\":[],\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}}\n\nevent: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\nevent: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"a\"}}\n\n".to_owned(),
                    format!("event: error\ndata: {{\"type\":\"error\",\"error\":{error}}}\n\n"),
                ),
                "google" => (
                    "data: {\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[{\"text\":\"a\"}]},\"index\":0}]}\n\n".to_owned(),
                    format!("data: {{\"error\":{{\"code\":401,\"status\":\"X\",\"message\":\"bad key {spelling}\"}}}}\n\n"),
                ),
                _ => (
                    format!("data: {}\n\n", delta("a")),
                    format!("data: {{\"error\":{error}}}\n\n"),
                ),
            };
            stand.answers(chunked("200 OK", "text/event-stream", &format!("{first}{event}")));
            for (path, body) in requests(provider, true) {
                let context = format!("{provider} {spelling} {path}");
                let response = stand.check(&post(&path, "", &body), &context);
                assert!(response.text().contains("bad key ***"), "{context}: {}", response.text());
            }
        }
    }
}

#[test]
fn credentials_are_redacted_before_caching() {
    let cached = "[routes.kept]\ncache = { mode = \"simple\" }\n[log]\nrequests = \"log.jsonl\"\n";
    let mut stand = Stand::new(cached);
    let with_text = |text: &str| CHAT_ANSWER.replace("Hi", &format!("key {text}!"));
    for (provider, secret) in SECRETS {
        for spelling in [secret.to_owned(), secret.replace('/', "\\/")] {
            let context = format!("{provider} {spelling}");
            let expected = format!("key {}!", "*".repeat(spelling.len()));
            for answer in [
                json_answer("200 OK", &format!("openai-note: {secret}\r\n"), &with_text(&spelling)),
                chunked("200 OK", "application/json", &with_text(&spelling)),
            ] {
                stand.answers(answer);
                let fields = format!("x-ringgate-provider: {provider}\r\n");
                let request = format!("GET /v1/files/a HTTP/1.1\r\nhost: gateway\r\n{fields}\r\n");
                let response = stand.check(&request, &context);
                assert!(response.complete && response.text().contains(&expected), "{context}");
                if matches!(provider, "openai" | "own") {
                    let body = chat(&format!("{provider}/m"));
                    let response = stand.check(&post(CHAT_PATH, "", &body), &context);
                    assert!(response.text().contains(&expected), "{context}");
                }
            }
        }
    }
    let secret = secret("openai");
    let events = [&delta(&format!("key {secret}!")), FINISH, "[DONE]"]
        .map(|data| format!("data: {data}\n\n"));
    stand.answers(chunked("200 OK", "text/event-stream", &events.concat()));
    let kept = "x-ringgate-config: kept\r\n";
    for status in ["MISS", "HIT"] {
        let body = stream("openai/m");
        let response = stand.check(&post(CHAT_PATH, kept, &body), "a stream that is stored");
        assert_eq!(response.field("x-ringgate-cache-status"), Some(status));
        assert!(response.text().contains("key ***"), "{}", response.text());
    }
    stand.gateway.signal("TERM");
    assert_eq!(stand.gateway.exit_code(), Some(0));
    let path = stand.gateway.folder.path().join("log.jsonl");
    let log = std::fs::read_to_string(path).expect("the log");
    assert!(SECRETS.iter().all(|(_, secret)| !log.contains(secret)), "{log}");
}

/// A client's name of an organization or a project is for its own account.
const ACCOUNT_FIELDS: [&str; 12] = [
    "openai-organization",
    "openai-project",
    "anthropic-organization-id",
    "anthropic-workspace-id",
    "x-goog-user-project",
    "chatgpt-account-id",
    "x-amz-security-token",
    "openai-api-key",
    "xi-api-key",
    "x-api-key",
    "api-key",
    "cookie",
];

#[test]
fn client_cannot_set_account_headers() {
    let provider = Provider::always(json_answer("200 OK", "", CHAT_ANSWER));
    let vendor = |more: &str| {
        format!(
            "[providers.openai]\npreset = \"openai\"\nbase_url = \"http://{}/v1\"\napi_key = \
             \"test-credential-of-openai\"\n{more}\n[server]\ncustom_hosts = [\"{}\"]\n",
            provider.address, provider.address
        )
    };
    let names = ACCOUNT_FIELDS.join(", ");
    let accounts = ACCOUNT_FIELDS.map(|name| format!("{name}: of-client\r\n")).concat();
    let fields = format!("{accounts}openai-beta: b\r\nx-ringgate-forward-headers: {names}\r\n");
    let requests = [
        post(CHAT_PATH, &fields, &chat("m")),
        format!("GET /v1/files HTTP/1.1\r\nhost: gateway\r\n{fields}\r\n"),
        post("/v1/messages", &fields, &chat("m").replacen('{', "{\"max_tokens\":5,", 1)),
    ];
    let gateway = Gateway::start(&vendor(""));
    for request in &requests {
        gateway.send(request);
        let seen = provider.last_request();
        assert!(
            seen.contains("test-credential-of-openai") && !seen.contains("of-client"),
            "{seen}"
        );
    }
    assert_eq!(provider.request_count(), requests.len());

    // The operator's own stays, also where a route of the settings forwards the client's.
    let route = "[routes.r]\nforward_headers = [\"openai-organization\"]\ntargets = [{ provider = \
                 \"openai\" }]\n";
    let more = format!("headers = {{ openai-organization = \"of-operator\" }}\n{route}");
    let gateway = Gateway::start(&vendor(&more));
    for config in ["", "x-ringgate-config: r\r\n"] {
        gateway.send(&post(CHAT_PATH, &format!("{fields}{config}"), &chat("m")));
        let seen = provider.last_request();
        assert!(seen.contains("openai-organization: of-operator\r\n"), "{seen}");
        assert!(!seen.contains("of-client"), "{seen}");
    }

    // With the client's own credential its account is meant.
    let own = format!(
        "openai-organization: of-client\r\nopenai-project: of-client\r\nauthorization: Bearer \
         clients-own-credential\r\nx-ringgate-provider: openai\r\nx-ringgate-custom-host: \
         http://{}/v1\r\n",
        provider.address
    );
    gateway.send(&post(CHAT_PATH, &own, &chat("m")));
    let seen = provider.last_request();
    assert!(seen.contains("clients-own-credential"), "{seen}");
    for field in ["openai-organization: of-client\r\n", "openai-project: of-client\r\n"] {
        assert!(seen.contains(field), "{seen}");
    }
}

#[test]
fn base_url_query_wins_over_client_query() {
    let provider = Provider::always(json_answer("200 OK", "", "{\"data\":[]}"));
    let gateway = Gateway::start(&format!(
        "[providers.azure]\npreset = \"azure-openai\"\nbase_url = \"http://{}/openai\"\n\
         azure_api_version = \"2024-10-21\"\napi_key = \"test-credential-of-azure\"\n",
        provider.address
    ));
    for (query, expected) in [
        ("", "?api-version=2024-10-21"),
        ("?api-version=1999-01-01", "?api-version=2024-10-21"),
        ("?a=1&api-version=1&Api-Version=2&b=2", "?api-version=2024-10-21&a=1&b=2"),
        ("?%61pi-version=1&limit=3", "?api-version=2024-10-21&limit=3"),
        ("?api-key=k&key=k&after=x", "?api-version=2024-10-21&after=x"),
    ] {
        let request = format!("GET /v1/files{query} HTTP/1.1\r\nhost: gateway\r\n\r\n");
        assert_eq!(gateway.send(&request).status, 200, "{query}");
        let line = format!("GET /openai/files{expected} HTTP/1.1\r\n");
        assert!(provider.last_request().starts_with(&line), "{}", provider.last_request());
    }
}

#[test]
fn complete_stream_is_unchanged() {
    let stand = Stand::new("");
    let events =
        [event(&delta("a%50\\\\u0041 test-cred")), event(FINISH), event("[DONE]")].concat();
    stand.answers(format!("{STREAM_HEAD}{events}0\r\n\r\n"));
    let response = stand.check(&post(CHAT_PATH, "", &stream("openai/m")), "plain");
    assert!(response.text().contains("a%50\\\\u0041 test-cred"), "{}", response.text());
    assert!(response.text().ends_with("data: [DONE]\n\n"));
}

//! Errors that come under a status of success: inside of a whole answer, or as the first that a stream
//! says. They are failed attempts with the status that they tell, and no client gets them as answers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{
    CHAT_ANSWER, FINISH, Gateway, Provider, Response, STREAM_HEAD, chat, delta, event, json_answer,
    post, stream,
};
use crate::routing::{Stand, config, fallback, option, story_is, well};

const FIRST: &str = "config.targets[0]";
const SECOND: &str = "config.targets[1]";

/// An API as clients and providers speak it.
struct Api {
    what: &'static str,
    /// Of the provider.
    dialect: &'static str,
    path: &'static str,
    body: &'static str,
    /// A good answer of the provider, and a word of it that the client gets.
    answer: &'static str,
    word: &'static str,
    /// Answers under status 200 that tell an error, and its status.
    errors: &'static [(&'static str, u16)],
}

const MESSAGES: &str =
    r#"{"model":"m","max_tokens":10,"messages":[{"role":"user","content":"Hello"}]}"#;

const MESSAGES_ANSWER: &str = r#"{"id":"a","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"Hi"}],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1}}"#;

const GEMINI_ANSWER: &str = r#"{"candidates":[{"content":{"role":"model","parts":[{"text":"Hi"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":1,"candidatesTokenCount":1}}"#;

const CHAT: &str = r#"{"model":"m","messages":[{"role":"user","content":"hello"}]}"#;

const CHAT_PATH: &str = "/v1/chat/completions";

const MESSAGES_ERRORS: &[(&str, u16)] = &[
    (r#"{"type":"error","error":{"type":"overloaded_error","message":"it failed"}}"#, 529),
    (r#"{"type":"error","error":{"type":"rate_limit_error","message":"it failed"}}"#, 429),
    (r#"{"error":{"message":"it failed"}}"#, 502),
];

const GEMINI_ERRORS: &[(&str, u16)] = &[
    (r#"{"error":{"code":503,"message":"it failed","status":"UNAVAILABLE"}}"#, 503),
    (r#"{"error":{"message":"it failed","status":"RESOURCE_EXHAUSTED"}}"#, 429),
];

const APIS: [Api; 11] = [
    Api {
        what: "chat",
        dialect: "openai-chat",
        path: CHAT_PATH,
        body: CHAT,
        answer: CHAT_ANSWER,
        word: "Hi",
        errors: &[
            (r#"{"error":{"message":"it failed","code":429}}"#, 429),
            (r#"{"error":{"message":"it failed","type":"insufficient_quota"}}"#, 429),
            (r#"{"error":{"message":"it failed","type":"server_error"}}"#, 500),
            (r#"{"error":"it failed"}"#, 502),
            (r#"{"id":"c","choices":null,"error":{"message":"it failed","code":"503"}}"#, 503),
            (
                r#"{"id":"c","choices":[{"index":0,"message":{"role":"assistant","content":""},"finish_reason":"error","error":{"code":502,"message":"it failed"}}]}"#,
                502,
            ),
            (
                r#"{"choices":[{"message":{"content":"half"},"finish_reason":"stop","error":{"code":429,"message":"it failed"}}]}"#,
                429,
            ),
            (r#"{"object":"error","message":"it failed","type":"NotFoundError","code":404}"#, 404),
            (r#"{"detail":"it failed"}"#, 502),
        ],
    },
    Api {
        what: "completions",
        dialect: "openai-chat",
        path: "/v1/completions",
        body: r#"{"model":"m","prompt":"hello"}"#,
        answer: r#"{"id":"c","object":"text_completion","choices":[{"index":0,"text":"Hi","finish_reason":"stop"}]}"#,
        word: "Hi",
        errors: &[(r#"{"error":{"message":"it failed","code":429}}"#, 429)],
    },
    Api {
        what: "embeddings",
        dialect: "openai-chat",
        path: "/v1/embeddings",
        body: r#"{"model":"m","input":"hello"}"#,
        answer: r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5]}],"model":"m"}"#,
        word: "0.5",
        errors: &[(r#"{"error":{"message":"it failed","type":"rate_limit_error"}}"#, 429)],
    },
    Api {
        what: "embeddings of Google's",
        dialect: "gemini",
        path: "/v1/embeddings",
        body: r#"{"model":"m","input":"hello"}"#,
        answer: r#"{"embeddings":[{"values":[0.5]}]}"#,
        word: "0.5",
        errors: GEMINI_ERRORS,
    },
    Api {
        what: "ranks",
        dialect: "cohere-chat",
        path: "/v1/rerank",
        body: r#"{"model":"m","query":"q","documents":["d"]}"#,
        answer: r#"{"id":"r","results":[{"index":0,"relevance_score":0.5}]}"#,
        word: "0.5",
        errors: &[
            (r#"{"message":"it failed"}"#, 502),
            (r#"{"error":{"message":"it failed","code":429}}"#, 429),
        ],
    },
    Api {
        what: "responses",
        dialect: "openai-responses",
        path: "/v1/responses",
        body: r#"{"model":"m","input":"hello"}"#,
        answer: r#"{"id":"resp_1","object":"response","status":"completed","error":null,"model":"m","output":[{"type":"message","id":"msg_1","role":"assistant","status":"completed","content":[{"type":"output_text","text":"Hi","annotations":[]}]}]}"#,
        word: "Hi",
        errors: &[
            (
                r#"{"id":"resp_1","object":"response","status":"failed","error":{"code":"rate_limit_exceeded","message":"it failed"},"output":[]}"#,
                429,
            ),
            (
                r#"{"id":"resp_1","status":"completed","error":{"code":"server_error","message":"it failed"},"output":[]}"#,
                500,
            ),
            (
                r#"{"id":"resp_1","object":"response","status":"failed","error":null,"output":[]}"#,
                502,
            ),
        ],
    },
    Api {
        what: "messages",
        dialect: "anthropic-messages",
        path: "/v1/messages",
        body: MESSAGES,
        answer: MESSAGES_ANSWER,
        word: "Hi",
        errors: MESSAGES_ERRORS,
    },
    Api {
        what: "Google's",
        dialect: "gemini",
        path: "/v1beta/models/m:generateContent",
        body: r#"{"contents":[{"role":"user","parts":[{"text":"hello"}]}]}"#,
        answer: GEMINI_ANSWER,
        word: "Hi",
        errors: GEMINI_ERRORS,
    },
    Api {
        what: "chat by messages",
        dialect: "anthropic-messages",
        path: CHAT_PATH,
        body: CHAT,
        answer: MESSAGES_ANSWER,
        word: "Hi",
        errors: MESSAGES_ERRORS,
    },
    Api {
        what: "chat by Cohere's",
        dialect: "cohere-chat",
        path: CHAT_PATH,
        body: CHAT,
        answer: r#"{"id":"c","finish_reason":"COMPLETE","message":{"role":"assistant","content":[{"type":"text","text":"Hi"}]}}"#,
        word: "Hi",
        errors: &[
            (r#"{"message":"it failed"}"#, 502),
            (
                r#"{"id":"c","finish_reason":"ERROR","message":{"role":"assistant","content":[]},"error":"it failed"}"#,
                502,
            ),
        ],
    },
    Api {
        what: "messages by chat",
        dialect: "openai-chat",
        path: "/v1/messages",
        body: MESSAGES,
        answer: CHAT_ANSWER,
        word: "Hi",
        errors: &[
            (r#"{"error":{"message":"it failed","code":429}}"#, 429),
            (
                r#"{"id":"c","choices":[{"index":0,"message":{"role":"assistant","content":""},"finish_reason":"error"}],"message":"it failed"}"#,
                502,
            ),
        ],
    },
];

fn section(name: &str, dialect: &str, provider: &Provider) -> String {
    let address = provider.address;
    format!("[providers.{name}]\ndialect = \"{dialect}\"\nbase_url = \"http://{address}/v1\"\n")
}

/// Answers with these, one after the other, and then with the last of them.
fn in_turn(answers: Vec<String>) -> Provider {
    let next = AtomicUsize::new(0);
    Provider::start(move |visit| {
        while visit.request().is_some() {
            let place = next.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1);
            visit.send(answers[place].as_bytes());
        }
    })
}

fn ok(body: &str) -> String {
    json_answer("200 OK", "", body)
}

/// An error in the client's own dialect, of which no part looks like an answer.
fn is_error(response: &Response, status: u16, what: &str) {
    let text = response.text();
    assert_eq!((response.status, response.complete), (status, true), "{what}: {response:?}");
    assert_eq!(response.field("content-type"), Some("application/json"), "{what}");
    let body = response.json();
    let error = if body["error"].is_object() { &body["error"] } else { &body };
    assert_eq!(error["message"], "it failed", "{what}: {text}");
    assert!(!text.contains("choices") && !text.contains("\"output\""), "{what}: {text}");
    assert_eq!(response.field("x-ringgate-gateway-exception"), None, "{what}");
}

#[test]
fn embedded_error_fails_over_to_next_target() {
    for api in &APIS {
        let bodies = api.errors.iter().map(|(body, _)| ok(body)).collect();
        let (broken, good) = (in_turn(bodies), Provider::always(ok(api.answer)));
        let sections =
            [section("p0", api.dialect, &broken), section("p1", api.dialect, &good)].concat();
        let gateway = Gateway::start(&sections);
        for (place, (body, status)) in api.errors.iter().enumerate() {
            // Of another model nothing is known yet.
            let mut config = fallback(2);
            config["override_params"] = json!({ "model": format!("m{place}") });
            let field = format!("x-ringgate-config: {config}\r\n");
            let response = gateway.send(&post(api.path, &field, api.body));
            let what = format!("{}: {body}", api.what);
            story_is(&response, &[(FIRST, *status), (SECOND, 200)], &what);
            assert_eq!((response.status, option(&response)), (200, SECOND), "{what}");
            assert!(response.text().contains(api.word), "{what}: {}", response.text());
        }
    }
}

#[test]
fn embedded_error_keeps_its_status_without_failover() {
    for api in &APIS {
        let bodies = api.errors.iter().map(|(body, _)| ok(body)).collect();
        let alone = section("p0", api.dialect, &in_turn(bodies));
        let gateway = Gateway::start(&alone);
        for (body, status) in api.errors {
            let response = gateway.send(&post(api.path, "", api.body));
            if body.contains("\"error\":null") || body.contains("\"error\"}]") {
                assert_eq!(response.status, *status, "{body}: {response:?}");
                continue;
            }
            is_error(&response, *status, &format!("{}: {body}", api.what));
        }
        let upstream = api.errors.iter().filter(|(_, status)| *status != 404).count();
        gateway.expect_metric("ringgate_errors_total", &["\"upstream\""], upstream as f64);
        // The last target of a plan is no better.
        let (body, status) = api.errors[0];
        let last = in_turn(vec![ok(body)]);
        let first = Provider::always(json_answer("503 No", "", r#"{"error":"no"}"#));
        let sections =
            [section("p0", api.dialect, &first), section("p1", api.dialect, &last)].concat();
        let field = format!("x-ringgate-config: {}\r\n", fallback(2));
        let gateway = Gateway::start(&sections);
        is_error(&gateway.send(&post(api.path, &field, api.body)), status, api.what);
    }
}

#[test]
fn null_error_member_is_not_an_error() {
    let good = CHAT_ANSWER.replacen('{', r#"{"error":null,"#, 1);
    let stand = Stand::new(vec![Provider::always(ok(&good)), well()]);
    let response = stand.send_chat(&fallback(2));
    assert_eq!((response.status, option(&response), response.text()), (200, FIRST, good.clone()));
    assert_eq!(stand.gateway.post(CHAT_PATH, &chat("p0/m")).text(), good);
}

const LIMIT: &str =
    r#"{"error":{"message":"it failed","code":429,"metadata":{"provider_name":"x"}}}"#;

#[test]
fn embedded_error_is_retried_by_its_status() {
    let fields = "retry-after-ms: 5\r\n";
    let answers = || vec![json_answer("200 OK", fields, LIMIT), ok(CHAT_ANSWER)];
    let retry = |status: u16| json!({ "provider": "p0", "retry": { "attempts": 1, "on_status_codes": [status] } });
    let stand = Stand::new(vec![in_turn(answers())]);
    let response = stand.send_chat(&retry(429));
    assert_eq!(response.status, 200, "{response:?}");
    story_is(&response, &[("config", 429), ("config", 200)], "429 is listed");
    let stand = Stand::new(vec![in_turn(answers())]);
    let response = stand.send_chat(&retry(503));
    is_error(&response, 429, "429 is not listed");
    assert_eq!(response.field("retry-after"), Some("1"));
    assert_eq!(stand.counts(), [1]);

    let only = |status: u16| config(&json!({ "mode": "fallback", "on_status_codes": [status] }), 2);
    let stand = Stand::new(vec![Provider::always(ok(LIMIT)), well()]);
    is_error(&stand.send_chat(&only(500)), 429, "only 500 leads on");
    assert_eq!(stand.send_chat(&only(429)).status, 200);
}

#[test]
fn embedded_errors_count_against_target_health() {
    for mode in ["least_latency", "round_robin", "least_busy"] {
        let stand =
            Stand::new(vec![Provider::always(ok(LIMIT.replace("429", "500").as_str())), well()]);
        let config = config(&json!({ "mode": mode }), 2);
        for number in 0..40 {
            let response = stand.send_chat(&config);
            assert_eq!((response.status, option(&response)), (200, SECOND), "{mode} {number}");
        }
        let counts = stand.counts();
        assert!(counts[0] <= 20 && counts[1] == 40, "{mode}: {counts:?}");
    }
}

#[test]
fn embedded_error_is_never_cached() {
    for (dialect, error) in [
        ("openai-chat", LIMIT),
        ("openai-chat", r#"{"choices":[{"message":{"content":"half"},"finish_reason":"error"}]}"#),
        ("anthropic-messages", MESSAGES_ERRORS[1].0),
    ] {
        let broken = in_turn(vec![ok(error)]);
        let route = "[routes.r]\nprovider = \"p0\"\ncache = { mode = \"simple\" }\n";
        let gateway = Gateway::start(&format!("{}{route}", section("p0", dialect, &broken)));
        for number in 1..=2 {
            let request = post(CHAT_PATH, "x-ringgate-config: r\r\n", CHAT);
            let response = gateway.send(&request);
            assert!(response.status >= 429, "{error}: {response:?}");
            assert_eq!(broken.request_count(), number, "{error}");
        }
    }
}

/// Sends the head of a stream and these events behind it.
fn streaming(events: Vec<String>) -> Provider {
    Provider::start(move |visit| {
        while visit.request().is_some() {
            visit.send(STREAM_HEAD.as_bytes());
            for event in &events {
                visit.send(event.as_bytes());
            }
            visit.send(b"0\r\n\r\n");
        }
    })
}

fn named(name: &str, data: &str) -> String {
    let text = format!("event: {name}\ndata: {data}\n\n");
    format!("{:x}\r\n{text}\r\n", text.len())
}

const ROLE: &str = r#"{"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#;

const QUOTA: &str = r#"{"error":{"message":"it failed","type":"insufficient_quota"}}"#;

/// Streams of a provider that fail before their content: what, dialect, path, events, status.
fn failing_streams() -> Vec<(&'static str, &'static str, &'static str, Vec<String>, u16)> {
    let responses = r#"{"type":"response.failed","response":{"id":"r","status":"failed","error":{"code":"rate_limit_exceeded","message":"it failed"}}}"#;
    let created = r#"{"type":"response.created","response":{"id":"r","status":"in_progress"}}"#;
    let start = r#"{"type":"message_start","message":{"id":"a","role":"assistant","model":"m","content":[],"usage":{"input_tokens":1,"output_tokens":1}}}"#;
    let ping = named("ping", r#"{"type":"ping"}"#);
    let overloaded = named("error", MESSAGES_ERRORS[0].0);
    let messages = vec![named("message_start", start), ping, overloaded];
    let choice = r#"{"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"error","error":{"code":503,"message":"it failed"}}]}"#;
    vec![
        ("at once", "openai-chat", CHAT_PATH, vec![event(QUOTA)], 429),
        ("after a role", "openai-chat", CHAT_PATH, vec![event(ROLE), event(QUOTA)], 429),
        ("with an end", "openai-chat", CHAT_PATH, vec![event(QUOTA), event("[DONE]")], 429),
        ("in a choice", "openai-chat", CHAT_PATH, vec![event(ROLE), event(choice)], 503),
        ("messages", "anthropic-messages", "/v1/messages", messages.clone(), 529),
        ("messages for a chat", "anthropic-messages", CHAT_PATH, messages, 529),
        (
            "a chat for messages",
            "openai-chat",
            "/v1/messages",
            vec![event(ROLE), event(QUOTA)],
            429,
        ),
        (
            "responses",
            "openai-responses",
            "/v1/responses",
            vec![named("response.created", created), named("response.failed", responses)],
            429,
        ),
        (
            "Google's",
            "gemini",
            "/v1beta/models/m:streamGenerateContent?alt=sse",
            vec![event(GEMINI_ERRORS[0].0)],
            503,
        ),
    ]
}

fn streamed_body(path: &str) -> String {
    match path {
        CHAT_PATH => stream("m"),
        "/v1/messages" => MESSAGES.replacen('{', r#"{"stream":true,"#, 1),
        "/v1/responses" => r#"{"model":"m","input":"hello","stream":true}"#.to_owned(),
        _ => APIS[7].body.to_owned(),
    }
}

#[test]
fn stream_error_before_content_sets_the_status() {
    for (what, dialect, path, events, status) in failing_streams() {
        let (one, other) = (streaming(events.clone()), streaming(events));
        let gateway = Gateway::start(
            &[section("p0", dialect, &one), section("p1", dialect, &other)].concat(),
        );
        let body = streamed_body(path);
        let alone = format!("x-ringgate-config: {}\r\n", json!({ "provider": "p0" }));
        let response = gateway.send(&post(path, &alone, &body));
        is_error(&response, status, &format!("{what}, alone"));
        story_is(&response, &[("config", status)], what);
        let all = format!("x-ringgate-config: {}\r\n", fallback(2));
        let response = gateway.send(&post(path, &all, &body));
        is_error(&response, status, &format!("{what}, all"));
        story_is(&response, &[(FIRST, status), (SECOND, status)], what);
        let gateway = Gateway::start(&section("p0", dialect, &one));
        is_error(&gateway.send(&post(path, "", &body)), status, &format!("{what}, no route"));
    }
}

#[test]
fn stream_without_content_or_finish_reason_is_invalid() {
    let usage = r#"{"id":"c","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":0}}"#;
    for (what, events) in [
        ("the end alone", vec![event("[DONE]")]),
        ("nothing at all", vec![]),
        ("a role and the end", vec![event(ROLE), event("[DONE]")]),
        ("a role", vec![event(ROLE)]),
        ("usage", vec![event(ROLE), event(usage), event("[DONE]")]),
    ] {
        let whole = streaming(vec![event(&delta("Hello")), event(FINISH), event("[DONE]")]);
        let stand = Stand::new(vec![streaming(events.clone()), whole]);
        let response = stand.send(&fallback(2), "", &stream("m"));
        story_is(&response, &[(FIRST, 502), (SECOND, 200)], what);
        assert!(response.text().contains("Hello"), "{what}");
        for config in [json!({ "provider": "p0" }), fallback(1)] {
            let response = stand.send(&config, "", &stream("m"));
            let expected = (502, "upstream_invalid_response");
            assert_eq!((response.status, response.code().as_str()), expected, "{what}");
        }
        let translated =
            post("/v1/messages", "", &streamed_body("/v1/messages").replace("\"m\"", "\"p0/m\""));
        assert_eq!(stand.gateway.send(&translated).status, 502, "{what}, translated");
    }
    // A reason to end is an answer, if an empty one.
    let finished = Stand::new(vec![streaming(vec![event(ROLE), event(FINISH), event("[DONE]")])]);
    let response = finished.gateway.post(CHAT_PATH, &stream("m"));
    assert!(response.status == 200 && response.text().ends_with("data: [DONE]\n\n"));
}

#[test]
fn error_after_first_content_ends_the_stream() {
    for path in [CHAT_PATH, "/v1/messages"] {
        let broken = streaming(vec![event(ROLE), event(&delta("Hello")), event(QUOTA)]);
        let gateway = Gateway::start(&section("p0", "openai-chat", &broken));
        let response = gateway.send(&post(path, "", &streamed_body(path)));
        let text = response.text();
        assert_eq!(response.status, 200);
        assert!(text.find("Hello") < text.find("it failed"), "{path}: {text}");
        assert!(!text.contains("[DONE]") && !text.contains("message_stop"), "{path}: {text}");
        gateway.expect_metric("ringgate_errors_total", &["upstream"], 1.0);
    }
}

#[test]
fn choice_that_finished_with_error_is_not_cached() {
    let failed = r#"{"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}"#;
    let broken = streaming(vec![event(&delta("Half")), event(failed), event("[DONE]")]);
    let route = "[routes.r]\nprovider = \"p0\"\ncache = { mode = \"simple\" }\n";
    let gateway = Gateway::start(&format!("{}{route}", section("p0", "openai-chat", &broken)));
    for number in 1..=2 {
        let response = gateway.send(&post(CHAT_PATH, "x-ringgate-config: r\r\n", &stream("m")));
        assert!(response.text().contains("Half"));
        assert_eq!(broken.request_count(), number);
    }
    gateway.expect_metric("ringgate_errors_total", &["upstream"], 2.0);
}

#[test]
fn stream_peek_is_bounded() {
    // Content is sent only after the client has seen the pings, which are more than is held back.
    let (seen, sees) = std::sync::mpsc::sync_channel::<()>(1);
    let sees = std::sync::Mutex::new(sees);
    let comment = format!(": {}\n\n", "x".repeat(1_000));
    let comment = format!("{:x}\r\n{comment}\r\n", comment.len());
    let provider = Provider::start(move |visit| {
        visit.request();
        visit.send(STREAM_HEAD.as_bytes());
        visit.send(comment.repeat(100).as_bytes());
        sees.lock().expect("one visit").recv().expect("the client goes on");
        let rest = [event(&delta("Hello")), event(FINISH), event("[DONE]")].concat();
        visit.send(format!("{rest}0\r\n\r\n").as_bytes());
    });
    let gateway = Gateway::start(&section("p0", "openai-chat", &provider));
    let mut client = gateway.connect();
    client.send(post(CHAT_PATH, "", &stream("m")).as_bytes());
    client.wait_for(": xxxx");
    seen.send(()).expect("the provider goes on");
    assert!(client.response().text().contains("Hello"));
}

#[test]
fn ping_only_stream_reaches_client_after_delay() {
    let (seen, sees) = std::sync::mpsc::sync_channel::<()>(1);
    let sees = std::sync::Mutex::new(sees);
    let provider = Provider::start(move |visit| {
        visit.request();
        visit.send(STREAM_HEAD.as_bytes());
        visit.send(event(ROLE).as_bytes());
        sees.lock().expect("one visit").recv().expect("the client goes on");
        visit.send(format!("{}0\r\n\r\n", event(QUOTA)).as_bytes());
    });
    let gateway = Gateway::start(&section("p0", "openai-chat", &provider));
    let mut client = gateway.connect();
    let begun = Instant::now();
    client.send(post(CHAT_PATH, "", &stream("m")).as_bytes());
    client.wait_for("\"role\"");
    assert!(begun.elapsed() >= Duration::from_secs(4), "{:?}", begun.elapsed());
    seen.send(()).expect("the provider goes on");
    let response = client.response();
    assert_eq!(response.status, 200);
    assert!(response.text().contains("it failed"));
}

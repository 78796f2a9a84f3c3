//! Streams of routes: before the first content a request may fail over, and the client sees nothing
//! of the failed target; after it, a failure ends the stream with an error.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::harness::{
    FINISH, Gateway, Provider, Response, STREAM_HEAD, USAGE, Visit, delta, event, eventually, post,
    stream,
};
use crate::routing::{CHAT_PATH, Stand, config, fallback, option, request, story, story_is, well};

const FIRST: &str = "config.targets[0]";
const SECOND: &str = "config.targets[1]";

const LAST_CHUNK: &str = "0\r\n\r\n";

/// How a vendor's stream looks, from its opening to its end.
struct Tongue {
    dialect: &'static str,
    /// What comes before the first content.
    opening: fn() -> String,
    /// One piece of content.
    content: fn(&str) -> String,
    /// All behind the content.
    ending: fn() -> String,
    /// An error as an event.
    error: fn() -> String,
}

const OPENAI: Tongue = Tongue {
    dialect: "openai-chat",
    opening: || {
        let role = r#"{"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#;
        format!("{}{}", comment(), event(role))
    },
    content: |text| event(&delta(text)),
    ending: || [event(FINISH), event(USAGE), event("[DONE]")].concat(),
    error: || event(r#"{"error":{"message":"overloaded","type":"server_error"}}"#),
};

const ANTHROPIC: Tongue = Tongue {
    dialect: "anthropic-messages",
    opening: || {
        let message = json!({ "id": "a", "type": "message", "role": "assistant", "model": "m",
            "content": [], "stop_reason": null, "usage": { "input_tokens": 7, "output_tokens": 1 } });
        let block = json!({ "type": "text", "text": "" });
        [
            named("message_start", json!({ "message": message })),
            named("ping", json!({})),
            named("content_block_start", json!({ "index": 0, "content_block": block })),
        ]
        .concat()
    },
    content: |text| {
        let delta = json!({ "type": "text_delta", "text": text });
        named("content_block_delta", json!({ "index": 0, "delta": delta }))
    },
    ending: || {
        let delta = json!({ "stop_reason": "end_turn", "stop_sequence": null });
        [
            named("content_block_stop", json!({ "index": 0 })),
            named("message_delta", json!({ "delta": delta, "usage": { "output_tokens": 3 } })),
            named("message_stop", json!({})),
        ]
        .concat()
    },
    error: || {
        let error = json!({ "type": "overloaded_error", "message": "overloaded" });
        named("error", json!({ "error": error }))
    },
};

/// A chunk that holds these bytes.
fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

fn comment() -> String {
    chunk(": keep-alive\n\n")
}

fn named(name: &str, mut data: Value) -> String {
    data["type"] = json!(name);
    chunk(&format!("event: {name}\ndata: {data}\n\n"))
}

impl Tongue {
    /// Sends this behind the head of a stream, then does what `end` says.
    fn provider(&self, text: String, end: fn(&mut Visit)) -> Provider {
        Provider::start(move |visit| {
            while visit.request().is_some() {
                visit.send(STREAM_HEAD.as_bytes());
                visit.send(text.as_bytes());
                end(visit);
            }
        })
    }

    fn whole(&self, text: &str) -> Provider {
        let parts =
            [(self.opening)(), (self.content)(text), (self.ending)(), LAST_CHUNK.to_owned()];
        self.provider(parts.concat(), |_| {})
    }

    fn section(&self, name: &str, provider: &Provider) -> String {
        format!(
            "[providers.{name}]\ndialect = \"{}\"\nbase_url = \"http://{}/v1\"\n\
             idle_timeout_ms = 400\n",
            self.dialect, provider.address
        )
    }
}

fn close(visit: &mut Visit) {
    let _ = visit.stream.shutdown(std::net::Shutdown::Both);
}

fn hang(visit: &mut Visit) {
    visit.wait_for_end();
}

/// What may befall a stream before its first content, and the status of such an attempt.
fn early_faults(tongue: &Tongue) -> Vec<(&'static str, u16, Provider)> {
    let opening = tongue.opening;
    let and = |more: &str| format!("{}{more}", opening());
    let at_once = chunk(
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"overloaded\"}}\n\n",
    );
    vec![
        ("an error event", 500, tongue.provider(and(&(tongue.error)()), close)),
        (
            "an error event and an end",
            500,
            tongue.provider(and(&((tongue.error)() + LAST_CHUNK)), |_| {}),
        ),
        ("an error event at once", 500, tongue.provider(at_once, close)),
        ("closed", 502, tongue.provider(opening(), close)),
        ("a reset", 502, tongue.provider(opening(), |visit| visit.reset())),
        ("closed at once", 502, tongue.provider(String::new(), close)),
        ("an empty end", 502, tongue.provider(and(LAST_CHUNK), |_| {})),
        ("a bad chunk", 502, tongue.provider(and("zz\r\n"), hang)),
        ("silence", 504, tongue.provider(opening(), hang)),
        ("silence at once", 504, tongue.provider(String::new(), hang)),
    ]
}

/// Asks each broken provider first, then the good one; `asked` is the client's request.
fn check_early(broken: &Tongue, good: &Tongue, request: (&str, &str), check: fn(&str, &str)) {
    let (path, body) = request;
    let faults = early_faults(broken);
    let whole = good.whole("Hello");
    let mut settings = good.section("good", &whole);
    for (place, (_, _, provider)) in faults.iter().enumerate() {
        settings.push_str(&broken.section(&format!("p{place}"), provider));
    }
    let gateway = Gateway::start(&settings);
    for (place, (what, status, _)) in faults.iter().enumerate() {
        let what = format!("{what}, {} before {}", broken.dialect, good.dialect);
        let first = json!({ "provider": format!("p{place}"), "first_token_timeout": 200 });
        let config = json!({ "strategy": { "mode": "fallback" },
            "targets": [first, { "provider": "good" }] });
        let field = format!("x-ringgate-config: {config}\r\n");
        let response = gateway.send(&post(path, &field, body));
        assert_eq!((response.status, response.complete), (200, true), "{what}: {response:?}");
        let legs = story(&response);
        assert_eq!((legs.len(), option(&response)), (2, SECOND), "{what}: {legs:?}");
        // A vendor's error within a stream may tell another status than 500.
        let is_expected = legs[0].1 == *status || *status == 500 && legs[0].1 >= 500;
        assert!(is_expected && legs[1].1 == 200, "{what}: {legs:?}");
        assert_eq!(response.field("x-ringgate-provider"), Some("good"), "{what}");
        check(&response.text(), &what);
    }
    assert_eq!(whole.request_count(), faults.len());
    gateway.expect_metric("ringgate_requests_in_flight", &[], 0.0);
}

const MESSAGES: &str =
    r#"{"model":"m","max_tokens":10,"stream":true,"messages":[{"role":"user","content":"Hello"}]}"#;

fn is_one_chat(text: &str, what: &str) {
    assert_eq!(text.matches("\"role\"").count(), 1, "{what}: {text}");
    assert_eq!(text.matches("[DONE]").count(), 1, "{what}: {text}");
    assert_eq!(text.matches("Hello").count(), 1, "{what}: {text}");
    assert!(text.ends_with("data: [DONE]\n\n") && !text.contains("overloaded"), "{what}: {text}");
}

fn is_one_message(text: &str, what: &str) {
    for name in ["message_start", "content_block_start", "message_stop"] {
        assert_eq!(text.matches(&format!("event: {name}\n")).count(), 1, "{what}: {text}");
    }
    assert_eq!(text.matches("Hello").count(), 1, "{what}: {text}");
    assert!(!text.contains("event: error"), "{what}: {text}");
}

#[test]
fn stream_failure_before_content_is_invisible() {
    let body = stream("m");
    check_early(&OPENAI, &OPENAI, (CHAT_PATH, &body), is_one_chat);
    check_early(&ANTHROPIC, &ANTHROPIC, ("/v1/messages", MESSAGES), is_one_message);
}

#[test]
fn translated_stream_failure_before_content_is_invisible() {
    let body = stream("m");
    check_early(&ANTHROPIC, &OPENAI, (CHAT_PATH, &body), is_one_chat);
    check_early(&OPENAI, &ANTHROPIC, (CHAT_PATH, &body), is_one_chat);
    check_early(&ANTHROPIC, &OPENAI, ("/v1/messages", MESSAGES), is_one_message);
    check_early(&OPENAI, &ANTHROPIC, ("/v1/messages", MESSAGES), is_one_message);
}

/// What may befall a stream after its first content, once the client has seen that.
fn late_faults(tongue: &Tongue, seen: &Arc<AtomicBool>) -> Vec<(&'static str, Provider)> {
    let begun = format!("{}{}", (tongue.opening)(), (tongue.content)("one"));
    let breaking = |rest: String, end: fn(&mut Visit)| {
        let (begun, seen) = (begun.clone(), Arc::clone(seen));
        Provider::start(move |visit| {
            visit.request();
            visit.send(STREAM_HEAD.as_bytes());
            visit.send(begun.as_bytes());
            eventually("the client sees it", || seen.load(Ordering::SeqCst));
            visit.send(rest.as_bytes());
            end(visit);
        })
    };
    vec![
        ("an error event", breaking((tongue.error)(), close)),
        ("closed", breaking(String::new(), close)),
        ("a reset", breaking(String::new(), |visit| visit.reset())),
        ("an empty end", breaking(LAST_CHUNK.to_owned(), close)),
        ("a bad chunk", breaking("zz\r\n".to_owned(), hang)),
        ("silence", breaking(String::new(), hang)),
    ]
}

fn check_late(broken: &Tongue, good: &Tongue, request: (&str, &str), ends: (&str, &str)) {
    let ((path, body), (error, end)) = (request, ends);
    let seen = Arc::new(AtomicBool::new(false));
    let faults = late_faults(broken, &seen);
    let whole = good.whole("Hello");
    let mut settings = good.section("good", &whole);
    for (place, (_, provider)) in faults.iter().enumerate() {
        settings.push_str(&broken.section(&format!("p{place}"), provider));
    }
    let gateway = Gateway::start(&settings);
    for (place, (what, _)) in faults.iter().enumerate() {
        let first = json!({ "provider": format!("p{place}"), "first_token_timeout": 200 });
        let config = json!({ "strategy": { "mode": "fallback" }, "retry": { "attempts": 1 },
            "targets": [first, { "provider": "good" }] });
        let field = format!("x-ringgate-config: {config}\r\n");
        seen.store(false, Ordering::SeqCst);
        let mut client = gateway.connect();
        client.send(post(path, &field, body).as_bytes());
        client.wait_for("one");
        seen.store(true, Ordering::SeqCst);
        let response = client.response();
        let (text, what) = (response.text(), format!("{what}, {} for {path}", broken.dialect));
        assert_eq!((response.status, option(&response)), (200, FIRST), "{what}");
        story_is(&response, &[(FIRST, 200)], &what);
        let (one, error_at) = (text.find("one"), text.find(error));
        assert!(one.is_some() && one < error_at, "{what}: content, then the error: {text}");
        assert!(!text.contains(end) && !text.contains("Hello"), "{what}: {text}");
    }
    assert_eq!(whole.request_count(), 0, "{}", broken.dialect);
}

#[test]
fn failure_after_first_content_ends_with_error() {
    let body = stream("m");
    let chat_ends = ("data: {\"error\":", "[DONE]");
    let message_ends = ("event: error", "message_stop");
    check_late(&OPENAI, &OPENAI, (CHAT_PATH, &body), chat_ends);
    check_late(&ANTHROPIC, &OPENAI, (CHAT_PATH, &body), chat_ends);
    check_late(&ANTHROPIC, &ANTHROPIC, ("/v1/messages", MESSAGES), message_ends);
    check_late(&OPENAI, &OPENAI, ("/v1/messages", MESSAGES), message_ends);
}

#[test]
fn content_is_forwarded_immediately() {
    // The rest is sent only after the client has seen the beginning.
    let (seen, sees) = std::sync::mpsc::sync_channel::<()>(1);
    let sees = std::sync::Mutex::new(sees);
    let slow = Provider::start(move |visit| {
        visit.request();
        visit.send(STREAM_HEAD.as_bytes());
        visit.send((OPENAI.opening)().as_bytes());
        visit.send((OPENAI.content)("one").as_bytes());
        sees.lock().expect("one visit").recv().expect("the client goes on");
        visit.send(format!("{}{LAST_CHUNK}", (OPENAI.ending)()).as_bytes());
    });
    let stand = Stand::new(vec![slow, well()]);
    let mut client = stand.gateway.connect();
    client.send(request(&fallback(2), "", &stream("m")).as_bytes());
    client.wait_for("one");
    seen.send(()).expect("the provider goes on");
    let response = client.response();
    assert!(response.complete);
    let text = response.text();
    assert_eq!(text.matches("\"role\"").count(), 1, "{text}");
    assert!(text.contains(": keep-alive\n\n") && text.ends_with("data: [DONE]\n\n"), "{text}");
}

#[test]
fn last_early_stream_failure_is_reported() {
    for (what, status, broken) in early_faults(&OPENAI) {
        let dead = OPENAI.provider(String::new(), close);
        let sections = [OPENAI.section("p0", &dead), OPENAI.section("p1", &broken)].concat();
        let gateway = Gateway::start(&sections);
        let mut config = config(&json!({ "mode": "fallback" }), 2);
        config["first_token_timeout"] = json!(200);
        let response = gateway.send(&request(&config, "", &stream("m")));
        let text = response.text();
        assert!(!text.contains("[DONE]"), "{what}: {text}");
        assert!(text.contains("\"error\""), "{what}: {text}");
        assert_eq!(story(&response).len(), 2, "{what}: {response:?}");
        if status == 504 {
            assert_eq!((response.status, response.code().as_str()), (504, "upstream_timeout"));
        }
        if !what.ends_with("and an end") {
            let port = broken.address.port();
            eventually(&format!("{what}: closed"), || gateway.sockets_to(port) == 0);
        }
    }
}

#[test]
fn early_stream_failure_is_retried() {
    let broken = (OPENAI.opening)();
    let rest = [(OPENAI.content)("Hello"), (OPENAI.ending)(), LAST_CHUNK.to_owned()].concat();
    let number = AtomicUsize::new(0);
    let provider = Provider::start(move |visit| {
        while visit.request().is_some() {
            visit.send(STREAM_HEAD.as_bytes());
            visit.send(broken.as_bytes());
            if number.fetch_add(1, Ordering::SeqCst) == 0 {
                return;
            }
            visit.send(rest.as_bytes());
        }
    });
    let stand = Stand::new(vec![provider]);
    let config = json!({ "provider": "p0", "retry": { "attempts": 1 } });
    let response = stand.send(&config, "", &stream("m"));
    let retries =
        |response: &Response| response.field("x-ringgate-retry-attempt-count").map(str::to_owned);
    assert_eq!((response.status, retries(&response).as_deref()), (200, Some("1")), "{response:?}");
    is_one_chat(&response.text(), "retried");
}

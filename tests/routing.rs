//! Routes end to end: order of targets, what the client sees, and when a request ends.
//!
//! Whole answers and their attempts; streams, health and the other ways to choose have their own files.

use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{
    CHAT_ANSWER, Gateway, Provider, Response, Visit, chat, json_answer, post, stream,
};

pub const CHAT_PATH: &str = "/v1/chat/completions";

/// A gateway before providers that it knows as `p0`, `p1` and so on.
pub struct Stand {
    pub gateway: Gateway,
    pub providers: Vec<Provider>,
}

impl Stand {
    pub fn new(providers: Vec<Provider>) -> Self {
        Self::with("", providers)
    }

    /// With further settings, which come first.
    pub fn with(more: &str, providers: Vec<Provider>) -> Self {
        let mut settings = more.to_owned();
        for (place, provider) in providers.iter().enumerate() {
            settings.push_str(&provider.section(&format!("p{place}"), ""));
        }
        Self { gateway: Gateway::start(&settings), providers }
    }

    /// Asks by a config in a header.
    pub fn send(&self, config: &Value, fields: &str, body: &str) -> Response {
        self.gateway.send(&request(config, fields, body))
    }

    /// Asks for a chat.
    pub fn send_chat(&self, config: &Value) -> Response {
        self.send(config, "", &chat("m"))
    }

    /// How many requests each provider has received.
    pub fn counts(&self) -> Vec<usize> {
        self.providers.iter().map(Provider::request_count).collect()
    }
}

/// A chat request that brings its config.
pub fn request(config: &Value, fields: &str, body: &str) -> String {
    post(CHAT_PATH, &format!("x-ringgate-config: {config}\r\n{fields}"), body)
}

/// A config over `p0` to the last of `count`.
pub fn config(strategy: &Value, count: usize) -> Value {
    let targets: Vec<Value> =
        (0..count).map(|place| json!({ "provider": format!("p{place}") })).collect();
    json!({ "strategy": strategy, "targets": targets })
}

pub fn fallback(count: usize) -> Value {
    config(&json!({ "mode": "fallback" }), count)
}

/// A provider that answers every chat.
pub fn well() -> Provider {
    Provider::always(json_answer("200 OK", "", CHAT_ANSWER))
}

/// A provider that answers everything with this status; the body tells it too.
pub fn failing(status: u16, fields: &str) -> Provider {
    Provider::always(error_answer(status, fields))
}

pub fn error_answer(status: u16, fields: &str) -> String {
    let body = json!({ "error": { "message": format!("told {status}"), "type": "t" } });
    json_answer(&format!("{status} Told"), fields, &body.to_string())
}

/// A provider at whose address nobody listens.
pub fn dead() -> Provider {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    Provider::at(address)
}

/// A provider that takes requests and never answers.
pub fn silent() -> Provider {
    Provider::start(|visit| {
        visit.request();
        visit.wait_for_end();
    })
}

/// The attempts that an answer tells: target and status of each.
pub fn story(response: &Response) -> Vec<(String, u16)> {
    let text = response.field("x-ringgate-attempts").unwrap_or_default();
    let legs = text.split(", ").filter(|leg| !leg.is_empty());
    legs.map(|leg| {
        let parts: Vec<&str> = leg.split(' ').collect();
        let is_time =
            |text: &str| text.strip_suffix("ms").is_some_and(|it| it.parse::<u64>().is_ok());
        assert!(parts.len() == 3 && is_time(parts[2]), "{text}");
        (parts[0].to_owned(), parts[1].parse().expect("a status"))
    })
    .collect()
}

pub fn story_is(response: &Response, expected: &[(&str, u16)], what: &str) {
    let expected: Vec<(String, u16)> =
        expected.iter().map(|(target, status)| ((*target).to_owned(), *status)).collect();
    assert_eq!(story(response), expected, "{what}: {} {}", response.status, response.text());
}

/// The target that has answered.
pub fn option(response: &Response) -> &str {
    response.field("x-ringgate-last-used-option-index").unwrap_or("none")
}

const FIRST: &str = "config.targets[0]";
const SECOND: &str = "config.targets[1]";

/// What a provider may do to a request for a whole answer, and the status of such an attempt.
fn faults() -> Vec<(&'static str, u16, Provider)> {
    fn answering(script: fn(&mut Visit)) -> Provider {
        Provider::start(move |visit| {
            if visit.request().is_some() {
                script(visit);
            }
        })
    }
    let cut = |visit: &mut Visit| {
        visit.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n");
        visit.send(b"content-length: 100\r\n\r\n{\"choices\":");
    };
    vec![
        ("500", 500, failing(500, "")),
        ("429", 429, failing(429, "retry-after: 1\r\n")),
        ("400", 400, failing(400, "")),
        ("refused", 502, dead()),
        ("silence", 504, silent()),
        ("closed", 502, answering(|_| {})),
        ("garbage", 502, answering(|visit| visit.send(b"what is this\r\n\r\n"))),
        ("a body cut off", 502, answering(cut)),
        ("no JSON", 502, Provider::always(json_answer("200 OK", "", "what is this"))),
        (
            "silence within the body",
            504,
            answering(|visit| {
                visit.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{");
                visit.wait_for_end();
            }),
        ),
    ]
}

#[test]
fn failed_target_fails_over() {
    let (names, providers): (Vec<_>, Vec<_>) =
        faults().into_iter().map(|(what, status, provider)| ((what, status), provider)).unzip();
    let good = well();
    let count = providers.len();
    let stand = Stand::with(&good.section("good", ""), providers);
    for (place, (what, status)) in names.into_iter().enumerate().take(count) {
        let config = json!({ "strategy": { "mode": "fallback" }, "targets": [
            { "provider": format!("p{place}"), "request_timeout": 150 }, { "provider": "good" },
        ] });
        let response = stand.send_chat(&config);
        assert_eq!((response.status, response.text().as_str()), (200, CHAT_ANSWER), "{what}");
        story_is(&response, &[(FIRST, status), (SECOND, 200)], what);
        assert_eq!(option(&response), SECOND, "{what}");
        assert_eq!(response.field("x-ringgate-provider"), Some("good"), "{what}");
        assert_eq!(response.field("x-ringgate-retry-attempt-count"), Some("0"), "{what}");
        assert_eq!(response.field("retry-after"), None, "{what}: nothing of the failed answer");
    }
    assert_eq!(good.request_count(), count);
}

#[test]
fn last_error_is_returned_when_all_fail() {
    let (names, providers): (Vec<_>, Vec<_>) =
        faults().into_iter().map(|(what, status, provider)| ((what, status), provider)).unzip();
    let stand = Stand::new(providers);
    for (place, (what, status)) in names.into_iter().enumerate() {
        let last = json!({ "provider": format!("p{place}"), "request_timeout": 150 });
        let fallback = json!({ "strategy": { "mode": "fallback" }, "targets": [
            { "provider": "p0" }, last,
        ] });
        let single = json!({ "provider": format!("p{place}"), "request_timeout": 150 });
        let race = json!({ "strategy": { "mode": "race", "hedge_ms": 1 }, "targets": [last] });
        for (mode, config) in [("fallback", fallback), ("single", single), ("race", race)] {
            let what = format!("{what} by {mode}");
            let response = stand.send_chat(&config);
            assert_eq!(response.status, status, "{what}: {}", response.text());
            let is_own = !matches!(status, 500 | 429 | 400);
            let code = match status {
                504 => "upstream_timeout",
                _ if what.starts_with("refused") => "upstream_unreachable",
                502 => "upstream_invalid_response",
                _ => "none",
            };
            assert_eq!(response.code(), code, "{what}");
            let exception = response.field("x-ringgate-gateway-exception");
            assert_eq!(exception, is_own.then_some("true"), "{what}");
            let attempts = story(&response);
            assert_eq!(attempts.last().map(|leg| leg.1), Some(status), "{what}: {response:?}");
            assert_eq!(attempts.len(), if mode == "fallback" { 2 } else { 1 }, "{what}");
        }
    }
}

#[test]
fn only_listed_statuses_fail_over() {
    let stand = Stand::new(vec![failing(500, "retry-after: 7\r\nx-request-id: r\r\n"), well()]);
    let only = |status: u16| config(&json!({ "mode": "fallback", "on_status_codes": [status] }), 2);
    let response = stand.send_chat(&only(429));
    assert_eq!(response.status, 500);
    assert_eq!(response.json()["error"]["message"], "told 500");
    assert_eq!(response.field("retry-after"), Some("7"));
    assert_eq!(response.field("x-request-id"), Some("r"));
    assert_eq!(option(&response), FIRST);
    story_is(&response, &[(FIRST, 500)], "listed: 429");
    assert_eq!(response.field("x-ringgate-gateway-exception"), None);
    let response = stand.send_chat(&only(500));
    assert_eq!((response.status, option(&response)), (200, SECOND));
    assert_eq!(stand.counts(), [2, 1]);

    // One that cannot be reached has no status to be listed.
    let stand = Stand::new(vec![dead(), well()]);
    assert_eq!(stand.send_chat(&only(429)).status, 200);
}

/// A `conditional` over one target, whose condition is about the model.
fn gate(inner: &Value) -> Value {
    let condition = json!({ "query": { "params.model": { "$regex": "^gpt-4o" } }, "then": "only" });
    let mut target = inner.clone();
    target["name"] = json!("only");
    json!({ "strategy": { "mode": "conditional", "conditions": [condition] }, "targets": [target] })
}

#[test]
fn single_target_condition_is_checked() {
    let stand = Stand::new(vec![well()]);
    let inside = json!({ "targets": [gate(&json!({ "provider": "p0" }))] });
    for config in [gate(&json!({ "provider": "p0" })), inside] {
        let before = stand.counts();
        let refused = stand.gateway.send(&request(&config, "", &chat("claude-x")));
        let expected = (400, "invalid_config".to_owned());
        assert_eq!((refused.status, refused.code()), expected, "{config}: {refused:?}");
        assert_eq!(stand.counts(), before, "{config}: nobody was asked");
        assert_eq!(stand.gateway.send(&request(&config, "", &chat("gpt-4o-mini"))).status, 200);
    }
    let mut open = gate(&json!({ "provider": "p0" }));
    open["strategy"]["default"] = json!("only");
    assert_eq!(stand.gateway.send(&request(&open, "", &chat("claude-x"))).status, 200);
}

#[test]
fn group_timeout_applies_to_single_target() {
    let stand = Stand::new(vec![silent()]);
    let inner = json!({ "request_timeout": 100, "targets": [{ "provider": "p0" }] });
    let begun = Instant::now();
    assert_eq!(stand.send_chat(&json!({ "targets": [inner] })).status, 504);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[test]
fn timeout_fails_over_by_its_status() {
    let only = |status: u16| {
        let mut config = config(&json!({ "mode": "fallback", "on_status_codes": [status] }), 2);
        config["targets"][0]["request_timeout"] = json!(100);
        config
    };
    let stand = Stand::new(vec![silent(), well()]);
    let response = stand.send_chat(&only(429));
    assert_eq!((response.status, response.code().as_str()), (504, "upstream_timeout"));
    story_is(&response, &[(FIRST, 504)], "504 is not listed");
    let response = stand.send_chat(&only(504));
    story_is(&response, &[(FIRST, 504), (SECOND, 200)], "504 is listed");
    let mut retry = json!({ "provider": "p0", "request_timeout": 400,
        "retry": { "attempts": 1, "on_status_codes": [429] } });
    let stand = Stand::new(vec![silent()]);
    let first_token =
        json!({ "provider": "p0", "first_token_timeout": 100, "retry": retry["retry"] });
    assert_eq!(stand.send_chat(&retry).status, 504);
    assert_eq!(stand.send(&first_token, "", &stream("m")).status, 504);
    assert_eq!(stand.counts(), [2], "neither was repeated");
    retry["retry"] = Value::Null;
    assert_eq!(stand.send(&retry, "", &chat("m")).status, 504);
}

#[test]
fn streamed_body_goes_to_first_reachable_target() {
    let stand = Stand::new(vec![dead(), failing(500, ""), well()]);
    let upload = "POST /v1/files HTTP/1.1\r\nhost: g\r\ncontent-type: multipart/form-data\r\n";
    let fields = format!("x-ringgate-config: {}\r\ncontent-length: 5\r\n\r\nabcde", fallback(3));
    let response = stand.gateway.send(&format!("{upload}{fields}"));
    // It has been sent, and is not kept: it cannot be sent again.
    assert_eq!(response.status, 500);
    story_is(&response, &[(FIRST, 502), (SECOND, 500)], "upload");
    assert_eq!(stand.counts(), [0, 1, 0]);
    assert!(stand.providers[1].last_request().ends_with("abcde"));
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

fn then_well(status: u16, fields: &str) -> Provider {
    in_turn(vec![error_answer(status, fields), json_answer("200 OK", "", CHAT_ANSWER)])
}

fn retries(response: &Response) -> Option<&str> {
    response.field("x-ringgate-retry-attempt-count")
}

#[test]
fn failed_attempt_is_retried() {
    // With the provider's word, without it, and as OpenAI tells it.
    let reset = "x-ratelimit-remaining-requests: 0\r\nx-ratelimit-reset-requests: 5ms\r\n";
    for (status, fields) in
        [(503, "retry-after-ms: 5\r\n"), (429, reset), (529, "retry-after: 0\r\n")]
    {
        let stand = Stand::new(vec![then_well(status, fields)]);
        let begun = Instant::now();
        let response = stand.send_chat(&json!({ "provider": "p0", "retry": { "attempts": 2 } }));
        assert_eq!((response.status, retries(&response)), (200, Some("1")), "{status}");
        assert_eq!(option(&response), "config");
        story_is(&response, &[("config", status), ("config", 200)], fields);
        assert!(begun.elapsed() < Duration::from_secs(1), "{fields}: {:?}", begun.elapsed());
    }
    let stand = Stand::new(vec![then_well(503, "")]);
    let response = stand.send_chat(&json!({ "provider": "p0", "retry": { "attempts": 1 } }));
    assert_eq!((response.status, retries(&response)), (200, Some("1")), "after a wait of our own");
}

#[test]
fn retry_after_ejects_provider() {
    let stand = Stand::new(vec![then_well(429, "retry-after-ms: 300\r\n")]);
    let begun = Instant::now();
    let response = stand.send_chat(&json!({ "provider": "p0", "retry": { "attempts": 1 } }));
    assert_eq!((response.status, retries(&response)), (200, Some("1")));
    assert!(begun.elapsed() >= Duration::from_millis(300), "{:?}", begun.elapsed());
}

#[test]
fn client_errors_are_not_retried() {
    let retry = json!({ "provider": "p0", "retry": { "attempts": 3 } });
    for (status, fields, expected) in [
        (400, "", "0"),
        (404, "", "0"),
        (401, "", "0"),
        // More than a minute is not waited.
        (429, "retry-after: 100\r\n", "-1"),
        (503, "retry-after-ms: 100000\r\n", "-1"),
    ] {
        let stand = Stand::new(vec![failing(status, fields)]);
        let response = stand.send_chat(&retry);
        assert_eq!((response.status, retries(&response)), (status, Some(expected)), "{fields}");
        assert_eq!(response.json()["error"]["message"], format!("told {status}"));
        assert_eq!(stand.counts(), [1], "{status} {fields}");
    }
    let stand = Stand::new(vec![failing(500, "retry-after-ms: 1\r\n")]);
    let retry = json!({ "provider": "p0", "retry": { "attempts": 3, "on_status_codes": [503] } });
    assert_eq!(retries(&stand.send_chat(&retry)), Some("0"), "500 is not listed");
    assert_eq!(stand.counts(), [1]);
}

#[test]
fn exhausted_retries_report_minus_one() {
    let again = "retry-after-ms: 1\r\n";
    let retry = |attempts: u32| json!({ "provider": "p0", "retry": { "attempts": attempts } });
    let stand = Stand::new(vec![failing(503, again)]);
    for (attempts, expected) in [(0, "0"), (1, "-1"), (2, "-1")] {
        let response = stand.send_chat(&retry(attempts));
        assert_eq!((response.status, retries(&response)), (503, Some(expected)), "{attempts}");
    }
    assert_eq!(stand.counts(), [1 + 2 + 3]);
    // The last failure is none that is repeated, so that a retry was left.
    let stand = Stand::new(vec![in_turn(vec![error_answer(503, again), error_answer(400, "")])]);
    let response = stand.send_chat(&retry(2));
    assert_eq!((response.status, retries(&response)), (400, Some("1")));
    // Of several targets the last one counts.
    let stand = Stand::new(vec![failing(503, again), failing(503, again)]);
    let mut config = fallback(2);
    config["targets"][1]["retry"] = json!({ "attempts": 1 });
    let response = stand.send_chat(&config);
    story_is(&response, &[(FIRST, 503), (SECOND, 503), (SECOND, 503)], "retries of the second");
    assert_eq!(retries(&response), Some("-1"));
    let stand = Stand::new(vec![dead()]);
    let response = stand.send_chat(&retry(1));
    assert_eq!((response.status, retries(&response)), (502, Some("-1")), "no connection");
}

#[test]
fn retries_precede_failover() {
    let stand = Stand::new(vec![failing(503, "retry-after-ms: 1\r\n"), well()]);
    let mut config = fallback(2);
    config["retry"] = json!({ "attempts": 2 });
    let response = stand.send_chat(&config);
    let expected = [(FIRST, 503), (FIRST, 503), (FIRST, 503), (SECOND, 200)];
    story_is(&response, &expected, "two retries");
    assert_eq!(retries(&response), Some("0"), "of the target that has answered");
    // A long `retry-after` is not honored if another target is available.
    let stand = Stand::new(vec![failing(429, "retry-after: 30\r\n"), well()]);
    let begun = Instant::now();
    let response = stand.send_chat(&config);
    story_is(&response, &[(FIRST, 429), (SECOND, 200)], "a long wait");
    assert!(begun.elapsed() < Duration::from_secs(5));
    // A provider that answers with half an answer is asked again, too.
    let stand = Stand::new(vec![in_turn(vec![
        json_answer("200 OK", "", "what is this"),
        json_answer("200 OK", "", CHAT_ANSWER),
    ])]);
    let response = stand.send_chat(&json!({ "provider": "p0", "retry": { "attempts": 1 } }));
    assert_eq!((response.status, retries(&response)), (200, Some("1")), "{response:?}");
}

#[test]
fn retry_budget_limits_retries() {
    const REQUESTS: usize = 200;
    let stand = Stand::new(vec![failing(503, "retry-after-ms: 1\r\n")]);
    let config = json!({ "provider": "p0", "retry": { "attempts": 5 } });
    let begun = Instant::now();
    let mut client = stand.gateway.connect();
    for _ in 0..REQUESTS {
        client.send(request(&config, "", &chat("m")).as_bytes());
        assert_eq!(client.response().status, 503);
    }
    // A fifth on top, a reserve of ten, and one a second.
    let seconds = usize::try_from(begun.elapsed().as_secs()).expect("a few");
    let calls = stand.providers[0].request_count();
    assert!(calls <= REQUESTS + REQUESTS / 5 + 10 + seconds + 1, "{calls}");
    assert!(calls >= REQUESTS + REQUESTS / 5, "{calls}");
}

//! What a provider may do wrong, and what the client must see then: a clean error or a broken
//! stream, never a clean finish; and the connection is never used again.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::harness::{
    CHAT_ANSWER, Gateway, KEYS, Provider, Response, STREAM_HEAD, Visit, cached, chat, delta, event,
    eventually, json_answer, key_sections, post, stream,
};

crate::harness::variants!();

/// Short limits, so that a hang shows quickly.
const QUICK: &str = "connect_timeout_ms = 300\nfirst_byte_timeout_ms = 300\n\
                     idle_timeout_ms = 300\ntotal_timeout_ms = 2000";

/// Limits that nothing but a hang reaches, for faults that show at once.
const PATIENT: &str = "connect_timeout_ms = 10000\nfirst_byte_timeout_ms = 10000\n\
                       idle_timeout_ms = 10000\ntotal_timeout_ms = 15000";

/// Asks with one of two keys, the cache being on.
fn send(gateway: &Gateway, key: &str) -> Response {
    gateway.send(&post("/v1/chat/completions", &cached(key), &chat("m")))
}

fn check(what: &str, script: impl Fn(&mut Visit) + Send + Sync + 'static, expected: (u16, &str)) {
    let provider = provider(move |visit| {
        while visit.request().is_some() {
            if visit.number == 0 {
                script(visit);
                // The gateway has to be the one that closes.
                visit.wait_for_end();
                return;
            }
            visit.send(json_answer("200 OK", "", CHAT_ANSWER).as_bytes());
        }
    });
    let limits = if expected.0 == 504 { QUICK } else { PATIENT };
    let gateway = start(&format!("{}{}", key_sections(), provider.section("p", limits)));
    let response = send(&gateway, KEYS[0]);
    assert_eq!((response.status, response.code().as_str()), expected, "{what}");
    assert_eq!(response.field("x-ringgate-gateway-exception"), Some("true"), "{what}");
    let text = response.text();
    assert!(!text.contains(&provider.address.port().to_string()), "{what}: {text}");
    // The next request gets a connection of its own, and its own answer, and that is what is stored.
    let next = send(&gateway, KEYS[1]);
    assert_eq!((next.status, next.text().as_str()), (200, CHAT_ANSWER), "{what}");
    let stored = send(&gateway, KEYS[0]);
    assert_eq!(stored.field("x-ringgate-cache-status"), Some("HIT"), "{what}");
    assert_eq!(stored.json()["choices"], next.json()["choices"], "{what}");
    gateway.expect_metric("ringgate_errors_total", &["upstream", expected.1], 1.0);
    gateway.expect_metric("ringgate_panics_total", &[], 0.0);
}

#[test]
fn invalid_responses_are_502() {
    let length = |count: usize, body: &str| {
        format!("HTTP/1.1 200 OK\r\ncontent-length: {count}\r\n\r\n{body}")
    };
    let chunked =
        |chunks: &str| format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunks}");
    let huge = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(1_000_000));
    for (what, answer) in [
        ("garbage", "SSH-2.0-OpenSSH_9.2\r\n\r\n".to_owned()),
        ("not JSON", length(5, "hello")),
        ("empty JSON", length(0, "")),
        (
            "duplicate length",
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}".into(),
        ),
        (
            "length and chunked",
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}".into(),
        ),
        ("bad length", "HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\n{}".into()),
        ("bad status", "HTTP/1.1 99 X\r\ncontent-length: 2\r\n\r\n{}".into()),
        ("NUL in a value", "HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 2\r\n\r\n{}".into()),
        ("bare LF", "HTTP/1.1 200 OK\ncontent-length: 2\n\n{}".into()),
        ("huge head", huge),
        ("bad chunk size", chunked("zz\r\n{}\r\n0\r\n\r\n")),
        ("chunk without CR LF", chunked("2\r\n{}0\r\n\r\n")),
        ("overflowing chunk", chunked("ffffffffffffffffff\r\n{}")),
        ("unasked upgrade", "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n".into()),
        ("endless interim answers", "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(20)),
        (
            "redirect",
            "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"
                .into(),
        ),
        ("over-long answer", length(999_999_999_999, "{}")),
    ] {
        check(what, move |visit| visit.send(answer.as_bytes()), (502, "upstream_invalid_response"));
    }
}

#[test]
fn truncated_responses_are_502() {
    for (what, answer) in [
        ("closed before an answer", String::new()),
        ("closed within the head", "HTTP/1.1 200 OK\r\ncontent-le".into()),
        (
            "closed within the body",
            format!("HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{CHAT_ANSWER}"),
        ),
        (
            "closed within a chunk",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nff\r\n{".into(),
        ),
        (
            "closed before the last chunk",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n".into(),
        ),
    ] {
        for reset in [false, true] {
            let answer = answer.clone();
            let what = format!("{what}, reset {reset}");
            let script = move |visit: &mut Visit| {
                visit.send(answer.as_bytes());
                if reset {
                    visit.reset();
                } else {
                    let _ = visit.stream.shutdown(std::net::Shutdown::Write);
                }
            };
            check(&what, script, (502, "upstream_invalid_response"));
        }
    }
}

#[test]
fn silent_provider_is_504_at_the_timeout() {
    for (what, answer) in [
        ("before the head", ""),
        ("within the head", "HTTP/1.1 200 OK\r\ncon"),
        ("before the body", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"),
        ("within the body", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n{\"a"),
    ] {
        let begun = Instant::now();
        check(what, move |visit| visit.send(answer.as_bytes()), (504, "upstream_timeout"));
        assert!(begun.elapsed() < Duration::from_secs(5), "{what}");
    }
}

#[test]
fn busy_polling_shard_keeps_timeouts() {
    // Its clients never let it come to rest.
    let hangs = provider(|visit| while visit.request().is_some() {});
    let answers = always(json_answer("200 OK", "", CHAT_ANSWER));
    let gateway = start(&format!(
        "[server]\nshards = 1\nbusy_poll_us = 1000000\n{}{}",
        hangs.section("hangs", QUICK),
        answers.section("answers", "")
    ));
    let begun = Instant::now();
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let response = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) && begun.elapsed() < Duration::from_secs(10) {
                assert_eq!(gateway.post("/v1/chat/completions", &chat("answers/m")).status, 200);
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let response = gateway.post("/v1/chat/completions", &chat("hangs/m"));
        is_over.store(true, Ordering::Relaxed);
        response
    });
    assert_eq!(response.status, 504, "{}", response.text());
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[test]
fn refused_connection_is_502() {
    let gateway = start(
        "[providers.p]\ndialect = \"openai-chat\"\nbase_url = \"http://127.0.0.1:1/v1\"\n\
         [providers.q]\ndialect = \"openai-chat\"\nbase_url = \"http://no-such-host.invalid/v1\"\n",
    );
    for model in ["p/m", "q/m"] {
        let response = gateway.post("/v1/chat/completions", &chat(model));
        let seen = (response.status, response.code());
        assert_eq!(seen, (502, "upstream_unreachable".to_owned()), "{model}");
    }
    gateway.expect_metric("ringgate_dns_errors_total", &[], 1.0);
}

#[test]
fn localhost_is_tried_over_ipv4_and_ipv6() {
    // The provider listens on IPv4 only; the name may give IPv6 first.
    let provider = Provider::always(json_answer("200 OK", "", CHAT_ANSWER));
    let port = provider.address.port();
    let gateway = start(&format!(
        "[providers.p]\ndialect = \"openai-chat\"\nbase_url = \"http://localhost:{port}/v1\"\n"
    ));
    assert_eq!(gateway.post("/v1/chat/completions", &chat("m")).status, 200);
}

#[test]
fn provider_errors_keep_status_body_and_limits() {
    let body = r#"{"error":{"message":"slow down","type":"tokens","code":"rate_limit_exceeded"}}"#;
    let fields = "retry-after: 7\r\nx-ratelimit-remaining-tokens: 0\r\n";
    for status in ["400 Bad Request", "401 Unauthorized", "429 Too Many Requests", "529 X"] {
        let provider = always(json_answer(status, fields, body));
        let gateway = start(&provider.section("p", ""));
        let response = gateway.post("/v1/chat/completions", &chat("m"));
        assert!(status.starts_with(&response.status.to_string()), "{status}");
        assert_eq!(response.text(), body);
        assert_eq!(response.field("retry-after"), Some("7"));
        assert_eq!(response.field("x-ratelimit-remaining-tokens"), Some("0"));
        assert_eq!(response.field("x-ringgate-gateway-exception"), None);
    }
}

#[test]
fn surplus_bytes_close_the_connection() {
    let provider = provider(|visit| {
        while visit.request().is_some() {
            let mut answer = json_answer("200 OK", "", CHAT_ANSWER);
            answer.push_str(&json_answer("200 OK", "", r#"{"poison":true}"#));
            visit.send(answer.as_bytes());
        }
    });
    let gateway = start(&provider.section("p", ""));
    let mut client = gateway.connect();
    for number in 1..=3 {
        client.send(crate::harness::post("/v1/chat/completions", "", &chat("m")).as_bytes());
        assert_eq!(client.response().text(), CHAT_ANSWER);
        assert_eq!(provider.connections.load(std::sync::atomic::Ordering::SeqCst), number);
    }
}

#[test]
fn failure_on_a_new_connection_is_not_retried() {
    let provider = provider(|visit| {
        let _ = visit.request();
    });
    let gateway = start(&provider.section("p", ""));
    assert_eq!(gateway.post("/v1/chat/completions", &chat("m")).status, 502);
    assert_eq!(provider.request_count(), 1);
}

#[test]
fn broken_stream_ends_with_error_event_without_terminator() {
    for (what, tail, reset) in [
        ("closed", String::new(), false),
        ("reset", String::new(), true),
        ("bad chunk", "zz\r\n".to_owned(), false),
        ("clean end without a terminator", "0\r\n\r\n".to_owned(), false),
        ("silent", "hang".to_owned(), false),
    ] {
        let provider = provider(move |visit| {
            while visit.request().is_some() {
                visit.send(STREAM_HEAD.as_bytes());
                visit.send(event(&delta("one")).as_bytes());
                match tail.as_str() {
                    "hang" => {
                        visit.wait_for_end();
                        return;
                    }
                    tail => visit.send(tail.as_bytes()),
                }
                if reset {
                    visit.reset();
                }
                let _ = visit.stream.shutdown(std::net::Shutdown::Write);
            }
        });
        let gateway = start(&provider.section("p", QUICK));
        let response = gateway.post("/v1/chat/completions", &stream("m"));
        let text = response.text();
        if response.status != 200 {
            // The break was seen before anything had gone out, or a slow machine did not even connect
            // in time: a whole error, better still.
            let expected = [(502, "upstream_invalid_response"), (504, "upstream_timeout")];
            assert!(
                expected.contains(&(response.status, response.code().as_str())),
                "{what}: {text}"
            );
            continue;
        }
        assert!(!response.complete, "{what}: a clean end");
        assert!(!text.contains("[DONE]"), "{what}: {text}");
        // A reset may overtake the first event; whatever came is followed by the error.
        let last = text.trim_end().rsplit("\n\n").next().unwrap_or_default();
        assert!(last.starts_with("data: {\"error\":"), "{what}: {text}");
        eventually("its connection is closed", || gateway.sockets_to(provider.address.port()) == 0);
    }
}

#[test]
fn client_that_never_reads_is_disconnected() {
    let provider = provider(|visit| {
        while visit.request().is_some() {
            let body = vec![b'x'; 64 * 1024 * 1024];
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            visit.send(head.as_bytes());
            visit.send(&body);
        }
    });
    let settings = "[server]\nclient_write_timeout_ms = 300\n";
    let gateway = start(&format!("{settings}{}", provider.section("p", "")));
    let mut client = gateway.connect();
    client.send(b"GET /v1/files/f/content HTTP/1.1\r\nhost: g\r\n\r\n");
    eventually("the provider is asked", || provider.request_count() == 1);
    eventually("the exchange ends", || gateway.metric("ringgate_requests_in_flight", &[]) == 0.0);
    eventually("both connections are closed", || {
        gateway.sockets_to(provider.address.port()) == 0
            && gateway.metric("ringgate_open_connections", &[]) == 0.0
    });
    gateway.expect_metric("ringgate_errors_total", &["client_stalled"], 1.0);
}

#[test]
fn gateway_loop_is_detected() {
    let provider = always(json_answer("200 OK", "", CHAT_ANSWER));
    let gateway = start(&provider.section("p", ""));
    let passed = |hops: u32| {
        let field = format!("x-ringgate-hops: {hops}\r\n");
        gateway.send(&post("/v1/chat/completions", &field, &chat("m")))
    };
    assert_eq!(passed(7).status, 200);
    assert!(provider.last_request().contains("x-ringgate-hops: 8\r\n"));
    let refused = passed(8);
    assert_eq!((refused.status, refused.code().as_str()), (400, "invalid_request"));
    assert!(refused.text().contains("too many gateways"), "{}", refused.text());
    assert_eq!(provider.request_count(), 1);
}

//! Event streams: usage that is asked for and hidden, events that are not held back, fairness.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::harness::{
    CHAT_ANSWER, FINISH, Gateway, Provider, STREAM_HEAD, USAGE, chat, delta, event, json_answer,
    post, stream,
};

fn streaming(events: &'static [&'static str]) -> Provider {
    Provider::start(move |visit| {
        while visit.request().is_some() {
            visit.send(STREAM_HEAD.as_bytes());
            for data in events {
                visit.send(event(data).as_bytes());
            }
            visit.send(b"0\r\n\r\n");
        }
    })
}

#[test]
fn injected_stream_usage_is_hidden_from_client() {
    let provider = streaming(&[FINISH, USAGE, "[DONE]"]);
    let gateway = Gateway::start(&provider.section("p", ""));
    let response = gateway.post("/v1/chat/completions", &stream("m"));
    assert_eq!(response.text(), format!("data: {FINISH}\n\ndata: [DONE]\n\n"));
    assert!(response.complete);
    assert!(provider.last_request().contains(r#""stream_options":{"include_usage":true}"#));
    gateway.expect_metric("ringgate_tokens_total", &["input"], 11.0);
    gateway.expect_metric("ringgate_tokens_total", &["output"], 5.0);

    let body = r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#;
    let response = gateway.post("/v1/chat/completions", body);
    assert!(response.text().contains(USAGE), "{}", response.text());
    assert!(provider.last_request().ends_with(body), "unchanged where the client asks itself");

    let body = r#"{"model":"m","stream":true,"stream_options":{"x":1,"include_usage":false}}"#;
    let response = gateway.post("/v1/chat/completions", body);
    assert!(!response.text().contains("usage"), "{}", response.text());
    assert!(provider.last_request().contains(r#""x":1"#), "other options survive");
}

#[test]
fn usage_is_removed_from_content_events() {
    const LAST: &str = r#"{"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":4,"completion_tokens":2}}"#;
    let provider = streaming(&[LAST, "[DONE]"]);
    let gateway = Gateway::start(&provider.section("p", ""));
    let text = gateway.post("/v1/chat/completions", &stream("m")).text();
    assert!(!text.contains("usage") && text.contains("\"stop\""), "{text}");
    gateway.expect_metric("ringgate_tokens_total", &["input"], 4.0);
}

#[test]
fn missing_done_event_is_added() {
    let provider = streaming(&[FINISH]);
    let gateway = Gateway::start(&provider.section("p", ""));
    let response = gateway.post("/v1/chat/completions", &stream("m"));
    assert!(response.complete && response.text().ends_with("data: [DONE]\n\n"));
}

#[test]
fn events_are_reencoded_for_any_line_ending() {
    let provider = Provider::start(|visit| {
        while visit.request().is_some() {
            let body = format!(": hello\r\n\r\nevent: x\r\ndata:{FINISH}\r\n\r\ndata: [DONE]\r\r");
            visit
                .send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n\r\n");
            visit.send(body.as_bytes());
            let _ = visit.stream.shutdown(std::net::Shutdown::Both);
        }
    });
    let gateway = Gateway::start(&provider.section("p", ""));
    let response = gateway.post("/v1/chat/completions", &stream("m"));
    let expected = format!(": hello\n\nevent: x\ndata: {FINISH}\n\ndata: [DONE]\n\n");
    assert_eq!(response.text(), expected);
    assert_eq!(response.field("x-accel-buffering"), Some("no"));
}

#[test]
fn events_are_forwarded_immediately() {
    // Each event is sent only after the client has seen the one before.
    let (seen, sees) = std::sync::mpsc::sync_channel::<()>(1);
    let sees = std::sync::Mutex::new(sees);
    let provider = Provider::start(move |visit| {
        visit.request();
        visit.send(STREAM_HEAD.as_bytes());
        for number in 0..10 {
            visit.send(event(&delta(&format!("event-{number}"))).as_bytes());
            sees.lock().expect("one visit").recv().expect("the client goes on");
        }
        visit.send(format!("{}{}0\r\n\r\n", event(FINISH), event("[DONE]")).as_bytes());
    });
    let gateway = Gateway::start(&provider.section("p", ""));
    let mut client = gateway.connect();
    client.send(post("/v1/chat/completions", "", &stream("m")).as_bytes());
    for number in 0..10 {
        client.wait_for(&format!("event-{number}"));
        seen.send(()).expect("the provider goes on");
    }
    assert!(client.response().complete);
}

#[test]
fn bursting_stream_does_not_starve_shard() {
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let burst = Provider::start(move |visit| {
        visit.request();
        visit.send(STREAM_HEAD.as_bytes());
        let many = event(&delta("burst")).repeat(400);
        while !stopped.load(Ordering::Relaxed) {
            visit.send(many.as_bytes());
        }
        visit.send(format!("{}{}0\r\n\r\n", event(FINISH), event("[DONE]")).as_bytes());
    });
    let small = Provider::always(json_answer("200 OK", "", CHAT_ANSWER));
    let gateway =
        Gateway::start(&format!("{}{}", burst.section("burst", ""), small.section("small", "")));
    let mut streaming = gateway.connect();
    streaming.send(post("/v1/chat/completions", "", &stream("burst/m")).as_bytes());
    streaming.wait_for("burst");
    let reader = std::thread::spawn(move || streaming.response().complete);
    let mut client = gateway.connect();
    let mut slowest = Duration::ZERO;
    for _ in 0..200 {
        let begun = Instant::now();
        client.send(post("/v1/chat/completions", "", &chat("small/m")).as_bytes());
        assert_eq!(client.response().status, 200);
        slowest = slowest.max(begun.elapsed());
    }
    stop.store(true, Ordering::Relaxed);
    assert!(reader.join().expect("the reading thread"));
    // Generous: an unoptimised build on a busy machine. The benchmark gives the real figure.
    assert!(slowest < Duration::from_secs(2), "a small request took {slowest:?}");
}

#[test]
fn stream_errors_are_forwarded_and_counted() {
    let provider = streaming(&[r#"{"error":{"message":"overloaded","type":"server_error"}}"#]);
    let gateway = Gateway::start(&provider.section("p", ""));
    let response = gateway.post("/v1/chat/completions", &stream("m"));
    assert!(response.text().contains("overloaded") && !response.text().contains("[DONE]"));
    gateway.expect_metric("ringgate_errors_total", &["upstream"], 1.0);
}

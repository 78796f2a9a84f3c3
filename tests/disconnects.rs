//! Clients that leave: noticed while waiting, nothing left behind, partial usage recorded.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::harness::{
    Gateway, LIMIT, Provider, STREAM_HEAD, chat, delta, event, eventually, post, stream,
};

/// Notes when the gateway closed each of its connections.
fn watching(answer: &'static str) -> (Provider, Arc<std::sync::Mutex<Vec<Instant>>>) {
    let ends: Arc<std::sync::Mutex<Vec<Instant>>> = Arc::default();
    let kept = Arc::clone(&ends);
    let provider = Provider::start(move |visit| {
        if visit.request().is_some() {
            visit.send(answer.as_bytes());
            if visit.wait_for_end() {
                kept.lock().expect("no panic while held").push(Instant::now());
            }
        }
    });
    (provider, ends)
}

#[test]
fn client_disconnect_closes_the_upstream_within_100_ms() {
    for (what, answer, streamed) in [
        ("before the head", "", false),
        ("within a stream", "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n", true),
    ] {
        for reset in [false, true] {
            let (provider, ends) = watching(answer);
            let gateway = Gateway::start(&provider.section("p", ""));
            let mut client = gateway.connect();
            let body = if streamed { stream("m") } else { chat("m") };
            client.send(post("/v1/chat/completions", "", &body).as_bytes());
            if streamed {
                client.wait_for("\r\n\r\n");
            } else {
                eventually("the request arrives", || provider.request_count() == 1);
            }
            let left = Instant::now();
            if reset {
                client.reset();
            } else {
                drop(client);
            }
            eventually("its connection is closed", || !ends.lock().expect("no panic").is_empty());
            let took = ends.lock().expect("no panic")[0].duration_since(left);
            assert!(took < Duration::from_millis(100), "{what}, reset {reset}: {took:?}");
            let left = ["side=\"client_left\""];
            eventually("it is counted", || gateway.metric("ringgate_errors_total", &left) == 1.0);
        }
    }
}

#[test]
fn disconnect_records_partial_usage() {
    let provider = Provider::start(|visit| {
        visit.request();
        visit.send(STREAM_HEAD.as_bytes());
        for number in 0..7 {
            visit.send(event(&delta(&format!("event-{number}"))).as_bytes());
        }
        visit.wait_for_end();
    });
    let gateway = Gateway::start(&provider.section("p", ""));
    let mut client = gateway.connect();
    client.send(post("/v1/chat/completions", "", &stream("m")).as_bytes());
    client.wait_for("event-6");
    drop(client);
    eventually("it is counted", || gateway.metric("ringgate_tokens_total", &["output"]) == 7.0);
    assert!(gateway.metric("ringgate_tokens_total", &["input"]) > 0.0);
    gateway.expect_metric("ringgate_usage_estimated_total", &[], 1.0);
}

/// Ten thousand streams, all abandoned in the middle: afterwards no connection to the provider is
/// open, nothing is in flight, and the memory has come back.
#[test]
fn ten_thousand_abandoned_streams_leak_nothing() {
    const CLIENTS: usize = 10_000;
    const AT_ONCE: usize = 8;
    let options = loadtest::mock::MockOptions {
        tokens: 1_000_000,
        tokens_per_second: 200.0,
        ..Default::default()
    };
    let mock = loadtest::mock::start(options).expect("a mock");
    let gateway = Gateway::start(&format!(
        "[providers.p]\ndialect = \"openai-chat\"\nbase_url = \"http://{}/v1\"\n",
        mock.addr
    ));
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while next.fetch_add(1, Ordering::Relaxed) < CLIENTS {
                    let mut client = gateway.connect();
                    client.send(post("/v1/chat/completions", "", &stream("m")).as_bytes());
                    client.wait_for("data: ");
                    client.reset();
                }
            });
        }
    });
    let begun = Instant::now();
    eventually("nothing is in flight", || {
        gateway.metric("ringgate_requests_in_flight", &[]) == 0.0
            && gateway.metric("ringgate_open_connections", &[]) == 0.0
    });
    eventually("no socket to the provider is open", || gateway.sockets_to(mock.addr.port()) == 0);
    eventually("the provider sees none either", || mock.stats().connections_open == 0);
    assert!(begun.elapsed() < LIMIT);
    gateway.expect_metric("ringgate_buffered_bytes", &[], 0.0);
    let left = gateway.metric("ringgate_errors_total", &["client_left"]);
    assert_eq!(left, CLIENTS as f64);
    gateway.expect_metric("ringgate_panics_total", &[], 0.0);
}

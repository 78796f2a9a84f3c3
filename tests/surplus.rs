//! Bytes that a provider sends without having been asked never become an answer: not the next
//! request's, not another key's, not a stored one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ringgate::shard::Driver;

use crate::harness::{
    CHAT_ANSWER, FINISH, Gateway, KEYS, LIMIT, Provider, STREAM_HEAD, Visit, chat, delta, event,
    eventually, json_answer, post,
};
use crate::tls_front::Goodbye;

const CHAT_PATH: &str = "/v1/chat/completions";

const DRIVERS: [Driver; 2] = [Driver::IoUring, Driver::Epoll];

/// What must never reach anybody.
const STRAY: &str = "STRAY";

/// How the provider answers, and what it sends later without having been asked.
#[derive(Clone, Copy, Debug)]
enum Kind {
    SecondAnswer,
    SecondStream,
    HalfAStatusLine,
    Timeout408,
    End,
    Reset,
}

const KINDS: [Kind; 6] = [
    Kind::SecondAnswer,
    Kind::SecondStream,
    Kind::HalfAStatusLine,
    Kind::Timeout408,
    Kind::End,
    Kind::Reset,
];

/// Microseconds from an answer to what nobody asked for.
const DELAYS_US: [u64; 7] = [0, 500, 2_000, 15_000, 50_000, 400_000, 600_000];

fn answer(text: &str) -> String {
    json_answer("200 OK", "", &CHAT_ANSWER.replace("Hi", text))
}

fn streamed(text: &str) -> String {
    format!("{STREAM_HEAD}{}{}{}0\r\n\r\n", event(&delta(text)), event(FINISH), event("[DONE]"))
}

impl Kind {
    /// How many bytes were sent.
    fn send(self, visit: &mut Visit) -> usize {
        let bytes = match self {
            Self::SecondAnswer => answer(STRAY),
            Self::SecondStream => streamed(STRAY),
            Self::HalfAStatusLine => "HTTP/1.1 2".to_owned(),
            Self::Timeout408 => {
                let fields = "connection: close\r\n";
                json_answer("408 Request Timeout", fields, STRAY)
            }
            Self::End | Self::Reset => String::new(),
        };
        visit.send(bytes.as_bytes());
        match self {
            Self::End | Self::Timeout408 => {
                let _ = visit.stream.shutdown(std::net::Shutdown::Write);
            }
            Self::Reset => visit.reset(),
            Self::SecondAnswer | Self::SecondStream | Self::HalfAStatusLine => {}
        }
        bytes.len()
    }

    /// It ends its connection each time.
    fn ends(self) -> bool {
        matches!(self, Self::Timeout408 | Self::End | Self::Reset)
    }
}

/// The text that a request asks for.
fn mark_of(request: &str) -> String {
    let after = request.split("mark-").nth(1).unwrap_or_default();
    let digits: String = after.chars().take_while(char::is_ascii_alphanumeric).collect();
    format!("mark-{digits}")
}

/// What a provider has done so far.
#[derive(Default)]
struct Progress {
    /// Answers with what followed them.
    rounds: AtomicUsize,
    /// Bytes sent.
    bytes: AtomicUsize,
}

/// Repeats the mark of each request, and sends something nobody asked for behind each answer.
fn confused(kind: Kind, delay: Duration, progress: Arc<Progress>) -> Provider {
    Provider::start(move |visit| {
        while let Some(request) = visit.request() {
            let mark = mark_of(&request);
            let is_stream = request.contains("\"stream\":true");
            let answer = if is_stream { streamed(&mark) } else { answer(&mark) };
            visit.send(answer.as_bytes());
            thread::sleep(delay);
            let count = kind.send(visit);
            progress.bytes.fetch_add(answer.len() + count, Ordering::SeqCst);
            progress.rounds.fetch_add(1, Ordering::SeqCst);
        }
    })
}

/// One request; what it is answered, which must be its own mark.
fn send(gateway: &Gateway, (model, number, key): (&str, usize, &str), is_stream: bool) -> String {
    let mark = format!("mark-{model}{number}").replace('/', "");
    let fields = format!(
        "authorization: Bearer {key}\r\nx-ringgate-config: {{\"cache\":{{\"mode\":\"simple\",\"scope\":\"shared\"}}}}\r\n"
    );
    let body = chat(model).replace("Hello", &mark);
    let body = if is_stream { body.replacen('{', "{\"stream\":true,", 1) } else { body };
    let response = gateway.send(&post(CHAT_PATH, &fields, &body));
    assert_eq!(response.status, 200, "{mark}: {}", response.text());
    let text = response.text();
    assert!(text.contains(&format!("\"{mark}\"")), "{mark} was answered {text}");
    assert!(!text.contains(STRAY), "{mark} was answered {text}");
    response.field("x-ringgate-cache-status").unwrap_or_default().to_owned()
}

/// A gateway before this many names of one provider: each has a pool of its own.
fn gateway(driver: Driver, provider: &Provider, names: usize) -> Gateway {
    let mut settings = String::from("[server]\nshards = 1\n");
    for (number, key) in KEYS.iter().enumerate() {
        settings += &format!("[keys.k{number}]\nsecret = \"{key}\"\n");
    }
    for number in 0..names {
        settings += &provider.section(&format!("p{number}"), "");
    }
    Gateway::start_on(driver, &settings)
}

fn hammer(driver: Driver, over_tls: bool) {
    thread::scope(|scope| {
        for kind in KINDS {
            scope.spawn(move || {
                for delay_us in DELAYS_US {
                    hammer_with(driver, over_tls, kind, delay_us);
                }
            });
        }
    });
}

/// Asks each of several pools in turn, with two keys, always after what nobody asked for has come.
fn hammer_with(driver: Driver, over_tls: bool, kind: Kind, delay_us: u64) {
    let names = if delay_us < 100_000 { 12 } else { 2 };
    let progress = Arc::new(Progress::default());
    let provider = confused(kind, Duration::from_micros(delay_us), Arc::clone(&progress));
    let provider = if over_tls { provider.over_tls() } else { provider };
    let gateway = gateway(driver, &provider, names);
    let mut calls = 0;
    let mut send = |model: &str, number: usize, key: &str| {
        let is_hit = send(&gateway, (model, number, key), number == 1) == "HIT";
        calls += usize::from(!is_hit);
        eventually("all is sent", || {
            let ends = if kind.ends() { calls } else { 0 };
            progress.rounds.load(Ordering::SeqCst) >= calls
                && provider.has_passed(progress.bytes.load(Ordering::SeqCst), ends)
        });
    };
    for name in 0..names {
        let model = format!("p{name}/m");
        for number in 0..3 {
            send(&model, number, KEYS[number % 2]);
        }
        for number in 0..3 {
            // What was stored is right, too.
            send(&model, number, KEYS[0]);
        }
    }
    if matches!(kind, Kind::SecondAnswer | Kind::SecondStream | Kind::HalfAStatusLine) {
        eventually("each pool has counted one", || {
            gateway.metric("ringgate_upstream_surplus_total", &[]) >= names as f64
        });
    }
    gateway.expect_metric("ringgate_panics_total", &[], 0.0);
}

#[test]
fn surplus_bytes_are_not_a_response_on_io_uring() {
    hammer(Driver::IoUring, false);
}

#[test]
fn surplus_bytes_are_not_a_response_on_epoll() {
    hammer(Driver::Epoll, false);
}

#[test]
fn surplus_bytes_are_not_a_response_on_io_uring_tls() {
    hammer(Driver::IoUring, true);
}

#[test]
fn surplus_bytes_are_not_a_response_on_epoll_tls() {
    hammer(Driver::Epoll, true);
}

#[test]
fn distrust_is_shared_between_shards() {
    let progress = Arc::new(Progress::default());
    let provider = confused(Kind::SecondAnswer, Duration::ZERO, Arc::clone(&progress));
    let settings = format!("[server]\nshards = 4\n{}", provider.section("p0", ""));
    let gateway = Gateway::start(&settings);
    // The kernel spreads the connections of clients over the shards.
    for number in 0..40 {
        send(&gateway, ("p0/m", number, "none"), false);
        eventually("all is sent", || progress.rounds.load(Ordering::SeqCst) > number);
    }
    assert_eq!(provider.connections.load(Ordering::SeqCst), 40);
    // Of several idle ones at most; three shards have never kept a connection.
    gateway.expect_metric("ringgate_upstream_surplus_total", &[], 1.0);
}

/// Sends `request`, which the provider answers with `answers`, and then a chat, which must have a
/// connection of its own.
fn check_next(what: &str, request: &str, answers: &'static [&'static str]) {
    for driver in DRIVERS {
        for over_tls in [false, true] {
            let provider = Provider::start(move |visit| {
                while let Some(request) = visit.request() {
                    if !request.contains("mark-") {
                        for answer in answers {
                            visit.send(answer.as_bytes());
                            thread::sleep(Duration::from_millis(5));
                        }
                    } else {
                        visit.send(answer(&mark_of(&request)).as_bytes());
                    }
                }
            });
            let provider = if over_tls { provider.over_tls() } else { provider };
            let gateway = gateway(driver, &provider, 1);
            let mut client = gateway.connect();
            client.send(request.replace("KEY", KEYS[0]).as_bytes());
            let method = request.split(' ').next().unwrap_or_default();
            let _ = client.response_to(method);
            // At once, while what is wrong is still on its way.
            send(&gateway, ("p0/m", 1, KEYS[1]), false);
            assert_eq!(provider.connections.load(Ordering::SeqCst), 2, "{what}, {driver:?}");
        }
    }
}

#[test]
fn connection_with_possible_surplus_is_not_reused() {
    let poison = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 14\r\n\r\n                  {\"a\":\"STRAY\"}\r\n";
    let head = |length: &str| format!("HTTP/1.1 200 OK\r\n{length}\r\n");
    let leak = |text: String| -> &'static str { Box::leak(text.into_boxed_str()) };
    let rows = |answers: &[String]| -> &'static [&'static str] {
        Box::leak(answers.iter().map(|it| leak(it.clone())).collect::<Vec<_>>().into_boxed_slice())
    };
    let file = |method: &str, fields: &str| {
        format!(
            "{method} /v1/files/f/content HTTP/1.1\r\nhost: g\r\nauthorization: Bearer KEY\r\n{fields}\r\n"
        )
    };
    let body = head(&format!("content-length: {}\r\n", poison.len()));
    for (what, request, answers) in [
        ("HEAD", file("HEAD", ""), rows(&[body.clone(), poison.to_owned()])),
        (
            "HEAD in chunks",
            file("HEAD", ""),
            rows(&[head("transfer-encoding: chunked\r\n"), poison.to_owned()]),
        ),
        ("HEAD without a length", file("HEAD", ""), rows(&[head(""), poison.to_owned()])),
        (
            "304",
            file("GET", "if-none-match: \"x\"\r\n"),
            rows(&["HTTP/1.1 304 Not Modified\r\n\r\n".to_owned(), poison.to_owned()]),
        ),
        (
            "an interim answer first",
            file("GET", ""),
            rows(&[
                "HTTP/1.1 103 Early Hints\r\n\r\n".to_owned() + &head("content-length: 0\r\n"),
                poison.to_owned(),
            ]),
        ),
        (
            "408",
            file("GET", ""),
            rows(&[
                "HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n".to_owned(),
                poison.to_owned(),
            ]),
        ),
    ] {
        check_next(what, &request, answers);
    }
}

#[test]
fn early_rejection_of_large_body_closes_connection() {
    for driver in DRIVERS {
        for (over_tls, size) in [(false, 200_000), (false, 8_000_000), (true, 8_000_000)] {
            // It reads the head, refuses, and takes the rest of the body for a request, which is bad.
            let provider = Provider::start(|visit| {
                use std::io::Read as _;
                let mut byte = [0];
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match visit.stream.read(&mut byte) {
                        Ok(1) => head.push(byte[0]),
                        _ => return,
                    }
                }
                if visit.number == 0 {
                    let refusal = json_answer(
                        "413 Payload Too Large",
                        "",
                        "{\"error\":{\"message\":\"too large\"}}",
                    );
                    visit.send(refusal.as_bytes());
                    thread::sleep(Duration::from_millis(20));
                    visit.send(
                        json_answer("400 Bad Request", "", "{\"error\":\"STRAY\"}").as_bytes(),
                    );
                    visit.wait_for_end();
                } else {
                    visit.send(answer("mark-p0m7").as_bytes());
                }
            });
            let provider = if over_tls { provider.over_tls() } else { provider };
            let gateway = gateway(driver, &provider, 1);
            let begun = Instant::now();
            let body = chat("p0/m").replace("Hello", &"x".repeat(size));
            let fields = format!("authorization: Bearer {}\r\n", KEYS[0]);
            let response = gateway.send(&post(CHAT_PATH, &fields, &body));
            assert_eq!(response.status, 413, "{driver:?} {size}: {}", response.text());
            assert!(begun.elapsed() < LIMIT / 4, "{driver:?}: nobody reads the rest");
            send(&gateway, ("p0/m", 7, KEYS[1]), false);
        }
    }
}

#[test]
fn acknowledged_request_is_not_resent() {
    for driver in DRIVERS {
        for over_tls in [false, true] {
            for reset in [false, true] {
                let provider = Provider::start(move |visit| {
                    if visit.request().is_some() {
                        visit.send(json_answer("200 OK", "", CHAT_ANSWER).as_bytes());
                    }
                    // Reads the second request, then dies.
                    if visit.request().is_some() && reset {
                        visit.reset();
                    }
                });
                let provider = if over_tls { provider.over_tls() } else { provider };
                let settings = provider.section("p", "");
                let gateway = Gateway::start_on(driver, &settings);
                let place = format!("{driver:?}, TLS {over_tls}, reset {reset}");
                assert_eq!(gateway.post(CHAT_PATH, &chat("m")).status, 200, "{place}");
                let second = gateway.post(CHAT_PATH, &chat("m"));
                assert_eq!(second.status, 502, "{place}: {}", second.text());
                assert_eq!(provider.request_count(), 2, "{place}");
                gateway.expect_metric("ringgate_upstream_retried_stale_total", &[], 0.0);
            }
        }
    }
}

#[test]
fn unacknowledged_request_is_resent() {
    for driver in DRIVERS {
        // The first connection is reset once it has answered.
        let resets = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&resets);
        let provider = Provider::start(move |visit| {
            while visit.request().is_some() {
                visit.send(json_answer("200 OK", "", CHAT_ANSWER).as_bytes());
                if visit.number == 0 {
                    visit.reset();
                    counted.fetch_add(1, Ordering::SeqCst);
                    return;
                }
            }
        });
        let gateway = Gateway::start_on(driver, &provider.section("p", ""));
        for _ in 0..20 {
            let response = gateway.post(CHAT_PATH, &chat("m"));
            assert_eq!((response.status, &*response.text()), (200, CHAT_ANSWER), "{driver:?}");
            // Had it come, unread, before the reset, the provider might have read it.
            eventually("the reset", || resets.load(Ordering::SeqCst) == 1);
        }
        assert_eq!(provider.request_count(), 20, "{driver:?}");
    }
}

#[test]
fn close_notify_ends_response() {
    let stream = format!("{STREAM_HEAD}{}", event(&delta("one")));
    for driver in DRIVERS {
        for (what, head_and_body, expected) in [
            (
                "HTTP/1.0 without a length",
                format!("HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n{CHAT_ANSWER}"),
                200,
            ),
            (
                "cut within a length",
                "HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{".to_owned(),
                502,
            ),
            ("cut within a stream", stream.clone(), 200),
            ("before an answer", String::new(), 502),
        ] {
            let provider = Provider::start(move |visit| {
                if visit.request().is_some() {
                    visit.send(head_and_body.as_bytes());
                    let _ = visit.stream.shutdown(std::net::Shutdown::Write);
                    visit.wait_for_end();
                }
            });
            let provider = provider.over_tls_with(Goodbye::Lingers);
            let gateway = Gateway::start_on(driver, &provider.section("p", ""));
            let begun = Instant::now();
            let response = gateway.post(CHAT_PATH, &chat("m"));
            assert!(begun.elapsed() < LIMIT / 10, "{what}: {:?}", begun.elapsed());
            assert_eq!(response.status, expected, "{what}: {}", response.text());
            if what == "cut within a stream" {
                assert!(!response.complete && response.text().contains("error"), "{what}");
            }
        }
        // A kept connection that got it is not used again.
        let provider = Provider::start(|visit| {
            if visit.request().is_some() {
                visit.send(json_answer("200 OK", "", CHAT_ANSWER).as_bytes());
                let _ = visit.stream.shutdown(std::net::Shutdown::Write);
                visit.wait_for_end();
            }
        });
        let provider = provider.over_tls_with(Goodbye::Lingers);
        let gateway = Gateway::start_on(driver, &provider.section("p", ""));
        for number in 1..=10 {
            assert_eq!(gateway.post(CHAT_PATH, &chat("m")).status, 200);
            let answer = json_answer("200 OK", "", CHAT_ANSWER);
            eventually("its end is passed", || provider.has_passed(number * answer.len(), number));
        }
        assert_eq!(provider.connections.load(Ordering::SeqCst), 10);
    }
}

//! The loader against the mock, in one process and over real sockets: every kind, every failure, TLS, `--help`.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use loadtest::distribution::Distribution;
use loadtest::mock::{MockOptions, RunningMock, Stats, start};
use serde_json::Value;

fn loadtest(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_loadtest"))
        .args(arguments)
        .output()
        .expect("the binary starts")
}

/// Runs the loader for 40 requests, or as many as the flags say, and returns its JSON and exit code.
fn run(mock: &RunningMock, flags: &[&str]) -> (Value, i32) {
    let url = mock.url();
    let fixed = ["run", "--url", &url, "--json", "-", "--timeout", "300ms"];
    let mut arguments = [&fixed, flags].concat();
    for (flag, value) in [("-n", "40"), ("-c", "4")] {
        if !flags.contains(&flag) {
            arguments.extend([flag, value]);
        }
    }
    let output = loadtest(&arguments);
    let json = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    (json, output.status.code().expect("an exit code"))
}

/// Waits until the mock's counts are as wanted; the client may be done a moment before the mock is.
fn wait_for(mock: &RunningMock, wanted: impl Fn(&Stats) -> bool) -> Stats {
    let limit = Instant::now() + Duration::from_secs(5);
    loop {
        let stats = mock.stats();
        if wanted(&stats) || Instant::now() > limit {
            return stats;
        }
        std::thread::yield_now();
    }
}

/// Sends raw bytes and returns what comes back until the mock closes.
fn exchange(mock: &RunningMock, request: &str) -> String {
    let mut stream = TcpStream::connect(mock.addr).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn every_kind_succeeds() {
    let mock = start(MockOptions { threads: 2, ..MockOptions::default() }).unwrap();
    let own_pid = std::process::id().to_string();
    for (kind, events_per_request) in [("chat", 0), ("stream", 18), ("embeddings", 0)] {
        let (report, code) = run(&mock, &["--kind", kind, "--pid", &own_pid, "--threads", "2"]);
        assert_eq!(code, 0, "{report}");
        assert_eq!(
            (&report["requests"], &report["succeeded"], &report["failed"]),
            (&40.into(), &40.into(), &0.into())
        );
        assert_eq!(report["latency_us"]["count"], 40, "{report}");
        assert!(report["latency_us"]["p50"].as_f64() <= report["latency_us"]["p99_9"].as_f64());
        assert!(report["cpu_us_per_request"].as_f64().unwrap() > 0.0);
        assert!(report["rss_kib"]["peak"].as_u64() >= report["rss_kib"]["after"].as_u64());
        if events_per_request > 0 {
            assert_eq!(report["inter_event_us"]["count"], 40 * (events_per_request - 1));
            assert!(report["cpu_us_per_event"].is_number());
        } else {
            assert!(report["inter_event_us"].is_null());
        }
    }
    let stats = wait_for(&mock, |stats| stats.requests_finished == 120);
    assert_eq!(
        (stats.requests_started, stats.requests_finished, stats.requests_aborted),
        (120, 120, 0)
    );
    assert!(stats.bytes_in > 120 * 600);
}

#[test]
fn faults_are_counted_by_kind() {
    let mock = start(MockOptions::default()).unwrap();
    let cases = [
        ("error", "chat", "status_5xx"),
        ("429", "chat", "status_4xx"),
        ("reset", "chat", "closed"),
        ("truncate", "chat", "closed"),
        ("truncate", "stream", "unterminated"),
        ("hang", "chat", "timeout"),
        ("garbage", "chat", "malformed"),
        ("bad-chunk", "chat", "malformed"),
        ("bad-chunk", "stream", "malformed"),
        ("huge-head", "chat", "malformed"),
    ];
    for (fault, kind, error) in cases {
        let header = format!("x-mock-fault: {fault}");
        let (report, code) = run(&mock, &["-n", "8", "--kind", kind, "--header", &header]);
        assert_eq!(
            (&report["errors"][error], &report["failed"]),
            (&8.into(), &8.into()),
            "{fault}: {report}"
        );
        assert_eq!(code, 1, "{fault}");
    }
    for kind in ["chat", "stream", "embeddings"] {
        let (report, _) =
            run(&mock, &["--kind", kind, "--header", "x-mock-fault: close-delimited"]);
        assert_eq!(report["succeeded"], 40, "{kind}: {report}");
    }
    let stats = wait_for(&mock, |stats| stats.requests_aborted >= 8);
    assert!(stats.requests_aborted >= 8, "the hung requests were left: {stats:?}");
}

#[test]
fn random_faults_spare_other_requests() {
    let mock =
        start(MockOptions { fault_error: 0.3, fault_truncate: 0.2, ..MockOptions::default() })
            .unwrap();
    let (report, code) = run(&mock, &["-n", "400", "--kind", "stream"]);
    assert_eq!(code, 0);
    let count = |name: &str| report["errors"][name].as_u64().unwrap();
    assert!(
        (60..190).contains(&count("status_5xx")) && (30..140).contains(&count("unterminated")),
        "{report}"
    );
    assert_eq!(count("status_5xx") + count("unterminated"), report["failed"].as_u64().unwrap());
    assert_eq!(report["succeeded"].as_u64().unwrap() + report["failed"].as_u64().unwrap(), 400);
}

#[test]
fn open_loop_latency_includes_queueing() {
    let latency = Distribution::Fixed(Duration::from_millis(20));
    let mock = start(MockOptions { latency, ..MockOptions::default() }).unwrap();
    // Two connections can do 100 a second; at 200 a second the queue grows and the wait must count.
    let flags = ["-n", "40", "-c", "2", "--rate", "200"];
    let (report, _) = run(&mock, &flags);
    assert_eq!(report["succeeded"], 40);
    let p50 = report["latency_us"]["p50"].as_f64().unwrap();
    let max = report["latency_us"]["max"].as_f64().unwrap();
    assert!(p50 > 60_000.0 && max > 150_000.0, "{report}");
}

#[test]
fn streams_keep_their_pace() {
    let mock = start(MockOptions { tokens: 6, tokens_per_second: 200.0, ..MockOptions::default() })
        .unwrap();
    let (report, _) = run(&mock, &["-n", "8", "--kind", "stream"]);
    assert_eq!(report["succeeded"], 8);
    // Six events 5 ms apart, then the end with the last: 25 ms in all.
    assert!(report["latency_us"]["p50"].as_f64().unwrap() >= 25_000.0, "{report}");
    assert!(
        report["first_byte_us"]["p50"].as_f64().unwrap()
            < report["latency_us"]["p50"].as_f64().unwrap()
    );
    assert!(report["inter_event_us"]["max"].as_f64().unwrap() >= 4_000.0);
}

#[test]
fn tls_needs_trust() {
    let file = std::env::temp_dir().join(format!("loadtest-{}.pem", std::process::id()));
    let mock = start(MockOptions {
        tls: true,
        tls_cert_out: Some(file.clone()),
        ..MockOptions::default()
    })
    .unwrap();
    assert!(mock.certificate_pem().is_some_and(|pem| pem.starts_with("-----BEGIN CERTIFICATE")));
    let path = file.to_str().unwrap();
    for (flags, code) in [(&["--insecure"][..], 0), (&["--ca", path], 0), (&[], 1)] {
        let (report, seen) = run(&mock, &[&["-n", "8"], flags].concat());
        assert_eq!(seen, code, "{flags:?}: {report}");
        assert_eq!(report["errors"]["connect"], if code == 0 { 0 } else { 8 });
    }
    std::fs::remove_file(file).unwrap();
}

#[test]
fn other_paths_are_echoed_whatever_the_framing() {
    let mock = start(MockOptions::default()).unwrap();
    let chunked = "PUT /v1/files/a?b=c HTTP/1.1\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\
                   connection: close\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n";
    let answer = exchange(&mock, chunked);
    let body: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    let expected = serde_json::json!(
        {"method": "PUT", "path": "/v1/files/a?b=c", "content_type": "text/plain", "body_bytes": 7}
    );
    assert_eq!(body, expected);
    let chat = "POST /v1/chat/completions HTTP/1.1\r\ntransfer-encoding: chunked\r\nx-mock-answer-bytes: 700\r\n\
                connection: close\r\n\r\n5\r\n{\"mod\r\nA\r\nel\":\"abc\"}\r\n0\r\n\r\n";
    let answer = exchange(&mock, chat);
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    assert_eq!(body.len(), 700);
    assert_eq!(serde_json::from_str::<Value>(body).unwrap()["model"], "abc");
    assert!(
        exchange(&mock, "GET /v1/bytes/100000 HTTP/1.1\r\nconnection: close\r\n\r\n")
            .ends_with("\r\n0\r\n\r\n")
    );
    assert!(
        exchange(&mock, "GET /nowhere HTTP/1.1\r\nconnection: close\r\n\r\n")
            .starts_with("HTTP/1.1 404")
    );
    assert!(exchange(&mock, "nonsense\r\n\r\n").starts_with("HTTP/1.1 400"));
    let stats = exchange(&mock, "GET /stats HTTP/1.1\r\nconnection: close\r\n\r\n");
    assert!(stats.contains("\"requests_finished\":4"), "{stats}");
}

#[test]
fn pipelined_requests_are_answered_before_surplus_is_rejected() {
    let mock = start(MockOptions::default()).unwrap();
    let one = "GET /v1/models/a HTTP/1.1\r\n\r\n";
    let last = "GET /v1/models/b HTTP/1.1\r\nconnection: close\r\n\r\n";
    assert_eq!(exchange(&mock, &format!("{one}{one}{last}")).matches("HTTP/1.1 200").count(), 3);
    let surplus = "GET /v1/models/b HTTP/1.1\r\nconnection: close\r\nx-mock-fault: surplus\r\n\r\n";
    assert_eq!(exchange(&mock, surplus).matches("HTTP/1.1 200").count(), 2);
}

#[test]
fn dropping_a_mock_closes_it() {
    let mock = start(MockOptions::default()).unwrap();
    let addr = mock.addr;
    let mut stream = TcpStream::connect(addr).unwrap();
    assert_eq!(wait_for(&mock, |stats| stats.connections_open == 1).connections_open, 1);
    drop(mock);
    assert_eq!(stream.read(&mut [0; 8]).unwrap_or(0), 0);
    assert!(TcpStream::connect(addr).is_err());
}

#[test]
fn compare_writes_ratios_and_plots() {
    let mock = start(MockOptions::default()).unwrap();
    let plot = std::env::temp_dir().join(format!("loadtest-{}.html", std::process::id()));
    let (first, second) =
        (format!("a={}", mock.url()), format!("b={}@{}", mock.url(), std::process::id()));
    let output = loadtest(&[
        "compare",
        "--target",
        &first,
        "--target",
        &second,
        "--rounds",
        "2",
        "-n",
        "20",
        "-c",
        "2",
        "--json",
        "-",
        "--plot",
        plot.to_str().unwrap(),
    ]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let targets = json["targets"].as_array().unwrap();
    assert_eq!(targets.len(), 2);
    assert_eq!(targets[0]["rounds"].as_array().unwrap().len(), 2);
    assert_eq!(
        (&targets[0]["summary"][0]["metric"], &targets[0]["summary"][0]["ratio"]),
        (&"req/s".into(), &1.0.into())
    );
    let page = std::fs::read_to_string(&plot).unwrap();
    assert!(page.contains("<svg") && page.contains(">a</text>") && page.contains(">b</text>"));
    std::fs::remove_file(plot).unwrap();
    assert!(!loadtest(&["compare", "--target", &first]).status.success());
}

#[test]
fn wrong_flags_are_explained() {
    for (flags, words) in [
        (&["run", "--url", "nowhere"][..], "http://127.0.0.1:8080/v1"),
        (&["run", "--url", "http://127.0.0.1:9/v1", "--prompt-bytes", "9"], "at least"),
        (&["run", "--url", "http://127.0.0.1:9/v1", "-n", "1", "--plot", "x.png"], ".svg or .html"),
        (&["mock", "--latency", "soon"], "lognormal:30ms:0.5"),
    ] {
        let output = loadtest(flags);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains(words), "{flags:?}: {text}");
    }
}

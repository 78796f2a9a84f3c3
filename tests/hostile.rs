//! Hostile, ambiguous and odd clients: what is refused is refused in JSON with the right status,
//! nothing of it reaches a provider, and the gateway serves the next client as if nothing was.
//!
//! Rows of the tables are requests as they go over the wire; behind each one that must end its
//! connection stands a good request, which must never be served.

use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{
    CHAT_ANSWER, Client, Gateway, KEYS, LIMIT, Provider, Response, cached, chat, eventually,
    json_answer, post,
};

crate::harness::variants!();

const CHAT_PATH: &str = "/v1/chat/completions";

/// Longest JSON body of [`Stand::new`], in bytes; twice that may be passed through.
const BODY_BYTES_MAX: usize = 8192;

/// A gateway before one provider that answers everything.
struct Stand {
    gateway: Gateway,
    provider: Provider,
}

/// What becomes of the connection.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    Closes,
    Stays,
}

impl Stand {
    fn new() -> Self {
        let streamed = 2 * BODY_BYTES_MAX;
        let server =
            format!("body_bytes_max = {BODY_BYTES_MAX}\nstream_body_bytes_max = {streamed}\n");
        Self::with(&server, "", &[])
    }

    fn with(server: &str, more: &str, environment: &[(&str, &str)]) -> Self {
        let provider = always(json_answer("200 OK", "", CHAT_ANSWER));
        let settings = format!("[server]\n{server}\n{more}\n{}", provider.section("p", ""));
        let gateway = start_with(&settings, environment, &[]);
        Self { gateway, provider }
    }

    /// Sends one request of a table; nothing of it may reach the provider.
    fn check(&self, request: impl AsRef<[u8]>, then: Then, expected: (u16, &str)) {
        let request = request.as_ref();
        let what = label(request);
        let mut client = self.gateway.connect();
        client.send(request);
        if then == Then::Closes {
            client.send(post(CHAT_PATH, "", &chat("hidden")).as_bytes());
        }
        let response = client.response();
        check_refusal(&what, &response, is_anthropic(request), expected);
        if then == Then::Closes {
            assert_eq!(response.field("connection"), Some("close"), "{what}");
            assert!(client.is_closed(), "{what}: more than one answer, or still open");
        } else {
            client.send(b"GET /nowhere HTTP/1.1\r\nhost: a\r\n\r\n");
            assert_eq!(client.response().status, 404, "{what}: out of step afterwards");
        }
        assert_eq!(self.provider.request_count(), 0, "{what}: reached the provider");
    }

    /// After all that: a good request is served, and no part of the gateway has failed.
    fn check_health(&self) {
        let response = self.gateway.post(CHAT_PATH, &chat("m"));
        assert_eq!((response.status, response.text().as_str()), (200, CHAT_ANSWER));
        if self.gateway.signs() {
            // And its answer is what both keys find stored.
            for key in KEYS {
                let stored = self.gateway.send(&post(CHAT_PATH, &cached(key), &chat("m")));
                assert_eq!(stored.field("x-ringgate-cache-status"), Some("HIT"));
                assert_eq!(stored.json()["choices"], response.json()["choices"]);
            }
        }
        assert_eq!(self.gateway.metric("ringgate_panics_total", &[]), 0.0);
    }
}

/// The beginning of a request, for messages.
fn label(request: &[u8]) -> String {
    String::from_utf8_lossy(request).chars().take(200).collect()
}

fn is_anthropic(request: &[u8]) -> bool {
    label(request).contains(" /v1/messages")
}

/// A whole JSON error in the shape of the dialect.
fn check_refusal(what: &str, response: &Response, anthropic: bool, expected: (u16, &str)) {
    let text = response.text();
    assert!(response.complete, "{what}: cut off: {text:?}");
    assert_eq!((response.status, response.code().as_str()), expected, "{what}: {text}");
    assert_eq!(response.field("content-type"), Some("application/json"), "{what}");
    assert!(response.field("x-ringgate-request-id").is_some(), "{what}");
    let json = response.json();
    let error = &json["error"];
    let has_text = |name: &str| error[name].as_str().is_some_and(|text| !text.is_empty());
    assert!(has_text("message") && has_text("type"), "{what}: {text}");
    if anthropic {
        assert_eq!(json["type"], "error", "{what}: {text}");
    } else {
        assert_eq!(json.as_object().map(serde_json::Map::len), Some(1), "{what}: {text}");
        assert!(matches!(error["param"], Value::Null | Value::String(_)), "{what}: {text}");
    }
    assert!(text.len() < 4096, "{what}: an error of {} bytes", text.len());
}

/// A chat request whose fields (whole lines) are given, `host` excepted.
fn with(fields: &str) -> String {
    format!("POST {CHAT_PATH} HTTP/1.1\r\nhost: a\r\n{fields}\r\n")
}

fn chunked(path: &str, chunks: &str) -> String {
    let kind = if path == CHAT_PATH { "application/json" } else { "application/octet-stream" };
    format!(
        "POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: {kind}\r\n\
         transfer-encoding: chunked\r\n\r\n{chunks}"
    )
}

/// Sends bytes as they are; all that comes back until the gateway closes.
fn read_to_end(gateway: &Gateway, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(gateway.address).expect("a connection");
    stream.set_read_timeout(Some(LIMIT)).expect("a read limit");
    let mut writing = stream.try_clone().expect("a second handle");
    let mut answer = Vec::new();
    let signed = gateway.sign(bytes);
    thread::scope(|scope| {
        // A gateway that has refused and closed does not take the rest.
        scope.spawn(move || drop(writing.write_all(&signed)));
        stream.read_to_end(&mut answer).expect("an orderly end within the limit");
    });
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn invalid_request_lines_are_rejected() {
    const BAD: (u16, &str) = (400, "invalid_request");
    const METHOD: (u16, &str) = (405, "method_not_allowed");
    let stand = Stand::new();
    for (line, expected) in [
        ("CONNECT provider:443 HTTP/1.1", METHOD),
        ("TRACE / HTTP/1.1", METHOD),
        ("BREW /v1/chat/completions HTTP/1.1", METHOD),
        ("post /v1/chat/completions HTTP/1.1", METHOD),
        ("Post /v1/chat/completions HTTP/1.1", METHOD),
        ("PO(ST /v1/chat/completions HTTP/1.1", BAD),
        (" POST /v1/chat/completions HTTP/1.1", BAD),
        ("POST", BAD),
        ("POST  /v1/chat/completions HTTP/1.1", BAD),
        ("POST /v1/chat/completions  HTTP/1.1", BAD),
        ("POST\t/v1/chat/completions HTTP/1.1", BAD),
        ("POST /v1/chat/completions", BAD),
        ("POST /v1/chat/completions HTTP/1.1 ", BAD),
        ("POST /v1/chat/completions http/1.1", BAD),
        ("POST /v1/chat/completions HTTP/1.2", BAD),
        ("POST /v1/chat/completions HTTP/0.9", BAD),
        ("POST /v1/chat/completions HTTP/2.0", BAD),
        ("POST /v1/chat/completions HTTP/11.1", BAD),
        ("GET /", BAD),
        ("PRI * HTTP/2.0", BAD),
        ("OPTIONS * HTTP/1.1", BAD),
        ("GET v1/models HTTP/1.1", BAD),
        ("GET http://provider/v1/models HTTP/1.1", BAD),
        ("GET //provider/../v1/models HTTP/1.1", BAD),
        ("GET /v1/models#fragment HTTP/1.1", BAD),
        ("GET /v1/files/../models HTTP/1.1", BAD),
        ("GET /v1/files/.. HTTP/1.1", BAD),
        ("GET /v1/files/%2e%2e/models HTTP/1.1", BAD),
        ("GET /v1/files/.%2E/models HTTP/1.1", BAD),
        ("GET /v1/files%2f..%2fmodels HTTP/1.1", BAD),
        ("GET /v1/files/..%5cmodels HTTP/1.1", BAD),
        ("GET /v1/files/%00 HTTP/1.1", BAD),
        ("GET /v1/files/%0d%0ahost:%20b HTTP/1.1", BAD),
        ("GET /v1/files/%zz HTTP/1.1", BAD),
        ("GET /v1/files/% HTTP/1.1", BAD),
        ("GET /v1/files?a=%00 HTTP/1.1", BAD),
        ("GET /v1/files\\x HTTP/1.1", BAD),
        ("GET /v1/files\0 HTTP/1.1", BAD),
        ("GET /v1/fil\u{e9}s HTTP/1.1", BAD),
        ("\u{16}\u{3}\u{1}\u{2}\0\u{1}", BAD),
        ("{\"model\":\"m\"}", BAD),
        ("SSH-2.0-OpenSSH_9.2", BAD),
    ] {
        stand.check(format!("{line}\r\nhost: a\r\n\r\n"), Then::Closes, expected);
    }
    stand.check("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Then::Closes, BAD);
    stand.check("\r\n\r\nGET /v1/models HTTP/1.1\r\nhost: a\r\n\r\n", Then::Closes, BAD);
    stand.check_health();
}

#[test]
fn invalid_header_fields_are_rejected() {
    let stand = Stand::new();
    for fields in [
        // Two readings of where the body ends.
        "content-length: 3\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 3\r\n",
        "content-length: 0\r\ntransfer-encoding: chunked\r\n",
        "content-length: 2\r\ncontent-length: 3\r\n",
        "content-length: 2\r\ncontent-length: 2\r\n",
        "content-length: 2, 2\r\n",
        "content-length: +2\r\n",
        "content-length: -2\r\n",
        "content-length: 0x2\r\n",
        "content-length: 2 2\r\n",
        "content-length: 2.0\r\n",
        "content-length:\r\n",
        "content-length: 1000000000000000000\r\n",
        "content-length: 18446744073709551618\r\n",
        "transfer-encoding: gzip, chunked\r\n",
        "transfer-encoding: chunked, chunked\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: identity\r\n",
        "transfer-encoding: xchunked\r\n",
        "transfer-encoding: \"chunked\"\r\n",
        "transfer-encoding: chunked;q=1\r\n",
        "transfer-encoding: \u{b}chunked\r\n",
        "transfer-encoding:\r\n",
        "transfer-encoding : chunked\r\n",
        // Lines that one parser joins and another does not.
        "x: a\r\n b\r\n",
        "x: a\r\n\tb\r\n",
        "x: a\r\n content-length: 2\r\n",
        "x: a\nhidden: b\r\n",
        "x: a\rhidden: b\r\n",
        "x: a\0b\r\n",
        "x: a\u{7}b\r\n",
        "x: a\u{7f}b\r\n",
        "x : a\r\n",
        "x\t: a\r\n",
        " x: a\r\n",
        ": a\r\n",
        "x\r\n",
        "x y: a\r\n",
        "x(y): a\r\n",
        "\u{e9}: a\r\n",
        // Who is meant, and who asks.
        "host: a\r\n",
        "host: b\r\n",
        "authorization: Bearer a\r\nauthorization: Bearer a\r\n",
        "authorization: Bearer a\r\nAuthorization: Bearer b\r\n",
        "expect: 200-ok\r\ncontent-length: 2\r\n",
        "connection: a b\r\n",
    ] {
        let request = with(fields) + "0\r\n\r\n";
        stand.check(request, Then::Closes, (400, "invalid_request"));
    }
    for host in ["", "a b", "a/b", "a?b", "a#b", "a@b", "user:word@a", "a:b", "a:99999", "a,b", "["]
    {
        let request = format!("POST {CHAT_PATH} HTTP/1.1\r\nhost: {host}\r\n\r\n");
        stand.check(request, Then::Closes, (400, "invalid_request"));
    }
    for request in [
        format!("POST {CHAT_PATH} HTTP/1.1\r\ncontent-length: 2\r\n\r\n{{}}"),
        format!("POST {CHAT_PATH} HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("POST {CHAT_PATH} HTTP/1.1\nhost: a\ncontent-length: 2\n\n{{}}"),
        format!("POST {CHAT_PATH} HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\n{{}}"),
    ] {
        stand.check(request, Then::Closes, (400, "invalid_request"));
    }
    stand.check_health();
}

#[test]
fn invalid_chunked_bodies_are_rejected() {
    let stand = Stand::new();
    let extensions = format!("1;{}\r\nx\r\n", "e".repeat(1000)).repeat(5);
    let trailers = format!("0\r\n{}\r\n", format!("t: {}\r\n", "x".repeat(1000)).repeat(9));
    for chunks in [
        "z\r\n{}\r\n0\r\n\r\n",
        "0x2\r\n{}\r\n0\r\n\r\n",
        "-2\r\n{}\r\n0\r\n\r\n",
        "+2\r\n{}\r\n0\r\n\r\n",
        " 2\r\n{}\r\n0\r\n\r\n",
        "2 \r\n{}\r\n0\r\n\r\n",
        "\r\n{}\r\n0\r\n\r\n",
        "2\n{}\n0\n\n",
        "2\r\n{}\n0\r\n\r\n",
        "2\r\n{}0\r\n\r\n",
        "2\r\n{} \r\n0\r\n\r\n",
        "3\r\n{}\r\n0\r\n\r\n",
        "2\r{}\r\n0\r\n\r\n",
        "2;a\nb\r\n{}\r\n0\r\n\r\n",
        "2;a\0\r\n{}\r\n0\r\n\r\n",
        "ffffffffffffffffff\r\n{}\r\n0\r\n\r\n",
        "10000000000000002\r\n{}\r\n0\r\n\r\n",
        "2\r\n{}\r\n0\r\n\n",
        "2\r\n{}\r\n0\r\nx\r\n\r\n",
        "2\r\n{}\r\n0\r\nx : a\r\n\r\n",
        "2\r\n{}\r\n0\r\n: a\r\n\r\n",
        "2\r\n{}\r\n0\r\nx: a\nb\r\n\r\n",
        "2\r\n{}\r\n0\r\nx: a\r\n b\r\n\r\n",
        &extensions,
        &trailers,
    ] {
        for path in [CHAT_PATH, "/v1/files"] {
            stand.check(chunked(path, chunks), Then::Closes, (400, "invalid_request"));
        }
    }
    stand.check_health();
}

#[test]
fn size_limits_are_enforced() {
    const HEAD: (u16, &str) = (431, "headers_too_large");
    const TARGET: (u16, &str) = (414, "uri_too_long");
    const BODY: (u16, &str) = (413, "body_too_large");
    let stand = Stand::new();
    let over = "x".repeat(BODY_BYTES_MAX + 1);
    let over_streamed = "x".repeat(2 * BODY_BYTES_MAX + 1);
    let announced = |path: &str, length: usize| {
        format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n\r\n"
        )
    };
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    let end = "0\r\n\r\n";
    for (request, expected) in [
        (with(&format!("x: {}\r\n", "y".repeat(33 * 1024))), HEAD),
        (with(&format!("x-{}: y\r\n", "z".repeat(33 * 1024))), HEAD),
        (with(&"x: y\r\n".repeat(100)), HEAD),
        (with(&"x: y\r\n".repeat(5000)), HEAD),
        (format!("GET /v1/{} HTTP/1.1\r\nhost: a\r\n\r\n", "y".repeat(8200)), TARGET),
        (format!("GET /v1/models?{} HTTP/1.1\r\nhost: a\r\n\r\n", "y".repeat(8200)), TARGET),
        (format!("GET /{}", "y".repeat(100_000)), TARGET),
        ("G".repeat(100_000), TARGET),
        // Refused by what is announced: nothing of the body is there yet.
        (announced(CHAT_PATH, BODY_BYTES_MAX + 1), BODY),
        (announced(CHAT_PATH, 999_999_999_999_999_999), BODY),
        (announced("/v1/embeddings", BODY_BYTES_MAX + 1), BODY),
        (announced("/v1/files", 2 * BODY_BYTES_MAX + 1), BODY),
        (announced("/v1/messages", 2 * BODY_BYTES_MAX + 1), BODY),
        (chunked(CHAT_PATH, &(chunk(&over) + end)), BODY),
        (chunked(CHAT_PATH, &(chunk("x").repeat(BODY_BYTES_MAX + 1) + end)), BODY),
        (chunked(CHAT_PATH, &format!("fffffffffff\r\n{over}")), BODY),
        (chunked("/v1/files", &(chunk(&over_streamed) + end)), BODY),
    ] {
        stand.check(request, Then::Closes, expected);
    }
    stand.check_health();
}

#[test]
fn invalid_json_bodies_are_rejected() {
    const JSON: (u16, &str) = (400, "invalid_json");
    const MEDIA: (u16, &str) = (415, "unsupported_media_type");
    let stand = Stand::new();
    let deep = format!("{{\"model\":\"m\",\"x\":{}{}}}", "[".repeat(200), "]".repeat(200));
    let deep_objects =
        format!("{{\"model\":\"m\",\"x\":{}1{}}}", "{\"x\":".repeat(200), "}".repeat(200));
    let many = (0..600).fold(String::from("{\"model\":\"m\""), |mut text, number| {
        let _ = write!(text, ",\"k{number}\":1");
        text
    }) + "}";
    for body in [
        "",
        " ",
        "{",
        "[]",
        "null",
        "\"m\"",
        "42",
        "{}{}",
        "{\"model\":\"m\"}x",
        "{\"model\":\"m\",}",
        "{\"model\":'m'}",
        "{model:\"m\"}",
        "{\"model\":\"m\"/**/}",
        "{\"model\":\"m\",\"x\":NaN}",
        "{\"model\":\"m\",\"x\":01}",
        "{\"model\":\"m\",\"x\":\"\u{1}\"}",
        "{\"model\":\"m\",\"x\":\"\\ud800\"}",
        "{\"model\":\"m\",\"x\":\"\\x41\"}",
        "{\"model\":\"m\",\"model\":\"n\"}",
        "{\"model\":\"m\",\"mod\\u0065l\":\"n\"}",
        "{\"model\":\"m\",\"stream\":false,\"stream\":true}",
        "{\"model\":\"m\",\"x\":1,\"x\":1}",
        "{\"model\":1}",
        "{\"model\":null}",
        "{\"model\":[\"m\"]}",
        "{\"model\":\"m\",\"stream\":\"yes\"}",
        "{\"model\":\"m\",\"stream\":1}",
        "{\"model\":\"m\",\"stream_options\":[]}",
        "\u{feff}{\"model\":\"m\"}",
        "model=m&stream=true",
        &deep,
        &deep_objects,
        &many,
    ] {
        stand.check(post(CHAT_PATH, "", body), Then::Stays, JSON);
        // The pass-through reads no empty body; the rest must not get by it.
        if !body.is_empty() {
            stand.check(post("/v1/messages", "", body), Then::Stays, JSON);
        }
    }
    let mut not_text = post(CHAT_PATH, "", "{\"model\":\"m??\"}").into_bytes();
    let at = not_text.iter().position(|byte| *byte == b'?').expect("it is there");
    not_text[at..at + 2].copy_from_slice(b"\xc3\x28");
    stand.check(not_text, Then::Stays, JSON);
    stand.check(post(CHAT_PATH, "", "{\"messages\":[]}"), Then::Stays, (400, "invalid_request"));
    for fields in [
        "content-type: text/plain\r\n",
        "content-type: application/x-www-form-urlencoded\r\n",
        "content-type: multipart/form-data; boundary=x\r\n",
        "content-type: application/jsonx\r\n",
        "content-type:\r\n",
        "content-type: application/json\r\ncontent-encoding: gzip\r\n",
        "content-type: application/json\r\ncontent-encoding: deflate, identity\r\n",
    ] {
        let request = with(&format!("{fields}content-length: 13\r\n")) + "{\"model\":\"m\"}";
        stand.check(request, Then::Closes, MEDIA);
    }
    stand.check_health();
}

#[test]
fn unknown_paths_and_methods_are_rejected() {
    let stand = Stand::new();
    for (line, expected) in [
        ("GET / HTTP/1.1", (404, "not_found")),
        ("GET /v1 HTTP/1.1", (404, "not_found")),
        ("GET /v1/ HTTP/1.1", (404, "not_found")),
        ("GET /v2/models HTTP/1.1", (404, "not_found")),
        ("GET /V1/models HTTP/1.1", (404, "not_found")),
        ("GET //v1/models HTTP/1.1", (404, "not_found")),
        ("GET /metrics HTTP/1.1", (404, "not_found")),
        ("GET /healthz HTTP/1.1", (404, "not_found")),
        ("GET /v1/chat/completions HTTP/1.1", (405, "method_not_allowed")),
        ("DELETE /v1/embeddings HTTP/1.1", (405, "method_not_allowed")),
        ("OPTIONS /v1/completions HTTP/1.1", (405, "method_not_allowed")),
        ("DELETE /v1/models HTTP/1.1", (405, "method_not_allowed")),
    ] {
        stand.check(format!("{line}\r\nhost: a\r\n\r\n"), Then::Stays, expected);
    }
    for path in [
        "/v1/..;/x",
        "/v1/..;a=b/x",
        "/v1/files/..%3b/x",
        "/v1/%2e%2e;/x",
        "/v1/%2E./x",
        "/v1/a%2f..%2fx",
        "/v1/./files",
        "/v1/%2e/files",
        "/v1/files/.;a/x",
        "/v1//files",
        "/v1/%2ffiles",
        "/v1/;/files",
        "/v1/\\..\\x",
        "/v1/a%5c..%5cx",
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
        stand.check(request, Then::Closes, (400, "invalid_request"));
    }
    stand.check_health();
}

/// The path of the request line determines the client's dialect.
#[test]
fn rejected_heads_use_the_dialect_of_their_path() {
    let stand = Stand::new();
    let long = format!("x: {}\r\n", "y".repeat(33 * 1024));
    for (fields, expected) in [
        ("content-length: 2\r\ncontent-length: 3\r\n", (400, "invalid_request")),
        ("transfer-encoding: gzip\r\n", (400, "invalid_request")),
        (&long, (431, "headers_too_large")),
    ] {
        let request = format!("POST /v1/messages HTTP/1.1\r\nhost: a\r\n{fields}\r\n");
        stand.check(request, Then::Closes, expected);
    }
}

/// What is refused unread must not be read as a request of its own afterwards.
#[test]
fn smuggled_request_is_never_served() {
    let key = "virtual-key-1";
    let server = format!("body_bytes_max = {BODY_BYTES_MAX}");
    let keys = "[keys.one]\nsecret = \"${KEY}\"\nmodels = [\"m\"]";
    let stand = Stand::with(&server, keys, &[("KEY", key)]);
    let good = format!("authorization: Bearer {key}\r\n");
    let hidden = post(CHAT_PATH, &good, &chat("m"));
    let length = hidden.len();
    let chunk = format!("{length:x}\r\n{hidden}\r\n0\r\n\r\n");
    let in_length = |line: &str, fields: &str| {
        format!("{line}\r\nhost: a\r\n{fields}content-length: {length}\r\n\r\n{hidden}")
    };
    let in_chunk = |line: &str, fields: &str| {
        format!("{line}\r\nhost: a\r\n{fields}transfer-encoding: chunked\r\n\r\n{chunk}")
    };
    let line = format!("POST {CHAT_PATH} HTTP/1.1");
    let config = format!("{good}x-ringgate-config: {{\r\n");
    let text = format!("{good}content-type: text/plain\r\n");
    let file = "POST /v1/audio/transcriptions HTTP/1.1";
    let nobody = format!("{good}x-ringgate-provider: nobody\r\n");
    for (request, status) in [
        (in_length(&line, ""), 401),
        (in_length(&line, "authorization: Bearer other\r\n"), 401),
        (in_chunk(&line, ""), 401),
        (in_length(file, ""), 401),
        (in_length("POST /elsewhere HTTP/1.1", &good), 404),
        (in_chunk("POST /elsewhere HTTP/1.1", &good), 404),
        (in_length("GET /v1/chat/completions HTTP/1.1", &good), 405),
        (in_length("POST /v1/models HTTP/1.1", &good), 405),
        (in_length(&line, &text), 415),
        (in_chunk(&line, &text), 415),
        (in_length(&line, &config), 400),
        (in_length(file, &nobody), 400),
        // A streamed body names no model that the key could be checked for.
        (in_length(file, &good), 403),
        (in_chunk(file, &good), 403),
        (format!("{line}\r\nhost: a\r\n{good}content-length: 999999\r\n\r\n{hidden}"), 413),
        // One side would go by the length, the other by the chunks.
        (in_length(&line, &format!("{good}transfer-encoding: chunked\r\n")), 400),
        (
            format!(
                "{line}\r\nhost: a\r\n{good}content-length: 5\r\ntransfer-encoding: \
                 chunked\r\n\r\n0\r\n\r\n{hidden}"
            ),
            400,
        ),
        (
            format!(
                "{line}\r\nhost: a\r\n{good}content-length: 0\r\ncontent-length: \
                 {length}\r\n\r\n{hidden}"
            ),
            400,
        ),
        (in_chunk(&line, &format!("{good}transfer-encoding: identity\r\n")), 400),
        (in_chunk(&format!("POST {CHAT_PATH} HTTP/1.0"), &good), 400),
        (
            format!(
                "{line}\r\nhost: a\r\n{good}transfer-encoding: chunked\r\n\r\n1\r\n{{}}\r\n0\r\n\
                 \r\n{hidden}"
            ),
            400,
        ),
    ] {
        let what = label(request.as_bytes());
        let mut client = stand.gateway.connect();
        client.send(request.as_bytes());
        client.send(hidden.as_bytes());
        let response = client.response();
        assert_eq!(response.status, status, "{what}: {}", response.text());
        assert!(client.is_closed(), "{what}: something more was answered");
        assert_eq!(stand.provider.request_count(), 0, "{what}");
    }
    // The last request of a connection is the last, whatever follows it.
    for (line, fields) in
        [(&*line, "connection: close\r\n"), ("POST /v1/chat/completions HTTP/1.0", "")]
    {
        let before = stand.provider.request_count();
        let body = chat("m");
        let mut client = stand.gateway.connect();
        let request = format!(
            "{line}\r\nhost: a\r\n{good}{fields}content-length: {}\r\n\r\n{body}{hidden}",
            body.len()
        );
        client.send(request.as_bytes());
        assert_eq!(client.response().status, 200);
        assert!(client.is_closed());
        assert_eq!(stand.provider.request_count(), before + 1);
    }
    assert_eq!(stand.gateway.metric("ringgate_panics_total", &[]), 0.0);
}

#[test]
fn unusual_valid_requests_are_served() {
    let stand = Stand::new();
    let body = chat("m");
    let size = format!("{:x}", body.len());
    let length = body.len();
    let line = format!("POST {CHAT_PATH} HTTP/1.1\r\nhost: a\r\n");
    let (first, second) = body.split_at(10);
    let half = second.len();
    for request in [
        format!("{line}transfer-encoding: chunked\r\n\r\n{size}\r\n{body}\r\n0\r\n\r\n"),
        format!("{line}Transfer-Encoding:\tChunked \r\n\r\n00{size}\r\n{body}\r\n000\r\n\r\n"),
        format!(
            "{line}transfer-encoding: chunked\r\n\r\na;name=value\r\n{first}\r\n{half:X};\"x\"\r\n\
             {second}\r\n0;last\r\nx-trailer: content-length: 5\r\n\r\n"
        ),
        format!("{line}content-length: 000{length}\r\n\r\n{body}"),
        format!("{line}CONTENT-LENGTH:{length}\r\nX-Empty:\r\n\r\n{body}"),
        format!("\r\n{line}content-length: {length}\r\n\r\n{body}"),
        format!(
            "{line}content-type: Application/JSON; charset=utf-8\r\ncontent-length: {length}\r\n\r\n{body}"
        ),
        format!("{line}content-encoding: identity\r\ncontent-length: {length}\r\n\r\n{body}"),
        format!("{line}content-length: {length}\r\nx: caf\u{e9} \"quoted\", a;b\r\n\r\n{body}"),
        format!(
            "{line}upgrade: h2c\r\nconnection: upgrade, http2-settings\r\nhttp2-settings: x\r\ncontent-length: {length}\r\n\r\n{body}"
        ),
        format!(
            "POST {CHAT_PATH}?a=%2e%2e/b&c=d HTTP/1.1\r\nhost: [::1]:80\r\ncontent-length: {length}\r\n\r\n{body}"
        ),
    ] {
        let before = stand.provider.request_count();
        let mut client = stand.gateway.connect();
        client.send(request.as_bytes());
        let response = client.response();
        assert_eq!((response.status, response.text().as_str()), (200, CHAT_ANSWER), "{request}");
        client.send(post(CHAT_PATH, "", &body).as_bytes());
        assert_eq!(client.response().status, 200, "{request}: out of step");
        assert_eq!(stand.provider.request_count(), before + 2, "{request}");
        // The provider sees one plain request, however it came.
        let seen = stand.provider.requests.lock().expect("no panic while held")[before].clone();
        assert!(seen.ends_with(&format!("\r\n\r\n{body}")), "{request}\n{seen}");
        for absent in ["transfer-encoding", "upgrade", "connection", "http2", "x-trailer"] {
            assert!(!seen.contains(absent), "{request}\n{seen}");
        }
    }
    stand.check_health();
}

/// The text that plain chunks hold; the gateway may cut a body into other ones.
fn joined(chunks: &str) -> String {
    let (mut rest, mut text) = (chunks, String::new());
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("a size");
        text.push_str(&after[..size]);
        rest = &after[size + 2..];
    }
    text
}

/// Some of these end while the gateway is busy writing to the provider.
#[test]
fn streamed_bodies_of_any_size_arrive_complete() {
    let stand = Stand::with("", "", &[]);
    let line = "POST /v1/files HTTP/1.1\r\nhost: a\r\n";
    for size in [1, 4000, 4096, 8192, 10_000, 12_288, 16_385, 30_000, 65_536, 150_000] {
        let body: String = ('a'..='z').cycle().take(size).collect();
        for request in [
            format!("{line}content-length: {size}\r\n\r\n{body}"),
            format!("{line}transfer-encoding: chunked\r\n\r\n{size:x}\r\n{body}\r\n0\r\n\r\n"),
        ] {
            let response = stand.gateway.send(&request);
            assert_eq!(response.status, 200, "{size} bytes: {}", response.text());
            let seen = stand.provider.last_request();
            let (head, sent) = seen.split_once("\r\n\r\n").expect("a head");
            let is_chunked = head.contains("transfer-encoding: chunked");
            let sent = if is_chunked { joined(sent) } else { sent.to_owned() };
            assert!(sent == body, "{size} bytes: other {} came", sent.len());
        }
    }
    stand.check_health();
}

#[test]
fn http_1_0_closes_without_keep_alive() {
    let stand = Stand::new();
    let body = chat("m");
    // It needs no host, but a client with a key writes its credential behind it.
    let host = if stand.gateway.signs() { "host: a\r\n" } else { "" };
    let request = |fields: &str| {
        let length = body.len();
        format!("POST {CHAT_PATH} HTTP/1.0\r\n{host}{fields}content-length: {length}\r\n\r\n{body}")
    };
    let mut client = stand.gateway.connect();
    for _ in 0..3 {
        client.send(request("connection: keep-alive\r\n").as_bytes());
        let response = client.response();
        assert_eq!((response.status, response.field("connection")), (200, Some("keep-alive")));
        assert_eq!(response.field("transfer-encoding"), None);
    }
    // Nor is a client of 1.0 sent an interim answer.
    client.send(request("expect: 100-continue\r\n").as_bytes());
    let response = client.response();
    assert_eq!((response.status, response.field("connection")), (200, Some("close")));
    assert!(client.is_closed());
}

#[test]
fn expect_continue_is_answered_only_when_body_is_read() {
    let stand = Stand::new();
    let body = chat("m");
    let head = |path: &str, more: &str, length: usize| {
        format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\n{more}content-length: \
             {length}\r\n\r\n"
        )
    };
    let mut client = stand.gateway.connect();
    for _ in 0..2 {
        client.send(head(CHAT_PATH, "", body.len()).as_bytes());
        client.wait_for("HTTP/1.1 100 Continue\r\n\r\n");
        assert_eq!(stand.provider.request_count() % 2, 0, "an answer before the body");
        client.send(body.as_bytes());
        assert_eq!(client.response().status, 200);
        client.send(post(CHAT_PATH, "expect: 100-continue\r\n", &body).as_bytes());
        assert_eq!(client.response().status, 200);
    }
    let mut client = stand.gateway.connect();
    client.send(head("/v1/files", "content-type: text/plain\r\n", 5).as_bytes());
    client.wait_for("HTTP/1.1 100 Continue\r\n\r\n");
    client.send(b"hello");
    assert_eq!(client.response().status, 200);
    for (path, more, length, status) in [
        (CHAT_PATH, "", BODY_BYTES_MAX + 1, "413"),
        (CHAT_PATH, "content-type: text/plain\r\n", 5, "415"),
        ("/nowhere", "", 5, "404"),
        ("/v1/models", "", 5, "405"),
    ] {
        let answer = read_to_end(&stand.gateway, head(path, more, length).as_bytes());
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{path}: {answer}");
    }
}

#[test]
fn head_response_has_no_body() {
    let stand = Stand::new();
    let mut client = stand.gateway.connect();
    for path in ["/v1/models", "/v1/models/m", CHAT_PATH, "/nowhere", "/v1/files"] {
        client.send(format!("HEAD {path} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes());
        let response = client.response_to("HEAD");
        assert!(matches!(response.status, 200 | 404 | 405), "{path}: {}", response.status);
        // Any byte of a body would be taken for the next answer.
        client.send(post(CHAT_PATH, "", &chat("m")).as_bytes());
        let next = client.response();
        assert_eq!((next.status, next.text().as_str()), (200, CHAT_ANSWER), "{path}");
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let stand = Stand::new();
    let traced = |number: usize, path: &str| {
        post(path, &format!("x-ringgate-trace-id: t{number}\r\n"), &chat("m"))
    };
    let mut client = stand.gateway.connect();
    let burst = [traced(0, CHAT_PATH), traced(1, "/v1/embeddings"), traced(2, CHAT_PATH)].concat();
    client.send(burst.as_bytes());
    for number in 0..3 {
        let response = client.response();
        let trace = format!("t{number}");
        assert_eq!((response.status, response.field("x-ringgate-trace-id")), (200, Some(&*trace)));
    }
    // More than the gateway keeps ahead, so that the rest waits in the sockets.
    let last = post(CHAT_PATH, "x-ringgate-trace-id: last\r\nconnection: close\r\n", &chat("m"));
    let burst: String = (0..500).map(|number| traced(number, CHAT_PATH)).chain([last]).collect();
    let answers = read_to_end(&stand.gateway, burst.as_bytes());
    let traces = answers.lines().filter_map(|line| line.strip_prefix("x-ringgate-trace-id: "));
    let expected: Vec<String> =
        (0..500).map(|number| format!("t{number}")).chain(["last".to_owned()]).collect();
    assert_eq!(traces.collect::<Vec<_>>(), expected);
    assert_eq!(answers.matches("HTTP/1.1 200 ").count(), 501);
    assert_eq!(stand.provider.request_count(), 504);
}

#[test]
fn request_split_does_not_matter() {
    let stand = Stand::new();
    let body = "{\"model\":\"m\"}";
    let plain = format!(
        "POST {CHAT_PATH} HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let chunks = format!(
        "POST {CHAT_PATH} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n6\r\n{}\r\n\
         7;x=y\r\n{}\r\n0\r\nt: u\r\n\r\n",
        &body[..6],
        &body[6..]
    );
    let mut sent = 0;
    for request in [plain, chunks].map(|request| stand.gateway.sign(request.as_bytes())) {
        let mut client = Client::connect(stand.gateway.address);
        for at in 1..request.len() {
            client.send(&request[..at]);
            client.send(&request[at..]);
            let response = client.response();
            assert_eq!((response.status, response.text().as_str()), (200, CHAT_ANSWER), "at {at}");
        }
        for byte in &request {
            client.send(&[*byte]);
        }
        assert_eq!(client.response().status, 200, "byte by byte");
        sent += request.len();
    }
    assert_eq!(stand.provider.request_count(), sent);
    let seen = stand.provider.requests.lock().expect("no panic while held");
    assert!(seen.iter().all(|request| request.ends_with(body)));
    drop(seen);
    stand.check_health();
}

/// Writes one byte after the other, `pause` apart, until the gateway ends the connection; what it
/// answered.
fn drip(gateway: &Gateway, bytes: impl Iterator<Item = u8>, pause: Duration) -> String {
    let mut stream = TcpStream::connect(gateway.address).expect("a connection");
    stream.set_nodelay(true).expect("no delay");
    stream.set_read_timeout(Some(pause)).expect("a read limit");
    let (begun, mut bytes) = (Instant::now(), bytes);
    let (mut answer, mut chunk) = (Vec::new(), [0_u8; 4096]);
    loop {
        assert!(begun.elapsed() < LIMIT, "still open; so far {answer:?}");
        if let Some(byte) = bytes.next() {
            // After the answer the gateway may have closed already.
            let _ = stream.write_all(&[byte]);
        }
        match stream.read(&mut chunk) {
            Ok(count) if count > 0 => answer.extend_from_slice(&chunk[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            _ => return String::from_utf8_lossy(&answer).into_owned(),
        }
    }
}

const TOO_SLOW: &str = "HTTP/1.1 408 ";

#[test]
fn slow_heads_time_out() {
    let stand = Stand::with("head_timeout_ms = 300", "", &[]);
    let head = b"GET /v1/models HTTP/1.1\r\nhost: a\r\nx: ";
    let pause = Duration::from_millis(10);
    thread::scope(|scope| {
        let slow: Vec<_> = (0..40)
            .map(|number| {
                let gateway = &stand.gateway;
                // Some send for ever, some stop somewhere in the head.
                let bytes = head.iter().copied().chain(std::iter::repeat(b'y'));
                let take = if number % 2 == 0 { usize::MAX } else { number };
                scope.spawn(move || drip(gateway, bytes.take(take), pause))
            })
            .collect();
        stand.check_health();
        for answer in slow {
            let answer = answer.join().expect("no panic");
            assert!(answer.starts_with(TOO_SLOW), "{answer:?}");
            assert!(answer.contains("\"code\":\"request_timeout\""), "{answer}");
            assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
        }
    });
    // A head that is slow on a used connection is held to the same.
    let mut client = stand.gateway.connect();
    client.send(post(CHAT_PATH, "", &chat("m")).as_bytes());
    assert_eq!(client.response().status, 200);
    client.send(&head[..20]);
    let response = client.response();
    check_refusal("slow second head", &response, false, (408, "request_timeout"));
    assert!(client.is_closed());
    stand.check_health();
}

#[test]
fn silent_connections_are_closed_without_response() {
    let server = "head_timeout_ms = 300\nkeep_alive_timeout_ms = 300";
    let stand = Stand::with(server, "", &[]);
    let mut unused: Vec<Client> = (0..20).map(|_| stand.gateway.connect()).collect();
    let mut used = stand.gateway.connect();
    used.send(post(CHAT_PATH, "", &chat("m")).as_bytes());
    assert_eq!(used.response().status, 200);
    assert!(used.is_closed());
    assert!(unused.iter_mut().all(Client::is_closed));
    eventually("none is counted any more", || {
        stand.gateway.metric("ringgate_open_connections", &[]) == 0.0
    });
    stand.check_health();
}

/// The grace of a body is 10 s, so this is the slowest test here.
#[test]
fn slow_bodies_time_out() {
    let stand = Stand::with("body_bytes_per_second_min = 1000000", "", &[]);
    let gateway = &stand.gateway;
    let endless = |head: Vec<u8>| head.into_iter().chain(std::iter::repeat(b' '));
    let signed = |head: &str| gateway.sign(head.as_bytes());
    let announced = signed(&with("content-length: 1000000\r\n"));
    let in_chunks = signed(&(with("transfer-encoding: chunked\r\n") + "fffff\r\n"));
    let streamed = signed("POST /v1/files HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n");
    let pause = Duration::from_millis(10);
    thread::scope(|scope| {
        let stalled = announced.clone();
        let slow = [
            scope.spawn(move || drip(gateway, stalled.into_iter(), pause)),
            scope.spawn(move || drip(gateway, endless(announced), pause)),
            scope.spawn(move || drip(gateway, endless(in_chunks), pause)),
            scope.spawn(move || drip(gateway, endless(streamed), pause)),
        ];
        for answer in slow {
            let answer = answer.join().expect("no panic");
            assert!(answer.starts_with(TOO_SLOW), "{answer:?}");
            assert!(answer.contains("\"code\":\"request_timeout\""), "{answer}");
        }
    });
    assert_eq!(stand.provider.request_count(), 0);
    stand.check_health();
}

/// Numbers that look random, from a seed (Knuth's MMIX generator).
fn noise(seed: u64) -> impl Iterator<Item = u8> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    })
}

/// Sends bytes and the end of the stream: either a whole answer comes or none.
fn check_survives(gateway: &Gateway, what: &str, bytes: &[u8]) {
    let mut client = gateway.connect();
    client.send(bytes);
    client.finish_sending();
    if !client.is_closed() {
        let response = client.response();
        assert!(response.complete, "{what}");
        let good = response.status == 200 || response.json()["error"]["message"].is_string();
        assert!(good, "{what}: {} {}", response.status, response.text());
    }
}

#[test]
fn garbage_does_not_affect_other_clients() {
    let stand = Stand::with("body_bytes_max = 1000000", "", &[]);
    const BYTES: usize = 512 * 1024;
    let heads = [
        String::new(),
        "GET /".to_owned(),
        format!("POST {CHAT_PATH} HTTP/1.1\r\n"),
        format!("POST {CHAT_PATH} HTTP/1.1\r\nhost: a\r\nx: "),
        with("transfer-encoding: chunked\r\n"),
        with("transfer-encoding: chunked\r\n") + "80000\r\n",
        with(&format!("content-type: application/json\r\ncontent-length: {BYTES}\r\n")),
        "POST /v1/files HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n".to_owned(),
    ];
    for (seed, head) in (0..3).flat_map(|seed| heads.iter().map(move |head| (seed, head))) {
        let bytes: Vec<u8> = head.bytes().chain(noise(seed).take(BYTES)).collect();
        check_survives(&stand.gateway, &format!("seed {seed} after {head:?}"), &bytes);
    }
    assert_eq!(stand.provider.request_count(), 0);
    stand.check_health();
}

#[test]
fn one_corrupt_byte_does_not_affect_other_clients() {
    let stand = Stand::new();
    let good = [
        post(CHAT_PATH, "x-ringgate-provider: p\r\n", &chat("m")),
        chunked(CHAT_PATH, "5;a=b\r\n{\"a\":\r\n2\r\n1}\r\n0\r\nt: u\r\n\r\n"),
    ];
    for request in &good {
        for at in 0..request.len() {
            for byte in *b"\0\n :\"\xff" {
                let mut bytes = request.clone().into_bytes();
                bytes[at] = byte;
                check_survives(&stand.gateway, &format!("{byte} at {at}"), &bytes);
            }
            check_survives(&stand.gateway, &format!("cut at {at}"), &request.as_bytes()[..at]);
        }
    }
    stand.check_health();
}

#[test]
fn connections_over_limit_are_closed_at_once() {
    let stand = Stand::with("connections_max = 50", "", &[]);
    let probe = b"GET /nowhere HTTP/1.1\r\nhost: a\r\n\r\n";
    let mut held = Vec::new();
    let mut refused = 0;
    for _ in 0..250 {
        let mut client = stand.gateway.connect();
        client.send(probe);
        if client.is_closed() {
            refused += 1;
        } else {
            assert_eq!(client.response().status, 404);
            held.push(client);
        }
    }
    assert_eq!((held.len(), refused), (50, 200));
    assert_eq!(stand.gateway.metric("ringgate_connections_refused_total", &[]), 200.0);
    assert_eq!(stand.gateway.metric("ringgate_open_connections", &[]), 50.0);
    // Those who are in stay in.
    for client in &mut held {
        client.send(probe);
        assert_eq!(client.response().status, 404);
    }
    drop(held);
    eventually("there is room again", || {
        stand.gateway.metric("ringgate_open_connections", &[]) == 0.0
    });
    stand.check_health();
}

#[test]
fn requests_over_limit_get_retry_after() {
    let released = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&released);
    let provider = provider(move |visit| {
        while visit.request().is_some() {
            eventually("the answer is released", || gate.load(Ordering::SeqCst));
            visit.send(json_answer("200 OK", "", CHAT_ANSWER).as_bytes());
        }
    });
    let settings = format!("[server]\nin_flight_max = 2\n{}", provider.section("p", ""));
    let gateway = start(&settings);
    let mut waiting = [gateway.connect(), gateway.connect()];
    for client in &mut waiting {
        client.send(post(CHAT_PATH, "", &chat("m")).as_bytes());
    }
    eventually("both are under way", || provider.request_count() == 2);
    for _ in 0..100 {
        let mut client = gateway.connect();
        client.send(post(CHAT_PATH, "", &chat("m")).as_bytes());
        let response = client.response();
        check_refusal("over in_flight_max", &response, false, (503, "overloaded"));
        let wait = response.field("retry-after").and_then(|text| text.parse::<u32>().ok());
        assert!(wait.is_some_and(|seconds| seconds > 0), "{response:?}");
        assert_eq!(response.field("x-ringgate-gateway-exception"), Some("true"));
        assert!(client.is_closed());
    }
    let overloaded = gateway.send(&post("/v1/messages", "", &chat("m")));
    check_refusal("over in_flight_max", &overloaded, true, (503, "overloaded"));
    assert_eq!(provider.request_count(), 2);
    assert_eq!(gateway.metric("ringgate_requests_overloaded_total", &[]), 101.0);
    assert_eq!(gateway.admin_page("/healthz").0, 200);
    released.store(true, Ordering::SeqCst);
    for client in &mut waiting {
        assert_eq!(client.response().status, 200);
    }
    Stand { gateway, provider }.check_health();
}

#[test]
fn body_memory_is_bounded_across_clients() {
    let limit = 64 * 1024;
    let server = format!(
        "body_bytes_max = {limit}\nanswer_bytes_max = {limit}\nbuffered_bytes_max = {limit}"
    );
    let stand = Stand::with(&server, "", &[]);
    let buffered = || stand.gateway.metric("ringgate_buffered_bytes", &[]);
    let mut greedy = stand.gateway.connect();
    greedy.send(with(&format!("content-length: {limit}\r\n")).as_bytes());
    eventually("the body is counted", || buffered() >= limit as f64);
    for request in [
        post(CHAT_PATH, "", &chat("m")),
        chunked(CHAT_PATH, "5\r\n{\"a\":\r\n2\r\n1}\r\n0\r\n\r\n"),
    ] {
        let mut client = stand.gateway.connect();
        client.send(request.as_bytes());
        let response = client.response();
        check_refusal("over buffered_bytes_max", &response, false, (503, "overloaded"));
        assert!(response.field("retry-after").is_some());
        assert!(client.is_closed());
    }
    assert_eq!(stand.provider.request_count(), 0);
    drop(greedy);
    eventually("the memory is free again", || buffered() == 0.0);
    stand.check_health();
}

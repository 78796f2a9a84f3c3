//! What a request head says, and every way in which one is refused.
//!
//! Each input is parsed whole and in pieces; the results must be the same.

use super::*;
use proptest::prelude::*;

const LIMITS: HeadLimits =
    HeadLimits { head_bytes_max: 400, target_bytes_max: 100, fields_max: 10 };

/// The parsed head, or why it was rejected, if the bytes arrive all at once, in halves and one by
/// one.
fn parse(input: &[u8]) -> Result<Option<(usize, RequestHead)>, HeadError> {
    let parse_by = |size: usize| {
        let mut head = RequestHead::default();
        for end in (0..=input.len()).step_by(size).chain([input.len()]) {
            if let Some(taken) = head.parse(&input[..end], &LIMITS)? {
                return Ok(Some((taken, head)));
            }
        }
        Ok(None)
    };
    let whole = parse_by(input.len().max(1));
    for size in [1, 2, 3, 7] {
        let split = parse_by(size);
        assert_eq!(describe(&whole), describe(&split), "{input:?} by {size}");
    }
    whole
}

/// All that can be asked of a head, in words.
fn describe(parsed: &Result<Option<(usize, RequestHead)>, HeadError>) -> String {
    match parsed {
        Ok(Some((taken, head))) => {
            let line = (head.method(), head.version(), head.path(), head.query());
            let flow = (head.framing(), head.keep_alive(), head.expects_continue());
            format!("{taken} {line:?} {flow:?} {:?}", head.fields().collect::<Vec<_>>())
        }
        other => format!("{other:?}"),
    }
}

/// Refused with this error; a `Malformed` is matched by a word of its message.
fn check_refused(input: &[u8], expected: &HeadError) {
    let label = String::from_utf8_lossy(input);
    match (parse(input), expected) {
        (Err(HeadError::Malformed(found)), HeadError::Malformed(word)) => {
            assert!(found.contains(word), "{label:?}: {found}, expected {word}");
        }
        (Err(found), expected) => assert_eq!(&found, expected, "{label:?}"),
        (Ok(parsed), _) => panic!("{label:?}: {parsed:?}, expected {expected:?}"),
    }
}

/// The rest of a good head of HTTP/1.1 with these lines put in.
fn with(lines: &str) -> Vec<u8> {
    format!("POST /v1 HTTP/1.1\r\nHost: a\r\n{lines}\r\n").into_bytes()
}

fn accepted(input: &[u8]) -> RequestHead {
    match parse(input) {
        Ok(Some((taken, head))) if taken == input.len() => head,
        other => panic!("{:?}: {other:?}", String::from_utf8_lossy(input)),
    }
}

#[test]
fn head_is_parsed() {
    let head = accepted(
        b"POST /v1/x%2Fy?a=b?c HTTP/1.1\r\nHost: h:80\r\n\
          X-Api-Key: \t k v\t \r\nX-A:\r\nx-a: 2\r\n\r\n",
    );
    assert_eq!((head.method(), head.version()), (Method::Post, Version::Http11));
    assert_eq!((head.path(), head.query()), ("/v1/x%2Fy", Some("a=b?c")));
    let fields: Vec<_> = head.fields().collect();
    let expected: [(&str, &[u8]); 4] =
        [("host", b"h:80"), ("x-api-key", b"k v"), ("x-a", b""), ("x-a", b"2")];
    assert_eq!(fields, expected);
    assert_eq!((head.get("x-a"), head.get("X-A"), head.get("x-b")), (Some(&b""[..]), None, None));
    for (target, path, query) in
        [("/", "/", None), ("/a?", "/a", Some("")), ("/a??", "/a", Some("?"))]
    {
        let head = accepted(format!("GET {target} HTTP/1.0\r\n\r\n").as_bytes());
        assert_eq!((head.path(), head.query()), (path, query));
    }
}

#[test]
fn framing_and_reuse_follow_the_fields() {
    // Lines put in, framing, kept, waits for 100.
    for (lines, framing, keep_alive, expects_continue) in [
        ("", Framing::None, true, false),
        ("Content-Length: 0\r\n", Framing::Length(0), true, false),
        ("content-LENGTH:7\r\n", Framing::Length(7), true, false),
        (
            "Content-Length: 999999999999999999\r\n",
            Framing::Length(999_999_999_999_999_999),
            true,
            false,
        ),
        ("Content-Length: 007\r\n", Framing::Length(7), true, false),
        ("Transfer-Encoding: chunked\r\n", Framing::Chunked, true, false),
        ("Transfer-Encoding: \tChunKED \r\n", Framing::Chunked, true, false),
        ("Connection: close\r\n", Framing::None, false, false),
        ("Connection: foo , CLOSE,\r\n", Framing::None, false, false),
        ("Connection: keep-alive\r\nConnection: close\r\n", Framing::None, false, false),
        ("Connection: keep-alive\r\n", Framing::None, true, false),
        ("Connection: closed\r\n", Framing::None, true, false),
        ("Expect: 100-continue\r\nContent-Length: 5\r\n", Framing::Length(5), true, true),
        ("Expect: 100-Continue\r\nTransfer-Encoding: chunked\r\n", Framing::Chunked, true, true),
        ("Expect: 100-continue\r\n", Framing::None, true, false),
        ("Authorization: Bearer x\r\nX-Api-Key: a\r\nX-Api-Key: b\r\n", Framing::None, true, false),
        ("X: \u{e9}\r\n", Framing::None, true, false),
    ] {
        let head = accepted(&with(lines));
        assert_eq!(head.framing(), framing, "{lines}");
        assert_eq!(
            (head.keep_alive(), head.expects_continue()),
            (keep_alive, expects_continue),
            "{lines}"
        );
    }
    for (lines, keep_alive) in [
        ("", false),
        ("Connection: Keep-Alive\r\n", true),
        ("Connection: keep-alive, close\r\n", false),
        ("Expect: 100-continue\r\nContent-Length: 5\r\n", false),
        ("Expect: anything\r\nHost: a\r\n", false),
    ] {
        let head = accepted(format!("POST / HTTP/1.0\r\n{lines}\r\n").as_bytes());
        assert_eq!((head.keep_alive(), head.expects_continue()), (keep_alive, false), "{lines}");
    }
}

#[test]
fn hop_by_hop_fields_are_removed() {
    let head = accepted(&with("Connection: X-Secret, close, te\r\nX-Secret: 1\r\nX-Other: 2\r\n"));
    for name in [
        "connection",
        "keep-alive",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-secret",
    ] {
        assert!(head.is_hop_by_hop(name), "{name}");
    }
    for name in ["x-other", "content-length", "authorization", "close"] {
        assert!(!head.is_hop_by_hop(name), "{name}");
    }
}

#[test]
fn invalid_request_lines_are_rejected() {
    let malformed = HeadError::Malformed;
    for (line, expected) in [
        ("get / HTTP/1.1", HeadError::MethodNotAllowed),
        ("CONNECT a:443 HTTP/1.1", HeadError::MethodNotAllowed),
        ("TRACE / HTTP/1.1", HeadError::MethodNotAllowed),
        ("FOO / HTTP/1.1", HeadError::MethodNotAllowed),
        ("GE(T / HTTP/1.1", malformed("request line")),
        ("(GET / HTTP/1.1", malformed("request line")),
        (" GET / HTTP/1.1", malformed("request line")),
        ("\u{16}\u{3}\u{1}", malformed("request line")),
        ("GET", malformed("request line")),
        ("hello world", malformed("request line")),
        ("GET /", HeadError::UnsupportedVersion),
        ("GET / HTTP/0.9", HeadError::UnsupportedVersion),
        ("GET / HTTP/1.2", HeadError::UnsupportedVersion),
        ("GET / HTTP/2.0", HeadError::UnsupportedVersion),
        ("GET / HTTP/3", HeadError::UnsupportedVersion),
        ("PRI * HTTP/2.0", HeadError::UnsupportedVersion),
        ("GET / http/1.1", malformed("version")),
        ("GET / HTTP/1.1 ", malformed("version")),
        ("GET / HTTP/11.1", malformed("version")),
        ("GET / HTTP/1.10", malformed("version")),
        ("GET / HTTP/1,1", malformed("version")),
        ("GET / FTP/1.1", malformed("version")),
        ("GET  / HTTP/1.1", malformed("request target")),
        ("GET /  HTTP/1.1", malformed("request target")),
        ("GET\t/ HTTP/1.1", malformed("request line")),
        ("GET /\tHTTP/1.1", HeadError::UnsupportedVersion),
        ("GET * HTTP/1.1", malformed("request target")),
        ("OPTIONS * HTTP/1.1", malformed("request target")),
        ("GET a HTTP/1.1", malformed("request target")),
        ("GET http://a/ HTTP/1.1", malformed("request target")),
        ("GET a:80 HTTP/1.1", malformed("request target")),
        ("GET /a b HTTP/1.1", malformed("request target")),
        ("GET /#a HTTP/1.1", malformed("request target")),
        ("GET /a/../b HTTP/1.1", malformed("path")),
        ("GET /%2e%2E/b HTTP/1.1", malformed("path")),
        ("GET /%00 HTTP/1.1", malformed("path")),
        ("GET /?%00 HTTP/1.1", malformed("request target")),
        ("GET /\\ HTTP/1.1", malformed("request target")),
        ("GET /\u{e9} HTTP/1.1", malformed("request target")),
    ] {
        check_refused(format!("{line}\r\nHost: a\r\n\r\n").as_bytes(), &expected);
    }
}

#[test]
fn invalid_fields_are_rejected() {
    for (lines, word) in [
        ("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", "framing"),
        ("Transfer-Encoding: chunked\r\nContent-Length: 1\r\n", "framing"),
        ("Content-Length: 1\r\nContent-Length: 1\r\n", "content-length"),
        ("Content-Length: 1\r\nContent-Length: 2\r\n", "content-length"),
        ("Content-Length: 1, 1\r\n", "content-length"),
        ("Content-Length:\r\n", "content-length"),
        ("Content-Length: +1\r\n", "content-length"),
        ("Content-Length: -1\r\n", "content-length"),
        ("Content-Length: 0x1\r\n", "content-length"),
        ("Content-Length: 1 1\r\n", "content-length"),
        ("Content-Length: 1.0\r\n", "content-length"),
        ("Content-Length: \u{661}\r\n", "content-length"),
        ("Content-Length: 1000000000000000000\r\n", "content-length"),
        ("Transfer-Encoding: gzip\r\n", "transfer-encoding"),
        ("Transfer-Encoding: gzip, chunked\r\n", "transfer-encoding"),
        ("Transfer-Encoding: chunked, chunked\r\n", "transfer-encoding"),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "transfer-encoding"),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "transfer-encoding"),
        ("Transfer-Encoding: identity\r\n", "transfer-encoding"),
        ("Transfer-Encoding: xchunked\r\n", "transfer-encoding"),
        ("Transfer-Encoding: \"chunked\"\r\n", "transfer-encoding"),
        ("Transfer-Encoding: chunked;a=b\r\n", "transfer-encoding"),
        ("Transfer-Encoding: chunked,\r\n", "transfer-encoding"),
        ("Transfer-Encoding:\r\n", "transfer-encoding"),
        ("Transfer-Encoding: \u{b}chunked\r\n", "field value"),
        ("Transfer-Encoding : chunked\r\n", "field name"),
        ("Host: b\r\n", "host"),
        ("Host: a\r\n", "host"),
        ("Host:\r\n", "host"),
        ("Authorization: a\r\nauthorization: a\r\n", "authorization"),
        ("Expect: 200-ok\r\n", "expectation"),
        ("Expect:\r\n", "expectation"),
        ("Expect: 100-continue, x\r\n", "expectation"),
        ("Expect: 100-continue\r\nExpect: 100-continue\r\n", "expectation"),
        ("Connection: a b\r\n", "connection"),
        ("Connection: \"close\"\r\n", "connection"),
        (" folded: x\r\n", "field name"),
        ("X: a\r\n b\r\n", "field name"),
        ("X: a\r\n\tb\r\n", "field name"),
        ("X : a\r\n", "field name"),
        ("X\t: a\r\n", "field name"),
        (": a\r\n", "field name"),
        ("X\r\n", "field name"),
        ("X Y: a\r\n", "field name"),
        ("X(: a\r\n", "field name"),
        ("X\u{e9}: a\r\n", "field name"),
        ("X\0: a\r\n", "field name"),
        ("X: a\0\r\n", "field value"),
        ("X: \u{1}\r\n", "field value"),
        ("X: a\u{7f}\r\n", "field value"),
        ("X: a\u{1b}[0m\r\n", "field value"),
        ("X: a\n", "line end"),
        ("X: a\rb\r\n", "line end"),
        ("X: a\r\r\n", "line end"),
        ("X: a\n\r\n", "line end"),
        ("X: a\nContent-Length: 5\r\n", "line end"),
        ("\n", "line end"),
        ("X: a\r", "line end"),
    ] {
        check_refused(&with(lines), &HeadError::Malformed(word));
    }
}

#[test]
fn host_is_required_on_http_1_1_and_validated() {
    let host = HeadError::Malformed("host");
    check_refused(b"GET / HTTP/1.1\r\n\r\n", &host);
    for bad in ["a/b", "a?b", "a#b", "a@b", "a\\b", "a b", "a,b", "a:x", "\u{e9}", "[::1", ""] {
        for version in ["1.0", "1.1"] {
            check_refused(format!("GET / HTTP/{version}\r\nHost: {bad}\r\n\r\n").as_bytes(), &host);
        }
    }
    check_refused(b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", &host);
    let chunked = b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    check_refused(chunked, &HeadError::Malformed("transfer-encoding"));
}

#[test]
fn one_leading_empty_line_is_accepted() {
    let head = accepted(b"\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(head.path(), "/a");
    let malformed = HeadError::Malformed("line");
    for bad in [
        "\r\n\r\nGET / HTTP/1.1\r\n",
        "\nGET / HTTP/1.1\r\n",
        "\rGET / HTTP/1.1\r\n",
        "\r\n\n",
        "\0",
    ] {
        check_refused(bad.as_bytes(), &malformed);
    }
}

#[test]
fn limits_hold_before_the_head_is_complete() {
    let target =
        |bytes: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(bytes - 1));
    accepted(target(100).as_bytes());
    check_refused(target(101).as_bytes(), &HeadError::TargetTooLong);
    check_refused(&target(500).as_bytes()[..130], &HeadError::TargetTooLong);
    let padded =
        |bytes: usize| with(&format!("X: {}\r\n", "x".repeat(bytes - with("X: \r\n").len())));
    accepted(&padded(400));
    check_refused(&padded(401), &HeadError::HeadTooLarge);
    check_refused(&padded(1000)[..400], &HeadError::HeadTooLarge);
    accepted(&with(&"X: a\r\n".repeat(9)));
    check_refused(&with(&"X: a\r\n".repeat(10)), &HeadError::HeadTooLarge);
    let options = |count: usize| with(&format!("Connection: {}\r\n", "a,".repeat(count)));
    accepted(&options(32));
    check_refused(&options(33), &HeadError::Malformed("connection"));
}

#[test]
fn head_is_reset_on_reuse() {
    let mut head =
        accepted(&with("Content-Length: 5\r\nConnection: close, x\r\nExpect: 100-continue\r\n"));
    let two = b"GET /b HTTP/1.1\r\nHost: a\r\n\r\nGET /c?d HTTP/1.1\r\nHost: b\r\n\r\n";
    let taken = head.parse(two, &LIMITS).ok().flatten().unwrap_or_default();
    assert_eq!((head.path(), head.framing(), head.keep_alive()), ("/b", Framing::None, true));
    assert!(!head.expects_continue() && !head.is_hop_by_hop("x"));
    assert_eq!(head.parse(&two[taken..], &LIMITS), Ok(Some(two.len() - taken)));
    assert_eq!((head.path(), head.get("host")), ("/c", Some(&b"b"[..])));
    assert_eq!(head.parse(b"GET /", &LIMITS), Ok(None));
    head.clear();
    assert_eq!((head.path(), head.query(), head.fields().count()), ("", None, 0));
    assert_eq!(head.parse(b"PUT /e HTTP/1.0\r\n\r\n", &LIMITS), Ok(Some(19)));
    assert_eq!((head.method(), head.path()), (Method::Put, "/e"));
}

#[test]
fn limits_are_per_head() {
    let mut head = RequestHead::default();
    for round in 0..100 {
        for (lines, framing) in [
            ("Transfer-Encoding: chunked\r\nConnection: x, close\r\n", Framing::Chunked),
            ("Content-Length: 5\r\nAuthorization: a\r\n", Framing::Length(5)),
            ("", Framing::None),
        ] {
            let input = with(lines);
            assert_eq!(head.parse(&input, &LIMITS), Ok(Some(input.len())), "{round} {lines}");
            assert_eq!(head.framing(), framing, "{round} {lines}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_split_of_a_damaged_head_parses_the_same(
        at in 0_usize..90, byte in any::<u8>(), insert in any::<bool>(), repeat in 1_usize..400,
    ) {
        let mut input = with("Content-Length: 5\r\nConnection: close\r\nAuthorization: x\r\n");
        let at = at.min(input.len() - 1);
        let damage = vec![byte; repeat];
        input.splice(at..at + usize::from(!insert), damage);
        let _ = parse(&input);
    }

    #[test]
    fn arbitrary_bytes_never_panic(input in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&input);
        let _ = parse(&[&b"GET / HTTP/1.1\r\n"[..], &input, b"\r\n\r\n"].concat());
    }
}

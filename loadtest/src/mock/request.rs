//! Reading of a request: its head with httparse, and members of its JSON by substring search.
//!
//! A JSON string cannot hold `"stream"` unescaped, so that the search finds real members; a nested member of the
//! same name would fool it, which a mock may be.

use std::time::Duration;

use memchr::memmem;

use super::dialects::Endpoint;
use super::fault::Fault;
use crate::framing::Framing;

/// Most header lines of a request.
const HEADERS_MAX: usize = 100;

/// The endpoint. Strings only where the answer needs them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    Chat,
    Completions,
    Embeddings,
    Models,
    Model(String),
    Bytes(u64),
    Stats,
    Vendor(Endpoint),
    Echo { method: String, path: String, content_type: String },
    Unknown,
}

/// Wishes of one request that win over the mock's options.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overrides {
    pub fault: Option<Fault>,
    pub latency: Option<Duration>,
    pub tokens: Option<u32>,
    pub answer_bytes: Option<usize>,
    pub tokens_per_second: Option<f64>,
}

/// The head of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    /// Its length with the blank line.
    pub bytes: usize,
    pub route: Route,
    pub framing: Framing,
    /// The client wants the connection closed after the answer.
    pub closes: bool,
    /// The client waits for `100 continue` before it sends the body.
    pub waits_for_continue: bool,
    pub overrides: Overrides,
}

impl Head {
    /// Reads a head from the front of `input`; `None` if it has not arrived whole.
    pub fn parse(input: &[u8]) -> Result<Option<Self>, &'static str> {
        let mut headers = [const { std::mem::MaybeUninit::uninit() }; HEADERS_MAX];
        let mut request = httparse::Request::new(&mut []);
        let parsed = request
            .parse_with_uninit_headers(input, &mut headers)
            .map_err(|_| "no HTTP/1 request")?;
        let httparse::Status::Complete(bytes) = parsed else {
            return Ok(None);
        };
        let mut length = None;
        let mut chunked = false;
        let mut content_type: &[u8] = b"";
        let mut closes = request.version == Some(0);
        let mut waits_for_continue = false;
        let mut overrides = Overrides::default();
        for header in request.headers.iter() {
            let value = header.value;
            match header.name.len() {
                12 if header.name.eq_ignore_ascii_case("content-type") => content_type = value,
                14 if header.name.eq_ignore_ascii_case("content-length") => {
                    length = Some(number::<u64>(value).ok_or("bad content-length")?);
                }
                17 if header.name.eq_ignore_ascii_case("transfer-encoding") => {
                    chunked = value.eq_ignore_ascii_case(b"chunked");
                    if !chunked {
                        return Err("unknown transfer-encoding");
                    }
                }
                10 if header.name.eq_ignore_ascii_case("connection") => {
                    closes = value.eq_ignore_ascii_case(b"close")
                        || (closes && !value.eq_ignore_ascii_case(b"keep-alive"));
                }
                6 if header.name.eq_ignore_ascii_case("expect") => waits_for_continue = true,
                12.. if header.name.as_bytes()[..7].eq_ignore_ascii_case(b"x-mock-") => {
                    overrides.read(&header.name[7..], value);
                }
                _ => {}
            }
        }
        let framing = match (chunked, length) {
            (true, Some(_)) => return Err("both content-length and transfer-encoding"),
            (true, None) => Framing::Chunked,
            (false, length) => Framing::Length(length.unwrap_or(0)),
        };
        let target = (request.method.unwrap_or_default(), request.path.unwrap_or_default());
        let route = Route::of(target.0, target.1, content_type);
        Ok(Some(Self { bytes, route, framing, closes, waits_for_continue, overrides }))
    }
}

impl Route {
    fn of(method: &str, target: &str, content_type: &[u8]) -> Self {
        let path = target.split_once('?').map_or(target, |(path, _)| path);
        match (method, path) {
            ("POST", "/v1/chat/completions") => Self::Chat,
            ("POST", "/v1/completions") => Self::Completions,
            ("POST", "/v1/embeddings") => Self::Embeddings,
            ("GET", "/v1/models") => Self::Models,
            ("GET", "/stats") => Self::Stats,
            _ => Self::rare(method, target, path, content_type),
        }
    }

    fn rare(method: &str, target: &str, path: &str, content_type: &[u8]) -> Self {
        let model = path.strip_prefix("/v1/models/").filter(|id| method == "GET" && !id.is_empty());
        let bytes = path.strip_prefix("/v1/bytes/").and_then(|count| count.parse().ok());
        if let Some(endpoint) = Endpoint::of(target).filter(|_| method == "POST") {
            return Self::Vendor(endpoint);
        }
        match (model, bytes) {
            (Some(id), _) => Self::Model(id.to_owned()),
            (_, Some(count)) if method == "GET" => Self::Bytes(count),
            _ if path.starts_with("/v1/") => Self::Echo {
                method: method.to_owned(),
                path: target.to_owned(),
                content_type: String::from_utf8_lossy(content_type).into_owned(),
            },
            _ => Self::Unknown,
        }
    }
}

impl Overrides {
    /// Takes one `x-mock-NAME` header; values that make no sense are left out, as a provider ignores what it does not know.
    fn read(&mut self, name: &str, value: &[u8]) {
        match name.to_ascii_lowercase().as_str() {
            "fault" => self.fault = Fault::from_header(value),
            "latency-ms" => self.latency = number(value).map(Duration::from_millis),
            "tokens" => self.tokens = number(value),
            "answer-bytes" => self.answer_bytes = number(value),
            "tokens-per-second" => {
                self.tokens_per_second =
                    number(value).filter(|rate: &f64| *rate >= 0.0 && rate.is_finite());
            }
            _ => {}
        }
    }
}

fn number<T: std::str::FromStr>(value: &[u8]) -> Option<T> {
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}

/// Members of a chat or completion request that shape the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyOptions<'a> {
    pub stream: bool,
    pub include_usage: bool,
    pub model: &'a str,
}

impl<'a> BodyOptions<'a> {
    /// Reads the wish from a JSON body without parsing it.
    pub fn of(body: &'a [u8]) -> Self {
        let stream = is_true(body, b"\"stream\"");
        Self {
            stream,
            include_usage: stream && is_true(body, b"\"include_usage\""),
            model: member(body, b"\"model\"").and_then(string).unwrap_or("mock"),
        }
    }
}

/// The bytes after `name:`, blanks skipped, at the first place that reads as a member.
fn member<'a>(body: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut rest = body;
    loop {
        rest = &rest[memmem::find(rest, name)? + name.len()..];
        if let Some(value) = rest.trim_ascii_start().strip_prefix(b":") {
            return Some(value.trim_ascii_start());
        }
    }
}

fn is_true(body: &[u8], name: &[u8]) -> bool {
    member(body, name).is_some_and(|value| value.starts_with(b"true"))
}

/// A string without escapes, which every model name is.
fn string(value: &[u8]) -> Option<&str> {
    let rest = value.strip_prefix(b"\"")?;
    let text = &rest[..memchr::memchr(b'"', rest)?];
    std::str::from_utf8(text).ok().filter(|text| !text.contains('\\'))
}

/// How many embeddings a request wants: as many as its `input` array has elements, else one.
pub fn inputs(body: &[u8]) -> usize {
    if !member(body, b"\"input\"").is_some_and(|value| value.starts_with(b"[")) {
        return 1;
    }
    let parsed: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let input = parsed.as_ref().and_then(|body| body["input"].as_array());
    match input {
        // An array of numbers is one text given as tokens.
        Some(elements) if !elements.first().is_some_and(serde_json::Value::is_number) => {
            elements.len()
        }
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Head {
        Head::parse(text.as_bytes()).unwrap().unwrap()
    }

    #[test]
    fn routes_are_recognized() {
        let echo = |method: &str, path: &str| Route::Echo {
            method: method.into(),
            path: path.into(),
            content_type: String::new(),
        };
        let cases = [
            ("POST /v1/chat/completions", Route::Chat),
            ("POST /v1/chat/completions?a=b", Route::Chat),
            ("POST /v1/completions", Route::Completions),
            ("POST /v1/embeddings", Route::Embeddings),
            ("GET /v1/models", Route::Models),
            ("GET /v1/models/a/b", Route::Model("a/b".into())),
            ("GET /v1/bytes/12", Route::Bytes(12)),
            ("GET /stats", Route::Stats),
            ("DELETE /v1/files/f?x=1", echo("DELETE", "/v1/files/f?x=1")),
            ("GET /v1/bytes/x", echo("GET", "/v1/bytes/x")),
            ("POST /v1/responses", Route::Vendor(Endpoint::Responses)),
            ("GET /v1/responses", echo("GET", "/v1/responses")),
            ("GET /", Route::Unknown),
        ];
        for (line, expected) in cases {
            assert_eq!(
                parse(&format!("{line} HTTP/1.1\r\nhost: x\r\n\r\n")).route,
                expected,
                "{line}"
            );
        }
    }

    #[test]
    fn heads_are_parsed() {
        let head = parse(
            "POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 7\r\nX-Mock-Fault: hang\r\nx-mock-latency-ms: 5\r\n\
             x-mock-tokens: 3\r\nx-mock-answer-bytes: 900\r\nx-mock-tokens-per-second: 50.5\r\nExpect: 100-continue\r\n\
             Connection: close\r\n\r\n{}",
        );
        assert_eq!(head.framing, Framing::Length(7));
        assert!(head.closes && head.waits_for_continue);
        let expected = Overrides {
            fault: Some(Fault::Hang),
            latency: Some(Duration::from_millis(5)),
            tokens: Some(3),
            answer_bytes: Some(900),
            tokens_per_second: Some(50.5),
        };
        assert_eq!(head.overrides, expected);
        assert!(parse("GET /stats HTTP/1.0\r\n\r\n").closes);
        assert!(!parse("GET /stats HTTP/1.0\r\nconnection: keep-alive\r\n\r\n").closes);
        assert_eq!(
            parse("PUT /v1/x HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n").framing,
            Framing::Chunked
        );
        for bad in [
            "content-length: x",
            "content-length: 1\r\ntransfer-encoding: chunked",
            "transfer-encoding: gzip",
        ] {
            assert!(
                Head::parse(format!("PUT /v1/x HTTP/1.1\r\n{bad}\r\n\r\n").as_bytes()).is_err(),
                "{bad}"
            );
        }
        assert!(Head::parse(b"\x00\x01\r\n\r\n").is_err());
    }

    #[test]
    fn truncated_head_is_incomplete() {
        let whole = b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: 2\r\n\r\n";
        for cut in 0..whole.len() {
            assert_eq!(Head::parse(&whole[..cut]), Ok(None), "cut at {cut}");
        }
    }

    #[test]
    fn body_options_are_read() {
        let cases: [(&str, (bool, bool, &str)); 6] = [
            (r#"{"model":"gpt-4o","stream":true}"#, (true, false, "gpt-4o")),
            (
                r#"{"model": "a" , "stream" : true, "stream_options": {"include_usage" : true}}"#,
                (true, true, "a"),
            ),
            (r#"{"stream":false,"include_usage":true}"#, (false, false, "mock")),
            (
                r#"{"messages":[{"content":"say \"stream\":true"}],"model":"b"}"#,
                (false, false, "b"),
            ),
            (r#"{"tags":["stream"],"stream":true}"#, (true, false, "mock")),
            ("not json", (false, false, "mock")),
        ];
        for (body, (stream, include_usage, model)) in cases {
            assert_eq!(
                BodyOptions::of(body.as_bytes()),
                BodyOptions { stream, include_usage, model },
                "{body}"
            );
        }
    }

    #[test]
    fn inputs_are_counted() {
        for (body, expected) in [
            (r#"{"input":"a"}"#, 1),
            (r#"{"input": ["a","b","c"]}"#, 3),
            (r#"{"input":[1,2,3]}"#, 1),
            (r#"{"input":[[1,2],[3]]}"#, 2),
            (r#"{"input":["#, 1),
        ] {
            assert_eq!(inputs(body.as_bytes()), expected, "{body}");
        }
    }
}

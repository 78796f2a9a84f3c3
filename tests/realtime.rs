//! Realtime sessions: the handshake with its refusals, bytes both ways, and every way a session ends.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{
    CHAT_ANSWER, Gateway, LIMIT, Provider, chat, eventually, find, json_answer, post,
};

/// Nonce and proof of the example in RFC 6455 section 1.3.
const NONCE: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

pub const TEXT: u8 = 0x81;
pub const CLOSE: u8 = 0x88;

/// A whole handshake of a client; `fields` are further header lines.
fn opening(target: &str, fields: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nhost: gateway\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {NONCE}\r\n{fields}\r\n"
    )
}

/// A provider's consent; `fields` are further header lines.
fn consent(fields: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {ACCEPT}\r\n{fields}\r\n"
    )
}

/// One end of an open session.
pub struct Peer {
    stream: TcpStream,
    /// Clients mask what they send.
    masks: bool,
}

impl Peer {
    /// Opens a session; also gives the head of the gateway's answer.
    pub fn open(gateway: &Gateway, target: &str, fields: &str) -> (String, Self) {
        let stream = TcpStream::connect(gateway.address).expect("a connection");
        stream.set_read_timeout(Some(LIMIT)).expect("a read limit");
        stream.set_nodelay(true).expect("no delay");
        let mut peer = Self { stream, masks: true };
        peer.stream.write_all(opening(target, fields).as_bytes()).expect("a listener");
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            peer.stream.read_exact(&mut byte).expect("a head");
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).expect("text");
        assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
        assert!(head.contains(&format!("sec-websocket-accept: {ACCEPT}\r\n")), "{head}");
        (head, peer)
    }

    pub fn send(&mut self, first: u8, payload: &[u8]) -> bool {
        let mask = if self.masks { 0x80 } else { 0 };
        let mut out = vec![first];
        match payload.len() {
            length @ ..126 => out.push(mask | length as u8),
            length @ ..65_536 => {
                out.push(mask | 126);
                out.extend((length as u16).to_be_bytes());
            }
            length => {
                out.push(mask | 127);
                out.extend((length as u64).to_be_bytes());
            }
        }
        let key = [1, 2, 3, 4];
        if self.masks {
            out.extend(key);
            out.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
        } else {
            out.extend(payload);
        }
        self.stream.write_all(&out).is_ok()
    }

    /// First byte and payload of the next frame; `None` at the end of the connection.
    pub fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 2];
        self.stream.read_exact(&mut head).ok()?;
        assert_eq!(head[1] & 0x80 == 0, self.masks, "only clients mask");
        let mut length = [0; 8];
        match head[1] & 0x7f {
            126 => self.stream.read_exact(&mut length[6..]).ok()?,
            127 => self.stream.read_exact(&mut length).ok()?,
            short => length[7] = short,
        }
        let mut mask = [0; 4];
        if !self.masks {
            self.stream.read_exact(&mut mask).ok()?;
        }
        let mut payload = vec![0; u64::from_be_bytes(length) as usize];
        self.stream.read_exact(&mut payload).ok()?;
        payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
        Some((head[0], payload))
    }

    fn reset(self) {
        let socket = socket2::SockRef::from(&self.stream);
        socket.set_linger(Some(Duration::ZERO)).expect("linger");
    }
}

/// A provider that accepts every handshake and then runs a script.
fn provider(talk: impl Fn(&mut Peer) + Send + Sync + 'static) -> Provider {
    provider_with_handshake(consent(""), talk)
}

fn provider_with_handshake(
    answer: String,
    talk: impl Fn(&mut Peer) + Send + Sync + 'static,
) -> Provider {
    Provider::start(move |visit| {
        if visit.request().is_some() {
            visit.send(answer.as_bytes());
            let stream = visit.stream.try_clone().expect("a socket");
            talk(&mut Peer { stream, masks: false });
            let _ = visit.stream.shutdown(Shutdown::Both);
        }
    })
}

/// Says everything again, the close too.
fn echo(peer: &mut Peer) {
    while let Some((first, payload)) = peer.frame() {
        if !peer.send(first, &payload) || first == CLOSE {
            return;
        }
    }
}

fn expect_nothing_left(gateway: &Gateway, provider: &Provider) {
    let port = provider.address.port();
    eventually("no socket to the provider is open", || gateway.sockets_to(port) == 0);
    gateway.expect_metric("ringgate_requests_in_flight", &[], 0.0);
    gateway.expect_metric("ringgate_panics_total", &[], 0.0);
}

/// The one line of the request log.
fn logged(gateway: &Gateway) -> serde_json::Value {
    let log = gateway.folder.path().join("requests.jsonl");
    let read = || std::fs::read_to_string(&log).unwrap_or_default();
    eventually("the session is told", || read().ends_with('\n'));
    serde_json::from_str(read().trim()).expect("one line of JSON")
}

const LOG: &str = "[log]\nrequests = \"requests.jsonl\"\n";

#[test]
fn frames_of_every_size_are_relayed() {
    let answer =
        consent("Sec-WebSocket-Protocol: realtime\r\nx-request-id: r\r\nset-cookie: c\r\n");
    let provider = provider_with_handshake(answer, echo);
    let settings = format!("{LOG}{}", provider.section("p", "api_key = \"credential-of-p\""));
    let gateway = Gateway::start(&settings);
    let (head, mut client) = Peer::open(
        &gateway,
        "/v1/realtime?model=p/gpt-realtime&x=1",
        "OpenAI-Beta: realtime=v1\r\nauthorization: Bearer own\r\norigin: https://a.example\r\n\
         Sec-WebSocket-Protocol: realtime, other\r\n\
         Sec-WebSocket-Extensions: permessage-deflate\r\n",
    );
    assert!(head.contains("sec-websocket-protocol: realtime\r\n"), "{head}");
    assert!(head.contains("x-request-id: r\r\n") && head.contains("x-ringgate-provider: p\r\n"));
    for absent in ["set-cookie", "extensions", "content-length", "connection: close"] {
        assert!(!head.contains(absent), "{head}");
    }
    let request = provider.last_request().to_ascii_lowercase();
    assert!(request.starts_with("get /v1/realtime?model=gpt-realtime&x=1 http/1.1\r\n"));
    for field in [
        "connection: upgrade",
        "upgrade: websocket",
        "sec-websocket-version: 13",
        "sec-websocket-protocol: realtime, other",
        "authorization: bearer credential-of-p",
        "openai-beta: realtime=v1",
        "x-ringgate-hops: 1",
    ] {
        assert_eq!(request.matches(&format!("\r\n{field}\r\n")).count(), 1, "{field}: {request}");
    }
    for absent in ["extensions", "bearer own", "origin"] {
        assert!(!request.contains(absent), "{request}");
    }
    let mut sent = 0;
    for length in [0, 5, 125, 126, 65_535, 65_536, 3_000_000] {
        let payload: Vec<u8> = (0..length).map(|number| number as u8).collect();
        assert!(client.send(TEXT, &payload));
        assert!(client.frame() == Some((TEXT, payload)), "{length}");
        sent += length as u64;
    }
    assert!(client.send(CLOSE, b"\x03\xe8"));
    assert_eq!(client.frame(), Some((CLOSE, b"\x03\xe8".to_vec())));
    assert_eq!(client.frame(), None);
    expect_nothing_left(&gateway, &provider);
    let line = logged(&gateway);
    assert_eq!((&line["status"], &line["outcome"]), (&101.into(), &"success".into()), "{line}");
    assert_eq!((&line["endpoint"], &line["model"]), (&"realtime".into(), &"gpt-realtime".into()));
    let bytes = |name: &str| line[name].as_u64().expect("a number");
    assert!(bytes("request_bytes") > sent && bytes("answer_bytes") > sent, "{line}");
    assert_eq!(provider.connections.load(Ordering::SeqCst), 1);
}

#[test]
fn frames_sent_with_handshake_are_kept() {
    let early = [consent("").as_bytes(), &[TEXT, 2], b"hi"].concat();
    let provider = Provider::start(move |visit| {
        if visit.request().is_some() {
            visit.send(&early);
            echo(&mut Peer { stream: visit.stream.try_clone().expect("a socket"), masks: false });
        }
    });
    let gateway = Gateway::start(&provider.section("p", ""));
    let mut client = gateway.connect();
    let mut bytes = opening("/v1/realtime?model=m", "").into_bytes();
    bytes.extend([TEXT, 0x83, 0, 0, 0, 0]);
    bytes.extend(b"you");
    client.send(&bytes);
    client.wait_for("hi");
    client.wait_for("you");
}

/// Whoever's connection ends without a word, the other's is closed too, at once.
#[test]
fn closing_one_side_closes_the_other() {
    for is_reset in [false, true] {
        let provider = provider(|peer| {
            peer.send(TEXT, b"hello");
            // Until the gateway closes.
            while peer.frame().is_some() {}
        });
        let gateway = Gateway::start(&provider.section("p", ""));
        let (_, mut client) = Peer::open(&gateway, "/v1/realtime?model=m", "");
        assert_eq!(client.frame(), Some((TEXT, b"hello".to_vec())));
        let left = Instant::now();
        if is_reset {
            client.reset();
        } else {
            drop(client);
        }
        expect_nothing_left(&gateway, &provider);
        assert!(left.elapsed() < Duration::from_secs(2), "reset {is_reset}: {:?}", left.elapsed());
        gateway.expect_metric("ringgate_errors_total", &["side=\"client_left\""], 1.0);
    }
    for is_reset in [false, true] {
        let provider = provider(move |peer| {
            peer.send(TEXT, b"hello");
            peer.frame();
            if is_reset {
                let socket = socket2::SockRef::from(&peer.stream);
                socket.set_linger(Some(Duration::ZERO)).expect("linger");
            }
        });
        let gateway = Gateway::start(&format!("{LOG}{}", provider.section("p", "")));
        let (_, mut client) = Peer::open(&gateway, "/v1/realtime?model=m", "");
        assert_eq!(client.frame(), Some((TEXT, b"hello".to_vec())));
        client.send(TEXT, b"go");
        // Not as if it had ended well: 1014, bad gateway.
        assert_eq!(client.frame(), Some((CLOSE, b"\x03\xf6".to_vec())), "reset {is_reset}");
        assert_eq!(client.frame(), None);
        drop(client);
        expect_nothing_left(&gateway, &provider);
        let line = logged(&gateway);
        assert_eq!(
            (&line["status"], &line["outcome"]),
            (&101.into(), &"upstream".into()),
            "{line}"
        );
    }
}

/// A frame that is cut off is not followed by another, which would be read as its payload.
#[test]
fn error_event_is_not_inserted_within_a_frame() {
    let provider = provider(|peer| {
        let _ = peer.stream.write_all(&[TEXT, 100, b'c', b'u', b't']);
    });
    let gateway = Gateway::start(&provider.section("p", ""));
    let (_, mut client) = Peer::open(&gateway, "/v1/realtime?model=m", "");
    let mut all = Vec::new();
    client.stream.read_to_end(&mut all).expect("an end");
    assert_eq!(all, [TEXT, 100, b'c', b'u', b't']);
}

/// A close is answered by the other side even after its sender has sent its last byte.
#[test]
fn close_reply_is_relayed() {
    let provider = provider(echo);
    let gateway = Gateway::start(&format!("{LOG}{}", provider.section("p", "")));
    let (_, mut client) = Peer::open(&gateway, "/v1/realtime?model=m", "");
    client.send(CLOSE, b"\x03\xe8");
    client.stream.shutdown(Shutdown::Write).expect("a socket");
    assert_eq!(client.frame(), Some((CLOSE, b"\x03\xe8".to_vec())));
    assert_eq!(client.frame(), None);
    expect_nothing_left(&gateway, &provider);
    assert_eq!(logged(&gateway)["outcome"], "success");
}

/// After both close frames the session is over, although neither side closes the connection.
#[test]
fn session_ends_after_close_handshake() {
    for client_begins in [true, false] {
        let provider = provider(move |peer| {
            if !client_begins {
                peer.send(CLOSE, b"\x03\xe8");
            }
            while let Some((first, payload)) = peer.frame() {
                if client_begins {
                    peer.send(first, &payload);
                }
            }
        });
        let gateway = Gateway::start(&format!("{LOG}{}", provider.section("p", "")));
        let (_, mut client) = Peer::open(&gateway, "/v1/realtime?model=m", "");
        let begun = Instant::now();
        if client_begins {
            client.send(CLOSE, b"\x03\xe8");
        }
        assert_eq!(client.frame(), Some((CLOSE, b"\x03\xe8".to_vec())));
        if !client_begins {
            client.send(CLOSE, b"\x03\xe8");
        }
        assert_eq!(client.frame(), None);
        expect_nothing_left(&gateway, &provider);
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        drop(client);
        assert_eq!(logged(&gateway)["outcome"], "success");
    }
}

#[test]
fn rejected_handshake_is_relayed_unchanged() {
    for (status, body) in [
        ("401 Unauthorized", r#"{"error":{"message":"bad key","code":"invalid_api_key"}}"#),
        ("404 Not Found", r#"{"error":{"message":"no such model"}}"#),
        ("429 Too Many Requests", r#"{"error":{"message":"later"}}"#),
        ("200 OK", "{}"),
    ] {
        let provider = Provider::always(json_answer(status, "retry-after: 7\r\n", body));
        let gateway = Gateway::start(&provider.section("p", ""));
        let answer = gateway.send(&opening("/v1/realtime?model=m", ""));
        assert_eq!((&*answer.status.to_string(), &*answer.text()), (&status[..3], body));
        assert_eq!(answer.field("retry-after"), Some("7"));
        assert_eq!(answer.field("connection"), Some("close"));
        // What was asked to become a WebSocket serves no request.
        expect_nothing_left(&gateway, &provider);
    }
    for (answer, code) in [
        (consent("").replace(ACCEPT, NONCE), "upstream_invalid_response"),
        (consent("Sec-WebSocket-Extensions: x\r\n"), "upstream_invalid_response"),
        (consent("Sec-WebSocket-Protocol: x\r\n"), "upstream_invalid_response"),
        (consent("").replace("Upgrade: websocket", "Upgrade: h2c"), "upstream_invalid_response"),
        (String::new(), "upstream_invalid_response"),
    ] {
        let provider = provider_with_handshake(answer, |_| {});
        let gateway = Gateway::start(&provider.section("p", ""));
        let answer = gateway.send(&opening("/v1/realtime?model=m", ""));
        assert_eq!((answer.status, &*answer.code()), (502, code));
        expect_nothing_left(&gateway, &provider);
    }
}

#[test]
fn invalid_handshake_is_not_forwarded() {
    let provider = provider(echo);
    let settings = format!(
        "{}[providers.claude]\ndialect = \"anthropic-messages\"\nbase_url = \"http://{}/v1\"\n",
        provider.section("p", "models = [\"m\"]"),
        provider.address
    );
    let gateway = Gateway::start(&settings);
    let plain = "GET /v1/realtime?model=m HTTP/1.1\r\nhost: g\r\n\r\n";
    let good = opening("/v1/realtime?model=m", "");
    for (what, request, status) in [
        ("no handshake", plain.to_owned(), 426),
        ("version", good.replace("Version: 13", "Version: 12"), 426),
        ("connection", good.replace("Connection: Upgrade", "Connection: close"), 426),
        ("protocol", good.replace("Upgrade: websocket", "Upgrade: h2c"), 426),
        ("key", good.replace(NONCE, "abc"), 400),
        ("body", opening("/v1/realtime?model=m", "content-length: 3\r\n") + "abc", 400),
        ("two models", opening("/v1/realtime?model=m&model=n", ""), 400),
        ("no model", opening("/v1/realtime", ""), 400),
        ("unknown model", opening("/v1/realtime?model=n", ""), 400),
        ("another dialect", opening("/v1/realtime?model=claude/m", ""), 400),
    ] {
        let answer = gateway.send(&request);
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
        assert!(answer.json()["error"]["message"].is_string(), "{what}");
        if status == 426 {
            assert_eq!(answer.field("upgrade"), Some("websocket"), "{what}");
            assert_eq!(answer.field("sec-websocket-version"), Some("13"), "{what}");
        }
    }
    assert_eq!(provider.connections.load(Ordering::SeqCst), 0);
    // The built-in provider has none either.
    let echo_only = Gateway::start("");
    assert_eq!(echo_only.send(&opening("/v1/realtime?model=echo", "")).status, 400);
}

#[test]
fn virtual_key_admits_and_is_not_forwarded() {
    let provider = provider(echo);
    let settings = format!(
        "{}[keys.open]\nsecret = \"${{OPEN}}\"\n[keys.limited]\nsecret = \"${{LIMITED}}\"\n\
         models = [\"gpt-*\"]\n",
        provider.section("p", "api_key = \"credential-of-p\"")
    );
    let environment = [("OPEN", "secret-of-open"), ("LIMITED", "secret-of-limited")];
    let gateway = Gateway::start_with(&settings, &environment, &[]);
    let protocols = |secret: &str| {
        format!(
            "sec-websocket-protocol: realtime, openai-insecure-api-key.{secret}, \
             openai-beta.realtime-v1\r\n"
        )
    };
    let header = |secret: &str| format!("authorization: Bearer {secret}\r\n");
    for (query, fields, status, code) in [
        ("model=gpt-realtime", String::new(), 401, "invalid_api_key"),
        ("model=gpt-realtime&api_key=secret-of-open", String::new(), 401, "invalid_api_key"),
        ("model=gpt-realtime", protocols("wrong"), 401, "invalid_api_key"),
        ("model=gpt-realtime", header("wrong"), 401, "invalid_api_key"),
        ("model=other", protocols("secret-of-limited"), 403, "model_not_allowed"),
        ("model=p/other", header("secret-of-limited"), 403, "model_not_allowed"),
        ("intent=transcription", header("secret-of-limited"), 403, "model_not_allowed"),
    ] {
        let answer = gateway.send(&opening(&format!("/v1/realtime?{query}"), &fields));
        assert_eq!((answer.status, &*answer.code()), (status, code), "{query} {fields}");
    }
    assert_eq!(provider.connections.load(Ordering::SeqCst), 0);
    for (query, fields) in [
        ("model=gpt-realtime", protocols("secret-of-limited")),
        ("model=gpt-realtime", header("secret-of-limited")),
        ("intent=transcription", protocols("secret-of-open")),
        (
            "model=gpt-realtime",
            protocols("secret-of-open")
                + "x-ringgate-forward-headers: sec-websocket-protocol, authorization\r\n",
        ),
    ] {
        let (_, mut client) = Peer::open(&gateway, &format!("/v1/realtime?{query}"), &fields);
        assert!(client.send(TEXT, b"hello"));
        assert_eq!(client.frame(), Some((TEXT, b"hello".to_vec())));
        let request = provider.last_request();
        assert!(!request.contains("secret-of") && !request.contains("insecure"), "{request}");
        assert!(request.contains("credential-of-p"), "{request}");
        if fields.contains("realtime-v1") {
            let rest = "\r\nsec-websocket-protocol: realtime, openai-beta.realtime-v1\r\n";
            assert!(request.contains(rest), "{request}");
        }
    }
}

/// A key with a list of models may name no other inside a session either, however the bytes come.
#[test]
fn model_allowlist_applies_within_sessions() {
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let kept = Arc::clone(&seen);
    let provider = provider(move |peer| {
        while let Some((first, payload)) = peer.frame() {
            let text = String::from_utf8_lossy(&payload).into_owned();
            kept.lock().expect("no panic while held").push(text);
            if !peer.send(first, &payload) || first == CLOSE {
                return;
            }
        }
    });
    let settings = format!(
        "{}[keys.open]\nsecret = \"secret-of-open\"\n[keys.limited]\nsecret = \
         \"secret-of-limited\"\nmodels = [\"gpt-*\"]\n",
        provider.section("p", "")
    );
    let gateway = Gateway::start(&settings);
    let open = |key: &str| {
        let fields = format!("authorization: Bearer secret-of-{key}\r\n");
        Peer::open(&gateway, "/v1/realtime?model=gpt-realtime", &fields).1
    };
    let transcribing = |model: &str| {
        format!(
            r#"{{"type":"session.update","session":{{"audio":{{"input":{{"transcription":{{"model":"{model}"}}}}}}}}}}"#
        )
    };
    let good = transcribing("gpt-4o-transcribe");
    for bad in [
        transcribing("whisper-1"),
        r#"{"type":"session.update","session":{"model":"whisper-1"}}"#.to_owned(),
        r#"{"type":"session.update","session":{"mod\u0065l":"whisper-1"}}"#.to_owned(),
        r#"{"type":"session.update","session":{"model":"gpt-x","model":"whisper-1"}}"#.to_owned(),
        r#"{"session":{"input_audio_transcription":{"model":"whisper-1"}}}"#.to_owned(),
        r#"{"type":"response.create","response":{"tools":[{"model":"whisper-1"}]}}"#.to_owned(),
        // What cannot be read may name any.
        r#"{"session":{"model":"whisper-1"},"x":NaN}"#.to_owned(),
        format!(r#"{{"type":"input_audio_buffer.append","audio":"{}"}}"#, "A".repeat(1_100_000)),
    ] {
        let refused = vec![3, 240];
        let mut client = open("limited");
        assert!(client.send(TEXT, b"hello"));
        assert_eq!(client.frame(), Some((TEXT, b"hello".to_vec())));
        assert!(client.send(TEXT, good.as_bytes()));
        assert_eq!(client.frame(), Some((TEXT, good.clone().into_bytes())));
        // The gateway may have ended it before all was sent.
        client.send(TEXT, bad.as_bytes());
        assert_eq!(
            client.frame(),
            Some((CLOSE, refused.clone())),
            "{}",
            bad.chars().take(60).collect::<String>()
        );
        // In frames, with a ping between them.
        let mut client = open("limited");
        let (one, two) = bad.as_bytes().split_at(bad.len() / 2);
        client.send(0x01, one);
        client.send(0x89, b"ping");
        client.send(0x80, two);
        while let Some((first, payload)) = client.frame() {
            assert!(first != CLOSE || payload == refused, "{payload:?}");
        }
        let mut client = open("open");
        assert!(client.send(TEXT, bad.as_bytes()));
        assert_eq!(client.frame(), Some((TEXT, bad.clone().into_bytes())));
        let received = std::mem::take(&mut *seen.lock().expect("no panic while held"));
        assert_eq!(received.iter().filter(|it| **it == bad).count(), 1, "{received:?}");
    }
}

#[test]
fn session_usage_is_counted() {
    let provider = provider(|peer| {
        for (input, output) in [(100, 20), (150, 30)] {
            let event = format!(
                r#"{{"type":"response.done","response":{{"status":"completed","usage":{{
                "total_tokens":{},"input_tokens":{input},"output_tokens":{output},
                "input_token_details":{{"cached_tokens":64}}}}}}}}"#,
                input + output
            );
            peer.send(TEXT, br#"{"type":"response.output_audio.delta","delta":"AAAA"}"#);
            peer.send(TEXT, event.as_bytes());
        }
        echo(peer);
    });
    let gateway = Gateway::start(&format!("{LOG}{}", provider.section("p", "")));
    let (_, mut client) = Peer::open(&gateway, "/v1/realtime?model=m", "");
    for _ in 0..4 {
        assert!(client.frame().is_some());
    }
    client.send(CLOSE, b"");
    assert_eq!(client.frame(), Some((CLOSE, Vec::new())));
    let line = logged(&gateway);
    assert_eq!(
        (&line["input_tokens"], &line["output_tokens"]),
        (&250.into(), &50.into()),
        "{line}"
    );
    gateway.expect_metric("ringgate_tokens_total", &["kind=\"cached\""], 128.0);
    gateway.expect_metric("ringgate_usage_estimated_total", &[], 0.0);
    // A session's time is not the gateway's own.
    gateway.expect_metric("ringgate_overhead_seconds_count", &[], 1.0);
    assert!(gateway.metric("ringgate_overhead_seconds_sum", &[]) < 1.0);
}

#[test]
fn idle_session_is_closed() {
    let provider = provider(echo);
    let settings = format!("{LOG}{}", provider.section("p", "realtime_idle_timeout_ms = 400"));
    let gateway = Gateway::start(&settings);
    let (_, mut client) = Peer::open(&gateway, "/v1/realtime?model=m", "");
    let begun = Instant::now();
    // Occasional traffic keeps it open beyond the limit.
    while begun.elapsed() < Duration::from_millis(800) {
        assert!(client.send(TEXT, b"still here"));
        assert!(client.frame().is_some());
        thread::yield_now();
    }
    assert_eq!(client.frame(), Some((CLOSE, b"\x03\xe9".to_vec())));
    assert_eq!(client.frame(), None);
    drop(client);
    expect_nothing_left(&gateway, &provider);
    assert_eq!(logged(&gateway)["outcome"], "success");
}

#[test]
fn shutdown_closes_sessions_within_drain() {
    let provider = provider(echo);
    let settings = format!("[server]\ndrain_timeout_ms = 1000\n{LOG}{}", provider.section("p", ""));
    let mut gateway = Gateway::start(&settings);
    let (_, mut client) = Peer::open(&gateway, "/v1/realtime?model=m", "");
    gateway.signal("TERM");
    eventually("it drains", || gateway.admin_page("/readyz").0 == 503);
    // There is time for a last word.
    assert!(client.send(TEXT, b"last"));
    assert_eq!(client.frame(), Some((TEXT, b"last".to_vec())));
    let begun = Instant::now();
    assert_eq!(client.frame(), Some((CLOSE, b"\x03\xe9".to_vec())));
    drop(client);
    assert_eq!(gateway.exit_code(), Some(0));
    assert!(begun.elapsed() < Duration::from_millis(1500), "{:?}", begun.elapsed());
    assert_eq!(logged(&gateway)["outcome"], "success");
}

/// Who does not read holds the other side back, and costs no memory.
#[test]
fn slow_reader_applies_backpressure() {
    const PIECE: usize = 64 * 1024;
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    let provider = provider(move |peer| {
        while peer.send(0x82, &[7; PIECE]) {
            counted.fetch_add(PIECE, Ordering::SeqCst);
        }
    });
    let gateway = Gateway::start(&provider.section("p", ""));
    let (_, mut client) = Peer::open(&gateway, "/v1/realtime?model=m", "");
    let (mut last, mut since) = (0, Instant::now());
    eventually("the provider has to wait", || {
        let now = sent.load(Ordering::SeqCst);
        if now != last {
            (last, since) = (now, Instant::now());
        }
        now > 0 && since.elapsed() > Duration::from_millis(500)
    });
    // All of it lies in the buffers of four sockets.
    assert!(last < 64 * 1024 * 1024, "{last} bytes");
    for _ in 0..last / PIECE + 50 {
        assert!(client.frame().is_some_and(|(_, payload)| payload == [7; PIECE]));
    }
    client.reset();
    expect_nothing_left(&gateway, &provider);
}

/// Sessions that never pause leave the shard to others.
#[test]
fn busy_sessions_do_not_starve_requests() {
    const SESSIONS: usize = 6;
    let flood = provider(|peer| while peer.send(0x82, &[7; 256 * 1024]) {});
    let plain = Provider::always(json_answer("200 OK", "", CHAT_ANSWER));
    let gateway =
        Gateway::start(&format!("{}{}", flood.section("flood", ""), plain.section("plain", "")));
    let stop = AtomicBool::new(false);
    let moved = AtomicUsize::new(0);
    let mut plain_ones = Vec::new();
    thread::scope(|scope| {
        for _ in 0..SESSIONS {
            scope.spawn(|| {
                let (_, mut client) = Peer::open(&gateway, "/v1/realtime?model=flood/m", "");
                while !stop.load(Ordering::Relaxed) {
                    let frame = client.frame().expect("more");
                    moved.fetch_add(frame.1.len(), Ordering::Relaxed);
                }
                client.reset();
            });
        }
        eventually("all is busy", || moved.load(Ordering::Relaxed) > 50_000_000);
        for _ in 0..20 {
            let begun = Instant::now();
            let answer = gateway.post("/v1/chat/completions", &chat("plain/m"));
            plain_ones.push((answer.status, begun.elapsed()));
        }
        stop.store(true, Ordering::Relaxed);
    });
    let is_served = |(status, took): &(u16, Duration)| *status == 200 && took.as_secs() < 2;
    assert!(plain_ones.iter().all(is_served), "{plain_ones:?}");
    expect_nothing_left(&gateway, &flood);
}

/// A session is a request in flight: it counts against the limit.
#[test]
fn sessions_count_as_requests_in_flight() {
    let provider = provider(echo);
    let settings = format!("[server]\nin_flight_max = 1\n{}", provider.section("p", ""));
    let gateway = Gateway::start(&settings);
    let (_, mut client) = Peer::open(&gateway, "/v1/realtime?model=m", "");
    let answer = gateway.send(&post("/v1/chat/completions", "", &chat("m")));
    assert_eq!((answer.status, &*answer.code()), (503, "overloaded"));
    client.send(CLOSE, b"");
    assert!(client.frame().is_some());
    expect_nothing_left(&gateway, &provider);
    let head = provider.last_request();
    assert!(find(head.as_bytes(), b"sec-websocket-protocol").is_none(), "{head}");
}

#[test]
fn credential_in_session_is_redacted() {
    let secret = "test-credential-of-p";
    let text = format!(r#"{{"type":"error","error":{{"message":"bad key {secret}"}}}}"#);
    let sent = text.clone();
    let provider = provider(move |peer| {
        // Whole, and byte by byte, so that it is cut over reads.
        peer.send(TEXT, sent.as_bytes());
        let head = [TEXT, u8::try_from(sent.len()).expect("short")];
        for byte in head.iter().chain(sent.as_bytes()) {
            peer.stream.write_all(&[*byte]).expect("a gateway");
        }
        peer.send(TEXT, b"test-credential-of-");
        while peer.frame().is_some() {}
    });
    let settings = provider.section("p", &format!("api_key = \"{secret}\""));
    let gateway = Gateway::start(&settings);
    let (_, mut client) = Peer::open(&gateway, "/v1/realtime?model=m", "");
    let masked = text.replace(secret, &"*".repeat(secret.len()));
    for _ in 0..2 {
        assert_eq!(client.frame(), Some((TEXT, masked.clone().into_bytes())));
    }
    // A beginning waits for nothing beyond its message.
    assert_eq!(client.frame(), Some((TEXT, b"test-credential-of-".to_vec())));
}

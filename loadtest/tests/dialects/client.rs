//! A client of one request, and readers of the two kinds of streams.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use loadtest::framing::{BodyDecoder, Framing};
use serde_json::Value;

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
    /// The body ended as its frame says it must.
    pub(crate) complete: bool,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The value of a header.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The JSON of server-sent events; a name must be the `type` of its data.
    pub(crate) fn events(&self) -> Vec<Value> {
        let text = self.text().replace("\r\n", "\n");
        assert!(text.ends_with("\n\n") || !self.complete, "the last event is not ended: {text}");
        let mut events = Vec::new();
        for event in text.split("\n\n").filter(|event| !event.is_empty()) {
            let data = event.lines().find_map(|line| line.strip_prefix("data: ")).expect("data");
            if data == "[DONE]" {
                continue;
            }
            let value: Value = serde_json::from_str(data).expect("JSON");
            if let Some(name) = event.lines().find_map(|line| line.strip_prefix("event: ")) {
                assert_eq!(value["type"], name);
            }
            events.push(value);
        }
        events
    }

    /// The frames of a binary event stream: headers and payload; lengths and CRCs are checked.
    pub(crate) fn frames(&self) -> Vec<(Vec<(String, String)>, Value)> {
        let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().expect("four bytes"));
        let (mut frames, mut rest) = (Vec::new(), self.body.as_slice());
        while !rest.is_empty() {
            let (total, fields) = (number(&rest[..4]) as usize, number(&rest[4..8]) as usize);
            assert_eq!(number(&rest[8..12]), crc32fast::hash(&rest[..8]));
            let (frame, after) = rest.split_at(total);
            assert_eq!(number(&frame[total - 4..]), crc32fast::hash(&frame[..total - 4]));
            let (mut headers, mut lines) = (Vec::new(), &frame[12..12 + fields]);
            while !lines.is_empty() {
                let (name, rest) = lines[1..].split_at(lines[0].into());
                assert_eq!(rest[0], 7, "a string");
                let length = u16::from_be_bytes(rest[1..3].try_into().expect("two bytes"));
                let (value, rest) = rest[3..].split_at(length.into());
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
                headers.push((text(name), text(value)));
                lines = rest;
            }
            let payload = serde_json::from_slice(&frame[12 + fields..total - 4]).expect("JSON");
            frames.push((headers, payload));
            rest = after;
        }
        frames
    }
}

/// Posts a body on a connection of its own; `headers` are whole lines.
pub(crate) fn post(addr: SocketAddr, path: &str, headers: &str, body: &str) -> Answer {
    let mut stream = TcpStream::connect(addr).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a limit");
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: mock\r\ncontent-type: application/json\r\nconnection: close\r\n{headers}\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).expect("the request is taken");
    let mut received = Vec::new();
    stream.read_to_end(&mut received).expect("an answer");
    let split = received.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8(received[..split].to_vec()).expect("UTF-8");
    let mut answer = Answer { status: 0, head, body: Vec::new(), complete: false };
    answer.status = answer.head[9..12].parse().expect("a status");
    let framing = match (answer.field("content-length"), answer.field("transfer-encoding")) {
        (Some(length), _) => Framing::Length(length.parse().expect("a number")),
        (None, Some(_)) => Framing::Chunked,
        (None, None) => Framing::UntilClose,
    };
    let (mut decoder, mut rest) = (BodyDecoder::new(framing), &received[split + 4..]);
    while !rest.is_empty() && !decoder.is_done() {
        let Ok(step) = decoder.next(rest) else { return answer };
        answer.body.extend_from_slice(step.payload);
        rest = &rest[step.consumed..];
    }
    answer.complete = decoder.is_done() || framing == Framing::UntilClose;
    answer
}

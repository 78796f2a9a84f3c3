//! One connection of the loader: send a prebuilt request, read and judge the answer.
//!
//! In the common case that is one write, one read and no allocation. The connection is opened when first needed and
//! again after any failure; opening it is part of the latency of the request that needed it.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use super::events::EventScanner;
use super::options::RequestKind;
use super::progress::Progress;
use super::tally::{CACHE_STATUSES, Failure};
use super::target::Target;
use crate::framing::{BodyDecoder, Framing};
use crate::wire::Wire;

/// Room for the head and one read. More than an answer of the usual size, so that tokio sees a short read and does
/// not ask the kernel a second time whether there is more.
const BUFFER_BYTES: usize = 32 << 10;
const HEADERS_MAX: usize = 100;

/// When the parts of a good answer arrived.
pub struct Answer {
    pub first_byte: Instant,
    pub end: Instant,
    /// Which of [`CACHE_STATUSES`] it has, if any.
    pub cache: Option<usize>,
}

/// A client connection with its alarm.
pub struct ClientConnection {
    session: OpenConnection,
    timeout: Duration,
    /// Set ahead once and moved only when it fires: resetting it for each request would cost more than polling it.
    alarm: Pin<Box<Sleep>>,
}

impl ClientConnection {
    /// Opens nothing yet; must be called within a runtime.
    pub fn new(target: Arc<Target>, kind: RequestKind, timeout: Duration) -> Self {
        let buffer = vec![0; BUFFER_BYTES].into_boxed_slice();
        let session = OpenConnection { target, kind, wire: None, buffer, gaps: Vec::new() };
        Self { session, timeout, alarm: Box::pin(tokio::time::sleep(timeout)) }
    }

    /// Sends one request and waits for the whole answer.
    pub async fn exchange(
        &mut self,
        request: &[u8],
        progress: &Progress,
    ) -> Result<Answer, Failure> {
        let limit = Instant::now() + self.timeout;
        let attempt = self.session.attempt(request, progress);
        before(limit, &mut self.alarm, attempt).await.unwrap_or(Err(Failure::Timeout))
    }

    /// Delays between the events of the last stream.
    pub fn gaps(&self) -> &[Duration] {
        &self.session.gaps
    }
}

/// Runs `work` until `limit`; `None` if it took longer. The work is dropped then, and with it its connection.
async fn before<F: Future>(
    limit: Instant,
    alarm: &mut Pin<Box<Sleep>>,
    work: F,
) -> Option<F::Output> {
    let mut work = pin!(work);
    poll_fn(|context| {
        if let Poll::Ready(output) = work.as_mut().poll(context) {
            return Poll::Ready(Some(output));
        }
        while alarm.as_mut().poll(context).is_ready() {
            if Instant::now() >= limit {
                return Poll::Ready(None);
            }
            alarm.as_mut().reset(limit.into());
        }
        Poll::Pending
    })
    .await
}

struct OpenConnection {
    target: Arc<Target>,
    kind: RequestKind,
    /// Taken out for each attempt and put back only if it can carry another.
    wire: Option<Wire>,
    buffer: Box<[u8]>,
    gaps: Vec<Duration>,
}

impl OpenConnection {
    async fn attempt(&mut self, request: &[u8], progress: &Progress) -> Result<Answer, Failure> {
        let mut wire = match self.wire.take() {
            Some(wire) => wire,
            None => self.connect().await.map_err(|_| Failure::Connect)?,
        };
        // A server may refuse before it has taken the whole body: a failed write still looks for the answer.
        let written = send(&mut wire, request).await;
        let (head, filled) = self.read_head(&mut wire, progress).await?;
        let reusable = written.is_ok() && !head.closes && head.framing != Framing::UntilClose;
        let answer = self.read_body(&mut wire, &head, filled, progress).await;
        let failed_by_status = match head.status {
            200 => None,
            400..500 => Some(Failure::Status4xx),
            500..600 => Some(Failure::Status5xx),
            _ => Some(Failure::StatusOther),
        };
        if reusable && (answer.is_ok() || matches!(answer, Err(Failure::ErrorEvent))) {
            self.wire = Some(wire);
        }
        match failed_by_status {
            Some(failure) => Err(failure),
            None => answer,
        }
    }

    async fn connect(&self) -> io::Result<Wire> {
        let stream = TcpStream::connect(self.target.address).await?;
        stream.set_nodelay(true)?;
        Ok(match &self.target.tls {
            None => Wire::Plain(stream),
            Some((connector, name)) => {
                Wire::Tls(Box::new(connector.connect(name.clone(), stream).await?.into()))
            }
        })
    }

    async fn read(&mut self, wire: &mut Wire, at: usize, progress: &Progress) -> io::Result<usize> {
        let read = wire.read(&mut self.buffer[at..]).await?;
        progress.add_bytes(read);
        Ok(read)
    }

    /// Reads the final head to the front of the buffer; with it how much of the buffer is filled.
    async fn read_head(
        &mut self,
        wire: &mut Wire,
        progress: &Progress,
    ) -> Result<(AnswerHead, usize), Failure> {
        let mut filled = 0;
        loop {
            match self.read(wire, filled, progress).await {
                Ok(read @ 1..) => filled += read,
                Ok(0) | Err(_) => return Err(Failure::Closed),
            }
            while let Some(head) = AnswerHead::parse(&self.buffer[..filled])? {
                if !(100..200).contains(&head.status) {
                    return Ok((head, filled));
                }
                self.buffer.copy_within(head.bytes..filled, 0);
                filled -= head.bytes;
            }
            if filled == self.buffer.len() {
                return Err(Failure::Malformed);
            }
        }
    }

    async fn read_body(
        &mut self,
        wire: &mut Wire,
        head: &AnswerHead,
        filled: usize,
        progress: &Progress,
    ) -> Result<Answer, Failure> {
        self.gaps.clear();
        let streams = self.kind == RequestKind::Stream && head.status == 200;
        let mut body = Body::new(streams);
        let mut decoder = BodyDecoder::new(head.framing);
        let (mut at, mut filled) = (head.bytes, filled);
        let mut now = Instant::now();
        loop {
            while at < filled && !decoder.is_done() {
                let step =
                    decoder.next(&self.buffer[at..filled]).map_err(|_| Failure::Malformed)?;
                body.take(step.payload, now, &mut self.gaps, progress);
                at += step.consumed;
            }
            if decoder.is_done() {
                break;
            }
            match self.read(wire, 0, progress).await {
                Ok(read @ 1..) => (at, filled) = (0, read),
                Ok(0) if decoder.may_end_by_close() => break,
                Ok(0) | Err(_) => return Err(body.broken()),
            }
            now = Instant::now();
        }
        if at < filled {
            return Err(Failure::Malformed);
        }
        let first_byte = body.judge(head.status)?.unwrap_or(now);
        Ok(Answer { first_byte, end: now, cache: head.cache })
    }
}

fn is_cache_status(name: &str) -> bool {
    ["x-ringgate-cache-status", "x-portkey-cache-status"]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
}

async fn send(wire: &mut Wire, request: &[u8]) -> io::Result<()> {
    wire.write_all(request).await?;
    wire.flush().await
}

/// What a head of an answer says.
#[derive(Debug, PartialEq)]
struct AnswerHead {
    bytes: usize,
    status: u16,
    framing: Framing,
    closes: bool,
    cache: Option<usize>,
}

impl AnswerHead {
    fn parse(input: &[u8]) -> Result<Option<Self>, Failure> {
        if input.is_empty() {
            return Ok(None);
        }
        let mut headers = [const { std::mem::MaybeUninit::uninit() }; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut []);
        let parsed = httparse::ParserConfig::default()
            .parse_response_with_uninit_headers(&mut response, input, &mut headers)
            .map_err(|_| Failure::Malformed)?;
        let httparse::Status::Complete(bytes) = parsed else {
            return Ok(None);
        };
        let status = response.code.unwrap_or(0);
        let mut closes = response.version == Some(0);
        let (mut length, mut chunked, mut cache) = (None, false, None);
        for header in response.headers.iter() {
            match header.name.len() {
                14 if header.name.eq_ignore_ascii_case("content-length") => {
                    let value = std::str::from_utf8(header.value).ok();
                    let value = value.and_then(|text| text.trim().parse::<u64>().ok());
                    let value = value.ok_or(Failure::Malformed)?;
                    if length.replace(value).is_some_and(|earlier| earlier != value) {
                        return Err(Failure::Malformed);
                    }
                }
                17 if header.name.eq_ignore_ascii_case("transfer-encoding") => {
                    chunked = header.value.eq_ignore_ascii_case(b"chunked");
                    if !chunked {
                        return Err(Failure::Malformed);
                    }
                }
                10 if header.name.eq_ignore_ascii_case("connection") => {
                    closes = header.value.eq_ignore_ascii_case(b"close");
                }
                22 | 23 if is_cache_status(header.name) => {
                    cache = CACHE_STATUSES.iter().position(|it| it.as_bytes() == header.value);
                }
                _ => {}
            }
        }
        let framing = match (chunked, length) {
            _ if matches!(status, 100..200 | 204 | 304) => Framing::Length(0),
            (true, Some(_)) => return Err(Failure::Malformed),
            (true, None) => Framing::Chunked,
            (false, Some(length)) => Framing::Length(length),
            (false, None) => Framing::UntilClose,
        };
        Ok(Some(Self { bytes, status, framing, closes, cache }))
    }
}

/// What has been seen of one body.
struct Body {
    events: Option<EventScanner>,
    first_byte: Option<Instant>,
    last_event: Option<Instant>,
    /// First and last byte of the body that is no blank.
    edges: Option<(u8, u8)>,
}

impl Body {
    fn new(streams: bool) -> Self {
        let events = streams.then(EventScanner::default);
        Self { events, first_byte: None, last_event: None, edges: None }
    }

    fn take(
        &mut self,
        payload: &[u8],
        now: Instant,
        gaps: &mut Vec<Duration>,
        progress: &Progress,
    ) {
        let Some(scanner) = &mut self.events else {
            let trimmed = payload.trim_ascii();
            if let (Some(first), Some(last)) = (trimmed.first(), trimmed.last()) {
                self.edges = Some((self.edges.map_or(*first, |edges| edges.0), *last));
                self.first_byte.get_or_insert(now);
            }
            return;
        };
        let events = scanner.push(payload);
        if events == 0 {
            return;
        }
        progress.add_events(events);
        self.first_byte.get_or_insert(now);
        let earlier = self.last_event.replace(now);
        gaps.extend(earlier.map(|earlier| now - earlier));
        gaps.extend(std::iter::repeat_n(Duration::ZERO, events as usize - 1));
    }

    /// Why a body that broke off has failed.
    fn broken(&self) -> Failure {
        match &self.events {
            Some(scanner) if scanner.has_error => Failure::ErrorEvent,
            Some(_) if self.first_byte.is_some() => Failure::Unterminated,
            _ => Failure::Closed,
        }
    }

    /// Judges a body that is whole; when its first byte or event came.
    fn judge(&self, status: u16) -> Result<Option<Instant>, Failure> {
        let is_object = matches!(self.edges, Some((b'{', b'}')));
        match &self.events {
            Some(scanner) if scanner.has_error => Err(Failure::ErrorEvent),
            Some(scanner) if !scanner.is_done => Err(Failure::Unterminated),
            None if status == 200 && !is_object => Err(Failure::Malformed),
            _ => Ok(self.first_byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_parsed() {
        let head = |status, framing, closes| Some((status, framing, closes));
        let cases = [
            ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", head(200, Framing::Length(5), false)),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n",
                head(200, Framing::Chunked, false),
            ),
            ("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", head(200, Framing::UntilClose, true)),
            ("HTTP/1.0 500 x\r\ncontent-length: 0\r\n\r\n", head(500, Framing::Length(0), true)),
            ("HTTP/1.1 204 x\r\n\r\n", head(204, Framing::Length(0), false)),
            ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n", None),
            ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n", None),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n", None),
            ("HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n", None),
            ("\x16\x03\x01", None),
        ];
        for (text, expected) in cases {
            let parsed = AnswerHead::parse(text.as_bytes());
            let seen = parsed.ok().flatten().map(|head| (head.status, head.framing, head.closes));
            assert_eq!(seen, expected, "{text:?}");
        }
        assert_eq!(AnswerHead::parse(b"HTTP/1.1 200 OK\r\ncontent-le"), Ok(None));
        for (field, expected) in [
            ("X-Ringgate-Cache-Status: HIT", Some(0)),
            ("x-portkey-cache-status: SEMANTIC MISS", Some(3)),
            ("x-ringgate-cache-status: else", None),
            ("x-other: HIT", None),
        ] {
            let head = AnswerHead::parse(format!("HTTP/1.1 200 OK\r\n{field}\r\n\r\n").as_bytes());
            assert_eq!(head.ok().flatten().and_then(|head| head.cache), expected, "{field}");
        }
    }

    #[test]
    fn bodies_are_validated() {
        let progress = Progress::default();
        let judge = |streams, pieces: &[&str]| {
            let (mut body, mut gaps) = (Body::new(streams), Vec::new());
            for piece in pieces {
                body.take(piece.as_bytes(), Instant::now(), &mut gaps, &progress);
            }
            (body.judge(200).map(|_| gaps.len()), body.broken())
        };
        let event = "data: {}\n\n";
        let done = "data: [DONE]\n\n";
        assert_eq!(judge(false, &["{\"a\"", ":1}\n"]), (Ok(0), Failure::Closed));
        assert_eq!(judge(false, &["{\"a\""]).0, Err(Failure::Malformed));
        assert_eq!(judge(false, &[]).0, Err(Failure::Malformed));
        assert_eq!(judge(true, &[event, event, done]), (Ok(1), Failure::Unterminated));
        assert_eq!(judge(true, &["data: {}\n\ndata: {}\n\n", event, done]).0, Ok(2));
        assert_eq!(judge(true, &[event]).0, Err(Failure::Unterminated));
        assert_eq!(judge(true, &["data: {"]).1, Failure::Closed);
        let error = "event: error\ndata: {\"error\":{}}\n\n";
        assert_eq!(judge(true, &[event, error]), (Err(Failure::ErrorEvent), Failure::ErrorEvent));
    }
}

//! Seeded simulations of the whole line, without sockets: a seed draws what a client sends, how
//! both sides' bytes are cut, what the provider answers, what breaks, and when the client leaves.
//!
//! What must hold for every seed: the client reads whole answers, one for each request in order, of
//! which only the last may be broken off; an answer that its provider broke never looks complete;
//! a sound one arrives unchanged, at the request that it was made for or at none; the provider reads
//! exactly the requests that were meant for it; no connection to it stays in use; who is too slow is cut off at its limit, not before and not
//! after. Two runs of one seed put the same bytes on all tapes.
//!
//! Time is virtual: the seed draws it too, and the ten minutes of a dripping provider take none.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ringgate::base::{IdSource, Instant};
use ringgate::config::Settings;
use ringgate::control::{PreparedSettings, prepare_settings};
use ringgate::gateway::{ENDPOINT_NAMES, Simulation};
use ringgate::http::{
    BodyDecoder, EventReader, Framing, HeadLimits, Method, RequestHead, ResponseHead, SseEvent,
};
use ringgate::routing::TargetRegistry;
use ringgate::shard::{Script, Step, Tape, run_in_virtual_time};
use ringgate::telemetry::MetricsRegistry;
use serde_json::Value;

use crate::harness::Folder;

/// The first seed. A failure names the seed that failed; put it here to run it first.
const FIRST_SEED: u64 = 1;
const SEEDS: u64 = 1000;

const SECRET: &str = "rg-the-secret-of-the-client";
const SETTINGS: &str = r#"
[server]
head_timeout_ms = 10_000
# No connection ages here: each is meant for certain requests.
pool_idle_timeout_ms = 86_400_000
pool_age_max_ms = 86_400_000
[providers.prod]
dialect = "openai-chat"
base_url = "http://127.0.0.1:9/v1"
models = ["sim"]
first_byte_timeout_ms = 60_000
idle_timeout_ms = 60_000
total_timeout_ms = 600_000
[keys.team]
secret = "rg-the-secret-of-the-client"
"#;

/// Limits of the settings above, and the time that a slow body is granted.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
const BODY_GRACE: Duration = Duration::from_secs(10);
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
const TOTAL_TIMEOUT: Duration = Duration::from_secs(600);

/// Longer than all requests of a seed can take together.
const FOR_EVER: Duration = Duration::from_secs(24 * 3_600);

#[test]
fn every_seed_completes() {
    let folder = Folder::new();
    let published = published(&folder.write("ringgate.toml", SETTINGS));
    let mut seen = Seen::default();
    for seed in FIRST_SEED..FIRST_SEED + SEEDS {
        let plan = Plan::draw(seed);
        let first = plan.play(&published);
        plan.check(&first, &mut seen);
        let second = plan.play(&published);
        assert!(first.same_tapes(&second), "seed {seed}: two runs differ");
    }
    // A simulation in which nothing happens proves nothing.
    let Seen { whole, failed, broken_off, kept, timed_out, overtaken } = seen;
    let counts = [whole, failed, broken_off, kept, timed_out, overtaken];
    let enough = counts.iter().all(|count| *count >= 30);
    assert!(enough, "too little happened: {seen:?}");
}

fn published(file: &Path) -> Arc<PreparedSettings> {
    let settings = Settings::load(Some(file), &|_| None).expect("legal settings");
    Arc::new(
        prepare_settings(settings, &TargetRegistry::new(Instant::now()))
            .expect("settings without TLS"),
    )
}

/// What happened over all seeds.
#[derive(Debug, Default)]
struct Seen {
    whole: usize,
    failed: usize,
    broken_off: usize,
    kept: usize,
    timed_out: usize,
    overtaken: usize,
}

/// Randomness of one seed.
struct Dice(IdSource);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        (self.0.next_u64() % bound.max(1) as u64) as usize
    }

    fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    fn pick<T: Clone>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())].clone()
    }

    /// The same bytes in pieces, with silence between some; never an empty piece, which would be
    /// the end.
    fn cut(&mut self, bytes: &[u8]) -> Vec<Step> {
        let piece_max = self.pick(&[1, 7, 60, 400, usize::MAX]);
        // A body in single bytes is worth its time only if it is small.
        let piece_max = if bytes.len() > 2_000 { piece_max.max(60) } else { piece_max };
        let silence = self.pick(&[0, 10, 60]);
        let (mut steps, mut rest) = (Vec::new(), bytes);
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(1 + self.below(rest.len().min(piece_max)));
            steps.push(Step::Bytes(piece.to_vec()));
            if self.percent(silence) {
                let moment = Step::Wait(Duration::from_millis(self.below(4) as u64));
                steps.push(self.pick(&[Step::Pause, moment]));
            }
            rest = after;
        }
        steps
    }
}

/// What a client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scenario {
    Chat,
    ChunkedChat,
    Stream {
        include_usage: bool,
    },
    BadJson,
    UnknownModel,
    /// Chunks that are none.
    BrokenBody,
    /// A key that we did not issue.
    Stranger,
    /// A head that stops in the middle, for ever.
    SlowHead,
    /// Likewise a body.
    SlowBody,
}

impl Scenario {
    fn goes_upstream(self) -> bool {
        matches!(self, Self::Chat | Self::ChunkedChat | Self::Stream { .. })
    }

    /// The gateway's own answer, and whether the connection is closed with it.
    fn refusal(self) -> Option<(u16, &'static str, bool)> {
        match self {
            Self::BadJson => Some((400, "invalid_json", false)),
            Self::UnknownModel => Some((400, "unknown_model", false)),
            Self::BrokenBody => Some((400, "invalid_request", true)),
            Self::Stranger => Some((401, "invalid_api_key", true)),
            Self::SlowHead | Self::SlowBody => Some((408, "request_timeout", true)),
            _ => None,
        }
    }
}

#[derive(Debug)]
struct Request {
    scenario: Scenario,
    /// As it is on the wire.
    bytes: Vec<u8>,
    /// Where in it the client falls silent for ever.
    stalls: Option<usize>,
    body: String,
    /// The client says that it is its last.
    last: bool,
    /// None where the gateway answers.
    reply: Option<Reply>,
}

impl Request {
    fn draw(dice: &mut Dice, mark: &str, trusted: bool) -> Self {
        let scenario = match dice.below(22) {
            0..7 => Scenario::Chat,
            7..9 => Scenario::ChunkedChat,
            9..12 => Scenario::Stream { include_usage: true },
            12..16 => Scenario::Stream { include_usage: false },
            16 => Scenario::BadJson,
            17 => Scenario::UnknownModel,
            18 => Scenario::BrokenBody,
            19 => Scenario::SlowHead,
            20 => Scenario::SlowBody,
            _ => Scenario::Stranger,
        };
        let filler = "é\\\"x".repeat(dice.pick(&[0, 3, 30, 800]));
        let model = if scenario == Scenario::UnknownModel { "other" } else { "sim" };
        let more = match scenario {
            Scenario::Stream { include_usage: true } => {
                r#","stream":true,"stream_options":{"include_usage":true}"#
            }
            Scenario::Stream { include_usage: false } => r#","stream":true"#,
            Scenario::BadJson => ",",
            _ => "",
        };
        let body = format!(
            r#"{{"model":"{model}","messages":[{{"role":"user","content":"{mark} {filler}"}}]{more}}}"#
        );
        let last = dice.percent(8);
        let key = if scenario == Scenario::Stranger { "rg-another" } else { SECRET };
        let mut bytes = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {key}\r\n{}",
            if last { "Connection: close\r\n" } else { "" }
        )
        .into_bytes();
        match scenario {
            Scenario::ChunkedChat => {
                bytes.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n");
                bytes.extend(in_chunks(dice, body.as_bytes()));
            }
            Scenario::BrokenBody => {
                bytes.extend_from_slice(b"transfer-encoding: chunked\r\n\r\nzz\r\n");
            }
            _ => {
                bytes.extend(format!("content-length: {}\r\n\r\n{body}", body.len()).into_bytes());
            }
        }
        let head = bytes.len() - body.len().min(bytes.len());
        let stalls = match scenario {
            Scenario::SlowHead => Some(1 + dice.below(head - 1)),
            Scenario::SlowBody => Some(head + dice.below(body.len())),
            _ => None,
        };
        let reply = scenario.goes_upstream().then(|| Reply::draw(dice, scenario, mark, trusted));
        Self { scenario, bytes, stalls, body, last, reply }
    }

    /// How the client sends the first `count` bytes of it.
    fn steps(&self, dice: &mut Dice, count: usize) -> Vec<Step> {
        let sent = &self.bytes[..count.min(self.bytes.len())];
        let (before, after) = sent.split_at(self.stalls.unwrap_or(sent.len()).min(sent.len()));
        let mut steps = dice.cut(before);
        if !after.is_empty() {
            steps.push(Step::Wait(FOR_EVER));
            steps.extend(dice.cut(after));
        }
        steps
    }

    /// How long the gateway waits for what does not come, at least and at most.
    fn delay(&self) -> (Duration, Duration) {
        match (self.scenario, &self.reply) {
            (Scenario::SlowHead, _) => (HEAD_TIMEOUT, HEAD_TIMEOUT),
            // Each byte that has come buys a little time.
            (Scenario::SlowBody, _) => (BODY_GRACE, BODY_GRACE * 3),
            (_, Some(Reply { slow: Some(Slow::Hangs), .. })) => (IDLE_TIMEOUT, IDLE_TIMEOUT),
            (_, Some(Reply { slow: Some(Slow::Drips), .. })) => (IDLE_TIMEOUT, TOTAL_TIMEOUT),
            _ => (Duration::ZERO, Duration::ZERO),
        }
    }

    fn is_broken(&self) -> bool {
        self.reply.as_ref().is_some_and(|reply| reply.broken)
    }

    fn closes(&self) -> bool {
        self.last || self.scenario.refusal().is_some_and(|(_, _, closes)| closes)
    }
}

/// A chunked body, with extensions and trailers here and there.
fn in_chunks(dice: &mut Dice, body: &[u8]) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), body);
    let chunk_max = dice.pick(&[20, 200, 5_000]);
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(1 + dice.below(rest.len().min(chunk_max)));
        let extension = dice.pick(&["", "", ";a=\"b\""]);
        out.extend(format!("{:x}{extension}\r\n", chunk.len()).into_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
        rest = after;
    }
    out.extend_from_slice(dice.pick(&[&b"0\r\n\r\n"[..], b"0\r\n\r\n", b"00\r\nx-a: b\r\n\r\n"]));
    out
}

/// An event as a client sees it: name, id, data, comment.
type EventFields = (Option<String>, Option<String>, Vec<u8>, Option<Vec<u8>>);

fn fields_of(event: &SseEvent<'_>) -> EventFields {
    (
        event.name.map(str::to_owned),
        event.id.map(str::to_owned),
        event.data.to_vec(),
        event.comment.map(<[u8]>::to_vec),
    )
}

/// What a sound answer gives the client.
#[derive(Debug)]
enum Content {
    Json { status: u16, body: Vec<u8> },
    Events(Vec<EventFields>),
}

/// What a provider answers.
#[derive(Debug)]
struct Reply {
    steps: Vec<Step>,
    content: Content,
    /// It must not look complete to the client.
    broken: bool,
    /// The provider never comes to its end.
    slow: Option<Slow>,
    /// Its connection may serve again.
    keeps: bool,
    /// Bytes that no request asked for come behind it: its connection is closed, and for some time no
    /// other is kept.
    has_surplus: bool,
    /// They, or the end, come while the connection is idle or the next request is on its way: it is
    /// closed when it is looked at next, perhaps with a request on it that the provider never reads.
    ends_later: bool,
}

/// How an answer is too slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slow {
    /// Nothing more comes.
    Hangs,
    /// Each piece comes in time, the whole does not.
    Drips,
}

/// How the end of an answer is found.
impl Content {
    /// True for a stream of which nothing comes before its error.
    fn fails_at_once(&self) -> bool {
        let Self::Events(events) = self else { return false };
        let mut with_data = events.iter().map(|event| &event.2).filter(|data| !data.is_empty());
        with_data.next().is_some_and(|data| data.starts_with(b"{\"error\""))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Length,
    Chunks,
    Close,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    CutByEnd,
    CutByBreak,
    CutByHang,
    Drip,
    Garbage,
    BadChunk,
    /// Well framed, but no JSON, or a stream that does not say that it is complete.
    Content,
    SurplusAtOnce,
    SurplusLater,
    /// A whole answer to nobody, some time after the answer.
    Twice,
    /// The provider closes some time after the answer.
    EndLater,
}

impl Reply {
    /// `trusted`: nothing so far has made the gateway close each connection after one answer, which
    /// it does for a minute, so that no answer may then take long.
    fn draw(dice: &mut Dice, scenario: Scenario, mark: &str, trusted: bool) -> Self {
        use Fault::{
            BadChunk, CutByBreak, CutByEnd, CutByHang, Drip, EndLater, Garbage, SurplusAtOnce,
            SurplusLater, Twice,
        };
        let fault = match dice.percent(45) {
            false => Fault::None,
            true => dice.pick(&[
                CutByEnd,
                CutByEnd,
                CutByBreak,
                CutByHang,
                Drip,
                Garbage,
                BadChunk,
                Fault::Content,
                SurplusAtOnce,
                SurplusLater,
                Twice,
                Twice,
                EndLater,
                EndLater,
            ]),
        };
        let fault = match fault {
            CutByHang | Drip if !trusted => CutByBreak,
            fault => fault,
        };
        let mut ending = dice.pick(&[Ending::Length, Ending::Chunks, Ending::Close]);
        ending = match fault {
            BadChunk => Ending::Chunks,
            // Without framing, a partial response followed by an orderly close cannot always be
            // distinguished from a complete one; nor can surplus.
            CutByEnd | SurplusAtOnce | SurplusLater | Twice | EndLater
                if ending == Ending::Close =>
            {
                Ending::Length
            }
            _ => ending,
        };
        let is_stream = matches!(scenario, Scenario::Stream { .. }) && !dice.percent(10);
        let (content, content_type, body) = if is_stream {
            let include_usage = scenario == Scenario::Stream { include_usage: true };
            // Without framing, only a second error event distinguishes a stream that ends with an
            // error from a truncated one.
            let last = match fault {
                Fault::Content => Last::Nothing,
                // They are about a connection that is kept.
                Twice | EndLater => Last::Finish,
                _ if dice.percent(10) => Last::Error,
                _ => Last::Finish,
            };
            let (events, body) = events(dice, mark, include_usage, last);
            (Content::Events(events), "text/event-stream; charset=utf-8", body)
        } else {
            let status = if fault == Fault::Content { 200 } else { dice.pick(&[200, 200, 429]) };
            let body = json(dice, mark, fault == Fault::Content);
            (Content::Json { status, body: body.clone() }, "application/json", body)
        };
        let status = if let Content::Json { status, .. } = &content { *status } else { 200 };
        // A stream that fails at once is not read to its end.
        let closes = ending == Ending::Close
            || !matches!(fault, Twice | EndLater) && dice.percent(20)
            || content.fails_at_once();
        let is_interim = dice.percent(10);
        let mut bytes = Vec::new();
        if is_interim {
            bytes.extend_from_slice(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n");
        }
        bytes.extend(format!("HTTP/1.1 {status} X\r\ncontent-type: {content_type}\r\n").bytes());
        if closes {
            bytes.extend_from_slice(b"connection: close\r\n");
        }
        match ending {
            Ending::Length => {
                bytes.extend(format!("Content-Length: {}\r\n\r\n", body.len()).bytes());
                bytes.extend_from_slice(&body);
            }
            Ending::Chunks => {
                bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
                let head = bytes.len();
                bytes.extend(in_chunks(dice, &body));
                if fault == BadChunk {
                    spoil_a_chunk(dice, &mut bytes, head);
                }
            }
            Ending::Close => {
                bytes.extend_from_slice(b"\r\n");
                bytes.extend_from_slice(&body);
            }
        }
        let mut reply = Self::with_fault(dice, content, bytes, fault, !closes);
        if is_interim {
            // Its connection is closed at once.
            reply.keeps = false;
            reply.ends_later = false;
            reply.has_surplus = false;
        }
        reply
    }

    fn with_fault(
        dice: &mut Dice,
        content: Content,
        mut bytes: Vec<u8>,
        fault: Fault,
        keep_alive: bool,
    ) -> Self {
        let mut end = vec![];
        match fault {
            Fault::CutByEnd | Fault::CutByBreak | Fault::CutByHang => {
                // Often near the end, where what is missing is easily overlooked.
                let last_bytes = dice.pick(&[8, 40, usize::MAX]).min(bytes.len());
                bytes.truncate(bytes.len() - 1 - dice.below(last_bytes));
                end.extend(match fault {
                    Fault::CutByEnd => Some(Step::End),
                    Fault::CutByBreak => Some(Step::Break),
                    _ => None,
                });
            }
            Fault::Garbage => {
                bytes = garbage(dice);
                end.push(Step::End);
            }
            Fault::SurplusAtOnce => bytes.extend_from_slice(b"HTTP/1.1 200 OK\r\n"),
            _ => {}
        }
        let mut steps = dice.cut(&bytes);
        if fault == Fault::Drip {
            let pieces = bytes.chunks(bytes.len().div_ceil(12)).map(<[u8]>::to_vec);
            let wait = Step::Wait(IDLE_TIMEOUT - Duration::from_millis(1));
            steps = pieces.flat_map(|piece| [wait.clone(), Step::Bytes(piece)]).collect();
        }
        if fault == Fault::SurplusAtOnce {
            // Together with the last byte of the answer, so that it is seen before the pool.
            steps = vec![Step::Bytes(bytes)];
        }
        if fault == Fault::SurplusLater {
            steps.retain(|step| matches!(step, Step::Bytes(_)));
            steps.push(Step::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}".to_vec()));
        }
        if matches!(fault, Fault::Twice | Fault::EndLater) {
            steps.push(Step::Wait(Duration::from_micros(dice.pick(&[1, 500, 2_000, 50_000]))));
        }
        if fault == Fault::EndLater {
            end.push(Step::End);
        }
        if fault == Fault::Twice {
            let body = r#"{"id":"STRAY","choices":[]}"#;
            let length = body.len();
            let stray = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
            steps.extend(dice.cut(stray.as_bytes()));
        }
        if !keep_alive && end.is_empty() && fault != Fault::CutByHang {
            end.push(Step::End);
        }
        steps.extend(end);
        let later = matches!(fault, Fault::SurplusLater | Fault::Twice | Fault::EndLater);
        let surplus = matches!(fault, Fault::SurplusAtOnce | Fault::SurplusLater | Fault::Twice);
        let broken = !surplus && !later && fault != Fault::None;
        let slow = match fault {
            Fault::CutByHang => Some(Slow::Hangs),
            Fault::Drip => Some(Slow::Drips),
            _ => None,
        };
        Self {
            steps,
            content,
            broken,
            slow,
            keeps: keep_alive && !broken && !surplus && !later,
            has_surplus: surplus && keep_alive,
            ends_later: later && keep_alive,
        }
    }
}

fn json(dice: &mut Dice, mark: &str, spoiled: bool) -> Vec<u8> {
    let filler = "Antwort ü ".repeat(dice.pick(&[1, 20, 700]));
    let body = format!(
        r#"{{ "id":"{mark}","choices":[{{"message":{{"content":"{filler}"}}}}],"usage":{{"prompt_tokens":1,"completion_tokens":2}}}}"#
    );
    if spoiled { b"<html>busy</html>".to_vec() } else { body.into_bytes() }
}

/// What a stream ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    /// A finish reason, perhaps usage, perhaps the terminator.
    Finish,
    /// An error, and no terminator.
    Error,
    /// Neither: it is not complete.
    Nothing,
}

/// The events that a client must see, and the stream as the provider sends it.
fn events(
    dice: &mut Dice,
    mark: &str,
    include_usage: bool,
    last: Last,
) -> (Vec<EventFields>, Vec<u8>) {
    const USAGE: &str = r#""usage":{"prompt_tokens":3,"completion_tokens":4}"#;
    let line_end = dice.pick(&["\n", "\r\n", "\r"]);
    let (mut seen, mut sent) = (Vec::new(), String::new());
    let plain = |data: &str| (None, None, data.as_bytes().to_vec(), None);
    for number in 0..dice.below(8) {
        let data = format!(
            r#"{{"choices":[{{"delta":{{"content":"{mark} {number} \n"}},"finish_reason":null}}]}}"#
        );
        match dice.below(6) {
            0 => {
                sent += &format!(": beat {number}{line_end}{line_end}");
                seen.push((None, None, vec![], Some(format!("beat {number}").into_bytes())));
            }
            1 => {
                sent += &format!("event: e{line_end}id: {number}{line_end}data: {data}{line_end}");
                sent += &format!("data: {{}}{line_end}{line_end}");
                let two = format!("{data}\n{{}}").into_bytes();
                seen.push((Some("e".to_owned()), Some(number.to_string()), two, None));
            }
            _ => {
                sent += &format!("data:{data}{line_end}{line_end}");
                seen.push(plain(&data));
            }
        }
    }
    if last == Last::Nothing {
        return (seen, sent.into_bytes());
    }
    let mut send = |data: &str| sent += &format!("data: {data}{line_end}{line_end}");
    if last == Last::Error {
        let error = r#"{"error":{"message":"overloaded","code":529}}"#;
        send(error);
        seen.push(plain(error));
        return (seen, sent.into_bytes());
    }
    let finish = r#"{"choices":[{"delta":{},"finish_reason":"stop"}]"#;
    let usage_in_finish = dice.percent(25);
    let with_usage = format!("{finish},{USAGE}}}");
    let without = format!("{finish}}}");
    send(if usage_in_finish { &with_usage } else { &without });
    seen.push(plain(if usage_in_finish && include_usage { &with_usage } else { &without }));
    if dice.percent(60) {
        let usage = format!(r#"{{"choices":[],{USAGE}}}"#);
        send(&usage);
        seen.extend(include_usage.then(|| plain(&usage)));
    }
    if dice.percent(80) {
        send("[DONE]");
        // What follows the terminator is no part of the answer.
        if dice.percent(20) {
            send("{}");
        }
    }
    // The gateway adds the terminator where it is missing.
    seen.push(plain("[DONE]"));
    (seen, sent.into_bytes())
}

/// Makes the end of one chunk of the body behind `head`, or the size of the next, unreadable.
fn spoil_a_chunk(dice: &mut Dice, bytes: &mut [u8], head: usize) {
    let mut ends = Vec::new();
    let mut decoder = BodyDecoder::new(Framing::Chunked);
    let mut at = head;
    loop {
        let piece = decoder.next(&bytes[at..]).expect("well formed so far");
        if piece.done {
            break;
        }
        at += piece.skip + piece.len;
        ends.push(at);
    }
    // CR, LF, and the first digit.
    let place = dice.pick(&ends) + dice.below(3);
    bytes[place] = dice.pick(b"g -");
}

/// Bytes that are no answer, or an ambiguous one.
fn garbage(dice: &mut Dice) -> Vec<u8> {
    let heads: [&str; 8] = [
        "SSH-2.0-OpenSSH_9.6\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{} ",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length : 2\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nx: a\r\n folded\r\ncontent-length: 2\r\n\r\n{}",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\n\r\n",
        "HTTP/2 200\r\n\r\n{}",
    ];
    if dice.percent(60) {
        return dice.pick(&heads).as_bytes().to_vec();
    }
    let mut bytes: Vec<u8> = (0..=dice.below(200)).map(|_| dice.below(256) as u8).collect();
    // An answer begins with this letter; this is none.
    if bytes[0] == b'H' {
        bytes[0] = b'h';
    }
    bytes
}

/// Everything that one seed decides.
struct Plan {
    seed: u64,
    requests: Vec<Request>,
    client: Vec<Step>,
    /// The client reads no more after so many bytes.
    reads: Option<usize>,
    /// The client does not stop in the middle of a request.
    sends_all: bool,
    /// It sends all and waits for all.
    stays: bool,
    /// The provider's connections in the order of use, each with the requests meant for it.
    connections: Vec<(Vec<Step>, Vec<usize>)>,
}

/// What was on the tapes afterwards.
struct Played {
    client: Vec<u8>,
    /// One for each connection of the plan.
    provider: Vec<Vec<u8>>,
    open: i64,
    /// From the first byte to the last that the client was sent.
    took: Duration,
}

impl Plan {
    fn draw(seed: u64) -> Self {
        let mut dice = Dice(IdSource::from_seed(seed));
        let mut requests: Vec<Request> = Vec::new();
        for index in 0..=dice.below(4) {
            let has_surplus = |it: &Request| it.reply.as_ref().is_some_and(|it| it.has_surplus);
            let trusted = !requests.iter().any(has_surplus);
            let mut next = Request::draw(&mut dice, &format!("s{seed}r{index}"), trusted);
            if let Some(reply) = &mut next.reply {
                reply.keeps &= trusted;
            }
            requests.push(next);
        }
        let mut connections: Vec<(Vec<Step>, Vec<usize>)> = Vec::new();
        let mut kept = false;
        for (index, request) in requests.iter().enumerate() {
            let Some(reply) = &request.reply else { continue };
            match connections.last_mut().filter(|_| kept) {
                Some((steps, served)) => {
                    steps.push(Step::Request);
                    steps.extend_from_slice(&reply.steps);
                    served.push(index);
                }
                None => {
                    let steps = [&[Step::Request], &*reply.steps].concat();
                    connections.push((steps, vec![index]));
                }
            }
            kept = reply.keeps;
        }
        let mut sent: usize = requests.iter().map(|request| request.bytes.len()).sum();
        let (leaves, reads) = match dice.below(10) {
            0 | 1 => (true, None),
            2 | 3 => (false, Some(dice.below(3_000))),
            _ => (false, None),
        };
        if leaves {
            sent = dice.below(sent + 1);
        }
        let mut client = Vec::new();
        for request in &requests {
            client.extend(request.steps(&mut dice, sent));
            sent = sent.saturating_sub(request.bytes.len());
        }
        let moments = [0, 1, 5, 50, 61_000, 601_000].map(Duration::from_millis);
        client.push(Step::Wait(if leaves { dice.pick(&moments) } else { FOR_EVER }));
        client.push(if dice.percent(50) { Step::End } else { Step::Break });
        let stays = !leaves && reads.is_none();
        Self { seed, requests, client, reads, sends_all: !leaves, stays, connections }
    }

    fn play(&self, published: &Arc<PreparedSettings>) -> Played {
        let seed = self.seed;
        let simulation = Simulation::new(published, &MetricsRegistry::new(1, ENDPOINT_NAMES))
            .expect("settings without TLS");
        let tapes: Vec<Tape> = self.connections.iter().map(|_| Tape::default()).collect();
        for ((steps, _), tape) in self.connections.iter().zip(&tapes) {
            simulation.connection(Script::new(steps.iter().cloned()), tape.clone());
        }
        let tape = self.reads.map_or_else(Tape::default, Tape::cut_after);
        let client = simulation.client(Script::new(self.client.iter().cloned()), tape.clone());
        let ended = run_in_virtual_time(async {
            let begun = Instant::now();
            client.await;
            tape.last_write().map_or(Duration::ZERO, |last| last.since(begun))
        });
        let took = ended.unwrap_or_else(|stuck| panic!("seed {seed}: {stuck}"));
        let provider = tapes.iter().map(Tape::take).collect();
        Played { client: tape.take(), provider, open: simulation.upstream_connections(), took }
    }

    fn check(&self, played: &Played, seen: &mut Seen) {
        let seed = self.seed;
        let answers = read_answers(seed, &played.client);
        assert!(answers.len() <= self.requests.len(), "seed {seed}: more answers than requests");
        let last = answers.len().saturating_sub(1);
        for (index, (answer, request)) in answers.iter().zip(&self.requests).enumerate() {
            assert!(answer.whole || index == last, "seed {seed}: broken off in the middle");
            let at_end = answer.whole && answer.keeps && !request.closes();
            assert!(at_end || index == last, "seed {seed}: an answer after the last");
            assert!(!(answer.whole && request.closes() && answer.keeps), "seed {seed}: not closed");
            self.check_answer(index, answer, seen);
        }
        if self.stays {
            self.check_completeness(&answers);
            self.check_times(played, &answers, seen);
        }
        self.check_provider(played, &answers, seen);
    }

    fn check_answer(&self, index: usize, answer: &Answer, seen: &mut Seen) {
        let (seed, request) = (self.seed, &self.requests[index]);
        let place = format!("seed {seed}, request {index}, {:?}", request.scenario);
        if !self.sends_all && answer.status == 408 {
            return;
        }
        let Some(reply) = &request.reply else {
            let (status, code, _) = request.scenario.refusal().expect("the gateway's own answer");
            if answer.whole {
                assert_eq!((answer.status, answer.code().as_str()), (status, code), "{place}");
                seen.failed += 1;
            }
            return;
        };
        if reply.broken && answer.status == 502 {
            let codes = ["upstream_invalid_response", "upstream_unreachable"];
            assert!(!answer.whole || codes.contains(&answer.code().as_str()), "{place}");
            assert!(reply.slow.is_none(), "{place}: {}", answer.text());
            seen.failed += usize::from(answer.whole);
            return;
        }
        if reply.slow.is_some() && answer.status == 504 {
            assert!(!answer.whole || answer.code() == "upstream_timeout", "{place}");
            return;
        }
        if reply.content.fails_at_once() && answer.status == 529 {
            assert!(!answer.whole || answer.code() == "529", "{place}: {}", answer.text());
            seen.failed += usize::from(answer.whole);
            return;
        }
        assert!(!(reply.broken && answer.whole), "{place}: looks complete: {}", answer.text());
        seen.whole += usize::from(answer.whole);
        match &reply.content {
            Content::Json { status, body } => {
                assert_eq!(answer.status, *status, "{place}: {}", answer.text());
                assert!(!reply.broken, "{place}: half an answer was sent: {}", answer.text());
                let same = if answer.whole {
                    answer.body == *body
                } else {
                    body.starts_with(&answer.body)
                };
                assert!(same, "{place}: not the provider's answer: {}", answer.text());
            }
            Content::Events(expected) => {
                assert_eq!(answer.status, 200, "{place}");
                let mut events = answer.events();
                if answer.whole {
                    assert_eq!(&events, expected, "{place}");
                    return;
                }
                seen.broken_off += usize::from(reply.broken);
                // It says why, if somebody still reads.
                let error = events.last().is_some_and(|it| it.2.starts_with(b"{\"error\":{"));
                if error && !expected.starts_with(&events) {
                    events.pop();
                }
                assert!(expected.starts_with(&events), "{place}: {events:?} of {expected:?}");
                assert!(error || !self.stays, "{place}: broken off without a word");
            }
        }
    }

    /// A client that stays gets an answer to every request, up to one that ends the connection.
    fn check_completeness(&self, answers: &[Answer]) {
        let seed = self.seed;
        let count = answers.len();
        if let Some((last, request)) = answers.last().zip(self.requests.get(count.wrapping_sub(1)))
        {
            let expected = last.whole || request.is_broken();
            assert!(expected, "seed {seed}: broken off: {} of {request:?}", last.text());
            if !last.whole || request.closes() {
                return;
            }
        }
        let next = self.requests.get(count).map(|request| request.scenario);
        let all = self.requests.len();
        assert!(next.is_none(), "seed {seed}: no answer to request {count} of {all}: {next:?}");
    }

    /// What is too slow is cut off at its limit: neither before nor after.
    fn check_times(&self, played: &Played, answers: &[Answer], seen: &mut Seen) {
        let delays = self.requests.iter().take(answers.len()).map(Request::delay);
        let (mut least, mut most) = (Duration::ZERO, Duration::ZERO);
        for (at_least, at_most) in delays {
            least += at_least;
            most += at_most;
            seen.timed_out += usize::from(!at_least.is_zero());
        }
        // The moments that all take between their pieces come on top.
        let steps = self.connections.iter().flat_map(|(steps, _)| steps).chain(&self.client);
        most += steps
            .filter_map(|step| match step {
                Step::Wait(time) if *time < IDLE_TIMEOUT / 2 => Some(*time),
                _ => None,
            })
            .sum::<Duration>();
        let Played { took, .. } = played;
        let seed = self.seed;
        assert!((least..=most).contains(took), "seed {seed}: {least:?} <= {took:?} <= {most:?}");
    }

    /// The provider read whole requests, those that were meant for it, and nothing else; what is
    /// left open is idle and sound.
    fn check_provider(&self, played: &Played, answers: &[Answer], seen: &mut Seen) {
        let seed = self.seed;
        let (mut idle, mut unsure) = (0, 0);
        let mut ended = false;
        for ((_, served), tape) in self.connections.iter().zip(&played.provider) {
            let mut requests = read_requests(seed, tape);
            assert!(requests.is_empty() || !ended, "seed {seed}: a request was left out");
            let last = served.last().and_then(|index| self.requests[*index].reply.as_ref());
            if last.is_some_and(|it| it.ends_later) && requests.len() == served.len() + 1 {
                // It was in flight at that time, and was sent again on another connection.
                requests.pop();
                seen.overtaken += 1;
            }
            assert!(requests.len() <= served.len(), "seed {seed}: asked too often");
            ended |= requests.len() < served.len();
            for (sent, index) in requests.iter().zip(served) {
                let request = &self.requests[*index];
                let plain = matches!(request.scenario, Scenario::Stream { include_usage: false });
                let same = if plain {
                    same_but_for_usage(sent, &request.body)
                } else {
                    *sent == request.body
                };
                assert!(same, "seed {seed}, request {index}: the provider read {sent}");
            }
            let Some(last) = requests.len().checked_sub(1).map(|last| served[last]) else {
                continue;
            };
            let is_complete = answers.get(last).is_some_and(|answer| answer.whole);
            let reply = self.requests[last].reply.as_ref();
            idle += i64::from(is_complete && reply.is_some_and(|reply| reply.keeps));
            unsure += i64::from(is_complete && reply.is_some_and(|reply| reply.ends_later));
        }
        let kept = played.open;
        assert!(
            (idle..=idle + unsure).contains(&kept),
            "seed {seed}: {kept} connections left open, expected {idle} to {}",
            idle + unsure
        );
        seen.kept += usize::from(kept > 0);
    }
}

impl Played {
    fn same_tapes(&self, other: &Self) -> bool {
        without_ids(&self.client) == without_ids(&other.client) && self.provider == other.provider
    }
}

/// The bytes with the request ids, which differ in each run, struck out.
fn without_ids(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for name in [&b"x-ringgate-request-id: "[..], b"x-ringgate-trace-id: "] {
        let found: Vec<usize> =
            memchr::memmem::find_iter(&bytes, name).map(|at| at + name.len()).collect();
        for at in found {
            let end = bytes.len().min(at + 32);
            bytes[at..end].fill(b'-');
        }
    }
    bytes
}

/// One answer as the client read it.
struct Answer {
    status: u16,
    keeps: bool,
    framing: Framing,
    body: Vec<u8>,
    /// It came to its end.
    whole: bool,
}

impl Answer {
    fn code(&self) -> String {
        let json: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        json["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    fn events(&self) -> Vec<EventFields> {
        assert_eq!(self.framing, Framing::Chunked);
        let mut reader = EventReader::new(1024 * 1024);
        reader.push(&self.body);
        let mut events = Vec::new();
        while let Some(event) = reader.next().expect("no event is large") {
            events.push(fields_of(&event));
        }
        assert!(!self.whole || !reader.has_partial(), "half an event in a whole stream");
        events
    }

    fn text(&self) -> String {
        format!("{} {}", self.status, String::from_utf8_lossy(&self.body))
    }
}

/// The answers on the client's tape. Half a head at the end counts as none.
fn read_answers(seed: u64, tape: &[u8]) -> Vec<Answer> {
    let (mut answers, mut ids, mut rest) = (Vec::new(), Vec::new(), tape);
    while !rest.is_empty() {
        let mut head = ResponseHead::default();
        let parsed = head.parse(rest, Method::Post, &HeadLimits::default());
        let parsed = parsed.unwrap_or_else(|error| {
            panic!("seed {seed}: {error}: {}", String::from_utf8_lossy(rest))
        });
        let Some(taken) = parsed else { break };
        let id = head.get("x-ringgate-request-id").expect("an id on every answer").to_vec();
        assert!(!ids.contains(&id), "seed {seed}: two answers with one id");
        ids.push(id);
        let framing = head.framing();
        let framed = matches!(framing, Framing::Length(_) | Framing::Chunked);
        assert!(framed, "seed {seed}: an answer without framing");
        let (body, taken_by_body, whole) = decode(seed, framing, &rest[taken..]);
        rest = &rest[taken + taken_by_body..];
        answers.push(Answer {
            status: head.status(),
            keeps: head.keep_alive(),
            framing,
            body,
            whole,
        });
        if !whole {
            assert!(rest.is_empty());
        }
    }
    answers
}

/// The body, the bytes it took, and whether it came to its end.
fn decode(seed: u64, framing: Framing, bytes: &[u8]) -> (Vec<u8>, usize, bool) {
    let mut decoder = BodyDecoder::new(framing);
    let (mut body, mut at) = (Vec::new(), 0);
    while !decoder.is_done() {
        let piece = decoder.next(&bytes[at..]);
        let piece = piece.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        body.extend_from_slice(&bytes[at + piece.skip..at + piece.skip + piece.len]);
        at += piece.skip + piece.len;
        if piece.skip + piece.len == 0 {
            break;
        }
    }
    (body, at, decoder.is_done())
}

/// The bodies of the requests on a provider's tape, each of which must be whole and unambiguous.
fn read_requests(seed: u64, tape: &[u8]) -> Vec<String> {
    let secret = memchr::memmem::find(tape, SECRET.as_bytes());
    assert!(secret.is_none(), "seed {seed}: the client's key went to the provider");
    let (mut requests, mut rest) = (Vec::new(), tape);
    while !rest.is_empty() {
        let mut head = RequestHead::default();
        let parsed = head.parse(rest, &HeadLimits::default());
        let taken = parsed.unwrap_or_else(|error| panic!("seed {seed}: to the provider: {error}"));
        let taken = taken.unwrap_or_else(|| panic!("seed {seed}: half a head to the provider"));
        assert_eq!((head.method(), head.path()), (Method::Post, "/v1/chat/completions"));
        let framed = matches!(head.framing(), Framing::Length(_));
        assert!(framed, "seed {seed}: {:?} to the provider", head.framing());
        let (body, taken_by_body, whole) = decode(seed, head.framing(), &rest[taken..]);
        assert!(whole, "seed {seed}: half a request to the provider");
        requests.push(String::from_utf8(body).expect("the text of the client"));
        rest = &rest[taken + taken_by_body..];
    }
    requests
}

/// True if `sent` is `body` and asks for usage besides.
fn same_but_for_usage(sent: &str, body: &str) -> bool {
    let mut expected: Value = serde_json::from_str(body).expect("the client's JSON");
    expected["stream_options"] = serde_json::json!({ "include_usage": true });
    serde_json::from_str::<Value>(sent).is_ok_and(|sent| sent == expected)
}

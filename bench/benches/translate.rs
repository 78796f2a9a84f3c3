//! What a translation costs: a request of 2 KB and of 200 KB, an answer of 1 KB, and one event of a
//! stream, for every pair of dialects. Microseconds of one thread, the median of 31 rounds.
//!
//! The request is decoded from the client's bytes and encoded for the provider; the answer and the
//! events go the other way. Bytes on both sides are those of the codecs themselves.

use std::hint::black_box;
use std::time::Instant;

use ringgate::dialects::{
    Cutter, ProviderCodec, RequestPath, TargetModel, Warnings, client_codec, provider_codec,
};
use ringgate::llm::{
    Answer, ChatRequest, Choice, Chunk, Content, Delta, Dialect, Function, Json, Part, Role,
    Scanner, StopReason, Tool, ToolCall, Turn, Usage, chunks_of,
};

/// The product's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CLIENTS: [Dialect; 4] =
    [Dialect::OpenaiChat, Dialect::OpenaiResponses, Dialect::AnthropicMessages, Dialect::Gemini];

const ROUNDS: usize = 31;

/// Text deltas of the stream whose events are timed.
const DELTAS: usize = 200;

fn main() {
    // `cargo test --benches` only wants to see it start.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    println!("| client | provider | request, 2 KB | request, 200 KB | answer, 1 KB | event |");
    println!("| --- | --- | ---: | ---: | ---: | ---: |");
    for client in CLIENTS {
        for provider in Dialect::ALL.into_iter().filter(|it| *it != client) {
            let small = microseconds(|| request(client, provider, 1_400));
            let large = microseconds(|| request(client, provider, 200_000));
            println!(
                "| {} | {} | {small:.1} | {large:.0} | {:.1} | {:.2} |",
                client.name(),
                provider.name(),
                microseconds(|| answer(client, provider)),
                microseconds(|| events(client, provider)) / DELTAS as f64,
            );
        }
    }
}

/// The median time of what `prepare` makes.
fn microseconds<R: FnMut() -> usize>(prepare: impl Fn() -> R) -> f64 {
    let mut run = prepare();
    let begun = Instant::now();
    black_box(run());
    let repeats = (2_000.0 / (begun.elapsed().as_secs_f64() * 1e6).max(1.0)).clamp(1.0, 500.0);
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let begun = Instant::now();
            for _ in 0..repeats as usize {
                black_box(run());
            }
            begun.elapsed().as_secs_f64() * 1e6 / repeats.floor()
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}

const TARGET: TargetModel<'static> = TargetModel::new("model-1", true);

/// A chat with instructions, a tool and four turns, of about `bytes` bytes of words.
fn chat(bytes: usize) -> ChatRequest {
    let words = "The gateway stands between applications and providers. ";
    let text = words.repeat(bytes / words.len() / 4 + 1);
    let schema = r#"{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}"#;
    let turn = |role| Turn::new(role, vec![Part::text(text.trim_end())]);
    ChatRequest {
        model: "model-1".to_owned(),
        turns: vec![
            Turn::new(Role::System, vec![Part::text("Be brief and exact.")]),
            turn(Role::User),
            turn(Role::Assistant),
            turn(Role::User),
        ],
        tools: vec![Tool::Function(Function {
            name: "get_weather".to_owned(),
            description: Some("Tells the weather of a city".to_owned()),
            parameters: Json::parse(schema),
            ..Function::default()
        })],
        max_tokens: Some(1000),
        ..ChatRequest::default()
    }
}

fn response() -> Answer {
    let text = "Mount Everest is the tallest mountain above the level of the sea. ".repeat(9);
    let call = ToolCall {
        id: "call_1".to_owned(),
        name: "get_weather".to_owned(),
        arguments: r#"{"city":"Rome"}"#.to_owned(),
        signature: None,
    };
    let parts = vec![Part::text(&text), Part::new(Content::ToolCall(call))];
    Answer {
        id: "answer-1".to_owned(),
        model: "model-1".to_owned(),
        created: Some(1),
        choices: vec![Choice { parts, stop: StopReason::ToolCalls, logprobs: Vec::new() }],
        usage: Some(Usage { input_tokens: 500, output_tokens: 120, ..Usage::default() }),
        ..Answer::default()
    }
}

fn to_provider(dialect: Dialect) -> &'static dyn ProviderCodec {
    provider_codec(dialect).expect("a dialect with a format")
}

fn request(client: Dialect, provider: Dialect, bytes: usize) -> impl FnMut() -> usize {
    let mut body = Vec::new();
    let mut warnings = Warnings::default();
    to_provider(client)
        .write_request(&chat(bytes), &TARGET, &mut warnings, &mut body)
        .expect("sayable");
    let (mut scanner, mut out) = (Scanner::default(), Vec::new());
    let path = RequestPath { model: Some("model-1"), stream: false };
    let (client, provider) = (client_codec(client), to_provider(provider));
    move || {
        out.clear();
        let mut warnings = Warnings::default();
        let read = scanner.read(&body, |root| client.read_request(root, &path));
        let request = read.expect("JSON").expect("a request");
        provider.write_request(&request, &TARGET, &mut warnings, &mut out).expect("sayable");
        out.len()
    }
}

fn answer(client: Dialect, provider: Dialect) -> impl FnMut() -> usize {
    let (request, mut body) = (chat(100), Vec::new());
    client_codec(provider).write_answer(&response(), &request, 1, &mut body);
    let (client, provider) = (client_codec(client), to_provider(provider));
    let (mut scanner, mut out) = (Scanner::default(), Vec::new());
    move || {
        out.clear();
        let read = scanner.read(&body, |root| provider.read_answer(root));
        client.write_answer(&read.expect("JSON").expect("an answer"), &request, 1, &mut out);
        out.len()
    }
}

/// The deltas of a stream, without its beginning and end.
fn events(client: Dialect, provider: Dialect) -> impl FnMut() -> usize {
    let request = ChatRequest { stream: true, include_usage: true, ..chat(100) };
    let whole = chunks_of(&response());
    let begin: Vec<Chunk> = whole.iter().take(2).cloned().collect();
    let delta =
        Chunk::BlockDelta { choice: 0, part: 0, delta: Delta::Text(" mountain".to_owned()) };
    let (mut mock, mut script) = (client_codec(provider).stream_encoder(&request, 1), Vec::new());
    begin.iter().for_each(|chunk| mock.push(chunk, &mut script));
    (0..DELTAS).for_each(|_| mock.push(&delta, &mut script));
    let (client, provider) = (client_codec(client), to_provider(provider));
    let (mut scanner, mut chunks, mut out) = (Scanner::default(), Vec::new(), Vec::new());
    move || {
        let mut cutter = Cutter::new(provider.frame(), 1 << 20);
        let mut decoder = provider.stream_decoder();
        let mut encoder = client.stream_encoder(&request, 1);
        out.clear();
        cutter.push(&script);
        let taken = cutter.each(|name, data| {
            decoder.event(name, data, &mut scanner, &mut chunks)?;
            chunks.drain(..).for_each(|chunk| encoder.push(&chunk, &mut out));
            Ok(())
        });
        taken.expect("events");
        out.len()
    }
}

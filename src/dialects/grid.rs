//! The grid: every case of `golden/` through every pair of dialects, complete and as a stream.
//!
//! `golden/DIALECT/CASE.request.json`, `CASE.answer.json` and `CASE.stream` have the same content in
//! each dialect; `golden/README.md` lists the cases. `golden/DIALECT/translated.json` has the requests
//! translated to that dialect; after an intended change, run the tests with `RINGGATE_BLESS=1` and
//! review the diff.
//!
//! A stream in Amazon's framing is stored as text, one line per event: its type, a tab, its payload.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::codec::{Frame, ProviderCodec, RequestPath, TargetModel};
use super::warnings::Warnings;
use super::{Codec, Cutter, DIALECTS, codec, write_amazon_event, write_amazon_exception};
use crate::llm::{
    Answer, ChatRequest, Chunk, ChunkAssembler, Content, Dialect, ReasoningSettings, Scanner,
    StopReason, Usage, chunks_of,
};

/// Dialects of clients that the grid covers.
const INBOUND: [Dialect; 4] =
    [Dialect::OpenaiChat, Dialect::OpenaiResponses, Dialect::AnthropicMessages, Dialect::Gemini];

/// The creation time if a provider sends none.
const NOW: u64 = 1_795_000_000;

fn folder(dialect: Dialect) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/dialects/golden").join(dialect.name())
}

/// The files of `dialect` with that ending: name of the case, and content.
pub(super) fn cases(dialect: Dialect, ending: &str) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder(dialect)).into_iter().flatten().flatten() {
        let name = entry.file_name().into_string().expect("a name in UTF-8");
        if let Some(case) = name.strip_suffix(ending) {
            found.push((case.to_owned(), fs::read(entry.path()).expect("a golden file")));
        }
    }
    found.sort();
    found
}

fn known() -> impl Iterator<Item = (Dialect, &'static dyn Codec)> {
    DIALECTS.into_iter()
}

fn inbound() -> impl Iterator<Item = (Dialect, &'static dyn Codec)> {
    INBOUND.into_iter().filter_map(|dialect| Some((dialect, codec(dialect)?)))
}

pub(super) fn read_request(codec: &dyn Codec, body: &[u8]) -> ChatRequest {
    let path = RequestPath { model: Some("model-1"), stream: false };
    Scanner::default()
        .read(body, |root| codec.read_request(root, &path))
        .expect("JSON")
        .expect("a request")
}

pub(super) fn write_request(codec: &dyn Codec, request: &ChatRequest) -> Value {
    write_request_for(codec, request, true)
}

fn write_request_for(codec: &dyn Codec, request: &ChatRequest, is_original: bool) -> Value {
    let target = TargetModel::new(&request.model, is_original);
    let (mut warnings, mut out) = (Warnings::default(), Vec::new());
    match codec.write_request(request, &target, &mut warnings, &mut out) {
        Err(unsupported) => json!({ "refused": unsupported.to_string() }),
        Ok(()) => {
            let body: Value = serde_json::from_slice(&out).expect("JSON is written");
            let mut result = json!({ "body": body });
            if !warnings.is_empty() {
                result["warnings"] = warnings.iter().collect();
            }
            result
        }
    }
}

pub(super) fn read_answer(codec: &dyn Codec, body: &[u8]) -> Answer {
    Scanner::default().read(body, |root| codec.read_answer(root)).expect("JSON").expect("an answer")
}

/// The bytes of a stream as its provider sends them.
pub(super) fn on_the_wire(codec: &dyn Codec, stream: &[u8]) -> Vec<u8> {
    if ProviderCodec::frame(codec) == Frame::Events {
        return stream.to_vec();
    }
    let mut out = Vec::new();
    for line in std::str::from_utf8(stream).expect("UTF-8").lines() {
        let (name, payload) = line.split_once('\t').expect("a type and a payload");
        if name.ends_with("Exception") {
            write_amazon_exception(&mut out, name, payload.as_bytes());
        } else {
            write_amazon_event(&mut out, name, payload.as_bytes());
        }
    }
    out
}

/// The chunks of a provider's stream that arrives in pieces of `size` bytes.
pub(super) fn decode(codec: &dyn Codec, stream: &[u8], size: usize) -> Vec<Chunk> {
    let mut decoder = codec.stream_decoder();
    let (mut scanner, mut chunks) = (Scanner::default(), Vec::new());
    let mut cutter = Cutter::new(ProviderCodec::frame(codec), 1 << 20);
    for piece in stream.chunks(size) {
        cutter.push(piece);
        let taken = cutter.each(|name, data| decoder.event(name, data, &mut scanner, &mut chunks));
        taken.expect("events of modest size, in JSON");
    }
    decoder.finish(&mut chunks);
    chunks
}

pub(super) fn assemble(chunks: Vec<Chunk>) -> Answer {
    let mut assembler = ChunkAssembler::default();
    chunks.into_iter().for_each(|chunk| assembler.push(chunk));
    assembler.finish().expect("no error").expect("a complete stream")
}

pub(super) fn encode(codec: &dyn Codec, request: &ChatRequest, chunks: &[Chunk]) -> Vec<u8> {
    let mut encoder = codec.stream_encoder(request, NOW);
    let mut out = Vec::new();
    chunks.iter().for_each(|chunk| encoder.push(chunk, &mut out));
    out
}

pub(super) fn request_with_usage() -> ChatRequest {
    // Google's clients get reasoning on request only.
    let reasoning = ReasoningSettings { is_shown: Some(true), ..ReasoningSettings::default() };
    let reasoning = Some(reasoning);
    ChatRequest { stream: true, include_usage: true, reasoning, ..ChatRequest::default() }
}

/// The part of a response that every dialect can express, and that is therefore never lost.
#[derive(Debug)]
pub(super) struct Core {
    /// Empty if the dialect does not send it.
    model: String,
    choices: Vec<CoreChoice>,
    /// Input, output, cached.
    usage: Option<(u64, u64, u64)>,
}

impl PartialEq for Core {
    fn eq(&self, other: &Self) -> bool {
        let has_models = !self.model.is_empty() && !other.model.is_empty();
        (!has_models || self.model == other.model)
            && self.choices == other.choices
            && self.usage == other.usage
    }
}

#[derive(Debug, PartialEq)]
struct CoreChoice {
    text: String,
    reasoning: String,
    signatures: Vec<String>,
    /// Id, name, arguments.
    calls: Vec<(String, String, Value)>,
    refusal: String,
    stop: StopReason,
}

pub(super) fn core(answer: &Answer) -> Core {
    let usage = |usage: Usage| (usage.input_tokens, usage.output_tokens, usage.cached_tokens);
    Core {
        model: answer.model.clone(),
        choices: answer.choices.iter().map(core_choice).collect(),
        usage: answer.usage.map(usage),
    }
}

fn core_choice(choice: &crate::llm::Choice) -> CoreChoice {
    let mut core = CoreChoice {
        text: String::new(),
        reasoning: String::new(),
        signatures: Vec::new(),
        calls: Vec::new(),
        refusal: String::new(),
        stop: match &choice.stop {
            // Only some dialects distinguish a refusal from a filter, or report the stop sequence.
            StopReason::StopSequence(_) | StopReason::Pause => StopReason::Stop,
            StopReason::Refusal => StopReason::ContentFilter,
            other => other.clone(),
        },
    };
    for part in &choice.parts {
        match &part.content {
            Content::Text(text) => core.text.push_str(&text.text),
            Content::Refusal(text) => core.refusal.push_str(text),
            Content::Reasoning(reasoning) => {
                core.reasoning.push_str(&reasoning.text);
                let signed = reasoning.signature.iter().chain(&reasoning.sealed);
                core.signatures.extend(signed.map(|it| it.text.clone()));
            }
            Content::ToolCall(call) => {
                let arguments = if call.arguments.is_empty() { "{}" } else { &call.arguments };
                let arguments = serde_json::from_str(arguments).expect("arguments are JSON");
                core.calls.push((call.id.clone(), call.name.clone(), arguments));
                core.signatures.extend(call.signature.iter().map(|it| it.text.clone()));
            }
            _ => {}
        }
    }
    if !core.refusal.is_empty() {
        // Some dialects report a refusal by the stop reason, some by the place of its text.
        core.stop = StopReason::ContentFilter;
    }
    core
}

#[test]
fn requests_round_trip_in_their_dialect() {
    for (dialect, codec) in inbound() {
        let cases = cases(dialect, ".request.json");
        assert!(cases.len() >= 8, "{}: {} requests", dialect.name(), cases.len());
        for (case, body) in cases {
            let request = read_request(codec, &body);
            // What the vendor itself does not support is for imitators.
            let mut written = write_request(codec, &request);
            if written.get("warnings").is_some() {
                written = write_request_for(codec, &request, false);
            }
            let body_again = written["body"].to_string();
            assert_ne!(body_again, "null", "{} {case}: {written}", dialect.name());
            let again = read_request(codec, body_again.as_bytes());
            assert_eq!(again, request, "{} {case}", dialect.name());
        }
    }
}

#[test]
fn translated_requests_match_golden_files() {
    let bless = std::env::var_os("RINGGATE_BLESS").is_some();
    for (to, codec) in known() {
        let mut translated = BTreeMap::new();
        for (from, reader) in inbound().filter(|(from, _)| *from != to) {
            for (case, body) in cases(from, ".request.json") {
                let request = read_request(reader, &body);
                translated
                    .insert(format!("{case} from {}", from.name()), write_request(codec, &request));
            }
        }
        let found = serde_json::to_string_pretty(&translated).expect("JSON") + "\n";
        let path = folder(to).join("translated.json");
        if bless {
            fs::write(&path, &found).expect("a file in the tree");
        }
        let expected: BTreeMap<String, Value> = fs::read(&path)
            .map(|text| serde_json::from_slice(&text).expect("JSON"))
            .unwrap_or_default();
        for (case, found) in &translated {
            assert_eq!(Some(found), expected.get(case), "{case} to {}", to.name());
        }
        assert_eq!(translated.len(), expected.len(), "{}: cases that are no more", to.name());
    }
}

#[test]
fn stream_equals_response_for_any_split() {
    for (dialect, codec) in known() {
        let streams = cases(dialect, ".stream");
        assert!(streams.len() >= 4, "{}: {} streams", dialect.name(), streams.len());
        let answers: BTreeMap<String, Vec<u8>> =
            cases(dialect, ".answer.json").into_iter().collect();
        for (case, text) in streams {
            let stream = on_the_wire(codec, &text);
            let whole = decode(codec, &stream, stream.len());
            let answer = read_answer(codec, &answers[&case]);
            assert_eq!(assemble(whole.clone()), answer, "{} {case}", dialect.name());
            for size in [1, 2, 3, 7, 64] {
                assert_eq!(
                    decode(codec, &stream, size),
                    whole,
                    "{} {case} by {size}",
                    dialect.name()
                );
            }
            if ProviderCodec::frame(codec) == Frame::Events {
                let text = String::from_utf8(text).expect("UTF-8");
                let crlf = text.replace('\n', "\r\n").into_bytes();
                assert_eq!(decode(codec, &crlf, 5), whole, "{} {case} with CRLF", dialect.name());
            }
            let cut = decode(codec, &stream[..stream.len() / 2], 11);
            assert!(
                !cut.contains(&Chunk::Done),
                "{} {case}: half a stream is whole",
                dialect.name()
            );
        }
    }
}

#[test]
fn responses_translate_losslessly_between_pairs() {
    let mut pairs = 0;
    for (from, provider) in known() {
        for (case, body) in cases(from, ".answer.json") {
            let answer = read_answer(provider, &body);
            for (to, client) in inbound() {
                let name = format!("{case} from {} to {}", from.name(), to.name());
                let mut out = Vec::new();
                client.write_answer(&answer, &request_with_usage(), NOW, &mut out);
                assert_eq!(core(&read_answer(client, &out)), core(&answer), "{name}");
                let stream = encode(client, &request_with_usage(), &chunks_of(&answer));
                for size in [1, stream.len()] {
                    let assembled = assemble(decode(client, &stream, size));
                    assert_eq!(core(&assembled), core(&answer), "{name}, streamed");
                }
                pairs += 1;
            }
        }
    }
    assert!(pairs >= 6 * 4 * 7, "{pairs} pairs");
}

#[test]
fn streams_translate_losslessly_between_pairs() {
    for (from, provider) in known() {
        for (case, text) in cases(from, ".stream") {
            let body = on_the_wire(provider, &text);
            let chunks = decode(provider, &body, body.len());
            let answer = assemble(chunks.clone());
            for (to, client) in inbound() {
                let stream = encode(client, &request_with_usage(), &chunks);
                let assembled = assemble(decode(client, &stream, 13));
                let name = format!("{case} from {} to {}", from.name(), to.name());
                assert_eq!(core(&assembled), core(&answer), "{name}");
                // A client must be able to distinguish a truncated stream from a complete one.
                let cut: Vec<Chunk> = chunks
                    .iter()
                    .filter(|chunk| !matches!(chunk, Chunk::Done | Chunk::Finish { .. }))
                    .cloned()
                    .collect();
                let stream = encode(client, &request_with_usage(), &cut);
                assert!(!decode(client, &stream, 13).contains(&Chunk::Done), "{name}, cut");
            }
        }
    }
}

#[test]
fn errors_translate_to_every_dialect() {
    for (from, provider) in known() {
        let errors = cases(from, ".error.json");
        assert!(errors.len() >= 4, "{}: {} errors", from.name(), errors.len());
        for (status, body) in errors {
            let status: u16 = status.parse().expect("the name is the status");
            let read = |body: &[u8], codec: &dyn Codec| {
                Scanner::default()
                    .read(body, |root| codec.read_error(status, Some(root)))
                    .expect("JSON")
            };
            let error = read(&body, provider);
            assert_eq!(error.status, status);
            assert!(!error.message.is_empty() && !error.message.contains("status"), "{error:?}");
            for (to, client) in inbound() {
                let mut out = Vec::new();
                client.write_error(&error, &mut out);
                let written = read(&out, client);
                assert_eq!(written.message, error.message, "{} to {}", from.name(), to.name());
                assert!(!written.kind.is_empty(), "{} to {}: no kind", from.name(), to.name());
            }
        }
    }
}

//! Requests of clients, and the completions made of responses in every dialect.

use serde_json::{Value, json};

use super::{completions_encoder, read_completions_request, write_completions_answer};
use crate::dialects::Codec;
use crate::dialects::{DIALECTS, openai_chat};
use crate::http::EventReader;
use crate::llm::{
    Answer, ApiError, ChatRequest, Choice, Chunk, ChunkAssembler, Dialect, Role, Scanner,
    StopReason, TokenLogprob, chunks_of,
};

/// The creation time if a provider sends none.
const NOW: u64 = 1_795_000_000;

fn golden(name: &str) -> Option<Vec<u8>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/dialects/golden/");
    std::fs::read(format!("{folder}{name}")).ok()
}

fn read(body: &Value) -> Result<ChatRequest, String> {
    let body = body.to_string();
    let read = Scanner::default().read(body.as_bytes(), read_completions_request).expect("JSON");
    read.map_err(|error| error.to_string())
}

fn write(answer: &Answer) -> Value {
    let mut out = Vec::new();
    write_completions_answer(answer, NOW, &mut out);
    serde_json::from_slice(&out).expect("JSON")
}

fn encode(chunks: &[Chunk]) -> String {
    let request = ChatRequest { include_usage: true, ..ChatRequest::default() };
    let mut encoder = completions_encoder(&request, NOW);
    let mut out = Vec::new();
    chunks.iter().for_each(|chunk| encoder.push(chunk, &mut out));
    String::from_utf8(out).expect("UTF-8")
}

/// The response that a client assembles from a stream.
fn folded(stream: &str) -> Option<Value> {
    let (mut whole, mut is_complete) = (Value::Null, false);
    for data in stream.lines().filter_map(|line| line.strip_prefix("data: ")) {
        if data == "[DONE]" {
            is_complete = true;
            continue;
        }
        let event: Value = serde_json::from_str(data).expect("JSON");
        if whole.is_null() {
            whole = event;
            continue;
        }
        if let Some(usage) = event.get("usage") {
            whole["usage"] = usage.clone();
        }
        for piece in event["choices"].as_array().expect("choices") {
            let choice = &mut whole["choices"][0];
            assert_eq!(piece["index"], choice["index"], "one choice");
            let text = format!("{}{}", choice["text"].as_str()?, piece["text"].as_str()?);
            choice["text"] = text.into();
            choice["finish_reason"] = piece["finish_reason"].clone();
        }
    }
    is_complete.then_some(whole)
}

fn read_answer(codec: &dyn Codec, body: &[u8]) -> Option<Answer> {
    Scanner::default().read(body, |root| codec.read_answer(root)).expect("JSON")
}

fn decode(codec: &dyn Codec, stream: &[u8]) -> Vec<Chunk> {
    let mut decoder = codec.stream_decoder();
    let (mut scanner, mut chunks) = (Scanner::default(), Vec::new());
    let mut reader = EventReader::new(1 << 20);
    reader.push(stream);
    while let Some(event) = reader.next().expect("events of modest size") {
        decoder.event(event.name, event.data, &mut scanner, &mut chunks).expect("JSON");
    }
    decoder.finish(&mut chunks);
    chunks
}

#[test]
fn chat_responses_match_golden_files() {
    for case in ["text", "length", "refusal", "thinking", "cached-usage"] {
        let of = |ending: &str| golden(&format!("openai-chat/{case}{ending}")).expect("a case");
        let expected = golden(&format!("completions/{case}.answer.json")).expect("a case");
        let expected: Value = serde_json::from_slice(&expected).expect("JSON");
        let answer = read_answer(&openai_chat::OpenaiChat, &of(".answer.json"));
        assert_eq!(write(&answer.expect("an answer")), expected, "{case}");
        let stream = golden(&format!("completions/{case}.stream")).expect("a case");
        let found = encode(&decode(&openai_chat::OpenaiChat, &of(".stream")));
        assert_eq!(found.as_bytes(), stream, "{case}: {found}");
        assert_eq!(folded(&found), Some(expected), "{case}, folded");
    }
}

#[test]
fn responses_agree_whole_and_streamed() {
    for (dialect, codec) in DIALECTS {
        let mut cases = 0;
        for case in ["text", "length", "thinking", "cached-usage"] {
            let name = format!("{}/{case}", dialect.name());
            let Some(body) = golden(&format!("{name}.answer.json")) else { continue };
            let answer = read_answer(codec, &body).expect("an answer");
            let whole = write(&answer);
            assert_eq!(whole["object"], "text_completion", "{name}");
            assert_ne!(whole["choices"][0]["text"], "", "{name}");
            assert_eq!(folded(&encode(&chunks_of(&answer))), Some(whole), "{name}");
            cases += 1;
        }
        assert_eq!(cases, 4, "{}", dialect.name());
    }
}

#[test]
fn prompt_becomes_a_user_turn() {
    for (case, prompt) in
        [("text", "Which mountain is the tallest?"), ("settings", "Pick a number.")]
    {
        let body = golden(&format!("completions/{case}.request.json")).expect("a case");
        let request = read(&serde_json::from_slice(&body).expect("JSON")).expect("a request");
        assert_eq!(request.model, "model-1");
        assert_eq!(request.turns.len(), 1);
        assert_eq!(request.turns[0].role, Role::User);
        assert_eq!(request.turns[0].parts[0].as_text(), Some(prompt));
        assert_eq!(request.extra_fields, []);
    }
    let body = golden("completions/settings.request.json").expect("a case");
    let request = read(&serde_json::from_slice(&body).expect("JSON")).expect("a request");
    assert_eq!((request.n, request.max_tokens, request.top_logprobs), (Some(2), Some(10), Some(2)));
    assert_eq!((request.stream, request.include_usage), (true, true));
    assert_eq!(request.stop, ["END"]);
    assert_eq!((request.sampling.seed, request.sampling.top_p), (Some(7), Some(0.9)));
    assert_eq!(request.user.as_deref(), Some("user-1"));
    let own = read(&json!({"prompt": "x", "ignore_eos": true, "stop": "S"})).expect("a request");
    assert_eq!((own.max_tokens, own.stop), (Some(16), vec!["S".to_owned()]));
    assert_eq!(own.extra_fields[0].0, "ignore_eos");
    assert_eq!(own.extra_fields[0].1.dialect, Dialect::OpenaiChat);
}

#[test]
fn completions_only_features_are_rejected() {
    for (extra, expected) in [
        (json!({"prompt": ["a", "b"]}), "several prompts cannot be sent"),
        (json!({"prompt": [1, 2]}), "a prompt of token ids cannot be sent"),
        (json!({"prompt": [[1, 2]]}), "a prompt of token ids cannot be sent"),
        (json!({"prompt": "a", "suffix": "b"}), "a suffix cannot be sent"),
        (json!({"prompt": "a", "echo": true}), "an echo of the prompt cannot be sent"),
        (json!({"prompt": "a", "best_of": 3, "n": 2}), "the best of several answers cannot be"),
        (json!({}), "expected `prompt` to be a string"),
        (json!({"prompt": null}), "expected `prompt` to be a string"),
        (json!({"prompt": []}), "expected `prompt` to be a string"),
        (json!({"prompt": {}}), "expected `prompt` to be a string"),
        (json!({"prompt": [true]}), "expected `prompt[0]` to be a string"),
        (json!({"prompt": "a", "echo": 1}), "expected `echo` to be true or false"),
        (json!({"prompt": "a", "stop": [1]}), "expected `stop[0]` to be a string"),
    ] {
        let found = read(&extra).expect_err("a refusal");
        assert!(found.starts_with(expected), "{extra}: {found}");
    }
    for extra in [
        json!({"prompt": "a", "suffix": "", "echo": false, "best_of": 1}),
        json!({"prompt": "a", "suffix": null, "echo": null, "best_of": null}),
        json!({"prompt": "a", "best_of": 2, "n": 2}),
    ] {
        assert!(read(&extra).is_ok(), "{extra}");
    }
}

#[test]
fn token_offsets_are_counted() {
    let token = |text: &str| TokenLogprob {
        token: text.to_owned(),
        logprob: -0.5,
        top: vec![(text.to_owned(), -0.5), ("x".to_owned(), -1.5)],
    };
    let logprobs = vec![token("é"), token(" ab"), token("!")];
    let choice = Choice { logprobs: logprobs.clone(), ..Choice::default() };
    let whole = write(&Answer { choices: vec![choice], ..Answer::default() });
    assert_eq!(
        whole["choices"][0]["logprobs"],
        json!({
            "tokens": ["é", " ab", "!"],
            "token_logprobs": [-0.5, -0.5, -0.5],
            "top_logprobs": [{"é": -0.5, "x": -1.5}, {" ab": -0.5, "x": -1.5}, {"!": -0.5, "x": -1.5}],
            "text_offset": [0, 1, 4],
        })
    );
    let (first, rest) = logprobs.split_at(1);
    let pieces = [first, rest].map(|tokens| Chunk::Logprobs { choice: 1, tokens: tokens.to_vec() });
    let stream = encode(&pieces);
    assert!(stream.contains(r#""text_offset":[0]"#), "{stream}");
    assert!(stream.contains(r#""text_offset":[1,4]"#), "{stream}");
}

#[test]
fn failed_streams_are_encoded() {
    let answer = Answer { choices: vec![Choice::default()], ..Answer::default() };
    let mut chunks = chunks_of(&answer);
    chunks.retain(|chunk| !matches!(chunk, Chunk::Done | Chunk::Finish { .. }));
    chunks.push(Chunk::Ping);
    let cut = encode(&chunks);
    assert!(cut.ends_with(": ping\n\n") && !cut.contains("finish_reason"), "{cut}");
    let error = ApiError {
        status: 529,
        message: "overloaded".to_owned(),
        kind: String::new(),
        code: None,
        param: None,
    };
    chunks.push(Chunk::Error(error));
    let failed = encode(&chunks);
    assert!(failed.contains(r#"data: {"error":{"message":"overloaded""#), "{failed}");
    assert!(!failed.contains("[DONE]"), "{failed}");
    assert_eq!(folded(&failed.replace("\"error\"", "\"choices\":[],\"error\"")), None);
    let mut assembler = ChunkAssembler::default();
    chunks.into_iter().for_each(|chunk| assembler.push(chunk));
    assert!(assembler.finish().is_err());
}

#[test]
fn stop_reasons_are_translated() {
    for (stop, expected) in [
        (StopReason::Stop, "stop"),
        (StopReason::StopSequence("x".to_owned()), "stop"),
        (StopReason::Length, "length"),
        (StopReason::ToolCalls, "stop"),
        (StopReason::ContentFilter, "content_filter"),
        (StopReason::Refusal, "content_filter"),
    ] {
        let choice = Choice { stop, ..Choice::default() };
        let answer = Answer { choices: vec![choice], ..Answer::default() };
        let whole = write(&answer);
        assert_eq!(whole["choices"][0]["finish_reason"], expected);
        assert_eq!(whole["created"], NOW);
        assert_eq!(folded(&encode(&chunks_of(&answer))), Some(whole));
    }
}

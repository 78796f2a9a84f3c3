//! Extensions of OpenAI's imitators in responses, complete and streamed, for every client and back.

use serde_json::{Value, json};

use super::OpenaiChat;
use crate::dialects::Codec;
use crate::dialects::codec::{ProviderCodec, RequestPath, TargetModel};
use crate::dialects::grid::request_with_usage;
use crate::dialects::warnings::Warnings;
use crate::llm::{
    Answer, ChatRequest, Choice, Chunk, ChunkAssembler, Content, Dialect, Image, Media, Part,
    Reasoning, Role, Scanner, Signature, StopReason, chunks_of,
};

fn client(dialect: Dialect) -> &'static dyn Codec {
    crate::dialects::codec(dialect).expect("a dialect")
}

fn read(message: &Value) -> Vec<Part> {
    let body = json!({ "id": "a", "model": "m",
        "choices": [{ "index": 0, "message": message, "finish_reason": "stop" }] });
    let read = Scanner::default().read(body.to_string().as_bytes(), super::answer::read);
    read.expect("JSON").expect("an answer").choices.remove(0).parts
}

/// The parts of a stream with these deltas.
fn streamed(deltas: &[Value]) -> Vec<Part> {
    let mut decoder = OpenaiChat.stream_decoder();
    let (mut scanner, mut chunks) = (Scanner::default(), Vec::new());
    let mut events: Vec<Value> =
        deltas.iter().map(|delta| json!({ "choices": [{ "index": 0, "delta": delta }] })).collect();
    events.push(json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop" }] }));
    for event in events {
        decoder.event(None, event.to_string().as_bytes(), &mut scanner, &mut chunks).expect("JSON");
    }
    decoder.finish(&mut chunks);
    assemble(chunks)
}

fn assemble(chunks: Vec<Chunk>) -> Vec<Part> {
    let mut assembler = ChunkAssembler::default();
    chunks.into_iter().for_each(|chunk| assembler.push(chunk));
    let answer = assembler.finish().expect("no error").expect("a whole stream");
    answer.choices.into_iter().next().expect("a choice").parts
}

fn answer(parts: Vec<Part>) -> Answer {
    let choice = Choice { parts, stop: StopReason::Stop, logprobs: Vec::new() };
    Answer { id: "a".to_owned(), choices: vec![choice], ..Answer::default() }
}

/// The complete response for a client.
fn whole(dialect: Dialect, parts: &[Part]) -> Value {
    let mut out = Vec::new();
    let answer = answer(parts.to_vec());
    client(dialect).write_answer(&answer, &request_with_usage(), 5, &mut out);
    serde_json::from_slice(&out).expect("JSON")
}

/// The events for a client.
fn events(dialect: Dialect, parts: &[Part]) -> Vec<Value> {
    let mut encoder = client(dialect).stream_encoder(&request_with_usage(), 5);
    let mut out = Vec::new();
    for chunk in chunks_of(&answer(parts.to_vec())) {
        encoder.push(&chunk, &mut out);
    }
    let text = String::from_utf8(out).expect("UTF-8");
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.filter_map(|data| serde_json::from_str(data).ok()).collect()
}

/// The turns of a client's history.
fn history(dialect: Dialect, body: &Value) -> Vec<Part> {
    let path = RequestPath { model: Some("m"), stream: false };
    let text = body.to_string();
    let request = Scanner::default()
        .read(text.as_bytes(), |root| client(dialect).read_request(root, &path))
        .expect("JSON")
        .expect("a request");
    let assistant = request.turns.into_iter().filter(|turn| turn.role == Role::Assistant);
    assistant.flat_map(|turn| turn.parts).collect()
}

fn image_part() -> Part {
    let media = Media::base64("image/png", "AAAA");
    Part::new(Content::Image(Image { media, detail: None }))
}

#[test]
fn reasoning_in_content_lists_is_decoded() {
    let reasoning_part =
        |text: &str| json!({ "type": "thinking", "thinking": [{ "type": "text", "text": text }] });
    let text_part = |text: &str| json!({ "type": "text", "text": text });
    let expected = [
        Part::new(Content::Reasoning(Reasoning {
            text: "two and two".to_owned(),
            ..Reasoning::default()
        })),
        Part::text("4"),
    ];
    let message = json!({ "content": [reasoning_part("two and two"), text_part("4")] });
    assert_eq!(read(&message), expected);
    let plain =
        json!({ "content": [{ "type": "thinking", "thinking": "two and two" }, text_part("4")] });
    assert_eq!(read(&plain), expected);
    let deltas = [
        json!({ "content": [reasoning_part("two ")] }),
        json!({ "content": [reasoning_part("and two")] }),
        json!({ "content": "4" }),
    ];
    assert_eq!(streamed(&deltas), expected);
    let together = [json!({ "content": [reasoning_part("two and two"), text_part("4")] })];
    assert_eq!(streamed(&together), expected);
    // Clients of Mistral send it back like this.
    let message = json!({ "role": "assistant", "content": message["content"] });
    let body = json!({ "model": "m", "messages": [message] });
    assert_eq!(history(Dialect::OpenaiChat, &body), expected);
}

#[test]
fn images_round_trip_through_every_client() {
    let image =
        json!({ "type": "image_url", "image_url": { "url": "data:image/png;base64,AAAA" } });
    let parts = [Part::text("Here."), image_part()];
    assert_eq!(read(&json!({ "content": "Here.", "images": [image] })), parts);
    assert_eq!(read(&json!({ "content": [{ "type": "text", "text": "Here." }, image] })), parts);
    let deltas = [json!({ "content": "Here." }), json!({ "content": "", "images": [image] })];
    assert_eq!(streamed(&deltas), parts);

    let chat = whole(Dialect::OpenaiChat, &parts);
    let message = &chat["choices"][0]["message"];
    assert_eq!(message["content"], "Here.");
    assert_eq!(message["images"][0]["image_url"]["url"], "data:image/png;base64,AAAA");
    let events_sent = events(Dialect::OpenaiChat, &parts);
    let images: Vec<&Value> =
        events_sent.iter().map(|event| &event["choices"][0]["delta"]["images"][0]).collect();
    let url = "data:image/png;base64,AAAA";
    assert_eq!(images.iter().filter(|it| it["image_url"]["url"] == url).count(), 1);
    let body = json!({ "model": "m", "messages": [message] });
    assert_eq!(history(Dialect::OpenaiChat, &body), parts);

    let link = "![image](data:image/png;base64,AAAA)";
    let claude = whole(Dialect::AnthropicMessages, &parts);
    assert_eq!(claude["content"][1], json!({ "type": "text", "text": link }));
    let events_sent = events(Dialect::AnthropicMessages, &parts);
    assert!(events_sent.iter().any(|event| event["delta"]["text"] == link), "{events_sent:?}");
    let assistant = json!({ "role": "assistant", "content": claude["content"] });
    let body = json!({ "model": "m", "max_tokens": 9, "messages": [assistant] });
    assert_eq!(history(Dialect::AnthropicMessages, &body), parts);

    let responses = whole(Dialect::OpenaiResponses, &parts);
    assert_eq!(responses["output"][1]["type"], "image_generation_call");
    let google = whole(Dialect::Gemini, &parts);
    assert_eq!(google["candidates"][0]["content"]["parts"][1]["inlineData"]["data"], "AAAA");
}

#[test]
fn audio_reaches_every_client() {
    let audio = json!({ "id": "audio_1", "data": "AAAA", "transcript": "Hi", "expires_at": 1 });
    let sound = |kind: &str| Part::new(Content::Audio(Media::base64(kind, "AAAA")));
    let parts = [Part::text("Hi"), sound("audio/wav")];
    assert_eq!(read(&json!({ "content": null, "audio": audio })), parts);
    let deltas = [
        json!({ "audio": { "id": "audio_1", "transcript": "H" } }),
        json!({ "audio": { "data": "AA==" } }),
        json!({ "audio": { "transcript": "i", "data": "AAA=" } }),
        json!({ "audio": { "expires_at": 1 } }),
    ];
    assert_eq!(streamed(&deltas), [Part::text("Hi"), sound("audio/pcm")]);

    let chat = whole(Dialect::OpenaiChat, &parts);
    let message = &chat["choices"][0]["message"];
    assert_eq!((&message["content"], &message["audio"]["data"]), (&json!("Hi"), &json!("AAAA")));
    for member in ["id", "transcript"] {
        assert!(message["audio"][member].is_string(), "{message}");
    }
    assert!(message["audio"]["expires_at"].is_u64(), "{message}");
    let events_sent = events(Dialect::OpenaiChat, &parts);
    assert!(events_sent.iter().any(|it| it["choices"][0]["delta"]["audio"]["data"] == "AAAA"));
    // The gateway's id is not stored anywhere; the text stays.
    let body = json!({ "model": "m", "messages": [message] });
    assert_eq!(history(Dialect::OpenaiChat, &body), [Part::text("Hi")]);

    let link = "[audio](data:audio/wav;base64,AAAA)";
    assert_eq!(whole(Dialect::AnthropicMessages, &parts)["content"][1]["text"], link);
    let responses = whole(Dialect::OpenaiResponses, &parts);
    assert_eq!(responses["output"][0]["content"][1]["text"], link);
    let events_sent = events(Dialect::OpenaiResponses, &parts);
    assert_eq!(events_sent.last().expect("an end")["response"]["output"], responses["output"]);
}

/// OpenRouter's details from three vendors.
fn details() -> Value {
    json!([
        { "type": "reasoning.text", "text": "first", "signature": "S1", "format": "anthropic-claude-v1", "index": 0 },
        { "type": "reasoning.summary", "summary": "short", "format": "openai-responses-v1", "index": 1 },
        { "type": "reasoning.encrypted", "data": "E1", "id": "rs_1", "format": "openai-responses-v1", "index": 2 }])
}

/// The details that must be sent back.
fn proofs(details: &Value) -> Vec<Value> {
    let details = details.as_array().cloned().unwrap_or_default();
    let keep = |detail: &Value| {
        json!([detail["signature"], detail["data"], detail["id"], detail["format"]])
    };
    let is_signed = |it: &&Value| it["signature"].is_string() || it["data"].is_string();
    details.iter().filter(is_signed).map(keep).collect()
}

/// The assistant message of a request to an imitator of OpenAI.
fn sent(parts: Vec<Part>) -> Value {
    let turns = vec![crate::llm::Turn::new(Role::Assistant, parts)];
    let request = ChatRequest { turns, ..ChatRequest::default() };
    let (mut warnings, mut out) = (Warnings::default(), Vec::new());
    let target = TargetModel::new("m", false);
    OpenaiChat.write_request(&request, &target, &mut warnings, &mut out).expect("sayable");
    let body: Value = serde_json::from_slice(&out).expect("JSON");
    body["messages"][0].clone()
}

#[test]
fn reasoning_details_round_trip_through_every_client() {
    let message = json!({ "content": "Hi", "reasoning": "first", "reasoning_details": details() });
    let parts = read(&message);
    assert_eq!(parts.len(), 4, "{parts:?}");
    let pieces = [
        json!({ "reasoning": "fir", "reasoning_details": [{ "type": "reasoning.text", "text": "fir", "index": 0 }] }),
        json!({ "reasoning": "st", "reasoning_details": [{ "type": "reasoning.text", "text": "st", "index": 0 }] }),
        json!({ "reasoning_details": [{ "type": "reasoning.text", "signature": "S1", "format": "anthropic-claude-v1", "index": 0 }] }),
        json!({ "reasoning": "short", "reasoning_details": [details()[1]] }),
        json!({ "reasoning_details": [details()[2]] }),
        json!({ "content": "Hi" }),
    ];
    assert_eq!(streamed(&pieces), parts);
    assert_eq!(proofs(&sent(parts.clone())["reasoning_details"]), proofs(&details()));

    let chat = whole(Dialect::OpenaiChat, &parts)["choices"][0]["message"].clone();
    assert_eq!(proofs(&chat["reasoning_details"]), proofs(&details()));
    // Some clients keep one form, some the other.
    for member in ["reasoning_details", "thinking_blocks"] {
        let mut kept = chat.clone();
        kept.as_object_mut().expect("an object").remove(member);
        let back = history(Dialect::OpenaiChat, &json!({ "model": "m", "messages": [kept] }));
        assert_eq!(proofs(&sent(back)["reasoning_details"]), proofs(&details()), "{member}");
    }
    let claude = whole(Dialect::AnthropicMessages, &parts);
    let assistant = json!({ "role": "assistant", "content": claude["content"] });
    let body = json!({ "model": "m", "max_tokens": 9, "messages": [assistant] });
    let back = history(Dialect::AnthropicMessages, &body);
    assert_eq!(proofs(&sent(back)["reasoning_details"]), proofs(&details()));
    let google = whole(Dialect::Gemini, &parts);
    let body = json!({ "contents": [google["candidates"][0]["content"]] });
    let back = history(Dialect::Gemini, &body);
    assert_eq!(proofs(&sent(back)["reasoning_details"]), proofs(&details()));
    let responses = whole(Dialect::OpenaiResponses, &parts);
    let body = json!({ "model": "m", "input": responses["output"] });
    let back = history(Dialect::OpenaiResponses, &body);
    assert_eq!(proofs(&sent(back)["reasoning_details"]), proofs(&details()));
}

#[test]
fn reasoning_details_carry_foreign_signatures() {
    let of = |dialect, text: &str| Some(Signature { dialect, text: text.to_owned() });
    let parts = vec![
        Part::new(Content::Reasoning(Reasoning {
            text: "hm".to_owned(),
            signature: of(Dialect::AnthropicMessages, "S"),
            ..Reasoning::default()
        })),
        Part::new(Content::Reasoning(Reasoning {
            sealed: of(Dialect::AnthropicMessages, "E"),
            ..Reasoning::default()
        })),
        Part::text("Hi"),
    ];
    let events_sent = events(Dialect::OpenaiChat, &parts);
    // A client that assembles a stream joins text and signature.
    let details: Vec<Value> = events_sent
        .iter()
        .filter_map(|event| event["choices"][0]["delta"]["reasoning_details"].as_array())
        .flatten()
        .cloned()
        .collect();
    let message = json!({ "role": "assistant", "content": "Hi", "reasoning_content": "hm",
        "reasoning_details": details });
    let back = history(Dialect::OpenaiChat, &json!({ "model": "m", "messages": [message] }));
    assert_eq!(back, parts);
}

//! The built-in provider: its response depends on the request only, so that a first call works
//! without keys and tests have a deterministic provider.
//!
//! Returns complete HTTP/1.1 responses, head and body, which the gateway reads as if from a socket.
//! The same request in the same second gets the same bytes. Absent: sampling, tools, `n`, token
//! limits; such members are accepted and ignored.

use serde_json::{Value, json};

use crate::llm::estimate_tokens;

/// The one listed model. Any other name is accepted too, and returned in the response.
const MODEL: &str = "echo";

/// Most text events in a stream; the last one carries the remaining words.
const TEXT_EVENTS_MAX: usize = 512;

/// Most prompts in one completions request.
const PROMPTS_MAX: usize = 128;

/// Default length of an embedding.
const DIMENSIONS_DEFAULT: usize = 64;

/// Longest embedding.
const DIMENSIONS_MAX: usize = 4096;

/// Most numbers in one embeddings response: 2^20 are about 20 MB of JSON.
const NUMBERS_MAX: usize = 1 << 20;

/// Returns a complete HTTP/1.1 response. `path` is the part after `/v1`, with or without a query;
/// `now_unix` is in seconds.
#[must_use]
pub fn answer(method: &str, path: &str, body: &[u8], now_unix: u64) -> Vec<u8> {
    let path = path.split('?').next().unwrap_or(path);
    if method == "HEAD" {
        let mut head = answer("GET", path, body, now_unix);
        let end = memchr::memmem::find(&head, b"\r\n\r\n").map_or(head.len(), |at| at + 4);
        head.truncate(end);
        return head;
    }
    match (method, path) {
        ("GET", "/models") => ok(&json!({"object": "list", "data": [model()]})),
        ("GET", _) if path.strip_prefix("/models/") == Some(MODEL) => ok(&model()),
        ("POST", "/chat/completions" | "/completions" | "/embeddings") => {
            let answer = post(path, body, now_unix);
            answer.unwrap_or_else(|message| error("400 Bad Request", &message, Value::Null))
        }
        _ => error("404 Not Found", "echo has no such endpoint or model", "not_found".into()),
    }
}

fn model() -> Value {
    json!({"id": MODEL, "object": "model", "created": 0, "owned_by": "ringgate"})
}

/// Handles a request with a body; an error is the message of a 400.
fn post(path: &str, body: &[u8], now_unix: u64) -> Result<Vec<u8>, String> {
    let request: Value =
        serde_json::from_slice(body).map_err(|error| format!("expected a json body: {error}"))?;
    if !request.is_object() {
        return Err("expected the body to be a json object".to_owned());
    }
    let reply = Reply {
        hash: hash(body),
        now_unix,
        model: member(&request, "model").as_str().unwrap_or(MODEL),
        stream: member(&request, "stream") == true,
        include_usage: member(member(&request, "stream_options"), "include_usage") == true,
    };
    match path {
        "/chat/completions" => reply.chat(member(&request, "messages")),
        "/completions" => reply.completions(member(&request, "prompt")),
        _ => reply.embeddings(&request),
    }
}

/// Shared by all responses to one request.
struct Reply<'a> {
    hash: u64,
    now_unix: u64,
    model: &'a str,
    stream: bool,
    include_usage: bool,
}

impl Reply<'_> {
    /// Repeats the last user message.
    fn chat(&self, messages: &Value) -> Result<Vec<u8>, String> {
        let messages = messages.as_array().filter(|messages| !messages.is_empty());
        let messages =
            messages.ok_or("expected `messages` to be an array with at least one message")?;
        let last = messages.iter().rev().find(|message| member(message, "role") == "user");
        let text = last.map(content_text).unwrap_or_default();
        let prompt_bytes = messages.iter().map(|message| content_text(message).len()).sum();
        let usage = usage(prompt_bytes, text.len());
        if !self.stream {
            let message = json!({"role": "assistant", "content": text, "refusal": null});
            let choices = json!([choice(0, "message", message, "stop".into())]);
            return Ok(ok(&self.body("chat.completion", choices, usage)));
        }
        let delta = |delta: Value, reason: Value| choice(0, "delta", delta, reason);
        let first = delta(json!({"role": "assistant", "content": ""}), Value::Null);
        let words =
            pieces(&text).into_iter().map(|piece| delta(json!({"content": piece}), Value::Null));
        let choices = [first].into_iter().chain(words).chain([delta(json!({}), "stop".into())]);
        Ok(self.events("chat.completion.chunk", choices, usage))
    }

    /// Repeats each prompt as one choice.
    fn completions(&self, prompt: &Value) -> Result<Vec<u8>, String> {
        let prompts: Option<Vec<&str>> = match prompt {
            Value::String(text) => Some(vec![text.as_str()]),
            Value::Array(items) if (1..=PROMPTS_MAX).contains(&items.len()) => {
                items.iter().map(Value::as_str).collect()
            }
            _ => None,
        };
        let prompts = prompts.ok_or_else(|| {
            format!("expected `prompt` to be a string or an array of 1 to {PROMPTS_MAX} strings")
        })?;
        let bytes = prompts.iter().map(|text| text.len()).sum();
        let usage = usage(bytes, bytes);
        let text = |index, text: &str, reason| choice(index, "text", text.into(), reason);
        let prompts = prompts.into_iter().enumerate();
        if !self.stream {
            let choices = prompts.map(|(index, prompt)| text(index, prompt, "stop".into()));
            return Ok(ok(&self.body("text_completion", choices.collect(), usage)));
        }
        let choices = prompts.flat_map(|(index, prompt)| {
            let words =
                pieces(prompt).into_iter().map(move |piece| text(index, piece, Value::Null));
            words.chain([text(index, "", "stop".into())])
        });
        Ok(self.events("text_completion", choices, usage))
    }

    /// Returns a unit vector for each input that depends on its text only.
    fn embeddings(&self, request: &Value) -> Result<Vec<u8>, String> {
        let inputs = inputs(member(request, "input"))
            .ok_or("expected `input` to be a string, tokens, or an array of either")?;
        let dimensions = match member(request, "dimensions") {
            Value::Null => Some(DIMENSIONS_DEFAULT),
            given => given.as_u64().and_then(|count| usize::try_from(count).ok()),
        };
        let dimensions = dimensions
            .filter(|count| (1..=DIMENSIONS_MAX).contains(count))
            .ok_or_else(|| format!("expected `dimensions` to be from 1 to {DIMENSIONS_MAX}"))?;
        if inputs.len().saturating_mul(dimensions) > NUMBERS_MAX {
            return Err(format!("expected at most {NUMBERS_MAX} numbers in all, found more"));
        }
        let base64_wanted = match member(request, "encoding_format").as_str() {
            None | Some("float") => false,
            Some("base64") => true,
            _ => return Err("expected `encoding_format` to be float or base64".to_owned()),
        };
        let data: Value = (0..)
            .zip(&inputs)
            .map(|(index, input): (usize, _)| {
                let numbers = unit_vector(hash(input.text.as_bytes()), dimensions);
                let embedding: Value =
                    if base64_wanted { base64(&numbers).into() } else { numbers.into() };
                json!({"object": "embedding", "index": index, "embedding": embedding})
            })
            .collect();
        let tokens = inputs.iter().map(|input| input.tokens).fold(0, u64::saturating_add);
        let usage = json!({"prompt_tokens": tokens, "total_tokens": tokens});
        Ok(ok(&json!({"object": "list", "data": data, "model": self.model, "usage": usage})))
    }

    fn body(&self, object: &str, choices: Value, usage: Value) -> Value {
        let prefix = if object == "text_completion" { "cmpl" } else { "chatcmpl" };
        json!({
            "id": format!("{prefix}-{:016x}", self.hash),
            "object": object,
            "created": self.now_unix,
            "model": self.model,
            "choices": choices,
            "usage": usage,
        })
    }

    /// A stream with one event per choice, then the usage if it was requested.
    fn events(&self, object: &str, choices: impl Iterator<Item = Value>, usage: Value) -> Vec<u8> {
        let mut bytes = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
            cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n"
            .to_vec();
        for choice in choices {
            event(&self.body(object, json!([choice]), Value::Null).to_string(), &mut bytes);
        }
        if self.include_usage {
            event(&self.body(object, json!([]), usage).to_string(), &mut bytes);
        }
        event("[DONE]", &mut bytes);
        bytes.extend_from_slice(b"0\r\n\r\n");
        bytes
    }
}

/// One choice, with its content in `field`.
fn choice(index: usize, field: &str, content: Value, reason: Value) -> Value {
    json!({"index": index, (field): content, "logprobs": null, "finish_reason": reason})
}

/// Appends one event as one chunk of the chunked transfer coding.
fn event(data: &str, bytes: &mut Vec<u8>) {
    let text = format!("data: {data}\n\n");
    bytes.extend_from_slice(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes());
}

/// The member `key`, null if there is none.
fn member<'a>(value: &'a Value, key: &str) -> &'a Value {
    value.get(key).unwrap_or(&Value::Null)
}

/// The text of a message: its content, or its text parts joined by line feeds.
fn content_text(message: &Value) -> String {
    match member(message, "content") {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts = parts.iter().filter_map(|part| member(part, "text").as_str());
            texts.collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    }
}

/// The words of `text` with their trailing spaces; concatenated they give the text again.
fn pieces(text: &str) -> Vec<&str> {
    text.splitn(TEXT_EVENTS_MAX, ' ')
        .scan(0, |start, word| {
            // Each piece keeps its space, which `splitn` drops.
            let end = (*start + word.len() + 1).min(text.len());
            let piece = text.get(*start..end);
            *start = end;
            piece
        })
        .filter(|piece| !piece.is_empty())
        .collect()
}

fn usage(prompt_bytes: usize, completion_bytes: usize) -> Value {
    let (prompt, completion) = (estimate_tokens(prompt_bytes), estimate_tokens(completion_bytes));
    let total = prompt.saturating_add(completion);
    json!({"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total})
}

/// One text to embed; an array of tokens is embedded as its JSON text.
struct Input {
    text: String,
    tokens: u64,
}

/// The inputs of a request, in any of the four formats.
fn inputs(input: &Value) -> Option<Vec<Input>> {
    let one = |item: &Value| match item {
        Value::String(text) => {
            Some(Input { text: text.clone(), tokens: estimate_tokens(text.len()) })
        }
        Value::Array(tokens) if !tokens.is_empty() && tokens.iter().all(Value::is_u64) => {
            Some(Input { text: item.to_string(), tokens: u64::try_from(tokens.len()).ok()? })
        }
        _ => None,
    };
    match input {
        Value::Array(items) if items.first().is_some_and(|item| !item.is_u64()) => {
            items.iter().map(one).collect()
        }
        _ => Some(vec![one(input)?]),
    }
}

/// FNV-1a, 64 bits: stable across builds.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// `dimensions` numbers drawn from `seed` by SplitMix64, scaled to length 1.
fn unit_vector(seed: u64, dimensions: usize) -> Vec<f64> {
    let mut state = seed;
    let numbers: Vec<f64> = std::iter::repeat_with(|| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        // The upper 53 bits as a number in -1..1; the half step avoids zero.
        (((mixed ^ (mixed >> 31)) >> 11) as f64 + 0.5) / (1_u64 << 52) as f64 - 1.0
    })
    .take(dimensions)
    .collect();
    let length = numbers.iter().map(|number| number * number).sum::<f64>().sqrt();
    numbers.iter().map(|number| number / length).collect()
}

/// Base64 (RFC 4648, padded) of the numbers as little-endian f32, which OpenAI's clients request.
#[expect(clippy::cast_possible_truncation, reason = "f32 is what the format holds")]
fn base64(numbers: &[f64]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| (*number as f32).to_le_bytes()).collect();
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let word = [16, 8, 0]
            .iter()
            .zip(group)
            .fold(0_usize, |word, (shift, byte)| word | usize::from(*byte) << shift);
        for (place, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let symbol =
                if place > group.len() { Some(&b'=') } else { ALPHABET.get(word >> shift & 63) };
            text.push(char::from(*symbol.unwrap_or(&b'=')));
        }
    }
    text
}

fn ok(body: &Value) -> Vec<u8> {
    json_response("200 OK", body)
}

/// An error in OpenAI's format.
fn error(status: &str, message: &str, code: Value) -> Vec<u8> {
    let kind = "invalid_request_error";
    let error = json!({"message": message, "type": kind, "param": null, "code": code});
    json_response(status, &json!({ "error": error }))
}

fn json_response(status: &str, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    let fields = format!("content-type: application/json\r\ncontent-length: {}", body.len());
    format!("HTTP/1.1 {status}\r\n{fields}\r\n\r\n{body}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Status and body of a response that must be complete.
    fn parsed(bytes: &[u8]) -> (u16, Value) {
        let text = std::str::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
        (head[9..12].parse().unwrap(), serde_json::from_str(body).unwrap())
    }

    /// The data of each event of a complete stream that ends with `[DONE]`.
    fn stream(bytes: &[u8]) -> Vec<Value> {
        let text = std::str::from_utf8(bytes).unwrap();
        let (head, mut rest) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream"), "{head}");
        let mut events = Vec::new();
        loop {
            let (size, behind) = rest.split_once("\r\n").unwrap();
            let size = usize::from_str_radix(size, 16).unwrap();
            if size == 0 {
                assert_eq!((behind, events.pop()), ("\r\n", Some("[DONE]")));
                return events
                    .into_iter()
                    .map(|data| serde_json::from_str(data).unwrap())
                    .collect();
            }
            let data = behind[..size].strip_prefix("data: ").unwrap().strip_suffix("\n\n").unwrap();
            events.push(data);
            rest = behind[size..].strip_prefix("\r\n").unwrap();
        }
    }

    fn call(path: &str, body: &Value) -> Vec<u8> {
        answer("POST", path, body.to_string().as_bytes(), 1_700_000_000)
    }

    #[test]
    fn chat_repeats_the_last_user_message() {
        let parts = json!([{"type": "text", "text": "a"}, {"type": "image_url"}, {"type": "text", "text": "b"}]);
        for (content, expected) in
            [(json!("héllo wörld"), "héllo wörld"), (parts, "a\nb"), (Value::Null, "")]
        {
            let body = json!({"model": "m\"1", "messages": [
                {"role": "user", "content": "first"},
                {"role": "user", "content": content},
                {"role": "assistant", "content": "later"},
            ]});
            let (status, found) = parsed(&call("/chat/completions", &body));
            assert_eq!((status, &found), (200, &parsed(&call("/chat/completions", &body)).1));
            assert_eq!(found["choices"][0]["message"]["content"], expected);
            assert_eq!(found["choices"][0]["finish_reason"], "stop");
            assert_eq!(
                (&found["model"], &found["created"]),
                (&json!("m\"1"), &json!(1_700_000_000))
            );
            assert!(found["id"].as_str().unwrap().starts_with("chatcmpl-"));
            let prompt = estimate_tokens("first".len() + expected.len() + "later".len());
            assert_eq!(found["usage"]["prompt_tokens"], prompt);
            assert_eq!(found["usage"]["completion_tokens"], estimate_tokens(expected.len()));
        }
    }

    #[test]
    fn chat_streams_one_word_per_event() {
        let body = json!({"stream": true, "stream_options": {"include_usage": true},
            "messages": [{"role": "user", "content": "one  two\nthree "}]});
        let events = stream(&call("/chat/completions", &body));
        assert_eq!(events[0]["choices"][0]["delta"]["role"], "assistant");
        let contents: Vec<&str> = events
            .iter()
            .filter_map(|event| event["choices"][0]["delta"]["content"].as_str())
            .collect();
        assert_eq!(contents, ["", "one ", " ", "two\nthree "]);
        assert_eq!(events[events.len() - 2]["choices"][0]["finish_reason"], "stop");
        let last = &events[events.len() - 1];
        assert_eq!(last["choices"], json!([]));
        assert_eq!(last["usage"]["completion_tokens"], 4);
    }

    #[test]
    fn stream_is_bounded_and_usage_is_optional() {
        let text = "w ".repeat(10 * TEXT_EVENTS_MAX);
        let body = json!({"stream": true, "messages": [{"role": "user", "content": text}]});
        let events = stream(&call("/chat/completions", &body));
        assert_eq!(events.len(), TEXT_EVENTS_MAX + 2);
        assert!(events.iter().all(|event| event["usage"].is_null()));
        assert_eq!(pieces(&text).concat(), text);
    }

    #[test]
    fn completions_repeat_the_prompt() {
        let (status, found) = parsed(&call("/completions", &json!({"prompt": ["a b", "c"]})));
        assert_eq!(status, 200);
        assert_eq!(found["object"], "text_completion");
        assert_eq!(found["choices"][0]["text"], "a b");
        assert_eq!(found["choices"][1]["text"], "c");
        let events = stream(&call("/completions", &json!({"prompt": "a b", "stream": true})));
        let texts = events.iter().filter_map(|event| event["choices"][0]["text"].as_str());
        assert_eq!(texts.collect::<Vec<_>>(), ["a ", "b", ""]);
    }

    #[test]
    fn embeddings_are_unit_vectors_of_the_input() {
        for (input, count, tokens) in [
            (json!("text"), 1, 1),
            (json!(["text", "other text"]), 2, 4),
            (json!([1, 2, 3]), 1, 3),
            (json!([[1, 2], [3]]), 2, 3),
        ] {
            let (status, found) =
                parsed(&call("/embeddings", &json!({"input": input, "dimensions": 7})));
            assert_eq!(status, 200);
            let data = found["data"].as_array().unwrap();
            assert_eq!((data.len(), &found["usage"]["total_tokens"]), (count, &json!(tokens)));
            for item in data {
                let vector = item["embedding"].as_array().unwrap().iter();
                let squares: Vec<f64> = vector.map(|it| it.as_f64().unwrap().powi(2)).collect();
                assert_eq!(squares.len(), 7);
                assert!((squares.iter().sum::<f64>() - 1.0).abs() < 1e-6);
            }
        }
        let (_, found) = parsed(&call("/embeddings", &json!({"input": ["a", "a", "b"]})));
        assert_eq!(found["data"][0]["embedding"], found["data"][1]["embedding"]);
        assert_ne!(found["data"][0]["embedding"], found["data"][2]["embedding"]);
    }

    #[test]
    fn embeddings_in_base64() {
        assert_eq!(base64(&[1.0]), "AACAPw==");
        assert_eq!(base64(&[1.0, -2.5]), "AACAPwAAIMA=");
        assert_eq!(base64(&[0.1, 0.2, 0.3]), "zczMPc3MTD6amZk+");
        let request = json!({"input": "a", "dimensions": 4, "encoding_format": "base64"});
        let (_, found) = parsed(&call("/embeddings", &request));
        assert_eq!(found["data"][0]["embedding"], base64(&unit_vector(hash(b"a"), 4)));
    }

    #[test]
    fn echo_lists_its_models() {
        for (path, status) in [
            ("/models?limit=1", 200),
            ("/models/echo", 200),
            ("/models/gpt-4o", 404),
            ("/models/", 404),
            ("/chat/completions", 404),
        ] {
            assert_eq!(parsed(&answer("GET", path, b"", 0)).0, status, "{path}");
        }
        assert_eq!(parsed(&answer("GET", "/models", b"", 0)).1["data"][0]["id"], "echo");
        let head = answer("HEAD", "/models", b"", 0);
        assert!(head.starts_with(b"HTTP/1.1 200") && head.ends_with(b"\r\n\r\n"));
    }

    #[test]
    fn invalid_requests_are_rejected() {
        for (path, body, expected) in [
            ("/images", "{}", 404),
            ("/models", "{}", 404),
            ("/chat/completions", "{", 400),
            ("/chat/completions", "[]", 400),
            ("/chat/completions", r#"{"messages":[]}"#, 400),
            ("/completions", r#"{"prompt":[1,2]}"#, 400),
            ("/completions", r#"{"prompt":[]}"#, 400),
            ("/embeddings", r#"{"input":[]}"#, 400),
            ("/embeddings", r#"{"input":["a",1]}"#, 400),
            ("/embeddings", r#"{"input":[[]]}"#, 400),
            ("/embeddings", r#"{"input":"a","dimensions":0}"#, 400),
            ("/embeddings", r#"{"input":"a","dimensions":4097}"#, 400),
            ("/embeddings", r#"{"input":"a","dimensions":"8"}"#, 400),
            ("/embeddings", r#"{"input":"a","encoding_format":"hex"}"#, 400),
        ] {
            let (status, found) = parsed(&answer("POST", path, body.as_bytes(), 0));
            assert_eq!(status, expected, "{path} {body}");
            assert!(found["error"]["message"].is_string());
        }
    }
}

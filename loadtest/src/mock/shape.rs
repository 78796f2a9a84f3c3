//! JSON bodies and stream events in OpenAI's shapes (platform.openai.com/docs/api-reference, 2026-11).
//!
//! Numbers that change from request to request stand in a field of fixed width, padded with blanks in front (JSON
//! allows them), so that a prebuilt body is patched and its length never changes.

use serde_json::json;

/// Digits of a patched number.
const NUMBER_WIDTH: usize = 10;
const ID: &str = "mock-000000000001";
const CREATED: u64 = 1_700_000_000;
/// The text that every token stands for.
const TOKEN: &str = "token ";

/// Which endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `/v1/chat/completions`
    Chat,
    /// `/v1/completions`
    Text,
    /// `/v1/embeddings`, one vector for each input
    Embeddings { inputs: usize, dimensions: usize },
}

/// Where the token counts stand in some bytes.
#[derive(Clone, Copy, Debug)]
pub struct UsageFields {
    prompt_at: usize,
    total_at: usize,
    completion_tokens: u64,
}

impl UsageFields {
    fn find(bytes: &[u8], completion_tokens: u64) -> Self {
        let after = |name: &[u8]| {
            memchr::memmem::rfind(bytes, name).expect("every usage object has the member")
                + name.len()
        };
        Self {
            prompt_at: after(b"\"prompt_tokens\":"),
            total_at: after(b"\"total_tokens\":"),
            completion_tokens,
        }
    }

    /// The same fields in bytes that begin `by` later.
    pub fn shifted(self, by: usize) -> Self {
        Self { prompt_at: self.prompt_at + by, total_at: self.total_at + by, ..self }
    }

    /// Writes the counts of one request.
    pub fn patch(&self, bytes: &mut [u8], prompt_tokens: u64) {
        write_number(&mut bytes[self.prompt_at..], prompt_tokens);
        write_number(&mut bytes[self.total_at..], prompt_tokens + self.completion_tokens);
    }
}

fn write_number(field: &mut [u8], mut number: u64) {
    for digit in field[..NUMBER_WIDTH].iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
}

fn usage(completion_tokens: u64) -> String {
    let blank = format!("{:>NUMBER_WIDTH$}", 0);
    format!(
        r#"{{"prompt_tokens":{blank},"completion_tokens":{completion_tokens},"total_tokens":{blank}}}"#
    )
}

/// A whole JSON answer of any shape; `bytes` is its size, if it can be that small.
pub fn answer(
    shape: Shape,
    model: &str,
    tokens: u32,
    bytes: Option<usize>,
) -> (Vec<u8>, UsageFields) {
    let (body, completion_tokens) = match shape {
        Shape::Embeddings { inputs, dimensions } => {
            let body = embeddings(model, inputs, dimensions);
            let missing = bytes.unwrap_or(0).saturating_sub(body.len());
            // Blanks are allowed between any two tokens of JSON.
            (body.replacen('{', &format!("{{{}", " ".repeat(missing)), 1), 0)
        }
        _ => (text(shape, model, tokens, bytes), tokens.into()),
    };
    let body = body.into_bytes();
    let fields = UsageFields::find(&body, completion_tokens);
    (body, fields)
}

/// An answer with text, padded or cut in its text to `bytes`, as far as its fixed members allow.
fn text(shape: Shape, model: &str, tokens: u32, bytes: Option<usize>) -> String {
    let wrap = |text: &str| {
        let (object, choice) = match shape {
            Shape::Chat => (
                "chat.completion",
                format!(r#""message":{{"role":"assistant","content":"{text}","refusal":null}}"#),
            ),
            _ => ("text_completion", format!(r#""text":"{text}""#)),
        };
        format!(
            r#"{{"id":"{ID}","object":"{object}","created":{CREATED},"model":"{model}","choices":[{{"index":0,{choice},"logprobs":null,"finish_reason":"stop"}}],"usage":{}}}"#,
            usage(tokens.into()),
        )
    };
    match bytes {
        None => wrap(&TOKEN.repeat(tokens as usize)),
        Some(bytes) => wrap(&text_of(bytes.saturating_sub(wrap("").len()))),
    }
}

/// Exactly so many bytes of text.
fn text_of(bytes: usize) -> String {
    let mut text = TOKEN.repeat(bytes / TOKEN.len() + 1);
    text.truncate(bytes);
    text
}

/// The events of a stream; each ends with its blank line.
pub struct Events {
    pub first: Vec<u8>,
    pub token: Vec<u8>,
    pub finish: Vec<u8>,
    pub usage: Vec<u8>,
    pub usage_fields: UsageFields,
}

/// What ends every good stream.
pub const DONE: &[u8] = b"data: [DONE]\n\n";

/// Builds the events of a stream; content events are padded to `event_bytes` as far as their fixed members allow.
pub fn events(shape: Shape, model: &str, tokens: u32, event_bytes: Option<usize>) -> Events {
    let object = match shape {
        Shape::Chat => "chat.completion.chunk",
        _ => "text_completion",
    };
    let event = |choices: &str, usage: &str| {
        format!(
            "data: {{\"id\":\"{ID}\",\"object\":\"{object}\",\"created\":{CREATED},\"model\":\"{model}\",\"choices\":[{choices}]{usage}}}\n\n"
        )
    };
    let choice = |delta: &str, finish: &str| {
        event(&format!(r#"{{"index":0,{delta},"logprobs":null,"finish_reason":{finish}}}"#), "")
    };
    let content = |role: &str| {
        let wrap = |text: &str| match shape {
            Shape::Chat => choice(&format!(r#""delta":{{{role}"content":"{text}"}}"#), "null"),
            _ => choice(&format!(r#""text":"{text}""#), "null"),
        };
        match event_bytes {
            None => wrap(TOKEN),
            Some(bytes) => wrap(&text_of(bytes.saturating_sub(wrap("").len()))),
        }
    };
    let last = match shape {
        Shape::Chat => choice(r#""delta":{}"#, "\"stop\""),
        _ => choice(r#""text":"""#, "\"stop\""),
    };
    let usage = event("", &format!(",\"usage\":{}", usage(tokens.into()))).into_bytes();
    Events {
        first: content(r#""role":"assistant","#).into_bytes(),
        token: content("").into_bytes(),
        finish: last.into_bytes(),
        usage_fields: UsageFields::find(&usage, tokens.into()),
        usage,
    }
}

/// An answer of `/v1/embeddings`: deterministic numbers, no unit vectors.
fn embeddings(model: &str, count: usize, dimensions: usize) -> String {
    let data: Vec<_> = (0..count)
        .map(|index| {
            let number = |at: usize| ((at * 31 + index * 17) % 200) as f64 / 1000.0 - 0.1;
            let vector: Vec<f64> = (0..dimensions).map(number).collect();
            json!({"object": "embedding", "index": index, "embedding": vector})
        })
        .collect();
    format!(r#"{{"object":"list","data":{},"model":"{model}","usage":{}}}"#, json!(data), usage(0))
}

/// One entry of the model list, or an answer of `/v1/models/{id}`.
pub fn model(id: &str) -> serde_json::Value {
    json!({"id": id, "object": "model", "created": CREATED, "owned_by": "mock"})
}

/// An answer of `/v1/models`.
pub fn models() -> Vec<u8> {
    let known = ["gpt-4o", "gpt-4o-mini", "text-embedding-3-small", "mock"].map(model);
    json!({"object": "list", "data": known}).to_string().into_bytes()
}

/// An error in OpenAI's shape.
pub fn error(kind: &str, code: &str, message: &str) -> Vec<u8> {
    json!({"error": {"message": message, "type": kind, "param": null, "code": code}})
        .to_string()
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn answers_are_valid_and_of_the_requested_size() {
        for shape in [Shape::Chat, Shape::Text, Shape::Embeddings { inputs: 2, dimensions: 3 }] {
            let completion = if matches!(shape, Shape::Embeddings { .. }) { 0 } else { 16 };
            for bytes in [None, Some(400), Some(1024), Some(100_000)] {
                let (mut body, fields) = answer(shape, "gpt-4o-mini", 16, bytes);
                fields.patch(&mut body, 150);
                let value: Value = serde_json::from_slice(&body).unwrap();
                assert_eq!(value["model"], "gpt-4o-mini");
                let usage = &value["usage"];
                assert_eq!(
                    (&usage["prompt_tokens"], &usage["completion_tokens"], &usage["total_tokens"]),
                    (&json!(150), &json!(completion), &json!(150 + completion))
                );
                if let Some(bytes) = bytes {
                    assert_eq!(body.len(), bytes, "{shape:?}");
                }
            }
        }
    }

    #[test]
    fn size_below_minimum_gives_minimum() {
        let (body, _) = answer(Shape::Chat, "m", 1, Some(5));
        let value: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(value["choices"][0]["message"]["content"], "");
    }

    #[test]
    fn events_are_valid_and_of_the_requested_size() {
        for shape in [Shape::Chat, Shape::Text] {
            let mut made = events(shape, "m", 4, Some(300));
            assert_eq!((made.first.len(), made.token.len()), (300, 300));
            made.usage_fields.patch(&mut made.usage, 7);
            for event in [&made.first, &made.token, &made.finish, &made.usage] {
                let json = event.strip_prefix(b"data: ").unwrap().strip_suffix(b"\n\n").unwrap();
                let value: Value = serde_json::from_slice(json).unwrap();
                assert!(value["choices"].is_array());
                if event == &made.usage {
                    assert_eq!(value["choices"], json!([]));
                    assert_eq!(value["usage"]["total_tokens"], 11);
                }
            }
        }
    }
}

//! Heads, bodies and event streams as OpenAI's Python client and its servers send them.
//!
//! Sizes are bytes of the whole body.

/// The virtual key that the requests carry and the settings know.
pub const KEY_SECRET: &str = "rg-0123456789abcdef0123456789abcdef0123456789abcdef";

/// Head of a chat request, with the fields of OpenAI's Python client; `body_bytes` follow.
#[must_use]
pub fn request_head(body_bytes: usize) -> Vec<u8> {
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\n\
         Host: gateway.internal:8080\r\n\
         Accept-Encoding: gzip, deflate, zstd\r\n\
         Connection: keep-alive\r\n\
         Accept: application/json\r\n\
         Content-Type: application/json\r\n\
         User-Agent: OpenAI/Python 1.109.1\r\n\
         X-Stainless-Lang: python\r\n\
         X-Stainless-Package-Version: 1.109.1\r\n\
         X-Stainless-OS: Linux\r\n\
         X-Stainless-Arch: x64\r\n\
         X-Stainless-Runtime: CPython\r\n\
         X-Stainless-Runtime-Version: 3.12.3\r\n\
         Authorization: Bearer {KEY_SECRET}\r\n\
         X-Stainless-Async: false\r\n\
         x-stainless-retry-count: 0\r\n\
         x-stainless-read-timeout: 600\r\n\
         Content-Length: {body_bytes}\r\n\r\n"
    )
    .into_bytes()
}

/// What becomes of a provider's connection after its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionReuse {
    /// It serves again.
    KeepAlive,
    /// It is closed.
    Close,
}

/// Head of an answer with the fields of OpenAI's servers; `framing` is its last field line.
#[must_use]
pub fn response_head(content_type: &str, framing: &str, reuse: ConnectionReuse) -> Vec<u8> {
    let connection = match reuse {
        ConnectionReuse::KeepAlive => "keep-alive",
        ConnectionReuse::Close => "close",
    };
    format!(
        "HTTP/1.1 200 OK\r\n\
         Date: Sat, 21 Nov 2026 06:00:00 GMT\r\n\
         Content-Type: {content_type}\r\n\
         Connection: {connection}\r\n\
         openai-organization: ringgate\r\n\
         openai-processing-ms: 412\r\n\
         openai-version: 2020-10-01\r\n\
         x-ratelimit-limit-requests: 10000\r\n\
         x-ratelimit-limit-tokens: 2000000\r\n\
         x-ratelimit-remaining-requests: 9999\r\n\
         x-ratelimit-remaining-tokens: 1999980\r\n\
         x-ratelimit-reset-requests: 6ms\r\n\
         x-ratelimit-reset-tokens: 0s\r\n\
         x-request-id: req_0123456789abcdef0123456789abcdef\r\n\
         strict-transport-security: max-age=31536000; includeSubDomains; preload\r\n\
         cf-cache-status: DYNAMIC\r\n\
         X-Content-Type-Options: nosniff\r\n\
         Server: cloudflare\r\n\
         {framing}\r\n\r\n"
    )
    .into_bytes()
}

/// A chat of short turns, at least `body_bytes` long and less than one turn longer.
#[must_use]
pub fn chat_request(body_bytes: usize, stream: bool) -> Vec<u8> {
    const TURN: &str = r#"{"role":"user","content":"Explain in two sentences why the sky is \"blue\",\nand name the effect – for a child of ten."}"#;
    let mut body = format!(
        r#"{{"model":"gpt-4o","temperature":0.7,"max_tokens":256,"stream":{stream},"user":"u-17","messages":[{{"role":"system","content":"You are a careful assistant."}}"#
    );
    while body.len() + 2 < body_bytes {
        body.push(',');
        body.push_str(TURN);
    }
    body.push_str("]}");
    body.into_bytes()
}

/// A whole answer of 1 KB with usage.
#[must_use]
pub fn chat_answer(reuse: ConnectionReuse) -> Vec<u8> {
    let text = "Sunlight scatters off the air, and blue light scatters most. ".repeat(9);
    let body = format!(
        r#"{{"id":"chatcmpl-0123456789","object":"chat.completion","created":1795240800,"model":"gpt-4o-2024-08-06","choices":[{{"index":0,"message":{{"role":"assistant","content":"{text}","refusal":null}},"logprobs":null,"finish_reason":"stop"}}],"usage":{{"prompt_tokens":31,"completion_tokens":118,"total_tokens":149,"prompt_tokens_details":{{"cached_tokens":0,"audio_tokens":0}},"completion_tokens_details":{{"reasoning_tokens":0,"audio_tokens":0}}}},"service_tier":"default","system_fingerprint":"fp_0123456789"}}"#
    );
    let framing = format!("Content-Length: {}", body.len());
    let mut answer = response_head("application/json", &framing, reuse);
    answer.extend_from_slice(body.as_bytes());
    answer
}

/// One event of a chat stream, about 240 bytes.
fn event(number: usize) -> Vec<u8> {
    format!(
        "data: {{\"id\":\"chatcmpl-0123456789\",\"object\":\"chat.completion.chunk\",\
         \"created\":1795240800,\"model\":\"gpt-4o-2024-08-06\",\"system_fingerprint\":\
         \"fp_0123456789\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\" word{number}\"}},\
         \"logprobs\":null,\"finish_reason\":null}}],\"usage\":null}}\n\n"
    )
    .into_bytes()
}

/// So many events as one read brings them when a provider has fallen behind and catches up.
#[must_use]
pub fn burst(events: usize) -> Vec<u8> {
    (0..events).flat_map(event).collect()
}

/// A whole event stream, one piece for each read: the head, each event in a chunk of its own, the
/// usage, the terminator. Its connection is closed afterwards.
#[must_use]
pub fn stream_answer(events: usize) -> Vec<Vec<u8>> {
    const END: &str = "data: {\"id\":\"chatcmpl-0123456789\",\"object\":\"chat.completion.chunk\",\
        \"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":null}\n\n";
    const USAGE: &str = "data: {\"id\":\"chatcmpl-0123456789\",\"object\":\
        \"chat.completion.chunk\",\"choices\":[],\"usage\":{\"prompt_tokens\":31,\
        \"completion_tokens\":100,\"total_tokens\":131}}\n\n";
    let framing = "Transfer-Encoding: chunked";
    let content_type = "text/event-stream; charset=utf-8";
    let mut pieces = vec![response_head(content_type, framing, ConnectionReuse::Close)];
    pieces.extend((0..events).map(|number| chunk(&event(number))));
    pieces.extend([END, USAGE, "data: [DONE]\n\n"].map(|text| chunk(text.as_bytes())));
    pieces.push(b"0\r\n\r\n".to_vec());
    pieces
}

fn chunk(data: &[u8]) -> Vec<u8> {
    let mut chunk = format!("{:x}\r\n", data.len()).into_bytes();
    chunk.extend_from_slice(data);
    chunk.extend_from_slice(b"\r\n");
    chunk
}

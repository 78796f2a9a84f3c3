//! The context overflow errors of each vendor, and what clients of each dialect receive.

use serde_json::{Value, json};

use super::*;
use crate::dialects::{Codec, codec, overflow_of_imitator};
use crate::llm::{ChatRequest, Chunk, Node, Scanner};

/// Sender, dialect, status, body, and the sizes in it.
type Case = (&'static str, Dialect, u16, Value, Option<(u64, u64)>);

fn cases() -> Vec<Case> {
    use Dialect::{AnthropicMessages, BedrockConverse, CohereChat, Gemini, OpenaiChat};
    let plain = |text: &str| json!({ "error": { "message": text } });
    let vllm = |text: &str| json!({ "object": "error", "message": text, "type": "BadRequestError", "param": null, "code": 400 });
    let typed = |text: &str, code: Value| json!({ "error": { "message": text, "type": "invalid_request_error", "param": "messages", "code": code } });
    let claude = |text: &str| json!({ "type": "error", "error": { "type": "invalid_request_error", "message": text } });
    let google = |text: &str| json!({ "error": { "code": 400, "message": text, "status": "INVALID_ARGUMENT" } });
    let some = |tokens, limit| Some((tokens, limit));
    vec![
        (
            "OpenAI",
            OpenaiChat,
            400,
            typed(
                "This model's maximum context length is 128000 tokens. However, your messages resulted in 202868 tokens (202767 in the messages, 101 in the functions). Please reduce the length of the messages or functions.",
                json!("context_length_exceeded"),
            ),
            some(202_868, 128_000),
        ),
        (
            "OpenAI, old",
            OpenaiChat,
            400,
            typed(
                "This model's maximum context length is 4097 tokens, however you requested 4226 tokens (3970 in your prompt; 256 for the completion). Please reduce your prompt; or completion length.",
                Value::Null,
            ),
            some(4226, 4097),
        ),
        (
            "OpenAI's responses",
            Dialect::OpenaiResponses,
            400,
            json!({ "error": { "message": "Your input exceeds the context window of this model. Please adjust your input and try again.", "type": "invalid_request_error", "param": "input", "code": "context_length_exceeded" } }),
            None,
        ),
        (
            "OpenAI, gpt-5",
            OpenaiChat,
            400,
            typed(
                "Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in 300001 tokens. Please reduce the length of the messages.",
                json!("context_length_exceeded"),
            ),
            some(300_001, 272_000),
        ),
        (
            "Azure",
            OpenaiChat,
            400,
            typed(
                "This model's maximum context length is 16385 tokens. However, your messages resulted in 20000 tokens.",
                json!("context_length_exceeded"),
            ),
            some(20_000, 16_385),
        ),
        (
            "Anthropic",
            AnthropicMessages,
            400,
            claude("prompt is too long: 213462 tokens > 200000 maximum"),
            some(213_462, 200_000),
        ),
        (
            "Anthropic, with the answer",
            AnthropicMessages,
            400,
            claude(
                "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease input length or `max_tokens` and try again",
            ),
            None,
        ),
        (
            "Anthropic, size",
            AnthropicMessages,
            413,
            claude("Request size exceeds model context window"),
            None,
        ),
        (
            "Google",
            Gemini,
            400,
            google(
                "The input token count (1196265) exceeds the maximum number of tokens allowed (1048575).",
            ),
            some(1_196_265, 1_048_575),
        ),
        (
            "Google, newer",
            Gemini,
            400,
            google("The input token count exceeds the maximum number of tokens allowed 1048576."),
            None,
        ),
        (
            "Vertex",
            Gemini,
            400,
            google(
                "Unable to submit request because the input token count is 40000 but model only supports up to 32768. Reduce the input token count and try again.",
            ),
            some(40_000, 32_768),
        ),
        (
            "Bedrock",
            BedrockConverse,
            400,
            json!({ "message": "Input is too long for requested model." }),
            None,
        ),
        (
            "Bedrock's Claude",
            BedrockConverse,
            400,
            json!({ "message": "The model returned the following errors: prompt is too long: 213462 tokens > 200000 maximum" }),
            some(213_462, 200_000),
        ),
        (
            "Bedrock's Nova",
            BedrockConverse,
            424,
            json!({ "message": "Input Tokens Exceeded: Number of input tokens exceeds maximum length. Please update the input to try again." }),
            None,
        ),
        (
            "Bedrock's Titan",
            BedrockConverse,
            400,
            json!({ "message": "400 Bad Request: Too many input tokens. Max input tokens: 8192, request input token count: 12345 " }),
            some(12_345, 8192),
        ),
        (
            "Mistral",
            OpenaiChat,
            400,
            json!({ "object": "error", "message": "Prompt contains 300000 tokens and 0 draft tokens, too large for model with 131072 maximum context length", "type": "invalid_request_prompt", "code": "3051" }),
            some(300_000, 131_072),
        ),
        (
            "Groq",
            OpenaiChat,
            400,
            typed(
                "Please reduce the length of the messages or completion.",
                json!("context_length_exceeded"),
            ),
            None,
        ),
        (
            "Cerebras",
            OpenaiChat,
            400,
            json!({ "message": "Please reduce the length of the messages or completion. Current length is 9000 while limit is 8192.", "type": "invalid_request_error", "param": "messages", "code": "context_length_exceeded" }),
            some(9000, 8192),
        ),
        (
            "DeepSeek",
            OpenaiChat,
            400,
            typed(
                "This model's maximum context length is 131072 tokens. However, you requested 131134 tokens (122942 in the messages, 8192 in the completion). Please reduce the length of the messages or completion.",
                json!("invalid_request_error"),
            ),
            some(131_134, 131_072),
        ),
        (
            "xAI",
            OpenaiChat,
            400,
            json!({ "code": "Client specified an invalid argument", "error": "This model's maximum prompt length is 131072 but the request contains 537812 tokens." }),
            some(537_812, 131_072),
        ),
        (
            "vLLM",
            OpenaiChat,
            400,
            vllm(
                "This model's maximum context length is 16384 tokens. However, you requested 19591 tokens (9591 in the messages, 10000 in the completion). Please reduce the length of the messages or completion. None",
            ),
            some(19_591, 16_384),
        ),
        (
            "vLLM, newer",
            OpenaiChat,
            400,
            vllm(
                "'max_tokens' or 'max_completion_tokens' is too large: 4096. This model's maximum context length is 8192 tokens and your request has 5000 input tokens (4096 > 8192 - 5000).",
            ),
            None,
        ),
        (
            "vLLM's scheduler",
            OpenaiChat,
            400,
            vllm(
                "The decoder prompt (length 5000) is longer than the maximum model length of 4096. Make sure that `max_model_len` is no smaller than the number of text tokens.",
            ),
            some(5000, 4096),
        ),
        (
            "vLLM, passed",
            OpenaiChat,
            400,
            vllm(
                "You passed 5000 input tokens and requested 100 output tokens. However, the model's context length is only 4096 tokens, resulting in a maximum input length of 3996 tokens.",
            ),
            some(5000, 4096),
        ),
        (
            "SGLang",
            OpenaiChat,
            400,
            vllm(
                "The input (61709 tokens) is longer than the model's context length (40960 tokens).",
            ),
            some(61_709, 40_960),
        ),
        (
            "SGLang, in all",
            OpenaiChat,
            400,
            vllm(
                "Requested token count exceeds the model's maximum context length of 4096 tokens. You requested a total of 5000 tokens: 4000 tokens from the input messages and 1000 tokens for the completion.",
            ),
            some(5000, 4096),
        ),
        (
            "SGLang, input",
            OpenaiChat,
            400,
            vllm(
                "Input length (5000 tokens) exceeds the maximum allowed length (4090 tokens). Use a shorter input or enable --allow-auto-truncate.",
            ),
            some(5000, 4090),
        ),
        (
            "llama.cpp",
            OpenaiChat,
            400,
            json!({ "error": { "code": 400, "message": "request (13018 tokens) exceeds the available context size (4096 tokens), try increasing it", "type": "exceed_context_size_error", "n_prompt_tokens": 13018, "n_ctx": 4096 } }),
            some(13_018, 4096),
        ),
        (
            "llama.cpp, old",
            OpenaiChat,
            500,
            plain(
                "the request exceeds the available context size. try increasing the context size or enable context shift",
            ),
            None,
        ),
        (
            "LM Studio",
            OpenaiChat,
            400,
            json!({ "error": "The number of tokens to keep from the initial prompt is greater than the context length. Try to load the model with a larger context length, or provide a shorter input" }),
            None,
        ),
        (
            "Ollama",
            OpenaiChat,
            400,
            plain("prompt too long; exceeded max context length by 4096 tokens"),
            None,
        ),
        (
            "OpenRouter",
            OpenaiChat,
            400,
            json!({ "error": { "message": "This endpoint's maximum context length is 131072 tokens. However, you requested about 250000 tokens (245000 of text input, 5000 in the output). Please reduce the length of either one, or use the \"middle-out\" transform to compress your prompt automatically.", "code": 400 } }),
            some(250_000, 131_072),
        ),
        (
            "Together",
            OpenaiChat,
            422,
            plain(
                "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8193. Given: 9000 `inputs` tokens and 512 `max_new_tokens`",
            ),
            some(9000, 8193),
        ),
        (
            "Hugging Face",
            OpenaiChat,
            422,
            json!({ "error": "Input validation error: `inputs` must have less than 4096 tokens. Given: 5000", "error_type": "validation" }),
            some(5000, 4096),
        ),
        (
            "Fireworks",
            OpenaiChat,
            400,
            plain("The prompt is too long: 140000, model maximum context length: 131072"),
            some(140_000, 131_072),
        ),
        (
            "Cohere",
            CohereChat,
            400,
            json!({ "message": "too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 5000. Try using a shorter prompt, or enabling prompt truncating." }),
            some(5000, 4081),
        ),
        (
            "Cohere, version 2",
            CohereChat,
            400,
            json!({ "id": "x", "message": "too many tokens: size limit exceeded by 11326 tokens. Try using shorter or fewer inputs. The limit for this model is 288000 tokens." }),
            None,
        ),
        (
            "Kimi",
            OpenaiChat,
            400,
            typed(
                "Invalid request: Your request exceeded model token limit: 262144 (requested: 291351)",
                Value::Null,
            ),
            some(291_351, 262_144),
        ),
        (
            "GLM",
            OpenaiChat,
            400,
            json!({ "error": { "code": "1261", "message": "Prompt exceeds max length" } }),
            None,
        ),
        (
            "GLM in Chinese",
            OpenaiChat,
            400,
            json!({ "error": { "code": "1261", "message": "Prompt 超长" } }),
            None,
        ),
        (
            "z.ai by messages",
            AnthropicMessages,
            400,
            claude("model_context_window_exceeded: Prompt exceeds max length"),
            None,
        ),
        (
            "Qwen",
            OpenaiChat,
            400,
            typed(
                "<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 129024]",
                json!("invalid_parameter_error"),
            ),
            None,
        ),
        (
            "MiniMax",
            OpenaiChat,
            400,
            plain("invalid params, context window exceeds limit (2013)"),
            None,
        ),
        (
            "GitHub",
            OpenaiChat,
            400,
            typed(
                "prompt token count of 130000 exceeds the limit of 128000",
                json!("model_max_prompt_tokens_exceeded"),
            ),
            some(130_000, 128_000),
        ),
        (
            "Cloudflare",
            OpenaiChat,
            413,
            plain(
                "AiError: The estimated number of input and maximum output tokens (9000) exceeded this model context window limit (7968).",
            ),
            None,
        ),
        (
            "Ark",
            OpenaiChat,
            400,
            typed(
                "Total tokens of image and text exceed max message tokens.",
                json!("InvalidParameter"),
            ),
            None,
        ),
        (
            "LiteLLM, its message",
            OpenaiChat,
            500,
            plain("litellm.ContextWindowExceededError: litellm.BadRequestError: no"),
            None,
        ),
        (
            "OpenRouter, of Anthropic",
            OpenaiChat,
            400,
            json!({ "error": { "message": "Provider returned error", "code": 400, "metadata": {
                "provider_name": "Anthropic",
                "raw": claude("prompt is too long: 213462 tokens > 200000 maximum").to_string() } } }),
            some(213_462, 200_000),
        ),
        (
            "DS4",
            OpenaiChat,
            400,
            plain("Prompt has 300,000 tokens, but the configured context size is 131,072 tokens"),
            some(300_000, 131_072),
        ),
        (
            "SambaNova",
            OpenaiChat,
            400,
            plain(
                "Requested generation length 1024 is not possible! The provided prompt is 9000 tokens long, so generating 1024 tokens requires a sequence length of 10024, but the maximum supported sequence length is just 8192!",
            ),
            some(9000, 8192),
        ),
        (
            "Ollama's embeddings",
            OpenaiChat,
            400,
            plain("the input length exceeds the context length"),
            None,
        ),
        ("LM Studio, newer", OpenaiChat, 400, plain("Context size has been exceeded."), None),
        (
            "a proxy",
            OpenaiChat,
            400,
            plain("This request exceeds the model's maximum context length"),
            None,
        ),
        (
            "LiteLLM",
            OpenaiChat,
            400,
            json!({ "error": { "message": "litellm.ContextWindowExceededError: no", "type": "ContextWindowExceededError", "code": "400" } }),
            None,
        ),
    ]
}

fn written(codec: &dyn Codec, error: &ApiError) -> Value {
    let mut out = Vec::new();
    codec.write_error(error, &mut out);
    serde_json::from_slice(&out).expect("JSON")
}

/// The data of the error event in a client's stream that has begun.
fn streamed(codec: &dyn Codec, error: &ApiError) -> String {
    let mut encoder = codec.stream_encoder(&ChatRequest::default(), 0);
    let mut out = Vec::new();
    encoder.push(&Chunk::Start(crate::llm::Start::default()), &mut out);
    encoder.push(&Chunk::Error(error.clone()), &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

#[test]
fn overflow_messages_translate_between_vendors() {
    for (vendor, dialect, status, body, sizes) in cases() {
        let text = body.to_string();
        let provider = codec(dialect).expect("a dialect");
        for status in [status, 400, 413, 422, 500] {
            let read = |root: Node<'_>| provider.read_error(status, Some(root));
            let error = Scanner::default().read(text.as_bytes(), read).expect("JSON");
            assert_eq!(
                (error.status, error.code.as_deref(), error.kind.as_str()),
                (400, Some("context_length_exceeded"), "invalid_request_error"),
                "{vendor} {status}"
            );
            for client in [Dialect::OpenaiChat, Dialect::OpenaiResponses] {
                let client = codec(client).expect("a dialect");
                let response = written(client, &error);
                assert_eq!(response["error"]["code"], "context_length_exceeded", "{vendor}");
                assert_eq!(response["error"]["type"], "invalid_request_error", "{vendor}");
                let expected = r#""code":"context_length_exceeded""#;
                assert!(streamed(client, &error).contains(expected), "{vendor}");
            }
            let claude = codec(Dialect::AnthropicMessages).expect("a dialect");
            let response = written(claude, &error);
            assert_eq!(response["error"]["type"], "invalid_request_error", "{vendor}");
            let message = response["error"]["message"].as_str().expect("a text");
            match sizes {
                Some((tokens, limit)) if dialect != Dialect::AnthropicMessages => {
                    let expected = format!("prompt is too long: {tokens} tokens > {limit} maximum");
                    assert_eq!(message, expected, "{vendor}");
                }
                _ => {
                    assert!(message.starts_with("prompt is too long: "), "{vendor}: {message}");
                }
            }
            assert!(streamed(claude, &error).contains("prompt is too long: "), "{vendor}");
            let google = codec(Dialect::Gemini).expect("a dialect");
            let response = written(google, &error);
            let found = (&response["error"]["code"], &response["error"]["status"]);
            assert_eq!(found, (&json!(400), &json!("INVALID_ARGUMENT")), "{vendor}");
            let message = response["error"]["message"].as_str().expect("a text");
            let expected = "exceeds the maximum number of tokens allowed";
            assert!(message.contains(expected), "{vendor}: {message}");
            if let Some((tokens, limit)) = sizes {
                let has = |number: u64| message.contains(&format!("({number})"));
                assert!(has(tokens) && has(limit), "{vendor}: {message}");
            }
            assert!(streamed(google, &error).contains(expected), "{vendor}");
        }
    }
}

#[test]
fn other_limit_errors_are_unchanged() {
    for (status, body) in [
        (
            413,
            json!({ "error": { "message": "Request too large for model `m` on tokens per minute (TPM): Limit 6000, Requested 8000", "type": "tokens", "code": "rate_limit_exceeded" } }),
        ),
        (
            429,
            json!({ "error": { "message": "Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 34000. The input or output tokens must be reduced in order to run successfully.", "code": "rate_limit_exceeded" } }),
        ),
        (429, json!({ "message": "Too many tokens, please wait before trying again." })),
        (
            400,
            json!({ "error": { "message": "max_tokens is too large: 100000. This model supports at most 16384 completion tokens", "param": "max_tokens" } }),
        ),
        (
            413,
            json!({ "error": { "type": "request_too_large", "message": "Request exceeds the maximum allowed number of bytes." } }),
        ),
        (
            400,
            json!({ "error": { "message": "Invalid 'user': string too long. Expected a string with maximum length 64." } }),
        ),
        (401, json!({ "error": { "message": "no", "code": "context_length_exceeded" } })),
    ] {
        for dialect in Dialect::ALL {
            let Some(codec) = codec(dialect) else { continue };
            let text = body.to_string();
            let read = |root: Node<'_>| codec.read_error(status, Some(root));
            let error = Scanner::default().read(text.as_bytes(), read).expect("JSON");
            assert_eq!(error.status, status, "{dialect:?}: {body}");
            let is_one = error.status != 401 && is_overflow(&error);
            assert!(!is_one, "{dialect:?}: {body}");
        }
    }
}

#[test]
fn compatible_servers_messages_are_rewritten_only_if_different() {
    for (vendor, dialect, status, body, _) in cases() {
        let text = body.to_string();
        let read = |root: Node<'_>| overflow_of_imitator(dialect, status, root);
        let found = Scanner::default().read(text.as_bytes(), read).expect("JSON");
        let is_own = ["OpenAI", "OpenAI's responses", "OpenAI, gpt-5", "Azure", "Groq"]
            .contains(&vendor)
            || ["Anthropic", "Google", "Google, newer"].contains(&vendor);
        if matches!(dialect, Dialect::BedrockConverse | Dialect::CohereChat) {
            continue;
        }
        assert_eq!(found.is_none(), is_own, "{vendor}: {found:?}");
    }
}

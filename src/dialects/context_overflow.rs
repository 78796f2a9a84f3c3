//! A request that exceeds the model's context. Each vendor reports it in its own words.
//!
//! Agents shorten their history when they recognize their vendor's message, so all such errors become
//! one: status 400 and the code [`CONTEXT_LENGTH_EXCEEDED`], from which each dialect writes its
//! vendor's message. Limits of tokens per minute, or of the output, are other errors and stay
//! unchanged.

use std::borrow::Cow;

use crate::llm::{ApiError, Dialect};

/// The code of a context overflow; OpenAI's own.
pub(super) const CONTEXT_LENGTH_EXCEEDED: &str = "context_length_exceeded";

/// Codes and types of a context overflow, in lower case and without separators: those of OpenAI, z.ai,
/// llama.cpp, GitHub and LiteLLM, and GLM's number.
const CODES: [&str; 7] = [
    "contextlengthexceeded",
    "contextwindowexceeded",
    "modelcontextwindowexceeded",
    "exceedcontextsizeerror",
    "modelmaxprompttokensexceeded",
    "contextwindowexceedederror",
    "1261",
];

/// Statuses that rule it out whatever the message: credentials, billing, rate limits.
const OTHER_STATUSES: [u16; 7] = [401, 402, 403, 404, 429, 503, 529];

/// The vendors' messages in lower case, the more specific first. `{tokens}` and `{limit}` are numbers,
/// `*` matches anything. Sources: the vendors' references and errors reported by users of agents, read
/// November 2026; the tests have them in full.
const SENTENCES: [&str; 60] = [
    // OpenAI, Azure, DeepSeek, vLLM, OpenRouter.
    "maximum context length is {limit} tokens*resulted in {tokens} tokens",
    "maximum context length is {limit} tokens*requested about {tokens} tokens",
    "maximum context length is {limit} tokens*requested {tokens} tokens",
    "maximum context length is {limit} tokens*requested a total of {tokens} tokens",
    "maximum context length is {limit} tokens*request has {tokens} input tokens",
    "maximum context length of {limit} tokens*requested a total of {tokens} tokens",
    "maximum context length is {limit}",
    "maximum context length of {limit}",
    "exceeds the context window",
    "exceeds model context window",
    "exceeds the model's context window",
    "exceed the configured limit of {limit} tokens*resulted in {tokens} tokens",
    // Anthropic, alone and behind Bedrock and Vertex.
    "prompt is too long: {tokens} tokens > {limit} maximum",
    "exceed context limit: *> {limit}",
    // Fireworks.
    "prompt is too long: {tokens}, model maximum context length: {limit}",
    "prompt is too long",
    // Google: AI Studio and Vertex.
    "input token count ({tokens}) exceeds the maximum number of tokens allowed ({limit})",
    "input token count exceeds the maximum number of tokens allowed {limit}",
    "input token count is {tokens} but model only supports up to {limit}",
    // Bedrock: Claude, Nova, Titan.
    "input is too long for requested model",
    "number of input tokens exceeds maximum length",
    "too many input tokens. max input tokens: {limit}, request input token count: {tokens}",
    // Mistral.
    "prompt contains {tokens} tokens*too large for model with {limit} maximum context length",
    // Groq, Cerebras.
    "reduce the length of the messages*current length is {tokens} while limit is {limit}",
    "please reduce the length of the messages or completion",
    // xAI.
    "maximum prompt length is {limit} but the request contains {tokens} tokens",
    // Further messages of vLLM.
    "prompt (length {tokens}) is longer than the maximum model length of {limit}",
    "prompt (total length {tokens}) is too long to fit into the model (context length {limit})",
    "you passed {tokens} input tokens*context length is only {limit} tokens",
    // SGLang, Together.
    "input ({tokens} tokens) is longer than the model's context length ({limit} tokens)",
    "input length ({tokens} tokens) exceeds the maximum allowed length ({limit} tokens)",
    "`inputs` tokens + `max_new_tokens` must be <= {limit}. given: {tokens} `inputs` tokens",
    "`inputs` must have less than {limit} tokens. given: {tokens}",
    // llama.cpp, LM Studio, Ollama.
    "request ({tokens} tokens) exceeds the available context size ({limit} tokens)",
    "exceeds the available context size",
    "from the initial prompt is greater than the context length",
    "prompt too long; exceeded max context length",
    // Kimi.
    "request exceeded model token limit: {limit} (requested: {tokens})",
    // GLM, in both languages.
    "prompt exceeds max length",
    "prompt 超长",
    // Qwen.
    "range of input length should be [1, {limit}]",
    // Cohere, both versions.
    "too many tokens: total number of tokens in the prompt cannot exceed {limit} - received {tokens}",
    "too many tokens: size limit exceeded by *the limit for this model is {limit} tokens",
    // MiniMax.
    "context window exceeds limit",
    // GitHub.
    "prompt token count of {tokens} exceeds the limit of {limit}",
    // Kimi, without numbers.
    "request exceeded model token limit",
    // Cloudflare.
    "exceeded this model context window limit ({limit})",
    // Ark.
    "total tokens of image and text exceed max message tokens",
    // OpenRouter's Poolside.
    "exceeds the maximum allowed input length of {limit} tokens",
    // DS4.
    "prompt has {tokens} tokens, but the configured context size is {limit} tokens",
    // SambaNova.
    "the provided prompt is {tokens} tokens long*maximum supported sequence length is just {limit}",
    // Ollama's embeddings and LM Studio.
    "input length exceeds the context length",
    "input length exceeds maximum context length",
    "context size has been exceeded",
    // Generic messages of routers and proxies.
    "contextwindowexceedederror",
    "exceeds maximum context length",
    "exceeds the model's maximum context length",
    "context length exceeded",
    "context window exceeded",
    "context_length_exceeded",
];

/// The sizes in a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sizes {
    tokens: Option<u64>,
    limit: Option<u64>,
}

/// Normalizes the error if it reports a context overflow; returns any other unchanged.
pub(super) fn recognize(error: ApiError) -> ApiError {
    let is_one = !OTHER_STATUSES.contains(&error.status)
        && (has_code(&error) || sizes(&error.message).is_some());
    if !is_one {
        return error;
    }
    ApiError {
        status: 400,
        kind: "invalid_request_error".to_owned(),
        code: Some(CONTEXT_LENGTH_EXCEEDED.to_owned()),
        ..error
    }
}

fn has_code(error: &ApiError) -> bool {
    let plain = |text: &str| -> String {
        let letters = text.chars().filter(char::is_ascii_alphanumeric);
        letters.map(|letter| letter.to_ascii_lowercase()).collect()
    };
    let codes = [error.code.as_deref().unwrap_or_default(), &error.kind];
    codes.into_iter().any(|text| CODES.contains(&plain(text).as_str()))
}

/// True for an error that [`recognize`] normalized.
pub(super) fn is_overflow(error: &ApiError) -> bool {
    error.code.as_deref() == Some(CONTEXT_LENGTH_EXCEEDED)
}

/// The message of `error` in the words of `dialect`'s vendor, if it is a context overflow.
pub(super) fn message(error: &ApiError, dialect: Dialect) -> Cow<'_, str> {
    if !is_overflow(error) || has_wording_of(&error.message, dialect) {
        return Cow::Borrowed(&error.message);
    }
    let message = &error.message;
    // A prompt that fits alone, but not together with the output, has no such comparison.
    let sizes = sizes(message).unwrap_or_default();
    let sizes = sizes.tokens.zip(sizes.limit).filter(|(tokens, limit)| tokens > limit);
    match (dialect, sizes) {
        (Dialect::AnthropicMessages, Some((tokens, limit))) => {
            format!("prompt is too long: {tokens} tokens > {limit} maximum").into()
        }
        (Dialect::AnthropicMessages, None) => format!("prompt is too long: {message}").into(),
        (Dialect::Gemini, Some((tokens, limit))) => format!(
            "The input token count ({tokens}) exceeds the maximum number of tokens allowed ({limit})."
        )
        .into(),
        (Dialect::Gemini, None) => {
            format!("The input token count exceeds the maximum number of tokens allowed: {message}")
                .into()
        }
        (Dialect::BedrockConverse, _) => {
            format!("Input is too long for requested model: {message}").into()
        }
        (Dialect::CohereChat, _) => format!("too many tokens: {message}").into(),
        _ => Cow::Borrowed(message),
    }
}

/// True if clients of `dialect` recognize the message.
pub(super) fn has_wording_of(message: &str, dialect: Dialect) -> bool {
    let message = message.to_ascii_lowercase();
    match dialect {
        Dialect::AnthropicMessages => message.starts_with("prompt is too long"),
        Dialect::Gemini => message.contains("exceeds the maximum number of tokens allowed"),
        Dialect::BedrockConverse => message.contains("input is too long for requested model"),
        Dialect::CohereChat => message.starts_with("too many tokens"),
        _ => true,
    }
}

/// The sizes in a message. None if it does not report a context overflow.
fn sizes(message: &str) -> Option<Sizes> {
    let message = message.to_ascii_lowercase();
    SENTENCES.iter().find_map(|sentence| read(sentence, &message))
}

/// Matches `message` against `sentence`.
fn read(sentence: &str, message: &str) -> Option<Sizes> {
    let mut sizes = Sizes::default();
    let mut rest = message;
    for piece in sentence.split(['*', '}']) {
        let (literal, name) = piece.split_once('{').unwrap_or((piece, ""));
        rest = rest.get(rest.find(literal)? + literal.len()..)?;
        match name {
            "tokens" => sizes.tokens = number(rest),
            "limit" => sizes.limit = number(rest),
            _ => {}
        }
    }
    Some(sizes)
}

/// The number at the start of `text`; it may contain commas.
fn number(text: &str) -> Option<u64> {
    let text = text.trim_start();
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != ',');
    let digits: String = text.get(..end.unwrap_or(text.len()))?.replace(',', "");
    digits.parse().ok()
}

#[cfg(test)]
mod tests;

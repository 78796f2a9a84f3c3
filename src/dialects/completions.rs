//! OpenAI's older completions (API reference, "Completions", read November 2026) for providers that
//! have chats only: the prompt becomes a user message, and the text of the response the completion.
//!
//! Rejected, since a chat cannot do it: several prompts, token ids, a suffix, an echo of the prompt,
//! the best of several candidates. Reasoning is dropped from the response, which has no member for it.
//! There is no other direction: providers with this endpoint get the client's bytes unchanged.

mod answer;
mod encoder;
#[cfg(test)]
mod tests;

use super::codec::{StreamEncoder, Unsupported};
use crate::llm::{
    Answer, ChatRequest, Dialect, DialectJson, Malformed, Node, Part, Role, Turn, Within,
};

/// The default of `max_tokens`, from the API reference. A chat without a limit could be long and
/// expensive.
const MAX_TOKENS_DEFAULT: u64 = 16;

/// A completion request that is rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompletionsError {
    /// A member is invalid.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// No chat supports it.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
}

/// Reads a client's request as a chat request.
///
/// # Errors
/// If a known member has the wrong type, or needs what no chat supports.
pub fn read_completions_request(root: Node<'_>) -> Result<ChatRequest, CompletionsError> {
    let mut request =
        ChatRequest { max_tokens: Some(MAX_TOKENS_DEFAULT), ..ChatRequest::default() };
    let mut best_of = 1;
    for (key, value) in root.members() {
        if value.is_null() {
            continue;
        }
        match key {
            "prompt" => request.turns = vec![turn(value)?],
            "best_of" => best_of = value.expect_u64().within(key)?,
            "echo" => {
                if value.expect_flag().within(key)? {
                    return Err(no_chat("an echo of the prompt"));
                }
            }
            "suffix" => {
                if !value.expect_text().within(key)?.is_empty() {
                    return Err(no_chat("a suffix"));
                }
            }
            _ => member(&mut request, key, value).within(key)?,
        }
    }
    if request.turns.is_empty() {
        return Err(Malformed { path: "prompt".to_owned(), expected: "a string" }.into());
    }
    // If all candidates are returned, there is no choice to make.
    if best_of > request.n.unwrap_or(1) {
        return Err(no_chat("the best of several answers"));
    }
    Ok(request)
}

fn no_chat(what: &str) -> CompletionsError {
    Unsupported::new(what, "its provider has chats only").into()
}

/// The only prompt, which may be in an array.
fn turn(value: Node<'_>) -> Result<Turn, CompletionsError> {
    let mut items = value.items();
    let text = match (value.text(), items.next(), items.next()) {
        (Some(text), _, _) => text,
        (None, Some(first), _) if first.f64().is_some() || first.is_array() => {
            return Err(no_chat("a prompt of token ids"));
        }
        (None, Some(_), Some(_)) => return Err(no_chat("several prompts")),
        (None, Some(only), None) => only.expect_text().within_item(0).within("prompt")?,
        (None, None, _) => {
            return Err(Malformed { path: "prompt".to_owned(), expected: "a string" }.into());
        }
    };
    Ok(Turn::new(Role::User, vec![Part::text(text)]))
}

/// Reads a member that chats have too, mostly under the same name.
fn member(request: &mut ChatRequest, key: &str, value: Node<'_>) -> Result<(), Malformed> {
    let sampling = &mut request.sampling;
    match key {
        "model" => request.model = value.expect_text()?.to_owned(),
        "stream" => request.stream = value.expect_flag()?,
        "stream_options" => {
            request.include_usage = value.get("include_usage").and_then(Node::flag) == Some(true);
        }
        "max_tokens" => request.max_tokens = Some(value.expect_u64()?),
        "n" => request.n = Some(value.expect_u64()?),
        "logprobs" => request.top_logprobs = Some(value.expect_u64()?),
        "stop" => {
            request.stop = match value.text() {
                Some(text) => vec![text.to_owned()],
                None => value.read_items(|item| item.expect_text().map(str::to_owned))?,
            };
        }
        "temperature" => sampling.temperature = Some(value.expect_f64()?),
        "top_p" => sampling.top_p = Some(value.expect_f64()?),
        "top_k" => sampling.top_k = Some(value.expect_u64()?),
        "min_p" => sampling.min_p = Some(value.expect_f64()?),
        "frequency_penalty" => sampling.frequency_penalty = Some(value.expect_f64()?),
        "presence_penalty" => sampling.presence_penalty = Some(value.expect_f64()?),
        "seed" => sampling.seed = Some(value.expect_i64()?),
        "logit_bias" => sampling.logit_bias = Some(value.expect_object()?.json()),
        "user" => request.user = Some(value.expect_text()?.to_owned()),
        _ => {
            let foreign = DialectJson { dialect: Dialect::OpenaiChat, json: value.json() };
            request.extra_fields.push((key.to_owned(), foreign));
        }
    }
    Ok(())
}

/// Appends a chat response as a completion. `now_unix`, in seconds, is its creation time if the
/// provider sent none.
pub fn write_completions_answer(answer: &Answer, now_unix: u64, out: &mut Vec<u8>) {
    answer::write(answer, now_unix, out);
}

/// An encoder of one client's stream; `request` is what [`read_completions_request`] returned.
#[must_use]
pub fn completions_encoder(request: &ChatRequest, now_unix: u64) -> Box<dyn StreamEncoder> {
    Box::new(encoder::Encoder::new(request.include_usage, now_unix))
}

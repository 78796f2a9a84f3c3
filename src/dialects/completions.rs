//! OpenAI's older completions (API reference, "Completions", read November 2026) for providers that have
//! chats only: the prompt becomes the one turn of a user, and what is said to it the text.
//!
//! What a chat cannot do is refused: several prompts, token ids, text behind the answer, an echo of the
//! prompt, a choice among candidates. Thoughts are left out of the answer, which has no place for them.
//! There is no other direction: providers that have this endpoint get the client's own bytes.

mod answer;
mod encoder;
#[cfg(test)]
mod tests;

use super::codec::{StreamEncoder, Unsupported};
use crate::llm::{
    Answer, ChatRequest, Dialect, DialectJson, Malformed, Node, Part, Role, Turn, Within,
};

/// Bound of an answer where the client says none; the API reference has it so. A chat without a bound
/// would go on, and cost, as long as the model likes.
const MAX_TOKENS_DEFAULT: u64 = 16;

/// A request for a completion that is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompletionsError {
    /// It is not what the reference has.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// No chat can say it.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
}

/// Reads a client's request as the chat that it becomes.
///
/// # Errors
/// Where a member that is understood has the wrong type, or asks for what no chat does.
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
    // Where as many are shown as are made, nothing is chosen.
    if best_of > request.n.unwrap_or(1) {
        return Err(no_chat("the best of several answers"));
    }
    Ok(request)
}

fn no_chat(what: &str) -> CompletionsError {
    Unsupported::new(what, "its provider has chats only").into()
}

/// The one prompt, which may stand in an array.
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

/// Reads one member that a chat has too, mostly under the same name.
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

/// Appends a chat's answer as a client of completions expects it. `now_unix`, in seconds, stands in
/// where the provider told no time.
pub fn write_completions_answer(answer: &Answer, now_unix: u64, out: &mut Vec<u8>) {
    answer::write(answer, now_unix, out);
}

/// A writer of one client's stream, the answer to what [`read_completions_request`] made of `request`.
#[must_use]
pub fn completions_encoder(request: &ChatRequest, now_unix: u64) -> Box<dyn StreamEncoder> {
    Box::new(encoder::Encoder::new(request.include_usage, now_unix))
}

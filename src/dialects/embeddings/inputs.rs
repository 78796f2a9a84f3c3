//! The inputs of a request, as several formats read and write them.

use crate::dialects::codec::Unsupported;
use crate::dialects::warnings::Warnings;
use crate::llm::{EmbeddingsInput, EmbeddingsRequest, Malformed, Node};

/// Reads a string or an array of strings.
pub(super) fn text_inputs(value: Node<'_>) -> Result<Vec<EmbeddingsInput>, Malformed> {
    let text = |text: &str| EmbeddingsInput::Text(text.to_owned());
    match value.text() {
        Some(one) => Ok(vec![text(one)]),
        None if !value.is_array() => Err(Malformed::new("a string or an array of strings")),
        None => value.read_items(|item| item.expect_text().map(text)),
    }
}

/// Checks that the request has an input; `key` is the member that holds them.
pub(super) fn at_least_one(request: &EmbeddingsRequest, key: &str) -> Result<(), Malformed> {
    match request.inputs.as_slice() {
        [] => Err(Malformed { path: key.to_owned(), expected: "at least one input" }),
        _ => Ok(()),
    }
}

/// The texts of all inputs, for formats that embed text only.
pub(super) fn texts(request: &EmbeddingsRequest) -> Result<Vec<&str>, Unsupported> {
    request.inputs.iter().map(text).collect()
}

fn text(input: &EmbeddingsInput) -> Result<&str, Unsupported> {
    match input {
        EmbeddingsInput::Text(text) => Ok(text),
        EmbeddingsInput::Tokens(_) => Err(no_tokens()),
        EmbeddingsInput::Image(_) => {
            Err(Unsupported::new("an image", "the provider's format embeds text only"))
        }
    }
}

/// The error for token ids, which only OpenAI accepts.
pub(super) fn no_tokens() -> Unsupported {
    Unsupported::new("an input of token ids", "the provider's format embeds text")
}

/// Warns that the end user is not sent.
pub(super) fn warn_of_user(request: &EmbeddingsRequest, warnings: &mut Warnings) {
    if request.user.is_some() {
        warnings.dropped("user", "the provider's format has no such member");
    }
}

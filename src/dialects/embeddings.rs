//! The shapes in which vendors have embeddings, in both directions: bytes to the canonical request and
//! answer of `llm/`, and back.
//!
//! As the dialects of chats do: no I/O, nothing lost silently, what would change the meaning refused.
//! [`embeddings`] tells which shape a model has; OpenAI's and Google's are expected of clients, and the
//! others are read too for those that play the vendor in tests.

mod bedrock;
mod cohere;
mod gemini;
mod openai;
mod purpose;
#[cfg(test)]
mod tests;
mod vector;
mod vertex;
mod voyage;

use super::codec::{TargetModel, Unsupported};
use super::warnings::Warnings;
use crate::llm::{Dialect, EmbeddingsAnswer, EmbeddingsInput, EmbeddingsRequest, Malformed, Node};

/// Both directions of one shape. Synchronous and without state.
pub trait EmbeddingsCodec: Sync {
    /// The path behind the provider's base URL.
    fn path(&self, target: &TargetModel<'_>) -> String;

    /// Inputs that one call to `model` may have; see [`EmbeddingsRequest::parts`].
    fn inputs_max(&self, model: &str) -> usize;

    /// Reads a client's request. `model` is what its path tells, where this shape says it there.
    ///
    /// # Errors
    /// Where a member that is understood has the wrong type or a required one is missing.
    fn read_request(
        &self,
        root: Node<'_>,
        model: Option<&str>,
    ) -> Result<EmbeddingsRequest, Malformed>;

    /// Appends the request as `target` takes it.
    ///
    /// # Errors
    /// If the target cannot say what the request means.
    fn write_request(
        &self,
        request: &EmbeddingsRequest,
        target: &TargetModel<'_>,
        warnings: &mut Warnings,
        out: &mut Vec<u8>,
    ) -> Result<(), Unsupported>;

    /// Reads a provider's answer. None if it is none, or holds what is no vector of numbers.
    fn read_answer(&self, root: Node<'_>) -> Option<EmbeddingsAnswer>;

    /// Appends the answer to `request` as a client expects it.
    fn write_answer(
        &self,
        answer: &EmbeddingsAnswer,
        request: &EmbeddingsRequest,
        out: &mut Vec<u8>,
    );
}

/// Which models of a dialect have which shape: the first row whose mark is in the model's name.
const SHAPES: [(Dialect, &str, &dyn EmbeddingsCodec); 9] = [
    (Dialect::OpenaiChat, "voyage-", &voyage::Voyage),
    (Dialect::OpenaiChat, "", &openai::Openai),
    (Dialect::OpenaiResponses, "", &openai::Openai),
    (Dialect::Gemini, "", &gemini::Gemini),
    (Dialect::BedrockConverse, "cohere.embed", &bedrock::CohereOnBedrock),
    (Dialect::BedrockConverse, "amazon.titan-embed-text-v2", &bedrock::TITAN_2),
    (Dialect::BedrockConverse, "amazon.titan-embed-text-v1", &bedrock::TITAN_1),
    (Dialect::BedrockConverse, "amazon.titan-embed-g1-text", &bedrock::TITAN_1),
    (Dialect::CohereChat, "", &cohere::Cohere),
];

/// The shape that `model` has at a provider of `dialect`; none where there are no embeddings.
#[must_use]
pub fn embeddings(dialect: Dialect, model: &str) -> Option<&'static dyn EmbeddingsCodec> {
    let fits = |row: &&(Dialect, &str, _)| row.0 == dialect && model.contains(row.1);
    SHAPES.iter().find(fits).map(|(_, _, codec)| *codec)
}

/// Google's shape of one input, `embedContent`, as clients speak it.
#[must_use]
pub fn embed_content() -> &'static dyn EmbeddingsCodec {
    &gemini::EmbedContent
}

/// The shape of Vertex AI, which has Gemini's dialect and embeds in another way.
#[must_use]
pub fn embeddings_on_vertex() -> &'static dyn EmbeddingsCodec {
    &vertex::Vertex
}

/// Tells that the end user is not passed on.
fn warn_of_user(request: &EmbeddingsRequest, warnings: &mut Warnings) {
    if request.user.is_some() {
        warnings.dropped("user", "the provider's format has no such member");
    }
}

/// The words of all inputs, for shapes that embed nothing else.
fn texts(request: &EmbeddingsRequest) -> Result<Vec<&str>, Unsupported> {
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

fn no_tokens() -> Unsupported {
    Unsupported::new("an input of token ids", "the provider's format embeds text")
}

/// A required text in an array of them, or alone.
fn text_inputs(value: Node<'_>) -> Result<Vec<EmbeddingsInput>, Malformed> {
    let text = |text: &str| EmbeddingsInput::Text(text.to_owned());
    match value.text() {
        Some(one) => Ok(vec![text(one)]),
        None if !value.is_array() => Err(Malformed::new("a string or an array of strings")),
        None => value.read_items(|item| item.expect_text().map(text)),
    }
}

/// `inputs`, of which there must be one.
fn at_least_one(request: &EmbeddingsRequest, key: &str) -> Result<(), Malformed> {
    match request.inputs.as_slice() {
        [] => Err(Malformed { path: key.to_owned(), expected: "at least one input" }),
        _ => Ok(()),
    }
}

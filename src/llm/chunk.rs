//! A stream in no dialect: the pieces of an answer in the order they come, and the answer they make.
//!
//! Parts of one choice are numbered from 0 in the order they open. A part opens once, grows, and
//! closes; parts of calls that a provider sends in turns may be open together. The law that ties the
//! two forms: [`ChunkAssembler`] over [`chunks_of`] an answer gives that answer.

use std::collections::BTreeMap;

use super::answer::{Answer, ApiError, Choice, StopReason, TokenLogprob};
use super::content::{Citation, Content, Part, Reasoning, Signature};
use super::usage::Usage;

/// Parts that one choice may have, at most; those beyond are dropped. Answers have a handful.
const PARTS_MAX: u32 = 4096;

/// One piece of a stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Chunk {
    /// The answer begins. Once, and first.
    Start(Start),
    /// A part begins, with what is known of it.
    BlockStart {
        /// Number of the choice.
        choice: u32,
        /// Number of the part in its choice.
        part: u32,
        /// The part as far as it is known: a call has its id and name, a text is mostly empty.
        content: Content,
    },
    /// More of a part.
    BlockDelta {
        /// Number of the choice.
        choice: u32,
        /// Number of the part in its choice.
        part: u32,
        /// What is added.
        delta: Delta,
    },
    /// A part is complete.
    BlockStop {
        /// Number of the choice.
        choice: u32,
        /// Number of the part in its choice.
        part: u32,
    },
    /// How likely the latest tokens were.
    Logprobs {
        /// Number of the choice.
        choice: u32,
        /// In order.
        tokens: Vec<TokenLogprob>,
    },
    /// A choice is complete.
    Finish {
        /// Number of the choice.
        choice: u32,
        /// Why.
        reason: StopReason,
    },
    /// Counts so far; the last report wins where it has a value.
    Usage(Usage),
    /// A keep-alive.
    Ping,
    /// The stream failed; nothing follows.
    Error(ApiError),
    /// The stream is complete; nothing follows.
    Done,
}

/// What is known when an answer begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// See [`Answer::id`].
    pub id: String,
    /// See [`Answer::model`].
    pub model: String,
    /// See [`Answer::created`].
    pub created: Option<u64>,
    /// See [`Answer::service_tier`].
    pub service_tier: Option<String>,
    /// See [`Answer::system_fingerprint`].
    pub system_fingerprint: Option<String>,
}

/// What is added to a part.
#[derive(Clone, Debug, PartialEq)]
pub enum Delta {
    /// Words: of a text, a refusal or a thought.
    Text(String),
    /// JSON text of a call's arguments.
    Arguments(String),
    /// A source of a text.
    Citation(Citation),
    /// The proof of a thought or a call.
    Signature(Signature),
}

/// Makes one answer of the chunks of a stream.
#[derive(Debug, Default)]
pub struct ChunkAssembler {
    answer: Answer,
    choices: BTreeMap<u32, ChoiceBuffer>,
    error: Option<ApiError>,
    is_complete: bool,
}

#[derive(Debug, Default)]
struct ChoiceBuffer {
    parts: BTreeMap<u32, Part>,
    stop: StopReason,
    logprobs: Vec<TokenLogprob>,
}

impl ChunkAssembler {
    /// Takes in the next piece.
    pub fn push(&mut self, chunk: Chunk) {
        match chunk {
            Chunk::Start(start) => self.start(start),
            Chunk::BlockStart { choice, part, content } => {
                if part < PARTS_MAX {
                    let buffer = self.choices.entry(choice).or_default();
                    buffer.parts.insert(part, Part::new(content));
                }
            }
            Chunk::BlockDelta { choice, part, delta } => {
                let buffer = self.choices.get_mut(&choice);
                if let Some(part) = buffer.and_then(|it| it.parts.get_mut(&part)) {
                    apply_delta(&mut part.content, delta);
                }
            }
            Chunk::Logprobs { choice, tokens } => {
                self.choices.entry(choice).or_default().logprobs.extend(tokens);
            }
            Chunk::Finish { choice, reason } => {
                self.choices.entry(choice).or_default().stop = reason;
            }
            Chunk::Usage(usage) => {
                let before = self.answer.usage.take();
                self.answer.usage = Some(before.map_or(usage, |before| before.then(usage)));
            }
            Chunk::Error(error) => self.error = Some(error),
            Chunk::Done => self.is_complete = true,
            Chunk::BlockStop { .. } | Chunk::Ping => {}
        }
    }

    fn start(&mut self, start: Start) {
        self.answer.id = start.id;
        self.answer.model = start.model;
        self.answer.created = start.created;
        self.answer.service_tier = start.service_tier;
        self.answer.system_fingerprint = start.system_fingerprint;
    }

    /// The answer. None if the stream was not complete.
    ///
    /// # Errors
    /// The error that ended the stream.
    pub fn finish(self) -> Result<Option<Answer>, ApiError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let choices = self.choices.into_values().map(|buffer| Choice {
            parts: buffer.parts.into_values().collect(),
            stop: buffer.stop,
            logprobs: buffer.logprobs,
        });
        let answer = Answer { choices: choices.collect(), ..self.answer };
        Ok(self.is_complete.then_some(answer))
    }
}

fn apply_delta(content: &mut Content, delta: Delta) {
    match (content, delta) {
        (Content::Text(text), Delta::Text(piece)) => text.text.push_str(&piece),
        (Content::Text(text), Delta::Citation(citation)) => text.citations.push(citation),
        (Content::Refusal(text), Delta::Text(piece)) => text.push_str(&piece),
        (Content::Reasoning(reasoning), Delta::Text(piece)) => reasoning.text.push_str(&piece),
        (Content::Reasoning(reasoning), Delta::Signature(signature)) => {
            reasoning.signature = Some(signature);
        }
        (Content::ToolCall(call), Delta::Arguments(piece)) => call.arguments.push_str(&piece),
        (Content::ToolCall(call), Delta::Signature(signature)) => call.signature = Some(signature),
        // A provider that sends the one to the other has lost its way; there is nothing to keep.
        _ => {}
    }
}

/// The pieces that a whole answer would have come in, had it been a stream.
#[must_use]
pub fn chunks_of(answer: &Answer) -> Vec<Chunk> {
    let mut chunks = vec![Chunk::Start(Start {
        id: answer.id.clone(),
        model: answer.model.clone(),
        created: answer.created,
        service_tier: answer.service_tier.clone(),
        system_fingerprint: answer.system_fingerprint.clone(),
    })];
    for (choice, source) in (0_u32..).zip(&answer.choices) {
        let tokens = || Chunk::Logprobs { choice, tokens: source.logprobs.clone() };
        let mut is_pending = !source.logprobs.is_empty();
        for (part, whole) in (0_u32..).zip(&source.parts) {
            let (content, deltas) = deltas_of(&whole.content);
            chunks.push(Chunk::BlockStart { choice, part, content });
            let grow = |delta| Chunk::BlockDelta { choice, part, delta };
            chunks.extend(deltas.into_iter().map(grow));
            // Before the text is closed: some dialects have them inside of it.
            if matches!(whole.content, Content::Text(_)) && std::mem::take(&mut is_pending) {
                chunks.push(tokens());
            }
            chunks.push(Chunk::BlockStop { choice, part });
        }
        if is_pending {
            chunks.push(tokens());
        }
        chunks.push(Chunk::Finish { choice, reason: source.stop.clone() });
    }
    chunks.extend(answer.usage.map(Chunk::Usage));
    chunks.push(Chunk::Done);
    chunks
}

/// As [`chunks_of`], with what was used also at the begin, where some dialects report it.
#[must_use]
pub fn chunks_of_known(answer: &Answer) -> Vec<Chunk> {
    let mut chunks = chunks_of(answer);
    if let Some(usage) = answer.usage {
        chunks.insert(1.min(chunks.len()), Chunk::Usage(usage));
    }
    chunks
}

/// A whole part as it starts, and the deltas that complete it.
#[must_use]
pub fn deltas_of(content: &Content) -> (Content, Vec<Delta>) {
    let words = |text: &String| (!text.is_empty()).then(|| Delta::Text(text.clone()));
    match content {
        Content::Text(text) => {
            let citations = text.citations.iter().cloned().map(Delta::Citation);
            let deltas = words(&text.text).into_iter().chain(citations).collect();
            (Content::Text(super::content::Text::default()), deltas)
        }
        Content::Refusal(text) => {
            (Content::Refusal(String::new()), words(text).into_iter().collect())
        }
        Content::Reasoning(reasoning) => {
            let signature = reasoning.signature.clone().map(Delta::Signature);
            let deltas = words(&reasoning.text).into_iter().chain(signature).collect();
            let begun = Reasoning { text: String::new(), signature: None, ..reasoning.clone() };
            (Content::Reasoning(begun), deltas)
        }
        Content::ToolCall(call) => {
            let arguments =
                (!call.arguments.is_empty()).then(|| Delta::Arguments(call.arguments.clone()));
            let begun = super::content::ToolCall { arguments: String::new(), ..call.clone() };
            (Content::ToolCall(begun), arguments.into_iter().collect())
        }
        other => (other.clone(), Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::content::{Text, ToolCall};
    use super::super::dialect::Dialect;
    use super::*;

    fn answer() -> Answer {
        let signature =
            Some(Signature { dialect: Dialect::AnthropicMessages, text: "s".to_owned() });
        let citation = Citation { title: Some("t".to_owned()), ..Citation::default() };
        let parts = vec![
            Part::new(Content::Reasoning(Reasoning {
                text: "hm".to_owned(),
                signature: signature.clone(),
                ..Reasoning::default()
            })),
            Part::new(Content::Text(Text { text: "Hi".to_owned(), citations: vec![citation] })),
            Part::new(Content::ToolCall(ToolCall {
                id: "1".to_owned(),
                name: "f".to_owned(),
                arguments: "{\"a\":1}".to_owned(),
                signature,
            })),
            Part::new(Content::Refusal("no".to_owned())),
        ];
        let choice =
            Choice { parts, stop: StopReason::ToolCalls, logprobs: vec![TokenLogprob::default()] };
        Answer {
            id: "a".to_owned(),
            model: "m".to_owned(),
            created: Some(1),
            choices: vec![choice, Choice::default()],
            usage: Some(Usage { input_tokens: 1, ..Usage::default() }),
            service_tier: Some("default".to_owned()),
            system_fingerprint: Some("fp".to_owned()),
        }
    }

    fn assemble(chunks: impl IntoIterator<Item = Chunk>) -> Result<Option<Answer>, ApiError> {
        let mut assembler = ChunkAssembler::default();
        chunks.into_iter().for_each(|chunk| assembler.push(chunk));
        assembler.finish()
    }

    #[test]
    fn chunks_of_an_answer_reassemble() {
        assert_eq!(assemble(chunks_of(&answer())), Ok(Some(answer())));
        let known = chunks_of_known(&answer());
        assert!(matches!(known.as_slice(), [Chunk::Start(_), Chunk::Usage(_), ..]));
        assert_eq!(assemble(known), Ok(Some(answer())));
    }

    #[test]
    fn stream_without_end_is_incomplete() {
        let mut chunks = chunks_of(&answer());
        chunks.pop();
        assert_eq!(assemble(chunks.clone()), Ok(None));
        let error = ApiError {
            status: 529,
            message: "m".to_owned(),
            kind: "overloaded_error".to_owned(),
            code: None,
            param: None,
        };
        chunks.push(Chunk::Error(error.clone()));
        assert_eq!(assemble(chunks), Err(error));
    }

    #[test]
    fn stray_deltas_are_dropped() {
        let stray = |delta| Chunk::BlockDelta { choice: 0, part: 9, delta };
        let mut chunks = chunks_of(&answer());
        chunks.insert(1, stray(Delta::Text("x".to_owned())));
        chunks.insert(2, Chunk::Ping);
        assert_eq!(assemble(chunks), Ok(Some(answer())));
    }
}

//! A chat request in no dialect.
//!
//! It is what the mock answers from, what it counts input tokens by, and, as JSON, what it answers when the request
//! says `describe`, so that a test can see what of a request arrived.

use serde::Serialize;
use serde_json::Value;

/// A request for an answer.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ChatRequest {
    pub model: String,
    #[serde(skip)]
    pub stream: bool,
    /// Answers wanted to the one question.
    #[serde(skip)]
    pub answers: usize,
    /// Whether a stream ends with its usage, where that is optional.
    #[serde(skip)]
    pub include_usage: bool,
    /// Instructions, in order.
    pub system: Vec<String>,
    pub turns: Vec<Turn>,
    pub tools: Vec<Tool>,
    pub choice: Choice,
    /// False if at most one tool may be called.
    pub parallel: bool,
    pub format: Format,
    pub max_tokens: Option<i64>,
    pub temperature: Option<f64>,
    pub top_p: Option<f64>,
    pub stop: Vec<String>,
    /// The members about reasoning, as written.
    pub reasoning: Option<Value>,
}

/// One message, or a run of results of tools.
#[derive(Clone, Debug, Serialize)]
pub struct Turn {
    pub role: Role,
    pub parts: Vec<Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    User,
    Assistant,
}

/// A piece of a message.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    Text(String),
    /// A picture, a recording or a file: what it is, and its base64 or address.
    Media {
        media_type: String,
        data: String,
    },
    Thought(String),
    Call {
        id: String,
        name: String,
        arguments: Value,
    },
    Result {
        id: String,
        text: String,
        is_error: bool,
    },
}

/// A function that the model may call.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tool {
    pub name: String,
    pub description: String,
    /// JSON Schema of its arguments, in the dialect's spelling.
    pub schema: Value,
}

/// Whether tools may or must be called.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Choice {
    #[default]
    Auto,
    None,
    Required,
    Named(String),
}

/// The format of the answer's text.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    #[default]
    Text,
    Json,
    Schema(Value),
}

impl ChatRequest {
    pub fn new(model: &str) -> Self {
        Self { model: model.to_owned(), answers: 1, parallel: true, ..Self::default() }
    }

    /// Adds parts to the last turn if it has the role, else a turn.
    pub fn push(&mut self, role: Role, parts: Vec<Part>) {
        match self.turns.last_mut() {
            Some(turn) if turn.role == role => turn.parts.extend(parts),
            _ => self.turns.push(Turn { role, parts }),
        }
    }

    /// Every part of the conversation, in order.
    pub fn parts(&self) -> impl DoubleEndedIterator<Item = &Part> {
        self.turns.iter().flat_map(|turn| &turn.parts)
    }

    /// The last text of the user, after the results of tools beside it; none if results came last.
    pub fn last_words(&self) -> String {
        let Some(turn) = self.turns.iter().rev().find(|turn| turn.role == Role::User) else {
            return String::new();
        };
        let is_result = |part: &Part| matches!(part, Part::Result { .. });
        let start = turn.parts.iter().rposition(is_result).map_or(0, |at| at + 1);
        let texts = turn.parts.iter().skip(start).filter_map(|part| match part {
            Part::Text(text) => Some(text.as_str()),
            _ => None,
        });
        texts.collect::<Vec<_>>().join("\n")
    }

    /// Calls made so far.
    pub fn calls(&self) -> impl Iterator<Item = (&str, &str)> {
        self.parts().filter_map(|part| match part {
            Part::Call { id, name, .. } => Some((id.as_str(), name.as_str())),
            _ => None,
        })
    }

    /// About a token for four bytes of the request; the same whether a stream is wanted or not.
    pub fn input_tokens(&self) -> u64 {
        self.description().len() as u64 / 4 + 1
    }

    /// Everything that arrived, as JSON.
    pub fn description(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

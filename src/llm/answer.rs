//! An answer in no dialect, and the error that may come instead.

use super::content::Part;
use super::usage::Usage;

/// A whole answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// The provider's id for it.
    pub id: String,
    /// The model that answered, as the provider names it.
    pub model: String,
    /// When, in seconds of Unix time, where the provider reports it.
    pub created: Option<u64>,
    /// The answers; one unless more were requested.
    pub choices: Vec<Choice>,
    /// What it used, where the provider reports it.
    pub usage: Option<Usage>,
    /// The class of service it was given, in the vendor's words.
    pub service_tier: Option<String>,
    /// OpenAI's mark of the system that answered.
    pub system_fingerprint: Option<String>,
}

/// One of the answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Choice {
    /// The parts of the answer, in order.
    pub parts: Vec<Part>,
    /// Why it ended.
    pub stop: StopReason,
    /// How likely each token was, if that was requested.
    pub logprobs: Vec<TokenLogprob>,
}

/// Why an answer ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StopReason {
    /// It was complete.
    #[default]
    Stop,
    /// The bound of tokens, or the context.
    Length,
    /// One of the texts that end it.
    StopSequence(String),
    /// The model waits for its tools.
    ToolCalls,
    /// A filter of the vendor cut it.
    ContentFilter,
    /// The model refused.
    Refusal,
    /// A long turn of server tools pauses, and may be sent back to go on.
    Pause,
}

/// One token and how likely it was.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TokenLogprob {
    /// The token.
    pub token: String,
    /// Natural logarithm of its probability.
    pub logprob: f64,
    /// The likeliest tokens at its place.
    pub top: Vec<(String, f64)>,
}

/// An error of a provider or of the gateway, as all dialects can express it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// HTTP status.
    pub status: u16,
    /// What went wrong, for people.
    pub message: String,
    /// The vendor's kind, such as OpenAI's `type`; empty where there is none.
    pub kind: String,
    /// A code for programs.
    pub code: Option<String>,
    /// The member of the request that is at fault.
    pub param: Option<String>,
}

impl ApiError {
    /// All texts that come from the vendor.
    pub fn texts_mut(&mut self) -> impl Iterator<Item = &mut String> {
        [&mut self.message, &mut self.kind].into_iter().chain(&mut self.code).chain(&mut self.param)
    }
}

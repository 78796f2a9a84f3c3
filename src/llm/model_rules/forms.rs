//! Forms in which models take what their dialect leaves open: thoughts, answers that are begun, ids of
//! calls, cache points, and members that only one family has.

/// How a request turns thinking on.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ThinkingForm {
    /// It does not think.
    Never,
    /// With a bound of tokens for its thoughts.
    Budget,
    /// With a bound of tokens, or with an effort.
    BudgetOrEffort,
    /// With an effort.
    Effort,
}

impl ThinkingForm {
    /// True if the model takes an effort.
    #[must_use]
    pub fn has_effort(self) -> bool {
        matches!(self, Self::BudgetOrEffort | Self::Effort)
    }
}

/// What becomes of the thoughts of earlier turns.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum EarlierReasoning {
    /// The vendor refuses messages that have them.
    Refused,
    /// The vendor refuses calls of tools without them while the model thinks.
    Required,
    /// The vendor takes them without a signature.
    Unsigned,
}

/// What becomes of a conversation whose last words are the model's, for the model to go on with.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Prefill {
    /// The model refuses it.
    Refused,
    /// The message has `prefix: true`.
    Marked,
    /// The message has `partial: true`.
    Partial,
    /// The request has `continue_final_message: true` and `add_generation_prompt: false`.
    ContinueFinalMessage,
    /// The model goes on by itself.
    Taken,
}

impl Prefill {
    /// The member that marks the message, where there is one.
    #[must_use]
    pub fn mark(self) -> Option<&'static str> {
        match self {
            Self::Marked => Some("prefix"),
            Self::Partial => Some("partial"),
            Self::Refused | Self::ContinueFinalMessage | Self::Taken => None,
        }
    }
}

/// What ids of calls the vendor takes.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum CallIds {
    /// Nine letters and digits.
    NineLettersAndDigits,
}

/// Which cache points a model takes.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum CachePointUse {
    /// Behind tools, instructions and turns, for five minutes or an hour. Nothing is cached without.
    All,
    /// Behind instructions and turns, for five minutes.
    Turns,
}

/// Whose members a model on Amazon Bedrock takes in `additionalModelRequestFields`.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ModelFields {
    /// Anthropic's.
    Anthropic,
    /// Those of Amazon's Nova, the first version.
    Nova,
    /// Those of Amazon's Nova 2, which thinks.
    #[serde(rename = "nova_2")]
    Nova2,
    /// Those of OpenAI's models with open weights.
    GptOss,
    /// Those of OpenAI's other models.
    Openai,
    /// Cohere's.
    Cohere,
    /// None that are known.
    Other,
}

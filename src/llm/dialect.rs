//! The wire formats of LLM APIs, by name. What they look like is `dialects/`' to know.

/// Wire format of an API, as a preset or a provider names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// OpenAI's chat completions, completions and embeddings.
    OpenaiChat,
    /// OpenAI's responses.
    OpenaiResponses,
    /// Anthropic's messages.
    AnthropicMessages,
    /// Google's generateContent.
    Gemini,
    /// Amazon's Converse.
    BedrockConverse,
    /// Cohere's chat, version 2.
    CohereChat,
    /// No known format: only the pass-through reaches it.
    Passthrough,
}

impl Dialect {
    /// All that have a format, in the order of the documentation.
    pub const ALL: [Self; 6] = [
        Self::OpenaiChat,
        Self::OpenaiResponses,
        Self::AnthropicMessages,
        Self::Gemini,
        Self::BedrockConverse,
        Self::CohereChat,
    ];

    /// The name as written in settings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenaiChat => "openai-chat",
            Self::OpenaiResponses => "openai-responses",
            Self::AnthropicMessages => "anthropic-messages",
            Self::Gemini => "gemini",
            Self::BedrockConverse => "bedrock-converse",
            Self::CohereChat => "cohere-chat",
            Self::Passthrough => "passthrough",
        }
    }

    /// The dialect of that name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.name() == name)
    }
}

//! A chat request in no dialect: what any of them can ask.
//!
//! Every setting is optional, and an absent one is the provider's to choose. Units are those of the
//! dialects: tokens, and numbers without a unit.

use super::content::{CachePoint, DialectJson, Turn};
use super::dialect::Dialect;
use super::json::Json;
use super::openai_tool::OpenaiTool;

/// A request for the next turn of a conversation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChatRequest {
    /// The model, as the provider names it.
    pub model: String,
    /// The conversation, in order. Instructions are turns of the system or developer.
    pub turns: Vec<Turn>,
    /// What the model may call.
    pub tools: Vec<Tool>,
    /// Whether and what it must call.
    pub tool_choice: Option<ToolChoice>,
    /// It may call several tools at once.
    pub parallel_tool_calls: Option<bool>,
    /// The form of the answer.
    pub format: Option<Format>,
    /// Bound of the answer, reasoning included.
    pub max_tokens: Option<u64>,
    /// How it draws the next token.
    pub sampling: Sampling,
    /// Texts that end the answer.
    pub stop: Vec<String>,
    /// Number of answers; absent: one.
    pub n: Option<u64>,
    /// How much it thinks.
    pub reasoning: Option<ReasoningSettings>,
    /// OpenAI's `verbosity`: low, medium or high.
    pub verbosity: Option<String>,
    /// Log-probabilities are wanted: of this many alternatives of each token.
    pub top_logprobs: Option<u64>,
    /// The end user, for the vendor's abuse checks.
    pub user: Option<String>,
    /// The application's own labels.
    pub metadata: Vec<(String, String)>,
    /// The vendor's class of service, in its own words.
    pub service_tier: Option<String>,
    /// The expected answer, which speeds up a small change.
    pub prediction: Option<String>,
    /// What else than text the answer may be, in OpenAI's words (`audio`, `image`).
    pub modalities: Vec<String>,
    /// OpenAI's `audio`: voice and format of spoken answers.
    pub audio_output: Option<Json>,
    /// The client wants a stream.
    pub stream: bool,
    /// The client wants the usage in the stream; always so where the dialect has no such choice.
    pub include_usage: bool,
    /// The thoughts are to come sealed, so that the client can send them back.
    pub seal_reasoning: bool,
    /// The member that points to something which the provider keeps, such as an earlier answer. Only
    /// a provider of the request's own dialect can know it.
    pub needs_state: Option<String>,
    /// The dialect it came in, set by those whose defaults are not the usual ones: what the request
    /// leaves out means what it means there.
    pub origin: Option<Dialect>,
    /// Members of the request that its dialect alone knows, by name. One that stands inside of another
    /// has both names, with a dot between.
    pub extra_fields: Vec<(String, DialectJson)>,
}

/// How the next token is drawn.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sampling {
    /// 0 to 2, with Anthropic to 1.
    pub temperature: Option<f64>,
    /// Nucleus.
    pub top_p: Option<f64>,
    /// The likeliest so many.
    pub top_k: Option<u64>,
    /// The least share of the likeliest token.
    pub min_p: Option<f64>,
    /// -2 to 2.
    pub frequency_penalty: Option<f64>,
    /// -2 to 2.
    pub presence_penalty: Option<f64>,
    /// For the same answer again.
    pub seed: Option<i64>,
    /// OpenAI's map of token ids to biases.
    pub logit_bias: Option<Json>,
}

/// Something the model may call.
#[derive(Clone, Debug, PartialEq)]
pub enum Tool {
    /// A function of the application.
    Function(Function),
    /// The vendor's search of the web.
    WebSearch(WebSearch),
    /// The vendor's sandbox for code.
    CodeExecution,
    /// A tool that one vendor alone has.
    Raw(DialectJson),
}

/// A function of the application.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// What it does.
    pub description: Option<String>,
    /// JSON Schema of its arguments.
    pub parameters: Option<Json>,
    /// The arguments must follow the schema.
    pub strict: Option<bool>,
    /// The prompt is to be cached up to and with this tool.
    pub cache: Option<CachePoint>,
    /// What OpenAI's dialects say of it, where that is no plain function.
    pub openai: Option<Box<OpenaiTool>>,
}

/// A search of the web.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebSearch {
    /// Only these sites.
    pub allowed_domains: Vec<String>,
    /// Not these sites.
    pub blocked_domains: Vec<String>,
    /// At most so many searches.
    pub uses_max: Option<u64>,
    /// Where the user is, in the words of OpenAI and Anthropic, which agree.
    pub user_location: Option<Json>,
    /// OpenAI's `search_context_size`: low, medium or high.
    pub context_size: Option<String>,
}

/// Whether and what the model must call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolChoice {
    /// As it likes.
    Auto,
    /// Nothing.
    None,
    /// Something.
    Required,
    /// The function of this name.
    Function(String),
}

/// The form of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// Words.
    Text,
    /// Any JSON object.
    JsonObject,
    /// JSON that follows a schema.
    JsonSchema {
        /// Its name.
        name: Option<String>,
        /// What it is for.
        description: Option<String>,
        /// JSON Schema.
        schema: Json,
        /// The answer must follow it.
        strict: Option<bool>,
    },
}

/// How much the model thinks, in whichever of the two ways the dialect has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReasoningSettings {
    /// It does not think at all.
    pub is_off: bool,
    /// OpenAI's scale: `none`, `minimal`, `low`, `medium`, `high`, `xhigh`, `max`.
    pub effort: Option<String>,
    /// Bound of the thoughts.
    pub tokens_max: Option<u64>,
    /// The thoughts, or a summary, are to be shown. OpenAI's kinds of summary: `auto`, `concise`,
    /// `detailed`.
    pub summary: Option<String>,
    /// Whether the thoughts are to be in the answer.
    pub is_shown: Option<bool>,
}

/// Efforts and the budgets of tokens that stand for them, where one dialect has the words and the
/// other the number. From the ratios that OpenRouter publishes for the same translation (0.2, 0.5, 0.8
/// and 0.95 of an answer's bound), at a bound of 20,000 tokens; not below Anthropic's least of 1,024.
const EFFORTS: [(&str, u64); 6] = [
    ("minimal", 1024),
    ("low", 4000),
    ("medium", 10_000),
    ("high", 16_000),
    ("xhigh", 19_000),
    ("max", 19_000),
];

impl ReasoningSettings {
    /// The bound of tokens, given or derived from the effort.
    #[must_use]
    pub fn budget_tokens(&self) -> Option<u64> {
        let named = |effort: &String| {
            EFFORTS.iter().find(|(name, _)| name == effort).map(|(_, tokens)| *tokens)
        };
        self.tokens_max.or_else(|| self.effort.as_ref().and_then(named))
    }

    /// The effort, given or derived from the bound of tokens.
    #[must_use]
    pub fn effort_name(&self) -> Option<&str> {
        if self.is_off {
            return Some("none");
        }
        let by_tokens = |tokens: u64| {
            let enough = EFFORTS.iter().take(4).find(|(_, most)| tokens <= *most);
            enough.map_or("high", |(name, _)| *name)
        };
        self.effort.as_deref().or_else(|| self.tokens_max.map(by_tokens))
    }
}

impl ChatRequest {
    /// The functions among the tools.
    pub fn functions(&self) -> impl Iterator<Item = &Function> {
        self.tools.iter().filter_map(|tool| match tool {
            Tool::Function(function) => Some(function),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn efforts_and_budgets_convert() {
        let effort = |name: &str| ReasoningSettings {
            effort: Some(name.to_owned()),
            ..ReasoningSettings::default()
        };
        let budget =
            |tokens| ReasoningSettings { tokens_max: Some(tokens), ..ReasoningSettings::default() };
        assert_eq!(effort("low").budget_tokens(), Some(4000));
        assert_eq!(effort("none").budget_tokens(), None);
        for (tokens, name) in [(1024, "minimal"), (4000, "low"), (4001, "medium"), (64_000, "high")]
        {
            assert_eq!(budget(tokens).effort_name(), Some(name));
            assert_eq!(budget(tokens).budget_tokens(), Some(tokens));
        }
        let off = ReasoningSettings { is_off: true, ..ReasoningSettings::default() };
        assert_eq!(off.effort_name(), Some("none"));
    }
}

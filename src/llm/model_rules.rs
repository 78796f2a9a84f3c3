//! What a model and its vendor accept of a request, beyond the dialect itself: one table for all
//! dialects, `models/rules.toml`, to which an operator may add.

mod forms;
mod table;

use std::collections::BTreeMap;

use super::chat_request::ReasoningSettings;
use super::json::Json;
use crate::base::{Diagnostics, Pattern, member_path};

pub use forms::{CachePointUse, CallIds, EarlierReasoning, ModelFields, Prefill, ThinkingForm};
pub use table::find_rules;

/// A setting of a request that a model may refuse. The names are OpenAI's where it has one.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    serde::Deserialize,
    serde::Serialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum RefusedSetting {
    /// Randomness.
    Temperature,
    /// Nucleus sampling.
    TopP,
    /// The number of tokens to choose from.
    TopK,
    /// The least share of the likeliest token.
    MinP,
    /// The penalty by number.
    FrequencyPenalty,
    /// The penalty by presence.
    PresencePenalty,
    /// The seed.
    Seed,
    /// Biases of tokens.
    LogitBias,
    /// Log-probabilities.
    Logprobs,
    /// Texts that end the answer.
    Stop,
    /// Several answers.
    N,
    /// The name of a message's speaker.
    Name,
    /// The end user.
    User,
    /// Labels of the request.
    Metadata,
    /// The class of service.
    ServiceTier,
    /// How wordy the answer is.
    Verbosity,
    /// Several calls at once.
    ParallelToolCalls,
    /// Cache points.
    CacheControl,
    /// How much the model thinks.
    ReasoningEffort,
    /// What a stream ends with.
    StreamOptions,
    /// A choice of tools that forces a call.
    ForcedToolChoice,
    /// The promise to follow a tool's schema to the letter.
    StrictTools,
    /// A schema for the answer.
    JsonSchema,
    /// Pictures and documents inside the result of a tool.
    ToolResultMedia,
    /// A conversation that ends with the model's words.
    Prefill,
    /// The bound of the answer.
    MaxTokens,
}

impl RefusedSetting {
    /// The name as the table and the settings have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Temperature => "temperature",
            Self::TopP => "top_p",
            Self::TopK => "top_k",
            Self::MinP => "min_p",
            Self::FrequencyPenalty => "frequency_penalty",
            Self::PresencePenalty => "presence_penalty",
            Self::Seed => "seed",
            Self::LogitBias => "logit_bias",
            Self::Logprobs => "logprobs",
            Self::Stop => "stop",
            Self::N => "n",
            Self::Name => "name",
            Self::User => "user",
            Self::Metadata => "metadata",
            Self::ServiceTier => "service_tier",
            Self::Verbosity => "verbosity",
            Self::ParallelToolCalls => "parallel_tool_calls",
            Self::CacheControl => "cache_control",
            Self::ReasoningEffort => "reasoning_effort",
            Self::StreamOptions => "stream_options",
            Self::ForcedToolChoice => "forced_tool_choice",
            Self::StrictTools => "strict_tools",
            Self::JsonSchema => "json_schema",
            Self::ToolResultMedia => "tool_result_media",
            Self::Prefill => "prefill",
            Self::MaxTokens => "max_tokens",
        }
    }
}

/// The member that bounds an answer in OpenAI's chat completions.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum MaxTokensName {
    /// The older name, which most imitators know alone.
    MaxTokens,
    /// The newer name, which OpenAI's reasoning models know alone.
    MaxCompletionTokens,
}

impl MaxTokensName {
    /// The name of the member.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::MaxTokens => "max_tokens",
            Self::MaxCompletionTokens => "max_completion_tokens",
        }
    }

    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::MaxTokens => Self::MaxCompletionTokens,
            Self::MaxCompletionTokens => Self::MaxTokens,
        }
    }
}

/// Which requests for a model go to OpenAI's responses, where the provider has both APIs.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ResponsesUse {
    /// All: its chat completions do not serve the model.
    Always,
    /// Those of clients of other dialects: only responses show the thoughts.
    Translated,
}

/// Which requests with tools go to OpenAI's responses, since its chat completions refuse them.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ResponsesForTools {
    /// Those with an effort other than `none`.
    WithEffort,
    /// All but those with the effort `none`.
    UnlessOff,
}

/// One rule of what models accept.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, schemars::JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct ModelRule {
    /// Models that it is for, as the vendor names them, with `*` for any text, compared in lower case.
    /// Left out: all.
    pub models: Vec<String>,
    /// Settings that these models refuse. They are left out of translated requests, with a warning:
    /// `temperature`, `top_p`, `top_k`, `min_p`, `frequency_penalty`, `presence_penalty`, `seed`,
    /// `logit_bias`, `logprobs`, `stop`, `n`, `name`, `user`, `metadata`, `service_tier`, `verbosity`,
    /// `parallel_tool_calls`, `cache_control`, `reasoning_effort`, `stream_options`,
    /// `forced_tool_choice` (the model chooses itself), `strict_tools`, `json_schema` (Claude gets
    /// the schema in its instructions), `tool_result_media` (Gemini gets images next to the result),
    /// `prefill` (as the setting of that name does it with `refused`), `max_tokens`.
    pub refuses: Vec<RefusedSetting>,
    /// Settings that these models refuse while they think.
    pub refuses_when_thinking: Vec<RefusedSetting>,
    /// Settings that these models refuse beside the most of their `efforts`.
    pub refuses_at_most_effort: Vec<RefusedSetting>,
    /// Settings of which these models take one. Of a temperature and `top_p`, the temperature is sent.
    pub refuses_together: Vec<RefusedSetting>,
    /// True for models that think unless thinking is turned off.
    pub thinks_by_default: Option<bool>,
    /// Efforts of reasoning that these models take, from the least to the most; others become the
    /// nearest one. If `none` is missing, thinking cannot be turned off, and such a request gets the
    /// lowest effort instead. Left out: any.
    pub efforts: Vec<String>,
    /// Efforts that these models take while thinking is turned off, from the least to the most.
    /// Left out: the same.
    pub efforts_without_thinking: Vec<String>,
    /// How thinking is configured for these models in Anthropic's, Google's and Amazon's dialects: `never`,
    /// with a `budget` of tokens, with an `effort` (adaptive thinking, levels), `budget_or_effort`.
    /// Left out: with a budget in Anthropic's dialect, with an effort in the others.
    pub thinking_form: Option<ThinkingForm>,
    /// Smallest thinking budget in tokens, for a model that takes a budget and cannot turn thinking off.
    pub thinking_tokens_min: Option<u64>,
    /// True for models of Anthropic's that can be held to think between calls of tools only, which is
    /// requested where the client wants no thinking.
    pub thinks_between_tools: Option<bool>,
    /// The name under which these models take the bound of an answer in chat completions. The other
    /// name is changed to it, in requests that are forwarded as they are, too.
    pub max_tokens_name: Option<MaxTokensName>,
    /// The least bound of an answer that these models take, in tokens; lower ones are raised to it.
    pub max_tokens_min: Option<u64>,
    /// The member that holds the seed in chat completions, where it is not `seed`.
    pub seed_name: Option<String>,
    /// Members of the body that turn thinking on where the client requests it.
    pub thinking_on: Option<BTreeMap<String, serde_json::Value>>,
    /// Members of the body that turn thinking off where the client requests that.
    pub thinking_off: Option<BTreeMap<String, serde_json::Value>>,
    /// What becomes of thoughts of earlier turns: `refused` leaves them out, `required` puts a space
    /// in their place where a conversation with calls lacks them, `unsigned` sends those of others to
    /// a model on Amazon Bedrock, too.
    pub thoughts: Option<EarlierReasoning>,
    /// True for models of Google's that refuse calls of earlier turns without a signature. Calls that
    /// other models made are marked as such.
    pub signed_calls: Option<bool>,
    /// True for models of Anthropic's that take messages of the system inside the conversation.
    pub mid_conversation_system: Option<bool>,
    /// Which cache points a model on Amazon Bedrock takes: `all`, or `turns` for those behind
    /// instructions and turns, of five minutes. One that takes none refuses `cache_control`.
    pub cache_points: Option<CachePointUse>,
    /// Whose members a model on Amazon Bedrock takes in `additionalModelRequestFields`, for thoughts,
    /// sampling and single calls: `anthropic`, `nova`, `nova_2`, `gpt_oss`, `openai`, `cohere`,
    /// `other` for none. Left out: not known, as where the model is the ARN of an application's
    /// profile.
    pub model_fields: Option<ModelFields>,
    /// What becomes of a conversation that ends with the model's words: `refused` adds a user
    /// message that asks the model to continue, `marked` marks the last message with `prefix:
    /// true`, `partial` with `partial: true`; `continue_final_message` sets this member and
    /// `add_generation_prompt: false`; `taken` sends it as it is. Left out: as it is.
    pub prefill: Option<Prefill>,
    /// The form of the ids of calls; others are mapped to it.
    pub call_ids: Option<CallIds>,
    /// Longest name of a tool, in characters. Longer ones are shortened, and restored in the answer.
    #[schemars(range(min = 16, max = 1024))]
    pub tool_name_max: Option<u64>,
    /// Longest name of an end user, in characters. A hash stands for longer ones.
    #[schemars(range(min = 16, max = 1024))]
    pub user_max: Option<u64>,
    /// Which requests go to OpenAI's responses at a provider that has them: `always`, or
    /// `translated` for those of clients with another dialect.
    pub responses: Option<ResponsesUse>,
    /// Which requests with tools go to OpenAI's responses: those `with_effort`, or all `unless_off`.
    pub responses_for_tools: Option<ResponsesForTools>,
}

impl ModelRule {
    /// Reports what of a rule of the settings cannot be; `path` is the rule's.
    pub fn check(&self, path: &str, diagnostics: &mut Diagnostics) {
        if let Some(name) = &self.seed_name
            && (name.is_empty() || name.len() > 64)
        {
            let path = member_path(path, "seed_name");
            diagnostics.add(&path, "expected a name of 1 to 64 characters", "");
        }
    }

    /// True if it is for the model of that name, in lower case.
    fn is_for(&self, model: &str) -> bool {
        self.models.is_empty() || names(&self.models, model)
    }
}

/// True if one of the patterns matches the name or what follows its last slash.
fn names(patterns: &[String], model: &str) -> bool {
    let last = model.rsplit('/').next().unwrap_or(model);
    patterns.iter().any(|pattern| {
        let pattern = Pattern::new(pattern);
        pattern.matches(model) || pattern.matches(last)
    })
}

/// What is known of one model at one provider: all rules for it, in one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelRules {
    refuses: Vec<RefusedSetting>,
    refuses_when_thinking: Vec<RefusedSetting>,
    refuses_at_most_effort: Vec<RefusedSetting>,
    refuses_together: Vec<RefusedSetting>,
    /// See [`ModelRule::thinks_by_default`].
    pub thinks_by_default: bool,
    /// See [`ModelRule::efforts`].
    pub efforts: Vec<String>,
    /// See [`ModelRule::efforts_without_thinking`].
    pub efforts_without_thinking: Vec<String>,
    /// See [`ModelRule::thinking_form`].
    pub thinking_form: Option<ThinkingForm>,
    /// See [`ModelRule::thinking_tokens_min`].
    pub thinking_tokens_min: Option<u64>,
    /// See [`ModelRule::thinks_between_tools`].
    pub thinks_between_tools: bool,
    /// See [`ModelRule::max_tokens_name`].
    pub max_tokens_name: Option<MaxTokensName>,
    /// See [`ModelRule::max_tokens_min`].
    pub max_tokens_min: Option<u64>,
    /// Tokens of the longest answer, where the catalog knows them.
    pub max_tokens_most: Option<u64>,
    /// See [`ModelRule::seed_name`].
    pub seed_name: Option<String>,
    /// See [`ModelRule::thinking_on`].
    pub thinking_on: Vec<(String, Json)>,
    /// See [`ModelRule::thinking_off`].
    pub thinking_off: Vec<(String, Json)>,
    /// See [`ModelRule::thoughts`].
    pub thoughts: Option<EarlierReasoning>,
    /// See [`ModelRule::signed_calls`].
    pub signed_calls: bool,
    /// See [`ModelRule::mid_conversation_system`].
    pub mid_conversation_system: bool,
    /// See [`ModelRule::cache_points`].
    pub cache_points: Option<CachePointUse>,
    /// See [`ModelRule::model_fields`].
    pub model_fields: Option<ModelFields>,
    /// See [`ModelRule::prefill`].
    pub prefill: Option<Prefill>,
    /// See [`ModelRule::call_ids`].
    pub call_ids: Option<CallIds>,
    /// See [`ModelRule::tool_name_max`].
    pub tool_name_max: Option<u64>,
    /// See [`ModelRule::user_max`].
    pub user_max: Option<u64>,
    /// See [`ModelRule::responses`].
    pub responses: Option<ResponsesUse>,
    /// See [`ModelRule::responses_for_tools`].
    pub responses_for_tools: Option<ResponsesForTools>,
}

impl ModelRules {
    /// No rule at all.
    pub const NONE: &'static Self = &Self {
        refuses: Vec::new(),
        refuses_when_thinking: Vec::new(),
        refuses_at_most_effort: Vec::new(),
        refuses_together: Vec::new(),
        thinks_by_default: false,
        efforts: Vec::new(),
        efforts_without_thinking: Vec::new(),
        thinking_form: None,
        thinking_tokens_min: None,
        thinks_between_tools: false,
        max_tokens_name: None,
        max_tokens_min: None,
        max_tokens_most: None,
        seed_name: None,
        thinking_on: Vec::new(),
        thinking_off: Vec::new(),
        thoughts: None,
        signed_calls: false,
        mid_conversation_system: false,
        cache_points: None,
        model_fields: None,
        prefill: None,
        call_ids: None,
        tool_name_max: None,
        user_max: None,
        responses: None,
        responses_for_tools: None,
    };

    /// True if the request has the model think, as far as is known.
    #[must_use]
    pub fn thinks(&self, reasoning: Option<&ReasoningSettings>) -> bool {
        match reasoning.and_then(ReasoningSettings::effort_name) {
            Some(effort) => effort != "none",
            None => self.thinks_by_default,
        }
    }

    /// True if the model refuses the setting, beside those `reasoning` settings.
    #[must_use]
    pub fn refuses(&self, setting: RefusedSetting, reasoning: Option<&ReasoningSettings>) -> bool {
        let thinks = || self.thinks(reasoning);
        let is_most = || {
            let effort = reasoning.and_then(ReasoningSettings::effort_name);
            let nearest = effort.map(|effort| self.nearest_effort(effort).0);
            nearest.is_some() && nearest == self.efforts.last().map(String::as_str)
        };
        self.refuses.contains(&setting)
            || self.refuses_when_thinking.contains(&setting) && thinks()
            || self.refuses_at_most_effort.contains(&setting) && is_most()
    }

    /// Those of `settings` that are refused whatever the request is.
    #[must_use]
    pub fn always_refuses(&self, setting: RefusedSetting) -> bool {
        self.refuses.contains(&setting)
    }

    /// True if the model takes only one of the two.
    #[must_use]
    pub fn refuses_together(&self, one: RefusedSetting, other: RefusedSetting) -> bool {
        self.refuses_together.contains(&one) && self.refuses_together.contains(&other)
    }

    /// The least effort of a model whose thinking cannot be turned off; None for all others.
    #[must_use]
    pub fn least_effort(&self) -> Option<&str> {
        self.efforts.first().map(String::as_str).filter(|least| *least != "none")
    }

    /// The nearest effort that the model takes, and whether it is another one. Of two that are as near
    /// it is the greater one, but nothing becomes `none` or `max`, nor `none` more than the least.
    #[must_use]
    pub fn nearest_effort<'e>(&'e self, effort: &'e str) -> (&'e str, bool) {
        nearest(&self.efforts, effort)
    }

    /// The same for a model whose thinking is turned off.
    #[must_use]
    pub fn nearest_effort_without_thinking<'e>(&'e self, effort: &'e str) -> (&'e str, bool) {
        nearest(&self.efforts_without_thinking, effort)
    }

    fn add(&mut self, rule: &ModelRule) {
        let add_all = |all: &mut Vec<RefusedSetting>, more: &[RefusedSetting]| {
            for setting in more {
                if !all.contains(setting) {
                    all.push(*setting);
                }
            }
        };
        add_all(&mut self.refuses, &rule.refuses);
        add_all(&mut self.refuses_when_thinking, &rule.refuses_when_thinking);
        add_all(&mut self.refuses_at_most_effort, &rule.refuses_at_most_effort);
        add_all(&mut self.refuses_together, &rule.refuses_together);
        if !rule.efforts.is_empty() {
            self.efforts.clone_from(&rule.efforts);
        }
        if !rule.efforts_without_thinking.is_empty() {
            self.efforts_without_thinking.clone_from(&rule.efforts_without_thinking);
        }
        let members = |table: &BTreeMap<String, serde_json::Value>| {
            let json = |value: &serde_json::Value| Json::of_written(value.to_string());
            table.iter().map(|(key, value)| (key.clone(), json(value))).collect()
        };
        if let Some(table) = &rule.thinking_on {
            self.thinking_on = members(table);
        }
        if let Some(table) = &rule.thinking_off {
            self.thinking_off = members(table);
        }
        self.thinks_by_default = rule.thinks_by_default.unwrap_or(self.thinks_by_default);
        self.thinking_form = rule.thinking_form.or(self.thinking_form);
        self.thinking_tokens_min = rule.thinking_tokens_min.or(self.thinking_tokens_min);
        self.thinks_between_tools = rule.thinks_between_tools.unwrap_or(self.thinks_between_tools);
        self.signed_calls = rule.signed_calls.unwrap_or(self.signed_calls);
        self.mid_conversation_system =
            rule.mid_conversation_system.unwrap_or(self.mid_conversation_system);
        self.cache_points = rule.cache_points.or(self.cache_points);
        self.model_fields = rule.model_fields.or(self.model_fields);
        self.max_tokens_name = rule.max_tokens_name.or(self.max_tokens_name);
        self.max_tokens_min = rule.max_tokens_min.or(self.max_tokens_min);
        if rule.seed_name.is_some() {
            self.seed_name.clone_from(&rule.seed_name);
        }
        self.thoughts = rule.thoughts.or(self.thoughts);
        self.prefill = rule.prefill.or(self.prefill);
        self.call_ids = rule.call_ids.or(self.call_ids);
        self.tool_name_max = rule.tool_name_max.or(self.tool_name_max);
        self.user_max = rule.user_max.or(self.user_max);
        self.responses = rule.responses.or(self.responses);
        self.responses_for_tools = rule.responses_for_tools.or(self.responses_for_tools);
    }
}

/// See [`ModelRules::nearest_effort`]; any effort is one of an empty list.
fn nearest<'e>(efforts: &'e [String], effort: &'e str) -> (&'e str, bool) {
    const SCALE: [&str; 7] = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];
    if efforts.is_empty() || efforts.iter().any(|it| it == effort) {
        return (effort, false);
    }
    let rank = |name: &str| SCALE.iter().position(|it| *it == name);
    let Some(wanted) = rank(effort) else { return (effort, false) };
    let others = efforts.iter().filter(|it| !matches!(it.as_str(), "none" | "max"));
    let nearest = others.min_by_key(|it| {
        let at = rank(it).unwrap_or(SCALE.len());
        (at.abs_diff(wanted), at < wanted)
    });
    nearest.map_or((effort, false), |it| (it.as_str(), true))
}

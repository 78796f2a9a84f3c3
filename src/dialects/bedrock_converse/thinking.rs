//! Reasoning settings in the form of each model family, and the sampling parameters that a reasoning
//! model still accepts.

use super::write_messages::Conversation;
use crate::dialects::warnings::Warnings;
use crate::llm::{
    ChatRequest, ModelFields, ModelRules, ReasoningSettings, RefusedSetting, ThinkingForm,
    ToolChoice,
};

/// The smallest budget that Claude accepts, in tokens (Claude docs, "Extended thinking").
const BUDGET_TOKENS_MIN: u64 = 1024;

/// The budget if the request sets none: that of a medium effort.
const BUDGET_TOKENS_DEFAULT: u64 = 10_000;

/// The reasoning settings that are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Thinking<'r> {
    /// None; the model decides.
    Unset,
    /// No reasoning.
    Off,
    /// A budget of tokens.
    Budget(u64),
    /// As much as the model finds necessary, with that effort.
    Adaptive {
        effort: Option<&'r str>,
        /// Claude's value for whether the reasoning is shown.
        display: Option<&'static str>,
    },
    /// An effort only.
    Effort(&'r str),
}

/// The sampling settings that remain for a reasoning model.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct SamplingParameters {
    pub(super) max_tokens: Option<u64>,
    pub(super) temperature: Option<f64>,
    pub(super) top_p: Option<f64>,
    pub(super) top_k: Option<u64>,
}

impl<'r> Thinking<'r> {
    pub(super) fn of(
        request: &'r ChatRequest,
        rules: &'r ModelRules,
        conversation: &Conversation<'_>,
        warnings: &mut Warnings,
    ) -> Self {
        let Some(settings) = &request.reasoning else { return Self::Unset };
        let effort = settings.effort_name();
        let is_off = effort == Some("none");
        let nearest = |effort| rules.nearest_effort(effort).0;
        match rules.model_fields {
            Some(ModelFields::Anthropic) => {
                let thinking = Self::of_claude(rules, request, settings, warnings);
                thinking.unless_refused(request, conversation, warnings)
            }
            Some(ModelFields::Nova2) if is_off => Self::Off,
            Some(ModelFields::Nova2) => Self::Effort(nearest(effort.unwrap_or("medium"))),
            Some(ModelFields::GptOss) if is_off => {
                warnings.dropped("reasoning", "this model cannot be kept from it");
                Self::Unset
            }
            Some(ModelFields::GptOss | ModelFields::Openai) => {
                effort.map_or(Self::Unset, |it| Self::Effort(nearest(it)))
            }
            None => {
                warnings.dropped("reasoning", "the id of the model does not tell how it is asked");
                Self::Unset
            }
            _ => {
                warnings.dropped("reasoning", "this model has no such setting");
                Self::Unset
            }
        }
    }

    fn of_claude(
        rules: &'r ModelRules,
        request: &ChatRequest,
        settings: &'r ReasoningSettings,
        warnings: &mut Warnings,
    ) -> Self {
        let effort = settings.effort_name();
        let is_adaptive = rules.thinking_form.is_some_and(ThinkingForm::has_effort);
        if effort == Some("none") {
            return match (is_adaptive, rules.least_effort().is_some()) {
                // The older models reason on request only.
                (false, _) => Self::Unset,
                (true, false) => Self::Off,
                (true, true) => {
                    warnings.dropped("reasoning", "this model cannot be kept from it");
                    Self::Unset
                }
            };
        }
        if rules.thinking_form == Some(ThinkingForm::Never) {
            warnings.dropped("reasoning", "this model does not think");
            return Self::Unset;
        }
        if !is_adaptive {
            if settings.is_shown == Some(false) {
                warnings.dropped("the wish to hide thoughts", "this model shows them");
            }
            let budget = budget(settings, request.max_tokens, warnings);
            return budget.map_or(Self::Unset, Self::Budget);
        }
        if settings.tokens_max.is_some() && settings.effort.is_none() {
            warnings
                .changed("the bound of thoughts", "sent as an effort, which this model requires");
        }
        let display = match (settings.is_shown, &settings.summary) {
            (Some(false), _) => Some("omitted"),
            (Some(true), _) | (None, Some(_)) => Some("summarized"),
            (None, None) => None,
        };
        let effort = effort.map(|effort| rules.nearest_effort(effort).0);
        Self::Adaptive { effort, display }
    }

    /// Drops the reasoning settings if Claude rejects them with other, more important settings.
    fn unless_refused(
        self,
        request: &ChatRequest,
        conversation: &Conversation<'_>,
        warnings: &mut Warnings,
    ) -> Self {
        if !self.is_on() {
            return self;
        }
        if matches!(request.tool_choice, Some(ToolChoice::Required | ToolChoice::Function(_))) {
            warnings.dropped("reasoning", "this model does not think where a tool is forced");
            return Self::Unset;
        }
        if matches!(self, Self::Budget(_)) && conversation.calls_without_reasoning() {
            let why =
                "this model wants the signed thought behind the latest call, which is missing";
            warnings.dropped("reasoning", why);
            return Self::Unset;
        }
        self
    }

    pub(super) fn is_on(self) -> bool {
        matches!(self, Self::Budget(_) | Self::Adaptive { .. } | Self::Effort(_))
    }
}

/// The budget, which must leave room for the answer. None if it does not.
fn budget(
    settings: &ReasoningSettings,
    max_tokens: Option<u64>,
    warnings: &mut Warnings,
) -> Option<u64> {
    let wanted = settings.budget_tokens().unwrap_or(BUDGET_TOKENS_DEFAULT);
    let fitting = match max_tokens {
        // Four fifths, as for a high effort.
        Some(max) if wanted >= max => max / 5 * 4,
        _ => wanted.max(BUDGET_TOKENS_MIN),
    };
    if fitting < BUDGET_TOKENS_MIN {
        warnings.dropped("reasoning", "max_tokens leaves no room for it");
        return None;
    }
    if fitting != wanted {
        warnings.changed("the bound of thoughts", "must be 1024 or more, and less than max_tokens");
    }
    Some(fitting)
}

impl SamplingParameters {
    /// The sampling settings of `request` that a model with `rules` accepts with this reasoning.
    pub(super) fn of(
        request: &ChatRequest,
        rules: &ModelRules,
        thinking: Thinking<'_>,
        warnings: &mut Warnings,
    ) -> Self {
        let mut drawing = Self {
            max_tokens: request.max_tokens,
            temperature: request.sampling.temperature,
            top_p: request.sampling.top_p,
            top_k: request.sampling.top_k,
        };
        if let Some(temperature) = drawing.temperature.filter(|it| !(0.0..=1.0).contains(it)) {
            warnings.changed("temperature", "bedrock-converse takes 0 to 1");
            drawing.temperature = Some(temperature.clamp(0.0, 1.0));
        }
        if rules.model_fields == Some(ModelFields::Anthropic) {
            drawing.fit_claude(thinking, warnings);
        }
        if drawing.temperature.is_some()
            && rules.refuses_together(RefusedSetting::Temperature, RefusedSetting::TopP)
        {
            let why = "this model takes none beside a temperature";
            forget(&mut drawing.top_p, "top_p", why, warnings);
        }
        drawing
    }

    fn fit_claude(&mut self, thinking: Thinking<'_>, warnings: &mut Warnings) {
        if thinking.is_on() {
            let why = "this model takes none while it thinks";
            if self.temperature != Some(1.0) {
                forget(&mut self.temperature, "temperature", why, warnings);
            }
            if self.top_p.is_some_and(|top_p| top_p < 0.95) {
                forget(&mut self.top_p, "top_p", why, warnings);
            }
            forget(&mut self.top_k, "top_k", why, warnings);
        }
    }
}

fn forget<T>(setting: &mut Option<T>, what: &str, why: &str, warnings: &mut Warnings) {
    if setting.take().is_some() {
        warnings.dropped(what, why);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::BedrockConverse;
    use crate::dialects::adapt;
    use crate::dialects::codec::{ProviderCodec, TargetModel};
    use crate::dialects::warnings::Warnings;
    use crate::llm::{
        ChatRequest, Content, Dialect, Function, ModelFields, ModelRule, Part, ReasoningSettings,
        Role, Sampling, ThinkingForm, Tool, ToolCall, ToolChoice, ToolResult, Turn, find_rules,
    };

    const OLD_CLAUDE: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
    const NEW_CLAUDE: &str = "anthropic.claude-sonnet-5";

    fn base_request() -> ChatRequest {
        let turns = vec![Turn::new(Role::User, vec![Part::text("Hello")])];
        ChatRequest { turns, ..ChatRequest::default() }
    }

    fn thinking(change: impl FnOnce(&mut ReasoningSettings)) -> ChatRequest {
        let mut settings = ReasoningSettings::default();
        change(&mut settings);
        ChatRequest { reasoning: Some(settings), ..base_request() }
    }

    fn effort(effort: &str) -> ChatRequest {
        thinking(|settings| settings.effort = Some(effort.to_owned()))
    }

    fn budget(tokens: u64) -> ChatRequest {
        thinking(|settings| settings.tokens_max = Some(tokens))
    }

    /// The body without the messages, and the warnings.
    fn write(request: &ChatRequest, model: &str) -> (Value, String) {
        let (mut warnings, mut out) = (Warnings::default(), Vec::new());
        let rules = find_rules(None, Dialect::BedrockConverse, model, &[]);
        let target = TargetModel::new(model, true).with_rules(&rules);
        let fit = adapt(request, Dialect::BedrockConverse, &target, &mut warnings).request;
        BedrockConverse.write_request(&fit, &target, &mut warnings, &mut out).expect("sayable");
        let mut body: Value = serde_json::from_slice(&out).expect("JSON");
        body.as_object_mut().expect("an object").remove("messages");
        (body, warnings.header())
    }

    #[track_caller]
    fn check(request: &ChatRequest, model: &str, expected: Value, warnings: &str) {
        assert_eq!(write(request, model), (expected, warnings.to_owned()), "{model}");
    }

    fn fields(fields: Value) -> Value {
        json!({ "additionalModelRequestFields": fields })
    }

    #[test]
    fn thinking_members_follow_model_family() {
        let enabled =
            |tokens: u64| fields(json!({"thinking": {"type": "enabled", "budget_tokens": tokens}}));
        check(&effort("low"), OLD_CLAUDE, enabled(4000), "");
        check(&budget(2048), OLD_CLAUDE, enabled(2048), "");
        check(&thinking(|_| {}), OLD_CLAUDE, enabled(10_000), "");
        check(&effort("none"), OLD_CLAUDE, json!({}), "");
        let adaptive = |effort: &str| {
            json!({
                "additionalModelRequestFields": {"thinking": {"type": "adaptive"}},
                "outputConfig": {"effort": effort},
            })
        };
        check(&effort("xhigh"), NEW_CLAUDE, adaptive("xhigh"), "");
        let nearest = "changed reasoning effort: low, the nearest that this model takes";
        check(&effort("minimal"), NEW_CLAUDE, adaptive("low"), nearest);
        let warning = "changed the bound of thoughts: sent as an effort, which this model requires";
        check(&budget(4000), NEW_CLAUDE, adaptive("low"), warning);
        let off = fields(json!({"thinking": {"type": "disabled"}}));
        check(&effort("none"), NEW_CLAUDE, off, "");
        let cannot = "dropped reasoning: this model cannot be kept from it";
        check(&effort("none"), "anthropic.claude-fable-5", json!({}), cannot);
        let shown = thinking(|settings| settings.is_shown = Some(true));
        let display = json!({"thinking": {"type": "adaptive", "display": "summarized"}});
        check(&shown, NEW_CLAUDE, fields(display), "");
        let nova = json!({"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}});
        let nearest = "changed reasoning effort: high, the nearest that this model takes";
        check(&effort("xhigh"), "us.amazon.nova-2-lite-v1:0", fields(nova), nearest);
        let off = json!({"reasoningConfig": {"type": "disabled"}});
        check(&effort("none"), "us.amazon.nova-2-lite-v1:0", fields(off), "");
        let open = json!({"reasoning_effort": "medium"});
        check(&effort("medium"), "openai.gpt-oss-120b-1:0", fields(open), "");
        check(&effort("none"), "openai.gpt-oss-120b-1:0", json!({}), cannot);
        let nested = json!({"reasoning": {"effort": "medium"}});
        check(&effort("medium"), "us.openai.gpt-5.4", fields(nested), "");
        let no_such = "dropped reasoning: this model has no such setting";
        check(&effort("low"), "us.meta.llama4-scout-17b-instruct-v1:0", json!({}), no_such);
        check(&effort("low"), "amazon.nova-pro-v1:0", json!({}), no_such);
        let never = "dropped reasoning: this model does not think";
        check(&effort("low"), "anthropic.claude-3-5-sonnet-20241022-v2:0", json!({}), never);
    }

    #[test]
    fn model_rules_identify_arn_models() {
        let arn = "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/abc123";
        let own = ModelRule {
            models: vec!["*application-inference-profile/abc123".to_owned()],
            model_fields: Some(ModelFields::Anthropic),
            thinking_form: Some(ThinkingForm::Budget),
            ..ModelRule::default()
        };
        for (own, expected) in [
            (vec![own], json!({"thinking": {"type": "enabled", "budget_tokens": 2048}})),
            (Vec::new(), Value::Null),
        ] {
            let rules = find_rules(Some("bedrock"), Dialect::BedrockConverse, arn, &own);
            let target = TargetModel::new(arn, true).with_rules(&rules);
            let (mut warnings, mut out) = (Warnings::default(), Vec::new());
            let written =
                BedrockConverse.write_request(&budget(2048), &target, &mut warnings, &mut out);
            written.expect("sayable");
            let body: Value = serde_json::from_slice(&out).expect("JSON");
            assert_eq!(body["additionalModelRequestFields"], expected);
            assert_eq!(warnings.is_empty(), !own.is_empty(), "{}", warnings.header());
        }
    }

    #[test]
    fn thinking_budget_leaves_room_for_text() {
        for (tokens, max_tokens, expected, warns) in [
            (4000, Some(8000), Some(4000), false),
            (8000, Some(8000), Some(6400), true),
            (16_000, Some(2000), Some(1600), true),
            (4000, Some(1000), None, true),
            (500, None, Some(1024), true),
        ] {
            let request = ChatRequest { max_tokens, ..budget(tokens) };
            let (body, warnings) = write(&request, OLD_CLAUDE);
            let found = &body["additionalModelRequestFields"]["thinking"]["budget_tokens"];
            assert_eq!(found.as_u64(), expected, "{tokens} of {max_tokens:?}");
            assert_eq!(!warnings.is_empty(), warns, "{warnings}");
        }
    }

    #[test]
    fn thinking_models_drop_unsupported_sampling() {
        let sampling = Sampling {
            temperature: Some(0.5),
            top_p: Some(0.9),
            top_k: Some(5),
            ..Sampling::default()
        };
        let plain = ChatRequest { sampling: sampling.clone(), ..base_request() };
        let both = json!({
            "inferenceConfig": {"temperature": 0.5},
            "additionalModelRequestFields": {"top_k": 5},
        });
        check(
            &plain,
            OLD_CLAUDE,
            both,
            "dropped top_p: this model takes none beside a temperature",
        );
        let (body, warnings) = write(&plain, NEW_CLAUDE);
        assert_eq!(body, json!({}));
        assert_eq!(warnings.matches("this model refuses it").count(), 3);
        let request = ChatRequest { sampling: sampling.clone(), ..budget(2000) };
        let (body, warnings) = write(&request, OLD_CLAUDE);
        assert_eq!(body.get("inferenceConfig"), None);
        assert_eq!(warnings.matches("while it thinks").count(), 3);
        let high = ChatRequest { sampling, max_tokens: Some(9), ..effort("high") };
        let (body, warnings) = write(&high, "amazon.nova-2-lite-v1:0");
        assert_eq!(body.get("inferenceConfig"), None);
        assert_eq!(warnings.matches("this model refuses it").count(), 4);
        let medium = ChatRequest { reasoning: effort("medium").reasoning, ..high };
        let (body, _) = write(&medium, "amazon.nova-2-lite-v1:0");
        let expected = json!({"maxTokens": 9, "temperature": 0.5, "topP": 0.9});
        assert_eq!(body["inferenceConfig"], expected);
        let hot = Sampling { temperature: Some(1.7), ..Sampling::default() };
        let hot = ChatRequest { sampling: hot, ..base_request() };
        let changed = "changed temperature: bedrock-converse takes 0 to 1";
        check(&hot, "model-1", json!({"inferenceConfig": {"temperature": 1.0}}), changed);
    }

    #[test]
    fn thinking_is_off_where_claude_rejects_it() {
        let function = Function { name: "f".to_owned(), ..Function::default() };
        let forced = ChatRequest {
            tools: vec![Tool::Function(function)],
            tool_choice: Some(ToolChoice::Required),
            ..budget(2000)
        };
        let (body, warnings) = write(&forced, OLD_CLAUDE);
        assert_eq!(body.get("additionalModelRequestFields"), None);
        assert_eq!(warnings, "dropped reasoning: this model does not think where a tool is forced");
        let call = ToolCall { id: "1".to_owned(), name: "f".to_owned(), ..ToolCall::default() };
        let result = ToolResult {
            id: "1".to_owned(),
            name: None,
            parts: vec![Part::text("x")],
            is_error: false,
        };
        let mut request = ChatRequest { tool_choice: None, ..forced };
        request.turns.extend([
            Turn::new(Role::Assistant, vec![Part::new(Content::ToolCall(call))]),
            Turn::new(Role::Tool, vec![Part::new(Content::ToolResult(result))]),
        ]);
        let (body, warnings) = write(&request, OLD_CLAUDE);
        assert_eq!(body.get("additionalModelRequestFields"), None);
        assert!(warnings.contains("signed thought"), "{warnings}");
        let (body, _) = write(&request, NEW_CLAUDE);
        assert_eq!(body["additionalModelRequestFields"]["thinking"]["type"], "adaptive");
    }

    #[test]
    fn family_specific_members_are_written() {
        let sampling = Sampling {
            top_k: Some(5),
            seed: Some(7),
            presence_penalty: Some(0.5),
            ..Sampling::default()
        };
        let request = ChatRequest { sampling, ..base_request() };
        let cohere = json!({"k": 5, "seed": 7, "presence_penalty": 0.5});
        check(&request, "cohere.command-r-v1:0", fields(cohere), "");
        let top_k = ChatRequest {
            sampling: Sampling { top_k: Some(5), ..Sampling::default() },
            ..base_request()
        };
        let nova = fields(json!({"inferenceConfig": {"topK": 5}}));
        check(&top_k, "eu.amazon.nova-lite-v1:0", nova, "");
        let function = Function { name: "f".to_owned(), ..Function::default() };
        let mut single = ChatRequest {
            tools: vec![Tool::Function(function)],
            parallel_tool_calls: Some(false),
            ..base_request()
        };
        let choice = |request: &ChatRequest, model: &str| {
            write(request, model).0["additionalModelRequestFields"]["tool_choice"].clone()
        };
        let auto = json!({"type": "auto", "disable_parallel_tool_use": true});
        assert_eq!(choice(&single, OLD_CLAUDE), auto);
        assert_eq!(choice(&single, "anthropic.claude-3-haiku-20240307-v1:0"), Value::Null);
        single.tool_choice = Some(ToolChoice::Function("f".to_owned()));
        assert_eq!(choice(&single, OLD_CLAUDE), json!({"disable_parallel_tool_use": true}));
    }
}

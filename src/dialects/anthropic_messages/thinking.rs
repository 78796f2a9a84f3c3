//! How much a model thinks, and the limit of its output, which depend on each other.
//!
//! Older models have a budget of tokens, newer ones an effort, according to the rules of the model.
//! `llm::ReasoningSettings` converts one into the other.

use super::write_block::is_own;
use crate::dialects::extra_fields;
use crate::dialects::warnings::Warnings;
use crate::llm::{
    ChatRequest, Content, Dialect, ModelRules, ObjectWriter, ReasoningSettings, Role, ThinkingForm,
    ToolChoice, Turn,
};

/// `max_tokens` if neither the client nor the catalog has a limit. The vendor requires one, and all of
/// its models accept this (Claude 3 Haiku: 4,096; its page "Models overview").
const ANSWER_TOKENS: u64 = 4096;

/// The smallest budget that the vendor accepts (API reference, `thinking.budget_tokens`).
const BUDGET_TOKENS_MIN: u64 = 1024;

/// The share of the output limit that each effort stands for, in percent (OpenRouter's page "Reasoning
/// tokens", for the same conversion).
const SHARES: [(&str, u64); 6] =
    [("minimal", 10), ("low", 20), ("medium", 50), ("high", 80), ("xhigh", 95), ("max", 95)];

/// The reasoning settings and the limit that are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// The limit of the output, reasoning included.
    pub(super) max_tokens: u64,
    /// Absent: the model's default.
    pub(super) thinking: Option<Thinking>,
    /// The vendor's name of an effort.
    pub(super) effort: Option<&'static str>,
}

/// The forms of `thinking`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Thinking {
    Disabled,
    BetweenTools,
    Adaptive,
    Enabled { budget_tokens: u64 },
}

impl Plan {
    /// The settings of `request`, in the form that a model with `rules` accepts.
    pub(super) fn of(request: &ChatRequest, rules: &ModelRules, warnings: &mut Warnings) -> Self {
        let most = rules.max_tokens_most.unwrap_or(ANSWER_TOKENS);
        if request.max_tokens.is_none() {
            let how = format!("absent and required by anthropic-messages, so {most}");
            warnings.changed("max_tokens", &how);
        }
        let plain =
            Self { max_tokens: request.max_tokens.unwrap_or(most), thinking: None, effort: None };
        let Some(settings) = &request.reasoning else { return plain };
        if settings.is_off || settings.effort.as_deref() == Some("none") {
            return plain.without_reasoning(settings, rules, warnings);
        }
        if rules.thinking_form == Some(ThinkingForm::Never) {
            warnings.dropped("reasoning", "this model does not think");
            return plain;
        }
        let is_forced =
            matches!(request.tool_choice, Some(ToolChoice::Required | ToolChoice::Function(_)));
        if is_forced && !request.tools.is_empty() && rules.least_effort().is_none() {
            warnings.dropped("reasoning", "refused by anthropic-messages where a call is forced");
            return plain;
        }
        let is_set = settings.tokens_max.is_some() || settings.effort.is_some();
        match rules.thinking_form {
            Some(ThinkingForm::Effort) => plain.adaptive(settings, rules, warnings),
            Some(ThinkingForm::BudgetOrEffort) if settings.tokens_max.is_none() => {
                plain.adaptive(settings, rules, warnings)
            }
            // The newest form, since the request sets nothing else.
            None if !is_set => Self { thinking: Some(Thinking::Adaptive), ..plain },
            _ if lacks_reasoning(&request.turns) => {
                let why = "anthropic-messages wants the thought behind the calls back, and it is not here";
                warnings.dropped("reasoning", why);
                plain
            }
            _ => plain.with_budget(settings, request.max_tokens, warnings),
        }
    }

    /// True if the model reasons and therefore rejects sampling parameters.
    pub(super) fn thinks(&self) -> bool {
        matches!(self.thinking, Some(Thinking::Adaptive | Thinking::Enabled { .. }))
    }

    fn without_reasoning(
        self,
        settings: &ReasoningSettings,
        rules: &ModelRules,
        warnings: &mut Warnings,
    ) -> Self {
        let effort = match settings.effort.as_deref() {
            None | Some("none") => None,
            Some(name) if rules.thinking_form.is_some_and(ThinkingForm::has_effort) => {
                let (name, is_other) = rules.nearest_effort_without_thinking(name);
                if is_other {
                    let how = format!("{name}, the most without thoughts");
                    warnings.changed("reasoning effort", &how);
                }
                effort(name, rules, warnings)
            }
            Some(_) => {
                warnings.dropped("reasoning effort", "this model has none");
                None
            }
        };
        if rules.thinks_between_tools {
            warnings.changed("reasoning", "between_tools, since this model always thinks");
            return Self { thinking: Some(Thinking::BetweenTools), effort, ..self };
        }
        if let Some(least) = rules.least_effort() {
            let how = format!("effort {least}, since this model always thinks");
            warnings.changed("reasoning", &how);
            return Self { effort: vendor_effort(least), ..self };
        }
        let thinks = rules.thinking_form != Some(ThinkingForm::Never);
        Self { thinking: thinks.then_some(Thinking::Disabled), effort, ..self }
    }

    fn adaptive(
        self,
        settings: &ReasoningSettings,
        rules: &ModelRules,
        warnings: &mut Warnings,
    ) -> Self {
        if settings.tokens_max.is_some() {
            warnings
                .changed("the budget of thoughts", "sent as an effort, which this model requires");
        }
        let effort = settings.effort_name().and_then(|name| effort(name, rules, warnings));
        Self { thinking: Some(Thinking::Adaptive), effort, ..self }
    }

    /// `client_max` is the client's limit of output tokens.
    fn with_budget(
        self,
        settings: &ReasoningSettings,
        client_max: Option<u64>,
        warnings: &mut Warnings,
    ) -> Self {
        let effort = settings.effort.as_deref().unwrap_or("medium");
        let share = SHARES.iter().find(|(name, _)| *name == effort).map_or(50, |(_, share)| *share);
        let wanted = match (settings.tokens_max, client_max) {
            (Some(budget), _) => budget,
            (None, Some(bound)) => bound.saturating_mul(share) / 100,
            (None, None) => settings.budget_tokens().unwrap_or(ANSWER_TOKENS),
        };
        let budget_tokens = wanted.max(BUDGET_TOKENS_MIN);
        if settings.tokens_max.is_some_and(|budget| budget < budget_tokens) {
            warnings.changed("the budget of thoughts", "1024, the least");
        }
        let mut max_tokens = self.max_tokens;
        if max_tokens <= budget_tokens {
            max_tokens = budget_tokens.saturating_add(max_tokens);
            if client_max.is_some() {
                let how = format!("raised to {max_tokens}, since thoughts count and have a budget");
                warnings.changed("max_tokens", &how);
            }
        }
        Self { max_tokens, thinking: Some(Thinking::Enabled { budget_tokens }), effort: None }
    }

    /// Writes `thinking`, if it is set.
    pub(super) fn write(&self, root: &mut ObjectWriter<'_>, request: &ChatRequest) {
        let Some(thinking) = self.thinking else { return };
        root.object("thinking", |object| {
            object.text(
                "type",
                match thinking {
                    Thinking::Disabled => "disabled",
                    Thinking::BetweenTools => "between_tools",
                    Thinking::Adaptive => "adaptive",
                    Thinking::Enabled { .. } => "enabled",
                },
            );
            if let Thinking::Enabled { budget_tokens } = thinking {
                object.number("budget_tokens", budget_tokens);
            }
            if self.thinks() {
                object.optional_text("display", display(request, thinking));
            }
            for (key, value) in
                extra_fields::inside(request, Dialect::AnthropicMessages, ".thinking.")
            {
                object.raw(key, value);
            }
        });
    }
}

/// Whether the reasoning is shown. Models with a budget show it by default, and the oldest accept no
/// other value.
fn display(request: &ChatRequest, thinking: Thinking) -> Option<&'static str> {
    let settings = request.reasoning.as_ref()?;
    match settings.is_shown.or(settings.summary.is_some().then_some(true))? {
        false => Some("omitted"),
        true => (thinking == Thinking::Adaptive).then_some("summarized"),
    }
}

/// The vendor's name for an effort, the nearest that the model accepts.
fn effort(name: &str, rules: &ModelRules, warnings: &mut Warnings) -> Option<&'static str> {
    let (nearest, is_other) = rules.nearest_effort(name);
    if is_other {
        let how = format!("{nearest}, the nearest that this model takes");
        warnings.changed("reasoning effort", &how);
    }
    if nearest == "minimal" {
        warnings.changed("reasoning effort", "low, the least");
        return Some("low");
    }
    let effort = vendor_effort(nearest);
    if effort.is_none() {
        warnings.dropped("reasoning effort", "anthropic-messages has no such effort");
    }
    effort
}

fn vendor_effort(name: &str) -> Option<&'static str> {
    ["low", "medium", "high", "xhigh", "max"].into_iter().find(|known| *known == name)
}

/// True if the assistant waits for tool results and has no signed reasoning since the last user
/// message: with a budget, the vendor rejects that.
fn lacks_reasoning(turns: &[Turn]) -> bool {
    // State of the message after the current one: whether it is the assistant's, and whether it has
    // results.
    let (mut is_assistant, mut has_results) = (false, false);
    let mut has_calls = false;
    for turn in turns.iter().rev() {
        if turn.role != Role::Assistant {
            has_results = (has_results && !is_assistant) || turn.role == Role::Tool;
            is_assistant = false;
            continue;
        }
        if !is_assistant && !has_results {
            break;
        }
        is_assistant = true;
        let has = |found: fn(&Content) -> bool| turn.parts.iter().any(|it| found(&it.content));
        has_calls |= has(|content| matches!(content, Content::ToolCall(_)));
        if has(|content| matches!(content, Content::Reasoning(reasoning) if is_own(reasoning))) {
            return false;
        }
    }
    has_calls
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::{Part, Reasoning, Signature, Tool, ToolCall, ToolResult, find_rules};

    fn settings(effort: Option<&str>, tokens_max: Option<u64>) -> ReasoningSettings {
        let effort = effort.map(str::to_owned);
        ReasoningSettings { effort, tokens_max, ..ReasoningSettings::default() }
    }

    fn plan(request: &ChatRequest, model: &str) -> (Plan, Vec<String>) {
        let mut warnings = Warnings::default();
        let rules = find_rules(None, Dialect::AnthropicMessages, model, &[]);
        let plan = Plan::of(request, &rules, &mut warnings);
        (plan, warnings.iter().map(str::to_owned).collect())
    }

    fn check(
        model: &str,
        reasoning: ReasoningSettings,
        max_tokens: Option<u64>,
        expected: (u64, Option<Thinking>, Option<&str>),
        warnings: usize,
    ) {
        let case = format!("{model} {reasoning:?} {max_tokens:?}");
        let reasoning = Some(reasoning);
        let request = ChatRequest { reasoning, max_tokens, ..ChatRequest::default() };
        let (plan, found) = plan(&request, model);
        assert_eq!((plan.max_tokens, plan.thinking, plan.effort), expected, "{case}");
        assert_eq!(found.len(), warnings, "{case}: {found:?}");
    }

    const fn budget(budget_tokens: u64) -> Option<Thinking> {
        Some(Thinking::Enabled { budget_tokens })
    }

    #[test]
    fn thinking_budget_stays_below_max_tokens() {
        let (old, some) = ("claude-sonnet-4-5", Some(8000));
        check(old, settings(None, Some(4000)), some, (8000, budget(4000), None), 0);
        check(old, settings(None, Some(8000)), some, (16_000, budget(8000), None), 1);
        check(old, settings(None, Some(100)), some, (8000, budget(1024), None), 1);
        check(old, settings(Some("low"), None), some, (8000, budget(1600), None), 0);
        check(old, settings(Some("high"), None), some, (8000, budget(6400), None), 0);
        check(old, settings(Some("max"), None), Some(1000), (2024, budget(1024), None), 1);
        check(old, settings(Some("low"), None), None, (4096, budget(4000), None), 1);
        check(old, settings(Some("high"), None), None, (20_096, budget(16_000), None), 1);
        check(old, settings(None, None), some, (8000, budget(4000), None), 0);
        let endless = (u64::MAX, budget(u64::MAX), None);
        check(old, settings(None, Some(u64::MAX)), some, endless, 1);
    }

    #[test]
    fn newer_models_use_effort() {
        let (new, some) = ("claude-opus-5", Some(8000));
        let adaptive = |effort| (8000, Some(Thinking::Adaptive), effort);
        check(new, settings(None, None), some, adaptive(None), 0);
        check(new, settings(Some("xhigh"), None), some, adaptive(Some("xhigh")), 0);
        check(new, settings(Some("minimal"), None), some, adaptive(Some("low")), 1);
        check(new, settings(Some("vast"), None), some, adaptive(None), 1);
        check(new, settings(None, Some(4000)), some, adaptive(Some("low")), 1);
        check("claude-opus-4-6", settings(Some("xhigh"), None), some, adaptive(Some("high")), 1);
        check("claude-opus-4-6", settings(None, Some(2000)), some, (8000, budget(2000), None), 0);
        check("model-1", settings(None, None), some, adaptive(None), 0);
        check("claude-3-5-haiku", settings(Some("low"), None), some, (8000, None, None), 1);
    }

    #[test]
    fn thinking_is_disabled_where_possible() {
        let off = |effort| ReasoningSettings { is_off: true, ..settings(effort, None) };
        let disabled = Some(Thinking::Disabled);
        for (model, effort, thinking, expected, warnings) in [
            ("model-1", None, disabled, None, 0),
            ("claude-opus-5", Some("max"), disabled, Some("high"), 1),
            ("claude-opus-4-7", Some("max"), disabled, Some("max"), 0),
            ("claude-sonnet-4-5", Some("low"), disabled, None, 1),
            ("claude-3-5-haiku", None, None, None, 0),
            ("claude-opus-5-5", None, None, Some("low"), 1),
            ("claude-sonnet-5-5", None, Some(Thinking::BetweenTools), None, 1),
        ] {
            check(model, off(effort), Some(100), (100, thinking, expected), warnings);
        }
        check("model-1", settings(Some("none"), None), Some(100), (100, disabled, None), 0);
    }

    #[test]
    fn thinking_visibility_follows_request() {
        let shown = |is_shown| ReasoningSettings { is_shown, ..ReasoningSettings::default() };
        let summary = Some("auto".to_owned());
        let summary = ReasoningSettings { summary, ..ReasoningSettings::default() };
        for (reasoning, adaptive, enabled) in [
            (shown(None), None, None),
            (shown(Some(true)), Some("summarized"), None),
            (shown(Some(false)), Some("omitted"), Some("omitted")),
            (summary, Some("summarized"), None),
        ] {
            let request = ChatRequest { reasoning: Some(reasoning), ..ChatRequest::default() };
            assert_eq!(display(&request, Thinking::Adaptive), adaptive);
            let enabling = Thinking::Enabled { budget_tokens: 1024 };
            assert_eq!(display(&request, enabling), enabled);
        }
    }

    #[test]
    fn forced_tool_choice_disables_thinking() {
        let mut request = ChatRequest {
            max_tokens: Some(8000),
            reasoning: Some(settings(Some("low"), None)),
            tools: vec![Tool::CodeExecution],
            tool_choice: Some(ToolChoice::Required),
            ..ChatRequest::default()
        };
        for (model, thinks) in
            [("claude-sonnet-4-5", false), ("claude-opus-5", false), ("claude-fable-5", true)]
        {
            let (plan, warnings) = plan(&request, model);
            assert_eq!((plan.thinks(), warnings.is_empty()), (thinks, thinks), "{model}");
        }
        request.tool_choice = Some(ToolChoice::Auto);
        assert!(plan(&request, "claude-sonnet-4-5").0.thinks());
    }

    #[test]
    fn tool_loop_without_thinking_disables_thinking() {
        let turn = |role, content| Turn::new(role, vec![Part::new(content)]);
        let question = || Turn::new(Role::User, vec![Part::text("How warm is it?")]);
        let call = || turn(Role::Assistant, Content::ToolCall(ToolCall::default()));
        let result = || {
            let result =
                ToolResult { id: String::new(), name: None, parts: Vec::new(), is_error: false };
            turn(Role::Tool, Content::ToolResult(result))
        };
        let reasoning_part = |dialect| {
            let signature = Some(Signature { dialect, text: "c2ln".to_owned() });
            let reasoning = Reasoning { signature, ..Reasoning::default() };
            turn(Role::Assistant, Content::Reasoning(reasoning))
        };
        let own = || reasoning_part(Dialect::AnthropicMessages);
        let other = || reasoning_part(crate::llm::Dialect::Gemini);
        for (turns, lacks) in [
            (vec![question()], false),
            (vec![question(), call(), result()], true),
            (vec![question(), call(), result(), question()], true),
            (vec![question(), own(), call(), result()], false),
            (vec![question(), other(), call(), result()], true),
            (vec![question(), own(), call(), result(), call(), result()], false),
            (vec![question(), own(), call(), result(), own(), question(), call(), result()], true),
            (vec![question(), call(), result(), own(), question()], false),
            (vec![question(), call(), result(), call(), question()], false),
        ] {
            assert_eq!(lacks_reasoning(&turns), lacks, "{turns:?}");
        }
    }
}

//! Adapts a request to its model by the rules of `llm::ModelRules`, before a dialect writes it, so that
//! no dialect has rules for single models.

mod cache_points;
mod tool_names;

use std::borrow::Cow;

use super::codec::TargetModel;
use super::digest::{digest, mistral_call_id};
use super::service_tier;
use super::warnings::Warnings;
use crate::llm::{
    CallIds, ChatRequest, Content, Dialect, EarlierReasoning, ModelRules, Part, Prefill, Reasoning,
    RefusedSetting, Role, Sampling, Tool, ToolChoice, Turn,
};

pub use cache_points::set_cache_points;
pub use tool_names::ToolNames;

/// The user message that makes a model continue, if it does not continue its own last message.
const GO_ON: &str =
    "Continue your last message exactly where it stopped, and repeat nothing of it.";

/// Length of the hash that replaces an end-user name that is too long, in characters.
const USER_HASH_CHARACTERS: usize = 32;

/// A request that follows the rules of its model.
pub struct AdaptedRequest<'r> {
    /// Borrowed if nothing had to change.
    pub request: Cow<'r, ChatRequest>,
    /// Tools that were renamed, to restore their names in the response.
    pub tool_names: ToolNames,
}

/// Changes what `target` rejects in `request`; `dialect` is the one in which it is written.
#[must_use]
pub fn adapt<'r>(
    request: &'r ChatRequest,
    dialect: Dialect,
    target: &TargetModel<'_>,
    warnings: &mut Warnings,
) -> AdaptedRequest<'r> {
    let rules = target.rules;
    let mut request = Cow::Borrowed(request);
    drop_refused(&mut request, rules, warnings);
    fit_tool_choice(&mut request, rules, warnings);
    fit_effort(&mut request, dialect, rules, warnings);
    fit_bound(&mut request, rules, warnings);
    fit_user(&mut request, rules, warnings);
    fit_call_ids(&mut request, rules);
    fit_reasoning(&mut request, rules, warnings);
    fit_end(&mut request, rules, warnings);
    let tool_names = ToolNames::shorten(&mut request, dialect, rules, warnings);
    AdaptedRequest { request, tool_names }
}

/// Drops the settings that the model rejects, with a warning unless the value is the default anyway.
fn drop_refused(request: &mut Cow<'_, ChatRequest>, rules: &ModelRules, warnings: &mut Warnings) {
    use RefusedSetting as Setting;
    let reasoning = request.reasoning.clone();
    for setting in [
        Setting::Temperature,
        Setting::TopP,
        Setting::TopK,
        Setting::MinP,
        Setting::FrequencyPenalty,
        Setting::PresencePenalty,
        Setting::Seed,
        Setting::LogitBias,
        Setting::Logprobs,
        Setting::Stop,
        Setting::N,
        Setting::Name,
        Setting::User,
        Setting::Metadata,
        Setting::ServiceTier,
        Setting::Verbosity,
        Setting::ParallelToolCalls,
        Setting::CacheControl,
        Setting::StrictTools,
        Setting::MaxTokens,
    ] {
        if !rules.refuses(setting, reasoning.as_ref()) || !is_set(request, setting) {
            continue;
        }
        if !is_usual(request, setting) {
            warnings.dropped(setting.name(), "this model refuses it");
        }
        clear(request.to_mut(), setting);
    }
}

fn is_set(request: &ChatRequest, setting: RefusedSetting) -> bool {
    use RefusedSetting as Setting;
    let Sampling {
        temperature,
        top_p,
        top_k,
        min_p,
        frequency_penalty,
        presence_penalty,
        seed,
        logit_bias,
    } = &request.sampling;
    match setting {
        Setting::Temperature => temperature.is_some(),
        Setting::TopP => top_p.is_some(),
        Setting::TopK => top_k.is_some(),
        Setting::MinP => min_p.is_some(),
        Setting::FrequencyPenalty => frequency_penalty.is_some(),
        Setting::PresencePenalty => presence_penalty.is_some(),
        Setting::Seed => seed.is_some(),
        Setting::LogitBias => logit_bias.is_some(),
        Setting::Logprobs => request.top_logprobs.is_some(),
        Setting::Stop => !request.stop.is_empty(),
        Setting::N => request.n.is_some(),
        Setting::Name => request.turns.iter().any(|turn| turn.name.is_some()),
        Setting::User => request.user.is_some(),
        Setting::Metadata => !request.metadata.is_empty(),
        Setting::ServiceTier => request.service_tier.is_some(),
        Setting::Verbosity => request.verbosity.is_some(),
        Setting::ParallelToolCalls => request.parallel_tool_calls.is_some(),
        Setting::CacheControl => cache_points::has_cache_points(request),
        Setting::MaxTokens => request.max_tokens.is_some(),
        Setting::StrictTools => request.functions().any(|function| function.strict == Some(true)),
        // The dialects drop these themselves, or write them in another form.
        Setting::ReasoningEffort
        | Setting::StreamOptions
        | Setting::ForcedToolChoice
        | Setting::JsonSchema
        | Setting::ToolResultMedia
        | Setting::Prefill => false,
    }
}

/// True if the value of `setting` has the same effect as its absence.
fn is_usual(request: &ChatRequest, setting: RefusedSetting) -> bool {
    use RefusedSetting as Setting;
    let sampling = &request.sampling;
    match setting {
        Setting::Temperature => sampling.temperature == Some(1.0),
        Setting::TopP => sampling.top_p == Some(1.0),
        Setting::FrequencyPenalty => sampling.frequency_penalty == Some(0.0),
        Setting::PresencePenalty => sampling.presence_penalty == Some(0.0),
        Setting::N => request.n == Some(1),
        Setting::ServiceTier => {
            let tier = request.service_tier.as_deref().and_then(service_tier::of_request);
            matches!(tier, Some("auto" | "default"))
        }
        Setting::ParallelToolCalls => request.parallel_tool_calls == Some(true),
        _ => false,
    }
}

fn clear(request: &mut ChatRequest, setting: RefusedSetting) {
    use RefusedSetting as Setting;
    let sampling = &mut request.sampling;
    match setting {
        Setting::Temperature => sampling.temperature = None,
        Setting::TopP => sampling.top_p = None,
        Setting::TopK => sampling.top_k = None,
        Setting::MinP => sampling.min_p = None,
        Setting::FrequencyPenalty => sampling.frequency_penalty = None,
        Setting::PresencePenalty => sampling.presence_penalty = None,
        Setting::Seed => sampling.seed = None,
        Setting::LogitBias => sampling.logit_bias = None,
        Setting::Logprobs => request.top_logprobs = None,
        Setting::Stop => request.stop.clear(),
        Setting::N => request.n = None,
        Setting::Name => request.turns.iter_mut().for_each(|turn| turn.name = None),
        Setting::User => request.user = None,
        Setting::Metadata => request.metadata.clear(),
        Setting::ServiceTier => request.service_tier = None,
        Setting::Verbosity => request.verbosity = None,
        Setting::ParallelToolCalls => request.parallel_tool_calls = None,
        Setting::CacheControl => clear_cache_points(request),
        Setting::StrictTools => clear_strictness(request),
        Setting::MaxTokens => request.max_tokens = None,
        Setting::ReasoningEffort
        | Setting::StreamOptions
        | Setting::ForcedToolChoice
        | Setting::JsonSchema
        | Setting::ToolResultMedia
        | Setting::Prefill => {}
    }
}

fn clear_cache_points(request: &mut ChatRequest) {
    for tool in &mut request.tools {
        if let Tool::Function(function) = tool {
            function.cache = None;
        }
    }
    for part in request.turns.iter_mut().flat_map(|turn| &mut turn.parts) {
        part.cache = None;
        if let Content::ToolResult(result) = &mut part.content {
            result.parts.iter_mut().for_each(|part| part.cache = None);
        }
    }
}

fn clear_strictness(request: &mut ChatRequest) {
    for tool in &mut request.tools {
        if let Tool::Function(function) = tool
            && function.strict == Some(true)
        {
            function.strict = None;
        }
    }
}

/// Lets a model that rejects a forced tool call choose by itself.
fn fit_tool_choice(
    request: &mut Cow<'_, ChatRequest>,
    rules: &ModelRules,
    warnings: &mut Warnings,
) {
    let choice = &request.tool_choice;
    let is_forced = matches!(choice, Some(ToolChoice::Required | ToolChoice::Function(_)));
    if is_forced
        && !request.tools.is_empty()
        && rules.refuses(RefusedSetting::ForcedToolChoice, request.reasoning.as_ref())
    {
        warnings.changed("tool_choice", "auto, since this model refuses to be forced");
        request.to_mut().tool_choice = Some(ToolChoice::Auto);
    }
}

/// Adjusts the effort. OpenAI's dialects have efforts only; the other dialects turn thinking off and
/// limit it in their own way, and adapt it to the model themselves.
fn fit_effort(
    request: &mut Cow<'_, ChatRequest>,
    dialect: Dialect,
    rules: &ModelRules,
    warnings: &mut Warnings,
) {
    let is_openai = matches!(dialect, Dialect::OpenaiChat | Dialect::OpenaiResponses);
    let settings = request.reasoning.as_ref();
    let effort = settings.filter(|it| is_openai || it.effort.is_some());
    let effort = effort.and_then(|it| it.effort_name());
    let effort = effort.filter(|effort| is_openai || *effort != "none");
    let Some((nearest, true)) = effort.map(|effort| rules.nearest_effort(effort)) else { return };
    let nearest = nearest.to_owned();
    warnings.changed("reasoning effort", &format!("{nearest}, the nearest that this model takes"));
    if let Some(reasoning) = &mut request.to_mut().reasoning {
        reasoning.is_off = false;
        reasoning.tokens_max = None;
        reasoning.effort = Some(nearest);
    }
}

fn fit_bound(request: &mut Cow<'_, ChatRequest>, rules: &ModelRules, warnings: &mut Warnings) {
    let Some(requested) = request.max_tokens else { return };
    let least = rules.max_tokens_min.filter(|least| requested < *least);
    let most = rules.max_tokens_most.filter(|most| requested > *most);
    if let Some(least) = least {
        warnings.changed("max_tokens", &format!("{least}, the least that this model takes"));
    } else if let Some(most) = most {
        warnings.changed("max_tokens", &format!("{most}, the most that this model gives"));
    }
    if let Some(bound) = least.or(most) {
        request.to_mut().max_tokens = Some(bound);
    }
}

fn fit_user(request: &mut Cow<'_, ChatRequest>, rules: &ModelRules, warnings: &mut Warnings) {
    let most = rules.user_max.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
    let Some(user) = request.user.as_ref().filter(|user| user.chars().count() > most) else {
        return;
    };
    let hash = digest(user, USER_HASH_CHARACTERS.min(most));
    warnings
        .changed("user", &format!("a hash of it, since more than {most} characters are refused"));
    request.to_mut().user = Some(hash);
}

fn fit_call_ids(request: &mut Cow<'_, ChatRequest>, rules: &ModelRules) {
    let Some(CallIds::NineLettersAndDigits) = rules.call_ids else { return };
    let fits = |id: &str| mistral_call_id(id) == id;
    let mut ids = request.turns.iter().flat_map(|turn| &turn.parts).filter_map(call_id);
    if ids.all(fits) {
        return;
    }
    for part in request.to_mut().turns.iter_mut().flat_map(|turn| &mut turn.parts) {
        let (Content::ToolCall(crate::llm::ToolCall { id, .. })
        | Content::ToolResult(crate::llm::ToolResult { id, .. })) = &mut part.content
        else {
            continue;
        };
        *id = mistral_call_id(id).into_owned();
    }
}

fn call_id(part: &Part) -> Option<&str> {
    match &part.content {
        Content::ToolCall(call) => Some(&call.id),
        Content::ToolResult(result) => Some(&result.id),
        _ => None,
    }
}

fn fit_reasoning(request: &mut Cow<'_, ChatRequest>, rules: &ModelRules, warnings: &mut Warnings) {
    let is_reasoning = |part: &Part| matches!(part.content, Content::Reasoning(_));
    let parts = || request.turns.iter().flat_map(|turn| &turn.parts);
    let signed =
        |part: &Part| matches!(&part.content, Content::ToolCall(it) if it.signature.is_some());
    match rules.thoughts {
        Some(EarlierReasoning::Refused)
            if parts().any(|part| is_reasoning(part) || signed(part)) =>
        {
            warnings.dropped("a thought", "this vendor takes none back");
            let turns = &mut request.to_mut().turns;
            for turn in turns.iter_mut() {
                turn.parts.retain(|part| !is_reasoning(part));
                for part in &mut turn.parts {
                    if let Content::ToolCall(call) = &mut part.content {
                        call.signature = None;
                    }
                }
            }
            turns.retain(|turn| !turn.parts.is_empty());
        }
        Some(EarlierReasoning::Required) if rules.thinks(request.reasoning.as_ref()) => {
            let is_call = |part: &Part| matches!(part.content, Content::ToolCall(_));
            if parts().any(is_call) {
                placeholder_reasoning(request);
            }
        }
        _ => {}
    }
}

/// Sends a space as the reasoning of assistant turns without any: the vendor requires some text.
fn placeholder_reasoning(request: &mut Cow<'_, ChatRequest>) {
    let lacks = |turn: &Turn| {
        let has_words = |part: &Part| matches!(&part.content, Content::Reasoning(reasoning) if !reasoning.text.is_empty());
        turn.role == Role::Assistant && !turn.parts.iter().any(has_words)
    };
    if !request.turns.iter().any(lacks) {
        return;
    }
    for turn in request.to_mut().turns.iter_mut().filter(|turn| lacks(turn)) {
        let reasoning = Reasoning { text: " ".to_owned(), ..Reasoning::default() };
        turn.parts.insert(0, Part::new(Content::Reasoning(reasoning)));
    }
}

/// Appends a user message that requests the continuation, if the model does not continue its own
/// message.
fn fit_end(request: &mut Cow<'_, ChatRequest>, rules: &ModelRules, warnings: &mut Warnings) {
    let is_refused = rules.prefill == Some(Prefill::Refused)
        || rules.refuses(RefusedSetting::Prefill, request.reasoning.as_ref());
    if is_refused && ends_with_answer(request) {
        let how = "the user asks to go on, since this model takes no answer that is begun";
        warnings.changed("the last message", how);
        request.to_mut().turns.push(Turn::new(Role::User, vec![Part::text(GO_ON)]));
    }
}

/// True if the conversation ends with an assistant message.
pub(super) fn ends_with_answer(request: &ChatRequest) -> bool {
    let is_call = |part: &Part| matches!(part.content, Content::ToolCall(_));
    let has_words = |part: &Part| match &part.content {
        Content::Text(text) => !text.text.trim().is_empty(),
        Content::Refusal(text) => !text.trim().is_empty(),
        _ => false,
    };
    request.turns.last().is_some_and(|turn| {
        turn.role == Role::Assistant
            && turn.parts.iter().any(has_words)
            && !turn.parts.iter().any(is_call)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::dialects::codec;
    use crate::llm::{Function, ReasoningSettings, find_rules};

    /// The body for a model at a provider of that preset, and the warnings.
    fn sent(
        (preset, dialect, model): (&str, Dialect, &str),
        request: &ChatRequest,
    ) -> (Value, String) {
        let rules = find_rules(Some(preset), dialect, model, &[]);
        let target = TargetModel::new(model, preset == "openai").with_rules(&rules);
        let (mut warnings, mut out) = (Warnings::default(), Vec::new());
        let fit = adapt(request, dialect, &target, &mut warnings).request;
        let writer = codec(dialect).expect("a dialect with code");
        writer.write_request(&fit, &target, &mut warnings, &mut out).expect("sayable");
        (serde_json::from_slice(&out).expect("JSON"), warnings.header())
    }

    fn begun(reasoning: Option<ReasoningSettings>) -> ChatRequest {
        let turns = vec![
            Turn::new(Role::User, vec![Part::text("List three.")]),
            Turn::new(Role::Assistant, vec![Part::text("1. Oslo")]),
        ];
        ChatRequest { turns, reasoning, max_tokens: Some(4000), ..ChatRequest::default() }
    }

    fn effort(name: &str) -> Option<ReasoningSettings> {
        Some(ReasoningSettings { effort: Some(name.to_owned()), ..ReasoningSettings::default() })
    }

    #[test]
    fn assistant_prefill_by_chat_vendor() {
        let marked = |mark: Option<&str>| {
            let mut message = json!({"role": "assistant", "content": "1. Oslo"});
            if let Some(mark) = mark {
                message[mark] = json!(true);
            }
            message
        };
        for (preset, model, mark) in [
            ("mistral-ai", "devstral-latest", Some("prefix")),
            ("moonshot", "kimi-k2.6", Some("partial")),
            ("dashscope", "qwen3-max", Some("partial")),
            ("groq", "llama-3.3-70b-versatile", None),
            ("vllm", "qwen3-32b", None),
            ("sglang", "llama-3.1-8b", None),
            ("openai", "gpt-5.1", None),
            ("together-ai", "llama-3.3-70b", None),
        ] {
            let (body, warnings) = sent((preset, Dialect::OpenaiChat, model), &begun(None));
            let messages = body["messages"].as_array().expect("messages");
            assert_eq!(messages.get(1..), Some(&[marked(mark)][..]), "{preset}");
            assert_eq!(warnings, "", "{preset}");
            let is_continued = matches!(preset, "vllm" | "sglang");
            let members = (&body["continue_final_message"], &body["add_generation_prompt"]);
            let expected =
                if is_continued { (json!(true), json!(false)) } else { Default::default() };
            assert_eq!(members, (&expected.0, &expected.1), "{preset}");
        }
    }

    #[test]
    fn unsupported_prefill_becomes_a_user_turn() {
        use Dialect::{AnthropicMessages, BedrockConverse, Gemini, OpenaiChat};
        let off = || Some(ReasoningSettings { is_off: true, ..ReasoningSettings::default() });
        for (preset, dialect, model, reasoning, is_refused) in [
            ("deepseek", OpenaiChat, "deepseek-reasoner", None, true),
            ("deepseek", OpenaiChat, "deepseek-chat", None, true),
            ("dashscope", OpenaiChat, "qwen3-max", effort("low"), true),
            ("dashscope", OpenaiChat, "qwen3-max", off(), false),
            ("openrouter", OpenaiChat, "anthropic/claude-opus-4.6", None, true),
            ("anthropic", AnthropicMessages, "claude-sonnet-4-6", None, true),
            ("anthropic", AnthropicMessages, "claude-haiku-4-5", None, false),
            ("anthropic", AnthropicMessages, "claude-haiku-4-5", off(), false),
            ("anthropic", AnthropicMessages, "claude-haiku-4-5", effort("low"), true),
            ("bedrock", BedrockConverse, "us.meta.llama4-scout-17b-instruct-v1:0", None, true),
            ("bedrock", BedrockConverse, "anthropic.claude-sonnet-5", None, true),
            ("bedrock", BedrockConverse, "anthropic.claude-haiku-4-5-v1:0", None, false),
            ("bedrock", BedrockConverse, "amazon.nova-lite-v1:0", None, false),
            ("bedrock", BedrockConverse, "model-1", None, false),
            ("perplexity-ai", OpenaiChat, "sonar", None, true),
            ("google", Gemini, "gemini-3.8-flash", None, true),
            ("google", Gemini, "gemini-3.5-flash-lite", None, true),
            ("google", Gemini, "gemini-flash-latest", None, true),
            ("google", Gemini, "gemini-3.5-flash", None, false),
            ("google", Gemini, "gemini-3.1-pro-preview", None, false),
            ("google", Gemini, "gemini-pro-latest", None, false),
            ("google", Gemini, "gemini-2.5-pro", None, false),
            ("google", Gemini, "model-1", None, false),
        ] {
            let (body, warnings) = sent((preset, dialect, model), &begun(reasoning));
            let is_google = dialect == Gemini;
            let messages = &body[if is_google { "contents" } else { "messages" }];
            let messages = messages.as_array().expect("messages");
            let model_role = if is_google { "model" } else { "assistant" };
            let last = if is_refused { "user" } else { model_role };
            assert_eq!(messages.len(), if is_refused { 3 } else { 2 }, "{model}");
            assert_eq!(messages.last().expect("one")["role"], last, "{model}");
            assert_eq!(warnings.contains("the last message"), is_refused, "{model} {warnings}");
            let is_marked = preset == "dashscope" && !is_refused;
            assert_eq!(body.to_string().contains("\"partial\":true"), is_marked, "{body}");
        }
    }

    #[test]
    fn unsupported_forced_tool_choice_becomes_auto() {
        let function = Function { name: "f".to_owned(), ..Function::default() };
        let turns = vec![Turn::new(Role::User, vec![Part::text("Hello")])];
        let request = ChatRequest {
            turns,
            tools: vec![Tool::Function(function)],
            tool_choice: Some(ToolChoice::Required),
            ..ChatRequest::default()
        };
        let any = json!({"type": "any"});
        for (dialect, model, expected) in [
            (Dialect::AnthropicMessages, "claude-opus-5", any),
            (Dialect::AnthropicMessages, "claude-opus-5-5", json!({"type": "auto"})),
            (Dialect::BedrockConverse, "anthropic.claude-opus-5", json!({"any": {}})),
            (Dialect::BedrockConverse, "anthropic.claude-opus-5-5", Value::Null),
        ] {
            let (body, warnings) = sent(("anthropic", dialect, model), &request);
            let choice = match dialect {
                Dialect::BedrockConverse => &body["toolConfig"]["toolChoice"],
                _ => &body["tool_choice"],
            };
            assert_eq!(*choice, expected, "{model}");
            assert_eq!(warnings.contains("tool_choice"), model.ends_with("5-5"), "{warnings}");
        }
        let toolless = ChatRequest { tools: Vec::new(), ..request };
        let anthropic = ("anthropic", Dialect::AnthropicMessages, "claude-opus-5-5");
        let (body, warnings) = sent(anthropic, &toolless);
        assert_eq!(body.get("tool_choice"), None);
        assert!(warnings.contains("there is no tool to choose"), "{warnings}");
    }
}

//! The built-in table, and how the rules for one model are found in it.

use std::sync::LazyLock;

use super::{ModelRule, ModelRules, names};
use crate::llm::Dialect;

/// One row of the table.
#[derive(Debug, serde::Deserialize)]
struct Row {
    #[serde(default)]
    presets: Vec<String>,
    #[serde(default)]
    dialects: Vec<Dialect>,
    #[serde(default)]
    except: Vec<String>,
    family: Option<String>,
    since: Option<String>,
    before: Option<String>,
    #[serde(flatten)]
    rule: ModelRule,
}

#[derive(serde::Deserialize)]
struct Table {
    rules: Vec<Row>,
}

static TABLE: LazyLock<Vec<Row>> = LazyLock::new(|| {
    let text = include_str!("../../../models/rules.toml");
    toml::from_str::<Table>(text).expect("a test reads the built-in file").rules
});

/// A version: its first two numbers.
type Version = (u32, u32);

/// What a name without a version counts as.
const NEWEST: Version = (u32::MAX, 0);

impl Row {
    fn is_for(&self, preset: Option<&str>, dialect: Dialect, model: &str) -> bool {
        let is_preset = |slug: &String| preset == Some(slug.as_str());
        (self.presets.is_empty() || self.presets.iter().any(is_preset))
            && (self.dialects.is_empty() || self.dialects.contains(&dialect))
            && self.rule.is_for(model)
            && !names(&self.except, model)
            && self.is_of_version(model)
    }

    fn is_of_version(&self, model: &str) -> bool {
        let Some(family) = &self.family else { return true };
        let Some((_, rest)) = model.split_once(family.as_str()) else { return false };
        let version = version(rest);
        let bound = |text: &Option<String>| text.as_deref().map(self::version);
        bound(&self.since).is_none_or(|since| version >= since)
            && bound(&self.before).is_none_or(|before| version < before)
    }
}

/// The first number of up to two digits, and the one behind it: dates have more.
fn version(text: &str) -> Version {
    let mut words = text.split(|character: char| !character.is_ascii_alphanumeric());
    let number = |word: &str| {
        let digits = word.bytes().take_while(u8::is_ascii_digit).count();
        word.get(..digits).filter(|_| digits <= 2)?.parse::<u32>().ok()
    };
    let Some(major) = words.find_map(number) else { return NEWEST };
    (major, words.next().and_then(number).unwrap_or(0))
}

/// The rules for `model` at a provider of that preset that is called in `dialect`: those of the table,
/// then the provider's `own`.
#[must_use]
pub fn find_rules(
    preset: Option<&str>,
    dialect: Dialect,
    model: &str,
    own: &[ModelRule],
) -> ModelRules {
    let model = model.to_ascii_lowercase();
    let mut rules = ModelRules::default();
    for row in TABLE.iter().filter(|row| row.is_for(preset, dialect, &model)) {
        rules.add(&row.rule);
    }
    for rule in own.iter().filter(|rule| rule.is_for(&model)) {
        rules.add(rule);
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::super::{
        CachePointUse, CallIds, EarlierReasoning, ModelFields, Prefill, RefusedSetting,
        ResponsesForTools, ResponsesUse, ThinkingForm,
    };
    use super::*;
    use crate::llm::ReasoningSettings;

    fn rules(preset: &str, dialect: Dialect, model: &str) -> ModelRules {
        find_rules(Some(preset), dialect, model, &[])
    }

    fn effort(name: &str) -> ReasoningSettings {
        ReasoningSettings { effort: Some(name.to_owned()), ..ReasoningSettings::default() }
    }

    #[test]
    fn versions_are_parsed_from_names() {
        for (text, expected) in [
            ("-opus-4-6", (4, 6)),
            ("-opus-4.6", (4, 6)),
            ("-sonnet-4-20250514", (4, 0)),
            ("-haiku-latest", NEWEST),
            ("-3-7-sonnet-20250219", (3, 7)),
            ("-3-haiku-20240307", (3, 0)),
            ("-opus-4-1@20250805", (4, 1)),
            ("-sonnet-4-5-20250929-v1:0", (4, 5)),
            ("-opus-5-5", (5, 5)),
            ("-instant-1.2", (1, 2)),
            ("-mythos-preview", NEWEST),
            ("5.4-pro", (5, 4)),
            ("4o-2024-08-06", (4, 0)),
            ("5", (5, 0)),
        ] {
            assert_eq!(version(text), expected, "{text}");
        }
    }

    #[test]
    fn openai_models_are_classified() {
        use RefusedSetting::{ReasoningEffort, Stop, Temperature};
        let chat = |model| rules("openai", Dialect::OpenaiChat, model);
        for (model, refuses, refuses_off, responses, for_tools) in [
            ("gpt-4o-2024-08-06", false, false, None, None),
            ("gpt-5", true, false, Some(ResponsesUse::Translated), None),
            ("gpt-5-chat-latest", false, false, None, None),
            ("gpt-5.1", false, false, Some(ResponsesUse::Translated), None),
            (
                "gpt-5.5",
                false,
                false,
                Some(ResponsesUse::Translated),
                Some(ResponsesForTools::WithEffort),
            ),
            (
                "gpt-5.6-terra",
                true,
                false,
                Some(ResponsesUse::Translated),
                Some(ResponsesForTools::UnlessOff),
            ),
            (
                "gpt-5.4-pro",
                true,
                false,
                Some(ResponsesUse::Always),
                Some(ResponsesForTools::WithEffort),
            ),
            ("gpt-5.1-codex", true, false, Some(ResponsesUse::Always), None),
            ("o3-pro-2025-06-10", true, false, Some(ResponsesUse::Always), None),
        ] {
            let rules = chat(model);
            assert_eq!(rules.refuses(Temperature, None), refuses, "{model}");
            let off = effort("none");
            assert_eq!(rules.refuses(Temperature, Some(&off)), refuses_off, "{model}");
            assert_eq!(
                (rules.responses, rules.responses_for_tools),
                (responses, for_tools),
                "{model}"
            );
        }
        assert!(chat("gpt-5.1").refuses(Temperature, Some(&effort("low"))));
        assert!(chat("o3").always_refuses(Stop));
        assert!(chat("gpt-4.1").always_refuses(ReasoningEffort));
        assert!(!rules("vllm", Dialect::OpenaiChat, "gpt-5").always_refuses(Stop));
    }

    #[test]
    fn effort_maps_to_nearest_supported() {
        let rules = |model| rules("openai", Dialect::OpenaiResponses, model);
        for (model, requested, expected) in [
            ("gpt-5", "none", "minimal"),
            ("gpt-5", "xhigh", "high"),
            ("gpt-5.1", "minimal", "low"),
            ("gpt-5.2", "max", "xhigh"),
            ("gpt-5.2", "none", "none"),
            ("gpt-5-pro", "low", "high"),
            ("o3", "none", "low"),
            ("gpt-4o", "low", "low"),
        ] {
            assert_eq!(rules(model).nearest_effort(requested).0, expected, "{model} {requested}");
        }
    }

    #[test]
    fn newer_claude_models_reject_prefill() {
        for (preset, dialect, model, expected) in [
            ("anthropic", Dialect::AnthropicMessages, "claude-sonnet-4-6", Some(Prefill::Refused)),
            ("anthropic", Dialect::AnthropicMessages, "claude-haiku-4-5", None),
            (
                "bedrock",
                Dialect::BedrockConverse,
                "us.anthropic.claude-opus-5-v1:0",
                Some(Prefill::Refused),
            ),
            (
                "openrouter",
                Dialect::OpenaiChat,
                "anthropic/claude-opus-4.6",
                Some(Prefill::Refused),
            ),
            ("openrouter", Dialect::OpenaiChat, "anthropic/claude-3.7-sonnet", None),
            ("mistral-ai", Dialect::OpenaiChat, "devstral-latest", Some(Prefill::Marked)),
        ] {
            assert_eq!(rules(preset, dialect, model).prefill, expected, "{preset} {model}");
        }
    }

    #[test]
    fn newer_gemini_models_reject_sampling() {
        for (model, expected) in [
            ("gemini-3.5-flash", false),
            ("gemini-3.5-flash-lite", true),
            ("gemini-3.6-flash", true),
            ("gemini-flash-latest", true),
            ("gemini-pro-latest", false),
            ("gemini-2.5-pro", false),
            ("model-1", false),
        ] {
            let rules = rules("google", Dialect::Gemini, model);
            assert_eq!(rules.always_refuses(RefusedSetting::Temperature), expected, "{model}");
        }
    }

    #[test]
    fn operator_rules_apply_last() {
        let own = ModelRule {
            models: vec!["gpt-5*".to_owned()],
            refuses: vec![RefusedSetting::User],
            efforts: vec!["low".to_owned()],
            ..ModelRule::default()
        };
        let rules = find_rules(Some("openai"), Dialect::OpenaiChat, "GPT-5", &[own]);
        assert!(rules.always_refuses(RefusedSetting::User));
        assert!(rules.always_refuses(RefusedSetting::Stop));
        assert_eq!(rules.efforts, ["low"]);
    }

    #[test]
    fn claude_models_have_expected_rules() {
        use RefusedSetting::{ForcedToolChoice, JsonSchema, Temperature, TopK, TopP};
        use ThinkingForm::{Budget, BudgetOrEffort, Effort, Never};
        for (name, thinking, always, samples, twice, forced, system, schemas) in [
            ("model-1", None, false, true, true, true, false, true),
            ("claude-3-5-haiku-20241022", Some(Never), false, true, true, true, false, false),
            ("claude-3-7-sonnet-20250219", Some(Budget), false, true, true, true, false, false),
            ("claude-sonnet-4-20250514", Some(Budget), false, true, true, true, false, false),
            ("claude-opus-4-1", Some(Budget), false, true, false, true, false, true),
            (
                "anthropic.claude-haiku-4-5-v1:0",
                Some(Budget),
                false,
                true,
                false,
                true,
                false,
                true,
            ),
            ("claude-sonnet-4-6", Some(BudgetOrEffort), false, true, false, true, false, true),
            ("claude-opus-4-7", Some(Effort), false, false, false, true, false, true),
            ("claude-opus-4-8", Some(Effort), false, false, false, true, true, true),
            ("claude-opus-5", Some(Effort), false, false, false, true, true, true),
            ("claude-fable-5", Some(Effort), true, false, false, true, true, true),
            ("claude-mythos-5-1", Some(Effort), true, false, false, false, true, true),
            ("claude-haiku-5-5", Some(Effort), false, false, false, true, true, true),
            ("claude-opus-5-5", Some(Effort), true, false, false, false, true, true),
            ("claude-opus-latest", Some(Effort), true, false, false, false, true, true),
        ] {
            for dialect in [Dialect::AnthropicMessages, Dialect::BedrockConverse] {
                let rules = find_rules(None, dialect, name, &[]);
                assert_eq!(rules.thinking_form, thinking, "{name}");
                assert_eq!(rules.least_effort(), always.then_some("low"), "{name}");
                for setting in [Temperature, TopP, TopK] {
                    assert_eq!(rules.always_refuses(setting), !samples, "{name}");
                }
                assert_eq!(rules.refuses_together(TopP, Temperature), !twice, "{name}");
                assert_eq!(rules.always_refuses(ForcedToolChoice), !forced, "{name}");
                assert_eq!(rules.mid_conversation_system, system, "{name}");
                assert_eq!(rules.always_refuses(JsonSchema), !schemas, "{name}");
            }
        }
        let between =
            |name| rules("anthropic", Dialect::AnthropicMessages, name).thinks_between_tools;
        assert!(between("claude-sonnet-5-5"));
        assert!(!between("claude-opus-5-5") && !between("claude-sonnet-5"));
    }

    #[test]
    fn claude_models_have_expected_efforts() {
        for (model, requested, expected, without_thinking) in [
            ("claude-opus-4-6", "xhigh", "high", "xhigh"),
            ("claude-opus-4-6", "max", "max", "max"),
            ("claude-opus-4-7", "xhigh", "xhigh", "xhigh"),
            ("claude-opus-4-7", "minimal", "low", "minimal"),
            ("claude-opus-5", "max", "max", "high"),
            ("claude-fable-5", "none", "low", "none"),
            ("claude-sonnet-5", "none", "none", "none"),
            ("model-1", "xhigh", "xhigh", "xhigh"),
        ] {
            let rules = rules("anthropic", Dialect::AnthropicMessages, model);
            assert_eq!(rules.nearest_effort(requested).0, expected, "{model} {requested}");
            if requested != "none" {
                let found = rules.nearest_effort_without_thinking(requested).0;
                assert_eq!(found, without_thinking, "{model} {requested}");
            }
        }
    }

    #[test]
    fn bedrock_families_have_expected_rules() {
        use EarlierReasoning::{Refused, Unsigned};
        use ModelFields::{Anthropic, Cohere, GptOss, Nova, Nova2, Openai, Other};
        let all = Some(CachePointUse::All);
        let turns = Some(CachePointUse::Turns);
        for (id, fields, thoughts, points) in [
            ("amazon.nova-pro-v1:0", Some(Nova), Some(Unsigned), turns),
            ("us.amazon.nova-2-lite-v1:0", Some(Nova2), Some(Unsigned), turns),
            ("amazon.titan-text-express-v1", Some(Other), Some(Unsigned), None),
            ("openai.gpt-oss-120b-1:0", Some(GptOss), Some(Unsigned), None),
            ("us.openai.gpt-5.4", Some(Openai), Some(Unsigned), None),
            ("cohere.command-r-plus-v1:0", Some(Cohere), Some(Unsigned), None),
            ("mistral.mistral-large-2407-v1:0", Some(Other), Some(Unsigned), None),
            ("us.deepseek.r1-v1:0", Some(Other), Some(Refused), None),
            ("meta.llama3-1-70b-instruct-v1:0", Some(Other), Some(Unsigned), None),
            ("qwen.qwen3-coder-480b-a35b-v1:0", Some(Other), Some(Unsigned), None),
            ("anthropic.claude-mythos-preview", Some(Anthropic), None, all),
            (
                "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0",
                Some(Nova),
                Some(Unsigned),
                turns,
            ),
            (
                "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.anthropic.claude-haiku-4-5-20251001-v1:0",
                Some(Anthropic),
                None,
                all,
            ),
            (
                "arn:aws:bedrock:us-east-1:123456789012:imported-model/abcdefabcdef",
                None,
                None,
                None,
            ),
            ("model-1", None, None, None),
            ("", None, None, None),
        ] {
            let rules = rules("bedrock", Dialect::BedrockConverse, id);
            assert_eq!((rules.model_fields, rules.thoughts), (fields, thoughts), "{id}");
            assert_eq!(rules.cache_points, points, "{id}");
            let refuses = fields.is_some() && points.is_none();
            assert_eq!(rules.always_refuses(RefusedSetting::CacheControl), refuses, "{id}");
            let ids = id.starts_with("mistral").then_some(CallIds::NineLettersAndDigits);
            assert_eq!(rules.call_ids, ids, "{id}");
        }
    }

    #[test]
    fn claude_on_bedrock_tool_rules() {
        use RefusedSetting::{ParallelToolCalls, StrictTools};
        for (id, strict, single) in [
            ("anthropic.claude-3-7-sonnet-20250219-v1:0", false, false),
            ("us.anthropic.claude-sonnet-4-20250514-v1:0", false, false),
            ("anthropic.claude-haiku-4-5-20251001-v1:0", true, true),
            ("global.anthropic.claude-opus-4-6-v1", true, true),
            ("anthropic.claude-sonnet-5", false, true),
            ("qwen.qwen3-32b-v1:0", true, true),
            ("model-1", true, true),
        ] {
            let rules = rules("bedrock", Dialect::BedrockConverse, id);
            assert_eq!(rules.always_refuses(StrictTools), !strict, "{id}");
            assert_eq!(rules.always_refuses(ParallelToolCalls), !single, "{id}");
        }
    }

    #[test]
    fn gemini_rules_by_generation() {
        let budget = Some(ThinkingForm::Budget);
        for (name, form, signed, least, tokens) in [
            ("gemini-1.5-pro", budget, false, None, Some(128)),
            ("gemini-2.5-flash", budget, false, None, None),
            ("models/gemini-2.5-pro", budget, false, None, Some(128)),
            ("gemini-3-pro-preview", None, true, Some("low"), None),
            ("gemini-3.1-pro-preview", None, true, Some("low"), None),
            ("publishers/google/models/gemini-3.5-flash", None, true, Some("minimal"), None),
            ("gemini-3.6-flash", None, true, Some("minimal"), None),
            ("gemini-3.8-flash", None, true, Some("low"), None),
            ("gemini-10-flash", None, true, Some("low"), None),
            ("gemini-flash-latest", None, true, Some("low"), None),
            ("gemini-flash-lite-latest", None, true, Some("minimal"), None),
            ("gemini-pro-latest", None, true, Some("low"), None),
            ("gemini-robotics-er-2-preview", None, true, Some("minimal"), None),
            ("tunedModels/my-own", None, false, None, None),
            ("model-1", None, false, None, None),
        ] {
            let rules = rules("google", Dialect::Gemini, name);
            assert_eq!((rules.thinking_form, rules.signed_calls), (form, signed), "{name}");
            assert_eq!(rules.least_effort(), least, "{name}");
            assert_eq!(rules.thinking_tokens_min, tokens, "{name}");
            let beside = rules.always_refuses(RefusedSetting::ToolResultMedia);
            assert_eq!(beside, form.is_some(), "{name}");
        }
        for (name, effort, expected) in [
            ("gemini-3-pro", "minimal", ("low", true)),
            ("gemini-3-flash", "minimal", ("minimal", false)),
            ("gemini-3-flash", "xhigh", ("high", true)),
        ] {
            let rules = rules("google", Dialect::Gemini, name);
            assert_eq!(rules.nearest_effort(effort), expected, "{name}");
        }
    }
}

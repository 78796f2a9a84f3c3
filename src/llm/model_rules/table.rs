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
    use super::super::{Prefill, RefusedSetting, ResponsesForTools, ResponsesUse};
    use super::*;
    use crate::llm::ReasoningSettings;

    fn rules(preset: &str, dialect: Dialect, model: &str) -> ModelRules {
        find_rules(Some(preset), dialect, model, &[])
    }

    fn effort(name: &str) -> ReasoningSettings {
        ReasoningSettings { effort: Some(name.to_owned()), ..ReasoningSettings::default() }
    }

    #[test]
    fn versions_in_names() {
        for (text, expected) in [
            ("-opus-4-6", (4, 6)),
            ("-opus-4.6", (4, 6)),
            ("-sonnet-4-20250514", (4, 0)),
            ("-haiku-latest", NEWEST),
            ("5.4-pro", (5, 4)),
            ("4o-2024-08-06", (4, 0)),
            ("5", (5, 0)),
        ] {
            assert_eq!(version(text), expected, "{text}");
        }
    }

    #[test]
    fn openais_models_by_what_they_are() {
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
    fn efforts_become_the_nearest() {
        let rules = |model| rules("openai", Dialect::OpenaiResponses, model);
        for (model, asked, expected) in [
            ("gpt-5", "none", "minimal"),
            ("gpt-5", "xhigh", "high"),
            ("gpt-5.1", "minimal", "low"),
            ("gpt-5.2", "max", "xhigh"),
            ("gpt-5.2", "none", "none"),
            ("gpt-5-pro", "low", "high"),
            ("o3", "none", "low"),
            ("gpt-4o", "low", "low"),
        ] {
            assert_eq!(rules(model).nearest_effort(asked).0, expected, "{model} {asked}");
        }
    }

    #[test]
    fn newer_claudes_take_no_prefill_wherever_they_are() {
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
    fn the_operators_rules_come_last() {
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
}

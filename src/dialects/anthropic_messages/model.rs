//! What a model takes, told by its name: Anthropic's newer models refuse what older ones wanted.
//!
//! From Anthropic's pages "Thinking", "Effort", "Mid-conversation system messages", "Structured
//! outputs" and its migration guides up to Claude Opus 5.5, read November 2026. Versions are compared,
//! and a name without one counts as the newest, so that a new model is treated as its elders. What
//! is not called Claude imitates the API and takes what its first versions took.

/// What a model takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Model {
    /// How it may be asked to think.
    pub(super) thinking: ThinkingForm,
    /// It refuses not to think.
    pub(super) always_thinks: bool,
    /// It can be held to think between calls only, which is its least.
    pub(super) has_between_tools: bool,
    /// Temperature, `top_p` and `top_k` may be set.
    pub(super) samples: bool,
    /// Temperature and `top_p` may be set together.
    pub(super) samples_twice: bool,
    /// A call may be forced.
    pub(super) takes_forced_calls: bool,
    /// Messages of the system may stand inside the conversation.
    pub(super) takes_system_turns: bool,
    /// Answers can be held to a schema.
    pub(super) has_schemas: bool,
    /// It knows the effort `xhigh`.
    pub(super) has_xhigh: bool,
    /// Without thinking, its effort is `high` at most.
    pub(super) thinks_for_effort: bool,
    /// It is one of Anthropic's.
    pub(super) is_claude: bool,
}

/// How a model may be asked to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ThinkingForm {
    /// It cannot.
    Never,
    /// With a budget of tokens.
    Budget,
    /// With a budget, or as it sees fit with an effort.
    Either,
    /// As it sees fit, with an effort.
    Adaptive,
}

/// A model that is no Claude.
const IMITATOR: Model = Model {
    thinking: ThinkingForm::Budget,
    always_thinks: false,
    has_between_tools: false,
    samples: true,
    samples_twice: true,
    takes_forced_calls: true,
    takes_system_turns: false,
    has_schemas: true,
    has_xhigh: true,
    thinks_for_effort: false,
    is_claude: false,
};

impl Model {
    /// The model of that name, as Anthropic or a reseller writes it.
    pub(super) fn of(name: &str) -> Self {
        let Some((_, rest)) = name.split_once("claude") else { return IMITATOR };
        let is_family = |family: &str| rest.contains(family);
        let version = version(rest);
        // The families that came with the fifth generation and have no elder.
        let is_late = is_family("fable") || is_family("mythos");
        let is_strict = is_late && version >= (5, 1)
            || (is_family("opus") || is_family("sonnet")) && version >= (5, 5);
        Self {
            thinking: match version {
                _ if is_late => ThinkingForm::Adaptive,
                (0..=2, _) | (3, 0..=6) => ThinkingForm::Never,
                (3, _) | (4, 0..=5) => ThinkingForm::Budget,
                (4, 6) => ThinkingForm::Either,
                _ => ThinkingForm::Adaptive,
            },
            always_thinks: is_late || is_strict,
            has_between_tools: is_family("sonnet") && version >= (5, 5),
            samples: version < (4, 7) && !is_late,
            samples_twice: version < (4, 1),
            takes_forced_calls: !is_strict,
            takes_system_turns: version >= (4, 8) || is_late,
            has_schemas: version >= (4, 5) || is_family("opus") && version >= (4, 1),
            has_xhigh: version >= (4, 7) || is_late,
            thinks_for_effort: version >= (5, 0) || is_late,
            is_claude: true,
        }
    }
}

/// The version in what follows `claude` in a name: `-3-7-sonnet-20250219`, `-opus-4-1@20250805`.
fn version(rest: &str) -> (u32, u32) {
    let mut words = rest.split(|character: char| !character.is_ascii_alphanumeric());
    // Dates have eight digits.
    let number = |word: &str| word.parse::<u32>().ok().filter(|_| word.len() <= 2);
    let Some(major) = words.find_map(number) else { return (u32::MAX, 0) };
    (major, words.next().and_then(number).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_wherever_a_vendor_writes_them() {
        for (name, expected) in [
            ("-3-7-sonnet-20250219", (3, 7)),
            ("-3-haiku-20240307", (3, 0)),
            ("-sonnet-4-20250514", (4, 0)),
            ("-opus-4-1@20250805", (4, 1)),
            ("-sonnet-4-5-20250929-v1:0", (4, 5)),
            ("-opus-4.6", (4, 6)),
            ("-opus-5-5", (5, 5)),
            ("-haiku-latest", (u32::MAX, 0)),
            ("-instant-1.2", (1, 2)),
        ] {
            assert_eq!(version(name), expected, "{name}");
        }
    }

    #[test]
    fn what_each_takes() {
        use ThinkingForm::{Adaptive, Budget, Either, Never};
        for (name, thinking, always, samples, twice, forced, system, schemas) in [
            ("model-1", Budget, false, true, true, true, false, true),
            ("claude-3-5-haiku-20241022", Never, false, true, true, true, false, false),
            ("claude-3-7-sonnet-20250219", Budget, false, true, true, true, false, false),
            ("claude-sonnet-4-20250514", Budget, false, true, true, true, false, false),
            ("claude-opus-4-1", Budget, false, true, false, true, false, true),
            ("anthropic.claude-haiku-4-5-v1:0", Budget, false, true, false, true, false, true),
            ("claude-sonnet-4-6", Either, false, true, false, true, false, true),
            ("claude-opus-4-7", Adaptive, false, false, false, true, false, true),
            ("claude-opus-4-8", Adaptive, false, false, false, true, true, true),
            ("claude-opus-5", Adaptive, false, false, false, true, true, true),
            ("claude-fable-5", Adaptive, true, false, false, true, true, true),
            ("claude-mythos-5-1", Adaptive, true, false, false, false, true, true),
            ("claude-haiku-5-5", Adaptive, false, false, false, true, true, true),
            ("claude-opus-5-5", Adaptive, true, false, false, false, true, true),
            ("claude-opus-latest", Adaptive, true, false, false, false, true, true),
        ] {
            let found = Model::of(name);
            assert_eq!(found.thinking, thinking, "{name}");
            assert_eq!((found.always_thinks, found.samples), (always, samples), "{name}");
            assert_eq!((found.samples_twice, found.takes_forced_calls), (twice, forced), "{name}");
            assert_eq!((found.takes_system_turns, found.has_schemas), (system, schemas), "{name}");
        }
        assert!(Model::of("claude-sonnet-5-5").has_between_tools);
        assert!(!Model::of("claude-opus-5-5").has_between_tools);
    }
}

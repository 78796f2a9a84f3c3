//! What the names of Google's models tell: which of them take what.
//!
//! Sources: Gemini API, "Thinking" and "Thought signatures", and Google Cloud, "Thinking" and "Thought
//! signatures" (read November 2026). A name that says nothing, such as that of a tuned model, counts as new.

/// A model, as far as its name tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Model {
    /// It is one of Google's own.
    is_gemini: bool,
    /// The first digits behind `gemini-`.
    generation: Option<u32>,
    is_pro: bool,
}

/// How a model is told not to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Least {
    /// This many tokens for thoughts.
    Budget(u64),
    /// This level, below which the model does not go.
    Level(&'static str),
}

impl Model {
    /// Reads the name, with or without the folders before it.
    pub(super) fn of(name: &str) -> Self {
        let name = name.rsplit('/').next().unwrap_or(name);
        let rest = name.strip_prefix("gemini-");
        let digits: String =
            rest.unwrap_or_default().chars().take_while(char::is_ascii_digit).collect();
        Self {
            is_gemini: rest.is_some(),
            generation: digits.parse().ok(),
            is_pro: name.split('-').any(|word| word == "pro"),
        }
    }

    /// Generations 1 and 2 have a budget for thoughts; the later ones have levels, and refuse both.
    pub(super) fn has_levels(self) -> bool {
        !matches!(self.generation, Some(1 | 2))
    }

    /// From generation 3 on a function's result may have pictures of its own.
    pub(super) fn takes_media_in_results(self) -> bool {
        self.has_levels()
    }

    /// From generation 3 on a call in the history without a signature is an error.
    pub(super) fn wants_signed_calls(self) -> bool {
        self.is_gemini && self.has_levels()
    }

    /// The least that this model can think. Only the smaller ones can be told not to think at all.
    pub(super) fn least_thinking(self) -> Least {
        match (self.is_gemini && self.has_levels(), self.is_pro) {
            (true, true) => Least::Level("LOW"),
            (true, false) => Least::Level("MINIMAL"),
            // The least budget of Gemini 2.5 Pro.
            (false, true) if self.is_gemini => Least::Budget(128),
            (false, _) => Least::Budget(0),
        }
    }

    /// The level for an effort in OpenAI's words, and whether it says less than was asked.
    pub(super) fn level(self, effort: &str) -> (&'static str, bool) {
        match effort {
            "minimal" if self.is_pro => ("LOW", true),
            "minimal" => ("MINIMAL", false),
            "low" => ("LOW", false),
            "medium" => ("MEDIUM", false),
            "high" => ("HIGH", false),
            _ => ("HIGH", true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_tell() {
        for (name, levels, signed, least) in [
            ("gemini-1.5-pro", false, false, Least::Budget(128)),
            ("gemini-2.5-flash", false, false, Least::Budget(0)),
            ("models/gemini-2.5-pro", false, false, Least::Budget(128)),
            ("gemini-3-pro-preview", true, true, Least::Level("LOW")),
            ("publishers/google/models/gemini-3.5-flash", true, true, Least::Level("MINIMAL")),
            ("gemini-10-flash", true, true, Least::Level("MINIMAL")),
            ("gemini-flash-latest", true, true, Least::Level("MINIMAL")),
            ("tunedModels/my-own", true, false, Least::Budget(0)),
            ("model-1", true, false, Least::Budget(0)),
        ] {
            let model = Model::of(name);
            assert_eq!(model.has_levels(), levels, "{name}");
            assert_eq!(model.wants_signed_calls(), signed, "{name}");
            assert_eq!(model.least_thinking(), least, "{name}");
        }
        assert_eq!(Model::of("gemini-3-pro").level("minimal"), ("LOW", true));
        assert_eq!(Model::of("gemini-3-flash").level("minimal"), ("MINIMAL", false));
        assert_eq!(Model::of("gemini-3-flash").level("xhigh"), ("HIGH", true));
    }
}

//! What a model can do, as one bit each.

/// One thing that a model can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ability {
    /// Calls tools.
    Tools,
    /// Calls several tools at once.
    ParallelTools,
    /// Takes a choice of the tool to call, or none.
    ToolChoice,
    /// Reads pictures.
    Vision,
    /// Hears.
    AudioIn,
    /// Audio output.
    AudioOut,
    /// Watches film.
    VideoIn,
    /// Reads PDF files.
    Pdf,
    /// Thinks before it answers.
    Reasoning,
    /// Keeps to a JSON schema.
    JsonSchema,
    /// Its vendor keeps prompts to read them again for less.
    Caching,
    /// Searches the web by itself.
    WebSearch,
    /// Uses a computer's screen and keys.
    ComputerUse,
    /// Goes on with an answer that the request begins.
    Prefill,
    /// Makes pictures.
    ImageOut,
    /// Makes film.
    VideoOut,
}

impl Ability {
    /// Each with its name in the catalog and the settings.
    pub const ALL: [(Self, &'static str); 16] = [
        (Self::Tools, "tools"),
        (Self::ParallelTools, "parallel_tools"),
        (Self::ToolChoice, "tool_choice"),
        (Self::Vision, "vision"),
        (Self::AudioIn, "audio_in"),
        (Self::AudioOut, "audio_out"),
        (Self::VideoIn, "video_in"),
        (Self::Pdf, "pdf"),
        (Self::Reasoning, "reasoning"),
        (Self::JsonSchema, "json_schema"),
        (Self::Caching, "caching"),
        (Self::WebSearch, "web_search"),
        (Self::ComputerUse, "computer_use"),
        (Self::Prefill, "prefill"),
        (Self::ImageOut, "image_out"),
        (Self::VideoOut, "video_out"),
    ];

    /// The ability of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(ability, _)| *ability)
    }
}

/// A set of abilities. One that is absent is not known to be there; few vendors say what a model
/// cannot do.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Abilities(u32);

impl Abilities {
    /// True if the model is known to have it.
    #[must_use]
    pub fn has(self, ability: Ability) -> bool {
        self.0 & (1 << ability as u32) != 0
    }

    /// The set with one more.
    #[must_use]
    pub fn with(self, ability: Ability) -> Self {
        Self(self.0 | 1 << ability as u32)
    }

    /// Names, in the order of [`Ability::ALL`].
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let has = move |(ability, _): &&(Ability, &'static str)| self.has(*ability);
        Ability::ALL.iter().filter(has).map(|(_, name)| *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ability_set_contains_only_inserted() {
        for (ability, name) in Ability::ALL {
            assert_eq!(Ability::named(name), Some(ability));
            let set = Abilities::default().with(ability);
            assert_eq!(set.names().collect::<Vec<_>>(), [name]);
        }
        assert_eq!(Ability::named("flight"), None);
    }
}

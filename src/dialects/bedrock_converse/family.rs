//! Which family a model is of, told by its id, and what that family knows beyond the others.
//!
//! Ids are those of models (`anthropic.claude-…`), of inference profiles (the same behind a region, as
//! in `us.` or `global.`), and ARNs that end in either. Other ARNs (of an application's profile, an
//! imported or a provisioned model) do not tell.

/// A family of models, as far as they differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// Anthropic's.
    Claude(Claude),
    /// Amazon's Nova, the first version.
    Nova,
    /// Amazon's Nova 2, which thinks.
    Nova2,
    /// OpenAI's with open weights.
    GptOss,
    /// OpenAI's others.
    Gpt,
    /// Cohere's Command.
    Cohere,
    /// Mistral's.
    Mistral,
    /// DeepSeek's.
    DeepSeek,
    /// Of another vendor.
    Other,
    /// The id does not tell.
    Unknown,
}

/// One of Anthropic's models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claude {
    /// Major and minor; the highest where the name has none, as the newest have.
    version: (u32, u32),
    /// It thinks whether asked or not.
    always_thinks: bool,
}

/// True for a model of Anthropic's.
pub(in crate::dialects) fn is_claude(model: &str) -> bool {
    matches!(Family::of(model), Family::Claude(_))
}

impl Family {
    pub(super) fn of(model: &str) -> Self {
        let id = model.rsplit('/').next().unwrap_or_default();
        let mut segments = id.splitn(3, '.');
        let first = segments.next().unwrap_or_default();
        let second = segments.next();
        let of_rest = |vendor: &str| {
            let start = id.find(vendor).unwrap_or_default() + vendor.len();
            Self::of_vendor(vendor, id.get(start..).unwrap_or_default().trim_start_matches('.'))
        };
        let known = of_rest(first).or_else(|| second.and_then(of_rest));
        known.unwrap_or(if second.is_some() { Self::Other } else { Self::Unknown })
    }

    fn of_vendor(vendor: &str, name: &str) -> Option<Self> {
        Some(match vendor {
            "anthropic" => Self::Claude(Claude::of(name)),
            "amazon" if name.starts_with("nova-2-") => Self::Nova2,
            "amazon" if name.starts_with("nova-") => Self::Nova,
            "openai" if name.starts_with("gpt-oss") => Self::GptOss,
            "openai" => Self::Gpt,
            "cohere" => Self::Cohere,
            "mistral" => Self::Mistral,
            "deepseek" => Self::DeepSeek,
            _ => return None,
        })
    }

    /// It takes cache points behind instructions and turns (Amazon Bedrock user guide, "Prompt
    /// caching").
    pub(super) fn takes_cache_points(self) -> bool {
        matches!(self, Self::Claude(_) | Self::Nova | Self::Nova2 | Self::Unknown)
    }

    /// It takes cache points behind tools, and of an hour.
    pub(super) fn takes_all_cache_points(self) -> bool {
        matches!(self, Self::Claude(_) | Self::Unknown)
    }

    /// It takes thoughts back that bear no signature.
    pub(super) fn takes_unsigned_thoughts(self) -> bool {
        !matches!(self, Self::Claude(_) | Self::DeepSeek | Self::Unknown)
    }

    pub(super) fn is_nova(self) -> bool {
        matches!(self, Self::Nova | Self::Nova2)
    }

    /// It follows a tool's schema to the letter if asked. Of Claude's the service takes the wish for
    /// 4.5 (Amazon Bedrock user guide, "Structured outputs") to 4.6 (`@ai-sdk/amazon-bedrock` 4.0 saw
    /// it refused for later ones).
    pub(super) fn takes_strict_tools(self) -> bool {
        match self {
            Self::Claude(claude) => ((4, 5)..(4, 7)).contains(&claude.version),
            _ => true,
        }
    }
}

impl Claude {
    fn of(name: &str) -> Self {
        let mut numbers = name
            .split(['-', ':', '@'])
            .map(|token| token.parse::<u32>().ok().filter(|number| *number < 100))
            .skip_while(Option::is_none);
        let major = numbers.next().flatten();
        let minor = numbers.next().flatten().unwrap_or(0);
        Self {
            version: major.map_or((u32::MAX, 0), |major| (major, minor)),
            always_thinks: name.contains("fable") || name.contains("mythos"),
        }
    }

    /// It decides itself how much it thinks, between efforts; the older ones want a bound of tokens
    /// (Amazon Bedrock user guide, "Adaptive thinking").
    pub(super) fn is_adaptive(self) -> bool {
        self.version >= (4, 6)
    }

    /// It cannot be kept from thinking.
    pub(super) fn always_thinks(self) -> bool {
        self.always_thinks || self.version >= (5, 5)
    }

    /// It takes no temperature, `top_p` or `top_k`.
    pub(super) fn refuses_sampling(self) -> bool {
        self.version >= (4, 7)
    }

    /// It takes either a temperature or `top_p`.
    pub(super) fn refuses_temperature_with_top_p(self) -> bool {
        self.version >= (4, 1)
    }

    /// It can be told to call one tool at a time.
    pub(super) fn can_call_singly(self) -> bool {
        self.version >= (4, 5)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_by_id() {
        for (id, family) in [
            ("amazon.nova-pro-v1:0", Family::Nova),
            ("us.amazon.nova-2-lite-v1:0", Family::Nova2),
            ("amazon.titan-text-express-v1", Family::Other),
            ("openai.gpt-oss-120b-1:0", Family::GptOss),
            ("us.openai.gpt-5.4", Family::Gpt),
            ("cohere.command-r-plus-v1:0", Family::Cohere),
            ("mistral.mistral-large-2407-v1:0", Family::Mistral),
            ("us.deepseek.r1-v1:0", Family::DeepSeek),
            ("meta.llama3-1-70b-instruct-v1:0", Family::Other),
            ("qwen.qwen3-coder-480b-a35b-v1:0", Family::Other),
            ("arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0", Family::Nova),
            ("arn:aws:bedrock:us-east-1:123456789012:imported-model/abcdefabcdef", Family::Unknown),
            ("model-1", Family::Unknown),
            ("", Family::Unknown),
        ] {
            assert_eq!(Family::of(id), family, "{id}");
        }
    }

    #[test]
    fn claudes_by_version() {
        let version = |id: &str| match Family::of(id) {
            Family::Claude(claude) => (claude.version, claude.always_thinks()),
            other => panic!("{id}: {other:?}"),
        };
        for (id, expected) in [
            ("anthropic.claude-3-7-sonnet-20250219-v1:0", ((3, 7), false)),
            ("us.anthropic.claude-sonnet-4-20250514-v1:0", ((4, 0), false)),
            ("global.anthropic.claude-opus-4-6-v1", ((4, 6), false)),
            ("anthropic.claude-sonnet-5", ((5, 0), false)),
            ("anthropic.claude-opus-5-5", ((5, 5), true)),
            ("anthropic.claude-fable-5-1", ((5, 1), true)),
            ("anthropic.claude-mythos-preview", ((u32::MAX, 0), true)),
            (
                "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.anthropic.claude-haiku-4-5-20251001-v1:0",
                ((4, 5), false),
            ),
        ] {
            assert_eq!(version(id), expected, "{id}");
        }
    }
}

//! Caching of a route: `cache = { mode = "simple", max_age = 3600 }`.

use std::time::Duration;

use crate::base::{Diagnostics, member_path};

/// Bounds and default of `max_age`, in seconds: Portkey's.
const MAX_AGE_MIN: u64 = 60;
const MAX_AGE_MAX: u64 = 7_776_000;
const MAX_AGE_DEFAULT: u64 = 604_800;

/// Who shares answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheScope {
    /// All who use one virtual key.
    #[default]
    Key,
    /// One end user of one virtual key, as the request names it.
    User,
    /// All.
    Shared,
}

/// Which requests share an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheMode {
    /// The same.
    Simple,
    /// The same, and those of the same meaning.
    Semantic {
        /// True if what is found by meaning is written down, not served; none: as
        /// `semantic_cache.mode` decides.
        shadow: Option<bool>,
        /// True if a last message that stands alone is compared without the messages before it.
        standalone_turns: bool,
    },
}

/// A route whose answers are cached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheRule {
    /// Which requests share an answer.
    pub mode: CacheMode,
    /// How long an answer is served; none: the client may say it, else [`CacheRule::MAX_AGE`].
    pub max_age: Option<Duration>,
    /// Who shares answers.
    pub scope: CacheScope,
    /// Hash over targets, edits and conditions: routes that send different requests share nothing.
    pub fingerprint: [u8; 32],
}

impl CacheRule {
    /// How long an answer is served where neither route nor client sets it.
    pub const MAX_AGE: Duration = Duration::from_secs(MAX_AGE_DEFAULT);

    /// True if answers may be found by meaning.
    #[must_use]
    pub fn is_semantic(&self) -> bool {
        matches!(self.mode, CacheMode::Semantic { .. })
    }

    /// A time to live as a client may ask for it; none where it is out of bounds.
    #[must_use]
    pub fn bounded(seconds: u64) -> Option<Duration> {
        let fits = (MAX_AGE_MIN..=MAX_AGE_MAX).contains(&seconds);
        fits.then(|| Duration::from_secs(seconds))
    }
}

/// Caching of the answers of a route.
#[derive(Clone, Debug, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CacheRuleSettings {
    /// `simple`: the same request gets the same answer, also as a stream. `semantic`: so does one
    /// whose last message means the same, all else being equal (chat completions and completions).
    pub mode: Option<String>,
    /// With `semantic`: true to serve nothing by meaning and record what would have been served,
    /// false to serve it. Left out: as set by `semantic_cache.mode`.
    pub shadow: Option<bool>,
    /// With `semantic`: true to compare a last message that stands alone without the conversation
    /// before it; the system prompt and all else must still be the same. Such a message is a
    /// question, has at least four content words, and no pronoun or word that points back. The tone
    /// and language that the conversation may have set are then ignored. Default: false.
    pub standalone_turns: Option<bool>,
    /// Maximum age of a cached response, in seconds. Entries expire up to a sixteenth earlier, so that
    /// responses stored together do not expire together. Default: the client's `cache-control: max-age`,
    /// otherwise 604800.
    #[schemars(range(min = MAX_AGE_MIN, max = MAX_AGE_MAX))]
    pub max_age: Option<u64>,
    /// Who shares answers: `key`, the default: all who use one virtual key; `user`: one end user of
    /// one key, named by `user` in the body or `_user` in the metadata (a request that names none is
    /// not cached); `shared`: all.
    pub scope: Option<String>,
}

impl CacheRuleSettings {
    /// The checked rule, of a route with that fingerprint.
    pub(super) fn check(
        self,
        fingerprint: [u8; 32],
        path: &str,
        diagnostics: &mut Diagnostics,
    ) -> Option<CacheRule> {
        let scope = match self.scope.as_deref() {
            None | Some("key") => CacheScope::Key,
            Some("user") => CacheScope::User,
            Some("shared") => CacheScope::Shared,
            Some(other) => {
                let path = member_path(path, "scope");
                let quoted = diagnostics.quote(&path, other);
                let message = format!("expected `key`, `user` or `shared`, got {quoted}");
                diagnostics.add(&path, message, "");
                return None;
            }
        };
        let mode_path = member_path(path, "mode");
        let mode = match self.mode.as_deref() {
            Some("simple") => CacheMode::Simple,
            Some("semantic") => CacheMode::Semantic {
                shadow: self.shadow,
                standalone_turns: self.standalone_turns.unwrap_or(false),
            },
            other => {
                let got = match other {
                    None => "nothing".to_owned(),
                    Some(other) => diagnostics.quote(&mode_path, other),
                };
                let message = format!("expected `simple` or `semantic`, got {got}");
                diagnostics.add(&mode_path, message, "");
                return None;
            }
        };
        if self.shadow.is_some() && mode == CacheMode::Simple {
            let message = "only the mode `semantic` has a shadow";
            diagnostics.add(&member_path(path, "shadow"), message, "leave it out");
        }
        if self.standalone_turns.is_some() && mode == CacheMode::Simple {
            let message = "only the mode `semantic` compares last messages";
            diagnostics.add(&member_path(path, "standalone_turns"), message, "leave it out");
        }
        Some(CacheRule { mode, max_age: self.max_age.map(Duration::from_secs), scope, fingerprint })
    }
}

//! Caching of a route: `cache = { mode = "simple", max_age = 3600 }`.

use std::time::Duration;

use crate::base::{Diagnostics, member_path};

/// Bounds and default of `max_age`, in seconds; Portkey's.
const MAX_AGE_MIN: u64 = 60;
const MAX_AGE_MAX: u64 = 7_776_000;
const MAX_AGE_DEFAULT: u64 = 604_800;

/// Who shares cached responses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheScope {
    /// All users of one virtual key.
    #[default]
    Key,
    /// One end user of one virtual key, as named in the request.
    User,
    /// All clients.
    Shared,
}

/// Which requests share a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheMode {
    /// Identical requests.
    Simple,
    /// Identical requests, and those with the same meaning.
    Semantic {
        /// True to record semantic hits instead of serving them; `None`: as set by
        /// `semantic_cache.mode`.
        shadow: Option<bool>,
        /// True to compare a standalone last message without the messages before it.
        standalone_turns: bool,
    },
}

/// Caching rule of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheRule {
    /// Which requests share a response.
    pub mode: CacheMode,
    /// Maximum age of a response; `None`: the client's, otherwise [`CacheRule::MAX_AGE`].
    pub max_age: Option<Duration>,
    /// Who shares responses.
    pub scope: CacheScope,
    /// Hash of targets, edits and conditions: routes that send different requests share nothing.
    pub fingerprint: [u8; 32],
}

impl CacheRule {
    /// Maximum age if neither route nor client sets one.
    pub const MAX_AGE: Duration = Duration::from_secs(MAX_AGE_DEFAULT);

    /// True if semantic hits are possible.
    #[must_use]
    pub fn is_semantic(&self) -> bool {
        matches!(self.mode, CacheMode::Semantic { .. })
    }

    /// A maximum age from a client; `None` if it is out of bounds.
    #[must_use]
    pub fn bounded(seconds: u64) -> Option<Duration> {
        let fits = (MAX_AGE_MIN..=MAX_AGE_MAX).contains(&seconds);
        fits.then(|| Duration::from_secs(seconds))
    }
}

/// Response caching of a route.
#[derive(Clone, Debug, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CacheRuleSettings {
    /// `simple` serves identical requests from the cache, streams included. `semantic` also serves
    /// requests whose last message has the same meaning, if everything else is equal (chat
    /// completions and completions).
    pub mode: Option<String>,
    /// For `semantic`: true serves nothing by meaning and records what would have been served;
    /// false serves it. Default: as set by `semantic_cache.mode`.
    pub shadow: Option<bool>,
    /// For `semantic`: true compares a standalone last message without the conversation before it;
    /// the system prompt and everything else must still be equal. A standalone message is a
    /// question with at least four content words and without pronouns or other words that refer
    /// back. Tone and language set earlier in the conversation are then ignored. Default: false.
    pub standalone_turns: Option<bool>,
    /// Maximum age of a cached response, in seconds. Entries expire up to a sixteenth earlier, so that
    /// responses stored together do not expire together. Default: the client's `cache-control: max-age`,
    /// otherwise 604800.
    #[schemars(range(min = MAX_AGE_MIN, max = MAX_AGE_MAX))]
    pub max_age: Option<u64>,
    /// Who shares responses. `key`, the default: all users of one virtual key. `user`: one end user
    /// of one key, named by `user` in the body or `_user` in the metadata; a request that names
    /// none is not cached. `shared`: all clients.
    pub scope: Option<String>,
}

impl CacheRuleSettings {
    /// The checked rule of a route with that fingerprint.
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

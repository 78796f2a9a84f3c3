//! `[cache]`: bounds of the cache, as written and as checked.

/// Bounds of the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheLimits {
    /// Memory of all entries together, in bytes.
    pub bytes_max: u64,
}

impl Default for CacheLimits {
    fn default() -> Self {
        CacheSettings::default().check()
    }
}

/// The cache of answers. A route turns it on with its `cache`.
#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CacheSettings {
    /// Memory for stored answers, in bytes. Beyond it the entries go that are asked for least. An
    /// answer that would take a sixteenth of it is not stored.
    #[schemars(range(min = 65_536, max = 1_099_511_627_776_u64))]
    bytes_max: u64,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self { bytes_max: 256 * 1024 * 1024 }
    }
}

impl CacheSettings {
    /// The bounds that are meant.
    #[must_use]
    pub fn check(self) -> CacheLimits {
        CacheLimits { bytes_max: self.bytes_max }
    }
}

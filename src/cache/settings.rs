//! `[cache]`: bounds of the cache, as written and as checked.

use std::path::{Path, PathBuf};

/// Bounds of the cache, and where it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheLimits {
    /// Memory of all entries together, in bytes.
    pub bytes_max: u64,
    /// Where entries survive a restart; none: nowhere.
    pub folder: Option<PathBuf>,
}

impl Default for CacheLimits {
    fn default() -> Self {
        CacheSettings::default().check(Path::new(""))
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
    /// Folder where answers survive a restart, as readable text, in up to about twice `bytes_max`.
    /// Empty: they are kept in memory only. A path starts at the directory of the settings file.
    dir: String,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self { bytes_max: 256 * 1024 * 1024, dir: "data/cache".to_owned() }
    }
}

impl CacheSettings {
    /// The bounds that are meant; a relative path starts at `directory`.
    #[must_use]
    pub fn check(self, directory: &Path) -> CacheLimits {
        let folder = (!self.dir.is_empty()).then(|| directory.join(self.dir));
        CacheLimits { bytes_max: self.bytes_max, folder }
    }
}

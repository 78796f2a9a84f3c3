//! `[cache]` and `[semantic_cache]`, as written and as checked.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::base::Diagnostics;

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
    /// Memory for stored responses, in bytes. When it is full, the least used entries are evicted. A
    /// response larger than a sixteenth of it is not stored.
    #[schemars(range(min = 65_536, max = 1_099_511_627_776_u64))]
    bytes_max: u64,
    /// Folder where answers survive a restart, as readable text, in up to about twice `bytes_max`.
    /// Empty: they are kept in memory only. A path starts at the directory of the settings file.
    #[schemars(extend("restart_required" = true))]
    dir: String,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self { bytes_max: 256 * 1024 * 1024, dir: "data/cache".to_owned() }
    }
}

impl CacheSettings {
    /// The checked bounds; a relative path starts at `directory`.
    #[must_use]
    pub fn check(self, directory: &Path) -> CacheLimits {
        let folder = (!self.dir.is_empty()).then(|| directory.join(self.dir));
        CacheLimits { bytes_max: self.bytes_max, folder }
    }
}

/// What the semantic tier does with what it finds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SemanticMode {
    /// Serves it.
    #[default]
    On,
    /// Serves nothing, and writes down what it would have done.
    Shadow,
}

/// How the semantic tier works.
#[derive(Clone, Debug, PartialEq)]
pub struct SemanticLimits {
    /// False: routes of mode `semantic` are served by the exact tier alone.
    pub enabled: bool,
    /// Where the model may be; the first that has it is taken.
    pub model_dirs: Vec<PathBuf>,
    /// Cosine from which a neighbor counts as near, 0.5 to 1.
    pub threshold: f32,
    /// Maximum share of lookups that are answered incorrectly; `None`: not limited.
    pub max_error_rate: Option<f32>,
    /// For routes that do not say it.
    pub mode: SemanticMode,
    /// Embedder threads; 0: automatic.
    pub threads: usize,
    /// How long a request waits for the tier before it goes on without.
    pub timeout: Duration,
    /// Longest text that is compared, in bytes.
    pub text_bytes_max: usize,
    /// How long an answer is served to a question that is bound to its hour.
    pub time_bound_max_age: Duration,
}

impl Default for SemanticLimits {
    fn default() -> Self {
        SemanticSettings::default().limits(Path::new(""), SemanticMode::On)
    }
}

/// How the semantic cache works, for all routes. A route turns it on with `cache.mode = "semantic"`.
#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SemanticSettings {
    /// False: such routes have the exact cache only.
    enabled: bool,
    /// Folder of the model that `ringgate models fetch` brings. A path starts at the directory of the
    /// settings file, or where there is none, at the working directory.
    #[schemars(extend("restart_required" = true))]
    model_dir: String,
    /// Cosine from which two questions may be one; below it nothing is served. Above it guards and a
    /// verifier decide.
    #[schemars(range(min = 0.5, max = 1.0))]
    threshold: f64,
    /// Maximum share of lookups answered wrongly, for example 0.01. To measure it, one in twenty answers
    /// that could be served (one in four of a route's first thousand) is also requested from the provider,
    /// and the two are compared. If too many differ, the route's threshold goes up. Without it nothing is
    /// compared and the threshold stays. The old name `wrong_max` is accepted too.
    #[schemars(range(min = 0.0001, max = 0.5))]
    max_error_rate: Option<f64>,
    /// `on`; or `shadow`: everything runs and nothing is served; what would have been is written to
    /// `shadow.jsonl` in `cache.dir`, for `ringgate cache report`. A route may say it for itself.
    mode: String,
    /// Embedder threads; 0: a quarter of the cores, at least one. They run at a lower priority than the shards.
    #[schemars(range(max = 1_024), extend("restart_required" = true))]
    threads: usize,
    /// How long a request waits for the semantic tier before it goes on without, in milliseconds.
    #[schemars(range(min = 1, max = 10_000))]
    timeout_ms: u64,
    /// Longest last message that is compared by meaning, in bytes; longer ones have the exact cache.
    #[schemars(range(min = 16, max = 2_048))]
    text_bytes_max: usize,
    /// How long the answer to a question bound to its hour (`today`, `latest`) is served, in seconds.
    #[schemars(range(max = 604_800))]
    time_bound_max_age: u64,
}

impl Default for SemanticSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            model_dir: "models/all-minilm-l6-v2".to_owned(),
            threshold: 0.90,
            max_error_rate: None,
            mode: "on".to_owned(),
            threads: 0,
            timeout_ms: 50,
            text_bytes_max: 512,
            time_bound_max_age: 300,
        }
    }
}

impl SemanticSettings {
    /// The checked settings, a relative path starting at `directory`; problems are reported.
    pub fn check(self, directory: &Path, diagnostics: &mut Diagnostics) -> Option<SemanticLimits> {
        let path = "semantic_cache.mode";
        let mode = match self.mode.as_str() {
            "on" => SemanticMode::On,
            "shadow" => SemanticMode::Shadow,
            other => {
                let quoted = diagnostics.quote(path, other);
                diagnostics.add(path, format!("expected `on` or `shadow`, got {quoted}"), "");
                return None;
            }
        };
        Some(self.limits(directory, mode))
    }

    fn limits(self, directory: &Path, mode: SemanticMode) -> SemanticLimits {
        SemanticLimits {
            enabled: self.enabled,
            model_dirs: vec![directory.join(&self.model_dir), PathBuf::from(self.model_dir)],
            threshold: nearest_single(self.threshold),
            max_error_rate: self.max_error_rate.map(nearest_single),
            mode,
            threads: self.threads,
            timeout: Duration::from_millis(self.timeout_ms),
            text_bytes_max: self.text_bytes_max,
            time_bound_max_age: Duration::from_secs(self.time_bound_max_age),
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "rounded to the nearest; its range is checked")]
fn nearest_single(number: f64) -> f32 {
    number as f32
}

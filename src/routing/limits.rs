//! Bounds of one route. A config of a request header has tighter ones than a route of the settings,
//! since any client may write it: what it costs must not be a hundred times what it took to send.

use std::cell::Cell;

use super::path_set::PATHS_MAX;
use crate::base::Diagnostics;

/// Longest config of a request header, in bytes. It fits into the 32 KiB of a request's head together
/// with the other fields.
pub(super) const CONFIG_BYTES_MAX: usize = 24 * 1024;

/// Groups inside groups.
pub(super) const DEPTH_MAX: usize = 16;

/// Provider calls that one request may have under way at a time: the lanes of its races, however they
/// nest, and the copies of its mirrors. A lane may hold a body of its own.
pub(super) const LANES_MAX: usize = 16;

/// Names of one `forward_headers`.
pub(super) const FORWARD_HEADERS_MAX: usize = 64;

/// Bytes of one `custom_host`.
pub(super) const CUSTOM_HOST_BYTES_MAX: usize = 512;

/// Bounds of one route as a whole.
#[derive(Debug)]
pub(super) struct Limits {
    /// Targets.
    pub targets: usize,
    /// Different paths of `drop_params`.
    pub drop_params: usize,
    /// Members of `override_params` and `default_params`.
    pub params: usize,
    /// Fields of requests that conditions and sticky sessions look at.
    pub fields: usize,
    /// Operators of all conditions, bare values included; none: each query has its own bound.
    pub tests: Option<usize>,
    /// `$regex` of all conditions; none: each query has its own bound.
    pub patterns: Option<usize>,
    /// Compiled `$regex` of all conditions, in bytes; none: each has its own bound only.
    pub pattern_bytes: Option<usize>,
    /// Longest text that a `$regex` is held against, in bytes; a longer one does not match.
    pub matched_bytes: usize,
}

/// Of a route in the settings.
pub(super) static SETTINGS: Limits = Limits {
    targets: 512,
    drop_params: PATHS_MAX,
    params: 4096,
    fields: PATHS_MAX,
    tests: None,
    patterns: None,
    pattern_bytes: None,
    matched_bytes: 16 * 1024,
};

/// Of a config in a request header. The worst pattern of [`Limits::pattern_bytes`] takes 6 µs for a byte
/// of text (see `condition.rs`), so that all patterns of a config together take 12 ms.
pub(super) static INLINE: Limits = Limits {
    targets: 64,
    drop_params: PATHS_MAX,
    params: 256,
    fields: 64,
    tests: Some(256),
    patterns: Some(16),
    pattern_bytes: Some(256 * 1024),
    matched_bytes: 2 * 1024,
};

/// What the conditions of a route have used of its bounds.
#[derive(Debug)]
pub(super) struct LimitUsage {
    pub limits: &'static Limits,
    tests: Cell<usize>,
    patterns: Cell<usize>,
    pattern_bytes: Cell<usize>,
}

impl LimitUsage {
    pub(super) fn new(limits: &'static Limits) -> Self {
        let [tests, patterns, pattern_bytes] = [0; 3].map(Cell::new);
        Self { limits, tests, patterns, pattern_bytes }
    }

    /// Counts one operator; false where that is one too many, which is reported at `path`.
    pub(super) fn add_test(&self, path: &str, diagnostics: &mut Diagnostics) -> bool {
        self.tests.set(self.tests.get() + 1);
        match self.limits.tests {
            Some(most) if self.tests.get() > most => {
                let message = format!("expected at most {most} tests in all conditions, got more");
                diagnostics.add(path, message, "`$in` tests many values at once");
                false
            }
            _ => true,
        }
    }

    /// Bytes that the next pattern may take; none where it is one too many.
    pub(super) fn pattern_bytes_left(&self) -> Option<usize> {
        let is_left = self.limits.patterns.is_none_or(|most| self.patterns.get() < most);
        let most = self.limits.pattern_bytes.unwrap_or(usize::MAX);
        is_left.then(|| most.saturating_sub(self.pattern_bytes.get()))
    }

    /// Counts a compiled pattern.
    pub(super) fn add_pattern(&self, bytes: usize) {
        self.patterns.set(self.patterns.get() + 1);
        self.pattern_bytes.set(self.pattern_bytes.get().saturating_add(bytes));
    }

    /// Bytes of all patterns.
    pub(super) fn pattern_bytes(&self) -> usize {
        self.pattern_bytes.get()
    }
}

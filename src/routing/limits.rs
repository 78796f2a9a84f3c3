//! Limits of one route. A config in a request header has tighter ones than a route in the settings,
//! since any client may send it: handling it must not cost a hundred times as much as sending it.

use std::cell::Cell;

use super::path_set::PATHS_MAX;
use crate::base::Diagnostics;

/// Longest config in a request header, in bytes. It fits into the 32 KiB of a request head together
/// with the other fields.
pub(super) const CONFIG_BYTES_MAX: usize = 24 * 1024;

/// Nesting depth of groups.
pub(super) const DEPTH_MAX: usize = 16;

/// Concurrent provider calls of one request: the lanes of its races, however nested, and the copies
/// of its mirrors. Each may hold a body of its own.
pub(super) const LANES_MAX: usize = 16;

/// Names in one `forward_headers`.
pub(super) const FORWARD_HEADERS_MAX: usize = 64;

/// Bytes in one `custom_host`.
pub(super) const CUSTOM_HOST_BYTES_MAX: usize = 512;

/// Limits of one route as a whole.
#[derive(Debug)]
pub(super) struct Limits {
    /// Targets.
    pub targets: usize,
    /// Distinct paths of `drop_params`.
    pub drop_params: usize,
    /// Members of `override_params` and `default_params`.
    pub params: usize,
    /// Request fields that conditions and sticky sessions read.
    pub fields: usize,
    /// Operators in all conditions, including bare values; `None`: only the limit per query
    /// applies.
    pub tests: Option<usize>,
    /// `$regex` in all conditions; `None`: only the limit per query applies.
    pub patterns: Option<usize>,
    /// Size of all compiled `$regex`, in bytes; `None`: only the limit per pattern applies.
    pub pattern_bytes: Option<usize>,
    /// Longest text that a `$regex` is tested on, in bytes; a longer one does not match.
    pub matched_bytes: usize,
}

/// Limits of a route in the settings.
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

/// Limits of a config in a request header. The worst pattern of [`Limits::pattern_bytes`] takes 6
/// µs per byte of text (see `condition.rs`), so all patterns of a config together take 12 ms.
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

/// Use of the limits by the conditions of a route so far.
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

    /// Counts one operator; false if the limit is exceeded, which is reported at `path`.
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

    /// Bytes that the next pattern may take; `None` if the limit is reached.
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

    /// Size of all patterns, in bytes.
    pub(super) fn pattern_bytes(&self) -> usize {
        self.pattern_bytes.get()
    }
}

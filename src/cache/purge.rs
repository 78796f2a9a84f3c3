//! Which entries an operator removes.

use std::time::Duration;

use super::Entry;

/// Which entries are to go: those that meet every condition given. Without one, all go.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Purge {
    /// Of this route.
    pub route: Option<String>,
    /// Stored for this virtual key.
    pub key: Option<String>,
    /// In this namespace.
    pub namespace: Option<String>,
    /// Stored by this request: its id in hexadecimal.
    pub id: Option<String>,
    /// At least so old, in seconds.
    pub age_min: Option<u64>,
}

impl Purge {
    pub(super) fn meets(&self, entry: &Entry, now: Duration) -> bool {
        let same = |wanted: &Option<String>, held: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| held == Some(wanted))
        };
        let labels = &entry.labels;
        same(&self.route, labels.route.as_deref())
            && same(&self.key, labels.key.as_deref())
            && same(&self.namespace, labels.namespace.as_deref())
            && self.id.as_ref().is_none_or(|id| *id == entry.id.to_string())
            && self.age_min.is_none_or(|min| entry.age(now) >= Duration::from_secs(min))
    }
}

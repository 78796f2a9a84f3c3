//! One stored answer.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::base::RequestId;

/// What an entry can be found by, besides its key.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct Labels {
    /// Name of the route.
    pub route: Option<Arc<str>>,
    /// Name of the virtual key that asked first.
    pub key: Option<Arc<str>>,
    /// Namespace that the client named.
    pub namespace: Option<String>,
    /// Name of the provider that answered.
    pub provider: Option<Arc<str>>,
    /// Model as asked of the provider.
    pub model: Option<String>,
}

/// A stored answer. Times are since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct Entry {
    /// The request whose answer it is.
    pub id: RequestId,
    /// The whole answer, as JSON.
    pub body: Vec<u8>,
    /// Where in it the value of its `id` stands, if it has one: each who gets it gets a new one.
    pub id_at: Option<Range<usize>>,
    /// What it can be found by.
    pub labels: Labels,
    /// When it was stored.
    pub stored_at: Duration,
    /// When it is served for the last time.
    pub expires_at: Duration,
}

impl Entry {
    /// Memory that it takes, about: its body, its labels, and its place in the table.
    pub(super) fn bytes(&self) -> u64 {
        let labels = &self.labels;
        let texts = [labels.namespace.as_deref(), labels.model.as_deref()];
        let texts: usize = texts.into_iter().flatten().map(str::len).sum();
        (size_of::<Self>() + size_of::<super::Key>() + 64 + self.body.capacity() + texts) as u64
    }

    /// How old it is.
    #[must_use]
    pub fn age(&self, now: Duration) -> Duration {
        now.saturating_sub(self.stored_at)
    }
}

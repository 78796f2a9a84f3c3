//! One stored answer.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::Key;
use crate::base::RequestId;

/// What a question takes in the index, about: 384 numbers, as many signs, 170 bytes of profile.
const QUESTION_BYTES: usize = 640;

/// What an entry can be found by, besides its key.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct EntryLabels {
    /// Name of the route.
    pub route: Option<Arc<str>>,
    /// Name of the virtual key of the first request.
    pub key: Option<Arc<str>>,
    /// Namespace that the client named.
    pub namespace: Option<String>,
    /// Name of the provider that answered.
    pub provider: Option<Arc<str>>,
    /// Model in the request to the provider.
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
    pub labels: EntryLabels,
    /// When it was stored.
    pub stored_at: Duration,
    /// When it is served for the last time.
    pub expires_at: Duration,
    /// A hash of the question's text as it was written, where its name holds a normal form of it.
    pub wording: u64,
    /// The questions that its own is compared with, if it can be found by meaning.
    pub partition: Option<Key>,
}

impl Entry {
    /// Memory that it takes, about: its body, its labels, its place in the table, and its question.
    pub(super) fn bytes(&self) -> u64 {
        let labels = &self.labels;
        let texts = [labels.namespace.as_deref(), labels.model.as_deref()];
        let texts: usize = texts.into_iter().flatten().map(str::len).sum();
        let question = if self.partition.is_some() { QUESTION_BYTES } else { 0 };
        let place = size_of::<Self>() + size_of::<Key>() + 64;
        (place + self.body.capacity() + texts + question) as u64
    }

    /// When the answer named `key`, stored at `stored_at`, is served for the last time: up to a sixteenth
    /// of its time early, so that answers stored together do not expire together.
    #[must_use]
    pub fn expiry(key: &Key, stored_at: Duration, time_to_live: Duration) -> Duration {
        // The low bits choose a segment of the table.
        let share = (key.bits() >> 56) as f64 / 256.0;
        stored_at + time_to_live.mul_f64(1.0 - share / 16.0)
    }

    /// How old it is.
    #[must_use]
    pub fn age(&self, now: Duration) -> Duration {
        now.saturating_sub(self.stored_at)
    }
}

#[cfg(test)]
mod tests {
    use super::super::KeyBuilder;
    use super::*;

    #[test]
    fn expiry_is_jittered_and_never_late() {
        let (stored_at, hour) = (Duration::from_secs(1_000), Duration::from_secs(3_600));
        let expiries: std::collections::BTreeSet<Duration> = (0_u32..200)
            .map(|number| KeyBuilder::new(&[0; 32]).part(&number.to_le_bytes()).finish())
            .map(|key| Entry::expiry(&key, stored_at, hour))
            .collect();
        assert!(expiries.len() > 100, "{}", expiries.len());
        let (first, last) = (expiries.first().expect("one"), expiries.last().expect("one"));
        assert!(*first >= stored_at + hour * 15 / 16 && *last <= stored_at + hour);
        assert!(*last - *first > hour / 20, "they are spread");
    }
}

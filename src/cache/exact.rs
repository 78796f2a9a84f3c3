//! The exact tier: the same request gets the same answer.
//!
//! Entries are evicted by `quick_cache` (S3-FIFO), weighed by their bytes.

use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::Cache as Table;
use quick_cache::{DefaultHashBuilder, Weighter};

use super::{CacheLimits, Entry, Key, KeyBuilder};

/// An entry is at most this part of all memory, so that one does not push out all others.
const ENTRY_SHARE: u64 = 16;

/// Entries that the table makes room for at first; it grows.
const ENTRIES_EXPECTED: usize = 1_000;

#[derive(Clone)]
struct Bytes;

impl Weighter<Key, Arc<Entry>> for Bytes {
    fn weight(&self, _: &Key, entry: &Arc<Entry>) -> u64 {
        entry.bytes()
    }
}

/// Stored answers of all shards.
pub struct Cache {
    table: Table<Key, Arc<Entry>, Bytes>,
    secret: [u8; 32],
}

/// What is in the cache now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct CacheStats {
    /// Stored answers.
    pub entries: u64,
    /// Their memory, about.
    pub bytes: u64,
    /// Its bound.
    pub bytes_max: u64,
}

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

impl Cache {
    /// An empty cache whose keys are made with `secret`.
    #[must_use]
    pub fn new(limits: CacheLimits, secret: [u8; 32]) -> Self {
        let table = Table::with(
            ENTRIES_EXPECTED,
            limits.bytes_max,
            Bytes,
            DefaultHashBuilder::default(),
            quick_cache::sync::DefaultLifecycle::default(),
        );
        Self { table, secret }
    }

    /// Takes over other bounds; a smaller one evicts.
    pub fn limit(&self, limits: CacheLimits) {
        self.table.set_capacity(limits.bytes_max);
    }

    /// Begins a key.
    #[must_use]
    pub fn key(&self) -> KeyBuilder {
        KeyBuilder::new(&self.secret)
    }

    /// The answer stored under `key`, unless its time is over or it is older than `age_max`.
    pub fn get(&self, key: &Key, now: Duration, age_max: Option<Duration>) -> Option<Arc<Entry>> {
        let entry = self.table.get(key)?;
        if now >= entry.expires_at {
            self.table.remove_if(key, |held| now >= held.expires_at);
            return None;
        }
        age_max.is_none_or(|max| entry.age(now) <= max).then_some(entry)
    }

    /// Stores an answer; the one that was there goes. False if it is too large.
    pub fn put(&self, key: Key, entry: Entry) -> bool {
        let fits = entry.bytes() <= self.table.capacity() / ENTRY_SHARE;
        if fits {
            self.table.insert(key, Arc::new(entry));
        }
        fits
    }

    /// Drops the answer stored under `key`.
    pub fn remove(&self, key: &Key) {
        self.table.remove(key);
    }

    /// Drops the entries that meet `purge`; says how many. Walks all entries: not for a shard.
    pub fn purge(&self, purge: &Purge, now: Duration) -> u64 {
        let before = self.table.len();
        self.table.retain(|_, entry| !purge.meets(entry, now));
        before.saturating_sub(self.table.len()) as u64
    }

    /// What is in it.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        let (entries, bytes) = (self.table.len() as u64, self.table.weight());
        CacheStats { entries, bytes, bytes_max: self.table.capacity() }
    }
}

impl Purge {
    fn meets(&self, entry: &Entry, now: Duration) -> bool {
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

#[cfg(test)]
mod tests {
    use super::super::Labels;
    use super::*;
    use crate::base::IdSource;

    const NOW: Duration = Duration::from_secs(1_000);

    fn cache(bytes_max: u64) -> Cache {
        Cache::new(CacheLimits { bytes_max }, [7; 32])
    }

    fn key(cache: &Cache, name: &str) -> Key {
        cache.key().part(name.as_bytes()).finish()
    }

    fn entry(body_bytes: usize, route: &str) -> Entry {
        Entry {
            id: IdSource::from_seed(body_bytes as u64).next_id(),
            body: vec![b'x'; body_bytes],
            id_at: None,
            labels: Labels {
                route: Some(route.into()),
                key: Some("team".into()),
                namespace: Some("n".into()),
                ..Labels::default()
            },
            stored_at: NOW,
            expires_at: NOW + Duration::from_secs(60),
        }
    }

    #[test]
    fn entries_expire_and_may_be_too_old() {
        let cache = cache(1_000_000);
        let key = key(&cache, "a");
        assert!(cache.put(key, entry(10, "r")));
        let get = |seconds, age_max: Option<u64>| {
            let now = NOW + Duration::from_secs(seconds);
            cache.get(&key, now, age_max.map(Duration::from_secs)).is_some()
        };
        assert!(get(0, None) && get(59, None));
        assert!(get(30, Some(30)) && !get(31, Some(30)) && get(31, None));
        assert!(!get(60, None));
        assert_eq!(cache.stats().entries, 0, "what has expired is dropped when it is found");
    }

    #[test]
    fn memory_is_bounded() {
        let cache = cache(100_000);
        assert!(!cache.put(key(&cache, "large"), entry(100_000 / 16, "r")));
        for number in 0..1_000 {
            cache.put(key(&cache, &number.to_string()), entry(1_000, "r"));
        }
        let stats = cache.stats();
        assert!(stats.bytes <= 100_000 && stats.entries >= 40, "{stats:?}");
        cache.limit(CacheLimits { bytes_max: 70_000 });
        cache.put(key(&cache, "one more"), entry(1_000, "r"));
        assert!(cache.stats().bytes <= 70_000, "{:?}", cache.stats());
    }

    #[test]
    fn purges() {
        let purge = |json: &str| serde_json::from_str::<Purge>(json).expect("a purge");
        let id = entry(10, "a").id;
        for (json, left) in [
            ("{}".to_owned(), 0),
            (r#"{"route":"a"}"#.to_owned(), 1),
            (r#"{"route":"a","key":"other"}"#.to_owned(), 2),
            (r#"{"key":"team"}"#.to_owned(), 0),
            (r#"{"namespace":"m"}"#.to_owned(), 2),
            (format!(r#"{{"id":"{id}"}}"#), 1),
            (r#"{"age_min":5}"#.to_owned(), 0),
            (r#"{"age_min":6}"#.to_owned(), 2),
        ] {
            let cache = cache(1_000_000);
            cache.put(key(&cache, "1"), entry(10, "a"));
            cache.put(key(&cache, "2"), entry(20, "b"));
            let dropped = cache.purge(&purge(&json), NOW + Duration::from_secs(5));
            assert_eq!((dropped, cache.stats().entries), (2 - left, left), "{json}");
        }
        assert!(serde_json::from_str::<Purge>(r#"{"rout":"a"}"#).is_err());
    }

    #[test]
    fn a_removed_entry_is_gone() {
        let cache = cache(1_000_000);
        let key = key(&cache, "a");
        cache.put(key, entry(10, "r"));
        cache.remove(&key);
        assert!(cache.get(&key, NOW, None).is_none());
    }
}

//! The exact tier: the same request gets the same answer.
//!
//! Entries are evicted by `quick_cache` (S3-FIFO), weighed by their bytes.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use quick_cache::sync::Cache as Table;
use quick_cache::{DefaultHashBuilder, Weighter};

use super::journal::{Counts, Folder, Job, Journal};
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

/// Stored answers; clones share them.
#[derive(Clone)]
pub struct Cache {
    shared: Arc<Shared>,
    /// None where nothing is written to disk.
    jobs: Option<SyncSender<Job>>,
}

struct Shared {
    table: Table<Key, Arc<Entry>, Bytes>,
    secret: [u8; 32],
    counts: Counts,
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
    /// True while entries are loaded from disk.
    pub loading: bool,
    /// Changes that did not reach the disk.
    pub dropped_writes: u64,
    /// Files on disk that were cut at a bad record.
    pub damaged_files: u64,
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
    /// An empty cache that is lost with the process. Its keys are made with `secret`.
    #[must_use]
    pub fn in_memory(limits: &CacheLimits, secret: [u8; 32]) -> Self {
        let table = Table::with(
            ENTRIES_EXPECTED,
            limits.bytes_max,
            Bytes,
            DefaultHashBuilder::default(),
            quick_cache::sync::DefaultLifecycle::default(),
        );
        Self { shared: Arc::new(Shared { table, secret, counts: Counts::default() }), jobs: None }
    }

    /// The cache that is kept in `folder`, and the thread that keeps it. What is there is loaded
    /// while the cache is in use, but for what has expired by `now`. `fresh` becomes the folder's
    /// secret if it has none.
    ///
    /// # Errors
    /// The system's; `WouldBlock` where another process uses the folder.
    pub fn open(
        limits: &CacheLimits,
        folder: &Path,
        fresh: [u8; 32],
        now: Duration,
    ) -> io::Result<(Self, CacheWriter)> {
        let folder = Folder::open(folder)?;
        let mut cache = Self::in_memory(limits, folder.secret(fresh)?);
        let journal = Journal::start(folder, cache.clone(), now)?;
        cache.jobs = Some(journal.jobs.clone());
        Ok((cache, CacheWriter(journal)))
    }

    /// Takes over other bounds; a smaller one evicts.
    pub fn limit(&self, limits: &CacheLimits) {
        self.shared.table.set_capacity(limits.bytes_max);
    }

    /// Begins a key.
    #[must_use]
    pub fn key(&self) -> KeyBuilder {
        KeyBuilder::new(&self.shared.secret)
    }

    /// The answer stored under `key`, unless its time is over or it is older than `age_max`.
    pub fn get(&self, key: &Key, now: Duration, age_max: Option<Duration>) -> Option<Arc<Entry>> {
        let entry = self.shared.table.get(key)?;
        if now >= entry.expires_at {
            self.shared.table.remove_if(key, |held| now >= held.expires_at);
            return None;
        }
        age_max.is_none_or(|max| entry.age(now) <= max).then_some(entry)
    }

    /// Stores an answer; the one that was there goes. False if it is too large.
    pub fn put(&self, key: Key, entry: Entry) -> bool {
        let fits = entry.bytes() <= self.entry_bytes_max();
        if fits {
            let entry = Arc::new(entry);
            self.shared.table.insert(key, Arc::clone(&entry));
            self.tell(Job::Put(key, entry));
        }
        fits
    }

    /// True if an answer of so many bytes may be stored.
    #[must_use]
    pub fn fits(&self, body_bytes: usize) -> bool {
        body_bytes as u64 <= self.entry_bytes_max()
    }

    fn entry_bytes_max(&self) -> u64 {
        self.bytes_max() / ENTRY_SHARE
    }

    /// Drops the answer stored under `key`.
    pub fn remove(&self, key: &Key, now: Duration) {
        if self.shared.table.remove(key).is_some() {
            self.tell(Job::Remove(*key, now));
        }
    }

    /// Drops the entries that meet `purge`; says how many. Walks all entries: not for a shard.
    pub fn purge(&self, purge: &Purge, now: Duration) -> u64 {
        let dropped = self.drop_where(|entry| purge.meets(entry, now));
        self.tell(Job::Purge(purge.clone(), now));
        dropped
    }

    /// What is in it.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        let Shared { table, counts, .. } = &*self.shared;
        CacheStats {
            entries: table.len() as u64,
            bytes: table.weight(),
            bytes_max: table.capacity(),
            loading: counts.loading.load(Ordering::Acquire),
            dropped_writes: counts.dropped.load(Ordering::Relaxed),
            damaged_files: counts.damaged.load(Ordering::Relaxed),
        }
    }

    /// Tells the journal, which must not be waited for.
    fn tell(&self, job: Job) {
        if let Some(jobs) = &self.jobs
            && jobs.try_send(job).is_err()
        {
            self.shared.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn bytes_max(&self) -> u64 {
        self.shared.table.capacity()
    }

    pub(super) fn secret(&self) -> &[u8; 32] {
        &self.shared.secret
    }

    pub(super) fn counts(&self) -> &Counts {
        &self.shared.counts
    }

    /// Takes in what was on disk, unless it has expired or there is something newer.
    pub(super) fn load(&self, key: Key, entry: Entry, now: Duration) {
        let is_newer = |held: Arc<Entry>| held.stored_at > entry.stored_at;
        if now < entry.expires_at && !self.shared.table.get(&key).is_some_and(is_newer) {
            self.shared.table.insert(key, Arc::new(entry));
        }
    }

    /// Drops what was stored under `key` until `at`.
    pub(super) fn forget(&self, key: &Key, at: Duration) {
        self.shared.table.remove_if(key, |held| held.stored_at <= at);
    }

    /// Drops the entries for which `condition` holds; says how many.
    pub(super) fn drop_where(&self, condition: impl Fn(&Entry) -> bool) -> u64 {
        let before = self.shared.table.len();
        self.shared.table.retain(|_, entry| !condition(entry));
        before.saturating_sub(self.shared.table.len()) as u64
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (Key, Arc<Entry>)> + '_ {
        self.shared.table.iter()
    }
}

/// Keeps the cache on disk.
pub struct CacheWriter(Journal);

impl CacheWriter {
    /// Writes what is left and ends.
    pub fn stop(self) {
        self.0.stop();
    }
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

#[cfg(test)]
mod tests {
    use super::super::Labels;
    use super::*;
    use crate::base::IdSource;

    const NOW: Duration = Duration::from_secs(1_000);

    fn limits(bytes_max: u64) -> CacheLimits {
        CacheLimits { bytes_max, folder: None }
    }

    fn cache(bytes_max: u64) -> Cache {
        Cache::in_memory(&limits(bytes_max), [7; 32])
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
        cache.limit(&limits(70_000));
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

    fn eventually(what: &str, condition: impl Fn() -> bool) {
        let begun = std::time::Instant::now();
        while !condition() {
            assert!(begun.elapsed() < Duration::from_secs(20), "never: {what}");
            std::thread::yield_now();
        }
    }

    /// A folder that goes with the test.
    struct Scratch(std::path::PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let name = format!("ringgate-cache-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            let _ = std::fs::remove_dir_all(&path);
            Self(path)
        }

        fn open(&self) -> (Cache, CacheWriter) {
            let now = crate::base::unix_now();
            let opened = Cache::open(&limits(1_000_000), &self.0, [9; 32], now).expect("a folder");
            eventually("loaded", || !opened.0.stats().loading);
            opened
        }

        /// The one segment.
        fn segment(&self) -> std::path::PathBuf {
            let files = std::fs::read_dir(&self.0).expect("a folder");
            let mut paths = files.map(|file| file.expect("a file").path());
            paths.find(|path| path.extension().is_some_and(|it| it == "cache")).expect("a segment")
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    /// An entry that has not expired by the clock of the machine.
    fn living(body_bytes: usize, route: &str) -> Entry {
        let stored_at = crate::base::unix_now();
        let expires_at = stored_at + Duration::from_secs(60);
        Entry { stored_at, expires_at, ..entry(body_bytes, route) }
    }

    #[test]
    fn entries_survive_a_restart() {
        let scratch = Scratch::new("restart");
        let now = crate::base::unix_now;
        let (cache, writer) = scratch.open();
        let [one, two, three] = ["1", "2", "3"].map(|name| key(&cache, name));
        cache.put(one, living(10, "a"));
        cache.put(two, living(20, "b"));
        cache.put(three, entry(30, "expired long ago"));
        cache.put(one, living(11, "a"));
        cache.remove(&two, now());
        writer.stop();
        drop(cache);

        let (cache, writer) = scratch.open();
        assert_eq!(cache.get(&one, now(), None).expect("kept").body.len(), 11);
        assert_eq!(cache.stats().entries, 1);
        cache.put(two, living(21, "b"));
        assert_eq!(cache.purge(&Purge { route: Some("a".into()), ..Purge::default() }, now()), 1);
        writer.stop();
        drop(cache);

        let (cache, writer) = scratch.open();
        assert!(cache.get(&one, now(), None).is_none(), "purged on disk too");
        assert_eq!(cache.get(&two, now(), None).expect("kept").body.len(), 21);
        writer.stop();
    }

    #[test]
    fn a_damaged_file_is_cut_and_goes_on() {
        let scratch = Scratch::new("damaged");
        let (cache, writer) = scratch.open();
        let [one, two, three] = ["1", "2", "3"].map(|name| key(&cache, name));
        cache.put(one, living(1_000, "a"));
        cache.put(two, living(1_000, "a"));
        writer.stop();
        let path = scratch.segment();
        let mut bytes = std::fs::read(&path).expect("the segment");
        let last = bytes.len() - 10;
        bytes[last] ^= 1;
        std::fs::write(&path, bytes).expect("written");
        let now = crate::base::unix_now;
        for (put, damaged) in [(Some(three), 1), (None, 0)] {
            let (cache, writer) = scratch.open();
            assert_eq!(cache.stats().damaged_files, damaged);
            assert!(cache.get(&one, now(), None).is_some());
            assert!(cache.get(&two, now(), None).is_none());
            assert_eq!(cache.get(&three, now(), None).is_some(), put.is_none());
            put.map(|key| cache.put(key, living(10, "a")));
            writer.stop();
        }
    }

    #[test]
    fn the_disk_is_bounded_and_has_one_owner() {
        let scratch = Scratch::new("bounded");
        let (cache, writer) = scratch.open();
        let again = Cache::open(&limits(1_000_000), &scratch.0, [9; 32], NOW);
        assert_eq!(again.err().map(|it| it.kind()), Some(io::ErrorKind::WouldBlock));
        for round in 0..100 {
            for number in 0..10 {
                cache.put(key(&cache, &number.to_string()), living(5_000 + round, "r"));
            }
        }
        writer.stop();
        let bytes = std::fs::metadata(scratch.segment()).expect("the segment").len();
        assert!(bytes < 2_300_000, "{bytes} bytes for 50 kB of entries");
        let (cache, writer) = scratch.open();
        assert_eq!(cache.stats().entries, 10);
        writer.stop();
    }

    #[test]
    fn a_removed_entry_is_gone() {
        let cache = cache(1_000_000);
        let key = key(&cache, "a");
        cache.put(key, entry(10, "r"));
        cache.remove(&key, NOW);
        assert!(cache.get(&key, NOW, None).is_none());
    }
}

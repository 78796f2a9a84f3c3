//! The table of answers: the same request gets the same answer.
//!
//! Entries are evicted by `quick_cache` (S3-FIFO), weighed by their bytes, with a fair share for each
//! virtual key. What belongs to an entry elsewhere goes when it goes: its question, its place on disk.

use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use quick_cache::sync::Cache as Table;
use quick_cache::{DefaultHashBuilder, Lifecycle, Weighter};

use super::error_controller::{ErrorController, SampledCheck};
use super::jobs::{Counts, Job};
use super::owner_quotas::OwnerQuotas;
use super::purge::Purge;
use super::questions::{Neighbor, Questions};
use super::served::{Served, ServedAnswers};
use super::shadow::Observation;
use super::verifier::MatchPolicy;
use super::{CacheLimits, Entry, Key, KeyBuilder, Question};
use crate::inference::Embedding;

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

/// What is done about an entry that is gone. The table calls it under its lock, so nothing here calls
/// the table.
struct EvictionHooks {
    quotas: Mutex<OwnerQuotas>,
    /// Empty where no thread keeps questions and files.
    jobs: OnceLock<SyncSender<Job>>,
    counts: Counts,
}

impl EvictionHooks {
    fn quotas(&self) -> MutexGuard<'_, OwnerQuotas> {
        lock(&self.quotas)
    }

    /// Queues a job for the writer thread without waiting.
    fn notify(&self, job: Job) {
        if let Some(jobs) = self.jobs.get()
            && jobs.try_send(job).is_err()
        {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn gone(&self, entry: &Entry) {
        self.quotas().take(&entry.labels.key, entry.bytes());
    }
}

/// Receives evictions.
#[derive(Clone)]
struct Evictions(Arc<EvictionHooks>);

impl Lifecycle<Key, Arc<Entry>> for Evictions {
    type RequestState = ();

    fn on_evict(&self, (): &mut (), key: Key, entry: Arc<Entry>) {
        self.0.gone(&entry);
        if let Some(partition) = entry.partition {
            self.0.notify(Job::Evicted(key, partition));
        }
    }
}

/// Stored answers; clones share them.
#[derive(Clone)]
pub struct Cache(Arc<Shared>);

struct Shared {
    table: Table<Key, Arc<Entry>, Bytes, DefaultHashBuilder, Evictions>,
    /// Held while an entry takes its place, so that the one it replaces is counted off once.
    storing: Mutex<()>,
    secret: [u8; 32],
    hooks: Arc<EvictionHooks>,
    questions: Questions,
    served: Mutex<ServedAnswers>,
    error_controller: ErrorController,
}

/// No panic leaves what is behind these locks in a state that serves a wrong answer.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is in the cache now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct CacheStats {
    /// Stored answers.
    pub entries: u64,
    /// Of them, those that can be found by their meaning.
    pub questions: u64,
    /// Sets of questions that are compared with one another.
    pub partitions: u64,
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

impl Cache {
    /// An empty cache that is lost with the process. Its keys are made with `secret`. Without a
    /// writer it has no semantic tier.
    #[must_use]
    pub fn in_memory(limits: &CacheLimits, secret: [u8; 32]) -> Self {
        let hooks = Arc::new(EvictionHooks {
            quotas: Mutex::default(),
            jobs: OnceLock::new(),
            counts: Counts::default(),
        });
        let table = Table::with(
            ENTRIES_EXPECTED,
            limits.bytes_max,
            Bytes,
            DefaultHashBuilder::default(),
            Evictions(Arc::clone(&hooks)),
        );
        Self(Arc::new(Shared {
            table,
            storing: Mutex::default(),
            secret,
            hooks,
            questions: Questions::new(),
            served: Mutex::default(),
            error_controller: ErrorController::default(),
        }))
    }

    /// Sends what changes to the writer thread from now on.
    pub(super) fn notify_writer(&self, jobs: SyncSender<Job>) {
        // A cache has one writer, which starts with it.
        let _ = self.0.hooks.jobs.set(jobs);
    }

    /// Takes over other bounds; a smaller one evicts.
    pub fn limit(&self, limits: &CacheLimits) {
        self.0.table.set_capacity(limits.bytes_max);
    }

    /// Begins a key.
    #[must_use]
    pub fn key(&self) -> KeyBuilder {
        KeyBuilder::new(&self.0.secret)
    }

    /// The answer stored under `key`, unless its time is over or it is older than `age_max`.
    pub fn get(&self, key: &Key, now: Duration, age_max: Option<Duration>) -> Option<Arc<Entry>> {
        let entry = self.0.table.get(key)?;
        if now >= entry.expires_at {
            let removed = self.0.table.remove_if(key, |held| now >= held.expires_at);
            removed.inspect(|(_, entry)| self.gone(key, entry));
            return None;
        }
        age_max.is_none_or(|max| entry.age(now) <= max).then_some(entry)
    }

    /// Stores an answer; the one that was there goes. With a question, which must be of the entry's
    /// partition, the answer can be found by its meaning as well. False if it is too large.
    pub fn put(&self, key: Key, entry: Entry, question: Option<Box<Question>>) -> bool {
        let fits = entry.bytes() <= self.entry_bytes_max();
        if fits {
            let entry = Arc::new(entry);
            self.insert(key, Arc::clone(&entry));
            self.0.hooks.notify(Job::Put(key, entry, question));
        }
        fits
    }

    fn insert(&self, key: Key, entry: Arc<Entry>) {
        let (owner, bytes) = (entry.labels.key.clone(), entry.bytes());
        let _storing = lock(&self.0.storing);
        let held = || (self.0.table.weight(), self.0.table.capacity());
        if let Some((_, old)) = self.0.table.remove(&key) {
            self.0.hooks.gone(&old);
        }
        loop {
            let oldest = self.0.hooks.quotas().evict_oldest(&owner, bytes, held());
            let Some(name) = oldest else { break };
            let removed = self.0.table.remove(&name);
            removed.inspect(|(_, entry)| self.gone(&name, entry));
        }
        self.0.hooks.quotas().add(&owner, key, bytes);
        let stale_names = self.0.hooks.quotas().take_if_stale(&owner);
        if let Some(mut names) = stale_names {
            names.retain(|name| *name == key || self.0.table.contains_key(name));
            self.0.hooks.quotas().restore(&owner, names);
        }
        self.0.table.insert(key, entry);
    }

    /// Counts an entry off that was taken out of the table.
    fn gone(&self, key: &Key, entry: &Entry) {
        self.0.hooks.gone(entry);
        if let Some(partition) = entry.partition {
            self.0.hooks.notify(Job::Evicted(*key, partition));
        }
    }

    /// True if an answer of so many bytes may be stored.
    #[must_use]
    pub fn fits(&self, body_bytes: usize) -> bool {
        body_bytes as u64 <= self.entry_bytes_max()
    }

    fn entry_bytes_max(&self) -> u64 {
        self.bytes_max() / ENTRY_SHARE
    }

    /// Drops the answer stored under `key`; true if there was one.
    pub fn remove(&self, key: &Key, now: Duration) -> bool {
        let Some((_, entry)) = self.0.table.remove(key) else { return false };
        self.gone(key, &entry);
        self.0.hooks.notify(Job::Removed(*key, now));
        true
    }

    /// Drops the entries that meet `purge`; returns how many. Walks all entries: not for a shard.
    pub fn purge(&self, purge: &Purge, now: Duration) -> u64 {
        let dropped = self.drop_where(|entry| purge.meets(entry, now));
        self.0.hooks.notify(Job::Purge(Box::new(purge.clone()), now));
        dropped
    }

    /// Keeps two questions from sharing an answer ever again, by the names of their entries.
    pub fn block_pair(&self, one: Key, other: Key) {
        self.0.questions.block_pair(one, other);
        self.0.hooks.notify(Job::BlockedPair(one, other));
    }

    /// Remembers that an answer was found by meaning, under the trace id that its client received.
    pub fn note_served(&self, owner: Option<&str>, trace_id: &str, served: Served) {
        lock(&self.0.served).note(self.trace(owner, trace_id), served);
    }

    /// The answers of a trace that were found by meaning; a second call returns none.
    #[must_use]
    pub fn take_served(&self, owner: Option<&str>, trace_id: &str) -> Vec<Served> {
        lock(&self.0.served).take(&self.trace(owner, trace_id))
    }

    fn trace(&self, owner: Option<&str>, trace_id: &str) -> Key {
        self.key().optional(owner.map(str::as_bytes)).part(trace_id.as_bytes()).finish()
    }

    /// How often answers by meaning are wrong, by route.
    #[must_use]
    pub fn error_controller(&self) -> &ErrorController {
        &self.0.error_controller
    }

    /// Takes in whether the provider's answer agrees with a withheld one. A pair for which it does not
    /// never matches again.
    pub(super) fn record_comparison(&self, check: &SampledCheck, agreed: bool) {
        self.0.error_controller.record(&check.route, check.cosine, check.weight, !agreed);
        if !agreed {
            self.block_pair(check.question, check.stored);
        }
    }

    /// Writes down what shadow mode has seen.
    pub(super) fn observe(&self, observation: Box<Observation>) {
        self.0.hooks.notify(Job::Observed(observation));
    }

    /// The stored question nearest to `question`, whose own key is `own`. Takes as long
    /// as a search takes: not for a shard.
    #[must_use]
    pub fn nearest(
        &self,
        own: &Key,
        question: &Question,
        embedding: &Embedding,
        policy: MatchPolicy,
        now: Duration,
    ) -> Option<Neighbor> {
        let answer = |key: &Key| self.get(key, now, None);
        self.0.questions.search(own, question, embedding.as_array(), policy, answer)
    }

    /// What is in it.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        let Shared { table, hooks, questions, .. } = &*self.0;
        let (questions, partitions) = questions.count();
        CacheStats {
            entries: table.len() as u64,
            questions,
            partitions,
            bytes: table.weight(),
            bytes_max: table.capacity(),
            loading: hooks.counts.loading.load(Ordering::Acquire),
            dropped_writes: hooks.counts.dropped.load(Ordering::Relaxed),
            damaged_files: hooks.counts.damaged.load(Ordering::Relaxed),
        }
    }

    pub(super) fn bytes_max(&self) -> u64 {
        self.0.table.capacity()
    }

    pub(super) fn secret(&self) -> &[u8; 32] {
        &self.0.secret
    }

    pub(super) fn counts(&self) -> &Counts {
        &self.0.hooks.counts
    }

    pub(super) fn questions(&self) -> &Questions {
        &self.0.questions
    }

    pub(super) fn contains(&self, key: &Key) -> bool {
        self.0.table.contains_key(key)
    }

    /// Takes in what was on disk, unless it has expired or there is something newer.
    pub(super) fn load(
        &self,
        key: Key,
        entry: Arc<Entry>,
        question: Option<Box<Question>>,
        now: Duration,
    ) {
        let is_newer = |held: Arc<Entry>| held.stored_at > entry.stored_at;
        if now < entry.expires_at && !self.0.table.peek(&key).is_some_and(is_newer) {
            self.insert(key, entry);
            if let Some(question) = question {
                // Graphs are built once all is loaded.
                self.0.questions.insert(key, *question, false);
            }
        }
    }

    /// Drops what was stored under `key` until `at`.
    pub(super) fn forget(&self, key: &Key, at: Duration) {
        let removed = self.0.table.remove_if(key, |held| held.stored_at <= at);
        removed.inspect(|(_, entry)| self.gone(key, entry));
    }

    /// Drops the entries for which `condition` holds; returns how many.
    pub(super) fn drop_where(&self, condition: impl Fn(&Entry) -> bool) -> u64 {
        let found = self.entries().filter(|(_, entry)| condition(entry)).map(|(key, _)| key);
        let names: Vec<Key> = found.collect();
        let mut dropped = 0;
        for key in names {
            if let Some((_, entry)) = self.0.table.remove_if(&key, |held| condition(held)) {
                self.gone(&key, &entry);
                dropped += 1;
            }
        }
        dropped
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (Key, Arc<Entry>)> + '_ {
        self.0.table.iter()
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::super::{CacheWriter, EntryLabels};
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
            labels: EntryLabels {
                route: Some(route.into()),
                key: Some("team".into()),
                namespace: Some("n".into()),
                ..EntryLabels::default()
            },
            stored_at: NOW,
            expires_at: NOW + Duration::from_secs(60),
            wording: 0,
            partition: None,
        }
    }

    #[test]
    fn entries_expire_and_respect_max_age() {
        let cache = cache(1_000_000);
        let key = key(&cache, "a");
        assert!(cache.put(key, entry(10, "r"), None));
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
        assert!(!cache.put(key(&cache, "large"), entry(100_000 / 16, "r"), None));
        for number in 0..1_000 {
            cache.put(key(&cache, &number.to_string()), entry(1_000, "r"), None);
        }
        let stats = cache.stats();
        assert!(stats.bytes <= 100_000 && stats.entries >= 40, "{stats:?}");
        cache.limit(&limits(70_000));
        cache.put(key(&cache, "one more"), entry(1_000, "r"), None);
        assert!(cache.stats().bytes <= 70_000, "{:?}", cache.stats());
    }

    #[test]
    fn flooding_owner_evicts_its_own_entries() {
        let cache = cache(400_000);
        let of = |owner: &str, body_bytes| {
            let labels = EntryLabels { key: Some(owner.into()), ..EntryLabels::default() };
            Entry { labels, ..entry(body_bytes, "r") }
        };
        let name = |owner: &str, number: usize| key(&cache, &format!("{owner}{number}"));
        for number in 0..100 {
            cache.put(name("calm", number), of("calm", 1_000), None);
        }
        for number in 0..5_000 {
            cache.put(name("flood", number), of("flood", 1_000), None);
        }
        let lives = |owner, number| cache.get(&name(owner, number), NOW, None).is_some();
        let calm = (0..100).filter(|number| lives("calm", *number)).count();
        let flood = (0..5_000).filter(|number| lives("flood", *number)).count();
        assert!(calm >= 95 && flood >= 80, "{calm} {flood}");
        let young = (4_900..5_000).filter(|number| lives("flood", *number)).count();
        let old = (0..4_000).filter(|number| lives("flood", *number)).count();
        assert!(young >= 60 && old <= 5, "the oldest go: {young} {old}");
    }

    #[test]
    fn purge_removes_matching_entries() {
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
            cache.put(key(&cache, "1"), entry(10, "a"), None);
            cache.put(key(&cache, "2"), entry(20, "b"), None);
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
        cache.put(one, living(10, "a"), None);
        cache.put(two, living(20, "b"), None);
        cache.put(three, entry(30, "expired long ago"), None);
        cache.put(one, living(11, "a"), None);
        cache.remove(&two, now());
        writer.stop();
        drop(cache);

        let (cache, writer) = scratch.open();
        assert_eq!(cache.get(&one, now(), None).expect("kept").body.len(), 11);
        assert_eq!(cache.stats().entries, 1);
        cache.put(two, living(21, "b"), None);
        assert_eq!(cache.purge(&Purge { route: Some("a".into()), ..Purge::default() }, now()), 1);
        writer.stop();
        drop(cache);

        let (cache, writer) = scratch.open();
        assert!(cache.get(&one, now(), None).is_none(), "purged on disk too");
        assert_eq!(cache.get(&two, now(), None).expect("kept").body.len(), 21);
        writer.stop();
    }

    #[test]
    fn damaged_file_is_truncated_and_usable() {
        let scratch = Scratch::new("damaged");
        let (cache, writer) = scratch.open();
        let [one, two, three] = ["1", "2", "3"].map(|name| key(&cache, name));
        cache.put(one, living(1_000, "a"), None);
        cache.put(two, living(1_000, "a"), None);
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
            put.map(|key| cache.put(key, living(10, "a"), None));
            writer.stop();
        }
    }

    #[test]
    fn disk_is_bounded_and_locked() {
        let scratch = Scratch::new("bounded");
        let (cache, writer) = scratch.open();
        let again = Cache::open(&limits(1_000_000), &scratch.0, [9; 32], NOW);
        assert_eq!(again.err().map(|it| it.kind()), Some(io::ErrorKind::WouldBlock));
        for round in 0..100 {
            for number in 0..10 {
                cache.put(key(&cache, &number.to_string()), living(5_000 + round, "r"), None);
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
    fn removed_entry_is_gone() {
        let cache = cache(1_000_000);
        let key = key(&cache, "a");
        cache.put(key, entry(10, "r"), None);
        cache.remove(&key, NOW);
        assert!(cache.get(&key, NOW, None).is_none());
    }
}

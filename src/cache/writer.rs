//! The thread behind the cache: it keeps the stored questions in the index, and the entries on disk.
//!
//! Shards queue what they did and go on. What does not fit into its queue, or onto the disk, is
//! dropped and counted: the answers in memory do not depend on it.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use super::jobs::Job;
use super::journal::{Folder, Journal};
use super::segment::JournalRecord;
use super::{Cache, CacheLimits, Entry, Key, Question};
use crate::base::BackgroundThread;

/// Changes that wait, at most.
const QUEUE_JOBS: usize = 4_096;

/// What was written is forced onto the disk when there was nothing to do for so long. A killed
/// process loses nothing of it, a machine without power may.
const IDLE: Duration = Duration::from_secs(1);

/// The end of the process waits so long for what is left to be written. Files that are cut off by
/// the end are read up to there.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// Keeps the questions of a cache, and the cache on disk.
pub struct CacheWriter {
    jobs: SyncSender<Job>,
    thread: BackgroundThread,
}

impl CacheWriter {
    /// Starts the thread: it loads what is on disk into `cache`, then works off its queue.
    fn start(cache: Cache, journal: Option<Journal>, now: Duration) -> io::Result<Self> {
        let (jobs, queue) = sync_channel(QUEUE_JOBS);
        cache.counts().loading.store(journal.is_some(), Ordering::Release);
        let is_building = Arc::default();
        let mut writer = WriterThread { cache, journal, is_building, swept_at: 0 };
        let body = move || writer.run(&queue, now);
        let thread = BackgroundThread::start("cache-keeper".to_owned(), body)?;
        Ok(Self { jobs, thread })
    }

    /// Writes what is left and ends; false if that takes longer than ten seconds.
    pub fn stop(self) -> bool {
        self.thread.stop_within(&self.jobs, Job::Stop, STOP_LIMIT)
    }
}

impl Cache {
    /// A cache that is lost with the process, and the thread that keeps its questions.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn start(limits: &CacheLimits, secret: [u8; 32]) -> io::Result<(Self, CacheWriter)> {
        let cache = Self::in_memory(limits, secret);
        let writer = cache.spawn_writer(None, Duration::ZERO)?;
        Ok((cache, writer))
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
        let cache = Self::in_memory(limits, folder.secret(fresh)?);
        let writer = cache.spawn_writer(Some(Journal::new(folder)), now)?;
        Ok((cache, writer))
    }

    fn spawn_writer(&self, journal: Option<Journal>, now: Duration) -> io::Result<CacheWriter> {
        let writer = CacheWriter::start(self.clone(), journal, now)?;
        self.notify_writer(writer.jobs.clone());
        Ok(writer)
    }
}

struct WriterThread {
    cache: Cache,
    /// None where answers are in memory only.
    journal: Option<Journal>,
    /// A graph is being built.
    is_building: Arc<AtomicBool>,
    /// Changes that were dropped when the questions were last held against the answers.
    swept_at: u64,
}

impl WriterThread {
    fn run(&mut self, queue: &Receiver<Job>, now: Duration) {
        if let Some(journal) = &mut self.journal {
            journal.load(&self.cache, now);
        }
        self.cache.counts().loading.store(false, Ordering::Release);
        loop {
            match queue.recv_timeout(IDLE) {
                Ok(job) => {
                    if self.take_with_others(job, queue) {
                        break;
                    }
                }
                Err(RecvTimeoutError::Timeout) => self.rest(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        if let Some(journal) = &mut self.journal {
            journal.write(&self.cache);
            journal.sync(&self.cache);
        }
    }

    /// Takes a job and those behind it that fit into one write; true if one of them is the stop.
    fn take_with_others(&mut self, job: Job, queue: &Receiver<Job>) -> bool {
        let mut next = Some(job);
        while let Some(job) = next {
            if matches!(job, Job::Stop) {
                return true;
            }
            self.take(job);
            let is_full = self.journal.as_ref().is_some_and(Journal::is_full);
            next = if is_full { None } else { queue.try_recv().ok() };
        }
        if let Some(journal) = &mut self.journal {
            journal.write(&self.cache);
        }
        false
    }

    fn take(&mut self, job: Job) {
        match job {
            Job::Put(key, entry, question) => {
                // An entry that was evicted meanwhile needs no question.
                if let Some(question) = question.as_deref().filter(|_| self.cache.contains(&key)) {
                    self.insert(key, question.clone());
                }
                self.record(&JournalRecord::Put(key, entry, question));
            }
            Job::Evicted(key, partition) => {
                // Unless another answer has taken its place.
                if !self.cache.contains(&key) {
                    self.cache.questions().remove(&key, &partition);
                }
            }
            Job::Removed(key, at) => self.record(&JournalRecord::Remove(key, at)),
            Job::BlockedPair(one, other) => self.record(&JournalRecord::Part(one, other)),
            Job::Purge(purge, at) => {
                // Once more, since entries may have been loaded after the purge in memory.
                let meets = |entry: &Entry| entry.stored_at <= at && purge.meets(entry, at);
                self.cache.drop_where(meets);
                self.sweep();
                if let Some(journal) = &mut self.journal {
                    // Files are not searched for what they hold; they are rewritten.
                    journal.compact(&self.cache);
                }
            }
            Job::Observed(observation) => {
                if let Some(journal) = &mut self.journal {
                    journal.observe(&observation, &self.cache);
                }
            }
            Job::Stop => {}
        }
    }

    /// Keeps a question. An index that has grown large gets its graph on a thread of its own, one at a
    /// time.
    fn insert(&self, key: Key, question: Question) {
        let partition = question.partition;
        let may_build = !self.is_building.load(Ordering::Acquire);
        let Some(build) = self.cache.questions().insert(key, question, may_build) else { return };
        self.is_building.store(true, Ordering::Release);
        let (cache, is_building) = (self.cache.clone(), Arc::clone(&self.is_building));
        let body = move || {
            cache.questions().install(&partition, build.run());
            is_building.store(false, Ordering::Release);
        };
        // What could not be built is due again with the next question.
        if std::thread::Builder::new().name("index-builder".to_owned()).spawn(body).is_err() {
            self.is_building.store(false, Ordering::Release);
        }
    }

    fn record(&mut self, record: &JournalRecord) {
        if let Some(journal) = &mut self.journal {
            journal.append(record, &self.cache);
        }
    }

    /// There is nothing to do.
    fn rest(&mut self) {
        if let Some(journal) = &mut self.journal {
            journal.sync(&self.cache);
        }
        let dropped = self.cache.counts().dropped.load(Ordering::Relaxed);
        if dropped != self.swept_at {
            // Among what was dropped may have been evictions.
            self.swept_at = dropped;
            self.sweep();
        }
    }

    fn sweep(&self) {
        self.cache.questions().sweep(|key| self.cache.contains(key));
    }
}

//! The cache on disk: a thread that writes what was stored, and loads it at the next start.
//!
//! Stores and removals are appended to one segment; when the files hold twice what memory may, the
//! living entries are written anew and the old files go. What does not fit into the queue, or onto
//! the disk, is dropped and counted: the cache in memory does not depend on it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::exact::Purge;
use super::segment::{self, MAGIC, Record, SegmentError};
use super::{Cache, Entry, Key};

/// Changes that wait to be written, at most.
const QUEUE_JOBS: usize = 4_096;

/// Bytes written at once, about.
const WRITE_BYTES: usize = 256 * 1024;

/// What was written is forced onto the disk when there was nothing to do for so long. A killed
/// process loses nothing of it, a machine without power may.
const IDLE: Duration = Duration::from_secs(1);

/// Or when so much has been written since.
const UNSYNCED_BYTES_MAX: u64 = 16 * 1024 * 1024;

const SUFFIX: &str = "cache";

/// What the thread is told.
pub(super) enum Job {
    Put(Key, Arc<Entry>),
    Remove(Key, Duration),
    /// Entries stored before this time that meet the conditions.
    Purge(Purge, Duration),
    Stop,
}

/// What became of the cache on disk.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Entries are still being loaded.
    pub loading: AtomicBool,
    /// Changes that were not written: the queue or the disk was full.
    pub dropped: AtomicU64,
    /// Files that were cut at a bad record, or were none of ours.
    pub damaged: AtomicU64,
}

/// The folder of one cache, for one process.
pub(super) struct Folder {
    path: PathBuf,
    /// Held for as long as the process lives.
    _lock: File,
}

impl Folder {
    /// Takes a folder over; makes it where there is none.
    ///
    /// # Errors
    /// The system's, or `WouldBlock` where another process has it.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        let lock = OpenOptions::new().create(true).append(true).open(path.join("lock"))?;
        lock.try_lock().map_err(io::Error::from)?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// The secret that keys and records are made with; `fresh` where there is none yet.
    ///
    /// # Errors
    /// The system's, or `InvalidData` where the file is no secret.
    pub(super) fn secret(&self, fresh: [u8; 32]) -> io::Result<[u8; 32]> {
        use std::os::unix::fs::OpenOptionsExt;
        let path = self.path.join("secret");
        match fs::read(&path) {
            Ok(bytes) => bytes.try_into().map_err(|_| io::ErrorKind::InvalidData.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let aside = self.path.join("secret.new");
                let mut options = OpenOptions::new();
                options.write(true).create(true).truncate(true).mode(0o600);
                let mut file = options.open(&aside)?;
                file.write_all(&fresh)?;
                file.sync_all()?;
                fs::rename(aside, path)?;
                Ok(fresh)
            }
            Err(error) => Err(error),
        }
    }

    /// The segments by number, oldest first.
    fn segments(&self) -> io::Result<Vec<(u64, PathBuf)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let path = entry?.path();
            let is_segment = path.extension().is_some_and(|it| it == SUFFIX);
            let number = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
            found.extend(number.filter(|_| is_segment).map(|number| (number, path)));
        }
        found.sort_unstable();
        Ok(found)
    }

    fn segment(&self, number: u64) -> PathBuf {
        self.path.join(format!("{number:08}.{SUFFIX}"))
    }
}

/// The thread and the way to it.
pub(super) struct Journal {
    pub(super) jobs: SyncSender<Job>,
    thread: JoinHandle<()>,
}

impl Journal {
    /// Starts the thread: it loads what is there into `cache`, then writes what it is told.
    ///
    /// # Errors
    /// When there can be no thread.
    pub(super) fn start(folder: Folder, cache: Cache, now: Duration) -> io::Result<Self> {
        let (jobs, queue) = sync_channel(QUEUE_JOBS);
        cache.counts().loading.store(true, Ordering::Release);
        let writer = Writer {
            folder,
            cache,
            active: None,
            number: 0,
            bytes: 0,
            unsynced: 0,
            buffer: Vec::new(),
        };
        let thread = std::thread::Builder::new()
            .name("cache-journal".to_owned())
            .spawn(move || writer.run(&queue, now))?;
        Ok(Self { jobs, thread })
    }

    /// Writes what is queued and ends the thread.
    pub(super) fn stop(self) {
        // A thread that is gone has nothing left to write.
        let _ = self.jobs.send(Job::Stop);
        let _ = self.thread.join();
    }
}

struct Writer {
    folder: Folder,
    cache: Cache,
    /// The segment that is appended to, and its length.
    active: Option<(File, u64)>,
    number: u64,
    /// Length of all segments.
    bytes: u64,
    /// Of them, not yet forced onto the disk.
    unsynced: u64,
    buffer: Vec<u8>,
}

impl Writer {
    fn run(mut self, queue: &Receiver<Job>, now: Duration) {
        if self.load(now).is_err() {
            self.cache.counts().damaged.fetch_add(1, Ordering::Relaxed);
        }
        self.cache.counts().loading.store(false, Ordering::Release);
        loop {
            match queue.recv_timeout(IDLE) {
                Ok(job) => {
                    let stop = self.take_with_others(job, queue);
                    self.write();
                    if stop {
                        break;
                    }
                }
                Err(RecvTimeoutError::Timeout) => self.sync(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.unsynced > UNSYNCED_BYTES_MAX {
                self.sync();
            }
            if self.bytes > self.cache.bytes_max().saturating_mul(2) {
                self.compact();
            }
        }
        self.sync();
    }

    /// Takes a job and those behind it that fit into one write; true if one of them says stop.
    fn take_with_others(&mut self, job: Job, queue: &Receiver<Job>) -> bool {
        let mut next = Some(job);
        while let Some(job) = next {
            if matches!(job, Job::Stop) {
                return true;
            }
            self.take(job);
            let full = self.buffer.len() >= WRITE_BYTES;
            next = if full { None } else { queue.try_recv().ok() };
        }
        false
    }

    fn take(&mut self, job: Job) {
        let secret = *self.cache.secret();
        match job {
            Job::Put(key, entry) => {
                segment::append(&Record::Put(key, (*entry).clone()), &secret, &mut self.buffer);
            }
            Job::Remove(key, at) => {
                segment::append(&Record::Remove(key, at), &secret, &mut self.buffer);
            }
            Job::Purge(purge, at) => {
                // Once more, since entries may have been loaded after the purge in memory.
                let meets = |entry: &Entry| entry.stored_at <= at && purge.meets(entry, at);
                self.cache.drop_where(meets);
                // Files are not searched for what they hold; they are written anew.
                self.buffer.clear();
                self.compact();
            }
            Job::Stop => {}
        }
    }

    /// Loads all segments, oldest first, and goes on with the newest.
    fn load(&mut self, now: Duration) -> io::Result<()> {
        let segments = self.folder.segments()?;
        for (number, path) in &segments {
            self.number = *number;
            let file = File::open(path)?;
            let cache = &self.cache;
            let read = segment::read(BufReader::new(file), cache.secret(), |record| match record {
                Record::Put(key, entry) => cache.load(key, entry, now),
                Record::Remove(key, at) => cache.forget(&key, at),
            });
            let whole_bytes = match read {
                Ok(bytes) => bytes,
                Err(error) => {
                    cache.counts().damaged.fetch_add(1, Ordering::Relaxed);
                    match error {
                        SegmentError::Damaged { whole_bytes } => whole_bytes,
                        SegmentError::Magic => 0,
                    }
                }
            };
            let file = OpenOptions::new().write(true).open(path)?;
            file.set_len(whole_bytes)?;
            self.bytes += whole_bytes;
        }
        if let Some((_, path)) = segments.last() {
            let length = fs::metadata(path)?.len();
            if length > 0 {
                self.active = Some((OpenOptions::new().append(true).open(path)?, length));
            }
        }
        Ok(())
    }

    /// Appends the buffer to the active segment; what cannot be written is dropped and counted.
    fn write(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        let buffer = std::mem::take(&mut self.buffer);
        if self.append(&buffer).is_err() {
            self.cache.counts().dropped.fetch_add(1, Ordering::Relaxed);
        }
        self.buffer = buffer;
        self.buffer.clear();
        if self.buffer.capacity() > 4 * WRITE_BYTES {
            self.buffer = Vec::new();
        }
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (mut file, length) = match self.active.take() {
            Some(active) => active,
            None => self.create()?,
        };
        match file.write_all(bytes) {
            Ok(()) => {
                self.bytes += bytes.len() as u64;
                self.unsynced += bytes.len() as u64;
                self.active = Some((file, length + bytes.len() as u64));
                Ok(())
            }
            Err(error) => {
                // Half a record would hide all that follow it. If it cannot be cut off, the next
                // write begins another file.
                if file.set_len(length).is_ok() {
                    self.active = Some((file, length));
                }
                Err(error)
            }
        }
    }

    /// Begins the next segment.
    fn create(&mut self) -> io::Result<(File, u64)> {
        self.number += 1;
        let path = self.folder.segment(self.number);
        let mut file = OpenOptions::new().create_new(true).append(true).open(path)?;
        file.write_all(MAGIC)?;
        self.bytes += MAGIC.len() as u64;
        Ok((file, MAGIC.len() as u64))
    }

    fn sync(&mut self) {
        if let Some((file, _)) = &self.active
            && std::mem::take(&mut self.unsynced) > 0
            && file.sync_data().is_err()
        {
            self.cache.counts().dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Writes the living entries into a new segment and drops the older ones.
    fn compact(&mut self) {
        if self.try_compact().is_err() {
            // What is left of it is written over by the next attempt.
            self.cache.counts().dropped.fetch_add(1, Ordering::Relaxed);
            // Not again at once: the files may grow as much once more.
            self.bytes = 0;
        }
    }

    fn try_compact(&mut self) -> io::Result<()> {
        let old = self.folder.segments()?;
        self.number += 1;
        let path = self.folder.segment(self.number);
        let aside = self.folder.path.join("compacted.new");
        let mut file = File::create(&aside)?;
        let mut length = MAGIC.len() as u64;
        let mut buffer = MAGIC.to_vec();
        let secret = *self.cache.secret();
        for (key, entry) in self.cache.entries() {
            segment::append(&Record::Put(key, (*entry).clone()), &secret, &mut buffer);
            if buffer.len() >= WRITE_BYTES {
                file.write_all(&buffer)?;
                length += buffer.len() as u64;
                buffer.clear();
            }
        }
        file.write_all(&buffer)?;
        length += buffer.len() as u64;
        file.sync_all()?;
        fs::rename(&aside, &path)?;
        self.active = Some((OpenOptions::new().append(true).open(&path)?, length));
        self.bytes = length;
        for (_, path) in old {
            fs::remove_file(path)?;
        }
        Ok(())
    }
}

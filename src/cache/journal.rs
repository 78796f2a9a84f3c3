//! The cache on disk: what was stored is written, and loaded at the next start.
//!
//! Stores and removals are appended to one segment; when the files hold twice what memory may, the
//! live entries are rewritten and the old files deleted. What does not fit onto the disk is dropped
//! and counted.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Cache;
use super::segment::{self, JournalRecord, MAGIC, SegmentError};
use super::shadow::{Observation, SHADOW_FILE, SHADOW_FILE_OLD};
use crate::base::{
    create_file, create_new_file, log_message, open_to_append, open_to_read, open_to_write,
};

/// Bytes written at once, about.
const WRITE_BYTES: usize = 256 * 1024;

/// What was written is forced onto the disk when it is so much.
const UNSYNCED_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Length of a shadow file after which another is begun: some 250,000 look-ups.
const SHADOW_BYTES_MAX: u64 = 64 * 1024 * 1024;

const SUFFIX: &str = "cache";

/// A failure with the path, which the system's does not have.
fn with_path(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
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
        let lock = path.join("lock");
        let lock = open_to_append(&lock).map_err(|error| with_path(&lock, &error))?;
        lock.try_lock().map_err(io::Error::from)?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// The secret that keys and records are made with; `fresh` where there is none yet.
    ///
    /// # Errors
    /// The system's, or `InvalidData` where the file is no secret.
    pub(super) fn secret(&self, fresh: [u8; 32]) -> io::Result<[u8; 32]> {
        let path = self.path.join("secret");
        match open_to_read(&path) {
            Ok(file) => {
                let mut bytes = Vec::new();
                // One more than it has, so that a longer file is noticed.
                file.take(fresh.len() as u64 + 1).read_to_end(&mut bytes)?;
                bytes.try_into().map_err(|_| io::ErrorKind::InvalidData.into())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let aside = self.path.join("secret.new");
                let opened = create_file(&aside, 0o600);
                let mut file = opened.map_err(|error| with_path(&aside, &error))?;
                file.write_all(&fresh)?;
                file.sync_all()?;
                fs::rename(aside, path)?;
                Ok(fresh)
            }
            Err(error) => Err(with_path(&path, &error)),
        }
    }

    /// What bears the name of a segment, by number, oldest first.
    fn named_segments(&self) -> io::Result<Vec<(u64, PathBuf)>> {
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

    /// The segments by number, oldest first. What bears the name of one and is no file stays where
    /// it is.
    fn segments(&self) -> io::Result<Vec<(u64, PathBuf)>> {
        let mut segments = self.named_segments()?;
        segments.retain(|(_, path)| fs::metadata(path).is_ok_and(|it| it.is_file()));
        Ok(segments)
    }

    fn segment(&self, number: u64) -> PathBuf {
        self.path.join(format!("{number:08}.{SUFFIX}"))
    }
}

/// The segments of a folder, and what waits to be written to them.
pub(super) struct Journal {
    folder: Folder,
    /// The segment that is appended to, and its length.
    active: Option<(File, u64)>,
    number: u64,
    /// Length of all segments.
    bytes: u64,
    /// Of them, not yet forced onto the disk.
    unsynced: u64,
    buffer: Vec<u8>,
    /// The failure that was last reported: a full disk fails every write.
    reported: String,
}

impl Journal {
    pub(super) fn new(folder: Folder) -> Self {
        Self {
            folder,
            active: None,
            number: 0,
            bytes: 0,
            unsynced: 0,
            buffer: Vec::new(),
            reported: String::new(),
        }
    }

    /// Loads what is on disk, but for what has expired by `now`. A segment that cannot be read is
    /// reported and left out.
    pub(super) fn load(&mut self, cache: &Cache, now: Duration) {
        let segments = match self.folder.named_segments() {
            Ok(segments) => segments,
            Err(error) => return self.report_unread(&self.folder.path, &error, cache),
        };
        for (number, path) in &segments {
            self.number = *number;
            if let Err(error) = self.load_segment(path, cache, now) {
                self.active = None;
                self.report_unread(path, &error, cache);
            }
        }
    }

    fn report_unread(&self, path: &Path, error: &io::Error, cache: &Cache) {
        cache.counts().damaged.fetch_add(1, Ordering::Relaxed);
        log_message(format_args!("warning: cache.dir: {}: {error}; not loaded", path.display()));
    }

    /// Counts a change that is not kept, and reports why unless that was the last report.
    fn drop_change(&mut self, error: &io::Error, cache: &Cache) {
        cache.counts().dropped.fetch_add(1, Ordering::Relaxed);
        let text = error.to_string();
        if text != self.reported {
            let folder = self.folder.path.display();
            log_message(format_args!("warning: cache.dir: {folder}: {text}; changes are lost"));
            self.reported = text;
        }
    }

    /// Takes a record in; it is on its way to the disk after the next [`write`](Self::write).
    pub(super) fn append(&mut self, record: &JournalRecord, cache: &Cache) {
        segment::append(record, cache.secret(), &mut self.buffer);
    }

    /// Appends a line to the shadow file. A file that has grown too long makes room for another; of
    /// the old ones one is kept.
    pub(super) fn observe(&mut self, observation: &Observation, cache: &Cache) {
        if let Err(error) = self.try_observe(observation) {
            self.drop_change(&error, cache);
        }
    }

    fn try_observe(&self, observation: &Observation) -> io::Result<()> {
        let path = self.folder.path.join(SHADOW_FILE);
        let mut line = serde_json::to_vec(observation)?;
        line.push(b'\n');
        let mut file = open_to_append(&path).map_err(|error| with_path(&path, &error))?;
        if file.metadata()?.len() > SHADOW_BYTES_MAX {
            fs::rename(&path, self.folder.path.join(SHADOW_FILE_OLD))?;
            file = open_to_append(&path)?;
        }
        file.write_all(&line)
    }

    /// True when it is time to write.
    pub(super) fn is_full(&self) -> bool {
        self.buffer.len() >= WRITE_BYTES
    }

    /// Loads a segment and goes on with it, unless a newer one follows.
    fn load_segment(&mut self, path: &Path, cache: &Cache, now: Duration) -> io::Result<()> {
        let file = open_to_read(path)?;
        let read = segment::read(BufReader::new(file), cache.secret(), |record| match record {
            JournalRecord::Put(key, entry, question) => {
                cache.load(key, entry, question, now);
            }
            JournalRecord::Remove(key, at) => cache.forget(&key, at),
            JournalRecord::Part(one, other) => cache.questions().block_pair(one, other),
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
        open_to_write(path)?.set_len(whole_bytes)?;
        self.bytes += whole_bytes;
        let is_segment = whole_bytes > 0;
        self.active = if is_segment { Some((open_to_append(path)?, whole_bytes)) } else { None };
        Ok(())
    }

    /// Appends what was taken in to the active segment; what cannot be written is dropped and counted.
    pub(super) fn write(&mut self, cache: &Cache) {
        if self.buffer.is_empty() {
            return;
        }
        let buffer = std::mem::take(&mut self.buffer);
        if let Err(error) = self.append_bytes(&buffer) {
            self.drop_change(&error, cache);
        }
        self.buffer = buffer;
        self.buffer.clear();
        if self.buffer.capacity() > 4 * WRITE_BYTES {
            self.buffer = Vec::new();
        }
        if self.unsynced > UNSYNCED_BYTES_MAX {
            self.sync(cache);
        }
        if self.bytes > cache.bytes_max().saturating_mul(2) {
            self.compact(cache);
        }
    }

    fn append_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
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
        let mut file = create_new_file(&path).map_err(|error| with_path(&path, &error))?;
        file.write_all(MAGIC)?;
        self.bytes += MAGIC.len() as u64;
        Ok((file, MAGIC.len() as u64))
    }

    /// Forces onto the disk what was written.
    pub(super) fn sync(&mut self, cache: &Cache) {
        if let Some((file, _)) = &self.active
            && std::mem::take(&mut self.unsynced) > 0
            && file.sync_data().is_err()
        {
            cache.counts().dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Writes the living entries into a new segment and drops the older ones, and what waits.
    pub(super) fn compact(&mut self, cache: &Cache) {
        self.buffer.clear();
        if let Err(error) = self.try_compact(cache) {
            // What is left of it is written over by the next attempt.
            self.drop_change(&error, cache);
            // Not again at once: the files may grow as much once more.
            self.bytes = 0;
        }
    }

    fn try_compact(&mut self, cache: &Cache) -> io::Result<()> {
        let old = self.folder.segments()?;
        self.number += 1;
        let path = self.folder.segment(self.number);
        let aside = self.folder.path.join("compacted.new");
        let mut file = create_file(&aside, 0o666).map_err(|error| with_path(&aside, &error))?;
        let mut length = MAGIC.len() as u64;
        let mut buffer = MAGIC.to_vec();
        let secret = cache.secret();
        for (one, other) in cache.questions().blocked() {
            segment::append(&JournalRecord::Part(one, other), secret, &mut buffer);
        }
        for (key, entry) in cache.entries() {
            let partition = entry.partition.as_ref();
            let question = partition.and_then(|it| cache.questions().get(&key, it)).map(Box::new);
            let record = JournalRecord::Put(key, entry, question);
            segment::append(&record, secret, &mut buffer);
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
        self.active = Some((open_to_append(&path)?, length));
        self.bytes = length;
        for (_, path) in old {
            fs::remove_file(path)?;
        }
        Ok(())
    }
}

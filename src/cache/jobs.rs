//! Messages from the shards to the writer thread of a cache, and the counts it reports.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use super::purge::Purge;
use super::shadow::Observation;
use super::{Entry, Key, Question};

/// A message to the writer thread.
pub(super) enum Job {
    /// An answer was stored, with its question if it can be found by that.
    Put(Key, Arc<Entry>, Option<Box<Question>>),
    /// An entry of this partition is gone from memory.
    Evicted(Key, Key),
    /// What was stored before this time is to go.
    Removed(Key, Duration),
    /// Entries stored before this time that meet the conditions are to go.
    Purge(Box<Purge>, Duration),
    /// Two questions do not share an answer.
    BlockedPair(Key, Key),
    /// Shadow mode has seen something.
    Observed(Box<Observation>),
    Stop,
}

/// What became of the cache behind the shards.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Entries are still being loaded.
    pub loading: AtomicBool,
    /// Changes that were not kept: the queue or the disk was full.
    pub dropped: AtomicU64,
    /// Files that were cut at a bad record, or were none of ours.
    pub damaged: AtomicU64,
}

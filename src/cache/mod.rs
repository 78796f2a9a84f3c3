//! The cache of answers: the same request is answered again without its provider.
//!
//! Promises: an answer never crosses a field of its [`Key`], among them the tenant; only what the
//! caller has found whole and successful is in here; memory stays under a bound. One cache serves
//! all shards: a look-up takes a lock of one of many segments for some tens of nanoseconds and never
//! waits for I/O. Time is told by the caller. With a folder, a thread keeps the entries on disk, and
//! loads them at the next start. Absent: the network, the settings of routes, and what an answer
//! means.

pub mod comparison;
mod entry;
mod exact;
pub mod guards;
pub mod index;
mod journal;
mod key;
pub mod profile;
mod segment;
mod settings;
pub mod verifier;

pub use entry::{Entry, Labels};
pub use exact::{Cache, CacheStats, CacheWriter, Purge};
pub use key::{Key, KeyBuilder};
pub use settings::{CacheLimits, CacheSettings};

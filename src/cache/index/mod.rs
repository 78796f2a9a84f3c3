//! Which stored question is nearest: an index a partition, kept by the one thread that owns it.
//!
//! [`Segment`] is a scan. It inserts and forgets in constant time, and up to a few hundred thousand
//! vectors it is faster than a graph.

mod scan;

pub use scan::{Match, Segment, Slot, quantize, widen};

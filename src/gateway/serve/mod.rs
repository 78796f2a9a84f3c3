//! One shard at work: it accepts connections, serves their requests one after another, and drains.

pub(crate) mod clients;
pub(crate) mod connection;
pub(crate) mod shard;
pub(crate) mod simulation;

//! The response cache in the pipeline: lookup, write, replay, and streams that requests share.

pub(crate) mod chat_events;
pub(crate) mod format;
pub(crate) mod key;
pub(crate) mod lookup;
pub(crate) mod replay;
pub(crate) mod semantic;
pub(crate) mod shared_stream;
pub(crate) mod write;

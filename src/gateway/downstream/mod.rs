//! The way back to the client: the head of a response, events, and whether the client is still there.

pub(crate) mod disconnect;
pub(crate) mod events;
pub(crate) mod head;
pub(crate) mod local;

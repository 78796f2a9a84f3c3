//! What the gateway answers itself.

pub(crate) mod feedback;
pub(crate) mod models;

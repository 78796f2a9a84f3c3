//! Stage `respond`: the response goes to the client.

pub(crate) mod body;
pub(crate) mod deliver;
pub(crate) mod error;
pub(crate) mod json;
pub(crate) mod passthrough;
pub(crate) mod provider_error;
pub(crate) mod service_tiers;
pub(crate) mod stream;
pub(crate) mod tap;
pub(crate) mod translated;

//! Calls to providers: which provider, the request as it takes it, the call, the response.

pub(crate) mod auth;
pub(crate) mod call;
pub(crate) mod call_batched;
pub(crate) mod client_request;
pub(crate) mod count_tokens;
pub(crate) mod edits;
pub(crate) mod encode;
pub(crate) mod form_edits;
pub(crate) mod handshake;
pub(crate) mod images;
pub(crate) mod model_fit;
pub(crate) mod params;
pub(crate) mod peek;
pub(crate) mod prepare;
pub(crate) mod redact;
pub(crate) mod request;
pub(crate) mod request_fields;
pub(crate) mod resolve;
pub(crate) mod response;
pub(crate) mod response_fields;
pub(crate) mod stored_responses;
pub(crate) mod translate;
pub(crate) mod translation;
pub(crate) mod vectors;

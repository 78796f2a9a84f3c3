//! A request to a provider that is about to be signed.

use std::time::Duration;

use crate::base::Secret;
use crate::providers::ProviderField;

/// A request as it will be sent, before it is signed.
#[derive(Clone, Copy, Debug)]
pub struct UnsignedRequest<'a> {
    /// Upper case.
    pub method: &'a str,
    /// Value of the `Host` field.
    pub authority: &'a str,
    /// Path of the request target, without the query.
    pub path: &'a str,
    /// The query, without `?`.
    pub query: Option<&'a str>,
    /// The field of that name, if the request has it.
    pub content_type: Option<&'a str>,
    /// The body.
    pub body: Payload<'a>,
    /// Wall clock time of the request.
    pub now: Duration,
}

/// The body of a request to sign.
#[derive(Clone, Copy, Debug)]
pub enum Payload<'a> {
    /// The whole body; empty for a request without one.
    Whole(&'a [u8]),
    /// Not complete yet when the head is sent.
    Streamed,
}

pub(super) fn field(name: &str, value: String) -> ProviderField {
    ProviderField { name: name.to_owned(), value: Secret::new(value) }
}

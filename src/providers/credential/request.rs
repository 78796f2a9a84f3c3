//! A request to a provider that is about to be signed.

use std::time::Duration;

use crate::base::Secret;
use crate::providers::ProviderField;

/// A request as it will go upstream, before it is signed.
#[derive(Clone, Copy, Debug)]
pub struct UnsignedRequest<'a> {
    /// In capitals.
    pub method: &'a str,
    /// As in the `Host` field.
    pub authority: &'a str,
    /// As on the request line, without the query.
    pub path: &'a str,
    /// What follows the question mark.
    pub query: Option<&'a str>,
    /// The field of that name, if the call has one.
    pub content_type: Option<&'a str>,
    /// What follows the head.
    pub body: Payload<'a>,
    /// The wall clock.
    pub now: Duration,
}

/// The body of a call.
#[derive(Clone, Copy, Debug)]
pub enum Payload<'a> {
    /// All of it; empty for a call without one.
    Whole(&'a [u8]),
    /// Not known yet when the head is sent.
    Streamed,
}

pub(super) fn field(name: &str, value: String) -> ProviderField {
    ProviderField { name: name.to_owned(), value: Secret::new(value) }
}

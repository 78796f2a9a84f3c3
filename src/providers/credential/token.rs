//! A credential that is fetched and expires.

use std::time::Duration;

use super::aws_keys::AwsKeys;
use crate::base::{Secret, is_field_value};

/// A temporary credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub(in crate::providers) value: TokenValue,
    /// When it expires, since the Unix epoch.
    pub expires_at: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::providers) enum TokenValue {
    /// Sent in `authorization`.
    Bearer(Secret),
    /// Signs requests.
    Aws(AwsKeys),
}

impl Token {
    /// A bearer token; `None` if it is not a legal header value.
    #[must_use]
    pub fn bearer(text: &str, expires_at: Duration) -> Option<Self> {
        let legal = !text.is_empty() && is_field_value(text);
        let value = TokenValue::Bearer(Secret::new(text.to_owned()));
        legal.then_some(Self { value, expires_at })
    }
}

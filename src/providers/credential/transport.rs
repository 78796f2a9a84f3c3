//! The calls that fetch tokens, and the trait that makes them.

use std::time::Duration;

use super::error::CredentialError;
use crate::base::Secret;

/// A request to a token service.
#[derive(Clone, Debug)]
pub struct TokenRequest {
    /// Name of the service, for messages.
    pub service: &'static str,
    /// `GET`, `PUT` or `POST`.
    pub method: &'static str,
    /// The full URL.
    pub url: String,
    /// Lower-case names and values.
    pub fields: Vec<(&'static str, Secret)>,
    /// Sent with a `POST` or `PUT`.
    pub body: Secret,
}

/// The response of a token service.
#[derive(Clone)]
pub struct TokenResponse {
    /// The HTTP status.
    pub status: u16,
    /// Bounded by the transport; may contain a secret.
    pub body: Vec<u8>,
}

/// Makes the calls that fetch tokens, and reads credential files.
pub trait TokenTransport {
    /// Wall clock time.
    fn now(&self) -> Duration;

    /// Makes one call; redirects are not followed.
    ///
    /// # Errors
    /// [`CredentialError::Unreachable`] if no complete response arrived.
    fn call(&mut self, request: &TokenRequest) -> Result<TokenResponse, CredentialError>;

    /// The text of a file.
    ///
    /// # Errors
    /// [`CredentialError::File`].
    fn read_file(&mut self, path: &str) -> Result<String, CredentialError>;
}

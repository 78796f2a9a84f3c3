//! The calls that fetch tokens, and who makes them.

use std::time::Duration;

use super::error::CredentialError;
use crate::base::Secret;

/// A request to a service that gives tokens.
#[derive(Clone, Debug)]
pub struct TokenRequest {
    /// The service, as messages name it.
    pub service: &'static str,
    /// `GET`, `PUT` or `POST`.
    pub method: &'static str,
    /// Whole URL.
    pub url: String,
    /// Lower-case names and values.
    pub fields: Vec<(&'static str, Secret)>,
    /// Sent with a `POST` or `PUT`.
    pub body: Secret,
}

/// What such a service answered.
#[derive(Clone)]
pub struct TokenResponse {
    /// The HTTP status.
    pub status: u16,
    /// Bounded by the caller; may hold a secret.
    pub body: Vec<u8>,
}

/// Makes the calls that fetch tokens, and reads the files that hold credentials.
pub trait TokenTransport {
    /// The wall clock.
    fn now(&self) -> Duration;

    /// Makes one call; redirects are not followed.
    ///
    /// # Errors
    /// [`CredentialError::Unreachable`] where no whole answer came.
    fn call(&mut self, request: &TokenRequest) -> Result<TokenResponse, CredentialError>;

    /// The text of a file.
    ///
    /// # Errors
    /// [`CredentialError::File`].
    fn read_file(&mut self, path: &str) -> Result<String, CredentialError>;
}

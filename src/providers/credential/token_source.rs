//! Where tokens come from.

use super::aws::AwsSource;
use super::azure::{Entra, ManagedIdentity};
use super::error::CredentialError;
use super::google::GoogleSource;
use super::ibm::IbmKey;
use super::token::Token;
use super::transport::TokenTransport;

/// Where tokens come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSource {
    /// AWS: a role, the machine, or both.
    #[allow(private_interfaces, reason = "made by settings only")]
    Aws(AwsSource),
    /// Azure: an application of Entra.
    #[allow(private_interfaces, reason = "made by settings only")]
    Entra(Entra),
    /// Azure: the identity of the machine.
    #[allow(private_interfaces, reason = "made by settings only")]
    Managed(ManagedIdentity),
    /// Google: a key file or the machine.
    #[allow(private_interfaces, reason = "made by settings only")]
    Google(GoogleSource),
    /// IBM: an API key.
    #[allow(private_interfaces, reason = "made by settings only")]
    Ibm(IbmKey),
}

impl TokenSource {
    /// Obtains a token. Takes as many calls as the source needs, one behind the other.
    ///
    /// # Errors
    /// See [`CredentialError`].
    pub fn fetch(&self, transport: &mut dyn TokenTransport) -> Result<Token, CredentialError> {
        match self {
            Self::Aws(source) => source.fetch(transport),
            Self::Entra(source) => source.fetch(transport),
            Self::Managed(source) => source.fetch(transport),
            Self::Google(source) => source.fetch(transport),
            Self::Ibm(source) => source.fetch(transport),
        }
    }
}

/// A change of the token of a provider, as the shards receive it.
#[derive(Clone, Debug)]
pub enum TokenUpdate {
    /// A new one.
    Token(std::sync::Arc<Token>),
    /// None could be obtained; the old one, if there is one, serves until it expires.
    Failed,
}

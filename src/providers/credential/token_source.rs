//! Token sources.

use super::aws::AwsSource;
use super::azure::{Entra, ManagedIdentity};
use super::error::CredentialError;
use super::google::GoogleSource;
use super::ibm::IbmKey;
use super::token::Token;
use super::transport::TokenTransport;

/// A source of tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSource {
    /// AWS: a role, the machine's keys, or both.
    #[allow(private_interfaces, reason = "made by settings only")]
    Aws(AwsSource),
    /// Azure: an Entra application.
    #[allow(private_interfaces, reason = "made by settings only")]
    Entra(Entra),
    /// Azure: a managed identity.
    #[allow(private_interfaces, reason = "made by settings only")]
    Managed(ManagedIdentity),
    /// Google: a credential file or the metadata server.
    #[allow(private_interfaces, reason = "made by settings only")]
    Google(GoogleSource),
    /// IBM: an API key.
    #[allow(private_interfaces, reason = "made by settings only")]
    Ibm(IbmKey),
}

impl TokenSource {
    /// Obtains a token. Makes as many calls as the source needs, one after another.
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

/// A token update for one provider, sent to the shards.
#[derive(Clone, Debug)]
pub enum TokenUpdate {
    /// A new token.
    Token(std::sync::Arc<Token>),
    /// The fetch failed; the current token, if any, is used until it expires.
    Failed,
}

//! How a request is authenticated: a fixed field, a signature, or a fetched token.
//!
//! Plain functions of their inputs: no I/O, no clock. An [`UnsignedRequest`] describes the request
//! and its time. Tokens are fetched through a [`TokenTransport`], which the caller provides. Times
//! are since the Unix epoch. No error text and no `Debug` output contains a secret.

mod aws;
mod aws_keys;
mod aws_signer;
mod azure;
mod calendar;
mod error;
mod escape;
mod google;
mod grant;
mod ibm;
mod oracle;
mod request;
mod rsa;
#[cfg(test)]
mod test_transport;
mod token;
mod token_source;
mod transport;

use super::ProviderField;
use crate::base::Secret;

pub use error::CredentialError;
pub use request::{Payload, UnsignedRequest};
pub use token::Token;
pub use token_source::{TokenSource, TokenUpdate};
pub use transport::{TokenRequest, TokenResponse, TokenTransport};

use request::field;

pub(super) use aws::{AwsBase, AwsRole, AwsSource};
pub(super) use aws_keys::AwsKeys;
pub(super) use aws_signer::{AwsSigner, SigningKeys};
pub(super) use azure::{Entra, ManagedIdentity};
pub(super) use escape::{escape, escape_segment};
pub(super) use google::{GoogleKey, GoogleSource, MetadataServer};
pub(super) use ibm::IbmKey;
pub(super) use oracle::OracleSigner;
pub(super) use rsa::RsaKey;
#[cfg(test)]
pub(super) use test_transport::rsa_pem;
pub(super) use token::TokenValue;

/// Credential of a request, beyond the fixed fields of its provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Credential {
    /// None: the fixed fields contain the credential.
    #[default]
    Fixed,
    /// One key; the path decides which field carries it.
    Foundry(Secret),
    /// A bearer token in `authorization`.
    Bearer(TokenSource),
    /// AWS Signature Version 4.
    #[allow(private_interfaces, reason = "made by settings only")]
    Aws(AwsSigner),
    /// A signature of Oracle Cloud.
    #[allow(private_interfaces, reason = "made by settings only")]
    Oracle(OracleSigner),
}

impl Credential {
    /// The source of the token, if one is needed.
    #[must_use]
    pub fn source(&self) -> Option<&TokenSource> {
        match self {
            Self::Bearer(source) => Some(source),
            Self::Aws(AwsSigner { keys: SigningKeys::Fetched(source), .. }) => Some(source),
            Self::Fixed | Self::Foundry(_) | Self::Aws(_) | Self::Oracle(_) => None,
        }
    }

    /// The credential fields of `call`, with the token if one is needed.
    ///
    /// # Errors
    /// If there is no valid token, or the request cannot be signed.
    pub fn sign(
        &self,
        call: &UnsignedRequest<'_>,
        token: Option<&Token>,
    ) -> Result<Vec<ProviderField>, CredentialError> {
        let token = token.filter(|token| token.expires_at > call.now);
        match self {
            Self::Fixed => Ok(Vec::new()),
            Self::Foundry(key) => Ok(vec![azure::foundry_field(key, call.path)]),
            Self::Bearer(_) => match token.map(|token| &token.value) {
                Some(TokenValue::Bearer(text)) => {
                    Ok(vec![field("authorization", format!("Bearer {}", text.reveal()))])
                }
                _ => Err(CredentialError::NoToken),
            },
            Self::Aws(signer) => signer.sign(call, token.map(|token| &token.value)),
            Self::Oracle(signer) => signer.sign(call),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn bearer_tokens_are_used_until_expiry() {
        let source = TokenSource::Ibm(ibm::IbmKey {
            url: "https://iam.example".to_owned(),
            api_key: Secret::new("test-credential".to_owned()),
        });
        let credential = Credential::Bearer(source);
        let token = Token::bearer("test-token", Duration::from_secs(10)).expect("legal");
        for (now, has_token, expected) in [
            (9, true, Ok("Bearer test-token".to_owned())),
            (10, true, Err(CredentialError::NoToken)),
            (9, false, Err(CredentialError::NoToken)),
        ] {
            let call = test_transport::call("/v1/chat", Duration::from_secs(now));
            let fields = credential.sign(&call, has_token.then_some(&token));
            let values =
                fields.map(|fields| fields.iter().map(|it| it.value.reveal().to_owned()).collect());
            assert_eq!(values, expected, "{now} {has_token}");
        }
        assert!(!format!("{token:?}{credential:?}").contains("test-"), "Debug hides secrets");
        assert!(Token::bearer("a\r\nb", Duration::ZERO).is_none());
    }
}

//! Signs requests to one AWS service, with configured or fetched keys.

use super::aws_keys::{AwsKeys, sign_with};
use super::error::CredentialError;
use super::request::UnsignedRequest;
use super::token::TokenValue;
use super::token_source::TokenSource;
use crate::providers::ProviderField;

/// The source of the signing keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::providers) enum SigningKeys {
    Given(AwsKeys),
    Fetched(Box<TokenSource>),
}

/// Signs for one service in one region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::providers) struct AwsSigner {
    pub region: String,
    /// Service name in signatures, such as `bedrock`.
    pub service: &'static str,
    pub keys: SigningKeys,
}

impl AwsSigner {
    pub(super) fn sign(
        &self,
        call: &UnsignedRequest<'_>,
        token: Option<&TokenValue>,
    ) -> Result<Vec<ProviderField>, CredentialError> {
        let keys = match (&self.keys, token) {
            (SigningKeys::Given(keys), _)
            | (SigningKeys::Fetched(_), Some(TokenValue::Aws(keys))) => keys,
            (SigningKeys::Fetched(_), _) => return Err(CredentialError::NoToken),
        };
        sign_with(keys, &self.region, self.service, call)
    }
}

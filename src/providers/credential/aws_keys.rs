//! AWS keys, and requests signed with them (Signature Version 4).

use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;

use super::error::CredentialError;
use super::request::{Payload, UnsignedRequest, field};
use crate::base::Secret;
use crate::providers::ProviderField;

/// Signing keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::providers) struct AwsKeys {
    pub access_key_id: String,
    pub secret_access_key: Secret,
    /// Session token of temporary keys.
    pub session_token: Option<Secret>,
}

/// Fields of a signed request: `authorization`, `x-amz-date`, and the session token.
pub(super) fn sign_with(
    keys: &AwsKeys,
    region: &str,
    service: &str,
    call: &UnsignedRequest<'_>,
) -> Result<Vec<ProviderField>, CredentialError> {
    // Neither Bedrock nor SageMaker accepts a signature without the body's hash.
    let Payload::Whole(body) = call.body else { return Err(CredentialError::Streamed) };
    let unsignable = |_| CredentialError::Unsignable;
    let identity = Credentials::new(
        keys.access_key_id.clone(),
        keys.secret_access_key.reveal(),
        keys.session_token.as_ref().map(|token| token.reveal().to_owned()),
        None,
        "settings",
    )
    .into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(service)
        .time(UNIX_EPOCH + Duration::from_secs(call.now.as_secs()))
        .settings(SigningSettings::default())
        .build()
        .map_err(|_| CredentialError::Unsignable)?
        .into();
    let separator = if call.query.is_some() { "?" } else { "" };
    let query = call.query.unwrap_or_default();
    let url = format!("https://{}{}{separator}{query}", call.authority, call.path);
    // The URL parser would drop a default port; the signature covers the `Host` field as sent.
    let content_type = call.content_type.map(|value| ("content-type", value));
    let fields = [("host", call.authority)].into_iter().chain(content_type);
    let request = SignableRequest::new(call.method, url, fields, SignableBody::Bytes(body))
        .map_err(unsignable)?;
    let (instructions, _) = sign(request, &params).map_err(unsignable)?.into_parts();
    Ok(instructions.headers().map(|(name, value)| field(name, value.to_owned())).collect())
}

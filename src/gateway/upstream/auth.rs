//! The credential of a call beyond fixed fields: tokens as a shard has them, and signatures.
//!
//! The thread `credentials` fetches tokens and sends them to the shards; a call takes the one that is there.
//! One that comes before the first waits for it, no longer than for a connection.

use super::request::UpstreamRequest;
use crate::base::{Instant, unix_now};
use crate::gateway::context::GatewayError;
use crate::http::RequestHead;
use crate::providers::{
    BaseUrl, Credential, CredentialError, Payload, ProviderField, UnsignedRequest,
};
use crate::shard::within;

/// Waits until the provider has a token, if it needs one.
pub(crate) async fn ready(upstream_request: &UpstreamRequest) -> Result<(), GatewayError> {
    let provider = &upstream_request.upstream.provider;
    let brings_own = upstream_request.credential.is_some();
    if brings_own || provider.credential.source().is_none() {
        return Ok(());
    }
    let limit = Instant::now().after(upstream_request.timeouts.connect);
    while upstream_request.upstream.token.current().is_none() {
        let next = upstream_request.upstream.token.next();
        let Some(next) = next else { return Err(not_obtained(upstream_request)) };
        // On the heap, like everything rare.
        if Box::pin(within(limit, next)).await.is_err() {
            return Err(not_obtained(upstream_request));
        }
    }
    Ok(())
}

fn not_obtained(upstream_request: &UpstreamRequest) -> GatewayError {
    GatewayError::Credential { provider: upstream_request.upstream.provider.name.clone() }
}

/// The fields that authenticate the caller, beyond the provider's fixed ones. `target` is path and query.
pub(crate) fn auth_fields(
    head: &RequestHead,
    upstream_request: &UpstreamRequest,
    base: &BaseUrl,
    target: &[&str],
    body: Payload<'_>,
) -> Result<Vec<ProviderField>, GatewayError> {
    let provider = &upstream_request.upstream.provider;
    if upstream_request.credential.is_some() || provider.credential == Credential::Fixed {
        return Ok(Vec::new());
    }
    let target = target.concat();
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target.as_str(), None),
    };
    let content_type = head.get("content-type").and_then(|it| std::str::from_utf8(it).ok());
    let call = UnsignedRequest {
        method: head.method().as_str(),
        authority: &base.authority,
        path,
        query,
        content_type,
        body,
        now: unix_now(),
    };
    let token = upstream_request.upstream.token.current();
    provider.credential.sign(&call, token.as_deref()).map_err(|error| match error {
        CredentialError::Streamed => {
            let text = format!(
                "provider `{}` signs its requests, which takes the whole body: send a small body \
                 as application/json with its length",
                provider.name
            );
            GatewayError::Invalid(text.into())
        }
        _ => not_obtained(upstream_request),
    })
}

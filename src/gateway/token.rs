//! The credential of a call beyond fixed fields: tokens as a shard has them, and signatures.
//!
//! The thread `credentials` fetches tokens and sends them to the shards; a call takes the one that is there.
//! One that comes before the first waits for it, no longer than for a connection.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use futures_channel::oneshot;

use super::error::GatewayError;
use super::prepare::UpstreamRequest;
use super::redact::Redactor;
use crate::base::{Instant, unix_now};
use crate::http::RequestHead;
use crate::providers::{
    BaseUrl, Credential, CredentialError, Payload, ProviderField, Token, TokenUpdate,
    UnsignedRequest,
};
use crate::shard::within;

/// Calls that wait for a token are looked through for those that have left each time so many came.
const WAITING_SWEEP: usize = 64;

/// The token of one provider on one shard.
#[derive(Default)]
pub(super) struct TokenSlot(RefCell<TokenState>);

#[derive(Default)]
struct TokenState {
    token: Option<Arc<Token>>,
    /// Knows it and the one before, which calls under way may carry.
    redactor: Option<Rc<Redactor>>,
    /// The last attempt to obtain one failed.
    has_failed: bool,
    waiting: Vec<oneshot::Sender<()>>,
}

impl TokenSlot {
    /// Applies an update of the credentials thread and wakes the calls that wait for it.
    pub(super) fn update(&self, update: &TokenUpdate) {
        let mut state = self.0.borrow_mut();
        match update {
            TokenUpdate::Token(token) => {
                let before = state.token.replace(Arc::clone(token));
                let both = [Some(token), before.as_ref()].into_iter().flatten();
                state.redactor = Some(Rc::new(Redactor::of_tokens(both.map(|token| &**token))));
                state.has_failed = false;
            }
            TokenUpdate::Failed => state.has_failed = true,
        }
        for waiting in state.waiting.drain(..) {
            // Who has left meanwhile needs no waking.
            let _ = waiting.send(());
        }
    }

    /// Masks its token in what the provider sends back.
    pub(super) fn redactor(&self) -> Option<Rc<Redactor>> {
        self.0.borrow().redactor.clone()
    }

    fn current(&self) -> Option<Arc<Token>> {
        let now = unix_now();
        self.0.borrow().token.clone().filter(|token| token.expires_at > now)
    }

    /// Ready with the next update; none if there is nothing to wait for.
    fn next(&self) -> Option<oneshot::Receiver<()>> {
        let mut state = self.0.borrow_mut();
        if state.has_failed {
            return None;
        }
        if state.waiting.len() % WAITING_SWEEP == WAITING_SWEEP - 1 {
            state.waiting.retain(|waiting| !waiting.is_canceled());
        }
        let (sender, receiver) = oneshot::channel();
        state.waiting.push(sender);
        Some(receiver)
    }
}

/// Waits until the provider has a token, if it needs one.
pub(super) async fn ready(upstream_request: &UpstreamRequest) -> Result<(), GatewayError> {
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
pub(super) fn auth_fields(
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

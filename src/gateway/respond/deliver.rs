//! Stage `respond`: the response goes to the client.
//!
//! A JSON response is read whole before its first byte is sent, so that a provider that breaks off
//! gives a clean 502. Event streams are relayed event by event, translated or not; responses of the
//! pass-through piece by piece. What else looks at a response is in [`super::tap`].

use super::json::json;
use super::passthrough::relay;
use super::tap::ResponseTap;
use super::{stream, translated};
use crate::gateway::context::{Exchange, GatewayError, media_type_is};
use crate::gateway::downstream::local::send_local;
use crate::gateway::execute::attempt::Response;
use crate::gateway::upstream::request::UpstreamRequest;
use crate::gateway::upstream::response::UpstreamResponse;

/// Sends what is ready.
#[expect(
    clippy::manual_async_fn,
    reason = "an async function holds what it is given by value twice, which here is 600 bytes"
)]
pub(crate) fn deliver(
    exchange: &mut Exchange<'_>,
    mut response: Response,
    tap: &mut ResponseTap,
) -> impl Future<Output = Result<(), GatewayError>> {
    async move {
        let outcome = match &mut response {
            Response::Local(local) => Box::pin(send_local(exchange, std::mem::take(local))).await,
            Response::Upstream(upstream_request, response, selected) => {
                let outcome = send_upstream(exchange, upstream_request, response, tap).await;
                selected.record_delivery(exchange, outcome.as_ref().err());
                outcome
            }
        };
        if let Response::Upstream(upstream_request, response, _) = response {
            end(response, &upstream_request, &outcome);
        }
        outcome
    }
}

/// Ends a provider's response, which was delivered or not.
pub(crate) fn end(
    response: Box<UpstreamResponse>,
    upstream_request: &UpstreamRequest,
    outcome: &Result<(), GatewayError>,
) {
    match outcome {
        Ok(()) => response.done(upstream_request),
        Err(failure) => response.end_with(failure, upstream_request),
    }
}

/// Sends a provider's response; the caller has to call [`end`] afterwards.
pub(crate) async fn send_upstream(
    exchange: &mut Exchange<'_>,
    upstream_request: &UpstreamRequest,
    response: &mut UpstreamResponse,
    tap: &mut ResponseTap,
) -> Result<(), GatewayError> {
    let metered = exchange.is_metered();
    let content_type = response.head.get("content-type").unwrap_or_default();
    let is_events = media_type_is(content_type, b"text/event-stream");
    if let Some(translation) = &upstream_request.translation {
        Box::pin(translated::deliver(exchange, upstream_request, translation, response, tap)).await
    } else if metered && is_events && response.head.is_success() {
        Box::pin(stream::relay(exchange, upstream_request, response, tap)).await
    } else if metered {
        json(exchange, upstream_request, response, tap).await
    } else {
        Box::pin(relay(exchange, upstream_request, response)).await
    }
}

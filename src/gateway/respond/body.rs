//! A provider's body that is read whole.

use std::pin::pin;

use crate::base::Instant;
use crate::gateway::context::{Exchange, GatewayError};
use crate::gateway::downstream::disconnect;
use crate::gateway::upstream::request::UpstreamRequest;
use crate::gateway::upstream::response::UpstreamResponse;
use crate::gateway::worker::Scrutiny;
use crate::llm::Tier;

/// Reads the body to its end, for as long as the client is there; credentials in it are masked.
pub(crate) async fn keep_whole(
    exchange: &mut Exchange<'_>,
    upstream_request: &UpstreamRequest,
    response: &mut UpstreamResponse,
) -> Result<Vec<u8>, GatewayError> {
    let begun = Instant::now();
    let context = exchange.context;
    let kept =
        disconnect::or_abandoned(exchange, pin!(response.keep_whole(context, upstream_request)))
            .await;
    exchange.record.routing.upstream_time += begun.elapsed();
    let mut body = kept??;
    let status = response.head.status();
    let scrutiny = match upstream_request.translation {
        None => Scrutiny::of_body(status, &body),
        Some(_) => Scrutiny::of_decoded_body(status, &body),
    };
    upstream_request.mask(&mut body, scrutiny);
    Ok(body)
}

/// The tier that a response names.
pub(crate) fn tier_of(service_tier: Option<&str>) -> Tier {
    service_tier.map_or(Tier::default(), Tier::of_answer)
}

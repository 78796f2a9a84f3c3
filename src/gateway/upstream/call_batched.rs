//! A request of which the provider takes fewer inputs a call than it has: one call after the other, within
//! the time of one.

use super::call::call;
use super::peek::error_in_body;
use super::request::UpstreamRequest;
use super::response::UpstreamResponse;
use crate::base::Instant;
use crate::gateway::context::{CallStats, GatewayError, Request, RequestContext};
use crate::llm::is_error_answer;

/// Makes the calls. Gives the response to the last of them, or to the first that the provider refuses;
/// the responses before it stay with the attempt.
pub(crate) async fn call_batched(
    context: &RequestContext<'_>,
    upstream_request: &mut UpstreamRequest,
    request: &Request,
    stats: &mut CallStats,
) -> Result<Box<UpstreamResponse>, GatewayError> {
    let deadline = Instant::now().after(upstream_request.timeouts.total);
    loop {
        let mut response = call(context, upstream_request, request, stats).await?;
        let is_success = response.head.is_success();
        if !is_success || !upstream_request.has_more_batches() {
            return Ok(response);
        }
        let body = response.keep_whole(context, upstream_request).await?;
        let translation = upstream_request.translation.as_mut();
        let turned = translation.and_then(|it| it.next_batch(context, (&response.head, &body)));
        let Some(used) = turned else {
            let is_error = context.worker.scanner().read(&body, is_error_answer);
            if is_error == Ok(true) {
                return Err(error_in_body(context, upstream_request, &response.head, &body));
            }
            return Err(upstream_request.invalid("its body is no answer in its dialect"));
        };
        // What is spent so far counts, whatever becomes of the rest.
        stats.used = used.map(Box::new);
        response.done(upstream_request);
        upstream_request.timeouts.total = deadline.since(Instant::now());
    }
}

//! Stage `forward` for a provider that takes fewer inputs a call than the request has: one call after
//! the other, within the time of one.

use super::deliver::keep_whole;
use super::failure::Failure;
use super::forward::{self, Answer};
use super::receive::Request;
use super::record::Exchange;
use super::route::Plan;
use crate::base::Instant;

/// Makes the calls. Gives the answer to the last of them, or to the first that the provider refuses;
/// the answers before it stay with the plan.
pub(super) async fn forward(
    exchange: &mut Exchange<'_>,
    plan: &mut Plan,
    request: &mut Request,
) -> Result<Answer, Failure> {
    let deadline = Instant::now().after(plan.timeouts.total);
    loop {
        let mut answer = forward::forward(exchange, plan, request).await?;
        let is_success = (200..300).contains(&answer.head.status());
        if !is_success || !plan.has_further_calls() {
            return Ok(answer);
        }
        let body = keep_whole(exchange, plan, &mut answer).await?;
        let translation = plan.translation.as_mut();
        let has_turned =
            translation.is_some_and(|it| it.turn_to_next_call(exchange, (&answer.head, &body)));
        if !has_turned {
            let provider = plan.upstream.provider.name.clone();
            let reason = "its body is no answer in its dialect";
            return Err(Failure::InvalidAnswer { provider, reason });
        }
        answer.done(plan);
        plan.timeouts.total = deadline.since(Instant::now());
    }
}

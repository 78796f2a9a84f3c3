//! Stage `forward`: a provider is called, and others as the plan requires.
//!
//! Attempts do not touch the client, so that several may be under way at once; this stage watches it for
//! all of them. A response is given back when it is good, as far as its opening shows, or when there is
//! nothing left to try.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use super::attempt::{
    Attempt, AttemptLimits, AttemptResponse, AttemptStart, Response, begin_single, is_terminal,
    outcome_of_failure, prepare_attempt,
};
use super::plan_executor::PlanExecutor;
use crate::base::Instant;
use crate::gateway::context::{Body, Exchange, GatewayError, Grant, Request, RequestAttributes};
use crate::gateway::downstream::disconnect;
use crate::gateway::upstream::call::call_streamed;
use crate::gateway::upstream::prepare::Preparation;
use crate::routing::{AttemptOutcome, NextStep, Plan};
use crate::shard::sleep;

/// Calls the targets of `plan` in order, or the only target if there is no plan. `before` is the failure
/// of the plan's last response, if it could not be delivered.
pub(crate) async fn forward(
    exchange: &mut Exchange<'_>,
    (grant, request, before): (&Grant, &mut Request, Option<GatewayError>),
    mut plan: Option<&mut Plan>,
) -> Result<Response, GatewayError> {
    let begun = Instant::now();
    let context = exchange.context;
    let is_streamed = matches!(request.body, Body::Streamed { .. });
    context.spare.set(std::mem::take(&mut exchange.client.out));
    let response = match (plan.as_deref_mut(), before) {
        (None, _) if is_streamed => {
            Box::pin(call_single_target_streamed(exchange, grant, request)).await
        }
        (None, _) => {
            let executor = PlanExecutor { context, grant, request, is_racing: false };
            let calling = pin!(executor.call_single_target());
            disconnect::or_abandoned(exchange, calling).await.and_then(|it| it)
        }
        // What was sent cannot be sent again.
        (Some(_), Some(failure)) if is_streamed => Err(failure),
        (Some(plan), None) if is_streamed => {
            Box::pin(run_plan_streamed(exchange, grant, request, plan)).await
        }
        (Some(plan), before) => {
            let executor = PlanExecutor { context, grant, request, is_racing: false };
            let running = Box::pin(executor.run(plan, before));
            disconnect::or_abandoned(exchange, running).await.and_then(|it| it)
        }
    };
    if exchange.client.out.capacity() == 0 {
        exchange.client.out = context.spare.take();
    }
    exchange.record.routing.upstream_time += begun.elapsed();
    record_attempt(exchange, &response);
    if let Some(plan) = plan {
        exchange.record.routing.retries = plan.retries();
    }
    response
}

/// Records the attempt that gave the response, or the last one where there is no response.
fn record_attempt(exchange: &mut Exchange<'_>, response: &Result<Response, GatewayError>) {
    let place = match response {
        Ok(Response::Upstream(_, _, selected)) => Some(selected.place),
        _ => None,
    };
    let attempts = &exchange.context.attempts;
    let record = &mut exchange.record;
    record.routing.calls = u32::try_from(attempts.calls()).unwrap_or(u32::MAX);
    let Some(attempt) = attempts.take_entry(place) else { return };
    if !matches!(response, Ok(Response::Local(_))) {
        record.routing.target = attempt.record.target;
    }
    record.routing.provider = attempt.record.provider_name.or(record.routing.provider.take());
    if attempt.has_called {
        record.routing.model = attempt.record.request_model;
    }
    record.routing.warnings = match (record.routing.warnings.take(), attempt.warnings) {
        (Some(before), Some(lost)) => Some(format!("{before}; {lost}").into()),
        (before, lost) => before.or(lost),
    };
    record.routing.reused_connection = attempt.stats.reused;
    record.routing.sent_upstream = attempt.stats.sent;
    record.metering.usage = record.metering.usage.or(attempt.stats.used.map(|used| *used));
}

/// Calls the only target with a body that can be sent only once.
async fn call_single_target_streamed(
    exchange: &mut Exchange<'_>,
    grant: &Grant,
    request: &mut Request,
) -> Result<Response, GatewayError> {
    let begun = Instant::now();
    let attempt = begin_single(exchange.context, grant, begun);
    let limits = AttemptLimits::of_only_target(grant, begun);
    attempt_streamed(exchange, (grant, request), attempt, limits).await.1
}

/// Runs a plan with a body that can be sent only once: another target only as long as nothing of the
/// request has gone out.
async fn run_plan_streamed(
    exchange: &mut Exchange<'_>,
    grant: &Grant,
    request: &mut Request,
    plan: &mut Plan,
) -> Result<Response, GatewayError> {
    let context = exchange.context;
    let mut last = Err(GatewayError::NoTarget);
    loop {
        let step = {
            let attributes = RequestAttributes::new(context, grant, request);
            if context.attempts.is_full() {
                return last;
            }
            plan.next(&attributes, &mut context.worker.rng(), Instant::now())
        };
        let step = match step {
            NextStep::Finish => return last,
            // Nobody can race for it: the first has it.
            NextStep::Race { lanes, .. } => match lanes.into_iter().next() {
                Some(lane) => {
                    *plan = lane;
                    continue;
                }
                None => return last,
            },
            NextStep::Attempt(step) => step,
        };
        if step.wait > Duration::ZERO {
            disconnect::or_abandoned(exchange, pin!(sleep(step.wait))).await?;
        }
        let active = Arc::clone(plan.active_route());
        let Some(target) = active.route().targets.get(step.target) else { return last };
        let begun = Instant::now();
        let permit = plan.begin(&step, begun);
        let attempt = Attempt::begin(context, AttemptStart::of_step(target, permit, &step), begun);
        let limits = AttemptLimits { deadline: step.deadline, ..AttemptLimits::default() };
        let input = (grant, &mut *request);
        let (outcome, response) = attempt_streamed(exchange, input, attempt, limits).await;
        if matches!(response, Ok(Response::Local(_))) {
            return response;
        }
        plan.record_outcome(&outcome, Instant::now());
        let was_sent = context.attempts.last().is_some_and(|attempt| attempt.stats.sent);
        match response {
            Err(failure) if !was_sent && !is_terminal(&failure) => last = Err(failure),
            _ => return response,
        }
    }
}

/// Makes one attempt with a body that can be sent only once.
async fn attempt_streamed(
    exchange: &mut Exchange<'_>,
    (grant, request): (&Grant, &mut Request),
    mut attempt: Attempt<'_>,
    limits: AttemptLimits,
) -> (AttemptOutcome, Result<Response, GatewayError>) {
    let response = match prepare_attempt(exchange.context, (grant, request), &mut attempt, &limits)
    {
        Err(failure) => Err(failure),
        Ok(Preparation::Respond(local, _)) => Ok(AttemptResponse::Local(local)),
        // What is streamed is not translated.
        Ok(Preparation::Fetch(_)) => Err(GatewayError::NoTarget),
        Ok(Preparation::Call(upstream_request)) => {
            let called =
                call_streamed(exchange, &upstream_request, request, &mut attempt.guard.stats).await;
            called.map(|response| AttemptResponse::Upstream(upstream_request, response))
        }
    };
    attempt.end(response)
}

/// Records that the response could not be delivered, and that nothing of it has gone to the client.
pub(crate) fn record_outcome(plan: &mut Plan, failure: &GatewayError) {
    let now = Instant::now();
    plan.record_outcome(&outcome_of_failure(failure, Duration::ZERO), now);
}

//! Stage `forward`: a provider is called, and another one as long as the plan says so.
//!
//! Attempts do not touch the client, so that several may be under way at once; this stage watches it for
//! all of them. A response is given back when it is good, as far as its opening shows, or when there is
//! nothing left to try.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{Either, select};
use futures_util::stream::FuturesUnordered;

use super::admit::Grant;
use super::attempt::{Attempt, AttemptResponse, SelectedAttempt, is_terminal, outcome_of_failure};
use super::attributes::RequestAttributes;
use super::cache_lookup;
use super::call::{CallStats, call, call_streamed};
use super::call_batched::call_batched;
use super::context::RequestContext;
use super::deliver::LocalResponse;
use super::encode::COPIED_BODY_BYTES_MAX;
use super::error::GatewayError;
use super::images;
use super::mirror;
use super::peek::{self, PeekWait};
use super::prepare::{Preparation, UpstreamRequest, prepare};
use super::receive::{Body, Request};
use super::record::Exchange;
use super::upstream_response::UpstreamResponse;
use crate::base::Instant;
use crate::routing::{AttemptOutcome, AttemptPlan, NextStep, Permit, Plan};
use crate::shard::{sleep, within};

/// The response to deliver.
pub(super) enum Response {
    /// The gateway knows the response itself.
    Local(LocalResponse),
    /// A provider has answered.
    Upstream(Box<UpstreamRequest>, Box<UpstreamResponse>, SelectedAttempt),
}

/// Calls the targets of `plan` in order, or the only target if there is no plan. `before` is the failure
/// of the plan's last response, if it could not be delivered.
pub(super) async fn forward(
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
            cache_lookup::or_abandoned(exchange, calling).await.and_then(|it| it)
        }
        // What was sent cannot be sent again.
        (Some(_), Some(failure)) if is_streamed => Err(failure),
        (Some(plan), None) if is_streamed => {
            Box::pin(run_plan_streamed(exchange, grant, request, plan)).await
        }
        (Some(plan), before) => {
            let executor = PlanExecutor { context, grant, request, is_racing: false };
            let running = Box::pin(executor.run(plan, before));
            cache_lookup::or_abandoned(exchange, running).await.and_then(|it| it)
        }
    };
    if exchange.client.out.capacity() == 0 {
        exchange.client.out = context.spare.take();
    }
    exchange.record.upstream += begun.elapsed();
    record_attempt(exchange, &response);
    if let Some(plan) = plan {
        exchange.record.retries = plan.retries();
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
    record.attempts = u32::try_from(attempts.calls()).unwrap_or(u32::MAX);
    let Some(attempt) = attempts.take_record(place) else { return };
    if !matches!(response, Ok(Response::Local(_))) {
        record.option = attempt.target;
    }
    record.provider = attempt.provider.or(record.provider.take());
    if attempt.has_called {
        record.model = attempt.model;
    }
    record.warnings = match (record.warnings.take(), attempt.warnings) {
        (Some(before), Some(lost)) => Some(format!("{before}; {lost}").into()),
        (before, lost) => before.or(lost),
    };
    record.reused_connection = attempt.stats.reused;
    record.sent_upstream = attempt.stats.sent;
    record.usage = record.usage.or(attempt.stats.used.map(|used| *used));
}

/// The limits of an attempt.
#[derive(Clone, Copy, Default)]
struct AttemptLimits {
    /// For all of it.
    deadline: Option<Instant>,
    /// For the first content of a stream.
    first_token: Option<Duration>,
    /// Whether the opening of the response is looked at, and for how long.
    peek: Option<PeekWait>,
}

impl AttemptLimits {
    /// Of the one attempt that a route leaves no choice about.
    fn of_only_target(grant: &Grant, begun: Instant) -> Self {
        let limit = grant.route().and_then(|route| route.request_timeout);
        Self { deadline: limit.map(|limit| begun.after(limit)), ..Self::default() }
    }
}

/// Begins the attempt at the one target there is.
fn begin_single<'t>(
    context: &'t RequestContext<'_>,
    grant: &'t Grant,
    begun: Instant,
) -> Attempt<'t> {
    let active = grant.route.as_deref();
    let target = active.and_then(|active| active.route().only_target());
    let permit = target.and_then(|_| Some(active?.health(0)?.begin(true, begun)));
    // A limit that the client sets may be any.
    let timeout_is_targets_fault = context.gateway_header("request-timeout").is_none();
    Attempt::begin(context, target, (permit, timeout_is_targets_fault), begun)
}

/// Makes the call of `attempt` ready, within its limits.
fn prepare_attempt(
    context: &RequestContext<'_>,
    (grant, request): (&Grant, &Request),
    attempt: &mut Attempt<'_>,
    limits: &AttemptLimits,
) -> Result<Preparation, GatewayError> {
    let begun = Instant::now();
    let mut prepared = prepare(context, grant, request, attempt.target)?;
    match &mut prepared {
        Preparation::Call(upstream_request) => {
            if let Some(deadline) = limits.deadline {
                upstream_request.timeouts.total =
                    upstream_request.timeouts.total.min(deadline.since(begun));
            }
            attempt.set_upstream(upstream_request);
        }
        Preparation::Respond(_, provider) => attempt.guard.set_provider(Arc::clone(provider)),
        Preparation::Fetch(_) => {}
    }
    Ok(prepared)
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
            cache_lookup::or_abandoned(exchange, pin!(sleep(step.wait))).await?;
        }
        let active = Arc::clone(plan.active_route());
        let Some(target) = active.route().targets.get(step.target) else { return last };
        let begun = Instant::now();
        let permit = plan.begin(&step, begun);
        let attempt =
            Attempt::begin(context, Some(target), (permit, step.timeout_is_targets_fault), begun);
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

/// Runs a plan. It does not touch the client.
pub(super) struct PlanExecutor<'p> {
    pub context: &'p RequestContext<'p>,
    pub grant: &'p Grant,
    pub request: &'p Request,
    /// It is a lane of a race: also the last response is held back until it shows that it is good.
    pub is_racing: bool,
}

impl PlanExecutor<'_> {
    /// Calls the only target: without a route, or with one that leaves no choice.
    async fn call_single_target(&self) -> Result<Response, GatewayError> {
        let begun = Instant::now();
        let mut attempt = begin_single(self.context, self.grant, begun);
        let limits = AttemptLimits::of_only_target(self.grant, begun);
        let response = self.call_target(&mut attempt, &limits).await;
        attempt.end(response).1
    }

    /// Executes the plan, up to the response to deliver.
    pub(super) async fn run(
        &self,
        plan: &mut Plan,
        before: Option<GatewayError>,
    ) -> Result<Response, GatewayError> {
        let attributes = RequestAttributes::new(self.context, self.grant, self.request);
        let mut last: Option<Result<Response, GatewayError>> = before.map(Err);
        loop {
            let step = if self.context.attempts.is_full() {
                NextStep::Finish
            } else {
                plan.next(&attributes, &mut self.context.worker.rng(), Instant::now())
            };
            if !matches!(step, NextStep::Finish) {
                last.take().into_iter().flatten().for_each(Response::dismiss);
            }
            let (outcome, result) = match step {
                NextStep::Finish => return last.unwrap_or(Err(GatewayError::NoTarget)),
                NextStep::Attempt(step) => {
                    mirror::send(self, plan.active_route(), &step.mirrors);
                    if step.wait > Duration::ZERO {
                        sleep(step.wait).await;
                    }
                    self.attempt_step(plan, &step).await
                }
                NextStep::Race { lanes, hedge } => self.race(lanes, hedge).await,
            };
            if let Err(failure) = &result
                && is_terminal(failure)
            {
                return result;
            }
            plan.record_outcome(&outcome, Instant::now());
            if outcome.is_success() {
                // The plan stays where it is: the delivery may still fail.
                return result;
            }
            last = Some(result);
        }
    }

    /// Makes the attempt of one step.
    async fn attempt_step(
        &self,
        plan: &mut Plan,
        step: &AttemptPlan,
    ) -> (AttemptOutcome, Result<Response, GatewayError>) {
        let active = Arc::clone(plan.active_route());
        let begun = Instant::now();
        let Some(target) = active.route().targets.get(step.target) else {
            return no_target();
        };
        let permit = plan.begin(step, begun);
        let first_token = target.first_token_timeout.filter(|_| self.request.is_stream());
        // What a probe breaks is not to be noticed either.
        let is_probe = permit.as_ref().is_some_and(Permit::is_probe);
        let is_replaceable = step.has_next || is_probe || self.is_racing;
        let is_bounded = is_replaceable || first_token.is_some();
        let wait = if is_bounded { PeekWait::UntilContent } else { PeekWait::Briefly };
        let limits = AttemptLimits { deadline: step.deadline, first_token, peek: Some(wait) };
        let mut attempt = Attempt::begin(
            self.context,
            Some(target),
            (permit, step.timeout_is_targets_fault),
            begun,
        );
        let response = self.call_target(&mut attempt, &limits).await;
        attempt.end(response)
    }

    /// Calls the target, and looks at the opening of the response: where another attempt may follow until
    /// it is good.
    async fn call_target(
        &self,
        attempt: &mut Attempt<'_>,
        limits: &AttemptLimits,
    ) -> Result<AttemptResponse, GatewayError> {
        let begun = Instant::now();
        let input = (self.grant, self.request);
        let mut prepared = prepare_attempt(self.context, input, attempt, limits)?;
        if let Preparation::Fetch(urls) = &mut prepared {
            let urls = std::mem::take(urls);
            Box::pin(images::fetch(self.context, self.request, urls)).await?;
            prepared = prepare_attempt(self.context, input, attempt, limits)?;
        }
        let mut upstream_request = match prepared {
            Preparation::Respond(local, _) => return Ok(AttemptResponse::Local(local)),
            Preparation::Call(upstream_request) => upstream_request,
            // All are there.
            Preparation::Fetch(_) => return Err(GatewayError::NoTarget),
        };
        let stats = &mut attempt.guard.stats;
        let calling = self.call(&mut upstream_request, stats, limits.peek);
        let response = match limits.first_token {
            None => calling.await?,
            // On the heap, since it is rare.
            Some(limit) => match Box::pin(within(begun.after(limit), calling)).await {
                Ok(answered) => answered?,
                Err(_) => {
                    let provider = upstream_request.upstream.provider.name.clone();
                    return Err(GatewayError::UpstreamTimeout { provider, phase: "first token" });
                }
            },
        };
        Ok(AttemptResponse::Upstream(upstream_request, response))
    }

    /// Makes the call, or its parts one after the other.
    async fn call(
        &self,
        upstream_request: &mut UpstreamRequest,
        stats: &mut CallStats,
        peek: Option<PeekWait>,
    ) -> Result<Box<UpstreamResponse>, GatewayError> {
        let mut response = if upstream_request.has_more_batches() {
            Box::pin(call_batched(self.context, upstream_request, self.request, stats)).await?
        } else {
            call(self.context, upstream_request, self.request, stats).await?
        };
        let Some(wait) = peek else { return Ok(response) };
        let looked_for = (self.request, wait);
        let opened = peek::peek(self.context, upstream_request, looked_for, &mut response);
        match Box::pin(opened).await {
            Ok(()) => Ok(response),
            Err(failure) => {
                response.end_with(&failure, upstream_request);
                Err(failure)
            }
        }
    }

    /// Lets several plans run; the first good response wins, and the others are cut off.
    async fn race(
        &self,
        lanes: Vec<Plan>,
        hedge: Duration,
    ) -> (AttemptOutcome, Result<Response, GatewayError>) {
        let mut waiting = lanes.into_iter();
        let mut running = FuturesUnordered::new();
        let mut last = no_target();
        running.extend(waiting.next().map(|lane| self.run_lane(lane)));
        if hedge.is_zero() {
            running.extend(waiting.by_ref().map(|lane| self.run_lane(lane)));
        }
        loop {
            let ended = if waiting.len() == 0 {
                running.next().await
            } else {
                let head_start = pin!(sleep(hedge));
                match select(running.next(), head_start).await {
                    Either::Left((ended, _)) => ended,
                    Either::Right(_) => {
                        running.extend(waiting.next().map(|lane| self.run_lane(lane)));
                        continue;
                    }
                }
            };
            let Some((outcome, result)) = ended else { return last };
            if outcome.is_success() {
                return (outcome, result);
            }
            if let Ok(response) = std::mem::replace(&mut last, (outcome, result)).1 {
                response.dismiss();
            }
            running.extend(waiting.next().map(|lane| self.run_lane(lane)));
        }
    }

    /// On the heap: a lane may hold races of its own.
    fn run_lane(&self, mut plan: Plan) -> LaneFuture<'_> {
        let racing = PlanExecutor { is_racing: true, ..*self };
        Box::pin(async move {
            let begun = Instant::now();
            // Each lane copies a short body behind its head.
            let copied = racing.request.body_bytes().min(COPIED_BODY_BYTES_MAX);
            let result = match racing.context.reserve_for_attempt(copied) {
                Ok(_held) => racing.run(&mut plan, None).await,
                Err(failure) => Err(failure),
            };
            let outcome = match &result {
                Err(failure) => outcome_of_failure(failure, begun.elapsed()),
                Ok(_) => plan.last().unwrap_or_else(|| no_target().0),
            };
            (outcome, result)
        })
    }
}

type LaneFuture<'p> =
    Pin<Box<dyn Future<Output = (AttemptOutcome, Result<Response, GatewayError>)> + 'p>>;

impl Response {
    /// The response is not wanted.
    fn dismiss(self) {
        if let Self::Upstream(upstream_request, response, _) = self {
            response.dismiss(&upstream_request);
        }
    }
}

/// The outcome where no target is left.
fn no_target() -> (AttemptOutcome, Result<Response, GatewayError>) {
    (outcome_of_failure(&GatewayError::NoTarget, Duration::ZERO), Err(GatewayError::NoTarget))
}

/// Records that the response could not be delivered, and that nothing of it has gone to the client.
pub(super) fn record_outcome(plan: &mut Plan, failure: &GatewayError) {
    let now = Instant::now();
    plan.record_outcome(&outcome_of_failure(failure, Duration::ZERO), now);
}

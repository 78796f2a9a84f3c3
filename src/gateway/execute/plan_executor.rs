//! Runs the plan of a route: attempts one after another, races of several.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{Either, select};
use futures_util::stream::FuturesUnordered;

use super::attempt::{
    Attempt, AttemptLimits, AttemptResponse, AttemptStart, Response, begin_single, is_terminal,
    no_target, outcome_of_failure, prepare_attempt,
};
use super::mirror::MirroredRequest;
use crate::base::{Instant, unix_now};
use crate::gateway::context::{
    CallStats, GatewayError, Grant, Request, RequestAttributes, RequestContext,
};
use crate::gateway::upstream::call::call;
use crate::gateway::upstream::call_batched::call_batched;
use crate::gateway::upstream::encode::COPIED_BODY_BYTES_MAX;
use crate::gateway::upstream::peek::PeekWait;
use crate::gateway::upstream::prepare::Preparation;
use crate::gateway::upstream::request::UpstreamRequest;
use crate::gateway::upstream::response::UpstreamResponse;
use crate::gateway::upstream::{images, peek};
use crate::routing::{ActiveRoute, AttemptOutcome, AttemptPlan, NextStep, Permit, Plan};
use crate::shard::{sleep, spawn, within};

type LaneFuture<'p> =
    Pin<Box<dyn Future<Output = (AttemptOutcome, Result<Response, GatewayError>)> + 'p>>;

/// Runs a plan. It does not touch the client.
pub(crate) struct PlanExecutor<'p> {
    pub context: &'p RequestContext<'p>,
    pub grant: &'p Grant,
    pub request: &'p Request,
    /// It is a lane of a race: also the last response is held back until it shows that it is good.
    pub is_racing: bool,
}

impl PlanExecutor<'_> {
    /// Calls the only target: without a route, or with one that leaves no choice.
    pub(crate) async fn call_single_target(&self) -> Result<Response, GatewayError> {
        let begun = Instant::now();
        let mut attempt = begin_single(self.context, self.grant, begun);
        let limits = AttemptLimits::of_only_target(self.grant, begun);
        let response = self.call_target(&mut attempt, &limits).await;
        attempt.end(response).1
    }

    /// Executes the plan, up to the response to deliver.
    pub(crate) async fn run(
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
                    self.send_mirrors(plan.active_route(), &step.mirrors);
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

    /// Sends copies to these targets of the route.
    fn send_mirrors(&self, active: &Arc<ActiveRoute>, targets: &[usize]) {
        let input = (self.grant, self.request);
        for target in targets {
            if let Some(mirrored) = MirroredRequest::start(self.context, input, active, *target) {
                spawn(run_mirrored(mirrored));
            }
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
        let mut attempt =
            Attempt::begin(self.context, AttemptStart::of_step(target, permit, step), begun);
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

/// Calls the target of a copy; its response goes to no client.
async fn run_mirrored(mirrored: MirroredRequest) {
    let (started, at_unix) = (Instant::now(), unix_now());
    let context = RequestContext::new(&mirrored.worker, &mirrored.head);
    let (grant, request) = (&mirrored.grant, &mirrored.request);
    let executor = PlanExecutor { context: &context, grant, request, is_racing: false };
    let response = executor.run(&mut mirrored.plan(started), None).await;
    mirrored.finish(&context, (started, at_unix), response).await;
}

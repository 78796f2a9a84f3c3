//! Stage `forward`: a provider is asked, and another one as long as the plan says so.
//!
//! Attempts do not touch the client, so that several may be under way at once; this stage watches it for
//! all of them. An answer is given back when it is good, as far as its opening shows, or when there is
//! nothing left to try.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{Either, select};
use futures_util::stream::FuturesUnordered;

use super::admit::Grant;
use super::answer::Answer;
use super::call::{Notes, call, call_streamed};
use super::call_in_parts::call_in_parts;
use super::context::RequestContext;
use super::copies;
use super::deliver::Whole;
use super::encode::COPIED_BODY_BYTES_MAX;
use super::facts::Told;
use super::failure::Failure;
use super::opening::{self, Wait};
use super::pictures;
use super::prepare::{Preparation, UpstreamRequest, prepare};
use super::recall;
use super::receive::{Body, Request};
use super::record::Exchange;
use super::trial::{Response, Trial, Won, is_final, outcome_of_failure};
use crate::base::Instant;
use crate::routing::{Outcome, Permit, Plan, Step, Try};
use crate::shard::{sleep, within};

/// What comes of it.
pub(super) enum Ready {
    /// The gateway knows the answer itself.
    Own(Whole),
    /// A provider has answered.
    Answer(Box<UpstreamRequest>, Box<Answer>, Won),
}

/// Asks the provider that the plan says, or the only one there is without a plan. `before` is what has
/// become of the plan's last answer.
pub(super) async fn forward(
    exchange: &mut Exchange<'_>,
    (grant, request, before): (&Grant, &mut Request, Option<Failure>),
    mut plan: Option<&mut Plan>,
) -> Result<Ready, Failure> {
    let begun = Instant::now();
    let context = exchange.context;
    let is_streamed = matches!(request.body, Body::Streamed { .. });
    context.spare.set(std::mem::take(&mut exchange.client.out));
    let ready = match (plan.as_deref_mut(), before) {
        (None, _) if is_streamed => Box::pin(once_streamed(exchange, grant, request)).await,
        (None, _) => {
            let pursuit = Pursuit { context, grant, request, wants_good: false };
            let once = pin!(pursuit.once());
            recall::while_needed(exchange, once).await.and_then(|it| it)
        }
        // What was sent cannot be sent again.
        (Some(_), Some(failure)) if is_streamed => Err(failure),
        (Some(plan), None) if is_streamed => {
            Box::pin(ask_streamed(exchange, grant, request, plan)).await
        }
        (Some(plan), before) => {
            let pursuit = Pursuit { context, grant, request, wants_good: false };
            let pursued = Box::pin(pursuit.run(plan, before));
            recall::while_needed(exchange, pursued).await.and_then(|it| it)
        }
    };
    if exchange.client.out.capacity() == 0 {
        exchange.client.out = context.spare.take();
    }
    exchange.record.upstream += begun.elapsed();
    note(exchange, &ready);
    if let Some(plan) = plan {
        exchange.record.retries = plan.retries();
    }
    ready
}

/// What the answer's attempt has shown, or the last one where there is no answer, is noted of the request.
fn note(exchange: &mut Exchange<'_>, ready: &Result<Ready, Failure>) {
    let place = match ready {
        Ok(Ready::Answer(_, _, won)) => Some(won.leg),
        _ => None,
    };
    let trail = &exchange.context.trail;
    let record = &mut exchange.record;
    record.attempts = u32::try_from(trail.asked()).unwrap_or(u32::MAX);
    let Some(leg) = trail.take_over(place) else { return };
    if !matches!(ready, Ok(Ready::Own(_))) {
        record.option = leg.target;
    }
    record.provider = leg.provider.or(record.provider.take());
    if leg.has_asked {
        record.model = leg.model;
    }
    record.warnings = match (record.warnings.take(), leg.warnings) {
        (Some(before), Some(lost)) => Some(format!("{before}; {lost}").into()),
        (before, lost) => before.or(lost),
    };
    record.reused_connection = leg.notes.reused;
    record.sent_upstream = leg.notes.sent;
    record.usage = record.usage.or(leg.notes.used.map(|used| *used));
}

/// What an attempt is held to.
#[derive(Clone, Copy, Default)]
struct Limits {
    /// For all of it.
    deadline: Option<Instant>,
    /// For the first content of a stream.
    first_token: Option<Duration>,
    /// Whether the opening of the answer is looked at, and for how long.
    opening: Option<Wait>,
}

impl Limits {
    /// Of the one attempt that a route leaves no choice about.
    fn of_only_target(grant: &Grant, begun: Instant) -> Self {
        let limit = grant.route().and_then(|route| route.request_timeout);
        Self { deadline: limit.map(|limit| begun.after(limit)), ..Self::default() }
    }
}

/// Begins the attempt at the one target there is.
fn begin_once<'t>(context: &'t RequestContext<'_>, grant: &'t Grant, begun: Instant) -> Trial<'t> {
    let live = grant.route.as_deref();
    let target = live.and_then(|live| live.route().only_target());
    let permit = target.and_then(|_| Some(live?.health(0)?.begin(true, begun)));
    // A limit that the client sets may be any.
    let is_fair = context.gateway_header("request-timeout").is_none();
    Trial::begin(context, target, (permit, is_fair), begun)
}

/// Makes the call of `trial` ready, within its limits.
fn prepare_trial(
    context: &RequestContext<'_>,
    (grant, request): (&Grant, &Request),
    trial: &mut Trial<'_>,
    limits: &Limits,
) -> Result<Preparation, Failure> {
    let begun = Instant::now();
    let mut prepared = prepare(context, grant, request, trial.target)?;
    match &mut prepared {
        Preparation::Call(upstream_request) => {
            if let Some(deadline) = limits.deadline {
                upstream_request.timeouts.total =
                    upstream_request.timeouts.total.min(deadline.since(begun));
            }
            trial.asks(upstream_request);
        }
        Preparation::Respond(_, provider) => trial.track.stands_in_for(Arc::clone(provider)),
        Preparation::Fetch(_) => {}
    }
    Ok(prepared)
}

/// Asks the one provider there is with a body that can be sent only once.
async fn once_streamed(
    exchange: &mut Exchange<'_>,
    grant: &Grant,
    request: &mut Request,
) -> Result<Ready, Failure> {
    let begun = Instant::now();
    let trial = begin_once(exchange.context, grant, begun);
    let limits = Limits::of_only_target(grant, begun);
    attempt_streamed(exchange, (grant, request), trial, limits).await.1
}

/// Asks with a body that can be sent only once: another target only as long as nothing of the request has
/// gone out.
async fn ask_streamed(
    exchange: &mut Exchange<'_>,
    grant: &Grant,
    request: &mut Request,
    plan: &mut Plan,
) -> Result<Ready, Failure> {
    let context = exchange.context;
    let mut last = Err(Failure::NoTarget);
    loop {
        let step = {
            let facts = Told::new(context, grant, request);
            if context.trail.is_full() {
                return last;
            }
            plan.next(&facts, &mut context.worker.dice(), Instant::now())
        };
        let step = match step {
            Step::Give => return last,
            // Nobody can race for it: the first has it.
            Step::Race { lanes, .. } => match lanes.into_iter().next() {
                Some(lane) => {
                    *plan = lane;
                    continue;
                }
                None => return last,
            },
            Step::Try(step) => step,
        };
        if step.wait > Duration::ZERO {
            recall::while_needed(exchange, pin!(sleep(step.wait))).await?;
        }
        let live = Arc::clone(plan.live());
        let Some(target) = live.route().targets.get(step.target) else { return last };
        let begun = Instant::now();
        let permit = plan.begin(&step, begun);
        let trial = Trial::begin(context, Some(target), (permit, step.is_fair), begun);
        let limits = Limits { deadline: step.deadline, ..Limits::default() };
        let asked = (grant, &mut *request);
        let (outcome, ready) = attempt_streamed(exchange, asked, trial, limits).await;
        if matches!(ready, Ok(Ready::Own(_))) {
            return ready;
        }
        plan.tell(&outcome, Instant::now());
        let was_sent = context.trail.last().is_some_and(|leg| leg.notes.sent);
        match ready {
            Err(failure) if !was_sent && !is_final(&failure) => last = Err(failure),
            _ => return ready,
        }
    }
}

/// Makes one attempt with a body that can be sent only once.
async fn attempt_streamed(
    exchange: &mut Exchange<'_>,
    (grant, request): (&Grant, &mut Request),
    mut trial: Trial<'_>,
    limits: Limits,
) -> (Outcome, Result<Ready, Failure>) {
    let response = match prepare_trial(exchange.context, (grant, request), &mut trial, &limits) {
        Err(failure) => Err(failure),
        Ok(Preparation::Respond(own, _)) => Ok(Response::Own(own)),
        // What is streamed is not translated.
        Ok(Preparation::Fetch(_)) => Err(Failure::NoTarget),
        Ok(Preparation::Call(upstream_request)) => {
            let called =
                call_streamed(exchange, &upstream_request, request, &mut trial.track.notes).await;
            called.map(|answer| Response::Upstream(upstream_request, answer))
        }
    };
    trial.end(response)
}

/// Follows a plan. It does not touch the client.
pub(super) struct Pursuit<'p> {
    pub context: &'p RequestContext<'p>,
    pub grant: &'p Grant,
    pub request: &'p Request,
    /// Also the last answer is held until it shows that it is good, as in a race.
    pub wants_good: bool,
}

impl Pursuit<'_> {
    /// Asks the one provider there is: without a route, or with one that leaves no choice.
    async fn once(&self) -> Result<Ready, Failure> {
        let begun = Instant::now();
        let mut trial = begin_once(self.context, self.grant, begun);
        let limits = Limits::of_only_target(self.grant, begun);
        let response = self.ask(&mut trial, &limits).await;
        trial.end(response).1
    }

    /// Does what the plan says, to the answer that is given.
    pub(super) async fn run(
        &self,
        plan: &mut Plan,
        before: Option<Failure>,
    ) -> Result<Ready, Failure> {
        let facts = Told::new(self.context, self.grant, self.request);
        let mut last: Option<Result<Ready, Failure>> = before.map(Err);
        loop {
            let step = if self.context.trail.is_full() {
                Step::Give
            } else {
                plan.next(&facts, &mut self.context.worker.dice(), Instant::now())
            };
            if !matches!(step, Step::Give) {
                last.take().into_iter().flatten().for_each(Ready::dismiss);
            }
            let (outcome, result) = match step {
                Step::Give => return last.unwrap_or(Err(Failure::NoTarget)),
                Step::Try(step) => {
                    copies::send(self, plan.live(), &step.copies);
                    if step.wait > Duration::ZERO {
                        sleep(step.wait).await;
                    }
                    self.attempt_step(plan, &step).await
                }
                Step::Race { lanes, hedge } => self.race(lanes, hedge).await,
            };
            if let Err(failure) = &result
                && is_final(failure)
            {
                return result;
            }
            plan.tell(&outcome, Instant::now());
            if outcome.is_success() {
                // The plan stays where it is: the delivery may still fail.
                return result;
            }
            last = Some(result);
        }
    }

    /// Makes the attempt of one step.
    async fn attempt_step(&self, plan: &mut Plan, step: &Try) -> (Outcome, Result<Ready, Failure>) {
        let live = Arc::clone(plan.live());
        let begun = Instant::now();
        let Some(target) = live.route().targets.get(step.target) else {
            return nobody();
        };
        let permit = plan.begin(step, begun);
        let first_token = target.first_token_timeout.filter(|_| self.request.is_stream());
        // What a probe breaks is not to be noticed either.
        let is_probe = permit.as_ref().is_some_and(Permit::is_probe);
        let is_replaceable = step.has_next || is_probe || self.wants_good;
        let is_bounded = is_replaceable || first_token.is_some();
        let wait = if is_bounded { Wait::UntilContent } else { Wait::Briefly };
        let limits = Limits { deadline: step.deadline, first_token, opening: Some(wait) };
        let mut trial = Trial::begin(self.context, Some(target), (permit, step.is_fair), begun);
        let response = self.ask(&mut trial, &limits).await;
        trial.end(response)
    }

    /// Asks, and looks at the opening of the answer: where another attempt may follow until it is good.
    async fn ask(&self, trial: &mut Trial<'_>, limits: &Limits) -> Result<Response, Failure> {
        let begun = Instant::now();
        let asked = (self.grant, self.request);
        let mut prepared = prepare_trial(self.context, asked, trial, limits)?;
        if let Preparation::Fetch(urls) = &mut prepared {
            let urls = std::mem::take(urls);
            Box::pin(pictures::fetch(self.context, self.request, urls)).await?;
            prepared = prepare_trial(self.context, asked, trial, limits)?;
        }
        let mut upstream_request = match prepared {
            Preparation::Respond(own, _) => return Ok(Response::Own(own)),
            Preparation::Call(upstream_request) => upstream_request,
            // All are there.
            Preparation::Fetch(_) => return Err(Failure::NoTarget),
        };
        let notes = &mut trial.track.notes;
        let calling = self.call(&mut upstream_request, notes, limits.opening);
        let answer = match limits.first_token {
            None => calling.await?,
            // On the heap, since it is rare.
            Some(limit) => match Box::pin(within(begun.after(limit), calling)).await {
                Ok(answered) => answered?,
                Err(_) => {
                    let provider = upstream_request.upstream.provider.name.clone();
                    return Err(Failure::UpstreamTimeout { provider, phase: "first token" });
                }
            },
        };
        Ok(Response::Upstream(upstream_request, answer))
    }

    /// Makes the call, or its parts one after the other.
    async fn call(
        &self,
        upstream_request: &mut UpstreamRequest,
        notes: &mut Notes,
        opening: Option<Wait>,
    ) -> Result<Box<Answer>, Failure> {
        let mut answer = if upstream_request.has_further_calls() {
            Box::pin(call_in_parts(self.context, upstream_request, self.request, notes)).await?
        } else {
            call(self.context, upstream_request, self.request, notes).await?
        };
        let Some(wait) = opening else { return Ok(answer) };
        let looked_for = (self.request, wait);
        let opened = opening::take_in(self.context, upstream_request, looked_for, &mut answer);
        match Box::pin(opened).await {
            Ok(()) => Ok(answer),
            Err(failure) => {
                answer.end_with(&failure, upstream_request);
                Err(failure)
            }
        }
    }

    /// Lets several plans run; the first good answer wins, and the others are cut off.
    async fn race(&self, lanes: Vec<Plan>, hedge: Duration) -> (Outcome, Result<Ready, Failure>) {
        let mut waiting = lanes.into_iter();
        let mut running = FuturesUnordered::new();
        let mut last = nobody();
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
            if let Ok(ready) = std::mem::replace(&mut last, (outcome, result)).1 {
                ready.dismiss();
            }
            running.extend(waiting.next().map(|lane| self.run_lane(lane)));
        }
    }

    /// On the heap: a lane may hold races of its own.
    fn run_lane(&self, mut plan: Plan) -> Lane<'_> {
        let racing = Pursuit { wants_good: true, ..*self };
        Box::pin(async move {
            let begun = Instant::now();
            // Each lane copies a short body behind its head.
            let copied = racing.request.body_bytes().min(COPIED_BODY_BYTES_MAX);
            let result = match racing.context.hold_for_attempt(copied) {
                Ok(_held) => racing.run(&mut plan, None).await,
                Err(failure) => Err(failure),
            };
            let outcome = match &result {
                Err(failure) => outcome_of_failure(failure, begun.elapsed()),
                Ok(_) => plan.last().unwrap_or_else(|| nobody().0),
            };
            (outcome, result)
        })
    }
}

type Lane<'p> = Pin<Box<dyn Future<Output = (Outcome, Result<Ready, Failure>)> + 'p>>;

impl Ready {
    /// The answer is not wanted.
    fn dismiss(self) {
        if let Self::Answer(upstream_request, answer, _) = self {
            answer.dismiss(&upstream_request);
        }
    }
}

/// What comes of asking where there is nobody to ask.
fn nobody() -> (Outcome, Result<Ready, Failure>) {
    (outcome_of_failure(&Failure::NoTarget, Duration::ZERO), Err(Failure::NoTarget))
}

/// The answer that was given could not be delivered, and nothing of it has gone to the client.
pub(super) fn tell(plan: &mut Plan, failure: &Failure) {
    let now = Instant::now();
    plan.tell(&outcome_of_failure(failure, Duration::ZERO), now);
}

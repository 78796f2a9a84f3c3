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
use super::asker::Asker;
use super::call::{Notes, call, call_streamed};
use super::call_in_parts::call_in_parts;
use super::copies;
use super::deliver::Whole;
use super::encode::COPIED_BODY_BYTES_MAX;
use super::facts::Told;
use super::failure::Failure;
use super::opening::{self, Wait};
use super::pictures;
use super::prepare::{Attempt, Prepared, prepare};
use super::recall;
use super::receive::{Body, Request};
use super::record::Exchange;
use super::trial::{Trial, Won, is_final, outcome_of_failure};
use crate::base::Instant;
use crate::routing::{Outcome, Permit, Plan, Step, Target, Try};
use crate::shard::{sleep, within};

/// What comes of it.
#[expect(clippy::large_enum_variant, reason = "the large one is the usual one")]
pub(super) enum Ready {
    /// The gateway knows the answer itself.
    Own(Whole),
    /// A provider has answered.
    Answer(Box<Attempt>, Box<Answer>, Option<Won>),
}

/// Asks the provider that the plan says, or the only one there is without a plan. `before` is what has
/// become of the plan's last answer.
pub(super) async fn forward(
    exchange: &mut Exchange<'_>,
    (grant, request, before): (&Grant, &mut Request, Option<Failure>),
    plan: Option<&mut Plan>,
) -> Result<Ready, Failure> {
    let Some(plan) = plan else { return once(exchange, grant, request).await };
    let begun = Instant::now();
    let ready = if matches!(request.body, Body::Streamed { .. }) {
        if let Some(failure) = before {
            // What was sent cannot be sent again.
            return Err(failure);
        }
        Box::pin(ask_streamed(exchange, grant, request, plan)).await
    } else {
        let pursuit = Pursuit { asker: exchange.asker, grant, request, wants_good: false };
        let pursued = Box::pin(pursuit.run(plan, before));
        recall::while_needed(exchange, pursued).await.and_then(|it| it)
    };
    let record = &mut exchange.record;
    record.upstream += begun.elapsed();
    record.attempts = u32::try_from(exchange.asker.trail.len()).unwrap_or(u32::MAX);
    record.retries = plan.retries();
    match &ready {
        Ok(Ready::Answer(attempt, _, won)) => {
            record.sent_upstream = true;
            record.option = won.as_ref().map(|won| Arc::clone(&won.target));
            take_over(exchange, attempt);
        }
        Ok(Ready::Own(_)) => {}
        Err(_) => {
            if let Some(last) = exchange.asker.trail.last() {
                record.option = Some(last.target);
                record.provider = last.provider;
                record.model = last.model.or(record.model.take());
            }
        }
    }
    ready
}

/// The answer of an attempt is the answer to the request.
fn take_over(exchange: &mut Exchange<'_>, attempt: &Attempt) {
    let record = &mut exchange.record;
    record.provider = Some(Arc::clone(&attempt.upstream.name));
    record.model.clone_from(&attempt.model);
    let lost = attempt.translation.as_ref().and_then(|it| it.warnings.clone());
    let warnings = lost.or_else(|| attempt.warnings.clone());
    record.warnings = match (record.warnings.take(), warnings) {
        (Some(before), Some(lost)) => Some(format!("{before}; {lost}").into()),
        (before, lost) => before.or(lost),
    };
}

/// Asks the one provider there is: without a route, or with one that leaves no choice.
async fn once(
    exchange: &mut Exchange<'_>,
    grant: &Grant,
    request: &mut Request,
) -> Result<Ready, Failure> {
    let asker = exchange.asker;
    let live = grant.route.as_deref();
    let target = live.and_then(|live| live.route().only_target());
    let begun = Instant::now();
    let mut trial = target.map(|target| {
        let permit = live.and_then(|live| Some(live.health(0)?.begin(true, begun)));
        // A limit that the client sets may be any.
        Trial::begin(asker, target, (permit, asker.ours("request-timeout").is_none()), begun)
    });
    let mut prepared = prepare(asker, grant, request, target);
    if let Ok(Prepared::Fetch(urls)) = &mut prepared {
        let fetched = Box::pin(pictures::fetch(asker, request, std::mem::take(urls)));
        let fetched = recall::while_needed(exchange, fetched).await.and_then(|it| it);
        prepared = fetched.and_then(|()| prepare(asker, grant, request, target));
    }
    match (&prepared, &mut trial) {
        (Ok(Prepared::Answer(..)), Some(trial)) => {
            trial.end_here();
        }
        (Err(failure), Some(trial)) => {
            trial.end(Err(failure));
        }
        _ => {}
    }
    let mut attempt = match prepared? {
        Prepared::Answer(own, provider) => {
            exchange.record.provider = Some(provider);
            return Ok(Ready::Own(own));
        }
        Prepared::Ask(attempt) => attempt,
        // All are there.
        Prepared::Fetch(_) => return Err(Failure::NoTarget),
    };
    if let Some(limit) = live.and_then(|live| live.route().request_timeout) {
        attempt.timeouts.total = attempt.timeouts.total.min(limit);
    }
    take_over(exchange, &attempt);
    let mut notes = Notes { out: std::mem::take(&mut exchange.client.out), ..Notes::default() };
    let answered = if attempt.has_further_calls() {
        let calls = Box::pin(call_in_parts(asker, &mut attempt, request, &mut notes));
        recall::while_needed(exchange, calls).await.and_then(|it| it)
    } else if matches!(request.body, Body::Streamed { .. }) {
        Box::pin(call_streamed(exchange, &attempt, request, &mut notes)).await
    } else {
        // Pinned here, since what an async function is given by value is held twice.
        let called = pin!(call(asker, &attempt, request, &mut notes));
        recall::while_needed(exchange, called).await.and_then(|it| it)
    };
    note(exchange, &mut notes, begun);
    if let Some(trial) = &mut trial {
        exchange.record.option = Some(Arc::clone(&trial.target.path));
        trial.asks(&attempt);
        trial.end(answered.as_deref());
    }
    answered.map(|answer| Ready::Answer(attempt, answer, trial.map(Trial::won)))
}

fn note(exchange: &mut Exchange<'_>, notes: &mut Notes, begun: Instant) {
    let record = &mut exchange.record;
    record.upstream += begun.elapsed();
    record.attempts = notes.connections;
    record.reused_connection = notes.reused;
    record.sent_upstream = notes.sent;
    record.usage = record.usage.or(notes.used);
    if exchange.client.out.capacity() == 0 {
        exchange.client.out = std::mem::take(&mut notes.out);
    }
}

/// Asks with a body that can be sent only once: another target only as long as nothing of the request has
/// gone out.
async fn ask_streamed(
    exchange: &mut Exchange<'_>,
    grant: &Grant,
    request: &mut Request,
    plan: &mut Plan,
) -> Result<Ready, Failure> {
    let asker = exchange.asker;
    let mut last = Err(Failure::NoTarget);
    loop {
        let step = {
            let facts = Told::new(asker, grant, request);
            if asker.trail.is_full() {
                return last;
            }
            plan.next(&facts, &mut asker.worker.dice(), Instant::now())
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
        let mut trial = Trial::begin(asker, target, (permit, step.is_fair), begun);
        let asked = match prepare(asker, grant, request, Some(target)) {
            Err(failure) => Err(failure),
            // What is streamed is not translated.
            Ok(Prepared::Fetch(_)) => Err(Failure::NoTarget),
            Ok(Prepared::Answer(own, _)) => {
                trial.end_here();
                return Ok(Ready::Own(own));
            }
            Ok(Prepared::Ask(mut attempt)) => {
                hold_to(&mut attempt, &step, begun);
                trial.asks(&attempt);
                let notes = &mut trial.track.notes;
                let called = call_streamed(exchange, &attempt, request, notes).await;
                called.map(|answer| (attempt, answer))
            }
        };
        let outcome = trial.end(asked.as_ref().map(|(_, answer)| &**answer));
        plan.tell(&outcome, Instant::now());
        match asked {
            Ok((attempt, answer)) => {
                return Ok(Ready::Answer(attempt, answer, Some(trial.won())));
            }
            Err(failure) if trial.track.notes.sent || is_final(&failure) => return Err(failure),
            Err(failure) => last = Err(failure),
        }
    }
}

/// Follows a plan. It does not touch the client.
pub(super) struct Pursuit<'p> {
    pub asker: &'p Asker<'p>,
    pub grant: &'p Grant,
    pub request: &'p Request,
    /// Also the last answer is held until it shows that it is good, as in a race.
    pub wants_good: bool,
}

impl Pursuit<'_> {
    /// Does what the plan says, to the answer that is given.
    pub(super) async fn run(
        &self,
        plan: &mut Plan,
        before: Option<Failure>,
    ) -> Result<Ready, Failure> {
        let facts = Told::new(self.asker, self.grant, self.request);
        let mut last: Option<Result<Ready, Failure>> = before.map(Err);
        loop {
            let step = if self.asker.trail.is_full() {
                Step::Give
            } else {
                plan.next(&facts, &mut self.asker.worker.dice(), Instant::now())
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
                    self.attempt(plan, &step).await
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

    /// Makes one attempt.
    async fn attempt(&self, plan: &mut Plan, step: &Try) -> (Outcome, Result<Ready, Failure>) {
        let live = Arc::clone(plan.live());
        let begun = Instant::now();
        let Some(target) = live.route().targets.get(step.target) else {
            return nobody();
        };
        let permit = plan.begin(step, begun);
        let is_probe = permit.as_ref().is_some_and(Permit::is_probe);
        let mut trial = Trial::begin(self.asker, target, (permit, step.is_fair), begun);
        let made = self.make(target, (step, is_probe), &mut trial).await;
        let outcome = match &made {
            Ok(Ready::Own(_)) => trial.end_here(),
            Ok(Ready::Answer(_, answer, _)) => trial.end(Ok(answer)),
            Err(failure) => trial.end(Err(failure)),
        };
        let result = made.map(|ready| match ready {
            Ready::Answer(attempt, answer, _) => Ready::Answer(attempt, answer, Some(trial.won())),
            own => own,
        });
        (outcome, result)
    }

    /// Asks, and looks at the opening of the answer: where another attempt may follow until it is good.
    async fn make(
        &self,
        target: &Target,
        (step, is_probe): (&Try, bool),
        trial: &mut Trial<'_>,
    ) -> Result<Ready, Failure> {
        let begun = Instant::now();
        let ready = || prepare(self.asker, self.grant, self.request, Some(target));
        let mut prepared = ready()?;
        if let Prepared::Fetch(urls) = &mut prepared {
            let urls = std::mem::take(urls);
            Box::pin(pictures::fetch(self.asker, self.request, urls)).await?;
            prepared = ready()?;
        }
        let mut attempt = match prepared {
            Prepared::Answer(own, _) => return Ok(Ready::Own(own)),
            Prepared::Ask(attempt) => attempt,
            // All are there.
            Prepared::Fetch(_) => return Err(Failure::NoTarget),
        };
        hold_to(&mut attempt, step, begun);
        trial.asks(&attempt);
        let first_token = target.first_token_timeout.filter(|_| self.request.is_stream());
        // What a probe breaks is not to be noticed either.
        let is_replaceable = step.has_next || is_probe || self.wants_good;
        let is_bounded = is_replaceable || first_token.is_some();
        let wait = if is_bounded { Wait::UntilContent } else { Wait::Briefly };
        let asking = async {
            let notes = &mut trial.track.notes;
            let mut answer = if attempt.has_further_calls() {
                call_in_parts(self.asker, &mut attempt, self.request, notes).await?
            } else {
                call(self.asker, &attempt, self.request, notes).await?
            };
            let looked_for = (self.request, wait);
            let opened = opening::take_in(self.asker, &attempt, looked_for, &mut answer).await;
            match opened {
                Ok(()) => Ok(answer),
                Err(failure) => {
                    answer.end_with(&failure, &attempt);
                    Err(failure)
                }
            }
        };
        let asked = match first_token {
            None => asking.await,
            Some(limit) => match within(begun.after(limit), asking).await {
                Ok(asked) => asked,
                Err(_) => {
                    let provider = attempt.upstream.provider.name.clone();
                    return Err(Failure::UpstreamTimeout { provider, phase: "first token" });
                }
            },
        };
        let answer = asked?;
        Ok(Ready::Answer(attempt, answer, None))
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
            let result = match racing.asker.hold_for_attempt(copied) {
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
        if let Self::Answer(attempt, answer, _) = self {
            answer.dismiss(&attempt);
        }
    }
}

/// What comes of asking where there is nobody to ask.
fn nobody() -> (Outcome, Result<Ready, Failure>) {
    (outcome_of_failure(&Failure::NoTarget, Duration::ZERO), Err(Failure::NoTarget))
}

/// Holds an attempt to the time that its step leaves it.
fn hold_to(attempt: &mut Attempt, step: &Try, now: Instant) {
    if let Some(deadline) = step.deadline {
        attempt.timeouts.total = attempt.timeouts.total.min(deadline.since(now));
    }
}

/// The answer that was given could not be delivered, and nothing of it has gone to the client.
pub(super) fn tell(plan: &mut Plan, failure: &Failure) {
    let now = Instant::now();
    plan.tell(&outcome_of_failure(failure, Duration::ZERO), now);
}

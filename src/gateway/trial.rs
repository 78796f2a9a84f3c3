//! One attempt at a target of a route: told in the trail, and judged when it has ended.

use std::sync::Arc;
use std::time::Duration;

use super::answer::Answer;
use super::asker::Asker;
use super::failure::Failure;
use super::prepare::Attempt;
use super::record::Exchange;
use super::trail::Track;
use crate::base::{Instant, unix_now};
use crate::routing::{Fault, Outcome, Permit, Target, retry_hint};
use crate::telemetry::Outcome as Side;

/// An attempt under way. Dropped before its end, it was cut off and shows nothing.
pub(super) struct Trial<'t> {
    pub target: &'t Target,
    pub track: Track<'t>,
    permit: Option<Permit>,
    /// To run out of time would be the target's fault.
    is_fair: bool,
    begun: Instant,
}

/// The attempt that has answered.
pub(super) struct Won {
    permit: Option<Permit>,
    /// Its target, as `config.targets[0]`.
    pub target: Arc<str>,
    /// Its place in the trail.
    leg: usize,
    begun: Instant,
}

impl<'t> Trial<'t> {
    pub(super) fn begin(
        asker: &'t Asker<'_>,
        target: &'t Target,
        (permit, is_fair): (Option<Permit>, bool),
        begun: Instant,
    ) -> Self {
        let track = asker.trail.begin(Arc::clone(&target.path), begun);
        Self { target, track, permit, is_fair, begun }
    }

    /// Whom it asks.
    pub(super) fn asks(&self, attempt: &Attempt) {
        self.track.asks(&attempt.upstream.name, attempt.model.as_deref());
    }

    /// It has ended; with an answer comes the status of an error that its stream begins with.
    pub(super) fn end(
        &mut self,
        made: Result<(&Attempt, &Answer, Option<u16>), &Failure>,
    ) -> Outcome {
        let now = Instant::now();
        let latency = now.since(self.begun);
        let outcome = match made {
            Ok((attempt, answer, error)) => self.outcome_of(attempt, answer, (error, latency)),
            Err(failure) => outcome_of_failure(failure, latency),
        };
        self.track.end(outcome.status, now);
        let shows = made.err().is_none_or(|failure| self.is_shown_by(failure));
        if let Some(permit) = self.permit.as_mut().filter(|_| shows) {
            permit.judge(&outcome, now);
        }
        outcome
    }

    /// The gateway knew the answer itself.
    pub(super) fn end_here(&mut self) -> Outcome {
        let now = Instant::now();
        self.track.end(200, now);
        let latency = now.since(self.begun);
        Outcome { status: 200, fault: Fault::None, is_transport: false, retry_after: None, latency }
    }

    /// Its answer is the one that is given.
    pub(super) fn won(self) -> Won {
        let (target, leg) = (Arc::clone(&self.target.path), self.track.place());
        Won { permit: self.permit, target, leg, begun: self.begun }
    }

    fn outcome_of(
        &self,
        attempt: &Attempt,
        answer: &Answer,
        (error, latency): (Option<u16>, Duration),
    ) -> Outcome {
        let status = error.unwrap_or_else(|| answer.head.status());
        let field = |name: &str| answer.head.get(name).and_then(|it| std::str::from_utf8(it).ok());
        let is_clients = attempt.credential.is_some() && self.target.api_key.is_none();
        let fault = match Fault::of_status(status, self.target.override_model.is_some()) {
            // A client's own credential is its own fault.
            Fault::Account if is_clients => Fault::Client,
            fault => fault,
        };
        Outcome {
            status,
            fault,
            is_transport: false,
            retry_after: if status >= 400 { retry_hint(unix_now(), field) } else { None },
            latency,
        }
    }

    /// True if the failure shows how the target does. A request that we could not say to it shows
    /// nothing, nor does a limit that left it too little time.
    fn is_shown_by(&self, failure: &Failure) -> bool {
        match failure {
            Failure::UpstreamTimeout { phase: "total", .. } => self.is_fair,
            _ => matches!(failure.row().side, Side::UpstreamError | Side::GatewayError),
        }
    }
}

/// True for what no other target would mend.
pub(super) fn is_final(failure: &Failure) -> bool {
    matches!(failure, Failure::ClientLeft | Failure::ClientStalled | Failure::Overloaded(_))
}

/// How an attempt ended that was not answered.
pub(super) fn outcome_of_failure(failure: &Failure, latency: Duration) -> Outcome {
    let row = failure.row();
    let is_upstream = row.side == Side::UpstreamError;
    let fault = match failure {
        Failure::Credential { .. } => Fault::Account,
        _ if is_upstream => Fault::Target,
        _ => Fault::Client,
    };
    Outcome {
        status: row.status,
        fault,
        is_transport: fault != Fault::Client,
        retry_after: None,
        latency,
    }
}

impl Won {
    /// What the delivery of the answer shows of its target.
    pub(super) fn learn(&mut self, exchange: &Exchange<'_>, failure: Option<&Failure>) {
        let now = Instant::now();
        let record = &exchange.record;
        let failure_of_target = failure.filter(|it| it.row().side == Side::UpstreamError);
        if let Some(failure) = failure_of_target {
            exchange.asker.trail.correct(self.leg, failure.row().status);
        }
        let Some(permit) = &mut self.permit else { return };
        if let Some(failure) = failure_of_target {
            permit.judge_again(&outcome_of_failure(failure, now.since(self.begun)), now);
        } else if let Some(usage) = record.usage.filter(|it| !it.estimated && failure.is_none()) {
            // A stream's words come one by one from its first; those of a whole answer all at once.
            let first = record.first_byte.filter(|_| record.stream);
            let since = first.map_or(self.begun, |first| record.started.after(first));
            permit.health().note_speed(usage.output_tokens, now.since(since), now);
        }
    }
}

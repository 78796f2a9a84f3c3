//! One attempt at a target: told in the trail, and judged when it has ended.

use std::sync::Arc;
use std::time::Duration;

use super::answer::Answer;
use super::context::RequestContext;
use super::deliver::Whole;
use super::failure::Failure;
use super::forward::Ready;
use super::prepare::UpstreamRequest;
use super::record::Exchange;
use super::trail::Track;
use crate::base::{Instant, unix_now};
use crate::routing::{Fault, Outcome, Permit, Target, retry_hint};
use crate::telemetry::Outcome as Side;

/// What comes of an attempt.
pub(super) enum Response {
    /// The gateway knew the answer itself.
    Own(Whole),
    /// The provider has answered.
    Upstream(Box<UpstreamRequest>, Box<Answer>),
}

/// An attempt under way. Dropped before its end, it was cut off and shows nothing.
pub(super) struct Trial<'t> {
    /// None where no route is in force.
    pub target: Option<&'t Target>,
    pub track: Track<'t>,
    permit: Option<Permit>,
    /// To run out of time would be the target's fault.
    is_fair: bool,
    blame: Blame,
    begun: Instant,
}

/// What decides whose fault a provider's status is.
#[derive(Clone, Copy)]
struct Blame {
    /// The route and not the client named the model.
    is_own_model: bool,
    /// The credential is the client's.
    is_clients_key: bool,
}

impl Blame {
    fn fault(self, status: u16) -> Fault {
        match Fault::of_status(status, self.is_own_model) {
            // A client's own credential is its own fault.
            Fault::Account if self.is_clients_key => Fault::Client,
            fault => fault,
        }
    }

    /// How an attempt ended that was not answered.
    fn outcome_of_failure(self, failure: &Failure, latency: Duration) -> Outcome {
        let outcome = outcome_of_failure(failure, latency);
        match failure {
            Failure::ProviderError { error, .. } => {
                Outcome { fault: self.fault(error.status), ..outcome }
            }
            _ => outcome,
        }
    }
}

/// The attempt that has answered.
pub(super) struct Won {
    permit: Option<Permit>,
    blame: Blame,
    /// Its place in the trail.
    pub leg: usize,
    begun: Instant,
}

impl<'t> Trial<'t> {
    pub(super) fn begin(
        context: &'t RequestContext<'_>,
        target: Option<&'t Target>,
        (permit, is_fair): (Option<Permit>, bool),
        begun: Instant,
    ) -> Self {
        let track = context.trail.begin(target.map(|it| Arc::clone(&it.path)), begun);
        let is_own_model = target.is_some_and(|it| it.override_model.is_some());
        let blame = Blame { is_own_model, is_clients_key: false };
        Self { target, track, permit, is_fair, blame, begun }
    }

    /// Whom it asks.
    pub(super) fn asks(&mut self, upstream_request: &UpstreamRequest) {
        let has_own_key = self.target.is_some_and(|it| it.api_key.is_some());
        self.blame.is_clients_key = upstream_request.credential.is_some() && !has_own_key;
        self.track.asks(upstream_request);
    }

    /// It has ended: says how, and gives the answer on.
    pub(super) fn end(
        mut self,
        made: Result<Response, Failure>,
    ) -> (Outcome, Result<Ready, Failure>) {
        let outcome = match &made {
            Ok(Response::Own(_)) => self.end_here(),
            Ok(Response::Upstream(_, answer)) => self.judge(Ok(answer)),
            Err(failure) => self.judge(Err(failure)),
        };
        let ready = made.map(|response| match response {
            Response::Own(own) => Ready::Own(own),
            Response::Upstream(upstream_request, answer) => {
                Ready::Answer(upstream_request, answer, self.won())
            }
        });
        (outcome, ready)
    }

    fn judge(&mut self, made: Result<&Answer, &Failure>) -> Outcome {
        let now = Instant::now();
        let latency = now.since(self.begun);
        let outcome = match made {
            Ok(answer) => self.outcome_of(answer, latency),
            Err(failure) => self.blame.outcome_of_failure(failure, latency),
        };
        self.track.end(outcome.status, now);
        let shows = made.err().is_none_or(|failure| self.is_shown_by(failure));
        if let Some(permit) = self.permit.as_mut().filter(|_| shows) {
            permit.judge(&outcome, now);
        }
        outcome
    }

    /// The gateway knew the answer itself.
    fn end_here(&mut self) -> Outcome {
        let now = Instant::now();
        self.track.end(200, now);
        let latency = now.since(self.begun);
        Outcome { status: 200, fault: Fault::None, is_transport: false, retry_after: None, latency }
    }

    fn won(self) -> Won {
        let leg = self.track.place();
        Won { permit: self.permit, blame: self.blame, leg, begun: self.begun }
    }

    fn outcome_of(&self, answer: &Answer, latency: Duration) -> Outcome {
        let status = answer.head.status();
        let field = |name: &str| answer.head.get(name).and_then(|it| std::str::from_utf8(it).ok());
        Outcome {
            status,
            fault: self.blame.fault(status),
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
            Failure::ProviderError { .. } => true,
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
    let (fault, is_transport) = match failure {
        Failure::Credential { .. } => (Fault::Account, true),
        Failure::ProviderError { .. } => (Fault::of_status(row.status, false), false),
        // Whoever is too slow may be at work: whether that is worth another attempt is the route's to say.
        Failure::UpstreamTimeout { .. } => (Fault::Target, false),
        _ if is_upstream => (Fault::Target, true),
        _ => (Fault::Client, false),
    };
    let retry_after = match failure {
        Failure::ProviderError { retry_after, .. } => *retry_after,
        _ => None,
    };
    Outcome { status: row.status, fault, is_transport, retry_after, latency }
}

impl Won {
    /// What the delivery of the answer shows of its target.
    pub(super) fn learn(&mut self, exchange: &Exchange<'_>, failure: Option<&Failure>) {
        let now = Instant::now();
        let record = &exchange.record;
        let failure_of_target = failure.filter(|it| it.is_of_provider());
        if let Some(failure) = failure_of_target {
            exchange.context.trail.correct(self.leg, failure.row().status);
        }
        let Some(permit) = &mut self.permit else { return };
        if let Some(failure) = failure_of_target {
            let outcome = self.blame.outcome_of_failure(failure, now.since(self.begun));
            permit.judge_again(&outcome, now);
        } else if let Some(usage) = record.usage.filter(|it| !it.estimated && failure.is_none()) {
            // A stream's words come one by one from its first; those of a whole answer all at once.
            let first = record.first_byte.filter(|_| record.stream);
            let since = first.map_or(self.begun, |first| record.started.after(first));
            permit.health().note_speed(usage.output_tokens, now.since(since), now);
        }
    }
}

//! One attempt at a target: logged from its beginning, and its outcome recorded at its end.

use std::sync::Arc;
use std::time::Duration;

use crate::base::{Instant, unix_now};
use crate::gateway::context::{
    AttemptGuard, Exchange, GatewayError, Grant, Request, RequestContext,
};
use crate::gateway::downstream::local::LocalResponse;
use crate::gateway::upstream::peek::PeekWait;
use crate::gateway::upstream::prepare::{Preparation, prepare};
use crate::gateway::upstream::request::UpstreamRequest;
use crate::gateway::upstream::response::UpstreamResponse;
use crate::routing::{AttemptOutcome, AttemptPlan, Fault, Permit, Target, retry_hint};
use crate::telemetry::RequestOutcome;

/// The response to deliver.
pub(crate) enum Response {
    /// The gateway knows the response itself.
    Local(LocalResponse),
    /// A provider has answered.
    Upstream(Box<UpstreamRequest>, Box<UpstreamResponse>, SelectedAttempt),
}

impl Response {
    /// The response is not wanted.
    pub(crate) fn dismiss(self) {
        if let Self::Upstream(upstream_request, response, _) = self {
            response.dismiss(&upstream_request);
        }
    }
}

/// The response that an attempt obtained.
pub(crate) enum AttemptResponse {
    /// The gateway knew the response itself.
    Local(LocalResponse),
    /// The provider has answered.
    Upstream(Box<UpstreamRequest>, Box<UpstreamResponse>),
}

/// An attempt under way. Dropped before its end, it was cut off and shows nothing.
pub(crate) struct Attempt<'t> {
    /// None where no route is in force.
    pub target: Option<&'t Target>,
    pub guard: AttemptGuard<'t>,
    permit: Option<Permit>,
    /// To run out of time would be the target's fault.
    timeout_is_targets_fault: bool,
    fault_context: FaultContext,
    begun: Instant,
}

/// What an attempt begins with.
pub(crate) struct AttemptStart<'t> {
    /// None where no route is in force.
    pub target: Option<&'t Target>,
    pub permit: Option<Permit>,
    /// To run out of time would be the target's fault.
    pub timeout_is_targets_fault: bool,
}

impl<'t> AttemptStart<'t> {
    /// At the target of one step of a plan.
    pub(crate) fn of_step(target: &'t Target, permit: Option<Permit>, step: &AttemptPlan) -> Self {
        let timeout_is_targets_fault = step.timeout_is_targets_fault;
        Self { target: Some(target), permit, timeout_is_targets_fault }
    }
}

/// What decides whose fault a provider's status is.
#[derive(Clone, Copy)]
struct FaultContext {
    /// The route and not the client named the model.
    is_own_model: bool,
    /// The credential is the client's.
    is_clients_key: bool,
}

impl FaultContext {
    fn fault(self, status: u16) -> Fault {
        match Fault::of_status(status, self.is_own_model) {
            // A client's own credential is its own fault.
            Fault::Account if self.is_clients_key => Fault::Client,
            fault => fault,
        }
    }

    /// How an attempt ended that was not answered.
    fn outcome_of_failure(self, failure: &GatewayError, latency: Duration) -> AttemptOutcome {
        let outcome = outcome_of_failure(failure, latency);
        match failure {
            GatewayError::ProviderError { error, .. } => {
                AttemptOutcome { fault: self.fault(error.status), ..outcome }
            }
            _ => outcome,
        }
    }
}

/// The attempt whose response is delivered.
pub(crate) struct SelectedAttempt {
    permit: Option<Permit>,
    fault_context: FaultContext,
    /// Its place in the log.
    pub place: usize,
    begun: Instant,
}

impl<'t> Attempt<'t> {
    pub(crate) fn begin(
        context: &'t RequestContext<'_>,
        start: AttemptStart<'t>,
        begun: Instant,
    ) -> Self {
        let AttemptStart { target, permit, timeout_is_targets_fault } = start;
        let guard = context.attempts.begin(target.map(|it| Arc::clone(&it.path)), begun);
        let is_own_model = target.is_some_and(|it| it.override_model.is_some());
        let fault_context = FaultContext { is_own_model, is_clients_key: false };
        Self { target, guard, permit, timeout_is_targets_fault, fault_context, begun }
    }

    /// The request that it sends.
    pub(crate) fn set_upstream(&mut self, upstream_request: &UpstreamRequest) {
        let has_own_key = self.target.is_some_and(|it| it.api_key.is_some());
        self.fault_context.is_clients_key = upstream_request.credential.is_some() && !has_own_key;
        let lost = upstream_request.translation.as_ref().and_then(|it| it.warnings.as_ref());
        let warnings = lost.or(upstream_request.warnings.as_ref());
        let provider = &upstream_request.upstream.name;
        self.guard.set_call(provider, upstream_request.model.as_ref(), warnings);
    }

    /// Ends the attempt: gives its outcome, and the response.
    pub(crate) fn end(
        mut self,
        made: Result<AttemptResponse, GatewayError>,
    ) -> (AttemptOutcome, Result<Response, GatewayError>) {
        let outcome = match &made {
            Ok(AttemptResponse::Local(_)) => self.end_locally(),
            Ok(AttemptResponse::Upstream(_, response)) => self.conclude(Ok(response)),
            Err(failure) => self.conclude(Err(failure)),
        };
        let response = made.map(|made| match made {
            AttemptResponse::Local(local) => Response::Local(local),
            AttemptResponse::Upstream(upstream_request, response) => {
                Response::Upstream(upstream_request, response, self.select())
            }
        });
        (outcome, response)
    }

    fn conclude(&mut self, made: Result<&UpstreamResponse, &GatewayError>) -> AttemptOutcome {
        let now = Instant::now();
        let latency = now.since(self.begun);
        let outcome = match made {
            Ok(response) => self.outcome_of_response(response, latency),
            Err(failure) => self.fault_context.outcome_of_failure(failure, latency),
        };
        self.guard.end(outcome.status, now);
        if let Err(failure) = made {
            self.guard.set_cause(failure.cause());
        }
        let shows = made.err().is_none_or(|failure| self.concerns_target(failure));
        if let Some(permit) = self.permit.as_mut().filter(|_| shows) {
            permit.record(&outcome, now);
        }
        outcome
    }

    /// The gateway knew the response itself.
    fn end_locally(&mut self) -> AttemptOutcome {
        let now = Instant::now();
        self.guard.end(200, now);
        let latency = now.since(self.begun);
        AttemptOutcome {
            status: 200,
            fault: Fault::None,
            is_transport: false,
            retry_after: None,
            latency,
        }
    }

    fn select(self) -> SelectedAttempt {
        let place = self.guard.place();
        SelectedAttempt {
            permit: self.permit,
            fault_context: self.fault_context,
            place,
            begun: self.begun,
        }
    }

    fn outcome_of_response(
        &self,
        response: &UpstreamResponse,
        latency: Duration,
    ) -> AttemptOutcome {
        let status = response.head.status();
        let field =
            |name: &str| response.head.get(name).and_then(|it| std::str::from_utf8(it).ok());
        AttemptOutcome {
            status,
            fault: self.fault_context.fault(status),
            is_transport: false,
            retry_after: if status >= 400 { retry_hint(unix_now(), field) } else { None },
            latency,
        }
    }

    /// True if the failure shows how the target does. A request that cannot be translated for it shows
    /// nothing, nor does a limit that left it too little time.
    fn concerns_target(&self, failure: &GatewayError) -> bool {
        match failure {
            GatewayError::UpstreamTimeout { phase: "total", .. } => self.timeout_is_targets_fault,
            GatewayError::ProviderError { .. } => true,
            _ => matches!(
                failure.spec().outcome,
                RequestOutcome::UpstreamError | RequestOutcome::GatewayError
            ),
        }
    }
}

/// The limits of an attempt.
#[derive(Clone, Copy, Default)]
pub(crate) struct AttemptLimits {
    /// For all of it.
    pub deadline: Option<Instant>,
    /// For the first content of a stream.
    pub first_token: Option<Duration>,
    /// Whether the opening of the response is looked at, and for how long.
    pub peek: Option<PeekWait>,
}

impl AttemptLimits {
    /// Of the one attempt that a route leaves no choice about.
    pub(crate) fn of_only_target(grant: &Grant, begun: Instant) -> Self {
        let limit = grant.route().and_then(|route| route.request_timeout);
        Self { deadline: limit.map(|limit| begun.after(limit)), ..Self::default() }
    }
}

/// Begins the attempt at the one target there is.
pub(crate) fn begin_single<'t>(
    context: &'t RequestContext<'_>,
    grant: &'t Grant,
    begun: Instant,
) -> Attempt<'t> {
    let active = grant.route.as_deref();
    let target = active.and_then(|active| active.route().only_target());
    let permit = target.and_then(|_| Some(active?.health(0)?.begin(true, begun)));
    // A limit that the client sets may be any.
    let timeout_is_targets_fault = context.gateway_header("request-timeout").is_none();
    let start = AttemptStart { target, permit, timeout_is_targets_fault };
    Attempt::begin(context, start, begun)
}

/// Makes the call of `attempt` ready, within its limits.
pub(crate) fn prepare_attempt(
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

/// The outcome where no target is left.
pub(crate) fn no_target() -> (AttemptOutcome, Result<Response, GatewayError>) {
    (outcome_of_failure(&GatewayError::NoTarget, Duration::ZERO), Err(GatewayError::NoTarget))
}

/// True for a failure that ends all attempts: another target would not help.
pub(crate) fn is_terminal(failure: &GatewayError) -> bool {
    matches!(
        failure,
        GatewayError::ClientLeft | GatewayError::ClientStalled | GatewayError::Overloaded(_)
    )
}

/// How an attempt ended that was not answered.
pub(crate) fn outcome_of_failure(failure: &GatewayError, latency: Duration) -> AttemptOutcome {
    let spec = failure.spec();
    let is_upstream = spec.outcome == RequestOutcome::UpstreamError;
    let (fault, is_transport) = match failure {
        GatewayError::Credential { .. } => (Fault::Account, true),
        GatewayError::ProviderError { .. } => (Fault::of_status(spec.status, false), false),
        // Whoever is too slow may be at work: whether that is worth another attempt is up to the route.
        GatewayError::UpstreamTimeout { .. } => (Fault::Target, false),
        _ if is_upstream => (Fault::Target, true),
        _ => (Fault::Client, false),
    };
    let retry_after = match failure {
        GatewayError::ProviderError { retry_after, .. } => *retry_after,
        _ => None,
    };
    AttemptOutcome { status: spec.status, fault, is_transport, retry_after, latency }
}

impl SelectedAttempt {
    /// Records what the delivery of the response shows of its target.
    pub(crate) fn record_delivery(
        &mut self,
        exchange: &Exchange<'_>,
        failure: Option<&GatewayError>,
    ) {
        let now = Instant::now();
        let record = &exchange.record;
        let failure_of_target = failure.filter(|it| it.is_of_provider());
        if let Some(failure) = failure_of_target {
            exchange.context.attempts.set_status(self.place, failure.spec().status);
        }
        let Some(permit) = &mut self.permit else { return };
        if let Some(failure) = failure_of_target {
            let outcome = self.fault_context.outcome_of_failure(failure, now.since(self.begun));
            permit.amend(&outcome, now);
        } else if let Some(usage) =
            record.metering.usage.filter(|it| !it.estimated && failure.is_none())
        {
            // A stream's words come one by one from its first; those of a whole response all at once.
            let first = record.client.first_byte.filter(|_| record.client.stream);
            let since = first.map_or(self.begun, |first| record.started.after(first));
            permit.health().record_speed(usage.output_tokens, now.since(since), now);
        }
    }
}

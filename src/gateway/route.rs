//! Stage `route`: whether a provider is called, and the plan that selects it.

use std::sync::Arc;

use crate::base::Instant;
use crate::gateway::context::{Endpoint, Exchange, GatewayError, Grant, Request, requested_model};
use crate::gateway::downstream::local::LocalResponse;
use crate::gateway::local::models;
use crate::gateway::upstream::prepare::requested_timeout;
use crate::gateway::upstream::resolve::named_provider;
use crate::routing::Plan;

/// Where the response comes from.
pub(crate) enum RouteDecision {
    /// The gateway knows it itself.
    Respond(LocalResponse),
    /// A provider is called: of those that the plan names, or the one there is where nothing is to be
    /// chosen.
    Forward(Option<Box<Plan>>),
}

/// Decides.
pub(crate) fn route(
    exchange: &mut Exchange<'_>,
    grant: &Grant,
    request: &Request,
) -> Result<RouteDecision, GatewayError> {
    let only = grant.route().and_then(|route| route.only_target());
    exchange.record.routing.model = requested_model(request, only);
    if request.endpoint == Endpoint::Models {
        let named = named_provider(exchange.context, only);
        if !models::is_forwarded(exchange, grant, named.as_deref()) {
            return models::answer(exchange, grant, named.as_deref()).map(RouteDecision::Respond);
        }
    }
    let Some(active) = &grant.route else { return Ok(RouteDecision::Forward(None)) };
    if !active.route().warnings.is_empty() {
        exchange.record.routing.warnings = Some(active.route().warnings.join("; ").into());
    }
    if active.route().is_plain() {
        return Ok(RouteDecision::Forward(None));
    }
    let limit = requested_timeout(exchange.context)?;
    let plan = Plan::new(Arc::clone(active), limit, Instant::now());
    Ok(RouteDecision::Forward(Some(Box::new(plan))))
}

//! The request pipeline: one request from its head to its event, readable top to bottom.
//!
//! The order is the point. A key is checked before its body is read, since a stranger must not
//! cost memory; the caches come before routing, since a hit needs no provider; `settle` comes
//! last and always, also after failure and departure.

use crate::gateway::cache::lookup::LookupOutcome;
use crate::gateway::cache::{lookup, replay};
use crate::gateway::context::{ConnectionReuse, Endpoint, Exchange, GatewayError, Grant, Request};
use crate::gateway::downstream::local;
use crate::gateway::execute::forward;
use crate::gateway::local::feedback;
use crate::gateway::respond::tap::ResponseTap;
use crate::gateway::respond::{deliver, error};
use crate::gateway::{admit, realtime, receive, render, responses_socket, route, screen, settle};

/// Serves the one request whose head has been read.
pub(crate) async fn run(mut exchange: Exchange<'_>) -> ConnectionReuse {
    let outcome = serve(&mut exchange).await;
    finish(&mut exchange, outcome).await;
    exchange.connection_reuse()
}

/// Serves a request for a response whose body came as a message. False if the client is gone.
async fn run_message(mut exchange: Exchange<'_>, body: Vec<u8>) -> bool {
    let outcome = serve_message(&mut exchange, body).await;
    finish(&mut exchange, outcome).await
}

/// Sends the error if there is one, and settles. False if the client is gone.
async fn finish(exchange: &mut Exchange<'_>, mut outcome: Result<(), GatewayError>) -> bool {
    if let Some(failure) = exchange.client.lost.take() {
        outcome = Err(failure);
    }
    if let Err(failure) = &outcome {
        // No follower waits for what does not come, least of all until this client has its error.
        exchange.flight = None;
        Box::pin(error::send_error(exchange, failure)).await;
    }
    let failure = outcome.as_ref().err();
    settle::settle(exchange, failure);
    failure.is_none_or(|failure| !failure.has_no_client())
}

async fn serve_message(exchange: &mut Exchange<'_>, body: Vec<u8>) -> Result<(), GatewayError> {
    exchange.record.endpoint = Some(Endpoint::Responses);
    let grant = admit::admit(exchange, Endpoint::Responses)?;
    let request = receive::message(exchange, body)?;
    run_stages(exchange, &grant, request).await
}

async fn serve(exchange: &mut Exchange<'_>) -> Result<(), GatewayError> {
    let endpoint = receive::endpoint(exchange)?;
    let grant = admit::admit(exchange, endpoint)?;
    if endpoint == Endpoint::Realtime {
        return Box::pin(realtime::relay(exchange, &grant)).await;
    }
    if endpoint == Endpoint::ResponsesSocket {
        return Box::pin(responses_socket::serve(exchange, run_message)).await;
    }
    let request = receive::body(exchange, &grant, endpoint).await?;
    run_stages(exchange, &grant, request).await
}

async fn run_stages(
    exchange: &mut Exchange<'_>,
    grant: &Grant,
    mut request: Request,
) -> Result<(), GatewayError> {
    grant.check_other_models(exchange.head, &request)?;
    if request.endpoint == Endpoint::Feedback {
        let local = feedback::apply(exchange, &request)?;
        return local::send_local(exchange, local).await;
    }
    render::render(exchange, &mut request)?;
    screen::screen(exchange, &request)?;
    let cache_writer = match lookup::look_up(exchange, grant, &request).await? {
        LookupOutcome::Hit(hit) => {
            return Box::pin(replay::deliver(exchange, &request, hit)).await;
        }
        LookupOutcome::Miss(cache_writer) => cache_writer,
    };
    let mut tap = ResponseTap::new(cache_writer);
    let mut plan = match route::route(exchange, grant, &request)? {
        route::RouteDecision::Respond(local) => return local::send_local(exchange, local).await,
        route::RouteDecision::Forward(plan) => plan,
    };
    let mut before = None;
    loop {
        let input = (grant, &mut request, before.take());
        let response = forward::forward(exchange, input, plan.as_deref_mut()).await?;
        match (deliver::deliver(exchange, response, &mut tap).await, &mut plan) {
            // Until the first byte has gone to the client another target may do better.
            (Err(failure), Some(plan)) if exchange.may_retry(&failure) => {
                forward::record_outcome(plan, &failure);
                before = Some(failure);
            }
            (delivered, _) => return delivered,
        }
    }
}

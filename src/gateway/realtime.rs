//! `GET /v1/realtime`: a WebSocket between a client and a provider with OpenAI's realtime API.
//!
//! The way there is that of any request: key, route, model, credential, and the provider's refusal is
//! sent on as the HTTP response it is. Once both sides have agreed, their bytes travel as they are, frames
//! unread but for their bounds, the close, the usage that the provider reports, its credential, which is
//! masked, and the models that a client names whose key has a list of them. Neither connection serves
//! anything else, before or after.
//!
//! Absent: WebSocket extensions, which are not offered to the provider; any change of an event.

mod frames;
mod meter;
mod model_check;
mod session;

use crate::base::Instant;
use crate::gateway::context::{
    Body, Endpoint, Exchange, FetchedImages, GatewayError, Grant, Request,
};
use crate::gateway::downstream::head::begin_head;
use crate::gateway::downstream::local::send_local;
use crate::gateway::execute::attempt::Response;
use crate::gateway::execute::forward::forward;
use crate::gateway::realtime::session::RealtimeSession;
use crate::gateway::respond::deliver::send_upstream;
use crate::gateway::respond::tap::ResponseTap;
use crate::gateway::route::{RouteDecision, route};
use crate::gateway::upstream::handshake::{Handshake, requested_model};
use crate::gateway::upstream::redact::Redaction;
use crate::gateway::upstream::request::UpstreamRequest;
use crate::gateway::upstream::response::{Link, UpstreamResponse};
use crate::gateway::upstream::response_fields::write_provider_fields_without_content;
use crate::gateway::worker::Scrutiny;
use crate::http::{end_head, write_field};
use crate::llm::Outline;
use crate::shard::within;

/// Serves one session from its handshake to its end.
pub(crate) async fn relay(exchange: &mut Exchange<'_>, grant: &Grant) -> Result<(), GatewayError> {
    // Whatever comes of it: behind a handshake there may be frames already, which are no requests.
    exchange.record.client.close = true;
    let handshake = Handshake::read(exchange.head)?;
    let mut outline = Outline::default();
    outline.model = requested_model(exchange.head)?;
    // A body that is never sent, so that the model finds its provider as everywhere.
    let body = Body::Json { bytes: bytes::Bytes::new(), outline };
    let mut request = Request {
        endpoint: Endpoint::Realtime,
        body,
        images: FetchedImages::default(),
        as_array: false,
    };
    grant.check_other_models(exchange.head, &request)?;
    let mut plan = match route(exchange, grant, &request)? {
        RouteDecision::Respond(local) => return send_local(exchange, local).await,
        RouteDecision::Forward(plan) => plan,
    };
    let input = (grant, &mut request, None);
    let response = forward(exchange, input, plan.as_deref_mut()).await?;
    let (upstream_request, mut response, _selected) = match response {
        Response::Local(local) => return send_local(exchange, local).await,
        Response::Upstream(upstream_request, response, selected) => {
            (upstream_request, response, selected)
        }
    };
    if let Link::Pooled { reusable, .. } = &mut response.link {
        *reusable = false;
    }
    if response.head.status() != 101 {
        return send_upstream(
            exchange,
            &upstream_request,
            &mut response,
            &mut ResponseTap::default(),
        )
        .await;
    }
    accept(exchange, &upstream_request, &handshake, &response).await?;
    relay_session(exchange, grant, (&upstream_request, response)).await
}

/// Tells the client that the provider has agreed.
async fn accept(
    exchange: &mut Exchange<'_>,
    upstream_request: &UpstreamRequest,
    handshake: &Handshake<'_>,
    response: &UpstreamResponse,
) -> Result<(), GatewayError> {
    let chosen = handshake
        .check_answer(&response.head)
        .map_err(|reason| upstream_request.invalid(reason))?;
    let mut out = begin_head(exchange, 101);
    write_provider_fields_without_content(&mut out, upstream_request, &response.head);
    write_field(&mut out, "upgrade", b"websocket");
    write_field(&mut out, "connection", b"upgrade");
    write_field(&mut out, "sec-websocket-accept", handshake.accept().as_bytes());
    if let Some(protocol) = chosen {
        write_field(&mut out, "sec-websocket-protocol", protocol);
    }
    end_head(&mut out);
    exchange.client.out = exchange.send(out).await?;
    Ok(())
}

/// Lets both sides talk until one ends it.
async fn relay_session(
    exchange: &mut Exchange<'_>,
    grant: &Grant,
    (upstream_request, mut response): (&UpstreamRequest, Box<UpstreamResponse>),
) -> Result<(), GatewayError> {
    let Link::Pooled { pooled, .. } = &mut response.link else { return Ok(()) };
    let begun = Instant::now();
    let session = RealtimeSession::new(exchange, grant, upstream_request);
    let worker = exchange.worker;
    let redaction = Redaction::new(upstream_request, Scrutiny::Close);
    let provider = (&mut pooled.connection, redaction);
    let ended = session.run(worker, exchange.client, provider).await;
    exchange.record.routing.upstream_time += begun.elapsed();
    exchange.record.client.request_bytes += session.from_client.bytes();
    exchange.record.client.response_bytes += session.from_provider.bytes();
    exchange.record.metering.usage = session.usage();
    // The provider first: its session must not continue during a slow write to the client.
    drop(response);
    if let Some(close_frame) = session.close_frame(&ended) {
        let limit = Instant::now().after(session::CLOSE_GRACE);
        // One that does not take it sees its connection end all the same.
        let _ = within(limit, exchange.send(close_frame)).await;
    }
    match session.take_refusal() {
        Some(refusal) => Err(refusal),
        None => ended.outcome(&upstream_request.upstream.provider.name),
    }
}

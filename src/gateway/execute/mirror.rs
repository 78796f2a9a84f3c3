//! Mirrored requests: the responses go to no client; they are recorded, with their cost.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::attempt::Response;
use crate::base::{Instant, RequestId};
use crate::dialects::{Cutter, provider_codec};
use crate::gateway::context::{
    Body, GatewayError, Grant, MIRROR_ENDPOINT, Request, RequestContext, outcome_of_status,
};
use crate::gateway::settle::{cost_at, origin_of_model};
use crate::gateway::upstream::request::UpstreamRequest;
use crate::gateway::upstream::response::{EVENT_BYTES_MAX, UpstreamResponse};
use crate::gateway::worker::Worker;
use crate::http::RequestHead;
use crate::llm::{Chunk, PricingTerms, Usage};
use crate::routing::{ActiveRoute, Plan};
use crate::telemetry::{Counter, RequestEvent};

/// Copies under way on one shard; beyond it none is sent.
const COPIES_MAX: usize = 256;

/// A copy of a request, whose response goes to no client.
pub(crate) struct MirroredRequest {
    pub worker: Rc<Worker>,
    pub head: RequestHead,
    pub grant: Grant,
    pub request: Request,
    active: Arc<ActiveRoute>,
    target: usize,
    mirror_of: RequestId,
    bytes: usize,
}

impl MirroredRequest {
    /// A copy for a target of the route. None for a body that is streamed, and where too many copies are
    /// under way: a comparison must not cost the clients that are served.
    pub(crate) fn start(
        context: &RequestContext<'_>,
        (grant, request): (&Grant, &Request),
        active: &Arc<ActiveRoute>,
        target: usize,
    ) -> Option<Self> {
        let worker = context.worker;
        let bytes = match &request.body {
            Body::Json { bytes, .. } | Body::Form { bytes, .. } => bytes.len(),
            _ => return None,
        };
        if !worker.try_start_mirror(bytes, COPIES_MAX) {
            worker.recorder().count(Counter::MirrorsDropped);
            return None;
        }
        Some(Self {
            worker: Rc::clone(worker),
            head: context.head.clone(),
            grant: grant.clone(),
            request: request.copy(),
            active: Arc::clone(active),
            target,
            mirror_of: context.id,
            bytes,
        })
    }

    /// The plan of its one target.
    pub(crate) fn plan(&self, now: Instant) -> Plan {
        Plan::of_target(Arc::clone(&self.active), self.target, now)
    }

    /// Reads the response and reports the event of the copy.
    pub(crate) async fn finish(
        &self,
        context: &RequestContext<'_>,
        (started, at_unix): (Instant, Duration),
        response: Result<Response, GatewayError>,
    ) {
        let mut event = self.event(started, at_unix);
        match response {
            Ok(Response::Upstream(upstream_request, response, _)) => {
                event.provider_name = Some(Arc::clone(&upstream_request.upstream.name));
                event.request_model.clone_from(&upstream_request.model);
                event.response_status_code = response.head.status();
                event.outcome = outcome_of_status(event.response_status_code, false);
                event.first_byte = Some(started.elapsed());
                event.usage = read_usage(context, &upstream_request, response).await;
                let terms =
                    PricingTerms { at_unix_s: at_unix.as_secs(), ..PricingTerms::default() };
                let target = (&*upstream_request.upstream.name, upstream_request.model.as_deref());
                event.cost =
                    event.usage.map(|usage| cost_at(&context.snapshot, target, usage, terms));
            }
            Ok(Response::Local(_)) => {}
            Err(failure) => {
                let spec = failure.spec();
                (event.outcome, event.error_type) = (spec.outcome, Some(spec.code));
                event.error_cause = failure.cause();
                if matches!(failure, GatewayError::ProviderError { .. }) {
                    event.response_status_code = spec.status;
                }
                if let Some(last) = context.attempts.last() {
                    let record = last.record;
                    (event.provider_name, event.request_model) =
                        (record.provider_name, record.request_model);
                }
            }
        }
        event.latency = started.elapsed();
        event.upstream = event.latency;
        self.worker
            .recorder()
            .finish(event, |provider, model| origin_of_model(&context.snapshot, provider, model));
    }

    fn event(&self, started: Instant, at_unix: Duration) -> RequestEvent {
        RequestEvent {
            id: self.worker.next_id(),
            at_unix,
            shard: self.worker.shard(),
            endpoint: MIRROR_ENDPOINT,
            key: self.grant.key.as_ref().map(|key| Arc::clone(&key.name)),
            route: Some(Arc::from(self.active.route().name.as_str())),
            outcome: outcome_of_status(0, false),
            request_stream: self.request.is_stream(),
            latency: started.elapsed(),
            request_body_size: self.bytes as u64,
            calls: 1,
            mirror_of: Some(self.mirror_of),
            ..RequestEvent::default()
        }
    }
}

impl Drop for MirroredRequest {
    fn drop(&mut self) {
        self.worker.end_mirror(self.bytes);
    }
}

/// Reads a response to its end for its usage.
async fn read_usage(
    context: &RequestContext<'_>,
    upstream_request: &UpstreamRequest,
    mut response: Box<UpstreamResponse>,
) -> Option<Usage> {
    let codec = provider_codec(upstream_request.dialect)?;
    let body = response.keep_whole(context, upstream_request).await.ok()?;
    let is_stream = response.is_stream();
    response.done(upstream_request);
    let scanner = &mut context.worker.scanner();
    if !is_stream {
        return scanner.read(&body, |root| codec.read_answer(root)).ok()??.usage;
    }
    let mut usage: Option<Usage> = None;
    let (mut decoder, mut chunks) = (codec.stream_decoder(), Vec::new());
    let mut cutter = Cutter::new(codec.frame(), EVENT_BYTES_MAX);
    cutter.push(&body);
    // What makes no sense has no usage.
    let _ = cutter.each(|name, data| decoder.event(name, data, scanner, &mut chunks));
    for chunk in chunks {
        if let Chunk::Usage(report) = chunk {
            usage = Some(usage.map_or(report, |before| before.then(report)));
        }
    }
    usage
}

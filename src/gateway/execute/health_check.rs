//! Active health checks: the first shard probes providers, for all shards.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use crate::base::Instant;
use crate::gateway::context::{Body, CallStats, Endpoint, FetchedImages, Request, RequestContext};
use crate::gateway::upstream::call::call;
use crate::gateway::upstream::request::UpstreamRequest;
use crate::gateway::worker::{Upstream, Worker};
use crate::http::{HeadLimits, RequestHead};
use crate::providers::HealthCheck;
use crate::shard::{sleep, spawn, within};
use crate::telemetry::Counter;

/// So often it is looked which checks are due; no interval is shorter.
const TICK: Duration = Duration::from_millis(100);

/// A provider that is not well stays out for so many intervals, unless a check succeeds before.
const INTERVALS_OUT: u32 = 3;

/// Checks all providers that want it, for as long as the shard runs.
pub(crate) async fn run(worker: Rc<Worker>) {
    let mut due: HashMap<String, Instant> = HashMap::new();
    loop {
        let now = Instant::now();
        let snapshot = worker.snapshot();
        for upstream in snapshot.upstreams.iter() {
            let Some(check) = &upstream.provider.check else { continue };
            let next = due.entry(upstream.name.to_string()).or_insert(now);
            if *next <= now {
                *next = now.after(check.interval);
                spawn(check_once(Rc::clone(&worker), Rc::clone(upstream), check.clone()));
            }
        }
        sleep(TICK).await;
    }
}

/// Makes one check.
async fn check_once(worker: Rc<Worker>, upstream: Rc<Upstream>, check: HealthCheck) {
    let status = within(Instant::now().after(check.interval), probe(&worker, &upstream, &check));
    let is_well = matches!(status.await, Ok(Some(200..=299)));
    if !is_well {
        worker.recorder().count(Counter::CheckErrors);
    }
    let wait = check.interval.saturating_mul(INTERVALS_OUT);
    worker.targets().record_check(&upstream.name, is_well, wait, Instant::now());
}

/// The status of the response.
async fn probe(worker: &Rc<Worker>, upstream: &Rc<Upstream>, check: &HealthCheck) -> Option<u16> {
    let mut head = RequestHead::default();
    head.parse(b"GET / HTTP/1.1\r\nhost: ringgate\r\n\r\n", &HeadLimits::default()).ok()??;
    let context = RequestContext::new(worker, &head);
    let upstream_request = UpstreamRequest {
        upstream: Rc::clone(upstream),
        model: None,
        edits: Vec::new(),
        hide_usage: false,
        dialect: upstream.provider.dialect,
        translation: None,
        path: Some(check.path.clone()),
        credential: None,
        is_clients_account: false,
        redactor: None,
        timeouts: upstream.provider.timeouts,
        forward_headers: Vec::new(),
        held: None,
        warnings: None,
    };
    let (endpoint, body) = (Endpoint::PassThrough, Body::Empty);
    let request = Request { endpoint, body, images: FetchedImages::default(), as_array: false };
    let mut response =
        call(&context, &upstream_request, &request, &mut CallStats::default()).await.ok()?;
    let status = response.head.status();
    // Its connection may serve again once the body has been read.
    if response.keep_whole(&context, &upstream_request).await.is_ok() {
        response.done(&upstream_request);
    }
    Some(status)
}

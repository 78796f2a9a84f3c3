//! One client connection of the mock: read a request, wait, answer rightly or wrongly, again.

use std::sync::{Arc, PoisonError};
use std::time::Instant;

use tokio::io::AsyncWriteExt;

use super::answer::write_json;
use super::connection::{Connection, ConnectionReuse, Disconnect};
use super::fault::Fault;
use super::request::{Head, Route};
use super::service::{OpenConnectionGuard, add};
use super::shape;
use crate::wire::Wire;

/// Serves requests until either side closes.
pub async fn serve(wire: Wire, open: OpenConnectionGuard) {
    let mut connection = Connection::new(wire, Arc::clone(&open.0));
    while let Ok(ConnectionReuse::KeepAlive) = connection.request().await {}
    // The peer may be gone already; then there is nothing to end.
    let _ = connection.wire.shutdown().await;
}

impl Connection {
    async fn request(&mut self) -> Result<ConnectionReuse, Disconnect> {
        let Some(head) = self.head().await? else {
            return Ok(ConnectionReuse::Close);
        };
        add(&self.service.counters.requests_started, 1);
        let answered = self.answer(&head).await;
        let counters = &self.service.counters;
        match answered {
            Ok(_) => add(&counters.requests_finished, 1),
            Err(Disconnect) => add(&counters.requests_aborted, 1),
        }
        if head.closes { answered.map(|_| ConnectionReuse::Close) } else { answered }
    }

    async fn answer(&mut self, head: &Head) -> Result<ConnectionReuse, Disconnect> {
        if head.waits_for_continue {
            self.wire.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let plan = match self.plan(head).await? {
            Some(plan) => plan,
            None => {
                self.output.clear();
                let body =
                    shape::error("invalid_request_error", "bad_body", "the body cannot be read");
                write_json(&mut self.output, "400 Bad Request", "connection: close\r\n", &body);
                self.flush().await?;
                return Ok(ConnectionReuse::Close);
            }
        };
        let fault = if head.route == Route::Stats { None } else { self.delay(head).await? };
        self.output.clear();
        match fault {
            None => self.send(plan, head).await,
            Some(fault) => self.send_wrong(plan, head, fault).await,
        }
    }

    /// Waits the latency of this request and returns how it fails, if at all.
    async fn delay(&mut self, head: &Head) -> Result<Option<Fault>, Disconnect> {
        let service = &self.service;
        let (latency, drawn) = {
            let mut random = service.random.lock().unwrap_or_else(PoisonError::into_inner);
            (service.options.latency.sample(&mut random), service.rates.draw(&mut random))
        };
        let latency = head.overrides.latency.unwrap_or(latency);
        if !latency.is_zero() {
            self.wait_until(Instant::now() + latency).await?;
        }
        Ok(head.overrides.fault.or(drawn))
    }
}

//! An error goes to the client.

use crate::gateway::context::{Endpoint, Exchange, GatewayError};
use crate::gateway::downstream::events;
use crate::gateway::downstream::head::{
    BodyFraming, begin_head, finish_head, write_gateway_header,
};
use crate::gateway::upstream::handshake;
use crate::http::{Method, write_field};
use crate::llm::Dialect;

/// Sends an error to the client, if it can still be sent.
pub(crate) async fn send_error(exchange: &mut Exchange<'_>, failure: &GatewayError) {
    let spec = failure.spec();
    if spec.status == 0 {
        exchange.record.client.close = true;
        return;
    }
    if exchange.record.client.has_begun {
        // Half a response has gone out: an event stream ends with an error event, and none ends as
        // if it were complete.
        exchange.record.client.close = true;
        if exchange.record.client.stream {
            let dialect = exchange.record.client_format.dialect;
            let last_events = std::mem::take(&mut exchange.record.client.last_events);
            let events = if exchange.record.client.as_array {
                [b",\r\n", failure.to_json(dialect).as_slice()].concat()
            } else if last_events.is_empty() {
                failure.to_events(stream_dialect(exchange), exchange.record.client.next_event)
            } else {
                last_events
            };
            events::send_events(exchange, events).await;
        }
        return;
    }
    if exchange.record.client.body_unread {
        exchange.record.client.close = true;
    }
    let body = failure.to_json(exchange.record.client_format.dialect);
    let mut out = begin_head(exchange, spec.status);
    write_field(&mut out, "content-type", b"application/json");
    if let Some(wait) = failure.retry_after() {
        let seconds = wait.as_millis().div_ceil(1_000).to_string();
        write_field(&mut out, "retry-after", seconds.as_bytes());
    }
    // An error in a provider's words is the provider's.
    if spec.status >= 500 && !matches!(failure, GatewayError::ProviderError { .. }) {
        write_gateway_header(exchange, &mut out, "gateway-exception", b"true");
    }
    if spec.status == 405 {
        write_field(&mut out, "allow", Endpoint::allowed(exchange.head.path()).as_bytes());
    }
    if spec.status == 426 {
        handshake::write_upgrade_fields(&mut out);
    }
    finish_head(exchange, &mut out, BodyFraming::Length(body.len() as u64));
    if exchange.head.method() != Method::Head {
        out.extend_from_slice(&body);
    }
    // A client that is gone gets no more.
    if let Ok(out) = exchange.send(out).await {
        exchange.client.out = out;
    }
}

/// The dialect of a stream's events.
fn stream_dialect(exchange: &Exchange<'_>) -> Dialect {
    let dialect = exchange.record.endpoint.and_then(Endpoint::chat_dialect);
    dialect.unwrap_or(exchange.record.client_format.dialect)
}

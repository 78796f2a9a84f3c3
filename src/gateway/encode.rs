//! The request as a provider gets it: written anew from what was understood, never copied raw.

use super::fields::{goes_upstream, may_be_forwarded};
use super::receive::{Body, Request};
use super::record::Exchange;
use super::route::{Change, Plan};
use crate::http::{Framing, Method, end_head, write_field, write_length, write_request_line};
use crate::llm::Edit;
use crate::providers::{Origin, Provider, preset};

/// A usual head, and edits, fit into this.
const HEAD_BYTES: usize = 1024;

/// The whole request but for a body that is streamed.
pub(super) fn encode(
    exchange: &mut Exchange<'_>,
    plan: &Plan,
    hops: u32,
    request: &Request,
) -> Vec<u8> {
    let mut out = std::mem::take(&mut exchange.client.out);
    out.clear();
    let body_bytes = match &request.body {
        Body::Json { bytes, .. } => bytes.len(),
        Body::Empty | Body::Streamed { .. } => 0,
    };
    out.reserve(HEAD_BYTES + body_bytes);
    let provider = &plan.upstream.provider;
    write_line(&mut out, exchange, provider);
    write_fields(&mut out, exchange, plan, hops);
    match &request.body {
        Body::Empty => {
            if exchange.head.method() == Method::Post {
                write_length(&mut out, 0);
            }
            end_head(&mut out);
        }
        Body::Streamed { framing: Framing::Length(length), .. } => {
            write_length(&mut out, *length);
            end_head(&mut out);
        }
        Body::Streamed { .. } => {
            write_field(&mut out, "transfer-encoding", b"chunked");
            end_head(&mut out);
        }
        Body::Json { bytes, outline } if plan.changes.is_empty() => {
            let _ = outline;
            write_length(&mut out, bytes.len() as u64);
            end_head(&mut out);
            out.extend_from_slice(bytes);
        }
        Body::Json { bytes, outline } => {
            let edits: Vec<Edit<'_>> = plan.changes.iter().map(Change::edit).collect();
            let mut edited = Vec::with_capacity(bytes.len() + 128);
            outline.splice(bytes, &edits, &mut edited);
            write_length(&mut out, edited.len() as u64);
            end_head(&mut out);
            out.extend_from_slice(&edited);
        }
    }
    out
}

fn write_fields(out: &mut Vec<u8>, exchange: &Exchange<'_>, plan: &Plan, hops: u32) {
    let provider = &plan.upstream.provider;
    let fields = plan.credential.as_ref().unwrap_or(&provider.fields);
    for field in fields {
        // A preset's fixed field, such as a version, gives way to the client's own.
        if !(is_client_chosen(exchange, provider, &field.name)) {
            write_field(out, &field.name, field.value.reveal().as_bytes());
        }
    }
    for (name, value) in exchange.head.fields() {
        let asked = || {
            plan.forward_headers.iter().any(|it| it == name)
                && may_be_forwarded(exchange.head, name)
                && !fields.iter().any(|field| field.name == name)
        };
        let fixed = || {
            fields.iter().any(|field| field.name == name)
                && !is_client_chosen(exchange, provider, name)
        };
        let goes = goes_upstream(name) && !exchange.head.is_hop_by_hop(name) && !fixed();
        if goes || asked() {
            write_field(out, name, value);
        }
    }
    let mut digits = itoa::Buffer::new();
    write_field(out, "x-ringgate-hops", digits.format(hops).as_bytes());
}

impl Change {
    /// The same as the JSON scanner takes it.
    pub(super) fn edit(&self) -> Edit<'_> {
        match self {
            Self::Set { key, json } => Edit::Set { key, json },
            Self::Default { key, json } => Edit::Default { key, json },
        }
    }
}

/// True for a field that the client sent and that is fixed by nobody but the preset.
fn is_client_chosen(exchange: &Exchange<'_>, provider: &Provider, name: &str) -> bool {
    goes_upstream(name)
        && exchange.head.get(name).is_some()
        && provider
            .preset
            .and_then(preset)
            .is_some_and(|preset| preset.headers.keys().any(|known| known == name))
}

fn write_line(out: &mut Vec<u8>, exchange: &Exchange<'_>, provider: &Provider) {
    let Origin::Http(base) = &provider.origin else { return };
    let head = exchange.head;
    // Every path on the line begins with /v1, for which the base URL stands.
    let rest = head.path().strip_prefix("/v1").unwrap_or(head.path());
    match head.query() {
        None => write_request_line(out, head.method(), &[&base.path, rest]),
        Some(query) => write_request_line(out, head.method(), &[&base.path, rest, "?", query]),
    }
    write_field(out, "host", base.authority.as_bytes());
}

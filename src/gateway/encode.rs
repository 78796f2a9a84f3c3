//! The request as a provider gets it: written anew from what was understood, never copied raw.

use std::borrow::Cow;

use super::endpoint::{Endpoint, behind_version};
use super::failure::Failure;
use super::fields::{goes_to_any_dialect, goes_upstream, may_be_forwarded, without_credentials};
use super::realtime;
use super::receive::{Body, Request};
use super::record::Exchange;
use super::route::{Change, Plan};
use super::token::proof;
use crate::http::{Framing, Method, end_head, write_field, write_length, write_request_line};
use crate::llm::{Dialect, Edit};
use crate::providers::{Asked, Origin, Payload, Provider, ProviderField, preset};

/// A usual head, and edits, fit into this.
const HEAD_BYTES: usize = 1024;

/// The field that Anthropic wants with every call, and its only value (API reference, "Versions").
const ANTHROPIC_VERSION: (&str, &[u8]) = ("anthropic-version", b"2023-06-01");

/// The whole request but for a body that is streamed.
pub(super) fn encode(
    exchange: &mut Exchange<'_>,
    plan: &Plan,
    hops: u32,
    request: &Request,
) -> Result<Vec<u8>, Failure> {
    let mut out = std::mem::take(&mut exchange.client.out);
    out.clear();
    if request.endpoint == Endpoint::Realtime {
        realtime::encode(&mut out, exchange, plan, hops)?;
        return Ok(out);
    }
    let body = whole_body(plan, request);
    out.reserve(HEAD_BYTES + body.as_ref().map_or(0, |body| body.len()));
    let proof = write_line(&mut out, exchange, plan, body.as_deref())?;
    write_fields(&mut out, exchange, plan, &proof, hops);
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
        Body::Json { .. } => {
            let body = body.unwrap_or_default();
            write_length(&mut out, body.len() as u64);
            end_head(&mut out);
            out.extend_from_slice(&body);
        }
    }
    Ok(out)
}

/// The body as it is sent, with the edits made; none for one that is streamed.
pub(super) fn whole_body<'r>(plan: &'r Plan, request: &'r Request) -> Option<Cow<'r, [u8]>> {
    if let Some(translation) = &plan.translation {
        return Some(Cow::Borrowed(&translation.body));
    }
    match &request.body {
        Body::Empty => Some(Cow::Borrowed(&[])),
        Body::Streamed { .. } => None,
        Body::Json { bytes, .. } if plan.changes.is_empty() => Some(Cow::Borrowed(bytes)),
        Body::Json { bytes, outline } => {
            let edits: Vec<Edit<'_>> = plan.changes.iter().map(Change::edit).collect();
            let mut edited = Vec::with_capacity(bytes.len() + 128);
            outline.splice(bytes, &edits, &mut edited);
            Some(Cow::Owned(edited))
        }
    }
}

/// The credential, the fields of the client that travel on, and the count of hops.
pub(super) fn write_fields(
    out: &mut Vec<u8>,
    exchange: &Exchange<'_>,
    plan: &Plan,
    proof: &[ProviderField],
    hops: u32,
) {
    let provider = &plan.upstream.provider;
    let fixed = plan.credential.as_ref().unwrap_or(&provider.fields);
    let fields = || fixed.iter().chain(proof);
    for field in fields() {
        // A preset's fixed field, such as a version, gives way to the client's own.
        if !(is_client_chosen(exchange, provider, &field.name)) {
            write_field(out, &field.name, field.value.reveal().as_bytes());
        }
    }
    for (name, value) in exchange.head.fields() {
        let asked = || {
            plan.forward_headers.iter().any(|it| it == name)
                && may_be_forwarded(exchange.head, name)
                && !fields().any(|field| field.name == name)
        };
        let fixed = || {
            fields().any(|field| field.name == name) && !is_client_chosen(exchange, provider, name)
        };
        let goes = (plan.translation.is_none() || goes_to_any_dialect(name))
            && goes_upstream(name)
            && !exchange.head.is_hop_by_hop(name)
            && !fixed();
        if goes || asked() {
            write_field(out, name, value);
        }
    }
    if plan.translation.is_some() {
        write_field(out, "content-type", b"application/json");
    }
    // Vendors refuse calls in Anthropic's dialect without it.
    let has_version = || fields().any(|field| field.name == ANTHROPIC_VERSION.0);
    let is_sent = plan.translation.is_none() && exchange.head.get(ANTHROPIC_VERSION.0).is_some();
    if plan.dialect == Dialect::AnthropicMessages && !is_sent && !has_version() {
        write_field(out, ANTHROPIC_VERSION.0, ANTHROPIC_VERSION.1);
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
            Self::Remove { key } => Edit::Remove { key },
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

/// The request line and the host; gives the fields that prove who calls, which may depend on both.
fn write_line(
    out: &mut Vec<u8>,
    exchange: &Exchange<'_>,
    plan: &Plan,
    body: Option<&[u8]>,
) -> Result<Vec<ProviderField>, Failure> {
    let provider = &plan.upstream.provider;
    let Origin::Http(base) = &provider.origin else { return Ok(Vec::new()) };
    let (head, record) = (exchange.head, &exchange.record);
    // Every path on the line begins with a version, for which the base URL stands.
    let own = behind_version(head.path()).unwrap_or(head.path());
    let path = plan.path.as_deref().unwrap_or(own);
    let query = head.query().filter(|_| plan.path.is_none());
    let query = query.map(|query| match record.dialled.dialect {
        Dialect::Gemini => Cow::Owned(without_credentials(query)),
        _ => Cow::Borrowed(query),
    });
    let query = query.filter(|query| !query.is_empty());
    let asked = Asked { path, model: record.model.as_deref(), stream: record.stream };
    let path = provider.path(&asked);
    let separator = match &query {
        None => "",
        Some(_) if path.contains('?') => "&",
        Some(_) => "?",
    };
    let target = [&base.path, &*path, separator, query.as_deref().unwrap_or_default()];
    write_request_line(out, head.method(), &target);
    write_field(out, "host", base.authority.as_bytes());
    proof(head, plan, base, &target, body.map_or(Payload::Streamed, Payload::Whole))
}

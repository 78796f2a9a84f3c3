//! The request as a provider gets it: written anew from what was understood, never copied raw.

use std::borrow::Cow;

use super::asker::Asker;
use super::endpoint::Endpoint;
use super::failure::Failure;
use super::fields::{
    ClientField, client_fields, client_path, client_query, goes_to_any_dialect, goes_upstream,
    may_be_forwarded, query_parameters, without_parameters,
};
use super::prepare::{Attempt, Change};
use super::realtime;
use super::receive::{Body, Request};
use super::token::proof;
use crate::http::{Framing, Method, end_head, write_field, write_length, write_request_line};
use crate::llm::{Dialect, Edit};
use crate::providers::{Asked, Origin, Payload, Provider, ProviderField, preset};

/// A usual head, and edits, fit into this.
const HEAD_BYTES: usize = 1024;

/// Gateways a request may have passed; more is a loop.
const HOPS_MAX: u32 = 8;

/// The field that Anthropic wants with every call, and its only value (API reference, "Versions").
const ANTHROPIC_VERSION: (&str, &[u8]) = ("anthropic-version", b"2023-06-01");

/// The whole request but for a body that is streamed.
pub(super) fn encode(
    mut out: Vec<u8>,
    asker: &Asker<'_>,
    attempt: &Attempt,
    request: &Request,
) -> Result<Vec<u8>, Failure> {
    let hops = count_hops(asker)?;
    out.clear();
    if request.endpoint == Endpoint::Realtime {
        realtime::encode(&mut out, asker, attempt, hops)?;
        return Ok(out);
    }
    let body = whole_body(attempt, request);
    out.reserve(HEAD_BYTES + body.as_ref().map_or(0, |body| body.len()));
    let proof = write_line(&mut out, asker, (attempt, request), body.as_deref())?;
    write_fields(&mut out, asker, attempt, &proof, hops);
    match &request.body {
        Body::Empty => {
            if asker.head.method() == Method::Post {
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
pub(super) fn whole_body<'r>(attempt: &'r Attempt, request: &'r Request) -> Option<Cow<'r, [u8]>> {
    if let Some(translation) = &attempt.translation {
        return Some(Cow::Borrowed(&translation.body));
    }
    match &request.body {
        Body::Empty => Some(Cow::Borrowed(&[])),
        Body::Streamed { .. } => None,
        Body::Json { bytes, .. } if attempt.changes.is_empty() => Some(Cow::Borrowed(bytes)),
        Body::Json { bytes, outline } => {
            let edits: Vec<Edit<'_>> = attempt.changes.iter().map(Change::edit).collect();
            let mut edited = Vec::with_capacity(bytes.len() + 128);
            outline.splice(bytes, &edits, &mut edited);
            Some(Cow::Owned(edited))
        }
    }
}

/// The credential, the fields of the client that travel on, and the count of hops.
pub(super) fn write_fields(
    out: &mut Vec<u8>,
    asker: &Asker<'_>,
    attempt: &Attempt,
    proof: &[ProviderField],
    hops: u32,
) {
    let provider = &attempt.upstream.provider;
    let fixed = attempt.credential.as_ref().unwrap_or(&provider.fields);
    let fields = || fixed.iter().chain(proof);
    for field in fields() {
        // A preset's fixed field, such as a version, gives way to the client's own.
        if !(is_client_chosen(asker, provider, &field.name)) {
            write_field(out, &field.name, field.value.reveal().as_bytes());
        }
    }
    let is_named = |name: &str| attempt.forward_headers.iter().any(|it| it == name);
    for ClientField { name, value, is_listed, selects_account } in
        client_fields(asker.head, is_named)
    {
        let is_set = || fields().any(|field| field.name == name);
        let goes = is_listed
            && (attempt.translation.is_none() || goes_to_any_dialect(name))
            && (!is_set() || is_client_chosen(asker, provider, name));
        let may_go = !selects_account || attempt.is_clients_account;
        if may_go && (goes || is_named(name) && may_be_forwarded(asker.head, name) && !is_set()) {
            write_field(out, name, value);
        }
    }
    if attempt.translation.is_some() {
        write_field(out, "content-type", b"application/json");
    }
    // Vendors refuse calls in Anthropic's dialect without it.
    let has_version = || fields().any(|field| field.name == ANTHROPIC_VERSION.0);
    let is_sent = attempt.translation.is_none() && asker.head.get(ANTHROPIC_VERSION.0).is_some();
    if attempt.dialect == Dialect::AnthropicMessages && !is_sent && !has_version() {
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
fn is_client_chosen(asker: &Asker<'_>, provider: &Provider, name: &str) -> bool {
    goes_upstream(name)
        && asker.head.get(name).is_some()
        && provider
            .preset
            .and_then(preset)
            .is_some_and(|preset| preset.headers.keys().any(|known| known == name))
}

/// How many gateways the request will have passed.
fn count_hops(asker: &Asker<'_>) -> Result<u32, Failure> {
    let hops = asker.head.get("x-ringgate-hops").and_then(|value| {
        std::str::from_utf8(value).ok().and_then(|text| text.parse::<u32>().ok())
    });
    match hops.unwrap_or(0).saturating_add(1) {
        hops if hops <= HOPS_MAX => Ok(hops),
        _ => Err(Failure::Invalid(
            "the request has passed too many gateways: a provider's base_url leads back here"
                .into(),
        )),
    }
}

/// The request line and the host; gives the fields that prove who calls, which may depend on both.
fn write_line(
    out: &mut Vec<u8>,
    asker: &Asker<'_>,
    (attempt, request): (&Attempt, &Request),
    body: Option<&[u8]>,
) -> Result<Vec<ProviderField>, Failure> {
    let provider = &attempt.upstream.provider;
    let Origin::Http(base) = &provider.origin else { return Ok(Vec::new()) };
    let head = asker.head;
    let path = attempt.path.as_deref().unwrap_or_else(|| client_path(head));
    let asked = Asked { path, model: attempt.model.as_deref(), stream: request.is_stream() };
    let path = provider.path(&asked);
    let query = client_query(head, Some(request.endpoint)).filter(|_| attempt.path.is_none());
    // What the provider's own path says already, such as the version of the API, is said once.
    let query = match path.split_once('?') {
        Some((_, set)) => {
            let is_set = |name: &str| query_parameters(set).any(|(known, _)| known == name);
            query.map(|query| without_parameters(query, is_set))
        }
        None => query,
    };
    let query = query.filter(|query| !query.is_empty());
    let separator = match &query {
        None => "",
        Some(_) if path.contains('?') => "&",
        Some(_) => "?",
    };
    let target = [&base.path, &*path, separator, query.as_deref().unwrap_or_default()];
    write_request_line(out, head.method(), &target);
    write_field(out, "host", base.authority.as_bytes());
    proof(head, attempt, base, &target, body.map_or(Payload::Streamed, Payload::Whole))
}

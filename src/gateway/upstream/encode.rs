//! The request as it is sent to a provider: encoded from its parsed parts, never copied raw.

use std::borrow::Cow;

use bytes::Bytes;

use super::auth::auth_fields;
use super::edits::BodyEdit;
use super::request::UpstreamRequest;
use super::request_fields::write_fields;
use super::{form_edits, handshake};
use crate::gateway::context::{
    Body, Endpoint, GatewayError, MemoryReservation, Request, RequestContext, client_path,
    client_query, query_parameters, without_parameters,
};
use crate::http::{Framing, Method, end_head, write_field, write_length, write_request_line};
use crate::providers::{Origin, PathParts, Payload, ProviderField};

/// A usual head, and edits, fit into this.
const HEAD_BYTES: usize = 1024;

/// Gateways a request may have passed; more is a loop.
const HOPS_MAX: u32 = 8;

/// Longest body that is copied behind the head, in bytes, to go out in one write; the copy of a longer one
/// costs more than a second write does.
pub(crate) const COPIED_BODY_BYTES_MAX: usize = 64 * 1024;

/// A request as it goes out, but for a body that is streamed.
pub(crate) struct EncodedRequest {
    /// The head, and a short body behind it.
    pub head: Vec<u8>,
    /// A longer body; attempts that send the same share it.
    pub body: Bytes,
    /// For a body that was edited, and is this attempt's alone.
    held: Option<MemoryReservation>,
}

impl EncodedRequest {
    /// Both parts, and what has to live until they are sent.
    pub(crate) fn into_parts(self) -> (Vec<u8>, Bytes, Option<MemoryReservation>) {
        (self.head, self.body, self.held)
    }
}

/// The whole request but for a body that is streamed; `out` is an allocation for it.
pub(crate) fn encode(
    mut out: Vec<u8>,
    context: &RequestContext<'_>,
    upstream_request: &UpstreamRequest,
    request: &Request,
) -> Result<EncodedRequest, GatewayError> {
    let hops = count_hops(context)?;
    out.clear();
    if request.endpoint == Endpoint::Realtime {
        handshake::encode(&mut out, context, upstream_request, hops)?;
        return Ok(EncodedRequest { head: out, body: Bytes::new(), held: None });
    }
    let is_edited = upstream_request.translation.is_none() && !upstream_request.edits.is_empty();
    let held =
        if is_edited { Some(context.reserve_for_attempt(request.body_bytes())?) } else { None };
    let body = whole_body(upstream_request, request);
    let length = body.as_ref().map_or(0, |body| body.len());
    let copied = if length > COPIED_BODY_BYTES_MAX { 0 } else { length };
    out.reserve(HEAD_BYTES + copied);
    let proof = write_line(&mut out, context, (upstream_request, request), body.as_deref())?;
    write_fields(&mut out, context, upstream_request, &proof, hops);
    match &request.body {
        Body::Empty => {
            if context.head.method() == Method::Post {
                write_length(&mut out, 0);
            }
            end_head(&mut out);
        }
        Body::Streamed { framing, form, .. } => {
            match form_edits::framing_after(*framing, form.as_deref(), &upstream_request.edits) {
                Framing::Length(length) => write_length(&mut out, length),
                _ => write_field(&mut out, "transfer-encoding", b"chunked"),
            }
            end_head(&mut out);
        }
        Body::Json { bytes, .. } | Body::Form { bytes, .. } => {
            let body = body.unwrap_or_default();
            write_length(&mut out, body.len() as u64);
            end_head(&mut out);
            if body.len() > COPIED_BODY_BYTES_MAX {
                let body = match (body, &upstream_request.translation) {
                    (Cow::Owned(edited), _) => edited.into(),
                    (Cow::Borrowed(_), Some(translation)) => translation.body.clone(),
                    (Cow::Borrowed(_), None) => bytes.clone(),
                };
                return Ok(EncodedRequest { head: out, body, held });
            }
            out.extend_from_slice(&body);
        }
    }
    Ok(EncodedRequest { head: out, body: Bytes::new(), held })
}

/// The body as it is sent, with the edits made; none for one that is streamed.
pub(crate) fn whole_body<'r>(
    upstream_request: &'r UpstreamRequest,
    request: &'r Request,
) -> Option<Cow<'r, [u8]>> {
    if let Some(translation) = &upstream_request.translation {
        return Some(Cow::Borrowed(&translation.body));
    }
    match &request.body {
        Body::Empty => Some(Cow::Borrowed(&[])),
        Body::Streamed { .. } => None,
        Body::Form { bytes, form } => {
            Some(form_edits::edited(form, bytes, &upstream_request.edits))
        }
        Body::Json { bytes, .. } if upstream_request.edits.is_empty() => Some(Cow::Borrowed(bytes)),
        Body::Json { bytes, outline } => {
            let mut edited = Vec::with_capacity(bytes.len() + 128);
            outline.splice(bytes, &BodyEdit::json_edits(&upstream_request.edits), &mut edited);
            Some(Cow::Owned(edited))
        }
    }
}

/// How many gateways the request will have passed.
fn count_hops(context: &RequestContext<'_>) -> Result<u32, GatewayError> {
    let hops = context.head.get("x-ringgate-hops").and_then(|value| {
        std::str::from_utf8(value).ok().and_then(|text| text.parse::<u32>().ok())
    });
    match hops.unwrap_or(0).saturating_add(1) {
        hops if hops <= HOPS_MAX => Ok(hops),
        _ => Err(GatewayError::Invalid(
            "the request has passed too many gateways: a provider's base_url leads back here"
                .into(),
        )),
    }
}

/// The request line and the host; gives the fields that authenticate the caller, which may depend on both.
fn write_line(
    out: &mut Vec<u8>,
    context: &RequestContext<'_>,
    (upstream_request, request): (&UpstreamRequest, &Request),
    body: Option<&[u8]>,
) -> Result<Vec<ProviderField>, GatewayError> {
    let provider = &upstream_request.upstream.provider;
    let Origin::Http(base) = &provider.origin else { return Ok(Vec::new()) };
    let head = context.head;
    let path = upstream_request.path.as_deref().unwrap_or_else(|| client_path(head));
    let parts =
        PathParts { path, model: upstream_request.model.as_deref(), stream: request.is_stream() };
    let path = provider.path(&parts);
    let query =
        client_query(head, Some(request.endpoint)).filter(|_| upstream_request.path.is_none());
    // What the provider's own path has already, such as the version of the API, is not repeated.
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
    auth_fields(
        head,
        upstream_request,
        base,
        &target,
        body.map_or(Payload::Streamed, Payload::Whole),
    )
}

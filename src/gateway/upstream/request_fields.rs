//! The header fields of a request to a provider.

use super::request::UpstreamRequest;
use crate::gateway::context::{
    ClientField, RequestContext, client_fields, goes_to_any_dialect, goes_upstream,
    may_be_forwarded,
};
use crate::http::{write_field, write_read_field};
use crate::llm::Dialect;
use crate::providers::{Provider, ProviderField, preset};

/// The credential, the fields of the client that travel on, and the count of hops.
pub(crate) fn write_fields(
    out: &mut Vec<u8>,
    context: &RequestContext<'_>,
    upstream_request: &UpstreamRequest,
    proof: &[ProviderField],
    hops: u32,
) {
    let provider = &upstream_request.upstream.provider;
    let fixed = upstream_request.credential.as_ref().unwrap_or(&provider.fields);
    let fields = || fixed.iter().chain(proof);
    for field in fields() {
        // A preset's fixed field, such as a version, gives way to the client's own.
        if !(is_client_chosen(context, provider, &field.name)) {
            write_field(out, &field.name, field.value.reveal().as_bytes());
        }
    }
    let is_named = |name: &str| upstream_request.forward_headers.iter().any(|it| it == name);
    for ClientField { name, value, is_listed, selects_account } in
        client_fields(context.head, is_named)
    {
        let is_set = || fields().any(|field| field.name == name);
        let goes = is_listed
            && (upstream_request.translation.is_none() || goes_to_any_dialect(name))
            && (!is_set() || is_client_chosen(context, provider, name));
        let may_go = !selects_account || upstream_request.is_clients_account;
        if may_go && (goes || is_named(name) && may_be_forwarded(context.head, name) && !is_set()) {
            write_read_field(out, name, value);
        }
    }
    if upstream_request.translation.is_some() {
        write_field(out, "content-type", b"application/json");
    }
    // Vendors refuse calls in Anthropic's dialect without it.
    let has_version = || fields().any(|field| field.name == ANTHROPIC_VERSION.0);
    let is_sent =
        upstream_request.translation.is_none() && context.head.get(ANTHROPIC_VERSION.0).is_some();
    if upstream_request.dialect == Dialect::AnthropicMessages && !is_sent && !has_version() {
        write_field(out, ANTHROPIC_VERSION.0, ANTHROPIC_VERSION.1);
    }
    let mut digits = itoa::Buffer::new();
    write_field(out, "x-ringgate-hops", digits.format(hops).as_bytes());
}

/// True for a field that the client sent and only the preset sets.
fn is_client_chosen(context: &RequestContext<'_>, provider: &Provider, name: &str) -> bool {
    goes_upstream(name)
        && context.head.get(name).is_some()
        && provider
            .preset
            .and_then(preset)
            .is_some_and(|preset| preset.headers.keys().any(|known| known == name))
}

/// The field that Anthropic wants with every call, and its only value (API reference, "Versions").
const ANTHROPIC_VERSION: (&str, &[u8]) = ("anthropic-version", b"2023-06-01");

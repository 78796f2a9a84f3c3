//! The fields of a provider's response that go on to the client.

use super::request::UpstreamRequest;
use crate::gateway::context::goes_downstream;
use crate::gateway::worker::Scrutiny;
use crate::http::{ResponseHead, write_read_field};

/// The provider's fields that travel on; credentials in them are masked.
pub(crate) fn write_provider_fields(
    out: &mut Vec<u8>,
    upstream_request: &UpstreamRequest,
    head: &ResponseHead,
) {
    let begin = out.len();
    for (name, value) in head.fields() {
        if goes_downstream(name) && !head.is_hop_by_hop(name) {
            write_read_field(out, name, value);
        }
    }
    mask_fields(out, begin, (upstream_request, head));
}

fn mask_fields(
    out: &mut [u8],
    begin: usize,
    (upstream_request, head): (&UpstreamRequest, &ResponseHead),
) {
    let written = out.get_mut(begin..).unwrap_or_default();
    upstream_request.mask(written, Scrutiny::of_status(head.status()));
}

/// The same without the fields that describe the body, which is encoded again.
pub(crate) fn write_provider_fields_without_content(
    out: &mut Vec<u8>,
    upstream_request: &UpstreamRequest,
    head: &ResponseHead,
) {
    const FORM: [&str; 9] = [
        "accept-ranges",
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-range",
        "content-type",
        "etag",
        "last-modified",
    ];
    let begin = out.len();
    for (name, value) in head.fields() {
        if goes_downstream(name) && !head.is_hop_by_hop(name) && !FORM.contains(&name) {
            write_read_field(out, name, value);
        }
    }
    mask_fields(out, begin, (upstream_request, head));
}

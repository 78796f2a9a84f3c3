//! The client's request in no dialect, and the codecs of both sides.

use std::sync::Arc;

use super::edits::BodyEdit;
use super::resolve::ResolvedProvider;
use crate::dialects::{
    ClientCodec, CompletionsError, ProviderCodec, RequestPath, Warnings, client_codec,
    provider_codec, read_completions_request,
};
use crate::gateway::context::{Body, GatewayError, Request, RequestContext};
use crate::llm::{ChatRequest, Dialect, Node};

/// The body of the request with `edits` made to it, as `read` takes it.
pub(crate) fn read_with<T>(
    context: &RequestContext<'_>,
    request: &Request,
    edits: &[BodyEdit],
    read: impl FnOnce(Node<'_>, &RequestPath<'_>) -> Result<T, GatewayError>,
) -> Result<T, GatewayError> {
    let Body::Json { bytes, outline } = &request.body else {
        return Err(GatewayError::Invalid("this request has no body".into()));
    };
    let mut edited = Vec::new();
    let body = if edits.is_empty() {
        bytes
    } else {
        outline.splice(bytes, &BodyEdit::json_edits(edits), &mut edited);
        &edited[..]
    };
    let path = RequestPath { model: outline.model.as_deref(), stream: outline.stream };
    let mut scanner = context.worker.scanner();
    scanner.read(body, |root| read(root, &path)).map_err(GatewayError::Json)?
}

/// The request in no dialect, with `edits` made to it.
pub(crate) fn read(
    context: &RequestContext<'_>,
    request: &Request,
    edits: &[BodyEdit],
    client: &dyn ClientCodec,
) -> Result<ChatRequest, GatewayError> {
    read_with(context, request, edits, |root, path| {
        client.read_request(root, path).map_err(GatewayError::Malformed)
    })
}

pub(crate) fn read_completion(
    context: &RequestContext<'_>,
    request: &Request,
    edits: &[BodyEdit],
) -> Result<ChatRequest, GatewayError> {
    read_with(context, request, edits, |root, _| {
        read_completions_request(root).map_err(|error| match error {
            CompletionsError::Malformed(error) => GatewayError::Malformed(error),
            CompletionsError::Unsupported(error) => GatewayError::Unsupported(error),
        })
    })
}

/// The code of both dialects, in which errors are read and written.
pub(crate) fn codecs(
    (client, provider): (Dialect, Dialect),
    resolved: &ResolvedProvider,
) -> Result<(&'static dyn ClientCodec, &'static dyn ProviderCodec), GatewayError> {
    let codec = provider_codec(provider).ok_or_else(|| untranslatable(resolved, provider))?;
    Ok((client_codec(client), codec))
}

/// The request of that path cannot be translated for the provider.
pub(crate) fn untranslatable(resolved: &ResolvedProvider, provider: Dialect) -> GatewayError {
    let text = format!(
        "provider `{}` speaks {}, which this path cannot be translated to",
        resolved.upstream.name,
        provider.name()
    );
    GatewayError::Invalid(text.into())
}

/// The warnings for the response's head.
pub(crate) fn warnings_header(warnings: &Warnings) -> Option<Arc<str>> {
    (!warnings.is_empty()).then(|| warnings.header().into())
}

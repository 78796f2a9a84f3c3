//! The translation of a request from one dialect into another.
//!
//! Conversations are here, older completions among them, which become one; embeddings and ranks are in
//! `vectors`.

use super::client_request::{codecs, read_completion, warnings_header};
use super::edits::{BodyEdit, edited, vendor_edits};
use super::resolve::ResolvedProvider;
use super::translation::{ChatTranslation, ResponseFormat, ResponseTranslation, Translation};
use super::vectors::VectorCall;
use super::{stored_responses, vectors};
use crate::dialects::{
    AdaptedRequest, TargetModel, ToolNames, Unsupported, Warnings, adapt, set_cache_points,
};
use crate::gateway::context::{Body, Endpoint, GatewayError, Request, RequestContext};
use crate::llm::{ChatRequest, Dialect, unsupported_input};

/// Translates the request into the dialect of its provider.
pub(crate) fn translate(
    context: &RequestContext<'_>,
    request: &Request,
    edits: &[BodyEdit],
    (client, provider): (Dialect, Dialect),
    resolved: &ResolvedProvider,
) -> Result<Translation, GatewayError> {
    let call = match request.endpoint {
        Endpoint::Embeddings | Endpoint::EmbedContent => {
            vectors::embeddings(context, request, edits, (client, provider), resolved)?
        }
        Endpoint::Rerank => vectors::rerank(context, request, edits, provider, resolved)?,
        _ => return chat(context, request, edits, (client, provider), resolved),
    };
    let VectorCall { path, body, warnings, translation } = call;
    let response = ResponseTranslation::Vectors(translation);
    Ok(Translation { path, body: body.into(), warnings: warnings_header(&warnings), response })
}

fn chat(
    context: &RequestContext<'_>,
    request: &Request,
    edits: &[BodyEdit],
    dialects: (Dialect, Dialect),
    resolved: &ResolvedProvider,
) -> Result<Translation, GatewayError> {
    let upstream = &resolved.upstream;
    let model = resolved.model.as_deref().unwrap_or_default();
    let (client, provider) = codecs(dialects, resolved)?;
    let (mut chat_request, format) = match request.endpoint {
        Endpoint::Completions => {
            (read_completion(context, request, edits)?, ResponseFormat::Completion)
        }
        _ => {
            let format = if request.as_array { ResponseFormat::Array } else { ResponseFormat::Own };
            (stored_responses::read(context, request, edits, client)?, format)
        }
    };
    request.images.replace_urls(&mut chat_request);
    check_abilities(context, &chat_request, &upstream.name, model)?;
    let rules = context.rules(&upstream.provider, dialects.1, model);
    let target = TargetModel::new(model, upstream.provider.is_original()).with_rules(&rules);
    set_cache_points(&mut chat_request, dialects.1, &target);
    let mut warnings = Warnings::default();
    let mut body = Vec::with_capacity(capacity(request));
    let tool_names = if dialects.0 == dialects.1 && format == ResponseFormat::Own {
        // Only the response is translated.
        write_own_body(request, edits, &mut body);
        ToolNames::default()
    } else {
        let AdaptedRequest { request: fit, tool_names } =
            adapt(&chat_request, dialects.1, &target, &mut warnings);
        let written = provider.write_request(&fit, &target, &mut warnings, &mut body);
        written.map_err(GatewayError::Unsupported)?;
        tool_names
    };
    let body = edited(body, &vendor_edits(request, resolved))?;
    let path = provider.path(&target, chat_request.stream);
    let stored_input = stored_responses::stored_input(request, &chat_request);
    Ok(Translation {
        path,
        body: body.into(),
        warnings: warnings_header(&warnings),
        response: ResponseTranslation::Chat(ChatTranslation {
            client,
            provider,
            stored_input,
            request: chat_request,
            format,
            tool_names,
        }),
    })
}

/// Refuses what the model is known to be unable to read, since vendors answer as if it were not there.
fn check_abilities(
    context: &RequestContext<'_>,
    request: &ChatRequest,
    provider: &str,
    model: &str,
) -> Result<(), GatewayError> {
    let snapshot = &context.snapshot;
    let Some(card) = snapshot.model_info.find(&snapshot.settings.providers, provider, model) else {
        return Ok(());
    };
    unsupported_input(request, &card).map_or(Ok(()), |what| {
        let why = "the catalogue has it as a model of text only (`abilities` under [catalogue] \
                   says otherwise)";
        Err(GatewayError::Unsupported(Unsupported::new(what, why)))
    })
}

/// Appends the client's own body with `edits` made to it.
fn write_own_body(request: &Request, edits: &[BodyEdit], out: &mut Vec<u8>) {
    match &request.body {
        Body::Json { bytes, .. } if edits.is_empty() => out.extend_from_slice(bytes),
        Body::Json { bytes, outline } => outline.splice(bytes, &BodyEdit::json_edits(edits), out),
        _ => {}
    }
}

/// Room for the request in another dialect: they differ in their names more than in their length.
fn capacity(request: &Request) -> usize {
    let bytes = match &request.body {
        Body::Json { bytes, .. } => bytes.len(),
        _ => 0,
    };
    bytes.saturating_add(512)
}

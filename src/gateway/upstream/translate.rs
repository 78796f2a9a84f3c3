//! The translation of a request from one dialect into another.
//!
//! Conversations are here, older completions among them, which become one; embeddings and ranks are in
//! `shapes`.

use std::sync::Arc;

use bytes::Bytes;

use super::edits::{BodyEdit, vendor_edits};
use super::resolve::ResolvedProvider;
use super::stored_responses::StoredInput;
use super::vectors::VectorTranslation;
use super::{stored_responses, vectors};
use crate::dialects::{
    AdaptedRequest, ClientCodec, CompletionsError, ProviderCodec, RequestPath, StreamEncoder,
    TargetModel, ToolNames, Unsupported, Warnings, adapt, client_codec, completions_encoder,
    gemini_array_encoder, provider_codec, read_completions_request, set_cache_points,
    write_completions_answer,
};
use crate::gateway::context::{Body, Endpoint, GatewayError, Request, RequestContext};
use crate::http::ResponseHead;
use crate::llm::{Answer, ChatRequest, Dialect, Node, Usage, unsupported_input};

/// A request as its provider takes it, and what the translation of the response needs.
pub(crate) struct Translation {
    /// Behind the provider's base URL, query included.
    pub path: String,
    /// As the provider takes it.
    pub body: Bytes,
    /// What was lost, for the response's head.
    pub warnings: Option<Arc<str>>,
    pub response: ResponseTranslation,
}

/// What the translation of a response needs.
#[expect(clippy::large_enum_variant, reason = "there is one for a request, in a box of its own")]
pub(crate) enum ResponseTranslation {
    /// Of a conversation.
    Chat(ChatTranslation),
    /// Of embeddings or ranks.
    Vectors(VectorTranslation),
}

/// A conversation that is translated.
pub(crate) struct ChatTranslation {
    /// Of the client.
    pub client: &'static dyn ClientCodec,
    /// Of the provider.
    pub provider: &'static dyn ProviderCodec,
    /// The request, in no dialect.
    pub request: ChatRequest,
    /// How the client gets the answer.
    pub format: ResponseFormat,
    /// Tools that the provider knows by another name.
    pub tool_names: ToolNames,
    /// What is kept with the answer, where it is.
    pub stored_input: Option<StoredInput>,
}

/// The form in which a client gets an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResponseFormat {
    /// That of its dialect.
    Own,
    /// See [`Request::as_array`].
    Array,
    /// OpenAI's older completion.
    Completion,
}

impl Translation {
    /// True if other calls follow the one at hand.
    pub(crate) fn has_more_batches(&self) -> bool {
        matches!(&self.response, ResponseTranslation::Vectors(vectors) if vectors.has_more_batches())
    }

    /// Takes the answer to the call at hand, prepares the next, and gives the usage so far. None if it is
    /// no answer.
    pub(crate) fn next_batch(
        &mut self,
        context: &RequestContext<'_>,
        answer: (&ResponseHead, &[u8]),
    ) -> Option<Option<Usage>> {
        let ResponseTranslation::Vectors(vectors) = &mut self.response else { return None };
        let (body, used) = vectors.next_batch(context, answer)?;
        self.body = body.into();
        Some(used)
    }
}

impl ChatTranslation {
    /// A writer of the client's stream.
    pub(crate) fn stream_encoder(&self, now_unix: u64) -> Box<dyn StreamEncoder> {
        match self.format {
            ResponseFormat::Own => self.client.stream_encoder(&self.request, now_unix),
            ResponseFormat::Array => gemini_array_encoder(&self.request),
            ResponseFormat::Completion => completions_encoder(&self.request, now_unix),
        }
    }

    /// Appends a whole answer as the client expects it.
    pub(crate) fn write_answer(&self, answer: &Answer, now_unix: u64, out: &mut Vec<u8>) {
        match self.format {
            ResponseFormat::Completion => write_completions_answer(answer, now_unix, out),
            _ => self.client.write_answer(answer, &self.request, now_unix, out),
        }
    }
}

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

fn read_completion(
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

/// Translates the request into the dialect of its provider.
pub(crate) fn translate(
    context: &RequestContext<'_>,
    request: &Request,
    edits: &[BodyEdit],
    (client, provider): (Dialect, Dialect),
    resolved: &ResolvedProvider,
) -> Result<Translation, GatewayError> {
    match request.endpoint {
        Endpoint::Embeddings | Endpoint::EmbedContent => {
            vectors::embeddings(context, request, edits, (client, provider), resolved)
        }
        Endpoint::Rerank => vectors::rerank(context, request, edits, provider, resolved),
        _ => chat(context, request, edits, (client, provider), resolved),
    }
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
        // The answer alone is written anew.
        write_own_body(request, edits, &mut body);
        ToolNames::default()
    } else {
        let AdaptedRequest { request: fit, tool_names } =
            adapt(&chat_request, dialects.1, &target, &mut warnings);
        let written = provider.write_request(&fit, &target, &mut warnings, &mut body);
        written.map_err(GatewayError::Unsupported)?;
        tool_names
    };
    let body = edited(context, body, &vendor_edits(request, resolved))?;
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

/// The code of both dialects, in which errors are read and written.
pub(crate) fn codecs(
    (client, provider): (Dialect, Dialect),
    resolved: &ResolvedProvider,
) -> Result<(&'static dyn ClientCodec, &'static dyn ProviderCodec), GatewayError> {
    let codec = provider_codec(provider).ok_or_else(|| untranslatable(resolved, provider))?;
    Ok((client_codec(client), codec))
}

/// The provider does not speak what the client of that path does, nor anything like it.
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

/// Refuses what the model is known to be unable to read, since vendors answer as if it were not there.
fn check_abilities(
    context: &RequestContext<'_>,
    request: &ChatRequest,
    provider: &str,
    model: &str,
) -> Result<(), GatewayError> {
    let snapshot = &context.snapshot;
    let Some(card) = snapshot.model_info.find(&snapshot.settings, provider, model) else {
        return Ok(());
    };
    unsupported_input(request, &card).map_or(Ok(()), |what| {
        let why = "the catalogue has it as a model of text only (`abilities` under [catalogue] \
                   says otherwise)";
        Err(GatewayError::Unsupported(Unsupported::new(what, why)))
    })
}

/// The body with the edits of its vendor.
pub(crate) fn edited(
    context: &RequestContext<'_>,
    body: Vec<u8>,
    edits: &[BodyEdit],
) -> Result<Vec<u8>, GatewayError> {
    if edits.is_empty() {
        return Ok(body);
    }
    let outline = context.worker.scanner().request(&body).map_err(GatewayError::Json)?;
    let mut edited = Vec::with_capacity(body.len() + 128);
    outline.splice(&body, &BodyEdit::json_edits(edits), &mut edited);
    Ok(edited)
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

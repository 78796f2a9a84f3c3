//! Embeddings and ranks: requests in the provider's own format, answers in the client's: OpenAI's or
//! Google's of embeddings, Cohere's of ranks.
//!
//! Where a provider takes fewer inputs a call than the client has, the calls follow one another (see
//! `call_batched`), and their answers are joined.

use super::client_request::{codecs, read_with, untranslatable};
use super::edits::{BodyEdit, edited, vendor_edits};
use super::resolve::ResolvedProvider;
use crate::dialects::{
    ClientCodec, ClientEmbeddings, ProviderCodec, ProviderEmbeddings, ProviderRerank, TargetModel,
    Warnings, embeddings_on_vertex, gemini_embeddings, openai_embeddings, provider_embeddings,
    provider_rerank, read_rerank_request, rerank_on_tei, write_rerank_answer,
};
use crate::gateway::context::{
    Exchange, GatewayError, Request, RequestContext, gemini_call, own_id,
};
use crate::http::ResponseHead;
use crate::llm::{
    Dialect, EmbeddingsAnswer, EmbeddingsRequest, RerankAnswer, RerankRequest, Usage,
};
use crate::providers::Provider;

/// Most calls that one request may take. Each lasts tens of milliseconds.
const CALLS_MAX: usize = 128;

/// Where Bedrock reports the tokens of a model that does not report them itself (user guide, "Monitor
/// usage"; the fields of `InvokeModel`).
const BEDROCK_INPUT_TOKENS: &str = "x-amzn-bedrock-input-token-count";

/// A request for embeddings or ranks as its provider takes it: the first call of it.
pub(crate) struct VectorCall {
    /// Behind the provider's base URL.
    pub path: String,
    pub body: Vec<u8>,
    /// What was lost.
    pub warnings: Warnings,
    pub translation: VectorTranslation,
}

/// A request for embeddings or ranks that is translated.
pub(crate) struct VectorTranslation {
    /// In whose dialect errors are written.
    pub client: &'static dyn ClientCodec,
    /// In whose dialect errors are read.
    pub provider: &'static dyn ProviderCodec,
    request: VectorRequest,
}

enum VectorRequest {
    Embeddings(EmbeddingsTranslation),
    Rerank { request: RerankRequest, format: &'static dyn ProviderRerank },
}

struct EmbeddingsTranslation {
    request: EmbeddingsRequest,
    /// Of the client.
    client_codec: &'static dyn ClientEmbeddings,
    /// Of the provider.
    format: &'static dyn ProviderEmbeddings,
    /// Most inputs of one call.
    inputs_max: usize,
    /// Bodies of the calls that are still to be made.
    remaining: std::vec::IntoIter<Vec<u8>>,
    /// Answers to the calls before.
    answers: Vec<EmbeddingsAnswer>,
}

/// True for a provider whose embeddings are in another format than its dialect has them.
pub(crate) fn has_own_embeddings(provider: &Provider) -> bool {
    provider.preset == Some("voyage")
}

/// Asks for embeddings in the format of the provider.
pub(crate) fn embeddings(
    context: &RequestContext<'_>,
    request: &Request,
    edits: &[BodyEdit],
    (client, dialect): (Dialect, Dialect),
    resolved: &ResolvedProvider,
) -> Result<VectorCall, GatewayError> {
    let provider = &resolved.upstream.provider;
    let model = resolved.model.as_deref().unwrap_or_default();
    let (client_errors, provider_errors) = codecs((client, dialect), resolved)?;
    let client_codec = match gemini_call(context.head.path()) {
        Some(call) => gemini_embeddings(call.is_batch()),
        None => openai_embeddings(),
    };
    let format = if provider.is_vertex() && dialect == Dialect::Gemini {
        Some(embeddings_on_vertex())
    } else {
        provider_embeddings(dialect, model)
    };
    let format = format.ok_or_else(|| {
        let text = format!("provider `{}` has no embeddings of this model", provider.name);
        GatewayError::Invalid(text.into())
    })?;
    let parsed = read_with(context, request, edits, |root, _| {
        client_codec.read_request(root).map_err(GatewayError::Malformed)
    })?;
    let target = TargetModel::new(model, provider.is_original());
    let inputs_max = format.inputs_max(model).max(1);
    if parsed.inputs.len().div_ceil(inputs_max) > CALLS_MAX {
        let most = inputs_max * CALLS_MAX;
        let text = format!("expected at most {most} inputs in one request for this model");
        return Err(GatewayError::Invalid(text.into()));
    }
    let vendor = vendor_edits(request, resolved);
    let (mut warnings, mut bodies) = (Warnings::default(), Vec::new());
    for part in parsed.parts(inputs_max) {
        let mut body = Vec::new();
        format
            .write_request(&part, &target, &mut warnings, &mut body)
            .map_err(GatewayError::Unsupported)?;
        bodies.push(edited(body, &vendor)?);
    }
    let mut remaining = bodies.into_iter();
    let body = remaining.next().unwrap_or_default();
    let vector_request = VectorRequest::Embeddings(EmbeddingsTranslation {
        request: parsed,
        client_codec,
        format,
        inputs_max,
        remaining,
        answers: Vec::new(),
    });
    let translation = VectorTranslation {
        client: client_errors,
        provider: provider_errors,
        request: vector_request,
    };
    Ok(VectorCall { path: format.path(&target), body, warnings, translation })
}

/// Asks for ranks in the format of the provider.
pub(crate) fn rerank(
    context: &RequestContext<'_>,
    request: &Request,
    edits: &[BodyEdit],
    dialect: Dialect,
    resolved: &ResolvedProvider,
) -> Result<VectorCall, GatewayError> {
    let provider = &resolved.upstream.provider;
    let model = resolved.model.as_deref().unwrap_or_default();
    let (client_errors, provider_errors) = codecs((Dialect::CohereChat, dialect), resolved)?;
    let is_tei = provider.preset == Some("tei");
    let format = if is_tei { Some(rerank_on_tei()) } else { provider_rerank(dialect, model) };
    let format = format.ok_or_else(|| untranslatable(resolved, dialect))?;
    let parsed = read_with(context, request, edits, |root, _| {
        read_rerank_request(root).map_err(GatewayError::Malformed)
    })?;
    let target = TargetModel::new(model, provider.is_original());
    let (mut warnings, mut body) = (Warnings::default(), Vec::new());
    format
        .write_request(&parsed, &target, &mut warnings, &mut body)
        .map_err(GatewayError::Unsupported)?;
    let body = edited(body, &vendor_edits(request, resolved))?;
    let path = format.path().to_owned();
    let vector_request = VectorRequest::Rerank { request: parsed, format };
    let translation = VectorTranslation {
        client: client_errors,
        provider: provider_errors,
        request: vector_request,
    };
    Ok(VectorCall { path, body, warnings, translation })
}

/// The usage of a rerank of a provider that has the client's dialect.
pub(crate) fn rerank_usage(context: &RequestContext<'_>, body: &[u8]) -> Option<Usage> {
    let format = provider_rerank(Dialect::CohereChat, "")?;
    let answer = format.read_answer(body, &mut context.worker.scanner())?;
    usage(&answer)
}

/// Who counts searches has used no tokens.
fn usage(answer: &RerankAnswer) -> Option<Usage> {
    answer.usage.or_else(|| answer.search_units.map(|_| Usage::default()))
}

impl VectorTranslation {
    /// True if other calls follow the one at hand.
    pub(crate) fn has_more_batches(&self) -> bool {
        matches!(&self.request, VectorRequest::Embeddings(embeddings) if embeddings.remaining.len() > 0)
    }

    /// Takes in the answer to a call and gives the body of the next, with what was used so far. None if
    /// it is no answer.
    pub(crate) fn next_batch(
        &mut self,
        context: &RequestContext<'_>,
        (head, body): (&ResponseHead, &[u8]),
    ) -> Option<(Vec<u8>, Option<Usage>)> {
        let VectorRequest::Embeddings(embeddings) = &mut self.request else { return None };
        let answer = embeddings.read(context, head, body)?;
        embeddings.answers.push(answer);
        let usage = EmbeddingsAnswer::joined(embeddings.answers.iter().cloned()).usage;
        Some((embeddings.remaining.next()?, usage))
    }

    /// The provider's answer as the client expects it, its usage taken note of. None if it is none.
    pub(crate) fn translate_response(
        &self,
        exchange: &mut Exchange<'_>,
        (head, body): (&ResponseHead, &[u8]),
    ) -> Option<Vec<u8>> {
        let context = exchange.context;
        let mut out = Vec::with_capacity(body.len() + 256);
        match &self.request {
            VectorRequest::Embeddings(embeddings) => {
                let last = embeddings.read(context, head, body)?;
                let parts = embeddings.answers.iter().cloned().chain([last]);
                let mut answer = EmbeddingsAnswer::joined(parts);
                if answer.model.is_empty() {
                    answer.model.clone_from(&embeddings.request.model);
                }
                exchange.record.metering.usage = answer.usage;
                embeddings.client_codec.write_answer(&answer, &embeddings.request, &mut out);
            }
            VectorRequest::Rerank { request, format } => {
                let mut answer = format.read_answer(body, &mut context.worker.scanner())?;
                let count = request.documents.len() as u64;
                if answer.results.iter().any(|result| result.index >= count) {
                    return None;
                }
                if answer.id.is_empty() {
                    answer.id = own_id(exchange);
                }
                exchange.record.metering.usage = usage(&answer);
                write_rerank_answer(&answer, request, &mut out);
            }
        }
        Some(out)
    }
}

impl EmbeddingsTranslation {
    /// Reads the answer to the call at hand, which must have one vector for each of its inputs: a client
    /// distinguishes them by their index.
    fn read(
        &self,
        context: &RequestContext<'_>,
        head: &ResponseHead,
        body: &[u8],
    ) -> Option<EmbeddingsAnswer> {
        let read = context.worker.scanner().read(body, |root| self.format.read_answer(root));
        let mut answer = read.ok().flatten()?;
        let answers: usize = self.answers.iter().map(|part| part.vectors.len()).sum();
        let expected = self.request.inputs.len().saturating_sub(answers).min(self.inputs_max);
        let counted = head.get(BEDROCK_INPUT_TOKENS).and_then(|value| {
            let input_tokens = std::str::from_utf8(value).ok()?.trim().parse().ok()?;
            Some(Usage { input_tokens, ..Usage::default() })
        });
        answer.usage = answer.usage.or(counted);
        (answer.vectors.len() == expected).then_some(answer)
    }
}

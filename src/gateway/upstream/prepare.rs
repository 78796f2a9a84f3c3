//! The request to a provider is prepared: which provider, with which edits, in which dialect.

use std::sync::Arc;
use std::time::Duration;

use super::edits::{BodyEdit, vendor_edits};
use super::form_edits::LimitedBody;
use super::model_fit::{fit_members, fit_reasoning, needs_responses};
use super::request::UpstreamRequest;
use super::resolve::{ResolvedProvider, resolve};
use super::translate::translate;
use super::translation::Translation;
use super::vectors::has_own_embeddings;
use super::{count_tokens, form_edits, images, params, stored_responses};
use crate::dialects::{TargetModel, gemini_method_path, provider_codec};
use crate::gateway::context::{
    Body, Endpoint, GatewayError, Grant, Request, RequestContext, gemini_call, requested_model,
};
use crate::gateway::downstream::local::LocalResponse;
use crate::gateway::worker::Redactor;
use crate::llm::{Dialect, with_include_usage};
use crate::providers::{Capability, Timeouts};
use crate::routing::Target;

/// What serves a request at one target.
pub(crate) enum Preparation {
    /// The gateway knows the response itself.
    Respond(LocalResponse, Arc<str>),
    /// A provider is called.
    Call(Box<UpstreamRequest>),
    /// These images are wanted first; see [`images::fetch`].
    Fetch(Vec<String>),
}

/// Prepares the request of an attempt; `target` is none where no route is in force.
pub(crate) fn prepare(
    context: &RequestContext<'_>,
    grant: &Grant,
    request: &Request,
    target: Option<&Target>,
) -> Result<Preparation, GatewayError> {
    let requested = requested_model(request, target);
    let resolved = resolve(context, target, requested.as_deref());
    if request.hides_model() && (resolved.is_err() || grant.key_with_models().is_some()) {
        let limit = context.snapshot.settings.server.body_bytes_max as u64;
        return Err(GatewayError::FormModelUnseen { limit });
    }
    let resolved = resolved?;
    check(context, grant, request, &resolved)?;
    let mut edits = params::body_edits(request, target, resolved.model.as_deref());
    let dialects = dialect_pair(context, request, &resolved, &edits);
    let local = if request.endpoint.counts_tokens() {
        count_tokens::answer(context, request, &resolved, dialects.provider)?
    } else {
        stored_responses::answer(context, request, &resolved)?
    };
    if let Some(local) = local {
        return Ok(Preparation::Respond(local, Arc::clone(&resolved.upstream.name)));
    }
    let mut kept: usize = edits.iter().map(BodyEdit::own_bytes).sum();
    let (mut translation, mut hide_usage, mut lost) = (None, false, None);
    match dialects.client {
        Some(client) if dialects.is_translated => {
            let pair = (client, dialects.provider);
            let wanted = images::missing(context, request, &edits, pair)?;
            if !wanted.is_empty() {
                return Ok(Preparation::Fetch(wanted));
            }
            let made = translate(context, request, &edits, pair, &resolved)?;
            // The request is kept in no dialect as well, for the translation of the response.
            kept = kept.saturating_add(made.body.len()).saturating_add(request.body_bytes());
            translation = Some(Box::new(made));
        }
        _ => {
            edits.extend(vendor_edits(request, &resolved));
            hide_usage = request_usage(request, &mut edits);
            fit_members(context, request, &resolved, &mut edits);
            lost = fit_reasoning(context, request, (&resolved, dialects.provider), &mut edits);
        }
    }
    let timeouts = timeouts(context, target, &resolved)?;
    let warnings = lost.or_else(|| lost_edits(request, target, &resolved));
    // The model that an unread body names is unknown; the target cannot change it either.
    let is_unknown = is_unseen(request) && !resolved.upstream.provider.has_models_in_paths();
    Ok(Preparation::Call(Box::new(UpstreamRequest {
        forward_headers: forward_headers(context, target),
        path: own_path(context, request, translation.as_deref(), &resolved),
        dialect: dialects.provider,
        redactor: resolved.credential.as_deref().map(Redactor::of_fields),
        is_clients_account: resolved.is_clients_account,
        credential: resolved.credential,
        upstream: resolved.upstream,
        model: resolved.model.or(requested).filter(|_| !is_unknown),
        warnings,
        edits,
        hide_usage,
        translation,
        timeouts,
        held: if kept > 0 { Some(context.reserve_for_attempt(kept)?) } else { None },
    })))
}

/// True for a body that passes unread.
fn is_unseen(request: &Request) -> bool {
    matches!(request.body, Body::Streamed { form: None, .. })
}

/// The edits of the target that the body does not take, as a warning.
fn lost_edits(
    request: &Request,
    target: Option<&Target>,
    resolved: &ResolvedProvider,
) -> Option<Arc<str>> {
    let body = match request.body {
        _ if request.form().is_some() => LimitedBody::Form,
        Body::Streamed { .. } => LimitedBody::Streamed {
            has_model_in_path: resolved.upstream.provider.has_models_in_paths(),
        },
        _ => return None,
    };
    form_edits::lost_edits(body, target).map(Arc::from)
}

/// The dialects of the two sides of one exchange.
struct DialectPair {
    /// None where bytes only pass.
    client: Option<Dialect>,
    provider: Dialect,
    is_translated: bool,
}

fn dialect_pair(
    context: &RequestContext<'_>,
    request: &Request,
    resolved: &ResolvedProvider,
    edits: &[BodyEdit],
) -> DialectPair {
    let model = resolved.model.as_deref();
    let provider = &resolved.upstream.provider;
    let own = provider.dialect_for(model);
    // Counting is requested where it is offered, and is no conversation.
    let of_chat = request.endpoint.chat_dialect().filter(|_| request.endpoint.is_metered());
    let (client, provider, is_translated) = match (request.endpoint, of_chat) {
        (Endpoint::Completions, _) => {
            let is_chat_only =
                own != Dialect::OpenaiChat || provider.lacks(Capability::Completions);
            (Some(Dialect::OpenaiChat), own, is_chat_only)
        }
        (Endpoint::Embeddings, _) => {
            let is_other = own != Dialect::OpenaiChat || has_own_embeddings(provider);
            (Some(Dialect::OpenaiChat), own, is_other)
        }
        (Endpoint::EmbedContent, _) => {
            let is_other = own != Dialect::Gemini || provider.is_vertex();
            (Some(Dialect::Gemini), own, is_other)
        }
        (Endpoint::Rerank, _) => {
            let is_other = !matches!(own, Dialect::CohereChat | Dialect::Passthrough);
            (Some(Dialect::CohereChat), own, is_other)
        }
        (_, Some(client)) => {
            let toward = provider.dialect_toward(client, model);
            let needs_responses = toward == Dialect::OpenaiChat
                && provider.supports_dialect(Dialect::OpenaiResponses, model)
                && needs_responses(context, request, resolved, (client, edits));
            let dialect = if needs_responses { Dialect::OpenaiResponses } else { toward };
            // Google's other form of a stream, one array, is written by us only, and so are the
            // frames of Amazon's.
            let is_other_form = request.as_array || has_frames(request);
            (Some(client), dialect, dialect != client || is_other_form)
        }
        (_, None) => (None, own, false),
    };
    DialectPair { client, provider, is_translated }
}

/// True for a stream in Amazon's framing, whose checksums cover the payload: each message is
/// decoded and encoded again.
fn has_frames(request: &Request) -> bool {
    request.endpoint == Endpoint::Converse && request.is_stream()
}

/// The path of a request whose model stands in it, or whose dialect has another.
fn own_path(
    context: &RequestContext<'_>,
    request: &Request,
    translation: Option<&Translation>,
    resolved: &ResolvedProvider,
) -> Option<String> {
    if let Some(translation) = translation {
        return Some(translation.path.clone());
    }
    let path = context.head.path();
    let model = resolved.model.as_deref().unwrap_or_default();
    let dialect = match request.endpoint {
        Endpoint::GenerateContent => Dialect::Gemini,
        Endpoint::Converse => Dialect::BedrockConverse,
        Endpoint::EmbedContent | Endpoint::CountContent => {
            return Some(gemini_method_path(model, gemini_call(path)?.method));
        }
        // The version is no part of Cohere's base.
        Endpoint::Rerank if resolved.upstream.provider.dialect == Dialect::CohereChat => {
            return Some(path.to_owned());
        }
        _ => return None,
    };
    let target = TargetModel::new(model, true);
    provider_codec(dialect).map(|codec| codec.path(&target, request.is_stream()))
}

fn check(
    context: &RequestContext<'_>,
    grant: &Grant,
    request: &Request,
    resolved: &ResolvedProvider,
) -> Result<(), GatewayError> {
    if let Some(model) = &resolved.model {
        grant.check_model(model)?;
    }
    grant.check_visible(context, request, resolved.model.as_deref())?;
    check_realtime(request, resolved)?;
    check_abilities(request, resolved)?;
    if request.endpoint.is_metered() && resolved.model.is_none() {
        return Err(GatewayError::Invalid("`model` is required".into()));
    }
    Ok(())
}

/// Refuses providers without realtime sessions, or with others than OpenAI's.
fn check_realtime(request: &Request, resolved: &ResolvedProvider) -> Result<(), GatewayError> {
    let provider = &resolved.upstream.provider;
    let dialect = provider.dialect_for(resolved.model.as_deref());
    let has_api = matches!(dialect, Dialect::OpenaiChat | Dialect::OpenaiResponses);
    if request.endpoint != Endpoint::Realtime || has_api && resolved.upstream.pool.is_some() {
        return Ok(());
    }
    let name = &provider.name;
    let text = format!("provider `{name}` has no realtime API of OpenAI's shape");
    Err(GatewayError::Invalid(text.into()))
}

/// Refuses what the vendor is known not to have.
fn check_abilities(request: &Request, resolved: &ResolvedProvider) -> Result<(), GatewayError> {
    let provider = &resolved.upstream.provider;
    let missing = match request.endpoint {
        Endpoint::Embeddings | Endpoint::EmbedContent => {
            provider.lacks(Capability::Embeddings).then_some("embeddings")
        }
        // Completions are requested as chats where there are none.
        Endpoint::Completions if !provider.lacks(Capability::Completions) => None,
        Endpoint::Rerank => None,
        endpoint if endpoint.is_metered() => provider.lacks(Capability::Chat).then_some("chats"),
        _ => None,
    };
    if let Some(missing) = missing {
        let text = format!("the vendor of provider `{}` has no {missing}", provider.name);
        return Err(GatewayError::Invalid(text.into()));
    }
    Ok(())
}

/// Requests the usage of an OpenAI stream; true if the client did not, and is not to see it.
fn request_usage(request: &Request, edits: &mut Vec<BodyEdit>) -> bool {
    let Body::Json { bytes, outline } = &request.body else { return false };
    let has_option = matches!(request.endpoint, Endpoint::ChatCompletions | Endpoint::Completions);
    let hide_usage = has_option && outline.stream && !outline.include_usage;
    if hide_usage {
        let json = with_include_usage(outline.value(bytes, "stream_options"));
        edits.push(BodyEdit::Set { key: "stream_options".to_owned(), json });
    }
    hide_usage
}

fn timeouts(
    context: &RequestContext<'_>,
    target: Option<&Target>,
    resolved: &ResolvedProvider,
) -> Result<Timeouts, GatewayError> {
    let mut timeouts = resolved.upstream.provider.timeouts;
    let header = requested_timeout(context)?;
    if let Some(total) = target.and_then(|target| target.request_timeout).or(header) {
        timeouts.total = total;
    }
    Ok(timeouts)
}

/// The limit that the client sets.
pub(crate) fn requested_timeout(
    context: &RequestContext<'_>,
) -> Result<Option<Duration>, GatewayError> {
    let written =
        context.gateway_header("request-timeout").map(str::trim).filter(|text| !text.is_empty());
    let Some(text) = written else { return Ok(None) };
    // Portkey's clients write 0 for none, and some of them all numbers with a point.
    let whole = text.split_once('.').map_or(text, |(whole, fraction)| {
        if fraction.bytes().all(|byte| byte == b'0') { whole } else { text }
    });
    let refused = "expected a whole number of milliseconds in request-timeout";
    let number = whole.parse::<u64>().map_err(|_| GatewayError::Invalid(refused.into()))?;
    Ok(Some(Duration::from_millis(number)).filter(|limit| !limit.is_zero()))
}

fn forward_headers(context: &RequestContext<'_>, target: Option<&Target>) -> Vec<String> {
    let named = context.gateway_header("forward-headers").unwrap_or_default();
    let named = named.split(',').map(|name| name.trim().to_ascii_lowercase());
    let configured = target.into_iter().flat_map(|target| target.forward_headers.iter().cloned());
    configured.chain(named).filter(|name| !name.is_empty()).take(64).collect()
}

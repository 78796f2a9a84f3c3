//! The opening of a response, held back until it shows that the response is good: all of a JSON response, of
//! a stream all before its first content.
//!
//! What comes before the first content (a role, `message_start`, pings) commits to nothing: as long as the
//! client has seen none of it, another target may be called, and a failure is reported by its status. What
//! is last, or alone, is held back for so long at most that a client does not give up on it.

use std::borrow::Cow;
use std::time::Duration;

use super::request::UpstreamRequest;
use super::response::{EVENT_BYTES_MAX, UpstreamResponse};
use super::translation::ResponseTranslation;
use crate::base::{Instant, unix_now};
use crate::dialects::{
    Cutter, OpeningEvent, error_in_answer, failure_of_answer, failure_of_event, opening_event,
    provider_codec,
};
use crate::gateway::context::{GatewayError, Request, RequestContext};
use crate::gateway::worker::Scrutiny;
use crate::http::ResponseHead;
use crate::llm::{AnswerOutline, ApiError, Dialect, JsonError};
use crate::routing::retry_hint;

/// How long the opening of a stream is held back that nothing else could replace. Providers fail within
/// seconds; clients, and proxies before them, wait for thirty seconds and more for a first byte.
pub(crate) const HOLD_MAX: Duration = Duration::from_secs(5);

/// Bytes of such an opening that are held back, at most: openings have a few hundred.
pub(crate) const HOLD_BYTES_MAX: usize = 64 * 1024;

/// How long an opening is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PeekWait {
    /// For as long as the provider may take.
    UntilContent,
    /// Without a limit of its own: no other target would answer.
    Briefly,
}

/// Takes in the opening of a successful response; [`UpstreamResponse::drain`] gives it again.
///
/// # Errors
/// If it shows that there is no response.
pub(crate) async fn peek(
    context: &RequestContext<'_>,
    upstream_request: &UpstreamRequest,
    (request, wait): (&Request, PeekWait),
    response: &mut UpstreamResponse,
) -> Result<(), GatewayError> {
    if !request.endpoint.is_metered() || !response.head.is_success() {
        return Ok(());
    }
    if response.is_stream() {
        peek_stream(context, upstream_request, wait, response).await?;
    } else {
        let body = response.keep_whole(context, upstream_request).await?;
        let checked = peek_body(context, upstream_request, response, &body);
        response.peeked = body;
        checked?;
    }
    response.is_good = true;
    Ok(())
}

fn peek_body(
    context: &RequestContext<'_>,
    upstream_request: &UpstreamRequest,
    response: &mut UpstreamResponse,
    body: &[u8],
) -> Result<(), GatewayError> {
    if response.head.get("content-encoding").is_some() {
        return Ok(());
    }
    if let Some(ResponseTranslation::Chat(_)) =
        upstream_request.translation.as_ref().map(|it| &it.response)
    {
        check(context, upstream_request, &response.head, body)?;
    }
    let outline = AnswerOutline::read(body);
    match outline {
        Ok(outline) if outline.is_error => {
            Err(error_in_body(context, upstream_request, &response.head, body))
        }
        Ok(outline) => {
            if outline.has_no_choices {
                check_choices(context, upstream_request, &response.head, body)?;
            }
            response.outline = Some(Box::new(outline));
            Ok(())
        }
        // Ranks of some servers are an array.
        Err(JsonError::NotAnObject) if upstream_request.translation.is_some() => Ok(()),
        Err(_) => Err(upstream_request.invalid("its body is not JSON")),
    }
}

async fn peek_stream(
    context: &RequestContext<'_>,
    upstream_request: &UpstreamRequest,
    wait: PeekWait,
    response: &mut UpstreamResponse,
) -> Result<(), GatewayError> {
    let codec =
        provider_codec(upstream_request.dialect).or_else(|| provider_codec(Dialect::OpenaiChat));
    let codec = codec.ok_or_else(|| upstream_request.invalid("its dialect has no streams"))?;
    let mut cutter = Cutter::new(codec.frame(), EVENT_BYTES_MAX);
    let until = (wait == PeekWait::Briefly).then(|| Instant::now().after(HOLD_MAX));
    let mut opening = Vec::new();
    loop {
        let before = opening.len();
        let received = response.body_reader.drain(response.link.reader(), |run| {
            opening.extend_from_slice(run);
            cutter.push(run);
        });
        let is_complete =
            received.map_err(|_| upstream_request.invalid("its stream is malformed"))?;
        context.reserve_memory(opening.len() - before)?;
        let mut event = OpeningEvent::Preamble;
        let cut = cutter.each(|name, data| {
            if event == OpeningEvent::Preamble {
                let mut scanner = context.worker.scanner();
                event = opening_event(upstream_request.dialect, name, data, &mut scanner);
                // Clients of the same dialect know its words for a failure.
                if event == OpeningEvent::Content && upstream_request.translation.is_some() {
                    let failed =
                        failure_of_event(upstream_request.dialect, name, data, &mut scanner);
                    if let Some(error) = failed {
                        event = OpeningEvent::Error(error);
                    }
                }
            }
            Ok(())
        });
        let may_go_on = until.is_some() && opening.len() > HOLD_BYTES_MAX;
        if has_content(upstream_request, &response.head, event)? || may_go_on {
            break;
        }
        if cut.is_err() {
            return Err(upstream_request.invalid("an event of its stream makes no sense"));
        }
        if is_complete {
            return Err(upstream_request.invalid(NO_CONTENT));
        }
        match response.fill_unwatched(upstream_request, until).await? {
            None => break,
            Some(0) => return Err(upstream_request.invalid(NO_CONTENT)),
            Some(_) => {}
        }
    }
    response.peeked = opening;
    Ok(())
}

/// Why a stream is no response that has neither content nor a reason to end.
pub(crate) const NO_CONTENT: &str = "its stream ended before its answer had begun";

/// True for content, false where nothing has been shown yet.
///
/// # Errors
/// If the stream has failed, or ended as if it were a response.
pub(crate) fn has_content(
    upstream_request: &UpstreamRequest,
    head: &ResponseHead,
    event: OpeningEvent,
) -> Result<bool, GatewayError> {
    match event {
        OpeningEvent::Preamble => Ok(false),
        OpeningEvent::Content => Ok(true),
        OpeningEvent::End => Err(upstream_request.invalid(NO_CONTENT)),
        OpeningEvent::Error(error) => Err(provider_error(upstream_request, head, error)),
    }
}

/// Refuses a whole response of a conversation in another dialect that is none.
pub(crate) fn check(
    context: &RequestContext<'_>,
    upstream_request: &UpstreamRequest,
    head: &ResponseHead,
    body: &[u8],
) -> Result<(), GatewayError> {
    let read = |root: crate::llm::Node<'_>| failure_of_answer(upstream_request.dialect, root);
    match context.worker.scanner().read(body, read) {
        Ok(Some(error)) => Err(provider_error(upstream_request, head, error)),
        Ok(None) | Err(_) => Ok(()),
    }
}

/// Refuses a whole response with an empty list of choices, of a provider that imitates OpenAI: clients take
/// the first of them.
pub(crate) fn check_choices(
    context: &RequestContext<'_>,
    upstream_request: &UpstreamRequest,
    head: &ResponseHead,
    body: &[u8],
) -> Result<(), GatewayError> {
    let is_original = upstream_request.upstream.provider.is_original();
    let has_choices = upstream_request.dialect == Dialect::OpenaiChat;
    if is_original || !has_choices { Ok(()) } else { check(context, upstream_request, head, body) }
}

/// The error in a whole response, of which it is known that it is one.
pub(crate) fn error_in_body(
    context: &RequestContext<'_>,
    upstream_request: &UpstreamRequest,
    head: &ResponseHead,
    body: &[u8],
) -> GatewayError {
    let read = |root: crate::llm::Node<'_>| {
        let delay =
            provider_codec(upstream_request.dialect).and_then(|codec| codec.retry_delay(root));
        (error_in_answer(upstream_request.dialect, root), delay)
    };
    match context.worker.scanner().read(body, read) {
        Ok((error, delay)) => match provider_error(upstream_request, head, error) {
            GatewayError::ProviderError { provider, error, retry_after } => {
                GatewayError::ProviderError { provider, error, retry_after: retry_after.or(delay) }
            }
            other => other,
        },
        Err(_) => upstream_request.invalid("its body is not JSON"),
    }
}

/// An error that a provider reports under a status of success.
pub(crate) fn provider_error(
    upstream_request: &UpstreamRequest,
    head: &ResponseHead,
    mut error: ApiError,
) -> GatewayError {
    for text in error.texts_mut() {
        // Credentials are masked byte by byte, so that it stays text.
        if let Cow::Owned(masked) = upstream_request.masked(text.as_bytes(), Scrutiny::Close) {
            *text = String::from_utf8_lossy(&masked).into_owned();
        }
    }
    let field = |name: &str| head.get(name).and_then(|it| std::str::from_utf8(it).ok());
    GatewayError::ProviderError {
        provider: upstream_request.upstream.provider.name.clone(),
        error: Box::new(error),
        retry_after: retry_hint(unix_now(), field),
    }
}

//! The form in which answers are stored and shared, whatever the dialects of their clients: OpenAI's
//! chat. One stored answer so serves clients of every dialect, whole and as a stream. A request that has
//! one form only is stored in that: completions and embeddings in OpenAI's, ranks in Cohere's.

use std::borrow::Cow;

use crate::dialects::{ClientCodec, TargetModel, Warnings, client_codec, provider_codec};
use crate::gateway::context::{Body, Endpoint, Exchange, Request};
use crate::gateway::upstream::client_request;
use crate::llm::{Answer, ChatRequest, Dialect, Outline, chunks_of_known};

/// A request in the form in which its answer is looked up.
pub(crate) struct StoredRequest<'r> {
    pub endpoint: Endpoint,
    pub bytes: Cow<'r, [u8]>,
    pub outline: Cow<'r, Outline>,
}

/// The dialect in which conversations are stored.
pub(crate) const STORED: Dialect = Dialect::OpenaiChat;

/// The dialect of the client's conversation, if it is not the stored one.
pub(crate) fn foreign_dialect(endpoint: Endpoint) -> Option<Dialect> {
    endpoint.chat_dialect().filter(|dialect| *dialect != STORED)
}

/// The request as it is looked up. None if it has what this form cannot express, so that two requests that
/// differ might look the same.
pub(crate) fn to_stored_request<'r>(
    exchange: &Exchange<'_>,
    request: &'r Request,
) -> Option<StoredRequest<'r>> {
    let Body::Json { bytes, outline } = &request.body else { return None };
    let endpoint = request.endpoint;
    if request.as_array {
        return None;
    }
    let Some(client) = foreign_dialect(endpoint) else {
        let (bytes, outline) = (Cow::Borrowed(&bytes[..]), Cow::Borrowed(outline));
        return Some(StoredRequest { endpoint, bytes, outline });
    };
    let chat_request =
        client_request::read(exchange.context, request, &[], client_codec(client)).ok()?;
    // Some members are unknown to OpenAI, but known to those who imitate it.
    let body = in_chat(&chat_request, true).or_else(|| in_chat(&chat_request, false))?;
    let outline = Outline::read(&body).ok()?;
    let (bytes, outline) = (Cow::Owned(body), Cow::Owned(outline));
    Some(StoredRequest { endpoint: Endpoint::ChatCompletions, bytes, outline })
}

/// All of the request in OpenAI's chat, as OpenAI takes it or as its imitators do.
fn in_chat(chat_request: &ChatRequest, is_original: bool) -> Option<Vec<u8>> {
    let target = TargetModel::new(&chat_request.model, is_original);
    let (mut warnings, mut body) = (Warnings::default(), Vec::new());
    provider_codec(STORED)?.write_request(chat_request, &target, &mut warnings, &mut body).ok()?;
    warnings.is_empty().then_some(body)
}

/// A whole answer, which the client gets as `body`, as it is stored.
pub(crate) fn to_stored_response(exchange: &Exchange<'_>, body: Vec<u8>) -> Option<Vec<u8>> {
    let foreign = exchange.record.endpoint.and_then(foreign_dialect);
    let Some(codec) = foreign.and_then(provider_codec) else { return Some(body) };
    let read = exchange.worker.scanner().read(&body, |root| codec.read_answer(root));
    let answer = read.ok().flatten()?;
    let mut out = Vec::with_capacity(body.len());
    let now = exchange.record.at_unix.as_secs();
    client_codec(STORED).write_answer(&answer, &ChatRequest::default(), now, &mut out);
    Some(out)
}

/// A stored answer as a client of `client` gets it, under the id `id`: whole, or as events.
pub(crate) fn from_stored(
    exchange: &Exchange<'_>,
    request: &Request,
    client: &dyn ClientCodec,
    (stored, id): (&[u8], &str),
) -> Option<Vec<u8>> {
    let chat_request = client_request::read(exchange.context, request, &[], client).ok()?;
    let codec = provider_codec(STORED)?;
    let read = exchange.worker.scanner().read(stored, |root| codec.read_answer(root));
    let answer = Answer { id: id.to_owned(), ..read.ok().flatten()? };
    let now = exchange.record.at_unix.as_secs();
    let mut out = Vec::with_capacity(stored.len() * 2);
    if chat_request.stream {
        let mut encoder = client.stream_encoder(&chat_request, now);
        chunks_of_known(&answer).iter().for_each(|chunk| encoder.push(chunk, &mut out));
    } else {
        client.write_answer(&answer, &chat_request, now, &mut out);
    }
    Some(out)
}

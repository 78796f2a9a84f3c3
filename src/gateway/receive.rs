//! Stage `receive`: which endpoint, and the body within its bounds.
//!
//! A JSON body of a metered endpoint is kept whole and scanned for the few members the line needs.
//! Every other body is streamed by `forward` and never kept, but for a small JSON body of the
//! pass-through, which is looked at for its `model`.

use bytes::Bytes;

use super::body::{Incoming, Pace};
use super::endpoint::{Endpoint, gemini_aside, gemini_call};
use super::failure::Failure;
use super::record::Exchange;
use crate::http::Framing;
use crate::llm::Outline;
use crate::shard::within;

/// A JSON body of the pass-through up to this size is kept, so that its model can choose the
/// provider; larger ones are streamed unseen.
const PASS_THROUGH_LOOK_BYTES: u64 = 64 * 1024;

/// The request as the later stages see it.
pub(super) struct Request {
    pub endpoint: Endpoint,
    pub body: Body,
    /// The model that stands in the path of a call which passes as it is.
    pub path_model: Option<String>,
    /// A stream is wanted as one JSON array, Google's other form of it.
    pub as_array: bool,
}

/// The body of a request.
pub(super) enum Body {
    /// None at all.
    Empty,
    /// JSON, kept whole, with what the scan found.
    Json { bytes: Bytes, outline: Outline },
    /// Still on the client's connection; `forward` pumps it.
    Streamed { framing: Framing, incoming: Incoming },
}

impl Request {
    /// The same once more, with the same bytes; of a body that is streamed there is no copy.
    pub(super) fn copy(&self) -> Self {
        let body = match &self.body {
            Body::Json { bytes, outline } => {
                Body::Json { bytes: bytes.clone(), outline: outline.clone() }
            }
            Body::Empty | Body::Streamed { .. } => Body::Empty,
        };
        Self { body, path_model: self.path_model.clone(), ..*self }
    }

    /// Bytes of a body that is kept.
    pub(super) fn body_bytes(&self) -> usize {
        match &self.body {
            Body::Json { bytes, .. } => bytes.len(),
            Body::Empty | Body::Streamed { .. } => 0,
        }
    }

    /// The model the client named.
    pub(super) fn model(&self) -> Option<&str> {
        let in_body = match &self.body {
            Body::Json { outline, .. } => outline.model.as_deref(),
            _ => None,
        };
        self.path_model.as_deref().or(in_body)
    }

    /// True if the client wants a stream.
    pub(super) fn is_stream(&self) -> bool {
        matches!(&self.body, Body::Json { outline, .. } if outline.stream)
    }

    /// True if the client asked a stream to report its usage.
    pub(super) fn include_usage(&self) -> bool {
        matches!(&self.body, Body::Json { outline, .. } if outline.include_usage)
    }
}

/// Finds the endpoint.
pub(super) fn endpoint(exchange: &mut Exchange<'_>) -> Result<Endpoint, Failure> {
    exchange.record.body_unread = exchange.head.framing() != Framing::None;
    let endpoint = Endpoint::find(exchange.head.path(), exchange.head.method())?;
    exchange.record.endpoint = Some(endpoint);
    Ok(endpoint)
}

/// Reads the body as far as the line needs it.
pub(super) async fn body(
    exchange: &mut Exchange<'_>,
    endpoint: Endpoint,
) -> Result<Request, Failure> {
    let framing = exchange.head.framing();
    let is_ours =
        endpoint.is_metered() || matches!(endpoint, Endpoint::Feedback | Endpoint::CountTokens);
    if is_ours {
        check_media_type(exchange)?;
    }
    let body = if is_ours || is_small_json(exchange, endpoint) {
        let bytes = keep_whole(exchange, framing).await?;
        let mut outline = exchange.worker.scanner().request(&bytes).map_err(Failure::Json)?;
        if let Some((model, stream)) = gemini_call(exchange.head.path()) {
            (outline.model, outline.stream) = (Some(model), stream);
        }
        exchange.record.stream = outline.stream;
        Body::Json { bytes: bytes.into(), outline }
    } else if framing == Framing::None {
        Body::Empty
    } else {
        refuse_announced(framing, exchange.snapshot.settings.server.stream_body_bytes_max)?;
        Body::Streamed { framing, incoming: Incoming::new(framing) }
    };
    let is_sse = exchange.head.query().is_some_and(|query| query.contains("alt=sse"));
    let as_array = endpoint == Endpoint::GenerateContent && exchange.record.stream && !is_sse;
    let aside = || gemini_aside(exchange.head.path()).map(|(model, _)| model);
    let path_model = if endpoint == Endpoint::PassThrough { aside() } else { None };
    Ok(Request { endpoint, body, path_model, as_array })
}

fn check_media_type(exchange: &Exchange<'_>) -> Result<(), Failure> {
    let encoded = exchange
        .head
        .get("content-encoding")
        .is_some_and(|coding| !coding.eq_ignore_ascii_case(b"identity"));
    // No content type at all is taken for JSON: that is what hand-written clients mean.
    let other = exchange.head.get("content-type").is_some_and(|value| !is_json(value));
    if encoded || other { Err(Failure::MediaType) } else { Ok(()) }
}

/// True for a content type of JSON, with or without parameters.
pub(super) fn is_json(content_type: &[u8]) -> bool {
    media_type_is(content_type, b"application/json")
}

/// True if the media type, without its parameters, is `expected`.
pub(super) fn media_type_is(content_type: &[u8], expected: &[u8]) -> bool {
    let kind = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
    kind.trim_ascii().eq_ignore_ascii_case(expected)
}

fn is_small_json(exchange: &Exchange<'_>, endpoint: Endpoint) -> bool {
    endpoint == Endpoint::PassThrough
        && matches!(
            exchange.head.framing(),
            Framing::Length(length) if (1..=PASS_THROUGH_LOOK_BYTES).contains(&length)
        )
        && exchange.head.get("content-encoding").is_none()
        && exchange.head.get("content-type").is_some_and(is_json)
}

fn refuse_announced(framing: Framing, limit: u64) -> Result<(), Failure> {
    match framing {
        Framing::Length(length) if length > limit => Err(Failure::BodyTooLarge { limit }),
        _ => Ok(()),
    }
}

async fn keep_whole(exchange: &mut Exchange<'_>, framing: Framing) -> Result<Vec<u8>, Failure> {
    let limit = exchange.snapshot.settings.server.body_bytes_max;
    refuse_announced(framing, limit as u64)?;
    exchange.invite_body().await?;
    let mut incoming = Incoming::new(framing);
    let mut bytes = Vec::new();
    if let Framing::Length(length) = framing {
        let length = usize::try_from(length).unwrap_or(limit);
        exchange.hold(length)?;
        bytes.reserve_exact(length);
    }
    let pace = Pace::new(exchange.snapshot.settings.server.body_bytes_per_second_min);
    loop {
        let reader = &mut exchange.client.connection.reader;
        let before = bytes.len();
        let done = incoming
            .drain(reader, |run| {
                // Past the limit nothing more is kept; the check below ends it.
                if bytes.len() <= limit {
                    bytes.extend_from_slice(run);
                }
            })
            .map_err(Failure::Body)?;
        if bytes.len() > limit {
            return Err(Failure::BodyTooLarge { limit: limit as u64 });
        }
        if framing == Framing::Chunked {
            exchange.hold(bytes.len() - before)?;
        }
        if done {
            break;
        }
        let fill = exchange.client.connection.reader.fill();
        match within(pace.deadline(bytes.len() as u64), fill).await {
            Err(_) => return Err(Failure::RequestTimeout("its body came too slowly")),
            Ok(Ok(0) | Err(_)) => return Err(Failure::ClientLeft),
            Ok(Ok(_)) => {}
        }
    }
    exchange.record.body_unread = false;
    exchange.record.request_bytes = bytes.len() as u64;
    Ok(bytes)
}

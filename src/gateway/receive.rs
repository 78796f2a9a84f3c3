//! Stage `receive`: which endpoint, and the body within its bounds.
//!
//! A JSON body of a metered endpoint is kept whole and scanned for the few members the pipeline needs.
//! Every other body is streamed by `forward` and never kept, but for a small JSON body of the
//! pass-through, which is looked at for its `model`, and as much of a form as stands before its `model`.

use crate::gateway::context::{
    Body, BodyReader, Endpoint, Exchange, FetchedImages, FormPeek, GatewayError, Grant,
    MinimumRate, Request, converse_call, gemini_call, is_inference, is_json,
};
use crate::http::{Framing, form_boundary};
use crate::llm::Outline;
use crate::shard::within;

/// A JSON body of the pass-through up to this size is kept, so that its model can choose the
/// provider; larger ones are streamed unseen.
const PASS_THROUGH_LOOK_BYTES: u64 = 64 * 1024;

/// So much of a form is looked at where its path takes no model.
const FORM_LOOK_BYTES: usize = 64 * 1024;

/// Finds the endpoint.
pub(crate) fn endpoint(exchange: &mut Exchange<'_>) -> Result<Endpoint, GatewayError> {
    exchange.record.client.body_unread = exchange.head.framing() != Framing::None;
    let endpoint = Endpoint::find(exchange.head.path(), exchange.head.method())?;
    exchange.record.endpoint = Some(endpoint);
    Ok(endpoint)
}

/// Reads the body as far as the pipeline needs it.
pub(crate) async fn body(
    exchange: &mut Exchange<'_>,
    grant: &Grant,
    endpoint: Endpoint,
) -> Result<Request, GatewayError> {
    let framing = exchange.head.framing();
    let is_ours =
        endpoint.is_metered() || endpoint.counts_tokens() || endpoint == Endpoint::Feedback;
    if is_ours {
        check_media_type(exchange)?;
    } else {
        refuse_two_content_types(exchange)?;
    }
    let body = if is_ours || is_small_json(exchange, endpoint) {
        let bytes = keep_whole(exchange, framing).await?;
        let mut outline = Outline::read(&bytes).map_err(GatewayError::Json)?;
        if let Some(call) = gemini_call(exchange.head.path()) {
            outline.stream = call.is_stream();
            outline.model = Some(call.model);
        } else if let Some((model, stream)) = converse_call(exchange.head.path()) {
            (outline.model, outline.stream) = (Some(model), stream);
        }
        exchange.record.client.stream = outline.stream;
        exchange.record.metering.wants_us_inference = endpoint == Endpoint::Messages
            && outline.value(&bytes, "inference_geo") == Some(br#""us""#.as_slice());
        Body::Json { bytes: bytes.into(), outline }
    } else if framing == Framing::None {
        Body::Empty
    } else {
        refuse_announced(framing, exchange.snapshot.settings.server.stream_body_bytes_max)?;
        let content_type = exchange.head.get("content-type").unwrap_or_default();
        let is_encoded = exchange.head.get("content-encoding").is_some();
        let boundary = if is_encoded { Ok(None) } else { form_boundary(content_type) };
        match boundary {
            Err(error) if is_inference(exchange.head) => return Err(GatewayError::Form(error)),
            Ok(Some(boundary)) => {
                let look = FormPeek::new(boundary, grant.key_with_models().is_some());
                Box::pin(peek_form(exchange, framing, look)).await?
            }
            _ => {
                let body_reader = BodyReader::new(framing);
                Body::Streamed { framing, body_reader, held: Vec::new(), form: None }
            }
        }
    };
    let is_sse = exchange.head.query().is_some_and(|query| query.contains("alt=sse"));
    let as_array =
        endpoint == Endpoint::GenerateContent && exchange.record.client.stream && !is_sse;
    Ok(Request { endpoint, body, images: FetchedImages::default(), as_array })
}

/// A request for a response whose body came as a message of a WebSocket.
pub(crate) fn message(exchange: &mut Exchange<'_>, body: Vec<u8>) -> Result<Request, GatewayError> {
    exchange.reserve_memory(body.len())?;
    exchange.record.client.request_bytes += body.len() as u64;
    let outline = Outline::read(&body).map_err(GatewayError::Json)?;
    exchange.record.client.stream = outline.stream;
    let body = Body::Json { bytes: body.into(), outline };
    let images = FetchedImages::default();
    Ok(Request { endpoint: Endpoint::Responses, body, images, as_array: false })
}

fn check_media_type(exchange: &Exchange<'_>) -> Result<(), GatewayError> {
    let encoded = exchange
        .head
        .get("content-encoding")
        .is_some_and(|coding| !coding.eq_ignore_ascii_case(b"identity"));
    // No content type at all is taken for JSON: that is what hand-written clients mean.
    let other = exchange.head.get("content-type").is_some_and(|value| !is_json(value));
    if encoded || other { Err(GatewayError::MediaType) } else { Ok(()) }
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

/// Of two content types the provider might go by the other.
fn refuse_two_content_types(exchange: &Exchange<'_>) -> Result<(), GatewayError> {
    let count = exchange.head.fields().filter(|(name, _)| *name == "content-type").count();
    let refused = || GatewayError::Invalid("expected one field `content-type`".into());
    (count < 2).then_some(()).ok_or_else(refused)
}

fn refuse_announced(framing: Framing, limit: u64) -> Result<(), GatewayError> {
    match framing {
        Framing::Length(length) if length > limit => Err(GatewayError::BodyTooLarge { limit }),
        _ => Ok(()),
    }
}

/// Reads a form as far as its model. Where the path takes none, no further than to its file: what is no
/// form then passes as it is.
async fn peek_form(
    exchange: &mut Exchange<'_>,
    framing: Framing,
    mut look: FormPeek,
) -> Result<Body, GatewayError> {
    let needs_model = is_inference(exchange.head);
    let server = &exchange.snapshot.settings.server;
    let limit = if needs_model { server.body_bytes_max } else { FORM_LOOK_BYTES };
    let rate = MinimumRate::new(server.body_bytes_per_second_min);
    exchange.invite_body().await?;
    let (mut body_reader, mut held) = (BodyReader::new(framing), Vec::new());
    loop {
        let before = held.len();
        let reader = &mut exchange.client.connection.reader;
        let done = body_reader.drain(reader, |run| held.extend_from_slice(run));
        let done = done.map_err(GatewayError::Body)?;
        exchange.reserve_memory(held.len() - before)?;
        let mut read = look.push(held.get(before..).unwrap_or_default());
        if done && read.is_ok() {
            read = look.finish();
        }
        if let Err(failure) = read {
            if needs_model || !matches!(failure, GatewayError::Form(_)) {
                return Err(failure);
            }
            return Ok(Body::Streamed { framing, body_reader, held, form: None });
        }
        if done && (needs_model || look.has_model()) {
            exchange.record.client.body_unread = false;
            exchange.record.client.request_bytes = held.len() as u64;
            return Ok(Body::Form { bytes: held.into(), form: look.form() });
        }
        let is_far_enough = done || held.len() > limit || !needs_model && look.has_file();
        if look.has_model() || is_far_enough {
            let is_form = needs_model || look.has_model();
            let form = is_form.then(|| Box::new(look.form()));
            return Ok(Body::Streamed { framing, body_reader, held, form });
        }
        let fill = exchange.client.connection.reader.fill();
        match within(rate.deadline(held.len() as u64), fill).await {
            Err(_) => return Err(GatewayError::RequestTimeout("the body arrived too slowly")),
            Ok(Ok(0) | Err(_)) => return Err(GatewayError::ClientLeft),
            Ok(Ok(_)) => {}
        }
    }
}

async fn keep_whole(
    exchange: &mut Exchange<'_>,
    framing: Framing,
) -> Result<Vec<u8>, GatewayError> {
    let limit = exchange.snapshot.settings.server.body_bytes_max;
    refuse_announced(framing, limit as u64)?;
    exchange.invite_body().await?;
    let mut body_reader = BodyReader::new(framing);
    let mut bytes = Vec::new();
    if let Framing::Length(length) = framing {
        let length = usize::try_from(length).unwrap_or(limit);
        exchange.reserve_memory(length)?;
        bytes.reserve_exact(length);
    }
    let rate = MinimumRate::new(exchange.snapshot.settings.server.body_bytes_per_second_min);
    loop {
        let reader = &mut exchange.client.connection.reader;
        let before = bytes.len();
        let done = body_reader
            .drain(reader, |run| {
                // Past the limit nothing more is kept; the check below ends it.
                if bytes.len() <= limit {
                    bytes.extend_from_slice(run);
                }
            })
            .map_err(GatewayError::Body)?;
        if bytes.len() > limit {
            return Err(GatewayError::BodyTooLarge { limit: limit as u64 });
        }
        if framing == Framing::Chunked {
            exchange.reserve_memory(bytes.len() - before)?;
        }
        if done {
            break;
        }
        let fill = exchange.client.connection.reader.fill();
        match within(rate.deadline(bytes.len() as u64), fill).await {
            Err(_) => return Err(GatewayError::RequestTimeout("the body arrived too slowly")),
            Ok(Ok(0) | Err(_)) => return Err(GatewayError::ClientLeft),
            Ok(Ok(_)) => {}
        }
    }
    exchange.record.client.body_unread = false;
    exchange.record.client.request_bytes = bytes.len() as u64;
    Ok(bytes)
}

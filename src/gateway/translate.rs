//! A conversation in one dialect, said in another.

use super::failure::Failure;
use super::receive::{Body, Request};
use super::record::Exchange;
use super::route::{Change, Choice, vendor_changes};
use crate::dialects::{
    Codec, RequestPath, StreamEncoder, Target, Unsayable, Warnings, codec, gemini_array_encoder,
};
use crate::llm::{ChatRequest, Dialect, Edit, unable};

/// A request as its provider takes it, and what the answer's way back needs.
pub(super) struct Translation {
    /// Of the client.
    pub client: &'static dyn Codec,
    /// Of the provider.
    pub provider: &'static dyn Codec,
    /// What was asked, in no dialect.
    pub request: ChatRequest,
    /// Behind the provider's base URL, query included.
    pub path: String,
    /// As the provider takes it.
    pub body: Vec<u8>,
    /// See [`Request::as_array`].
    pub as_array: bool,
}

impl Translation {
    /// A writer of the client's stream.
    pub(super) fn stream_encoder(&self, now_unix: u64) -> Box<dyn StreamEncoder> {
        if self.as_array {
            return gemini_array_encoder();
        }
        self.client.stream_encoder(&self.request, now_unix)
    }
}

/// What the request asks, in no dialect, with `changes` made to it.
pub(super) fn read(
    exchange: &Exchange<'_>,
    request: &Request,
    changes: &[Change],
    client: &dyn Codec,
) -> Result<ChatRequest, Failure> {
    let Body::Json { bytes, outline } = &request.body else {
        return Err(Failure::Invalid("this request has no body".into()));
    };
    let mut edited = Vec::new();
    let body = if changes.is_empty() {
        bytes
    } else {
        let edits: Vec<Edit<'_>> = changes.iter().map(Change::edit).collect();
        outline.splice(bytes, &edits, &mut edited);
        &edited
    };
    let path = RequestPath { model: outline.model.as_deref(), stream: outline.stream };
    let mut scanner = exchange.worker.scanner();
    let read = scanner.read(body, |root| client.read_request(root, &path));
    read.map_err(Failure::Json)?.map_err(Failure::Malformed)
}

/// Says the request in the dialect of its provider.
pub(super) fn translate(
    exchange: &mut Exchange<'_>,
    request: &Request,
    changes: &[Change],
    (client, provider): (Dialect, Dialect),
    choice: &Choice,
) -> Result<Translation, Failure> {
    let upstream = &choice.upstream;
    let model = choice.model.as_deref().unwrap_or_default();
    let untranslatable = || {
        let text = format!(
            "provider `{}` speaks {}, which this path cannot be translated to",
            upstream.name,
            provider.name()
        );
        Failure::Invalid(text.into())
    };
    let client = codec(client).ok_or_else(untranslatable)?;
    let provider = codec(provider).ok_or_else(untranslatable)?;
    let (vendor, as_array) = (vendor_changes(request, choice), request.as_array);
    let request = read(exchange, request, changes, client)?;
    check_abilities(exchange, &request, &upstream.name, model)?;
    let target = Target { model, is_original: upstream.provider.is_original() };
    let mut warnings = Warnings::default();
    let mut body = Vec::with_capacity(request_bytes(exchange));
    provider
        .write_request(&request, &target, &mut warnings, &mut body)
        .map_err(Failure::Unsayable)?;
    if !warnings.is_empty() {
        exchange.record.warnings = Some(warnings.header().into());
    }
    if !vendor.is_empty() {
        body = edited(exchange, &body, &vendor)?;
    }
    exchange.hold(body.len())?;
    let path = provider.path(&target, request.stream);
    Ok(Translation { client, provider, request, path, body, as_array })
}

/// Refuses what the model is known to be unable to read, since vendors answer as if it were not there.
fn check_abilities(
    exchange: &Exchange<'_>,
    request: &ChatRequest,
    provider: &str,
    model: &str,
) -> Result<(), Failure> {
    let snapshot = &exchange.snapshot;
    let Some(card) = snapshot.cards.find(&snapshot.settings, provider, model) else {
        return Ok(());
    };
    unable(request, &card).map_or(Ok(()), |what| {
        let why = "the catalogue has it as a model of text only (`abilities` under [catalogue] \
                   says otherwise)";
        Err(Failure::Unsayable(Unsayable::new(what, why)))
    })
}

/// The body with the changes of its vendor.
fn edited(exchange: &Exchange<'_>, body: &[u8], changes: &[Change]) -> Result<Vec<u8>, Failure> {
    let outline = exchange.worker.scanner().request(body).map_err(Failure::Json)?;
    let edits: Vec<Edit<'_>> = changes.iter().map(Change::edit).collect();
    let mut edited = Vec::with_capacity(body.len() + 128);
    outline.splice(body, &edits, &mut edited);
    Ok(edited)
}

/// Room for the request in another dialect: they differ in their names more than in their length.
fn request_bytes(exchange: &Exchange<'_>) -> usize {
    usize::try_from(exchange.record.request_bytes).unwrap_or(0).saturating_add(512)
}

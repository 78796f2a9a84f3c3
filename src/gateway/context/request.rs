//! The request as the stages see it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::body_reader::BodyReader;
use super::endpoint::Endpoint;
use super::form::Form;
use crate::http::Framing;
use crate::llm::{ChatRequest, Content, Media, MediaSource, Outline, Part};
use crate::routing::Target;

/// Images that were fetched for a request, by their addresses.
#[derive(Clone, Default)]
pub(crate) struct FetchedImages(RefCell<BTreeMap<String, Media>>);

impl FetchedImages {
    /// True if the image at `url` is there.
    pub(crate) fn has(&self, url: &str) -> bool {
        self.0.borrow().contains_key(url)
    }

    /// Adds an image.
    pub(crate) fn insert(&self, url: String, image: Media) {
        self.0.borrow_mut().insert(url, image);
    }

    /// Puts the bytes of what was fetched in the place of its address.
    pub(crate) fn replace_urls(&self, request: &mut ChatRequest) {
        let fetched = self.0.borrow();
        if fetched.is_empty() {
            return;
        }
        for turn in &mut request.turns {
            each_image(&mut turn.parts, &mut |media| {
                let MediaSource::Url(url) = &media.source else { return };
                if let Some(known) = fetched.get(url) {
                    media.clone_from(known);
                }
            });
        }
    }
}

pub(crate) fn each_image(parts: &mut [Part], visit: &mut impl FnMut(&mut Media)) {
    for part in parts {
        match &mut part.content {
            Content::Image(image) => visit(&mut image.media),
            Content::ToolResult(result) => each_image(&mut result.parts, visit),
            _ => {}
        }
    }
}

/// The model that is requested at `target`, with a provider's name before it if the client wrote one.
pub(crate) fn requested_model(request: &Request, target: Option<&Target>) -> Option<String> {
    requested_model_text(request, target).map(str::to_owned)
}

/// As [`requested_model`], without a copy.
pub(crate) fn requested_model_text<'r>(
    request: &'r Request,
    target: Option<&'r Target>,
) -> Option<&'r str> {
    let of_route =
        |model: fn(&Target) -> &Option<Arc<str>>| target.and_then(|it| model(it).as_deref());
    let named = of_route(|it| &it.override_model).or_else(|| request.model());
    named.or_else(|| of_route(|it| &it.default_model))
}

/// The request as the later stages see it.
pub(crate) struct Request {
    pub endpoint: Endpoint,
    pub body: Body,
    /// Images that were fetched for it.
    pub images: FetchedImages,
    /// A stream is wanted as one JSON array, Google's other form of it.
    pub as_array: bool,
}

/// The body of a request.
pub(crate) enum Body {
    /// None at all.
    Empty,
    /// JSON, kept whole, with what the scan found.
    Json { bytes: Bytes, outline: Outline },
    /// A form, kept whole since its model stands at its end.
    Form { bytes: Bytes, form: Form },
    /// Still on the client's connection, but for what has been looked at; `forward` pumps it.
    Streamed { framing: Framing, body_reader: BodyReader, held: Vec<u8>, form: Option<Box<Form>> },
}

impl Request {
    /// The same once more, with the same bytes; of a body that is streamed there is no copy.
    pub(crate) fn copy(&self) -> Self {
        let body = match &self.body {
            Body::Json { bytes, outline } => {
                Body::Json { bytes: bytes.clone(), outline: outline.clone() }
            }
            Body::Form { bytes, form } => Body::Form { bytes: bytes.clone(), form: form.clone() },
            Body::Empty | Body::Streamed { .. } => Body::Empty,
        };
        Self { body, images: self.images.clone(), ..*self }
    }

    /// Bytes of a body that is kept.
    pub(crate) fn body_bytes(&self) -> usize {
        match &self.body {
            Body::Json { bytes, .. } | Body::Form { bytes, .. } => bytes.len(),
            Body::Empty | Body::Streamed { .. } => 0,
        }
    }

    /// The model the client named.
    pub(crate) fn model(&self) -> Option<&str> {
        match &self.body {
            Body::Json { outline, .. } => outline.model.as_deref(),
            _ => self.form().and_then(|form| form.model.as_deref()),
        }
    }

    /// The form that the body is.
    pub(crate) fn form(&self) -> Option<&Form> {
        match &self.body {
            Body::Form { form, .. } => Some(form),
            Body::Streamed { form, .. } => form.as_deref(),
            Body::Empty | Body::Json { .. } => None,
        }
    }

    /// True for a form whose model is out of sight, behind a file too large to hold.
    pub(crate) fn hides_model(&self) -> bool {
        matches!(&self.body, Body::Streamed { form: Some(form), .. } if form.model.is_none())
    }

    /// True if the client wants a stream.
    pub(crate) fn is_stream(&self) -> bool {
        matches!(&self.body, Body::Json { outline, .. } if outline.stream)
    }

    /// True if the client requested the usage of its stream.
    pub(crate) fn include_usage(&self) -> bool {
        matches!(&self.body, Body::Json { outline, .. } if outline.include_usage)
    }
}

/// True for a content type of JSON, with or without parameters.
pub(crate) fn is_json(content_type: &[u8]) -> bool {
    media_type_is(content_type, b"application/json")
}

/// True if the media type, without its parameters, is `expected`.
pub(crate) fn media_type_is(content_type: &[u8], expected: &[u8]) -> bool {
    let kind = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
    kind.trim_ascii().eq_ignore_ascii_case(expected)
}

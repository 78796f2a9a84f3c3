//! What a key may do: one rule for every path.
//!
//! A key without lists may do what the account at the provider may. One with `models` or `routes`, a
//! limited key, may call the paths whose requests name their model, which is checked, and the paths
//! that the gateway answers itself. All else belongs to the account that all keys share: it takes a key
//! whose `endpoints` hold the path. Unknown paths are refused with it.
//!
//! The model is checked twice: the one that a provider gets when an attempt is prepared, after
//! the route has set it; those that a request names besides as soon as they have been read, since they
//! travel as they are.

use std::sync::Arc;

use super::endpoint::{Endpoint, percent_decoded};
use super::error::GatewayError;
use super::request::{Body, Request};
use super::request_context::RequestContext;
use super::text::bounded;
use crate::http::{Method, RequestHead};
use crate::keys::VirtualKey;
use crate::llm::{each_model_of_member, is_model_member};
use crate::routing::{ActiveRoute, Route};

/// Paths that pass to the provider, whose requests name a model and touch nothing that is stored there.
const INFERENCE: [&str; 19] = [
    "/v1/audio/speech",
    "/v1/audio/transcriptions",
    "/v1/audio/translations",
    "/v1/chat/moderations",
    "/v1/classifications",
    "/v1/contextualizedembeddings",
    "/v1/detokenize",
    "/v1/edits",
    "/v1/fim/completions",
    "/v1/images/edits",
    "/v1/images/generations",
    "/v1/images/variations",
    "/v1/moderations",
    "/v1/multimodalembeddings",
    "/v1/ocr",
    "/v1/responses/compact",
    "/v1/reranking",
    "/v1/score",
    "/v1/tokenize",
];

/// What stands for a model that cannot be known.
const UNSEEN: &str = "(not visible in this request)";

/// True for a path that passes to the provider, whose requests name a model.
pub(crate) fn is_inference(head: &RequestHead) -> bool {
    head.method() == Method::Post && INFERENCE.contains(&head.path())
}

/// Checks the path. Before the body, so that a refused one costs nothing.
pub(crate) fn check_endpoint(
    key: &VirtualKey,
    endpoint: Endpoint,
    head: &RequestHead,
) -> Result<(), GatewayError> {
    let is_passed = endpoint == Endpoint::PassThrough;
    let is_allowed = if key.endpoints.is_given() {
        key.endpoints.hold(head.method().as_str(), head.path())
            && (!is_passed || has_one_reading(head.path()))
    } else {
        !(is_passed && key.is_limited()) || is_inference(head)
    };
    if is_allowed { Ok(()) } else { Err(GatewayError::EndpointDenied) }
}

/// True for a path that no server takes for another: without empty segments, path parameters, and
/// escapes of what separates segments or escapes.
fn has_one_reading(path: &str) -> bool {
    let mut escapes = path.split('%').skip(1);
    let is_harmless = |escape: &str| {
        let decoded = percent_decoded(&format!("%{}", escape.get(..2).unwrap_or_default()));
        !["/", "\\", ".", ";", "%"].contains(&decoded.as_str())
    };
    !path.contains("//") && !path.contains([';', '\\']) && escapes.all(is_harmless)
}

/// Checks a request without a route: one to a provider is none for a key with a list of routes.
pub(crate) fn check_no_route(key: &VirtualKey, endpoint: Endpoint) -> Result<(), GatewayError> {
    let needs_route = !matches!(endpoint, Endpoint::Models | Endpoint::Feedback);
    let is_refused = needs_route && !key.routes.allow_all();
    if is_refused { Err(GatewayError::RouteRequired) } else { Ok(()) }
}

/// Checks a route that the request brings itself.
pub(crate) fn check_inline_route(key: &VirtualKey, route: &Route) -> Result<(), GatewayError> {
    if !key.routes.allow_all() {
        return Err(GatewayError::InlineConfigDenied);
    }
    if key.models.allow_all() {
        return Ok(());
    }
    let mut models = ModelList::new(key);
    let params = route.targets.iter().flat_map(|it| [&it.override_params, &it.default_params]);
    for (name, json) in params.flatten().flat_map(|params| params.members()) {
        if name != "model" {
            let read = each_model_of_member(name, json, &mut |model| models.check(model));
            read.map_err(|_| GatewayError::Invalid(TOO_DEEP.into()))?;
        }
    }
    models.verdict()
}

const TOO_DEEP: &str = "the request is nested too deep to look for the models that it names";

/// Holds models against the list of a key.
pub(crate) struct ModelList<'k> {
    key: &'k VirtualKey,
    refused: Option<String>,
}

impl<'k> ModelList<'k> {
    pub(crate) fn new(key: &'k VirtualKey) -> Self {
        Self { key, refused: None }
    }

    /// Takes one that travels as it is named; Google's names stand in a folder.
    pub(crate) fn check(&mut self, model: &str) {
        let bare = model.strip_prefix("models/").unwrap_or(model);
        if self.refused.is_none() && !self.key.models.allow(bare) {
            self.refused = Some(bounded(model));
        }
    }

    /// The first that the list does not hold.
    pub(crate) fn verdict(self) -> Result<(), GatewayError> {
        self.refused.map_or(Ok(()), |model| Err(GatewayError::ModelDenied(model)))
    }
}

impl Grant {
    /// The key, if it has a list of models.
    pub(crate) fn key_with_models(&self) -> Option<&Arc<VirtualKey>> {
        self.key.as_ref().filter(|key| !key.models.allow_all())
    }

    /// Checks the model that would go to a provider.
    pub(crate) fn check_model(&self, model: &str) -> Result<(), GatewayError> {
        match self.key_with_models() {
            Some(key) if !key.models.allow(model) => Err(GatewayError::ModelDenied(bounded(model))),
            _ => Ok(()),
        }
    }

    /// Checks the models that a request names besides that of its member `model`.
    pub(crate) fn check_other_models(
        &self,
        head: &RequestHead,
        request: &Request,
    ) -> Result<(), GatewayError> {
        let Some(key) = self.key_with_models() else { return Ok(()) };
        let mut models = ModelList::new(key);
        for pair in head.query().unwrap_or_default().split('&') {
            let (name, value) = pair.split_once('=').unwrap_or_default();
            if is_model_member(&percent_decoded(name)) && !value.is_empty() {
                models.check(&percent_decoded(value));
            }
        }
        if let Body::Json { bytes, outline } = &request.body {
            let mut read = outline.each_other_model(bytes, &mut |model| models.check(model));
            let is_in_path = request.endpoint.has_model_in_path();
            if let Some(json) = outline.value(bytes, "model").filter(|_| is_in_path) {
                let one = each_model_of_member("model", json, &mut |model| models.check(model));
                read = read.and(one);
            }
            read.map_err(|_| GatewayError::Invalid(TOO_DEEP.into()))?;
        }
        models.verdict()
    }

    /// Refuses what could name any model, whatever the route: a body that is not looked at, which
    /// is not edited either, and one that names none, which may mean a stored one.
    pub(crate) fn check_visible(
        &self,
        context: &RequestContext<'_>,
        request: &Request,
        model: Option<&str>,
    ) -> Result<(), GatewayError> {
        let needs_model = match request.endpoint {
            Endpoint::Realtime => true,
            Endpoint::PassThrough => is_inference(context.head),
            _ => false,
        };
        let is_unseen = match &request.body {
            Body::Empty => false,
            Body::Json { .. } | Body::Form { .. } => model.is_none(),
            // What a target sets is written into it as it passes.
            Body::Streamed { form: Some(_), .. } => model.is_none(),
            Body::Streamed { .. } => true,
        };
        if needs_model && is_unseen { self.check_model(UNSEEN) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ambiguous_paths_are_rejected() {
        for path in ["/v1/files/file-1/content", "/v1/models/ft:gpt-4o:org::1", "/v1/a%20b/%C3%A9"]
        {
            assert!(has_one_reading(path), "{path}");
        }
        for path in [
            "/v1//files",
            "/v1/files/..;/x",
            "/v1/files/..%3b/x",
            "/v1/files/%2e%2e/x",
            "/v1/files%2Fx",
            "/v1/files%5cx",
            "/v1/files/%252e%252e/x",
            "/v1/files\\x",
        ] {
            assert!(!has_one_reading(path), "{path}");
        }
    }
}

/// What the request may do.
#[derive(Clone)]
pub(crate) struct Grant {
    /// The key that was presented; none where no key is configured.
    pub key: Option<Arc<VirtualKey>>,
    /// The route that selects the provider.
    pub route: Option<Arc<ActiveRoute>>,
}

impl Grant {
    /// The route without what is known of its targets.
    pub(crate) fn route(&self) -> Option<&Route> {
        self.route.as_deref().map(ActiveRoute::route)
    }
}

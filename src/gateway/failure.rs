//! Every way a request can fail, and what the client is told: the one place where an error
//! becomes HTTP.
//!
//! Public messages carry no secret, no prompt, no internal address and no source chain.

use std::borrow::Cow;
use std::time::Duration;

use super::record::Exchange;
use super::settle::outcome_of;
use crate::dialects::{Unsupported, codec, write_last_error};
use crate::http::{BodyError, FormError, HeadError};
use crate::llm::{ApiError, ChatRequest, Chunk, Dialect, JsonError, Malformed};
use crate::routing::RouteError;
use crate::telemetry::Outcome;

/// Why a request ended without the provider's answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{0}")]
    Head(#[source] HeadError),
    #[error("malformed request body: {0}")]
    Body(#[source] BodyError),
    #[error("malformed form: {0}")]
    Form(#[source] FormError),
    #[error(
        "the part `model` stands behind a file too large to hold (over {limit} bytes, server.body_bytes_max): put `model` before the file"
    )]
    FormModelUnseen { limit: u64 },
    #[error("the request was not complete in time: {0}")]
    RequestTimeout(&'static str),
    #[error("the body is over the limit of {limit} bytes (server.body_bytes_max)")]
    BodyTooLarge { limit: u64 },
    #[error("expected content type application/json without content encoding")]
    MediaType,
    #[error("invalid JSON: {0}")]
    Json(#[source] JsonError),
    #[error("{0}")]
    Invalid(Cow<'static, str>),
    #[error("{0}")]
    Malformed(#[source] Malformed),
    #[error("{0}")]
    Unsupported(#[source] Unsupported),
    #[error("the picture at `{host}` could not be fetched: {reason}")]
    Picture { host: String, reason: &'static str },
    #[error("invalid config: {0}")]
    Config(#[source] RouteError),
    #[error("no route is named `{0}`")]
    UnknownRoute(String),
    #[error("no such path; this gateway serves /v1/*")]
    NotFound,
    #[error("no model is named `{0}` here")]
    ModelNotFound(String),
    #[error("this path does not take that method")]
    MethodNotAllowed,
    #[error(
        "expected a WebSocket handshake here: GET over HTTP/1.1 with `connection: upgrade`, `upgrade: websocket` and `sec-websocket-version: 13`"
    )]
    UpgradeRequired,
    #[error("no provider serves the model `{model}`: {hint}")]
    UnknownModel { model: String, hint: String },
    #[error("no provider is named `{0}`")]
    UnknownProvider(String),
    #[error("missing or unknown API key: send a virtual key as `Authorization: Bearer …`")]
    ApiKey,
    #[error("this key may not use the model `{0}`")]
    ModelDenied(String),
    #[error("this key may not use the route `{0}`")]
    RouteDenied(String),
    #[error(
        "this key may use the routes of its list only, which an inline config is not: name one of them in x-ringgate-config"
    )]
    InlineConfigDenied,
    #[error("this key may use the routes of its list only: name one of them in x-ringgate-config")]
    RouteRequired,
    #[error(
        "this key may not call this path: it has a list of models, routes or endpoints, and keys.NAME.endpoints does not hold the path"
    )]
    EndpointDenied,
    #[error("the gateway is at its limit of {0}; try again shortly")]
    Overloaded(&'static str),
    #[error("the credential of provider `{provider}` could not be obtained; try again shortly")]
    Credential { provider: String },
    #[error(
        "the route names no target for this request: no condition holds, and it has no default"
    )]
    NoTarget,
    #[error("provider `{provider}` cannot be reached: {reason}")]
    Unreachable { provider: String, reason: &'static str },
    #[error("provider `{provider}` sent an invalid answer: {reason}")]
    InvalidAnswer { provider: String, reason: &'static str },
    /// It tells an error where an answer was to be, under a status of success.
    #[error("provider `{provider}` reported an error: {}", .error.message)]
    ProviderError { provider: String, error: Box<ApiError>, retry_after: Option<Duration> },
    #[error("provider `{provider}` did not answer in time ({phase})")]
    UpstreamTimeout { provider: String, phase: &'static str },
    /// Not told to anybody: there is nobody left to tell.
    #[error("the client closed the connection")]
    ClientLeft,
    /// Likewise: it does not read what we send.
    #[error("the client does not read its answer")]
    ClientStalled,
}

/// One row of the table of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// HTTP status; 0 where nothing can be sent.
    pub status: u16,
    /// The gateway's code, as documented.
    pub code: &'static str,
    /// OpenAI's error type.
    pub kind: &'static str,
    /// Whose fault it is.
    pub side: Outcome,
}

const fn row(status: u16, code: &'static str, kind: &'static str, side: Outcome) -> Row {
    Row { status, code, kind, side }
}

const fn client(status: u16, code: &'static str) -> Row {
    row(status, code, "invalid_request_error", Outcome::ClientError)
}

const fn upstream(status: u16, code: &'static str) -> Row {
    row(status, code, "upstream_error", Outcome::UpstreamError)
}

impl Failure {
    /// The table.
    /// True where there is no client any more who could be told.
    pub(super) fn has_no_client(&self) -> bool {
        self.row().status == 0
    }

    pub(super) fn row(&self) -> Row {
        match self {
            Self::Head(HeadError::TargetTooLong) => client(414, "uri_too_long"),
            Self::Head(HeadError::HeadTooLarge) => client(431, "headers_too_large"),
            Self::Head(HeadError::MethodNotAllowed) | Self::MethodNotAllowed => {
                client(405, "method_not_allowed")
            }
            Self::Head(_)
            | Self::Body(_)
            | Self::Form(_)
            | Self::Invalid(_)
            | Self::Malformed(_)
            | Self::Unsupported(_)
            | Self::Picture { .. } => client(400, "invalid_request"),
            Self::UpgradeRequired => client(426, "upgrade_required"),
            Self::RequestTimeout(_) => client(408, "request_timeout"),
            Self::BodyTooLarge { .. } | Self::FormModelUnseen { .. } => {
                client(413, "body_too_large")
            }
            Self::MediaType => client(415, "unsupported_media_type"),
            Self::Json(_) => client(400, "invalid_json"),
            Self::Config(_) | Self::UnknownRoute(_) => client(400, "invalid_config"),
            Self::NotFound => client(404, "not_found"),
            Self::ModelNotFound(_) => client(404, "unknown_model"),
            Self::UnknownModel { .. } => client(400, "unknown_model"),
            Self::UnknownProvider(_) => client(400, "unknown_provider"),
            Self::ApiKey => {
                row(401, "invalid_api_key", "authentication_error", Outcome::ClientError)
            }
            Self::ModelDenied(_) => {
                row(403, "model_not_allowed", "permission_error", Outcome::ClientError)
            }
            Self::EndpointDenied => {
                row(403, "endpoint_not_allowed", "permission_error", Outcome::ClientError)
            }
            Self::RouteDenied(_) | Self::InlineConfigDenied | Self::RouteRequired => {
                row(403, "route_not_allowed", "permission_error", Outcome::ClientError)
            }
            Self::Overloaded(_) => {
                row(503, "overloaded", "overloaded_error", Outcome::GatewayError)
            }
            Self::Credential { .. } => {
                row(503, "no_target_available", "api_error", Outcome::GatewayError)
            }
            Self::NoTarget => client(400, "invalid_config"),
            Self::Unreachable { .. } => upstream(502, "upstream_unreachable"),
            Self::InvalidAnswer { .. } => upstream(502, "upstream_invalid_response"),
            Self::UpstreamTimeout { .. } => upstream(504, "upstream_timeout"),
            // As if the provider had answered with that status; the client gets its words.
            Self::ProviderError { error, .. } => {
                let side = outcome_of(error.status, false);
                row(error.status, "provider", "upstream_error", side)
            }
            Self::ClientLeft => row(0, "client_left", "", Outcome::ClientLeft),
            Self::ClientStalled => row(0, "client_stalled", "", Outcome::ClientLeft),
        }
    }

    /// True if another target may do better, and the client has seen nothing yet.
    pub(super) fn may_be_mended(&self, exchange: &Exchange<'_>) -> bool {
        self.is_of_provider() && !exchange.record.answer_begun
    }

    /// True if it shows how the provider does.
    pub(super) fn is_of_provider(&self) -> bool {
        self.row().side == Outcome::UpstreamError || matches!(self, Self::ProviderError { .. })
    }

    /// How long the client should wait before it tries again, where we know.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        if let Self::ProviderError { retry_after, .. } = self {
            return *retry_after;
        }
        let is_short = matches!(self, Self::Overloaded(_) | Self::Credential { .. });
        is_short.then_some(Duration::from_secs(1))
    }

    /// The error as the JSON object of a client's dialect.
    pub(super) fn to_json(&self, dialect: Dialect) -> Vec<u8> {
        let mut out = Vec::new();
        if let Some(codec) = codec(dialect).or_else(|| codec(Dialect::OpenaiChat)) {
            codec.write_error(&self.to_api_error(), &mut out);
        }
        out
    }

    /// The error as the events that end a stream in a client's dialect.
    pub(super) fn to_events(&self, dialect: Dialect, number: u64) -> Vec<u8> {
        let mut out = Vec::new();
        if dialect == Dialect::OpenaiResponses {
            write_last_error(&self.to_api_error(), number, &mut out);
            return out;
        }
        if let Some(codec) = codec(dialect).or_else(|| codec(Dialect::OpenaiChat)) {
            let mut encoder = codec.stream_encoder(&ChatRequest::default(), 0);
            encoder.push(&Chunk::Error(self.to_api_error()), &mut out);
        }
        out
    }

    /// The failure as clients are told of it.
    pub(super) fn to_api_error(&self) -> ApiError {
        if let Self::ProviderError { error, .. } = self {
            return ApiError::clone(error);
        }
        let row = self.row();
        ApiError {
            status: row.status,
            message: self.to_string(),
            kind: row.kind.to_owned(),
            code: Some(row.code.to_owned()),
            param: self.param().map(str::to_owned),
        }
    }

    fn param(&self) -> Option<&str> {
        match self {
            Self::UnknownModel { .. } | Self::ModelNotFound(_) | Self::ModelDenied(_) => {
                Some("model")
            }
            Self::Malformed(error) => Some(&error.path),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_the_contract() {
        let provider = || "p".to_owned();
        for (failure, status, code) in [
            (Failure::Head(HeadError::Malformed("x")), 400, "invalid_request"),
            (Failure::Head(HeadError::UnsupportedVersion), 400, "invalid_request"),
            (Failure::Head(HeadError::TargetTooLong), 414, "uri_too_long"),
            (Failure::Head(HeadError::HeadTooLarge), 431, "headers_too_large"),
            (Failure::Head(HeadError::MethodNotAllowed), 405, "method_not_allowed"),
            (Failure::MethodNotAllowed, 405, "method_not_allowed"),
            (Failure::Body(BodyError::Truncated), 400, "invalid_request"),
            (Failure::Form(FormError::Truncated), 400, "invalid_request"),
            (Failure::FormModelUnseen { limit: 1 }, 413, "body_too_large"),
            (Failure::RequestTimeout("head"), 408, "request_timeout"),
            (Failure::BodyTooLarge { limit: 1 }, 413, "body_too_large"),
            (Failure::MediaType, 415, "unsupported_media_type"),
            (Failure::Json(JsonError::NotAnObject), 400, "invalid_json"),
            (Failure::Invalid("x".into()), 400, "invalid_request"),
            (Failure::Malformed(Malformed::new("a string")), 400, "invalid_request"),
            (Failure::Unsupported(Unsupported::new("a", "b")), 400, "invalid_request"),
            (Failure::Picture { host: "h".into(), reason: "r" }, 400, "invalid_request"),
            (Failure::UnknownRoute("r".into()), 400, "invalid_config"),
            (Failure::NotFound, 404, "not_found"),
            (Failure::UpgradeRequired, 426, "upgrade_required"),
            (Failure::ModelNotFound("m".into()), 404, "unknown_model"),
            (Failure::UnknownModel { model: "m".into(), hint: "h".into() }, 400, "unknown_model"),
            (Failure::UnknownProvider("p".into()), 400, "unknown_provider"),
            (Failure::ApiKey, 401, "invalid_api_key"),
            (Failure::ModelDenied("m".into()), 403, "model_not_allowed"),
            (Failure::RouteDenied("r".into()), 403, "route_not_allowed"),
            (Failure::InlineConfigDenied, 403, "route_not_allowed"),
            (Failure::RouteRequired, 403, "route_not_allowed"),
            (Failure::EndpointDenied, 403, "endpoint_not_allowed"),
            (Failure::Overloaded("requests"), 503, "overloaded"),
            (Failure::Credential { provider: provider() }, 503, "no_target_available"),
            (
                Failure::Unreachable { provider: provider(), reason: "r" },
                502,
                "upstream_unreachable",
            ),
            (
                Failure::InvalidAnswer { provider: provider(), reason: "r" },
                502,
                "upstream_invalid_response",
            ),
            (
                Failure::UpstreamTimeout { provider: provider(), phase: "connect" },
                504,
                "upstream_timeout",
            ),
            (Failure::NoTarget, 400, "invalid_config"),
            (Failure::ClientLeft, 0, "client_left"),
            (Failure::ClientStalled, 0, "client_stalled"),
        ] {
            let row = failure.row();
            assert_eq!((row.status, row.code), (status, code), "{failure}");
            let openai: serde_json::Value =
                serde_json::from_slice(&failure.to_json(Dialect::OpenaiChat)).expect("JSON");
            assert_eq!(openai["error"]["code"], code);
            assert!(openai["error"]["message"].is_string());
            for dialect in Dialect::ALL {
                let told = failure.to_json(dialect);
                assert!(serde_json::from_slice::<serde_json::Value>(&told).is_ok(), "{dialect:?}");
                assert!(!failure.to_events(dialect, 0).is_empty(), "{dialect:?}");
            }
        }
    }

    #[test]
    fn an_error_of_a_provider_keeps_its_status_and_words() {
        for (status, side) in [
            (429, Outcome::UpstreamError),
            (502, Outcome::UpstreamError),
            (400, Outcome::ClientError),
        ] {
            let error = ApiError {
                status,
                message: "m".to_owned(),
                kind: "k".to_owned(),
                code: Some("c".to_owned()),
                param: None,
            };
            let retry_after = Some(Duration::from_secs(3));
            let error = Box::new(error);
            let failure = Failure::ProviderError { provider: "p".to_owned(), error, retry_after };
            let row = failure.row();
            assert_eq!((row.status, row.side, row.code), (status, side, "provider"));
            assert_eq!(failure.retry_after(), retry_after);
            assert!(failure.is_of_provider());
            let told: serde_json::Value =
                serde_json::from_slice(&failure.to_json(Dialect::OpenaiChat)).expect("JSON");
            let told = |key: &str| told["error"][key].as_str().map(str::to_owned);
            let expected = ["m", "k", "c"].map(|text| Some(text.to_owned()));
            assert_eq!(["message", "type", "code"].map(told), expected);
        }
    }
}

//! Every way a request can fail, and how that is reported to the client: the one place where an error
//! becomes HTTP.
//!
//! Public messages carry no secret, no prompt, no internal address and no source chain.

use std::borrow::Cow;
use std::error::Error;
use std::io;
use std::time::Duration;

use super::text::bounded;
use crate::dialects::{Unsupported, client_codec, write_last_error};
use crate::http::{BodyError, FormError, HeadError};
use crate::llm::{ApiError, ChatRequest, Chunk, Dialect, JsonError, Malformed};
use crate::routing::RouteError;
use crate::telemetry::RequestOutcome;

/// Why a request ended without the provider's response.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GatewayError {
    #[error("{0}")]
    Head(#[source] HeadError),
    #[error("malformed request body: {0}")]
    Body(#[source] BodyError),
    #[error("malformed form: {0}")]
    Form(#[source] FormError),
    #[error(
        "the form field `model` follows a file of more than {limit} bytes (server.body_bytes_max): send `model` before the file"
    )]
    FormModelUnseen { limit: u64 },
    #[error("request timed out: {0}")]
    RequestTimeout(&'static str),
    #[error("request body exceeds {limit} bytes (server.body_bytes_max)")]
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
    #[error("cannot fetch the image at `{host}`: {reason}")]
    Image { host: String, reason: &'static str },
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
        "this key may use its configured routes only, not an inline config: name a route in x-ringgate-config"
    )]
    InlineConfigDenied,
    #[error("this key may use its configured routes only: name one of them in x-ringgate-config")]
    RouteRequired,
    #[error(
        "this key may not call this path: the key is restricted, and keys.NAME.endpoints does not list the path"
    )]
    EndpointDenied,
    #[error("gateway overloaded ({0}); retry later")]
    Overloaded(&'static str),
    #[error("cannot obtain the credential of provider `{provider}`; retry later")]
    Credential { provider: String },
    #[error(
        "no target matches this request: no condition of the route is true and `strategy.default` is not set"
    )]
    NoTarget,
    #[error("provider `{provider}` cannot be reached: {reason}")]
    Unreachable { provider: String, reason: &'static str, source: io::Error },
    #[error("provider `{provider}` sent an invalid response: {reason}")]
    InvalidAnswer {
        provider: String,
        reason: &'static str,
        /// None where nothing but the response itself is wrong.
        source: Option<io::Error>,
    },
    /// An error where a response was to be, under a status of success.
    #[error("provider `{provider}` reported an error: {}", .error.message)]
    ProviderError { provider: String, error: Box<ApiError>, retry_after: Option<Duration> },
    #[error("provider `{provider}` timed out ({phase})")]
    UpstreamTimeout { provider: String, phase: &'static str },
    /// Not reported: the client is gone.
    #[error("the client closed the connection")]
    ClientLeft,
    /// Likewise: it does not read what we send.
    #[error("the client stopped reading the response")]
    ClientStalled,
}

/// How an error is reported: one row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ErrorSpec {
    /// HTTP status; 0 where nothing can be sent.
    pub status: u16,
    /// The gateway's code, as documented.
    pub code: &'static str,
    /// OpenAI's error type.
    pub kind: &'static str,
    /// Whose fault it is.
    pub outcome: RequestOutcome,
}

const fn spec(
    status: u16,
    code: &'static str,
    kind: &'static str,
    outcome: RequestOutcome,
) -> ErrorSpec {
    ErrorSpec { status, code, kind, outcome }
}

const fn client(status: u16, code: &'static str) -> ErrorSpec {
    spec(status, code, "invalid_request_error", RequestOutcome::ClientError)
}

const fn upstream(status: u16, code: &'static str) -> ErrorSpec {
    spec(status, code, "upstream_error", RequestOutcome::UpstreamError)
}

impl GatewayError {
    /// True where there is no client any more to report it to.
    pub(crate) fn has_no_client(&self) -> bool {
        self.spec().status == 0
    }

    /// The row of the table for this error.
    pub(crate) fn spec(&self) -> ErrorSpec {
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
            | Self::Image { .. } => client(400, "invalid_request"),
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
                spec(401, "invalid_api_key", "authentication_error", RequestOutcome::ClientError)
            }
            Self::ModelDenied(_) => {
                spec(403, "model_not_allowed", "permission_error", RequestOutcome::ClientError)
            }
            Self::EndpointDenied => {
                spec(403, "endpoint_not_allowed", "permission_error", RequestOutcome::ClientError)
            }
            Self::RouteDenied(_) | Self::InlineConfigDenied | Self::RouteRequired => {
                spec(403, "route_not_allowed", "permission_error", RequestOutcome::ClientError)
            }
            Self::Overloaded(_) => {
                spec(503, "overloaded", "overloaded_error", RequestOutcome::GatewayError)
            }
            Self::Credential { .. } => {
                spec(503, "no_target_available", "api_error", RequestOutcome::GatewayError)
            }
            Self::NoTarget => client(400, "invalid_config"),
            Self::Unreachable { .. } => upstream(502, "upstream_unreachable"),
            Self::InvalidAnswer { .. } => upstream(502, "upstream_invalid_response"),
            Self::UpstreamTimeout { .. } => upstream(504, "upstream_timeout"),
            // As if the provider had answered with that status; the client gets its words.
            Self::ProviderError { error, .. } => {
                let outcome = outcome_of_status(error.status, false);
                spec(error.status, "provider", "upstream_error", outcome)
            }
            Self::ClientLeft => spec(0, "client_left", "", RequestOutcome::ClientLeft),
            Self::ClientStalled => spec(0, "client_stalled", "", RequestOutcome::ClientLeft),
        }
    }

    /// True if it shows how the provider does.
    pub(crate) fn is_of_provider(&self) -> bool {
        self.spec().outcome == RequestOutcome::UpstreamError
            || matches!(self, Self::ProviderError { .. })
    }

    /// What the system reported where the provider failed, for the operator: clients are not shown it.
    pub(crate) fn cause(&self) -> Option<Box<str>> {
        match self {
            Self::Unreachable { .. } | Self::InvalidAnswer { .. } => {
                self.source().map(|source| bounded(&source.to_string()).into_boxed_str())
            }
            _ => None,
        }
    }

    /// How long the client should wait before it tries again, where we know.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        if let Self::ProviderError { retry_after, .. } = self {
            return *retry_after;
        }
        let is_short = matches!(self, Self::Overloaded(_) | Self::Credential { .. });
        is_short.then_some(Duration::from_secs(1))
    }

    /// The error as the JSON object of a client's dialect.
    pub(crate) fn to_json(&self, dialect: Dialect) -> Vec<u8> {
        let mut out = Vec::new();
        client_codec(dialect).write_error(&self.to_api_error(), &mut out);
        out
    }

    /// The error as the events that end a stream in a client's dialect.
    pub(crate) fn to_events(&self, dialect: Dialect, number: u64) -> Vec<u8> {
        let mut out = Vec::new();
        if dialect == Dialect::OpenaiResponses {
            write_last_error(&self.to_api_error(), number, &mut out);
            return out;
        }
        let mut encoder = client_codec(dialect).stream_encoder(&ChatRequest::default(), 0);
        encoder.push(&Chunk::Error(self.to_api_error()), &mut out);
        out
    }

    /// The error as it is reported to clients.
    pub(crate) fn to_api_error(&self) -> ApiError {
        if let Self::ProviderError { error, .. } = self {
            return ApiError::clone(error);
        }
        let spec = self.spec();
        ApiError {
            status: spec.status,
            message: self.to_string(),
            kind: spec.kind.to_owned(),
            code: Some(spec.code.to_owned()),
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

/// Whose fault a status is that a provider sent: a request it could not accept is the client's; a
/// refused credential, a limit or a breakdown is between the gateway and the provider.
pub(crate) fn outcome_of_status(status: u16, stream_error: bool) -> RequestOutcome {
    match status {
        _ if stream_error => RequestOutcome::UpstreamError,
        ..=399 => RequestOutcome::Success,
        401 | 403 | 408 | 429 | 500.. => RequestOutcome::UpstreamError,
        _ => RequestOutcome::ClientError,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_table_matches_the_contract() {
        let provider = || "p".to_owned();
        for (failure, status, code) in [
            (GatewayError::Head(HeadError::Malformed("x")), 400, "invalid_request"),
            (GatewayError::Head(HeadError::UnsupportedVersion), 400, "invalid_request"),
            (GatewayError::Head(HeadError::TargetTooLong), 414, "uri_too_long"),
            (GatewayError::Head(HeadError::HeadTooLarge), 431, "headers_too_large"),
            (GatewayError::Head(HeadError::MethodNotAllowed), 405, "method_not_allowed"),
            (GatewayError::MethodNotAllowed, 405, "method_not_allowed"),
            (GatewayError::Body(BodyError::Truncated), 400, "invalid_request"),
            (GatewayError::Form(FormError::Truncated), 400, "invalid_request"),
            (GatewayError::FormModelUnseen { limit: 1 }, 413, "body_too_large"),
            (GatewayError::RequestTimeout("head"), 408, "request_timeout"),
            (GatewayError::BodyTooLarge { limit: 1 }, 413, "body_too_large"),
            (GatewayError::MediaType, 415, "unsupported_media_type"),
            (GatewayError::Json(JsonError::NotAnObject), 400, "invalid_json"),
            (GatewayError::Invalid("x".into()), 400, "invalid_request"),
            (GatewayError::Malformed(Malformed::new("a string")), 400, "invalid_request"),
            (GatewayError::Unsupported(Unsupported::new("a", "b")), 400, "invalid_request"),
            (GatewayError::Image { host: "h".into(), reason: "r" }, 400, "invalid_request"),
            (GatewayError::UnknownRoute("r".into()), 400, "invalid_config"),
            (GatewayError::NotFound, 404, "not_found"),
            (GatewayError::UpgradeRequired, 426, "upgrade_required"),
            (GatewayError::ModelNotFound("m".into()), 404, "unknown_model"),
            (
                GatewayError::UnknownModel { model: "m".into(), hint: "h".into() },
                400,
                "unknown_model",
            ),
            (GatewayError::UnknownProvider("p".into()), 400, "unknown_provider"),
            (GatewayError::ApiKey, 401, "invalid_api_key"),
            (GatewayError::ModelDenied("m".into()), 403, "model_not_allowed"),
            (GatewayError::RouteDenied("r".into()), 403, "route_not_allowed"),
            (GatewayError::InlineConfigDenied, 403, "route_not_allowed"),
            (GatewayError::RouteRequired, 403, "route_not_allowed"),
            (GatewayError::EndpointDenied, 403, "endpoint_not_allowed"),
            (GatewayError::Overloaded("requests"), 503, "overloaded"),
            (GatewayError::Credential { provider: provider() }, 503, "no_target_available"),
            (
                GatewayError::Unreachable {
                    provider: provider(),
                    reason: "r",
                    source: io::ErrorKind::ConnectionRefused.into(),
                },
                502,
                "upstream_unreachable",
            ),
            (
                GatewayError::InvalidAnswer { provider: provider(), reason: "r", source: None },
                502,
                "upstream_invalid_response",
            ),
            (
                GatewayError::UpstreamTimeout { provider: provider(), phase: "connect" },
                504,
                "upstream_timeout",
            ),
            (GatewayError::NoTarget, 400, "invalid_config"),
            (GatewayError::ClientLeft, 0, "client_left"),
            (GatewayError::ClientStalled, 0, "client_stalled"),
        ] {
            let spec = failure.spec();
            assert_eq!((spec.status, spec.code), (status, code), "{failure}");
            let openai: serde_json::Value =
                serde_json::from_slice(&failure.to_json(Dialect::OpenaiChat)).expect("JSON");
            assert_eq!(openai["error"]["code"], code);
            assert!(openai["error"]["message"].is_string());
            for dialect in Dialect::ALL {
                let written = failure.to_json(dialect);
                assert!(
                    serde_json::from_slice::<serde_json::Value>(&written).is_ok(),
                    "{dialect:?}"
                );
                assert!(!failure.to_events(dialect, 0).is_empty(), "{dialect:?}");
            }
        }
    }

    #[test]
    fn provider_error_keeps_status_and_message() {
        for (status, outcome) in [
            (429, RequestOutcome::UpstreamError),
            (502, RequestOutcome::UpstreamError),
            (400, RequestOutcome::ClientError),
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
            let failure =
                GatewayError::ProviderError { provider: "p".to_owned(), error, retry_after };
            let spec = failure.spec();
            assert_eq!((spec.status, spec.outcome, spec.code), (status, outcome, "provider"));
            assert_eq!(failure.retry_after(), retry_after);
            assert!(failure.is_of_provider());
            let written: serde_json::Value =
                serde_json::from_slice(&failure.to_json(Dialect::OpenaiChat)).expect("JSON");
            let written = |key: &str| written["error"][key].as_str().map(str::to_owned);
            let expected = ["m", "k", "c"].map(|text| Some(text.to_owned()));
            assert_eq!(["message", "type", "code"].map(written), expected);
        }
    }

    #[test]
    fn error_source_follows_provider_status() {
        for (status, expected) in [
            (200, RequestOutcome::Success),
            (304, RequestOutcome::Success),
            (400, RequestOutcome::ClientError),
            (404, RequestOutcome::ClientError),
            (401, RequestOutcome::UpstreamError),
            (429, RequestOutcome::UpstreamError),
            (529, RequestOutcome::UpstreamError),
        ] {
            assert_eq!(outcome_of_status(status, false), expected, "{status}");
        }
        assert_eq!(outcome_of_status(200, true), RequestOutcome::UpstreamError);
    }
}

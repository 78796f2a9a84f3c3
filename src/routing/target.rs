//! A target: its provider, edits, limits and retries, with all inherited settings applied.

use std::sync::Arc;
use std::time::Duration;

use super::breaker::BreakerRule;
use super::drop_path::DropParams;
use super::params::Params;
use super::retry::RetryRule;
use crate::base::Secret;

/// A provider and the edits that a route makes for it.
#[derive(Clone, Debug)]
pub struct Target {
    /// True if it comes from a request header.
    pub is_inline: bool,
    /// Its path in the config, as reported in the header `last-used-option-index`.
    pub path: Arc<str>,
    /// Name of a configured provider (without `@`) or of a preset; `None`: the request names it.
    pub provider: Option<String>,
    /// The model set by `override_params` or as `@provider/model`.
    pub override_model: Option<Arc<str>>,
    /// The model from `default_params`, for a request that names none.
    pub default_model: Option<Arc<str>>,
    /// The credential, if the config contains one.
    pub api_key: Option<Secret>,
    /// The base URL, if the config contains one.
    pub custom_host: Option<Arc<str>>,
    /// Members that override the client's.
    pub override_params: Option<Arc<Params>>,
    /// Members used if the client sets none.
    pub default_params: Option<Arc<Params>>,
    /// Members that are removed last.
    pub drop_params: DropParams,
    /// Names of request headers that are copied to the provider.
    pub forward_headers: Arc<[String]>,
    /// Timeout of one attempt.
    pub request_timeout: Option<Duration>,
    /// Timeout until the first content of one attempt.
    pub first_token_timeout: Option<Duration>,
    /// Its retry policy.
    pub retry: RetryRule,
    /// Its circuit breaker.
    pub breaker: BreakerRule,
}

//! A target: who answers, with which edits, limits and retries. All that is inherited is in it.

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
    /// True if it came in a request header.
    pub is_inline: bool,
    /// Its place in the config, as the header `last-used-option-index` reports it.
    pub path: Arc<str>,
    /// Name of a configured provider (without `@`) or of a preset; none: the request names it.
    pub provider: Option<String>,
    /// The model that the route sets, by `override_params` or as `@provider/model`.
    pub override_model: Option<Arc<str>>,
    /// The model that `default_params` gives to a request that names none.
    pub default_model: Option<Arc<str>>,
    /// The credential, where the config brings one.
    pub api_key: Option<Secret>,
    /// The host, where the config names one.
    pub custom_host: Option<Arc<str>>,
    /// Members that replace the client's.
    pub override_params: Option<Arc<Params>>,
    /// Members used when the client gives none.
    pub default_params: Option<Arc<Params>>,
    /// Members that are taken out last.
    pub drop_params: DropParams,
    /// Names of request headers that are copied to the provider.
    pub forward_headers: Arc<[String]>,
    /// Limit of one attempt.
    pub request_timeout: Option<Duration>,
    /// Until the first content of one attempt.
    pub first_token_timeout: Option<Duration>,
    /// Whether failed attempts are repeated.
    pub retry: RetryRule,
    /// Its circuit breaker.
    pub breaker: BreakerRule,
}

//! Settings that a target inherits from the groups around it.

use std::sync::Arc;

use super::breaker::BreakerRule;
use super::params::Params;
use super::path_set::Bits;
use super::retry::RetryRule;

/// The inherited settings. Cloned for each node of the tree, so its parts are small or shared.
#[derive(Clone)]
pub(super) struct Inheritance {
    pub override_params: Option<Arc<Params>>,
    pub default_params: Option<Arc<Params>>,
    pub override_model: Option<Arc<str>>,
    pub default_model: Option<Arc<str>>,
    /// A subset of the paths of the route.
    pub drop_params: Bits,
    pub retry: RetryRule,
    pub breaker: BreakerRule,
    pub first_token_timeout: Option<u64>,
    pub forward_headers: Arc<[String]>,
    pub custom_host: Option<Arc<str>>,
}

impl Default for Inheritance {
    fn default() -> Self {
        Self {
            override_params: None,
            default_params: None,
            override_model: None,
            default_model: None,
            drop_params: 0,
            retry: RetryRule::default(),
            breaker: BreakerRule::default(),
            first_token_timeout: None,
            forward_headers: Arc::from([]),
            custom_host: None,
        }
    }
}

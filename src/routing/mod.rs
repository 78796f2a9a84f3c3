//! Routes: named rule sets that choose who answers. The keys are those of a Portkey config.
//!
//! This part holds the `single` strategy; a strategy that is not built is refused when the
//! settings are read, never ignored. It is synchronous and does no I/O.

mod cache_rule;
mod settings;

use std::time::Duration;

pub use cache_rule::{CacheMode, CacheRule, CacheScope};
pub use settings::{RouteError, RouteSettings};

/// A checked route.
#[derive(Clone, Debug)]
pub struct Route {
    /// Its name; `inline` for one that came in a header.
    pub name: String,
    /// The target that answers.
    pub target: Target,
    /// Limit of the whole call, instead of the provider's.
    pub request_timeout: Option<Duration>,
    /// Whether and how answers are cached.
    pub cache: Option<CacheRule>,
}

fn model_of(params: &[(String, Vec<u8>)]) -> Option<String> {
    let (_, json) = params.iter().find(|(name, _)| name == "model")?;
    serde_json::from_slice(json).ok()
}

/// A provider and the edits that a route makes for it.
#[derive(Clone, Debug)]
pub struct Target {
    /// Name of a configured provider (without `@`); none: the request says it.
    pub provider: Option<String>,
    /// Members that replace the client's: name and raw JSON.
    pub override_params: Vec<(String, Vec<u8>)>,
    /// Members used when the client gives none: name and raw JSON.
    pub default_params: Vec<(String, Vec<u8>)>,
    /// Names of request headers that are copied to the provider.
    pub forward_headers: Vec<String>,
}

impl Target {
    /// The model that `override_params` sets, if it sets one.
    #[must_use]
    pub fn override_model(&self) -> Option<String> {
        model_of(&self.override_params)
    }

    /// The model that `default_params` gives to a request that names none.
    #[must_use]
    pub fn default_model(&self) -> Option<String> {
        model_of(&self.default_params)
    }
}

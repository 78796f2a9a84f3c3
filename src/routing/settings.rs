//! A route as written, in the settings file or in a request header. The keys are those of a Portkey
//! config object; a target takes the same keys, so routes can be nested.

use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::breaker::BreakerSettings;
use super::cache_rule::CacheRuleSettings;
use super::retry::RetrySettings;
use super::sticky::StickySettings;
use crate::base::{Diagnostics, Schema, Secret, member_path};

/// Built once: building a schema costs more than all other work on an inline config.
pub(super) static SHAPE: LazyLock<Schema> = LazyLock::new(Schema::of::<RouteSettings>);

/// A route: its targets, and edits of the request. The keys are those of a Portkey config object,
/// which may also be written in camelCase (`overrideParams`). Keys next to `targets` apply to all
/// targets; a target's own take precedence.
#[derive(Debug, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RouteSettings {
    /// How a target is selected.
    #[schemars(extend("examples" = [{
        "mode": "fallback",
        "on_status_codes": [429, 500, 502, 503, 504, 529]
    }]))]
    pub strategy: Option<StrategySettings>,
    /// The targets: each takes the same keys as a route, including `strategy` and `targets`. Short
    /// form for a single target: leave it out and set `provider`.
    #[schemars(extend("examples" = [[
        { "provider": "openai-prod", "override_params": { "model": "gpt-4o-mini" } },
        { "provider": "openai-prod", "override_params": { "model": "gpt-4o" } }
    ]]))]
    pub targets: Vec<Value>,
    /// Name of a target, referenced by `conditional`.
    pub name: Option<String>,
    /// Weight of a target in a draw: any number from 0. Default: 1. 0: never drawn.
    pub weight: Option<f64>,
    /// Provider of the target, by its configured name; a leading `@` is allowed, and `@name/model`
    /// also sets the model. With `api_key`: a preset. Default: the header or model name of the
    /// request selects the provider.
    pub provider: Option<String>,
    /// Another name of `provider`, from older Portkey configs.
    pub virtual_key: Option<String>,
    /// Credential for the preset in `provider`, if that is not a configured provider.
    pub api_key: Option<Secret>,
    /// Base URL that replaces the preset's; in a request header only hosts in
    /// `server.custom_hosts`. An empty value is the same as none.
    pub custom_host: Option<String>,
    /// True is the same as leaving `provider` out.
    pub passthrough: Option<bool>,
    /// Body members that override the client's. The target's take precedence.
    pub override_params: Map<String, Value>,
    /// Body members used if the client sets none. The target's take precedence.
    pub default_params: Map<String, Value>,
    /// Body members to remove, after all other edits: `seed`, `response_format.strict`,
    /// `tools[*].cache`.
    pub drop_params: Vec<String>,
    /// Retries at the same target. Default: none.
    #[schemars(extend("examples" = [{ "attempts": 2 }]))]
    pub retry: Option<RetrySettings>,
    /// Timeout in milliseconds: next to `targets` or in the short form for all attempts together,
    /// in a target for one attempt. Default, or 0: the provider's `total_timeout_ms`, for each
    /// attempt.
    #[schemars(range(min = 0, max = 86_400_000), example = 30_000)]
    pub request_timeout: Option<u64>,
    /// Timeout in milliseconds until the first content of an attempt, for a stream its first text.
    /// Default, or 0: only the provider's `first_byte_timeout_ms` applies.
    #[schemars(range(min = 0, max = 86_400_000))]
    pub first_token_timeout: Option<u64>,
    /// Names of request headers to copy to the provider. Headers that carry a client key or control
    /// the connection are rejected.
    pub forward_headers: Vec<String>,
    /// Accepted for compatibility with Portkey: responses keep to OpenAI's format, with additional
    /// features in members that OpenAI's clients ignore.
    pub strict_open_ai_compliance: Option<bool>,
    /// Response caching. Default: off. In a target only if it is the only one.
    #[schemars(extend("examples" = [{ "mode": "simple", "max_age": 3600 }]))]
    pub cache: Option<CacheRuleSettings>,
}

/// How a route selects targets.
#[derive(Debug, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StrategySettings {
    /// Name of the strategy: `single` (the default), `fallback`, `loadbalance`, `conditional`,
    /// `round_robin`, `least_latency`, `least_busy`, `cheapest`, `fastest`, `race`, `canary` or
    /// `mirror`.
    pub mode: Option<String>,
    /// Status codes that trigger failover to the next target. Default: every non-2xx status; none for
    /// `loadbalance`, `canary`, `conditional` and `mirror`. If some are listed, a connection failure also
    /// triggers failover, and a timeout counts as 504.
    pub on_status_codes: Option<Vec<u16>>,
    /// For `conditional`: the first condition that is true selects the target.
    #[schemars(extend("examples" = [[{
        "query": { "metadata.plan": { "$eq": "paid" } },
        "then": "large"
    }]]))]
    pub conditions: Option<Vec<ConditionSettings>>,
    /// For `conditional`: name of the target if no condition is true. Default: none, and such a request
    /// is rejected.
    pub default: Option<String>,
    /// Sticky sessions: related requests go to the same target.
    #[schemars(extend("examples" = [{ "hash_fields": ["metadata.user_id"] }]))]
    pub sticky: Option<StickySettings>,
    /// Circuit breaker of each target. Default: it opens after 5 consecutive failures, or a 50 % failure
    /// rate over at least 20 requests in 10 s; it stays open for 1 s, doubled with each failed probe up
    /// to 8 s.
    #[schemars(extend("examples" = [{ "failure_threshold": 5, "cooldown_interval": 30_000 }]))]
    pub cb_config: Option<BreakerSettings>,
    /// For `race`: delay before the next target is called, in milliseconds. 0, the default, calls all at
    /// once.
    #[schemars(range(min = 0, max = 86_400_000))]
    pub hedge_ms: Option<u64>,
    /// For `canary`: share of requests for the second target, in percent; fractions are allowed.
    #[schemars(range(min = 0, max = 100))]
    pub percent: Option<f64>,
}

/// One condition of `conditional`.
#[derive(Debug, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ConditionSettings {
    /// The condition: `{ "metadata.plan": { "$eq": "paid" } }`. Fields are `metadata.NAME`,
    /// `params.NAME` (members of the body), `url.pathname`, `headers.NAME`, `model`, `key.name`,
    /// `key.metadata.NAME` and `tokens.estimate`; operators are `$eq`, `$ne`, `$gt`, `$gte`, `$lt`,
    /// `$lte`, `$in`, `$nin`, `$regex`, and `$and` and `$or` over lists. All members must be true.
    pub query: Value,
    /// Name of the target.
    pub then: String,
}

impl RouteSettings {
    /// Parses a route as written; invalid parts are left out.
    pub fn read(mut value: Value, path: &str, diagnostics: &mut Diagnostics) -> Option<Self> {
        SHAPE.rename_camel_case(&mut value, path, diagnostics);
        let mut settings: Self = SHAPE.read(value, path, diagnostics)?;
        // Portkey's clients send these for unset values, and Portkey treats them as unset.
        let is_limit = |ms: &u64| *ms > 0;
        settings.request_timeout = settings.request_timeout.filter(is_limit);
        settings.first_token_timeout = settings.first_token_timeout.filter(is_limit);
        settings.custom_host = settings.custom_host.filter(|host| !host.is_empty());
        Some(settings)
    }
}

impl StrategySettings {
    /// The given members among those that only some strategies have.
    pub(super) fn own_members(&self) -> impl Iterator<Item = &'static str> {
        [
            ("conditions", self.conditions.is_some()),
            ("default", self.default.is_some()),
            ("sticky", self.sticky.is_some()),
            ("hedge_ms", self.hedge_ms.is_some()),
            ("percent", self.percent.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, is_given)| is_given.then_some(name))
    }
}

/// How a target names its provider.
pub(super) fn check_provider_name(
    settings: &RouteSettings,
    path: &str,
    diagnostics: &mut Diagnostics,
) -> Option<(&'static str, String)> {
    if settings.provider.is_some() && settings.virtual_key.is_some() {
        let message = "expected one of `provider` and `virtual_key`, got both";
        diagnostics.add(&member_path(path, "virtual_key"), message, "keep `provider`");
    }
    match (&settings.provider, &settings.virtual_key) {
        (Some(text), _) => Some(("provider", text.clone())),
        (None, Some(text)) => Some(("virtual_key", text.clone())),
        (None, None) => None,
    }
}

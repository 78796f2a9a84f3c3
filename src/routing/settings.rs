//! A route as written, in the settings file or in a request header, and its check.
//!
//! The keys are those of a Portkey config object. What this version does not do is refused by
//! name, never ignored: a client that asked for retries must not silently get none.

use std::sync::LazyLock;
use std::time::Duration;

use serde_json::{Map, Value};

use super::cache_rule::CacheRuleSettings;
use super::{Route, Target};
use crate::base::{NAME_RULE, Problem, Problems, Shape, field_name, is_name, member_path};

/// Longest config of a request header, in bytes.
const INLINE_BYTES_MAX: usize = 64 * 1024;

/// Problems told to a client about its config.
const INLINE_PROBLEMS_MAX: usize = 8;

/// Built once: making a shape costs more than all other work on an inline config.
static SHAPE: LazyLock<Shape> = LazyLock::new(Shape::of::<RouteSettings>);

/// A route: who answers, and with which edits. The keys are those of a Portkey config object.
#[derive(Debug, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RouteSettings {
    /// How a target is chosen. This version has the mode `single`: the one target answers.
    #[schemars(extend("examples" = [{ "mode": "single" }]))]
    pub strategy: StrategySettings,
    /// The targets; exactly one. It takes `provider`, `override_params`, `default_params`,
    /// `request_timeout` and `forward_headers`. Leave it out and give `provider` beside
    /// `strategy` for the short form.
    #[schemars(extend("examples" = [[{
        "provider": "openai-prod",
        "override_params": { "model": "gpt-4o-mini" }
    }]]))]
    pub targets: Vec<TargetSettings>,
    /// Provider that answers, by its name here; a leading `@` is allowed. Left out: the request
    /// says it, by header or model name.
    pub provider: Option<String>,
    /// Another name of `provider`, as older Portkey configs have it.
    pub virtual_key: Option<String>,
    /// Members of the request body that replace the client's. Those of the target win.
    pub override_params: Map<String, Value>,
    /// Members of the request body used where the client gives none. Those of the target win.
    pub default_params: Map<String, Value>,
    /// Limit of the whole call in milliseconds, instead of the provider's `total_timeout_ms`.
    #[schemars(range(min = 1, max = 86_400_000), example = 30_000)]
    pub request_timeout: Option<u64>,
    /// Names of request headers that are copied to the provider. Headers that carry a key of the
    /// client or steer the connection are refused.
    pub forward_headers: Vec<String>,
    /// Caching of answers. Left out: none.
    #[schemars(extend("examples" = [{ "mode": "simple", "max_age": 3600 }]))]
    pub cache: Option<CacheRuleSettings>,
}

/// How a route chooses.
#[derive(Debug, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StrategySettings {
    /// Name of the strategy: `single`, the default.
    pub mode: Option<String>,
}

/// One target of a route.
#[derive(Debug, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TargetSettings {
    /// Provider that answers, by its name here; a leading `@` is allowed.
    pub provider: Option<String>,
    /// Another name of `provider`.
    pub virtual_key: Option<String>,
    /// Members of the request body that replace the client's.
    pub override_params: Map<String, Value>,
    /// Members of the request body used where the client gives none.
    pub default_params: Map<String, Value>,
    /// Limit of the whole call in milliseconds.
    #[schemars(range(min = 1, max = 86_400_000))]
    pub request_timeout: Option<u64>,
    /// Names of request headers that are copied to the provider.
    pub forward_headers: Vec<String>,
}

/// Why a config of a request header is refused. The texts are for the client that sent it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// Longer than [`INLINE_BYTES_MAX`].
    #[error("expected a config of at most 65536 bytes, got {bytes}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// No JSON.
    #[error("expected a config in JSON, got an error at line {line}, column {column}")]
    NotJson {
        /// Counted from 1.
        line: usize,
        /// Counted from 1; 0 before the first character.
        column: usize,
    },
    /// JSON with problems, the first few of them.
    #[error("{}", in_one_line(.problems))]
    Refused {
        /// Never empty.
        problems: Vec<Problem>,
    },
}

impl Route {
    /// Reads the JSON of a request header. Whether its provider exists is for the caller to say.
    ///
    /// # Errors
    /// When it is too long, no JSON, or asks for what this version does not do.
    pub fn from_json(text: &str) -> Result<Self, RouteError> {
        if text.len() > INLINE_BYTES_MAX {
            return Err(RouteError::TooLong { bytes: text.len() });
        }
        let value = serde_json::from_str(text)
            .map_err(|error| RouteError::NotJson { line: error.line(), column: error.column() })?;
        let mut problems = Problems::bounded(INLINE_PROBLEMS_MAX);
        let route = RouteSettings::read(value, "config", &mut problems)
            .and_then(|settings| settings.check("inline", "config", &mut problems));
        match route {
            Some(route) if problems.is_empty() => Ok(route),
            _ => Err(RouteError::Refused { problems: problems.into_vec() }),
        }
    }
}

impl RouteSettings {
    /// Reads a route as written; what has a problem is left out of it.
    pub fn read(mut value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        refuse_absent_features(&mut value, path, problems);
        SHAPE.read(value, path, problems)
    }

    /// The route that is meant; `None` after a problem.
    pub fn check(self, name: &str, path: &str, problems: &mut Problems) -> Option<Route> {
        let before = problems.len();
        if !is_name(name) {
            problems.add(path, format!("expected a name of {NAME_RULE}"), "");
        }
        self.strategy.check(&member_path(path, "strategy"), problems);
        let shared = TargetSettings {
            provider: self.provider,
            virtual_key: self.virtual_key,
            override_params: self.override_params,
            default_params: self.default_params,
            request_timeout: self.request_timeout,
            forward_headers: self.forward_headers,
        };
        let route_path = path.to_owned();
        let targets_path = member_path(path, "targets");
        let count = self.targets.len();
        let mut targets = self.targets.into_iter();
        let (own, path) = match (targets.next(), count) {
            (None, _) => (TargetSettings::default(), path.to_owned()),
            (Some(target), 1) => {
                shared.refuse_provider_beside_targets(path, problems);
                (target, format!("{targets_path}[0]"))
            }
            (Some(_), count) => {
                let hint = "this version has no strategy that chooses between targets";
                problems.add(&targets_path, format!("expected 1 target, got {count}"), hint);
                return None;
            }
        };
        let settings = own.over(shared);
        let request_timeout = settings.request_timeout.map(Duration::from_millis);
        let target = settings.check(&path, problems);
        let cache = self
            .cache
            .and_then(|cache| cache.check(&target, &member_path(&route_path, "cache"), problems));
        let name = name.to_owned();
        let route = Route { name, target, request_timeout, cache };
        (problems.len() == before).then_some(route)
    }
}

impl StrategySettings {
    fn check(&self, path: &str, problems: &mut Problems) {
        let Some(mode) = self.mode.as_deref().filter(|mode| *mode != "single") else { return };
        let path = member_path(path, "mode");
        let message = format!("expected `single`, got {}", problems.quote(&path, mode));
        problems.add(&path, message, "this version has no other strategy");
    }
}

impl TargetSettings {
    fn refuse_provider_beside_targets(&self, path: &str, problems: &mut Problems) {
        for (name, given) in
            [("provider", self.provider.is_some()), ("virtual_key", self.virtual_key.is_some())]
        {
            if given {
                let message = format!("expected `{name}` in the target, got it beside `targets`");
                problems.add(&member_path(path, name), message, "move it into `targets[0]`");
            }
        }
    }

    /// This target with what it leaves open taken from the route around it.
    fn over(self, shared: Self) -> Self {
        let merge = |mut outer: Map<String, Value>, inner: Map<String, Value>| {
            outer.extend(inner);
            outer
        };
        let has_provider = self.provider.is_some() || self.virtual_key.is_some();
        Self {
            provider: if has_provider { self.provider } else { shared.provider },
            virtual_key: if has_provider { self.virtual_key } else { shared.virtual_key },
            override_params: merge(shared.override_params, self.override_params),
            default_params: merge(shared.default_params, self.default_params),
            request_timeout: self.request_timeout.or(shared.request_timeout),
            forward_headers: if self.forward_headers.is_empty() {
                shared.forward_headers
            } else {
                self.forward_headers
            },
        }
    }

    fn check(self, path: &str, problems: &mut Problems) -> Target {
        let provider = self.check_provider(path, problems);
        let overrides = member_path(path, "override_params");
        if let Some(model) = self.override_params.get("model")
            && model.as_str().is_none_or(str::is_empty)
        {
            let path = member_path(&overrides, "model");
            problems.add(&path, "expected the name of a model", "");
        }
        Target {
            provider,
            override_params: raw_members(&self.override_params),
            default_params: raw_members(&self.default_params),
            forward_headers: check_forward_headers(&self.forward_headers, path, problems),
        }
    }

    fn check_provider(&self, path: &str, problems: &mut Problems) -> Option<String> {
        if self.provider.is_some() && self.virtual_key.is_some() {
            let message = "expected one of `provider` and `virtual_key`, got both";
            problems.add(&member_path(path, "virtual_key"), message, "keep `provider`");
        }
        let (setting, text) = match (&self.provider, &self.virtual_key) {
            (Some(text), _) => ("provider", text),
            (None, Some(text)) => ("virtual_key", text),
            (None, None) => return None,
        };
        let path = member_path(path, setting);
        // Portkey takes the text before the slash of `@name/model` as the provider.
        let name = match text.strip_prefix('@') {
            Some(rest) => rest.split('/').next().unwrap_or(rest),
            None => text,
        };
        if !is_name(name) {
            problems.add(&path, format!("expected the name of a provider: {NAME_RULE}"), "");
        }
        Some(name.to_owned())
    }
}

/// Fields that may carry the client's own key, which never travels upstream.
const CREDENTIAL_FIELDS: [&str; 4] = ["authorization", "x-api-key", "api-key", "x-goog-api-key"];

fn check_forward_headers(list: &[String], path: &str, problems: &mut Problems) -> Vec<String> {
    let path = member_path(path, "forward_headers");
    let mut names = Vec::new();
    for (index, text) in list.iter().enumerate() {
        let path = format!("{path}[{index}]");
        match field_name(text) {
            Err(error) => problems.add(&path, error.to_string(), "leave it out"),
            Ok(name) if CREDENTIAL_FIELDS.contains(&name.as_str()) => {
                let message = "this header carries the client's key, which never travels on";
                problems.add(&path, message, "the key of the provider is its `api_key`");
            }
            Ok(name) if names.contains(&name) => {}
            Ok(name) => names.push(name),
        }
    }
    names
}

fn raw_members(members: &Map<String, Value>) -> Vec<(String, Vec<u8>)> {
    members.iter().map(|(name, value)| (name.clone(), value.to_string().into_bytes())).collect()
}

/// Keys of Portkey's and of our own configs that this version does not act on, with a hint each.
const ABSENT: [(&str, &str); 31] = [
    ("after_request_hooks", ""),
    ("api_key", "put it into the provider's settings, as `api_key = \"${NAME}\"`"),
    ("api_version", PROVIDER_HINT),
    ("aws_access_key_id", PROVIDER_HINT),
    ("aws_region", PROVIDER_HINT),
    ("aws_secret_access_key", PROVIDER_HINT),
    ("aws_session_token", PROVIDER_HINT),
    ("before_request_hooks", ""),
    ("custom_host", "set `base_url` of a provider instead"),
    ("default_input_guardrails", ""),
    ("default_output_guardrails", ""),
    ("deployment_id", PROVIDER_HINT),
    ("drop_params", ""),
    ("first_token_timeout", "`first_byte_timeout_ms` of the provider comes near"),
    ("guardrails", ""),
    ("input_guardrails", ""),
    ("input_mutators", ""),
    ("name", "it serves strategies that this version does not have"),
    ("openai_organization", "set `headers` of a provider instead"),
    ("openai_project", "set `headers` of a provider instead"),
    ("output_guardrails", ""),
    ("output_mutators", ""),
    ("passthrough", "leave `provider` out, and the request says it"),
    ("prompt_id", ""),
    ("resource_name", PROVIDER_HINT),
    ("retry", ""),
    ("strict_open_ai_compliance", ""),
    ("vertex_project_id", PROVIDER_HINT),
    ("vertex_region", PROVIDER_HINT),
    ("vertex_service_account_json", PROVIDER_HINT),
    ("weight", "it serves strategies that this version does not have"),
];

const PROVIDER_HINT: &str = "credentials belong into a provider's settings";

/// Members of `strategy` that belong to other modes than `single`.
const ABSENT_STRATEGY: [(&str, &str); 8] = [
    ("cb_config", ""),
    ("conditions", ""),
    ("default", ""),
    ("hedge_ms", ""),
    ("on_status_codes", ""),
    ("percent", ""),
    ("retry", ""),
    ("sticky", ""),
];

/// Reports and removes what this version knows but does not do, in the route and its targets.
fn refuse_absent_features(value: &mut Value, path: &str, problems: &mut Problems) {
    refuse(value, path, &ABSENT, problems);
    if let Some(strategy) = value.get_mut("strategy") {
        refuse(strategy, &member_path(path, "strategy"), &ABSENT_STRATEGY, problems);
    }
    let targets = value.get_mut("targets").and_then(Value::as_array_mut);
    let nested = [
        ("strategy", "targets inside targets are not supported by this version"),
        ("targets", "targets inside targets are not supported by this version"),
        ("cache", "the cache is the route's: write it beside `targets`"),
    ];
    for (index, target) in targets.into_iter().flatten().enumerate() {
        if problems.is_full() {
            return;
        }
        let path = format!("{path}.targets[{index}]");
        refuse(target, &path, &ABSENT, problems);
        refuse(target, &path, &nested, problems);
    }
}

fn refuse(value: &mut Value, path: &str, absent: &[(&str, &str)], problems: &mut Problems) {
    let Some(members) = value.as_object_mut() else { return };
    members.retain(|name, value| {
        let Some((_, hint)) = absent.iter().find(|(known, _)| *known == name) else { return true };
        if !value.is_null() {
            let hint = if hint.is_empty() { "leave it out" } else { hint };
            let message = format!("`{name}` is not supported here by this version");
            problems.add(&member_path(path, name), message, hint);
        }
        false
    });
}

fn in_one_line(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configs_that_work() {
        for (text, provider, overrides) in [
            (r#"{"provider":"x","override_params":{"model":"m"}}"#, Some("x"), r#"model="m""#),
            (r#"{"provider":"@x"}"#, Some("x"), ""),
            (r#"{"provider":"@x/some/model"}"#, Some("x"), ""),
            (r#"{"virtual_key":"x"}"#, Some("x"), ""),
            (r#"{"strategy":{"mode":"single"},"targets":[{"provider":"x"}]}"#, Some("x"), ""),
            (r#"{"targets":[{"virtual_key":"x"}]}"#, Some("x"), ""),
            (r#"{"override_params":{"temperature":0.5,"n":1}}"#, None, "temperature=0.5,n=1"),
            (
                r#"{"override_params":{"a":1,"b":1},"targets":[{"override_params":{"b":2}}]}"#,
                None,
                "a=1,b=2",
            ),
            (r#"{"provider":"x","retry":null,"cache":null,"targets":null}"#, Some("x"), ""),
            ("{}", None, ""),
        ] {
            let route = Route::from_json(text).expect(text);
            assert_eq!(route.target.provider.as_deref(), provider, "{text}");
            let members: Vec<String> = route
                .target
                .override_params
                .iter()
                .map(|(name, json)| format!("{name}={}", String::from_utf8_lossy(json)))
                .collect();
            assert_eq!(members.join(","), overrides, "{text}");
        }
    }

    #[test]
    fn the_target_wins_over_the_route() {
        let text = r#"{"request_timeout":5,"forward_headers":["X-A"],"default_params":{"a":1},
            "targets":[{"request_timeout":7,"forward_headers":["x-b","X-B"]}]}"#;
        let route = Route::from_json(text).expect("good");
        assert_eq!(route.request_timeout, Some(Duration::from_millis(7)));
        assert_eq!(route.target.forward_headers, ["x-b"]);
        assert_eq!(route.target.default_params, [("a".to_owned(), b"1".to_vec())]);
    }

    #[test]
    fn configs_that_are_refused() {
        for (text, expected) in [
            (r#"{"strategy":{"mode":"fallback"}}"#, "config.strategy.mode"),
            (r#"{"strategy":{"on_status_codes":[429]}}"#, "config.strategy.on_status_codes"),
            (r#"{"strategy":"single"}"#, "config.strategy"),
            (r#"{"retry":{"attempts":2}}"#, "config.retry"),
            (r#"{"cache":{"mode":"semantics"}}"#, "config.cache.mode"),
            (r#"{"cache":{"mode":"simple","shadow":true}}"#, "config.cache.shadow"),
            (r#"{"cache":{"max_age":60}}"#, "config.cache.mode"),
            (r#"{"cache":{"mode":"simple","max_age":59}}"#, "config.cache.max_age"),
            (r#"{"cache":{"mode":"simple","scope":"team"}}"#, "config.cache.scope"),
            (r#"{"cache":"simple"}"#, "config.cache"),
            (
                r#"{"targets":[{"provider":"x","cache":{"mode":"simple"}}]}"#,
                "config.targets[0].cache",
            ),
            (r#"{"input_guardrails":["a"]}"#, "config.input_guardrails"),
            (r#"{"provider":"x","api_key":"sk-SECRET"}"#, "config.api_key"),
            (
                r#"{"targets":[{"provider":"x","api_key":"sk-SECRET"}]}"#,
                "config.targets[0].api_key",
            ),
            (r#"{"targets":[{"targets":[{"provider":"x"}]}]}"#, "config.targets[0].targets"),
            (r#"{"targets":[{"provider":"x","weight":1}]}"#, "config.targets[0].weight"),
            (r#"{"targets":[{"provider":"x"},{"provider":"y"}]}"#, "config.targets"),
            (r#"{"provider":"x","targets":[{"provider":"y"}]}"#, "config.provider"),
            (r#"{"provider":"x","virtual_key":"y"}"#, "config.virtual_key"),
            (r#"{"provider":"X y"}"#, "config.provider"),
            (r#"{"provider":5}"#, "config.provider"),
            (r#"{"virtual_key":5}"#, "config.virtual_key"),
            (r#"{"custom_host":"http://169.254.169.254"}"#, "config.custom_host"),
            (r#"{"overide_params":{}}"#, "config.overide_params"),
            (r#"{"override_params":[]}"#, "config.override_params"),
            (r#"{"override_params":{"model":5}}"#, "config.override_params.model"),
            (r#"{"request_timeout":0}"#, "config.request_timeout"),
            (r#"{"request_timeout":-1}"#, "config.request_timeout"),
            (r#"{"request_timeout":1.5}"#, "config.request_timeout"),
            (r#"{"request_timeout":"5"}"#, "config.request_timeout"),
            (r#"{"forward_headers":["Authorization"]}"#, "config.forward_headers[0]"),
            (r#"{"forward_headers":["a","host"]}"#, "config.forward_headers[1]"),
            (r#"{"forward_headers":["x-portkey-forward-headers"]}"#, "config.forward_headers[0]"),
            ("[]", "config"),
            ("5", "config"),
            ("null", "config"),
        ] {
            let error = Route::from_json(text).expect_err(text);
            assert!(!error.to_string().contains("SECRET"), "{error}");
            let RouteError::Refused { problems } = error else { panic!("{text}: {error}") };
            let paths: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
            assert_eq!(paths, [expected], "{text}");
        }
    }

    #[test]
    fn hostile_configs_are_bounded() {
        let nested = "[".repeat(60_000);
        assert!(matches!(Route::from_json(&nested), Err(RouteError::NotJson { .. })));
        let long = " ".repeat(INLINE_BYTES_MAX + 1);
        assert!(matches!(Route::from_json(&long), Err(RouteError::TooLong { .. })));
        assert!(matches!(Route::from_json(""), Err(RouteError::NotJson { .. })));
        let members: Vec<String> = (0..5_000).map(|index| format!("\"k{index}\":1")).collect();
        let error = Route::from_json(&format!("{{{}}}", members.join(","))).expect_err("unknown");
        assert!(error.to_string().len() < 2_000, "{}", error.to_string().len());
    }
}

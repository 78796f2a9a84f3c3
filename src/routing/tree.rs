//! Builds a checked route from a written one: reports every diagnostic, and applies inherited
//! settings.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use serde_json::{Map, Value};

use super::STRATEGIES;
use super::bounds::{check_lanes, collect_fields};
use super::breaker::BreakerRule;
use super::cache_rule::CacheRuleSettings;
use super::drop_path::{DropParams, DropPath};
use super::field::BodyFields;
use super::fingerprint::fingerprint;
use super::forward_headers::check_forward_headers;
use super::inheritance::Inheritance;
use super::limits::{self, CUSTOM_HOST_BYTES_MAX, DEPTH_MAX, LimitUsage, Limits};
use super::node::RouteNode;
use super::params::Params;
use super::path_set::{Bits, PathSet, bit};
use super::retry::check_statuses;
use super::route::{FailoverOn, Group, Route};
use super::settings::{RouteSettings, StrategySettings, check_provider_name};
use super::strategy::{Child, Strategy, StrategyInput, StrategyRow};
use super::target::Target;
use crate::base::{
    Diagnostics, NAME_RULE, Secret, check_secret, did_you_mean, is_name, member_path,
};

impl RouteSettings {
    /// The checked route; `None` after a diagnostic.
    pub fn check(self, name: &str, path: &str, diagnostics: &mut Diagnostics) -> Option<Route> {
        let before = diagnostics.len();
        if !is_name(name) {
            diagnostics.add(path, format!("expected a name of {NAME_RULE}"), "");
        }
        let route = self.check_within(&limits::SETTINGS, (name, path), diagnostics);
        route.filter(|_| diagnostics.len() == before)
    }

    /// The checked route, within `limits`; `None` after a diagnostic.
    pub(super) fn check_within(
        self,
        limits: &'static Limits,
        (name, path): (&str, &str),
        diagnostics: &mut Diagnostics,
    ) -> Option<Route> {
        let before = diagnostics.len();
        let route = route(self, (name, path), limits, diagnostics);
        route.filter(|_| diagnostics.len() == before)
    }
}

/// The checked route. `None` if nothing usable is left.
fn route(
    settings: RouteSettings,
    (name, path): (&str, &str),
    limits: &'static Limits,
    diagnostics: &mut Diagnostics,
) -> Option<Route> {
    let mut builder = Builder {
        root: path.to_owned(),
        nodes: Vec::new(),
        groups: Vec::new(),
        targets: Vec::new(),
        caches: Vec::new(),
        drops: Vec::new(),
        params: 0,
        usage: LimitUsage::new(limits),
        diagnostics,
    };
    let limit = settings.request_timeout.map(Duration::from_millis);
    builder.add(settings, &Inheritance::default(), "config".to_owned(), 0)?;
    let Builder { nodes, groups, mut targets, mut caches, drops, usage, diagnostics, .. } = builder;
    let drops = Arc::new(PathSet::new(drops.iter().map(DropPath::steps)));
    targets.iter_mut().for_each(|target| target.drop_params.paths = Arc::clone(&drops));
    check_lanes(&nodes, &groups, path, diagnostics);
    let cache = match targets.as_slice() {
        // With one target its own setting applies.
        [_] => caches.pop(),
        _ => {
            for (at, _) in caches.iter().filter(|(at, _)| at != "config") {
                let message =
                    "the cache is the route's, since it is asked before a target is chosen";
                let path = member_path(&at.replacen("config", path, 1), "cache");
                diagnostics.add(&path, message, "write it beside the outermost `targets`");
            }
            caches.into_iter().next()
        }
    };
    let cache = cache.and_then(|(at, cache)| {
        let path = member_path(&at.replacen("config", path, 1), "cache");
        cache.check(fingerprint(&targets, &nodes, &groups), &path, diagnostics)
    });
    let mut route = Route {
        name: name.to_owned(),
        nodes,
        groups,
        targets,
        cache,
        request_timeout: limit,
        fields: Vec::new(),
        body_fields: BodyFields::default(),
        pattern_bytes: usage.pattern_bytes(),
        warnings: Vec::new(),
    };
    collect_fields(&mut route, limits, path, diagnostics);
    Some(route)
}

struct Builder<'p> {
    /// Path of the route in the settings.
    root: String,
    nodes: Vec<RouteNode>,
    groups: Vec<Group>,
    targets: Vec<Target>,
    /// With their paths in the settings.
    caches: Vec<(String, CacheRuleSettings)>,
    /// Paths of all `drop_params`, without duplicates.
    drops: Vec<DropPath>,
    /// Members of all `override_params` and `default_params`.
    params: usize,
    usage: LimitUsage,
    diagnostics: &'p mut Diagnostics,
}

impl Builder<'_> {
    fn written(&self, at: &str) -> String {
        at.replacen("config", &self.root, 1)
    }

    /// Adds a config with everything below it, and returns the index of its node.
    fn add(
        &mut self,
        mut settings: RouteSettings,
        around: &Inheritance,
        at: String,
        depth: usize,
    ) -> Option<usize> {
        let path = self.written(&at);
        if let Some(cache) = settings.cache.take() {
            self.caches.push((at.clone(), cache));
        }
        let inherited = self.inherit(&mut settings, around, &path);
        let weight = self.weight(&settings, &path);
        let name = settings.name.take();
        let first = self.targets.len();
        let place = self.nodes.len();
        self.nodes.push(RouteNode { name, weight, targets: 0..0, group: None });
        let group = if settings.targets.is_empty() {
            if let Some(strategy) = settings.strategy.take() {
                // Only to report its diagnostics.
                let path = member_path(&path, "strategy");
                self.strategy(&strategy, Vec::new(), &path);
            }
            let target = self.target(settings, inherited, &at, depth)?;
            self.targets.push(target);
            None
        } else {
            let group = self.group(settings, inherited, &at, depth)?;
            self.groups.push(group);
            Some(self.groups.len() - 1)
        };
        let count = self.targets.len();
        let node = self.nodes.get_mut(place)?;
        node.group = group;
        node.targets = first..count;
        Some(place)
    }

    fn inherit(
        &mut self,
        settings: &mut RouteSettings,
        around: &Inheritance,
        path: &str,
    ) -> Inheritance {
        let mut inherited = around.clone();
        self.inherit_params(settings, &mut inherited, path);
        inherited.drop_params |= self.drop_params(&settings.drop_params, path);
        if let Some(retry) = settings.retry.take() {
            inherited.retry = retry.check(&member_path(path, "retry"), self.diagnostics);
        }
        inherited.first_token_timeout =
            settings.first_token_timeout.or(inherited.first_token_timeout);
        if !settings.forward_headers.is_empty() {
            inherited.forward_headers =
                check_forward_headers(&settings.forward_headers, path, self.diagnostics).into();
        }
        if let Some(host) = settings.custom_host.take() {
            if host.len() > CUSTOM_HOST_BYTES_MAX {
                let message = format!("expected at most {CUSTOM_HOST_BYTES_MAX} bytes");
                self.diagnostics.add(&member_path(path, "custom_host"), message, "");
            }
            inherited.custom_host = Some(host.into());
        }
        inherited
    }

    fn inherit_params(
        &mut self,
        settings: &RouteSettings,
        inherited: &mut Inheritance,
        path: &str,
    ) {
        let (overrides, defaults) = (&settings.override_params, &settings.default_params);
        self.params += overrides.len() + defaults.len();
        let most = self.usage.limits.params;
        if self.params > most {
            let message = format!(
                "expected at most {most} members of `override_params` and `default_params` in all"
            );
            self.diagnostics.add(&member_path(path, "override_params"), message, "");
            return;
        }
        check_model(overrides, path, self.diagnostics);
        let model = |params: &Map<String, Value>| {
            params.get("model").map(|model| model.as_str().map(Arc::<str>::from))
        };
        if let Some(model) = model(overrides) {
            inherited.override_model = model;
        }
        if let Some(model) = model(defaults) {
            inherited.default_model = model;
        }
        inherited.override_params = Params::within(inherited.override_params.as_ref(), overrides);
        inherited.default_params = Params::within(inherited.default_params.as_ref(), defaults);
    }

    /// The written paths, as a subset of the route's.
    fn drop_params(&mut self, written: &[String], path: &str) -> Bits {
        let path = member_path(path, "drop_params");
        let mut chosen = 0;
        for (index, text) in written.iter().enumerate() {
            let Some(drop) = DropPath::parse(text) else {
                let message =
                    "expected a path as in `a.b`, `x[0].y` or `x[*].y`, of at most 16 steps";
                self.diagnostics.add(&format!("{path}[{index}]"), message, "");
                if self.diagnostics.is_full() { break } else { continue }
            };
            let known = self.drops.iter().position(|it| *it == drop);
            let place = known.unwrap_or(self.drops.len());
            if place >= self.usage.limits.drop_params {
                let most = self.usage.limits.drop_params;
                let message = format!("expected at most {most} different paths in all");
                self.diagnostics.add(&path, message, "drop whole members, or `[*]` of lists");
                break;
            }
            if known.is_none() {
                self.drops.push(drop);
            }
            chosen |= bit(place);
        }
        chosen
    }

    fn weight(&mut self, settings: &RouteSettings, path: &str) -> f64 {
        let weight = settings.weight.unwrap_or(1.0);
        if weight.is_finite() && weight >= 0.0 {
            return weight;
        }
        let message = format!("expected a number from 0, got {weight}");
        self.diagnostics.add(&member_path(path, "weight"), message, "");
        1.0
    }

    fn group(
        &mut self,
        settings: RouteSettings,
        mut inherited: Inheritance,
        at: &str,
        depth: usize,
    ) -> Option<Group> {
        let path = self.written(at);
        self.refuse_provider(&settings, &path);
        let count = settings.targets.len();
        let targets_path = member_path(&path, "targets");
        if depth >= DEPTH_MAX || count > Group::CHILDREN_MAX {
            let message = if depth >= DEPTH_MAX {
                format!("expected at most {DEPTH_MAX} groups inside one another")
            } else {
                format!("expected at most {} targets, got {count}", Group::CHILDREN_MAX)
            };
            self.diagnostics.add(&targets_path, message, "");
            return None;
        }
        let strategy = settings.strategy.unwrap_or_default();
        let strategy_path = member_path(&path, "strategy");
        self.inherit_breaker(&strategy, &mut inherited, &strategy_path);
        let is_single = strategy.mode.as_deref() == Some("single");
        let mut children = Vec::with_capacity(count);
        for (index, written) in settings.targets.into_iter().enumerate() {
            let at = format!("{at}.targets[{index}]");
            let ends = (self.nodes.len(), self.groups.len(), self.targets.len(), self.caches.len());
            let child = RouteSettings::read(written, &self.written(&at), self.diagnostics)?;
            children.push(self.add(child, &inherited, at, depth + 1)?);
            if is_single && index > 0 {
                // It is never called: as in Portkey, it only has to be valid.
                self.nodes.truncate(ends.0);
                self.groups.truncate(ends.1);
                self.targets.truncate(ends.2);
                self.caches.truncate(ends.3);
                children.truncate(1);
            }
        }
        let (made, row) = self.strategy(&strategy, children.clone(), &strategy_path)?;
        let has_weight = |node: &usize| self.nodes.get(*node).is_some_and(|it| it.weight > 0.0);
        if made.uses_weights() && !children.iter().any(has_weight) {
            let message = "expected a `weight` above 0 in at least one target, got 0 in all";
            self.diagnostics.add(&strategy_path, message, "no target could ever answer");
        }
        let failover_on = match strategy.on_status_codes.clone() {
            Some(statuses) => {
                let path = member_path(&strategy_path, "on_status_codes");
                FailoverOn::Statuses(check_statuses(statuses, &path, self.diagnostics))
            }
            None if made.fails_over() => FailoverOn::Failure,
            None => FailoverOn::Never,
        };
        let sticky = strategy.sticky.as_ref().filter(|_| row.members.contains(&"sticky"));
        let sticky_path = member_path(&strategy_path, "sticky");
        let sticky = sticky.and_then(|it| it.check(&sticky_path, self.diagnostics));
        let request_timeout = settings.request_timeout.map(Duration::from_millis);
        let turns = AtomicUsize::new(0);
        Some(Group { strategy: made, children, failover_on, sticky, request_timeout, turns })
    }

    /// Reports members that only a target may have, next to `targets`.
    fn refuse_provider(&mut self, settings: &RouteSettings, path: &str) {
        for (name, is_given) in [
            ("provider", settings.provider.is_some()),
            ("virtual_key", settings.virtual_key.is_some()),
            ("api_key", settings.api_key.is_some()),
        ] {
            if is_given {
                let path = member_path(path, name);
                let message = format!("expected `{name}` in the targets, got it beside `targets`");
                self.diagnostics.add(&path, message, "move it into `targets[0]`");
            }
        }
    }

    /// Settings of the breakers below; conditions end the inheritance, as in Portkey.
    fn inherit_breaker(
        &mut self,
        strategy: &StrategySettings,
        inherited: &mut Inheritance,
        path: &str,
    ) {
        if let Some(breaker) = &strategy.cb_config {
            let path = member_path(path, "cb_config");
            inherited.breaker = breaker.clone().check(&path, self.diagnostics);
        } else if strategy.mode.as_deref() == Some("conditional") {
            inherited.breaker = BreakerRule::default();
        }
    }

    fn strategy(
        &mut self,
        settings: &StrategySettings,
        children: Vec<usize>,
        path: &str,
    ) -> Option<(Box<dyn Strategy>, &'static StrategyRow)> {
        let mode = settings.mode.as_deref().unwrap_or("single");
        let Some(row) = STRATEGIES.iter().find(|row| row.mode == mode) else {
            let path = member_path(path, "mode");
            let names: Vec<String> =
                STRATEGIES.iter().map(|row| format!("`{}`", row.mode)).collect();
            let quoted = self.diagnostics.quote(&path, mode);
            let message = format!("expected one of {}, got {quoted}", names.join(", "));
            let hint = did_you_mean(mode, STRATEGIES.iter().map(|row| row.mode));
            self.diagnostics.add(&path, message, hint);
            return None;
        };
        for name in settings.own_members().filter(|name| !row.members.contains(name)) {
            let having = STRATEGIES.iter().filter(|row| row.members.contains(&name));
            let having: Vec<String> = having.map(|row| format!("`{}`", row.mode)).collect();
            let message = format!("`{name}` belongs to {}, got `{mode}`", having.join(", "));
            self.diagnostics.add(&member_path(path, name), message, "leave it out");
        }
        if children.is_empty() && row.mode != "single" {
            let message = format!("expected `targets` for `{mode}`, got none");
            self.diagnostics.add(&member_path(path, "mode"), message, "");
            return None;
        }
        let children = children.iter().filter_map(|node| {
            let node = self.nodes.get(*node)?;
            Some(Child { name: node.name.as_deref(), weight: node.weight })
        });
        let input =
            StrategyInput { settings, children: children.collect(), path, usage: &self.usage };
        Some(((row.make)(&input, self.diagnostics)?, row))
    }

    fn target(
        &mut self,
        settings: RouteSettings,
        inherited: Inheritance,
        at: &str,
        depth: usize,
    ) -> Option<Target> {
        let path = self.written(at);
        let most = self.usage.limits.targets;
        if self.targets.len() >= most {
            self.diagnostics.add(&path, format!("expected at most {most} targets in all"), "");
            return None;
        }
        let diagnostics = &mut *self.diagnostics;
        let named = check_provider_name(&settings, &path, diagnostics);
        let (provider, provider_model) = named.map_or((None, None), |(setting, text)| {
            let path = member_path(&path, setting);
            let (name, model) = provider_and_model(&text);
            if !is_name(name) {
                diagnostics.add(&path, format!("expected the name of a provider: {NAME_RULE}"), "");
            }
            (Some(name.to_owned()), model.map(Arc::from))
        });
        let api_key = check_api_key(settings.api_key, provider.is_some(), &path, diagnostics);
        let millis = |limit: Option<u64>| limit.map(Duration::from_millis);
        Some(Target {
            is_inline: false,
            path: Arc::from(at),
            provider,
            override_model: inherited.override_model.or(provider_model),
            default_model: inherited.default_model,
            api_key,
            custom_host: inherited.custom_host,
            override_params: inherited.override_params,
            default_params: inherited.default_params,
            drop_params: DropParams { chosen: inherited.drop_params, ..DropParams::default() },
            forward_headers: inherited.forward_headers,
            // The timeout of the short form applies to all attempts together.
            request_timeout: millis(settings.request_timeout.filter(|_| depth > 0)),
            first_token_timeout: millis(inherited.first_token_timeout),
            retry: inherited.retry,
            breaker: inherited.breaker,
        })
    }
}

/// Portkey takes the text before the slash of `@name/model` as the provider.
fn provider_and_model(text: &str) -> (&str, Option<&str>) {
    match text.strip_prefix('@') {
        None => (text, None),
        Some(rest) => match rest.split_once('/') {
            Some((name, model)) => (name, Some(model).filter(|model| !model.is_empty())),
            None => (rest, None),
        },
    }
}

fn check_model(overrides: &Map<String, Value>, path: &str, diagnostics: &mut Diagnostics) {
    if let Some(model) = overrides.get("model")
        && model.as_str().is_none_or(str::is_empty)
    {
        let path = member_path(&member_path(path, "override_params"), "model");
        diagnostics.add(&path, "expected the name of a model", "");
    }
}

fn check_api_key(
    key: Option<Secret>,
    has_provider: bool,
    path: &str,
    diagnostics: &mut Diagnostics,
) -> Option<Secret> {
    let key = key?;
    let path = member_path(path, "api_key");
    if !has_provider {
        let message = "expected `provider` beside `api_key`";
        diagnostics.add(&path, message, "the preset whose key it is");
    }
    check_secret(&key, &path, diagnostics);
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::super::inline::RouteError;
    use super::super::limits::CONFIG_BYTES_MAX;
    use super::*;

    fn route(text: &str) -> Route {
        Route::from_json(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    /// The members after all edits.
    fn members(params: &Option<Arc<Params>>) -> String {
        let Some(params) = params else { return String::new() };
        let mut members: Vec<(&str, String)> = Vec::new();
        for (name, json) in params.members() {
            assert!(params.get(name).is_some());
            let json = String::from_utf8_lossy(json).into_owned();
            match members.iter_mut().find(|it| it.0 == name) {
                Some(before) => before.1 = json,
                None => members.push((name, json)),
            }
        }
        let members = members.into_iter().map(|(name, json)| format!("{name}={json}"));
        members.collect::<Vec<_>>().join(",")
    }

    #[test]
    fn single_target_route_is_built() {
        for (text, provider, overrides) in [
            (r#"{"provider":"x","override_params":{"model":"m"}}"#, Some("x"), r#"model="m""#),
            (r#"{"provider":"@x"}"#, Some("x"), ""),
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
            (r#"{"passthrough":true}"#, None, ""),
            ("{}", None, ""),
            // Portkey's other spellings.
            (r#"{"provider":"x","overrideParams":{"model":"m"}}"#, Some("x"), r#"model="m""#),
            (r#"{"virtualKey":"x","forwardHeaders":["a"]}"#, Some("x"), ""),
            (
                r#"{"overrideParams":{"topK":1,"responseFormat":{"aB":2}}}"#,
                None,
                r#"topK=1,responseFormat={"aB":2}"#,
            ),
            (
                r#"{"strategy":{"mode":"single"},"targets":[{"provider":"x"},{"provider":"y"},
                    {"strategy":{"mode":"fallback"},"cache":{"mode":"simple"},"targets":[{"provider":"z"},{}]}]}"#,
                Some("x"),
                "",
            ),
            (r#"{"provider":"","virtual_key":"x","api_key":"","custom_host":""}"#, Some("x"), ""),
            (r#"{"provider":"x","prompt_id":"","inputGuardrails":[]}"#, Some("x"), ""),
        ] {
            let route = route(text);
            let target = route.only_target().expect("one");
            assert_eq!(target.provider.as_deref(), provider, "{text}");
            assert_eq!(members(&target.override_params), overrides, "{text}");
        }
        let named = route(r#"{"provider":"@x/some/model"}"#);
        let target = named.only_target().expect("one");
        assert_eq!(target.override_model.as_deref(), Some("some/model"));
    }

    #[test]
    fn settings_are_inherited_by_targets() {
        let route = route(
            r#"{"strategy":{"mode":"fallback","cb_config":{"failure_threshold":2,"cooldown_interval":9}},
                "request_timeout":5,"retry":{"attempts":2},"forward_headers":["X-A"],
                "override_params":{"a":1,"b":1},"default_params":{"d":1},"drop_params":["x"],
                "targets":[
                  {"provider":"p"},
                  {"strategy":{"mode":"conditional","conditions":[{"query":{"model":"m"},"then":"n"}]},
                   "override_params":{"b":2},"targets":[
                     {"name":"n","provider":"q","override_params":{"b":3},"request_timeout":7,
                      "retry":{"attempts":0},"drop_params":["y.z"],"forward_headers":["x-b","X-B"]}]}]}"#,
        );
        assert_eq!(route.request_timeout, Some(Duration::from_millis(5)));
        let [first, second] = route.targets.as_slice() else { panic!("two targets") };
        assert_eq!(
            (&*first.path, &*second.path),
            ("config.targets[0]", "config.targets[1].targets[0]")
        );
        assert_eq!((first.retry.attempts, second.retry.attempts), (2, 0));
        assert_eq!(members(&first.override_params), "a=1,b=1");
        assert_eq!(members(&second.override_params), "a=1,b=3");
        assert_eq!(members(&second.default_params), "d=1");
        let dropped = |target: &Target| {
            let members =
                target.drop_params.members().map(|it| (it.name.to_owned(), it.is_whole()));
            members.collect::<Vec<_>>()
        };
        assert_eq!(dropped(first), [("x".to_owned(), true)]);
        assert_eq!(dropped(second), [("x".to_owned(), true), ("y".to_owned(), false)]);
        assert_eq!(*first.forward_headers, ["x-a"]);
        assert_eq!(*second.forward_headers, ["x-b"]);
        assert_eq!(first.request_timeout, None, "it bounds all attempts together");
        assert_eq!(second.request_timeout, Some(Duration::from_millis(7)));
        assert_ne!(first.breaker, BreakerRule::default());
        assert_eq!(second.breaker, BreakerRule::default(), "conditions end what was inherited");
    }

    /// Both configs of a pair have the same meaning.
    #[test]
    fn camel_case_names_and_float_integers_are_accepted() {
        for (one, other) in [
            (
                r#"{"strategy":{"mode":"fallback","onStatusCodes":[429.0,503]},"requestTimeout":3.0,
                    "retry":{"attempts":3.0,"onStatusCodes":[500],"useRetryAfterHeader":false},
                    "cache":{"mode":"simple","maxAge":60.0},"defaultParams":{"aB":1},"dropParams":["cD"],
                    "targets":[{"provider":"p","overrideParams":{"maxTokens":5},"customHost":"http://h/v1"},
                        {"strategy":{"mode":"loadbalance","cbConfig":{"failureThreshold":2.0,"cooldownInterval":9},
                            "sticky":{"hashFields":["metadata.userId"]}},"forwardHeaders":["a"],
                         "targets":[{"virtualKey":"q","requestTimeout":7,"firstTokenTimeout":8,"weight":2},
                            {"strictOpenAiCompliance":true,"weight":1.5}]}]}"#,
                r#"{"strategy":{"mode":"fallback","on_status_codes":[429,503]},"request_timeout":3,
                    "retry":{"attempts":3,"on_status_codes":[500],"use_retry_after_header":false},
                    "cache":{"mode":"simple","max_age":60},"default_params":{"aB":1},"drop_params":["cD"],
                    "targets":[{"provider":"p","override_params":{"maxTokens":5},"custom_host":"http://h/v1"},
                        {"strategy":{"mode":"loadbalance","cb_config":{"failure_threshold":2,"cooldown_interval":9},
                            "sticky":{"hash_fields":["metadata.userId"]}},"forward_headers":["a"],
                         "targets":[{"virtual_key":"q","request_timeout":7,"first_token_timeout":8,"weight":2.0},
                            {"strict_open_ai_compliance":true,"weight":1.5}]}]}"#,
            ),
            (
                r#"{"requestTimeout":0,"customHost":"","targets":[{"request_timeout":0.0,"first_token_timeout":0}]}"#,
                r#"{"targets":[{}]}"#,
            ),
            (
                r#"{"custom_host":"http://h/v1","targets":[{"custom_host":""}]}"#,
                r#"{"custom_host":"http://h/v1","targets":[{}]}"#,
            ),
        ] {
            let (of_header, expected) = (route(one), route(other));
            assert_eq!(of_header.warnings, expected.warnings);
            assert_eq!(format!("{of_header:?}"), format!("{expected:?}"));
            // Also in the settings.
            let (mut diagnostics, value) =
                (Diagnostics::default(), serde_json::from_str(one).expect("JSON"));
            let settings = RouteSettings::read(value, "routes.r", &mut diagnostics);
            let of_settings =
                settings.and_then(|it| it.check("inline", "routes.r", &mut diagnostics));
            assert!(diagnostics.is_empty(), "{:?}", diagnostics.into_vec());
            let inline = format!("{expected:?}").replace("is_inline: true", "is_inline: false");
            assert_eq!(format!("{:?}", of_settings.expect(one)), inline);
        }
    }

    #[test]
    fn invalid_routes_are_rejected_with_their_path() {
        for (text, expected) in [
            (r#"{"strategy":{"mode":"fallback"}}"#, "config.strategy.mode"),
            (r#"{"strategy":{"mode":"falback"},"targets":[{}]}"#, "config.strategy.mode"),
            (r#"{"strategy":"single"}"#, "config.strategy"),
            (
                r#"{"strategy":{"on_status_codes":[42]},"targets":[{}]}"#,
                "config.strategy.on_status_codes[0]",
            ),
            (r#"{"strategy":{"percent":5},"targets":[{}]}"#, "config.strategy.percent"),
            (r#"{"strategy":{"mode":"canary"},"targets":[{},{}]}"#, "config.strategy.percent"),
            (r#"{"strategy":{"mode":"canary","percent":5},"targets":[{}]}"#, "config.strategy"),
            (r#"{"strategy":{"mode":"mirror"},"targets":[{}]}"#, "config.strategy"),
            (r#"{"targets":[{"provider":"x"},{"provider":"y"}]}"#, "config.strategy"),
            (r#"{"strategy":{"mode":"conditional"},"targets":[{}]}"#, "config.strategy.conditions"),
            (
                r#"{"strategy":{"mode":"conditional","default":"z","conditions":[{"query":{"model":"m"},"then":"a"}]},
                    "targets":[{"name":"a"}]}"#,
                "config.strategy.default",
            ),
            (
                r#"{"strategy":{"mode":"conditional","conditions":[{"query":{"model":{"$gtt":1}},"then":"a"}]},
                    "targets":[{"name":"a"}]}"#,
                r#"config.strategy.conditions[0].query.model."$gtt""#,
            ),
            (
                r#"{"strategy":{"mode":"loadbalance"},"targets":[{"weight":0},{"weight":0}]}"#,
                "config.strategy",
            ),
            (r#"{"strategy":{"mode":"fastest"},"targets":[{"weight":0}]}"#, "config.strategy"),
            (
                r#"{"strategy":{"mode":"loadbalance"},"targets":[{"weight":-1}]}"#,
                "config.targets[0].weight",
            ),
            (
                r#"{"strategy":{"mode":"loadbalance","sticky":{"hash_fields":["user"]}},"targets":[{}]}"#,
                "config.strategy.sticky.hash_fields[0]",
            ),
            (
                r#"{"strategy":{"mode":"fallback","cb_config":{"failure_threshold":1}},"targets":[{}]}"#,
                "config.strategy.cb_config.cooldown_interval",
            ),
            (r#"{"retry":{"attempts":6}}"#, "config.retry.attempts"),
            (
                r#"{"retry":{"attempts":1,"on_status_codes":[1000]}}"#,
                "config.retry.on_status_codes[0]",
            ),
            (r#"{"cache":{"mode":"semantics"}}"#, "config.cache.mode"),
            (r#"{"cache":{"mode":"simple","shadow":true}}"#, "config.cache.shadow"),
            (
                r#"{"cache":{"mode":"simple","standalone_turns":true}}"#,
                "config.cache.standalone_turns",
            ),
            (r#"{"cache":{"mode":"simple","max_age":59}}"#, "config.cache.max_age"),
            (
                r#"{"strategy":{"mode":"fallback"},"targets":[{"cache":{"mode":"simple"}},{}]}"#,
                "config.targets[0].cache",
            ),
            (r#"{"input_guardrails":["a"]}"#, "config.input_guardrails"),
            (
                r#"{"targets":[{"after_request_hooks":[{}]}]}"#,
                "config.targets[0].after_request_hooks",
            ),
            (r#"{"options":[{}]}"#, "config.options"),
            (r#"{"api_key":"SECRET"}"#, "config.api_key"),
            (r#"{"provider":"x","api_key":"SE\u0000CRET"}"#, "config.api_key"),
            (r#"{"api_key":"SECRET","targets":[{}]}"#, "config.api_key"),
            (r#"{"provider":"x","targets":[{"provider":"y"}]}"#, "config.provider"),
            (r#"{"provider":"x","virtual_key":"y"}"#, "config.virtual_key"),
            (r#"{"provider":"X y"}"#, "config.provider"),
            (r#"{"provider":5}"#, "config.provider"),
            (r#"{"override_params":[]}"#, "config.override_params"),
            (r#"{"override_params":{"model":5}}"#, "config.override_params.model"),
            (r#"{"drop_params":["a..b"]}"#, "config.drop_params[0]"),
            (r#"{"request_timeout":-1}"#, "config.request_timeout"),
            (r#"{"request_timeout":1.5}"#, "config.request_timeout"),
            (r#"{"retry":{"attempts":0.5}}"#, "config.retry.attempts"),
            (r#"{"overrideParams":{},"override_params":{}}"#, "config.overrideParams"),
            (
                r#"{"targets":[{"cache":{"maxAge":60,"max_age":60,"mode":"simple"}}]}"#,
                "config.targets[0].cache.maxAge",
            ),
            (r#"{"inputGuardrails":["a"]}"#, "config.inputGuardrails"),
            (r#"{"targets":[{"afterRequestHooks":[{}]}]}"#, "config.targets[0].afterRequestHooks"),
            (
                r#"{"strategy":{"mode":"single"},"targets":[{"provider":"x"},{"retry":{"attempts":9}}]}"#,
                "config.targets[1].retry.attempts",
            ),
            (r#"{"request_timeout":"5"}"#, "config.request_timeout"),
            (r#"{"forward_headers":["Authorization"]}"#, "config.forward_headers[0]"),
            (r#"{"forward_headers":["a","host"]}"#, "config.forward_headers[1]"),
            ("[]", "config"),
            ("null", "config"),
        ] {
            let error = Route::from_json(text).expect_err(text);
            assert!(!error.to_string().contains("SECRET"), "{error}");
            let RouteError::Refused { diagnostics } = error else { panic!("{text}: {error}") };
            let paths: Vec<&str> =
                diagnostics.iter().map(|diagnostic| diagnostic.path.as_str()).collect();
            assert_eq!(paths, [expected], "{text}");
        }
    }

    #[test]
    fn unknown_names_are_ignored_with_warning() {
        let route = route(
            r#"{"id":"pc-1","strategy":{"mode":"fallback","x":1},"retry":{"y":1},
                "targets":[{"provider":"p","metadata":{}},{"provider":"q"}]}"#,
        );
        let expected =
            ["config.id", "config.strategy.x", "config.retry.y", "config.targets[0].metadata"];
        assert_eq!(route.warnings.len(), expected.len());
        for (warning, path) in route.warnings.iter().zip(expected) {
            assert!(warning.starts_with(&format!("{path} ")), "{warning}");
        }
        let mut diagnostics = Diagnostics::default();
        let written = serde_json::json!({"provider": "p", "id": "pc-1"});
        RouteSettings::read(written, "routes.r", &mut diagnostics);
        assert_eq!(
            diagnostics.into_vec()[0].path,
            "routes.r.id",
            "in the settings they are refused"
        );
    }

    #[test]
    fn hostile_configs_are_bounded() {
        let nested = "[".repeat(20_000);
        assert!(matches!(Route::from_json(&nested), Err(RouteError::NotJson { .. })));
        let long = " ".repeat(CONFIG_BYTES_MAX + 1);
        assert!(matches!(Route::from_json(&long), Err(RouteError::TooLong { .. })));
        assert!(matches!(Route::from_json(""), Err(RouteError::NotJson { .. })));
        let members: Vec<String> = (0..2_000).map(|index| format!("\"k{index}\":1")).collect();
        let route = route(&format!("{{{}}}", members.join(",")));
        assert!(route.warnings.join("; ").len() < 2_000);
        let group = |inner: &str| format!(r#"{{"targets":[{inner}]}}"#);
        let deep = (0..DEPTH_MAX).fold("{}".to_owned(), |inner, _| group(&inner));
        assert!(Route::from_json(&deep).is_ok());
        assert!(Route::from_json(&group(&deep)).is_err());
        let wide = |count: usize| {
            format!(
                r#"{{"strategy":{{"mode":"fallback"}},"targets":[{}]}}"#,
                vec!["{}"; count].join(",")
            )
        };
        assert!(Route::from_json(&wide(Group::CHILDREN_MAX)).is_ok());
        assert!(Route::from_json(&wide(Group::CHILDREN_MAX + 1)).is_err());
        let groups = |count: usize, inner: &str| {
            format!(
                r#"{{"strategy":{{"mode":"fallback"}},"targets":[{}]}}"#,
                vec![inner; count].join(",")
            )
        };
        assert!(Route::from_json(&groups(4, &wide(16))).is_ok());
        assert!(Route::from_json(&groups(5, &wide(16))).is_err(), "80 targets");
        // The operator is trusted with the settings.
        let of_settings = |text: &str| {
            let (value, mut diagnostics) =
                (serde_json::from_str(text).expect("JSON"), Diagnostics::default());
            let settings = RouteSettings::read(value, "routes.r", &mut diagnostics);
            settings.and_then(|settings| settings.check("r", "routes.r", &mut diagnostics))
        };
        assert!(of_settings(&groups(8, &wide(64))).is_some());
        assert!(of_settings(&groups(9, &wide(60))).is_none(), "540 targets");
    }

    /// An inherited value is stored once, for any number of targets.
    #[test]
    fn inherited_lists_are_shared() {
        let names = |prefix: &str| {
            (0..50).map(|at| format!("\"{prefix}{at}\"")).collect::<Vec<_>>().join(",")
        };
        let params: Vec<String> = (0..50).map(|at| format!("\"o{at}\":1")).collect();
        let leaf = r#"{"provider":"p","drop_params":["own"],"override_params":{"own":2}}"#;
        let config = format!(
            r#"{{"strategy":{{"mode":"fallback"}},"drop_params":[{}],"forward_headers":[{}],
                "override_params":{{"model":"m",{}}},"targets":[{}]}}"#,
            names("d"),
            names("h"),
            params.join(","),
            vec![leaf; 64].join(",")
        );
        let route = route(&config);
        let [first, .., last] = route.targets.as_slice() else { panic!("64 targets") };
        let around = |target: &Target| {
            target.override_params.as_ref().and_then(|it| it.around().map(Arc::as_ptr))
        };
        assert!(around(first).is_some() && around(first) == around(last));
        assert!(Arc::ptr_eq(&first.drop_params.paths, &last.drop_params.paths));
        assert!(Arc::ptr_eq(&first.forward_headers, &last.forward_headers));
        assert_eq!(
            first.override_model.as_deref().map(str::as_ptr),
            last.override_model.as_deref().map(str::as_ptr)
        );
        assert_eq!(last.drop_params.members().count(), 51);
        assert_eq!(last.override_params.iter().flat_map(|it| it.members()).count(), 52);
    }

    #[test]
    fn nested_race_lanes_multiply() {
        let race = |children: &[String]| {
            format!(r#"{{"strategy":{{"mode":"race"}},"targets":[{}]}}"#, children.join(","))
        };
        let group = |mode: &str, children: &[String]| {
            format!(r#"{{"strategy":{{"mode":"{mode}"}},"targets":[{}]}}"#, children.join(","))
        };
        let leaves = |count: usize| vec!["{}".to_owned(); count];
        for (config, is_good) in [
            (race(&leaves(16)), true),
            (race(&leaves(17)), false),
            (race(&vec![race(&leaves(4)); 4]), true),
            (race(&vec![race(&leaves(4)); 5]), false),
            (race(&vec![race(&vec![race(&leaves(2)); 2]); 5]), false),
            // Only one of them is called at a time.
            (group("fallback", &vec![race(&leaves(16)); 4]), true),
            (race(&vec![group("fallback", &leaves(4)); 16]), true),
            (group("mirror", &leaves(16)), true),
            (group("mirror", &leaves(17)), false),
            (race(&vec![group("mirror", &leaves(8)); 3]), false),
        ] {
            let found = Route::from_json(&config);
            assert_eq!(found.is_ok(), is_good, "{config}");
            if let Err(error) = found {
                assert!(
                    error.to_string().contains("at most 16 provider calls at a time"),
                    "{error}"
                );
            }
        }
    }
}

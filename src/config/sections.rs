//! The sections of the file: each is read and checked alone, then against the others.
//!
//! Invalid parts of a section are left out and checking continues, so that one run reports
//! everything.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::admin::AdminSettings;
use super::egress::EgressSettings;
use super::interpolate::Sources;
use super::log::LogSettings;
use super::overrides::Overrides;
use super::restart::RestartSettings;
use super::section::Section;
use super::server::ServerSettings;
use super::{Admin, Egress, RequestLog, Server, Settings};
use crate::base::{Diagnostics, Schema, Secret, did_you_mean, member_path};
use crate::cache::{CacheLimits, CacheSettings, SemanticLimits, SemanticSettings};
use crate::keys::{KeySet, KeySettings, VirtualKey};
use crate::llm::{Catalog, ModelSettings};
use crate::providers::{
    BaseUrl, ConfigSources, PRESETS, Provider, ProviderSet, ProviderSettings, preset,
};
use crate::routing::{Route, RouteSet, RouteSettings, Target};

/// Names of the sections.
const SECTIONS: [&str; 11] = [
    "server",
    "admin",
    "egress",
    "log",
    "cache",
    "semantic_cache",
    "providers",
    "catalog",
    "catalogue",
    "keys",
    "routes",
];

/// The two spellings of the section of models.
const CATALOG_SECTIONS: [&str; 2] = ["catalog", "catalogue"];

/// A settings file being checked.
pub(super) struct Sections<'a> {
    /// The file with references resolved; each section is removed when it is read.
    pub(super) written: Map<String, Value>,
    /// Base directory of relative paths.
    pub(super) directory: &'a Path,
    /// The environment and files.
    pub(super) sources: Sources<'a>,
    /// The diagnostics so far.
    pub(super) diagnostics: &'a mut Diagnostics,
    /// The settings read so far that only a restart changes.
    pub(super) restart: RestartSettings,
}

impl<'a> Sections<'a> {
    /// The settings; valid only if there is no diagnostic.
    pub(super) fn settings(mut self, overrides: &Overrides) -> Option<Settings> {
        self.refuse_unknown_sections();
        let server = self.server(overrides);
        let admin = self.admin();
        let egress = self.egress();
        let log = self.log();
        let cache = self.cache();
        let semantic = self.semantic_cache();
        let provider_names = self.names("providers");
        let providers = self.providers();
        let catalog = self.catalog(&provider_names, &providers);
        let route_names = self.names("routes");
        // Values that come from a file or the environment are in it.
        let written_routes = self.written.get("routes").map(Value::to_string).unwrap_or_default();
        let routes = self.routes(&provider_names, &providers);
        let keys = self.keys(&route_names);
        let providers = ProviderSet::new(providers.into_iter().map(Arc::new).collect(), catalog);
        Some(Settings {
            server: Section::new(server?),
            admin: Section::new(admin?),
            egress: Section::new(egress?),
            log: Section::new(log?),
            cache: Section::new(cache?),
            semantic_cache: Section::new(semantic?),
            providers: Section::new(providers),
            keys: Section::new(KeySet::new(keys)),
            routes: Section::new(RouteSet::new(routes, written_routes.as_bytes())),
            restart: Arc::new(self.restart),
        })
    }

    fn refuse_unknown_sections(&mut self) {
        for name in self.written.keys().filter(|name| !SECTIONS.contains(&name.as_str())) {
            let hint = did_you_mean(name, SECTIONS);
            self.diagnostics.add(&member_path("", name), "unknown section", hint);
        }
    }

    /// A section that stands once in the file.
    fn section<T: DeserializeOwned + JsonSchema>(&mut self, name: &str) -> Option<T> {
        let written = self.written.remove(name).unwrap_or(Value::Object(Map::new()));
        let schema = Schema::of::<T>();
        self.restart.extend(schema.restart_values(&written, name));
        schema.read(written, name, self.diagnostics)
    }

    fn server(&mut self, overrides: &Overrides) -> Option<Server> {
        let written = self.written.entry("server").or_insert(Value::Object(Map::new()));
        if let Some(members) = written.as_object_mut() {
            let given = [
                ("listen", overrides.listen.map(|it| it.to_string().into())),
                ("admin_listen", overrides.admin_listen.map(|it| it.to_string().into())),
                ("shards", overrides.shards.map(Value::from)),
            ];
            for (name, value) in given {
                members.extend(value.map(|value| (name.to_owned(), value)));
            }
        }
        let settings: ServerSettings = self.section("server")?;
        settings.check("server", self.sources.read_file, self.diagnostics)
    }

    fn admin(&mut self) -> Option<Admin> {
        let settings: AdminSettings = self.section("admin")?;
        Some(settings.check("admin", self.diagnostics))
    }

    fn egress(&mut self) -> Option<Egress> {
        let settings: EgressSettings = self.section("egress")?;
        Some(settings.check("egress", self.diagnostics))
    }

    fn log(&mut self) -> Option<RequestLog> {
        let settings: LogSettings = self.section("log")?;
        settings.check("log", self.directory, self.diagnostics)
    }

    fn cache(&mut self) -> Option<CacheLimits> {
        let settings: CacheSettings = self.section("cache")?;
        Some(settings.check(self.directory))
    }

    fn semantic_cache(&mut self) -> Option<SemanticLimits> {
        self.accept_old_name("semantic_cache", ("wrong_max", "max_error_rate"));
        let settings: SemanticSettings = self.section("semantic_cache")?;
        settings.check(self.directory, self.diagnostics)
    }

    /// Renames a setting from its old name to the new one. A diagnostic if both are given.
    fn accept_old_name(&mut self, section: &str, (old, new): (&str, &str)) {
        let written = self.written.get_mut(section).and_then(Value::as_object_mut);
        let Some(members) = written else { return };
        let Some(value) = members.remove(old) else { return };
        if members.contains_key(new) {
            let message = format!("`{new}` is set too, and both are one setting");
            self.diagnostics.add(&member_path(section, old), message, format!("keep `{new}`"));
        } else {
            members.insert(new.to_owned(), value);
        }
    }

    /// Names in a section as written, valid or not, so that an invalid one still counts as
    /// existing.
    fn names(&self, section: &str) -> Vec<String> {
        let members = self.written.get(section).and_then(Value::as_object);
        members.into_iter().flat_map(Map::keys).cloned().collect()
    }

    /// The named tables of a section, in the order of the file.
    fn tables(&mut self, section: &str) -> Map<String, Value> {
        match self.written.remove(section) {
            None => Map::new(),
            Some(Value::Object(tables)) => tables,
            Some(_) => {
                let message = format!("expected tables `[{section}.NAME]`");
                self.diagnostics.add(section, message, "");
                Map::new()
            }
        }
    }

    fn providers(&mut self) -> Vec<Provider> {
        let tables = self.tables("providers");
        if tables.is_empty() {
            return self.providers_of_environment();
        }
        let shape = Schema::of::<ProviderSettings>();
        let sources = self.sources();
        let mut providers = Vec::new();
        for (name, written) in tables {
            let path = member_path("providers", &name);
            let settings: Option<ProviderSettings> = shape.read(written, &path, self.diagnostics);
            providers.extend(
                settings
                    .and_then(|settings| settings.check(&name, &path, &sources, self.diagnostics)),
            );
        }
        providers
    }

    fn sources(&self) -> ConfigSources<'a> {
        let Sources { read_file, environment } = self.sources;
        ConfigSources { read_file, environment }
    }

    /// Defaults without a file: one provider per known environment variable, and the built-in
    /// `echo`.
    fn providers_of_environment(&mut self) -> Vec<Provider> {
        let sources = self.sources();
        let mut providers = Vec::new();
        let mut add = |name: &str, path: &str, settings: ProviderSettings| {
            providers.extend(settings.check(name, path, &sources, self.diagnostics));
        };
        for row in PRESETS.iter() {
            let Some(variable) = &row.env else { continue };
            let value = (self.sources.environment)(variable).filter(|value| !value.is_empty());
            let Some(value) = value else { continue };
            let settings = ProviderSettings {
                preset: Some(row.slug.clone()),
                api_key: Some(Secret::new(value)),
                ..ProviderSettings::default()
            };
            add(&row.slug, &member_path("environment", variable), settings);
        }
        let echo = ProviderSettings { preset: Some("echo".to_owned()), ..Default::default() };
        add("echo", "providers.echo", echo);
        providers
    }

    /// The operator's corrections to the model catalog, by provider or preset and by model.
    fn catalog(&mut self, written_names: &[String], providers: &[Provider]) -> Catalog {
        let built_in = Catalog::default();
        let shape = Schema::of::<ModelSettings>();
        let mut own = BTreeMap::new();
        let mut paths: BTreeMap<(String, String), String> = BTreeMap::new();
        let tables: Vec<(String, String, Value)> = CATALOG_SECTIONS
            .into_iter()
            .flat_map(|section| {
                let tables = self.tables(section).into_iter();
                tables.map(move |(name, models)| (member_path(section, &name), name, models))
            })
            .collect();
        for (path, name, models) in tables {
            let preset = providers
                .iter()
                .find(|provider| provider.name == name)
                .and_then(|provider| provider.preset);
            let is_preset = PRESETS.iter().any(|preset| preset.slug == name);
            if !is_preset && preset.is_none() && !written_names.contains(&name) {
                let known = written_names.iter().map(String::as_str);
                let mut hint =
                    did_you_mean(&name, known.chain(PRESETS.iter().map(|it| it.slug.as_str())));
                if hint.is_empty() {
                    "write the name of a provider of this file, or of a preset"
                        .clone_into(&mut hint);
                }
                self.diagnostics.add(&path, "no provider and no preset has this name", hint);
            }
            let Value::Object(models) = models else {
                let message = format!("expected tables `[{path}.\"MODEL\"]`");
                self.diagnostics.add(&path, message, "");
                continue;
            };
            let cards: &mut Vec<_> = own.entry(name.clone()).or_default();
            for (model, written) in models {
                let path = member_path(&path, &model);
                if let Some(other) = paths.insert((name.clone(), model.clone()), path.clone()) {
                    let message = format!("`{other}` is the same model");
                    self.diagnostics.add(&path, message, "describe a model in one section");
                    continue;
                }
                let settings: Option<ModelSettings> = shape.read(written, &path, self.diagnostics);
                let Some(settings) = settings else { continue };
                let listed = built_in.find(preset.unwrap_or(&name), &model);
                cards.extend(settings.check(&model, listed, &path, self.diagnostics));
            }
        }
        Catalog::with_own(own)
    }

    fn routes(&mut self, written_names: &[String], providers: &[Provider]) -> Vec<Route> {
        let known: Vec<&str> = written_names
            .iter()
            .map(String::as_str)
            .chain(providers.iter().map(|provider| provider.name.as_str()))
            .collect();
        let mut routes = Vec::new();
        for (name, written) in self.tables("routes") {
            let path = member_path("routes", &name);
            let settings = RouteSettings::read(written.clone(), &path, self.diagnostics);
            let route =
                settings.and_then(|settings| settings.check(&name, &path, self.diagnostics));
            let Some(route) = route else { continue };
            for target in &route.targets {
                self.check_target(target, &written, &path, &known);
            }
            routes.push(route);
        }
        routes
    }

    /// Reports targets whose provider or host is not allowed.
    fn check_target(&mut self, target: &Target, written: &Value, path: &str, known: &[&str]) {
        let written = written_target(written, &target.path);
        let path = target.path.replacen("config", path, 1);
        if let Some(host) = &target.custom_host
            && BaseUrl::parse(host).is_err()
        {
            let message = "expected a base URL, as in `https://api.example.com/v1`";
            self.diagnostics.add(&member_path(&path, "custom_host"), message, "");
        }
        let Some(provider) = target.provider.as_deref() else { return };
        let is_written = |name| written.is_some_and(|it| it.get(name).is_some());
        let alias = is_written("virtual_key") || is_written("virtualKey");
        let path = member_path(&path, if alias { "virtual_key" } else { "provider" });
        let is_own =
            target.api_key.is_some() && !known.contains(&provider) || target.custom_host.is_some();
        if is_own && preset(provider).is_none() {
            let quoted = self.diagnostics.quote(&path, provider);
            let message =
                format!("expected a preset beside `api_key` or `custom_host`, got {quoted}");
            self.diagnostics.add(&path, message, "a provider's own settings have its key and URL");
        } else if !is_own && !known.contains(&provider) {
            let quoted = self.diagnostics.quote(&path, provider);
            let message = format!("no provider has the name {quoted}");
            let mut hint = did_you_mean(provider, known.iter().copied());
            if hint.is_empty() {
                "add it under `[providers]`".clone_into(&mut hint);
            }
            self.diagnostics.add(&path, message, hint);
        }
    }

    fn keys(&mut self, route_names: &[String]) -> Vec<VirtualKey> {
        let shape = Schema::of::<KeySettings>();
        let mut keys: Vec<VirtualKey> = Vec::new();
        let mut owners = HashMap::new();
        for (name, written) in self.tables("keys") {
            let path = member_path("keys", &name);
            let settings: Option<KeySettings> = shape.read(written, &path, self.diagnostics);
            let Some(settings) = settings else { continue };
            self.check_routes_of_key(&settings, &path, route_names);
            let Some(key) = settings.check(&name, &path, self.diagnostics) else { continue };
            if let Some(other) = owners.insert(key.hash, name) {
                let message = format!("expected a secret of its own, got that of `keys.{other}`");
                self.diagnostics.add(
                    &path,
                    message,
                    "two keys with one secret cannot be told apart",
                );
            }
            keys.push(key);
        }
        keys
    }

    fn check_routes_of_key(&mut self, settings: &KeySettings, path: &str, names: &[String]) {
        let route = settings.route.iter().map(|route| (member_path(path, "route"), route));
        let list = settings
            .routes
            .iter()
            .flatten()
            .enumerate()
            .map(|(index, route)| (format!("{}[{index}]", member_path(path, "routes")), route));
        for (path, route) in route.chain(list.filter(|(_, route)| !route.contains('*'))) {
            if !names.contains(route) {
                let message =
                    format!("no route has the name {}", self.diagnostics.quote(&path, route));
                let hint = did_you_mean(route, names.iter().map(String::as_str));
                self.diagnostics.add(&path, message, hint);
            }
        }
    }
}

/// The target as written; `place` is its path, such as `config.targets[0].targets[1]`.
fn written_target<'v>(route: &'v Value, place: &str) -> Option<&'v Value> {
    let mut steps = place.split('[').skip(1).map(|step| step.split(']').next()?.parse().ok());
    steps.try_fold(route, |value, index: Option<usize>| value.get("targets")?.get(index?))
}

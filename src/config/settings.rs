//! The settings as the process uses them: sections that are shared one by one.

use std::net::SocketAddr;
use std::sync::Arc;

use super::admin::Admin;
use super::egress::Egress;
use super::log::RequestLog;
use super::restart::RestartSettings;
use super::section::Section;
use super::server::Server;
use crate::cache::{CacheLimits, SemanticLimits};
use crate::keys::KeySet;
use crate::providers::{Provider, ProviderSet};
use crate::routing::RouteSet;

/// All settings, validated. A clone shares the sections.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The gateway itself.
    pub server: Section<Server>,
    /// The admin listener.
    pub admin: Section<Admin>,
    /// Where the gateway may go besides providers.
    pub egress: Section<Egress>,
    /// The line per request.
    pub log: Section<RequestLog>,
    /// Bounds of the cache.
    pub cache: Section<CacheLimits>,
    /// How the semantic cache works.
    pub semantic_cache: Section<SemanticLimits>,
    /// Providers, and what is known of their models; never empty.
    pub providers: Section<ProviderSet>,
    /// Virtual keys.
    pub keys: Section<KeySet>,
    /// Routes; each names only providers that exist.
    pub routes: Section<RouteSet>,
    /// What only a restart changes.
    pub(super) restart: Arc<RestartSettings>,
}

impl Settings {
    /// The provider of that name, without `@`.
    #[must_use]
    pub fn provider(&self, name: &str) -> Option<&Arc<Provider>> {
        self.providers.find(name)
    }

    /// The paths of all settings that differ from those of a process that runs with `running` and that only
    /// a restart changes.
    #[must_use]
    pub fn restart_required(&self, running: &Self) -> Vec<&str> {
        self.restart.changed(&running.restart)
    }

    /// Sets the addresses that the listeners are bound to, in place of those with a port 0.
    pub fn set_bound_addresses(&mut self, listen: SocketAddr, admin_listen: SocketAddr) {
        self.server = Section::new(Server { listen, admin_listen, ..(*self.server).clone() });
        let mut restart = (*self.restart).clone();
        restart.set_address("server.listen", listen);
        restart.set_address("server.admin_listen", admin_listen);
        self.restart = Arc::new(restart);
    }

    /// Takes over each section of `running` whose values are the same here, and of the others the providers
    /// and keys that have not changed.
    pub fn keep_unchanged(&mut self, running: &Self) {
        // Without `..`, so that no section is forgotten.
        let Self {
            server,
            admin,
            egress,
            log,
            cache,
            semantic_cache,
            providers,
            keys,
            routes,
            restart: _,
        } = self;
        server.keep(&running.server);
        admin.keep(&running.admin);
        egress.keep(&running.egress);
        log.keep(&running.log);
        cache.keep(&running.cache);
        semantic_cache.keep(&running.semantic_cache);
        routes.keep(&running.routes);
        providers.keep(&running.providers);
        if !providers.is_same(&running.providers) {
            *providers = Section::new(providers.with_unchanged_of(&running.providers));
        }
        if !keys.is_same(&running.keys) {
            let changes = running.keys.changes_to(keys);
            *keys = match changes.is_empty() {
                true => running.keys.clone(),
                false => Section::new(running.keys.with_changes(changes)),
            };
        }
    }

    /// Names of the sections that are not those of `running`.
    #[must_use]
    pub fn changed_sections(&self, running: &Self) -> Vec<&'static str> {
        let sections = [
            ("server", self.server.is_same(&running.server)),
            ("admin", self.admin.is_same(&running.admin)),
            ("egress", self.egress.is_same(&running.egress)),
            ("log", self.log.is_same(&running.log)),
            ("cache", self.cache.is_same(&running.cache)),
            ("semantic_cache", self.semantic_cache.is_same(&running.semantic_cache)),
            ("providers", self.providers.is_same(&running.providers)),
            ("keys", self.keys.is_same(&running.keys)),
            ("routes", self.routes.is_same(&running.routes)),
        ];
        sections.into_iter().filter(|(_, is_same)| !is_same).map(|(name, _)| name).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Overrides;

    const FIRST: &str = "[providers.a]\npreset = 'openai'\napi_key = '${A}'\n\
                         [providers.b]\npreset = 'echo'\n\
                         [routes.r]\nprovider = 'b'\n\
                         [keys.k]\nsecret = 'one'\n[keys.l]\nsecret = 'two'\n";

    fn settings(text: &str, credential: &str) -> Settings {
        let environment = |_: &str| Some(credential.to_owned());
        Settings::parse(text, Path::new(""), &Overrides::default(), &environment).expect("legal")
    }

    /// What a reload makes of `text` beside `running`.
    fn reloaded(text: &str, credential: &str, running: &Settings) -> Settings {
        let mut settings = settings(text, credential);
        settings.keep_unchanged(running);
        settings
    }

    #[test]
    fn a_reload_renews_only_the_sections_that_changed() {
        let running = settings(FIRST, "c");
        for (text, credential, expected) in [
            (FIRST.to_owned(), "c", &[][..]),
            (format!("[server]\nshards = 0\n{FIRST}"), "c", &[]),
            (format!("[server]\nin_flight_max = 7\n{FIRST}"), "c", &["server"]),
            (format!("[admin]\nhosts = ['a.b']\n{FIRST}"), "c", &["admin"]),
            (format!("[egress]\nfetch_pictures = true\n{FIRST}"), "c", &["egress"]),
            (format!("[log]\nrequests = 'stdout'\n{FIRST}"), "c", &["log"]),
            (format!("[cache]\nbytes_max = 65536\n{FIRST}"), "c", &["cache"]),
            (format!("[semantic_cache]\nmode = 'shadow'\n{FIRST}"), "c", &["semantic_cache"]),
            (FIRST.to_owned(), "d", &["providers"]),
            (format!("{FIRST}[catalog.a.m]\ncontext_tokens = 5\n"), "c", &["providers"]),
            (FIRST.replace("'two'", "'three'"), "c", &["keys"]),
            (format!("{FIRST}models = ['m']\n"), "c", &["keys"]),
            (FIRST.replace("provider = 'b'", "provider = 'a'"), "c", &["routes"]),
        ] {
            let newer = reloaded(&text, credential, &running);
            assert_eq!(newer.changed_sections(&running), expected, "{text}");
            if expected.is_empty() {
                assert_eq!(newer.server.generation(), running.server.generation());
            } else if expected == ["keys"] {
                assert!(newer.keys.generation() > running.keys.generation());
            }
        }
    }

    #[test]
    fn unchanged_providers_and_keys_of_a_changed_section_are_kept() {
        let running = settings(FIRST, "c");
        let newer = reloaded(&FIRST.replace("'two'", "'three'"), "d", &running);
        let is_kept = |name: &str| {
            let both = (running.provider(name), newer.provider(name));
            matches!(both, (Some(old), Some(new)) if Arc::ptr_eq(old, new))
        };
        assert!(!is_kept("a") && is_kept("b"));
        let (old, new) = (running.keys.find(b"one"), newer.keys.find(b"one"));
        assert!(matches!((old, new), (Some(old), Some(new)) if Arc::ptr_eq(old, new)));
        assert!(newer.keys.find(b"two").is_none() && running.keys.find(b"two").is_some());
        assert_eq!(newer.keys.find(b"three").map(|key| &*key.name), Some("l"));
    }
}

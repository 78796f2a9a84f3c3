//! Settings as one shard uses them: what is published, and the pools of its providers.
//!
//! A shard builds a [`Snapshot`] of each new [`PreparedSettings`], and keeps of the one before what depends on
//! sections that have not changed. An exchange keeps the snapshot it began with.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use foldhash::HashMap;

use super::model_info::ModelInfoCache;
use super::redactor::Redactor;
use super::token_slot::TokenSlot;
use crate::config::{Server, Settings};
use crate::control::{Listing, PrepareError, PreparedSettings, peer, provider_tls};
use crate::providers::{Auth, BaseUrl, Origin, Preset, Provider, preset};
use crate::routing::ActiveRoute;
use crate::shard::{Pool, PoolLimits, Roots, TlsAcceptor, TlsError};

/// Providers that clients name and the settings do not, kept at most; there are fewer presets.
const AD_HOC_UPSTREAMS_MAX: usize = 256;

/// One provider as a shard calls it.
pub(crate) struct Upstream {
    pub provider: Arc<Provider>,
    pub name: Arc<str>,
    /// None for the built-in echo.
    pub pool: Option<Pool>,
    /// Of providers whose tokens are fetched.
    pub token: TokenSlot,
    /// Masks the credentials of its settings in what it sends back.
    pub redactor: Redactor,
}

/// Providers that clients named by preset or custom host; of a host any path, so that their number is
/// bounded.
type AdHocUpstreams = RefCell<HashMap<String, Rc<Upstream>>>;

/// The settings of one shard.
pub(crate) struct Snapshot {
    pub settings: Settings,
    /// In the order of the settings. They depend on the section `providers` and what all pools depend on.
    pub upstreams: Rc<[Rc<Upstream>]>,
    /// What is known of the models that were requested; it depends on the section `providers`.
    pub model_info: Rc<ModelInfoCache>,
    /// They depend on what all pools depend on.
    ad_hoc_upstreams: Rc<AdHocUpstreams>,
    /// The last field: while it is there, the control thread has the sections too, so that none is freed
    /// here.
    prepared: Arc<PreparedSettings>,
}

impl Snapshot {
    /// Builds the shard's view, keeping of `previous` what its new settings leave as it is.
    pub(crate) fn build(
        prepared: &Arc<PreparedSettings>,
        previous: Option<&Self>,
    ) -> Result<Self, PrepareError> {
        let settings = prepared.settings().clone();
        let with_same_models =
            previous.filter(|old| old.settings.providers.is_same(&settings.providers));
        let with_same_pools = previous.filter(|old| {
            old.roots() == prepared.roots()
                && pool_limits(&old.settings.server) == pool_limits(&settings.server)
        });
        let upstreams = match (with_same_models, with_same_pools) {
            (Some(old), Some(_)) => Rc::clone(&old.upstreams),
            _ => upstreams(prepared, with_same_pools)?,
        };
        Ok(Self {
            upstreams,
            model_info: with_same_models.map(|old| Rc::clone(&old.model_info)).unwrap_or_default(),
            ad_hoc_upstreams: with_same_pools
                .map(|old| Rc::clone(&old.ad_hoc_upstreams))
                .unwrap_or_default(),
            prepared: Arc::clone(prepared),
            settings,
        })
    }

    /// True if these are the settings of `published`.
    pub(crate) fn is_of(&self, prepared: &Arc<PreparedSettings>) -> bool {
        Arc::ptr_eq(&self.prepared, prepared)
    }

    /// TLS towards clients; none where they use plain HTTP.
    pub(crate) fn server_tls(&self) -> Option<&TlsAcceptor> {
        self.prepared.server_tls()
    }

    /// What `GET /v1/models` shows.
    pub(crate) fn listing(&self) -> &Listing {
        self.prepared.listing()
    }

    /// A hash over all configured providers: with others, stored answers mean nothing.
    pub(crate) fn providers_fingerprint(&self) -> &[u8; 32] {
        self.settings.providers.fingerprint()
    }

    /// True if the settings name that model.
    pub(crate) fn names_model(&self, model: &str) -> bool {
        self.settings.providers.names_model(model)
            || self.settings.routes.names_model(model)
            || self.settings.keys.names_model(model)
    }

    /// The system's root certificates.
    pub(crate) fn roots(&self) -> &Roots {
        self.prepared.roots()
    }

    /// The configured provider of that name.
    pub(crate) fn upstream(&self, name: &str) -> Option<&Rc<Upstream>> {
        self.upstreams.get(self.settings.providers.place(name)?)
    }

    /// The route of that name.
    pub(crate) fn route(&self, name: &str) -> Option<&Arc<ActiveRoute>> {
        self.prepared.route(name)
    }

    /// A provider that the settings do not name: a preset's, or a custom host that
    /// `server.custom_hosts` lists. The client brings the credential.
    pub(crate) fn ad_hoc_upstream(
        &self,
        slug: &str,
        custom_host: Option<&BaseUrl>,
    ) -> Option<(Rc<Upstream>, Auth)> {
        let preset = preset(slug)?;
        let base = match custom_host {
            Some(base) => base.clone(),
            None => BaseUrl::parse(&preset.base_url).ok()?,
        };
        let key = format!("{slug} {} {}{}", base.tls, base.authority, base.path);
        if let Some(known) = self.ad_hoc_upstreams.borrow().get(&key) {
            return Some((Rc::clone(known), preset.auth));
        }
        let made = Rc::new(self.make_ad_hoc_upstream(preset, base)?);
        let mut ad_hoc_upstreams = self.ad_hoc_upstreams.borrow_mut();
        if ad_hoc_upstreams.len() >= AD_HOC_UPSTREAMS_MAX {
            // Their idle connections go with them; requests under way keep theirs.
            ad_hoc_upstreams.clear();
        }
        ad_hoc_upstreams.insert(key, Rc::clone(&made));
        Some((made, preset.auth))
    }

    fn make_ad_hoc_upstream(&self, preset: &'static Preset, base: BaseUrl) -> Option<Upstream> {
        let provider = Provider::unlisted(preset, base);
        let Origin::Http(base) = &provider.origin else { return None };
        let tls = provider_tls(&provider, base, self.roots()).ok()?;
        let limits = pool_limits(&self.settings.server);
        let pool = Pool::new(peer(base, tls), limits, Arc::default());
        let name = Arc::from(provider.name.as_str());
        let redactor = Redactor::of_provider(&provider);
        let token = TokenSlot::default();
        Some(Upstream { provider: Arc::new(provider), name, pool: Some(pool), token, redactor })
    }

    /// All pools, for the sweep and the metrics.
    pub(crate) fn each_pool(&self, mut visit: impl FnMut(&Pool)) {
        for upstream in self.upstreams.iter() {
            upstream.pool.as_ref().into_iter().for_each(&mut visit);
        }
        for upstream in self.ad_hoc_upstreams.borrow().values() {
            upstream.pool.as_ref().into_iter().for_each(&mut visit);
        }
    }
}

fn pool_limits(server: &Server) -> PoolLimits {
    PoolLimits {
        idle_max: server.pool_idle_max,
        idle_timeout: server.pool_idle_timeout,
        age_max: server.pool_age_max,
    }
}

/// The providers of the settings, in their order. Those of `previous` that have not changed are kept.
fn upstreams(
    prepared: &PreparedSettings,
    previous: Option<&Snapshot>,
) -> Result<Rc<[Rc<Upstream>]>, PrepareError> {
    let upstream = |provider: &Arc<Provider>| {
        let old = previous.and_then(|old| old.upstream(&provider.name));
        match old.filter(|old| Arc::ptr_eq(&old.provider, provider)) {
            Some(kept) => Ok(Rc::clone(kept)),
            None => upstream(Arc::clone(provider), prepared)
                .map(Rc::new)
                .map_err(|source| PrepareError::Provider { name: provider.name.clone(), source }),
        }
    };
    prepared.settings().providers.iter().map(upstream).collect()
}

fn upstream(provider: Arc<Provider>, prepared: &PreparedSettings) -> Result<Upstream, TlsError> {
    let pool = match &provider.origin {
        Origin::Echo => None,
        Origin::Http(base) => {
            let tls = provider_tls(&provider, base, prepared.roots())?;
            let distrust = prepared.targets().distrust(&provider.name, &base.authority);
            let limits = pool_limits(&prepared.settings().server);
            Some(Pool::new(peer(base, tls), limits, distrust))
        }
    };
    let name = Arc::from(provider.name.as_str());
    let redactor = Redactor::of_provider(&provider);
    Ok(Upstream { provider, name, pool, token: TokenSlot::default(), redactor })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Instant;
    use crate::control::prepare_settings;
    use crate::keys::KeySet;
    use crate::routing::TargetRegistry;

    const FIRST: &str = "[providers.a]\ndialect = 'openai-chat'\nbase_url = 'http://127.0.0.1:9'\n\
                         api_key = 'one'\nmodels = ['of-a']\n\
                         [providers.b]\ndialect = 'openai-chat'\nbase_url = 'http://127.0.0.1:9'\n\
                         [routes.r]\nprovider = 'b'\noverride_params = { model = 'of-r' }\n\
                         [keys.k]\nsecret = 'two'\nmodels = ['of-k', 'any-*']\n";

    fn settings(text: &str) -> Settings {
        let thread = std::thread::current().id();
        let name = format!("ringgate-snapshot-{}-{thread:?}.toml", std::process::id());
        let file = std::env::temp_dir().join(name);
        std::fs::write(&file, text).expect("a file");
        let settings = Settings::load(Some(&file), &|_| None).expect("legal settings");
        std::fs::remove_file(&file).expect("the file");
        settings
    }

    /// The first settings, and a snapshot of them that has been used.
    fn first() -> (Arc<PreparedSettings>, Snapshot) {
        let targets = TargetRegistry::new(Instant::now());
        let prepared = prepare_settings(settings(FIRST), &targets).expect("settings without TLS");
        let prepared = Arc::new(prepared);
        let snapshot = Snapshot::build(&prepared, None).expect("a snapshot");
        assert!(snapshot.ad_hoc_upstream("ollama", None).is_some());
        (prepared, snapshot)
    }

    /// What a snapshot has kept of another: both providers, what is known of models, ad hoc providers.
    fn kept(newer: &Snapshot, older: &Snapshot) -> [bool; 4] {
        let upstream = |name| {
            let both = (newer.upstream(name), older.upstream(name));
            matches!(both, (Some(new), Some(old)) if Rc::ptr_eq(new, old))
        };
        [
            upstream("a"),
            upstream("b"),
            Rc::ptr_eq(&newer.model_info, &older.model_info),
            Rc::ptr_eq(&newer.ad_hoc_upstreams, &older.ad_hoc_upstreams),
        ]
    }

    #[test]
    fn only_what_depends_on_a_changed_section_is_rebuilt() {
        let (prepared, snapshot) = first();
        for (text, expected) in [
            (FIRST.to_owned(), [true; 4]),
            (FIRST.replace("'two'", "'three'"), [true; 4]),
            (FIRST.replace("provider = 'b'", "provider = 'a'"), [true; 4]),
            (format!("[server]\nin_flight_max = 7\n{FIRST}"), [true; 4]),
            (FIRST.replace("'one'", "'four'"), [false, true, false, true]),
            (format!("{FIRST}[catalog.a.of-a]\ncontext_tokens = 5\n"), [true, true, false, true]),
            (format!("[server]\npool_idle_max = 7\n{FIRST}"), [false, false, true, false]),
        ] {
            let newer = prepared.updated(settings(&text)).expect("settings without TLS");
            let newer = Snapshot::build(&Arc::new(newer), Some(&snapshot)).expect("a snapshot");
            assert_eq!(kept(&newer, &snapshot), expected, "{text}");
        }
    }

    #[test]
    fn other_keys_alone_keep_all_else() {
        let (prepared, snapshot) = first();
        let with_keys = Arc::new(prepared.with_keys(KeySet::new([])));
        let newer = Snapshot::build(&with_keys, Some(&snapshot)).expect("a snapshot");
        assert_eq!(kept(&newer, &snapshot), [true; 4]);
        assert!(Rc::ptr_eq(&newer.upstreams, &snapshot.upstreams));
        assert!(newer.settings.keys.is_open() && !snapshot.settings.keys.is_open());
        let (old, new) = (snapshot.route("r"), newer.route("r"));
        assert!(matches!((old, new), (Some(old), Some(new)) if Arc::ptr_eq(old, new)));
        for (model, by_old, by_new) in [
            ("of-a", true, true),
            ("of-r", true, true),
            ("of-k", true, false),
            ("any-*", false, false),
            ("of-nobody", false, false),
        ] {
            assert_eq!(snapshot.names_model(model), by_old, "{model}");
            assert_eq!(newer.names_model(model), by_new, "{model}");
        }
    }

    #[test]
    fn the_last_handle_of_retired_settings_is_not_the_snapshot() {
        let (prepared, snapshot) = first();
        let newer =
            Snapshot::build(&Arc::new(prepared.with_keys(KeySet::new([]))), Some(&snapshot));
        assert_eq!(Arc::strong_count(&prepared), 2);
        drop(snapshot);
        // Now the control thread frees them, although providers and routes live on.
        assert_eq!(Arc::strong_count(&prepared), 1);
        drop(prepared);
        assert!(newer.is_ok_and(|newer| newer.upstream("a").is_some()));
    }
}

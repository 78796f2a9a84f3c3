//! SIGHUP: the settings are read again, and published whole or not at all.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::bail;

use super::ControlThread;
use crate::base::log_message;
use crate::config::Settings;
use crate::gateway::{self, PreparedSettings};
use crate::telemetry::Counter;

impl ControlThread {
    /// SIGHUP: new settings whole, or the old ones and the reasons.
    pub(super) fn reload(&mut self) {
        if let Some(dispatcher) = &self.dispatcher {
            dispatcher.reopen();
        }
        match self.prepare_reload() {
            Ok(prepared) => {
                let settings = Arc::clone(prepared.settings());
                self.services.cache.limit(&settings.cache);
                let before = self.settings.send_replace(Arc::new(prepared));
                self.retired.push(before);
                if let Some(credentials) = &self.credentials {
                    credentials.publish(&settings.providers);
                }
                self.services.metrics.count(Counter::SettingsReloads);
                log_message("settings reloaded");
            }
            Err(error) => {
                self.services.metrics.count(Counter::SettingsReloadErrors);
                log_message(format_args!("reload failed, keeping the current settings: {error:#}"));
            }
        }
    }

    fn prepare_reload(&self) -> anyhow::Result<PreparedSettings> {
        let mut settings = self.options.load()?;
        let old = &*self.current();
        let bound = |wanted: SocketAddr, now: SocketAddr| {
            wanted == now || wanted.port() == 0 && wanted.ip() == now.ip()
        };
        if !bound(settings.server.listen, old.server.listen) {
            bail!("server.listen cannot change without a restart");
        }
        if !bound(settings.server.admin_listen, old.server.admin_listen) {
            bail!("server.admin_listen cannot change without a restart");
        }
        if settings.server.shards != old.server.shards {
            bail!("server.shards cannot change without a restart");
        }
        if settings.server.busy_poll != old.server.busy_poll {
            bail!("server.busy_poll_us cannot change without a restart");
        }
        if settings.server.admin_token != old.server.admin_token {
            bail!("server.admin_token cannot change without a restart");
        }
        if settings.admin != old.admin {
            bail!("admin.hosts cannot change without a restart");
        }
        if settings.cache.folder != old.cache.folder {
            bail!("cache.dir cannot change without a restart");
        }
        let tier =
            |it: &Settings| (it.semantic_cache.model_dirs.clone(), it.semantic_cache.threads);
        if tier(&settings) != tier(old) {
            bail!("semantic_cache.model_dir and .threads cannot change without a restart");
        }
        if settings.log != old.log {
            bail!("log.requests cannot change without a restart");
        }
        settings.server.listen = old.server.listen;
        settings.server.admin_listen = old.server.admin_listen;
        Ok(gateway::prepare_settings(Arc::new(settings), &self.services.targets)?)
    }
}

//! SIGHUP: the settings are read again, and published whole or not at all.

use std::sync::Arc;

use anyhow::bail;

use super::ControlThread;
use crate::base::log_message;
use crate::control::PreparedSettings;
use crate::telemetry::Counter;

impl ControlThread {
    /// SIGHUP: new settings whole, or the old ones and the reasons.
    pub(super) fn reload(&mut self) {
        if let Some(dispatcher) = &self.dispatcher {
            dispatcher.reopen();
        }
        match self.prepare_reload() {
            Ok(prepared) => {
                let settings = prepared.settings().clone();
                self.services.cache.limit(&settings.cache);
                let before = self.settings.send_replace(Arc::new(prepared));
                if let Some(credentials) = &self.credentials {
                    credentials.publish(settings.providers.iter().as_slice());
                }
                self.services.metrics.count(Counter::SettingsReloads);
                match settings.changed_sections(before.settings()).join(", ") {
                    changed if changed.is_empty() => log_message("settings reloaded, none changed"),
                    changed => log_message(format_args!("settings reloaded, changed: {changed}")),
                }
                self.retired.push(before);
            }
            Err(error) => {
                self.services.metrics.count(Counter::SettingsReloadErrors);
                log_message(format_args!("reload failed, keeping the current settings: {error:#}"));
            }
        }
    }

    fn prepare_reload(&self) -> anyhow::Result<PreparedSettings> {
        let mut settings = self.options.load()?;
        let running = self.settings.borrow();
        let server = &running.settings().server;
        let changed = settings.restart_required(running.settings());
        if !changed.is_empty() {
            bail!("{} cannot change without a restart", changed.join(", "));
        }
        settings.set_bound_addresses(server.listen, server.admin_listen);
        Ok(running.updated(settings)?)
    }
}

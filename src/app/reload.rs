//! SIGHUP: the settings are read again, and published whole or not at all.

use std::sync::Arc;

use anyhow::bail;

use super::ControlThread;
use crate::base::log_message;
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
        let running = self.current();
        let changed = settings.restart_required(&running);
        if !changed.is_empty() {
            bail!("{} cannot change without a restart", changed.join(", "));
        }
        settings.set_bound_addresses(running.server.listen, running.server.admin_listen);
        Ok(gateway::prepare_settings(Arc::new(settings), &self.services.targets)?)
    }
}

//! A running gateway as an operator steers it: reload, reopen, drain.
//!
//! Signals, the admin API and commands share these use cases. Each may be called from any thread; two reloads
//! at once come one after the other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::background::Background;
use super::command::ShardCommand;
use super::prepared::{PrepareError, PreparedSettings};
use super::services::Services;
use crate::base::log_message;
use crate::config::{LoadError, Settings};
use crate::shard::Sender;
use crate::telemetry::Counter;

/// Reads the settings again from where the process has them.
pub type LoadSettings = Box<dyn Fn() -> Result<Settings, LoadError> + Send + Sync>;

/// What the process consists of, all of it started.
pub struct ProcessParts {
    /// Where settings come from.
    pub load: LoadSettings,
    /// What all parts share.
    pub services: Services,
    /// What runs behind the shards.
    pub background: Background,
    /// The settings in force. Shards take the newest; one that has not taken an older one skips it.
    pub settings: watch::Sender<Arc<PreparedSettings>>,
    /// The mailbox of each shard.
    pub shards: Vec<Sender<ShardCommand>>,
}

/// A running gateway.
pub struct Process {
    parts: ProcessParts,
    /// Settings that were in force, for as long as a request goes by them: shards leave it to the control
    /// thread to free them. Locked during a reload.
    retired: Mutex<Vec<Arc<PreparedSettings>>>,
    is_ready: Arc<AtomicBool>,
}

/// Why the settings in force stay in force.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The new ones cannot be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// They change settings that a running process cannot; all of those are named.
    #[error("{} cannot change without a restart", .0.join(", "))]
    Restart(Vec<String>),
    /// They cannot be used.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
}

impl Process {
    /// A process whose parts all run: it is ready.
    #[must_use]
    pub fn new(parts: ProcessParts) -> Self {
        Self { parts, retired: Mutex::default(), is_ready: Arc::new(AtomicBool::new(true)) }
    }

    /// What all parts share.
    #[must_use]
    pub fn services(&self) -> &Services {
        &self.parts.services
    }

    /// The settings in force.
    #[must_use]
    pub fn settings(&self) -> Settings {
        self.parts.settings.borrow().settings().clone()
    }

    /// True until the process drains; for those who report it.
    #[must_use]
    pub fn ready_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_ready)
    }

    /// Reads the settings again and publishes them whole, or keeps those in force. Requests under way keep
    /// the settings they began with. Returns the names of the sections that changed. Not for a shard.
    ///
    /// # Errors
    /// See [`ReloadError`].
    pub fn reload(&self) -> Result<Vec<&'static str>, ReloadError> {
        let mut retired = self.lock_retired();
        let metrics = &self.parts.services.metrics;
        match self.read_settings() {
            Ok(prepared) => {
                let settings = prepared.settings().clone();
                self.parts.services.apply(&settings);
                let before = self.parts.settings.send_replace(Arc::new(prepared));
                let changed = settings.changed_sections(before.settings());
                retired.push(before);
                self.parts.background.apply(&settings);
                metrics.count(Counter::SettingsReloads);
                match changed.join(", ") {
                    names if names.is_empty() => log_message("settings reloaded, none changed"),
                    names => log_message(format_args!("settings reloaded, changed: {names}")),
                }
                Ok(changed)
            }
            Err(error) => {
                metrics.count(Counter::SettingsReloadErrors);
                log_message(format_args!("reload failed, keeping the current settings: {error}"));
                Err(error)
            }
        }
    }

    fn read_settings(&self) -> Result<PreparedSettings, ReloadError> {
        let mut settings = (self.parts.load)()?;
        let running = Arc::clone(&self.parts.settings.borrow());
        let changed = settings.restart_required(running.settings());
        if !changed.is_empty() {
            return Err(ReloadError::Restart(changed.into_iter().map(str::to_owned).collect()));
        }
        let server = &running.settings().server;
        settings.set_bound_addresses(server.listen, server.admin_listen);
        Ok(running.updated(settings)?)
    }

    /// Has all log files opened again, as log rotation needs it.
    pub fn reopen_logs(&self) {
        self.parts.background.reopen();
    }

    /// True if there are settings that [`Process::free_retired`] may free.
    #[must_use]
    pub fn has_retired(&self) -> bool {
        !self.lock_retired().is_empty()
    }

    /// Frees the settings that no request goes by any more.
    pub fn free_retired(&self) {
        self.lock_retired().retain(|prepared| Arc::strong_count(prepared) > 1);
    }

    fn lock_retired(&self) -> MutexGuard<'_, Vec<Arc<PreparedSettings>>> {
        self.retired.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the process unready and has each shard accept no new clients and end when its requests have
    /// ended, at the latest after the time that is returned.
    pub fn begin_drain(&self) -> Duration {
        self.is_ready.store(false, Ordering::Release);
        let limit = self.settings().server.drain_timeout;
        log_message(format_args!("draining, for at most {} s", limit.as_secs_f32()));
        for mut shard in self.parts.shards.iter().cloned() {
            // A shard whose mailbox is full or gone is ended by the deadline.
            let _ = shard.send(ShardCommand::Drain(limit));
        }
        limit
    }

    /// Ends what runs behind the shards, after these have ended.
    pub fn stop_background(self) {
        for message in self.parts.background.stop() {
            log_message(message);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::base::Instant;
    use crate::control::{BackgroundPart, prepare_settings};
    use crate::routing::TargetRegistry;
    use crate::shard::{Mailbox, mailbox, run_in_virtual_time};
    use crate::telemetry::MetricsRegistry;

    const FIRST: &str = "[server]\ndrain_timeout_ms = 700\n[keys.k]\nsecret = 's'\n";

    /// What the parts of one test report at most.
    const REPORTS_MAX: usize = 16;

    /// Reports what is done with it.
    struct Part(&'static str, mpsc::SyncSender<String>);

    impl Part {
        fn report(&self, what: &str) {
            self.1.send(format!("{}: {what}", self.0)).expect("the test listens");
        }
    }

    impl BackgroundPart for Part {
        fn apply(&self, settings: &Settings) {
            self.report(&format!("{} in flight", settings.server.in_flight_max));
        }

        fn reopen(&self) {
            self.report("reopened");
        }

        fn stop(self: Box<Self>) -> Vec<String> {
            self.report("stopped");
            vec![format!("{} is late", self.0)]
        }
    }

    struct Stand {
        process: Process,
        /// What the file has when it is read again.
        file: Arc<Mutex<&'static str>>,
        reports: mpsc::Receiver<String>,
        settings: watch::Receiver<Arc<PreparedSettings>>,
        mailbox: Mailbox<ShardCommand>,
    }

    fn load(text: &str) -> Result<Settings, LoadError> {
        let thread = std::thread::current().id();
        let name = format!("ringgate-process-{}-{thread:?}.toml", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).expect("a file");
        let settings = Settings::load(Some(&path), &|_| None);
        std::fs::remove_file(&path).expect("the file");
        settings
    }

    fn stand() -> Stand {
        let targets = TargetRegistry::new(Instant::now());
        let prepared = prepare_settings(load(FIRST).expect("legal settings"), &targets);
        let prepared = prepared.expect("settings without TLS");
        let services =
            Services::in_memory(prepared.settings(), MetricsRegistry::new(1, &[]), targets);
        let (report, reports) = mpsc::sync_channel(REPORTS_MAX);
        let background = Background::default()
            .with(Part("first", report.clone()))
            .with(None::<Part>)
            .with(Some(Part("second", report)));
        let (publisher, settings) = watch::channel(Arc::new(prepared));
        let (sender, mailbox) = mailbox(1);
        let file = Arc::new(Mutex::new(FIRST));
        let read = Arc::clone(&file);
        let process = Process::new(ProcessParts {
            load: Box::new(move || load(*read.lock().expect("no panic"))),
            services,
            background,
            settings: publisher,
            shards: vec![sender],
        });
        Stand { process, file, reports, settings, mailbox }
    }

    impl Stand {
        fn reload(&self, text: &'static str) -> Result<Vec<&'static str>, String> {
            *self.file.lock().expect("no panic") = text;
            self.process.reload().map_err(|error| error.to_string())
        }

        fn reports(&self) -> Vec<String> {
            self.reports.try_iter().collect()
        }
    }

    #[test]
    fn a_reload_is_published_to_shards_and_background() {
        let mut stand = stand();
        assert_eq!(stand.reload(FIRST), Ok(vec![]));
        let other = "[server]\ndrain_timeout_ms = 700\nin_flight_max = 7\n[keys.k]\nsecret = 't'\n";
        assert_eq!(stand.reload(other), Ok(vec!["server", "keys"]));
        assert_eq!(
            stand.reports(),
            [
                "first: 4096 in flight",
                "second: 4096 in flight",
                "first: 7 in flight",
                "second: 7 in flight"
            ]
        );
        let newest = Arc::clone(&stand.settings.borrow_and_update());
        assert!(newest.settings().keys.find(b"t").is_some());
        assert_eq!(stand.process.settings().server.in_flight_max, 7);
        // The shards have the newest, so that nobody goes by the two before.
        assert!(stand.process.has_retired());
        stand.process.free_retired();
        assert!(!stand.process.has_retired());
    }

    #[test]
    fn retired_settings_are_freed_when_nobody_has_them() {
        let mut stand = stand();
        let in_use = Arc::clone(&stand.settings.borrow_and_update());
        assert_eq!(stand.reload("[keys.k]\nsecret = 't'\n"), Ok(vec!["server", "keys"]));
        stand.process.free_retired();
        assert!(stand.process.has_retired());
        drop(in_use);
        stand.process.free_retired();
        assert!(!stand.process.has_retired());
    }

    #[test]
    fn a_refused_reload_changes_nothing() {
        let stand = stand();
        for (text, expected) in [
            ("[server]\nno_such = 1", "server.no_such: unknown name"),
            (
                "[server]\nshards = 9\n[log]\nrequests = 'stdout'",
                "server.shards, log.requests cannot change without a restart",
            ),
            ("[server.tls]\ncert_file = 'Cargo.toml'", "server.tls"),
        ] {
            let refused = stand.reload(text).expect_err("a refusal");
            assert!(refused.starts_with(expected), "{refused}");
        }
        assert_eq!(stand.reports(), [""; 0]);
        assert!(!stand.settings.has_changed().expect("the sender lives"));
        assert!(stand.process.settings().keys.find(b"s").is_some());
        assert!(!stand.process.has_retired());
    }

    #[test]
    fn a_drain_reaches_each_shard() {
        let mut stand = stand();
        let is_ready = stand.process.ready_flag();
        assert!(is_ready.load(Ordering::Acquire));
        assert_eq!(stand.process.begin_drain(), Duration::from_millis(700));
        assert!(!is_ready.load(Ordering::Acquire));
        let command = run_in_virtual_time(stand.mailbox.receive());
        let limit = match command {
            Ok(Some(ShardCommand::Drain(limit))) => limit,
            other => panic!("{other:?}"),
        };
        assert_eq!(limit, Duration::from_millis(700));
    }

    #[test]
    fn background_parts_reopen_and_stop_in_order() {
        let stand = stand();
        stand.process.reopen_logs();
        assert_eq!(stand.reports(), ["first: reopened", "second: reopened"]);
        let Stand { process, reports, .. } = stand;
        process.stop_background();
        let stopped: Vec<String> = reports.try_iter().collect();
        assert_eq!(stopped, ["first: stopped", "second: stopped"]);
    }
}

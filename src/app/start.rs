//! The start of the process: what the shards share, the shards, and what runs behind them.

use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, anyhow};
use tokio::sync::watch;

use super::options::ServeOptions;
use crate::base::log_message;
use crate::config::{RequestLog, Settings};
use crate::control::{Background, PreparedSettings, Process, ProcessParts, Services, ShardCommand};
use crate::credentials::CredentialRefresher;
use crate::gateway::{self, SettingsReceiver, WorkerOptions};
use crate::providers::TokenUpdate;
use crate::shard::{Driver, Mailbox, Sender, ShardOptions, available_cores, mailbox, probe_driver};
use crate::telemetry::{
    EventSender, ExportSettings, LogTarget, MetricsRegistry, Recorder, start_exporters,
};

/// Commands a shard may have unread.
const MAILBOX_BOUND: usize = 16;

/// All that runs.
pub(super) struct Gateway {
    pub(super) process: Process,
    /// The thread of each shard.
    pub(super) shards: Vec<JoinHandle<()>>,
}

/// Starts everything, and returns when all shards listen.
pub(super) fn start(options: ServeOptions, prepared: PreparedSettings) -> anyhow::Result<Gateway> {
    let settings = prepared.settings().clone();
    let cores = available_cores();
    let server = &settings.server;
    let count = if server.shards == 0 { cores.len().max(1) } else { server.shards };
    let driver = driver(server.busy_poll);
    let metrics = MetricsRegistry::new(count, gateway::ENDPOINT_NAMES);
    let targets = prepared.targets().clone();
    let (services, cache_writer) =
        Services::open(&settings, Arc::clone(&metrics), targets, cores.len())?;
    let (dispatcher, event_senders) =
        start_exporters(&export_settings(&settings), count, &metrics)?;
    let publisher = watch::Sender::new(Arc::new(prepared));
    let starter = ShardStarter {
        driver,
        busy_poll: server.busy_poll,
        listen: server.listen,
        services: services.clone(),
        settings: publisher.subscribe(),
    };
    let Shards { mailboxes, threads } = starter.start_all(count, &cores, event_senders)?;
    let refresher = CredentialRefresher::start(
        settings.providers.iter().as_slice(),
        metrics,
        Box::new(token_delivery(mailboxes.clone())),
    );
    let refresher = refresher.context("no thread for credentials")?;
    let process = Process::new(ProcessParts {
        load: Box::new(move || options.load()),
        services,
        // In the order in which they end.
        background: Background::default().with(dispatcher).with(refresher).with(cache_writer),
        settings: publisher,
        shards: mailboxes,
    });
    Ok(Gateway { process, shards: threads })
}

/// How shards wait for the kernel; a message says what is lost where that is not io_uring.
fn driver(busy_poll: Duration) -> Driver {
    let (driver, refused) = probe_driver();
    if let Some(reason) = refused {
        log_message(format_args!(
            "warning: io_uring is refused ({reason}); falling back to epoll, which costs 5 to \
             10 % more CPU (see kernel.io_uring_disabled and the seccomp profile)"
        ));
        if !busy_poll.is_zero() {
            log_message(format_args!("warning: server.busy_poll_us needs io_uring: ignored"));
        }
    }
    driver
}

/// The exporters that the settings turn on.
fn export_settings(settings: &Settings) -> ExportSettings {
    let request_log = match &*settings.log {
        RequestLog::Off => None,
        RequestLog::Stdout => Some(LogTarget::Stdout),
        RequestLog::File(path) => Some(LogTarget::File(path.clone())),
    };
    ExportSettings { request_log }
}

/// Hands news of a token to all shards; false if one could not take it.
fn token_delivery(
    mut shards: Vec<Sender<ShardCommand>>,
) -> impl FnMut(&str, &TokenUpdate) -> bool + Send {
    move |provider, update| {
        let command = || ShardCommand::Token(provider.to_owned(), update.clone());
        // Each gets it, also behind one that is full.
        shards.iter_mut().filter_map(|it| it.send(command()).err()).count() == 0
    }
}

/// What all shards begin with.
struct ShardStarter {
    driver: Driver,
    busy_poll: Duration,
    listen: SocketAddr,
    services: Services,
    settings: SettingsReceiver,
}

/// All shards.
struct Shards {
    mailboxes: Vec<Sender<ShardCommand>>,
    threads: Vec<JoinHandle<()>>,
}

/// Says whether a shard listens.
type ReadyReport = mpsc::SyncSender<anyhow::Result<()>>;

impl ShardStarter {
    /// Starts that many shards, each on a core of its own as long as there are some, and waits until they
    /// listen.
    fn start_all(
        &self,
        count: usize,
        cores: &[usize],
        mut event_senders: Vec<EventSender>,
    ) -> anyhow::Result<Shards> {
        let (mut mailboxes, mut threads) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let (report, reports) = mpsc::sync_channel(count);
        for shard in 0..count {
            let core = cores.get(shard % cores.len().max(1)).copied();
            let (sender, receiver) = mailbox(MAILBOX_BOUND);
            let body = self.shard_body(shard, core, event_senders.pop(), receiver, report.clone());
            threads.push(std::thread::Builder::new().name(format!("shard-{shard}")).spawn(body)?);
            mailboxes.push(sender);
        }
        drop(report);
        for _ in 0..count {
            reports.recv().context("a shard ended before it was ready")??;
        }
        Ok(Shards { mailboxes, threads })
    }

    fn shard_body(
        &self,
        shard: usize,
        core: Option<usize>,
        events: Option<EventSender>,
        commands: Mailbox<ShardCommand>,
        report: ReadyReport,
    ) -> impl FnOnce() + Send + 'static {
        let options = ShardOptions { core, driver: self.driver, busy_poll: self.busy_poll };
        let (listen, services) = (self.listen, self.services.clone());
        let settings = self.settings.clone();
        move || {
            let failed = report.clone();
            let outcome = crate::shard::run(options, move || {
                let worker = WorkerOptions {
                    shard: u16::try_from(shard).unwrap_or(u16::MAX),
                    listen,
                    recorder: Recorder::new(&services.metrics, shard, events),
                    services,
                    settings,
                };
                gateway::run_shard(worker, commands, move |ready| {
                    let ready = ready.with_context(|| format!("cannot listen on {listen}"));
                    // The control thread waits for it; if not, the process is ending.
                    let _ = report.send(ready);
                })
            });
            if let Err(error) = outcome {
                // As above.
                let _ = failed.send(Err(anyhow!(error)));
            }
        }
    }
}

impl Gateway {
    /// Says where to find what, in a form that scripts may read. `files` is how many descriptors the process
    /// may have.
    pub(super) fn log_startup(&self, files: u64) {
        let settings = self.process.settings();
        let server = &settings.server;
        let shards = self.shards.len();
        let scheme = if server.tls.is_some() { "https" } else { "http" };
        log_message(format_args!("serving {scheme}://{}", server.listen));
        log_message(format_args!("admin http://{}", server.admin_listen));
        let names: Vec<&str> = settings.providers.iter().map(|it| it.name.as_str()).collect();
        log_message(format_args!(
            "{shards} shard{}, providers: {}, {}",
            if shards == 1 { "" } else { "s" },
            names.join(", "),
            if settings.keys.is_open() {
                "authentication off (no keys configured)"
            } else {
                "authentication on"
            },
        ));
        let wanted = server.connections_max as u64 * shards as u64;
        if files < wanted {
            log_message(format_args!(
                "note: {files} open files allowed (ulimit -n), fewer than server.connections_max x \
                 shards = {wanted}"
            ));
        }
    }
}

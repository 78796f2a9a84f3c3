//! The roof: the one place where all parts meet.
//!
//! The calling thread becomes the control thread: it starts the shards, serves the admin listener,
//! hears signals, reloads settings and ends the process. It is never in the request pipeline.

mod reload;

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::admin;
use crate::base::{Instant, log_message};
use crate::cache::CacheWriter;
use crate::config::{Overrides, RequestLog, Settings};
use crate::control::{PreparedSettings, Services, ShardCommand, prepare_settings};
use crate::credentials::CredentialRefresher;
use crate::gateway::{self, WorkerOptions};
use crate::llm::Catalog;
use crate::providers::TokenUpdate;
use crate::routing::TargetRegistry;
use crate::shard::{
    Driver, Sender, ShardOptions, available_cores, bind_free, mailbox, probe_driver,
    raise_file_limit,
};
use crate::telemetry::{
    Dispatcher, EventSender, ExportSettings, LogTarget, MetricsRegistry, Recorder, start_exporters,
};

/// The settings file that is read if none is named and it exists.
const DEFAULT_FILE: &str = "ringgate.toml";

/// Commands a shard may have unread.
const MAILBOX_BOUND: usize = 16;

/// So often it is looked which settings no request goes by any more.
const RETIRED_TICK: Duration = Duration::from_secs(1);

/// After the drain deadline a shard has so long to end before the process ends without it.
const DRAIN_GRACE: Duration = Duration::from_secs(2);

/// Where the settings come from.
#[derive(Clone, Debug, Default, Args)]
pub struct FileOptions {
    /// Settings file [default: ./ringgate.toml if it exists, else built-in defaults]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// What `serve` takes; the flags win over the file.
#[derive(Clone, Debug, Default, Args)]
pub struct ServeOptions {
    #[command(flatten)]
    file: FileOptions,
    /// Address of the data plane, such as 127.0.0.1:8080; port 0 takes a free one
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Address of health, metrics and the admin API
    #[arg(long, value_name = "ADDR")]
    admin: Option<SocketAddr>,
    /// Threads that serve, each pinned to a core; 0: one for each core
    #[arg(long, value_name = "N")]
    shards: Option<usize>,
}

impl FileOptions {
    /// The settings, with flags above the file.
    ///
    /// # Errors
    /// Every problem there is.
    pub fn load(&self, flags: &Overrides) -> anyhow::Result<Settings> {
        let default = PathBuf::from(DEFAULT_FILE);
        let file = self.config.clone().or_else(|| default.exists().then_some(default));
        Ok(Settings::from_environment_with(file.as_deref(), flags)?)
    }
}

impl ServeOptions {
    fn load(&self) -> anyhow::Result<Settings> {
        let flags =
            Overrides { listen: self.listen, admin_listen: self.admin, shards: self.shards };
        self.file.load(&flags)
    }
}

/// `ringgate check`: every problem, or a line that all is well.
///
/// # Errors
/// The problems, one a line.
pub fn check(options: &FileOptions) -> anyhow::Result<()> {
    let settings = options.load(&Overrides::default())?;
    let providers = settings.providers.len();
    let keys = settings.keys.iter().count();
    let routes = settings.routes.len();
    prepare_settings(settings, &TargetRegistry::new(Instant::now()))?;
    let mut out = io::stdout();
    writeln!(out, "settings are good: {providers} providers, {keys} keys, {routes} routes")?;
    Ok(())
}

/// `ringgate serve`: until SIGTERM or SIGINT.
///
/// # Errors
/// When it cannot start; afterwards it only ends by a signal.
pub fn serve(options: &ServeOptions) -> anyhow::Result<()> {
    let mut settings = options.load()?;
    let files = raise_file_limit().context("cannot raise the limit of open files")?;
    // Held until the end, so that the port stays ours also while no shard listens.
    let (_port, listen) = bind_listener(settings.server.listen)?;
    let admin_listener = TcpListener::bind(settings.server.admin_listen)
        .with_context(|| format!("cannot listen on {} (admin)", settings.server.admin_listen))?;
    settings.set_bound_addresses(listen, admin_listener.local_addr()?);
    // Here, so that no request has to wait for it. It takes memory that a gateway without vendors
    // does not need; there the first client that names a preset of its own waits the few milliseconds.
    if settings.providers.iter().any(|provider| provider.preset.is_some()) {
        Catalog::warm();
    }
    let targets = TargetRegistry::new(Instant::now());
    let prepared = Arc::new(prepare_settings(settings, &targets)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Before the first client is served: without a handler SIGTERM would end the process at once.
    let signals = runtime.block_on(async { Signals::new() })?;
    let control = ControlThread::start(options.clone(), prepared)?;
    control.log_startup(files);
    let outcome = runtime.block_on(control.run(admin_listener, files, signals));
    runtime.shutdown_background();
    outcome
}

/// The signals that the control thread acts on.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }
}

/// Takes the listening address, and refuses one that another process serves: SO_REUSEPORT would
/// let both have it, each with half of the clients.
fn bind_listener(address: SocketAddr) -> anyhow::Result<(socket2::Socket, SocketAddr)> {
    if address.port() != 0 {
        TcpListener::bind(address)
            .with_context(|| format!("cannot listen on {address} (server.listen)"))?;
    }
    bind_free(address).with_context(|| format!("cannot listen on {address} (server.listen)"))
}

/// All shards and what the control thread needs to steer them.
struct ControlThread {
    options: ServeOptions,
    services: Services,
    cache_writer: CacheWriter,
    /// None until the shards run.
    credentials: Option<CredentialRefresher>,
    /// None: no exporter is configured.
    dispatcher: Option<Dispatcher>,
    /// The settings in force.
    settings: watch::Sender<Arc<PreparedSettings>>,
    /// Those before, as long as a request goes by them: shards leave it to this thread to free them.
    retired: Vec<Arc<PreparedSettings>>,
    mailboxes: Vec<Sender<ShardCommand>>,
    threads: Vec<JoinHandle<()>>,
    ready: Arc<AtomicBool>,
    driver: Driver,
}

impl ControlThread {
    fn start(options: ServeOptions, prepared: Arc<PreparedSettings>) -> anyhow::Result<Self> {
        let server = &prepared.settings().server;
        let cores = available_cores();
        let count = if server.shards == 0 { cores.len().max(1) } else { server.shards };
        let (driver, refused) = probe_driver();
        if let Some(reason) = refused {
            log_message(format_args!(
                "warning: io_uring is refused ({reason}); falling back to epoll, which costs 5 to \
                 10 % more CPU (see kernel.io_uring_disabled and the seccomp profile)"
            ));
            if !server.busy_poll.is_zero() {
                log_message(format_args!("warning: server.busy_poll_us needs io_uring: ignored"));
            }
        }
        let metrics = MetricsRegistry::new(count, gateway::ENDPOINT_NAMES);
        let targets = prepared.targets().clone();
        let (services, cache_writer) =
            Services::open(prepared.settings(), Arc::clone(&metrics), targets, cores.len())?;
        let exports = export_settings(prepared.settings());
        let (dispatcher, mut event_senders) = start_exporters(&exports, count, &metrics)?;
        let mut control = Self {
            options,
            services,
            cache_writer,
            credentials: None,
            dispatcher,
            mailboxes: Vec::with_capacity(count),
            threads: Vec::with_capacity(count),
            ready: Arc::new(AtomicBool::new(false)),
            driver,
            settings: watch::Sender::new(prepared),
            retired: Vec::new(),
        };
        let (report, reports) = mpsc::sync_channel(count);
        for shard in 0..count {
            let core = cores.get(shard % cores.len().max(1)).copied();
            control.start_shard(shard, core, event_senders.pop(), report.clone())?;
        }
        drop(report);
        for _ in 0..count {
            reports.recv().context("a shard ended before it was ready")??;
        }
        control.start_credentials()?;
        control.ready.store(true, Ordering::Release);
        Ok(control)
    }

    fn current(&self) -> Settings {
        self.settings.borrow().settings().clone()
    }

    fn start_credentials(&mut self) -> anyhow::Result<()> {
        let mut mailboxes = self.mailboxes.clone();
        let deliver = move |provider: &str, update: &TokenUpdate| {
            let command = || ShardCommand::Token(provider.to_owned(), update.clone());
            // Each gets it, also behind one that is full.
            let full = mailboxes.iter_mut().filter_map(|it| it.send(command()).err()).count();
            full == 0
        };
        let providers = self.current().providers;
        let refresher = CredentialRefresher::start(
            providers.iter().as_slice(),
            Arc::clone(&self.services.metrics),
            Box::new(deliver),
        );
        self.credentials = Some(refresher.context("no thread for credentials")?);
        Ok(())
    }

    fn start_shard(
        &mut self,
        shard: usize,
        core: Option<usize>,
        events: Option<EventSender>,
        report: mpsc::SyncSender<anyhow::Result<()>>,
    ) -> anyhow::Result<()> {
        let server = &self.current().server;
        let options = ShardOptions { core, driver: self.driver, busy_poll: server.busy_poll };
        let listen = server.listen;
        let (sender, receiver) = mailbox(MAILBOX_BOUND);
        let settings = self.settings.subscribe();
        let services = self.services.clone();
        let body = move || {
            let failed = report.clone();
            let outcome = crate::shard::run(options, move || {
                let worker = WorkerOptions {
                    shard: u16::try_from(shard).unwrap_or(u16::MAX),
                    listen,
                    recorder: Recorder::new(&services.metrics, shard, events),
                    services,
                    settings,
                };
                gateway::run_shard(worker, receiver, move |ready| {
                    let ready = ready.with_context(|| format!("cannot listen on {listen}"));
                    // The control thread waits for it; if not, the process is ending.
                    let _ = report.send(ready);
                })
            });
            if let Err(error) = outcome {
                // As above.
                let _ = failed.send(Err(anyhow!(error)));
            }
        };
        let thread = std::thread::Builder::new().name(format!("shard-{shard}")).spawn(body)?;
        self.threads.push(thread);
        self.mailboxes.push(sender);
        Ok(())
    }

    /// Says where to find what, in a form that scripts may read.
    fn log_startup(&self, files: u64) {
        let settings = self.current();
        let server = &settings.server;
        let scheme = if server.tls.is_some() { "https" } else { "http" };
        log_message(format_args!("serving {scheme}://{}", server.listen));
        log_message(format_args!("admin http://{}", server.admin_listen));
        let names: Vec<&str> = settings.providers.iter().map(|it| it.name.as_str()).collect();
        log_message(format_args!(
            "{} shard{}, providers: {}, {}",
            self.threads.len(),
            if self.threads.len() == 1 { "" } else { "s" },
            names.join(", "),
            if settings.keys.is_open() {
                "authentication off (no keys configured)"
            } else {
                "authentication on"
            },
        ));
        let wanted = server.connections_max as u64 * self.threads.len() as u64;
        if files < wanted {
            log_message(format_args!(
                "note: {files} open files allowed (ulimit -n), fewer than server.connections_max x \
                 shards = {wanted}"
            ));
        }
    }

    /// The life of the control thread.
    async fn run(
        mut self,
        admin_listener: TcpListener,
        files: u64,
        signals: Signals,
    ) -> anyhow::Result<()> {
        let settings = self.current();
        let state = admin::AdminState {
            services: self.services.clone(),
            ready: Arc::clone(&self.ready),
            token: settings.server.admin_token.clone(),
            hosts: settings.admin.hosts.clone(),
        };
        let server = tokio::spawn(admin::serve(admin_listener, state, files));
        let Signals { mut terminate, mut interrupt, mut hang_up } = signals;
        let mut tick = tokio::time::interval(RETIRED_TICK);
        loop {
            tokio::select! {
                _ = tick.tick(), if !self.retired.is_empty() => {
                    self.retired.retain(|prepared| Arc::strong_count(prepared) > 1);
                }
                _ = hang_up.recv() => self.reload(),
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
            }
        }
        let outcome = self.drain(&mut interrupt).await;
        server.abort();
        outcome
    }

    /// SIGTERM: no new clients, requests end, then the process. A second SIGINT ends it at once.
    async fn drain(mut self, interrupt: &mut Signal) -> anyhow::Result<()> {
        self.ready.store(false, Ordering::Release);
        let limit = self.current().server.drain_timeout;
        log_message(format_args!("draining, for at most {} s", limit.as_secs_f32()));
        for sender in &mut self.mailboxes {
            // A shard whose mailbox is full or gone is ended by the deadline below.
            let _ = sender.send(ShardCommand::Drain(limit));
        }
        let threads = std::mem::take(&mut self.threads);
        let joined = tokio::task::spawn_blocking(move || {
            threads.into_iter().map(JoinHandle::join).all(|outcome| outcome.is_ok())
        });
        tokio::select! {
            all_well = joined => {
                if !all_well? {
                    bail!("a shard had ended before");
                }
            }
            () = tokio::time::sleep(limit + DRAIN_GRACE) => {
                log_message("a shard did not stop in time");
            }
            _ = interrupt.recv() => log_message("interrupted again, exiting now"),
        }
        for setting in self.dispatcher.take().map(Dispatcher::stop).unwrap_or_default() {
            log_message(format_args!("{setting}: the last events could not be exported"));
        }
        if self.credentials.take().is_some_and(|credentials| !credentials.stop()) {
            log_message("the thread for credentials did not end in time");
        }
        if !self.cache_writer.stop() {
            log_message("cache.dir: the last changes could not be written in time");
        }
        log_message("stopped");
        Ok(())
    }
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

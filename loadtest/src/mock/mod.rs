//! The mock provider: a server in the vendors' dialects that answers fast, slowly or wrongly, as configured.
//!
//! OpenAI's chat, completions and embeddings are a target for benchmarks: valid OpenAI responses with `usage`, exact
//! body sizes if set, and counts of received requests. They are cheap because the mock shares a core with the load
//! generator: one task per connection, one read and one write per request, no JSON parser for a chat request. All
//! other dialects (`dialects`) parse and check requests and favor correctness over speed. Deliberately absent: HTTP/2,
//! any state across requests.

mod answer;
mod connection;
mod counters;
mod dialects;
mod fault;
mod options;
mod plan;
mod reply;
mod request;
mod serve;
mod service;
mod shape;
mod vendor_reply;

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

pub use counters::Stats;
pub use fault::Fault;
pub use options::MockOptions;

use counters::Counters;
use service::{OpenConnectionGuard, Service};

use crate::timer::Timer;
use crate::tls::Identity;
use crate::wire::Wire;

/// Connections that may wait in each listener's queue.
const BACKLOG: u32 = 4096;

/// A mock that runs on its own threads until dropped; dropping closes every connection.
pub struct RunningMock {
    /// Where it listens, with the port the system chose if 0 was given.
    pub addr: SocketAddr,
    certificate_pem: Option<String>,
    counters: Arc<Counters>,
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
}

impl RunningMock {
    /// What it has seen so far.
    pub fn stats(&self) -> Stats {
        self.counters.read()
    }

    /// The base URL to give to a client, `/v1` included.
    pub fn url(&self) -> String {
        let scheme = if self.certificate_pem.is_some() { "https" } else { "http" };
        format!("{scheme}://{}/v1", self.addr)
    }

    /// The PEM certificate to trust, with TLS.
    pub fn certificate_pem(&self) -> Option<&str> {
        self.certificate_pem.as_deref()
    }
}

impl Drop for RunningMock {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        for thread in self.threads.drain(..) {
            // A panic of a mock thread has been printed already and must not become a second one here.
            let _ = thread.join();
        }
    }
}

/// Starts a mock; returns once it listens.
pub fn start(options: MockOptions) -> io::Result<RunningMock> {
    options.check().map_err(io::Error::other)?;
    let identity = identity(&options).map_err(io::Error::other)?;
    let tls = match &identity {
        Some(identity) => Some(identity.server_config().map_err(io::Error::other)?),
        None => None,
    };
    let counters = Arc::new(Counters::default());
    let (stop, stopped) = watch::channel(false);
    let mut mock = RunningMock {
        addr: options.listen,
        certificate_pem: identity.map(|identity| identity.certificate_pem),
        counters,
        stop,
        threads: Vec::new(),
    };
    for index in 0..options.threads.max(1) {
        let shard = Shard {
            // Only the first may be given port 0; the others share the port it got.
            listen: mock.addr,
            options: options.clone(),
            seed: options.seed.wrapping_add(index as u64),
            core: options.core.map(|first| first + index),
            tls: tls.clone(),
            counters: Arc::clone(&mock.counters),
            stopped: stopped.clone(),
        };
        let (report, started) = mpsc::sync_channel(1);
        let name = format!("mock-{index}");
        mock.threads
            .push(std::thread::Builder::new().name(name).spawn(move || shard.run(&report))?);
        mock.addr = started.recv().map_err(|_| io::Error::other("a mock thread ended early"))??;
    }
    Ok(mock)
}

/// The `mock` command: says where it listens and serves until the process ends.
pub fn serve_forever(options: MockOptions) -> anyhow::Result<ExitCode> {
    use std::io::Write as _;

    let mock = start(options)?;
    let scheme = if mock.certificate_pem.is_some() { "https" } else { "http" };
    let mut output = io::stdout().lock();
    writeln!(output, "listening on {scheme}://{}", mock.addr)?;
    output.flush()?;
    drop(output);
    loop {
        std::thread::park();
    }
}

fn identity(options: &MockOptions) -> anyhow::Result<Option<Identity>> {
    let identity = match (&options.tls_cert, &options.tls_key) {
        (Some(certificate), Some(key)) => Identity::read(certificate, key)?,
        _ if options.tls => Identity::self_signed()?,
        _ => return Ok(None),
    };
    if let Some(path) = &options.tls_cert_out {
        std::fs::write(path, &identity.certificate_pem)?;
    }
    Ok(Some(identity))
}

/// One thread with its own runtime and listener.
struct Shard {
    listen: SocketAddr,
    options: MockOptions,
    seed: u64,
    core: Option<usize>,
    tls: Option<Arc<ServerConfig>>,
    counters: Arc<Counters>,
    stopped: watch::Receiver<bool>,
}

impl Shard {
    fn run(mut self, report: &mpsc::SyncSender<io::Result<SocketAddr>>) {
        let runtime = crate::runtime::pinned(self.core);
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => return drop(report.send(Err(error))),
        };
        runtime.block_on(async {
            let (listener, service) = match self.open() {
                Ok(opened) => opened,
                Err(error) => return drop(report.send(Err(error))),
            };
            // The starter waits for this line; if it has gone, the stop signal follows at once.
            let _ = report.send(listener.local_addr());
            tokio::select! {
                () = accept(&listener, &service, self.tls.map(TlsAcceptor::from)) => {}
                _ = self.stopped.changed() => {}
            }
        });
    }

    fn open(&self) -> io::Result<(TcpListener, Arc<Service>)> {
        let socket =
            if self.listen.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.set_reuseport(true)?;
        socket.bind(self.listen)?;
        let listener = socket.listen(BACKLOG)?;
        let service = Service::new(
            self.options.clone(),
            self.seed,
            Timer::start()?,
            Arc::clone(&self.counters),
        );
        Ok((listener, Arc::new(service)))
    }
}

async fn accept(listener: &TcpListener, service: &Arc<Service>, tls: Option<TlsAcceptor>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, most likely: a pause lets some close.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        // Without it a second small write would wait for the acknowledgement of the first.
        let _ = stream.set_nodelay(true);
        let (service, tls) = (Arc::clone(service), tls.clone());
        tokio::spawn(async move {
            let open = OpenConnectionGuard::count(&service);
            let wire = match tls {
                None => Wire::Plain(stream),
                Some(acceptor) => match acceptor.accept(stream).await {
                    Ok(stream) => Wire::Tls(Box::new(stream.into())),
                    // A failed handshake is the client's to report.
                    Err(_) => return,
                },
            };
            serve::serve(wire, open).await;
        });
    }
}

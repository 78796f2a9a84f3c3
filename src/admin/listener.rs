//! The connections of the admin listener, bounded in number, size and duration.
//!
//! The admin listener has few connections, so it cannot exhaust the descriptors that clients need,
//! and it keeps spare descriptors, so clients cannot exhaust its own. At the limit, a new
//! connection replaces the oldest one without a request in flight.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use crate::base::open_to_read;

/// Concurrent connections, at most: this many, and one in so many of the process's descriptors.
const CONNECTIONS_MAX: u64 = 64;
const CONNECTIONS_DIVISOR: u64 = 8;

/// Spare descriptors, for when the process has no other; at that time so many admin connections can
/// be served.
const SPARE_DESCRIPTORS: usize = 4;

/// Timeout of a request head, and of the wait for one.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest request head, in bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Timeout from the request head to the response head, including the request body.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection of this age accepts no further request, and gets [`REST`] to finish the current one.
const AGE_MAX: Duration = Duration::from_secs(120);
const REST: Duration = Duration::from_secs(20);

/// Pause after a failed accept.
const BACK_OFF: Duration = Duration::from_millis(50);

/// Accepts until its task is aborted. `files` is the descriptor limit of the process.
pub(super) async fn serve(listener: &TcpListener, router: &Router, files: u64) -> io::Result<()> {
    let most = (files / CONNECTIONS_DIVISOR).clamp(1, CONNECTIONS_MAX);
    let mut clients =
        AdminClients { all: VecDeque::new(), most: usize::try_from(most).unwrap_or(1) };
    let mut spare = SpareDescriptors::default();
    spare.fill();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                clients.admit(stream, router.clone());
                spare.fill();
            }
            Err(error) => {
                let is_exhausted = matches!(
                    error.raw_os_error(),
                    Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
                );
                // Closing a spare descriptor frees one for the next accept.
                let has_descriptor = is_exhausted && spare.0.pop().is_some();
                if is_exhausted && !has_descriptor {
                    // Its descriptor is free after the pause.
                    clients.evict();
                }
                if !has_descriptor {
                    sleep(BACK_OFF).await;
                }
            }
        }
    }
}

/// Spare descriptors: one is closed when another is needed.
#[derive(Default)]
struct SpareDescriptors(Vec<File>);

impl SpareDescriptors {
    fn fill(&mut self) {
        while self.0.len() < SPARE_DESCRIPTORS {
            // If no descriptor is left, this is retried with the next client.
            let Ok(file) = open_to_read(Path::new("/dev/null")) else { return };
            self.0.push(file);
        }
    }
}

/// The connections, oldest first.
struct AdminClients {
    all: VecDeque<AdminClient>,
    most: usize,
}

struct AdminClient {
    task: AbortHandle,
    /// A request has arrived and its response has not begun.
    is_busy: Arc<AtomicBool>,
}

impl AdminClients {
    fn admit(&mut self, stream: TcpStream, router: Router) {
        self.all.retain(|client| !client.task.is_finished());
        if self.all.len() >= self.most {
            self.evict();
        }
        let is_busy = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(serve_client(stream, router, Arc::clone(&is_busy)));
        self.all.push_back(AdminClient { task: task.abort_handle(), is_busy });
    }

    /// Closes the oldest connection without a request in flight, or else the oldest.
    fn evict(&mut self) {
        let idle = self.all.iter().position(|client| !client.is_busy.load(Ordering::Relaxed));
        if let Some(client) = self.all.remove(idle.unwrap_or(0)) {
            client.task.abort();
        }
    }
}

async fn serve_client(stream: TcpStream, router: Router, is_busy: Arc<AtomicBool>) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |request| {
        is_busy.store(true, Ordering::Relaxed);
        let (answer, is_busy) = (router.call(request), Arc::clone(&is_busy));
        async move {
            let answer = timeout(REQUEST_TIMEOUT, answer).await;
            is_busy.store(false, Ordering::Relaxed);
            answer.unwrap_or_else(|_| Ok(StatusCode::REQUEST_TIMEOUT.into_response()))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    // The client is gone; the error has no recipient.
    if timeout(AGE_MAX, connection.as_mut()).await.is_err() {
        connection.as_mut().graceful_shutdown();
        let _ = timeout(REST, connection).await;
    }
}

//! The control plane's listener: health, readiness, metrics. It runs on the control thread with
//! tokio and axum and is never on the request line.
//!
//! These three pages hold no secret and ask for no token. The admin API, which will, is later
//! work.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

use crate::telemetry::Hub;

/// What the pages show.
#[derive(Clone)]
pub struct State {
    /// All metrics.
    pub hub: Arc<Hub>,
    /// True while every shard listens and none drains.
    pub ready: Arc<AtomicBool>,
}

/// Serves until its task is aborted.
///
/// # Errors
/// The listener's.
pub async fn serve(listener: TcpListener, state: State) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    axum::serve(listener, router(state)).await
}

fn router(state: State) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readiness))
        .route("/metrics", get(metrics))
        .with_state(state)
}

async fn readiness(extract::State(state): extract::State<State>) -> impl IntoResponse {
    if state.ready.load(Ordering::Acquire) {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    }
}

async fn metrics(extract::State(state): extract::State<State>) -> impl IntoResponse {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, state.hub.render())
}

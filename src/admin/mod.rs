//! The control plane's listener: health, readiness, metrics, and the admin API. It runs on the
//! control thread with tokio and axum and is never in the request pipeline.
//!
//! Health, readiness and metrics contain no secret and need no token. The admin API requires
//! `server.admin_token` if it is set; without one the listener is on loopback only. Requests from
//! web pages of other sites are rejected, see `guard.rs`. Connections are bounded in number, size
//! and duration, see `listener.rs`.

mod cache;
mod guard;
mod listener;
mod refusal;
mod state;
mod targets;

use std::io;
use std::net::TcpListener;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::extract::{self, DefaultBodyLimit, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use crate::base::Secret;

use refusal::refusal;

pub use state::AdminState;

/// Longest request body: purge conditions.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// Serves until its task is aborted. `files` is the descriptor limit of the process.
///
/// # Errors
/// If the listener fails before it serves.
pub async fn serve(listener: TcpListener, state: AdminState, files: u64) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    listener::serve(&listener, &router(state), files).await
}

fn router(state: AdminState) -> Router {
    let api = Router::new()
        .route("/cache/stats", get(cache::stats))
        .route("/cache/purge", post(cache::purge))
        .route("/targets", get(targets::list))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn_with_state(state.clone(), check_token))
        .layer(from_fn(guard::check_origin))
        .layer(from_fn_with_state(state.clone(), guard::check_host));
    Router::new()
        .merge(api)
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readiness))
        .route("/metrics", get(metrics))
        .with_state(state)
}

/// Accepts an admin API request with the right token.
async fn check_token(
    extract::State(state): extract::State<AdminState>,
    request: Request,
    next: Next,
) -> Response {
    let given = request.headers().get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    let given = given.and_then(|value| value.strip_prefix(b"Bearer ")).unwrap_or_default();
    // Hashes are compared in constant time.
    let same = |token: &Secret| blake3::hash(token.reveal().as_bytes()) == blake3::hash(given);
    if state.token.as_ref().is_none_or(same) {
        return next.run(request).await;
    }
    let message = "expected the admin token as a bearer token";
    let answer = refusal(StatusCode::UNAUTHORIZED, "invalid_api_key", message);
    ([(header::WWW_AUTHENTICATE, "Bearer")], answer).into_response()
}

async fn readiness(extract::State(state): extract::State<AdminState>) -> impl IntoResponse {
    if state.ready.load(Ordering::Acquire) {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    }
}

async fn metrics(extract::State(state): extract::State<AdminState>) -> impl IntoResponse {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, state.services.metrics.render())
}

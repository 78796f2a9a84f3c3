//! Cache endpoints: `GET /cache/stats` and `POST /cache/purge`.

use axum::Json;
use axum::extract::State as Extract;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::refusal::refusal;
use super::state::AdminState;
use crate::cache::Purge;
use crate::control::CacheStatistics;

/// Cache statistics.
pub(super) async fn stats(Extract(state): Extract<AdminState>) -> Json<CacheStatistics> {
    Json(state.services.cache_statistics())
}

/// Removes the entries that match the conditions in the body; an empty object removes all.
pub(super) async fn purge(
    Extract(state): Extract<AdminState>,
    body: Result<Json<Purge>, JsonRejection>,
) -> Response {
    match body {
        Ok(Json(purge)) => {
            let purged = state.services.purge_cache(&purge);
            Json(json!({ "purged": purged })).into_response()
        }
        Err(refused) if refused.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            refusal(refused.status(), "body_too_large", &refused.body_text())
        }
        Err(refused) => refusal(StatusCode::BAD_REQUEST, "invalid_request", &refused.body_text()),
    }
}

//! The cache's pages: `GET /cache/stats` and `POST /cache/purge`.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State as Extract;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::refusal::refusal;
use super::state::AdminState;
use crate::base::unix_now;
use crate::cache::{CacheStats, ErrorStats, Purge};
use crate::inference::PoolCounts;

/// What is in the cache, and how its semantic tier does.
#[derive(serde::Serialize)]
pub(super) struct Stats {
    #[serde(flatten)]
    cache: CacheStats,
    /// `on`, `starting` or `off`.
    semantic: &'static str,
    /// What its embedder threads have done.
    #[serde(skip_serializing_if = "Option::is_none")]
    embedder: Option<PoolCounts>,
    /// How often answers by meaning are wrong, by route; of routes where somebody counts.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    risks: BTreeMap<String, ErrorStats>,
}

/// What is in the cache.
pub(super) async fn stats(Extract(state): Extract<AdminState>) -> Json<Stats> {
    let (semantic, embedder) = (state.semantic.state(), state.semantic.counts());
    let risks = state.cache.error_controller().stats();
    Json(Stats { cache: state.cache.stats(), semantic, embedder, risks })
}

/// Drops the entries that meet the body's conditions; an empty object drops all.
pub(super) async fn purge(
    Extract(state): Extract<AdminState>,
    body: Result<Json<Purge>, JsonRejection>,
) -> Response {
    match body {
        Ok(Json(purge)) => {
            let purged = state.cache.purge(&purge, unix_now());
            Json(json!({ "purged": purged })).into_response()
        }
        Err(refused) if refused.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            refusal(refused.status(), "body_too_large", &refused.body_text())
        }
        Err(refused) => refusal(StatusCode::BAD_REQUEST, "invalid_request", &refused.body_text()),
    }
}

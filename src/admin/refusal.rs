//! Errors of the admin API, in OpenAI's error format.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// An error as the admin API answers it.
pub(super) fn refusal(status: StatusCode, code: &str, message: &str) -> Response {
    let kind = "invalid_request_error";
    let error = json!({ "message": message, "type": kind, "param": null, "code": code });
    (status, Json(json!({ "error": error }))).into_response()
}

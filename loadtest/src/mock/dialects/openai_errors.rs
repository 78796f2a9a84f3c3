//! Refusals in OpenAI's words, shared by its chat, embeddings and responses
//! (developers.openai.com/api/docs/guides/error-codes).

use serde_json::{Value, json};

use super::reading::{Flaw, Refusal};
use super::{Headers, Reply};

/// The reply to a request that is refused.
pub fn reply(refusal: &Refusal) -> Reply {
    Reply::json(refusal.status, &json!({"error": body(refusal)}))
        .with_field("x-request-id", "req_mock000001")
        .with_retry_after()
}

/// The members of an `error` object.
pub fn body(refusal: &Refusal) -> Value {
    let path = refusal.bracketed_path();
    let param = if path.is_empty() { Value::Null } else { json!(path) };
    let (message, code) = match &refusal.flaw {
        Flaw::Missing => {
            (format!("Missing required parameter: '{path}'."), Some("missing_required_parameter"))
        }
        Flaw::Unknown => (format!("Unknown parameter: '{path}'."), Some("unknown_parameter")),
        Flaw::Type(expected) => {
            (format!("Invalid type for '{path}': expected {expected}."), Some("invalid_type"))
        }
        Flaw::Rule(rule) if path.is_empty() => (rule.clone(), None),
        Flaw::Rule(rule) => (rule.clone(), Some("invalid_value")),
        Flaw::Unauthenticated => ("No API key was provided.".to_owned(), Some("invalid_api_key")),
        Flaw::InvalidJson(_) => {
            ("The JSON body of the request could not be parsed.".to_owned(), None)
        }
        Flaw::Scripted => (format!("The mock was told to answer {}.", refusal.status), None),
    };
    let (kind, default_code) = match refusal.status {
        429 => ("requests", Some("rate_limit_exceeded")),
        500.. => ("server_error", None),
        401 => ("invalid_request_error", Some("invalid_api_key")),
        404 => ("invalid_request_error", Some("model_not_found")),
        _ => ("invalid_request_error", None),
    };
    json!({"message": message, "type": kind, "param": param, "code": code.or(default_code)})
}

/// A bearer token, or the header of Azure.
pub fn authenticate(headers: &Headers) -> Result<(), Refusal> {
    if headers.has_bearer() || headers.get("api-key").is_some() {
        return Ok(());
    }
    Err(Refusal::unauthenticated(401))
}

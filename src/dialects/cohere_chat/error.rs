//! Errors of Cohere: a message without a type.

use crate::dialects::context_overflow::{message, recognize};
use crate::dialects::error_text::message_of;
use crate::llm::{ApiError, Dialect, Node, write_object};

/// Reads an error, which has a `message` and no type. Proxies in front of Cohere use other names for
/// the message.
pub(super) fn read(status: u16, body: Option<Node<'_>>) -> ApiError {
    let inner = || body.and_then(|body| body.get("error")).and_then(message_of);
    let message = body.and_then(message_of).or_else(inner);
    recognize(ApiError {
        status,
        message: message.unwrap_or_else(|| format!("the provider answered with status {status}")),
        kind: String::new(),
        code: None,
        param: None,
    })
}

/// Appends an error.
pub(super) fn write(error: &ApiError, out: &mut Vec<u8>) {
    write_object(out, |root| root.text("message", &message(error, Dialect::CohereChat)));
}

//! `POST /v1/messages/count_tokens` for providers that do not count themselves: an estimate, which the
//! answer says it is.

use super::asker::Asker;
use super::deliver::Whole;
use super::failure::Failure;
use super::receive::Request;
use super::translate;
use crate::dialects::{codec, write_token_count};
use crate::llm::{Dialect, estimate_request_tokens};

/// Estimates the tokens of the request.
pub(super) fn estimate(asker: &Asker<'_>, request: &Request) -> Result<Whole, Failure> {
    let codec = codec(Dialect::AnthropicMessages).ok_or(Failure::NotFound)?;
    let asked = translate::read(asker, request, &[], codec)?;
    let mut body = Vec::new();
    write_token_count(estimate_request_tokens(&asked), &mut body);
    Ok(Whole::json(200, body).with_warning("changed input_tokens: estimated by the gateway"))
}

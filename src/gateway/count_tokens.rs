//! `POST /v1/messages/count_tokens` for providers that do not count themselves: an estimate, which the
//! answer says it is.

use super::deliver::Whole;
use super::failure::Failure;
use super::receive::Request;
use super::record::Exchange;
use super::translate;
use crate::dialects::{codec, write_token_count};
use crate::llm::{Dialect, estimate_request_tokens};

/// Estimates the tokens of the request.
pub(super) fn estimate(exchange: &mut Exchange<'_>, request: &Request) -> Result<Whole, Failure> {
    let codec = codec(Dialect::AnthropicMessages).ok_or(Failure::NotFound)?;
    let asked = translate::read(exchange, request, &[], codec)?;
    let mut body = Vec::new();
    write_token_count(estimate_request_tokens(&asked), &mut body);
    exchange.record.warnings = Some("changed input_tokens: estimated by the gateway".into());
    Ok(Whole::json(200, body))
}

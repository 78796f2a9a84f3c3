//! `POST /v1/messages/count_tokens` and Google's `countTokens` for providers that do not count
//! themselves: an estimate, which the answer says it is.

use super::asker::Asker;
use super::deliver::Whole;
use super::failure::Failure;
use super::receive::Request;
use super::translate;
use crate::dialects::{codec, write_gemini_token_count, write_token_count};
use crate::llm::{Dialect, estimate_request_tokens};

/// Estimates the tokens of the request.
pub(super) fn estimate(asker: &Asker<'_>, request: &Request) -> Result<Whole, Failure> {
    let dialect = request.endpoint.chat_dialect().ok_or(Failure::NotFound)?;
    let codec = codec(dialect).ok_or(Failure::NotFound)?;
    let asked = translate::read_with(asker, request, &[], |root, path| {
        // Google's clients may send a whole request for an answer.
        let root = root.get("generateContentRequest").unwrap_or(root);
        codec.read_request(root, path).map_err(Failure::Malformed)
    })?;
    let tokens = estimate_request_tokens(&asked);
    let mut body = Vec::new();
    let (write, warning): (fn(u64, &mut Vec<u8>), _) = match dialect {
        Dialect::Gemini => {
            (write_gemini_token_count, "changed totalTokens: estimated by the gateway")
        }
        _ => (write_token_count, "changed input_tokens: estimated by the gateway"),
    };
    write(tokens, &mut body);
    Ok(Whole::json(200, body).with_warning(warning))
}

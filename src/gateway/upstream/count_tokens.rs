//! `POST /v1/messages/count_tokens`, `/v1/responses/input_tokens` and Google's `countTokens` for providers
//! that do not count themselves: an estimate, which the response is marked as.

use super::resolve::ResolvedProvider;
use super::{client_request, stored_responses};
use crate::dialects::{
    client_codec, write_gemini_token_count, write_input_tokens, write_token_count,
};
use crate::gateway::context::{Endpoint, GatewayError, Request, RequestContext};
use crate::gateway::downstream::local::LocalResponse;
use crate::llm::{Dialect, estimate_request_tokens};

/// Estimates the tokens of the request. None where the provider, whose dialect is `own`, counts them.
pub(crate) fn answer(
    context: &RequestContext<'_>,
    request: &Request,
    resolved: &ResolvedProvider,
    own: Dialect,
) -> Result<Option<LocalResponse>, GatewayError> {
    let dialect = request.endpoint.chat_dialect().ok_or(GatewayError::NotFound)?;
    let counts = if request.endpoint == Endpoint::InputTokens {
        let toward = resolved.upstream.provider.dialect_toward(dialect, resolved.model.as_deref());
        toward == dialect || toward == Dialect::Passthrough
    } else {
        own == dialect
    };
    if counts {
        return Ok(None);
    }
    let codec = client_codec(dialect);
    let chat_request = if request.endpoint == Endpoint::InputTokens {
        stored_responses::read(context, request, &[], codec)?
    } else {
        client_request::read_with(context, request, &[], |root, path| {
            // Google's clients may send a whole request for an answer.
            let root = root.get("generateContentRequest").unwrap_or(root);
            codec.read_request(root, path).map_err(GatewayError::Malformed)
        })?
    };
    let warning = "changed input_tokens: estimated by the gateway";
    let (write, warning): (fn(u64, &mut Vec<u8>), _) = match dialect {
        Dialect::Gemini => {
            (write_gemini_token_count, "changed totalTokens: estimated by the gateway")
        }
        Dialect::OpenaiResponses => (write_input_tokens, warning),
        _ => (write_token_count, warning),
    };
    let mut body = Vec::new();
    write(estimate_request_tokens(&chat_request), &mut body);
    Ok(Some(LocalResponse::json(200, body).with_warning(warning)))
}

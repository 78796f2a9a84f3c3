//! Stage `screen`: input guardrails would allow, edit or deny here.
//!
//! There are no guardrails yet: every request passes.

use super::error::GatewayError;
use super::receive::Request;
use super::record::Exchange;

/// Passes the request on.
#[expect(clippy::unnecessary_wraps, reason = "a guardrail can deny")]
pub(super) fn screen(_: &mut Exchange<'_>, _: &Request) -> Result<(), GatewayError> {
    Ok(())
}

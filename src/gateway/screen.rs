//! Stage `screen`: input guardrails would allow, edit or deny here.
//!
//! There are no guardrails yet: every request passes.

use crate::gateway::context::{Exchange, GatewayError, Request};

/// Passes the request on.
#[expect(clippy::unnecessary_wraps, reason = "a guardrail can deny")]
pub(crate) fn screen(_: &mut Exchange<'_>, _: &Request) -> Result<(), GatewayError> {
    Ok(())
}

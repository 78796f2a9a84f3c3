//! Stage `render`: the prompt registry would fill a template here.
//!
//! There is no registry yet: every request passes unchanged. Parameters that a route overrides
//! are spliced in by `route`, since they depend on the target.

use crate::gateway::context::{Exchange, GatewayError, Request};

/// Passes the request on.
#[expect(clippy::unnecessary_wraps, reason = "a template can be missing or wrong")]
pub(crate) fn render(_: &mut Exchange<'_>, _: &mut Request) -> Result<(), GatewayError> {
    Ok(())
}

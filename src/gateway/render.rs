//! Stage `render`: the prompt registry would fill a template here.
//!
//! There is no registry yet: every request passes unchanged. Parameters that a route overrides
//! are spliced in by `route`, since they depend on the target.

use super::error::GatewayError;
use super::receive::Request;
use super::record::Exchange;

/// Passes the request on.
#[expect(clippy::unnecessary_wraps, reason = "a template can be missing or wrong")]
pub(super) fn render(_: &mut Exchange<'_>, _: &mut Request) -> Result<(), GatewayError> {
    Ok(())
}

//! What every provider's format of reranking can do.

use crate::dialects::codec::{TargetModel, Unsupported};
use crate::dialects::warnings::Warnings;
use crate::llm::{RerankAnswer, RerankRequest, Scanner};

/// A format, as the gateway sends it to providers.
pub trait ProviderRerank: Sync {
    /// The path, relative to the provider's base URL.
    fn path(&self) -> &'static str;

    /// Appends the request as `target` accepts it.
    ///
    /// # Errors
    /// If the target does not support what the request asks for.
    fn write_request(
        &self,
        request: &RerankRequest,
        target: &TargetModel<'_>,
        warnings: &mut Warnings,
        out: &mut Vec<u8>,
    ) -> Result<(), Unsupported>;

    /// Reads a response, which is an array at one vendor. None if it is not one.
    fn read_answer(&self, body: &[u8], scanner: &mut Scanner) -> Option<RerankAnswer>;
}

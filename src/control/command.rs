//! Commands to the shards.

use std::time::Duration;

use crate::providers::TokenUpdate;

/// Commands of the control thread to a shard, besides its settings.
#[derive(Debug)]
pub enum ShardCommand {
    /// News of the token of the provider of that name.
    Token(String, TokenUpdate),
    /// Accept nothing more and end when all is answered, at the latest after this long.
    Drain(Duration),
}

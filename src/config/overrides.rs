//! Settings that the command line sets.

use std::net::SocketAddr;

/// What the command line says instead of the file.
#[derive(Clone, Copy, Debug, Default)]
pub struct Overrides {
    /// Instead of `server.listen`.
    pub listen: Option<SocketAddr>,
    /// Instead of `server.admin_listen`.
    pub admin_listen: Option<SocketAddr>,
    /// Instead of `server.shards`.
    pub shards: Option<usize>,
}

//! Settings from the command line.

use std::net::SocketAddr;

/// Command line options that override the file.
#[derive(Clone, Copy, Debug, Default)]
pub struct Overrides {
    /// Overrides `server.listen`.
    pub listen: Option<SocketAddr>,
    /// Overrides `server.admin_listen`.
    pub admin_listen: Option<SocketAddr>,
    /// Overrides `server.shards`.
    pub shards: Option<usize>,
}

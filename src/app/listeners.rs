//! The addresses that the process takes.

use std::net::{SocketAddr, TcpListener};

use anyhow::Context;

use crate::config::Server;
use crate::shard::bind_free;

/// Both addresses, bound.
pub(super) struct Listeners {
    /// Where the shards listen.
    pub(super) listen: SocketAddr,
    /// Where the admin listener listens.
    pub(super) admin_listen: SocketAddr,
    /// The admin listener.
    pub(super) admin: TcpListener,
    /// Held until the end, so that the port stays the process's own also while no shard listens.
    _port: socket2::Socket,
}

impl Listeners {
    /// Binds both addresses; a port 0 becomes a free one.
    pub(super) fn bind(server: &Server) -> anyhow::Result<Self> {
        let (port, listen) = bind_data_plane(server.listen)?;
        let admin = TcpListener::bind(server.admin_listen)
            .with_context(|| format!("cannot listen on {} (admin)", server.admin_listen))?;
        Ok(Self { listen, admin_listen: admin.local_addr()?, admin, _port: port })
    }
}

/// Takes the listening address, and refuses one that another process serves: SO_REUSEPORT would
/// let both have it, each with half of the clients.
fn bind_data_plane(address: SocketAddr) -> anyhow::Result<(socket2::Socket, SocketAddr)> {
    if address.port() != 0 {
        TcpListener::bind(address)
            .with_context(|| format!("cannot listen on {address} (server.listen)"))?;
    }
    bind_free(address).with_context(|| format!("cannot listen on {address} (server.listen)"))
}

//! Connects to a provider: name lookup, TCP to each address in turn, TLS.
//!
//! Addresses are tried as in RFC 8305: alternating families, the next one started when the previous
//! one has failed or has not connected within 250 ms; the first to connect wins and the others are
//! closed. The caller sets one deadline for the whole.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{Either, select};
use futures_util::stream::FuturesUnordered;
use monoio::net::TcpStream;

use super::connection_counts::ConnectionCounts;
use super::resolver::{HostName, Resolver, lookup};
use super::stream::Connection;
use super::timer;
use super::tls::TlsConnector;

/// Head start of an address over the next (RFC 8305, section 5).
const STAGGER: Duration = Duration::from_millis(250);

/// Addresses tried for one connection, at most.
const ADDRESSES_MAX: usize = 8;

/// A host and port to connect to, and TLS if it is used.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Host.
    pub name: HostName,
    /// TCP port.
    pub port: u16,
    /// TLS settings; `None` for plain TCP.
    pub tls: Option<TlsConnector>,
}

/// Why a connection failed.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The name has no address.
    #[error("name look-up failed: {0}")]
    Name(Rc<str>),
    /// No address accepted the connection; the last error.
    #[error("connect failed: {0}")]
    Connect(#[source] io::Error),
    /// The TLS handshake failed.
    #[error("TLS handshake failed: {0}")]
    Tls(#[source] io::Error),
}

/// A shard's dialer: its DNS cache, and counts for the metrics.
pub struct Dialer {
    /// `None`: only `scripted` connections.
    resolver: Option<Resolver>,
    /// The connections returned next, for any endpoint.
    scripted: RefCell<VecDeque<Connection>>,
    lookups: Cell<u64>,
    counts: Rc<ConnectionCounts>,
}

impl Dialer {
    /// A dialer whose DNS cache keeps addresses for `dns_ttl`.
    #[must_use]
    pub fn new(dns_ttl: Duration) -> Self {
        Self { resolver: Some(Resolver::new(dns_ttl)), ..Self::unplugged() }
    }

    /// A dialer without a network, for simulations: it returns the connections passed to
    /// [`Dialer::script`], then fails.
    #[must_use]
    pub fn unplugged() -> Self {
        let scripted = RefCell::default();
        Self { resolver: None, scripted, lookups: Cell::new(0), counts: Rc::default() }
    }

    /// Keeps answers of the name cache for `dns_ttl` from now on.
    pub fn set_dns_ttl(&self, dns_ttl: Duration) {
        self.resolver.iter().for_each(|resolver| resolver.set_ttl(dns_ttl));
    }

    /// Connects to `connection` when all that were given before have been used.
    pub fn script(&self, connection: Connection) {
        self.scripted.borrow_mut().push_back(connection);
    }

    /// Number of lookups made.
    #[must_use]
    pub fn lookups(&self) -> u64 {
        self.lookups.get()
    }

    /// Open connections, in use or idle.
    #[must_use]
    pub fn open_count(&self) -> i64 {
        self.counts.open_count()
    }

    /// Connections closed because of unsolicited bytes.
    #[must_use]
    pub fn surplus_count(&self) -> u64 {
        self.counts.surplus_count()
    }

    pub(super) fn counts(&self) -> &Rc<ConnectionCounts> {
        &self.counts
    }

    /// The addresses of a name that is not in the settings: looked up each time, not cached.
    ///
    /// # Errors
    /// [`DialError::Name`].
    pub async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, DialError> {
        self.lookups.set(self.lookups.get() + 1);
        let found = lookup(host.to_owned()).await.map_err(DialError::Name)?;
        Ok(alternate(&found))
    }

    /// Connects, with a TLS handshake if the endpoint uses TLS.
    ///
    /// # Errors
    /// See [`DialError`].
    pub async fn connect(&self, endpoint: &Peer) -> Result<Connection, DialError> {
        let refused = || DialError::Connect(io::ErrorKind::ConnectionRefused.into());
        let Some(resolver) = &self.resolver else {
            return self.scripted.borrow_mut().pop_front().ok_or_else(refused);
        };
        let addresses = match &endpoint.name {
            HostName::Address(address) => vec![*address],
            HostName::Dns(host) => {
                let count = || self.lookups.set(self.lookups.get() + 1);
                let found = resolver.addresses(host, count).await.map_err(DialError::Name)?;
                alternate(&found)
            }
        };
        let stream = connect_any(&addresses, endpoint.port).await.map_err(DialError::Connect)?;
        let mut connection = Connection::new(stream).map_err(DialError::Connect)?;
        connection.measure_round_trip();
        if let Some(tls) = &endpoint.tls {
            let session = tls.session().map_err(DialError::Tls)?;
            connection.handshake(session).await.map_err(DialError::Tls)?;
        }
        Ok(connection)
    }
}

/// Alternating families, starting with the system's preferred one; each address once.
fn alternate(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let mut ordered: Vec<IpAddr> = Vec::with_capacity(addresses.len());
    let prefers_v6 = addresses.first().is_some_and(IpAddr::is_ipv6);
    let mut preferred = addresses.iter().filter(|it| it.is_ipv6() == prefers_v6);
    let mut other = addresses.iter().filter(|it| it.is_ipv6() != prefers_v6);
    loop {
        let pair = [preferred.next(), other.next()];
        if pair == [None, None] || ordered.len() >= ADDRESSES_MAX {
            ordered.truncate(ADDRESSES_MAX);
            return ordered;
        }
        for address in pair.into_iter().flatten() {
            if !ordered.contains(address) {
                ordered.push(*address);
            }
        }
    }
}

async fn connect_any(addresses: &[IpAddr], port: u16) -> io::Result<TcpStream> {
    let mut waiting = addresses.iter();
    let mut attempts = FuturesUnordered::new();
    let mut last_error = io::Error::from(io::ErrorKind::AddrNotAvailable);
    loop {
        let next = waiting.next();
        if let Some(address) = next {
            attempts.push(TcpStream::connect_addr(SocketAddr::new(*address, port)));
        } else if attempts.is_empty() {
            return Err(last_error);
        }
        // If no address is left to start, only the attempts in flight are awaited.
        let patience =
            if waiting.len() > 0 { STAGGER } else { Duration::from_secs(u64::from(u32::MAX)) };
        match select(attempts.next(), Box::pin(timer::sleep(patience))).await {
            Either::Left((Some(Ok(stream)), _)) => return Ok(stream),
            Either::Left((Some(Err(error)), _)) => last_error = error,
            Either::Left((None, _)) | Either::Right(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_families_alternate_without_duplicates() {
        let parse = |list: &[&str]| -> Vec<IpAddr> {
            list.iter().filter_map(|text| text.parse().ok()).collect()
        };
        for (given, expected) in [
            (&["::1", "::2", "10.0.0.1"][..], &["::1", "10.0.0.1", "::2"][..]),
            (&["10.0.0.1", "10.0.0.2", "::1"], &["10.0.0.1", "::1", "10.0.0.2"]),
            (&["10.0.0.1", "10.0.0.1"], &["10.0.0.1"]),
            (&[], &[]),
        ] {
            assert_eq!(alternate(&parse(given)), parse(expected));
        }
    }
}

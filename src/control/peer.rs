//! Where a provider is reached, and with which TLS.

use crate::providers::{BaseUrl, Host, Provider};
use crate::shard::{HostName, Peer, Roots, TlsConnector, TlsError, client_tls};

/// The far end of calls to a provider at `base`.
pub(crate) fn peer(base: &BaseUrl, tls: Option<TlsConnector>) -> Peer {
    Peer { name: name_of(&base.host), port: base.port, tls }
}

fn name_of(host: &Host) -> HostName {
    match host {
        Host::Dns(name) => HostName::Dns(name.clone()),
        Host::Ipv4(address) => HostName::Address((*address).into()),
        Host::Ipv6(address) => HostName::Address((*address).into()),
    }
}

/// TLS towards a provider at `base`; none where its URL is `http`.
pub(crate) fn provider_tls(
    provider: &Provider,
    base: &BaseUrl,
    roots: &Roots,
) -> Result<Option<TlsConnector>, TlsError> {
    if !base.tls {
        return Ok(None);
    }
    let client = provider.tls.client_pem.as_ref();
    client_tls(
        &name_of(&base.host),
        roots,
        provider.tls.ca_pem.as_deref(),
        client.map(|(chain, key)| (chain.as_str(), key.as_str())),
    )
    .map(Some)
}

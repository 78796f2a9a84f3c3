//! Where the load goes: a base URL, resolved once.

use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

use crate::tls::{Trust, client_config};

/// How long one address of a name may take to accept before the next is tried, once at the start.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// A server and the path below which it serves OpenAI's API.
#[derive(Clone)]
pub struct Target {
    pub address: SocketAddr,
    /// Value of the `host` header.
    pub authority: String,
    /// Path without a slash at its end, such as `/v1`.
    pub path: String,
    pub tls: Option<(TlsConnector, ServerName<'static>)>,
}

/// The pieces of an `http` or `https` URL.
#[derive(Debug, PartialEq, Eq)]
struct Url<'a> {
    secure: bool,
    authority: &'a str,
    host: &'a str,
    port: u16,
    path: &'a str,
}

impl Target {
    /// Reads a URL and finds an address of its host, one that accepts connections if there is any.
    pub fn resolve(text: &str, trust: &Trust) -> anyhow::Result<Self> {
        let url = Url::parse(text)?;
        let addresses: Vec<_> = (url.host, url.port)
            .to_socket_addrs()
            .with_context(|| format!("cannot resolve {}", url.host))?
            .collect();
        let first = *addresses.first().with_context(|| format!("{} has no address", url.host))?;
        let accepts =
            |address: &&SocketAddr| TcpStream::connect_timeout(address, PROBE_TIMEOUT).is_ok();
        let address = match addresses.len() {
            1 => first,
            _ => addresses.iter().find(accepts).copied().unwrap_or(first),
        };
        let tls = match url.secure {
            false => None,
            true => {
                let name = ServerName::try_from(url.host.to_owned())
                    .with_context(|| format!("{} is no server name", url.host))?;
                Some((TlsConnector::from(client_config(trust)?), name))
            }
        };
        Ok(Self { address, authority: url.authority.to_owned(), path: url.path.to_owned(), tls })
    }
}

impl<'a> Url<'a> {
    fn parse(text: &'a str) -> anyhow::Result<Self> {
        let (secure, rest) = if let Some(rest) = text.strip_prefix("http://") {
            (false, rest)
        } else if let Some(rest) = text.strip_prefix("https://") {
            (true, rest)
        } else {
            bail!("expected a URL such as http://127.0.0.1:8080/v1, got `{text}`");
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        ensure!(
            !authority.contains('@') && !path.contains(['?', '#', ' ']),
            "expected a URL without user, query or fragment, got `{text}`"
        );
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (
                host,
                port.parse()
                    .with_context(|| format!("expected a port, got `{port}` in `{text}`"))?,
            ),
            _ => (authority, if secure { 443 } else { 80 }),
        };
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        ensure!(!host.is_empty(), "expected a host in `{text}`");
        Ok(Self { secure, authority, host, port, path: path.trim_end_matches('/') })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_parsed() {
        let cases = [
            ("http://127.0.0.1:8080/v1", Some((false, "127.0.0.1:8080", "127.0.0.1", 8080, "/v1"))),
            (
                "https://api.openai.com/v1/",
                Some((true, "api.openai.com", "api.openai.com", 443, "/v1")),
            ),
            ("http://localhost", Some((false, "localhost", "localhost", 80, ""))),
            ("http://[::1]:9/a/b", Some((false, "[::1]:9", "::1", 9, "/a/b"))),
            ("https://[::1]", Some((true, "[::1]", "::1", 443, ""))),
            ("127.0.0.1:80", None),
            ("http://", None),
            ("http://a:b/", None),
            ("http://user@a/", None),
            ("http://a/v1?x", None),
        ];
        for (text, expected) in cases {
            let parsed = Url::parse(text).ok();
            let expected = expected.map(|(secure, authority, host, port, path)| Url {
                secure,
                authority,
                host,
                port,
                path,
            });
            assert_eq!(parsed, expected, "{text}");
        }
    }
}

//! TLS by rustls with aws-lc-rs: sessions that never touch a socket, and their configuration.
//!
//! The session converts records to bytes and back in memory; `stream.rs` reads and writes the
//! socket. No state is in a future, so dropping one loses nothing.

use std::io::{self, Read, Write};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

use super::resolver::HostName;

/// One side of a TLS connection.
pub(super) struct TlsSession {
    inner: rustls::Connection,
    ended: bool,
}

/// TLS settings for one endpoint.
#[derive(Clone, Debug)]
pub struct TlsConnector {
    config: Arc<ClientConfig>,
    server: ServerName<'static>,
}

/// TLS settings for clients.
#[derive(Clone, Debug)]
pub struct TlsAcceptor(Arc<ServerConfig>);

/// Root certificates for provider certificates. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Roots(Arc<RootCertStore>);

impl Roots {
    /// True if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Equal sets have the same certificates in the same order.
impl PartialEq for Roots {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.roots == other.0.roots
    }
}

/// A certificate, key or name cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The PEM text holds no usable certificate or key.
    #[error("expected a PEM {what}: {reason}")]
    Pem {
        /// What was being parsed.
        what: &'static str,
        /// The error; never a part of the text.
        reason: String,
    },
    /// rustls rejects the combination.
    #[error("certificate and key cannot be used: {0}")]
    Refused(#[from] rustls::Error),
    /// The host is not a legal server name.
    #[error("expected a host name or address, got one that TLS cannot name")]
    ServerName,
}

/// The system's root certificates, and how many of them could not be read.
///
/// Reads files: call it on the control thread.
#[must_use]
pub fn root_certificates() -> (Roots, usize) {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (_, unusable) = roots.add_parsable_certificates(found.certs);
    (Roots(Arc::new(roots)), found.errors.len() + unusable)
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let refuse = |reason: String| TlsError::Pem { what: "certificate", reason };
    let chain = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| refuse(error.to_string()))?;
    if chain.is_empty() { Err(refuse("none found".to_owned())) } else { Ok(chain) }
}

fn private_key(pem: &str) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem.as_bytes())
        .map_err(|error| TlsError::Pem { what: "private key", reason: error.to_string() })
}

/// Client settings for one endpoint: the given roots plus `ca_pem`, and an optional client
/// certificate (chain, key). Sessions are resumed.
///
/// # Errors
/// See [`TlsError`].
pub fn client_tls(
    name: &HostName,
    roots: &Roots,
    ca_pem: Option<&str>,
    client_pem: Option<(&str, &str)>,
) -> Result<TlsConnector, TlsError> {
    let mut roots = Arc::clone(&roots.0);
    for certificate in ca_pem.map(certificates).transpose()?.unwrap_or_default() {
        Arc::make_mut(&mut roots).add(certificate)?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let mut config = match client_pem {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            builder.with_client_auth_cert(certificates(chain)?, private_key(key)?)?
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let server = match name {
        HostName::Address(address) => ServerName::IpAddress((*address).into()),
        HostName::Dns(host) => {
            ServerName::try_from(host.clone()).map_err(|_| TlsError::ServerName)?
        }
    };
    Ok(TlsConnector { config: Arc::new(config), server })
}

/// Server settings. Tickets are stateless, so a client may resume on any shard.
///
/// # Errors
/// See [`TlsError`].
pub fn server_tls(chain_pem: &str, key_pem: &str) -> Result<TlsAcceptor, TlsError> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certificates(chain_pem)?, private_key(key_pem)?)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    Ok(TlsAcceptor(Arc::new(config)))
}

impl TlsConnector {
    pub(super) fn session(&self) -> io::Result<TlsSession> {
        ClientConnection::new(Arc::clone(&self.config), self.server.clone())
            .map(|inner| TlsSession::new(inner.into()))
            .map_err(invalid)
    }
}

impl TlsAcceptor {
    pub(super) fn session(&self) -> io::Result<TlsSession> {
        ServerConnection::new(Arc::clone(&self.0))
            .map(|inner| TlsSession::new(inner.into()))
            .map_err(invalid)
    }
}

impl TlsSession {
    fn new(mut inner: rustls::Connection) -> Self {
        // Written records are sent before more are written, so rustls need not bound them again.
        inner.set_buffer_limit(None);
        Self { inner, ended: false }
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.inner.is_handshaking()
    }

    /// True once the peer has sent `close_notify`: only then is the end of the stream
    /// authenticated.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    pub(super) fn close_notify(&mut self) {
        self.inner.send_close_notify();
    }

    /// Processes received records and appends their plaintext to `out`.
    pub(super) fn decrypt(&mut self, mut records: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        while !records.is_empty() {
            let taken = self.inner.read_tls(&mut records)?;
            let state = self.inner.process_new_packets().map_err(invalid)?;
            self.ended |= state.peer_has_closed();
            let before = out.len();
            let waiting = state.plaintext_bytes_to_read();
            out.resize(before + waiting, 0);
            if let Some(target) = out.get_mut(before..) {
                self.inner.reader().read_exact(target)?;
            }
            if taken == 0 {
                // rustls accepts nothing after close_notify; the rest is ignored.
                break;
            }
        }
        Ok(())
    }

    /// Appends the records for `data`, and any pending ones, to `out`.
    pub(super) fn encrypt(&mut self, data: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        self.inner.writer().write_all(data)?;
        while self.inner.wants_write() {
            self.inner.write_tls(out)?;
        }
        Ok(())
    }
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

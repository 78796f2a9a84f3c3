//! `[server]`: addresses, limits and timeouts of the gateway itself, as written and as checked.
//!
//! Limits named "per shard" apply to each shard separately, so the process may reach the limit
//! times the number of shards.

use std::net::SocketAddr;
use std::time::Duration;

use crate::base::{Diagnostics, Secret, check_pem, check_secret, member_path};
use crate::providers::BaseUrl;

/// The gateway's own settings, as checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Listener for clients.
    pub listen: SocketAddr,
    /// Listener for health, metrics and the admin API.
    pub admin_listen: SocketAddr,
    /// Bearer token of the admin API; `None` only if `admin_listen` is a loopback address.
    pub admin_token: Option<Secret>,
    /// Number of shards; 0: one per available core.
    pub shards: usize,
    /// How long a shard busy-polls before it sleeps; zero: never.
    pub busy_poll: Duration,
    /// Longest JSON body of a request.
    pub body_bytes_max: usize,
    /// Longest streamed body.
    pub stream_body_bytes_max: u64,
    /// Longest buffered JSON response.
    pub answer_bytes_max: usize,
    /// Time that in-flight requests get after a stop.
    pub drain_timeout: Duration,
    /// Hosts allowed in a custom-host header: lower case, with an optional port.
    pub custom_hosts: Vec<String>,
    /// TLS for clients.
    pub tls: Option<ServerTlsFiles>,
    /// Timeout of a whole request head.
    pub head_timeout: Duration,
    /// Idle timeout of a client connection.
    pub keep_alive_timeout: Duration,
    /// Slowest request body, averaged after a grace period of 10 s.
    pub body_bytes_per_second_min: u64,
    /// Timeout of a write to a client without progress.
    pub client_write_timeout: Duration,
    /// Client connections per shard.
    pub connections_max: usize,
    /// Concurrent requests per shard.
    pub in_flight_max: usize,
    /// Memory for buffered bodies and responses per shard.
    pub buffered_bytes_max: usize,
    /// Idle connections to one provider per shard.
    pub pool_idle_max: usize,
    /// Idle timeout of a connection to a provider.
    pub pool_idle_timeout: Duration,
    /// Maximum age of a connection to a provider.
    pub pool_age_max: Duration,
    /// How long a resolved address is used.
    pub dns_ttl: Duration,
}

/// Server certificate and key, read when the settings are loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTlsFiles {
    /// PEM text: the certificate and its chain.
    pub cert_pem: String,
    /// PEM text of the private key.
    pub key_pem: Secret,
}

/// Addresses, limits and timeouts of the gateway itself.
#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ServerSettings {
    /// Address and port for clients. Use `0.0.0.0:8080` or `[::]:8080` to listen on all interfaces.
    #[schemars(extend("restart_required" = true))]
    listen: String,
    /// Address and port for health, metrics, the admin API and the dashboard. Do not expose it to
    /// clients.
    #[schemars(extend("restart_required" = true))]
    admin_listen: String,
    /// Bearer token of the admin API, as a reference. Required unless `admin_listen` is a loopback
    /// address.
    #[schemars(extend("restart_required" = true))]
    admin_token: Option<Secret>,
    /// Threads that serve requests, each pinned to a core. 0: one per available core.
    #[schemars(range(min = 0, max = 1024), extend("restart_required" = true))]
    shards: usize,
    /// How long a shard busy-polls before it sleeps, in microseconds. 0: never. A higher value
    /// trades CPU time for latency. Needs io_uring.
    #[schemars(range(min = 0, max = 1_000_000), extend("restart_required" = true))]
    busy_poll_us: u64,
    /// Longest JSON body of a request, in bytes. Raise it for messages with many or large images.
    #[schemars(range(min = 1024, max = 1_073_741_824))]
    body_bytes_max: usize,
    /// Longest streamed request body (audio, files, batches), in bytes. Such a body is never
    /// buffered whole.
    #[schemars(range(min = 1024, max = 1_099_511_627_776_u64))]
    stream_body_bytes_max: u64,
    /// Longest response that is buffered for translation, in bytes.
    #[schemars(range(min = 1024, max = 1_073_741_824))]
    answer_bytes_max: usize,
    /// Time in-flight requests get to finish after SIGTERM, in milliseconds. 0 closes them
    /// immediately.
    #[schemars(range(min = 0, max = 86_400_000))]
    drain_timeout_ms: u64,
    /// Hosts that clients may name in a custom-host header, as `host`, or `host:port` for a port
    /// other than the default of the scheme. Empty: none. Clients can make the gateway send
    /// requests to these hosts.
    custom_hosts: Vec<String>,
    /// TLS for clients. Default: plain HTTP.
    tls: Option<ServerTlsSettings>,
    /// Timeout from the first byte of a request head to its last, in milliseconds.
    #[schemars(range(min = 1, max = 600_000))]
    head_timeout_ms: u64,
    /// Idle timeout of a client connection, in milliseconds. Keep it above the idle timeout of a
    /// load balancer in front.
    #[schemars(range(min = 1, max = 86_400_000))]
    keep_alive_timeout_ms: u64,
    /// Slowest request body that is accepted, in bytes per second, averaged after a grace period of
    /// 10 s. 0: any.
    #[schemars(range(min = 0, max = 1_073_741_824))]
    body_bytes_per_second_min: u64,
    /// How long a client may accept no bytes of a response before its connection is closed, in
    /// milliseconds.
    #[schemars(range(min = 1, max = 86_400_000))]
    client_write_timeout_ms: u64,
    /// Client connections per shard; further ones are closed at once and counted.
    #[schemars(range(min = 1, max = 1_000_000))]
    connections_max: usize,
    /// Concurrent requests per shard; further ones are rejected with 503.
    #[schemars(range(min = 1, max = 1_000_000))]
    in_flight_max: usize,
    /// Memory for buffered bodies and responses, per shard, in bytes. At least `body_bytes_max` and
    /// `answer_bytes_max`.
    #[schemars(range(min = 1024, max = 1_099_511_627_776_u64))]
    buffered_bytes_max: usize,
    /// Idle connections kept per provider, per shard. 0: none.
    #[schemars(range(min = 0, max = 65_536))]
    pool_idle_max: usize,
    /// How long an idle connection to a provider is kept, in milliseconds. Keep it below the
    /// provider's own idle timeout.
    #[schemars(range(min = 1, max = 86_400_000))]
    pool_idle_timeout_ms: u64,
    /// Maximum age of a connection to a provider that is reused, in milliseconds. Lower it if the
    /// provider's addresses change often.
    #[schemars(range(min = 1, max = 86_400_000))]
    pool_age_max_ms: u64,
    /// How long a resolved address of a provider is used, in milliseconds.
    #[schemars(range(min = 1, max = 86_400_000))]
    dns_ttl_ms: u64,
}

/// TLS for clients.
#[derive(Debug, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct ServerTlsSettings {
    /// PEM file of the certificate, followed by its chain. Relative to the directory of the
    /// settings file.
    cert_file: Option<String>,
    /// PEM file of the private key.
    key_file: Option<String>,
}

impl Default for ServerSettings {
    fn default() -> Self {
        const MIB: usize = 1024 * 1024;
        Self {
            listen: "127.0.0.1:8080".to_owned(),
            admin_listen: "127.0.0.1:8081".to_owned(),
            admin_token: None,
            shards: 0,
            busy_poll_us: 0,
            body_bytes_max: 10 * MIB,
            stream_body_bytes_max: 1024 * MIB as u64,
            answer_bytes_max: 64 * MIB,
            drain_timeout_ms: 30_000,
            custom_hosts: Vec::new(),
            tls: None,
            head_timeout_ms: 10_000,
            keep_alive_timeout_ms: 75_000,
            body_bytes_per_second_min: 1024,
            client_write_timeout_ms: 60_000,
            connections_max: 16_384,
            in_flight_max: 4096,
            buffered_bytes_max: 512 * MIB,
            pool_idle_max: 512,
            pool_idle_timeout_ms: 60_000,
            pool_age_max_ms: 600_000,
            dns_ttl_ms: 30_000,
        }
    }
}

impl ServerSettings {
    /// The checked settings; `None` if a diagnostic makes them unusable.
    pub(super) fn check(
        self,
        path: &str,
        read_file: &dyn Fn(&str) -> Result<String, String>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Server> {
        let listen = check_address(&self.listen, &member_path(path, "listen"), diagnostics);
        let admin =
            check_address(&self.admin_listen, &member_path(path, "admin_listen"), diagnostics);
        if let (Some(listen), Some(admin)) = (listen, admin) {
            check_listeners(listen, admin, path, diagnostics);
        }
        self.check_admin_token(admin, path, diagnostics);
        self.check_bytes(path, diagnostics);
        let custom_hosts = check_custom_hosts(&self.custom_hosts, path, diagnostics);
        let tls_path = member_path(path, "tls");
        let tls = self.tls.and_then(|tls| tls.check(&tls_path, read_file, diagnostics));
        Some(Server {
            listen: listen?,
            admin_listen: admin?,
            admin_token: self.admin_token,
            shards: self.shards,
            busy_poll: Duration::from_micros(self.busy_poll_us),
            body_bytes_max: self.body_bytes_max,
            stream_body_bytes_max: self.stream_body_bytes_max,
            answer_bytes_max: self.answer_bytes_max,
            drain_timeout: Duration::from_millis(self.drain_timeout_ms),
            custom_hosts,
            tls,
            head_timeout: Duration::from_millis(self.head_timeout_ms),
            keep_alive_timeout: Duration::from_millis(self.keep_alive_timeout_ms),
            body_bytes_per_second_min: self.body_bytes_per_second_min,
            client_write_timeout: Duration::from_millis(self.client_write_timeout_ms),
            connections_max: self.connections_max,
            in_flight_max: self.in_flight_max,
            buffered_bytes_max: self.buffered_bytes_max,
            pool_idle_max: self.pool_idle_max,
            pool_idle_timeout: Duration::from_millis(self.pool_idle_timeout_ms),
            pool_age_max: Duration::from_millis(self.pool_age_max_ms),
            dns_ttl: Duration::from_millis(self.dns_ttl_ms),
        })
    }

    fn check_admin_token(
        &self,
        admin: Option<SocketAddr>,
        path: &str,
        diagnostics: &mut Diagnostics,
    ) {
        let path = member_path(path, "admin_token");
        if let Some(token) = &self.admin_token {
            check_secret(token, &path, diagnostics);
        } else if admin.is_some_and(|admin| !admin.ip().is_loopback()) {
            let message = "expected a token, since `admin_listen` can be reached from elsewhere";
            let hint = "write admin_token = \"${RINGGATE_ADMIN_TOKEN}\" and set the variable";
            diagnostics.add(&path, message, hint);
        }
    }

    fn check_bytes(&self, path: &str, diagnostics: &mut Diagnostics) {
        let all = self.buffered_bytes_max;
        for (name, one) in
            [("body_bytes_max", self.body_bytes_max), ("answer_bytes_max", self.answer_bytes_max)]
        {
            if one > all {
                let message = format!("expected at most `buffered_bytes_max`, {all}, got {one}");
                diagnostics.add(&member_path(path, name), message, "raise `buffered_bytes_max`");
            }
        }
    }
}

impl ServerTlsSettings {
    fn check(
        self,
        path: &str,
        read_file: &dyn Fn(&str) -> Result<String, String>,
        diagnostics: &mut Diagnostics,
    ) -> Option<ServerTlsFiles> {
        let mut read = |name: &str, file: Option<String>, begin: &str| {
            let path = member_path(path, name);
            let Some(file) = file else {
                diagnostics.add(&path, "expected a PEM file, got none", "TLS needs both files");
                return None;
            };
            check_pem(read_file(&file), begin, &path, diagnostics)
        };
        let cert_pem = read("cert_file", self.cert_file, "-----BEGIN CERTIFICATE-----");
        let key_pem = read("key_file", self.key_file, "PRIVATE KEY-----");
        Some(ServerTlsFiles { cert_pem: cert_pem?, key_pem: Secret::new(key_pem?) })
    }
}

fn check_address(text: &str, path: &str, diagnostics: &mut Diagnostics) -> Option<SocketAddr> {
    let address = text.parse().ok();
    if address.is_none() {
        let quoted = diagnostics.quote(path, text);
        let message = format!("expected an IP address and a port, got {quoted}");
        diagnostics.add(path, message, "as in `127.0.0.1:8080`, `0.0.0.0:8080` or `[::]:8080`");
    }
    address
}

fn check_listeners(
    listen: SocketAddr,
    admin: SocketAddr,
    path: &str,
    diagnostics: &mut Diagnostics,
) {
    let any = listen.ip().is_unspecified() || admin.ip().is_unspecified();
    // Port 0 selects a free port, so two of them never conflict.
    if listen.port() != 0 && listen.port() == admin.port() && (any || listen.ip() == admin.ip()) {
        let message = "expected another address or port than that of `listen`";
        diagnostics.add(&member_path(path, "admin_listen"), message, "as in `127.0.0.1:8081`");
    }
}

fn check_custom_hosts(list: &[String], path: &str, diagnostics: &mut Diagnostics) -> Vec<String> {
    let path = member_path(path, "custom_hosts");
    for (index, text) in list.iter().enumerate() {
        let url = BaseUrl::parse(&format!("https://{text}"));
        if text.ends_with('/') || url.is_err() || url.is_ok_and(|url| !url.path.is_empty()) {
            let path = format!("{path}[{index}]");
            let message =
                format!("expected `host` or `host:port`, got {}", diagnostics.quote(&path, text));
            diagnostics.add(&path, message, "without scheme and path; patterns are not supported");
        }
    }
    list.iter().map(|text| text.to_ascii_lowercase()).collect()
}

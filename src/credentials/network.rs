//! The calls to token services, with a blocking client.
//!
//! No proxy, no redirects, a timeout on every step: a metadata service is on the local network, and
//! a secret may go to the configured address only.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ureq::http::Request;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::base::{open_to_read, unix_now};
use crate::providers::{CredentialError, TokenRequest, TokenResponse, TokenTransport};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Timeout of a whole call.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest response; tokens have a few KB.
const ANSWER_BYTES_MAX: u64 = 256 * 1024;

/// Longest token file.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// The network and files of this machine.
pub(super) struct Network {
    agent: ureq::Agent,
}

impl Network {
    /// Reads the system's root certificates.
    pub(super) fn new() -> Self {
        let roots = rustls_native_certs::load_native_certs();
        let roots: Vec<_> = roots
            .certs
            .iter()
            .map(|root| Certificate::from_der(root.as_ref()).to_owned())
            .collect();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(provider)
            .root_certs(RootCerts::new_with_certs(&roots))
            .build();
        let agent = ureq::Agent::config_builder()
            .tls_config(tls)
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .user_agent(concat!("ringgate/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_global(Some(CALL_TIMEOUT))
            .build()
            .new_agent();
        Self { agent }
    }
}

impl TokenTransport for Network {
    fn now(&self) -> Duration {
        unix_now()
    }

    fn call(&mut self, request: &TokenRequest) -> Result<TokenResponse, CredentialError> {
        let unreachable = |reason: &str| CredentialError::Unreachable {
            service: request.service,
            reason: reason.to_owned(),
        };
        let mut builder = Request::builder().method(request.method).uri(&request.url);
        for (name, value) in &request.fields {
            builder = builder.header(*name, value.reveal());
        }
        let failed = |error: ureq::Error| unreachable(reason(&error));
        let invalid = |_| unreachable("its address is not valid");
        let answer = if request.method == "GET" {
            let request = builder.body(()).map_err(invalid)?;
            self.agent.run(request)
        } else {
            let request = builder.body(request.body.reveal().as_bytes()).map_err(invalid)?;
            self.agent.run(request)
        };
        let mut answer = answer.map_err(failed)?;
        let status = answer.status().as_u16();
        let mut body = Vec::new();
        let reader = answer.body_mut().as_reader();
        let read = reader.take(ANSWER_BYTES_MAX + 1).read_to_end(&mut body);
        match read {
            Ok(length) if length as u64 <= ANSWER_BYTES_MAX => Ok(TokenResponse { status, body }),
            Ok(_) => Err(unreachable("its answer is too long")),
            Err(_) => Err(unreachable("its answer broke off")),
        }
    }

    fn read_file(&mut self, path: &str) -> Result<String, CredentialError> {
        let failed = |reason: String| CredentialError::File { path: path.to_owned(), reason };
        let file = open_to_read(Path::new(path)).map_err(|error| failed(error.to_string()))?;
        let mut text = String::new();
        let read = file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text);
        match read.map_err(|error| failed(error.to_string()))? as u64 {
            length if length > FILE_BYTES_MAX => Err(failed("it is too long".to_owned())),
            _ => Ok(text),
        }
    }
}

/// The error message, without the address.
fn reason(error: &ureq::Error) -> &'static str {
    match error {
        ureq::Error::Timeout(_) => "no answer in time",
        ureq::Error::HostNotFound => "its name has no address",
        ureq::Error::Io(_) | ureq::Error::ConnectionFailed => "connection refused or lost",
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) => "TLS handshake failed",
        _ => "its answer is not valid",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Secret;
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;

    /// Serves one connection; returns the head and body of the request.
    fn serve(answer: &'static str) -> (String, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut reader = BufReader::new(stream.try_clone().expect("a clone"));
            let mut text = String::new();
            while !text.ends_with("\r\n\r\n") {
                reader.read_line(&mut text).expect("a line");
            }
            let length = text.to_ascii_lowercase();
            let length = length.lines().find_map(|it| it.strip_prefix("content-length: "));
            let mut body = vec![0; length.map_or(0, |it| it.parse().expect("a number"))];
            reader.read_exact(&mut body).expect("a body");
            stream.write_all(answer.as_bytes()).expect("sent");
            text + &String::from_utf8_lossy(&body)
        });
        (url, thread)
    }

    fn request(method: &'static str, url: String, body: &str) -> TokenRequest {
        let fields = vec![("metadata", Secret::new("true".to_owned()))];
        TokenRequest { service: "S", method, url, fields, body: Secret::new(body.to_owned()) }
    }

    #[test]
    fn token_calls_follow_no_redirects() {
        for (method, body, answer, status) in [
            ("GET", "", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", 200),
            ("PUT", "", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", 200),
            ("POST", "a=b", "HTTP/1.1 403 No\r\ncontent-length: 2\r\n\r\nno", 403),
            (
                "POST",
                "a=b",
                "HTTP/1.1 302 F\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
                302,
            ),
        ] {
            let (url, server) = serve(answer);
            let request = request(method, format!("{url}/p?q=r"), body);
            let got = Network::new().call(&request).expect("an answer");
            assert_eq!(got.status, status);
            let text = server.join().expect("no panic").to_ascii_lowercase();
            assert!(
                text.starts_with(&format!("{} /p?q=r http/1.1\r\n", method.to_ascii_lowercase())),
                "{text}"
            );
            assert!(text.contains("\r\nmetadata: true\r\n") && text.ends_with(body), "{text}");
        }
    }

    #[test]
    fn network_errors_hide_addresses() {
        let (url, _server) = serve("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok");
        for (url, reason) in [(url, "broke off"), ("http://127.0.0.1:1/".to_owned(), "refused")] {
            let error = Network::new().call(&request("GET", url, "")).err().expect("an error");
            let text = error.to_string();
            assert!(text.contains(reason) && !text.contains("127.0.0.1"), "{text}");
        }
        let absent = Network::new().read_file("/absent/token");
        assert!(matches!(absent, Err(CredentialError::File { .. })));
    }
}

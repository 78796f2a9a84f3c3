//! Test support for credentials: a scripted transport, a request, a generated key.

use std::collections::VecDeque;
use std::sync::LazyLock;
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{
    CredentialError, Payload, TokenRequest, TokenResponse, TokenTransport, UnsignedRequest,
};

/// An RSA key, generated once per run.
pub(in crate::providers) fn rsa_pem() -> &'static str {
    static PEM: LazyLock<String> = LazyLock::new(|| {
        let pair = KeyPair::generate(KeySize::Rsa2048).expect("randomness");
        let der: Pkcs8V1Der<'_> = pair.as_der().expect("an encoding");
        let text = STANDARD.encode(der.as_ref());
        format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")
    });
    &PEM
}

/// A request without a body.
pub(super) fn call(path: &str, now: Duration) -> UnsignedRequest<'_> {
    UnsignedRequest {
        method: "GET",
        authority: "example.amazonaws.com",
        path,
        query: None,
        content_type: None,
        body: Payload::Whole(b""),
        now,
    }
}

/// Returns the responses of a script and keeps the requests.
pub(super) struct ScriptedTransport {
    pub now: Duration,
    pub answers: VecDeque<(u16, String)>,
    pub requests: Vec<TokenRequest>,
}

impl ScriptedTransport {
    pub(super) fn new(now: u64, answers: &[(u16, &str)]) -> Self {
        let answers = answers.iter().map(|(status, body)| (*status, (*body).to_owned())).collect();
        Self { now: Duration::from_secs(now), answers, requests: Vec::new() }
    }

    /// `POST https://… fields body` of each request so far.
    pub(super) fn lines(&self) -> Vec<String> {
        let line = |request: &TokenRequest| {
            let fields = request.fields.iter();
            let fields: Vec<String> =
                fields.map(|(name, value)| format!("{name}={}", value.reveal())).collect();
            let text = format!(
                "{} {} {} {}",
                request.method,
                request.url,
                fields.join(" "),
                request.body.reveal()
            );
            text.trim_end().to_owned()
        };
        self.requests.iter().map(line).collect()
    }
}

impl TokenTransport for ScriptedTransport {
    fn now(&self) -> Duration {
        self.now
    }

    fn call(&mut self, request: &TokenRequest) -> Result<TokenResponse, CredentialError> {
        self.requests.push(request.clone());
        let (status, body) = self.answers.pop_front().ok_or_else(|| {
            let reason = "no more answers in the script".to_owned();
            CredentialError::Unreachable { service: request.service, reason }
        })?;
        Ok(TokenResponse { status, body: body.into_bytes() })
    }

    fn read_file(&mut self, path: &str) -> Result<String, CredentialError> {
        match path {
            "/run/web-identity" => Ok("test-web-token\n".to_owned()),
            _ => Err(CredentialError::File { path: path.to_owned(), reason: "absent".to_owned() }),
        }
    }
}

//! A configured provider: its address, its header fields, and its features.

use std::time::Duration;

use super::address::Address;
use super::preset::{Capability, preset};
use super::{BaseUrl, Credential, ProviderField};
use crate::llm::{Dialect, ModelRule};

/// Where a provider's responses come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The built-in echo: no network.
    Echo,
    /// An HTTP server.
    Http(BaseUrl),
}

/// Timeouts of one attempt, in wall time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Name lookup, TCP and TLS together.
    pub connect: Duration,
    /// From the sent request to the first byte of the response.
    pub first_byte: Duration,
    /// Between two reads of the response.
    pub idle: Duration,
    /// The whole attempt.
    pub total: Duration,
    /// Without traffic in either direction on a realtime session, to which `idle` and `total` do
    /// not apply.
    pub realtime_idle: Duration,
}

/// TLS to one provider, in addition to the system's roots.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TlsFiles {
    /// PEM text of further root certificates.
    pub ca_pem: Option<String>,
    /// PEM text of a client certificate chain and its key.
    pub client_pem: Option<(String, String)>,
}

/// An active health check: a `GET` that must return a 2xx status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// Path appended to the base URL.
    pub path: String,
    /// Interval between two checks.
    pub interval: Duration,
}

/// A checked provider, immutable for the lifetime of the settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Provider {
    /// The operator's name: `[a-z0-9._-]`, safe in headers and labels.
    pub name: String,
    /// Slug of the preset, if any.
    pub preset: Option<&'static str>,
    /// API format; if it has several, the format for requests without a model. See
    /// [`Provider::dialect_for`].
    pub dialect: Dialect,
    /// True if the format depends on the model.
    pub(super) has_dialects: bool,
    /// Where requests are sent.
    pub origin: Origin,
    /// How paths are composed.
    pub(super) address: Address,
    /// Credential and fixed headers, sent with every request.
    pub fields: Vec<ProviderField>,
    /// Credential that is computed for each request.
    pub credential: Credential,
    /// Models that it serves, as configured; empty: any.
    pub models: Vec<String>,
    /// Timeouts.
    pub timeouts: Timeouts,
    /// Active health check, if configured.
    pub check: Option<HealthCheck>,
    /// Extra TLS material.
    pub tls: TlsFiles,
    /// Rules for its models, in addition to the built-in table.
    pub model_rules: Vec<ModelRule>,
}

impl Provider {
    /// The dialect used for a client of `dialect` that requests `model`: the client's own if the
    /// provider supports it.
    #[must_use]
    pub fn dialect_toward(&self, dialect: Dialect, model: Option<&str>) -> Dialect {
        let own = self.dialect_for(model);
        let preset = self.preset.and_then(preset).filter(|preset| preset.dialect == own);
        let supports = preset.is_some_and(|preset| preset.also.contains(&dialect));
        if supports { dialect } else { own }
    }

    /// True if the provider supports that dialect for `model`.
    #[must_use]
    pub fn supports_dialect(&self, dialect: Dialect, model: Option<&str>) -> bool {
        self.dialect_toward(dialect, model) == dialect
    }

    /// True for the vendor that defines the dialect, and so supports its newest members.
    #[must_use]
    pub fn is_original(&self) -> bool {
        self.preset.and_then(preset).is_some_and(|preset| preset.original)
    }

    /// True for an endpoint that the vendor is known not to offer.
    #[must_use]
    pub fn lacks(&self, capability: Capability) -> bool {
        self.preset.and_then(preset).is_some_and(|preset| preset.gaps.contains(&capability))
    }
}

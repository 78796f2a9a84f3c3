//! One provider as it is used: where it is, what its calls carry, and what it can do.

use std::time::Duration;

use super::address::Address;
use super::preset::{Capability, preset};
use super::{BaseUrl, Credential, ProviderField};
use crate::llm::{Dialect, ModelRule};

/// Where a provider's answers come from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// The built-in echo: no network.
    Echo,
    /// An HTTP server.
    Http(BaseUrl),
}

/// The limits of one call. All are wall time of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Name look-up, TCP and TLS together.
    pub connect: Duration,
    /// From the sent request to the first byte of the answer.
    pub first_byte: Duration,
    /// Between two pieces of an answer.
    pub idle: Duration,
    /// The whole call.
    pub total: Duration,
    /// Without a byte either way on a realtime session, for which `idle` and `total` do not count.
    pub realtime_idle: Duration,
}

/// TLS towards one provider, beyond the system's roots.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TlsFiles {
    /// PEM text of further roots.
    pub ca_pem: Option<String>,
    /// PEM text of a client certificate chain and its key.
    pub client_pem: Option<(String, String)>,
}

/// An active check: a `GET` that has to be answered with success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// Behind the base URL.
    pub path: String,
    /// From one to the next.
    pub interval: Duration,
}

/// A checked provider, immutable while a snapshot lives.
#[derive(Clone, Debug)]
pub struct Provider {
    /// The operator's name for it: `[a-z0-9._-]`, safe in headers and labels.
    pub name: String,
    /// Slug of its preset, if it has one.
    pub preset: Option<&'static str>,
    /// Format it speaks; where it has several, that of requests which name no model. See
    /// [`Provider::dialect_for`].
    pub dialect: Dialect,
    /// True where the model decides which one is spoken.
    pub(super) has_dialects: bool,
    /// Where it is.
    pub origin: Origin,
    /// How its paths are made.
    pub(super) address: Address,
    /// Credential and fixed headers, sent with every call.
    pub fields: Vec<ProviderField>,
    /// What a call carries besides.
    pub credential: Credential,
    /// Model names it serves, as written; empty: any.
    pub models: Vec<String>,
    /// Limits of a call.
    pub timeouts: Timeouts,
    /// How it is looked whether it is well, besides the calls of clients.
    pub check: Option<HealthCheck>,
    /// Extra TLS material.
    pub tls: TlsFiles,
    /// What its models accept, beyond the built-in table.
    pub model_rules: Vec<ModelRule>,
}

impl Provider {
    /// The dialect in which a client of `dialect` is answered when it asks for `model`: its own where
    /// the provider speaks that too.
    #[must_use]
    pub fn dialect_toward(&self, dialect: Dialect, model: Option<&str>) -> Dialect {
        let own = self.dialect_for(model);
        let preset = self.preset.and_then(preset).filter(|preset| preset.dialect == own);
        let speaks = preset.is_some_and(|preset| preset.also.contains(&dialect));
        if speaks { dialect } else { own }
    }

    /// True if it speaks that dialect too, when it is asked for `model`.
    #[must_use]
    pub fn supports_dialect(&self, dialect: Dialect, model: Option<&str>) -> bool {
        self.dialect_toward(dialect, model) == dialect
    }

    /// True for the vendor whose dialect it is, which knows its newest members.
    #[must_use]
    pub fn is_original(&self) -> bool {
        self.preset.and_then(preset).is_some_and(|preset| preset.original)
    }

    /// True for an endpoint that its vendor is known not to have.
    #[must_use]
    pub fn lacks(&self, capability: Capability) -> bool {
        self.preset.and_then(preset).is_some_and(|preset| preset.gaps.contains(&capability))
    }
}

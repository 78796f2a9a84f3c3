//! Providers: accounts at vendors, the built-in catalogue of presets, and the `echo` provider.
//!
//! Only this part knows a vendor's base URL and how its credential travels. It does no I/O: it
//! says which call to make, and the gateway makes it. Absent: retries, pools, health; those are
//! the gateway's.

mod account;
mod address;
mod base_url;
mod credential;
mod echo;
mod preset;
mod secrets;
mod settings;

use std::time::Duration;

pub use account::AccountSettings;
pub use address::PathParts;
pub use base_url::{BaseUrl, BaseUrlError, Host};
pub use credential::{
    Credential, CredentialError, Payload, Token, TokenRequest, TokenResponse, TokenSource,
    TokenTransport, TokenUpdate, UnsignedRequest,
};
pub use echo::answer as echo_answer;
pub use preset::{Auth, Capability, PRESETS, Preset, preset};
pub use settings::{ConfigSources, ProviderSettings};

use address::Address;

use crate::base::Secret;
use crate::llm::{Dialect, ModelRule};

/// Where a provider's answers come from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// The built-in echo: no network.
    Echo,
    /// An HTTP server.
    Http(BaseUrl),
}

/// One field of the request head that carries the credential or a fixed vendor header.
#[derive(Clone, Debug)]
pub struct ProviderField {
    /// Lower-case name.
    pub name: String,
    /// Whole value, credential included; checked to be a legal field value.
    pub value: Secret,
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
    has_dialects: bool,
    /// Where it is.
    pub origin: Origin,
    /// How its paths are made.
    address: Address,
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

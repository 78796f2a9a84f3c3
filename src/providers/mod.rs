//! Providers: accounts at vendors, the built-in catalogue of presets, and the `echo` provider.
//!
//! Only this part knows vendors' base URLs and credential fields. It does no I/O: it describes the
//! request, and the gateway sends it. Absent: retries, pools and health, which are the gateway's.

mod account;
mod address;
mod base_url;
mod config_sources;
mod credential;
mod echo;
mod model_resolution;
mod path;
mod preset;
mod provider;
mod provider_field;
mod provider_set;
mod secrets;
mod settings;

pub use account::AccountSettings;
pub use base_url::{BaseUrl, BaseUrlError, Host};
pub use config_sources::ConfigSources;
pub use credential::{
    Credential, CredentialError, Payload, Token, TokenRequest, TokenResponse, TokenSource,
    TokenTransport, TokenUpdate, UnsignedRequest,
};
pub use echo::answer as echo_answer;
pub(crate) use model_resolution::{
    ModelResolution, only_provider, providers_with_model, resolve_model, sole,
};
pub use path::PathParts;
pub use preset::{Auth, Capability, PRESETS, Preset, preset};
pub use provider::{HealthCheck, Origin, Provider, Timeouts, TlsFiles};
pub use provider_field::ProviderField;
pub use provider_set::ProviderSet;
pub use settings::ProviderSettings;

use crate::llm::Dialect;

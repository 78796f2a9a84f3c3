//! Virtual keys: the secrets we issue to clients, and what each may do.
//!
//! A secret is known here only by its keyed hash. Absent: budgets and rate limits (a later part),
//! and any way from a hash back to a secret.

mod endpoints;
mod hash;
mod key_set;
mod settings;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use endpoints::Endpoints;
pub use hash::{HashParseError, KeyHash};
pub use key_set::{KeyChange, KeySet};
pub use settings::KeySettings;

use crate::base::Patterns;

/// One virtual key, as checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualKey {
    /// The operator's name for it; safe in labels and logs. Shared with the events of its requests.
    pub name: Arc<str>,
    /// Hash of its secret.
    pub hash: KeyHash,
    /// Models it may ask for, as the client names them without a provider prefix.
    pub models: Patterns,
    /// Routes it may name.
    pub routes: Patterns,
    /// Paths it may call.
    pub endpoints: Endpoints,
    /// Route used when the request names none.
    pub route: Option<String>,
    /// Labels that every event of this key carries; none where there are none.
    pub metadata: Option<Arc<BTreeMap<String, String>>>,
}

impl VirtualKey {
    /// True if a list says which models or routes it may use, so that what belongs to the whole account
    /// at a provider is not its own.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        !(self.models.allow_all() && self.routes.allow_all())
    }
}

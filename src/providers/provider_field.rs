//! A field that every request to a provider carries.

use crate::base::Secret;

/// One field of the request head that carries the credential or a fixed vendor header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderField {
    /// Lower-case name.
    pub name: String,
    /// Whole value, credential included; checked to be a legal field value.
    pub value: Secret,
}

//! Secrets that cannot be printed by accident.

use std::fmt;

/// A credential. It has no `Display`, and its `Debug` redacts it; [`Secret::reveal`] is the only
/// access, so a search for that word finds every use.
#[derive(Clone, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps the text.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself; for code that sends or hashes it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// True for an empty secret, which no setting accepts.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_the_text() {
        assert!(!format!("{:?}", Secret::new("abc123".to_owned())).contains("abc"));
    }
}

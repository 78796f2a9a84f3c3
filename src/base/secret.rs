//! Secrets that cannot be printed by accident.

use std::fmt;

/// A credential. It has no `Display`, and its `Debug` hides it; the one way to the text is
/// [`Secret::reveal`], so that a search for that word finds every use.
#[derive(Clone, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes the text over.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself, for the one place that sends or hashes it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// True for a secret without characters, which no setting may have.
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

//! What a translation lost, for the client and the event of its request.

/// Maximum number of warnings that are kept.
const WARNINGS_MAX: usize = 16;

/// Names of members and reasons only, never values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Warnings(Vec<String>);

impl Warnings {
    /// `what` was dropped, for the reason `why`.
    pub fn dropped(&mut self, what: &str, why: &str) {
        self.add(format!("dropped {}: {why}", printable(what)));
    }

    /// `what` was translated differently, as `how` describes.
    pub fn changed(&mut self, what: &str, how: &str) {
        self.add(format!("changed {}: {how}", printable(what)));
    }

    fn add(&mut self, text: String) {
        if self.0.len() < WARNINGS_MAX && !self.0.contains(&text) {
            self.0.push(text);
        }
    }

    /// True if nothing was lost.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The warnings in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// The value of the response header: visible ASCII and spaces, warnings separated by `; `.
    #[must_use]
    pub fn header(&self) -> String {
        self.0.join("; ")
    }
}

/// At most 64 characters of `name`, which may come from the client, safe in a header.
fn printable(name: &str) -> String {
    let is_safe = |character: char| character.is_ascii_graphic() || character == ' ';
    let safe = |character: char| if is_safe(character) { character } else { '?' };
    name.chars().take(64).map(safe).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warning_header_is_bounded_and_ascii() {
        let mut warnings = Warnings::default();
        assert!(warnings.is_empty());
        warnings.dropped("logit_bias", "gemini has no such setting");
        warnings.dropped("logit_bias", "gemini has no such setting");
        warnings.changed("a\r\nb: é", "as it is");
        assert_eq!(
            warnings.header(),
            "dropped logit_bias: gemini has no such setting; changed a??b: ?: as it is"
        );
        for index in 0..100 {
            warnings.dropped(&"x".repeat(index), "w");
        }
        assert_eq!(warnings.iter().count(), WARNINGS_MAX);
    }
}

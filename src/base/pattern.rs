//! Name patterns for allow-lists: `*` matches any sequence of characters, every other character
//! itself.

/// One pattern, such as `gpt-4o*`. Case-sensitive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// Compiles a pattern as written by the operator.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// True if the pattern matches the whole of `name`. Linear in both lengths for one star,
    /// otherwise at most their product: greedy matching with one backtracking point.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let (pattern, name) = (self.0.as_bytes(), name.as_bytes());
        let (mut at, mut position) = (0, 0);
        let mut retry: Option<(usize, usize)> = None;
        while position < name.len() {
            match pattern.get(at) {
                Some(b'*') => {
                    retry = Some((at, position));
                    at += 1;
                }
                Some(byte) if name.get(position) == Some(byte) => {
                    at += 1;
                    position += 1;
                }
                _ => {
                    let Some((star, taken)) = retry else { return false };
                    retry = Some((star, taken + 1));
                    at = star + 1;
                    position = taken + 1;
                }
            }
        }
        pattern.iter().skip(at).all(|byte| *byte == b'*')
    }
}

/// An optional allow-list: absent means everything is allowed, an empty list allows nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patterns(Option<Vec<Pattern>>);

impl Patterns {
    /// The list as configured; `None` allows everything.
    #[must_use]
    pub fn new(list: Option<&[String]>) -> Self {
        Self(list.map(|items| items.iter().map(|item| Pattern::new(item)).collect()))
    }

    /// True if no list was given.
    #[must_use]
    pub fn allow_all(&self) -> bool {
        self.0.is_none()
    }

    /// The names in the list that have no wildcard.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let texts = self.0.iter().flatten().map(|pattern| pattern.0.as_str());
        texts.filter(|text| !text.contains('*'))
    }

    /// True if no list was given or one of its patterns matches.
    #[must_use]
    pub fn allow(&self, name: &str) -> bool {
        self.0.as_ref().is_none_or(|list| list.iter().any(|pattern| pattern.matches(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_with_stars() {
        for (pattern, name, expected) in [
            ("gpt-4o*", "gpt-4o-mini", true),
            ("gpt-4o*", "gpt-4o", true),
            ("gpt-4o", "gpt-4o-mini", false),
            ("*", "", true),
            ("", "", true),
            ("", "x", false),
            ("*-mini", "gpt-4o-mini", true),
            ("*-mini", "gpt-4o-minis", false),
            ("a*b*c", "a__b__b_c", true),
            ("a*b*c", "a__c__b", false),
            ("claude-*", "Claude-3", false),
            ("**x**", "x", true),
        ] {
            assert_eq!(Pattern::new(pattern).matches(name), expected, "{pattern} on {name}");
        }
    }

    #[test]
    fn absent_list_allows_all_and_empty_none() {
        assert!(Patterns::new(None).allow("anything") && Patterns::new(None).allow_all());
        assert!(!Patterns::new(Some(&[])).allow("anything"));
        assert!(!Patterns::new(Some(&["*".to_owned()])).allow_all());
        let some = ["gpt-4o".to_owned(), "claude-*".to_owned()];
        assert_eq!(Patterns::new(Some(&some)).names().collect::<Vec<_>>(), ["gpt-4o"]);
        assert_eq!(Patterns::new(None).names().count(), 0);
    }

    #[test]
    fn many_stars_match_in_bounded_time() {
        let pattern = Pattern::new(&"*a".repeat(50));
        assert!(!pattern.matches(&"a".repeat(49)));
        assert!(!pattern.matches(&format!("{}b", "a".repeat(5_000))));
    }
}

//! Diagnostics of settings and configs: each with its path, the rule and a hint.
//!
//! At most one diagnostic per path (the first names the cause, later ones follow from it), and a
//! bounded number in total. Values of secrets and of interpolated settings are never quoted.

use std::collections::HashSet;
use std::fmt;

/// Diagnostics kept for one settings file; more than a person reads at once.
const FILE_DIAGNOSTICS_MAX: usize = 200;

/// Longest name or value that a message quotes, in characters.
const QUOTE_CHARS_MAX: usize = 64;

/// One problem to correct.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Path, such as `routes.support.targets[0].provider`.
    pub path: String,
    /// What was expected and what was found. Contains no secret.
    pub message: String,
    /// What to write instead; may be empty.
    pub hint: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(formatter, "{}: ", self.path)?;
        }
        formatter.write_str(&self.message)?;
        if self.hint.is_empty() { Ok(()) } else { write!(formatter, " ({})", self.hint) }
    }
}

/// The diagnostics so far, in the order of finding.
#[derive(Debug)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
    max: usize,
    hidden: HashSet<String>,
}

impl Default for Diagnostics {
    fn default() -> Self {
        Self::bounded(FILE_DIAGNOSTICS_MAX)
    }
}

impl Diagnostics {
    /// An empty list that keeps the first `max` problems.
    #[must_use]
    pub fn bounded(max: usize) -> Self {
        Self { list: Vec::new(), max, hidden: HashSet::new() }
    }

    /// Adds a diagnostic, unless its path has one already or the list is full.
    pub fn add(&mut self, path: &str, message: impl Into<String>, hint: impl Into<String>) {
        if !self.is_full() && !self.has(path) {
            let (path, message, hint) = (path.to_owned(), message.into(), hint.into());
            self.list.push(Diagnostic { path, message, hint });
        }
    }

    /// Marks a path whose value must not be quoted, since it came from outside the file.
    pub fn redact(&mut self, path: &str) {
        self.hidden.insert(path.to_owned());
    }

    /// The value for a message, or a placeholder if it may be a secret.
    #[must_use]
    pub fn quote(&self, path: &str, value: &str) -> String {
        const SECRET_WORDS: [&str; 6] = ["key", "secret", "token", "password", "hash", "headers"];
        let name = path.rsplit('.').next().unwrap_or(path);
        if self.hidden.contains(path) || SECRET_WORDS.iter().any(|word| name.contains(word)) {
            return "a value that is not shown".to_owned();
        }
        format!("`{}`", shorten(value))
    }

    /// True if the path has a diagnostic, so that consequences of it need not be reported.
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        self.list.iter().any(|diagnostic| diagnostic.path == path)
    }

    /// True once no further diagnostic is kept, so that the search may stop.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.list.len() >= self.max
    }

    /// True if there is no diagnostic.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Number of diagnostics.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// The diagnostics, in the order of finding.
    #[must_use]
    pub fn into_vec(self) -> Vec<Diagnostic> {
        self.list
    }
}

/// The path of a member: `providers` and `openai` give `providers.openai`. A name that TOML would
/// quote is quoted here too; control characters are escaped.
#[must_use]
pub fn member_path(path: &str, name: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    let name = if !name.is_empty() && name.len() <= QUOTE_CHARS_MAX && name.bytes().all(bare) {
        name.to_owned()
    } else {
        format!("\"{}\"", shorten(name))
    };
    if path.is_empty() { name } else { format!("{path}.{name}") }
}

/// A hint with the candidate closest to `name`; empty if none is close.
#[must_use]
pub fn did_you_mean<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    // The edit distance costs the product of both lengths, and `name` may come from a client.
    if name.len() > QUOTE_CHARS_MAX {
        return String::new();
    }
    let allowed = 1 + name.chars().count() / 4;
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| format!("did you mean `{candidate}`?"))
        .unwrap_or_default()
}

fn shorten(text: &str) -> String {
    let mut short: String =
        text.chars().take(QUOTE_CHARS_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(QUOTE_CHARS_MAX).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_problem_of_a_path_wins() {
        let mut diagnostics = Diagnostics::bounded(2);
        diagnostics.add("a", "first", "");
        diagnostics.add("a", "second", "");
        diagnostics.add("b", "third", "do that");
        diagnostics.add("c", "one too many", "");
        let shown: Vec<String> = diagnostics.into_vec().iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["a: first", "b: third (do that)"]);
    }

    #[test]
    fn secrets_are_not_quoted() {
        let mut diagnostics = Diagnostics::default();
        diagnostics.redact("server.listen");
        assert_eq!(diagnostics.quote("server.admin_listen", "x"), "`x`");
        for path in ["server.listen", "providers.a.api_key", "keys.a.secret", "server.admin_token"]
        {
            assert!(!diagnostics.quote(path, "xyzzy").contains("xyzzy"), "{path}");
        }
        assert!(diagnostics.quote("a", &"x".repeat(1_000)).len() < 100);
    }

    #[test]
    fn problems_have_paths_and_hints() {
        assert_eq!(member_path("", "server"), "server");
        assert_eq!(member_path("keys", "a-b_1"), "keys.a-b_1");
        assert_eq!(member_path("keys", "a\nb"), "keys.\"a\\nb\"");
        assert_eq!(did_you_mean("lisen", ["listen", "shards"]), "did you mean `listen`?");
        assert_eq!(did_you_mean("weather", ["listen", "shards"]), "");
        assert_eq!(did_you_mean(&"x".repeat(100_000), ["listen"]), "");
    }
}

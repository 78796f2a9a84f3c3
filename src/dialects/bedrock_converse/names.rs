//! Call ids and document names, which the service restricts. Others are mapped deterministically, so
//! that a conversation that is sent again hits the cache.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::dialects::digest::digest;
use crate::llm::ModelFields;

/// Maximum length of a call id, in bytes (API reference, `ToolUseBlock`).
const ID_BYTES_MAX: usize = 64;

/// Maximum length of a document name, in characters (API reference, `DocumentBlock`).
const NAME_CHARACTERS_MAX: usize = 200;

/// The call id as a model with those `fields` accepts it: unchanged if possible, else its allowed
/// letters and a hash. Different ids stay different.
pub(super) fn tool_id(id: &str, fields: Option<ModelFields>) -> Cow<'_, str> {
    let is_taken = |character: char| match fields {
        // Anthropic's own rule is stricter than the service's.
        Some(ModelFields::Anthropic) | None => {
            character.is_ascii_alphanumeric() || matches!(character, '_' | '-')
        }
        _ => character.is_ascii_alphanumeric() || matches!(character, '_' | '-' | '.' | ':'),
    };
    if (1..=ID_BYTES_MAX).contains(&id.len()) && id.chars().all(is_taken) {
        return id.into();
    }
    let kept = id.chars().map(|character| if is_taken(character) { character } else { '_' });
    kept.take(47).chain(['-']).chain(digest(id, 16).chars()).collect()
}

/// The document names of one request, which must be distinct.
#[derive(Debug, Default)]
pub(super) struct DocumentNames(HashSet<String>);

impl DocumentNames {
    /// A valid name that no other document has.
    pub(super) fn next(&mut self, name: Option<&str>) -> String {
        let plain = document_name(name.unwrap_or_default());
        let mut unique = plain.clone();
        let mut count = 1;
        while !self.0.insert(unique.clone()) {
            count += 1;
            unique = format!("{plain} ({count})");
        }
        unique
    }
}

/// Letters, digits, single spaces, hyphens, parentheses and square brackets are valid; anything else
/// becomes a hyphen.
fn document_name(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for character in name.trim().chars() {
        match character {
            _ if character.is_whitespace() => {
                if !out.ends_with(' ') {
                    out.push(' ');
                }
            }
            '-' | '(' | ')' | '[' | ']' => out.push(character),
            _ if character.is_ascii_alphanumeric() => out.push(character),
            _ => out.push('-'),
        }
    }
    // Leaves room for the suffix that makes it unique.
    out.truncate(NAME_CHARACTERS_MAX - 10);
    match out.trim_end() {
        "" => "document".to_owned(),
        rest => rest.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_ids_are_unchanged() {
        for id in ["toolu_01A-b", &"x".repeat(64), "1"] {
            assert_eq!(tool_id(id, Some(ModelFields::Anthropic)), id);
        }
        assert_eq!(tool_id("functions.f:0", Some(ModelFields::Other)), "functions.f:0");
    }

    #[test]
    fn invalid_ids_are_mapped_without_collision() {
        let ids = ["functions.f:0", "functions.f:1", "functions_f:0", "", "é", &"x".repeat(65)];
        for fields in [Some(ModelFields::Anthropic), Some(ModelFields::Other), None] {
            let mapped: HashSet<String> =
                ids.iter().map(|id| tool_id(id, fields).into_owned()).collect();
            assert_eq!(mapped.len(), ids.len(), "{mapped:?}");
            for id in &mapped {
                assert_eq!(tool_id(id, fields), *id, "mapped twice");
            }
        }
        let known = tool_id("functions.f:0", None).into_owned();
        assert!(known.starts_with("functions_f_0-") && known.len() == 30, "{known}");
    }

    #[test]
    fn document_names_are_valid_and_unique() {
        let mut names = DocumentNames::default();
        for (name, expected) in [
            (Some("report.pdf"), "report-pdf"),
            (Some("report-pdf"), "report-pdf (2)"),
            (Some("report/pdf"), "report-pdf (3)"),
            (Some("  Q1 \t\n [final] (é).md "), "Q1 [final] (-)-md"),
            (None, "document"),
            (Some(" "), "document (2)"),
        ] {
            assert_eq!(names.next(name), expected);
        }
        assert_eq!(names.next(Some(&"n".repeat(300))).len(), 190);
    }
}

//! Names that the service takes in some letters only: ids of calls and names of documents. What does
//! not fit is mapped, the same each time, so that a conversation that is sent again hits its cache.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::dialects::digest::digest;
use crate::llm::ModelFields;

/// Longest id of a call, in bytes (API reference, `ToolUseBlock`).
const ID_BYTES_MAX: usize = 64;

/// Longest name of a document, in characters (API reference, `DocumentBlock`).
const NAME_CHARACTERS_MAX: usize = 200;

/// The id of a call as a model with those `fields` takes it: as it is if it can be, else its own letters
/// and a hash of it. Two ids never meet.
pub(super) fn tool_id(id: &str, fields: Option<ModelFields>) -> Cow<'_, str> {
    let is_taken = |character: char| match fields {
        // Anthropic's own rule, which is narrower than the service's.
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

/// The names of the documents of one request, which must differ.
#[derive(Debug, Default)]
pub(super) struct DocumentNames(HashSet<String>);

impl DocumentNames {
    /// A name that the service takes and that no other document has.
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

/// Letters, digits, single spaces, hyphens, parentheses and square brackets are taken; all else
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
    // Room for what makes it unique.
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

//! The purpose of an embedding, by each vendor's names.
//!
//! If a vendor has no name for a purpose, the nearest one that its reference recommends is sent, or
//! none.

use crate::dialects::warnings::Warnings;
use crate::llm::{Malformed, Purpose};

/// The names of one vendor.
pub(super) type Names = [(&'static str, Purpose)];

/// Cohere's. `image`, which accompanies images, is not a purpose.
pub(super) const COHERE: &Names = &[
    ("search_document", Purpose::Document),
    ("search_query", Purpose::Query),
    ("classification", Purpose::Classification),
    ("clustering", Purpose::Clustering),
];

/// Google's.
pub(super) const GOOGLE: &Names = &[
    ("RETRIEVAL_DOCUMENT", Purpose::Document),
    ("RETRIEVAL_QUERY", Purpose::Query),
    ("CLASSIFICATION", Purpose::Classification),
    ("CLUSTERING", Purpose::Clustering),
    ("SEMANTIC_SIMILARITY", Purpose::Similarity),
    ("QUESTION_ANSWERING", Purpose::Question),
    ("FACT_VERIFICATION", Purpose::Fact),
    ("CODE_RETRIEVAL_QUERY", Purpose::CodeQuery),
];

/// Voyage's.
pub(super) const VOYAGE: &Names = &[("document", Purpose::Document), ("query", Purpose::Query)];

/// NVIDIA's, which other servers with OpenAI's format use too.
const PASSAGE: &Names = &[("passage", Purpose::Document)];

/// Reads any vendor's name, as clients of OpenAI's format send them in `input_type`.
pub(super) fn read_any(name: &str) -> Result<Purpose, Malformed> {
    let known = [COHERE, GOOGLE, VOYAGE, PASSAGE].into_iter().flatten();
    let found = known.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map(|(_, purpose)| *purpose).ok_or_else(|| {
        Malformed::new("one of query, document, classification, clustering, semantic_similarity")
    })
}

/// Reads the name of one vendor. None if it is unknown.
pub(super) fn read(names: &Names, name: &str) -> Option<Purpose> {
    names.iter().find(|(known, _)| *known == name).map(|(_, purpose)| *purpose)
}

/// The vendor's name for `purpose`, or the nearest one, or none; with a warning unless it is exact.
pub(super) fn name(
    names: &Names,
    purpose: Purpose,
    warnings: &mut Warnings,
) -> Option<&'static str> {
    let exact = |wanted: Purpose| names.iter().find(|(_, it)| *it == wanted).map(|(name, _)| *name);
    if let Some(name) = exact(purpose) {
        return Some(name);
    }
    // The text that searches is a query.
    let near = match purpose {
        Purpose::Question | Purpose::Fact | Purpose::CodeQuery => exact(Purpose::Query),
        Purpose::Similarity => exact(Purpose::Clustering),
        _ => None,
    };
    if let Some(name) = near {
        warnings.changed("input_type", &format!("the provider's nearest is {name}"));
    } else {
        warnings.dropped("input_type", "the provider has no such purpose");
    }
    near
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purposes_translate_between_vendors() {
        for (name, expected) in [
            ("query", Purpose::Query),
            ("search_query", Purpose::Query),
            ("retrieval_query", Purpose::Query),
            ("passage", Purpose::Document),
            ("RETRIEVAL_DOCUMENT", Purpose::Document),
            ("Clustering", Purpose::Clustering),
        ] {
            assert_eq!(read_any(name), Ok(expected), "{name}");
        }
        assert!(read_any("poetry").is_err());
        assert_eq!(read(GOOGLE, "TASK_TYPE_UNSPECIFIED"), None);
    }

    #[test]
    fn unsupported_purpose_is_warned() {
        for (names, purpose, expected, warning) in [
            (COHERE, Purpose::Query, Some("search_query"), ""),
            (COHERE, Purpose::Fact, Some("search_query"), "changed"),
            (COHERE, Purpose::Similarity, Some("clustering"), "changed"),
            (VOYAGE, Purpose::Clustering, None, "dropped"),
            (VOYAGE, Purpose::Similarity, None, "dropped"),
            (GOOGLE, Purpose::CodeQuery, Some("CODE_RETRIEVAL_QUERY"), ""),
        ] {
            let mut warnings = Warnings::default();
            assert_eq!(name(names, purpose, &mut warnings), expected, "{purpose:?}");
            assert!(warnings.header().starts_with(warning), "{purpose:?}: {}", warnings.header());
            assert_eq!(warnings.is_empty(), warning.is_empty());
        }
    }
}

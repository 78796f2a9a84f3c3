//! Request headers that a target copies to its provider, and their check.

use super::limits::FORWARD_HEADERS_MAX;
use crate::base::{Diagnostics, field_name, member_path};

/// Fields that may contain the client's own key, which is never sent to a provider.
const CREDENTIAL_FIELDS: [&str; 4] = ["authorization", "x-api-key", "api-key", "x-goog-api-key"];

/// The names, in lower case, without duplicates.
pub(super) fn check_forward_headers(
    list: &[String],
    path: &str,
    diagnostics: &mut Diagnostics,
) -> Vec<String> {
    let path = member_path(path, "forward_headers");
    let mut names = Vec::new();
    if list.len() > FORWARD_HEADERS_MAX {
        let message = format!("expected at most {FORWARD_HEADERS_MAX} names, got {}", list.len());
        diagnostics.add(&path, message, "");
        return names;
    }
    for (index, text) in list.iter().enumerate() {
        let path = format!("{path}[{index}]");
        match field_name(text) {
            Err(error) => diagnostics.add(&path, error.to_string(), "leave it out"),
            Ok(name) if CREDENTIAL_FIELDS.contains(&name.as_str()) => {
                let message = "this header carries the client's key, which never travels on";
                diagnostics.add(&path, message, "the key of the provider is its `api_key`");
            }
            Ok(name) if names.contains(&name) => {}
            Ok(name) => names.push(name),
        }
    }
    names
}

//! Checks of configured credentials: secrets that are sent in headers, and PEM files.
//!
//! No message repeats any part of the checked value.

use super::diagnostic::Diagnostics;
use super::name::is_field_value;
use super::secret::Secret;

/// True if the secret is a legal header value; otherwise adds a diagnostic.
pub fn check_secret(secret: &Secret, path: &str, diagnostics: &mut Diagnostics) -> bool {
    if secret.is_empty() {
        diagnostics.add(path, "expected a secret, got an empty text", "is the variable set?");
        return false;
    }
    let legal = is_field_value(secret.reveal());
    if !legal {
        let message = "expected visible ASCII characters without space or line end around them";
        diagnostics.add(path, message, "look for a line end at the end of the secret");
    }
    legal
}

/// The text of a PEM file that contains the marker `begin`; `None` after a diagnostic.
pub fn check_pem(
    file: Result<String, String>,
    begin: &str,
    path: &str,
    diagnostics: &mut Diagnostics,
) -> Option<String> {
    match file {
        Err(reason) => diagnostics.add(path, reason, ""),
        Ok(text) if text.contains("-----BEGIN ") && text.contains(begin) => return Some(text),
        Ok(_) => diagnostics.add(path, format!("expected a PEM file with `{begin}`"), ""),
    }
    None
}

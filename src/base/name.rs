//! Names of providers, keys and routes, and names and values of header fields.
//!
//! The rules are strict enough that a name is safe in headers, labels, logs and paths.

/// Rule of [`is_name`], for messages.
pub const NAME_RULE: &str =
    "1 to 64 of a-z, 0-9, `.`, `_` and `-`, of which the first is a letter or digit";

/// True for a valid name of a provider, key or route: `[a-z0-9][a-z0-9._-]{0,63}`.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.len() <= 64
        && text.as_bytes().first().is_some_and(alphanumeric)
        && text.bytes().all(|byte| alphanumeric(&byte) || b"._-".contains(&byte))
}

/// Why a header field may not be named in settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldNameError {
    /// Not a token (RFC 9110, section 5.6.2).
    #[error("expected a header name of letters, digits and `-`")]
    NotAToken,
    /// It controls the connection or frames the message.
    #[error("this header belongs to the connection and is set by the gateway")]
    Reserved,
}

/// Fields that frame a message or control a connection (RFC 9110, sections 7.6.1 and 8.6; RFC
/// 9112), and those that describe the content that the gateway sends and accepts.
const RESERVED: [&str; 16] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "max-forwards",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

/// The name in lower case, if settings may set or copy this field.
///
/// # Errors
/// If the text is not a field name, or names a field that is reserved for the gateway.
pub fn field_name(text: &str) -> Result<String, FieldNameError> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if text.is_empty() || text.len() > 128 || !text.bytes().all(token) {
        return Err(FieldNameError::NotAToken);
    }
    let name = text.to_ascii_lowercase();
    let gateway = name.starts_with("proxy-")
        || name.starts_with("x-ringgate-")
        || name.starts_with("x-portkey-");
    if gateway || RESERVED.contains(&name.as_str()) {
        return Err(FieldNameError::Reserved);
    }
    Ok(name)
}

/// True for a valid field value: visible ASCII, with single spaces or tabs only inside. Stricter
/// than RFC 9110, section 5.5, which allows obsolete bytes above 127.
#[must_use]
pub fn is_field_value(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_graphic() || byte == b' ' || byte == b'\t';
    text.bytes().all(legal) && text.trim_matches([' ', '\t']).len() == text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_validated() {
        let long = "a".repeat(64);
        for good in ["a", "0", "openai-prod", "a.b_c-d", long.as_str()] {
            assert!(is_name(good), "{good}");
        }
        let too_long = "a".repeat(65);
        for bad in ["", "A", "-a", ".a", "_a", "a b", "a/b", "ä", "a\n", "@a", too_long.as_str()] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn field_names_are_validated() {
        for (text, expected) in [
            ("X-Team", Ok("x-team")),
            ("authorization", Ok("authorization")),
            ("", Err(FieldNameError::NotAToken)),
            ("a b", Err(FieldNameError::NotAToken)),
            ("a:b", Err(FieldNameError::NotAToken)),
            ("a\r\nb", Err(FieldNameError::NotAToken)),
            ("Host", Err(FieldNameError::Reserved)),
            ("Content-Length", Err(FieldNameError::Reserved)),
            ("transfer-encoding", Err(FieldNameError::Reserved)),
            ("proxy-authorization", Err(FieldNameError::Reserved)),
            ("x-portkey-forward-headers", Err(FieldNameError::Reserved)),
        ] {
            assert_eq!(field_name(text), expected.map(str::to_owned), "{text}");
        }
    }

    #[test]
    fn field_values_are_validated() {
        for good in ["", "a", "Bearer abc", "a\tb"] {
            assert!(is_field_value(good), "{good}");
        }
        for bad in [" a", "a ", "a\r\nb", "a\0", "ä", "\t"] {
            assert!(!is_field_value(bad), "{bad:?}");
        }
    }
}

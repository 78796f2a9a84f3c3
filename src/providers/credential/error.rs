//! Why a request cannot be authenticated.

/// Why a request cannot carry its credential, or a token could not be obtained.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// There is no token, or it has expired.
    #[error("there is no valid token")]
    NoToken,
    /// A signature covers the body, which is not complete yet.
    #[error("the body is streamed, and its signature needs the whole of it")]
    Streamed,
    /// The request cannot be signed, for example because the key is too short.
    #[error("the call cannot be signed")]
    Unsignable,
    /// The token service refused.
    #[error("{service} answered {status}{}", in_brackets(.code))]
    Refused {
        /// Name of the service.
        service: &'static str,
        /// The HTTP status.
        status: u16,
        /// The service's error code, of letters, digits, `_`, `-` and `.`; may be empty.
        code: String,
    },
    /// The response contains no token.
    #[error("{service} sent an answer without a usable token")]
    Malformed {
        /// Name of the service.
        service: &'static str,
    },
    /// The service did not respond.
    #[error("{service} cannot be reached: {reason}")]
    Unreachable {
        /// Name of the service.
        service: &'static str,
        /// Reason, without addresses.
        reason: String,
    },
    /// The file with the credential cannot be read.
    #[error("cannot read the file {path}: {reason}")]
    File {
        /// Path as configured.
        path: String,
        /// The system's error message.
        reason: String,
    },
}

fn in_brackets(code: &str) -> String {
    if code.is_empty() { String::new() } else { format!(" ({code})") }
}

/// A service's error code, if it is one word that is safe to show.
pub(super) fn code_word(text: &str) -> String {
    const CHARS_MAX: usize = 64;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    let is_shown = text.len() <= CHARS_MAX && text.bytes().all(plain);
    if is_shown { text.to_owned() } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_codes_are_plain_words() {
        for (text, expected) in [
            ("invalid_client", "invalid_client"),
            ("AccessDenied", "AccessDenied"),
            ("see https://x", ""),
            ("a\nb", ""),
            (&"x".repeat(65), ""),
        ] {
            assert_eq!(code_word(text), expected);
        }
        let refused = |code: &str| CredentialError::Refused {
            service: "Entra",
            status: 401,
            code: code.to_owned(),
        };
        assert_eq!(refused("invalid_client").to_string(), "Entra answered 401 (invalid_client)");
        assert_eq!(refused("").to_string(), "Entra answered 401");
    }
}

//! Why a request cannot be authenticated.

/// Why a call cannot carry its credential, or a token could not be obtained.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// There is no token, or it has expired.
    #[error("there is no valid token")]
    NoToken,
    /// A signature covers the body, which is not known yet.
    #[error("the body is streamed, and its signature needs the whole of it")]
    Streamed,
    /// What is to be signed cannot be, as with a key that is too short.
    #[error("the call cannot be signed")]
    Unsignable,
    /// The service that gives tokens said no.
    #[error("{service} answered {status}{}", in_brackets(.code))]
    Refused {
        /// Who.
        service: &'static str,
        /// The HTTP status.
        status: u16,
        /// The service's own word for it, of letters, digits, `_`, `-` and `.`; may be empty.
        code: String,
    },
    /// Its answer holds no token.
    #[error("{service} sent an answer without a usable token")]
    Malformed {
        /// Who.
        service: &'static str,
    },
    /// It did not answer.
    #[error("{service} cannot be reached: {reason}")]
    Unreachable {
        /// Who.
        service: &'static str,
        /// In words, without addresses.
        reason: String,
    },
    /// A file that the credential is in.
    #[error("cannot read the file {path}: {reason}")]
    File {
        /// As it was set.
        path: String,
        /// What the system says.
        reason: String,
    },
}

fn in_brackets(code: &str) -> String {
    if code.is_empty() { String::new() } else { format!(" ({code})") }
}

/// A service's word for an error, if it is one word that can be shown.
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

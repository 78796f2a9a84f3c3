//! The secrets that a vendor knows: they are redacted from everything the vendor sends back.
//!
//! Credentials are found by their use, not by their format: signing keys, and tokens that are sent
//! outside of header fields. Keys that only fetch tokens go to another service and are not
//! included.

use super::credential::{AwsKeys, AwsSigner, SigningKeys, TokenValue};
use super::{Credential, Provider, ProviderField, Token};
use crate::llm::decode_base64;

impl Provider {
    /// The configured secrets that the vendor may know; for tokens see [`Token::secrets`].
    #[must_use]
    pub fn secrets(&self) -> Vec<String> {
        let mut secrets: Vec<_> = self.fields.iter().flat_map(ProviderField::secrets).collect();
        match &self.credential {
            Credential::Foundry(key) => secrets.push(key.reveal().to_owned()),
            Credential::Aws(AwsSigner { keys: SigningKeys::Given(keys), .. }) => {
                secrets.extend(secrets_of_keys(keys));
            }
            Credential::Fixed
            | Credential::Bearer(_)
            | Credential::Aws(_)
            | Credential::Oracle(_) => {}
        }
        secrets
    }
}

impl Token {
    /// The secrets that the vendor knows or can compute with.
    #[must_use]
    pub fn secrets(&self) -> Vec<String> {
        match &self.value {
            TokenValue::Bearer(text) => vec![text.reveal().to_owned()],
            TokenValue::Aws(keys) => secrets_of_keys(keys),
        }
    }
}

fn secrets_of_keys(keys: &AwsKeys) -> Vec<String> {
    let session = keys.session_token.as_ref().map(|token| token.reveal().to_owned());
    let pair = [keys.access_key_id.clone(), keys.secret_access_key.reveal().to_owned()];
    pair.into_iter().chain(session).collect()
}

impl ProviderField {
    /// True for a field whose name indicates a credential.
    #[must_use]
    pub fn is_credential(&self) -> bool {
        const SIGNS: [&str; 9] = [
            "auth",
            "cookie",
            "credential",
            "key",
            "password",
            "secret",
            "session",
            "signature",
            "token",
        ];
        SIGNS.iter().any(|sign| self.name.contains(sign))
    }

    /// The credentials in its value, without the scheme; empty for any other field.
    #[must_use]
    pub fn secrets(&self) -> Vec<String> {
        const SCHEMES: [&str; 6] = ["apikey", "api-key", "basic", "bearer", "key", "token"];
        if !self.is_credential() {
            return Vec::new();
        }
        let mut secrets = Vec::new();
        for word in self.value.reveal().split([' ', ';', ',']) {
            if word.is_empty() || SCHEMES.iter().any(|scheme| word.eq_ignore_ascii_case(scheme)) {
                continue;
            }
            // A cookie is `name=value`; a value that ends with `=` is base64.
            let value = word.split_once('=').map(|(_, value)| value.trim_matches('='));
            let value = value.filter(|value| !value.is_empty()).unwrap_or(word);
            secrets.push(value.to_owned());
            // The password of `Basic` (RFC 7617).
            let pair = decode_base64(word).and_then(|bytes| String::from_utf8(bytes).ok());
            let password = pair.as_deref().and_then(|pair| pair.split_once(':'));
            secrets.extend(password.map(|(_, password)| password.to_owned()));
        }
        secrets
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Secret;

    #[test]
    fn secrets_of_fields_are_found() {
        for (name, value, expected) in [
            ("authorization", "Bearer test-credential", &["test-credential"][..]),
            ("authorization", "Key test-credential", &["test-credential"]),
            ("authorization", "Basic dXNlcjpwYXNzd29yZA==", &["dXNlcjpwYXNzd29yZA==", "password"]),
            ("x-api-key", "test-credential", &["test-credential"]),
            ("cookie", "a=first-value; b=second-value", &["first-value", "second-value"]),
            ("x-team-secret", "abc/def+g==", &["abc/def+g=="]),
            ("anthropic-version", "2023-06-01", &[]),
            ("openai-organization", "org-1", &[]),
        ] {
            let value = Secret::new(value.to_owned());
            let field = ProviderField { name: name.to_owned(), value };
            assert_eq!(field.secrets(), expected, "{name}");
        }
    }
}

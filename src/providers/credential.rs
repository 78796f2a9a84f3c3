//! What proves to a vendor who calls: a fixed field, a signature, or a token that was fetched.
//!
//! Plain functions of their inputs: no I/O, no clock. A [`UnsignedRequest`] says what goes upstream and when;
//! what has to be fetched beforehand is fetched through [`TokenTransport`], which the caller provides. Times
//! are since the Unix epoch. No text of an error and no `Debug` holds a secret.

mod aws;
mod azure;
mod calendar;
mod escape;
mod google;
mod grant;
mod ibm;
mod oracle;
mod rsa;
#[cfg(test)]
mod test_transport;

use std::time::Duration;

use super::ProviderField;
use crate::base::{Secret, is_field_value};

pub(super) use aws::{AwsBase, AwsKeys, AwsRole, AwsSigner, AwsSource, SigningKeys};
pub(super) use azure::{Entra, ManagedIdentity};
pub(super) use escape::{escape, escape_segment};
pub(super) use google::{GoogleKey, GoogleSource, MetadataServer};
pub(super) use ibm::IbmKey;
pub(super) use oracle::OracleSigner;
pub(super) use rsa::RsaKey;
#[cfg(test)]
pub(super) use test_transport::rsa_pem;

/// A request as it will go upstream, before it is signed.
#[derive(Clone, Copy, Debug)]
pub struct UnsignedRequest<'a> {
    /// In capitals.
    pub method: &'a str,
    /// As in the `Host` field.
    pub authority: &'a str,
    /// As on the request line, without the query.
    pub path: &'a str,
    /// What follows the question mark.
    pub query: Option<&'a str>,
    /// The field of that name, if the call has one.
    pub content_type: Option<&'a str>,
    /// What follows the head.
    pub body: Payload<'a>,
    /// The wall clock.
    pub now: Duration,
}

/// The body of a call.
#[derive(Clone, Copy, Debug)]
pub enum Payload<'a> {
    /// All of it; empty for a call without one.
    Whole(&'a [u8]),
    /// Not known yet when the head is sent.
    Streamed,
}

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

/// A request to a service that gives tokens.
#[derive(Clone, Debug)]
pub struct TokenRequest {
    /// Who is asked, for messages.
    pub service: &'static str,
    /// `GET`, `PUT` or `POST`.
    pub method: &'static str,
    /// Whole URL.
    pub url: String,
    /// Lower-case names and values.
    pub fields: Vec<(&'static str, Secret)>,
    /// Sent with a `POST` or `PUT`.
    pub body: Secret,
}

/// What such a service answered.
#[derive(Clone)]
pub struct TokenResponse {
    /// The HTTP status.
    pub status: u16,
    /// Bounded by the caller; may hold a secret.
    pub body: Vec<u8>,
}

/// Makes the calls that fetch tokens, and reads the files that hold credentials.
pub trait TokenTransport {
    /// The wall clock.
    fn now(&self) -> Duration;

    /// Makes one call; redirects are not followed.
    ///
    /// # Errors
    /// [`CredentialError::Unreachable`] where no whole answer came.
    fn call(&mut self, request: &TokenRequest) -> Result<TokenResponse, CredentialError>;

    /// The text of a file.
    ///
    /// # Errors
    /// [`CredentialError::File`].
    fn read_file(&mut self, path: &str) -> Result<String, CredentialError>;
}

/// A credential that lives for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub(super) value: TokenValue,
    /// From then on it is of no use.
    pub expires_at: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TokenValue {
    /// Travels in `authorization`.
    Bearer(Secret),
    /// Signs.
    Aws(AwsKeys),
}

impl Token {
    /// A token that travels as it is; none if no header may hold it.
    #[must_use]
    pub fn bearer(text: &str, expires_at: Duration) -> Option<Self> {
        let legal = !text.is_empty() && is_field_value(text);
        let value = TokenValue::Bearer(Secret::new(text.to_owned()));
        legal.then_some(Self { value, expires_at })
    }
}

/// Where tokens come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSource {
    /// AWS: a role, the machine, or both.
    #[allow(private_interfaces, reason = "made by settings only")]
    Aws(AwsSource),
    /// Azure: an application of Entra.
    #[allow(private_interfaces, reason = "made by settings only")]
    Entra(Entra),
    /// Azure: the identity of the machine.
    #[allow(private_interfaces, reason = "made by settings only")]
    Managed(ManagedIdentity),
    /// Google: a key file or the machine.
    #[allow(private_interfaces, reason = "made by settings only")]
    Google(GoogleSource),
    /// IBM: an API key.
    #[allow(private_interfaces, reason = "made by settings only")]
    Ibm(IbmKey),
}

impl TokenSource {
    /// Obtains a token. Takes as many calls as the source needs, one behind the other.
    ///
    /// # Errors
    /// See [`CredentialError`].
    pub fn fetch(&self, transport: &mut dyn TokenTransport) -> Result<Token, CredentialError> {
        match self {
            Self::Aws(source) => source.fetch(transport),
            Self::Entra(source) => source.fetch(transport),
            Self::Managed(source) => source.fetch(transport),
            Self::Google(source) => source.fetch(transport),
            Self::Ibm(source) => source.fetch(transport),
        }
    }
}

/// A change of the token of a provider, as the shards receive it.
#[derive(Clone, Debug)]
pub enum TokenUpdate {
    /// A new one.
    Token(std::sync::Arc<Token>),
    /// None could be obtained; the old one, if there is one, serves until it expires.
    Failed,
}

/// What a call carries besides the fixed fields of its provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Credential {
    /// Nothing: the fixed fields have it all.
    #[default]
    Fixed,
    /// One key, whose field depends on whose API the path is.
    Foundry(Secret),
    /// A token in `authorization`.
    Bearer(TokenSource),
    /// A signature of AWS, version 4.
    #[allow(private_interfaces, reason = "made by settings only")]
    Aws(AwsSigner),
    /// A signature of Oracle's cloud.
    #[allow(private_interfaces, reason = "made by settings only")]
    Oracle(OracleSigner),
}

impl Credential {
    /// Where its token comes from, if it needs one.
    #[must_use]
    pub fn source(&self) -> Option<&TokenSource> {
        match self {
            Self::Bearer(source) => Some(source),
            Self::Aws(AwsSigner { keys: SigningKeys::Fetched(source), .. }) => Some(source),
            Self::Fixed | Self::Foundry(_) | Self::Aws(_) | Self::Oracle(_) => None,
        }
    }

    /// The fields that `call` carries, with the token where one is needed.
    ///
    /// # Errors
    /// Without a valid token, and where the call cannot be signed.
    pub fn sign(
        &self,
        call: &UnsignedRequest<'_>,
        token: Option<&Token>,
    ) -> Result<Vec<ProviderField>, CredentialError> {
        let token = token.filter(|token| token.expires_at > call.now);
        match self {
            Self::Fixed => Ok(Vec::new()),
            Self::Foundry(key) => Ok(vec![azure::foundry_field(key, call.path)]),
            Self::Bearer(_) => match token.map(|token| &token.value) {
                Some(TokenValue::Bearer(text)) => {
                    Ok(vec![field("authorization", format!("Bearer {}", text.reveal()))])
                }
                _ => Err(CredentialError::NoToken),
            },
            Self::Aws(signer) => signer.sign(call, token.map(|token| &token.value)),
            Self::Oracle(signer) => signer.sign(call),
        }
    }
}

fn field(name: &str, value: String) -> ProviderField {
    ProviderField { name: name.to_owned(), value: Secret::new(value) }
}

/// A service's word for an error, if it is one word that can be shown.
fn code_word(text: &str) -> String {
    const CHARS_MAX: usize = 64;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    let shown = text.len() <= CHARS_MAX && text.bytes().all(plain);
    if shown { text.to_owned() } else { String::new() }
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

    #[test]
    fn bearer_tokens_are_used_until_expiry() {
        let source = TokenSource::Ibm(ibm::IbmKey {
            url: "https://iam.example".to_owned(),
            api_key: Secret::new("test-credential".to_owned()),
        });
        let credential = Credential::Bearer(source);
        let token = Token::bearer("test-token", Duration::from_secs(10)).expect("legal");
        for (now, has_token, expected) in [
            (9, true, Ok("Bearer test-token".to_owned())),
            (10, true, Err(CredentialError::NoToken)),
            (9, false, Err(CredentialError::NoToken)),
        ] {
            let call = test_transport::call("/v1/chat", Duration::from_secs(now));
            let fields = credential.sign(&call, has_token.then_some(&token));
            let values =
                fields.map(|fields| fields.iter().map(|it| it.value.reveal().to_owned()).collect());
            assert_eq!(values, expected, "{now} {has_token}");
        }
        assert!(!format!("{token:?}{credential:?}").contains("test-"), "Debug hides secrets");
        assert!(Token::bearer("a\r\nb", Duration::ZERO).is_none());
    }
}

//! Google: tokens for a service account or a user's own credential, or from the metadata server.
//!
//! A service account signs a JWT (RFC 7523) and exchanges it for a token.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::grant::{post_form, request_token};
use super::{CredentialError, RsaKey, Token, TokenRequest, TokenTransport};
use crate::base::Secret;

const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// Lifetime of the JWT, in seconds; the longest that Google accepts.
const STATEMENT_SECONDS: u64 = 3_600;

/// The source of Google tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::providers) enum GoogleSource {
    Key(Box<GoogleKey>),
    Metadata(MetadataServer),
}

impl GoogleSource {
    pub(super) fn fetch(
        &self,
        transport: &mut dyn TokenTransport,
    ) -> Result<Token, CredentialError> {
        match self {
            Self::Key(key) => key.fetch(transport),
            Self::Metadata(server) => server.fetch(transport),
        }
    }
}

/// The content of a Google credential file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::providers) enum GoogleKey {
    ServiceAccount {
        email: String,
        key_id: Option<String>,
        key: RsaKey,
        token_uri: String,
        project: Option<String>,
    },
    /// Credential of a user, as `gcloud auth application-default login` writes it.
    User {
        client_id: String,
        client_secret: Secret,
        refresh_token: Secret,
        token_uri: String,
        project: Option<String>,
    },
}

/// The file as written.
#[derive(serde::Deserialize)]
struct CredentialFile {
    #[serde(rename = "type")]
    kind: String,
    project_id: Option<String>,
    quota_project_id: Option<String>,
    private_key_id: Option<String>,
    private_key: Option<String>,
    client_email: Option<String>,
    client_id: Option<String>,
    client_secret: Option<Secret>,
    refresh_token: Option<Secret>,
    token_uri: Option<String>,
}

impl GoogleKey {
    /// Parses a credential file; the error is a message.
    pub(in crate::providers) fn parse(json: &str) -> Result<Self, String> {
        // The parser's error would quote the text.
        let written: CredentialFile = serde_json::from_str(json)
            .map_err(|_| "expected the JSON of a Google credential file".to_owned())?;
        let token_uri =
            written.token_uri.unwrap_or_else(|| "https://oauth2.googleapis.com/token".to_owned());
        let missing = |name: &str| format!("expected the member `{name}` in the credential file");
        match written.kind.as_str() {
            "service_account" => {
                let pem = written.private_key.ok_or_else(|| missing("private_key"))?;
                Ok(Self::ServiceAccount {
                    email: written.client_email.ok_or_else(|| missing("client_email"))?,
                    key_id: written.private_key_id,
                    key: RsaKey::parse(&pem)
                        .ok_or("expected an RSA key in PEM as `private_key`".to_owned())?,
                    token_uri,
                    project: written.project_id,
                })
            }
            "authorized_user" => Ok(Self::User {
                client_id: written.client_id.ok_or_else(|| missing("client_id"))?,
                client_secret: written.client_secret.ok_or_else(|| missing("client_secret"))?,
                refresh_token: written.refresh_token.ok_or_else(|| missing("refresh_token"))?,
                token_uri,
                project: written.quota_project_id,
            }),
            _ => Err("expected a credential file of type `service_account` or `authorized_user`"
                .to_owned()),
        }
    }

    /// The token endpoint.
    pub(in crate::providers) fn token_uri(&self) -> &str {
        match self {
            Self::ServiceAccount { token_uri, .. } | Self::User { token_uri, .. } => token_uri,
        }
    }

    /// The project in the file.
    pub(in crate::providers) fn project(&self) -> Option<&str> {
        match self {
            Self::ServiceAccount { project, .. } | Self::User { project, .. } => project.as_deref(),
        }
    }

    fn fetch(&self, transport: &mut dyn TokenTransport) -> Result<Token, CredentialError> {
        let url = self.token_uri().to_owned();
        let request = match self {
            Self::ServiceAccount { .. } => {
                let statement = self.statement(transport.now().as_secs())?;
                let members = [
                    ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
                    ("assertion", statement.reveal()),
                ];
                post_form("Google", url, &members)
            }
            Self::User { client_id, client_secret, refresh_token, .. } => {
                let members = [
                    ("grant_type", "refresh_token"),
                    ("client_id", client_id),
                    ("client_secret", client_secret.reveal()),
                    ("refresh_token", refresh_token.reveal()),
                ];
                post_form("Google", url, &members)
            }
        };
        request_token(transport, &request)
    }

    /// The signed JWT of a service account at `now`, in seconds.
    fn statement(&self, now: u64) -> Result<Secret, CredentialError> {
        let Self::ServiceAccount { email, key_id, key, token_uri, .. } = self else {
            return Err(CredentialError::Unsignable);
        };
        let mut head = serde_json::json!({ "alg": "RS256", "typ": "JWT" });
        if let (Some(id), Some(head)) = (key_id, head.as_object_mut()) {
            head.insert("kid".to_owned(), id.clone().into());
        }
        let claims = serde_json::json!({
            "iss": email,
            "scope": SCOPE,
            "aud": token_uri,
            "iat": now,
            "exp": now + STATEMENT_SECONDS,
        });
        let mut text = format!("{}.{}", encoded(&head), encoded(&claims));
        let signature = key.sign(text.as_bytes())?;
        text.push('.');
        text.push_str(&URL_SAFE_NO_PAD.encode(signature));
        Ok(Secret::new(text))
    }
}

fn encoded(json: &serde_json::Value) -> String {
    URL_SAFE_NO_PAD.encode(json.to_string())
}

/// The metadata server of a Google Cloud machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::providers) struct MetadataServer {
    /// `http://metadata.google.internal`.
    pub url: String,
}

impl MetadataServer {
    fn fetch(&self, transport: &mut dyn TokenTransport) -> Result<Token, CredentialError> {
        let url =
            format!("{}/computeMetadata/v1/instance/service-accounts/default/token", self.url);
        let fields = vec![("metadata-flavor", Secret::new("Google".to_owned()))];
        let body = Secret::new(String::new());
        let service = "Google's metadata server";
        request_token(transport, &TokenRequest { service, method: "GET", url, fields, body })
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_transport::{ScriptedTransport, rsa_pem};
    use super::*;
    use serde_json::{Value, json};

    const GRANTED: &str = r#"{"access_token":"test-token","expires_in":3599}"#;

    fn service_account() -> Value {
        json!({
            "type": "service_account",
            "project_id": "project",
            "private_key_id": "key-1",
            "private_key": rsa_pem(),
            "client_email": "gateway@project.iam.gserviceaccount.com",
            "token_uri": "https://oauth2.googleapis.com/token",
            "universe_domain": "googleapis.com",
        })
    }

    #[test]
    fn service_account_assertion_is_signed() {
        let key = GoogleKey::parse(&service_account().to_string()).expect("a key");
        assert_eq!(key.project(), Some("project"));
        let mut transport = ScriptedTransport::new(1_000, &[(200, GRANTED)]);
        assert_eq!(key.fetch(&mut transport).expect("a token").expires_at.as_secs(), 4_599);
        let request = &transport.requests[0];
        assert_eq!(
            (request.method, request.url.as_str()),
            ("POST", "https://oauth2.googleapis.com/token")
        );
        let body = request.body.reveal();
        let prefix = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=";
        let parts: Vec<&str> = body.strip_prefix(prefix).expect("the form").split('.').collect();
        let [head, claims, signature] = parts[..] else { panic!("three parts: {body}") };
        let json = |text: &str| -> Value {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).expect("base64")).expect("JSON")
        };
        assert_eq!(json(head), json!({"alg": "RS256", "typ": "JWT", "kid": "key-1"}));
        assert_eq!(
            json(claims),
            json!({
                "iss": "gateway@project.iam.gserviceaccount.com",
                "scope": "https://www.googleapis.com/auth/cloud-platform",
                "aud": "https://oauth2.googleapis.com/token",
                "iat": 1_000,
                "exp": 4_600,
            })
        );
        let GoogleKey::ServiceAccount { key, .. } = &key else { panic!("a service account") };
        // PKCS #1 v1.5 is deterministic: the same key gives the same signature.
        let expected = key.sign(format!("{head}.{claims}").as_bytes()).expect("a signature");
        assert_eq!(URL_SAFE_NO_PAD.decode(signature).expect("base64"), expected);
    }

    #[test]
    fn user_credential_is_refreshed() {
        let json = json!({
            "type": "authorized_user", "client_id": "id", "client_secret": "test-credential",
            "refresh_token": "test-refresh", "quota_project_id": "project",
        });
        let key = GoogleKey::parse(&json.to_string()).expect("a key");
        let mut transport = ScriptedTransport::new(0, &[(200, GRANTED)]);
        assert!(key.fetch(&mut transport).is_ok());
        assert_eq!(
            transport.requests[0].body.reveal(),
            "grant_type=refresh_token&client_id=id&client_secret=test-credential&refresh_token=test-refresh"
        );
    }

    #[test]
    fn metadata_request_has_flavor_header() {
        let server = MetadataServer { url: "http://metadata.google.internal".to_owned() };
        let mut transport = ScriptedTransport::new(0, &[(200, GRANTED)]);
        assert!(server.fetch(&mut transport).is_ok());
        assert_eq!(
            transport.lines(),
            ["GET http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/\
              default/token metadata-flavor=Google"]
        );
    }

    #[test]
    fn invalid_file_errors_hide_its_text() {
        let without = |name: &str| {
            let mut json = service_account();
            json.as_object_mut().expect("an object").remove(name);
            json.to_string()
        };
        let mut broken = service_account();
        broken["private_key"] = "canary".into();
        for (text, expected) in [
            ("canary".to_owned(), "JSON"),
            (without("private_key"), "`private_key`"),
            (without("client_email"), "`client_email`"),
            (broken.to_string(), "PEM"),
            (json!({"type": "external_account"}).to_string(), "`service_account`"),
        ] {
            let message = GoogleKey::parse(&text).expect_err("refused");
            assert!(message.contains(expected) && !message.contains("canary"), "{message}");
        }
    }
}

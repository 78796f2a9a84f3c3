//! Azure: tokens of an Entra application or a managed identity, and the keys of Foundry.

use super::grant::{post_form, request_token};
use super::request::field;
use super::{CredentialError, Token, TokenRequest, TokenTransport, escape};
use crate::base::Secret;
use crate::providers::ProviderField;

/// An Entra application that authenticates with a secret (client credentials).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::providers) struct Entra {
    /// `https://login.microsoftonline.com`, or the authority of another cloud.
    pub url: String,
    pub tenant: String,
    pub client_id: String,
    pub client_secret: Secret,
    pub scope: String,
}

impl Entra {
    pub(super) fn fetch(
        &self,
        transport: &mut dyn TokenTransport,
    ) -> Result<Token, CredentialError> {
        let url = format!("{}/{}/oauth2/v2.0/token", self.url, self.tenant);
        let members = [
            ("grant_type", "client_credentials"),
            ("client_id", self.client_id.as_str()),
            ("client_secret", self.client_secret.reveal()),
            ("scope", self.scope.as_str()),
        ];
        request_token(transport, &post_form("Entra", url, &members))
    }
}

/// The machine's managed identity, from its metadata service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::providers) struct ManagedIdentity {
    /// `http://169.254.169.254`.
    pub url: String,
    /// Client id of the identity, if the machine has several.
    pub client_id: Option<String>,
    /// The resource that tokens are for, without `/.default`.
    pub resource: String,
}

impl ManagedIdentity {
    pub(super) fn fetch(
        &self,
        transport: &mut dyn TokenTransport,
    ) -> Result<Token, CredentialError> {
        let mut url = format!(
            "{}/metadata/identity/oauth2/token?api-version=2018-02-01&resource={}",
            self.url,
            escape(&self.resource)
        );
        if let Some(client_id) = &self.client_id {
            url.push_str("&client_id=");
            url.push_str(&escape(client_id));
        }
        let fields = vec![("metadata", Secret::new("true".to_owned()))];
        let body = Secret::new(String::new());
        let service = "the managed identity";
        request_token(transport, &TokenRequest { service, method: "GET", url, fields, body })
    }
}

/// The field that carries a Foundry key: Claude's API uses Anthropic's field.
pub(super) fn foundry_field(key: &Secret, path: &str) -> ProviderField {
    if path.split('/').any(|segment| segment == "anthropic") {
        field("x-api-key", key.reveal().to_owned())
    } else {
        field("authorization", format!("Bearer {}", key.reveal()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_transport::ScriptedTransport;
    use super::*;

    const GRANTED: &str = r#"{"access_token":"test-token","expires_in":3600}"#;

    #[test]
    fn entra_request_has_secret_in_body() {
        let source = Entra {
            url: "https://login.microsoftonline.com".to_owned(),
            tenant: "tenant".to_owned(),
            client_id: "client".to_owned(),
            client_secret: Secret::new("test~credential&".to_owned()),
            scope: "https://cognitiveservices.azure.com/.default".to_owned(),
        };
        let mut transport = ScriptedTransport::new(1_000, &[(200, GRANTED)]);
        let token = source.fetch(&mut transport).expect("a token");
        assert_eq!(token.expires_at.as_secs(), 4_600);
        assert_eq!(
            transport.lines(),
            ["POST https://login.microsoftonline.com/tenant/oauth2/v2.0/token \
              content-type=application/x-www-form-urlencoded accept=application/json \
              grant_type=client_credentials&client_id=client&client_secret=test~credential%26&\
              scope=https%3A%2F%2Fcognitiveservices.azure.com%2F.default"]
        );
    }

    #[test]
    fn managed_identity_requests_a_resource() {
        for (client_id, more) in [(None, ""), (Some("id"), "&client_id=id")] {
            let source = ManagedIdentity {
                url: "http://169.254.169.254".to_owned(),
                client_id: client_id.map(str::to_owned),
                resource: "https://cognitiveservices.azure.com".to_owned(),
            };
            let mut transport = ScriptedTransport::new(0, &[(200, GRANTED)]);
            assert!(source.fetch(&mut transport).is_ok());
            let expected = format!(
                "GET http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&\
                 resource=https%3A%2F%2Fcognitiveservices.azure.com{more} metadata=true"
            );
            assert_eq!(transport.lines(), [expected]);
        }
    }

    #[test]
    fn foundry_key_header_follows_the_api() {
        let key = Secret::new("test-credential".to_owned());
        for (path, name, value) in [
            ("/openai/v1/chat/completions", "authorization", "Bearer test-credential"),
            ("/anthropic/v1/messages", "x-api-key", "test-credential"),
            ("/models/chat/completions", "authorization", "Bearer test-credential"),
        ] {
            let field = foundry_field(&key, path);
            assert_eq!((field.name.as_str(), field.value.reveal()), (name, value), "{path}");
        }
    }
}

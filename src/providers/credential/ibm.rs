//! IBM Cloud: exchanges an API key for a token valid for one hour.

use super::grant::{post_form, request_token};
use super::{CredentialError, Token, TokenTransport};
use crate::base::Secret;

/// An API key of IBM Cloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::providers) struct IbmKey {
    /// `https://iam.cloud.ibm.com`.
    pub url: String,
    pub api_key: Secret,
}

impl IbmKey {
    pub(super) fn fetch(
        &self,
        transport: &mut dyn TokenTransport,
    ) -> Result<Token, CredentialError> {
        let members = [
            ("grant_type", "urn:ibm:params:oauth:grant-type:apikey"),
            ("apikey", self.api_key.reveal()),
        ];
        request_token(
            transport,
            &post_form("IBM's IAM", format!("{}/identity/token", self.url), &members),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_transport::ScriptedTransport;
    use super::*;

    #[test]
    fn api_key_is_exchanged() {
        let source = IbmKey {
            url: "https://iam.cloud.ibm.com".to_owned(),
            api_key: Secret::new("test-credential".to_owned()),
        };
        let mut transport =
            ScriptedTransport::new(5, &[(200, r#"{"access_token":"t","expires_in":3600}"#)]);
        assert_eq!(source.fetch(&mut transport).expect("a token").expires_at.as_secs(), 3_605);
        assert_eq!(
            transport.lines(),
            ["POST https://iam.cloud.ibm.com/identity/token \
              content-type=application/x-www-form-urlencoded accept=application/json \
              grant_type=urn%3Aibm%3Aparams%3Aoauth%3Agrant-type%3Aapikey&apikey=test-credential"]
        );
    }
}

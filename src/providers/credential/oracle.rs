//! Oracle Cloud: requests signed with a user's API key (HTTP signatures, `rsa-sha256`).
//!
//! The signature covers the request line, host and date, and for a request with a body its length,
//! type and SHA-256.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::calendar::http_date;
use super::request::field;
use super::{CredentialError, Payload, RsaKey, UnsignedRequest};
use crate::providers::ProviderField;

/// The API signing key of a user in a tenancy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::providers) struct OracleSigner {
    pub tenancy: String,
    pub user: String,
    /// Fingerprint of the public key, as the console shows it.
    pub fingerprint: String,
    pub key: RsaKey,
}

impl OracleSigner {
    pub(super) fn sign(
        &self,
        call: &UnsignedRequest<'_>,
    ) -> Result<Vec<ProviderField>, CredentialError> {
        let Payload::Whole(body) = call.body else { return Err(CredentialError::Streamed) };
        let target = match call.query {
            None => call.path.to_owned(),
            Some(query) => format!("{}?{query}", call.path),
        };
        let request_line = format!("{} {target}", call.method.to_ascii_lowercase());
        let mut signed = vec![
            ("date", http_date(call.now)),
            ("(request-target)", request_line),
            ("host", call.authority.to_owned()),
        ];
        let mut fields = vec![field("date", http_date(call.now))];
        if matches!(call.method, "POST" | "PUT" | "PATCH") {
            let hash = STANDARD.encode(digest(&SHA256, body));
            let content_type = call.content_type.unwrap_or("application/json");
            fields.push(field("x-content-sha256", hash.clone()));
            fields.push(field("content-type", content_type.to_owned()));
            signed.push(("content-length", body.len().to_string()));
            signed.push(("content-type", content_type.to_owned()));
            signed.push(("x-content-sha256", hash));
        }
        let lines: Vec<String> =
            signed.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        let signature = STANDARD.encode(self.key.sign(lines.join("\n").as_bytes())?);
        let names: Vec<&str> = signed.iter().map(|(name, _)| *name).collect();
        let authorization = format!(
            "Signature version=\"1\",headers=\"{}\",keyId=\"{}/{}/{}\",algorithm=\"rsa-sha256\",\
             signature=\"{signature}\"",
            names.join(" "),
            self.tenancy,
            self.user,
            self.fingerprint,
        );
        fields.push(field("authorization", authorization));
        Ok(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_transport::{self, rsa_pem};
    use super::*;
    use std::time::Duration;

    fn sign(call: &UnsignedRequest<'_>) -> (RsaKey, Vec<(String, String)>) {
        let key = RsaKey::parse(rsa_pem()).expect("a key");
        let signer = OracleSigner {
            tenancy: "ocid1.tenancy.oc1..a".to_owned(),
            user: "ocid1.user.oc1..b".to_owned(),
            fingerprint: "20:3b".to_owned(),
            key: key.clone(),
        };
        let fields = signer.sign(call).expect("signed");
        let pairs = fields.into_iter().map(|it| (it.name, it.value.reveal().to_owned()));
        (key, pairs.collect())
    }

    #[test]
    fn signed_headers_are_listed() {
        let now = Duration::from_secs(1_388_950_800);
        let get = test_transport::call("/20160918/instances", now);
        let get = UnsignedRequest { query: Some("a=b%20c"), ..get };
        let post = UnsignedRequest {
            method: "POST",
            content_type: Some("application/json"),
            body: Payload::Whole(b"{}"),
            ..test_transport::call("/openai/v1/chat/completions", now)
        };
        let date = "date: Sun, 05 Jan 2014 19:40:00 GMT\n";
        for (call, names, text) in [
            (
                get,
                "date (request-target) host",
                format!(
                    "{date}(request-target): get /20160918/instances?a=b%20c\n\
                     host: example.amazonaws.com"
                ),
            ),
            (
                post,
                "date (request-target) host content-length content-type x-content-sha256",
                format!(
                    "{date}(request-target): post /openai/v1/chat/completions\n\
                     host: example.amazonaws.com\ncontent-length: 2\n\
                     content-type: application/json\n\
                     x-content-sha256: RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o="
                ),
            ),
        ] {
            let (key, fields) = sign(&call);
            let (name, authorization) = fields.last().expect("a field");
            let signature = STANDARD.encode(key.sign(text.as_bytes()).expect("a signature"));
            let expected = format!(
                "Signature version=\"1\",headers=\"{names}\",keyId=\"ocid1.tenancy.oc1..a/\
                 ocid1.user.oc1..b/20:3b\",algorithm=\"rsa-sha256\",signature=\"{signature}\""
            );
            assert_eq!((name.as_str(), authorization), ("authorization", &expected));
            assert_eq!(fields[0].0, "date");
        }
    }

    #[test]
    fn streams_cannot_be_signed() {
        let key = RsaKey::parse(rsa_pem()).expect("a key");
        let text = String::new;
        let signer = OracleSigner { tenancy: text(), user: text(), fingerprint: text(), key };
        let call = UnsignedRequest {
            body: Payload::Streamed,
            ..test_transport::call("/", Duration::ZERO)
        };
        assert_eq!(signer.sign(&call).err(), Some(CredentialError::Streamed));
    }
}

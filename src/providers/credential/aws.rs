//! AWS: the sources of signing keys (Signature Version 4), and roles.
//!
//! Roles are assumed through STS. The machine's own keys come from a web identity (EKS), from the
//! container endpoint (ECS, EKS Pod Identity) or from instance metadata (IMDSv2).

use std::time::Duration;

use super::aws_keys::{AwsKeys, sign_with};
use super::calendar::parse_rfc3339;
use super::error::{CredentialError, code_word};
use super::escape::form;
use super::request::{Payload, UnsignedRequest};
use super::token::{Token, TokenValue};
use super::transport::{TokenRequest, TokenTransport};
use crate::base::{Secret, is_field_value};

/// Duration of an assumed role, in seconds; every role allows this.
const ROLE_SECONDS: &str = "3600";

/// Lifetime of a metadata session token, in seconds; it is used at once.
const SESSION_SECONDS: &str = "60";

const STS: &str = "AWS STS";
const METADATA: &str = "the instance's metadata service";
const CONTAINER: &str = "the container's credential service";

/// The source of temporary keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::providers) struct AwsSource {
    pub base: AwsBase,
    /// A role that is assumed with the base keys.
    pub role: Option<AwsRole>,
}

/// The keys that assume the role, or sign if there is no role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::providers) enum AwsBase {
    Given(AwsKeys),
    /// A token file that STS exchanges for keys.
    WebIdentity {
        token_file: String,
        role_arn: String,
        sts_url: String,
    },
    /// The container's credentials endpoint, with the `authorization` that it requires.
    Container {
        url: String,
        token: Option<Secret>,
        token_file: Option<String>,
    },
    /// The instance metadata service, at `http://169.254.169.254`.
    Instance {
        url: String,
    },
}

/// A role that is assumed through STS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::providers) struct AwsRole {
    pub arn: String,
    pub external_id: Option<String>,
    pub region: String,
    /// `https://sts.REGION.amazonaws.com`.
    pub sts_url: String,
    /// Host and port of the URL.
    pub sts_authority: String,
}

impl AwsSource {
    pub(super) fn fetch(
        &self,
        transport: &mut dyn TokenTransport,
    ) -> Result<Token, CredentialError> {
        let base = match &self.base {
            AwsBase::Given(keys) => {
                Token { value: TokenValue::Aws(keys.clone()), expires_at: Duration::MAX }
            }
            AwsBase::WebIdentity { token_file, role_arn, sts_url } => {
                web_identity(transport, token_file, role_arn, sts_url)?
            }
            AwsBase::Container { url, token, token_file } => {
                container(transport, url, token.as_ref(), token_file.as_deref())?
            }
            AwsBase::Instance { url } => instance(transport, url)?,
        };
        match (&self.role, &base.value) {
            (Some(role), TokenValue::Aws(keys)) => role.take(transport, keys),
            _ => Ok(base),
        }
    }
}

impl AwsRole {
    fn take(
        &self,
        transport: &mut dyn TokenTransport,
        keys: &AwsKeys,
    ) -> Result<Token, CredentialError> {
        let mut members = vec![
            ("Action", "AssumeRole"),
            ("Version", "2011-06-15"),
            ("RoleArn", self.arn.as_str()),
            ("RoleSessionName", "ringgate"),
            ("DurationSeconds", ROLE_SECONDS),
        ];
        members.extend(self.external_id.as_deref().map(|id| ("ExternalId", id)));
        let mut request = sts_request(&self.sts_url, &members);
        let call = UnsignedRequest {
            method: request.method,
            authority: &self.sts_authority,
            path: "/",
            query: None,
            content_type: Some(FORM),
            body: Payload::Whole(request.body.reveal().as_bytes()),
            now: transport.now(),
        };
        for field in sign_with(keys, &self.region, "sts", &call)? {
            let name = ["authorization", "x-amz-date", "x-amz-security-token"]
                .into_iter()
                .find(|name| *name == field.name)
                .ok_or(CredentialError::Unsignable)?;
            request.fields.push((name, field.value));
        }
        call_sts(transport, &request)
    }
}

const FORM: &str = "application/x-www-form-urlencoded";

fn sts_request(url: &str, members: &[(&str, &str)]) -> TokenRequest {
    TokenRequest {
        service: STS,
        method: "POST",
        url: format!("{url}/"),
        fields: vec![("content-type", Secret::new(FORM.to_owned()))],
        body: Secret::new(form(members)),
    }
}

fn web_identity(
    transport: &mut dyn TokenTransport,
    token_file: &str,
    role_arn: &str,
    sts_url: &str,
) -> Result<Token, CredentialError> {
    // Read each time: the cluster replaces the file well before the token expires.
    let token = transport.read_file(token_file)?;
    let members = [
        ("Action", "AssumeRoleWithWebIdentity"),
        ("Version", "2011-06-15"),
        ("RoleArn", role_arn),
        ("RoleSessionName", "ringgate"),
        ("DurationSeconds", ROLE_SECONDS),
        ("WebIdentityToken", token.trim()),
    ];
    call_sts(transport, &sts_request(sts_url, &members))
}

fn call_sts(
    transport: &mut dyn TokenTransport,
    request: &TokenRequest,
) -> Result<Token, CredentialError> {
    let answer = transport.call(request)?;
    let body = String::from_utf8_lossy(&answer.body);
    if answer.status != 200 {
        let code = code_word(element(&body, "Code").unwrap_or_default());
        return Err(CredentialError::Refused { service: STS, status: answer.status, code });
    }
    let member = |name| element(&body, name);
    token(
        member("AccessKeyId"),
        member("SecretAccessKey"),
        member("SessionToken"),
        member("Expiration"),
    )
    .ok_or(CredentialError::Malformed { service: STS })
}

/// The text of the first element of that name. The values contain no entities: keys are base64,
/// dates are digits.
fn element<'x>(xml: &'x str, name: &str) -> Option<&'x str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(text.trim())
}

/// Keys, as the container endpoint and the instance metadata return them.
#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MetadataKeys {
    access_key_id: String,
    secret_access_key: String,
    token: String,
    expiration: String,
}

fn token(
    access_key_id: Option<&str>,
    secret_access_key: Option<&str>,
    session_token: Option<&str>,
    expiration: Option<&str>,
) -> Option<Token> {
    let (id, secret, session) = (access_key_id?, secret_access_key?, session_token?);
    let legal = |text: &&str| !text.is_empty() && is_field_value(text);
    if ![id, secret, session].iter().all(legal) {
        return None;
    }
    let keys = AwsKeys {
        access_key_id: id.to_owned(),
        secret_access_key: Secret::new(secret.to_owned()),
        session_token: Some(Secret::new(session.to_owned())),
    };
    Some(Token { value: TokenValue::Aws(keys), expires_at: parse_rfc3339(expiration?)? })
}

fn fetch_keys(
    transport: &mut dyn TokenTransport,
    request: &TokenRequest,
) -> Result<Token, CredentialError> {
    let body = fetch_text(transport, request)?;
    let written: Option<MetadataKeys> = serde_json::from_str(&body).ok();
    written
        .and_then(|it| {
            token(
                Some(&it.access_key_id),
                Some(&it.secret_access_key),
                Some(&it.token),
                Some(&it.expiration),
            )
        })
        .ok_or(CredentialError::Malformed { service: request.service })
}

fn fetch_text(
    transport: &mut dyn TokenTransport,
    request: &TokenRequest,
) -> Result<String, CredentialError> {
    let service = request.service;
    let answer = transport.call(request)?;
    if answer.status != 200 {
        let (status, code) = (answer.status, String::new());
        return Err(CredentialError::Refused { service, status, code });
    }
    String::from_utf8(answer.body).map_err(|_| CredentialError::Malformed { service })
}

fn get(service: &'static str, url: String, fields: Vec<(&'static str, Secret)>) -> TokenRequest {
    TokenRequest { service, method: "GET", url, fields, body: Secret::new(String::new()) }
}

fn container(
    transport: &mut dyn TokenTransport,
    url: &str,
    token: Option<&Secret>,
    token_file: Option<&str>,
) -> Result<Token, CredentialError> {
    let read = match token_file {
        Some(file) => Some(Secret::new(transport.read_file(file)?.trim().to_owned())),
        None => token.cloned(),
    };
    let fields = read.into_iter().map(|token| ("authorization", token)).collect();
    fetch_keys(transport, &get(CONTAINER, url.to_owned(), fields))
}

/// IMDSv2 only: version 1 answers anyone who can make the gateway send a plain `GET`.
fn instance(transport: &mut dyn TokenTransport, url: &str) -> Result<Token, CredentialError> {
    let opening = TokenRequest {
        service: METADATA,
        method: "PUT",
        url: format!("{url}/latest/api/token"),
        fields: vec![(
            "x-aws-ec2-metadata-token-ttl-seconds",
            Secret::new(SESSION_SECONDS.to_owned()),
        )],
        body: Secret::new(String::new()),
    };
    let session = fetch_text(transport, &opening)?;
    if session.is_empty() || !is_field_value(&session) {
        return Err(CredentialError::Malformed { service: METADATA });
    }
    let fields = || vec![("x-aws-ec2-metadata-token", Secret::new(session.clone()))];
    let list = format!("{url}/latest/meta-data/iam/security-credentials/");
    let roles = fetch_text(transport, &get(METADATA, list.clone(), fields()))?;
    let role = roles.lines().next().unwrap_or_default().trim();
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"+=,.@_-".contains(&byte);
    if role.is_empty() || !role.bytes().all(legal) {
        return Err(CredentialError::Malformed { service: METADATA });
    }
    fetch_keys(transport, &get(METADATA, format!("{list}{role}"), fields()))
}

#[cfg(test)]
mod tests {
    use super::super::test_transport::{self, ScriptedTransport};
    use super::*;

    fn keys(session: Option<&str>) -> AwsKeys {
        AwsKeys {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            // The published key of the test suite.
            secret_access_key: Secret::new(
                ["wJalrXUtnFEMI/K7MDENG", "bPxRfiCYEXAMPLEKEY"].join("+"),
            ),
            session_token: session.map(|text| Secret::new(text.to_owned())),
        }
    }

    /// Cases of AWS's published test suite for Signature Version 4.
    #[test]
    fn signatures_match_the_published_suite() {
        let now = Duration::from_secs(1_440_938_160);
        let get = test_transport::call("/", now);
        let cases = [
            (
                get,
                None,
                "host;x-amz-date",
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                UnsignedRequest { method: "POST", ..get },
                None,
                "host;x-amz-date",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                UnsignedRequest { query: Some("Param2=value2&Param1=value1"), ..get },
                None,
                "host;x-amz-date",
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
            (
                get,
                Some("6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267"),
                "host;x-amz-date;x-amz-security-token",
                "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8",
            ),
        ];
        for (call, session, names, signature) in cases {
            let fields = sign_with(&keys(session), "us-east-1", "service", &call).expect("signed");
            let value = |name: &str| {
                fields.iter().find(|it| it.name == name).map(|it| it.value.reveal().to_owned())
            };
            let expected = format!(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                 SignedHeaders={names}, Signature={signature}"
            );
            assert_eq!(value("authorization"), Some(expected));
            assert_eq!(value("x-amz-date").as_deref(), Some("20150830T123600Z"));
            assert_eq!(value("x-amz-security-token").as_deref(), session);
        }
    }

    /// The suite's case of a path with escapes, which the signature escapes twice.
    #[test]
    fn paths_are_escaped_twice() {
        let keys = AwsKeys {
            access_key_id: "ANOTREAL".to_owned(),
            secret_access_key: Secret::new("notrealrnrELgWzOk3IfjzDKtFBhDby".to_owned()),
            session_token: None,
        };
        let call = UnsignedRequest {
            method: "POST",
            authority: "tj9n5r0m12.execute-api.us-east-1.amazonaws.com",
            ..test_transport::call(
                "/test/@connections/JBDvjfGEIAMCERw%3D",
                Duration::from_secs(1_440_938_160),
            )
        };
        let fields = sign_with(&keys, "us-east-1", "service", &call).expect("signed");
        let authorization = fields.iter().find(|it| it.name == "authorization").expect("signed");
        let expected = "Signature=57d157672191bac40bae387e48bbe14b15303c001fdbb01f4abf295dccb09705";
        assert!(authorization.value.reveal().ends_with(expected));
    }

    #[test]
    fn bodies_are_signed_and_streams_are_not() {
        let call = |body: &'static [u8]| UnsignedRequest {
            method: "POST",
            body: Payload::Whole(body),
            content_type: Some("application/json"),
            ..test_transport::call("/", Duration::ZERO)
        };
        let sign = |call: &UnsignedRequest<'_>| {
            let fields = sign_with(&keys(None), "us-east-1", "bedrock", call)?;
            let found = fields.iter().find(|it| it.name == "authorization");
            Ok::<_, CredentialError>(
                found.map(|it| it.value.reveal().to_owned()).unwrap_or_default(),
            )
        };
        let one = sign(&call(b"{}")).expect("signed");
        assert!(one.contains("SignedHeaders=content-type;host;x-amz-date,"), "{one}");
        assert_ne!(one, sign(&call(b"[]")).expect("signed"));
        let streamed = UnsignedRequest { body: Payload::Streamed, ..call(b"") };
        assert_eq!(sign(&streamed), Err(CredentialError::Streamed));
    }

    const KEYS: &str = r#"{"Code":"Success","AccessKeyId":"ASIATEST","SecretAccessKey":"test-secret","Token":"test-session","Expiration":"1970-01-01T01:00:00Z"}"#;
    const ROLE: &str = "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>test-secret</SecretAccessKey><SessionToken>test-session</SessionToken><Expiration>1970-01-01T02:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>";

    fn fetched(source: &AwsSource, transport: &mut ScriptedTransport) -> (String, u64) {
        let token = source.fetch(transport).expect("keys");
        let TokenValue::Aws(keys) = token.value else { panic!("keys") };
        (keys.access_key_id, token.expires_at.as_secs())
    }

    fn role() -> AwsRole {
        AwsRole {
            arn: "arn:aws:iam::1:role/r".to_owned(),
            external_id: Some("e 1".to_owned()),
            region: "eu-west-1".to_owned(),
            sts_url: "https://sts.eu-west-1.amazonaws.com".to_owned(),
            sts_authority: "sts.eu-west-1.amazonaws.com".to_owned(),
        }
    }

    #[test]
    fn assume_role_request_is_signed() {
        let source = AwsSource { base: AwsBase::Given(keys(None)), role: Some(role()) };
        let mut transport = ScriptedTransport::new(60, &[(200, ROLE)]);
        assert_eq!(fetched(&source, &mut transport), ("ASIAROLE".to_owned(), 7_200));
        let line = &transport.lines()[0];
        for part in [
            "POST https://sts.eu-west-1.amazonaws.com/ ",
            "content-type=application/x-www-form-urlencoded",
            "/eu-west-1/sts/aws4_request, SignedHeaders=content-type;host;x-amz-date,",
            "x-amz-date=19700101T000100Z",
            "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr&",
            "&ExternalId=e%201",
        ] {
            assert!(line.contains(part), "{part}\n{line}");
        }
        let body = "<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>";
        let refused = source.fetch(&mut ScriptedTransport::new(60, &[(403, body)]));
        let expected =
            CredentialError::Refused { service: STS, status: 403, code: "AccessDenied".to_owned() };
        assert_eq!(refused.err(), Some(expected));
    }

    #[test]
    fn machine_credentials_have_three_sources() {
        let instance = AwsBase::Instance { url: "http://169.254.169.254".to_owned() };
        let metadata = "http://169.254.169.254/latest";
        let list = format!("{metadata}/meta-data/iam/security-credentials/");
        for (base, answers, lines) in [
            (
                instance.clone(),
                vec![(200, "test-session"), (200, "my-role\n"), (200, KEYS)],
                vec![
                    format!("PUT {metadata}/api/token x-aws-ec2-metadata-token-ttl-seconds=60"),
                    format!("GET {list} x-aws-ec2-metadata-token=test-session"),
                    format!("GET {list}my-role x-aws-ec2-metadata-token=test-session"),
                ],
            ),
            (
                AwsBase::Container {
                    url: "http://169.254.170.2/v2/credentials/x".to_owned(),
                    token: None,
                    token_file: None,
                },
                vec![(200, KEYS)],
                vec!["GET http://169.254.170.2/v2/credentials/x".to_owned()],
            ),
            (
                AwsBase::Container {
                    url: "http://169.254.170.23/v1/credentials".to_owned(),
                    token: None,
                    token_file: Some("/run/web-identity".to_owned()),
                },
                vec![(200, KEYS)],
                vec![
                    "GET http://169.254.170.23/v1/credentials authorization=test-web-token"
                        .to_owned(),
                ],
            ),
        ] {
            let mut transport = ScriptedTransport::new(0, &answers);
            let source = AwsSource { base, role: None };
            assert_eq!(fetched(&source, &mut transport), ("ASIATEST".to_owned(), 3_600));
            assert_eq!(transport.lines(), lines);
        }
        // The machine's keys may then assume a role.
        let source = AwsSource { base: instance, role: Some(role()) };
        let answers = [(200, "s"), (200, "r"), (200, KEYS), (200, ROLE)];
        let mut transport = ScriptedTransport::new(0, &answers);
        assert_eq!(fetched(&source, &mut transport).0, "ASIAROLE");
        assert!(transport.lines()[3].contains("x-amz-security-token=test-session"));
    }

    #[test]
    fn web_identity_token_is_exchanged() {
        let source = |token_file: &str| AwsSource {
            base: AwsBase::WebIdentity {
                token_file: token_file.to_owned(),
                role_arn: "arn:aws:iam::1:role/r".to_owned(),
                sts_url: "https://sts.amazonaws.com".to_owned(),
            },
            role: None,
        };
        let mut transport = ScriptedTransport::new(0, &[(200, ROLE)]);
        assert_eq!(fetched(&source("/run/web-identity"), &mut transport).0, "ASIAROLE");
        let line = &transport.lines()[0];
        assert!(line.ends_with("&WebIdentityToken=test-web-token"), "{line}");
        let absent = source("/absent").fetch(&mut ScriptedTransport::new(0, &[]));
        assert!(matches!(absent, Err(CredentialError::File { .. })));
    }

    #[test]
    fn invalid_key_responses_are_rejected() {
        let instance = AwsBase::Instance { url: "http://m".to_owned() };
        for answers in [
            vec![(404, "")],
            vec![(200, "")],
            vec![(200, "s"), (404, "no role")],
            vec![(200, "s"), (200, "../../x")],
            vec![(200, "s"), (200, "r"), (200, "{}")],
            vec![(200, "s"), (200, "r"), (200, "<html>")],
        ] {
            let source = AwsSource { base: instance.clone(), role: None };
            assert!(source.fetch(&mut ScriptedTransport::new(0, &answers)).is_err(), "{answers:?}");
        }
        let source = AwsSource { base: AwsBase::Given(keys(None)), role: Some(role()) };
        for body in ["", "<AccessKeyId>a</AccessKeyId>", &ROLE.replace("1970-01-01T", "x")] {
            let read = source.fetch(&mut ScriptedTransport::new(0, &[(200, body)]));
            assert_eq!(read.err(), Some(CredentialError::Malformed { service: STS }), "{body}");
        }
    }
}

//! Tokens by OAuth 2.0 (RFC 6749): the response format of Entra, Google, IBM and metadata services.

use std::time::Duration;

use super::error::code_word;
use super::escape::form;
use super::{CredentialError, Token, TokenRequest, TokenResponse, TokenTransport};
use crate::base::Secret;

/// Longest lifetime that is accepted; the token is renewed by then in any case.
const LIFE_MAX: u64 = 24 * 60 * 60;

/// An integer, or one in quotes, as Azure's metadata service writes it.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(f64),
    Text(String),
}

impl Seconds {
    fn duration(&self) -> Option<Duration> {
        let seconds = match self {
            Self::Number(number) => *number,
            Self::Text(text) => text.parse().ok()?,
        };
        #[expect(clippy::cast_precision_loss, reason = "a day of seconds is exact")]
        let longest = LIFE_MAX as f64;
        (seconds > 0.0).then(|| Duration::from_secs_f64(seconds.min(longest)))
    }
}

#[derive(serde::Deserialize)]
struct TokenGrant {
    access_token: String,
    expires_in: Seconds,
}

#[derive(serde::Deserialize)]
struct GrantError {
    #[serde(default)]
    error: String,
    /// IBM's name for it.
    #[serde(default, rename = "errorCode")]
    error_code: String,
}

/// A form `POST`.
pub(super) fn post_form(
    service: &'static str,
    url: String,
    members: &[(&str, &str)],
) -> TokenRequest {
    TokenRequest {
        service,
        method: "POST",
        url,
        fields: vec![
            ("content-type", Secret::new("application/x-www-form-urlencoded".to_owned())),
            ("accept", Secret::new("application/json".to_owned())),
        ],
        body: Secret::new(form(members)),
    }
}

/// Makes the call and parses the token in the response.
pub(super) fn request_token(
    transport: &mut dyn TokenTransport,
    request: &TokenRequest,
) -> Result<Token, CredentialError> {
    let answer = transport.call(request)?;
    read(request.service, &answer, transport.now())
}

/// Parses a response received at `now`.
fn read(
    service: &'static str,
    answer: &TokenResponse,
    now: Duration,
) -> Result<Token, CredentialError> {
    if answer.status != 200 {
        let error: Option<GrantError> = serde_json::from_slice(&answer.body).ok();
        let word = error.map(|it| if it.error.is_empty() { it.error_code } else { it.error });
        let code = code_word(&word.unwrap_or_default());
        return Err(CredentialError::Refused { service, status: answer.status, code });
    }
    let grant: Option<TokenGrant> = serde_json::from_slice(&answer.body).ok();
    grant
        .and_then(|it| Token::bearer(&it.access_token, now + it.expires_in.duration()?))
        .ok_or(CredentialError::Malformed { service })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_responses_are_parsed() {
        let at = |seconds| Ok(Duration::from_secs(seconds));
        let malformed = || Err(CredentialError::Malformed { service: "S" });
        let refused = |status, code: &str| {
            Err(CredentialError::Refused { service: "S", status, code: code.to_owned() })
        };
        for (status, body, expected) in [
            (200, r#"{"access_token":"t","expires_in":3599,"token_type":"Bearer"}"#, at(4_599)),
            (200, r#"{"access_token":"t","expires_in":"86399"}"#, at(87_399)),
            (200, r#"{"access_token":"t","expires_in":1e300}"#, at(87_400)),
            (200, r#"{"access_token":"t","expires_in":0}"#, malformed()),
            (200, r#"{"access_token":"t","expires_in":-5}"#, malformed()),
            (200, r#"{"access_token":"t"}"#, malformed()),
            (200, r#"{"access_token":"","expires_in":5}"#, malformed()),
            (200, r#"{"access_token":"a\nb","expires_in":5}"#, malformed()),
            (200, "<html>", malformed()),
            (302, "", refused(302, "")),
            (
                401,
                r#"{"error":"invalid_client","error_description":"x y"}"#,
                refused(401, "invalid_client"),
            ),
            (400, r#"{"errorCode":"BXNIM0415E"}"#, refused(400, "BXNIM0415E")),
            (400, r#"{"error":"the secret abc is wrong"}"#, refused(400, "")),
        ] {
            let answer = TokenResponse { status, body: body.as_bytes().to_vec() };
            let read = read("S", &answer, Duration::from_secs(1_000));
            assert_eq!(read.map(|token| token.expires_at), expected, "{body}");
        }
    }
}

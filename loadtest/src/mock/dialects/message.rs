//! A request and its reply as the dialects see them, without their framing.

use serde_json::Value;

use super::path::Endpoint;

/// What of a request an answer depends on.
pub struct Request<'a> {
    pub endpoint: &'a Endpoint,
    pub headers: &'a Headers,
    pub body: &'a [u8],
    /// Refuse a request without a credential.
    pub require_auth: bool,
}

/// Header lines, names in lower case.
#[derive(Debug, Default)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// Reads the lines of a head that has been parsed before.
    pub fn read(head: &[u8]) -> Self {
        let text = String::from_utf8_lossy(head);
        let lines = text.lines().skip(1).filter_map(|line| line.split_once(':'));
        let row =
            |(name, value): (&str, &str)| (name.to_ascii_lowercase(), value.trim().to_owned());
        Self(lines.map(row).collect())
    }

    /// The value of a header that is there and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        let row = self.0.iter().find(|(own, value)| own == name && !value.is_empty());
        row.map(|(_, value)| value.as_str())
    }

    /// True if a bearer token is there.
    pub fn has_bearer(&self) -> bool {
        let token = self.get("authorization").and_then(|value| value.strip_prefix("Bearer "));
        token.is_some_and(|token| !token.trim().is_empty())
    }
}

/// An answer before it is framed.
pub struct Reply {
    pub status: u16,
    pub content_type: &'static str,
    /// Further header lines, each with its line end.
    pub fields: String,
    pub body: Body,
    /// The connection breaks in the middle of the body.
    pub cut: bool,
}

/// The payload of a reply.
pub enum Body {
    Whole(Vec<u8>),
    Events(Vec<Vec<u8>>),
}

impl Reply {
    pub fn json(status: u16, body: &Value) -> Self {
        Self {
            status,
            content_type: "application/json",
            fields: String::new(),
            body: Body::Whole(body.to_string().into_bytes()),
            cut: false,
        }
    }

    pub fn with_field(mut self, name: &str, value: &str) -> Self {
        self.fields.push_str(&format!("{name}: {value}\r\n"));
        self
    }

    /// Says when to come back, for the statuses that pass.
    pub fn with_retry_after(self) -> Self {
        let passes = matches!(self.status, 408 | 409 | 429 | 498 | 500..);
        if passes { self.with_field("retry-after", "1") } else { self }
    }
}

//! The paths of the data plane: one table from path to endpoint.

use super::failure::Failure;
use crate::http::Method;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// `POST /v1/chat/completions`.
    ChatCompletions,
    /// `POST /v1/completions`.
    Completions,
    /// `POST /v1/embeddings`.
    Embeddings,
    /// `GET /v1/models` and `GET /v1/models/{id}`.
    Models,
    /// `POST /v1/feedback`.
    Feedback,
    /// Any other `/v1/*`.
    PassThrough,
}

/// A path that the gateway itself understands, and the method it takes.
const PATHS: &[(&str, Endpoint, Method)] = &[
    ("/v1/chat/completions", Endpoint::ChatCompletions, Method::Post),
    ("/v1/completions", Endpoint::Completions, Method::Post),
    ("/v1/embeddings", Endpoint::Embeddings, Method::Post),
    ("/v1/models", Endpoint::Models, Method::Get),
    ("/v1/feedback", Endpoint::Feedback, Method::Post),
];

impl Endpoint {
    /// The endpoint of a path and method.
    pub(super) fn find(path: &str, method: Method) -> Result<Self, Failure> {
        if let Some((_, endpoint, takes)) = PATHS.iter().find(|(known, ..)| *known == path) {
            // A server that answers GET answers HEAD (RFC 9110 section 9.3.2).
            let head = *takes == Method::Get && method == Method::Head;
            let taken = *takes == method || head;
            return if taken { Ok(*endpoint) } else { Err(Failure::MethodNotAllowed) };
        }
        if is_disguised(path) {
            return Err(Failure::NotFound);
        }
        match path.strip_prefix("/v1/") {
            Some(rest) if rest.strip_prefix("models/").is_some_and(|id| !id.is_empty()) => {
                // Deleting a fine-tuned model is the provider's business.
                let reads = matches!(method, Method::Get | Method::Head);
                Ok(if reads { Self::Models } else { Self::PassThrough })
            }
            Some(rest) if !rest.is_empty() => Ok(Self::PassThrough),
            _ => Err(Failure::NotFound),
        }
    }

    /// The methods that a path takes, for the answer to one it does not.
    pub(super) fn allowed(path: &str) -> &'static str {
        match PATHS.iter().find(|(known, ..)| *known == path) {
            Some((.., Method::Get)) => "GET, HEAD",
            Some((.., method)) => method.as_str(),
            None => "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
        }
    }

    /// Name in metrics and logs.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ChatCompletions => "chat_completions",
            Self::Completions => "completions",
            Self::Embeddings => "embeddings",
            Self::Models => "models",
            Self::Feedback => "feedback",
            Self::PassThrough => "pass_through",
        }
    }

    /// What the ids of its answers begin with.
    pub(super) fn answer_prefix(self) -> &'static str {
        match self {
            Self::Completions => "cmpl",
            _ => "chatcmpl",
        }
    }

    /// True where the gateway reads the JSON of request and answer.
    pub(super) fn is_metered(self) -> bool {
        matches!(self, Self::ChatCompletions | Self::Completions | Self::Embeddings)
    }
}

/// True for another spelling of a path in the table (`//`, a slash at the end, needless escapes):
/// passed through, a provider might take it for the path itself, unmetered.
fn is_disguised(path: &str) -> bool {
    if !(path.contains("//") || path.contains('%') || path.ends_with('/')) {
        return false;
    }
    let decoded = percent_decoded(path);
    let mut plain = String::with_capacity(decoded.len());
    for segment in decoded.split('/').filter(|segment| !segment.is_empty()) {
        plain.push('/');
        plain.push_str(segment);
    }
    PATHS.iter().any(|(known, ..)| plain.eq_ignore_ascii_case(known))
}

fn percent_decoded(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [first, tail @ ..] = rest {
        let escape = match rest {
            [b'%', high, low, ..] => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match escape {
            Some((high, low)) => {
                bytes.push(high * 16 + low);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        use Endpoint::{ChatCompletions, Embeddings, Models, PassThrough};
        for (method, path, expected) in [
            (Method::Post, "/v1/chat/completions", Some(ChatCompletions)),
            (Method::Post, "/v1/embeddings", Some(Embeddings)),
            (Method::Get, "/v1/models", Some(Models)),
            (Method::Head, "/v1/models", Some(Models)),
            (Method::Head, "/v1/models/gpt-4o", Some(Models)),
            (Method::Get, "/v1/models/gpt-4o", Some(Models)),
            (Method::Get, "/v1/models/org/name", Some(Models)),
            (Method::Delete, "/v1/models/ft:x", Some(PassThrough)),
            (Method::Post, "/v1/files", Some(PassThrough)),
            (Method::Post, "/v1/responses", Some(PassThrough)),
            (Method::Get, "/v1/models/org%2Fname", Some(Models)),
        ] {
            assert_eq!(Endpoint::find(path, method).ok(), expected, "{path}");
        }
        for path in [
            "/",
            "/v1",
            "/v1/",
            "/v2/models",
            "/healthz",
            "/v1/chat/completions/",
            "/v1//chat/completions",
            "/v1/%63hat/completions",
            "/v1/chat%2Fcompletions",
            "/v1/embeddings//",
        ] {
            assert!(matches!(Endpoint::find(path, Method::Get), Err(Failure::NotFound)), "{path}");
        }
        for method in [Method::Get, Method::Head] {
            let found = Endpoint::find("/v1/chat/completions", method);
            assert!(matches!(found, Err(Failure::MethodNotAllowed)));
        }
    }

    #[test]
    fn telemetry_knows_all_names() {
        use Endpoint::{ChatCompletions, Completions, Embeddings, Models, PassThrough};
        let all = [ChatCompletions, Completions, Embeddings, Models, PassThrough];
        let names: Vec<&str> = all.iter().map(|endpoint| endpoint.name()).collect();
        assert_eq!(crate::telemetry::ENDPOINTS.get(1..), Some(names.as_slice()));
    }
}

//! Request paths that contain the model, a deployment or a version.
//!
//! Most vendors use the dialect's path below their base URL. The others are here, each as its
//! reference documents it. Text from a client is escaped: it names a model and cannot leave its
//! segment or the host.

use std::borrow::Cow;

use super::address::Address;
use super::credential::escape_segment;
use super::{Dialect, Provider};

/// Azure OpenAI paths that belong to a deployment; the others belong to the resource.
const DEPLOYMENT_PATHS: [&str; 5] =
    ["/chat/completions", "/completions", "/embeddings", "/audio/", "/images/"];

/// Vendors with paths that contain a model, a deployment or an endpoint id, if nothing rewrites
/// their paths.
const PRESETS_WITH_MODELS_IN_PATHS: [&str; 5] =
    ["azure-openai", "databricks", "predibase", "replicate", "sagemaker"];

/// The inputs that determine the path of a request.
#[derive(Clone, Copy, Debug)]
pub struct PathParts<'a> {
    /// Path in the dialect, without the base: `/chat/completions`, `/messages`,
    /// `/models/MODEL:generateContent`, `/model/MODEL/converse`.
    pub path: &'a str,
    /// The vendor's name of the model.
    pub model: Option<&'a str>,
    /// True if a stream is requested.
    pub stream: bool,
}

/// The publisher of a model on Vertex AI, which determines path and dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Publisher {
    Google,
    Anthropic,
    Mistral,
    /// A deployed endpoint, by its number.
    Endpoint,
    /// Any other publisher: one endpoint with OpenAI's API.
    Open,
}

impl Publisher {
    /// The publisher of a model, and the model without Portkey's prefix.
    fn of(model: &str) -> (Self, &str) {
        const PREFIXES: [(&str, Publisher); 8] = [
            ("google.", Publisher::Google),
            ("anthropic.", Publisher::Anthropic),
            ("mistralai.", Publisher::Mistral),
            ("endpoints.", Publisher::Endpoint),
            ("publishers/google/models/", Publisher::Google),
            ("publishers/anthropic/models/", Publisher::Anthropic),
            ("publishers/mistralai/models/", Publisher::Mistral),
            ("endpoints/", Publisher::Endpoint),
        ];
        const NAMES: [(&str, Publisher); 10] = [
            ("claude-", Publisher::Anthropic),
            ("gemini-", Publisher::Google),
            ("text-embedding-", Publisher::Google),
            ("text-multilingual-embedding-", Publisher::Google),
            ("multimodalembedding", Publisher::Google),
            ("imagen-", Publisher::Google),
            ("veo-", Publisher::Google),
            ("mistral-", Publisher::Mistral),
            ("codestral-", Publisher::Mistral),
            ("ministral-", Publisher::Mistral),
        ];
        let prefixed = PREFIXES.iter().find_map(|(prefix, publisher)| {
            let rest = model.strip_prefix(prefix).filter(|rest| !rest.is_empty())?;
            Some((*publisher, rest))
        });
        let named = || NAMES.iter().find(|(name, _)| model.starts_with(name));
        prefixed.unwrap_or_else(|| (named().map_or(Self::Open, |(_, it)| *it), model))
    }
}

impl Provider {
    /// The dialect in which this provider serves `model`.
    #[must_use]
    pub fn dialect_for(&self, model: Option<&str>) -> Dialect {
        let Some(model) = model.filter(|_| self.has_dialects) else { return self.dialect };
        match &self.address {
            Address::Vertex { .. } => match Publisher::of(model).0 {
                Publisher::Google => Dialect::Gemini,
                Publisher::Anthropic => Dialect::AnthropicMessages,
                Publisher::Mistral | Publisher::Endpoint | Publisher::Open => Dialect::OpenaiChat,
            },
            // A deployment may have any name; the default is that of its model.
            Address::Foundry { is_resource: true, .. } if model.contains("claude") => {
                Dialect::AnthropicMessages
            }
            // Names that Databricks reserves for the models that it hosts.
            Address::Databricks if model.starts_with("databricks-claude-") => {
                Dialect::AnthropicMessages
            }
            _ => self.dialect,
        }
    }

    /// True for Vertex AI, whose embeddings have a format of their own.
    #[must_use]
    pub fn is_vertex(&self) -> bool {
        matches!(self.address, Address::Vertex { .. })
    }

    /// The path below the base URL; it may end with a query.
    #[must_use]
    pub fn path<'a>(&self, parts: &PathParts<'a>) -> Cow<'a, str> {
        let path = parts.path;
        match &self.address {
            Address::Plain => Cow::Borrowed(path),
            Address::Azure { deployment, version } => {
                azure_path(parts, deployment.as_deref(), version).into()
            }
            Address::Foundry { is_resource, version } => {
                let api = match (is_resource, is_messages(path)) {
                    (true, true) => "/anthropic/v1",
                    (true, false) => "/openai/v1",
                    (false, _) => "",
                };
                match version {
                    Some(version) => {
                        with_query(format!("{api}{path}"), "api-version", version).into()
                    }
                    None if api.is_empty() => Cow::Borrowed(path),
                    None => format!("{api}{path}").into(),
                }
            }
            Address::Bedrock => bedrock_path(parts),
            Address::Vertex { prefix } => format!("{prefix}{}", vertex_path(parts)).into(),
            Address::Databricks if is_messages(path) => format!("/anthropic/v1{path}").into(),
            Address::Databricks => Cow::Borrowed(path),
            Address::Watsonx { version, .. } => {
                let path = match (path, parts.stream) {
                    ("/chat/completions", false) => "/text/chat",
                    ("/chat/completions", true) => "/text/chat_stream",
                    ("/embeddings", _) => "/text/embeddings",
                    (path, _) => path,
                };
                with_query(path.to_owned(), "version", version).into()
            }
        }
    }

    /// Members that this provider's bodies need beyond the dialect's, by name, with their values;
    /// `None` removes the member.
    #[must_use]
    pub fn members<'a>(&'a self, model: Option<&'a str>) -> Vec<(&'static str, Option<&'a str>)> {
        match &self.address {
            Address::Watsonx { payer, .. } => {
                let payer = payer.as_ref().map(|(name, id)| (*name, Some(id.as_str())));
                model.map(|model| ("model_id", Some(model))).into_iter().chain(payer).collect()
            }
            // Google's reference, "Claude on Vertex AI": the model is in the path, the version in
            // the body.
            Address::Vertex { .. } if self.dialect_for(model) == Dialect::AnthropicMessages => {
                vec![("model", None), ("anthropic_version", Some("vertex-2023-10-16"))]
            }
            _ => Vec::new(),
        }
    }

    /// True if a path from the client may name a model, independent of the body.
    #[must_use]
    pub fn has_models_in_paths(&self) -> bool {
        matches!(
            self.address,
            Address::Azure { .. }
                | Address::Bedrock
                | Address::Vertex { .. }
                | Address::Foundry { .. }
        ) || matches!(self.dialect, Dialect::Gemini | Dialect::BedrockConverse)
            || self.preset.is_some_and(|slug| PRESETS_WITH_MODELS_IN_PATHS.contains(&slug))
    }
}

fn is_messages(path: &str) -> bool {
    path == "/messages" || path.starts_with("/messages/")
}

fn with_query(path: String, name: &str, value: &str) -> String {
    let separator = if path.contains('?') { '&' } else { '?' };
    format!("{path}{separator}{name}={value}")
}

fn azure_path(parts: &PathParts<'_>, deployment: Option<&str>, version: &str) -> String {
    let path = parts.path;
    let deployment = deployment.or(parts.model).map(escape_segment);
    let of_deployment = DEPLOYMENT_PATHS.iter().any(|known| match known.strip_suffix('/') {
        Some(_) => path.starts_with(known),
        None => path == *known,
    });
    match deployment {
        Some(deployment) if of_deployment => {
            with_query(format!("/deployments/{deployment}{path}"), "api-version", version)
        }
        Some(deployment) if path == "/realtime" => {
            let path = with_query(path.to_owned(), "api-version", version);
            with_query(path, "deployment", &deployment)
        }
        _ => with_query(path.to_owned(), "api-version", version),
    }
}

/// `/model/MODEL/converse`: the model of the request replaces the one in the path, escaped as one
/// segment, since ids contain colons and slashes.
fn bedrock_path<'a>(parts: &PathParts<'a>) -> Cow<'a, str> {
    let action = parts.path.strip_prefix("/model/").and_then(|rest| rest.rsplit_once('/'));
    match (action, parts.model) {
        (Some((_, action)), Some(model)) => {
            format!("/model/{}/{action}", escape_segment(model)).into()
        }
        _ => Cow::Borrowed(parts.path),
    }
}

fn vertex_path(parts: &PathParts<'_>) -> String {
    let path = parts.path;
    let (publisher, model) = parts.model.map_or((Publisher::Open, ""), Publisher::of);
    let model = escape_segment(model);
    let raw = if parts.stream { "streamRawPredict" } else { "rawPredict" };
    if path == "/messages/count_tokens" {
        return "/publishers/anthropic/models/count-tokens:rawPredict".to_owned();
    }
    match publisher {
        Publisher::Anthropic if path == "/messages" => {
            format!("/publishers/anthropic/models/{model}:{raw}")
        }
        Publisher::Mistral if path == "/chat/completions" => {
            format!("/publishers/mistralai/models/{model}:{raw}")
        }
        Publisher::Endpoint if path == "/chat/completions" => {
            format!("/endpoints/{model}/chat/completions")
        }
        Publisher::Google => match path.strip_prefix("/models/").and_then(|it| it.rsplit_once(':'))
        {
            Some((_, action)) => format!("/publishers/google/models/{model}:{action}"),
            None if path == "/chat/completions" => format!("/endpoints/openapi{path}"),
            None => path.to_owned(),
        },
        _ if path == "/chat/completions" => format!("/endpoints/openapi{path}"),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::{BaseUrl, preset};

    fn provider(address: Address, dialect: Dialect) -> Provider {
        let base = BaseUrl::parse("https://base.example").expect("plain");
        let row = preset("openai").expect("built in");
        let has_dialects = address.has_dialects();
        Provider { address, dialect, has_dialects, ..Provider::unlisted(row, base) }
    }

    fn check(address: Address, cases: &[(&str, Option<&str>, bool, &str)]) {
        let provider = provider(address, Dialect::OpenaiChat);
        for (path, model, stream, expected) in cases {
            let parts = PathParts { path, model: *model, stream: *stream };
            assert_eq!(provider.path(&parts), *expected, "{parts:?}");
        }
    }

    /// From Microsoft's reference of Azure OpenAI, version 2024-10-21.
    #[test]
    fn azure_paths() {
        let version = || "2024-10-21".to_owned();
        check(
            Address::Azure { deployment: Some("my-gpt".to_owned()), version: version() },
            &[
                (
                    "/chat/completions",
                    Some("gpt-4o"),
                    false,
                    "/deployments/my-gpt/chat/completions?api-version=2024-10-21",
                ),
                (
                    "/embeddings",
                    None,
                    false,
                    "/deployments/my-gpt/embeddings?api-version=2024-10-21",
                ),
                (
                    "/images/generations",
                    None,
                    false,
                    "/deployments/my-gpt/images/generations?api-version=2024-10-21",
                ),
                (
                    "/audio/transcriptions",
                    None,
                    false,
                    "/deployments/my-gpt/audio/transcriptions?api-version=2024-10-21",
                ),
                ("/files", None, false, "/files?api-version=2024-10-21"),
                ("/responses", Some("m"), true, "/responses?api-version=2024-10-21"),
                ("/fine_tuning/jobs", None, false, "/fine_tuning/jobs?api-version=2024-10-21"),
                ("/realtime", None, false, "/realtime?api-version=2024-10-21&deployment=my-gpt"),
            ],
        );
        check(
            Address::Azure { deployment: None, version: version() },
            &[
                (
                    "/chat/completions",
                    Some("gpt-4o"),
                    true,
                    "/deployments/gpt-4o/chat/completions?api-version=2024-10-21",
                ),
                (
                    "/chat/completions",
                    Some("../x?y#z"),
                    false,
                    "/deployments/..%2Fx%3Fy%23z/chat/completions?api-version=2024-10-21",
                ),
                (
                    "/chat/completions",
                    Some(".."),
                    false,
                    "/deployments/%252E%252E/chat/completions?api-version=2024-10-21",
                ),
                ("/chat/completions", None, false, "/chat/completions?api-version=2024-10-21"),
            ],
        );
    }

    /// From the references of Foundry's OpenAI, model inference and Claude endpoints.
    #[test]
    fn foundry_paths() {
        check(
            Address::Foundry { is_resource: true, version: None },
            &[
                ("/chat/completions", Some("gpt-4o"), false, "/openai/v1/chat/completions"),
                ("/messages", Some("claude-sonnet-4-5"), true, "/anthropic/v1/messages"),
                ("/messages/count_tokens", None, false, "/anthropic/v1/messages/count_tokens"),
            ],
        );
        check(
            Address::Foundry { is_resource: false, version: Some("2024-05-01-preview".to_owned()) },
            &[(
                "/chat/completions",
                None,
                false,
                "/chat/completions?api-version=2024-05-01-preview",
            )],
        );
        check(
            Address::Foundry { is_resource: false, version: None },
            &[("/messages", None, false, "/messages")],
        );
    }

    #[test]
    fn bedrock_paths() {
        check(
            Address::Bedrock,
            &[
                (
                    "/model/x/converse",
                    Some("anthropic.claude-3-5-sonnet-20240620-v1:0"),
                    false,
                    "/model/anthropic.claude-3-5-sonnet-20240620-v1%3A0/converse",
                ),
                (
                    "/model/us.meta.llama3-1-8b-instruct-v1:0/converse-stream",
                    Some("us.meta.llama3-1-8b-instruct-v1:0"),
                    true,
                    "/model/us.meta.llama3-1-8b-instruct-v1%3A0/converse-stream",
                ),
                (
                    "/model/x/invoke",
                    Some(
                        "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc",
                    ),
                    false,
                    "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2Fabc/invoke",
                ),
                ("/chat/completions", Some("openai.gpt-oss-20b-1:0"), false, "/chat/completions"),
            ],
        );
    }

    /// From Google's, Anthropic's and Mistral's references of Vertex AI.
    #[test]
    fn vertex_paths() {
        let prefix = "/projects/p/locations/us-east5";
        let cases = [
            (
                "/models/gemini-2.5-pro:generateContent",
                Some("gemini-2.5-pro"),
                false,
                "/publishers/google/models/gemini-2.5-pro:generateContent",
            ),
            (
                "/models/gemini-2.5-pro:streamGenerateContent?alt=sse",
                Some("google.gemini-2.5-pro"),
                true,
                "/publishers/google/models/gemini-2.5-pro:streamGenerateContent?alt=sse",
            ),
            (
                "/messages",
                Some("claude-opus-4@20250514"),
                false,
                "/publishers/anthropic/models/claude-opus-4@20250514:rawPredict",
            ),
            (
                "/messages",
                Some("anthropic.claude-opus-4@20250514"),
                true,
                "/publishers/anthropic/models/claude-opus-4@20250514:streamRawPredict",
            ),
            (
                "/messages/count_tokens",
                Some("claude-opus-4@20250514"),
                false,
                "/publishers/anthropic/models/count-tokens:rawPredict",
            ),
            (
                "/chat/completions",
                Some("mistral-large-2411"),
                false,
                "/publishers/mistralai/models/mistral-large-2411:rawPredict",
            ),
            (
                "/chat/completions",
                Some("codestral-2501"),
                true,
                "/publishers/mistralai/models/codestral-2501:streamRawPredict",
            ),
            (
                "/chat/completions",
                Some("meta/llama-3.3-70b-instruct-maas"),
                true,
                "/endpoints/openapi/chat/completions",
            ),
            (
                "/chat/completions",
                Some("google/gemini-2.5-flash"),
                false,
                "/endpoints/openapi/chat/completions",
            ),
            (
                "/chat/completions",
                Some("endpoints.1234567890"),
                false,
                "/endpoints/1234567890/chat/completions",
            ),
            ("/chat/completions", None, false, "/endpoints/openapi/chat/completions"),
            (
                "/messages",
                Some("claude-x:predict"),
                false,
                "/publishers/anthropic/models/claude-x%3Apredict:rawPredict",
            ),
            (
                "/messages",
                Some("claude-/../../x"),
                false,
                "/publishers/anthropic/models/claude-%2F..%2F..%2Fx:rawPredict",
            ),
        ];
        let cases = cases
            .map(|(path, model, stream, rest)| (path, model, stream, format!("{prefix}{rest}")));
        let cases: Vec<(&str, Option<&str>, bool, &str)> = cases
            .iter()
            .map(|(path, model, stream, it)| (*path, *model, *stream, it.as_str()))
            .collect();
        check(Address::Vertex { prefix: prefix.to_owned() }, &cases);
    }

    #[test]
    fn other_provider_paths() {
        check(
            Address::Databricks,
            &[
                ("/chat/completions", Some("m"), false, "/chat/completions"),
                ("/messages", Some("databricks-claude-sonnet-4-5"), true, "/anthropic/v1/messages"),
            ],
        );
        check(
            Address::Watsonx { version: "2024-10-08".to_owned(), payer: None },
            &[
                ("/chat/completions", Some("m"), false, "/text/chat?version=2024-10-08"),
                ("/chat/completions", Some("m"), true, "/text/chat_stream?version=2024-10-08"),
            ],
        );
        check(Address::Plain, &[("/chat/completions", Some(".."), false, "/chat/completions")]);
    }

    #[test]
    fn dialect_follows_the_model() {
        let vertex = || Address::Vertex { prefix: String::new() };
        let resource = || Address::Foundry { is_resource: true, version: None };
        for (address, model, expected) in [
            (vertex(), "gemini-2.5-pro", Dialect::Gemini),
            (vertex(), "claude-opus-4@20250514", Dialect::AnthropicMessages),
            (vertex(), "mistral-large-2411", Dialect::OpenaiChat),
            (vertex(), "meta/llama-3.3-70b-instruct-maas", Dialect::OpenaiChat),
            (vertex(), "openai/gpt-oss-120b-maas", Dialect::OpenaiChat),
            (resource(), "claude-sonnet-4-5", Dialect::AnthropicMessages),
            (resource(), "gpt-4o", Dialect::OpenaiChat),
            (Address::Databricks, "databricks-claude-sonnet-4-5", Dialect::AnthropicMessages),
            (Address::Databricks, "databricks-meta-llama-3-3-70b-instruct", Dialect::OpenaiChat),
            (Address::Plain, "claude-sonnet-4-5", Dialect::OpenaiChat),
        ] {
            let provider = provider(address, Dialect::OpenaiChat);
            assert_eq!(provider.dialect_for(Some(model)), expected, "{model}");
            assert_eq!(provider.dialect_for(None), Dialect::OpenaiChat);
        }
        let fixed = Provider { has_dialects: false, ..provider(vertex(), Dialect::OpenaiChat) };
        assert_eq!(fixed.dialect_for(Some("gemini-2.5-pro")), Dialect::OpenaiChat);
    }
}

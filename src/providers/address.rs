//! Address styles: how the paths of a provider's API are composed.

/// API version used if an Azure URL has no version in its query.
pub(super) const AZURE_V1: &str = "v1";

/// How the paths of a provider are composed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Address {
    /// The dialect's own paths.
    #[default]
    Plain,
    /// Azure OpenAI with a dated version: paths below a deployment, by default named like the
    /// model.
    Azure { deployment: Option<String>, version: String },
    /// Azure AI Foundry. A bare resource serves both OpenAI's and Anthropic's API.
    Foundry { is_resource: bool, version: Option<String> },
    /// Amazon Bedrock.
    Bedrock,
    /// Google Vertex AI. The prefix is `/projects/PROJECT/locations/REGION`, or empty if the base
    /// URL contains it.
    Vertex { prefix: String },
    /// Databricks, which serves Anthropic's API in addition to OpenAI's.
    Databricks,
    /// IBM watsonx.ai, whose bodies name the project or space that is charged.
    Watsonx { version: String, payer: Option<(&'static str, String)> },
}

impl Address {
    /// True if the dialect depends on the model of the request.
    pub(super) fn has_dialects(&self) -> bool {
        matches!(
            self,
            Self::Vertex { .. } | Self::Foundry { is_resource: true, .. } | Self::Databricks
        )
    }
}

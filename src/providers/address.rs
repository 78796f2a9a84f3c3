//! Kinds of addresses: what the paths of a provider's API are made of.

/// Version of Azure's API that has no version in its query.
pub(super) const AZURE_V1: &str = "v1";

/// How a provider's paths are made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Address {
    /// As the dialect gives them.
    #[default]
    Plain,
    /// Azure OpenAI with a dated version: below a deployment, which is the model where none is set.
    Azure { deployment: Option<String>, version: String },
    /// Azure AI Foundry. A bare resource has the APIs of `OpenAI` and of Anthropic side by side.
    Foundry { is_resource: bool, version: Option<String> },
    /// Amazon Bedrock.
    Bedrock,
    /// Google Vertex AI; the prefix is `/projects/PROJECT/locations/REGION`, or empty where the
    /// base URL holds it.
    Vertex { prefix: String },
    /// Databricks, which has Anthropic's API beside the one of `OpenAI`.
    Databricks,
    /// IBM watsonx.ai; its bodies name who pays, the project or the space.
    Watsonx { version: String, payer: Option<(&'static str, String)> },
}

impl Address {
    /// True where the model of a request decides which dialect is spoken.
    pub(super) fn has_dialects(&self) -> bool {
        matches!(
            self,
            Self::Vertex { .. } | Self::Foundry { is_resource: true, .. } | Self::Databricks
        )
    }
}

//! IBM watsonx.ai.

use super::context::{Account, AccountContext, Listed, Rule, text_of};
use crate::providers::address::Address;
use crate::providers::credential::{Credential, IbmKey, TokenSource};

/// Default API version.
const VERSION: &str = "2024-10-08";

/// Settings of the preset `watsonx`.
#[derive(Debug, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(super) struct WatsonxSettings {
    /// watsonx.ai: the region, as `us-south` or `eu-de`.
    watsonx_region: Option<String>,
    /// watsonx.ai: the project that is charged. Either this or `watsonx_space_id` is required.
    watsonx_project_id: Option<String>,
    /// watsonx.ai: the deployment space that is charged.
    watsonx_space_id: Option<String>,
    /// watsonx.ai: API version, a date. Default: `2024-10-08`.
    watsonx_api_version: Option<String>,
    /// watsonx.ai: endpoint that exchanges `api_key` for tokens. Default:
    /// `https://iam.cloud.ibm.com`.
    watsonx_iam_url: Option<String>,
}

impl WatsonxSettings {
    pub(super) fn listed(&self) -> Vec<Listed> {
        const PRESETS: &[&str] = &["watsonx"];
        vec![
            ("watsonx_region", self.watsonx_region.is_some(), PRESETS),
            ("watsonx_project_id", self.watsonx_project_id.is_some(), PRESETS),
            ("watsonx_space_id", self.watsonx_space_id.is_some(), PRESETS),
            ("watsonx_api_version", self.watsonx_api_version.is_some(), PRESETS),
            ("watsonx_iam_url", self.watsonx_iam_url.is_some(), PRESETS),
        ]
    }

    pub(super) fn check(&self, context: &mut AccountContext<'_>) -> Account {
        let region = context.text("watsonx_region", self.watsonx_region.as_ref(), Rule::Label);
        if self.watsonx_region.is_none() && context.base_url.is_none() {
            let hint = "as in watsonx_region = \"us-south\"";
            context.report("watsonx_region", "expected a region, got none", hint);
        }
        let project = self.watsonx_project_id.as_ref();
        let project = context.text("watsonx_project_id", project, Rule::Segment);
        let space = self.watsonx_space_id.as_ref();
        let space = context.text("watsonx_space_id", space, Rule::Segment);
        match (&self.watsonx_project_id, &self.watsonx_space_id) {
            (None, None) => {
                let hint = "or give watsonx_space_id";
                context.report("watsonx_project_id", "expected a project, got none", hint);
            }
            (Some(_), Some(_)) => {
                let message = "`watsonx_project_id` is given too";
                context.report("watsonx_space_id", message, "give one of the two");
            }
            _ => {}
        }
        let version = self.watsonx_api_version.as_ref();
        let version = context.text("watsonx_api_version", version, Rule::Segment);
        let payer =
            project.map(|id| ("project_id", id)).or_else(|| space.map(|id| ("space_id", id)));
        Account {
            base_url: region.map(|region| format!("https://{region}.ml.cloud.ibm.com/ml/v1")),
            address: Address::Watsonx {
                version: version.unwrap_or_else(|| VERSION.to_owned()),
                payer,
            },
            credential: self.credential(context).unwrap_or_default(),
            ..Account::default()
        }
    }

    fn credential(&self, context: &mut AccountContext<'_>) -> Option<Credential> {
        let url = self.watsonx_iam_url.as_deref();
        let url = context.token_url("watsonx_iam_url", url, "https://iam.cloud.ibm.com");
        let api_key = context.secret("api_key", context.api_key?);
        let source = IbmKey { url: text_of(&url?), api_key: api_key? };
        Some(Credential::Bearer(TokenSource::Ibm(source)))
    }
}

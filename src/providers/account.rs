//! Settings that only some vendors have (credentials, addresses), and their checks.
//!
//! Each vendor's settings are a struct of optional members, flattened into `[providers.NAME]`. A
//! check turns those of the provider's preset into an [`Account`] and rejects the others. A value
//! that becomes part of a host or path may contain only letters, digits and a few signs, so that it
//! cannot redirect requests. No message repeats a value.

mod aws;
mod azure;
mod context;
mod hosts;
mod oracle;
mod vertex;
mod watsonx;

use crate::base::{Diagnostics, member_path};

use context::Listed;

pub(super) use context::{Account, AccountContext};

/// The settings of all vendors.
#[derive(Debug, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct AccountSettings {
    #[serde(flatten)]
    azure: azure::AzureSettings,
    #[serde(flatten)]
    aws: aws::AwsSettings,
    #[serde(flatten)]
    vertex: vertex::VertexSettings,
    #[serde(flatten)]
    hosts: hosts::HostSettings,
    #[serde(flatten)]
    watsonx: watsonx::WatsonxSettings,
    #[serde(flatten)]
    oracle: oracle::OracleSettings,
}

impl AccountSettings {
    fn listed(&self) -> Vec<Listed> {
        let mut listed = self.azure.listed();
        listed.extend(self.aws.listed());
        listed.extend(self.vertex.listed());
        listed.extend(self.hosts.listed());
        listed.extend(self.watsonx.listed());
        listed.extend(self.oracle.listed());
        listed
    }

    /// Rejects settings that belong to another vendor than the preset `slug`.
    pub(super) fn refuse_foreign(
        &self,
        slug: Option<&str>,
        path: &str,
        diagnostics: &mut Diagnostics,
    ) {
        let foreign = self.listed().into_iter().filter(|(_, given, presets)| {
            *given && !slug.is_some_and(|slug| presets.contains(&slug))
        });
        for (name, _, presets) in foreign {
            let message =
                format!("this setting belongs to the preset `{}`", presets.join("` or `"));
            diagnostics.add(&member_path(path, name), message, "leave it out, or name that preset");
        }
    }

    /// The account that the settings of the preset's vendor describe.
    pub(super) fn check(&self, context: &mut AccountContext<'_>) -> Account {
        match context.slug {
            "azure-openai" => self.azure.check_openai(context),
            "azure-ai" => self.azure.check_foundry(context),
            "bedrock" | "sagemaker" => self.aws.check(context),
            "vertex-ai" => self.vertex.check(context),
            "oracle" => self.oracle.check(context),
            "watsonx" => self.watsonx.check(context),
            _ => self.hosts.check(context),
        }
    }
}

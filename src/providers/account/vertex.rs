//! Google Vertex AI.

use super::context::{Account, AccountContext, Listed, Rule, text_of};
use crate::base::Secret;
use crate::providers::address::Address;
use crate::providers::credential::{
    Credential, GoogleKey, GoogleSource, MetadataServer, TokenSource,
};

/// How requests to Google are authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum VertexAuth {
    AccessToken,
    ServiceAccount,
    Metadata,
}

/// Settings of the preset `vertex-ai`.
#[derive(Debug, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(super) struct VertexSettings {
    /// Vertex AI: the project. Default: the project in the service account file.
    vertex_project_id: Option<String>,
    /// Vertex AI: the region, as `us-central1`; or `global`, or the multi-regions `us` and `eu`.
    vertex_region: Option<String>,
    /// Vertex AI: how requests are authenticated. `service-account` fetches tokens with
    /// `vertex_service_account_json`; `metadata` gets them from the metadata server of a Google
    /// Cloud machine; `access-token` sends `api_key`, an OAuth token that is renewed elsewhere.
    /// Default: derived from the other settings; the metadata server is used only if it is set
    /// here.
    vertex_auth_type: Option<VertexAuth>,
    /// Vertex AI: content of a credential file of a service account or a user, as
    /// `${file:service-account.json}`.
    vertex_service_account_json: Option<Secret>,
    /// Vertex AI, `metadata`: address of the metadata server. Default:
    /// `http://metadata.google.internal`.
    vertex_metadata_url: Option<String>,
}

impl VertexSettings {
    pub(super) fn listed(&self) -> Vec<Listed> {
        const PRESETS: &[&str] = &["vertex-ai"];
        vec![
            ("vertex_project_id", self.vertex_project_id.is_some(), PRESETS),
            ("vertex_region", self.vertex_region.is_some(), PRESETS),
            ("vertex_auth_type", self.vertex_auth_type.is_some(), PRESETS),
            ("vertex_service_account_json", self.vertex_service_account_json.is_some(), PRESETS),
            ("vertex_metadata_url", self.vertex_metadata_url.is_some(), PRESETS),
        ]
    }

    pub(super) fn check(&self, context: &mut AccountContext<'_>) -> Account {
        let key = self.key(context);
        let region = context.text("vertex_region", self.vertex_region.as_ref(), Rule::Label);
        let project = self.vertex_project_id.as_ref();
        let project = context.text("vertex_project_id", project, Rule::Segment);
        let project = project.or_else(|| {
            let named = key.as_ref().and_then(GoogleKey::project).map(str::to_owned);
            context.text("vertex_service_account_json", named.as_ref(), Rule::Segment)
        });
        // A base URL may contain project and region.
        let is_needed = context.base_url.is_none();
        if is_needed && self.vertex_region.is_none() {
            let hint = "as in vertex_region = \"us-central1\" or \"global\"";
            context.report("vertex_region", "expected a region, got none", hint);
        }
        if is_needed && project.is_none() {
            context.report("vertex_project_id", "expected a project, got none", "");
        }
        let base_url = region.as_deref().map(|region| match region {
            "global" => "https://aiplatform.googleapis.com/v1".to_owned(),
            "us" | "eu" => format!("https://aiplatform.{region}.rep.googleapis.com/v1"),
            _ => format!("https://{region}-aiplatform.googleapis.com/v1"),
        });
        let prefix = project
            .zip(region)
            .map(|(project, region)| format!("/projects/{project}/locations/{region}"));
        let address = Address::Vertex { prefix: prefix.unwrap_or_default() };
        let credential = self.credential(context, key);
        Account { base_url, address, credential, ..Account::default() }
    }

    fn key(&self, context: &mut AccountContext<'_>) -> Option<GoogleKey> {
        const NAME: &str = "vertex_service_account_json";
        let json = self.vertex_service_account_json.as_ref()?;
        let key = GoogleKey::parse(json.reveal())
            .map_err(|reason| context.report(NAME, &reason, "write \"${file:PATH}\""))
            .ok()?;
        context.token_url(NAME, Some(key.token_uri()), "")?;
        Some(key)
    }

    fn credential(&self, context: &mut AccountContext<'_>, key: Option<GoogleKey>) -> Credential {
        let has_json = self.vertex_service_account_json.is_some();
        let inferred = if has_json { VertexAuth::ServiceAccount } else { VertexAuth::AccessToken };
        let mode = self.vertex_auth_type.unwrap_or(inferred);
        let json = ("vertex_service_account_json", has_json);
        let url = ("vertex_metadata_url", self.vertex_metadata_url.is_some());
        let reason = "this vertex_auth_type does not use it";
        let hint = "leave it out, or set vertex_auth_type";
        if mode != VertexAuth::AccessToken {
            context.refuse_api_key("this vertex_auth_type fetches tokens instead");
        }
        match mode {
            VertexAuth::AccessToken => {
                context.refuse(&[json, url], reason, hint);
                Credential::Fixed
            }
            VertexAuth::ServiceAccount => {
                context.refuse(&[url], reason, hint);
                if !has_json {
                    let hint = "write vertex_service_account_json = \"${file:PATH}\"";
                    context.report(json.0, "expected a credential file, got none", hint);
                }
                key.map_or(Credential::Fixed, |key| bearer(GoogleSource::Key(Box::new(key))))
            }
            VertexAuth::Metadata => {
                context.refuse(&[json], reason, hint);
                let url = self.vertex_metadata_url.as_deref();
                let url = context
                    .url("vertex_metadata_url", url.unwrap_or("http://metadata.google.internal"));
                url.map_or(Credential::Fixed, |url| {
                    bearer(GoogleSource::Metadata(MetadataServer { url: text_of(&url) }))
                })
            }
        }
    }
}

fn bearer(source: GoogleSource) -> Credential {
    Credential::Bearer(TokenSource::Google(source))
}

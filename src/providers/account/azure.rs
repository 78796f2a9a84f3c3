//! Azure `OpenAI` and Azure AI Foundry.

use super::context::{Account, AccountContext, Listed, Rule, text_of};
use crate::base::Secret;
use crate::providers::address::{AZURE_V1, Address};
use crate::providers::credential::{Credential, Entra, ManagedIdentity, TokenSource};
use crate::providers::{BaseUrl, Dialect, Host};

/// Default scope of tokens.
const SCOPE: &str = "https://cognitiveservices.azure.com/.default";

/// Default version of Foundry's model inference API.
const INFERENCE_VERSION: &str = "2024-05-01-preview";

/// How requests to Azure are authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum AzureAuth {
    ApiKey,
    Entra,
    Managed,
}

/// Settings of the presets `azure-openai` and `azure-ai`.
#[derive(Debug, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(super) struct AzureSettings {
    /// Azure: name of the resource, the first label of the host.
    azure_resource_name: Option<String>,
    /// Azure OpenAI with a dated API version: the deployment. Default: the model of the request.
    azure_deployment_id: Option<String>,
    /// Azure: API version. Default: `v1`, the undated API. Set a date such as `2024-10-21` for
    /// deployments that need it.
    azure_api_version: Option<String>,
    /// Azure AI Foundry: the endpoint URL as shown in the portal. A bare resource,
    /// `https://RESOURCE.services.ai.azure.com`, serves OpenAI's models and Claude; with `/models`,
    /// `/openai/v1` or `/anthropic` it serves that API only. Serverless and managed endpoints work
    /// too.
    azure_foundry_url: Option<String>,
    /// Azure: how requests are authenticated. `api-key` sends `api_key`; `entra` fetches tokens for
    /// an application; `managed` uses the machine's managed identity. Default: `entra` if its
    /// settings are given, otherwise `api-key`.
    azure_auth_mode: Option<AzureAuth>,
    /// Azure, `entra`: the tenant, by id or domain.
    azure_entra_tenant_id: Option<String>,
    /// Azure, `entra`: the application's client id.
    azure_entra_client_id: Option<String>,
    /// Azure, `entra`: the application's secret; a reference, `${NAME}` or `${file:PATH}`.
    azure_entra_client_secret: Option<Secret>,
    /// Azure, `entra` and `managed`: scope of the tokens. Default:
    /// `https://cognitiveservices.azure.com/.default`.
    azure_entra_scope: Option<String>,
    /// Azure, `entra`: token authority. Default: `https://login.microsoftonline.com`; national
    /// clouds have their own.
    azure_entra_url: Option<String>,
    /// Azure, `managed`: client id of the identity, if the machine has several.
    azure_managed_client_id: Option<String>,
    /// Azure, `managed`: address of the instance metadata service. Default:
    /// `http://169.254.169.254`.
    azure_managed_url: Option<String>,
}

impl AzureSettings {
    pub(super) fn listed(&self) -> Vec<Listed> {
        const BOTH: &[&str] = &["azure-openai", "azure-ai"];
        let mut listed: Vec<Listed> = vec![
            ("azure_resource_name", self.azure_resource_name.is_some(), BOTH),
            ("azure_deployment_id", self.azure_deployment_id.is_some(), &["azure-openai"]),
            ("azure_api_version", self.azure_api_version.is_some(), BOTH),
            ("azure_foundry_url", self.azure_foundry_url.is_some(), &["azure-ai"]),
            ("azure_auth_mode", self.azure_auth_mode.is_some(), BOTH),
        ];
        let further = self.of_entra().into_iter().chain(self.of_managed());
        let scope = ("azure_entra_scope", self.azure_entra_scope.is_some());
        listed.extend(further.chain([scope]).map(|(name, given)| (name, given, BOTH)));
        listed
    }

    fn of_entra(&self) -> [(&'static str, bool); 4] {
        [
            ("azure_entra_tenant_id", self.azure_entra_tenant_id.is_some()),
            ("azure_entra_client_id", self.azure_entra_client_id.is_some()),
            ("azure_entra_client_secret", self.azure_entra_client_secret.is_some()),
            ("azure_entra_url", self.azure_entra_url.is_some()),
        ]
    }

    fn of_managed(&self) -> [(&'static str, bool); 2] {
        [
            ("azure_managed_client_id", self.azure_managed_client_id.is_some()),
            ("azure_managed_url", self.azure_managed_url.is_some()),
        ]
    }

    pub(super) fn check_openai(&self, context: &mut AccountContext<'_>) -> Account {
        let resource = self.azure_resource_name.as_ref();
        let resource = context.text("azure_resource_name", resource, Rule::Label);
        let deployment = self.azure_deployment_id.as_ref();
        let deployment = context.text("azure_deployment_id", deployment, Rule::Segment);
        let version = self.azure_api_version.as_ref();
        let version = context.text("azure_api_version", version, Rule::Segment);
        let version = version.filter(|version| version != AZURE_V1);
        if version.is_none() && deployment.is_some() {
            let message = "version `v1` takes the deployment from the model of the request";
            let hint = "leave it out, or set a dated azure_api_version";
            context.report("azure_deployment_id", message, hint);
        }
        let base_url = resource.map(|resource| match version {
            None => format!("https://{resource}.openai.azure.com/openai/v1"),
            Some(_) => format!("https://{resource}.openai.azure.com/openai"),
        });
        let address =
            version.map_or(Address::Plain, |version| Address::Azure { deployment, version });
        let credential = self.credential(context).unwrap_or_default();
        Account { base_url, address, credential, ..Account::default() }
    }

    pub(super) fn check_foundry(&self, context: &mut AccountContext<'_>) -> Account {
        let resource = self.azure_resource_name.as_ref();
        let resource = context.text("azure_resource_name", resource, Rule::Label);
        let version = self.azure_api_version.as_ref();
        let version = context.text("azure_api_version", version, Rule::Segment);
        let version = version.filter(|version| version != AZURE_V1);
        if resource.is_some() && self.azure_foundry_url.is_some() {
            let message = "`azure_foundry_url` says where the resource is";
            context.report("azure_resource_name", message, "give one of the two");
        }
        let composed = resource.map(|resource| format!("https://{resource}.services.ai.azure.com"));
        let given = self.azure_foundry_url.clone().or(composed);
        // A `base_url` replaces the composed address and is parsed the same way.
        let (name, text) = match (context.base_url, given) {
            (Some(url), _) => ("base_url", url.to_owned()),
            (None, Some(url)) => ("azure_foundry_url", url),
            (None, None) => return Account::default(),
        };
        let Some(mut url) = context.url(name, &text) else { return Account::default() };
        let credential = self.credential(context);
        let credential = credential.unwrap_or_else(|| match context.api_key {
            Some(key) => {
                context.secret("api_key", key).map_or(Credential::Fixed, Credential::Foundry)
            }
            None => Credential::Fixed,
        });
        if name != "base_url" && url.path.ends_with("/anthropic") {
            url.path.push_str("/v1");
        }
        let dialect = url.path.ends_with("/anthropic/v1").then_some(Dialect::AnthropicMessages);
        let version =
            version.or_else(|| url.path.ends_with("/models").then(|| INFERENCE_VERSION.to_owned()));
        let address = Address::Foundry { is_resource: is_resource(&url), version };
        let base_url = Some(text_of(&url));
        Account { base_url, dialect, address, credential, ..Account::default() }
    }

    /// The credential, unless it is an API key.
    fn credential(&self, context: &mut AccountContext<'_>) -> Option<Credential> {
        let has_entra = self.of_entra().iter().any(|(_, given)| *given);
        let inferred = if has_entra { AzureAuth::Entra } else { AzureAuth::ApiKey };
        let mode = self.azure_auth_mode.unwrap_or(inferred);
        let hint = "leave it out, or set azure_auth_mode";
        if mode != AzureAuth::Entra {
            context.refuse(&self.of_entra(), "only the mode `entra` uses this", hint);
        }
        if mode != AzureAuth::Managed {
            context.refuse(&self.of_managed(), "only the mode `managed` uses this", hint);
        }
        if mode == AzureAuth::ApiKey {
            let scope = [("azure_entra_scope", self.azure_entra_scope.is_some())];
            context.refuse(&scope, "the mode `api-key` fetches no tokens", hint);
            return None;
        }
        context.refuse_api_key("this azure_auth_mode fetches tokens instead");
        let scope = self.azure_entra_scope.as_ref();
        let scope = context.text("azure_entra_scope", scope, Rule::Visible);
        let scope = scope.unwrap_or_else(|| SCOPE.to_owned());
        let source = match mode {
            AzureAuth::Managed => self.managed(context, &scope)?,
            _ => self.entra(context, scope)?,
        };
        Some(Credential::Bearer(source))
    }

    fn entra(&self, context: &mut AccountContext<'_>, scope: String) -> Option<TokenSource> {
        let tenant = self.azure_entra_tenant_id.as_ref();
        let tenant =
            context.needed("azure_entra_tenant_id", tenant, Rule::Segment, "the directory's id");
        let client_id = self.azure_entra_client_id.as_ref();
        let client_id = context.needed(
            "azure_entra_client_id",
            client_id,
            Rule::Segment,
            "the application's id",
        );
        let secret = self.azure_entra_client_secret.as_ref();
        let hint = "write azure_entra_client_secret = \"${AZURE_CLIENT_SECRET}\"";
        let secret = context.needed_secret("azure_entra_client_secret", secret, hint);
        let url = self.azure_entra_url.as_deref();
        let url = context.token_url("azure_entra_url", url, "https://login.microsoftonline.com");
        Some(TokenSource::Entra(Entra {
            url: text_of(&url?),
            tenant: tenant?,
            client_id: client_id?,
            client_secret: secret?,
            scope,
        }))
    }

    fn managed(&self, context: &mut AccountContext<'_>, scope: &str) -> Option<TokenSource> {
        let client_id = self.azure_managed_client_id.as_ref();
        let client_id = context.text("azure_managed_client_id", client_id, Rule::Segment);
        let url = self.azure_managed_url.as_deref().unwrap_or("http://169.254.169.254");
        let url = context.url("azure_managed_url", url)?;
        let resource = scope.strip_suffix("/.default").unwrap_or(scope).to_owned();
        Some(TokenSource::Managed(ManagedIdentity { url: text_of(&url), client_id, resource }))
    }
}

/// True for an address without a path that is not the endpoint of a single model.
fn is_resource(url: &BaseUrl) -> bool {
    const ENDPOINTS: [&str; 2] = [".models.ai.azure.com", ".inference.ml.azure.com"];
    let is_endpoint = match &url.host {
        Host::Dns(name) => ENDPOINTS.iter().any(|domain| name.ends_with(domain)),
        Host::Ipv4(_) | Host::Ipv6(_) => false,
    };
    url.path.is_empty() && !is_endpoint
}

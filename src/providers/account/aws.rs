//! Amazon Bedrock and SageMaker.

use super::context::{Account, AccountContext, Listed, Rule, text_of};
use crate::base::Secret;
use crate::providers::address::Address;
use crate::providers::credential::{
    AwsBase, AwsKeys, AwsRole, AwsSigner, AwsSource, Credential, SigningKeys, TokenSource,
};
use crate::providers::{BaseUrl, Dialect};

/// Address of the credentials endpoint of ECS containers.
const CONTAINER_HOST: &str = "http://169.254.170.2";

/// How requests to AWS are authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum AwsAuth {
    AccessKey,
    AssumedRole,
    ServiceRole,
    ApiKey,
}

/// Settings of the presets `bedrock` and `sagemaker`.
#[derive(Debug, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(super) struct AwsSettings {
    /// AWS: the region, as `us-east-1`. Cross-region profiles are named by the model, as
    /// `us.anthropic.claude-sonnet-4-5-20250929-v1:0`.
    aws_region: Option<String>,
    /// AWS: how requests are authenticated. `access-key` signs with the configured keys.
    /// `assumed-role` assumes `aws_role_arn` with those keys, or with the machine's own.
    /// `service-role` uses the machine's own keys (web identity, container role or instance role).
    /// `api-key` sends `api_key`, a Bedrock API key. Default: derived from the other settings; the
    /// machine's role is used only if it is set here.
    aws_auth_type: Option<AwsAuth>,
    /// AWS: id of the access key.
    aws_access_key_id: Option<String>,
    /// AWS: the secret access key; a reference, `${NAME}` or `${file:PATH}`.
    aws_secret_access_key: Option<Secret>,
    /// AWS: session token of temporary keys. Ringgate does not renew these; use a role instead.
    aws_session_token: Option<Secret>,
    /// AWS, `assumed-role`: ARN of the role. To assume it with the machine's own keys, set
    /// `aws_auth_type` and leave the keys out.
    aws_role_arn: Option<String>,
    /// AWS, `assumed-role`: the external id that the role requires, if any.
    aws_external_id: Option<String>,
    /// AWS: endpoint of STS. Default: `https://sts.REGION.amazonaws.com`.
    aws_sts_url: Option<String>,
    /// AWS: address of the instance metadata service. Default: `http://169.254.169.254`.
    aws_metadata_url: Option<String>,
}

impl AwsSettings {
    pub(super) fn listed(&self) -> Vec<Listed> {
        const PRESETS: &[&str] = &["bedrock", "sagemaker"];
        let listed = [
            ("aws_region", self.aws_region.is_some()),
            ("aws_auth_type", self.aws_auth_type.is_some()),
            ("aws_metadata_url", self.aws_metadata_url.is_some()),
        ];
        let further = self.of_keys().into_iter().chain(self.of_roles());
        listed.into_iter().chain(further).map(|(name, given)| (name, given, PRESETS)).collect()
    }

    fn of_keys(&self) -> [(&'static str, bool); 3] {
        [
            ("aws_access_key_id", self.aws_access_key_id.is_some()),
            ("aws_secret_access_key", self.aws_secret_access_key.is_some()),
            ("aws_session_token", self.aws_session_token.is_some()),
        ]
    }

    fn of_roles(&self) -> [(&'static str, bool); 3] {
        [
            ("aws_role_arn", self.aws_role_arn.is_some()),
            ("aws_external_id", self.aws_external_id.is_some()),
            ("aws_sts_url", self.aws_sts_url.is_some()),
        ]
    }

    fn has_keys(&self) -> bool {
        self.of_keys().iter().any(|(_, given)| *given)
    }

    pub(super) fn check(&self, context: &mut AccountContext<'_>) -> Account {
        let region = context.text("aws_region", self.aws_region.as_ref(), Rule::Label);
        let domain = match &region {
            Some(region) if region.starts_with("cn-") => "amazonaws.com.cn",
            _ => "amazonaws.com",
        };
        let is_bedrock = context.slug == "bedrock";
        let base_url = region.as_ref().map(|region| match (is_bedrock, context.dialect) {
            // Bedrock also serves OpenAI's API, at another path.
            (true, Some(Dialect::OpenaiChat)) => {
                format!("https://bedrock-runtime.{region}.{domain}/openai/v1")
            }
            (true, _) => format!("https://bedrock-runtime.{region}.{domain}"),
            (false, _) => format!("https://runtime.sagemaker.{region}.{domain}"),
        });
        let service = if is_bedrock { "bedrock" } else { "sagemaker" };
        let credential = self.keys(context, region.as_deref(), domain).and_then(|keys| {
            Some(Credential::Aws(AwsSigner { region: region.clone()?, service, keys }))
        });
        let is_region_needed = context.base_url.is_none() || credential.is_some();
        if self.aws_region.is_none() && (is_region_needed || self.has_keys()) {
            let hint = "as in aws_region = \"us-east-1\"";
            context.report("aws_region", "expected a region, got none", hint);
        }
        let address = if is_bedrock { Address::Bedrock } else { Address::Plain };
        let credential = credential.unwrap_or_default();
        Account { base_url, address, credential, ..Account::default() }
    }

    /// The source of the signing keys; `None` if `api_key` is the credential or none is configured.
    fn keys(
        &self,
        context: &mut AccountContext<'_>,
        region: Option<&str>,
        domain: &str,
    ) -> Option<SigningKeys> {
        let has_role = self.of_roles().iter().any(|(_, given)| *given);
        let inferred = match (has_role, self.has_keys()) {
            (true, _) => AwsAuth::AssumedRole,
            (false, true) => AwsAuth::AccessKey,
            (false, false) => AwsAuth::ApiKey,
        };
        let mode = self.aws_auth_type.unwrap_or(inferred);
        let hint = "leave it out, or set aws_auth_type";
        if mode == AwsAuth::ApiKey || mode == AwsAuth::ServiceRole {
            context.refuse(&self.of_keys(), "this aws_auth_type uses no keys", hint);
        }
        if mode != AwsAuth::AssumedRole && mode != AwsAuth::ServiceRole {
            context.refuse(&self.of_roles(), "only the type `assumed-role` takes roles", hint);
        }
        if mode == AwsAuth::ServiceRole {
            let [role, external, _] = self.of_roles();
            context.refuse(&[role, external], "the machine's own role is used", hint);
        }
        // The machine's role is used only if the settings name it.
        let takes_role = self.aws_auth_type == Some(AwsAuth::AssumedRole);
        let uses_machine = mode == AwsAuth::ServiceRole || takes_role && !self.has_keys();
        if !uses_machine {
            let metadata = [("aws_metadata_url", self.aws_metadata_url.is_some())];
            context.refuse(&metadata, "the machine is not asked for keys", hint);
        }
        if mode == AwsAuth::ApiKey {
            return None;
        }
        context.refuse_api_key("this aws_auth_type signs instead");
        let base = if uses_machine {
            self.machine(context, region, domain)
        } else {
            self.given(context).map(AwsBase::Given)
        };
        match mode {
            AwsAuth::AccessKey => match base? {
                AwsBase::Given(keys) => Some(SigningKeys::Given(keys)),
                _ => None,
            },
            AwsAuth::AssumedRole => {
                let role = self.role(context, region, domain);
                Some(fetched(AwsSource { base: base?, role: Some(role?) }))
            }
            _ => Some(fetched(AwsSource { base: base?, role: None })),
        }
    }

    fn given(&self, context: &mut AccountContext<'_>) -> Option<AwsKeys> {
        let id = self.aws_access_key_id.as_ref();
        let hint = "write aws_access_key_id = \"${AWS_ACCESS_KEY_ID}\"";
        let id = context.needed("aws_access_key_id", id, Rule::Visible, hint);
        let secret = self.aws_secret_access_key.as_ref();
        let hint = "write aws_secret_access_key = \"${AWS_SECRET_ACCESS_KEY}\"";
        let secret = context.needed_secret("aws_secret_access_key", secret, hint);
        let session_token = match &self.aws_session_token {
            None => None,
            Some(token) => Some(context.secret("aws_session_token", token)?),
        };
        Some(AwsKeys { access_key_id: id?, secret_access_key: secret?, session_token })
    }

    fn sts_url(
        &self,
        context: &mut AccountContext<'_>,
        region: Option<&str>,
        domain: &str,
    ) -> Option<BaseUrl> {
        let region = region.unwrap_or("us-east-1");
        let default = format!("https://sts.{region}.{domain}");
        context.token_url("aws_sts_url", self.aws_sts_url.as_deref(), &default)
    }

    fn role(
        &self,
        context: &mut AccountContext<'_>,
        region: Option<&str>,
        domain: &str,
    ) -> Option<AwsRole> {
        let arn = self.aws_role_arn.as_ref();
        let hint = "as in aws_role_arn = \"arn:aws:iam::ACCOUNT:role/NAME\"";
        let arn = context.needed("aws_role_arn", arn, Rule::Visible, hint);
        let external_id = self.aws_external_id.as_ref();
        let external_id = context.text("aws_external_id", external_id, Rule::Visible);
        let url = self.sts_url(context, region, domain)?;
        Some(AwsRole {
            arn: arn?,
            external_id,
            region: region?.to_owned(),
            sts_url: text_of(&url),
            sts_authority: url.authority,
        })
    }

    /// The machine's credentials endpoint, from the variables that AWS sets in the environment.
    fn machine(
        &self,
        context: &mut AccountContext<'_>,
        region: Option<&str>,
        domain: &str,
    ) -> Option<AwsBase> {
        let environment = context.sources.environment;
        let variable = |name: &str| environment(name).filter(|value| !value.is_empty());
        if let (Some(token_file), Some(role_arn)) =
            (variable("AWS_WEB_IDENTITY_TOKEN_FILE"), variable("AWS_ROLE_ARN"))
        {
            let sts_url = text_of(&self.sts_url(context, region, domain)?);
            return Some(AwsBase::WebIdentity { token_file, role_arn, sts_url });
        }
        let relative = variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
        let relative = relative.filter(|path| path.starts_with('/'));
        let url = relative.map(|path| format!("{CONTAINER_HOST}{path}"));
        if let Some(url) = url.or_else(|| variable("AWS_CONTAINER_CREDENTIALS_FULL_URI")) {
            if !is_container_url(&url) {
                let message = "the variable of the container's credentials leads elsewhere";
                let hint = "expected https, this machine, or the addresses of ECS and EKS";
                context.report("aws_auth_type", message, hint);
                return None;
            }
            return Some(AwsBase::Container {
                url,
                token: variable("AWS_CONTAINER_AUTHORIZATION_TOKEN").map(Secret::new),
                token_file: variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
            });
        }
        let url = self.aws_metadata_url.as_deref().unwrap_or("http://169.254.169.254");
        let url = context.url("aws_metadata_url", url)?;
        Some(AwsBase::Instance { url: text_of(&url) })
    }
}

fn fetched(source: AwsSource) -> SigningKeys {
    SigningKeys::Fetched(Box::new(TokenSource::Aws(source)))
}

/// True for an address that AWS uses for container credentials.
fn is_container_url(url: &str) -> bool {
    const HOSTS: [&str; 3] = ["169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"];
    let bare = url.split('?').next().unwrap_or_default();
    BaseUrl::parse(bare).is_ok_and(|url| {
        url.tls || url.host.is_loopback() || HOSTS.contains(&url.authority.as_str())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn container_credentials_url_is_resolved() {
        for (url, expected) in [
            ("http://169.254.170.2/v2/credentials/x?id=y", true),
            ("http://169.254.170.23/v1/credentials", true),
            ("http://127.0.0.1:51679/x", true),
            ("https://keys.example/x", true),
            ("http://10.0.0.1/x", false),
            ("http://169.254.170.2.example/x", false),
            ("http://169.254.170.2@example/x", false),
            ("file:///x", false),
        ] {
            assert_eq!(is_container_url(url), expected, "{url}");
        }
    }
}

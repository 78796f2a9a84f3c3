//! Vendors that need an account name only for their address.

use super::context::{Account, AccountContext, Listed, Rule, text_of};
use crate::providers::address::Address;

/// Settings that each name the address of one account.
#[derive(Debug, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(super) struct HostSettings {
    /// Cloudflare Workers AI: the account id, part of the address.
    workers_ai_account_id: Option<String>,
    /// Databricks: the workspace, as `my-workspace` or as its full host, such as
    /// `adb-1234567890.1.azuredatabricks.net`. The value of `DATABRICKS_HOST` works too.
    databricks_workspace: Option<String>,
    /// Snowflake Cortex: the account, as `ORGANIZATION-ACCOUNT`.
    snowflake_account: Option<String>,
    /// Hugging Face: URL of a dedicated endpoint, including `/v1`. Default: the shared router.
    huggingface_base_url: Option<String>,
}

impl HostSettings {
    pub(super) fn listed(&self) -> Vec<Listed> {
        vec![
            ("workers_ai_account_id", self.workers_ai_account_id.is_some(), &["workers-ai"]),
            ("databricks_workspace", self.databricks_workspace.is_some(), &["databricks"]),
            ("snowflake_account", self.snowflake_account.is_some(), &["cortex"]),
            ("huggingface_base_url", self.huggingface_base_url.is_some(), &["huggingface"]),
        ]
    }

    pub(super) fn check(&self, context: &mut AccountContext<'_>) -> Account {
        let address = match context.slug {
            "databricks" => Address::Databricks,
            _ => Address::Plain,
        };
        let base_url = match context.slug {
            "workers-ai" => self.workers_ai(context),
            "databricks" => self.databricks(context),
            "cortex" => self.snowflake(context),
            "huggingface" => self
                .huggingface_base_url
                .as_deref()
                .and_then(|url| context.url("huggingface_base_url", url).as_ref().map(text_of)),
            _ => None,
        };
        Account { base_url, address, ..Account::default() }
    }

    fn workers_ai(&self, context: &mut AccountContext<'_>) -> Option<String> {
        let account = self.workers_ai_account_id.as_ref();
        let account = context.text("workers_ai_account_id", account, Rule::Label)?;
        Some(format!("https://api.cloudflare.com/client/v4/accounts/{account}/ai/v1"))
    }

    fn databricks(&self, context: &mut AccountContext<'_>) -> Option<String> {
        const DOMAINS: [&str; 4] = [
            ".cloud.databricks.com",
            ".gcp.databricks.com",
            ".azuredatabricks.net",
            ".databricks.azure.cn",
        ];
        let bare = self.databricks_workspace.as_deref().map(|text| {
            let text = text.strip_prefix("https://").unwrap_or(text);
            text.strip_suffix('/').unwrap_or(text).to_owned()
        });
        let name = context.text("databricks_workspace", bare.as_ref(), Rule::Host)?;
        let host = if DOMAINS.iter().any(|domain| name.ends_with(domain)) {
            name
        } else if name.contains('.') {
            let message = "expected a workspace, or a host of Databricks";
            context.report("databricks_workspace", message, "other hosts go into `base_url`");
            return None;
        } else {
            format!("{name}.cloud.databricks.com")
        };
        Some(format!("https://{host}/serving-endpoints"))
    }

    fn snowflake(&self, context: &mut AccountContext<'_>) -> Option<String> {
        let account = self.snowflake_account.as_ref();
        let account = context.text("snowflake_account", account, Rule::Host)?;
        // Snowflake host names use `-` where account names have `_`.
        let account = account.to_ascii_lowercase().replace('_', "-");
        Some(format!("https://{account}.snowflakecomputing.com/api/v2/cortex/v1"))
    }
}

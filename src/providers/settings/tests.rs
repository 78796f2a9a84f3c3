//! Tables of providers as written, and the result of their check.

use super::super::credential::rsa_pem;
use super::super::{PathParts, TokenSource};
use super::*;
use crate::base::Schema;
use serde_json::{Value, json};

fn check(written: Value) -> (Option<Provider>, Vec<String>) {
    let mut diagnostics = Diagnostics::default();
    let read_file = |name: &str| match name {
        "ca.pem" => Ok("-----BEGIN CERTIFICATE-----\nca".to_owned()),
        "key.pem" => Ok("-----BEGIN PRIVATE KEY-----\nkey".to_owned()),
        "other" => Ok("something else".to_owned()),
        _ => Err("cannot read the file".to_owned()),
    };
    let environment = |name: &str| match name {
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI" => Some("/v2/credentials/x".to_owned()),
        _ => None,
    };
    let sources = ConfigSources { read_file: &read_file, environment: &environment };
    let settings: Option<ProviderSettings> =
        Schema::of::<ProviderSettings>().read(written, "p", &mut diagnostics);
    let provider = settings.and_then(|s| s.check("p", "p", &sources, &mut diagnostics));
    (provider, diagnostics.into_vec().into_iter().map(|diagnostic| diagnostic.path).collect())
}

#[test]
fn credential_header_follows_the_preset() {
    for (written, expected) in [
        (json!({"preset": "openai", "api_key": "k"}), vec![("authorization", "Bearer k")]),
        (
            json!({"preset": "anthropic", "api_key": "k"}),
            vec![("anthropic-version", "2023-06-01"), ("x-api-key", "k")],
        ),
        (json!({"preset": "google", "api_key": "k"}), vec![("x-goog-api-key", "k")]),
        (
            json!({"preset": "azure-openai", "api_key": "k", "base_url": "https://r.openai.azure.com/openai/v1"}),
            vec![("api-key", "k")],
        ),
        (json!({"preset": "bytez", "api_key": "k"}), vec![("authorization", "Key k")]),
        (json!({"preset": "ollama"}), vec![]),
        (
            json!({"preset": "anthropic", "api_key": "k", "headers": {"Anthropic-Version": "x"}}),
            vec![("anthropic-version", "x"), ("x-api-key", "k")],
        ),
        (
            json!({"preset": "openai", "headers": {"authorization": "Token t"}}),
            vec![("authorization", "Token t")],
        ),
        (json!({"preset": "openai", "base_url": "http://127.0.0.1:1/v1"}), vec![]),
        (
            json!({"dialect": "gemini", "base_url": "http://a", "api_key": "k"}),
            vec![("x-goog-api-key", "k")],
        ),
        (json!({"dialect": "openai-chat", "base_url": "http://a"}), vec![]),
    ] {
        let (provider, diagnostics) = check(written.clone());
        assert_eq!(diagnostics, Vec::<String>::new(), "{written}");
        let provider = provider.expect("no problem");
        let fields: Vec<(&str, &str)> = provider
            .fields
            .iter()
            .map(|field| (field.name.as_str(), field.value.reveal()))
            .collect();
        assert_eq!(fields, expected, "{written}");
    }
}

#[test]
fn problems_have_paths() {
    for (written, expected) in [
        (json!({}), vec!["p.dialect", "p.base_url"]),
        (json!({"preset": "opnai"}), vec!["p.preset"]),
        (json!({"preset": "openai"}), vec!["p.api_key"]),
        (json!({"preset": "openai", "api_key": ""}), vec!["p.api_key"]),
        (json!({"preset": "openai", "api_key": "a\nb"}), vec!["p.api_key"]),
        (json!({"preset": "openai", "api_key": 5}), vec!["p.api_key"]),
        (json!({"preset": "bedrock", "base_url": "https://b.example"}), vec!["p.api_key"]),
        (json!({"preset": "azure-ai", "api_key": "k"}), vec!["p.base_url"]),
        (json!({"preset": "openai", "base_url": "http://10.0.0.1"}), vec!["p.api_key"]),
        (json!({"preset": "ollama", "base_url": "http://a?b"}), vec!["p.base_url"]),
        (json!({"preset": "ollama", "dialect": "openai"}), vec!["p.dialect"]),
        (json!({"preset": "ollama", "headers": {"Host": "a"}}), vec!["p.headers.Host"]),
        (json!({"preset": "ollama", "headers": {"a": "b\r\n"}}), vec!["p.headers.a"]),
        (json!({"preset": "ollama", "headers": {"a": "b", "A": "c"}}), vec!["p.headers.a"]),
        (
            json!({"preset": "openai", "api_key": "k", "headers": {"Authorization": "x"}}),
            vec!["p.api_key"],
        ),
        (json!({"preset": "ollama", "idle_timeout_ms": 0}), vec!["p.idle_timeout_ms"]),
        (json!({"preset": "ollama", "models": ["a", ""]}), vec!["p.models[1]"]),
        (json!({"preset": "ollama", "tls_ca_file": "none"}), vec!["p.tls_ca_file"]),
        (json!({"preset": "ollama", "tls_ca_file": "other"}), vec!["p.tls_ca_file"]),
        (
            json!({"preset": "ollama", "tls_client_cert_file": "ca.pem"}),
            vec!["p.tls_client_key_file"],
        ),
        (
            json!({"preset": "ollama", "tls_client_key_file": "key.pem"}),
            vec!["p.tls_client_cert_file"],
        ),
        (json!({"preset": "echo", "api_key": "k"}), vec!["p.api_key"]),
    ] {
        assert_eq!(check(written.clone()).1, expected, "{written}");
    }
}

#[test]
fn defaults_and_files() {
    let (provider, diagnostics) = check(json!({
        "preset": "ollama", "models": ["a"], "tls_ca_file": "ca.pem",
        "tls_client_cert_file": "ca.pem", "tls_client_key_file": "key.pem",
    }));
    assert_eq!(diagnostics, Vec::<String>::new());
    let provider = provider.expect("no problem");
    assert_eq!(provider.timeouts.connect, Duration::from_secs(3));
    assert_eq!(provider.timeouts.total, Duration::from_mins(10));
    assert_eq!(provider.preset, Some("ollama"));
    assert!(provider.tls.ca_pem.is_some() && provider.tls.client_pem.is_some());
    let (echo, diagnostics) = check(json!({"preset": "echo"}));
    assert_eq!(diagnostics, Vec::<String>::new());
    assert!(echo.is_some_and(|echo| echo.models == ["echo"]));
}

/// Address of a valid provider with `preset` and a credential.
fn reached(written: &Value) -> (String, String) {
    let (provider, diagnostics) = check(written.clone());
    assert_eq!(diagnostics, Vec::<String>::new(), "{written}");
    let provider = provider.expect("no problem");
    let Origin::Http(base) = &provider.origin else { panic!("a network") };
    let path = match provider.dialect_for(Some("m")) {
        Dialect::AnthropicMessages => "/messages",
        Dialect::Gemini => "/models/m:generateContent",
        Dialect::BedrockConverse => "/model/m/converse",
        _ => "/chat/completions",
    };
    let path = provider.path(&PathParts { path, model: Some("m"), stream: false });
    let kind = match &provider.credential {
        Credential::Fixed => "fixed",
        Credential::Foundry(_) => "foundry",
        Credential::Bearer(TokenSource::Entra(_)) => "entra",
        Credential::Bearer(TokenSource::Managed(_)) => "managed",
        Credential::Bearer(TokenSource::Google(_)) => "google",
        Credential::Bearer(TokenSource::Ibm(_)) => "ibm",
        Credential::Bearer(TokenSource::Aws(_)) => "aws token",
        Credential::Aws(_) if provider.credential.source().is_some() => "aws role",
        Credential::Aws(_) => "aws keys",
        Credential::Oracle(_) => "oracle",
    };
    assert!(!format!("{provider:?}").contains("test-credential"), "{provider:?}");
    let scheme = if base.tls { "https" } else { "http" };
    (format!("{scheme}://{}{}{path}", base.authority, base.path), kind.to_owned())
}

/// `settings` beside `preset`.
fn with(preset: &str, settings: Value) -> Value {
    let mut written = settings;
    written["preset"] = preset.into();
    written
}

#[test]
fn account_urls_follow_the_vendor() {
    let entra = json!({"azure_resource_name": "r", "azure_entra_tenant_id": "t",
        "azure_entra_client_id": "c", "azure_entra_client_secret": "test-credential"});
    let keys = json!({"aws_region": "us-east-1", "aws_access_key_id": "AKIDEXAMPLE",
        "aws_secret_access_key": "test-credential"});
    let with_keys = |more: Value| {
        let mut written = keys.clone();
        written.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("one"));
        with("bedrock", written)
    };
    for (written, url, kind) in [
        (
            with("azure-openai", json!({"azure_resource_name": "r", "api_key": "k"})),
            "https://r.openai.azure.com/openai/v1/chat/completions",
            "fixed",
        ),
        (
            with(
                "azure-openai",
                json!({"azure_resource_name": "r", "api_key": "k", "azure_api_version": "v1"}),
            ),
            "https://r.openai.azure.com/openai/v1/chat/completions",
            "fixed",
        ),
        (
            with(
                "azure-openai",
                json!({"azure_resource_name": "r", "api_key": "k",
                "azure_api_version": "2024-10-21", "azure_deployment_id": "d"}),
            ),
            "https://r.openai.azure.com/openai/deployments/d/chat/completions?api-version=2024-10-21",
            "fixed",
        ),
        (
            with(
                "azure-openai",
                json!({"base_url": "https://apim.example/openai", "api_key": "k",
                "azure_api_version": "2024-10-21"}),
            ),
            "https://apim.example/openai/deployments/m/chat/completions?api-version=2024-10-21",
            "fixed",
        ),
        (
            with("azure-openai", entra),
            "https://r.openai.azure.com/openai/v1/chat/completions",
            "entra",
        ),
        (
            with("azure-openai", json!({"azure_resource_name": "r", "azure_auth_mode": "managed"})),
            "https://r.openai.azure.com/openai/v1/chat/completions",
            "managed",
        ),
        (
            with("azure-ai", json!({"azure_resource_name": "r", "api_key": "k"})),
            "https://r.services.ai.azure.com/openai/v1/chat/completions",
            "foundry",
        ),
        (
            with(
                "azure-ai",
                json!({"azure_foundry_url": "https://r.services.ai.azure.com/models", "api_key": "k"}),
            ),
            "https://r.services.ai.azure.com/models/chat/completions?api-version=2024-05-01-preview",
            "foundry",
        ),
        (
            with(
                "azure-ai",
                json!({"azure_foundry_url": "https://r.services.ai.azure.com/anthropic/", "api_key": "k"}),
            ),
            "https://r.services.ai.azure.com/anthropic/v1/messages",
            "foundry",
        ),
        (
            with(
                "azure-ai",
                json!({"azure_foundry_url": "https://d.eastus.models.ai.azure.com", "api_key": "k"}),
            ),
            "https://d.eastus.models.ai.azure.com/chat/completions",
            "foundry",
        ),
        (
            with_keys(json!({})),
            "https://bedrock-runtime.us-east-1.amazonaws.com/model/m/converse",
            "aws keys",
        ),
        (
            with_keys(json!({"dialect": "openai-chat"})),
            "https://bedrock-runtime.us-east-1.amazonaws.com/openai/v1/chat/completions",
            "aws keys",
        ),
        (
            with_keys(json!({"aws_region": "cn-north-1", "aws_session_token": "test-credential"})),
            "https://bedrock-runtime.cn-north-1.amazonaws.com.cn/model/m/converse",
            "aws keys",
        ),
        (
            with_keys(json!({"aws_role_arn": "arn:aws:iam::1:role/r"})),
            "https://bedrock-runtime.us-east-1.amazonaws.com/model/m/converse",
            "aws role",
        ),
        (
            with("bedrock", json!({"aws_region": "eu-west-1", "aws_auth_type": "service-role"})),
            "https://bedrock-runtime.eu-west-1.amazonaws.com/model/m/converse",
            "aws role",
        ),
        (
            with("bedrock", json!({"aws_region": "eu-west-1", "api_key": "k"})),
            "https://bedrock-runtime.eu-west-1.amazonaws.com/model/m/converse",
            "fixed",
        ),
        (
            with(
                "vertex-ai",
                json!({"vertex_project_id": "p", "vertex_region": "us-central1", "api_key": "k"}),
            ),
            "https://us-central1-aiplatform.googleapis.com/v1/projects/p/locations/us-central1/endpoints/openapi/chat/completions",
            "fixed",
        ),
        (
            with(
                "vertex-ai",
                json!({"vertex_project_id": "p", "vertex_region": "global",
                "vertex_auth_type": "metadata"}),
            ),
            "https://aiplatform.googleapis.com/v1/projects/p/locations/global/endpoints/openapi/chat/completions",
            "google",
        ),
        (
            with(
                "vertex-ai",
                json!({"vertex_region": "eu", "dialect": "gemini",
                "vertex_service_account_json": service_account()}),
            ),
            "https://aiplatform.eu.rep.googleapis.com/v1/projects/p/locations/eu/models/m:generateContent",
            "google",
        ),
        (
            with("workers-ai", json!({"workers_ai_account_id": "0a1b", "api_key": "k"})),
            "https://api.cloudflare.com/client/v4/accounts/0a1b/ai/v1/chat/completions",
            "fixed",
        ),
        (
            with("databricks", json!({"databricks_workspace": "w", "api_key": "k"})),
            "https://w.cloud.databricks.com/serving-endpoints/chat/completions",
            "fixed",
        ),
        (
            with(
                "databricks",
                json!({"databricks_workspace": "https://adb-1.2.azuredatabricks.net/", "api_key": "k"}),
            ),
            "https://adb-1.2.azuredatabricks.net/serving-endpoints/chat/completions",
            "fixed",
        ),
        (
            with("cortex", json!({"snowflake_account": "My_Org-Account", "api_key": "k"})),
            "https://my-org-account.snowflakecomputing.com/api/v2/cortex/v1/chat/completions",
            "fixed",
        ),
        (
            with(
                "huggingface",
                json!({"huggingface_base_url": "https://x.endpoints.huggingface.cloud/v1", "api_key": "k"}),
            ),
            "https://x.endpoints.huggingface.cloud/v1/chat/completions",
            "fixed",
        ),
        (
            with(
                "watsonx",
                json!({"watsonx_region": "us-south", "watsonx_project_id": "p", "api_key": "test-credential"}),
            ),
            "https://us-south.ml.cloud.ibm.com/ml/v1/text/chat?version=2024-10-08",
            "ibm",
        ),
        (
            with(
                "oracle",
                json!({"oracle_region": "us-chicago-1", "oracle_tenancy": "t", "oracle_user": "u",
                "oracle_fingerprint": "0:1", "oracle_private_key": rsa_pem()}),
            ),
            "https://inference.generativeai.us-chicago-1.oci.oraclecloud.com/openai/v1/chat/completions",
            "oracle",
        ),
    ] {
        assert_eq!(reached(&written), (url.to_owned(), kind.to_owned()), "{written}");
    }
}

fn service_account() -> String {
    let json = json!({
        "type": "service_account", "project_id": "p", "client_email": "a@b",
        "private_key": rsa_pem(),
    });
    json.to_string()
}

#[test]
fn account_problems_have_paths() {
    for (written, expected) in [
        (with("openai", json!({"api_key": "k", "aws_region": "us-east-1"})), vec!["p.aws_region"]),
        (with("azure-openai", json!({"api_key": "k"})), vec!["p.base_url"]),
        (
            with("azure-openai", json!({"api_key": "k", "azure_resource_name": "httpbin.org#"})),
            vec!["p.azure_resource_name"],
        ),
        (
            with(
                "azure-openai",
                json!({"api_key": "k", "azure_resource_name": "r", "azure_deployment_id": "d"}),
            ),
            vec!["p.azure_deployment_id"],
        ),
        (
            with(
                "azure-openai",
                json!({"api_key": "k", "azure_resource_name": "r",
                "azure_deployment_id": "a/../b", "azure_api_version": "2024&x=1"}),
            ),
            vec!["p.azure_deployment_id", "p.azure_api_version"],
        ),
        (
            with("azure-openai", json!({"azure_resource_name": "r", "azure_auth_mode": "entra"})),
            vec![
                "p.azure_entra_tenant_id",
                "p.azure_entra_client_id",
                "p.azure_entra_client_secret",
            ],
        ),
        (
            with(
                "azure-openai",
                json!({"azure_resource_name": "r", "azure_auth_mode": "managed", "api_key": "k",
                "azure_entra_tenant_id": "t"}),
            ),
            vec!["p.azure_entra_tenant_id", "p.api_key"],
        ),
        (
            with(
                "azure-openai",
                json!({"azure_resource_name": "r", "api_key": "k", "azure_managed_client_id": "c"}),
            ),
            vec!["p.azure_managed_client_id"],
        ),
        (
            with(
                "azure-openai",
                json!({"azure_resource_name": "r", "azure_entra_tenant_id": "t",
                "azure_entra_client_id": "c", "azure_entra_client_secret": "s",
                "azure_entra_url": "http://10.0.0.1"}),
            ),
            vec!["p.azure_entra_url"],
        ),
        (
            with(
                "azure-openai",
                json!({"azure_resource_name": "r", "api_key": "k", "azure_auth_mode": "x"}),
            ),
            vec!["p.azure_auth_mode"],
        ),
        (with("azure-openai", json!({"azure_resource_name": "r"})), vec!["p.api_key"]),
        (
            with("azure-ai", json!({"api_key": "k", "azure_foundry_url": "https://a/b?c"})),
            vec!["p.azure_foundry_url"],
        ),
        (
            with(
                "azure-ai",
                json!({"api_key": "k", "azure_foundry_url": "https://a", "azure_resource_name": "r"}),
            ),
            vec!["p.azure_resource_name"],
        ),
        (with("bedrock", json!({"api_key": "k"})), vec!["p.aws_region"]),
        (with("bedrock", json!({"aws_region": "us-east-1"})), vec!["p.api_key"]),
        (
            with("bedrock", json!({"api_key": "k", "aws_region": "a.evil.example/"})),
            vec!["p.aws_region"],
        ),
        (
            with("bedrock", json!({"aws_region": "us-east-1", "aws_access_key_id": "a"})),
            vec!["p.aws_secret_access_key"],
        ),
        (
            with(
                "bedrock",
                json!({"aws_region": "us-east-1", "aws_access_key_id": "a",
                "aws_secret_access_key": "s", "api_key": "k"}),
            ),
            vec!["p.api_key"],
        ),
        (
            with(
                "bedrock",
                json!({"aws_region": "us-east-1", "api_key": "k", "aws_auth_type": "api-key",
                "aws_access_key_id": "a", "aws_role_arn": "r"}),
            ),
            vec!["p.aws_access_key_id", "p.aws_role_arn"],
        ),
        (
            with("bedrock", json!({"aws_region": "us-east-1", "aws_role_arn": "r"})),
            vec!["p.aws_access_key_id", "p.aws_secret_access_key"],
        ),
        (
            with("bedrock", json!({"aws_region": "us-east-1", "aws_auth_type": "assumed-role"})),
            vec!["p.aws_role_arn"],
        ),
        (
            with(
                "bedrock",
                json!({"aws_region": "us-east-1", "aws_role_arn": "a",
                "aws_sts_url": "http://sts.example", "aws_access_key_id": "a", "aws_secret_access_key": "s"}),
            ),
            vec!["p.aws_sts_url"],
        ),
        (
            with("vertex-ai", json!({"api_key": "k"})),
            vec!["p.vertex_region", "p.vertex_project_id"],
        ),
        (
            with(
                "vertex-ai",
                json!({"api_key": "k", "vertex_region": "evil.example#", "vertex_project_id": "../x"}),
            ),
            vec!["p.vertex_region", "p.vertex_project_id"],
        ),
        (
            with(
                "vertex-ai",
                json!({"vertex_region": "global", "vertex_service_account_json": "{}"}),
            ),
            vec!["p.vertex_service_account_json", "p.vertex_project_id"],
        ),
        (
            with(
                "vertex-ai",
                json!({"vertex_region": "global", "vertex_project_id": "p", "api_key": "k",
                "vertex_auth_type": "metadata"}),
            ),
            vec!["p.api_key"],
        ),
        (
            with(
                "vertex-ai",
                json!({"vertex_region": "global", "vertex_project_id": "p",
                "vertex_auth_type": "service-account"}),
            ),
            vec!["p.vertex_service_account_json"],
        ),
        (
            with("workers-ai", json!({"api_key": "k", "workers_ai_account_id": "a/b"})),
            vec!["p.workers_ai_account_id"],
        ),
        (with("workers-ai", json!({"api_key": "k"})), vec!["p.base_url"]),
        (
            with("databricks", json!({"api_key": "k", "databricks_workspace": "a.evil.example"})),
            vec!["p.databricks_workspace"],
        ),
        (
            with("watsonx", json!({"api_key": "k", "watsonx_region": "eu-de"})),
            vec!["p.watsonx_project_id"],
        ),
        (
            with("watsonx", json!({"watsonx_region": "eu-de", "watsonx_space_id": "s"})),
            vec!["p.api_key"],
        ),
        (
            with(
                "oracle",
                json!({"oracle_region": "r", "oracle_tenancy": "t", "oracle_key_passphrase": "x"}),
            ),
            vec![
                "p.oracle_key_passphrase",
                "p.oracle_user",
                "p.oracle_fingerprint",
                "p.oracle_private_key",
            ],
        ),
        (with("echo", json!({"aws_region": "r"})), vec!["p.aws_region"]),
        (
            with(
                "azure-openai",
                json!({"azure_resource_name": "r", "azure_auth_mode": "managed",
                "headers": {"Authorization": "x"}}),
            ),
            vec!["p.headers.authorization"],
        ),
    ] {
        assert_eq!(check(written.clone()).1, expected, "{written}");
    }
}

#[test]
fn watsonx_bodies_include_model_and_project() {
    let written = json!({"watsonx_region": "eu-de", "watsonx_space_id": "s", "api_key": "k"});
    let (provider, _) = check(with("watsonx", written));
    let provider = provider.expect("no problem");
    assert_eq!(provider.members(Some("m")), [("model_id", Some("m")), ("space_id", Some("s"))]);
}

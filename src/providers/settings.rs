//! `[providers.NAME]` as written, and its check.
//!
//! Files are read through a function that the caller passes, so this part does no I/O. No message
//! repeats a credential or a header value.

use std::collections::BTreeMap;
use std::time::Duration;

use super::account::{Account, AccountContext};
use super::address::Address;
use super::preset::{Auth, PRESETS, Preset, preset};
use super::{
    AccountSettings, BaseUrl, ConfigSources, Credential, HealthCheck, Origin, Provider,
    ProviderField, Timeouts, TlsFiles,
};
use crate::base::{
    Diagnostics, NAME_RULE, Secret, check_pem, check_secret, did_you_mean, field_name, is_name,
    member_path,
};
use crate::llm::{Dialect, ModelRule};

/// Slug and name of the built-in provider that needs no network.
const ECHO: &str = "echo";

/// An account at a vendor, or a server with a known API format.
#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct ProviderSettings {
    /// Vendor from the built-in catalog, which sets `base_url`, `dialect` and the credential field.
    /// `echo` is the built-in provider that responds without a network. For a server of your own
    /// leave it out and set `base_url` and `dialect`.
    #[schemars(example = &"openai")]
    pub preset: Option<String>,
    /// API format of the server. Set it if there is no preset, or if `base_url` points to a server
    /// with another format than the vendor's.
    pub dialect: Option<Dialect>,
    /// Base URL of the server including the version, such as `https://api.openai.com/v1`. Overrides
    /// the preset's; required without a preset.
    pub base_url: Option<String>,
    /// Credential for the vendor. Write a reference, `${NAME}` or `${file:PATH}`, not the key
    /// itself. It is never sent to a client or written to a log or error message.
    #[schemars(example = &"${OPENAI_API_KEY}")]
    pub api_key: Option<Secret>,
    /// Models that this provider serves, by the vendor's names. A request for one of them is sent
    /// here if it names no provider; if several providers list it, the first in the file is used.
    /// Default: any model, but only for requests that name this provider, for models that the
    /// catalog lists for its preset and for no other provider, or for all requests if it is the
    /// only provider. `GET /v1/models` lists these models; by default those that the catalog lists
    /// for the preset, and none for servers of your own (vLLM, Ollama and the like).
    #[schemars(extend("examples" = [["gpt-4o", "gpt-4o-mini"]]))]
    pub models: Vec<String>,
    /// Timeout of name lookup, TCP and TLS together, in milliseconds. Lower it to fail over sooner.
    #[schemars(range(min = 1, max = 86_400_000))]
    pub connect_timeout_ms: u64,
    /// Timeout from the sent request to the first byte of the response, in milliseconds. Raise it
    /// for reasoning models that respond without a stream.
    #[schemars(range(min = 1, max = 86_400_000))]
    pub first_byte_timeout_ms: u64,
    /// Timeout between two reads of a response, in milliseconds.
    #[schemars(range(min = 1, max = 86_400_000))]
    pub idle_timeout_ms: u64,
    /// Timeout of the whole attempt, in milliseconds. Applies in addition to the other three.
    #[schemars(range(min = 1, max = 86_400_000))]
    pub total_timeout_ms: u64,
    /// Idle timeout of a realtime session without traffic in either direction, in milliseconds.
    /// Raise it for clients that send nothing, not even pings, during silence. The two timeouts
    /// above do not apply to an open session: it lasts until either side ends it, at most one day.
    #[schemars(range(min = 1, max = 86_400_000))]
    pub realtime_idle_timeout_ms: u64,
    /// Path of an active health check, such as `/models` or `/health`, appended to `base_url`. Routes
    /// exclude the provider's targets while the check fails. Default: no active check; health is derived
    /// from traffic.
    pub check_path: Option<String>,
    /// Interval between health checks, in milliseconds; also the timeout of each.
    #[schemars(range(min = 100, max = 86_400_000))]
    pub check_interval_ms: u64,
    /// Additional header fields sent with every request, name and value. They override the
    /// preset's. Fields that frame the message or control the connection are rejected.
    pub headers: BTreeMap<String, Secret>,
    /// PEM file of additional root certificates, for a server whose certificate is not signed by a
    /// public authority. Relative to the directory of the settings file.
    pub tls_ca_file: Option<String>,
    /// PEM file of the client certificate and its chain, for servers that require one. Requires
    /// `tls_client_key_file`.
    pub tls_client_cert_file: Option<String>,
    /// PEM file of the private key of `tls_client_cert_file`.
    pub tls_client_key_file: Option<String>,
    /// Rules added to the built-in table of what models accept, for a server or a model that the table
    /// does not know.
    pub model_rules: Vec<ModelRule>,
    /// Settings of single vendors.
    #[serde(flatten)]
    pub account: AccountSettings,
}

impl Default for ProviderSettings {
    fn default() -> Self {
        Self {
            preset: None,
            dialect: None,
            base_url: None,
            api_key: None,
            models: Vec::new(),
            connect_timeout_ms: 3_000,
            first_byte_timeout_ms: 60_000,
            idle_timeout_ms: 60_000,
            total_timeout_ms: 600_000,
            realtime_idle_timeout_ms: 600_000,
            check_path: None,
            check_interval_ms: 10_000,
            headers: BTreeMap::new(),
            tls_ca_file: None,
            tls_client_cert_file: None,
            tls_client_key_file: None,
            model_rules: Vec::new(),
            account: AccountSettings::default(),
        }
    }
}

impl ProviderSettings {
    /// The checked provider; `None` if a diagnostic makes it unusable.
    pub fn check(
        self,
        name: &str,
        path: &str,
        sources: &ConfigSources<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Provider> {
        let before = diagnostics.len();
        if !is_name(name) {
            diagnostics.add(path, format!("expected a name of {NAME_RULE}"), "");
        }
        self.check_models(path, diagnostics);
        for (index, rule) in self.model_rules.iter().enumerate() {
            let path = format!("{}[{index}]", member_path(path, "model_rules"));
            rule.check(&path, diagnostics);
        }
        if self.preset.as_deref() == Some(ECHO) {
            return Some(self.check_echo(name, path, diagnostics));
        }
        let row = self.check_preset(path, diagnostics);
        let account = self.check_account(row, path, sources, diagnostics);
        let dialect = self.check_dialect(row, &account, path, diagnostics);
        let url = self.check_base_url(row, &account, path, diagnostics);
        let fields = self.check_fields(row, &account, dialect, url.as_ref(), path, diagnostics);
        let tls = self.check_tls(path, sources, diagnostics);
        let check = self.check_check(path, diagnostics);
        let (dialect, origin) = (dialect?, Origin::Http(url?));
        (diagnostics.len() == before).then(|| Provider {
            name: name.to_owned(),
            preset: row.map(|row| row.slug.as_str()),
            dialect,
            has_dialects: self.dialect.is_none() && account.address.has_dialects(),
            origin,
            address: account.address,
            fields,
            credential: account.credential,
            timeouts: self.timeouts(),
            check,
            models: self.models,
            tls,
            model_rules: self.model_rules,
        })
    }

    fn check_check(&self, path: &str, diagnostics: &mut Diagnostics) -> Option<HealthCheck> {
        let written = self.check_path.clone()?;
        let is_path =
            written.starts_with('/') && written.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_path || written.contains('#') {
            let message = "expected a path that begins with `/`, without spaces";
            diagnostics.add(&member_path(path, "check_path"), message, "as `/models`");
        }
        Some(HealthCheck { path: written, interval: Duration::from_millis(self.check_interval_ms) })
    }

    fn check_account(
        &self,
        row: Option<&'static Preset>,
        path: &str,
        sources: &ConfigSources<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Account {
        // An unknown preset is one diagnostic, not one for each of its settings.
        if row.is_some() || self.preset.is_none() {
            let slug = row.map(|row| row.slug.as_str());
            self.account.refuse_foreign(slug, path, diagnostics);
        }
        let Some(row) = row else { return Account::default() };
        let before = diagnostics.len();
        let mut account = self.account.check(&mut AccountContext {
            slug: &row.slug,
            path,
            api_key: self.api_key.as_ref(),
            base_url: self.base_url.as_deref(),
            dialect: self.dialect,
            sources,
            diagnostics,
        });
        account.has_diagnostics = diagnostics.len() > before;
        account
    }

    fn check_echo(self, name: &str, path: &str, diagnostics: &mut Diagnostics) -> Provider {
        self.account.refuse_foreign(Some(ECHO), path, diagnostics);
        let refused = [
            ("api_key", self.api_key.is_some()),
            ("base_url", self.base_url.is_some()),
            ("dialect", self.dialect.is_some()),
            ("headers", !self.headers.is_empty()),
            ("check_path", self.check_path.is_some()),
            ("tls_ca_file", self.tls_ca_file.is_some()),
            ("tls_client_cert_file", self.tls_client_cert_file.is_some()),
            ("tls_client_key_file", self.tls_client_key_file.is_some()),
        ];
        for (setting, _) in refused.iter().filter(|(_, given)| *given) {
            let message = "the preset `echo` uses no network and takes no such setting";
            diagnostics.add(&member_path(path, setting), message, "leave it out");
        }
        let timeouts = self.timeouts();
        let models = if self.models.is_empty() { vec![ECHO.to_owned()] } else { self.models };
        Provider {
            name: name.to_owned(),
            preset: None,
            dialect: Dialect::OpenaiChat,
            has_dialects: false,
            origin: Origin::Echo,
            address: Address::Plain,
            fields: Vec::new(),
            credential: Credential::Fixed,
            models,
            timeouts,
            check: None,
            tls: TlsFiles::default(),
            model_rules: self.model_rules,
        }
    }

    pub(super) fn timeouts(&self) -> Timeouts {
        Timeouts {
            connect: Duration::from_millis(self.connect_timeout_ms),
            first_byte: Duration::from_millis(self.first_byte_timeout_ms),
            idle: Duration::from_millis(self.idle_timeout_ms),
            total: Duration::from_millis(self.total_timeout_ms),
            realtime_idle: Duration::from_millis(self.realtime_idle_timeout_ms),
        }
    }

    fn check_models(&self, path: &str, diagnostics: &mut Diagnostics) {
        for (index, model) in self.models.iter().enumerate() {
            if model.is_empty() || model.len() > 256 || model.chars().any(char::is_control) {
                let path = format!("{}[{index}]", member_path(path, "models"));
                diagnostics.add(&path, "expected a model name of 1 to 256 characters", "");
            }
        }
    }

    fn check_preset(&self, path: &str, diagnostics: &mut Diagnostics) -> Option<&'static Preset> {
        let slug = self.preset.as_deref()?;
        let row = preset(slug);
        if row.is_none() {
            let path = member_path(path, "preset");
            let slugs = PRESETS.iter().map(|preset| preset.slug.as_str()).chain([ECHO]);
            let mut hint = did_you_mean(slug, slugs);
            if hint.is_empty() {
                "leave it out and give `dialect` and `base_url`".clone_into(&mut hint);
            }
            let message = format!("no preset has the name {}", diagnostics.quote(&path, slug));
            diagnostics.add(&path, message, hint);
        }
        row
    }

    fn check_dialect(
        &self,
        row: Option<&Preset>,
        account: &Account,
        path: &str,
        diagnostics: &mut Diagnostics,
    ) -> Option<Dialect> {
        let by_vendor = account.dialect.or_else(|| row.map(|row| row.dialect));
        let dialect = self.dialect.or(by_vendor);
        if dialect.is_none() && self.preset.is_none() {
            let hint = "give `preset`, or `dialect` and `base_url`";
            diagnostics.add(&member_path(path, "dialect"), "expected a dialect, got none", hint);
        }
        dialect
    }

    fn check_base_url(
        &self,
        row: Option<&Preset>,
        account: &Account,
        path: &str,
        diagnostics: &mut Diagnostics,
    ) -> Option<BaseUrl> {
        let path = member_path(path, "base_url");
        let from_row = row.map(|row| row.base_url.as_str()).filter(|url| !url.is_empty());
        let by_vendor = account.base_url.as_deref().or(from_row);
        let Some(text) = self.base_url.as_deref().or(by_vendor) else {
            if !account.has_diagnostics && (self.preset.is_none() || row.is_some()) {
                let note = row.map_or("", |row| row.note.as_str());
                diagnostics.add(&path, "expected a base URL, got none", note);
            }
            return None;
        };
        BaseUrl::parse(text)
            .map_err(|error| diagnostics.add(&path, error.to_string(), error.hint()))
            .ok()
    }

    /// Credential and fixed fields. The operator's fields override the preset's.
    fn check_fields(
        &self,
        row: Option<&Preset>,
        account: &Account,
        dialect: Option<Dialect>,
        url: Option<&BaseUrl>,
        path: &str,
        diagnostics: &mut Diagnostics,
    ) -> Vec<ProviderField> {
        let auth = row.map_or_else(|| auth_of(dialect), |row| row.auth);
        let mut fields: BTreeMap<String, Secret> =
            row.into_iter().flat_map(Preset::fields).collect();
        fields
            .extend(account.fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        fields.extend(self.check_headers(path, diagnostics));
        if account.credential != Credential::Fixed {
            if fields.contains_key("authorization") {
                let message = "the credential of this provider travels in it";
                let path = member_path(&member_path(path, "headers"), "authorization");
                diagnostics.add(&path, message, "leave it out");
            }
            return fields.into_iter().map(|(name, value)| ProviderField { name, value }).collect();
        }
        let path = member_path(path, "api_key");
        match &self.api_key {
            Some(key) if !check_secret(key, &path, diagnostics) => {}
            Some(key) => {
                if fields.contains_key(auth.field_name()) {
                    let message = format!("`headers` sets `{}` too", auth.field_name());
                    diagnostics.add(&path, message, "give one of the two");
                }
                let field = auth.field(key.reveal());
                fields.extend(field.map(|field| (field.name, field.value)));
            }
            None => {
                let own_server =
                    self.base_url.is_some() && url.is_some_and(|url| url.host.is_loopback());
                let needed = row.is_some() && auth != Auth::None && !own_server;
                if needed && !account.has_diagnostics && !fields.contains_key(auth.field_name()) {
                    diagnostics.add(
                        &path,
                        "expected a credential, got none",
                        missing_key_hint(row),
                    );
                }
            }
        }
        fields.into_iter().map(|(name, value)| ProviderField { name, value }).collect()
    }

    fn check_headers(&self, path: &str, diagnostics: &mut Diagnostics) -> BTreeMap<String, Secret> {
        let path = member_path(path, "headers");
        let mut fields = BTreeMap::new();
        for (written, value) in &self.headers {
            let path = member_path(&path, written);
            match field_name(written) {
                Err(error) => diagnostics.add(&path, error.to_string(), "leave it out"),
                Ok(_) if !check_secret(value, &path, diagnostics) => {}
                Ok(name) => {
                    if fields.insert(name, value.clone()).is_some() {
                        diagnostics.add(&path, "this name is given twice", "case does not count");
                    }
                }
            }
        }
        fields
    }

    fn check_tls(
        &self,
        path: &str,
        sources: &ConfigSources<'_>,
        diagnostics: &mut Diagnostics,
    ) -> TlsFiles {
        let read_file = sources.read_file;
        let mut read = |setting: &str, file: &Option<String>, begin: &str| {
            let path = member_path(path, setting);
            check_pem(read_file(file.as_deref()?), begin, &path, diagnostics)
        };
        let ca_pem = read("tls_ca_file", &self.tls_ca_file, "-----BEGIN CERTIFICATE-----");
        let cert =
            read("tls_client_cert_file", &self.tls_client_cert_file, "-----BEGIN CERTIFICATE-----");
        let key = read("tls_client_key_file", &self.tls_client_key_file, "PRIVATE KEY-----");
        let missing = match (&self.tls_client_cert_file, &self.tls_client_key_file) {
            (Some(_), None) => Some("tls_client_key_file"),
            (None, Some(_)) => Some("tls_client_cert_file"),
            _ => None,
        };
        if let Some(setting) = missing {
            let message =
                "expected a file, since a client certificate needs its key and the reverse";
            diagnostics.add(&member_path(path, setting), message, "give both or none");
        }
        TlsFiles { ca_pem, client_pem: cert.zip(key) }
    }
}

impl Provider {
    /// A provider that is not configured: a preset at `base`, without a credential, which the
    /// client sends.
    #[must_use]
    pub fn unlisted(preset: &'static Preset, base: BaseUrl) -> Self {
        let fields = preset.fields().map(|(name, value)| ProviderField { name, value });
        Self {
            name: preset.slug.clone(),
            preset: Some(&preset.slug),
            dialect: preset.dialect,
            has_dialects: false,
            origin: Origin::Http(base),
            address: Address::Plain,
            fields: fields.collect(),
            credential: Credential::Fixed,
            models: Vec::new(),
            timeouts: ProviderSettings::default().timeouts(),
            check: None,
            tls: TlsFiles::default(),
            model_rules: Vec::new(),
        }
    }
}

/// How a key is sent to a server without a preset: like that of the dialect's vendor.
fn auth_of(dialect: Option<Dialect>) -> Auth {
    match dialect {
        Some(Dialect::AnthropicMessages) => Auth::XApiKey,
        Some(Dialect::Gemini) => Auth::XGoogApiKey,
        _ => Auth::Bearer,
    }
}

fn missing_key_hint(row: Option<&Preset>) -> String {
    match row {
        Some(row) if row.auth == Auth::Other => {
            format!("or give the settings of `{}` that sign or fetch tokens", row.slug)
        }
        Some(Preset { env: Some(variable), .. }) => format!("write api_key = \"${{{variable}}}\""),
        _ => "write api_key = \"${NAME}\" and set the variable NAME".to_owned(),
    }
}

#[cfg(test)]
mod tests;

//! The built-in catalog of vendors, one row in `presets.toml` each.
//!
//! The file is compiled in; the tests below check it, so it is not checked at run time.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::ProviderField;
use crate::base::{Secret, is_field_value};
use crate::llm::Dialect;

/// How the credential is sent to the vendor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Auth {
    /// `Authorization: Bearer …`.
    Bearer,
    /// `Authorization: Key …`.
    Key,
    /// Anthropic's field.
    XApiKey,
    /// Azure's field.
    ApiKey,
    /// Google's field.
    XGoogApiKey,
    /// No credential is required; one that is configured is sent as [`Auth::Bearer`].
    None,
    /// Requests are signed or carry fetched tokens; see [`Credential`](super::Credential). A configured token is sent
    /// as [`Auth::Bearer`].
    Other,
}

impl Auth {
    /// Lower-case name of the field that carries the credential.
    #[must_use]
    pub fn field_name(self) -> &'static str {
        match self {
            Self::Bearer | Self::Key | Self::None | Self::Other => "authorization",
            Self::XApiKey => "x-api-key",
            Self::ApiKey => "api-key",
            Self::XGoogApiKey => "x-goog-api-key",
        }
    }

    /// The field with `credential`; `None` if it is not a legal header value.
    #[must_use]
    pub fn field(self, credential: &str) -> Option<ProviderField> {
        let value = match self {
            Self::Bearer | Self::None | Self::Other => format!("Bearer {credential}"),
            Self::Key => format!("Key {credential}"),
            Self::XApiKey | Self::ApiKey | Self::XGoogApiKey => credential.to_owned(),
        };
        let legal = !credential.is_empty() && is_field_value(credential);
        legal.then(|| ProviderField {
            name: self.field_name().to_owned(),
            value: Secret::new(value),
        })
    }
}

/// An endpoint that a vendor does not offer, on any of its servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Capability {
    /// Chat, in the vendor's dialect.
    Chat,
    /// OpenAI's older text completions.
    Completions,
    /// Embeddings.
    Embeddings,
}

/// One vendor of the catalog.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// Its slug; Portkey's, if Portkey has the vendor.
    #[serde(skip)]
    pub slug: String,
    /// Base URL including the version; empty if it depends on the account.
    pub base_url: String,
    /// How the credential is sent.
    pub auth: Auth,
    /// API format of the vendor.
    pub dialect: Dialect,
    /// Further API formats at the same base URL.
    #[serde(default)]
    pub also: Vec<Dialect>,
    /// True for the vendor that defines the dialect; false for one that imitates it.
    #[serde(default)]
    pub original: bool,
    /// Environment variable that adds the provider if there is no settings file.
    pub env: Option<String>,
    /// URL of the API reference.
    pub docs: Option<String>,
    /// Fixed header fields; names in lower case.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Endpoints that the vendor does not offer.
    #[serde(default)]
    pub gaps: Vec<Capability>,
    /// A note for operators.
    #[serde(default)]
    pub note: String,
}

impl Preset {
    /// Its fixed fields.
    pub(super) fn fields(&self) -> impl Iterator<Item = (String, Secret)> {
        self.headers.iter().map(|(name, value)| (name.clone(), Secret::new(value.clone())))
    }
}

/// All presets, in alphabetical order, as in the file.
pub static PRESETS: LazyLock<Vec<Preset>> = LazyLock::new(|| {
    let rows: toml::Table =
        include_str!("presets.toml").parse().expect("a test reads the built-in file");
    rows.into_iter()
        .map(|(slug, row)| Preset {
            slug,
            ..row.try_into().expect("a test reads every row of the built-in file")
        })
        .collect()
});

/// The preset of that slug.
#[must_use]
pub fn preset(slug: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.slug == slug)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{field_name, is_name};
    use crate::llm::Catalog;
    use crate::providers::{BaseUrl, Provider};
    use std::collections::HashSet;

    #[test]
    fn every_preset_is_usable() {
        assert!(PRESETS.len() > 75, "{} presets", PRESETS.len());
        let mut variables = HashSet::new();
        for preset in PRESETS.iter() {
            let slug = &preset.slug;
            assert!(is_name(slug) && slug != "echo", "{slug}");
            if !preset.base_url.is_empty() {
                let url = BaseUrl::parse(&preset.base_url);
                assert!(url.is_ok(), "{slug}: {url:?}");
                assert!(!preset.base_url.ends_with('/'), "{slug}");
            }
            assert!(preset.docs.as_ref().is_none_or(|url| url.starts_with("https://")), "{slug}");
            for (name, value) in &preset.headers {
                assert_eq!(field_name(name).as_ref(), Ok(name), "{slug}");
                assert!(is_field_value(value), "{slug}");
            }
            if let Some(variable) = &preset.env {
                assert!(variables.insert(variable), "{slug}: {variable} is used twice");
                assert!(!preset.base_url.is_empty(), "{slug}: {variable} needs a base URL");
            }
        }
        assert!(PRESETS.is_sorted_by(|left, right| left.slug < right.slug));
    }

    #[test]
    fn preset_names_match_the_model_catalog() {
        let vendors = Catalog::vendors();
        assert!(vendors.iter().all(|slug| preset(slug).is_some()), "{vendors:?}");
    }

    #[test]
    fn known_vendors_are_present() {
        for (slug, auth) in [
            ("openai", Auth::Bearer),
            ("anthropic", Auth::XApiKey),
            ("google", Auth::XGoogApiKey),
            ("azure-openai", Auth::ApiKey),
            ("ollama", Auth::None),
            ("vllm", Auth::None),
            ("sglang", Auth::None),
            ("tgi", Auth::None),
            ("llama-cpp", Auth::None),
            ("lm-studio", Auth::None),
            ("watsonx", Auth::Other),
        ] {
            assert_eq!(preset(slug).map(|preset| preset.auth), Some(auth), "{slug}");
        }
        assert!(preset("nobody").is_none());
    }

    #[test]
    fn credential_invalid_in_a_header_has_no_field() {
        for (credential, expected) in [("k", Some("Bearer k")), ("", None), ("a\r\nb: c", None)] {
            let value = Auth::Bearer.field(credential).map(|field| field.value);
            assert_eq!(value.as_ref().map(Secret::reveal), expected);
        }
    }

    #[test]
    fn ad_hoc_providers_have_preset_fields() {
        let base = BaseUrl::parse("https://a.example/v1").expect("plain");
        let provider = Provider::unlisted(preset("anthropic").expect("built in"), base);
        let names: Vec<&str> = provider.fields.iter().map(|field| field.name.as_str()).collect();
        assert_eq!((provider.name.as_str(), names), ("anthropic", vec!["anthropic-version"]));
    }
}

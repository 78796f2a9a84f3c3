//! Shared by the checks of all vendors: their input, their result, and rules for values.

use crate::base::{Diagnostics, Secret, check_secret, member_path};
use crate::providers::address::Address;
use crate::providers::credential::Credential;
use crate::providers::{BaseUrl, ConfigSources, Dialect};

/// The checked settings of a vendor.
#[derive(Debug, Default)]
pub(in crate::providers) struct Account {
    /// Default base URL; `base_url` overrides it.
    pub base_url: Option<String>,
    /// Replaces the preset's value.
    pub dialect: Option<Dialect>,
    pub address: Address,
    pub credential: Credential,
    /// Further fixed fields, lower-case names.
    pub fields: Vec<(&'static str, Secret)>,
    /// True if settings are invalid, so that missing ones are not reported as well.
    pub has_diagnostics: bool,
}

/// Further input of the checks, and the list that collects their diagnostics.
pub(in crate::providers) struct AccountContext<'a> {
    /// The preset's slug.
    pub slug: &'static str,
    /// Path of the provider's table, such as `providers.azure-prod`.
    pub path: &'a str,
    pub api_key: Option<&'a Secret>,
    pub base_url: Option<&'a str>,
    /// The configured dialect.
    pub dialect: Option<Dialect>,
    pub sources: &'a ConfigSources<'a>,
    pub diagnostics: &'a mut Diagnostics,
}

/// A setting: its name, whether it is given, and the presets that take it.
pub(super) type Listed = (&'static str, bool, &'static [&'static str]);

/// Characters that a value may contain.
#[derive(Clone, Copy)]
pub(super) enum Rule {
    /// One label of a host name.
    Label,
    /// Labels separated by dots.
    Host,
    /// One segment of a path.
    Segment,
    /// A token of a header value: no spaces or commas.
    Visible,
}

impl Rule {
    fn accepts(self, text: &str) -> bool {
        let of = |signs: &[u8]| {
            text.bytes().all(|byte| byte.is_ascii_alphanumeric() || signs.contains(&byte))
        };
        let is_bounded = |text: &str, max: usize| {
            (1..=max).contains(&text.len()) && !text.starts_with('-') && !text.ends_with('-')
        };
        match self {
            Self::Label => of(b"-") && is_bounded(text, 63),
            Self::Host => {
                of(b"-_.") && text.len() <= 200 && text.split('.').all(|it| is_bounded(it, 63))
            }
            Self::Segment => {
                of(b"-_.:") && (1..=256).contains(&text.len()) && !matches!(text, "." | "..")
            }
            Self::Visible => {
                (1..=2048).contains(&text.len())
                    && text.bytes().all(|byte| byte.is_ascii_graphic() && !b",\"".contains(&byte))
            }
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Label => "expected 1 to 63 letters, digits and `-`",
            Self::Host => "expected a name of letters, digits, `-`, `_` and `.`",
            Self::Segment => "expected 1 to 256 letters, digits and `-_.:`",
            Self::Visible => "expected visible ASCII characters without space, comma and quote",
        }
    }
}

impl AccountContext<'_> {
    pub(super) fn report(&mut self, name: &str, message: &str, hint: &str) {
        self.diagnostics.add(&member_path(self.path, name), message, hint);
    }

    /// The value, if it is given and follows `rule`.
    pub(super) fn text(
        &mut self,
        name: &str,
        value: Option<&String>,
        rule: Rule,
    ) -> Option<String> {
        let text = value?;
        if rule.accepts(text) {
            return Some(text.clone());
        }
        let hint = if text.is_empty() { "leave it out, or is the variable set?" } else { "" };
        self.report(name, rule.words(), hint);
        None
    }

    /// The value; a diagnostic if it is missing.
    pub(super) fn needed(
        &mut self,
        name: &str,
        value: Option<&String>,
        rule: Rule,
        hint: &str,
    ) -> Option<String> {
        if value.is_none() {
            self.report(name, "expected a value, got none", hint);
        }
        self.text(name, value, rule)
    }

    /// The secret; a diagnostic if it is missing or cannot be sent in a header.
    pub(super) fn needed_secret(
        &mut self,
        name: &str,
        value: Option<&Secret>,
        hint: &str,
    ) -> Option<Secret> {
        let Some(secret) = value else {
            self.report(name, "expected a secret, got none", hint);
            return None;
        };
        self.secret(name, secret)
    }

    pub(super) fn secret(&mut self, name: &str, secret: &Secret) -> Option<Secret> {
        let path = member_path(self.path, name);
        check_secret(secret, &path, self.diagnostics).then(|| secret.clone())
    }

    /// The URL of a token service. Secrets are sent there, so it must be `https`, or a loopback
    /// address.
    pub(super) fn token_url(
        &mut self,
        name: &str,
        value: Option<&str>,
        default: &str,
    ) -> Option<BaseUrl> {
        let url = self.url(name, value.unwrap_or(default))?;
        if url.tls || url.host.is_loopback() {
            return Some(url);
        }
        self.report(name, "expected `https://`, since a secret is sent there", "");
        None
    }

    pub(super) fn url(&mut self, name: &str, text: &str) -> Option<BaseUrl> {
        let path = member_path(self.path, name);
        BaseUrl::parse(text)
            .map_err(|error| self.diagnostics.add(&path, error.to_string(), error.hint()))
            .ok()
    }

    /// Rejects all given settings in `settings`, for `reason`.
    pub(super) fn refuse(&mut self, settings: &[(&str, bool)], reason: &str, hint: &str) {
        for (name, _) in settings.iter().filter(|(_, given)| *given) {
            self.report(name, reason, hint);
        }
    }

    /// Rejects an `api_key` if another credential is used.
    pub(super) fn refuse_api_key(&mut self, reason: &str) {
        self.refuse(&[("api_key", self.api_key.is_some())], reason, "give one credential");
    }
}

/// The URL without a trailing slash.
pub(super) fn text_of(url: &BaseUrl) -> String {
    let scheme = if url.tls { "https" } else { "http" };
    format!("{scheme}://{}{}", url.authority, url.path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn account_values_cannot_escape_their_segment() {
        use Rule::{Host, Label, Segment, Visible};
        for (rule, good, bad) in [
            (
                Label,
                vec!["my-resource", "us-east-1", "a"],
                vec![
                    "",
                    "httpbin.org#",
                    "a.b",
                    "a/b",
                    "a@b",
                    "a:b",
                    "-a",
                    "a-",
                    "a b",
                    "a?b",
                    "ü",
                    "a_b",
                ],
            ),
            (
                Host,
                vec!["adb-1.2.azuredatabricks.net", "org-acc_1"],
                vec!["", "a..b", ".a", "a.", "a/b", "a#", "a?b", "a@b", "a:1", "a b"],
            ),
            (
                Segment,
                vec!["my-project", "example.com:project", "2024-10-21", "a_b"],
                vec!["", ".", "..", "a/b", "a?b", "a#b", "a%2fb", "a b", "a&b"],
            ),
            (Visible, vec!["arn:aws:iam::1:role/a+b=c@d"], vec!["", "a b", "a\nb", "a,b", "a\"b"]),
        ] {
            for text in good {
                assert!(rule.accepts(text), "{text}");
            }
            for text in bad {
                assert!(!rule.accepts(text), "{text}");
            }
        }
        assert!(!Label.accepts(&"a".repeat(64)));
    }
}

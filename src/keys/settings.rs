//! `[keys.NAME]` as written, and its check. No message repeats a secret or a hash.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Endpoints, KeyHash, VirtualKey};
use crate::base::{Diagnostics, NAME_RULE, Patterns, Secret, check_secret, is_name, member_path};

/// Labels of one key; each goes into every event of the key.
const METADATA_MAX: usize = 32;

/// Length of a label's name or value, in characters; Portkey's limit of a value is 128.
const METADATA_CHARS_MAX: usize = 128;

/// A virtual key: a secret that you issue to a client, and what it allows. Without any key
/// configured, requests need none.
#[derive(Debug, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct KeySettings {
    /// Hash of the secret, as `ringgate keys hash` prints it. Exactly one of `hash` and `secret`
    /// is given. Prefer the hash where others can read the file.
    pub hash: Option<String>,
    /// The secret itself, as a reference, `${NAME}` or `${file:PATH}`.
    #[schemars(example = &"${TEAM_A_KEY}")]
    pub secret: Option<Secret>,
    /// Models that this key may use; `*` matches any run of characters. Left out: all; an empty
    /// list: none. The list applies to the model that is requested from the provider, after the
    /// route has set it, and to those that a body names elsewhere (`models`, `fallbacks`,
    /// `tools[].model`).
    #[schemars(extend("examples" = [["gpt-4o*", "claude-*"]]))]
    pub models: Option<Vec<String>>,
    /// Routes that this key may name; `*` matches any run of characters. Left out: all; an empty
    /// list: none. A key with this list may use no inline config, and each request needs a route of it:
    /// `route`, or one that the request names.
    #[schemars(extend("examples" = [["support"]]))]
    pub routes: Option<Vec<String>>,
    /// Paths that this key may call, such as `/v1/files*`, or with a method `GET /v1/files*`; `*`
    /// matches any run of characters. Left out: all, for a key without `models` and `routes`. A key with
    /// one of these lists may then call the paths that name a model in the request, and see its models,
    /// but nothing that belongs to the account at the provider: files, batches, stored responses.
    #[schemars(extend("examples" = [["/v1/chat/completions", "/v1/files*"]]))]
    pub endpoints: Option<Vec<String>>,
    /// Route taken when a request names none.
    #[schemars(example = &"support")]
    pub route: Option<String>,
    /// Labels that every event of this key carries, at most 32, names and values of at most 128
    /// characters. They win over the request's own metadata.
    #[schemars(extend("examples" = [{ "team": "a" }]))]
    pub metadata: BTreeMap<String, String>,
}

impl KeySettings {
    /// The key that is meant. That its routes exist is for the caller to check.
    pub fn check(
        self,
        name: &str,
        path: &str,
        diagnostics: &mut Diagnostics,
    ) -> Option<VirtualKey> {
        let before = diagnostics.len();
        if !is_name(name) {
            diagnostics.add(path, format!("expected a name of {NAME_RULE}"), "");
        }
        let hash = self.check_hash(path, diagnostics);
        self.check_metadata(path, diagnostics);
        let routes = Patterns::new(self.routes.as_deref());
        if let Some(route) = self.route.as_deref().filter(|route| !routes.allow(route)) {
            let path = member_path(path, "route");
            let message = format!(
                "the default route {} is not among `routes`",
                diagnostics.quote(&path, route)
            );
            diagnostics.add(&path, message, "add it there, or leave `routes` out");
        }
        let endpoints = Endpoints::check(self.endpoints.as_deref(), path, diagnostics);
        let key = VirtualKey {
            name: Arc::from(name),
            hash: hash?,
            models: Patterns::new(self.models.as_deref()),
            routes,
            endpoints,
            route: self.route,
            metadata: (!self.metadata.is_empty()).then(|| Arc::new(self.metadata)),
        };
        (diagnostics.len() == before).then_some(key)
    }

    fn check_hash(&self, path: &str, diagnostics: &mut Diagnostics) -> Option<KeyHash> {
        let secret_path = member_path(path, "secret");
        match (&self.hash, &self.secret) {
            (Some(text), None) => {
                let hash_path = member_path(path, "hash");
                let hint = "`ringgate keys hash` makes one from a secret";
                KeyHash::parse(text)
                    .map_err(|error| diagnostics.add(&hash_path, error.to_string(), hint))
                    .ok()
            }
            (None, Some(secret)) => check_secret(secret, &secret_path, diagnostics)
                .then(|| KeyHash::of(secret.reveal().as_bytes())),
            (Some(_), Some(_)) => {
                let message = "expected one of `hash` and `secret`, got both";
                diagnostics.add(&secret_path, message, "keep the hash");
                None
            }
            (None, None) if diagnostics.has(&member_path(path, "hash")) => None,
            (None, None) => {
                let hint =
                    "write secret = \"${NAME}\", or the hash that `ringgate keys hash` prints";
                diagnostics.add(
                    &secret_path,
                    "expected one of `hash` and `secret`, got neither",
                    hint,
                );
                None
            }
        }
    }

    fn check_metadata(&self, path: &str, diagnostics: &mut Diagnostics) {
        let path = member_path(path, "metadata");
        if self.metadata.len() > METADATA_MAX {
            let message =
                format!("expected at most {METADATA_MAX} labels, got {}", self.metadata.len());
            diagnostics.add(&path, message, "");
        }
        for (name, value) in &self.metadata {
            let long = |text: &str| text.chars().count() > METADATA_CHARS_MAX;
            if name.is_empty() || long(name) || long(value) {
                let message = format!(
                    "expected a name of 1 and a value of 0 to {METADATA_CHARS_MAX} characters"
                );
                diagnostics.add(&member_path(&path, name), message, "");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Schema;
    use serde_json::{Value, json};

    fn check(written: Value) -> (Option<VirtualKey>, Vec<String>) {
        let mut diagnostics = Diagnostics::default();
        let settings: Option<KeySettings> =
            Schema::of::<KeySettings>().read(written, "k", &mut diagnostics);
        let key = settings.and_then(|settings| settings.check("k", "k", &mut diagnostics));
        (key, diagnostics.into_vec().into_iter().map(|diagnostic| diagnostic.path).collect())
    }

    #[test]
    fn secret_and_hash_give_the_same_key() {
        let (by_secret, _) = check(json!({"secret": "s3cret"}));
        let hash = KeyHash::of(b"s3cret").to_text();
        let (by_hash, _) = check(json!({"hash": hash, "models": ["gpt-*"]}));
        let (by_secret, by_hash) = (by_secret.expect("good"), by_hash.expect("good"));
        assert_eq!(by_secret.hash, by_hash.hash);
        assert!(by_secret.models.allow("anything"));
        assert!(by_hash.models.allow("gpt-4o") && !by_hash.models.allow("claude"));
    }

    #[test]
    fn problems_have_paths() {
        let long = "x".repeat(129);
        for (written, expected) in [
            (json!({}), "k.secret"),
            (json!({"secret": ""}), "k.secret"),
            (json!({"secret": "a\n"}), "k.secret"),
            (json!({"secret": "a", "hash": "b"}), "k.secret"),
            (json!({"hash": "b"}), "k.hash"),
            (json!({"secret": "a", "route": "r", "routes": ["s"]}), "k.route"),
            (json!({"secret": "a", "metadata": {"a": 1}}), "k.metadata.a"),
            (json!({"secret": "a", "metadata": {"a": long}}), "k.metadata.a"),
            (json!({"secret": "a", "models": "gpt"}), "k.models"),
            (json!({"secret": "a", "budget": 1}), "k.budget"),
            (json!({"secret": "a", "endpoints": ["/v1/*", "files"]}), "k.endpoints[1]"),
            (json!({"secret": "a", "endpoints": ["get /v1/files"]}), "k.endpoints[0]"),
            (json!({"secret": "a", "endpoints": ["GET v1/files"]}), "k.endpoints[0]"),
        ] {
            assert_eq!(check(written.clone()).1, [expected], "{written}");
        }
    }
}

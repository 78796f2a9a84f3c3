//! `endpoints` of a key: the paths it may call, each with or without a method.

use crate::base::{Diagnostics, Pattern, member_path};

/// An optional allow-list of paths: absent means no restriction, an empty one allows nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints(Option<Vec<Pattern>>);

impl Endpoints {
    /// Reads the list as written under `path`.
    pub(super) fn check(
        list: Option<&[String]>,
        path: &str,
        diagnostics: &mut Diagnostics,
    ) -> Self {
        let Some(list) = list else { return Self(None) };
        let path = member_path(path, "endpoints");
        for (index, text) in list.iter().enumerate().filter(|(_, text)| !is_endpoint(text)) {
            let path = format!("{path}[{index}]");
            let got = diagnostics.quote(&path, text);
            let message = format!("expected a path or a method and a path, got {got}");
            diagnostics.add(&path, message, "write `/v1/files*` or `GET /v1/files*`");
        }
        Self(Some(list.iter().map(|text| Pattern::new(text)).collect()))
    }

    /// True if there is a list.
    #[must_use]
    pub fn is_given(&self) -> bool {
        self.0.is_some()
    }

    /// True if the list holds that path, or that path with that method.
    #[must_use]
    pub fn hold(&self, method: &str, path: &str) -> bool {
        let Some(list) = &self.0 else { return false };
        let with_method = format!("{method} {path}");
        list.iter().any(|pattern| pattern.matches(path) || pattern.matches(&with_method))
    }
}

/// A path, or a method in capitals and a path; `*` may stand for either.
fn is_endpoint(text: &str) -> bool {
    let is_path = |text: &str| text.starts_with('/') || text.starts_with('*');
    match text.split_once(' ') {
        None => is_path(text),
        Some((method, path)) => {
            let is_method = !method.is_empty() && method.bytes().all(|it| it.is_ascii_uppercase());
            is_method && is_path(path)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoint_lists_match_paths() {
        let list = |items: &[&str]| {
            let items: Vec<String> = items.iter().map(|item| (*item).to_owned()).collect();
            Endpoints::check(Some(&items), "k", &mut Diagnostics::default())
        };
        for (items, method, path, expected) in [
            (&["/v1/files*"][..], "GET", "/v1/files", true),
            (&["/v1/files*"], "DELETE", "/v1/files/f", true),
            (&["/v1/files/*"], "GET", "/v1/files", false),
            (&["GET /v1/files*"], "GET", "/v1/files/f", true),
            (&["GET /v1/files*"], "DELETE", "/v1/files/f", false),
            (&["/v1/chat/completions", "/v1/files"], "POST", "/v1/files", true),
            (&["*"], "POST", "/v1/anything", true),
            (&[], "GET", "/v1/files", false),
        ] {
            let list = list(items);
            assert!(list.is_given());
            assert_eq!(list.hold(method, path), expected, "{items:?} {method} {path}");
        }
        assert!(!Endpoints::default().is_given() && !Endpoints::default().hold("GET", "/"));
    }
}

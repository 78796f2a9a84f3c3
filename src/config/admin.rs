//! `[admin]`: who may use the admin listener, as written and as checked.

use crate::base::{Diagnostics, member_path};

/// The admin listener.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admin {
    /// Allowed `host` names besides IP addresses and `localhost`; lower case.
    pub hosts: Vec<String>,
}

/// The admin listener. Its address is `server.admin_listen`.
#[derive(Debug, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct AdminSettings {
    /// Host names under which the admin API is called, without port. IP addresses and `localhost`
    /// are always allowed; any other name is rejected with 421, since a web page could otherwise
    /// reach the API by DNS rebinding. `/healthz`, `/readyz` and `/metrics` respond under any name.
    #[schemars(extend("restart_required" = true))]
    hosts: Vec<String>,
}

impl AdminSettings {
    /// The checked settings, without invalid names.
    pub(super) fn check(self, path: &str, diagnostics: &mut Diagnostics) -> Admin {
        let path = member_path(path, "hosts");
        for (index, text) in self.hosts.iter().enumerate().filter(|(_, text)| !is_host_name(text)) {
            let path = format!("{path}[{index}]");
            let message = format!("expected a host name, got {}", diagnostics.quote(&path, text));
            diagnostics.add(
                &path,
                message,
                "without scheme, port and path, as in `gateway.internal`",
            );
        }
        Admin { hosts: self.hosts.iter().map(|text| text.to_ascii_lowercase()).collect() }
    }
}

fn is_host_name(text: &str) -> bool {
    let is_label = |label: &str| {
        let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=63).contains(&label.len()) && label.bytes().all(is_inner)
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

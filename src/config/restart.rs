//! The settings that a reload cannot change, as they are in force.
//!
//! A setting is marked where it is declared, with `#[schemars(extend("restart_required" = true))]`: the
//! reference page then says so, and a reload that changes it is refused. Values are compared as they are
//! written, references and flags resolved, so that a marked setting needs no code of its own.

use std::net::SocketAddr;

use serde_json::Value;

use crate::base::Secret;

/// Each marked setting with its value, in the order of the reference page.
#[derive(Clone, Debug, Default)]
pub(super) struct RestartSettings(Vec<RestartSetting>);

#[derive(Clone, Debug)]
struct RestartSetting {
    path: String,
    /// As JSON. Any value may come from a secret.
    value: Secret,
}

impl RestartSettings {
    /// Adds the marked settings of a section.
    pub(super) fn extend(&mut self, values: impl IntoIterator<Item = (String, Value)>) {
        let settings = values.into_iter();
        self.0.extend(
            settings.map(|(path, value)| RestartSetting {
                path,
                value: Secret::new(value.to_string()),
            }),
        );
    }

    /// The paths of the settings that differ from those of a process that runs with `running`.
    pub(super) fn changed(&self, running: &Self) -> Vec<&str> {
        let pairs = self.0.iter().zip(&running.0);
        let changed = pairs.filter(|(setting, running)| !setting.is_in_force(running));
        changed.map(|(setting, _)| setting.path.as_str()).collect()
    }

    /// Sets the address that a listener is bound to, in place of one with a port 0.
    pub(super) fn set_address(&mut self, path: &str, address: SocketAddr) {
        let value = Value::from(address.to_string());
        for setting in self.0.iter_mut().filter(|setting| setting.path == path) {
            setting.value = Secret::new(value.to_string());
        }
    }
}

impl RestartSetting {
    /// True if a process that runs with `running` need not change. A port 0 takes any free port, and the one
    /// that is bound was free.
    fn is_in_force(&self, running: &Self) -> bool {
        let is_bound = || {
            let (wanted, bound) = (self.address()?, running.address()?);
            Some(wanted == bound || wanted.port() == 0 && wanted.ip() == bound.ip())
        };
        self.value == running.value || is_bound() == Some(true)
    }

    fn address(&self) -> Option<SocketAddr> {
        serde_json::from_str::<&str>(self.value.reveal()).ok()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::reference::sections;
    use crate::config::{Overrides, Settings};

    /// A secret that nothing may print.
    const CANARY: &str = "canary-51c2";

    /// Each marked setting, its section, and a value that is not its default.
    const MARKED: &[(&str, &str, &str)] = &[
        ("server.listen", "server", "listen = '127.0.0.1:9'"),
        ("server.admin_listen", "server", "admin_listen = '127.0.0.1:7'"),
        ("server.admin_token", "server", "admin_token = '${TOKEN}'"),
        ("server.shards", "server", "shards = 3"),
        ("server.busy_poll_us", "server", "busy_poll_us = 5"),
        ("admin.hosts", "admin", "hosts = ['gateway.internal']"),
        ("log.requests", "log", "requests = 'stdout'"),
        ("cache.dir", "cache", "dir = ''"),
        ("semantic_cache.model_dir", "semantic_cache", "model_dir = 'other'"),
        ("semantic_cache.threads", "semantic_cache", "threads = 2"),
    ];

    fn settings(text: &str, overrides: &Overrides) -> Settings {
        let environment = |name: &str| (name == "TOKEN").then(|| CANARY.to_owned());
        Settings::parse(text, Path::new(""), overrides, &environment).expect("legal settings")
    }

    fn changed(before: &str, after: &str) -> Vec<String> {
        let [before, after] = [before, after].map(|text| settings(text, &Overrides::default()));
        after.restart_required(&before).into_iter().map(str::to_owned).collect()
    }

    #[test]
    fn each_marked_setting_needs_a_restart() {
        let marked = sections().into_iter().flat_map(|section| {
            section.shape.restart_values(&Value::Null, section.title).into_iter()
        });
        let marked: Vec<String> = marked.map(|(path, _)| path).collect();
        assert_eq!(marked, MARKED.iter().map(|(path, ..)| *path).collect::<Vec<_>>());
        for (path, section, line) in MARKED {
            let text = format!("[{section}]\n{line}\n");
            assert_eq!(changed("", &text), [*path]);
            assert_eq!(changed(&text, ""), [*path]);
            assert!(changed(&text, &text).is_empty(), "{path}");
        }
    }

    #[test]
    fn all_changed_settings_are_named_and_no_value() {
        let mut text = String::new();
        for name in ["server", "admin", "log", "cache", "semantic_cache"] {
            let lines = MARKED.iter().filter(|(_, section, _)| *section == name);
            let lines: Vec<&str> = lines.map(|(.., line)| *line).collect();
            text.push_str(&format!("[{name}]\n{}\n", lines.join("\n")));
        }
        let paths: Vec<&str> = MARKED.iter().map(|(path, ..)| *path).collect();
        assert_eq!(changed("", &text), paths);
        assert!(!format!("{:?}", settings(&text, &Overrides::default())).contains(CANARY));
    }

    #[test]
    fn other_settings_change_without_a_restart() {
        for (before, after) in [
            ("", "[server]\nbody_bytes_max = 2048\n[semantic_cache]\nenabled = false"),
            ("", "[server]\nlisten = '127.0.0.1:8080'\nshards = 0"),
            ("[server]\nlisten = '[::1]:9'", "[server]\nlisten = '[0::1]:9'"),
            ("[providers.a]\npreset = 'echo'", "[keys.a]\nsecret = 's'"),
        ] {
            assert_eq!(changed(before, after), [""; 0], "{before} to {after}");
        }
    }

    #[test]
    fn a_free_port_stays_the_one_that_is_bound() {
        let zero = "[server]\nlisten = '127.0.0.1:0'\nadmin_listen = '127.0.0.1:0'";
        let mut running = settings(zero, &Overrides::default());
        running.set_bound_addresses(([127, 0, 0, 1], 4001).into(), ([127, 0, 0, 1], 4002).into());
        for (text, expected) in [
            (zero, &[][..]),
            ("[server]\nlisten = '127.0.0.1:4001'\nadmin_listen = '127.0.0.1:4002'", &[]),
            (
                "[server]\nlisten = '127.0.0.1:4003'\nadmin_listen = '127.0.0.1:0'",
                &["server.listen"],
            ),
            ("[server]\nlisten = '127.0.0.2:0'\nadmin_listen = '127.0.0.1:0'", &["server.listen"]),
        ] {
            let changed = settings(text, &Overrides::default());
            assert_eq!(changed.restart_required(&running), expected, "{text}");
        }
    }

    #[test]
    fn flags_stand_above_the_file() {
        let flags = Overrides { shards: Some(2), ..Overrides::default() };
        let running = settings("[server]\nshards = 1", &flags);
        assert!(settings("[server]\nshards = 4", &flags).restart_required(&running).is_empty());
        let without = settings("[server]\nshards = 4", &Overrides::default());
        assert_eq!(without.restart_required(&running), ["server.shards"]);
    }
}

//! `[log]`: where the line per request goes, as written and as checked.

use std::path::PathBuf;

use crate::base::{Diagnostics, member_path};

/// Where one JSON line per request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestLog {
    /// Nowhere.
    Off,
    /// To standard output.
    Stdout,
    /// To the end of this file.
    File(PathBuf),
}

/// The log.
#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct LogSettings {
    /// One JSON line per request: `off`, `stdout`, or the path of a file that is appended to. A
    /// path starts at the directory of the settings file. The line holds no prompt and no answer.
    requests: String,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { requests: "off".to_owned() }
    }
}

impl LogSettings {
    /// The log that is meant; a relative path starts at `directory`.
    pub(super) fn check(
        self,
        path: &str,
        directory: &std::path::Path,
        diagnostics: &mut Diagnostics,
    ) -> Option<RequestLog> {
        match self.requests.as_str() {
            "off" => Some(RequestLog::Off),
            "stdout" => Some(RequestLog::Stdout),
            "" => {
                let path = member_path(path, "requests");
                diagnostics.add(&path, "expected `off`, `stdout` or a path, got an empty text", "");
                None
            }
            // A lone word is far more often a guess than a file name.
            word if !word.contains(['/', '.']) => {
                let path = member_path(path, "requests");
                let quoted = diagnostics.quote(&path, word);
                let message = format!("expected `off`, `stdout` or a path, got {quoted}");
                diagnostics.add(
                    &path,
                    message,
                    "a path holds a `/` or a `.`, as in `./requests.log`",
                );
                None
            }
            file => Some(RequestLog::File(directory.join(file))),
        }
    }
}

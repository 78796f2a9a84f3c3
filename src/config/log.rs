//! `[log]`: the destination of the request log, as written and as checked.

use std::path::PathBuf;

use crate::base::{Diagnostics, member_path};

/// The destination of the request log, one JSON line per request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestLog {
    /// No log.
    Off,
    /// Standard output.
    Stdout,
    /// A file, appended to.
    File(PathBuf),
}

/// The log.
#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct LogSettings {
    /// Request log, one JSON line per request: `off`, `stdout`, or the path of a file to append to.
    /// Relative to the directory of the settings file. Prompts and responses are not logged.
    #[schemars(extend("restart_required" = true))]
    requests: String,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { requests: "off".to_owned() }
    }
}

impl LogSettings {
    /// The checked settings; a relative path is resolved against `directory`.
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
            // A single word is more likely a mistyped keyword than a file name.
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

//! A route in a request header: the JSON of a Portkey config.
//!
//! Unknown names are ignored with a warning, since clients send configs that were written for other
//! versions. Known but unsupported features are rejected: a client that configured guardrails must
//! not silently get none.

use serde_json::Value;

use super::limits::{self, CONFIG_BYTES_MAX};
use super::route::Route;
use super::settings::{RouteSettings, SHAPE};
use crate::base::{Diagnostic, Diagnostics, member_path, snake_case};

/// Diagnostics and warnings reported to a client about its config.
const DIAGNOSTICS_MAX: usize = 8;

/// Why a config in a request header is rejected. The messages are for the client that sent it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// Longer than `CONFIG_BYTES_MAX`.
    #[error("expected a config of at most {CONFIG_BYTES_MAX} bytes, got {bytes}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Not valid JSON.
    #[error("expected a config in JSON, got an error at line {line}, column {column}")]
    NotJson {
        /// From 1.
        line: usize,
        /// From 1; 0 before the first character.
        column: usize,
    },
    /// JSON with diagnostics; the first few of them.
    #[error("{}", in_one_line(.diagnostics))]
    Refused {
        /// Never empty.
        diagnostics: Vec<Diagnostic>,
    },
}

impl Route {
    /// Parses the JSON of a request header. The caller checks that its providers exist.
    ///
    /// # Errors
    /// If it is too long, not valid JSON, or uses an unsupported feature.
    pub fn from_json(text: &str) -> Result<Self, RouteError> {
        if text.len() > CONFIG_BYTES_MAX {
            return Err(RouteError::TooLong { bytes: text.len() });
        }
        let mut value = serde_json::from_str(text)
            .map_err(|error| RouteError::NotJson { line: error.line(), column: error.column() })?;
        let mut diagnostics = Diagnostics::bounded(DIAGNOSTICS_MAX);
        rename_camel_case(&mut value, "config", &mut diagnostics);
        refuse_absent(&mut value, "config", &mut diagnostics);
        let mut warnings = Vec::new();
        ignore_unknown(&mut value, "config", &mut warnings);
        let route = RouteSettings::read(value, "config", &mut diagnostics).and_then(|settings| {
            settings.check_within(&limits::INLINE, ("inline", "config"), &mut diagnostics)
        });
        match route {
            Some(mut route) if diagnostics.is_empty() => {
                route.targets.iter_mut().for_each(|target| target.is_inline = true);
                route.warnings = warnings;
                Ok(route)
            }
            _ => Err(RouteError::Refused { diagnostics: diagnostics.into_vec() }),
        }
    }
}

/// Renames all members to their names here, in the config and the targets below, and removes empty
/// texts that Portkey treats as absent.
fn rename_camel_case(value: &mut Value, path: &str, diagnostics: &mut Diagnostics) {
    if diagnostics.is_full() {
        return;
    }
    SHAPE.rename_camel_case(value, path, diagnostics);
    if let Some(members) = value.as_object_mut() {
        members.retain(|name, value| {
            let is_optional = matches!(name.as_str(), "provider" | "virtual_key" | "api_key");
            !is_optional || value.as_str() != Some("")
        });
    }
    for (path, target) in targets(value, path) {
        rename_camel_case(target, &path, diagnostics);
    }
}

/// Removes unknown names from the config and the targets below, and returns their paths.
fn ignore_unknown(value: &mut Value, path: &str, warnings: &mut Vec<String>) {
    for path in SHAPE.take_unknown(value, path) {
        if warnings.len() < DIAGNOSTICS_MAX {
            warnings.push(format!("{path} is not known and was passed over"));
        }
    }
    for (path, target) in targets(value, path) {
        ignore_unknown(target, &path, warnings);
    }
}

fn targets<'v>(
    value: &'v mut Value,
    path: &str,
) -> impl Iterator<Item = (String, &'v mut Value)> + use<'v> {
    let path = path.to_owned();
    let list = value.get_mut("targets").and_then(Value::as_array_mut);
    let numbered = list.into_iter().flatten().enumerate();
    numbered.map(move |(index, target)| (format!("{path}.targets[{index}]"), target))
}

const CREDENTIAL: &str = "credentials of this kind belong into a provider's settings";

/// Portkey config keys that are known and not supported, with a hint each.
const ABSENT: [(&str, &str); 23] = [
    ("after_request_hooks", ""),
    ("api_version", CREDENTIAL),
    ("aws_access_key_id", CREDENTIAL),
    ("aws_region", CREDENTIAL),
    ("aws_secret_access_key", CREDENTIAL),
    ("aws_session_token", CREDENTIAL),
    ("before_request_hooks", ""),
    ("default_input_guardrails", ""),
    ("default_output_guardrails", ""),
    ("deployment_id", CREDENTIAL),
    ("guardrails", ""),
    ("input_guardrails", ""),
    ("input_mutators", ""),
    ("openai_organization", "set `headers` of a provider instead"),
    ("openai_project", "set `headers` of a provider instead"),
    ("options", "configs with `options` are out of date: write `strategy` and `targets`"),
    ("output_guardrails", ""),
    ("output_mutators", ""),
    ("prompt_id", ""),
    ("resource_name", CREDENTIAL),
    ("vertex_project_id", CREDENTIAL),
    ("vertex_region", CREDENTIAL),
    ("vertex_service_account_json", CREDENTIAL),
];

/// Reports and removes unsupported features in the route and its targets.
fn refuse_absent(value: &mut Value, path: &str, diagnostics: &mut Diagnostics) {
    if let Some(members) = value.as_object_mut() {
        members.retain(|name, value| {
            let in_snake_case = snake_case(name);
            let known = ABSENT.iter().find(|(known, _)| *known == in_snake_case);
            let Some((_, hint)) = known else { return true };
            let is_empty = value.is_null()
                || value.as_str() == Some("")
                || value.as_array().is_some_and(Vec::is_empty);
            if !is_empty {
                let hint = if hint.is_empty() { "leave it out" } else { hint };
                let message = format!("`{name}` is not supported by this version");
                diagnostics.add(&member_path(path, name), message, hint);
            }
            false
        });
    }
    for (path, target) in targets(value, path) {
        if diagnostics.is_full() {
            return;
        }
        refuse_absent(target, &path, diagnostics);
    }
}

fn in_one_line(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

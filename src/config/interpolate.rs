//! Interpolation of `${NAME}` and `${file:PATH}` in the settings file.
//!
//! Works on the parsed tree, so a value can never change the file's structure. `$${` is an escape
//! for `${`; interpolated values are not searched again. Their paths are marked, so that no message
//! quotes them.

use serde_json::{Map, Value};

use crate::base::{Diagnostics, did_you_mean, member_path};

/// Source of the referenced values.
pub(super) struct Sources<'a> {
    /// The value of a variable, if it is set.
    pub(super) environment: &'a dyn Fn(&str) -> Option<String>,
    /// The content of a file; the error is a message.
    pub(super) read_file: &'a dyn Fn(&str) -> Result<String, String>,
}

impl Sources<'_> {
    /// The value with all references replaced; invalid parts are left out.
    pub(super) fn resolve(
        &self,
        value: toml::Value,
        path: &str,
        diagnostics: &mut Diagnostics,
    ) -> Option<Value> {
        match value {
            toml::Value::String(text) => self.text(&text, path, diagnostics).map(Value::String),
            toml::Value::Integer(number) => Some(number.into()),
            toml::Value::Float(number) => {
                let finite = serde_json::Number::from_f64(number);
                if finite.is_none() {
                    diagnostics.add(path, "expected a finite number", "");
                }
                finite.map(Value::Number)
            }
            toml::Value::Boolean(flag) => Some(flag.into()),
            toml::Value::Datetime(date) => Some(date.to_string().into()),
            toml::Value::Array(items) => {
                let items = items.into_iter().enumerate();
                let resolve =
                    |(index, item)| self.resolve(item, &format!("{path}[{index}]"), diagnostics);
                Some(Value::Array(items.filter_map(resolve).collect()))
            }
            toml::Value::Table(table) => {
                let mut members = Map::new();
                for (name, value) in table {
                    if let Some(value) = self.resolve(value, &member_path(path, &name), diagnostics)
                    {
                        members.insert(name, value);
                    }
                }
                Some(Value::Object(members))
            }
        }
    }

    fn text(&self, text: &str, path: &str, diagnostics: &mut Diagnostics) -> Option<String> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            let (before, reference) = rest.split_at(at);
            if let Some(escaped) = before.strip_suffix('$') {
                out.push_str(escaped);
                out.push_str("${");
                rest = reference.get(2..).unwrap_or_default();
                continue;
            }
            out.push_str(before);
            let Some((name, after)) = reference.get(2..).and_then(|text| text.split_once('}'))
            else {
                let message = "expected `}` after `${`";
                diagnostics.add(path, message, "write `$${` for the two characters themselves");
                return None;
            };
            diagnostics.redact(path);
            out.push_str(&self.look_up(name, path, diagnostics)?);
            rest = after;
        }
        out.push_str(rest);
        Some(out)
    }

    fn look_up(&self, name: &str, path: &str, diagnostics: &mut Diagnostics) -> Option<String> {
        if let Some(file) = name.strip_prefix("file:") {
            // Editors and `kubectl` end a file with a line feed, which is not part of the secret.
            let text = (self.read_file)(file).map_err(|reason| diagnostics.add(path, reason, ""));
            return text.ok().map(|text| text.trim_end_matches(['\r', '\n']).to_owned());
        }
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if name.is_empty() || !name.bytes().all(legal) {
            let message = "expected `${NAME}` of letters, digits and `_`, or `${file:PATH}`";
            diagnostics.add(path, message, did_you_mean(name, ["file:"]));
            return None;
        }
        let value = (self.environment)(name);
        if value.is_none() {
            let message = format!("the environment variable {name} is not set");
            diagnostics.add(path, message, "set it, or give the value another way");
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_replaced() {
        let environment = |name: &str| match name {
            "A" => Some("one".to_owned()),
            "NESTED" => Some("${A}".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        let read_file = |path: &str| match path {
            "/run/secret" => Ok("two\r\n".to_owned()),
            _ => Err("cannot read the file".to_owned()),
        };
        let sources = Sources { environment: &environment, read_file: &read_file };
        for (text, expected) in [
            ("plain", Some("plain")),
            ("${A}", Some("one")),
            ("a${A}b${A}c", Some("aonebonec")),
            ("${file:/run/secret}", Some("two")),
            ("${EMPTY}", Some("")),
            ("${NESTED}", Some("${A}")),
            ("$${A}", Some("${A}")),
            ("$$", Some("$$")),
            ("$A {B} $", Some("$A {B} $")),
            ("x$${A}${A}", Some("x${A}one")),
            ("${MISSING}", None),
            ("${file:/absent}", None),
            ("${A", None),
            ("${}", None),
            ("${A B}", None),
            ("${A-default}", None),
        ] {
            let mut diagnostics = Diagnostics::default();
            let got =
                sources.resolve(toml::Value::String(text.to_owned()), "a.b", &mut diagnostics);
            assert_eq!(got, expected.map(Value::from), "{text}");
            assert_eq!(diagnostics.is_empty(), expected.is_some(), "{text}");
        }
    }
}

//! The schema of settings as written: a type's JSON schema, checked against a JSON value.
//!
//! The schema is derived from the type (names, doc comments, ranges, defaults), so that the check,
//! the typed value and the reference page cannot disagree. Unlike a deserializer it finds every
//! problem, each with its path, and continues with the valid rest. It supports the part of JSON
//! schema that our types use: object, array, scalar, `enum`, `oneOf`, `anyOf` with null, ranges and
//! lengths. Messages quote names and numbers, never text.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::diagnostic::{Diagnostics, did_you_mean, member_path};

/// The schema of one type.
#[derive(Debug)]
pub struct Schema(Value);

impl Schema {
    /// The schema of `T`; every member is optional.
    #[must_use]
    pub fn of<T: JsonSchema>() -> Self {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.inline_subschemas = true;
        });
        Self(settings.into_generator().into_root_schema_for::<T>().to_value())
    }

    /// The doc comment of the type.
    #[must_use]
    pub fn text(&self) -> String {
        text(&self.0).unwrap_or_default()
    }

    /// The members in the order of the type's definition, for the reference page.
    pub fn members(&self) -> impl Iterator<Item = Member> {
        let properties = self.0.get("properties").and_then(Value::as_object);
        properties.into_iter().flatten().map(|(name, schema)| Member::new(name, schema))
    }

    /// Reads a `T` without its invalid members. `None` if nothing usable is left.
    pub fn read<T: DeserializeOwned>(
        &self,
        mut value: Value,
        path: &str,
        diagnostics: &mut Diagnostics,
    ) -> Option<T> {
        if !conform(&self.0, &mut value, path, diagnostics) {
            return None;
        }
        // The error text may quote a value, so it is not shown.
        let refuse = |_| diagnostics.add(path, "expected another form", "see docs/settings.md");
        serde_json::from_value(value).map_err(refuse).ok()
    }

    /// Renames camelCase members to their names in the schema. Values without a schema for their
    /// members, such as free-form maps, are not changed.
    pub fn rename_camel_case(&self, value: &mut Value, path: &str, diagnostics: &mut Diagnostics) {
        rename_camel_case(&self.0, value, path, diagnostics);
    }

    /// The members that are marked `restart_required`, those of inner tables included: the path of each, and
    /// its value in `value`, else its default.
    #[must_use]
    pub fn restart_values(&self, value: &Value, path: &str) -> Vec<(String, Value)> {
        let mut found = Vec::new();
        collect_restart_values(&self.0, Some(value), path, &mut found);
        found
    }

    /// Removes members from `value` that the schema does not have, and returns their paths.
    pub fn take_unknown(&self, value: &mut Value, path: &str) -> Vec<String> {
        let mut taken = Vec::new();
        take_unknown(&self.0, value, path, &mut taken);
        taken
    }
}

/// One member of a schema, described for people.
#[derive(Debug)]
pub struct Member {
    /// Its name in the file.
    pub name: String,
    /// Its doc comment.
    pub text: String,
    /// Its type and range: `text`, `whole number, 1 to 65535`, `one of …`.
    pub takes: String,
    /// Its default; `None` if leaving it out has a meaning of its own.
    pub default: Option<Value>,
    /// Its value in the example file.
    pub example: Option<Value>,
    /// Schema of a nested table, such as `[server.tls]`, or of each table in a list.
    pub table: Option<Schema>,
    /// True for a list.
    pub is_list: bool,
    /// True if it is marked `restart_required`: a reload cannot change it.
    pub needs_restart: bool,
}

impl Member {
    fn new(name: &str, schema: &Value) -> Self {
        let own = without_null(schema);
        let items = own.get("items");
        let inner = items.unwrap_or(own);
        Self {
            name: name.to_owned(),
            text: text(schema).or_else(|| text(own)).unwrap_or_default(),
            takes: takes(own),
            default: schema.get("default").filter(|value| !value.is_null()).cloned(),
            example: schema.get("examples").and_then(|examples| examples.get(0)).cloned(),
            table: inner.get("properties").map(|_| Schema(inner.clone())),
            is_list: items.is_some(),
            needs_restart: needs_restart(schema),
        }
    }
}

/// Checks `value` against `schema` and removes invalid members; false if nothing usable is left.
fn conform(schema: &Value, value: &mut Value, path: &str, diagnostics: &mut Diagnostics) -> bool {
    let schema = without_null(schema);
    if let Some(choices) = choices(schema) {
        return conform_choice(&choices, value, path, diagnostics);
    }
    let Some(expected) = type_name(schema) else { return true };
    if expected == "integer" {
        whole_number(value);
    }
    if expected != kind(value) && !(expected == "number" && value.is_number()) {
        let message =
            format!("expected {}, got {}", with_article(expected), with_article(kind(value)));
        diagnostics.add(path, message, "");
        return false;
    }
    match value {
        Value::Object(members) => {
            conform_members(schema, members, path, diagnostics);
            true
        }
        Value::Array(items) => {
            conform_items(schema, items, path, diagnostics);
            true
        }
        Value::Number(number) => conform_range(schema, number, path, diagnostics),
        Value::String(text) => conform_length(schema, text, path, diagnostics),
        _ => true,
    }
}

fn conform_members(
    schema: &Value,
    members: &mut Map<String, Value>,
    path: &str,
    diagnostics: &mut Diagnostics,
) {
    let known = schema.get("properties").and_then(Value::as_object);
    let others = schema.get("additionalProperties");
    members.retain(|name, value| {
        if diagnostics.is_full() {
            return false;
        }
        let member = member_path(path, name);
        match (known.and_then(|known| known.get(name)), others) {
            // A null member is the same as an absent one.
            (Some(_), _) if value.is_null() => false,
            (Some(schema), _) | (None, Some(schema @ Value::Object(_))) => {
                conform(schema, value, &member, diagnostics)
            }
            (None, Some(Value::Bool(true)) | None) => true,
            (None, Some(_)) => {
                let names = known.into_iter().flat_map(|known| known.keys().map(String::as_str));
                diagnostics.add(&member, "unknown name", did_you_mean(name, names));
                false
            }
        }
    });
}

/// Converts `3.0` to `3`: JSON has one number type, and some writers add a fraction to all numbers.
fn whole_number(value: &mut Value) {
    // Every integer up to this one is exact as a float.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    let Some(float) = value.as_f64().filter(|_| value.is_f64()) else { return };
    if float.fract() == 0.0 && float.abs() <= EXACT_MAX {
        #[expect(clippy::cast_possible_truncation, reason = "it is whole and within the bounds")]
        let whole = float as i64;
        *value = whole.into();
    }
}

fn rename_camel_case(schema: &Value, value: &mut Value, path: &str, diagnostics: &mut Diagnostics) {
    let schema = without_null(schema);
    match value {
        Value::Object(members) => {
            let Some(known) = schema.get("properties").and_then(Value::as_object) else { return };
            let is_camel_case = |name: &&String| !known.contains_key(*name);
            let written: Vec<String> = members.keys().filter(is_camel_case).cloned().collect();
            for written in written {
                let name = snake_case(&written);
                if !known.contains_key(&name) {
                    continue;
                }
                let Some(value) = members.remove(&written) else { continue };
                if members.contains_key(&name) {
                    let message = format!("expected one of `{name}` and `{written}`, got both");
                    diagnostics.add(&member_path(path, &written), message, "leave one out");
                } else {
                    members.insert(name, value);
                }
            }
            for (name, value) in members {
                if let Some(schema) = known.get(name) {
                    rename_camel_case(schema, value, &member_path(path, name), diagnostics);
                }
            }
        }
        Value::Array(items) => {
            let Some(schema) = schema.get("items") else { return };
            for (index, item) in items.iter_mut().enumerate() {
                rename_camel_case(schema, item, &format!("{path}[{index}]"), diagnostics);
            }
        }
        _ => {}
    }
}

/// The marker of a setting that a reload cannot change, `#[schemars(extend("restart_required" = true))]`.
fn needs_restart(schema: &Value) -> bool {
    schema.get("restart_required") == Some(&Value::Bool(true))
}

fn collect_restart_values(
    schema: &Value,
    value: Option<&Value>,
    path: &str,
    found: &mut Vec<(String, Value)>,
) {
    let members = without_null(schema).get("properties").and_then(Value::as_object);
    for (name, schema) in members.into_iter().flatten() {
        let path = member_path(path, name);
        let value = value.and_then(|value| value.get(name)).filter(|value| !value.is_null());
        if needs_restart(schema) {
            let mut value = value.or_else(|| schema.get("default")).cloned().unwrap_or_default();
            whole_number(&mut value);
            found.push((path, value));
        } else {
            collect_restart_values(schema, value, &path, found);
        }
    }
}

/// `override_params` for `overrideParams`; names without capitals are not changed.
#[must_use]
pub fn snake_case(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    for character in name.chars() {
        if character.is_ascii_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(character.to_ascii_lowercase());
    }
    out
}

fn take_unknown(schema: &Value, value: &mut Value, path: &str, taken: &mut Vec<String>) {
    let schema = without_null(schema);
    match value {
        Value::Object(members) => {
            let Some(known) = schema.get("properties").and_then(Value::as_object) else { return };
            members.retain(|name, value| {
                let member = member_path(path, name);
                let Some(schema) = known.get(name) else {
                    taken.push(member);
                    return false;
                };
                take_unknown(schema, value, &member, taken);
                true
            });
        }
        Value::Array(items) => {
            let Some(schema) = schema.get("items") else { return };
            for (index, item) in items.iter_mut().enumerate() {
                take_unknown(schema, item, &format!("{path}[{index}]"), taken);
            }
        }
        _ => {}
    }
}

fn conform_items(
    schema: &Value,
    items: &mut Vec<Value>,
    path: &str,
    diagnostics: &mut Diagnostics,
) {
    let Some(schema) = schema.get("items") else { return };
    let mut index = 0;
    items.retain_mut(|item| {
        let path = format!("{path}[{index}]");
        index += 1;
        !diagnostics.is_full() && conform(schema, item, &path, diagnostics)
    });
}

fn conform_choice(
    choices: &[&str],
    value: &Value,
    path: &str,
    diagnostics: &mut Diagnostics,
) -> bool {
    let text = value.as_str();
    if text.is_some_and(|text| choices.contains(&text)) {
        return true;
    }
    let names: Vec<String> = choices.iter().map(|choice| format!("`{choice}`")).collect();
    let got = text.map_or_else(|| with_article(kind(value)), |text| diagnostics.quote(path, text));
    let hint = did_you_mean(text.unwrap_or_default(), choices.iter().copied());
    diagnostics.add(path, format!("expected one of {}, got {got}", names.join(", ")), hint);
    false
}

fn conform_range(
    schema: &Value,
    number: &serde_json::Number,
    path: &str,
    diagnostics: &mut Diagnostics,
) -> bool {
    let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
    let value = number.as_f64().unwrap_or(f64::NAN);
    let (min, max) = (bound("minimum"), bound("maximum"));
    if min.is_none_or(|min| value >= min) && max.is_none_or(|max| value <= max) {
        return true;
    }
    let rule = range_text(schema).unwrap_or_default();
    diagnostics.add(path, format!("expected {rule}, got {number}"), "");
    false
}

fn conform_length(schema: &Value, text: &str, path: &str, diagnostics: &mut Diagnostics) -> bool {
    let bound = |name: &str| schema.get(name).and_then(Value::as_u64);
    let length = text.chars().count() as u64;
    if length == 0 && bound("minLength").is_some_and(|min| min > 0) {
        diagnostics.add(path, "expected some text, got none", "leave the setting out instead");
        return false;
    }
    match bound("maxLength") {
        Some(max) if length > max => {
            diagnostics.add(path, format!("expected at most {max} characters, got {length}"), "");
            false
        }
        _ => true,
    }
}

/// The range of a number as text, if the schema has one.
fn range_text(schema: &Value) -> Option<String> {
    match (schema.get("minimum"), schema.get("maximum")) {
        (Some(min), Some(max)) => Some(format!("{min} to {max}")),
        (Some(min), None) => Some(format!("at least {min}")),
        (None, Some(max)) => Some(format!("at most {max}")),
        (None, None) => None,
    }
}

/// The values that a schema of a plain enumeration allows.
fn choices(schema: &Value) -> Option<Vec<&str>> {
    let list = schema.get("enum").or_else(|| schema.get("oneOf"))?.as_array()?;
    Some(list.iter().filter_map(|item| item.get("const").unwrap_or(item).as_str()).collect())
}

/// The one JSON type of a schema, apart from null.
fn type_name(schema: &Value) -> Option<&str> {
    match schema.get("type")? {
        Value::String(name) => Some(name),
        Value::Array(names) => names.iter().filter_map(Value::as_str).find(|name| *name != "null"),
        _ => None,
    }
}

/// The schema of the value, without the alternative null.
fn without_null(schema: &Value) -> &Value {
    let alternatives = schema.get("anyOf").and_then(Value::as_array);
    alternatives
        .into_iter()
        .flatten()
        .find(|schema| {
            type_name(schema) != Some("null") && schema.get("type") != Some(&"null".into())
        })
        .unwrap_or(schema)
}

fn text(schema: &Value) -> Option<String> {
    Some(schema.get("description")?.as_str()?.replace('\n', " "))
}

fn takes(schema: &Value) -> String {
    if let Some(choices) = choices(schema) {
        let names: Vec<String> = choices.iter().map(|choice| format!("`{choice}`")).collect();
        return names.join(", ");
    }
    let kind = type_name(schema).map_or("any value", words);
    let items = schema.get("items").map(takes).filter(|items| items == "text");
    match (items, range_text(schema)) {
        (Some(items), _) => format!("{kind} of {items}s"),
        (None, Some(range)) => format!("{kind}, {range}"),
        (None, None) => kind.to_owned(),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn words(kind: &str) -> &str {
    match kind {
        "boolean" => "true or false",
        "integer" => "whole number",
        "string" => "text",
        "array" => "list",
        "object" => "table",
        other => other,
    }
}

fn with_article(kind: &str) -> String {
    match kind {
        "null" | "boolean" => words(kind).to_owned(),
        _ => format!("a {}", words(kind)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[derive(Debug, PartialEq, serde::Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    struct Outer {
        /// A number.
        #[schemars(range(min = 1, max = 10), extend("restart_required" = true))]
        number: u64,
        word: Option<String>,
        choice: Option<Choice>,
        inner: Option<Inner>,
        list: Vec<Inner>,
        labels: std::collections::BTreeMap<String, String>,
        free: Map<String, Value>,
    }

    #[derive(Debug, PartialEq, serde::Deserialize, JsonSchema)]
    #[serde(rename_all = "kebab-case")]
    enum Choice {
        /// First.
        OneWay,
        /// Second.
        Other,
    }

    #[derive(Debug, Default, PartialEq, serde::Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    struct Inner {
        flag: bool,
        #[schemars(length(min = 1, max = 3), extend("restart_required" = true))]
        text: Option<String>,
    }

    impl Default for Outer {
        fn default() -> Self {
            let (list, labels, free) = Default::default();
            Self { number: 5, word: None, choice: None, inner: None, list, labels, free }
        }
    }

    #[test]
    fn all_problems_are_reported_with_paths() {
        for (value, expected) in [
            (json!({}), vec![]),
            (json!({"number": 1, "word": null, "inner": null, "choice": null}), vec![]),
            (json!({"number": 0}), vec!["p.number"]),
            (json!({"number": 11}), vec!["p.number"]),
            (json!({"number": 1.5}), vec!["p.number"]),
            (json!({"number": "5", "word": 5}), vec!["p.number", "p.word"]),
            (json!({"choice": "other"}), vec![]),
            (json!({"choice": "others"}), vec!["p.choice"]),
            (json!({"choice": 5}), vec!["p.choice"]),
            (json!({"inner": {"flag": 1, "more": 1}}), vec!["p.inner.flag", "p.inner.more"]),
            (json!({"inner": {"text": ""}}), vec!["p.inner.text"]),
            (json!({"inner": {"text": "four"}}), vec!["p.inner.text"]),
            (json!({"inner": []}), vec!["p.inner"]),
            (json!({"list": [{}, {"flag": 0}, 5]}), vec!["p.list[1].flag", "p.list[2]"]),
            (json!({"labels": {"a": "b", "c": 5}}), vec!["p.labels.c"]),
            (json!({"free": {"a": {"b": [null, 1.5]}}}), vec![]),
            (json!({"numbr": 5}), vec!["p.numbr"]),
            (json!([]), vec!["p"]),
            (json!(null), vec!["p"]),
        ] {
            let mut diagnostics = Diagnostics::default();
            let read: Option<Outer> =
                Schema::of::<Outer>().read(value.clone(), "p", &mut diagnostics);
            assert_eq!(read.is_some(), value.is_object(), "{value}");
            let paths: Vec<String> = diagnostics.into_vec().into_iter().map(|p| p.path).collect();
            assert_eq!(paths, expected, "{value}");
        }
    }

    #[test]
    fn members_are_listed_in_messages() {
        let shape = Schema::of::<Outer>();
        let takes: Vec<String> = shape.members().map(|member| member.takes).collect();
        let expected = [
            "whole number, 1 to 10",
            "text",
            "`one-way`, `other`",
            "table",
            "list",
            "table",
            "table",
        ];
        assert_eq!(takes, expected);
        let number = shape.members().next().expect("the first member");
        assert_eq!((number.text.as_str(), number.default), ("A number.", Some(json!(5))));
        let marked = shape.members().filter(|member| member.needs_restart);
        assert_eq!(marked.map(|member| member.name).collect::<Vec<_>>(), ["number"]);
    }

    #[test]
    fn marked_members_are_found_with_their_values() {
        let shape = Schema::of::<Outer>();
        for (value, number, text) in [
            (json!({}), json!(5), json!(null)),
            (json!({"number": 7.0, "inner": null}), json!(7), json!(null)),
            (json!({"number": null, "inner": {"text": "a"}}), json!(5), json!("a")),
        ] {
            let expected = [("p.number".to_owned(), number), ("p.inner.text".to_owned(), text)];
            assert_eq!(shape.restart_values(&value, "p"), expected, "{value}");
        }
    }
}

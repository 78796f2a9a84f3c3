//! JSON Schema as each vendor supports it, for structured responses and tool arguments.
//!
//! Vendors that enforce a schema compile it, support a subset of JSON Schema and reject the rest.
//! [`fit`] converts a schema to a vendor's subset. What the subset lacks is added to the description,
//! which the model reads, and named in a warning. Intersections are merged, and so are references with
//! other members; references are kept if the vendor supports them.
//!
//! [`Parameters`] applies the rule that all vendors have for tool arguments: the root is an object with
//! named members. For a schema that follows it, the cost is a comparison.

mod rules;
mod view;

use std::borrow::Cow;

pub(super) use rules::{BEDROCK, CLAUDE, COHERE, GEMINI, OPENAI_STRICT, SchemaRules};

use self::rules::Closing;
use self::view::{UnfitReason, View};
use super::warnings::Warnings;
use crate::llm::{Format, Function, Json, Node, ObjectWriter, Scanner, write_array, write_object};

/// Maximum size of a converted schema: merged references may multiply it.
const SCHEMA_BYTES_MAX: usize = 512 * 1024;

/// Maximum number of bytes that are added to one description.
const NOTE_BYTES_MAX: usize = 1024;

/// The reason in errors about vendors that close all objects.
const UNNAMED: UnfitReason = "an object with members that are not named";

/// Converts the schema to the vendor's subset. `place` is its name in warnings.
///
/// # Errors
/// If the vendor cannot enforce it at all.
pub(super) fn fit(
    schema: &Json,
    rules: &SchemaRules,
    place: &str,
    warnings: &mut Warnings,
) -> Result<Json, UnfitReason> {
    let written = Scanner::default().read(schema.text().as_bytes(), |root| {
        if !rules.takes_recursion && view::is_recursive(root) {
            return Err("a schema that contains itself");
        }
        let mut fitting = SchemaFitter { root, rules, merged: Vec::new(), left_out: Vec::new() };
        let mut out = Vec::with_capacity(schema.text().len() + 128);
        fitting.write(&mut out, root, true)?;
        Ok((out, fitting.left_out))
    });
    let Ok(written) = written else { return Ok(schema.clone()) };
    let (out, left_out) = written?;
    for keyword in left_out {
        let why = "the vendor does not take it; the description has it";
        warnings.dropped(&format!("{keyword} in {place}"), why);
    }
    String::from_utf8(out).map(Json::of_written).map_err(|_| "a schema that is no text")
}

/// The parameters of a function, as a vendor supports them.
pub(super) struct Parameters<'f> {
    /// The schema; none if the function has none.
    pub(super) schema: Option<Cow<'f, Json>>,
    /// Whether the model must follow it, if the vendor can enforce that.
    pub(super) strict: Option<bool>,
}

impl<'f> Parameters<'f> {
    /// The parameters of `function`. Those of a strict function are converted to the subset of `rules`.
    pub(super) fn of(function: &'f Function, rules: &SchemaRules, warnings: &mut Warnings) -> Self {
        let Some(schema) = &function.parameters else {
            return Self { schema: None, strict: function.strict };
        };
        let rooted = object_root(schema, &function.name, warnings);
        if function.strict != Some(true) {
            return Self { schema: Some(rooted), strict: function.strict };
        }
        // A schema without named members stays as open as it was, even if its root was rewritten.
        let fitting = match is_open(schema) {
            true => Err(UNNAMED),
            false => fit(&rooted, rules, &function.name, warnings),
        };
        match fitting {
            Ok(fitting) => Self { schema: Some(Cow::Owned(fitting)), strict: Some(true) },
            Err(why) => {
                let why = format!("strict functions of the vendor do not take {why}");
                warnings.dropped(&format!("strict of {}", function.name), &why);
                Self { schema: Some(rooted), strict: Some(false) }
            }
        }
    }

    /// The schema, for vendors that require one.
    pub(super) fn schema_or_empty(self) -> Cow<'f, Json> {
        let empty = || Json::of_written(r#"{"type":"object","properties":{}}"#.to_owned());
        self.schema.unwrap_or_else(|| Cow::Owned(empty()))
    }
}

/// The schema of a tool's arguments for Google, which does not enforce it but supports a subset only.
/// Most schemas are within it, as a search of their text shows.
pub(super) fn fit_parameters<'j>(
    schema: &'j Json,
    tool: &str,
    warnings: &mut Warnings,
) -> Cow<'j, Json> {
    let rooted = object_root(schema, tool, warnings);
    if !may_leave_subset(rooted.text()) {
        return rooted;
    }
    // What cannot be converted may be understood as it is.
    match fit(&rooted, &GEMINI, tool, warnings) {
        Ok(fitting) => Cow::Owned(fitting),
        Err(_) => rooted,
    }
}

/// True for a schema with a keyword that Google does not support as it is, or with members that lack a
/// type.
fn may_leave_subset(text: &str) -> bool {
    const KEYWORDS: [&[u8]; 12] = [
        br#""$ref""#,
        br#""allOf""#,
        br#""const""#,
        br#""contains""#,
        br#""dependent"#,
        br#""exclusiveM"#,
        br#""format""#,
        br#""if""#,
        br#""not""#,
        br#""pattern"#,
        br#""propertyNames""#,
        br#""unevaluated"#,
    ];
    let text = text.as_bytes();
    let count = |keyword: &[u8]| memchr::memmem::find_iter(text, keyword).count();
    let has_list = memchr::memmem::find(text, br#""type":["#).is_some();
    let has_keyword =
        || KEYWORDS.iter().any(|keyword| memchr::memmem::find(text, keyword).is_some());
    has_list || has_keyword() || count(br#""properties":"#) > count(br#""type":"object""#)
}

/// The response format for OpenAI and its imitators.
pub(super) fn fit_format<'f>(format: &'f Format, warnings: &mut Warnings) -> Cow<'f, Format> {
    let Format::JsonSchema { name, description, schema, strict } = format else {
        return Cow::Borrowed(format);
    };
    let fitting = (*strict == Some(true))
        .then(|| fit(schema, &OPENAI_STRICT, "response_format", warnings))
        .transpose();
    let (schema, strict) = match fitting {
        Ok(Some(fitting)) => (Cow::Owned(fitting), *strict),
        Ok(None) => (typed_root(schema), *strict),
        Err(why) => {
            let why = format!("strict formats of the vendor do not take {why}");
            warnings.dropped("strict of response_format", &why);
            (typed_root(schema), Some(false))
        }
    };
    let (name, description) = (name.clone(), description.clone());
    Cow::Owned(Format::JsonSchema { name, description, schema: schema.into_owned(), strict })
}

/// The schema of a tool's arguments with an object as its root: alternatives at the root are merged,
/// since no vendor supports them there.
pub(super) fn object_root<'j>(
    schema: &'j Json,
    tool: &str,
    warnings: &mut Warnings,
) -> Cow<'j, Json> {
    if is_plain_object(schema.text()) {
        return Cow::Borrowed(schema);
    }
    let rewritten = Scanner::default().read(schema.text().as_bytes(), |root| {
        let view = View::of_root(root)?;
        if view.is_object_already() {
            return None;
        }
        let mut out = Vec::with_capacity(schema.text().len() + 64);
        write_object(&mut out, |object| view.write_object_root(object));
        Some((out, view.has_alternatives))
    });
    let Ok(Some((out, has_alternatives))) = rewritten else { return Cow::Borrowed(schema) };
    if has_alternatives {
        let how = "alternatives at the root were merged into one object";
        warnings.changed(&format!("the parameters of {tool}"), how);
    }
    String::from_utf8(out).map_or(Cow::Borrowed(schema), |text| Cow::Owned(Json::of_written(text)))
}

/// True for an object schema without named members that does not forbid others.
fn is_open(schema: &Json) -> bool {
    let open = Scanner::default().read(schema.text().as_bytes(), |root| {
        View::of_root(root).is_some_and(|view| !view.has("properties") && !view.has_alternatives)
    });
    open.unwrap_or_default()
}

/// The schema of a response with a type added, if it has named members and no type.
fn typed_root(schema: &Json) -> Cow<'_, Json> {
    let typed = Scanner::default().read(schema.text().as_bytes(), |root| {
        let is_untyped = root.get("properties").is_some() && root.get("type").is_none();
        is_untyped.then(|| {
            let mut out = Vec::with_capacity(schema.text().len() + 32);
            write_object(&mut out, |object| {
                object.text("type", "object");
                root.members().for_each(|(key, value)| object.raw(key, &value.json()));
            });
            out
        })
    });
    let text = typed.ok().flatten().and_then(|out| String::from_utf8(out).ok());
    text.map_or(Cow::Borrowed(schema), |text| Cow::Owned(Json::of_written(text)))
}

/// True for a schema whose text shows an object with members and without alternatives. Most tool
/// schemas are written in this order.
fn is_plain_object(text: &str) -> bool {
    let body = text.strip_prefix(r#"{"$schema":""#).and_then(|rest| rest.split_once("\","));
    let body = body.map_or(text.strip_prefix('{'), |(_, rest)| Some(rest));
    let Some(rest) = body.and_then(|body| body.strip_prefix(r#""type":"object","#)) else {
        return false;
    };
    let has = |text: &[u8]| memchr::memmem::find(rest.as_bytes(), text).is_some();
    (rest.starts_with(r#""properties":{"#) || has(br#""properties":{"#)) && !has(br#"Of":["#)
}

/// Converts a schema to a vendor's subset.
struct SchemaFitter<'a, 'r> {
    root: Node<'a>,
    rules: &'r SchemaRules,
    /// References that were merged on the path to the current schema.
    merged: Vec<&'a str>,
    /// Keywords that were moved to descriptions, each once.
    left_out: Vec<String>,
}

impl<'a> SchemaFitter<'a, '_> {
    /// Appends one schema.
    fn write(
        &mut self,
        out: &mut Vec<u8>,
        node: Node<'a>,
        is_root: bool,
    ) -> Result<(), UnfitReason> {
        if out.len() > SCHEMA_BYTES_MAX {
            return Err("a schema that grows too large");
        }
        if !node.is_object() {
            // True and false are schemas too.
            out.extend_from_slice(node.json().text().as_bytes());
            return Ok(());
        }
        let depth = self.merged.len();
        let mut view = View::default();
        // The root is what its `type` says, for all vendors.
        let keeps_references = self.rules.takes_references && !is_root;
        view.collect(node, self.root, keeps_references, &mut self.merged)?;
        if !self.rules.takes_unions {
            view.choose_alternative(self.root, &mut self.merged)?;
        }
        let result = write_object(out, |object| self.members(object, &view, is_root));
        self.merged.truncate(depth);
        result
    }

    fn members(
        &mut self,
        object: &mut ObjectWriter<'_>,
        view: &View<'a>,
        is_root: bool,
    ) -> Result<(), UnfitReason> {
        if let Some(reference) = view.reference {
            object.text("$ref", &reference.replacen("#/definitions/", "#/$defs/", 1));
            return Ok(());
        }
        if is_root {
            self.refuse_open_root(view)?;
        }
        if let Some(implied) = view.implied_type() {
            object.text("type", implied);
        }
        let notes = self.notes(view);
        for (key, value) in &view.keywords {
            match *key {
                "properties" => self.properties(object, view)?,
                "required" => self.required(object, view)?,
                "additionalProperties" => self.open_members(object, view, *value)?,
                "description" => self.describe(object, view, &notes),
                key if notes.iter().any(|(left_out, _)| *left_out == key) => {}
                key if key.starts_with('$') || key == "definitions" => {}
                "items" if value.is_object() => self.write(object.key("items"), *value, false)?,
                "anyOf" | "oneOf" => self.union(object, key, *value, is_root)?,
                "prefixItems" => self.list(object.key(key), *value)?,
                "const" if !self.rules.keeps("const") => {
                    object.array("enum", |array| array.raw(&value.json()));
                }
                key => self.value(object, key, *value),
            }
        }
        if !view.has("required") {
            self.required(object, view)?;
        }
        if !view.has("additionalProperties") {
            self.close(object, view)?;
        }
        if !view.has("description") {
            self.describe(object, view, &notes);
        }
        if is_root {
            self.definitions(object)?;
        }
        Ok(())
    }

    /// The keywords that the vendor does not support.
    fn notes(&self, view: &View<'a>) -> Vec<(&'a str, Node<'a>)> {
        let is_union = |key: &str| matches!(key, "anyOf" | "oneOf");
        let union = view.keywords.iter().find(|(key, _)| is_union(key)).map(|(key, _)| *key);
        let is_taken = |(key, value): &&(&'a str, Node<'a>)| match *key {
            "properties" | "required" | "description" | "definitions" => true,
            "items" => value.is_object(),
            "anyOf" | "oneOf" => self.rules.takes_unions && union == Some(key),
            "additionalProperties" => match self.rules.closing {
                Closing::Free | Closing::Strict => true,
                Closing::Always | Closing::Unset => value.flag() == Some(false),
            },
            "enum" => value.items().all(is_primitive) && value.count() > 0,
            "const" => is_primitive(*value),
            "format" => value.text().is_some_and(|name| self.rules.formats.contains(&name)),
            "minItems" if self.rules.least_items => value.u64().is_some_and(|least| least <= 1),
            "type" => true,
            key => key.starts_with('$') || self.rules.keeps(key),
        };
        view.keywords.iter().filter(|keyword| !is_taken(keyword)).copied().collect()
    }

    /// If all objects are closed, one without named members is always empty.
    fn refuse_open_root(&self, view: &View<'a>) -> Result<(), UnfitReason> {
        let is_named = ["properties", "anyOf", "oneOf"].iter().any(|key| view.has(key));
        let may_be_object = view.is_object() || !view.has("type");
        if self.rules.closing == Closing::Always && may_be_object && !is_named {
            return Err(UNNAMED);
        }
        Ok(())
    }

    fn value(&self, object: &mut ObjectWriter<'_>, key: &str, value: Node<'_>) {
        // Without unions, `null` cannot be combined with another type.
        let is_list = key == "type" && value.is_array() && !self.rules.takes_unions;
        let first = value.items().filter_map(Node::text).find(|name| *name != "null");
        match first.filter(|_| is_list) {
            Some(name) => object.text(key, name),
            None => object.raw(key, &value.json()),
        }
    }

    fn properties(
        &mut self,
        object: &mut ObjectWriter<'_>,
        view: &View<'a>,
    ) -> Result<(), UnfitReason> {
        object.object("properties", |members| {
            view.properties
                .iter()
                .try_for_each(|(name, schema)| self.write(members.key(name), *schema, false))
        })
    }

    fn list(&mut self, out: &mut Vec<u8>, value: Node<'a>) -> Result<(), UnfitReason> {
        write_array(out, |array| {
            value.items().try_for_each(|schema| self.write(array.item(), schema, false))
        })
    }

    fn union(
        &mut self,
        object: &mut ObjectWriter<'_>,
        key: &str,
        value: Node<'a>,
        is_root: bool,
    ) -> Result<(), UnfitReason> {
        if is_root && self.rules.closing == Closing::Strict {
            return Err("alternatives at the root of a schema");
        }
        let key = if self.rules.keeps(key) { key } else { "anyOf" };
        self.list(object.key(key), value)
    }

    /// Writes `additionalProperties`.
    fn open_members(
        &mut self,
        object: &mut ObjectWriter<'_>,
        view: &View<'a>,
        value: Node<'a>,
    ) -> Result<(), UnfitReason> {
        match self.rules.closing {
            Closing::Free => self.write(object.key("additionalProperties"), value, false),
            Closing::Strict if value.flag() != Some(false) => Err(UNNAMED),
            _ => self.close(object, view),
        }
    }

    fn required(&self, object: &mut ObjectWriter<'_>, view: &View<'a>) -> Result<(), UnfitReason> {
        let is_named = |name: &&&str| view.properties.iter().any(|(known, _)| known == *name);
        let mut required: Vec<&str> = match view.properties.as_slice() {
            [] => view.required.clone(),
            _ => view.required.iter().filter(is_named).copied().collect(),
        };
        if self.rules.closing == Closing::Strict && required.len() < view.properties.len() {
            return Err("optional members");
        }
        if required.is_empty() && self.rules.wants_required {
            required.extend(view.properties.first().map(|(name, _)| *name));
        }
        if !required.is_empty() || view.has("required") {
            object.texts("required", required);
        }
        Ok(())
    }

    fn close(&self, object: &mut ObjectWriter<'_>, view: &View<'a>) -> Result<(), UnfitReason> {
        if !view.is_object() {
            return Ok(());
        }
        match self.rules.closing {
            Closing::Strict if !view.has("properties") => {
                Err("an object with members that are not named")
            }
            Closing::Always | Closing::Strict => {
                object.flag("additionalProperties", false);
                Ok(())
            }
            Closing::Free | Closing::Unset => Ok(()),
        }
    }

    /// Writes the description, with the keywords that were left out.
    fn describe(
        &mut self,
        object: &mut ObjectWriter<'_>,
        view: &View<'a>,
        notes: &[(&'a str, Node<'a>)],
    ) {
        let description = view.keywords.iter().find(|(key, _)| *key == "description");
        let description = description.and_then(|(_, value)| value.text()).unwrap_or_default();
        let mut text = description.to_owned();
        let mut separator = if description.is_empty() { "{" } else { "\n\n{" };
        let most = text.len() + NOTE_BYTES_MAX;
        for (key, value) in notes {
            if !self.left_out.iter().any(|known| known == key) {
                self.left_out.push((*key).to_owned());
            }
            let value = value.json();
            if text.len() + key.len() + value.text().len() < most {
                text.extend([separator, key, ": ", value.text()]);
                separator = ", ";
            }
        }
        if separator == ", " {
            text.push('}');
        }
        if !text.is_empty() {
            object.text("description", &text);
        }
    }

    /// Writes the root's definitions, under the name that all vendors support.
    fn definitions(&mut self, object: &mut ObjectWriter<'_>) -> Result<(), UnfitReason> {
        let named = ["$defs", "definitions"].into_iter().filter_map(|key| self.root.get(key));
        let named: Vec<(&str, Node<'a>)> = named.flat_map(Node::members).collect();
        if named.is_empty() || !self.rules.takes_references {
            return Ok(());
        }
        object.object("$defs", |members| {
            named
                .into_iter()
                .try_for_each(|(name, schema)| self.write(members.key(name), schema, false))
        })
    }
}

fn is_primitive(value: Node<'_>) -> bool {
    !value.is_object() && !value.is_array()
}

#[cfg(test)]
mod tests;

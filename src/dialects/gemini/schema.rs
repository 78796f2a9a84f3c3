//! Google's older schemas, a subset of OpenAPI 3.0 with upper-case types, converted to JSON Schema.
//!
//! Members with the same meaning in both are kept, unknown ones included; a schema that is JSON Schema
//! already only loses white space. The reverse is never needed: both APIs have members for JSON Schema.

use crate::llm::{Json, Node, ObjectWriter, write_array, write_object};

/// Members with one schema.
const NESTED: [&str; 4] = ["items", "not", "additionalProperties", "additional_properties"];

/// Members with an array of schemas.
const LISTED: [&str; 6] = ["anyOf", "any_of", "oneOf", "allOf", "prefixItems", "prefix_items"];

/// Members with schemas by name.
const NAMED: [&str; 4] = ["properties", "defs", "$defs", "definitions"];

/// Counts, which Google writes as strings, since they have 64 bits.
const COUNTS: [&str; 6] =
    ["maxItems", "minItems", "maxLength", "minLength", "maxProperties", "minProperties"];

/// The schema as JSON Schema.
pub(super) fn json_schema(schema: Node<'_>) -> Json {
    let mut out = Vec::with_capacity(256);
    write(&mut out, schema);
    // Only whole strings and ASCII were appended.
    Json::of_written(String::from_utf8(out).unwrap_or_default())
}

/// Appends one schema. Its depth is limited by the parser.
fn write(out: &mut Vec<u8>, schema: Node<'_>) {
    if !schema.is_object() {
        // True and false are schemas too.
        out.extend_from_slice(schema.json().text().as_bytes());
        return;
    }
    let is_nullable = schema.get("nullable").and_then(Node::flag) == Some(true);
    write_object(out, |object| {
        for (key, value) in schema.members() {
            if !value.is_null() {
                member(object, key, value, is_nullable);
            }
        }
    });
}

fn member(object: &mut ObjectWriter<'_>, key: &str, value: Node<'_>, is_nullable: bool) {
    let camel = camel_case(key);
    match camel.as_str() {
        "nullable" => {}
        "type" => write_type(object, value, is_nullable),
        "enum" if is_nullable => with_null(object, "enum", value, false),
        "anyOf" if is_nullable => with_null(object, "anyOf", value, true),
        // The values already make it an enumeration.
        "format" if value.text() == Some("enum") => {}
        "example" => object.array("examples", |array| array.raw(&value.json())),
        "ref" => reference(object, value),
        "$ref" => reference(object, value),
        "defs" => named(object, "$defs", value),
        name if COUNTS.contains(&name) => match value.text().and_then(|text| text.parse().ok()) {
            Some(count) => object.number(name, count),
            None => object.raw(name, &value.json()),
        },
        name if NESTED.contains(&name) => write(object.key(name), value),
        name if LISTED.contains(&name) => {
            write_array(object.key(name), |array| {
                value.items().for_each(|item| write(array.item(), item));
            });
        }
        name if NAMED.contains(&name) && value.is_object() => named(object, name, value),
        name => object.raw(name, &value.json()),
    }
}

fn named(object: &mut ObjectWriter<'_>, key: &str, value: Node<'_>) {
    object.object(key, |inner| {
        value.members().for_each(|(name, schema)| write(inner.key(name), schema));
    });
}

fn write_type(object: &mut ObjectWriter<'_>, value: Node<'_>, is_nullable: bool) {
    let Some(name) = value.text() else { return object.raw("type", &value.json()) };
    let name = name.to_ascii_lowercase();
    match (name.as_str(), is_nullable) {
        ("type_unspecified", _) => {}
        ("null", _) | (_, false) => object.text("type", &name),
        (_, true) => object.texts("type", [name.as_str(), "null"]),
    }
}

/// An array with null added, as a value or as the schema that allows only null.
fn with_null(object: &mut ObjectWriter<'_>, key: &str, value: Node<'_>, is_schemas: bool) {
    object.array(key, |array| {
        let mut has_null = false;
        for item in value.items() {
            has_null |= item.is_null();
            if is_schemas {
                write(array.item(), item);
            } else {
                array.raw(&item.json());
            }
        }
        if is_schemas {
            array.object(|null| null.text("type", "null"));
        } else if !has_null {
            array.item().extend_from_slice(b"null");
        }
    });
}

/// Converts `#/defs/Pet` to JSON Schema's `#/$defs/Pet`.
fn reference(object: &mut ObjectWriter<'_>, value: Node<'_>) {
    let Some(path) = value.text() else { return };
    match path.strip_prefix("#/defs/") {
        Some(name) => object.text("$ref", &format!("#/$defs/{name}")),
        None => object.text("$ref", path),
    }
}

/// Converts `any_of` to `anyOf`.
fn camel_case(key: &str) -> String {
    let mut out = String::with_capacity(key.len());
    let mut is_next_upper = false;
    for character in key.chars() {
        if character == '_' && !out.is_empty() {
            is_next_upper = true;
        } else if std::mem::take(&mut is_next_upper) {
            out.push(character.to_ascii_uppercase());
        } else {
            out.push(character);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::Scanner;

    fn check(schema: &str, expected: &str) {
        let found = Scanner::default().read(schema.as_bytes(), json_schema).expect("JSON");
        assert_eq!(found.text(), expected, "{schema}");
    }

    #[test]
    fn types_and_nullable_are_converted() {
        check(r#"{"type":"STRING"}"#, r#"{"type":"string"}"#);
        check(r#"{"type":"STRING","nullable":true}"#, r#"{"type":["string","null"]}"#);
        check(r#"{"type":"STRING","nullable":false}"#, r#"{"type":"string"}"#);
        check(
            r#"{"type":"STRING","format":"enum","enum":["a"],"nullable":true}"#,
            r#"{"type":["string","null"],"enum":["a",null]}"#,
        );
        check(
            r#"{"any_of":[{"type":"INTEGER"}],"nullable":true}"#,
            r#"{"anyOf":[{"type":"integer"},{"type":"null"}]}"#,
        );
        check(r#"{"type":"TYPE_UNSPECIFIED"}"#, "{}");
    }

    #[test]
    fn nested_schemas_are_converted() {
        check(
            r#"{"type":"OBJECT","properties":{"type":{"type":"ARRAY","items":{"type":"NUMBER"},
            "maxItems":"3","min_items":1},"nullable":{"type":"BOOLEAN"}},"required":["type"],
            "propertyOrdering":["type"]}"#,
            r#"{"type":"object","properties":{"type":{"type":"array","items":{"type":"number"},"maxItems":3,"minItems":1},"nullable":{"type":"boolean"}},"required":["type"],"propertyOrdering":["type"]}"#,
        );
        check(
            r##"{"defs":{"Pet":{"type":"OBJECT"}},"type":"ARRAY","items":{"ref":"#/defs/Pet"},"example":[1]}"##,
            r##"{"$defs":{"Pet":{"type":"object"}},"type":"array","items":{"$ref":"#/$defs/Pet"},"examples":[[1]]}"##,
        );
    }

    #[test]
    fn json_schema_is_unchanged() {
        let schema = r##"{"$defs":{"a":{"const":1}},"type":["string","null"],"additionalProperties":false,"oneOf":[{"$ref":"#/$defs/a"},true],"default":{"type":"STRING"}}"##;
        check(schema, schema);
    }
}

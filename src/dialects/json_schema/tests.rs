//! Schemas in each vendor's subset, and the keywords that were left out.

use super::*;
use serde_json::{Value, json};

/// `schema` in the subset of `rules`, and the keywords that were left out.
fn fitted(schema: &Value, rules: &SchemaRules) -> Result<(Value, Vec<String>), UnfitReason> {
    let mut warnings = Warnings::default();
    let schema = Json::parse(&schema.to_string()).expect("JSON");
    let fitting = fit(&schema, rules, "x", &mut warnings)?;
    let left_out = warnings.iter().filter_map(|text| {
        let (name, _) = text.strip_prefix("dropped ")?.split_once(" in x: ")?;
        Some(name.to_owned())
    });
    let left_out = left_out.collect();
    Ok((serde_json::from_str(fitting.text()).expect("JSON"), left_out))
}

fn check(schema: &Value, rules: &SchemaRules, expected: &Value, left_out: &[&str]) {
    let (found, names) = fitted(schema, rules).expect("a schema the vendor takes");
    assert_eq!(found, *expected);
    assert_eq!(names, left_out, "{schema}");
}

#[test]
fn claude_schemas_have_no_bounds_and_closed_objects() {
    let schema = json!({"$schema": "s", "type": "object", "properties": {
        "score": {"type": "integer", "minimum": 1, "maximum": 10, "description": "Points."},
        "notes": {"type": "array", "items": {"type": "string", "maxLength": 80}, "minItems": 2},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 1},
        "when": {"type": "string", "format": "date-time"},
        "how": {"type": "string", "format": "regex", "pattern": "^a"},
        "any": {"oneOf": [{"properties": {"n": {"type": ["number", "null"]}}}, {"type": "null"}]},
        "open": {"type": "object", "additionalProperties": {"type": "string"}}},
        "required": ["score"]});
    let expected = json!({"type": "object", "properties": {
        "score": {"type": "integer", "description": "Points.\n\n{minimum: 1, maximum: 10}"},
        "notes": {"type": "array", "items": {"type": "string", "description": "{maxLength: 80}"},
                  "description": "{minItems: 2}"},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 1},
        "when": {"type": "string", "format": "date-time"},
        "how": {"type": "string", "description": "{format: \"regex\", pattern: \"^a\"}"},
        "any": {"anyOf": [
            {"type": "object", "properties": {"n": {"type": ["number", "null"]}},
             "additionalProperties": false},
            {"type": "null"}]},
        "open": {"type": "object", "additionalProperties": false,
                 "description": "{additionalProperties: {\"type\":\"string\"}}"}},
        "required": ["score"], "additionalProperties": false});
    let left_out = [
        "minimum",
        "maximum",
        "maxLength",
        "minItems",
        "format",
        "pattern",
        "additionalProperties",
    ];
    check(&schema, &CLAUDE, &expected, &left_out);
    check(&schema, &BEDROCK, &expected, &left_out);
}

#[test]
fn references_are_kept_or_inlined() {
    let schema = json!({"$ref": "#/definitions/Root", "definitions": {
        "Root": {"type": "object", "properties": {
            "a": {"$ref": "#/definitions/Part"},
            "b": {"$ref": "#/definitions/Part", "description": "The second."},
            "c": {"allOf": [{"$ref": "#/definitions/Part"}, {"properties": {"more": {"type": "null"}}}]}}},
        "Part": {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}}});
    let part = json!({"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"],
        "additionalProperties": false});
    let described = {
        let mut part = part.clone();
        part["description"] = json!("The second.");
        part
    };
    let both = json!({"type": "object", "required": ["x"], "additionalProperties": false,
        "properties": {"x": {"type": "integer"}, "more": {"type": "null"}}});
    let root = |a: Value, c: Value| {
        json!({"type": "object", "additionalProperties": false,
            "properties": {"a": a, "b": described, "c": c}})
    };
    let mut expected = root(json!({"$ref": "#/$defs/Part"}), both.clone());
    let mut whole = root(json!({"$ref": "#/$defs/Part"}), both.clone());
    whole["properties"]["c"] = both;
    expected["$defs"] = json!({"Root": whole, "Part": part});
    check(&schema, &CLAUDE, &expected, &[]);
    // Cohere has no references.
    let (found, _) = fitted(&schema, &COHERE).expect("a schema it takes");
    assert!(!found.to_string().contains("$"), "{found}");
    assert_eq!(found["properties"]["a"]["properties"]["x"], json!({"type": "integer"}));
}

#[test]
fn unsupported_schemas_are_rejected() {
    let tree = json!({"type": "object", "properties": {
        "children": {"type": "array", "items": {"$ref": "#"}}}});
    let list = json!({"type": "object", "properties": {"next": {"$ref": "#/$defs/N"}},
        "$defs": {"N": {"properties": {"next": {"$ref": "#/$defs/N"}}}}});
    let far = json!({"type": "object", "properties": {"a": {"$ref": "https://x.example/s"}}});
    let map = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let union = json!({"anyOf": [{"type": "object", "properties": {}}, {"type": "null"}]});
    let optional = json!({"type": "object", "properties": {"a": {}, "b": {}}, "required": ["a"]});
    for (schema, rules) in [
        (&tree, &CLAUDE),
        (&list, &CLAUDE),
        (&list, &COHERE),
        (&far, &CLAUDE),
        (&far, &OPENAI_STRICT),
        (&map, &CLAUDE),
        (&json!({}), &CLAUDE),
        (&map, &OPENAI_STRICT),
        (&union, &OPENAI_STRICT),
        (&optional, &OPENAI_STRICT),
        (&json!({"type": "object"}), &OPENAI_STRICT),
    ] {
        assert!(fitted(schema, rules).is_err(), "{schema}");
    }
    for schema in [&map, &union, &list, &optional] {
        assert!(fitted(schema, &GEMINI).is_ok(), "{schema}");
    }
}

#[test]
fn openai_strict_schemas_are_closed() {
    let schema = json!({"type": "object", "properties": {
        "a": {"type": "string", "minLength": 1, "pattern": "^x"},
        "b": {"type": ["integer", "null"], "minimum": 0},
        "c": {"oneOf": [{"type": "string", "format": "uri"}, {"const": 1}]}},
        "required": ["a", "b", "c"]});
    let expected = json!({"type": "object", "properties": {
        "a": {"type": "string", "pattern": "^x", "description": "{minLength: 1}"},
        "b": {"type": ["integer", "null"], "minimum": 0},
        "c": {"anyOf": [{"type": "string", "description": "{format: \"uri\"}"}, {"const": 1}]}},
        "required": ["a", "b", "c"], "additionalProperties": false});
    check(&schema, &OPENAI_STRICT, &expected, &["minLength", "format"]);
}

#[test]
fn gemini_and_cohere_schemas_fit_their_subsets() {
    let schema = json!({"properties": {
        "a": {"const": "x"},
        "b": {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
        "c": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "d": {"type": "object", "additionalProperties": {"type": "integer"}}}});
    let gemini = json!({"type": "object", "properties": {
        "a": {"enum": ["x"]},
        "b": {"type": "number", "minimum": 0, "description": "{exclusiveMaximum: 1}"},
        "c": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "d": {"type": "object", "additionalProperties": {"type": "integer"}}}});
    check(&schema, &GEMINI, &gemini, &["exclusiveMaximum"]);
    let cohere = json!({"type": "object", "properties": {
        "a": {"const": "x"},
        "b": {"type": "number", "description": "{minimum: 0, exclusiveMaximum: 1}"},
        "c": {"type": "string"},
        "d": {"type": "object", "description": "{additionalProperties: {\"type\":\"integer\"}}"}},
        "required": ["a"]});
    let left_out = ["minimum", "exclusiveMaximum", "additionalProperties"];
    check(&schema, &COHERE, &cohere, &left_out);
}

#[test]
fn recursive_references_are_bounded() {
    let mut definitions = serde_json::Map::new();
    for level in 0..20 {
        let next = json!({"$ref": format!("#/$defs/{}", level + 1), "description": "d"});
        let members = json!({"properties": {"a": next, "b": next, "c": next, "d": next}});
        definitions.insert(level.to_string(), members);
    }
    definitions.insert("20".to_owned(), json!({"type": "string"}));
    let schema = json!({"$ref": "#/$defs/0", "$defs": definitions});
    for rules in [&CLAUDE, &COHERE, &GEMINI] {
        assert!(fitted(&schema, rules).is_err());
    }
}

#[test]
fn tool_parameters_are_objects() {
    let plain = r#"{"$schema":"s","type":"object","properties":{"a":{}},"required":["a"]}"#;
    for (schema, expected) in [
        (plain, None),
        (r#"{"type":"object","properties":{}}"#, None),
        (r#"{"type":"string"}"#, None),
        ("{}", Some(r#"{"type":"object","properties":{}}"#)),
        (r#"{"type":"object"}"#, Some(r#"{"type":"object","properties":{}}"#)),
        (
            r#"{"properties":{"a":{"type":"string"}},"required":["a"],"description":"d"}"#,
            Some(
                r#"{"type":"object","properties":{"a":{"type":"string"}},"required":["a"],"description":"d"}"#,
            ),
        ),
        (
            r##"{"$ref":"#/$defs/A","$defs":{"A":{"type":"object","properties":{"x":{}}}}}"##,
            Some(
                r##"{"type":"object","properties":{"x":{}},"$defs":{"A":{"type":"object","properties":{"x":{}}}}}"##,
            ),
        ),
        (
            r#"{"type":["object","null"],"properties":{"a":{}}}"#,
            Some(r#"{"type":"object","properties":{"a":{}}}"#),
        ),
    ] {
        let json = Json::parse(schema).expect("JSON");
        let mut warnings = Warnings::default();
        let found = object_root(&json, "f", &mut warnings);
        assert_eq!(found.text(), expected.unwrap_or(schema));
        assert_eq!(matches!(found, Cow::Borrowed(_)), expected.is_none(), "{schema}");
        assert!(warnings.is_empty());
    }
}

#[test]
fn root_alternatives_of_tools_are_merged() {
    let schema = json!({"oneOf": [
        {"type": "object", "properties": {"kind": {"const": "a"}, "x": {}}, "required": ["kind", "x"]},
        {"type": "object", "properties": {"kind": {"const": "b"}, "y": {}}, "required": ["kind"]}]});
    let schema = Json::parse(&schema.to_string()).expect("JSON");
    let mut warnings = Warnings::default();
    let found = object_root(&schema, "f", &mut warnings);
    let found: Value = serde_json::from_str(found.text()).expect("JSON");
    assert_eq!(found["type"], "object");
    assert_eq!(found["required"], json!(["kind"]));
    let either = json!({"anyOf": [{"const": "a"}, {"const": "b"}]});
    assert_eq!(found["properties"]["kind"], either);
    let names = found["properties"].as_object().expect("members").keys().collect::<Vec<_>>();
    assert_eq!(names, ["kind", "x", "y"]);
    assert!(found["description"].as_str().expect("the alternatives").starts_with("{oneOf: ["));
    assert!(found.get("oneOf").is_none());
    assert_eq!(
        warnings.header(),
        "changed the parameters of f: alternatives at the root were merged into one object"
    );
}

/// The schema of a tool's arguments for Google, and the keywords that were left out.
fn googles(schema: &Value) -> (Value, Vec<String>) {
    let mut warnings = Warnings::default();
    let schema = Json::parse(&schema.to_string()).expect("JSON");
    let fitting = fit_parameters(&schema, "f", &mut warnings);
    let text = serde_json::from_str(fitting.text()).expect("JSON");
    (text, warnings.iter().map(str::to_owned).collect())
}

#[test]
fn google_gets_its_subset_in_every_member_of_a_tool() {
    let object = |members: Value| json!({"type": "object", "properties": members});
    for (member, expected, left_out) in [
        (json!({"const": "a"}), json!({"enum": ["a"]}), 0),
        (json!({"type": ["string", "null"]}), json!({"type": ["string", "null"]}), 0),
        (
            json!({"properties": {"b": {"type": "string"}}}),
            object(json!({"b": {"type": "string"}})),
            0,
        ),
        (
            json!({"type": "string", "format": "uri"}),
            json!({"type": "string", "description": "{format: \"uri\"}"}),
            1,
        ),
        (
            json!({"type": "string", "format": "date-time"}),
            json!({"type": "string", "format": "date-time"}),
            0,
        ),
        (
            json!({"type": "integer", "exclusiveMinimum": 0, "minimum": 1}),
            json!({"type": "integer", "minimum": 1, "description": "{exclusiveMinimum: 0}"}),
            1,
        ),
        (
            json!({"allOf": [{"type": "string"}, {"description": "d"}]}),
            json!({"type": "string", "description": "d"}),
            0,
        ),
        (
            json!({"type": "object", "properties": {}, "additionalProperties": {"const": 1}}),
            json!({"type": "object", "properties": {}, "additionalProperties": {"enum": [1]}}),
            0,
        ),
        (
            json!({"type": "array", "items": {"$ref": "#/$defs/x", "description": "One."}}),
            json!({"type": "array", "items": {"type": "string", "description": "One."}}),
            0,
        ),
    ] {
        let mut schema = object(json!({"a": member, "plain": {"type": "string"}}));
        schema["$defs"] = json!({"x": {"type": "string"}});
        let mut wanted = object(json!({"a": expected, "plain": {"type": "string"}}));
        wanted["$defs"] = json!({"x": {"type": "string"}});
        let (found, warnings) = googles(&schema);
        assert_eq!(found["properties"], wanted["properties"], "{schema}");
        assert_eq!(found["type"], "object");
        assert_eq!(warnings.len(), left_out, "{schema}: {warnings:?}");
    }
    // A schema within the subset is unchanged, byte for byte.
    let plain = r#"{"type":"object","properties":{"a":{"type":"string","enum":["x"]}},"required":["a"],"additionalProperties":false}"#;
    let schema = Json::parse(plain).expect("JSON");
    let mut warnings = Warnings::default();
    assert_eq!(fit_parameters(&schema, "f", &mut warnings).text(), plain);
    // A recursive schema is allowed.
    let list = json!({"type": "object", "properties": {"next": {"$ref": "#/$defs/N"}},
        "$defs": {"N": {"type": "object", "properties": {"next": {"$ref": "#/$defs/N"}}}}});
    assert_eq!(googles(&list).0, list);
}

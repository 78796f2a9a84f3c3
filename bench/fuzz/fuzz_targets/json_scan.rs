//! Bodies and event data: what the scanner accepts is JSON for `serde_json` too, and edits change
//! what they name and nothing else.
//!
//! The first three bytes of the input choose the edits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringgate::llm::{AnswerOutline, ChunkOutline, Edit, Outline, hide_usage, may_carry_usage, with_include_usage};
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

const KEYS: [&str; 5] = ["model", "stream_options", "a", "usage", "\"\n"];
const VALUES: [&str; 3] = ["null", r#""m""#, r#"{"include_usage":true}"#];

fuzz_target!(|data: &[u8]| {
    let [first, second, third, body @ ..] = data else { return };
    if let Ok(outline) = Outline::read(body) {
        let mut out = Vec::new();
        outline.splice(body, &[], &mut out);
        assert_eq!(out, body, "without edits nothing changes");
        let edits = [first, second, third].map(|byte| edit(*byte));
        out.clear();
        outline.splice(body, &edits, &mut out);
        assert_json(&out);
        if let Some(mut expected) = object(body) {
            apply(&edits, &mut expected);
            assert_eq!(object(&out), Some(expected));
        }
        assert!(AnswerOutline::read(&out).is_ok(), "an edited body is read again");
        check_include_usage(outline.value(body, "stream_options"));
    }
    if AnswerOutline::read(body).is_ok() {
        assert_json(body);
    }
    if let Ok(chunk) = ChunkOutline::read(body) {
        assert_json(body);
        let escapes = body.contains(&b'\\');
        assert!(chunk.usage.is_none() || may_carry_usage(body) || escapes);
        let mut hidden = Vec::new();
        hide_usage(body, &mut hidden);
        assert_json(&hidden);
        if let Some(mut expected) = object(body) {
            expected.remove("usage");
            assert_eq!(object(&hidden), Some(expected));
        }
    }
});

fn edit(byte: u8) -> Edit<'static> {
    let byte = usize::from(byte);
    let (key, json) = (KEYS[byte % KEYS.len()], VALUES[byte / 8 % VALUES.len()].as_bytes());
    match byte / 64 {
        0 | 1 => Edit::Set { key, json },
        2 => Edit::Default { key, json },
        _ => Edit::Remove { key },
    }
}

/// What the edits mean, key by key and one after the other: a default gives way to what is there,
/// unless that is an earlier default.
fn apply(edits: &[Edit<'_>], object: &mut Map<String, Value>) {
    for key in KEYS {
        let mut value = object.remove(key);
        let mut only_defaults = value.is_none();
        for edit in edits {
            match edit {
                Edit::Set { key: name, json } if *name == key => {
                    (value, only_defaults) = (Some(parsed(json)), false);
                }
                Edit::Remove { key: name } if *name == key => {
                    (value, only_defaults) = (None, false);
                }
                Edit::Default { key: name, json } if *name == key => {
                    if value.is_none() || only_defaults {
                        value = Some(parsed(json));
                    }
                }
                _ => {}
            }
        }
        object.extend(value.map(|value| (key.to_owned(), value)));
    }
}

fn parsed(json: &[u8]) -> Value {
    serde_json::from_slice(json).expect("a value of the list")
}

fn check_include_usage(stream_options: Option<&[u8]>) {
    let out = with_include_usage(stream_options);
    assert_json(&out);
    let mut expected = stream_options.and_then(object).unwrap_or_default();
    let Some(found) = object(&out) else { return };
    expected.insert("include_usage".to_owned(), Value::Bool(true));
    assert_eq!(found, expected);
}

fn assert_json(text: &[u8]) {
    let parsed = serde_json::from_slice::<IgnoredAny>(text);
    assert!(parsed.is_ok(), "{parsed:?}: {}", String::from_utf8_lossy(text));
}

/// The object; none where `serde_json` cannot hold it, since a number is out of its range or the
/// nesting over its limit.
fn object(text: &[u8]) -> Option<Map<String, Value>> {
    match serde_json::from_slice(text) {
        Ok(Value::Object(object)) => Some(object),
        Ok(_) => None,
        Err(error) => {
            let message = error.to_string();
            let known = ["number out of range", "recursion limit exceeded"];
            assert!(known.iter().any(|it| message.starts_with(it)), "{message}");
            None
        }
    }
}
